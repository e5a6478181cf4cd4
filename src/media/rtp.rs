//! The RTP header (RFC 3550 §5.1).

/// The fixed header of a packet that was checked as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Bytes from the start of the packet to the payload.
    pub payload_at: usize,
}

/// The fields of an RTP packet that statistics and guards need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Bytes behind the header; without padding, if that can be read.
    pub payload_bytes: usize,
}

impl Received {
    fn of(header: &RtpHeader, payload_bytes: usize) -> Self {
        Self {
            payload_type: header.payload_type,
            sequence: header.sequence,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
            payload_bytes,
        }
    }
}

/// Reasons why a datagram is no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Padding that is longer than the payload, or 0.
    #[error("padding does not fit the packet")]
    Padding,
    /// Header, CSRC list or extension reach beyond the packet.
    #[error("{0} bytes are too short for the header they announce")]
    Truncated(usize),
    /// Version is not 2.
    #[error("version {0} instead of 2")]
    Version(u8),
}

/// Bytes of the fixed header.
pub const HEADER_LENGTH: usize = 12;

impl RtpHeader {
    /// Checks version, CSRC list, extension and padding against the packet.
    ///
    /// # Errors
    /// [`RtpError`].
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let header = Self::parse_unpadded(packet)?;
        if packet.first().is_some_and(|flags| flags & 0x20 != 0) {
            let payload = packet.get(header.payload_at..).unwrap_or_default();
            let padding = usize::from(payload.last().copied().ok_or(RtpError::Padding)?);
            if padding == 0 || padding > payload.len() {
                return Err(RtpError::Padding);
            }
        }
        Ok(header)
    }

    /// The reception as statistics count it.
    pub fn arrival(&self, packet: &[u8]) -> Received {
        Received::of(self, payload_length(packet, self))
    }

    pub(super) fn parse_unpadded(packet: &[u8]) -> Result<Self, RtpError> {
        let truncated = RtpError::Truncated(packet.len());
        let fixed: &[u8; HEADER_LENGTH] = packet.first_chunk().ok_or(truncated)?;
        let [flags, marker_type, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if flags >> 6 != 2 {
            return Err(RtpError::Version(flags >> 6));
        }
        let mut payload_at = HEADER_LENGTH + 4 * usize::from(flags & 0x0f);
        if flags & 0x10 != 0 {
            let extension = packet.get(payload_at..).and_then(<[u8]>::first_chunk::<4>);
            let [_, _, high, low] = *extension.ok_or(truncated)?;
            payload_at += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        if payload_at > packet.len() {
            return Err(truncated);
        }
        Ok(Self {
            marker: marker_type & 0x80 != 0,
            payload_type: marker_type & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload_at,
        })
    }
}

/// Gives a checked packet another sequence number.
pub fn set_sequence(packet: &mut [u8], sequence: u16) {
    if let Some(field) = packet.get_mut(2..4) {
        field.copy_from_slice(&sequence.to_be_bytes());
    }
}

/// Gives a checked packet another timestamp.
pub fn set_timestamp(packet: &mut [u8], timestamp: u32) {
    if let Some(field) = packet.get_mut(4..8) {
        field.copy_from_slice(&timestamp.to_be_bytes());
    }
}

/// Gives a checked packet another payload type, 0–127, and takes its marker.
pub fn set_payload_type(packet: &mut [u8], payload_type: u8) {
    if let Some(field) = packet.get_mut(1) {
        *field = payload_type & 0x7f;
    }
}

/// Sets the marker of a checked packet.
pub fn set_marker(packet: &mut [u8], marker: bool) {
    if let Some(field) = packet.get_mut(1) {
        *field = *field & 0x7f | u8::from(marker) << 7;
    }
}

/// Says of a packet that it has no padding.
pub fn set_unpadded(packet: &mut [u8]) {
    if let Some(field) = packet.get_mut(0) {
        *field &= !0x20;
    }
}

/// Bytes of payload in a checked packet, without padding.
pub fn payload_length(packet: &[u8], header: &RtpHeader) -> usize {
    let is_padded = packet.first().is_some_and(|flags| flags & 0x20 != 0);
    let padding = packet.last().copied().filter(|_| is_padded);
    let end = packet.len() - usize::from(padding.unwrap_or_default()).min(packet.len());
    end.saturating_sub(header.payload_at)
}

/// The payload of a checked packet, without padding.
pub fn payload<'a>(packet: &'a [u8], header: &RtpHeader) -> &'a [u8] {
    let end = header.payload_at + payload_length(packet, header);
    packet.get(header.payload_at..end).unwrap_or_default()
}

