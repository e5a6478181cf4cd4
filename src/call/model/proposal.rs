//! Offers that wait for their answers (spec: ng-protocol §10.6; RFC 3261 §14.1, RFC 3264 §8).
//!
//! Legs hold what is agreed. An offer between two parties is worked out on their legs and then set
//! aside here, as far as a leg has agreed on something before; what was agreed goes back into
//! place. The answer starts from what was set aside. If none comes, nothing was changed, and the
//! next offer starts from what is agreed.
//!
//! What opens acts at once ([`Call::flowing`]): ports of the offer listen, lines that carry
//! nothing yet are as the offer has them, and the offerer is heard from where the offer says.

use std::borrow::Cow;
use std::mem::replace;
use std::sync::Arc;
use std::time::Instant;

use windlass_sdp::Text;

use super::call::{Call, Now};
use super::dialogue::Parties;
use super::leg::{Leg, LegIndex, SourceRules};
use super::media::{Endpoint, EndpointMap, Media};
use crate::call::ports::Family;
use crate::limits::PROPOSALS_PER_CALL;

/// An offer that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// The offerer as sender, the party that is to answer as receiver.
    pub(crate) parties: Parties,
    /// When it came.
    pub(crate) at: Now,
    /// What it would make of the offerer, and of the other; `None`: that one has agreed on nothing
    /// yet, so its leg has it.
    sides: [Option<Box<Terms>>; 2],
}

/// What offers and answers settle of a leg.
#[derive(Clone, Debug)]
struct Terms {
    medias: Vec<Media>,
    interface: Option<Arc<str>>,
    family: Option<Family>,
    said: Option<Arc<[u8]>>,
    first_session_name: Option<Text>,
    source_rules: SourceRules,
    is_unseen: bool,
    signalled_at: Instant,
    bundles: bool,
}

impl Proposal {
    fn involves(&self, leg: LegIndex) -> bool {
        self.parties.sender == leg || self.parties.receiver == leg
    }

    fn is_between(&self, parties: Parties) -> bool {
        self.involves(parties.sender) && self.involves(parties.receiver)
    }

    /// What it would make of the medias of a party; `None`: that is in place.
    pub(crate) fn medias_of(&self, leg: LegIndex) -> Option<&[Media]> {
        self.terms()
            .find(|(of, _)| *of == leg)
            .map(|(_, terms)| terms.medias.as_slice())
    }

    fn terms(&self) -> impl Iterator<Item = (LegIndex, &Terms)> {
        let legs = [self.parties.sender, self.parties.receiver];
        let sides = legs.into_iter().zip(&self.sides);
        sides.filter_map(|(leg, terms)| Some((leg, terms.as_deref()?)))
    }

    fn terms_mut(&mut self) -> impl Iterator<Item = (LegIndex, &mut Terms)> {
        let legs = [self.parties.sender, self.parties.receiver];
        let sides = legs.into_iter().zip(&mut self.sides);
        sides.filter_map(|(leg, terms)| Some((leg, terms.as_deref_mut()?)))
    }

    /// The call takes in others, or is taken in: its legs and lines have other numbers.
    pub(crate) fn renumber(&mut self, legs: usize, lines: usize) {
        self.parties.sender += legs;
        self.parties.receiver += legs;
        for (_, terms) in self.terms_mut() {
            for media in &mut terms.medias {
                media.renumber(legs, lines);
            }
        }
    }
}

impl Call {
    /// Offers that wait for their answers.
    pub(crate) fn proposals(&self) -> &[Proposal] {
        let extras = self.extras.as_deref();
        extras.map_or(&[], |extras| extras.proposals.as_slice())
    }

    fn retain_proposals(&mut self, keep: impl FnMut(&Proposal) -> bool) {
        if let Some(extras) = self.extras.as_deref_mut() {
            extras.proposals.retain(keep);
        }
    }

    /// Forgets what a party offered or was offered.
    pub(crate) fn drop_proposals_of(&mut self, leg: LegIndex) {
        self.retain_proposals(|proposal| !proposal.involves(leg));
    }

