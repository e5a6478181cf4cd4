use super::super::digest::Digest;
use super::super::fields::*;
use super::super::span::unquoted;
use super::*;

#[test]
fn name_addr_forms() {
    for (text, display, uri, tag) in [
        ("Caller<sip:a@b>;tag=1", "Caller", "sip:a@b", Some("1")),
        ("<sip:a@b;lr?x=y>", "", "sip:a@b;lr?x=y", None),
        ("sip:a@b;tag=x", "", "sip:a@b", Some("x")),
        (
            "\"A, \\\"<B>\\\"\" <sip:a@b> ; TAG = 7",
            "\"A, \\\"<B>\\\"\"",
            "sip:a@b",
            Some("7"),
        ),
        (
            "two  words\r\n <sips:a@[2001:db8::1]:5>",
            "two  words",
            "sips:a@[2001:db8::1]:5",
            None,
        ),
        (
            "J\u{fc}rgen <sip:j@b>;q=0.1;tag=2",
            "J\u{fc}rgen",
            "sip:j@b",
            Some("2"),
        ),
    ] {
        let bytes = text.as_bytes();
        let addr = NameAddr::parse(bytes, whole(bytes)).expect(text);
        assert_eq!(addr.display.of(bytes), display.as_bytes(), "{text}");
        assert_eq!(addr.uri.of(bytes), uri.as_bytes(), "{text}");
        assert_eq!(
            addr.tag.map(|t| t.of(bytes)),
            tag.map(str::as_bytes),
            "{text}"
        );
    }
    for text in [
        "\"open <sip:a@b>",
        "Bell, Alexander <sip:a@b>",
        "\"x\" sip:a@b",
        "< sip:a@b >",
        "<sip:a@b",
        "sip:a@b?Route=%3Csip:c%3E",
        "<sip:a@b>;;",
        "nobody",
    ] {
        assert_eq!(
            NameAddr::parse(text.as_bytes(), whole(text.as_bytes())),
            None,
            "{text}"
        );
    }
    assert!(NameAddr::is_star(b"*", Span::new(0, 1)));
    assert_eq!(unquoted(b"\"A \\\"B\\\\\""), &b"A \"B\\"[..]);
}

#[test]
fn parameters_of_a_contact() {
    let text = b"<sip:a@b;x=1>;expires=60;q=0.5;+sip.instance=\"<urn:uuid:1>\";x";
    let addr = NameAddr::parse(text, whole(text)).unwrap();
    let value = |name| {
        addr.param(text, name)
            .and_then(|p| p.value)
            .map(|v| v.of(text))
    };
    assert_eq!(value("Expires"), Some(&b"60"[..]));
    assert_eq!(value("+sip.instance"), Some(&b"\"<urn:uuid:1>\""[..]));
    let flag = addr.param(text, "x").unwrap();
    assert_eq!((flag.whole.of(text), flag.value), (&b";x"[..], None));
}

#[test]
fn via_forms() {
    for (text, transport, host, port) in [
        ("SIP/2.0/UDP h;branch=b", "UDP", "h", None),
        (
            "SIP  /\r\n 2.0 / TLS\t [2001:db8::9] : 5061 ;received=192.0.2.1",
            "TLS",
            "[2001:db8::9]",
            Some(5061),
        ),
        ("SIP/2.0/WSS x_y.invalid;rport", "WSS", "x_y.invalid", None),
    ] {
        let bytes = text.as_bytes();
        let via = Via::parse(bytes, whole(bytes)).expect(text);
        assert_eq!(via.transport.of(bytes), transport.as_bytes());
        assert_eq!((via.host.of(bytes), via.port), (host.as_bytes(), port));
    }
    let text = b"SIP/2.0/UDP h:1;maddr=192.0.2.9;ttl=1;received=2001:db8::1;rport=7";
    let via = Via::parse(text, whole(text)).unwrap();
    assert_eq!(via.maddr.map(|m| m.of(text)), Some(&b"192.0.2.9"[..]));
    assert_eq!(
        via.response_target(text),
        Some("[2001:db8::1]:7".parse().unwrap())
    );
    for text in [
        "SIP/2.0/UDP",
        "SIP/2.0/UDP h:99999",
        "SIP/2.0/UDP h;rport=x",
        "SIP/2.0 h",
    ] {
        assert_eq!(
            Via::parse(text.as_bytes(), whole(text.as_bytes())),
            None,
            "{text}"
        );
    }
    let partial = Via::read(b"SIP/2.0/UDP 192.0.2.15;;", Span::new(0, 24)).unwrap_err();
    assert_eq!((partial.host.from(), partial.host.to()), (12, 22));
}

