//! A virtual network: delay, jitter, loss, NATs, walls. Time is what the test says it is.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use windlass_ice::Credentials;
use windlass_ice::agent::{
    Agent, Component, Config, Event, Freshness, LocalCandidate, Mode, RemoteCandidate,
    RemoteParameters, Role, Start, State, UsedPair,
};
use windlass_ice::limits;
use windlass_ice::stun::{Class, IntegrityKey, Message};

pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Host candidates as the engine prints them: component 1 of all addresses first.
pub(crate) fn hosts(addresses: &[&str]) -> Vec<LocalCandidate> {
    let one = |(at, address): (usize, &&str)| LocalCandidate {
        component: Component::Rtp,
        address: addr(address),
        priority: (126 << 24) + ((65_535 - u32::try_from(at).unwrap()) << 8) + 255,
    };
    addresses.iter().enumerate().map(one).collect()
}

/// The same with RTCP on the next port.
pub(crate) fn both(addresses: &[&str]) -> Vec<LocalCandidate> {
    let rtp = hosts(addresses);
    let rtcp = rtp.iter().map(|rtp| LocalCandidate {
        component: Component::Rtcp,
        address: SocketAddr::new(rtp.address.ip(), rtp.address.port() + 1),
        priority: rtp.priority - 1,
    });
    rtp.iter().copied().chain(rtcp).collect()
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) loss: f64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
        }
    }
}

/// Rewrites the source of one inner host; lets in only what answers (RFC 4787: address- and
/// port-dependent filtering, endpoint-independent mapping).
pub(crate) struct Nat {
    pub(crate) inside: IpAddr,
    pub(crate) outside: IpAddr,
    open: Vec<(SocketAddr, SocketAddr)>,
}

impl Nat {
    pub(crate) fn new(inside: &str, outside: &str) -> Self {
        Self {
            inside: inside.parse().unwrap(),
            outside: outside.parse().unwrap(),
            open: Vec::new(),
        }
    }
}

const NAT_OFFSET: u16 = 20_000;

#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Host {
    pub(crate) agent: Agent,
    pub(crate) sockets: Vec<SocketAddr>,
    pub(crate) events: Vec<(Duration, Event)>,
    /// Datagrams as they left, with the time.
    pub(crate) sent: Vec<Datagram>,
}

type Wall = Box<dyn Fn(SocketAddr, SocketAddr) -> bool>;

pub(crate) struct Net {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) rng: StdRng,
    pub(crate) hosts: Vec<Host>,
    pub(crate) link: Link,
    pub(crate) nats: Vec<Nat>,
    /// Each says which ways are blocked.
    pub(crate) walls: Vec<Wall>,
    pub(crate) flight: Vec<Datagram>,
}

pub(crate) fn config(mode: Mode) -> Config {
    Config {
        mode,
        freshness: Freshness::Consent,
        software: "windlass-test".into(),
        tie_breaker: 1,
    }
}

