//! What leaves: SRTP and SRTCP of one direction.

use std::fmt;

use crate::error::Refusal;
use crate::header::{RTCP_FIXED, RtpHeader, rtcp_ssrc, without};
use crate::keys::{Keys, KeysError};
use crate::limits::{
    FAR, FAR_RUN, FAR_STEP, MAX_RTCP_INDEX, MAX_RTP_INDEX, PRINTS, RESTART_RUN, RTP_WORDS,
};
use crate::persist::Progress;
use crate::session::Session;
use crate::sources::{Source, Sources};
use crate::transform::Print;
use crate::window::{PERIOD, Place, Window, estimate};

/// Seals what goes to a party: encrypts in place, adds index, key identifier and tag.
///
/// **Index of RTP.** A relay sends what others numbered, so the rollover counter of each source is
/// followed as a receiver would (RFC 3711 §3.3.1), from 0 at its first packet; late packets get the
/// counter of their place. What came before the first packet has no place if that would need a
/// counter below 0. A sender that jumps back by more than the window is not late but began anew:
/// after a second of such packets in sequence they are sealed ahead, in the next period if need be.
/// To go forward only is what keeps the next rule. One packet far ahead whose number is only claimed
/// ([`Numbering`]) is not followed either: it would make the packets of the sender's old place too old
/// for the receiver.
///
/// **No keystream twice.** An index that was used, or of which that is not known any more, is
/// refused. One exception: networks and phones repeat packets, and a repeated packet is sealed to
/// the very bytes that left before, which tells nobody anything. It is known by its tag: the first
/// 64 bits of the last tags are kept per source, a packet with a used index is sealed and its tag
/// compared. (A hash of the plain packet would do the same at the cost of a second pass.)
///
/// **Index of RTCP.** Counts up per source from 0, whatever is sealed (RFC 3711 §3.2.1).
///
/// **Sources** are bounded as in [`Open`](crate::Open): plain media can come with any SSRC, so the
/// rule that none is forgotten under the same keys matters here most.
pub struct Seal {
    session: Session,
    sources: Sources<SealSource>,
}

impl Seal {
    /// Seals with `keys`.
    ///
    /// # Errors
    /// [`KeysError::Library`].
    pub fn new(keys: Keys) -> Result<Self, KeysError> {
        Ok(Self {
            session: Session::new(keys)?,
            sources: Sources::new(),
        })
    }

    /// Bytes that sealing adds to RTP. At most [`MAX_OVERHEAD`](crate::MAX_OVERHEAD).
    pub fn rtp_overhead(&self) -> usize {
        self.session.layout().rtp_tail()
    }

    /// Bytes that sealing adds to RTCP. At most [`MAX_OVERHEAD`](crate::MAX_OVERHEAD).
    pub fn rtcp_overhead(&self) -> usize {
        self.session.layout().rtcp_tail()
    }

    /// Seals the RTP packet in the first `len` bytes of `buffer`, whose number is proven, and gives the
    /// length of the SRTP packet.
    ///
    /// # Errors
    /// [`Refusal`]: the packet is not to be sent, and its content is void.
    pub fn rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refusal> {
        self.rtp_numbered(buffer, len, Numbering::Proven)
    }

    /// As [`Self::rtp`], with a number that is to be believed as far as `numbering` says.
    ///
    /// # Errors
    /// [`Refusal`]: the packet is not to be sent, and its content is void.
    pub fn rtp_numbered(
        &mut self,
        buffer: &mut [u8],
        len: usize,
        numbering: Numbering,
    ) -> Result<usize, Refusal> {
        let header = RtpHeader::parse(plain(buffer, len)?)?;
        let packet = room(buffer, len + self.rtp_overhead())?;
        let need = packet.len();
        let mut recalled = None;
        let source = match self.sources.live(header.ssrc) {
            Some(source) => source,
            None => recalled.insert(self.sources.recall(header.ssrc)?),
        };
        if source.is_lent {
            return Err(Refusal::Lent);
        }
        let (index, place) = source.index(header.sequence, numbering)?;
        let print = self.session.seal_rtp(packet, len, &header, index)?;
        if place == Place::Seen && !source.is_repeated(index, print) {
            // Whoever sends it in spite of the refusal shall not send this.
            packet.fill(0);
            return Err(Refusal::KeystreamReused { index });
        }
        source.note(index, print);
        if let Some(source) = recalled {
            self.sources.insert(header.ssrc, source, true);
        }
        self.sources.touch(header.ssrc);
        Ok(need)
    }

