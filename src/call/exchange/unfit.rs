//! Why a line that is to be SRTP has no keys, for the log. Suites are named, keys never.

use windlass_sdp::{CryptoLine, Suite, Text};

use super::MediaExchange;
use crate::call::model::dialogue::Role;
use crate::call::model::keys::is_usable;
use crate::call::model::media::Sdes;

impl MediaExchange<'_> {
    /// Says why no media passes on this line, if that is for want of keys.
    pub(super) fn tell_unfit(&self) {
        if let Some(reason) = self.unfit() {
            tracing::warn!(reason, "no keys for SRTP: no media passes on the line");
        }
    }

    fn unfit(&self) -> Option<String> {
        let sender = &*self.sender;
        if !sender.is_secure() || sender.is_passed_through() || sender.extra(|e| e.dtls.is_some()) {
            return None;
        }
        let said = &self.description.crypto;
        let none = Sdes::default();
        let sdes = sender.extras.as_deref().map_or(&none, |own| &own.sdes);
        let can = || names(&Suite::ALL);
        match self.role {
            _ if !sdes.theirs.is_empty() => match self.role {
                Role::Answer if sdes.agreed(true).is_none() => Some(format!(
                    "the answer has {}, and we offered {}",
                    suites(&sdes.theirs),
                    suites(&sdes.offered)
                )),
                _ => None,
            },
            _ if !said.is_empty() => Some(format!(
                "{} said {}, and we can do {}",
                match self.role {
                    Role::Offer => "the offer",
                    Role::Answer => "the answer",
                },
                said.iter().map(judged).collect::<Vec<_>>().join(", "),
                can()
            )),
            Role::Answer => Some(match sdes.offered.is_empty() {
                true => "the answer has no keys, and we offered DTLS alone".to_owned(),
                false => format!(
                    "the answer has no keys, and we offered {}",
                    suites(&sdes.offered)
                ),
            }),
            Role::Offer => Some("the offer has neither keys nor a fingerprint".to_owned()),
        }
    }
}

/// A line of the party, and what is wrong with it.
fn judged(line: &CryptoLine) -> String {
    let name = name(&line.suite);
    match (line.suite.is_known(), is_usable(line)) {
        (false, _) => format!("{name} (unknown)"),
        (true, false) => format!("{name} (key or identifier unusable)"),
        (true, true) => name,
    }
}

fn suites(lines: &[CryptoLine]) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    let suites: Vec<Suite> = lines.iter().map(|line| line.suite.clone()).collect();
    names(&suites)
}

fn names(suites: &[Suite]) -> String {
    suites.iter().map(name).collect::<Vec<_>>().join(" ")
}

/// The name of a suite; one that is not ours is the party's text.
fn name(suite: &Suite) -> String {
    match suite {
        Suite::Unknown(name) => Text::as_bytes(name).escape_ascii().to_string(),
        known => known.known_name().unwrap_or_default().to_owned(),
    }
}
