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
use crate::session::{FailReason, Peer, Role};
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
    window: Window,
    last_flight: Option<LastFlight>,
}

/// Which of the peer's records in epoch 1 have come (RFC 6347 §4.1.2.6).
#[derive(Debug, Default)]
struct Window {
    /// The highest number, and one more.
    next: u64,
    /// Bit n: the number n below the highest has come.
    seen: u64,
}

impl Window {
    /// Whether an authentic record of this number is the first; from now on it has come. What is too
    /// old to tell is not.
    fn take(&mut self, sequence: u64) -> bool {
        if sequence >= self.next {
            let ahead = u32::try_from(sequence + 1 - self.next).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.next = sequence + 1;
            return true;
        }
        let bit = u32::try_from(self.next - 1 - sequence).unwrap_or(u32::MAX);
        let Some(bit) = 1_u64.checked_shl(bit) else {
            return false;
        };
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
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
        let mut window = Window::default();
        window.take(complete.sequence);
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
            window,
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
            window: Window::default(),
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

    /// Whether a repetition of `from`, in the clear, is the peer's as far as can be told.
    pub(crate) fn hears(&self, from: SocketAddr, peer: Peer) -> bool {
        peer == Peer::Proven || self.source == Some(from)
    }

    /// A record of epoch 1; [`None`] if it is not of this association, or was there before.
    pub(crate) fn handle_sealed(&mut self, record: &Record<'_>, from: SocketAddr) -> Option<Heard> {
        let content = library::open(self.protection.as_mut(), record)?;
        if !self.window.take(record.sequence) {
            return None;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_counts_once() {
        let mut window = Window::default();
        let taken = [
            0,
            0,
            3,
            1,
            1,
            3,
            66,
            3,
            2,
            67,
            4,
            200,
            137,
            136,
            u64::MAX >> 16,
        ]
        .map(|sequence| window.take(sequence));
        let (yes, no) = (true, false);
        let expected = [
            yes, no, yes, yes, no, no, yes, no, no, yes, yes, yes, yes, no, yes,
        ];
        assert_eq!(taken, expected);
    }
}