#[test]
fn credentials_and_challenges() {
    let text =
        b"Digest username=\"b\\\"ob\", realm = \"biloxi.com\",\r\n nonce=\"d,c\",uri=\"sip:b\", \
        qop=auth, nc=0000000A, cnonce=\"0\", response=\"6629\", opaque=\"\", algorithm=SHA-256";
    let digest = Digest::parse(text, whole(text)).unwrap();
    let param = |name| {
        digest
            .text(text, name)
            .map(|t| String::from_utf8(t.into_owned()).unwrap())
    };
    assert!(digest.is_digest(text));
    assert_eq!(digest.username(text).as_deref(), Some(&b"b\"ob"[..]));
    for (name, value) in [
        ("realm", "biloxi.com"),
        ("NONCE", "d,c"),
        ("opaque", ""),
        ("algorithm", "SHA-256"),
        ("qop", "auth"),
    ] {
        assert_eq!(param(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(digest.nonce_count(text), Some(10));
    assert_eq!(
        digest.span(text, "uri").map(|s| s.of(text)),
        Some(&b"\"sip:b\""[..])
    );
    assert!(!digest.is_stale(text));

    let text = b"digest realm=\"a\",, stale=TRUE, nonce=\"n\"";
    assert!(Digest::parse(text, whole(text)).unwrap().is_stale(text));
    let other = b"NoOneKnowsThisScheme opaque-data=here==";
    let other_digest = Digest::parse(other, whole(other)).unwrap();
    assert!(!other_digest.is_digest(other), "regaut01");
    let encoded = b"Digest username*=UTF-8''J%C3%A4s%C3%B8n, realm=\"a\"";
    let encoded_digest = Digest::parse(encoded, whole(encoded)).unwrap();
    assert_eq!(
        encoded_digest.username(encoded).as_deref(),
        Some(&b"UTF-8''J%C3%A4s%C3%B8n"[..])
    );
    for text in [
        "Digest",
        "Digest realm",
        "Digest realm=\"a",
        "Digest a=b c=d",
        "",
    ] {
        assert_eq!(
            Digest::parse(text.as_bytes(), whole(text.as_bytes())),
            None,
            "{text}"
        );
    }
}

#[test]
fn numbers_and_parameters() {
    fn of<T>(parse: impl Fn(&[u8], Span) -> T, text: &str) -> T {
        parse(text.as_bytes(), whole(text.as_bytes()))
    }
    assert_eq!(of(seconds, "3600"), Some(3600));
    assert_eq!(of(seconds, "90;x=y"), Some(90), "Min-SE");
    assert_eq!(
        of(seconds, "99999999999999999999"),
        Some(u32::MAX),
        "clamped"
    );
    for text in ["", "-1", "1 2", "+1", "soon"] {
        assert_eq!(of(seconds, text), None, "{text}");
    }

    let text = "1800 ; refresher = UAS";
    let session = of(SessionExpires::parse, text).unwrap();
    assert_eq!(
        (session.interval, session.refresher),
        (1800, Some(Refresher::Uas))
    );
    assert_eq!(session.interval_span.of(text.as_bytes()), b"1800");
    assert_eq!(of(SessionExpires::parse, "x;refresher=uac"), None);

    let text = "Q.850 ;cause=16 ;text=\"Terminated\"";
    let reason = of(Reason::parse, text).unwrap();
    assert_eq!(
        (reason.protocol.of(text.as_bytes()), reason.cause),
        (&b"Q.850"[..], Some(16))
    );
    assert_eq!(
        reason.text.map(|t| t.of(text.as_bytes())),
        Some(&b"\"Terminated\""[..])
    );
    assert_eq!(of(Reason::parse, "SIP;cause=99999").unwrap().cause, None);

    assert_eq!(of(rseq, "988789"), Some(988_789));
    assert_eq!((of(rseq, "0"), of(rseq, "2147483648")), (None, None));
    let rack = RAck {
        rseq: 776_656,
        cseq: 1,
        method: Method::Invite,
    };
    assert_eq!(of(RAck::parse, "776656 1 INVITE"), Some(rack));
    for text in ["776656 1", "776656 1INVITE", "0 1 INVITE", "1 1 INVITE x"] {
        assert_eq!(of(RAck::parse, text), None, "{text}");
    }

    let text = "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff;early-only";
    let replaces = of(DialogRef::parse, text).unwrap();
    assert_eq!(
        replaces.call_id.of(text.as_bytes()),
        b"98732@sip.example.com"
    );
    assert_eq!(replaces.to_tag.of(text.as_bytes()), b"ff87ff");
    assert!(replaces.is_early_only);
    assert!(
        of(DialogRef::parse, "c;local-tag=a;remote-tag=b").is_some(),
        "Target-Dialog"
    );
    assert_eq!(of(DialogRef::parse, "c;to-tag=a"), None);
}
