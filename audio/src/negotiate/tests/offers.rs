use super::*;

const OPUS: &str = "96 opus/48000/2 {useinbandfec=1}";

/// The receiver's list, with Opus under 96 written short.
fn shown(text: &str, wanted: &str) -> String {
    print(&offered(text, wanted).receiver_list()).replace(OPUS, "96 opus")
}

#[test]
fn rows_of_offers() {
    let te48 = "97 te/48000 {0-15}";
    let rows = [
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
        ("8", "transcode=G729", "8 18 G729/8000 {annexb=yes}".into()),
        ("8", "transcode=G729a", "8 18 G729a/8000 {annexb=no}".into()),
        (
            "8",
            "transcode=AMR,AMR-WB",
            "8 96 AMR/8000 {octet-align=1;mode-change-capability=2} \
             97 AMR-WB/16000 {octet-align=1;mode-change-capability=2}"
                .into(),
        ),
        (
            "8",
            "transcode=AMR-WB/16000/1/23850//mode-set=0+1+2",
            "8 96 AMR-WB/16000 {mode-set=0,1,2}".into(),
        ),
        ("8", "transcode=speex", "8 96 speex/16000".into()),
        ("8", "transcode=L16", "8 10 L16/44100".into()),
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
    ];
    for (input, wanted, expected) in rows {
        assert_eq!(shown(input, wanted), expected, "{input} with {wanted}");
    }
}

#[test]
fn g723_has_no_encoder_so_it_is_not_added() {
    // The reference adds `4 G723/8000`; no library that we open brings it.
    assert_eq!(shown("8", "transcode=G723"), "8");
}

#[test]
fn a_codec_without_its_library_is_not_added() {
    let wanted = options("transcode=opus,G722");
    let offer = offer(&list("8"), &wanted, Before::default(), &Support::default());
    assert_eq!(print(&offer.receiver_list()), "8 9");
}

#[test]
fn names_are_printed_as_the_request_wrote_them() {
    assert_eq!(
        shown("8", "transcode=OPUS"),
        "8 96 OPUS/48000/2 {useinbandfec=1}"
    );
}

#[test]
fn supplementals_are_sorted_at_the_end() {
    assert_eq!(
        shown("8 13 101", "transcode=opus"),
        "8 96 opus 97 CN/48000 98 te/48000 {0-15} 13 101"
    );
    assert_eq!(
        shown("8", "transcode=opus,AMR-WB,te"),
        "8 96 opus 97 AMR-WB/16000 {octet-align=1;mode-change-capability=2} \
         99 te/16000 {0-15} 100 te/48000 {0-15} 98 te/8000 {0-15}"
    );
    assert_eq!(
        shown("8 101", "transcode=opus,CN"),
        "8 96 opus 13 97 CN/48000 98 te/48000 {0-15} 101"
    );
}

#[test]
fn events_without_a_codec_of_their_clock_stay_unless_its_last_codec_goes() {
    assert_eq!(
        shown("96 opus/48000/2 101 te/8000", ""),
        "96 opus/48000/2 101"
    );
    assert_eq!(
        shown("8 96 opus/48000/2 101 te/8000 102 te/48000", "strip=opus"),
        "8 101"
    );
}

#[test]
fn options_that_leave_nothing_are_undone() {
    let offer = offered("8 0", "strip=all");
    assert!(offer.was_restored);
    assert_eq!(print(&offer.receiver_list()), "8 0");
    let offer = offered("8 0", "strip=all allow-no-codec-media");
    assert!(offer.receiver_list().is_empty());
    assert!(!offer.was_restored);
}

#[test]
fn numbers_run_out_without_harm() {
    let full: Vec<String> = (96..=127)
        .map(|number| format!("{number} FOO{number}/8000"))
        .collect();
    let offer = offered(&format!("8 {}", full.join(" ")), "transcode=opus,G722");
    let list = offer.receiver_list();
    assert_eq!(list.len(), 34);
    assert_eq!(list.last().unwrap().payload_type, 9);
}

#[test]
fn options_of_the_encoder_leave_opus_without_parameters() {
    assert_eq!(
        shown("8", "transcode=opus/48000/2////application=audio"),
        "8 96 opus/48000/2"
    );
    let offer = offered("8", "transcode=opus/48000/2/24000");
    assert_eq!(offer.shown[1].bit_rate, Some(24_000));
    assert_eq!(
        print(&offer.receiver_list()).replace(OPUS, "96 opus"),
        "8 96 opus"
    );
}

#[test]
fn an_offered_amr_is_a_match_by_its_parameters() {
    let amr = "96 AMR/8000 {octet-align=1; mode-set=1,2,3}";
    let count = |wanted: &str| offered(amr, wanted).shown.len();
    assert_eq!(count("transcode=AMR"), 1);
    assert_eq!(count("transcode=AMR/8000////octet-align=1"), 1 + 1);
    assert_eq!(count("transcode=AMR/8000////octet-align=0"), 1 + 1);
    assert_eq!(
        count("transcode=AMR/8000/1///octet-align=1;mode-set=1+2+3;max-red=0"),
        1
    );
}

#[test]
fn the_receiver_s_numbers_are_used_again() {
    let receiver = list("120 opus/48000/2 96 FOO/8000");
    let before = Before {
        receiver: &receiver,
        shown: &[],
    };
    let wanted = options("transcode=opus,speex");
    let offer = offer(&list("8"), &wanted, before, &support());
    assert_eq!(
        print(&offer.receiver_list()),
        "8 120 opus/48000/2 {useinbandfec=1} 97 speex/16000"
    );
}

#[test]
fn reused_codecs_come_first_and_events_last() {
    let receiver = list("101 0");
    let before = Before {
        receiver: &receiver,
        shown: &[],
    };
    let offer = offer(
        &list("8 0 101"),
        &options("reuse-codecs"),
        before,
        &support(),
    );
    assert_eq!(print(&offer.receiver_list()), "0 8 101");
}

#[test]
fn static_codecs_are_those_shown_last() {
    let shown = list("0 101");
    let before = Before {
        receiver: &[],
        shown: &shown,
    };
    let offer = offer(&list("9 8"), &options("static-codecs"), before, &support());
    assert_eq!(print(&offer.receiver_list()), "0 101");
    let agreement = answered(&offer, "0", &AnswerOptions::default());
    assert_eq!(print(&agreement.to_print), "9");
}

#[test]
fn set_reaches_codecs_that_nothing_else_names() {
    let offer = offered("8 96 opus/48000/2", "set=opus/48000/2/16000");
    assert_eq!(offer.shown[1].bit_rate, Some(16_000));
    assert!(!offer.shown[1].is_added);
}
