//! The keys behind what others keep of the edge for as long as a call or a registration: cookies of
//! dialogs, flow tokens (RFC 5626 §5.2), hidden Call-IDs and ways (spec §10).
//!
//! There are up to two secrets (spec §6): all is written with the first, and read with either, so
//! that a new one takes over without a call that notices. A token does not say which it is of: its
//! MAC does.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroize;

use crate::cookie::{CookieCheck, DialogCookie, Key};
use crate::limits::TOKEN_KEYS;
use crate::register::{FlowToken, TokenCheck};

/// A secret that token keys are derived from.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret([u8; Self::BYTES]);

impl TokenSecret {
    /// Bytes of a secret.
    pub const BYTES: usize = 32;

    /// A secret of random bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The secret in a text of 64 hexadecimal digits, as `openssl rand -hex 32` writes it; white
    /// space around it does not count.
    pub fn read(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * Self::BYTES {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let [high, low] = *pair.first_chunk::<2>()?;
            let value = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(value(high)? << 4 | value(low)?).ok()?;
        }
        Some(Self(bytes))
    }
}

impl Drop for TokenSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// What is sealed. A text of one kind is none of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Sealed {
    CallId = 1,
    Way = 2,
}

/// Bytes that sealing adds.
pub(crate) const SEAL_BYTES: usize = 16;

/// The keys in use.
#[derive(Debug)]
pub(crate) struct TokenKeys {
    newest: TokenKey,
    older: Option<TokenKey>,
}

#[derive(Debug)]
struct TokenKey {
    mac: Key,
    seal: LessSafeKey,
}

impl TokenKeys {
    /// Keys of the secrets of a configuration; without one, of a process that forgets them.
    pub(crate) fn new(secrets: &[TokenSecret], otherwise: Key) -> Self {
        let mut keys = secrets.iter().take(TOKEN_KEYS).map(TokenKey::new);
        let Some(newest) = keys.next() else {
            let mut bytes = [0; TokenSecret::BYTES];
            let parts = [&b"1"[..], b"2", b"3", b"4"];
            for (chunk, part) in bytes.chunks_mut(8).zip(parts) {
                chunk.copy_from_slice(&otherwise.hash([&b"tokens"[..], part]).to_be_bytes());
            }
            return Self {
                newest: TokenKey::new(&TokenSecret(bytes)),
                older: None,
            };
        };
        Self {
            newest,
            older: keys.next(),
        }
    }

    /// The key that MACs are written with.
    pub(crate) fn mac(&self) -> Key {
        self.newest.mac
    }

    fn all(&self) -> impl Iterator<Item = &TokenKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    pub(crate) fn cookie(&self, text: &[u8], call_id: &[u8]) -> CookieCheck {
        let checks = self
            .all()
            .map(|key| DialogCookie::check(text, key.mac, call_id));
        let mut ours = checks.filter(|check| *check != CookieCheck::Forged);
        ours.next().unwrap_or(CookieCheck::Forged)
    }

    pub(crate) fn flow(&self, text: &[u8]) -> TokenCheck {
        let mut checks = self.all().map(|key| FlowToken::read(text, key.mac));
        let other = checks.find(|check| *check != TokenCheck::Forged);
        other.unwrap_or(TokenCheck::Forged)
    }

    /// Encrypts `bytes` in place and adds [`SEAL_BYTES`]; the same bytes come out the same (the AEAD
    /// of RFC 8452 with a nonce that does not change tells no more than that two texts are equal).
    /// `known` is not in it, but has to be the same when it is opened.
    pub(crate) fn seal(&self, kind: Sealed, known: &[u8], bytes: &mut Vec<u8>) {
        let nonce = Nonce::assume_unique_for_key([kind as u8; 12]);
        let sealed = self
            .newest
            .seal
            .seal_in_place_append_tag(nonce, Aad::from(known), bytes);
        if sealed.is_err() {
            // Only what is longer than 2^36 bytes.
            bytes.clear();
        }
    }

