//! Streams that move below user space and back, in virtual time: a model of the kernel stands before
//! the ports. What parties hear and what is counted must be as if there were none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use windlass_kernel_assist::flows::{Figures, Order, SourceFigures};

use super::simulation::{World, local, party, stranger};
use super::*;
use crate::dataplane::offload::wish::Wish;
use crate::dataplane::offload::{Below, KernelClock};
use crate::flow::agent::FlowAgent;
use crate::flow::path::{Path, WhyUp};
use crate::flow::{SinkRules, Taps, Withhold};
use crate::media::rtp::RtpHeader;

/// The kernel as its programs are: it forwards what it was told to, and counts it.
#[derive(Debug, Default)]
pub(super) struct Model {
    flows: Mutex<HashMap<SocketAddr, (Wish, Figures)>>,
    /// Flows that are raised but of which a packet is still under way: it is in the last figures.
    raised: Mutex<Vec<(SocketAddr, Figures)>>,
    /// Nothing is forwarded, as if it did not know the neighbours.
    passes_up: AtomicBool,
    /// Why it takes nothing.
    refuses: Mutex<Option<WhyUp>>,
    lowered: AtomicU64,
}

/// Of virtual time, whose start is this in the kernel.
const START_NS: u64 = 5_000_000_000;

impl Model {
    fn flows(&self) -> MutexGuard<'_, HashMap<SocketAddr, (Wish, Figures)>> {
        self.flows.lock().unwrap()
    }

    /// Where a datagram leaves from, and where to; `None`: it is passed up.
    #[expect(clippy::cast_possible_truncation, reason = "numbers and clocks wrap")]
    pub(super) fn forward(
        &self,
        (from, to, data): (SocketAddr, SocketAddr, &[u8]),
        now_ns: u64,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let mut flows = self.flows();
        let (wish, figures) = flows.get_mut(&to)?;
        let header = RtpHeader::parse(data).ok()?;
        let is_rtcp = matches!(data.get(1), Some(192..=223));
        if is_rtcp || !wish.takes(from, header.payload_type) || self.passes_up.load(Relaxed) {
            return None;
        }
        let bytes = data.len() as u64;
        let place = figures.sources.iter().position(|it| it.ssrc == header.ssrc);
        let place = place.unwrap_or_else(|| {
            figures.sources.push(SourceFigures {
                ssrc: header.ssrc,
                ..SourceFigures::default()
            });
            figures.sources.len() - 1
        });
        let source = &mut figures.sources[place];
        let order = source.order.get_or_insert_with(|| Order {
            first: 0x1_0000 + u32::from(header.sequence),
            highest: 0xffff + u32::from(header.sequence),
        });
        let ahead = header.sequence.wrapping_sub(order.highest as u16);
        let behind = 0u16.wrapping_sub(ahead);
        if ahead >= 3000 && behind >= 3000 {
            return None;
        }
        source.packets += 1;
        source.bytes += bytes;
        source.last_ns = now_ns;
        match ahead {
            1..3000 => {
                order.highest += u32::from(ahead);
                let units = (now_ns / 125_000) as u32;
                source.transit = Some(units.wrapping_sub(header.timestamp));
            }
            _ => source.late += 1,
        }
        figures.packets += 1;
        figures.bytes += bytes;
        figures.last_ns = now_ns;
        Some((wish.from, wish.to))
    }
}

impl Below for Model {
    fn lower(&self, wish: &Wish, sources: &[SourceFigures], _: Instant) -> Result<Path, WhyUp> {
        if let Some(why) = *self.refuses.lock().unwrap() {
            return Err(why);
        }
        let figures = Figures {
            sources: sources.to_vec(),
            ..Figures::default()
        };
        let before = self.flows().insert(wish.local, (*wish, figures));
        assert!(before.is_none(), "{} is lowered twice", wish.local);
        self.lowered.fetch_add(1, Relaxed);
        Ok(Path::Tc)
    }

    fn read(&self, local: SocketAddr) -> Option<Figures> {
        self.flows().get(&local).map(|(_, figures)| figures.clone())
    }

    fn check(&self, _: &Wish, _: Instant) -> Result<(), WhyUp> {
        Ok(())
    }

    fn raise(&self, local: SocketAddr) -> Option<Figures> {
        let (_, figures) = self.flows().remove(&local)?;
        self.raised.lock().unwrap().push((local, figures.clone()));
        Some(figures)
    }
}

