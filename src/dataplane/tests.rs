//! Real sockets on loopback, without calls: what a plan does to datagrams.

mod agents;
mod conversion;
mod header_extensions;
mod limits;
mod media_02_pipeline;
mod media_08_reports;
mod media_11_digits;
mod media_13_recording;
mod offload;
mod quality;
mod secure;
mod shared_ports;
mod simulation;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::*;
use crate::flow::port::{PortLease, ReturnPort};
use crate::flow::secure::Security;
use crate::flow::stats::{DropReason, FlowStats};
use crate::flow::{Carries, Component, FlowChange, FlowSpec, Guards, Payload, PayloadTypes, Sink};
use crate::media::latch::{Learning, PeerSpec};
use crate::media::reach::Reach;

use limits::{
    a_phone_that_was_away_loses_nothing_when_it_is_back, a_plan_that_fails_changes_nothing,
    a_removed_flow_leaves_no_way_into_another_call, an_empty_datagram_is_dropped,
    an_opener_that_cannot_leave_is_not_counted_as_sent, long_and_short_datagrams_stay_in_order,
    what_is_longer_than_a_buffer_is_dropped_whole,
};
use media_02_pipeline::{
    a_discarding_flow_passes_nothing_until_it_is_changed,
    a_party_on_hold_is_not_heard_but_its_reports_are, a_party_that_wants_nothing_is_sent_nothing,
    an_opaque_flow_carries_anything, an_unknown_payload_type_is_an_error_and_passes,
    lines_of_a_bundle_are_told_apart, reports_are_told_by_their_type_on_any_port,
    short_reports_are_dropped_and_counted, ten_thousand_sources_take_the_room_of_a_few,
    what_goes_round_in_a_loop_is_stopped, what_is_no_rtp_is_dropped_and_counted,
};
use secure::{
    a_copy_from_elsewhere_uses_up_no_number, an_authentic_source_is_followed_at_once,
    converted_audio_leaves_under_the_keys_of_its_receiver,
    new_keys_go_on_where_the_old_ones_stopped, nothing_passes_before_keys_are_known,
    reports_keep_their_number_under_the_same_key, srtp_is_bridged_to_rtp_and_back,
    srtp_is_bridged_to_srtp_of_another_suite, what_does_not_authenticate_teaches_nothing,
    what_is_under_the_keys_of_before_may_come_late,
    what_was_heard_under_a_key_is_known_on_every_port,
};
use shared_ports::{
    a_port_is_leased_once, a_port_on_its_way_to_another_call_refuses_nobody,
    an_attempt_at_a_leased_port_does_not_close_it, what_a_flow_has_learned_goes_with_its_port,
};

/// How long a test waits for a datagram that must come.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Returned(AtomicU32);

impl ReturnPort for Returned {
    fn give_back(&self, _port: u16) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Steering that is required, of these ports. No program at bind(2): tests run side by side.
pub(super) fn steered(ranges: Vec<PortRange>) -> Steering {
    Steering::Required(SteeredPorts {
        ranges,
        refuse_binds: false,
    })
}

/// Whether this host need not let us steer ports: in CI it must, if it gives us the rights at all.
pub(super) fn may_skip_steering() -> bool {
    let is_ci = std::env::var("CI").as_deref() == Ok("true");
    !is_ci || !windlass_kernel_assist::rights::missing().is_empty()
}

/// A relay with one flow for each of two phones.
struct Bench {
    dataplane: Dataplane,
    events: Receiver<FlowEvent>,
    returned: Arc<Returned>,
    phones: [UdpSocket; 2],
    locals: [SocketAddr; 2],
    started: Instant,
}

impl Bench {
    /// `None` if this host does not let us steer ports; in CI it must.
    fn new(is_steered: bool) -> Option<Self> {
        Self::with(Services::default(), is_steered)
    }

    fn with(services: Services, is_steered: bool) -> Option<Self> {
        Self::at([free_address(), free_address()], services, is_steered)
    }

