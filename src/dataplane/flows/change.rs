//! Plans: flows that come, change and go.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Flows, NAT_OPENER};
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::tap::{PacketTap, Recordings};
use crate::flow::port::PortLease;
use crate::flow::stats::{DropReason, FlowStats};
use crate::flow::{FlowChange, FlowSpec, Plan};

impl<B: Backend> Flows<B> {
    /// Puts a plan in force. The leases of removed flows come back.
    pub(in crate::dataplane) fn apply(
        &mut self,
        plan: &Plan,
        leases: Vec<PortLease>,
        now: Instant,
    ) -> Result<Vec<PortLease>, String> {
        let removed = self.carry_out(plan, leases, now);
        // Dummies that open a NAT.
        self.flush();
        // Also of what a refused plan changed: the place of a removed flow may be another call's
        // next.
        self.resolve(plan.call);
        removed
    }

    fn carry_out(
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
                    let reports = spec.reports.clone();
                    self.install(spec, lease, plan.call, now)?;
                    self.set_reports(local, reports, now);
                    self.pierce(local);
                }
                FlowChange::Change(spec) => {
                    let local = spec.local;
                    let reports = spec.reports.clone();
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
                    self.set_reports(local, reports, now);
                    self.pierce(local);
                }
                FlowChange::Remove(local) => removed.extend(self.remove(local, now)),
            }
        }
        // Ports that were leased and dropped again within one command.
        removed.append(&mut leases);
        Ok(removed)
    }

    fn install(
        &mut self,
        spec: FlowSpec,
        lease: PortLease,
        call: u64,
        now: Instant,
    ) -> Result<(), String> {
        let local = spec.local;
        let slot = self.entries.vacant_entry();
        let index = slot.key();
        let mut entry = Entry::new(spec, lease, call);
        if let Some(left) = self.left.on(local, now) {
            entry.latch.follow(&left);
        }
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

    fn remove(&mut self, local: SocketAddr, now: Instant) -> Option<PortLease> {
        let index = self.by_local.remove(&local)?;
        let mut entry = self.entries.try_remove(index)?;
        if let Some(siblings) = self.by_call.get_mut(&entry.call) {
            siblings.retain(|&other| other != index);
        }
        if entry.is_bound {
            self.bound -= 1;
            count_kept_out(&mut self.backend, &mut entry);
        }
        if let Some(left) = entry.latch.leave(now) {
            self.left.note(local, left, now);
        }
        self.backend.release(entry.lease.handle_mut());
        Some(entry.lease)
    }

    /// Opens the NAT of a party, if signalling asks for it.
    fn pierce(&mut self, local: SocketAddr) {
        let index = self.by_local.get(&local).copied();
        let entry = index.and_then(|index| self.entries.get_mut(index));
        if let Some(entry) = entry {
            open_nat(&mut self.backend, entry);
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
}

/// The way into the recording that a flow goes into.
fn recording(recordings: &dyn Recordings, entry: &Entry) -> Option<Box<dyn PacketTap>> {
    recordings.tap(entry.taps.as_deref()?.recording?)
}

/// Sends a dummy that opens the NAT of a party, if one is due.
pub(super) fn open_nat(backend: &mut impl Backend, entry: &mut Entry) {
    let Some(destination) = entry.pierced() else {
        return;
    };
    // It counts as any other packet: what is queued and then refused is taken back.
    match backend.send(entry.lease.handle_mut(), &NAT_OPENER, destination) {
        Ok(()) => {
            FlowStats::add(&entry.stats.packets_out, 1);
            FlowStats::add(&entry.stats.bytes_out, NAT_OPENER.len() as u64);
        }
        Err(_) => FlowStats::add(&entry.stats.errors_out, 1),
    }
}

/// Takes the binding of a port to its peer back.
pub(super) fn release(backend: &mut impl Backend, entry: &mut Entry) {
    entry.is_bound = false;
    count_kept_out(backend, entry);
    if let Err(error) = backend.bind_peer(entry.lease.handle_mut(), None) {
        tracing::warn!(local = %entry.lease.local(), %error, "cannot unbind a port from its peer");
    }
}

/// Counts the strangers that a bound port did not hear.
pub(super) fn count_kept_out(backend: &mut impl Backend, entry: &mut Entry) {
    let kept_out = u64::from(backend.kept_out(entry.lease.handle_mut()));
    if kept_out > 0 {
        FlowStats::add(&entry.stats.packets_in, kept_out);
        entry.count_drops(DropReason::UnexpectedSource, kept_out);
    }
}
