//! Making one call of several (`connect`, `inject` and `mesh` across calls).

use std::sync::{Arc, MutexGuard};

use windlass_ng::{CallId, Reply, Request, errors};

use super::{Refused, Scene};
use crate::call::model::call::{Call, Now};
use crate::call::model::leg::{Leg, LegIndex};
use crate::call::offer::Refusal;
use crate::call::serve::Calls;
use crate::call::table::{Entry, lock};
use crate::call::timeouts::EndReason;
use crate::flow::PlanRefused;
use crate::flow::state::LeasedFlow;
use crate::limits::LEGS_PER_CALL;

/// The words of a command for what stands against making one call of several.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// There is no such call.
    pub(super) unknown: Refused,
    /// Two parties have one tag.
    pub(super) collision: Refused,
}

/// A call that another one takes in.
struct Moving<'a> {
    entry: &'a Entry,
    slot: MutexGuard<'a, Option<Call>>,
}

impl Calls {
    /// Makes one call of `id` and `others`, and runs a command on it: all of it happens, or nothing
    /// does. `prepare` sees the call before it takes in the others; what it finds is handed to the
    /// command. The other call-ids are other names of the call from then on.
    pub(super) fn on_merged<T>(
        &self,
        id: &CallId,
        others: &[&CallId],
        mut scene: Scene<'_>,
        words: Words,
        prepare: impl FnOnce(&mut Call, &Request) -> Result<T, Refused>,
        command: impl FnOnce(&mut Call, T, &mut Scene<'_>) -> Result<Reply, Refused>,
    ) -> Result<Reply, Refused> {
        let entry = self.table.find(id).ok_or(words.unknown)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(others.len());
        let mut is_missing = false;
        for other in others {
            let Some(other) = self.table.find(other) else {
                is_missing = true;
                continue;
            };
            let mut known = std::iter::once(&entry).chain(&entries);
            if !known.any(|known| Arc::ptr_eq(known, &other)) {
                entries.push(other);
            }
        }
        let (mut slot, mut moving) = lock_all(&entry, &entries);
        let call = slot.as_mut().ok_or(words.unknown)?;
        let mut draft = call.clone();
        let prepared = prepare(&mut draft, scene.request)?;
        if is_missing {
            return Err(words.unknown);
        }
        for other in &moving {
            let other = other.slot.as_ref().ok_or(words.unknown)?;
            draft.take_in(other, words.collision)?;
        }
        let reply = command(&mut draft, prepared, &mut scene)?;
        // Their flows come out of one worker with their ports and with what they have learned, and
        // go into the other.
        let mut flows: Vec<LeasedFlow> = scene.leases.into_iter().map(LeasedFlow::from).collect();
        for other in &moving {
            let plan = other.slot.as_ref().map(Call::removal);
            match plan.map(|plan| self.forwarding.apply(plan, Vec::new())) {
                Some(Ok(removed)) => flows.extend(removed),
                Some(Err(error)) => {
                    tracing::error!(call_id = %id, %error, "call not taken out of the data plane");
                }
                None => {}
            }
        }
        let committed = self.commit_flows(call, draft, flows, scene.now);
        let Err(PlanRefused { reason, leases }) = committed else {
            for Moving { entry: from, slot } in &mut moving {
                self.close_moved(slot, from, &entry, scene.now);
            }
            return Ok(reply);
        };
        let mut flows = leases;
        for Moving { entry, slot } in &mut moving {
            self.put_back(slot, entry, &mut flows, scene.now);
        }
        Err(Refusal::Forwarding(reason).reply())
    }

    /// The flows of a call were taken out for a merge that was refused: puts them back.
    fn put_back(
        &self,
        slot: &mut Option<Call>,
        entry: &Entry,
        flows: &mut Vec<LeasedFlow>,
        now: Now,
    ) {
        let Some(call) = slot.as_ref() else { return };
        let own = flows.extract_if(.., |flow| {
            call.in_force.digest(flow.lease.local()).is_some()
        });
        let own = own.collect();
        let plan = call.installation(&self.defaults);
        if let Err(error) = self.forwarding.apply(plan, own) {
            let id = call.id.clone();
            tracing::error!(call_id = %id, %error, "call not put back into the data plane");
            self.end(&id, entry, slot, EndReason::Forced, now);
        }
    }

    /// The parties of a call are in another one.
    fn close_moved(&self, slot: &mut Option<Call>, from: &Entry, to: &Entry, now: Now) {
        let Some(mut moved) = slot.take() else {
            return;
        };
        // A recording is one call's, and so is the number.
        moved.end_recording(false);
        self.settle_recording(&mut moved, now);
        self.take_number(moved.number);
        for name in std::iter::once(&moved.id).chain(moved.aliases()) {
            self.table.alias(name, from, to);
        }
        self.statistics.calls_merged();
    }
}

/// Locks a call and others, always in the same order: two commands could wait for each other
/// otherwise.
fn lock_all<'a>(
    entry: &'a Entry,
    others: &'a [Entry],
) -> (MutexGuard<'a, Option<Call>>, Vec<Moving<'a>>) {
    let mut in_order: Vec<&Entry> = others.iter().collect();
    in_order.sort_by_key(|entry| Arc::as_ptr(entry).addr());
    let is_before = |other: &&Entry| Arc::as_ptr(other).addr() < Arc::as_ptr(entry).addr();
    let (before, after) = in_order.split_at(in_order.partition_point(is_before));
    let lock_one = |entry: &&'a Entry| Moving {
        entry,
        slot: lock(entry),
    };
    let mut locked: Vec<Moving<'_>> = before.iter().map(lock_one).collect();
    let slot = lock(entry);
    locked.extend(after.iter().map(lock_one));
    // As they were named.
    locked.sort_by_key(|moving| {
        others
            .iter()
            .position(|other| Arc::ptr_eq(other, moving.entry))
    });
    (slot, locked)
}

