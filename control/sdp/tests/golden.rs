//! The examples of the rewriting reference: each input parsed, carried, given ports, and printed.
//!
//! Files use LF; the wire uses CRLF.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use windlass_sdp::write::{self, AttributeRules, Carry, DirectionLine, Formats, RtcpLine, Section};
use windlass_sdp::{
    Candidate, CandidateKind, CryptoLine, Direction, Extmap, Fingerprint, HashFunction, Lifetime,
    Mki, ParseOptions, SessionDescription, Setup, Suite, Text, Transport,
};

const V4: &str = "203.0.113.1";

#[test]
fn plain_offer() {
    check("plain_offer", "out", |from| anchored(from, 31750));
}

#[test]
fn plain_answer() {
    check("plain_answer", "out", |from| anchored(from, 37330));
}

#[test]
fn everything_at_once() {
    check("everything_at_once", "out", |from| anchored(from, 36324));
}

#[test]
fn everything_at_once_with_nothing_lost() {
    check("everything_at_once", "out_all", |from| {
        anchored_with(from, 36324, Carry::All)
    });
}

#[test]
fn other_family() {
    let from = parse(&read("plain_offer", "in"));
    let mut session = anchored(&from, 31750);
    session.media[0].connection = Some(ip("2001:db8::1"));
    let kept = lines(&session);
    assert_eq!(kept[1], "o=alice 1545997027 1 IN IP4 198.51.100.10");
    assert_eq!(kept[5], "c=IN IP6 2001:db8::1");
    session.origin.set_address(ip("2001:db8::1"));
    assert_eq!(
        lines(&session)[1],
        "o=alice 1545997027 1 IN IP6 2001:db8::1"
    );
}

#[test]
fn rejected_video() {
    check("rejected_video", "out", |from| anchored(from, 31750));
}

#[test]
fn t38() {
    check("t38", "out", |from| anchored(from, 35092));
}

#[test]
fn not_rtp() {
    check("not_rtp", "out", |from| anchored(from, 40000));
}

#[test]
fn browser_to_plain() {
    check("browser_to_plain", "out", |from| {
        assert!(from.media[0].is_trickle(from.address_of(&from.media[0]).ok()));
        assert_eq!(from.media[0].transport, Transport::UdpTlsRtpSavpf);
        assert_eq!(from.media[0].ice.candidates.len(), 2);
        let mut session = anchored(from, 38130);
        session.origin.session_id = "1".into();
        session.origin.version = "1".into();
        session.origin.set_address(ip(V4));
        session.media[0].transport = Transport::RtpAvp.name();
        session
    });
}

#[test]
fn plain_to_browser() {
    check("plain_to_browser", "out", |from| {
        let mut session = anchored(from, 35363);
        session.loop_protect = Some("456065d71231".into());
        session.ice_lite = true;
        session.bundle_groups.push(vec!["1".into()]);
        let mut digest = vec![0x1b, 0x18, 0xd3];
        digest.extend(0..27);
        digest.extend([0xac, 0x57]);
        let media = &mut session.media[0];
        media.transport = Transport::UdpTlsRtpSavpf.name();
        media.mid = Some("1".into());
        media.extmap_allow_mixed = true;
        media
            .extmaps
            .push(Extmap::new(1, "urn:ietf:params:rtp-hdrext:sdes:mid"));
        media.rtcp = Some(RtcpLine {
            port: media.port,
            full: media.connection,
        });
        media.rtcp_mux = true;
        media.setup = Some(Setup::Actpass);
        media.fingerprint = Some(Fingerprint {
            hash: HashFunction::Sha256,
            digest,
        });
        media.tls_id = Some("c182f3fbc6fee0de19e742a8ffd5fd94".into());
        media.ice_ufrag = Some("3Xywgrfo".into());
        media.ice_pwd = Some("UvNVQH5iRfuxVuLsvzBuXg194L".into());
        media.ice_options = Some("trickle".into());
        media.candidates = vec![
            host("D93YKICd7t15Crp0", 2_130_706_431, "203.0.113.1:35363"),
            host("o2mltTzlwgoZUpOO", 2_130_706_175, "[2001:db8::1]:38950"),
            relay("D93YKICd7t15Crp0", 16_777_215, "203.0.113.1:34972"),
        ];
        media.end_of_candidates = true;
        session
    });
}