impl Net {
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    pub(crate) fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            rng: StdRng::seed_from_u64(seed),
            hosts: Vec::new(),
            link: Link::default(),
            nats: Vec::new(),
            walls: Vec::new(),
            flight: Vec::new(),
        }
    }

    pub(crate) fn start_with(&mut self, role: Role, candidates: Vec<LocalCandidate>) -> Start {
        Start {
            credentials: Credentials::generate(&mut self.rng),
            role,
            candidates,
        }
    }

    pub(crate) fn add(
        &mut self,
        mut config: Config,
        role: Role,
        candidates: Vec<LocalCandidate>,
    ) -> usize {
        config.tie_breaker = self.rng.random();
        let start = self.start_with(role, candidates);
        let sockets = start.candidates.iter().map(|local| local.address).collect();
        let agent = Agent::new(config, start, self.now).unwrap();
        self.hosts.push(Host {
            agent,
            sockets,
            events: Vec::new(),
            sent: Vec::new(),
        });
        self.hosts.len() - 1
    }

    /// Two full agents that know nothing of each other yet; A controls.
    pub(crate) fn pair(seed: u64, a: Vec<LocalCandidate>, b: Vec<LocalCandidate>) -> Self {
        Self::pair_of(seed, (Mode::Full, a), (Mode::Full, b))
    }

    pub(crate) fn pair_of(
        seed: u64,
        (a_mode, a): (Mode, Vec<LocalCandidate>),
        (b_mode, b): (Mode, Vec<LocalCandidate>),
    ) -> Self {
        let mut net = Self::new(seed);
        net.add(config(a_mode), Role::Controlling, a);
        net.add(config(b_mode), Role::Controlled, b);
        net
    }

    /// `host` learns the credentials of `peer`.
    pub(crate) fn introduce(&mut self, host: usize, peer: usize, mode: Mode) {
        let parameters = RemoteParameters {
            credentials: self.hosts[peer].agent.credentials().clone(),
            mode,
            has_ice2: true,
        };
        let now = self.now;
        self.hosts[host].agent.set_remote(parameters, now).unwrap();
    }

    /// `host` learns these candidates of its peer.
    pub(crate) fn name(&mut self, host: usize, candidates: &[LocalCandidate]) {
        for candidate in candidates {
            let foundation = candidate.address.ip().to_string();
            let _ = self.hosts[host].agent.add_remote(RemoteCandidate {
                component: candidate.component,
                address: candidate.address,
                priority: candidate.priority,
                foundation: foundation.as_bytes(),
            });
        }
    }

    /// Both learn all of each other.
    pub(crate) fn signal(&mut self, a: &[LocalCandidate], b: &[LocalCandidate]) {
        self.introduce(A, B, Mode::Full);
        self.introduce(B, A, Mode::Full);
        self.name(A, b);
        self.name(B, a);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn block(&mut self, wall: impl Fn(SocketAddr, SocketAddr) -> bool + 'static) {
        self.walls.push(Box::new(wall));
    }

    /// Pulls all that waits, and puts it on its way.
    fn pump(&mut self) {
        for at in 0..self.hosts.len() {
            let mut turns = 0;
            loop {
                turns += 1;
                assert!(turns < 200, "the agent wants to be called for ever");
                let mut buffer = [0; limits::MESSAGE];
                while let Some(transmit) = self.hosts[at].agent.poll_transmit(&mut buffer) {
                    let datagram = Datagram {
                        at: self.now,
                        from: transmit.local,
                        to: transmit.to,
                        bytes: buffer[..transmit.len].to_vec(),
                    };
                    self.hosts[at].sent.push(datagram.clone());
                    self.carry(datagram);
                }
                let elapsed = self.elapsed();
                let host = &mut self.hosts[at];
                while let Some(event) = host.agent.poll_event() {
                    host.events.push((elapsed, event));
                }
                if host.agent.poll_timeout().is_none_or(|due| due > self.now) {
                    break;
                }
                host.agent.handle_timeout(self.now, &mut self.rng);
            }
        }
    }

    pub(crate) fn carry(&mut self, mut datagram: Datagram) {
        for nat in &mut self.nats {
            if datagram.from.ip() == nat.inside {
                let mapped = (datagram.from, datagram.to);
                if !nat.open.contains(&mapped) {
                    nat.open.push(mapped);
                }
                let port = datagram.from.port() + NAT_OFFSET;
                datagram.from = SocketAddr::new(nat.outside, port);
            }
        }
        let blocked = |wall: &Wall| wall(datagram.from, datagram.to);
        if self.walls.iter().any(blocked) {
            return;
        }
        for nat in &self.nats {
            if datagram.to.ip() == nat.outside {
                let port = datagram.to.port().wrapping_sub(NAT_OFFSET);
                let inner = SocketAddr::new(nat.inside, port);
                if !nat.open.contains(&(inner, datagram.from)) {
                    return;
                }
                datagram.to = inner;
            } else if datagram.to.ip() == nat.inside {
                return;
            }
        }
        if self.link.loss > 0.0 && self.rng.random_bool(self.link.loss) {
            return;
        }
        let jitter = self.link.jitter.mul_f64(self.rng.random());
        datagram.at = self.now + self.link.delay + jitter;
        self.flight.push(datagram);
    }

    /// Goes on until `until` after the start, or until `done` says so. Returns whether it did.
    pub(crate) fn run(&mut self, until: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.start + until;
        loop {
            self.pump();
            if done(self) {
                return true;
            }
            let landing = self.flight.iter().map(|datagram| datagram.at);
            let due = self
                .hosts
                .iter()
                .filter_map(|host| host.agent.poll_timeout());
            let next = landing.chain(due).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return false;
            };
            self.now = next.max(self.now);
            while let Some(at) = self.flight.iter().position(|flying| flying.at <= self.now) {
                let flying = self.flight.remove(at);
                self.deliver(&flying);
            }
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.elapsed() + time;
        self.run(until, |_| false);
    }

    fn deliver(&mut self, datagram: &Datagram) {
        for host in &mut self.hosts {
            if host.sockets.contains(&datagram.to) {
                host.agent.handle_datagram(
                    datagram.to,
                    datagram.from,
                    &datagram.bytes,
                    self.now,
                    &mut self.rng,
                );
            }
        }
    }

    /// Goes on until both are done; panics if they are not within ten seconds.
    pub(crate) fn complete(&mut self) {
        self.complete_within(Duration::from_secs(10));
    }

    pub(crate) fn complete_within(&mut self, time: Duration) {
        let until = self.elapsed() + time;
        let is_done = |host: &Host| host.agent.state() == State::Completed;
        assert!(
            self.run(until, |net| net.hosts.iter().all(is_done)),
            "{:?}",
            self.hosts
                .iter()
                .map(|host| host.agent.state())
                .collect::<Vec<_>>()
        );
        // What the last response is to tell the other side.
        self.pass(Duration::from_millis(50));
    }

    pub(crate) fn rtp(&self, host: usize) -> Option<UsedPair> {
        self.hosts[host].agent.pair(Component::Rtp)
    }

    pub(crate) fn rtcp(&self, host: usize) -> Option<UsedPair> {
        self.hosts[host].agent.pair(Component::Rtcp)
    }

    /// Both use the same pair, seen from its two ends.
    pub(crate) fn assert_connected(&self, a: &str, b: &str) {
        let expected = |local, remote| UsedPair {
            local: addr(local),
            remote: addr(remote),
            is_selected: true,
        };
        assert_eq!(self.rtp(A), Some(expected(a, b)));
        assert_eq!(self.rtp(B), Some(expected(b, a)));
    }
}

impl Host {
    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events
            .iter()
            .filter(|(_, event)| wanted(event))
            .count()
    }

    pub(crate) fn when(&self, wanted: impl Fn(&Event) -> bool) -> Option<Duration> {
        let mut events = self.events.iter();
        events.find(|(_, event)| wanted(event)).map(|(at, _)| *at)
    }

    /// What was sent of one class.
    pub(crate) fn sent_of(&self, class: Class) -> Vec<&Datagram> {
        let is_wanted = |datagram: &&Datagram| {
            Message::parse(&datagram.bytes).is_ok_and(|message| message.class() == class)
        };
        self.sent.iter().filter(is_wanted).collect()
    }

    pub(crate) fn key(&self) -> IntegrityKey {
        IntegrityKey::new(self.agent.credentials().pwd().expose().as_bytes())
    }
}

pub(crate) fn is_selected(event: &Event) -> bool {
    matches!(event, Event::Selected { .. })
}

pub(crate) fn is_usable(event: &Event) -> bool {
    matches!(event, Event::Usable { .. })
}

pub(crate) fn is_completed(event: &Event) -> bool {
    *event == Event::Completed
}

pub(crate) fn is_lost(event: &Event) -> bool {
    matches!(event, Event::ConsentLost { .. })
}
