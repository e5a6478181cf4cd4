//! Counts connections, in all and of each source.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    all: Arc<Semaphore>,
    limit: u32,
    per_source: usize,
    sources: Mutex<HashMap<IpAddr, usize, foldhash::fast::RandomState>>,
}

impl Slots {
    pub(super) fn new(all: usize, per_source: usize) -> Arc<Self> {
        let limit = u32::try_from(all.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Arc::new(Self {
            all: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            limit,
            // A source without a slot would leave an entry in the table that is never removed.
            per_source: per_source.max(1),
            sources: Mutex::default(),
        })
    }

    /// A place for one more connection, if there is any.
    pub(super) fn take(self: &Arc<Self>, source: IpAddr) -> Option<Slot> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut sources = self.sources();
        let open = sources.entry(source).or_default();
        if *open >= self.per_source {
            return None;
        }
        *open += 1;
        drop(sources);
        Some(Slot {
            slots: Arc::clone(self),
            source,
            _permit: permit,
        })
    }

    /// Ends when no connection is left.
    pub(super) async fn emptied(&self) {
        let _ = self.all.acquire_many(self.limit).await;
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<IpAddr, usize, foldhash::fast::RandomState>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection, free when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    source: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut sources = self.slots.sources();
        if let Some(open) = sources.get_mut(&self.source) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_come_back() {
        let slots = Slots::new(3, 2);
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
        assert!(slots.sources().is_empty());
        assert!(slots.take(b).is_some());
    }
}
