//! One offer or answer: from the received SDP to the state of both legs (spec: ng-protocol
//! §10.1, §10.4; sdp-rewriting §6, §9; RFC 3264).

use std::net::{IpAddr, SocketAddr};

use windlass_ng::{EndpointLearning, Request};
use windlass_sdp::{MediaDescription, SessionDescription, Transport};

use super::Now;
use super::dialogue::{Dialogue, InvalidDialogue, Parties, Role};
use super::flows::implicit_rtcp;
use super::leg::{Endpoint, EndpointMap, Leg, LegIndex, Media, Mux, MuxPolicy, Port};
use super::ports::{Family, Interfaces, LeaseError};
use super::state::Call;
use crate::flow::Learning;
use crate::flow::port::PortLease;

/// What an exchange needs besides the call.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) request: &'a Request,
    pub(crate) dialogue: Dialogue<'a>,
    pub(crate) interfaces: &'a Interfaces,
    pub(crate) now: Now,
    /// Ports that were leased on the way; they go to the data plane with the plan.
    pub(crate) leases: Vec<PortLease>,
}

/// Why an offer or answer cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("no address for the media of m= line {line}")]
    NoAddress { line: usize },
    #[error(transparent)]
    Dialogue(#[from] InvalidDialogue),
    #[error(transparent)]
    Ports(#[from] LeaseError),
    #[error("no local interface")]
    NoInterface,
}

impl Call {
    /// Takes one SDP in: finds its parties, updates both, opens ports. The new SDP for the
    /// receiver is printed afterwards from the state.
    pub(crate) fn exchange(
        &mut self,
        sdp: SessionDescription,
        context: &mut Context<'_>,
    ) -> Result<Parties, ExchangeError> {
        let parties = self.resolve(context.dialogue, context.now)?;
        self.revive(context.now);
        self.apply_request(parties, context);
        let role = context.dialogue.role;
        let source = context.request.sip_source_address();
        let mut session = sdp;
        let medias = std::mem::take(&mut session.media);
        for (index, description) in medias.into_iter().enumerate() {
            let endpoint = endpoint_of(&session, &description, source);
            let Some((sender, receiver)) = self.medias(parties, index, &description) else {
                continue;
            };
            let exchange = MediaExchange {
                sender,
                receiver,
                request: context.request,
            };
            if description.port == 0 || is_bypassed(&description) {
                let address = session.address_of(&description);
                exchange.reject(description, address);
                continue;
            }
            let endpoint = endpoint.ok_or(ExchangeError::NoAddress { line: index })?;
            let direction = session.direction_of(&description);
            exchange.accept(role, description, endpoint, direction);
            self.open_ports(parties, index, context)?;
        }
        if let Some(leg) = self.legs.get_mut(parties.sender) {
            if leg.first_session_name.is_none() {
                leg.first_session_name = Some(session.name.clone());
            }
            leg.received = Some(session);
        }
        Ok(parties)
    }

    /// What the request says of the two legs as wholes.
    fn apply_request(&mut self, parties: Parties, context: &Context<'_>) {
        let request = context.request;
        let rules = |leg: &mut Leg, is_sender: bool| {
            let flags = &request.flags;
            let rules = &mut leg.source_rules;
            if is_sender {
                rules.asymmetric = flags.asymmetric;
                rules.strict_source = flags.strict_source;
                rules.media_handover = flags.media_handover;
                if request.received_from.is_some() {
                    rules.received_from = request.received_from;
                }
            } else {
                // The other party's own message may have set them; ours only adds.
                rules.asymmetric |= flags.asymmetric;
                rules.strict_source |= flags.strict_source;
                rules.media_handover |= flags.media_handover;
            }
            rules.port_latching = flags.port_latching;
            rules.no_port_latching = flags.no_port_latching;
            if let Some(learning) = request.endpoint_learning {
                rules.learning = Some(learning_mode(learning));
            }
            leg.signalled_at = context.now.instant;
        };
        for (index, is_sender) in [(parties.sender, true), (parties.receiver, false)] {
            let Some(leg) = self.legs.get_mut(index) else {
                continue;
            };
            rules(leg, is_sender);
            let [towards_sender, towards_receiver] = &request.direction;
            let direction = if is_sender {
                towards_sender
            } else {
                towards_receiver
            };
            if let Some(name) = direction {
                leg.interface = Some(name.as_str().into());
            }
            if is_sender {
                if let Some(label) = &request.label {
                    leg.label = Some(label.to_vec());
                }
                if let Some(metadata) = &request.metadata {
                    leg.metadata = Some(metadata.to_vec());
                }
            } else if let Some(family) = request.address_family {
                leg.family = Some(match family {
                    windlass_ng::Family::Ip4 => Family::V4,
                    windlass_ng::Family::Ip6 => Family::V6,
                });
            }
        }
        if context.dialogue.role == Role::Offer {
            // 256, the default, and everything beyond means the configured value.
            match request.tos.map(u8::try_from) {
                Some(Ok(tos)) => self.tos = Some(tos),
                Some(Err(_)) if request.tos.is_some_and(|tos| tos < 0) => {}
                Some(Err(_)) | None => self.tos = None,
            }
        }
        if let Some(discard) = request.drop_traffic {
            self.discard = discard;
        }
    }
}

impl Call {
    /// The media of both parties at one position of the SDP, created where they are new.
    fn medias(
        &mut self,
        parties: Parties,
        index: usize,
        description: &MediaDescription,
    ) -> Option<(&mut Media, &mut Media)> {
        let [sender, receiver] = self
            .legs
            .get_disjoint_mut([parties.sender, parties.receiver])
            .ok()?;
        for leg in [&mut *sender, &mut *receiver] {
            // Most calls have one media for all their life: no room beside it.
            leg.medias
                .reserve_exact((index + 1).saturating_sub(leg.medias.len()));
            while leg.medias.len() <= index {
                let transport = description.transport.clone();
                leg.medias
                    .push(Media::new(description.kind.clone(), transport));
            }
        }
        Some((
            sender.medias.get_mut(index)?,
            receiver.medias.get_mut(index)?,
        ))
    }

    /// Opens the ports that both parties need for one media, or finds those that were opened
    /// before (ng-protocol §10.4).
    fn open_ports(
        &mut self,
        parties: Parties,
        index: usize,
        context: &mut Context<'_>,
    ) -> Result<(), ExchangeError> {
        let media = |leg: LegIndex| self.legs.get(leg).and_then(|leg| leg.medias.get(index));
        let endpoint = media(parties.sender).and_then(|media| media.endpoint);
        let Some(endpoint) = endpoint else {
            return Ok(());
        };
        let holds = media(parties.sender).is_some_and(|media| !media.recv);
        // The ports of a sender are opened with its offer, for whoever answers first.
        let wanted = [
            (parties.sender, None),
            (parties.receiver, Some(endpoint.rtp)),
        ];
        for (index_of_leg, key) in wanted {
            let Some(leg) = self.legs.get_mut(index_of_leg) else {
                continue;
            };
            let rules = leg.source_rules;
            let family = leg
                .family_of(index)
                .or_else(|| Some(Family::of(endpoint.rtp.ip())));
            let name = leg.interface.clone();
            let Some(media) = leg.medias.get_mut(index) else {
                continue;
            };
            let on = context
                .interfaces
                .select(name.as_deref(), family)
                .ok_or(ExchangeError::NoInterface)?;
            let fits =
                |map: &EndpointMap| map.interface == on.name && map.rtp.local.ip() == on.address;
            media.release_spare_rtcp(context.dialogue.role);
            let latched = rules.port_latching || holds && !rules.no_port_latching;
            let found = match (key, media.ports()) {
                (None, Some(map)) if fits(map) => Some(media.selected),
                (Some(_), Some(map)) if fits(map) && latched => Some(media.selected),
                (Some(key), _) => media
                    .maps
                    .iter()
                    .position(|map| fits(map) && map.key.is_some_and(|k| same_endpoint(k, key)))
                    .or_else(|| {
                        media
                            .maps
                            .iter()
                            .position(|map| fits(map) && map.key.is_none())
                    }),
                (None, _) => media.maps.iter().position(fits),
            };
            if let Some(position) = found {
                media.selected = position;
                if let Some(map) = media.maps.get_mut(position)
                    && map.key.is_none()
                {
                    map.key = key;
                }
                continue;
            }
            if media.maps.len() >= MAX_PORT_SETS {
                media.maps.remove(0);
            }
            let (rtp, rtcp) = if media.needs_one_port() {
                (context.interfaces.lease_one(on)?, None)
            } else {
                let (rtp, rtcp) = context.interfaces.lease_pair(on)?;
                (rtp, Some(rtcp))
            };
            let mut port = |lease: PortLease| {
                let port = Port {
                    local: lease.local(),
                    stats: lease.stats().clone(),
                };
                context.leases.push(lease);
                port
            };
            media.maps.reserve_exact(1);
            media.maps.push(EndpointMap {
                key,
                interface: on.name.clone(),
                advertised: on.advertised,
                rtp: port(rtp),
                rtcp: rtcp.map(port),
            });
            media.selected = media.maps.len() - 1;
        }
        Ok(())
    }
}

/// Port sets that one media may keep. A party that names a new address in every re-offer gets new
/// ports each time; beyond this many the oldest set is given back.
const MAX_PORT_SETS: usize = 8;

impl Leg {
    /// The address family towards this party for a media: what was asked, else its own.
    fn family_of(&self, media: usize) -> Option<Family> {
        self.family.or_else(|| {
            let media = self.medias.get(media)?;
            match (media.endpoint, media.ports()) {
                (_, Some(map)) => Some(Family::of(map.rtp.local.ip())),
                (Some(endpoint), None) => Some(Family::of(endpoint.rtp.ip())),
                (None, None) => None,
            }
        })
    }
}

impl Media {
    /// After an agreed mux the RTCP port is free to go with the next offer.
    fn release_spare_rtcp(&mut self, role: Role) {
        if role == Role::Offer && self.mux.agreed {
            for map in &mut self.maps {
                map.rtcp = None;
            }
        }
    }

    /// Whether RTCP certainly shares the RTP port.
    fn needs_one_port(&self) -> bool {
        self.mux.single || self.mux.agreed
    }
}

/// The two ends of one m= line in one exchange.
struct MediaExchange<'a> {
    sender: &'a mut Media,
    receiver: &'a mut Media,
    request: &'a Request,
}

