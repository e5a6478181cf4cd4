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
mod register;
mod relay;
mod route;
mod side;
mod stats;
mod transaction;
mod transport;

pub use config::{
    CORE, CertificateConfig, ClientCertificates, Config, Limits, Listen, ListenerKind, OneUpstream,
    PUBLIC, PingMethod, Profile, Protocol, Register, RegisterMode, Rule, ServerVerification,
    SessionTimer, StreamLimits, Tables, Target, Timers, TlsConfig, Trust, Upstream, WsConfig, Zone,
};
pub use edge::Edge;
pub use relay::{MediaCommand, MediaError, MediaFuture, MediaRelay, MediaReply, MediaRequest};
pub use stats::{DropReason, StatsSnapshot};
pub use windlass_ng::Family;
