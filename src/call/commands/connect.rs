//! `connect`, `mesh` and `inject` (spec: ng-protocol §5): who hears whom, by command.

use windlass_ng::{CallId, Command, Dict, Reply, Tag, errors};

use super::subscribe::SourceMedia;
use super::{Refused, Scene};
use crate::call::leg::LegIndex;
use crate::call::serve::Calls;
use crate::call::state::Call;

impl Calls {
    pub(super) fn connect(&self, scene: Scene<'_>) -> Reply {
        let request = scene.request;
        let id = match request.require_call_id() {
            Ok(id) => id.clone(),
            Err(reason) => return Reply::error(reason),
        };
        if let Some(other) = request
            .rare
            .to_call_id
            .as_ref()
            .filter(|other| **other != id)
            && let Err(reason) = self.merge_calls(
                &id,
                other,
                errors::UNKNOWN_CALL_IDS,
                errors::MERGE_COLLISION,
                scene.now,
            )
        {
            return Reply::error(reason);
        }
        self.on_call_named(&id, scene, errors::UNKNOWN_CALL_IDS, |_, call, scene| {
            let request = scene.request;
            let to = request.to_tag.as_ref().ok_or(errors::NO_TO_TAG)?;
            let mut sources: Vec<LegIndex> = Vec::new();
            for source in call.source_medias(request)? {
                if !sources.contains(&source.leg) {
                    sources.push(source.leg);
                }
            }
            let sink = call.leg_by_tag(to).ok_or(errors::TO_TAG_NOT_FOUND)?;
            call.detach(sink);
            for source in sources.into_iter().filter(|source| *source != sink) {
                call.hear(sink, source);
                if !request.flags.directional() {
                    call.detach(source);
                    call.hear(source, sink);
                }
                call.associate(sink, source);
            }
            Ok(Reply::ok(Dict::new()))
        })
    }

    pub(super) fn mesh(&self, scene: Scene<'_>) -> Reply {
        let request = scene.request;
        let mut calls: Vec<&CallId> = request.call_id.iter().chain(&request.rare.calls).collect();
        calls.dedup();
        let Some((&first, others)) = calls.split_first() else {
            return Reply::error(errors::MESH_UNKNOWN_CALL_IDS);
        };
        for other in others.iter().filter(|other| **other != first) {
            let merged = self.merge_calls(
                first,
                other,
                errors::MESH_UNKNOWN_CALL_IDS,
                errors::MESH_COLLISION,
                scene.now,
            );
            if let Err(reason) = merged {
                return Reply::error(reason);
            }
        }
        let first = first.clone();
        self.on_call_named(
            &first,
            scene,
            errors::MESH_UNKNOWN_CALL_IDS,
            |_, call, scene| {
                call.mesh(scene)?;
                Ok(Reply::ok(Dict::new()))
            },
        )
    }

    pub(super) fn inject(&self, scene: Scene<'_>) -> Reply {
        let request = scene.request;
        let id = match request.require_call_id() {
            Ok(id) => id.clone(),
            Err(reason) => return Reply::error(reason),
        };
        let Some(to) = request.to_tag.clone() else {
            return Reply::error(errors::NO_TO_TAG);
        };
        let Some(source) = request.rare.source_tag.clone() else {
            return Reply::error(errors::NO_SOURCE_TAG);
        };
        let starts = request.command == Command::InjectStart;
        let from_call = request.rare.source_call_id.as_ref();
        if let Some(other) = from_call.filter(|other| **other != id && starts)
            && let Err(reason) = self.merge_calls(
                &id,
                other,
                errors::UNKNOWN_CALL_IDS,
                errors::MERGE_COLLISION,
                scene.now,
            )
        {
            return Reply::error(reason);
        }
        self.on_call_named(&id, scene, errors::UNKNOWN_CALL_IDS, |_, call, _| {
            let sink = call.leg_by_tag(&to).ok_or(errors::TO_TAG_NOT_FOUND)?;
            let source = call
                .leg_by_tag(&source)
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
        })
    }
}

impl Call {
    /// Lets a party hear another, media by media. Gives back whether there was any.
    fn hear(&mut self, sink: LegIndex, source: LegIndex) -> bool {
        let count = |leg: LegIndex| self.legs.get(leg).map_or(0, |leg| leg.medias.len());
        let medias = count(sink).min(count(source));
        for media in 0..medias {
            let (sink, source) = (
                SourceMedia { leg: sink, media },
                SourceMedia { leg: source, media },
            );
            self.subscribe_media(sink, source, true);
        }
        medias > 0
    }

    /// Lets a party hear nobody any more.
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
        if request.rare.tags.is_empty() {
            let here: Vec<LegIndex> = (0..self.legs.len())
                .filter(|&leg| {
                    self.legs
                        .get(leg)
                        .is_some_and(|leg| leg.is_here() && leg.tag.is_some())
                })
                .collect();
            for &from in &here {
                pairs.extend(here.iter().filter(|to| **to != from).map(|&to| (from, to)));
            }
        }
        for entry in &request.rare.tags {
            let from = find(self, &entry.from, errors::MESH_FROM_TAG)?;
            for to in &entry.to {
                pairs.push((from, find(self, to, errors::MESH_TO_TAG)?));
            }
        }
        if request.flags.unsubscribe() {
            let mut sinks: Vec<LegIndex> = pairs.iter().map(|(_, to)| *to).collect();
            if request.flags.bidirectional() {
                sinks.extend(pairs.iter().map(|(from, _)| *from));
            }
            sinks.into_iter().for_each(|sink| self.detach(sink));
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
