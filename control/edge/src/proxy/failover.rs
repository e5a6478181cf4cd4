//! The targets of a request, one after the other (spec §14): what [`Pick`] wants is done here.

use std::time::Instant;

use super::Proxy;
use super::lookup::Waiting;
use super::route::is_unroutable;
use super::routing::hop_of;
use super::transit::{Cancelled, Spent};
use crate::dialog::State;
use crate::dialog::media::{Gone, Job};
use crate::limits;
use crate::message::build::{self, Sibling};
use crate::message::span::{Cursor, params};
use crate::message::{HeaderId, Message, Method, NameAddr, Span};
use crate::resolve::Resolved;
use crate::route::Route;
use crate::target::{Attempt, Contact, End, Held, Outcome, Step};
use crate::transaction::{ClientAction, Packet};
use crate::transport::{Destination, Flow};

impl Proxy {
    /// Sends a request to its first target.
    pub(super) fn start_pick(&mut self, now: Instant, id: u64) {
        let pick = self.transits.get_mut(&id).and_then(|t| t.pick.as_mut());
        if let Some(pick) = pick {
            let step = pick.start(now, &mut self.rng);
            self.take_step(now, id, step);
        }
    }

    /// The name of a target was looked up.
    pub(super) fn on_resolved(&mut self, now: Instant, id: u64, found: Resolved) {
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        transit.resolving = None;
        if let Some(pick) = transit.pick.as_mut() {
            let step = pick.resolved(now, found, &mut self.rng);
            self.take_step(now, id, step);
        }
    }

    fn take_step(&mut self, now: Instant, id: u64, mut step: Step) {
        loop {
            step = match step {
                Step::Done(end) => {
                    self.end_pick(now, id, &end);
                    return;
                }
                Step::Resolve(destination) => {
                    let token = self.unique();
                    let found = self
                        .resolve
                        .resolve(now, token, &destination, &mut self.rng);
                    let Some(transit) = self.transits.get_mut(&id) else {
                        return;
                    };
                    let Some(found) = found else {
                        transit.resolving = Some(token);
                        self.waiting.insert(token, Waiting::Transit(id));
                        self.schedule(id);
                        return;
                    };
                    let Some(pick) = transit.pick.as_mut() else {
                        return;
                    };
                    pick.resolved(now, found, &mut self.rng)
                }
                Step::Try(attempt) => {
                    if self.try_target(now, id, attempt) {
                        return;
                    }
                    let transit = self.transits.get_mut(&id);
                    let Some(pick) = transit.and_then(|t| t.pick.as_mut()) else {
                        return;
                    };
                    pick.next(now, Outcome::Unreachable, &mut self.rng)
                }
            };
        }
    }

    /// Sends the request by a new branch; false if no socket reaches the target.
    fn try_target(&mut self, now: Instant, id: u64, attempt: Attempt) -> bool {
        let Some(route) = self.route_of(id, &attempt) else {
            return false;
        };
        let number = self.unique();
        let (flow, zone) = (route.flow(), route.zone);
        let is_known = self.is_known(zone);
        let limits = self.config.limits.of_stream();
        let Some(transit) = self.transits.get_mut(&id) else {
            return false;
        };
        let is_next = transit.attempt.is_some();
        let target = attempt.target.clone();
        let to = std::mem::replace(&mut transit.route, route).to;
        let dialog = transit.dialog;
        let (mut cancel, mut given_up) = (None, None);
        if let Some(branch) = transit.branch.take() {
            let is_invite = transit.request.method() == Method::Invite;
            // It was received, but rings too late. Without a response it is cancelled once it rings.
            if is_invite
                && branch.client.is_proceeding()
                && let Some(sent) = self.scratch.reparse(branch.client.request(), &limits)
            {
                let packet = build::sibling(&sent, Sibling::Cancel(b""));
                cancel = Some((transit.number, to.clone(), packet.into()));
            }
            transit.spent.push(Spent {
                number: transit.number,
                branch,
                to,
            });
        }
        if is_next {
            transit.number = number;
            self.by_branch.insert(number, id);
        }
        let tried = attempt.clone();
        transit.attempt = Some(attempt);
        let registering = transit.registering.is_some();
        if let Some((number, to, packet)) = cancel {
            self.begin_own(now, number, to, packet);
        }
        if registering {
            self.register_by(id, flow.listener);
        }
        self.note_attempt(now, dialog, &tried);
        if let Some(dialog) = dialog.and_then(|d| self.dialogs.get_mut(&d)) {
            dialog.redirect(flow, zone, is_known);
            dialog.target = target;
            given_up = dialog.media.begin_branch();
        }
        self.run(now, dialog, Job::Request { transit: id });
        if let Some(branch) = given_up {
            // Behind the offer for the new one, so that the caller is never without any.
            self.run(now, dialog, Job::DeleteBranch(Gone::Target(branch)));
        }
        true
    }

