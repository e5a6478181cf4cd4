//! SRTP, STUN, ICE and DTLS against what anybody can send to a media port.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass_dtls::{Certificate, CertificateConfig, HashFunction, Session, SessionConfig};
use windlass_ice::agent::{
    Agent, Component, Config, Event, Freshness, LocalCandidate, Mode, Outcome, RemoteCandidate,
    RemoteParameters, Role, Start,
};
use windlass_ice::stun::{Class, Fingerprint, IntegrityKey, Message, Tie, TransactionId, Writer};
use windlass_ice::{Credentials, limits};
use windlass_srtp::{Freshness as Saved, Keys, MAX_OVERHEAD, Mki, Open, Seal, Suite};

/// Takes numbers from an input; 0 after its end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// At most so many bytes.
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes after their number.
    fn chunk(&mut self) -> &'a [u8] {
        let length = self.byte();
        self.bytes(length.into())
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the targets need a start of time"
)]
fn start_of_time() -> Instant {
    Instant::now()
}

/// Foreign packets, packets of the peer, and these again or changed. What the peer seals is opened
/// to what it said, and never twice; nothing else is opened at all.
pub fn srtp_unprotect(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let suite = Suite::ALL[usize::from(kind) % Suite::ALL.len()];
    let keys = |seed: u8| {
        let keys = Keys::new(
            suite,
            &vec![seed; suite.key_len()],
            &vec![!seed; suite.salt_len()],
        );
        let keys = keys.expect("keys of the right length");
        match kind >> 6 {
            0 => keys.with_mki(Mki::new(seed.into(), 1 + kind % 4).expect("it fits")),
            _ => keys,
        }
    };
    let mut seal = Seal::new(keys(1)).expect("a key");
    let mut open = Open::new(vec![keys(1)]).expect("a key");
    let mut last = Vec::new();
    while !input.is_over() {
        match input.byte() % 8 {
            0 | 1 => is_refused(&mut open, input.chunk()),
            2 => {
                let (at, bit) = (usize::from(input.byte()), input.byte() % 8);
                let mut changed = last.clone();
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                is_refused(&mut open, &changed);
            }
            3 => {
                let length = usize::from(input.byte());
                is_refused(&mut open, &last[..length.min(last.len())]);
            }
            4 if kind & 0x20 != 0 => {
                let seed = input.byte();
                seal.rekey(keys(seed)).expect("a key");
                open.rekey(vec![keys(seed)]).expect("a key");
                // What the old key sealed is nothing to the new one, unless they are the same.
                last.clear();
            }
            5 => {
                open = Open::restore(open.save(), Saved::Exact).expect("what was saved");
                seal = Seal::restore(seal.save(), Saved::Exact).expect("what was saved");
            }
            _ => {
                let plain = input.chunk();
                let Some(sealed) = sealed(&mut seal, plain) else {
                    continue;
                };
                let mut opened = sealed.clone();
                if let Some(length) = opens(&mut open, &mut opened) {
                    assert_eq!(&opened[..length], plain);
                }
                is_refused(&mut open, &sealed);
                last = sealed;
            }
        }
    }
}

fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

fn opens(open: &mut Open, packet: &mut [u8]) -> Option<usize> {
    match is_rtcp(packet) {
        true => open.rtcp(packet).ok(),
        false => open.rtp(packet).ok(),
    }
}

fn is_refused(open: &mut Open, packet: &[u8]) {
    assert_eq!(opens(open, &mut packet.to_vec()), None);
}

/// `None`: refused.
fn sealed(seal: &mut Seal, plain: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + MAX_OVERHEAD, 0);
    let length = match is_rtcp(plain) {
        true => seal.rtcp(&mut buffer, plain.len()),
        false => seal.rtp(&mut buffer, plain.len()),
    };
    buffer.truncate(length.ok()?);
    Some(buffer)
}

