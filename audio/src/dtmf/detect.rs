//! Finds digits in audio at 8 kHz: Goertzel's algorithm for the eight frequencies, in blocks of 102
//! samples, with the limits of ITU-T Q.24.

use super::{COLUMNS, KEYPAD, ROWS};

/// Samples of a block: 12.75 ms. A digit of 40 ms has two full ones wherever it begins, and
/// neighbouring frequencies are told apart.
const BLOCK: usize = 102;

/// Power of a frequency at the weakest level, -42 dBm0: an amplitude of 181, summed over a block.
const WEAKEST: f32 = (181.0 * BLOCK as f32 / 2.0) * (181.0 * BLOCK as f32 / 2.0);

/// How much stronger one of the two frequencies may be than the other: 8 dB. Lines weaken high ones,
/// phones raise them beforehand, and 6 dB either way have to be found, with what frequencies add to
/// each other in a block this short.
const TWIST: f32 = 6.31;

/// How much stronger than its neighbours a frequency is: 8 dB.
const RELATIVE: f32 = 6.31;

/// Share of a block's energy that is in the two frequencies; all of it would be 51. At 36 they may
/// be off by 1.5 %, with speech 12 dB below, and not by 3.5 %.
const SHARE: f32 = 36.0;

/// What a block made known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A digit is heard.
    Begin {
        /// Its event number.
        event: u8,
        /// Its loudness in -dBm0, 0 to 63.
        volume: u8,
    },
    /// It is not heard any more.
    End {
        /// Its event number.
        event: u8,
        /// Its loudness in -dBm0, 0 to 63.
        volume: u8,
        /// How long it was heard, in ms.
        duration_ms: u32,
    },
}

/// Listens to one stream.
#[derive(Clone, Debug)]
pub struct Detector {
    /// Two steps back, per frequency: rows, then columns.
    states: [[f32; 2]; 8],
    coefficients: [f32; 8],
    energy: f32,
    samples: usize,
    last: Option<u8>,
    current: Option<Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    event: u8,
    volume: u8,
    blocks: u32,
    /// The last block was something else.
    misses: u32,
}

impl Default for Detector {
    fn default() -> Self {
        let mut coefficients = [0.0; 8];
        for (coefficient, frequency) in coefficients.iter_mut().zip(ROWS.iter().chain(&COLUMNS)) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "single precision is the format"
            )]
            let value = (2.0 * (2.0 * std::f64::consts::PI * frequency / 8000.0).cos()) as f32;
            *coefficient = value;
        }
        Self {
            states: [[0.0; 2]; 8],
            coefficients,
            energy: 0.0,
            samples: 0,
            last: None,
            current: None,
        }
    }
}

impl Detector {
    /// The digit that is heard: event number and loudness in -dBm0.
    pub fn current(&self) -> Option<(u8, u8)> {
        self.current.map(|heard| (heard.event, heard.volume))
    }

    /// Listens to samples at 8 kHz.
    pub fn feed(&mut self, samples: &[i16], mut tell: impl FnMut(Change)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.samples));
            rest = later;
            for &sample in now {
                let x = f32::from(sample);
                self.energy += x * x;
                for (state, coefficient) in self.states.iter_mut().zip(self.coefficients) {
                    let [one, two] = *state;
                    *state = [x + coefficient * one - two, one];
                }
            }
            self.samples += now.len();
            if self.samples == BLOCK {
                if let Some(change) = self.decide() {
                    tell(change);
                }
                self.states = [[0.0; 2]; 8];
                self.energy = 0.0;
                self.samples = 0;
            }
        }
    }

    /// The end of a block.
    fn decide(&mut self) -> Option<Change> {
        let hit = self.digit();
        let event = hit.map(|(event, _)| event);
        let was = std::mem::replace(&mut self.last, event);
        if let Some(heard) = &mut self.current {
            heard.blocks += 1;
            if event == Some(heard.event) {
                heard.misses = 0;
                return None;
            }
            heard.misses += 1;
            if heard.misses < 2 {
                return None;
            }
            let blocks = heard.blocks - heard.misses;
            let (event, volume) = (heard.event, heard.volume);
            self.current = None;
            // The next digit may have two blocks already; it is found with its third.
            return Some(Change::End {
                event,
                volume,
                // 102 samples at 8 kHz.
                duration_ms: blocks * 51 / 4,
            });
        }
        let (event, volume) = hit.filter(|(event, _)| was == Some(*event))?;
        self.current = Some(Heard {
            event,
            volume,
            blocks: 2,
            misses: 0,
        });
        Some(Change::Begin { event, volume })
    }

    /// The digit of the block, with its loudness.
    fn digit(&self) -> Option<(u8, u8)> {
        let mut powers = [0.0_f32; 8];
        let inputs = self.states.iter().zip(self.coefficients);
        for (power, ([one, two], coefficient)) in powers.iter_mut().zip(inputs) {
            *power = one * one + two * two - coefficient * one * two;
        }
        let (rows, columns) = powers.split_at(4);
        let (row, row_power) = strongest(rows)?;
        let (column, column_power) = strongest(columns)?;
        let is_digit = row_power >= WEAKEST
            && column_power >= WEAKEST
            && column_power < row_power * TWIST
            && row_power < column_power * TWIST
            && row_power + column_power > SHARE * self.energy;
        let event = *KEYPAD.get(row)?.get(column)?;
        is_digit.then(|| (event, volume(row_power + column_power)))
    }
}

/// The strongest of four, if it stands out.
fn strongest(powers: &[f32]) -> Option<(usize, f32)> {
    let (place, power) = powers
        .iter()
        .copied()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let stands_out = powers
        .iter()
        .enumerate()
        .all(|(other, weaker)| other == place || weaker * RELATIVE < power);
    stands_out.then_some((place, power))
}

/// Loudness in -dBm0 of two frequencies together.
fn volume(power: f32) -> u8 {
    let half = BLOCK as f32 / 2.0;
    let amplitude = power.sqrt() / half / 32767.0;
    let level = 20.0 * amplitude.log10() + super::FULL_SCALE_DBM0;
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    #[expect(clippy::cast_sign_loss, reason = "clamped")]
    let volume = (-level).round().clamp(0.0, 63.0) as u8;
    volume
}
