//! sdp-rewriting §12 and ng-protocol §8.7: which codecs are shown, and `sdp-attr`.

use super::*;

const OFFER: &str = "v=0\no=- 1 1 IN IP4 198.51.100.10\ns=-\nc=IN IP4 198.51.100.10\nt=0 0\n\
    m=audio 2000 RTP/AVP 8 0 9 18 101\na=rtpmap:18 G729/8000\na=fmtp:18 annexb=no\n\
    a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n";

fn formats(sdp: &str) -> String {
    let line = sdp.lines().find(|line| line.starts_with("m=")).unwrap();
    line.splitn(4, ' ').nth(3).unwrap().to_owned()
}

fn codec(pairs: &[(&'static str, &[&str])]) -> Dict {
    let mut codec = Dict::new();
    for (key, values) in pairs {
        codec.push(*key, strings(values));
    }
    codec
}

fn offered(pairs: &[(&'static str, &[&str])]) -> String {
    let mut bench = Bench::new();
    formats(&bench.sdp(offer(OFFER).with("codec", codec(pairs))))
}

fn answered(flags: &[&str], formats_of_answer: &str) -> String {
    let mut bench = Bench::new();
    bench.sdp(offer(OFFER));
    let sdp = format!(
        "v=0\no=- 1 1 IN IP4 198.51.100.20\ns=-\nc=IN IP4 198.51.100.20\nt=0 0\n\
         m=audio 3000 RTP/AVP {formats_of_answer}\na=rtpmap:101 telephone-event/8000\n"
    );
    formats(&bench.sdp(answer(&sdp).with("flags", strings(flags))))
}

#[test]
fn filters_of_an_offer() {
    assert_eq!(offered(&[("strip", &["PCMU"])]), "8 9 18 101");
    assert_eq!(offered(&[("strip", &["pcmu"])]), "8 9 18 101");
    assert_eq!(
        offered(&[("strip", &["all"]), ("offer", &["G729", "PCMA"])]),
        "18 8"
    );
    assert_eq!(offered(&[("strip", &["all"]), ("except", &["PCMU"])]), "0");
    assert_eq!(offered(&[("strip", &["G729/8000"])]), "8 0 9 101");
    assert_eq!(offered(&[("strip", &["G729/8000/2"])]), "8 0 9 18 101");
    assert_eq!(offered(&[("strip", &["8"])]), "8 0 9 18 101");
    assert_eq!(offered(&[("strip", &["all"])]), "8 0 9 18 101");
    assert_eq!(offered(&[("offer", &["G729"])]), "8 0 9 18 101");
    assert_eq!(offered(&[("ignore", &["PCMA"])]), "8 0 9 18 101");
    assert_eq!(
        offered(&[("accept", &["PCMU"]), ("strip", &["PCMU"])]),
        "8 9 18 101"
    );
    assert_eq!(offered(&[("mask", &["PCMA"])]), "0 9 18 101");
    assert_eq!(
        offered(&[("strip", &["all"]), ("transcode", &["PCMA", "opus"])]),
        "8"
    );
}

#[test]
fn answers_keep_the_order_of_the_answerer() {
    assert_eq!(answered(&[], "0 8 101"), "0 8 101");
    assert_eq!(answered(&["single-codec"], "0 8"), "0");
    assert_eq!(answered(&["single-codec"], "0 8 101"), "0 101");
    assert_eq!(answered(&[], "3"), "8");
}

#[test]
fn an_ignored_codec_is_not_used_towards_the_sender() {
    let mut bench = Bench::new();
    bench.sdp(offer(OFFER).with("codec", codec(&[("ignore", &["PCMA"])])));
    let sdp = bench.sdp(answer(
        &audio("198.51.100.20", 3000, "").replace("AVP 8", "AVP 8 0"),
    ));
    assert_eq!(formats(&sdp), "0");
}

#[test]
fn all_codecs_may_go_where_that_is_wanted() {
    let mut bench = Bench::new();
    let request = offer(OFFER)
        .with("codec", codec(&[("strip", &["all"])]))
        .with("flags", strings(&["allow-no-codec-media"]));
    let sdp = bench.sdp(request);
    assert!(
        sdp.contains("\nm=audio 0 RTP/AVP 8 0 9 18 101\nc=IN IP4 0.0.0.0\n"),
        "{sdp}"
    );
}

#[test]
fn packet_times_are_printed_on_both_sides() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(offer(OFFER).with("ptime", 40).with("ptime-reverse", 30));
    assert!(sdp.contains("a=ptime:40\n"), "{sdp}");
    let sdp = bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    assert!(sdp.contains("a=ptime:30\n"), "{sdp}");
}

#[test]
fn sdp_attr_removes_substitutes_and_adds() {
    let mut bench = Bench::new();
    let substitute: Value = [strings(&["rtpmap:101", "bar"]), Value::from("rtpmap:8>zzz")]
        .into_iter()
        .collect();
    let audio = Dict::new()
        .with("add", strings(&["foo:1"]))
        .with("remove", strings(&["rtpmap:18", "fmtp", "sendrecv"]))
        .with("substitute", substitute);
    let global = Dict::new().with("add", strings(&["tool:x", "a=y"]));
    let request = offer(&OFFER.replace("a=rtpmap:18 G729/8000\na=fmtp:18 annexb=no\n", "")).with(
        "sdp-attr",
        Dict::new().with("global", global).with("audio", audio),
    );
    let sdp = numbered(&bench.sdp(request));
    assert!(
        sdp.ends_with(
            "t=0 0\na=tool:x\na=y\nm=audio PORT0 RTP/AVP 8 0 9 18 101\nc=IN IP4 203.0.113.1\n\
             a=zzz\na=rtpmap:0 PCMU/8000\na=rtpmap:9 G722/8000\na=bar\na=rtcp:PORT1\na=foo:1\n"
        ),
        "{sdp}"
    );
}

#[test]
fn removed_media_types_are_answered_as_rejected() {
    let mut bench = Bench::new();
    let three = "v=0\no=- 1 1 IN IP4 198.51.100.10\ns=-\nc=IN IP4 198.51.100.10\nt=0 0\n\
        m=video 2002 RTP/AVP 96\na=rtpmap:96 H264/90000\nm=audio 2000 RTP/AVP 8\n\
        m=text 2004 RTP/AVP 98\na=rtpmap:98 t140/1000\n";
    let sdp = bench.sdp(offer(three).with("sdp-media-remove", strings(&["video"])));
    let kinds: Vec<&str> = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("m="))
        .collect();
    assert!(
        kinds[0].starts_with("audio ") && kinds[1].starts_with("text "),
        "{sdp}"
    );
    assert_eq!(kinds.len(), 2);
    let sdp = bench.sdp(answer(
        "v=0\no=- 1 1 IN IP4 198.51.100.20\ns=-\nc=IN IP4 198.51.100.20\nt=0 0\n\
         m=audio 3000 RTP/AVP 8\nm=text 3004 RTP/AVP 98\na=rtpmap:98 t140/1000\n",
    ));
    let lines: Vec<&str> = sdp.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with("m=video"))
        .unwrap();
    assert_eq!(
        lines[at..at + 2],
        ["m=video 0 RTP/AVP 96", "c=IN IP4 0.0.0.0"],
        "{sdp}"
    );
    assert!(lines[at + 2].starts_with("m=audio 3"), "{sdp}");
    assert!(sdp.contains("\nm=text 3"), "{sdp}");
}

#[test]
fn extensions_are_stripped_and_masked() {
    let mut bench = Bench::new();
    let uri = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
    let sdp = audio(
        "198.51.100.10",
        2000,
        &format!("a=extmap:1 {uri}\na=extmap:3 urn:x:y\n"),
    );
    let request = offer(&sdp).with("extmap", Dict::new().with("mask", strings(&[uri])));
    let sdp = bench.sdp(request);
    assert!(
        !sdp.contains(uri) && sdp.contains("a=extmap:3 urn:x:y"),
        "{sdp}"
    );
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let flows = bench.books.flows.lock().unwrap();
    let sinks = flows.values().flat_map(|(flow, _)| &flow.sinks);
    let rules = sinks.filter_map(|sink| sink.rules.as_ref()?.change.extensions.clone());
    let to_callee: Vec<_> = rules.filter(|rules| rules.sender.contains(1)).collect();
    // Its packets may have what is masked, and the callee gets none of it.
    assert!(!to_callee.is_empty());
    assert!(to_callee.iter().all(|rules| !rules.receiver.contains(1)));
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
fn an_answer_has_no_line_that_was_not_offered() {
    // The line that was hidden from B is none of the lines that B offers later.
    let two = "m=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";
    let mut bench = Bench::new();
    let hiding =
        offer(&audio("198.51.100.10", 2000, two)).with("sdp-media-remove", strings(&["video"]));
    bench.sdp(hiding);
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let from_b = message("offer", &audio("198.51.100.20", 3000, ""))
        .with("from-tag", "T")
        .with("to-tag", "F");
    let shown = bench.sdp(from_b);
    assert_eq!(shown.matches("\nm=").count(), 2, "{shown}");
    let from_a = answer_of_a("m=audio 2000 RTP/AVP 8\nm=video 0 RTP/AVP 96\n");
    let shown = bench.sdp(from_a);
    assert_eq!(shown.matches("\nm=").count(), 1, "{shown}");
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
