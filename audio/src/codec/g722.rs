//! G.722 at 64 kbit/s (ITU-T G.722; RFC 3551 §4.5.2): 16 kHz audio in two sub-bands, each coded by
//! ADPCM; a byte holds 6 bits of the lower and 2 of the upper band for two samples.
//!
//! Names follow the recommendation's blocks. All arithmetic is that of its fixed-point description,
//! so both directions agree with other encoders and decoders bit for bit.
#![expect(
    clippy::indexing_slicing,
    reason = "every index is a counter of its array or masked to the length of its table"
)]

/// Turns 16 kHz samples into bytes, two samples each.
#[derive(Clone, Debug)]
pub struct Encoder {
    history: History,
    lower: Band,
    upper: Band,
    /// A sample that waits for its partner.
    odd: Option<i16>,
}

/// Turns bytes into 16 kHz samples, two each.
#[derive(Clone, Debug)]
pub struct Decoder {
    history: History,
    lower: Band,
    upper: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            history: History::default(),
            lower: Band::new(LOWER_SCALE),
            upper: Band::new(UPPER_SCALE),
            odd: None,
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            history: History::default(),
            lower: Band::new(LOWER_SCALE),
            upper: Band::new(UPPER_SCALE),
        }
    }
}

impl Encoder {
    /// Appends the bytes of samples at 16 kHz. A sample without a partner waits for the next call.
    pub fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        let mut samples = samples.iter().copied();
        if self.odd.is_some() {
            let Some(second) = samples.next() else {
                return;
            };
            let first = self.odd.take().unwrap_or_default();
            payload.push(self.pair(first, second));
        }
        while let Some(first) = samples.next() {
            let Some(second) = samples.next() else {
                self.odd = Some(first);
                return;
            };
            payload.push(self.pair(first, second));
        }
    }

    #[inline]
    fn pair(&mut self, first: i16, second: i16) -> u8 {
        // The transmit filters (§3.1) need both sums, of the odd and of the even taps.
        let (odd, even) = self.history.push(i32::from(first), i32::from(second));
        let low = (even + odd) >> 14;
        let high = (even - odd) >> 14;

        let difference = saturate(low - self.lower.estimate);
        let code_low = quantize_lower(difference, self.lower.scale);
        let step = (self.lower.scale * QM4[(code_low >> 2) & 15]) >> 15;
        self.lower.adapt_lower(code_low);
        self.lower.predict(step);

        let difference = saturate(high - self.upper.estimate);
        let magnitude = if difference >= 0 {
            difference
        } else {
            -(difference + 1)
        };
        let is_large = magnitude >= (564 * self.upper.scale) >> 12;
        let code_high = match (difference < 0, is_large) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        let step = (self.upper.scale * QM2[code_high]) >> 15;
        self.upper.adapt_upper(code_high);
        self.upper.predict(step);

        // Two bits and six.
        u8::try_from(code_high << 6 | code_low).unwrap_or_default()
    }
}

impl Decoder {
    /// Appends the samples of a payload, at 16 kHz.
    pub fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) {
        for &byte in payload {
            samples.extend(self.pair(byte));
        }
    }

    #[inline]
    fn pair(&mut self, byte: u8) -> [i16; 2] {
        let code_low = usize::from(byte & 0x3f);
        let code_high = usize::from(byte >> 6);

        // What is heard has all six bits; the predictor has four, as that of any encoder.
        let heard = (self.lower.scale * QM6[code_low]) >> 15;
        let low = (self.lower.estimate + heard).clamp(-16384, 16383);
        let step = (self.lower.scale * QM4[code_low >> 2]) >> 15;
        self.lower.adapt_lower(code_low);
        self.lower.predict(step);

        let step = (self.upper.scale * QM2[code_high]) >> 15;
        let high = (step + self.upper.estimate).clamp(-16384, 16383);
        self.upper.adapt_upper(code_high);
        self.upper.predict(step);

        let (odd, even) = self.history.push(low + high, low - high);
        [sample(even >> 11), sample(odd >> 11)]
    }
}

/// The last samples before a quadrature mirror filter: 24 of the signal, in a buffer twice as long
/// as needed, so that they move once in many pushes.
#[derive(Clone, Debug)]
struct History {
    first: [i32; HISTORY],
    second: [i32; HISTORY],
    at: usize,
}

/// Pairs in [`History`]: twelve count.
const HISTORY: usize = 44;
const TAPS: usize = 12;

impl Default for History {
    fn default() -> Self {
        Self {
            first: [0; HISTORY],
            second: [0; HISTORY],
            at: TAPS - 1,
        }
    }
}

impl History {
    /// Takes in two samples; the sums over the odd and the even taps.
    #[inline]
    fn push(&mut self, first: i32, second: i32) -> (i32, i32) {
        if self.at == HISTORY {
            self.first.copy_within(HISTORY - (TAPS - 1).., 0);
            self.second.copy_within(HISTORY - (TAPS - 1).., 0);
            self.at = TAPS - 1;
        }
        self.first[self.at] = first;
        self.second[self.at] = second;
        self.at += 1;
        let firsts = &self.first[self.at - TAPS..self.at];
        let seconds = &self.second[self.at - TAPS..self.at];
        let mut odd = 0;
        let mut even = 0;
        for tap in 0..TAPS {
            odd += firsts[tap] * QMF[tap];
            even += seconds[tap] * QMF_REVERSED[tap];
        }
        (odd, even)
    }
}

