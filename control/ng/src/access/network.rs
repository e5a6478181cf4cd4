//! IP networks, and those this host is part of.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrStorage};

use crate::limits::ON_LINK_NETWORKS;

/// An IPv4 or IPv6 network, as in `192.0.2.0/24`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    addr: IpAddr,
    prefix: u8,
}

/// Reasons why a text is no [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The part before the slash.
    #[error("{0:?} is no IPv4 or IPv6 address")]
    Address(String),
    /// The part after the slash.
    #[error("{0:?} is no prefix length of such an address")]
    Prefix(String),
    /// Bits are set behind the prefix: 10.0.0.1/8 may be meant as one host or as sixteen million.
    #[error("{0} has bits behind its prefix")]
    HostBits(String),
}

impl Network {
    /// The first `prefix` bits of `addr`; `None` if it has fewer.
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        // An IPv4 address in IPv6 clothes never matches: sources come without.
        let (addr, prefix) = match (addr.to_canonical(), prefix.checked_sub(96)) {
            (v4 @ IpAddr::V4(_), Some(prefix)) if addr.is_ipv6() => (v4, prefix),
            _ => (addr, prefix),
        };
        let addr = match addr {
            IpAddr::V4(v4) => {
                let host_bits = 32_u32.checked_sub(prefix.into())?;
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let host_bits = 128_u32.checked_sub(prefix.into())?;
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Some(Self { addr, prefix })
    }

    /// The address of the network, and how many of its bits count.
    pub fn parts(self) -> (IpAddr, u8) {
        (self.addr, self.prefix)
    }

    const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Self {
        Self {
            addr: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    const fn v6(first: u16, prefix: u8) -> Self {
        Self {
            addr: IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0)),
            prefix,
        }
    }

    /// Private, shared and link-local addresses (RFC 1918, 6598, 3927, 4193, 4291 §2.5.6).
    pub const PRIVATE: [Self; 7] = [
        Self::v4([10, 0, 0, 0], 8),
        Self::v4([172, 16, 0, 0], 12),
        Self::v4([192, 168, 0, 0], 16),
        Self::v4([100, 64, 0, 0], 10),
        Self::v4([169, 254, 0, 0], 16),
        Self::v6(0xfc00, 7),
        Self::v6(0xfe80, 10),
    ];

    /// The addresses of this host alone.
    pub const LOOPBACK: [Self; 2] = [
        Self::v4([127, 0, 0, 0], 8),
        Self {
            addr: IpAddr::V6(Ipv6Addr::LOCALHOST),
            prefix: 128,
        },
    ];

    /// Whether `ip` is one of its addresses.
    pub fn contains(self, ip: IpAddr) -> bool {
        match (self.addr, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let host_bits = 32_u32.saturating_sub(self.prefix.into());
                let differing = net.to_bits() ^ ip.to_bits();
                differing.checked_shr(host_bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let host_bits = 128_u32.saturating_sub(self.prefix.into());
                let differing = net.to_bits() ^ ip.to_bits();
                differing.checked_shr(host_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr
            .trim()
            .parse()
            .map_err(|_| NetworkError::Address(addr.to_owned()))?;
        let Some(prefix) = prefix else {
            let bits = width(addr);
            return Self::new(addr, bits).ok_or_else(|| NetworkError::Prefix(bits.to_string()));
        };
        let bits = prefix.trim().parse().ok();
        let network = bits.and_then(|bits| Self::new(addr, bits));
        let network = network.ok_or_else(|| NetworkError::Prefix(prefix.to_owned()))?;
        match network.addr == addr.to_canonical() {
            true => Ok(network),
            false => Err(NetworkError::HostBits(text.to_owned())),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addr)?;
        if self.prefix < width(self.addr) {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

/// Bits of an address.
fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

/// Loopback, private and link-local addresses: no packet from the internet has them.
pub(super) fn is_private(ip: IpAddr) -> bool {
    let mut private = Network::LOOPBACK.iter().chain(&Network::PRIVATE);
    private.any(|network| network.contains(ip))
}

/// The networks of this host's interfaces; empty if they cannot be read.
pub(super) fn on_link() -> Vec<Network> {
    let interfaces = getifaddrs()
        .inspect_err(|error| tracing::warn!(%error, "interfaces cannot be read"))
        .ok();
    interfaces
        .into_iter()
        .flatten()
        .filter_map(|interface| network_of(&interface.address?, &interface.netmask?))
        .take(ON_LINK_NETWORKS)
        .collect()
}

fn network_of(address: &SockaddrStorage, netmask: &SockaddrStorage) -> Option<Network> {
    let v4 = |storage: &SockaddrStorage| storage.as_sockaddr_in().map(|v4| v4.ip());
    let v6 = |storage: &SockaddrStorage| storage.as_sockaddr_in6().map(|v6| v6.ip());
    if let (Some(addr), Some(mask)) = (v4(address), v4(netmask)) {
        return interface_network(addr.into(), Ipv4Addr::to_bits(mask).leading_ones());
    }
    let (addr, mask) = (v6(address)?, v6(netmask)?);
    interface_network(addr.into(), Ipv6Addr::to_bits(mask).leading_ones())
}

/// The link network of an address. Tunnels may claim all addresses as their link, which names no
/// neighbours.
fn interface_network(addr: IpAddr, prefix: u32) -> Option<Network> {
    let prefix = u8::try_from(prefix).ok().filter(|&prefix| prefix > 0)?;
    Network::new(addr, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, ip: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(ip.parse().unwrap())
    }

    #[test]
    fn prefixes_count_bits() {
        assert!(contains("0.0.0.0/0", "203.0.113.1"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("192.0.2.0/25", "192.0.2.127"));
        assert!(!contains("192.0.2.0/25", "192.0.2.128"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::"));
        assert!(contains("::ffff:192.0.2.0/120", "192.0.2.9"));
    }

    #[test]
    fn texts_are_checked() {
        let error = |text: &str| text.parse::<Network>().unwrap_err();
        assert_eq!(error("host/8"), NetworkError::Address("host".to_owned()));
        assert_eq!(error("192.0.2.0/33"), NetworkError::Prefix("33".to_owned()));
        assert_eq!(error("::/129"), NetworkError::Prefix("129".to_owned()));
        assert_eq!(error("192.0.2.0/"), NetworkError::Prefix(String::new()));
        for text in [
            "10.0.0.0/8",
            "192.0.2.1",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::1",
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), text);
        }
        for text in ["10.0.0.1/8", "::1/0"] {
            assert_eq!(error(text), NetworkError::HostBits(text.to_owned()));
        }
        for network in Network::LOOPBACK.iter().chain(&Network::PRIVATE) {
            assert_eq!(network.to_string().parse(), Ok(*network));
        }
    }

    #[test]
    fn loopback_is_on_link() {
        let ip = Ipv4Addr::LOCALHOST.into();
        assert!(on_link().iter().any(|network| network.contains(ip)));
        assert_eq!(interface_network(ip, 0), None);
    }
}
