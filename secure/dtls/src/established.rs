//! An association after its handshake: nothing but alerts comes and goes (media is SRTP), and the
//! last flight is sent again if the peer has not had it (RFC 6347 §4.2.4).

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use rtc_dtls::cipher_suite::CipherSuite;
use serde::{Deserialize, Serialize};

use crate::association::{Complete, Seen, alert};
use crate::fingerprint::{Fingerprint, HashFunction};
use crate::library::{self, Secrets};
use crate::limits;
use crate::profile::{self, Profile, SrtpKeys};
use crate::session::{FailReason, Role};
use crate::wire::{self, Record};

/// What a successor of the process needs of a connected session. Holds keys: keep it where the
/// process keeps its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectedState {
    /// [`ConnectedState::VERSION`] of the writer.
    pub version: u16,
    /// Our role in the handshake.
    pub role: Role,
    /// The profile agreed on.
    pub profile: Profile,
    /// What we send with.
    pub local: SrtpKeys,
    /// What we receive with.
    pub remote: SrtpKeys,
    /// SHA-256 fingerprint of the peer's certificate, as SDP prints it.
    pub peer_fingerprint: String,
    /// Our `a=tls-id` (RFC 8842 §4) of the association.
    pub tls_id: Option<String>,
    secrets: Secrets,
}

impl ConnectedState {
    /// Version of this layout.
    pub const VERSION: u16 = 1;
}

/// What the peer did in an established association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Ended it with close_notify.
    Closed,
    /// Ended it with this fatal alert.
    Alert(u8),
    /// Something that has no meaning here.
    Nothing,
}

pub(crate) struct Established {
    state: ConnectedState,
    protection: Box<dyn CipherSuite>,
    hello: Vec<u8>,
    source: Option<SocketAddr>,
    last_flight: Option<LastFlight>,
}

/// Kept as long as the peer may repeat its own.
#[derive(Debug)]
struct LastFlight {
    datagrams: Vec<Vec<u8>>,
    seen: Seen,
    until: Instant,
    sent: Instant,
    repeats: u32,
}

impl Established {
    /// Takes over a handshake whose peer is verified.
    pub(crate) fn new(
        complete: Complete,
        tls_id: Option<String>,
        now: Instant,
    ) -> Result<Self, FailReason> {
        let Complete { role, agreed, .. } = complete;
        let keys = profile::split(agreed.profile, agreed.material.as_bytes());
        let (client, server) = keys.ok_or(FailReason::NoCommonProfile)?;
        let (local, remote) = match role {
            Role::Active => (client, server),
            Role::Passive => (server, client),
        };
        let protection = agreed.secrets.protection(role);
        let fingerprint = Fingerprint::of(HashFunction::Sha256, &agreed.certificate);
        Ok(Self {
            protection: protection.ok_or(FailReason::NoCommonCipher)?,
            state: ConnectedState {
                version: ConnectedState::VERSION,
                role,
                profile: agreed.profile,
                local,
                remote,
                peer_fingerprint: fingerprint.to_string(),
                tls_id,
                secrets: agreed.secrets,
            },
            hello: complete.hello,
            source: complete.source,
            last_flight: (!complete.last_flight.is_empty()).then(|| LastFlight {
                datagrams: complete.last_flight,
                seen: complete.seen,
                until: now + limits::LAST_FLIGHT,
                sent: now,
                repeats: 0,
            }),
        })
    }

    /// From what a predecessor left; [`None`] if its keys are of no use. The last flight is gone.
    pub(crate) fn restore(mut state: ConnectedState) -> Option<Self> {
        state.secrets.next_sequence += limits::RESTORE_SKIP;
        Some(Self {
            protection: state.secrets.protection(state.role)?,
            state,
            hello: Vec::new(),
            source: None,
            last_flight: None,
        })
    }

    pub(crate) fn state(&self) -> &ConnectedState {
        &self.state
    }

    /// Client's random of the handshake, if we were the server.
    pub(crate) fn hello(&self) -> &[u8] {
        &self.hello
    }

    pub(crate) fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// A record of epoch 1; [`None`] if it is not of this association.
    pub(crate) fn handle_sealed(&mut self, record: &Record<'_>, from: SocketAddr) -> Option<Heard> {
        let content = library::open(self.protection.as_mut(), record)?;
        self.source = Some(from);
        Some(match (record.kind, content.as_slice()) {
            (wire::ALERT, [_, 0]) => Heard::Closed,
            (wire::ALERT, [2, description]) => Heard::Alert(*description),
            _ => Heard::Nothing,
        })
    }

    /// Our last flight, if the peer may be told it again. `sequence` is the number of the record by
    /// which it asks.
    pub(crate) fn repeat(&mut self, sequence: u64, now: Instant) -> &[Vec<u8>] {
        let Some(flight) = &mut self.last_flight else {
            return &[];
        };
        let asked = flight.seen.is_new(sequence);
        let recent = now.saturating_duration_since(flight.sent) < limits::REPEAT_GAP;
        if !asked || recent || now >= flight.until || flight.repeats >= limits::ANSWERED_REPEATS {
            return &[];
        }
        flight.sent = now;
        flight.repeats += 1;
        &flight.datagrams
    }

    /// A close_notify of ours.
    pub(crate) fn close(&mut self) -> Option<Vec<u8>> {
        self.alert(alert::CLOSE_NOTIFY)
    }

    /// An alert of ours.
    pub(crate) fn alert(&mut self, alert: [u8; 2]) -> Option<Vec<u8>> {
        let sequence = self.state.secrets.next_sequence;
        self.state.secrets.next_sequence += 1;
        library::seal_alert(self.protection.as_mut(), alert, sequence)
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.last_flight.as_ref().map(|flight| flight.until)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.last_flight.take_if(|flight| now >= flight.until);
    }
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established")
            .field("state", &self.state)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
