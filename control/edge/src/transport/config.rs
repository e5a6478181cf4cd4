//! Configuration of the transports: plain data with the defaults of the spec (§4).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Protocol;
use crate::message::limits::Limits;

/// All listeners, and what holds for the connections of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// In the order by which [`super::Flow::listener`] counts.
    pub(crate) listeners: Vec<ListenerConfig>,
    pub(crate) streams: StreamLimits,
    /// Bounds of the messages on streams.
    pub(crate) messages: Limits,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerConfig {
    /// Where to listen; port 0 lets the system choose. Connections that we open leave from the same
    /// address.
    pub(crate) bind: SocketAddr,
    pub(crate) kind: ListenerKind,
}

/// The protocol of a listener with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Datagrams.
    Udp,
    /// Plain streams.
    Tcp,
    /// Streams under TLS.
    Tls(TlsConfig),
    /// WebSocket.
    Ws(WsConfig),
    /// WebSocket under TLS.
    Wss(TlsConfig, WsConfig),
}

impl ListenerKind {
    /// What it is, without its settings.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Udp => Protocol::Udp,
            Self::Tcp => Protocol::Tcp,
            Self::Tls(_) => Protocol::Tls,
            Self::Ws(_) => Protocol::Ws,
            Self::Wss(..) => Protocol::Wss,
        }
    }

    pub(crate) fn tls(&self) -> Option<&TlsConfig> {
        match self {
            Self::Tls(tls) | Self::Wss(tls, _) => Some(tls),
            Self::Udp | Self::Tcp | Self::Ws(_) => None,
        }
    }

    pub(super) fn ws(&self) -> Option<&WsConfig> {
        match self {
            Self::Ws(ws) | Self::Wss(_, ws) => Some(ws),
            Self::Udp | Self::Tcp | Self::Tls(_) => None,
        }
    }
}

/// TLS of a listener, and of connections opened from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificates, chosen by the name that the client asks for. A client that names none gets the
    /// one for `*`, or the first.
    pub certificates: Vec<CertificateConfig>,
    /// Whether clients are asked for a certificate.
    pub clients: ClientCertificates,
    /// How servers that we connect to are verified.
    pub servers: ServerVerification,
}

/// A certificate and the names it is shown for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateConfig {
    /// `sip.example.com`, `*.example.com` (one label), or `*` for everyone.
    pub names: Vec<String>,
    /// PEM file: the certificate, then its issuers.
    pub chain: PathBuf,
    /// PEM file: the private key.
    pub key: PathBuf,
}

/// Certificates of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Not asked for.
    #[default]
    Ignore,
    /// Asked for; one that is shown must be issued by an authority of this PEM file.
    Optional(PathBuf),
    /// As `Optional`, and clients without one are refused.
    Require(PathBuf),
}

/// Verification of servers (RFC 5922).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerVerification {
    /// Issued by an authority that the system trusts, for the SIP domain.
    #[default]
    System,
    /// Issued by an authority of this PEM file, for the SIP domain.
    Authorities(PathBuf),
    /// Whoever answers. Anybody on the way can read and change calls.
    Off,
}

/// WebSocket of a listener (RFC 7118).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WsConfig {
    /// `Origin` values that may connect, compared without regard to case; empty: all, and clients
    /// that send none.
    pub origins: Vec<String>,
    /// The path of the upgrade request; `None`: any.
    pub path: Option<String>,
}

/// Limits and times of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections of one IPv4 address, or one IPv6 /64, over all listeners: 256.
    pub per_address: usize,
    /// Connections of all listeners, ours to others included: 200 000. Never more than half of the
    /// descriptors that the process may have.
    pub total: usize,
    /// For TLS and again for the WebSocket upgrade: 5 s.
    pub handshake: Duration,
    /// From the handshake to the first whole message: 10 s.
    pub first_message: Duration,
    /// From the first byte of a message to its last: 5 s.
    pub message: Duration,
    /// Without a byte in either direction, unless something uses the connection: 300 s.
    pub idle: Duration,
    /// For a connection that we open, until the peer accepts: 4 s, as for an answer of a target.
    pub connect: Duration,
    /// For one message to leave, once it is its turn: 30 s.
    pub write: Duration,
    /// Bytes that wait to be sent on one connection: 256 KiB.
    pub queue: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            per_address: 256,
            total: 200_000,
            handshake: Duration::from_secs(5),
            first_message: Duration::from_secs(10),
            message: Duration::from_secs(5),
            idle: Duration::from_secs(300),
            connect: Duration::from_secs(4),
            write: Duration::from_secs(30),
            queue: 256 << 10,
        }
    }
}
