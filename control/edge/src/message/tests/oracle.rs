//! Another parser reads the same messages: crate `sipx-sip`, with its checks of requests and of the
//! headers that routing reads.

use bytes::Bytes;
use proptest::prelude::*;
use sipx_sip::headers::{CSeq, CallId, From, To, Via as TheirVia};
use sipx_sip::{Finding, TypedHeader, parse_datagram, validate};

use super::corpus::{self, Verdict};
use super::*;

/// What both make of a message: start line, headers as name and value without folding, From tag, To
/// tag, branch of the top Via, sent-by host, CSeq, body.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    start: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    from_tag: Option<Vec<u8>>,
    to_tag: Option<Vec<u8>>,
    branch: Option<Vec<u8>>,
    call_id: Vec<u8>,
    cseq: u32,
    body: Vec<u8>,
}

/// `None` if we refuse it.
fn ours(bytes: &[u8]) -> Option<Reading> {
    let (message, result) = try_parse(bytes, &Limits::default());
    result.ok()?;
    let parsed = &message.parsed;
    let owned = |span: Span| message.text(span).to_vec();
    Some(Reading {
        start: owned(parsed.start_line),
        headers: parsed
            .headers
            .iter()
            .map(|h| {
                (
                    long_name(message.text(h.name)),
                    unfolded(message.text(h.value)),
                )
            })
            .collect(),
        from_tag: parsed.from.tag.map(owned),
        to_tag: parsed.to.tag.map(owned),
        branch: parsed.via.branch.map(owned),
        call_id: owned(parsed.call_id),
        cseq: parsed.cseq,
        body: owned(parsed.body),
    })
}

/// `None` if the other parser, or its checks, refuse it.
fn theirs(bytes: &[u8]) -> Option<Reading> {
    let limits = sipx_sip::Limits::datagram();
    let message = parse_datagram(Bytes::copy_from_slice(bytes), &limits).ok()?;
    let is_fatal = |finding: &Finding| !finding.is_repairable();
    if validate(&message).iter().any(is_fatal) {
        return None;
    }
    let headers = message.headers();
    let via = headers.value(&TheirVia::NAME)?;
    let via = TheirVia::parse_list(&via).ok()?.into_iter().next()?;
    let wire = message.to_bytes();
    let start = wire.split(|b| *b == b'\r').next()?.to_vec();
    let tag = |tag: Option<&[u8]>| tag.map(<[u8]>::to_vec);
    Some(Reading {
        start,
        headers: headers
            .iter()
            .map(|h| {
                (
                    long_name(h.name().canonical()),
                    unfolded(h.raw_value().trim_ascii()),
                )
            })
            .collect(),
        from_tag: tag(headers.typed::<From>()?.ok()?.0.tag()),
        to_tag: tag(headers.typed::<To>()?.ok()?.0.tag()),
        branch: via.branch().map(<[u8]>::to_vec),
        call_id: headers.typed::<CallId>()?.ok()?.0,
        cseq: headers.typed::<CSeq>()?.ok()?.sequence,
        body: message.body().to_vec(),
    })
}

/// The long name of a header that the edge reads, in lower case.
fn long_name(name: &[u8]) -> Vec<u8> {
    let long: &[u8] = match HeaderId::of(name) {
        HeaderId::Other | HeaderId::Authorization => name,
        id => return format!("{id:?}").into_bytes(),
    };
    let compact: &[(&[u8], &[u8])] = &[
        (b"a", b"accept-contact"),
        (b"d", b"request-disposition"),
        (b"j", b"reject-contact"),
        (b"n", b"identity-info"),
        (b"y", b"identity"),
    ];
    let long = long.to_ascii_lowercase();
    let found = compact.iter().find(|(c, _)| *c == long);
    found.map_or(long, |(_, long)| long.to_vec())
}

/// A fold, with the white space on both of its sides, is one space.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let lines = value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines.collect();
    lines.join(&b' ')
}

