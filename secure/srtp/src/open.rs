//! What arrives: SRTP and SRTCP of one direction.

use std::fmt;

use crate::error::Refusal;
use crate::header::{RtpHeader, rtcp_ssrc};
use crate::keys::{Keys, KeysError};
use crate::limits::{MAX_RTP_INDEX, RTCP_WORDS, RTP_WORDS};
use crate::persist::Progress;
use crate::session::Sessions;
use crate::sources::{Source, Sources};
use crate::window::{PERIOD, Window, estimate};

/// Opens what a party sends: authenticates, refuses replays, decrypts in place.
///
/// **Order.** Lengths and identifier of the key; the index, without change of state; the replay
/// window; the tag, in constant time; decryption; only then rollover counter, window and source are
/// noted. Whoever has no key can change nothing here.
///
/// **Rollover counter.** Of a known source the estimate of RFC 3711 §3.3.1 is tried, then the next
/// period, which finds a stream again after the loss of 2^15 to 2^16 packets (a call on hold).
/// Earlier periods and 0 are not: every index of theirs is below the window, and an old packet that
/// somebody recorded has a good tag there. A sender that began its counter anew under the same key
/// cannot be told from such a recording, so it is not followed: its next key, or a new `Open` made
/// by who believes the signalling, lets it in. Of an unknown source 0 and 1 are tried; after
/// [`Open::rekey`] also the period before and 0, as nothing was received under the new key. So a
/// bad packet costs 2 tags, at most 4 of a source that has not spoken since the keys changed.
///
/// AEAD destroys what does not authenticate. So that a second index can be tried, a packet is copied
/// before if its source is unknown or the last one failed; the first packet after a gap that long is
/// lost. That doubt is all that a bad packet leaves behind.
///
/// **Sources.** At most [`MAX_SOURCES`](crate::MAX_SOURCES) have state; of
/// [`MAX_REMEMBERED`](crate::MAX_REMEMBERED) more that made room the highest indices are kept. See
/// [`Refusal::TooManySources`].
///
/// With `UNAUTHENTICATED_SRTP` nothing of this can hold for RTP: every packet is believed, the
/// estimate is taken, and nothing is refused as a replay, since one forged packet could then
/// silence the stream.
pub struct Open {
    sessions: Sessions,
    sources: Sources<OpenSource>,
    /// Holds a packet whose other indices may have to be tried. Ciphertext only.
    copy: Vec<u8>,
}

