//! A flow as its worker holds it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::audio::converter::Converter;
use super::elsewhere::Elsewhere;
use super::guard::Guard;
use super::hops::{Hop, Hops};
use super::offload::descent::Descent;
use super::tap::PacketTap;
use super::timers::Pending;
use crate::flow::agent::FlowAgent;
use crate::flow::bundle::Bundle;
use crate::flow::lines::Lines;
use crate::flow::outgoing::{Event as DigitEvent, Last, Passage};
use crate::flow::outgoing_digits::{Fate, Replacement, Step};
use crate::flow::port::PortLease;
use crate::flow::secure::Security;
use crate::flow::state::{FlowState, LeasedFlow, ServiceState};
use crate::flow::stats::{DropReason, FlowStats, PeerView, SsrcStats};
use crate::flow::{FlowSpec, Guards, Payload, Sink, Taps};
use crate::limits::{FOLLOW_RUN, SSRCS_PER_FLOW};
use crate::media::dtmf::{Detector, Pressed};
use crate::media::latch::{Event, Latch};
use crate::media::quality::Reception;
use crate::media::report::Sources;
use crate::media::rtp::{self, Received, RtpHeader};

/// A port that could not be bound to its peer is tried again after this time.
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// One flow in force, in the order in which packets ask.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Entry<P> {
    pub(super) stats: Arc<FlowStats>,
    /// What few flows have.
    pub(super) services: Option<Box<Services>>,
    // What a packet out asks beside these.
    /// Where datagrams for the party go: the latch's answer, kept.
    pub(super) destination: Option<SocketAddr>,
    /// The port, until it goes back into its lease.
    pub(super) port: P,
    /// The media port of the relay itself that is the destination.
    pub(super) hop_out: Option<Arc<Hop>>,
    // What a packet in asks.
    pub(super) receive: bool,
    pub(super) discard: bool,
    /// The port is bound to its peer.
    pub(super) is_bound: bool,
    /// The kernel forwards its RTP; what comes up is the rest.
    pub(super) is_lowered: bool,
    /// Its gate opens when somebody knocks.
    pub(super) awaits_knock: bool,
    /// It is looked at once a second, whether the kernel may have it.
    pub(super) is_watched: bool,
    /// The timers that are set for the flow.
    pub(super) pending: Pending,
    /// Tells it from earlier flows in its place.
    pub(super) generation: u32,
    /// Where packets go as they are.
    pub(super) plain: Plain,
    pub(super) taps: Option<Box<Taps>>,
    /// Media that the relay sends to the port itself, and the table's version when that was found.
    hop_in: Option<Arc<Hop>>,
    hops_seen: u32,
    pub(super) payload: Payload,
    pub(super) security: Security,
    /// When the last packet was accepted.
    pub(super) last_at: Instant,
    pub(super) latch: Latch,
    /// Who takes STUN and DTLS.
    pub(super) agent: Option<FlowAgent>,
    /// Media that is not from where media goes.
    pub(super) elsewhere: Elsewhere,
    /// Reception per source, at most [`SSRCS_PER_FLOW`]; position as in the counters.
    pub(super) receptions: SmallVec<[Reception; 1]>,
    // The rest.
    /// The entry of the RTP flow of the same stream.
    pub(super) sibling: Option<usize>,
    pub(super) call: u64,
    /// The entries that the sinks mean, by position.
    pub(super) targets: Vec<Option<usize>>,
    /// Sinks as they were told.
    pub(super) sinks: Vec<Sink>,
    pub(super) lease: PortLease,
    sibling_local: Option<SocketAddr>,
    /// Its way into the kernel, made with its first RTP packet.
    pub(super) descent: Option<Box<Descent>>,
    /// When binding the port to its peer failed last.
    pub(super) not_bound_at: Option<Instant>,
    tos: Option<u8>,
    nat_wait: bool,
    pierces_nat: bool,
}

/// The entries that packets go to as they are: of the one sink of their kind, if it has no rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Plain {
    rtp: Place,
    rtcp: Place,
}

/// The place of an entry, or none, in four bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place(Option<NonZeroU32>);

impl From<Option<usize>> for Place {
    fn from(place: Option<usize>) -> Self {
        // A worker has room for fewer flows; one beyond that goes the long way.
        let place = place.and_then(|place| u32::try_from(place).ok()?.checked_add(1));
        Self(place.and_then(NonZeroU32::new))
    }
}

