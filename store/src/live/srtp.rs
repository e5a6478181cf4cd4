//! With which SRTP numbers to go on (spec/survive.md §2.3, "SRTP safety").
//!
//! Two things must not happen. A packet that was received before must not be taken again (replay),
//! and no index must be sealed twice with different contents: under AES-GCM that gives the key of
//! the tag away (NIST SP 800-38D §8).

use super::Source;
use crate::limits;

/// Where the numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The live area of this machine, as the process left it: exact.
    LiveArea,
    /// A copy on disk, in Redis or of a peer: of some packets before.
    Copy,
}

/// What is received from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    /// The highest index that counts as received. Everything below counts as received, too: late
    /// packets of the gap are lost, and nothing is played twice.
    pub full_up_to: u64,
    /// If the first packet does not authenticate, the roll-over counter may have gone on
    /// meanwhile (RFC 3711 §3.3.1): it is tried once more as this index's successor
    /// ([`next_roc`]).
    pub try_next_roc: bool,
}

/// What is sealed from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Indexes from this one on.
    From(u64),
    /// The index follows that of the packet that is received: the packet that is forwarded is a
    /// new one of its sender, so its index is new, too.
    FollowsReceived,
}

/// The numbers of an SSRC to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// SRTP received; `None`: nothing was.
    pub receive: Option<Receive>,
    /// SRTP sealed, as its sender numbers it.
    pub seal: Seal,
    /// SRTCP received: the highest index; everything up to it counts as received.
    pub rtcp_receive: Option<u32>,
    /// The next SRTCP index of ours (31 bits). `None`: all are used up, the keys have to change.
    pub rtcp_seal: Option<u32>,
    /// The next sequence number of a stream that we number, and the index with it.
    pub own_sequence: u16,
    /// The next index of a stream that we number.
    pub own_index: u64,
}

/// The highest SRTCP index (RFC 3711 §3.4: 31 bits).
const RTCP_INDEX: u32 = 0x7fff_ffff;

/// With which numbers to go on.
#[must_use]
pub fn resume(source: &Source, origin: Origin) -> Resumed {
    let (rtcp_skip, skip) = match origin {
        Origin::LiveArea => (0, 0),
        Origin::Copy => (limits::RTCP_SKIP, limits::SEQUENCE_SKIP),
    };
    let receive = source.index_in.checked_sub(1).map(|full_up_to| Receive {
        full_up_to,
        try_next_roc: origin == Origin::Copy,
    });
    let rtcp = source.rtcp_out.saturating_add(rtcp_skip);
    Resumed {
        receive,
        seal: match origin {
            Origin::LiveArea => Seal::From(source.index_out),
            Origin::Copy => Seal::FollowsReceived,
        },
        rtcp_receive: source.rtcp_in.checked_sub(1),
        rtcp_seal: (rtcp <= RTCP_INDEX).then_some(rtcp),
        own_sequence: source.sequence.wrapping_add(1).wrapping_add(skip),
        own_index: source.index_out.saturating_add(skip.into()),
    }
}

/// The index that a sequence number stands for, `ahead` roll-overs further than RFC 3711 §3.3.1
/// takes it from the highest index.
#[must_use]
pub fn next_roc(highest: u64, sequence: u16) -> u64 {
    let guess = nearest(highest, sequence);
    guess.saturating_add(1 << 16)
}

/// The index that a sequence number stands for, given the highest so far (RFC 3711 §3.3.1).
#[must_use]
pub fn nearest(highest: u64, sequence: u16) -> u64 {
    let sequence = u64::from(sequence);
    let (roc, last) = (highest >> 16, highest & 0xffff);
    let roc = if last < 0x8000 && sequence > last + 0x8000 {
        roc.saturating_sub(1)
    } else if last >= 0x8000 && sequence + 0x8000 < last {
        roc + 1
    } else {
        roc
    };
    roc << 16 | sequence
}

/// Whether the numbers of a source have to be copied again: every 2^13 packets, and when the
/// roll-over counter goes on.
#[must_use]
pub fn is_due(copied: u64, index: u64) -> bool {
    index.saturating_sub(copied) >= limits::COPY_EVERY || index >> 16 != copied >> 16
}
