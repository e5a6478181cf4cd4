//! The SIP edge front: parser, transactions, dialogs, media driver.
//!
//! One core without sockets, clock or tasks takes datagrams, answers of the media relay and the
//! time, and gives back what to send and what to ask; [`Edge`] is the driver around it.
#![forbid(unsafe_code)]

mod config;
mod cookie;
mod dialog;
mod edge;
#[allow(
    dead_code,
    reason = "what the admin interface asks for, and what the proxy core is about to call"
)]
mod limit;
mod limits;
mod message;
mod proxy;
#[allow(
    dead_code,
    reason = "what the admin interface asks for, and what the proxy core is about to call"
)]
mod record;
mod relay;
mod route;
#[allow(
    dead_code,
    reason = "what the admin interface asks for, and what the proxy core is about to call"
)]
mod screen;
mod side;
mod stats;
mod transaction;
mod transport;

pub use config::{Config, Limits, NgOptions, Tables, Timers};
pub use edge::Edge;
pub use relay::{MediaCommand, MediaError, MediaFuture, MediaRelay, MediaReply, MediaRequest};
pub use stats::{DropReason, StatsSnapshot};
pub use windlass_ng::Family;
