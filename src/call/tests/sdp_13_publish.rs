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

/// sdp-rewriting §9.1, ng-protocol §5.3
#[test]
fn a_publishers_bundle_is_not_taken_up() {
    for bundle in [&[][..], &["accept"]] {
        let mut bench = Bench::new();
        let request = publish(BROWSER)
            .with("BUNDLE", strings(bundle))
            .with("codec", Dict::new().with("accept", strings(&["any"])));
        let sdp = bench.sdp(request.clone());
        assert!(!sdp.contains("a=group"), "{sdp}");
        assert_eq!(
            masked_medias(&sdp),
            "m=audio PORT0 RTP/AVP 8\nc=IN IP4 203.0.113.1\na=mid:0\na=rtpmap:8 PCMA/8000\n\
             a=extmap-allow-mixed\na=extmap:1 urn:x\na=recvonly\na=rtcp:PORT0\na=rtcp-mux\n\
             m=video PORT1 RTP/AVP 96\nc=IN IP4 203.0.113.1\na=mid:1\na=rtpmap:96 VP8/90000\n\
             a=recvonly\na=rtcp:PORT1\na=rtcp-mux\n"
        );
        assert_eq!(bench.leased(), 2);
        assert_eq!(masked_medias(&bench.sdp(request)), masked_medias(&sdp));
    }
}

/// ng-protocol §5.3
#[test]
fn a_publisher_of_nothing_acceptable_is_refused() {
    let video = "m=video 5002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";
    let events = "m=audio 5002 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n";
    let accept = |names: &[&str]| Dict::new().with("accept", strings(names));
    let both = |more: &str| format!("{SENDER}{more}");
    let zero = video.replace("5002", "0");
    for (lines, codec, expected) in [
        (both(video), accept(&[]), "Publish error"),
        (both(video), accept(&["all"]), "Publish error"),
        (both(video), accept(&["PCMU"]), "Publish error"),
        (both(video), accept(&["PCMU", "VP8"]), "ok"),
        (both(video), accept(&["any"]), "ok"),
        (both(video), accept(&["all", "any"]), "ok"),
        (both(events), accept(&[]), "ok"),
        (both(&zero), accept(&[]), "ok"),
    ] {
        let mut bench = Bench::new();
        let reply = bench.ask(publish(&lines).with("codec", codec.clone()));
        assert_eq!(said(&reply), expected, "{lines} {codec:?}");
        let is_refused = expected != "ok";
        assert_eq!(
            (bench.calls.count(), bench.leased() == 0),
            (u64::from(!is_refused), is_refused)
        );
        // One that is there goes on as it was.
        let mut bench = Bench::new();
        bench.sdp(publish(SENDER));
        let (leased, flows) = (bench.leased(), bench.flows());
        bench.ask(publish(&lines).with("codec", codec));
        assert_eq!(bench.calls.count(), 1);
        if is_refused {
            assert_eq!((bench.leased(), bench.flows()), (leased, flows));
        }
    }
}
