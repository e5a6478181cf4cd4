//! The keys that two sides agreed on by SDP, for the data plane (RFC 4568; spec: sdp-rewriting §7,
//! media-behaviour §7).

use windlass_sdp::CryptoLine;
use windlass_srtp::{Keys, Mki, Parameters, Suite};

use super::media::{Media, Sdes};
use super::state::Call;
use crate::flow::secure::{Protection, Security};

impl Call {
    /// Brings the protection of all medias in line with what is agreed. A media whose keys are the
    /// same keeps what was received and sent under them.
    pub(crate) fn settle_keys(&mut self) {
        for leg in &mut self.legs {
            for media in &mut leg.medias {
                let is_secure = media.is_secure();
                let Some(extras) = media.extras.as_deref_mut() else {
                    continue;
                };
                let is_used = is_secure && extras.passthrough.is_none() && extras.dtls.is_none();
                let before = extras.sdes.protection.take();
                if is_used {
                    extras.sdes.protection = extras.sdes.protect(before);
                }
            }
        }
    }
}

impl Media {
    /// What protects packets between us and the party.
    pub(crate) fn security(&self) -> Security {
        if !self.is_secure() || !self.transport.is_rtp() || self.is_passed_through() {
            return Security::Plain;
        }
        let extras = self.extras.as_deref();
        let protection = extras.and_then(|extras| extras.sdes.protection.clone());
        protection.map_or(Security::Awaited, Security::Keyed)
    }
}

impl Sdes {
    /// The protection that was agreed on; `None` until then.
    fn protect(&self, before: Option<Protection>) -> Option<Protection> {
        if !self.is_active {
            return None;
        }
        let (theirs, ours) = self.agreed()?;
        let (open, seal) = (vec![keys(theirs)?], keys(ours)?);
        match before {
            Some(before) if before.has_keys(&open, &seal) => Some(before),
            Some(before) => before.rekeyed(open, seal).ok(),
            None => Protection::new(open, seal).ok(),
        }
    }

    /// The line of the party and ours that are in force. An answer has one, whose tag names that of
    /// the offer (RFC 4568 §5.1.2); where it names none, the suite tells.
    fn agreed(&self) -> Option<(&CryptoLine, &CryptoLine)> {
        let named = |answer: &CryptoLine, offer: &'_ [CryptoLine]| {
            let by_tag = offer.iter().position(|line| line.tag == answer.tag);
            let of_suite = |line: &CryptoLine| line.suite == answer.suite;
            let by_tag = by_tag.filter(|&at| offer.get(at).is_some_and(of_suite));
            by_tag.or_else(|| offer.iter().position(of_suite))
        };
        match (self.theirs.as_slice(), self.ours.as_slice()) {
            (offer, [answer]) => Some((offer.get(named(answer, offer)?)?, answer)),
            ([answer], offer) => Some((answer, offer.get(named(answer, offer)?)?)),
            _ => None,
        }
    }
}

/// The keys of a line; `None` if the suite is unknown, or the line says something that is not done.
fn keys(line: &CryptoLine) -> Option<Keys> {
    let suite = Suite::from_name(line.suite.known_name()?)?;
    let keys = Keys::from_sdes(suite, &line.key_salt()?).ok()?;
    let keys = keys.with_parameters(Parameters {
        unencrypted_srtp: line.parameters.unencrypted_srtp,
        unencrypted_srtcp: line.parameters.unencrypted_srtcp,
        unauthenticated_srtp: line.parameters.unauthenticated_srtp,
    });
    match line.mki {
        Some(mki) => Some(keys.with_mki(Mki::new(mki.value, mki.length).ok()?)),
        None => Some(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tag: u32, suite: Suite) -> CryptoLine {
        let suite = windlass_sdp::Suite::ALL
            .into_iter()
            .find(|known| known.known_name() == Some(suite.name()))
            .unwrap();
        let length = suite.key_len().unwrap() + suite.salt_len().unwrap();
        CryptoLine::new(tag, suite, &vec![u8::try_from(tag).unwrap(); length], false)
    }

    fn agreed(theirs: &[(u32, Suite)], ours: &[(u32, Suite)]) -> Option<(u32, u32)> {
        let lines = |of: &[(u32, Suite)]| of.iter().map(|&(tag, suite)| line(tag, suite)).collect();
        let sdes = Sdes {
            theirs: lines(theirs),
            ours: lines(ours),
            is_active: true,
            ..Sdes::default()
        };
        sdes.agreed().map(|(theirs, ours)| (theirs.tag, ours.tag))
    }

    #[test]
    fn an_answer_names_the_line_of_its_offer() {
        let (cm, gcm) = (Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm);
        let offer = [(1, cm), (2, gcm), (3, Suite::Aes256CmHmacSha1_80)];
        assert_eq!(agreed(&offer, &[(2, gcm)]), Some((2, 2)));
        assert_eq!(agreed(&[(2, gcm)], &offer), Some((2, 2)));
        // A tag that means another suite names nothing.
        assert_eq!(agreed(&offer, &[(1, gcm)]), Some((2, 1)));
        assert_eq!(agreed(&offer, &[(1, Suite::AeadAes256Gcm)]), None);
        assert_eq!(agreed(&offer, &offer), None, "no answer yet");
        assert_eq!(agreed(&[], &[(1, cm)]), None);
    }

    #[test]
    fn every_suite_of_sdp_has_keys() {
        for suite in windlass_sdp::Suite::ALL {
            let length = suite.key_len().unwrap() + suite.salt_len().unwrap();
            let line = CryptoLine::new(1, suite.clone(), &vec![7; length], false);
            assert!(keys(&line).is_some(), "{suite:?}");
        }
    }
}
