//! One offer or answer: from the received SDP to the state of both legs (spec: ng-protocol §10.1,
//! §10.4; sdp-rewriting §6–§10; RFC 3264).
//!
//! The medias of the two legs are paired by the number of their line in the call. Every topic of a
//! line (transport, mux, keys, ICE, ports) has a file of its own.

mod bundle;
mod codecs;
mod dtls;
mod extensions;
mod ice;
mod lines;
mod mux;
mod open;
mod request;
mod sdes;
mod transport;
mod unfit;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rand::RngCore;
use windlass_audio::negotiate::Support;
use windlass_ng::Request;
use windlass_sdp::{SessionDescription, Text};

use super::Now;
use super::flows::Defaults;
use super::identity::Identity;
use super::model::call::Call;
use super::model::dialogue::{Dialogue, InvalidDialogue, Parties, Role};
use super::model::media::{Endpoint, Extras, Formats, Media, PacketTime, Said};
use super::model::proposal::Proposal;
use super::ports::{Family, Interfaces, LeaseError};
use crate::flow::port::PortLease;
use crate::limits::LINES_PER_CALL;

pub use codecs::AudioDefaults;
pub(crate) use codecs::{
    answered_codecs, codecs_of, common_codecs, formats, offered_codecs, published_codecs,
};
pub(crate) use extensions::{is_named as is_extension_named, mid_of};
pub(crate) use lines::is_bypassed;

/// The relay that a call runs on, as far as signalling needs it.
#[derive(Clone, Copy)]
pub(crate) struct Host<'a> {
    pub(crate) interfaces: &'a Interfaces,
    pub(crate) identity: &'a Identity,
    pub(crate) defaults: &'a Defaults,
    /// The local address from which the system would send to another one.
    pub(crate) route: &'a dyn Fn(IpAddr) -> Option<IpAddr>,
}

/// Input of an exchange in addition to the call.
pub(crate) struct Context<'a> {
    pub(crate) request: &'a Request,
    pub(crate) dialogue: Dialogue<'a>,
    pub(crate) host: Host<'a>,
    /// Source of the request.
    pub(crate) source: SocketAddr,
    pub(crate) now: Now,
    pub(crate) rng: &'a mut dyn RngCore,
    /// The offer that this one takes the place of before it was answered. What we made up for it
    /// is shown again: the party may have answered either when it sees the other.
    pub(crate) replaced: Option<Proposal>,
    /// Ports that were leased on the way; they go to the data plane with the plan.
    pub(crate) leases: Vec<PortLease>,
}

/// Reasons why an offer or answer cannot be served.
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
    #[error("more than {LINES_PER_CALL} m= lines")]
    TooManyLines,
}

impl Call {
    /// Takes one SDP in: finds its parties, updates both, opens ports. The new SDP for the
    /// receiver is printed afterwards from the state.
    pub(crate) fn exchange(
        &mut self,
        text: &Arc<[u8]>,
        sdp: &SessionDescription,
        context: &mut Context<'_>,
    ) -> Result<Parties, ExchangeError> {
        let source = sip_source(sdp, context.request, context.host.defaults);
        let mut endpoints = endpoints(sdp, source)?;
        self.adopt_alias(text, &endpoints, context);
        let parties = self.resolve(context.dialogue, context.now)?;
        match context.dialogue.role {
            Role::Offer => context.replaced = self.begin_offer(parties),
            Role::Answer => self.begin_answer(parties),
        }
        self.share_head_endpoints(parties, sdp, &mut endpoints, context);
        self.take_part(parties, text, sdp, &endpoints, context)?;
        Ok(parties)
    }

