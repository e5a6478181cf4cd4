//! Transactions: the four machines of RFC 3261 §17 with the Accepted state of RFC 6026.
//!
//! Each machine takes an event with `now` and answers what to do; it owns its timers and knows
//! nothing of sockets, of other transactions, or of what is in a message. After every call the owner
//! asks `next_timeout`, and drops the machine once it `is_terminated`.

#[allow(
    dead_code,
    reason = "the stream transports and own forking will use all of it"
)]
pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod timer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use client::{Client, ClientAction};
pub(crate) use server::{Server, ServerAction};

/// INVITE transactions have three-way handshakes, all others two-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invite,
    NonInvite,
}

/// Whether the transport below repeats what is lost (RFC 3261 §17: reliable or unreliable).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// UDP: messages are repeated, and the repeats of the other side absorbed.
    #[default]
    Datagram,
    /// TCP, TLS, WS, WSS: nothing is repeated, and nothing has to be absorbed.
    Stream,
}

impl Carrier {
    /// The time for which repeats are absorbed: none on streams (timers D, I, J and K).
    fn absorbs(self, time: Duration) -> Duration {
        match self {
            Self::Datagram => time,
            Self::Stream => Duration::ZERO,
        }
    }
}

/// Bytes kept for retransmission.
pub(crate) type Packet = Arc<[u8]>;
