//! One m= line of a leg, and the local ports shown to its party.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use windlass_dtls::Certificate;
use windlass_sdp::{
    Candidate, Codec, CryptoLine, Extmap, Fingerprint, HashFunction, MediaKind, ParseOptions,
    SessionDescription, Setup, Text, Transport,
};

use super::codecs::Codecs;
use crate::call::ports::Family;

use crate::flow::PayloadTypes;
use crate::flow::agent::AgentNumber;
use crate::flow::secure::Protection;
use crate::flow::stats::FlowStats;

/// One m= line of a leg.
///
/// A call keeps this for its life, so state that plain calls do not need is in [`Extras`].
#[derive(Clone, Debug)]
pub(crate) struct Media {
    /// Number of the line in the call: the two ends of one m= line have the same.
    pub(crate) line: usize,
    /// Number of the media in the call, by the order in which medias came into being: its label in
    /// SIPREC (RFC 7866 §8). It stays; `None` until it is given.
    pub(crate) number: Option<u32>,
    /// The party's last description of it; `None` until its SDP is known.
    pub(crate) said: Option<Said>,
    /// `said` is an answer.
    pub(crate) has_answered: bool,
    /// Media type.
    pub(crate) kind: MediaKind,
    /// Media type token of the last offer (`audio`, …).
    pub(crate) kind_text: Text,
    /// Transport between us and this party.
    pub(crate) transport: Transport,
    /// mid between us and this party; the first value sticks.
    pub(crate) mid: Option<Text>,
    /// We made it up, so it is nothing to the other side.
    pub(crate) has_our_mid: bool,
    /// We may send to the party (seen from us).
    pub(crate) send: bool,
    /// The party may send to us (seen from us).
    pub(crate) recv: bool,
    /// The party is held by a zero address.
    pub(crate) zero_address: bool,
    /// Turned down by either side, or gone from its SDP; has no ports.
    pub(crate) rejected: bool,
    /// Transport, ICE and mux between us and the party were settled by an offer with a port: a
    /// later one starts from them.
    pub(crate) is_settled: bool,
    /// The family of the address in the party's last SDP, also that of a rejected line.
    pub(crate) family: Option<Family>,
    /// `a=ptime` of the line, the same for both parties until an option sets it.
    pub(crate) packet_time: PacketTime,
    /// An offer of ours opened the line with the party (query: `ICE controlling`).
    pub(crate) is_offered_to: bool,
    /// RTP and RTCP multiplexing between us and this party (RFC 5761).
    pub(crate) mux: Mux,
    /// RTP and RTCP endpoint of the party, by its SDP.
    pub(crate) endpoint: Option<Endpoint>,
    /// The payload types that the party named, for the data plane.
    pub(crate) formats: Formats,
    /// Port sets shown to the party, by what they were opened for; kept for the life of the call.
    pub(crate) maps: Vec<EndpointMap>,
    /// Index of the port set in `maps` that is printed and sent from.
    pub(crate) selected: usize,
    /// State that only some medias have.
    pub(crate) extras: Option<Box<Extras>>,
}

impl Media {
    pub(crate) fn new(line: usize, kind: MediaKind, kind_text: Text, transport: Transport) -> Self {
        Self {
            line,
            number: None,
            said: None,
            has_answered: false,
            kind,
            kind_text,
            transport,
            mid: None,
            has_our_mid: false,
            send: true,
            recv: true,
            zero_address: false,
            rejected: false,
            is_settled: false,
            family: None,
            packet_time: PacketTime::Unsaid,
            is_offered_to: false,
            mux: Mux::default(),
            endpoint: None,
            formats: Formats::default(),
            maps: Vec::new(),
            selected: 0,
            extras: None,
        }
    }

    /// A media as a description has it.
    pub(crate) fn like(line: usize, described: &windlass_sdp::Media) -> Self {
        let transport = described.transport.clone();
        Self::new(line, described.kind, described.kind_text.clone(), transport)
    }

    /// The ports that are printed and sent from.
    pub(crate) fn ports(&self) -> Option<&EndpointMap> {
        self.maps.get(self.selected)
    }

    /// State that only some medias have, created if absent.
    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Its codecs, where options name any or something is converted.
    pub(crate) fn codecs(&self) -> Option<&Codecs> {
        self.extras.as_deref()?.codecs.as_deref()
    }

    /// The same, created if absent.
    pub(crate) fn codecs_mut(&mut self) -> &mut Codecs {
        self.extras_mut().codecs.get_or_insert_default()
    }

