//! What changes about a target while the configuration stays, shared by all shards.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::config::{Probe, ProbeConfig};
use crate::limits;
use crate::resolve::{Address, Destination};
use crate::transport::Protocol;

/// One server of a pool, as a snapshot of the configuration has it.
#[derive(Debug)]
pub(crate) struct Target {
    /// Pool and place in it, from 1: `pbx-2`. Stays as long as the order of the file.
    pub(crate) id: Box<str>,
    pub(crate) pool: Arc<str>,
    pub(crate) zone: Arc<str>,
    pub(crate) uri: Box<str>,
    pub(crate) destination: Destination,
    pub(crate) group: u8,
    pub(crate) probe: Probe,
    pub(crate) probing: Arc<ProbeConfig>,
    /// Hash of the URI, for rendezvous hashing.
    pub(super) hash: u64,
    pub(super) live: Arc<Live>,
    pub(super) resources: Box<[Arc<Resource>]>,
}

/// Counters and state of a target. They outlive a reload.
#[derive(Debug)]
pub(crate) struct Live {
    admin: AtomicU8,
    health: AtomicU8,
    /// Misses in a row.
    misses: AtomicU32,
    /// How often it was seen to work.
    worked: AtomicU64,
    weight: AtomicU32,
    calls: AtomicU32,
    attempts: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    /// Calls that were answered and are over, and how long they were, in milliseconds.
    talks: AtomicU64,
    talk_ms: AtomicU64,
    /// Calls that rang, or were answered at once, and how long that took, in milliseconds.
    rings: AtomicU64,
    ring_ms: AtomicU64,
    /// INVITEs sent, and answered with 2xx.
    invites: AtomicU64,
    answered_invites: AtomicU64,
    /// Addresses of its name that did not answer, until when they are tried last. The lock is taken
    /// for targets with a name alone, once per look-up.
    silent: Mutex<Vec<(Protocol, SocketAddr, Instant)>>,
}

/// Slots of one kind on one target.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) name: Box<str>,
    max: AtomicU32,
    used: AtomicU32,
}

/// State set by the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Admin {
    /// Takes requests unless it has failed.
    #[default]
    Up,
    /// Takes no new requests; its calls go on. It is probed as before.
    Drain,
    /// As `Drain`, and not probed.
    Down,
}

/// State found by probes and calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    #[default]
    Up,
    Down,
}

/// A change of a target's state, for events and metrics (`target_state`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetEvent {
    pub(crate) id: Box<str>,
    pub(crate) uri: Box<str>,
    pub(crate) admin: Admin,
    pub(crate) health: Health,
    pub(crate) cause: Cause,
}

impl TargetEvent {
    /// The state as one word.
    pub(crate) fn state(&self) -> &'static str {
        state(self.admin, self.health)
    }
}

/// Both states as one word.
pub(crate) fn state(admin: Admin, health: Health) -> &'static str {
    match (admin, health) {
        (Admin::Up, Health::Up) => "up",
        (Admin::Up, Health::Down) => "failed",
        (Admin::Drain, _) => "drain",
        (Admin::Down, _) => "down",
    }
}

/// Causes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An operator.
    Admin,
    /// It has answered a probe.
    Answer,
    /// So many misses in a row.
    Misses(u32),
}

/// Calls of a target: the counts behind answer-seizure ratio, average call duration and post-dial
/// delay (spec §15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calling {
    pub(crate) invites: u64,
    pub(crate) answered: u64,
    pub(crate) talks: u64,
    pub(crate) talk_ms: u64,
    pub(crate) rings: u64,
    pub(crate) ring_ms: u64,
}

impl Calling {
    /// Share of INVITEs that were answered; `None` without any.
    pub(crate) fn asr(&self) -> Option<f64> {
        ratio(self.answered, self.invites)
    }

    /// Average length of a call, in seconds.
    pub(crate) fn acd(&self) -> Option<f64> {
        ratio(self.talk_ms, self.talks).map(|ms| ms / 1000.0)
    }

