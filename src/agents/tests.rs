//! Agents against a peer of the same crates, in virtual time, without threads.
#![expect(clippy::disallowed_methods, reason = "tests need a start of time")]

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass_dtls::{
    Certificate, CertificateConfig, Connected, Event as DtlsEvent, Fingerprint, HashFunction, Role,
    Session, SessionConfig,
};
use windlass_ice::Credentials;
use windlass_ice::agent::{
    Agent as IceAgent, Component as IceComponent, Config, Freshness, LocalCandidate, Mode,
    RemoteCandidate, RemoteParameters, Role as IceRole, Start,
};
use windlass_srtp::{Keys, Open, Suite};

use super::Settings;
use super::inbox::Inbox;
use super::shard::{Output, Shard};
use crate::flow::Component;
use crate::flow::agent::{
    AgentEvent, AgentInbox, AgentNumber, AgentSpec, Components, Destinations, DtlsSpec, Found,
    Handed, IceCandidate, IceSpec,
};
use crate::limits::{FOUND_INTERVAL, HANDSHAKES_PER_SOURCE};
use crate::media::reach::Rules;

const CALL: u64 = 7;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ours() -> SocketAddr {
    addr("203.0.113.1:30000")
}

fn theirs() -> SocketAddr {
    addr("198.51.100.20:4000")
}

fn stranger() -> SocketAddr {
    addr("198.51.100.66:4000")
}

/// Certificates of the relay, of its peer, and of somebody else: a key takes a while to make.
fn certificate(of: usize) -> Arc<Certificate> {
    static ALL: OnceLock<[Arc<Certificate>; 3]> = OnceLock::new();
    let make = || {
        let config = CertificateConfig::default();
        Arc::new(Certificate::generate(&config, SystemTime::now()).unwrap())
    };
    ALL.get_or_init(|| std::array::from_fn(|_| make()))[of].clone()
}

fn fingerprint(of: usize) -> Fingerprint {
    certificate(of).fingerprint(HashFunction::Sha256)
}

fn credentials(text: &str) -> Credentials {
    Credentials::new(text, &text.repeat(6)).unwrap()
}

fn ice_config() -> Config {
    Config {
        mode: Mode::Full,
        freshness: Freshness::Consent,
        software: "windlass-1".into(),
        tie_breaker: 9,
    }
}

/// A party with its ICE and DTLS, as far as it has them.
struct Peer {
    at: SocketAddr,
    ice: Option<IceAgent>,
    dtls: Option<Session>,
    events: Vec<DtlsEvent>,
    is_gone: bool,
}

impl Peer {
    fn rtcp_at(&self) -> SocketAddr {
        SocketAddr::new(self.at.ip(), self.at.port() + 1)
    }

    fn connected(&self) -> Option<&Connected> {
        let connected = self.events.iter().rev().find_map(|event| match event {
            DtlsEvent::Connected(connected) => Some(connected),
            _ => None,
        });
        connected.map(|connected| &**connected)
    }
}

/// A shard with one agent, a peer, and a network that delivers at once.
struct World {
    shard: Shard,
    inbox: Inbox,
    spec: AgentSpec,
    peer: Peer,
    now: Instant,
    rng: StdRng,
    found: Found,
    /// When it was told.
    found_at: Vec<Instant>,
    told: Vec<AgentEvent>,
    /// What came for the agent, and workers did not let in.
    refused: usize,
    /// Datagrams of the agent to anybody else than the peer.
    astray: Vec<SocketAddr>,
    sent: usize,
}

impl World {
    /// Without ICE and DTLS, and without the agent itself.
    fn new() -> Self {
        let settings = Settings {
            ice: ice_config(),
            mtu: SessionConfig::MTU,
        };
        let spec = AgentSpec {
            number: AgentNumber::default(),
            ports: Components {
                rtp: Some(ours()),
                rtcp: None,
            },
            rtcp_ports: Vec::new(),
            mux: true,
            ice: None,
            dtls: None,
            signalled: Components {
                rtp: Some(theirs()),
                rtcp: None,
            },
            is_private: false,
            reach: Destinations(Arc::new(Rules::default())),
        };
        let inbox = Inbox::new(1);
        Self {
            shard: Shard::new(settings, inbox.gates(0), StdRng::seed_from_u64(1)),
            inbox,
            spec,
            peer: Peer {
                at: theirs(),
                ice: None,
                dtls: None,
                events: Vec::new(),
                is_gone: false,
            },
            now: Instant::now(),
            rng: StdRng::seed_from_u64(2),
            found: Found::default(),
            found_at: Vec::new(),
            told: Vec::new(),
            refused: 0,
            astray: Vec::new(),
            sent: 0,
        }
    }

