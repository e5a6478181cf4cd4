//! G.726 at 16, 24, 32 and 40 kbit/s (ITU-T G.726; RFC 3551 §4.5.4), without the conversion to
//! G.711 that the recommendation puts around it: samples are linear, 14 bits of them count.
//!
//! Names follow the recommendation's blocks (§4.2).
#![expect(
    clippy::indexing_slicing,
    reason = "codes are masked to the length of their tables, counters run over their arrays"
)]

/// Bits per sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// 16 kbit/s.
    Two,
    /// 24 kbit/s.
    Three,
    /// 32 kbit/s.
    Four,
    /// 40 kbit/s.
    Five,
}

/// Which end of a byte the first sample is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// The least significant bits: `G726-32` (RFC 3551 §4.5.4).
    Rtp,
    /// The most significant bits: `AAL2-G726-32` (RFC 3551 §4.5.4, ITU-T I.366.2).
    Aal2,
}

impl Rate {
    /// Bits per sample.
    pub fn bits(self) -> u32 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
            Self::Five => 5,
        }
    }

    fn tables(self) -> &'static Tables {
        match self {
            Self::Two => &TABLES_2,
            Self::Three => &TABLES_3,
            Self::Four => &TABLES_4,
            Self::Five => &TABLES_5,
        }
    }
}

/// Turns 8 kHz samples into codes.
#[derive(Clone, Debug)]
pub struct Encoder {
    state: State,
    rate: Rate,
    packing: Packing,
    /// Bits that wait for a full byte.
    pending: u32,
    pending_bits: u32,
}

impl Encoder {
    /// A fresh encoder.
    pub fn new(rate: Rate, packing: Packing) -> Self {
        Self {
            state: State::default(),
            rate,
            packing,
            pending: 0,
            pending_bits: 0,
        }
    }

    /// Appends the full bytes of the codes of samples; a rest of bits waits for the next call.
    /// With a multiple of eight samples nothing waits.
    pub fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        let bits = self.rate.bits();
        for &sample in samples {
            let code = self.state.encode(i32::from(sample) >> 2, self.rate);
            match self.packing {
                Packing::Rtp => self.pending |= code << self.pending_bits,
                Packing::Aal2 => self.pending = self.pending << bits | code,
            }
            self.pending_bits += bits;
            if self.pending_bits >= 8 {
                self.pending_bits -= 8;
                let byte = match self.packing {
                    Packing::Rtp => self.pending & 0xff,
                    Packing::Aal2 => (self.pending >> self.pending_bits) & 0xff,
                };
                match self.packing {
                    Packing::Rtp => self.pending >>= 8,
                    Packing::Aal2 => self.pending &= (1 << self.pending_bits) - 1,
                }
                payload.push(u8::try_from(byte).unwrap_or_default());
            }
        }
    }
}

/// Turns codes into 8 kHz samples.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    rate: Rate,
    packing: Packing,
}

impl Decoder {
    /// A fresh decoder.
    pub fn new(rate: Rate, packing: Packing) -> Self {
        Self {
            state: State::default(),
            rate,
            packing,
        }
    }

    /// Appends the samples of a payload. Bits at its end that are no whole code are left out.
    pub fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) {
        let bits = self.rate.bits();
        let mask = (1 << bits) - 1;
        let mut pending: u32 = 0;
        let mut pending_bits = 0;
        for &byte in payload {
            match self.packing {
                Packing::Rtp => pending |= u32::from(byte) << pending_bits,
                Packing::Aal2 => pending = pending << 8 | u32::from(byte),
            }
            pending_bits += 8;
            while pending_bits >= bits {
                pending_bits -= bits;
                let code = match self.packing {
                    Packing::Rtp => {
                        let code = pending & mask;
                        pending >>= bits;
                        code
                    }
                    Packing::Aal2 => (pending >> pending_bits) & mask,
                };
                let value = self.state.decode(code, self.rate);
                samples.push(crate::sample::saturate(value << 2));
            }
            if self.packing == Packing::Aal2 {
                pending &= (1 << pending_bits) - 1;
            }
        }
    }
}

