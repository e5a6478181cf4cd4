//! The cookie cache: a request that was already executed is answered again, not executed again.
//!
//! Proxies resend a request with the same cookie until a reply arrives. Replies live for 30 to
//! 60 s, in two generations that are swapped on look-up. A duplicate of a request still being
//! executed waits for its reply.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::limits::{COOKIE_CACHE_BYTES, COOKIE_ENTRIES};

/// Age at which a generation is replaced by the next.
const GENERATION: Duration = Duration::from_secs(30);
const SHARDS: usize = 8;

/// A reply as it goes on the wire, shared with the cache.
pub type ReplyBytes = Bytes;

/// The cache of one daemon, shared by all transports and peers.
#[derive(Debug)]
pub struct CookieCache {
    shards: [Shard; SHARDS],
    hasher: foldhash::quality::RandomState,
    options: CookieOptions,
    waiting: AtomicUsize,
}

/// Bounds of waiting.
#[derive(Clone, Copy, Debug)]
pub struct CookieOptions {
    /// Longest wait for a reply in progress; the proxy resends after 1 s anyway.
    pub wait: Duration,
    /// Threads that may wait at a time. Beyond it duplicates are dropped, so that retransmissions
    /// of one slow request cannot take every control thread from `ping`.
    pub waiters: usize,
}

impl Default for CookieOptions {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(2),
            waiters: 1,
        }
    }
}

/// Treatment of a request.
#[derive(Debug)]
pub enum Admission<'c> {
    /// Execute it, and tell the ticket the reply.
    Execute(Ticket<'c>),
    /// Executed before: send this.
    Resend(ReplyBytes),
    /// Another thread executes it and was not done within the wait: send nothing.
    Busy,
}

#[derive(Debug, Default)]
struct Shard {
    entries: Mutex<Entries>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Entries {
    swapped: Option<Instant>,
    pending: HashMap<Arc<[u8]>, (), foldhash::fast::RandomState>,
    /// Threads that wait for one of the pending.
    waiters: usize,
    current: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    replies: HashMap<Arc<[u8]>, ReplyBytes, foldhash::fast::RandomState>,
    bytes: usize,
}

impl Default for CookieCache {
    fn default() -> Self {
        Self::new(CookieOptions::default())
    }
}

impl CookieCache {
    /// An empty cache.
    pub fn new(options: CookieOptions) -> Self {
        Self {
            shards: Default::default(),
            hasher: foldhash::quality::RandomState::default(),
            options,
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether the request with this cookie is to be executed. May wait for one in progress.
    pub fn admit(&self, cookie: &[u8], now: Instant) -> Admission<'_> {
        let shard = self.shard(cookie);
        let mut entries = shard.lock();
        entries.age(now);
        if let Some(reply) = entries.find(cookie) {
            return Admission::Resend(reply);
        }
        if entries.pending.contains_key(cookie) {
            return self.wait(shard, entries, cookie);
        }
        let cookie = Arc::<[u8]>::from(cookie);
        entries.pending.insert(Arc::clone(&cookie), ());
        drop(entries);
        Admission::Execute(Ticket { shard, cookie })
    }

    /// Whether the request with this cookie is being executed, so that [`Self::admit`] would wait.
    pub fn is_in_progress(&self, cookie: &[u8]) -> bool {
        self.shard(cookie).lock().pending.contains_key(cookie)
    }

    fn wait<'c>(
        &'c self,
        shard: &'c Shard,
        mut entries: MutexGuard<'_, Entries>,
        cookie: &[u8],
    ) -> Admission<'c> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.options.waiters {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Admission::Busy;
        }
        entries.waiters += 1;
        let pending = |entries: &mut Entries| entries.pending.contains_key(cookie);
        let (mut entries, _) = shard
            .done
            .wait_timeout_while(entries, self.options.wait, pending)
            .unwrap_or_else(PoisonError::into_inner);
        entries.waiters -= 1;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        entries
            .find(cookie)
            .map_or(Admission::Busy, Admission::Resend)
    }

    fn shard(&self, cookie: &[u8]) -> &Shard {
        let hash = self.hasher.hash_one(cookie);
        let [first, ..] = &self.shards;
        // The remainder is below the number of shards.
        usize::try_from(hash % SHARDS as u64)
            .ok()
            .and_then(|i| self.shards.get(i))
            .unwrap_or(first)
    }
}

impl Shard {
    /// Entries are consistent between any two statements, so a poisoned lock is as good.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes threads that wait for a pending request. Without a waiter it costs no system call.
    fn wake(&self, entries: MutexGuard<'_, Entries>) {
        let has_waiters = entries.waiters > 0;
        drop(entries);
        if has_waiters {
            self.done.notify_all();
        }
    }
}

