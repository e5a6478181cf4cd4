//! Transports (spec §4): sockets, connections, certificates and keep-alives, for UDP, TCP, TLS,
//! WebSocket and secure WebSocket (RFC 3261 §18, RFC 7118, RFC 5626 §4.4, RFC 5922).
//!
//! Transports carry whole SIP messages between the network and the shards, and know nothing of what
//! is in them but the Call-ID, by which the shard is chosen. What a shard hears is [`Arrived`]; where
//! it sends to is a [`Destination`]. Sending never waits: what cannot leave at once lies in a bounded
//! queue, and what cannot leave at all comes back as an error or as [`Arrived::Unsendable`].

pub(crate) mod config;
mod connection;
mod datagrams;
mod framing;
mod limits;
mod sender;
mod shard;
mod shared;
mod stats;
mod stream;
mod stun;
mod tls;
mod transports;
pub(crate) mod udp;
mod ws;

#[cfg(fuzzing)]
pub(crate) mod fuzzing;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::transaction::Packet;
pub(crate) use connection::Hold;
pub(crate) use sender::Sender;
pub(crate) use shard::{Choice, Inbox, Shards};
pub(crate) use stats::{CloseReason, RefuseReason, TransportStats};
pub(crate) use tls::Tls;
pub(crate) use transports::Transports;

/// What carries SIP messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Datagrams (RFC 3261 §18).
    Udp,
    /// Plain streams.
    Tcp,
    /// Streams under TLS 1.2 or 1.3.
    Tls,
    /// WebSocket over TCP (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Protocol {
    /// The transport of a Via: `UDP`, `TCP`, `TLS`, `WS`, `WSS`.
    pub fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Its name in configurations and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The value of a URI's `transport` parameter. TLS is spelled as such, as all peers do (RFC 3261
    /// §26.2.2 would have `sips:` with `tcp`). Of WebSocket there is one value, secure or not (RFC 7118
    /// §5.2.2); who listens at host and port knows which.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Wss => Self::Ws.name(),
            other => other.name(),
        }
    }

    /// Whether a URI with the `transport` parameter of `named` may lead to a listener of this protocol.
    pub(crate) fn is_meant_by(self, named: Self) -> bool {
        self == named || (self, named) == (Self::Wss, Self::Ws)
    }

    /// Reads the transport of a Via or of a `transport` parameter, in any case.
    pub fn read(name: &[u8]) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|p| name.eq_ignore_ascii_case(p.name().as_bytes()))
    }

    /// Messages arrive on a connection, in order and reliably.
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }

    /// The peer is reached through TLS.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port of an address without one (RFC 3261 §19.1.2, RFC 7118 §5.5).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a message came from, and the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    /// Index of the listener in the order of the configuration.
    pub(crate) listener: u16,
    /// The address that the system saw.
    pub(crate) peer: SocketAddr,
    /// Number of the connection, never used twice. Of datagrams 0; on a socket that is bound to no
    /// address, the number of the local address that the peer sent to.
    pub(crate) connection: u64,
}

impl Flow {
    /// What bounds per source count it under: its address, of IPv6 the network.
    pub(crate) fn owner(&self) -> IpAddr {
        connection::counted(self.peer.ip())
    }
}

/// What transports tell a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// One whole message (a datagram may hold anything: only keep-alives and STUN are taken out).
    Message { flow: Flow, bytes: Packet },
    /// The peer of a datagram kept its flow alive (RFC 5626 §4.4): it was answered already if an answer
    /// is due. One shard hears it, for all.
    Keepalive { flow: Flow },
    /// The connection is gone. Every shard hears it, once.
    Closed { flow: Flow },
    /// A message that was sent with `token` did not leave, or could not be delivered (ICMP). Told to
    /// the shard that sent it. Of a connection that did not come to be, `to` has the number that it
    /// would have had.
    Unsendable {
        to: Flow,
        error: io::ErrorKind,
        token: u64,
    },
}

/// Where a shard sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The way a message came: the connection itself, which is not opened again when it is closed.
    Flow(Flow),
    /// The peer at this address, from this listener's address: over a connection that is open to it
    /// already, or a new one. Datagrams just leave.
    Open {
        listener: u16,
        peer: SocketAddr,
        /// The SIP domain that the certificate of the peer must be for (RFC 5922 §4), of TLS.
        /// Without one it must be for the address.
        server_name: Option<Box<str>>,
    },
}

impl Destination {
    /// The listener that it leaves by.
    pub(crate) fn listener(&self) -> u16 {
        match self {
            Self::Flow(flow) => flow.listener,
            Self::Open { listener, .. } => *listener,
        }
    }
}

impl From<Flow> for Destination {
    fn from(flow: Flow) -> Self {
        Self::Flow(flow)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tasks of sockets read the clock, once per read"
)]
fn clock() -> Instant {
    Instant::now()
}
