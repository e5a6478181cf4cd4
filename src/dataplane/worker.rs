//! One thread that moves the packets of its calls.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};
use slab::Slab;

use super::backend::{Backend, Wait};
use super::entry::Entry;
use super::play;
use super::rewrite::{self, Rewritten};
use super::sys::mmsg::RecvBatch;
use super::tap::{PacketTap, Recordings};
use super::{FlowEvent, Happening, Services};
use crate::flow::port::PortLease;
use crate::flow::stats::{DropReason, FlowStats, WorkerStats};
use crate::flow::{Carries, FlowChange, FlowSpec, Injection, Payload, Plan};
use crate::media::demux::{Protocol, protocol};
use crate::media::latch::{Arrival, Kind, Verdict};
use crate::media::report::{self, Basis, Said, Sources};
use crate::media::rtcp;
use crate::media::rtp::{self, RtpHeader};

/// Datagrams taken from one port at a time.
const BATCH: usize = 8;

/// Bytes of the longest datagram that is relayed whole: more than an Ethernet frame carries, and
/// as much as a fragmented video packet may have.
const DATAGRAM_BYTES: usize = 9216;

/// A packet that means nothing and opens the way back through a NAT: RTP version 2 of the
/// unassigned payload type 127 (spec: ng-protocol §7, `pierce-NAT`).
const NAT_OPENER: [u8; 12] = [0x80, 0x7f, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];

/// How often time acts on the latches.
const TICK: Duration = Duration::from_secs(1);

/// A flow whose port is bound to its peer and that is silent for this long hears everybody again
/// (spec: media-behaviour §3.1, NAT rebinding).
const BOUND_SILENCE: Duration = Duration::from_millis(60);

/// Under load the worker lets packets gather for this long between two turns. At 100,000 packets a
/// second every packet would wake it otherwise, and a third of its time goes into waking up.
const GATHER: Duration = Duration::from_micros(100);

/// Packets per millisecond from which on gathering pays: below, a turn would find one or two.
const GATHER_RATE: u64 = 16;

/// Events of all workers on their way to control; those that find no room are counted.
#[derive(Clone, Debug)]
pub(super) struct EventSink {
    pub(super) sender: SyncSender<FlowEvent>,
    pub(super) lost: Arc<AtomicU64>,
}

