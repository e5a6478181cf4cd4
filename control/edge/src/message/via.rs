//! Via values (RFC 3261 §20.42, RFC 3581).

use std::net::{IpAddr, SocketAddr};

use super::span::{Cursor, Span, is_lws, is_token, number, params};
use super::uri::host_to_ip;

/// One Via value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Via {
    /// The whole value.
    pub(crate) value: Span,
    /// `UDP`, `TCP`, `TLS`, `WS`, `WSS` or another.
    pub(crate) transport: Span,
    /// Host of sent-by, with brackets if IPv6.
    pub(crate) host: Span,
    pub(crate) port: Option<u16>,
    pub(crate) branch: Option<Span>,
    /// Host to answer to by the wish of the sender (RFC 3261 §18.2.2).
    pub(crate) maddr: Option<Span>,
    pub(crate) received: Option<Span>,
    /// The whole `;received=…`.
    pub(crate) received_param: Option<Span>,
    /// The whole `;rport…`, and its value if it has one.
    pub(crate) rport: Option<(Span, Option<u16>)>,
}

impl Via {
    /// `None` if the value does not follow the grammar.
    pub(crate) fn parse(bytes: &[u8], value: Span) -> Option<Self> {
        Self::read(bytes, value).ok()
    }

    /// Parses a value. If it does not follow the grammar, what could be read: a response needs no
    /// more than the host.
    pub(crate) fn read(bytes: &[u8], value: Span) -> Result<Self, Self> {
        let mut via = Self {
            value,
            ..Self::default()
        };
        match via.fill(bytes) {
            Some(()) => Ok(via),
            None => Err(via),
        }
    }

    fn fill(&mut self, bytes: &[u8]) -> Option<()> {
        let via = self;
        let mut cursor = Cursor::new(bytes, via.value);
        for part in 0..3 {
            cursor.skip_lws();
            via.transport = cursor.take_while(is_token);
            if via.transport.is_empty() {
                return None;
            }
            if part < 2 {
                cursor.skip_lws();
                if !cursor.eat(b'/') {
                    return None;
                }
            }
        }
        if !cursor.peek().is_some_and(is_lws) {
            return None;
        }
        cursor.skip_lws();
        via.host = host(&mut cursor)?;
        cursor.skip_lws();
        if cursor.eat(b':') {
            cursor.skip_lws();
            let digits = cursor.take_while(|b| b.is_ascii_digit());
            via.port = Some(u16::try_from(number(digits.of(bytes), 65_535)?).ok()?);
        }
        let mut bad_rport = false;
        let well_formed = params(cursor, |param| {
            let name = param.name.of(bytes);
            if name.eq_ignore_ascii_case(b"branch") {
                via.branch = via.branch.or(param.value);
            } else if name.eq_ignore_ascii_case(b"maddr") {
                via.maddr = via.maddr.or(param.value);
            } else if name.eq_ignore_ascii_case(b"received") {
                via.received = via.received.or(param.value);
                via.received_param = via.received_param.or(Some(param.whole));
            } else if name.eq_ignore_ascii_case(b"rport") {
                let text = param.value.filter(|v| !v.is_empty());
                let port = text.and_then(|v| number(v.of(bytes), 65_535));
                bad_rport |= text.is_some() && port.is_none();
                let port = port.and_then(|p| u16::try_from(p).ok());
                via.rport = via.rport.or(Some((param.whole, port)));
            }
        });
        (well_formed && !bad_rport).then_some(())
    }

    /// The branch, if it follows RFC 3261 (the cookie and something behind it).
    pub(crate) fn branch_id<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let branch = self.branch?.of(bytes);
        let tail = branch.get(7..)?;
        let cookie = branch.get(..7)?;
        (cookie.eq_ignore_ascii_case(b"z9hG4bK") && !tail.is_empty()).then_some(branch)
    }

    /// Destination of a response by this Via alone (RFC 3261 §18.2.2, RFC 3581 §4).
    pub(crate) fn response_target(&self, bytes: &[u8]) -> Option<SocketAddr> {
        let sent_by = self.port.unwrap_or(5060);
        let received = self.received.and_then(|r| host_to_ip(r.of(bytes)));
        match (received, self.rport) {
            (Some(ip), Some((_, Some(port)))) => Some(SocketAddr::new(ip, port)),
            (Some(ip), _) => Some(SocketAddr::new(ip, sent_by)),
            (None, _) => Some(SocketAddr::new(host_to_ip(self.host.of(bytes))?, sent_by)),
        }
    }

    /// The sent-by host, if it is an address.
    pub(crate) fn host_ip(&self, bytes: &[u8]) -> Option<IpAddr> {
        host_to_ip(self.host.of(bytes))
    }
}

fn host(cursor: &mut Cursor<'_>) -> Option<Span> {
    let start = cursor.at;
    if cursor.eat(b'[') {
        cursor.take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
        return cursor.eat(b']').then(|| Span::new(start, cursor.at));
    }
    let host = cursor.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    (!host.is_empty()).then_some(host)
}