    /// Media between us and the party is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.transport.is_srtp() || self.extra(|extras| extras.osrtp)
    }

    /// ICE is in use between us and the party.
    pub(crate) fn has_ice(&self) -> bool {
        self.extra(|extras| extras.ice.is_active)
    }

    /// Media does not pass here, or passes unseen: no keys or candidates of ours are in play.
    pub(crate) fn is_passed_through(&self) -> bool {
        self.extra(|extras| extras.passthrough.is_some())
    }

    /// The party gets reports of our own, and its reports end here.
    pub(crate) fn makes_reports(&self) -> bool {
        self.extra(|extras| extras.makes_reports)
            && self.transport.is_rtp()
            && !self.is_passed_through()
    }

    /// A switch among the extras; off without them.
    pub(crate) fn extra(&self, read: impl FnOnce(&Extras) -> bool) -> bool {
        self.extras.as_deref().is_some_and(read)
    }

    /// No ports, no address: the line is turned down.
    pub(crate) fn reject(&mut self) {
        self.rejected = true;
        self.maps.clear();
        self.endpoint = None;
        if let Some(extras) = self.extras.as_deref_mut() {
            extras.bypass_address = None;
        }
    }
}

/// Position of a media in the party's last SDP. All medias of one SDP share the text, which is read
/// again when needed: that costs two microseconds, a parsed description two kilobytes per party.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// The whole SDP as received.
    pub(crate) sdp: Arc<[u8]>,
    /// Position of the m= line in it.
    pub(crate) index: usize,
}

impl Said {
    /// The description, read again.
    pub(crate) fn read(&self) -> Option<windlass_sdp::Media> {
        let mut session = read_again(&self.sdp)?;
        (self.index < session.media.len()).then(|| session.media.swap_remove(self.index))
    }
}

/// Reads a text that was accepted before.
pub(crate) fn read_again(sdp: &Arc<[u8]>) -> Option<SessionDescription> {
    let options = ParseOptions {
        fragment: true,
        ..ParseOptions::default()
    };
    SessionDescription::parse_shared(sdp, options).ok()
}

/// Payload types of one party's description, as far as forwarding looks at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Formats {
    /// All payload types.
    pub(crate) types: PayloadTypes,
    /// Payload types of RFC 4733 events.
    pub(crate) events: PayloadTypes,
    /// Clock of the first in Hz; 0 if unknown.
    pub(crate) clock_rate: u32,
    /// The party understands RTCP feedback (RFC 4585).
    pub(crate) has_feedback: bool,
}

impl Formats {
    pub(crate) fn of(description: &windlass_sdp::Media) -> Self {
        let mut formats = Self {
            clock_rate: description
                .codecs
                .first()
                .map_or(0, |codec| codec.clock_rate),
            ..Self::default()
        };
        formats.has_feedback = description.transport.has_feedback()
            || description
                .codecs
                .iter()
                .any(|codec| !codec.rtcp_fb.is_empty())
            || description
                .attributes
                .iter()
                .any(|attribute| attribute.name() == b"rtcp-fb");
        for codec in &description.codecs {
            formats.types.insert(codec.payload_type);
            if codec.is_telephone_event() {
                formats.events.insert(codec.payload_type);
            }
        }
        formats
    }

    /// Leaves only what was agreed on.
    pub(crate) fn keep(&mut self, agreed: &[Codec]) {
        let all = *self;
        self.types = PayloadTypes::default();
        self.events = PayloadTypes::default();
        for codec in agreed {
            self.types.insert(codec.payload_type);
            if all.events.contains(codec.payload_type) {
                self.events.insert(codec.payload_type);
            }
        }
        self.clock_rate = agreed
            .first()
            .map_or(all.clock_rate, |codec| codec.clock_rate);
    }

    /// Takes from what was offered what an answer leaves to be known: which nameless types are
    /// those of events.
    pub(crate) fn explain(&mut self, description: &windlass_sdp::Media, offered: Self) {
        for codec in description.codecs.iter().filter(|codec| !codec.is_known()) {
            if offered.events.contains(codec.payload_type) {
                self.events.insert(codec.payload_type);
            }
        }
    }
}