    /// Forgets what parties that are gone have to do with.
    pub(crate) fn drop_absent_proposals(&mut self) {
        let here: Vec<bool> = self.legs.iter().map(Leg::is_here).collect();
        let is_here = |leg: LegIndex| here.get(leg) == Some(&true);
        self.retain_proposals(|proposal| {
            is_here(proposal.parties.sender) && is_here(proposal.parties.receiver)
        });
    }

    /// When the last of the offers came that wait for an answer and have to do with a party.
    pub(crate) fn proposed_at(&self, leg: LegIndex) -> Option<Instant> {
        let proposals = self.proposals().iter();
        let own = proposals.filter(|proposal| proposal.involves(leg));
        own.map(|proposal| proposal.at.instant).max()
    }

    /// What offers that wait for an answer would make of the medias of a party.
    pub(crate) fn proposed_medias_mut(
        &mut self,
        leg: LegIndex,
    ) -> impl Iterator<Item = &mut [Media]> {
        let extras = self.extras.as_deref_mut().into_iter();
        let proposals = extras.flat_map(|extras| &mut extras.proposals);
        let terms = proposals.flat_map(Proposal::terms_mut);
        let own = terms.filter(move |(of, _)| *of == leg);
        own.map(|(_, terms)| terms.medias.as_mut_slice())
    }

    /// The medias of a party, those of offers that wait for an answer among them.
    pub(crate) fn all_medias(&self) -> impl Iterator<Item = (LegIndex, &Media)> {
        let proposed = self.proposals().iter().flat_map(Proposal::terms);
        let proposed = proposed.map(|(leg, terms)| (leg, terms.medias.as_slice()));
        let legs = self.legs.iter().enumerate();
        let agreed = legs.map(|(index, leg)| (index, leg.medias.as_slice()));
        let all = agreed.chain(proposed);
        all.flat_map(|(leg, medias)| medias.iter().map(move |media| (leg, media)))
    }

    /// An offer begins, from what is agreed. Ports that the same party was shown by an offer that
    /// it has not answered are shown again; that offer is given back, for its keys.
    pub(crate) fn begin_offer(&mut self, parties: Parties) -> Option<Proposal> {
        let extras = self.extras.as_deref_mut()?;
        let before = extras.proposals.iter().position(|p| p.parties == parties);
        let before = before.map(|position| extras.proposals.remove(position))?;
        for (leg, terms) in before.terms() {
            let Some(leg) = self.legs.get_mut(leg) else {
                continue;
            };
            for (media, proposed) in leg.medias.iter_mut().zip(&terms.medias) {
                let known = media.maps.len();
                for map in &proposed.maps {
                    if !media
                        .maps
                        .iter()
                        .take(known)
                        .any(|other| is_same(other, map))
                    {
                        media.maps.push(map.clone());
                    }
                }
            }
        }
        Some(before)
    }

    /// An answer begins, from what its offer proposed. Whatever else the two have offered each
    /// other is over.
    pub(crate) fn begin_answer(&mut self, parties: Parties) {
        let Some(extras) = self.extras.as_deref_mut() else {
            return;
        };
        let asked = Parties {
            sender: parties.receiver,
            receiver: parties.sender,
        };
        let answered = extras.proposals.iter().rposition(|p| p.parties == asked);
        let answered = answered.map(|position| extras.proposals.remove(position));
        extras
            .proposals
            .retain(|proposal| !proposal.is_between(parties));
        let Some(Proposal { parties, sides, .. }) = answered else {
            return;
        };
        let legs = [parties.sender, parties.receiver];
        for (leg, terms) in legs.into_iter().zip(sides) {
            if let (Some(leg), Some(terms)) = (self.legs.get_mut(leg), terms) {
                leg.take_up(*terms);
            }
        }
    }

