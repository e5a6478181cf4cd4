//! The DTLS side of one component of a media: handshakes, verification, keys, and the end.
//!
//! ```text
//!              Session::new (active)          proven ClientHello (passive)
//!                        \                      /
//!                         v                    v
//!   nothing <-- failed --- Shaking (an Association) --- repeats itself until an answer or 30 s
//!                         |
//!                         v fingerprints known?
//!             no: Unverified --- set_fingerprints ---> yes: Event::Connected, Established
//! ```
//!
//! A passive session shakes hands with up to three sources side by side, since anybody who receives
//! what is sent to his address can begin; the first with the right certificate ends the others.
//!
//! An established association stays until a newer one is established and verified (RFC 6347 §4.2.8),
//! or until one side closes it. Nothing in the clear ends it.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::association::{Association, Complete, alert};
use crate::certificate::Certificate;
use crate::cookie::{self, Cookies};
use crate::established::{ConnectedState, Established, Heard};
use crate::fingerprint::{self, Fingerprint, HashFunction};
use crate::library;
use crate::limits;
use crate::profile::{Profile, SrtpKeys};
use crate::reassembly::{Message, Reassembly};
use crate::starts::Starts;
use crate::wire::{self, ClientHello, Fragment, Fragments, Record, Records};

/// Who opens the association (RFC 5763 §5, `a=setup`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// We send the ClientHello.
    Active,
    /// We wait for it.
    Passive,
}

/// Who takes part in a handshake. In the clear a record shows nothing of who sent it but its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// Not known before it speaks: a handshake stays with the first source that says something of use,
    /// or that has brought back its cookie.
    #[default]
    Unknown,
    /// A client's hello goes there, and a server that answers from elsewhere is not heard. Sources of
    /// clients show themselves by a cookie, as with [`Peer::Unknown`].
    At(SocketAddr),
    /// Every source that the driver lets in has shown to be the peer (ICE): a handshake goes on
    /// wherever it moves to.
    Proven,
}

/// What a session is made of.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Our certificate; the session keeps this one.
    pub certificate: Arc<Certificate>,
    /// Our role.
    pub role: Role,
    /// Fingerprints of the peer's SDP, the first 32 of them; [`None`] while there is no SDP:
    /// the handshake goes on, and no keys are given out before [`Session::set_fingerprints`].
    pub fingerprints: Option<Vec<Fingerprint>>,
    /// Profiles allowed, the preferred one first. A passive session chooses by this order.
    pub profiles: Vec<Profile>,
    /// Longest datagram to send, in bytes without IP and UDP headers; between 200 and 16384.
    pub mtu: usize,
    /// Our `a=tls-id`, kept for [`ConnectedState`] alone.
    pub tls_id: Option<String>,
}

impl SessionConfig {
    /// MTU that passes every path of today: 1200 less IPv6 and UDP headers.
    pub const MTU: usize = 1200 - 48;

    /// All profiles, the usual MTU, fingerprints unknown.
    pub fn new(certificate: Arc<Certificate>, role: Role) -> Self {
        Self {
            certificate,
            role,
            fingerprints: None,
            profiles: Profile::ALL.to_vec(),
            mtu: Self::MTU,
            tls_id: None,
        }
    }
}

/// Why a handshake came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailReason {
    /// The server wants another cookie than the one it asked for.
    #[error("peer refused its own cookie")]
    Cookie,
    /// No fingerprint of the SDP is the certificate's.
    #[error("peer certificate rejected: fingerprint mismatch")]
    FingerprintMismatch,
    /// The client's Finished is not over what we saw.
    #[error("peer's Finished does not fit the handshake")]
    Finished,
    /// What the library says.
    #[error("handshake failed: {0}")]
    Handshake(String),
    /// No certificate, or not the one that was verified.
    #[error("peer has no certificate")]
    NoCertificate,
    /// No cipher suite of the peer is one of ours: ECDHE, for our kind of key, with an AEAD.
    #[error("no common cipher suite")]
    NoCommonCipher,
    /// No protection profile, or no `use_srtp` at all.
    #[error("no common SRTP protection profile")]
    NoCommonProfile,
    /// The library panicked.
    #[error("handshake failed: internal error")]
    Panicked,
    /// The peer sent this fatal alert in the clear, and nothing after it.
    #[error("peer gave up with alert {0}")]
    PeerAlert(u8),
    /// The ClientHello wants to resume a session, which nobody was offered.
    #[error("peer wants to resume a session")]
    Resumption,
    /// The handshake could not be begun.
    #[error("handshake cannot begin: {0}")]
    Setup(String),
    /// The peer had answered, and then said nothing new.
    #[error("peer does not go on")]
    Stalled,
    /// Time is up; the reason is that of the last attempt, if one was refused.
    #[error("handshake timed out{}", last.as_ref().map(|last| format!(", last: {last}")).unwrap_or_default())]
    TimedOut {
        /// Why the last attempt failed.
        last: Option<Box<Self>>,
    },
    /// More records than any handshake needs.
    #[error("too many records in one handshake")]
    TooMuch,
    /// A handshake message of this type where none, or another, belongs; or one with wrong lengths.
    #[error("unexpected handshake message of type {0}")]
    Unexpected(u8),
    /// The ClientHello does not offer DTLS 1.2.
    #[error("peer does not offer DTLS 1.2")]
    Version,
}

