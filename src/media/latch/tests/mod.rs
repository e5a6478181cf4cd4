//! A latch in virtual time.

mod media_03_1_guarded;
mod media_03_1_moves;
mod media_03_learning;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::media::reach::{Prefix, Reach, Rules};

const NAT: &str = "198.51.100.7:41000";
const THIEF: &str = "203.0.113.66:5000";
const PUBLIC: &str = "198.51.100.10:4000";
const PRIVATE: &str = "192.168.1.10:4000";

/// A latch in virtual time, with a source of packets for each address.
struct Scene {
    latch: Latch,
    peer: PeerSpec,
    now: Instant,
    events: Vec<Event>,
    sibling: Option<SocketAddr>,
}

/// The operator forbids 192.0.2.0/24.
fn rules() -> Arc<Rules> {
    let forbidden = Prefix {
        address: [192, 0, 2, 0].into(),
        bits: 24,
    };
    Arc::new(Rules {
        forbidden: vec![forbidden],
        ..Rules::default()
    })
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn new(signalled: Option<&str>, change: impl FnOnce(&mut PeerSpec)) -> Self {
        let now = Instant::now();
        let mut peer = PeerSpec {
            signalled: signalled.map(at),
            proposed: None,
            others_signalled: Box::default(),
            signalled_private: signalled == Some(PRIVATE),
            trusts_signalled: false,
            received_from: None,
            sends: true,
            wants: true,
            reach: Reach::new([203, 0, 113, 1].into(), rules()),
            is_shown: true,
            learning: Learning::Guarded,
            asymmetric: false,
            strict_source: false,
            media_handover: false,
            nat_wait: false,
            pierce_nat: false,
            is_authenticated: false,
            validated: None,
            signalled_at: now,
        };
        change(&mut peer);
        Self {
            latch: Latch::new(peer.clone()),
            peer,
            now,
            events: Vec::new(),
            sibling: None,
        }
    }

    fn wait(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    fn packet(&mut self, from: &str, kind: Kind) -> Verdict {
        let arrival = Arrival {
            from: at(from),
            kind,
            sibling: self.sibling,
        };
        let mut event = None;
        let verdict = self.latch.on_packet(self.now, &arrival, &mut event);
        self.events.extend(event);
        verdict
    }

    fn rtp(&mut self, from: &str, ssrc: u32, sequence: u16) -> bool {
        let kind = Kind::Rtp {
            ssrc,
            sequence,
            negotiated: true,
        };
        self.packet(from, kind) == Verdict::Accept
    }

    /// Packets 20 ms apart; how many of them were accepted.
    fn stream(&mut self, from: &str, ssrc: u32, first: u16, count: u16) -> usize {
        let accepted = (0..count).filter(|i| {
            self.wait(20);
            self.rtp(from, ssrc, first.wrapping_add(*i))
        });
        accepted.count()
    }

    fn goes_to(&self, address: &str) -> bool {
        self.latch.destination() == Some(at(address))
    }

    fn signal(&mut self, change: impl FnOnce(&mut PeerSpec)) {
        self.peer.signalled_at = self.now;
        change(&mut self.peer);
        self.latch.update(self.peer.clone(), self.now);
    }

    fn tick(&mut self) {
        let mut event = None;
        self.latch.handle_timeout(self.now, &mut event);
        self.events.extend(event);
    }
}
