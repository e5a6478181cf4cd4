use std::time::Duration;

use super::*;
use crate::flow::digits::DigitBlock;
use crate::flow::{Change, PayloadTypes, Withhold};
use crate::media::dtmf::Digit;

/// The source, and where its event begins.
const SSRC: u32 = 7;
const BEGIN: u32 = 16_000;

fn rules(rule: DigitRule) -> SinkRules {
    let mut events = PayloadTypes::default();
    events.insert(101);
    SinkRules {
        withhold: Withhold {
            events,
            digits: DigitBlock::from_now_on(rule),
            ..Withhold::default()
        },
        change: Change {
            voiced_events: events,
            voices: vec![voice(8, Law::A), voice(0, Law::Mu)],
            ..Change::default()
        },
        conversion: None,
    }
}

fn voice(payload_type: u8, law: Law) -> Voice {
    Voice { payload_type, law }
}

/// A packet and its header.
fn packet(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> (RtpHeader, Vec<u8>) {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&SSRC.to_be_bytes());
    packet.extend_from_slice(payload);
    (RtpHeader::parse(&packet).unwrap(), packet)
}

fn event(code: u8, duration: u16, end: bool) -> (RtpHeader, Vec<u8>) {
    event_at(BEGIN, code, duration, end)
}

fn event_at(timestamp: u32, code: u8, duration: u16, end: bool) -> (RtpHeader, Vec<u8>) {
    let event = TelephoneEvent {
        code,
        end,
        volume: 10,
        duration,
    };
    packet(101, 1, timestamp, &event.encode())
}

#[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
fn start() -> Instant {
    Instant::now()
}

/// What goes out for a packet; `Err`: nothing.
fn pass(
    digits: &mut Digits,
    rules: Option<&SinkRules>,
    (header, mut packet): (RtpHeader, Vec<u8>),
) -> Result<Vec<u8>, Fate> {
    let step = rules.map_or(Step::Unruled, |rules| {
        Step::of(rules, &header, &packet, start())
    });
    match digits.on_packet(step, &header, &packet[header.payload_at..]) {
        Fate::Pass => Ok(packet),
        Fate::Replace(replacement) => {
            replacement.apply(&header, &mut packet);
            Ok(packet)
        }
        withheld => Err(withheld),
    }
}

#[test]
fn another_digit_has_the_length_of_the_one_pressed() {
    let rules = rules(DigitRule::Digit {
        digit: Digit::from_char('0').unwrap(),
        volume: None,
    });
    let mut digits = Digits::default();
    for (duration, end) in [(160, false), (320, false), (480, true), (480, true)] {
        let sent = pass(&mut digits, Some(&rules), event(5, duration, end));
        assert_eq!(sent, Ok(event(0, duration, end).1));
    }
}

#[test]
fn every_event_of_a_packet_is_replaced_and_nothing_is_left_behind() {
    let rules = rules(DigitRule::Digit {
        digit: Digit::from_char('0').unwrap(),
        volume: Some(20),
    });
    let payload = [5, 10, 0, 160, 6, 0x8a, 0, 80, 5, 5, 5];
    let sent = pass(
        &mut Digits::default(),
        Some(&rules),
        packet(101, 1, BEGIN, &payload),
    );
    assert_eq!(
        sent.unwrap()[12..],
        [0, 20, 0, 160, 0, 0x94, 0, 80, 0, 0, 0]
    );
}

#[test]
fn a_drawn_digit_is_the_same_for_all_packets_of_an_event() {
    let rules = rules(DigitRule::Random { volume: None });
    let mut digits = Digits::default();
    let mut drawn = [false; 16];
    for number in 0..200 {
        let begin = BEGIN + number * 2000;
        let codes = [(160, false), (320, false), (320, true)].map(|(duration, end)| {
            let sent = pass(&mut digits, Some(&rules), event_at(begin, 5, duration, end));
            sent.unwrap()[12]
        });
        assert_eq!([codes[0]; 3], codes);
        drawn[usize::from(codes[0])] = true;
    }
    assert_eq!(
        drawn,
        [
            true, true, true, true, true, true, true, true, true, true, false, false, false, false,
            false, false
        ]
    );
}

#[test]
fn silence_takes_the_place_of_an_event_in_the_codec_that_was_heard() {
    let rules = rules(DigitRule::Silence);
    let mut digits = Digits::default();
    let audio = packet(0, 1, BEGIN - 160, &[0x55; 160]);
    assert_eq!(pass(&mut digits, Some(&rules), audio.clone()), Ok(audio.1));
    let silent = |timestamp, units| packet(0, 1, timestamp, &vec![0xff; units]).1;
    for (duration, end, expected) in [
        (160, false, Ok(silent(BEGIN, 160))),
        // One packet was lost.
        (480, false, Ok(silent(BEGIN + 160, 320))),
        // One came late.
        (320, false, Err(Fate::Skip)),
        (640, true, Ok(silent(BEGIN + 480, 160))),
        (640, true, Err(Fate::Skip)),
        (640, true, Err(Fate::Skip)),
    ] {
        let sent = pass(&mut digits, Some(&rules), event(5, duration, end));
        assert_eq!(sent, expected, "{duration}");
    }
    // Audio that a gateway sent beside the event is the digit's own.
    let beside = packet(0, 1, BEGIN + 480, &[0x55; 160]);
    assert_eq!(pass(&mut digits, Some(&rules), beside), Err(Fate::Skip));
    let after = packet(0, 1, BEGIN + 640, &[0x55; 160]);
    assert_eq!(pass(&mut digits, Some(&rules), after.clone()), Ok(after.1));
}