/// What encoder and decoder know of the signal.
#[derive(Clone, Debug)]
struct State {
    /// YL, the slow scale, with 6 more bits.
    slow_scale: i32,
    /// YU, the fast scale.
    fast_scale: i32,
    /// DMS and DML, short and long mean of the quantized difference.
    short_mean: i32,
    long_mean: i32,
    /// AP, the speed control.
    speed: i32,
    /// A 1 and 2, the poles.
    poles: [i32; 2],
    /// B 1 to 6, the zeros.
    zeros: [i32; 6],
    /// PK 1 and 2: whether the last partly reconstructed samples were negative.
    were_negative: [bool; 2],
    /// DQ 1 to 6, quantized differences, floating.
    differences: [Float; 6],
    /// SR 1 and 2, reconstructed samples, floating.
    signal: [Float; 2],
    /// TD: a tone was seen.
    is_tone: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            slow_scale: 34816,
            fast_scale: 544,
            short_mean: 0,
            long_mean: 0,
            speed: 0,
            poles: [0; 2],
            zeros: [0; 6],
            were_negative: [false; 2],
            differences: [Float::ZERO; 6],
            signal: [Float::ZERO; 2],
            is_tone: false,
        }
    }
}

/// A number of the predictor's memory: sign, 4 bits of exponent, 6 of mantissa.
#[derive(Clone, Copy, Debug)]
struct Float {
    is_negative: bool,
    exponent: u32,
    mantissa: i32,
}

impl Float {
    const ZERO: Self = Self {
        is_negative: false,
        exponent: 0,
        mantissa: 32,
    };

    /// FLOATA, FLOATB.
    fn new(is_negative: bool, magnitude: i32) -> Self {
        if magnitude == 0 {
            return Self {
                is_negative,
                ..Self::ZERO
            };
        }
        let exponent = 32 - magnitude.leading_zeros();
        Self {
            is_negative,
            exponent,
            mantissa: (magnitude << 6) >> exponent,
        }
    }

    /// FMULT: the product with a coefficient.
    #[inline]
    fn times(self, coefficient: i32) -> i32 {
        let magnitude = if coefficient > 0 {
            coefficient
        } else {
            -coefficient & 0x1fff
        };
        let exponent = 32 - magnitude.leading_zeros();
        let mantissa = if magnitude == 0 {
            32
        } else {
            (magnitude << 6) >> exponent
        };
        let sum = exponent + self.exponent;
        let product = (mantissa * self.mantissa + 0x30) >> 4;
        let value = if sum >= 19 {
            (product << (sum - 19)) & 0x7fff
        } else {
            product >> (19 - sum)
        };
        if (coefficient < 0) == self.is_negative {
            value
        } else {
            -value
        }
    }
}

impl State {
    fn encode(&mut self, sample: i32, rate: Rate) -> u32 {
        let tables = rate.tables();
        let zeros = self.predict_zeros();
        let estimate = (zeros + self.predict_poles()) >> 1;
        let scale = self.scale();
        let code = quantize(sample - estimate, scale, rate);
        self.reconstruct(code, tables, scale, zeros >> 1, estimate, rate);
        code
    }

    fn decode(&mut self, code: u32, rate: Rate) -> i32 {
        let tables = rate.tables();
        let zeros = self.predict_zeros();
        let estimate = (zeros + self.predict_poles()) >> 1;
        let scale = self.scale();
        self.reconstruct(code, tables, scale, zeros >> 1, estimate, rate)
    }

    fn predict_zeros(&self) -> i32 {
        let pairs = self.differences.iter().zip(self.zeros);
        pairs
            .map(|(difference, zero)| difference.times(zero >> 2))
            .sum()
    }

    fn predict_poles(&self) -> i32 {
        let pairs = self.signal.iter().zip(self.poles);
        pairs.map(|(signal, pole)| signal.times(pole >> 2)).sum()
    }

    /// MIX: the scale between the slow and the fast one.
    fn scale(&self) -> i32 {
        if self.speed >= 256 {
            return self.fast_scale;
        }
        let slow = self.slow_scale >> 6;
        let speed = self.speed >> 2;
        let difference = self.fast_scale - slow;
        if difference > 0 {
            slow + ((difference * speed) >> 6)
        } else {
            slow + ((difference * speed + 0x3f) >> 6)
        }
    }

