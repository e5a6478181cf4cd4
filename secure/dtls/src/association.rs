//! One handshake with one peer: records in, records out, and keys when it is complete.
//!
//! The messages are made and judged by the library ([`crate::library`]). Reassembly, record numbers,
//! retransmission (RFC 6347 §4.2.4) and the check of the peer's certificate are here.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;

use crate::cookie;
use crate::fingerprint::{self, Fingerprint};
use crate::library::{Agreed, Library, Sent};
use crate::limits;
use crate::profile::Profile;
use crate::reassembly::{Message, Reassembly, Taken};
use crate::session::{FailReason, Peer, Role, SessionConfig};
use crate::wire::{self, ClientHello, Fragments, Record};

/// Alerts (RFC 5246 §7.2) as level and description.
pub(crate) mod alert {
    pub(crate) const CLOSE_NOTIFY: [u8; 2] = [1, 0];
    pub(crate) const HANDSHAKE_FAILURE: [u8; 2] = [2, 40];
    pub(crate) const BAD_CERTIFICATE: [u8; 2] = [2, 42];
    pub(crate) const DECRYPT_ERROR: [u8; 2] = [2, 51];
    pub(crate) const PROTOCOL_VERSION: [u8; 2] = [2, 70];
}

/// A handshake that has gone through, its peer not verified unless its fingerprints were known.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) role: Role,
    pub(crate) agreed: Agreed,
    /// Client's random, by which its hello is known again.
    pub(crate) hello: Vec<u8>,
    pub(crate) seen: Seen,
    /// The flight that the peer may ask for again; empty for a client, whose peer has the last word.
    pub(crate) last_flight: Vec<Vec<u8>>,
    pub(crate) source: Option<SocketAddr>,
    /// Number of the record that completed it, in epoch 1.
    pub(crate) sequence: u64,
}

/// The last record numbers of the peer in the clear. Not a window that moves with the highest one:
/// anybody can write a high number.
#[derive(Debug, Default)]
pub(crate) struct Seen(VecDeque<u64>);

impl Seen {
    /// Whether the number was not seen; from now on it was.
    pub(crate) fn is_new(&mut self, sequence: u64) -> bool {
        if self.0.contains(&sequence) {
            return false;
        }
        if self.0.len() == limits::RECORD_NUMBERS {
            self.0.pop_front();
        }
        self.0.push_back(sequence);
        true
    }
}

/// A handshake under way.
pub(crate) struct Association {
    role: Role,
    library: Library,
    incoming: Reassembly,
    /// Hash of all messages up to the client's Finished; a server's alone.
    transcript: Option<digest::Context>,
    /// Client's random of a server's handshake.
    hello: Vec<u8>,
    source: Option<SocketAddr>,
    started: Instant,
    /// When the peer last sent something of use.
    progress: Instant,
    /// What says that the peer will not go on, unless it does: since the last progress.
    doubt: Option<FailReason>,
    /// The request for a cookie that a client has answered.
    cookie_request: Vec<u8>,
    seen: Seen,
    mtu: usize,
    /// Number of our next record in the clear.
    sequence: u64,
    flight: Vec<Sent>,
    sent: Instant,
    interval: Duration,
    repeats: u32,
    /// Records that were of use.
    records: u32,
    owner: Owner,
    keys: Keys,
    /// Datagrams to send.
    output: Vec<Vec<u8>>,
}

/// How far the change to the new keys is. The library wants ChangeCipherSpec after everything in the
/// clear, and what is under the new keys after that.
#[derive(Debug)]
enum Keys {
    /// Something of the peer's flight in the clear is missing, its ChangeCipherSpec or another.
    Expected {
        flight: Flight,
        changed: bool,
        early: Vec<Vec<u8>>,
    },
    /// The library opens records of epoch 1.
    InUse,
}

/// The peer's certificate. Until its signature was checked anybody can have sent it.
#[derive(Debug)]
enum Owner {
    Unknown,
    Certified(Vec<u8>),
    /// None of the fingerprints is that of its certificate.
    Stranger,
}

/// The peer's last flight in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    Incomplete,
    Complete,
}

