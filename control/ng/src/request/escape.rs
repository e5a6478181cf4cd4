//! The escapes of §7: `--` is `=`, `..` is a space.

use std::borrow::Cow;

/// The text an escaped value stands for.
pub(crate) fn unescape(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.windows(2).any(|pair| pair == b"--" || pair == b"..") {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'-', [b'-', after @ ..]) => {
                out.push(b'=');
                after
            }
            (b'.', [b'.', after @ ..]) => {
                out.push(b' ');
                after
            }
            _ => {
                out.push(byte);
                after
            }
        };
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_left_to_right() {
        assert_eq!(*unescape(b"a--b..c-d.e"), *b"a=b c-d.e");
        assert_eq!(*unescape(b"---"), *b"=-");
        assert!(matches!(unescape(b"plain-text."), Cow::Borrowed(_)));
    }
}
