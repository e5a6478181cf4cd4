//! Local addresses by name: what stands for them in a configuration, and what this host says.

use std::fmt;
use std::net::{IpAddr, ToSocketAddrs};
use std::str::FromStr;

/// A local address, or what stands for some.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LocalName {
    /// The address itself.
    Address(IpAddr),
    /// Every address of this host that others can reach: `any`.
    Any,
    /// A network interface of this host, or a name for the DNS to resolve.
    Name(String),
}

/// A text that is neither an address nor a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an IPv4 or IPv6 address, a network interface, a DNS name or \"any\"")]
pub struct LocalNameError;

impl FromStr for LocalName {
    type Err = LocalNameError;

    fn from_str(text: &str) -> Result<Self, LocalNameError> {
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(address) = inner.unwrap_or(text).parse() {
            return Ok(Self::Address(address));
        }
        if text == "any" {
            return Ok(Self::Any);
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._@:".contains(&b);
        // Digits and dots alone were meant as an address.
        let is_name = text.bytes().all(fits) && text.bytes().any(|b| b.is_ascii_alphabetic());
        if is_name && text.matches(':').count() < 2 {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(LocalNameError)
    }
}

impl fmt::Display for LocalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Any => f.write_str("any"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Meaning of the names in a configuration.
#[derive(Clone, Debug)]
pub struct Names {
    interfaces: Vec<LocalInterface>,
    lookup: fn(&str) -> Vec<IpAddr>,
    /// Names are taken for good, unseen.
    unseen: bool,
}

/// An address of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalInterface {
    /// The system's name of the interface.
    pub name: String,
    /// The address.
    pub address: IpAddr,
}

impl Names {
    /// This host and its DNS.
    pub fn of_this_host() -> Self {
        Self::new(local_interfaces(), |name| {
            let found = (name, 0).to_socket_addrs();
            found.map_or_else(|_| Vec::new(), |found| found.map(|a| a.ip()).collect())
        })
    }

    /// For a configuration of another host: names are accepted and have no address.
    pub fn unseen() -> Self {
        Self {
            unseen: true,
            ..Self::new(Vec::new(), |_| Vec::new())
        }
    }

    /// A host with these addresses and this DNS.
    pub fn new(interfaces: Vec<LocalInterface>, lookup: fn(&str) -> Vec<IpAddr>) -> Self {
        Self {
            interfaces,
            lookup,
            unseen: false,
        }
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// Why there is none.
    pub fn addresses(&self, name: &LocalName) -> Result<Vec<IpAddr>, String> {
        let local = |matches: &dyn Fn(&LocalInterface) -> bool| -> Vec<IpAddr> {
            let reachable = self.interfaces.iter().filter(|i| !is_link_local(i.address));
            reachable
                .filter(|i| matches(i))
                .map(|i| i.address)
                .collect()
        };
        let mut addresses = match name {
            LocalName::Address(address) => return Ok(vec![*address]),
            LocalName::Any => local(&|interface| !interface.address.is_loopback()),
            LocalName::Name(name) => match local(&|interface| interface.name == *name) {
                of_interface if !of_interface.is_empty() || self.unseen => of_interface,
                _ => (self.lookup)(name),
            },
        };
        let mut seen = Vec::new();
        addresses.retain(|address| {
            let is_new = !seen.contains(address);
            seen.push(*address);
            is_new
        });
        if addresses.is_empty() && !self.unseen {
            return Err(match name {
                LocalName::Name(name) => format!(
                    "\"{name}\" is no address, no network interface with an address ({}) and no \
                     name that DNS knows",
                    self.interface_names().join(", ")
                ),
                _ => "this host has no address besides loopback".to_owned(),
            });
        }
        Ok(addresses)
    }

    /// Whether this host speaks IPv6, as far as is known.
    pub fn has_ipv6(&self) -> bool {
        self.unseen || self.interfaces.iter().any(|i| i.address.is_ipv6())
    }

    fn interface_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.interfaces.iter().map(|i| i.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Such an address is of no use without the number of its interface.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Every address of this host.
pub(crate) fn host_addresses() -> Vec<IpAddr> {
    let interfaces = local_interfaces().into_iter();
    interfaces.map(|interface| interface.address).collect()
}

fn local_interfaces() -> Vec<LocalInterface> {
    let Ok(found) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let ip = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    };
    found
        .filter_map(|entry| {
            Some(LocalInterface {
                address: ip(entry.address?)?,
                name: entry.interface_name,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let interface = |name: &str, address: &str| LocalInterface {
            name: name.to_owned(),
            address: address.parse().unwrap(),
        };
        Names::new(
            vec![
                interface("lo", "127.0.0.1"),
                interface("eth0", "192.0.2.7"),
                interface("eth0", "fe80::7"),
                interface("eth0", "2001:db8::7"),
                interface("eth1", "198.51.100.7"),
            ],
            |name| match name {
                "media.example.com" => vec![[203, 0, 113, 7].into(), [203, 0, 113, 7].into()],
                _ => Vec::new(),
            },
        )
    }

    #[track_caller]
    fn assert_stands_for(name: &str, expected: &[&str]) {
        let expected: Vec<IpAddr> = expected.iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(names().addresses(&name.parse().unwrap()), Ok(expected));
    }

    #[test]
    fn names_are_addresses_interfaces_dns_or_any() {
        assert_stands_for("[2001:db8::1]", &["2001:db8::1"]);
        assert_stands_for("eth0", &["192.0.2.7", "2001:db8::7"]);
        assert_stands_for("any", &["192.0.2.7", "2001:db8::7", "198.51.100.7"]);
        assert_stands_for("media.example.com", &["203.0.113.7"]);
        let unknown = names().addresses(&LocalName::Name("eth9".to_owned()));
        assert!(unknown.unwrap_err().contains("(eth0, eth1, lo)"));
        for bad in ["192.0.2.300", "", "a b", "1:2:3", "[eth0]", "2001:db8::g"] {
            assert_eq!(bad.parse::<LocalName>(), Err(LocalNameError), "{bad}");
        }
    }

    #[test]
    fn unseen_names_are_good() {
        let name = LocalName::Name("eth9".to_owned());
        assert_eq!(Names::unseen().addresses(&name), Ok(Vec::new()));
        assert_eq!(Names::unseen().addresses(&LocalName::Any), Ok(Vec::new()));
    }

    #[test]
    fn this_host_knows_its_loopback() {
        let host = Names::of_this_host();
        let loopback = host.interfaces.iter().find(|i| i.address.is_loopback());
        let of_name = host.addresses(&LocalName::Name(loopback.unwrap().name.clone()));
        assert!(of_name.unwrap().contains(&loopback.unwrap().address));
    }
}