    /// The same for two parties that are known.
    pub(crate) fn take_part(
        &mut self,
        parties: Parties,
        text: &Arc<[u8]>,
        sdp: &SessionDescription,
        endpoints: &[Option<Endpoint>],
        context: &mut Context<'_>,
    ) -> Result<(), ExchangeError> {
        self.revive(context.now);
        self.apply_request(parties, text, endpoints, context);
        let lines = self.pair_lines(parties, sdp, context.request, context.dialogue.role)?;
        self.generate_mids(parties, sdp, &lines, context);
        let support = self.support(parties, lines.len(), &context.host.defaults.audio);
        for line in &lines {
            let Some(description) = sdp.media.get(line.said) else {
                continue;
            };
            let said = Said {
                sdp: text.clone(),
                index: line.said,
            };
            let endpoint = endpoints.get(line.said).copied().flatten();
            let [Some(sender), Some(receiver)] = self.legs_mut(parties) else {
                continue;
            };
            let Some(sender) = sender.medias.get_mut(line.sender) else {
                continue;
            };
            let receiver = line
                .receiver
                .and_then(|index| receiver.medias.get_mut(index));
            let Some(receiver) = receiver else {
                // Left out of the offer (sdp-media-remove): answered as rejected.
                sender.reject();
                sender.said = Some(said);
                if sender.mid.is_none() {
                    sender.mid = description.mid.as_ref().map(Text::detached);
                }
                continue;
            };
            let exchange = MediaExchange {
                by_relay: false,
                replaced: context.replaced.as_ref().and_then(|replaced| {
                    let sender = replaced.medias_of(parties.sender)?.get(line.sender)?;
                    let receiver = replaced.medias_of(parties.receiver)?;
                    Some((sender, receiver.get(line.receiver?)?))
                }),
                is_first: !receiver.is_settled || context.request.flags.reset(),
                sender,
                receiver,
                description,
                request: context.request,
                host: context.host,
                role: context.dialogue.role,
                support,
                rng: &mut *context.rng,
            };
            exchange.run(said, endpoint, Some(sdp));
        }
        let role = context.dialogue.role;
        self.bundle(parties, sdp, context.request, role);
        self.pass_extensions(parties, sdp, &lines, context.request, role);
        for line in &lines {
            self.open_line(parties, line, context)?;
        }
        if let Some(leg) = self.legs.get_mut(parties.sender) {
            if leg.first_session_name.is_none() {
                leg.first_session_name = sdp.name().map(Text::detached);
            }
            leg.said = Some(text.clone());
        }
        Ok(())
    }
}

/// The two ends of one m= line in one exchange.
pub(crate) struct MediaExchange<'a> {
    pub(crate) sender: &'a mut Media,
    pub(crate) receiver: &'a mut Media,
    pub(crate) description: &'a windlass_sdp::Media,
    pub(crate) request: &'a Request,
    pub(crate) host: Host<'a>,
    pub(crate) role: Role,
    /// The sender is the relay itself: it has the party to itself.
    pub(crate) by_relay: bool,
    /// What an offer without an answer, which this one replaces, made of sender and receiver.
    pub(crate) replaced: Option<(&'a Media, &'a Media)>,
    /// The receiver has not been offered this media before, or forgets that it was.
    pub(crate) is_first: bool,
    /// Codecs that may be converted.
    pub(crate) support: Support,
    pub(crate) rng: &'a mut dyn RngCore,
}