    /// Seals the RTCP packet in the first `len` bytes of `buffer` and gives the length of the SRTCP
    /// packet.
    ///
    /// # Errors
    /// [`Refusal`]: the packet is not to be sent, and its content is void.
    pub fn rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refusal> {
        let ssrc = rtcp_ssrc(plain(buffer, len)?)?;
        without(len, 0, RTCP_FIXED)?;
        let packet = room(buffer, len + self.rtcp_overhead())?;
        let need = packet.len();
        let mut recalled = None;
        let source = match self.sources.live(ssrc) {
            Some(source) => source,
            None => recalled.insert(self.sources.recall(ssrc)?),
        };
        let index = source.next_rtcp;
        if index > MAX_RTCP_INDEX {
            return Err(Refusal::IndexExhausted);
        }
        self.session.seal_rtcp(packet, len, ssrc, index)?;
        source.next_rtcp += 1;
        if let Some(source) = recalled {
            self.sources.insert(ssrc, source, true);
        }
        self.sources.touch(ssrc);
        Ok(need)
    }

    /// Goes on with another key. Sources keep their rollover counters and RTCP indices (RFC 3711
    /// §3.3.1: a re-key does not touch them). For a receiver that begins anew, make a new `Seal`.
    ///
    /// # Errors
    /// [`KeysError::Library`]; then the old key stays.
    pub fn rekey(&mut self, keys: Keys) -> Result<(), KeysError> {
        let stays = keys.is_same_master(self.session.keys());
        self.session = Session::new(keys)?;
        if !stays {
            self.sources.forget_remembered();
            for source in self.sources.iter_mut() {
                let unused = |window: Window<_>| Window::unused(window.highest());
                source.rtp = source.rtp.take().map(unused);
                source.is_running = false;
            }
        }
        Ok(())
    }

    /// How far each source got, those that made room included. To be stored before what was
    /// sealed leaves: then a successor seals nothing at or below.
    pub fn progress(&self) -> impl Iterator<Item = Progress> {
        self.sources.progress()
    }

    /// How far one source got, if it is known; for the data plane to store per packet.
    pub fn progress_of(&self, ssrc: u32) -> Option<Progress> {
        self.sources.progress_of(ssrc)
    }

    /// Counts everything up to there as sealed. Never goes back.
    ///
    /// # Errors
    /// [`Refusal::TooManySources`]: nothing was noted.
    pub fn resume(&mut self, progress: Progress) -> Result<(), Refusal> {
        self.sources.resume(progress)
    }

    pub(crate) fn source_mut(&mut self, ssrc: u32) -> Option<&mut SealSource> {
        self.sources.live(ssrc)
    }

    pub(crate) fn parts(&self) -> (&Keys, &Sources<SealSource>) {
        (self.session.keys(), &self.sources)
    }

    pub(crate) fn from_parts(keys: Keys, sources: Sources<SealSource>) -> Result<Self, KeysError> {
        let session = Session::new(keys)?;
        Ok(Self { session, sources })
    }
}

/// How far the number of a packet that is to be sealed is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Anybody can have written it: the packet came in the clear.
    Claimed,
    /// It is authentic, or our own.
    Proven,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field("keys", self.session.keys())
            .field("sources", &self.sources.len())
            .finish_non_exhaustive()
    }
}

fn plain(buffer: &[u8], len: usize) -> Result<&[u8], Refusal> {
    let missing = Refusal::NoRoom {
        len: buffer.len(),
        need: len,
    };
    buffer.get(..len).ok_or(missing)
}

fn room(buffer: &mut [u8], need: usize) -> Result<&mut [u8], Refusal> {
    let len = buffer.len();
    buffer.get_mut(..need).ok_or(Refusal::NoRoom { len, need })
}

