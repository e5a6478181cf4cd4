use super::*;

fn format(name: &str, clock: u32, fmtp: &str) -> Format {
    Format {
        payload_type: 97,
        name: name.to_owned(),
        clock,
        channels: 1,
        fmtp: fmtp.to_owned(),
    }
}

fn amr(fmtp: &str) -> Format {
    format("AMR", 8000, fmtp)
}

#[test]
fn opus_is_printed_in_order_and_keeps_what_it_does_not_know() {
    let print = |fmtp| opus::Parameters::parse(fmtp).print();
    assert_eq!(
        print("minptime=20;x-own=3;useinbandfec=1;stereo=0"),
        "stereo=0; useinbandfec=1; minptime=20; x-own=3"
    );
    assert_eq!(
        print("maxaveragebitrate=20000; cbr=1;usedtx=2; maxplaybackrate=0"),
        "cbr=1; maxaveragebitrate=20000"
    );
    assert_eq!(print(""), "");
}

#[test]
fn opus_answers_as_partner() {
    let answer = |fmtp, channels| opus::Parameters::parse(fmtp).answer(channels).print();
    assert_eq!(
        answer("stereo=1", 1),
        "stereo=0; sprop-stereo=1; useinbandfec=1"
    );
    assert_eq!(answer("sprop-stereo=1", 1), "stereo=1; useinbandfec=1");
    assert_eq!(answer("", 1), "stereo=0; useinbandfec=1");
    assert_eq!(answer("", 2), "stereo=1; useinbandfec=1");
}

#[test]
fn a_transcoded_amr_matches_by_its_parameters() {
    let offered = amr("octet-align=1; mode-set=1,2,3");
    let wants = |fmtp: &str| is_wanted(&amr(fmtp), &offered);
    assert!(wants(""));
    assert!(wants("octet-align=1;mode-set=3,2,1;max-red=0"));
    for other in [
        "octet-align=1",
        "octet-align=0",
        "octet-align=1;mode-set=1,2",
        "octet-align=1;mode-set=1,2,3;mode-change-period=2",
    ] {
        assert!(!wants(other), "{other}");
    }
}

#[test]
fn an_accepted_amr_may_have_fewer_modes() {
    let wanted = amr("mode-set=3,4,5,6");
    assert!(is_acceptable(&wanted, &amr("mode-set=4,5")));
    assert!(!is_acceptable(&wanted, &amr("mode-set=5,6,7")));
    assert!(!is_acceptable(&wanted, &amr("")));
    assert!(!is_acceptable(&wanted, &amr("octet-align=1;mode-set=4,5")));
    assert!(is_acceptable(&amr(""), &amr("octet-align=1")));
}

#[test]
fn an_answered_codec_is_that_of_the_offer_by_what_matters() {
    let same = |answered: &Format, offered: &Format| answers(answered, offered);
    let (g729, g729a) = (format("G729", 8000, ""), format("g729A", 8000, "annexb=no"));
    assert!(same(&g729a, &g729));
    assert!(!same(&amr(""), &amr("octet-align=1")));
    assert!(same(&amr("mode-set=2"), &amr("mode-set=1,2")));
    assert!(!same(&amr(""), &amr("mode-set=1,2")));
    assert!(same(&amr("mode-set=1,2"), &amr("")));
    let (plain, other) = (format("GSM", 8000, ""), format("GSM", 8000, "x=1"));
    assert!(!same(&plain, &other));
    let (plain, other) = (format("FOO", 8000, ""), format("foo", 8000, "x=1"));
    assert!(same(&plain, &other));
    assert!(!same(&format("FOO", 8000, ""), &format("FOO", 16000, "")));
    assert!(same(
        &format("telephone-event", 8000, "0-11"),
        &format("telephone-event", 8000, "0-15")
    ));
}

#[test]
fn amr_in_other_orders_cannot_be_converted() {
    assert!(is_convertible(&amr("octet-align=1")));
    for fmtp in ["crc=1", "robust-sorting=1", "interleaving=4"] {
        assert!(!is_convertible(&amr(fmtp)), "{fmtp}");
    }
}

#[test]
fn a_mode_is_taken_from_the_set() {
    let set = amr::ModeSet::parse("0,2,4, 6");
    assert_eq!(set.at_most(5), Some(4));
    assert_eq!(set.at_most(8), Some(6));
    assert_eq!(amr::ModeSet::parse("5,7").at_most(3), Some(5));
    assert_eq!(amr::ModeSet::parse("x,9,200").at_most(3), None);
}

#[test]
fn events_are_read_from_their_ranges() {
    assert!(has_event("0-15", 15) && !has_event("0-15", 16));
    assert!(has_event("", 11) && !has_event("", 66));
    assert!(has_event("0-11,66, 70-72", 66) && has_event("0-11,66, 70-72", 71));
    assert!(!has_event("0-11,66", 12));
    assert!(!has_event("nonsense", 1));
}

#[test]
fn annex_b_is_on_unless_denied() {
    assert!(has_annex_b("") && has_annex_b("annexb=yes"));
    assert!(!has_annex_b("annexb=no"));
}