    /// DTLS with our role; the peer has the other one, and the certificate `of`.
    fn with_dtls(mut self, role: Role, of: usize) -> Self {
        self.spec.dtls = Some(DtlsSpec {
            certificate: certificate(0),
            role: Some(role),
            fingerprints: Some(vec![fingerprint(1)]),
            their_tls_id: None,
            tls_id: b"ours".as_slice().into(),
        });
        self.peer.dtls = Some(self.session(role, of));
        self
    }

    /// The peer's side of a session.
    fn session(&self, our_role: Role, of: usize) -> Session {
        let role = match our_role {
            Role::Active => Role::Passive,
            Role::Passive => Role::Active,
        };
        let config = SessionConfig {
            fingerprints: Some(vec![fingerprint(0)]),
            ..SessionConfig::new(certificate(of), role)
        };
        Session::new(config, self.now).unwrap()
    }

    fn with_ice(mut self) -> Self {
        let local = |address| LocalCandidate {
            component: IceComponent::Rtp,
            address,
            priority: 2_130_706_431,
        };
        self.spec.ice = Some(IceSpec {
            ours: credentials("ours"),
            mode: Mode::Full,
            is_controlling: true,
            candidates: vec![local(ours())],
            theirs: Some(parameters("them")),
            remote: vec![IceCandidate {
                component: Component::Rtp,
                address: theirs(),
                priority: 2_130_706_431,
                foundation: b"1".as_slice().into(),
            }],
        });
        self.peer.ice = Some(self.peer_ice("them", "ours"));
        self
    }

    /// The peer's agent, under its name, for ours.
    fn peer_ice(&self, name: &str, ours_name: &str) -> IceAgent {
        let start = Start {
            credentials: credentials(name),
            role: IceRole::Controlled,
            candidates: vec![LocalCandidate {
                component: IceComponent::Rtp,
                address: self.peer.at,
                priority: 2_130_706_431,
            }],
        };
        let mut agent = IceAgent::new(ice_config(), start, self.now).unwrap();
        agent.set_remote(parameters(ours_name), self.now).unwrap();
        agent
            .add_remote(RemoteCandidate {
                component: IceComponent::Rtp,
                address: ours(),
                priority: 2_130_706_431,
                foundation: b"1",
            })
            .unwrap();
        agent
    }

    /// Signalling says what the spec says.
    fn apply(&mut self) {
        self.shard.apply(CALL, 0, vec![self.spec.clone()], self.now);
    }

    fn arrives(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.arrives_on(ours(), from, datagram);
    }

    /// As a worker hands it over.
    fn arrives_on(&mut self, local: SocketAddr, from: SocketAddr, datagram: &[u8]) {
        match self.inbox.take(self.spec.number, local, from, datagram) {
            Handed::Taken => self.take_in(),
            Handed::Refused => self.refused += 1,
            Handed::NoRoom => panic!("no room"),
        }
    }

    fn take_in(&mut self) {
        for arrived in self.inbox.wait(0, Some(self.now)).unwrap() {
            self.shard.handle_arrived(&arrived, self.now);
        }
    }

