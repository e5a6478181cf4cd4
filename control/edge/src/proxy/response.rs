//! Responses: matching to a branch, effect on the call, and the way back.

use std::time::Instant;

use super::register::PING;
use super::route::is_unroutable;
use super::session::response_rows;
use super::{Proxy, leave_setup};
use crate::cookie::Branch as BranchId;
use crate::dialog::media::{Gone, Job, Plan};
use crate::dialog::{self, State};
use crate::limits;
use crate::message::build::{self, Sibling};
use crate::message::{HeaderId, Message, Method, Span, Via};
use crate::record::cdr::EndedBy;
use crate::route::Hop;
use crate::screen::standing::Bond;
use crate::side::Side;
use crate::stats::{DropReason, Stats};
use crate::target::Outcome;
use crate::transaction::{ClientAction, Packet};
use crate::transport::{Flow, Protocol};

impl Proxy {
    pub(super) fn on_response(&mut self, now: Instant, source: Flow, message: &mut Message) {
        let via = message.parsed.via;
        let ours = self.is_own(&message.bytes, via.host, via.port);
        let branch = via
            .branch
            .filter(|_| ours)
            .and_then(|b| BranchId::read(message.text(b), self.key));
        let branch = branch.filter(|b| b.shard == self.shard);
        let number = branch.map_or(0, |b| b.transaction);
        let id = self.by_branch.get(&number).copied().unwrap_or(number);
        let current = self.transits.get(&id).map(|transit| transit.number);
        if current.is_some_and(|current| current != number) {
            self.on_spent_response(now, id, number, message);
            return;
        }
        let found = branch.and_then(|_| Some((id, self.transits.get_mut(&id)?)));
        let Some((id, transit)) = found else {
            if let Some(branch) = branch
                && self.on_own_response(now, branch.transaction, message)
            {
                return;
            }
            if branch.is_some_and(|branch| branch.transaction == PING) {
                // That it came is all there is to it.
                return;
            }
            if branch.is_none() || !self.forward_late_2xx(source, message) {
                self.stats.drop_for(DropReason::StrayResponse);
            }
            return;
        };
        let timers = self.config.timers;
        let status = message.parsed.status();
        let method = transit.request.method();
        let same_method = transit.request.text(transit.request.parsed.method_name)
            == message.text(message.parsed.method_name);
        transit.last_resort = now + timers.timer_c;
        let Some(branch) = transit.branch.as_mut() else {
            self.stats.drop_for(DropReason::StrayResponse);
            return;
        };
        if !same_method {
            if let Some(own) = branch.own.as_mut() {
                own.on_response(status, &timers, now);
            }
            self.schedule(id);
            return;
        }
        let action = branch.client.on_response(status, &timers, now);
        if let Some(pick) = transit.pick.as_mut().filter(|_| status < 200) {
            pick.progress(status, !message.parsed.body.is_empty());
        }
        let to = transit.route.to.clone();
        match action {
            ClientAction::Resend(packet) => {
                Stats::add(&self.stats.retransmissions);
                self.send(to, packet);
                return;
            }
            ClientAction::Nothing | ClientAction::TimedOut => return,
            ClientAction::DeliverAndAck => {
                if let Some(sent) = self
                    .scratch
                    .reparse(branch.client.request(), &self.config.limits.of_stream())
                {
                    let ack: Packet = build::sibling(&sent, Sibling::Ack(message)).into();
                    branch.client.acknowledge(ack.clone());
                    self.send(to, ack);
                }
            }
            ClientAction::Deliver => {}
        }
        let Some(branch) = self.transits.get_mut(&id).and_then(|t| t.branch.as_mut()) else {
            return;
        };
        if status >= 200 {
            branch.ringing = None;
            branch.cancel_by = None;
            if self.is_for_nobody(now, id, message) {
                return;
            }
            if self.on_target_answer(now, id, source, message) {
                return;
            }
        } else if method == Method::Invite {
            if branch.cancel_by.is_none() && (status > 100 || branch.ringing.is_none()) {
                branch.ringing = Some(now + timers.timer_c);
            }
            self.cancel_branch(now, id);
        }
        self.schedule(id);
        if status == 100 {
            return;
        }
        self.carry_back(now, id, source, status, method, message);
    }