impl FailReason {
    /// Whether another attempt has the same end: what the peer has proven, and what is wrong here.
    /// All else anybody can have caused who writes the peer's address on a datagram.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::FingerprintMismatch | Self::NoCommonProfile | Self::Setup(_)
        )
    }
}

/// A handshake that has not come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnderWay {
    /// Our hello has no answer.
    Unanswered,
    /// With this source, which was reached there: it brought back its cookie, or answered our hello.
    With(SocketAddr),
}

/// Keys, given out once the peer is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The profile agreed on.
    pub profile: Profile,
    /// What we send with.
    pub local: SrtpKeys,
    /// What we receive with.
    pub remote: SrtpKeys,
    /// SHA-256 fingerprint of the peer's certificate, as SDP prints it.
    pub peer_fingerprint: String,
}

/// How an established association ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Fatal alert of the peer (RFC 5246 §7.2.2), by number.
    Alert(u8),
    /// close_notify of the peer; it was answered.
    CloseNotify,
}

/// What the engine has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Keys are there. A second one of a session takes the place of the first.
    Connected(Box<Connected>),
    /// The peer ended the established association. Its SRTP keys stay good (RFC 5764 §5.1.1).
    Closed(CloseReason),
    /// There will be no keys. A passive session takes another ClientHello nevertheless, so that a
    /// forged attempt ends nothing; an active one waits for [`Session::renew`].
    Failed(FailReason),
    /// A new association was not established; the one that is goes on.
    Refused(FailReason),
    /// An attempt came to nothing, for example because the peer is too old, and there may be others. The
    /// first since there were keys, or since the session was renewed: anybody can cause more of them.
    Setback(FailReason),
}

/// A datagram to send, in the buffer of [`Session::poll_transmit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Bytes of the datagram.
    pub len: usize,
    /// Where it goes: the source of what it answers. [`None`]: nothing was heard yet, so where the
    /// peer's media goes.
    pub to: Option<SocketAddr>,
}

/// What a session has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams or records that are not DTLS, or have wrong lengths.
    pub malformed: u64,
    /// Records that had no meaning when they came: forged, late, or in the clear after the handshake.
    pub ignored: u64,
    /// Hellos that were asked for a cookie.
    pub cookies_sent: u64,
    /// Proven hellos that offered nothing usable, came too often, or found no room beside handshakes of
    /// other sources.
    pub hellos_refused: u64,
    /// Handshakes that ended without keys.
    pub handshakes_failed: u64,
    /// Datagrams or events lost because nobody fetched them.
    pub overflows: u64,
}

/// DTLS of one component. See the [crate] for the order of calls.
pub struct Session {
    config: SessionConfig,
    cookies: Cookies,
    life: Life,
    current: Option<Box<Established>>,
    /// Associations one of which may become the current one. A client has one at the most.
    attempts: Vec<Attempt>,
    /// When a client tries again.
    reconnect: Option<Instant>,
    /// Where the present handshakes are to come from.
    peer: Peer,
    starts: Starts,
    /// ClientHellos that come in pieces, the newest last.
    hellos: VecDeque<PartialHello>,
    /// Certificates of others that a client has been shown since it last was told what to expect.
    mismatches: u32,
    /// When the handshake under way, or being tried again, is given up.
    deadline: Option<Instant>,
    last_refusal: Option<FailReason>,
    has_told_setback: bool,
    /// What was reported last, so that a peer that tries again and again is reported once.
    reported: Option<FailReason>,
    events: VecDeque<Event>,
    output: VecDeque<(Vec<u8>, Option<SocketAddr>)>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    Closed,
}

