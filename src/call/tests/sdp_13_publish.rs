//! sdp-rewriting §13: SDP of publish and subscribe.

use super::masks::masked_medias;
use super::*;

fn party(host: &str, lines: &str) -> String {
    format!("v=0\no=alice 7 8 IN IP4 {host}\ns=call\nc=IN IP4 {host}\nb=AS:64\nt=0 0\n{lines}")
}

fn publish(lines: &str) -> Dict {
    command("publish")
        .with("from-tag", "P")
        .with("sdp", party("198.51.100.30", lines).replace('\n', "\r\n"))
}

const SENDER: &str = "m=audio 5000 RTP/AVP 8 0 101\nb=AS:32\na=rtpmap:101 telephone-event/8000\n\
    a=foo:bar\na=sendonly\n";

#[test]
fn a_publisher_is_answered_with_one_codec_and_its_events() {
    for (flags, direction) in [(&[][..], "recvonly"), (&["bidirectional"], "sendrecv")] {
        let sdp = Bench::new().sdp(publish(SENDER).with("flags", strings(flags)));
        let origin = sdp.lines().nth(1).unwrap().to_owned();
        assert!(origin.starts_with("o=- ") && origin.ends_with(" IN IP4 203.0.113.1"));
        assert_eq!(
            numbered(&sdp.replace(&origin, "o=")),
            format!(
                "v=0\no=\ns=windlass-1\nt=0 0\nm=audio PORT0 RTP/AVP 8 101\nc=IN IP4 203.0.113.1\n\
                 a=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na={direction}\na=rtcp:PORT1\n"
            )
        );
    }
}

/// An answer takes no more than what is offered (RFC 3264 §6.1); the peer does the same.
#[test]
fn a_publisher_that_sends_nothing_is_answered_so() {
    for (said, answered) in [
        ("sendrecv", "recvonly"),
        ("inactive", "inactive"),
        ("recvonly", "inactive"),
    ] {
        let sdp = Bench::new().sdp(publish(&SENDER.replace("sendonly", said)));
        assert!(sdp.contains(&format!("\na={answered}\n")), "{sdp}");
    }
}

#[test]
fn a_subscriber_to_a_publisher_is_offered_what_was_agreed() {
    let mut bench = Bench::new();
    bench.sdp(publish(&format!(
        "{SENDER}i=what\na=label:cam\na=ptime:20\n"
    )));
    let request = command("subscribe request").with("from-tag", "P");
    let sdp = numbered(&bench.sdp(request));
    assert_eq!(
        sdp,
        "v=0
o=alice 7 8 IN IP4 198.51.100.30
s=call
t=0 0
m=audio PORT0 RTP/AVP 8 101
i=what
c=IN IP4 203.0.113.1
b=AS:32
a=label:cam
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=foo:bar
a=sendonly
a=rtcp:PORT1
a=ptime:20
"
    );
}

#[test]
fn several_sources_have_no_origin_in_common() {
    let mut bench = connected();
    let sdp = bench.sdp(command("subscribe request").with("all", "all"));
    assert!(
        sdp.starts_with("v=0\no=- ") && sdp.contains("\ns=windlass-1\n"),
        "{sdp}"
    );
    assert!(
        sdp.lines().nth(1).unwrap().ends_with(" IN IP4 203.0.113.1"),
        "{sdp}"
    );
    let one = command("subscribe request").with("from-tags", strings(&["T"]));
    let sdp = bench.sdp(one);
    assert!(
        sdp.starts_with("v=0\no=alice 7 8 IN IP4 198.51.100.20\ns=call\n"),
        "{sdp}"
    );
}

#[test]
fn a_publishers_mux_is_taken() {
    let sdp = Bench::new().sdp(publish(&format!("{SENDER}a=rtcp-mux\n")));
    let sdp = numbered(&sdp);
    assert!(
        sdp.ends_with("a=recvonly\na=rtcp:PORT0\na=rtcp-mux\n"),
        "{sdp}"
    );
}

#[test]
fn a_publisher_chooses_no_codec_that_is_stripped() {
    let codec = Dict::new().with("strip", strings(&["PCMA"]));
    let sdp = Bench::new().sdp(publish(SENDER).with("codec", codec));
    assert!(sdp.contains(" RTP/AVP 0 101\n"), "{sdp}");
}

fn connected() -> Bench {
    let mut bench = Bench::new();
    let two = |port: u16| {
        format!(
            "m=audio {port} RTP/AVP 8 0\nb=AS:32\na=foo:bar\nm=video {} RTP/AVP 96\n\
             a=rtpmap:96 VP8/90000\n",
            port + 2
        )
    };
    bench.sdp(offer(&party("198.51.100.10", &two(2000))));
    bench.sdp(answer(
        &party("198.51.100.20", &two(3000)).replace("AVP 8 0", "AVP 8"),
    ));
    bench
}

#[test]
fn a_subscriber_is_offered_what_the_source_sends() {
    for (flags, direction) in [
        (&[][..], "sendonly"),
        (&["inactive"], "inactive"),
        (&["bidirectional"], "sendrecv"),
    ] {
        let request = command("subscribe request")
            .with("from-tag", "F")
            .with("flags", strings(flags));
        let sdp = connected().sdp(request);
        assert!(
            sdp.starts_with("v=0\no=alice 7 8 IN IP4 198.51.100.10\ns=call\nt=0 0\nm=audio "),
            "{sdp}"
        );
        assert_eq!(
            masked_medias(&sdp),
            format!(
                "m=audio PORT0 RTP/AVP 8\nc=IN IP4 203.0.113.1\nb=AS:32\na=rtpmap:8 PCMA/8000\n\
                 a=foo:bar\na={direction}\na=rtcp:PORT1\nm=video PORT2 RTP/AVP 96\nc=IN IP4 203.0.113.1\n\
                 a=rtpmap:96 VP8/90000\na={direction}\na=rtcp:PORT3\n"
            )
        );
    }
}

