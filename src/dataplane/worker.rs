//! One thread that moves the packets of its calls.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use slab::Slab;

use super::FlowEvent;
use super::backend::Backend;
use super::entry::Entry;
use super::sys::mmsg::RecvBatch;
use crate::flow::port::PortLease;
use crate::flow::stats::{DropReason, FlowStats};
use crate::flow::{Carries, FlowChange, FlowSpec, Payload, Plan};
use crate::media::demux::{Protocol, protocol};
use crate::media::latch::{Arrival, Event, Kind, Verdict};
use crate::media::rtcp;
use crate::media::rtp::RtpHeader;

/// Datagrams taken from one port at a time.
const BATCH: usize = 8;

/// Bytes of the longest datagram that is relayed whole: more than an Ethernet frame carries, and
/// as much as a fragmented video packet may have.
const DATAGRAM_BYTES: usize = 9216;

/// How often time acts on the latches.
const TICK: Duration = Duration::from_secs(1);

/// What a worker is asked to do.
pub(super) enum Order {
    /// Put a plan in force; what became of it goes to the sender.
    Apply {
        plan: Plan,
        leases: Vec<PortLease>,
        done: SyncSender<Applied>,
    },
    /// End; all flows are dropped.
    Stop,
}

/// The leases of removed flows, or why a plan is not in force.
pub(super) type Applied = Result<Vec<PortLease>, String>;

/// Events of all workers on their way to control; those that find no room are counted.
#[derive(Clone, Debug)]
pub(super) struct EventSink {
    pub(super) sender: SyncSender<FlowEvent>,
    pub(super) lost: Arc<AtomicU64>,
}

