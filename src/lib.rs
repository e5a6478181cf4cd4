//! Windlass: an RTP media anchoring engine.
//!
//! A SIP proxy hands every offer and answer over the ng control protocol; the engine opens ports,
//! rewrites the SDP and relays the media. See ARCHITECTURE.md for the design.
#![deny(unsafe_code)]

pub mod agents;
#[cfg(test)]
mod arrows;
pub mod call;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod dataplane;
pub mod demo;
pub mod explain;
pub mod flow;
pub mod limits;
pub mod media;
pub mod observe;
pub mod setup;
pub mod shadow;
