//! MESSAGE-INTEGRITY with a short-term key (RFC 8489 §9.1, §14.5).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};

use super::HEADER;

/// HMAC-SHA-1 with the key already taken in, so that a message costs two blocks less.
#[derive(Clone)]
pub struct IntegrityKey(Hmac<Sha1>);

impl IntegrityKey {
    /// The key of a short-term credential is the password itself; that of a long-term one its hash.
    pub fn new(key: &[u8]) -> Self {
        // RFC 2104 §2: a longer key is hashed, a shorter one is filled with zeros.
        let mut block = [0; BLOCK];
        let hashed;
        let key = if key.len() > BLOCK {
            hashed = Sha1::digest(key);
            hashed.as_slice()
        } else {
            key
        };
        for (place, byte) in block.iter_mut().zip(key) {
            *place = *byte;
        }
        let keyed = Self(Hmac::new(&block.into()));
        zeroize::Zeroize::zeroize(&mut block);
        keyed
    }

    /// HMAC of a message up to its MESSAGE-INTEGRITY. The length field counts as if that attribute
    /// were the last.
    pub(super) fn tag(&self, before: &[u8]) -> [u8; TAG] {
        self.digest(before).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, before: &[u8], tag: &[u8]) -> bool {
        self.digest(before).verify_slice(tag).is_ok()
    }

    fn digest(&self, before: &[u8]) -> Hmac<Sha1> {
        let mut hmac = self.0.clone();
        let (start, rest) = before.split_at_checked(2).unwrap_or((before, &[]));
        let (_, rest) = rest.split_at_checked(2).unwrap_or((&[], rest));
        let length = (before.len() + ATTRIBUTE).saturating_sub(HEADER);
        hmac.update(start);
        hmac.update(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        hmac.update(rest);
        hmac
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(…)")
    }
}

/// Bytes of the value of MESSAGE-INTEGRITY.
pub(super) const TAG: usize = 20;
const ATTRIBUTE: usize = 4 + TAG;
const BLOCK: usize = 64;