impl World {
    /// With the kernel below.
    fn with_kernel() -> (Self, Arc<Model>) {
        let mut world = Self::new();
        let model = Arc::<Model>::default();
        let clock = KernelClock::new(world.start, START_NS);
        world.flows.offloading = Some(Offloading::new(model.clone(), clock));
        world.below = Some(model.clone());
        (world, model)
    }

    pub(super) fn now_ns(&self) -> u64 {
        START_NS + self.ms * 1_000_000
    }

    /// Both parties of the one call say this many packets, one every 20 ms.
    fn talk(&mut self, sequence: &mut u16, packets: u16) {
        for _ in 0..packets {
            self.say(0, *sequence);
            self.say(1, *sequence);
            *sequence = sequence.wrapping_add(1);
            self.pass(20);
        }
    }

    /// One party says a packet.
    fn say(&mut self, side: u16, sequence: u16) {
        let packet = speech(side, sequence);
        self.arrive((party(1 + side), local(PORTS[usize::from(side)]), packet));
    }

    fn settle(&mut self, model: &Model) {
        let last = std::mem::take(&mut *model.raised.lock().unwrap());
        self.flows.take_in_last(&last);
    }

    /// Signalling changes the first flow.
    fn change(&mut self, alter: impl FnOnce(&mut FlowSpec)) {
        let mut spec = self.spec(PORTS[0], PORTS[1], party(1));
        spec.peer.signalled_at = self.start;
        alter(&mut spec);
        let plan = Plan {
            call: 1,
            worker: 0,
            changes: vec![FlowChange::Change(spec)],
            agents: None,
        };
        let now = self.now();
        self.flows.apply(plan, Vec::new(), now).unwrap();
    }

    /// What a party was sent, by its number.
    fn heard_by(&self, side: u16) -> usize {
        let to = party(1 + side);
        self.heard
            .iter()
            .filter(|(_, heard, _)| *heard == to)
            .count()
    }
}

const PORTS: [u16; 2] = [30_000, 30_002];

/// PCMA of a party.
fn speech(side: u16, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([7, 7, 7, u8::try_from(side).unwrap()]);
    packet.extend([0x55; 160]);
    packet
}

fn set_up(world: &mut World) -> [Arc<FlowStats>; 2] {
    world.call(1, PORTS, [party(1), party(2)])
}

/// Packets until both directions are below: the window of signalling, and the trial.
const UNTIL_LOWERED: u16 = 260;

fn received(stats: &FlowStats) -> [u64; 4] {
    let first = stats.ssrcs.slot(0).unwrap();
    [
        stats.packets_in.load(Relaxed),
        first.packets.load(Relaxed),
        first.lost.load(Relaxed),
        first.duplicates.load(Relaxed),
    ]
}

fn why(stats: &FlowStats) -> Option<WhyUp> {
    stats.path.get().why_up()
}

#[test]
fn a_settled_stream_goes_down_and_everything_is_counted() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    assert_eq!(why(&stats[0]), Some(WhyUp::Learning));
    let mut sequence = 65_300;
    world.talk(&mut sequence, 150);
    assert!(model.flows().is_empty(), "within the window of signalling");
    world.talk(&mut sequence, UNTIL_LOWERED - 150);
    assert_eq!(model.flows().len(), 2);
    assert_eq!(stats[0].path.get(), Path::Tc);
    let user = stats[0].packets_in.load(Relaxed) - stats[0].received_below()[0];
    world.talk(&mut sequence, 1000);
    // As for a query: no timer is due.
    let now = world.now();
    world.flows.catch_up(1, now);
    for side in 0..2 {
        let all = u64::from(UNTIL_LOWERED) + 1000;
        assert_eq!(received(&stats[side]), [all, all, 0, 0]);
        assert_eq!(stats[side].bytes_in.load(Relaxed), all * 172);
        let out = &stats[1 - side];
        assert_eq!(out.packets_out.load(Relaxed), all);
        assert_eq!(out.bytes_out.load(Relaxed), all * 172);
        let (first, sent) = (
            stats[side].ssrcs.slot(0).unwrap(),
            out.sent.slot(0).unwrap(),
        );
        assert_eq!(sent.packets.load(Relaxed), all);
        let last = u32::from(sequence.wrapping_sub(1)) * 160;
        assert_eq!(first.last_timestamp.load(Relaxed), last);
        assert_eq!(sent.last_timestamp.load(Relaxed), last);
        let highest = 65_300 + u32::try_from(all).unwrap() - 1;
        assert_eq!(first.last_sequence.load(Relaxed), highest);
        assert_eq!(sent.last_sequence.load(Relaxed), highest);
        assert_eq!(
            world.heard_by(u16::try_from(side).unwrap()),
            usize::try_from(all).unwrap()
        );
    }
    let seen = stats[0].packets_in.load(Relaxed) - stats[0].received_below()[0];
    assert_eq!(seen, user, "the worker saw a packet");
}

