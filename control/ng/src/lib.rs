//! The ng control protocol: codec, typed requests and replies, server transports, client.
//!
//! A message is `COOKIE SP PAYLOAD`; the payload is a dictionary in bencode or JSON. See
//! [`Responder`] for the way of a request.
#![forbid(unsafe_code)]

pub mod bencode;
pub mod client;
mod command;
mod cookie;
pub mod errors;
mod flags;
mod ids;
pub mod json;
pub mod limits;
mod reply;
mod request;
mod respond;
mod rtpp_flags;
pub mod server;
mod value;

pub use command::Command;
pub use cookie::CookieCache;
pub use flags::FlagSet;
pub use ids::{Branch, CallId, Tag};
pub use reply::Reply;
pub use request::{EndpointLearning, Family, Ignored, Replace, Request, RtcpMux};
pub use respond::{Encoding, Handler, Responder};
pub use value::{Dict, Value};

#[cfg(test)]
mod tests;
