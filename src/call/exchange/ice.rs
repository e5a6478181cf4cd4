//! ICE between us and both parties (RFC 8445; spec: ng-protocol §8.2, sdp-rewriting §10).

use rand::RngCore;
use windlass_ng::request::{IceLite, IceMode};

use super::MediaExchange;
use crate::call::identity;
use crate::call::model::dialogue::Role;
use crate::call::model::media::{Credentials, Endpoint, Ice, Media};
use crate::limits::ICE_CANDIDATES;

impl MediaExchange<'_> {
    pub(super) fn negotiate_ice(&mut self, endpoint: Endpoint) {
        let is_rtp = self.description.transport.is_rtp();
        let theirs = self.description.ice.is_present() && is_rtp;
        if theirs {
            self.take_their_ice(endpoint);
        } else if self.sender.has_ice() {
            self.sender.extras_mut().ice.is_active = false;
        }
        if self.sender.is_passed_through() {
            // The parties check each other; ours is one candidate among theirs.
            for media in [&mut *self.sender, &mut *self.receiver] {
                media.extras_mut().ice.is_active = false;
            }
            return;
        }
        match self.role {
            Role::Offer => self.offer_ice(theirs),
            Role::Answer => self.answer_ice(theirs),
        }
        if self.receiver.has_ice() {
            let replaced = self.replaced_extras().map(|(_, receiver)| receiver);
            let replaced = replaced.and_then(|extras| extras.ice.ours.clone());
            let ours = &mut self.receiver.extras_mut().ice.ours;
            *ours = ours.take().or(replaced);
        }
        for media in [&mut *self.sender, &mut *self.receiver] {
            if media.has_ice() {
                credit(&mut media.extras_mut().ice, self.rng);
            }
        }
    }

    fn take_their_ice(&mut self, endpoint: Endpoint) {
        let said = &self.description.ice;
        let (Some(ufrag), Some(pwd)) = (said.ufrag.clone(), said.pwd.clone()) else {
            return;
        };
        let theirs = Credentials { ufrag, pwd };
        let is_offer = self.role == Role::Offer;
        let resets = is_offer && self.request.flags.reset();
        let ice = &mut self.sender.extras_mut().ice;
        let restarts = ice.theirs.as_ref().is_some_and(|before| *before != theirs);
        if is_offer && (restarts || resets) {
            ice.ours = None;
        }
        if restarts || resets {
            ice.candidates.clear();
        }
        ice.theirs = Some(theirs);
        ice.peer_lite = said.lite;
        ice.their_ice2 = said.has_option("ice2");
        if is_offer {
            ice.trickle = self.description.is_trickle(Some(endpoint.rtp.ip()));
        }
        for candidate in &said.candidates {
            ice.add_candidate(candidate);
        }
    }

    fn offer_ice(&mut self, theirs: bool) {
        let options = &self.request.ice;
        let is_rtp = self.receiver.transport.is_rtp();
        let wanted = is_rtp
            && match options.mode {
                Some(IceMode::Remove) => false,
                Some(IceMode::Force | IceMode::Optional) => true,
                Some(IceMode::ForceRelay) => theirs,
                Some(IceMode::Default) | None if self.is_first => theirs,
                Some(IceMode::Default) | None => self.receiver.has_ice(),
            };
        if theirs {
            let rejected = options.reject;
            let ice = &mut self.sender.extras_mut().ice;
            ice.is_active = !rejected;
            ice.controlling = ice.peer_lite;
        }
        if wanted || self.receiver.has_ice() {
            let starts_anew = self.is_first;
            let ice = &mut self.receiver.extras_mut().ice;
            if starts_anew {
                // Only a request can set ICE lite (key `ICE-lite`).
                *ice = Ice {
                    lite: ice.lite,
                    ..Ice::default()
                };
            }
            ice.is_active = wanted;
            ice.controlling = true;
            ice.trickle |= options.trickle;
            ice.ice2 |= options.ice2;
        }
        let (towards_sender, towards_receiver) = match self.request.ice_lite {
            None => return,
            Some(IceLite::Off) => (false, false),
            Some(IceLite::Forward) => (false, true),
            Some(IceLite::Backward) => (true, false),
            Some(IceLite::Both) => (true, true),
        };
        set_lite(self.sender, towards_sender);
        set_lite(self.receiver, towards_receiver);
    }

    fn answer_ice(&mut self, theirs: bool) {
        if theirs && let Some(extras) = self.sender.extras.as_deref_mut() {
            let ice = &mut extras.ice;
            // Only what we offered can be answered.
            ice.is_active = ice.ours.is_some();
            ice.controlling = !ice.lite || ice.peer_lite;
        }
        if let Some(extras) = self.receiver.extras.as_deref_mut() {
            let removed = self.request.ice.mode == Some(IceMode::Remove);
            if removed || self.request.ice.reject {
                extras.ice.is_active = false;
            }
        }
    }
}

impl Ice {
    /// Keeps a candidate of the party, unless it is known or there are too many.
    pub(crate) fn add_candidate(&mut self, candidate: &windlass_sdp::Candidate) {
        let is_known = self.candidates.iter().any(|known| {
            known.address == candidate.address && known.component == candidate.component
        });
        if candidate.is_udp() && !is_known && self.candidates.len() < ICE_CANDIDATES {
            // It outlives the SDP that named it, as long as ICE is not restarted.
            self.candidates.push(candidate.detached());
        }
    }
}

fn set_lite(media: &mut Media, lite: bool) {
    if lite || media.extra(|extras| extras.ice.lite) {
        media.extras_mut().ice.lite = lite;
    }
}

fn credit(ice: &mut Ice, rng: &mut dyn RngCore) {
    if ice.ours.is_none() {
        ice.ours = Some(identity::credentials(rng));
    }
}
