//! Decoded audio between two parties of a call: codecs, conversion of clocks, tones.
//!
//! The crate is pure: it owns no socket, thread, clock or random number, and knows samples, payloads
//! and RTP timestamps, not SDP and not flows.
#![deny(unsafe_code)]

pub mod catalogue;
pub mod chain;
pub mod codec;
pub mod dtmf;
pub mod dtx;
pub mod fmtp;
pub mod format;
pub mod input;
pub mod jitter;
pub mod library;
mod limits;
pub mod negotiate;
pub mod output;
pub mod packet;
pub mod player;
pub mod resample;
pub mod sample;
#[cfg(test)]
mod testing;
pub mod wav;
