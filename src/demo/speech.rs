//! A synthetic voice and its G.711 A-law coding.
//!
//! No speech synthesis: a glottal buzz with a wandering pitch, shaped by moving formants, in
//! syllables, words and pauses. Loudness, spectrum and silence are those of a call.

use std::f64::consts::TAU;

/// Samples per second.
pub(super) const RATE: u32 = 8000;
/// Samples, and A-law bytes, of a 20 ms frame.
pub(super) const FRAME: usize = 160;

/// An endless voice; every value of `who` is another speaker.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pitch: f64,
    /// Position in the pitch period, 0–1.
    phase: f64,
    /// Samples spoken so far.
    clock: u64,
    who: u64,
}

impl Voice {
    pub(super) fn new(who: u64) -> Self {
        Self {
            pitch: if who.is_multiple_of(2) { 118.0 } else { 197.0 },
            phase: 0.0,
            clock: 0,
            who,
        }
    }

    /// The next 20 ms.
    pub(super) fn frame(&mut self) -> [u8; FRAME] {
        std::array::from_fn(|_| alaw_encode(self.sample()))
    }

    fn sample(&mut self) -> i16 {
        let time = self.clock as f64 / f64::from(RATE);
        self.clock += 1;
        let (loudness, vowel) = self.syllable(time);
        let pitch = self.pitch * (1.0 + 0.08 * (TAU * 0.7 * time).sin());
        self.phase = (self.phase + pitch / f64::from(RATE)).fract();
        if loudness <= 0.0 {
            return 0;
        }
        let mut sum = 0.0;
        let mut harmonic = 1.0;
        while harmonic * pitch < 3400.0 {
            let weight = resonance(harmonic * pitch, vowel) / harmonic.sqrt();
            sum += weight * (TAU * (self.phase * harmonic).fract()).sin();
            harmonic += 1.0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "float to integer casts saturate; the level stays below 16 bits anyway"
        )]
        let sample = (sum * loudness * 8000.0) as i16;
        sample
    }

    /// Loudness 0–1 and vowel at a time. Phrases of 1.8 s with 0.4 s of silence after; in them
    /// about five syllables a second.
    fn syllable(&self, time: f64) -> (f64, [f64; 3]) {
        const PHRASE: f64 = 2.2;
        const SPOKEN: f64 = 1.8;
        const SYLLABLE: f64 = 0.2;
        let in_phrase = time % PHRASE;
        if in_phrase >= SPOKEN {
            return (0.0, VOWELS[0]);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count of syllables since the start"
        )]
        let number = (time / SYLLABLE) as u64;
        let progress = (in_phrase % SYLLABLE) / SYLLABLE;
        let envelope = (progress * std::f64::consts::PI).sin().powf(0.6);
        let is_stressed = (number + self.who).is_multiple_of(3);
        let stress = if is_stressed { 1.0 } else { 0.55 };
        let pick = number.wrapping_mul(0x9e37_79b9).wrapping_add(self.who * 7) >> 3;
        let vowel = VOWELS
            .get(usize::try_from(pick % 5).unwrap_or(0))
            .copied()
            .unwrap_or(VOWELS[0]);
        (envelope * stress, vowel)
    }
}

/// First three formants of a, e, i, o, u in Hz.
const VOWELS: [[f64; 3]; 5] = [
    [730.0, 1090.0, 2440.0],
    [530.0, 1840.0, 2480.0],
    [270.0, 2290.0, 3010.0],
    [570.0, 840.0, 2410.0],
    [300.0, 870.0, 2240.0],
];

/// Gain of a vocal tract with these formants at a frequency.
fn resonance(frequency: f64, formants: [f64; 3]) -> f64 {
    formants
        .iter()
        .zip([1.0, 0.5, 0.25])
        .map(|(formant, gain)| {
            let distance = (frequency - formant) / (60.0 + 0.06 * formant);
            gain / (1.0 + distance * distance)
        })
        .sum()
}

/// One sample as G.711 A-law (ITU-T G.711 §3.1; even bits inverted).
pub(super) fn alaw_encode(sample: i16) -> u8 {
    // 13 bits of magnitude are coded; negative values are one's complement so that -1 is -0.
    let (sign, magnitude) = if sample < 0 {
        (0x00, !sample >> 4)
    } else {
        (0x80, sample >> 4)
    };
    let magnitude = magnitude.unsigned_abs();
    let segment = (16 - magnitude.leading_zeros()).saturating_sub(4);
    let step = if segment < 2 {
        magnitude
    } else {
        magnitude >> (segment - 1)
    };
    let code = (segment << 4) | u32::from(step & 0x0f);
    (u8::try_from(code & 0x7f).unwrap_or(0x7f) | sign) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ITU-T G.711 table 1, decoder output values scaled to 16 bits.
    fn alaw_decode(code: u8) -> i16 {
        let code = code ^ 0x55;
        let segment = (code & 0x70) >> 4;
        let step = i16::from(code & 0x0f);
        let magnitude = match segment {
            0 => (step << 4) + 8,
            _ => ((step << 4) + 0x108) << (segment - 1),
        };
        if code & 0x80 == 0 {
            -magnitude
        } else {
            magnitude
        }
    }

    #[test]
    fn alaw_known_codes() {
        assert_eq!(alaw_encode(0), 0xd5);
        assert_eq!(alaw_encode(-1), 0x55);
        assert_eq!(alaw_encode(i16::MAX), 0xaa);
        assert_eq!(alaw_encode(i16::MIN), 0x2a);
    }

    #[test]
    fn every_alaw_code_survives_a_round_trip() {
        for code in 0..=u8::MAX {
            assert_eq!(alaw_encode(alaw_decode(code)), code, "{code:#x}");
        }
    }

    #[test]
    fn alaw_error_is_below_one_in_thirty() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            let error = i32::from(sample) - i32::from(alaw_decode(alaw_encode(sample)));
            assert!(
                error.abs() <= (i32::from(sample).abs() / 30).max(8),
                "{sample}"
            );
        }
    }

    #[test]
    fn voice_speaks_and_pauses() {
        let mut voice = Voice::new(1);
        let frames: Vec<_> = (0..250).map(|_| voice.frame()).collect();
        let silent = frames
            .iter()
            .filter(|f| f.iter().all(|b| *b == 0xd5))
            .count();
        assert!(
            (30..=60).contains(&silent),
            "{silent} of 250 frames are silent"
        );
        let peak = frames
            .iter()
            .flatten()
            .map(|code| alaw_decode(*code).unsigned_abs())
            .max()
            .unwrap();
        assert!((4000..30_000).contains(&peak), "{peak}");
        assert_ne!(Voice::new(0).frame(), Voice::new(1).frame());
    }
}
