//! A party that deals with the relay alone: publisher, subscriber, or one that the relay calls.
//!
//! The rules of an exchange are those for two; the other end is a media that exists only while
//! they are applied.

use std::sync::Arc;

use windlass_ng::{Request, Tag};
use windlass_sdp::write::{self, Carry};
use windlass_sdp::{
    Direction, MediaKind, Origin, ParseOptions, SessionDescription, Text, Transport,
};

use super::sources::SourceMedia;
use super::{Refused, Scene};
use crate::call::exchange::{Context, ExchangeError, Host, MediaExchange};
use crate::call::model::call::Call;
use crate::call::model::dialogue::{Dialogue, Role};
use crate::call::model::leg::LegIndex;
use crate::call::model::media::{Endpoint, Media, Said};
use crate::call::offer::Refusal;
use crate::call::ports::Family;
use crate::call::print::Printing;
use crate::call::serve::Calls;

impl Call {
    /// The leg with this tag, made if there is none.
    pub(super) fn leg_or_new(&mut self, tag: &Tag, scene: &Scene<'_>) -> Result<LegIndex, Refused> {
        match self.leg_by_tag(tag) {
            Some(index) => Ok(index),
            None => self
                .add_leg(scene.now, Some(tag), None)
                .map_err(|error| Refusal::from(ExchangeError::from(error)).reply()),
        }
    }

    /// Applies the request to a party that deals with the relay alone.
    pub(super) fn apply_to(&mut self, leg: LegIndex, scene: &Scene<'_>, host: Host<'_>) {
        let request = scene.request;
        let routed = request.interface_peer.and_then(|peer| (host.route)(peer));
        let mut addresses = host.interfaces.addresses().iter();
        let routed = routed.and_then(|local| addresses.find(|a| a.address == local));
        let Some(leg) = self.legs.get_mut(leg) else {
            return;
        };
        let named = request.interface.as_deref().map(Arc::from);
        if let Some(name) = named.or_else(|| routed.map(|address| address.name.clone())) {
            leg.interface = Some(name);
        }
        if request.address_family.is_some() {
            leg.family = request.address_family;
        }
        if let Some(label) = request
            .set_label
            .as_ref()
            .or(request.rare.to_label.as_ref())
        {
            leg.label = Some(label.clone());
        }
        if let Some(metadata) = &request.metadata {
            leg.metadata = Some(metadata.as_str().into());
        }
        leg.signalled_at = scene.now.instant;
        self.last_signal = scene.now;
    }

    /// A media of such a party, made like `description` if there is none at its place yet.
    pub(super) fn media_or_new(
        &mut self,
        at: SourceMedia,
        description: &windlass_sdp::Media,
    ) -> Option<&mut Media> {
        let line = self.next_line();
        let party = self.legs.get_mut(at.leg)?;
        if party.medias.len() <= at.media {
            party.medias.push(Media::like(line, description));
        }
        self.number_media(at.leg, at.media);
        self.legs.get_mut(at.leg)?.medias.get_mut(at.media)
    }

    /// Opens ports for one media of a party that deals with the relay alone.
    pub(super) fn open_alone(
        &mut self,
        (leg, media): (LegIndex, usize),
        endpoint: Endpoint,
        tag: &Tag,
        role: Role,
        scene: &mut Scene<'_>,
        host: Host<'_>,
    ) -> Result<(), ExchangeError> {
        let mut context = Context {
            request: scene.request,
            dialogue: Dialogue::of(role, tag),
            host,
            // No rule of such a party asks for it.
            source: self.created_from,
            now: scene.now,
            rng: &mut *scene.rng,
            replaced: None,
            leases: std::mem::take(&mut scene.leases),
        };
        let opened = self.open_ports(leg, media, None, true, endpoint.rtp, &mut context);
        scene.leases = context.leases;
        opened
    }
}

/// A party's description of one media.
pub(super) struct Word<'a> {
    pub(super) said: Said,
    pub(super) description: &'a windlass_sdp::Media,
    pub(super) endpoint: Option<Endpoint>,
}

/// The two halves of dealing with one party's media alone.
pub(super) struct Alone<'a> {
    pub(super) request: &'a Request,
    pub(super) host: Host<'a>,
}

