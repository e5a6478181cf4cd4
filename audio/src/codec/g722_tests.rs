//! Fingerprints are those of libspandsp 0.0.6, which agrees with FFmpeg.

use super::*;
use crate::testing::{bytes_of, ffmpeg, fingerprint, samples_of, signal, static_noise};

const SAMPLES: usize = 320_000;

fn encoded(samples: &[i16]) -> Vec<u8> {
    let mut payload = Vec::new();
    Encoder::default().encode(samples, &mut payload);
    payload
}

fn decoded(payload: &[u8]) -> Vec<i16> {
    let mut samples = Vec::new();
    Decoder::default().decode(payload, &mut samples);
    samples
}

#[test]
fn twenty_seconds_are_encoded_as_by_spandsp() {
    let payload = encoded(&signal(SAMPLES));
    assert_eq!(
        payload[..8],
        [0x5e, 0x7a, 0xf7, 0x70, 0xf7, 0x77, 0xd4, 0xcb]
    );
    assert_eq!(fingerprint(&payload), 0xd306_e4d5_f2d0_6c50);
}

#[test]
fn twenty_seconds_are_decoded_as_by_spandsp() {
    // Quieter: spandsp lets what is louder than a sample wrap around.
    let samples: Vec<i16> = signal(SAMPLES).iter().map(|x| x >> 2).collect();
    let payload = encoded(&samples);
    assert_eq!(fingerprint(&payload), 0x4a79_843f_bf10_c727);
    let samples = decoded(&payload);
    assert_eq!(fingerprint(&bytes_of(&samples)), 0x071e_c019_945c_0103);
}

#[test]
fn bytes_that_no_encoder_made_are_decoded_as_by_ffmpeg() {
    let samples = decoded(&static_noise(100_000));
    assert_eq!(fingerprint(&bytes_of(&samples)), 0x1a67_2838_59dd_c901);
}

#[test]
fn ffmpeg_has_the_same_bytes_and_samples() {
    let samples = signal(SAMPLES);
    let raw = ["-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "-"];
    let encode = [&raw[..], &["-c:a", "g722", "-f", "g722", "-"]].concat();
    let Some(theirs) = ffmpeg(&encode, &bytes_of(&samples)) else {
        return;
    };
    // Without its trellis, FFmpeg encodes as ITU says.
    let payload = encoded(&samples);
    assert_eq!(theirs[..payload.len()], payload);
    let decode = ["-f", "g722", "-i", "-", "-f", "s16le", "-"];
    let theirs = ffmpeg(&decode, &payload).unwrap();
    assert!(samples_of(&theirs) == decoded(&payload));
}

#[test]
fn pieces_of_any_length_make_the_same_bytes() {
    let samples = signal(4001);
    let mut encoder = Encoder::default();
    let mut payload = Vec::new();
    for piece in samples.chunks(7) {
        encoder.encode(piece, &mut payload);
    }
    assert_eq!(payload, encoded(&samples));
}
