//! When which target gets an OPTIONS, and what the answer means (spec §14, Probing).
//!
//! One `Prober` runs per process. Use: [`Prober::poll`] until it has nothing, send each
//! [`ToProbe`] as OPTIONS within no dialog, give the end to [`Prober::handle_result`] with its
//! number, and come back at [`Prober::next_timeout`]. A probe that has no end within its timeout is
//! a miss; a result that comes later is ignored.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use rand::Rng;

use super::config::{CodeRange, Probe};
use super::live::{Admin, Health, Target};
use super::pools::Pools;
use crate::limits;

/// An OPTIONS to send.
#[derive(Clone, Debug)]
pub(crate) struct ToProbe {
    /// Unique; goes back with the result.
    pub(crate) number: u64,
    /// Its destination is looked up as that of a call, and its addresses are tried in order while
    /// they are unreachable: the target works if one of them does. The zone says from which listener.
    pub(crate) target: Arc<Target>,
}

/// How an OPTIONS ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// A final response.
    Answered(u16),
    /// It could not be sent, or its name could not be looked up.
    Unreachable,
}

/// The probes of all targets.
#[derive(Debug)]
pub(crate) struct Prober {
    pools: Arc<Pools>,
    entries: Vec<Entry>,
    /// When which entry is looked at next.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    sequence: u64,
}

#[derive(Debug)]
struct Entry {
    target: Arc<Target>,
    /// When the next probe is due.
    next: Instant,
    /// That one shows whether the target works; nothing is known of it yet.
    is_first: bool,
    under_way: Option<UnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    number: u64,
    deadline: Instant,
}

impl Prober {
    /// Each target is probed within a second, whatever its mode: nothing is known of it. Probes after
    /// that are spread over the interval, so that they stay apart.
    pub(crate) fn new(now: Instant, pools: Arc<Pools>, rng: &mut impl Rng) -> Self {
        let mut prober = Self {
            pools: pools.clone(),
            entries: Vec::new(),
            timers: BinaryHeap::new(),
            sequence: 0,
        };
        prober.reload(now, pools, rng);
        prober
    }

    /// Goes on with another snapshot. Targets that stay keep their turn; those that are new, or down, are
    /// probed within a second.
    pub(crate) fn reload(&mut self, now: Instant, pools: Arc<Pools>, rng: &mut impl Rng) {
        let before = std::mem::take(&mut self.entries);
        self.timers.clear();
        for target in pools.targets().filter(|t| t.probe != Probe::Never) {
            let known = before
                .iter()
                .find(|e| Arc::ptr_eq(&e.target.live, &target.live));
            let interval = target.probing.interval;
            let soon = now
                + limits::FIRST_PROBE
                    .min(interval)
                    .mul_f64(rng.random_range(0.0..1.0));
            let next = match known {
                Some(known) if target.live().health() == Health::Up => {
                    known.next.min(now + interval)
                }
                Some(known) => known.next.min(soon),
                None => soon,
            };
            self.timers.push(Reverse((next, self.entries.len())));
            self.entries.push(Entry {
                target: target.clone(),
                next,
                is_first: known.is_none_or(|known| known.is_first),
                under_way: None,
            });
        }
        self.pools = pools;
    }

    /// The next probe to send now; `None` until [`Self::next_timeout`].
    pub(crate) fn poll(&mut self, now: Instant, rng: &mut impl Rng) -> Option<ToProbe> {
        while let Some(Reverse((at, index))) = self.timers.peek().copied() {
            if at > now {
                return None;
            }
            self.timers.pop();
            let Some(entry) = self.entries.get_mut(index) else {
                continue;
            };
            if entry
                .under_way
                .take_if(|probe| probe.deadline <= now)
                .is_some()
            {
                self.pools.tell(entry.target.miss());
            }
            let mut probe = None;
            if entry.next <= now && entry.under_way.is_none() {
                let interval = entry.target.probing.interval;
                let is_first = std::mem::take(&mut entry.is_first);
                // A tenth more or less, so that edges and targets do not march in step.
                let pause = match is_first {
                    true => rng.random_range(0.5..1.1),
                    false => rng.random_range(0.9..1.1),
                };
                entry.next = now + interval.mul_f64(pause);
                if is_wanted(&entry.target, is_first) {
                    self.sequence += 1;
                    let number = self.sequence;
                    let deadline = now + entry.target.probing.timeout.min(interval.mul_f64(0.9));
                    entry.under_way = Some(UnderWay { number, deadline });
                    let target = entry.target.clone();
                    probe = Some(ToProbe { number, target });
                }
            }
            let deadline = entry.under_way.map(|probe| probe.deadline);
            let wake = deadline.map_or(entry.next, |deadline| deadline.min(entry.next));
            self.timers.push(Reverse((wake, index)));
            if probe.is_some() {
                return probe;
            }
        }
        None
    }

    /// The end of a probe.
    pub(crate) fn handle_result(&mut self, number: u64, result: ProbeResult) {
        let is_it = |entry: &&mut Entry| entry.under_way.is_some_and(|p| p.number == number);
        let Some(entry) = self.entries.iter_mut().find(is_it) else {
            return;
        };
        entry.under_way = None;
        let alive = &entry.target.probing.alive;
        let event = match result {
            ProbeResult::Answered(code) if CodeRange::any(alive, code) => entry.target.is_back(),
            ProbeResult::Answered(_) | ProbeResult::Unreachable => entry.target.miss(),
        };
        self.pools.tell(event);
    }

    /// When to call [`Self::poll`]; `None` if no target is probed.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }
}

/// An operator who has taken a target down wants silence there.
fn is_wanted(target: &Target, is_first: bool) -> bool {
    let live = target.live();
    match target.probe {
        _ if live.admin() == Admin::Down => false,
        Probe::Always => true,
        Probe::Never => false,
        Probe::WhenDown => is_first || live.health() == Health::Down,
    }
}