impl MediaExchange<'_> {
    /// What the replaced offer made of sender and receiver, unless all is to begin anew.
    fn replaced_extras(&self) -> Option<(Option<&Extras>, &Extras)> {
        let replaced = self.replaced.filter(|_| !self.request.flags.reset());
        let (sender, receiver) = replaced?;
        Some((sender.extras.as_deref(), receiver.extras.as_deref()?))
    }

    pub(crate) fn run(
        mut self,
        said: Said,
        endpoint: Option<Endpoint>,
        sdp: Option<&SessionDescription>,
    ) {
        self.adopt_mid();
        let was_answer = self.sender.has_answered;
        let before = self.sender.said.replace(said);
        let before = before.map(|said| codecs::Before { said, was_answer });
        self.sender.has_answered = self.role == Role::Answer;
        self.set_kind();
        let address = sdp.and_then(|sdp| sdp.address_of(self.description).ok());
        if let Some(address) = address
            && !self.description.ice.is_present()
        {
            self.sender.family = Some(Family::of(address));
        }
        let is_rejected = endpoint.is_none();
        let endpoint = endpoint.filter(|_| !self.is_turned_down());
        let Some(endpoint) = endpoint else {
            self.turn_down(address, is_rejected);
            return;
        };
        for media in [&mut *self.sender, &mut *self.receiver] {
            // A later answer may take what an earlier one turned down: another fork, another mind.
            media.rejected = false;
            if let Some(extras) = media.extras.as_deref_mut() {
                extras.bypass_address = None;
            }
        }
        self.sender.formats = Formats::of(self.description);
        if self.role == Role::Answer {
            let offered = self.receiver.formats;
            self.sender.formats.explain(self.description, offered);
        }
        self.negotiate_transport();
        self.negotiate_mux(endpoint);
        self.negotiate_passthrough();
        let settled_on_sdes = self.is_settled_on_sdes();
        self.negotiate_sdes();
        self.negotiate_dtls(settled_on_sdes);
        self.tell_unfit();
        self.negotiate_ice(endpoint);
        self.negotiate_codecs(before.as_ref());
        self.take_extensions();
        self.set_packet_time();
        if self.is_first && self.role == Role::Offer && self.description.transport.is_rtp() {
            // A party that was offered to first stays the one that was.
            self.receiver.is_offered_to |= !self.sender.is_offered_to;
        }
        self.set_direction(endpoint);
        let is_ours = self.host.interfaces.is_ours(endpoint.rtp);
        if is_ours || self.sender.extras.is_some() {
            self.sender.extras_mut().is_loop_checked = is_ours;
        }
        self.sender.endpoint = Some(endpoint);
        self.sender.is_settled = true;
        self.receiver.is_settled = true;
    }

    /// The sender's mid is the receiver's too, unless that has one; the first value sticks.
    fn adopt_mid(&mut self) {
        let mid = &self.description.mid;
        if mid.is_some() && self.sender.mid.is_none() {
            self.sender.mid = mid.as_ref().map(Text::detached);
        }
        let is_ours = self.sender.has_our_mid && self.sender.mid == *mid;
        if self.role == Role::Offer && self.receiver.mid.is_none() && !is_ours {
            self.receiver.mid = mid.as_ref().map(Text::detached);
        }
    }

    /// An offer may make another media of a line (RFC 3264 §8.3.3): audio that becomes fax.
    fn set_kind(&mut self) {
        let description = self.description;
        let receiver = match self.role {
            Role::Offer => Some(&mut *self.receiver),
            Role::Answer => None,
        };
        for media in std::iter::once(&mut *self.sender).chain(receiver) {
            media.kind = description.kind;
            media.kind_text.clone_from(&description.kind_text);
        }
    }

    fn is_turned_down(&self) -> bool {
        let leaves_us_out = self.role == Role::Offer
            && self.request.ice.mode == Some(windlass_ng::request::IceMode::ForceRelay)
            && !self.description.ice.is_present();
        self.answers_otherwise()
            || is_bypassed(self.description)
            || leaves_us_out
            || self.role == Role::Answer
                && self
                    .receiver
                    .extra(|extras| extras.bypass_address.is_some())
            || self.is_removed()
    }

    /// Whether RTP is answered by something else, or the other way round.
    fn answers_otherwise(&self) -> bool {
        self.role == Role::Answer
            && !self.request.transport_protocol_accept
            && !(self.request.transport_protocol.is_some() && self.description.transport.is_rtp())
            && self.description.transport.is_rtp() != self.receiver.transport.is_rtp()
    }

    /// Whether the receiver is not to see this media any more (`sdp-media-remove`).
    fn is_removed(&self) -> bool {
        let removed = &self.request.sdp_media_remove;
        self.role == Role::Offer && lines::is_removed(self.description.kind, removed)
    }

    /// Port 0, or a media that does not pass here: no ports on either side.
    fn turn_down(&mut self, address: Option<IpAddr>, is_rejected: bool) {
        let bypasses = !is_rejected && !self.is_removed() && !self.answers_otherwise();
        for media in [&mut *self.sender, &mut *self.receiver] {
            media.reject();
            if bypasses || media.extra(|extras| extras.bypass_address.is_some()) {
                media.extras_mut().bypass_address = address.filter(|_| bypasses);
            }
        }
        // An answer has the transport of its offer, and what is turned down for now comes back
        // with what was settled before.
        if self.role == Role::Offer {
            let said = &self.description.transport;
            for media in [&mut *self.sender, &mut *self.receiver] {
                if !media.is_settled || bypasses {
                    media.transport.clone_from(said);
                }
            }
        }
    }

    /// `a=ptime` of either party is the line's, until a request sets one for a party.
    fn set_packet_time(&mut self) {
        let request = self.request;
        let offered = |millis: Option<u32>| millis.filter(|_| self.role == Role::Offer);
        let said = self.description.ptime;
        // An offerer whose packet time does not reach the other keeps its own.
        let own = offered(request.ptime).and(said);
        let set = [
            offered(request.ptime_reverse).or(own),
            offered(request.ptime),
        ];
        for (media, set) in [&mut *self.sender, &mut *self.receiver]
            .into_iter()
            .zip(set)
        {
            media.packet_time = match (set, media.packet_time, said) {
                (Some(millis), ..) => PacketTime::Set(millis),
                (None, set @ PacketTime::Set(_), _) => set,
                (None, _, Some(millis)) => PacketTime::Said(millis),
                (None, before, None) => before,
            };
        }
    }

    /// Directions from here: what the sender sends, we receive from it and send on.
    fn set_direction(&mut self, endpoint: Endpoint) {
        let direction = self.description.direction_or_default();
        let (sender, receiver) = (&mut *self.sender, &mut *self.receiver);
        sender.recv = direction.sends();
        sender.send = direction.receives();
        sender.zero_address = endpoint.rtp.ip().is_unspecified()
            && !self.description.is_trickle(Some(endpoint.rtp.ip()));
        receiver.send = sender.recv;
        receiver.recv = sender.send && !sender.zero_address;
        if let Some(makes) = self.request.generate_rtcp {
            for media in [&mut *sender, &mut *receiver] {
                if makes || media.extras.is_some() {
                    media.extras_mut().makes_reports = makes;
                }
            }
        }
        if let Some(echo) = self.request.media_echo {
            use windlass_ng::request::MediaEcho::{Backward, Blackhole, Both, Forward};
            let [ours, theirs] = [sender, receiver].map(Media::extras_mut);
            (ours.echo, ours.blackhole) = (
                matches!(echo, Backward | Both),
                matches!(echo, Blackhole | Forward),
            );
            (theirs.echo, theirs.blackhole) = (
                matches!(echo, Forward | Both),
                matches!(echo, Blackhole | Backward),
            );
        }
    }
}

