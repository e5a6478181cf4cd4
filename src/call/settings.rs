//! Settings that an operator may change while calls run.

use std::sync::PoisonError;

use super::serve::Calls;
use super::timeouts::Timeouts;
use crate::observe::load::LoadLimits;

/// Limits beyond which new calls are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Calls at a time; `None`: as many as there are ports.
    pub max_sessions: Option<u64>,
    /// Load of the machine.
    pub load: LoadLimits,
}

/// The values in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
}

impl Calls {
    /// The time-outs in force.
    pub fn timeouts(&self) -> Timeouts {
        self.settings().timeouts
    }

    /// Replaces the time-outs, for running calls too.
    pub fn set_timeouts(&self, timeouts: Timeouts) {
        let settings = self.settings.write();
        settings.unwrap_or_else(PoisonError::into_inner).timeouts = timeouts;
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.settings().limits
    }

    /// Replaces the limits, for calls from now on.
    pub fn set_limits(&self, limits: Limits) {
        let settings = self.settings.write();
        settings.unwrap_or_else(PoisonError::into_inner).limits = limits;
    }

    fn settings(&self) -> Settings {
        let settings = self.settings.read();
        *settings.unwrap_or_else(PoisonError::into_inner)
    }
}