/// An association that may become the current one.
#[derive(Debug)]
enum Attempt {
    Shaking(Box<Association>),
    /// Complete, but whose it is will be known with the SDP.
    Unverified {
        established: Box<Established>,
        certificate: Vec<u8>,
    },
}

impl Attempt {
    fn source(&self) -> Option<SocketAddr> {
        match self {
            Self::Shaking(association) => association.source(),
            Self::Unverified { established, .. } => established.source(),
        }
    }

    /// Client's random, if we are the server.
    fn hello(&self) -> &[u8] {
        match self {
            Self::Shaking(association) => association.hello(),
            Self::Unverified { established, .. } => established.hello(),
        }
    }

    fn is_shaking(&self) -> bool {
        matches!(self, Self::Shaking(_))
    }

    /// Whether records of `from` in the clear are for it.
    fn hears(&self, from: SocketAddr, peer: Peer) -> bool {
        match self {
            Self::Shaking(association) => association.hears(from, peer),
            Self::Unverified { established, .. } => established.hears(from, peer),
        }
    }
}

/// Where a new association goes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Free,
    /// The attempt there ends.
    InsteadOf(usize),
}

/// A ClientHello that comes in pieces.
#[derive(Debug)]
struct PartialHello {
    from: SocketAddr,
    message: u16,
    incoming: Reassembly,
}

/// Why no session could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Longer or shorter datagrams than can be sent.
    #[error("MTU of {0} bytes, expected 200 to 16384")]
    Mtu(usize),
    /// No profile is allowed.
    #[error("no SRTP protection profile is allowed")]
    NoProfile,
    /// The system has no random numbers.
    #[error("no random numbers")]
    Random,
    /// The saved keys are of no use.
    #[error("saved keys are of no use")]
    Secrets,
    /// The saved state has another layout.
    #[error("saved state has version {0}, expected {expected}", expected = ConnectedState::VERSION)]
    Version(u16),
}

impl Session {
    /// Begins: an active session has its ClientHello ready, a passive one waits for the peer's.
    ///
    /// # Errors
    ///
    /// [`SessionError`]: a config that allows no handshake, or a system without random numbers.
    pub fn new(config: SessionConfig, now: Instant) -> Result<Self, SessionError> {
        let mut session = Self::idle(config)?;
        if session.config.role == Role::Active {
            session.connect(now);
        }
        Ok(session)
    }

    /// Goes on where a predecessor was. The session sends nothing by itself: it answers a close, and
    /// takes a new association.
    ///
    /// # Errors
    ///
    /// [`SessionError`]: as for [`Session::new`], or a state that cannot be used.
    pub fn restore(config: SessionConfig, state: ConnectedState) -> Result<Self, SessionError> {
        if state.version != ConnectedState::VERSION {
            return Err(SessionError::Version(state.version));
        }
        let mut session = Self::idle(config)?;
        let established = Established::restore(state).ok_or(SessionError::Secrets)?;
        session.current = Some(Box::new(established));
        Ok(session)
    }

    fn idle(mut config: SessionConfig) -> Result<Self, SessionError> {
        if !limits::MTU.contains(&config.mtu) {
            return Err(SessionError::Mtu(config.mtu));
        }
        if config.profiles.is_empty() {
            return Err(SessionError::NoProfile);
        }
        if let Some(fingerprints) = &mut config.fingerprints {
            fingerprints.truncate(limits::FINGERPRINTS);
        }
        Ok(Self {
            config,
            cookies: Cookies::new().ok_or(SessionError::Random)?,
            life: Life::Open,
            current: None,
            attempts: Vec::new(),
            reconnect: None,
            peer: Peer::default(),
            starts: Starts::new(),
            hellos: VecDeque::new(),
            mismatches: 0,
            deadline: None,
            last_refusal: None,
            has_told_setback: false,
            reported: None,
            events: VecDeque::new(),
            output: VecDeque::new(),
            counters: Counters::default(),
        })
    }