impl Association {
    /// A client, whose ClientHello is the first output.
    pub(crate) fn connect(config: &SessionConfig, now: Instant) -> Result<Self, FailReason> {
        let library = Library::connect(&config.certificate, &config.profiles, config.mtu, now)?;
        let mut this = Self::new(config, library, Reassembly::default(), now);
        this.collect(now);
        Ok(this)
    }

    /// A server for a ClientHello that has brought back its cookie; `sequence` is the number of its
    /// record, from which ours go on (RFC 6347 §4.2.1).
    pub(crate) fn accept(
        config: &SessionConfig,
        hello: &ClientHello<'_>,
        message: &Message,
        profile: Profile,
        (source, sequence): (SocketAddr, u64),
        now: Instant,
    ) -> Result<Self, FailReason> {
        let mut proven = [0; cookie::LEN];
        for (byte, of_hello) in proven.iter_mut().zip(hello.cookie) {
            *byte = *of_hello;
        }
        let first = hello.without_cookie();
        let library = Library::accept(
            &config.certificate,
            profile,
            config.mtu,
            proven,
            &first,
            now,
        )?;
        // The hello was message 1.
        let mut this = Self::new(config, library, Reassembly::from(2), now);
        this.transcript = Some(digest::Context::new(&digest::SHA256));
        this.hello = hello.random.to_vec();
        this.source = Some(source);
        this.sequence = sequence;
        this.seen.is_new(sequence);
        this.give(message, now)?;
        Ok(this)
    }

    fn new(config: &SessionConfig, library: Library, incoming: Reassembly, now: Instant) -> Self {
        Self {
            role: config.role,
            library,
            incoming,
            transcript: None,
            hello: Vec::new(),
            source: None,
            started: now,
            progress: now,
            doubt: None,
            cookie_request: Vec::new(),
            seen: Seen::default(),
            mtu: config.mtu,
            sequence: 0,
            flight: Vec::new(),
            sent: now,
            interval: limits::FIRST_RETRANSMIT,
            repeats: 0,
            records: 0,
            owner: Owner::Unknown,
            keys: Keys::Expected {
                flight: Flight::Incomplete,
                changed: false,
                early: Vec::new(),
            },
            output: Vec::new(),
        }
    }

    /// Client's random of a server's handshake.
    pub(crate) fn hello(&self) -> &[u8] {
        &self.hello
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// When the peer last sent something of use.
    pub(crate) fn progress(&self) -> Instant {
        self.progress
    }

    /// Whether records of `from` are for this handshake: it stays with the source that has brought back
    /// its cookie, or that the client's hello went to.
    pub(crate) fn hears(&self, from: SocketAddr, peer: Peer) -> bool {
        match (self.role, peer) {
            (_, Peer::Proven) => true,
            (Role::Active, Peer::At(address)) => address == from,
            _ => self.source.is_none_or(|source| source == from),
        }
    }

    /// Where the peer's last datagram came from.
    pub(crate) fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    pub(crate) fn take_output(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.output)
    }

    /// A record of the peer by [`Association::hears`], no ClientHello. Returns whether it was of use, and the outcome once it is
    /// there. On an error the handshake is over; the output says so to the peer.
    pub(crate) fn handle_record(
        &mut self,
        from: SocketAddr,
        record: &Record<'_>,
        expected: Option<&[Fingerprint]>,
        now: Instant,
    ) -> Result<(bool, Option<Box<Complete>>), FailReason> {
        let handled = self.take_record(record, expected, now);
        match &handled {
            Ok((true, _)) => {
                // `hears` says who may move it.
                self.source = Some(from);
                self.records += 1;
                if self.records > limits::HANDSHAKE_RECORDS {
                    return Err(FailReason::TooMuch);
                }
            }
            Ok((false, _)) => {}
            // The library has its own words for most.
            Err(_)
                if self
                    .output
                    .last()
                    .is_some_and(|it| it.first() == Some(&wire::ALERT)) => {}
            Err(_) => self.send_alert(alert::HANDSHAKE_FAILURE),
        }
        handled
    }

