//! Requests: matching, the checks of RFC 3261 §16.3 in their order, CANCEL and ACK.

use std::net::SocketAddr;
use std::time::Instant;

use super::forward::Outgoing;
use super::route::{BAD_TOKEN, Refusal, RouteSet, request_uri};
use super::transit::Transit;
use super::{Proxy, enter_setup};
use crate::cookie::Branch as BranchId;
use crate::dialog::media::Job;
use crate::dialog::{self, Dialog, Party};
use crate::limits;
use crate::message::build;
use crate::message::{Message, Method, Span};
use crate::route::Route;
use crate::side::Side;
use crate::stats::{DropReason, Stats};
use crate::target::Pick;
use crate::transaction::{Kind, Packet, Server, ServerAction};
use crate::transport::Flow;

impl Proxy {
    pub(super) fn on_request(&mut self, now: Instant, source: Flow, message: &mut Message) {
        let method = message.method();
        let matched_as = match method {
            Method::Ack | Method::Cancel => Method::Invite,
            other => other,
        };
        let mut key = std::mem::take(&mut self.scratch.key);
        build::server_key(message, matched_as, &mut key);
        let found = self.by_server_key.get(&key[..]).copied();
        let opens = found.is_none() && !matches!(method, Method::Ack | Method::Cancel);
        let fresh_key: Option<Box<[u8]>> = opens.then(|| key[..].into());
        self.scratch.key = key;
        if let Some(id) = found
            && self.on_refused_repeat(now, id, source, message)
        {
            return;
        }
        match (method, found, fresh_key) {
            (Method::Ack, Some(id), _) => {
                let timers = self.config.timers;
                let transit = self.transits.get_mut(&id);
                if transit.is_some_and(|t| t.server.on_ack(&timers, now)) {
                    self.schedule(id);
                } else {
                    self.on_ack(now, source, message);
                }
            }
            (Method::Ack, None, _) => self.on_ack(now, source, message),
            (Method::Cancel, Some(id), _) => self.on_cancel(now, id, source, message),
            (Method::Cancel, None, _) => {
                if self.admit(now, source, message, false).is_some() {
                    let refusal = (481, "Call/Transaction Does Not Exist");
                    self.reply_stateless(source, message, refusal, b"");
                }
            }
            (_, Some(id), _) => self.on_repeat(id),
            (_, None, Some(key)) => self.on_new_request(now, source, message, key),
            (_, None, None) => {}
        }
    }

    fn on_repeat(&mut self, id: u64) {
        let Some(transit) = self.transits.get(&id) else {
            return;
        };
        if let ServerAction::Resend(packet) = transit.server.on_repeat() {
            let to = transit.reply_to;
            Stats::add(&self.stats.retransmissions);
            self.reply(id, to, packet);
        }
    }

