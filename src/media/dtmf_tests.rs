//! Telephone events: what is found in a stream is what was put in, whatever gets lost.
#![expect(clippy::disallowed_methods, reason = "tests need a start of time")]

use super::*;
use crate::limits::CODE_DIGITS;

const RATE: u32 = 8000;

fn plan(key: char, duration_ms: u32, clock_rate: u32) -> DigitPlan {
    DigitPlan {
        digit: Digit::from_char(key).unwrap(),
        duration_ms,
        volume: 10,
        clock_rate,
        timestamp: u32::MAX - 80,
    }
}

fn pressed(key: char, duration_ms: u32) -> Pressed {
    Pressed {
        digit: Digit::from_char(key).unwrap(),
        duration_ms,
        volume: 10,
    }
}

fn feed(
    detector: &mut Detector,
    packets: impl IntoIterator<Item = EventPacket>,
    rate: u32,
) -> Vec<Pressed> {
    let reports = packets.into_iter().flat_map(|packet| {
        let EventPacket {
            payload,
            timestamp,
            marker,
            ..
        } = packet;
        detector.on_packet(&payload, timestamp, marker, rate)
    });
    reports.flatten().collect()
}

/// The packets of a digit in a stream with one every 20 ms.
fn sent(plan: DigitPlan) -> Vec<EventPacket> {
    let step = units(20, plan.clock_rate).max(1);
    let mut sender = EventSender::new(plan);
    let mut packets = Vec::new();
    loop {
        let elapsed = sender.elapsed().saturating_add(step);
        let packet = sender.lasts(elapsed).unwrap();
        packets.push(packet);
        if packet.end {
            packets.extend([packet; 2]);
            return packets;
        }
    }
}

/// Digits one after another, each 100 ms after the end of the one before.
fn typed(keys: &str) -> Vec<Vec<EventPacket>> {
    let mut next = plan('0', 100, RATE);
    let digits = keys.chars().map(|key| {
        next.digit = Digit::from_char(key).unwrap();
        let packets = sent(next);
        next.timestamp = next.timestamp.wrapping_add(1600);
        packets
    });
    digits.collect()
}

#[test]
fn keys_and_codes_are_the_table_of_rfc_4733() {
    for (code, key) in (0u8..16).zip("0123456789*#ABCD".chars()) {
        assert_eq!(Digit::from_code(code).unwrap().to_char(), key);
        assert_eq!(Digit::from_char(key).unwrap().code(), code);
    }
    assert_eq!(Digit::from_char('d'), Digit::from_code(15));
    assert_eq!(Digit::from_code(16), None);
    for key in ['E', ' ', 'é'] {
        assert_eq!(Digit::from_char(key), None);
    }
}

#[test]
fn a_payload_is_read_and_written() {
    let event = TelephoneEvent {
        code: 11,
        end: true,
        volume: 10,
        duration: 800,
    };
    assert_eq!(event.encode(), [11, 0x8a, 0x03, 0x20]);
    assert_eq!(TelephoneEvent::parse(&[11, 0xca, 0x03, 0x20]), Some(event));
    assert_eq!(TelephoneEvent::parse(&[11, 0x8a, 0x03]), None);
    let loud = TelephoneEvent {
        volume: 255,
        end: false,
        ..event
    };
    assert_eq!(loud.encode()[1], 0x3f);
}

#[test]
fn a_digit_lasts_as_long_as_the_stream_says() {
    let packets = sent(plan('#', 100, RATE));
    let durations: Vec<_> = packets
        .iter()
        .map(|packet| TelephoneEvent::parse(&packet.payload).unwrap())
        .map(|event| (event.duration, event.end))
        .collect();
    let expected = [
        (160, false),
        (320, false),
        (480, false),
        (640, false),
        (800, true),
        (800, true),
        (800, true),
    ];
    assert_eq!(durations, expected);
    assert_eq!(packets[0].payload, [11, 10, 0, 160]);
    for (index, packet) in packets.iter().enumerate() {
        assert_eq!(packet.marker, index == 0);
        assert_eq!(packet.timestamp, u32::MAX - 80);
        assert_eq!(packet.end, index >= 4);
    }
    // What reaches beyond the length is told, and what was told is not told again.
    let mut sender = EventSender::new(plan('1', 50, RATE));
    assert_eq!(sender.lasts(240).unwrap().payload, [1, 10, 0, 240]);
    assert_eq!((sender.lasts(240), sender.lasts(160)), (None, None));
    assert_eq!(sender.lasts(480).unwrap().payload, [1, 0x8a, 1, 224]);
    assert_eq!(sender.lasts(720), None);
    assert_eq!(sent(plan('1', 0, RATE)).len(), 3);
}

#[test]
fn each_digit_is_reported_once() {
    let mut detector = Detector::default();
    let found = feed(&mut detector, typed("19*#D1").into_iter().flatten(), RATE);
    let expected: Vec<_> = "19*#D1".chars().map(|key| pressed(key, 100)).collect();
    assert_eq!(found, expected);
    assert_eq!(detector.flush(), None);
}

#[test]
fn a_digit_is_reported_at_its_first_end_packet() {
    let mut detector = Detector::default();
    let digit = typed("7").remove(0);
    assert_eq!(feed(&mut detector, digit[..4].to_vec(), RATE), []);
    assert_eq!(
        feed(&mut detector, digit[4..5].to_vec(), RATE),
        [pressed('7', 100)]
    );
    assert_eq!(feed(&mut detector, digit[5..].to_vec(), RATE), []);
}

