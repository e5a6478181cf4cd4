//! Tones: sums of a few sine waves.

use super::frequencies;

/// Frequencies of a tone at most: a chord of more is noise.
pub const MAX_FREQUENCIES: usize = 4;

/// A tone that goes on from call to call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    frequencies: [f64; MAX_FREQUENCIES],
    /// How many of them there are.
    count: usize,
    amplitude: f64,
    rate: f64,
    /// Samples made so far.
    at: u32,
}

impl Tone {
    /// The tone of an event, `volume` in -dB of full scale, at a clock of samples in Hz. `None`: the
    /// event is no digit.
    pub fn of_event(event: u8, volume: u8, rate: u32) -> Option<Self> {
        let [row, column] = frequencies(event)?;
        Some(Self {
            frequencies: [row, column, 0.0, 0.0],
            count: 2,
            // Two of them must not be louder than one.
            amplitude: amplitude(volume) / 2.0,
            rate: f64::from(rate.max(1)),
            at: 0,
        })
    }

    /// A tone of one frequency in Hz.
    pub fn single(frequency: u32, volume: u8, rate: u32) -> Self {
        Self {
            frequencies: [f64::from(frequency), 0.0, 0.0, 0.0],
            count: 1,
            amplitude: amplitude(volume),
            rate: f64::from(rate.max(1)),
            at: 0,
        }
    }

    /// A tone of several frequencies in Hz, each of this volume; those that are 0 are none.
    pub fn chord(frequencies: [u16; MAX_FREQUENCIES], volume: u8, rate: u32) -> Self {
        let mut tone = Self::single(0, volume, rate);
        let heard = frequencies.into_iter().filter(|frequency| *frequency > 0);
        tone.count = heard.clone().count();
        for (place, frequency) in tone.frequencies.iter_mut().zip(heard) {
            *place = f64::from(frequency);
        }
        tone
    }

    /// Appends samples.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cut to the integer, as the reference does"
    )]
    pub fn generate(&mut self, samples: usize, out: &mut Vec<i16>) {
        for _ in 0..samples {
            let angle = 2.0 * std::f64::consts::PI * f64::from(self.at) / self.rate;
            let parts = self.frequencies.iter().take(self.count);
            let sum: f64 = parts.map(|frequency| (angle * frequency).sin()).sum();
            out.push((self.amplitude * sum) as i16);
            self.at = self.at.wrapping_add(1);
        }
    }
}

fn amplitude(volume: u8) -> f64 {
    32767.0 * 10.0_f64.powf(-f64::from(volume) / 20.0)
}
