use super::*;
use crate::testing::{bytes_of, ffmpeg, signal, static_noise};

fn file(format: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    for field in [format, channels] {
        file.extend(field.to_le_bytes());
    }
    file.extend(rate.to_le_bytes());
    file.extend([0; 6]);
    file.extend(bits.to_le_bytes());
    // A chunk of odd length that nobody knows.
    file.extend(b"LIST\x03\0\0\0abc\0data");
    file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    file.extend(data);
    file
}

fn samples(format: u16, bits: u16, data: &[u8]) -> Vec<i16> {
    read(&file(format, 1, 8000, bits, data)).unwrap().samples
}

#[test]
fn every_form_of_samples_is_read() {
    assert_eq!(samples(1, 8, &[0, 128, 255]), [-32768, 0, 32512]);
    assert_eq!(samples(1, 16, &[0x34, 0x12, 0, 0x80]), [0x1234, i16::MIN]);
    assert_eq!(samples(1, 24, &[9, 0x34, 0x12]), [0x1234]);
    assert_eq!(samples(1, 32, &[9, 9, 0x34, 0x12]), [0x1234]);
    assert_eq!(
        samples(
            3,
            32,
            &[(-0.5_f32).to_le_bytes(), 2.0_f32.to_le_bytes()].concat()
        ),
        [-16384, i16::MAX]
    );
    assert_eq!(samples(6, 8, &[0xd5]), [8]);
    assert_eq!(samples(7, 8, &[0xff, 0x00]), [0, -32124]);
}

#[test]
fn what_is_cut_off_is_read_as_far_as_it_goes() {
    let mut cut = file(1, 2, 16_000, 16, &bytes_of(&[1, 2, 3, 4]));
    cut.truncate(cut.len() - 1);
    let audio = read(&cut).unwrap();
    assert_eq!((audio.rate, audio.channels), (16_000, 2));
    assert_eq!(audio.samples, [1, 2]);
    let second = read(&file(1, 2, 16_000, 16, &bytes_of(&[0; 32_000]))).unwrap();
    assert_eq!(second.duration_ms(), 1000);
}

#[test]
fn what_is_not_read_says_why() {
    assert_eq!(read(b"").unwrap_err(), WavError::NotWav);
    assert_eq!(read(&[b'x'; 100]).unwrap_err(), WavError::NotWav);
    assert_eq!(
        read(b"RIFF\0\0\0\0WAVE").unwrap_err(),
        WavError::Missing("fmt ")
    );
    assert_eq!(
        read(b"RIFF\0\0\0\0WAVEdata\0\0\0\0").unwrap_err(),
        WavError::Missing("fmt ")
    );
    assert_eq!(
        read(&file(1, 3, 8000, 16, &[])).unwrap_err(),
        WavError::Channels(3)
    );
    assert_eq!(
        read(&file(1, 1, 96_000, 16, &[])).unwrap_err(),
        WavError::Rate(96_000)
    );
    assert_eq!(
        read(&file(1, 1, 0, 16, &[])).unwrap_err(),
        WavError::Rate(0)
    );
    assert_eq!(
        read(&file(1, 1, 8000, 12, &[])).unwrap_err(),
        WavError::Format {
            format: 1,
            bits: 12
        }
    );
    assert_eq!(
        read(&file(85, 1, 8000, 16, &[])).unwrap_err(),
        WavError::Format {
            format: 85,
            bits: 16
        }
    );
}

#[test]
fn nothing_hostile_harms_the_reader() {
    let good = file(1, 1, 8000, 16, &bytes_of(&signal(100)));
    for place in 0..good.len().min(80) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[place] = value;
            let _ = read(&bad);
            let _ = read(&bad[..place]);
        }
    }
    let mut noise = b"RIFF\0\0\0\0WAVE".to_vec();
    noise.extend(static_noise(4000));
    let _ = read(&noise);
}

#[test]
fn files_of_ffmpeg_are_read() {
    let input = signal(8000);
    for (codec, exact) in [
        ("pcm_s16le", true),
        ("pcm_s24le", true),
        ("pcm_s32le", true),
        ("pcm_f32le", true),
        ("pcm_alaw", false),
        ("pcm_mulaw", false),
    ] {
        let arguments = [
            "-f", "s16le", "-ar", "8000", "-ac", "1", "-i", "-", "-c:a", codec, "-f", "wav", "-",
        ];
        let Some(bytes) = ffmpeg(&arguments, &bytes_of(&input)) else {
            return;
        };
        let audio = read(&bytes).unwrap();
        assert_eq!(
            (audio.rate, audio.channels, audio.samples.len()),
            (8000, 1, 8000),
            "{codec}"
        );
        assert!(!exact || audio.samples == input, "{codec}");
    }
}
