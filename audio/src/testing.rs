//! What several tests need: a signal, a fingerprint, and peers that may be absent.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// A signal that is the same everywhere: a swelling saw wave, from the second on with noise that
/// becomes louder until it is clipped.
pub(crate) fn signal(samples: usize) -> Vec<i16> {
    let mut seed: u32 = 0x1234_5678;
    let at = |i: usize| {
        let i = i as i64;
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = i64::from(seed >> 16) - 32768;
        let swell = (i % 5000).min(5000 - i % 5000);
        let saw = (i * 65536 / 73) % 65536 - 32768;
        let sum = ((saw * swell) >> 12) + ((noise * ((i >> 14) & 7)) >> 3);
        i16::try_from(sum.clamp(-32768, 32767)).unwrap()
    };
    (0..samples).map(at).collect()
}

/// FNV-1a of 64 bits.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Samples in little-endian order.
pub(crate) fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Samples from little-endian order.
pub(crate) fn samples_of(bytes: &[u8]) -> Vec<i16> {
    let pairs = bytes.as_chunks::<2>().0;
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// What FFmpeg makes of an input; `None` where it is not installed.
pub(crate) fn ffmpeg(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new("ffmpeg")
        .args(["-v", "error"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: ffmpeg is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    // FFmpeg closes early where it has heard enough; its status says the rest.
    let _ = writer.join().unwrap();
    assert!(output.status.success());
    Some(output.stdout)
}

/// Bytes without meaning, the same everywhere.
pub(crate) fn static_noise(bytes: usize) -> Vec<u8> {
    let mut seed: u32 = 7;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}