/// State that only some medias have: encryption, ICE, bundles, codec options.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    /// SRTP under the name of RTP/AVP(F) (RFC 8643).
    pub(crate) osrtp: bool,
    /// The last offer to the party was OSRTP: any of its answers may take it up.
    pub(crate) offered_osrtp: bool,
    /// What the party's last offer of OSRTP had, which was answered in plain so far.
    pub(crate) turned_down: Option<TurnedDown>,
    /// The party answered an offer of SRTP in plain: nothing passes.
    pub(crate) is_downgraded: bool,
    /// The party offered, or is offered, RTP and SRTP as two m= lines.
    pub(crate) legacy: Option<LegacyPair>,
    /// Keys by SDP.
    pub(crate) sdes: Sdes,
    /// Keys by DTLS; `None`: not in use.
    pub(crate) dtls: Option<Dtls>,
    /// What was offered of it, and not taken up by an answer so far.
    pub(crate) declined_dtls: Option<Dtls>,
    /// ICE between us and the party.
    pub(crate) ice: Ice,
    /// The agent of the media, where ICE or DTLS is in use.
    pub(crate) agent: AgentNumber,
    /// The sender's own keys and candidates go to the receiver unchanged.
    pub(crate) passthrough: Option<Passthrough>,
    /// Position of the first media of the bundle that this one is in (RFC 9143).
    pub(crate) bundle_head: Option<usize>,
    /// The line was offered to the party as part of a bundle.
    pub(crate) bundle_offered: bool,
    /// The line is offered as `bundle-only` with port 0.
    pub(crate) bundle_only: bool,
    /// Codecs, where options name any or something is converted.
    pub(crate) codecs: Option<Box<Codecs>>,
    /// Header extensions of the line with this party.
    pub(crate) extensions: Extensions,
    /// Packets go back to their source (media-echo).
    pub(crate) echo: bool,
    /// Reports of our own are asked for (generate-RTCP).
    pub(crate) makes_reports: bool,
    /// The party is where packets of our own may come back from.
    pub(crate) is_loop_checked: bool,
    /// Packets are discarded (media-echo).
    pub(crate) blackhole: bool,
    /// Sources beside those of offer and answer (publish and subscribe).
    pub(crate) subscriptions: Vec<Subscription>,
    /// Where an offer that waits for its answer says that the party is, in a call as packets see it.
    pub(crate) proposed: Option<Endpoint>,
    /// Codecs that we offered to a party of our own making (`create`), which has not answered yet.
    pub(crate) offered: Vec<Codec>,
    /// Address of a media that does not pass here, as the party gave it.
    pub(crate) bypass_address: Option<IpAddr>,
}

/// Packet time that is printed to a party, in ms. What an option sets, no SDP changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PacketTime {
    /// No packet time was named.
    #[default]
    Unsaid,
    /// The last `a=ptime` of either party.
    Said(u32),
    /// `ptime` or `ptime-reverse` of a request.
    Set(u32),
}

impl PacketTime {
    pub(crate) fn millis(self) -> Option<u32> {
        match self {
            Self::Unsaid => None,
            Self::Said(millis) | Self::Set(millis) => Some(millis),
        }
    }
}

/// Header extensions of one line of one party (RFC 8285; spec: sdp-rewriting §2, header
/// extensions).
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    /// The party's list: what it said, or what it is shown.
    pub(crate) list: Vec<Extmap>,
    /// Extensions of its last offer that it is shown again in the answer, whatever the answerer
    /// says: masked ones, and the MID of a bundle.
    pub(crate) accepted: Vec<Extmap>,
    /// Extensions that we put into its list, which are not passed on when it repeats them.
    pub(crate) ours: Vec<Extmap>,
    /// Its last SDP has extensions without `a=extmap-allow-mixed`.
    pub(crate) excludes_mixed: bool,
}

/// The keys of an offer of OSRTP that was answered in plain.
#[derive(Clone, Debug)]
pub(crate) struct TurnedDown {
    pub(crate) sdes: Sdes,
    pub(crate) dtls: Option<Dtls>,
}

/// A media that this one hears beside those of offer and answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The leg of the source.
    pub(crate) leg: usize,
    /// Position of its media.
    pub(crate) media: usize,
    /// The source is heard as it leaves towards its peer, without its RTCP.
    pub(crate) egress: bool,
    /// RTCP of the subscriber goes to the source.
    pub(crate) mirrors_rtcp: bool,
}

/// The order of a double m= line (OSRTP before RFC 8643).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LegacyPair {
    /// RTP, then SRTP.
    RtpFirst,
    /// SRTP, then RTP.
    SrtpFirst,
}

/// `a=crypto` between us and one party (RFC 4568).
#[derive(Clone, Debug, Default)]
pub(crate) struct Sdes {
    /// The party's lines, in order: all of its offer, or the one of its answer.
    pub(crate) theirs: Vec<CryptoLine>,
    /// Our lines: all of our offer, or the one of our answer.
    pub(crate) ours: Vec<CryptoLine>,
    /// Our lines as they were offered last: any number of answers may come to them.
    pub(crate) offered: Vec<CryptoLine>,
    /// SDES is in use.
    pub(crate) is_active: bool,
    /// `offerer_pref` moved a line to the front: the answer takes that one.
    pub(crate) prefers_first: bool,
    /// SDES is preferred to DTLS in the answer to the party (`SDES=prefer`).
    pub(crate) is_preferred: bool,
    /// What was agreed on, in force.
    pub(crate) protection: Option<Protection>,
}

