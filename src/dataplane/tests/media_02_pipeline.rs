//! What becomes of a datagram (media-behaviour §2), and what hostile ones cost (security, rows 4
//! and 9).

use super::*;
use crate::flow::bundle::{Bundle, BundledLine};
use crate::flow::{SinkRules, Withhold};

pub(super) fn what_is_no_rtp_is_dropped_and_counted(bench: Bench) {
    let stats = bench.install(|_| {});
    let truncated = &rtp(1)[..11];
    let hostile: [&[u8]; 5] = [b"", b"\x00\x01", b"hello, world", truncated, &REPORT[..7]];
    for datagram in hostile {
        bench.send(0, datagram);
    }
    bench.send(0, &rtp(2));
    assert_eq!(bench.hear(1).0, rtp(2));
    await_count(drops(&stats[0], DropReason::Malformed), 5);
}

pub(super) fn an_opaque_flow_carries_anything(bench: Bench) {
    let stats = bench.install(|spec| spec.payload = Payload::Opaque);
    bench.send(0, b"\x00\x05t38 ifp");
    assert_eq!(bench.hear(1).0, b"\x00\x05t38 ifp");
    let large = vec![7u8; 9000];
    bench.send(0, &large);
    assert_eq!(bench.hear(1).0, large);
    let known = stats[0].ssrcs.iter().filter(|source| source.is_known());
    assert_eq!(known.count(), 0, "no RTP, no sources");
}

/// Two lines share the port, and the listener has the second one.
pub(super) fn lines_of_a_bundle_are_told_apart(bench: Bench) {
    let line = |mid: &str, number| {
        let mut types = PayloadTypes::default();
        types.insert(number);
        BundledLine {
            mid: mid.as_bytes().into(),
            types,
        }
    };
    let second_alone = Withhold {
        line: Some(1),
        ..Withhold::default()
    };
    let stats = bench.install(|spec| {
        spec.bundle = Some(Box::new(Bundle {
            mid: Some(4),
            lines: vec![line("a", 0), line("v", 96)],
            own: 0,
        }));
        spec.sinks[0].rules = Some(Box::new(SinkRules {
            withhold: second_alone,
            ..SinkRules::default()
        }));
    });
    // Type 8 is in neither line: it belongs to the line whose port it is.
    bench.send(0, &rtp(1));
    await_count(drops(&stats[0], DropReason::Withheld), 1);
    let mut video = rtp(2);
    video[1] = 96;
    bench.send(0, &video);
    assert_eq!(bench.hear(1).0, video);
    let mut named = rtp(3);
    named[0] |= 0x10;
    named.splice(12..12, [0xbe, 0xde, 0, 1, 0x40, b'v', 0, 0]);
    bench.send(0, &named);
    assert_eq!(bench.hear(1).0, named);
    // Its source is known from now on.
    bench.send(0, &rtp(4));
    assert_eq!(bench.hear(1).0, rtp(4));
    bench.send(0, &REPORT);
    assert_eq!(bench.hear(1).0, REPORT);
    await_count(drops(&stats[0], DropReason::Withheld), 1);
    // A line that is not agreed on is none of these, whatever type its packets have.
    let mut other = named.clone();
    (other[1], other[11], other[17]) = (96, 9, b'x');
    bench.send(0, &other);
    await_count(drops(&stats[0], DropReason::Withheld), 2);
}

pub(super) fn a_party_on_hold_is_not_heard_but_its_reports_are(bench: Bench) {
    let stats = bench.install(|spec| spec.receive = false);
    bench.send(0, &rtp(1));
    bench.send(0, &REPORT);
    assert_eq!(bench.hear(1).0, REPORT);
    await_count(drops(&stats[0], DropReason::NotReceiving), 1);
}

pub(super) fn a_discarding_flow_passes_nothing_until_it_is_changed(bench: Bench) {
    let stats = bench.install(|spec| spec.discard = true);
    bench.send(0, &rtp(1));
    await_count(drops(&stats[0], DropReason::Discarded), 1);
    bench.apply(vec![FlowChange::Change(bench.spec(0))], Vec::new());
    bench.send(0, &rtp(2));
    assert_eq!(bench.hear(1).0, rtp(2));
}

