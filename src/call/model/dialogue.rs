//! The two legs of an offer or answer (spec: ng-protocol §10.2, §10.3).

use windlass_ng::{Branch, Tag};

use super::call::Call;
use super::call::Now;
use super::leg::{Alias, Leg, LegIndex, Presence};
use crate::limits::{LEGS_PER_CALL, TAGS_PER_LEG};

/// Whether an SDP is an offer or an answer (RFC 3264).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Offer,
    Answer,
}

/// The tags and marks of one offer or answer, with the author of the SDP as sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialogue<'a> {
    pub(crate) role: Role,
    /// Tag of the author.
    pub(crate) from: &'a Tag,
    /// Tag of the party that the SDP is for, as far as it is known.
    pub(crate) to: Option<&'a Tag>,
    pub(crate) branch: Option<&'a Branch>,
    /// Flag `new-branch`: an unknown tag is a new party.
    pub(crate) new_branch: bool,
    /// Flag `provisional`: the party's earlier final response does not fix its tag.
    pub(crate) provisional: bool,
}

impl<'a> Dialogue<'a> {
    /// The dialogue of one party that deals with the relay alone.
    pub(crate) fn of(role: Role, tag: &'a Tag) -> Self {
        Self {
            role,
            from: tag,
            to: None,
            branch: None,
            new_branch: false,
            provisional: false,
        }
    }
}

/// Reasons why an offer or answer has no two parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDialogue {
    /// Sender and receiver are one party, or cannot be told.
    #[error("the tags name no two parties of the call")]
    OneParty,
    /// The call has as many parties as a call may have.
    #[error("the call has {LEGS_PER_CALL} parties already")]
    TooManyParties,
}

/// The two legs of an offer or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parties {
    /// Author of the SDP.
    pub(crate) sender: LegIndex,
    /// The party that the SDP is for.
    pub(crate) receiver: LegIndex,
}

impl Call {
    /// Finds or creates the two parties, joins them and sets their subscriptions.
    pub(crate) fn resolve(
        &mut self,
        dialogue: Dialogue<'_>,
        now: Now,
    ) -> Result<Parties, InvalidDialogue> {
        let known_receiver = dialogue.to.and_then(|tag| self.leg_by_tag(tag));
        let parties = match known_receiver {
            Some(receiver) => self.resolve_known(dialogue, receiver, now)?,
            None => self.resolve_unknown(dialogue, now)?,
        };
        if parties.sender == parties.receiver {
            return Err(InvalidDialogue::OneParty);
        }
        let named = [
            (parties.sender, Some(dialogue.from)),
            (parties.receiver, dialogue.to),
        ];
        for (leg, tag) in named {
            if let (Some(leg), Some(tag)) = (self.legs.get_mut(leg), tag) {
                leg.revive_branch(tag);
            }
        }
        self.connect(dialogue.role, parties);
        Ok(parties)
    }

    /// Adds a party; replaces one that is gone if the call is full.
    pub(crate) fn add_leg(
        &mut self,
        now: Now,
        tag: Option<&Tag>,
        branch: Option<&Branch>,
    ) -> Result<LegIndex, InvalidDialogue> {
        let mut leg = Leg::new(now, branch.cloned());
        leg.tag = tag.cloned();
        if self.legs.len() < LEGS_PER_CALL {
            if self.legs.is_empty() {
                // Two parties are the rule; forks make it grow.
                self.legs.reserve_exact(2);
            }
            self.legs.push(leg);
            return Ok(self.legs.len() - 1);
        }
        let gone = self.legs.iter().position(|leg| !leg.is_here());
        let index = gone.ok_or(InvalidDialogue::TooManyParties)?;
        for other in &mut self.legs {
            other.forget(index);
        }
        self.drop_proposals_of(index);
        if let Some(slot) = self.legs.get_mut(index) {
            *slot = leg;
        }
        Ok(index)
    }

    /// The receiver's tag is absent or unknown: initial offers and forks.
    fn resolve_unknown(
        &mut self,
        dialogue: Dialogue<'_>,
        now: Now,
    ) -> Result<Parties, InvalidDialogue> {
        let Some(sender) = self.leg_by_tag(dialogue.from) else {
            let sender = self.add_leg(now, Some(dialogue.from), None)?;
            let receiver = self.add_untagged(dialogue, now)?;
            return Ok(Parties { sender, receiver });
        };
        let reused = match (dialogue.branch, dialogue.to) {
            (Some(branch), _) => self.leg_by_branch(branch),
            (None, None) => self.receiver_of(sender),
            (None, Some(tag)) => self.leg_meant_for(tag),
        };
        let receiver = match reused {
            Some(receiver) => {
                if let (Some(tag), Some(leg)) = (dialogue.to, self.legs.get_mut(receiver)) {
                    leg.retag(tag);
                }
                receiver
            }
            None => self.add_untagged(dialogue, now)?,
        };
        Ok(Parties { sender, receiver })
    }

