//! Candidates of both sides (RFC 8445 §5.1).

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// What a candidate carries (RFC 8445 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Component {
    /// RTP, and RTCP with rtcp-mux.
    Rtp,
    /// RTCP on a port of its own.
    Rtcp,
}

impl Component {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Rtp, Self::Rtcp];

    /// The number in `a=candidate`.
    pub fn id(self) -> u16 {
        match self {
            Self::Rtp => 1,
            Self::Rtcp => 2,
        }
    }

    /// The component with this number, if RTP has it.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.id() == id)
    }
}

/// One of each component.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerComponent<T> {
    rtp: T,
    rtcp: T,
}

impl<T> PerComponent<T> {
    pub(super) fn get(&self, component: Component) -> &T {
        match component {
            Component::Rtp => &self.rtp,
            Component::Rtcp => &self.rtcp,
        }
    }

    pub(super) fn get_mut(&mut self, component: Component) -> &mut T {
        match component {
            Component::Rtp => &mut self.rtp,
            Component::Rtcp => &mut self.rtcp,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.rtp, &self.rtcp].into_iter()
    }
}

/// A host candidate of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalCandidate {
    /// What the socket carries.
    pub component: Component,
    /// Local address of the socket, also where another one is advertised for it. Its IP address
    /// stands for the foundation.
    pub address: SocketAddr,
    /// As printed in SDP.
    pub priority: u32,
}

/// A candidate of the peer, from SDP or trickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteCandidate<'a> {
    /// What it carries.
    pub component: Component,
    /// Where checks go. Whether the relay may send there at all is for the caller to know.
    pub address: SocketAddr,
    /// As signalled.
    pub priority: u32,
    /// As signalled; candidates with equal ones are likely to share their fate.
    pub foundation: &'a [u8],
}

/// What is kept of a candidate of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remote {
    pub(super) component: Component,
    pub(super) address: SocketAddr,
    pub(super) priority: u32,
    pub(super) foundation: u64,
    pub(super) origin: Origin,
}

/// How we know of a candidate of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Origin {
    Signalled,
    /// Peer-reflexive: an authenticated request came from there, with this ufrag (hashed) of the peer.
    Learned {
        ufrag: u64,
    },
}

impl From<RemoteCandidate<'_>> for Remote {
    fn from(candidate: RemoteCandidate<'_>) -> Self {
        Self {
            component: candidate.component,
            address: candidate.address,
            priority: candidate.priority,
            foundation: hash(candidate.foundation),
            origin: Origin::Signalled,
        }
    }
}

/// Why a candidate of the peer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CandidateRefused {
    /// Known already.
    #[error("candidate {0} is known already")]
    Duplicate(SocketAddr),
    /// We have no candidate of this component and IP version.
    #[error("no local candidate can reach {0}")]
    NoLocal(SocketAddr),
    /// The bound of [`REMOTE_CANDIDATES`](crate::limits::REMOTE_CANDIDATES) is reached.
    #[error("more than {max} candidates", max = crate::limits::REMOTE_CANDIDATES)]
    TooMany,
    /// The bound of [`CANDIDATES_OF_A_HOST`](crate::limits::CANDIDATES_OF_A_HOST) is reached.
    #[error("more than {max} candidates of {0}", max = crate::limits::CANDIDATES_OF_A_HOST)]
    TooManyOfHost(IpAddr),
    /// Nothing can be sent there.
    #[error("{0} is no address of a peer")]
    Unusable(SocketAddr),
}

/// Type preference of peer-reflexive candidates (RFC 8445 §5.1.2.2), in a priority.
const PEER_REFLEXIVE: u32 = 110 << 24;

/// The same priority with the type preference of a peer-reflexive candidate (RFC 8445 §7.1.1).
pub(super) fn reflexive_priority(priority: u32) -> u32 {
    PEER_REFLEXIVE | priority & 0x00ff_ffff
}

/// FNV-1a. A collision, also a wanted one, only changes the order of the peer's own checks.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether both are IPv4 or both IPv6.
pub(super) fn same_family(one: SocketAddr, other: SocketAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

/// Whether a datagram can be sent there: RFC 8839 §5.1 allows neither port 0 nor group addresses.
pub(super) fn is_usable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}
