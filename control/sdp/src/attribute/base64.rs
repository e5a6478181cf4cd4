//! Base64 (RFC 4648 §4) as `a=crypto` uses it: padding optional, nothing else forgiven.

/// `None` on any byte outside the alphabet and on an impossible length.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let (digits, _) = text.split_at_checked(text.len() - padding)?;
    if padding > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0;
        for &digit in group {
            bits = bits << 6 | value_of(digit)?;
        }
        let [_, group_bytes @ ..] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend(group_bytes.into_iter().take(group.len() * 6 / 8));
    }
    Some(bytes)
}

/// The text of `bytes`, with `=` to a multiple of four if `pad`.
pub(crate) fn encode(bytes: &[u8], pad: bool) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, index| {
            bits << 8 | group.get(index).map_or(0, |&byte| u32::from(byte))
        });
        for index in 0..4 {
            if index <= group.len() {
                text.push(digit_of(bits >> (18 - 6 * index) & 0x3f));
            } else if pad {
                text.push('=');
            }
        }
    }
    text
}

fn value_of(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

fn digit_of(value: u32) -> char {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    usize::try_from(value)
        .ok()
        .and_then(|index| ALPHABET.get(index))
        .map_or('A', |&digit| char::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4648_10() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes(), true), text);
            assert_eq!(encode(plain.as_bytes(), false), text.trim_end_matches('='));
            assert_eq!(decode(text.as_bytes()).unwrap(), plain.as_bytes());
            assert_eq!(
                decode(text.trim_end_matches('=').as_bytes()).unwrap(),
                plain.as_bytes()
            );
        }
        assert_eq!(decode(b"Z"), None);
        assert_eq!(decode(b"Zm9v*mFy"), None);
        assert_eq!(decode(b"===="), None);
    }
}