/// What is read is written, and that is read as the same.
pub fn stun(data: &[u8]) {
    let Ok(read) = Message::parse(data) else {
        return;
    };
    let key = IntegrityKey::new(b"password of the receiver");
    let _ = (read.is_authentic(&key), read.fingerprint(), read.unknown());
    let mut buffer = vec![0; data.len() + 256];
    let mut writer = Writer::new(&mut buffer, read.class(), read.transaction()).expect("room");
    if let Some(name) = read.username() {
        writer.raw(0x0006, name).expect("room");
    }
    if let Some(software) = read.software() {
        writer.raw(0x8022, software).expect("room");
    }
    if let Some(error) = read.error()
        && let Ok(reason) = std::str::from_utf8(error.reason)
    {
        writer.error(error.code, reason).expect("room");
    }
    if let Some(address) = read.mapped() {
        writer.mapped(address).expect("room");
    }
    if let Some(priority) = read.priority() {
        writer.priority(priority).expect("room");
    }
    if let Some(tie) = read.tie() {
        writer.tie(tie).expect("room");
    }
    if read.uses_candidate() {
        writer.use_candidate().expect("room");
    }
    writer.integrity(&key).expect("room");
    writer.fingerprint().expect("room");
    let length = writer.finish();
    let again = Message::parse(&buffer[..length]).expect("what was written");
    assert!(again.is_authentic(&key) && again.fingerprint() == Fingerprint::Right);
    assert_eq!(
        (again.class(), again.transaction(), again.username()),
        (read.class(), read.transaction(), read.username())
    );
    assert_eq!(
        (again.software(), again.mapped(), again.priority()),
        (read.software(), read.mapped(), read.priority())
    );
    assert_eq!(
        (again.tie(), again.uses_candidate()),
        (read.tie(), read.uses_candidate())
    );
    if read
        .error()
        .is_some_and(|error| std::str::from_utf8(error.reason).is_ok())
    {
        assert_eq!(again.error(), read.error());
    }
}

const OUR_UFRAG: &str = "ours";
const OUR_PASSWORD: &str = "our-password-of-22-chars";
const THEIR_UFRAG: &str = "theirs";
const THEIR_PASSWORD: &str = "their-password-of-22-chars";

fn address(number: u8) -> SocketAddr {
    match number % 8 {
        0..4 => SocketAddr::from(([192, 0, 2, 1], 1000 + u16::from(number))),
        _ => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 1000 + u16::from(number))),
    }
}

