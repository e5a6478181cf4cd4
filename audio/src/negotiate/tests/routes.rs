use super::*;

/// Routes as `number>treatment`.
fn told(routes: &[Route]) -> String {
    let words: Vec<String> = routes
        .iter()
        .map(|route| {
            let from = route.from.payload_type;
            match &route.treatment {
                Treatment::Convert(to) => format!("{from}=>{}", to.payload_type),
                Treatment::Drop => format!("{from}>-"),
                Treatment::Rescale(to) => format!("{from}*>{}", to.payload_type),
                Treatment::Pass(to) => format!("{from}>{to}"),
                Treatment::Sound(to) => format!("{from}~>{}", to.payload_type),
            }
        })
        .collect();
    words.join(" ")
}

fn both(input: &str, wanted: &str, answer: &str) -> (String, String) {
    let agreement = answered(&offered(input, wanted), answer, &AnswerOptions::default());
    (told(&agreement.to_receiver), told(&agreement.to_offerer))
}

#[test]
fn equal_codecs_pass() {
    let (there, back) = both("8 0 101", "transcode=G722", "0 101");
    assert_eq!(
        (there.as_str(), back.as_str()),
        ("0>0 101>101", "0>0 101>101")
    );
}

#[test]
fn an_added_codec_is_converted_and_what_is_common_passes() {
    let (there, back) = both("8 0 101", "transcode=G722", "0 9 101");
    assert_eq!(there, "0>0 8=>0 101>101");
    assert_eq!(back, "0>0 9=>0 101>101");
}

#[test]
fn events_change_their_clock_with_the_codec() {
    let (there, back) = both("8 0 101", "transcode=opus", "96 opus/48000/2 97 te/48000");
    assert_eq!(there, "8=>96 101*>97");
    assert_eq!(back, "96=>8 97*>101");
}

#[test]
fn events_that_the_receiver_lacks_become_tones() {
    let (there, back) = both("8 0 101", "accept=te", "8");
    assert_eq!(there, "8=>8 101~>8");
    // All audio the other way is searched for tones.
    assert_eq!(back, "8=>8");
}

#[test]
fn a_used_codec_is_converted_both_ways() {
    let (there, back) = both("8 0 101", "accept=PCMU", "8 101");
    assert_eq!(there, "0=>8 101>101");
    assert_eq!(back, "8=>0 101>101");
}

#[test]
fn noise_that_the_receiver_lacks_is_made_audible_or_dropped() {
    let (there, _) = both("8 0 13", "transcode=G722", "9");
    // It was offered, but not taken, so the offerer is not shown it either.
    assert_eq!(there, "8=>9");
    let (there, _) = both("8 13 101", "consume=CN", "8 101");
    assert_eq!(there, "8>8 13>- 101>101");
}

#[test]
fn forcing_converts_equal_codecs() {
    let offer = offered("8 101", "");
    let force = AnswerOptions {
        force_transcoding: true,
        ..AnswerOptions::default()
    };
    let agreement = answered(&offer, "8 101", &force);
    assert_eq!(told(&agreement.to_receiver), "8=>8 101>101");
}

#[test]
fn what_nothing_can_convert_passes_as_it_is() {
    let (there, back) = both("96 iLBC/8000 {mode=20}", "transcode=PCMA", "8");
    assert_eq!((there.as_str(), back.as_str()), ("8>8", "8>8"));
}
