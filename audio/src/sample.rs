//! Arithmetic on samples of 16 bits: sums that saturate, gain, channels.

/// The nearest sample.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to the range of the type"
)]
pub fn saturate(value: i32) -> i16 {
    value.clamp(-32768, 32767) as i16
}

/// The nearest sample of a real number; halves go to the even one.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to the range of the type"
)]
pub fn round(value: f32) -> i16 {
    // Beyond 2^23 there are no bits for a fraction, and an addition rounds to even. The function of
    // the standard library is a call, where the processor is not known to be of this century.
    const SHIFT: f32 = 12_582_912.0;
    let whole = value.clamp(-32768.0, 32767.0) + SHIFT - SHIFT;
    whole as i16
}

/// Adds audio to what is there already, as far as both go.
pub fn mix_into(sum: &mut [i16], other: &[i16]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum = sum.saturating_add(*other);
    }
}

/// Multiplies samples by a gain in 1/4096: 4096 changes nothing.
pub fn amplify(samples: &mut [i16], gain: i32) {
    for sample in samples {
        let product = (i64::from(*sample) * i64::from(gain)) >> 12;
        *sample = i16::try_from(product.clamp(-32768, 32767)).unwrap_or_default();
    }
}

/// From one channel to two: each has the signal at -3 dB, as FFmpeg does it. Appends pairs.
pub fn spread(mono: &[i16], stereo: &mut Vec<i16>) {
    let weigh = |sample: &i16| round(f32::from(*sample) * std::f32::consts::FRAC_1_SQRT_2);
    stereo.extend(mono.iter().flat_map(|sample| [weigh(sample); 2]));
}

/// From pairs of two channels to one: their mean. Appends.
pub fn fold(stereo: &[i16], mono: &mut Vec<i16>) {
    let (pairs, _) = stereo.as_chunks::<2>();
    let mean = |pair: &[i16; 2]| {
        let [left, right] = pair.map(f32::from);
        round((left + right) * 0.5)
    };
    mono.extend(pairs.iter().map(mean));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate() {
        let mut sum = [30_000, -30_000, 5];
        mix_into(&mut sum, &[10_000, -10_000]);
        assert_eq!(sum, [i16::MAX, i16::MIN, 5]);
    }

    #[test]
    fn real_numbers_are_rounded_to_even_and_saturate() {
        for half in i16::MIN..=i16::MAX {
            let value = f32::from(half) / 2.0;
            assert_eq!(f32::from(round(value)), value.round_ties_even());
        }
        assert_eq!(round(40_000.0), i16::MAX);
        assert_eq!(round(-1e30), i16::MIN);
        assert_eq!(round(f32::NAN), 0);
        assert_eq!((round(32_766.5), round(-32_767.5)), (32_766, -32_768));
    }

    #[test]
    fn gain_saturates() {
        let mut samples = [20_000, -20_000, 100];
        amplify(&mut samples, 2 * 4096);
        assert_eq!(samples, [i16::MAX, i16::MIN, 200]);
    }

    #[test]
    fn one_channel_becomes_two_and_two_become_one() {
        let (mut stereo, mut mono) = (Vec::new(), Vec::new());
        spread(&[1000, -32768], &mut stereo);
        assert_eq!(stereo, [707, 707, -23170, -23170]);
        fold(&[100, 201, -32768, -32768, 7], &mut mono);
        assert_eq!(mono, [150, -32768]);
    }
}
