//! Two sessions and a link between them that loses, repeats, delays and alters, in virtual time.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use windlass_dtls::{
    Certificate, CertificateConfig, Connected, Event, HashFunction, KeyKind, Role, Session,
    SessionConfig,
};

/// One way through the link.
const DELAY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Active,
    Passive,
}

/// Chances of 100.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) repeat: u64,
    pub(crate) late: u64,
}

/// Sees every datagram of a side; what it returns is delivered in its place.
pub(crate) type Tamper = Box<dyn FnMut(Side, Vec<u8>) -> Vec<Vec<u8>>>;

pub(crate) struct Link {
    pub(crate) now: Instant,
    pub(crate) active: Session,
    pub(crate) passive: Session,
    pub(crate) active_events: Vec<Event>,
    pub(crate) passive_events: Vec<Event>,
    /// Length of the longest datagram.
    pub(crate) longest: usize,
    /// Datagrams sent.
    pub(crate) sent: usize,
    /// Where datagrams went that were not for the other side.
    pub(crate) strays: Vec<SocketAddr>,
    faults: Faults,
    random: u64,
    tamper: Tamper,
    under_way: Vec<(Instant, Side, Vec<u8>)>,
}

impl Link {
    pub(crate) fn new(active: SessionConfig, passive: SessionConfig) -> Self {
        let now = start();
        Self {
            now,
            active: Session::new(active, now).unwrap(),
            passive: Session::new(passive, now).unwrap(),
            active_events: Vec::new(),
            passive_events: Vec::new(),
            longest: 0,
            sent: 0,
            strays: Vec::new(),
            faults: Faults::default(),
            random: 1,
            tamper: Box::new(|_, datagram| vec![datagram]),
            under_way: Vec::new(),
        }
    }

    pub(crate) fn with_faults(mut self, faults: Faults, seed: u64) -> Self {
        self.faults = faults;
        self.random = seed;
        self
    }

    pub(crate) fn with_tamper(
        mut self,
        tamper: impl FnMut(Side, Vec<u8>) -> Vec<Vec<u8>> + 'static,
    ) -> Self {
        self.tamper = Box::new(tamper);
        self
    }

    /// Until nothing is left to happen, or for `time`.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.fetch();
            let next = [
                self.active.poll_timeout(),
                self.passive.poll_timeout(),
                self.under_way.iter().map(|(at, ..)| *at).min(),
            ];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.active.handle_timeout(self.now);
            self.passive.handle_timeout(self.now);
            while let Some(index) = self.under_way.iter().position(|(at, ..)| *at <= self.now) {
                let (_, from, datagram) = self.under_way.remove(index);
                self.deliver(from, &datagram);
            }
        }
    }

    /// Gives a datagram of `from` to the other side at once.
    pub(crate) fn deliver(&mut self, from: Side, datagram: &[u8]) {
        match from {
            Side::Active => self
                .passive
                .handle_datagram(address(from), datagram, self.now),
            Side::Passive => self
                .active
                .handle_datagram(address(from), datagram, self.now),
        }
        self.fetch();
    }

    /// Whatever the sessions want to send and say.
    pub(crate) fn fetch(&mut self) {
        let mut buf = Vec::new();
        for side in [Side::Active, Side::Passive] {
            let (session, events) = match side {
                Side::Active => (&mut self.active, &mut self.active_events),
                Side::Passive => (&mut self.passive, &mut self.passive_events),
            };
            events.extend(std::iter::from_fn(|| session.poll_event()));
            let other = match side {
                Side::Active => address(Side::Passive),
                Side::Passive => address(Side::Active),
            };
            let mut sent = Vec::new();
            while let Some(transmit) = session.poll_transmit(&mut buf) {
                assert_eq!(transmit.len, buf.len());
                match transmit.to.filter(|to| *to != other) {
                    Some(stray) => self.strays.push(stray),
                    None => sent.push(buf.clone()),
                }
            }
            for datagram in sent {
                self.longest = self.longest.max(datagram.len());
                self.sent += 1;
                for datagram in (self.tamper)(side, datagram) {
                    self.launch(side, datagram);
                }
            }
        }
    }

    fn launch(&mut self, side: Side, datagram: Vec<u8>) {
        if self.chance(self.faults.loss) {
            return;
        }
        let late = if self.chance(self.faults.late) {
            Duration::from_millis(35)
        } else {
            Duration::ZERO
        };
        if self.chance(self.faults.repeat) {
            let at = self.now + 3 * DELAY;
            self.under_way.push((at, side, datagram.clone()));
        }
        self.under_way
            .push((self.now + DELAY + late, side, datagram));
    }

    fn chance(&mut self, of_100: u64) -> bool {
        // Marsaglia's xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 100 < of_100
    }

    /// The keys that both sides have, after checking that they are the same.
    pub(crate) fn keys(&self) -> (Connected, Connected) {
        let active = connected(&self.active_events).expect("active side has keys");
        let passive = connected(&self.passive_events).expect("passive side has keys");
        assert_eq!(active.profile, passive.profile);
        assert_eq!(active.local, passive.remote);
        assert_eq!(active.remote, passive.local);
        assert_eq!(active.local.key.as_bytes().len(), active.profile.key_len());
        (active, passive)
    }
}

