//! The messages of RFC 4475 and RFC 5118 with what the edge makes of each (spec §21), as data for the
//! tests of the parser and of the core.

use super::super::properties;
use super::*;

/// What the parser, and the checks that need nothing but the message, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A request that goes on.
    Forward,
    /// A request that is answered with this status.
    Answer(u16),
    /// Neither relayed nor answered: a response without a transaction, or what cannot be answered.
    Drop,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    /// Over UDP, in a zone with all methods open whose domains are routed.
    pub(crate) verdict: Verdict,
}

macro_rules! corpus {
    ($folder:literal: $($name:literal => $verdict:expr,)*) => {
        &[$(Case {
            name: $name,
            bytes: include_bytes!(concat!("../../../tests/corpus/", $folder, "/", $name, ".dat")),
            verdict: $verdict,
        },)*]
    };
}

use Verdict::{Answer, Drop, Forward};

/// RFC 4475, by section.
pub(crate) static RFC4475: &[Case] = corpus! {
    "rfc4475":
    "wsinv" => Forward,
    "intmeth" => Forward,
    "esc01" => Forward,
    "escnull" => Forward,
    "esc02" => Forward,
    "lwsdisp" => Forward,
    "longreq" => Forward,
    "dblreq" => Forward,
    "semiuri" => Forward,
    "transports" => Forward,
    "mpart01" => Forward,
    "unreason" => Drop,
    "noreason" => Drop,
    "badinv01" => Answer(400),
    "clerr" => Answer(400),
    "ncl" => Answer(400),
    "scalar02" => Answer(400),
    "scalarlg" => Drop,
    "quotbal" => Answer(400),
    "ltgtruri" => Answer(400),
    "lwsruri" => Answer(400),
    "lwsstart" => Answer(400),
    "trws" => Answer(400),
    "escruri" => Answer(400),
    "baddate" => Forward,
    // Path mode; a registrar of its own would answer 400.
    "regbadct" => Forward,
    "badaspec" => Answer(400),
    "baddn" => Answer(400),
    "badvers" => Answer(505),
    "mismatch01" => Answer(400),
    "mismatch02" => Answer(400),
    "bigcode" => Drop,
    "badbranch" => Forward,
    "insuf" => Drop,
    "unkscm" => Answer(416),
    "novelsc" => Answer(416),
    // The parser carries it; a domain that is not served is refused with 403 by policy.
    "unksm2" => Forward,
    "bext01" => Answer(420),
    "invut" => Forward,
    "regaut01" => Forward,
    "multi01" => Answer(400),
    "mcl01" => Answer(400),
    "bcast" => Drop,
    "zeromf" => Answer(483),
    "cparam01" => Forward,
    "cparam02" => Forward,
    "regescrt" => Forward,
    "sdp01" => Forward,
    "inv2543" => Forward,
};

/// RFC 5118, by section. The archive has bare line feeds and lengths that fit neither form of them:
/// [`wire`] mends that.
pub(crate) static RFC5118: &[Case] = corpus! {
    "rfc5118":
    "ipv6-good" => Forward,
    "ipv6-bad" => Answer(400),
    "port-ambiguous" => Forward,
    "port-unambiguous" => Forward,
    "via-received-param-with-delim" => Forward,
    "via-received-param-no-delim" => Forward,
    "ipv6-in-sdp" => Forward,
    "mult-ip-in-header" => Forward,
    "mult-ip-in-sdp" => Forward,
    "ipv4-mapped-ipv6" => Forward,
    "ipv6-bug-abnf-3-colons" => Forward,
    "ipv6-correct-abnf-2-colons" => Forward,
};

/// A message of RFC 5118 as it would be sent.
pub(crate) fn wire(case: &Case) -> Vec<u8> {
    let text = std::str::from_utf8(case.bytes)
        .unwrap()
        .replace('\n', "\r\n");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| (text.trim_end(), ""));
    let rows = head
        .lines()
        .map(|row| match row.strip_prefix("Content-Length:") {
            Some(_) => format!("Content-Length: {}\r\n", body.len()),
            None => format!("{row}\r\n"),
        });
    format!("{}\r\n{body}", rows.collect::<String>()).into_bytes()
}

