//! Media that falls silent (spec §9 "Dead peer"), by what the relay says of the last packet of each
//! party.
//!
//! The relay's clock is another: a party is silent as long as that time does not change.

use std::time::{Duration, Instant};

use crate::config::SilentSides;
use crate::side::Side;

/// When each party of a call was last heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// By the relay's clock, and since when it is so by ours: caller, callee.
    heard: [(u64, Instant); 2],
}

impl Silence {
    /// Both count as heard now.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            heard: [(0, now); 2],
        }
    }

    /// What the relay says of a side.
    pub(crate) fn hear(&mut self, side: Side, last: u64, now: Instant) {
        let [caller, callee] = &mut self.heard;
        let heard = match side {
            Side::Caller => caller,
            Side::Callee => callee,
        };
        if last > heard.0 {
            *heard = (last, now);
        }
    }

    /// Nobody is expected to send: both count as heard now.
    pub(crate) fn excuse(&mut self, now: Instant) {
        for (_, since) in &mut self.heard {
            *since = now;
        }
    }

    /// Whether the silence has lasted too long.
    pub(crate) fn is_over(&self, after: Duration, sides: SilentSides, now: Instant) -> bool {
        let is_silent =
            |(_, since): &(u64, Instant)| now.saturating_duration_since(*since) >= after;
        match sides {
            SilentSides::Both => self.heard.iter().all(is_silent),
            SilentSides::One => self.heard.iter().any(is_silent),
        }
    }
}