    /// The aliases of a registration name the socket toward its registrar.
    fn register_by(&mut self, id: u64, listener: u16) {
        let Some(transit) = self.transits.get(&id) else {
            return;
        };
        let asked = self.registering(&transit.request, transit.source, listener);
        if let (Ok(Some(asked)), Some(transit)) = (asked, self.transits.get_mut(&id)) {
            transit.registering = Some(Box::new(asked));
        }
    }

    /// The way of an attempt.
    fn route_of(&mut self, id: u64, attempt: &Attempt) -> Option<Route> {
        let transit = self.transits.get(&id)?;
        let hop = hop_of(&attempt.address);
        let is_own = || self.listeners.iter().any(|l| l.local == hop.address);
        if is_unroutable(hop.address) || attempt.target.is_none() && is_own() {
            return None;
        }
        let zone = match &attempt.target {
            Some(target) => self.zone_named(&target.zone)?,
            None => self.zone_toward(hop, self.zone_of(transit.source)),
        };
        let strip = transit.route.strip;
        let mut route = self.toward(zone, hop, transit.source, strip).ok()?;
        if let Destination::Open { server_name, .. } = &mut route.to {
            server_name.clone_from(&attempt.address.server_name);
        }
        route.uri = attempt
            .request_uri
            .as_ref()
            .map(|uri| uri.as_bytes().into());
        if attempt.target.is_some() {
            self.targets.learn(hop, zone);
        }
        Some(route)
    }

    /// No target is left, or none is needed.
    fn end_pick(&mut self, now: Instant, id: u64, end: &End) {
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        match end {
            End::Answered | End::Cancelled => {}
            End::Relay { code, attempt } => {
                let method = transit.request.method();
                let mut failures = transit.failures.drain(..);
                let found = failures.find(|(number, ..)| number == attempt);
                drop(failures);
                if let Some((_, source, mut response)) = found {
                    self.carry_back(now, id, source, *code, method, &mut response);
                }
            }
            End::Refuse { code: 408, .. } if transit.request.method() != Method::Invite => {
                // RFC 4320 §4.2: no 408 to a non-INVITE; the sender has timed out as well.
                transit.server.terminate();
            }
            End::Refuse { code, retry_after } => {
                let reason = match code {
                    408 => "Request Timeout",
                    478 => "Unresolvable Destination",
                    _ => "Service Unavailable",
                };
                let after =
                    retry_after.map(|after| format!("Retry-After: {}\r\n", after.as_secs()));
                let extra = after.unwrap_or_default();
                self.respond(now, id, (*code, reason), extra.as_bytes());
                self.end_failed_call(now, id);
            }
        }
        self.schedule(id);
    }

    /// A final response of the last target. True if it does not go back (yet).
    pub(super) fn on_target_answer(
        &mut self,
        now: Instant,
        id: u64,
        source: Flow,
        response: &Message,
    ) -> bool {
        let status = response.parsed.status();
        self.note_attempt_answer(id, status, response.reason());
        let Some(transit) = self.transits.get_mut(&id) else {
            return false;
        };
        let may_go_on = transit.cancelled.is_none() && transit.server.is_open();
        let (Some(pick), Some(attempt)) = (transit.pick.as_mut(), &transit.attempt) else {
            return false;
        };
        if !may_go_on {
            pick.next(now, Outcome::Cancelled, &mut self.rng);
        }
        let outcome = match status {
            300..400 => Outcome::Redirected(status, contacts(response)),
            _ => Outcome::Final(status),
        };
        let ok = status < 300;
        let step = match pick.next(now, outcome, &mut self.rng) {
            // It crossed our CANCEL.
            Step::Done(end) if ok && end != End::Answered => pick.answered_late(attempt),
            step => step,
        };
        match step {
            Step::Done(End::Cancelled) => false,
            Step::Done(End::Answered) => {
                let (held, dialog) = (pick.take_held(), transit.dialog);
                self.hold_slot(dialog, held);
                false
            }
            Step::Done(End::Relay { attempt: of, .. }) if of == attempt.number => false,
            step => {
                let failure = (attempt.number, source, response.clone());
                transit.failures.push(failure);
                self.take_step(now, id, step);
                self.schedule(id);
                true
            }
        }
    }

    fn hold_slot(&mut self, dialog: Option<u64>, held: Option<Held>) {
        let dialog = dialog.and_then(|dialog| self.dialogs.get_mut(&dialog));
        let dialog = dialog.filter(|dialog| dialog.state == State::Early);
        match (dialog, held) {
            (Some(dialog), Some(held)) => {
                if let Some(before) = dialog.slot.replace(held) {
                    before.release();
                }
            }
            (None, Some(held)) => held.release(),
            (_, None) => {}
        }
    }

