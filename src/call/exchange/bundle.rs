//! Several medias on one port (RFC 9143; spec: ng-protocol §8.9, sdp-rewriting §9).

use windlass_ng::Request;
use windlass_ng::request::BundleOptions;
use windlass_sdp::{SessionDescription, Text};

use crate::call::dialogue::{Parties, Role};
use crate::call::leg::Leg;
use crate::call::media::Media;
use crate::call::state::Call;

impl Call {
    /// Decides which medias of both legs share ports after this exchange.
    pub(super) fn bundle(
        &mut self,
        parties: Parties,
        sdp: &SessionDescription,
        request: &Request,
        role: Role,
    ) {
        let [Some(sender), Some(receiver)] = self.legs_mut(parties) else {
            return;
        };
        let options = &request.bundle;
        let groups: Vec<&[Text]> = sdp.bundle_groups().collect();
        // An answer may take up only what was offered.
        let accepted = match role {
            Role::Offer => options.accept && !options.reject,
            Role::Answer => sender.is_offered_a_bundle(),
        };
        sender.take_bundles(&groups, accepted);
        match role {
            Role::Answer => elect(receiver),
            Role::Offer => receiver.offer_bundle(sdp, options),
        }
    }
}

impl Leg {
    /// Puts together what the party bundles, if that is accepted.
    pub(crate) fn take_bundles(&mut self, groups: &[&[Text]], accepted: bool) {
        if accepted {
            join(self, groups);
        } else {
            part(self);
        }
    }

    /// The same for an answer to an offer of ours. What was offered on one port stays there.
    pub(crate) fn take_answered_bundles(&mut self, groups: &[&[Text]]) {
        let is_on_one_port = |media: &Media| media.extra(|extras| extras.bundle_head.is_some());
        if groups.is_empty() && self.medias.iter().any(is_on_one_port) {
            elect(self);
        } else {
            join(self, groups);
        }
    }

    /// Whether the party was offered a bundle.
    pub(crate) fn is_offered_a_bundle(&self) -> bool {
        let mut medias = self.medias.iter();
        medias.any(|media| media.extra(|extras| extras.bundle_offered))
    }

    /// Bundles what is offered to the party, as the options say; `sdp` is what is offered.
    pub(crate) fn offer_bundle(&mut self, sdp: &SessionDescription, options: &BundleOptions) {
        if options.offer {
            let usable = |leg: &Self, index: usize| leg.medias.get(index).is_some_and(can_bundle);
            let head = (0..self.medias.len()).find(|&index| usable(self, index));
            for index in 0..self.medias.len() {
                if !usable(self, index) {
                    if let Some(media) = self.medias.get_mut(index) {
                        leave(media);
                    }
                    continue;
                }
                self.generate_mid(index, sdp);
                let Some(media) = self.medias.get_mut(index) else {
                    continue;
                };
                let extras = media.extras_mut();
                extras.bundle_offered = true;
                // Ports that were shared once stay shared (RFC 9143 §7.3).
                let stays = options.require || extras.bundle_head.is_some();
                extras.bundle_head = head.filter(|_| stays);
                extras.bundle_only = options.strict && head != Some(index);
            }
        } else if options.reject || self.medias.iter().all(|media| media.said.is_none()) {
            part(self);
            withdraw(self);
        } else {
            // A bundle that is in use is offered on, or the party would see two medias on one
            // port without a reason.
            elect(self);
            for media in &mut self.medias {
                if !can_bundle(media) {
                    leave(media);
                } else if let Some(extras) = media.extras.as_deref_mut() {
                    extras.bundle_offered |= extras.bundle_head.is_some();
                }
            }
        }
    }
}

/// Puts the medias of every group together behind the first of them that is in use.
fn join(leg: &mut Leg, groups: &[&[Text]]) {
    part(leg);
    for group in groups {
        let is_in = |media: &Media| {
            can_bundle(media) && media.mid.as_ref().is_some_and(|mid| group.contains(mid))
        };
        let Some(head) = leg.medias.iter().position(is_in) else {
            continue;
        };
        for media in leg.medias.iter_mut().filter(|media| is_in(media)) {
            media.extras_mut().bundle_head = Some(head);
        }
    }
}

/// Gives every bundle whose first media was turned down the next one that is in use.
fn elect(leg: &mut Leg) {
    for head in 0..leg.medias.len() {
        if leg.medias.get(head).is_none_or(can_bundle) {
            continue;
        }
        let is_in = |media: &Media| media.extra(|extras| extras.bundle_head == Some(head));
        let next = leg
            .medias
            .iter()
            .position(|media| is_in(media) && can_bundle(media));
        for media in leg.medias.iter_mut().filter(|media| is_in(media)) {
            media.extras_mut().bundle_head = next.filter(|_| can_bundle(media));
        }
    }
}

/// Whether a media can share a port with others: what is no RTP could not be told apart.
fn can_bundle(media: &Media) -> bool {
    !media.rejected && media.transport.is_rtp()
}

/// Takes one media out of its bundle.
fn leave(media: &mut Media) {
    if let Some(extras) = media.extras.as_deref_mut() {
        extras.bundle_head = None;
        extras.bundle_offered = false;
        extras.bundle_only = false;
    }
}

/// Offers no bundle any more.
fn withdraw(leg: &mut Leg) {
    for media in &mut leg.medias {
        if let Some(extras) = media.extras.as_deref_mut() {
            extras.bundle_offered = false;
        }
    }
}

fn part(leg: &mut Leg) {
    for media in &mut leg.medias {
        if let Some(extras) = media.extras.as_deref_mut() {
            extras.bundle_head = None;
            extras.bundle_only = false;
        }
    }
}
