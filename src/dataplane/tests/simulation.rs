//! The flows of a worker in virtual time, on a network that is a queue: no socket, no thread.

use std::collections::VecDeque;
use std::io;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::offload::Model;
use super::*;
use crate::dataplane::backend::{Backend, Unsent};
use crate::dataplane::hops::Hops;
use crate::dataplane::left::LeftSources;
use crate::dataplane::sys::recv::RecvBatch;
use crate::flow::port::PortHandle;
use crate::flow::secure::Security;
use crate::media::reach::{MediaPorts, Rules};

/// A datagram: from, to, and what it holds.
pub(super) type Datagram = (SocketAddr, SocketAddr, Vec<u8>);

/// A backend whose ports are addresses and whose network is a list.
#[derive(Debug, Default)]
pub(super) struct Wire {
    sent: Vec<Datagram>,
    pub(super) gates: Vec<(SocketAddr, SocketAddr)>,
    /// Datagrams that the gates kept out, where they tell.
    pub(super) kept_out: Vec<SocketAddr>,
    /// They do, as those of steered ports.
    pub(super) tells: bool,
}

impl Backend for Wire {
    type Port = SocketAddr;

    fn adopt(&mut self, handle: &mut PortHandle, _token: usize) -> io::Result<SocketAddr> {
        handle.take().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn release(&mut self, port: SocketAddr) -> PortHandle {
        self.gates.retain(|(local, _)| *local != port);
        PortHandle::new(port)
    }

    fn receive(&mut self, _: &mut SocketAddr, _: &mut RecvBatch) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn receive_queue(&mut self, _: usize, _: &mut RecvBatch) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&mut self, port: &mut SocketAddr, data: &[u8], to: SocketAddr) -> io::Result<()> {
        self.sent.push((*port, to, data.to_vec()));
        Ok(())
    }

    fn flush(&mut self, _: &mut Vec<Unsent>) {}

    fn set_tos(&mut self, _: &mut SocketAddr, _: u8) -> io::Result<()> {
        Ok(())
    }

    fn bind_peer(&mut self, port: &mut SocketAddr, peer: Option<SocketAddr>) -> io::Result<()> {
        self.gates.retain(|(local, _)| local != port);
        self.gates.extend(peer.map(|peer| (*port, peer)));
        Ok(())
    }

    fn kept_out(&mut self, port: &mut SocketAddr) -> u32 {
        let before = self.kept_out.len();
        self.kept_out.retain(|local| local != port);
        u32::try_from(before - self.kept_out.len()).unwrap()
    }

    fn tells_kept_out(&self, _: &SocketAddr) -> bool {
        self.tells
    }

    fn count_overflowed(&mut self) {}
}

/// A worker and its network.
pub(super) struct World {
    pub(super) flows: Flows<Wire>,
    pub(super) start: Instant,
    pub(super) ms: u64,
    rules: Arc<Rules>,
    /// Datagrams that reached nobody of the relay, that is: parties.
    pub(super) heard: Vec<Datagram>,
    /// Whoever forwards before a datagram reaches a port; gives what leaves.
    pub(super) below: Option<Arc<Model>>,
    /// Gates keep strangers out; else all come through, as before a gate is shut.
    pub(super) is_gated: bool,
}

pub(super) fn local(port: u16) -> SocketAddr {
    ([203, 0, 113, 1], port).into()
}

pub(super) fn party(port: u16) -> SocketAddr {
    ([198, 51, 100, 1], port).into()
}

pub(super) fn stranger(port: u16) -> SocketAddr {
    ([192, 0, 2, 66], port).into()
}

