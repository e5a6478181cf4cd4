//! Sources that calls leave behind on their ports: a phone that did not hear of the end of its call
//! goes on sending, and must not be heard in the next one (spec: media-behaviour §3.1).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;

use crate::limits::LEFT_SOURCES;
use crate::media::latch::Left;

/// Sources of ended calls by port, for all workers.
#[derive(Debug, Default)]
pub(super) struct LeftSources(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_port: HashMap<SocketAddr, Left, RandomState>,
    /// The ports in order of their calls' ends. A port may be there several times.
    order: VecDeque<SocketAddr>,
}

impl LeftSources {
    /// A call on a port ended.
    pub(super) fn note(&self, port: SocketAddr, left: Left, now: Instant) {
        let mut inner = self.lock();
        let Inner { by_port, order } = &mut *inner;
        // The oldest go when their time is over, or when there are too many.
        while let Some(oldest) = order.front() {
            let is_over = by_port.get(oldest).is_none_or(|left| !left.is_recent(now));
            if !is_over && order.len() < LEFT_SOURCES {
                break;
            }
            by_port.remove(oldest);
            order.pop_front();
        }
        by_port.insert(port, left);
        order.push_back(port);
    }

    /// The source of the last call on a port, if it still counts.
    pub(super) fn on(&self, port: SocketAddr, now: Instant) -> Option<Left> {
        let left = self.lock().by_port.get(&port).copied();
        left.filter(|left| left.is_recent(now))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::media::latch::{Arrival, Kind, Latch, Learning, PeerSpec};
    use crate::media::reach::Reach;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn sources_are_known_for_a_minute_and_bounded() {
        let start = Instant::now();
        let party: SocketAddr = "198.51.100.7:4000".parse().unwrap();
        let mut latch = Latch::new(PeerSpec {
            signalled: Some(party),
            proposed: None,
            others_signalled: Box::default(),
            signalled_private: false,
            trusts_signalled: false,
            received_from: None,
            sends: true,
            wants: true,
            reach: Reach::new([203, 0, 113, 1].into(), Arc::default()),
            is_shown: true,
            learning: Learning::Guarded,
            asymmetric: false,
            strict_source: false,
            media_handover: false,
            nat_wait: false,
            pierce_nat: false,
            is_authenticated: false,
            validated: None,
            signalled_at: start,
        });
        assert!(latch.leave(start).is_none());
        let arrival = Arrival {
            from: party,
            kind: Kind::Opaque,
            sibling: None,
        };
        latch.on_packet(start, &arrival, &mut None);
        let left = latch.leave(start).unwrap();
        let port = |number: u16| SocketAddr::from(([203, 0, 113, 1], number));
        let sources = LeftSources::default();
        sources.note(port(1), left, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(sources.on(port(1), at(59)).is_some());
        assert!(sources.on(port(1), at(60)).is_none() && sources.on(port(2), start).is_none());
        for number in 0..u16::MAX {
            sources.note(port(number), left, start);
        }
        assert!(sources.lock().order.len() <= LEFT_SOURCES);
        assert!(sources.on(port(0), start).is_none());
        assert!(sources.on(port(u16::MAX - 1), start).is_some());
        sources.note(port(1), left, at(61));
        assert_eq!(sources.lock().order.len(), 1);
    }
}
