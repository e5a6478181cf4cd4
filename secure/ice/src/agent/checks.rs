//! When checks are sent (RFC 8445 §6.1.4, §14; spec: media-behaviour §5).

use std::time::Instant;

use rand::RngCore;

use super::consent::transaction;
use super::event::Event;
use super::output::Outgoing;
use super::pair::{Check, Pair, Stage};
use super::{Agent, Mode, Nomination, Phase};
use crate::limits;

impl Agent {
    /// Nominates, retransmits, starts a check and gives up, as far as it is due.
    pub(super) fn check(&mut self, now: Instant, rng: &mut dyn RngCore) {
        if let Nomination::Scheduled(at) = self.current.nomination
            && at <= now
        {
            self.nominate(now);
        }
        let is_due = self.next_run().is_some_and(|at| at <= now);
        if is_due && self.out.len() + limits::REQUESTS_PER_RUN <= limits::OUTGOING {
            self.run(now, rng);
            self.run_at = now + limits::PACE;
        }
        if let Phase::Checking { until } = self.current.phase
            && until <= now
            && !self.has_hope()
        {
            self.current.phase = Phase::Failed;
            self.tell(Event::Failed);
        }
    }

    /// When [`Agent::check`] has something to do.
    pub(super) fn next_check(&self) -> Option<Instant> {
        let nomination = match self.current.nomination {
            Nomination::Scheduled(at) => Some(at),
            _ => None,
        };
        let end = match self.current.phase {
            Phase::Checking { until } if !self.has_hope() => Some(until),
            _ => None,
        };
        let times = [nomination, end, self.next_run()];
        times.into_iter().flatten().min()
    }

    /// Whether a pair works, or may still come to work by a check of ours.
    fn has_hope(&self) -> bool {
        let is_full = self.config.mode == Mode::Full;
        let is_tried = |pair: &Pair| is_full && (pair.is_open() || pair.check().is_some());
        let mut pairs = self.current.pairs.iter();
        let is_used = self.current.used.iter().any(Option::is_some);
        is_used || pairs.any(is_tried)
    }

    /// When a check is started or repeated.
    fn next_run(&self) -> Option<Instant> {
        if self.config.mode == Mode::Lite || self.current.remote.is_none() {
            return None;
        }
        if !self.current.triggered.is_empty() || self.current.pairs.iter().any(Pair::is_open) {
            return Some(self.run_at);
        }
        let checks = self.current.pairs.iter().filter_map(Pair::check);
        let first = checks.map(|check| check.next).min()?;
        Some(first.max(self.run_at))
    }

    fn run(&mut self, now: Instant, rng: &mut dyn RngCore) {
        let mut budget = limits::REQUESTS_PER_RUN;
        let mut failed = Vec::new();
        for pair in &mut self.current.pairs {
            let id = pair.id;
            let Some(check) = pair.check_mut().filter(|check| check.next <= now) else {
                continue;
            };
            // One is left for a new check.
            if check.is_spent() {
                failed.push(id);
            } else if budget > 1 {
                check.again(now);
                self.out.push_back(Outgoing::Check { pair: id });
                budget -= 1;
            }
        }
        for id in failed {
            self.fail(id, now, rng);
        }
        if let Some(id) = self.next_to_check(now, rng) {
            self.send(Outgoing::Check { pair: id });
        }
    }

    /// Starts the next check: a triggered one, else of the best waiting pair, else of the best frozen.
    fn next_to_check(&mut self, now: Instant, rng: &mut dyn RngCore) -> Option<u32> {
        let role = self.role;
        while let Some(triggered) = self.current.triggered.pop_front() {
            let stage = self.current.pair(triggered.pair).map(|pair| &pair.stage);
            let begins = matches!(stage, Some(Stage::Frozen | Stage::Waiting | Stage::Failed));
            let repeats = if begins {
                self.current.retransmissions(triggered.pair)
            } else {
                limits::RETRANSMISSIONS
            };
            let Some(pair) = self.current.pair_mut(triggered.pair) else {
                continue;
            };
            match &mut pair.stage {
                Stage::Frozen | Stage::Waiting | Stage::Failed => {
                    pair.stage =
                        Stage::InProgress(Check::new(transaction(rng), role, repeats, now));
                }
                Stage::InProgress(check) => check.renew(now),
                Stage::Succeeded if triggered.nominates => {
                    pair.stage =
                        Stage::Nominating(Check::new(transaction(rng), role, repeats, now));
                }
                Stage::Succeeded | Stage::Nominating(_) | Stage::Lost => continue,
            }
            return Some(pair.id);
        }
        let open = self.current.pairs.iter().filter(|pair| pair.is_open());
        let rank = |pair: &&Pair| (matches!(pair.stage, Stage::Waiting), pair.priority);
        let best = open.max_by_key(rank)?.id;
        let repeats = self.current.retransmissions(best);
        let pair = self.current.pair_mut(best)?;
        pair.stage = Stage::InProgress(Check::new(transaction(rng), role, repeats, now));
        Some(pair.id)
    }

    /// A check came to nothing.
    pub(super) fn fail(&mut self, id: u32, now: Instant, rng: &mut dyn RngCore) {
        let Some(pair) = self.current.pair_mut(id) else {
            return;
        };
        let component = pair.component;
        let was_nominated = matches!(pair.stage, Stage::Nominating(_));
        pair.stage = Stage::Failed;
        if was_nominated {
            self.current.nomination = Nomination::Idle;
        }
        let used = self.current.used.get_mut(component);
        if used
            .as_ref()
            .is_some_and(|used| used.pair == id && !used.is_selected)
        {
            *used = None;
        }
        self.settle(now, rng);
    }

    /// Checks a pair again that has succeeded once.
    pub(super) fn recheck(&mut self, id: u32) {
        if let Some(pair) = self.current.pair_mut(id)
            && matches!(pair.stage, Stage::Succeeded)
        {
            pair.stage = Stage::Waiting;
            self.current.trigger(id, false);
        }
    }
}