    fn take_record(
        &mut self,
        record: &Record<'_>,
        expected: Option<&[Fingerprint]>,
        now: Instant,
    ) -> Result<(bool, Option<Box<Complete>>), FailReason> {
        let used = match (record.epoch, record.kind) {
            (0, wire::HANDSHAKE) => self.handle_fragments(record, expected, now)?,
            (0, wire::CHANGE_CIPHER_SPEC) => match &mut self.keys {
                Keys::Expected { changed, .. } => !std::mem::replace(changed, true),
                Keys::InUse => false,
            },
            // Alerts under the new keys are for the time after: a peer that gives up on us does
            // not repeat itself, and time runs out.
            (1, wire::HANDSHAKE) => match &mut self.keys {
                Keys::Expected { early, .. } => {
                    let fits = early.len() < limits::EARLY_RECORDS
                        && record.bytes.len() <= limits::EARLY_RECORD_BYTES;
                    if fits {
                        early.push(record.bytes.to_vec());
                    }
                    fits
                }
                Keys::InUse => return Ok((true, self.give_sealed(record.bytes, now)?)),
            },
            // Anybody can write an alert in the clear (RFC 6347 §4.1.2.7): it counts if the peer says
            // nothing else from then on.
            (0, wire::ALERT) => {
                if let [2, description] = record.body {
                    self.doubt
                        .get_or_insert(FailReason::PeerAlert(*description));
                }
                false
            }
            _ => false,
        };
        Ok((used, self.change_keys(now)?))
    }