#[test]
fn plain_to_sdes() {
    check("plain_to_sdes", "out", |from| {
        let mut session = anchored(from, 33452);
        let media = &mut session.media[0];
        media.transport = Transport::RtpSavp.name();
        media.connection = Some(ip("2001:db8::1"));
        media.crypto = vec![
            crypto(
                1,
                Suite::AeadAes256Gcm,
                "zIgea+D3FtOsceO2kxZbwdOJ6DTGKgfPW52ecHMqfHdp7+A9yIScWORS2iU",
            ),
            crypto(
                2,
                Suite::AeadAes128Gcm,
                "4+0cZvsu2XvW1W/xZt7jaW4uW9OC1PY31o8q9w",
            ),
            crypto(
                12,
                Suite::NullHmacSha1_32,
                "1o8AAtnq31aeZ+UrTnvN/XvkvuKnbwaI9lD9bAqN",
            ),
        ];
        media.crypto[1].lifetime = Some(Lifetime::DEFAULT);
        media.crypto[1].mki = Some(Mki {
            value: 1,
            length: 4,
        });
        let parameters = &mut media.crypto[2].parameters;
        parameters.unencrypted_srtp = true;
        parameters.unencrypted_srtcp = true;
        parameters.unauthenticated_srtp = true;
        session
    });
}

#[test]
fn what_is_printed_as_sdes_reads_back() {
    let printed = parse(&read("plain_to_sdes", "out"));
    let crypto = &printed.media[0].crypto;
    assert_eq!(crypto.len(), 3);
    assert_eq!(crypto[0].suite, Suite::AeadAes256Gcm);
    assert_eq!(crypto[0].key_salt().unwrap().len(), 44);
    assert_eq!(crypto[1].lifetime.unwrap().packets(), 1 << 31);
    let again = CryptoLine::new(
        2,
        Suite::AeadAes128Gcm,
        &crypto[1].key_salt().unwrap(),
        false,
    );
    assert_eq!(again.key, crypto[1].key);
    assert!(crypto[2].parameters.unauthenticated_srtp);
}

#[test]
fn sdp_attr() {
    check("sdp_attr", "out", |from| {
        let mut session = anchored(from, 30950);
        let mut rules = AttributeRules::default();
        rules.section_mut(Section::from_name("global").unwrap()).add =
            vec!["tool:x".into(), "a=y".into()];
        let audio = rules.section_mut(Section::from_name("audio").unwrap());
        audio.add = vec!["foo:1".into()];
        audio.remove = vec!["RTPMAP:18".into(), "fmtp".into(), "sendrecv".into()];
        audio.substitute = vec![
            ("rtpmap:101".into(), "bar".into()),
            ("rtpmap:8".into(), "zzz".into()),
        ];
        session.rules = rules;
        session
    });
}

#[test]
fn loop_and_ice_lite_obey_the_rules_of_the_first_usable_media() {
    let from = parse(&read("rejected_video", "in"));
    let mut session = anchored(&from, 31750);
    session.media.swap(0, 1);
    session.loop_protect = Some("456065d71231".into());
    session.ice_lite = true;
    session.attributes.push("ice-lite-like".into());
    let audio = session
        .rules
        .section_mut(Section::from_name("audio").unwrap());
    audio.remove = vec!["rtpengine".into()];
    audio.substitute = vec![("ice-lite".into(), "x".into())];
    let video = session
        .rules
        .section_mut(Section::from_name("video").unwrap());
    video.add = vec!["not-in-a-rejected-media".into()];
    assert_eq!(
        lines(&session)[3..9],
        [
            "t=0 0",
            "a=x",
            "a=ice-lite-like",
            "m=video 0 RTP/AVP 96",
            "c=IN IP4 0.0.0.0",
            "a=mid:v"
        ]
    );
    assert!(lines(&session)[9].starts_with("m=audio"));
}

#[test]
fn original_sendrecv() {
    check("original_sendrecv", "out", |from| {
        let mut session = anchored(from, 40000);
        for (media, source) in session.media.iter_mut().zip(&from.media) {
            media.copy_direction(source);
        }
        session
    });
}