impl EventSink {
    fn tell(&self, call: u64, local: SocketAddr, event: Happening) {
        if self
            .sender
            .try_send(FlowEvent { call, local, event })
            .is_err()
        {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// What a worker and the control threads share: the flows, behind a lock that the worker holds
/// for a turn and never while it waits.
///
/// Control changes the flows itself instead of asking the worker to: handing a plan over and
/// waiting for its execution costs two switches of threads per command.
#[derive(Debug)]
pub(super) struct Shared<B> {
    pub(super) flows: Mutex<Flows<B>>,
    pub(super) stop: AtomicBool,
    pub(super) stats: Arc<WorkerStats>,
}

/// Turns until it is told to stop: wait, one clock reading, every ready port, time.
#[expect(clippy::disallowed_methods, reason = "the one clock reading of a turn")]
pub(super) fn run<B: Backend>(shared: &Shared<B>, mut wait: impl Wait, started: Instant) {
    let mut ready: Vec<usize> = Vec::new();
    let mut unfinished: Vec<usize> = Vec::new();
    let mut batch = RecvBatch::new(BATCH, DATAGRAM_BYTES);
    let mut at_most = TICK;
    let mut next_tick = started + TICK;
    let mut load = LoadGauge::default();
    let thread = u64::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0);
    shared.stats.thread_id.store(thread, Relaxed);
    while !shared.stop.load(Relaxed) {
        if !unfinished.is_empty() {
            at_most = Duration::ZERO;
        }
        ready.append(&mut unfinished);
        if let Err(error) = wait.wait(at_most, &mut ready) {
            tracing::error!(%error, "cannot wait for packets");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        FlowStats::add(&shared.stats.wakeups, 1);
        FlowStats::add(&shared.stats.items, ready.len() as u64);
        let now = Instant::now();
        let mut flows = shared.flows.lock();
        let before = flows.received;
        for index in ready.drain(..) {
            if flows.serve_guarded(index, &mut batch, now) == Queue::MayHoldMore {
                unfinished.push(index);
            }
        }
        flows.release_silent(now);
        if now >= next_tick {
            next_tick = now + TICK;
            flows.handle_timeout(now);
        }
        at_most = match flows.bound {
            0 => next_tick.saturating_duration_since(now),
            _ => BOUND_SILENCE,
        };
        if let Some(due) = flows.play(now) {
            at_most = at_most.min(due.saturating_duration_since(now));
        }
        let received = flows.received - before;
        // Under load the worker is back in no time: a waiting command goes first.
        MutexGuard::unlock_fair(flows);
        if load.is_high(received, now, started) {
            std::thread::park_timeout(GATHER);
        }
    }
}

/// How many packets come in, per millisecond.
#[derive(Debug, Default)]
struct LoadGauge {
    millisecond: u128,
    packets: u64,
    is_high: bool,
}

impl LoadGauge {
    /// Counts the packets of a turn, and says whether the last full millisecond had many.
    fn is_high(&mut self, packets: u64, now: Instant, started: Instant) -> bool {
        let millisecond = now.saturating_duration_since(started).as_millis();
        if millisecond != self.millisecond {
            let passed = u64::try_from(millisecond - self.millisecond).unwrap_or(u64::MAX);
            self.is_high = self.packets / passed.max(1) >= GATHER_RATE;
            self.millisecond = millisecond;
            self.packets = 0;
        }
        self.packets += packets;
        self.is_high
    }
}

/// The flows of one worker.
#[derive(Debug)]
pub(super) struct Flows<B> {
    backend: B,
    events: EventSink,
    recordings: Arc<dyn Recordings>,
    mos_basis: Basis,
    started: Instant,
    entries: Slab<Entry>,
    by_local: HashMap<SocketAddr, usize, RandomState>,
    by_call: HashMap<u64, Vec<usize>, RandomState>,
    /// Flows whose port is bound to its peer.
    bound: usize,
    released_at: Instant,
    /// Datagrams taken in so far.
    received: u64,
    /// A packet while it is changed for one sink.
    scratch: Vec<u8>,
    /// Flows that digits are played from.
    playing: Vec<usize>,
    /// What RTCP says of the sources of a call.
    sources: HashMap<u64, Sources, RandomState>,
}

impl<B: Backend> Flows<B> {
    pub(super) fn new(backend: B, events: EventSink, services: Services, started: Instant) -> Self {
        Self {
            backend,
            events,
            recordings: services.recordings,
            mos_basis: services.mos_basis,
            playing: Vec::new(),
            sources: HashMap::default(),
            started,
            entries: Slab::new(),
            by_local: HashMap::default(),
            by_call: HashMap::default(),
            bound: 0,
            released_at: started,
            received: 0,
            scratch: Vec::with_capacity(DATAGRAM_BYTES),
        }
    }

    /// A defect in one flow must not end the others: that flow is shut instead.
    fn serve_guarded(&mut self, index: usize, batch: &mut RecvBatch, now: Instant) -> Queue {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(index, batch, now)));
        served.unwrap_or_else(|_| {
            if let Some(entry) = self.entries.get_mut(index) {
                tracing::error!(local = %entry.lease.local(), "flow shut after a defect");
                entry.discard = true;
            }
            Queue::Drained
        })
    }

    /// Takes a batch from one port and forwards it.
    fn serve(&mut self, index: usize, batch: &mut RecvBatch, now: Instant) -> Queue {
        let Some(entry) = self.entries.get_mut(index) else {
            return Queue::Drained;
        };
        let received = match self.backend.receive(entry.lease.handle_mut(), batch) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Queue::Drained,
            Err(_) => {
                // An ICMP error of something sent earlier; the queue behind it is still to be read.
                FlowStats::add(&entry.stats.errors_out, 1);
                return Queue::MayHoldMore;
            }
        };
        self.received += received as u64;
        for position in 0..received {
            if let Some((datagram, from)) = batch.datagram(position) {
                self.forward(index, datagram, from, now);
            }
        }
        match received < batch.capacity() {
            true => Queue::Drained,
            false => Queue::MayHoldMore,
        }
    }

