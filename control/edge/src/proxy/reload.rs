//! Another configuration while calls go on (spec §2, §17).

use std::sync::Arc;
use std::time::Instant;

use super::hide;
use super::routing::hop_of;
use super::{Proxy, Routing};
use crate::config::Config;
use crate::hygiene::Hygiene;
use crate::keys::TokenKeys;
use crate::screen::Screen;

/// What all shards share of one configuration.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) config: Arc<Config>,
    pub(crate) routing: Arc<Routing>,
    pub(crate) screen: Option<Arc<Screen>>,
}

impl Proxy {
    /// Addresses that are those of targets no more are those of anybody again.
    fn forget_targets(&mut self, before: &Routing) {
        let is_named = |routing: &Routing, zone: &str| {
            let mut targets = routing.pools.targets();
            targets.any(|t| *t.zone == *zone && t.destination.direct().is_none())
        };
        let zones = self.config.zones.iter();
        let lost: Vec<usize> = zones
            .enumerate()
            .filter(|(_, zone)| {
                // Which of its names an address was of is not known.
                is_named(before, &zone.name) && !is_named(&self.routing, &zone.name)
            })
            .map(|(at, _)| at)
            .collect();
        let targets = before.pools.targets();
        let gone: Vec<_> = targets.filter_map(|t| t.destination.direct()).collect();
        for address in gone {
            self.targets.forget(hop_of(&address));
        }
        self.targets.forget_zones(&lost);
    }

    /// Takes another configuration for requests from now on. Its zones are those of before, by name
    /// and order, and so are its listeners. What is under way keeps the targets that it began with.
    pub(crate) fn reload(&mut self, now: Instant, snapshot: Snapshot) {
        let before = std::mem::replace(&mut self.routing, snapshot.routing);
        self.config = snapshot.config;
        self.hygiene = Hygiene::new(&self.config);
        self.hidings = hide::hidings(&self.config);
        if !self.config.token_secrets.is_empty() {
            self.tokens = TokenKeys::new(&self.config.token_secrets, self.key);
        }
        self.forget_targets(&before);
        self.learn_configured();
        let pools = self.routing.pools.clone();
        self.probes.reload(now, pools, &mut self.rng);
        if let (Some(guard), Some(screen)) = (&mut self.guard, snapshot.screen) {
            guard.screen = screen;
        }
    }
}
