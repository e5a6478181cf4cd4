//! A data plane that only records flows: it opens no socket and moves no packet.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::Forwarding;
use crate::flow::port::{OpenPort, PortHandle, PortLease};
use crate::flow::state::LeasedFlow;
use crate::flow::{FlowChange, FlowSpec, Injection, Plan, PlanError, PlanRefused};

/// The flows in force, and the changes of the last command.
#[derive(Debug, Default)]
pub(super) struct Books(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    flows: BTreeMap<SocketAddr, Entry>,
    removed: Vec<SocketAddr>,
    injected: Vec<Injection>,
}

#[derive(Debug)]
struct Entry {
    call: u64,
    spec: FlowSpec,
    lease: PortLease,
    mark: Mark,
}

/// Effect of the last command on a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing.
    Kept,
    /// The flow is new.
    New,
    /// The flow changed.
    Changed,
}

/// The flows after one command.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Flows of the calls that the command touched, by local address.
    pub(super) flows: Vec<(Mark, FlowSpec)>,
    /// Local addresses of flows that went away.
    pub(super) removed: Vec<SocketAddr>,
    /// Digits that were to be played.
    pub(super) injected: Vec<Injection>,
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes since the last call.
    pub(super) fn turn_page(&self) -> Page {
        let mut entries = self.lock();
        let touched: Vec<u64> = entries
            .flows
            .values()
            .filter(|entry| entry.mark != Mark::Kept)
            .map(|entry| entry.call)
            .collect();
        let removed = std::mem::take(&mut entries.removed);
        let injected = std::mem::take(&mut entries.injected);
        let flows = entries.flows.values_mut();
        let flows = flows.filter(|entry| touched.contains(&entry.call));
        let flows = flows.map(|entry| {
            let mark = std::mem::replace(&mut entry.mark, Mark::Kept);
            (mark, entry.spec.clone())
        });
        Page {
            flows: flows.collect(),
            removed,
            injected,
        }
    }
}

impl Forwarding for Books {
    fn pick_worker(&self) -> usize {
        0
    }

    fn apply(
        &self,
        plan: Plan,
        mut leases: Vec<LeasedFlow>,
    ) -> Result<Vec<LeasedFlow>, PlanRefused> {
        let mut entries = self.lock();
        for change in plan.changes {
            match change {
                FlowChange::Install(spec) => {
                    let local = spec.local;
                    let mut places = leases.iter();
                    let Some(position) = places.position(|flow| flow.lease.local() == local) else {
                        let reason = PlanError::NoLease(local);
                        return Err(PlanRefused { reason, leases });
                    };
                    let entry = Entry {
                        call: plan.call,
                        spec,
                        lease: leases.swap_remove(position).lease,
                        mark: Mark::New,
                    };
                    entries.flows.insert(local, entry);
                }
                FlowChange::Change(spec) => {
                    if let Some(entry) = entries.flows.get_mut(&spec.local) {
                        entry.spec = spec;
                        if entry.mark == Mark::Kept {
                            entry.mark = Mark::Changed;
                        }
                    }
                }
                FlowChange::Remove(local) => {
                    if let Some(entry) = entries.flows.remove(&local) {
                        leases.push(entry.lease.into());
                        entries.removed.push(local);
                    }
                }
            }
        }
        Ok(leases)
    }

    fn packet_clock_ms(&self) -> u64 {
        0
    }

    fn inject(&self, _worker: usize, injection: Injection) -> Result<(), &'static str> {
        self.lock().injected.push(injection);
        Ok(())
    }

    fn route_to(&self, _peer: IpAddr) -> Option<IpAddr> {
        None
    }
}

/// Every port can be had.
#[derive(Debug)]
pub(super) struct OpensAll;

impl OpenPort for OpensAll {
    fn open(&self, _local: SocketAddr) -> io::Result<PortHandle> {
        Ok(PortHandle::new(()))
    }
}