    /// The last target has failed without an answer. False if there was none to choose.
    pub(super) fn on_target_lost(&mut self, now: Instant, id: u64, outcome: Outcome) -> bool {
        let Some(transit) = self.transits.get_mut(&id) else {
            return false;
        };
        if transit.cancelled.is_some() || !transit.server.is_open() {
            return false;
        }
        if transit.pick.is_none() {
            return false;
        }
        self.note_attempt_lost(id, &outcome);
        let pick = self.transits.get_mut(&id).and_then(|t| t.pick.as_mut());
        let Some(pick) = pick else {
            return false;
        };
        let step = pick.next(now, outcome, &mut self.rng);
        self.forget_lookup(id);
        if matches!(step, Step::Done(_))
            && let Some(transit) = self.transits.get_mut(&id)
        {
            // Who was silent may ring yet.
            transit.is_ended = true;
            transit.cancelled.get_or_insert(Cancelled::ByUs(Vec::new()));
            self.cancel_branch(now, id);
        }
        self.take_step(now, id, step);
        true
    }

    /// Times of the target in use.
    pub(super) fn on_target_timeout(&mut self, now: Instant, id: u64) {
        let transit = self
            .transits
            .get(&id)
            .filter(|t| t.pick_timeout().is_some());
        let outcome = transit.and_then(|t| t.pick.as_ref()?.timed_out(now));
        if let Some(outcome) = outcome {
            self.on_target_lost(now, id, outcome);
        }
    }

    /// No other target is wanted.
    pub(super) fn cancel_pick(&mut self, now: Instant, id: u64) {
        let pick = self.transits.get_mut(&id).and_then(|t| t.pick.as_mut());
        if let Some(pick) = pick {
            pick.next(now, Outcome::Cancelled, &mut self.rng);
            self.forget_lookup(id);
        }
    }

    pub(super) fn forget_lookup(&mut self, id: u64) {
        let transit = self.transits.get_mut(&id);
        if let Some(token) = transit.and_then(|t| t.resolving.take()) {
            self.resolve.forget(token);
            self.waiting.remove(&token);
        }
    }

    /// A response to a branch that was given up: one that rings is cancelled, one that answers is
    /// acknowledged and ended.
    pub(super) fn on_spent_response(
        &mut self,
        now: Instant,
        id: u64,
        number: u64,
        response: &Message,
    ) {
        let timers = self.config.timers;
        let limits = self.config.limits.of_stream();
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        let is_invite = transit.request.method() == Method::Invite;
        if response.method() != Method::Invite {
            // Our CANCEL has the branch of what it cancels.
            self.on_own_response(now, number, response);
            return;
        }
        let Some(spent) = transit.spent.iter_mut().find(|s| s.number == number) else {
            return;
        };
        if !is_invite {
            return;
        }
        let status = response.parsed.status();
        let sent = self.scratch.reparse(spent.branch.client.request(), &limits);
        let to = spent.to.clone();
        match spent.branch.client.on_response(status, &timers, now) {
            ClientAction::Resend(ack) => self.send(to, ack),
            ClientAction::DeliverAndAck => {
                if let Some(sent) = sent {
                    let ack: Packet = build::sibling(&sent, Sibling::Ack(response)).into();
                    spent.branch.client.acknowledge(ack.clone());
                    self.send(to, ack);
                }
            }
            ClientAction::Deliver if status < 200 => {
                if let Some(sent) = sent {
                    let cancel = build::sibling(&sent, Sibling::Cancel(b"")).into();
                    self.begin_own(now, number, to, cancel);
                }
            }
            ClientAction::Deliver => self.end_answer(now, response, to),
            ClientAction::Nothing | ClientAction::TimedOut => {}
        }
    }
}

/// Where a redirection leads, by preference (RFC 3261 §8.1.3.4); what is no SIP URI is left out.
fn contacts(response: &Message) -> Vec<Contact> {
    let bytes = &response.bytes;
    let mut found = Vec::new();
    for value in response
        .values(HeaderId::Contact)
        .take(limits::REDIRECTS * 4)
    {
        let Some(addr) = NameAddr::parse(bytes, value) else {
            continue;
        };
        if let Ok(contact) = Contact::parse(addr.uri.of(bytes)) {
            found.push((preference(bytes, value, addr.uri), contact));
        }
    }
    // The sort is stable: equals stay in their order.
    found.sort_by_key(|(preference, _)| std::cmp::Reverse(*preference));
    found.into_iter().map(|(_, contact)| contact).collect()
}

/// The `q` of a Contact in thousandths (RFC 3261 §20.10); 1 where there is none.
fn preference(bytes: &[u8], value: Span, uri: Span) -> u32 {
    let mut cursor = Cursor::new(bytes, Span::new(uri.to(), value.to()));
    cursor.eat(b'>');
    let mut found = 1000;
    params(cursor, |param| {
        if param.name.of(bytes).eq_ignore_ascii_case(b"q")
            && let Some(q) = param.value
        {
            let digits = q.of(bytes).iter().filter(|b| b.is_ascii_digit());
            let digits = digits.chain(std::iter::repeat(&b'0')).take(4);
            found = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        }
    });
    found
}
