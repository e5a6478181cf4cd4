//! All calls by call-id, each behind its own lock.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use windlass_ng::CallId;

use super::model::call::Call;
use super::watched::Watch;

/// Shards of the table: several control threads meet on one lock seldom.
const SHARDS: usize = 16;

/// One entry of the table.
pub(super) type Entry = Arc<Slot>;

/// The place of a call.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// `None` once the call has ended: a thread that waited for the lock looks the call-id up again.
    call: Mutex<Option<Call>>,
    /// Somebody had the call since the timers looked at it.
    is_touched: AtomicBool,
    /// For the timers: what it was like then.
    watch: Mutex<Option<Watch>>,
}

impl Slot {
    /// Whether the timers have nothing to do with the call.
    fn is_quiet(&self, clock_ms: u64) -> bool {
        if self.is_touched.load(Relaxed) {
            return false;
        }
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.as_ref().is_some_and(|watch| watch.is_quiet(clock_ms))
    }

    /// Notes what the call is like, for the timers.
    pub(super) fn watch(&self, watch: Watch) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }
}

#[derive(Debug)]
pub(super) struct CallTable {
    shards: Vec<Mutex<HashMap<CallId, Entry, RandomState>>>,
    // Random, since call-ids come from the network.
    hasher: RandomState,
}

impl CallTable {
    pub(super) fn new() -> Self {
        let hasher = RandomState::default();
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::with_hasher(hasher.clone())));
        Self {
            shards: shards.collect(),
            hasher,
        }
    }

    fn shard(&self, id: &CallId) -> MutexGuard<'_, HashMap<CallId, Entry, RandomState>> {
        let hash = self.hasher.hash_one(id);
        // Other bits than the map inside uses for its buckets.
        let index = usize::try_from(hash >> 32).unwrap_or(0) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "index is below SHARDS, the length")]
        let shard = &self.shards[index];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, id: &CallId) -> Option<Entry> {
        self.shard(id).get(id).cloned()
    }

    /// The entry of this call-id; an empty one if there was none.
    pub(super) fn find_or_insert(&self, id: &CallId) -> Entry {
        let mut shard = self.shard(id);
        shard.entry(id.clone()).or_default().clone()
    }

    /// Takes the entry out if it is still this one.
    pub(super) fn remove(&self, id: &CallId, entry: &Entry) {
        let mut shard = self.shard(id);
        if shard
            .get(id)
            .is_some_and(|current| Arc::ptr_eq(current, entry))
        {
            shard.remove(id);
            // A burst of calls must not hold its memory for ever.
            if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
                shard.shrink_to_fit();
            }
        }
    }

    /// Gives the entry `to` the name of the entry `from`, which is a call no more.
    pub(super) fn alias(&self, id: &CallId, from: &Entry, to: &Entry) {
        let mut shard = self.shard(id);
        if shard
            .get(id)
            .is_some_and(|current| Arc::ptr_eq(current, from))
        {
            shard.insert(id.clone(), to.clone());
        }
    }

    /// At most `limit` call-ids.
    pub(super) fn ids(&self, limit: usize) -> Vec<CallId> {
        let mut ids = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            ids.extend(shard.keys().take(limit - ids.len()).cloned());
            if ids.len() == limit {
                break;
            }
        }
        ids
    }

    /// The entries that the timers have to look at.
    pub(super) fn awake(&self, clock_ms: u64) -> Vec<(CallId, Entry)> {
        let mut entries = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let awake = shard.iter().filter(|(_, entry)| !entry.is_quiet(clock_ms));
            entries.extend(awake.map(|(id, entry)| (id.clone(), entry.clone())));
        }
        entries
    }

    /// Every entry, as it stands now.
    pub(super) fn entries(&self) -> Vec<(CallId, Entry)> {
        let mut entries = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            entries.extend(shard.iter().map(|(id, entry)| (id.clone(), entry.clone())));
        }
        entries
    }
}

/// Locks an entry. A call in which a command panicked cannot be trusted any more: it is marked to
/// end at the next turn of the timers.
pub(super) fn lock(entry: &Entry) -> MutexGuard<'_, Option<Call>> {
    let guard = lock_unseen(entry);
    // Under the lock, so that the timers do not take this for older than what they saw.
    entry.is_touched.store(true, Relaxed);
    guard
}

/// The same for the timers, which see what there is to be seen.
pub(super) fn lock_to_look(entry: &Entry) -> MutexGuard<'_, Option<Call>> {
    let guard = lock_unseen(entry);
    entry.is_touched.store(false, Relaxed);
    guard
}

fn lock_unseen(entry: &Entry) -> MutexGuard<'_, Option<Call>> {
    entry.call.lock().unwrap_or_else(|poisoned| {
        entry.call.clear_poison();
        let mut call = poisoned.into_inner();
        if let Some(call) = call.as_mut() {
            call.deletion = Some(call.created.instant);
        }
        call
    })
}
