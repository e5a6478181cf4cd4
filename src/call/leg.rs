//! One party of a call (the ng texts say monologue), its medias and their local ports.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use windlass_ng::{Branch, Tag};
use windlass_sdp::{MediaDescription, Origin, SessionDescription, Text, Transport};

use super::Now;
use super::ports::Family;
use crate::flow::Learning;
use crate::flow::stats::FlowStats;

/// Index of a leg in its call; stable for the life of the call.
pub(crate) type LegIndex = usize;

/// One SIP tag's side of a call.
#[derive(Debug)]
pub(crate) struct Leg {
    /// The SIP tag; unknown for the callee until its first answer.
    pub(crate) tag: Option<Tag>,
    /// Earlier tags of the same party.
    pub(crate) aliases: Vec<Tag>,
    /// Via branch of the request that forked to this party.
    pub(crate) branch: Option<Branch>,
    /// Label given by the proxy.
    pub(crate) label: Option<Vec<u8>>,
    /// Opaque text given by the proxy.
    pub(crate) metadata: Option<Vec<u8>>,
    /// When the leg came to be.
    pub(crate) created: Now,
    /// Medias by position of their m= line.
    pub(crate) medias: Vec<Media>,
    /// Legs joined to this one by offer and answer: deletion spreads along these.
    pub(crate) peers: Vec<LegIndex>,
    /// Legs whose media this one receives.
    pub(crate) sources: Vec<LegIndex>,
    /// Name of the logical interface towards this party, once it was given.
    pub(crate) interface: Option<Arc<str>>,
    /// Address family towards this party, once it was given.
    pub(crate) family: Option<Family>,
    /// The last SDP of the party, without its medias.
    pub(crate) received: Option<SessionDescription>,
    /// Session name of its first SDP (`replace` = `session-name`).
    pub(crate) first_session_name: Option<Text>,
    /// What was last printed to it.
    pub(crate) printed: Option<Printed>,
    /// The party gave its final answer, so its tag is fixed (ng-protocol §10.2).
    pub(crate) final_response: bool,
    /// How its sources are learned and checked.
    pub(crate) source_rules: SourceRules,
    /// When an offer or answer last touched the leg.
    pub(crate) signalled_at: Instant,
    /// Whether it still takes part.
    pub(crate) presence: Presence,
}

impl Leg {
    pub(crate) fn new(now: Now, branch: Option<Branch>) -> Self {
        Self {
            tag: None,
            aliases: Vec::new(),
            branch,
            label: None,
            metadata: None,
            created: now,
            medias: Vec::new(),
            peers: Vec::new(),
            sources: Vec::new(),
            interface: None,
            family: None,
            received: None,
            first_session_name: None,
            printed: None,
            final_response: false,
            source_rules: SourceRules::default(),
            signalled_at: now.instant,
            presence: Presence::Here,
        }
    }

    /// Whether the tag is the leg's own or an earlier one.
    pub(crate) fn has_tag(&self, tag: &Tag) -> bool {
        self.tag.as_ref() == Some(tag) || self.aliases.contains(tag)
    }

    /// Whether the leg can be found by tag and branch and has sockets.
    pub(crate) fn is_here(&self) -> bool {
        !matches!(self.presence, Presence::Gone)
    }
}

/// Whether a leg still takes part in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It does.
    Here,
    /// Its deletion is due; media flows until then.
    Leaving(Instant),
    /// Its ports are closed; it is only listed.
    Gone,
}

/// How the sources of a leg's packets are learned and checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SourceRules {
    pub(crate) learning: Option<Learning>,
    pub(crate) received_from: Option<IpAddr>,
    pub(crate) asymmetric: bool,
    pub(crate) strict_source: bool,
    pub(crate) media_handover: bool,
    pub(crate) port_latching: bool,
    pub(crate) no_port_latching: bool,
}

/// What was last printed to a leg, as far as the next SDP depends on it.
#[derive(Debug)]
pub(crate) struct Printed {
    /// Its o= line.
    pub(crate) origin: Origin,
    /// Digest of the text without its version, to see whether anything changed.
    pub(crate) digest: u64,
}

/// One m= line of a leg.
#[derive(Debug)]
pub(crate) struct Media {
    /// What the party last said of it; `None` until its SDP is known.
    pub(crate) description: Option<MediaDescription>,
    /// Type and format as first offered, for a party that said nothing yet.
    pub(crate) kind: Text,
    /// Transport between us and this party.
    pub(crate) transport: Transport,
    /// mid between us and this party; the first value sticks.
    pub(crate) mid: Option<Text>,
    /// We may send to the party (seen from us).
    pub(crate) send: bool,
    /// The party may send to us (seen from us).
    pub(crate) recv: bool,
    /// The party is held by a zero address.
    pub(crate) zero_address: bool,
    /// Turned down by either side, or gone from its SDP; has no ports.
    pub(crate) rejected: bool,
    /// RTP and RTCP multiplexing between us and this party (RFC 5761).
    pub(crate) mux: Mux,
    /// Where the party wants RTP and RTCP, by its SDP.
    pub(crate) endpoint: Option<Endpoint>,
    /// Address of a media that does not pass here, as the party gave it.
    pub(crate) bypass_address: Option<IpAddr>,
    /// Port sets shown to the party, by what they were opened for; kept for the life of the call.
    pub(crate) maps: Vec<EndpointMap>,
    /// The one of `maps` that is printed and sent from.
    pub(crate) selected: usize,
}

impl Media {
    pub(crate) fn new(kind: Text, transport: Transport) -> Self {
        Self {
            description: None,
            kind,
            transport,
            mid: None,
            send: true,
            recv: true,
            zero_address: false,
            rejected: false,
            mux: Mux::default(),
            endpoint: None,
            bypass_address: None,
            maps: Vec::new(),
            selected: 0,
        }
    }

    /// The ports that are printed and sent from.
    pub(crate) fn ports(&self) -> Option<&EndpointMap> {
        self.maps.get(self.selected)
    }
}

/// rtcp-mux between us and one party.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mux {
    /// The party's last SDP had it.
    pub(crate) theirs: bool,
    /// Our last SDP to it had it.
    pub(crate) ours: bool,
    /// In force.
    pub(crate) agreed: bool,
    /// It is sure to come about, so no RTCP port is opened beside.
    pub(crate) single: bool,
    /// What to answer to the party's own offer of it.
    pub(crate) policy: MuxPolicy,
}

/// What to answer to a party that offered rtcp-mux (ng-protocol §8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MuxPolicy {
    /// What the other party answers.
    #[default]
    Follow,
    /// Yes, whatever the other party answers.
    Accept,
    /// No, whatever the other party answers.
    Reject,
}

/// RTP and RTCP address of a party, by its SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) rtp: SocketAddr,
    pub(crate) rtcp: SocketAddr,
}

/// Local ports shown to a party.
#[derive(Debug)]
pub(crate) struct EndpointMap {
    /// RTP endpoint of the *other* party that they were opened for; `None`: the first to answer.
    pub(crate) key: Option<SocketAddr>,
    /// Name of their logical interface.
    pub(crate) interface: Arc<str>,
    /// The address printed for them.
    pub(crate) advertised: IpAddr,
    pub(crate) rtp: Port,
    /// Absent when only one port was needed.
    pub(crate) rtcp: Option<Port>,
}

/// One local port in use by the call; its lease lives in the data plane.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) local: SocketAddr,
    pub(crate) stats: Arc<FlowStats>,
}
