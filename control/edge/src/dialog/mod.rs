//! Calls in progress (spec §9): who talks with whom, where each side really is, and the state of
//! their offers and answers.
//!
//! One [`Dialog`] stands for all dialogs an INVITE opened; forks differ by the callee's tag only and
//! share the call's media.

pub(crate) mod media;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::message::Message;
use media::MediaState;

/// Which end of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Callee,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Early,
    Confirmed,
    /// Lingers for crossing messages; a new INVITE with credentials revives it.
    Ended,
}

/// One end of the call as seen from here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    /// Where its messages come from.
    pub(crate) source: SocketAddr,
    /// The socket that faces it.
    pub(crate) listener: usize,
    /// It is the upstream, trusted to name its own address.
    pub(crate) upstream: bool,
    /// Its Contact does not lead to it; requests go to `source`.
    pub(crate) nat: bool,
    /// The address of its Contact.
    pub(crate) contact: Option<SocketAddr>,
    /// The address of the proxy next to us on its side, if that record-routed.
    pub(crate) hop: Option<SocketAddr>,
}

/// A call.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) key: Box<[u8]>,
    pub(crate) call_id: Vec<u8>,
    pub(crate) caller_tag: Vec<u8>,
    pub(crate) state: State,
    caller: Party,
    callee: Party,
    /// The INVITE that opened it, and its CSeq.
    pub(crate) invite: u64,
    pub(crate) invite_cseq: u32,
    pub(crate) expires: Instant,
    pub(crate) media: MediaState,
}

impl Dialog {
    pub(crate) fn new(
        key: &[u8],
        invite: &Message,
        transit: u64,
        parties: (Party, Party),
        expires: Instant,
    ) -> Self {
        Self {
            key: key.into(),
            call_id: invite.call_id().to_vec(),
            caller_tag: invite.sender_tag().to_vec(),
            state: State::Early,
            caller: parties.0,
            callee: parties.1,
            invite: transit,
            invite_cseq: invite.parsed.cseq,
            expires,
            media: MediaState::default(),
        }
    }

    /// The same call tried again, e.g. with credentials. Media work in progress stays in order.
    pub(crate) fn restart(
        &mut self,
        invite: &Message,
        transit: u64,
        parties: (Party, Party),
        expires: Instant,
    ) {
        self.state = State::Early;
        (self.caller, self.callee) = parties;
        self.invite = transit;
        self.invite_cseq = invite.parsed.cseq;
        self.expires = expires;
        self.media.forget_session();
    }

    pub(crate) fn party(&self, side: Side) -> &Party {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    /// Learns from a message of `side` with a Contact where the side is. `hop` is the address in the
    /// Record-Route next to ours.
    pub(crate) fn learn(
        &mut self,
        side: Side,
        message: &Message,
        source: SocketAddr,
        hop: Option<SocketAddr>,
    ) {
        let party = match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        };
        party.contact = message.contact();
        party.hop = hop.or(party.hop);
        if !party.upstream {
            party.source = source;
            party.nat = is_behind_nat(message, source);
        }
    }
}

impl Party {
    /// Whether `target` is an address this party named or sends from. Whoever is not trusted can
    /// have requests sent nowhere else.
    pub(crate) fn is_at(&self, target: SocketAddr) -> bool {
        target == self.source || Some(target) == self.contact || Some(target) == self.hop
    }
}

/// Whether requests to the sender of `message` must go where it came from, because its Contact is
/// unreachable or another address than the source.
pub(crate) fn is_behind_nat(message: &Message, source: SocketAddr) -> bool {
    let Some(contact) = message.contact() else {
        return true;
    };
    // Requests that passed a proxy come from the proxy; their Contact is right unless private.
    let direct = !message.parsed.is_request() || message.parsed.vias <= 1;
    contact != source && (direct || is_private(contact.ip()))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let carrier_grade = a == 100 && (64..128).contains(&b);
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || carrier_grade
                || ip.is_unspecified()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
    }
}

/// The key of a call: Call-ID and the caller's tag.
pub(crate) fn key(call_id: &[u8], caller_tag: &[u8], key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(call_id);
    key.push(0);
    key.extend_from_slice(caller_tag);
}
