//! OPTIONS to targets (spec §14, Probing), sent by the first shard.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;

use super::Proxy;
use super::lookup::Waiting;
use super::route::is_unroutable;
use super::routing::hop_of;
use crate::record::event::Event;
use crate::resolve::{Address, Resolved};
use crate::target::{Pools, ProbeResult, Prober, Target, ToProbe};
use crate::transport::Destination;

/// Probes under way, by the number of their transaction.
#[derive(Debug, Default)]
pub(super) struct Probes {
    prober: Option<Prober>,
    running: HashMap<u64, Running, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Running {
    number: u64,
    target: Arc<Target>,
    /// Addresses that were not tried.
    left: VecDeque<Address>,
}

impl Probes {
    /// Goes on with other targets.
    pub(super) fn reload(&mut self, now: Instant, pools: Arc<Pools>, rng: &mut StdRng) {
        if let Some(prober) = &mut self.prober {
            prober.reload(now, pools, rng);
        }
    }

    pub(super) fn is_running(&self, id: u64) -> bool {
        self.running.contains_key(&id)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.prober.as_ref()?.next_timeout()
    }
}

impl Proxy {
    /// This shard probes the targets from now on.
    pub(crate) fn start_probing(&mut self, now: Instant) {
        let pools = self.routing.pools.clone();
        self.probes.prober = Some(Prober::new(now, pools, &mut self.rng));
    }

    pub(super) fn on_probes_timeout(&mut self, now: Instant) {
        while let Some(prober) = self.probes.prober.as_mut()
            && let Some(ToProbe { number, target }) = prober.poll(now, &mut self.rng)
        {
            let id = self.unique();
            let destination = target.destination.clone();
            let running = Running {
                number,
                target,
                left: VecDeque::new(),
            };
            self.probes.running.insert(id, running);
            let found = match destination.direct() {
                Some(address) => Some(Ok(vec![address])),
                None => self.resolve.resolve(now, id, &destination, &mut self.rng),
            };
            match found {
                Some(found) => self.on_probe_resolved(now, id, found),
                None => drop(self.waiting.insert(id, Waiting::Probe(id))),
            }
        }
        self.tell_states();
    }

    pub(crate) fn tell_states(&mut self) {
        while let Some(event) = self.routing.pools.poll_event() {
            tracing::info!(?event, "target has changed");
            self.tell(Event::of_target(&event));
        }
    }

    pub(super) fn on_probe_resolved(&mut self, now: Instant, id: u64, found: Resolved) {
        if let Some(running) = self.probes.running.get_mut(&id) {
            running.left = found.unwrap_or_default().into();
            self.probe_next(now, id);
        }
    }

    /// Asks the next address; without one the target cannot be reached.
    fn probe_next(&mut self, now: Instant, id: u64) {
        while let Some(running) = self.probes.running.get_mut(&id) {
            let target = running.target.clone();
            let Some(address) = running.left.pop_front() else {
                self.end_probe(id, ProbeResult::Unreachable);
                return;
            };
            let hop = hop_of(&address);
            let zone = self.zone_named(&target.zone).unwrap_or_default();
            let listener = self.listener_toward(zone, hop, u16::MAX);
            let Some(listener) = listener.filter(|_| !is_unroutable(hop.address)) else {
                continue;
            };
            let mut to = self.destination(listener, hop.address);
            if let Destination::Open { server_name, .. } = &mut to {
                *server_name = address.server_name;
            }
            let packet = self.options(&target.uri, 70, listener, id);
            self.targets.learn(hop, zone);
            self.begin_own(now, id, to, packet.into());
            return;
        }
    }

    /// A final response to an OPTIONS of ours.
    pub(super) fn on_probe_answer(&mut self, id: u64, status: u16) {
        self.end_probe(id, ProbeResult::Answered(status));
        self.tell_states();
    }

    /// An OPTIONS of ours did not leave.
    pub(super) fn on_probe_lost(&mut self, now: Instant, id: u64) {
        if self.probes.running.contains_key(&id) {
            self.own.remove(&id);
            self.probe_next(now, id);
            self.tell_states();
        }
    }

    /// Nobody has answered: the prober knows by its own clock.
    pub(super) fn forget_probe(&mut self, id: u64) {
        self.probes.running.remove(&id);
    }

    fn end_probe(&mut self, id: u64, result: ProbeResult) {
        let running = self.probes.running.remove(&id);
        if let Some((running, prober)) = running.zip(self.probes.prober.as_mut()) {
            prober.handle_result(running.number, result);
        }
    }
}
