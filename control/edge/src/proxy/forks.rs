//! Calls that share Call-ID and caller's tag: forks that the upstream made of one call, and a call that
//! comes by a second time on its way to a phone of ours (spec §5, "Merged request").

use std::collections::HashMap;

use smallvec::SmallVec;

use super::Proxy;
use super::transit::Transit;
use crate::dialog::State;
use crate::limits;
use crate::message::Message;

/// Dialogs by Call-ID and caller's tag ([`crate::dialog::key`]), the oldest first.
#[derive(Debug, Default)]
pub(super) struct Forks {
    by_call: HashMap<Box<[u8]>, SmallVec<[u64; 1]>, foldhash::quality::RandomState>,
}

impl Forks {
    pub(super) fn of(&self, key: &[u8]) -> &[u64] {
        self.by_call.get(key).map_or(&[], |ids| ids)
    }

    pub(super) fn insert(&mut self, key: &[u8], id: u64) {
        self.by_call.entry(key.into()).or_default().push(id);
    }

    pub(super) fn remove(&mut self, key: &[u8], id: u64) {
        if let Some(ids) = self.by_call.get_mut(key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_call.remove(key);
            }
        }
    }
}

#[cfg(test)]
impl Forks {
    pub(super) fn is_empty(&self) -> bool {
        self.by_call.is_empty()
    }
}

impl Proxy {
    /// The dialog of an earlier attempt that this INVITE takes up, e.g. with credentials. The key of
    /// the call is in `scratch`.
    ///
    /// # Errors
    ///
    /// It is the same request by another way, a second call under a live one (RFC 3261 §8.2.2.2), or
    /// one fork too many.
    pub(super) fn tried_before(
        &self,
        invite: &Message,
    ) -> Result<Option<u64>, (u16, &'static str)> {
        let ids = self.by_call.of(&self.scratch.key);
        let mut before = None;
        for &id in ids {
            let Some(dialog) = self.dialogs.get(&id) else {
                continue;
            };
            let is_fork = dialog.invite_cseq == invite.parsed.cseq
                && *dialog.request_uri != *invite.text(invite.request_uri());
            if is_fork {
                continue;
            }
            let is_open = |transit: &Transit| transit.server.is_open();
            let opening = self.transits.get(&dialog.invite);
            if dialog.state == State::Confirmed || opening.is_some_and(is_open) {
                return Err((482, "Merged Request"));
            }
            before = Some(id);
        }
        if before.is_none() && ids.len() >= limits::FORKS {
            return Err((503, "Too Many Forks"));
        }
        Ok(before)
    }
}
