//! Texts and numbers on the wire.

use std::io::Write as _;
use std::net::IpAddr;

/// Numbers are half of a `query` reply; formatting traits cost more than the rest of it.
pub(crate) fn write_decimal(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes an address as text and gives its length. A `query` reply has a dozen addresses; the
/// formatting traits take a tenth of its time for them.
pub(crate) fn write_address(address: IpAddr, text: &mut [u8; 48]) -> usize {
    let mut rest = &mut text[..];
    let mut put = |bytes: &[u8]| {
        // The longest address has 39 characters.
        let _ = rest.write_all(bytes);
    };
    match address {
        IpAddr::V4(v4) => {
            for (i, octet) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    put(b".");
                }
                put(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => put(v6.to_string().as_bytes()),
    }
    let left = rest.len();
    text.len() - left
}

pub(crate) fn write_bencode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // The length has at most 20 digits.
    out.reserve(bytes.len() + 21);
    match u8::try_from(bytes.len()) {
        // Most texts are words.
        Ok(length @ ..10) => out.push(b'0' + length),
        _ => write_decimal(bytes.len(), out),
    }
    out.push(b':');
    out.extend_from_slice(bytes);
}

pub(crate) fn bencode_bytes_len(bytes: &[u8]) -> usize {
    digits(bytes.len() as u64) + 1 + bytes.len()
}

pub(crate) fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

pub(crate) fn write_json_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        write_json_escaped(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn write_json_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|&b| b < 0x20 || b == b'"' || b == b'\\')
    {
        let Some((plain, [special, after @ ..])) = rest.split_at_checked(at) else {
            break;
        };
        out.extend_from_slice(plain);
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}
