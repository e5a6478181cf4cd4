//! The SIP edge front: parser, transactions, dialogs, media driver.
//!
//! One core without sockets, clock or tasks takes datagrams, answers of the media relay and the
//! time, and gives back what to send and what to ask; [`Edge`] is the driver around it.
#![forbid(unsafe_code)]

pub mod admin;
mod base64url;
mod config;
mod cookie;
mod dialog;
mod edge;
pub mod file;
mod guard;
mod hide;
mod hygiene;
mod keys;
#[cfg_attr(not(test), expect(dead_code, reason = "what survives a restart"))]
mod limit;
mod limits;
mod message;
mod meter;
mod proxy;
#[expect(dead_code, reason = "syslog waits for its settings")]
mod record;
mod register;
mod relay;
mod resolve;
mod route;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the actions close and tarpit, and edits of one entry, wait for their settings"
    )
)]
mod screen;
mod side;
mod stats;
mod target;
mod transaction;
mod transport;

pub use config::{
    CORE, CertificateConfig, ClientCertificates, Config, Hiding, History, Limits, Link, Listen,
    ListenerKind, MediaPolicy, OnBadToken, OnMediaError, OneUpstream, Overload, PUBLIC, PingMethod,
    Profile, Protocol, Register, RegisterMode, ServerVerification, SessionTimer, SilentSides,
    StreamLimits, StripConfig, Tables, Timers, TlsConfig, TokenSecret, Trust, WsConfig, Zone,
};

/// What must hold for every input, for the fuzz targets.
#[cfg(fuzzing)]
pub mod fuzzing {
    use crate::hide;
    use crate::message::properties;
    use crate::register;
    use crate::transport::fuzzing as transport;

    /// A datagram.
    pub fn sip_message(data: &[u8]) {
        properties::datagram(data);
    }

    /// A byte stream, split in several ways.
    pub fn sip_stream(data: &[u8]) {
        properties::stream(data);
    }

    /// A URI.
    pub fn sip_uri(data: &[u8]) {
        properties::uri(data);
    }

    /// A list of name-addr values.
    pub fn sip_name_addr(data: &[u8]) {
        properties::name_addr(data);
    }

    /// Credentials or a challenge.
    pub fn sip_digest(data: &[u8]) {
        properties::digest(data);
    }

    /// A Content-Type in the first line, and a body.
    pub fn sip_body(data: &[u8]) {
        properties::body(data);
    }

    /// Frames of a WebSocket client.
    pub fn sip_web_socket(data: &[u8]) {
        transport::web_socket(data);
    }

    /// A datagram before it is SIP.
    pub fn sip_datagram(data: &[u8]) {
        transport::datagram(data);
    }

    /// A flow token, a hidden Call-ID, or a hidden way.
    pub fn sip_token(data: &[u8]) {
        hide::any_text(data);
        register::token::any_text(data);
    }
}

/// What the benchmarks of this crate measure, and nobody else uses.
#[doc(hidden)]
pub mod measured {
    pub use crate::proxy::measured::Passage;
}

pub use admin::{AdminConfig, ConfigSource, HttpAdmin, HttpTls, UnixSocket};
pub use edge::Edge;
pub use guard::settings::LogFormat;
pub use guard::{
    AuthFailureLimits, CallLimit, CdrConfig, FingerprintConfig, FloodConfig, MethodPolicy,
    NumberCategory, NumberList, OnBanned, PeerConfig, RateLimit, ScreenConfig, SecurityLogConfig,
};
pub use proxy::{Call, CallFilter, CallState};
pub use relay::{MediaCommand, MediaError, MediaFuture, MediaRelay, MediaReply, MediaRequest};
pub use resolve::{DnsConfig, DnsServers, Lifetimes};
pub use stats::{DropReason, StatsSnapshot};
pub use target::{
    Algorithm, CodeRange, Failover, HashKey, PoolConfig, Probe, ProbeConfig, Redirects,
    RouteConfig, RouteMatch, RouteTo, Slots, TargetConfig,
};
pub use windlass_ng::Family;