    /// An offer was worked out and printed: sets it aside for its answer, and puts what `before`
    /// had agreed back into place.
    pub(crate) fn set_aside(&mut self, before: &Self, parties: Parties, now: Now) {
        let mut side = |index: LegIndex| {
            let agreed = before
                .legs
                .get(index)
                .filter(|_| before.has_agreed(index))?;
            self.legs.get_mut(index)?.set_aside(agreed).map(Box::new)
        };
        let sides = [parties.sender, parties.receiver].map(&mut side);
        if sides.iter().any(Option::is_some) {
            let proposals = &mut self.extras_mut().proposals;
            if proposals.len() >= PROPOSALS_PER_CALL {
                proposals.remove(0);
            }
            proposals.push(Proposal {
                parties,
                at: now,
                sides,
            });
        }
    }

    /// Whether a party has completed an exchange with another one that is still there.
    fn has_agreed(&self, index: LegIndex) -> bool {
        let has_spoken = |leg: &&Leg| leg.is_here() && leg.said.is_some();
        let Some(leg) = self.legs.get(index).filter(has_spoken) else {
            return false;
        };
        let mut peers = leg.peers.iter().filter_map(|&peer| self.legs.get(peer));
        peers.any(|peer| has_spoken(&peer))
    }

    /// The party whose offer was the last of those that wait for an answer, and the call as that
    /// would make it.
    pub(crate) fn as_offered(&self) -> Option<(LegIndex, Self)> {
        let last = self.proposals().last()?;
        let mut call = self.clone();
        for (leg, terms) in last.terms() {
            call.legs.get_mut(leg)?.take_up(terms.clone());
        }
        call.retain_proposals(|_| false);
        Some((last.parties.sender, call))
    }

    /// The call as packets see it: what is agreed, and what offers that wait for an answer open.
    pub(crate) fn flowing(&self) -> Cow<'_, Self> {
        if self.proposals().is_empty() {
            return Cow::Borrowed(self);
        }
        let mut call = self.clone();
        for proposal in self.proposals() {
            for (leg, terms) in proposal.terms() {
                let is_offerer = leg == proposal.parties.sender;
                if let Some(leg) = call.legs.get_mut(leg) {
                    leg.open(&terms.medias, is_offerer);
                }
            }
        }
        Cow::Owned(call)
    }
}

impl Leg {
    fn terms(&self) -> Terms {
        Terms {
            medias: self.medias.clone(),
            interface: self.interface.clone(),
            family: self.family,
            said: self.said.clone(),
            first_session_name: self.first_session_name.clone(),
            source_rules: self.source_rules,
            is_unseen: self.is_unseen,
            signalled_at: self.signalled_at,
            bundles: self.bundles(),
        }
    }

    /// Puts terms into place, and gives back those that were there.
    fn exchange_terms(&mut self, terms: Terms) -> Terms {
        let bundles = self.bundles();
        if bundles != terms.bundles {
            self.extras_mut().bundles = terms.bundles;
        }
        Terms {
            medias: replace(&mut self.medias, terms.medias),
            interface: replace(&mut self.interface, terms.interface),
            family: replace(&mut self.family, terms.family),
            said: replace(&mut self.said, terms.said),
            first_session_name: replace(&mut self.first_session_name, terms.first_session_name),
            source_rules: replace(&mut self.source_rules, terms.source_rules),
            is_unseen: replace(&mut self.is_unseen, terms.is_unseen),
            signalled_at: replace(&mut self.signalled_at, terms.signalled_at),
            bundles,
        }
    }

    /// Puts back what `agreed` had, except for options of the request that are no SDP.
    fn set_aside(&mut self, agreed: &Self) -> Option<Terms> {
        let rules = self.source_rules;
        let mut proposed = self.exchange_terms(agreed.terms());
        self.source_rules.take_options(rules);
        for (media, proposed) in self.medias.iter_mut().zip(&proposed.medias) {
            media.take_options(proposed);
        }
        // Of the ports that earlier offers opened, those of this one stay.
        for (index, media) in proposed.medias.iter_mut().enumerate() {
            let known = agreed
                .medias
                .get(index)
                .map_or(&[][..], |agreed| &agreed.maps);
            media.keep_maps(known, media.shares_ports_of_another(index));
        }
        Some(proposed)
    }

