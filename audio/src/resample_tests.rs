use super::*;
use crate::testing::{bytes_of, ffmpeg, samples_of, signal};

fn converted(from: u32, to: u32, channels: u8, input: &[i16]) -> Vec<i16> {
    let filters = Arc::new(Filters::new(from, to).unwrap());
    let mut output = Vec::new();
    Resampler::new(filters, channels).convert(input, &mut output);
    output
}

#[test]
fn a_step_has_the_ripple_that_the_reference_gives_it() {
    // From 8 to 16 kHz: -22016, then 0.
    let mut input = vec![-22016_i16; 160];
    input.extend([0; 160]);
    let output = converted(8000, 16000, 1, &input);
    let hex: Vec<u16> = output.iter().map(|sample| sample.cast_unsigned()).collect();
    let ripple = [
        0xb00f, 0xaa00, 0x9e7a, 0xaa00, 0xd500, 0x0000, 0x0b86, 0x0000, 0xf9f1, 0x0000, 0x03cf,
    ];
    assert_eq!(hex[315..326], ripple, "{:x?}", &hex[300..330]);
}

#[test]
fn upsampling_holds_sixteen_samples_back() {
    let output = converted(8000, 16000, 1, &signal(160));
    assert_eq!(output.len(), 2 * (160 - 16));
}

#[test]
fn packets_make_the_same_samples_as_the_whole() {
    for (from, to) in [
        (8000, 16000),
        (16000, 8000),
        (48000, 8000),
        (8000, 44100),
        (11025, 8000),
    ] {
        let input = signal(8000);
        let whole = converted(from, to, 1, &input);
        let filters = Arc::new(Filters::new(from, to).unwrap());
        let mut resampler = Resampler::new(filters, 1);
        let mut pieces = Vec::new();
        for piece in input.chunks(33) {
            resampler.convert(piece, &mut pieces);
        }
        assert_eq!(pieces, whole, "{from} to {to}");
    }
}

#[test]
fn channels_are_converted_apart() {
    let left = signal(1600);
    let right: Vec<i16> = left.iter().map(|x| x / 3 - 7).collect();
    let both: Vec<i16> = left
        .iter()
        .zip(&right)
        .flat_map(|(l, r)| [*l, *r])
        .collect();
    let output = converted(16000, 48000, 2, &both);
    let of = |channel| -> Vec<i16> { output.iter().skip(channel).step_by(2).copied().collect() };
    assert_eq!(of(0), converted(16000, 48000, 1, &left));
    assert_eq!(of(1), converted(16000, 48000, 1, &right));
}

#[test]
fn a_reset_begins_a_new_signal() {
    let input = signal(1000);
    let filters = Arc::new(Filters::new(8000, 48000).unwrap());
    let mut resampler = Resampler::new(filters, 1);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    resampler.convert(&input, &mut first);
    resampler.reset();
    resampler.convert(&input, &mut second);
    assert_eq!(first, second);
}

#[test]
fn clocks_that_a_peer_made_up_are_refused() {
    assert_eq!(Filters::new(1, 8000).unwrap_err(), ResampleError::Clock(1));
    assert_eq!(
        Filters::new(8000, 96000).unwrap_err(),
        ResampleError::Clock(96000)
    );
    let phases = Filters::new(8000, 47999).unwrap_err();
    assert!(matches!(
        phases,
        ResampleError::Phases { phases: 47999, .. }
    ));
}

/// FFmpeg of Debian 12 has coefficients of 16 bits; it is told to use single precision.
#[test]
fn ffmpeg_has_the_same_samples() {
    let pairs = [
        (8000, 16000),
        (16000, 8000),
        (8000, 48000),
        (48000, 8000),
        (16000, 48000),
        (48000, 16000),
        (8000, 44100),
        (44100, 8000),
        (8000, 24000),
    ];
    for (from, to) in pairs {
        let input: Vec<i16> = signal(from as usize * 2);
        let ar = from.to_string();
        let filter = format!("aresample={to}:internal_sample_fmt=fltp:dither_method=none");
        let arguments = [
            "-f", "s16le", "-ar", &ar, "-ac", "1", "-i", "-", "-af", &filter, "-f", "s16le", "-",
        ];
        let Some(theirs) = ffmpeg(&arguments, &bytes_of(&input)) else {
            return;
        };
        let (theirs, ours) = (samples_of(&theirs), converted(from, to, 1, &input));
        // FFmpeg flushes at the end, with samples that we do not have.
        let common = ours.len().min(theirs.len());
        assert!(ours.len().abs_diff(theirs.len()) < 100, "{from} to {to}");
        let off: Vec<u16> = ours[..common]
            .iter()
            .zip(&theirs)
            .map(|(a, b)| a.abs_diff(*b))
            .collect();
        let wrong = off.iter().filter(|off| **off != 0).count();
        assert!(
            off.iter().all(|off| *off <= 1),
            "{from} to {to}: by {:?}",
            off.iter().max()
        );
        assert!(
            wrong * 1000 <= common,
            "{from} to {to}: {wrong} of {common}"
        );
    }
}
