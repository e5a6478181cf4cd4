//! Whether it is time for a flow to move: down only after it was fit for a while, longer each time
//! that it had to come back soon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_kernel_assist::flows::Figures;

use super::wish::Wish;
use crate::flow::path::WhyUp;
use crate::flow::stats::FlowStats;

/// How long a flow is fit before it moves down.
const SHORTEST_TRIAL: Duration = Duration::from_secs(1);

/// The same of one that never stays.
const LONGEST_TRIAL: Duration = Duration::from_secs(64);

/// Who stays down for so long has not moved to and fro.
const STEADY: Duration = Duration::from_secs(30);

/// Packets within a second that the kernel was to forward and passed up, and that bring a flow back:
/// some were waiting in the queue of its port when it went.
const STRAYS: u32 = 16;

/// Where a flow is, and since when.
#[derive(Debug)]
pub(in crate::dataplane) struct Descent {
    trial: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A worker forwards it; fit to move since then.
    Up(Option<Instant>),
    Down(Box<Down>),
}

/// A flow that the kernel forwards.
#[derive(Debug)]
pub(in crate::dataplane) struct Down {
    pub(in crate::dataplane) wish: Wish,
    /// The figures that were taken in.
    pub(in crate::dataplane) seen: Figures,
    /// Counters of the port that its packets leave from.
    pub(in crate::dataplane) out: Arc<FlowStats>,
    since: Instant,
    strays: u32,
    strays_since: Instant,
}

impl Default for Descent {
    fn default() -> Self {
        Self {
            trial: SHORTEST_TRIAL,
            state: State::Up(None),
        }
    }
}

impl Descent {
    /// The flow, if the kernel has it.
    pub(in crate::dataplane) fn down(&self) -> Option<&Down> {
        match &self.state {
            State::Down(down) => Some(down),
            State::Up(_) => None,
        }
    }

    pub(in crate::dataplane) fn down_mut(&mut self) -> Option<&mut Down> {
        match &mut self.state {
            State::Down(down) => Some(down),
            State::Up(_) => None,
        }
    }

    /// Nothing speaks against it. Whether it has been so for long enough.
    pub(in crate::dataplane) fn is_fit(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Up(since) => {
                let since = *since.get_or_insert(now);
                now.saturating_duration_since(since) >= self.trial
            }
            State::Down(_) => false,
        }
    }

    /// Something speaks against it.
    pub(in crate::dataplane) fn is_unfit(&mut self) {
        if let State::Up(since) = &mut self.state {
            *since = None;
        }
    }

    /// The kernel did not take it.
    pub(in crate::dataplane) fn refused(&mut self) {
        self.is_unfit();
        self.lengthen();
    }

    /// The kernel has it. `seen`: the figures that it goes on from.
    pub(in crate::dataplane) fn lowered(
        &mut self,
        wish: Wish,
        seen: Figures,
        out: Arc<FlowStats>,
        now: Instant,
    ) {
        self.state = State::Down(Box::new(Down {
            wish,
            seen,
            out,
            since: now,
            strays: 0,
            strays_since: now,
        }));
    }

    /// A worker has it again, for this reason; gives what it was below.
    pub(in crate::dataplane) fn raised(&mut self, why: WhyUp, now: Instant) -> Option<Down> {
        let State::Down(down) = std::mem::replace(&mut self.state, State::Up(None)) else {
            return None;
        };
        match now.saturating_duration_since(down.since) >= STEADY {
            true => self.trial = SHORTEST_TRIAL,
            // Who listens says nothing, and has three seconds for it each time.
            false if why == WhyUp::Silent => {}
            false => self.lengthen(),
        }
        Some(*down)
    }

    fn lengthen(&mut self) {
        self.trial = (self.trial * 2).min(LONGEST_TRIAL);
    }
}

impl Down {
    /// A packet came up that the kernel was to forward. Whether that is one too many.
    pub(in crate::dataplane) fn strays(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.strays_since) >= Duration::from_secs(1) {
            self.strays_since = now;
            self.strays = 0;
        }
        self.strays += 1;
        self.strays >= STRAYS
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
mod tests {
    use super::*;
    use crate::flow::PayloadTypes;

    fn lower(descent: &mut Descent, now: Instant) {
        let address = ([192, 0, 2, 1], 30_000).into();
        let wish = Wish {
            local: address,
            source: address,
            from: address,
            to: address,
            types: PayloadTypes::default(),
            clock_rate: 8000,
            dscp: 0,
        };
        descent.lowered(wish, Figures::default(), Arc::default(), now);
    }

    /// The seconds after which a flow that is always fit moves down.
    fn trial(descent: &mut Descent, now: &mut Instant) -> u64 {
        let mut seconds = 0;
        while !descent.is_fit(*now) {
            *now += Duration::from_secs(1);
            seconds += 1;
        }
        lower(descent, *now);
        seconds
    }

    #[test]
    fn who_comes_back_soon_waits_longer_each_time() {
        let mut now = Instant::now();
        let mut descent = Descent::default();
        let mut waited = Vec::new();
        for _ in 0..8 {
            waited.push(trial(&mut descent, &mut now));
            now += Duration::from_secs(2);
            let mut raise = || descent.raised(WhyUp::Moved, now);
            assert!(raise().is_some() && raise().is_none());
        }
        assert_eq!(waited, [1, 2, 4, 8, 16, 32, 64, 64]);
        trial(&mut descent, &mut now);
        now += STEADY;
        descent.raised(WhyUp::Moved, now);
        assert_eq!(trial(&mut descent, &mut now), 1);
        // A pause is no reason to wait longer the next time.
        descent.raised(WhyUp::Silent, now);
        assert_eq!(trial(&mut descent, &mut now), 1);
    }

    #[test]
    fn what_is_unfit_for_a_moment_starts_anew() {
        let mut now = Instant::now();
        let mut descent = Descent::default();
        assert!(!descent.is_fit(now));
        now += Duration::from_millis(900);
        descent.is_unfit();
        assert!(!descent.is_fit(now));
        now += Duration::from_millis(900);
        assert!(!descent.is_fit(now));
        now += Duration::from_millis(100);
        assert!(descent.is_fit(now));
        descent.refused();
        assert_eq!(trial(&mut descent, &mut now), 2);
    }

    #[test]
    fn a_few_packets_that_come_up_are_no_reason() {
        let mut now = Instant::now();
        let mut descent = Descent::default();
        lower(&mut descent, now);
        let down = descent.down_mut().unwrap();
        for _ in 0..40 {
            assert!(!down.strays(now));
            now += Duration::from_millis(100);
        }
        now += Duration::from_secs(1);
        let first = (1..).find(|_| down.strays(now));
        assert_eq!(first, Some(STRAYS));
    }
}
