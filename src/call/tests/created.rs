//! A party that the relay calls (spec: ng-protocol §5, `create`).

use super::ng_05_commands::{flow_of, reason};
use super::*;

fn create() -> Dict {
    command("create").with("from-tag", "T")
}

fn codecs(operation: &'static str, names: &[&str]) -> Dict {
    Dict::new().with(operation, strings(names))
}

/// The formats of the first m= line.
fn formats(sdp: &str) -> &str {
    let line = sdp.lines().find(|line| line.starts_with("m=")).unwrap();
    line.split_once("/AVP ").unwrap().1
}

fn medias(specs: Vec<Dict>) -> Value {
    Value::List(specs.into_iter().map(Value::from).collect())
}

/// F and T agreed on these formats of theirs.
fn agreed(offered: &str, answered: &str) -> (Bench, u16) {
    let mut bench = Bench::new();
    let sdp = party(
        "198.51.100.10",
        &format!("m=audio 2000 RTP/AVP {offered}\n"),
    );
    let sdp = sdp.replace("o=- 1 1", "o=ann 5 1").replace("s=-", "s=x");
    let shown = bench.sdp(offer(&sdp));
    bench.sdp(from_b(&format!("m=audio 3000 RTP/AVP {answered}\n")));
    (bench, port(&shown, 0))
}

/// §7.1
#[test]
fn a_party_that_has_lines_is_shown_them_as_they_are() {
    for hold in ["", "a=sendonly\n"] {
        let (mut bench, port) = agreed("9 0 8", &format!("9\n{hold}"));
        let before = flow_of(&bench, "198.51.100.10:2000");
        let (leased, flows) = (bench.leased(), bench.flows());
        for _ in 0..2 {
            let sdp = bench.sdp(
                create()
                    .with("transport-protocol", "RTP/SAVP")
                    .with("ICE", "force"),
            );
            assert_eq!(
                sdp,
                format!(
                    "v=0\no=ann 5 1 IN IP4 198.51.100.10\ns=x\nt=0 0\nm=audio {port} RTP/AVP 9\n\
                     c=IN IP4 203.0.113.1\na=rtpmap:9 G722/8000\na=sendrecv\na=rtcp:{}\n",
                    port + 1
                )
            );
        }
        assert_eq!((bench.leased(), bench.flows()), (leased, flows));
        assert_eq!(flow_of(&bench, "198.51.100.10:2000"), before);
        let answer = command("create answer").with("from-tag", "T").with(
            "sdp",
            party("198.51.100.21", "m=audio 3100 RTP/AVP 9\n").replace('\n', "\r\n"),
        );
        assert_eq!(reason(&bench.ask(answer)), "ok");
        let flow = flow_of(&bench, "198.51.100.21:3100");
        assert_eq!(flow.local.port(), port);
        assert_eq!(bench.leased(), leased);
        // Its peer goes on hearing it.
        let peer = flow_of(&bench, "198.51.100.10:2000").local;
        assert!(flow.sinks.iter().any(|sink| sink.via == peer));
    }
}

#[test]
fn a_line_that_was_turned_down_is_shown_so() {
    let mut bench = Bench::new();
    let lines = "m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";
    bench.sdp(from_a(lines));
    bench.sdp(from_b("m=audio 3000 RTP/AVP 8\nm=video 0 RTP/AVP 96\n"));
    let sdp = bench.sdp(create());
    assert_ne!(port(&sdp, 0), 0);
    assert_eq!(port(&sdp, 1), 0);
}

/// §7.2
#[test]
fn codecs_of_a_party_that_has_lines_are_added_and_stripped() {
    for (list, codec, expected) in [
        ("0", codecs("offer", &["PCMA"]), "0 8"),
        ("0", codecs("offer", &["PCMU", "VP8"]), "0"),
        ("0 9 8", codecs("strip", &["G722"]), "0 8"),
        ("0", codecs("strip", &["PCMU"]), "0"),
    ] {
        let (mut bench, _) = agreed(list, list);
        let sdp = bench.sdp(create().with("codec", codec.clone()));
        assert_eq!(formats(&sdp), expected, "{codec:?}");
        // What was agreed stands until the answer.
        assert_eq!(formats(&bench.sdp(create())), list);

        let mut bench = Bench::new();
        let names: Vec<&str> = list
            .split(' ')
            .map(|number| match number {
                "0" => "PCMU",
                "8" => "PCMA",
                _ => "G722",
            })
            .collect();
        let first = bench.sdp(create().with("codec", codecs("offer", &names)));
        assert_eq!(formats(&first), list);
        let sdp = bench.sdp(create().with("codec", codec.clone()));
        assert_eq!(
            (formats(&sdp), port(&sdp, 0)),
            (expected, port(&first, 0)),
            "{codec:?}"
        );
        // A party that has not answered was offered this.
        assert_eq!(formats(&bench.sdp(create())), expected);
    }
}