    /// The bytes that were sealed with one of the keys. Nothing is decrypted that is not authentic.
    pub(crate) fn open(&self, kind: Sealed, known: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        self.all().find_map(|key| {
            let mut bytes = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key([kind as u8; 12]);
            let opened = key.seal.open_in_place(nonce, Aad::from(known), &mut bytes);
            let length = opened.ok()?.len();
            bytes.truncate(length);
            Some(bytes)
        })
    }
}

impl TokenKey {
    fn new(secret: &TokenSecret) -> Self {
        // A pseudorandom function of the secret; its two halves say nothing of each other.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let bytes = hmac::sign(&key, b"windlass edge tokens 1");
        let mut halves = [[0; 16]; 2];
        for (to, from) in halves.as_flattened_mut().iter_mut().zip(bytes.as_ref()) {
            *to = *from;
        }
        let [mac, seal] = halves;
        let number = u128::from_be_bytes(mac);
        #[expect(clippy::cast_possible_truncation, reason = "its two halves")]
        let mac = Key((number >> 64) as u64, number as u64);
        #[expect(clippy::expect_used, reason = "the length is that of the cipher")]
        let seal = UnboundKey::new(&AES_128_GCM_SIV, &seal).expect("16 bytes are an AES-128 key");
        Self {
            mac,
            seal: LessSafeKey::new(seal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> TokenSecret {
        TokenSecret::new([byte; TokenSecret::BYTES])
    }

    fn keys(secrets: &[u8]) -> TokenKeys {
        let secrets: Vec<_> = secrets.iter().copied().map(secret).collect();
        TokenKeys::new(&secrets, Key(1, 2))
    }

    fn sealed(keys: &TokenKeys, text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        keys.seal(Sealed::CallId, b"p", &mut bytes);
        bytes
    }

    #[test]
    fn what_is_sealed_opens_with_what_was_known_and_as_its_kind() {
        let keys = keys(&[]);
        let text = sealed(&keys, b"call@192.0.2.7");
        assert_eq!(text.len(), 14 + SEAL_BYTES);
        assert_eq!(text, sealed(&keys, b"call@192.0.2.7"));
        let open = |kind, known: &[u8], text: &[u8]| keys.open(kind, known, text);
        assert_eq!(
            open(Sealed::CallId, b"p", &text).unwrap(),
            b"call@192.0.2.7"
        );
        assert_eq!(open(Sealed::Way, b"p", &text), None);
        assert_eq!(open(Sealed::CallId, b"q", &text), None);
        for at in 0..text.len() {
            let mut other = text.clone();
            other[at] ^= 1;
            assert_eq!(open(Sealed::CallId, b"p", &other), None, "{at}");
            assert_eq!(open(Sealed::CallId, b"p", &text[..at]), None, "{at}");
        }
    }

    #[test]
    fn second_key_reads_and_the_first_writes() {
        let (old, both, new) = (keys(&[1]), keys(&[2, 1]), keys(&[2]));
        let open = |keys: &TokenKeys, text: &[u8]| keys.open(Sealed::CallId, b"p", text).is_some();
        let (before, after) = (sealed(&old, b"x"), sealed(&both, b"x"));
        assert!(open(&both, &before) && open(&both, &after) && open(&new, &after));
        assert!(!open(&new, &before) && !open(&old, &after));
        let cookie = DialogCookie { shard: 1, id: 2 };
        let mut text = String::new();
        cookie.write(old.mac(), b"call", &mut text);
        let check = |keys: &TokenKeys| keys.cookie(text.as_bytes(), b"call");
        assert_eq!(check(&both), CookieCheck::Ours(cookie));
        assert_eq!(check(&new), CookieCheck::Forged);
    }

    #[test]
    fn secret_is_64_digits_and_stays_unsaid() {
        let text = "0f".repeat(32);
        assert_eq!(TokenSecret::read(&format!("{text}\n")), Some(secret(15)));
        assert_eq!(TokenSecret::read(&text[1..]), None);
        assert_eq!(TokenSecret::read(&"0g".repeat(32)), None);
        assert_eq!(format!("{:?}", secret(15)), "TokenSecret(…)");
    }
}
