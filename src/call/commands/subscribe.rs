//! `subscribe request`, `subscribe answer` and `unsubscribe` (spec: ng-protocol §5,
//! sdp-rewriting §13).

use std::sync::Arc;

use windlass_ng::{Dict, Reply, Request, Tag, Value, errors};
use windlass_sdp::Direction;

use super::alone::{Alone, Like, Word, anywhere};
use super::sources::{SourceMedia, as_sent};
use super::{GENERATED_BYTES, Refused, Scene, siprec};
use crate::call::exchange::{endpoints, sip_source};
use crate::call::identity::hex;
use crate::call::model::call::Call;
use crate::call::model::dialogue::Role;
use crate::call::model::leg::{Leg, LegIndex};
use crate::call::model::media::{Media, Said, Subscription};
use crate::call::offer::Refusal;
use crate::call::ports::Family;
use crate::call::serve::Calls;
use crate::limits::{LINES_PER_CALL, SOURCES_PER_MEDIA};

impl Calls {
    pub(super) fn subscribe_request(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let request = scene.request;
        let mut sources = call.source_medias(request)?;
        let tag = match &request.to_tag {
            Some(tag) => tag.clone(),
            None => Tag::from(&hex(scene.rng, GENERATED_BYTES)),
        };
        let route = |peer| self.forwarding.route_to(peer);
        let host = self.host(&route);
        let own = call.leg_by_tag(&tag);
        // Nobody hears itself.
        sources.retain(|source| Some(source.leg) != own);
        if sources.is_empty() {
            return Err(errors::SUBSCRIPTION_REQUEST);
        }
        let lines = call.subscriber_lines(own, &sources, request.flags.mix());
        if lines.len() > LINES_PER_CALL {
            return Err(errors::SUBSCRIPTION_REQUEST);
        }
        let leg = call.leg_or_new(&tag, scene)?;
        call.apply_to(leg, scene, host);
        let alone = Alone { request, host };
        let mut offered = Vec::with_capacity(lines.len());
        let mut opened = Vec::new();
        for (index, sources) in lines.iter().enumerate() {
            let line = SourceMedia { leg, media: index };
            let Some(&source) = sources.first() else {
                offered.push(call.leave_line(line).ok_or(errors::SUBSCRIPTION_REQUEST)?);
                continue;
            };
            let described = call.described(source).ok_or(errors::SUBSCRIPTION_REQUEST)?;
            let mut offer = as_sent(&described, call.direction_of(sources, request));
            if request.flags.siprec() {
                offer.label = siprec::label(call, source);
            }
            let near = call.media(source).and_then(|media| media.endpoint);
            let near = near.unwrap_or_else(|| anywhere(Family::Ip4));
            let media = call
                .media_or_new(line, &offer)
                .ok_or(errors::SUBSCRIPTION_REQUEST)?;
            media.rejected = false;
            let subscriptions = sources.iter().map(|source| Subscription {
                leg: source.leg,
                media: source.media,
                egress: request.flags.egress(),
                mirrors_rtcp: request.flags.rtcp_mirror(),
            });
            media.extras_mut().subscriptions = subscriptions.collect();
            let mut other = Media::like(0, &offer);
            alone.tell(Role::Offer, media, &mut other, &offer, near, scene.rng);
            opened.push((index, near));
            offered.push(offer);
        }
        for (index, near) in opened {
            call.open_alone((leg, index), near, &tag, Role::Offer, scene, host)
                .map_err(|error| Refusal::from(error).reply())?;
        }
        if request.flags.bidirectional() {
            for (index, sources) in lines.iter().enumerate() {
                for &source in sources {
                    call.subscribe_media(source, SourceMedia { leg, media: index }, true);
                }
            }
        }
        let heard: Vec<SourceMedia> = lines.concat();
        let like = heard.first().and_then(|first| {
            Some(Like {
                session: call.said_by(first.leg)?,
                has_attributes: heard.iter().all(|other| other.leg == first.leg),
            })
        });
        let sdp = self.print_alone(call, leg, &offered, like.as_ref(), Role::Offer, scene);
        let mut reply = Dict::new().with("sdp", sdp);
        let tags: Vec<Option<&Tag>> = heard
            .iter()
            .map(|source| call.legs.get(source.leg).and_then(|leg| leg.tag.as_ref()))
            .collect();
        if let [Some(only)] = tags.as_slice() {
            reply.push("from-tag", *only);
        }
        reply.push("from-tags", tags.into_iter().flatten().collect::<Value>());
        reply.push("to-tag", &tag);
        if request.flags.siprec() {
            siprec::describe(&mut reply, call, &heard);
        }
        Ok(Reply::ok(reply))
    }

