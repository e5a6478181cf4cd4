//! What becomes of the packets of one direction of one media: put into order, decoded, converted,
//! cut to packets of another length, encoded, and numbered anew.
//!
//! A [`Chain`] is made of the routes that [`crate::negotiate`] found. [`Chain::push`] takes one
//! packet in and appends those that it completed to an [`Out`]. Nothing else wakes it: what leaves,
//! leaves with the packet that completed it.
//!
//! Per packet nothing is allocated: buffers are kept. A source that is new, and a codec that
//! changes, allocate their state once; there are at most four sources.

mod mask;
mod media;
mod path;
mod state;
mod stream;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::catalogue::{CodecId, Cost};
use crate::codec::{EncoderOptions, cn};
use crate::dtmf::{self, Change};
use crate::format::Format;
use crate::input::{Refused, Reorder};
use crate::library::Libraries;
use crate::limits::{MAX_ROUTES, MAX_SOURCES};
use crate::negotiate::{Route, Treatment};
use crate::output::Output;
use crate::packet::{Header, Out};
use crate::resample::{Filters, ResampleError};

pub use mask::Mask;
pub use media::{EncodedMedia, MediaError};
pub use state::{ChainState, StateError, StreamState};
use stream::Stream;

/// What a chain is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What becomes of each payload type: [`crate::negotiate::Agreement`] has them.
    pub routes: Vec<Route>,
    /// Packet time of the output in ms, if the codec has it: [`crate::negotiate::cut_ptime`].
    pub ptime_ms: u32,
    /// For the encoder.
    pub encoder: EncoderOptions,
    /// The codecs of others.
    pub libraries: Libraries,
    /// Timestamps jump over lost packets, too. The reference's do not.
    pub timestamp_gaps: bool,
    /// Audio that arrives during an event is not dropped (`dtmf-no-suppress`).
    pub keep_audio_in_events: bool,
    /// The audio is searched for digits. With events on the output they become these.
    pub detect: bool,
    /// The output's events, if digits in the audio are to become them.
    pub events: Option<Format>,
    /// Packets that are quiet become packets of noise.
    pub silence: Option<Silence>,
    /// Chance for comfort noise.
    pub seed: u32,
}

impl Setup {
    /// A chain that converts by these routes to packets of a length, and does nothing else.
    pub fn new(routes: Vec<Route>, ptime_ms: u32) -> Self {
        Self {
            routes,
            ptime_ms,
            encoder: EncoderOptions::default(),
            libraries: Libraries::default(),
            timestamp_gaps: false,
            keep_audio_in_events: false,
            detect: false,
            events: None,
            silence: None,
            seed: 1,
        }
    }
}

/// Silence that is not encoded, for a receiver that has comfort noise (`silence-detect`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Silence {
    /// Every sample is nearer to 0 than this.
    pub threshold: u16,
    /// The receiver's comfort noise of the output's clock.
    pub noise: Format,
    /// The payload that is sent (`cn-payload`).
    pub payload: Vec<u8>,
}

impl Silence {
    /// A threshold from a share of the range of samples, in per cent of 65536: 0.013 is above the
    /// silence of A-law.
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    #[expect(clippy::cast_sign_loss, reason = "clamped")]
    pub fn threshold_of(percent: f64) -> u16 {
        (percent * 655.36).ceil().clamp(0.0, 65_535.0) as u16
    }
}

/// What becomes of the numbers of packets that are missing, for a source in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// [`Chain::fill`] has made something in their place.
    Filled,
    /// They are skipped.
    Skipped,
}

/// Why a chain cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// A codec cannot be encoded or decoded here.
    #[error("payload type {0} cannot be converted: {1}")]
    Codec(u8, crate::codec::CodecError),
    /// Two clocks cannot be converted.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// More routes than a direction has.
    #[error("{0} payload types, more than {MAX_ROUTES}")]
    Routes(usize),
}

/// What came of a packet, beside the packets in [`Out`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// It is held, or came too late.
    pub refused: Option<Refused>,
    /// Packets that were dropped because a codec could not do its work.
    pub codec_errors: u32,
    /// A digit began or ended in the audio.
    pub digit: Option<Change>,
    /// The mode of AMR that the sender asks for: the chain of the other direction is told by
    /// [`Chain::request_mode`].
    pub requested_mode: Option<u8>,
    /// Packets that were decoded.
    pub decoded: Work,
    /// Packets that were encoded.
    pub encoded: Work,
}

