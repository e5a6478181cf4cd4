//! What becomes of the packets of one direction of one media: put into order, decoded, converted,
//! cut to packets of another length, encoded, and numbered anew.
//!
//! A [`Chain`] is made of the routes that [`crate::negotiate`] found. [`Chain::push`] takes one
//! packet in and appends those that it completed to an [`Out`]. Nothing else wakes it: what leaves,
//! leaves with the packet that completed it.
//!
//! Per packet nothing is allocated: buffers are kept. A source that is new, and a codec that
//! changes, allocate their state once; there are at most four sources.

mod path;
mod state;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalogue::Cost;
use crate::codec::EncoderOptions;
use crate::dtmf::{self, Change};
use crate::format::Format;
use crate::input::{Refused, Reorder};
use crate::library::Libraries;
use crate::limits::{MAX_ROUTES, MAX_SOURCES};
use crate::negotiate::{Route, Treatment};
use crate::packet::{Header, Out};
use crate::resample::{Filters, ResampleError};

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
            seed: 1,
        }
    }
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
}

/// One direction of one media.
#[derive(Debug)]
pub struct Chain {
    shared: Shared,
    /// The one used last comes first.
    streams: Vec<Stream>,
    waiting: std::collections::VecDeque<Injection>,
}

/// What all streams of a chain have in common.
#[derive(Debug)]
struct Shared {
    setup: Setup,
    /// By the pair of clocks.
    filters: HashMap<(u32, u32), Arc<Filters>>,
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

/// Digits that wait to be played: what a request names, many times over.
const MAX_INJECTIONS: usize = 128;

impl Chain {
    /// A chain; what it needs of codecs is tried, so that a packet cannot fail for lack of them.
    pub fn new(setup: Setup) -> Result<Self, ChainError> {
        if setup.routes.len() > MAX_ROUTES {
            return Err(ChainError::Routes(setup.routes.len()));
        }
        let mut filters = HashMap::new();
        for route in &setup.routes {
            if let Treatment::Convert(to) | Treatment::Sound(to) = &route.treatment {
                for pair in path::clocks(&route.from, to, setup.detect) {
                    if let std::collections::hash_map::Entry::Vacant(entry) = filters.entry(pair) {
                        entry.insert(Arc::new(Filters::new(pair.0, pair.1)?));
                    }
                }
            }
        }
        let shared = Shared { setup, filters };
        for route in &shared.setup.routes {
            if let Treatment::Convert(to) = &route.treatment {
                path::Path::new(&route.from, to, &shared)
                    .map_err(|error| ChainError::Codec(route.from.payload_type, error))?;
            }
        }
        Ok(Self {
            shared,
            streams: Vec::with_capacity(MAX_SOURCES),
            waiting: std::collections::VecDeque::new(),
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
        let Self {
            shared,
            streams,
            waiting,
        } = self;
        let place = streams.iter().position(|stream| stream.ssrc == header.ssrc);
        let place = place.unwrap_or_else(|| {
            if streams.len() == MAX_SOURCES {
                streams.pop();
            }
            streams.push(Stream::new(
                header.ssrc,
                Reorder::default(),
                shared.setup.seed,
            ));
            streams.len() - 1
        });
        // Four at most, so moving them costs nothing.
        if let Some(front) = streams.get_mut(..=place) {
            front.rotate_right(1);
        }
        let Some(stream) = streams.first_mut() else {
            return Verdict::default();
        };
        stream.push(header, payload, shared, waiting, out)
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

    /// Has AMR sent in a mode that the receiver asked for (RFC 4867 §4.3.1).
    pub fn request_mode(&mut self, mode: u8) {
        for stream in &mut self.streams {
            stream.request_mode(mode);
        }
    }

    /// The output's time of a time of the source, for its sender reports.
    pub fn map_timestamp(&self, ssrc: u32, timestamp: u32) -> Option<u32> {
        let stream = self.streams.iter().find(|stream| stream.ssrc == ssrc)?;
        Some(stream.output()?.map(timestamp))
    }

    /// What outlives the process: numbers, not the memories of codecs.
    pub fn save(&self) -> ChainState {
        ChainState::of(self.streams.iter().map(Stream::save), &self.waiting)
    }

    /// A chain that goes on with the numbers of another.
    pub fn restore(setup: Setup, state: ChainState) -> Result<Self, StateError> {
        let mut chain = Self::new(setup)?;
        let (streams, waiting) = state.check()?;
        let seed = chain.shared.setup.seed;
        let streams = streams
            .into_iter()
            .map(|stream| Stream::restore(stream, seed));
        chain.streams.extend(streams);
        chain.waiting = waiting;
        Ok(chain)
    }
}

#[cfg(test)]
mod tests;
