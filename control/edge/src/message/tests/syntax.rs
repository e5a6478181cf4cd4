use proptest::prelude::*;

use super::super::properties;
use super::corpus;
use super::*;

#[test]
fn accepted_forms() {
    let text = "\r\n\r\ninvite2 sip:a;x?y@[2001:db8::1]:5070;lr SIP/2.0\r\n\
        v:SIP/2.0/UDP h;branch=z9hG4bK1 , SIP/2.0/TCP i\r\nF : a<sip:a@b>; Tag = 1\r\nT:sip:b\r\n\
        I: x@y\r\ncseq:\r\n 0007\r\n\tinvite2\r\nm:*\r\nc:application/sdp\r\nMAX-FORWARDS: 0009\r\nl: 2\r\n\r\nab";
    let message = parse(text);
    let parsed = &message.parsed;
    assert_eq!(parsed.method, Method::Other);
    assert_eq!((parsed.vias, parsed.cseq), (2, 7));
    assert_eq!(parsed.max_forwards.map(|(_, n)| n), Some(9));
    assert_eq!(message.sender_tag(), b"1");
    assert_eq!(message.text(parsed.body), b"ab");
    let names = texts(&message, parsed.headers.iter().map(|h| h.name));
    assert_eq!(
        names,
        ["v", "F", "T", "I", "cseq", "m", "c", "MAX-FORWARDS", "l"]
    );
}

#[test]
fn compact_names_are_their_headers() {
    for (compact, long) in [
        ("b", "Referred-By"),
        ("c", "Content-Type"),
        ("e", "Content-Encoding"),
        ("f", "From"),
        ("i", "Call-ID"),
        ("k", "Supported"),
        ("l", "Content-Length"),
        ("m", "Contact"),
        ("o", "Event"),
        ("r", "Refer-To"),
        ("s", "Subject"),
        ("t", "To"),
        ("u", "Allow-Events"),
        ("v", "Via"),
        ("x", "Session-Expires"),
    ] {
        let id = HeaderId::of(compact.as_bytes());
        assert_ne!(id, HeaderId::Other);
        for name in [
            compact.to_uppercase(),
            long.to_uppercase(),
            long.to_lowercase(),
        ] {
            assert_eq!(HeaderId::of(name.as_bytes()), id, "{name}");
        }
    }
    for name in ["", "z", "Vias", "Froms", "X-Route", "Call ID"] {
        assert_eq!(HeaderId::of(name.as_bytes()), HeaderId::Other, "{name}");
    }
}

#[test]
fn numbers_have_their_bounds() {
    let cseq = |n: &str| request("").replace("CSeq: 1 ", &format!("CSeq: {n} "));
    assert_eq!(parse(cseq("2147483647")).parsed.cseq, 2_147_483_647);
    assert_eq!(error(cseq("2147483648")), ParseError::CSeq);
    assert_eq!(error(cseq("-1")), ParseError::CSeq);
    parse(request("Max-Forwards: 255\r\n"));
    assert_eq!(
        error(request("Max-Forwards: 256\r\n")),
        ParseError::MaxForwards
    );
    let uri =
        |n: &str| request("").replace("sip:bob@example.com SIP", &format!("sip:bob@h:{n} SIP"));
    parse(uri("65535"));
    assert_eq!(error(uri("65536")), ParseError::RequestUri);
    let status = |n: &str| {
        request("").replacen(
            "INVITE sip:bob@example.com SIP/2.0",
            &format!("SIP/2.0 {n} x"),
            1,
        )
    };
    assert_eq!(parse(status("100")).parsed.status(), 100);
    assert_eq!(parse(status("699")).parsed.status(), 699);
    for n in ["099", "700", "20", "2000", "abc"] {
        assert_eq!(error(status(n)), ParseError::StartLine, "{n}");
    }
}

#[test]
fn every_limit_refuses_one_more() {
    let limits = Limits {
        message_bytes: 700,
        headers: 9,
        header_bytes: 60,
        vias: 2,
        routes: 2,
        ..Limits::default()
    };
    let fate = |more: &str| try_parse(request(more).as_bytes(), &limits).1;
    let refused = Err(ParseError::TooLarge);
    assert_eq!(fate(&"X: 1\r\n".repeat(4)), Ok(()));
    assert_eq!(fate(&"X: 1\r\n".repeat(5)), refused);
    let long = |n: usize| format!("X: {}\r\n", "a".repeat(n - 3));
    assert_eq!(fate(&long(60)), Ok(()));
    assert_eq!(fate(&long(61)), refused);
    assert_eq!(fate("X: a\r\n b\r\n c\r\n"), Ok(()));
    assert_eq!(
        fate(&format!("X: a\r\n{}", " b\r\n".repeat(20))),
        refused,
        "folding counts"
    );
    assert_eq!(fate("v: SIP/2.0/UDP h\r\n"), Ok(()));
    assert_eq!(fate("v: SIP/2.0/UDP h, SIP/2.0/UDP i\r\n"), refused);
    for name in ["Route", "Record-Route"] {
        assert_eq!(fate(&format!("{name}: <sip:a>,<sip:b>\r\n")), Ok(()));
        assert_eq!(
            fate(&format!("{name}: <sip:a>,<sip:b>\r\n{name}: <sip:c>\r\n")),
            refused
        );
    }
    let body = |n: usize| request("").to_string() + &"b".repeat(n - request("").len());
    assert_eq!(try_parse(body(700).as_bytes(), &limits).1, Ok(()));
    assert_eq!(try_parse(body(701).as_bytes(), &limits).1, refused);
    assert_eq!(
        try_parse(body(701).as_bytes(), &limits.of_stream()).1,
        Ok(())
    );
}