    /// A final response without a Via behind ours cannot go back (RFC 3261 §16.7 step 3): who sent it is
    /// as good as one that does not answer, and the request must not wait for ever.
    fn is_for_nobody(&mut self, now: Instant, id: u64, message: &Message) -> bool {
        let transit = self.transits.get(&id);
        let Some(transit) = transit.filter(|t| message.parsed.vias <= 1 && t.back.is_none()) else {
            return false;
        };
        self.stats.drop_for(DropReason::StrayResponse);
        let to = transit.route.to.clone();
        if message.method() == Method::Invite && message.parsed.status() < 300 {
            self.end_answer(now, message, to);
        }
        let is_done = self.on_target_lost(now, id, Outcome::Unreachable);
        let is_open = self.transits.get(&id).is_some_and(|t| t.server.is_open());
        if !is_done && is_open {
            let cancelled = self
                .transits
                .get(&id)
                .is_some_and(|t| t.cancelled.is_some());
            let answer = match cancelled && message.method() == Method::Invite {
                true => (487, "Request Terminated"),
                false => (502, "Bad Gateway"),
            };
            self.respond(now, id, answer, b"");
            self.end_failed_call(now, id);
        }
        self.schedule(id);
        true
    }

    /// The connections of all parties stay open as long as the call, wherever they move.
    fn hold_flows(&mut self, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        let callees = dialog.callees().map(|(party, _)| party.flow);
        let caller = dialog.party(Side::Caller).flow;
        let now_held: Vec<Flow> = std::iter::once(caller).chain(callees).collect();
        let before = std::mem::replace(&mut dialog.held, now_held.clone());
        now_held.into_iter().for_each(|flow| {
            self.protect(flow, Bond::Dialog, true);
            self.change_use(flow, true);
        });
        before.into_iter().for_each(|flow| {
            self.protect(flow, Bond::Dialog, false);
            self.change_use(flow, false);
        });
    }

    /// A 2xx to an INVITE whose transaction is gone goes on by its Via (RFC 6026 §7.1 leaves it to
    /// us), unless it carries an SDP the relay has not seen. False if it cannot.
    fn forward_late_2xx(&mut self, source: Flow, message: &Message) -> bool {
        if message.method() != Method::Invite || !(200..300).contains(&message.parsed.status()) {
            return false;
        }
        let next = message.values(HeaderId::Via).nth(1);
        let next = next.and_then(|value| Via::parse(&message.bytes, value));
        // Over a stream, its connection would have to be known.
        let target = next.and_then(|via| via.response_target(&message.bytes));
        let Some(target) = target.filter(|target| !is_unroutable(*target)) else {
            return false;
        };
        let hop = Hop {
            address: target,
            protocol: Protocol::Udp,
        };
        dialog::key(
            message.call_id(),
            message.sender_tag(),
            &mut self.scratch.key,
        );
        let is_known = self.is_known(self.zone_of(source));
        let ids = self.by_call.of(&self.scratch.key);
        let tag = message.to_tag().unwrap_or_default();
        let knows = |id: &&u64| self.dialogs.get(id).is_some_and(|d| d.knows_tag(tag));
        let is_callee = |id: &&u64| {
            let dialog = self.dialogs.get(id);
            dialog.is_some_and(|d| d.party(Side::Callee).flow.peer == source.peer)
        };
        let known = ids.iter().find(knows);
        let id = known.or_else(|| ids.iter().find(is_callee));
        let id = id.or_else(|| ids.first()).copied();
        let Some(dialog) = id.and_then(|id| self.dialogs.get_mut(&id)) else {
            return false;
        };
        // Whoever is neither the upstream nor a party of the call has nothing to answer.
        let is_party = [Side::Caller, Side::Callee]
            .into_iter()
            .any(|side| dialog.party(side).flow.peer == source.peer);
        let zone = dialog.party(Side::Caller).zone;
        let incoming = dialog.party(Side::Caller).flow.listener;
        if !is_party && !is_known {
            return false;
        }
        dialog.learn_tag(message.to_tag().unwrap_or_default());
        let key = self.key;
        let plan = dialog
            .media
            .plan_response(message, true, |parts| key.hash(parts.iter().copied()));
        let plan = match id {
            Some(id) => self.plan_of(id, plan),
            None => plan,
        };
        let sdp = match &plan {
            Plan::Pass => None,
            Plan::Known(span, sdp) => Some((*span, &sdp[..])),
            _ => return false,
        };
        let Some(listener) = self.listener_toward(zone, hop, incoming) else {
            return false;
        };
        let ends = (
            (self.zone_of(source), source.peer.ip()),
            (zone, target.ip()),
        );
        let packet = self.compose_late_response(ends, message, sdp);
        let flow = Flow {
            listener,
            peer: target,
            connection: 0,
        };
        self.send(flow.into(), packet.into());
        true
    }

