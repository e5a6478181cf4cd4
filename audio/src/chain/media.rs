//! Audio of a file, encoded once for all that it is played to.

use std::collections::HashMap;

use super::mask::Mask;
use super::path::Path;
use super::{Setup, Shared, need_filters};
use crate::codec::{CodecError, EncoderOptions};
use crate::format::Format;
use crate::library::Libraries;
use crate::resample::ResampleError;
use crate::wav::Audio;

/// Packets of audio in one format, and where each ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedMedia {
    /// What the packets are.
    pub format: Format,
    /// Length of a packet in ms.
    pub ptime_ms: u32,
    /// Ticks of the format's clock in a packet.
    pub ticks: u32,
    /// Samples of the file in a packet, of one channel.
    pub source_samples: u32,
    /// Length in ms.
    pub duration_ms: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Why audio cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The codec does not do it.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// There is nothing to play.
    #[error("the audio is empty")]
    Empty,
    /// The clocks cannot be converted.
    #[error(transparent)]
    Resample(#[from] ResampleError),
}

/// Samples that are converted at once.
const PIECE: usize = 960;

impl EncodedMedia {
    /// Encodes audio from a sample of each channel on. The last packet is filled with silence.
    pub fn encode(
        audio: &Audio,
        from: usize,
        format: &Format,
        ptime_ms: u32,
        options: &EncoderOptions,
        libraries: &Libraries,
    ) -> Result<Self, MediaError> {
        let channels = usize::from(audio.channels.max(1));
        let samples = audio
            .samples
            .get(from.saturating_mul(channels)..)
            .unwrap_or_default();
        if samples.is_empty() {
            return Err(MediaError::Empty);
        }
        let source = Format {
            payload_type: 0,
            name: "L16".to_owned(),
            clock: audio.rate,
            channels: audio.channels,
            fmtp: String::new(),
        };
        let mut setup = Setup::new(Vec::new(), ptime_ms);
        setup.encoder = options.clone();
        setup.libraries = libraries.clone();
        let mut filters = HashMap::new();
        need_filters(&mut filters, &source, format, false)?;
        let mut path = Path::new(
            &source,
            format,
            &Shared {
                setup,
                filters,
                mask: Mask::None,
                is_muted: false,
            },
        )?;
        let ptime_ms = path.ptime_ms;
        let mut media = Self {
            format: format.clone(),
            ptime_ms,
            ticks: path.ticks(path.frame),
            source_samples: audio.rate * ptime_ms / 1000,
            duration_ms: samples.len() as u64 * 1000
                / (channels as u64 * u64::from(audio.rate.max(1))),
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        for piece in samples.chunks(PIECE * channels) {
            path.feed(piece);
            media.take(&mut path)?;
        }
        if !path.pending.is_empty() {
            path.pending.resize(path.frame, 0);
            media.take(&mut path)?;
        }
        Ok(media)
    }

    /// How many packets there are.
    pub fn packets(&self) -> usize {
        self.ends.len()
    }

    /// The payload of a packet.
    pub fn payload(&self, packet: usize) -> Option<&[u8]> {
        let end = *self.ends.get(packet)?;
        let begin = match packet.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(begin..end)
    }

    /// Memory in bytes, for the bound of a cache.
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<usize>()
    }

    fn take(&mut self, path: &mut Path) -> Result<(), CodecError> {
        while path.pending.len() >= path.frame {
            path.encode(&mut self.bytes)?;
            self.ends.push(self.bytes.len());
            path.next_frame();
        }
        Ok(())
    }
}
