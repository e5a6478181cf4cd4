//! From payloads of one codec to payloads of another.

use super::Shared;
use super::mask::Sound;
use crate::catalogue::CodecId;
use crate::codec::{CodecError, Decoder, Encoder, Samples};
use crate::dtmf::{Change, Detector, Tone};
use crate::fmtp;
use crate::format::Format;
use crate::limits::{MAX_FRAME_MS, MAX_FRAME_SAMPLES, MAX_PAYLOAD, MAX_RATE};
use crate::resample::Resampler;
use crate::sample;

/// The clock that digits are searched at.
const DETECTOR_RATE: u32 = 8000;

/// The clocks that a conversion goes between.
pub(super) fn clocks(from: &Format, to: &Format, detect: bool) -> Vec<(u32, u32)> {
    let (from, to) = ends(from, to);
    let mut pairs = Vec::new();
    if from.rate != to.rate {
        pairs.push((from.rate, to.rate));
    }
    if detect && from.rate != DETECTOR_RATE {
        pairs.push((from.rate, DETECTOR_RATE));
    }
    pairs
}

/// The samples at both ends of a conversion. Opus has several clocks: it takes the lowest that is
/// not below that of the other end. And it takes stereo only if its receiver asks for it.
fn ends(from: &Format, to: &Format) -> (Samples, Samples) {
    let is_opus = |format: &Format| format.id() == Some(CodecId::Opus);
    let rate = |format: &Format, other: &Format| {
        if is_opus(format) && !is_opus(other) {
            let other = sample_rate(other);
            let mut rates = OPUS_RATES.into_iter();
            return rates.find(|rate| *rate >= other).unwrap_or(MAX_RATE);
        }
        sample_rate(format)
    };
    let to_channels = if is_opus(to) {
        1 + u8::from(fmtp::parameter(&to.fmtp, "stereo") == Some("1"))
    } else {
        to.channels.clamp(1, 2)
    };
    let from_channels = if is_opus(from) {
        to_channels
    } else {
        from.channels.clamp(1, 2)
    };
    let from_samples = Samples {
        rate: rate(from, to),
        channels: from_channels,
    };
    let to_samples = Samples {
        rate: rate(to, from),
        channels: to_channels,
    };
    (from_samples, to_samples)
}

/// The clocks of RFC 6716 §2.
const OPUS_RATES: [u32; 5] = [8000, 12_000, 16_000, 24_000, 48_000];

/// The clock of a format's samples in Hz.
fn sample_rate(format: &Format) -> u32 {
    let rate = format.def().map(|def| def.sample_rate(format.clock));
    rate.unwrap_or(format.clock).max(1)
}

/// Decoder, conversion, the samples that wait for a full packet, and encoder.
#[derive(Debug)]
pub(super) struct Path {
    decoder: Decoder,
    encoder: Encoder,
    resampler: Option<Resampler>,
    search: Option<Search>,
    from_channels: u8,
    /// As the decoder gives them.
    decoded: Vec<i16>,
    /// In the output's channels, at the input's clock.
    folded: Vec<i16>,
    /// At the output's clock: what waits for a full packet.
    pub(super) pending: Vec<i16>,
    /// Samples of one packet, all channels.
    pub(super) frame: usize,
    /// Clocks of samples in Hz.
    from_rate: u32,
    pub(super) rate: u32,
    pub(super) channels: u8,
    /// The output, with its clock of RTP.
    pub(super) to: Format,
    /// Who decodes, and who encodes.
    pub(super) codecs: [Option<CodecId>; 2],
    /// RTP clock of the input in Hz.
    pub(super) from_clock: u32,
    /// Length of a packet.
    pub(super) ptime_ms: u32,
}

/// The search for digits.
#[derive(Debug)]
struct Search {
    detector: Detector,
    resampler: Option<Resampler>,
    mono: Vec<i16>,
    samples: Vec<i16>,
}

impl Path {
    pub(super) fn new(from: &Format, to: &Format, shared: &Shared) -> Result<Self, CodecError> {
        let (source, target) = ends(from, to);
        let (from_rate, rate) = (source.rate, target.rate);
        let setup = &shared.setup;
        let def = to.def().ok_or(CodecError::Unsupported)?;
        for format in [from, to] {
            let exists = format.def().is_some_and(|def| {
                def.has_clock(format.clock) && def.has_channels(format.channels)
            });
            if !exists {
                return Err(CodecError::Unsupported);
            }
        }
        let ptime_ms = def.fit_ptime(setup.ptime_ms.clamp(1, MAX_FRAME_MS));
        let resampler = |to: u32, channels: u8| {
            let filters = shared.filters.get(&(from_rate, to));
            filters.map(|filters| Resampler::new(filters.clone(), channels))
        };
        let search = setup.detect.then(|| Search {
            detector: Detector::default(),
            resampler: resampler(DETECTOR_RATE, 1),
            mono: Vec::new(),
            samples: Vec::new(),
        });
        let channels = target.channels;
        let frame = (rate * ptime_ms / 1000) as usize * usize::from(channels);
        Ok(Self {
            decoder: Decoder::new(from, source, &setup.libraries)?,
            encoder: Encoder::new(to, target, &setup.encoder, &setup.libraries)?,
            resampler: resampler(rate, channels),
            search,
            from_channels: source.channels,
            decoded: Vec::with_capacity(MAX_PAYLOAD),
            folded: Vec::new(),
            pending: Vec::with_capacity(2 * frame),
            frame: frame.max(1),
            from_rate,
            rate,
            channels,
            to: to.clone(),
            codecs: [from.id(), to.id()],
            from_clock: from.clock,
            ptime_ms,
        })
    }

