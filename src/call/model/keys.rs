//! The keys that two sides agreed on by SDP, for the data plane (RFC 4568; spec: sdp-rewriting §7,
//! media-behaviour §7).

use std::time::Instant;

use windlass_sdp::{CryptoLine, SessionParameters};
use windlass_srtp::{Keys, Mki, Parameters, Suite};

use super::call::Call;
use super::media::{Media, Sdes};
use crate::flow::secure::{Protection, Security};
use crate::limits::{LATE_KEYS, PROTECTIONS_PER_LEG};

impl Call {
    /// Brings the protection of all medias in line with what is agreed. A media whose keys are the
    /// same keeps what was received and sent under them.
    pub(crate) fn settle_keys(&mut self) {
        // Keys come with signalling alone.
        let late_until = self.last_signal.instant + LATE_KEYS;
        for leg in &mut self.legs {
            for media in &mut leg.medias {
                let (line, is_secure) = (media.line, media.is_secure());
                let has_answered = media.has_answered;
                let Some(own) = media.extras.as_deref_mut() else {
                    continue;
                };
                let is_used = is_secure && own.passthrough.is_none() && own.dtls.is_none();
                let wanted = is_used.then(|| own.sdes.wanted(has_answered)).flatten();
                let before = own.sdes.protection.take();
                if before.is_none() && wanted.is_none() {
                    continue;
                }
                let known = &mut leg.extras.get_or_insert_default().protections;
                let count = known.0.len();
                own.sdes.protection = known.settle(line, before, wanted, late_until);
                let made = own.sdes.protection.as_ref();
                if let Some(made) = made.filter(|_| known.0.len() != count)
                    && let Some(left_out) = made.left_out()
                {
                    tracing::warn!(
                        call_id = %self.id, line = line + 1, left_out,
                        "SDP leaves out protection of SRTP"
                    );
                }
            }
        }
    }
}

/// The protections that the medias of a leg had, the latest last. Keys may come back: by a call that
/// was fax meanwhile, by another fork's answer, by an offer that was refused. Then what was received
/// and sent under them counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Protections(Vec<(usize, Protection)>);

impl Protections {
    fn settle(
        &mut self,
        line: usize,
        before: Option<Protection>,
        wanted: Option<(Vec<Keys>, Keys)>,
        late_until: Instant,
    ) -> Option<Protection> {
        let (open, seal) = wanted?;
        if before
            .as_ref()
            .is_some_and(|before| before.has_keys(&open, &seal))
        {
            return before;
        }
        let mut known = self.0.iter();
        if let Some((_, known)) = known.find(|(_, known)| known.has_keys(&open, &seal)) {
            return Some(known.clone());
        }
        let mut of_line = self.0.iter().rev().filter(|(of, _)| *of == line);
        let latest = of_line.next().map(|(_, latest)| latest);
        // Those in force may be ones that came back, and not the latest.
        let made = match before.as_ref().or(latest) {
            Some(before) => before.rekeyed(open, seal, late_until),
            None => Protection::new(open, seal),
        };
        let made = made.ok()?;
        if self.0.len() >= PROTECTIONS_PER_LEG {
            self.0.remove(0);
        }
        self.0.push((line, made.clone()));
        Some(made)
    }

    /// The lines of the leg have other numbers: its call was merged into another.
    pub(crate) fn renumber(&mut self, lines: usize) {
        for (line, _) in &mut self.0 {
            *line += lines;
        }
    }
}

impl Media {
    /// What protects packets between us and the party.
    pub(crate) fn security(&self) -> Security {
        if self.extra(|extras| extras.is_downgraded) {
            return Security::Awaited;
        }
        if !self.is_secure() || !self.transport.is_rtp() || self.is_passed_through() {
            return Security::Plain;
        }
        let extras = self.extras.as_deref();
        let protection = extras.and_then(|extras| extras.sdes.protection.clone());
        protection.map_or(Security::Awaited, Security::Keyed)
    }
}

impl Sdes {
    /// The keys that were agreed on, of the party and ours; `None` until then. `has_answered`: the
    /// party's lines are an answer.
    fn wanted(&self, has_answered: bool) -> Option<(Vec<Keys>, Keys)> {
        if !self.is_active {
            return None;
        }
        let (theirs, ours) = self.agreed(has_answered)?;
        // What is left unprotected is negotiated for both ways (RFC 4568 §6.3): as the answer has it.
        let answer = if has_answered { theirs } else { ours };
        let parameters = told(&answer.parameters);
        let told = |keys: Keys| keys.with_parameters(parameters);
        let open = all_keys(theirs)?.into_iter().map(told);
        Some((open.collect(), told(keys(ours)?)))
    }

