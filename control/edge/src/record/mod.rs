//! What the edge tells others (spec §15, §16): call records, events and the security log.
//!
//! Lines are made here as bytes, without a clock: times are passed in. One thread per file writes
//! them, so a slow or full disk never holds a shard up.

pub(crate) mod cdr;
pub(crate) mod clock;
pub(crate) mod event;
pub(crate) mod file;
mod json;
pub(crate) mod security;
pub(crate) mod spool;
pub(crate) mod syslog;
#[cfg(test)]
mod tests;
pub(crate) mod writer;
