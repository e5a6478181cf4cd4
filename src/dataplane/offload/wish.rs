//! What a flow would be in the kernel, or why it has to stay with its worker.

use std::net::SocketAddr;
use std::time::Instant;

use crate::dataplane::entry::{Entry, Services};
use crate::flow::path::WhyUp;
use crate::flow::secure::Security;
use crate::flow::{Payload, PayloadTypes};

/// One direction of a stream, as it is forwarded without being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Wish {
    /// Where its packets arrive.
    pub(in crate::dataplane) local: SocketAddr,
    /// The only source.
    pub(in crate::dataplane) source: SocketAddr,
    /// The port that they leave from, and where they go.
    pub(in crate::dataplane) from: SocketAddr,
    pub(in crate::dataplane) to: SocketAddr,
    /// Payload types that are forwarded.
    pub(in crate::dataplane) types: PayloadTypes,
    /// Clock of the timestamps in Hz; 0: unknown.
    pub(in crate::dataplane) clock_rate: u32,
    /// DSCP of what leaves (RFC 2474).
    pub(in crate::dataplane) dscp: u8,
}

/// Types that cannot be told from RTCP (RFC 5761 §4): 64 to 95.
const LIKE_RTCP: PayloadTypes = PayloadTypes(0xffff_ffff << 64);

impl Wish {
    /// What the kernel would do with the packets of `entry`, which leave by `target`, the flow of its
    /// one sink.
    ///
    /// # Errors
    /// Something has to see the packets, or may change what becomes of them.
    pub(in crate::dataplane) fn of<P>(
        entry: &Entry<P>,
        target: Option<&Entry<P>>,
        now: Instant,
    ) -> Result<Self, WhyUp> {
        let Payload::Rtp { types, clock_rate } = entry.payload else {
            return Err(WhyUp::NoRtp);
        };
        if entry.is_for_rtcp() {
            return Err(WhyUp::NoRtp);
        }
        if !matches!(entry.security, Security::Plain) {
            return Err(WhyUp::Secured);
        }
        if entry.agent.is_some() {
            return Err(WhyUp::Agent);
        }
        if entry.discard || !entry.receive {
            return Err(WhyUp::Held);
        }
        let taps = entry.taps.as_deref();
        if taps.is_some_and(|taps| taps.recording.is_some()) {
            return Err(WhyUp::Recorded);
        }
        let services = entry.services.as_deref();
        if services.is_some_and(|services| !services.converters.is_empty()) {
            return Err(WhyUp::Converted);
        }
        why_heard(entry.services.as_deref())?;
        let target = target.ok_or(WhyUp::Rules)?;
        if !matches!(target.security, Security::Plain) {
            return Err(WhyUp::Secured);
        }
        why_sent(target.services.as_deref())?;
        let to = target.destination.ok_or(WhyUp::Held)?;
        let source = entry.latch.steady_source(now).ok_or(WhyUp::Learning)?;
        // The destination is the other party's matter: as long as that moves, so does this.
        if !target.latch.is_settled() {
            return Err(WhyUp::Learning);
        }
        let reach = &entry.latch.peer().reach;
        if target.hop_out.is_some() || reach.is_own(source.ip()) || reach.is_own(to.ip()) {
            return Err(WhyUp::OwnHost);
        }
        let watched = taps.and_then(|taps| taps.events).unwrap_or_default();
        let types = types.without(watched).without(LIKE_RTCP);
        if types == PayloadTypes::default() {
            return Err(WhyUp::NoRtp);
        }
        Ok(Self {
            local: plain(entry.lease.local()),
            source: plain(source),
            from: plain(target.lease.local()),
            to: plain(to),
            types,
            clock_rate,
            // What leaves from a port without a TOS of its own has 0.
            dscp: target.tos().unwrap_or_default() >> 2,
        })
    }

    /// Whether the kernel was to forward a packet of its source.
    pub(in crate::dataplane) fn takes(&self, from: SocketAddr, payload_type: u8) -> bool {
        plain(from) == self.source && self.types.contains(payload_type)
    }
}

/// What is done with packets that arrive, beside forwarding. Digits are watched for by their payload
/// type, which is not taken.
fn why_heard(services: Option<&Services>) -> Result<(), WhyUp> {
    let Some(services) = services else {
        return Ok(());
    };
    if services.recording.is_some() {
        return Err(WhyUp::Recorded);
    }
    if services.guard.is_some() {
        return Err(WhyUp::Guarded);
    }
    if services.state.lines.is_some() {
        return Err(WhyUp::Bundle);
    }
    match services.state.reporter {
        Some(_) => Err(WhyUp::Reports),
        None => Ok(()),
    }
}

/// What is done with packets that leave.
fn why_sent(services: Option<&Services>) -> Result<(), WhyUp> {
    let Some(services) = services else {
        return Ok(());
    };
    if services.recording.is_some() {
        return Err(WhyUp::Recorded);
    }
    if services.state.reporter.is_some() {
        return Err(WhyUp::Reports);
    }
    match services.state.outgoing.is_as_it_came() {
        true => Ok(()),
        false => Err(WhyUp::Renumbered),
    }
}

/// An address without a mapping into IPv6.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
