//! What takes the place of digits (media-behaviour §11), with real sockets.

use super::*;
use crate::flow::digits::{DigitBlock, DigitRule, Voice};
use crate::flow::{Change, SinkRules, Withhold};
use crate::media::dtmf::Digit;
use crate::media::g711::Law;

fn events() -> PayloadTypes {
    let mut events = PayloadTypes::default();
    events.insert(101);
    events
}

/// The flow of the first phone, with something in place of its digits.
fn ruled(spec: &mut FlowSpec, digits: DigitBlock) {
    if let Payload::Rtp { types, .. } = &mut spec.payload {
        types.insert(101);
    }
    let voice = Voice {
        payload_type: 8,
        law: Law::A,
    };
    spec.sinks[0].rules = Some(Box::new(SinkRules {
        withhold: Withhold {
            events: events(),
            digits,
            ..Withhold::default()
        },
        change: Change {
            voices: vec![voice],
            voiced_events: events(),
            ..Change::default()
        },
        conversion: None,
    }));
}

fn zero() -> DigitRule {
    DigitRule::Digit {
        digit: Digit::from_char('0').unwrap(),
        volume: None,
    }
}

/// Audio or an event, by its payload.
fn packet(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = rtp(sequence);
    packet.truncate(12);
    packet[1] = payload_type;
    packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// A digit of 60 ms from sequence number 2 and timestamp 320 on: three packets, and two copies of
/// its end.
fn five() -> [Vec<u8>; 5] {
    let event = |sequence, end: u8, duration: u8| {
        packet(
            101,
            sequence,
            320,
            &[5, end | 10, duration >> 7, duration << 1],
        )
    };
    [
        event(2, 0, 80),
        event(3, 0, 160),
        event(4, 0x80, 240),
        event(5, 0x80, 240),
        event(6, 0x80, 240),
    ]
}

#[test]
fn another_digit_goes_out_and_the_rest_of_the_stream_is_left_alone() {
    let bench = Bench::new(false).unwrap();
    bench.install(|spec| ruled(spec, DigitBlock::from_now_on(zero())));
    bench.send(0, &rtp(1));
    assert_eq!(bench.hear(1).0, rtp(1));
    for mut packet in five() {
        bench.send(0, &packet);
        packet[12] = 0;
        assert_eq!(bench.hear(1).0, packet);
    }
    bench.send(0, &rtp(7));
    assert_eq!(bench.hear(1).0, rtp(7));
}

#[test]
fn silence_goes_out_without_a_gap() {
    let bench = Bench::new(false).unwrap();
    bench.install(|spec| ruled(spec, DigitBlock::from_now_on(DigitRule::Silence)));
    bench.send(0, &rtp(1));
    assert_eq!(bench.hear(1).0, rtp(1));
    for packet in five() {
        bench.send(0, &packet);
    }
    bench.send(0, &packet(8, 7, 800, &[0x11; 160]));
    for (sequence, timestamp) in [(2, 320), (3, 480), (4, 640)] {
        let silent = packet(8, sequence, timestamp, &[0xd5; 160]);
        assert_eq!(bench.hear(1).0, silent);
    }
    assert_eq!(bench.hear(1).0, packet(8, 5, 800, &[0x11; 160]));
}

#[test]
fn a_digit_that_began_blocked_ends_blocked() {
    let bench = Bench::new(false).unwrap();
    let stats = bench.install(|spec| ruled(spec, DigitBlock::from_now_on(DigitRule::Drop)));
    let five = five();
    for packet in &five[..3] {
        bench.send(0, packet);
    }
    await_count(drops(&stats[0], DropReason::Withheld), 3);
    bench.apply(vec![FlowChange::Change(bench.spec(0))], Vec::new());
    for packet in &five[3..] {
        bench.send(0, packet);
    }
    bench.send(0, &rtp(7));
    assert_eq!(bench.hear(1).0, rtp(7));
    await_count(drops(&stats[0], DropReason::Withheld), 5);
}

#[test]
fn a_block_ends_at_its_time() {
    let bench = Bench::new(false).unwrap();
    let over = DigitBlock {
        rule: DigitRule::Drop,
        until: Some((bench.started, zero())),
    };
    bench.install(|spec| ruled(spec, over));
    bench.send(0, &five()[0]);
    assert_eq!(bench.hear(1).0[12], 0);
}
