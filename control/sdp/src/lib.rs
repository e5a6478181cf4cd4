//! SDP as a relay needs it: a model of what was received, and a printer for what is sent on.
//!
//! The engine does not edit a received text. It parses it ([`SessionDescription::parse`]), keeps
//! what it needs, and prints a whole new one ([`write::Session::to_bytes`]) from its own state and
//! the parts that are carried over ([`write::Carry`]). Offer and answer (RFC 3264) are not
//! understood here, only their text (RFC 8866).
#![forbid(unsafe_code)]

mod attribute;
mod error;
mod limits;
mod line;
mod media;
mod parser;
mod session;
mod text;
pub mod write;

pub use attribute::{
    Attribute, AttributeClass, Bandwidth, Candidate, CandidateKind, Codec, CryptoLine, Direction,
    Extmap, Fingerprint, FurtherKey, HashFunction, Ice, Lifetime, Mki, RtcpAttribute,
    SessionParameters, Setup, Suite,
};
pub use error::{Cap, ParseError, Reason};
pub use limits::Limits;
pub use media::{Media, MediaKind, Transport};
pub use session::{Origin, ParseOptions, SessionDescription, SessionPart};
pub use text::Text;