    fn at(locals: [SocketAddr; 2], services: Services, is_steered: bool) -> Option<Self> {
        let started = clock();
        let range = |local: SocketAddr| (local.ip(), local.port(), local.port());
        let steering = match is_steered {
            true => steered(locals.map(range).to_vec()),
            false => Steering::Off,
        };
        let dataplane = Dataplane::start(1, started, services, &steering);
        let (dataplane, events) = match dataplane {
            Ok(started) => started,
            Err(error) => {
                let may_skip = is_steered && may_skip_steering();
                assert!(may_skip, "{error}");
                println!("skipped: {error}");
                return None;
            }
        };
        // A phone of the family of its port.
        let phone = |local: SocketAddr| {
            let socket = UdpSocket::bind((local.ip(), 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Some(Self {
            dataplane,
            events,
            returned: Arc::default(),
            phones: locals.map(phone),
            locals,
            started,
        })
    }

    fn spec(&self, side: usize) -> FlowSpec {
        let mut types = PayloadTypes::default();
        types.insert(8);
        FlowSpec {
            local: self.locals[side],
            component: Component::Rtp,
            rtp_sibling: None,
            payload: Payload::Rtp {
                types,
                clock_rate: 8000,
            },
            security: Security::Plain,
            agent: None,
            peer: PeerSpec {
                signalled: Some(self.phones[side].local_addr().unwrap()),
                proposed: None,
                others_signalled: Box::default(),
                signalled_private: false,
                trusts_signalled: false,
                received_from: None,
                sends: true,
                wants: true,
                reach: Reach::new(self.locals[side].ip(), Arc::default()),
                is_shown: true,
                learning: Learning::Guarded,
                asymmetric: false,
                strict_source: false,
                media_handover: false,
                nat_wait: false,
                pierce_nat: false,
                is_authenticated: false,
                validated: None,
                signalled_at: self.started,
            },
            receive: true,
            discard: false,
            sinks: vec![Sink {
                via: self.locals[1 - side],
                carries: Carries::All,
                rules: None,
            }],
            tos: None,
            taps: None,
            reports: None,
            guards: Guards::default(),
            bundle: None,
        }
    }

    fn lease(&self, side: usize) -> PortLease {
        let local = self.locals[side];
        let handle = self.dataplane.opener().open(local).unwrap();
        PortLease::new(local, handle, self.returned.clone())
    }

    fn apply(&self, changes: Vec<FlowChange>, leases: Vec<PortLease>) -> Vec<LeasedFlow> {
        let leases = leases.into_iter().map(LeasedFlow::from).collect();
        self.dataplane.apply(plan(changes), leases).unwrap()
    }

    /// Both flows in force, the first as `alter` leaves it. Gives the counters of both.
    fn install(&self, alter: impl FnOnce(&mut FlowSpec)) -> [Arc<FlowStats>; 2] {
        let leases = [self.lease(0), self.lease(1)];
        let stats = [leases[0].stats().clone(), leases[1].stats().clone()];
        let mut first = self.spec(0);
        alter(&mut first);
        self.apply(
            vec![
                FlowChange::Install(first),
                FlowChange::Install(self.spec(1)),
            ],
            leases.into(),
        );
        stats
    }

    fn send(&self, side: usize, datagram: &[u8]) {
        self.phones[side]
            .send_to(datagram, self.locals[side])
            .unwrap();
    }

    /// The next datagram at a phone, and where it came from.
    fn hear(&self, side: usize) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0u8; 16_384];
        let (length, from) = self.phones[side].recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }
}

fn plan(changes: Vec<FlowChange>) -> Plan {
    Plan {
        call: 7,
        worker: 0,
        changes,
        agents: None,
    }
}

fn free_address() -> SocketAddr {
    free_address_of(Ipv4Addr::LOCALHOST.into())
}

/// An address below those that the system gives to the sockets of other tests.
fn free_address_of(ip: IpAddr) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(22_000);
    loop {
        let local = SocketAddr::new(ip, NEXT.fetch_add(1, Relaxed));
        if UdpSocket::bind(local).is_ok() {
            return local;
        }
    }
}

fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&0x5151_5151_u32.to_be_bytes());
    packet.extend_from_slice(&[0xd5; 160]);
    packet
}

const REPORT: [u8; 8] = [0x80, 201, 0, 1, 1, 2, 3, 4];

/// Waits until a counter has the value.
fn await_count(counter: &AtomicU64, expected: u64) {
    let deadline = clock() + PATIENCE;
    while counter.load(Relaxed) != expected {
        assert!(
            clock() < deadline,
            "{} of {expected}",
            counter.load(Relaxed)
        );
        std::thread::yield_now();
    }
}

fn drops(stats: &FlowStats, reason: DropReason) -> &AtomicU64 {
    &stats.drops[reason as usize]
}