    /// The way of a packet: count, read, gate, account, send to every sink.
    fn forward(&mut self, index: usize, datagram: &[u8], from: SocketAddr, now: Instant) {
        let sibling = self.sibling_source(index);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        FlowStats::add(&entry.stats.packets_in, 1);
        FlowStats::add(&entry.stats.bytes_in, datagram.len() as u64);
        if entry.discard {
            return entry.count_drop(DropReason::Discarded);
        }
        let Some(reading) = read(&entry.payload, datagram) else {
            return entry.count_drop(DropReason::Malformed);
        };
        let mut event = None;
        let arrival = Arrival {
            from,
            kind: reading.kind(),
            sibling,
        };
        let verdict = entry.latch.on_packet(now, &arrival, &mut event);
        if event.is_some() || entry.wanted_destination() != entry.destination {
            entry.publish_peer();
        }
        if let Some(event) = event {
            let event = Happening::Source(event);
            self.events.tell(entry.call, entry.lease.local(), event);
        }
        if let Verdict::Drop(reason) = verdict {
            return entry.count_drop(reason);
        }
        let uptime = now.saturating_duration_since(self.started);
        let uptime_us = u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX);
        entry
            .stats
            .last_packet_ms
            .store(uptime_us / 1000 + 1, Relaxed);
        entry.last_at = now;
        if let Reading::Rtp { header, negotiated } = &reading {
            entry.account(header, datagram.len(), uptime_us);
            if !entry.is_bound && entry.latch.sole_source(now) == Some(from) {
                entry.is_bound = self
                    .backend
                    .bind_peer(entry.lease.handle_mut(), Some(from))
                    .is_ok();
                self.bound += usize::from(entry.is_bound);
            }
            if !negotiated {
                // Forwarded all the same: the parties may know better.
                FlowStats::add(&entry.stats.errors_in, 1);
            }
        }
        if let Some(services) = entry.services.as_deref()
            && let Some(recording) = &services.recording
        {
            recording.packet(from, entry.lease.local(), datagram);
        }
        if let Reading::Rtp { header, .. } = &reading
            && entry.taps.is_some()
        {
            for pressed in entry.detect(header, datagram).into_iter().flatten() {
                let event = Happening::Digit { pressed, from };
                self.events.tell(entry.call, entry.lease.local(), event);
            }
        }
        if !entry.receive && !matches!(reading, Reading::Rtcp) {
            return entry.count_drop(DropReason::NotReceiving);
        }
        if matches!(reading, Reading::Rtcp) {
            self.learn_quality(index, datagram, now);
        }
        self.send_to_sinks(index, datagram, &reading, now);
    }

    /// Takes the reports of a compound in.
    fn learn_quality(&mut self, index: usize, compound: &[u8], now: Instant) {
        let Some(call) = self.entries.get(index).map(|entry| entry.call) else {
            return;
        };
        let reports = report::read(compound);
        if reports.is_empty() {
            return;
        }
        let sources = self.sources.entry(call).or_default();
        let siblings = self.by_call.get(&call).map_or(&[][..], Vec::as_slice);
        for said in reports {
            match said {
                Said::Sends { ssrc, ntp_middle } => sources.sent(ssrc, ntp_middle, now),
                Said::RoundTrip { ssrc, ms } => sources.measured(ssrc, ms),
                Said::Received(block) => {
                    let entries = &self.entries;
                    let mut entries = siblings.iter().filter_map(|&index| entries.get(index));
                    let found = entries.find_map(|entry| Some((entry, entry.source(block.ssrc)?)));
                    let Some((entry, stats)) = found else {
                        continue;
                    };
                    let sample = sources.received(&block, entry.clock_rate(), self.mos_basis, now);
                    let uptime = now.saturating_duration_since(self.started);
                    let at_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
                    let quality = stats.quality.get_or_init(Box::default);
                    let mut quality = quality.lock().unwrap_or_else(PoisonError::into_inner);
                    quality.observe(sample, block.lost, at_ms);
                }
            }
        }
    }

    fn send_to_sinks(&mut self, index: usize, original: &[u8], reading: &Reading, now: Instant) {
        let is_rtcp = matches!(reading, Reading::Rtcp);
        let mut sent = false;
        let mut refused = None;
        let sinks = self
            .entries
            .get(index)
            .map_or(0, |entry| entry.targets.len());
        for sink in 0..sinks {
            let Some(entry) = self.entries.get(index) else {
                return;
            };
            let (Some(sink), Some(&Some(target))) =
                (entry.sinks.get(sink), entry.targets.get(sink))
            else {
                continue;
            };
            let takes = match sink.carries {
                Carries::All => true,
                Carries::Rtp => !is_rtcp,
                Carries::Rtcp => is_rtcp,
            };
            if !takes {
                continue;
            }
            let rewritten = match (&sink.rules, reading) {
                (Some(rules), Reading::Rtp { header, .. }) => {
                    rewrite::apply(rules, header, original, &mut self.scratch)
                }
                (Some(rules), Reading::Rtcp) => {
                    rewrite::apply_to_report(rules, original, &mut self.scratch)
                }
                _ => Rewritten::Unchanged,
            };
            let mut datagram = match rewritten {
                Rewritten::Unchanged => original,
                Rewritten::Changed => &self.scratch,
                Rewritten::Withheld => {
                    refused = Some(DropReason::Withheld);
                    continue;
                }
            };
            let Some(sender) = self.entries.get_mut(target) else {
                continue;
            };
            if let Reading::Rtp { header, .. } = reading
                && let Some(services) = sender.services.as_deref_mut()
            {
                let Some(sequence) = services.outgoing.pass(header, now) else {
                    refused = Some(DropReason::Withheld);
                    continue;
                };
                if sequence != header.sequence {
                    if std::ptr::eq(datagram, original) {
                        self.scratch.clear();
                        self.scratch.extend_from_slice(original);
                    }
                    rtp::set_sequence(&mut self.scratch, sequence);
                    datagram = &self.scratch;
                }
            }
            let Some(destination) = sender.destination else {
                refused = Some(DropReason::NoDestination);
                continue;
            };
            match self
                .backend
                .send(sender.lease.handle_mut(), datagram, destination)
            {
                Ok(()) => {
                    FlowStats::add(&sender.stats.packets_out, 1);
                    FlowStats::add(&sender.stats.bytes_out, datagram.len() as u64);
                    sent = true;
                }
                Err(_) => {
                    FlowStats::add(&sender.stats.errors_out, 1);
                    refused = Some(DropReason::SendFailed);
                }
            }
        }
        if !sent && let Some(entry) = self.entries.get(index) {
            entry.count_drop(refused.unwrap_or(DropReason::NoSink));
        }
    }

    /// Where the RTP of an RTCP flow's stream is settled.
    fn sibling_source(&self, index: usize) -> Option<SocketAddr> {
        let sibling = self.entries.get(self.entries.get(index)?.sibling?)?;
        sibling
            .latch
            .is_settled()
            .then(|| sibling.latch.learned())?
    }

    /// Lets flows that fell silent hear everybody again.
    fn release_silent(&mut self, now: Instant) {
        if self.bound == 0 || now.saturating_duration_since(self.released_at) < BOUND_SILENCE {
            return;
        }
        self.released_at = now;
        for (_, entry) in &mut self.entries {
            let silent = now.saturating_duration_since(entry.last_at) >= BOUND_SILENCE;
            if entry.is_bound && silent {
                release(&mut self.backend, entry);
                self.bound -= 1;
            }
        }
    }

    /// Puts a plan in force. The leases of removed flows come back.
    pub(super) fn apply(
        &mut self,
        plan: &Plan,
        mut leases: Vec<PortLease>,
        now: Instant,
    ) -> Result<Vec<PortLease>, String> {
        let mut removed = Vec::new();
        for change in &plan.changes {
            match change.clone() {
                FlowChange::Install(spec) => {
                    let position = leases.iter().position(|lease| lease.local() == spec.local);
                    let Some(position) = position else {
                        return Err(format!("no lease of {} came with the plan", spec.local));
                    };
                    let lease = leases.swap_remove(position);
                    let local = spec.local;
                    self.install(spec, lease, plan.call)?;
                    self.pierce(local);
                }
                FlowChange::Change(spec) => {
                    let local = spec.local;
                    let index = self.by_local.get(&local).copied();
                    let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else {
                        return Err(format!("no flow on {local}"));
                    };
                    if entry.is_bound {
                        release(&mut self.backend, entry);
                        self.bound -= 1;
                    }
                    if let Some(tos) = entry.change(spec, now)
                        && let Err(error) = self.backend.set_tos(entry.lease.handle_mut(), tos)
                    {
                        tracing::warn!(%error, tos, "cannot set the TOS");
                    }
                    let tap = recording(&*self.recordings, entry);
                    entry.set_recording(tap);
                    self.pierce(local);
                }
                FlowChange::Remove(local) => removed.extend(self.remove(local)),
            }
        }
        self.resolve(plan.call);
        // Ports that were leased and dropped again within one command.
        removed.append(&mut leases);
        Ok(removed)
    }

    fn install(&mut self, spec: FlowSpec, lease: PortLease, call: u64) -> Result<(), String> {
        let local = spec.local;
        let slot = self.entries.vacant_entry();
        let index = slot.key();
        let mut entry = Entry::new(spec, lease, call);
        let tap = recording(&*self.recordings, &entry);
        entry.set_recording(tap);
        if let Some(tos) = entry.tos()
            && let Err(error) = self.backend.set_tos(entry.lease.handle_mut(), tos)
        {
            tracing::warn!(%error, tos, "cannot set the TOS");
        }
        let adopted = self.backend.adopt(entry.lease.handle_mut(), index);
        adopted.map_err(|error| format!("cannot receive on {local}: {error}"))?;
        slot.insert(entry);
        self.by_local.insert(local, index);
        self.by_call.entry(call).or_default().push(index);
        Ok(())
    }

    fn remove(&mut self, local: SocketAddr) -> Option<PortLease> {
        let index = self.by_local.remove(&local)?;
        let mut entry = self.entries.try_remove(index)?;
        if let Some(siblings) = self.by_call.get_mut(&entry.call) {
            siblings.retain(|&other| other != index);
        }
        self.bound -= usize::from(entry.is_bound);
        self.backend.release(entry.lease.handle_mut());
        Some(entry.lease)
    }

    /// Plays a digit into a stream.
    pub(super) fn inject(
        &mut self,
        injection: Injection,
        now: Instant,
    ) -> Result<(), &'static str> {
        let source = self.by_local.get(&injection.from).copied();
        let heard = source.and_then(|source| self.entries.get(source)?.last_heard());
        let index = self.by_local.get(&injection.via).copied();
        let entry = index.and_then(|index| Some((index, self.entries.get_mut(index)?)));
        let (index, entry) = entry.ok_or(play::NO_STREAM)?;
        let outgoing = &mut entry.services.get_or_insert_default().outgoing;
        outgoing.play(injection, heard, now)?;
        if !self.playing.contains(&index) {
            self.playing.push(index);
        }
        Ok(())
    }

    /// Sends the packets of digits that are due, and says when the next one is.
    fn play(&mut self, now: Instant) -> Option<Instant> {
        let (entries, backend) = (&mut self.entries, &mut self.backend);
        self.playing.retain(|&index| {
            let Some(entry) = entries.get_mut(index) else {
                return false;
            };
            let Some(services) = entry.services.as_deref_mut() else {
                return false;
            };
            while services.outgoing.due().is_some_and(|due| due <= now) {
                let Some(packet) = services.outgoing.poll(now) else {
                    continue;
                };
                let Some(destination) = entry.destination else {
                    continue;
                };
                let sent = backend.send(entry.lease.handle_mut(), &packet, destination);
                let counter = match sent {
                    Ok(()) => &entry.stats.packets_out,
                    Err(_) => &entry.stats.errors_out,
                };
                FlowStats::add(counter, 1);
            }
            services.outgoing.due().is_some()
        });
        let services = |&index: &usize| self.entries.get(index)?.services.as_deref();
        let playing = self.playing.iter().filter_map(services);
        let due = playing.filter_map(|services| services.outgoing.due());
        due.min()
    }

    /// Opens the NAT of a party, if signalling asks for it.
    fn pierce(&mut self, local: SocketAddr) {
        let index = self.by_local.get(&local).copied();
        let entry = index.and_then(|index| self.entries.get_mut(index));
        if let Some(entry) = entry
            && let Some(destination) = entry.pierced()
        {
            let _ = self
                .backend
                .send(entry.lease.handle_mut(), &NAT_OPENER, destination);
        }
    }

    /// Finds the flows that the sinks of a call's flows mean.
    fn resolve(&mut self, call: u64) {
        let Some(indexes) = self.by_call.get(&call) else {
            return;
        };
        if indexes.is_empty() {
            self.by_call.remove(&call);
            self.sources.remove(&call);
            return;
        }
        for &index in indexes {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.resolve(|local| self.by_local.get(&local).copied());
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for (_, entry) in &mut self.entries {
            if let Some(destination) = entry.pierced() {
                let handle = entry.lease.handle_mut();
                // A dummy that does not get out is sent again a second later.
                let _ = self.backend.send(handle, &NAT_OPENER, destination);
            }
            if let Some(event) = entry.handle_timeout(now) {
                let event = Happening::Source(event);
                self.events.tell(entry.call, entry.lease.local(), event);
            }
        }
    }
}

