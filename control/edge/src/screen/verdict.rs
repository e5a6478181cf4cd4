//! Stages and what they say.

use std::time::Duration;

use smallvec::SmallVec;

use super::address::Source;
use super::ban::Ban;
use crate::limit::Slots;
use crate::record::security::Event;

/// The stages that this room has, with the numbers of spec §12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Stage {
    Bans = 2,
    Flood = 3,
    Sanity = 4,
    Fingerprints = 5,
    Methods = 7,
    Options = 8,
    Dialog = 9,
    Identity = 10,
    Domain = 11,
    Binding = 12,
    AuthFailures = 13,
    Rates = 14,
    Lists = 15,
    Limits = 16,
}

impl Stage {
    /// All, in order.
    pub(crate) const ALL: [Self; 14] = [
        Self::Bans,
        Self::Flood,
        Self::Sanity,
        Self::Fingerprints,
        Self::Methods,
        Self::Options,
        Self::Dialog,
        Self::Identity,
        Self::Domain,
        Self::Binding,
        Self::AuthFailures,
        Self::Rates,
        Self::Lists,
        Self::Limits,
    ];

    /// The name in logs, metrics and `explain`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bans => "bans",
            Self::Flood => "flood",
            Self::Sanity => "sanity",
            Self::Fingerprints => "fingerprints",
            Self::Methods => "methods",
            Self::Options => "options",
            Self::Dialog => "dialog",
            Self::Identity => "identity",
            Self::Domain => "domain",
            Self::Binding => "binding",
            Self::AuthFailures => "auth_failures",
            Self::Rates => "rates",
            Self::Lists => "lists",
            Self::Limits => "limits",
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage as u8 == number)
    }
}

/// What a stage does about a message that it objects to (spec §12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    /// Silence.
    Drop,
    Reject(u16),
    /// The lie that a REGISTER or OPTIONS succeeded. Other methods: silence.
    Fake200,
    /// Closes the connection; over UDP: silence.
    Close,
    /// Counts, and goes on to the next stage.
    Count,
    /// Silence, and a ban of the source; `None`: as long as [`super::ban::Durations`] says.
    Ban(Option<Duration>),
    /// Keeps the connection without an answer; over UDP: silence.
    Tarpit,
    /// Passes the message at once.
    Allow,
}

impl Do {
    /// The `action=` of the security log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reject(_) => "reject",
            Self::Fake200 => "fake200",
            Self::Close => "close",
            Self::Count => "count",
            Self::Ban(_) => "ban",
            Self::Tarpit => "tarpit",
            Self::Allow => "allow",
        }
    }
}

/// A refusal with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    /// For `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u32>,
    /// Whether the response names the allowed methods in `Allow`.
    pub(crate) allow: bool,
}

/// What the edge does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is relayed.
    Pass,
    /// An OPTIONS to the edge: 200, without `Server`.
    Answer,
    Drop,
    Reject(Refusal),
    /// 200 with nothing but what the request had, see [`super::may_fake`].
    Fake200,
    Close,
    Tarpit,
}

/// A line for the security log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) event: Event,
    /// `action=` of the line.
    pub(crate) action: &'static str,
}

/// A ban that came into force, for the event and the kernel's drop set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Banned {
    pub(crate) source: Source,
    pub(crate) ban: Ban,
    /// Rounded up to tenths of a second.
    pub(crate) lasts: Duration,
}

/// The verdict on one message.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) action: Action,
    /// The stage that ended the pipeline; `None`: all passed.
    pub(crate) stage: Option<Stage>,
    pub(crate) alerts: SmallVec<[Alert; 2]>,
    pub(crate) banned: Option<Banned>,
    pub(crate) identity: Identity,
    /// The rate or limit that refused it, for the event and metrics.
    pub(crate) class: Option<String>,
    /// What a call holds of the concurrent-call limits: kept with its dialog, given back when dropped.
    pub(crate) slots: Option<Slots>,
}

impl Verdict {
    pub(crate) fn pass() -> Self {
        Self {
            action: Action::Pass,
            stage: None,
            alerts: SmallVec::new(),
            banned: None,
            identity: Identity::Unknown,
            class: None,
            slots: None,
        }
    }
}

/// Who a source is (spec §12, stage 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Index in [`super::Config::peers`].
    Peer(u16),
    /// The flow of a live binding.
    Registered,
    Unknown,
}

/// What one stage said of a message: a line of `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) stage: Stage,
    pub(crate) said: Said,
}

/// See [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Not enabled in this zone.
    Off,
    /// Nothing to say about such a message.
    Skipped,
    Next,
    /// It objects for this reason, and does this.
    Objects(&'static str, Do),
    /// The pipeline ends here and the message passes.
    Passes(&'static str),
}
