//! Stage 13 as far as responses show it: authentication failures.

use std::time::Instant;

use smallvec::SmallVec;

use super::address::Source;
use super::aging::Rank;
use super::auth::Failed;
use super::ban::Evidence;
use super::identity::evidence_of;
use super::pipeline::cut;
use super::time::Part;
use super::verdict::{Alert, Stage, Verdict};
use super::{Answered, Screen};
use crate::record::security::Event;

impl Screen {
    /// Stage 13: what the upstream answered to a request of a client. Only `alerts` and `banned` of
    /// the verdict count: the response is relayed.
    pub(crate) fn judge_response(&self, answered: &Answered<'_>, now: Instant) -> Verdict {
        let mut verdict = Verdict::pass();
        let arrival = &answered.arrival;
        let Some(zone) = self.config.zones.get(usize::from(arrival.zone)) else {
            return verdict;
        };
        let policy = zone.stages.of(Stage::AuthFailures);
        if !policy.enabled {
            return verdict;
        }
        let is_challenge = matches!(answered.code, 401 | 407);
        let is_register = answered.method == b"REGISTER";
        let has_failed = match answered.code {
            401 | 407 => answered.credentials.is_some() && !answered.stale,
            // A call that is not allowed is no guess: its callee may refuse it as well.
            403 | 404 => is_register,
            _ => false,
        };
        if !is_challenge && !has_failed {
            return verdict;
        }
        let bounds = self.config.auth_failures;
        let window = Part::at(self.shared.epoch, now, bounds.window);
        let whole = Source::whole(arrival.source.ip());
        let mut part = self.shared.part(whole).lock();
        let first = answered.credentials.map(|user| (user, answered.nonce));
        let rows = || first.into_iter().chain(answered.others.iter().copied());
        let known =
            |nonce: &[u8]| !nonce.is_empty() && part.guesses.knows(whole, self.shared.nonce(nonce));
        // Users that somebody guesses at who hears what is sent to the source: of each row by itself.
        let is_heard = |(_, nonce): &(&[u8], &[u8])| arrival.is_stream || known(nonce);
        let mut users: SmallVec<[&[u8]; 2]> =
            rows().filter(is_heard).map(|(user, _)| user).collect();
        let knows = rows().any(|(_, nonce)| known(nonce));
        for challenge in answered.challenges {
            part.guesses.challenged(whole, self.shared.nonce(challenge));
        }
        if !has_failed {
            return verdict;
        }
        let evidence = evidence_of(arrival.is_stream || knows);
        let failed = part.guesses.failed(whole, evidence, window);
        if evidence == Evidence::Verified {
            part.standings.demote(Source::port(arrival.source));
        }
        drop(part);
        // Without a nonce of the upstream nobody guesses, and anybody could lock a user out.
        if evidence == Evidence::Verified && answered.credentials.is_none() {
            users.push(answered.aor);
        }
        users.sort_unstable();
        users.dedup();
        let counted = users.iter().filter(|user| !user.is_empty());
        let counts = counted.map(|user| self.count_user(user, window));
        let user = counts.max().unwrap_or(0);
        let banned = over(failed, bounds.max).and_then(|evidence| {
            self.ban_source(arrival, Stage::AuthFailures, evidence, None, now)
        });
        verdict.banned = banned;
        let mut alert = |event, action| {
            if policy.log {
                verdict.alerts.push(Alert { event, action });
            }
        };
        if is_register {
            let is_unknown = answered.code == 404;
            let event = if is_unknown {
                Event::RegisterUnknownUser
            } else {
                Event::RegisterBadPassword
            };
            alert(event, "count");
        }
        if banned.is_some() {
            alert(Event::AuthFailures, "ban");
        } else if failed.all == bounds.max || user == bounds.max {
            alert(Event::AuthFailures, "count");
        }
        verdict
    }

    /// One more failure of a user, in the name of whoever tried.
    fn count_user(&self, user: &[u8], part: Part) -> u32 {
        let mut users = self.shared.users.lock();
        let entry = users.touch(cut(user), Rank::Unverified, Default::default);
        entry.map_or(0, |(window, _)| window.count(part))
    }
}

/// Whether the failures of a source ban it, and on which evidence.
fn over(failed: Failed, max: u32) -> Option<Evidence> {
    if failed.verified >= max {
        Some(Evidence::Verified)
    } else if failed.all >= max {
        Some(Evidence::Unverified)
    } else {
        None
    }
}