    /// Puts what was offered into place. Commands that came since then count.
    fn take_up(&mut self, mut terms: Terms) {
        for (media, now) in terms.medias.iter_mut().zip(&self.medias) {
            media.take_options(now);
            media.line = now.line;
            let subscriptions = now.extras.as_deref().map(|extras| &extras.subscriptions);
            let subscriptions = subscriptions.cloned().unwrap_or_default();
            if !subscriptions.is_empty() || media.extras.is_some() {
                media.extras_mut().subscriptions = subscriptions;
            }
        }
        terms.source_rules.take_options(self.source_rules);
        self.exchange_terms(terms);
    }

    /// Opens what an offer proposes, and closes nothing.
    fn open(&mut self, proposed: &[Media], is_offerer: bool) {
        for (index, proposed) in proposed.iter().enumerate() {
            let Some(media) = self.medias.get_mut(index) else {
                self.medias.push(proposed.clone());
                continue;
            };
            if media.rejected || media.endpoint.is_none() {
                let before = replace(media, proposed.clone());
                media.listen(&before.maps);
                continue;
            }
            media.listen(&proposed.maps);
            let moves =
                |to: &Endpoint| !to.rtp.ip().is_unspecified() && Some(*to) != media.endpoint;
            if let Some(to) = proposed.endpoint.filter(|to| is_offerer && moves(to)) {
                media.extras_mut().proposed = Some(to);
            }
        }
    }
}

impl Media {
    /// Takes over options of requests that are no SDP.
    fn take_options(&mut self, from: &Self) {
        let options = |media: &Self| {
            let extras = media.extras.as_deref();
            extras.map_or((false, false, false), |extras| {
                (extras.echo, extras.blackhole, extras.makes_reports)
            })
        };
        if options(self) != options(from) {
            let extras = self.extras_mut();
            (extras.echo, extras.blackhole, extras.makes_reports) = options(from);
        }
    }

    /// Keeps the port sets that are in use, or among those known.
    fn keep_maps(&mut self, known: &[EndpointMap], shares: bool) {
        let selected = std::mem::take(&mut self.selected);
        let mut kept = Vec::with_capacity(self.maps.len());
        for (index, map) in std::mem::take(&mut self.maps).into_iter().enumerate() {
            let is_selected = index == selected;
            if is_selected && !shares || known.iter().any(|other| is_same(other, &map)) {
                if is_selected {
                    self.selected = kept.len();
                }
                kept.push(map);
            }
        }
        self.maps = kept;
    }

    /// Listens on further ports.
    fn listen(&mut self, maps: &[EndpointMap]) {
        for map in maps {
            for set in map.sets() {
                let mut sets = self.maps.iter_mut().flat_map(EndpointMap::sets_mut);
                if let Some(known) = sets.find(|known| known.rtp.local == set.rtp.local) {
                    if known.rtcp.is_none() {
                        known.rtcp.clone_from(&set.rtcp);
                    }
                    continue;
                }
                drop(sets);
                self.maps.push(EndpointMap {
                    key: None,
                    interface: map.interface.clone(),
                    main: set.clone(),
                    others: Vec::new(),
                });
            }
        }
    }

    /// Its call takes in others, or is taken in.
    pub(crate) fn renumber(&mut self, legs: usize, lines: usize) {
        self.line += lines;
        if let Some(extras) = self.extras.as_deref_mut() {
            for subscription in &mut extras.subscriptions {
                subscription.leg += legs;
            }
        }
    }
}

impl SourceRules {
    /// Takes over options of requests: all but what says where the party is.
    fn take_options(&mut self, from: Self) {
        *self = Self {
            received_from: self.received_from,
            trusts_signalled: self.trusts_signalled,
            ..from
        };
    }
}

/// Whether two port sets are one, by what is printed of them.
fn is_same(one: &EndpointMap, other: &EndpointMap) -> bool {
    one.main.rtp.local == other.main.rtp.local
}
