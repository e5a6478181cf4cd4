//! The SDP that a party is shown, regenerated from the state of both legs
//! (spec: sdp-rewriting §2–§6).

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::Rng;
use windlass_ng::Request;
use windlass_sdp::write::{self, Body, RtpBody};
use windlass_sdp::{Codec, Direction, MediaDescription, Origin, SessionDescription, Text};

use super::dialogue::{Parties, Role};
use super::exchange::is_bypassed;
use super::leg::{Leg, Media, Printed};
use super::ports::Family;
use super::state::Call;

impl Call {
    /// Prints the sender's SDP for the receiver, and remembers what was printed.
    pub(crate) fn print(
        &mut self,
        parties: Parties,
        request: &Request,
        role: Role,
        rng: &mut impl Rng,
    ) -> Vec<u8> {
        let (Some(sender), Some(receiver)) = (
            self.legs.get(parties.sender),
            self.legs.get(parties.receiver),
        ) else {
            return Vec::new();
        };
        let Some(received) = &sender.received else {
            return Vec::new();
        };
        let mut session = write::Session::carried_from(received);
        if request.replace.session_name
            && let Some(name) = &sender.first_session_name
        {
            session.name = name.clone();
        }
        for (index, shown) in receiver.medias.iter().enumerate() {
            let source = sender.medias.get(index);
            let line = MediaLine {
                receiver,
                shown,
                source,
                index,
                request,
                role,
            };
            session.media.push(line.print());
        }
        let address = receiver
            .medias
            .iter()
            .find_map(|media| Some(media.ports()?.advertised));
        let before = receiver.printed.as_ref();
        session.origin = origin(received, before, address, request, rng);
        let replace = &request.replace;
        let versioned = replace.sdp_version || replace.origin_full;
        let digest = digest(&session);
        if versioned && before.is_some_and(|printed| printed.digest != digest) {
            session.origin.session_version = incremented(&session.origin.session_version);
        }
        let text = session.to_bytes();
        let printed = Printed {
            origin: session.origin,
            digest,
        };
        if let Some(receiver) = self.legs.get_mut(parties.receiver) {
            receiver.printed = Some(printed);
        }
        text
    }
}

/// One m= line of the receiver, and what it is printed from.
struct MediaLine<'a> {
    receiver: &'a Leg,
    shown: &'a Media,
    /// The sender's media of the same position.
    source: Option<&'a Media>,
    index: usize,
    request: &'a Request,
    role: Role,
}