/// The SIP source, where it stands in for the addresses of the SDP (ng-protocol §7,
/// `SIP-source-address`). ICE has addresses of its own: one media with it, and none is replaced.
pub(crate) fn sip_source(
    sdp: &SessionDescription,
    request: &Request,
    defaults: &Defaults,
) -> Option<IpAddr> {
    let flags = &request.flags;
    let wanted = flags.sip_source_address() || defaults.sip_source && !flags.trust_address();
    let has_ice = sdp.media.iter().any(|media| media.ice.is_present());
    let source = request.received_from.filter(|_| wanted && !has_ice)?;
    Some(source.to_canonical())
}

/// Endpoint of the party for each media (sdp-rewriting §1); `None` where it has none.
pub(crate) fn endpoints(
    sdp: &SessionDescription,
    sip_source: Option<IpAddr>,
) -> Result<Vec<Option<Endpoint>>, ExchangeError> {
    let endpoints = sdp.media.iter().enumerate().map(|(line, description)| {
        if description.is_rejected() {
            return Ok(None);
        }
        let address = match sip_source {
            Some(address) => address,
            None => sdp
                .address_of(description)
                .map_err(|_| ExchangeError::NoAddress { line })?,
        };
        let rtp = SocketAddr::new(address, description.port);
        let rtcp = description.rtcp_endpoint(rtp).unwrap_or(rtp);
        let host = sip_source.unwrap_or_else(|| rtcp.ip());
        let rtcp = SocketAddr::new(host, rtcp.port());
        Ok(Some(Endpoint { rtp, rtcp }))
    });
    endpoints.collect()
}
