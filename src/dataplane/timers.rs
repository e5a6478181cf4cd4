//! When flows are to be looked at again: one table per worker, so that nothing walks all flows.
//!
//! A wheel of one turn per second with a slot per millisecond. Setting a timer and taking a due one
//! cost the same however many there are; one that is due later than a turn stays in its slot until
//! its round comes. A timer is never taken back: who asked for it looks whether it still matters.

use std::time::{Duration, Instant};

/// Slots of a turn, one millisecond each. A power of two.
const SLOTS: usize = 1024;

/// Slots that one word of the bitmap stands for.
const WORD: usize = 64;

/// What is due of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Due {
    /// Its gate may have to open: the source may have fallen silent.
    Gate,
    /// Once a second: learning that waits, and the counter of the gate.
    Second,
    /// A packet of a digit.
    Digit,
    /// A report to the party.
    Report,
    /// Who is kept out of the ports whose streams the kernel forwards: once for all of them, of no
    /// flow.
    Knocks,
    /// A packet of converted audio that waits, or is to be made.
    Audio,
}

/// A timer of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    /// The place of the flow in the worker's table, which may be another's by the time it is due.
    pub(super) flow: usize,
    /// Tells the flows of one place apart.
    pub(super) generation: u32,
    pub(super) due: Due,
}

/// The timers that one flow has set: one of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pending(u8);

impl Pending {
    pub(super) fn has(self, due: Due) -> bool {
        self.0 & 1 << due as u8 != 0
    }

    pub(super) fn note(&mut self, due: Due) {
        self.0 |= 1 << due as u8;
    }

    pub(super) fn clear(&mut self, due: Due) {
        self.0 &= !(1 << due as u8);
    }
}

/// The timers of one worker.
#[derive(Debug)]
pub(super) struct Timers {
    started: Instant,
    /// The millisecond up to which timers were taken.
    taken: u64,
    slots: Box<[Vec<(u64, Timer)>]>,
    /// Which slots have timers.
    filled: [u64; SLOTS / WORD],
    /// The millisecond until which the worker waits.
    waits_until: u64,
    /// Something is due before that, and it does not know.
    is_early: bool,
}