/// What a codec did for one call of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The codec; `None`: it did nothing.
    pub codec: Option<CodecId>,
    /// Packets.
    pub frames: u32,
    /// Audio in them, in µs.
    pub micros: u32,
    /// Samples in them, of one channel.
    pub samples: u32,
}

impl Work {
    fn add(&mut self, codec: Option<CodecId>, samples: usize, rate: u32) {
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        let micros = u64::from(samples) * 1_000_000 / u64::from(rate.max(1));
        self.codec = codec;
        self.frames += 1;
        self.samples = self.samples.saturating_add(samples);
        let micros = u32::try_from(micros).unwrap_or(u32::MAX);
        self.micros = self.micros.saturating_add(micros);
    }
}

/// One direction of one media.
#[derive(Debug)]
pub struct Chain {
    shared: Shared,
    /// The one used last comes first.
    streams: Vec<Stream>,
    waiting: VecDeque<Injection>,
}

/// What all streams of a chain have in common.
#[derive(Debug)]
struct Shared {
    setup: Setup,
    /// By the pair of clocks.
    filters: HashMap<(u32, u32), Arc<Filters>>,
    /// What takes the place of digits that begin now.
    mask: Mask,
    /// The receiver hears silence.
    is_muted: bool,
}

/// Has the filters between the clocks of two formats.
fn need_filters(
    filters: &mut HashMap<(u32, u32), Arc<Filters>>,
    from: &Format,
    to: &Format,
    detect: bool,
) -> Result<(), ResampleError> {
    for pair in path::clocks(from, to, detect) {
        if let Entry::Vacant(entry) = filters.entry(pair) {
            entry.insert(Arc::new(Filters::new(pair.0, pair.1)?));
        }
    }
    Ok(())
}

/// A digit to be played to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Its event number, 0 to 15.
    pub event: u8,
    /// Its loudness in -dBm0, 0 to 63.
    pub volume: u8,
    /// How long it lasts, in ms.
    pub duration_ms: u32,
    /// How long nothing is played after it, in ms.
    pub pause_ms: u32,
}

/// The type of a packet that passes by; none on the wire has more than seven bits.
const SKIPPED: u8 = 0xff;

/// Digits that wait to be played: what a request names, many times over.
const MAX_INJECTIONS: usize = 128;

impl Chain {
    /// A chain; what it needs of codecs is tried, so that a packet cannot fail for lack of them.
    pub fn new(setup: Setup) -> Result<Self, ChainError> {
        if setup.routes.len() > MAX_ROUTES {
            return Err(ChainError::Routes(setup.routes.len()));
        }
        let mut shared = Shared {
            setup,
            filters: HashMap::new(),
            mask: Mask::None,
            is_muted: false,
        };
        let Shared { setup, filters, .. } = &mut shared;
        for route in &setup.routes {
            if let Treatment::Convert(to) | Treatment::Sound(to) = &route.treatment {
                need_filters(filters, &route.from, to, setup.detect)?;
            }
        }
        for route in &shared.setup.routes {
            if let Treatment::Convert(to) = &route.treatment {
                path::Path::new(&route.from, to, &shared)
                    .map_err(|error| ChainError::Codec(route.from.payload_type, error))?;
            }
        }
        Ok(Self {
            shared,
            streams: Vec::with_capacity(MAX_SOURCES),
            waiting: VecDeque::new(),
        })
    }

    /// What the chain was made of.
    pub fn setup(&self) -> &Setup {
        &self.shared.setup
    }

    /// What a packet costs at most, for the choice of the thread.
    pub fn cost(&self) -> Cost {
        let formats = self.shared.setup.routes.iter().flat_map(|route| {
            let to = match &route.treatment {
                Treatment::Convert(to) | Treatment::Sound(to) => Some(to),
                _ => None,
            };
            [to.map(|_| &route.from), to].into_iter().flatten()
        });
        let costs = formats.filter_map(|format| format.def().map(|def| def.cost()));
        costs.max().unwrap_or(Cost::Cheap)
    }

    /// Takes one packet in; what it completes is appended to `out`.
    pub fn push(&mut self, header: Header, payload: &[u8], out: &mut Out) -> Verdict {
        let (stream, shared, waiting) = self.stream(header.ssrc);
        stream.push(header, payload, shared, waiting, out)
    }

