//! What holds for every input: no panic, a bounded answer, and a print that reads back as itself.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]

use std::net::Ipv4Addr;
use std::path::Path;

use proptest::prelude::*;
use windlass_sdp::write::{self, Carry, RtcpLine};
use windlass_sdp::{Limits, ParseOptions, SessionDescription};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), fragment: bool) {
        survive(&bytes, fragment);
    }

    #[test]
    fn no_line_panics(lines in prop::collection::vec(line(), 0..40), fragment: bool) {
        let mut text = b"v=0\r\n".to_vec();
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        survive(&text, fragment);
    }

    #[test]
    fn no_mutation_of_a_real_description_panics(
        golden in 0..GOLDEN.len(),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let mut lines = golden_lines(GOLDEN[golden]);
        for mutation in mutations {
            mutation.apply(&mut lines);
        }
        survive(&lines.join(&b"\r\n"[..]), false);
    }

    #[test]
    fn print_parse_print_is_identity(
        golden in 0..GOLDEN.len(),
        extra in prop::collection::vec(line(), 0..6),
        at in any::<prop::sample::Index>(),
        all: bool,
    ) {
        let mut lines = golden_lines(GOLDEN[golden]);
        let at = 1 + at.index(lines.len() - 1);
        lines.splice(at..at, extra.into_iter().map(String::into_bytes));
        let carry = if all { Carry::All } else { Carry::Reference };
        if let Ok(received) = parse(&lines.join(&b"\n"[..]), false) {
            let once = reprint(&received, carry);
            let twice = reprint(&parse(&once, false).unwrap(), carry);
            prop_assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
        }
    }
}

const GOLDEN: [&str; 8] = [
    "browser_to_plain/in",
    "everything_at_once/in",
    "everything_at_once/out_all",
    "not_rtp/in",
    "plain_offer/in",
    "plain_to_browser/out",
    "plain_to_sdes/out",
    "t38/in",
];

/// Lines that mean something, with values that often do not.
fn line() -> impl Strategy<Value = String> {
    let letter = "[vomcabstiuepkrz]";
    let attribute = prop::sample::select(vec![
        "candidate",
        "crypto",
        "extmap",
        "fingerprint",
        "fmtp",
        "group",
        "ice-options",
        "ice-ufrag",
        "label",
        "mid",
        "ptime",
        "recvonly",
        "rtcp",
        "rtcp-fb",
        "rtcp-mux",
        "rtpengine",
        "rtpmap",
        "setup",
        "ssrc",
        "tls-id",
    ]);
    let words = "[ -~]{0,30}|[0-9]{1,3} [a-zA-Z0-9/:.=|^-]{1,20}( [0-9a-zA-Z:.]{1,12}){0,6}";
    prop_oneof![
        (letter, words).prop_map(|(letter, value)| format!("{letter}={value}")),
        (attribute, words).prop_map(|(name, value)| format!("a={name}:{value}")),
        "m=(audio|video|image|x) [0-9]{1,5} (RTP/AVP|RTP/SAVPF|udptl|X) [0-9]{1,3}( [0-9]{1,3})?",
        "c=IN IP[46] (192.0.2.1|::1|0.0.0.0)",
    ]
}

#[derive(Clone, Debug)]
enum Mutation {
    Delete(prop::sample::Index),
    Duplicate(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Truncate(prop::sample::Index, prop::sample::Index),
    Byte(prop::sample::Index, prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
}

impl Mutation {
    fn apply(&self, lines: &mut Vec<Vec<u8>>) {
        if lines.is_empty() {
            return;
        }
        let count = lines.len();
        match self {
            Self::Delete(at) => drop(lines.remove(at.index(count))),
            Self::Duplicate(at) => {
                let line = lines[at.index(count)].clone();
                lines.insert(at.index(count), line);
            }
            Self::Swap(one, other) => lines.swap(one.index(count), other.index(count)),
            Self::Truncate(at, to) => {
                let line = &mut lines[at.index(count)];
                line.truncate(to.index(line.len() + 1));
            }
            Self::Byte(at, place, byte) => {
                let line = &mut lines[at.index(count)];
                if !line.is_empty() {
                    let place = place.index(line.len());
                    line[place] = *byte;
                }
            }
            Self::Insert(at, line) => lines.insert(at.index(count), line.clone()),
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Mutation::Delete),
        at().prop_map(Mutation::Duplicate),
        (at(), at()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        (at(), at()).prop_map(|(line, to)| Mutation::Truncate(line, to)),
        (at(), at(), any::<u8>()).prop_map(|(line, at, byte)| Mutation::Byte(line, at, byte)),
        (at(), line()).prop_map(|(at, line)| Mutation::Insert(at, line.into_bytes())),
    ]
}

/// Parses, and uses what came out in every way there is.
fn survive(bytes: &[u8], fragment: bool) {
    match parse(bytes, fragment) {
        Ok(received) => {
            let limits = Limits::default();
            assert!(received.media.len() <= limits.media);
            for media in &received.media {
                let address = received.address_of(media);
                let rtp = (Ipv4Addr::LOCALHOST, media.port).into();
                let _ = (media.is_rtcp_muxed(rtp), media.is_trickle(address.ok()));
                assert!(media.codecs.len() <= limits.formats);
            }
            let _ = format!("{received:?}");
            reprint(&received, Carry::All);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn reprint(received: &SessionDescription, carry: Carry) -> Vec<u8> {
    let mut session = write::Session::carried(received, carry);
    for source in &received.media {
        let mut media = write::Media::carried(source, carry);
        media.connection = received.address_of(source).ok();
        media.rtcp = source.rtcp.map(|rtcp| RtcpLine {
            port: rtcp.port,
            full: rtcp.address,
        });
        media.rtcp_mux = source.rtcp_mux;
        media.crypto = source.crypto.clone();
        media.setup = source.setup;
        media.fingerprint = source.fingerprint.clone();
        media.tls_id = source.tls_id.clone();
        media.ice_ufrag = source.ice.ufrag.clone();
        media.ice_pwd = source.ice.pwd.clone();
        media.ice_options = source.ice.options.clone();
        if media.verbatim.is_none() {
            media.candidates = source.ice.candidates.clone();
            media.end_of_candidates = source.ice.end_of_candidates;
        }
        session.media.push(media);
    }
    session.to_bytes()
}

fn parse(bytes: &[u8], fragment: bool) -> Result<SessionDescription, windlass_sdp::ParseError> {
    let options = ParseOptions {
        fragment,
        ..ParseOptions::default()
    };
    SessionDescription::parse(bytes, options)
}

fn golden_lines(name: &str) -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(golden.join(name).with_extension("sdp")).unwrap();
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}