/// The way into the recording that a flow goes into.
fn recording(recordings: &dyn Recordings, entry: &Entry) -> Option<Box<dyn PacketTap>> {
    recordings.tap(entry.taps.as_deref()?.recording?)
}

/// Takes the binding of a port to its peer back.
fn release(backend: &mut impl Backend, entry: &mut Entry) {
    entry.is_bound = false;
    if let Err(error) = backend.bind_peer(entry.lease.handle_mut(), None) {
        tracing::warn!(local = %entry.lease.local(), %error, "cannot unbind a port from its peer");
    }
}

/// Whether a port may have more datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Drained,
    MayHoldMore,
}

/// A datagram, understood.
enum Reading {
    Rtp { header: RtpHeader, negotiated: bool },
    Rtcp,
    Opaque,
}

impl Reading {
    fn kind(&self) -> Kind {
        match self {
            Self::Rtp { header, negotiated } => Kind::Rtp {
                ssrc: header.ssrc,
                sequence: header.sequence,
                negotiated: *negotiated,
            },
            Self::Rtcp => Kind::Rtcp,
            Self::Opaque => Kind::Opaque,
        }
    }
}

/// Reads a datagram as its flow's media is to be read; `None`: it is nothing of the kind.
fn read(payload: &Payload, datagram: &[u8]) -> Option<Reading> {
    let Payload::Rtp { types, .. } = payload else {
        return (!datagram.is_empty()).then_some(Reading::Opaque);
    };
    match protocol(datagram) {
        Protocol::Rtcp => rtcp::is_compound(datagram).then_some(Reading::Rtcp),
        Protocol::Rtp => {
            let header = RtpHeader::parse(datagram).ok()?;
            let negotiated = types.contains(header.payload_type);
            Some(Reading::Rtp { header, negotiated })
        }
        Protocol::Stun | Protocol::Dtls | Protocol::Unknown => None,
    }
}
