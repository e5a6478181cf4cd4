//! What becomes of digits: modes and triggers (media-behaviour §11).

use super::ng_05_commands::{FROM, TO, connected, flow_of, reason};
use super::*;
use crate::flow::digits::{DigitBlock, DigitRule, Voice};
use crate::media::dtmf::Digit;
use crate::media::g711::{Law, Tone};

/// What becomes of the digits of the party that signalled an address.
fn block(bench: &Bench, signalled: &str) -> DigitBlock {
    let flow = flow_of(bench, signalled);
    let mut rules = flow.sinks.iter().filter_map(|sink| sink.rules.as_deref());
    rules
        .next()
        .map(|rules| rules.withhold.digits)
        .unwrap_or_default()
}

fn rule(bench: &Bench, signalled: &str) -> DigitRule {
    block(bench, signalled).at(bench.now.instant)
}

/// A party types, a digit every half second.
fn types(bench: &mut Bench, signalled: &str, digits: &str) {
    let local = flow_of(bench, signalled).local;
    for digit in digits.chars() {
        let digit = Digit::from_char(digit).unwrap();
        bench.now.instant += Duration::from_millis(500);
        bench.calls.digit_pressed(1, local, digit, 1, bench.now);
    }
}

fn directional() -> Dict {
    command("block DTMF")
        .with("from-tag", "F")
        .with("flags", strings(&["directional"]))
}

#[test]
fn every_mode_is_a_rule_for_the_digits_of_the_party() {
    let mut bench = connected();
    let digit = |code: u8, volume| DigitRule::Digit {
        digit: Digit::from_code(code).unwrap(),
        volume,
    };
    let tone = |hz: [u16; 4], volume| DigitRule::Tone(Tone { hz, volume });
    let with = |mode: &'static str| directional().with("DTMF-security", mode);
    let list = Value::List(vec![Value::from(400_u64), Value::from(450_u64)]);
    for (request, expected) in [
        (directional(), DigitRule::Drop),
        (with("drop"), DigitRule::Drop),
        (with("silence"), DigitRule::Silence),
        (with("random"), DigitRule::Random { volume: None }),
        (with("zero"), digit(0, None)),
        (with("zero").with("volume", 20), digit(0, Some(20))),
        (with("DTMF").with("digit", "#"), digit(11, None)),
        (with("DTMF").with("code", 12), digit(12, None)),
        (with("tone"), tone([400, 0, 0, 0], 10)),
        (
            with("tone").with("frequency", 1000).with("volume", -3),
            tone([1000, 0, 0, 0], 3),
        ),
        (
            with("tone").with("frequencies", list),
            tone([400, 450, 0, 0], 10),
        ),
        (with("off"), DigitRule::Pass),
    ] {
        let reply = bench.ask(request.clone());
        assert_eq!(reason(&reply), "ok", "{request:?}");
        assert_eq!(rule(&bench, FROM), expected, "{request:?}");
        assert_eq!(rule(&bench, TO), DigitRule::Pass);
    }
    for (request, expected) in [
        (with("DTMF"), "Out of range 'code' specified"),
        (
            with("DTMF").with("digit", "X"),
            "Out of range 'code' specified",
        ),
        (
            with("tone").with("frequency", 4000),
            "unsupported: frequency is up to 4 values from 1 to 3999 Hz",
        ),
        (
            directional().with("trigger", "12x"),
            "unsupported: trigger and trigger-end are codes of up to 32 DTMF digits",
        ),
    ] {
        assert_eq!(reason(&bench.ask(request)), expected);
    }
}

