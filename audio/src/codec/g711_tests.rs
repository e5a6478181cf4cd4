use super::*;
use crate::testing::{bytes_of, fingerprint};

fn all_samples() -> Vec<i16> {
    (i16::MIN..=i16::MAX).collect()
}

fn all_codes() -> Vec<u8> {
    (0..=255).collect()
}

#[test]
fn every_code_has_the_sample_that_ffmpeg_gives_it() {
    for (law, expected) in [
        (Law::A, 0x693a_40ca_62a3_d2a5),
        (Law::Mu, 0xb91e_65d6_8481_a1a8),
    ] {
        let mut samples = Vec::new();
        law.decode(&all_codes(), &mut samples);
        assert_eq!(fingerprint(&bytes_of(&samples)), expected, "{law:?}");
    }
}

#[test]
fn every_sample_has_the_code_that_ffmpeg_gives_it() {
    for (law, expected) in [
        (Law::A, 0xb692_762f_b973_cb11),
        (Law::Mu, 0xa733_78df_9212_a731),
    ] {
        let mut payload = Vec::new();
        law.encode(&all_samples(), &mut payload);
        assert_eq!(fingerprint(&payload), expected, "{law:?}");
    }
}

#[test]
fn a_code_comes_back_from_its_sample() {
    for code in all_codes() {
        assert_eq!(Law::A.compress(Law::A.expand(code)), code);
        // Two codes of µ-law mean 0.
        let expected = if code == 0x7f { 0xff } else { code };
        assert_eq!(Law::Mu.compress(Law::Mu.expand(code)), expected);
    }
}

#[test]
fn silence_is_the_code_of_linear_zero() {
    for law in [Law::A, Law::Mu] {
        assert_eq!(law.compress(0), law.silence());
    }
}
