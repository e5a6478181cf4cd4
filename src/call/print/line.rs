//! One m= line of the receiver.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use windlass_ng::Request;
use windlass_sdp::write::{self, Carry, DirectionLine, Formats, RtcpLine};
use windlass_sdp::{Codec, Direction, Extmap, Text, Transport};

use super::candidates::Source;
use super::{Texts, shown};
use crate::call::exchange::{Host, answered_codecs, codecs_of, is_extension_named, offered_codecs};
use crate::call::identity::fingerprint;
use crate::call::model::dialogue::Role;
use crate::call::model::leg::Leg;
use crate::call::model::media::{EndpointMap, LegacyPair, Media, Passthrough};
use crate::call::ports::Family;

/// One m= line of the receiver, with the input for printing it.
pub(super) struct MediaLine<'a> {
    pub(super) receiver: &'a Leg,
    pub(super) shown: &'a Media,
    /// The sender's media of the same line.
    pub(super) source: Option<&'a Media>,
    pub(super) index: usize,
    pub(super) texts: &'a Texts<'a>,
    /// Description to print instead of a source's.
    pub(super) said: Option<&'a windlass_sdp::Media>,
    pub(super) request: &'a Request,
    pub(super) role: Role,
    pub(super) host: Host<'a>,
}

impl MediaLine<'_> {
    /// Prints one line, or two for a media that is offered as RTP and as SRTP.
    pub(super) fn print_into(&self, medias: &mut Vec<write::Media>) {
        let media = self.print();
        let legacy = self
            .shown
            .extras
            .as_deref()
            .and_then(|extras| extras.legacy);
        let Some(order) = legacy else {
            medias.push(media);
            return;
        };
        let twin = self.twin(&media);
        let twin_first = match order {
            LegacyPair::RtpFirst => self.shown.transport.is_srtp(),
            LegacyPair::SrtpFirst => !self.shown.transport.is_srtp(),
        };
        medias.extend(if twin_first {
            [twin, media]
        } else {
            [media, twin]
        });
    }

    /// The other of two lines for one media: open in an offer, rejected once one was chosen.
    fn twin(&self, media: &write::Media) -> write::Media {
        let mut twin = media.clone();
        twin.transport = opposite(&self.shown.transport).name();
        twin.crypto.clear();
        (twin.setup, twin.fingerprint, twin.tls_id) = (None, None, None);
        let is_offered = self.role == Role::Offer && self.request.osrtp.offer_legacy;
        if !is_offered {
            twin.rejected = true;
            twin.connection = None;
            (twin.mid, twin.label) = (None, None);
        }
        twin
    }

    fn print(&self) -> write::Media {
        // What an answer leaves out is not turned down: the offerer sees its own line again.
        let own = || self.texts.of(self.shown);
        let left_out = || own().filter(|_| self.role == Role::Answer);
        let said = self.said.or_else(|| self.texts.of(self.source?));
        let said = said.or_else(left_out);
        let mut media = match said.or_else(own) {
            Some(said) => write::Media::carried(said, Carry::All),
            None => write::Media::new(self.shown.kind, self.shown.transport.name(), 0),
        };
        media.kind = self.shown.kind;
        media.kind_text.clone_from(&self.shown.kind_text);
        media.transport = self.shown.transport.name();
        media.mid = self.mid();
        media.port_count = 1;
        if let (Some(said), Some(address)) = (said, self.bypass_address()) {
            media.transport = said.transport.name();
            media.port = said.port;
            media.port_count = said.port_count;
            media.connection = Some(address);
            media.mid = None;
            media.copy_attributes(said);
            return media;
        }
        let (Some(said), Some(map), false) = (said, self.map(), self.shown.rejected) else {
            return self.rejected(media);
        };
        media.rejected = false;
        media.port = map.main.rtp.local.port();
        media.connection = Some(self.address(map.main.advertised));
        let passthrough = self
            .shown
            .extras
            .as_deref()
            .and_then(|extras| extras.passthrough);
        if let Some(kind @ (Passthrough::Optional | Passthrough::Relay)) = passthrough {
            self.pass(&mut media, said, map, kind);
            return media;
        }
        if self.shown.transport.is_rtp() && !said.transport.is_rtp() {
            return self.rejected(media);
        }
        if !said.transport.is_rtp() || !self.shown.transport.is_rtp() {
            media.formats = Formats::Text(said.formats.clone());
            media.copy_attributes(said);
            return media;
        }
        media.codecs = self.codecs(said);
        if media.codecs.is_empty() && !said.codecs.is_empty() {
            media.formats = Formats::Text(said.formats.clone());
            return self.rejected(media);
        }
        self.fill(&mut media, said, map, passthrough);
        media
    }

    /// Port 0 and an unspecified address.
    fn rejected(&self, mut media: write::Media) -> write::Media {
        media.rejected = true;
        // What the receiver said of the line itself stays (RFC 3264 §6).
        if let Some(own) = self.texts.of(self.shown)
            && self.said.is_none()
        {
            media.formats = Formats::Text(own.formats.clone());
        }
        media.connection = Some(match self.family() {
            Family::Ip4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::Ip6 => Ipv6Addr::UNSPECIFIED.into(),
        });
        media
    }

    /// Prints a media as the sender has it, with our candidate at the end (`ICE=optional`,
    /// `ICE=force-relay`).
    fn pass(
        &self,
        media: &mut write::Media,
        said: &windlass_sdp::Media,
        map: &EndpointMap,
        kind: Passthrough,
    ) {
        media.port = said.port;
        let theirs = self.source.and_then(|source| source.endpoint);
        media.connection = self
            .request
            .media_address
            .or_else(|| theirs.map(|endpoint| endpoint.rtp.ip()));
        media.transport = said.transport.name();
        media.formats = Formats::Text(said.formats.clone());
        media.mid = None;
        media.copy_attributes(said);
        if said.ice.is_present() {
            media.candidates = self
                .source_of(map)
                .candidates(Some(kind), &said.ice.candidates);
        }
        media.end_of_candidates = said.ice.end_of_candidates;
    }

    /// The attributes of an RTP media.
    fn fill(
        &self,
        media: &mut write::Media,
        said: &windlass_sdp::Media,
        map: &EndpointMap,
        passthrough: Option<Passthrough>,
    ) {
        media.formats = match media.codecs.is_empty() {
            true => Formats::Text(said.formats.clone()),
            false => Formats::Codecs,
        };
        self.fill_extensions(media);
        media.ptime = self.shown.packet_time.millis().or(media.ptime);
        if self.request.flags.original_sendrecv() {
            media.copy_direction(said);
        } else {
            let direction = Direction::from_flags(self.shown.send, self.shown.recv);
            let made = self.said.map(windlass_sdp::Media::direction_or_default);
            media.direction = DirectionLine::Print(made.unwrap_or(direction));
        }
        media.rtcp = self.rtcp(map);
        media.rtcp_mux = self.shown.mux.ours;
        let Some(extras) = self.shown.extras.as_deref() else {
            return;
        };
        let shares = extras.bundle_offered && self.shown.shares_ports_of_another(self.index);
        media.bundle_only =
            (extras.bundle_only || shares) && self.role == Role::Offer && self.said.is_none();
        if extras.bundle_only && media.bundle_only {
            media.port = 0;
        }
        if media.bundle_only || said.is_rejected() {
            // Said in its place; the sender's own is copied among the generics.
            media.generics.retain(|text| *text != "bundle-only");
        }
        if passthrough.is_some() {
            media.crypto.clone_from(&said.crypto);
            media.setup = said.setup;
            media.fingerprint.clone_from(&said.fingerprint);
            media.tls_id.clone_from(&said.tls_id);
            media.ice_ufrag.clone_from(&said.ice.ufrag);
            media.ice_pwd.clone_from(&said.ice.pwd);
            media.ice_options.clone_from(&said.ice.options);
            if said.ice.is_present() {
                media.candidates = self.source_of(map).candidates(None, &[]);
            }
            return;
        }
        let head = self.head();
        let extras = head.extras.as_deref().unwrap_or(extras);
        if self.shown.is_secure() {
            media.crypto.clone_from(&extras.sdes.ours);
            if let Some(dtls) = &extras.dtls {
                media.setup = Some(dtls.ours);
                media.fingerprint = Some(fingerprint(&dtls.certificate.0, dtls.hash));
                media.tls_id = (!dtls.omit_tls_id).then(|| dtls.tls_id.clone());
            }
        }
        if let (true, Some(ours)) = (head.has_ice(), &extras.ice.ours) {
            media.ice_ufrag = Some(ours.ufrag.clone());
            media.ice_pwd = Some(ours.pwd.clone());
            media.ice_options = match (extras.ice.trickle, extras.ice.ice2 || extras.ice.their_ice2)
            {
                (true, true) => Some("trickle ice2".into()),
                (true, false) => Some("trickle".into()),
                (false, true) => Some("ice2".into()),
                (false, false) => None,
            };
            media.candidates = self.source_of(map).candidates(None, &[]);
            media.end_of_candidates = extras.ice.trickle;
        }
    }

    /// Header extensions: the receiver's list, which the exchange made; what is of our own making
    /// has those of its description.
    fn fill_extensions(&self, media: &mut write::Media) {
        let extensions = self
            .shown
            .extras
            .as_deref()
            .map(|extras| &extras.extensions);
        if self.said.is_some() {
            let strip = &self.request.extmap.strip;
            media
                .extmaps
                .retain(|extmap| !is_extension_named(extmap, strip));
            for ours in extensions.iter().flat_map(|known| &known.ours) {
                let is_free = |id: &u8| media.extmaps.iter().all(|extmap| extmap.id != *id);
                let mut ids = std::iter::once(ours.id).chain((1..15).filter(|id| *id != ours.id));
                if let Some(id) = ids.find(is_free) {
                    media.extmaps.push(Extmap { id, ..ours.clone() });
                }
            }
        } else {
            media.extmaps = extensions.map_or_else(Vec::new, |known| known.list.clone());
        }
        let excludes_mixed = extensions.is_some_and(|known| known.excludes_mixed);
        media.extmap_allow_mixed = !media.extmaps.is_empty() && !excludes_mixed;
    }

    /// The media whose ports this one has: its own, or the first of its bundle.
    fn head(&self) -> &Media {
        let head = self
            .shown
            .extras
            .as_deref()
            .and_then(|extras| extras.bundle_head);
        head.and_then(|head| self.receiver.medias.get(head))
            .unwrap_or(self.shown)
    }

    fn map(&self) -> Option<&EndpointMap> {
        self.head().ports()
    }

    fn source_of<'a>(&'a self, map: &'a EndpointMap) -> Source<'a> {
        Source {
            map,
            identity: self.host.identity,
            request: self.request,
            has_rtcp: !self.shares_port(),
        }
    }

    fn bypass_address(&self) -> Option<IpAddr> {
        self.shown.extras.as_deref()?.bypass_address
    }

    /// The family of the interface that a media without ports would be on.
    fn family(&self) -> Family {
        let medias = [Some(self.shown), self.source].into_iter().flatten();
        let mut endpoints = medias.filter_map(|media| media.endpoint.map(|e| e.rtp.ip()));
        let of_others = || (0..self.receiver.medias.len()).find_map(|i| self.receiver.family_of(i));
        let wanted = self
            .receiver
            .family_of(self.index)
            .or_else(|| endpoints.next().map(Family::of))
            .or_else(of_others)
            .or_else(|| Some(Family::of(self.texts.address_of(self.source?)?)));
        let interfaces = self.host.interfaces;
        let on = interfaces.select(self.receiver.interface.as_deref(), wanted);
        on.map(|on| Family::of(on.address))
            .or(wanted)
            .unwrap_or(Family::Ip4)
    }

    /// Our address, or nowhere while the sender is held by a zero address (§6), or has not said
    /// where it is: its answer left the line out.
    fn address(&self, advertised: IpAddr) -> IpAddr {
        let is_unknown =
            self.said.is_none() && self.source.is_none_or(|source| source.endpoint.is_none());
        let held = is_unknown || self.source.is_some_and(|source| source.zero_address);
        let shows_zero = held && !self.request.replace.zero_address && !self.shown.has_ice();
        match advertised {
            _ if !shows_zero => shown(advertised, self.request),
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    fn mid(&self) -> Option<Text> {
        let flags = &self.request.flags;
        let generates = flags.generate_mid() && self.role == Role::Offer;
        let generated = || generates.then(|| Text::from((self.index + 1).to_string()));
        self.shown.mid.clone().or_else(generated)
    }

    /// Whether RTCP has no port of its own in what is printed.
    fn shares_port(&self) -> bool {
        let mux = &self.shown.mux;
        let muxed = mux.ours && (mux.single || self.role == Role::Answer);
        muxed || self.map().is_none_or(|map| map.main.rtcp.is_none())
    }

    fn rtcp(&self, map: &EndpointMap) -> Option<RtcpLine> {
        let flags = &self.request.flags;
        if flags.no_rtcp_attribute() {
            return None;
        }
        let port = match &map.main.rtcp {
            Some(rtcp) if !self.shares_port() => rtcp.local.port(),
            _ => map.main.rtp.local.port(),
        };
        let full = flags.full_rtcp_attribute();
        Some(RtcpLine {
            port,
            full: full.then(|| shown(map.main.advertised, self.request)),
        })
    }

    fn codecs(&self, said: &windlass_sdp::Media) -> Vec<Codec> {
        if self.said.is_some() && self.role == Role::Offer {
            let support = &self.host.defaults.audio.support;
            return offered_codecs(&said.codecs, self.request, said.kind, support);
        }
        let own = self.texts.of(self.shown);
        let own = own.map(|own| own.codecs.as_slice()).unwrap_or_default();
        // An answer that leaves the line out shows the offerer its own.
        let is_said =
            self.said.is_none() && self.source.is_some_and(|source| source.said.is_some());
        if let Some(codecs) = self.shown.codecs().filter(|_| is_said) {
            return codecs_of(&codecs.shown, &[&said.codecs, own]);
        }
        match self.role {
            Role::Offer => said.codecs.clone(),
            Role::Answer => answered_codecs(&said.codecs, own, self.request),
        }
    }
}

/// The transport of the other line of a double offer.
fn opposite(transport: &Transport) -> Transport {
    match transport {
        Transport::RtpAvp => Transport::RtpSavp,
        Transport::RtpAvpf => Transport::RtpSavpf,
        Transport::RtpSavp | Transport::UdpTlsRtpSavp => Transport::RtpAvp,
        Transport::RtpSavpf | Transport::UdpTlsRtpSavpf => Transport::RtpAvpf,
        other => other.clone(),
    }
}
