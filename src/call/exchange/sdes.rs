//! Keys by SDP (RFC 4568; spec: ng-protocol §8.4, sdp-rewriting §7).

use rand::RngCore;
use windlass_ng::request::SdesOptions;
use windlass_sdp::{CryptoLine, Lifetime, SessionParameters, Suite, Text};

use super::MediaExchange;
use crate::call::model::dialogue::Role;
use crate::call::model::keys::is_usable;
use crate::call::model::media::Sdes;

impl MediaExchange<'_> {
    pub(super) fn negotiate_sdes(&mut self) {
        let mut lines = self.description.crypto.clone();
        lines.retain(|line| line.suite.is_known() && is_usable(line));
        if !self.sender.is_secure() || self.sender.is_passed_through() {
            lines.clear();
        }
        if !lines.is_empty() || self.sender.extra(|extras| extras.sdes.is_active) {
            let sdes = &mut self.sender.extras_mut().sdes;
            sdes.is_active = !lines.is_empty();
            sdes.theirs = lines;
        }
        match self.role {
            Role::Offer => self.offer_sdes(),
            Role::Answer => self.answer_sdes(),
        }
    }

    fn offer_sdes(&mut self) {
        let options = &self.request.sdes;
        if let Some(extras) = self.sender.extras.as_deref_mut() {
            extras.sdes.prune(options);
            extras.sdes.is_preferred = options.prefer;
        }
        let theirs = self.sender.extras.as_deref();
        let received = theirs
            .map(|extras| extras.sdes.theirs.clone())
            .unwrap_or_default();
        if let Some(extras) = self.sender.extras.as_deref_mut() {
            extras.sdes.prefers_first = false;
            extras.sdes.prefer(options);
        }
        if !self.receiver.is_secure() || self.receiver.is_passed_through() {
            if let Some(extras) = self.receiver.extras.as_deref_mut() {
                extras.sdes = Sdes::default();
            }
            return;
        }
        let is_first = self.is_first;
        let replaced = self.replaced_lines();
        let extras = self.receiver.extras_mut();
        let is_decided = !is_first && (extras.sdes.is_active || extras.dtls.is_some());
        let is_offered = match is_decided {
            true => extras.sdes.is_active,
            false => !options.off,
        };
        extras.sdes.is_active = is_offered;
        extras.sdes.ours = match is_offered {
            true => offer_lines(&received, &extras.sdes.ours, &replaced, options, self.rng),
            false => Vec::new(),
        };
        // They may outlive the SDP that they were copied from.
        let ours = extras.sdes.ours.iter();
        extras.sdes.offered = ours.map(CryptoLine::detached).collect();
    }

    /// The lines of our own making in the offer that this one replaces.
    fn replaced_lines(&self) -> Vec<CryptoLine> {
        let Some((sender, receiver)) = self.replaced_extras() else {
            return Vec::new();
        };
        let copied = sender.map_or(&[][..], |extras| &extras.sdes.theirs);
        let is_ours = |line: &&CryptoLine| !copied.iter().any(|other| other.key == line.key);
        let offered = receiver.sdes.offered.iter();
        offered.filter(is_ours).cloned().collect()
    }

    fn answer_sdes(&mut self) {
        let options = &self.request.sdes;
        if let Some(extras) = self.sender.extras.as_deref_mut() {
            // What the answerer did not take up is off, also for the next offer.
            let answered = !extras.sdes.theirs.is_empty();
            extras.sdes.is_active = answered;
            let agreed = extras.sdes.theirs.first().map(|line| line.tag);
            let Sdes { ours, offered, .. } = &mut extras.sdes;
            // Every answer is to what was offered, whatever another one took of it (forks).
            ours.clone_from(offered);
            if !answered {
                ours.clear();
            } else if let Some(agreed) = agreed
                && ours.iter().any(|line| line.tag == agreed)
            {
                // The key of what was agreed on stays for later offers; the others are new then.
                ours.retain(|line| line.tag == agreed);
            }
        }
        let chosen = self.sender.extras.as_deref();
        let chosen = chosen.and_then(|extras| extras.sdes.theirs.first().cloned());
        let Some(extras) = self.receiver.extras.as_deref_mut() else {
            return;
        };
        let sdes = &mut extras.sdes;
        if sdes.theirs.is_empty() {
            return;
        }
        sdes.is_active = true;
        sdes.prune(options);
        sdes.prefer(options);
        let line = answer_line(sdes, chosen.as_ref(), options, self.rng);
        sdes.ours = line.into_iter().collect();
    }
}