/// The last [`Event::Connected`].
pub(crate) fn connected(events: &[Event]) -> Option<Connected> {
    events.iter().rev().find_map(|event| match event {
        Event::Connected(connected) => Some(Connected::clone(connected)),
        _ => None,
    })
}

#[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn address(side: Side) -> SocketAddr {
    match side {
        Side::Active => "192.0.2.1:4000".parse().unwrap(),
        Side::Passive => "198.51.100.1:5000".parse().unwrap(),
    }
}

/// Certificates are made once; 2048-bit keys take long in debug builds.
pub(crate) fn certificate(key: KeyKind, number: usize) -> Arc<Certificate> {
    static ECDSA: [OnceLock<Arc<Certificate>>; 3] = [const { OnceLock::new() }; 3];
    static RSA: [OnceLock<Arc<Certificate>>; 3] = [const { OnceLock::new() }; 3];
    let slot = match key {
        KeyKind::EcdsaP256 => &ECDSA[number],
        KeyKind::Rsa(_) => &RSA[number],
    };
    Arc::clone(slot.get_or_init(|| {
        let config = CertificateConfig {
            common_name: "windlass".into(),
            key,
            ..CertificateConfig::default()
        };
        #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
        let now = SystemTime::now();
        Arc::new(Certificate::generate(&config, now).unwrap())
    }))
}

/// Both sides with certificates of these kinds, knowing each other's fingerprint.
pub(crate) fn configs(active: KeyKind, passive: KeyKind) -> (SessionConfig, SessionConfig) {
    let (a, p) = (certificate(active, 0), certificate(passive, 1));
    let print =
        |certificate: &Certificate| Some(vec![certificate.fingerprint(HashFunction::Sha256)]);
    let mut active = SessionConfig::new(Arc::clone(&a), Role::Active);
    active.fingerprints = print(&p);
    let mut passive = SessionConfig::new(p, Role::Passive);
    passive.fingerprints = print(&a);
    (active, passive)
}

/// A pair with ECDSA certificates.
pub(crate) fn ecdsa() -> (SessionConfig, SessionConfig) {
    configs(KeyKind::EcdsaP256, KeyKind::EcdsaP256)
}

/// Applies `alter` to each record of a datagram: kind, epoch, and body.
pub(crate) fn alter_records(
    datagram: &[u8],
    mut alter: impl FnMut(u8, u8, &mut Vec<u8>),
) -> Vec<u8> {
    let (mut rest, mut altered) = (datagram, Vec::new());
    while rest.len() >= 13 {
        let (header, tail) = rest.split_at(13);
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let mut body = tail[..len].to_vec();
        alter(header[0], header[4], &mut body);
        altered.extend_from_slice(&header[..11]);
        altered.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        altered.extend(body);
        rest = &tail[len..];
    }
    altered
}

/// Whether a handshake message of `kind` in the clear is in a datagram.
pub(crate) fn has_message(datagram: &[u8], kind: u8) -> bool {
    let mut found = false;
    alter_records(datagram, |record, epoch, body| {
        found |= (record, epoch) == (22, 0) && body.first() == Some(&kind);
    });
    found
}
