//! The plain data between calls and the data plane: what a local port does with a datagram.
//!
//! `call/` describes, `dataplane/` carries out. A [`Plan`] can be printed, journaled and compared;
//! nothing here owns a thread or reads a clock. The owned side (sockets, leases) is in [`port`],
//! what a flow has learned in [`state`].

pub mod agent;
pub mod bundle;
pub mod conversion;
pub mod digits;
pub mod extensions;
pub mod lines;
pub mod outgoing;
pub mod outgoing_digits;
pub mod path;
pub mod port;
pub mod quality;
pub mod reporter;
pub mod secure;
pub mod state;
pub mod stats;

use std::io;
use std::net::SocketAddr;

use self::digits::{DigitBlock, DigitRule, Voice};
use crate::media::dtmf::Digit;
use crate::media::latch::PeerSpec;

/// Everything one command changes in the data plane, in order: removals last.
///
/// All flows of one plan belong to one call and live on one worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Process-wide number of the call; groups its flows on their worker.
    pub call: u64,
    /// Index of the worker that owns the call.
    pub worker: usize,
    /// Changes, in order.
    pub changes: Vec<FlowChange>,
    /// All agents of the call from now on; `None`: they stay as they are.
    pub agents: Option<Vec<agent::AgentSpec>>,
}

impl Plan {
    /// Whether the command changes nothing in the data plane.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.agents.is_none()
    }
}

/// Why a plan was refused. What it brought, ports and states, comes back with the refusal; what
/// was in force before stays so.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct PlanRefused {
    /// The first step that cannot be taken.
    pub reason: PlanError,
    /// The ports that came with the plan.
    pub leases: Vec<state::LeasedFlow>,
}

/// A step of a plan that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A new flow came without its port.
    #[error("no lease of {0} came with the plan")]
    NoLease(SocketAddr),
    /// A new flow has the port of one that is in force.
    #[error("there is a flow on {0}")]
    Taken(SocketAddr),
    /// There is no flow to change.
    #[error("no flow on {0}")]
    NoFlow(SocketAddr),
    /// There is no such worker.
    #[error("there is no worker {0}")]
    NoWorker(usize),
    /// The system refuses to report datagrams of the port.
    #[error("cannot receive on {local}: {source}")]
    System {
        /// The port.
        local: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// One step of a [`Plan`].
#[derive(Clone, Debug, PartialEq)]
pub enum FlowChange {
    /// A new flow; its port lease is handed over beside the plan, matched by `local`.
    Install(FlowSpec),
    /// The flow with this `local` takes the new description and keeps what it learned, as
    /// [`PeerSpec`] says.
    Change(FlowSpec),
    /// The flow of this local address goes away; its lease comes back to the caller.
    Remove(SocketAddr),
}

/// One flow: the forwarding entry of one local port.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct FlowSpec {
    /// The local address and port: the key of the flow.
    pub local: SocketAddr,
    /// RTP or RTCP component of the stream.
    pub component: Component,
    /// The RTP flow of the same stream, when this is its RTCP flow: RTCP may come from the
    /// address that RTP is latched to.
    pub rtp_sibling: Option<SocketAddr>,
    /// Format of the datagrams.
    pub payload: Payload,
    /// Protection of the datagrams.
    pub security: secure::Security,
    /// The agent of the media: STUN and DTLS that arrives is for it (ICE, DTLS-SRTP).
    pub agent: Option<agent::FlowAgent>,
    /// The party on the other side of this port.
    pub peer: PeerSpec,
    /// Whether RTP from the party is forwarded (media direction). RTCP always is.
    pub receive: bool,
    /// Discard everything that arrives (drop-traffic, blackhole).
    pub discard: bool,
    /// Destinations of accepted datagrams.
    pub sinks: Vec<Sink>,
    /// TOS / traffic class of datagrams sent from this port, if it is to be set.
    pub tos: Option<u8>,
    /// Taps: observers of accepted datagrams.
    pub taps: Option<Box<Taps>>,
    /// Reports of our own to the party, in place of those of others; on the RTP flow alone.
    pub reports: Option<Box<Reports>>,
    /// Accepted datagrams that are refused all the same.
    pub guards: Guards,
    /// The lines that share the port, if there are several.
    pub bundle: Option<Box<bundle::Bundle>>,
}

/// Datagrams that a flow refuses for what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Guards {
    /// Refuse datagrams that go round in a loop.
    pub loops: bool,
    /// RTP that is shorter than it was.
    pub short: bool,
}

/// RTCP that the relay makes for a party.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reports {
    /// The local address of the flow that sends it.
    pub via: SocketAddr,
    /// The name of the media, if it has one (RFC 9143).
    pub mid: Option<Box<str>>,
}