impl EventSink {
    fn tell(&self, call: u64, local: SocketAddr, event: Event) {
        if self
            .sender
            .try_send(FlowEvent { call, local, event })
            .is_err()
        {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

pub(super) struct Worker<B> {
    backend: B,
    orders: Receiver<Order>,
    events: EventSink,
    started: Instant,
    flows: Slab<Entry>,
    by_local: HashMap<SocketAddr, usize, RandomState>,
    by_call: HashMap<u64, Vec<usize>, RandomState>,
    batch: RecvBatch,
}

impl<B: Backend> Worker<B> {
    pub(super) fn new(
        backend: B,
        orders: Receiver<Order>,
        events: EventSink,
        started: Instant,
    ) -> Self {
        Self {
            backend,
            orders,
            events,
            started,
            flows: Slab::new(),
            by_local: HashMap::default(),
            by_call: HashMap::default(),
            batch: RecvBatch::new(BATCH, DATAGRAM_BYTES),
        }
    }

    /// Turns until it is told to stop: wait, one clock reading, every ready port, orders, time.
    #[expect(clippy::disallowed_methods, reason = "the one clock reading of a turn")]
    pub(super) fn run(mut self) {
        let mut ready: Vec<usize> = Vec::new();
        let mut unfinished: Vec<usize> = Vec::new();
        let mut next_tick = self.started + TICK;
        let mut now = self.started;
        loop {
            let wait = match unfinished.is_empty() {
                true => next_tick.saturating_duration_since(now),
                false => Duration::ZERO,
            };
            ready.append(&mut unfinished);
            if let Err(error) = self.backend.wait(wait, &mut ready) {
                tracing::error!(%error, "cannot wait for packets");
                std::thread::park_timeout(Duration::from_millis(10));
            }
            now = Instant::now();
            for index in ready.drain(..) {
                if self.serve_guarded(index, now) == Queue::MayHoldMore {
                    unfinished.push(index);
                }
            }
            loop {
                match self.orders.try_recv() {
                    Ok(Order::Apply { plan, leases, done }) => {
                        // Whoever asked may have given up; the plan holds all the same.
                        let _ = done.send(self.apply(plan, leases, now));
                    }
                    Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return,
                    Err(TryRecvError::Empty) => break,
                }
            }
            if now >= next_tick {
                next_tick = now + TICK;
                self.handle_timeout(now);
            }
        }
    }

    /// A defect in one flow must not end the others: that flow is shut instead.
    fn serve_guarded(&mut self, index: usize, now: Instant) -> Queue {
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(index, now)));
        served.unwrap_or_else(|_| {
            if let Some(entry) = self.flows.get_mut(index) {
                tracing::error!(local = %entry.lease.local(), "flow shut after a defect");
                entry.discard = true;
            }
            Queue::Drained
        })
    }

    /// Takes a batch from one port and forwards it.
    fn serve(&mut self, index: usize, now: Instant) -> Queue {
        let Some(entry) = self.flows.get_mut(index) else {
            return Queue::Drained;
        };
        let received = match self
            .backend
            .receive(entry.lease.handle_mut(), &mut self.batch)
        {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Queue::Drained,
            Err(_) => {
                // An ICMP error of something sent earlier; the queue behind it is still to be read.
                FlowStats::add(&entry.stats.errors_out, 1);
                return Queue::MayHoldMore;
            }
        };
        for position in 0..received {
            self.forward(index, position, now);
        }
        match received < self.batch.capacity() {
            true => Queue::Drained,
            false => Queue::MayHoldMore,
        }
    }

    /// The way of a packet: count, read, gate, account, send to every sink.
    fn forward(&mut self, index: usize, position: usize, now: Instant) {
        let sibling = self.sibling_source(index);
        let Some(entry) = self.flows.get_mut(index) else {
            return;
        };
        let Some((datagram, from)) = self.batch.datagram(position) else {
            return;
        };
        FlowStats::add(&entry.stats.packets_in, 1);
        FlowStats::add(&entry.stats.bytes_in, datagram.len() as u64);
        if entry.discard {
            return entry.count_drop(DropReason::Discarded);
        }
        let reading = match read(&entry.payload, datagram) {
            Some(reading) => reading,
            None => return entry.count_drop(DropReason::Malformed),
        };
        let mut event = None;
        let arrival = Arrival {
            from,
            kind: reading.kind(),
            sibling,
        };
        let verdict = entry.latch.on_packet(now, &arrival, &mut event);
        if event.is_some() || entry.latch.destination() != entry.destination {
            entry.publish_peer();
        }
        if let Some(event) = event {
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
        if let Reading::Rtp { header, negotiated } = &reading {
            entry.account(header, datagram.len(), uptime_us);
            if !negotiated {
                // Forwarded all the same: the parties may know better.
                FlowStats::add(&entry.stats.errors_in, 1);
            }
        }
        if !entry.receive && !matches!(reading, Reading::Rtcp) {
            return entry.count_drop(DropReason::NotReceiving);
        }
        self.send_to_sinks(index, position, matches!(reading, Reading::Rtcp));
    }

    fn send_to_sinks(&mut self, index: usize, position: usize, is_rtcp: bool) {
        let mut sent = false;
        let mut refused = None;
        let sinks = self.flows.get(index).map_or(0, |entry| entry.targets.len());
        for sink in 0..sinks {
            let target = self
                .flows
                .get(index)
                .and_then(|entry| entry.targets.get(sink))
                .copied();
            let Some((target, carries)) = target else {
                continue;
            };
            let takes = match carries {
                Carries::All => true,
                Carries::Rtp => !is_rtcp,
                Carries::Rtcp => is_rtcp,
            };
            let Some(sender) = self.flows.get_mut(target).filter(|_| takes) else {
                continue;
            };
            let Some(destination) = sender.destination else {
                refused = Some(DropReason::NoDestination);
                continue;
            };
            let Some((datagram, _)) = self.batch.datagram(position) else {
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
        if !sent && let Some(entry) = self.flows.get(index) {
            entry.count_drop(refused.unwrap_or(DropReason::NoSink));
        }
    }

    /// Where the RTP of an RTCP flow's stream is settled.
    fn sibling_source(&self, index: usize) -> Option<SocketAddr> {
        let sibling = self.flows.get(self.flows.get(index)?.sibling?)?;
        sibling
            .latch
            .is_settled()
            .then(|| sibling.latch.learned())?
    }

    /// Puts a plan in force as a whole, or not at all.
    fn apply(&mut self, plan: Plan, mut leases: Vec<PortLease>, now: Instant) -> Applied {
        let mut removed = Vec::new();
        for change in plan.changes {
            match change {
                FlowChange::Install(spec) => {
                    let position = leases.iter().position(|lease| lease.local() == spec.local);
                    let Some(position) = position else {
                        return Err(format!("no lease of {} came with the plan", spec.local));
                    };
                    let lease = leases.swap_remove(position);
                    self.install(spec, lease, plan.call)?;
                }
                FlowChange::Change(spec) => {
                    let index = self.by_local.get(&spec.local).copied();
                    let Some(entry) = index.and_then(|index| self.flows.get_mut(index)) else {
                        return Err(format!("no flow on {}", spec.local));
                    };
                    if let Some(tos) = entry.change(spec, now)
                        && let Err(error) = self.backend.set_tos(entry.lease.handle_mut(), tos)
                    {
                        tracing::warn!(%error, tos, "cannot set the TOS");
                    }
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
        let slot = self.flows.vacant_entry();
        let index = slot.key();
        let mut entry = Entry::new(spec, lease, call);
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
        let mut entry = self.flows.try_remove(index)?;
        if let Some(siblings) = self.by_call.get_mut(&entry.call) {
            siblings.retain(|&other| other != index);
        }
        self.backend.release(entry.lease.handle_mut());
        Some(entry.lease)
    }

    /// Finds the flows that the sinks of a call's flows mean.
    fn resolve(&mut self, call: u64) {
        let Some(indexes) = self.by_call.get(&call) else {
            return;
        };
        if indexes.is_empty() {
            self.by_call.remove(&call);
            return;
        }
        for &index in indexes {
            if let Some(entry) = self.flows.get_mut(index) {
                entry.resolve(|local| self.by_local.get(&local).copied());
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for (_, entry) in &mut self.flows {
            if let Some(event) = entry.handle_timeout(now) {
                self.events.tell(entry.call, entry.lease.local(), event);
            }
        }
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
