//! Values the edge writes into messages and recognises when they come back: branches, dialog
//! cookies, and the keyed hash behind both.

use std::fmt::Write as _;

/// SipHash-2-4 with a key of its own, so that values survive a change of the standard library and,
/// one day, a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(pub(crate) u64, pub(crate) u64);

impl Key {
    /// Hashes `parts`, each with its length, so that moving a byte between parts changes the hash.
    pub(crate) fn hash<'a>(self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut state = State::new(self);
        for part in parts {
            state.word(part.len() as u64);
            let mut chunks = part.chunks_exact(8);
            for chunk in &mut chunks {
                state.word(read(chunk));
            }
            state.word(read(chunks.remainder()));
        }
        state.finish()
    }
}

struct State([u64; 4]);

impl State {
    fn new(Key(k0, k1): Key) -> Self {
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    fn word(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }

    fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.0.iter().fold(0, |all, word| all ^ word)
    }
}

fn read(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// `z9hG4bK`, the shard, the transaction and the loop hash (RFC 5393 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) shard: u8,
    pub(crate) transaction: u64,
    pub(crate) loop_hash: u64,
}

impl Branch {
    pub(crate) fn write(self, out: &mut String) {
        let Self {
            shard,
            transaction,
            loop_hash,
        } = self;
        let _ = write!(out, "z9hG4bK{shard:02x}{transaction:016x}{loop_hash:016x}");
    }

    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let hex = text
            .strip_prefix("z9hG4bK")
            .filter(|h| h.len() == 34 && h.is_ascii())?;
        Some(Self {
            shard: u8::from_str_radix(hex.get(..2)?, 16).ok()?,
            transaction: u64::from_str_radix(hex.get(2..18)?, 16).ok()?,
            loop_hash: u64::from_str_radix(hex.get(18..)?, 16).ok()?,
        })
    }
}

/// The `did` parameter of our Record-Route: which dialog, and proof that we wrote it for this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialogCookie {
    pub(crate) shard: u8,
    pub(crate) id: u64,
}

/// What a `did` that came back is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieCheck {
    Ours(DialogCookie),
    Forged,
}

impl DialogCookie {
    pub(crate) fn write(self, key: Key, call_id: &[u8], out: &mut String) {
        let _ = write!(
            out,
            "{:02x}.{:016x}.{:016x}",
            self.shard,
            self.id,
            self.mac(key, call_id)
        );
    }

    pub(crate) fn check(text: &[u8], key: Key, call_id: &[u8]) -> CookieCheck {
        let parse = || {
            let mut parts = std::str::from_utf8(text).ok()?.split('.');
            let cookie = Self {
                shard: u8::from_str_radix(parts.next()?, 16).ok()?,
                id: u64::from_str_radix(parts.next()?, 16).ok()?,
            };
            let mac = u64::from_str_radix(parts.next()?, 16).ok()?;
            (parts.next().is_none() && mac == cookie.mac(key, call_id)).then_some(cookie)
        };
        parse().map_or(CookieCheck::Forged, CookieCheck::Ours)
    }

    fn mac(self, key: Key, call_id: &[u8]) -> u64 {
        key.hash([&[self.shard][..], &self.id.to_be_bytes(), call_id])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_comes_back_as_written() {
        let branch = Branch {
            shard: 3,
            transaction: u64::MAX,
            loop_hash: 7,
        };
        let mut text = String::new();
        branch.write(&mut text);
        assert_eq!(Branch::read(text.as_bytes()), Some(branch));
        assert_eq!(Branch::read(b"z9hG4bK"), None);
    }

    #[test]
    fn cookie_of_another_call_is_forged() {
        let (key, cookie) = (Key(1, 2), DialogCookie { shard: 0, id: 9 });
        let mut text = String::new();
        cookie.write(key, b"call", &mut text);
        assert_eq!(
            DialogCookie::check(text.as_bytes(), key, b"call"),
            CookieCheck::Ours(cookie)
        );
        assert_eq!(
            DialogCookie::check(text.as_bytes(), key, b"other"),
            CookieCheck::Forged
        );
        assert_eq!(
            DialogCookie::check(text.as_bytes(), Key(1, 3), b"call"),
            CookieCheck::Forged
        );
    }
}
