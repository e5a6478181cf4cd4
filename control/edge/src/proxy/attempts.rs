//! The targets that a call tried, for its record (spec §15, `attempts`).

use std::time::Instant;

use super::Proxy;
use crate::limits;
use crate::target::{Attempt, Outcome};

/// One target that a call went to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) target: String,
    pub(crate) began: Instant,
    /// Of its final response; 408 for silence, 503 for a transport error. 0: it had none, as the
    /// call went on or was given up.
    pub(crate) code: u16,
    pub(crate) reason: Box<[u8]>,
}

impl Proxy {
    /// The INVITE of a call is sent to this target.
    pub(super) fn note_attempt(&mut self, now: Instant, dialog: Option<u64>, attempt: &Attempt) {
        let dialog = dialog.and_then(|id| self.dialogs.get_mut(&id));
        if let Some(dialog) = dialog
            && dialog.tried.len() < limits::RECORDED_ATTEMPTS
        {
            let address = attempt.address.peer.to_string();
            let target = attempt.target.as_ref();
            dialog.tried.push(Tried {
                target: target.map_or(address, |target| target.uri.to_string()),
                began: now,
                code: 0,
                reason: Box::default(),
            });
        }
    }

    /// A final response of the target that the transit went to last.
    pub(super) fn note_attempt_answer(&mut self, transit: u64, code: u16, reason: &[u8]) {
        let dialog = self.transits.get(&transit).and_then(|t| t.dialog);
        let dialog = dialog.and_then(|id| self.dialogs.get_mut(&id));
        let last = dialog.and_then(|dialog| dialog.tried.last_mut());
        if let Some(last) = last.filter(|last| last.code == 0) {
            last.code = code;
            last.reason = reason.into();
        }
    }

    /// The target was lost without an answer.
    pub(super) fn note_attempt_lost(&mut self, transit: u64, outcome: &Outcome) {
        let (code, reason): (u16, &[u8]) = match outcome {
            Outcome::NoResponse | Outcome::NotRinging | Outcome::RingTimeout => {
                (408, b"Request Timeout")
            }
            Outcome::Unreachable => (503, b"Unreachable"),
            Outcome::Cancelled | Outcome::Final(_) | Outcome::Redirected(..) => return,
        };
        self.note_attempt_answer(transit, code, reason);
    }
}
