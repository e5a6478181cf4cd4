//! A datagram, understood.

use crate::flow::Payload;
use crate::media::demux::{Protocol, protocol};
use crate::media::latch::Kind;
use crate::media::rtcp;
use crate::media::rtp::RtpHeader;

/// A datagram, understood.
pub(super) enum Reading {
    Rtp { header: RtpHeader, negotiated: bool },
    Rtcp,
    Opaque,
}

impl Reading {
    /// What it is to a latch. `of_rtcp`: it came to a port that is for RTCP alone.
    pub(super) fn kind(&self, datagram: &[u8], of_rtcp: bool) -> Kind {
        match self {
            Self::Rtp { header, negotiated } => Kind::Rtp {
                ssrc: header.ssrc,
                sequence: header.sequence,
                negotiated: *negotiated,
            },
            Self::Rtcp => Kind::Rtcp {
                stray: !of_rtcp && datagram.get(1) != Some(&rtcp::APP),
            },
            Self::Opaque => Kind::Opaque,
        }
    }
}

/// Reads a datagram as its flow's media is to be read; `None`: it is nothing of the kind.
pub(super) fn read(payload: &Payload, datagram: &[u8]) -> Option<Reading> {
    let Payload::Rtp { types, .. } = payload else {
        return (!datagram.is_empty()).then_some(Reading::Opaque);
    };
    match protocol(datagram) {
        Protocol::Rtcp => rtcp::is_compound(datagram).then_some(Reading::Rtcp),
        Protocol::Rtp => {
            let header = RtpHeader::parse(datagram).ok()?;
            let negotiated = types.contains(header.payload_type);
            Some(Reading::Rtp { header, negotiated })
        }
        Protocol::Stun | Protocol::Dtls | Protocol::Unknown => None,
    }
}