impl Sdes {
    /// Leaves out of the party's lines what is not wanted, but never all.
    fn prune(&mut self, options: &SdesOptions) {
        let takes = |line: &&CryptoLine| options.no_new || options.takes(line);
        let wanted: Vec<CryptoLine> = self.theirs.iter().filter(takes).cloned().collect();
        if wanted.is_empty() {
            self.theirs.truncate(1);
        } else {
            self.theirs = wanted;
        }
    }

    /// Orders the party's lines by preference for the answer (`offerer_pref`).
    fn prefer(&mut self, options: &SdesOptions) {
        let first = self.theirs.first().map(|line| line.tag);
        self.theirs = ordered(std::mem::take(&mut self.theirs), &options.offerer_pref);
        self.prefers_first |= self.theirs.first().map(|line| line.tag) != first;
    }
}

/// Whether the options of a request let a suite pass.
trait Takes {
    fn takes(&self, line: &CryptoLine) -> bool;
    fn takes_suite(&self, suite: &Suite) -> bool;
}

impl Takes for SdesOptions {
    fn takes(&self, line: &CryptoLine) -> bool {
        self.takes_suite(&line.suite)
    }

    fn takes_suite(&self, suite: &Suite) -> bool {
        let named = |list: &[String]| {
            suite
                .known_name()
                .is_some_and(|name| Self::names_suite(list, name))
        };
        match self.only.is_empty() {
            true => !named(&self.no),
            false => named(&self.only),
        }
    }
}

/// The lines of an offer: the received ones, those of our last offer, and every other suite; with
/// the keys of an offer that is `replaced` before it was answered.
fn offer_lines(
    received: &[CryptoLine],
    before: &[CryptoLine],
    replaced: &[CryptoLine],
    options: &SdesOptions,
    rng: &mut dyn RngCore,
) -> Vec<CryptoLine> {
    let mut lines: Vec<CryptoLine> = Vec::with_capacity(Suite::ALL.len());
    let takes = |line: &&CryptoLine| options.no_new || options.takes(line);
    for line in received.iter().filter(takes).chain(before) {
        let is_new = !lines.iter().any(|known| known.suite == line.suite);
        if is_new {
            let of_suite = |ours: &&CryptoLine| ours.suite == line.suite;
            let mut line = match line.further.is_empty() {
                true => line.clone(),
                // Of several keys we could use but one to seal, and what came under another would be
                // numbered anew under it: two packets of RTCP under one key and number.
                false => match before.iter().chain(replaced).find(of_suite) {
                    Some(ours) => CryptoLine {
                        tag: line.tag,
                        ..ours.clone()
                    },
                    None => CryptoLine {
                        parameters: line.parameters.clone(),
                        ..fresh(line.tag, line.suite.clone(), rng)
                    },
                },
            };
            if lines.iter().any(|known| known.tag == line.tag) {
                line.tag = next_tag(&lines);
            }
            lines.push(line);
        }
    }
    if !options.no_new {
        for suite in Suite::ALL {
            let is_listed = lines.iter().any(|line| line.suite == suite);
            if !is_listed && options.takes_suite(&suite) {
                let tag = next_tag(&lines);
                let of_suite = |line: &&CryptoLine| line.suite == suite;
                lines.push(match replaced.iter().find(of_suite) {
                    Some(line) => CryptoLine {
                        tag,
                        parameters: SessionParameters::default(),
                        ..line.clone()
                    },
                    None => fresh(tag, suite, rng),
                });
            }
        }
    }
    let mut lines = ordered(lines, &options.order);
    for line in &mut lines {
        dress(line, options, Role::Offer);
    }
    lines
}