impl Place {
    fn get(self) -> Option<usize> {
        usize::try_from(self.0?.get() - 1).ok()
    }
}

impl Plain {
    fn new(sinks: &[Sink], targets: &[Option<usize>]) -> Self {
        let of = |is_rtcp| {
            let both = sinks.iter().zip(targets);
            let mut takers = both.filter(|(sink, _)| sink.carries.takes(is_rtcp));
            match (takers.next(), takers.next()) {
                (Some((sink, target)), None) if sink.rules.is_none() => *target,
                _ => None,
            }
        };
        Self {
            rtp: of(false).into(),
            rtcp: of(true).into(),
        }
    }

    pub(super) fn of(self, is_rtcp: bool) -> Option<usize> {
        if is_rtcp { self.rtcp } else { self.rtp }.get()
    }
}

/// State that few flows have.
#[derive(Debug, Default)]
pub(super) struct Services {
    /// Tap of a recording.
    pub(super) recording: Option<Box<dyn PacketTap>>,
    /// What is refused of what arrives.
    pub(super) guard: Option<Box<Guard>>,
    /// What becomes of the audio at sinks: one for each that converts.
    pub(super) converters: Vec<Converter>,
    /// When the next of them is looked at.
    pub(super) audio_at: Option<Instant>,
    /// What goes with the port when the flow is taken out.
    pub(super) state: Box<ServiceState>,
}

/// Edits of packets at the port that they leave from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    sequence: u16,
    replacement: Option<Replacement>,
    /// A digit of our own goes in its place.
    event: Option<DigitEvent>,
}

impl Edit {
    /// Whether the packet goes as it is.
    pub(super) fn is_none(&self, header: &RtpHeader) -> bool {
        self.replacement.is_none() && self.event.is_none() && self.sequence == header.sequence
    }

    /// Packets that follow as copies, with the next numbers.
    pub(super) fn copies(&self) -> u16 {
        self.event.map_or(0, |event| event.copies())
    }

    /// Changes a copy of the packet.
    pub(super) fn apply(&self, header: &RtpHeader, packet: &mut Vec<u8>) {
        if let Some(event) = &self.event {
            return event.apply(header.payload_at, packet);
        }
        rtp::set_sequence(packet, self.sequence);
        if let Some(replacement) = &self.replacement {
            replacement.apply(header, packet);
        }
    }
}

impl Services {
    /// Edits an RTP packet that is to leave from the port; `None` if it is withheld.
    pub(super) fn edit(
        &mut self,
        step: Step,
        header: &RtpHeader,
        packet: &[u8],
        now: Instant,
    ) -> Option<Edit> {
        let payload = packet.get(header.payload_at..).unwrap_or_default();
        let fate = self.state.digits.on_packet(step, header, payload);
        let is_event = matches!(step, Step::Event(..));
        let mut edit = match self
            .state
            .outgoing
            .on_packet(header, is_event, payload, now)
        {
            Passage::Late => return None,
            Passage::Event(event) => {
                return Some(Edit {
                    sequence: header.sequence,
                    replacement: None,
                    event: Some(event),
                });
            }
            Passage::Numbered(sequence) => Edit {
                sequence,
                replacement: None,
                event: None,
            },
        };
        match fate {
            Fate::Pass => {}
            Fate::Replace(replacement) => edit.replacement = Some(replacement),
            Fate::Withhold => return None,
            Fate::Skip => {
                self.state.outgoing.skip(header);
                return None;
            }
        }
        self.state.outgoing.went(header, edit.sequence);
        Some(edit)
    }

    /// The edit of an RTP packet that was made here, and is to leave from the port: its digits are as
    /// they are to be. `None` if it is withheld.
    pub(super) fn number(
        &mut self,
        header: &RtpHeader,
        is_event: bool,
        payload: &[u8],
        now: Instant,
    ) -> Option<Edit> {
        let outgoing = &mut self.state.outgoing;
        match outgoing.on_packet(header, is_event, payload, now) {
            Passage::Late => None,
            Passage::Event(event) => Some(Edit {
                sequence: header.sequence,
                replacement: None,
                event: Some(event),
            }),
            Passage::Numbered(sequence) => {
                outgoing.went(header, sequence);
                Some(Edit {
                    sequence,
                    replacement: None,
                    event: None,
                })
            }
        }
    }
}

