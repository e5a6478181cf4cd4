use super::*;
use crate::attribute::{CandidateKind, Direction, HashFunction, Setup, Suite};
use crate::limits::Limits;

const HEAD: &str =
    "v=0\r\no=- 1 1 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n";
const AUDIO: &str = "m=audio 2000 RTP/AVP 8 97\r\n";

fn parse(text: &str) -> Result<SessionDescription, ParseError> {
    SessionDescription::parse(text.as_bytes(), ParseOptions::default())
}

fn parsed(text: &str) -> SessionDescription {
    parse(text).unwrap()
}

/// One audio media with these attribute lines.
fn audio(attributes: &str) -> Media {
    let text = format!("{HEAD}{AUDIO}{attributes}");
    parsed(&text).media.remove(0)
}

fn refused(text: &str) -> (usize, Reason) {
    let error = parse(text).unwrap_err();
    assert!(!error.is_incomplete());
    (error.line, error.reason)
}

#[test]
fn first_line_must_be_version_zero() {
    assert_eq!(refused(""), (1, Reason::Empty));
    assert_eq!(refused("\r\nv=0\r\n"), (1, Reason::Empty));
    assert_eq!(refused("s=-\r\nv=0\r\n"), (1, Reason::Version));
    assert_eq!(refused("v=1\r\n"), (1, Reason::Version));
    assert_eq!(refused("v=00\r\n"), (1, Reason::Version));
    assert_eq!(refused("v=0 \r\n"), (1, Reason::Version));
}

#[test]
fn fragment_needs_no_version() {
    let options = ParseOptions {
        fragment: true,
        ..ParseOptions::default()
    };
    let text = b"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\nm=audio 9 RTP/AVP 0\r\n\
        a=mid:1\r\na=candidate:1 1 UDP 1 198.51.100.1 5000 typ host\r\na=end-of-candidates\r\n";
    let sdp = SessionDescription::parse(text, options).unwrap();
    let media = &sdp.media[0];
    assert!(media.ice.is_present() && media.ice.end_of_candidates);
    assert_eq!(media.ice.candidates.len(), 1);
    assert!(sdp.address_of(media).unwrap_err().is_incomplete());
    let whole = SessionDescription::parse(b"v=0\r\nm=audio 9 RTP/AVP 0\r\n", options).unwrap();
    assert_eq!(whole.parts.len(), 1);
}

#[test]
fn empty_line_ends_or_breaks_the_description() {
    let text = format!("{HEAD}{AUDIO}\r\nnonsense");
    assert_eq!(parsed(&text).media.len(), 1);
    let options = ParseOptions {
        reject_invalid: true,
        ..ParseOptions::default()
    };
    let error = SessionDescription::parse(text.as_bytes(), options).unwrap_err();
    assert_eq!((error.line, error.reason), (7, Reason::EmptyLine));
}

#[test]
fn line_end_is_lf_with_optional_cr() {
    let text = format!("{HEAD}{AUDIO}");
    assert_eq!(parsed(&text.replace('\r', "")), parsed(&text));
    assert_eq!(parsed(&text.replace('\r', "\r\r")), parsed(&text));
    assert_eq!(parsed(text.trim_end()), parsed(&text));
}

#[test]
fn lines_that_break_the_grammar_are_named() {
    let after = |line: &str| refused(&format!("{HEAD}{AUDIO}{line}\r\n")).1;
    assert_eq!(after("x=1"), Reason::UnknownLine('x'));
    assert_eq!(after("A=1"), Reason::UnknownLine('A'));
    assert_eq!(after("a"), Reason::NoEquals);
    assert_eq!(after("audio"), Reason::NoEquals);
    assert_eq!(
        after("c=IN IP4 198.51.100.1\r\nc=IN IP4 198.51.100.2"),
        Reason::Duplicate('c')
    );
    assert_eq!(after("a=x\0y"), Reason::ForbiddenByte(0));
    assert_eq!(after("a=cand\ridate:x"), Reason::ForbiddenByte(b'\r'));
    for letter in ['o', 's', 't', 'u', 'e', 'p'] {
        assert_eq!(
            after(&format!("{letter}=- 1 1 IN IP4 x")),
            Reason::AfterMedia(letter)
        );
    }
    let before = |line: &str| refused(&format!("{HEAD}{line}\r\n"));
    assert_eq!(before("o=- 1 1 IN IP4 x"), (6, Reason::Duplicate('o')));
    assert_eq!(before("c=IN IP4 198.51.100.1"), (6, Reason::Duplicate('c')));
}