    pub(super) fn subscribe_answer(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let request = scene.request;
        let body = request.sdp.as_ref().ok_or(errors::NO_SDP)?.shared();
        let tag = request.to_tag.as_ref().ok_or(errors::NO_TO_TAG)?;
        let leg = call.leg_by_tag(tag).ok_or(errors::TO_TAG_NOT_FOUND)?;
        if request.flags.fragment() {
            call.take_fragment(tag, body, scene.now.instant);
            return Ok(Reply::ok(Dict::new()));
        }
        self.take_answer(call, leg, body, scene)?;
        if call.legs.get(leg).is_some_and(Leg::has_refused_codecs) {
            return Err(errors::SUBSCRIPTION_ANSWER);
        }
        Ok(Reply::ok(Dict::new()))
    }

    /// Takes the answer of a party that deals with the relay alone.
    pub(super) fn take_answer(
        &self,
        call: &mut Call,
        leg: LegIndex,
        body: &Arc<[u8]>,
        scene: &mut Scene<'_>,
    ) -> Result<(), Refused> {
        let request = scene.request;
        let mut sdp = self
            .read_sdp(call, body, request)
            .map_err(|refusal| refusal.reply())?;
        // Lines that were not offered are nothing to us.
        let offered = call.legs.get(leg).map_or(0, |leg| leg.medias.len());
        sdp.media.truncate(offered);
        let source = sip_source(&sdp, request, &self.defaults);
        let endpoints = endpoints(&sdp, source).map_err(|error| Refusal::from(error).reply())?;
        let route = |peer| self.forwarding.route_to(peer);
        let alone = Alone {
            request,
            host: self.host(&route),
        };
        let Some(party) = call.legs.get_mut(leg) else {
            return Err(errors::TO_TAG_NOT_FOUND);
        };
        let pairs = sdp.media.iter().zip(endpoints);
        for (index, (media, (description, endpoint))) in
            party.medias.iter_mut().zip(pairs).enumerate()
        {
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
            alone.take(Role::Answer, media, &mut other, word, scene.rng);
        }
        party.said = Some(Arc::clone(body));
        party.signalled_at = scene.now.instant;
        call.last_signal = scene.now;
        Ok(())
    }

    pub(super) fn unsubscribe(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let request = scene.request;
        let tag = request.to_tag.as_ref().ok_or(errors::NO_TO_TAG)?;
        let leg = call.leg_by_tag(tag).ok_or(errors::TO_TAG_NOT_FOUND)?;
        let from = request
            .from_tag
            .as_ref()
            .filter(|_| request.flags.directional());
        let source = match from {
            Some(tag) => Some(call.leg_by_tag(tag).ok_or(errors::FROM_TAG_NOT_FOUND)?),
            None => None,
        };
        match source {
            Some(source) => {
                call.unsubscribe_from(leg, source);
                if request.flags.bidirectional() {
                    call.unsubscribe_from(source, leg);
                }
            }
            None => {
                call.take_out(leg);
            }
        }
        Ok(Reply::ok(Dict::new()))
    }
}

impl Leg {
    /// Whether a line was answered with none of the codecs that it was offered.
    fn has_refused_codecs(&self) -> bool {
        self.medias.iter().any(|media| {
            let codecs = media.codecs();
            let is_none = codecs.is_some_and(|codecs| {
                let offered = codecs.offered.as_ref();
                offered.is_some_and(|offer| !offer.shown.is_empty()) && codecs.agreed.is_empty()
            });
            is_none && media.has_answered && !media.rejected && media.transport.is_rtp()
        })
    }
}

