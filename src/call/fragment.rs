//! Pieces of an offer that come later, with more candidates (trickle ICE, RFC 8838, RFC 8840).

use std::time::Instant;

use windlass_ng::Tag;
use windlass_sdp::SessionDescription;

use super::model::call::Call;
use super::model::leg::LegIndex;
use super::model::media::{Media, read_again};
use super::timeouts::FRAGMENT_PATIENCE;
use crate::limits::EARLY_FRAGMENTS;

impl Call {
    /// Takes the candidates of a piece; keeps the piece if its offer has not come yet.
    pub(crate) fn take_fragment(&mut self, tag: &Tag, text: &[u8], now: Instant) {
        let Some(sdp) = read_again(&text.into()) else {
            tracing::warn!(call_id = %self.id, "a piece of an offer cannot be read");
            return;
        };
        match self.leg_by_tag(tag) {
            Some(leg) => {
                if let Some(leg) = self.legs.get_mut(leg) {
                    add_candidates(&mut leg.medias, &sdp);
                }
                for medias in self.proposed_medias_mut(leg) {
                    add_candidates(medias, &sdp);
                }
            }
            None => {
                let early = &mut self.extras_mut().early_fragments;
                early.retain(|(_, _, at)| now.saturating_duration_since(*at) < FRAGMENT_PATIENCE);
                if early.len() < EARLY_FRAGMENTS {
                    early.push((tag.clone(), text.into(), now));
                }
            }
        }
    }

    /// Applies the pieces that came before a party's offer or answer.
    pub(crate) fn apply_early_fragments(&mut self, leg: LegIndex, now: Instant) {
        let Some(extras) = self.extras.as_deref_mut() else {
            return;
        };
        let Some(leg) = self.legs.get_mut(leg) else {
            return;
        };
        extras.early_fragments.retain(|(tag, text, at)| {
            if leg.has_tag(tag)
                && now.saturating_duration_since(*at) < FRAGMENT_PATIENCE
                && let Some(sdp) = read_again(text)
            {
                add_candidates(&mut leg.medias, &sdp);
            }
            !leg.has_tag(tag)
        });
    }
}

fn add_candidates(medias: &mut [Media], sdp: &SessionDescription) {
    for (index, piece) in sdp.media.iter().enumerate() {
        let by_mid = piece.mid.as_ref().and_then(|mid| {
            medias
                .iter()
                .position(|media| media.mid.as_ref() == Some(mid))
        });
        let Some(media) = medias.get_mut(by_mid.unwrap_or(index)) else {
            continue;
        };
        let Some(ice) = media.extras.as_deref_mut().map(|extras| &mut extras.ice) else {
            continue;
        };
        // A piece of an earlier generation is of no use (RFC 8840 §4.4).
        let is_current = match (&piece.ice.ufrag, &ice.theirs) {
            (Some(ufrag), Some(theirs)) => *ufrag == theirs.ufrag,
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_current {
            for candidate in &piece.ice.candidates {
                ice.add_candidate(candidate);
            }
        }
    }
}
