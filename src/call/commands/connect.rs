//! `connect`, `mesh` and `inject` (spec: ng-protocol §5.1): subscriptions by command.

use windlass_ng::{CallId, Command, Dict, Reply, Request, Tag, errors};

use super::merge::Words;
use super::sources::SourceMedia;
use super::{Refused, Scene};
use crate::call::model::call::Call;
use crate::call::model::leg::{Leg, LegIndex};
use crate::call::serve::Calls;

impl Calls {
    pub(super) fn connect(&self, scene: Scene<'_>) -> Reply {
        let request = scene.request;
        let id = match request.require_call_id() {
            Ok(id) => id,
            Err(reason) => return Reply::error(reason),
        };
        let other = request.rare.to_call_id.as_ref();
        let other = other.filter(|other| *other != id);
        let words = Words {
            unknown: errors::UNKNOWN_CALL_IDS,
            collision: errors::MERGE_COLLISION,
        };
        let connected = self.on_merged(
            id,
            other.as_slice(),
            scene,
            words,
            // Sources are those of this call as it is before it takes another one in.
            Call::connected,
            |call, sources, scene| {
                let flags = &scene.request.flags;
                let to = scene.request.to_tag.as_ref().ok_or(errors::NO_TO_TAG)?;
                let sink = call.leg_or_new(to, scene)?;
                for source in sources.into_iter().filter(|source| *source != sink) {
                    if flags.directional() {
                        call.hear(sink, source);
                        if flags.bidirectional() {
                            call.hear(source, sink);
                        }
                    } else {
                        call.transfer(source, sink);
                    }
                    call.associate(sink, source);
                }
                Ok(Reply::ok(Dict::new()))
            },
        );
        connected.unwrap_or_else(Reply::error)
    }

    pub(super) fn mesh(&self, scene: Scene<'_>) -> Reply {
        let request = scene.request;
        let mut calls: Vec<&CallId> = request.call_id.iter().chain(&request.rare.calls).collect();
        calls.dedup();
        let Some((&first, others)) = calls.split_first() else {
            return Reply::error(errors::MESH_UNKNOWN_CALL_IDS);
        };
        let words = Words {
            unknown: errors::MESH_UNKNOWN_CALL_IDS,
            collision: errors::MESH_COLLISION,
        };
        let meshed = self.on_merged(
            first,
            others,
            scene,
            words,
            |_, _| Ok(()),
            |call, (), scene| {
                call.mesh(scene)?;
                Ok(Reply::ok(Dict::new()))
            },
        );
        meshed.unwrap_or_else(Reply::error)
    }

    pub(super) fn inject(&self, scene: Scene<'_>) -> Reply {
        let request = scene.request;
        let id = match request.require_call_id() {
            Ok(id) => id,
            Err(reason) => return Reply::error(reason),
        };
        let Some(to) = &request.to_tag else {
            return Reply::error(errors::NO_TO_TAG);
        };
        let Some(source) = &request.rare.source_tag else {
            return Reply::error(errors::NO_SOURCE_TAG);
        };
        let starts = request.command == Command::InjectStart;
        let other = request.rare.source_call_id.as_ref();
        let other = other.filter(|other| *other != id && starts);
        let words = Words {
            unknown: errors::UNKNOWN_CALL_IDS,
            collision: errors::MERGE_COLLISION,
        };
        let injected = self.on_merged(
            id,
            other.as_slice(),
            scene,
            words,
            |_, _| Ok(()),
            |call, (), _| {
                let sink = call.leg_by_tag(to).ok_or(errors::TO_TAG_NOT_FOUND)?;
                let source = call
                    .leg_by_tag(source)
                    .ok_or(errors::SOURCE_TAG_NOT_FOUND)?;
                if sink == source {
                    return Err(errors::INJECT_SELF);
                }
                if starts {
                    if !call.hear(sink, source) {
                        return Err(errors::INJECT_START);
                    }
                } else {
                    let before = call.subscription_count(sink);
                    call.drop_subscriptions(sink, source);
                    if call.subscription_count(sink) == before {
                        return Err(errors::INJECT_STOP);
                    }
                }
                Ok(Reply::ok(Dict::new()))
            },
        );
        injected.unwrap_or_else(Reply::error)
    }
}

impl Call {
    /// The parties that `connect` names as sources.
    fn connected(&mut self, request: &Request) -> Result<Vec<LegIndex>, Refused> {
        if request.to_tag.is_none() {
            return Err(errors::NO_TO_TAG);
        }
        let mut sources: Vec<LegIndex> = Vec::new();
        for source in self.source_medias(request)? {
            if !sources.contains(&source.leg) {
                sources.push(source.leg);
            }
        }
        Ok(sources)
    }

    /// The lines of two parties that belong together, by positions: those of one mid and type,
    /// else the first free one of the type from the same position on, going round (spec:
    /// ng-protocol §5, `connect`).
    fn joints(&self, source: LegIndex, sink: LegIndex) -> Vec<(usize, usize)> {
        let medias = |leg: LegIndex| self.legs.get(leg).map_or(&[][..], |leg| &leg.medias);
        let (sources, sinks) = (medias(source), medias(sink));
        let mut is_free: Vec<bool> = sinks.iter().map(|media| !media.rejected).collect();
        let mut joints = Vec::new();
        for (at, media) in sources.iter().enumerate() {
            if media.rejected {
                continue;
            }
            let is_alike = |position: &usize| {
                is_free.get(*position) == Some(&true)
                    && sinks.get(*position).is_some_and(|other| {
                        other.kind == media.kind && other.kind_text == media.kind_text
                    })
            };
            let is_named = |position: &usize| {
                let mid = sinks.get(*position).map(|other| &other.mid);
                media.mid.is_some() && mid == Some(&media.mid)
            };
            let count = sinks.len();
            let round = (0..count).map(|step| (at + step) % count);
            let alike: Vec<usize> = round.filter(is_alike).collect();
            let named = alike.iter().copied().find(is_named);
            let Some(found) = named.or_else(|| alike.first().copied()) else {
                continue;
            };
            if let Some(free) = is_free.get_mut(found) {
                *free = false;
            }
            joints.push((at, found));
        }
        joints
    }