    /// A new receiver. The tag that the offer names for it becomes its own with its answer, or
    /// with the same offer again: a retransmission must find its ports.
    fn add_untagged(
        &mut self,
        dialogue: Dialogue<'_>,
        now: Now,
    ) -> Result<LegIndex, InvalidDialogue> {
        let index = self.add_leg(now, None, dialogue.branch)?;
        if let (Some(tag), Some(leg)) = (dialogue.to, self.legs.get_mut(index)) {
            leg.extras_mut().meant_for = Some(tag.clone());
        }
        Ok(index)
    }

    fn leg_meant_for(&self, tag: &Tag) -> Option<LegIndex> {
        let is_meant = |leg: &Leg| {
            let extras = leg.extras.as_deref();
            let meant = extras.and_then(|extras| extras.meant_for.as_ref());
            leg.is_here() && leg.tag.is_none() && meant == Some(tag)
        };
        self.legs.iter().position(is_meant)
    }

    /// The receiver is known: answers, and offers within a dialogue.
    fn resolve_known(
        &mut self,
        dialogue: Dialogue<'_>,
        receiver: LegIndex,
        now: Now,
    ) -> Result<Parties, InvalidDialogue> {
        if let Some(sender) = self.leg_by_tag(dialogue.from) {
            return Ok(Parties { sender, receiver });
        }
        let candidate = dialogue
            .branch
            .and_then(|branch| self.leg_by_branch(branch))
            .filter(|&candidate| candidate != receiver)
            .or_else(|| self.receiver_of(receiver));
        let sender = match candidate.and_then(|index| Some((index, self.legs.get_mut(index)?))) {
            // A second tag in an answer is the same party under another name (ng-protocol
            // §10.3), unless its tag is fixed or the proxy says that it is a new branch.
            Some((index, leg))
                if leg.tag.is_none()
                    || dialogue.role == Role::Answer
                        && !dialogue.new_branch
                        && (!leg.final_response || dialogue.provisional) =>
            {
                leg.retag(dialogue.from);
                index
            }
            _ => self.add_leg(now, Some(dialogue.from), dialogue.branch)?,
        };
        Ok(Parties { sender, receiver })
    }

    /// Joins the parties and sets their subscriptions: an offer adds its receiver to other forks,
    /// an answer takes the offerer from them.
    fn connect(&mut self, role: Role, parties: Parties) {
        let Parties { sender, receiver } = parties;
        self.associate(sender, receiver);
        if role == Role::Answer {
            for (index, leg) in self.legs.iter_mut().enumerate() {
                if index != sender && index != receiver {
                    leg.sources.retain(|&source| source != receiver);
                }
            }
        }
        if let Some(leg) = self.legs.get_mut(receiver) {
            match role {
                Role::Answer => leg.sources = vec![sender],
                Role::Offer if !leg.sources.contains(&sender) => leg.sources.push(sender),
                Role::Offer => {}
            }
            if role == Role::Offer {
                leg.final_response = false;
            }
        }
        if let Some(leg) = self.legs.get_mut(sender)
            && (leg.sources.is_empty() || role == Role::Answer && !leg.sources.contains(&receiver))
        {
            leg.sources = vec![receiver];
        }
        for index in [sender, receiver] {
            if let Some(leg) = self.legs.get_mut(index) {
                leg.presence = Presence::Here;
            }
        }
    }
}

impl Leg {
    /// Lets go of every mark of a leg that is gone.
    fn forget(&mut self, gone: LegIndex) {
        self.peers.retain(|&peer| peer != gone);
        self.sources.retain(|&source| source != gone);
        if let Some(extras) = self.extras.as_deref_mut() {
            extras.muted_flows.retain(|(source, _)| *source != gone);
        }
        let extras = self
            .medias
            .iter_mut()
            .map(|media| media.extras.as_deref_mut());
        for extras in extras.flatten() {
            extras
                .subscriptions
                .retain(|subscription| subscription.leg != gone);
        }
    }

    /// Gives the leg a tag; the one it had stays known as that of an ended branch.
    fn retag(&mut self, tag: &Tag) {
        if self.tag.as_ref() == Some(tag) {
            return;
        }
        self.aliases.retain(|alias| alias.tag != *tag);
        if let Some(old) = self.tag.replace(tag.clone()) {
            self.add_alias(Alias {
                tag: old,
                is_ended_branch: true,
            });
        }
    }

    /// An offer or answer of an ended branch makes it the live one.
    fn revive_branch(&mut self, tag: &Tag) {
        if self.is_ended_branch(tag) {
            self.retag(tag);
        }
    }

    /// Takes note of another tag of the party, in place of the oldest where there are many.
    pub(crate) fn add_alias(&mut self, alias: Alias) {
        if self.aliases.iter().any(|known| known.tag == alias.tag) {
            return;
        }
        if self.aliases.len() >= TAGS_PER_LEG {
            self.aliases.remove(0);
        }
        self.aliases.push(alias);
    }

    /// Forgets the tag of an ended branch.
    pub(crate) fn forget_branch(&mut self, tag: &Tag) {
        self.aliases.retain(|alias| alias.tag != *tag);
    }
}
