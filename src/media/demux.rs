//! Kind of a datagram on a media port, by its first bytes (RFC 7983, RFC 5761 §4).

/// The protocol of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// First byte 0–3.
    Stun,
    /// First byte 20–63.
    Dtls,
    /// First byte 128–191, second not 194–223.
    Rtp,
    /// First byte 128–191, second 194–223.
    Rtcp,
    /// Nothing known.
    Unknown,
}

/// Tells the protocols on a media port apart. The packet itself is not checked.
pub fn protocol(datagram: &[u8]) -> Protocol {
    match datagram {
        [0..=3, ..] => Protocol::Stun,
        [20..=63, ..] => Protocol::Dtls,
        [128..=191, 194..=223, ..] => Protocol::Rtcp,
        [128..=191, _, ..] => Protocol::Rtp,
        _ => Protocol::Unknown,
    }
}