impl MediaLine<'_> {
    fn print(&self) -> write::Media {
        let description = self.source.and_then(|source| source.description.as_ref());
        let mut media = write::Media {
            kind: self.shown.kind.clone(),
            port: 0,
            transport: self.shown.transport.clone(),
            formats: description
                .or(self.shown.description.as_ref())
                .map(|description| description.formats.clone())
                .unwrap_or_default(),
            info: description.and_then(|description| description.info.clone()),
            connection: None,
            bandwidth: description.map(|d| d.bandwidth.clone()).unwrap_or_default(),
            mid: self.mid(),
            label: description.and_then(|description| description.label.clone()),
            body: Body::Rejected,
        };
        if let Some(description) = description.filter(|description| is_bypassed(description)) {
            media.port = description.port;
            media.connection = self.source.and_then(|source| source.bypass_address);
            media.body = Body::Verbatim(description.verbatim.clone());
            return media;
        }
        let (Some(description), Some(ports), false) =
            (description, self.shown.ports(), self.shown.rejected)
        else {
            media.connection = Some(match self.family() {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            });
            return media;
        };
        media.port = ports.rtp.local.port();
        media.connection = Some(self.shown_address(ports.advertised));
        if !description.transport.is_rtp() {
            media.body = Body::Verbatim(description.verbatim.clone());
            return media;
        }
        let codecs = self.codecs(description);
        if !codecs.is_empty() {
            media.formats = write::format_list(&codecs);
        }
        media.body = Body::Rtp(Box::new(self.rtp_body(description, codecs)));
        media
    }

    fn family(&self) -> Family {
        if let Some(family) = self.receiver.family {
            return family;
        }
        let medias = [Some(self.shown), self.source].into_iter().flatten();
        let endpoints = medias.filter_map(|media| media.endpoint);
        endpoints
            .map(|endpoint| Family::of(endpoint.rtp.ip()))
            .next()
            .unwrap_or(Family::V4)
    }

    /// Our address, or nowhere while the sender is held by a zero address (§6).
    fn shown_address(&self, advertised: IpAddr) -> IpAddr {
        let held = self.source.is_some_and(|source| source.zero_address);
        match advertised {
            _ if !held || self.request.replace.zero_address => advertised,
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    fn mid(&self) -> Option<Text> {
        let generated = || Text::from((self.index + 1).to_string());
        match &self.shown.mid {
            Some(mid) => Some(mid.clone()),
            None => self.request.flags.generate_mid.then(generated),
        }
    }

    fn rtp_body(&self, description: &MediaDescription, codecs: Vec<Codec>) -> RtpBody {
        let flags = &self.request.flags;
        let mut attributes = description.attributes.clone();
        let direction = if flags.original_sendrecv {
            let own = description
                .direction
                .map(|direction| Text::from(direction.name()));
            attributes.extend(own);
            None
        } else {
            Some(Direction::new(self.shown.send, self.shown.recv))
        };
        RtpBody {
            codecs,
            extmap_allow_mixed: description.extmap_allow_mixed,
            extmaps: description.extmaps.clone(),
            attributes,
            direction,
            rtcp: self.rtcp(),
            rtcp_mux: self.shown.mux.ours,
            keying: description.keying.clone(),
            ptime: description.ptime.clone(),
            maxptime: description.maxptime.clone(),
        }
    }

    fn rtcp(&self) -> Option<(u16, Option<IpAddr>)> {
        let flags = &self.request.flags;
        if flags.no_rtcp_attribute {
            return None;
        }
        let ports = self.shown.ports()?;
        let shares_port =
            self.shown.mux.ours && (self.shown.mux.single || self.role == Role::Answer);
        let port = match &ports.rtcp {
            Some(rtcp) if !shares_port => rtcp.local.port(),
            _ => ports.rtp.local.port(),
        };
        Some((port, flags.full_rtcp_attribute.then_some(ports.advertised)))
    }

    /// The codecs of an offer are all of the sender's; those of an answer what the receiver
    /// offered, in the answerer's order, or the receiver's first where the answerer chose one
    /// that nobody offered (ng-protocol §8.7).
    fn codecs(&self, description: &MediaDescription) -> Vec<Codec> {
        let offered = match (self.role, &self.shown.description) {
            (Role::Answer, Some(offered)) if !offered.codecs.is_empty() => &offered.codecs,
            _ => return description.codecs.clone(),
        };
        let answered = description.codecs.iter();
        let common: Vec<Codec> = answered
            .filter(|codec| offered.iter().any(|other| other.is_same_encoding(codec)))
            .cloned()
            .collect();
        match common.is_empty() {
            true => offered.first().cloned().into_iter().collect(),
            false => common,
        }
    }
}

/// The o= line (sdp-rewriting §4).
fn origin(
    received: &SessionDescription,
    printed: Option<&Printed>,
    address: Option<IpAddr>,
    request: &Request,
    rng: &mut impl Rng,
) -> Origin {
    let replace = &request.replace;
    let out = printed.map(|printed| &printed.origin);
    let mut origin = match &received.origin {
        Some(origin) => origin.clone(),
        None => out
            .cloned()
            .unwrap_or_else(|| generated_origin(address, rng)),
    };
    let full = replace.origin_full;
    if let Some(out) = out {
        if full || replace.username {
            origin.username.clone_from(&out.username);
        }
        if full {
            origin.session_id.clone_from(&out.session_id);
        }
        if full || replace.sdp_version {
            origin.session_version.clone_from(&out.session_version);
        }
        if replace.force_increment_sdp_ver {
            origin.session_version = incremented(&out.session_version);
        }
    }
    if full || replace.origin {
        match out {
            Some(out) => {
                origin.address_type.clone_from(&out.address_type);
                origin.address.clone_from(&out.address);
            }
            None => {
                if let Some(address) = address {
                    origin.set_address(address);
                }
            }
        }
    }
    origin
}

/// An o= line for an SDP that has none of its own.
fn generated_origin(address: Option<IpAddr>, rng: &mut impl Rng) -> Origin {
    let number = |rng: &mut dyn rand::RngCore| Text::from(rng.next_u32().to_string());
    let mut origin = Origin {
        username: Text::from("-"),
        session_id: number(rng),
        session_version: number(rng),
        ..Origin::default()
    };
    origin.set_address(address.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into()));
    origin
}

fn incremented(version: &Text) -> Text {
    let number = version.to_str_lossy().parse::<u64>().unwrap_or(0);
    Text::from(number.wrapping_add(1).to_string())
}

/// A digest of everything but the version of the o= line.
fn digest(session: &write::Session) -> u64 {
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    let mut plain = session.clone();
    plain.origin.session_version = Text::default();
    hasher.write(&plain.to_bytes());
    hasher.finish()
}
