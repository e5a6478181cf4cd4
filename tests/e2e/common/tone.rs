//! Sines that peers send, and what arrives of them.

use std::path::Path;

/// Samples per second.
pub(crate) const RATE: usize = 8000;

/// Writes a WAV file with `seconds` of a sine.
pub(crate) fn write(path: &Path, hertz: usize, seconds: usize) {
    let samples = (0..RATE * seconds).map(|at| {
        let angle = std::f64::consts::TAU * hertz as f64 * at as f64 / RATE as f64;
        (8000.0 * angle.sin()) as i16
    });
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let length = data.len() as u32;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend((RATE as u32).to_le_bytes());
    file.extend((2 * RATE as u32).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    std::fs::write(path, file).unwrap();
}

/// Samples of 16 bits, little-endian.
pub(crate) fn samples(data: &[u8]) -> Vec<f64> {
    let pairs = data.chunks_exact(2);
    let samples = pairs.map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])));
    samples.collect()
}

/// The share of a frequency in the power of a signal: 1 for a clean sine, next to nothing for noise
/// (Goertzel).
pub(crate) fn share(samples: &[f64], hertz: usize) -> f64 {
    let angle = std::f64::consts::TAU * hertz as f64 / RATE as f64;
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        (one, two) = (sample + 2.0 * angle.cos() * one - two, one);
    }
    let of_tone = one * one + two * two - 2.0 * angle.cos() * one * two;
    let power: f64 = samples.iter().map(|sample| sample * sample).sum();
    2.0 * of_tone / (power * samples.len() as f64)
}

/// Raw samples are at least a second of a tone, whatever the ends of it are.
pub(crate) fn is_heard(raw: &[u8], hertz: usize) {
    is_heard_by(raw, hertz, 0.99);
}

/// The same where so much of the power is the tone's: codecs that know speech alone add noise.
pub(crate) fn is_heard_by(raw: &[u8], hertz: usize, least: f64) {
    let samples = samples(raw);
    assert!(samples.len() >= RATE * 9 / 10, "{} samples", samples.len());
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    // Of 50 ms each, in which all tones have whole periods.
    let mut shares: Vec<f64> = middle
        .chunks_exact(RATE / 20)
        .map(|block| share(block, hertz))
        .collect();
    shares.sort_by(f64::total_cmp);
    assert!(shares[1] > least, "{hertz} Hz: {shares:?}");
}

#[test]
fn a_sine_is_told_from_noise() {
    let sine: Vec<f64> = (0..RATE)
        .map(|at| (at as f64 * std::f64::consts::FRAC_PI_4).sin())
        .collect();
    assert!(share(&sine, 1000) > 0.99 && share(&sine, 600) < 0.01);
    let noise = (0..RATE as u32).map(|at| f64::from(at.wrapping_mul(0x9e37_79b9) >> 16) - 32768.0);
    let noise: Vec<f64> = noise.collect();
    assert!(share(&noise, 1000) < 0.1);
}