impl Timers {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            taken: 0,
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            filled: [0; SLOTS / WORD],
            waits_until: 0,
            is_early: false,
        }
    }

    /// Sets a timer; it is due in the first whole millisecond at or after `at`.
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        let at = at.saturating_duration_since(self.started);
        let millisecond = u64::try_from(at.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        // What is over already is due at once.
        let millisecond = millisecond.max(self.taken + 1);
        let slot = slot_of(millisecond);
        if let (Some(timers), Some(word)) =
            (self.slots.get_mut(slot), self.filled.get_mut(slot / WORD))
        {
            timers.push((millisecond, timer));
            *word |= 1 << (slot % WORD);
            self.is_early |= millisecond < self.waits_until;
        }
    }

    /// The next whole step after the start of the worker.
    pub(super) fn round_up(&self, at: Instant, step: Duration) -> Instant {
        let elapsed = at.saturating_duration_since(self.started).as_nanos();
        let rounded = elapsed.next_multiple_of(step.as_nanos().max(1));
        self.started + Duration::from_nanos(u64::try_from(rounded).unwrap_or(u64::MAX))
    }

    /// Takes the timers that are due into `due`, those of earlier milliseconds first.
    pub(super) fn take(&mut self, now: Instant, due: &mut Vec<Timer>) {
        let until = self.millisecond(now);
        // After a long pause one turn finds everything.
        let turn = SLOTS as u64;
        let first = (self.taken + 1).max((until + 1).saturating_sub(turn));
        let mut next = first;
        while next <= until {
            let Some(slot) = self.next_filled(next, until) else {
                break;
            };
            next = slot + 1;
            self.take_slot(slot_of(slot), until, due);
        }
        self.taken = self.taken.max(until);
    }

    fn take_slot(&mut self, slot: usize, until: u64, due: &mut Vec<Timer>) {
        let (Some(timers), Some(word)) =
            (self.slots.get_mut(slot), self.filled.get_mut(slot / WORD))
        else {
            return;
        };
        timers.retain(|&(at, timer)| {
            if at <= until {
                due.push(timer);
            }
            at > until
        });
        if timers.is_empty() {
            *word &= !(1 << (slot % WORD));
            // A burst of timers does not keep its memory for good.
            if timers.capacity() > KEPT {
                *timers = Vec::new();
            }
        }
    }

    /// Whether something is due before the worker will look; said once.
    pub(super) fn take_early(&mut self) -> bool {
        std::mem::take(&mut self.is_early)
    }

    /// How long the worker may wait, at most a turn.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let turn = SLOTS as u64;
        let elapsed = now.saturating_duration_since(self.started);
        let last = self.taken + turn;
        let due = self.next_filled(self.taken + 1, last).unwrap_or(last);
        self.waits_until = due;
        self.is_early = false;
        Duration::from_millis(due).saturating_sub(elapsed)
    }

    /// The first millisecond from `first` to `last` whose slot has timers, be they of a later turn.
    fn next_filled(&self, first: u64, last: u64) -> Option<u64> {
        let mut at = first;
        while at <= last {
            let slot = slot_of(at);
            let word = self.filled.get(slot / WORD).copied().unwrap_or_default();
            let rest = word >> (slot % WORD);
            if rest != 0 {
                let found = at + u64::from(rest.trailing_zeros());
                return (found <= last).then_some(found);
            }
            at += (WORD - slot % WORD) as u64;
        }
        None
    }

    fn millisecond(&self, at: Instant) -> u64 {
        let at = at.saturating_duration_since(self.started);
        u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Timers that an empty slot keeps room for.
const KEPT: usize = 64;

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is wanted"
)]
fn slot_of(millisecond: u64) -> usize {
    millisecond as usize % SLOTS
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
mod tests {
    use super::*;

    fn timer(flow: usize) -> Timer {
        Timer {
            flow,
            generation: 0,
            due: Due::Gate,
        }
    }

    fn taken(timers: &mut Timers, at: Instant) -> Vec<usize> {
        let mut due = Vec::new();
        timers.take(at, &mut due);
        due.iter().map(|timer| timer.flow).collect()
    }

    #[test]
    fn timers_come_when_they_are_due_and_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new(start);
        assert_eq!(timers.wait(start), Duration::from_millis(1024));
        timers.set(at(60), timer(1));
        timers.set(at(20), timer(2));
        timers.set(at(5_000), timer(3));
        timers.set(start, timer(4));
        assert_eq!(timers.wait(start), Duration::from_millis(1));
        assert_eq!(taken(&mut timers, at(19)), [4]);
        assert_eq!(timers.wait(at(19)), Duration::from_millis(1));
        assert_eq!(taken(&mut timers, at(20)), [2]);
        assert_eq!(taken(&mut timers, at(100)), [1]);
        // The slot of a later round wakes the worker once a turn, for nothing.
        for second in 1..5 {
            assert!(taken(&mut timers, at(second * 1000)).is_empty());
        }
        assert!(taken(&mut timers, at(4_999)).is_empty());
        assert_eq!(taken(&mut timers, at(5_000)), [3]);
        assert!(taken(&mut timers, at(60_000)).is_empty());
    }

    #[test]
    fn a_part_of_a_millisecond_is_waited_for() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.set(start + Duration::from_micros(1500), timer(1));
        assert!(taken(&mut timers, start + Duration::from_micros(1600)).is_empty());
        assert_eq!(taken(&mut timers, start + Duration::from_millis(2)), [1]);
    }

    #[test]
    fn after_a_long_pause_everything_is_due() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        for flow in 0..5_000 {
            let at = start + Duration::from_millis(flow as u64);
            timers.set(at, timer(flow));
        }
        let mut due = taken(&mut timers, start + Duration::from_secs(3));
        due.sort_unstable();
        assert_eq!(due, (0..=3_000).collect::<Vec<_>>());
        assert_eq!(
            taken(&mut timers, start + Duration::from_secs(6)).len(),
            1_999
        );
        assert!(timers.slots.iter().all(|slot| slot.capacity() <= KEPT));
    }

    #[test]
    fn the_wait_ends_at_the_next_timer_in_every_place() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        let mut now = start;
        for ms in [1, 63, 64, 65, 127, 128, 500, 1023, 1024] {
            timers.set(now + Duration::from_millis(ms), timer(0));
            assert_eq!(timers.wait(now), Duration::from_millis(ms), "{ms}");
            now += Duration::from_millis(ms);
            assert_eq!(taken(&mut timers, now), [0]);
        }
    }
}