    /// A response new to the call.
    pub(super) fn carry_back(
        &mut self,
        now: Instant,
        id: u64,
        source: Flow,
        status: u16,
        method: Method,
        message: &mut Message,
    ) {
        let Some(transit) = self.transits.get(&id) else {
            return;
        };
        let ok = (200..300).contains(&status);
        let was_ended = transit.is_ended && method == Method::Invite;
        if was_ended && ok && transit.refused.is_none() {
            // The 2xx crossed the end of the call.
            self.hang_up(now, id, message);
            self.respond(now, id, (480, "Temporarily Unavailable"), b"");
            return;
        }
        let Some(transit) = self.transits.get(&id) else {
            return;
        };
        if let Some(ack) = transit.refused.clone().filter(|_| status < 300) {
            self.send(transit.route.to.clone(), ack);
            return;
        }
        let dialog = transit.dialog.and_then(|d| self.dialogs.get(&d));
        let accepts = transit.initial && ok && method == Method::Invite;
        let answers = dialog.filter(|_| accepts).map(|dialog| {
            let tag = message.to_tag().unwrap_or_default();
            let is_open = dialog.state != State::Ended && dialog.invite == id;
            (dialog.has_accepted(tag), is_open)
        });
        if let Some((false, false)) = answers {
            // Another callee takes a call that is over.
            let to = transit.route.to.clone();
            self.end_answer(now, message, to);
            return;
        }
        // The callee waits for the ACK and says it again (RFC 6026): that is nothing new.
        let is_repeat = answers.is_some_and(|(has_accepted, _)| has_accepted);
        let from = transit.source;
        self.note_answer(now, id, message);
        self.note_progress(now, id, status);
        if status >= 200 {
            self.note_outcome(id, status, message.reason(), EndedBy::Callee);
        }
        self.learn_callee(id, message);
        let registering = self.transits.get_mut(&id).filter(|_| ok);
        if let Some(asked) = registering.and_then(|t| t.registering.take()) {
            self.learn_bindings(now, from, &asked, message);
        }
        let Some(transit) = self.transits.get(&id) else {
            return;
        };
        let hop = self.adjacent_hop(message);
        let routes = Some(self.routes_beyond(message));
        let (dialog_id, side, initial) = (transit.dialog, transit.side, transit.initial);
        let changes_session = matches!(method, Method::Invite | Method::Update);
        let filled = transit.session.and_then(|asked| asked.fills(message));
        let callee_tag: Box<[u8]> = match side {
            Side::Caller => message.to_tag().unwrap_or_default().into(),
            Side::Callee => message.sender_tag().into(),
        };
        let mut confirmed = None;
        let dialog = dialog_id.filter(|_| !is_repeat);
        if let Some((d, dialog)) = dialog.and_then(|d| Some((d, self.dialogs.get_mut(&d)?))) {
            let has_contact = message.rows(HeaderId::Contact).next().is_some();
            if method == Method::Invite && status < 300 {
                if initial {
                    dialog.learn_tag(&callee_tag);
                }
                if initial && ok {
                    let to = message.value(HeaderId::To).unwrap_or_default();
                    dialog.accept(&callee_tag, to);
                }
                if has_contact {
                    dialog.learn(
                        (side.other(), &callee_tag),
                        message,
                        source,
                        hop,
                        routes.filter(|_| initial),
                    );
                }
            }
            // An UPDATE moves its receiver as well (RFC 3311 §5.2).
            if method == Method::Update && ok && has_contact {
                dialog.learn((side.other(), &callee_tag), message, source, None, None);
            }
            // Nothing is learned about the author of a refused change.
            let changes = matches!(method, Method::Invite | Method::Update);
            if changes && ok && !initial && !transit.request.parsed.headers.is_empty() {
                let end = (side, &*callee_tag);
                dialog.learn(end, &transit.request, transit.source, None, None);
            }
            if accepts {
                dialog.state = State::Confirmed;
                confirmed = Some(d);
                dialog.answered = true;
                dialog.answered_at.get_or_insert(now);
                leave_setup(&mut self.in_setup, dialog);
            }
        }
        if let Some(dialog) = confirmed {
            self.hold_flows(dialog);
            self.watch_media(now, dialog);
        }
        if ok && changes_session && !is_repeat {
            self.follow_session_timer(now, dialog_id, message, filled);
        }
        let response = Message {
            bytes: message.bytes.clone(),
            parsed: std::mem::take(&mut message.parsed),
        };
        self.run(
            now,
            dialog_id,
            Job::Response {
                transit: id,
                response: Box::new(response),
                source,
            },
        );
        if initial && status >= 300 {
            self.end_failed_call(now, id);
        } else if method == Method::Bye && (ok || matches!(status, 408 | 481)) {
            self.leave(now, dialog_id, side, &callee_tag);
        } else if method == Method::Bye && status >= 300 {
            self.outlast(now, dialog_id, side);
        }
    }