impl Call {
    /// Takes in the parties of another call, unless one of them bears the tag of a party here, or
    /// they are too many.
    fn take_in(&mut self, other: &Self, collision: Refused) -> Result<(), Refused> {
        let collides = |leg: &Leg| {
            let tag = leg.tag.as_ref().filter(|_| leg.is_here());
            tag.is_some_and(|tag| self.leg_by_tag(tag).is_some())
        };
        if other.legs.iter().any(collides) {
            return Err(collision);
        }
        if self.legs.len() + other.legs.len() > LEGS_PER_CALL {
            return Err(errors::MERGE);
        }
        self.adopt(other.clone());
        Ok(())
    }

    /// Takes over the parties of another call.
    fn adopt(&mut self, mut from: Self) {
        let offset: LegIndex = self.legs.len();
        let line = self.next_line();
        for mut leg in std::mem::take(&mut from.legs) {
            leg.peers.iter_mut().for_each(|peer| *peer += offset);
            leg.sources.iter_mut().for_each(|source| *source += offset);
            for media in &mut leg.medias {
                media.renumber(offset, line);
                media.number = media.number.map(|number| number + self.next_number);
            }
            let extras = leg.extras_mut();
            extras
                .muted_flows
                .iter_mut()
                .for_each(|(source, _)| *source += offset);
            extras.protections.renumber(line);
            extras.call_id.get_or_insert_with(|| from.id.clone());
            self.legs.push(leg);
        }
        self.next_number += from.next_number;
        self.aliases_mut().push(from.id);
        if let Some(extras) = from.extras.as_deref_mut() {
            let aliases = std::mem::take(&mut extras.aliases);
            self.aliases_mut().extend(aliases);
            let own = self.extras_mut();
            for mut proposal in std::mem::take(&mut extras.proposals) {
                proposal.renumber(offset, line);
                own.proposals.push(proposal);
            }
            own.found.append(&mut extras.found);
            own.digits_to = own.digits_to.or(extras.digits_to);
            own.callback = own.callback.or(extras.callback);
        }
    }
}
