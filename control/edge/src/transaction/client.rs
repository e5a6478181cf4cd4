//! Client transactions (RFC 3261 §17.1, RFC 6026 §7.2) over an unreliable transport.

use std::time::Instant;

use super::timer::{Timer, TimerTable, Timers};
use super::{Kind, Packet};

/// One client transaction: a request that was sent and waits for its response.
#[derive(Debug)]
pub(crate) struct Client {
    kind: Kind,
    state: State,
    timers: TimerTable,
    interval: std::time::Duration,
    request: Packet,
    ack: Option<Packet>,
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
    /// Starts the transaction; the owner sends `request` once.
    pub(crate) fn start(kind: Kind, request: Packet, timers: &Timers, now: Instant) -> Self {
        let mut table = TimerTable::default();
        table.set(Timer::Retransmit, now + timers.t1);
        table.set(Timer::GiveUp, now + timers.transaction());
        Self {
            kind,
            state: State::Sent,
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
                if self.kind == Kind::Invite {
                    // Timer C of the proxy takes over.
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
                // Timer D: at least 32 s, or as long as a peer with our T1 repeats itself.
                self.timers.set(Timer::Linger, now + timers.transaction());
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
                self.timers.set(Timer::Linger, now + timers.t4);
                ClientAction::Deliver
            }
            _ => ClientAction::Nothing,
        }
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