impl Open {
    /// Opens with `keys`: one, or several that packets name by their identifiers.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn new(keys: Vec<Keys>) -> Result<Self, KeysError> {
        Ok(Self {
            sessions: Sessions::new(keys)?,
            sources: Sources::new(),
            copy: Vec::new(),
        })
    }

    /// Opens an SRTP packet in place and gives the length of the RTP packet.
    ///
    /// # Errors
    /// [`Refusal`]: the packet is to be dropped, and its content is void.
    pub fn rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refusal> {
        let header = RtpHeader::parse(packet)?;
        let session = self.sessions.for_rtp(packet)?;
        let is_tagged = self.sessions.layout().authenticates_rtp();
        let mut recalled = None;
        let source = match self.sources.live(header.ssrc) {
            Some(source) => source,
            None => recalled.insert(recall(&self.sources, header.ssrc, is_tagged)?),
        };
        if source.is_lent {
            return Err(Refusal::Lent);
        }
        let candidates = source.reception.candidates(header.sequence, is_tagged);
        // Only what was tried in vain a moment ago, and what is not known, is worth a copy.
        let is_doubtful = source.is_doubtful && candidates.list().len() > 1;
        let copy = is_doubtful.then_some(&mut self.copy);
        let opened = session.open_rtp(packet, &header, candidates.list(), copy);
        let (len, index) = match opened {
            Ok(opened) => opened,
            Err(Refusal::BadTag) => {
                source.is_doubtful = true;
                return Err(candidates.replayed.unwrap_or(Refusal::BadTag));
            }
            Err(refusal) => return Err(refusal),
        };
        source.is_doubtful = false;
        source.reception.note(index);
        if let Some(source) = recalled {
            self.sources.insert(header.ssrc, source, is_tagged);
        }
        self.sources.touch(header.ssrc);
        Ok(len)
    }

    /// Opens an SRTCP packet in place and gives the length of the RTCP packet. It is decrypted if
    /// its E bit says so, whatever `UNENCRYPTED_SRTCP` announced: the sender is authentic.
    ///
    /// # Errors
    /// [`Refusal`]: the packet is to be dropped, and its content is void.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refusal> {
        let ssrc = rtcp_ssrc(packet)?;
        let session = self.sessions.for_rtcp(packet)?;
        let is_tagged = self.sessions.layout().authenticates_rtp();
        let mut recalled = None;
        let source = match self.sources.live(ssrc) {
            Some(source) => source,
            None => recalled.insert(recall(&self.sources, ssrc, is_tagged)?),
        };
        let is_new = |index: u32| {
            let window = source.rtcp.as_ref();
            window.is_none_or(|window| window.place(index.into()).is_new())
        };
        let (len, index) = session.open_rtcp(packet, ssrc, is_new)?;
        match &mut source.rtcp {
            Some(window) => window.insert(index.into()),
            None => source.rtcp = Some(Window::starting_at(index.into())),
        }
        if let Some(source) = recalled {
            self.sources.insert(ssrc, source, is_tagged);
        }
        self.sources.touch(ssrc);
        Ok(len)
    }

    /// Goes on with other keys. Sources keep their rollover counters (RFC 3711 §3.3.1: a re-key does
    /// not touch them). If none of the old master keys stays, packets that were seen can no longer
    /// be replayed, and a sender that began its counter anew is followed.
    ///
    /// # Errors
    /// [`KeysError`]; then the old keys stay.
    pub fn rekey(&mut self, keys: Vec<Keys>) -> Result<(), KeysError> {
        let new = Sessions::new(keys)?;
        let is_known = |old: &Keys| new.keys().any(|key| key.is_same_master(old));
        let stays = self.sessions.keys().any(is_known);
        self.sessions = new;
        if !stays {
            self.sources.forget_remembered();
            for source in self.sources.iter_mut() {
                source.begin_anew();
            }
        }
        Ok(())
    }

    /// How far each source got, those that made room included: what a standby or a successor needs
    /// at least.
    pub fn progress(&self) -> impl Iterator<Item = Progress> {
        self.sources.progress()
    }

    /// How far one source got, if it is known; for the data plane to store per packet.
    pub fn progress_of(&self, ssrc: u32) -> Option<Progress> {
        self.sources.progress_of(ssrc)
    }

    /// Counts everything up to there as received. Never goes back.
    ///
    /// # Errors
    /// [`Refusal::TooManySources`]: nothing was noted.
    pub fn resume(&mut self, progress: Progress) -> Result<(), Refusal> {
        self.sources.resume(progress)
    }

    pub(crate) fn source_mut(&mut self, ssrc: u32) -> Option<&mut OpenSource> {
        self.sources.live(ssrc)
    }

    pub(crate) fn parts(&self) -> (&Sessions, &Sources<OpenSource>) {
        (&self.sessions, &self.sources)
    }

    pub(crate) fn from_parts(sessions: Sessions, sources: Sources<OpenSource>) -> Self {
        let copy = Vec::new();
        Self {
            sessions,
            sources,
            copy,
        }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.sessions.keys().collect();
        f.debug_struct("Open")
            .field("keys", &keys)
            .field("sources", &self.sources.len())
            .finish_non_exhaustive()
    }
}

/// Without tags there is nothing to be remembered, so there is always room.
fn recall(
    sources: &Sources<OpenSource>,
    ssrc: u32,
    remembers: bool,
) -> Result<OpenSource, Refusal> {
    match sources.recall(ssrc) {
        Err(Refusal::TooManySources) if !remembers => Ok(OpenSource::unknown()),
        recalled => recalled,
    }
}

