//! Names of targets: requests and probes that wait for DNS.

use std::time::Instant;

use super::routing::hop_of;
use super::{Action, Proxy, Timed};
use crate::limits;
use crate::resolve::{Answer, Families, Query, Resolve, ResolveConfig, Resolved};
use crate::transport::Protocol;

/// Who waits for a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    Transit(u64),
    Probe(u64),
    /// Nobody: a target in this zone has the name.
    Target(usize),
}

impl Proxy {
    /// Looks up what the listeners can reach.
    pub(super) fn configure_lookups(&mut self) {
        let is_used = |protocol: &Protocol| self.listeners.iter().any(|l| l.protocol == *protocol);
        let protocols = [Protocol::Udp, Protocol::Tcp, Protocol::Tls];
        let has = |is_v4: bool| self.listeners.iter().any(|l| l.local.is_ipv4() == is_v4);
        let families = match (has(true), has(false)) {
            (true, false) => Families::V4,
            (false, true) => Families::V6,
            _ => Families::Both,
        };
        let protocols = protocols.into_iter().filter(is_used).collect();
        self.resolve = Resolve::new(ResolveConfig::new(&self.config.dns, protocols, families));
    }

    /// The answer to an [`Action::Lookup`].
    pub(crate) fn handle_lookup(&mut self, now: Instant, query: Query, answer: Answer) {
        self.resolve
            .handle_answer(now, query, answer, &mut self.rng);
        self.settle_lookups(now);
        self.publish_gauges();
    }

    pub(super) fn on_lookup_timeout(&mut self, now: Instant) {
        self.resolve.handle_timeout(now, &mut self.rng);
        self.settle_lookups(now);
    }

    fn settle_lookups(&mut self, now: Instant) {
        while let Some((token, found)) = self.resolve.poll_done() {
            match self.waiting.remove(&token) {
                Some(Waiting::Transit(id)) => self.on_resolved(now, id, found),
                Some(Waiting::Probe(id)) => self.on_probe_resolved(now, id, found),
                Some(Waiting::Target(zone)) => self.learn_addresses(zone, found),
                None => {}
            }
        }
    }

    /// Looks up the names of targets in zones without sockets, now and every few minutes: what comes
    /// from their addresses comes from those zones, also before anything was sent there.
    pub(crate) fn learn_names(&mut self, now: Instant) {
        let routing = self.routing.clone();
        let named = routing.pools.targets();
        let mut is_any = false;
        for target in named.filter(|target| target.destination.direct().is_none()) {
            let zone = self.zone_named(&target.zone);
            let Some(zone) = zone.filter(|zone| self.listeners.iter().all(|l| l.zone != *zone))
            else {
                continue;
            };
            is_any = true;
            let token = self.unique();
            let destination = &target.destination;
            match self.resolve.resolve(now, token, destination, &mut self.rng) {
                Some(found) => self.learn_addresses(zone, found),
                None => drop(self.waiting.insert(token, Waiting::Target(zone))),
            }
        }
        if is_any {
            let at = now + limits::LEARN_NAMES;
            self.timers.push(std::cmp::Reverse((at, Timed::Names)));
        }
    }

    fn learn_addresses(&mut self, zone: usize, found: Resolved) {
        for address in found.unwrap_or_default() {
            self.targets.learn(hop_of(&address), zone);
        }
    }

    pub(super) fn poll_lookup(&mut self) -> Option<Action> {
        self.resolve.poll_query().map(Action::Lookup)
    }
}
