//! CANCEL: of callers, and of our own (RFC 3261 §9).

use std::time::Instant;

use super::Proxy;
use super::transit::Cancelled;
use crate::message::build::{self, Sibling};
use crate::message::{HeaderId, Message};
use crate::transaction::{Client, Kind, Packet};
use crate::transport::Flow;

impl Proxy {
    /// CANCEL is answered here and goes on as our own (RFC 3261 §9.2, §16.10). Its answer is the
    /// same each time, so it needs no transaction.
    pub(super) fn on_cancel(&mut self, now: Instant, id: u64, source: Flow, cancel: &Message) {
        let Some(transit) = self.transits.get(&id) else {
            return;
        };
        let tag = Some(&*transit.own_tag);
        let ok = self.own_response(cancel, source, (200, "OK"), tag, b"");
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        let mut parked = false;
        if transit.server.is_open() && transit.cancelled.is_none() {
            let mut reasons = Vec::new();
            for row in cancel.rows(HeaderId::Reason) {
                reasons.extend_from_slice(cancel.text(row.row));
            }
            transit.cancelled = Some(Cancelled::ByCaller(reasons));
            parked = transit.branch.is_none();
        }
        self.send(self.reply_target(cancel, source).into(), ok.into());
        if parked {
            self.respond(now, id, (487, "Request Terminated"), b"");
            self.end_failed_call(now, id);
        } else {
            self.cancel_branch(now, id);
        }
    }

    /// Sends our CANCEL if it is wanted and may be sent: once, and not before a provisional response.
    pub(super) fn cancel_branch(&mut self, now: Instant, id: u64) {
        if self
            .transits
            .get(&id)
            .is_some_and(|t| t.cancelled.is_some())
        {
            self.cancel_pick(now, id);
        }
        let timers = self.config.timers;
        let listener = self.transits.get(&id).map_or(0, |t| t.route.listener());
        let carrier = self.carrier(listener);
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        let to = transit.route.to.clone();
        let (Some(branch), Some(cancelled)) = (&mut transit.branch, &transit.cancelled) else {
            return;
        };
        if branch.own.is_some() || !branch.client.is_proceeding() {
            return;
        }
        let Some(sent) = self
            .scratch
            .reparse(branch.client.request(), &self.config.limits.of_stream())
        else {
            return;
        };
        let packet: Packet = build::sibling(&sent, Sibling::Cancel(cancelled.reasons())).into();
        let cancel = Client::start_over(carrier, Kind::NonInvite, packet.clone(), &timers, now);
        branch.own = Some(cancel);
        branch.cancel_by = Some(now + timers.transaction());
        branch.ringing = None;
        self.send(to, packet);
        self.schedule(id);
    }
}
