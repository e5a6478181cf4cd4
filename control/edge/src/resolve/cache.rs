//! What DNS has said: fresh, stale or negative, under the question it was asked (RFC 2308, RFC 8767).

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Answer, Query, Records};
use crate::limits;

/// How long answers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Least time for which an answer is used, also with a TTL of 0. Default 1 s.
    pub min: Duration,
    /// Longest time for which an answer is used, whatever its TTL. Default 1 day.
    pub max: Duration,
    /// The same for the answer that there is nothing. Default 5 min.
    pub negative_max: Duration,
    /// Time of that answer if it has no SOA (RFC 2308 §5). Default 60 s.
    pub negative_default: Duration,
    /// Time after its end during which an answer is used if no server answers (RFC 8767 §4).
    /// Default 1 day; zero switches it off.
    pub stale: Duration,
    /// Time for which a question is not asked again after no server has answered (RFC 8767 §5,
    /// RFC 2308 §7). Default 5 s.
    pub retry: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(86_400),
            negative_max: Duration::from_secs(300),
            negative_default: Duration::from_secs(60),
            stale: Duration::from_secs(86_400),
            retry: Duration::from_secs(5),
        }
    }
}

/// Which answers are good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Fresh ones, and stale ones whose renewal has just failed.
    Wait,
    /// Whatever there is: the request has waited its time.
    Over,
}

/// How the cache is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) now: Instant,
    pub(super) patience: Patience,
    /// Whether it keeps what it finds from eviction. The request that an answer was fetched for is
    /// no use of it: names that are asked for once leave first.
    pub(super) is_use: bool,
}

impl Reading {
    /// For a request that has just come.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            now,
            patience: Patience::Wait,
            is_use: true,
        }
    }
}

/// An answer of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// No server has answered, and there is no older answer.
    Failed,
    /// To be asked.
    Missing,
    Nothing,
    Records(&'a Records),
}

/// Bounded: the entry that was not used for longest gives way, roughly (the clock algorithm).
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Query, Entry, foldhash::quality::RandomState>,
    /// Questions in the order in which they come up for eviction.
    clock: VecDeque<Query>,
}

#[derive(Debug)]
struct Entry {
    /// `None`: there is nothing.
    records: Option<Records>,
    known: Known,
    used: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// No server has answered; the question is asked again then.
    Never { retry: Instant },
    Since {
        fresh_until: Instant,
        stale_until: Instant,
        /// A renewal has failed; the next one is tried then.
        retry: Option<Instant>,
    },
}

impl Cache {
    pub(super) fn look(&self, query: &Query, reading: Reading) -> Found<'_> {
        let Reading { now, patience, .. } = reading;
        let none = match patience {
            Patience::Wait => Found::Missing,
            Patience::Over => Found::Failed,
        };
        let Some(entry) = self.entries.get(query) else {
            return none;
        };
        if reading.is_use {
            entry.used.set(true);
        }
        let is_good = match entry.known {
            Known::Never { retry } => return if now < retry { Found::Failed } else { none },
            Known::Since {
                fresh_until,
                stale_until,
                retry,
            } => {
                let has_failed = retry.is_some_and(|retry| now < retry);
                let may_be_stale = has_failed || patience == Patience::Over;
                now < fresh_until || may_be_stale && now < stale_until
            }
        };
        match &entry.records {
            _ if !is_good => none,
            Some(records) => Found::Records(records),
            None => Found::Nothing,
        }
    }

    pub(super) fn store(
        &mut self,
        now: Instant,
        query: Query,
        answer: Answer,
        lifetimes: &Lifetimes,
    ) {
        let since = |ttl: Duration| Known::Since {
            fresh_until: now + ttl,
            stale_until: now + ttl + lifetimes.stale,
            retry: None,
        };
        let (records, known) = match answer {
            Answer::Records { mut records, ttl } => {
                records.truncate();
                let ttl = ttl.clamp(lifetimes.min, lifetimes.max.max(lifetimes.min));
                (Some(records), since(ttl))
            }
            Answer::Nothing { ttl } => {
                let ttl = ttl.unwrap_or(lifetimes.negative_default);
                let max = lifetimes.negative_max.max(lifetimes.min);
                (None, since(ttl.clamp(lifetimes.min, max)))
            }
            Answer::Failed => {
                let next = now + lifetimes.retry;
                if let Some(entry) = self.entries.get_mut(&query)
                    && let Known::Since {
                        stale_until, retry, ..
                    } = &mut entry.known
                    && now < *stale_until
                {
                    *retry = Some(next);
                    return;
                }
                (None, Known::Never { retry: next })
            }
        };
        let entry = Entry {
            records,
            known,
            used: Cell::new(false),
        };
        if self.entries.insert(query.clone(), entry).is_none() {
            self.clock.push_back(query);
        }
        self.evict();
    }

    /// Forgets everything: the operator has changed names or servers.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.clock.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn evict(&mut self) {
        while self.entries.len() > limits::DNS_CACHE {
            let Some(query) = self.clock.pop_front() else {
                return;
            };
            // Used entries come around once more; the newest is unused, so this ends.
            match self.entries.get(&query) {
                Some(entry) if entry.used.take() => self.clock.push_back(query),
                _ => {
                    self.entries.remove(&query);
                }
            }
        }
    }
}

impl Records {
    fn truncate(&mut self) {
        match self {
            Self::Addresses(all) => all.truncate(limits::DNS_RECORDS),
            Self::Naptr(all) => all.truncate(limits::DNS_RECORDS),
            Self::Srv(all) => all.truncate(limits::DNS_RECORDS),
        }
    }
}