#[test]
fn origin_needs_six_tokens_but_no_address() {
    assert_eq!(refused("v=0\no=- 1 1 IN IP4\n"), (2, Reason::Origin));
    let sdp = parsed("v=0\no=me 99999999999999999999 1 IN IP4 host.invalid\n");
    let origin = sdp.origin().unwrap();
    assert_eq!(origin.address, "host.invalid");
    assert_eq!(origin.session_id, "99999999999999999999");
    assert_eq!(origin.ip(), None);
}

#[test]
fn origin_version_counts_without_bound() {
    let mut origin = Origin::unknown();
    for (old, new) in [
        ("1", "2"),
        ("9", "10"),
        ("99999999999999999999", "100000000000000000000"),
        ("x", "1"),
    ] {
        origin.version = old.into();
        origin.increment_version();
        assert_eq!(origin.version, new);
    }
}

#[test]
fn connection_is_an_internet_address_of_its_family() {
    for good in [
        "IN IP4 198.51.100.1",
        "in ip4 198.51.100.1",
        "IN IP6 2001:db8::1",
        "IN IP4 233.252.0.1/127",
    ] {
        parsed(&format!("v=0\nc={good}\n"));
    }
    for bad in [
        "",
        "IN IP4",
        "IN IP4 host.invalid",
        "IN IP6 198.51.100.1",
        "IN IP4 ::1",
        "TN RFC2543 x",
    ] {
        assert_eq!(refused(&format!("v=0\nc={bad}\n")), (2, Reason::Connection));
    }
}

#[test]
fn address_is_the_medias_then_the_sessions_then_missing() {
    let sdp = parsed(&format!("{HEAD}{AUDIO}c=IN IP6 ::1\r\n{AUDIO}"));
    assert_eq!(sdp.address_of(&sdp.media[0]).unwrap().to_string(), "::1");
    assert_eq!(
        sdp.address_of(&sdp.media[1]).unwrap().to_string(),
        "198.51.100.10"
    );
    let sdp = parsed(&format!("v=0\r\n{AUDIO}"));
    let error = sdp.address_of(&sdp.media[0]).unwrap_err();
    assert!(error.is_incomplete());
    assert_eq!(error.line, 2);
}

#[test]
fn ports_and_counts_have_bounds() {
    let media = |line: &str| parse(&format!("{HEAD}m={line}\r\n"));
    let first = media("audio 65535/10 RTP/AVP 0").unwrap().media.remove(0);
    assert_eq!((first.port, first.port_count), (65535, 10));
    for bad in ["65536", "-1", "x", "", "2000/0", "2000/11", "2000/", "/2"] {
        let error = media(&format!("audio {bad} RTP/AVP 0")).unwrap_err();
        assert!(
            matches!(error.reason, Reason::Port | Reason::Media),
            "{bad}"
        );
    }
    for bad in ["", "audio", "audio 2000", "audio 2000 RTP/AVP"] {
        assert!(media(bad).is_err(), "{bad}");
    }
}

#[test]
fn payload_types_are_seven_bits_where_rtp_flows() {
    let media = |line: &str| parse(&format!("{HEAD}m={line}\r\n"));
    for bad in ["128", "x", "*", "-1", "8 128"] {
        let error = media(&format!("audio 2000 RTP/AVP {bad}")).unwrap_err();
        assert_eq!(error.reason, Reason::PayloadType);
        assert!(error.is_incomplete());
        assert!(media(&format!("audio 0 RTP/AVP {bad}")).is_ok());
        assert!(media(&format!("audio 2000 FOO/BAR {bad}")).is_ok());
    }
    let once = media("audio 2000 RTP/AVP 8 0 8").unwrap().media.remove(0);
    let types: Vec<_> = once.codecs.iter().map(|codec| codec.payload_type).collect();
    assert_eq!(types, [8, 0]);
}

#[test]
fn transports_have_no_case_and_unknown_ones_keep_their_text() {
    let transport = |name: &str| {
        let mut sdp = parsed(&format!("{HEAD}m=audio 2000 {name} 8\r\n"));
        sdp.media.remove(0).transport
    };
    assert_eq!(transport("udp/tls/rtp/savpf"), Transport::UdpTlsRtpSavpf);
    assert_eq!(transport("UDPTL"), Transport::Udptl);
    assert_eq!(transport("Foo/Bar").name(), "Foo/Bar");
    assert!(transport("RTP/SAVPF").has_feedback() && transport("RTP/SAVPF").is_srtp());
    assert!(!transport("TCP/RTP/AVP").is_rtp());
}

