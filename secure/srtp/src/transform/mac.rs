//! HMAC-SHA1 (RFC 2104) over a packet and what is authenticated with it, without putting both into
//! one buffer. The states after the two pads are computed once per key.

use sha1::block_api::compress;
use zeroize::Zeroize;

/// Initial state of SHA-1 (FIPS 180-4 §5.3.1).
const INITIAL: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];
const BLOCK: usize = 64;

/// A key of HMAC-SHA1, wiped on drop.
pub(crate) struct Mac {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl Mac {
    pub(crate) fn new(key: &[u8; 20]) -> Self {
        Self {
            inner: padded(key, 0x36),
            outer: padded(key, 0x5c),
        }
    }

    /// Takes in `message`; tags of it with several endings cost one or two blocks each.
    pub(crate) fn begin<'m>(&'m self, message: &'m [u8]) -> Begun<'m> {
        let (blocks, rest) = message.as_chunks::<BLOCK>();
        let mut state = self.inner;
        compress(&mut state, blocks);
        Begun {
            mac: self,
            state,
            rest,
            len: message.len(),
        }
    }
}

impl Drop for Mac {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

fn padded(key: &[u8; 20], pad: u8) -> [u32; 5] {
    let mut block = [pad; BLOCK];
    for (to, from) in block.iter_mut().zip(key) {
        *to ^= from;
    }
    let mut state = INITIAL;
    compress(&mut state, &[block]);
    block.zeroize();
    state
}

/// A message that was taken in.
pub(crate) struct Begun<'m> {
    mac: &'m Mac,
    state: [u32; 5],
    /// What fills no block.
    rest: &'m [u8],
    len: usize,
}

impl Begun<'_> {
    /// The tag of the message followed by `ending`.
    pub(crate) fn finish(&self, ending: &[u8; 4]) -> [u8; 20] {
        self.tag(ending, self.len + ending.len())
    }

    /// The tag of the message alone.
    pub(crate) fn finish_plain(&self) -> [u8; 20] {
        self.tag(&[], self.len)
    }

    fn tag(&self, ending: &[u8], len: usize) -> [u8; 20] {
        let mut state = self.state;
        let mut blocks = [[0; BLOCK]; 2];
        let flat = blocks.as_flattened_mut();
        let after = self.rest.len() + ending.len();
        if let Some((rest, behind)) = flat.split_at_mut_checked(self.rest.len()) {
            rest.copy_from_slice(self.rest);
            if let Some((to, behind)) = behind.split_at_mut_checked(ending.len()) {
                to.copy_from_slice(ending);
                if let Some(end) = behind.first_mut() {
                    *end = 0x80;
                }
            }
        }
        let count = (after + 1 + 8).div_ceil(BLOCK);
        if let Some(blocks) = blocks.get_mut(..count) {
            // SHA-1 ends with the number of bits, those of the pad's block included.
            let bits = 8 * (BLOCK as u64 + len as u64);
            if let Some(to) = blocks.as_flattened_mut().last_chunk_mut() {
                *to = bits.to_be_bytes();
            }
            compress(&mut state, blocks);
        }
        self.mac.finish_outer(&state)
    }
}

impl Mac {
    fn finish_outer(&self, inner: &[u32; 5]) -> [u8; 20] {
        let mut block = [0; BLOCK];
        write_words(&mut block, inner);
        if let Some(end) = block.get_mut(20) {
            *end = 0x80;
        }
        if let Some(to) = block.last_chunk_mut() {
            *to = (8 * (BLOCK as u64 + 20)).to_be_bytes();
        }
        let mut state = self.outer;
        compress(&mut state, &[block]);
        let mut tag = [0; 20];
        write_words(&mut tag, &state);
        tag
    }
}

fn write_words(to: &mut [u8], words: &[u32; 5]) {
    for (to, word) in to.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *to = word.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::byte;
    use crate::transform::tests::unhex;

    /// HMAC-SHA1 by another library.
    fn expected(key: &[u8], message: &[u8]) -> Vec<u8> {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
    }

    #[test]
    fn rfc2202_case_1() {
        let tag = Mac::new(&[0x0b; 20]).begin(b"Hi There").finish_plain();
        assert_eq!(
            tag.to_vec(),
            unhex("b617318655057264e28bc0b6fb378c8ef146be00")
        );
    }

    #[test]
    fn every_length_agrees_with_another_library() {
        let key: [u8; 20] = std::array::from_fn(|at| u8::try_from(at).unwrap() * 7);
        let mac = Mac::new(&key);
        let message: Vec<u8> = (0..300).map(byte).collect();
        for len in 0..message.len() {
            let message = &message[..len];
            let begun = mac.begin(message);
            assert_eq!(begun.finish_plain().to_vec(), expected(&key, message));
            let ending = [1, 2, 3, 4];
            let whole = [message, &ending].concat();
            assert_eq!(begun.finish(&ending).to_vec(), expected(&key, &whole));
        }
    }
}
