//! What SRTP needs to know of the headers of RTP (RFC 3550 §5.1) and RTCP (§6.4.1).

use crate::error::Refusal;

/// The fields of an RTP header that choose keystream and state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RtpHeader {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    /// Bytes up to the payload: fixed header, CSRC list, extension. They stay in the clear.
    pub(crate) payload_at: usize,
}

/// Bytes of the fixed RTP header.
pub(crate) const RTP_FIXED: usize = 12;
/// Bytes of the first RTCP packet that stay in the clear: its head and the sender's SSRC.
pub(crate) const RTCP_FIXED: usize = 8;

impl RtpHeader {
    /// Checks that the header, as long as it says it is, lies within the packet.
    pub(crate) fn parse(packet: &[u8]) -> Result<Self, Refusal> {
        let len = packet.len();
        let fixed: &[u8; RTP_FIXED] = packet.first_chunk().ok_or(Refusal::TooShort {
            len,
            need: RTP_FIXED,
        })?;
        let [flags, _, s0, s1, _, _, _, _, c0, c1, c2, c3] = *fixed;
        if flags >> 6 != 2 {
            return Err(Refusal::Version(flags >> 6));
        }
        let mut payload_at = RTP_FIXED + 4 * usize::from(flags & 0x0f);
        if flags & 0x10 != 0 {
            let need = payload_at + 4;
            let head = packet.get(payload_at..need);
            let Some(&[_, _, high, low]) = head else {
                return Err(Refusal::TooShort { len, need });
            };
            payload_at = need + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        if payload_at > len {
            let need = payload_at;
            return Err(Refusal::TooShort { len, need });
        }
        Ok(Self {
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            sequence: u16::from_be_bytes([s0, s1]),
            payload_at,
        })
    }
}

/// SSRC of the sender of an RTCP packet.
pub(crate) fn rtcp_ssrc(packet: &[u8]) -> Result<u32, Refusal> {
    let fixed: &[u8; RTCP_FIXED] = packet.first_chunk().ok_or(Refusal::TooShort {
        len: packet.len(),
        need: RTCP_FIXED,
    })?;
    let [flags, _, _, _, c0, c1, c2, c3] = *fixed;
    if flags >> 6 != 2 {
        return Err(Refusal::Version(flags >> 6));
    }
    Ok(u32::from_be_bytes([c0, c1, c2, c3]))
}

/// Splits at `at`, or says what is missing.
pub(crate) fn split(packet: &mut [u8], at: usize) -> Result<(&mut [u8], &mut [u8]), Refusal> {
    let len = packet.len();
    packet
        .split_at_mut_checked(at)
        .ok_or(Refusal::TooShort { len, need: at })
}

/// What is left of `len` bytes without `tail`, if that is `least` bytes or more.
pub(crate) fn without(len: usize, tail: usize, least: usize) -> Result<usize, Refusal> {
    let need = least + tail;
    match len.checked_sub(tail) {
        Some(rest) if rest >= least => Ok(rest),
        _ => Err(Refusal::TooShort { len, need }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csrc_list_and_extension_belong_to_the_header() {
        let mut packet = vec![0x92, 0x88, 0x12, 0x34, 0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe];
        packet.extend([1; 8]);
        packet.extend([0xbe, 0xde, 0, 2]);
        packet.extend([2; 8]);
        let header = RtpHeader {
            ssrc: 0xcafe_babe,
            sequence: 0x1234,
            payload_at: 32,
        };
        assert_eq!(RtpHeader::parse(&packet), Ok(header));
        for len in 0..packet.len() {
            let refused = RtpHeader::parse(&packet[..len]);
            assert!(matches!(refused, Err(Refusal::TooShort { .. })), "{len}");
        }
    }

    #[test]
    fn other_versions_are_refused() {
        assert_eq!(RtpHeader::parse(&[0x40; 12]), Err(Refusal::Version(1)));
        assert_eq!(rtcp_ssrc(&[0xc0; 8]), Err(Refusal::Version(3)));
    }
}