    /// A BYE of `side` was refused: its receiver goes on with the call (RFC 3261 §15.1.1), and its sender
    /// has left or asks again. Unless it does in time, the edge ends the call to both.
    fn outlast(&mut self, now: Instant, dialog_id: Option<u64>, side: Side) {
        let by = now + self.config.timers.transaction();
        let Some((id, dialog)) = dialog_id.and_then(|d| Some((d, self.dialogs.get_mut(&d)?)))
        else {
            return;
        };
        if dialog.state == State::Confirmed && dialog.end_by > by {
            dialog.ended_by.get_or_insert_with(|| side.into());
            dialog.end_by = by;
            dialog.expires = by;
            self.schedule_dialog(id);
        }
    }

    /// A BYE of `side` was answered in the dialog with the callee of this tag. The call goes on if
    /// another callee has accepted it as well (a fork, RFC 3261 §13.2.2.4).
    fn leave(&mut self, now: Instant, dialog_id: Option<u64>, side: Side, tag: &[u8]) {
        let Some((id, dialog)) = dialog_id.and_then(|d| Some((d, self.dialogs.get_mut(&d)?)))
        else {
            return;
        };
        if dialog.leave(tag) {
            self.run(now, Some(id), Job::DeleteBranch(Gone::Callee(tag.into())));
            return;
        }
        dialog.ended_by.get_or_insert_with(|| side.into());
        self.end_dialog(now, Some(id));
    }

