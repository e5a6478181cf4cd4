//! Targets in virtual time, without a network.

mod choose;
mod named;
mod pick;
mod pools;
mod probe;
mod routes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::live::{Admin, Cause, Health, HeldState};
use super::pools::Change;
use super::routes::Rule;
use super::*;

/// Shards are tasks, and share pools and routes.
#[test]
fn shards_may_move_and_share_these() {
    fn moves<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    moves::<(Pick, Prober, Held, crate::resolve::Resolve)>();
    is_shared::<(Pools, Routes, crate::resolve::Dns)>();
}

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(11)
}

#[expect(clippy::disallowed_methods, reason = "an instant to begin with")]
fn start() -> Instant {
    Instant::now()
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `sip:192.0.2.1` and so on.
fn pool(name: &str, targets: u8) -> PoolConfig {
    let uris: Vec<String> = (1..=targets).map(|n| format!("sip:192.0.2.{n}")).collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    PoolConfig::new(name, "core", &uris)
}

fn pools(configs: &[PoolConfig]) -> Arc<Pools> {
    Arc::new(Pools::new(configs, None).unwrap())
}

/// One that fits everything.
fn rule(pools: &Pools, config: RouteConfig) -> Arc<Rule> {
    let routes = Routes::new(&[config], pools).unwrap();
    match routes.decide(&Seen::default()) {
        Decision::Rule(rule) => rule,
        Decision::NotFound => panic!("a rule without conditions fits"),
    }
}

fn to(names: &[&str]) -> RouteConfig {
    RouteConfig::new(RouteMatch::default(), names)
}

fn target(pools: &Pools, id: &str) -> Arc<Target> {
    pools.targets().find(|t| *t.id == *id).unwrap().clone()
}

fn calls(pools: &Pools) -> Vec<u32> {
    pools.targets().map(|t| t.live().calls()).collect()
}

fn events(pools: &Pools) -> Vec<(String, Health, Cause)> {
    let next = || pools.poll_event();
    std::iter::from_fn(next)
        .map(|e| (e.id.to_string(), e.health, e.cause))
        .collect()
}
