//! Plans: flows that come, change and go.

use std::net::SocketAddr;
use std::time::Instant;

use super::send::send_as_it_is;
use super::time::{self, SECOND};
use super::{EventSink, Flows, NAT_OPENER};
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::tap::{PacketTap, Recordings};
use crate::dataplane::timers::Due;
use crate::dataplane::{Happening, errno};
use crate::flow::path::{Path, WhyUp};
use crate::flow::state::LeasedFlow;
use crate::flow::stats::{DropReason, FlowStats};
use crate::flow::{FlowChange, FlowSpec, Plan, PlanError, PlanRefused};
use crate::media::report::Sources;

impl<B: Backend> Flows<B> {
    /// Puts a plan in force, or nothing of it. The ports of removed flows come back, and ports
    /// that came without a flow.
    pub(in crate::dataplane) fn apply(
        &mut self,
        plan: Plan,
        mut leases: Vec<LeasedFlow>,
        now: Instant,
    ) -> Result<Vec<LeasedFlow>, PlanRefused> {
        if let Err(reason) = self.check(&plan) {
            return Err(PlanRefused { reason, leases });
        }
        if !plan.changes.is_empty() {
            // Before anything is not as the kernel knows it.
            self.raise_call(plan.call, WhyUp::Signalled, now);
        }
        // What can fail comes first.
        let mut new = Vec::new();
        let mut others = Vec::new();
        for change in plan.changes {
            match change {
                FlowChange::Install(spec) => new.push(spec),
                FlowChange::Change(_) | FlowChange::Remove(_) => others.push(change),
            }
        }
        let installed = match self.install_all(new, &mut leases, plan.call, now) {
            Ok(installed) => installed,
            Err(reason) => {
                self.resolve(plan.call);
                return Err(PlanRefused { reason, leases });
            }
        };
        for index in installed {
            self.pierce(index, now);
        }
        for change in others {
            match change {
                FlowChange::Install(_) => {}
                FlowChange::Change(spec) => self.change(spec, now),
                FlowChange::Remove(local) => leases.extend(self.remove(local, now)),
            }
        }
        // Dummies that open a NAT.
        self.flush();
        self.resolve(plan.call);
        Ok(leases)
    }

