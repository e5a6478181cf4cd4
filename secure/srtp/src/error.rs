//! Why a packet is not opened or sealed.

/// The packet is to be dropped, and counted under this reason. The buffer's content is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The authentication tag does not match under any rollover counter that is possible.
    #[error("authentication tag does not match")]
    BadTag,
    /// RTP to be sealed is so far ahead of its source that one packet does not prove that the source is
    /// there.
    #[error("index {index} is far ahead of its source")]
    Early {
        /// Index of the packet.
        index: u64,
    },
    /// The keys have protected as many packets of this source as they may (RFC 3711 §9.2).
    #[error("all packet indices of the source are used up")]
    IndexExhausted,
    /// Sealing would use the keystream of another packet a second time.
    #[error("index {index} was sealed already, with other content")]
    KeystreamReused {
        /// Index of both packets.
        index: u64,
    },
    /// RTP to be sealed is so late that it cannot be known whether its index was used.
    #[error("index {index} left the window of sealed packets")]
    Late {
        /// Index of the packet.
        index: u64,
    },
    /// The source is opened, or sealed, by somebody else for now ([`Open::lend`](crate::Open::lend),
    /// [`Seal::lend`](crate::Seal::lend)).
    #[error("the source was lent out")]
    Lent,
    /// The buffer is too short for what sealing adds.
    #[error("buffer of {len} bytes, but the sealed packet needs {need}")]
    NoRoom {
        /// Bytes of the buffer.
        len: usize,
        /// Bytes of the sealed packet.
        need: usize,
    },
    /// The packet was accepted before, or is older than the window.
    #[error("index {index} was received already or left the replay window")]
    Replayed {
        /// Index of the packet.
        index: u64,
    },
    /// Too many sources have come and gone under these keys.
    #[error("no further source can be remembered under these keys")]
    TooManySources,
    /// The packet ends before its header, or before what SRTP adds.
    #[error("{len} bytes, but header and tag need {need}")]
    TooShort {
        /// Bytes of the packet.
        len: usize,
        /// Bytes that it needs.
        need: usize,
    },
    /// The packet names a master key that is not known.
    #[error("master key identifier is unknown")]
    UnknownMki,
    /// The version in the header is not 2.
    #[error("version {0} instead of 2")]
    Version(u8),
}

impl Refusal {
    /// Whether the packet, as an authentic one, was seen before or is too old.
    pub fn is_replay(self) -> bool {
        matches!(self, Self::Replayed { .. })
    }
}
