//! Transactions: the four machines of RFC 3261 §17 with the Accepted state of RFC 6026.
//!
//! Each machine takes an event with `now` and answers what to do; it owns its timers and knows
//! nothing of sockets, of other transactions, or of what is in a message. After every call the owner
//! asks `next_timeout`, and drops the machine once it `is_terminated`.

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod timer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use client::{Client, ClientAction};
pub(crate) use server::{Server, ServerAction};

/// INVITE transactions have three-way handshakes, all others two-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invite,
    NonInvite,
}

/// Bytes kept for retransmission.
pub(crate) type Packet = Arc<[u8]>;
