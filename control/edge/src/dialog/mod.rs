//! Calls in progress (spec §9): their parties, where each really is, and the state of their offers
//! and answers.
//!
//! One [`Dialog`] stands for all dialogs that an INVITE opened. Forks differ by the callee's tag
//! only and share the call's media.

mod answered;
pub(crate) mod media;
pub(crate) mod silence;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::hide::Hidden;
use crate::limit::Slots;
use crate::limits;
use crate::message::{HeaderId, Message};
use crate::proxy::attempts::Tried;
use crate::record::cdr::EndedBy;
use crate::route::Hop;
use crate::side::Side;
use crate::target::{Held, Target};
use crate::transport::Flow;
use answered::Other;
use media::MediaState;
use silence::Silence;

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Early,
    Confirmed,
    /// Lingers for crossing messages; a new INVITE with credentials revives it.
    Ended,
}

/// One end of the call as the edge sees it.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    /// The way of its messages.
    pub(crate) flow: Flow,
    /// Index of its zone.
    pub(crate) zone: usize,
    /// It may name its own address.
    pub(crate) trusted: bool,
    /// Its Contact does not lead to it; requests go back by `flow`.
    pub(crate) nat: bool,
    /// The address of its Contact.
    pub(crate) contact: Option<Hop>,
    /// The address of the proxy next to us on its side, if that record-routed.
    pub(crate) hop: Option<Hop>,
    /// Its Contact, and the Route values toward it beyond us (RFC 3261 §12.1).
    pub(crate) target: Box<[u8]>,
    pub(crate) routes: Vec<Box<[u8]>>,
}

/// A call.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) key: Box<[u8]>,
    pub(crate) caller_tag: Vec<u8>,
    pub(crate) state: State,
    /// Name of the call at the media relay, made by the edge. Knowing the Call-ID, or sending the
    /// call through here again, does not give access to its media.
    pub(crate) media_id: String,
    /// The call was answered; its media stays a while for packets in flight.
    pub(crate) answered: bool,
    /// The source that it counts for as a call in set-up.
    pub(crate) in_setup: Option<IpAddr>,
    /// Its place on the target that it was answered by.
    pub(crate) slot: Option<Held>,
    /// The target of an upstream that it was sent to last.
    pub(crate) target: Option<Arc<Target>>,
    /// Flows that it keeps open.
    pub(crate) held: Vec<Flow>,
    /// Tags of the callees that responded.
    forks: Vec<Fork>,
    /// Those of them that accepted the call and have not left it.
    accepted: Vec<Box<[u8]>>,
    /// Those that accepted it and have left it: their 2xx may come again.
    left: Vec<Box<[u8]>>,
    /// The one that accepted last: `callee` and `ends` are of it. And those before it.
    answerer: Box<[u8]>,
    others: Vec<Other>,
    caller: Party,
    callee: Party,
    /// The INVITE that opened it, and its CSeq.
    pub(crate) invite: u64,
    pub(crate) invite_cseq: u32,
    /// From of the caller and To of the callee that answered, with their tags.
    pub(crate) ends: [Box<[u8]>; 2],
    pub(crate) call_id: Box<[u8]>,
    pub(crate) request_uri: Box<[u8]>,
    /// When it began, and when it was answered.
    pub(crate) began: Instant,
    pub(crate) answered_at: Option<Instant>,
    /// The 2xx was acknowledged.
    pub(crate) acknowledged: bool,
    /// The edge ended it; with what is still to be told to the caller.
    pub(crate) ended: Option<Ended>,
    /// It ends then whatever its parties say.
    pub(crate) end_by: Instant,
    pub(crate) expires: Instant,
    /// Its entry among the terms of calls.
    pub(crate) scheduled: Option<Instant>,
    pub(crate) media: MediaState,
    /// When its parties were last heard, if anybody asks.
    pub(crate) silence: Option<Silence>,
    /// Its sides are hidden from each other.
    pub(crate) hidden: Option<Box<Hidden>>,
    /// Places that it holds in the limits.
    pub(crate) slots: Option<Slots>,
    /// Who it belongs to, and the peer it came from, as far as the screen knows.
    pub(crate) user: Vec<u8>,
    pub(crate) peer: Option<String>,
    /// A provisional response or an answer came to its last INVITE.
    pub(crate) has_rung: bool,
    /// Targets that its last INVITE went to.
    pub(crate) tried: Vec<Tried>,
    /// When its last INVITE came.
    pub(crate) attempted: Instant,
    /// Code and reason of the final response to that; 0: none yet.
    pub(crate) outcome: (u16, Box<[u8]>),
    pub(crate) ended_by: Option<EndedBy>,
}