    /// Says who the peer is, at first and whenever that changes. [`Peer::Unknown`] until then.
    pub fn set_peer(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// A datagram of the peer that [`is_dtls`](crate::is_dtls). Whether `from` may speak at all (ICE,
    /// the SDP's address) was decided before.
    pub fn handle_datagram(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        if self.life == Life::Closed {
            return;
        }
        if datagram.len() > limits::DATAGRAM_BYTES {
            self.counters.malformed += 1;
            return;
        }
        for record in Records::new(datagram) {
            match record {
                Ok(record) => self.handle_record(from, &record, now),
                Err(wire::Malformed) => self.counters.malformed += 1,
            }
        }
    }

    /// When [`Session::handle_timeout`] is due; [`None`] while nothing changes by time alone.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let attempts = self.attempts.iter().filter_map(|attempt| match attempt {
            Attempt::Shaking(association) => Some(association.next_timeout()),
            Attempt::Unverified { established, .. } => established.next_timeout(),
        });
        let current = self.current.as_ref().and_then(|it| it.next_timeout());
        let others = [self.reconnect, current, self.deadline];
        attempts.chain(others.into_iter().flatten()).min()
    }

    /// Sends again what was not answered, and gives up what takes too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(current) = &mut self.current {
            current.handle_timeout(now);
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.handle_deadline(now);
        }
        if self.reconnect.is_some_and(|at| now >= at) {
            self.reconnect = None;
            if self.starts.admits(None, now) {
                self.connect(now);
            } else {
                self.reconnect = Some(now + limits::RECONNECT);
            }
        }
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            index += 1;
            match attempt {
                Attempt::Shaking(association) => {
                    if let Err(reason) = association.handle_timeout(now) {
                        index -= 1;
                        self.end_attempt(index, reason, now);
                    }
                }
                Attempt::Unverified { established, .. } => established.handle_timeout(now),
            }
        }
        self.collect();
    }

    /// Puts the next datagram to send into `buf`, in place of what was in it.
    pub fn poll_transmit(&mut self, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (datagram, to) = self.output.pop_front()?;
        buf.clear();
        buf.extend_from_slice(&datagram);
        let len = datagram.len();
        Some(Transmit { len, to })
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Fingerprints of an SDP that has come, the first 32 of them. A handshake that waits for them
    /// is finished, or fails. An established association is not judged again.
    pub fn set_fingerprints(&mut self, mut fingerprints: Vec<Fingerprint>, now: Instant) {
        fingerprints.truncate(limits::FINGERPRINTS);
        self.config.fingerprints = Some(fingerprints);
        self.reported = None;
        self.mismatches = 0;
        let (shaking, unverified): (Vec<_>, Vec<_>) =
            self.attempts.drain(..).partition(Attempt::is_shaking);
        self.attempts = shaking;
        let expected = self.config.fingerprints.as_deref().unwrap_or_default();
        let is_peer = |attempt: &Attempt| match attempt {
            Attempt::Shaking(_) => false,
            Attempt::Unverified { certificate, .. } => fingerprint::accept(expected, certificate),
        };
        // The peer goes first, and ends the others.
        let found = unverified.iter().position(is_peer);
        let (first, number) = found.map_or((0, unverified.len()), |found| (found, 1));
        for attempt in unverified.into_iter().skip(first).take(number) {
            if let Attempt::Unverified {
                established,
                certificate,
            } = attempt
            {
                self.verify(established, certificate, now);
            }
        }
    }

    /// Asks for a new association beside the established one, because the SDP has another
    /// fingerprint, tls-id or role (RFC 8842 §5), and shows `certificate` in it. An unfinished handshake is dropped. An active session
    /// sends its ClientHello at once.
    pub fn renew(
        &mut self,
        certificate: Arc<Certificate>,
        role: Role,
        fingerprints: Option<Vec<Fingerprint>>,
        tls_id: Option<String>,
        now: Instant,
    ) {
        self.attempts.clear();
        self.reconnect = None;
        self.hellos.clear();
        self.mismatches = 0;
        self.deadline = None;
        self.last_refusal = None;
        self.has_told_setback = false;
        self.reported = None;
        self.config.certificate = certificate;
        self.config.role = role;
        self.config.tls_id = tls_id;
        self.config.fingerprints = fingerprints;
        if let Some(fingerprints) = &mut self.config.fingerprints {
            fingerprints.truncate(limits::FINGERPRINTS);
        }
        if role == Role::Active && self.life == Life::Open {
            self.connect(now);
        }
    }

    /// Ends everything, with a close_notify to the peer. Nothing is received any more.
    pub fn close(&mut self) {
        self.life = Life::Closed;
        self.deadline = None;
        self.hellos.clear();
        self.reconnect = None;
        if let Some(mut current) = self.current.take() {
            let source = current.source();
            let close = current.close();
            self.send(close, source);
        }
        for attempt in std::mem::take(&mut self.attempts) {
            match attempt {
                Attempt::Shaking(mut association) => {
                    association.send_alert(alert::CLOSE_NOTIFY);
                    let source = association.source();
                    self.send(association.take_output(), source);
                }
                Attempt::Unverified {
                    mut established, ..
                } => {
                    let source = established.source();
                    let close = established.close();
                    self.send(close, source);
                }
            }
        }
    }

    /// Whether an association is established and its peer verified.
    pub fn is_connected(&self) -> bool {
        self.current.is_some()
    }

    /// The handshake under way, the newest of several. One that is complete but for the SDP is not.
    pub fn under_way(&self) -> Option<UnderWay> {
        let mut shaking = self.attempts.iter().filter(|it| it.is_shaking());
        let newest = shaking.next_back().map(Attempt::source);
        match (newest, self.reconnect) {
            (Some(Some(source)), _) => Some(UnderWay::With(source)),
            (Some(None), _) | (None, Some(_)) => Some(UnderWay::Unanswered),
            (None, None) => None,
        }
    }

    /// Where the peer of the established association is.
    pub fn source(&self) -> Option<SocketAddr> {
        self.current.as_ref()?.source()
    }

    /// What a successor needs; [`None`] unless connected.
    pub fn save(&self) -> Option<ConnectedState> {
        self.current.as_ref().map(|current| current.state().clone())
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn handle_record(&mut self, from: SocketAddr, record: &Record<'_>, now: Instant) {
        let known = match record.epoch {
            0 => self.handle_plain(from, record, now),
            1 => self.handle_sealed(from, record, now),
            // There is no renegotiation.
            _ => false,
        };
        if !known {
            self.counters.ignored += 1;
        }
        self.collect();
    }

    fn handle_plain(&mut self, from: SocketAddr, record: &Record<'_>, now: Instant) -> bool {
        let is_handshake = record.kind == wire::HANDSHAKE;
        if is_handshake && record.body.first() == Some(&wire::CLIENT_HELLO) {
            return self.handle_hello_record(from, record, now);
        }
        if let Some(index) = self.attempt_of(from) {
            return self.handle_attempt(index, from, record, now);
        }
        match &mut self.current {
            Some(current) if is_handshake && current.hears(from, self.peer) => {
                let flight = current.repeat(record.sequence, now).to_vec();
                let is_known = !flight.is_empty();
                self.send(flight, Some(from));
                is_known
            }
            _ => false,
        }
    }

    /// The attempt that records of `from` are for: its own, else the newest that hears it.
    fn attempt_of(&self, from: SocketAddr) -> Option<usize> {
        let is_own = |attempt: &Attempt| attempt.source() == Some(from);
        let hears = |attempt: &Attempt| attempt.hears(from, self.peer);
        let attempts = &self.attempts;
        let own = attempts.iter().rposition(|it| is_own(it) && hears(it));
        own.or_else(|| attempts.iter().rposition(hears))
    }

    /// Gives an attempt a record that is for it, no ClientHello.
    fn handle_attempt(
        &mut self,
        index: usize,
        from: SocketAddr,
        record: &Record<'_>,
        now: Instant,
    ) -> bool {
        let expected = self.config.fingerprints.as_deref();
        let handled = match self.attempts.get_mut(index) {
            Some(Attempt::Shaking(association)) => {
                association.handle_record(from, record, expected, now)
            }
            // The peer repeats its last flight: it has not had ours.
            Some(Attempt::Unverified { established, .. })
                if (record.epoch, record.kind) == (0, wire::HANDSHAKE) =>
            {
                let flight = established.repeat(record.sequence, now).to_vec();
                self.send(flight, Some(from));
                return true;
            }
            _ => return false,
        };
        match handled {
            Ok((used, None)) => used,
            Ok((_, Some(complete))) => {
                self.collect();
                self.attempts.remove(index);
                self.complete(*complete, now);
                true
            }
            Err(reason) => {
                self.end_attempt(index, reason, now);
                true
            }
        }
    }

    fn handle_sealed(&mut self, from: SocketAddr, record: &Record<'_>, now: Instant) -> bool {
        if let Some(current) = &mut self.current
            && let Some(heard) = current.handle_sealed(record, from)
        {
            let source = current.source();
            match heard {
                Heard::Nothing => return false,
                Heard::Closed => {
                    let answer = current.close();
                    self.send(answer, source);
                    self.current = None;
                    self.event(Event::Closed(CloseReason::CloseNotify));
                }
                Heard::Alert(description) => {
                    self.current = None;
                    self.event(Event::Closed(CloseReason::Alert(description)));
                }
            }
            return true;
        }
        for index in 0..self.attempts.len() {
            if let Some(Attempt::Unverified { established, .. }) = self.attempts.get_mut(index)
                && let Some(heard) = established.handle_sealed(record, from)
            {
                // Nobody was told of it, so nothing has ended.
                if heard != Heard::Nothing {
                    self.attempts.remove(index);
                }
                return heard != Heard::Nothing;
            }
        }
        let index = self.attempt_of(from);
        index.is_some_and(|index| self.handle_attempt(index, from, record, now))
    }

    fn complete(&mut self, complete: Complete, now: Instant) {
        let certificate = complete.agreed.certificate.clone();
        match Established::new(complete, self.config.tls_id.clone(), now) {
            Ok(established) => self.verify(Box::new(established), certificate, now),
            Err(reason) => self.end_handshake(reason, now),
        }
    }

    /// The only place where keys are given out.
    fn verify(&mut self, mut established: Box<Established>, certificate: Vec<u8>, now: Instant) {
        let Some(fingerprints) = &self.config.fingerprints else {
            self.attempts.push(Attempt::Unverified {
                established,
                certificate,
            });
            // Signalling has its own time-outs.
            if !self.attempts.iter().any(Attempt::is_shaking) {
                self.deadline = None;
            }
            return;
        };
        if !fingerprint::accept(fingerprints, &certificate) {
            let source = established.source();
            let alert = established.alert(alert::BAD_CERTIFICATE);
            self.send(alert, source);
            self.end_handshake(FailReason::FingerprintMismatch, now);
            return;
        }
        let state = established.state();
        let connected = Connected {
            profile: state.profile,
            local: state.local.clone(),
            remote: state.remote.clone(),
            peer_fingerprint: state.peer_fingerprint.clone(),
        };
        self.attempts.clear();
        self.deadline = None;
        self.last_refusal = None;
        self.has_told_setback = false;
        self.reported = None;
        self.mismatches = 0;
        self.current = Some(established);
        self.event(Event::Connected(Box::new(connected)));
    }

    fn end_attempt(&mut self, index: usize, reason: FailReason, now: Instant) {
        self.collect();
        self.attempts.remove(index);
        self.end_handshake(reason, now);
    }

    /// A handshake is over, without keys, and is no attempt any more.
    fn end_handshake(&mut self, reason: FailReason, now: Instant) {
        self.counters.handshakes_failed += 1;
        let is_active = self.config.role == Role::Active;
        // A stranger may have answered sooner than the peer, unless its source was proven.
        let is_stranger =
            is_active && reason == FailReason::FingerprintMismatch && self.peer != Peer::Proven;
        self.mismatches += u32::from(is_stranger);
        let is_tried = is_stranger && self.mismatches <= limits::MISMATCHES;
        if reason.is_final() && !is_tried && self.attempts.is_empty() {
            self.report_failure(reason);
            return;
        }
        match reason.is_final() {
            // It is reported when the other attempts have ended.
            true => self.last_refusal = Some(reason),
            false => self.note_setback(reason),
        }
        if is_active {
            self.reconnect = Some(now + limits::RECONNECT);
        }
    }

    fn note_setback(&mut self, reason: FailReason) {
        if !std::mem::replace(&mut self.has_told_setback, true) {
            self.event(Event::Setback(reason.clone()));
        }
        self.last_refusal = Some(reason);
    }

    fn handle_deadline(&mut self, now: Instant) {
        // A client that has started over has its time, too.
        let is_passive = self.config.role == Role::Passive;
        self.attempts.retain(|attempt| match attempt {
            Attempt::Shaking(association) => {
                is_passive && association.started() + limits::HANDSHAKE > now
            }
            Attempt::Unverified { .. } => true,
        });
        let ends = self.attempts.iter().filter_map(|attempt| match attempt {
            Attempt::Shaking(association) => Some(association.started() + limits::HANDSHAKE),
            Attempt::Unverified { .. } => None,
        });
        self.deadline = ends.max();
        if !self.attempts.is_empty() {
            return;
        }
        self.reconnect = None;
        let last = self.last_refusal.take().map(Box::new);
        self.report_failure(FailReason::TimedOut { last });
    }

    fn report_failure(&mut self, reason: FailReason) {
        self.deadline = None;
        self.last_refusal = None;
        if self.reported.as_ref() == Some(&reason) {
            return;
        }
        self.reported = Some(reason.clone());
        self.event(if self.current.is_some() {
            Event::Refused(reason)
        } else {
            Event::Failed(reason)
        });
    }

    fn connect(&mut self, now: Instant) {
        self.deadline.get_or_insert(now + limits::HANDSHAKE);
        match Association::connect(&self.config, now) {
            Ok(association) => self.attempts.push(Attempt::Shaking(Box::new(association))),
            Err(reason) => self.end_handshake(reason, now),
        }
        self.collect();
    }

    fn handle_hello_record(&mut self, from: SocketAddr, record: &Record<'_>, now: Instant) -> bool {
        if self.config.role == Role::Active {
            return false;
        }
        let mut known = false;
        for fragment in Fragments::new(record.body) {
            let Ok(fragment) = fragment else {
                self.counters.malformed += 1;
                return true;
            };
            if fragment.kind != wire::CLIENT_HELLO {
                return known;
            }
            known = true;
            if let Some(message) = self.whole_hello(from, &fragment) {
                self.handle_hello(from, record.sequence, &message, now);
            }
        }
        known
    }

    /// The ClientHello that `fragment` is, or completes.
    fn whole_hello(&mut self, from: SocketAddr, fragment: &Fragment<'_>) -> Option<Message> {
        if fragment.length > limits::HELLO_BYTES {
            return None;
        }
        if fragment.body.len() == fragment.length {
            return Some(Message {
                kind: fragment.kind,
                number: fragment.message,
                body: fragment.body.to_vec(),
            });
        }
        let is_same =
            |hello: &PartialHello| hello.from == from && hello.message == fragment.message;
        let known = self.hellos.iter().position(is_same);
        let index = match known {
            Some(index) => index,
            // Nothing is kept for what is no beginning.
            None if fragment.offset != 0 => return None,
            None => {
                if self.hellos.len() == limits::HELLOS {
                    self.hellos.pop_front();
                }
                self.hellos.push_back(PartialHello {
                    from,
                    message: fragment.message,
                    incoming: Reassembly::from(fragment.message),
                });
                self.hellos.len() - 1
            }
        };
        let hello = self.hellos.get_mut(index)?;
        hello.incoming.push(fragment);
        let message = hello.incoming.pop();
        if message.is_some() {
            self.hellos.remove(index);
        }
        message
    }

    fn handle_hello(&mut self, from: SocketAddr, sequence: u64, message: &Message, now: Instant) {
        let Ok(hello) = ClientHello::parse(&message.body) else {
            self.counters.malformed += 1;
            return;
        };
        if !self.cookies.is_valid(from, hello.random, hello.cookie, now) {
            // A client that counts otherwise could not go on (RFC 6347 §4.2.2).
            if message.number == 0 {
                self.counters.cookies_sent += 1;
                let cookie = self.cookies.cookie(from, hello.random, now);
                let request = cookie::hello_verify_request(&cookie, sequence, message.number);
                self.send([request], Some(from));
            }
            return;
        }
        let place = match message.number {
            1 => self.place(from, hello.random, sequence, now),
            _ => None,
        };
        let Some(place) = place else {
            self.counters.hellos_refused += 1;
            return;
        };
        self.deadline.get_or_insert(now + limits::HANDSHAKE);
        let profile = match self.choose(&hello) {
            Ok(profile) => profile,
            Err(reason) => {
                self.counters.hellos_refused += 1;
                let alert = match reason {
                    FailReason::Version => alert::PROTOCOL_VERSION,
                    _ => alert::HANDSHAKE_FAILURE,
                };
                self.note_setback(reason);
                let alert = wire::record(wire::ALERT, wire::DTLS_1_2, 0, sequence, &alert);
                self.send([alert], Some(from));
                return;
            }
        };
        if !self.starts.admits(Some(from.ip()), now) {
            self.counters.hellos_refused += 1;
            return;
        }
        if let Place::InsteadOf(index) = place {
            self.collect();
            self.attempts.remove(index);
        }
        let client = (from, sequence);
        match Association::accept(&self.config, &hello, message, profile, client, now) {
            Ok(association) => self.attempts.push(Attempt::Shaking(Box::new(association))),
            Err(reason) => self.end_handshake(reason, now),
        }
    }

    /// Where a proven hello may begin an association: not one that has begun already, and not one that
    /// would end the handshake of another source, unless that has stalled.
    fn place(
        &mut self,
        from: SocketAddr,
        random: &[u8],
        sequence: u64,
        now: Instant,
    ) -> Option<Place> {
        if let Some(current) = &self.current
            && current.hello() == random
        {
            return None;
        }
        let is_proven = self.peer == Peer::Proven;
        let is_own = |attempt: &&mut Attempt| {
            attempt.hello() == random && (is_proven || attempt.source() == Some(from))
        };
        if let Some(attempt) = self.attempts.iter_mut().find(is_own) {
            if let Attempt::Shaking(association) = attempt {
                association.handle_repeat(sequence, now);
            }
            return None;
        }
        let source_of = |attempt: &Attempt| attempt.source();
        let mut attempts = self.attempts.iter();
        if let Some(index) = attempts.position(|it| source_of(it) == Some(from)) {
            return Some(Place::InsteadOf(index));
        }
        let host_of = |attempt: &Attempt| attempt.source().map(|source| source.ip());
        let is_neighbour = |attempt: &Attempt| host_of(attempt) == Some(from.ip());
        let neighbours = self.attempts.iter().filter(|it| is_neighbour(it)).count();
        let is_crowded = neighbours >= limits::ATTEMPTS_OF_A_HOST;
        if !is_crowded && self.attempts.len() < limits::ATTEMPTS {
            return Some(Place::Free);
        }
        let stalled = self.attempts.iter().enumerate().filter_map(|(index, it)| {
            let Attempt::Shaking(association) = it else {
                return None;
            };
            let silence = now.saturating_duration_since(association.progress());
            let is_spare = silence >= limits::STALLED && (!is_crowded || is_neighbour(it));
            is_spare.then_some((association.progress(), index))
        });
        stalled.min().map(|(_, index)| Place::InsteadOf(index))
    }

    /// Our choice among what a hello offers, or why there is none.
    fn choose(&self, hello: &ClientHello<'_>) -> Result<Profile, FailReason> {
        if hello.version != wire::DTLS_1_2 {
            return Err(FailReason::Version);
        }
        // The library reads a hello as if there were none.
        if !hello.session_id.is_empty() {
            return Err(FailReason::Resumption);
        }
        let suites = library::suites(self.config.certificate.key());
        if !hello.offers_no_compression() || !suites.iter().any(|suite| hello.offers_suite(*suite))
        {
            return Err(FailReason::NoCommonCipher);
        }
        let mut profiles = self.config.profiles.iter().copied();
        profiles
            .find(|profile| hello.offers_profile(profile.id()))
            .ok_or(FailReason::NoCommonProfile)
    }

    /// Takes the datagrams of the handshakes under way.
    fn collect(&mut self) {
        for index in 0..self.attempts.len() {
            if let Some(Attempt::Shaking(association)) = self.attempts.get_mut(index) {
                let source = association.source();
                let output = association.take_output();
                self.send(output, source);
            }
        }
    }

    fn send(&mut self, datagrams: impl IntoIterator<Item = Vec<u8>>, to: Option<SocketAddr>) {
        for datagram in datagrams {
            if self.output.len() < limits::OUTGOING_DATAGRAMS {
                self.output.push_back((datagram, to));
            } else {
                self.counters.overflows += 1;
            }
        }
    }

    fn event(&mut self, event: Event) {
        // The last events say how it is now.
        if self.events.len() == limits::EVENTS {
            self.events.pop_front();
            self.counters.overflows += 1;
        }
        self.events.push_back(event);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = self.config.certificate.fingerprint(HashFunction::Sha256);
        f.debug_struct("Session")
            .field("role", &self.config.role)
            .field("certificate", &ours.to_string())
            .field("life", &self.life)
            .field("current", &self.current)
            .field("attempts", &self.attempts)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