/// What the media time-out asks.
#[test]
fn what_the_kernel_hears_keeps_a_call_alive() {
    let (mut world, _model) = World::with_kernel();
    let stats = set_up(&mut world);
    let mut sequence = 0;
    for _ in 0..20 {
        world.talk(&mut sequence, 50);
        let last = stats[0].last_packet_ms.load(Relaxed);
        let age = world.ms.saturating_sub(last);
        assert!(age < 120, "{age} ms at {}", world.ms);
    }
    let [kernel, user] = stats[0].last_packets_ms();
    assert!(kernel > world.ms - 120 && user < 6_000, "{kernel} {user}");
}

#[test]
fn lost_late_and_double_packets_are_counted_below() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    // 2 is lost, 5 comes before 4, 7 twice.
    for step in [0, 1, 3, 5, 4, 6, 7, 7, 8] {
        world.say(0, sequence + step);
        world.pass(20);
    }
    world.pass(1000);
    assert_eq!(model.flows().len(), 2);
    let all = u64::from(UNTIL_LOWERED) + 9;
    assert_eq!(received(&stats[0])[..2], [all, all]);
    let source = stats[0].ssrcs.slot(0).unwrap();
    // One of the two that were not in order fills the gap: nobody keeps their numbers.
    let [lost, twice, late] =
        [&source.lost, &source.duplicates, &source.reordered].map(|count| count.load(Relaxed));
    assert_eq!(lost + late, 2 + twice, "{lost} {twice} {late}");
}

/// Every reason why something has to see the packets.
#[test]
fn who_is_looked_at_stays_up() {
    type Alter = fn(&mut FlowSpec);
    let cases: [(Alter, WhyUp); 9] = [
        (|spec| spec.payload = Payload::Opaque, WhyUp::NoRtp),
        (|spec| spec.security = Security::Awaited, WhyUp::Secured),
        (
            |spec| {
                spec.agent = Some(FlowAgent {
                    number: Default::default(),
                    hears_all: false,
                });
            },
            WhyUp::Agent,
        ),
        (|spec| spec.receive = false, WhyUp::Held),
        (|spec| spec.discard = true, WhyUp::Held),
        (
            |spec| {
                spec.taps = Some(Box::new(Taps {
                    recording: Some(1),
                    events: None,
                }));
            },
            WhyUp::Recorded,
        ),
        (
            |spec| {
                spec.guards = Guards {
                    loops: true,
                    short: false,
                };
            },
            WhyUp::Guarded,
        ),
        (
            |spec| {
                spec.sinks[0].rules = Some(Box::new(SinkRules {
                    withhold: Withhold {
                        drop_media: true,
                        ..Withhold::default()
                    },
                    ..SinkRules::default()
                }));
            },
            WhyUp::Rules,
        ),
        (|spec| spec.sinks.push(spec.sinks[0].clone()), WhyUp::Rules),
    ];
    for (alter, expected) in cases {
        let (mut world, model) = World::with_kernel();
        let stats = set_up(&mut world);
        let mut sequence = 0;
        world.talk(&mut sequence, UNTIL_LOWERED);
        assert_eq!(model.flows().len(), 2);
        world.change(alter);
        assert!(model.flows().is_empty(), "{expected}: it is below");
        assert_eq!(why(&stats[0]), Some(WhyUp::Signalled));
        world.talk(&mut sequence, 500);
        assert!(!model.flows().contains_key(&local(PORTS[0])), "{expected}");
        assert_eq!(why(&stats[0]), Some(expected));
        // And back.
        world.change(|_| {});
        world.talk(&mut sequence, UNTIL_LOWERED);
        let is_below = model.flows().contains_key(&local(PORTS[0]));
        assert!(is_below, "{expected}: {:?}", why(&stats[0]));
    }
}

