//! sdp-rewriting §8: DTLS-SRTP, WebRTC, and the memory of each leg's transport.

use super::masks::masked_medias;
use super::*;

const FINGERPRINT: &str = "sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1";

fn browser(setup: &str) -> String {
    party(
        "198.51.100.10",
        &format!(
            "a=group:BUNDLE a0\nm=audio 2000 UDP/TLS/RTP/SAVPF 111 8\na=mid:a0\n\
             a=rtpmap:111 opus/48000/2\na=ssrc:1234 cname:x\n\
             a=extmap-allow-mixed\n\
             a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\n\
             a=rtcp-mux\na=setup:{setup}\na=fingerprint:{FINGERPRINT}\n\
             a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\na=ice-options:trickle\n\
             a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host\n"
        ),
    )
}

/// Values that are drawn, by a placeholder.
fn masked(sdp: &str) -> String {
    let mut out = String::new();
    for line in numbered(sdp).lines() {
        let name = [
            "a=tls-id:",
            "a=ice-ufrag:",
            "a=ice-pwd:",
            "a=fingerprint:sha-256 ",
        ]
        .into_iter()
        .find(|name| line.starts_with(name));
        match name {
            Some(name) => {
                let drawn = line.len() - name.len();
                out.push_str(&format!("{name}<{drawn}>\n"));
            }
            None if line.starts_with("a=candidate:") => {
                let (foundation, rest) = line["a=candidate:".len()..].split_once(' ').unwrap();
                assert_eq!(foundation.len(), 16);
                out.push_str(&format!("a=candidate:F {rest}\n"));
            }
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

#[test]
fn plain_to_browser() {
    let mut bench = Bench::new();
    let request = offer(&party("198.51.100.10", "m=audio 2000 RTP/AVP 8 0\n"))
        .with("transport-protocol", "UDP/TLS/RTP/SAVPF")
        .with("ICE", "force")
        .with("rtcp-mux", strings(&["require"]))
        .with("flags", strings(&["generate-mid"]))
        .with("SDES", "off");
    let sdp = bench.sdp(request);
    let (_, media) = masked(&sdp)
        .split_once("t=0 0\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert_eq!(
        media,
        "m=audio PORT0 UDP/TLS/RTP/SAVPF 8 0
c=IN IP4 203.0.113.1
a=mid:1
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=sendrecv
a=rtcp:PORT0
a=rtcp-mux
a=setup:actpass
a=fingerprint:sha-256 <95>
a=tls-id:<32>
a=ice-ufrag:<8>
a=ice-pwd:<26>
a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT1 typ host
"
    );
    // The browser's answer needs no options; the offerer gets plain RTP.
    let sdp = bench.sdp(answer(
        &browser("active")
            .replace("a=group:BUNDLE a0\n", "")
            .replace(
                "m=audio 2000 UDP/TLS/RTP/SAVPF 111 8",
                "m=audio 2000 UDP/TLS/RTP/SAVPF 8",
            )
            .replace("a=rtpmap:111 opus/48000/2\n", ""),
    ));
    assert!(sdp.contains(" RTP/AVP 8\n"), "{sdp}");
    for absent in [
        "a=setup",
        "a=fingerprint",
        "a=ice",
        "a=candidate",
        "a=rtcp-mux",
    ] {
        assert!(!sdp.contains(absent), "{absent}: {sdp}");
    }
}

#[test]
fn flag_webrtc_adds_bundle_trickle_and_mid_extension() {
    let mut bench = Bench::new();
    let request = offer(&party("198.51.100.10", "m=audio 2000 RTP/AVP 8 0\n"))
        .with("flags", strings(&["WebRTC"]));
    let sdp = masked(&bench.sdp(request));
    let (session, media) = sdp.split_once("m=audio").unwrap();
    assert!(session.ends_with("t=0 0\na=group:BUNDLE 1\n"), "{sdp}");
    assert_eq!(
        media,
        " PORT0 UDP/TLS/RTP/SAVPF 8 0
c=IN IP4 203.0.113.1
a=mid:1
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=extmap-allow-mixed
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=rtcp-mux
a=setup:actpass
a=fingerprint:sha-256 <95>
a=tls-id:<32>
a=ice-ufrag:<8>
a=ice-pwd:<26>
a=ice-options:trickle
a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT1 typ host
a=end-of-candidates
"
    );
}

#[test]
fn browser_to_plain_and_back() {
    let mut bench = Bench::new();
    let request = offer(&browser("actpass"))
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove")
        .with("rtcp-mux", strings(&["demux"]))
        .with("replace", strings(&["origin"]));
    assert_eq!(
        numbered(&bench.sdp(request)),
        "v=0
o=- 1 1 IN IP4 203.0.113.1
s=-
t=0 0
m=audio PORT0 RTP/AVP 111 8
c=IN IP4 203.0.113.1
a=mid:a0
a=rtpmap:111 opus/48000/2
a=rtpmap:8 PCMA/8000
a=extmap-allow-mixed
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=ssrc:1234 cname:x
a=sendrecv
a=rtcp:PORT1
"
    );
    let sdp = bench.sdp(answer(&party("198.51.100.20", "m=audio 3000 RTP/AVP 8\n")));
    let (_, media) = masked(&sdp)
        .split_once("t=0 0\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert_eq!(
        media,
        "m=audio PORT0 UDP/TLS/RTP/SAVPF 8
c=IN IP4 203.0.113.1
a=mid:a0
a=rtpmap:8 PCMA/8000
a=sendrecv
a=rtcp:PORT0
a=rtcp-mux
a=setup:active
a=fingerprint:sha-256 <95>
a=tls-id:<32>
a=ice-ufrag:<8>
a=ice-pwd:<26>
a=ice-options:trickle
a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT1 typ host
a=end-of-candidates
"
    );
}

/// What we answer to a browser's `setup`, with options on offer and answer.
fn answered_setup(setup: &str, options: Option<&str>) -> String {
    let mut bench = Bench::new();
    let mut request = offer(&browser(setup)).with("transport-protocol", "RTP/AVP");
    if let Some(option) = options {
        request.push("DTLS", option);
    }
    bench.sdp(request);
    let sdp = bench.sdp(answer(&party("198.51.100.20", "m=audio 3000 RTP/AVP 8\n")));
    let line = sdp
        .lines()
        .find(|line| line.starts_with("a=setup:"))
        .unwrap();
    line["a=setup:".len()..].to_owned()
}

#[test]
fn the_role_follows_the_offer_and_the_options() {
    assert_eq!(answered_setup("actpass", None), "active");
    assert_eq!(answered_setup("passive", None), "active");
    assert_eq!(answered_setup("active", None), "passive");
    assert_eq!(answered_setup("actpass", Some("passive")), "passive");
    assert_eq!(answered_setup("passive", Some("passive")), "active");
}

#[test]
fn dtls_wins_over_sdes_unless_told_otherwise() {
    let both = || {
        let key = "zTphlYVUDtsZ/sLlfijcuu0O+W+RGoT79yLJDaPY";
        party(
            "198.51.100.10",
            &format!(
                "m=audio 2000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\n\
                 a=setup:actpass\na=fingerprint:{FINGERPRINT}\n"
            ),
        )
    };
    let plain = party("198.51.100.20", "m=audio 3000 RTP/AVP 8\n");
    let run = |in_offer: Option<(&'static str, &'static str)>,
               in_answer: Option<(&'static str, &'static str)>| {
        let mut bench = Bench::new();
        let mut request = offer(&both()).with("transport-protocol", "RTP/AVP");
        in_offer
            .into_iter()
            .for_each(|(key, value)| request.push(key, value));
        bench.sdp(request);
        let mut request = answer(&plain);
        in_answer
            .into_iter()
            .for_each(|(key, value)| request.push(key, value));
        let sdp = bench.sdp(request);
        (sdp.contains("a=crypto"), sdp.contains("a=fingerprint"))
    };
    assert_eq!(run(None, None), (false, true));
    assert_eq!(run(None, Some(("DTLS", "off"))), (true, false));
    assert_eq!(run(Some(("SDES", "prefer")), None), (true, false));
}

#[test]
fn the_fingerprint_has_the_hash_that_was_asked_for_or_the_clients() {
    let mut bench = Bench::new();
    let request = offer(&party("198.51.100.10", "m=audio 2000 RTP/AVP 8\n"))
        .with("transport-protocol", "UDP/TLS/RTP/SAVP")
        .with("DTLS-fingerprint", "sha-512");
    assert!(bench.sdp(request).contains("a=fingerprint:sha-512 "));
    let mut bench = Bench::new();
    let request = offer(&party("198.51.100.10", "m=audio 2000 RTP/AVP 8\n"))
        .with("transport-protocol", "UDP/TLS/RTP/SAVP")
        .with("flags", strings(&["no-tls-id"]));
    let sdp = bench.sdp(request);
    assert!(
        sdp.contains("a=fingerprint:sha-256 ") && !sdp.contains("tls-id"),
        "{sdp}"
    );
}

/// Once chosen for a media it stays, whichever side offers next.
#[test]
fn the_hash_that_was_asked_for_stays_in_answers() {
    let mut bench = Bench::new();
    let dtls = |setup: &str| {
        let digest = vec!["AB"; 32].join(":");
        format!(
            "m=audio 2000 UDP/TLS/RTP/SAVP 8\na=setup:{setup}\na=fingerprint:sha-256 {digest}\n"
        )
    };
    let shown = bench.sdp(from_a(&dtls("actpass")).with("DTLS-fingerprint", "sha-1"));
    assert!(shown.contains("a=fingerprint:sha-1 "), "{shown}");
    let shown = bench.sdp(from_b(&dtls("active")));
    assert!(shown.contains("a=fingerprint:sha-256 "), "{shown}");
    let shown = bench.sdp(offer_of_b(&dtls("actpass")));
    assert!(shown.contains("a=fingerprint:sha-256 "), "{shown}");
    let shown = bench.sdp(answer_of_a(&dtls("active")));
    assert!(shown.contains("a=fingerprint:sha-1 "), "{shown}");
}

#[test]
fn a_changed_protocol_of_a_reoffer_resets_the_other_leg_and_an_answer_does_not() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    let avpf = audio("198.51.100.20", 3000, "").replace("RTP/AVP", "RTP/AVPF");
    assert!(bench.sdp(answer(&avpf)).contains(" RTP/AVP 8\n"));
    let accepted = answer(&avpf).with("transport-protocol", "accept");
    assert!(bench.sdp(accepted).contains(" RTP/AVPF 8\n"));
    let again =
        offer(&audio("198.51.100.10", 2000, "").replace("RTP/AVP", "RTP/AVPF")).with("to-tag", "T");
    assert!(bench.sdp(again).contains(" RTP/AVPF 8\n"));
}

#[test]
fn an_offer_tried_again_as_srtp_has_both_ways_to_key() {
    for transport in ["RTP/SAVP", "UDP/TLS/RTP/SAVPF"] {
        let mut bench = Bench::new();
        let plain = offer(&party("198.51.100.10", "m=audio 2000 RTP/AVP 8 0\n"));
        let sdp = bench.sdp(plain.clone());
        assert!(!sdp.contains("a=setup:"), "{sdp}");
        let sdp = bench.sdp(plain.with("transport-protocol", transport));
        assert!(sdp.contains(&format!(" {transport} 8 0\n")), "{sdp}");
        assert!(sdp.contains("\na=crypto:12 "), "{sdp}");
        assert!(sdp.contains("\na=setup:actpass\n"), "{sdp}");
    }
}

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

/// sdp-rewriting §8: a peer that sees the tls-id that it knows keeps its association, for which
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
