//! sdp-rewriting §9: rtcp-mux, BUNDLE and mid as whole sections.

use super::masks::{masked, masked_medias};
use super::*;

const ICE: &str = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n\
    a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host\n";

#[test]
fn mux_is_offered_with_a_port_to_fall_back_to_and_taken_without() {
    let lines = format!("m=audio 2000 RTP/AVP 8\na=rtcp-mux\n{ICE}");
    let mut bench = Bench::new();
    assert_eq!(
        masked_medias(&bench.sdp(from_a(&lines))),
        "m=audio PORT0 RTP/AVP 8
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=sendrecv
a=rtcp:PORT1
a=rtcp-mux
a=ice-ufrag:<8>
a=ice-pwd:<26>
a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT2 typ host
a=candidate:F 2 UDP 2130706430 203.0.113.1 PORT1 typ host
a=candidate:F 2 UDP 2130706174 2001:db8::1 PORT3 typ host
"
    );
    assert_eq!(
        masked_medias(&bench.sdp(from_b(&lines))),
        "m=audio PORT0 RTP/AVP 8
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=sendrecv
a=rtcp:PORT0
a=rtcp-mux
a=ice-ufrag:<8>
a=ice-pwd:<26>
a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT1 typ host
"
    );
}

const BUNDLED: &str = "a=group:BUNDLE a0 v0\n";

fn two(lines: &str) -> String {
    format!(
        "m=audio 2000 UDP/TLS/RTP/SAVPF 8\na=mid:a0\n{lines}\
         m=video 2000 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=mid:v0\n{lines}"
    )
}

fn webrtc() -> String {
    let hash = "AA:".repeat(31) + "AA";
    two(&format!(
        "a=rtcp-mux\na=setup:actpass\na=fingerprint:sha-256 {hash}\n{ICE}"
    ))
}

#[test]
fn all_of_an_accepted_bundle_repeats_its_head() {
    let mut bench = Bench::new();
    let sdp = party("198.51.100.10", &webrtc()).replace("t=0 0\n", &format!("t=0 0\n{BUNDLED}"));
    let request = offer(&sdp)
        .with("BUNDLE", strings(&["accept"]))
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove")
        .with("rtcp-mux", strings(&["demux"]));
    let offered = bench.sdp(request);
    assert!(!offered.contains("BUNDLE"), "{offered}");
    assert_ne!(port(&offered, 0), port(&offered, 1));
    let reply = "m=audio 3000 RTP/AVP 8\nm=video 3002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";
    let sdp = bench.sdp(from_b(reply));
    let shared = "a=sendrecv
a=rtcp:PORT0
a=rtcp-mux
a=setup:active
a=fingerprint:sha-256 <95>
a=tls-id:<32>
a=ice-ufrag:<8>
a=ice-pwd:<26>
a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT1 typ host
";
    assert_eq!(
        masked(&sdp),
        format!(
            "v=0
o=- 1 1 IN IP4 198.51.100.20
s=-
t=0 0
{BUNDLED}m=audio PORT0 UDP/TLS/RTP/SAVPF 8
c=IN IP4 203.0.113.1
a=mid:a0
a=rtpmap:8 PCMA/8000
{shared}m=video PORT0 UDP/TLS/RTP/SAVPF 96
c=IN IP4 203.0.113.1
a=mid:v0
a=rtpmap:96 VP8/90000
{shared}"
        )
    );
    for name in ["a=tls-id:", "a=ice-ufrag:", "a=ice-pwd:"] {
        let values: Vec<&str> = sdp.lines().filter(|line| line.starts_with(name)).collect();
        assert_eq!(values[0], values[1]);
    }
}

#[test]
fn a_strict_bundle_has_one_port_and_says_so() {
    let request = from_a("m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\na=bundle-only\n")
        .with("BUNDLE", strings(&["strict"]))
        .with("rtcp-mux", strings(&["require"]));
    let sdp = masked(&Bench::new().sdp(request));
    assert!(
        sdp.contains("t=0 0\na=group:BUNDLE 1 2\nm=audio PORT0 "),
        "{sdp}"
    );
    let video = sdp.split("\nm=").nth(2).unwrap();
    assert_eq!(
        video,
        "video 0 RTP/AVP 96
c=IN IP4 203.0.113.1
a=mid:2
a=bundle-only
a=extmap-allow-mixed
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=rtcp:PORT0
a=rtcp-mux
"
    );
}

#[test]
fn a_mid_is_passed_on_offers_and_answers_have_their_own() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(from_a("m=audio 2000 RTP/AVP 8\na=mid:one\n"));
    assert!(sdp.contains("\na=mid:one\n"), "{sdp}");
    let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n"));
    assert!(sdp.contains("\na=mid:one\n"), "{sdp}");
    // The first value sticks.
    let again = from_a("m=audio 2000 RTP/AVP 8\na=mid:two\n").with("to-tag", "T");
    let sdp = bench.sdp(again);
    assert!(sdp.contains("\na=mid:one\n"), "{sdp}");
    let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\na=mid:three\n"));
    assert!(sdp.contains("\na=mid:one\n"), "{sdp}");
}

#[test]
fn generated_mids_are_numbers_of_lines() {
    let lines =
        "m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\nm=audio 2004 RTP/AVP 0\na=mid:x\n";
    let sdp = Bench::new().sdp(from_a(lines).with("flags", strings(&["generate-mid"])));
    let mids: Vec<&str> = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .collect();
    assert_eq!(mids, ["1", "2", "x"]);
}
