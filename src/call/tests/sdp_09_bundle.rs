//! sdp-rewriting §9 and ng-protocol §8.3, §8.9: rtcp-mux, BUNDLE, mid.

use super::masks::{masked, masked_medias};
use super::*;

fn two(host: &str, group: bool, ports: [u16; 2]) -> String {
    let group = if group { "a=group:BUNDLE a0 v0\n" } else { "" };
    format!(
        "v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\n{group}\
         m=audio {} RTP/AVP 8\na=mid:a0\na=rtcp-mux\n\
         m=video {} RTP/AVP 96\na=mid:v0\na=rtpmap:96 H264/90000\na=rtcp-mux\n",
        ports[0], ports[1]
    )
}

#[test]
fn an_accepted_bundle_is_answered_on_one_port() {
    let mut bench = Bench::new();
    let request =
        offer(&two("198.51.100.10", true, [2000, 2000])).with("BUNDLE", strings(&["accept"]));
    let sdp = bench.sdp(request);
    assert!(!sdp.contains("a=group"), "{sdp}");
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
    let sdp = bench.sdp(answer(&two("198.51.100.20", false, [3000, 3002])));
    assert!(sdp.contains("\na=group:BUNDLE a0 v0\n"), "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    // Video that arrives on the shared port leaves from the callee's video port alone.
    let shared = port(&sdp, 0);
    let flows = bench.books.flows.lock().unwrap();
    let (flow, _) = flows
        .values()
        .find(|(flow, _)| flow.local.port() == shared)
        .unwrap();
    let sinks: Vec<_> = flow
        .sinks
        .iter()
        .filter_map(|sink| sink.rules.as_ref())
        .collect();
    assert_eq!(sinks.len(), 2);
    assert_eq!(
        [0, 1].map(|sink: usize| sinks[sink].withhold.line),
        [Some(0), Some(1)]
    );
    let bundle = flow.bundle.as_deref().unwrap();
    assert_eq!(
        [8, 96].map(|number| bundle.of_type(number)),
        [Some(0), Some(1)]
    );
}

#[test]
fn a_bundle_that_is_not_accepted_falls_apart() {
    let mut bench = Bench::new();
    bench.sdp(offer(&two("198.51.100.10", true, [2000, 2000])));
    let sdp = bench.sdp(answer(&two("198.51.100.20", false, [3000, 3002])));
    assert!(!sdp.contains("a=group"), "{sdp}");
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
}

#[test]
fn bundles_are_offered_with_own_ports_one_port_or_port_zero() {
    let run = |option: &str| {
        let mut bench = Bench::new();
        let request =
            offer(&two("198.51.100.10", false, [2000, 2002])).with("BUNDLE", strings(&[option]));
        bench.sdp(request)
    };
    let sdp = run("offer");
    assert!(sdp.contains("\na=group:BUNDLE a0 v0\n"), "{sdp}");
    assert!(
        sdp.contains("a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid"),
        "{sdp}"
    );
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
    let sdp = run("require");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    let sdp = run("strict");
    assert_eq!(port(&sdp, 1), 0);
    let video = sdp.split("\nm=video").nth(1).unwrap();
    assert!(
        video.contains("a=bundle-only") && video.contains("c=IN IP4 203.0.113.1"),
        "{sdp}"
    );
}

#[test]
fn a_bundle_offer_that_is_taken_up_moves_to_one_port() {
    let mut bench = Bench::new();
    let request =
        offer(&two("198.51.100.10", false, [2000, 2002])).with("BUNDLE", strings(&["offer"]));
    bench.sdp(request);
    let sdp = bench.sdp(answer(&two("198.51.100.20", true, [3000, 3000])));
    assert!(!sdp.contains("a=group"), "{sdp}");
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
}

#[test]
fn mids_are_generated_where_they_are_missing() {
    let mut bench = Bench::new();
    let request =
        offer(&audio("198.51.100.10", 2000, "")).with("flags", strings(&["generate-mid"]));
    assert!(bench.sdp(request).contains("a=mid:1\n"));
}

/// The matrix of ng-protocol §8.3: offered to us, options, in our offer, the receiver's answer,
/// and what the offerer is told.
#[test]
fn the_matrix_of_rtcp_mux() {
    let rows: [(bool, &[&str], bool, bool, bool); 12] = [
        (true, &[], true, true, true),
        (true, &[], true, false, false),
        (false, &["offer"], true, true, false),
        (false, &["offer"], true, false, false),
        (false, &["require"], true, true, false),
        (true, &["demux"], false, false, true),
        (true, &["accept"], true, false, true),
        (true, &["accept"], true, true, true),
        (true, &["reject"], true, true, false),
        (true, &["demux", "accept"], false, false, true),
        (true, &["offer", "reject"], true, true, false),
        (true, &["offer", "reject"], true, false, false),
    ];
    for (input, options, offered, reply, answered) in rows {
        let mut bench = Bench::new();
        let mux = |on: bool| if on { "a=rtcp-mux\n" } else { "" };
        let request =
            offer(&audio("198.51.100.10", 2000, mux(input))).with("rtcp-mux", strings(options));
        let sdp = bench.sdp(request);
        assert_eq!(
            sdp.contains("a=rtcp-mux"),
            offered,
            "{input} {options:?}\n{sdp}"
        );
        let single = sdp.contains(&format!("a=rtcp:{}\n", port(&sdp, 0)));
        assert_eq!(single, options.contains(&"require"), "{options:?}\n{sdp}");
        let sdp = bench.sdp(answer(&audio("198.51.100.20", 3000, mux(reply))));
        assert_eq!(
            sdp.contains("a=rtcp-mux"),
            answered,
            "{input} {options:?} {reply}\n{sdp}"
        );
    }
}

#[test]
fn what_is_no_rtp_has_a_port_of_its_own_beside_a_bundle() {
    let mut bench = Bench::new();
    let sdp = two("198.51.100.10", true, [2000, 2000]).replace("a0 v0\n", "a0 v0 d0\n")
        + "m=application 2000 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d0\n";
    bench.sdp(offer(&sdp).with("BUNDLE", strings(&["accept"])));
    let answered = two("198.51.100.20", false, [3000, 3002])
        + "m=application 3004 UDP/DTLS/SCTP webrtc-datachannel\n";
    let sdp = bench.sdp(answer(&answered));
    assert!(sdp.contains("a=group:BUNDLE a0 v0\n"), "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    assert_ne!(port(&sdp, 0), port(&sdp, 2));
}

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

fn pair(lines: &str) -> String {
    format!(
        "m=audio 2000 UDP/TLS/RTP/SAVPF 8\na=mid:a0\n{lines}\
         m=video 2000 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=mid:v0\n{lines}"
    )
}

fn webrtc() -> String {
    let hash = "AA:".repeat(31) + "AA";
    pair(&format!(
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