impl<P> Entry<P> {
    /// A flow on a port that was taken out of its lease, with what was learned on it before.
    pub(super) fn new(
        spec: FlowSpec,
        (port, flow): (P, LeasedFlow),
        (call, generation): (u64, u32),
        hops: &Hops,
        now: Instant,
    ) -> Self {
        let LeasedFlow { lease, state } = flow;
        let mut entry = Self {
            stats: lease.stats().clone(),
            services: None,
            taps: spec.taps,
            destination: None,
            last_at: spec.peer.signalled_at,
            port,
            receive: spec.receive,
            discard: spec.discard,
            is_bound: false,
            is_lowered: false,
            awaits_knock: false,
            is_watched: false,
            pending: Pending::default(),
            generation,
            sibling: None,
            plain: Plain::default(),
            hop_in: None,
            hops_seen: 0,
            hop_out: None,
            payload: spec.payload,
            security: spec.security,
            agent: spec.agent,
            elsewhere: Elsewhere::default(),
            receptions: SmallVec::new(),
            nat_wait: spec.peer.nat_wait,
            pierces_nat: spec.peer.pierce_nat,
            latch: Latch::new(spec.peer),
            call,
            targets: Vec::new(),
            sinks: spec.sinks,
            lease,
            sibling_local: spec.rtp_sibling,
            descent: None,
            not_bound_at: None,
            tos: spec.tos,
        };
        entry.set_guards(spec.guards);
        if let Some(state) = state {
            entry.go_on(*state, now);
        }
        entry.set_bundle(spec.bundle);
        entry.publish_peer(hops);
        entry
    }

    /// Goes on with what was learned. What signalling says of the party may have changed meanwhile.
    fn go_on(&mut self, state: FlowState, now: Instant) {
        let peer = self.latch.peer().clone();
        self.latch = state.latch;
        self.latch.update(peer, now);
        self.last_at = state.last_at;
        self.receptions = state.receptions;
        if let Some(state) = state.services {
            self.services.get_or_insert_default().state = state;
        }
    }

    /// Takes the flow apart: its port for the backend, and the rest with what was learned.
    /// `sources` are those of its call.
    pub(super) fn into_leased(self, sources: &mut Sources) -> (P, LeasedFlow) {
        let state = FlowState {
            sources: sources.take(self.receptions.iter().map(|reception| reception.ssrc)),
            latch: self.latch,
            last_at: self.last_at,
            receptions: self.receptions,
            services: self.services.map(|mut services| {
                let converters = services.converters.iter();
                services.state.conversions = converters.filter_map(Converter::save).collect();
                services.state
            }),
        };
        let flow = LeasedFlow {
            lease: self.lease,
            state: Some(Box::new(state)),
        };
        (self.port, flow)
    }

    /// Takes a new description; what was learned stays as the latch says. Gives back a TOS that
    /// is to be set.
    pub(super) fn change(&mut self, spec: FlowSpec, hops: &Hops, now: Instant) -> Option<u8> {
        self.set_guards(spec.guards);
        self.set_bundle(spec.bundle);
        self.nat_wait = spec.peer.nat_wait;
        self.pierces_nat = spec.peer.pierce_nat;
        self.latch.update(spec.peer, now);
        self.taps = spec.taps;
        self.payload = spec.payload;
        self.security = spec.security;
        self.agent = spec.agent;
        self.receive = spec.receive;
        self.discard = spec.discard;
        self.sinks = spec.sinks;
        self.sibling_local = spec.rtp_sibling;
        self.publish_peer(hops);
        let before = std::mem::replace(&mut self.tos, spec.tos);
        spec.tos.filter(|_| before != spec.tos)
    }

    /// Reads what a packet in asks of the entry itself.
    pub(super) fn warm(&self) -> u64 {
        let first = self.plain.of(false).unwrap_or_default() as u64;
        let reception = self.receptions.first();
        first ^ u64::from(self.generation) ^ reception.map_or(0, |known| u64::from(known.ssrc))
    }

    /// Reads the counters of what comes in.
    pub(super) fn warm_counters(&self) -> u64 {
        let last = self
            .stats
            .ssrcs
            .slot(0)
            .map_or(0, |it| it.payload_type.load(Relaxed));
        self.stats.packets_in.load(Relaxed) ^ u64::from(last)
    }

