//! Which server a request goes to, and which one next (spec §14).
//!
//! ```text
//! Routes::decide ── a rule: ordered pools, failover, resources ──┐
//! Pools ─────────── targets with state, weight, calls, slots ────┼─> Pick ── Step::Try, then by the
//! Outcome of the last attempt, time ─────────────────────────────┘           outcome the next one
//! Prober ── OPTIONS to targets that ask for it; misses and answers change the states in Pools
//! ```
//!
//! Nothing here sends, waits or parses messages. [`Pools`] and [`Routes`] are a snapshot of the
//! configuration that all shards share; a [`Pick`] belongs to one request of one shard and keeps the
//! snapshot that it began with; one [`Prober`] exists per process.
//!
//! # How shards share counts
//!
//! What changes about a target, its state, weight, calls and slots, are atomics behind one handle,
//! [`Live`], and one per [`Resource`]. A call takes a slot by compare-and-swap below the limit, so
//! limits hold exactly whatever the shards do at the same time. It is held by a [`Held`], plain data
//! that moves from the `Pick` to the dialog with the answer and is given back by [`Held::release`],
//! once, since that consumes it. `Held` names counters, not places in a snapshot: a reload keeps the
//! counters of targets that stay ([`Pools::new`]), and a call that outlives its target gives back to
//! a counter that nobody reads. There is no `Drop`: a slot is free where the code says so.

mod choose;
mod config;
mod explain;
mod live;
mod pick;
mod pools;
mod probe;
mod routes;

#[cfg(test)]
mod tests;

pub(crate) use config::ConfigError;
pub use config::{
    Algorithm, CodeRange, Failover, HashKey, PoolConfig, Probe, ProbeConfig, Redirects,
    RouteConfig, RouteMatch, RouteTo, Slots, TargetConfig,
};
pub(crate) use explain::{Explanation, Standing};
pub(crate) use live::{Admin, Cause, Health, Held, Target, TargetEvent, state};
pub(crate) use pick::{Attempt, Contact, End, Kind, Outcome, Pick, Step};
pub(crate) use pools::{Change, ChangeError, Pools, TargetView};
pub(crate) use probe::{ProbeResult, Prober, ToProbe};
pub(crate) use routes::{Decision, Routes, Seen};
