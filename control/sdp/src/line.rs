//! Lines and tokens: the primitives of the parser (RFC 8866 §5).

use std::net::IpAddr;
use std::str::FromStr;

/// One line: its number from 1, its letter and what follows the `=`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) letter: u8,
    pub(crate) value: &'a [u8],
}

/// Cuts `bytes` at LF, strips CR, counts from 1. Text after the last LF is a line too.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes
        .split(|&byte| byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, without_cr(line)))
}

fn without_cr(mut line: &[u8]) -> &[u8] {
    // More than one comes from text that went through a CRLF conversion twice.
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

/// The tokens between spaces; runs of spaces count as one.
pub(crate) fn tokens(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|&byte| byte == b' ')
        .filter(|token| !token.is_empty())
}

/// The first token and what follows it, without the spaces between and around.
pub(crate) fn first_token(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = bytes.trim_ascii();
    split_at_byte(bytes, b' ').map_or((bytes, &[]), |(token, rest)| (token, rest.trim_ascii()))
}

/// Splits at the first `separator`, which belongs to neither half.
pub(crate) fn split_at_byte(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    let (head, tail) = bytes.split_at_checked(at)?;
    Some((head, tail.get(1..)?))
}

/// A decimal number: digits only, no sign, no blank.
pub(crate) fn number<T: FromStr>(bytes: &[u8]) -> Option<T> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(bytes).ok()?.parse().ok()
}

/// Parses any type that has a text form, such as an IP address.
pub(crate) fn parse<T: FromStr>(bytes: &[u8]) -> Option<T> {
    str::from_utf8(bytes).ok()?.parse().ok()
}

/// An IP address. An IPv4-mapped one (RFC 4291 §2.5.5.2) is read as IPv4.
pub(crate) fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    parse::<IpAddr>(bytes).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_lf_with_or_without_cr() {
        let cut: Vec<_> = lines(b"v=0\r\ns=-\nt=0 0").collect();
        assert_eq!(cut, [(1, &b"v=0"[..]), (2, b"s=-"), (3, b"t=0 0")]);
        assert_eq!(lines(b"v=0\n\n").count(), 2);
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number::<u16>(b"65535"), Some(65535));
        for bad in [&b""[..], b"65536", b"+1", b"-1", b" 1", b"1 ", b"0x1"] {
            assert_eq!(number::<u16>(bad), None);
        }
    }
}
