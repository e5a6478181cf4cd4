//! The RTCP port (RFC 3605).

use std::net::IpAddr;

use crate::line::{ip_address, number, parse, tokens};

/// One `a=rtcp` line as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpAttribute {
    /// RTCP port.
    pub port: u16,
    /// The address, if it is not that of the media.
    pub address: Option<IpAddr>,
}

impl RtcpAttribute {
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut tokens = tokens(value);
        let port = number(tokens.next()?)?;
        let address = match (tokens.next(), tokens.next(), tokens.next()) {
            (None, ..) => None,
            (Some(net), Some(family), Some(address)) => Some(address_of(net, family, address)?),
            _ => return None,
        };
        Some(Self { port, address })
    }
}

/// `IN IP4|IP6 address` with an address of that family. A TTL or range (RFC 8866 §5.7) is cut.
pub(crate) fn address_of(net: &[u8], family: &[u8], address: &[u8]) -> Option<IpAddr> {
    if !net.eq_ignore_ascii_case(b"IN") {
        return None;
    }
    let address = address.split(|&byte| byte == b'/').next()?;
    let written: IpAddr = parse(address)?;
    let matches = match written {
        IpAddr::V4(_) => family.eq_ignore_ascii_case(b"IP4"),
        IpAddr::V6(_) => family.eq_ignore_ascii_case(b"IP6"),
    };
    ip_address(address).filter(|_| matches)
}