#[test]
fn second_version_starts_a_part_of_its_own() {
    let sdp = parsed(
        "v=0\no=first 1 1 IN IP4 x\ns=one\nc=IN IP4 198.51.100.1\na=sendonly\nm=audio 2 RTP/AVP 0\n\
         v=0\no=second 1 1 IN IP4 x\ns=two\nc=IN IP4 198.51.100.2\nm=audio 4 RTP/AVP 0\n",
    );
    assert_eq!(sdp.origin().unwrap().username, "first");
    assert_eq!(sdp.name().unwrap(), &"two");
    assert_eq!(sdp.media.len(), 2);
    assert_eq!(
        sdp.address_of(&sdp.media[1]).unwrap().to_string(),
        "198.51.100.2"
    );
    assert_eq!(sdp.media[0].direction, Some(Direction::SendOnly));
    assert_eq!(sdp.media[1].direction, None);
}

#[test]
fn direction_is_the_strongest_of_the_nearest_level() {
    let direction = |session: &str, media: &str| {
        let text = format!("{HEAD}{session}{AUDIO}{media}");
        parsed(&text).media.remove(0).direction
    };
    assert_eq!(direction("", ""), None);
    assert_eq!(direction("a=inactive\r\n", ""), Some(Direction::Inactive));
    assert_eq!(
        direction("a=recvonly\r\n", "a=sendrecv\r\n"),
        Some(Direction::SendRecv)
    );
    let all = "a=sendrecv\r\na=inactive\r\na=recvonly\r\na=sendonly\r\n";
    assert_eq!(direction("", all), Some(Direction::RecvOnly));
}

#[test]
fn codecs_come_from_rtpmap_or_the_static_table() {
    let media = audio(
        "a=rtpmap:97 opus/48000/2\r\na=fmtp:97 useinbandfec=1\r\na=rtcp-fb:97 nack\r\n\
         a=rtcp-fb:* ccm fir\r\na=rtpmap:8 nonsense\r\na=rtpmap:98 VP8/90000\r\na=fmtp:98 x\r\n",
    );
    let [pcma, opus] = media.codecs.as_slice() else {
        panic!("{:?}", media.codecs)
    };
    assert_eq!((pcma.name.as_str(), pcma.clock_rate), (Some("PCMA"), 8000));
    assert_eq!((opus.channels, opus.clock_rate), (Some(2), 48_000));
    assert_eq!(opus.fmtp, [Text::from("useinbandfec=1")]);
    assert_eq!(opus.rtcp_fb, [Text::from("nack")]);
    let generics: Vec<_> = media.generics().map(|line| line.text.to_string()).collect();
    assert_eq!(generics, ["rtcp-fb:* ccm fir"]);
    assert!(!audio("").codec(97).unwrap().is_known());
}

#[test]
fn attributes_that_make_no_sense_are_dropped() {
    let media = audio(
        "a=rtpmap:97 opus\r\na=crypto:x\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n\
         a=candidate:bogus\r\na=candidate:1 1 UDP 1 host.local 5 typ host\r\n\
         a=fingerprint:sha-256 AB:CD\r\na=fingerprint:md2 AB\r\na=rtcp:x\r\na=rtcp:70000\r\n\
         a=extmap:0 u\r\na=extmap:15 u\r\na=extmap:256 u\r\na=extmap:1\r\na=setup:maybe\r\n\
         a=ptime:20ms\r\na=mid:\r\na=rtcp-fb:97\r\n",
    );
    assert!(!media.codec(97).unwrap().is_known());
    assert!(media.crypto.is_empty() && media.ice.candidates.is_empty());
    assert!(media.extmaps.is_empty() && media.fingerprint.is_none() && media.rtcp.is_none());
    assert!(media.setup.is_none() && media.ptime.is_none() && media.mid.is_none());
    assert_eq!(media.generics().count(), 0);
}

