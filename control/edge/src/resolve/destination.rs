//! What a SIP URI says about its way (RFC 3263 §4, first part): host, port, transport.

use std::net::{IpAddr, SocketAddr};

use super::{Address, protocol_of_parameter};
use crate::limits;
use crate::message::uri::{UriError, host_to_ip};
use crate::message::{Span, Uri};
use crate::transport::Protocol;

/// The part of a URI that decides where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Destination {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
    /// From the `transport` parameter.
    pub(crate) protocol: Option<Protocol>,
    /// The scheme is `sips`: only protocols over TLS are used.
    pub(crate) secure: bool,
    /// The domain of the URI, also beside an `maddr`; see [`Address::server_name`].
    pub(crate) server_name: Option<Box<str>>,
}

/// `maddr`, if given, else the host of the URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Ip(IpAddr),
    /// Lower case, without a final dot.
    Name(Box<str>),
}

/// Reasons why a URI names no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DestinationError {
    #[error("its host is no domain name and no address")]
    Host,
    #[error("its port is 0")]
    Port,
    #[error("its scheme is neither sip nor sips")]
    Scheme,
    #[error("it is no URI")]
    Syntax,
    #[error("its transport is unknown, or unknown for sips")]
    Transport,
}

impl From<UriError> for DestinationError {
    fn from(error: UriError) -> Self {
        match error {
            UriError::Syntax => Self::Syntax,
            UriError::UnknownScheme => Self::Scheme,
        }
    }
}

impl Destination {
    /// The destination of a `sip` or `sips` URI, without angle brackets.
    pub(crate) fn parse(uri: &[u8]) -> Result<Self, DestinationError> {
        let parsed = Uri::parse(uri, Span::new(0, uri.len()))?;
        let scheme = uri.split(|b| *b == b':').next().unwrap_or_default();
        if scheme.eq_ignore_ascii_case(b"tel") {
            return Err(DestinationError::Scheme);
        }
        let secure = scheme.eq_ignore_ascii_case(b"sips");
        let protocol = match parsed.param(uri, "transport") {
            None => None,
            Some(name) => {
                Some(protocol_of_parameter(name, secure).ok_or(DestinationError::Transport)?)
            }
        };
        if parsed.port == Some(0) {
            return Err(DestinationError::Port);
        }
        let domain = Host::parse(parsed.host.of(uri))?;
        let server_name = domain.name();
        // RFC 3263 §4: the maddr parameter, if present, is the target.
        let host = match parsed.param(uri, "maddr") {
            Some(maddr) => Host::parse(maddr)?,
            None => domain,
        };
        Ok(Self {
            host,
            port: parsed.port,
            protocol,
            secure,
            server_name,
        })
    }

    /// Where a response goes whose connection has closed: the sent-by of its topmost Via (RFC 3263
    /// §5, RFC 3261 §18.2.2).
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "responses by name are not sent yet")
    )]
    pub(crate) fn of_sent_by(
        protocol: Protocol,
        host: &[u8],
        port: Option<u16>,
    ) -> Result<Self, DestinationError> {
        if port == Some(0) {
            return Err(DestinationError::Port);
        }
        let host = Host::parse(host)?;
        Ok(Self {
            server_name: host.name(),
            host,
            port,
            protocol: Some(protocol),
            secure: protocol.is_secure(),
        })
    }

    /// The address of a numeric host, for which DNS is not asked.
    pub(crate) fn direct(&self) -> Option<Address> {
        let Host::Ip(ip) = self.host else {
            return None;
        };
        let protocol = self.protocol.unwrap_or_else(|| self.protocol_by_default());
        let port = self.port.unwrap_or_else(|| protocol.default_port());
        Some(Address {
            protocol,
            peer: SocketAddr::new(ip, port),
            server_name: self.server_name.clone(),
        })
    }

    /// The protocol where neither the URI nor DNS names one (RFC 3263 §4.1).
    pub(super) fn protocol_by_default(&self) -> Protocol {
        if self.secure {
            Protocol::Tls
        } else {
            Protocol::Udp
        }
    }
}

impl Host {
    fn name(&self) -> Option<Box<str>> {
        match self {
            Self::Ip(_) => None,
            Self::Name(name) => Some(name.clone()),
        }
    }

    /// An address, IPv6 with or without brackets, or a domain name.
    pub(crate) fn parse(host: &[u8]) -> Result<Self, DestinationError> {
        if let Some(ip) = host_to_ip(host) {
            return Ok(Self::Ip(ip));
        }
        let host = host.strip_suffix(b".").unwrap_or(host);
        let is_label = |label: &[u8]| {
            // An underscore is no host name (RFC 952), but private zones have it.
            let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.iter().all(is_allowed)
        };
        let is_name =
            host.len() <= limits::DNS_NAME_BYTES && host.split(|b| *b == b'.').all(is_label);
        match std::str::from_utf8(host) {
            Ok(name) if is_name => Ok(Self::Name(name.to_ascii_lowercase().into())),
            _ => Err(DestinationError::Host),
        }
    }
}
