//! Deletion of a call or one of its legs (spec: ng-protocol §11).

use std::time::{Duration, Instant};

use windlass_ng::{CallId, Request};

use super::model::call::Call;
use super::model::leg::{LegIndex, Presence};
use super::query::Selection;
use crate::limits::DELETE_DELAY;

/// Effect of a `delete`.
pub(crate) enum Deletion {
    /// Nothing matched.
    NoMatch,
    /// The whole call goes, now or later.
    WholeCall { immediately: bool },
    /// One leg was removed, and the legs that only it was connected to; the reply describes these.
    Leg(Selection),
    /// A dialogue that a later answer had put an end to is forgotten; the live one stays.
    EndedBranch,
}

impl Call {
    /// Carries out a `delete` of this call.
    pub(crate) fn delete(
        &mut self,
        request: &Request,
        default_delay: Duration,
        now: Instant,
    ) -> Deletion {
        let delay = request.delete_delay.map(|delay| delay.min(DELETE_DELAY));
        let delay = delay.unwrap_or(default_delay);
        let Some(from_tag) = &request.from_tag else {
            return match &request.call_id {
                Some(id) if !self.aliases().is_empty() => self.delete_merged(id, delay, now),
                _ => self.delete_all(delay, now),
            };
        };
        let to_tag = request.to_tag.as_ref().filter(|_| request.flags.to_tag());
        let named = to_tag.unwrap_or(from_tag);
        let of = self
            .leg_by_tag(named)
            .and_then(|leg| self.legs.get_mut(leg));
        if let Some(leg) = of.filter(|leg| leg.is_ended_branch(named)) {
            leg.forget_branch(named);
            return Deletion::EndedBranch;
        }
        let branch = request.via_branch.as_ref();
        let by_branch = || branch.and_then(|branch| self.leg_by_branch(branch));
        let leg = match to_tag {
            None => by_branch().or_else(|| self.leg_by_tag(from_tag)),
            Some(to_tag) => self
                .leg_by_tag(to_tag)
                .or_else(by_branch)
                .or_else(|| self.untagged_peer_of(from_tag)),
        };
        let Some(leg) = leg else {
            return Deletion::NoMatch;
        };
        if self.remove_leg(leg, delay, now) {
            return self.delete_all(delay, now);
        }
        self.release_absent();
        Deletion::Leg(self.selection_of(named))
    }

    /// Takes out the parties that came with one of the call-ids of a merged call.
    fn delete_merged(&mut self, id: &CallId, delay: Duration, now: Instant) -> Deletion {
        let is_of = |leg: &super::model::leg::Leg| {
            let own = leg
                .extras
                .as_deref()
                .and_then(|extras| extras.call_id.as_ref());
            leg.is_here() && own.unwrap_or(&self.id) == id
        };
        let leaving: Vec<LegIndex> = (0..self.legs.len())
            .filter(|&index| self.legs.get(index).is_some_and(is_of))
            .collect();
        for &leg in &leaving {
            self.remove_leg(leg, delay, now);
        }
        match self.legs.iter().any(|leg| leg.presence == Presence::Here) {
            true => {
                self.release_absent();
                Deletion::Leg(Selection::Legs(leaving))
            }
            false => self.delete_all(delay, now),
        }
    }

    fn delete_all(&mut self, delay: Duration, now: Instant) -> Deletion {
        // The loop over due deletions ends the call where the delay is not zero.
        let due = now + delay;
        let before = self.deletion.replace(due);
        // Parties that were to go with the call still do.
        for leg in &mut self.legs {
            if let Presence::Leaving(at) = &mut leg.presence
                && Some(*at) == before
            {
                *at = due;
            }
        }
        Deletion::WholeCall {
            immediately: delay.is_zero(),
        }
    }

    /// The only peer of a tag's leg, when it has no tag yet.
    fn untagged_peer_of(&self, tag: &windlass_ng::Tag) -> Option<LegIndex> {
        let leg = self.leg(self.leg_by_tag(tag)?)?;
        match leg.peers.as_slice() {
            &[peer] if self.leg(peer)?.tag.is_none() => Some(peer),
            _ => None,
        }
    }
}
