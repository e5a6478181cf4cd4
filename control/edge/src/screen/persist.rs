//! What of the screen outlives the process, as data (spec §9 "Restart"): bans, trust, and
//! authentication failures of sources and users. Floods and rates are made anew within seconds, and
//! bonds with the bindings and calls that they stand for.

use std::time::{Duration, Instant};

use super::Screen;
use super::address::Source;
use super::aging::Rank;
use super::auth::SavedGuess;
use super::ban::{Ban, Evidence, Reason};
use super::time::{Part, Window};
use super::verdict::Stage;

/// The format of [`State`]; a reader refuses later ones.
pub(crate) const VERSION: u16 = 1;

/// What is saved. Times are ages, so they mean the same to a process with another origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) version: u16,
    pub(crate) bans: Vec<SavedBan>,
    pub(crate) sources: Vec<SavedGuess>,
    pub(crate) users: Vec<SavedUser>,
    pub(crate) trusted: Vec<SavedTrust>,
}

/// A source that is trusted because of what was accepted from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedTrust {
    pub(crate) source: Source,
    pub(crate) remaining: Duration,
}

/// One ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedBan {
    pub(crate) source: Source,
    /// `None`: an operator; else the number of the stage.
    pub(crate) stage: Option<u8>,
    pub(crate) is_verified: bool,
    pub(crate) times: u8,
    pub(crate) refused: u32,
    /// Zero: it ended.
    pub(crate) remaining: Duration,
    /// Since it ended; zero if it did not.
    pub(crate) over_for: Duration,
    /// Since the first and the last evidence.
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

/// Failures of a user by age, the youngest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedUser {
    pub(crate) user: Vec<u8>,
    pub(crate) failures: [u16; 16],
}

/// Why a state cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    #[error("format {0}, {VERSION} and earlier are known")]
    Version(u16),
}

impl Screen {
    /// The state at `now`. Parts are locked one after the other, so what happens meanwhile may be in
    /// it or not.
    pub(crate) fn save(&self, now: Instant) -> State {
        let tick = self.tick(now);
        let window = self.auth_part(now);
        let bans = self.bans().into_iter().map(|(source, ban)| SavedBan {
            source,
            stage: match ban.reason {
                Reason::Operator => None,
                Reason::Stage(stage) => Some(stage as u8),
            },
            is_verified: ban.evidence == Evidence::Verified,
            times: ban.times,
            refused: ban.refused,
            remaining: ban.until.since(tick),
            over_for: tick.since(ban.until),
            first: tick.since(ban.first),
            last: tick.since(ban.last),
        });
        let (mut sources, mut trusted) = (Vec::new(), Vec::new());
        for part in self.shared.parts() {
            let part = part.lock();
            sources.extend(part.guesses.save(window));
            trusted.extend(part.standings.save(tick));
        }
        let users = self.shared.users.lock();
        let users = users.iter().map(|(user, failures, _)| SavedUser {
            user: user.clone(),
            failures: failures.ages(window),
        });
        State {
            version: VERSION,
            bans: bans.collect(),
            sources,
            users: users.filter(|u| u.failures != [0; 16]).collect(),
            trusted,
        }
    }

    /// Takes a state up that was saved `down` ago. Bans went on meanwhile, failures did not age.
    ///
    /// # Errors
    /// A format that this version does not know; nothing is restored then.
    pub(crate) fn restore(
        &self,
        state: &State,
        down: Duration,
        now: Instant,
    ) -> Result<(), StateError> {
        if state.version > VERSION {
            return Err(StateError::Version(state.version));
        }
        let tick = self.tick(now);
        for saved in &state.bans {
            let until = tick.after(saved.remaining.saturating_sub(down));
            let stage = saved.stage.map(Stage::from_number);
            // A stage that this version does not have: the ban stays, with a reason that it has.
            let reason = stage.map_or(Reason::Operator, |stage| {
                Reason::Stage(stage.unwrap_or(Stage::Bans))
            });
            let ban = Ban {
                reason,
                evidence: if saved.is_verified {
                    Evidence::Verified
                } else {
                    Evidence::Unverified
                },
                times: saved.times,
                first: tick.before(saved.first.saturating_add(down)),
                last: tick.before(saved.last.saturating_add(down)),
                until: if saved.remaining > down {
                    until
                } else {
                    tick.before(
                        saved
                            .over_for
                            .saturating_add(down.saturating_sub(saved.remaining)),
                    )
                },
                refused: saved.refused,
                is_told: saved.remaining.is_zero(),
            };
            let source = Source::whole(saved.source.ip());
            let mut part = self.shared.part(source).lock();
            // A smaller table than before keeps what fits.
            let _ = part.bans.restore(saved.source, ban);
        }
        for saved in &state.trusted {
            let left = saved.remaining.saturating_sub(down);
            // A later configuration may trust for a shorter time.
            let left = left.min(self.config.trust_for);
            if !left.is_zero() {
                let mut part = self.shared.part(Source::whole(saved.source.ip())).lock();
                part.standings.promote(saved.source, tick.after(left));
            }
        }
        let window = self.auth_part(now);
        for saved in &state.sources {
            let mut part = self.shared.part(saved.source).lock();
            part.guesses.restore(saved, window);
        }
        let mut users = self.shared.users.lock();
        for saved in &state.users {
            let window = Window::from_ages(saved.failures, window);
            if let Ok((place, _)) = users.touch(&saved.user[..], Rank::Unverified, Window::default)
            {
                *place = window;
            }
        }
        Ok(())
    }

    fn auth_part(&self, now: Instant) -> Part {
        Part::at(self.shared.epoch, now, self.config.auth_failures.window)
    }
}
