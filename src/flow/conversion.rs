//! What becomes of the audio of one direction at a sink: which packets are decoded and encoded.
//!
//! Plain data that `call/` works out of both parties' codecs ([`windlass_audio::negotiate`]); the
//! data plane makes a [`windlass_audio::chain::Chain`] of it. A direction whose codecs, parameters
//! and packet times agree has none (spec: media-services §1), so that it may go through the kernel.

use windlass_audio::chain::Silence;
use windlass_audio::codec::EncoderOptions;
use windlass_audio::format::Format;
use windlass_audio::negotiate::Route;

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
}
