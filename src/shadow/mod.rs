//! Windlass beside a running rtpengine: what it would have answered, without touching a call.
//!
//! [`forward`] stands between the proxy and rtpengine. It passes every request on and every reply
//! back as they are, and hands copies of both to another process. That runs the request on an
//! [`Observer`], which has the real calls and no network, and compares. Whatever happens to the
//! second process, or however slow it is, requests are passed on.
//!
//! Two replies are the same if they do the same: what each relay draws for itself (addresses,
//! ports, keys, numbers) has a name in place of its value (`names`).

mod difference;
pub mod forward;
mod names;
mod observer;
mod tally;
mod wire;

pub use difference::Difference;
pub use observer::{Observed, Observer};
pub use tally::{Durations, Entry, Report, Skipped, Totals};
pub use wire::{NotANote, Note, Notes};