impl MediaExchange<'_> {
    /// Port 0, or a media that does not pass here: no ports on either side.
    fn reject(self, description: MediaDescription, address: Option<IpAddr>) {
        for media in [&mut *self.sender, &mut *self.receiver] {
            media.rejected = true;
            media.maps.clear();
            media.endpoint = None;
        }
        adopt_mid(self.sender, self.receiver, &description);
        self.sender.bypass_address = address;
        self.sender.description = Some(description);
    }

    fn accept(
        self,
        role: Role,
        description: MediaDescription,
        endpoint: Endpoint,
        direction: windlass_sdp::Direction,
    ) {
        let Self {
            sender,
            receiver,
            request,
        } = self;
        adopt_mid(sender, receiver, &description);
        // A later answer may take what an earlier one turned down: another fork, another mind.
        sender.rejected = false;
        receiver.rejected = false;
        if role == Role::Offer {
            negotiate_transport(sender, receiver, &description, request);
            offer_mux(sender, receiver, &description, endpoint, request);
        } else {
            answer_mux(sender, receiver, &description, endpoint);
        }
        // Directions from here: what the sender sends, we receive from it and send on.
        sender.recv = direction.sends();
        sender.send = direction.receives();
        sender.zero_address = endpoint.rtp.ip().is_unspecified() && !description.is_trickle();
        receiver.send = sender.recv;
        receiver.recv = sender.send && !sender.zero_address;
        sender.endpoint = Some(endpoint);
        sender.description = Some(description);
    }
}