/// One sub-band: the adaptive quantizer's scale and the predictor (two poles, six zeros).
#[derive(Clone, Debug)]
struct Band {
    /// NB, the logarithm of the scale.
    log_scale: i32,
    /// DET, the scale of the quantizer.
    scale: i32,
    /// S, the predicted signal.
    estimate: i32,
    /// SZ, the part of it that the zeros predict.
    zeros: i32,
    /// RLT 1 and 2: reconstructed signal.
    signal: [i32; 2],
    /// A 1 and 2.
    poles: [i32; 2],
    /// PLT 1 and 2: partly reconstructed signal.
    partial: [i32; 2],
    /// B 1 to 6.
    taps: [i32; 6],
    /// DLT 1 to 6: quantized differences.
    steps: [i32; 6],
}

const LOWER_SCALE: i32 = 32;
const UPPER_SCALE: i32 = 8;

impl Band {
    fn new(scale: i32) -> Self {
        Self {
            log_scale: 0,
            scale,
            estimate: 0,
            zeros: 0,
            signal: [0; 2],
            poles: [0; 2],
            partial: [0; 2],
            taps: [0; 6],
            steps: [0; 6],
        }
    }

    /// Block 3L: LOGSCL, SCALEL.
    #[inline]
    fn adapt_lower(&mut self, code: usize) {
        let log = ((self.log_scale * 127) >> 7) + WL[(code >> 2) & 15];
        self.log_scale = log.clamp(0, 18432);
        self.scale = scale(self.log_scale, 8);
    }

    /// Block 3H: LOGSCH, SCALEH.
    #[inline]
    fn adapt_upper(&mut self, code: usize) {
        let log = ((self.log_scale * 127) >> 7) + WH[code & 3];
        self.log_scale = log.clamp(0, 22528);
        self.scale = scale(self.log_scale, 10);
    }

    /// Block 4: takes in a quantized difference and predicts the next sample.
    #[inline]
    fn predict(&mut self, step: i32) {
        // RECONS, PARREC.
        let signal = saturate(self.estimate + step);
        let partial = saturate(self.zeros + step);
        let [partial_1, partial_2] = self.partial;
        let agrees_1 = (partial ^ partial_1) >= 0;
        let agrees_2 = (partial ^ partial_2) >= 0;

        // UPPOL2.
        let quadruple = saturate(self.poles[0] << 2);
        let signed = if agrees_1 { -quadruple } else { quadruple }.min(32767);
        let second =
            (signed >> 7) + if agrees_2 { 128 } else { -128 } + ((self.poles[1] * 32512) >> 15);
        let second = second.clamp(-12288, 12288);
        // UPPOL1.
        let first = saturate(if agrees_1 { 192 } else { -192 } + ((self.poles[0] * 32640) >> 15));
        let bound = saturate(15360 - second);
        let first = first.clamp(-bound, bound);

        // UPZERO, FILTEZ: tap by tap, from the oldest.
        let pull = if step == 0 { 0 } else { 128 };
        let mut zeros = 0;
        for tap in (0..6).rev() {
            let old = self.steps[tap];
            let signed = if (old ^ step) >= 0 { pull } else { -pull };
            let weight = saturate(signed + ((self.taps[tap] * 32640) >> 15));
            self.taps[tap] = weight;
            let newer = if tap == 0 { step } else { self.steps[tap - 1] };
            self.steps[tap] = newer;
            zeros += (weight * saturate(newer + newer)) >> 15;
        }
        let zeros = saturate(zeros);

        // DELAYA, FILTEP, PREDIC.
        let older = self.signal[0];
        self.signal = [signal, older];
        self.partial = [partial, partial_1];
        self.poles = [first, second];
        let poles = ((first * saturate(signal + signal)) >> 15)
            + ((second * saturate(older + older)) >> 15);
        self.zeros = zeros;
        self.estimate = saturate(saturate(poles) + zeros);
    }
}

/// The antilogarithm of SCALEL and SCALEH.
#[inline]
fn scale(log_scale: i32, top: i32) -> i32 {
    let mantissa = ILB[((log_scale >> 6) & 31) as usize];
    let shift = top - (log_scale >> 11);
    let value = if shift < 0 {
        mantissa << -shift
    } else {
        mantissa >> shift
    };
    value << 2
}

/// Block 1L: the code of a difference in the lower band.
#[inline]
fn quantize_lower(difference: i32, scale: i32) -> usize {
    let magnitude = if difference >= 0 {
        difference
    } else {
        -(difference + 1)
    };
    // Levels grow, so how many lie at or below the magnitude is the one that it belongs to.
    let below = |level: &i32| (level * scale) >> 12 <= magnitude;
    let level = Q6.partition_point(below);
    match (difference < 0, level) {
        // The two finest steps of negative differences have codes out of order.
        (true, 0) => 63,
        (true, 1) => 62,
        (true, level) => 33 - level,
        (false, level) => 61 - level,
    }
}

#[inline]
fn saturate(value: i32) -> i32 {
    value.clamp(-32768, 32767)
}

#[inline]
fn sample(value: i32) -> i16 {
    crate::sample::saturate(value)
}

const QMF: [i32; TAPS] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
const QMF_REVERSED: [i32; TAPS] = [-11, 53, -156, 362, -805, 3876, 951, -210, 32, 12, -11, 3];

/// Decision levels 1 to 29 of the lower band.
const Q6: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
    1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

/// WL by the upper four bits of a code: RL42 looked up before.
const WL: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];

/// WH by code: RH2 looked up before.
const WH: [i32; 4] = [798, -214, 798, -214];

const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];

const QM4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];

const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];

#[cfg(test)]
#[path = "g722_tests.rs"]
mod tests;
