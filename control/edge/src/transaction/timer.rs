//! Timers of RFC 3261 §17: their base values, and a table that holds the running ones.

use std::time::{Duration, Instant};

/// Base values of the transaction timers (RFC 3261 table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timers {
    /// Round-trip estimate; the first retransmission comes after this.
    pub t1: Duration,
    /// Longest pause between retransmissions of non-INVITE requests and of final responses.
    pub t2: Duration,
    /// Longest life of a message in the network.
    pub t4: Duration,
    /// Longest time an INVITE may ring without a further provisional response.
    pub timer_c: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_c: Duration::from_secs(180),
        }
    }
}

impl Timers {
    /// 64·T1: timers B, F, H, J, L and M.
    pub fn transaction(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// Timer D: at least 32 s (RFC 3261 §17.1.1.2), or as long as a peer with our T1 repeats itself.
    pub(crate) fn timer_d(&self) -> Duration {
        self.transaction().max(Duration::from_secs(32))
    }
}

/// Purpose of a running timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A, E and G: send the last message again.
    Retransmit,
    /// B, F and H: give up waiting for the other side.
    GiveUp,
    /// D, I, J, K, L and M: absorb repeats, then forget.
    Linger,
}

/// The running timers of one machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimerTable([Option<Instant>; 3]);

impl TimerTable {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        *self.slot(timer) = Some(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        *self.slot(timer) = None;
    }

    pub(crate) fn stop_all(&mut self) {
        self.0 = [None; 3];
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes one timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        [Timer::GiveUp, Timer::Linger, Timer::Retransmit]
            .into_iter()
            .find(|timer| self.slot(*timer).take_if(|at| *at <= now).is_some())
    }

    fn slot(&mut self, timer: Timer) -> &mut Option<Instant> {
        let [retransmit, give_up, linger] = &mut self.0;
        match timer {
            Timer::Retransmit => retransmit,
            Timer::GiveUp => give_up,
            Timer::Linger => linger,
        }
    }
}