#[test]
fn a_tone_goes_on_from_packet_to_packet_and_padding_goes() {
    let tone = Tone {
        hz: [400, 0, 0, 0],
        volume: 10,
    };
    let rules = rules(DigitRule::Tone(tone));
    let mut digits = Digits::default();
    let mut audio = Vec::new();
    g711::tone(Law::A, &tone, 0, 320, &mut audio);
    let mut first = packet(0x80 | 101, 1, BEGIN, &[5, 10, 0, 160, 0, 0, 0, 4]);
    first.1[0] |= 0x20;
    let sent = pass(&mut digits, Some(&rules), first);
    assert_eq!(sent, Ok(packet(8, 1, BEGIN, &audio[..160]).1));
    let sent = pass(&mut digits, Some(&rules), event(5, 320, false));
    assert_eq!(sent, Ok(packet(8, 1, BEGIN + 160, &audio[160..]).1));
}

#[test]
fn an_event_is_withheld_where_its_audio_is_beyond_us() {
    let mut rules = rules(DigitRule::Silence);
    let mut digits = Digits::default();
    let compressed = packet(18, 1, BEGIN - 160, &[1; 20]);
    assert_eq!(
        pass(&mut digits, Some(&rules), compressed.clone()),
        Ok(compressed.1)
    );
    let sent = pass(&mut digits, Some(&rules), event(5, 160, false));
    assert_eq!(sent, Err(Fate::Withhold));
    // Neither where events have a clock of their own.
    rules.change.voiced_events = PayloadTypes::default();
    let sent = pass(&mut Digits::default(), Some(&rules), event(5, 160, false));
    assert_eq!(sent, Err(Fate::Withhold));
}

#[test]
fn what_was_decided_for_an_event_holds_to_its_last_packet() {
    let dropping = rules(DigitRule::Drop);
    let mut digits = Digits::default();
    assert_eq!(
        pass(&mut digits, Some(&dropping), event(5, 160, false)),
        Err(Fate::Withhold)
    );
    assert_eq!(
        pass(&mut digits, Some(&dropping), event(5, 480, true)),
        Err(Fate::Withhold)
    );
    // The blocking ended with the digit; two copies of its end are still to come.
    assert_eq!(
        pass(&mut digits, None, event(5, 480, true)),
        Err(Fate::Withhold)
    );
    let next = event_at(BEGIN + 4000, 6, 160, false);
    assert_eq!(pass(&mut digits, None, next.clone()), Ok(next.1));

    // It began with the first end of a digit: nothing of that goes out in another's name.
    let zero = rules(DigitRule::Random { volume: None });
    let mut digits = Digits::default();
    assert_eq!(
        pass(&mut digits, Some(&zero), event(5, 480, true)),
        Err(Fate::Withhold)
    );
}

#[test]
fn a_block_ends_by_itself() {
    let start = start();
    let end = start + Duration::from_secs(1);
    let block = DigitBlock {
        rule: DigitRule::Drop,
        until: Some((end, DigitRule::Pass)),
    };
    assert_eq!(block.at(start), DigitRule::Drop);
    assert_eq!(block.at(end), DigitRule::Pass);
    // What another level says is not lifted with it.
    let silent = DigitBlock::from_now_on(DigitRule::Silence);
    assert_eq!(block.or(silent).at(end), DigitRule::Silence);
    assert_eq!(DigitBlock::default().or(block), block);
}

#[test]
fn a_digit_may_last_for_ever() {
    let tone = Tone {
        hz: [400, 0, 0, 0],
        volume: 10,
    };
    let rules = rules(DigitRule::Tone(tone));
    let mut digits = Digits::default();
    for segment in 0..66_000_u32 {
        let begin = BEGIN.wrapping_add(segment.wrapping_mul(u32::from(u16::MAX)));
        let (header, packet) = event_at(begin, 5, u16::MAX, false);
        let step = Step::Event(
            rules.withhold.digits.rule,
            rules.change.voices.first().copied(),
        );
        let fate = digits.on_packet(step, &header, &packet[header.payload_at..]);
        assert!(matches!(fate, Fate::Replace(_)), "{segment}: {fate:?}");
    }
}

#[test]
fn events_that_are_packed_into_audio_are_found() {
    let mut rules = rules(DigitRule::Drop);
    rules.change.redundant.insert(120);
    let mut digits = Digits::default();
    let packed = packet(
        120,
        1,
        BEGIN,
        &[0x80 | 101, 0, 0, 4, 8, 5, 10, 0, 160, 0xd5],
    );
    let sent = pass(&mut digits, Some(&rules), packed.clone());
    assert_eq!(sent, Err(Fate::Withhold));
    let audio = packet(120, 2, BEGIN, &[0x80 | 8, 0, 0, 1, 8, 0xd5, 0xd5]);
    assert_eq!(pass(&mut digits, Some(&rules), audio.clone()), Ok(audio.1));
    rules.withhold.digits = DigitBlock::default();
    assert_eq!(
        pass(&mut digits, Some(&rules), packed.clone()),
        Ok(packed.1)
    );
}

proptest::proptest! {
    #[test]
    fn any_packets_return(
        packets in proptest::collection::vec(
            (proptest::num::u8::ANY, proptest::num::u32::ANY, proptest::collection::vec(proptest::num::u8::ANY, 0..20)),
            0..20,
        ),
    ) {
        let tone = Tone { hz: [400; 4], volume: 0 };
        for rule in [DigitRule::Silence, DigitRule::Tone(tone), DigitRule::Random { volume: None }] {
            let (rules, mut digits) = (rules(rule), Digits::default());
            for (kind, timestamp, payload) in &packets {
                let payload_type = if kind % 2 == 0 { 101 } else { 8 };
                let timestamp = if kind % 3 == 0 { BEGIN } else { *timestamp };
                let _ = pass(&mut digits, Some(&rules), packet(payload_type, 1, timestamp, payload));
            }
        }
    }
}
