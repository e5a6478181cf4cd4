//! Requests that wait for names, and the questions on their way.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::Rng;

use super::cache::{Cache, Lifetimes, Patience, Reading};
use super::walk::{Walk, walk};
use super::{Address, Answer, Destination, DnsServers, Query, ResolveError};
use crate::limits;
use crate::transport::Protocol;

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// Who is asked.
    pub servers: DnsServers,
    /// Ask for NAPTR records. Default true; without, SRV records are asked for at once.
    pub naptr: bool,
    /// Longest time a request waits for names; stale answers serve then (spec §18). Default 2 s.
    pub park: Duration,
    /// How long answers count.
    pub lifetimes: Lifetimes,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: DnsServers::default(),
            naptr: true,
            park: Duration::from_secs(2),
            lifetimes: Lifetimes::default(),
        }
    }
}

/// What a shard looks up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolveConfig {
    /// Protocols in use, by preference where a URI names none (RFC 3263 §4.1). Default UDP, TCP,
    /// TLS.
    pub(crate) protocols: Vec<Protocol>,
    /// Families of addresses that a listener reaches. Default both; IPv6 is tried first.
    pub(crate) families: Families,
    pub(crate) naptr: bool,
    pub(crate) park: Duration,
    pub(crate) lifetimes: Lifetimes,
}

/// Families of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Families {
    #[default]
    Both,
    V4,
    V6,
}

impl Default for ResolveConfig {
    fn default() -> Self {
        let protocols = vec![Protocol::Udp, Protocol::Tcp, Protocol::Tls];
        Self::new(&DnsConfig::default(), protocols, Families::default())
    }
}

impl ResolveConfig {
    /// Protocols and families are those of the listeners.
    pub(crate) fn new(dns: &DnsConfig, protocols: Vec<Protocol>, families: Families) -> Self {
        Self {
            protocols,
            families,
            naptr: dns.naptr,
            park: dns.park,
            lifetimes: dns.lifetimes,
        }
    }
}

/// The end of a look-up.
pub(crate) type Resolved = Result<Vec<Address>, ResolveError>;

/// The look-ups of one shard.
#[derive(Debug, Default)]
pub(crate) struct Resolve {
    config: ResolveConfig,
    cache: Cache,
    parked: HashMap<u64, Destination, foldhash::fast::RandomState>,
    /// Questions under way with the requests that wait for them.
    asked: HashMap<Query, Vec<u64>, foldhash::quality::RandomState>,
    deadlines: BinaryHeap<Reverse<(Instant, u64)>>,
    queries: VecDeque<Query>,
    done: VecDeque<(u64, Resolved)>,
}

impl Resolve {
    pub(crate) fn new(config: ResolveConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// The addresses of `destination`; `None` parks the request under `token`, which no request had
    /// before: [`Self::poll_done`] has the end then, after [`ResolveConfig::park`] at the latest.
    pub(crate) fn resolve(
        &mut self,
        now: Instant,
        token: u64,
        destination: &Destination,
        rng: &mut impl Rng,
    ) -> Option<Resolved> {
        let missing = match self.walk(Reading::new(now), destination, rng) {
            Walk::Ready(addresses) => return Some(Ok(addresses)),
            Walk::Failed(error) => return Some(Err(error)),
            Walk::Missing(missing) => missing,
        };
        if self.parked.len() >= limits::DNS_PARKED || !self.can_ask(&missing) {
            return Some(self.settle(now, destination, ResolveError::Busy, rng));
        }
        let deadline = now + self.config.park;
        self.deadlines.push(Reverse((deadline, token)));
        self.parked.insert(token, destination.clone());
        self.ask(token, missing);
        None
    }

    /// A request that waits no longer, such as one that was cancelled.
    pub(crate) fn forget(&mut self, token: u64) {
        self.parked.remove(&token);
    }

    /// Forgets all answers, so that changed names count at once.
    #[cfg_attr(not(test), expect(dead_code, reason = "for a reload"))]
    pub(crate) fn clear(&mut self) {
        self.cache.clear();
    }

    /// The next question for the driver.
    pub(crate) fn poll_query(&mut self) -> Option<Query> {
        self.queries.pop_front()
    }

    /// The next request that waits no longer.
    pub(crate) fn poll_done(&mut self) -> Option<(u64, Resolved)> {
        self.done.pop_front()
    }

    /// The answer to a question of [`Self::poll_query`]. Answers to others are ignored.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        query: Query,
        answer: Answer,
        rng: &mut impl Rng,
    ) {
        let Some(waiting) = self.asked.remove(&query) else {
            return;
        };
        self.cache.store(now, query, answer, &self.config.lifetimes);
        for token in waiting {
            self.go_on(now, token, rng);
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    /// Lets requests go on that have waited their time, with stale answers if there are any.
    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut impl Rng) {
        while let Some(Reverse((at, token))) = self.deadlines.peek().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop();
            if let Some(destination) = self.parked.remove(&token) {
                let end = self.settle(now, &destination, ResolveError::Unavailable, rng);
                self.done.push_back((token, end));
            }
        }
    }

    /// Answers kept, for metrics.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the admin interface"))]
    pub(crate) fn cached(&self) -> usize {
        self.cache.len()
    }

    fn go_on(&mut self, now: Instant, token: u64, rng: &mut impl Rng) {
        let Some(destination) = self.parked.remove(&token) else {
            return;
        };
        let reading = Reading {
            is_use: false,
            ..Reading::new(now)
        };
        let end = match self.walk(reading, &destination, rng) {
            Walk::Ready(addresses) => Ok(addresses),
            Walk::Failed(error) => Err(error),
            Walk::Missing(missing) if self.can_ask(&missing) => {
                self.parked.insert(token, destination);
                self.ask(token, missing);
                return;
            }
            Walk::Missing(_) => self.settle(now, &destination, ResolveError::Busy, rng),
        };
        self.done.push_back((token, end));
    }

    /// The end with what there is.
    fn settle(
        &self,
        now: Instant,
        destination: &Destination,
        otherwise: ResolveError,
        rng: &mut impl Rng,
    ) -> Resolved {
        let reading = Reading {
            patience: Patience::Over,
            ..Reading::new(now)
        };
        match self.walk(reading, destination, rng) {
            Walk::Ready(addresses) => Ok(addresses),
            Walk::Failed(ResolveError::NoSuchName) => Err(ResolveError::NoSuchName),
            Walk::Failed(_) | Walk::Missing(_) => Err(otherwise),
        }
    }

    fn walk(&self, reading: Reading, destination: &Destination, rng: &mut impl Rng) -> Walk {
        walk(destination, &self.config, &self.cache, reading, rng)
    }

    fn can_ask(&self, missing: &[Query]) -> bool {
        let new = missing.iter().filter(|q| !self.asked.contains_key(q));
        self.asked.len() + new.count() <= limits::DNS_QUERIES
    }

    fn ask(&mut self, token: u64, missing: Vec<Query>) {
        for query in missing {
            let waiting = self.asked.entry(query.clone()).or_insert_with(|| {
                self.queries.push_back(query);
                Vec::new()
            });
            if !waiting.contains(&token) {
                waiting.push(token);
            }
        }
    }
}
