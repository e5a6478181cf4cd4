//! Values the edge writes into messages and recognises when they come back: branches, dialog
//! cookies, and the keyed hash behind both.

use std::fmt::Write as _;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

/// SipHash-2-4 with a key of its own, so that values survive a change of the standard library and,
/// one day, a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(pub(crate) u64, pub(crate) u64);

impl Key {
    /// Hashes `parts`, each with its length: moving a byte between two parts changes the hash.
    pub(crate) fn hash<'a>(self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        for part in parts {
            hasher.write_u64(part.len() as u64);
            hasher.write(part);
        }
        hasher.finish()
    }
}

/// A branch: `z9hG4bK`, shard, transaction, loop hash (RFC 5393 §4.2), and a keyed hash over them.
/// Responses with a branch that the edge did not write are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) shard: u8,
    pub(crate) transaction: u64,
    pub(crate) loop_hash: u64,
}

impl Branch {
    pub(crate) fn write(self, key: Key, out: &mut String) {
        let Self {
            shard,
            transaction,
            loop_hash,
        } = self;
        let mac = self.mac(key);
        let _ = write!(
            out,
            "z9hG4bK{shard:02x}{transaction:016x}{loop_hash:016x}{mac:016x}"
        );
    }

    /// The branch, if it was written with this key.
    pub(crate) fn read(text: &[u8], key: Key) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let hex = text
            .strip_prefix("z9hG4bK")
            .filter(|h| h.len() == 50 && h.is_ascii())?;
        let branch = Self {
            shard: u8::from_str_radix(hex.get(..2)?, 16).ok()?,
            transaction: u64::from_str_radix(hex.get(2..18)?, 16).ok()?,
            loop_hash: u64::from_str_radix(hex.get(18..34)?, 16).ok()?,
        };
        let mac = u64::from_str_radix(hex.get(34..)?, 16).ok()?;
        (mac == branch.mac(key)).then_some(branch)
    }

    fn mac(self, key: Key) -> u64 {
        let numbers = [self.transaction.to_be_bytes(), self.loop_hash.to_be_bytes()];
        key.hash([&b"branch"[..], &[self.shard], numbers.as_flattened()])
    }
}

/// The `did` parameter of our Record-Route: which dialog, and proof that we wrote it for this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialogCookie {
    pub(crate) shard: u8,
    pub(crate) id: u64,
}

/// Result of checking a returned `did`.
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
        let key = Key(1, 2);
        branch.write(key, &mut text);
        assert_eq!(Branch::read(text.as_bytes(), key), Some(branch));
        assert_eq!(Branch::read(b"z9hG4bK", key), None);
    }

    #[test]
    fn a_branch_that_we_did_not_write_is_none() {
        let key = Key(1, 2);
        let mut text = String::new();
        let branch = Branch {
            shard: 0,
            transaction: 5,
            loop_hash: 0,
        };
        branch.write(key, &mut text);
        assert_eq!(Branch::read(text.as_bytes(), Key(1, 3)), None);
        for position in 7..text.len() {
            let mut other = text.clone().into_bytes();
            other[position] = if other[position] == b'0' { b'1' } else { b'0' };
            assert_eq!(Branch::read(&other, key), None, "{position}");
        }
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