/// The block of header extensions of a checked packet, its own header included; empty without one
/// (RFC 3550 §5.3.1).
pub fn extension<'a>(packet: &'a [u8], header: &RtpHeader) -> &'a [u8] {
    let flags = packet.first().copied().unwrap_or_default();
    let begin = HEADER_LENGTH + 4 * usize::from(flags & 0x0f);
    let block = packet.get(begin..header.payload_at).unwrap_or_default();
    if flags & 0x10 != 0 { block } else { &[] }
}

/// The same as [`payload`], to be changed.
pub fn payload_mut<'a>(packet: &'a mut [u8], header: &RtpHeader) -> Option<&'a mut [u8]> {
    let is_padded = packet.first()? & 0x20 != 0;
    let padding = if is_padded {
        usize::from(*packet.last()?)
    } else {
        0
    };
    let end = packet.len().checked_sub(padding)?;
    packet.get_mut(header.payload_at..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_packet_is_read() {
        let mut packet = vec![0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef];
        packet.extend_from_slice(&[0xd5; 160]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert!(header.marker);
        assert_eq!((header.payload_type, header.sequence), (8, 0x1234));
        assert_eq!((header.timestamp, header.ssrc), (160, 0xdead_beef));
        assert_eq!(header.payload_at, 12);
    }

    #[test]
    fn announced_parts_must_be_there() {
        for length in 0..12 {
            assert_eq!(
                RtpHeader::parse(&vec![0x80; length]),
                Err(RtpError::Truncated(length))
            );
        }
        let packet = |flags: u8, rest: &[u8]| {
            let mut packet = vec![0u8; 12];
            packet[0] = flags;
            packet.extend_from_slice(rest);
            RtpHeader::parse(&packet).map(|header| header.payload_at)
        };
        assert_eq!(packet(0x40, &[]), Err(RtpError::Version(1)));
        assert_eq!(packet(0x82, &[0; 7]), Err(RtpError::Truncated(19)));
        assert_eq!(packet(0x82, &[0; 8]), Ok(20));
        assert_eq!(
            packet(0x90, &[0xbe, 0xde, 0, 1, 0, 0, 0]),
            Err(RtpError::Truncated(19))
        );
        assert_eq!(packet(0x90, &[0xbe, 0xde, 0, 1, 0, 0, 0, 0]), Ok(20));
        assert_eq!(packet(0xa0, &[]), Err(RtpError::Padding));
        assert_eq!(packet(0xa0, &[0, 0]), Err(RtpError::Padding));
        assert_eq!(packet(0xa0, &[0, 3]), Err(RtpError::Padding));
        assert_eq!(packet(0xa0, &[0, 2]), Ok(12));
    }

    #[test]
    fn the_parts_of_a_packet_are_found() {
        // A CSRC, a block of one word, two bytes of padding.
        let mut packet = vec![0xb1, 8, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 0, 0, 0, 9];
        packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0, 1, 2, 3, 0, 2]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(payload(&packet, &header), [1, 2, 3]);
        assert_eq!(
            extension(&packet, &header),
            [0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]
        );
        packet[0] = 0x81;
        let header = RtpHeader::parse(&packet).unwrap();
        assert!(extension(&packet, &header).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_return(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            for flags in [bytes.first().copied().unwrap_or_default(), 0x80, 0x9f, 0xbf] {
                if let Some(first) = bytes.first_mut() {
                    *first = flags;
                }
                if let Ok(header) = RtpHeader::parse(&bytes) {
                    proptest::prop_assert!(header.payload_at <= bytes.len());
                }
            }
        }
    }
}
