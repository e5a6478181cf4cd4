#![expect(clippy::cast_possible_truncation, reason = "samples of known signals")]

use super::*;
use crate::codec::g711::Law;
use crate::testing::{ffmpeg, signal};

/// A digit with each frequency at its own level in dB of full scale, `off` times its frequency.
fn digit(event: u8, levels: [f64; 2], off: f64, ms: usize) -> Vec<i16> {
    let pair = frequencies(event).unwrap();
    let at = |i: usize| {
        let parts = pair.iter().zip(levels).map(|(frequency, level)| {
            let angle = 2.0 * std::f64::consts::PI * frequency * off * i as f64 / 8000.0;
            32767.0 * 10.0_f64.powf(level / 20.0) * angle.sin()
        });
        crate::sample::round(parts.sum::<f64>() as f32)
    };
    (0..ms * 8).map(at).collect()
}

fn heard(samples: &[i16]) -> String {
    let mut detector = Detector::default();
    let mut digits = String::new();
    for frame in samples.chunks(160) {
        detector.feed(frame, |change| {
            if let Change::Begin { event, .. } = change {
                digits.push(digit_of(event).unwrap());
            }
        });
    }
    digits
}

/// All sixteen digits, 40 ms each with 40 ms in between, from an odd sample on.
fn sequence(levels: [f64; 2], off: f64) -> Vec<i16> {
    let mut samples = vec![0; 37];
    for event in 0..16 {
        samples.extend(digit(event, levels, off, 40));
        samples.extend(vec![0; 320]);
    }
    samples
}

const ALL: &str = "0123456789*#ABCD";

#[test]
fn digits_and_events_are_named_alike() {
    for event in 0..16 {
        assert_eq!(event_of(digit_of(event).unwrap()), Some(event));
        assert!(frequencies(event).is_some());
    }
    assert_eq!(event_of('d'), Some(15));
    assert_eq!(event_of('x'), None);
    assert_eq!(digit_of(16), None);
    assert_eq!(frequencies(0), Some([941.0, 1336.0]));
    assert_eq!(frequencies(16), None);
}

#[test]
fn every_digit_is_found_at_every_level() {
    for dbm0 in [-6.0, -12.0, -20.0, -30.0, -36.0] {
        let level = dbm0 - f64::from(FULL_SCALE_DBM0);
        assert_eq!(heard(&sequence([level, level], 1.0)), ALL, "{dbm0}");
    }
}

#[test]
fn every_digit_is_found_with_twist_and_off_frequency() {
    for levels in [[-15.0, -9.0], [-9.0, -15.0]] {
        assert_eq!(heard(&sequence(levels, 1.0)), ALL, "{levels:?}");
    }
    for off in [0.985, 1.015] {
        assert_eq!(heard(&sequence([-10.0, -10.0], off)), ALL, "{off}");
    }
}

#[test]
fn digits_are_found_in_noise_and_through_g711() {
    let noise = signal(200_000);
    let mut samples = sequence([-9.0, -9.0], 1.0);
    // The signal's loudest parts have some -10 dB; 12 dB below the digits is a ninth of it.
    for (sample, noise) in samples.iter_mut().zip(&noise[30_000..]) {
        *sample = sample.saturating_add(noise / 18);
    }
    let mut coded = Vec::new();
    for sample in samples {
        coded.push(Law::A.expand(Law::A.compress(sample)));
    }
    assert_eq!(heard(&coded), ALL);
}

#[test]
fn what_is_no_digit_is_not_found() {
    assert_eq!(heard(&sequence([-10.0, -10.0], 1.04)), "");
    assert_eq!(heard(&sequence([-10.0, -10.0], 0.96)), "");
    assert_eq!(heard(&sequence([-25.0, -10.0], 1.0)), "");
    assert_eq!(heard(&sequence([-60.0, -60.0], 1.0)), "");
    assert_eq!(heard(&signal(320_000)), "");
    assert_eq!(heard(&vec![0; 8000]), "");
    // One frequency alone.
    let mut tone = Vec::new();
    Tone::single(941, 10, 8000).generate(8000, &mut tone);
    assert_eq!(heard(&tone), "");
}

#[test]
fn a_digit_ends_with_its_length_and_loudness() {
    let mut samples = digit(5, [-13.0, -13.0], 1.0, 200);
    samples.extend(vec![0; 800]);
    let mut changes = Vec::new();
    Detector::default().feed(&samples, |change| changes.push(change));
    let [
        Change::Begin { event: 5, .. },
        Change::End {
            event: 5,
            volume,
            duration_ms,
        },
    ] = changes[..]
    else {
        panic!("{changes:?}");
    };
    // Two tones of -13 dB are one of -10 dB, which is -6.9 dBm0.
    assert_eq!(volume, 7);
    assert!((185..=215).contains(&duration_ms), "{duration_ms}");
}

#[test]
fn an_event_is_read_and_written() {
    let bytes = [5, 0x8a, 0x03, 0x20];
    let event = Event::parse(&bytes).unwrap();
    assert_eq!(
        event,
        Event {
            event: 5,
            is_end: true,
            volume: 10,
            duration: 800
        }
    );
    assert_eq!(event.to_bytes(), bytes);
    assert_eq!(Event::parse(&[5, 10, 0]), None);
    let short = Event {
        duration: 0xa0,
        ..event
    };
    assert_eq!(short.rescale(8000, 48_000).duration, 0x3c0);
    assert_eq!(event.rescale(8000, 4_000_000).duration, u16::MAX);
    assert_eq!(event.rescale(0, 8000).duration, u16::MAX);
}

#[test]
fn a_tone_is_cut_to_integers_from_its_first_sample() {
    let mut samples = Vec::new();
    let mut tone = Tone::of_event(1, 10, 8000).unwrap();
    tone.generate(80, &mut samples);
    tone.generate(80, &mut samples);
    let amplitude = 32767.0 * 10.0_f64.powf(-0.5) / 2.0;
    for (i, sample) in samples.iter().enumerate() {
        let angle = 2.0 * std::f64::consts::PI * i as f64 / 8000.0;
        let sum = (angle * 697.0).sin() + (angle * 1209.0).sin();
        assert_eq!(*sample, (amplitude * sum) as i16, "{i}");
    }
    assert!(Tone::of_event(16, 10, 8000).is_none());
}

#[test]
fn ffmpeg_s_tone_of_a_digit_is_heard() {
    let source = "aevalsrc='0.2*sin(697*2*PI*t)+0.2*sin(1209*2*PI*t)':s=8000:d=0.3";
    let Some(bytes) = ffmpeg(&["-f", "lavfi", "-i", source, "-f", "s16le", "-"], &[]) else {
        return;
    };
    assert_eq!(heard(&crate::testing::samples_of(&bytes)), "1");
}
