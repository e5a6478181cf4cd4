//! `subscribe request`, `subscribe answer` and `unsubscribe` (spec: ng-protocol §5,
//! sdp-rewriting §13).

use std::sync::Arc;

use windlass_ng::request::AllSelection;
use windlass_ng::{Dict, Label, Reply, Request, Tag, Value, errors};
use windlass_sdp::{AttributeClass, Direction, SessionDescription, Text};

use super::alone::{Alone, Word, anywhere, bare};
use super::select::Selected;
use super::{GENERATED_BYTES, Refused, Scene};
use crate::call::dialogue::Role;
use crate::call::exchange::{endpoints, sip_source};
use crate::call::identity::hex;
use crate::call::leg::{Leg, LegIndex};
use crate::call::media::{Endpoint, Media, Said, Subscription, read_again};
use crate::call::offer::Refusal;
use crate::call::ports::Family;
use crate::call::serve::Calls;
use crate::call::state::Call;
use crate::limits::{LINES_PER_CALL, SOURCES_PER_MEDIA};

/// A media to subscribe to, by positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceMedia {
    pub(super) leg: LegIndex,
    pub(super) media: usize,
}

impl Calls {
    pub(super) fn subscribe_request(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let request = scene.request;
        let sources = call.source_medias(request)?;
        let tag = match &request.to_tag {
            Some(tag) => tag.clone(),
            None => Tag::from(&hex(scene.rng, GENERATED_BYTES)),
        };
        let route = |peer| self.forwarding.route_to(peer);
        let host = self.host(&route);
        let own = call.leg_by_tag(&tag);
        if sources.len() > LINES_PER_CALL || sources.iter().any(|source| Some(source.leg) == own) {
            return Err(errors::SUBSCRIPTION_REQUEST);
        }
        let leg = call.leg_or_new(&tag, scene)?;
        call.apply_to(leg, scene, host);
        let alone = Alone { request, host };
        let mut offered = Vec::new();
        let mut nears = Vec::new();
        for (index, &source) in sources.iter().enumerate() {
            let described = call.described(source).ok_or(errors::SUBSCRIPTION_REQUEST)?;
            let direction = match (request.flags.inactive(), request.flags.bidirectional()) {
                (true, _) => Direction::Inactive,
                (false, true) => Direction::SendRecv,
                (false, false) => Direction::SendOnly,
            };
            let offer = as_sent(&described, direction);
            let line = call.next_line();
            let near = call
                .legs
                .get(source.leg)
                .and_then(|leg| leg.medias.get(source.media)?.endpoint);
            let Some(party) = call.legs.get_mut(leg) else {
                break;
            };
            if party.medias.len() <= index {
                let transport = described.transport.clone();
                let media =
                    Media::new(line, described.kind, described.kind_text.clone(), transport);
                party.medias.push(media);
            }
            let Some(media) = party.medias.get_mut(index) else {
                break;
            };
            media.rejected = false;
            media.extras_mut().subscriptions = vec![Subscription {
                leg: source.leg,
                media: source.media,
                egress: request.flags.egress(),
            }];
            let mut other = Media::new(
                0,
                described.kind,
                described.kind_text.clone(),
                described.transport.clone(),
            );
            let near = near.unwrap_or_else(|| anywhere(Family::Ip4));
            alone.tell(Role::Offer, media, &mut other, &offer, near, scene.rng);
            nears.push(near);
            let label = request
                .flags
                .siprec()
                .then(|| siprec_label(source, &call.legs).to_string().into());
            offered.push(windlass_sdp::Media {
                label: label.or_else(|| offer.label.clone()),
                ..offer
            });
        }
        // Medias of an earlier subscription that is wider than this one.
        if let Some(party) = call.legs.get_mut(leg) {
            party
                .medias
                .iter_mut()
                .skip(sources.len())
                .for_each(Media::reject);
        }
        call.bundle_alone(leg, request);
        for (index, near) in nears.into_iter().enumerate() {
            call.open_alone((leg, index), near, &tag, Role::Offer, scene, host)
                .map_err(|error| Refusal::from(error).reply())?;
        }
        if request.flags.bidirectional() {
            for (index, &source) in sources.iter().enumerate() {
                call.subscribe_media(source, SourceMedia { leg, media: index }, true);
            }
        }
        // Several parties have no o= and s= in common.
        let first = sources.first();
        let is_of_one = |first: &&SourceMedia| sources.iter().all(|other| other.leg == first.leg);
        let like = first.filter(is_of_one);
        let like = like.and_then(|source| call.said_by(source.leg));
        let sdp = self.print_alone(call, leg, &offered, like.as_ref(), Role::Offer, scene);
        let mut reply = Dict::new().with("sdp", sdp);
        let tags: Vec<Option<&Tag>> = sources
            .iter()
            .map(|source| call.legs.get(source.leg).and_then(|leg| leg.tag.as_ref()))
            .collect();
        if let [Some(only)] = tags.as_slice() {
            reply.push("from-tag", *only);
        }
        reply.push("from-tags", tags.into_iter().flatten().collect::<Value>());
        reply.push("to-tag", &tag);
        if request.flags.siprec() {
            push_siprec(&mut reply, call, &sources);
        }
        Ok(Reply::ok(reply))
    }

