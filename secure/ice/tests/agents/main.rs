//! Agents against each other, over a virtual network in virtual time, and against hostile datagrams.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]

mod aioice;
mod checks;
mod consent;
mod hostile;
mod lite;
mod net;
mod paths;
mod persist;
mod restart;
mod roles;
mod trickle;
