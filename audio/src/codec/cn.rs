//! Comfort noise (RFC 3389): a level and, maybe, the shape of a spectrum.

#![expect(
    clippy::indexing_slicing,
    reason = "stages are counted up to the order, which is at most that of the arrays"
)]

use crate::sample;

/// Coefficients that count: telephony's background has no more shape than that.
const ORDER: usize = 10;

/// Noise as a party describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Description {
    /// Loudness in dB below overload (RFC 3389 §3.1): 0 to 127.
    pub level: u8,
    reflection: [f32; ORDER],
    order: usize,
}

impl Description {
    /// Noise of a level without shape.
    pub fn white(level: u8) -> Self {
        Self {
            level: level & 0x7f,
            reflection: [0.0; ORDER],
            order: 0,
        }
    }

    /// Reads a payload. An empty one is silence.
    pub fn parse(payload: &[u8]) -> Self {
        let Some((level, shape)) = payload.split_first() else {
            return Self::white(127);
        };
        let mut noise = Self::white(*level);
        for (coefficient, byte) in noise.reflection.iter_mut().zip(shape) {
            // RFC 3389 §3.2: 127 is 0. What lies at the rim would ring for ever.
            let value = (f32::from(*byte) - 127.0) * (258.0 / 32768.0);
            *coefficient = value.clamp(-0.98, 0.98);
            noise.order += 1;
        }
        noise
    }
}

/// Makes noise, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u32,
    memory: [f32; ORDER],
}

impl Generator {
    /// A generator with chance from outside.
    pub fn new(seed: u32) -> Self {
        Self {
            seed,
            memory: [0.0; ORDER],
        }
    }

    /// Appends noise.
    pub fn generate(&mut self, noise: &Description, samples: usize, out: &mut Vec<i16>) {
        // The loudness is that of the result, and the filter adds to that of its input.
        let gain: f32 = noise
            .reflection
            .iter()
            .take(noise.order)
            .map(|k| 1.0 - k * k)
            .product();
        let effective = 32767.0 * 10.0_f32.powf(-f32::from(noise.level) / 20.0) * gain.sqrt();
        // An even distribution from -1 to 1 has an effective value of 1/√3.
        let peak = effective * 3.0_f32.sqrt();
        for _ in 0..samples {
            self.seed = self
                .seed
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let [.., low, high] = self.seed.to_le_bytes();
            let chance = f32::from(i16::from_le_bytes([low, high])) / 32768.0;
            out.push(sample::round(self.filter(noise, chance * peak)));
        }
    }

    /// An all-pole lattice, from the last stage to the first.
    fn filter(&mut self, noise: &Description, input: f32) -> f32 {
        let mut forward = input;
        for stage in (0..noise.order).rev() {
            let k = noise.reflection[stage];
            let backward = self.memory[stage];
            forward -= k * backward;
            // The stage above has been computed, so its memory can be written.
            if let Some(above) = self.memory.get_mut(stage + 1) {
                *above = backward + k * forward;
            }
        }
        self.memory[0] = forward;
        forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loudness(payload: &[u8]) -> f32 {
        let mut samples = Vec::new();
        let noise = Description::parse(payload);
        Generator::new(1).generate(&noise, 32_000, &mut samples);
        let power: f32 = samples.iter().map(|x| f32::from(*x) * f32::from(*x)).sum();
        let mean = power / samples.len() as f32;
        20.0 * (mean.sqrt() / 32767.0).log10()
    }

    #[test]
    fn noise_is_as_loud_as_it_says() {
        for level in [10_u8, 30, 60] {
            let heard = loudness(&[level]);
            assert!((heard + f32::from(level)).abs() < 1.0, "{level}: {heard}");
        }
    }

    #[test]
    fn shaped_noise_is_as_loud_as_it_says() {
        let heard = loudness(&[30, 200, 100, 140]);
        assert!((heard + 30.0).abs() < 2.0, "{heard}");
    }

    #[test]
    fn any_payload_makes_noise_that_ends_in_range() {
        for byte in 0..=255 {
            let mut samples = Vec::new();
            let noise = Description::parse(&[0, byte, byte, byte, byte, byte, byte, byte, byte]);
            Generator::new(9).generate(&noise, 2000, &mut samples);
            assert_eq!(samples.len(), 2000);
        }
    }

    #[test]
    fn an_empty_payload_is_silence() {
        let mut samples = Vec::new();
        Generator::new(1).generate(&Description::parse(&[]), 100, &mut samples);
        assert!(samples.iter().all(|sample| *sample == 0));
    }
}