    /// The same for packets that have been put into order: by [`crate::jitter::JitterBuffer`] or
    /// [`crate::dtx::Dtx`].
    pub fn push_in_order(
        &mut self,
        header: Header,
        payload: &[u8],
        gaps: Gaps,
        out: &mut Out,
    ) -> Verdict {
        let (stream, shared, waiting) = self.stream(header.ssrc);
        stream.push_in_order(header, payload, gaps, shared, waiting, out)
    }

    /// Lets a packet pass by: its number is known, and it is neither lost nor anything of the output.
    /// What waited for it goes on.
    pub fn skip(&mut self, header: Header, out: &mut Out) -> Verdict {
        let skipped = Header {
            payload_type: SKIPPED,
            ..header
        };
        self.push(skipped, &[], out)
    }

    /// Says what takes the place of digits that begin from now on.
    pub fn set_mask(&mut self, mask: Mask) {
        self.shared.mask = mask;
    }

    /// Says whether the receiver hears silence in place of the audio. Events pass.
    pub fn set_muted(&mut self, is_muted: bool) {
        self.shared.is_muted = is_muted;
    }

    /// Makes audio in place of what a source did not send, for so many ticks of its clock: noise, or
    /// silence. Nothing happens before its first audio.
    pub fn fill(
        &mut self,
        ssrc: u32,
        ticks: u32,
        noise: Option<&cn::Description>,
        out: &mut Out,
    ) -> Verdict {
        if !self.streams.iter().any(|stream| stream.ssrc == ssrc) {
            return Verdict::default();
        }
        let (stream, shared, waiting) = self.stream(ssrc);
        stream.fill(ticks, noise, shared, waiting, out)
    }

    /// The state of a source, which becomes the one used last.
    fn stream(&mut self, ssrc: u32) -> (&mut Stream, &Shared, &mut VecDeque<Injection>) {
        let Self {
            shared,
            streams,
            waiting,
        } = self;
        let place = streams.iter().position(|stream| stream.ssrc == ssrc);
        let place = place.unwrap_or_else(|| {
            // The last one is the one that was not used for the longest time.
            streams.truncate(MAX_SOURCES - 1);
            streams.push(Stream::new(ssrc, Reorder::default(), shared.setup.seed));
            streams.len() - 1
        });
        if let Some(front) = streams.get_mut(..=place).filter(|_| place > 0) {
            front.rotate_right(1);
        }
        #[expect(
            clippy::indexing_slicing,
            reason = "one has been put there if there was none"
        )]
        let stream = &mut streams[0];
        (stream, shared, waiting)
    }

    /// Plays a digit to the receiver, after those that wait already: as an event if the receiver has
    /// them, else as a tone. It begins with the next audio. Whether there was room.
    pub fn play_digit(&mut self, digit: Injection) -> bool {
        let fits = self.waiting.len() < MAX_INJECTIONS && dtmf::digit_of(digit.event).is_some();
        if fits {
            self.waiting.push_back(digit);
        }
        fits
    }

    /// Whether a digit is played, or waits to be.
    pub fn plays(&self) -> bool {
        !self.waiting.is_empty() || self.streams.iter().any(Stream::plays)
    }

    /// Has AMR sent in a mode that the receiver asked for (RFC 4867 §4.3.1).
    pub fn request_mode(&mut self, mode: u8) {
        for stream in &mut self.streams {
            stream.request_mode(mode);
        }
    }

    /// The output's time of a time of the source, for its sender reports.
    pub fn map_timestamp(&self, ssrc: u32, timestamp: u32) -> Option<u32> {
        Some(self.output(ssrc)?.map(timestamp))
    }

    /// The numbers of a source's output, once there are any.
    pub fn output(&self, ssrc: u32) -> Option<&Output> {
        let stream = self.streams.iter().find(|stream| stream.ssrc == ssrc)?;
        stream.output()
    }

    /// What outlives the process: numbers, not the memories of codecs.
    pub fn save(&self) -> ChainState {
        ChainState::of(self.streams.iter().map(Stream::save), &self.waiting)
    }

    /// A chain that goes on with the numbers of another.
    pub fn restore(setup: Setup, state: ChainState) -> Result<Self, StateError> {
        let mut chain = Self::new(setup)?;
        chain.resume(state)?;
        Ok(chain)
    }

    /// Goes on with the numbers of another, in place of its own.
    pub fn resume(&mut self, state: ChainState) -> Result<(), StateError> {
        let (streams, waiting) = state.check()?;
        let seed = self.shared.setup.seed;
        let streams = streams.into_iter();
        self.streams.clear();
        self.streams
            .extend(streams.map(|stream| Stream::restore(stream, seed)));
        self.waiting = waiting;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
