//! sdp-rewriting §8: DTLS as it is offered and answered, and the memory of each leg.

use super::masks::masked_medias;
use super::*;

const FINGERPRINT: &str = "sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1";

fn dtls(setup: &str) -> String {
    format!("m=audio 2000 UDP/TLS/RTP/SAVP 8\na=setup:{setup}\na=fingerprint:{FINGERPRINT}\n")
}

const PLAIN: &str = "m=audio 3000 RTP/AVP 8\n";

fn value<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.strip_prefix(name))
}

#[test]
fn dtls_is_terminated_on_both_legs() {
    let mut bench = Bench::new();
    let theirs = format!("{}a=tls-id:{}\n", dtls("passive"), "e".repeat(32));
    let section = |setup: &str| {
        format!(
            "m=audio PORT0 UDP/TLS/RTP/SAVP 8
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=sendrecv
a=rtcp:PORT1
a=setup:{setup}
a=fingerprint:sha-256 <95>
a=tls-id:<32>
"
        )
    };
    let sdp = bench.sdp(from_a(&theirs).with("SDES", "off"));
    assert_eq!(masked_medias(&sdp), section("actpass"));
    assert!(!sdp.contains(FINGERPRINT) && !sdp.contains("eeee"), "{sdp}");
    let sdp = bench.sdp(from_b(&dtls("passive")));
    assert_eq!(masked_medias(&sdp), section("active"));
}

#[test]
fn nothing_known_is_holdconn() {
    let mut bench = Bench::new();
    let silent = dtls("actpass").replace("a=setup:actpass\n", "");
    bench.sdp(from_a(&silent).with("transport-protocol", "RTP/AVP"));
    let sdp = bench.sdp(from_b(PLAIN));
    assert_eq!(value(&sdp, "a=setup:"), Some("holdconn"), "{sdp}");
}

#[test]
fn the_answer_has_the_hash_of_the_client() {
    let digest = |bytes: usize| "AA:".repeat(bytes - 1) + "AA";
    for (hash, bytes) in [
        ("sha-1", 20),
        ("sha-224", 28),
        ("sha-384", 48),
        ("sha-512", 64),
    ] {
        let mut bench = Bench::new();
        let lines = format!(
            "m=audio 2000 UDP/TLS/RTP/SAVP 8\na=setup:actpass\na=fingerprint:{hash} {}\n",
            digest(bytes)
        );
        bench.sdp(from_a(&lines).with("transport-protocol", "RTP/AVP"));
        let sdp = bench.sdp(from_b(PLAIN));
        let printed = value(&sdp, "a=fingerprint:").unwrap();
        let (name, hex) = printed.split_once(' ').unwrap();
        assert_eq!((name, hex.len()), (hash, 3 * bytes - 1));
        assert_eq!(hex, hex.to_uppercase());
    }
}

#[test]
fn the_certificate_is_one_and_each_leg_has_its_tls_id() {
    let mut bench = Bench::new();
    let offered = bench.sdp(from_a(&dtls("actpass")));
    let answered = bench.sdp(from_b(&dtls("active")));
    let of = |sdp: &str, name: &str| value(sdp, name).unwrap().to_owned();
    assert_eq!(
        of(&offered, "a=fingerprint:"),
        of(&answered, "a=fingerprint:")
    );
    assert_ne!(of(&offered, "a=tls-id:"), of(&answered, "a=tls-id:"));
    let again = bench.sdp(from_a(&dtls("actpass")).with("to-tag", "T"));
    assert_eq!(of(&again, "a=tls-id:"), of(&offered, "a=tls-id:"));
    assert_eq!(value(&again, "a=setup:"), Some("actpass"));
    let again = bench.sdp(from_b(&dtls("active")));
    assert_eq!(of(&again, "a=tls-id:"), of(&answered, "a=tls-id:"));
    assert_eq!(of(&again, "a=setup:"), of(&answered, "a=setup:"));
}

#[test]
fn dtls_off_in_an_offer_leaves_sdes() {
    for transport in ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"] {
        let request = from_a(PLAIN)
            .with("transport-protocol", transport)
            .with("DTLS", "off");
        let sdp = Bench::new().sdp(request);
        assert!(
            sdp.contains("\na=crypto:12 ") && !sdp.contains("a=setup"),
            "{sdp}"
        );
    }
}