    fn on_new_request(
        &mut self,
        now: Instant,
        source: Flow,
        message: &mut Message,
        key: Box<[u8]>,
    ) {
        self.repair_strict_route(message);
        if let Some(retry_after) = self.shed(message) {
            let refusal = (503, "Service Unavailable");
            self.reply_stateless(source, message, refusal, retry_after.as_bytes());
            return;
        }
        let set = self.route_set(message);
        let found = self.find_dialog(message, &set, source);
        let Some(admitted) = self.admit(now, source, message, found.is_some()) else {
            return;
        };
        let is_ping = self.is_ping(message, source);
        // Whoever gets no answer of the screen gets none here.
        if let Err((refusal, extra)) = self.check(message, is_ping) {
            self.reply_stateless(source, message, refusal, &extra);
            return;
        }
        if is_ping {
            self.say_alive(source, message);
            return;
        }
        let opens_call = message.method() == Method::Invite && message.to_tag().is_none();
        if opens_call && message.parsed.cseq > limits::FIRST_CSEQ {
            self.reply_stateless(source, message, (400, "CSeq Too High"), b"");
            return;
        }
        let zone = self.zone_of(source);
        let is_stranger = !self.is_known(zone);
        let is_datagram = !self.protocol_of(source.listener).is_stream();
        if is_stranger && is_datagram && message.bytes.len() > limits::STRANGER_UDP_BYTES {
            let refusal = (513, "Message Too Large");
            self.reply_stateless(source, message, refusal, b"");
            return;
        }
        let tables = self.config.tables_of_a_shard();
        // Calls that are up, and whoever is known, find room when strangers have taken what they may.
        let share = |all: usize| match is_stranger && found.is_none() {
            true => all / 4 * 3,
            false => all,
        };
        // The request, and the branch by which it leaves.
        let weight = 2 * message.bytes.len() + limits::TRANSACTION_BYTES;
        let has_memory = self.memory.has_room(
            source.owner(),
            weight,
            (share(tables.bytes), tables.bytes_per_source),
            is_stranger,
        );
        let setups = self.in_setup.get(&source.owner()).copied().unwrap_or(0);
        let too_many = opens_call && is_stranger && setups >= tables.setups_per_source;
        let full = !has_memory
            || too_many
            || self.transits.len() >= share(tables.transactions)
            || (opens_call && (self.draining || self.dialogs.len() >= tables.dialogs));
        if full {
            self.reply_stateless(source, message, UNAVAILABLE, RETRY);
            return;
        }
        let (route, belongs, pick) =
            match self.route(now, message, source, (&set, found), admitted.peer()) {
                Ok(found) => found,
                Err(BAD_TOKEN) => {
                    self.refuse_token(source, message);
                    return;
                }
                Err(refusal) => {
                    self.reply_stateless(source, message, refusal, b"");
                    return;
                }
            };
        let registering = match message.method() {
            Method::Register => self.registering(message, source, route.listener()),
            _ => Ok(None),
        };
        let registering = match registering {
            Ok(registering) => registering.map(Box::new),
            Err(refusal) => {
                self.reply_stateless(source, message, refusal, b"");
                return;
            }
        };
        let id = self.unique();
        let mut dialog = belongs.map(|(dialog, _)| dialog);
        if let Some((id, _)) = belongs
            && self.dialogs.get(&id).is_some_and(|d| d.ended.is_some())
        {
            // It crossed our BYE.
            let answer = match message.method() {
                Method::Bye => (200, "OK"),
                _ => (481, "Call/Transaction Does Not Exist"),
            };
            self.reply_stateless(source, message, answer, b"");
            return;
        }
        if let Some(min_se) = self.too_short(message, (zone, route.zone)) {
            self.reply_stateless(
                source,
                message,
                (422, "Session Interval Too Small"),
                &min_se,
            );
            return;
        }
        if let Some((id, side)) = belongs.filter(|_| message.method() != Method::Ack)
            && let Some(dialog) = self.dialogs.get_mut(&id)
            && !dialog.takes_cseq(side, callee_tag(message, side), message.parsed.cseq)
        {
            let refusal = (500, "CSeq Out Of Order");
            self.reply_stateless(source, message, refusal, b"");
            return;
        }
        if opens_call {
            match self.open_dialog(now, id, message, source, &route) {
                Ok(opened) => {
                    self.keep_admitted(opened, admitted);
                    dialog = Some(opened);
                }
                Err(refusal) => {
                    self.reply_stateless(source, message, refusal, b"");
                    return;
                }
            }
        }
        let side = belongs.map_or(Side::Caller, |(_, side)| side);
        let invite = message.method() == Method::Invite;
        let own_tag = self.tag();
        let request = Message {
            bytes: message.bytes.clone(),
            parsed: std::mem::take(&mut message.parsed),
        };
        let mut server = Server::start_over(
            self.carrier(source.listener),
            if invite {
                Kind::Invite
            } else {
                Kind::NonInvite
            },
        );
        let reply_to = self.reply_target(&request, source);
        let sent_by = request.parsed.via.host_ip(&request.bytes);
        let sent_by = sent_by
            .filter(|ip| *ip == source.peer.ip())
            .zip(request.parsed.via.port)
            .map(SocketAddr::from);
        if invite {
            let trying: Packet = self
                .own_response(&request, source, (100, "Trying"), None, b"")
                .into();
            server.on_response(100, trying.clone(), &self.config.timers, now);
            self.reply(id, reply_to, trying);
        }
        self.by_server_key.insert(key.clone(), id);
        let is_picked = pick.is_some();
        let mut held = 0;
        self.memory.change(source.owner(), &mut held, weight);
        self.transits.insert(
            id,
            Transit {
                request,
                source,
                reply_to,
                sent_by,
                key,
                own_tag,
                server,
                registering,
                route,
                branch: None,
                number: id,
                spent: Vec::new(),
                pick,
                attempt: None,
                resolving: None,
                failures: Vec::new(),
                dialog,
                side,
                initial: opens_call,
                back: None,
                offered: false,
                session: None,
                cancelled: None,
                is_ended: false,
                give_up: None,
                refused: None,
                last_resort: now + self.config.timers.timer_c,
                scheduled: None,
                is_unacknowledged: false,
                weight: held,
            },
        );
        match is_picked {
            true => self.start_pick(now, id),
            false => self.run(now, dialog, Job::Request { transit: id }),
        }
        self.schedule(id);
    }

