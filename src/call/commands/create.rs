//! `create` and `create answer` (spec: ng-protocol §5): a party that the relay calls.

use std::net::SocketAddr;

use windlass_ng::request::{CodecSpec, MediaSpec};
use windlass_ng::{Dict, Reply, Tag, errors};
use windlass_sdp::{Codec, Direction, MediaKind, ParseOptions, SessionDescription};

use super::alone::{Alone, anywhere, bare};
use super::{Refused, Scene};
use crate::call::dialogue::Role;
use crate::call::media::Media;
use crate::call::offer::Refusal;
use crate::call::ports::Family;
use crate::call::serve::Calls;
use crate::call::state::Call;
use crate::limits::LINES_PER_CALL;

/// First dynamic payload type (RFC 3551 §6).
const DYNAMIC: u8 = 96;

impl Calls {
    pub(super) fn create(&self, scene: Scene<'_>, source: SocketAddr) -> Reply {
        let unknown = errors::CREATE_PARTY;
        self.on_call_made(scene, source, unknown, |calls, call, tag, scene| {
            let sdp = calls.create_party(call, tag, scene)?;
            Ok(Dict::new().with("sdp", sdp))
        })
    }

    fn create_party(
        &self,
        call: &mut Call,
        tag: &Tag,
        scene: &mut Scene<'_>,
    ) -> Result<Vec<u8>, Refused> {
        let request = scene.request;
        if request.rare.medias.len() > LINES_PER_CALL {
            return Err(errors::CREATE_SDP);
        }
        let route = |peer| self.forwarding.route_to(peer);
        let host = self.host(&route);
        let leg = call.leg_or_new(tag, scene)?;
        call.apply_to(leg, scene, host);
        let alone = Alone { request, host };
        let audio = [MediaSpec::default()];
        let specs = match request.rare.medias.as_slice() {
            [] => &audio[..],
            specs => specs,
        };
        let family = request.address_family.unwrap_or(Family::Ip4);
        let near = anywhere(family);
        let mut offers = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let offer = described(spec, &request.codec.offer).ok_or(errors::CREATE_SDP)?;
            let line = call.next_line();
            let Some(party) = call.legs.get_mut(leg) else {
                break;
            };
            if party.medias.len() <= index {
                let transport = offer.transport.clone();
                party.medias.push(Media::new(
                    line,
                    offer.kind,
                    offer.kind_text.clone(),
                    transport,
                ));
            }
            let Some(media) = party.medias.get_mut(index) else {
                break;
            };
            let mut other = Media::new(
                0,
                offer.kind,
                offer.kind_text.clone(),
                offer.transport.clone(),
            );
            alone.tell(Role::Offer, media, &mut other, &offer, near, scene.rng);
            offers.push(offer);
        }
        call.bundle_alone(leg, request);
        for index in 0..offers.len() {
            call.open_alone((leg, index), near, tag, Role::Offer, scene, host)
                .map_err(|error| Refusal::from(error).reply())?;
        }
        Ok(self.print_alone(call, leg, &offers, None, Role::Offer, scene))
    }

    pub(super) fn create_answer(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let request = scene.request;
        let body = request.sdp.as_deref().ok_or(errors::NO_SDP)?;
        let tag = request.from_tag.as_ref().ok_or(errors::NO_FROM_TAG)?;
        let leg = call.leg_by_tag(tag).ok_or(errors::CREATE_FROM_TAG)?;
        if request.flags.fragment() {
            call.take_fragment(tag, body, scene.now.instant);
            return Ok(Reply::ok(Dict::new()));
        }
        self.take_answer(call, leg, body, scene)?;
        Ok(Reply::ok(Dict::new()))
    }
}

/// A media of the relay's own making: what is asked for, else PCMU and PCMA.
pub(super) fn described(spec: &MediaSpec, offered: &[CodecSpec]) -> Option<windlass_sdp::Media> {
    let kind = MediaKind::from_name(spec.kind.as_deref().unwrap_or("audio"));
    let text = format!(
        "v=0\r\nc=IN IP4 127.0.0.1\r\nm={} 9 RTP/AVP 0 8\r\n",
        kind.name()
    );
    let sdp = SessionDescription::parse(text.as_bytes(), ParseOptions::default()).ok()?;
    let mut media = bare(sdp.media.first()?, Direction::SendRecv);
    let own: Vec<(CodecSpec, Option<u8>)> = spec
        .codecs
        .iter()
        .map(|mapping| (mapping.input.spec.clone(), mapping.input.payload_type))
        .collect();
    let wanted: Vec<(CodecSpec, Option<u8>)> = match own.is_empty() {
        true => offered.iter().map(|spec| (spec.clone(), None)).collect(),
        false => own,
    };
    if !wanted.is_empty() {
        media.codecs.clear();
        for (spec, payload_type) in wanted {
            let codec = codec(&spec, payload_type, &media.codecs);
            media.codecs.push(codec);
        }
    }
    Some(media)
}

/// A codec by its name: with the payload type that RFC 3551 gives it, or a free dynamic one.
fn codec(spec: &CodecSpec, payload_type: Option<u8>, taken: &[Codec]) -> Codec {
    let assigned = (0..35).map(Codec::from_payload_type).find(|codec| {
        codec.is_known()
            && spec.matches(
                &codec.name.as_str_lossy(),
                codec.clock_rate,
                u32::from(codec.channels_or_one()),
            )
    });
    if let (Some(codec), None) = (assigned, payload_type) {
        return codec;
    }
    let is_opus = spec.name.eq_ignore_ascii_case("opus");
    let is_free = |wanted: &u8| !taken.iter().any(|codec| codec.payload_type == *wanted);
    let payload_type = payload_type.or_else(|| (DYNAMIC..128).find(is_free));
    let clock_rate = spec
        .clock_rate
        .unwrap_or(if is_opus { 48_000 } else { 8000 });
    let channels = spec
        .channels
        .and_then(|channels| u8::try_from(channels).ok());
    let channels = channels
        .or_else(|| is_opus.then_some(2))
        .filter(|channels| *channels > 1);
    let mut codec = Codec::new(
        payload_type.unwrap_or(DYNAMIC),
        spec.name.as_str().into(),
        clock_rate,
        channels,
    );
    if !spec.format.is_empty() {
        codec.fmtp.push(spec.format.as_str().into());
    }
    codec
}
