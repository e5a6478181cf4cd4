//! ICE for a media relay: a STUN codec and an agent per media.
//!
//! [`stun`] reads and writes Binding messages (RFC 8489). `agent` is the ICE agent (RFC 8445) with
//! host candidates, full or lite, trickle (RFC 8838), restart and consent freshness (RFC 7675).
//! Nothing here owns a socket, a clock or a source of chance: datagrams, `now` and the RNG are passed
//! in, datagrams, events and the next timeout are asked for. Gathering from STUN or TURN servers is
//! not done: a relay is reached at its own addresses.
#![forbid(unsafe_code)]

pub mod agent;
mod credentials;
pub mod limits;
pub mod stun;

pub use credentials::{Credentials, CredentialsError, Password};