#[test]
fn audio_in_place_of_digits_is_coded_as_the_party_does() {
    let mut bench = connected();
    bench.ask(command("block DTMF").with("DTMF-security", "silence"));
    let flow = flow_of(&bench, FROM);
    let rules = flow.sinks[0].rules.as_deref().unwrap();
    let voice = Voice {
        payload_type: 8,
        law: Law::A,
    };
    assert_eq!(rules.change.voices, [voice]);
    assert!(rules.change.voiced_events.contains(101) && rules.withhold.passes(101));

    // The party would rather send PCMU, and the other one takes PCMA alone.
    let mut bench = Bench::new();
    let events = "a=rtpmap:101 telephone-event/8000\n";
    let both = audio("198.51.100.10", 2000, events).replace("AVP 8", "AVP 0 8 101");
    bench.sdp(offer(&both));
    bench.sdp(answer(
        &audio("198.51.100.20", 3000, events).replace("AVP 8", "AVP 8 101"),
    ));
    bench.ask(command("block DTMF").with("DTMF-security", "silence"));
    let flow = flow_of(&bench, FROM);
    let voices = &flow.sinks[0].rules.as_deref().unwrap().change.voices;
    let types: Vec<u8> = voices.iter().map(|voice| voice.payload_type).collect();
    assert_eq!(types, [8, 0]);

    let mut bench = Bench::new();
    let compressed = "v=0\no=- 1 1 IN IP4 198.51.100.10\ns=-\nc=IN IP4 198.51.100.10\nt=0 0\n\
        m=audio 2000 RTP/AVP 18 101\na=rtpmap:101 telephone-event/8000\n";
    bench.sdp(offer(compressed));
    bench.sdp(answer(&compressed.replace("100.10", "100.20")));
    let block = command("block DTMF").with("DTMF-security", "tone");
    assert_eq!(
        reason(&bench.ask(block)),
        "unsupported: only PCMU, PCMA and (silent) G722 can be put in place of DTMF"
    );
    let block = command("block DTMF").with("DTMF-security", "random");
    assert_eq!(reason(&bench.ask(block)), "ok");
}

#[test]
fn a_party_has_a_rule_of_its_own_beside_that_of_all() {
    let mut bench = connected();
    bench.ask(command("block DTMF"));
    bench.ask(directional().with("DTMF-security", "zero"));
    assert!(matches!(rule(&bench, FROM), DigitRule::Digit { .. }));
    assert_eq!(rule(&bench, TO), DigitRule::Drop);
    bench.ask(command("unblock DTMF"));
    assert!(matches!(rule(&bench, FROM), DigitRule::Digit { .. }));
    bench.ask(command("unblock DTMF").with("all", "all"));
    assert_eq!(rule(&bench, FROM), DigitRule::Pass);
}

#[test]
fn a_code_blocks_and_another_one_unblocks() {
    let mut bench = connected();
    let request = directional()
        .with("trigger", "*1")
        .with("trigger-end", "*0")
        .with("DTMF-security-trigger", "zero");
    assert_eq!(reason(&bench.ask(request)), "ok");
    let zero = |bench: &Bench| matches!(rule(bench, FROM), DigitRule::Digit { .. });
    assert_eq!(rule(&bench, FROM), DigitRule::Pass);
    assert!(
        flow_of(&bench, FROM)
            .taps
            .unwrap()
            .events
            .unwrap()
            .contains(101)
    );
    // The party's own digits count, and a pause ends a code.
    types(&mut bench, TO, "*1");
    types(&mut bench, FROM, "*");
    bench.now.instant += Duration::from_millis(2600);
    types(&mut bench, FROM, "1");
    assert_eq!(rule(&bench, FROM), DigitRule::Pass);
    types(&mut bench, FROM, "5*1");
    assert!(zero(&bench));
    assert_eq!(rule(&bench, TO), DigitRule::Pass);
    types(&mut bench, FROM, "1234*");
    assert!(zero(&bench));
    types(&mut bench, FROM, "0");
    assert_eq!(rule(&bench, FROM), DigitRule::Pass);
    types(&mut bench, FROM, "*1");
    assert!(zero(&bench));
    // `unblock DTMF` ends it all.
    bench.ask(command("unblock DTMF").with("all", "all"));
    assert_eq!(rule(&bench, FROM), DigitRule::Pass);
    types(&mut bench, FROM, "*1");
    assert_eq!(rule(&bench, FROM), DigitRule::Pass);
}

#[test]
fn a_block_ends_after_some_digits_and_anybody_may_begin_that_of_the_call() {
    let mut bench = connected();
    let request = command("block DTMF")
        .with("trigger", "*1")
        .with("trigger-end-digits", 4)
        .with("DTMF-security-trigger-end", "random");
    bench.ask(request);
    types(&mut bench, TO, "*1");
    assert_eq!(rule(&bench, FROM), DigitRule::Drop);
    assert_eq!(rule(&bench, TO), DigitRule::Drop);
    types(&mut bench, FROM, "123");
    assert_eq!(rule(&bench, FROM), DigitRule::Drop);
    types(&mut bench, FROM, "4");
    assert_eq!(rule(&bench, FROM), DigitRule::Random { volume: None });
}