#[test]
fn media_falls_back_to_the_session_where_it_may() {
    let digest = "00:".repeat(31) + "ff";
    let session = format!(
        "a=setup:actpass\r\na=fingerprint:SHA-256 {digest}\r\na=tls-id:abc\r\na=ice-ufrag:uuuu\r\n\
         a=ice-pwd:pppp\r\na=ice-options:trickle ice2\r\na=ice-lite\r\na=extmap:1 session\r\n\
         a=extmap-allow-mixed\r\na=mid:no\r\na=ptime:20\r\na=rtcp-mux\r\n"
    );
    let second = "a=setup:active\r\na=ice-ufrag:own\r\na=extmap:2/recvonly own with more\r\n";
    let sdp = parsed(&format!("{HEAD}{session}{AUDIO}{AUDIO}{second}"));
    let [first, second] = sdp.media.as_slice() else {
        panic!("two media")
    };
    assert_eq!(first.setup, Some(Setup::Actpass));
    let fingerprint = first.fingerprint.as_ref().unwrap();
    assert_eq!(fingerprint.hash, HashFunction::Sha256);
    assert_eq!(fingerprint.digest.last(), Some(&0xff));
    assert!(first.ice.lite && first.ice.has_option("ice2") && first.is_trickle(None));
    assert_eq!(first.extmaps[0].uri, "session");
    assert!(first.extmap_allow_mixed && first.tls_id.is_some() && first.is_osrtp());
    assert!(first.mid.is_none() && first.ptime.is_none() && !first.rtcp_mux);
    assert_eq!(second.setup, Some(Setup::Active));
    assert_eq!(second.ice.ufrag.as_ref().unwrap(), &"own");
    assert_eq!(second.ice.pwd.as_ref().unwrap(), &"pppp");
    assert_eq!(second.extmaps.len(), 1);
    assert_eq!(second.extmaps[0].direction, Some(Direction::RecvOnly));
    assert_eq!(second.extmaps[0].parameters, "with more");
    assert_eq!(sdp.parts[0].generics().count(), 0);
}

#[test]
fn strongest_fingerprint_counts() {
    let hex = |len: usize| "0A:".repeat(len - 1) + "0b";
    let media = audio(&format!(
        "a=fingerprint:sha-1 {}\r\na=fingerprint:sha-512 {}\r\na=fingerprint:sha-256 {}\r\n",
        hex(20),
        hex(64),
        hex(32)
    ));
    let fingerprint = media.fingerprint.unwrap();
    assert_eq!(fingerprint.hash, HashFunction::Sha512);
    assert_eq!(
        fingerprint.to_string(),
        format!("sha-512 {}", hex(64).to_uppercase())
    );
}

#[test]
fn several_certificates_may_have_one_hash() {
    let line = |hash: &str, byte: &str, len: usize| {
        format!("a=fingerprint:{hash} {}{byte}\r\n", "0A:".repeat(len - 1))
    };
    let of_256 = |byte: &str| line("sha-256", byte, 32);
    let lines = [
        line("sha-1", "01", 20),
        of_256("01"),
        of_256("02"),
        line("sha-1", "02", 20),
        of_256("01"),
        of_256("03"),
    ];
    let media = audio(&lines.concat());
    let all = media.fingerprint.iter().chain(&media.more_fingerprints);
    let all: Vec<_> = all.map(|one| (one.hash, one.digest[31])).collect();
    let expected = [1, 2, 3].map(|byte| (HashFunction::Sha256, byte));
    assert_eq!(all, expected);
    let many: String = (10..99).map(|byte| of_256(&byte.to_string())).collect();
    assert_eq!(audio(&many).more_fingerprints.len(), 7);
}

