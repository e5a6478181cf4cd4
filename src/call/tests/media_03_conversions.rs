//! media-services §3, §7, §12: what signalling has converted, as the plan and replies say it.

use windlass_audio::negotiate::Treatment;

use super::media_03_codecs::{bench, line, listed, with_options};
use super::*;
use crate::flow::conversion::Conversion;
use crate::flow::{Carries, Component};

/// The conversion of what a party sends, by the party's SDP address; `None`: it passes.
fn from(bench: &Bench, host: &str) -> Option<Conversion> {
    let flows = bench.books.flows.lock().unwrap();
    let is_of = |spec: &&FlowSpec| {
        let signalled = spec.peer.signalled.map(|to| to.ip().to_string());
        spec.component == Component::Rtp && signalled.as_deref() == Some(host)
    };
    let spec = flows.values().map(|(spec, _)| spec).find(is_of).unwrap();
    let mut sinks = spec.sinks.iter();
    let sink = sinks.find(|sink| sink.carries == Carries::Rtp).unwrap();
    sink.rules.as_ref()?.conversion.as_deref().cloned()
}

const A: &str = "198.51.100.10";
const B: &str = "198.51.100.20";

/// Routes as `number=>treatment`.
fn routes(conversion: Option<&Conversion>) -> String {
    let Some(conversion) = conversion else {
        return "none".to_owned();
    };
    let words = conversion.routes.iter().map(|route| {
        let from = route.from.payload_type;
        match &route.treatment {
            Treatment::Convert(to) => format!("{from}=>{}", to.payload_type),
            Treatment::Drop => format!("{from}>-"),
            Treatment::Rescale(to) => format!("{from}*>{}", to.payload_type),
            Treatment::Pass(to) => format!("{from}>{to}"),
            Treatment::Sound(to) => format!("{from}~>{}", to.payload_type),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A call with these lists and options, and the conversion of both directions.
fn call(
    offered: &str,
    options: &str,
    answer: &str,
    flags: &str,
) -> (Bench, [Option<Conversion>; 2]) {
    let mut bench = bench();
    bench.sdp(with_options(from_a(&line(2000, offered, "")), options));
    bench.sdp(with_options(from_b(&line(3000, answer, "")), flags));
    let both = [from(&bench, A), from(&bench, B)];
    (bench, both)
}

fn both(offered: &str, options: &str, answer: &str, flags: &str) -> [String; 2] {
    let (_, conversions) = call(offered, options, answer, flags);
    conversions.map(|conversion| routes(conversion.as_ref()))
}

#[test]
fn what_both_sides_have_passes_without_rules() {
    for options in [
        "",
        "transcode=G722",
        "mask=PCMA",
        "strip=PCMA",
        "accept=PCMU",
    ] {
        assert_eq!(
            both("8 0 101", options, "0 101", ""),
            ["none", "none"],
            "{options}"
        );
    }
    // The parties are shown what they have in common, in any order.
    assert_eq!(
        both("8 0 101", "", "0 8 101", "single-codec"),
        ["none", "none"]
    );
    assert_eq!(both("8 0", "", "18", ""), ["none", "none"]);
}

#[test]
fn an_added_codec_is_converted_both_ways() {
    assert_eq!(
        both("8 0 101", "transcode=G722", "9 101", ""),
        ["8=>9 101>101", "9=>8 101>101"]
    );
    assert_eq!(
        both(
            "8 0 101",
            "transcode=opus",
            "96 opus/48000/2 97 te/48000",
            ""
        ),
        ["8=>96 101*>97", "96=>8 97*>101"]
    );
    assert_eq!(
        both("8 0 101", "accept=PCMU", "8 101", ""),
        ["0=>8 101>101", "8=>0 101>101"]
    );
}

#[test]
fn force_transcoding_converts_what_is_equal() {
    assert_eq!(
        both("8 101", "", "8 101", "force-transcoding"),
        ["8=>8 101>101", "8=>8 101>101"]
    );
    assert_eq!(
        both("8 101", "force-transcoding", "8 101", ""),
        ["8=>8 101>101", "8=>8 101>101"]
    );
}

#[test]
fn digits_are_found_in_the_audio_of_a_party_without_events() {
    let (_, [there, back]) = call("8 0 101", "accept=te", "8", "");
    assert_eq!(routes(there.as_ref()), "8=>8 101~>8");
    let back = back.unwrap();
    assert_eq!(routes(Some(&back)), "8=>8");
    assert_eq!(
        back.events.as_ref().map(|events| events.payload_type),
        Some(101)
    );
    assert!(back.detect);
    assert!(there.unwrap().events.is_none());
    // The other way round: events for a receiver whose caller has none.
    let (_, [there, back]) = call("8", "transcode=te", "8 96 te/8000", "");
    assert_eq!(
        there.unwrap().events.map(|events| events.payload_type),
        Some(96)
    );
    assert_eq!(routes(back.as_ref()), "8=>8 96~>8");
}

#[test]
fn digits_are_searched_for_and_injected_where_that_is_asked_for() {
    let (_, [there, back]) = call("8", "detect-DTMF", "8", "");
    let there = there.unwrap();
    assert!(there.detect && there.events.is_none());
    assert_eq!(routes(Some(&there)), "8=>8");
    assert_eq!(back.map(|back| back.detect), Some(true));
    assert_eq!(
        both("8", "inject-DTMF", "8", "inject-DTMF"),
        ["8=>8", "8=>8"]
    );
}

#[test]
fn packets_are_cut_where_a_request_says_so() {
    let (_, [there, back]) = call("8 101", "ptime=40", "8 101", "");
    let there = there.unwrap();
    assert_eq!(
        (routes(Some(&there)).as_str(), there.ptime_ms),
        ("8=>8 101>101", 40)
    );
    assert!(back.is_none());
    // What comes has that length already.
    let (_, [there, back]) = call("8 101", "ptime=20 ptime-reverse=30", "8 101", "");
    assert!(there.is_none());
    assert_eq!(back.unwrap().ptime_ms, 30);
    // Converted: the offer alone says 30, both ways.
    let mut bench = bench();
    let offer = from_a(&line(2000, "8", "a=ptime:30\n"));
    bench.sdp(with_options(offer, "transcode=PCMU mask=PCMA"));
    bench.sdp(from_b(&line(3000, "0", "a=maxptime:20\n")));
    assert_eq!(from(&bench, A).unwrap().ptime_ms, 20);
    assert_eq!(from(&bench, B).unwrap().ptime_ms, 30);
}

#[test]
fn the_encoder_is_told_what_options_ask_for() {
    let (_, [there, back]) = call(
        "8",
        "transcode=opus/48000/2/24000 set=PCMA/8000/1/64000/40//x=1",
        "96 opus/48000/2",
        "",
    );
    assert_eq!(there.unwrap().encoder.bit_rate, Some(24_000));
    let back = back.unwrap();
    assert_eq!(back.encoder.bit_rate, Some(64_000));
    assert_eq!((back.encoder.options.as_str(), back.ptime_ms), ("x=1", 40));
}

#[test]
fn silence_becomes_comfort_noise_for_those_that_have_it() {
    let mut bench = bench();
    bench.calls.defaults.audio.silence_below = 9;
    bench.calls.defaults.audio.noise = vec![40];
    bench.sdp(with_options(
        from_a(&line(2000, "8 13", "")),
        "transcode=PCMU mask=PCMA",
    ));
    bench.sdp(from_b(&line(3000, "0 13", "")));
    let silence = from(&bench, A).unwrap().silence.unwrap();
    assert_eq!(
        (
            silence.threshold,
            silence.noise.payload_type,
            silence.payload
        ),
        (9, 13, vec![40])
    );
}

#[test]
fn re_offers_change_what_is_converted_with_their_answer() {
    let (mut bench, _) = call("8 0 101", "transcode=G722", "9 101", "");
    bench.sdp(from_a(&line(2000, "8 0 101", "")));
    assert_eq!(routes(from(&bench, A).as_ref()), "8=>9 101>101");
    bench.sdp(from_b(&line(3000, "0 101", "")));
    assert_eq!(routes(from(&bench, A).as_ref()), "none");
    assert_eq!(routes(from(&bench, B).as_ref()), "none");
}

#[test]
fn an_offer_from_the_other_side_is_converted_back() {
    let (mut bench, _) = call("8 101", "transcode=G722", "9 101", "");
    let own = with_options(offer_of_b(&line(3000, "9 101", "")), "transcode=PCMA");
    assert_eq!(listed(&bench.sdp(own)), "9 8 101");
    assert_eq!(
        listed(&bench.sdp(answer_of_a(&line(2000, "8 101", "")))),
        "9 101"
    );
    assert_eq!(routes(from(&bench, A).as_ref()), "8=>9 101>101");
    assert_eq!(routes(from(&bench, B).as_ref()), "9=>8 101>101");
}

#[test]
fn a_call_has_a_bound_of_conversions() {
    let mut bench = bench();
    bench.calls.defaults.audio.max_chains = 1;
    let shown = bench.sdp(with_options(from_a(&line(2000, "8", "")), "transcode=G722"));
    assert_eq!(listed(&shown), "8");
}

#[test]
fn replies_say_what_is_converted() {
    let (mut bench, _) = call("8 0 101", "transcode=G722", "9 101", "");
    let reply = bench.ask(command("query"));
    for party in ["F", "T"] {
        let flags = at(&reply, &format!("tags/{party}/medias/0/flags"));
        let flags: Vec<&str> = flags
            .as_list()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert!(flags.contains(&"transcoding"), "{flags:?}");
    }
    let reply = bench.ask(Dict::new().with("command", "statistics"));
    let number = |path: &str| at(&reply, path).as_int();
    assert_eq!(
        number("statistics/currentstatistics/transcodedmedia"),
        Some(2)
    );
    assert_eq!(number("statistics/transcoders/0/num"), Some(1));
    let chain = |index: usize| {
        let chain = at(&reply, &format!("statistics/transcoders/{index}/chain"));
        chain.as_str().unwrap().to_owned()
    };
    assert_eq!(
        (chain(0), chain(1)),
        (
            "G722/8000 -> PCMA/8000".to_owned(),
            "PCMA/8000 -> G722/8000".to_owned()
        )
    );
    let (mut plain, _) = call("8 101", "", "8 101", "");
    let reply = plain.ask(command("query"));
    let flags = at(&reply, "tags/F/medias/0/flags").as_list().unwrap();
    assert!(
        !flags
            .iter()
            .any(|flag| flag.as_str() == Some("transcoding"))
    );
}

#[test]
fn subscribers_may_have_codecs_of_their_own() {
    let subscribe = |options: &str| {
        with_options(command("subscribe request"), options)
            .with("from-tag", "F")
            .with("to-tag", "S")
    };
    let reply = |list: &str, flags: &str| {
        let sdp = party("198.51.100.30", &line(4000, list, "a=recvonly\n"));
        let request = message("subscribe answer", &sdp).with("to-tag", "S");
        with_options(request, flags)
    };
    let (mut bench, _) = call("8 101", "", "8 101", "");
    let offer = bench.sdp(subscribe("transcode=G722"));
    assert_eq!(listed(&offer), "8 9 101");
    assert_eq!(said(&bench.ask(reply("9", ""))), "ok");
    let flows = bench.books.flows.lock().unwrap();
    let source = flows.values().map(|(spec, _)| spec).find(|spec| {
        spec.component == Component::Rtp
            && spec.peer.signalled == Some("198.51.100.10:2000".parse().unwrap())
    });
    let rules = source
        .unwrap()
        .sinks
        .iter()
        .filter_map(|sink| sink.rules.as_ref());
    let conversions: Vec<String> = rules
        .filter_map(|rules| rules.conversion.as_deref())
        .map(|conversion| routes(Some(conversion)))
        .collect();
    assert_eq!(conversions, ["8=>9 101~>9"]);
    drop(flows);
    // Nothing that was offered; with the flag, anything that can be converted.
    let (mut bench, _) = call("8 101", "", "8 101", "");
    bench.sdp(subscribe(""));
    assert_eq!(
        said(&bench.ask(reply("0", ""))),
        "Failed to process subscription answer"
    );
    assert_eq!(said(&bench.ask(reply("0", "allow-transcoding"))), "ok");
}
