//! The predefined transforms (RFC 3711 §4): a keystream, then HMAC-SHA1 over what was encrypted.
//!
//! ```text
//! SRTP   header | payload* | MKI | tag            tag over header, payload* and ROC
//! SRTCP  8 bytes | rest* | E, index | MKI | tag   tag over all in front of the MKI
//! ```

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::derive::{Label, derive};
use crate::error::Refusal;
use crate::header::{RTCP_FIXED, RtpHeader, split};
use crate::keys::{AesKey, Keys};
use crate::suite::CipherKind;
use crate::transform::aes::F8;
use crate::transform::mac::Mac;
use crate::transform::{Aes, ENCRYPTED, Print, print, rollover};

/// Session keys for RTP, or for RTCP, of a suite with HMAC-SHA1.
pub(crate) struct Separate {
    cipher: Cipher,
    mac: Mac,
}

impl Separate {
    pub(crate) fn rtp(keys: &Keys) -> Self {
        let labels = [
            Label::RtpEncryption,
            Label::RtpAuthentication,
            Label::RtpSalt,
        ];
        Self::new(keys, labels, !keys.parameters().unencrypted_srtp)
    }

    pub(crate) fn rtcp(keys: &Keys) -> Self {
        let labels = [
            Label::RtcpEncryption,
            Label::RtcpAuthentication,
            Label::RtcpSalt,
        ];
        // Also with UNENCRYPTED_SRTCP: the E bit of a packet decides.
        Self::new(keys, labels, true)
    }

    fn new(keys: &Keys, [encryption, authentication, salt]: [Label; 3], encrypts: bool) -> Self {
        let mut authentication_key = Zeroizing::new([0; 20]);
        derive(keys, authentication, authentication_key.as_mut_slice());
        let mut key = AesKey::zeroed(keys.suite());
        derive(keys, encryption, key.as_mut_slice());
        let mut session_salt = Zeroizing::new([0; 14]);
        derive(keys, salt, session_salt.as_mut_slice());
        let kind = if encrypts {
            keys.suite().cipher()
        } else {
            CipherKind::Null
        };
        Self {
            cipher: Cipher::new(kind, &key, &session_salt),
            mac: Mac::new(&authentication_key),
        }
    }

    /// Encrypts the first `len` bytes of `packet` and fills the rest with the tag, but for `mki_len`
    /// bytes in front of it.
    pub(crate) fn seal_rtp(
        &self,
        packet: &mut [u8],
        len: usize,
        header: &RtpHeader,
        index: u64,
        mki_len: usize,
    ) -> Result<Print, Refusal> {
        let (body, tail) = split(packet, len)?;
        self.cipher.rtp(body, header, index)?;
        let tag = self.mac.begin(body).finish(&rollover(index));
        copy(tail.get_mut(mki_len..), &tag);
        Ok(print(&tag))
    }

    /// Finds the index among `candidates` under which the tag is right, and decrypts.
    /// `len` bytes are header and payload. Without a tag the first one is taken.
    pub(crate) fn open_rtp(
        &self,
        packet: &mut [u8],
        len: usize,
        header: &RtpHeader,
        candidates: &[u64],
        mki_len: usize,
    ) -> Result<u64, Refusal> {
        let (body, tail) = split(packet, len)?;
        let tag = tail.get(mki_len..).unwrap_or_default();
        let found = if tag.is_empty() {
            candidates.first()
        } else {
            let begun = self.mac.begin(body);
            let authentic = |index: &&u64| equal(&begun.finish(&rollover(**index)), tag);
            candidates.iter().find(authentic)
        };
        let index = found.copied().ok_or(Refusal::BadTag)?;
        self.cipher.rtp(body, header, index)?;
        Ok(index)
    }