    /// Subscribes a party to another one in addition to its subscriptions. Returns whether they
    /// have lines that belong together.
    fn hear(&mut self, sink: LegIndex, source: LegIndex) -> bool {
        let joints = self.joints(source, sink);
        for &(from, to) in &joints {
            if self.is_heard(sink, to, source, from) {
                continue;
            }
            let (sink, source) = (
                SourceMedia {
                    leg: sink,
                    media: to,
                },
                SourceMedia {
                    leg: source,
                    media: from,
                },
            );
            self.agree_codecs(sink, source);
            self.subscribe_media(sink, source, true);
        }
        !joints.is_empty()
    }

    /// Whether one media hears another by offer and answer.
    fn is_heard(&self, sink: LegIndex, to: usize, source: LegIndex, from: usize) -> bool {
        let line = |leg: LegIndex, media: usize| Some(self.legs.get(leg)?.medias.get(media)?.line);
        let hears = |leg: &Leg| leg.sources.contains(&source);
        self.legs.get(sink).is_some_and(hears) && line(sink, to) == line(source, from)
    }

    /// Joins two parties like offer and answer, line by line: what either line had to do with
    /// others by offer and answer ends.
    fn transfer(&mut self, source: LegIndex, sink: LegIndex) {
        // What they offered to others has lost its meaning.
        self.drop_proposals_of(source);
        self.drop_proposals_of(sink);
        for (from, to) in self.joints(source, sink) {
            let [one, other] =
                [(source, from), (sink, to)].map(|(leg, media)| SourceMedia { leg, media });
            self.agree_codecs(one, other);
            // Lines of one number are joined, so a new one parts them from all others.
            let line = self.next_line();
            for (leg, media) in [(source, from), (sink, to)] {
                let media = self
                    .legs
                    .get_mut(leg)
                    .and_then(|leg| leg.medias.get_mut(media));
                if let Some(media) = media {
                    media.line = line;
                }
            }
            for (leg, other) in [(source, sink), (sink, source)] {
                if let Some(leg) = self.legs.get_mut(leg)
                    && !leg.sources.contains(&other)
                {
                    leg.sources.push(other);
                }
            }
        }
        self.part_strangers();
    }

    /// Ends what offer and answer joined where no line is left in common.
    fn part_strangers(&mut self) {
        let lines: Vec<Vec<usize>> = self.legs.iter().map(Leg::lines).collect();
        for (index, leg) in self.legs.iter_mut().enumerate() {
            let own = lines.get(index);
            leg.sources.retain(|&source| {
                let theirs = lines.get(source);
                let (Some(own), Some(theirs)) = (own, theirs) else {
                    return false;
                };
                own.iter().any(|line| theirs.contains(line))
            });
        }
    }

    /// Removes all subscriptions of a party.
    fn detach(&mut self, sink: LegIndex) {
        self.clear_subscriptions(sink);
        if let Some(leg) = self.legs.get_mut(sink) {
            leg.sources.clear();
        }
    }

    fn drop_subscriptions(&mut self, sink: LegIndex, source: LegIndex) {
        let sources = self.legs.get(sink).map(|leg| leg.sources.clone());
        self.unsubscribe_from(sink, source);
        // What offer and answer joined stays joined.
        if let (Some(sources), Some(leg)) = (sources, self.legs.get_mut(sink)) {
            leg.sources = sources;
        }
    }

    fn subscription_count(&self, sink: LegIndex) -> usize {
        let medias = self
            .legs
            .get(sink)
            .map_or(&[][..], |leg| leg.medias.as_slice());
        let extras = medias.iter().filter_map(|media| media.extras.as_deref());
        extras.map(|extras| extras.subscriptions.len()).sum()
    }

    fn mesh(&mut self, scene: &Scene<'_>) -> Result<(), Refused> {
        let request = scene.request;
        let find = |call: &Self, tag: &Tag, reason: Refused| call.leg_by_tag(tag).ok_or(reason);
        let mut pairs: Vec<(LegIndex, LegIndex)> = Vec::new();
        let mut speakers: Vec<LegIndex> = Vec::new();
        for entry in &request.rare.tags {
            let from = find(self, &entry.from, errors::MESH_FROM_TAG)?;
            speakers.push(from);
            for to in &entry.to {
                pairs.push((from, find(self, to, errors::MESH_TO_TAG)?));
            }
        }
        if request.flags.unsubscribe() {
            for speaker in speakers {
                self.detach(speaker);
                if request.flags.bidirectional() {
                    (0..self.legs.len()).for_each(|sink| self.unsubscribe_from(sink, speaker));
                }
            }
        }
        for (from, to) in pairs.into_iter().filter(|(from, to)| from != to) {
            self.hear(to, from);
            if request.flags.bidirectional() {
                self.hear(from, to);
            }
            self.associate(from, to);
        }
        Ok(())
    }
}
