//! Base64url without padding (RFC 4648 §5), for tokens: its letters need no escapes in a URI, and
//! none in a Call-ID.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Not a letter of the alphabet.
const NONE: u8 = 0xff;

/// The value of each letter.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
static VALUES: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut value = 0u8;
    while value < 64 {
        table[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    table
};

pub(crate) fn encode(bytes: &[u8], mut push: impl FnMut(u8)) {
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        for (to, from) in group.iter_mut().skip(1).zip(chunk) {
            *to = *from;
        }
        let bits = u32::from_be_bytes(group);
        for position in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * position)) & 63;
            if let Some(letter) = ALPHABET.get(index as usize) {
                push(*letter);
            }
        }
    }
}

/// The bytes of a text; each has one text. `None` if it is none.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for letter in text {
        #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256 entries")]
        let value = VALUES[usize::from(*letter)];
        if value == NONE {
            return None;
        }
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    // What is left of the last letter is zero, so that a text has one form.
    (count < 6 && bits & ((1 << count) - 1) == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(bytes, |letter| out.push(letter));
        out
    }

    #[test]
    fn rfc4648_10() {
        for (bytes, expected) in [
            (&b""[..], &b""[..]),
            (b"f", b"Zg"),
            (b"fo", b"Zm8"),
            (b"foob", b"Zm9vYg"),
            (b"foobar", b"Zm9vYmFy"),
            (b"\xfb\xff", b"-_8"),
        ] {
            assert_eq!(text(bytes), expected);
        }
    }

    #[test]
    fn bytes_have_one_text() {
        for other in [&b"Zh"[..], b"Z", b"Zg==", b"Z+", b"Zm9vY"] {
            assert_eq!(decode(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn text_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(&text(&bytes)), Some(bytes));
        }
    }
}