#[test]
fn legacy_osrtp_answer() {
    check("legacy_osrtp_answer", "out", |from| {
        let mut session = anchored(from, 38974);
        let mut plain = session.media[0].clone();
        plain.rejected = true;
        plain.connection = None;
        let srtp = &mut session.media[0];
        srtp.transport = Transport::RtpSavp.name();
        srtp.crypto = vec![crypto(
            1,
            Suite::AesCm128HmacSha1_80,
            "zTphlYVUDtsZ/sLlfijcuu0O+W+RGoT79yLJDaPY",
        )];
        session.media.insert(0, plain);
        session
    });
}

#[test]
fn ice_copied() {
    check("ice_copied", "out", |from| {
        let mut session = anchored(from, 2000);
        let (media, source) = (&mut session.media[0], &from.media[0]);
        media.connection = from.address_of(source).ok();
        media.formats = Formats::Text(source.formats.clone());
        media.verbatim = Some(source.verbatim().map(|line| line.text.clone()).collect());
        media.candidates = vec![relay("D93YKICd7t15Crp0", 16_777_215, "203.0.113.1:34972")];
        media.end_of_candidates = source.ice.end_of_candidates;
        session
    });
}

#[test]
fn hold_by_zero_address_can_be_printed() {
    let from = parse(&read("plain_offer", "in"));
    let mut session = anchored(&from, 31750);
    session.media[0].connection = Some(ip("0.0.0.0"));
    session.media[0].direction = DirectionLine::Print(Direction::SendOnly);
    let lines = lines(&session);
    assert_eq!(lines[5], "c=IN IP4 0.0.0.0");
    assert!(lines.contains(&"a=sendonly".to_owned()));
}

#[test]
fn no_slot_can_add_a_line() {
    let from = parse(&read("plain_offer", "in"));
    let mut session = anchored(&from, 31750);
    session.name = "x\r\na=injected".into();
    session.media[0].generics.push("y\na=injected\0".into());
    let lines = lines(&session);
    assert_eq!(lines[2], "s=xa=injected");
    assert!(!lines.iter().any(|line| line == "a=injected"));
}

/// What the engine does in the plain case: every media gets a port pair from `first_port` on.
fn anchored(from: &SessionDescription, first_port: u16) -> write::Session {
    anchored_with(from, first_port, Carry::Reference)
}

fn anchored_with(from: &SessionDescription, first_port: u16, carry: Carry) -> write::Session {
    let mut session = write::Session::carried(from, carry);
    let mut port = first_port;
    for source in &from.media {
        let mut media = write::Media::carried(source, carry);
        if source.is_rejected() {
            media.connection = Some(ip("0.0.0.0"));
        } else {
            media.port = port;
            media.connection = Some(ip(V4));
            media.rtcp = Some(RtcpLine {
                port: port + 1,
                full: None,
            });
            port += 2;
        }
        session.media.push(media);
    }
    session
}

fn check(case: &str, out: &str, build: impl FnOnce(&SessionDescription) -> write::Session) {
    let printed = build(&parse(&read(case, "in"))).to_bytes();
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(printed.replace("\r\n", "\n"), read(case, out), "{case}");
    assert_eq!(
        printed.matches('\n').count(),
        printed.matches("\r\n").count()
    );
}

fn lines(session: &write::Session) -> Vec<String> {
    let printed = String::from_utf8(session.to_bytes()).unwrap();
    printed.lines().map(str::to_owned).collect()
}

fn read(case: &str, file: &str) -> String {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read_to_string(golden.join(case).join(file).with_extension("sdp")).unwrap()
}

fn parse(text: &str) -> SessionDescription {
    let wire = text.replace('\n', "\r\n");
    SessionDescription::parse(wire.as_bytes(), ParseOptions::default()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn crypto(tag: u32, suite: Suite, key: &str) -> CryptoLine {
    let mut line = CryptoLine::new(tag, suite, &[], false);
    line.key = key.into();
    line
}

fn host(foundation: &str, priority: u32, address: &str) -> Candidate {
    Candidate {
        foundation: foundation.into(),
        component: 1,
        transport: "UDP".into(),
        priority,
        address: address.parse().unwrap(),
        kind: CandidateKind::Host,
        related: None,
        extensions: Text::new(),
    }
}

fn relay(foundation: &str, priority: u32, address: &str) -> Candidate {
    let related: SocketAddr = address.parse().unwrap();
    Candidate {
        kind: CandidateKind::Relay,
        related: Some(related),
        ..host(foundation, priority, address)
    }
}
