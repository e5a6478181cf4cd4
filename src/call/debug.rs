//! Calls that an operator wants to see in full: their commands and replies are logged.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use windlass_ng::CallId;

use super::model::call::Call;
use super::serve::Calls;

/// The calls that are debugged; only running ones, so their number is bounded.
#[derive(Debug, Default)]
pub(super) struct Debugged {
    ids: Mutex<HashSet<CallId>>,
    /// Number of entries: while it is 0, no thread takes the lock.
    count: AtomicUsize,
}

impl Debugged {
    fn ids(&self) -> MutexGuard<'_, HashSet<CallId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// Logs the commands of a call in full from now on, or no more. `false`: there is no such call.
    pub fn set_debug(&self, id: &CallId, debug: bool) -> bool {
        // Under the lock of the call, so that its end is seen or sees this.
        self.with_call(id, |_| {
            let mut ids = self.debugged.ids();
            match debug {
                true => drop(ids.insert(id.clone())),
                false => drop(ids.remove(id)),
            }
            self.debugged.count.store(ids.len(), Relaxed);
        })
        .is_some()
    }

    /// Whether the commands of a call are logged in full.
    pub fn is_debugged(&self, id: &CallId) -> bool {
        self.debugged.count.load(Relaxed) > 0 && self.debugged.ids().contains(id)
    }

    /// Whether a call is left out of the log: it was created by a request that was.
    pub fn is_quiet(&self, id: &CallId) -> bool {
        self.with_call(id, |call| call.is_quiet).unwrap_or(false)
    }

    pub(super) fn undebug(&self, call: &Call) {
        if self.debugged.count.load(Relaxed) == 0 {
            return;
        }
        let mut ids = self.debugged.ids();
        for id in call.aliases().iter().chain([&call.id]) {
            ids.remove(id);
        }
        self.debugged.count.store(ids.len(), Relaxed);
    }
}