/// DTLS-SRTP between us and one party (RFC 5763).
#[derive(Clone, Debug)]
pub(crate) struct Dtls {
    /// Certificate of the party; `None` until it said so.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Further ones that it may show.
    pub(crate) more_fingerprints: Vec<Fingerprint>,
    /// Last `a=setup` of the party.
    pub(crate) theirs: Option<Setup>,
    /// Our last word, printed.
    pub(crate) ours: Setup,
    /// The party's association.
    pub(crate) their_tls_id: Option<Text>,
    /// Our association (RFC 8842).
    pub(crate) tls_id: Text,
    /// Hash of our fingerprint; it stays once chosen.
    pub(crate) hash: HashFunction,
    /// `a=tls-id` is left out.
    pub(crate) omit_tls_id: bool,
    /// A party that leaves the choice to us starts.
    pub(crate) prefers_passive: bool,
    /// Our certificate: that of the time when DTLS was first spoken of.
    pub(crate) certificate: OurCertificate,
}

/// A certificate of the relay.
#[derive(Clone, Debug)]
pub(crate) struct OurCertificate(pub(crate) Arc<Certificate>);

/// ICE between us and one party (RFC 8445).
#[derive(Clone, Debug, Default)]
pub(crate) struct Ice {
    /// SDES is in use, or offered.
    pub(crate) is_active: bool,
    /// Our credentials.
    pub(crate) ours: Option<Credentials>,
    /// The party's credentials.
    pub(crate) theirs: Option<Credentials>,
    /// We are lite.
    pub(crate) lite: bool,
    /// The party is lite.
    pub(crate) peer_lite: bool,
    /// `a=ice-options` has `trickle`.
    pub(crate) trickle: bool,
    /// `a=ice-options` has `ice2`.
    pub(crate) ice2: bool,
    /// The party's own `a=ice-options` had it, in its last SDP.
    pub(crate) their_ice2: bool,
    /// We nominate.
    pub(crate) controlling: bool,
    /// The party's candidates so far.
    pub(crate) candidates: Vec<Candidate>,
}

/// `a=ice-ufrag` and `a=ice-pwd`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) ufrag: Text,
    pub(crate) pwd: Text,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?}, …)", self.ufrag)
    }
}

/// Ways in which a media passes without being decrypted or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passthrough {
    /// Our candidate stands last (`ICE=optional`).
    Optional,
    /// Our candidate is a relay (`ICE=force-relay`), and address and port stay the sender's.
    Relay,
    /// Address and ports are ours, keys the sender's (`passthrough`).
    Plain,
}

/// rtcp-mux between us and one party.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mux {
    /// The party's last SDP had it.
    pub(crate) theirs: bool,
    /// Our last SDP to it had it.
    pub(crate) ours: bool,
    /// rtcp-mux is in force.
    pub(crate) agreed: bool,
    /// rtcp-mux is certain, so no RTCP port is opened.
    pub(crate) single: bool,
    /// Answer to the party's own last offer: whether its RTCP port may go.
    pub(crate) policy: MuxPolicy,
    /// Answer to the offerer of the last offer *to* the party.
    pub(crate) offerer_policy: MuxPolicy,
}

/// Answer to a party that offered rtcp-mux (ng-protocol §8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MuxPolicy {
    /// As the other party answers.
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
#[derive(Clone, Debug)]
pub(crate) struct EndpointMap {
    /// RTP endpoint of the *other* party that they were opened for; `None`: the first to answer.
    pub(crate) key: Option<SocketAddr>,
    /// Name of their logical interface.
    pub(crate) interface: Arc<str>,
    /// The ports that are printed in m= and sent from.
    pub(crate) main: PortSet,
    /// The same on the other addresses of the interface, for ICE.
    pub(crate) others: Vec<PortSet>,
}

impl EndpointMap {
    /// All port sets, the printed one first.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &PortSet> {
        std::iter::once(&self.main).chain(&self.others)
    }

    /// The same, to be changed.
    pub(crate) fn sets_mut(&mut self) -> impl Iterator<Item = &mut PortSet> {
        std::iter::once(&mut self.main).chain(&mut self.others)
    }

    /// All ports.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.sets()
            .flat_map(|set| std::iter::once(&set.rtp).chain(&set.rtcp))
    }
}

/// RTP and RTCP port on one local address.
#[derive(Clone, Debug)]
pub(crate) struct PortSet {
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
