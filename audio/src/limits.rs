//! Every bound of the crate, with the reason for its number.

/// Audio of one packet or frame, in milliseconds: the longest packet of Opus (RFC 7587 §4.2).
pub(crate) const MAX_FRAME_MS: u32 = 120;

/// Clock of PCM: the highest that Opus knows (RFC 6716 §2).
pub(crate) const MAX_RATE: u32 = 48_000;

/// Lowest clock of PCM, half of telephony's. A filter's length grows with the ratio of clocks, so a
/// clock that a peer made up must not cost megabytes.
pub(crate) const MIN_RATE: u32 = 4000;

/// Channels of PCM: stereo. The codecs of telephony have no more.
pub(crate) const MAX_CHANNELS: u8 = 2;

/// Samples of all channels in one frame of decoded audio: 11,520, 23 kB.
pub(crate) const MAX_FRAME_SAMPLES: usize =
    (MAX_RATE / 1000 * MAX_FRAME_MS) as usize * MAX_CHANNELS as usize;

/// Filters between two clocks: 441, from 8 or 48 to 44.1 kHz, is the most among clocks in use; 57 kB.
pub(crate) const MAX_PHASES: u32 = 480;

/// Payload of a packet that is decoded: what an Ethernet frame carries. What is longer is cut.
pub(crate) const MAX_PAYLOAD: usize = 1500;

/// Packets that one packet may turn into: 120 ms cut to 10 ms, and a held one let go with it.
pub(crate) const MAX_OUT: usize = 16;

/// Sources (SSRCs) of one direction with state. A party sends one and now and then changes it; the
/// least recently used goes.
pub(crate) const MAX_SOURCES: usize = 4;

/// Payload types of one direction with state.
pub const MAX_ROUTES: usize = 16;

/// Sequence numbers from the expected one at which a sender has begun anew, either way.
pub(crate) const SEQUENCE_RESET: i16 = 128;

/// Samples of all channels of something that is played: half an hour of stereo at 48 kHz.
pub(crate) const MAX_MEDIA_SAMPLES: usize = 30 * 60 * MAX_RATE as usize * MAX_CHANNELS as usize;

/// Sources that are mixed: a conference of more has a server of its own. 16 kB each at 8 kHz.
pub(crate) const MAX_MIXED: usize = 64;

/// Packets in a jitter buffer: two seconds. More delay is no call any more.
pub(crate) const MAX_JITTER_PACKETS: usize = 100;

/// Packets that wait where gaps are filled, and what they are delayed by at most.
pub(crate) const MAX_DTX_PACKETS: usize = 100;
pub(crate) const MAX_DTX_DELAY: std::time::Duration = std::time::Duration::from_secs(1);
