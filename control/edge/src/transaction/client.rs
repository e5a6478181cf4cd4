//! Client transactions (RFC 3261 §17.1, RFC 6026 §7.2, §8.4).

use std::time::Instant;

use super::timer::{Timer, TimerTable, Timers};
use super::{Carrier, Kind, Packet};

/// One client transaction: a request that was sent and waits for its response.
#[derive(Debug)]
pub(crate) struct Client {
    kind: Kind,
    carrier: Carrier,
    state: State,
    cancel: Cancel,
    timers: TimerTable,
    interval: std::time::Duration,
    request: Packet,
    ack: Option<Packet>,
}

/// Whether a CANCEL is wanted for an INVITE, and has gone (RFC 3261 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    Unwanted,
    /// It waits for a provisional response.
    Wanted,
    Sent,
}

/// What a wish to cancel comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelStep {
    /// Build the CANCEL and send it in a transaction of its own, now.
    Send,
    /// Not before a provisional response: [`Client::take_cancel`] tells when.
    Wait,
    /// It went before, or there is nothing to cancel: the request is answered, or no INVITE.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calling and Trying.
    Sent,
    Proceeding,
    /// INVITE: a 2xx came; more may, from other forks or repeated.
    Accepted,
    Completed,
    Terminated,
}

/// Actions for the owner of a client transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientAction {
    Nothing,
    /// The response is new to the transaction user.
    Deliver,
    /// As `Deliver`; in addition build the ACK, pass it to [`Client::acknowledge`] and send it.
    DeliverAndAck,
    /// Send these bytes again.
    Resend(Packet),
    /// No response came; the transaction is over.
    TimedOut,
}

impl Client {
    /// Starts the transaction over datagrams; the owner sends `request` once.
    #[cfg(test)]
    pub(crate) fn start(kind: Kind, request: Packet, timers: &Timers, now: Instant) -> Self {
        Self::start_over(Carrier::Datagram, kind, request, timers, now)
    }

    /// Starts the transaction; the owner sends `request` once.
    pub(crate) fn start_over(
        carrier: Carrier,
        kind: Kind,
        request: Packet,
        timers: &Timers,
        now: Instant,
    ) -> Self {
        let mut table = TimerTable::default();
        if carrier == Carrier::Datagram {
            table.set(Timer::Retransmit, now + timers.t1);
        }
        table.set(Timer::GiveUp, now + timers.transaction());
        Self {
            kind,
            carrier,
            state: State::Sent,
            cancel: Cancel::Unwanted,
            timers: table,
            interval: timers.t1,
            request,
            ack: None,
        }
    }

    /// A response that belongs to this transaction.
    pub(crate) fn on_response(
        &mut self,
        status: u16,
        timers: &Timers,
        now: Instant,
    ) -> ClientAction {
        let open = matches!(self.state, State::Sent | State::Proceeding);
        match (self.kind, status) {
            (_, ..200) if open => {
                self.state = State::Proceeding;
                // Timer C of the proxy takes over, unless a CANCEL waits for its effect.
                if self.kind == Kind::Invite && self.cancel != Cancel::Sent {
                    self.timers.stop_all();
                }
                ClientAction::Deliver
            }
            (Kind::Invite, 200..300) if open || self.state == State::Accepted => {
                if open {
                    self.state = State::Accepted;
                    self.request = Packet::default();
                    self.timers.stop_all();
                    self.timers.set(Timer::Linger, now + timers.transaction());
                }
                ClientAction::Deliver
            }
            (Kind::Invite, 300..) if open => {
                self.state = State::Completed;
                self.timers.stop_all();
                let linger = self.carrier.absorbs(timers.timer_d());
                self.timers.set(Timer::Linger, now + linger);
                ClientAction::DeliverAndAck
            }
            (Kind::Invite, 300..) if self.state == State::Completed => self
                .ack
                .clone()
                .map_or(ClientAction::Nothing, ClientAction::Resend),
            (Kind::NonInvite, 200..) if open => {
                self.state = State::Completed;
                self.request = Packet::default();
                self.timers.stop_all();
                let linger = self.carrier.absorbs(timers.t4);
                self.timers.set(Timer::Linger, now + linger);
                ClientAction::Deliver
            }
            _ => ClientAction::Nothing,
        }
    }

    /// Somebody wants the INVITE cancelled.
    pub(crate) fn cancel(&mut self, timers: &Timers, now: Instant) -> CancelStep {
        match (self.kind, self.state, self.cancel) {
            (Kind::Invite, State::Sent, Cancel::Unwanted | Cancel::Wanted) => {
                self.cancel = Cancel::Wanted;
                CancelStep::Wait
            }
            (Kind::Invite, State::Proceeding, Cancel::Unwanted | Cancel::Wanted) => {
                self.cancel = Cancel::Sent;
                // A peer that answers neither is given up (RFC 3261 §9.1).
                self.timers.set(Timer::GiveUp, now + timers.transaction());
                CancelStep::Send
            }
            _ => CancelStep::Over,
        }
    }

    /// After a provisional response: whether a CANCEL waited for it and goes now. True once.
    pub(crate) fn take_cancel(&mut self, timers: &Timers, now: Instant) -> bool {
        self.cancel == Cancel::Wanted
            && self.state == State::Proceeding
            && self.cancel(timers, now) == CancelStep::Send
    }

    /// The transport failed to send (RFC 3261 §17.1.4). True if the transaction user is told, who
    /// takes it for a 503; then the transaction is over.
    pub(crate) fn on_transport_error(&mut self) -> bool {
        let is_told = self.is_open();
        // RFC 6026 §7.2: an ACK that cannot be sent says nothing new about the call.
        if is_told || self.state == State::Completed {
            self.terminate();
        }
        is_told
    }

    /// Keeps the ACK for repeated final responses; the request is not needed any more.
    pub(crate) fn acknowledge(&mut self, ack: Packet) {
        self.request = Packet::default();
        self.ack = Some(ack);
    }

    /// The request as it was sent; empty once answered and, if it failed, acknowledged.
    pub(crate) fn request(&self) -> &Packet {
        &self.request
    }

    pub(crate) fn on_timeout(&mut self, timers: &Timers, now: Instant) -> ClientAction {
        match self.timers.take_due(now) {
            Some(Timer::Retransmit) => {
                let doubled = self.interval.saturating_mul(2);
                self.interval = match (self.kind, self.state) {
                    (Kind::Invite, _) => doubled,
                    (Kind::NonInvite, State::Proceeding) => timers.t2,
                    (Kind::NonInvite, _) => doubled.min(timers.t2),
                };
                self.timers.set(Timer::Retransmit, now + self.interval);
                ClientAction::Resend(self.request.clone())
            }
            Some(Timer::GiveUp) => {
                self.terminate();
                ClientAction::TimedOut
            }
            Some(Timer::Linger) => {
                self.terminate();
                ClientAction::Nothing
            }
            None => ClientAction::Nothing,
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// No final response yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Sent | State::Proceeding)
    }

    pub(crate) fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Ends it from outside: nothing is sent or expected any more.
    pub(crate) fn terminate(&mut self) {
        self.state = State::Terminated;
        self.timers.stop_all();
    }
}
