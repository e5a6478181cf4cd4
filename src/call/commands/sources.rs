//! What a party can hear: the medias of others, and how they are described to it (spec:
//! ng-protocol §5.2).

use windlass_audio::format::Format;
use windlass_ng::request::AllSelection;
use windlass_ng::{Request, Tag, errors};
use windlass_sdp::{AttributeClass, Codec, Direction, Extmap, SessionDescription};

use super::Refused;
use super::alone::{bare, unsaid};
use super::select::Selected;
use crate::call::exchange::{codecs_of, common_codecs, formats};
use crate::call::model::call::Call;
use crate::call::model::leg::{Leg, LegIndex};
use crate::call::model::media::{Media, read_again};
use crate::flow::PayloadTypes;

/// A media, by positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceMedia {
    pub(super) leg: LegIndex,
    pub(super) media: usize,
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

    /// A media, if there is one.
    pub(super) fn media(&self, at: SourceMedia) -> Option<&Media> {
        self.legs.get(at.leg)?.medias.get(at.media)
    }

    /// What a media sends: its description, with the codecs that were agreed.
    pub(super) fn described(&self, source: SourceMedia) -> Option<windlass_sdp::Media> {
        let media = self.media(source)?;
        let mut described = media.said.as_ref()?.read()?;
        described.codecs = self.agreed_codecs(source.leg, media, &described.codecs);
        // Its list of header extensions is agreed as well; those of our own making are the party's.
        described.extmaps.clear();
        if let Some(extras) = media.extras.as_deref() {
            let extensions = &extras.extensions;
            let is_theirs = |extmap: &&Extmap| !extensions.ours.contains(extmap);
            let list = extensions.list.iter().filter(is_theirs);
            described.extmaps.extend(list.cloned());
        }
        Some(described)
    }

    /// The codecs of a line that were agreed, as its answer describes them; `own` are those of the
    /// party itself.
    fn agreed_codecs(&self, leg: LegIndex, media: &Media, own: &[Codec]) -> Vec<Codec> {
        if let Some(codecs) = media.codecs().filter(|codecs| !codecs.agreed.is_empty()) {
            return codecs_of(&codecs.agreed, &[own]);
        }
        let sources = self.legs.get(leg).map_or(&[][..], |leg| &leg.sources);
        let peers = sources.iter().filter_map(|&peer| {
            let medias = &self.legs.get(peer)?.medias;
            medias.iter().find(|other| other.line == media.line)
        });
        let peers: Vec<&Media> = peers.collect();
        let mut answers = peers
            .iter()
            .filter(|peer| peer.has_answered && !peer.rejected);
        if !media.has_answered
            && let Some(answer) = answers.find_map(|peer| peer.said.as_ref()?.read())
        {
            return common_codecs(&answer.codecs, own);
        }
        let types = peers.iter().map(|peer| peer.formats.types);
        let mut agreed = types.fold(PayloadTypes::default(), PayloadTypes::union);
        if agreed == PayloadTypes::default() {
            // A publisher agreed with us alone.
            agreed = media.formats.types;
        }
        let is_agreed = |codec: &&Codec| agreed.contains(codec.payload_type);
        match own.iter().any(|codec| is_agreed(&codec)) {
            true => own.iter().filter(is_agreed).cloned().collect(),
            false => own.to_vec(),
        }
    }

    /// Two lines that are joined by a command keep their codecs. Where these are not the same, what
    /// each party sends and takes is noted, so that it is converted.
    pub(super) fn agree_codecs(&mut self, one: SourceMedia, other: SourceMedia) {
        let codecs = |at| self.described(at).map(|media| formats(&media.codecs));
        let (Some(ours), Some(theirs)) = (codecs(one), codecs(other)) else {
            return;
        };
        let is_known = [one, other].iter().any(|at| {
            let media = self.media(*at);
            media.is_some_and(|media| media.codecs().is_some())
        });
        let is_among =
            |format: &Format, list: &[Format]| list.iter().any(|known| known.is_entry_like(format));
        let are_same = ours.iter().all(|format| is_among(format, &theirs))
            && theirs.iter().all(|format| is_among(format, &ours));
        if are_same && !is_known {
            return;
        }
        for (at, list) in [(one, ours), (other, theirs)] {
            let leg = self.legs.get_mut(at.leg);
            let media = leg.and_then(|leg| leg.medias.get_mut(at.media));
            if let Some(media) = media.filter(|media| media.transport.is_rtp()) {
                media.codecs_mut().agreed = list;
            }
        }
    }

    /// What a party said last of the direction of a media, seen from itself.
    pub(super) fn direction_said(&self, at: SourceMedia) -> Direction {
        let said = self.media(at).and_then(|media| media.said.as_ref()?.read());
        said.map_or(Direction::SendRecv, |said| said.direction_or_default())
    }

    /// The media that another one hears first: of offer and answer, else of its subscriptions.
    pub(super) fn heard_by(&self, sink: SourceMedia) -> Option<SourceMedia> {
        let media = self.media(sink)?;
        let paired = self.legs.get(sink.leg)?.sources.iter().find_map(|&leg| {
            let medias = &self.legs.get(leg)?.medias;
            let media = medias.iter().position(|other| other.line == media.line)?;
            Some(SourceMedia { leg, media })
        });
        let subscription = || {
            let first = media.extras.as_deref()?.subscriptions.first()?;
            Some(SourceMedia {
                leg: first.leg,
                media: first.media,
            })
        };
        paired.or_else(subscription)
    }

    /// What a party is shown of one of its lines as things stand: what it hears, in the codecs
    /// that were agreed; else what it says itself, or was offered.
    pub(super) fn as_shown(&self, line: SourceMedia) -> Option<windlass_sdp::Media> {
        let heard = self.heard_by(line).and_then(|heard| self.described(heard));
        let shown = heard.or_else(|| self.described(line));
        match shown {
            Some(described) => Some(as_sent(&described, Direction::SendRecv)),
            None => {
                let media = self.media(line)?;
                let mut unsaid = unsaid(media.kind, &media.transport)?;
                if let Some(extras) = media.extras.as_deref() {
                    unsaid.codecs.clone_from(&extras.offered);
                }
                Some(unsaid)
            }
        }
    }

    pub(super) fn said_by(&self, leg: LegIndex) -> Option<SessionDescription> {
        read_again(self.legs.get(leg)?.said.as_ref()?)
    }
}

/// What a subscriber is offered of a source: what the source says of its content, with a direction
/// of its own and without what only the source and the relay have to do with.
pub(super) fn as_sent(
    described: &windlass_sdp::Media,
    direction: Direction,
) -> windlass_sdp::Media {
    let mut attributes = described.attributes.clone();
    attributes.retain(|attribute| attribute.class != AttributeClass::Direction);
    windlass_sdp::Media {
        attributes,
        bandwidth: described.bandwidth.clone(),
        info: described.info.clone(),
        label: described.label.clone(),
        mid: None,
        extmaps: described.extmaps.clone(),
        extmap_allow_mixed: described.extmap_allow_mixed,
        ..bare(described, direction)
    }
}
