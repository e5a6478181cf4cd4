//! Where a message goes, and where others say that one should go.

use std::net::SocketAddr;

use crate::hide::Way;
use crate::message::uri::{Scheme, host_to_ip};
use crate::message::{HeaderId, Message, NameAddr, Uri};
use crate::transport::{Destination, Flow, Protocol};

/// The way of a request: the next hop and the socket towards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: Destination,
    /// Index of the zone that it goes to.
    pub(crate) zone: usize,
    /// What the Request-URI becomes, if it is an alias of ours.
    pub(crate) uri: Option<Box<[u8]>>,
    /// How many leading Route values are ours and leave.
    pub(crate) strip: usize,
    /// The way that its Request-URI held; that names its URI and its Route values.
    pub(crate) way: Option<Box<Way>>,
}

impl Route {
    pub(crate) fn listener(&self) -> u16 {
        self.flow().listener
    }

    /// The next hop as a flow; of a connection that is still to be chosen, with the number 0.
    pub(crate) fn flow(&self) -> Flow {
        match &self.to {
            Destination::Flow(flow) => *flow,
            Destination::Open { listener, peer, .. } => Flow {
                listener: *listener,
                peer: *peer,
                connection: 0,
            },
        }
    }
}

/// An address that a URI names, and how it is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
}

impl Uri {
    /// How the URI wants to be reached (RFC 3263 §4.1). `None` if its transport is unknown.
    pub(crate) fn protocol(&self, bytes: &[u8]) -> Option<Protocol> {
        let secure = self.scheme == Scheme::Sips;
        match self.param(bytes, "transport") {
            Some(name) => match Protocol::read(name)? {
                Protocol::Tcp if secure => Some(Protocol::Tls),
                Protocol::Ws if secure => Some(Protocol::Wss),
                other => Some(other),
            },
            None if secure => Some(Protocol::Tls),
            None => Some(Protocol::Udp),
        }
    }

    /// The address named by an IP literal.
    pub(crate) fn hop(&self, bytes: &[u8]) -> Option<Hop> {
        let ip = host_to_ip(self.host.of(bytes))?;
        let protocol = self.protocol(bytes)?;
        let port = self.port.unwrap_or_else(|| protocol.default_port());
        Some(Hop {
            address: SocketAddr::new(ip, port),
            protocol,
        })
    }
}

impl Message {
    /// The address in the first Contact, if it is an IP literal.
    pub(crate) fn contact(&self) -> Option<Hop> {
        let value = self.values(HeaderId::Contact).next()?;
        let addr = NameAddr::parse(&self.bytes, value)?;
        Uri::parse(&self.bytes, addr.uri).ok()?.hop(&self.bytes)
    }
}