    /// Average time until a call rings, in seconds.
    pub(crate) fn pdd(&self) -> Option<f64> {
        ratio(self.ring_ms, self.rings).map(|ms| ms / 1000.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One call's place on a target, and its slots. It is given back by [`Self::release`], where the
/// call ends on this target.
#[must_use = "a place that is not released stays taken"]
#[derive(Debug)]
pub(crate) struct Held {
    target: Arc<Target>,
    resources: Vec<Arc<Resource>>,
}

/// A [`Held`] in the state that outlives the process. Format 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldState {
    pub(crate) pool: String,
    pub(crate) uri: String,
    pub(crate) resources: Vec<String>,
}

impl Target {
    /// Whether new requests may go there.
    pub(crate) fn is_usable(&self) -> bool {
        self.live.admin() == Admin::Up && self.live.health() == Health::Up
    }

    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    #[cfg(test)]
    pub(crate) fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// Whether it has all resources of a route.
    pub(super) fn has(&self, wanted: Option<&[Box<str>]>) -> bool {
        let is_there = |name: &str| self.resources.iter().any(|r| *r.name == *name);
        wanted.is_none_or(|wanted| wanted.iter().all(|name| is_there(name)))
    }

    pub(super) fn wanted<'a>(
        &'a self,
        wanted: Option<&'a [Box<str>]>,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        let is_wanted = move |r: &&Arc<Resource>| wanted.is_none_or(|w| w.contains(&r.name));
        self.resources.iter().filter(is_wanted)
    }

    /// Takes a place and a slot of each wanted resource, or nothing: `None` if one is used up. While
    /// another shard gives back what it took in vain, a last slot may look used.
    pub(crate) fn reserve(self: &Arc<Self>, wanted: Option<&[Box<str>]>) -> Option<Held> {
        let mut resources = Vec::new();
        for resource in self.wanted(wanted) {
            if !resource.take() {
                resources
                    .iter()
                    .for_each(|taken: &Arc<Resource>| taken.give_back());
                return None;
            }
            resources.push(resource.clone());
        }
        self.live.calls.fetch_add(1, Ordering::Relaxed);
        let target = self.clone();
        Some(Held { target, resources })
    }

    /// Takes a place even where none is free: of a call that is there already, such as one answered
    /// by a target that was given up, or one of before a restart.
    pub(crate) fn hold(self: &Arc<Self>, wanted: Option<&[Box<str>]>) -> Held {
        let resources: Vec<_> = self.wanted(wanted).cloned().collect();
        for resource in &resources {
            resource.used.fetch_add(1, Ordering::Relaxed);
        }
        self.live.calls.fetch_add(1, Ordering::Relaxed);
        let target = self.clone();
        Held { target, resources }
    }

    /// An address of its name did not answer: for a probing interval it is tried last, so that one
    /// dead server of several does not cost each call an answer timeout.
    pub(super) fn note_silent(&self, now: Instant, address: &Address) {
        let until = now + self.probing.interval;
        let mut silent = self
            .live
            .silent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        silent.retain(|(protocol, peer, until)| {
            *until > now && (*protocol, *peer) != (address.protocol, address.peer)
        });
        if silent.len() >= limits::ADDRESSES {
            silent.remove(0);
        }
        silent.push((address.protocol, address.peer, until));
    }

    /// Moves silent addresses behind the others.
    pub(super) fn put_back_silent(&self, now: Instant, addresses: &mut [Address]) {
        let silent = self
            .live
            .silent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !silent.is_empty() {
            // The sort is stable: among themselves both keep the order of RFC 3263.
            addresses.sort_by_key(|address| {
                silent.iter().any(|(protocol, peer, until)| {
                    *until > now && (*protocol, *peer) == (address.protocol, address.peer)
                })
            });
        }
    }

    /// It did not answer, or said that it does not work.
    pub(super) fn miss(&self) -> Option<TargetEvent> {
        let live = &self.live;
        let misses = live
            .misses
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if self.probe == Probe::Never || misses < self.probing.misses {
            return None;
        }
        let before = live.health.swap(Health::Down as u8, Ordering::Relaxed);
        (before == Health::Up as u8).then(|| self.event(Cause::Misses(misses)))
    }

    /// A call was answered: misses before do not count. It brings nothing up; a probe does.
    pub(super) fn works(&self) {
        self.live.misses.store(0, Ordering::Relaxed);
        self.live.worked.fetch_add(1, Ordering::Relaxed);
    }

    /// A probe was answered.
    pub(super) fn is_back(&self) -> Option<TargetEvent> {
        self.works();
        let before = self.live.health.swap(Health::Up as u8, Ordering::Relaxed);
        (before == Health::Down as u8).then(|| self.event(Cause::Answer))
    }

    /// Sets what the operator wants; `Up` also forgets failures.
    pub(super) fn set_admin(&self, admin: Admin) -> Option<TargetEvent> {
        let live = &self.live;
        let mut changed = live.admin.swap(admin as u8, Ordering::Relaxed) != admin as u8;
        if admin == Admin::Up {
            live.misses.store(0, Ordering::Relaxed);
            let before = live.health.swap(Health::Up as u8, Ordering::Relaxed);
            changed |= before == Health::Down as u8;
        }
        changed.then(|| self.event(Cause::Admin))
    }

    fn event(&self, cause: Cause) -> TargetEvent {
        TargetEvent {
            id: self.id.clone(),
            uri: self.uri.clone(),
            admin: self.live.admin(),
            health: self.live.health(),
            cause,
        }
    }
}

impl Live {
    pub(super) fn new(weight: u32) -> Self {
        Self {
            admin: AtomicU8::new(Admin::default() as u8),
            health: AtomicU8::new(Health::default() as u8),
            misses: AtomicU32::new(0),
            worked: AtomicU64::new(0),
            weight: AtomicU32::new(weight),
            calls: AtomicU32::new(0),
            attempts: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            talks: AtomicU64::new(0),
            talk_ms: AtomicU64::new(0),
            rings: AtomicU64::new(0),
            ring_ms: AtomicU64::new(0),
            invites: AtomicU64::new(0),
            answered_invites: AtomicU64::new(0),
            silent: Mutex::default(),
        }
    }

