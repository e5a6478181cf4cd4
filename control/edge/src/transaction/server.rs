//! Server transactions (RFC 3261 §17.2, RFC 6026 §7.1, §8.4).

use std::time::Instant;

use super::timer::{Timer, TimerTable, Timers};
use super::{Carrier, Kind, Packet};

/// One server transaction: a request that was received and needs a response.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    carrier: Carrier,
    state: State,
    timers: TimerTable,
    interval: std::time::Duration,
    last: Option<Packet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Trying and Proceeding.
    Open,
    /// INVITE answered with 2xx: repeats are absorbed, further 2xx pass.
    Accepted,
    Completed,
    /// INVITE whose final response was acknowledged.
    Confirmed,
    Terminated,
}

/// Actions for the owner of a server transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerAction {
    Nothing,
    /// Send these bytes again.
    Resend(Packet),
    /// The final response was never acknowledged; the transaction is over.
    TimedOut,
}

impl Server {
    /// A request that came in a datagram.
    #[cfg(test)]
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_over(Carrier::Datagram, kind)
    }

    /// A request that was received.
    pub(crate) fn start_over(carrier: Carrier, kind: Kind) -> Self {
        Self {
            kind,
            carrier,
            state: State::Open,
            timers: TimerTable::default(),
            interval: std::time::Duration::ZERO,
            last: None,
        }
    }

    /// The same request again.
    pub(crate) fn on_repeat(&self) -> ServerAction {
        match (self.state, &self.last) {
            (State::Open | State::Completed, Some(last)) => ServerAction::Resend(last.clone()),
            _ => ServerAction::Nothing,
        }
    }

    /// A response of the transaction user; false if it must not be sent (a final one was already).
    pub(crate) fn on_response(
        &mut self,
        status: u16,
        packet: Packet,
        timers: &Timers,
        now: Instant,
    ) -> bool {
        match (self.state, self.kind, status) {
            (State::Open, _, ..200) => self.last = Some(packet),
            (State::Open, Kind::Invite, 200..300) => {
                self.state = State::Accepted;
                self.last = None;
                self.timers.set(Timer::Linger, now + timers.transaction());
            }
            (State::Open, Kind::Invite, _) => {
                self.state = State::Completed;
                self.last = Some(packet);
                self.interval = timers.t1;
                if self.carrier == Carrier::Datagram {
                    self.timers.set(Timer::Retransmit, now + timers.t1);
                }
                self.timers.set(Timer::GiveUp, now + timers.transaction());
            }
            (State::Open, Kind::NonInvite, _) => {
                self.state = State::Completed;
                self.last = Some(packet);
                let linger = self.carrier.absorbs(timers.transaction());
                self.timers.set(Timer::Linger, now + linger);
            }
            (State::Accepted, Kind::Invite, 200..300) => {}
            _ => return false,
        }
        true
    }

    /// An ACK; false if it is not this machine's (it acknowledges a 2xx).
    pub(crate) fn on_ack(&mut self, timers: &Timers, now: Instant) -> bool {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                self.last = None;
                self.timers.stop_all();
                let linger = self.carrier.absorbs(timers.t4);
                self.timers.set(Timer::Linger, now + linger);
                true
            }
            State::Accepted => false,
            _ => true,
        }
    }

    /// The transport failed to send a response (RFC 3261 §17.2.4, RFC 6026 §7.1). True if the
    /// transaction user is told. The machine stays: the request may come again, by another way.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a response is sent again by its owner")
    )]
    pub(crate) fn on_transport_error(&self) -> bool {
        self.state != State::Terminated
    }

    pub(crate) fn on_timeout(&mut self, timers: &Timers, now: Instant) -> ServerAction {
        match self.timers.take_due(now) {
            Some(Timer::Retransmit) => {
                self.interval = self.interval.saturating_mul(2).min(timers.t2);
                self.timers.set(Timer::Retransmit, now + self.interval);
                self.last
                    .clone()
                    .map_or(ServerAction::Nothing, ServerAction::Resend)
            }
            Some(Timer::GiveUp) => {
                self.terminate();
                ServerAction::TimedOut
            }
            Some(Timer::Linger) => {
                self.terminate();
                ServerAction::Nothing
            }
            None => ServerAction::Nothing,
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether an ACK is still to come for a final response that refuses an INVITE.
    pub(crate) fn awaits_ack(&self) -> bool {
        self.kind == Kind::Invite && self.state == State::Completed
    }

    /// The final response is not sent again by itself, only when the request is.
    pub(crate) fn stop_repeating(&mut self) {
        self.timers.stop(Timer::Retransmit);
    }

    /// The last response, while it may have to be sent again.
    pub(crate) fn last(&self) -> Option<&Packet> {
        self.last.as_ref()
    }

    /// No final response yet.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Ends it without an answer (RFC 4320: no late 408 to a non-INVITE).
    pub(crate) fn terminate(&mut self) {
        self.state = State::Terminated;
        self.timers.stop_all();
    }
}
