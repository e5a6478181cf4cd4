//! RTP header extensions (RFC 8285).

use super::rtp::{HEADER_LENGTH, RtpHeader};

/// Profile of one-byte headers (RFC 8285 §4.2).
const ONE_BYTE: u16 = 0xbede;
/// Profile of two-byte headers, without the application bits (RFC 8285 §4.3).
const TWO_BYTE: u16 = 0x1000;

/// The extension bit of a packet.
const PRESENT: u8 = 0x10;

/// How the elements of a block are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Identifiers 1 to 14, contents of 1 to 16 bytes.
    OneByte,
    /// Identifiers 1 to 255, contents of up to 255 bytes.
    TwoByte,
}

/// Whether the extension bit is set.
pub fn is_present(packet: &[u8]) -> bool {
    packet.first().is_some_and(|flags| flags & PRESENT != 0)
}

/// The elements of a block, by identifier and content, in order. Those of other profiles cannot be
/// read: there are none.
#[derive(Clone, Copy, Debug)]
pub struct Elements<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements of a checked packet.
    pub fn of(packet: &'a [u8], header: &RtpHeader) -> Self {
        let none = Self {
            form: Form::OneByte,
            rest: &[],
        };
        let block = packet.get(fixed_length(packet)..header.payload_at);
        let block = block.filter(|_| is_present(packet));
        let Some((&[high, low, ..], rest)) = block.and_then(<[u8]>::split_first_chunk::<4>) else {
            return none;
        };
        match u16::from_be_bytes([high, low]) {
            ONE_BYTE => Self {
                form: Form::OneByte,
                rest,
            },
            profile if profile & 0xfff0 == TWO_BYTE => Self {
                form: Form::TwoByte,
                rest,
            },
            _ => none,
        }
    }
}

/// The content of the element with an identifier.
pub fn element(packet: &[u8], identifier: u8) -> Option<&[u8]> {
    let header = RtpHeader::parse_unpadded(packet).ok()?;
    let mut elements = Elements::of(packet, &header);
    elements.find_map(|(id, content)| (id == identifier).then_some(content))
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            if first == 0 {
                // Padding.
                self.rest = rest;
                continue;
            }
            let (identifier, length, rest) = match self.form {
                // Both end the list (RFC 8285 §4.2): 15, and padding that says a length.
                Form::OneByte if matches!(first >> 4, 0 | 15) => return None,
                Form::OneByte => (first >> 4, usize::from(first & 0x0f) + 1, rest),
                Form::TwoByte => {
                    let (&length, rest) = rest.split_first()?;
                    (first, usize::from(length), rest)
                }
            };
            let (content, rest) = rest.split_at_checked(length)?;
            self.rest = rest;
            return Some((identifier, content));
        }
    }
}