/// One sender whose packets are passed on.
#[derive(Clone, Debug)]
pub(crate) struct SealSource {
    pub(crate) rtp: Option<Window<RTP_WORDS>>,
    /// Of the last indices, by index modulo their number. 0 where none was sealed: no tag begins
    /// with 64 zeros but once in 2^64.
    prints: [Print; PRINTS],
    pub(crate) next_rtcp: u32,
    /// Packets below the window that follow each other: the next number, and how many there were.
    strays: (u16, u8),
    /// Packets far ahead of the window that follow each other: the last number, and how many there
    /// were.
    far: (u16, u8),
    /// A packet was sealed here: before, nothing says where the sender is.
    is_running: bool,
    /// Somebody else seals its RTP.
    pub(crate) is_lent: bool,
}

impl SealSource {
    /// The index that a sequence number means, and whether it was sealed already.
    fn index(&mut self, sequence: u16, numbering: Numbering) -> Result<(u64, Place), Refusal> {
        let Some(window) = &self.rtp else {
            return Ok((sequence.into(), Place::Ahead));
        };
        let mut index = estimate(window.highest(), sequence);
        let mut place = window.place(index);
        // At rollover counter 0 there is no index for what came before the first packet.
        let is_before_first = index > window.highest() + PERIOD / 2;
        if place == Place::TooOld || is_before_first {
            let (next, count) = self.strays;
            let count = if sequence == next { count + 1 } else { 1 };
            self.strays = (sequence.wrapping_add(1), count);
            if count < RESTART_RUN {
                return Err(Refusal::Late { index });
            }
            if place == Place::TooOld {
                index += PERIOD;
                place = Place::Ahead;
            }
        } else if numbering == Numbering::Claimed
            && place == Place::Ahead
            && index - window.highest() > FAR
            && self.is_running
            && !self.goes_far(sequence)
        {
            return Err(Refusal::Early { index });
        }
        self.strays = (0, 0);
        self.far = (0, 0);
        if index > MAX_RTP_INDEX {
            return Err(Refusal::IndexExhausted);
        }
        Ok((index, place))
    }

    /// Whether a packet far ahead is the last of a run that says that the sender is there.
    fn goes_far(&mut self, sequence: u16) -> bool {
        let (last, count) = self.far;
        let (ahead, behind) = (sequence.wrapping_sub(last), last.wrapping_sub(sequence));
        self.far = match count {
            1.. if (1..=FAR_STEP).contains(&ahead) => (sequence, count + 1),
            1.. if behind <= FAR_STEP => (last, count),
            _ => (sequence, 1),
        };
        self.far.1 >= FAR_RUN
    }

    /// Whether that very packet was sealed under the index. If another one took its place among
    /// the tags, it is not known any more.
    #[expect(clippy::indexing_slicing, reason = "modulo their number")]
    fn is_repeated(&self, index: u64, print: Print) -> bool {
        self.prints[print_at(index)] == print
    }

    #[expect(clippy::indexing_slicing, reason = "modulo their number")]
    fn note(&mut self, index: u64, print: Print) {
        let window = self.rtp.get_or_insert_with(|| Window::unused(index));
        window.insert(index);
        self.is_running = true;
        if window.highest() - index < PRINTS as u64 {
            self.prints[print_at(index)] = print;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "modulo their number")]
fn print_at(index: u64) -> usize {
    (index % PRINTS as u64) as usize
}

impl Source for SealSource {
    fn unknown() -> Self {
        Self {
            rtp: None,
            prints: [0; PRINTS],
            next_rtcp: 0,
            strays: (0, 0),
            far: (0, 0),
            is_running: false,
            is_lent: false,
        }
    }

    fn raise(&mut self, progress: &Progress) {
        let rtp = self.rtp.as_ref().map(Window::highest);
        if let Some(index) = progress.rtp.filter(|index| Some(*index) >= rtp) {
            self.rtp = Some(Window::full(index));
        }
        if let Some(index) = progress.rtcp {
            self.next_rtcp = self.next_rtcp.max(index.saturating_add(1));
        }
    }

    fn progress(&self, ssrc: u32) -> Progress {
        Progress {
            ssrc,
            rtp: self.rtp.as_ref().map(Window::highest),
            rtcp: self.next_rtcp.checked_sub(1),
        }
    }
}

#[cfg(test)]
mod tests;
