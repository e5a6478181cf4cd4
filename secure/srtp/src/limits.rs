//! Every bound of the crate, with the reason for its number.

/// Sources (SSRCs) of one direction with full state. A party sends one per media and a few more
/// (retransmissions, layers); 32 are some 30 kB a direction. The least recently used makes room.
pub const MAX_SOURCES: usize = 32;

/// Sources that had to make room and of which the highest indices are remembered (24 bytes each).
/// When as many are remembered, no further source is taken in: to forget one would let its packets
/// be replayed, or its keystream be used again. Only who has the keys, or sends plain media, gets
/// there; sources that are known go on.
pub const MAX_REMEMBERED: usize = 4096;

/// Packets that RTP may be late by, relative to the newest of its source. RFC 3711 §3.3.2 asks for
/// 64; a retransmission on request (RFC 4585) comes a round trip later, 300 ms are 600 packets of
/// a large video stream.
pub const RTP_WINDOW: u64 = 64 * RTP_WORDS as u64;
pub(crate) const RTP_WORDS: usize = 16;

/// Packets that RTCP may be late by. RFC 3711 §3.3.2 asks for 64; feedback (RFC 4585) can send a
/// few hundred a second, so this is half a second of reordering.
pub const RTCP_WINDOW: u64 = 64 * RTCP_WORDS as u64;
pub(crate) const RTCP_WORDS: usize = 2;

/// Packets whose tag a sealer keeps, to know a repeated packet from another one with its number.
/// Networks and phones repeat within milliseconds; 512 bytes per source.
pub(crate) const PRINTS: usize = 64;

/// Packets in sequence, all too late for the window, after which they count as a sender that began
/// anew: a second of audio. Fewer could be a burst that the network held back.
pub(crate) const RESTART_RUN: u8 = 50;

/// Packets that a sealed sender may skip at once. Receivers drop what is further back than their
/// window, 64 packets at least (RFC 3711 §3.3.2) and 128 with most libraries: one packet that
/// somebody sends under the sender's address must not make the sender's own ones that old.
pub(crate) const FAR: u64 = 128;

/// Packets that follow each other further ahead, with none of the old place between them, after
/// which the sender has gone there. A break of more than [`FAR`] packets costs the two before.
pub(crate) const FAR_RUN: u8 = 3;

/// Packets that such a run may skip: what else the network loses.
pub(crate) const FAR_STEP: u16 = 16;

/// Highest index of an SRTP packet: 48 bits (RFC 3711 §9.2).
pub(crate) const MAX_RTP_INDEX: u64 = (1 << 48) - 1;

/// Highest index of an SRTCP packet: 31 bits (RFC 3711 §9.2).
pub(crate) const MAX_RTCP_INDEX: u32 = (1 << 31) - 1;

/// Bytes of the longest master key identifier (RFC 4568 §6.1).
pub(crate) const MAX_MKI: u8 = 128;

/// Master keys that one direction knows at a time. A re-key needs two; more only lengthen the
/// search for the identifier.
pub(crate) const MAX_KEYS: usize = 8;

/// Bytes that sealing adds at most: tag, index word and key identifier. Room of as much behind a
/// packet is always enough.
pub const MAX_OVERHEAD: usize = 16 + 4 + MAX_MKI as usize;

/// Packets that a stale state may be skipped by. Sequence numbers are read relative to the highest
/// index (RFC 3711 §3.3.1), with half of 2^16 to each side; half of that stays for losses.
pub(crate) const MAX_SKIP: u16 = 1 << 14;
