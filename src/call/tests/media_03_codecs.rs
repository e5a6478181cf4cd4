//! media-services §3: which codecs each party is shown when options of an offer add, hide or want
//! some; every row of its tables, from the request to the SDP.

use windlass_audio::catalogue;
use windlass_audio::negotiate::Support;

use super::*;

/// A relay that has every library.
pub(super) fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.calls.defaults.audio.support = Support::with(|_| true);
    bench
}

/// An m= line with these codecs: `8 0 96 opus/48000/2 {useinbandfec=1} 97 te/8000`. A number alone
/// is what RFC 3551 assigns, or events at 8 kHz.
pub(super) fn line(port: u16, list: &str, more: &str) -> String {
    let (mut numbers, mut attributes) = (String::new(), String::new());
    let mut words = list.split_whitespace().peekable();
    while let Some(word) = words.next() {
        numbers = format!("{numbers} {word}");
        let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
        let number: u8 = word.parse().unwrap();
        match words.next_if(is_name) {
            Some(name) => {
                let name = name.replace("te/", "telephone-event/");
                attributes += &format!("a=rtpmap:{word} {name}\n");
            }
            None if catalogue::by_static_type(number).is_none() => {
                attributes += &format!("a=rtpmap:{word} telephone-event/8000\n");
            }
            None => {}
        }
        if words.peek().is_some_and(|word| word.starts_with('{')) {
            let mut fmtp = String::new();
            loop {
                fmtp = format!("{fmtp} {}", words.next().unwrap());
                if fmtp.ends_with('}') {
                    break;
                }
            }
            let fmtp = fmtp.trim().trim_matches(['{', '}']).to_owned();
            attributes += &format!("a=fmtp:{word} {fmtp}\n");
        }
    }
    format!("m=audio {port} RTP/AVP{numbers}\n{attributes}{more}")
}

