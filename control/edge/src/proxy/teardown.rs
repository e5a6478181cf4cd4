//! Calls that the edge ends itself (spec §9), and the session timers that make it (RFC 4028).

use std::time::Instant;

use super::guard::tag_of;
use super::transit::Cancelled;
use super::{Proxy, REQUEST, RESPONSE, Timed};
use crate::dialog::{Dialog, Ended, Party, State};
use crate::limits;
use crate::message::{HeaderId, Message, NameAddr, Uri, values};
use crate::record::cdr::EndedBy;
use crate::side::Side;
use crate::stats::Stats;
use crate::transaction::{Client, ClientAction, Kind, Packet};
use crate::transport::Destination;

/// A request of our own in a call.
#[derive(Debug)]
pub(super) struct Own {
    client: Client,
    to: Destination,
}

impl Proxy {
    /// Ends a call: a confirmed one by BYE to both sides, and to all callees that accepted it, the
    /// caller's not before its ACK; an early one by CANCEL, and 480 to the caller if nobody answers that
    /// in time.
    pub(crate) fn end_call(&mut self, now: Instant, id: u64, cause: u16, text: &str) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        if dialog.ended.is_some() {
            return;
        }
        dialog.ended_by.get_or_insert(EndedBy::Admin);
        let text: String = text
            .chars()
            .filter(|c| !matches!(c, '"' | '\\') && !c.is_control())
            .collect();
        let q850 = q850_of(cause);
        let reason =
            format!("Reason: SIP;cause={cause};text=\"{text}\"\r\nReason: Q.850;cause={q850}\r\n");
        let reason = reason.into_bytes();
        let confirmed = dialog.state == State::Confirmed;
        dialog.ended = Some(Ended {
            q850,
            reason: reason.clone().into(),
            cause: (cause, text),
            caller_waits: confirmed && !dialog.acknowledged,
        });
        let invite = dialog.invite;
        if dialog.state == State::Early {
            if let Some(transit) = self.transits.get_mut(&invite) {
                transit.cancelled.get_or_insert(Cancelled::ByUs(reason));
                transit.is_ended = true;
                transit.give_up = Some(now + limits::CANCEL_ANSWER);
            }
            self.cancel_branch(now, invite);
            self.schedule(invite);
            self.end_dialog(now, Some(id));
            return;
        }
        self.say_bye(now, id, Side::Callee);
        if dialog_waits(self.dialogs.get(&id)) {
            let by = now + self.config.timers.transaction();
            self.end_dialog(now, Some(id));
            if let Some(dialog) = self.dialogs.get_mut(&id) {
                dialog.expires = by;
            }
            self.schedule_dialog(id);
        } else {
            self.say_bye(now, id, Side::Caller);
            self.end_dialog(now, Some(id));
        }
    }

    /// The caller acknowledged the 2xx, or had the time to.
    pub(super) fn on_acknowledged(&mut self, now: Instant, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        dialog.acknowledged = true;
        let Some(ended) = dialog.ended.as_mut().filter(|ended| ended.caller_waits) else {
            return;
        };
        ended.caller_waits = false;
        dialog.expires = now + self.config.timers.t4;
        self.schedule_dialog(id);
        self.say_bye(now, id, Side::Caller);
    }

    /// Sends our BYE to a side in each of its dialogs, as many as callees accepted the call, each in a
    /// transaction of its own.
    fn say_bye(&mut self, now: Instant, id: u64, side: Side) {
        let Some(dialog) = self.dialogs.get(&id) else {
            return;
        };
        let ends: Vec<(Party, Box<[u8]>)> = dialog
            .callees()
            .map(|(callee, to)| {
                let party = match side {
                    Side::Caller => dialog.party(side),
                    Side::Callee => callee,
                };
                (party.clone(), to.into())
            })
            .collect();
        for (party, callee) in ends {
            let transaction = self.unique();
            let hop = match party.routes.first() {
                Some(route) => hop_of(uri_of(route)),
                None => hop_of(&party.target).filter(|_| !party.nat),
            };
            let Ok(route) = self.toward_party(&party, hop, 0) else {
                continue;
            };
            let listener = route.listener();
            let dialog = self.dialogs.get(&id);
            let bye = dialog.and_then(|dialog| {
                self.bye(dialog, (side, &party), &callee, (listener, transaction))
            });
            if let Some(bye) = bye {
                self.begin_own(now, transaction, route.to, bye.into());
            }
        }
    }

    /// Sends a request of our own until it is answered. Its branch names `transaction`; one that is
    /// under way stays.
    pub(super) fn begin_own(
        &mut self,
        now: Instant,
        transaction: u64,
        to: Destination,
        packet: Packet,
    ) {
        if self.own.contains_key(&transaction) {
            return;
        }
        let timers = self.config.timers;
        let carrier = self.carrier(to.listener());
        let client = Client::start_over(carrier, Kind::NonInvite, packet.clone(), &timers, now);
        let own = Own {
            client,
            to: to.clone(),
        };
        self.own.insert(transaction, own);
        self.schedule_own(transaction);
        self.request(transaction, to, packet);
    }

    /// Acknowledges a 2xx that nobody wants any more, and ends what it began.
    pub(super) fn end_answer(&mut self, now: Instant, ok: &Message, to: Destination) {
        let first = self.unique();
        // The 2xx comes until the ACK arrives: the BYE that is under way stays.
        let of = [ok.call_id(), ok.to_tag().unwrap_or_default(), b"bye"];
        let second = self.key.hash(of) & !(REQUEST | RESPONSE);
        let ack = self.to_callee(ok, "ACK", 0, to.listener(), first);
        let bye = self.to_callee(ok, "BYE", 1, to.listener(), second);
        self.send(to.clone(), ack.into());
        self.begin_own(now, second, to, bye.into());
    }

    /// A BYE to a party as the other side would send it: its From, the next CSeq after what it used.
    /// `callee` is the To of the callee in this dialog.
    fn bye(
        &self,
        dialog: &Dialog,
        (side, party): (Side, &Party),
        callee: &[u8],
        (listener, transaction): (u16, u64),
    ) -> Option<Vec<u8>> {
        let [caller, _] = &dialog.ends;
        let caller: &[u8] = caller;
        let (from, to) = match side {
            Side::Callee => (caller, callee),
            Side::Caller => (callee, caller),
        };
        self.listener(listener)?;
        let via = self.own_via(listener, transaction);
        let last = dialog.last_cseq(side.other(), &tag_of(callee));
        let cseq = last.saturating_add(1).to_string();
        let mut out = Vec::with_capacity(512);
        let mut add = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        add(&[b"BYE ", &party.target, b" SIP/2.0\r\n"]);
        add(&[via.as_bytes(), b"Max-Forwards: 70\r\n"]);
        for route in &party.routes {
            add(&[b"Route: ", route, b"\r\n"]);
        }
        add(&[
            b"From: ",
            from,
            b"\r\nTo: ",
            to,
            b"\r\nCall-ID: ",
            dialog.call_id_of(side),
        ]);
        add(&[b"\r\nCSeq: ", cseq.as_bytes(), b" BYE\r\n"]);
        if let Some(ended) = &dialog.ended {
            add(&[&ended.reason]);
        }
        add(&[b"Content-Length: 0\r\n\r\n"]);
        Some(out)
    }

    /// A response to a request of our own; false if it is none.
    pub(super) fn on_own_response(&mut self, now: Instant, id: u64, message: &Message) -> bool {
        let timers = self.config.timers;
        let Some(own) = self.own.get_mut(&id) else {
            return false;
        };
        own.client
            .on_response(message.parsed.status(), &timers, now);
        self.schedule_own(id);
        if message.parsed.status() >= 200 {
            self.on_probe_answer(id, message.parsed.status());
        }
        true
    }

    pub(super) fn on_own_timeout(&mut self, now: Instant, id: u64) {
        let timers = self.config.timers;
        let Some(own) = self.own.get_mut(&id) else {
            return;
        };
        if own.client.next_timeout().is_none_or(|at| at > now) {
            // A response moved it; that made an entry of its own.
            return;
        }
        let action = own.client.on_timeout(&timers, now);
        let to = own.to.clone();
        if let ClientAction::Resend(packet) = action {
            Stats::add(&self.stats.retransmissions);
            self.send(to, packet);
        }
        self.schedule_own(id);
    }

    fn schedule_own(&mut self, id: u64) {
        let Some(own) = self.own.get(&id) else {
            return;
        };
        match own.client.next_timeout() {
            Some(at) if !own.client.is_terminated() => {
                self.timers.push(std::cmp::Reverse((at, Timed::Own(id))));
            }
            _ => {
                self.own.remove(&id);
                self.forget_probe(id);
            }
        }
    }

    /// The Route values that lead from us to the sender of a message (RFC 3261 §12.1): the
    /// Record-Route of a request in its order, that of a response above ours in reverse.
    pub(super) fn routes_beyond(&self, message: &Message) -> Vec<Box<[u8]>> {
        let bytes = &message.bytes;
        let own = |value: &crate::message::Span| {
            let addr = NameAddr::parse(bytes, *value).unwrap_or_default();
            let uri = Uri::parse(bytes, addr.uri).unwrap_or_default();
            self.is_own(bytes, uri.host, uri.port)
        };
        let rows = message.rows(HeaderId::RecordRoute);
        let all = rows.flat_map(|row| values(bytes, row.value));
        let mut routes: Vec<Box<[u8]>> = all
            .take_while(|value| message.parsed.is_request() || !own(value))
            .map(|value| message.text(value).into())
            .collect();
        if !message.parsed.is_request() {
            routes.reverse();
        }
        routes
    }
}

/// The cause for the telephone network (Q.850, as RFC 3398 §8.2.6 and RFC 6432 map them).
fn q850_of(cause: u16) -> u8 {
    match cause {
        200 => 16,
        402 | 403 | 603 => 21,
        404 => 1,
        408 | 504 => 102,
        480 => 18,
        486 | 600 => 17,
        503 => 41,
        _ => 31,
    }
}

fn dialog_waits(dialog: Option<&Dialog>) -> bool {
    let ended = dialog.and_then(|dialog| dialog.ended.as_ref());
    ended.is_some_and(|ended| ended.caller_waits)
}

/// The URI of a name-addr.
pub(super) fn uri_of(value: &[u8]) -> &[u8] {
    let span = crate::message::Span::new(0, value.len());
    let addr = NameAddr::parse(value, span).unwrap_or_default();
    addr.uri.of(value)
}

pub(super) fn hop_of(uri: &[u8]) -> Option<crate::route::Hop> {
    let span = crate::message::Span::new(0, uri.len());
    Uri::parse(uri, span).ok()?.hop(uri)
}
