//! sdp-rewriting §12: `sdp-attr` and codec options beyond the rows of the table.

use super::*;

fn codec(pairs: &[(&'static str, &[&str])]) -> Dict {
    let mut codec = Dict::new();
    for (key, values) in pairs {
        codec.push(*key, strings(values));
    }
    codec
}

fn formats(sdp: &str) -> String {
    let line = sdp.lines().find(|line| line.starts_with("m=")).unwrap();
    line.splitn(4, ' ').nth(3).unwrap().to_owned()
}

const FIVE: &str = "v=0\no=- 1 1 IN IP4 198.51.100.10\ns=-\nc=IN IP4 198.51.100.10\nt=0 0\n\
    m=audio 2000 RTP/AVP 8 0 9 18 101\na=fmtp:18 annexb=no\n\
    a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=sendrecv\n";

/// The example with the input as it is described: G.729 has its parameters.
#[test]
fn sdp_attr_changes_what_is_generated() {
    let substitute: Value = [strings(&["rtpmap:101", "bar"]), Value::from("rtpmap:8>zzz")]
        .into_iter()
        .collect();
    let audio = Dict::new()
        .with("add", strings(&["foo:1"]))
        .with("remove", strings(&["rtpmap:18", "fmtp", "sendrecv"]))
        .with("substitute", substitute);
    let global = Dict::new().with("add", strings(&["tool:x", "a=y"]));
    let rules = Dict::new().with("global", global).with("audio", audio);
    let sdp = Bench::new().sdp(offer(FIVE).with("sdp-attr", rules));
    assert_eq!(
        numbered(&sdp),
        "v=0
o=- 1 1 IN IP4 198.51.100.10
s=-
t=0 0
a=tool:x
a=y
m=audio PORT0 RTP/AVP 8 0 9 18 101
c=IN IP4 203.0.113.1
a=zzz
a=rtpmap:0 PCMU/8000
a=rtpmap:9 G722/8000
a=bar
a=rtcp:PORT1
a=foo:1
"
    );
}

#[test]
fn sdp_attr_judges_what_is_carried_too() {
    let sdp = FIVE
        .replace("t=0 0\n", "t=0 0\na=tool:x\na=keep\n")
        .replace("a=sendrecv\n", "a=Foo:1 two\na=foo:2\n");
    let shown = |rules: Dict| Bench::new().sdp(offer(&sdp).with("sdp-attr", rules));
    let rule = |section: &'static str, kind: &'static str, list: &[&str]| {
        Dict::new().with(section, Dict::new().with(kind, strings(list)))
    };
    let text = shown(rule("none", "remove", &["TOOL"]));
    assert!(
        !text.contains("a=tool") && text.contains("a=keep"),
        "{text}"
    );
    let text = shown(rule("audio", "remove", &["foo:1"]));
    assert!(
        !text.contains("a=Foo:1") && text.contains("a=foo:2"),
        "{text}"
    );
    let text = shown(rule("audio", "remove", &["foo:2", "rtcp"]));
    assert!(
        text.contains("a=Foo:1 two") && !text.contains("a=foo:2"),
        "{text}"
    );
    assert!(!text.contains("a=rtcp:"), "{text}");
    // Rules of another kind of media, and of the session, are nothing to audio.
    let text = shown(rule("video", "remove", &["foo"]));
    assert!(text.contains("a=foo:2"), "{text}");
    let text = shown(rule("global", "remove", &["foo"]));
    assert!(text.contains("a=foo:2"), "{text}");
    let text = shown(rule("global", "substitute", &["tool:x>tool:y"]));
    assert!(text.contains("\na=tool:y\n"), "{text}");
}

#[test]
fn a_removed_media_is_answered_with_its_mid() {
    let lines = "a=mid:a\nm=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\na=mid:v\n";
    let mut bench = Bench::new();
    let request =
        offer(&audio("198.51.100.10", 2000, lines)).with("sdp-media-remove", strings(&["video"]));
    let sdp = bench.sdp(request);
    assert!(
        !sdp.contains("m=video") && !sdp.contains("a=mid:v"),
        "{sdp}"
    );
    let sdp = bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    assert!(
        sdp.ends_with("\nm=video 0 RTP/AVP 96\nc=IN IP4 0.0.0.0\na=mid:v\n"),
        "{sdp}"
    );
}

#[test]
fn codec_options_have_flags_too() {
    for (flags, expected) in [
        (&["codec-strip-PCMU"][..], "8 9 18 101"),
        (
            &["codec-strip-all", "codec-offer-G729", "codec-offer-PCMA"],
            "18 8",
        ),
        (&["codec-strip-all", "codec-except-PCMU"], "0"),
        (&["codec-mask-all", "codec-except-G722"], "9"),
        (&["codec-consume-PCMA"], "0 9 18 101"),
        (&["codec-strip-full", "codec-except-PCMU"], "0"),
        (&["codec-strip-telephone--event"], "8 0 9 18 101"),
    ] {
        let sdp = Bench::new().sdp(offer(FIVE).with("flags", strings(flags)));
        assert_eq!(formats(&sdp), expected, "{flags:?}");
    }
}

#[test]
fn exemptions_keep_their_own_order_and_offers_theirs() {
    for (pairs, expected) in [
        (
            &[("strip", &["all"][..]), ("except", &["G729", "PCMA"][..])][..],
            "8 18",
        ),
        (&[("strip", &["all"]), ("offer", &["G729", "PCMA"])], "18 8"),
        (
            &[("strip", &["PCMU"]), ("offer", &["PCMU"])],
            "8 9 18 101 0",
        ),
        (&[("strip", &["nothing"])], "8 0 9 18 101"),
        (&[("strip", &["PCMU/8000/1"])], "8 9 18 101"),
        (&[("strip", &["PCMU/16000"])], "8 0 9 18 101"),
        (&[("strip", &["telephone-event"])], "8 0 9 18"),
    ] {
        let sdp = Bench::new().sdp(offer(FIVE).with("codec", codec(pairs)));
        assert_eq!(formats(&sdp), expected, "{pairs:?}");
    }
}

#[test]
fn an_answer_is_filtered_by_its_own_options() {
    let mut bench = Bench::new();
    bench.sdp(offer(FIVE));
    let reply = |pairs| {
        let sdp = FIVE.replace("198.51.100.10", "198.51.100.20");
        answer(&sdp).with("codec", codec(pairs))
    };
    assert_eq!(
        formats(&bench.sdp(reply(&[("strip", &["PCMA"])]))),
        "0 9 18 101"
    );
    // What only an offer can ask for is overlooked.
    assert_eq!(
        formats(&bench.sdp(reply(&[("mask", &["PCMA"])]))),
        "8 0 9 18 101"
    );
    assert_eq!(
        formats(&bench.sdp(reply(&[("strip", &["all"])]))),
        "8 0 9 18 101"
    );
}

#[test]
fn codecs_that_nobody_explains_are_told_by_their_number() {
    let mut bench = Bench::new();
    let nameless = |host: &str, formats: &str| {
        audio(host, 2000, "").replace("AVP 8", &format!("AVP {formats}"))
    };
    bench.sdp(offer(&nameless("198.51.100.10", "96 8")));
    let sdp = bench.sdp(answer(&nameless("198.51.100.20", "97 96")));
    assert_eq!(formats(&sdp), "96", "{sdp}");
}

#[test]
fn no_codec_left_is_a_rejected_media() {
    let request = offer(FIVE)
        .with("codec", codec(&[("strip", &["all"])]))
        .with("flags", strings(&["allow-no-codec-media"]));
    let sdp = Bench::new().sdp(request);
    assert!(
        sdp.ends_with("t=0 0\nm=audio 0 RTP/AVP 8 0 9 18 101\nc=IN IP4 0.0.0.0\n"),
        "{sdp}"
    );
}

#[test]
fn packet_times_replace_those_of_the_sender() {
    let mut bench = Bench::new();
    let timed = FIVE.replace("a=sendrecv\n", "a=ptime:20\na=maxptime:60\n");
    let sdp = bench.sdp(offer(&timed).with("ptime", 40).with("ptime-reverse", 30));
    assert!(sdp.ends_with("\na=ptime:40\na=maxptime:60\n"), "{sdp}");
    let sdp = bench.sdp(answer(&audio("198.51.100.20", 3000, "a=ptime:20\n")));
    assert!(sdp.ends_with("\na=ptime:30\n"), "{sdp}");
}