/// The codecs of an SDP's first line in the same form.
pub(super) fn listed(sdp: &str) -> String {
    let media = sdp.split("\nm=").nth(1).unwrap();
    let first = media.lines().next().unwrap();
    let value = |name: &str, number: &str| {
        let prefix = format!("a={name}:{number} ");
        media.lines().find_map(|line| line.strip_prefix(&prefix))
    };
    let words = first.split(' ').skip(3).map(|number| {
        let name = value("rtpmap", number).unwrap_or("?");
        let assigned = catalogue::by_static_type(number.parse().unwrap());
        let assigned = assigned.map(|(def, clock, channels)| match channels {
            1 => format!("{}/{clock}", def.name),
            _ => format!("{}/{clock}/{channels}", def.name),
        });
        let fmtp = value("fmtp", number);
        let is_plain = assigned.is_some_and(|assigned| assigned.eq_ignore_ascii_case(name))
            || name == "telephone-event/8000";
        match (is_plain, fmtp) {
            (true, None) => number.to_owned(),
            (_, None) => format!("{number} {}", name.replace("telephone-event", "te")),
            (_, Some(fmtp)) => {
                format!(
                    "{number} {} {{{fmtp}}}",
                    name.replace("telephone-event", "te")
                )
            }
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// An offer with options such as `strip=all transcode=PCMU,opus always-transcode`. `te` is
/// telephone-event, and `+` a comma inside of parameters.
pub(super) fn with_options(mut request: Dict, options: &str) -> Dict {
    let mut codec = Dict::new();
    let mut flags = Vec::new();
    for option in options.split_whitespace() {
        let Some((key, names)) = option.split_once('=') else {
            flags.push(option);
            continue;
        };
        if let Ok(number) = names.parse::<i64>() {
            request.push(key.to_owned(), number);
            continue;
        }
        let names = names.split(',').map(|name| match name {
            "te" => "telephone-event".to_owned(),
            name => name.replace('+', ","),
        });
        let names: Vec<Value> = names.map(Value::from).collect();
        codec.push(key.to_owned(), Value::List(names));
    }
    request.with("codec", codec).with("flags", strings(&flags))
}

/// What the receiver is shown of an offer.
fn shown(offered: &str, options: &str) -> String {
    let request = with_options(from_a(&line(2000, offered, "")), options);
    listed(&bench().sdp(request)).replace(OPUS, "96 opus")
}

/// What the offerer is shown of the answer.
fn answered(offered: &str, options: &str, answer: &str, flags: &str) -> String {
    let mut bench = bench();
    bench.sdp(with_options(from_a(&line(2000, offered, "")), options));
    listed(&bench.sdp(with_options(from_b(&line(3000, answer, "")), flags)))
}

const OPUS: &str = "96 opus/48000/2 {useinbandfec=1}";

#[test]
fn rows_of_offers() {
    let te48 = "97 te/48000 {0-15}";
    let amr = "octet-align=1;mode-change-capability=2";
    for (offered, options, expected) in [
        (
            "8 0 101",
            "transcode=opus",
            format!("8 0 96 opus {te48} 101"),
        ),
        (
            "8",
            "transcode=opus/48000/1",
            "8 96 opus/48000 {useinbandfec=1}".into(),
        ),
        (
            "8",
            "transcode=opus/16000",
            "8 96 opus/48000 {useinbandfec=1}".into(),
        ),
        (
            "8",
            "transcode=OPUS",
            "8 96 OPUS/48000/2 {useinbandfec=1}".into(),
        ),
        ("8", "transcode=G729", "8 18 G729/8000 {annexb=yes}".into()),
        ("8", "transcode=G729a", "8 18 G729a/8000 {annexb=no}".into()),
        (
            "8",
            "transcode=AMR,AMR-WB",
            format!("8 96 AMR/8000 {{{amr}}} 97 AMR-WB/16000 {{{amr}}}"),
        ),
        (
            "8",
            "transcode=AMR-WB/16000/1/23850//mode-set=0+1+2",
            "8 96 AMR-WB/16000 {mode-set=0,1,2}".into(),
        ),
        ("8", "transcode=speex", "8 96 speex/16000".into()),
        ("8", "transcode=L16/16000", "8 96 L16/16000".into()),
        ("8", "transcode=iLBC,EVS,QCELP,foo", "8".into()),
        (
            "8 0 101",
            "strip=all transcode=PCMU,opus",
            "0 96 opus".into(),
        ),
        ("8 0 101", "mask=all transcode=opus", "96 opus".into()),
        (
            "8 0 101",
            "strip=all offer=PCMU,te transcode=opus",
            format!("0 96 opus {te48} 101"),
        ),
        (
            "8 101",
            "mask=all except=te transcode=opus",
            format!("96 opus {te48}"),
        ),
        ("8 0 101", "strip=PCMA transcode=PCMA", "0 8 101".into()),
        ("8 0 101", "mask=PCMA transcode=PCMA", "0 8 101".into()),
        (
            "96 AMR-WB/16000 97 te/16000",
            "mask=AMR-WB transcode=PCMA",
            "8 96 te/8000 {0-15}".into(),
        ),
        // Comfort noise and events, per clock.
        (
            "8 13 101",
            "transcode=opus",
            "8 96 opus 97 CN/48000 98 te/48000 {0-15} 13 101".into(),
        ),
        (
            "8",
            "transcode=opus,AMR-WB,te",
            format!(
                "8 96 opus 97 AMR-WB/16000 {{{amr}}} 99 te/16000 {{0-15}} 100 te/48000 {{0-15}} \
                 98 te/8000 {{0-15}}"
            ),
        ),
        (
            "8 101",
            "transcode=opus,CN",
            "8 96 opus 13 97 CN/48000 98 te/48000 {0-15} 101".into(),
        ),
        (
            "8 96 opus/48000/2 101 te/8000 102 te/48000",
            "strip=opus",
            "8 101".into(),
        ),
        // An offered AMR is the one that is wanted, by its parameters.
        (
            "96 AMR/8000 {octet-align=1}",
            "transcode=AMR",
            "96 AMR/8000 {octet-align=1}".into(),
        ),
        (
            "96 AMR/8000 {octet-align=1}",
            "transcode=AMR/8000////octet-align=0",
            "96 AMR/8000 {octet-align=1} 97 AMR/8000 {octet-align=0}".into(),
        ),
    ] {
        assert_eq!(
            shown(offered, options),
            expected,
            "{offered} with {options}"
        );
    }
}

#[test]
fn rows_of_answers() {
    for (offered, options, answer, expected) in [
        ("8 0 101", "transcode=G722", "9 101", "8 101"),
        ("8 0 101", "transcode=G722", "0 101", "0 101"),
        ("8 0 101", "transcode=G722", "0 9 101", "0 8 101"),
        ("8 0 101", "transcode=G722", "9 0 101", "8 0 101"),
        (
            "8 0 101",
            "transcode=G722,opus",
            "96 opus/48000/2 0 101",
            "8 0 101",
        ),
        ("8 0 101", "accept=PCMU", "8 101", "0 101"),
        ("8 0 101", "accept=PCMU", "8 0 101", "0 101"),
        ("8 0 101", "accept=PCMU", "0 101", "0 101"),
        ("8 0 101", "accept=PCMU strip=PCMU", "8 101", "0 101"),
        ("8 0 101", "accept=PCMA", "0 101", "8 101"),
        ("8 0 101", "consume=PCMA", "0 101", "8 101"),
        ("8 0 101", "always-transcode", "0", "8 101"),
        ("8 0 101", "always-transcode", "0 8 101", "8 101"),
        ("8 0 101", "accept=te", "8", "8 101"),
        ("8 0 101", "mask=PCMA", "0 101", "0 101"),
        ("8 0 101", "ignore=PCMA", "8 101", "0 101"),
        ("8 0 9 101", "mask=PCMA transcode=G722", "9 101", "9 101"),
        ("8 0 101", "transcode=opus", "96 opus/48000/2", "8"),
        (
            "8 0 101",
            "transcode=opus",
            "96 opus/48000/2 97 te/48000",
            "8 101",
        ),
        ("8 0 101", "transcode=opus", "96 opus/48000/2 101", "8 101"),
        ("8 0 101", "transcode=opus", "111 opus/48000/2", "8"),
        ("8 0 101", "transcode=opus", "111 opus/48000/2 101", "8"),
        ("96 iLBC/8000 {mode=20}", "transcode=PCMA", "8", "8"),
        (
            "98 FOO/8000 8 101",
            "transcode=G722",
            "98 FOO/8000 101",
            "98 FOO/8000 101",
        ),
        (
            "8 0 9 18 97 iLBC/8000 101 13 118 te/16000",
            "strip=all consume=CN offer=PCMA,PCMU,te",
            "8 101",
            "8 13 101",
        ),
        (
            "96 opus/48000/2 102 te/48000",
            "transcode=PCMA",
            "8 97 te/8000",
            "96 opus/48000/2 {stereo=0; useinbandfec=1} 102 te/48000",
        ),
        (
            "96 opus/48000/2 {stereo=1}",
            "transcode=PCMA",
            "8",
            "96 opus/48000/2 {stereo=0; sprop-stereo=1; useinbandfec=1}",
        ),
        ("8", "transcode=te", "8 96 te/8000", "8"),
        ("8 0", "", "18", "8"),
    ] {
        assert_eq!(
            answered(offered, options, answer, ""),
            expected,
            "{offered} with {options}, answered {answer}"
        );
    }
    let single = "single-codec";
    assert_eq!(
        answered("8 0 101", "transcode=G722", "0 9 101", single),
        "0 101"
    );
    assert_eq!(
        answered("8 0 101", "transcode=G722", "9 0 101", single),
        "8 101"
    );
    let asymmetric = "allow-asymmetric-codecs";
    let opus = "111 opus/48000/2";
    assert_eq!(answered("8 0 101", "transcode=opus", opus, asymmetric), "8");
    let opus = "111 opus/48000/2 101";
    assert_eq!(
        answered("8 0 101", "transcode=opus", opus, asymmetric),
        "8 101"
    );
}

#[test]
fn rows_of_packet_times() {
    let time = |sdp: &str| {
        let mut lines = sdp.lines();
        lines.find_map(|line| line.strip_prefix("a=ptime:").map(str::to_owned))
    };
    for (options, offered, answered, expected) in [
        ("ptime=20", "30", "40", ("20", "30")),
        ("", "30", "40", ("30", "40")),
        ("ptime-reverse=60", "30", "30", ("30", "60")),
        ("ptime=40 ptime-reverse=30", "20", "20", ("40", "30")),
    ] {
        let mut bench = bench();
        let offer = from_a(&line(2000, "8", &format!("a=ptime:{offered}\n")));
        let shown = time(&bench.sdp(with_options(offer, options)));
        let answer = from_b(&line(3000, "8", &format!("a=ptime:{answered}\n")));
        let back = time(&bench.sdp(answer));
        assert_eq!(
            (shown.as_deref(), back.as_deref()),
            (Some(expected.0), Some(expected.1)),
            "{options}"
        );
    }
}

#[test]
fn an_added_codec_may_be_answered_after_it_is_gone_from_the_offer() {
    let mut bench = bench();
    bench.sdp(with_options(
        from_a(&line(2000, "8 0 101", "")),
        "transcode=G722",
    ));
    assert_eq!(
        listed(&bench.sdp(from_b(&line(3000, "9 101", "")))),
        "8 101"
    );
    assert_eq!(
        listed(&bench.sdp(from_a(&line(2000, "8 0 101", "")))),
        "8 0 101"
    );
    assert_eq!(
        listed(&bench.sdp(from_b(&line(3000, "9 101", "")))),
        "8 101"
    );
}

#[test]
fn the_receivers_own_numbers_are_used_again() {
    let mut bench = bench();
    bench.sdp(with_options(from_a(&line(2000, "8", "")), "transcode=opus"));
    bench.sdp(from_b(&line(3000, "96 opus/48000/2", "")));
    // It calls opus by another number in an offer of its own.
    let own = offer_of_b(&line(3000, "120 opus/48000/2", ""));
    assert_eq!(
        listed(&bench.sdp(with_options(own, "transcode=PCMA"))),
        "120 opus/48000/2 8"
    );
    bench.sdp(answer_of_a(&line(2000, "8", "")));
    let again = with_options(from_a(&line(2000, "8", "")), "transcode=opus");
    assert_eq!(
        listed(&bench.sdp(again)),
        "8 120 opus/48000/2 {useinbandfec=1}"
    );
}

#[test]
fn reused_codecs_keep_their_place_and_static_ones_their_list() {
    let mut bench = bench();
    bench.sdp(from_a(&line(2000, "8 0 101", "")));
    bench.sdp(from_b(&line(3000, "0 101", "")));
    let reused = with_options(from_a(&line(2000, "8 0 9 101", "")), "reuse-codecs");
    assert_eq!(listed(&bench.sdp(reused)), "0 8 9 101");
    bench.sdp(from_b(&line(3000, "0 101", "")));
    let kept = with_options(from_a(&line(2000, "9 8", "")), "static-codecs");
    assert_eq!(listed(&bench.sdp(kept)), "0 8 9 101");
    assert_eq!(listed(&bench.sdp(from_b(&line(3000, "0 101", "")))), "9");
}

#[test]
fn static_codecs_are_known_of_a_call_without_options() {
    let mut bench = bench();
    bench.sdp(from_a(&line(2000, "8 0 101", "")));
    bench.sdp(from_b(&line(3000, "0 101", "")));
    let kept = with_options(from_a(&line(2000, "9", "")), "static-codecs");
    assert_eq!(listed(&bench.sdp(kept)), "8 0 101");
}

#[test]
fn an_offer_that_is_not_answered_leaves_what_is_agreed() {
    let mut bench = bench();
    bench.sdp(with_options(
        from_a(&line(2000, "8 101", "")),
        "transcode=G722",
    ));
    bench.sdp(from_b(&line(3000, "9 101", "")));
    // Refused by the other side: no answer comes.
    bench.sdp(with_options(
        from_a(&line(2000, "0 101", "")),
        "transcode=opus",
    ));
    let own = offer_of_b(&line(3000, "9 101", ""));
    assert_eq!(
        listed(&bench.sdp(with_options(own, "transcode=PCMA"))),
        "9 8 101"
    );
}

#[test]
fn branches_have_offers_of_their_own() {
    let mut bench = bench();
    let to = |branch: &str, options: &str| {
        with_options(from_a(&line(2000, "8 101", "")), options)
            .with("via-branch", branch.to_owned())
    };
    assert_eq!(listed(&bench.sdp(to("one", "transcode=G722"))), "8 9 101");
    assert_eq!(listed(&bench.sdp(to("two", "transcode=PCMU"))), "8 0 101");
    let from = |branch: &str, tag: &str, list: &str| {
        message("answer", &party("198.51.100.20", &line(3000, list, "")))
            .with("from-tag", "F")
            .with("to-tag", tag.to_owned())
            .with("via-branch", branch.to_owned())
    };
    assert_eq!(listed(&bench.sdp(from("one", "T1", "9 101"))), "8 101");
    assert_eq!(listed(&bench.sdp(from("two", "T2", "0 101"))), "8 101");
    // It was not offered to this branch.
    assert_eq!(listed(&bench.sdp(from("two", "T2", "9 101"))), "8");
}

#[test]
fn options_that_convert_leave_video_alone() {
    let video =
        "m=video 2002 RTP/AVP 97\na=rtpmap:97 H264/90000\na=fmtp:97 profile-level-id=42e01f\n";
    let lines = format!("{}{video}", line(2000, "8", ""));
    let sdp = bench().sdp(with_options(from_a(&lines), "strip=all transcode=PCMU"));
    assert_eq!(listed(&sdp), "0");
    assert!(sdp.contains(" RTP/AVP 97\n"), "{sdp}");
    assert!(sdp.contains("a=fmtp:97 profile-level-id=42e01f\n"), "{sdp}");
}

#[test]
fn what_no_library_brings_is_told_and_left_out() {
    let mut bench = Bench::new();
    let request = with_options(from_a(&line(2000, "8", "")), "transcode=opus,G722");
    let (sdp, log) = logged(|| bench.sdp(request));
    assert_eq!(listed(&sdp), "8 9");
    assert!(
        log.contains("cannot be converted here") && log.contains("opus"),
        "{log}"
    );
}