/// Digits are watched for by their payload type: they come up, and nothing else.
#[test]
fn watched_digits_come_up_and_audio_stays_below() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    world.change(|spec| {
        let mut events = PayloadTypes::default();
        events.insert(101);
        if let Payload::Rtp { types, .. } = &mut spec.payload {
            types.insert(101);
        }
        spec.taps = Some(Box::new(Taps {
            recording: None,
            events: Some(events),
        }));
    });
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    assert_eq!(model.flows().len(), 2);
    world.heard.clear();
    for round in 0..6 {
        for part in 0..3u8 {
            let mut event = speech(0, sequence);
            event.truncate(12);
            event[1] = 101;
            event.extend([5, if part == 2 { 0x80 } else { 0 }, 1, 64]);
            world.arrive((party(1), local(PORTS[0]), event));
            sequence += 1;
            world.pass(20);
        }
        world.talk(&mut sequence, 25);
        assert_eq!(model.flows().len(), 2, "round {round}");
    }
    world.pass(1000);
    let all = u64::from(sequence);
    assert_eq!(received(&stats[0]), [all, all, 0, 0]);
    assert_eq!(world.heard_by(1), 6 * 28);
}

/// Row 2 of security: only the settled source passes, and a stranger's packets are judged with what
/// the kernel has heard.
#[test]
fn a_stranger_is_not_heard_while_the_source_speaks_below() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    world.heard.clear();
    let rivals = [stranger(1), party(9)];
    for step in 0..400 {
        // The same SSRC, and numbers that go on.
        for rival in rivals {
            world.arrive((rival, local(PORTS[0]), speech(0, sequence + 1)));
        }
        world.talk(&mut sequence, 1);
        assert_eq!(model.flows().len(), 2, "packet {step}");
    }
    assert_eq!((world.heard_by(0), world.heard_by(1)), (400, 400));
    assert_eq!(world.heard.len(), 800);
    assert_eq!(received(&stats[0])[2..], [0, 0]);
}

/// The same with a gate that is open: what is said of the stranger brings nothing up.
#[test]
fn a_stranger_brings_no_stream_up() {
    let (mut world, model) = World::with_kernel();
    world.is_gated = false;
    set_up(&mut world);
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    world.heard.clear();
    for step in 0..400 {
        for rival in [stranger(1), party(9)] {
            world.arrive((rival, local(PORTS[0]), speech(0, sequence + 1)));
        }
        world.talk(&mut sequence, 1);
        assert_eq!(model.flows().len(), 2, "packet {step}");
    }
    assert_eq!((world.heard_by(0), world.heard_by(1)), (400, 400));
    assert_eq!(world.heard.len(), 800);
}

/// A NAT of the party gives it another port: it is heard as soon as without the kernel, and what went
/// to the old port follows.
#[test]
fn a_source_that_moves_brings_its_call_up() {
    let (mut world, model) = World::with_kernel();
    set_up(&mut world);
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    world.heard.clear();
    for _ in 0..8 {
        world.arrive((party(9), local(PORTS[0]), speech(0, sequence)));
        world.say(1, sequence);
        sequence += 1;
        world.pass(20);
    }
    assert!(model.flows().is_empty());
    let to = |to: SocketAddr| world.heard.iter().filter(|(_, it, _)| *it == to).count();
    assert!(to(party(2)) >= 3, "{}", to(party(2)));
    assert!(to(party(9)) >= 2, "{}", to(party(9)));
    // It settles there, and is below again.
    for _ in 0..500 {
        world.arrive((party(9), local(PORTS[0]), speech(0, sequence)));
        world.say(1, sequence);
        sequence += 1;
        world.pass(20);
    }
    assert_eq!(model.flows().len(), 2);
    assert_eq!(model.flows()[&local(PORTS[0])].0.source, party(9));
    assert_eq!(model.flows()[&local(PORTS[1])].0.to, party(9));
}

/// Turns of a worker, which sleeps until a timer is due, while parties speak below for so long.
fn turns(world: &mut World, sequence: &mut u16, calls: u16, seconds: u64) -> u32 {
    let mut turns = 0;
    for ms in 0..1000 * seconds {
        if ms % 20 == 0 {
            for call in 0..calls {
                for side in 0..2 {
                    let from = party(10 * call + 1 + side);
                    let to = local(PORTS[0] + 4 * call + 2 * side);
                    world.arrive((from, to, speech(side, *sequence)));
                }
            }
            *sequence = sequence.wrapping_add(1);
        }
        world.ms += 1;
        let now = world.now();
        if world.flows.timers.wait(now).is_zero() {
            world.flows.handle_timers(now);
            turns += 1;
        }
    }
    turns
}