    pub(super) fn subscribe_answer(
        &self,
        call: &mut Call,
        scene: &mut Scene<'_>,
    ) -> Result<Reply, Refused> {
        let request = scene.request;
        let body = request.sdp.as_deref().ok_or(errors::NO_SDP)?;
        let tag = request.to_tag.as_ref().ok_or(errors::NO_TO_TAG)?;
        let leg = call.leg_by_tag(tag).ok_or(errors::TO_TAG_NOT_FOUND)?;
        if request.flags.fragment() {
            call.take_fragment(tag, body, scene.now.instant);
            return Ok(Reply::ok(Dict::new()));
        }
        self.take_answer(call, leg, body, scene)?;
        Ok(Reply::ok(Dict::new()))
    }

    /// Takes the answer of a party that deals with the relay alone.
    pub(super) fn take_answer(
        &self,
        call: &mut Call,
        leg: LegIndex,
        body: &[u8],
        scene: &mut Scene<'_>,
    ) -> Result<(), Refused> {
        let request = scene.request;
        let sdp = self
            .read_sdp(call, body, request)
            .map_err(|refusal| refusal.reply())?;
        let source = sip_source(&sdp, request, &self.defaults);
        let endpoints = endpoints(&sdp, source).map_err(|error| Refusal::from(error).reply())?;
        let text: Arc<[u8]> = body.into();
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
                sdp: text.clone(),
                index,
            };
            let transport = description.transport.clone();
            let mut other = Media::new(
                0,
                description.kind,
                description.kind_text.clone(),
                transport,
            );
            let word = Word {
                said,
                description,
                endpoint,
            };
            alone.take(Role::Answer, media, &mut other, word, scene.rng);
        }
        party.said = Some(text);
        party.signalled_at = scene.now.instant;
        call.last_signal = scene.now;
        if !party.is_offered_a_bundle() {
            return Ok(());
        }
        let groups: Vec<&[Text]> = sdp.bundle_groups().collect();
        party.take_answered_bundles(&groups);
        let Some(tag) = party.tag.clone() else {
            return Ok(());
        };
        let medias = party.medias.iter().enumerate();
        let opened: Vec<(usize, Endpoint)> = medias
            .filter_map(|(index, media)| Some((index, media.endpoint?)))
            .collect();
        let host = self.host(&route);
        for (index, endpoint) in opened {
            call.open_alone((leg, index), endpoint, &tag, Role::Answer, scene, host)
                .map_err(|error| Refusal::from(error).reply())?;
        }
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

impl Call {
    /// The medias that a request wants to hear.
    pub(super) fn source_medias(&mut self, request: &Request) -> Result<Vec<SourceMedia>, Refused> {
        let mut legs: Vec<LegIndex> = if request.all == Some(AllSelection::All) {
            let by_offer = |leg: &Leg| leg.is_here() && !leg.peers.is_empty();
            let legs = self.legs.iter().enumerate();
            legs.filter(|(_, leg)| by_offer(leg))
                .map(|(index, _)| index)
                .collect()
        } else {
            match self.select(request)? {
                Selected::Leg(leg) => vec![leg],
                Selected::Call => {
                    let find = |tag: &Tag| {
                        let leg = self.leg_by_tag(tag);
                        if leg.is_none() {
                            tracing::warn!(call_id = %self.id, %tag, "no party of this tag; skipped");
                        }
                        leg
                    };
                    request.from_tags.iter().filter_map(find).collect()
                }
            }
        };
        // Each once, in the order in which they are named.
        let mut named = vec![false; self.legs.len()];
        legs.retain(|&leg| {
            let known = named.get_mut(leg);
            known.is_some_and(|known| !std::mem::replace(known, true))
        });
        let medias: Vec<SourceMedia> = legs
            .into_iter()
            .flat_map(|leg| {
                let medias = self
                    .legs
                    .get(leg)
                    .map_or(&[][..], |leg| leg.medias.as_slice());
                let usable = medias
                    .iter()
                    .enumerate()
                    .filter(|(_, media)| !media.rejected && media.said.is_some());
                usable.map(move |(media, _)| SourceMedia { leg, media })
            })
            .collect();
        match medias.is_empty() {
            true => Err(errors::NO_MEDIAS),
            false => Ok(medias),
        }
    }

