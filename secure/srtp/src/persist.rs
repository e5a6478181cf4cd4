//! State as data: what a successor, or a standby, needs to go on without accepting a packet twice
//! and without using a keystream twice.

use serde::{Deserialize, Serialize};

use crate::keys::{Keys, KeysError};
use crate::limits::{
    MAX_REMEMBERED, MAX_RTCP_INDEX, MAX_RTP_INDEX, MAX_SKIP, MAX_SOURCES, RTCP_WORDS, RTP_WORDS,
};
use crate::open::{Open, OpenSource, Reception};
use crate::seal::{Seal, SealSource};
use crate::session::Sessions;
use crate::sources::{Source, Sources};
use crate::window::Window;

/// Version of [`OpenState`] and [`SealState`]; raised when an older reader would misread them.
const VERSION: u16 = 1;

/// How far a source got: the highest indices received, or sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The source.
    pub ssrc: u32,
    /// Rollover counter and sequence number of SRTP, 48 bits.
    pub rtp: Option<u64>,
    /// Index of SRTCP, 31 bits.
    pub rtcp: Option<u32>,
}

impl Progress {
    /// Indices that exist; from a damaged store they could be any.
    pub(crate) fn clamped(self) -> Self {
        Self {
            ssrc: self.ssrc,
            rtp: self.rtp.map(|index| index.min(MAX_RTP_INDEX)),
            rtcp: self.rtcp.map(|index| index.min(MAX_RTCP_INDEX)),
        }
    }
}

/// What may have happened since a state was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing: the predecessor saved after its last packet. Late packets still have their place.
    Exact,
    /// At most so many packets of each source. Their indices count as used, and so does every gap
    /// below, in which a late packet may have come meanwhile.
    ///
    /// With 0 for RTP nothing above the saved index is given up: right if indices are stored before
    /// packets leave ([`Seal::progress_of`], [`Open::progress_of`]), or if those that come can only
    /// be newer. Every number above 0 is that many packets of silence, 2^14 at most. An RTCP index
    /// costs nothing to skip: 2^10 are an hour of reports. No number helps a source that appeared
    /// since: it is unknown, and only what was stored of it ([`Open::resume`], [`Seal::resume`])
    /// protects it.
    Stale {
        /// Packets of RTP.
        rtp: u16,
        /// Packets of RTCP.
        rtcp: u32,
    },
}

impl Freshness {
    fn apply(self, progress: Progress) -> Option<Progress> {
        let Self::Stale { rtp, rtcp } = self else {
            return None;
        };
        let skip = u64::from(rtp.min(MAX_SKIP));
        let skipped = Progress {
            ssrc: progress.ssrc,
            rtp: progress.rtp.map(|index| index + skip),
            rtcp: progress.rtcp.map(|index| index.saturating_add(rtcp)),
        };
        Some(skipped.clamped())
    }
}

/// Why a state cannot be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Its keys.
    #[error("keys of the state: {0}")]
    Keys(#[from] KeysError),
    /// A window has another size, or an index does not exist.
    #[error("window or index of source {ssrc:#010x} is not possible")]
    Source {
        /// The source.
        ssrc: u32,
    },
    /// More sources than there is room for.
    #[error("{0} sources are more than there is room for")]
    Sources(usize),
    /// Another format.
    #[error("version {0} of the format instead of 1")]
    Version(u16),
}

/// All that [`Open`] knows, keys included. Printing shows no key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenState {
    version: u16,
    keys: Vec<Keys>,
    /// The least recently used first.
    sources: Vec<OpenSourceState>,
    remembered: Vec<Progress>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OpenSourceState {
    ssrc: u32,
    rtp: Option<WindowState>,
    /// Highest index under the keys before; only while nothing came under these.
    expected: Option<u64>,
    rtcp: Option<WindowState>,
}

