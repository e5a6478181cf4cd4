//! What speaks for a source: live bindings and calls, which protect it, and accepted requests,
//! which make it trusted (spec §12, "Protected sources" and "Three trust levels").

use super::address::Source;
use super::aging::{Aging, Full, Rank};
use super::persist::SavedTrust;
use super::time::Tick;

/// How much a source is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Banned.
    Denied,
    Untrusted,
    /// A peer, or promoted by an accepted registration or call.
    Trusted,
}

/// Why a source is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bond {
    /// A registration whose contact is reached there.
    Binding,
    /// A call with a party there.
    Dialog,
}

/// The standing of one part of the address space.
#[derive(Debug)]
pub(crate) struct Standings {
    table: Aging<Source, Standing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    bindings: u32,
    dialogs: u32,
    trusted_until: Tick,
}

impl Standing {
    fn rank(&self) -> Rank {
        if self.bindings + self.dialogs > 0 {
            Rank::Pinned
        } else {
            Rank::Verified
        }
    }
}

impl Standings {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            table: Aging::new(capacity),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// One more reason to protect a source.
    pub(crate) fn bind(&mut self, key: Source, bond: Bond) -> Result<(), Full> {
        let (standing, _) = self.table.touch(&key, Rank::Pinned, Standing::default)?;
        match bond {
            Bond::Binding => standing.bindings += 1,
            Bond::Dialog => standing.dialogs += 1,
        }
        Ok(())
    }

    /// One less.
    pub(crate) fn unbind(&mut self, key: Source, bond: Bond) {
        let Some(standing) = self.table.get_mut(&key) else {
            return;
        };
        let count = match bond {
            Bond::Binding => &mut standing.bindings,
            Bond::Dialog => &mut standing.dialogs,
        };
        *count = count.saturating_sub(1);
        let now = *standing;
        if now.rank() == Rank::Pinned {
            return;
        }
        if now.trusted_until == Tick::default() {
            self.table.remove(&key);
        } else {
            // It is in the table, so this finds a place.
            let _ = self.table.touch(&key, Rank::Verified, || now);
        }
    }

    /// The source is trusted until then.
    pub(crate) fn promote(&mut self, key: Source, until: Tick) {
        let rank = self.table.get(&key).map_or(Rank::Verified, Standing::rank);
        // A full table of live bonds: the source stays untrusted, and is served.
        if let Ok((standing, _)) = self.table.touch(&key, rank, Standing::default) {
            standing.trusted_until = standing.trusted_until.max(until);
        }
    }

    pub(crate) fn demote(&mut self, key: Source) {
        if let Some(standing) = self.table.get_mut(&key) {
            standing.trusted_until = Tick::default();
        }
    }

    #[inline]
    pub(crate) fn is_protected(&self, key: Source) -> bool {
        self.table
            .get(&key)
            .is_some_and(|s| s.rank() == Rank::Pinned)
    }

    #[inline]
    pub(crate) fn has_binding(&self, key: Source) -> bool {
        self.table.get(&key).is_some_and(|s| s.bindings > 0)
    }

    pub(crate) fn is_trusted(&self, key: Source, now: Tick) -> bool {
        self.table.get(&key).is_some_and(|s| s.trusted_until > now)
    }

    /// The promotions that are in force.
    pub(crate) fn save(&self, now: Tick) -> impl Iterator<Item = SavedTrust> {
        let saved = self.table.iter().map(move |(key, standing, _)| SavedTrust {
            source: *key,
            remaining: standing.trusted_until.since(now),
        });
        saved.filter(|saved| !saved.remaining.is_zero())
    }

    /// Forgets promotions that ended.
    pub(crate) fn sweep(&mut self, budget: usize, now: Tick) {
        let is_over =
            |_: &Source, s: &mut Standing| s.rank() != Rank::Pinned && s.trusted_until <= now;
        self.table.sweep(budget, is_over, |_, _| ());
    }
}
