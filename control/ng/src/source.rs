//! Where requests come from.

use std::net::SocketAddr;

/// Origin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The peer.
    pub addr: SocketAddr,
    /// Our address it talked to, where known.
    pub local: Option<SocketAddr>,
    /// Transport that it arrived on.
    pub transport: Transport,
}

/// Transports of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Transport {
    Udp,
    Tcp,
    Http,
    Https,
    WebSocket,
    SecureWebSocket,
}
