//! Calls that kill the process (spec/survive.md §2.6), as data.
//!
//! Each call that a thread had in hand when the process died gets a strike. At the second one it is
//! put aside. Crashes that no call has in common are the program's: it goes back to the one
//! before, then leaves out kernel flows, then the calls. It is never a loop.

use crate::limits;

/// A crash, and the calls that were in hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// When it was noticed: nanoseconds since the boot.
    pub at_ns: u64,
    /// Numbers of calls.
    pub calls: Vec<u64>,
    /// One of them was put aside since: it says nothing about the program.
    pub is_explained: bool,
}

/// Crashes that are remembered, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The crashes.
    pub crashes: Vec<Crash>,
}

/// How much of the program a start uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All of it.
    Whole,
    /// The program before the last upgrade, if there is one.
    PreviousProgram,
    /// Without kernel flows.
    NoKernelFlows,
    /// Without the calls of before.
    NoCalls,
}

/// What to do at a start after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Calls that are put aside and ended with `QUARANTINE`.
    pub quarantine: Vec<u64>,
    /// With how much of the program to start.
    pub level: Level,
}

impl History {
    /// Takes a crash in and judges it. `has_previous` says whether there is a program of before.
    ///
    /// Strikes do not age with the crashes of a minute: a call that kills once an hour kills. What
    /// is forgotten is the oldest crash of more than [`limits::CRASHES`].
    pub fn crash(&mut self, crash: Crash, has_previous: bool) -> Verdict {
        let mut quarantine: Vec<u64> = crash.calls.clone();
        quarantine.retain(|call| self.strikes(*call) + 1 >= limits::STRIKES_OUT);
        let now_ns = crash.at_ns;
        self.crashes.push(crash);
        let surplus = self.crashes.len().saturating_sub(limits::CRASHES);
        self.crashes.drain(..surplus);
        for crash in &mut self.crashes {
            crash.is_explained |= crash.calls.iter().any(|call| quarantine.contains(call));
        }
        let counts = |crash: &&Crash| {
            let age_ns = now_ns.saturating_sub(crash.at_ns);
            !crash.is_explained && age_ns <= limits::CRASH_SPAN_NS
        };
        let recent = self.crashes.iter().filter(counts).count();
        let level = match (recent / limits::CRASHES_OUT, has_previous) {
            (0, _) => Level::Whole,
            (1, true) => Level::PreviousProgram,
            (1, false) | (2, true) => Level::NoKernelFlows,
            _ => Level::NoCalls,
        };
        Verdict { quarantine, level }
    }

    /// Crashes that had a call in hand.
    #[must_use]
    pub fn strikes(&self, call: u64) -> usize {
        self.crashes
            .iter()
            .filter(|crash| crash.calls.contains(&call))
            .count()
    }

    /// A call that ended has no strikes; numbers are not given out again, so this only saves room.
    pub fn forget(&mut self, call: u64) {
        for crash in &mut self.crashes {
            crash.calls.retain(|other| *other != call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn crash(at_s: u64, calls: &[u64]) -> Crash {
        Crash {
            at_ns: at_s * SECOND,
            calls: calls.to_vec(),
            is_explained: false,
        }
    }

    #[test]
    fn second_strike_puts_a_call_aside() {
        let mut history = History::default();
        let first = history.crash(crash(100, &[1, 2]), true);
        assert_eq!((first.quarantine, first.level), (vec![], Level::Whole));
        // An hour later, beside others.
        let second = history.crash(crash(3700, &[2, 3]), true);
        assert_eq!((second.quarantine, second.level), (vec![2], Level::Whole));
        assert_eq!(
            (history.strikes(1), history.strikes(2), history.strikes(3)),
            (1, 2, 1)
        );
        history.forget(2);
        assert_eq!(history.strikes(2), 0);
    }

    #[test]
    fn crashes_of_a_quarantined_call_do_not_blame_the_program() {
        let mut history = History::default();
        history.crash(crash(100, &[1]), true);
        assert_eq!(history.crash(crash(101, &[1]), true).quarantine, [1]);
        assert_eq!(history.crash(crash(102, &[2]), true).level, Level::Whole);
        assert_eq!(history.crash(crash(103, &[2]), true).quarantine, [2]);
        assert_eq!(history.crash(crash(104, &[3]), true).level, Level::Whole);
    }

    #[test]
    fn three_crashes_in_a_minute_by_no_common_call_are_the_programs() {
        let mut history = History::default();
        let mut levels = Vec::new();
        for at in 0..9 {
            levels.push(history.crash(crash(100 + at, &[at + 1]), true).level);
        }
        use Level::*;
        assert_eq!(
            levels[..5],
            [
                Whole,
                Whole,
                PreviousProgram,
                PreviousProgram,
                PreviousProgram
            ]
        );
        assert_eq!(
            levels[5..],
            [NoKernelFlows, NoKernelFlows, NoKernelFlows, NoCalls]
        );
        let mut alone = History::default();
        let levels = (0..6).map(|at| alone.crash(crash(100 + at, &[]), false).level);
        let levels: Vec<_> = levels.collect();
        assert_eq!(
            levels[2..],
            [NoKernelFlows, NoKernelFlows, NoKernelFlows, NoCalls]
        );
    }

    #[test]
    fn crashes_an_hour_apart_are_not_counted_together() {
        let mut history = History::default();
        for at in 0..20 {
            assert_eq!(history.crash(crash(at * 61, &[]), true).level, Level::Whole);
        }
        assert!(history.crashes.len() <= limits::CRASHES);
    }
}
