//! Stages 2 to 4: what a source may send at all, before its messages are parsed.

use std::time::{Duration, Instant};

use super::address::Source;
use super::flood::{Class, Flow};
use super::identity::evidence_of;
use super::part::Part as Known;
use super::pipeline::Objection;
use super::standing::Level;
use super::time::Part;
use super::verdict::{Action, Alert, Do, Said, Stage, Step, Verdict};
use super::{Arrival, Early, Screen, Seen};
use crate::record::security::Event;

impl Screen {
    /// Stages 2 and 3: on the first bytes of a message, before anything is parsed. `bytes` tells a
    /// REGISTER or OPTIONS for `fake200`.
    pub(crate) fn judge_before_parsing(
        &self,
        arrival: &Arrival,
        bytes: &[u8],
        now: Instant,
    ) -> Early {
        let mut early = Early {
            action: Action::Pass,
            stage: None,
            alert: None,
            banned: None,
            level: Level::Untrusted,
        };
        let Some(zone) = self.config.zones.get(usize::from(arrival.zone)) else {
            return early;
        };
        let whole = Source::whole(arrival.source.ip());
        let port = Source::port(arrival.source);
        let tick = self.tick(now);
        let mut part = self.shared.part(whole).lock();
        let bans = zone.stages.of(Stage::Bans);
        if bans.enabled
            && let Some(ban) = part.bans.in_force(whole, port, tick)
        {
            ban.refused = ban.refused.saturating_add(1);
            let is_first = ban.refused == 1;
            early.level = Level::Denied;
            early.stage = Some(Stage::Bans);
            let may_fake =
                bans.action == Do::Fake200 && is_fakeable(bytes) && part.may_fake(whole, tick);
            early.action = match bans.action {
                Do::Count | Do::Allow => Action::Pass,
                Do::Fake200 if may_fake => Action::Fake200,
                Do::Close if arrival.is_stream => Action::Close,
                Do::Tarpit if arrival.is_stream => Action::Tarpit,
                _ => Action::Drop,
            };
            early.alert = (bans.log && is_first).then_some(Alert {
                event: Event::Banned,
                action: bans.action.as_str(),
            });
            if early.action != Action::Pass {
                return early;
            }
        }
        let class = self.class(arrival, &part);
        let is_identified = matches!(class, Class::Identified | Class::Peer);
        if is_identified || part.standings.is_trusted(port, tick) {
            early.level = Level::Trusted;
        }
        let flood = zone.stages.of(Stage::Flood);
        if !flood.enabled {
            return early;
        }
        let window = Part::at(self.shared.epoch, now, zone.flood.window);
        let flow = part
            .floods
            .count((whole, port), class, &zone.flood, window, tick);
        if flow == Flow::Pass {
            return early;
        }
        early.stage = Some(Stage::Flood);
        early.action = match flood.action {
            Do::Count | Do::Allow => Action::Pass,
            Do::Close if arrival.is_stream => Action::Close,
            Do::Tarpit if arrival.is_stream => Action::Tarpit,
            _ => Action::Drop,
        };
        drop(part);
        if flow == Flow::Begins {
            early.alert = flood.log.then_some(Alert {
                event: Event::Flood,
                action: flood.action.as_str(),
            });
            if let Do::Ban(lasts) = flood.action {
                let evidence = evidence_of(arrival.is_stream);
                early.banned = self.ban_source(arrival, Stage::Flood, evidence, lasts, now);
            }
        }
        early
    }

    /// Stage 4: a message that the parser refused. A response is possible only to one that shows
    /// where to send it; the caller knows.
    pub(crate) fn judge_malformed(&self, arrival: &Arrival, now: Instant) -> Verdict {
        let mut verdict = Verdict::pass();
        verdict.action = Action::Drop;
        let Some(zone) = self.config.zones.get(usize::from(arrival.zone)) else {
            return verdict;
        };
        let policy = zone.stages.of(Stage::Sanity);
        verdict.stage = Some(Stage::Sanity);
        let whole = Source::whole(arrival.source.ip());
        let minute = Part::at(self.shared.epoch, now, Duration::from_secs(60));
        let count = {
            let mut part = self.shared.part(whole).lock();
            part.guesses.malformed(whole, minute)
        };
        let objection = Objection {
            why: "malformed",
            event: (count > zone.malformed_per_minute).then_some(Event::Malformed),
            code: None,
            wait: None,
        };
        // What cannot be parsed is not relayed, whatever the action says.
        let action = match policy.action {
            _ if !policy.enabled => Do::Reject(400),
            Do::Count | Do::Allow | Do::Fake200 => Do::Drop,
            action => action,
        };
        if let (Some(event), true) = (objection.event, policy.log && policy.enabled) {
            verdict.alerts.push(Alert {
                event,
                action: action.as_str(),
            });
        }
        verdict.action = self.action(arrival, b"", action, &objection, now);
        if let Do::Ban(lasts) = action
            && objection.event.is_some()
        {
            let evidence = evidence_of(arrival.is_stream);
            verdict.banned = self.ban_source(arrival, Stage::Sanity, evidence, lasts, now);
        }
        verdict
    }

    /// What is known of a source before its message is parsed.
    fn class(&self, arrival: &Arrival, part: &Known) -> Class {
        let (whole, port) = (
            Source::whole(arrival.source.ip()),
            Source::port(arrival.source),
        );
        let is_known = self.is_peer_by_address(arrival) || self.never_bans(arrival);
        if is_known {
            Class::Peer
        } else if part.standings.has_binding(port) {
            Class::Identified
        } else if part.standings.has_binding(whole) {
            Class::Neighbour
        } else {
            Class::Unidentified
        }
    }

    /// The same stages for `explain`; a verdict if one of them ends the pipeline.
    pub(super) fn explain_early(
        &self,
        seen: &Seen<'_>,
        now: Instant,
        steps: &mut Vec<Step>,
    ) -> Option<Verdict> {
        let arrival = &seen.arrival;
        let zone = self.config.zones.get(usize::from(arrival.zone))?;
        let (whole, port) = (
            Source::whole(arrival.source.ip()),
            Source::port(arrival.source),
        );
        let tick = self.tick(now);
        let mut part = self.shared.part(whole).lock();
        let banned = part.bans.in_force(whole, port, tick).is_some();
        let class = self.class(arrival, &part);
        let window = Part::at(self.shared.epoch, now, zone.flood.window);
        let flow = part
            .floods
            .peek((whole, port), class, &zone.flood, window, tick);
        drop(part);
        let early = [
            (Stage::Bans, banned, "banned"),
            (Stage::Flood, flow != Flow::Pass, "too many messages"),
        ];
        for (stage, objects, why) in early {
            let policy = zone.stages.of(stage);
            let said = match (policy.enabled, objects) {
                (false, _) => Said::Off,
                (true, false) => Said::Next,
                (true, true) => Said::Objects(why, policy.action),
            };
            steps.push(Step { stage, said });
            if matches!(said, Said::Objects(_, action) if !matches!(action, Do::Count | Do::Allow))
            {
                let mut verdict = Verdict::pass();
                (verdict.action, verdict.stage) = (Action::Drop, Some(stage));
                return Some(verdict);
            }
        }
        // What is explained was parsed.
        steps.push(Step {
            stage: Stage::Sanity,
            said: Said::Next,
        });
        None
    }
}

fn is_fakeable(bytes: &[u8]) -> bool {
    bytes.starts_with(b"REGISTER ") || bytes.starts_with(b"OPTIONS ")
}
