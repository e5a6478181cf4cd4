//! The tables that shards share, in parts with a lock each.

use std::hash::BuildHasher as _;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::address::Source;
use super::aging::{Aging, Rank};
use super::auth::Guesses;
use super::ban::Bans;
use super::config::Tables;
use super::flood::Floods;
use super::standing::Standings;
use super::time::{Tick, Window};
use crate::limits;

/// What all shards know of sources and users.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) epoch: Instant,
    parts: Vec<Mutex<Part>>,
    /// Of index 0, for a hash that leads nowhere: it does not happen.
    first: Mutex<Part>,
    hasher: RandomState,
    /// Authentication failures by user@realm.
    pub(super) users: Mutex<Aging<Vec<u8>, Window>>,
}

/// What is known of a part of the address space.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) bans: Bans,
    pub(super) floods: Floods,
    pub(super) standings: Standings,
    pub(super) guesses: Guesses,
    /// When an address was last told a lie.
    fakes: Aging<Source, Tick>,
}

impl Shared {
    pub(super) fn new(tables: &Tables, epoch: Instant) -> Self {
        let part = || Mutex::new(Part::new(tables));
        Self {
            epoch,
            parts: (1..limits::SOURCE_PARTS).map(|_| part()).collect(),
            first: part(),
            hasher: RandomState::default(),
            users: Mutex::new(Aging::new(tables.users)),
        }
    }

    /// The part of a source.
    #[inline]
    pub(super) fn part(&self, source: Source) -> &Mutex<Part> {
        let hash = self.hasher.hash_one(source.neighbourhood());
        let at = usize::try_from(hash % limits::SOURCE_PARTS as u64).unwrap_or(0);
        at.checked_sub(1)
            .and_then(|at| self.parts.get(at))
            .unwrap_or(&self.first)
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Mutex<Part>> {
        std::iter::once(&self.first).chain(&self.parts)
    }

    /// A nonce in four bytes.
    pub(super) fn nonce(&self, nonce: &[u8]) -> u32 {
        // A hash of 0 means a place without a nonce.
        u32::try_from(self.hasher.hash_one(nonce) >> 32)
            .unwrap_or(1)
            .max(1)
    }
}

impl Part {
    fn new(tables: &Tables) -> Self {
        // The hash spreads networks unevenly: a quarter more than the share, and some for small
        // tables.
        let share = |entries: usize| (entries + entries / 4).div_ceil(limits::SOURCE_PARTS) + 16;
        Self {
            bans: Bans::new(share(tables.bans)),
            floods: Floods::new(share(tables.floods), share(tables.floods / 4)),
            standings: Standings::new(share(tables.trusted)),
            guesses: Guesses::new(share(tables.auth)),
            fakes: Aging::new(share(tables.floods / 4)),
        }
    }

    /// Whether the address may be told a lie now: once a second.
    pub(super) fn may_fake(&mut self, whole: Source, now: Tick) -> bool {
        let entry = self.fakes.touch(&whole, Rank::Unverified, Tick::default);
        let Ok((last, _)) = entry else {
            return false;
        };
        let is_due = now.since(*last) >= Duration::from_secs(1);
        if is_due {
            *last = now;
        }
        is_due
    }
}