/// §7.3
#[test]
fn default_codecs_are_for_audio_alone() {
    let video = || medias(vec![Dict::new().with("type", "video")]);
    let sdp = Bench::new().sdp(create().with("medias", video()));
    let start = sdp.find("m=").unwrap();
    assert_eq!(
        numbered(&sdp[start..]),
        "m=video PORT0 RTP/AVP 0\nc=IN IP4 203.0.113.1\na=sendrecv\na=rtcp:PORT1\n"
    );
    let both = || {
        medias(vec![
            Dict::new().with("type", "audio"),
            Dict::new().with("type", "video"),
        ])
    };
    let sdp = Bench::new().sdp(create().with("medias", both()));
    assert!(
        sdp.contains(" RTP/AVP 0 8\n") && sdp.contains(" RTP/AVP 0\nc="),
        "{sdp}"
    );
    // Codecs of the request go to the lines of their type.
    let codec = || codecs("offer", &["G722", "VP8"]);
    let sdp = Bench::new().sdp(create().with("medias", both()).with("codec", codec()));
    assert!(
        sdp.contains(" RTP/AVP 9\n") && sdp.contains("a=rtpmap:96 VP8/90000\n"),
        "{sdp}"
    );
    // Those of a line win.
    let own = Value::List(vec![
        Dict::new()
            .with("input", Dict::new().with("codec", "PCMA"))
            .into(),
    ]);
    let line = Dict::new().with("type", "audio").with("codec", own);
    let sdp = Bench::new().sdp(
        create()
            .with("medias", medias(vec![line]))
            .with("codec", codec()),
    );
    assert_eq!(formats(&sdp), "8");
}

/// §7.4
#[test]
fn codecs_that_we_name_have_the_usual_parameters() {
    for (name, rtpmap, format) in [
        ("opus", "96 opus/48000/2", "96 useinbandfec=1"),
        ("G729", "18 G729/8000", "18 annexb=yes"),
        ("G729a", "96 G729a/8000", "96 annexb=no"),
        ("ilbc", "96 ilbc/8000", "96 mode=30"),
        (
            "AMR",
            "96 AMR/8000",
            "96 octet-align=1;mode-change-capability=2",
        ),
        (
            "AMR-WB",
            "96 AMR-WB/16000",
            "96 octet-align=1;mode-change-capability=2",
        ),
        ("telephone-event", "96 telephone-event/8000", "96 0-15"),
        ("PCMA", "8 PCMA/8000", ""),
        ("iLBC/8000/1/0/0/mode=20", "96 iLBC/8000", "96 mode=20"),
    ] {
        let sdp = Bench::new().sdp(create().with("codec", codecs("offer", &[name])));
        assert!(
            sdp.contains(&format!("\na=rtpmap:{rtpmap}\n")),
            "{name}: {sdp}"
        );
        let fmtp = sdp.lines().find_map(|line| line.strip_prefix("a=fmtp:"));
        assert_eq!(fmtp.unwrap_or_default(), format, "{name}");
    }
}

/// §4.10
#[test]
fn a_party_that_is_called_is_offered_no_bundle() {
    let both = medias(vec![
        Dict::new().with("type", "audio"),
        Dict::new().with("type", "video"),
    ]);
    let request = create()
        .with("medias", both)
        .with("flags", strings(&["WebRTC"]));
    let sdp = Bench::new().sdp(request);
    assert!(
        !sdp.contains("a=group") && !sdp.contains("a=extmap"),
        "{sdp}"
    );
    assert!(
        sdp.contains("a=mid:1\n") && sdp.contains("a=mid:2\n"),
        "{sdp}"
    );
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
    let credentials: std::collections::BTreeSet<&str> = sdp
        .lines()
        .filter(|line| line.starts_with("a=ice-ufrag:"))
        .collect();
    assert_eq!(credentials.len(), 2);
}
