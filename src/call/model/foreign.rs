//! Calls of another engine, which this one only keeps ready (spec: media-behaviour §4, §15).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::call::{Call, Now};

/// The running calls that are foreign; each is counted by its own [`Foreign`].
#[derive(Debug, Default)]
pub(crate) struct ForeignCount(Arc<AtomicU64>);

impl ForeignCount {
    pub(crate) fn mark(&self) -> Foreign {
        self.0.fetch_add(1, Relaxed);
        let _counted = Arc::new(Counted(self.0.clone()));
        Foreign { _counted }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Makes the call that holds it a foreign one. It is counted for as long as it is held, however the
/// call ends; copies of the call count as one.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    _counted: Arc<Counted>,
}

#[derive(Debug)]
struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Call {
    /// Another engine answers for it: of the time-outs only the final one ends it here.
    pub(crate) fn is_foreign(&self) -> bool {
        let extras = self.extras.as_deref();
        extras.is_some_and(|extras| extras.foreign.is_some())
    }

    /// This engine answers for it from now on. Where its packets went until now is not known here,
    /// so the time-outs begin anew.
    pub(crate) fn take_over(&mut self, now: Now) {
        if let Some(extras) = self.extras.as_deref_mut()
            && extras.foreign.take().is_some()
        {
            extras.taken_over = Some(now.instant);
        }
    }

    /// Time for which this engine has been responsible for the call, if it took it over.
    pub(crate) fn time_since_take_over(&self, now: Instant) -> Option<Duration> {
        let at = self.extras.as_deref()?.taken_over?;
        Some(now.saturating_duration_since(at))
    }
}
