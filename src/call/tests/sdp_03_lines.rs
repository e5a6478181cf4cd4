//! sdp-rewriting §2, §3, §5: lines of the output that depend on both parties.

use super::*;

#[test]
fn a_packet_time_stays_for_both_parties() {
    let mut bench = Bench::new();
    bench.sdp(from_a(
        "m=audio 2000 RTP/AVP 8\na=ptime:40\na=maxptime:80\n",
    ));
    let plain = "m=audio 3000 RTP/AVP 8\n";
    let sdp = bench.sdp(from_b(plain));
    assert!(
        sdp.contains("\na=ptime:40\n") && !sdp.contains("maxptime"),
        "{sdp}"
    );
    let again = from_a("m=audio 2000 RTP/AVP 8\n").with("to-tag", "T");
    assert!(bench.sdp(again.clone()).contains("\na=ptime:40\n"));
    assert!(
        bench
            .sdp(again.with("ptime", 30))
            .contains("\na=ptime:30\n")
    );
    bench.sdp(from_b(plain));
    let later = from_a("m=audio 2000 RTP/AVP 8\na=ptime:60\n").with("to-tag", "T");
    assert!(
        bench.sdp(later).contains("\na=ptime:30\n"),
        "what was asked for wins"
    );
}

#[test]
fn a_line_with_port_0_is_shown_as_its_receiver_has_it() {
    let mut bench = Bench::new();
    bench.sdp(from_a("m=video 4010 RTP/AVP 99\na=rtpmap:99 VP8/90000\n"));
    for rejected in [
        "m=video 0 RTP/SAVP 0\n",
        "m=video 0 RTP/AVP\n",
        "m=video 0 RTP/AVP *\n",
    ] {
        let sdp = bench.sdp(from_b(rejected));
        assert!(
            sdp.contains("\nm=video 0 RTP/AVP 99\n"),
            "{rejected}: {sdp}"
        );
    }
}

#[test]
fn no_line_is_printed_without_a_format() {
    let sdp = Bench::new().sdp(from_a("m=application 0 XYZ\n"));
    assert!(sdp.contains("\nm=application 0 XYZ 0\n"), "{sdp}");
}

#[test]
fn an_ipv4_address_within_ipv6_is_that_address() {
    let sdp = "v=0\no=- 1 1 IN IP6 ::1\ns=-\nc=IN IP6 ::ffff:198.51.100.10\nt=0 0\n\
        m=audio 2000 RTP/AVP 8\n";
    let mut bench = Bench::new();
    assert!(bench.sdp(offer(sdp)).contains("\nc=IN IP4 203.0.113.1\n"));
    let flows = bench.books.flows.lock().unwrap();
    let peers = flows.values().filter_map(|(flow, _)| flow.peer.signalled);
    assert!(
        peers
            .into_iter()
            .any(|peer| peer == "198.51.100.10:2000".parse::<SocketAddr>().unwrap())
    );
}

#[test]
fn feedback_for_all_codecs_comes_first() {
    let lines = "m=video 2000 RTP/AVPF 96\na=x:1\na=rtcp-fb:* nack\na=y:2\n";
    let sdp = Bench::new().sdp(from_a(lines));
    assert!(sdp.contains("\na=rtcp-fb:* nack\na=x:1\na=y:2\n"), "{sdp}");
}

#[test]
fn a_line_that_an_answer_leaves_out_is_not_turned_down() {
    let mut bench = Bench::new();
    let two = "m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\na=mid:v\n";
    bench.sdp(from_a(two));
    let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n"));
    let second = numbered(sdp.split("\nm=").nth(2).unwrap());
    assert_eq!(
        second,
        "video PORT0 RTP/AVP 96\nc=IN IP4 0.0.0.0\na=mid:v\na=rtpmap:96 VP8/90000\n\
         a=sendrecv\na=rtcp:PORT1\n"
    );
}

#[test]
fn a_branch_decides_on_mux_for_itself() {
    let mut bench = Bench::new();
    let muxed = from_a("m=audio 2000 RTP/AVP 8\na=rtcp-mux\n");
    let mux = |options: &[&str]| strings(options);
    let branch = |request: Dict, branch: &'static str| request.with("via-branch", branch);
    bench.sdp(branch(
        muxed.clone().with("rtcp-mux", mux(&["demux"])),
        "one",
    ));
    bench.sdp(branch(muxed.with("rtcp-mux", mux(&["offer"])), "two"));
    let sdp = bench.sdp(branch(from_b("m=audio 3000 RTP/AVP 8\n"), "one"));
    assert!(sdp.contains("\na=rtcp-mux\n"), "{sdp}");
}

#[test]
fn the_options_of_an_author_are_no_options_of_its_peer() {
    let mut bench = Bench::new();
    bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n"));
    let flags = strings(&["asymmetric", "strict-source"]);
    bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n").with("flags", flags));
    let flows = bench.books.flows.lock().unwrap();
    let of = |host: &str| {
        let mut flows = flows.values().map(|(flow, _)| flow);
        let is_of = |flow: &&FlowSpec| {
            flow.peer
                .signalled
                .is_some_and(|p| p.ip().to_string() == host)
        };
        flows
            .find(is_of)
            .map(|flow| (flow.peer.asymmetric, flow.peer.strict_source))
            .unwrap()
    };
    assert_eq!(of("198.51.100.10"), (false, false));
    assert_eq!(of("198.51.100.20"), (true, true));
}
