//! What an agent tells.

use std::net::SocketAddr;

use super::Role;
use super::candidate::Component;

/// Something that changed. See [`Agent::poll_event`](super::Agent::poll_event).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// `remote` proved on `local` that it is the peer: DTLS and media from there may be admitted. That
    /// ends without an event (mux, a completed restart, newer sources): ask
    /// [`Agent::valid_sources`](super::Agent::valid_sources) for the whole list.
    Authenticated {
        /// What is carried.
        component: Component,
        /// Where it arrived.
        local: SocketAddr,
        /// Where it came from.
        remote: SocketAddr,
    },
    /// All components have a selected pair. Once per generation.
    Completed,
    /// The peer stopped to agree to being sent to: nothing may be sent on this pair any more. Only an
    /// ICE restart brings the component back (RFC 7675 §5.1), unless the peer nominates another pair.
    ConsentLost {
        /// What was carried.
        component: Component,
        /// Our side.
        local: SocketAddr,
        /// The peer's side.
        remote: SocketAddr,
    },
    /// No pair works and none is left to be tried. The peer may still come, and is then served.
    Failed,
    /// A role conflict was resolved against us, or the peer turned out to be lite.
    RoleChanged(Role),
    /// The pair is nominated: media goes this way.
    Selected {
        /// What is carried.
        component: Component,
        /// Our side.
        local: SocketAddr,
        /// The peer's side.
        remote: SocketAddr,
    },
    /// All components have a pair that works: media may go this way already, and DTLS may start.
    Usable {
        /// What is carried.
        component: Component,
        /// Our side.
        local: SocketAddr,
        /// The peer's side.
        remote: SocketAddr,
    },
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not to be used. What is said to a request, if anything, waits in `poll_transmit`.
    Dropped(Refusal),
    /// No STUN message with a fingerprint: to be read as DTLS, RTP or RTCP.
    NotStun,
    /// Was for the agent.
    Taken,
}

/// Why a STUN message is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A request without USERNAME or MESSAGE-INTEGRITY; answered with 400, unless there are too many.
    #[error("request without username or message integrity")]
    BadRequest,
    /// Unreadable.
    #[error("malformed STUN message")]
    Malformed,
    /// A request of somebody who has our password and another ufrag than the peer whose pair is in use.
    /// A peer that is about to restart sends such from its new sockets, under our old credentials, as
    /// long as it waits for our answer: one that got a response would be held on to (Chromium).
    #[error("request of another peer than the one in use")]
    OtherPeer,
    /// A request that was there before, from another source: somebody else sent it again.
    #[error("request repeated from another source")]
    Replayed,
    /// Both sides take themselves to be in one role, and the peer has to change; answered with 487.
    #[error("role conflict that the peer has to resolve")]
    RoleConflict,
    /// MESSAGE-INTEGRITY is missing in a response, or was not made with the password; a request is
    /// answered with 401.
    #[error("wrong message integrity")]
    Unauthentic,
    /// A request with attributes that have to be understood; answered with 420.
    #[error("unknown attribute that must be understood")]
    UnknownAttribute,
    /// A response to no request of ours, or that is over.
    #[error("response to no open request")]
    UnknownTransaction,
    /// A request for somebody else; answered with 401.
    #[error("username of another agent")]
    UnknownUser,
    /// A response that took another way than its request (RFC 8445 §7.2.5.2.1).
    #[error("response on another path than its request")]
    WrongPath,
}

/// What an agent did so far, over all of its generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Authenticated requests.
    pub requests_in: u32,
    /// Authenticated responses to our checks and consent checks.
    pub responses_in: u32,
    /// Checks that were sent, with retransmissions.
    pub checks_out: u32,
    /// Consent checks that were sent.
    pub consent_out: u32,
    /// Messages with the wrong user, the wrong password, or none.
    pub unauthentic_in: u32,
    /// Requests of these that were not answered, since too many came.
    pub unanswered_in: u32,
    /// Other messages that were not used.
    pub dropped_in: u32,
}

impl Counters {
    pub(super) fn note(&mut self, refusal: Refusal) {
        let count = match refusal {
            Refusal::BadRequest | Refusal::Unauthentic | Refusal::UnknownUser => {
                &mut self.unauthentic_in
            }
            _ => &mut self.dropped_in,
        };
        *count = count.wrapping_add(1);
    }
}
