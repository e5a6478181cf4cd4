//! Making one call of two (`connect` and `mesh` across calls).

use windlass_ng::CallId;

use super::Refused;
use crate::call::dialogue::MAX_LEGS;
use crate::call::leg::LegIndex;
use crate::call::serve::Calls;
use crate::call::state::{Call, Now};
use crate::call::table::lock;

impl Calls {
    /// Moves the parties of `other` into the call `id`; `other` is another name of it from then
    /// on.
    pub(super) fn merge_calls(
        &self,
        id: &CallId,
        other: &CallId,
        unknown: Refused,
        collision: Refused,
        now: Now,
    ) -> Result<(), Refused> {
        let (Some(entry), Some(from)) = (self.table.find(id), self.table.find(other)) else {
            return Err(unknown);
        };
        if std::sync::Arc::ptr_eq(&entry, &from) {
            return Ok(());
        }
        // Always in the same order, or two merges could wait for each other.
        let (mut slot, mut from_slot);
        if id.as_bytes() < other.as_bytes() {
            slot = lock(&entry);
            from_slot = lock(&from);
        } else {
            from_slot = lock(&from);
            slot = lock(&entry);
        }
        let (Some(call), Some(moving)) = (slot.as_mut(), from_slot.as_mut()) else {
            return Err(unknown);
        };
        let collides = |leg: &crate::call::leg::Leg| {
            leg.tag
                .as_ref()
                .is_some_and(|tag| call.leg_by_tag(tag).is_some())
        };
        if moving.legs.iter().any(|leg| leg.is_here() && collides(leg)) {
            return Err(collision);
        }
        if call.legs.len() + moving.legs.len() > MAX_LEGS {
            return Err(windlass_ng::errors::MERGE);
        }
        let Some(mut moved) = from_slot.take() else {
            return Err(unknown);
        };
        // A recording is one call's, and so is the number.
        self.stop_recording(&mut moved, false, now);
        self.take_number(moved.number);
        let legs = std::mem::take(&mut moved.legs);
        // Their flows come out of one worker with their ports and with what they have learned, and
        // go into the other.
        let plan = moved.plan(&self.defaults);
        let flows = self.forwarding.apply(plan, Vec::new()).map_err(|error| {
            tracing::error!(call_id = %other, %error, "call not taken out of the data plane");
            windlass_ng::errors::MERGE
        })?;
        call.adopt(legs, other, &mut moved);
        self.put_in_force(call, flows).map_err(|error| {
            tracing::error!(call_id = %id, %error, "merged call not put into the data plane");
            windlass_ng::errors::MERGE
        })?;
        self.table.alias(other, &from, &entry);
        self.statistics.calls_merged();
        Ok(())
    }
}

impl Call {
    /// Takes over the parties of another call.
    fn adopt(&mut self, legs: Vec<crate::call::leg::Leg>, id: &CallId, from: &mut Self) {
        let offset: LegIndex = self.legs.len();
        let line = self.next_line();
        for mut leg in legs {
            leg.peers.iter_mut().for_each(|peer| *peer += offset);
            leg.sources.iter_mut().for_each(|source| *source += offset);
            for media in &mut leg.medias {
                media.line += line;
                if let Some(extras) = media.extras.as_deref_mut() {
                    for subscription in &mut extras.subscriptions {
                        subscription.leg += offset;
                    }
                }
            }
            let extras = leg.extras_mut();
            extras
                .muted_flows
                .iter_mut()
                .for_each(|(source, _)| *source += offset);
            extras.call_id = extras.call_id.clone().or_else(|| Some(id.clone()));
            self.legs.push(leg);
        }
        self.aliases_mut().push(id.clone());
        if let Some(extras) = from.extras.as_deref_mut() {
            let aliases = std::mem::take(&mut extras.aliases);
            self.aliases_mut().extend(aliases);
            let own = self.extras_mut();
            own.digits_to = own.digits_to.or(extras.digits_to);
            own.callback = own.callback.or(extras.callback);
        }
    }
}
