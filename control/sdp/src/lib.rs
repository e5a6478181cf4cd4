//! SDP as a relay needs it: model, parser, writer.
//!
//! A relay does not edit an SDP. It parses what it receives into a [`SessionDescription`], keeps
//! state, and prints a complete new one from a [`write::Session`]. What it does not understand is
//! carried as the bytes that it is.
#![forbid(unsafe_code)]

mod attribute;
mod error;
pub mod limits;
mod media;
mod parse;
mod session;
mod text;
pub mod write;

pub use attribute::{Bandwidth, Codec, Direction, Origin, Rtcp, Transport};
pub use error::{ParseError, Reason};
pub use media::MediaDescription;
pub use parse::ParseOptions;
pub use session::SessionDescription;
pub use text::Text;

#[cfg(test)]
mod tests;
