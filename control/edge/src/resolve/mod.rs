//! Where a SIP URI leads: transports, ports and addresses (RFC 3263, RFC 2782, RFC 3403, RFC 7118).
//!
//! ```text
//! Destination::direct ── numeric hosts: no state, no query
//! Resolve::resolve ──┐                       ┌ poll_query ── Dns::ask (driver) ── answer
//! handle_answer    ──┼─> Resolve (no I/O) ──>│
//! handle_timeout   ──┘                       └ poll_done ── addresses for a parked request
//! ```
//!
//! One [`Resolve`] belongs to one shard. A request for a destination is worked out from the cache
//! alone ([`walk`]): either all records are there and the addresses are known, or the missing ones
//! are asked for and the request is parked. What answers bring is stored under the question that was
//! asked, and nothing else of it is kept.
//!
//! After each call: drain [`Resolve::poll_query`] and [`Resolve::poll_done`], then ask
//! [`Resolve::next_timeout`]. Each query is answered by exactly one [`Resolve::handle_answer`].

mod cache;
mod destination;
mod driver;
mod machine;
mod order;
mod walk;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::transport::Protocol;
pub use cache::Lifetimes;
pub(crate) use destination::{Destination, DestinationError, Host};
pub(crate) use driver::Dns;
pub use driver::DnsServers;
pub use machine::DnsConfig;
pub(crate) use machine::{Families, Resolve, ResolveConfig, Resolved};

/// The protocol of a `transport=` parameter (RFC 3261 §25.1, RFC 7118 §5.2); `sips` turns it into
/// the one that runs over TLS. `None`: unknown, or without a secure form.
fn protocol_of_parameter(name: &[u8], secure: bool) -> Option<Protocol> {
    match Protocol::read(name)? {
        Protocol::Udp if secure => None,
        Protocol::Tcp if secure => Some(Protocol::Tls),
        Protocol::Ws if secure => Some(Protocol::Wss),
        protocol => Some(protocol),
    }
}

/// The prefix of a protocol's SRV records; WebSocket has none (RFC 7118 §5.4: the URI of the HTTP
/// server is configured).
fn srv_prefix(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Udp => Some("_sip._udp."),
        Protocol::Tcp => Some("_sip._tcp."),
        Protocol::Tls => Some("_sips._tcp."),
        Protocol::Ws | Protocol::Wss => None,
    }
}

/// The protocol of a NAPTR service field (RFC 3263 §4.1, RFC 7118 §5.4).
fn protocol_of_service(service: &[u8]) -> Option<Protocol> {
    let services = [
        ("SIP+D2U", Protocol::Udp),
        ("SIP+D2T", Protocol::Tcp),
        ("SIPS+D2T", Protocol::Tls),
        ("SIP+D2W", Protocol::Ws),
        ("SIPS+D2W", Protocol::Wss),
    ];
    let is_it = |(name, _): &&(&str, _)| service.eq_ignore_ascii_case(name.as_bytes());
    services.iter().find(is_it).map(|(_, protocol)| *protocol)
}

/// One address to send to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) protocol: Protocol,
    pub(crate) peer: SocketAddr,
    /// The name that a TLS certificate must carry: the domain of the URI, whatever DNS made of it
    /// (RFC 5922 §4). `None` where the URI has an address in its place.
    pub(crate) server_name: Option<Box<str>>,
}

/// Reasons for having no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("more names are being looked up than allowed")]
    Busy,
    #[error("the name has no address for a protocol in use")]
    NoSuchName,
    #[error("no name server has answered")]
    Unavailable,
}

impl ResolveError {
    /// The final response to a request that has no other destination (spec §18).
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::NoSuchName => 478,
            Self::Busy | Self::Unavailable => 503,
        }
    }
}

/// A question to DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    /// Lower case, without a final dot.
    pub(crate) name: Box<str>,
    pub(crate) kind: RecordKind,
}

/// Types of records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RecordKind {
    A,
    Aaaa,
    Naptr,
    Srv,
}

/// What DNS says to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No server has answered, or each one with a failure.
    Failed,
    /// The name or records of this type do not exist (RFC 2308); `ttl` as its SOA has it.
    Nothing {
        ttl: Option<Duration>,
    },
    Records {
        records: Records,
        ttl: Duration,
    },
}

/// Records of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    Addresses(Vec<IpAddr>),
    Naptr(Vec<Naptr>),
    Srv(Vec<Srv>),
}

/// A NAPTR record (RFC 3403 §4.1), as far as RFC 3263 uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naptr {
    pub(crate) order: u16,
    pub(crate) preference: u16,
    pub(crate) flags: Box<[u8]>,
    pub(crate) service: Box<[u8]>,
    pub(crate) replacement: Box<str>,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Srv {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    /// Empty: the service is decidedly not available here.
    pub(crate) host: Box<str>,
}
