//! SRTP and SRTCP for the packet path of a relay (RFC 3711, RFC 6188, RFC 7714).
//!
//! [`Open`] is what arrives from a party, [`Seal`] what leaves to it. Both change packets in place
//! in the caller's buffer, own no socket, clock or random number, and allocate nothing for a
//! packet of a source that is known. [`Keys`] come from signalling: SDES (RFC 4568) or the
//! exporter of DTLS-SRTP (RFC 5764).
//!
//! What is promised, whatever arrives:
//! - A packet is accepted once at most, and the highest authenticated index of a source never goes
//!   back ([`Open`]).
//! - No keystream protects two different packets ([`Seal`]).
//! - A packet that does not authenticate changes nothing, and costs a fixed number of tags.
//! - Both survive the process: [`OpenState`], [`SealState`], [`Progress`].
//!
//! Not done: key derivation rates other than 0 (RFC 3711 §4.3.1), encrypted header extensions
//! (RFC 6904), the `From, To` form of key identification.
#![forbid(unsafe_code)]

mod derive;
mod error;
mod header;
mod keys;
mod lent;
mod limits;
mod open;
mod persist;
mod seal;
mod session;
mod sources;
mod suite;
#[cfg(test)]
mod testing;
mod transform;
mod window;

pub use error::Refusal;
pub use keys::{Keys, KeysError, Mki, Parameters};
pub use lent::{RtpReach, RtpSession};
pub use limits::{MAX_OVERHEAD, MAX_REMEMBERED, MAX_SOURCES, RTCP_WINDOW, RTP_WINDOW};
pub use open::Open;
pub use persist::{Freshness, OpenState, Progress, SealState, StateError};
pub use seal::{Numbering, Seal};
pub use suite::Suite;
