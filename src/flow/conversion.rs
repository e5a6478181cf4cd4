//! What becomes of the audio of one direction at a sink: which packets are decoded and encoded.
//!
//! Plain data that `call/` works out of both parties' codecs ([`windlass_audio::negotiate`]); the
//! data plane makes a [`windlass_audio::chain::Chain`] of it. A direction whose codecs, parameters
//! and packet times agree has none (spec: media-services §1), so that it may go through the kernel.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use windlass_audio::catalogue::{CATALOGUE, CodecId};
use windlass_audio::chain::{ChainState, Silence, Work};
use windlass_audio::codec::EncoderOptions;
use windlass_audio::dtx::DtxSettings;
use windlass_audio::format::Format;
use windlass_audio::jitter::JitterSettings;
use windlass_audio::negotiate::Route;

use super::stats::FlowStats;

/// The conversion of one direction of one media.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conversion {
    /// What becomes of each payload type that the sender may use.
    pub routes: Vec<Route>,
    /// Packet time of what leaves, in ms.
    pub ptime_ms: u32,
    /// What the encoder is asked for.
    pub encoder: EncoderOptions,
    /// Digits that are heard in the audio leave as events of this format.
    pub events: Option<Format>,
    /// The audio is searched for digits, for reports, triggers or `events`.
    pub detect: bool,
    /// Packets that are quiet leave as comfort noise (`silence-detect`).
    pub silence: Option<Silence>,
    /// Audio that arrives during an event goes on (`dtmf-no-suppress`).
    pub keep_audio_in_events: bool,
    /// Timestamps that leave jump over lost packets, too (`[audio] timestamp-gaps`).
    pub timestamp_gaps: bool,
    /// The receiver hears silence in place of audio, whatever the codec (`silence media`).
    pub mute: bool,
    /// Packets are delayed, and what is missing in its time is filled (`dtx-delay`). The clock is that
    /// of the sender's audio. Where both are set, it acts in place of `jitter`.
    pub dtx: Option<DtxSettings>,
    /// Payload of comfort noise (RFC 3389) that gaps are filled with; empty: silence
    /// (`dtx-cn-params`).
    pub dtx_noise: Vec<u8>,
    /// Packets leave at the pace of their timestamps (`jitter-buffer`). The clock is that of the
    /// sender's audio.
    pub jitter: Option<JitterSettings>,
}

/// What a conversion has learned, as data: it travels with the port that its packets arrive at.
#[derive(Clone, Debug)]
pub(crate) struct ConversionState {
    /// The sink that it is for.
    pub(crate) via: SocketAddr,
    /// The numbers that leave.
    pub(crate) chain: ChainState,
    /// What went out.
    pub(crate) sent: Vec<Converted>,
}

/// What went out of one source through a conversion, and what the source was told of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Converted {
    pub(crate) ssrc: u32,
    pub(crate) packets: u32,
    /// Bytes of payload.
    pub(crate) octets: u32,
    /// Packets that were expected and lost on its way to us when it was last reported on.
    pub(crate) reported: (u64, u64),
}

/// Counters of the audio that one worker converts. One writer, as with [`FlowStats`].
#[derive(Debug, Default)]
pub struct AudioStats {
    decoded: [CodecStats; CATALOGUE.len()],
    encoded: [CodecStats; CATALOGUE.len()],
    /// Packets that did not become audio; index is `AudioDrop as usize`.
    pub dropped: [AtomicU64; AudioDrop::ALL.len()],
}

/// Counters of one codec in one direction.
#[derive(Debug, Default)]
pub struct CodecStats {
    /// Packets.
    pub frames: AtomicU64,
    /// Audio in them, in µs.
    pub micros: AtomicU64,
}

/// Why a packet did not become audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum AudioDrop {
    /// The threads of codecs had no time for it.
    CodecBusy,
    /// Its codec could not read it, or there is no codec.
    CodecError,
    /// It came after its time, where packets leave in time.
    Late,
    /// It would have become more packets than one may become.
    Overflow,
    /// It came twice, or after its place had been given up.
    Reorder,
}

impl AudioDrop {
    /// All reasons, by index.
    pub const ALL: [Self; 5] = [
        Self::CodecBusy,
        Self::CodecError,
        Self::Late,
        Self::Overflow,
        Self::Reorder,
    ];

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::CodecBusy => "codec_busy",
            Self::CodecError => "codec_error",
            Self::Late => "late",
            Self::Overflow => "overflow",
            Self::Reorder => "reorder",
        }
    }
}

impl AudioStats {
    /// Each codec by its name, with what was decoded of it and what was encoded.
    pub fn codecs(&self) -> impl Iterator<Item = (&'static str, &CodecStats, &CodecStats)> {
        let both = self.decoded.iter().zip(&self.encoded);
        let named = CATALOGUE.iter().zip(both);
        named.map(|(def, (decoded, encoded))| (def.name, decoded, encoded))
    }

    pub(crate) fn decoded(&self, work: &Work) {
        count(&self.decoded, work);
    }

    pub(crate) fn encoded(&self, work: &Work) {
        count(&self.encoded, work);
    }

    pub(crate) fn dropped(&self, reason: AudioDrop, packets: u32) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            FlowStats::add(counter, u64::from(packets));
        }
    }
}

fn count(codecs: &[CodecStats; CATALOGUE.len()], work: &Work) {
    let place = |codec: CodecId| CATALOGUE.iter().position(|def| def.id == codec);
    let stats = work.codec.and_then(place).and_then(|it| codecs.get(it));
    if let Some(stats) = stats {
        FlowStats::add(&stats.frames, u64::from(work.frames));
        FlowStats::add(&stats.micros, u64::from(work.micros));
    }
}

/// What was converted of the packets of one flow, for all of its sinks. One writer, as with
/// [`FlowStats`], of which it is a part.
#[derive(Debug, Default)]
pub struct ConvertedStats {
    /// Packets that were decoded.
    pub packets: AtomicU64,
    /// Bytes of their payloads.
    pub bytes: AtomicU64,
    /// Samples in them, of one channel.
    pub samples: AtomicU64,
}

impl ConvertedStats {
    /// Adds what was decoded of a payload.
    pub(crate) fn count(&self, work: &Work, bytes: usize) {
        FlowStats::add(&self.packets, u64::from(work.frames));
        FlowStats::add(&self.bytes, bytes as u64);
        FlowStats::add(&self.samples, u64::from(work.samples));
    }

    /// Packets, bytes and samples.
    pub fn totals(&self) -> [u64; 3] {
        [&self.packets, &self.bytes, &self.samples].map(|it| it.load(Relaxed))
    }
}
