//! A datagram, understood.

use crate::flow::Payload;
use crate::media::demux::{Protocol, protocol};
use crate::media::latch::Kind;
use crate::media::rtcp;
use crate::media::rtp::{Received, RtpHeader};

/// A datagram, understood.
pub(super) enum Reading {
    Rtp { header: RtpHeader, negotiated: bool },
    Rtcp,
    Opaque,
}

impl Reading {
    /// Kind of a datagram for the latch. `of_rtcp`: the port is for RTCP only.
    pub(super) fn kind(&self, datagram: &[u8], of_rtcp: bool) -> Kind {
        if self.is_rtcp() {
            let stray = !of_rtcp && datagram.get(1) != Some(&rtcp::APP);
            return Kind::Rtcp { stray };
        }
        match self.received(datagram) {
            Some((received, negotiated)) => Kind::Rtp {
                ssrc: received.ssrc,
                sequence: received.sequence,
                negotiated,
            },
            None => Kind::Opaque,
        }
    }

    pub(super) fn is_rtcp(&self) -> bool {
        matches!(self, Self::Rtcp)
    }

    /// Counted fields of RTP, and whether the payload type is negotiated.
    pub(super) fn received(&self, datagram: &[u8]) -> Option<(Received, bool)> {
        match self {
            Self::Rtp { header, negotiated } => Some((header.arrival(datagram), *negotiated)),
            Self::Rtcp | Self::Opaque => None,
        }
    }
}

/// Reads a datagram as its flow's media is to be read; `None`: it is nothing of the kind.
pub(super) fn read(payload: &Payload, datagram: &[u8]) -> Option<Reading> {
    let types = match payload {
        Payload::Rtp { types, .. } => types,
        Payload::Opaque => return (!datagram.is_empty()).then_some(Reading::Opaque),
    };
    match protocol(datagram) {
        Protocol::Rtcp if !rtcp::is_compound(datagram) => None,
        Protocol::Rtcp => Some(Reading::Rtcp),
        Protocol::Rtp => {
            let header = RtpHeader::parse(datagram).ok()?;
            let negotiated = types.contains(header.payload_type);
            Some(Reading::Rtp { header, negotiated })
        }
        Protocol::Stun | Protocol::Dtls | Protocol::Unknown => None,
    }
}