/// The sender's mid is the receiver's too, unless that has one; the first value sticks.
fn adopt_mid(sender: &mut Media, receiver: &mut Media, description: &MediaDescription) {
    if description.mid.is_some() {
        sender.mid.clone_from(&description.mid);
    }
    if receiver.mid.is_none() {
        receiver.mid.clone_from(&description.mid);
    }
}

/// The transport of both legs after an offer (sdp-rewriting §8, last paragraph).
fn negotiate_transport(
    sender: &mut Media,
    receiver: &mut Media,
    description: &MediaDescription,
    request: &Request,
) {
    let is_new = receiver.description.is_none() && receiver.endpoint.is_none();
    let changed = sender.transport != description.transport;
    sender.transport = description.transport.clone();
    if is_new || changed {
        receiver.transport = description.transport.clone();
    }
    let Some(wanted) = &request.transport_protocol else {
        return;
    };
    let wanted = Transport::from_name(wanted);
    if !description.transport.is_rtp() || !wanted.is_rtp() {
        return;
    }
    if wanted.is_srtp() == description.transport.is_srtp()
        && wanted.is_dtls() == description.transport.is_dtls()
    {
        receiver.transport = wanted;
    } else {
        // Printing a transport that we cannot speak would end in silence.
        tracing::warn!(
            asked = %wanted, kept = %description.transport,
            "transport-protocol needs a conversion between RTP and SRTP, which is not built"
        );
        receiver.transport = description.transport.clone();
    }
}

