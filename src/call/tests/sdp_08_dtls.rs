//! sdp-rewriting §8: DTLS-SRTP, WebRTC, and the memory of each leg's transport.

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
