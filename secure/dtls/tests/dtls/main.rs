//! Sessions of ours against each other over a link with faults, in virtual time, and against OpenSSL
//! over loopback.

#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]

mod hostile;
mod link;
mod openssl;
mod pair;
mod renewal;
mod state;
mod strangers;
