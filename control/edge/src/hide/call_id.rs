//! Call-IDs that stand for others: a prefix, the shard, and the sealed Call-ID.
//!
//! ```text
//! wl-3fQk…   prefix, two hex digits of the shard, base64url of what `TokenKeys::seal` wrote
//! ```
//!
//! The shard is masked by a hash of what follows it, so that nobody chooses one who does not know
//! the key; the text as a whole is authentic or none of ours.

use crate::base64url;
use crate::cookie::Key;
use crate::keys::{Sealed, TokenKeys};

/// The key that masks shards, of the secret of a process.
pub(crate) fn mask_of(secret: Key) -> Key {
    let half = |part: &[u8]| secret.hash([&b"shards"[..], part]);
    Key(half(b"1"), half(b"2"))
}

/// Writes the Call-ID in the place of `call_id`, always the same one. `out` is cleared first.
pub(crate) fn write(
    call_id: &[u8],
    prefix: &str,
    (shard, mask): (u8, Key),
    keys: &TokenKeys,
    out: &mut Vec<u8>,
) {
    let mut sealed = call_id.to_vec();
    keys.seal(Sealed::CallId, prefix.as_bytes(), &mut sealed);
    out.clear();
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(b"00");
    base64url::encode(&sealed, |letter| out.push(letter));
    let Some((head, text)) = out.split_at_mut_checked(prefix.len() + 2) else {
        return;
    };
    let byte = shard ^ masking(text, mask);
    for (digit, shift) in head.iter_mut().rev().zip([0, 4]) {
        *digit = HEX
            .get(usize::from(byte >> shift & 15))
            .copied()
            .unwrap_or(b'0');
    }
}

/// The Call-ID that `text` stands for; `None` if it is not in this form, or not of ours.
pub(crate) fn read(text: &[u8], prefix: &str, keys: &TokenKeys) -> Option<Vec<u8>> {
    let sealed = base64url::decode(behind_shard(text, prefix)?.1)?;
    keys.open(Sealed::CallId, prefix.as_bytes(), &sealed)
}

/// Whether a text has the form of these Call-IDs.
pub(crate) fn is_one(text: &[u8], prefix: &str) -> bool {
    behind_shard(text, prefix).is_some()
}

/// The shard that a Call-ID of this form belongs to.
pub(crate) fn shard(text: &[u8], prefix: &str, mask: Key) -> Option<u8> {
    let (byte, text) = behind_shard(text, prefix)?;
    Some(byte ^ masking(text, mask))
}

fn behind_shard<'a>(text: &'a [u8], prefix: &str) -> Option<(u8, &'a [u8])> {
    let (digits, sealed) = text
        .strip_prefix(prefix.as_bytes())?
        .split_first_chunk::<2>()?;
    let [high, low] = digits.map(|digit| HEX.iter().position(|hex| *hex == digit));
    let byte = u8::try_from(high? << 4 | low?).ok()?;
    (sealed.len() * 3 / 4 > crate::keys::SEAL_BYTES).then_some((byte, sealed))
}

fn masking(text: &[u8], mask: Key) -> u8 {
    let [byte, ..] = mask.hash([&b"call-id"[..], text]).to_be_bytes();
    byte
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_id_comes_back_with_its_shard_and_tells_nothing() {
        let (keys, mask) = (TokenKeys::new(&[], Key(1, 2)), Key(3, 4));
        let mut text = Vec::new();
        for (number, call_id) in [(0, &b"a"[..]), (7, b"3f-7@192.0.2.20"), (255, b"\xff%;\"")] {
            write(call_id, "wl-", (number, mask), &keys, &mut text);
            assert!(text.starts_with(b"wl-") && is_one(&text, "wl-"));
            assert!(
                !text
                    .windows(call_id.len())
                    .any(|part| part == call_id && part.len() > 3)
            );
            assert_eq!(read(&text, "wl-", &keys).as_deref(), Some(call_id));
            assert_eq!(shard(&text, "wl-", mask), Some(number));
            let mut again = Vec::new();
            write(call_id, "wl-", (number, mask), &keys, &mut again);
            assert_eq!(text, again);
        }
    }

    #[test]
    fn call_id_of_another_box_or_prefix_is_none() {
        let (keys, mask) = (TokenKeys::new(&[], Key(1, 2)), Key(3, 4));
        let mut text = Vec::new();
        write(b"a@b", "wl-", (3, mask), &keys, &mut text);
        assert_eq!(read(&text, "wl-", &TokenKeys::new(&[], Key(1, 3))), None);
        assert_eq!(read(&text, "wx-", &keys), None);
        assert_eq!(shard(&text, "wx-", mask), None);
        let mut renamed = text.clone();
        renamed[1] = b'x';
        assert_eq!(
            read(&renamed, "wx-", &keys),
            None,
            "the prefix is authentic as well"
        );
        for end in 0..text.len() {
            assert_eq!(read(&text[..end], "wl-", &keys), None, "{end}");
        }
        assert!(!is_one(b"wl-0", "wl-") && !is_one(b"3f-7@192.0.2.20", "wl-"));
    }
}
