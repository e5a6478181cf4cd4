//! Audio that needs no decoder: silence and tones in G.711, silence in G.722.
//!
//! Only what `DTMF-security` puts in place of digits (spec: media-behaviour §11).

use std::f64::consts::TAU;

use crate::limits::TONE_FREQUENCIES;

/// Ticks per second of every coding here.
const CLOCK: f64 = 8000.0;
/// The largest sample of G.711 in 16 bits.
const FULL_SCALE: f64 = 32_124.0;

/// A sum of sine waves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tone {
    /// Frequencies in Hz; 0: none.
    pub hz: [u16; TONE_FREQUENCIES],
    /// Level of each below full scale, in dB.
    pub volume: u8,
}

/// Audio codings in which silence and tones can be made: one byte per sample at 8000 Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// ITU-T G.711 mu-law.
    Mu,
    /// ITU-T G.711 A-law.
    A,
    /// ITU-T G.722: silence alone.
    G722,
}

impl Law {
    /// The coding of an encoding name, in any case.
    pub fn of(name: &[u8]) -> Option<Self> {
        [
            (&b"PCMU"[..], Self::Mu),
            (b"PCMA", Self::A),
            (b"G722", Self::G722),
        ]
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, law)| law)
    }
}

/// The byte that is silence.
pub fn silence(law: Law) -> u8 {
    match law {
        Law::Mu => 0xff,
        Law::A => 0xd5,
        Law::G722 => 0xfa,
    }
}

/// A tone of `units` ticks that has been sounding for `from` ticks. Where the coding is beyond
/// us, it is silence.
pub fn tone(law: Law, tone: &Tone, from: u32, units: usize, out: &mut Vec<u8>) {
    let encode = match law {
        Law::Mu => mu_law,
        Law::A => a_law,
        Law::G722 => {
            out.resize(out.len() + units, silence(law));
            return;
        }
    };
    let level = 10_f64.powf(-f64::from(tone.volume) / 20.0) * FULL_SCALE;
    let waves = || tone.hz.iter().filter(|hz| **hz > 0);
    out.extend((0_u32..).take(units).map(|tick| {
        let at = f64::from(from.wrapping_add(tick)) / CLOCK;
        let sum: f64 = waves().map(|hz| (TAU * f64::from(*hz) * at).sin()).sum();
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the range")]
        let sample = (sum * level).clamp(-FULL_SCALE, FULL_SCALE) as i16;
        encode(sample)
    }));
}

/// ITU-T G.711, table 2: sign, three bits of segment, four of step, all inverted.
fn mu_law(sample: i16) -> u8 {
    const BIAS: u16 = 0x84;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(32_635) + BIAS;
    // The bias makes bit 7 the lowest that can be the highest set.
    let segment = 8 - magnitude.leading_zeros().min(8);
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | byte(segment << 4) | byte(u32::from(step)))
}

/// ITU-T G.711, table 1: sign, segment and step, every other bit inverted.
fn a_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    // One's complement, so that the two halves of the scale mirror each other.
    let magnitude = if sample < 0 {
        (!sample).unsigned_abs()
    } else {
        sample.unsigned_abs()
    };
    let segment = 8 - magnitude.leading_zeros().min(8);
    // The first two segments have the same steps.
    let step = (magnitude >> (segment.max(1) + 3)) & 0x0f;
    (sign | byte(segment << 4) | byte(u32::from(step))) ^ 0x55
}

fn byte(value: u32) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ITU-T G.711, tables 1 and 2: the other way round, for the tests.
    fn decode(law: Law, code: u8) -> i32 {
        match law {
            Law::Mu => {
                let code = !code;
                let magnitude = ((i32::from(code & 0x0f) << 3) + 0x84) << (code >> 4 & 7);
                let magnitude = magnitude - 0x84;
                if code & 0x80 != 0 {
                    -magnitude
                } else {
                    magnitude
                }
            }
            _ => {
                let code = code ^ 0x55;
                let step = i32::from(code & 0x0f) << 4;
                let magnitude = match code >> 4 & 7 {
                    0 => step + 8,
                    segment => (step + 0x108) << (segment - 1),
                };
                if code & 0x80 == 0 {
                    -magnitude
                } else {
                    magnitude
                }
            }
        }
    }

    #[test]
    fn every_code_is_the_nearest_to_its_own_sample() {
        for law in [Law::Mu, Law::A] {
            let encode = if law == Law::Mu { mu_law } else { a_law };
            for code in 0..=255_u8 {
                let sample = i16::try_from(decode(law, code)).unwrap();
                // Mu-law has two zeros.
                let same = decode(law, encode(sample)) == i32::from(sample);
                assert!(same, "{law:?} {code:#x}: {sample} -> {:#x}", encode(sample));
            }
        }
        assert_eq!((mu_law(0), a_law(0)), (0xff, 0xd5));
        assert_eq!((mu_law(i16::MIN), a_law(i16::MIN)), (0x00, 0x2a));
        assert_eq!((mu_law(i16::MAX), a_law(i16::MAX)), (0x80, 0xaa));
    }

    #[test]
    fn a_tone_has_its_frequency_and_goes_on_in_the_next_packet() {
        let wave = Tone {
            hz: [400, 0, 0, 0],
            volume: 10,
        };
        for law in [Law::Mu, Law::A] {
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            tone(law, &wave, 0, 8000, &mut whole);
            for part in 0..50 {
                tone(law, &wave, part * 160, 160, &mut parts);
            }
            assert_eq!(whole, parts);
            let samples: Vec<i32> = whole.iter().map(|code| decode(law, *code)).collect();
            let rises = samples
                .windows(2)
                .filter(|pair| pair[0] < 0 && pair[1] >= 0)
                .count();
            assert!((399..=401).contains(&rises), "{rises}");
            let peak = *samples.iter().max().unwrap();
            assert!((9800..10_600).contains(&peak), "{peak}");
        }
    }
}
