use super::*;

fn plain(input: &str, wanted: &str, answer: &str) -> String {
    print(&answered(&offered(input, wanted), answer, &AnswerOptions::default()).to_print)
}

#[test]
fn rows_of_answers() {
    let rows = [
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
    ];
    for (input, wanted, answer, expected) in rows {
        assert_eq!(
            plain(input, wanted, answer),
            expected,
            "{input} {wanted} {answer}"
        );
    }
}

#[test]
fn rows_with_a_single_codec() {
    let single = AnswerOptions {
        single_codec: true,
        ..AnswerOptions::default()
    };
    let offer = offered("8 0 101", "transcode=G722");
    for (answer, expected) in [("0 9 101", "0 101"), ("9 0 101", "8 101")] {
        assert_eq!(print(&answered(&offer, answer, &single).to_print), expected);
    }
}

#[test]
fn rows_with_asymmetric_numbers() {
    let asymmetric = AnswerOptions {
        allow_asymmetric: true,
        ..AnswerOptions::default()
    };
    let offer = offered("8 0 101", "transcode=opus");
    let agreement = answered(&offer, "111 opus/48000/2 101", &asymmetric);
    assert_eq!(print(&agreement.to_print), "8 101");
    let agreement = answered(&offer, "111 opus/48000/2", &asymmetric);
    assert_eq!(print(&agreement.to_print), "8");
}

#[test]
fn opus_as_partner_has_parameters_of_ours() {
    let opus = "96 opus/48000/2 102 te/48000";
    assert_eq!(
        plain(opus, "transcode=PCMA", "8 97 te/8000"),
        "96 opus/48000/2 {stereo=0; useinbandfec=1} 102 te/48000"
    );
    assert_eq!(
        plain(opus, "transcode=PCMA", "8 101 te/8000"),
        "96 opus/48000/2 {stereo=0; useinbandfec=1}"
    );
}

#[test]
fn nothing_in_common_is_the_offerer_s_first() {
    assert_eq!(plain("8 0", "", "18"), "8");
    assert_eq!(plain("8 0 101", "transcode=G722", ""), "8");
}

#[test]
fn events_that_the_offerer_lacks_are_not_shown_to_it() {
    assert_eq!(plain("8", "transcode=te", "8 96 te/8000"), "8");
}

#[test]
fn a_codec_that_nothing_converts_is_told() {
    let offer = offered("96 iLBC/8000 {mode=20}", "transcode=PCMA");
    let agreement = answered(&offer, "8", &AnswerOptions::default());
    assert!(agreement.has_no_partner);
}

#[test]
fn a_partner_is_chosen_by_preference() {
    let offer = offered("0 8 101", "transcode=G722");
    let mut flags = AnswerOptions::default();
    assert_eq!(print(&answered(&offer, "9 101", &flags).to_print), "0 101");
    flags.preferences.push(Preference {
        source: CodecSpec::parse("PCMA"),
        destination: CodecSpec::parse("G722"),
        preference: 10,
    });
    assert_eq!(print(&answered(&offer, "9 101", &flags).to_print), "8 101");
    // What passes through stays as it is.
    assert_eq!(print(&answered(&offer, "0 101", &flags).to_print), "0 101");
}

#[test]
fn the_first_acceptable_amr_is_used() {
    let amr =
        "96 AMR/8000 {octet-align=1} 97 AMR/8000 {mode-set=5,6,7} 98 AMR/8000 {mode-set=4,5} 8";
    let offer = offered(amr, "accept=AMR/8000/1///mode-set=3+4+5+6");
    let mut used = offer.offered.iter().filter(|entry| entry.is_used);
    assert_eq!(used.next().unwrap().format.payload_type, 98);
    assert!(used.next().is_none());
}

#[test]
fn an_offer_survives_as_data() {
    let offer = offered("8 0 101", "transcode=G722 accept=PCMU");
    let text = serde_json::to_string(&offer).unwrap();
    assert_eq!(serde_json::from_str::<Offer>(&text).unwrap(), offer);
}
