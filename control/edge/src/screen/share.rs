//! The share of a busy shard's time that strangers get (spec §12, "Three trust levels").

use std::time::{Duration, Instant};

use super::standing::Level;

/// Time of one shard, spent on untrusted messages and in all, in periods of a tenth of a second.
#[derive(Debug)]
pub(crate) struct Share {
    /// Of 100.
    percent: u32,
    began: Instant,
    untrusted: Duration,
}

const PERIOD: Duration = Duration::from_millis(100);

impl Share {
    pub(crate) fn new(percent: u8, now: Instant) -> Self {
        Self {
            percent: u32::from(percent.min(100)),
            began: now,
            untrusted: Duration::ZERO,
        }
    }

    /// Strangers get this percentage from now on.
    pub(crate) fn set(&mut self, percent: u8) {
        self.percent = u32::from(percent.min(100));
    }

    /// Time that was spent on messages of this level.
    pub(crate) fn spend(&mut self, level: Level, time: Duration, now: Instant) {
        self.turn(now);
        if level != Level::Trusted {
            self.untrusted += time;
        }
    }

    /// Whether messages of this level are taken while trusted ones wait, or would.
    pub(crate) fn may_take(&mut self, level: Level, is_busy: bool, now: Instant) -> bool {
        self.turn(now);
        !is_busy || level == Level::Trusted || self.untrusted < PERIOD * self.percent / 100
    }

    /// When the period ends.
    pub(crate) fn renews(&self) -> Instant {
        self.began + PERIOD
    }

    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began) >= PERIOD {
            self.began = now;
            self.untrusted = Duration::ZERO;
        }
    }
}