    pub(super) fn forward_response(
        &mut self,
        now: Instant,
        id: u64,
        response: &Message,
        sdp: Option<(Span, &[u8])>,
    ) {
        // A response whose only Via was ours answers a request we made, or one from a zone that is
        // hidden.
        let transit = self.transits.get(&id);
        let Some(transit) = transit.filter(|t| response.parsed.vias > 1 || t.back.is_some()) else {
            return;
        };
        let mut splices = std::mem::take(&mut self.scratch.splices);
        let rows = response_rows(transit.session.and_then(|asked| asked.fills(response)));
        let packet = self.compose_response(transit, response, &rows, sdp, &mut splices);
        self.scratch.splices = splices;
        let status = match response.parsed.status() {
            503 => 500,
            other => other,
        };
        self.answer(now, id, status, packet.into());
    }

    /// A response of our own to a request with a transaction.
    pub(super) fn respond(&mut self, now: Instant, id: u64, answer: (u16, &str), extra: &[u8]) {
        let Some(transit) = self.transits.get(&id) else {
            return;
        };
        let tag = Some(transit.own_tag.as_str());
        let by = match answer.0 {
            408 => EndedBy::Timeout,
            _ => EndedBy::Screen,
        };
        let packet = self.own_response(&transit.request, transit.source, answer, tag, extra);
        self.note_outcome(id, answer.0, answer.1.as_bytes(), by);
        self.answer(now, id, answer.0, packet.into());
    }

    fn answer(&mut self, now: Instant, id: u64, status: u16, packet: Packet) {
        if status >= 200 {
            self.cancel_pick(now, id);
        }
        let timers = self.config.timers;
        let source = self.transits.get(&id).map(|transit| transit.source);
        let is_stranger = source.is_some_and(|source| !self.is_known(self.zone_of(source)));
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        if transit
            .server
            .on_response(status, packet.clone(), &timers, now)
        {
            if status >= 200 && !transit.request.parsed.headers.is_empty() {
                transit.shrink();
                let kept = transit.back.as_ref().map_or(0, |back| back.bytes());
                self.memory.change(
                    transit.source.owner(),
                    &mut transit.weight,
                    limits::TRANSACTION_BYTES + kept,
                );
            }
            if transit.server.awaits_ack() {
                let source = transit.source;
                let count = self.unacknowledged.entry(source.owner()).or_default();
                let most = self.config.tables_of_a_shard().unacknowledged_per_source;
                if is_stranger && *count >= most {
                    transit.server.stop_repeating();
                }
                *count += 1;
                transit.is_unacknowledged = true;
            }
            let to = transit.reply_to;
            let is_refused_change = status >= 300 && !transit.initial;
            let restores = is_refused_change && std::mem::take(&mut transit.offered);
            let dialog = transit.dialog.filter(|_| restores);
            self.reply(id, to, packet);
            if let Some(dialog) = dialog {
                self.restore_session(now, dialog);
            }
        }
        self.schedule(id);
    }

    /// The INVITE that opened the call failed: unless a 2xx came before, the call is over.
    pub(super) fn end_failed_call(&mut self, now: Instant, transit: u64) {
        let dialog = self
            .transits
            .get(&transit)
            .filter(|t| t.initial)
            .and_then(|t| t.dialog);
        let early = |d: &u64| {
            self.dialogs
                .get(d)
                .is_some_and(|d| d.state == State::Early && d.invite == transit)
        };
        let dialog = dialog.filter(early);
        self.end_dialog(now, dialog);
    }

    /// Ends the call at the relay; the dialog stays a while for messages that cross.
    pub(super) fn end_dialog(&mut self, now: Instant, id: Option<u64>) {
        if let Some(id) = id {
            self.close_call(now, id);
        }
        let Some((id, dialog)) = id.and_then(|id| Some((id, self.dialogs.get_mut(&id)?))) else {
            return;
        };
        dialog.state = State::Ended;
        if let Some(slot) = dialog.slot.take() {
            slot.release();
        }
        leave_setup(&mut self.in_setup, dialog);
        dialog.expires = now + self.config.timers.t4;
        self.schedule_dialog(id);
        self.run(now, Some(id), Job::Delete);
    }
}