impl World {
    pub(super) fn new() -> Self {
        let start = clock();
        let (sender, receiver) = sync_channel(16);
        // Nobody listens: what finds no room is counted.
        drop(receiver);
        let events = EventSink {
            sender,
            lost: Arc::default(),
        };
        let flows = Flows::new(
            Wire::default(),
            events,
            Services::default(),
            Arc::<LeftSources>::default(),
            Arc::<Hops>::default(),
            start,
        );
        let media = MediaPorts {
            address: local(0).ip(),
            advertised: local(0).ip(),
            min: 30_000,
            max: 39_999,
        };
        let rules = Arc::new(Rules {
            media: vec![media],
            ..Rules::default()
        });
        Self {
            flows,
            start,
            ms: 0,
            rules,
            heard: Vec::new(),
            below: None,
            is_gated: true,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    pub(super) fn spec(&self, port: u16, other: u16, signalled: SocketAddr) -> FlowSpec {
        let mut types = PayloadTypes::default();
        types.insert(8);
        FlowSpec {
            local: local(port),
            component: Component::Rtp,
            rtp_sibling: None,
            payload: Payload::Rtp {
                types,
                clock_rate: 8000,
            },
            security: Security::Plain,
            agent: None,
            peer: PeerSpec {
                signalled: Some(signalled),
                proposed: None,
                others_signalled: Box::default(),
                signalled_private: false,
                trusts_signalled: false,
                received_from: None,
                sends: true,
                wants: true,
                reach: Reach::new(local(0).ip(), self.rules.clone()),
                is_shown: true,
                learning: Learning::Guarded,
                asymmetric: false,
                strict_source: false,
                media_handover: false,
                nat_wait: false,
                pierce_nat: false,
                is_authenticated: false,
                validated: None,
                signalled_at: self.now(),
            },
            receive: true,
            discard: false,
            sinks: vec![Sink {
                via: local(other),
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

    /// A call between two addresses, on two ports of the relay.
    pub(super) fn call(
        &mut self,
        number: u64,
        ports: [u16; 2],
        parties: [SocketAddr; 2],
    ) -> [Arc<FlowStats>; 2] {
        self.install(number, ports, parties, |_| {})
    }

    /// The same, with something else about its flows.
    pub(super) fn install(
        &mut self,
        number: u64,
        ports: [u16; 2],
        parties: [SocketAddr; 2],
        alter: impl FnOnce(&mut [FlowSpec; 2]),
    ) -> [Arc<FlowStats>; 2] {
        let leases = ports.map(|port| {
            let handle = PortHandle::new(local(port));
            PortLease::new(local(port), handle, Arc::new(Returned::default()))
        });
        let stats = [0, 1].map(|side: usize| leases[side].stats().clone());
        let [a, b] = ports;
        let mut specs = [self.spec(a, b, parties[0]), self.spec(b, a, parties[1])];
        alter(&mut specs);
        let plan = Plan {
            call: number,
            worker: 0,
            changes: specs.map(FlowChange::Install).into(),
            agents: None,
        };
        let now = self.now();
        let leases = leases.map(LeasedFlow::from).into();
        self.flows.apply(plan, leases, now).unwrap();
        stats
    }

    pub(super) fn hang_up(&mut self, number: u64, ports: [u16; 2]) {
        let changes = ports.map(|port| FlowChange::Remove(local(port)));
        let plan = Plan {
            call: number,
            worker: 0,
            changes: changes.into(),
            agents: None,
        };
        let now = self.now();
        self.flows.apply(plan, Vec::new(), now).unwrap();
    }

    /// A datagram arrives, and whatever it makes the relay send to itself. At most so many turns.
    pub(super) fn arrive(&mut self, datagram: Datagram) -> usize {
        let mut queue = VecDeque::from([datagram]);
        let mut turns = 0;
        while let Some((from, to, data)) = queue.pop_front() {
            turns += 1;
            assert!(turns < 10_000, "packets go round for ever");
            if let Some(below) = &self.below
                && let Some((from, to)) = below.forward((from, to, &data), self.now_ns())
            {
                queue.push_back((from, to, data));
                continue;
            }
            let Some(index) = self.flows.by_local.get(to) else {
                self.heard.push((from, to, data));
                continue;
            };
            let gates = &self.flows.backend.gates;
            let gate = gates.iter().find(|(local, _)| *local == to);
            if self.is_gated && gate.is_some_and(|(_, peer)| *peer != from) {
                if self.flows.backend.tells {
                    self.flows.backend.kept_out.push(to);
                }
                continue;
            }
            let now = self.now();
            self.flows.forward(index, &data, from, now);
            queue.extend(self.flows.backend.sent.drain(..));
        }
        turns
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.ms += ms;
        let now = self.now();
        self.flows.handle_timers(now);
        self.flows.flush();
        self.heard.append(&mut self.flows.backend.sent);
    }
}

/// Two calls that name each other's ports, as a party that calls itself twice can make them.
#[test]
fn what_goes_round_between_two_calls_comes_to_an_end() {
    let mut world = World::new();
    let x = world.call(1, [30_000, 30_002], [local(30_004), local(30_006)]);
    world.call(2, [30_004, 30_006], [local(30_000), local(30_002)]);
    let mut most = 0;
    for sequence in 0..500 {
        // From another port of the address that signalling named.
        let from = local(5_000);
        most = most.max(world.arrive((from, local(30_000), rtp(sequence))));
        world.pass(20);
    }
    assert!(most < 40, "{most} packets for one");
    assert!(drops(&x[0], DropReason::Looping).load(Relaxed) > 0);
}

/// A transfer, a recorder: calls that come back to the relay are no loop.
#[test]
fn media_may_pass_several_calls_in_a_row() {
    let mut world = World::new();
    // Each call's second party is the next call's first port.
    let calls = [30_000u16, 30_004, 30_008, 30_012, 30_016, 30_020, 30_024];
    for (call, port) in (0..).zip(calls) {
        let before = if call == 0 { party(1) } else { local(port - 2) };
        let after = if call == 6 { party(2) } else { local(port + 4) };
        world.call(call, [port, port + 2], [before, after]);
    }
    for sequence in 0..200 {
        world.arrive((party(1), local(30_000), rtp(sequence)));
        world.arrive((party(2), local(30_026), rtp(sequence)));
        world.pass(20);
    }
    let heard = |by| world.heard.iter().filter(|(_, to, _)| *to == by).count();
    assert_eq!((heard(party(1)), heard(party(2))), (200, 200));
}

/// Parties talk, pause, rebind and hang up in any order while strangers spray; whatever comes, no
/// stranger is sent anything, every port comes back, and nothing is left behind.
#[test]
fn strangers_get_nothing_whatever_happens() {
    for seed in 0..40 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut world = World::new();
        let mut parties: Vec<Option<[SocketAddr; 2]>> = vec![None; 6];
        let mut sequence = 0u16;
        for _ in 0..2_000 {
            let number = rng.random_range(0..parties.len());
            let first = 30_000 + 4 * u16::try_from(number).unwrap();
            let ports = [first, first + 2];
            let call = number as u64;
            sequence = sequence.wrapping_add(1);
            match (parties[number], rng.random_range(0..20u8)) {
                (None, 0..4) => {
                    let both = [party(10 + first), party(20 + first)];
                    world.call(call, ports, both);
                    parties[number] = Some(both);
                }
                (Some(_), 0) => {
                    world.hang_up(call, ports);
                    parties[number] = None;
                }
                // A NAT of the party gives it another port.
                (Some(mut both), 1) => {
                    let side = rng.random_range(0..2);
                    both[side].set_port(rng.random_range(40_000..50_000));
                    parties[number] = Some(both);
                }
                (Some(_), 2..5) => {
                    let from = stranger(rng.random_range(1..4));
                    for burst in 0..rng.random_range(1..8) {
                        let to = local(ports[rng.random_range(0..2)]);
                        world.arrive((from, to, rtp(sequence.wrapping_add(burst))));
                    }
                }
                (Some(both), 5..) => {
                    let side = rng.random_range(0..2);
                    world.arrive((both[side], local(ports[side]), rtp(sequence)));
                }
                (None, _) => {}
            }
            world.pass(match rng.random_range(0..50) {
                0 => rng.random_range(0..8_000),
                _ => rng.random_range(0..30),
            });
        }
        let told = world
            .heard
            .iter()
            .find(|(_, to, _)| to.ip() == stranger(0).ip());
        assert_eq!(told, None, "seed {seed}");
        assert!(!world.heard.is_empty());
        for (number, both) in parties.iter().enumerate() {
            let first = 30_000 + 4 * u16::try_from(number).unwrap();
            if both.is_some() {
                world.hang_up(number as u64, [first, first + 2]);
            }
        }
        assert!(world.flows.entries.is_empty() && world.flows.by_call.is_empty());
        assert!(world.flows.sources.is_empty() && world.flows.backend.gates.is_empty());
        // Timers of flows that are gone run out, and then nothing wakes the worker but its turn.
        for _ in 0..10 {
            world.pass(1_000);
        }
        let rest = world.flows.timers.wait(world.now());
        assert!(rest > Duration::from_millis(1_000), "seed {seed}: {rest:?}");
    }
}

/// A gate opens once its source has been silent, not before, and at the second it is due.
#[test]
fn a_gate_opens_after_silence() {
    let mut world = World::new();
    world.call(1, [30_000, 30_002], [party(1), party(2)]);
    // The window of signalling is over after three seconds.
    for sequence in 0..200 {
        world.arrive((party(1), local(30_000), rtp(sequence)));
        world.pass(20);
    }
    let gate = [(local(30_000), party(1))];
    assert_eq!(world.flows.backend.gates, gate);
    // The last packet came 20 ms ago.
    world.pass(39);
    assert_eq!(world.flows.backend.gates, gate);
    // Gates are looked at every 16 ms.
    world.pass(18);
    assert!(world.flows.backend.gates.is_empty());
    // The party's NAT has another port for it: heard and followed after two packets.
    world.heard.clear();
    for sequence in 200..204 {
        world.arrive((party(7), local(30_000), rtp(sequence)));
        world.pass(20);
    }
    assert!(world.heard.len() >= 2);
    world.arrive((party(2), local(30_002), rtp(1)));
    assert_eq!(world.heard.last().map(|(_, to, _)| *to), Some(party(7)));
}

/// What a silent flow costs: nothing.
#[test]
fn silent_flows_set_no_timers() {
    let mut world = World::new();
    for call in 0..500u16 {
        let first = 30_000 + 4 * call;
        world.call(u64::from(call), [first, first + 2], [party(1), party(2)]);
    }
    assert_eq!(
        world.flows.timers.wait(world.now()),
        Duration::from_millis(1024)
    );
}
