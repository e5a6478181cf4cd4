//! SIP URIs and name-addr values (RFC 3261 §19.1, §20.10). Parsed for look-ups, never to be printed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::span::{Cursor, Span, is_lws, is_token, number, params};
use crate::transport::Protocol;

/// Reasons why a URI cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    #[error("no scheme, host or valid port, or forbidden characters")]
    Syntax,
    #[error("neither sip, sips nor tel")]
    UnknownScheme,
}

/// An address that a URI names, and how it is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
}

/// A `sip:` or `sips:` URI; `tel:` has no host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uri {
    /// `sips:`.
    pub(crate) secure: bool,
    /// Before the `@`, with the password if there is one; empty without.
    pub(crate) user: Span,
    /// Host, with brackets if IPv6; empty for `tel:`.
    pub(crate) host: Span,
    pub(crate) port: Option<u16>,
    /// Parameters from the first semicolon after the host.
    pub(crate) params: Span,
    /// Behind the question mark.
    pub(crate) headers: Span,
}

impl Uri {
    pub(crate) fn parse(bytes: &[u8], span: Span) -> Result<Self, UriError> {
        let mut cursor = Cursor::new(bytes, span);
        if span
            .of(bytes)
            .iter()
            .any(|b| *b <= b' ' || matches!(b, b'<' | b'>' | b'"'))
        {
            return Err(UriError::Syntax);
        }
        let scheme =
            cursor.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if scheme.is_empty() || !cursor.eat(b':') {
            return Err(UriError::Syntax);
        }
        let scheme = scheme.of(bytes);
        if scheme.eq_ignore_ascii_case(b"tel") {
            return Ok(Self::default());
        }
        let secure = scheme.eq_ignore_ascii_case(b"sips");
        if !scheme.eq_ignore_ascii_case(b"sip") && !secure {
            return Err(UriError::UnknownScheme);
        }
        // The user part may hold `;`, `?` and `:`; an `@` ends it and occurs nowhere else unescaped.
        let mut user = Span::default();
        if let Some(at) = cursor.rest().of(bytes).iter().position(|b| *b == b'@') {
            user = Span::new(cursor.at, cursor.at + at);
            cursor.at += at + 1;
        }
        let start = cursor.at;
        if cursor.eat(b'[') {
            cursor.take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            if !cursor.eat(b']') {
                return Err(UriError::Syntax);
            }
        } else {
            cursor.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        }
        let host = Span::new(start, cursor.at);
        if host.is_empty() {
            return Err(UriError::Syntax);
        }
        let mut port = None;
        if cursor.eat(b':') {
            let digits = cursor.take_while(|b| b.is_ascii_digit());
            let value = number(digits.of(bytes), 65_535).ok_or(UriError::Syntax)?;
            port = u16::try_from(value).ok();
        }
        let params = cursor.take_while(|b| b != b'?');
        if !params.is_empty() && params.of(bytes).first() != Some(&b';') {
            return Err(UriError::Syntax);
        }
        cursor.eat(b'?');
        Ok(Self {
            secure,
            user,
            host,
            port,
            params,
            headers: cursor.rest(),
        })
    }

    /// How the URI wants to be reached (RFC 3263 §4.1). `None` if its transport is unknown.
    pub(crate) fn protocol(&self, bytes: &[u8]) -> Option<Protocol> {
        match self.param(bytes, "transport") {
            Some(name) => match Protocol::read(name)? {
                Protocol::Tcp if self.secure => Some(Protocol::Tls),
                Protocol::Ws if self.secure => Some(Protocol::Wss),
                other => Some(other),
            },
            None if self.secure => Some(Protocol::Tls),
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

    /// The value of a URI parameter; empty if it has none.
    pub(crate) fn param<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.params
            .of(bytes)
            .split(|b| *b == b';')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let equal = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
                (
                    part.get(..equal).unwrap_or_default(),
                    part.get(equal + 1..).unwrap_or_default(),
                )
            })
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

/// `[ display-name ] <URI> *( ;param )` or the bare form (From, To, Contact, Route).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameAddr {
    pub(crate) uri: Span,
    pub(crate) tag: Option<Span>,
}

impl NameAddr {
    /// `None` if the value does not follow the grammar.
    pub(crate) fn parse(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value);
        cursor.skip_lws();
        if cursor.peek() == Some(b'"') {
            cursor.quoted()?;
            cursor.skip_lws();
            if cursor.peek() != Some(b'<') {
                return None;
            }
        } else {
            let mut ahead = cursor;
            ahead.take_while(|b| is_token(b) || is_lws(b) || b >= 0x80);
            if ahead.peek() == Some(b'<') {
                cursor = ahead;
            }
        }
        let uri = if cursor.eat(b'<') {
            let uri = cursor.take_while(|b| b != b'>');
            if !cursor.eat(b'>') {
                return None;
            }
            uri
        } else {
            cursor.take_while(|b| !is_lws(b) && !matches!(b, b';' | b'<' | b'>' | b'"' | b','))
        };
        let text = uri.of(bytes);
        if !text.contains(&b':') || text.iter().any(|b| is_lws(*b)) {
            return None;
        }
        let mut tag = None;
        let well_formed = params(cursor, |param| {
            if param.name.of(bytes).eq_ignore_ascii_case(b"tag") {
                tag = tag.or(param.value);
            }
        });
        well_formed.then_some(Self { uri, tag })
    }
}

/// An IP literal, IPv6 with or without brackets (RFC 5118 §4.5).
pub(crate) fn host_to_ip(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    if let Some(inner) = text.strip_prefix('[') {
        return inner
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
            .map(IpAddr::V6);
    }
    text.parse::<Ipv4Addr>()
        .map(IpAddr::V4)
        .or_else(|_| text.parse::<Ipv6Addr>().map(IpAddr::V6))
        .ok()
}
