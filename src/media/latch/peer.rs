//! Input of the latch: the party by signalling, and the latch's answers (spec: media-behaviour §3,
//! §3.1).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::media::reach::Reach;

/// The party of a flow, and how its source is learned (spec: media-behaviour §3).
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct PeerSpec {
    /// The address and port of its SDP; `None` until its SDP is known.
    pub signalled: Option<SocketAddr>,
    /// Where an offer that waits for its answer says that the party is, if that is elsewhere: it is
    /// heard from that host, and media goes where it went.
    pub proposed: Option<SocketAddr>,
    /// Where else it may send from as if from there: the addresses of other m= lines whose packets
    /// come to the same port (RFC 9143). Media does not go there.
    pub others_signalled: Box<[SocketAddr]>,
    /// `signalled` is private and not in the scope of the local interface, so the party is
    /// behind NAT as seen from here.
    pub signalled_private: bool,
    /// A move to `signalled` counts at once, even if that is private (`trust-address`).
    pub trusts_signalled: bool,
    /// The SIP source address (`received-from`), when it can be the party's own.
    pub received_from: Option<IpAddr>,
    /// Whether the SDP says that the party sends media (not recvonly, inactive, or held by
    /// a zero address).
    pub sends: bool,
    /// Whether the party takes media by its SDP (not port 0, not an unspecified address).
    pub wants: bool,
    /// Allowed destinations of media for the party, signalled or learned.
    pub reach: Reach,
    /// Whether the party knows the port: it has been shown our SDP.
    pub is_shown: bool,
    /// Learning mode.
    pub learning: Learning,
    /// The destination stays the signalled one whatever source is learned.
    pub asymmetric: bool,
    /// Packets from any source but the learned one are dropped.
    pub strict_source: bool,
    /// A changed source is followed.
    pub media_handover: bool,
    /// Nothing is sent to the party before something came from it.
    pub nat_wait: bool,
    /// Dummy packets go to the party until something came from it.
    pub pierce_nat: bool,
    /// Its packets are authenticated before the latch is asked: where they come from, it is.
    pub is_authenticated: bool,
    /// ICE is in use, and has found this: nothing is learned from media.
    pub validated: Option<Box<Validated>>,
    /// Time of the last signalling for the party. A later value opens the learning window again in
    /// the modes that count from it. The learned source is reset only when `signalled` differs.
    pub signalled_at: Instant,
}

impl PeerSpec {
    /// Whether ICE has shown that a source is the party.
    pub(super) fn is_validated(&self, from: SocketAddr) -> bool {
        let validated = self.validated.as_deref();
        validated.is_some_and(|validated| validated.sources.contains(&from))
    }

    /// Where ICE lets media go.
    pub(super) fn validated_destination(&self) -> Option<SocketAddr> {
        self.validated.as_deref()?.destination
    }
}

/// The party by ICE: exactly these addresses are it.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub struct Validated {
    /// Where it may send from.
    pub sources: Box<[SocketAddr]>,
    /// Where media goes.
    pub destination: Option<SocketAddr>,
}

/// Learning modes for the source of a stream (spec: media-behaviour §3, §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Learning {
    /// Windlass's default: ranks of sources, runs, and a settled peer.
    #[default]
    Guarded,
    /// The best-ranked source within 3 s of the last signalling.
    Heuristic,
    /// Every new source within 3 s of the last signalling, then the next packet settles.
    Delayed,
    /// The first source.
    Immediate,
    /// None: media goes where SDP says.
    Off,
}

/// Reasons why a packet is refused for its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// ICE has not shown that the source is the party.
    NotValidated,
    /// The source is not the party.
    UnexpectedSource,
    /// The source is not known well enough yet: its run is incomplete.
    Unproven,
}
