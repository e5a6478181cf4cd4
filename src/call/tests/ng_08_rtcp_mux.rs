//! ng-protocol §8.3: rtcp-mux.

use super::ng_10_offer_answer::{HOST, OTHER};
use super::*;

#[test]
fn mux_matrix() {
    // offered to us, options, offered by us, one port, answered by the receiver, answered by us
    type Row = (bool, &'static [&'static str], bool, bool, bool, bool);
    let rows: [Row; 11] = [
        (true, &[], true, false, true, true),
        (true, &[], true, false, false, false),
        (false, &["offer"], true, false, true, false),
        (false, &["require"], true, true, true, false),
        (true, &["demux"], false, false, false, true),
        (true, &["accept"], true, false, false, true),
        (true, &["reject"], true, false, true, false),
        (true, &["demux", "accept"], false, false, false, true),
        (true, &["offer", "reject"], true, false, true, false),
        (true, &["offer", "reject"], true, false, false, false),
        (false, &[], false, false, false, false),
    ];
    let mux = |is: bool| if is { "a=rtcp-mux\n" } else { "" };
    for (offered, options, ours, single, answered, result) in rows {
        let mut bench = Bench::new();
        let request = offer(&audio(HOST, 2000, mux(offered))).with("rtcp-mux", strings(options));
        let sdp = bench.sdp(request);
        assert_eq!(sdp.contains("a=rtcp-mux"), ours, "{options:?}: {sdp}");
        let expected = port(&sdp, 0) + u16::from(!single);
        assert!(
            sdp.contains(&format!("a=rtcp:{expected}\n")),
            "{options:?}: {sdp}"
        );
        let sdp = bench.sdp(answer(&audio(OTHER, 3000, mux(answered))));
        assert_eq!(
            sdp.contains("a=rtcp-mux"),
            result,
            "{options:?} {answered}: {sdp}"
        );
        let shared = sdp.contains(&format!("a=rtcp:{}\n", port(&sdp, 0)));
        assert_eq!(shared, result, "{options:?}: {sdp}");
    }
}

#[test]
fn ports_stay_where_an_offer_ends_an_agreed_mux() {
    let mut bench = Bench::new();
    let sdp = |host, port| audio(host, port, "a=rtcp-mux\n");
    let rejects = |request: Dict| request.with("rtcp-mux", strings(&["reject"]));
    let to_callee = bench.sdp(rejects(offer(&sdp(HOST, 2000))));
    bench.sdp(answer(&sdp("198.51.100.20", 3000)));
    let mut reoffer = rejects(offer(&sdp("198.51.100.20", 3000)));
    reoffer.set("from-tag", "T");
    reoffer.set("to-tag", "F");
    bench.sdp(reoffer);
    let mut reply = answer(&sdp(HOST, 2000));
    reply.set("from-tag", "T");
    reply.set("to-tag", "F");
    let again = bench.sdp(reply);
    assert_eq!(port(&again, 0), port(&to_callee, 0), "{again}");
    assert!(!again.contains("a=rtcp-mux"), "{again}");
}