/// The dialog with one callee (RFC 3261 §12): what the dialogs of a forked call do not share.
#[derive(Clone, Debug)]
struct Fork {
    tag: Box<[u8]>,
    /// The highest CSeq of requests of the caller and of this callee.
    cseq: [u32; 2],
}

/// A call that the edge ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The cause in the Reason row, of Q.850.
    pub(crate) q850: u8,
    /// The Reason row of its BYEs and its CANCEL (RFC 3326).
    pub(crate) reason: Box<[u8]>,
    /// The same for its record.
    pub(crate) cause: (u16, String),
    /// The caller gets no BYE before it acknowledged the 2xx (RFC 3261 §15).
    pub(crate) caller_waits: bool,
}

impl Dialog {
    pub(crate) fn new(
        key: &[u8],
        id: u64,
        invite: &Message,
        transit: u64,
        parties: (Party, Party),
        (began, expires): (Instant, Instant),
    ) -> Self {
        Self {
            media_id: media_id(invite.call_id(), id),
            answered: false,
            in_setup: None,
            slot: None,
            target: None,
            held: Vec::new(),
            forks: Vec::new(),
            accepted: Vec::new(),
            left: Vec::new(),
            answerer: Box::default(),
            others: Vec::new(),
            key: key.into(),
            caller_tag: invite.sender_tag().to_vec(),
            state: State::Early,
            caller: parties.0,
            callee: parties.1,
            invite: transit,
            invite_cseq: invite.parsed.cseq,
            ends: [
                invite.value(HeaderId::From).unwrap_or_default().into(),
                Box::default(),
            ],
            call_id: invite.call_id().into(),
            request_uri: invite.text(invite.request_uri()).into(),
            began,
            answered_at: None,
            acknowledged: false,
            ended: None,
            end_by: expires,
            expires,
            scheduled: None,
            media: MediaState::default(),
            silence: None,
            hidden: None,
            slots: None,
            user: Vec::new(),
            peer: None,
            has_rung: false,
            tried: Vec::new(),
            attempted: began,
            outcome: (0, Box::default()),
            ended_by: None,
        }
    }

    /// The same call tried again, e.g. with credentials: a new one in all but its place in the tables and
    /// its media, whose work in progress stays in order.
    pub(crate) fn restart(
        &mut self,
        id: u64,
        invite: &Message,
        transit: u64,
        parties: (Party, Party),
        times: (Instant, Instant),
    ) {
        let anew = Self::new(&self.key, id, invite, transit, parties, times);
        let before = std::mem::replace(self, anew);
        self.in_setup = before.in_setup;
        self.slot = before.slot;
        self.held = before.held;
        self.scheduled = before.scheduled;
        self.silence = before.silence;
        self.media = before.media;
        self.media.forget_session();
    }

    /// The call takes no longer than this from its last INVITE on.
    pub(crate) fn shorten(&mut self, longest: Duration) {
        self.end_by = self.end_by.min(self.attempted + longest);
        self.expires = self.expires.min(self.end_by);
    }