#[test]
fn a_block_ends_after_its_time() {
    let mut bench = connected();
    let request = directional()
        .with("trigger", "*1")
        .with("trigger-end-time", 1500)
        .with("DTMF-security", "zero")
        .with("DTMF-security-trigger", "drop");
    bench.ask(request);
    assert!(matches!(rule(&bench, FROM), DigitRule::Digit { .. }));
    types(&mut bench, FROM, "*1");
    let end = bench.now.instant + Duration::from_millis(1500);
    let dropping = block(&bench, FROM);
    assert_eq!(dropping.at(end - Duration::from_millis(1)), DigitRule::Drop);
    // To the millisecond, whenever the timers come by.
    assert!(matches!(dropping.at(end), DigitRule::Digit { .. }));
    bench.wait(1);
    assert_eq!(block(&bench, FROM), dropping);
    bench.wait(1);
    assert_eq!(block(&bench, FROM).until, None);
    types(&mut bench, FROM, "*1");
    assert_eq!(rule(&bench, FROM), DigitRule::Drop);
}

#[test]
fn an_offer_can_set_a_trigger_and_its_refresh_does_not_end_a_block() {
    let sdp = audio("198.51.100.10", 2000, "a=rtpmap:101 telephone-event/8000\n")
        .replace("AVP 8", "AVP 8 101");
    let mut bench = Bench::new();
    let first = offer(&sdp).with("trigger", "*1");
    bench.sdp(first.clone());
    bench.sdp(answer(&sdp.replace("100.10", "100.20")));
    assert_eq!(rule(&bench, FROM), DigitRule::Pass);
    types(&mut bench, FROM, "*1");
    assert_eq!(rule(&bench, FROM), DigitRule::Drop);
    bench.sdp(first.with("to-tag", "T"));
    assert_eq!(rule(&bench, FROM), DigitRule::Drop);
    let zero = offer(&sdp)
        .with("to-tag", "T")
        .with("flags", strings(&["block-DTMF"]))
        .with("DTMF-security", "zero");
    bench.sdp(zero);
    assert!(matches!(rule(&bench, FROM), DigitRule::Digit { .. }));
}

#[test]
fn digits_of_srtp_are_ruled_and_reported_like_others() {
    let secure = |host: &str| {
        format!(
            "v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\n\
             m=audio 2000 RTP/SAVP 8 101\na=rtpmap:101 telephone-event/8000\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n"
        )
    };
    let mut bench = Bench::new();
    bench.sdp(offer(&secure("198.51.100.10")));
    bench.sdp(answer(&secure("198.51.100.20")));
    let block = directional()
        .with("DTMF-security", "zero")
        .with("trigger", "1");
    assert_eq!(reason(&bench.ask(block)), "ok");
    assert_eq!(flow_of(&bench, FROM).sinks.len(), 2);
    assert!(matches!(rule(&bench, FROM), DigitRule::Digit { .. }));
    assert!(flow_of(&bench, FROM).taps.is_some());
}

#[test]
fn redundant_audio_is_searched_for_digits() {
    let sdp = audio(
        "198.51.100.10",
        2000,
        "a=rtpmap:101 telephone-event/8000\na=rtpmap:120 red/8000\na=fmtp:120 101/8\n",
    )
    .replace("AVP 8", "AVP 120 8 101");
    let mut bench = Bench::new();
    bench.sdp(offer(&sdp));
    bench.sdp(answer(&sdp.replace("100.10", "100.20")));
    assert_eq!(reason(&bench.ask(directional())), "ok");
    let flow = flow_of(&bench, FROM);
    let rules = flow.sinks[0].rules.as_deref().unwrap();
    assert!(rules.change.redundant.contains(120) && !rules.change.redundant.contains(8));
}

#[test]
fn any_number_is_a_time() {
    for time in [i64::MAX, i64::MIN, 0] {
        let mut bench = connected();
        let request = directional()
            .with("trigger", "1")
            .with("trigger-end-time", time);
        assert_eq!(reason(&bench.ask(request)), "ok");
        types(&mut bench, FROM, "1");
        assert_eq!(rule(&bench, FROM), DigitRule::Drop);
    }
}