impl Call {
    /// The lines of a subscriber, each with the sources that it hears. A source that is heard
    /// already keeps its line; others get new ones, or with `mixes` share the first of their type.
    /// A line that nothing is left for has no source, and serves the next one of its type.
    fn subscriber_lines(
        &self,
        leg: Option<LegIndex>,
        sources: &[SourceMedia],
        mixes: bool,
    ) -> Vec<Vec<SourceMedia>> {
        let own = leg.and_then(|leg| self.legs.get(leg));
        let own = own.map_or(&[][..], |leg| leg.medias.as_slice());
        let is_subscriber = |media: &Media| !self.is_paired(leg, media);
        let mut lines: Vec<Vec<SourceMedia>> = vec![Vec::new(); own.len()];
        let mut new = Vec::new();
        for &source in sources {
            let hears = |media: &Media| {
                media.extra(|extras| {
                    let mut all = extras.subscriptions.iter();
                    all.any(|heard| heard.leg == source.leg && heard.media == source.media)
                })
            };
            let known = own.iter().zip(&mut lines);
            let known = known
                .into_iter()
                .find(|(media, _)| is_subscriber(media) && hears(media));
            match known {
                Some((_, line)) => line.push(source),
                None => new.push(source),
            }
        }
        let kind = |source: &SourceMedia| self.media(*source).map(|media| media.kind);
        for source in new {
            let is_alike = |line: &&mut Vec<SourceMedia>| {
                mixes
                    && line
                        .first()
                        .is_some_and(|first| kind(first) == kind(&source))
            };
            if let Some(line) = lines.iter_mut().find(is_alike) {
                line.push(source);
                continue;
            }
            let free = own.iter().zip(&mut lines).find(|(media, line)| {
                line.is_empty()
                    && media.rejected
                    && is_subscriber(media)
                    && Some(media.kind) == kind(&source)
            });
            match free {
                Some((_, line)) => line.push(source),
                None => lines.push(vec![source]),
            }
        }
        lines
    }

    /// Whether a line of a party is one of offer and answer.
    fn is_paired(&self, leg: Option<LegIndex>, media: &Media) -> bool {
        let mut others = self.legs.iter().enumerate();
        others.any(|(index, other)| {
            Some(index) != leg && other.medias.iter().any(|m| m.line == media.line)
        })
    }

    /// Turns a line of a subscriber down that no source is left for, unless it is one of offer and
    /// answer. Gives back how it is shown.
    fn leave_line(&mut self, line: SourceMedia) -> Option<windlass_sdp::Media> {
        let shown = self.as_shown(line)?;
        if self.is_paired(Some(line.leg), self.media(line)?) {
            return Some(shown);
        }
        let medias = self.legs.iter_mut().flat_map(|leg| &mut leg.medias);
        for extras in medias.filter_map(|media| media.extras.as_deref_mut()) {
            let is_heard =
                |heard: &Subscription| heard.leg == line.leg && heard.media == line.media;
            extras.subscriptions.retain(|heard| !is_heard(heard));
        }
        let media = self.legs.get_mut(line.leg)?.medias.get_mut(line.media)?;
        media.reject();
        if let Some(extras) = media.extras.as_deref_mut() {
            extras.subscriptions.clear();
        }
        Some(shown)
    }

    /// The direction of an offer to a subscriber: what its sources do at present, as far as it is
    /// to hear them and to be heard.
    fn direction_of(&self, sources: &[SourceMedia], request: &Request) -> Direction {
        if request.flags.inactive() {
            return Direction::Inactive;
        }
        let said: Vec<Direction> = sources.iter().map(|&at| self.direction_said(at)).collect();
        let is_heard = request.flags.bidirectional() && said.iter().any(|said| said.receives());
        Direction::from_flags(said.iter().any(|said| said.sends()), is_heard)
    }

    /// Lets one media hear another, beside what it hears already.
    pub(super) fn subscribe_media(&mut self, sink: SourceMedia, source: SourceMedia, adds: bool) {
        let media = self
            .legs
            .get_mut(sink.leg)
            .and_then(|leg| leg.medias.get_mut(sink.media));
        let Some(media) = media else { return };
        let subscriptions = &mut media.extras_mut().subscriptions;
        if !adds {
            subscriptions.clear();
        }
        let wanted = Subscription {
            leg: source.leg,
            media: source.media,
            egress: false,
            mirrors_rtcp: false,
        };
        if !subscriptions.contains(&wanted) && subscriptions.len() < SOURCES_PER_MEDIA {
            subscriptions.push(wanted);
        }
    }

    pub(super) fn unsubscribe_from(&mut self, sink: LegIndex, source: LegIndex) {
        let Some(leg) = self.legs.get_mut(sink) else {
            return;
        };
        leg.sources.retain(|&other| other != source);
        for media in &mut leg.medias {
            if let Some(extras) = media.extras.as_deref_mut() {
                extras
                    .subscriptions
                    .retain(|subscription| subscription.leg != source);
            }
        }
    }

    pub(super) fn clear_subscriptions(&mut self, sink: LegIndex) {
        let medias = self
            .legs
            .get_mut(sink)
            .map_or(&mut [][..], |leg| leg.medias.as_mut_slice());
        for media in medias {
            if let Some(extras) = media.extras.as_deref_mut() {
                extras.subscriptions.clear();
            }
        }
    }
}