    /// Whether the plan fits the flows in force.
    fn check(&self, plan: &Plan) -> Result<(), PlanError> {
        for change in &plan.changes {
            match change {
                FlowChange::Install(spec) if self.by_local.contains(spec.local) => {
                    return Err(PlanError::Taken(spec.local));
                }
                FlowChange::Change(spec) if !self.by_local.contains(spec.local) => {
                    return Err(PlanError::NoFlow(spec.local));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts new flows in force, or none of them: their ports stay among the leases then.
    fn install_all(
        &mut self,
        specs: Vec<FlowSpec>,
        leases: &mut Vec<LeasedFlow>,
        call: u64,
        now: Instant,
    ) -> Result<Vec<usize>, PlanError> {
        let mut installed = Vec::with_capacity(specs.len());
        let locals: Vec<_> = specs.iter().map(|spec| spec.local).collect();
        for mut spec in specs {
            let reports = spec.reports.take();
            match self.install(spec, leases, call, now) {
                Ok(index) => {
                    self.set_converters(index);
                    self.set_reports(index, reports, now);
                    installed.push(index);
                }
                Err(reason) => {
                    let before = locals.into_iter().take(installed.len());
                    leases.extend(before.filter_map(|local| self.remove(local, now)));
                    return Err(reason);
                }
            }
        }
        Ok(installed)
    }

    /// Puts a flow in force on its port among the leases, where that stays if it cannot be.
    fn install(
        &mut self,
        spec: FlowSpec,
        leases: &mut Vec<LeasedFlow>,
        call: u64,
        now: Instant,
    ) -> Result<usize, PlanError> {
        let local = spec.local;
        let slot = self.entries.vacant_entry();
        let index = slot.key();
        let mut places = leases.iter();
        let place = places.position(|flow| flow.lease.local() == local);
        let Some((place, lease)) =
            place.and_then(|place| Some((place, &mut leases.get_mut(place)?.lease)))
        else {
            return Err(PlanError::NoLease(local));
        };
        let port = match self.backend.adopt(lease.handle_mut(), index) {
            Ok(port) => port,
            Err(source) => return Err(PlanError::System { local, source }),
        };
        let mut flow = leases.swap_remove(place);
        let is_new = flow.state.is_none();
        let path = self
            .offloading
            .as_ref()
            .map_or(WhyUp::Off, |_| WhyUp::Learning);
        flow.lease.stats().path.set(Path::UserSpace(path));
        if let Some(state) = &mut flow.state {
            let sources = self.sources.entry(call).or_default();
            sources.absorb(std::mem::take(&mut state.sources));
        }
        self.generations = self.generations.wrapping_add(1);
        let mut entry = Entry::new(
            spec,
            (port, flow),
            (call, self.generations),
            &self.hops,
            now,
        );
        if is_new && let Some(left) = self.left.on(local, now) {
            entry.latch.follow(&left);
        }
        let tap = recording(&*self.recordings, &entry);
        entry.set_recording(tap);
        if let Some(tos) = entry.tos() {
            set_tos(&mut self.backend, &mut entry, tos, &self.events);
        }
        if let Some(due) = entry.digit_due() {
            time::set(&mut self.timers, index, &mut entry, Due::Digit, due);
        }
        slot.insert(entry);
        self.by_local.insert(local, index);
        self.by_call.entry(call).or_default().push(index);
        Ok(index)
    }

    fn change(&mut self, mut spec: FlowSpec, now: Instant) {
        let Some(index) = self.by_local.get(spec.local) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.is_bound {
            release(&mut self.backend, entry, &self.events);
        }
        let reports = spec.reports.take();
        if let Some(tos) = entry.change(spec, &self.hops, now) {
            set_tos(&mut self.backend, entry, tos, &self.events);
        }
        let tap = recording(&*self.recordings, entry);
        entry.set_recording(tap);
        self.set_converters(index);
        self.set_reports(index, reports, now);
        self.pierce(index, now);
    }

    fn remove(&mut self, local: SocketAddr, now: Instant) -> Option<LeasedFlow> {
        let index = self.by_local.remove(local)?;
        let mut entry = self.entries.try_remove(index)?;
        if let Some(siblings) = self.by_call.get_mut(&entry.call) {
            siblings.retain(|&other| other != index);
        }
        if entry.is_bound {
            count_kept_out(&mut self.backend, &mut entry);
        }
        if let Some(left) = entry.latch.leave(now) {
            self.left.note(local, left, now);
        }
        let mut nothing = Sources::default();
        let sources = self.sources.get_mut(&entry.call).unwrap_or(&mut nothing);
        let (port, mut flow) = entry.into_leased(sources);
        *flow.lease.handle_mut() = self.backend.release(port);
        Some(flow)
    }

    /// Opens the NAT of a party, if signalling asks for it, and lets time act on the flow.
    fn pierce(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        open_nat(&mut self.backend, entry);
        if entry.awaits_second() {
            time::set(&mut self.timers, index, entry, Due::Second, now + SECOND);
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
                entry.resolve(|local| self.by_local.get(local));
            }
        }
    }
}

fn set_tos<B: Backend>(backend: &mut B, entry: &mut Entry<B::Port>, tos: u8, events: &EventSink) {
    if let Err(error) = backend.set_tos(&mut entry.port, tos) {
        let errno = errno(&error);
        let event = Happening::NotMarked { tos, errno };
        events.tell(entry.call, entry.lease.local(), event);
    }
}

/// The way into the recording that a flow goes into.
fn recording<P>(recordings: &dyn Recordings, entry: &Entry<P>) -> Option<Box<dyn PacketTap>> {
    recordings.tap(entry.taps.as_deref()?.recording?)
}

/// Sends a dummy that opens the NAT of a party, if one is due.
pub(super) fn open_nat<B: Backend>(backend: &mut B, entry: &mut Entry<B::Port>) {
    let Some(destination) = entry.pierced() else {
        return;
    };
    // One that does not get out is sent again a second later.
    // No media, so it needs no keys. One that does not get out is sent again.
    let _ = send_as_it_is(backend, entry, &NAT_OPENER, destination);
}

/// Takes the binding of a port to its peer back.
pub(super) fn release<B: Backend>(backend: &mut B, entry: &mut Entry<B::Port>, events: &EventSink) {
    entry.is_bound = false;
    count_kept_out(backend, entry);
    if let Err(error) = backend.bind_peer(&mut entry.port, None) {
        let event = Happening::NotReleased {
            errno: errno(&error),
        };
        events.tell(entry.call, entry.lease.local(), event);
    }
}

/// Counts the strangers that a bound port did not hear; gives how many there were.
pub(super) fn count_kept_out<B: Backend>(backend: &mut B, entry: &mut Entry<B::Port>) -> u64 {
    let kept_out = u64::from(backend.kept_out(&mut entry.port));
    if kept_out > 0 {
        FlowStats::add(&entry.stats.packets_in, kept_out);
        entry.count_drops(DropReason::UnexpectedSource, kept_out);
    }
    kept_out
}
