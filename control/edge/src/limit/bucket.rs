//! Token buckets (spec §12 stage 14, §13 CPS), as one number per key: the moment at which the
//! bucket is full again.

use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use crate::screen::aging::{Aging, Rank};

/// How fast a bucket fills and how much is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// A second; 0 lets nothing through.
    pub(crate) rate: u32,
    /// At once; 0 counts as 1.
    pub(crate) burst: u32,
}

impl Pace {
    /// Takes one token at `now` from a bucket that is full at `full`; when it is full then, or how
    /// long to wait for a token. Nanoseconds.
    pub(crate) fn take(self, full: u64, now: u64) -> Result<u64, Duration> {
        let Some(step) = SECOND.checked_div(u64::from(self.rate)) else {
            return Err(Duration::from_secs(3600));
        };
        let depth = step.saturating_mul(u64::from(self.burst.max(1)));
        let next = full.max(now).saturating_add(step);
        match next.saturating_sub(now).checked_sub(depth) {
            None | Some(0) => Ok(next),
            Some(late) => Err(Duration::from_nanos(late)),
        }
    }
}

/// The buckets of one class, shared by all shards.
#[derive(Debug)]
pub(crate) struct Buckets {
    parts: Vec<Mutex<Aging<Vec<u8>, u64>>>,
    hasher: RandomState,
    epoch: Instant,
}

impl Buckets {
    /// Up to `capacity` keys; a key that is forgotten for another starts with a full bucket.
    pub(crate) fn new(capacity: usize, now: Instant) -> Self {
        Self {
            parts: (0..PARTS)
                .map(|_| Mutex::new(Aging::new(capacity.div_ceil(PARTS))))
                .collect(),
            hasher: RandomState::default(),
            epoch: now,
        }
    }

    /// Takes a token of `key`, or says how long to wait for one.
    pub(crate) fn take(
        &self,
        key: &[u8],
        rank: Rank,
        pace: Pace,
        now: Instant,
    ) -> Result<(), Duration> {
        let now = nanos(self.epoch, now);
        let Some(part) = self.part(key) else {
            return Ok(());
        };
        let mut part = part.lock();
        // Full of known sources' buckets: a stranger is not counted, and the flood stage holds.
        let Ok((full, _)) = part.touch(key, rank, || 0) else {
            return Ok(());
        };
        *full = pace.take(*full, now)?;
        Ok(())
    }

    /// What [`Self::take`] would say.
    pub(crate) fn peek(&self, key: &[u8], pace: Pace, now: Instant) -> Result<(), Duration> {
        let now = nanos(self.epoch, now);
        let full = self.part(key).and_then(|p| p.lock().get(key).copied());
        pace.take(full.unwrap_or(0), now).map(|_| ())
    }

    fn part(&self, key: &[u8]) -> Option<&Mutex<Aging<Vec<u8>, u64>>> {
        // The table inside hashes with a key of its own.
        let hash = self.hasher.hash_one(key);
        self.parts.get(usize::try_from(hash % PARTS as u64).ok()?)
    }
}

pub(super) fn nanos(epoch: Instant, now: Instant) -> u64 {
    let passed = now.saturating_duration_since(epoch).as_nanos();
    u64::try_from(passed).unwrap_or(u64::MAX)
}

const SECOND: u64 = 1_000_000_000;
const PARTS: usize = 16;
