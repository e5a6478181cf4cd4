//! The AEAD transforms (RFC 7714): AES-GCM, in place.
//!
//! ```text
//! SRTP   header | payload* | tag | MKI            AAD: header
//! SRTCP  8 bytes | rest* | tag | E, index | MKI   AAD: 8 bytes and the index word
//! ```
//! What is not encrypted is authenticated all the same, as associated data.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::derive::{Label, derive};
use crate::error::Refusal;
use crate::header::{RTCP_FIXED, RtpHeader, split};
use crate::keys::{AesKey, Keys, KeysError};
use crate::transform::{ENCRYPTED, Print, print};

const TAG: usize = 16;

/// Session keys for RTP, or for RTCP, of an AEAD suite. The library wipes its key.
pub(crate) struct Aead {
    key: LessSafeKey,
    salt: Zeroizing<[u8; 12]>,
    encrypts: bool,
}

impl Aead {
    pub(crate) fn rtp(keys: &Keys) -> Result<Self, KeysError> {
        let encrypts = !keys.parameters().unencrypted_srtp;
        Self::new(keys, Label::RtpEncryption, Label::RtpSalt, encrypts)
    }

    pub(crate) fn rtcp(keys: &Keys) -> Result<Self, KeysError> {
        // Also with UNENCRYPTED_SRTCP: the E bit of a packet decides.
        Self::new(keys, Label::RtcpEncryption, Label::RtcpSalt, true)
    }

    fn new(keys: &Keys, encryption: Label, salt: Label, encrypts: bool) -> Result<Self, KeysError> {
        let mut key = AesKey::zeroed(keys.suite());
        derive(keys, encryption, key.as_mut_slice());
        let mut session_salt = Zeroizing::new([0; 12]);
        derive(keys, salt, session_salt.as_mut_slice());
        Self::of_session(&key, session_salt, encrypts)
    }

    /// From keys that are derived already.
    pub(super) fn of_session(
        key: &AesKey,
        salt: Zeroizing<[u8; 12]>,
        encrypts: bool,
    ) -> Result<Self, KeysError> {
        let algorithm = match key {
            AesKey::Aes256(_) => &AES_256_GCM,
            AesKey::Aes128(_) | AesKey::Aes192(_) => &AES_128_GCM,
        };
        let key = UnboundKey::new(algorithm, key.as_slice()).map_err(|_| KeysError::Library)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            salt,
            encrypts,
        })
    }

    /// Encrypts the first `len` bytes of `packet` and writes the tag behind them.
    pub(crate) fn seal_rtp(
        &self,
        packet: &mut [u8],
        len: usize,
        header: &RtpHeader,
        index: u64,
    ) -> Result<Print, Refusal> {
        let clear = if self.encrypts {
            header.payload_at
        } else {
            len
        };
        let (body, tail) = split(packet, len)?;
        let (aad, payload) = split(body, clear)?;
        self.seal(self.rtp_nonce(header.ssrc, index), aad, payload, tail)
    }

    /// Checks and decrypts header, payload and tag. Unless it succeeds, payload and tag are wiped
    /// by the library.
    pub(crate) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: &RtpHeader,
        index: u64,
    ) -> Result<(), Refusal> {
        let clear = if self.encrypts {
            header.payload_at
        } else {
            packet.len().saturating_sub(TAG)
        };
        let (aad, sealed) = split(packet, clear)?;
        let opened =
            self.key
                .open_in_place(self.rtp_nonce(header.ssrc, index), Aad::from(&*aad), sealed);
        opened.map(drop).map_err(|_| Refusal::BadTag)
    }

    /// Encrypts an RTCP packet of `len` bytes if `word` says so; writes tag and word behind it.
    pub(crate) fn seal_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        ssrc: u32,
        word: u32,
    ) -> Result<(), Refusal> {
        let nonce = self.rtcp_nonce(ssrc, word);
        if word & ENCRYPTED == 0 {
            // The word follows the packet while it is authenticated; then the tag comes between.
            let (aad, _) = split(packet, len + 4)?;
            copy_word(aad, word);
            let mut tag = [0; TAG];
            self.seal(nonce, aad, &mut [], &mut tag)?;
            let (_, behind) = split(packet, len)?;
            let (to, _) = split(behind, TAG)?;
            to.copy_from_slice(&tag);
        } else {
            let (body, tail) = split(packet, len)?;
            let (head, payload) = split(body, RTCP_FIXED)?;
            let aad = rtcp_aad(head, word);
            self.seal(nonce, &aad, payload, tail)?;
        }
        let (sealed, _) = split(packet, len + TAG + 4)?;
        copy_word(sealed, word);
        Ok(())
    }

    /// Checks and decrypts an RTCP packet of `len` bytes and the tag behind it.
    pub(crate) fn open_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        ssrc: u32,
        word: u32,
    ) -> Result<(), Refusal> {
        let nonce = self.rtcp_nonce(ssrc, word);
        let opened = if word & ENCRYPTED == 0 {
            let (_, behind) = split(packet, len)?;
            let tag: Option<&[u8; TAG]> = behind.first_chunk();
            let mut tag = *tag.ok_or(Refusal::BadTag)?;
            let (aad, _) = split(packet, len + 4)?;
            copy_word(aad, word);
            self.key
                .open_in_place(nonce, Aad::from(&*aad), &mut tag)
                .map(drop)
        } else {
            let (sealed, _) = split(packet, len + TAG)?;
            let (head, sealed) = split(sealed, RTCP_FIXED)?;
            let aad = rtcp_aad(head, word);
            self.key
                .open_in_place(nonce, Aad::from(aad), sealed)
                .map(drop)
        };
        opened.map_err(|_| Refusal::BadTag)
    }

    fn seal(
        &self,
        nonce: Nonce,
        aad: &[u8],
        payload: &mut [u8],
        tail: &mut [u8],
    ) -> Result<Print, Refusal> {
        let sealed = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), payload);
        // Only payloads beyond 64 GB fail.
        let tag = sealed.map_err(|_| Refusal::IndexExhausted)?;
        let (to, _) = split(tail, TAG)?;
        to.copy_from_slice(tag.as_ref());
        Ok(print(tag.as_ref()))
    }

    /// RFC 7714 §8.1: 0 (16 bits), SSRC, ROC, SEQ, XOR the salt.
    fn rtp_nonce(&self, ssrc: u32, index: u64) -> Nonce {
        self.nonce(u128::from(ssrc) << 48 | u128::from(index))
    }

    /// RFC 7714 §9.1: 0 (16 bits), SSRC, 0 (17 bits), index, XOR the salt.
    fn rtcp_nonce(&self, ssrc: u32, word: u32) -> Nonce {
        self.nonce(u128::from(ssrc) << 48 | u128::from(word & !ENCRYPTED))
    }

    fn nonce(&self, value: u128) -> Nonce {
        let mut nonce = *self.salt;
        let [_, _, _, _, value @ ..] = value.to_be_bytes();
        for (to, from) in nonce.iter_mut().zip(value) {
            *to ^= from;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// RFC 7714 §9.2: what stays in the clear, and the index word.
fn rtcp_aad(head: &[u8], word: u32) -> [u8; RTCP_FIXED + 4] {
    let mut aad = [0; RTCP_FIXED + 4];
    for (to, from) in aad.iter_mut().zip(head) {
        *to = *from;
    }
    copy_word(&mut aad, word);
    aad
}

/// Writes the index word over the last four bytes.
fn copy_word(to: &mut [u8], word: u32) {
    if let Some(to) = to.last_chunk_mut() {
        *to = word.to_be_bytes();
    }
}