impl Alone<'_> {
    /// The party offers or answers.
    pub(super) fn take(
        &self,
        role: Role,
        media: &mut Media,
        other: &mut Media,
        word: Word<'_>,
        rng: &mut dyn rand::RngCore,
    ) {
        let Word {
            said,
            description,
            endpoint,
        } = word;
        let exchange = MediaExchange {
            by_relay: false,
            replaced: None,
            is_first: true,
            sender: media,
            receiver: other,
            description,
            request: self.request,
            host: self.host,
            role,
            support: self.host.defaults.audio.support,
            rng,
        };
        exchange.run(said, endpoint, None);
    }

    /// The relay offers or answers to the party: `description` is what it says of its side.
    pub(super) fn tell(
        &self,
        role: Role,
        media: &mut Media,
        other: &mut Media,
        description: &windlass_sdp::Media,
        endpoint: Endpoint,
        rng: &mut dyn rand::RngCore,
    ) {
        let said = Said {
            sdp: Arc::from(&b""[..]),
            index: 0,
        };
        let exchange = MediaExchange {
            by_relay: true,
            replaced: None,
            is_first: !media.is_settled,
            sender: other,
            receiver: media,
            description,
            request: self.request,
            host: self.host,
            role,
            support: self.host.defaults.audio.support,
            rng,
        };
        exchange.run(said, Some(endpoint), None);
    }
}

/// A description that says of a media only what it is and how it is coded.
pub(super) fn bare(from: &windlass_sdp::Media, direction: Direction) -> windlass_sdp::Media {
    let mut media = from.clone();
    media.attributes.clear();
    media.bandwidth = windlass_sdp::Bandwidth::default();
    media.retained.clear();
    media.info = None;
    media.crypto.clear();
    media.fingerprint = None;
    media.setup = None;
    media.tls_id = None;
    media.ice = windlass_sdp::Ice::default();
    media.extmaps.clear();
    media.extmap_allow_mixed = false;
    media.label = None;
    media.direction = Some(direction);
    media
}

/// A description of a media that nothing is said of but what it is; without codecs.
pub(super) fn unsaid(kind: MediaKind, transport: &Transport) -> Option<windlass_sdp::Media> {
    let text = format!(
        "v=0\r\nc=IN IP4 127.0.0.1\r\nm={} 9 RTP/AVP 0\r\n",
        kind.name()
    );
    let sdp = SessionDescription::parse(text.as_bytes(), ParseOptions::default()).ok()?;
    let mut media = bare(sdp.media.first()?, Direction::SendRecv);
    media.codecs.clear();
    media.transport = transport.clone();
    Some(media)
}

/// A placeholder endpoint, for an end without one.
pub(super) fn anywhere(family: Family) -> Endpoint {
    let ip: std::net::IpAddr = match family {
        Family::Ip4 => std::net::Ipv4Addr::LOCALHOST.into(),
        Family::Ip6 => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    Endpoint {
        rtp: (ip, 9).into(),
        rtcp: (ip, 10).into(),
    }
}

/// The SDP that lends its lines before the first m= to one of the relay's own.
pub(super) struct Like {
    pub(super) session: SessionDescription,
    /// Its attributes, too.
    pub(super) has_attributes: bool,
}

impl Calls {
    /// Prints an SDP of the relay's own for a party, from one description per media.
    pub(super) fn print_alone(
        &self,
        call: &mut Call,
        leg: LegIndex,
        descriptions: &[windlass_sdp::Media],
        like: Option<&Like>,
        role: Role,
        scene: &mut Scene<'_>,
    ) -> Vec<u8> {
        let route = |peer| self.forwarding.route_to(peer);
        let session = match like {
            Some(like) => {
                let mut session = write::Session::carried(&like.session, Carry::All);
                if !like.has_attributes {
                    session.attributes.clear();
                }
                // Bandwidth was agreed for another session.
                session.bandwidth = windlass_sdp::Bandwidth::default();
                session
            }
            None => {
                let mut session =
                    write::Session::carried(&SessionDescription::default(), Carry::All);
                session.name = Text::from(self.identity.software());
                session
            }
        };
        let origin: Option<Origin> = like.and_then(|like| like.session.origin().cloned());
        let mut printing = Printing {
            request: scene.request,
            role,
            host: self.host(&route),
            rng: &mut *scene.rng,
        };
        call.print_for(leg, session, origin.as_ref(), descriptions, &mut printing)
    }
}
