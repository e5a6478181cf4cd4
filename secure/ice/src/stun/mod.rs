//! STUN Binding messages as ICE needs them (RFC 8489, RFC 8445 §7).
//!
//! [`Message::parse`] checks a datagram once and lays a view over it; [`Writer`] builds a message in
//! the caller's buffer. Neither allocates. Read `message.rs` first.
//!
//! ```text
//!  0                   1                   2                   3
//! |0 0|  message type (14 bits)   |         message length        |
//! |                 magic cookie 0x2112A442                       |
//! |                 transaction ID (96 bits)                      |
//! |     attribute type            |         length                | then the value, padded to 4
//! ```

mod attribute;
mod integrity;
mod message;
mod reader;
mod writer;

pub use attribute::{ErrorCode, Tie, UnknownAttributes};
pub use integrity::IntegrityKey;
pub use message::{Class, Fingerprint, Glance, Message, StunError, TransactionId, is_stun};
pub use writer::{Full, Writer};

const MAGIC_COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
/// XOR of the CRC in FINGERPRINT (RFC 8489 §14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;

#[cfg(test)]
mod tests;
