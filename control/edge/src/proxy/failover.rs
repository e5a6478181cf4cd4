//! The next target of a request whose last one failed (spec §14), one after the other.

use std::time::Instant;

use super::Proxy;
use super::transit::Spent;
use crate::dialog::media::Job;
use crate::message::build::{self, Sibling};
use crate::message::{Message, Method};
use crate::transaction::{ClientAction, Packet};

impl Proxy {
    /// Sends the request to its next target, if it has one and may still go there. Its offer was
    /// taken by the relay already; the same SDP goes to the next target.
    pub(super) fn try_next(&mut self, now: Instant, id: u64) -> bool {
        let number = self.unique();
        let Some(transit) = self.transits.get_mut(&id) else {
            return false;
        };
        let may = transit.server.is_open() && transit.cancelled.is_none();
        if !may || transit.had_early_media || transit.route.others.is_empty() {
            return false;
        }
        let mut others = std::mem::take(&mut transit.route.others);
        let mut next = others.remove(0);
        next.others = others;
        let to = std::mem::replace(&mut transit.route, next).to;
        if let Some(branch) = transit.branch.take() {
            transit.spent.push(Spent {
                number: transit.number,
                branch,
                to,
            });
        }
        transit.number = number;
        transit.answer_by = None;
        self.by_branch.insert(number, id);
        let (flow, zone, dialog) = (transit.route.flow(), transit.route.zone, transit.dialog);
        if let Some(dialog) = dialog.and_then(|d| self.dialogs.get_mut(&d)) {
            dialog.redirect(flow, zone);
        }
        self.run(now, dialog, Job::Request { transit: id });
        true
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
        let Some(spent) = transit.spent.iter_mut().find(|s| s.number == number) else {
            return;
        };
        if !is_invite || response.method() != Method::Invite {
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