    /// Reads what a packet out asks of the entry itself.
    pub(super) fn warm_way_out(&self) -> u64 {
        self.destination.map_or(0, |to| u64::from(to.port())) ^ u64::from(self.generation)
    }

    /// Reads the counters of what goes out.
    pub(super) fn warm_counters_out(&self) -> u64 {
        let first = self
            .stats
            .sent
            .slot(0)
            .map_or(0, |it| it.ssrc.load(Relaxed));
        self.stats.packets_out.load(Relaxed) ^ u64::from(first)
    }

    /// Whether the port is for RTCP alone.
    pub(super) fn is_for_rtcp(&self) -> bool {
        self.sibling_local.is_some()
    }

    pub(super) fn tos(&self) -> Option<u8> {
        self.tos
    }

    /// Finds the entries that sinks and sibling mean.
    pub(super) fn resolve(&mut self, find: impl Fn(SocketAddr) -> Option<usize>) {
        self.targets.clear();
        self.targets.reserve_exact(self.sinks.len());
        let targets = self.sinks.iter().map(|sink| find(sink.via));
        self.targets.extend(targets);
        self.plain = Plain::new(&self.sinks, &self.targets);
        self.sibling = self.sibling_local.and_then(find);
    }

    /// Whether the port may be bound to its peer: what failed is not tried for every packet.
    pub(super) fn may_bind(&self, now: Instant) -> bool {
        let hears_all = self.agent.is_some_and(|agent| agent.hears_all);
        let failed = self.not_bound_at;
        !hears_all && failed.is_none_or(|at| now.saturating_duration_since(at) >= BIND_AGAIN)
    }

    /// Current allowed destination of datagrams for the party.
    pub(super) fn wanted_destination(&self) -> Option<SocketAddr> {
        let is_awaited = self.nat_wait && !self.latch.has_heard_party();
        self.latch.destination().filter(|_| !is_awaited)
    }

    /// Where the party is heard, and where media for it goes.
    pub(super) fn party(&self) -> [Option<SocketAddr>; 2] {
        [self.latch.learned(), self.destination]
    }

    /// Destination of a dummy packet that opens the party's NAT.
    pub(super) fn pierced(&self) -> Option<SocketAddr> {
        let is_wanted = self.pierces_nat && !self.latch.has_heard_party();
        self.latch.destination().filter(|_| is_wanted)
    }

    /// The latch may have learned something: makes it visible.
    pub(super) fn publish_peer(&mut self, hops: &Hops) {
        self.destination = self.wanted_destination();
        let reach = &self.latch.peer().reach;
        let own = self.destination.and_then(|to| reach.own_port(to));
        self.hop_out = own.map(|port| hops.of(port));
        let view = PeerView {
            destination: self.destination,
            learned: self.latch.learned(),
            settled: self.latch.is_settled(),
        };
        let mut peer = self
            .stats
            .peer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *peer = view;
    }

    /// Whether the agent is to know that media comes from another pair than that in use. The packet
    /// was taken in.
    pub(super) fn comes_from_another_pair(&mut self, from: SocketAddr, now: Instant) -> bool {
        let Some(validated) = &self.latch.peer().validated else {
            return false;
        };
        if validated.destination == Some(from) {
            self.elsewhere.end();
            return false;
        }
        self.elsewhere.is_told(from, FOLLOW_RUN, now)
    }

    /// How many calls a packet has passed already; `None`: it goes round.
    pub(super) fn hops_passed(
        &mut self,
        hops: &Hops,
        from: SocketAddr,
        now_ms: u64,
    ) -> Option<u32> {
        let version = hops.version();
        if version != self.hops_seen {
            self.hops_seen = version;
            let local = self.lease.local();
            let local = SocketAddr::new(local.ip().to_canonical(), local.port());
            self.hop_in = hops.find(local);
        }
        match &self.hop_in {
            Some(hop) if self.latch.peer().reach.is_own(from.ip()) => hop.passed(now_ms),
            _ => Some(0),
        }
    }

    pub(super) fn handle_timeout(&mut self, hops: &Hops, now: Instant) -> Option<Event> {
        let mut event = None;
        self.latch.handle_timeout(now, &mut event);
        if self.wanted_destination() != self.destination || event.is_some() {
            self.publish_peer(hops);
        }
        event
    }