    /// When [`Association::handle_timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Instant {
        let repeat = self.sent + self.interval;
        self.patience().map_or(repeat, |end| end.min(repeat))
    }

    /// Sends the flight again if it is time. An error ends the handshake: the peer has given up, or
    /// does not know us any more.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), FailReason> {
        if self.patience().is_some_and(|end| now >= end) {
            return Err(self.doubt.take().unwrap_or(FailReason::Stalled));
        }
        if now >= self.sent + self.interval {
            self.interval = (self.interval * 2).min(limits::LAST_RETRANSMIT);
            self.send(now);
        }
        Ok(())
    }

    /// When it makes no sense to go on. A client starts over then, a server waits for one that does.
    fn patience(&self) -> Option<Instant> {
        if self.doubt.is_some() {
            return Some(self.progress + limits::DOUBT);
        }
        let is_alive = self.role == Role::Active && self.records > 0;
        is_alive.then(|| self.progress + limits::PATIENCE)
    }

    /// The peer sent again, under the record number `sequence`, what we had: ours was lost, or is on
    /// its way. The same number again is a repetition by the network.
    pub(crate) fn handle_repeat(&mut self, sequence: u64, now: Instant) {
        if !self.seen.is_new(sequence) {
            return;
        }
        let recent = now.saturating_duration_since(self.sent) < limits::REPEAT_GAP;
        if !recent && self.repeats < limits::ANSWERED_REPEATS {
            self.repeats += 1;
            self.send(now);
        }
    }

    /// Adds an alert in the clear to the output.
    pub(crate) fn send_alert(&mut self, alert: [u8; 2]) {
        let record = wire::record(wire::ALERT, wire::DTLS_1_2, 0, self.sequence, &alert);
        self.sequence += 1;
        self.output.push(record);
    }

    fn handle_fragments(
        &mut self,
        record: &Record<'_>,
        expected: Option<&[Fingerprint]>,
        now: Instant,
    ) -> Result<bool, FailReason> {
        let (mut used, mut repeated) = (false, false);
        for fragment in Fragments::new(record.body).flatten() {
            if !belongs(self.role, fragment.kind) {
                continue;
            }
            match self.incoming.push(&fragment) {
                Taken::Kept => {
                    used = true;
                    self.progress = now;
                    self.doubt = None;
                }
                // The peer wants another cookie: the one we have was for somebody else's hello.
                Taken::Repeated
                    if fragment.kind == wire::HELLO_VERIFY_REQUEST
                        && fragment.body != self.cookie_request =>
                {
                    self.doubt.get_or_insert(FailReason::Cookie);
                }
                Taken::Repeated => repeated = true,
                Taken::Refused => {}
            }
            while let Some(message) = self.incoming.pop() {
                self.check(&message, expected)?;
                self.give(&message, now)?;
            }
        }
        if used {
            self.seen.is_new(record.sequence);
        } else if repeated {
            self.handle_repeat(record.sequence, now);
        }
        Ok(used || repeated)
    }

    /// Refuses what the library must not see, and looks whose certificate it is.
    fn check(
        &mut self,
        message: &Message,
        expected: Option<&[Fingerprint]>,
    ) -> Result<(), FailReason> {
        let malformed = FailReason::Unexpected(message.kind);
        match (self.role, message.kind) {
            (_, wire::CERTIFICATE) => {
                let certificate = wire::first_certificate(&message.body).map_err(|_| malformed)?;
                let Some(certificate) = certificate else {
                    self.send_alert(alert::HANDSHAKE_FAILURE);
                    return Err(FailReason::NoCertificate);
                };
                // A client's CertificateVerify proves what is behind it; of a server only Finished
                // does, and by then the caller compares.
                let mismatch = self.role == Role::Passive
                    && expected.is_some_and(|it| !fingerprint::accept(it, certificate));
                self.owner = if mismatch {
                    Owner::Stranger
                } else {
                    Owner::Certified(certificate.to_vec())
                };
                Ok(())
            }
            (Role::Active, wire::SERVER_HELLO) => {
                wire::server_hello_suite(&message.body).map_err(|_| malformed)?;
                Ok(())
            }
            (Role::Active, wire::HELLO_VERIFY_REQUEST) => {
                self.cookie_request.clone_from(&message.body);
                Ok(())
            }
            (
                Role::Active,
                wire::SERVER_KEY_EXCHANGE | wire::CERTIFICATE_REQUEST | wire::SERVER_HELLO_DONE,
            )
            | (Role::Passive, wire::CLIENT_KEY_EXCHANGE | wire::CERTIFICATE_VERIFY) => Ok(()),
            _ => Err(malformed),
        }
    }

    /// Gives a whole message in the clear to the library.
    fn give(&mut self, message: &Message, now: Instant) -> Result<(), FailReason> {
        let bytes = wire::message(message.kind, message.number, &message.body);
        if let Some(transcript) = &mut self.transcript {
            transcript.update(&bytes);
        }
        let given = self.library.feed(wire::HANDSHAKE, &bytes, now);
        let last = match self.role {
            Role::Active => wire::SERVER_HELLO_DONE,
            Role::Passive => wire::CERTIFICATE_VERIFY,
        };
        // The signature was over all of the handshake, so nobody else has put this certificate here.
        if message.kind == last && given.is_ok() && matches!(self.owner, Owner::Stranger) {
            self.library.take_output();
            self.send_alert(alert::BAD_CERTIFICATE);
            return Err(FailReason::FingerprintMismatch);
        }
        self.collect(now);
        given?;
        if message.kind == last
            && let Keys::Expected { flight, .. } = &mut self.keys
        {
            *flight = Flight::Complete;
        }
        Ok(())
    }

    /// Gives the library ChangeCipherSpec and what came after it, if nothing before it is missing.
    fn change_keys(&mut self, now: Instant) -> Result<Option<Box<Complete>>, FailReason> {
        let Keys::Expected {
            flight: Flight::Complete,
            changed: true,
            early,
        } = &mut self.keys
        else {
            return Ok(None);
        };
        let early = std::mem::take(early);
        self.keys = Keys::InUse;
        self.library.feed(wire::CHANGE_CIPHER_SPEC, &[1], now)?;
        for record in early {
            if let Some(complete) = self.give_sealed(&record, now)? {
                return Ok(Some(complete));
            }
        }
        Ok(None)
    }

    /// Gives a record under the new keys to the library. Forged ones it drops without a word.
    fn give_sealed(
        &mut self,
        record: &[u8],
        now: Instant,
    ) -> Result<Option<Box<Complete>>, FailReason> {
        let complete = self.library.feed_sealed(record, now);
        if !matches!(complete, Ok(true)) {
            self.collect(now);
            complete?;
            return Ok(None);
        }
        let agreed = self.library.agreed()?;
        match &self.owner {
            Owner::Certified(certificate) if *certificate == agreed.certificate => {}
            _ => return Err(FailReason::NoCertificate),
        }
        if let Some(transcript) = self.transcript.take() {
            let transcript = transcript.finish();
            if !Library::is_finished(&agreed.secrets, record, transcript.as_ref()) {
                self.send_alert(alert::DECRYPT_ERROR);
                return Err(FailReason::Finished);
            }
        }
        let before = self.output.len();
        self.collect(now);
        let last_flight = match self.role {
            Role::Active => Vec::new(),
            Role::Passive => self.output.get(before..).unwrap_or_default().to_vec(),
        };
        Ok(Some(Box::new(Complete {
            role: self.role,
            agreed,
            hello: std::mem::take(&mut self.hello),
            seen: std::mem::take(&mut self.seen),
            last_flight,
            source: self.source,
            sequence: wire::sequence(record),
        })))
    }

    /// Takes what the library has to send: a flight, which takes the place of the one before, or an
    /// alert.
    fn collect(&mut self, now: Instant) {
        let records = self.library.take_output();
        let (alerts, flight): (Vec<_>, Vec<_>) = records
            .into_iter()
            .partition(|record| matches!(record, Sent::Plain { kind, .. } if *kind == wire::ALERT));
        if !flight.is_empty() {
            if let Some(transcript) = &mut self.transcript {
                hash_flight(transcript, &flight);
            }
            self.flight = flight;
            self.interval = limits::FIRST_RETRANSMIT;
            self.send(now);
        }
        for record in alerts {
            if let Sent::Plain { kind, body } = record {
                let record = wire::record(kind, wire::DTLS_1_2, 0, self.sequence, &body);
                self.sequence += 1;
                self.output.push(record);
            }
        }
    }

    /// Sends the flight, in as few datagrams as the MTU allows. Records in the clear get new numbers;
    /// a sealed one goes out as it was, since its number was not used if the peer has not had it.
    fn send(&mut self, now: Instant) {
        self.sent = now;
        let mut datagram = Vec::new();
        for record in &self.flight {
            let bytes = match record {
                Sent::Plain { kind, body } => {
                    self.sequence += 1;
                    wire::record(*kind, wire::DTLS_1_2, 0, self.sequence - 1, body)
                }
                Sent::Sealed(bytes) => bytes.clone(),
            };
            if !datagram.is_empty() && datagram.len() + bytes.len() > self.mtu {
                self.output.push(std::mem::take(&mut datagram));
            }
            datagram.extend(bytes);
        }
        if !datagram.is_empty() {
            self.output.push(datagram);
        }
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association")
            .field("role", &self.role)
            .field("source", &self.source)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Whether a message of this type in the clear may come from the peer of `role`. Others are anybody's.
fn belongs(role: Role, kind: u8) -> bool {
    match role {
        Role::Active => matches!(
            kind,
            wire::HELLO_VERIFY_REQUEST
                | wire::SERVER_HELLO
                | wire::CERTIFICATE
                | wire::SERVER_KEY_EXCHANGE
                | wire::CERTIFICATE_REQUEST
                | wire::SERVER_HELLO_DONE
        ),
        Role::Passive => matches!(
            kind,
            wire::CERTIFICATE | wire::CLIENT_KEY_EXCHANGE | wire::CERTIFICATE_VERIFY
        ),
    }
}

/// Adds the messages of a server's flight to the hash, whole, as they were before they were cut.
fn hash_flight(transcript: &mut digest::Context, flight: &[Sent]) {
    let mut whole = Vec::new();
    for record in flight {
        let Sent::Plain {
            kind: wire::HANDSHAKE,
            body,
        } = record
        else {
            continue;
        };
        for fragment in Fragments::new(body).flatten() {
            whole.extend_from_slice(fragment.body);
            if fragment.offset + fragment.body.len() == fragment.length {
                transcript.update(&wire::message(fragment.kind, fragment.message, &whole));
                whole.clear();
            }
        }
    }
}