#[test]
fn a_lost_end_is_made_up_for_by_the_next_digit() {
    let mut detector = Detector::default();
    let mut digits = typed("12");
    digits[0].truncate(4);
    let found = feed(&mut detector, digits.concat(), RATE);
    assert_eq!(found, [pressed('1', 80), pressed('2', 100)]);
    // Nothing but one end packet of the next digit arrives: both are reported together.
    let mut digits = typed("34");
    digits[0].truncate(2);
    let last = digits[1].pop().unwrap();
    assert_eq!(feed(&mut detector, digits[0].clone(), RATE), []);
    let found = detector.on_packet(&last.payload, last.timestamp, last.marker, RATE);
    assert_eq!(found, [Some(pressed('3', 40)), Some(pressed('4', 100))]);
}

#[test]
fn a_digit_without_an_end_is_flushed_once() {
    let mut detector = Detector::default();
    assert_eq!(detector.flush(), None);
    let mut digit = typed("5").remove(0);
    digit.truncate(3);
    assert_eq!(feed(&mut detector, digit, RATE), []);
    assert_eq!(detector.flush(), Some(pressed('5', 60)));
    assert_eq!(detector.flush(), None);
}

#[test]
fn packets_out_of_order_change_nothing() {
    let mut detector = Detector::default();
    let digits = typed("12");
    let mut packets = digits.concat();
    // The last end packet of the first digit arrives within the second one.
    let late = packets.remove(6);
    packets.insert(8, late);
    packets.swap(1, 2);
    packets.swap(4, 5);
    let found = feed(&mut detector, packets, RATE);
    assert_eq!(found, [pressed('1', 100), pressed('2', 100)]);
}

#[test]
fn a_source_that_restarts_its_timestamps_is_heard() {
    let mut detector = Detector::default();
    let first = sent(plan('1', 100, RATE));
    let again = sent(DigitPlan {
        timestamp: u32::MAX - 8000,
        ..plan('2', 100, RATE)
    });
    let found = feed(&mut detector, [first, again].concat(), RATE);
    assert_eq!(found, [pressed('1', 100), pressed('2', 100)]);
}

#[test]
fn a_digit_longer_than_the_field_goes_in_segments() {
    let packets = sent(plan('8', 5000, 48_000));
    let mut starts: Vec<_> = packets.iter().map(|packet| packet.timestamp).collect();
    starts.dedup();
    let base = u32::MAX - 80;
    let expected: Vec<_> = (0..4)
        .map(|index| base.wrapping_add(index * 65_535))
        .collect();
    assert_eq!(starts, expected);
    assert_eq!(packets.iter().filter(|packet| packet.marker).count(), 1);
    let mut detector = Detector::default();
    assert_eq!(feed(&mut detector, packets, 48_000), [pressed('8', 5000)]);
}

#[test]
fn other_events_and_other_bytes_are_no_digits() {
    let mut detector = Detector::default();
    for payload in [&[][..], &[1, 0x80, 0], &[16, 0x8a, 1, 0], &[66, 0x8a, 1, 0]] {
        assert_eq!(detector.on_packet(payload, 1, true, RATE), [None; 2]);
    }
    // A payload type without a clock rate.
    let found = detector.on_packet(&[3, 0x8a, 0x03, 0x20], 1, true, 0);
    assert_eq!(found, [None, Some(pressed('3', 100))]);
}

fn triggered(trigger: &mut Trigger, typed: &[(char, u64)]) -> Vec<usize> {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let hits = typed
        .iter()
        .enumerate()
        .filter(|(_, (key, ms))| trigger.on_digit(Digit::from_char(*key).unwrap(), at(*ms)));
    hits.map(|(index, _)| index).collect()
}

#[test]
fn a_trigger_fires_with_the_last_digit_of_its_code() {
    let mut trigger = Trigger::new("*97", DIGIT_GAP).unwrap();
    let keys = [('1', 0), ('*', 1), ('9', 2), ('7', 3), ('7', 4), ('*', 5)];
    assert_eq!(triggered(&mut trigger, &keys), [3]);
    // A wrong start that contains the right one.
    let mut trigger = Trigger::new("112", DIGIT_GAP).unwrap();
    let keys = [('1', 0), ('1', 1), ('1', 2), ('2', 3)];
    assert_eq!(triggered(&mut trigger, &keys), [3]);
}

#[test]
fn a_trigger_starts_anew_after_a_pause() {
    let mut trigger = Trigger::new("12", DIGIT_GAP).unwrap();
    assert!(triggered(&mut trigger, &[('1', 0), ('2', 2501)]).is_empty());
    let mut trigger = Trigger::new("12", DIGIT_GAP).unwrap();
    assert_eq!(triggered(&mut trigger, &[('1', 0), ('2', 2500)]), [1]);
}

#[test]
fn a_code_is_digits() {
    for bad in ["", "12x", "1 2", &"1".repeat(CODE_DIGITS + 1)] {
        assert!(Trigger::new(bad, DIGIT_GAP).is_none(), "{bad}");
    }
    assert!(Trigger::new("#ab", DIGIT_GAP).is_some());
}

proptest::proptest! {
    #[test]
    fn any_packets_return(
        packets in proptest::collection::vec(
            (proptest::collection::vec(proptest::num::u8::ANY, 0..6), 0u32..4, proptest::bool::ANY),
            0..40,
        ),
    ) {
        let mut detector = Detector::default();
        for (payload, timestamp, marker) in packets {
            let timestamp = timestamp.wrapping_mul(65_535);
            let _ = detector.on_packet(&payload, timestamp, marker, u32::MAX);
        }
        let _ = detector.flush();
    }

    #[test]
    fn every_plan_ends(ms in 0u32..100_000, rate in proptest::num::u32::ANY) {
        let packets = sent(plan('1', ms, rate.max(50))).len();
        proptest::prop_assert!((3..=3 + 60_000 / 20 + 1).contains(&packets), "{packets}");
    }
}
