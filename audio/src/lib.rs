//! Decoded audio between two parties of a call.
//!
//! The crate is pure: it owns no socket, thread, clock or random number, and knows samples, payloads
//! and RTP timestamps, not SDP and not flows. `now` and chance are arguments.
//!
//! - Signalling: [`negotiate`] decides which codecs each party is shown, and what becomes of each
//!   payload type; [`catalogue`] and [`fmtp`] are what it knows of codecs.
//! - Packets: a [`chain`] takes those of one direction and gives those that leave; [`jitter`] and
//!   [`dtx`] may stand before it, in virtual time.
//! - Playback: [`wav`] reads a file, [`chain::EncodedMedia`] is it in a codec, a [`player`] plays it;
//!   a [`mix`] is what a party of a conference hears.
//! - Arithmetic: [`codec`], [`resample`], [`dtmf`], [`sample`]. Codecs of others are opened at run
//!   time ([`library`]), the only unsafe room.
//!
//! Not done: fax, formats of files beside WAV, AMR's silence frames, Opus's redundancy.
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
pub use limits::MAX_ROUTES;
pub mod mix;
pub mod negotiate;
pub mod output;
pub mod packet;
pub mod player;
pub mod resample;
pub mod sample;
#[cfg(test)]
mod testing;
pub mod wav;
