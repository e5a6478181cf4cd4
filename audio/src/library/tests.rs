//! Libraries that are not installed skip their test, with a line that names them.

use super::*;
use crate::codec::{CodecError, Decoder, Encoder, EncoderOptions, Samples};
use crate::format::Format;
use crate::testing::{signal, static_noise};

fn format(name: &str, clock: u32, fmtp: &str) -> Format {
    Format {
        payload_type: 96,
        name: name.to_owned(),
        clock,
        channels: 1,
        fmtp: fmtp.to_owned(),
    }
}

fn open(id: LibraryId) -> Option<Libraries> {
    let (libraries, results) = Libraries::open(&[id]);
    for (id, result) in results {
        if let Err(error) = result {
            eprintln!("skipped {id:?}: {error}");
            return None;
        }
    }
    assert!(libraries.has(id));
    Some(libraries)
}

/// A sine of 440 Hz, half of full scale.
fn sine(rate: u32, samples: usize) -> Vec<i16> {
    let mut tone = Vec::new();
    crate::dtmf::Tone::single(440, 6, rate).generate(samples, &mut tone);
    tone
}

/// Encodes and decodes a second of a sine in packets of `ms`; the codec's delay is found, and what
/// comes out has to follow what went in.
fn goes_through(libraries: &Libraries, format: &Format, rate: u32, ms: u32, at_least: f64) {
    let samples = Samples { rate, channels: 1 };
    let options = EncoderOptions::default();
    let mut encoder = Encoder::new(format, samples, &options, libraries).unwrap();
    let mut decoder = Decoder::new(format, samples, libraries).unwrap();
    let input = sine(rate, rate as usize);
    let mut output = Vec::new();
    let mut payload = Vec::new();
    for frame in input.chunks((rate * ms / 1000) as usize) {
        payload.clear();
        encoder.encode(frame, &mut payload).unwrap();
        assert!(
            !payload.is_empty() && payload.len() < 400,
            "{}",
            payload.len()
        );
        decoder.decode(&payload, &mut output).unwrap();
    }
    assert_eq!(output.len(), input.len(), "{format}");
    let correlation = |delay: usize| {
        let pairs = output[delay..].iter().zip(&input).skip(input.len() / 4);
        let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (a, b) in pairs {
            let (a, b) = (f64::from(*a), f64::from(*b));
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        ab / (aa * bb).sqrt()
    };
    let best = (0..(rate / 25) as usize)
        .map(correlation)
        .fold(0.0, f64::max);
    assert!(best > at_least, "{format}: {best}");
    // Nothing of the network harms the decoder.
    for length in [0, 1, 2, 5, 10, 31, 33, 200, 1500] {
        let _ = decoder.decode(&static_noise(length), &mut output);
    }
}

#[test]
fn opus_goes_through_at_every_clock_and_length() {
    let Some(libraries) = open(LibraryId::Opus) else {
        return;
    };
    let opus = format("opus", 48_000, "");
    for rate in [8000, 12_000, 16_000, 24_000, 48_000] {
        for ms in [10, 20, 40, 60] {
            goes_through(&libraries, &opus, rate, ms, 0.95);
        }
    }
}

#[test]
fn opus_is_told_its_options() {
    let Some(libraries) = open(LibraryId::Opus) else {
        return;
    };
    let opus = format("opus", 48_000, "");
    let samples = Samples {
        rate: 48_000,
        channels: 1,
    };
    let length = |bit_rate, options: &str| {
        let options = EncoderOptions {
            bit_rate: Some(bit_rate),
            options: options.to_owned(),
        };
        let mut encoder = Encoder::new(&opus, samples, &options, &libraries).unwrap();
        let mut payload = Vec::new();
        for frame in signal(96_000).chunks(960) {
            encoder.encode(frame, &mut payload).unwrap();
        }
        payload
    };
    assert!(length(12_000, "").len() * 2 < length(48_000, "").len());
    assert_ne!(length(32_000, ""), length(32_000, "application=audio"));
    assert_ne!(length(32_000, ""), length(32_000, "compression_level=0"));
}

#[test]
fn opus_packets_that_lie_about_their_length_are_refused() {
    let Some(libraries) = open(LibraryId::Opus) else {
        return;
    };
    let samples = Samples {
        rate: 48_000,
        channels: 1,
    };
    let mut decoder = Decoder::new(&format("opus", 48_000, ""), samples, &libraries).unwrap();
    let mut heard = Vec::new();
    for payload in [&[][..], &[0x03], &[0x03, 0], &[0x1b, 63, 1, 2, 3]] {
        let error = decoder.decode(payload, &mut heard).unwrap_err();
        assert_eq!(error, CodecError::Payload(payload.len()));
    }
    assert!(heard.is_empty());
}

#[test]
fn gsm_goes_through() {
    if let Some(libraries) = open(LibraryId::Gsm) {
        goes_through(&libraries, &format("GSM", 8000, ""), 8000, 20, 0.9);
        goes_through(&libraries, &format("GSM", 8000, ""), 8000, 40, 0.9);
    }
}

#[test]
fn speex_goes_through() {
    if let Some(libraries) = open(LibraryId::Speex) {
        for (clock, at_least) in [(8000, 0.9), (16_000, 0.9), (32_000, 0.9)] {
            for ms in [20, 60] {
                goes_through(&libraries, &format("speex", clock, ""), clock, ms, at_least);
            }
        }
    }
}

#[test]
fn g729_goes_through() {
    if let Some(libraries) = open(LibraryId::G729) {
        goes_through(&libraries, &format("G729", 8000, ""), 8000, 20, 0.8);
        goes_through(&libraries, &format("G729a", 8000, ""), 8000, 10, 0.8);
    }
}

#[test]
fn amr_goes_through_in_either_form() {
    if let Some(libraries) = open(LibraryId::AmrNb) {
        for fmtp in ["octet-align=1", ""] {
            goes_through(&libraries, &format("AMR", 8000, fmtp), 8000, 20, 0.85);
            goes_through(&libraries, &format("AMR", 8000, fmtp), 8000, 60, 0.85);
        }
    }
    if let Some(libraries) = open(LibraryId::AmrWb) {
        for fmtp in ["octet-align=1", ""] {
            goes_through(
                &libraries,
                &format("AMR-WB", 16_000, fmtp),
                16_000,
                20,
                0.85,
            );
        }
    }
}

#[test]
fn an_added_amr_begins_with_the_mode_of_the_reference() {
    let Some(libraries) = open(LibraryId::AmrNb) else {
        return;
    };
    let samples = Samples {
        rate: 8000,
        channels: 1,
    };
    let amr = format("AMR", 8000, "octet-align=1");
    let options = EncoderOptions::default();
    let mut encoder = Encoder::new(&amr, samples, &options, &libraries).unwrap();
    let mut payload = Vec::new();
    encoder.encode(&[0; 160], &mut payload).unwrap();
    assert_eq!(payload[..2], [0xf0, 0x1c]);
    assert_eq!(payload.len(), 2 + 134_usize.div_ceil(8));
    encoder.request_mode(7);
    payload.clear();
    encoder.encode(&[0; 160], &mut payload).unwrap();
    assert_eq!(payload[1], 0x3c);
}

#[test]
fn without_its_library_a_codec_is_not_supported() {
    let samples = Samples {
        rate: 8000,
        channels: 1,
    };
    let none = Libraries::default();
    for (name, clock) in [
        ("opus", 48_000),
        ("GSM", 8000),
        ("speex", 8000),
        ("G729", 8000),
        ("AMR", 8000),
        ("AMR-WB", 16_000),
        ("G723", 8000),
        ("CN", 8000),
        ("FOO", 8000),
    ] {
        let codec = format(name, clock, "");
        let error = Decoder::new(&codec, samples, &none).unwrap_err();
        assert_eq!(error, CodecError::Unsupported);
        let options = EncoderOptions::default();
        let error = Encoder::new(&codec, samples, &options, &none).unwrap_err();
        assert_eq!(error, CodecError::Unsupported);
    }
}

#[test]
fn a_library_that_is_not_there_says_so() {
    let error = Opened::new(None, "libwindlass-has-no-such.so.9").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("libwindlass-has-no-such.so.9: ")
    );
}

#[test]
fn a_directory_that_others_can_change_lends_no_library() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = std::env::temp_dir().join(format!("windlass-libraries-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (libraries, results) = Libraries::open_in(Some(&dir), &[LibraryId::Opus]);
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(!libraries.has(LibraryId::Opus));
    let [(_, Err(error))] = results.as_slice() else {
        panic!("{results:?}");
    };
    assert!(error.to_string().contains("root"), "{error}");
}
