//! Callees that accepted a call (RFC 3261 §13.2.2.4): usually one, and all of them where a proxy behind
//! us forked it and several answered. Each has a dialog of its own with the caller.

use super::{Dialog, Party, State};
use crate::limits;
use crate::side::Side;

/// A callee that accepted the call before another one did.
#[derive(Clone, Debug)]
pub(super) struct Other {
    tag: Box<[u8]>,
    /// Its To, with the tag.
    to: Box<[u8]>,
    party: Party,
}

impl Dialog {
    /// A callee sent a 2xx with this tag in this To: it is the one that answered last, unless it said so
    /// before.
    pub(crate) fn accept(&mut self, tag: &[u8], to: &[u8]) {
        if self.has_accepted(tag) || self.accepted.len() >= limits::CALLEE_TAGS {
            return;
        }
        if !self.accepted.is_empty() {
            self.others.push(Other {
                tag: self.answerer.clone(),
                to: self.ends[1].clone(),
                party: self.callee.clone(),
            });
        }
        self.accepted.push(tag.into());
        self.answerer = tag.into();
        self.ends[1] = to.into();
    }

    /// Whether the callee with this tag sent a 2xx before, though it may have left the call since.
    pub(crate) fn has_accepted(&self, tag: &[u8]) -> bool {
        let mut all = self.accepted.iter().chain(&self.left);
        all.any(|known| **known == *tag)
    }

    /// The callee with this tag, or the caller in its dialog with it, has hung up. Whether others go
    /// on with the call.
    pub(crate) fn leave(&mut self, tag: &[u8]) -> bool {
        self.forks.retain(|fork| *fork.tag != *tag);
        if let Some(at) = self.accepted.iter().position(|known| **known == *tag) {
            let tag = self.accepted.swap_remove(at);
            if self.left.len() < limits::CALLEE_TAGS {
                self.left.push(tag);
            }
        }
        self.others.retain(|other| *other.tag != *tag);
        if *self.answerer == *tag
            && let Some(other) = self.others.pop()
        {
            self.answerer = other.tag;
            self.ends[1] = other.to;
            self.callee = other.party;
        }
        match self.state {
            State::Early => !self.forks.is_empty(),
            State::Confirmed => !self.accepted.is_empty(),
            State::Ended => false,
        }
    }

    /// The end on this side in the dialog of the callee with this tag.
    pub(crate) fn party_in(&self, side: Side, callee_tag: &[u8]) -> &Party {
        let mut others = self.others.iter();
        let other = others.find(|other| side == Side::Callee && *other.tag == *callee_tag);
        other.map_or_else(|| self.party(side), |other| &other.party)
    }

    /// The same, to be changed; `None` if that callee is none of those that answered while others are.
    pub(super) fn party_mut(&mut self, side: Side, callee_tag: &[u8]) -> Option<&mut Party> {
        if side == Side::Caller {
            return Some(&mut self.caller);
        }
        if self.accepted.is_empty() || *self.answerer == *callee_tag {
            return Some(&mut self.callee);
        }
        let mut others = self.others.iter_mut();
        let other = others.find(|other| *other.tag == *callee_tag);
        other.map(|other| &mut other.party)
    }

    /// All callees that are in the call, each with its To; the one that answered last comes first.
    pub(crate) fn callees(&self) -> impl Iterator<Item = (&Party, &[u8])> {
        let last = (&self.callee, &*self.ends[1]);
        let others = self.others.iter();
        std::iter::once(last).chain(others.map(|other| (&other.party, &*other.to)))
    }
}
