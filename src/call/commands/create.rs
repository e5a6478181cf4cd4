//! `create` and `create answer` (spec: ng-protocol §5): a party that the relay calls.

use std::net::SocketAddr;

use windlass_ng::request::{CodecSpec, MediaSpec};
use windlass_ng::{Dict, Reply, Tag, errors};
use windlass_sdp::{Codec, MediaKind, Transport};

use super::alone::{Alone, Like, anywhere, unsaid};
use super::sources::SourceMedia;
use super::{Refused, Scene};
use crate::call::exchange::offered_codecs;
use crate::call::model::call::Call;
use crate::call::model::dialogue::Role;
use crate::call::model::leg::LegIndex;
use crate::call::model::media::Media;
use crate::call::offer::Refusal;
use crate::call::ports::Family;
use crate::call::serve::Calls;
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
        if call.legs.get(leg).is_some_and(|leg| !leg.medias.is_empty()) {
            return self.show_party(call, leg, scene);
        }
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
            let at = SourceMedia { leg, media: index };
            let Some(media) = call.media_or_new(at, &offer) else {
                break;
            };
            let mut other = Media::like(0, &offer);
            alone.tell(Role::Offer, media, &mut other, &offer, near, scene.rng);
            media.extras_mut().offered.clone_from(&offer.codecs);
            offers.push(offer);
        }
        for index in 0..offers.len() {
            call.open_alone((leg, index), near, tag, Role::Offer, scene, host)
                .map_err(|error| Refusal::from(error).reply())?;
        }
        Ok(self.print_alone(call, leg, &offers, None, Role::Offer, scene))
    }

    /// The SDP of a party that has lines already: what it hears, as agreed, on the ports that it
    /// has. Nothing is settled anew.
    fn show_party(
        &self,
        call: &mut Call,
        leg: LegIndex,
        scene: &mut Scene<'_>,
    ) -> Result<Vec<u8>, Refused> {
        let request = scene.request;
        let support = &self.defaults.audio.support;
        let count = call.legs.get(leg).map_or(0, |leg| leg.medias.len());
        let mut shown = Vec::with_capacity(count);
        let mut like = None;
        for index in 0..count {
            let line = SourceMedia { leg, media: index };
            let mut media = call.as_shown(line).ok_or(errors::CREATE_SDP)?;
            append_codecs(&mut media, &request.codec.offer);
            if let Some(heard) = call.heard_by(line) {
                like = like.or_else(|| call.said_by(heard.leg));
            }
            let own = call.legs.get_mut(leg);
            let own = own.and_then(|leg| leg.medias.get_mut(index)?.extras.as_deref_mut());
            if let Some(own) = own.filter(|own| !own.offered.is_empty()) {
                own.offered = offered_codecs(&media.codecs, request, media.kind, support);
            }
            shown.push(media);
        }
        let like = like.map(|session| Like {
            session,
            has_attributes: true,
        });
        Ok(self.print_alone(call, leg, &shown, like.as_ref(), Role::Offer, scene))
    }

    pub(super) fn create_answer(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let request = scene.request;
        let body = request.sdp.as_ref().ok_or(errors::NO_SDP)?.shared();
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

/// A media of the relay's own making: what is asked for; else PCMU and PCMA, if it is audio.
pub(super) fn described(spec: &MediaSpec, offered: &[CodecSpec]) -> Option<windlass_sdp::Media> {
    let kind = MediaKind::from_name(spec.kind.as_deref().unwrap_or("audio"));
    let mut media = unsaid(kind, &Transport::RtpAvp)?;
    if spec.codecs.is_empty() {
        append_codecs(&mut media, offered);
    }
    for mapping in &spec.codecs {
        let (spec, number) = (&mapping.input.spec, mapping.input.payload_type);
        let codec = codec(spec, number, kind, &media.codecs);
        media.codecs.push(codec);
    }
    if media.codecs.is_empty() && kind == MediaKind::Audio {
        media.codecs.extend([0, 8].map(Codec::from_payload_type));
    }
    Some(media)
}

/// Adds the codecs of a list that a media does not have and that are of its kind.
fn append_codecs(media: &mut windlass_sdp::Media, specs: &[CodecSpec]) {
    for spec in specs {
        let is_known = media.codecs.iter().any(|codec| is_of(spec, codec));
        let suits = match Format::named(&spec.name) {
            Some(format) => format.kind == media.kind,
            None => true,
        };
        if suits && !is_known {
            let codec = codec(spec, None, media.kind, &media.codecs);
            media.codecs.push(codec);
        }
    }
}

fn is_of(spec: &CodecSpec, codec: &Codec) -> bool {
    let channels = u32::from(codec.channels_or_one());
    spec.matches(&codec.name.as_str_lossy(), codec.clock_rate, channels)
}

/// How a codec is described where nothing but its name is given.
struct Format {
    kind: MediaKind,
    /// In Hz.
    clock_rate: u32,
    channels: Option<u8>,
    /// `a=fmtp`, empty without.
    parameters: &'static str,
}

impl Format {
    /// The clock rates are those of the payload formats (RFC 3551 §4.5, RFC 7587, RFC 4867,
    /// RFC 3952, RFC 4733); the parameters are the reference's.
    fn named(name: &str) -> Option<Self> {
        use MediaKind::{Audio, Video};
        const FORMATS: [(&str, MediaKind, u32, Option<u8>, &str); 26] = [
            ("opus", Audio, 48_000, Some(2), "useinbandfec=1"),
            ("G729", Audio, 8000, None, "annexb=yes"),
            ("G729a", Audio, 8000, None, "annexb=no"),
            ("iLBC", Audio, 8000, None, "mode=30"),
            ("AMR", Audio, 8000, None, AMR_FORMAT),
            ("AMR-WB", Audio, 16_000, None, AMR_FORMAT),
            ("telephone-event", Audio, 8000, None, "0-15"),
            ("EVS", Audio, 16_000, None, ""),
            ("PCMU", Audio, 8000, None, ""),
            ("PCMA", Audio, 8000, None, ""),
            ("G722", Audio, 8000, None, ""),
            ("G723", Audio, 8000, None, ""),
            ("GSM", Audio, 8000, None, ""),
            ("speex", Audio, 8000, None, ""),
            ("L16", Audio, 44_100, None, ""),
            ("G726-16", Audio, 8000, None, ""),
            ("G726-24", Audio, 8000, None, ""),
            ("G726-32", Audio, 8000, None, ""),
            ("G726-40", Audio, 8000, None, ""),
            ("CN", Audio, 8000, None, ""),
            ("VP8", Video, 90_000, None, ""),
            ("VP9", Video, 90_000, None, ""),
            ("H263", Video, 90_000, None, ""),
            ("H264", Video, 90_000, None, ""),
            ("H265", Video, 90_000, None, ""),
            ("AV1", Video, 90_000, None, ""),
        ];
        let mut formats = FORMATS.into_iter();
        let (_, kind, clock_rate, channels, parameters) =
            formats.find(|(known, ..)| known.eq_ignore_ascii_case(name))?;
        Some(Self {
            kind,
            clock_rate,
            channels,
            parameters,
        })
    }
}

const AMR_FORMAT: &str = "octet-align=1;mode-change-capability=2";

/// A codec by its name: with the payload type that RFC 3551 gives it, or a free dynamic one, and
/// with the parameters of its kind unless it has some.
fn codec(spec: &CodecSpec, number: Option<u8>, kind: MediaKind, taken: &[Codec]) -> Codec {
    let format = Format::named(&spec.name);
    let mut assigned = (0..35).map(Codec::from_payload_type);
    let assigned = assigned.find(|codec| codec.is_known() && is_of(spec, codec));
    let mut codec = match (assigned, number) {
        (Some(codec), None) => codec,
        _ => {
            let is_free = |wanted: &u8| !taken.iter().any(|codec| codec.payload_type == *wanted);
            let number = number.or_else(|| (DYNAMIC..128).find(is_free));
            let default = match kind {
                MediaKind::Video => 90_000,
                _ => 8000,
            };
            let clock_rate = format.as_ref().map_or(default, |format| format.clock_rate);
            let channels = spec
                .channels
                .and_then(|channels| u8::try_from(channels).ok());
            let channels = channels.or_else(|| format.as_ref()?.channels);
            Codec::new(
                number.unwrap_or(DYNAMIC),
                spec.name.as_str().into(),
                spec.clock_rate.unwrap_or(clock_rate),
                channels.filter(|channels| *channels > 1),
            )
        }
    };
    let parameters = match spec.format.as_str() {
        "" => format.map_or("", |format| format.parameters),
        given => given,
    };
    if !parameters.is_empty() {
        codec.fmtp = vec![parameters.into()];
    }
    codec
}
