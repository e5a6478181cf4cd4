//! A port that two want, and one that strangers send to.

use super::*;

/// No other source may take the party's place any more.
fn signalled_long_ago(spec: &mut FlowSpec) {
    spec.peer.signalled_at = clock() - Duration::from_secs(4);
}

fn is_gated(bench: &Bench) -> bool {
    {
        let flows = bench.dataplane.workers[0].shared.flows.lock();
        flows.entries.iter().any(|(_, entry)| entry.is_bound)
    }
}

pub(super) fn a_port_is_leased_once(bench: Bench) {
    // Not yet in force, and so not yet open.
    let lease = bench.lease(0);
    assert!(bench.dataplane.opener().open(bench.locals[0]).is_err());
    assert!(
        bench
            .dataplane
            .opener()
            .open_pair(bench.locals, &[])
            .is_err()
    );
    drop(lease);
    // The half of a pair that was free still is.
    drop([bench.lease(0), bench.lease(1)]);
}

/// Two interfaces may have one address, and ranges of which some ports are the same.
pub(super) fn an_attempt_at_a_leased_port_does_not_close_it(bench: Bench) {
    bench.install(|_| {});
    for sequence in 0..10 {
        assert!(bench.dataplane.opener().open(bench.locals[0]).is_err());
        bench.send(0, &rtp(sequence));
        assert_eq!(bench.hear(1).0, rtp(sequence));
    }
}

/// Merged calls bring their ports along, perhaps to another worker.
pub(super) fn a_port_on_its_way_to_another_call_refuses_nobody(bench: Bench) {
    bench.install(signalled_long_ago);
    bench.send(0, &rtp(1));
    assert_eq!(bench.hear(1).0, rtp(1));
    assert!(is_gated(&bench));
    let leases = bench.apply(bench.locals.map(FlowChange::Remove).into(), Vec::new());
    bench.phones[0].connect(bench.locals[0]).unwrap();
    bench.phones[0].send(&rtp(2)).unwrap();
    // Had it been refused, the system would say so here.
    bench.phones[0].send(&rtp(3)).unwrap();
    let install = |side| FlowChange::Install(bench.spec(side));
    let merged = Plan {
        call: 8,
        ..plan(vec![install(0), install(1)])
    };
    bench.dataplane.apply(merged, leases).unwrap();
    bench.phones[0].send(&rtp(4)).unwrap();
    while bench.hear(1).0 != rtp(4) {}
    bench.send(1, &rtp(5));
    assert_eq!(bench.hear(0).0, rtp(5));
}

/// A call that is joined with another does not learn its parties anew.
pub(super) fn what_a_flow_has_learned_goes_with_its_port(bench: Bench) {
    let nat = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    nat.set_read_timeout(Some(PATIENCE)).unwrap();
    let private = |spec: &mut FlowSpec| {
        spec.peer.signalled = Some("10.0.0.9:9".parse().unwrap());
        spec.peer.signalled_private = true;
    };
    let stats = bench.install(private);
    for sequence in 0..10 {
        nat.send_to(&rtp(sequence), bench.locals[0]).unwrap();
    }
    await_count(&stats[0].packets_in, 10);
    assert!(stats[0].peer().settled);
    let flows = bench.apply(bench.locals.map(FlowChange::Remove).into(), Vec::new());
    assert!(flows.iter().all(|flow| flow.state.is_some()));
    let mut first = bench.spec(0);
    private(&mut first);
    let joined = Plan {
        call: 8,
        ..plan(vec![
            FlowChange::Install(first),
            FlowChange::Install(bench.spec(1)),
        ])
    };
    bench.dataplane.apply(joined, flows).unwrap();
    assert_eq!(stats[0].peer().learned, Some(nat.local_addr().unwrap()));
    // The party is reached before it says anything, and a stranger is not heard.
    bench.send(1, &rtp(1));
    let mut buffer = [0; 512];
    let (length, from) = nat.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&rtp(1)[..], bench.locals[0]));
    let heard = stats[1].packets_out.load(Relaxed);
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for sequence in 100..120 {
        stranger.send_to(&rtp(sequence), bench.locals[0]).unwrap();
    }
    nat.send_to(&rtp(10), bench.locals[0]).unwrap();
    await_count(&stats[1].packets_out, heard + 1);
    // The first three had to prove the source.
    let source = stats[0].ssrcs.slot(0).unwrap();
    assert_eq!(
        (source.packets.load(Relaxed), source.lost.load(Relaxed)),
        (8, 0)
    );
}