/// Chooses the line of an answer.
fn answer_line(
    sdes: &Sdes,
    chosen: Option<&CryptoLine>,
    options: &SdesOptions,
    rng: &mut dyn RngCore,
) -> Option<CryptoLine> {
    let offered = &sdes.theirs;
    let before = sdes.ours.first();
    // The tag of an answer is one of its offer, whatever the key was offered under before
    // (RFC 4568 §5.1.2).
    let before = before.and_then(|line| {
        let tag = offered.iter().find(|other| other.suite == line.suite)?.tag;
        Some(CryptoLine {
            tag,
            ..line.clone()
        })
    });
    if let Some(before) = &before
        && options.keep_selected
    {
        return Some(before.clone());
    }
    let is_preferred = |line: &&CryptoLine| {
        !sdes.prefers_first
            || offered
                .first()
                .is_some_and(|first| first.suite == line.suite)
    };
    let is_single = |line: &&CryptoLine| line.further.is_empty();
    let chosen = chosen.filter(is_preferred).filter(is_single);
    let copied = chosen.and_then(|chosen| {
        let offered = offered.iter().find(|line| line.suite == chosen.suite)?;
        Some(CryptoLine {
            tag: offered.tag,
            lifetime: None,
            // What is left unprotected is agreed on (RFC 4568 §6.3): the answer repeats it.
            parameters: offered.parameters.clone(),
            ..chosen.clone()
        })
    });
    let mut line = match (copied, before, offered.first()) {
        (Some(line), _, _) => line,
        (None, Some(before), Some(first)) if before.suite == first.suite => before,
        (None, _, Some(first)) => CryptoLine {
            // What is left unprotected is agreed on (RFC 4568 §6.3): the answer repeats it.
            parameters: first.parameters.clone(),
            ..fresh(first.tag, first.suite.clone(), rng)
        },
        (None, _, None) => return None,
    };
    dress(&mut line, options, Role::Answer);
    Some(line)
}

/// The tag after the highest so far.
fn next_tag(lines: &[CryptoLine]) -> u32 {
    let highest = lines.iter().map(|line| line.tag).max();
    highest.unwrap_or(0).saturating_add(1)
}

/// A line with a new key.
fn fresh(tag: u32, suite: Suite, rng: &mut dyn RngCore) -> CryptoLine {
    let length = suite.key_len().zip(suite.salt_len());
    let mut key = vec![0; length.map_or(30, |(key, salt)| key + salt)];
    rng.fill_bytes(&mut key);
    CryptoLine::new(tag, suite, &key, false)
}

/// Applies the options to a line: lifetime, padding, session parameters. An answer can only remove
/// parameters; adding one would give up protection that the offer has.
fn dress(line: &mut CryptoLine, options: &SdesOptions, role: Role) {
    line.lifetime = options.lifetime.then_some(Lifetime::DEFAULT);
    line.key = padded(&line.key, options.pad);
    line.parameters.others.clear();
    for (wanted, parameter) in [
        (
            options.unencrypted_srtp,
            &mut line.parameters.unencrypted_srtp,
        ),
        (
            options.unencrypted_srtcp,
            &mut line.parameters.unencrypted_srtcp,
        ),
        (
            options.unauthenticated_srtp,
            &mut line.parameters.unauthenticated_srtp,
        ),
    ] {
        let wanted = wanted.filter(|wanted| role == Role::Offer || !wanted);
        *parameter = wanted.unwrap_or(*parameter);
    }
}

/// Base64 text with its padding, or without.
fn padded(key: &Text, pad: bool) -> Text {
    let bare = key.as_bytes();
    let end = bare
        .iter()
        .rposition(|&byte| byte != b'=')
        .map_or(0, |last| last + 1);
    let bare = bare.get(..end).unwrap_or(bare);
    let missing = (4 - bare.len() % 4) % 4;
    if bare.len() == key.len() && (!pad || missing == 0) {
        return key.clone();
    }
    let mut text = bare.to_vec();
    if pad {
        text.resize(text.len() + missing, b'=');
    }
    text.into()
}

/// Moves the named suites to the front, in the order of their names.
fn ordered(mut lines: Vec<CryptoLine>, names: &[String]) -> Vec<CryptoLine> {
    let rank = |line: &CryptoLine| {
        let name = line.suite.known_name().unwrap_or_default();
        let named = names.iter().position(|n| n.eq_ignore_ascii_case(name));
        named.unwrap_or(names.len())
    };
    lines.sort_by_key(rank);
    lines
}