    /// Media comes from where none goes to.
    fn hears_media(&mut self, from: SocketAddr) {
        self.inbox.hear(self.spec.number, ours(), from);
        self.take_in();
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while self.exchange() {}
            let peer = &self.peer;
            let ice = peer.ice.as_ref().and_then(|ice| ice.poll_timeout());
            let dtls = peer.dtls.as_ref().and_then(|dtls| dtls.poll_timeout());
            let due = [self.shard.poll_timeout(), ice, dtls];
            let next = due.into_iter().flatten().min().unwrap_or(end);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next) + Duration::from_micros(10);
            while self.shard.handle_timeout(self.now, 4) {}
            if let Some(ice) = &mut self.peer.ice {
                ice.handle_timeout(self.now, &mut self.rng);
            }
            if let Some(dtls) = &mut self.peer.dtls {
                dtls.handle_timeout(self.now);
            }
        }
    }

    /// Delivers what waits; whether there was something.
    fn exchange(&mut self) -> bool {
        let mut is_busy = false;
        for output in self.shard.take_outputs() {
            is_busy = true;
            match output {
                Output::Send(departure) => {
                    let (local, to) = (departure.local, departure.to);
                    let datagram = departure.datagram;
                    self.sent += 1;
                    match to == self.peer.at || to == self.peer.rtcp_at() {
                        true => self.hear(local, to, &datagram),
                        false => self.astray.push(to),
                    }
                }
                Output::Found { call, found, .. } => {
                    assert_eq!(call, CALL);
                    self.found = found;
                    self.found_at.push(self.now);
                }
                Output::Tell { event, .. } => self.told.push(event),
            }
        }
        // Where from, where to, what.
        let mut datagrams = Vec::new();
        let mut buffer = vec![0; windlass_ice::limits::MESSAGE];
        if let Some(ice) = &mut self.peer.ice {
            while let Some(transmit) = ice.poll_transmit(&mut buffer) {
                let datagram = buffer[..transmit.len].to_vec();
                datagrams.push((transmit.local, transmit.to, datagram));
            }
            while ice.poll_event().is_some() {}
        }
        if let Some(dtls) = &mut self.peer.dtls {
            while let Some(transmit) = dtls.poll_transmit(&mut buffer) {
                let to = transmit.to.unwrap_or_else(ours);
                datagrams.push((self.peer.at, to, buffer.clone()));
            }
            self.peer
                .events
                .extend(std::iter::from_fn(|| dtls.poll_event()));
        }
        for (from, local, datagram) in datagrams {
            if !self.peer.is_gone {
                is_busy = true;
                self.arrives_on(local, from, &datagram);
            }
        }
        is_busy
    }

    fn hear(&mut self, from: SocketAddr, at: SocketAddr, datagram: &[u8]) {
        if self.peer.is_gone {
            return;
        }
        let peer = &mut self.peer;
        match (
            windlass_dtls::is_dtls(datagram),
            &mut peer.dtls,
            &mut peer.ice,
        ) {
            (true, Some(dtls), _) => dtls.handle_datagram(from, datagram, self.now),
            (false, _, Some(ice)) => {
                ice.handle_datagram(at, from, datagram, self.now, &mut self.rng);
            }
            _ => {}
        }
    }

    /// What we seal, the peer opens, and the other way round.
    fn assert_keys_fit(&self) {
        let protection = self.found.keys.rtp.as_ref().expect("keys");
        let connected = self.peer.connected().expect("keys of the peer");
        let suite = Suite::from_dtls_profile(connected.profile.id()).unwrap();
        let keys = |of: &windlass_dtls::SrtpKeys| {
            Keys::new(suite, of.key.as_bytes(), of.salt.as_bytes()).unwrap()
        };
        let plain = [&[0x80, 8, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4][..], &[0xd5; 160]].concat();
        let mut packet = plain.clone();
        protection.seal(&mut packet).unwrap();
        let mut peer = Open::new(vec![keys(&connected.remote)]).unwrap();
        let length = peer.rtp(&mut packet).unwrap();
        assert_eq!(packet[..length], plain);
        assert_eq!(protection.suite(), suite.name());
    }

    /// A ClientHello of somebody else.
    fn stray_hello(&self) -> Vec<u8> {
        let mut session = self.session(Role::Passive, 2);
        let mut hello = Vec::new();
        session.poll_transmit(&mut hello).unwrap();
        hello
    }
}

fn parameters(name: &str) -> RemoteParameters {
    RemoteParameters {
        credentials: credentials(name),
        mode: Mode::Full,
        has_ice2: false,
    }
}

const SECOND: Duration = Duration::from_secs(1);

mod attacks;
mod moves;
mod persist;

#[test]
fn dtls_connects_in_either_role() {
    for role in [Role::Active, Role::Passive] {
        let mut world = World::new().with_dtls(role, 1);
        world.apply();
        world.run(SECOND);
        world.assert_keys_fit();
        assert!(matches!(world.told[..], [AgentEvent::DtlsConnected { .. }]));
        assert!(world.astray.is_empty());
        // Quiet from now on.
        let sent = world.sent;
        world.run(60 * SECOND);
        assert_eq!(world.sent, sent);
    }
}

#[test]
fn a_hello_from_elsewhere_is_not_answered_and_ends_nothing() {
    for role in [Role::Active, Role::Passive] {
        let mut world = World::new().with_dtls(role, 1);
        world.apply();
        let hello = world.stray_hello();
        for _ in 0..100 {
            world.arrives(stranger(), &hello);
        }
        world.run(SECOND);
        world.assert_keys_fit();
        let keys = world.found.keys.rtp.clone();
        world.arrives(stranger(), &hello);
        // Nor one that pretends to come from the party: nothing in the clear ends an association.
        world.arrives(theirs(), &hello);
        world.run(60 * SECOND);
        assert_eq!((world.astray.len(), &world.found.keys.rtp), (0, &keys));
        assert!(matches!(world.told[..], [AgentEvent::DtlsConnected { .. }]));
    }
}