/// There is no difference to name: both refuse the same messages, and read the others alike.
#[test]
fn corpora_are_read_alike() {
    let cases = corpus::RFC4475.iter().map(|c| (c, c.bytes.to_vec()));
    let more = corpus::RFC5118.iter().map(|c| (c, corpus::wire(c)));
    for (case, bytes) in cases.chain(more) {
        let ours = ours(&bytes);
        assert_eq!(ours, theirs(&bytes), "{}", case.name);
        assert!(
            ours.is_some() || case.verdict != Verdict::Forward,
            "{}",
            case.name
        );
    }
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just(" "),
        Just("\t "),
        Just("\r\n "),
        Just(" \r\n\t")
    ]
}

fn name(long: &'static str, compact: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        Just(long.to_owned()),
        Just(long.to_uppercase()),
        Just(long.to_lowercase()),
        Just(compact.to_owned()),
        Just(compact.to_uppercase()),
    ]
}

fn address() -> impl Strategy<Value = String> {
    let user = "[a-z;=?&+$,/~*'()!%4]{1,8}";
    let host = prop_oneof![
        Just("example.com".to_owned()),
        Just("[2001:db8::1]".to_owned()),
        "[a-z]{1,9}\\.example"
    ];
    let display = prop_oneof![
        Just(String::new()),
        "[a-z]{1,6}( [a-z]{1,6})?".prop_map(|d| d + " "),
        "\"([a-z, <>;]|\\\\[\"\\\\]){0,8}\" ?",
    ];
    (display, user, host, prop::option::of(1..65_535u16)).prop_map(|(display, user, host, port)| {
        let user = user.replace('%', "%41");
        let port = port.map_or_else(String::new, |p| format!(":{p}"));
        format!("{display}<sip:{user}@{host}{port};lr>")
    })
}

prop_compose! {
    fn message()(
        names in (name("Via", "v"), name("From", "f"), name("To", "t"), name("Call-ID", "i"), name("CSeq", "CSeq")),
        spaces in prop::array::uniform12(space()),
        (from, to) in (address(), address()),
        to_tag in prop::option::of("[a-z0-9.]{1,8}"),
        branch in "z9hG4bK[a-z0-9.]{1,12}",
        second_via in any::<bool>(),
        cseq in 0..0x8000_0000u32,
        status in prop::option::of(100..700u16),
        extra in prop::collection::vec("X-[A-Za-z0-9]{1,8}: [ -~]{0,30}", 0..4),
        body in "[a-z\r\n]{0,20}",
        shown_length in any::<bool>(),
    ) -> Vec<u8> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = spaces;
        let start = status.map_or_else(
            || "OPTIONS sip:x@example.com;p SIP/2.0".to_owned(),
            |status| format!("SIP/2.0 {status} reason phrase"),
        );
        let via = if second_via { format!("{l},{a}SIP/2.0/TCP h2") } else { String::new() };
        let to_tag = to_tag.map_or_else(String::new, |t| format!("{f};{g}tag{h}={i}{t}"));
        let mut text = format!(
            "{start}\r\n{}:{a}SIP/2.0/UDP h{b};{c}branch{d}={e}{branch}{via}\r\n{}:{d}{from};tag=a\r\n\
             {}:{e}{to}{to_tag}\r\n{}:{j}c@d\r\n{}:{k}{cseq} OPTIONS\r\nMax-Forwards: 70\r\n",
            names.0, names.1, names.2, names.3, names.4
        );
        for row in extra {
            text += &format!("{row}\r\n");
        }
        if shown_length {
            text += &format!("l:{l}{}\r\n", body.len());
        }
        (text + "\r\n" + &body).into_bytes()
    }
}

proptest! {
    #[test]
    fn well_formed_messages_are_read_alike(bytes in message()) {
        let ours = ours(&bytes);
        prop_assert!(ours.is_some(), "{}", String::from_utf8_lossy(&bytes));
        prop_assert_eq!(ours, theirs(&bytes), "{}", String::from_utf8_lossy(&bytes));
    }

    /// What one of the two refuses need not be refused by the other, but nothing that both take is
    /// read in two ways.
    #[test]
    fn mutations_that_both_take_are_read_alike(
        case in 0..corpus::RFC4475.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b" \t;,=<>\"\\%:0aA@?\x80".to_vec())), 1..4),
    ) {
        let mut bytes = corpus::RFC4475[case].bytes.to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let (Some(ours), Some(theirs)) = (ours(&bytes), theirs(&bytes)) {
            prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
