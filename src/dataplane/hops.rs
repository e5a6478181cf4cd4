//! How often media passed this relay already, for calls whose parties are ports of the relay itself.
//!
//! Two calls that name each other's ports would pass every packet on for ever. RTP has no room for
//! a count of hops, so it is kept for the port that a packet is sent to: one more than that of the
//! port it came in on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

use crate::limits::HOPS;

/// A count holds for this long after a packet that confirmed it.
const KEPT_MS: u64 = 1000;

/// The counts of all workers. As many as there are media ports at most.
#[derive(Debug, Default)]
pub(super) struct Hops {
    /// Grows with the table, so that flows look again.
    version: AtomicU32,
    by_port: Mutex<HashMap<SocketAddr, Arc<Hop>, RandomState>>,
}

/// What was sent to one media port by the relay itself.
#[derive(Debug, Default)]
pub(super) struct Hop {
    count: AtomicU32,
    at_ms: AtomicU64,
}

impl Hops {
    /// The count of a media port that is going to be sent to.
    pub(super) fn of(&self, port: SocketAddr) -> Arc<Hop> {
        let mut by_port = self.by_port.lock().unwrap_or_else(PoisonError::into_inner);
        let hop = by_port.entry(port).or_insert_with(|| {
            self.version.fetch_add(1, Relaxed);
            Arc::default()
        });
        Arc::clone(hop)
    }

    /// The count of a media port, if the relay sends to it.
    pub(super) fn find(&self, port: SocketAddr) -> Option<Arc<Hop>> {
        let by_port = self.by_port.lock().unwrap_or_else(PoisonError::into_inner);
        by_port.get(&port).cloned()
    }

    /// Changes whenever the relay begins to send to another port of its own; 0: it sends to none.
    pub(super) fn version(&self) -> u32 {
        self.version.load(Relaxed)
    }
}

impl Hop {
    /// How many calls a packet has passed that came from the relay itself; `None`: too many.
    pub(super) fn passed(&self, now_ms: u64) -> Option<u32> {
        let count = self.count(now_ms);
        (count < HOPS).then_some(count)
    }

    /// A packet that has passed so many calls is sent to the port. The highest count stays while it
    /// is confirmed: new packets must not make way for those that go round.
    pub(super) fn raise(&self, count: u32, now_ms: u64) {
        if count >= self.count(now_ms) {
            self.count.store(count, Relaxed);
            self.at_ms.store(now_ms, Relaxed);
        }
    }

    fn count(&self, now_ms: u64) -> u32 {
        let is_kept = now_ms.saturating_sub(self.at_ms.load(Relaxed)) < KEPT_MS;
        if is_kept { self.count.load(Relaxed) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_kept_for_a_second_and_bounded() {
        let hops = Hops::default();
        let port = "192.0.2.1:30000".parse().unwrap();
        assert!(hops.find(port).is_none());
        assert_eq!(hops.version(), 0);
        let hop = hops.of(port);
        assert!(Arc::ptr_eq(&hop, &hops.of(port)) && hops.version() == 1);
        assert_eq!(hop.passed(5), Some(0));
        hop.raise(7, 10);
        hop.raise(1, 500);
        assert_eq!(hop.passed(1009), Some(7));
        assert_eq!(hop.passed(1010), Some(0));
        hop.raise(8, 1010);
        assert_eq!(hop.passed(1011), None);
        hop.raise(1, 3000);
        assert_eq!(hop.passed(3001), Some(1));
    }
}
