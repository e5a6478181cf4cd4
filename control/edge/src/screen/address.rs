//! Addresses as table keys, networks, and sets of networks.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use foldhash::quality::RandomState;

/// An address, or an address and a port. IPv4 is held as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2), so
/// a source is the same whichever socket it came by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source {
    ip: [u8; 16],
    /// 0: all ports of the address.
    port: u16,
}

impl Source {
    /// The address with all its ports.
    pub(crate) fn whole(ip: IpAddr) -> Self {
        Self {
            ip: octets(ip),
            port: 0,
        }
    }

    /// One port of the address.
    pub(crate) fn port(address: SocketAddr) -> Self {
        Self {
            ip: octets(address.ip()),
            port: address.port(),
        }
    }

    pub(crate) fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.ip).to_canonical()
    }

    /// `None`: all ports.
    pub(crate) fn only_port(self) -> Option<u16> {
        (self.port != 0).then_some(self.port)
    }

    /// The /24 (IPv4) or /64 (IPv6) that the address is in.
    pub(crate) fn neighbourhood(self) -> Self {
        let bits = if is_mapped(&self.ip) { 96 + 24 } else { 64 };
        Self {
            ip: masked(self.ip, bits),
            port: 0,
        }
    }

    /// A key beside that of the whole address: its ports that are no registered flows.
    pub(crate) fn strangers(self) -> Self {
        Self {
            port: u16::MAX,
            ..self
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        let (ip, port) = bytes.split_at_mut(16);
        ip.copy_from_slice(&self.ip);
        port.copy_from_slice(&self.port.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; 18]) -> Self {
        let [ip @ .., high, low] = bytes;
        Self {
            ip,
            port: u16::from_be_bytes([high, low]),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.only_port() {
            Some(port) => SocketAddr::new(self.ip(), port).fmt(f),
            None => self.ip().fmt(f),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A network in CIDR notation; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    base: [u8; 16],
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("{0:?} is no IP address")]
    Address(String),
    #[error("{0:?} is no prefix length of this address family")]
    Length(String),
}

impl Network {
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        masked(octets(ip), self.bits) == self.base
    }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        Self {
            base: octets(ip),
            bits: 128,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip, Some(length)),
            None => (text, None),
        };
        let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        let ip: IpAddr = bare
            .unwrap_or(ip)
            .parse()
            .map_err(|_| NetworkError::Address(ip.to_owned()))?;
        let (most, shift) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
        let length = match length {
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| *n <= most)
                .ok_or_else(|| NetworkError::Length(text.to_owned()))?,
            None => most,
        };
        let bits = shift + length;
        Ok(Self {
            base: masked(octets(ip), bits),
            bits,
        })
    }
}

/// Values by network; a look-up takes one probe per prefix length in use.
#[derive(Clone, Debug)]
pub(crate) struct Networks<T> {
    /// Longest prefix first.
    by_length: Vec<(u8, ByBase<T>)>,
}

type ByBase<T> = HashMap<[u8; 16], Vec<T>, RandomState>;

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Self {
            by_length: Vec::new(),
        }
    }
}

impl<T> Networks<T> {
    pub(crate) fn insert(&mut self, network: Network, value: T) {
        let at = self
            .by_length
            .binary_search_by(|(bits, _)| network.bits.cmp(bits));
        let at = at.unwrap_or_else(|at| {
            self.by_length
                .insert(at, (network.bits, HashMap::default()));
            at
        });
        if let Some((_, networks)) = self.by_length.get_mut(at) {
            networks.entry(network.base).or_default().push(value);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_length.is_empty()
    }

    /// The values of all networks that hold `ip`, the longest prefixes first.
    pub(crate) fn of(&self, ip: IpAddr) -> impl Iterator<Item = &T> {
        let ip = octets(ip);
        let found = self
            .by_length
            .iter()
            .filter_map(move |(bits, networks)| networks.get(&masked(ip, *bits)));
        found.flatten()
    }
}

impl<T> FromIterator<(Network, T)> for Networks<T> {
    fn from_iter<I: IntoIterator<Item = (Network, T)>>(iter: I) -> Self {
        let mut networks = Self::default();
        for (network, value) in iter {
            networks.insert(network, value);
        }
        networks
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn is_mapped(ip: &[u8; 16]) -> bool {
    Ipv6Addr::from(*ip).to_ipv4_mapped().is_some()
}

fn masked(ip: [u8; 16], bits: u8) -> [u8; 16] {
    let mask = u128::MAX
        .checked_shl(128 - u32::from(bits.min(128)))
        .unwrap_or(0);
    (u128::from_be_bytes(ip) & mask).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_their_addresses_alone() {
        let network: Network = "198.51.100.0/25".parse().unwrap();
        assert!(network.contains(ip("198.51.100.127")));
        assert!(network.contains(ip("::ffff:198.51.100.1")));
        assert!(!network.contains(ip("198.51.100.128")));
        let network: Network = "2001:db8::/32".parse().unwrap();
        assert!(network.contains(ip("2001:db8:ffff::1")));
        assert!(!network.contains(ip("2001:db9::1")));
        assert!(
            "0.0.0.0/0"
                .parse::<Network>()
                .unwrap()
                .contains(ip("192.0.2.1"))
        );
        assert!(
            !"0.0.0.0/0"
                .parse::<Network>()
                .unwrap()
                .contains(ip("2001:db8::1"))
        );
        assert!("::/0".parse::<Network>().unwrap().contains(ip("192.0.2.1")));
        assert!(
            "[2001:db8::1]"
                .parse::<Network>()
                .unwrap()
                .contains(ip("2001:db8::1"))
        );
    }

    #[test]
    fn nonsense_is_no_network() {
        for text in [
            "",
            "198.51.100.0/33",
            "2001:db8::/129",
            "198.51.100/24",
            "a/8",
            "192.0.2.1/-1",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_network_comes_first() {
        let set: Networks<u8> = [("192.0.2.0/24", 1), ("192.0.2.7", 2), ("0.0.0.0/0", 3)]
            .into_iter()
            .map(|(network, value)| (network.parse().unwrap(), value))
            .collect();
        let of = |text| set.of(ip(text)).copied().collect::<Vec<_>>();
        assert_eq!(of("192.0.2.7"), [2, 1, 3]);
        assert_eq!(of("192.0.2.8"), [1, 3]);
        assert_eq!(of("2001:db8::1"), [0_u8; 0]);
    }

    #[test]
    fn neighbourhoods_are_24_and_64_bits() {
        let near =
            |a, b| Source::whole(ip(a)).neighbourhood() == Source::whole(ip(b)).neighbourhood();
        assert!(near("192.0.2.1", "192.0.2.254"));
        assert!(!near("192.0.2.1", "192.0.3.1"));
        assert!(near("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!near("2001:db8::1", "2001:db8:0:1::1"));
    }

    #[test]
    fn sources_survive_as_bytes() {
        for text in ["192.0.2.1:5060", "[2001:db8::1]:5061"] {
            let source = Source::port(text.parse().unwrap());
            assert_eq!(Source::from_bytes(source.to_bytes()), source);
            assert_eq!(source.to_string(), text);
        }
    }
}
