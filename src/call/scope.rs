//! Which addresses a party can really have, as seen from a local interface
//! (spec: media-behaviour §3.1, security promise 11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The reach of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Unspecified,
    Loopback,
    LinkLocal,
    Private,
    Multicast,
    Public,
}

fn scope(address: IpAddr) -> Scope {
    match address {
        IpAddr::V4(v4) => scope_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => scope_v4(v4),
            None => scope_v6(v6),
        },
    }
}

fn scope_v4(address: Ipv4Addr) -> Scope {
    let [a, b, ..] = address.octets();
    if a == 0 {
        Scope::Unspecified
    } else if a == 127 {
        Scope::Loopback
    } else if address.is_link_local() {
        Scope::LinkLocal
    } else if address.is_private() || (a == 100 && b & 0xc0 == 64) {
        // 100.64.0.0/10: carrier-grade NAT (RFC 6598).
        Scope::Private
    } else if (224..240).contains(&a) || address.is_broadcast() {
        Scope::Multicast
    } else {
        Scope::Public
    }
}

fn scope_v6(address: Ipv6Addr) -> Scope {
    let first = address.segments()[0];
    if address.is_unspecified() {
        Scope::Unspecified
    } else if address.is_loopback() {
        Scope::Loopback
    } else if first & 0xffc0 == 0xfe80 {
        Scope::LinkLocal
    } else if first & 0xfe00 == 0xfc00 {
        Scope::Private
    } else if first & 0xff00 == 0xff00 {
        Scope::Multicast
    } else {
        Scope::Public
    }
}

/// Whether `address` is private as seen from `local`: not public, and not of the same scope as
/// the local interface, so that a party with it is behind NAT.
pub(crate) fn is_private_from(address: IpAddr, local: IpAddr) -> bool {
    let scope_of_address = scope(address);
    scope_of_address != Scope::Public && scope_of_address != scope(local)
}

/// Whether media may never be sent to `destination` from `local`: nowhere, a group, this host or
/// its link, unless the local interface is of that scope itself.
pub(crate) fn is_forbidden(destination: SocketAddr, local: IpAddr) -> bool {
    if destination.port() == 0 {
        return true;
    }
    match scope(destination.ip()) {
        Scope::Unspecified | Scope::Multicast => true,
        reach @ (Scope::Loopback | Scope::LinkLocal) => scope(local) != reach,
        Scope::Private | Scope::Public => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn private_is_seen_from_the_local_interface() {
        assert!(is_private_from(ip("192.168.1.5"), ip("203.0.113.1")));
        assert!(is_private_from(ip("100.64.0.9"), ip("203.0.113.1")));
        assert!(is_private_from(ip("fd00::5"), ip("2001:db8::1")));
        assert!(!is_private_from(ip("10.0.0.9"), ip("192.168.1.1")));
        assert!(!is_private_from(ip("127.0.0.2"), ip("127.0.0.1")));
        assert!(is_private_from(ip("192.168.1.5"), ip("127.0.0.1")));
        assert!(!is_private_from(ip("198.51.100.7"), ip("10.0.0.1")));
    }

    #[test]
    fn media_never_goes_to_the_host_itself_or_to_groups() {
        let public = ip("203.0.113.1");
        for bad in [
            "127.0.0.1:4000",
            "[::1]:4000",
            "[::ffff:127.0.0.1]:4000",
            "169.254.169.254:80",
            "0.0.0.0:4000",
            "224.0.0.1:4000",
            "255.255.255.255:4000",
            "[ff02::1]:4000",
            "[fe80::1]:4000",
            "198.51.100.7:0",
        ] {
            assert!(is_forbidden(bad.parse().unwrap(), public), "{bad}");
        }
        assert!(!is_forbidden(
            "127.0.0.1:4000".parse().unwrap(),
            ip("127.0.0.9")
        ));
        assert!(!is_forbidden("10.0.0.1:4000".parse().unwrap(), public));
    }
}