/// One sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenSource {
    pub(crate) reception: Reception,
    pub(crate) rtcp: Option<Window<RTCP_WORDS>>,
    /// Nothing was authenticated since it became known, or since a packet failed.
    pub(crate) is_doubtful: bool,
    /// Somebody else opens its RTP.
    pub(crate) is_lent: bool,
}

/// What is known of the indices of a sender's RTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reception {
    /// Nothing.
    Unknown,
    /// Nothing was received under these keys; under those before the highest one was this.
    Expected(u64),
    Running(Window<RTP_WORDS>),
}

/// Indices that a packet may have, the likeliest first.
pub(crate) struct Candidates {
    all: [u64; 4],
    count: usize,
    /// What to say if none of them authenticates.
    replayed: Option<Refusal>,
}

impl Candidates {
    fn push(&mut self, index: u64) {
        let is_listed = self.list().contains(&index);
        if index <= MAX_RTP_INDEX
            && !is_listed
            && let Some(place) = self.all.get_mut(self.count)
        {
            *place = index;
            self.count += 1;
        }
    }

    fn list(&self) -> &[u64] {
        self.all.get(..self.count).unwrap_or_default()
    }
}

impl Reception {
    fn candidates(&self, sequence: u16, is_tagged: bool) -> Candidates {
        let mut candidates = Candidates {
            all: [0; 4],
            count: 0,
            replayed: None,
        };
        let zero = u64::from(sequence);
        match self {
            Self::Unknown => {
                candidates.push(zero);
                candidates.push(zero + PERIOD);
            }
            Self::Expected(near) => {
                let index = estimate(*near, sequence);
                candidates.push(index);
                candidates.push(index + PERIOD);
                candidates.push(index.checked_sub(PERIOD).unwrap_or(zero));
                candidates.push(zero);
            }
            Self::Running(window) => {
                let index = estimate(window.highest(), sequence);
                if !is_tagged || window.place(index).is_new() {
                    candidates.push(index);
                } else {
                    candidates.replayed = Some(Refusal::Replayed { index });
                }
                candidates.push(index + PERIOD);
            }
        }
        candidates
    }

    /// Takes in an index that was authenticated.
    fn note(&mut self, index: u64) {
        match self {
            // Without tags an index can be any.
            Self::Running(window) if window.place(index).is_new() => window.insert(index),
            Self::Running(_) => {}
            Self::Unknown | Self::Expected(_) => *self = Self::Running(Window::starting_at(index)),
        }
    }
}

impl OpenSource {
    /// After a change of all master keys.
    fn begin_anew(&mut self) {
        if let Reception::Running(window) = &self.reception {
            self.reception = Reception::Expected(window.highest());
        }
        self.rtcp = None;
        self.is_doubtful = true;
    }
}

impl Source for OpenSource {
    fn unknown() -> Self {
        Self {
            reception: Reception::Unknown,
            rtcp: None,
            is_doubtful: true,
            is_lent: false,
        }
    }

    fn raise(&mut self, progress: &Progress) {
        let rtp = match &self.reception {
            Reception::Running(window) => Some(window.highest()),
            Reception::Unknown | Reception::Expected(_) => None,
        };
        if let Some(index) = progress.rtp.filter(|index| Some(*index) >= rtp) {
            self.reception = Reception::Running(Window::full(index));
        }
        let rtcp = self.rtcp.as_ref().map(Window::highest);
        if let Some(index) = progress.rtcp.filter(|index| Some((*index).into()) >= rtcp) {
            self.rtcp = Some(Window::full(index.into()));
        }
    }

    fn progress(&self, ssrc: u32) -> Progress {
        let rtp = match &self.reception {
            Reception::Running(window) => Some(window.highest()),
            Reception::Unknown | Reception::Expected(_) => None,
        };
        let rtcp = self.rtcp.as_ref().map(Window::highest);
        Progress {
            ssrc,
            rtp,
            rtcp: rtcp.and_then(|index| index.try_into().ok()),
        }
    }
}

#[cfg(test)]
mod tests;
