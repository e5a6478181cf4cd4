//! RTP header extensions (RFC 8285).

use super::rtp::HEADER_LENGTH;

/// Profile of one-byte headers (RFC 8285 §4.2).
const ONE_BYTE: u16 = 0xbede;
/// Profile of two-byte headers, without the application bits (RFC 8285 §4.3).
const TWO_BYTE: u16 = 0x1000;

/// Whether the extension bit is set.
pub fn is_present(packet: &[u8]) -> bool {
    packet.first().is_some_and(|flags| flags & 0x10 != 0)
}

/// Turns the elements with these identifiers into padding, which every receiver skips
/// (RFC 8285 §4.1.1). The length of the packet stays. Extensions of other profiles stay as well, and
/// a payload that only looks like one.
pub fn hide(packet: &mut [u8], identifiers: &[u8]) {
    let flags = packet.first().copied().filter(|_| is_present(packet));
    let Some(flags) = flags else { return };
    let at = HEADER_LENGTH + 4 * usize::from(flags & 0x0f);
    let Some(header) = packet.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
        return;
    };
    let [p0, p1, high, low] = *header;
    let profile = u16::from_be_bytes([p0, p1]);
    let length = 4 * usize::from(u16::from_be_bytes([high, low]));
    let Some(mut elements) = packet
        .get_mut(at + 4..)
        .and_then(|rest| rest.get_mut(..length))
    else {
        return;
    };
    let is_one_byte = profile == ONE_BYTE;
    if !is_one_byte && profile & 0xfff0 != TWO_BYTE {
        return;
    }
    while let Some(&first) = elements.first() {
        let (identifier, size) = match (is_one_byte, elements.get(1)) {
            // Padding.
            (_, _) if first == 0 => (0, 1),
            (true, _) => (first >> 4, 2 + usize::from(first & 0x0f)),
            (false, Some(&length)) => (first, 2 + usize::from(length)),
            (false, None) => return,
        };
        // Identifier 15 ends the list (RFC 8285 §4.2).
        if is_one_byte && identifier == 15 {
            return;
        }
        let Some((element, rest)) = elements.split_at_mut_checked(size) else {
            return;
        };
        if identifiers.contains(&identifier) {
            element.fill(0);
        }
        elements = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::rtp::RtpHeader;

    fn packet(profile: u16, elements: &[u8]) -> Vec<u8> {
        assert_eq!(elements.len() % 4, 0);
        let mut packet = vec![0x90, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7];
        packet.extend_from_slice(&profile.to_be_bytes());
        packet.extend_from_slice(&u16::try_from(elements.len() / 4).unwrap().to_be_bytes());
        packet.extend_from_slice(elements);
        packet.extend_from_slice(b"voice");
        packet
    }

    #[test]
    fn one_byte_elements_become_padding() {
        let mut hidden = packet(ONE_BYTE, &[0x10, 0xaa, 0x21, 0xbb, 0xcc, 0, 0x30, 0xdd]);
        let header = RtpHeader::parse(&hidden).unwrap();
        hide(&mut hidden, &[2]);
        assert_eq!(
            hidden,
            packet(ONE_BYTE, &[0x10, 0xaa, 0, 0, 0, 0, 0x30, 0xdd])
        );
        assert_eq!(RtpHeader::parse(&hidden).unwrap(), header);
    }

    #[test]
    fn two_byte_elements_become_padding() {
        let mut hidden = packet(0x1000, &[20, 0, 21, 1, 0xaa, 0, 22, 0]);
        hide(&mut hidden, &[21]);
        assert_eq!(hidden, packet(0x1000, &[20, 0, 0, 0, 0, 0, 22, 0]));
    }

    #[test]
    fn a_payload_that_looks_like_an_extension_stays() {
        let mut plain = packet(ONE_BYTE, &[0x10, 0xaa, 0x21, 0xbb]);
        plain[0] = 0x80;
        let mut hidden = plain.clone();
        hide(&mut hidden, &[1, 2]);
        assert_eq!(hidden, plain);
    }

    #[test]
    fn other_profiles_stay() {
        let other = packet(0x1234, &[0x10, 0xaa, 0, 0]);
        let mut hidden = other.clone();
        hide(&mut hidden, &[1]);
        assert_eq!(hidden, other);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_return(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let length = bytes.len();
            hide(&mut bytes, &[1, 2, 3]);
            proptest::prop_assert_eq!(bytes.len(), length);
        }
    }
}
