//! All targets, by pool: made from the configuration, shared by all shards, listed and changed by
//! operators.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::config::{Algorithm, CodeRange, ConfigError, PoolConfig};
use super::live::{Admin, Calling, Health, Held, HeldState, Live, Resource, Target, TargetEvent};
use crate::cookie::Key;
use crate::limits;
use crate::resolve::{Destination, DestinationError};

/// A pool of a snapshot.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: Arc<str>,
    pub(super) algorithm: Algorithm,
    pub(super) targets: Vec<Arc<Target>>,
}

/// A snapshot of all pools; the counters of its targets are shared with snapshots before.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    pools: Vec<Pool>,
    by_name: HashMap<Box<str>, usize, foldhash::quality::RandomState>,
    events: Arc<Mutex<VecDeque<TargetEvent>>>,
}

/// The same on each edge and after each start, so that a user keeps the node.
const HASH_KEY: Key = Key(0x7769_6e64_6c61_7373, 0x7461_7267_6574_7331);

/// Hash of a request's key for [`Algorithm::Hash`], ASCII letters in lower case.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let lower: Vec<Vec<u8>> = parts.iter().map(|part| part.to_ascii_lowercase()).collect();
    HASH_KEY.hash(lower.iter().map(Vec::as_slice))
}

impl Pools {
    /// The pools of a configuration. Targets that `before` has, by pool and URI, keep their state,
    /// their calls and the slots these hold; weights and numbers of slots are those of the
    /// configuration again.
    ///
    /// # Errors
    /// The first fault. Nothing of `before` has changed then.
    pub(crate) fn new(configs: &[PoolConfig], before: Option<&Self>) -> Result<Self, ConfigError> {
        let mut pools: Vec<Pool> = Vec::new();
        let mut by_name = HashMap::default();
        for config in configs {
            config.check()?;
            let at = pools.len();
            if by_name.insert(config.name.as_str().into(), at).is_some() {
                let pool = config.name.clone();
                return Err(ConfigError::DoublePool { pool });
            }
            pools.push(Pool::new(config, before)?);
        }
        // Nothing fails from here on: now the counters that stay may change.
        for (pool, config) in pools.iter().zip(configs) {
            for (target, config) in pool.targets.iter().zip(&config.targets) {
                target.live.set_weight(config.weight);
                for (resource, (_, max)) in target.resources.iter().zip(&config.resources) {
                    resource.set_max(*max);
                }
            }
        }
        let events = before.map(|before| before.events.clone());
        Ok(Self {
            pools,
            by_name,
            events: events.unwrap_or_default(),
        })
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn pool(&self, index: usize) -> Option<&Pool> {
        self.pools.get(index)
    }

    /// All targets, in the order of the configuration.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.pools.iter().flat_map(|pool| &pool.targets)
    }

    /// Whether a pool has a target that takes requests. Without one, OPTIONS of peers get 503, so
    /// that they fail over (spec §18).
    pub(crate) fn is_available(&self, pool: &str) -> bool {
        let pool = self.index(pool).and_then(|at| self.pool(at));
        pool.is_some_and(|pool| pool.targets.iter().any(|t| t.is_usable()))
    }

    /// The target at a destination of a redirection; with the same host alone, another port of one.
    /// `None`: the destination is no peer of ours.
    pub(super) fn peer_at(&self, destination: &Destination) -> Option<&Arc<Target>> {
        let of_host = || {
            self.targets()
                .filter(|target| target.destination.host == destination.host)
        };
        of_host()
            .find(|target| target.destination == *destination)
            .or_else(|| of_host().next())
    }

