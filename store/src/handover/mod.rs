//! Hand-over to a successor in two phases, with roll back (spec/survive.md §3.2).
//!
//! The successor is the child of the old process, with a socket pair between them. Until the old
//! one has frozen, the child reads and computes only, and a roll back is its end. After that the
//! old one takes everything back once the child is dead and reaped, so that never two of them
//! serve. From `Yours` on nothing is rolled back.
//!
//! Both sides are machines without sockets: messages, ends and time go in, [`old::Action`] and
//! [`successor::Action`] come out. Descriptors go along with the frames of `Here`; that is the
//! driver's part.

use std::fmt;
use std::time::Duration;

pub mod message;
pub mod old;
pub mod successor;
#[cfg(test)]
mod tests;

/// How long each side waits for the other one, and for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the start of the child to its `Hello`.
    pub hello: Duration,
    /// From `Here` to `Ready`: all calls are restored.
    pub ready: Duration,
    /// DTLS handshakes under way may end.
    pub handshakes: Duration,
    /// After that commands finish, and workers end their turn.
    pub commands: Duration,
    /// From `Go` to `Alive`. Packets wait for so long in the queues.
    pub alive: Duration,
    /// From `Alive` to `Yours`, as the successor waits.
    pub yours: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            ready: Duration::from_secs(30),
            handshakes: Duration::from_secs(2),
            commands: Duration::from_millis(50),
            alive: Duration::from_millis(500),
            yours: Duration::from_secs(2),
        }
    }
}

/// Where a hand-over stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The child starts and checks its configuration.
    Hello,
    /// It restores all calls.
    Ready,
    /// The old one stops.
    Freeze,
    /// The child starts its workers.
    Alive,
    /// It waits for the last word.
    Yours,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "starting",
            Self::Ready => "restoring calls",
            Self::Freeze => "freezing",
            Self::Alive => "starting workers",
            Self::Yours => "waiting for the last word",
        })
    }
}

/// Why a hand-over did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The other side ended.
    #[error("the other process ended while {0}")]
    Closed(Step),
    /// It took too long.
    #[error("no answer in time while {0}")]
    Deadline(Step),
    /// Calls came out differently in the successor.
    #[error("{} calls differ, the first is number {}", .0.len(), .0.first().copied().unwrap_or(0))]
    Differs(Vec<u64>),
    /// The old process could not stop, or the successor could not go on.
    #[error("failed while {0}: {1}")]
    Failed(Step, String),
    /// A message that cannot come at this step, or cannot be read.
    #[error("an unexpected message while {0}")]
    Protocol(Step),
    /// The successor cannot take over from this process.
    #[error("refused: {0}")]
    Refused(String),
}
