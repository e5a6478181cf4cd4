//! What outlives the process (spec/survive.md): the journal of calls and the live area in shared
//! memory, who follows and who owns them, hand-over to a successor, and who holds the descriptors
//! meanwhile.
//!
//! A call is opaque bytes with a number and a call-id here. Time, random numbers and the answers of
//! the system are passed in wherever a decision is taken; `sys` and the threads of [`follow`] and
//! [`hold`] are the exceptions.
#![deny(unsafe_code)]

pub mod cbor;
pub mod follow;
pub mod handover;
pub mod hold;
pub mod journal;
pub mod limits;
pub mod live;
pub mod lock;
pub mod owner;
pub mod quarantine;
pub mod record;
pub mod recover;
mod sys;

pub use sys::{boot_id, now};
