//! Timers: one heap for all, and the actions when they fire.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::transit::Cancelled;
use super::{Proxy, REQUEST, RESPONSE, Timed, leave_setup};
use crate::dialog::State;
use crate::dialog::media::Job;
use crate::message::Method;
use crate::record::cdr::EndedBy;
use crate::screen::standing::Bond;
use crate::stats::Stats;
use crate::target::Outcome;
use crate::transaction::{ClientAction, ServerAction};
use crate::transport::Destination;

impl Proxy {
    /// Time by which [`Self::handle_timeout`] has to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let own = self.timers.peek().map(|Reverse((at, _))| *at);
        let others = [
            self.terms.first().map(|(at, _)| *at),
            self.bindings.lock().next_timeout(),
            self.resolve.next_timeout(),
            self.probes.next_timeout(),
        ];
        own.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Fires everything that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.on_bindings_timeout(now);
        self.on_lookup_timeout(now);
        self.on_probes_timeout(now);
        while let Some((at, id)) = self.terms.first().copied().filter(|(at, _)| *at <= now) {
            self.terms.remove(&(at, id));
            if let Some(dialog) = self.dialogs.get_mut(&id) {
                dialog.scheduled = None;
                self.on_dialog_timeout(now, id);
            }
        }
        while let Some(Reverse((at, timed))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            match timed {
                Timed::Transit(id) => {
                    if let Some(transit) = self.transits.get_mut(&id) {
                        transit.scheduled.take_if(|s| *s <= at);
                        self.on_transit_timeout(now, id);
                        self.schedule(id);
                    }
                }
                Timed::Own(id) => self.on_own_timeout(now, id),
                Timed::Names => self.learn_names(now),
                Timed::Refused(id) => self.on_refused_timeout(now, id),
                Timed::Watch(id) => self.on_watch_timeout(now, id),
            }
        }
        self.publish_gauges();
    }

    /// Enters the next timer of a transit in the heap, or forgets the transit.
    pub(super) fn schedule(&mut self, id: u64) {
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        if transit.is_unacknowledged && !transit.server.awaits_ack() {
            transit.is_unacknowledged = false;
            let source = transit.source.owner();
            if let Some(count) = self.unacknowledged.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    self.unacknowledged.remove(&source);
                }
            }
        }
        if transit.is_over() {
            self.forget_lookup(id);
            if let Some(mut transit) = self.transits.remove(&id) {
                if let Some(pick) = transit.pick.as_mut() {
                    pick.give_up();
                }
                self.memory
                    .change(transit.source.owner(), &mut transit.weight, 0);
                self.by_server_key.remove(&transit.key);
                let spent = transit.spent.iter().map(|spent| spent.number);
                for number in spent.chain([transit.number]) {
                    self.by_branch.remove(&number);
                }
            }
            return;
        }
        if let Some(next) = transit.next_timeout()
            && transit.scheduled.is_none_or(|at| next < at)
        {
            transit.scheduled = Some(next);
            self.timers.push(Reverse((next, Timed::Transit(id))));
        }
    }

    /// Enters the end of a call's term in the place of the one before: the longest terms are hours, and
    /// attempts may be many.
    pub(super) fn schedule_dialog(&mut self, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        if let Some(before) = dialog.scheduled.replace(dialog.expires) {
            self.terms.remove(&(before, id));
        }
        self.terms.insert((dialog.expires, id));
    }

    fn on_dialog_timeout(&mut self, now: Instant, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        if dialog.expires > now {
            self.schedule_dialog(id);
            return;
        }
        if dialog.state == State::Confirmed {
            let text = match (dialog.ended_by, dialog.end_by <= now) {
                (Some(_), _) => "Hung Up",
                (None, true) => "Maximum Duration",
                (None, false) => "Session Expired",
            };
            dialog.ended_by.get_or_insert(EndedBy::Expiry);
            self.end_call(now, id, 200, text);
            return;
        }
        if dialog
            .ended
            .as_ref()
            .is_some_and(|ended| ended.caller_waits)
        {
            self.on_acknowledged(now, id);
            return;
        }
        if dialog.media.active || dialog.media.busy.is_some() {
            dialog.expires = now + Duration::from_secs(1);
            self.schedule_dialog(id);
            self.run_delete_once(now, id);
        } else if let Some(mut dialog) = self.dialogs.remove(&id) {
            leave_setup(&mut self.in_setup, &mut dialog);
            if let Some(slot) = dialog.slot.take() {
                slot.release();
            }
            self.by_call.remove(&dialog.key, id);
            self.numbers.remove(&id);
            for flow in dialog.held {
                self.protect(flow, Bond::Dialog, false);
                self.change_use(flow, false);
            }
        }
    }

    fn run_delete_once(&mut self, now: Instant, id: u64) {
        let waiting = |job: &Job| matches!(job, Job::Delete);
        if self
            .dialogs
            .get(&id)
            .is_some_and(|d| !d.media.queue.iter().any(waiting))
        {
            self.run(now, Some(id), Job::Delete);
        }
    }

    fn on_transit_timeout(&mut self, now: Instant, id: u64) {
        let timers = self.config.timers;
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        if transit.is_stuck(now) {
            // RFC 4320 §4.2: its sender gave up long ago.
            match transit.request.method() {
                Method::Invite => self.respond(now, id, (408, "Request Timeout"), b""),
                _ => transit.server.terminate(),
            }
            self.end_failed_call(now, id);
            return;
        }
        let way = transit.route.to.clone();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut sends = Vec::new();
        if due(transit.server.next_timeout())
            && let ServerAction::Resend(packet) = transit.server.on_timeout(&timers, now)
        {
            sends.push((transit.reply_to.into(), packet));
        }
        let (mut unanswered, mut rang_out, mut silent) = (false, false, false);
        if let Some(branch) = transit.branch.as_mut() {
            if due(branch.client.next_timeout()) {
                match branch.client.on_timeout(&timers, now) {
                    ClientAction::Resend(packet) => sends.push((way.clone(), packet)),
                    ClientAction::TimedOut => unanswered = true,
                    _ => {}
                }
            }
            if let Some(own) = branch.own.as_mut().filter(|own| due(own.next_timeout()))
                && let ClientAction::Resend(packet) = own.on_timeout(&timers, now)
            {
                sends.push((way.clone(), packet));
            }
            rang_out = branch.ringing.take_if(|at| *at <= now).is_some();
            silent = branch.cancel_by.take_if(|at| *at <= now).is_some() && branch.client.is_open();
            if silent {
                branch.client.terminate();
            }
        }
        let method = transit.request.method();
        let gave_up = transit.give_up.take_if(|at| *at <= now).is_some();
        let dialog = transit.dialog;
        let cancelled = transit.cancelled.is_some();
        if rang_out {
            transit.cancelled.get_or_insert(Cancelled::ByUs(Vec::new()));
        }
        for (to, packet) in sends {
            Stats::add(&self.stats.retransmissions);
            self.send(to, packet);
        }
        if rang_out {
            self.cancel_branch(now, id);
        }
        if unanswered && self.on_target_lost(now, id, Outcome::NoResponse) {
            return;
        }
        self.on_target_timeout(now, id);
        if gave_up {
            self.respond(now, id, (480, "Temporarily Unavailable"), b"");
        }
        if !unanswered && !silent {
            return;
        }
        if method == Method::Invite {
            let answer = if cancelled {
                (487, "Request Terminated")
            } else {
                (408, "Request Timeout")
            };
            self.respond(now, id, answer, b"");
            self.end_failed_call(now, id);
            return;
        }
        // RFC 4320 §4.2: no 408 to a non-INVITE; the sender has timed out as well.
        if let Some(transit) = self.transits.get_mut(&id) {
            transit.server.terminate();
        }
        if method == Method::Bye {
            self.end_dialog(now, dialog);
        }
    }

    /// What was sent with this token did not leave, or reached nobody (ICMP).
    pub(crate) fn handle_unsendable(&mut self, now: Instant, token: u64) {
        let id = token & !(REQUEST | RESPONSE);
        if token & REQUEST != 0 {
            self.on_probe_lost(now, id);
            self.fail_branch(now, id);
        } else if token & RESPONSE != 0 {
            self.reopen_reply(id);
        }
        self.publish_gauges();
    }

    /// A branch that cannot be sent ends like one answered 503 (RFC 3261 §16.9), and one whose
    /// flow is gone with 430 (RFC 5626 §5.3).
    fn fail_branch(&mut self, now: Instant, number: u64) {
        let id = self.by_branch.get(&number).copied().unwrap_or(number);
        // One that was given up says nothing about the branch in use.
        let transit = self.transits.get_mut(&id);
        let Some(transit) = transit.filter(|t| t.number == number) else {
            return;
        };
        let Some(branch) = transit.branch.as_mut() else {
            return;
        };
        if !branch.client.on_transport_error() {
            return;
        }
        branch.ringing = None;
        if self.on_target_lost(now, id, Outcome::Unreachable) {
            return;
        }
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        let (method, dialog) = (transit.request.method(), transit.dialog);
        let is_flow = matches!(transit.route.to, Destination::Flow(_));
        let is_stream = self.protocol_of(self.transits.get(&id).map_or(0, |t| t.route.listener()));
        let answer = match is_flow && is_stream.is_stream() {
            true => (430, "Flow Failed"),
            false => (503, "Service Unavailable"),
        };
        self.respond(now, id, answer, b"");
        self.end_failed_call(now, id);
        if method == Method::Bye {
            self.end_dialog(now, dialog);
        }
    }

    /// The connection of a request is closed: its response goes to a new one to the sent-by of its
    /// Via (RFC 3261 §18.2.2), once.
    fn reopen_reply(&mut self, id: u64) {
        let Some(transit) = self.transits.get_mut(&id) else {
            return;
        };
        let sent_by = transit.sent_by.take();
        let (Some(peer), Some(packet)) = (sent_by, transit.server.last().cloned()) else {
            return;
        };
        let listener = transit.reply_to.listener;
        if self.protocol_of(listener).is_stream() {
            let to = Destination::Open {
                listener,
                peer,
                server_name: None,
            };
            self.send(to, packet);
        }
    }
}
