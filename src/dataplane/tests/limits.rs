//! Datagrams and plans at the edge of what is carried.

use super::*;
use crate::limits::DATAGRAM_BYTES;

fn numbered(number: u8, length: usize) -> Vec<u8> {
    vec![number; length]
}

/// Number and length of the next one.
fn told(bench: &Bench) -> (u8, usize) {
    let heard = bench.hear(1).0;
    (heard[0], heard.len())
}

/// It is nothing of any media.
pub(super) fn an_empty_datagram_is_dropped(bench: Bench) {
    let stats = bench.install(|spec| spec.payload = Payload::Opaque);
    bench.send(0, b"");
    bench.send(0, b"x");
    assert_eq!(bench.hear(1).0, b"x");
    await_count(drops(&stats[0], DropReason::Malformed), 1);
}

/// A part of a datagram is another datagram, which nobody sent.
pub(super) fn what_is_longer_than_a_buffer_is_dropped_whole(bench: Bench) {
    let stats = bench.install(|spec| spec.payload = Payload::Opaque);
    bench.send(0, &numbered(1, DATAGRAM_BYTES + 1));
    bench.send(0, &numbered(2, DATAGRAM_BYTES));
    assert_eq!(told(&bench), (2, DATAGRAM_BYTES));
    await_count(drops(&stats[0], DropReason::Malformed), 1);
    await_count(&stats[0].packets_in, 2);
}

pub(super) fn long_and_short_datagrams_stay_in_order(bench: Bench) {
    bench.install(|spec| spec.payload = Payload::Opaque);
    // None is empty, and all are waiting when the worker looks.
    let lengths = [100, 3000, 1, 2001, 2000, 9000, 12];
    for _ in 0..20 {
        let flows = bench.dataplane.workers[0].shared.flows.lock();
        for (number, length) in (1..).zip(lengths) {
            bench.send(0, &numbered(number, length));
        }
        drop(flows);
        for (number, length) in (1..).zip(lengths) {
            assert_eq!(told(&bench), (number, length));
        }
    }
}

pub(super) fn an_opener_that_cannot_leave_is_not_counted_as_sent(bench: Bench) {
    let stats = bench.install(|_| {});
    for sequence in 0..5 {
        bench.send(1, &rtp(sequence));
        bench.hear(0);
    }
    await_count(&stats[0].packets_out, 5);
    // A socket on loopback gets nothing out to this network.
    let mut spec = bench.spec(0);
    spec.peer.pierce_nat = true;
    spec.peer.signalled = Some("198.51.100.1:9".parse().unwrap());
    spec.peer.signalled_at = clock();
    bench.apply(vec![FlowChange::Change(spec)], Vec::new());
    assert_eq!(stats[0].packets_out.load(Relaxed), 5);
    assert!(stats[0].errors_out.load(Relaxed) >= 1);
}

/// The system tells of an ICMP message in place of sending the next packet.
pub(super) fn a_phone_that_was_away_loses_nothing_when_it_is_back(mut bench: Bench) {
    let [stats, _] = bench.install(|_| {});
    for sequence in 0..10 {
        for side in [0, 1] {
            bench.send(side, &rtp(sequence));
            bench.hear(1 - side);
        }
    }
    let address = bench.phones[0].local_addr().unwrap();
    let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    drop(std::mem::replace(&mut bench.phones[0], elsewhere));
    bench.send(1, &rtp(10));
    await_count(&stats.packets_out, 11);
    bench.phones[0] = UdpSocket::bind(address).unwrap();
    bench.phones[0].set_read_timeout(Some(PATIENCE)).unwrap();
    bench.send(1, &rtp(11));
    assert_eq!(bench.hear(0).0, rtp(11));
}

/// Neither does it remove what it would have removed.
pub(super) fn a_plan_that_fails_changes_nothing(bench: Bench) {
    bench.install(|_| {});
    let mut unknown = bench.spec(1);
    unknown.local = "127.0.0.1:1".parse().unwrap();
    let fails = plan(vec![
        FlowChange::Remove(bench.locals[1]),
        FlowChange::Change(unknown),
    ]);
    assert!(bench.dataplane.apply(fails, Vec::new()).is_err());
    bench.send(0, &rtp(1));
    assert_eq!(bench.hear(1).0, rtp(1));
}

/// The place of a removed flow in the worker's table may be another call's next.
pub(super) fn a_removed_flow_leaves_no_way_into_another_call(bench: Bench) {
    bench.install(|_| {});
    bench.apply(vec![FlowChange::Remove(bench.locals[1])], Vec::new());
    let local = free_address();
    let handle = bench.dataplane.opener().open(local).unwrap();
    let lease = PortLease::new(local, handle, bench.returned.clone());
    let install = FlowChange::Install(FlowSpec {
        local,
        sinks: Vec::new(),
        ..bench.spec(1)
    });
    let other = Plan {
        call: 8,
        ..plan(vec![install])
    };
    bench.dataplane.apply(other, vec![lease.into()]).unwrap();
    bench.phones[1]
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    bench.send(0, &rtp(1));
    let mut buffer = [0; 512];
    assert!(
        bench.phones[1].recv(&mut buffer).is_err(),
        "another call heard it"
    );
}
