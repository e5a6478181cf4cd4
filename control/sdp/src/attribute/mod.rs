//! Attributes: the received line, its treatment, and one file per family of typed ones.

mod bandwidth;
pub(crate) mod base64;
pub(crate) mod codec;
mod crypto;
mod direction;
mod dtls;
mod extmap;
mod format;
mod ice;
mod rtcp;

use std::fmt;

pub use bandwidth::Bandwidth;
pub use codec::Codec;
pub use crypto::{CryptoLine, FurtherKey, Lifetime, Mki, SessionParameters, Suite};
pub use direction::Direction;
pub use dtls::{Fingerprint, HashFunction, Setup};
pub use extmap::Extmap;
pub use ice::{Candidate, CandidateKind, Ice};
pub use rtcp::RtcpAttribute;
pub(crate) use rtcp::address_of;

use crate::text::Text;

/// One `a=` line as received, without the `a=`.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The whole `name` or `name:value`.
    pub text: Text,
    /// Treatment in rewriting.
    pub class: AttributeClass,
    pub(crate) name_len: usize,
}

impl Attribute {
    /// The part before the first colon.
    pub fn name(&self) -> &[u8] {
        self.text
            .as_bytes()
            .get(..self.name_len)
            .unwrap_or_default()
    }

    /// The part after the first colon, if there is one.
    pub fn value(&self) -> Option<&[u8]> {
        self.text.as_bytes().get(self.name_len + 1..)
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.name(), b"crypto" | b"ice-pwd") {
            return write!(f, "{}:…", String::from_utf8_lossy(self.name()));
        }
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Treatment of an attribute in rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeClass {
    /// Read into the model (or unreadable) and printed anew; never copied.
    Consumed,
    /// `sendrecv`, `sendonly`, `recvonly`, `inactive`.
    Direction,
    /// Carried as it is, in order.
    Generic,
    /// Session level `rtcp-fb` and groups other than BUNDLE, which the reference loses.
    Retained,
}