    /// The way into the recording that the flow goes into, or none.
    pub(super) fn set_recording(&mut self, tap: Option<Box<dyn PacketTap>>) {
        if tap.is_some() || self.services.is_some() {
            self.services.get_or_insert_default().recording = tap;
        }
    }

    /// Puts a packet that left into the recording.
    pub(super) fn record_sent(&self, now: Instant, destination: SocketAddr, datagram: &[u8]) {
        let services = self.services.as_deref();
        if let Some(recording) = services.and_then(|services| services.recording.as_deref()) {
            recording.packet(now, self.lease.local(), destination, datagram);
        }
    }

    /// Whether RTP of a source was heard here.
    pub(super) fn hears(&self, ssrc: u32) -> bool {
        let mut sources = self.receptions.iter();
        sources.any(|source| source.ssrc == ssrc && source.received() > 0)
    }

    /// Whether header extensions go to the party in the two-byte form.
    pub(super) fn is_two_byte(&self) -> bool {
        let services = self.services.as_deref();
        services.is_some_and(|services| services.state.is_two_byte)
    }

    /// The counters of a source that reports here, whether or not it sends anything.
    pub(super) fn reporting_source(&mut self, ssrc: u32) -> Option<&SsrcStats> {
        let mut sources = self.receptions.iter();
        let known = sources.position(|source| source.ssrc == ssrc);
        let index = known.unwrap_or(self.receptions.len());
        let stats = self.stats.ssrcs.slot(index)?;
        if known.is_none() {
            self.receptions.push(Reception::unheard(ssrc));
            stats.ssrc.store(ssrc, Relaxed);
        }
        Some(stats)
    }

    /// Clock of the media in Hz; 0 if unknown.
    pub(super) fn clock_rate(&self) -> u32 {
        match self.payload {
            Payload::Rtp { clock_rate, .. } => clock_rate,
            Payload::Opaque => 0,
        }
    }

    /// When the next packet of a digit is to leave the port.
    pub(super) fn digit_due(&self) -> Option<Instant> {
        self.services.as_deref()?.state.outgoing.due()
    }

    /// When its gate has to open, if the source says nothing until then.
    pub(super) fn gate_due(&self) -> Instant {
        self.last_at + self.latch.gate_silence()
    }

    /// Whether time acts on it once a second.
    pub(super) fn awaits_second(&self) -> bool {
        self.is_bound
            || self.is_watched
            || self.is_lowered
            || self.latch.awaits_time()
            || self.pierced().is_some()
    }