    /// Description of a source's media, with the agreed codecs.
    pub(super) fn described(&self, source: SourceMedia) -> Option<windlass_sdp::Media> {
        let leg = self.legs.get(source.leg)?;
        let media = leg.medias.get(source.media)?;
        let mut described = media.said.as_ref()?.read()?;
        let others = leg.sources.iter().filter_map(|&other| {
            let medias = &self.legs.get(other)?.medias;
            medias.iter().find(|other| other.line == media.line)
        });
        let mut agreed = crate::flow::PayloadTypes::default();
        others.for_each(|other| agreed = agreed.union(other.formats.types));
        if agreed == crate::flow::PayloadTypes::default() {
            // A publisher agreed with us alone.
            agreed = media.formats.types;
        }
        if described
            .codecs
            .iter()
            .any(|codec| agreed.contains(codec.payload_type))
        {
            described
                .codecs
                .retain(|codec| agreed.contains(codec.payload_type));
        }
        Some(described)
    }

    pub(super) fn said_by(&self, leg: LegIndex) -> Option<SessionDescription> {
        read_again(self.legs.get(leg)?.said.as_ref()?)
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

/// The offer to a subscriber for a source: the source's content, with a direction of its own and
/// without attributes that concern only source and relay.
fn as_sent(described: &windlass_sdp::Media, direction: Direction) -> windlass_sdp::Media {
    let mut attributes = described.attributes.clone();
    attributes.retain(|attribute| attribute.class != AttributeClass::Direction);
    windlass_sdp::Media {
        attributes,
        bandwidth: described.bandwidth.clone(),
        info: described.info.clone(),
        label: described.label.clone(),
        extmaps: described.extmaps.clone(),
        extmap_allow_mixed: described.extmap_allow_mixed,
        ..bare(described, direction)
    }
}

/// The number by which SIPREC metadata names a media: unique in the call.
fn siprec_label(source: SourceMedia, legs: &[Leg]) -> usize {
    let before = legs.iter().take(source.leg).map(|leg| leg.medias.len());
    before.sum::<usize>() + source.media
}

/// `tag-medias` and `media-labels`.
fn push_siprec(reply: &mut Dict, call: &Call, sources: &[SourceMedia]) {
    let mut tags: Vec<(LegIndex, Vec<Value>)> = Vec::new();
    let mut labels = Dict::new();
    for source in sources {
        let Some(leg) = call.legs.get(source.leg) else {
            continue;
        };
        let Some(media) = leg.medias.get(source.media) else {
            continue;
        };
        let label = siprec_label(*source, &call.legs).to_string();
        let mode = Direction::from_flags(media.recv, media.send).name();
        let tag = leg.tag.as_ref().map_or(&b""[..], |tag| tag.as_bytes());
        let described = Dict::new()
            .with("index", source.media as u64 + 1)
            .with("type", media.kind_text.as_bytes())
            .with("label", label.clone())
            .with("mode", mode);
        let by_label = Dict::new()
            .with("tag", tag)
            .with("index", source.media as u64 + 1)
            .with("type", media.kind_text.as_bytes())
            .with_some("label", leg.label.as_ref())
            .with("mode", mode);
        labels.push(label, by_label);
        match tags.iter_mut().find(|(known, _)| *known == source.leg) {
            Some((_, medias)) => medias.push(described.into()),
            None => tags.push((source.leg, vec![described.into()])),
        }
    }
    let tag_medias = tags.into_iter().filter_map(|(index, medias)| {
        let leg = call.legs.get(index)?;
        let dict = Dict::new()
            .with(
                "tag",
                leg.tag.as_ref().map_or(&b""[..], |tag| tag.as_bytes()),
            )
            .with_some("label", leg.label.as_ref().map(|label: &Label| label))
            .with("medias", Value::List(medias));
        Some(Value::from(dict))
    });
    reply.push("tag-medias", Value::List(tag_medias.collect()));
    reply.push("media-labels", labels);
}