    /// Answers an OPTIONS to us: who asks sends its calls elsewhere if they find no way here (spec §18).
    pub(super) fn say_alive(&mut self, source: Flow, message: &Message) {
        match self.takes_calls_from(self.zone_of(source)) {
            true => self.reply_stateless(source, message, (200, "OK"), b""),
            false => self.reply_stateless(source, message, UNAVAILABLE, RETRY),
        }
    }

    /// Somebody known asks whether we are alive.
    pub(super) fn is_ping(&self, message: &Message, source: Flow) -> bool {
        let uri = request_uri(message);
        self.is_known(self.zone_of(source))
            && message.text(message.parsed.method_name) == b"OPTIONS"
            && message.to_tag().is_none()
            && self.is_own(&message.bytes, uri.host, uri.port)
    }

    fn route(
        &mut self,
        now: Instant,
        message: &Message,
        source: Flow,
        (set, found): (&RouteSet, Option<(u64, Side)>),
        peer: Option<&str>,
    ) -> Result<Routed, Refusal> {
        if message.to_tag().is_none() {
            return self
                .route_initial(now, message, source, set, peer)
                .map(|(route, pick)| (route, None, pick));
        }
        let known = found.and_then(|(id, side)| Some((self.dialogs.get(&id)?, side)));
        match known {
            Some((dialog, side)) => {
                let route = self.route_in_dialog(message, set, dialog, side)?;
                Ok((route, found, None))
            }
            None => {
                let route = self.route_unknown_dialog(message, set, source)?;
                Ok((route, None, None))
            }
        }
    }

    /// Reserves the call of an INVITE without a To tag.
    fn open_dialog(
        &mut self,
        now: Instant,
        transit: u64,
        invite: &Message,
        source: Flow,
        route: &Route,
    ) -> Result<u64, (u16, &'static str)> {
        let zone = self.zone_of(source);
        let trusted = self.is_known(zone);
        let caller = Party {
            flow: source,
            zone,
            trusted,
            nat: !trusted && dialog::is_behind_nat(invite, source.peer),
            contact: invite.contact(),
            hop: self.adjacent_hop(invite),
            target: invite.contact_uri().unwrap_or_default().into(),
            routes: self.routes_beyond(invite),
        };
        let callee = Party {
            flow: route.flow(),
            zone: route.zone,
            trusted: self.is_known(route.zone),
            nat: false,
            contact: None,
            hop: None,
            target: Box::default(),
            routes: Vec::new(),
        };
        let expires = now + self.longest_call(invite, trusted);
        dialog::key(invite.call_id(), invite.sender_tag(), &mut self.scratch.key);
        if let Some(id) = self.tried_before(invite)?
            && let Some(dialog) = self.dialogs.get_mut(&id)
        {
            if let Some(slot) = dialog.slot.take() {
                slot.release();
            }
            dialog.restart(id, invite, transit, (caller, callee), (now, expires));
            enter_setup(&mut self.in_setup, dialog);
            self.schedule_dialog(id);
            return Ok(id);
        }
        let id = self.unique();
        let mut dialog = Dialog::new(
            &self.scratch.key,
            id,
            invite,
            transit,
            (caller, callee),
            (now, expires),
        );
        enter_setup(&mut self.in_setup, &mut dialog);
        self.by_call.insert(&dialog.key, id);
        self.dialogs.insert(id, dialog);
        self.numbers.insert(id);
        self.schedule_dialog(id);
        Ok(id)
    }