    /// What arrived last on this flow, from its busiest source.
    pub(super) fn last_heard(&self) -> Option<Last> {
        let heard = self
            .stats
            .ssrcs
            .iter()
            .filter(|it| it.packets.load(Relaxed) > 0);
        let busiest = heard.max_by_key(|source| source.packets.load(Relaxed))?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the number without its cycles"
        )]
        let sequence = busiest.last_sequence.load(Relaxed) as u16;
        Some(Last {
            ssrc: busiest.ssrc.load(Relaxed),
            sequence,
            timestamp: busiest.last_timestamp.load(Relaxed),
            at: self.last_at,
        })
    }

    /// The digits that end with an RTP packet.
    pub(super) fn detect(&mut self, header: &RtpHeader, datagram: &[u8]) -> [Option<Pressed>; 2] {
        let events = self.taps.as_deref().and_then(|taps| taps.events);
        if !events.is_some_and(|events| events.contains(header.payload_type)) {
            return [None; 2];
        }
        let clock_rate = self.clock_rate();
        let detectors = &mut self.services.get_or_insert_default().state.detectors;
        let known = detectors.iter().position(|(ssrc, _)| *ssrc == header.ssrc);
        let index = known.unwrap_or_else(|| {
            if detectors.len() >= SSRCS_PER_FLOW {
                detectors.remove(0);
            }
            detectors.push((header.ssrc, Detector::default()));
            detectors.len() - 1
        });
        let payload = datagram.get(header.payload_at..).unwrap_or_default();
        match detectors.get_mut(index) {
            Some((_, detector)) => {
                detector.on_packet(payload, header.timestamp, header.marker, clock_rate)
            }
            None => [None; 2],
        }
    }

    /// Sets the lines that share the port; what is known of sources stays as long as they do.
    fn set_bundle(&mut self, bundle: Option<Box<Bundle>>) {
        let Some(bundle) = bundle else {
            if let Some(services) = self.services.as_deref_mut() {
                services.state.lines = None;
            }
            return;
        };
        let services = self.services.get_or_insert_default();
        match services.state.lines.as_deref_mut() {
            Some(lines) => lines.change(bundle),
            None => services.state.lines = Some(Box::new(Lines::new(bundle))),
        }
    }

    /// The line of an RTP packet, where several may share the port. An error: it belongs to none that
    /// is agreed on.
    pub(super) fn line_of(
        &mut self,
        packet: &[u8],
        received: &Received,
    ) -> Result<Option<u8>, DropReason> {
        let services = self.services.as_deref_mut();
        let Some(lines) = services.and_then(|services| services.state.lines.as_deref_mut()) else {
            return Ok(None);
        };
        let line = lines.line_of(packet, received.ssrc, received.payload_type);
        line.map(Some).ok_or(DropReason::Withheld)
    }

    /// Sets the guards. Every change of the flow starts them anew: the party may have agreed on
    /// packets of another size.
    fn set_guards(&mut self, guards: Guards) {
        if guards != Guards::default() {
            let guard = Some(Box::new(Guard::new(guards)));
            self.services.get_or_insert_default().guard = guard;
        } else if let Some(services) = self.services.as_deref_mut() {
            services.guard = None;
        }
    }

    /// The reason why an accepted datagram is refused; `None` if it is not.
    pub(super) fn refuses(
        &mut self,
        datagram: &[u8],
        received: Option<&Received>,
        now: Instant,
    ) -> Option<DropReason> {
        let guard = self.services.as_deref_mut()?.guard.as_deref_mut()?;
        guard.refuses(datagram, received, now)
    }

    /// Tells the reports to the party what went to it.
    pub(super) fn count_sent(&mut self, ssrc: u32, timestamp: u32, octets: usize, now: Instant) {
        let services = self.services.as_deref_mut();
        if let Some(reporter) = services.and_then(|services| services.state.reporter.as_deref_mut())
        {
            reporter.sent(ssrc, timestamp, octets, now);
        }
    }

    /// Counts a datagram that is not forwarded.
    pub(super) fn count_drop(&self, reason: DropReason) {
        self.count_drops(reason, 1);
    }

    /// Counts several.
    pub(super) fn count_drops(&self, reason: DropReason, datagrams: u64) {
        FlowStats::add(&self.stats.errors_in, datagrams);
        if let Some(counter) = self.stats.drops.get(reason as usize) {
            FlowStats::add(counter, datagrams);
        }
    }

    /// Counts an RTP packet of an accepted source.
    pub(super) fn account(&mut self, header: &Received, bytes: usize, uptime_us: u64) {
        let clock_rate = u64::from(self.clock_rate());
        let known = self
            .receptions
            .iter()
            .position(|source| source.ssrc == header.ssrc);
        let index = match known {
            Some(index) => index,
            None if self.receptions.len() < SSRCS_PER_FLOW => {
                self.receptions
                    .push(Reception::new(header.ssrc, header.sequence));
                self.receptions.len() - 1
            }
            None => return,
        };
        let (Some(reception), Some(stats)) =
            (self.receptions.get_mut(index), self.stats.ssrcs.slot(index))
        else {
            return;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "timestamps wrap, so does this"
        )]
        let arrival = (clock_rate > 0).then(|| (uptime_us * clock_rate / 1_000_000) as u32);
        reception.observe(header.sequence, header.timestamp, arrival);
        reception.observe_payload_type(header.payload_type);
        publish_source(stats, reception, header, bytes);
    }
}

fn publish_source(stats: &SsrcStats, reception: &Reception, header: &Received, bytes: usize) {
    stats.ssrc.store(reception.ssrc, Relaxed);
    FlowStats::add(&stats.packets, 1);
    FlowStats::add(&stats.bytes, bytes as u64);
    stats.last_timestamp.store(header.timestamp, Relaxed);
    stats.last_sequence.store(reception.highest(), Relaxed);
    stats.lost.store(reception.lost(), Relaxed);
    stats.duplicates.store(reception.duplicates(), Relaxed);
    stats.reordered.store(reception.reordered(), Relaxed);
    stats.jitter.store(reception.jitter(), Relaxed);
    stats
        .payload_type
        .store(u32::from(reception.payload_type()), Relaxed);
}