/// All that [`Seal`] knows, keys included. Printing shows no key. The tags that tell a repeated
/// packet are not kept: what is repeated across a restart is refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SealState {
    version: u16,
    keys: Keys,
    /// The least recently used first.
    sources: Vec<SealSourceState>,
    remembered: Vec<Progress>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SealSourceState {
    ssrc: u32,
    rtp: Option<WindowState>,
    next_rtcp: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct WindowState {
    highest: u64,
    words: Vec<u64>,
}

impl WindowState {
    fn of<const WORDS: usize>(window: &Window<WORDS>) -> Self {
        Self {
            highest: window.highest(),
            words: window.words().to_vec(),
        }
    }

    /// `None` for another size of window, and for an index above `max`.
    fn restore<const WORDS: usize>(self, max: u64) -> Option<Window<WORDS>> {
        let words = self.words.try_into().ok()?;
        (self.highest <= max).then(|| Window::from_words(self.highest, words))
    }
}

impl Open {
    /// All that has to outlive the process.
    pub fn save(&self) -> OpenState {
        let (sessions, sources) = self.parts();
        let live = sources.iter().map(|(ssrc, source)| OpenSourceState {
            ssrc,
            rtp: match &source.reception {
                Reception::Running(window) => Some(WindowState::of(window)),
                Reception::Unknown | Reception::Expected(_) => None,
            },
            expected: match source.reception {
                Reception::Expected(near) => Some(near),
                Reception::Unknown | Reception::Running(_) => None,
            },
            rtcp: source.rtcp.as_ref().map(WindowState::of),
        });
        OpenState {
            version: VERSION,
            keys: sessions.keys().cloned().collect(),
            sources: live.collect(),
            remembered: sources.remembered().to_vec(),
        }
    }

    /// Goes on where `state` ended.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn restore(state: OpenState, freshness: Freshness) -> Result<Self, StateError> {
        check(state.version, state.sources.len(), state.remembered.len())?;
        let mut sources = remembering(state.remembered, freshness);
        for one in state.sources {
            let ssrc = one.ssrc;
            let mut source = one.restore().ok_or(StateError::Source { ssrc })?;
            if let Some(progress) = freshness.apply(source.progress(ssrc)) {
                source.raise(&progress);
            }
            sources.insert(ssrc, source, true);
            sources.touch(ssrc);
        }
        Ok(Self::from_parts(Sessions::new(state.keys)?, sources))
    }
}

impl OpenSourceState {
    fn restore(self) -> Option<OpenSource> {
        let reception = match (self.rtp, self.expected) {
            (Some(window), _) => Reception::Running(window.restore::<RTP_WORDS>(MAX_RTP_INDEX)?),
            (None, Some(near)) => Reception::Expected(near.min(MAX_RTP_INDEX)),
            (None, None) => Reception::Unknown,
        };
        let rtcp = match self.rtcp {
            Some(window) => Some(window.restore::<RTCP_WORDS>(MAX_RTCP_INDEX.into())?),
            None => None,
        };
        Some(OpenSource {
            reception,
            rtcp,
            is_doubtful: true,
            is_lent: false,
        })
    }
}

impl Seal {
    /// All that has to outlive the process.
    pub fn save(&self) -> SealState {
        let (keys, sources) = self.parts();
        let live = sources.iter().map(|(ssrc, source)| SealSourceState {
            ssrc,
            rtp: source.rtp.as_ref().map(WindowState::of),
            next_rtcp: source.next_rtcp,
        });
        SealState {
            version: VERSION,
            keys: keys.clone(),
            sources: live.collect(),
            remembered: sources.remembered().to_vec(),
        }
    }

    /// Goes on where `state` ended.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn restore(state: SealState, freshness: Freshness) -> Result<Self, StateError> {
        check(state.version, state.sources.len(), state.remembered.len())?;
        let mut sources = remembering(state.remembered, freshness);
        for one in state.sources {
            let ssrc = one.ssrc;
            let mut source = SealSource::unknown();
            source.next_rtcp = one.next_rtcp;
            if let Some(window) = one.rtp {
                let window = window.restore::<RTP_WORDS>(MAX_RTP_INDEX);
                source.rtp = Some(window.ok_or(StateError::Source { ssrc })?);
            }
            if let Some(progress) = freshness.apply(source.progress(ssrc)) {
                source.raise(&progress);
            }
            sources.insert(ssrc, source, true);
            sources.touch(ssrc);
        }
        Ok(Self::from_parts(state.keys, sources)?)
    }
}

fn check(version: u16, sources: usize, remembered: usize) -> Result<(), StateError> {
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    if sources > MAX_SOURCES || remembered > MAX_REMEMBERED {
        return Err(StateError::Sources(sources + remembered));
    }
    Ok(())
}

fn remembering<S: Source>(remembered: Vec<Progress>, freshness: Freshness) -> Sources<S> {
    let mut sources = Sources::new();
    for progress in remembered {
        let progress = progress.clamped();
        sources.remember(freshness.apply(progress).unwrap_or(progress));
    }
    sources
}

#[cfg(test)]
mod tests;
