//! The flows of one worker: what becomes of a datagram.

mod change;
mod convert;
mod copies;
mod offload;
mod quality;
mod reading;
mod reports;
mod send;
mod time;
mod translate;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use foldhash::fast::RandomState;
use slab::Slab;

use super::audio::Desk;
use super::backend::{Backend, PORT_BATCH, Unsent};
use super::by_local::ByLocal;
use super::entry::Entry;
use super::hops::Hops;
use super::left::LeftSources;
use super::sys::recv::RecvBatch;
use super::tap::{Recorded, Recordings};
use super::timers::{Due, Timer, Timers};
use super::{FlowEvent, Happening, Services};
use crate::flow::agent::{AgentInbox, Handed};
use crate::flow::path::WhyUp;
use crate::flow::reporter::Reporting;
use crate::flow::secure::{Protection, Security};
use crate::flow::stats::{DropReason, FlowStats};
use crate::limits::DATAGRAM_BYTES;
use crate::media::demux::{Protocol, protocol};
use crate::media::latch::{Arrival, Kind, Verdict};
use crate::media::report::{Scoring, Sources};

pub(super) use convert::conversions;
pub(super) use offload::Offloading;
use reading::{Reading, read};
use time::SECOND;

/// A packet that means nothing and opens the way back through a NAT: RTP version 2 of the
/// unassigned payload type 127 (spec: ng-protocol §7, `pierce-NAT`).
const NAT_OPENER: [u8; 12] = [0x80, 0x7f, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];

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

/// The flows of one worker.
pub(super) struct Flows<B: Backend> {
    pub(in crate::dataplane) backend: B,
    pub(in crate::dataplane) events: EventSink,
    pub(in crate::dataplane) recordings: Arc<dyn Recordings>,
    pub(in crate::dataplane) recorded: Recorded,
    pub(in crate::dataplane) scoring: Scoring,
    pub(in crate::dataplane) started: Instant,
    pub(in crate::dataplane) entries: Slab<Entry<B::Port>>,
    pub(in crate::dataplane) by_local: ByLocal,
    pub(in crate::dataplane) by_call: HashMap<u64, Vec<usize>, RandomState>,
    /// Flows that there were so far: tells those of one place apart.
    pub(in crate::dataplane) generations: u32,
    pub(in crate::dataplane) timers: Timers,
    /// Timers on their way out of the table.
    pub(in crate::dataplane) due: Vec<Timer>,
    /// Sources that earlier calls left behind on their ports.
    pub(in crate::dataplane) left: Arc<LeftSources>,
    /// How often media passed the relay already.
    pub(in crate::dataplane) hops: Arc<Hops>,
    /// The same of the packet that is on its way.
    pub(in crate::dataplane) passed: u32,
    /// The flows of the datagrams of a batch.
    pub(in crate::dataplane) batched: Vec<Option<usize>>,
    /// Who takes STUN and DTLS.
    pub(in crate::dataplane) agents: Arc<dyn AgentInbox>,
    /// What the system refused to send in this turn.
    pub(in crate::dataplane) unsent: Vec<Unsent>,
    /// A packet as it is without the protection that it came under.
    pub(in crate::dataplane) opened: Vec<u8>,
    /// RTCP as it came.
    pub(in crate::dataplane) arrived: Arrived,
    /// A packet on its way out, under the protection of its receiver.
    pub(in crate::dataplane) sealed: Vec<u8>,
    /// A packet while it is changed for one sink.
    pub(in crate::dataplane) scratch: Vec<u8>,
    pub(in crate::dataplane) reporting: Reporting,
    /// The kernel, if it forwards any streams.
    pub(in crate::dataplane) offloading: Option<Offloading>,
    /// What the conversion of audio needs.
    pub(in crate::dataplane) desk: Desk,
    /// What RTCP says of the sources of a call.
    pub(in crate::dataplane) sources: HashMap<u64, Sources, RandomState>,
}

/// A packet as it came, while it is on its way.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    datagram: Vec<u8>,
    /// What it came under; `None`: there is none, or what is in the buffer has gone its way.
    under: Option<Protection>,
}

impl<B: Backend> fmt::Debug for Flows<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flows")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// Whether a port may have more datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Drained,
    MayHoldMore,
}

