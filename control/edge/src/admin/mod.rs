//! The admin interface (spec §17): what operators ask and change while calls go on.
//!
//! ```text
//! HTTP, Unix socket ─ serve ─> Order::parse ─> Role? ─> Desk::obey ─> JSON
//!                                                        │ jobs with an answer channel
//!                                                        └─> shards, one bounded page at a time
//! ```
//!
//! `Order` and its answers are data; `role` says who may give which. The
//! `Desk` carries them out: what belongs to calls it asks of the shards, the screen and the targets
//! it reads itself. `serve` owns the sockets. The core knows nothing of any of it.

pub mod client;
pub(crate) mod config;
pub(crate) mod desk;
mod explain;
mod list_file;
mod metrics;
mod order;
mod reading;
mod reload;
mod role;
mod routing;
mod screening;
mod serve;
mod stream;
mod timed;

#[cfg(test)]
mod tests;

pub use config::{AdminConfig, HttpAdmin, HttpTls, UnixSocket};
pub(crate) use desk::{Command, Desk};
pub(crate) use order::Ending;
pub use reload::ConfigSource;
pub(crate) use serve::Servers;
