//! All calls by call-id, each behind its own lock.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use windlass_ng::CallId;

use super::state::Call;

/// Shards of the table: several control threads meet on one lock seldom.
const SHARDS: usize = 16;

/// One entry of the table. `None` once the call has ended: a thread that waited for the lock looks
/// the call-id up again.
pub(super) type Entry = Arc<Mutex<Option<Call>>>;

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
    entry.lock().unwrap_or_else(|poisoned| {
        entry.clear_poison();
        let mut call = poisoned.into_inner();
        if let Some(call) = call.as_mut() {
            call.deletion = Some(call.created.instant);
        }
        call
    })
}