    /// The line of the party and ours that are in force. An answer has one, whose tag names that of
    /// the offer (RFC 4568 §5.1.2); where it names none, the suite tells.
    pub(crate) fn agreed(&self, has_answered: bool) -> Option<(&CryptoLine, &CryptoLine)> {
        let named = |answer: &CryptoLine, offer: &'_ [CryptoLine]| {
            let of_suite = |line: &CryptoLine| line.suite == answer.suite;
            let by_tag = offer.iter().position(|line| line.tag == answer.tag);
            let by_tag = by_tag.filter(|&at| offer.get(at).is_some_and(of_suite));
            by_tag.or_else(|| offer.iter().position(of_suite))
        };
        match has_answered {
            true => {
                let answer = self.theirs.first()?;
                Some((answer, self.ours.get(named(answer, &self.ours)?)?))
            }
            false => {
                let [answer] = self.ours.as_slice() else {
                    return None;
                };
                Some((self.theirs.get(named(answer, &self.theirs)?)?, answer))
            }
        }
    }
}

/// Whether packets can be protected under a line: its suite, key and identifier are usable. Other
/// parameters (a key derivation rate, FEC) are not looked at, as in the reference: packets that follow
/// them do not authenticate.
pub(crate) fn is_usable(line: &CryptoLine) -> bool {
    keys(line).is_some()
}

fn told(parameters: &SessionParameters) -> Parameters {
    Parameters {
        unencrypted_srtp: parameters.unencrypted_srtp,
        unencrypted_srtcp: parameters.unencrypted_srtcp,
        unauthenticated_srtp: parameters.unauthenticated_srtp,
    }
}

/// The keys of a line; `None` if its suite, key or identifier is none that can be used.
fn keys(line: &CryptoLine) -> Option<Keys> {
    let suite = Suite::from_name(line.suite.known_name()?)?;
    let keys = Keys::from_sdes(suite, &line.key_salt()?).ok()?;
    match line.mki {
        Some(mki) => Some(keys.with_mki(Mki::new(mki.value, mki.length).ok()?)),
        None => Some(keys),
    }
}

/// The keys that the sender of a line may use, the first of which must be usable.
fn all_keys(line: &CryptoLine) -> Option<Vec<Keys>> {
    let first = keys(line)?;
    let further = line.further.iter().filter_map(|further| {
        let mki = Mki::new(further.mki.value, further.mki.length).ok()?;
        let keys = Keys::from_sdes(first.suite(), &further.key_salt()?).ok()?;
        Some(keys.with_mki(mki))
    });
    let further: Vec<Keys> = further.collect();
    Some(std::iter::once(first).chain(further).collect())
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

    fn agreed(
        has_answered: bool,
        theirs: &[(u32, Suite)],
        ours: &[(u32, Suite)],
    ) -> Option<(u32, u32)> {
        let lines = |of: &[(u32, Suite)]| of.iter().map(|&(tag, suite)| line(tag, suite)).collect();
        let sdes = Sdes {
            theirs: lines(theirs),
            ours: lines(ours),
            is_active: true,
            ..Sdes::default()
        };
        sdes.agreed(has_answered)
            .map(|(theirs, ours)| (theirs.tag, ours.tag))
    }

    #[test]
    fn an_answer_names_the_line_of_its_offer() {
        let (cm, gcm) = (Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm);
        let offer = [(1, cm), (2, gcm), (3, Suite::Aes256CmHmacSha1_80)];
        assert_eq!(agreed(false, &offer, &[(2, gcm)]), Some((2, 2)));
        assert_eq!(agreed(true, &[(2, gcm)], &offer), Some((2, 2)));
        // A tag that means another suite names nothing.
        assert_eq!(agreed(false, &offer, &[(1, gcm)]), Some((2, 1)));
        assert_eq!(agreed(false, &offer, &[(1, Suite::AeadAes256Gcm)]), None);
        assert_eq!(agreed(false, &offer, &offer), None, "no answer yet");
        assert_eq!(agreed(false, &[], &[(1, cm)]), None);
        assert_eq!(agreed(true, &[], &offer), None);
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