/// An agent between datagrams of anybody, and of a peer that has the passwords and does what it
/// likes. Only who has shown a password is let in, and every timeout moves on.
pub fn ice_agent(data: &[u8]) {
    let mut input = Input(data);
    let mut rng = StdRng::seed_from_u64(7);
    let mut now = start_of_time();
    let form = input.byte();
    let locals = [address(0), address(1), address(4), address(5)];
    let start = || Start {
        credentials: Credentials::new(OUR_UFRAG, OUR_PASSWORD).expect("credentials"),
        role: match form & 1 {
            0 => Role::Controlled,
            _ => Role::Controlling,
        },
        candidates: (0..4)
            .map(|at: u8| LocalCandidate {
                component: Component::ALL[usize::from(at % 2)],
                address: locals[usize::from(at)],
                priority: 1000 - u32::from(at),
            })
            .collect(),
    };
    let config = Config {
        mode: if form & 2 == 0 {
            Mode::Full
        } else {
            Mode::Lite
        },
        freshness: match form & 4 {
            0 => Freshness::Consent,
            _ => Freshness::Assumed,
        },
        software: "fuzz".into(),
        tie_breaker: 1 << 63,
    };
    let mut agent = Agent::new(config.clone(), start(), now).expect("an agent");
    let theirs = RemoteParameters {
        credentials: Credentials::new(THEIR_UFRAG, THEIR_PASSWORD).expect("credentials"),
        mode: if form & 8 == 0 {
            Mode::Full
        } else {
            Mode::Lite
        },
        has_ice2: form & 16 != 0,
    };
    let both_lite = config.mode == Mode::Lite && theirs.mode == Mode::Lite;
    // Who has shown a password, and our last request.
    let mut known = BTreeSet::new();
    let mut asked: Option<(SocketAddr, SocketAddr, TransactionId)> = None;
    let mut buffer = [0; limits::MESSAGE];
    let mut message = [0; limits::MESSAGE];
    while !input.is_over() {
        let command = input.byte();
        let local = locals[usize::from(command >> 6)];
        match command % 16 {
            0 => {
                let from = address(input.byte());
                let datagram = input.chunk();
                agent.handle_datagram(local, from, datagram, now, &mut rng);
            }
            1..=3 => {
                let (number, choice) = (input.byte(), input.byte());
                let from = address(number);
                let length = request(&mut message, number, choice);
                let outcome = agent.handle_datagram(local, from, &message[..length], now, &mut rng);
                if outcome == Outcome::Taken {
                    known.insert(from);
                }
            }
            4..=6 => {
                let choice = input.byte();
                if let Some((to, at, transaction)) = asked {
                    let length = response(&mut message, transaction, choice);
                    let local = if choice & 0x40 == 0 { at } else { local };
                    let outcome =
                        agent.handle_datagram(local, to, &message[..length], now, &mut rng);
                    if outcome == Outcome::Taken {
                        known.insert(to);
                    }
                }
            }
            7 => {
                let number = input.byte();
                let candidate = RemoteCandidate {
                    component: Component::ALL[usize::from(command >> 5 & 1)],
                    address: address(number),
                    priority: number.into(),
                    foundation: &[number % 4],
                };
                let _ = agent.add_remote(candidate);
            }
            8 => {
                let _ = agent.set_remote(theirs.clone(), now);
            }
            9 if command & 0x20 != 0 => agent.use_mux(),
            9 => agent.end_of_candidates(),
            10 => {
                agent.restart(start()).expect("candidates as before");
            }
            11 => {
                let state = agent.save(now);
                let restored = Agent::restore(state, config.clone(), now, &mut rng);
                agent = restored.expect("what was saved");
            }
            12 => {
                agent.follow(local, address(input.byte()), now, &mut rng);
            }
            _ => {
                now += Duration::from_millis(u64::from(input.byte()) * 20);
                for _ in 0..64 {
                    match agent.poll_timeout() {
                        Some(at) if at <= now => agent.handle_timeout(now, &mut rng),
                        _ => break,
                    }
                }
                assert!(
                    agent.poll_timeout().is_none_or(|at| at > now),
                    "a timeout that stays due"
                );
            }
        }
        let mut sent = 0;
        while let Some(transmit) = agent.poll_transmit(&mut buffer) {
            let written = Message::parse(&buffer[..transmit.len]).expect("a message of ours");
            assert!(locals.contains(&transmit.local));
            if written.class() == Class::Request {
                asked = Some((transmit.to, transmit.local, written.transaction()));
            }
            sent += 1;
        }
        assert!(sent <= limits::OUTGOING);
        while let Some(event) = agent.poll_event() {
            if let Event::Authenticated { remote, .. } = event {
                assert!(both_lite || known.contains(&remote));
            }
        }
        for (_, _, source) in agent.valid_sources() {
            assert!(both_lite || known.contains(&source), "{source}");
        }
    }
}

fn request(buffer: &mut [u8], number: u8, choice: u8) -> usize {
    let transaction = TransactionId([number; 12]);
    let mut writer = Writer::new(buffer, Class::Request, transaction).expect("room");
    writer.username(OUR_UFRAG, THEIR_UFRAG).expect("room");
    if choice & 1 == 0 {
        writer.priority(choice.into()).expect("room");
    }
    if choice & 2 != 0 {
        writer.use_candidate().expect("room");
    }
    let tie = u64::from(choice >> 5) << 61;
    let tie = if choice & 4 == 0 {
        Tie::Controlling(tie)
    } else {
        Tie::Controlled(tie)
    };
    writer.tie(tie).expect("room");
    let password = if choice & 24 == 24 {
        THEIR_PASSWORD
    } else {
        OUR_PASSWORD
    };
    let key = IntegrityKey::new(password.as_bytes());
    writer.integrity(&key).expect("room");
    writer.fingerprint().expect("room");
    writer.finish()
}

