//! sdp-rewriting §12: which codecs of an answer the offerer is shown.

use super::*;

fn formats(sdp: &str) -> &str {
    let line = sdp.lines().find(|line| line.starts_with("m=")).unwrap();
    line.splitn(4, ' ').nth(3).unwrap()
}

fn answered(offered: &str, answered: &str, flags: &[&str]) -> String {
    let mut bench = Bench::new();
    bench.sdp(from_a(&format!("m=audio 2000 RTP/AVP {offered}")));
    let request = from_b(&format!("m=audio 3000 RTP/AVP {answered}"));
    bench.sdp(request.with("flags", strings(flags)))
}

const EVENTS_110: &str = "8 110\na=rtpmap:110 telephone-event/8000\n";
const EVENTS_105: &str = "8 105\na=rtpmap:105 telephone-event/8000\n";

#[test]
fn a_codec_is_answered_under_its_number() {
    assert_eq!(formats(&answered(EVENTS_110, EVENTS_105, &[])), "8");
    let asymmetric = answered(EVENTS_110, EVENTS_105, &["allow-asymmetric-codecs"]);
    assert_eq!(formats(&asymmetric), "8 105");
}

#[test]
fn two_names_of_g729_are_one_codec() {
    let sdp = answered(
        "18\na=rtpmap:18 G729/8000\n",
        "18\na=rtpmap:18 G729a/8000\n",
        &[],
    );
    assert!(sdp.contains("\na=rtpmap:18 G729a/8000\n"), "{sdp}");
}

#[test]
fn parameters_that_change_the_stream_must_agree() {
    let amr = |parameters: &str| format!("97 0\na=rtpmap:97 AMR/8000\n{parameters}");
    let aligned = amr("a=fmtp:97 octet-align=1\n");
    let modes = |list: &str| amr(&format!("a=fmtp:97 mode-set={list}\n"));
    for (offered, answer, left) in [
        (aligned.clone(), amr(""), "0"),
        (aligned.clone(), aligned, "97 0"),
        (amr("a=fmtp:97 octet-align=0;max-red=1\n"), amr(""), "97 0"),
        (modes("0,2,4"), modes("2,4"), "97 0"),
        (modes("0,2"), modes("2,7"), "0"),
        (modes("0,2"), amr(""), "0"),
        (amr(""), modes("2"), "97 0"),
    ] {
        assert_eq!(
            formats(&answered(&offered, &answer, &[])),
            left,
            "{offered} {answer}"
        );
    }
    let events = "101\na=rtpmap:101 telephone-event/8000\n";
    let offered = format!("3 {events}a=fmtp:3 x=1\n");
    assert_eq!(
        formats(&answered(&offered, &format!("3 {events}"), &[])),
        "101"
    );
}

#[test]
fn parameters_of_evs_must_agree_as_far_as_both_say_something() {
    let evs = |parameters: &str| {
        let fmtp = match parameters {
            "" => String::new(),
            text => format!("a=fmtp:97 {text}\n"),
        };
        format!("97 0\na=rtpmap:97 EVS/16000\n{fmtp}")
    };
    for (offered, answer, left) in [
        ("", "", "97 0"),
        ("br=5.9-24.4;bw=nb-swb", "", "97 0"),
        ("", "br=5.9-24.4;bw=nb-swb", "97 0"),
        // Absent is 0.
        ("hf-only=0", "amr-io=0", "97 0"),
        ("hf-only=1", "", "0"),
        ("", "amr-io=1", "0"),
        ("amr-io=1", "amr-io=1", "97 0"),
        // Values of a range that was offered, and others.
        ("br=5.9-24.4", "br=13.2-24.4", "97 0"),
        ("br=5.9-24.4", "br=13.2", "97 0"),
        ("br=5.9-24.4", "br=5.9-64", "0"),
        ("bw=nb-swb", "bw=WB", "97 0"),
        ("bw=nb-wb", "bw=fb", "0"),
        ("mode-set=0,2,8", "mode-set=0,8", "97 0"),
        ("mode-set=0,2", "mode-set=0,8", "0"),
        ("dtx=0", "dtx=1", "0"),
        // What nobody knows is not compared.
        ("x-own=1", "x-own=2", "97 0"),
    ] {
        let found = answered(&evs(offered), &evs(answer), &[]);
        assert_eq!(formats(&found), left, "{offered} {answer}");
    }
    let shown = |parameters: &str| {
        let lines = "m=audio 2000 RTP/AVP 97\na=rtpmap:97 EVS/16000\na=fmtp:97 ";
        Bench::new().sdp(from_a(&format!("{lines}{parameters}\n")))
    };
    let sdp = shown("br=5.9-24.4;x-own=3;  bw=nb-swb");
    assert!(
        sdp.contains("\na=fmtp:97 br=5.9-24.4; bw=nb-swb\n"),
        "{sdp}"
    );
    assert!(!shown("x-own=3").contains("fmtp"));
}

#[test]
fn parameters_of_opus_are_printed_anew() {
    let shown = |parameters: &str| {
        let lines = "m=audio 2000 RTP/AVP 100\na=rtpmap:100 opus/48000/2\na=fmtp:100 ";
        Bench::new().sdp(from_a(&format!("{lines}{parameters}\n")))
    };
    let sdp = shown("minptime=20;x-own=3;useinbandfec=1;stereo=0");
    assert!(
        sdp.contains("\na=fmtp:100 stereo=0; useinbandfec=1; minptime=20\n"),
        "{sdp}"
    );
    assert!(!shown("x-own=3").contains("fmtp"));
}

#[test]
fn one_blank_ends_the_number_of_an_fmtp() {
    let lines = "m=audio 2000 RTP/AVP 100\na=rtpmap:100 x/8000\na=fmtp:100  a=1\n";
    let sdp = Bench::new().sdp(from_a(lines));
    assert!(sdp.contains("\na=fmtp:100  a=1\n"), "{sdp}");
}

/// ng-protocol §15.
#[test]
fn a_number_without_a_name_gets_none() {
    let lines = "m=audio 2000 RTP/AVP 96 8\na=fmtp:96 x=1\na=rtcp-fb:96 nack\n";
    let sdp = Bench::new().sdp(from_a(lines));
    assert!(!sdp.contains("a=rtpmap:96"), "{sdp}");
    assert!(sdp.contains("\na=fmtp:96 x=1\n"), "{sdp}");
}
