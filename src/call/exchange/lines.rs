//! Pairing of the m= lines of two parties.

use windlass_ng::Request;
use windlass_sdp::{MediaKind, SessionDescription, Text};

use super::{Context, ExchangeError};
use crate::call::model::call::Call;
use crate::call::model::dialogue::{Parties, Role};
use crate::call::model::leg::Leg;
use crate::call::model::media::{LegacyPair, Media};
use crate::limits::LINES_PER_CALL;

/// One line of an exchange, by positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Position in the SDP.
    pub(super) said: usize,
    /// Among the medias of the sender.
    pub(super) sender: usize,
    /// Among the medias of the receiver; `None`: it is not to know of it.
    pub(super) receiver: Option<usize>,
}

impl Call {
    /// Finds the medias of both parties for every line of an SDP, and creates those that are new.
    pub(super) fn pair_lines(
        &mut self,
        parties: Parties,
        sdp: &SessionDescription,
        request: &Request,
        role: Role,
    ) -> Result<Vec<Line>, ExchangeError> {
        if sdp.media.len() > LINES_PER_CALL {
            return Err(ExchangeError::TooManyLines);
        }
        let mut next = self.next_line();
        let [Some(sender), Some(receiver)] = self.legs_mut(parties) else {
            return Ok(Vec::new());
        };
        // A party that was not offered anything itself answers what another one was offered.
        let answers_anothers = role == Role::Answer && sender.medias.is_empty();
        let mut lines = Vec::with_capacity(sdp.media.len());
        let mut position = 0;
        while let Some(first) = sdp.media.get(position) {
            let second = sdp.media.get(position + 1);
            let pair = second.and_then(|second| legacy_pair(first, second));
            let index = lines.len();
            if sender.medias.len() <= index {
                let offered = match answers_anothers {
                    true => receiver.medias.get(index),
                    // A party that came from another call may have a line of the kind already.
                    false if role == Role::Offer => receiver.free_line(first.kind, &sender.medias),
                    false => None,
                };
                let line = offered.map_or(next, |offered| offered.line);
                next = next.max(line + 1);
                let mut media = Media::like(line, first);
                if role == Role::Offer && request.osrtp.accept_legacy && pair.is_some() {
                    media.extras_mut().legacy = pair;
                }
                add(sender, media, sdp.media.len())?;
            }
            let Some(media) = sender.medias.get_mut(index) else {
                break;
            };
            let known = media.extras.as_deref().and_then(|extras| extras.legacy);
            let said = match (known, pair) {
                (Some(_), Some(order)) => {
                    let (plain, secure) = match order {
                        LegacyPair::RtpFirst => (position, position + 1),
                        LegacyPair::SrtpFirst => (position + 1, position),
                    };
                    position += 2;
                    let takes_secure = sdp.media.get(secure).is_some_and(|m| !m.is_rejected());
                    if takes_secure { secure } else { plain }
                }
                _ => {
                    if known.is_some() {
                        media.extras_mut().legacy = None;
                    }
                    position += 1;
                    position - 1
                }
            };
            let (line, kind) = (media.line, first.kind);
            let found = receiver.medias.iter().position(|media| media.line == line);
            let is_hidden = role == Role::Offer && is_removed(kind, &request.sdp_media_remove);
            let receiver = match found {
                Some(position) => Some(position),
                None if is_hidden => None,
                // An answer has the lines of its offer and no more (RFC 3264 §6): what was hidden from
                // the offerer has no place in it.
                None if role == Role::Answer && !receiver.medias.is_empty() => None,
                None => {
                    add(receiver, Media::like(line, first), sdp.media.len())?;
                    Some(receiver.medias.len() - 1)
                }
            };
            lines.push(Line {
                said,
                sender: index,
                receiver,
            });
        }
        for line in &lines {
            self.number_media(parties.sender, line.sender);
            if let Some(receiver) = line.receiver {
                self.number_media(parties.receiver, receiver);
            }
        }
        Ok(lines)
    }