#[test]
fn a_recycled_table_makes_no_allocation_up_to_64_headers() {
    let many = request(&"X: 1\r\n".repeat(59));
    let mut parsed = Parsed::default();
    parsed
        .parse(request("").as_bytes(), &Limits::default())
        .unwrap();
    let before = (parsed.headers.as_ptr(), parsed.headers.capacity());
    parsed.parse(many.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(parsed.headers.len(), 64);
    assert_eq!((parsed.headers.as_ptr(), parsed.headers.capacity()), before);
}

#[test]
fn line_ends_have_one_reading() {
    let lenient = Limits {
        lenient_eol: true,
        ..Limits::default()
    };
    let bare = request("X: 1\r\n").replace("\r\n", "\n");
    assert_eq!(error(&bare), ParseError::Truncated);
    assert_eq!(try_parse(bare.as_bytes(), &lenient).1, Ok(()));
    for row in ["X: a\nRoute: <sip:b>\r\n", "X: a\rb\r\n", "X: a\0b\r\n"] {
        assert_eq!(error(request(row)), ParseError::ControlByte, "{row:?}");
    }
    parse(request("X: \"\\\0\"\r\n"));
    assert_eq!(
        error(request(" X: 1\r\n").replacen("Via", " Via", 1)),
        ParseError::HeaderLine
    );
}

#[test]
fn spaces_behind_a_lenient_request_line_are_told_apart() {
    let text = request("").replace("SIP/2.0\r\n", "SIP/2.0 \t \r\n");
    assert_eq!(error(&text), ParseError::StartLine);
    let lenient = Limits {
        lenient_start_line: true,
        ..Limits::default()
    };
    let (message, result) = try_parse(text.as_bytes(), &lenient);
    assert_eq!(result, Ok(()));
    assert_eq!(message.text(message.parsed.padding), b" \t ");
    let mut splices = Splices::default();
    splices.remove(message.parsed.padding);
    let out = splices.render(&message.bytes, message.bytes.len());
    assert_eq!(out, request("").as_bytes());
}

#[test]
fn a_malformed_top_via_is_answered_by_its_host() {
    let text = request("").replace(";branch=z9hG4bK1", ";;,;,,");
    let (message, result) = try_parse(text.as_bytes(), &Limits::default());
    assert_eq!(result, Err(ParseError::Via));
    assert!(message.parsed.can_answer());
    let answer = build::response(
        &message,
        "192.0.2.7:5060".parse().unwrap(),
        (400, "Bad Via"),
        None,
        b"",
    );
    assert!(answer.starts_with(b"SIP/2.0 400 Bad Via\r\nVia: SIP/2.0/UDP 192.0.2.7;;"));
}

#[test]
fn responses_of_our_own_copy_the_bytes_of_the_request() {
    let text = request("v: SIP/2.0/TCP\r\n i;x\r\n")
        .replace("From: ", "f :  ")
        .replace("192.0.2.7;branch", "host;rport;branch");
    let message = parse(&text);
    let source = "198.51.100.7:4711".parse().unwrap();
    let answer = build::response(
        &message,
        source,
        (404, "Not Found"),
        Some("t1"),
        b"X: y\r\n",
    );
    let expected = "SIP/2.0 404 Not Found\r\n\
        Via: SIP/2.0/UDP host;rport=4711;branch=z9hG4bK1;received=198.51.100.7\r\n\
        f :  <sip:a@example.net>;tag=a\r\nTo: <sip:bob@example.com>;tag=t1\r\nCall-ID: c1\r\n\
        CSeq: 1 INVITE\r\nv: SIP/2.0/TCP\r\n i;x\r\nX: y\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        expected,
        "and no Server"
    );
}

proptest! {
    #[test]
    fn random_bytes_hold(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        properties::datagram(&bytes);
        properties::body(&bytes);
    }

    #[test]
    fn random_rows_hold(rows in prop::collection::vec("[a-zA-Z-]{1,16} {0,2}:[ \t]{0,2}[ -~\u{80}-\u{ff}]{0,40}(\r\n [ -~]{0,9})?", 0..8)) {
        let rows: String = rows.iter().map(|row| format!("{row}\r\n")).collect();
        properties::datagram(request(&rows).as_bytes());
    }

    #[test]
    fn mutations_of_the_corpus_hold(
        case in 0..corpus::RFC4475.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = corpus::RFC4475[case].bytes.to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(20));
        properties::datagram(&bytes);
        properties::stream(&bytes);
    }
}
