//! Replies kept for requests that come twice (spec: ng-protocol §3).
//!
//! Two generations of replies, swapped at most every 30 s, so that a reply is kept for 30–60 s. A
//! request whose twin is being served waits for its reply.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::limits::{MAX_CACHED_BYTES, MAX_CACHED_REPLIES};

const GENERATION: Duration = Duration::from_secs(30);

/// The longest that a duplicate waits for its twin. The proxy sends again after a second.
const MAX_WAIT: Duration = Duration::from_secs(5);

type Generation = HashMap<Box<[u8]>, Slot, RandomState>;

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum Claim<'a> {
    /// Serve it, and hand in the reply.
    Serve(Ticket<'a>),
    /// It was served: send this.
    Resend(Arc<[u8]>),
    /// Its twin takes too long: say nothing, the proxy will ask again.
    GiveUp,
}

#[derive(Clone, Debug)]
enum Slot {
    InProgress,
    Done(Arc<[u8]>),
}

/// The cache of all transports.
#[derive(Debug)]
pub struct CookieCache {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug)]
struct State {
    young: Generation,
    old: Generation,
    young_bytes: usize,
    swapped_at: Instant,
}

impl CookieCache {
    /// An empty cache.
    pub fn new(now: Instant) -> Self {
        Self {
            state: Mutex::new(State {
                young: Generation::default(),
                old: Generation::default(),
                young_bytes: 0,
                swapped_at: now,
            }),
            done: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks a cookie up, and claims the request if it is new.
    pub(crate) fn claim(&self, cookie: &[u8], now: Instant) -> Claim<'_> {
        let mut state = self.lock();
        state.age(now);
        loop {
            match state.find(cookie) {
                Some(Slot::Done(reply)) => return Claim::Resend(reply),
                None => {
                    state.young.insert(cookie.into(), Slot::InProgress);
                    return Claim::Serve(Ticket {
                        cache: self,
                        cookie: cookie.into(),
                        reply: None,
                    });
                }
                Some(Slot::InProgress) => {
                    let waited = self.done.wait_timeout(state, MAX_WAIT);
                    let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    state = guard;
                    if timeout.timed_out() {
                        return Claim::GiveUp;
                    }
                }
            }
        }
    }
}

impl State {
    fn age(&mut self, now: Instant) {
        let is_old = now.saturating_duration_since(self.swapped_at) >= GENERATION;
        let is_full =
            self.young.len() >= MAX_CACHED_REPLIES || self.young_bytes >= MAX_CACHED_BYTES;
        if is_old || is_full {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
            self.swapped_at = now;
        }
    }

    fn find(&self, cookie: &[u8]) -> Option<Slot> {
        self.young
            .get(cookie)
            .or_else(|| self.old.get(cookie))
            .cloned()
    }
}

/// The claim on a request. Dropping it without a reply lets the request be served again.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    cache: &'a CookieCache,
    cookie: Box<[u8]>,
    reply: Option<Arc<[u8]>>,
}

impl Ticket<'_> {
    /// Keeps the reply for duplicates.
    pub(crate) fn fulfil(mut self, reply: Arc<[u8]>) {
        self.reply = Some(reply);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        let cookie = std::mem::take(&mut self.cookie);
        state.old.remove(&cookie);
        match self.reply.take() {
            Some(reply) => {
                state.young_bytes += reply.len() + cookie.len();
                state.young.insert(cookie, Slot::Done(reply));
            }
            None => {
                state.young.remove(&cookie);
            }
        }
        drop(state);
        self.cache.done.notify_all();
    }
}
