//! Reads WAV files (RIFF, Microsoft's and RFC 2361): linear samples of 8 to 32 bits, floating ones,
//! and G.711. What is read came from an operator or a peer, so every length is checked.

use crate::codec::g711::Law;
use crate::limits::{MAX_MEDIA_SAMPLES, MAX_RATE, MIN_RATE};
use crate::sample;

/// Audio of a file: one or two channels, interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Clock in Hz.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// The samples.
    pub samples: Vec<i16>,
}

impl Audio {
    /// How long it is, in ms.
    pub fn duration_ms(&self) -> u64 {
        let per_channel = self.samples.len() as u64 / u64::from(self.channels.max(1));
        per_channel * 1000 / u64::from(self.rate.max(1))
    }
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// More or fewer channels than one or two.
    #[error("{0} channels, where 1 or 2 are expected")]
    Channels(u16),
    /// Samples in a form that is not known.
    #[error("samples of format {format} with {bits} bits are not read")]
    Format {
        /// The number of the form.
        format: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// A part that every file has is missing.
    #[error("the file has no part {0:?}")]
    Missing(&'static str),
    /// It does not begin as a WAV file does.
    #[error("the file is no WAV")]
    NotWav,
    /// A clock that is outside of what codecs use.
    #[error("a clock of {0} Hz is outside {MIN_RATE} to {MAX_RATE}")]
    Rate(u32),
    /// Longer than what is played.
    #[error("more than {MAX_MEDIA_SAMPLES} samples")]
    TooLong,
}

const LINEAR: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

/// Reads a file. Data that ends early is taken as far as it goes.
pub fn read(file: &[u8]) -> Result<Audio, WavError> {
    let (head, mut rest) = file.split_at_checked(12).ok_or(WavError::NotWav)?;
    if !(head.starts_with(b"RIFF") && head.ends_with(b"WAVE")) {
        return Err(WavError::NotWav);
    }
    let mut form = None;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let [name @ .., a, b, c, d] = *chunk;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let body = after.get(..length).unwrap_or(after);
        match &name {
            b"fmt " => form = Some(Form::parse(body)?),
            b"data" => return form.ok_or(WavError::Missing("fmt "))?.decode(body),
            _ => {}
        }
        // Chunks begin at even places.
        rest = after
            .get(length.saturating_add(length & 1)..)
            .unwrap_or_default();
    }
    Err(WavError::Missing(if form.is_some() {
        "data"
    } else {
        "fmt "
    }))
}

/// The chunk `fmt `.
#[derive(Clone, Copy, Debug)]
struct Form {
    format: u16,
    channels: u8,
    rate: u32,
    bits: u16,
}

impl Form {
    fn parse(body: &[u8]) -> Result<Self, WavError> {
        let fields: &[u8; 16] = body.first_chunk().ok_or(WavError::Missing("fmt "))?;
        let [f0, f1, c0, c1, r0, r1, r2, r3, .., b0, b1] = *fields;
        let mut format = u16::from_le_bytes([f0, f1]);
        if format == EXTENSIBLE {
            // The true form are the first two bytes of an identifier that follows.
            let pair = body.get(24..).and_then(<[u8]>::first_chunk);
            format = u16::from_le_bytes(*pair.ok_or(WavError::Missing("fmt "))?);
        }
        let channels = u16::from_le_bytes([c0, c1]);
        let rate = u32::from_le_bytes([r0, r1, r2, r3]);
        let bits = u16::from_le_bytes([b0, b1]);
        if !(1..=2).contains(&channels) {
            return Err(WavError::Channels(channels));
        }
        if !(MIN_RATE..=MAX_RATE).contains(&rate) {
            return Err(WavError::Rate(rate));
        }
        Ok(Self {
            format,
            channels: u8::try_from(channels).unwrap_or(1),
            rate,
            bits,
        })
    }

    fn decode(self, data: &[u8]) -> Result<Audio, WavError> {
        let wide = usize::from(self.bits / 8).max(1);
        if data.len() / wide > MAX_MEDIA_SAMPLES {
            return Err(WavError::TooLong);
        }
        let mut samples = Vec::with_capacity(data.len() / wide);
        match (self.format, self.bits) {
            // Eight bits are without sign.
            (LINEAR, 8) => samples.extend(data.iter().map(|x| (i16::from(*x) - 128) << 8)),
            (LINEAR, 16) => {
                let pairs = data.as_chunks::<2>().0;
                samples.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
            }
            (LINEAR, 24) => {
                let triples = data.as_chunks::<3>().0;
                samples.extend(
                    triples
                        .iter()
                        .map(|[_, low, high]| i16::from_le_bytes([*low, *high])),
                );
            }
            (LINEAR, 32) => {
                let words = data.as_chunks::<4>().0;
                samples.extend(
                    words
                        .iter()
                        .map(|[_, _, low, high]| i16::from_le_bytes([*low, *high])),
                );
            }
            (FLOAT, 32) => {
                let words = data.as_chunks::<4>().0;
                let value = |word: &[u8; 4]| sample::round(f32::from_le_bytes(*word) * 32768.0);
                samples.extend(words.iter().map(value));
            }
            (A_LAW, 8) => Law::A.decode(data, &mut samples),
            (MU_LAW, 8) => Law::Mu.decode(data, &mut samples),
            (format, bits) => return Err(WavError::Format { format, bits }),
        }
        // Half a pair is none.
        samples.truncate(samples.len() / usize::from(self.channels) * usize::from(self.channels));
        Ok(Audio {
            rate: self.rate,
            channels: self.channels,
            samples,
        })
    }
}

#[cfg(test)]
#[path = "wav_tests.rs"]
mod tests;