/// Taps: observers of a flow's accepted datagrams, e.g. recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Taps {
    /// The recording that they go into.
    pub recording: Option<u64>,
    /// Digits in packets of these types are reported (RFC 4733).
    pub events: Option<PayloadTypes>,
}

/// Component of a stream (RFC 8445 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// Component 1; carries RTCP too when the party muxes (RFC 5761).
    Rtp,
    /// Component 2.
    Rtcp,
}

/// Formats of a flow's datagrams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// RTP and RTCP; anything else is dropped.
    Rtp {
        /// Negotiated payload types, by bit.
        types: PayloadTypes,
        /// Clock of the first of them in Hz, for jitter; 0 if unknown.
        clock_rate: u32,
    },
    /// Datagrams are not looked into (T.38 udptl, unknown transports, encrypted end to end).
    Opaque,
}

/// A set of RTP payload types 0–127.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PayloadTypes(pub u128);

impl PayloadTypes {
    /// Adds one payload type; values above 127 are ignored.
    pub fn insert(&mut self, payload_type: u8) {
        if payload_type < 128 {
            self.0 |= 1 << payload_type;
        }
    }

    /// What is in this set alone.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The types in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether some payload type is in both sets.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the payload type is in the set.
    pub fn contains(self, payload_type: u8) -> bool {
        payload_type < 128 && self.0 >> payload_type & 1 == 1
    }
}

/// A digit to be played into a stream (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The local address that the stream comes in on.
    pub from: SocketAddr,
    /// The local address that it leaves from.
    pub via: SocketAddr,
    /// Digit to play.
    pub digit: Digit,
    /// Duration in ms.
    pub duration_ms: u32,
    /// Silence after it, in ms.
    pub pause_ms: u32,
    /// Level below 0 dBm0, in dB: 0–63.
    pub volume: u8,
    /// Payload type of events in the stream.
    pub payload_type: u8,
    /// Clock of the stream in Hz.
    pub clock_rate: u32,
}

/// One destination of a flow's accepted datagrams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sink {
    /// The local address of the flow that sends: the datagram leaves from that port, to that
    /// flow's current peer.
    pub via: SocketAddr,
    /// Datagrams that the sink takes.
    pub carries: Carries,
    /// Datagrams that are withheld or changed; few sinks have rules.
    pub rules: Option<Box<SinkRules>>,
}

/// Rules of a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SinkRules {
    /// Packets that do not go out.
    pub withhold: Withhold,
    /// Edits of the packets that pass.
    pub change: Change,
    /// Audio and events are decoded and encoded on their way.
    pub conversion: Option<Box<conversion::Conversion>>,
}

/// Packets that a sink withholds, by what stands in their RTP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Withhold {
    /// RTP of other lines of the bundle is not for this sink: position in [`bundle::Bundle`].
    pub line: Option<u8>,
    /// RTP other than events is withheld.
    pub drop_media: bool,
    /// Rule for events.
    pub digits: DigitBlock,
    /// The payload types of events.
    pub events: PayloadTypes,
}

/// Edits of packets at a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Change {
    /// Payload types of redundant audio, which may have events packed in (RFC 2198).
    pub redundant: PayloadTypes,
    /// Audio that can go out in place of events, in order of preference.
    pub voices: Vec<Voice>,
    /// Events that have the clock of `voices`.
    pub voiced_events: PayloadTypes,
    /// Payload types whose payload is filled with a byte, and the byte: silence.
    pub silence: Vec<(u8, u8)>,
    /// RTCP feedback packets are taken out (RFC 4585).
    pub drop_feedback: bool,
    /// The extension lists of both lines; `None`: neither has one.
    pub extensions: Option<extensions::ExtensionRules>,
}

impl Withhold {
    /// Whether something goes out for RTP of a payload type.
    pub fn passes(&self, payload_type: u8) -> bool {
        let is_event = self.events.contains(payload_type);
        let is_dropped = is_event && self.digits.rule == DigitRule::Drop;
        !is_dropped && self.is_meant_for(payload_type)
    }

    /// The same, whatever becomes of digits.
    pub fn is_meant_for(&self, payload_type: u8) -> bool {
        !self.drop_media || self.events.contains(payload_type)
    }
}

/// Datagrams that a sink takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carries {
    /// RTP, and datagrams of opaque flows.
    Rtp,
    /// RTCP (second byte 192–223).
    Rtcp,
    /// Everything.
    All,
}

impl Carries {
    /// Whether RTCP, or everything else, goes there.
    pub fn takes(self, is_rtcp: bool) -> bool {
        match self {
            Self::All => true,
            Self::Rtp => !is_rtcp,
            Self::Rtcp => is_rtcp,
        }
    }
}
