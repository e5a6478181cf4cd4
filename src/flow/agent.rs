//! The agents of a media as calls describe them, ICE (RFC 8445) and DTLS-SRTP (RFC 5764), and what
//! they have found out. Plain data: the agents themselves are in `agents`.
//!
//! A media that needs either has one agent, under a number of its own that stays with the media for
//! life: through re-offers, other ports, other workers, and when its call becomes part of another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use windlass_dtls::{Certificate, Fingerprint};
use windlass_ice::Credentials;
use windlass_ice::agent::{LocalCandidate, Mode, RemoteParameters};

use super::Component;
use super::secure::Protection;
use crate::media::reach::Rules;

/// Number of a media's agent, the only one of the process. The default is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentNumber(u64);

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Default for AgentNumber {
    fn default() -> Self {
        Self(NUMBERS.fetch_add(1, Relaxed))
    }
}

impl AgentNumber {
    /// The number as such, to share agents out.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Where a flow's STUN and DTLS go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowAgent {
    /// The agent.
    pub number: AgentNumber,
    /// It has to hear sources other than the one that media comes from: the port stays open to all.
    pub hears_all: bool,
}

/// One of each component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Components<T> {
    /// RTP, and RTCP with rtcp-mux.
    pub rtp: T,
    /// RTCP on a port of its own.
    pub rtcp: T,
}

impl<T> Components<T> {
    /// That of a component.
    pub fn get(&self, component: Component) -> &T {
        match component {
            Component::Rtp => &self.rtp,
            Component::Rtcp => &self.rtcp,
        }
    }

    /// That of a component, to be changed.
    pub fn get_mut(&mut self, component: Component) -> &mut T {
        match component {
            Component::Rtp => &mut self.rtp,
            Component::Rtcp => &mut self.rtcp,
        }
    }
}

/// The agent of a media, by signalling.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSpec {
    /// Its number.
    pub number: AgentNumber,
    /// The ports that media is sent from as long as ICE does not say otherwise.
    pub ports: Components<Option<SocketAddr>>,
    /// All ports for RTCP alone, those of further port sets as well.
    pub rtcp_ports: Vec<SocketAddr>,
    /// RTCP comes with RTP.
    pub mux: bool,
    /// ICE, if it is in use.
    pub ice: Option<IceSpec>,
    /// DTLS, if it is in use.
    pub dtls: Option<DtlsSpec>,
    /// Where the party is by its SDP.
    pub signalled: Components<Option<SocketAddr>>,
    /// `signalled` is behind NAT, so DTLS may come from anywhere. Without ICE alone.
    pub is_private: bool,
    /// Forbidden destinations.
    pub reach: Destinations,
}

/// Forbidden destinations of what agents send. Two are equal: a relay has one set.
#[derive(Clone, Debug)]
pub struct Destinations(pub Arc<Rules>);

impl PartialEq for Destinations {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// ICE with a party.
#[derive(Clone, Debug, PartialEq)]
pub struct IceSpec {
    /// Our credentials.
    pub ours: Credentials,
    /// Whether we are lite.
    pub mode: Mode,
    /// We nominate, unless one of the sides is lite.
    pub is_controlling: bool,
    /// Our candidates, as printed.
    pub candidates: Vec<LocalCandidate>,
    /// The party's side; `None` until it said so.
    pub theirs: Option<RemoteParameters>,
    /// The party's candidates that media may go to.
    pub remote: Vec<IceCandidate>,
}

/// A candidate of a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCandidate {
    /// What it carries.
    pub component: Component,
    /// Where it is.
    pub address: SocketAddr,
    /// As signalled.
    pub priority: u32,
    /// As signalled.
    pub foundation: Box<[u8]>,
}