/// The verdict of the parser, and of the checks of RFC 3261 §16.3 that need nothing but the message.
fn judge(bytes: &[u8], limits: &Limits) -> Verdict {
    let (message, result) = try_parse(bytes, limits);
    let parsed = &message.parsed;
    match result {
        Err(error) if parsed.can_answer() => Answer(error.response().0),
        Err(_) => Drop,
        Ok(()) if !parsed.is_request() => Drop,
        Ok(()) if parsed.unknown_scheme => Answer(416),
        Ok(()) if matches!(parsed.max_forwards, Some((_, 0))) => Answer(483),
        Ok(()) if message.values(HeaderId::ProxyRequire).next().is_some() => Answer(420),
        Ok(()) => Forward,
    }
}

fn by_name(name: &str) -> Message {
    parse(RFC4475.iter().find(|c| c.name == name).unwrap().bytes)
}

#[test]
fn rfc4475() {
    assert_eq!(RFC4475.len(), 49);
    for case in RFC4475 {
        assert_eq!(
            judge(case.bytes, &Limits::default()),
            case.verdict,
            "{}",
            case.name
        );
        properties::datagram(case.bytes);
        properties::stream(case.bytes);
    }
    let lenient = Limits {
        lenient_start_line: true,
        ..Limits::default()
    };
    for case in RFC4475 {
        let verdict = match case.name {
            "trws" => Forward,
            _ => case.verdict,
        };
        assert_eq!(judge(case.bytes, &lenient), verdict, "{}", case.name);
    }
}

#[test]
fn rfc5118() {
    for case in RFC5118 {
        assert_eq!(
            judge(&wire(case), &Limits::default()),
            case.verdict,
            "{}",
            case.name
        );
        properties::datagram(&wire(case));
        let lenient = Limits {
            lenient_eol: true,
            ..Limits::default()
        };
        let verdict = match case.name {
            // Two have a Content-Length beyond their body, and two no empty line.
            "ipv6-in-sdp"
            | "mult-ip-in-sdp"
            | "ipv6-bug-abnf-3-colons"
            | "ipv6-correct-abnf-2-colons" => Answer(400),
            _ => case.verdict,
        };
        assert_eq!(
            judge(case.bytes, &lenient),
            verdict,
            "{}, as archived",
            case.name
        );
    }
}

#[test]
fn rfc5118_values() {
    let of = |name: &str| {
        let case = RFC5118.iter().find(|c| c.name == name).unwrap();
        parse(wire(case))
    };
    for name in [
        "via-received-param-with-delim",
        "via-received-param-no-delim",
    ] {
        let via = of(name).parsed.via;
        let target = via.response_target(&of(name).bytes).unwrap();
        assert_eq!(target.to_string(), "[2001:db8::9:255]:5060", "{name}");
    }
    let ambiguous = of("port-ambiguous");
    let Start::Request { uri } = ambiguous.parsed.start else {
        panic!("a request");
    };
    let uri = Uri::parse(&ambiguous.bytes, uri).unwrap();
    assert_eq!(uri.port, None, "the port is part of the address");
}

#[test]
fn rfc4475_values() {
    let wsinv = by_name("wsinv");
    assert_eq!(wsinv.parsed.vias, 3);
    assert_eq!(wsinv.parsed.max_forwards.map(|(_, n)| n), Some(68));
    assert_eq!(wsinv.sender_tag(), b"98asjd8");
    assert_eq!(wsinv.to_tag(), Some(&b"1918181833n"[..]));
    let bext = by_name("bext01");
    let required = texts(&bext, bext.values(HeaderId::ProxyRequire));
    assert_eq!(
        required,
        ["noProxiesSupportThis", "norDoAnyProxiesSupportThis"]
    );
    let dblreq = by_name("dblreq");
    assert_eq!(dblreq.method(), Method::Register);
    assert!(dblreq.parsed.body.is_empty() && dblreq.parsed.body.to() < dblreq.bytes.len());
    assert_eq!(
        by_name("badbranch")
            .parsed
            .via
            .branch_id(&by_name("badbranch").bytes),
        None
    );
    let bad_contact = by_name("regbadct");
    let value = bad_contact.values(HeaderId::Contact).next().unwrap();
    assert_eq!(
        NameAddr::parse(&bad_contact.bytes, value),
        None,
        "alias mode answers 400"
    );
    for name in ["cparam01", "cparam02", "regescrt"] {
        let register = by_name(name);
        let value = register.values(HeaderId::Contact).next().unwrap();
        let addr = NameAddr::parse(&register.bytes, value).expect(name);
        assert!(addr.to_uri(&register.bytes).is_some(), "{name}");
    }
}