#[test]
fn siprec_labels_each_media() {
    let request = command("subscribe request")
        .with("all", "all")
        .with("flags", strings(&["SIPREC"]));
    let sdp = connected().sdp(request);
    let mut labels: Vec<&str> = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=label:"))
        .collect();
    assert_eq!(labels.len(), 4, "{sdp}");
    assert!(labels.iter().all(|label| label.parse::<u32>().is_ok()));
    labels.dedup();
    assert_eq!(labels.len(), 4, "{sdp}");
}

const BROWSER: &str = "a=group:BUNDLE 0 1\nm=audio 5000 RTP/AVP 8\na=mid:0\na=rtcp-mux\n\
    a=extmap-allow-mixed\na=extmap:1 urn:x\nm=video 5000 RTP/AVP 96\na=rtpmap:96 VP8/90000\n\
    a=mid:1\na=rtcp-mux\n";

#[test]
fn a_publishers_bundle_is_taken_where_that_is_wanted() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(publish(BROWSER));
    assert!(!sdp.contains("BUNDLE") && !sdp.contains("extmap"), "{sdp}");
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
    assert_eq!(bench.leased(), 2);
    let mut bench = Bench::new();
    let sdp = bench.sdp(publish(BROWSER).with("BUNDLE", strings(&["accept"])));
    assert!(sdp.contains("\na=group:BUNDLE 0 1\nm="), "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    assert_eq!(bench.leased(), 1);
}

#[test]
fn a_subscriber_is_offered_a_bundle_and_answers_it() {
    let mut bench = connected();
    let before = bench.leased();
    let request = command("subscribe request")
        .with("from-tag", "F")
        .with("to-tag", "S")
        .with("flags", strings(&["WebRTC"]));
    let sdp = bench.sdp(request);
    assert!(sdp.contains("\na=group:BUNDLE 1 2\nm="), "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    assert_eq!(
        sdp.matches(" urn:ietf:params:rtp-hdrext:sdes:mid\n")
            .count(),
        2
    );
    // One port on each of two addresses.
    assert_eq!(bench.leased(), before + 2);
    for group in ["a=group:BUNDLE 1 2\n", ""] {
        let lines = "m=audio 6000 UDP/TLS/RTP/SAVPF 8\na=mid:1\na=rtcp-mux\n\
            m=video 6000 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=mid:2\na=rtcp-mux\n";
        let sdp = party("198.51.100.40", lines).replace("t=0 0\n", &format!("t=0 0\n{group}"));
        let reply = bench.ask(
            command("subscribe answer")
                .with("to-tag", "S")
                .with("sdp", sdp.replace('\n', "\r\n")),
        );
        assert_eq!(reply.get_str("result"), Some("ok"));
        // Without ICE in the answer the second address has no use.
        assert_eq!(bench.leased(), before + 1);
    }
}

#[test]
fn a_bundle_that_is_offered_with_ports_of_its_own_shares_one_once_it_is_taken() {
    let mut bench = connected();
    let before = bench.leased();
    let request = command("subscribe request")
        .with("from-tag", "F")
        .with("to-tag", "S")
        .with("BUNDLE", strings(&["offer"]));
    let sdp = bench.sdp(request);
    assert!(sdp.contains("\na=group:BUNDLE 1 2\nm="), "{sdp}");
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
    assert_eq!(bench.leased(), before + 4);
    let lines = "m=audio 6000 RTP/AVP 8\na=mid:1\nm=video 6000 RTP/AVP 96\n\
        a=rtpmap:96 VP8/90000\na=mid:2\n";
    let sdp = party("198.51.100.40", lines).replace("t=0 0\n", "t=0 0\na=group:BUNDLE 1 2\n");
    let reply = bench.ask(
        command("subscribe answer")
            .with("to-tag", "S")
            .with("sdp", sdp.replace('\n', "\r\n")),
    );
    assert_eq!(reply.get_str("result"), Some("ok"));
    // The ports that it was offered are served on.
    assert_eq!(bench.leased(), before + 4);
}

#[test]
fn a_party_that_is_called_is_offered_a_bundle() {
    let request = Dict::new()
        .with("command", "create")
        .with("flags", strings(&["WebRTC"]));
    let sdp = Bench::new().sdp(request);
    assert!(sdp.contains("\na=group:BUNDLE 1\nm="), "{sdp}");
    assert!(
        sdp.contains("\na=extmap-allow-mixed\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n"),
        "{sdp}"
    );
}

#[test]
fn medias_of_several_sources_have_names_of_their_own() {
    let mut bench = Bench::new();
    let named = |host: &str| audio(host, 2000, "a=mid:0\n");
    bench.sdp(offer(&named("198.51.100.10")));
    bench.sdp(answer(&named("198.51.100.20")));
    let sdp = bench.sdp(command("subscribe request").with("all", "all"));
    let mids: Vec<&str> = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .collect();
    assert_eq!(mids, ["0", "2"], "{sdp}");
}