#[test]
fn behind_nat_the_certificate_tells_who_the_party_is() {
    let mut world = World::new().with_dtls(Role::Passive, 2);
    world.spec.signalled.rtp = Some(addr("10.0.0.9:4000"));
    world.spec.is_private = true;
    world.apply();
    // Somebody else comes first, with a certificate of its own.
    world.peer.at = stranger();
    world.run(SECOND);
    assert_eq!(world.found.keys.rtp, None);
    assert!(
        matches!(world.told[..], [AgentEvent::DtlsFailed { .. }]),
        "{:?}",
        world.told
    );
    world.peer.at = theirs();
    world.peer.dtls = Some(world.session(Role::Passive, 1));
    world.run(5 * SECOND);
    world.assert_keys_fit();
}

#[test]
fn a_wrong_certificate_gives_no_keys() {
    for role in [Role::Active, Role::Passive] {
        let mut world = World::new().with_dtls(role, 2);
        world.apply();
        world.run(5 * SECOND);
        assert_eq!(world.found, Found::default());
        let reasons: Vec<&str> = world
            .told
            .iter()
            .map(|event| match event {
                AgentEvent::DtlsFailed { reason, .. } => reason.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(reasons, ["peer certificate rejected: fingerprint mismatch"]);
    }
}

#[test]
fn a_hello_before_the_answer_is_kept() {
    let mut world = World::new().with_dtls(Role::Passive, 1);
    let decided = world.spec.clone();
    let dtls = world.spec.dtls.as_mut().unwrap();
    (dtls.role, dtls.fingerprints) = (None, None);
    world.spec.is_private = true;
    world.spec.signalled.rtp = None;
    world.apply();
    world.run(Duration::from_millis(10));
    assert_eq!((world.sent, world.found.keys.rtp.is_none()), (0, true));
    world.spec = decided;
    world.apply();
    // Sooner than the peer would say it again.
    world.run(Duration::from_millis(10));
    world.assert_keys_fit();
}

#[test]
fn keys_wait_for_the_fingerprint() {
    let mut world = World::new().with_dtls(Role::Passive, 1);
    let known = world.spec.clone();
    world.spec.dtls.as_mut().unwrap().fingerprints = None;
    world.apply();
    world.run(SECOND);
    assert_eq!(world.found.keys.rtp, None);
    world.spec = known;
    world.apply();
    world.run(SECOND);
    world.assert_keys_fit();
}

#[test]
fn a_peer_that_comes_late_is_greeted_again() {
    let mut world = World::new().with_dtls(Role::Active, 1);
    world.peer.is_gone = true;
    world.apply();
    world.run(95 * SECOND);
    assert!(
        matches!(world.told[..], [AgentEvent::DtlsFailed { .. }]),
        "{:?}",
        world.told
    );
    world.peer.is_gone = false;
    world.run(60 * SECOND);
    world.assert_keys_fit();
}

#[test]
fn another_tls_id_is_another_association() {
    for role in [Role::Active, Role::Passive] {
        let mut world = World::new().with_dtls(role, 1);
        world.apply();
        world.run(SECOND);
        let first = world.found.keys.rtp.clone();
        let dtls = world.spec.dtls.as_mut().unwrap();
        dtls.their_tls_id = Some(b"other".as_slice().into());
        world.apply();
        // The old keys are good until there are new ones.
        assert_eq!(world.found.keys.rtp, first);
        world.peer.dtls = Some(world.session(role, 1));
        world.run(5 * SECOND);
        assert_ne!(world.found.keys.rtp, first);
        world.assert_keys_fit();
    }
}

#[test]
fn the_end_of_a_call_says_good_bye() {
    let mut world = World::new().with_dtls(Role::Passive, 1);
    world.apply();
    world.run(SECOND);
    // What becomes part of another call goes on.
    world.shard.apply(8, 1, vec![world.spec.clone()], world.now);
    world.shard.apply(CALL, 0, Vec::new(), world.now);
    assert!(world.shard.take_departures().is_empty());
    world.shard.apply(8, 1, Vec::new(), world.now);
    let departures = world.shard.take_departures();
    let [bye] = &departures[..] else {
        panic!("{departures:?}");
    };
    assert_eq!((bye.worker, bye.to), (1, theirs()));
    world.hear(ours(), theirs(), &bye.datagram);
    world.shard.take_outputs();
    world.exchange();
    assert!(matches!(world.peer.events[..], [_, DtlsEvent::Closed(_)]));
    assert_eq!(world.shard.poll_timeout(), None);
}

#[test]
fn with_ice_dtls_waits_for_a_pair() {
    for role in [Role::Active, Role::Passive] {
        let mut world = World::new().with_ice().with_dtls(role, 1);
        // SDP names nothing of use.
        world.spec.signalled.rtp = Some(addr("0.0.0.0:9"));
        let peer_dtls = world.peer.dtls.take();
        world.apply();
        // Nobody has shown to be the party yet.
        let hello = world.stray_hello();
        world.arrives(stranger(), &hello);
        world.arrives(theirs(), &hello);
        world.peer.dtls = peer_dtls;
        world.run(5 * SECOND);
        let path = world.found.paths.rtp.unwrap();
        assert_eq!(
            (path.local, path.remote, path.is_selected),
            (ours(), theirs(), true)
        );
        assert_eq!(world.found.sources, [(ours(), theirs())]);
        world.assert_keys_fit();
        assert!(world.astray.is_empty());
        let (selected, connected) = (
            |event: &AgentEvent| matches!(event, AgentEvent::PairSelected { .. }),
            |event: &AgentEvent| matches!(event, AgentEvent::DtlsConnected { .. }),
        );
        assert_eq!(world.told.iter().filter(|event| selected(event)).count(), 1);
        assert_eq!(
            world.told.iter().filter(|event| connected(event)).count(),
            1
        );
    }
}

#[test]
fn an_ice_restart_keeps_the_association() {
    let mut world = World::new().with_ice().with_dtls(Role::Passive, 1);
    world.apply();
    world.run(5 * SECOND);
    let keys = world.found.keys.rtp.clone();
    // The party comes from elsewhere.
    world.peer.at = addr("198.51.100.21:5000");
    world.peer.ice = Some(world.peer_ice("anew", "new!"));
    let ice = world.spec.ice.as_mut().unwrap();
    ice.ours = credentials("new!");
    ice.theirs = Some(parameters("anew"));
    ice.remote[0].address = world.peer.at;
    world.apply();
    world.run(5 * SECOND);
    let path = world.found.paths.rtp.unwrap();
    assert_eq!((path.remote, path.is_selected), (world.peer.at, true));
    assert_eq!(world.found.keys.rtp, keys);
}

#[test]
fn another_phone_may_answer() {
    let mut world = World::new().with_ice();
    world.apply();
    world.run(5 * SECOND);
    assert_eq!(world.found.paths.rtp.unwrap().remote, theirs());
    // A fork: other credentials, and nobody restarted.
    world.peer.at = addr("198.51.100.21:5000");
    world.peer.ice = Some(world.peer_ice("fork", "ours"));
    let ice = world.spec.ice.as_mut().unwrap();
    ice.theirs = Some(parameters("fork"));
    ice.remote[0].address = world.peer.at;
    world.apply();
    world.run(5 * SECOND);
    assert_eq!(world.found.paths.rtp.unwrap().remote, world.peer.at);
    assert_eq!(world.found.sources, [(ours(), world.peer.at)]);
}

#[test]
fn media_ends_when_the_party_no_longer_agrees() {
    let mut world = World::new().with_ice();
    world.apply();
    world.run(5 * SECOND);
    assert!(world.found.paths.rtp.is_some());
    world.run(120 * SECOND);
    assert!(world.found.paths.rtp.is_some(), "it agrees all the time");
    world.peer.is_gone = true;
    world.run(60 * SECOND);
    assert_eq!(world.found.paths.rtp, None);
    assert!(matches!(
        world.told.last(),
        Some(AgentEvent::ConsentLost { .. })
    ));
}

#[test]
fn what_is_never_sent_to_is_not_answered() {
    let mut world = World::new().with_ice();
    world.apply();
    world.run(5 * SECOND);
    let mut ice = world.peer.ice.take().unwrap();
    let mut buffer = [0; windlass_ice::limits::MESSAGE];
    let later = world.now + 10 * SECOND;
    ice.handle_timeout(later, &mut world.rng);
    let transmit = ice.poll_transmit(&mut buffer).expect("a consent check");
    let check = buffer[..transmit.len].to_vec();
    let sent = world.sent;
    for barred in [
        "127.0.0.1:4000",
        "169.254.169.254:80",
        "0.0.0.0:4000",
        "198.51.100.20:0",
    ] {
        world.arrives(addr(barred), &check);
    }
    while world.exchange() {}
    assert_eq!(world.sent, sent);
    world.arrives(theirs(), &check);
    while world.exchange() {}
    assert_eq!(world.sent, sent + 1);
}

#[test]
fn a_restart_may_come_to_our_other_address() {
    let mut world = World::new().with_ice().with_dtls(Role::Active, 1);
    let v6 = addr("[2001:db8::1]:30002");
    let candidates = &mut world.spec.ice.as_mut().unwrap().candidates;
    candidates.push(LocalCandidate {
        component: IceComponent::Rtp,
        address: v6,
        priority: 2_130_706_175,
    });
    world.apply();
    world.run(5 * SECOND);
    assert_eq!(world.found.paths.rtp.unwrap().local, ours());
    let keys = world.found.keys.rtp.clone();
    // The party has lost its IPv4 address.
    world.peer.at = addr("[2001:db8:9::1]:5000");
    let mut agent = IceAgent::new(
        ice_config(),
        Start {
            credentials: credentials("anew"),
            role: IceRole::Controlled,
            candidates: vec![LocalCandidate {
                component: IceComponent::Rtp,
                address: world.peer.at,
                priority: 2_130_706_431,
            }],
        },
        world.now,
    )
    .unwrap();
    agent.set_remote(parameters("new!"), world.now).unwrap();
    world.peer.ice = Some(agent);
    let ice = world.spec.ice.as_mut().unwrap();
    ice.ours = credentials("new!");
    ice.theirs = Some(parameters("anew"));
    ice.remote[0].address = world.peer.at;
    world.apply();
    world.run(5 * SECOND);
    let path = world.found.paths.rtp.unwrap();
    assert_eq!(
        (path.local, path.remote, path.is_selected),
        (v6, world.peer.at, true)
    );
    assert_eq!(world.found.keys.rtp, keys);
    // What is said by DTLS goes this way, too.
    world.shard.take_outputs();
    world.shard.apply(CALL, 0, Vec::new(), world.now);
    let departures = world.shard.take_departures();
    let [bye] = &departures[..] else {
        panic!("{departures:?}");
    };
    assert_eq!((bye.local, bye.to), (v6, world.peer.at));
}

#[test]
fn rtcp_has_a_pair_of_its_own_until_it_is_muxed() {
    let mut world = World::new().with_ice();
    let rtcp = addr("203.0.113.1:30001");
    let candidate = |address| LocalCandidate {
        component: IceComponent::Rtcp,
        address,
        priority: 2_130_706_430,
    };
    world.spec.mux = false;
    world.spec.ports.rtcp = Some(rtcp);
    world.spec.rtcp_ports = vec![rtcp];
    let ice = world.spec.ice.as_mut().unwrap();
    ice.candidates.push(candidate(rtcp));
    ice.remote.push(IceCandidate {
        component: Component::Rtcp,
        address: world.peer.rtcp_at(),
        priority: 2_130_706_430,
        foundation: b"1".as_slice().into(),
    });
    let mut agent = IceAgent::new(
        ice_config(),
        Start {
            credentials: credentials("them"),
            role: IceRole::Controlled,
            candidates: vec![
                LocalCandidate {
                    component: IceComponent::Rtp,
                    address: theirs(),
                    priority: 2_130_706_431,
                },
                candidate(world.peer.rtcp_at()),
            ],
        },
        world.now,
    )
    .unwrap();
    agent.set_remote(parameters("ours"), world.now).unwrap();
    world.peer.ice = Some(agent);
    world.apply();
    world.run(5 * SECOND);
    let pair = |path: Option<crate::flow::agent::Path>| path.map(|path| (path.local, path.remote));
    assert_eq!(pair(world.found.paths.rtp), Some((ours(), theirs())));
    let of_rtcp = Some((rtcp, world.peer.rtcp_at()));
    assert_eq!(pair(world.found.paths.rtcp), of_rtcp);
    world.spec.mux = true;
    world.spec.ports.rtcp = None;
    world.spec.rtcp_ports.clear();
    world.spec.ice.as_mut().unwrap().candidates.pop();
    world.apply();
    world.run(SECOND);
    assert_eq!(pair(world.found.paths.rtp), Some((ours(), theirs())));
    assert_eq!(pair(world.found.paths.rtcp), None);
}
