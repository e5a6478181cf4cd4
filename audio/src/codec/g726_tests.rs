//! Fingerprints are those of libspandsp 0.0.6.

use super::*;
use crate::testing::{bytes_of, fingerprint, signal, static_noise};

/// Loudness at which spandsp's decoder does not wrap around.
fn quiet() -> Vec<i16> {
    signal(320_000).iter().map(|x| x >> 2).collect()
}

fn encoded(rate: Rate, packing: Packing, samples: &[i16]) -> Vec<u8> {
    let mut payload = Vec::new();
    Encoder::new(rate, packing).encode(samples, &mut payload);
    payload
}

fn decoded(rate: Rate, packing: Packing, payload: &[u8]) -> Vec<i16> {
    let mut samples = Vec::new();
    Decoder::new(rate, packing).decode(payload, &mut samples);
    samples
}

#[test]
fn forty_seconds_are_as_by_spandsp() {
    let expected = [
        (Rate::Two, 0x133e_322d_97ce_8032, 0x95ea_7f17_9722_f2e3),
        (Rate::Three, 0xae73_2c8d_e2d9_103f, 0x990d_f1d3_5424_7945),
        (Rate::Four, 0x56ee_c211_ab99_c693, 0x2356_21b5_fd26_55cb),
        (Rate::Five, 0xa3c6_6e38_3a36_db80, 0x3a75_79e3_651b_23bf),
    ];
    for (rate, payloads, samples) in expected {
        let payload = encoded(rate, Packing::Rtp, &quiet());
        assert_eq!(fingerprint(&payload), payloads, "{rate:?}");
        let heard = decoded(rate, Packing::Rtp, &payload);
        assert_eq!(fingerprint(&bytes_of(&heard)), samples, "{rate:?}");
    }
}

#[test]
fn loud_audio_is_encoded_as_by_spandsp_in_either_packing() {
    let expected = [
        (Rate::Two, 0x6ee1_1588_431a_6c04, 0x022a_c078_376a_086b),
        (Rate::Three, 0xffd4_a010_42c9_bb40, 0x6578_4670_a950_27c7),
        (Rate::Four, 0xf904_afca_84a2_ce4a, 0x3e77_c64a_8840_a9a6),
        (Rate::Five, 0x750b_1b06_c451_cc8c, 0x2787_5d24_7760_ece8),
    ];
    let samples = signal(320_000);
    for (rate, rtp, aal2) in expected {
        let payload = encoded(rate, Packing::Rtp, &samples);
        assert_eq!(fingerprint(&payload), rtp, "{rate:?}");
        let payload = encoded(rate, Packing::Aal2, &samples);
        assert_eq!(fingerprint(&payload), aal2, "{rate:?}");
    }
}

#[test]
fn both_packings_carry_the_same_codes() {
    for rate in [Rate::Two, Rate::Three, Rate::Four, Rate::Five] {
        let samples = signal(8000);
        let rtp = encoded(rate, Packing::Rtp, &samples);
        let aal2 = encoded(rate, Packing::Aal2, &samples);
        assert_ne!(rtp, aal2);
        let heard = decoded(rate, Packing::Rtp, &rtp);
        assert_eq!(heard.len(), samples.len());
        assert_eq!(heard, decoded(rate, Packing::Aal2, &aal2), "{rate:?}");
    }
}

#[test]
fn ten_milliseconds_fill_their_bytes() {
    for (rate, bytes) in [
        (Rate::Two, 20),
        (Rate::Three, 30),
        (Rate::Four, 40),
        (Rate::Five, 50),
    ] {
        let payload = encoded(rate, Packing::Rtp, &[0; 80]);
        assert_eq!(payload.len(), bytes);
    }
}

#[test]
fn bytes_that_no_encoder_made_are_decoded_to_something() {
    for rate in [Rate::Two, Rate::Three, Rate::Four, Rate::Five] {
        for packing in [Packing::Rtp, Packing::Aal2] {
            let samples = decoded(rate, packing, &static_noise(9001));
            assert_eq!(samples.len(), 9001 * 8 / rate.bits() as usize);
        }
    }
}
