//! Authentication failures, seen in what the upstream answers (spec §12, stage 13).

use super::address::Source;
use super::aging::{Aging, Rank};
use super::ban::Evidence;
use super::time::{Part, Window};

/// What one part of the address space failed at.
#[derive(Debug)]
pub(crate) struct Guesses {
    table: Aging<Source, Guess>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Guess {
    failures: Window,
    /// Those with verified evidence.
    verified: Window,
    malformed: Window,
    /// The last nonces that were sent there, hashed. A client may open several requests at once.
    nonces: [u32; NONCES],
    next: u8,
}

const NONCES: usize = 8;

/// Failures of a source in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) all: u32,
    pub(crate) verified: u32,
}

impl Guesses {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            table: Aging::new(capacity),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// A nonce went to the source.
    pub(crate) fn challenged(&mut self, key: Source, nonce: u32) {
        let Ok((guess, _)) = self.table.touch(&key, Rank::Unverified, Guess::default) else {
            return;
        };
        if guess.nonces.contains(&nonce) {
            return;
        }
        if let Some(place) = guess.nonces.get_mut(usize::from(guess.next) % NONCES) {
            *place = nonce;
        }
        guess.next = guess.next.wrapping_add(1);
    }

    /// Whether the source was sent this nonce: so it receives what is sent there.
    pub(crate) fn knows(&self, key: Source, nonce: u32) -> bool {
        let guess = self.table.get(&key);
        guess.is_some_and(|g| g.nonces.contains(&nonce))
    }

    pub(crate) fn failed(&mut self, key: Source, evidence: Evidence, part: Part) -> Failed {
        let rank = match evidence {
            Evidence::Verified => Rank::Verified,
            Evidence::Unverified => Rank::Unverified,
        };
        let Ok((guess, _)) = self.table.touch(&key, rank, Guess::default) else {
            return Failed {
                all: 0,
                verified: 0,
            };
        };
        let verified = match evidence {
            Evidence::Verified => guess.verified.count(part),
            Evidence::Unverified => guess.verified.peek(part),
        };
        Failed {
            all: guess.failures.count(part),
            verified,
        }
    }

    /// Malformed messages of the source in the window, with this one.
    pub(crate) fn malformed(&mut self, key: Source, part: Part) -> u32 {
        let entry = self.table.touch(&key, Rank::Unverified, Guess::default);
        entry.map_or(0, |(guess, _)| guess.malformed.count(part))
    }

    /// The failures of each source, for the state that outlives the process.
    pub(crate) fn save(&self, part: Part) -> impl Iterator<Item = SavedGuess> {
        let saved = self.table.iter().map(move |(key, guess, _)| SavedGuess {
            source: *key,
            failures: guess.failures.ages(part),
            verified: guess.verified.ages(part),
        });
        saved.filter(|s| s.failures.iter().any(|count| *count > 0))
    }

    pub(crate) fn restore(&mut self, saved: &SavedGuess, part: Part) {
        let is_verified = saved.verified.iter().any(|count| *count > 0);
        let rank = if is_verified {
            Rank::Verified
        } else {
            Rank::Unverified
        };
        // A smaller table than before: the source starts anew.
        if let Ok((guess, _)) = self.table.touch(&saved.source, rank, Guess::default) {
            guess.failures = Window::from_ages(saved.failures, part);
            guess.verified = Window::from_ages(saved.verified, part);
        }
    }
}

/// Failures of a source by their age, in sixteenths of the window, the youngest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedGuess {
    pub(crate) source: Source,
    pub(crate) failures: [u16; 16],
    pub(crate) verified: [u16; 16],
}