fn response(buffer: &mut [u8], transaction: TransactionId, choice: u8) -> usize {
    let class = if choice & 3 == 3 {
        Class::Error
    } else {
        Class::Success
    };
    let mut writer = Writer::new(buffer, class, transaction).expect("room");
    if class == Class::Error {
        let code = if choice & 4 == 0 { 487 } else { 400 };
        writer.error(code, "no").expect("room");
    } else {
        writer.mapped(address(choice >> 2)).expect("room");
    }
    let password = if choice & 24 == 24 {
        OUR_PASSWORD
    } else {
        THEIR_PASSWORD
    };
    writer
        .integrity(&IntegrityKey::new(password.as_bytes()))
        .expect("room");
    writer.fingerprint().expect("room");
    writer.finish()
}

/// Two sessions over a network that loses, repeats and changes datagrams, and lets anybody in. They
/// get the same keys, or none.
pub fn dtls_record(data: &[u8]) {
    static CERTIFICATE: OnceLock<Arc<Certificate>> = OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| {
        let valid_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let made = Certificate::generate(&CertificateConfig::default(), valid_at);
        Arc::new(made.expect("a certificate"))
    });
    let mut input = Input(data);
    let mut now = start_of_time();
    let form = input.byte();
    let session = |role| {
        let mut config = SessionConfig::new(certificate.clone(), role);
        config.fingerprints = Some(vec![certificate.fingerprint(HashFunction::Sha256)]);
        config.mtu = if form & 1 == 0 {
            SessionConfig::MTU
        } else {
            300
        };
        Session::new(config, now).expect("a session")
    };
    use windlass_dtls::Role::{Active, Passive};
    let mut sessions = [session(Passive), session(Active)];
    let places = [address(0), address(1)];
    let mut keys = [None, None];
    // What each of them has sent and the other has not got, the oldest first.
    let mut wire: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
    let mut last: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    while !input.is_over() {
        let command = input.byte();
        let from = usize::from(command >> 7);
        let to = 1 - from;
        let mut datagram = match command % 16 {
            0 => input.chunk().to_vec(),
            1 => last[from].clone(),
            2 => {
                now += Duration::from_millis(u64::from(input.byte()) * 50);
                for session in &mut sessions {
                    session.handle_timeout(now);
                }
                Vec::new()
            }
            // In order; the others change what comes next.
            3 if !wire[from].is_empty() => wire[from].swap_remove(0),
            _ if !wire[from].is_empty() => wire[from].remove(0),
            _ => Vec::new(),
        };
        match command % 16 {
            1 | 4 => {
                let (at, change) = (usize::from(input.byte()) * 3, input.byte());
                if let Some(byte) = datagram.get_mut(at) {
                    *byte ^= change;
                }
            }
            5 => datagram.truncate(usize::from(input.byte()) * 3),
            6 => datagram.clear(),
            7 => datagram.extend_from_slice(input.chunk()),
            _ => {}
        }
        if !datagram.is_empty() {
            sessions[to].handle_datagram(places[from], &datagram, now);
            last[from] = datagram;
        }
        for (at, session) in sessions.iter_mut().enumerate() {
            let mut buffer = Vec::new();
            while session.poll_transmit(&mut buffer).is_some() {
                assert!(buffer.len() <= SessionConfig::MTU);
                if wire[at].len() < 64 {
                    wire[at].push(buffer.clone());
                }
            }
            while let Some(event) = session.poll_event() {
                if let windlass_dtls::Event::Connected(connected) = event {
                    keys[at] = Some(connected);
                }
            }
        }
    }
    let [passive, active] = &mut sessions;
    if let [Some(ours), Some(theirs)] = &keys
        && passive.is_connected()
        && active.is_connected()
    {
        assert_eq!((&ours.local, &ours.remote), (&theirs.remote, &theirs.local));
        assert_eq!(ours.profile, theirs.profile);
    }
    for session in &mut sessions {
        let _ = session.save();
        session.close();
        assert!(session.poll_timeout().is_none());
    }
}
