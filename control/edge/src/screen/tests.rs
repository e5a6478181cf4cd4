//! The screen in virtual time.

mod bans;
mod cost;
mod customers;
mod flood;
mod guesses;
mod lists;
mod persist;
mod shards;
mod stages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::{Peer, PeerSource, StagePolicy, Trust, Zone};
use super::verdict::{Do, Verdict};
use super::*;
use crate::record::security::Event;

/// A screen with a clock that stands still until it is told to go on. Zone 0 is untrusted, 1 of
/// peers, 2 inside.
struct Bench {
    screen: Screen,
    t0: Instant,
    now: Instant,
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn config() -> Config {
    Config {
        zones: vec![
            Zone::new("public", Trust::Untrusted),
            Zone::new("carriers", Trust::Peer),
            Zone::new("core", Trust::Inside),
        ],
        peers: vec![Peer {
            name: "carrier".to_owned(),
            sources: vec![peer_source("203.0.113.0/29")],
            ..Peer::default()
        }],
        domains: vec!["example.com".to_owned()],
        ..Config::default()
    }
}

fn peer_source(network: &str) -> PeerSource {
    PeerSource {
        network: network.parse().unwrap(),
        port: None,
        protocol: None,
        certificate: None,
    }
}

impl Bench {
    fn new(config: Config) -> Self {
        let now = origin();
        Self {
            screen: Screen::new(config, Arc::default(), now).unwrap(),
            t0: now,
            now,
        }
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn pass_s(&mut self, seconds: u64) {
        self.pass_ms(seconds * 1000);
    }

    fn early(&self, from: &str) -> Early {
        self.screen
            .judge_before_parsing(&udp(from), b"INVITE sip:x SIP/2.0", self.now)
    }

    fn judge(&self, seen: &Seen<'_>) -> Verdict {
        self.screen.judge(seen, self.now)
    }

    /// Whether a message would get as far as the parser, without counting it.
    fn is_denied(&self, from: &str) -> bool {
        self.screen.level(addr(from), self.now) == Level::Denied
    }

    fn bans(&self) -> Vec<String> {
        let bans = self.screen.bans();
        let running = bans
            .into_iter()
            .filter(|(_, ban)| !self.screen.remaining(ban, self.now).is_zero());
        let mut bans: Vec<_> = running.map(|(source, _)| source.to_string()).collect();
        bans.sort();
        bans
    }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn udp(from: &str) -> Arrival {
    Arrival {
        source: addr(from),
        zone: 0,
        protocol: "UDP",
        is_stream: false,
    }
}

fn tcp(from: &str) -> Arrival {
    Arrival {
        protocol: "TCP",
        is_stream: true,
        ..udp(from)
    }
}

/// An ordinary request of a phone.
fn request<'a>(arrival: Arrival, method: &'a str) -> Seen<'a> {
    Seen {
        arrival,
        certificate: &[],
        method: method.as_bytes(),
        ruri_user: b"200",
        ruri_host: b"example.com",
        from_display: b"",
        from_user: b"100",
        from_host: b"example.com",
        to_user: b"200",
        to_host: b"example.com",
        contact_user: b"100",
        contact_host: b"192.0.2.10",
        asserted_user: b"",
        call_id: b"a84b4c76e66710",
        user_agent: b"Phone 1.0",
        header_order: 1,
        to_us: false,
        known_dialog: false,
        answers_us: false,
        credentials: None,
        nonce: b"",
        others: &[],
        aors: &[],
        accepted_user: None,
        digest_user: None,
    }
}

fn answered<'a>(arrival: Arrival, method: &'a str, code: u16) -> Answered<'a> {
    Answered {
        arrival,
        method: method.as_bytes(),
        code,
        credentials: None,
        nonce: b"",
        others: &[],
        aor: b"100@example.com",
        stale: false,
        challenges: &[],
    }
}

fn events(verdict: &Verdict) -> Vec<Event> {
    verdict.alerts.iter().map(|alert| alert.event).collect()
}

fn code(verdict: &Verdict) -> Option<u16> {
    match verdict.action {
        Action::Reject(refusal) => Some(refusal.code),
        _ => None,
    }
}

fn set(config: &mut Config, stage: Stage, action: Do) {
    let policy = StagePolicy {
        enabled: true,
        action,
        log: true,
    };
    config.zones[0].stages.set(stage, policy);
}