#[test]
fn a_leg_remembers_the_transport_that_it_was_given() {
    let mut bench = Bench::new();
    let transport = |sdp: &str| {
        let line = sdp.lines().find(|line| line.starts_with("m=")).unwrap();
        line.split(' ').nth(2).unwrap().to_owned()
    };
    let first = from_a(PLAIN).with("transport-protocol", "RTP/SAVPF");
    assert_eq!(transport(&bench.sdp(first)), "RTP/SAVPF");
    let key = "zTphlYVUDtsZ/sLlfijcuu0O+W+RGoT79yLJDaPY";
    let secure =
        format!("m=audio 3000 RTP/SAVPF 8\na=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{key}\n");
    assert_eq!(transport(&bench.sdp(from_b(&secure))), "RTP/AVP");
    // A re-offer of the same transport changes nothing, from either side.
    let again = from_a(PLAIN).with("to-tag", "T");
    assert_eq!(transport(&bench.sdp(again)), "RTP/SAVPF");
    let back = message("offer", &party("198.51.100.20", &secure))
        .with("from-tag", "T")
        .with("to-tag", "F");
    assert_eq!(transport(&bench.sdp(back)), "RTP/AVP");
    // A changed one resets the other leg.
    let changed = from_a(&PLAIN.replace("AVP", "AVPF")).with("to-tag", "T");
    assert_eq!(transport(&bench.sdp(changed)), "RTP/AVPF");
}

#[test]
fn a_transport_is_asked_for_in_any_case_and_an_unknown_one_is_none() {
    for (asked, printed) in [
        ("rtp/savp", "RTP/SAVP"),
        ("udp/tls/rtp/savpf", "UDP/TLS/RTP/SAVPF"),
        ("FOO", "RTP/AVP"),
    ] {
        let sdp = Bench::new().sdp(from_a(PLAIN).with("transport-protocol", asked));
        assert!(sdp.contains(&format!(" {printed} 8\n")), "{sdp}");
    }
}

/// corrections-b §8.2: a peer that sees the tls-id that it knows keeps its association, for which
/// another port has no keys.
#[test]
fn another_port_is_another_association() {
    let of = |sdp: &str| {
        let tls_id = value(sdp, "a=tls-id:").unwrap().to_owned();
        (port(sdp, 0), tls_id)
    };
    let ice = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";
    for (more, follows) in [("", true), (ice, false)] {
        let mut bench = Bench::new();
        let moved = |lines: &str, port: &str| lines.replace(" 2000 ", port) + more;
        let offered = of(&bench.sdp(from_a(&moved(&dtls("actpass"), " 2000 "))));
        let answered = of(&bench.sdp(from_b(&moved(&dtls("active"), " 3000 "))));
        // The same address again, then another one, of either party.
        let again = from_a(&moved(&dtls("actpass"), " 2000 ")).with("to-tag", "T");
        assert_eq!(of(&bench.sdp(again)), offered);
        let again = from_b(&moved(&dtls("active"), " 3000 "));
        assert_eq!(of(&bench.sdp(again)), answered);
        let other = of(&bench.sdp(from_a(&moved(&dtls("actpass"), " 2100 ")).with("to-tag", "T")));
        assert_eq!(
            (other.0 != offered.0, other.1 != offered.1),
            (follows, follows)
        );
        let other = of(&bench.sdp(from_b(&moved(&dtls("active"), " 3100 "))));
        assert_eq!(
            (other.0 != answered.0, other.1 != answered.1),
            (follows, follows)
        );
    }
}

/// The same of one line among others, and where the family changes.
#[test]
fn only_the_line_whose_port_changed_has_a_new_association() {
    let both = |audio: u16, video: u16| {
        dtls("actpass").replace(" 2000 ", &format!(" {audio} "))
            + &dtls("actpass")
                .replace("audio 2000", &format!("video {video}"))
                .replace("SAVP 8", "SAVP 96\na=rtpmap:96 VP8/90000")
    };
    let ids = |sdp: &str| -> Vec<String> {
        let lines = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=tls-id:"));
        lines.map(str::to_owned).collect()
    };
    let mut bench = Bench::new();
    let first = bench.sdp(from_a(&both(2000, 2002)));
    bench.sdp(from_b(&both(3000, 3002)));
    let second = bench.sdp(from_a(&both(2000, 2100)).with("to-tag", "T"));
    assert_eq!(ids(&first)[0], ids(&second)[0]);
    assert_ne!(ids(&first)[1], ids(&second)[1]);
    assert_eq!(port(&first, 0), port(&second, 0));
    let third = bench.sdp(
        from_a(&both(2000, 2100))
            .with("to-tag", "T")
            .with("address-family", "IP6"),
    );
    assert!(third.contains("IP6 2001:db8::1"), "{third}");
    for line in 0..2 {
        assert_ne!(ids(&second)[line], ids(&third)[line]);
    }
}
