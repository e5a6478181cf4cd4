//! AES in the two modes of RFC 3711 §4.1: counter mode and f8.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use zeroize::Zeroizing;

use crate::keys::AesKey;

/// An expanded key: expanding costs as much as a packet.
pub(crate) enum Aes {
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
}

impl Aes {
    pub(crate) fn new(key: &AesKey) -> Self {
        match key {
            AesKey::Aes128(key) => Self::Aes128(Aes128Enc::new(key.into())),
            AesKey::Aes192(key) => Self::Aes192(Aes192Enc::new(key.into())),
            AesKey::Aes256(key) => Self::Aes256(Aes256Enc::new(key.into())),
        }
    }

    /// Adds the keystream that begins at `iv`.
    pub(crate) fn counter(&self, iv: &[u8; 16], data: &mut [u8]) {
        match self {
            Self::Aes128(cipher) => counter(cipher, iv, data),
            Self::Aes192(cipher) => counter(cipher, iv, data),
            Self::Aes256(cipher) => counter(cipher, iv, data),
        }
    }

    fn block(&self, block: &mut [u8; 16]) {
        match self {
            Self::Aes128(cipher) => cipher.encrypt_block(block.into()),
            Self::Aes192(cipher) => cipher.encrypt_block(block.into()),
            Self::Aes256(cipher) => cipher.encrypt_block(block.into()),
        }
    }
}

/// RFC 3711 §4.1.1 counts in the lowest 16 bits, which begin at 0 and are enough for 1 MB: a
/// counter of 32 bits never carries further either, and is the cheapest.
fn counter<C>(cipher: &C, iv: &[u8; 16], data: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let core = CtrCore::<&C, Ctr32BE>::inner_iv_init(cipher, iv.into());
    core.apply_keystream_partial(data.into());
}

/// AES in f8-mode (RFC 3711 §4.1.2).
pub(crate) struct F8 {
    cipher: Aes,
    /// Under the key XOR the mask: what IV' is made with.
    masked: Aes,
}

impl F8 {
    /// `salt` is as long as the suite has it; it masks the key, filled up with 0x55.
    pub(crate) fn new(key: &AesKey, salt: &[u8]) -> Self {
        let mut masked = key.clone();
        let mask = salt.iter().copied().chain(std::iter::repeat(0x55));
        for (key, mask) in masked.as_mut_slice().iter_mut().zip(mask) {
            *key ^= mask;
        }
        Self {
            cipher: Aes::new(key),
            masked: Aes::new(&masked),
        }
    }

    /// Adds the keystream of `iv`.
    pub(crate) fn apply(&self, iv: &[u8; 16], data: &mut [u8]) {
        let mut start = *iv;
        self.masked.block(&mut start);
        let start = u128::from_be_bytes(start);
        let mut stream = Zeroizing::new([0; 16]);
        for (count, chunk) in (0..).zip(data.chunks_mut(16)) {
            let count: u128 = count;
            *stream = (start ^ count ^ u128::from_be_bytes(*stream)).to_be_bytes();
            self.cipher.block(&mut stream);
            for (to, from) in chunk.iter_mut().zip(stream.iter()) {
                *to ^= from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::tests::{unhex, unhex_array};

    fn stream(key: &AesKey, first: &str, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        Aes::new(key).counter(&unhex_array(first), &mut out);
        out
    }

    #[test]
    fn rfc3711_b2() {
        let key = AesKey::Aes128(unhex_array("2b7e151628aed2a6abf7158809cf4f3c"));
        assert_eq!(
            stream(&key, "f0f1f2f3f4f5f6f7f8f9fafbfcfd0000", 48),
            unhex(
                "e03ead0935c95e80e166b16dd92b4eb4\
                 d23513162b02d0f72a43a2fe4a5f97ab\
                 41e95b3bb0a2e8dd477901e4fca894c0"
            )
        );
        assert_eq!(
            stream(&key, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 48),
            unhex(
                "ec8cdf7398607cb0f2d21675ea9ea1e4\
                 362b7c3c6773516318a077d7fc5073ae\
                 6a2cc3787889374fbeb4c81b17ba6c44"
            )
        );
    }

    #[test]
    fn rfc6188_7_1() {
        let key = AesKey::Aes256(unhex_array(
            "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
        ));
        assert_eq!(
            stream(&key, "f0f1f2f3f4f5f6f7f8f9fafbfcfd0000", 48),
            unhex(
                "92bdd28a93c3f52511c677d08b5515a4\
                 9da71b2378a854f67050756ded165bac\
                 63c4868b7096d88421b563b8c94c9a31"
            )
        );
    }

    #[test]
    fn rfc6188_7_3() {
        let key = AesKey::Aes192(unhex_array(
            "eab234764e517b2d3d160d587d8c86219740f65f99b6bcf7",
        ));
        assert_eq!(
            stream(&key, "f0f1f2f3f4f5f6f7f8f9fafbfcfd0000", 48),
            unhex(
                "35096cba4610028dc1b57503804ce37c\
                 5de986291dcce161d5165ec4568f5c9a\
                 474a40c77894bc17180202272a4c264d"
            )
        );
    }

    #[test]
    fn rfc3711_b1() {
        let key = AesKey::Aes128(unhex_array("234829008467be186c3de14aae72d62c"));
        let mut data = b"pseudorandomness is the next best thing".to_vec();
        let iv = unhex_array("006e5cba50681de55c621599d462564a");
        F8::new(&key, &unhex("32f2870d")).apply(&iv, &mut data);
        assert_eq!(
            data,
            unhex(
                "019ce7a26e7854014a6366aa95d4eefd\
                 1ad4172a14f9faf455b7f1d4b62bd08f\
                 562c0eef7c4802"
            )
        );
    }
}