    pub(crate) fn admin(&self) -> Admin {
        match self.admin.load(Ordering::Relaxed) {
            n if n == Admin::Drain as u8 => Admin::Drain,
            n if n == Admin::Down as u8 => Admin::Down,
            _ => Admin::Up,
        }
    }

    pub(crate) fn health(&self) -> Health {
        if self.health.load(Ordering::Relaxed) == Health::Down as u8 {
            Health::Down
        } else {
            Health::Up
        }
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// Calls in progress, set-up included.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn worked(&self) -> u64 {
        self.worked.load(Ordering::Relaxed)
    }

    pub(crate) fn misses(&self) -> u32 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Requests sent, answered with 2xx, and failed so that another target was or would have been
    /// tried; since the start.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (
            read(&self.attempts),
            read(&self.answered),
            read(&self.failed),
        )
    }

    /// What its calls were like, since the start.
    pub(crate) fn calling(&self) -> Calling {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Calling {
            invites: read(&self.invites),
            answered: read(&self.answered_invites),
            talks: read(&self.talks),
            talk_ms: read(&self.talk_ms),
            rings: read(&self.rings),
            ring_ms: read(&self.ring_ms),
        }
    }

    /// An INVITE was sent there.
    pub(crate) fn count_invite(&self) {
        self.invites.fetch_add(1, Ordering::Relaxed);
    }

    /// It answered an INVITE with 2xx.
    pub(crate) fn count_answered_invite(&self) {
        self.answered_invites.fetch_add(1, Ordering::Relaxed);
    }

    /// A call that it answered is over.
    pub(crate) fn count_talk(&self, lasted: Duration) {
        self.talks.fetch_add(1, Ordering::Relaxed);
        self.talk_ms.fetch_add(ms(lasted), Ordering::Relaxed);
    }

    /// It rang for the first time, so long after the INVITE.
    pub(crate) fn count_ring(&self, after: Duration) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        self.ring_ms.fetch_add(ms(after), Ordering::Relaxed);
    }

    pub(super) fn count_attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Resource {
    pub(super) fn new(name: &str, max: u32) -> Self {
        Self {
            name: name.into(),
            max: AtomicU32::new(max),
            used: AtomicU32::new(0),
        }
    }

    pub(crate) fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }

    /// Calls that hold a slot; above `max` after this was lowered.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub(super) fn free(&self) -> u32 {
        self.max().saturating_sub(self.used())
    }

    fn take(&self) -> bool {
        let one_more = |used| (used < self.max()).then_some(used + 1);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Held {
    #[expect(dead_code, reason = "for calls that outlive the process")]
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Gives the place and the slots back.
    pub(crate) fn release(self) {
        self.target.live.calls.fetch_sub(1, Ordering::Relaxed);
        for resource in &self.resources {
            resource.give_back();
        }
    }

    /// For [`super::Pools::hold`] after a restart.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for calls that outlive the process")
    )]
    pub(crate) fn save(&self) -> HeldState {
        HeldState {
            pool: self.target.pool.as_ref().to_owned(),
            uri: self.target.uri.clone().into(),
            resources: self.resources.iter().map(|r| r.name.to_string()).collect(),
        }
    }
}