/// Gated ports of both families share a queue.
#[test]
fn settled_media_of_ipv4_and_ipv6_is_bridged() {
    let v6 = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
    if UdpSocket::bind((v6, 0)).is_err() {
        println!("skipped: this host has no IPv6");
        return;
    }
    let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // The first port is gated.
    for (first, second) in [(v4, v6), (v6, v4)] {
        for is_steered in [false, true] {
            let locals = [first, second].map(free_address_of);
            let Some(bench) = Bench::at(locals, Services::default(), is_steered) else {
                continue;
            };
            bench.install(signalled_long_ago);
            for sequence in 0..10 {
                for side in [0, 1] {
                    bench.send(side, &rtp(sequence));
                    assert_eq!(bench.hear(1 - side).0, rtp(sequence));
                }
                assert!(is_gated(&bench));
            }
        }
    }
}

/// Of two processes, as with one that is being replaced.
#[test]
fn a_steered_port_is_held_for_others_while_its_gate_is_closed() {
    let Some(bench) = Bench::new(true) else {
        return;
    };
    let stats = bench.install(signalled_long_ago);
    let other = Bench::at(bench.locals, Services::default(), true).unwrap();
    for sequence in 0..10 {
        bench.send(0, &rtp(sequence));
        bench.hear(1);
        assert!(is_gated(&bench));
        assert!(other.dataplane.opener().open(bench.locals[0]).is_err());
    }
    // Who asks is no stranger.
    let removed = bench.apply(bench.locals.map(FlowChange::Remove).into(), Vec::new());
    assert_eq!(
        drops(&stats[0], DropReason::UnexpectedSource).load(Relaxed),
        0
    );
    drop(removed);
    assert!(other.dataplane.opener().open(bench.locals[0]).is_ok());
}

/// What is longer than a packet of the link leaves through a socket, which goes with the flow.
#[test]
fn a_port_that_sent_long_datagrams_is_free_after_its_flow() {
    let Some(bench) = Bench::new(true) else {
        return;
    };
    let mut long = rtp(0);
    long.resize(9_000, 0xd5);
    for _ in 0..2 {
        bench.install(|_| {});
        for _ in 0..3 {
            bench.send(0, &long);
            assert_eq!(bench.hear(1), (long.clone(), bench.locals[1]));
        }
        drop(bench.apply(bench.locals.map(FlowChange::Remove).into(), Vec::new()));
        for local in bench.locals {
            UdpSocket::bind(local).unwrap();
        }
    }
}

#[test]
fn strangers_at_a_settled_port_are_kept_out_and_counted() {
    let Some(bench) = Bench::new(true) else {
        return;
    };
    let stats = bench.install(signalled_long_ago);
    let stranger = UdpSocket::bind("127.0.0.66:0").unwrap();
    for sequence in 0..100 {
        bench.send(0, &rtp(sequence));
        assert_eq!(bench.hear(1).0, rtp(sequence));
        for strange in 0..50 {
            let strange = rtp(5_000 + 50 * sequence + strange);
            stranger.send_to(&strange, bench.locals[0]).unwrap();
        }
    }
    assert!(is_gated(&bench));
    drop(bench.apply(bench.locals.map(FlowChange::Remove).into(), Vec::new()));
    let kept_out = drops(&stats[0], DropReason::UnexpectedSource).load(Relaxed);
    assert_eq!(kept_out, 5_000);
    assert_eq!(stats[0].packets_in.load(Relaxed), 5_100);
    assert_eq!(stats[1].packets_out.load(Relaxed), 100);
}

/// The queues of the workers, however many, are on loopback: they are in nobody's way elsewhere.
#[test]
fn all_ports_of_an_address_can_be_steered() {
    let elsewhere = "192.0.2.1".parse().unwrap();
    let steering = steered(vec![(elsewhere, 1, u16::MAX)]);
    match Dataplane::start(20, clock(), Services::default(), &steering) {
        Ok(_) => {}
        Err(error) => {
            assert!(may_skip_steering(), "{error}");
            println!("skipped: {error}");
        }
    }
}

/// A link-local address means nothing without its interface; the others are steered all the same.
#[test]
fn a_link_local_address_does_not_keep_others_from_being_steered() {
    let Some(bench) = Bench::new(true) else {
        return;
    };
    let local = free_address();
    let ranges = vec![
        ("fe80::1".parse().unwrap(), 30_000, 30_001),
        (local.ip(), local.port(), local.port()),
    ];
    let steering = steered(ranges);
    let started = Dataplane::start(1, bench.started, Services::default(), &steering);
    let (dataplane, _events) = started.unwrap();
    assert!(dataplane.opener().open(local).is_ok());
}