impl Entries {
    /// Swaps generations when due. After a silence of two generations both are stale.
    fn age(&mut self, now: Instant) {
        let swapped = *self.swapped.get_or_insert(now);
        let age = now.saturating_duration_since(swapped);
        if age >= GENERATION {
            self.swap();
            if age >= GENERATION * 2 {
                self.old = Generation::default();
            }
            self.swapped = Some(now);
        }
    }

    fn swap(&mut self) {
        self.old = std::mem::take(&mut self.current);
    }

    fn find(&self, cookie: &[u8]) -> Option<ReplyBytes> {
        self.current
            .replies
            .get(cookie)
            .or_else(|| self.old.replies.get(cookie))
            .cloned()
    }

    /// Keeps a reply. A full generation is swapped early: under a flood memory stays bounded and
    /// the window for duplicates shrinks.
    fn insert(&mut self, cookie: Arc<[u8]>, reply: ReplyBytes) {
        let bytes = cookie.len() + reply.len();
        let full = self.current.replies.len() >= COOKIE_ENTRIES / SHARDS / 2
            || self.current.bytes + bytes > COOKIE_CACHE_BYTES / SHARDS / 2;
        if full {
            self.swap();
        }
        self.current.bytes += bytes;
        self.current.replies.insert(cookie, reply);
    }
}

/// The right and duty to execute one request. Dropped without a reply (a fault), the cookie is
/// free again.
#[derive(Debug)]
pub struct Ticket<'c> {
    shard: &'c Shard,
    cookie: Arc<[u8]>,
}

impl Ticket<'_> {
    /// Stores the reply and wakes the threads that wait for it.
    pub fn finish(mut self, reply: ReplyBytes) {
        let cookie = std::mem::take(&mut self.cookie);
        let mut entries = self.shard.lock();
        entries.pending.remove(&cookie);
        entries.insert(cookie, reply);
        self.shard.wake(entries);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // After `finish` the cookie is empty, which no admitted one is.
        if !self.cookie.is_empty() {
            let mut entries = self.shard.lock();
            entries.pending.remove(&self.cookie);
            self.shard.wake(entries);
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a starting point for passed-in time"
)]
mod tests {
    use super::*;

    fn reply(text: &str) -> ReplyBytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn execute(cache: &CookieCache, cookie: &[u8], now: Instant, text: &str) {
        let Admission::Execute(ticket) = cache.admit(cookie, now) else {
            panic!("known")
        };
        ticket.finish(reply(text));
    }

    fn resends(cache: &CookieCache, cookie: &[u8], now: Instant) -> bool {
        matches!(cache.admit(cookie, now), Admission::Resend(_))
    }

    #[test]
    fn a_reply_lives_thirty_to_sixty_seconds() {
        let cache = CookieCache::default();
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        execute(&cache, b"a", at(0), "A");
        assert!(resends(&cache, b"a", at(29)));
        assert!(resends(&cache, b"a", at(31)), "moved to the old generation");
        assert!(resends(&cache, b"a", at(59)));
        assert!(!resends(&cache, b"a", at(62)), "dropped with it");
        execute(&cache, b"b", at(63), "B");
        assert!(!resends(&cache, b"b", at(200)), "silence does not keep it");
    }

    #[test]
    fn a_duplicate_waits_for_the_reply_in_progress() {
        let cache = CookieCache::default();
        let now = Instant::now();
        let Admission::Execute(ticket) = cache.admit(b"a", now) else {
            panic!()
        };
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| cache.admit(b"a", now));
            while cache.waiting.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            // One waiter is the limit: the next duplicate is dropped, not queued.
            assert!(matches!(cache.admit(b"a", now), Admission::Busy));
            ticket.finish(reply("A"));
            assert!(matches!(waiter.join().unwrap(), Admission::Resend(r) if *r == *b"A"));
        });
    }

    #[test]
    fn waiting_is_bounded_and_a_fault_frees_the_cookie() {
        let options = CookieOptions {
            wait: Duration::from_millis(5),
            waiters: 1,
        };
        let cache = CookieCache::new(options);
        let now = Instant::now();
        let Admission::Execute(ticket) = cache.admit(b"a", now) else {
            panic!()
        };
        assert!(matches!(cache.admit(b"a", now), Admission::Busy));
        drop(ticket);
        execute(&cache, b"a", now, "A");
    }

    #[test]
    fn entries_are_bounded() {
        let mut entries = Entries::default();
        for i in 0..COOKIE_ENTRIES / SHARDS + 10 {
            entries.insert(i.to_string().into_bytes().into(), reply(""));
        }
        assert!(
            entries.current.replies.len() + entries.old.replies.len() <= COOKIE_ENTRIES / SHARDS
        );
        let big = reply(&"x".repeat(COOKIE_CACHE_BYTES / SHARDS / 2 - 10));
        for i in 0..4_u8 {
            entries.insert(Arc::from([i]), big.clone());
        }
        assert_eq!(entries.current.replies.len() + entries.old.replies.len(), 2);
    }
}