/// DTLS-SRTP with a party.
#[derive(Clone, Debug)]
pub struct DtlsSpec {
    /// Our certificate, the one whose fingerprint is printed.
    pub certificate: Arc<Certificate>,
    /// Who opens the association; `None` while that is not agreed.
    pub role: Option<windlass_dtls::Role>,
    /// The party's certificates, in order: it may show any of the strongest hash (RFC 8122 §5). `None`
    /// until it said so.
    pub fingerprints: Option<Vec<Fingerprint>>,
    /// The party's association (RFC 8842).
    pub their_tls_id: Option<Box<[u8]>>,
    /// Ours.
    pub tls_id: Box<[u8]>,
}

impl PartialEq for DtlsSpec {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.certificate, &other.certificate)
            && self.role == other.role
            && self.fingerprints == other.fingerprints
            && self.their_tls_id == other.their_tls_id
            && self.tls_id == other.tls_id
    }
}

/// What an agent has found out so far: all of it, every time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The pairs that media takes (RFC 8445 §8).
    pub paths: Components<Option<Path>>,
    /// The sources that have shown to be the party: the local address, and where it sends from.
    pub sources: Vec<(SocketAddr, SocketAddr)>,
    /// What was agreed by DTLS.
    pub keys: Components<Option<Protection>>,
}

/// The pair that the media of a component takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Our side.
    pub local: SocketAddr,
    /// The party's side.
    pub remote: SocketAddr,
    /// Nominated, not only usable.
    pub is_selected: bool,
}

/// Something that an agent tells the log, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// The peer no longer agrees to being sent to (RFC 7675).
    ConsentLost {
        /// Our side of the pair.
        local: SocketAddr,
        /// The party's.
        remote: SocketAddr,
    },
    /// A DTLS association has keys.
    DtlsConnected {
        /// What is carried.
        component: Component,
        /// The SRTP protection profile.
        profile: &'static str,
    },
    /// The party closed its association. Its keys stay good.
    DtlsClosed {
        /// What is carried.
        component: Component,
    },
    /// There are no keys.
    DtlsFailed {
        /// What is carried.
        component: Component,
        /// The reason.
        reason: String,
        /// An earlier association goes on.
        goes_on: bool,
    },
    /// A handshake came to nothing; another one may still do.
    DtlsSetback {
        /// What is carried.
        component: Component,
        /// The reason.
        reason: String,
    },
    /// No pair works.
    IceFailed,
    /// A pair was nominated.
    PairSelected {
        /// Our side.
        local: SocketAddr,
        /// The party's.
        remote: SocketAddr,
    },
}

/// Where the data plane puts STUN and DTLS. Nothing here waits.
pub trait AgentInbox: Send + Sync {
    /// A datagram that arrived on `local`.
    fn take(&self, agent: AgentNumber, local: SocketAddr, from: SocketAddr, bytes: &[u8])
    -> Handed;

    /// Media came from a source that is not where media goes: of another pair, with ICE; while keys
    /// are awaited, without.
    fn hear(&self, agent: AgentNumber, local: SocketAddr, from: SocketAddr);
}

/// What becomes of a datagram for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// The agent will see it.
    Taken,
    /// There is no room.
    NoRoom,
    /// The agent has nothing to do with it: nobody who can be the party sent it.
    Refused,
}

impl AgentInbox for () {
    fn take(&self, _: AgentNumber, _: SocketAddr, _: SocketAddr, _: &[u8]) -> Handed {
        Handed::NoRoom
    }

    fn hear(&self, _: AgentNumber, _: SocketAddr, _: SocketAddr) {}
}

/// A datagram of an agent on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Who has the port.
    pub worker: usize,
    /// The port.
    pub local: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// The datagram, as it is.
    pub datagram: Vec<u8>,
}

impl From<windlass_ice::agent::Component> for Component {
    fn from(component: windlass_ice::agent::Component) -> Self {
        match component {
            windlass_ice::agent::Component::Rtp => Self::Rtp,
            windlass_ice::agent::Component::Rtcp => Self::Rtcp,
        }
    }
}

impl From<Component> for windlass_ice::agent::Component {
    fn from(component: Component) -> Self {
        match component {
            Component::Rtp => Self::Rtp,
            Component::Rtcp => Self::Rtcp,
        }
    }
}