    /// Ticks of the output's RTP clock for so many samples of all channels.
    pub(super) fn ticks(&self, samples: usize) -> u32 {
        let per_channel = samples as u64 / u64::from(self.channels);
        let ticks = per_channel * u64::from(self.to.clock) / u64::from(self.rate);
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// Samples of one channel of the output for so many ticks of the input's RTP clock: a packet at
    /// most.
    pub(super) fn samples_of(&self, ticks: u32) -> usize {
        let samples = u64::from(ticks) * u64::from(self.rate) / u64::from(self.from_clock.max(1));
        let most = u64::from(self.rate * MAX_FRAME_MS / 1000);
        usize::try_from(samples.min(most)).unwrap_or_default()
    }

    /// Decodes a payload; its samples go to those that wait.
    pub(super) fn decode(
        &mut self,
        payload: &[u8],
        tell: impl FnMut(Change),
    ) -> Result<(), CodecError> {
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        let payload = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
        let result = self.decoder.decode(payload, &mut decoded);
        if result.is_ok() {
            let most = (self.from_rate * MAX_FRAME_MS / 1000) as usize;
            let most = (most * usize::from(self.from_channels)).min(MAX_FRAME_SAMPLES);
            decoded.truncate(most);
            if let Some(search) = &mut self.search {
                search.feed(&decoded, self.from_channels, tell);
            }
            self.feed(&decoded);
        }
        self.decoded = decoded;
        result
    }

    /// Converts samples of the input; they go to those that wait.
    pub(super) fn feed(&mut self, samples: &[i16]) {
        self.folded.clear();
        let samples = match (self.from_channels, self.channels) {
            (1, 2) => {
                sample::spread(samples, &mut self.folded);
                &self.folded
            }
            (2, 1) => {
                sample::fold(samples, &mut self.folded);
                &self.folded
            }
            _ => samples,
        };
        match &mut self.resampler {
            Some(resampler) => resampler.convert(samples, &mut self.pending),
            None => self.pending.extend_from_slice(samples),
        }
    }

    /// Whether every sample of the packet that is full is below a threshold.
    pub(super) fn is_quiet(&self, threshold: u16) -> bool {
        let frame = self.pending.get(..self.frame).unwrap_or_default();
        frame.iter().all(|sample| sample.unsigned_abs() < threshold)
    }

    /// Appends what `make` makes, at the output's clock, to the samples that wait: one channel.
    pub(super) fn append(&mut self, make: impl FnOnce(&mut Vec<i16>)) {
        if self.channels == 1 {
            make(&mut self.pending);
            return;
        }
        self.folded.clear();
        make(&mut self.folded);
        sample::spread(&self.folded, &mut self.pending);
    }

    /// Puts a tone in place of the packet that is full.
    pub(super) fn replace_frame(&mut self, tone: &mut Tone) {
        self.replace(|samples, out| tone.generate(samples, out));
    }

    /// The same for any sound.
    pub(super) fn cover_frame(&mut self, sound: &mut Sound) {
        self.replace(|samples, out| sound.generate(samples, out));
    }

    fn replace(&mut self, make: impl FnOnce(usize, &mut Vec<i16>)) {
        let channels = usize::from(self.channels);
        self.folded.clear();
        make(self.frame / channels, &mut self.folded);
        let tones = self
            .folded
            .iter()
            .flat_map(|x| std::iter::repeat_n(*x, channels));
        for (sample, tone) in self.pending.iter_mut().zip(tones) {
            *sample = tone;
        }
    }

    /// The mode that the sender asks the other direction for.
    pub(super) fn requested_mode(&self) -> Option<u8> {
        self.decoder.requested_mode()
    }

    /// A mode that the receiver asks for.
    pub(super) fn request_mode(&mut self, mode: u8) {
        self.encoder.request_mode(mode);
    }

    /// The digit that the search hears.
    pub(super) fn heard(&self) -> Option<(u8, u8)> {
        self.search.as_ref()?.detector.current()
    }

    /// Samples of one channel that were decoded last, and their clock.
    pub(super) fn decoded(&self) -> (usize, u32) {
        let channels = usize::from(self.from_channels.max(1));
        (self.decoded.len() / channels, self.from_rate)
    }

    /// Samples of one channel in a packet, and their clock.
    pub(super) fn framed(&self) -> (usize, u32) {
        (self.frame / usize::from(self.channels.max(1)), self.rate)
    }

    /// Encodes the packet that is full.
    pub(super) fn encode(&mut self, payload: &mut Vec<u8>) -> Result<(), CodecError> {
        let frame = self.pending.get(..self.frame).unwrap_or_default();
        self.encoder.encode(frame, payload)
    }

    /// Forgets the packet that was full.
    pub(super) fn next_frame(&mut self) {
        let full = self.frame.min(self.pending.len());
        self.pending.drain(..full);
    }
}

impl Search {
    fn feed(&mut self, samples: &[i16], channels: u8, tell: impl FnMut(Change)) {
        self.mono.clear();
        let mono = if channels == 2 {
            sample::fold(samples, &mut self.mono);
            &self.mono
        } else {
            samples
        };
        self.samples.clear();
        match &mut self.resampler {
            Some(resampler) => {
                resampler.convert(mono, &mut self.samples);
                self.detector.feed(&self.samples, tell);
            }
            None => self.detector.feed(mono, tell),
        }
    }
}
