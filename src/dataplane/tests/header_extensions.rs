//! Header extensions of packets (media-behaviour §2.1), with real sockets.

use super::*;
use crate::flow::extensions::{ExtensionRules, MidElement};
use crate::flow::{Change, Injection, SinkRules};
use crate::media::dtmf::Digit;

/// A packet with a block of these elements.
fn extended(sequence: u16, profile: u16, elements: &[u8]) -> Vec<u8> {
    let mut packet = rtp(sequence);
    packet[0] |= 0x10;
    let words = u16::try_from(elements.len() / 4).unwrap();
    let block = [&profile.to_be_bytes()[..], &words.to_be_bytes(), elements].concat();
    packet.splice(12..12, block);
    packet
}

fn ruled(spec: &mut FlowSpec, extensions: ExtensionRules) {
    spec.sinks[0].rules = Some(Box::new(SinkRules {
        change: Change {
            extensions: Some(extensions),
            ..Change::default()
        },
        ..SinkRules::default()
    }));
}

#[test]
fn a_receiver_of_both_forms_stays_with_the_longer_one() {
    let bench = Bench::new(false).unwrap();
    bench.install(|spec| {
        let ids = [3, 5].into_iter().collect();
        let rules = ExtensionRules {
            sender: ids,
            receiver: ids,
            allows_mixed: true,
            mid: None,
        };
        ruled(spec, rules);
    });
    let short = |sequence| extended(sequence, 0xbede, &[0x50, 0xaa, 0, 0]);
    bench.send(0, &short(1));
    assert_eq!(bench.hear(1).0, short(1));
    let empty = extended(2, 0x1000, &[3, 0, 0, 0]);
    bench.send(0, &empty);
    assert_eq!(bench.hear(1).0, empty);
    bench.send(0, &short(3));
    assert_eq!(bench.hear(1).0, extended(3, 0x1000, &[5, 1, 0xaa, 0]));
    // The other way is another receiver.
    bench.send(1, &short(1));
    assert_eq!(bench.hear(0).0, short(1));
}

#[test]
fn a_digit_of_ours_has_the_block_of_the_packet_that_it_replaces() {
    let bench = Bench::new(false).unwrap();
    bench.install(|spec| {
        if let Payload::Rtp { types, .. } = &mut spec.payload {
            types.insert(101);
        }
        let rules = ExtensionRules {
            receiver: [4].into_iter().collect(),
            mid: Some(MidElement {
                id: 4,
                value: b"m2"[..].into(),
            }),
            ..ExtensionRules::default()
        };
        ruled(spec, rules);
    });
    let mid = [0x41, 0x6d, 0x32, 0];
    bench.send(0, &rtp(1));
    assert_eq!(bench.hear(1).0, extended(1, 0xbede, &mid));
    let injection = Injection {
        from: bench.locals[0],
        via: bench.locals[1],
        digit: Digit::from_char('5').unwrap(),
        duration_ms: 20,
        pause_ms: 100,
        volume: 8,
        payload_type: 101,
        clock_rate: 8000,
    };
    bench.dataplane.inject(0, injection).unwrap();
    bench.send(0, &rtp(2));
    for sequence in 2..=4 {
        let heard = bench.hear(1).0;
        let mut expected = extended(sequence, 0xbede, &mid);
        expected.truncate(20);
        // The timestamp of the packet; the copies of the end have no mark.
        expected[1] = if sequence == 2 { 0x80 | 101 } else { 101 };
        expected[4..8].copy_from_slice(&320_u32.to_be_bytes());
        expected.extend_from_slice(&[5, 0x80 | 8, 0, 160]);
        assert_eq!(heard, expected, "{sequence}");
    }
    bench.send(0, &rtp(3));
    let mut after = extended(5, 0xbede, &mid);
    after[4..8].copy_from_slice(&480_u32.to_be_bytes());
    assert_eq!(bench.hear(1).0, after);
}
