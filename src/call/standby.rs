//! Calls of another engine, which this one only keeps ready (spec: media-behaviour §4, §15).

use super::model::call::{Call, Now};
use super::serve::Calls;
use super::table::lock;
use super::timeouts::EndReason;

/// Calls that an operator selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All calls.
    All,
    /// Calls of another engine.
    Foreign,
    /// Calls of this engine.
    Own,
}

impl Whose {
    /// Whether a call that is foreign, or not, is among them.
    pub fn includes(self, is_foreign: bool) -> bool {
        match self {
            Self::All => true,
            Self::Foreign => is_foreign,
            Self::Own => !is_foreign,
        }
    }
}

impl Calls {
    /// Running calls of this engine.
    pub fn own_count(&self) -> u64 {
        self.count().saturating_sub(self.foreign_count())
    }

    /// Running calls of another engine.
    pub fn foreign_count(&self) -> u64 {
        self.foreign.get()
    }

    /// Makes every call one of this engine.
    pub fn take_over_all(&self, now: Now) {
        for (_, entry) in self.table.entries() {
            if let Some(call) = lock(&entry).as_mut() {
                call.take_over(now);
            }
        }
    }

    /// Leaves every call to another engine, until its next offer or answer comes here.
    pub fn hand_over_all(&self) {
        for (_, entry) in self.table.entries() {
            if let Some(call) = lock(&entry).as_mut() {
                let foreign = &mut call.extras_mut().foreign;
                foreign.get_or_insert_with(|| self.foreign.mark());
            }
        }
    }

    /// Ends these calls.
    pub fn end_those(&self, whose: Whose, now: Now) {
        for (id, entry) in self.table.entries() {
            let mut slot = lock(&entry);
            let is_meant = |call: &Call| whose.includes(call.is_foreign());
            if slot.as_ref().is_some_and(is_meant) {
                self.end(&id, &entry, &mut slot, EndReason::Forced, now);
            }
        }
    }
}