/// What the kernel forwards costs its worker no turn for a packet, a gate, or a flow.
#[test]
fn a_worker_sleeps_while_streams_are_below() {
    const CALLS: u16 = 20;
    let (mut world, model) = World::with_kernel();
    world.flows.backend.tells = true;
    let mut sequence = 0;
    for call in 0..CALLS {
        let ports = [PORTS[0] + 4 * call, PORTS[0] + 4 * call + 2];
        let parties = [party(10 * call + 1), party(10 * call + 2)];
        world.call(u64::from(call), ports, parties);
        turns(&mut world, &mut sequence, call + 1, 0);
        world.pass(7);
    }
    turns(&mut world, &mut sequence, CALLS, 7);
    assert_eq!(model.flows().len(), usize::from(2 * CALLS));
    assert_eq!(world.flows.backend.gates.len(), usize::from(2 * CALLS));
    let turns = turns(&mut world, &mut sequence, CALLS, 4);
    assert!(turns <= 4 * 17, "{turns} turns in 4 s");
    // All of them are below, and their gates are shut.
    assert_eq!(model.flows().len(), usize::from(2 * CALLS));
    assert_eq!(world.flows.backend.gates.len(), usize::from(2 * CALLS));
}

/// A gate that says who was kept out opens for that, and only if the source is silent.
#[test]
fn a_source_that_moves_is_heard_through_a_gate_that_waits_for_knocks() {
    let (mut world, model) = World::with_kernel();
    world.flows.backend.tells = true;
    let stats = set_up(&mut world);
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    for _ in 0..200 {
        world.arrive((stranger(1), local(PORTS[0]), speech(0, sequence + 1)));
        world.talk(&mut sequence, 1);
    }
    assert_eq!(model.flows().len(), 2);
    assert_eq!(world.flows.backend.gates.len(), 2, "the source speaks");
    let drops = drops(&stats[0], DropReason::UnexpectedSource);
    assert!(drops.load(Relaxed) >= 190, "{}", drops.load(Relaxed));
    world.heard.clear();
    let before = world.ms;
    while world.heard_by(1) == 0 {
        assert!(world.ms < before + 400, "the party is not heard any more");
        world.arrive((party(9), local(PORTS[0]), speech(0, sequence)));
        world.say(1, sequence);
        sequence += 1;
        world.pass(20);
    }
    assert!(model.flows().is_empty());
}

#[test]
fn silence_brings_a_stream_up_and_speech_down_again() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    // A pause of a talker is none.
    world.pass(500);
    world.pass(2000);
    assert_eq!(model.flows().len(), 2);
    for _ in 0..4 {
        world.pass(1000);
    }
    assert!(model.flows().is_empty());
    assert_eq!(why(&stats[0]), Some(WhyUp::Silent));
    for _ in 0..10 {
        world.pass(1000);
    }
    world.talk(&mut sequence, 250);
    assert_eq!(model.flows().len(), 2);
    let all = u64::from(sequence);
    world.pass(1000);
    assert_eq!(received(&stats[0]), [all, all, 0, 0]);
}

#[test]
fn what_the_kernel_does_not_take_comes_back_for_longer_each_time() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    let mut sequence = 0;
    model.passes_up.store(true, Relaxed);
    world.talk(&mut sequence, 3000);
    // A minute: after 1, 2, 4, 8, 16 and 32 s at most, of each direction.
    let lowered = model.lowered.load(Relaxed);
    assert!((8..=12).contains(&lowered), "{lowered}");
    let all = u64::from(sequence);
    assert_eq!(received(&stats[0]), [all, all, 0, 0]);
    assert_eq!(world.heard_by(1), usize::from(sequence));
}

#[test]
fn a_kernel_without_room_leaves_a_working_call() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    *model.refuses.lock().unwrap() = Some(WhyUp::Full);
    let mut sequence = 0;
    world.talk(&mut sequence, 600);
    assert_eq!(received(&stats[0]), [600, 600, 0, 0]);
    assert_eq!((world.heard_by(0), world.heard_by(1)), (600, 600));
    let why = why(&stats[0]).unwrap();
    assert!(matches!(why, WhyUp::Full | WhyUp::Trial), "{why}");
}

