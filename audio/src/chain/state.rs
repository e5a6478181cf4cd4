//! What outlives the process.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{ChainError, Injection};
use crate::limits::MAX_SOURCES;
use crate::output::Output;

/// The form that is written. A form that changes has a new number; old ones are still read.
const VERSION: u32 = 1;

/// A chain as data: the numbers of its streams, and the digits that wait. What codecs remember is
/// not in it; after a hand-over they begin anew, which costs a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainState {
    version: u32,
    streams: Vec<StreamState>,
    /// Event, loudness, length and pause.
    digits: Vec<(u8, u8, u32, u32)>,
}

/// A source as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// The source.
    pub ssrc: u32,
    /// The sequence number that comes next.
    pub expected: Option<u16>,
    /// The numbers that leave.
    pub output: Option<Output>,
}

/// Why a state is not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The chain itself cannot be made.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// More sources than a chain has.
    #[error("{0} sources, more than {MAX_SOURCES}")]
    Sources(usize),
    /// A form that this program does not know.
    #[error("version {0} of the state, where {VERSION} is known")]
    Version(u32),
}

impl ChainState {
    pub(super) fn of(
        streams: impl Iterator<Item = StreamState>,
        waiting: &VecDeque<Injection>,
    ) -> Self {
        let digits = waiting.iter();
        let digits = digits.map(|d| (d.event, d.volume, d.duration_ms, d.pause_ms));
        Self {
            version: VERSION,
            streams: streams.collect(),
            digits: digits.collect(),
        }
    }

    /// The numbers of a source's output, once there are any.
    pub fn output(&self, ssrc: u32) -> Option<&Output> {
        let stream = self.streams.iter().find(|stream| stream.ssrc == ssrc)?;
        stream.output.as_ref()
    }

    pub(super) fn check(self) -> Result<(Vec<StreamState>, VecDeque<Injection>), StateError> {
        if self.version != VERSION {
            return Err(StateError::Version(self.version));
        }
        if self.streams.len() > MAX_SOURCES {
            return Err(StateError::Sources(self.streams.len()));
        }
        let digits = self.digits.into_iter().take(super::MAX_INJECTIONS);
        let digits = digits.map(|(event, volume, duration_ms, pause_ms)| Injection {
            event,
            volume,
            duration_ms,
            pause_ms,
        });
        Ok((self.streams, digits.collect()))
    }
}