#[test]
fn crypto_lines_are_read_whole() {
    let key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let media = audio(&format!(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20|1:4;inline:{key}|2^20|2:4 FEC_ORDER=FEC_SRTP UNENCRYPTED_SRTCP\r\n\
         a=crypto:2 aes_cm_128_hmac_sha1_32 inline:{key}|1:4\r\n\
         a=crypto:3 AES_CM_256_HMAC_SHA1_80 inline:{}\r\n\
         a=crypto:4 NEW_SUITE inline:{key}\r\n\
         a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^49\r\n\
         a=crypto:6 AES_CM_128_HMAC_SHA1_80 inline:{key}|1:0\r\n\
         a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^64\r\n\
         a=crypto:8 AES_CM_128_HMAC_SHA1_80 prompt:{key}\r\n",
        "A".repeat(62),
    ));
    let tags: Vec<_> = media.crypto.iter().map(|line| line.tag).collect();
    assert_eq!(tags, [1, 2, 3, 4]);
    assert_eq!(media.crypto[3].suite, Suite::Unknown("NEW_SUITE".into()));
    let first = &media.crypto[0];
    assert_eq!(first.suite, Suite::AesCm128HmacSha1_80);
    assert_eq!(first.lifetime.unwrap().packets(), 1 << 20);
    assert_eq!(first.mki.map(|mki| (mki.value, mki.length)), Some((1, 4)));
    assert!(first.parameters.unencrypted_srtcp && !first.parameters.unencrypted_srtp);
    assert_eq!(first.key_salt().unwrap().len(), 30);
    assert_eq!(media.crypto[1].suite, Suite::AesCm128HmacSha1_32);
    assert!(media.crypto[1].lifetime.is_none() && media.crypto[1].mki.is_some());
    assert_eq!(media.crypto[2].suite, Suite::Aes256CmHmacSha1_80);
    assert!(media.is_osrtp());
    assert!(!format!("{media:?}").contains(key));
}