/// A source that begins anew, and one that appears, are looked at before they go down.
#[test]
fn another_source_comes_up_first() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    for step in 0..100 {
        let mut packet = speech(0, step);
        packet[11] = 0x99;
        world.arrive((party(1), local(PORTS[0]), packet));
        world.pass(20);
    }
    let second = stats[0].ssrcs.slot(1).unwrap();
    assert_eq!(second.packets.load(Relaxed), 100);
    assert_eq!(second.payload_type.load(Relaxed), 8);
    assert_eq!(
        (second.lost.load(Relaxed), second.duplicates.load(Relaxed)),
        (0, 0)
    );
    world.talk(&mut sequence, 500);
    assert_eq!(model.flows().len(), 2);
    // 20,000 numbers further.
    sequence += 20_000;
    world.talk(&mut sequence, 1000);
    assert_eq!(model.flows().len(), 2);
    world.pass(1000);
    assert_eq!(received(&stats[0])[2..], [0, 0]);
}

/// Packets that a CPU was busy with when their flow was raised are in its last figures.
#[test]
fn the_last_figures_count() {
    let (mut world, model) = World::with_kernel();
    let stats = set_up(&mut world);
    let mut sequence = 0;
    world.talk(&mut sequence, UNTIL_LOWERED);
    world.change(|_| {});
    let under_way = |model: &Model, sequence: u16| {
        let mut raised = model.raised.lock().unwrap();
        for (_, figures) in raised.iter_mut() {
            figures.packets += 1;
            figures.bytes += 172;
            let source = &mut figures.sources[0];
            source.packets += 1;
            source.bytes += 172;
            source.last_ns += 1;
            source.order.as_mut().unwrap().highest = 0x1_0000 + u32::from(sequence);
        }
    };
    under_way(&model, sequence);
    sequence += 1;
    world.talk(&mut sequence, 1);
    assert_eq!(
        received(&stats[0])[2],
        1,
        "it is missing as long as nobody has counted it"
    );
    world.settle(&model);
    let all = u64::from(sequence);
    assert_eq!(received(&stats[0]), [all, all, 0, 0]);
    // The same when the flow is gone.
    world.talk(&mut sequence, UNTIL_LOWERED);
    assert_eq!(model.flows().len(), 2);
    world.hang_up(1, PORTS);
    under_way(&model, sequence);
    world.settle(&model);
    let all = all + u64::from(UNTIL_LOWERED) + 1;
    assert_eq!(received(&stats[0]), [all, all, 0, 0]);
    assert_eq!(stats[1].packets_out.load(Relaxed), all);
}

/// Whatever happens, in any order, what parties hear and what is counted is as without the kernel.
#[test]
fn the_kernel_makes_no_difference() {
    for seed in 0..30 {
        let outcome = |has_kernel: bool| {
            let (mut world, model) = World::with_kernel();
            if !has_kernel {
                world.flows.offloading = None;
            }
            // When a gate opens depends on when it was shut.
            world.is_gated = false;
            let stats = set_up(&mut world);
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut numbers = [100u16, 60_000];
            let mut sources = [party(1), party(2)];
            for _ in 0..3_000 {
                match rng.random_range(0..1500) {
                    0 => world.change(|_| {}),
                    1 => world.change(|spec| spec.receive = false),
                    2 => {
                        let side = rng.random_range(0..2usize);
                        // A stranger, with what is to be had of a stream.
                        let packet = speech(u16::try_from(side).unwrap(), numbers[side] + 1);
                        world.arrive((stranger(1), local(PORTS[side]), packet));
                    }
                    3 => {
                        let side = rng.random_range(0..2usize);
                        sources[side] = party(rng.random_range(100..200));
                    }
                    4 => {
                        for _ in 0..rng.random_range(1..300) {
                            world.pass(20);
                        }
                    }
                    _ => {}
                }
                for side in 0..2usize {
                    let packet = speech(u16::try_from(side).unwrap(), numbers[side]);
                    numbers[side] = numbers[side].wrapping_add(1);
                    world.arrive((sources[side], local(PORTS[side]), packet));
                }
                world.pass(20);
                world.settle(&model);
            }
            world.pass(1000);
            if has_kernel {
                assert!(model.lowered.load(Relaxed) > 0, "seed {seed}: never below");
            }
            let counted = [0, 1].map(|side: usize| {
                (
                    received(&stats[side]),
                    stats[side].packets_out.load(Relaxed),
                    stats[side].errors_in.load(Relaxed),
                )
            });
            (world.heard, counted)
        };
        let (heard, counted) = outcome(true);
        let (heard_without, counted_without) = outcome(false);
        assert_eq!(counted, counted_without, "seed {seed}");
        assert_eq!(heard.len(), heard_without.len(), "seed {seed}");
        assert!(heard == heard_without, "seed {seed}");
    }
}