    /// Gives the receiver's medias of an offer a mid where the offer has none (`generate-mid`).
    pub(super) fn generate_mids(
        &mut self,
        parties: Parties,
        sdp: &SessionDescription,
        lines: &[Line],
        context: &Context<'_>,
    ) {
        let is_offer = context.dialogue.role == Role::Offer;
        if !is_offer || !context.request.flags.generate_mid() {
            return;
        }
        let Some(receiver) = self.legs.get_mut(parties.receiver) else {
            return;
        };
        for line in lines {
            let is_named = sdp
                .media
                .get(line.said)
                .is_some_and(|media| media.mid.is_some());
            if let (Some(index), false) = (line.receiver, is_named) {
                receiver.generate_mid(index, sdp);
            }
        }
    }

    /// Both legs at once.
    pub(super) fn legs_mut(&mut self, parties: Parties) -> [Option<&mut Leg>; 2] {
        match self
            .legs
            .get_disjoint_mut([parties.sender, parties.receiver])
        {
            Ok([sender, receiver]) => [Some(sender), Some(receiver)],
            Err(_) => [None, None],
        }
    }
}

impl Leg {
    /// A media of this kind that the other party, whose medias are given, has no line for.
    fn free_line(&self, kind: MediaKind, others: &[Media]) -> Option<&Media> {
        let is_free = |media: &&Media| {
            media.kind == kind && others.iter().all(|other| other.line != media.line)
        };
        self.medias.iter().find(is_free)
    }

    /// Gives a media a mid if it has none: its number, or the next that is not in use.
    pub(crate) fn generate_mid(&mut self, index: usize, sdp: &SessionDescription) {
        let has_one = |media: &Media| media.mid.is_some();
        if self.medias.get(index).is_none_or(has_one) {
            return;
        }
        let is_used = |mid: &Text| {
            let theirs = sdp.media.iter().map(|media| media.mid.as_ref());
            let ours = self.medias.iter().map(|media| media.mid.as_ref());
            theirs.chain(ours).flatten().any(|other| other == mid)
        };
        let mut numbers = (index + 1..).map(|number| Text::from(number.to_string()));
        let mid = numbers.find(|mid| !is_used(mid));
        if let Some(media) = self.medias.get_mut(index) {
            media.has_our_mid = mid.is_some();
            media.mid = mid;
        }
    }
}

/// Most calls have one media for life, so no capacity is reserved for more.
fn add(leg: &mut Leg, media: Media, expected: usize) -> Result<(), ExchangeError> {
    if leg.medias.len() >= LINES_PER_CALL {
        return Err(ExchangeError::TooManyLines);
    }
    let more = expected.max(leg.medias.len() + 1) - leg.medias.len();
    leg.medias.reserve_exact(more);
    leg.medias.push(media);
    Ok(())
}

/// Whether two neighbouring lines offer one media as RTP and as SRTP (ng-protocol §8.6).
fn legacy_pair(first: &windlass_sdp::Media, second: &windlass_sdp::Media) -> Option<LegacyPair> {
    let is_rtp = first.transport.is_rtp() && second.transport.is_rtp();
    if first.kind != second.kind || !is_rtp {
        return None;
    }
    match (first.transport.is_srtp(), second.transport.is_srtp()) {
        (false, true) => Some(LegacyPair::RtpFirst),
        (true, false) => Some(LegacyPair::SrtpFirst),
        _ => None,
    }
}

/// Whether `sdp-media-remove` names the media type.
pub(super) fn is_removed(kind: MediaKind, removed: &[String]) -> bool {
    removed.iter().any(|name| {
        let named = MediaKind::from_name(name);
        named == kind && (named != MediaKind::Other || name.eq_ignore_ascii_case("other"))
    })
}

/// Sessions over TCP do not pass through a UDP relay: MSRP is left as it is (sdp-rewriting §11).
pub(crate) fn is_bypassed(description: &windlass_sdp::Media) -> bool {
    description.kind == MediaKind::Message && !description.transport.is_rtp()
}