#[test]
fn further_keys_are_kept_if_packets_can_tell_them_apart() {
    let key = |letter: &str| letter.repeat(40);
    let read = |keys: &str| {
        let media = audio(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {keys}\r\n"));
        let [line] = media.crypto.try_into().unwrap();
        let further: Vec<_> = line.further.iter().map(|key| key.mki.value).collect();
        (line, further)
    };
    let (a, b, c) = (key("A"), key("B"), key("C"));
    let keys = format!("inline:{a}|2^20|1:4;inline:{b}|2:4;inline:{c}|2^48|3:4");
    let (line, further) = read(&keys);
    assert_eq!(further, [2, 3]);
    assert_eq!(
        line.to_string(),
        format!("1 AES_CM_128_HMAC_SHA1_80 {keys}")
    );
    assert_eq!(line.detached(), line);
    let shown = format!("{line:?}");
    assert!(!shown.contains(&b) && shown.contains("value: 3"), "{shown}");
    // Without identifier, with one of another length, with one that is there; no key, no method.
    for (keys, expected) in [
        (format!("inline:{a};inline:{b}|2:4"), vec![]),
        (format!("inline:{a}|1:4;inline:{b}"), vec![]),
        (
            format!("inline:{a}|1:4;inline:{b}|2:2;inline:{c}|3:4"),
            vec![3],
        ),
        (
            format!("inline:{a}|1:4;inline:{b}|1:4;inline:{c}|3:4;inline:{c}|3:4"),
            vec![3],
        ),
        (format!("inline:{a}|1:4;inline:AAAA|2:4;{c}|3:4;;"), vec![]),
    ] {
        assert_eq!(read(&keys).1, expected, "{keys}");
    }
    let many: String = (2..100).map(|mki| format!(";inline:{b}|{mki}:4")).collect();
    assert_eq!(
        read(&format!("inline:{a}|1:4{many}")).1,
        (2..9).collect::<Vec<u64>>()
    );
}

#[test]
fn candidates_are_read_and_printed_alike() {
    let line =
        "1 2 udp 1694498815 192.0.2.1 50001 typ srflx raddr 198.51.100.10 rport 50000 generation 0";
    let media = audio(&format!(
        "a=candidate:{line}\r\na=candidate:2 1 TCP 5 ::1 9 typ host tcptype active\r\n"
    ));
    let first = &media.ice.candidates[0];
    assert_eq!(first.kind, CandidateKind::ServerReflexive);
    assert_eq!(first.component, 2);
    assert_eq!(first.to_string(), line);
    assert!(first.is_udp() && !media.ice.candidates[1].is_udp());
    assert_eq!(media.ice.candidates[1].extensions, "tcptype active");
}

#[test]
fn rtcp_goes_next_door_unless_told() {
    let rtp = "198.51.100.10:2000".parse().unwrap();
    let endpoint = |attributes: &str| audio(attributes).rtcp_endpoint(rtp).unwrap().to_string();
    assert_eq!(endpoint(""), "198.51.100.10:2001");
    assert_eq!(endpoint("a=rtcp:3000\r\n"), "198.51.100.10:3000");
    assert_eq!(
        endpoint("a=rtcp:3000 IN IP4 192.0.2.1\r\n"),
        "192.0.2.1:3000"
    );
    assert!(audio("a=rtcp:2000\r\n").is_rtcp_muxed(rtp));
    assert!(audio("a=rtcp-mux\r\n").is_rtcp_muxed(rtp));
    assert!(!audio("").is_rtcp_muxed(rtp));
    assert_eq!(
        audio("").rtcp_endpoint("198.51.100.10:65535".parse().unwrap()),
        None
    );
}

#[test]
fn bundle_groups_and_loop_ids_are_collected() {
    let sdp = parsed(&format!(
        "{HEAD}a=group:BUNDLE a b\r\na=group:LS a b\r\na=rtpengine:456065d71231\r\na=tool:x\r\n"
    ));
    assert_eq!(sdp.bundle_groups().collect::<Vec<_>>(), [["a", "b"]]);
    assert_eq!(sdp.loop_ids().collect::<Vec<_>>(), [&"456065d71231"]);
    assert_eq!(sdp.parts[0].generics().count(), 1);
    assert_eq!(sdp.parts[0].generics_and_retained().count(), 2);
}

#[test]
fn every_cap_is_named() {
    let limits = Limits {
        bytes: 2000,
        parts: 2,
        media: 2,
        attributes: 3,
        candidates: 1,
        formats: 2,
    };
    let options = ParseOptions {
        limits,
        ..ParseOptions::default()
    };
    let candidate = "a=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\n";
    for (cap, line, text) in [
        (Cap::Bytes, 0, "v=0\r\n".repeat(500)),
        (Cap::Parts, 3, "v=0\r\n".repeat(3)),
        (Cap::Media, 8, format!("{HEAD}{}", AUDIO.repeat(3))),
        (Cap::Attributes, 9, format!("{HEAD}{}", "a=x\r\n".repeat(4))),
        (
            Cap::Attributes,
            10,
            format!("{HEAD}{AUDIO}{}", "a=x\r\n".repeat(4)),
        ),
        (
            Cap::Candidates,
            8,
            format!("{HEAD}{AUDIO}{}", candidate.repeat(2)),
        ),
        (
            Cap::Formats,
            6,
            format!("{HEAD}m=audio 2 RTP/AVP 1 2 3\r\n"),
        ),
    ] {
        let error = SessionDescription::parse(text.as_bytes(), options).unwrap_err();
        let limit = limits.of(cap);
        assert_eq!(error.line, line, "{cap}");
        assert_eq!(error.reason, Reason::OverLimit { cap, limit });
        assert!(
            error
                .to_string()
                .contains(&format!("more than {limit} {cap}"))
        );
    }
}

#[test]
fn bombs_end_in_a_cap() {
    let candidate = "a=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\n";
    for bomb in [
        format!("{HEAD}{}", AUDIO.repeat(10_000)),
        format!("{HEAD}{AUDIO}{}", candidate.repeat(100_000)),
        format!("{HEAD}{AUDIO}{}", candidate.repeat(5000)),
        format!("{HEAD}m=audio 2 RTP/AVP{}\r\n", " 8".repeat(100_000)),
        format!("{HEAD}{}", "a=extmap:7 x\r\n".repeat(15_000)),
        format!(
            "{HEAD}{AUDIO}{}",
            "a=crypto:1 x inline:AAAA\r\n".repeat(9000)
        ),
    ] {
        let reason = parse(&bomb).unwrap_err().reason;
        assert!(matches!(reason, Reason::OverLimit { .. }), "{reason}");
    }
}

#[test]
fn one_byte_behind_the_last_line_is_ignored_and_told() {
    let text = format!("{HEAD}{AUDIO}");
    assert!(!parsed(&text).has_stray_byte);
    for stray in ["\0", " ", "\t", "x", "\r"] {
        let sdp = parsed(&format!("{text}{stray}"));
        assert!(sdp.has_stray_byte, "{stray:?}");
        assert_eq!(sdp.media, parsed(&text).media);
        // After a blank line too, and where lines end in LF alone.
        assert!(parsed(&format!("{text}\r\n{stray}")).has_stray_byte);
        assert!(parsed(&format!("{}{stray}", text.replace('\r', ""))).has_stray_byte);
    }
    // Two are a line that says nothing; so is one that ends.
    for more in ["xx", "\0\0", "x\r\n", "x\n"] {
        parse(&format!("{text}{more}")).unwrap_err();
    }
    let strict = ParseOptions {
        reject_invalid: true,
        ..ParseOptions::default()
    };
    let text = format!("{text}\0");
    SessionDescription::parse(text.as_bytes(), strict).unwrap_err();
}
