//! Events of flows about their sources, on their way to the log (spec: media-behaviour §3.1). A
//! flow knows only the number of its call.

use std::sync::PoisonError;

use windlass_ng::CallId;

use super::serve::Calls;
use super::table::{Entry, lock};
use crate::media::latch::Event;

impl Calls {
    /// The call that an event of a source is to be told of; `None` if it is over, or this was told
    /// already.
    pub fn source_event(&self, number: u64, event: &Event) -> Option<CallId> {
        let entry = self.numbered(number)?;
        let mut slot = lock(&entry);
        let call = slot.as_mut()?;
        call.told.is_news(event).then(|| call.id.clone())
    }

    /// The call that a flow's event is about; `None` if it is over.
    pub fn id_of(&self, number: u64) -> Option<CallId> {
        let entry = self.numbered(number)?;
        let slot = lock(&entry);
        slot.as_ref().map(|call| call.id.clone())
    }

    /// The call of a number.
    pub(super) fn numbered(&self, number: u64) -> Option<Entry> {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get(&number).cloned()
    }

    /// A call came to be.
    pub(super) fn give_number(&self, number: u64, entry: &Entry) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(number, entry.clone());
    }

    /// Removes an ended call.
    pub(super) fn take_number(&self, number: u64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.remove(&number);
        // A burst of calls must not hold its memory for ever.
        if numbers.capacity() > 64 && numbers.len() < numbers.capacity() / 8 {
            numbers.shrink_to_fit();
        }
    }
}