impl<B: Backend> Flows<B> {
    pub(super) fn new(
        backend: B,
        events: EventSink,
        services: Services,
        left: Arc<LeftSources>,
        hops: Arc<Hops>,
        started: Instant,
    ) -> Self {
        Self {
            backend,
            left,
            hops,
            passed: 0,
            events,
            recordings: services.recordings,
            agents: services.agents,
            recorded: services.recorded,
            scoring: services.scoring,
            reporting: Reporting {
                name: services.name,
                interval: services.report_interval,
            },
            desk: Desk::new(&services.audio),
            sources: HashMap::default(),
            offloading: None,
            started,
            entries: Slab::new(),
            by_local: ByLocal::default(),
            by_call: HashMap::default(),
            generations: 0,
            timers: Timers::new(started),
            due: Vec::new(),
            batched: Vec::new(),
            unsent: Vec::new(),
            opened: Vec::new(),
            arrived: Arrived::default(),
            sealed: Vec::new(),
            scratch: Vec::with_capacity(DATAGRAM_BYTES),
        }
    }

    /// A defect in one flow must not end the others: that flow is shut instead.
    pub(super) fn serve_guarded(
        &mut self,
        index: usize,
        batch: &mut RecvBatch,
        now: Instant,
    ) -> Queue {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(index, batch, now)));
        served.unwrap_or_else(|_| {
            self.shut(index, now);
            Queue::Drained
        })
    }

    /// Takes a batch from a queue that ports share, and forwards it.
    pub(super) fn serve_queue(
        &mut self,
        queue: usize,
        batch: &mut RecvBatch,
        now: Instant,
    ) -> Queue {
        // After an error the next datagram is reported again.
        let Ok(received) = self.backend.receive_queue(queue, batch) else {
            return Queue::Drained;
        };
        self.serve_batch(batch, received, now);
        match received < batch.capacity() {
            true => Queue::Drained,
            false => Queue::MayHoldMore,
        }
    }

    /// Forwards the datagrams of a batch, which says which port each is for.
    pub(super) fn serve_batch(&mut self, batch: &RecvBatch, received: usize, now: Instant) {
        let mut batched = std::mem::take(&mut self.batched);
        batched.clear();
        batched.extend((0..received).map(|position| {
            let local = batch.aside(position).local;
            local.and_then(|local| self.by_local.get(local))
        }));
        self.warm(&batched);
        for (position, &index) in batched.iter().enumerate() {
            let Some(index) = index else {
                // Its flow was removed while it waited.
                continue;
            };
            let forward = || self.take_in(index, batch, position, now);
            if catch_unwind(AssertUnwindSafe(forward)).is_err() {
                self.shut(index, now);
            }
        }
        self.batched = batched;
    }

    /// Reads what the packets of a batch will touch, one thing of all flows after the other. The
    /// memory of many flows is in no cache; reads that do not wait for each other take as long as
    /// one, where each packet would wait for four in a row.
    fn warm(&self, batched: &[Option<usize>]) {
        let entries = || {
            let indexes = batched.iter().flatten();
            indexes.filter_map(|&index| self.entries.get(index))
        };
        let targets = || entries().filter_map(|entry| self.entries.get(entry.plain.of(false)?));
        let read: u64 = entries().map(Entry::warm).sum();
        let read = read ^ entries().map(Entry::warm_counters).sum::<u64>();
        let read = read ^ targets().map(Entry::warm_way_out).sum::<u64>();
        let read = read ^ targets().map(Entry::warm_counters_out).sum::<u64>();
        std::hint::black_box(read);
    }

    fn shut(&mut self, index: usize, now: Instant) {
        self.raise(index, WhyUp::Shut, now);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.discard = true;
            let (call, local) = (entry.call, entry.lease.local());
            self.events.tell(call, local, Happening::Shut);
        }
    }

    /// Sends what is queued. What the system refuses was counted as sent when it was queued.
    pub(super) fn flush(&mut self) {
        self.backend.flush(&mut self.unsent);
        for Unsent { local, bytes } in self.unsent.drain(..) {
            let index = self.by_local.get(local);
            if let Some(entry) = index.and_then(|index| self.entries.get(index)) {
                FlowStats::add(&entry.stats.errors_out, 1);
                FlowStats::take_back(&entry.stats.packets_out, 1);
                FlowStats::take_back(&entry.stats.bytes_out, bytes as u64);
            }
        }
    }

    /// Takes a batch from one port and forwards it.
    fn serve(&mut self, index: usize, batch: &mut RecvBatch, now: Instant) -> Queue {
        let Some(entry) = self.entries.get_mut(index) else {
            return Queue::Drained;
        };
        let received = match self.backend.receive(&mut entry.port, batch) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Queue::Drained,
            Err(_) => {
                // An ICMP error of something sent earlier; the queue behind it is still to be read.
                FlowStats::add(&entry.stats.errors_out, 1);
                return Queue::MayHoldMore;
            }
        };
        for position in 0..received {
            self.take_in(index, batch, position, now);
        }
        match received < PORT_BATCH {
            true => Queue::Drained,
            false => Queue::MayHoldMore,
        }
    }

    /// Forwards a datagram of a batch if it is whole. A truncated one would go out as another
    /// datagram than was sent.
    fn take_in(&mut self, index: usize, batch: &RecvBatch, position: usize, now: Instant) {
        let Some((datagram, from)) = batch.datagram(position) else {
            return;
        };
        if !batch.is_cut(position) {
            return self.forward(index, datagram, from, now);
        }
        if let Some(entry) = self.entries.get(index) {
            FlowStats::add(&entry.stats.packets_in, 1);
            FlowStats::add(&entry.stats.bytes_in, datagram.len() as u64);
            entry.count_drop(DropReason::Malformed);
        }
    }

    /// The way of a datagram: count, open; then that of a packet.
    pub(in crate::dataplane) fn forward(
        &mut self,
        index: usize,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
    ) {
        // What the kernel passed up is judged by what it knows.
        self.take_in_figures(index, now);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        // What is for an agent is no media: it counts as none, teaches nothing, and keeps nothing alive.
        if let Some(agent) = entry.agent
            && !entry.discard
            && matches!(protocol(datagram), Protocol::Stun | Protocol::Dtls)
        {
            let local = entry.lease.local();
            match self.agents.take(agent.number, local, from, datagram) {
                Handed::Taken => {}
                Handed::NoRoom => entry.count_drop(DropReason::AgentBusy),
                Handed::Refused => entry.count_drop(DropReason::NotValidated),
            }
            return;
        }
        FlowStats::add(&entry.stats.packets_in, 1);
        FlowStats::add(&entry.stats.bytes_in, datagram.len() as u64);
        if entry.discard {
            return entry.count_drop(DropReason::Discarded);
        }
        // A packet that is not taken must not use up its number: a copy of it may be on its way from
        // the party.
        if let Some(refusal) = entry.latch.shuts_out(from) {
            return entry.count_drop(refusal.into());
        }
        match &entry.security {
            Security::Plain => self.forward_packet(index, datagram, from, now),
            Security::Awaited => {
                entry.count_drop(DropReason::AwaitsKeys);
                let is_media = matches!(protocol(datagram), Protocol::Rtp | Protocol::Rtcp);
                if let Some(agent) = entry.agent
                    && is_media
                    && entry.latch.peer().validated.is_none()
                    && entry.elsewhere.is_told(from, 1, now)
                {
                    self.agents.hear(agent.number, entry.lease.local(), from);
                }
            }
            // What does not authenticate teaches nothing, and keeps nothing alive.
            Security::Keyed(protection)
                if !protection.is_authenticated() && entry.latch.is_settled_elsewhere(from) =>
            {
                entry.count_drop(DropReason::UnexpectedSource);
            }
            Security::Keyed(protection) => {
                let protocol = protocol(datagram);
                if protocol == Protocol::Rtcp {
                    self.arrived.datagram.clear();
                    self.arrived.datagram.extend_from_slice(datagram);
                    self.arrived.under = Some(protection.clone());
                }
                let mut packet = std::mem::take(&mut self.opened);
                packet.clear();
                packet.extend_from_slice(datagram);
                let mut opened = protection.open(&mut packet, protocol);
                // What was on its way when its keys changed is no reason to look elsewhere for it.
                if opened == Err(DropReason::NotAuthentic)
                    && protocol == Protocol::Rtp
                    && protection.expects_late(now)
                    && entry.latch.learned() == Some(from)
                {
                    packet.clear();
                    packet.extend_from_slice(datagram);
                    opened = protection.open_late(&mut packet, now);
                }
                match opened {
                    Ok(()) => self.forward_packet(index, &packet, from, now),
                    Err(reason) => entry.count_drop(reason),
                }
                self.opened = packet;
                self.arrived.under = None;
            }
        }
    }

    /// The way of a packet: read, gate, account, send to every sink.
    fn forward_packet(&mut self, index: usize, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let Some(reading) = read(&entry.payload, datagram) else {
            return entry.count_drop(DropReason::Malformed);
        };
        let kind = reading.kind(datagram, entry.is_for_rtcp());
        if !entry.latch.passes_settled(now, from, kind)
            && let Verdict::Drop(refusal) = self.judge(index, from, kind, now)
        {
            if let Some(entry) = self.entries.get(index) {
                entry.count_drop(refusal.into());
            }
            return;
        }
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let uptime = now.saturating_duration_since(self.started);
        let uptime_us = u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX);
        let uptime_ms = uptime_us / 1000;
        match entry.hops_passed(&self.hops, from, uptime_ms) {
            Some(passed) => self.passed = passed,
            None => return entry.count_drop(DropReason::Looping),
        }
        entry.stats.last_packet_ms.store(uptime_ms + 1, Relaxed);
        entry.last_at = now;
        let received = reading.received(datagram);
        if let Some(agent) = entry.agent
            && received.is_some()
            && entry.comes_from_another_pair(from, now)
        {
            self.agents.hear(agent.number, entry.lease.local(), from);
        }
        if let Some((received, negotiated)) = &received {
            entry.account(received, datagram.len(), uptime_us);
            if !negotiated {
                // Forwarded all the same: the parties may know better.
                FlowStats::add(&entry.stats.errors_in, 1);
            }
            let is_bindable = !entry.is_bound
                && entry.may_bind(now)
                && entry.latch.sole_source(now) == Some(from);
            let (is_lowered, is_watched) = (entry.is_lowered, entry.is_watched);
            if is_bindable {
                self.bind(index, from, now);
            }
            if is_lowered {
                self.note_stray(index, received, from, now);
            } else if !is_watched && self.offloading.is_some() {
                self.watch(index, now);
            }
        }
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if let Some(services) = entry.services.as_deref()
            && let Some(recording) = &services.recording
            && self.recorded.takes_ingress()
        {
            recording.packet(now, from, entry.lease.local(), datagram);
        }
        if let Reading::Rtp { header, .. } = &reading
            && entry.taps.is_some()
        {
            for pressed in entry.detect(header, datagram).into_iter().flatten() {
                let event = Happening::Digit { pressed, from };
                self.events.tell(entry.call, entry.lease.local(), event);
            }
        }
        if !entry.receive && !reading.is_rtcp() {
            return entry.count_drop(DropReason::NotReceiving);
        }
        if let Some(reason) = entry.refuses(datagram, received.as_ref().map(|(it, _)| it), now) {
            return entry.count_drop(reason);
        }
        if matches!(reading, Reading::Rtcp) {
            self.learn_quality(index, datagram, now);
        }
        let received = received.map(|(received, _)| received);
        if !self.send_plain(index, datagram, received.as_ref(), reading.is_rtcp(), now) {
            self.send_to_sinks(index, datagram, &reading, received.as_ref(), (from, now));
        }
    }

    /// Asks the latch about a packet, and tells what it learned.
    fn judge(&mut self, index: usize, from: SocketAddr, kind: Kind, now: Instant) -> Verdict {
        let sibling = self.sibling_source(index);
        let Some(entry) = self.entries.get_mut(index) else {
            return Verdict::Accept;
        };
        let mut event = None;
        let arrival = Arrival {
            from,
            kind,
            sibling,
        };
        let before = entry.party();
        let verdict = entry.latch.on_packet(now, &arrival, &mut event);
        let call = entry.call;
        if event.is_some() || entry.wanted_destination() != entry.destination {
            entry.publish_peer(&self.hops);
        }
        let has_moved = entry.party() != before;
        if let Some(event) = event {
            let event = Happening::Source(event);
            self.events.tell(entry.call, entry.lease.local(), event);
        }
        if entry.awaits_second() {
            time::set(&mut self.timers, index, entry, Due::Second, now + SECOND);
        }
        if has_moved {
            // Where its media goes, or what comes from it.
            self.raise_call(call, WhyUp::Moved, now);
        }
        verdict
    }

    /// Binds a port to its peer, for as long as that talks.
    fn bind(&mut self, index: usize, peer: SocketAddr, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let bound = self.backend.bind_peer(&mut entry.port, Some(peer));
        entry.is_bound = bound.is_ok();
        entry.not_bound_at = bound.is_err().then_some(now);
        if entry.is_bound {
            let due = entry.gate_due();
            time::set(&mut self.timers, index, entry, Due::Gate, due);
            time::set(&mut self.timers, index, entry, Due::Second, now + SECOND);
        }
    }

    /// Settled source of the RTP that belongs to an RTCP flow.
    fn sibling_source(&self, index: usize) -> Option<SocketAddr> {
        let sibling = self.entries.get(self.entries.get(index)?.sibling?)?;
        sibling
            .latch
            .is_settled()
            .then(|| sibling.latch.learned())?
    }
}
