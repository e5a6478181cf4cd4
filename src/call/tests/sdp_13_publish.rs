//! sdp-rewriting §13: SDP of publish and subscribe.

use super::masks::masked_medias;
use super::*;

fn party(host: &str, lines: &str) -> String {
    format!("v=0\no=alice 7 8 IN IP4 {host}\ns=call\nc=IN IP4 {host}\nb=AS:64\nt=0 0\n{lines}")
}

fn command(name: &'static str) -> Dict {
    Dict::new().with("command", name).with("call-id", "call")
}

fn publish(lines: &str) -> Dict {
    command("publish")
        .with("from-tag", "P")
        .with("sdp", party("198.51.100.30", lines).replace('\n', "\r\n"))
}

const SENDER: &str = "m=audio 5000 RTP/AVP 8 0 101\nb=AS:32\na=rtpmap:101 telephone-event/8000\n\
    a=foo:bar\na=sendonly\n";

#[test]
fn a_publisher_is_answered_with_one_codec() {
    for (flags, direction) in [(&[][..], "recvonly"), (&["bidirectional"], "sendrecv")] {
        let sdp = Bench::new().sdp(publish(SENDER).with("flags", strings(flags)));
        let origin = sdp.lines().nth(1).unwrap().to_owned();
        assert!(origin.starts_with("o=- ") && origin.ends_with(" IN IP4 203.0.113.1"));
        assert_eq!(
            numbered(&sdp.replace(&origin, "o=")),
            format!(
                "v=0\no=\ns=windlass-1\nt=0 0\nm=audio PORT0 RTP/AVP 8\nc=IN IP4 203.0.113.1\n\
                 a=rtpmap:8 PCMA/8000\na={direction}\na=rtcp:PORT1\n"
            )
        );
    }
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
    assert!(sdp.contains(" RTP/AVP 0\n"), "{sdp}");
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
                "m=audio PORT0 RTP/AVP 8\nc=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\n\
                 a={direction}\na=rtcp:PORT1\nm=video PORT2 RTP/AVP 96\nc=IN IP4 203.0.113.1\n\
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