/// What an offer says of rtcp-mux, and what the options make of it (ng-protocol §8.3).
fn offer_mux(
    sender: &mut Media,
    receiver: &mut Media,
    description: &MediaDescription,
    endpoint: Endpoint,
    request: &Request,
) {
    let options = &request.rtcp_mux;
    sender.mux.theirs = description.rtcp_mux || endpoint.rtp == endpoint.rtcp;
    sender.mux.agreed &= sender.mux.theirs;
    sender.mux.policy = if options.reject {
        MuxPolicy::Reject
    } else if options.accept || options.demux {
        MuxPolicy::Accept
    } else {
        MuxPolicy::Follow
    };
    sender.mux.single = sender.mux.theirs && sender.mux.policy == MuxPolicy::Accept;
    if options.demux {
        receiver.mux = Mux {
            ours: false,
            agreed: false,
            single: false,
            ..receiver.mux
        };
    } else {
        let already = receiver.mux.agreed;
        receiver.mux.ours = sender.mux.theirs || options.offer || options.require || already;
        receiver.mux.single = options.require || already;
    }
}

/// What an answer says of rtcp-mux, for both legs (ng-protocol §8.3).
fn answer_mux(
    sender: &mut Media,
    receiver: &mut Media,
    description: &MediaDescription,
    endpoint: Endpoint,
) {
    sender.mux.theirs = description.rtcp_mux || endpoint.rtp == endpoint.rtcp;
    sender.mux.agreed = sender.mux.ours && sender.mux.theirs;
    receiver.mux.agreed = receiver.mux.theirs
        && match receiver.mux.policy {
            MuxPolicy::Accept => true,
            MuxPolicy::Reject => false,
            MuxPolicy::Follow => sender.mux.agreed,
        };
    receiver.mux.ours = receiver.mux.agreed;
}

/// Where a party wants its media (sdp-rewriting §1): the SDP's address, or the SIP source's where
/// the request says so.
fn endpoint_of(
    session: &SessionDescription,
    description: &MediaDescription,
    sip_source: Option<IpAddr>,
) -> Option<Endpoint> {
    let address = sip_source.or_else(|| session.address_of(description))?;
    let rtp = SocketAddr::new(address, description.port);
    let rtcp = match &description.rtcp {
        Some(rtcp) if description.port_count <= 1 => {
            let host = if sip_source.is_some() {
                None
            } else {
                rtcp.address
            };
            SocketAddr::new(host.unwrap_or(address), rtcp.port)
        }
        _ => implicit_rtcp(rtp),
    };
    Some(Endpoint { rtp, rtcp })
}

/// Whether two endpoints are one for the choice of ports: an unspecified address counts as any.
fn same_endpoint(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Sessions over TCP do not pass through a UDP relay: MSRP is left as it is (sdp-rewriting §11).
pub(crate) fn is_bypassed(description: &MediaDescription) -> bool {
    description.kind.as_bytes() == b"message" && !description.transport.is_rtp()
}

fn learning_mode(mode: EndpointLearning) -> Learning {
    match mode {
        EndpointLearning::Off => Learning::Off,
        EndpointLearning::Immediate => Learning::Immediate,
        EndpointLearning::Delayed => Learning::Delayed,
        EndpointLearning::Heuristic => Learning::Heuristic,
        EndpointLearning::Guarded => Learning::Guarded,
    }
}
