//! Several medias on one port (RFC 9143; spec: ng-protocol §8.9, sdp-rewriting §9).

use windlass_ng::Request;
use windlass_ng::request::BundleOptions;
use windlass_sdp::{SessionDescription, Text};

use super::extensions::mid_of;
use super::{Context, Endpoint};
use crate::call::model::call::Call;
use crate::call::model::dialogue::{Parties, Role};
use crate::call::model::leg::Leg;
use crate::call::model::media::Media;

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
        let accepted = sender.settle_bundling(!groups.is_empty(), options);
        sender.take_bundles(&groups, accepted);
        match role {
            Role::Answer => elect(receiver),
            Role::Offer => receiver.offer_bundle(sdp, options),
        }
    }
}

impl Call {
    /// A line with port 0 and `a=bundle-only` in an offered group that is taken up is not turned
    /// down: it shares the address of the group's first line (RFC 9143 §7.2.1).
    pub(super) fn share_head_endpoints(
        &self,
        parties: Parties,
        sdp: &SessionDescription,
        endpoints: &mut [Option<Endpoint>],
        context: &Context<'_>,
    ) {
        let (request, role) = (context.request, context.dialogue.role);
        let sender = self.legs.get(parties.sender);
        let bundles = sender
            .and_then(|leg| leg.extras.as_deref())
            .is_some_and(|extras| extras.bundles);
        let options = &request.bundle;
        let is_taken_up = bundles || options.accept || options.require;
        if role != Role::Offer || options.reject || !is_taken_up {
            return;
        }
        for group in sdp.bundle_groups() {
            let is_in = |media: &windlass_sdp::Media| {
                media.mid.as_ref().is_some_and(|mid| group.contains(mid))
            };
            let mut lines = sdp.media.iter().zip(&*endpoints);
            let head = lines.find_map(|(media, endpoint)| endpoint.filter(|_| is_in(media)));
            for (media, endpoint) in sdp.media.iter().zip(endpoints.iter_mut()) {
                if is_in(media) && media.is_bundle_only() && endpoint.is_none() {
                    *endpoint = head;
                }
            }
        }
    }
}

impl Leg {
    /// Whether the party bundles: it does for the rest of the call once it was accepted or
    /// offered, until a request turns it down.
    fn settle_bundling(&mut self, has_groups: bool, options: &BundleOptions) -> bool {
        let bundles = self.extras.as_deref().is_some_and(|extras| extras.bundles);
        let now = !options.reject && (bundles || options.accept && has_groups);
        if now != bundles {
            self.extras_mut().bundles = now;
        }
        now
    }

    /// Puts together what the party bundles, if that is accepted.
    fn take_bundles(&mut self, groups: &[&[Text]], accepted: bool) {
        if accepted {
            join(self, groups);
        } else {
            part(self);
        }
    }

    /// Bundles what is offered to the party, as the options say; `sdp` is what is offered.
    fn offer_bundle(&mut self, sdp: &SessionDescription, options: &BundleOptions) {
        if options.offer {
            self.extras_mut().bundles = true;
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
            self.number_mids();
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
                    // The port of the bundle is known to the party by now.
                    extras.bundle_only = false;
                }
            }
        }
    }
}

/// Puts the medias of every group together behind the first of them that is in use, as far as
/// their packets can be told apart.
fn join(leg: &mut Leg, groups: &[&[Text]]) {
    part(leg);
    for group in groups {
        let is_in = |media: &&Media| {
            can_bundle(media) && media.mid.as_ref().is_some_and(|mid| group.contains(mid))
        };
        let members: Vec<&Media> = leg.medias.iter().filter(is_in).collect();
        let Some(head) = members.first().copied() else {
            continue;
        };
        let position = leg.medias.iter().position(|media| media.line == head.line);
        let is_apart = |media: &&&Media| can_share(media, head, &members);
        let lines: Vec<usize> = members.iter().filter(is_apart).map(|m| m.line).collect();
        if !lines.contains(&head.line) {
            continue;
        }
        for media in &mut leg.medias {
            if lines.contains(&media.line) {
                media.extras_mut().bundle_head = position;
            }
        }
    }
}

/// Whether the packets of a media can be told from those of the others in its group (RFC 9143
/// §9.2): by MID as the head has it, or by payload types that no other has. A port for RTCP of its
/// own it has if the head has one.
fn can_share(media: &Media, head: &Media, group: &[&Media]) -> bool {
    let number = |media: &Media| {
        let extras = media.extras.as_deref();
        extras.and_then(|extras| mid_of(&extras.extensions.list))
    };
    let has_mid = || {
        let length = media.mid.as_ref().map_or(0, |mid| mid.as_bytes().len());
        number(media) == number(head) && (1..=255).contains(&length)
    };
    let has_own_types = || {
        let mut others = group.iter().filter(|other| other.line != media.line);
        others.all(|other| !other.formats.types.intersects(media.formats.types))
    };
    media.mux.theirs == head.mux.theirs
        && match number(media) {
            Some(_) => has_mid(),
            None => has_own_types(),
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
