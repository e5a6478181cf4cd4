//! When an agent tells its call what it has found: the latest of it, not too often, and until the call
//! has taken it in.

use std::time::Instant;

use crate::flow::agent::Found;
use crate::limits::{FOUND_AGAIN, FOUND_INTERVAL};

/// What was told, and when the next word may leave.
#[derive(Debug)]
pub(super) struct Telling {
    /// What the call has, as far as is known.
    told: Option<Found>,
    /// Nothing is told before.
    not_before: Option<Instant>,
    /// Something waits to be told.
    due: Option<Instant>,
    /// How often in a row the call did not take in the same.
    refused: u32,
}

/// Doublings of [`FOUND_AGAIN`].
const DOUBLINGS: u32 = 5;

impl Default for Telling {
    fn default() -> Self {
        Self {
            told: Some(Found::default()),
            not_before: None,
            due: None,
            refused: 0,
        }
    }
}

impl Telling {
    /// What is to be told now that all this is known.
    pub(super) fn poll(&mut self, found: Found, now: Instant) -> Option<Found> {
        self.due = None;
        if self.told.as_ref() == Some(&found) {
            return None;
        }
        if let Some(at) = self.not_before.filter(|at| now < *at)
            && !self.has_new_keys(&found)
        {
            self.due = Some(at);
            return None;
        }
        if self.told.is_some() {
            self.refused = 0;
        }
        self.told = Some(found.clone());
        self.not_before = Some(now + FOUND_INTERVAL);
        Some(found)
    }

    /// Whether there are keys that the call does not have. They wait for nothing: the party speaks
    /// under them already, and the first picture of a video is lost with its first packets. A
    /// handshake for each is bound enough.
    fn has_new_keys(&self, found: &Found) -> bool {
        let told = self.told.as_ref();
        told.is_some_and(|told| {
            let keys = [
                (&found.keys.rtp, &told.keys.rtp),
                (&found.keys.rtcp, &told.keys.rtcp),
            ];
            keys.iter()
                .any(|(now, before)| now.is_some() && now != before)
        })
    }

    /// When [`Self::poll`] has something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The call did not take in the last word: it is said again.
    pub(super) fn again(&mut self, now: Instant) {
        let pause = FOUND_AGAIN * (1 << self.refused.min(DOUBLINGS));
        self.refused = self.refused.saturating_add(1);
        self.told = None;
        self.not_before = Some(now + pause);
    }

    /// Another call has the agent: it may know nothing.
    pub(super) fn begin_anew(&mut self) {
        self.told = None;
        self.refused = 0;
    }
}
