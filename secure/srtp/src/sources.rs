//! The bounded table of the sources (SSRCs) of one direction.
//!
//! Only what is authenticated, or sealed, gets into it. When it is full, the least recently used
//! source makes room and its highest indices are remembered ([`Progress`]); if it comes back, it
//! goes on above them. What is remembered is never forgotten under the same keys: when that is full
//! too, new sources are refused and those that are known go on.

use crate::error::Refusal;
use crate::limits::{MAX_REMEMBERED, MAX_SOURCES};
use crate::persist::Progress;

/// What is kept of a source.
pub(crate) trait Source {
    /// A source of which nothing is known.
    fn unknown() -> Self;
    /// Counts everything up to there as used. Never goes back.
    fn raise(&mut self, progress: &Progress);
    /// How far it got.
    fn progress(&self, ssrc: u32) -> Progress;
}

pub(crate) struct Sources<S> {
    live: Vec<Entry<S>>,
    /// In order of SSRC.
    remembered: Vec<Progress>,
    /// Counts packets, to tell who was used last.
    clock: u64,
    /// Where the last packet's source is.
    recent: usize,
}

struct Entry<S> {
    ssrc: u32,
    used: u64,
    source: S,
}

impl<S: Source> Sources<S> {
    pub(crate) fn new() -> Self {
        Self {
            live: Vec::new(),
            remembered: Vec::new(),
            clock: 0,
            recent: 0,
        }
    }

    /// The source, if it is in the table.
    pub(crate) fn live(&mut self, ssrc: u32) -> Option<&mut S> {
        let at = self.find(ssrc)?;
        self.live.get_mut(at).map(|entry| &mut entry.source)
    }

    /// How far a source got that is in the table or remembered.
    pub(crate) fn progress_of(&self, ssrc: u32) -> Option<Progress> {
        if let Some(entry) = self.find(ssrc).and_then(|at| self.live.get(at)) {
            return Some(entry.source.progress(ssrc));
        }
        let at = self.find_remembered(ssrc).ok()?;
        self.remembered.get(at).copied()
    }

    /// How far each source got, those that made room included.
    pub(crate) fn progress(&self) -> impl Iterator<Item = Progress> {
        let live = self.iter();
        let live = live.map(|(ssrc, source)| source.progress(ssrc));
        live.chain(self.remembered.iter().copied())
    }

    /// Counts everything of a source up to there as used. Never goes back.
    pub(crate) fn resume(&mut self, progress: Progress) -> Result<(), Refusal> {
        let progress = progress.clamped();
        match self.live(progress.ssrc) {
            Some(source) => source.raise(&progress),
            None => {
                let mut source = self.recall(progress.ssrc)?;
                source.raise(&progress);
                self.insert(progress.ssrc, source, true);
                self.touch(progress.ssrc);
            }
        }
        Ok(())
    }

    /// A source that is not in the table, as [`Self::insert`] would take it.
    pub(crate) fn recall(&self, ssrc: u32) -> Result<S, Refusal> {
        if let Ok(at) = self.find_remembered(ssrc) {
            let mut source = S::unknown();
            if let Some(progress) = self.remembered.get(at) {
                source.raise(progress);
            }
            return Ok(source);
        }
        let is_full = self.live.len() >= MAX_SOURCES && self.remembered.len() >= MAX_REMEMBERED;
        if is_full {
            return Err(Refusal::TooManySources);
        }
        Ok(S::unknown())
    }

    /// Puts in a source that was recalled. Who makes room is remembered if `remembers`.
    pub(crate) fn insert(&mut self, ssrc: u32, source: S, remembers: bool) {
        if let Ok(at) = self.find_remembered(ssrc) {
            self.remembered.remove(at);
        }
        if self.live.len() >= MAX_SOURCES {
            let oldest = self.live.iter().enumerate().min_by_key(|(_, e)| e.used);
            if let Some((at, _)) = oldest {
                let gone = self.live.swap_remove(at);
                if remembers {
                    self.remember(gone.source.progress(gone.ssrc));
                }
            }
        }
        let used = self.clock;
        self.live.push(Entry { ssrc, used, source });
    }

    /// Notes that the source has just been used. It is in the table.
    pub(crate) fn touch(&mut self, ssrc: u32) {
        self.clock += 1;
        self.recent = self.find(ssrc).unwrap_or_default();
        if let Some(entry) = self.live.get_mut(self.recent) {
            entry.used = self.clock;
        }
    }

    /// Sources in the table, the least recently used first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &S)> {
        let mut order: Vec<_> = self.live.iter().collect();
        order.sort_by_key(|entry| entry.used);
        order.into_iter().map(|entry| (entry.ssrc, &entry.source))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.live.iter_mut().map(|entry| &mut entry.source)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn remembered(&self) -> &[Progress] {
        &self.remembered
    }

    /// Under new keys nothing needs to be remembered.
    pub(crate) fn forget_remembered(&mut self) {
        self.remembered.clear();
    }

    /// Remembers a source that is not in the table.
    pub(crate) fn remember(&mut self, progress: Progress) {
        match self.find_remembered(progress.ssrc) {
            Ok(at) => {
                if let Some(known) = self.remembered.get_mut(at) {
                    known.rtp = known.rtp.max(progress.rtp);
                    known.rtcp = known.rtcp.max(progress.rtcp);
                }
            }
            Err(at) => self.remembered.insert(at, progress),
        }
    }

    fn find(&self, ssrc: u32) -> Option<usize> {
        let is_it = |entry: &Entry<S>| entry.ssrc == ssrc;
        if self.live.get(self.recent).is_some_and(is_it) {
            return Some(self.recent);
        }
        self.live.iter().position(is_it)
    }

    fn find_remembered(&self, ssrc: u32) -> Result<usize, usize> {
        self.remembered
            .binary_search_by_key(&ssrc, |progress| progress.ssrc)
    }
}
