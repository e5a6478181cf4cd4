//! Counts connections, and the bytes of what is not complete yet, in all and of each source.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::HTTP_FREE_BYTES;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    limit: u32,
    per_source: usize,
    /// Bytes that may wait in all, of all that connections have beyond [`HTTP_FREE_BYTES`]; half of
    /// it for one source.
    waiting_bytes: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    waiting: usize,
    sources: HashMap<IpAddr, Usage, foldhash::fast::RandomState>,
}

/// What one source has.
#[derive(Debug, Default)]
struct Usage {
    open: usize,
    waiting: usize,
}

impl Slots {
    pub(super) fn new(all: usize, per_source: usize, waiting_bytes: usize) -> Arc<Self> {
        let limit = u32::try_from(all.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Arc::new(Self {
            all: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            limit,
            // A source without a slot would leave an entry in the table that is never removed.
            per_source: per_source.max(1),
            waiting_bytes,
            table: Mutex::default(),
        })
    }

    /// A place for one more connection, if there is any.
    pub(super) fn take(self: &Arc<Self>, source: IpAddr) -> Option<Slot> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut table = self.table();
        let usage = table.sources.entry(source).or_default();
        if usage.open >= self.per_source {
            return None;
        }
        usage.open += 1;
        drop(table);
        Some(Slot {
            slots: Arc::clone(self),
            source,
            waiting: AtomicUsize::new(0),
            _permit: permit,
        })
    }

    /// Ends when no connection is left.
    pub(super) async fn emptied(&self) {
        let _ = self.all.acquire_many(self.limit).await;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection, free when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    source: IpAddr,
    /// Bytes that came and are not done with. The task of the connection alone changes it.
    waiting: AtomicUsize,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Bytes came; `false` if there is no room for more that waits.
    pub(super) fn came(&self, bytes: usize) -> bool {
        let before = self.waiting.load(Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        let more = counted(after) - counted(before);
        if more > 0 {
            let mut table = self.slots.table();
            let most = self.slots.waiting_bytes;
            let all = table.waiting.saturating_add(more);
            let usage = table.sources.entry(self.source).or_default();
            let of_source = usage.waiting.saturating_add(more);
            if all > most || of_source > most / 2 {
                return false;
            }
            usage.waiting = of_source;
            table.waiting = all;
        }
        self.waiting.store(after, Ordering::Relaxed);
        true
    }

    /// Some of the bytes are done with.
    pub(super) fn done_with(&self, bytes: usize) {
        let before = self.waiting.load(Ordering::Relaxed);
        let after = before.saturating_sub(bytes);
        self.waiting.store(after, Ordering::Relaxed);
        let less = counted(before) - counted(after);
        if less > 0 {
            let mut table = self.slots.table();
            table.waiting = table.waiting.saturating_sub(less);
            if let Some(usage) = table.sources.get_mut(&self.source) {
                usage.waiting = usage.waiting.saturating_sub(less);
            }
        }
    }

    /// A request, or a message, is done with: nothing waits.
    pub(super) fn done(&self) {
        self.done_with(usize::MAX);
    }
}

/// What of it counts.
fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(HTTP_FREE_BYTES)
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.done();
        let mut table = self.slots.table();
        if let Some(usage) = table.sources.get_mut(&self.source) {
            usage.open = usage.open.saturating_sub(1);
            if usage.open == 0 {
                table.sources.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_come_back() {
        let slots = Slots::new(3, 2, 0);
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = slots.take(a);
        let second = slots.take(a);
        assert!(first.is_some() && second.is_some());
        assert!(slots.take(a).is_none(), "too many of one source");
        let third = slots.take(b);
        assert!(
            third.is_some() && slots.take(b).is_none(),
            "too many in all"
        );
        drop((first, second, third));
        assert!(slots.table().sources.is_empty());
        assert!(slots.take(b).is_some());
    }

    #[test]
    fn bytes_that_wait_are_bounded_in_all_and_of_a_source() {
        let slots = Slots::new(9, 9, 1_000);
        let [a, b] = [1, 2].map(|host| IpAddr::from([192, 0, 2, host]));
        let [first, second, third] = [a, a, b].map(|source| slots.take(source).unwrap());
        assert!(first.came(HTTP_FREE_BYTES) && second.came(HTTP_FREE_BYTES));
        assert!(third.came(HTTP_FREE_BYTES) && third.came(1));
        assert_eq!(slots.table().waiting, 1);
        assert!(first.came(300) && second.came(200));
        assert!(!second.came(1), "half is for others");
        assert!(third.came(499));
        assert!(!third.came(1));
        first.done_with(300);
        assert!(second.came(100));
        second.done();
        drop(third);
        assert_eq!(slots.table().waiting, 0);
        drop((first, second));
        assert!(slots.table().sources.is_empty());
    }
}