fn media_passes_both_ways_and_leaves_from_the_other_port(bench: Bench) {
    let stats = bench.install(|_| {});
    for sequence in 0..20 {
        for side in [0, 1] {
            bench.send(side, &rtp(sequence));
            let heard = bench.hear(1 - side);
            assert_eq!(heard, (rtp(sequence), bench.locals[1 - side]));
        }
    }
    for stats in &stats {
        await_count(&stats.packets_out, 20);
        assert_eq!(stats.packets_in.load(Relaxed), 20);
        assert_eq!(stats.bytes_in.load(Relaxed), 20 * 172);
        assert_eq!(stats.errors_in.load(Relaxed), 0);
        let source = stats.ssrcs.slot(0).unwrap();
        assert_eq!(source.packets.load(Relaxed), 20);
        assert_eq!(source.lost.load(Relaxed), 0);
        assert!(stats.last_packet_ms.load(Relaxed) > 0);
    }
}

fn a_learned_source_is_told_and_answered(bench: Bench) {
    let behind_nat = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    behind_nat.set_read_timeout(Some(PATIENCE)).unwrap();
    // The SDP says an address that the phone does not have.
    bench.install(|spec| {
        spec.peer.signalled = Some("10.0.0.9:9".parse().unwrap());
        spec.peer.signalled_private = true;
    });
    let deadline = clock() + PATIENCE;
    let mut sequence = 0;
    let event = loop {
        assert!(clock() < deadline, "the source was never learned");
        behind_nat.send_to(&rtp(sequence), bench.locals[0]).unwrap();
        sequence += 1;
        if let Ok(event) = bench.events.recv_timeout(Duration::from_millis(10)) {
            break event;
        }
    };
    assert_eq!((event.call, event.local), (7, bench.locals[0]));
    bench.hear(1);
    bench.send(1, &rtp(1));
    let mut buffer = [0u8; 512];
    let (length, from) = behind_nat.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&rtp(1)[..], bench.locals[0]));
}

#[test]
fn packets_before_the_plan_are_relayed_once_it_is_in_force() {
    let bench = Bench::new(false).unwrap();
    let leases = vec![bench.lease(0), bench.lease(1)];
    bench.send(0, &rtp(1));
    let changes = vec![
        FlowChange::Install(bench.spec(0)),
        FlowChange::Install(bench.spec(1)),
    ];
    bench.apply(changes, leases);
    assert_eq!(bench.hear(1).0, rtp(1));
}

fn a_removed_flow_closes_its_port_and_gives_the_number_back(bench: Bench) {
    bench.install(|_| {});
    let is_taken = bench.dataplane.opener().open(bench.locals[0]).is_err();
    assert!(is_taken, "port is taken");
    let removed = bench.apply(bench.locals.map(FlowChange::Remove).into(), Vec::new());
    assert_eq!(removed.len(), 2);
    assert_eq!(bench.returned.0.load(Relaxed), 0);
    drop(removed);
    assert_eq!(bench.returned.0.load(Relaxed), 2);
    UdpSocket::bind(bench.locals[0]).unwrap();
}

fn the_end_of_the_data_plane_closes_every_port(bench: Bench) {
    bench.install(|_| {});
    let Bench {
        dataplane,
        returned,
        locals,
        ..
    } = bench;
    drop(dataplane);
    assert_eq!(returned.0.load(Relaxed), 2);
    for local in locals {
        UdpSocket::bind(local).unwrap();
    }
}

fn a_plan_that_does_not_fit_is_refused(bench: Bench) {
    let install = plan(vec![FlowChange::Install(bench.spec(0))]);
    let refused = bench.dataplane.apply(install, Vec::new()).unwrap_err();
    assert!(refused.to_string().contains(&bench.locals[0].to_string()));
    let change = plan(vec![FlowChange::Change(bench.spec(0))]);
    assert!(bench.dataplane.apply(change, Vec::new()).is_err());
    let elsewhere = Plan {
        worker: 9,
        ..plan(Vec::new())
    };
    let refused = bench.dataplane.apply(elsewhere, Vec::new()).unwrap_err();
    assert!(matches!(refused.reason, PlanError::NoWorker(9)));
    // What comes with a plan is not lost, and what it could do is not done.
    let install = |side| FlowChange::Install(bench.spec(side));
    let half = plan(vec![install(0), install(1)]);
    let refused = bench.dataplane.apply(half, vec![bench.lease(0).into()]);
    let refused = refused.unwrap_err();
    assert!(matches!(refused.reason, PlanError::NoLease(local) if local == bench.locals[1]));
    assert_eq!(refused.leases.len(), 1);
    let whole = plan(vec![install(0), install(1)]);
    let mut leases = refused.leases;
    leases.push(bench.lease(1).into());
    bench.dataplane.apply(whole, leases).unwrap();
    let again = plan(vec![install(0)]);
    let refused = bench.dataplane.apply(again, Vec::new()).unwrap_err();
    assert!(matches!(refused.reason, PlanError::Taken(local) if local == bench.locals[0]));
    bench.send(0, &rtp(1));
    assert_eq!(bench.hear(1).0, rtp(1));
    bench.apply(bench.locals.map(FlowChange::Remove).into(), Vec::new());
    // The lease of a port that no flow wants is given back, not lost.
    let returned = bench.apply(Vec::new(), vec![bench.lease(0)]);
    assert_eq!(returned.len(), 1);
}