pub(super) fn a_party_that_wants_nothing_is_sent_nothing(bench: Bench) {
    let stats = bench.install(|spec| spec.peer.wants = false);
    bench.send(1, &rtp(1));
    await_count(drops(&stats[1], DropReason::NoDestination), 1);
    assert_eq!(stats[0].packets_out.load(Relaxed), 0);
}

pub(super) fn what_goes_round_in_a_loop_is_stopped(bench: Bench) {
    let stats = bench.install(|spec| {
        spec.guards = Guards {
            loops: true,
            short: false,
        };
    });
    for _ in 0..=30 {
        bench.send(0, &rtp(1));
        assert_eq!(bench.hear(1).0, rtp(1));
    }
    bench.send(0, &rtp(1));
    bench.send(0, &rtp(2));
    assert_eq!(bench.hear(1).0, rtp(2));
    await_count(drops(&stats[0], DropReason::Looping), 1);
}

pub(super) fn an_unknown_payload_type_is_an_error_and_passes(bench: Bench) {
    let [stats, _] = bench.install(|_| {});
    let mut unknown = rtp(1);
    unknown[1] = 77;
    bench.send(0, &unknown);
    assert_eq!(bench.hear(1).0, unknown);
    assert_eq!(stats.errors_in.load(Relaxed), 1);
    let source = stats.ssrcs.slot(0).unwrap();
    assert_eq!(source.payload_type.load(Relaxed), 77);
    assert!(stats.drops.iter().all(|drops| drops.load(Relaxed) == 0));
}

/// A receiver report without a block, as its type byte says.
fn report(packet_type: u8) -> [u8; 8] {
    [0x80, packet_type, 0, 1, 0, 0, 0, 7]
}

pub(super) fn reports_are_told_by_their_type_on_any_port(bench: Bench) {
    // On a flow that does not receive, only reports pass.
    let [stats, _] = bench.install(|spec| spec.receive = false);
    bench.send(0, &rtp(1));
    for packet_type in [194, 201, 204, 223] {
        bench.send(0, &report(packet_type));
        assert_eq!(bench.hear(1).0, report(packet_type));
    }
    // Beyond them it is RTP with the marker set.
    for (sequence, second_byte) in (2..).zip([192, 193, 224]) {
        let mut packet = rtp(sequence);
        packet[1] = second_byte;
        bench.send(0, &packet);
    }
    await_count(drops(&stats, DropReason::NotReceiving), 4);
}

pub(super) fn short_reports_are_dropped_and_counted(bench: Bench) {
    let [stats, _] = bench.install(|_| {});
    let mut whole = 0;
    for length in 0..=64u8 {
        // It says that it has 64 bytes.
        let mut datagram = vec![0x81, 201, 0, 15];
        datagram.resize(64, length);
        datagram.truncate(usize::from(length));
        bench.send(0, &datagram);
        whole += u64::from(length == 64);
    }
    assert_eq!(bench.hear(1).0.len(), 64);
    await_count(drops(&stats, DropReason::Malformed), 64);
    assert_eq!(stats.packets_in.load(Relaxed), 64 + whole);
}

pub(super) fn ten_thousand_sources_take_the_room_of_a_few(bench: Bench) {
    let [stats, other] = bench.install(|_| {});
    for ssrc in 0..10_000u32 {
        let mut packet = rtp(1);
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        bench.send(0, &packet);
        bench.hear(1);
    }
    // The first ones are followed as before.
    let mut again = rtp(2);
    again[8..12].copy_from_slice(&0u32.to_be_bytes());
    bench.send(0, &again);
    assert_eq!(bench.hear(1).0, again);
    assert_eq!(stats.ssrcs.slot(0).unwrap().packets.load(Relaxed), 2);
    await_count(&other.sent.slot(0).unwrap().packets, 2);
    await_count(&other.packets_out, 10_001);
}