    /// From a code to the reconstructed sample; everything adapts to it.
    fn reconstruct(
        &mut self,
        code: u32,
        tables: &Tables,
        scale: i32,
        zeros: i32,
        estimate: i32,
        rate: Rate,
    ) -> i32 {
        let index = code as usize & (tables.log.len() - 1);
        let is_negative = code >> (rate.bits() - 1) & 1 == 1;
        let magnitude = antilog(tables.log[index] + (scale >> 2));
        // The sum has 14 bits of the difference (ADDB).
        let signal = if is_negative {
            estimate - (magnitude & 0x3fff)
        } else {
            estimate + magnitude
        };
        let partial = signal + zeros - estimate;
        let weight = tables.weight[index];
        let speed = tables.speed[index];
        self.adapt(
            rate,
            scale,
            weight,
            speed,
            is_negative,
            magnitude,
            signal,
            partial,
        );
        signal
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the recommendation's blocks share them all"
    )]
    fn adapt(
        &mut self,
        rate: Rate,
        scale: i32,
        weight: i32,
        speed: i32,
        is_negative: bool,
        magnitude: i32,
        signal: i32,
        partial: i32,
    ) {
        let partial_is_negative = partial < 0;
        let magnitude = magnitude & 0x7fff;
        // TRANS: a modem has begun to send something else.
        let slow = self.slow_scale >> 15;
        let threshold = if slow > 9 {
            31 << 10
        } else {
            (32 + ((self.slow_scale >> 10) & 0x1f)) << slow
        };
        let is_transition = self.is_tone && magnitude > (threshold + (threshold >> 1)) >> 1;
        // FUNCTW, FILTD, LIMB, FILTE.
        self.fast_scale = (scale + ((weight - scale) >> 5)).clamp(544, 5120);
        self.slow_scale += self.fast_scale + (-self.slow_scale >> 6);

        let mut second = 0;
        if is_transition {
            self.poles = [0; 2];
            self.zeros = [0; 6];
        } else {
            second = self.adapt_poles(partial, partial_is_negative);
            let leak = if rate == Rate::Five { 9 } else { 8 };
            for (zero, old) in self.zeros.iter_mut().zip(self.differences) {
                *zero -= *zero >> leak;
                if magnitude != 0 {
                    *zero += if old.is_negative == is_negative {
                        128
                    } else {
                        -128
                    };
                }
            }
        }
        self.differences.copy_within(..5, 1);
        self.differences[0] = Float::new(is_negative, magnitude);
        self.signal[1] = self.signal[0];
        self.signal[0] = if signal > -32768 {
            Float::new(signal < 0, signal.abs())
        } else {
            Float::new(true, 0)
        };
        self.were_negative = [partial_is_negative, self.were_negative[0]];
        // TONE.
        self.is_tone = !is_transition && second < -11776;
        // FILTA, FILTB, SUBTC, FILTC.
        self.short_mean += (speed - self.short_mean) >> 5;
        self.long_mean += ((speed << 2) - self.long_mean) >> 7;
        let varies = ((self.short_mean << 2) - self.long_mean).abs() >= self.long_mean >> 3;
        self.speed = if is_transition {
            256
        } else if scale < 1536 || self.is_tone || varies {
            self.speed + ((0x200 - self.speed) >> 4)
        } else {
            self.speed + (-self.speed >> 4)
        };
    }

    /// UPA1, UPA2, LIMC, LIMD; the second pole.
    fn adapt_poles(&mut self, partial: i32, is_negative: bool) -> i32 {
        let [first, second] = self.poles;
        let differs = is_negative != self.were_negative[0];
        let mut new = second - (second >> 7);
        if partial != 0 {
            let signed = if differs { first } else { -first };
            new += match signed {
                ..-8191 => -0x100,
                8192.. => 0xff,
                _ => signed >> 5,
            };
            new = if is_negative != self.were_negative[1] {
                if new <= -12160 {
                    -12288
                } else if new >= 12416 {
                    12288
                } else {
                    new - 0x80
                }
            } else if new <= -12416 {
                -12288
            } else if new >= 12160 {
                12288
            } else {
                new + 0x80
            };
        }
        let mut pole = first - (first >> 8);
        if partial != 0 {
            pole += if differs { -192 } else { 192 };
        }
        let bound = 15360 - new;
        self.poles = [pole.clamp(-bound, bound), new];
        new
    }
}

