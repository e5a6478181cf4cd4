//! Time in tables: four bytes where an `Instant` takes sixteen.

use std::time::{Duration, Instant};

const TICK_MS: u64 = 100;

/// The tick of the origin: what was 30 days before it still has a tick.
const ORIGIN: u32 = 30 * 86_400 * 10;

/// Tenths of a second; the default is long before the start of the screen. Good for 13 years, then it stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tick(pub(crate) u32);

impl Tick {
    /// The tick that `now` is in.
    pub(crate) fn at(epoch: Instant, now: Instant) -> Self {
        let passed = now.saturating_duration_since(epoch).as_millis() / u128::from(TICK_MS);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        Self(ORIGIN.saturating_add(passed))
    }

    /// `age` earlier.
    pub(crate) fn before(self, age: Duration) -> Self {
        let ticks = age.as_millis() / u128::from(TICK_MS);
        Self(
            self.0
                .saturating_sub(u32::try_from(ticks).unwrap_or(u32::MAX)),
        )
    }

    /// `duration` later, rounded up: what lasts so long is not over earlier.
    pub(crate) fn after(self, duration: Duration) -> Self {
        let ticks = duration.as_millis().div_ceil(u128::from(TICK_MS));
        Self(
            self.0
                .saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX)),
        )
    }

    /// Time from `earlier` until this; zero if it is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::from(ticks) * TICK_MS)
    }
}

/// Parts of a [`Window`]: it forgets in steps of a sixteenth of its length.
const PARTS: u32 = 16;

/// Counts what happened within the last `length`, exactly, in memory that does not grow with the
/// count. It slides in sixteenths: what it counts is never older than `length`, and what is younger
/// than fifteen sixteenths of it is always counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// The part that was counted in last.
    newest: u32,
    counts: [u16; PARTS as usize],
}

/// The part of a window that a moment falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part(u32);

impl Part {
    pub(crate) fn at(epoch: Instant, now: Instant, length: Duration) -> Self {
        let part = (length.as_micros() / u128::from(PARTS)).max(1);
        let passed = now.saturating_duration_since(epoch).as_micros() / part;
        Self(u32::try_from(passed).unwrap_or(u32::MAX))
    }
}

impl Window {
    /// Counts one more; how many there are then.
    pub(crate) fn count(&mut self, part: Part) -> u32 {
        self.slide(part);
        if let Some(count) = self.counts.get_mut((part.0 % PARTS) as usize) {
            *count = count.saturating_add(1);
        }
        self.total()
    }

    /// How many there are at `part`.
    pub(crate) fn peek(&self, part: Part) -> u32 {
        let mut copy = *self;
        copy.slide(part);
        copy.total()
    }

    /// The counts by age, the youngest first.
    pub(crate) fn ages(&self, part: Part) -> [u16; PARTS as usize] {
        let mut copy = *self;
        copy.slide(part);
        let mut ages = [0; PARTS as usize];
        for (age, place) in (0..PARTS).zip(&mut ages) {
            let at = part.0.wrapping_sub(age) % PARTS;
            *place = copy.counts.get(at as usize).copied().unwrap_or(0);
        }
        ages
    }

    /// The window with these counts.
    pub(crate) fn from_ages(ages: [u16; PARTS as usize], part: Part) -> Self {
        let mut window = Self {
            newest: part.0,
            ..Self::default()
        };
        for (age, count) in (0..PARTS).zip(ages) {
            let at = part.0.wrapping_sub(age) % PARTS;
            if let Some(place) = window.counts.get_mut(at as usize) {
                *place = count;
            }
        }
        window
    }

    fn slide(&mut self, part: Part) {
        // Shards read the clock before they take the lock, so time may stand a little back. Far
        // back, the length of the window is another one than it was: it starts anew.
        if self.newest > part.0.saturating_add(PARTS / 2) {
            *self = Self {
                newest: part.0,
                ..Self::default()
            };
        }
        let passed = part.0.saturating_sub(self.newest).min(PARTS);
        for step in 0..passed {
            if let Some(count) = self
                .counts
                .get_mut((part.0.wrapping_sub(step) % PARTS) as usize)
            {
                *count = 0;
            }
        }
        self.newest = self.newest.max(part.0);
    }

    fn total(&self) -> u32 {
        self.counts.iter().map(|count| u32::from(*count)).sum()
    }
}
