//! The SIP edge front: parser, transactions, dialogs, media driver.
//!
//! One core without sockets, clock or tasks takes datagrams, answers of the media relay and the
//! time, and gives back what to send and what to ask; [`Edge`] is the driver around it.
#![forbid(unsafe_code)]

mod config;
mod cookie;
mod dialog;
mod edge;
mod limits;
mod message;
mod proxy;
mod relay;
mod resolve;
mod route;
mod side;
mod stats;
mod target;
mod transaction;
mod transport;

pub use config::{Config, Limits, NgOptions, Tables, Timers};
pub use edge::Edge;
pub use relay::{MediaCommand, MediaError, MediaFuture, MediaRelay, MediaReply, MediaRequest};
pub use resolve::{DnsConfig, DnsServers, Lifetimes};
pub use stats::{DropReason, StatsSnapshot};
pub use target::{
    Algorithm, CodeRange, Failover, HashKey, PoolConfig, Probe, ProbeConfig, Redirects,
    RouteConfig, RouteMatch, RouteTo, Slots, TargetConfig,
};
pub use windlass_ng::Family;