/// Writes a checked packet with a block that has these elements and no others, in one form. Without
/// elements there is no block. `false`: an element did not fit the form, and was left out.
pub fn write<'a>(
    packet: &[u8],
    header: &RtpHeader,
    elements: impl Iterator<Item = (u8, &'a [u8])>,
    form: Form,
    out: &mut Vec<u8>,
) -> bool {
    let fixed = fixed_length(packet).min(header.payload_at);
    out.clear();
    out.extend_from_slice(packet.get(..fixed).unwrap_or_default());
    let profile = match form {
        Form::OneByte => ONE_BYTE,
        Form::TwoByte => TWO_BYTE,
    };
    out.extend_from_slice(&profile.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    let start = out.len();
    let mut fits = true;
    for (identifier, content) in elements {
        match (form, u8::try_from(content.len())) {
            (Form::OneByte, Ok(length @ 1..=16)) if (1..15).contains(&identifier) => {
                out.push(identifier << 4 | (length - 1));
            }
            (Form::TwoByte, Ok(length)) if identifier > 0 => {
                out.extend_from_slice(&[identifier, length]);
            }
            _ => {
                fits = false;
                continue;
            }
        }
        out.extend_from_slice(content);
    }
    let is_empty = out.len() == start;
    if is_empty {
        out.truncate(fixed);
    } else {
        out.resize(out.len().next_multiple_of(4), 0);
        // A block is at most a datagram long.
        let words = u16::try_from((out.len() - start) / 4).unwrap_or(u16::MAX);
        if let Some(field) = out.get_mut(start - 2..start) {
            field.copy_from_slice(&words.to_be_bytes());
        }
    }
    if let Some(flags) = out.first_mut() {
        *flags = match is_empty {
            true => *flags & !PRESENT,
            false => *flags | PRESENT,
        };
    }
    out.extend_from_slice(packet.get(header.payload_at..).unwrap_or_default());
    fits
}

/// Bytes of the fixed header and the list of contributing sources.
fn fixed_length(packet: &[u8]) -> usize {
    let sources = packet.first().map_or(0, |flags| flags & 0x0f);
    HEADER_LENGTH + 4 * usize::from(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with a block of these elements.
    fn packet(profile: u16, elements: &[u8]) -> Vec<u8> {
        assert_eq!(elements.len() % 4, 0);
        let mut packet = vec![0x90, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7];
        packet.extend_from_slice(&profile.to_be_bytes());
        packet.extend_from_slice(&u16::try_from(elements.len() / 4).unwrap().to_be_bytes());
        packet.extend_from_slice(elements);
        packet.extend_from_slice(b"voice");
        packet
    }

    fn read(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let header = RtpHeader::parse(packet).unwrap();
        let elements = Elements::of(packet, &header);
        elements
            .map(|(id, content)| (id, content.to_vec()))
            .collect()
    }

    fn written(packet: &[u8], elements: &[(u8, &[u8])], form: Form) -> (bool, Vec<u8>) {
        let header = RtpHeader::parse(packet).unwrap();
        let mut out = Vec::new();
        let fits = write(packet, &header, elements.iter().copied(), form, &mut out);
        (fits, out)
    }

    #[test]
    fn both_forms_are_read() {
        let one = packet(ONE_BYTE, &[0x10, 0xaa, 0, 0x21, 0xbb, 0xcc, 0x00, 0xf0]);
        assert_eq!(read(&one), [(1, vec![0xaa]), (2, vec![0xbb, 0xcc])]);
        // Any application bits.
        for profile in 0x1000..=0x100f {
            let two = packet(profile, &[20, 0, 0, 21, 1, 0xaa, 0, 0]);
            assert_eq!(read(&two), [(20, vec![]), (21, vec![0xaa])]);
        }
        assert_eq!(read(&packet(0x1234, &[0x10, 0xaa, 0, 0])), []);
        // What ends too early ends the list.
        assert_eq!(
            read(&packet(ONE_BYTE, &[0x10, 0xaa, 0x2f, 0])),
            [(1, vec![0xaa])]
        );
        assert_eq!(read(&packet(0x1000, &[1, 9, 1, 1])), []);
        let mut plain = packet(ONE_BYTE, &[0x10, 0xaa, 0, 0]);
        plain[0] = 0x80;
        assert_eq!(read(&plain), []);
    }

    #[test]
    fn a_block_is_made_anew() {
        let before = packet(ONE_BYTE, &[0x10, 0xaa, 0x21, 0xbb, 0xcc, 0, 0, 0]);
        let (fits, out) = written(&before, &[(2, &[0xbb, 0xcc])], Form::OneByte);
        assert_eq!(
            (fits, &out),
            (true, &packet(ONE_BYTE, &[0x21, 0xbb, 0xcc, 0]))
        );
        let (fits, out) = written(&before, &[(2, &[]), (200, &[9])], Form::TwoByte);
        assert_eq!(
            (fits, &out),
            (true, &packet(0x1000, &[2, 0, 200, 1, 9, 0, 0, 0]))
        );
        // Nothing is left: no block.
        let (fits, out) = written(&before, &[], Form::OneByte);
        let mut plain = vec![0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7];
        plain.extend_from_slice(b"voice");
        assert_eq!((fits, &out), (true, &plain));
        // And where there was none.
        let (_, out) = written(&plain, &[(4, b"m2")], Form::OneByte);
        assert_eq!(out, packet(ONE_BYTE, &[0x41, 0x6d, 0x32, 0]));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let before = packet(ONE_BYTE, &[0x10, 0xaa, 0, 0]);
        let long = [7; 17];
        for odd in [(3, &long[..]), (3, &[]), (15, &[1]), (20, &[1])] {
            let (fits, out) = written(&before, &[odd, (1, &[0xaa])], Form::OneByte);
            assert_eq!((fits, &out), (false, &before), "{odd:?}");
        }
        let (fits, _) = written(&before, &[(3, &[7; 256])], Form::TwoByte);
        assert!(!fits);
    }

    #[test]
    fn contributing_sources_stay() {
        let mut mixed = vec![0x81, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 2, 3, 4];
        mixed.extend_from_slice(b"voice");
        let (_, out) = written(&mixed, &[(4, &[9])], Form::OneByte);
        assert_eq!(out[..12], [0x91, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7]);
        assert_eq!(
            out[12..],
            *b"\x01\x02\x03\x04\xbe\xde\0\x01\x40\x09\0\0voice"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_return(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            for flags in [bytes.first().copied().unwrap_or_default(), 0x90, 0x9f] {
                if let Some(first) = bytes.first_mut() {
                    *first = flags;
                }
                let Ok(header) = RtpHeader::parse(&bytes) else {
                    continue;
                };
                let elements = Elements::of(&bytes, &header);
                for form in [Form::OneByte, Form::TwoByte] {
                    let mut out = Vec::new();
                    write(&bytes, &header, elements, form, &mut out);
                    let again = RtpHeader::parse(&out).unwrap();
                    proptest::prop_assert_eq!(&bytes[header.payload_at..], &out[again.payload_at..]);
                }
            }
        }
    }
}
