//! Access to the control listeners (spec: security 12).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Sources whose requests are answered. Loopback addresses always are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// No others.
    #[default]
    Loopback,
    /// Sources in these networks.
    AllowList(Vec<Network>),
    /// Sources with private or link-local addresses, and those in the networks that this host has
    /// an address in. For operators who bind widely, as with rtpengine, and have not named the
    /// peers yet.
    LocalNetworks(Vec<Network>),
}

impl Access {
    /// Whether a request from this address is to be answered.
    pub fn permits(&self, source: IpAddr) -> bool {
        // An IPv4 peer of an IPv6 socket is an IPv4 peer.
        let source = source.to_canonical();
        let is_in = |networks: &[Network]| networks.iter().any(|n| n.contains(source));
        source.is_loopback()
            || match self {
                Self::Loopback => false,
                Self::AllowList(networks) => is_in(networks),
                Self::LocalNetworks(on_link) => is_private(source) || is_in(on_link),
            }
    }
}

/// Private and link-local addresses (RFC 1918, 3927, 4193, 4291 §2.5.6).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The networks that [`Access::LocalNetworks`] permits on every host.
pub(super) const PRIVATE: [Network; 6] = [
    Network::v4([10, 0, 0, 0], 8),
    Network::v4([172, 16, 0, 0], 12),
    Network::v4([192, 168, 0, 0], 16),
    Network::v4([169, 254, 0, 0], 16),
    Network::v6(0xfc00, 7),
    Network::v6(0xfe80, 10),
];

/// An address prefix such as `10.0.0.0/8`; a single address has the longest prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of an address; `None` if the prefix is longer than the address.
    pub fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        if prefix > width(address) {
            return None;
        }
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Some(Self { address, prefix })
    }

    /// The address of the network, and how many of its bits count.
    pub fn parts(self) -> (IpAddr, u8) {
        (self.address, self.prefix)
    }

    /// Whether an address is of the network.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self::of(address, self.prefix).is_some_and(|network| network == self)
    }

    const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    const fn v6(first: u16, prefix: u8) -> Self {
        Self {
            address: IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0)),
            prefix,
        }
    }
}

/// A text that is no network, or one with bits set behind its prefix: 10.0.0.1/8 may be meant as
/// one host or as sixteen million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a network such as 10.0.0.0/8, or an address")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let prefix = match prefix {
            None => width(address),
            Some(prefix) => prefix.parse().map_err(|_| NetworkError)?,
        };
        Self::of(address, prefix)
            .filter(|network| network.address == address)
            .ok_or(NetworkError)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.prefix < width(self.address) {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[track_caller]
    fn assert_permits(access: &Access, permitted: &[&str], refused: &[&str]) {
        for source in permitted {
            assert!(access.permits(source.parse().unwrap()), "{source}");
        }
        for source in refused {
            assert!(!access.permits(source.parse().unwrap()), "{source}");
        }
    }

    #[test]
    fn loopback_is_this_host_only() {
        assert_permits(
            &Access::Loopback,
            &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"],
            &["10.0.0.1", "192.0.2.1", "fe80::1", "0.0.0.0", "::"],
        );
    }

    #[test]
    fn allow_list_is_what_it_says_and_this_host() {
        assert_permits(
            &Access::AllowList(networks(&["192.0.2.0/28", "198.51.100.7", "2001:db8::/64"])),
            &[
                "127.0.0.1",
                "192.0.2.15",
                "::ffff:192.0.2.1",
                "198.51.100.7",
                "2001:db8::9",
            ],
            &["192.0.2.16", "198.51.100.8", "10.0.0.1", "2001:db8:0:1::1"],
        );
    }

    #[test]
    fn local_networks_are_private_link_local_and_on_link() {
        assert_permits(
            &Access::LocalNetworks(networks(&["203.0.113.0/24", "2001:db8:1::/48"])),
            &[
                "::1",
                "10.1.2.3",
                "172.31.255.255",
                "192.168.0.1",
                "169.254.1.1",
                "fd00::1",
                "fe80::1",
                "203.0.113.77",
                "2001:db8:1:2::3",
            ],
            &["172.32.0.1", "100.64.0.1", "203.0.114.1", "2001:db8:2::1"],
        );
    }

    #[test]
    fn private_networks_are_those_that_are_permitted() {
        let local = Access::LocalNetworks(Vec::new());
        for network in PRIVATE {
            assert!(local.permits(network.address), "{network}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
    }

    #[test]
    fn network_without_host_bits_is_one() {
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
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "host",
            "10/8",
            "::1/0",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
