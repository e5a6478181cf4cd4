//! Who is read first by a shard that does not keep up (spec §12, "Three trust levels"): who is
//! trusted; strangers have a share of the time, and wait when it is used up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits;
use crate::screen::share::Share;
use crate::screen::standing::Level;
use crate::transaction::Packet;
use crate::transport::Flow;

/// Messages of strangers that wait for their turn. Those of one source keep their order.
#[derive(Debug)]
pub(super) struct Turns {
    share: Share,
    later: VecDeque<(Flow, Packet)>,
    is_busy: bool,
}

/// What becomes of a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    Later,
    /// Too many wait.
    Never,
}

impl Turns {
    /// `percent` of the time are for strangers.
    pub(super) fn new(percent: u8, now: Instant) -> Self {
        Self {
            share: Share::new(percent, now),
            later: VecDeque::new(),
            is_busy: false,
        }
    }

    /// `percent` of the time are for strangers from now on.
    pub(super) fn set_share(&mut self, percent: u8) {
        self.share.set(percent);
    }

    /// Whether messages wait too long for the shard.
    pub(super) fn set_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }

    /// Whether levels make a difference now.
    pub(super) fn are_taken(&self) -> bool {
        self.is_busy || !self.later.is_empty()
    }

    /// A message came; if it is for later, it is kept.
    pub(super) fn take(&mut self, level: Level, flow: Flow, bytes: &Packet, now: Instant) -> Turn {
        if level == Level::Trusted {
            return Turn::Now;
        }
        if self.later.is_empty() && self.share.may_take(level, self.is_busy, now) {
            return Turn::Now;
        }
        if self.later.len() >= limits::WAITING_STRANGERS {
            return Turn::Never;
        }
        self.later.push_back((flow, bytes.clone()));
        Turn::Later
    }

    /// A message whose turn has come.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Flow, Packet)> {
        let may = self.share.may_take(Level::Untrusted, self.is_busy, now);
        if may { self.later.pop_front() } else { None }
    }

    /// A message of this level took so long.
    pub(super) fn spend(&mut self, level: Level, time: Duration, now: Instant) {
        self.share.spend(level, time, now);
    }

    /// When strangers get time again, if any wait.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        (!self.later.is_empty()).then(|| self.share.renews())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{Trusted, Untrusted};

    fn flow(port: u16) -> Flow {
        Flow {
            listener: 0,
            peer: ([198, 51, 100, 7], port).into(),
            connection: 0,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn turns() -> (Turns, Instant) {
        let now = Instant::now();
        (Turns::new(30, now), now)
    }

    #[test]
    fn strangers_wait_once_their_share_is_used_up_and_keep_their_order() {
        let (mut turns, mut now) = turns();
        turns.set_busy(true);
        let bytes = |n: u8| Packet::from([n]);
        assert_eq!(turns.take(Untrusted, flow(1), &bytes(1), now), Turn::Now);
        turns.spend(Untrusted, Duration::from_millis(30), now);
        turns.spend(Trusted, Duration::from_millis(50), now);
        for n in 2..5 {
            let turn = turns.take(Untrusted, flow(n.into()), &bytes(n), now);
            assert_eq!(turn, Turn::Later);
            assert_eq!(turns.take(Trusted, flow(9), &bytes(9), now), Turn::Now);
        }
        assert_eq!(turns.next(now), None);
        now = turns.next_timeout().unwrap();
        // The next one does not overtake those that wait, though there is time again.
        assert_eq!(turns.take(Untrusted, flow(5), &bytes(5), now), Turn::Later);
        for n in 2..6 {
            assert_eq!(turns.next(now), Some((flow(n.into()), bytes(n))));
        }
        assert_eq!((turns.next(now), turns.next_timeout()), (None, None));
        assert_eq!(turns.take(Untrusted, flow(6), &bytes(6), now), Turn::Now);
    }

    #[test]
    fn share_may_change() {
        let (mut turns, now) = turns();
        turns.set_busy(true);
        turns.spend(Untrusted, Duration::from_millis(40), now);
        let bytes = Packet::from([0]);
        assert_eq!(turns.take(Untrusted, flow(1), &bytes, now), Turn::Later);
        turns.set_share(50);
        assert_eq!(turns.next(now), Some((flow(1), bytes.clone())));
        assert_eq!(turns.take(Untrusted, flow(1), &bytes, now), Turn::Now);
        turns.set_share(0);
        assert_eq!(turns.take(Untrusted, flow(1), &bytes, now), Turn::Later);
    }

    #[test]
    fn all_are_read_as_they_come_while_there_is_time() {
        let (mut turns, now) = turns();
        assert!(!turns.are_taken());
        turns.spend(Untrusted, Duration::from_secs(1), now);
        let bytes = Packet::from([0]);
        assert_eq!(turns.take(Untrusted, flow(1), &bytes, now), Turn::Now);
    }

    #[test]
    fn only_so_many_wait() {
        let (mut turns, now) = turns();
        turns.set_busy(true);
        turns.spend(Untrusted, Duration::from_secs(1), now);
        let bytes = Packet::from([0]);
        for _ in 0..limits::WAITING_STRANGERS {
            assert_eq!(turns.take(Untrusted, flow(1), &bytes, now), Turn::Later);
        }
        assert_eq!(turns.take(Untrusted, flow(1), &bytes, now), Turn::Never);
        turns.set_busy(false);
        assert!(turns.are_taken(), "until all that wait have had their turn");
        assert!(turns.next(now).is_some());
    }
}
