//! G.711, both laws (ITU-T G.711; RFC 3551 §4.5.14).
//!
//! Decoding is the table of the recommendation. Encoding takes the code whose value is nearest, by
//! a table over the upper 14 bits of a sample, with the borders that FFmpeg has: the shifts that
//! other encoders use differ from it on some 900 of the 65536 samples.
#![expect(
    clippy::indexing_slicing,
    reason = "tables are as long as their index has values; the compiler runs what fills them"
)]

/// Which of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// A-law: PCMA, payload type 8.
    A,
    /// µ-law: PCMU, payload type 0.
    Mu,
}

impl Law {
    /// The code of linear silence.
    pub fn silence(self) -> u8 {
        match self {
            Self::A => 0xd5,
            Self::Mu => 0xff,
        }
    }

    /// The sample of a code.
    #[inline]
    pub fn expand(self, code: u8) -> i16 {
        let table = match self {
            Self::A => &DECODE_A,
            Self::Mu => &DECODE_MU,
        };
        table[usize::from(code)]
    }

    /// The code of a sample.
    #[inline]
    pub fn compress(self, sample: i16) -> u8 {
        let table = match self {
            Self::A => &ENCODE_A,
            Self::Mu => &ENCODE_MU,
        };
        // The sign bit flipped is 32768 added; two bits fall off.
        table[usize::from((sample.cast_unsigned() ^ 0x8000) >> 2)]
    }

    /// Appends the samples of a payload.
    pub fn decode(self, payload: &[u8], samples: &mut Vec<i16>) {
        samples.extend(payload.iter().map(|&code| self.expand(code)));
    }

    /// Appends the payload of samples.
    pub fn encode(self, samples: &[i16], payload: &mut Vec<u8>) {
        payload.extend(samples.iter().map(|&sample| self.compress(sample)));
    }
}

static DECODE_A: [i16; 256] = decode_table(Law::A);
static DECODE_MU: [i16; 256] = decode_table(Law::Mu);
static ENCODE_A: [u8; ENTRIES] = encode_table(Law::A);
static ENCODE_MU: [u8; ENTRIES] = encode_table(Law::Mu);

const ENTRIES: usize = 16384;
const CENTRE: usize = ENTRIES / 2;

const fn expand_a(code: u8) -> i16 {
    let code = code ^ 0x55;
    let step = ((code & 0x0f) as i16) << 4;
    let value = match (code & 0x70) >> 4 {
        0 => step + 0x8,
        segment => (step + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -value } else { value }
}

const fn expand_mu(code: u8) -> i16 {
    let code = !code;
    let value = ((((code & 0x0f) as i16) << 3) + 0x84) << ((code & 0x70) >> 4);
    if code & 0x80 == 0 {
        value - 0x84
    } else {
        0x84 - value
    }
}

const fn expand(law: Law, code: u8) -> i16 {
    match law {
        Law::A => expand_a(code),
        Law::Mu => expand_mu(code),
    }
}

const fn decode_table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop ends at 256")]
        let value = expand(law, code as u8);
        table[code] = value;
        code += 1;
    }
    table
}

/// From silence outwards: each code reaches halfway to the next one, on both sides of the centre.
const fn encode_table(law: Law) -> [u8; ENTRIES] {
    let silence = match law {
        Law::A => 0xd5,
        Law::Mu => 0xff,
    };
    let mut table = [silence; ENTRIES];
    let mut distance = 1;
    let mut step = 0;
    while step < 128 {
        let code = step ^ silence;
        let border = if step == 127 {
            CENTRE
        } else {
            let next = expand(law, (step + 1) ^ silence);
            ((expand(law, code) as usize) + next as usize + 4) >> 3
        };
        while distance < border {
            table[CENTRE + distance] = code;
            table[CENTRE - distance] = code ^ 0x80;
            distance += 1;
        }
        step += 1;
    }
    table[0] = table[1];
    table
}

#[cfg(test)]
#[path = "g711_tests.rs"]
mod tests;