    /// Encrypts an RTCP packet of `len` bytes if `word`, its E bit and index, says so, and fills the
    /// rest of `packet`.
    pub(crate) fn seal_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        word: u32,
        mki_len: usize,
    ) -> Result<(), Refusal> {
        self.crypt_rtcp(packet, len, word)?;
        let (body, tail) = split(packet, len + 4)?;
        copy(
            body.last_chunk_mut::<4>().map(|to| &mut to[..]),
            &word.to_be_bytes(),
        );
        let tag = self.mac.begin(body).finish_plain();
        copy(tail.get_mut(mki_len..), &tag);
        Ok(())
    }

    /// Checks the tag behind `len` bytes of packet, index word and identifier.
    pub(crate) fn check_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        mki_len: usize,
    ) -> Result<(), Refusal> {
        let (body, tail) = split(packet, len + 4)?;
        let tag = tail.get(mki_len..).unwrap_or_default();
        if equal(&self.mac.begin(body).finish_plain(), tag) {
            Ok(())
        } else {
            Err(Refusal::BadTag)
        }
    }

    /// Encrypts, or decrypts, an RTCP packet of `len` bytes if `word` says that it is encrypted.
    pub(crate) fn crypt_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        word: u32,
    ) -> Result<(), Refusal> {
        if word & ENCRYPTED == 0 {
            return Ok(());
        }
        self.cipher.rtcp(split(packet, len)?.0, word)
    }
}

/// Whether `tag`, a part of the whole, is not empty and right; in constant time.
fn equal(whole: &[u8; 20], tag: &[u8]) -> bool {
    let part = whole.get(..tag.len()).unwrap_or_default();
    !tag.is_empty() && bool::from(part.ct_eq(tag))
}

/// Fills `to` from the front of `from`.
fn copy(to: Option<&mut [u8]>, from: &[u8]) {
    if let Some(to) = to
        && let Some(from) = from.get(..to.len())
    {
        to.copy_from_slice(from);
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "counter mode is the usual one, and is read for every packet"
)]
enum Cipher {
    /// The salt is shifted to where the IV has it.
    Counter {
        aes: Aes,
        salt: Zeroizing<u128>,
    },
    F8(Box<F8>),
    Null,
}

impl Cipher {
    fn new(kind: CipherKind, key: &AesKey, salt: &[u8; 14]) -> Self {
        match kind {
            CipherKind::F8 => Self::F8(Box::new(F8::new(key, salt))),
            CipherKind::Null => Self::Null,
            CipherKind::Counter | CipherKind::Gcm => {
                let value = salt
                    .iter()
                    .fold(0, |value, byte| value << 8 | u128::from(*byte));
                Self::Counter {
                    aes: Aes::new(key),
                    salt: Zeroizing::new(value << 16),
                }
            }
        }
    }

    fn rtp(&self, packet: &mut [u8], header: &RtpHeader, index: u64) -> Result<(), Refusal> {
        let (head, payload) = split(packet, header.payload_at)?;
        match self {
            // RFC 3711 §4.1.1
            Self::Counter { aes, salt } => {
                let iv = **salt ^ u128::from(header.ssrc) << 64 ^ u128::from(index) << 16;
                aes.counter(&iv.to_be_bytes(), payload);
            }
            // RFC 3711 §4.1.2.2: the fixed header from the marker on, and the ROC.
            Self::F8(f8) => {
                let mut iv = [0; 16];
                copy(iv.first_chunk_mut::<12>().map(|to| &mut to[..]), head);
                copy(
                    iv.last_chunk_mut::<4>().map(|to| &mut to[..]),
                    &rollover(index),
                );
                let [first, ..] = &mut iv;
                *first = 0;
                f8.apply(&iv, payload);
            }
            Self::Null => {}
        }
        Ok(())
    }

    fn rtcp(&self, packet: &mut [u8], word: u32) -> Result<(), Refusal> {
        let (head, payload) = split(packet, RTCP_FIXED)?;
        match self {
            Self::Counter { aes, salt } => {
                let [.., c0, c1, c2, c3] = *head else {
                    return Ok(());
                };
                let ssrc = u32::from_be_bytes([c0, c1, c2, c3]);
                let index = u128::from(word & !ENCRYPTED);
                let iv = **salt ^ u128::from(ssrc) << 64 ^ index << 16;
                aes.counter(&iv.to_be_bytes(), payload);
            }
            // RFC 3711 §4.1.2.3: E bit and index, and what stays in the clear.
            Self::F8(f8) => {
                let mut iv = [0; 16];
                copy(iv.get_mut(4..8), &word.to_be_bytes());
                copy(iv.get_mut(8..), head);
                f8.apply(&iv, payload);
            }
            Self::Null => {}
        }
        Ok(())
    }
}