    /// Names of the pools.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pools.iter().map(|pool| &*pool.name)
    }

    /// All targets with their states, for an operator.
    pub(crate) fn list(&self) -> Vec<TargetView> {
        self.targets()
            .map(|target| TargetView::of(target))
            .collect()
    }

    /// Changes one target until the next reload, its state beyond that.
    ///
    /// # Errors
    /// When there is no such target or resource, or the weight is too large. Nothing has changed then.
    pub(crate) fn set(&self, id: &str, change: &Change) -> Result<TargetView, ChangeError> {
        let target = self.targets().find(|target| *target.id == *id);
        let target = target.ok_or_else(|| ChangeError::NoSuchTarget { id: id.to_owned() })?;
        let resource = |name: &str| target.resources.iter().find(|r| *r.name == *name);
        if let Some((name, _)) = change.resources.iter().find(|(n, _)| resource(n).is_none()) {
            let (id, name) = (id.to_owned(), name.clone());
            return Err(ChangeError::NoSuchResource { id, name });
        }
        if let Some(weight) = change.weight {
            if weight > limits::TARGET_WEIGHT {
                return Err(ChangeError::Weight { weight });
            }
            target.live.set_weight(weight);
        }
        for (name, max) in &change.resources {
            if let Some(resource) = resource(name) {
                resource.set_max(*max);
            }
        }
        if let Some(admin) = change.state {
            self.tell(target.set_admin(admin));
        }
        Ok(TargetView::of(target))
    }

    /// Takes again what a call held before a restart, even above the limit. `None`: the target has
    /// left the configuration.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for calls that outlive the process")
    )]
    pub(crate) fn hold(&self, state: &HeldState) -> Option<Held> {
        let pool = self.pool(self.index(&state.pool)?)?;
        let target = pool.targets.iter().find(|t| *t.uri == *state.uri)?;
        let names: Vec<Box<str>> = state.resources.iter().map(|n| n.as_str().into()).collect();
        Some(target.hold(Some(&names)))
    }

    /// The next change of a target's state. One reader, such as the first shard, gets them all.
    pub(crate) fn poll_event(&self) -> Option<TargetEvent> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.pop_front()
    }

    pub(super) fn tell(&self, event: Option<TargetEvent>) {
        let Some(event) = event else {
            return;
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= limits::TARGET_EVENTS {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// What a response to a call says about its target.
    pub(super) fn judge(&self, target: &Target, code: u16) {
        if CodeRange::any(&target.probing.failed, code) {
            self.tell(target.miss());
        } else if CodeRange::any(&target.probing.alive, code) {
            target.works();
        }
    }
}

impl Pool {
    fn new(config: &PoolConfig, before: Option<&Pools>) -> Result<Self, ConfigError> {
        let name: Arc<str> = config.name.as_str().into();
        let zone: Arc<str> = config.zone.as_str().into();
        let probing = Arc::new(config.probing.clone());
        let before = before.and_then(|before| before.pool(before.index(&config.name)?));
        let mut targets: Vec<Arc<Target>> = Vec::new();
        for (at, target) in config.targets.iter().enumerate() {
            let uri = || target.uri.clone();
            if targets.iter().any(|other| *other.uri == *target.uri) {
                let pool = config.name.clone();
                return Err(ConfigError::DoubleTarget { pool, uri: uri() });
            }
            let fault = |error: DestinationError| ConfigError::Target {
                pool: config.name.clone(),
                uri: uri(),
                error,
            };
            let destination = Destination::parse(target.uri.as_bytes()).map_err(fault)?;
            let before = before.and_then(|b| b.targets.iter().find(|t| *t.uri == *target.uri));
            let resource = |(name, max): &(String, u32)| {
                let before = before.and_then(|b| b.resources.iter().find(|r| *r.name == **name));
                before.map_or_else(|| Arc::new(Resource::new(name, *max)), Arc::clone)
            };
            targets.push(Arc::new(Target {
                id: format!("{name}-{}", at + 1).into(),
                pool: name.clone(),
                zone: zone.clone(),
                uri: uri().into(),
                destination,
                group: target.group,
                probe: target.probe.unwrap_or(config.probe),
                probing: probing.clone(),
                hash: hash(&[target.uri.as_bytes()]),
                live: before.map_or_else(|| Arc::new(Live::new(target.weight)), |b| b.live.clone()),
                resources: target.resources.iter().map(resource).collect(),
            }));
        }
        Ok(Self {
            name,
            algorithm: config.algorithm,
            targets,
        })
    }
}

/// A target as an operator sees it (`GET /v1/targets`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetView {
    pub(crate) id: String,
    pub(crate) pool: String,
    pub(crate) uri: String,
    pub(crate) group: u8,
    pub(crate) weight: u32,
    pub(crate) admin: Admin,
    pub(crate) health: Health,
    /// Misses in a row.
    pub(crate) misses: u32,
    pub(crate) calls: u32,
    /// Name, slots in use, slots in all.
    pub(crate) resources: Vec<(String, u32, u32)>,
    /// Requests sent, answered with 2xx, failed; since the start.
    pub(crate) attempts: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) calling: Calling,
}

impl TargetView {
    fn of(target: &Target) -> Self {
        let live = &target.live;
        let (attempts, answered, failed) = live.totals();
        let resource = |r: &Arc<Resource>| (r.name.to_string(), r.used(), r.max());
        Self {
            id: target.id.to_string(),
            pool: target.pool.to_string(),
            uri: target.uri.to_string(),
            group: target.group,
            weight: live.weight(),
            admin: live.admin(),
            health: live.health(),
            misses: live.misses(),
            calls: live.calls(),
            resources: target.resources.iter().map(resource).collect(),
            attempts,
            answered,
            failed,
            calling: live.calling(),
        }
    }
}

/// What an operator changes about a target (`PATCH /v1/targets/{id}`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) state: Option<Admin>,
    pub(crate) weight: Option<u32>,
    /// Slots in all, by name. Fewer than are in use end no call.
    pub(crate) resources: Vec<(String, u32)>,
}

/// Reasons for refusing a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("target {id} has no resource {name}")]
    NoSuchResource { id: String, name: String },
    #[error("there is no target {id}")]
    NoSuchTarget { id: String },
    #[error("weight {weight} is above {max}", max = limits::TARGET_WEIGHT)]
    Weight { weight: u32 },
}
