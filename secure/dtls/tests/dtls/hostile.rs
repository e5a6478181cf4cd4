//! Bytes that no peer sends.

use std::time::Duration;

use proptest::prelude::*;
use windlass_dtls::{Event, Session};

use crate::link::{Link, Side, address, ecdsa, start};

const LIMIT: Duration = Duration::from_secs(31);

/// Repeats every datagram with one bit turned, ahead of it or behind it.
fn with_turned_bits(seed: usize, ahead: bool, mut left: usize) -> Link {
    let (active, passive) = ecdsa();
    let mut number = seed;
    Link::new(active, passive).with_tamper(move |_, datagram| {
        if left == 0 {
            return vec![datagram];
        }
        left -= 1;
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut turned = datagram.clone();
        let at = (number >> 33) % turned.len();
        turned[at] ^= 1 << (number % 8);
        if ahead {
            vec![turned, datagram]
        } else {
            vec![datagram, turned]
        }
    })
}

#[test]
fn turned_bits_end_no_handshake() {
    for seed in 0..40 {
        for ahead in [true, false] {
            let mut link = with_turned_bits(seed, ahead, 6);
            link.run(LIMIT);
            link.keys();
        }
    }
}

#[test]
fn random_bytes_end_no_handshake() {
    let (active, passive) = ecdsa();
    let mut number = 7_u64;
    let mut link = Link::new(active, passive).with_tamper(move |_, datagram| {
        let mut garbage = Vec::new();
        for _ in 0..200 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            garbage.push((number >> 40) as u8);
        }
        // As records of each kind, in the clear and under keys.
        let mut sent = vec![garbage.clone()];
        for kind in [20, 21, 22, 23] {
            for epoch in [0, 1, 2] {
                let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9, 0, 200];
                record.extend(&garbage);
                sent.push(record);
            }
        }
        sent.push(datagram);
        sent
    });
    link.run(LIMIT);
    link.keys();
    assert!(link.passive.counters().ignored > 0 && link.passive.counters().malformed > 0);
}

#[test]
fn alerts_in_the_clear_end_nothing() {
    let (active, passive) = ecdsa();
    let alert = |description: u8| {
        let mut record = vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2];
        record.extend([2, description]);
        record
    };
    let close = vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 98, 0, 2, 1, 0];
    let (first, second) = (alert(40), close.clone());
    let mut link = Link::new(active, passive)
        .with_tamper(move |_, datagram| vec![first.clone(), second.clone(), datagram]);
    link.run(LIMIT);
    link.keys();
    for side in [Side::Active, Side::Passive] {
        link.deliver(side, &alert(10));
        link.deliver(side, &close);
    }
    link.run(LIMIT);
    assert!(link.active.is_connected() && link.passive.is_connected());
    assert_eq!(link.passive_events.len(), 1);
}

#[test]
fn close_notify_of_a_stranger_is_no_close() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive);
    link.run(LIMIT);
    link.keys();
    let mut forged = vec![21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 26];
    forged.extend([0x55; 26]);
    link.deliver(Side::Active, &forged);
    assert!(link.passive.is_connected());
    assert_eq!(link.passive.counters().ignored, 1);
}

/// A stranger whose hello is proven before the peer's, as far as it gets without a certificate.
#[test]
fn stranger_who_was_first_delays_nothing() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive);
    let from = "203.0.113.66:6666".parse().unwrap();
    let mut stranger = Session::new(ecdsa().0, link.now).unwrap();
    let mut buf = Vec::new();
    for _ in 0..2 {
        stranger.poll_transmit(&mut buf).unwrap();
        link.passive.handle_datagram(from, &buf, link.now);
        let transmit = link.passive.poll_transmit(&mut buf).unwrap();
        assert_eq!(transmit.to, Some(from));
        stranger.handle_datagram(address(Side::Passive), &buf, link.now);
    }
    link.run(Duration::from_millis(200));
    link.keys();
}

/// Row 5 of the security promises: hellos for the NULL cipher while a handshake is under way.
#[test]
fn hellos_of_strangers_end_no_handshake() {
    let (active, passive) = ecdsa();
    let mut hello = Vec::new();
    let mut stranger = Session::new(ecdsa().0, start()).unwrap();
    stranger.poll_transmit(&mut hello).unwrap();
    // The first suite of ours is c02b, NULL is c006.
    let at = hello.windows(2).position(|w| w == [0xc0, 0x2b]).unwrap();
    hello[at + 1] = 0x06;
    // Before the client's own in the first four seconds, so that it gets the cookie for another hello.
    let mut left = 5;
    let mut link = Link::new(active, passive).with_tamper(move |side, datagram| {
        if side == Side::Passive {
            return vec![datagram];
        }
        if left > 0 {
            left -= 1;
            return vec![hello.clone(), datagram, hello.clone()];
        }
        vec![datagram, hello.clone()]
    });
    link.run(LIMIT);
    link.keys();
    assert_eq!(link.passive_events.len(), 1);
}

