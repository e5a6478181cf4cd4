//! Who follows the journal: positions in it, and nothing else (spec/survive.md §2.1).
//!
//! A follower takes what is new whenever it likes. One that is behind what is retained, or that
//! begins, takes all records that count first. So nobody who appends ever waits for one, and none
//! has a queue that could grow.

use crate::journal::{Journal, Step};
use crate::record::Header;

pub mod disk;
pub mod sealed;
#[cfg(test)]
mod tests;

/// Where the records go.
pub trait Sink {
    /// All records that count come now; what was taken before is no longer needed.
    fn begin(&mut self);
    /// A record. Of a call the one with the highest number counts, also if one comes twice.
    fn record(&mut self, header: &Header, body: &[u8]);
    /// All that counted at this position have come.
    fn end(&mut self, position: u64);
}

/// A position in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Follower {
    /// `None`: it has nothing yet.
    position: Option<u64>,
}

impl Follower {
    /// One that goes on from a position, as a peer names it when it comes back.
    #[must_use]
    pub fn at(position: u64) -> Self {
        Self {
            position: Some(position),
        }
    }

    /// Begins anew at the next [`Self::pull`].
    pub fn restart(&mut self) {
        self.position = None;
    }

    /// The position that it has reached.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.position
    }

    /// How far it is behind, in units of 64 bytes.
    #[must_use]
    pub fn lag(&self, journal: &Journal) -> u64 {
        journal
            .position()
            .saturating_sub(self.position.unwrap_or(0))
    }

    /// Takes what is new, at most so many records (and all that count, if it has to begin).
    /// Gives back how many came.
    pub fn pull(&mut self, journal: &Journal, most: usize, sink: &mut impl Sink) -> usize {
        let mut taken = 0;
        let mut body = Vec::new();
        while taken < most {
            let Some(position) = self.position else {
                taken += self.begin(journal, sink);
                continue;
            };
            match journal.read(position, &mut body) {
                Step::Record { header, next } => {
                    sink.record(&header, &body);
                    self.position = Some(next);
                    taken += 1;
                }
                Step::Idle => break,
                Step::Behind => self.position = None,
            }
        }
        taken
    }

    fn begin(&mut self, journal: &Journal, sink: &mut impl Sink) -> usize {
        // What is appended while the records are read comes again afterwards.
        let position = journal.position();
        let mut taken = 1;
        sink.begin();
        journal.live(|header, body| {
            sink.record(header, body);
            taken += 1;
        });
        sink.end(position);
        self.position = Some(position);
        taken
    }
}
