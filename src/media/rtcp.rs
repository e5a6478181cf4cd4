//! RTCP packets, as far as forwarding needs them (RFC 3550 §6.4, §A.2).

/// Packet type of an application's own packet.
pub const APP: u8 = 204;

/// Whether a datagram is a well-formed RTCP compound: every header of version 2 and of an RTCP
/// type, every length inside the datagram, the lengths adding up. Reduced-size packets (RFC 5506)
/// pass. The sums of encrypted ones (SRTCP) do not come out even, so their rest is not looked at
/// once the first packet is sound.
pub fn is_compound(datagram: &[u8]) -> bool {
    let Some(length) = packet_length(datagram) else {
        return false;
    };
    let mut rest = datagram.get(length..).unwrap_or_default();
    while !rest.is_empty() {
        match packet_length(rest) {
            Some(length) => rest = rest.get(length..).unwrap_or_default(),
            // The tail of an SRTCP packet: encrypted packets, index and tag.
            None => return true,
        }
    }
    true
}

/// Whether a packet type is one of RTCP (RFC 5761 §4, RFC 3550 §12.1).
pub fn is_rtcp(packet_type: u8) -> bool {
    (194..=223).contains(&packet_type)
}

/// Length of the first packet of a compound, header included; `None` if it does not fit or is
/// too short to name its sender.
fn packet_length(compound: &[u8]) -> Option<usize> {
    let [flags, packet_type, high, low] = *compound.first_chunk::<4>()?;
    if flags >> 6 != 2 || !is_rtcp(packet_type) {
        return None;
    }
    let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    (length >= 8 && length <= compound.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_overlong_packets_are_refused() {
        let report = [0x80, 201, 0, 1, 1, 2, 3, 4];
        assert!(is_compound(&report));
        for length in 0..report.len() {
            assert!(!is_compound(&report[..length]), "{length} bytes");
        }
        assert!(!is_compound(&[0x80, 201, 0, 2, 1, 2, 3, 4]));
        assert!(!is_compound(&[0x40, 201, 0, 1, 1, 2, 3, 4]));
        assert!(!is_compound(&[0x80, 100, 0, 1, 1, 2, 3, 4]));
        let compound = [report, [0x81, 202, 0, 1, 9, 9, 9, 9]].concat();
        assert!(is_compound(&compound));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_return(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = is_compound(&bytes);
            let _ = is_compound(&[&[0x80, 200, 0, 1, 0, 0, 0, 0], bytes.as_slice()].concat());
        }
    }
}