/// LOG, SUBTB, QUAN: the code of a difference.
fn quantize(difference: i32, scale: i32, rate: Rate) -> u32 {
    let magnitude = difference.abs();
    let exponent = 32 - (magnitude >> 1).leading_zeros();
    let mantissa = ((magnitude << 7) >> exponent) & 0x7f;
    let log = ((exponent as i32) << 7) + mantissa - (scale >> 2);
    let levels = rate.tables().levels;
    let levels = levels.iter().zip(1..);
    let reached = levels.take_while(|(level, _)| log >= **level).last();
    let level = reached.map_or(0, |(_, level)| level);
    let last = (1 << rate.bits()) - 1;
    match difference < 0 {
        true => last - level,
        // No code but at 16 kbit/s says "0 or a little more": that is all ones.
        false if level == 0 && rate != Rate::Two => last,
        false => level,
    }
}

/// ADDA, ANTILOG: the magnitude of a quantized difference.
fn antilog(log: i32) -> i32 {
    if log < 0 {
        return 0;
    }
    let exponent = (log >> 7) & 15;
    let mantissa = 128 + (log & 127);
    (mantissa << 7) >> (14 - exponent)
}

/// The tables of a rate; all but the levels by code.
#[derive(Debug)]
struct Tables {
    /// Decision levels of the quantizer (tables 1 to 4).
    levels: &'static [i32],
    /// Quantizer output, logarithm to base 2 with 7 bits of fraction.
    log: &'static [i32],
    /// W(I), scaled by 32.
    weight: &'static [i32],
    /// F(I), scaled by 512.
    speed: &'static [i32],
}

const TABLES_2: Tables = Tables {
    levels: &[261],
    log: &[116, 365, 365, 116],
    weight: &[-704, 14048, 14048, -704],
    speed: &[0, 0xe00, 0xe00, 0],
};

const TABLES_3: Tables = Tables {
    levels: &[8, 218, 331],
    log: &[-2048, 135, 273, 373, 373, 273, 135, -2048],
    weight: &[-128, 960, 4384, 18624, 18624, 4384, 960, -128],
    speed: &[0, 0x200, 0x400, 0xe00, 0xe00, 0x400, 0x200, 0],
};

const TABLES_4: Tables = Tables {
    levels: &[-124, 80, 178, 246, 300, 349, 400],
    log: &[
        -2048, 4, 135, 213, 273, 323, 373, 425, 425, 373, 323, 273, 213, 135, 4, -2048,
    ],
    weight: &[
        -384, 576, 1312, 2048, 3584, 6336, 11360, 35904, 35904, 11360, 6336, 3584, 2048, 1312, 576,
        -384,
    ],
    speed: &[
        0, 0, 0, 0x200, 0x200, 0x200, 0x600, 0xe00, 0xe00, 0x600, 0x200, 0x200, 0x200, 0, 0, 0,
    ],
};

const TABLES_5: Tables = Tables {
    levels: &[
        -122, -16, 68, 139, 198, 250, 298, 339, 378, 413, 445, 475, 502, 528, 553,
    ],
    log: &[
        -2048, -66, 28, 104, 169, 224, 274, 318, 358, 395, 429, 459, 488, 514, 539, 566, 566, 539,
        514, 488, 459, 429, 395, 358, 318, 274, 224, 169, 104, 28, -66, -2048,
    ],
    weight: &[
        448, 448, 768, 1248, 1280, 1312, 1856, 3200, 4512, 5728, 7008, 8960, 11456, 14080, 16928,
        22272, 22272, 16928, 14080, 11456, 8960, 7008, 5728, 4512, 3200, 1856, 1312, 1280, 1248,
        768, 448, 448,
    ],
    speed: &[
        0, 0, 0, 0, 0, 0x200, 0x200, 0x200, 0x200, 0x200, 0x400, 0x600, 0x800, 0xa00, 0xc00, 0xc00,
        0xc00, 0xc00, 0xa00, 0x800, 0x600, 0x400, 0x200, 0x200, 0x200, 0x200, 0x200, 0, 0, 0, 0, 0,
    ],
};

#[cfg(test)]
#[path = "g726_tests.rs"]
mod tests;
