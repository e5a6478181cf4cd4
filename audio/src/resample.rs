//! From one clock of samples to another: a windowed sinc, one filter per phase.
//!
//! The filter is that of FFmpeg's resampler with its default settings, in single precision, so the
//! samples are the same. An output needs samples of the input that come later: half a filter, 2 ms
//! at 8 kHz.
#![expect(
    clippy::indexing_slicing,
    reason = "phases and windows are computed from the lengths of the arrays that they index"
)]

use std::sync::Arc;

use crate::limits::{MAX_FRAME_SAMPLES, MAX_PHASES, MAX_RATE, MIN_RATE};
use crate::sample;

/// Taps of a filter that does not lower the clock.
const TAPS: f64 = 32.0;

/// Share of the lower clock's band that is kept.
const CUTOFF: f64 = 0.97;

/// Shape of the Kaiser window.
const BETA: f64 = 9.0;

/// The filters between two clocks: shared by all that convert between them.
#[derive(Debug)]
pub struct Filters {
    from: u32,
    to: u32,
    taps: usize,
    phases: usize,
    /// Inputs and phases that an output advances by.
    step: (usize, usize),
    /// Phase after phase.
    coefficients: Vec<f32>,
}

/// Why two clocks cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResampleError {
    /// A clock is beyond what codecs use.
    #[error("a clock of {0} Hz is outside {MIN_RATE} to {MAX_RATE}")]
    Clock(u32),
    /// The clocks have too little in common.
    #[error("from {from} to {to} Hz takes {phases} filters, more than {MAX_PHASES}")]
    Phases {
        /// Clock of the input in Hz.
        from: u32,
        /// Clock of the output in Hz.
        to: u32,
        /// Filters needed.
        phases: u32,
    },
}

impl Filters {
    /// The filters from one clock to another, both in Hz.
    pub fn new(from: u32, to: u32) -> Result<Self, ResampleError> {
        for clock in [from, to] {
            if !(MIN_RATE..=MAX_RATE).contains(&clock) {
                return Err(ResampleError::Clock(clock));
            }
        }
        let common = common_divisor(from, to);
        let count = to / common;
        if count > MAX_PHASES {
            return Err(ResampleError::Phases {
                from,
                to,
                phases: count,
            });
        }
        let factor = (CUTOFF * f64::from(to) / f64::from(from)).min(1.0);
        // An even number of them, as FFmpeg has it: 48 to 16 kHz has 100, not 99.
        let taps = (TAPS / factor / 2.0).ceil() * 2.0;
        let centre = ((taps - 1.0) / 2.0).floor();
        let at = |tap: f64, phase: u32| {
            let x = std::f64::consts::PI
                * factor
                * (tap - centre - f64::from(phase) / f64::from(count));
            let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
            let w = 2.0 * x / (factor * taps * std::f64::consts::PI);
            sinc * bessel(BETA * (1.0 - w * w).max(0.0).sqrt())
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "some hundreds, by the bounds of clocks"
        )]
        let taps = taps as u32;
        let norm: f64 = (0..taps).map(|tap| at(f64::from(tap), 0)).sum();
        let all = (0..count).flat_map(|phase| (0..taps).map(move |tap| (phase, tap)));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "single precision is the format"
        )]
        let coefficients = all
            .map(|(phase, tap)| (at(f64::from(tap), phase) / norm) as f32)
            .collect();
        let from_units = from / common;
        Ok(Self {
            from,
            to,
            taps: taps as usize,
            phases: count as usize,
            step: ((from_units / count) as usize, (from_units % count) as usize),
            coefficients,
        })
    }

    fn centre(&self) -> usize {
        (self.taps - 1) / 2
    }
}

/// Converts one stream between two clocks.
#[derive(Clone, Debug)]
pub struct Resampler {
    filters: Arc<Filters>,
    channels: usize,
    /// Samples that outputs still need, channel after channel: the oldest are a filter's first.
    waiting: [Vec<f32>; 2],
    phase: usize,
    /// The signal has been mirrored at its begin.
    is_primed: bool,
}

impl Resampler {
    /// A converter for `channels` interleaved channels: one or two.
    pub fn new(filters: Arc<Filters>, channels: u8) -> Self {
        let capacity = MAX_FRAME_SAMPLES / 2 + 4 * filters.taps;
        let waiting = || Vec::with_capacity(capacity.min(4 * filters.taps + 2048));
        Self {
            channels: usize::from(channels.clamp(1, 2)),
            waiting: [waiting(), waiting()],
            phase: 0,
            is_primed: false,
            filters,
        }
    }

    /// Clock of the output in Hz.
    pub fn to(&self) -> u32 {
        self.filters.to
    }

    /// Clock of the input in Hz.
    pub fn from(&self) -> u32 {
        self.filters.from
    }

    /// Takes in interleaved samples and appends those of the other clock that can be known by now.
    pub fn convert(&mut self, input: &[i16], output: &mut Vec<i16>) {
        for channel in 0..self.channels {
            let samples = input.iter().skip(channel).step_by(self.channels);
            self.waiting[channel].extend(samples.map(|&sample| f32::from(sample)));
        }
        let filters = &*self.filters;
        let centre = filters.centre();
        if !self.is_primed {
            // The mirror needs as many samples as the filter looks back, and the first itself.
            if self.waiting[0].len() <= centre {
                return;
            }
            for waiting in &mut self.waiting[..self.channels] {
                let mirrored: Vec<f32> = waiting[1..=centre].iter().rev().copied().collect();
                waiting.splice(0..0, mirrored);
            }
            self.is_primed = true;
        }
        let mut at = 0;
        let end = self.waiting[0].len();
        while at + filters.taps <= end {
            let filter = &filters.coefficients[self.phase * filters.taps..][..filters.taps];
            for waiting in &self.waiting[..self.channels] {
                output.push(sample::round(product(
                    &waiting[at..][..filters.taps],
                    filter,
                )));
            }
            self.phase += filters.step.1;
            at += filters.step.0;
            if self.phase >= filters.phases {
                self.phase -= filters.phases;
                at += 1;
            }
        }
        // An output may lie beyond what there is; that cannot be more than a filter's length, as
        // clocks differ by less than the taps of their filters.
        let used = at.min(end);
        for waiting in &mut self.waiting[..self.channels] {
            waiting.drain(..used);
        }
        debug_assert_eq!(used, at);
    }

    /// Forgets the signal: the next samples begin a new one.
    pub fn reset(&mut self) {
        self.waiting.iter_mut().for_each(Vec::clear);
        self.phase = 0;
        self.is_primed = false;
    }
}

/// Sum of products, in eight parts that are added at the end: so the compiler can use vectors.
#[inline]
fn product(samples: &[f32], filter: &[f32]) -> f32 {
    let (samples, samples_left) = samples.as_chunks::<8>();
    let (filter, filter_left) = filter.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (samples, filter) in samples.iter().zip(filter) {
        for lane in 0..8 {
            sums[lane] += samples[lane] * filter[lane];
        }
    }
    let rest: f32 = samples_left
        .iter()
        .zip(filter_left)
        .map(|(a, b)| a * b)
        .sum();
    // Pairs of pairs, so that no addition waits for seven others.
    let [a, b, c, d, e, f, g, h] = sums;
    (((a + e) + (c + g)) + ((b + f) + (d + h))) + rest
}

/// The modified Bessel function of the first kind, order 0, by its series.
fn bessel(x: f64) -> f64 {
    let square = x * x / 4.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= square / f64::from(k * k);
        sum += term;
    }
    sum
}

fn common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
#[path = "resample_tests.rs"]
mod tests;
