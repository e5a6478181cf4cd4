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