    pub(crate) fn party(&self, side: Side) -> &Party {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    /// The caller named another URI for requests to it.
    pub(crate) fn move_caller(&mut self, target: &[u8]) {
        self.caller.target = target.into();
    }

    /// The Call-ID as this side knows it.
    pub(crate) fn call_id_of(&self, side: Side) -> &[u8] {
        match (&self.hidden, side) {
            (Some(hidden), Side::Callee) => &hidden.call_id,
            _ => &self.call_id,
        }
    }

    /// The call goes to another target.
    pub(crate) fn redirect(&mut self, flow: Flow, zone: usize, trusted: bool) {
        self.callee.flow = flow;
        self.callee.zone = zone;
        self.callee.trusted = trusted;
    }

    /// The last CSeq that `side` was seen to use in the dialog of the callee with this tag.
    pub(crate) fn last_cseq(&self, side: Side, callee_tag: &[u8]) -> u32 {
        let fork = self.forks.iter().find(|fork| *fork.tag == *callee_tag);
        let [caller, callee] = fork.map_or([self.invite_cseq, 0], |fork| fork.cseq);
        match side {
            Side::Caller => caller,
            Side::Callee => callee,
        }
    }

    /// A callee answered with this tag.
    pub(crate) fn learn_tag(&mut self, tag: &[u8]) {
        if !self.knows_tag(tag) && !tag.is_empty() && self.forks.len() < limits::CALLEE_TAGS {
            self.forks.push(Fork {
                tag: tag.into(),
                cseq: [self.invite_cseq, 0],
            });
        }
    }

    /// Whether a callee answered with this tag.
    pub(crate) fn knows_tag(&self, tag: &[u8]) -> bool {
        self.forks.iter().any(|fork| *fork.tag == *tag)
    }

    /// Whether a request of `side` is not older than its last one in the dialog of the callee with this
    /// tag (RFC 3261 §12.2.2); it is the last one from now on.
    pub(crate) fn takes_cseq(&mut self, side: Side, callee_tag: &[u8], cseq: u32) -> bool {
        let is_new = cseq >= self.last_cseq(side, callee_tag);
        let mut forks = self.forks.iter_mut();
        if let Some(fork) = forks.find(|fork| *fork.tag == *callee_tag) {
            let [caller, callee] = &mut fork.cseq;
            let last = match side {
                Side::Caller => caller,
                Side::Callee => callee,
            };
            *last = cseq.max(*last);
        }
        is_new
    }

    /// Learns from a message of `side` with a Contact where the side is, in the dialog of the callee with
    /// this tag. `hop` is the address in the Record-Route next to ours.
    pub(crate) fn learn(
        &mut self,
        (side, callee_tag): (Side, &[u8]),
        message: &Message,
        flow: Flow,
        hop: Option<Hop>,
        routes: Option<Vec<Box<[u8]>>>,
    ) {
        let Some(party) = self.party_mut(side, callee_tag) else {
            return;
        };
        party.contact = message.contact();
        if let Some(target) = message.contact_uri() {
            party.target = target.into();
        }
        // The route set of a dialog never changes (RFC 3261 §12.2).
        if let Some(routes) = routes {
            party.routes = routes;
        }
        party.hop = hop.or(party.hop);
        if !party.trusted {
            party.flow = flow;
            party.nat = is_behind_nat(message, flow.peer);
        }
    }
}

impl Party {
    /// Whether `target` is an address this party named or sends from. Whoever is not trusted can
    /// have requests sent nowhere else.
    pub(crate) fn is_at(&self, target: Hop) -> bool {
        target.address == self.flow.peer || Some(target) == self.contact || Some(target) == self.hop
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
    let contact = contact.address;
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

/// The printable part of the Call-ID, so that operators can find it, and the number of the call.
fn media_id(call_id: &[u8], id: u64) -> String {
    let mut text = String::new();
    for byte in call_id.iter().take(limits::MEDIA_ID_BYTES) {
        match byte {
            b'!'..=b'~' if *byte != b'%' => text.push(char::from(*byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(text, "%{byte:02x}")),
        }
    }
    let _ = write!(text, ";edge={id:016x}");
    text
}

/// The key of a call: Call-ID and the caller's tag.
pub(crate) fn key(call_id: &[u8], caller_tag: &[u8], key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(call_id);
    key.push(0);
    key.extend_from_slice(caller_tag);
}
