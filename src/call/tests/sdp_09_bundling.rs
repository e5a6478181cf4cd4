//! ng-protocol §8.9 and RFC 9143: what a bundle is made of, and who bundles.

use super::*;

const GROUP: &str = "t=0 0\na=group:BUNDLE a v\n";

fn grouped(host: &str, lines: &str) -> String {
    party(host, lines).replace("t=0 0\n", GROUP)
}

fn bundled(lines: &str) -> Dict {
    offer(&grouped("198.51.100.10", lines)).with("BUNDLE", strings(&["accept"]))
}

const LINES: &str = "m=audio 2000 RTP/AVP 0\na=mid:a\nm=video 2000 RTP/AVP 96\n\
    a=rtpmap:96 VP8/90000\na=mid:v\n";
const TWO: &str = "m=audio 3000 RTP/AVP 0\nm=video 3002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";

#[test]
fn a_party_bundles_until_it_does_not_group() {
    let mut bench = Bench::new();
    bench.sdp(bundled(LINES));
    let sdp = bench.sdp(from_b(TWO));
    assert!(sdp.contains("\na=group:BUNDLE a v\n"), "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    bench.sdp(offer(&grouped("198.51.100.10", LINES)).with("to-tag", "T"));
    let sdp = bench.sdp(from_b(TWO));
    assert!(sdp.contains("\na=group:BUNDLE a v\n"), "{sdp}");
    bench.sdp(from_a(&LINES.replace("video 2000", "video 2002")).with("to-tag", "T"));
    let sdp = bench.sdp(from_b(TWO));
    assert!(!sdp.contains("BUNDLE"), "{sdp}");
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
}

#[test]
fn lines_that_cannot_be_told_apart_are_no_bundle() {
    let mid = "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n";
    for (more, is_bundle) in [("", false), (mid, true)] {
        let lines = format!(
            "m=audio 2000 RTP/AVP 0 100\na=mid:a\n{more}m=video 2000 RTP/AVP 105 100\na=mid:v\n{more}"
        );
        let mut bench = Bench::new();
        bench.sdp(bundled(&lines));
        let answered = "m=audio 3000 RTP/AVP 0\nm=video 3002 RTP/AVP 105\n";
        let sdp = bench.sdp(from_b(answered));
        assert_eq!(sdp.contains("a=group:BUNDLE"), is_bundle, "{sdp}");
        assert_eq!(port(&sdp, 0) == port(&sdp, 1), is_bundle);
    }
}

#[test]
fn a_bundle_only_line_of_port_0_shares_the_port() {
    let lines = LINES
        .replace("video 2000", "video 0")
        .replace("a=mid:v\n", "a=mid:v\na=bundle-only\n");
    let mut bench = Bench::new();
    let sdp = bench.sdp(bundled(&lines));
    assert_ne!(port(&sdp, 1), 0);
    let sdp = bench.sdp(from_b(TWO));
    assert!(sdp.contains("\na=group:BUNDLE a v\n"), "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    // Nobody takes the group up.
    let sdp = Bench::new().sdp(offer(&grouped("198.51.100.10", &lines)));
    assert_eq!(port(&sdp, 1), 0);
}

#[test]
fn the_lines_of_an_offered_bundle_have_one_number_for_mid() {
    let lines = "m=audio 2000 RTP/AVP 0\na=extmap:1 urn:x\nm=video 2002 RTP/AVP 96\n";
    let sdp = Bench::new().sdp(from_a(lines).with("BUNDLE", strings(&["offer"])));
    let extensions: Vec<&str> = sdp
        .lines()
        .filter_map(|l| l.strip_prefix("a=extmap:"))
        .collect();
    let mid = "2 urn:ietf:params:rtp-hdrext:sdes:mid";
    assert_eq!(extensions, ["1 urn:x", mid, mid]);
    assert!(!sdp.contains("bundle-only"), "{sdp}");
}

#[test]
fn a_bundle_that_was_taken_up_is_offered_on_with_one_port() {
    let mut bench = Bench::new();
    let first = bench.sdp(from_a(TWO).with("BUNDLE", strings(&["offer"])));
    assert_ne!(port(&first, 0), port(&first, 1));
    let taken = LINES.replace("mid:a", "mid:1").replace("mid:v", "mid:2");
    let sdp = party("198.51.100.20", &taken).replace("t=0 0\n", "t=0 0\na=group:BUNDLE 1 2\n");
    bench.sdp(answer(&sdp));
    let sdp = bench.sdp(from_a(TWO).with("to-tag", "T"));
    assert!(sdp.contains("\na=group:BUNDLE 1 2\n"), "{sdp}");
    assert_eq!([port(&sdp, 0), port(&sdp, 1)], [port(&first, 0); 2]);
    assert!(sdp.contains("\na=mid:2\na=bundle-only\n"), "{sdp}");
    // The port that the second line had is served on.
    assert!(
        bench
            .books
            .flows
            .lock()
            .unwrap()
            .keys()
            .any(|local| local.port() == port(&first, 1))
    );
}

#[test]
fn ports_of_the_other_side_do_not_follow_a_bundle() {
    let mut bench = Bench::new();
    let apart = LINES.replace("video 2000", "video 2002");
    let first = bench.sdp(bundled(&apart));
    bench.sdp(from_b(TWO));
    let second = bench.sdp(offer(&grouped("198.51.100.10", LINES)).with("to-tag", "T"));
    assert_eq!(port(&first, 1), port(&second, 1));
}