    /// The ACK of a 2xx passes without a transaction (RFC 3261 §16.11); any other is dropped.
    fn on_ack(&mut self, now: Instant, source: Flow, message: &mut Message) {
        self.repair_strict_route(message);
        let spent = matches!(message.parsed.max_forwards, Some((_, 0)));
        let set = self.route_set(message);
        let found = self.find_dialog(message, &set, source);
        let routed = self.route(now, message, source, (&set, found), None);
        if matches!(routed, Err(BAD_TOKEN)) {
            self.refuse_token(source, message);
            return;
        }
        let routed = routed.ok().filter(|_| message.to_tag().is_some() && !spent);
        let Some((route, belongs, _)) = routed else {
            self.stats.drop_for(DropReason::StrayAck);
            return;
        };
        let ack = Message {
            bytes: message.bytes.clone(),
            parsed: std::mem::take(&mut message.parsed),
        };
        match belongs {
            Some((dialog, side)) => {
                self.run(
                    now,
                    Some(dialog),
                    Job::Ack {
                        ack: Box::new(ack),
                        source,
                        route,
                        call: (dialog, side),
                    },
                );
                if side == Side::Caller {
                    self.on_acknowledged(now, dialog);
                }
            }
            None => self.forward_ack(&ack, source, route, None, None),
        }
    }

    pub(super) fn forward_ack(
        &mut self,
        ack: &Message,
        source: Flow,
        route: Route,
        call: Option<(u64, Side)>,
        sdp: Option<(Span, &[u8])>,
    ) {
        // A repeated ACK gets the same branch (RFC 3261 §16.11).
        let transaction = self.key.hash([ack.text(ack.parsed.via.value)]);
        let loop_hash = self.loop_hash(ack);
        let packet = self.compose_request(&Outgoing {
            message: ack,
            source,
            route: &route,
            branch: BranchId {
                shard: self.shard,
                transaction,
                loop_hash,
            },
            record: None,
            registering: None,
            rows: "",
            call,
            sdp,
        });
        self.send(route.to, packet.into());
    }

    /// Answers without keeping anything; a repeat gets the same answer.
    pub(super) fn reply_stateless(
        &mut self,
        source: Flow,
        message: &Message,
        refusal: (u16, &str),
        extra: &[u8],
    ) {
        if message.method() == Method::Ack {
            return;
        }
        let tag = self
            .key
            .hash([message.text(message.parsed.via.value), message.call_id()]);
        let tag = format!("{tag:016x}");
        let packet = self.own_response(message, source, refusal, Some(&tag), extra);
        self.send(self.reply_target(message, source).into(), packet.into());
    }

    /// Destination of the responses to a request: its connection, or of a datagram by RFC 3581 if the
    /// request asks for it, comes from behind a NAT or from strangers, else the port of its sent-by
    /// (RFC 3261 §18.2.2).
    pub(super) fn reply_target(&self, request: &Message, source: Flow) -> Flow {
        let via = &request.parsed.via;
        let from_there = self.protocol_of(source.listener).is_stream()
            || via.rport.is_some()
            || via.host_ip(&request.bytes) != Some(source.peer.ip())
            || !self.is_known(self.zone_of(source));
        if from_there {
            return source;
        }
        let peer = SocketAddr::new(source.peer.ip(), via.port.unwrap_or(5060));
        Flow { peer, ..source }
    }
}

const UNAVAILABLE: Refusal = (503, "Service Unavailable");

const RETRY: &[u8] = b"Retry-After: 5\r\n";

/// The callee's tag in a request of this side of a call.
fn callee_tag(request: &Message, side: Side) -> &[u8] {
    match side {
        Side::Caller => request.to_tag().unwrap_or_default(),
        Side::Callee => request.sender_tag(),
    }
}

/// The way of a request, the call it belongs to with its sender's side, and the targets it may go to.
type Routed = (Route, Option<(u64, Side)>, Option<Box<Pick>>);