fn a_settled_flow_that_fell_silent_hears_its_party_from_a_new_port(bench: Bench) {
    bench.install(|_| {});
    for sequence in 0..50 {
        bench.send(0, &rtp(sequence));
        bench.hear(1);
    }
    // The NAT in front of the phone gave it another port. The port of the flow is bound to the
    // old one by now; it must open again by itself.
    let rebound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let deadline = clock() + PATIENCE;
    let mut sequence = 50;
    bench.phones[1]
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut buffer = [0u8; 512];
    while bench.phones[1].recv(&mut buffer).is_err() {
        assert!(clock() < deadline, "the new source was never heard");
        rebound.send_to(&rtp(sequence), bench.locals[0]).unwrap();
        sequence += 1;
    }
}

fn what_is_cut_short_is_blocked_on_demand(bench: Bench) {
    let stats = bench.install(|spec| {
        spec.guards = Guards {
            loops: false,
            short: true,
        };
    });
    for sequence in 0..10 {
        bench.send(0, &rtp(sequence));
        assert_eq!(bench.hear(1).0, rtp(sequence));
    }
    bench.send(0, &rtp(10)[..100]);
    bench.send(0, &REPORT);
    assert_eq!(bench.hear(1).0, REPORT);
    await_count(drops(&stats[0], DropReason::Short), 1);
}

/// Each test with a socket per port, and with steered ports.
macro_rules! on_every_rung {
    ($($name:ident)*) => {
        mod sockets {
            $(#[test]
            fn $name() {
                super::$name(super::Bench::new(false).unwrap());
            })*
        }
        mod steered {
            $(#[test]
            fn $name() {
                if let Some(bench) = super::Bench::new(true) {
                    super::$name(bench);
                }
            })*
        }
    };
}

on_every_rung! {
    media_passes_both_ways_and_leaves_from_the_other_port
        a_learned_source_is_told_and_answered
        a_removed_flow_closes_its_port_and_gives_the_number_back
        the_end_of_the_data_plane_closes_every_port
        a_plan_that_does_not_fit_is_refused
        what_is_no_rtp_is_dropped_and_counted
        an_opaque_flow_carries_anything
        srtp_is_bridged_to_rtp_and_back
        srtp_is_bridged_to_srtp_of_another_suite
        what_does_not_authenticate_teaches_nothing
        nothing_passes_before_keys_are_known
        what_was_heard_under_a_key_is_known_on_every_port
        new_keys_go_on_where_the_old_ones_stopped
        what_is_under_the_keys_of_before_may_come_late
        an_authentic_source_is_followed_at_once
        a_copy_from_elsewhere_uses_up_no_number
        reports_keep_their_number_under_the_same_key
        converted_audio_leaves_under_the_keys_of_its_receiver
        lines_of_a_bundle_are_told_apart
        a_party_on_hold_is_not_heard_but_its_reports_are
        a_discarding_flow_passes_nothing_until_it_is_changed
        a_party_that_wants_nothing_is_sent_nothing
        a_settled_flow_that_fell_silent_hears_its_party_from_a_new_port
        what_goes_round_in_a_loop_is_stopped
        what_is_cut_short_is_blocked_on_demand
        an_unknown_payload_type_is_an_error_and_passes
        reports_are_told_by_their_type_on_any_port
        short_reports_are_dropped_and_counted
        ten_thousand_sources_take_the_room_of_a_few
        a_port_is_leased_once
        an_attempt_at_a_leased_port_does_not_close_it
        what_a_flow_has_learned_goes_with_its_port
        what_is_longer_than_a_buffer_is_dropped_whole
        long_and_short_datagrams_stay_in_order
        an_opener_that_cannot_leave_is_not_counted_as_sent
        a_plan_that_fails_changes_nothing
        a_removed_flow_leaves_no_way_into_another_call
        a_phone_that_was_away_loses_nothing_when_it_is_back
        an_empty_datagram_is_dropped
        a_port_on_its_way_to_another_call_refuses_nobody
}
