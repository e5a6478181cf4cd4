//! `publish` (spec: ng-protocol §5, sdp-rewriting §13).

use std::net::SocketAddr;
use std::sync::Arc;

use windlass_ng::{Dict, Reply, Tag, errors};
use windlass_sdp::{Codec, Direction};

use super::alone::{Alone, Word, anywhere, bare};
use super::sources::SourceMedia;
use super::{Refused, Scene};
use crate::call::exchange::{ExchangeError, endpoints, published_codecs, sip_source};
use crate::call::model::call::Call;
use crate::call::model::dialogue::Role;
use crate::call::model::media::{Media, Said};
use crate::call::offer::Refusal;
use crate::call::ports::Family;
use crate::call::serve::Calls;
use crate::limits::LINES_PER_CALL;

impl Calls {
    pub(super) fn publish(&self, scene: Scene<'_>, source: SocketAddr) -> Reply {
        if scene.request.sdp.is_none() {
            return Reply::error(errors::NO_SDP);
        }
        let unknown = errors::UNKNOWN_CALL_ID;
        self.on_call_made(scene, source, unknown, |calls, call, tag, scene| {
            let random = scene.rng.next_u64();
            let sdp = calls.take_publisher(call, tag, scene)?;
            let Some(sdp) = sdp else {
                return Ok(Dict::new());
            };
            calls.record_as_asked(call, scene.request, random);
            let answer = Dict::new().with("sdp", sdp);
            Ok(answer.with_some("recordings", call.recordings()))
        })
    }

    /// The answer to a publisher; `None` for a piece of an offer.
    fn take_publisher(
        &self,
        call: &mut Call,
        tag: &Tag,
        scene: &mut Scene<'_>,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let request = scene.request;
        let body = request.sdp.as_ref().ok_or(errors::NO_SDP)?.shared();
        let sdp = self
            .read_sdp(call, body, request)
            .map_err(|refusal| refusal.reply())?;
        if request.flags.fragment() {
            call.take_fragment(tag, body, scene.now.instant);
            return Ok(None);
        }
        let source = sip_source(&sdp, request, &self.defaults);
        let endpoints = endpoints(&sdp, source).map_err(|error| Refusal::from(error).reply())?;
        if sdp.media.len() > LINES_PER_CALL {
            return Err(Refusal::from(ExchangeError::TooManyLines).reply());
        }
        let chosen = sdp.media.iter().map(|media| match media.is_rejected() {
            true => Some(media.codecs.clone()),
            false => published_codecs(&media.codecs, request, media.kind),
        });
        let chosen: Option<Vec<Vec<Codec>>> = chosen.collect();
        let Some(chosen) = chosen else {
            tracing::warn!(call_id = %call.id, "a media of the publisher has no acceptable codec");
            return Err(errors::PUBLISH);
        };
        let route = |peer| self.forwarding.route_to(peer);
        let host = self.host(&route);
        let leg = call.leg_or_new(tag, scene)?;
        call.apply_to(leg, scene, host);
        let alone = Alone { request, host };
        let mut answers = Vec::new();
        let mut opened = Vec::new();
        let lines = sdp.media.iter().zip(endpoints).zip(chosen);
        for (index, ((description, endpoint), codecs)) in lines.enumerate() {
            let at = SourceMedia { leg, media: index };
            let Some(media) = call.media_or_new(at, description) else {
                break;
            };
            let said = Said {
                sdp: Arc::clone(body),
                index,
            };
            let mut other = Media::like(0, description);
            let word = Word {
                said,
                description,
                endpoint,
            };
            alone.take(Role::Offer, media, &mut other, word, scene.rng);
            let direction = match request.flags.bidirectional() {
                true => Direction::SendRecv,
                false if description.direction_or_default().sends() => Direction::RecvOnly,
                false => Direction::Inactive,
            };
            let mut answer = bare(description, direction);
            answer.codecs = codecs;
            answer.extmaps.clone_from(&description.extmaps);
            answers.push(answer);
            let (Some(endpoint), Some(answer)) =
                (endpoint.filter(|_| !media.rejected), answers.last())
            else {
                continue;
            };
            opened.push((index, endpoint));
            // The relay takes mux where it is offered: it has no other party to ask.
            media.mux.policy = crate::call::model::media::MuxPolicy::Accept;
            media.mux.single = media.mux.theirs;
            let near = anywhere(Family::of(endpoint.rtp.ip()));
            alone.tell(Role::Answer, media, &mut other, answer, near, scene.rng);
            media.formats.keep(&answer.codecs);
        }
        if let Some(party) = call.legs.get_mut(leg) {
            party.said = Some(Arc::clone(body));
        }
        for (index, endpoint) in opened {
            call.open_alone((leg, index), endpoint, tag, Role::Answer, scene, host)
                .map_err(|error| Refusal::from(error).reply())?;
        }
        let sdp = self.print_alone(call, leg, &answers, None, Role::Answer, scene);
        Ok(Some(sdp))
    }
}