/// Fragments of one byte, which a reassembly that recurses pays for with its stack.
#[test]
fn tiny_fragments_are_bounded() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive);
    let piece = |number: u8, offset: u32| {
        let [_, a, b, c] = offset.to_be_bytes();
        let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 1, b, c, 0, 13];
        record.extend([11, 0, 32, 0, 0, number, a, b, c, 0, 0, 1, 0xaa]);
        record
    };
    for number in 0..8 {
        for offset in (0..8192).step_by(2) {
            link.deliver(Side::Passive, &piece(number, offset));
        }
    }
    link.run(LIMIT);
    link.keys();
}

#[test]
fn answers_that_nobody_fetches_are_bounded() {
    let (active, passive) = ecdsa();
    let (mut hello, now) = (Vec::new(), start());
    let mut active = Session::new(active, now).unwrap();
    active.poll_transmit(&mut hello).unwrap();
    let mut passive = Session::new(passive, now).unwrap();
    for _ in 0..1000 {
        passive.handle_datagram(address(Side::Active), &hello, now);
    }
    let mut answers = Vec::new();
    let mut buf = Vec::new();
    while passive.poll_transmit(&mut buf).is_some() {
        answers.push(buf.len());
    }
    assert_eq!(answers.len(), 64);
    assert_eq!(passive.counters().overflows, 936);
    assert!(answers.iter().all(|len| *len < hello.len()), "amplified");
}

/// Whether a session that was given `datagrams` lives on.
fn survives(mut session: Session, datagrams: &[Vec<u8>]) {
    let mut now = start();
    let mut buf = Vec::new();
    for datagram in datagrams {
        session.handle_datagram(address(Side::Active), datagram, now);
        session.handle_datagram(address(Side::Passive), datagram, now);
        now += Duration::from_millis(700);
        session.handle_timeout(now);
        while session.poll_transmit(&mut buf).is_some() {}
        while let Some(event) = session.poll_event() {
            assert!(!matches!(event, Event::Connected(_)));
        }
    }
}

fn records() -> impl Strategy<Value = Vec<u8>> {
    let record = (
        prop_oneof![Just(20u8), Just(21), Just(22), any::<u8>()],
        0u16..3,
        0u64..4,
        proptest::collection::vec(any::<u8>(), 0..60),
        // Header of a handshake message
        proptest::option::of((0u8..24, 0usize..80, 0u16..4, 0usize..4)),
    );
    let record = record.prop_map(|(kind, epoch, sequence, body, message)| {
        let mut content = Vec::new();
        if let Some((kind, excess, number, offset)) = message {
            let length = offset + body.len() + if excess > 60 { excess } else { 0 };
            content.push(kind);
            content.extend(&(length as u32).to_be_bytes()[1..]);
            content.extend(number.to_be_bytes());
            content.extend(&(offset as u32).to_be_bytes()[1..]);
            content.extend(&(body.len() as u32).to_be_bytes()[1..]);
        }
        content.extend(body);
        let mut record = vec![kind, 0xfe, 0xfd];
        record.extend(epoch.to_be_bytes());
        record.extend(&sequence.to_be_bytes()[2..]);
        record.extend((content.len() as u16).to_be_bytes());
        record.extend(content);
        record
    });
    proptest::collection::vec(record, 1..4).prop_map(|records| records.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_bytes_panic(datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 1..8)) {
        let (active, passive) = ecdsa();
        survives(Session::new(active, start()).unwrap(), &datagrams);
        survives(Session::new(passive, start()).unwrap(), &datagrams);
    }

    #[test]
    fn no_records_panic(datagrams in proptest::collection::vec(records(), 1..12)) {
        let (active, passive) = ecdsa();
        survives(Session::new(active, start()).unwrap(), &datagrams);
        survives(Session::new(passive, start()).unwrap(), &datagrams);
    }

    /// Messages of a real handshake with anything written into them.
    #[test]
    fn no_altered_message_panics(number in 0usize..8, at in 0usize..1000, with in proptest::collection::vec(any::<u8>(), 1..6)) {
        let (active, passive) = ecdsa();
        let mut count = 0;
        let mut link = Link::new(active, passive).with_tamper(move |_, mut datagram| {
            if count == number {
                let at = at % datagram.len();
                for (byte, with) in datagram[at..].iter_mut().zip(&with) {
                    *byte = *with;
                }
            }
            count += 1;
            vec![datagram]
        });
        link.run(LIMIT);
        link.keys();
    }
}
