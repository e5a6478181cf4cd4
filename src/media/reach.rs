//! Allowed destinations of media, and the addresses that a party can have as seen from a local
//! interface (spec: media-behaviour §3.1, security promise 11).
//!
//! [`Rules`] belong to the relay, [`Reach`] to one of its local addresses. An address that contains
//! an IPv4 address (mapped, translated, tunnelled) is checked as both.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// The reach of an address (IANA special-purpose address registries).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Unspecified,
    Loopback,
    LinkLocal,
    Private,
    /// Networks for tests of equipment (RFC 2544, RFC 5180).
    Benchmark,
    /// Assigned to protocols, to nothing yet, or to nothing any more.
    Reserved,
    /// Services that a cloud offers to its machines alone.
    Metadata,
    Multicast,
    Public,
}

/// Addresses of metadata services outside 169.254.0.0/16.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

fn scope(address: IpAddr) -> Scope {
    match address.to_canonical() {
        IpAddr::V4(v4) => scope_v4(v4),
        IpAddr::V6(v6) => match (scope_v6(v6), embedded(v6)) {
            (Scope::Public, Some(v4)) => scope_v4(v4),
            (scope, _) => scope,
        },
    }
}

fn scope_v4(address: Ipv4Addr) -> Scope {
    let octets = address.octets();
    match octets {
        [0, ..] => Scope::Unspecified,
        [127, ..] => Scope::Loopback,
        [169, 254, ..] => Scope::LinkLocal,
        _ if METADATA_V4.contains(&address) => Scope::Metadata,
        // 100.64.0.0/10: carrier-grade NAT (RFC 6598).
        [100, 64..=127, ..] => Scope::Private,
        _ if address.is_private() => Scope::Private,
        [198, 18 | 19, ..] => Scope::Benchmark,
        // Protocol assignments (RFC 6890), and relays of 6to4 (RFC 7526).
        [192, 0, 0, _] | [192, 88, 99, _] => Scope::Reserved,
        [224..=239, ..] | [255, 255, 255, 255] => Scope::Multicast,
        [240..=255, ..] => Scope::Reserved,
        _ => Scope::Public,
    }
}

fn scope_v6(address: Ipv6Addr) -> Scope {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Scope::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Scope::Loopback,
        _ if address == METADATA_V6 => Scope::Metadata,
        [0xfe80..=0xfebf, ..] => Scope::LinkLocal,
        // Site-local addresses (RFC 3879) are of no use, and once were private.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Scope::Private,
        [0xff00..=0xffff, ..] => Scope::Multicast,
        [0x2001, 2, 0, ..] => Scope::Benchmark,
        // Discard-only (RFC 6666), segment routing (RFC 9602).
        [0x0100, 0, 0, 0, ..] | [0x5f00, ..] => Scope::Reserved,
        _ => Scope::Public,
    }
}

/// The IPv4 address that packets to an IPv6 address end up at: IPv4-compatible (RFC 4291 §2.5.5),
/// IPv4-translated (RFC 7915), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380),
/// ISATAP (RFC 5214).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let v4 =
        |shift: u32| Ipv4Addr::from_bits(u32::try_from(bits >> shift & 0xffff_ffff).unwrap_or(0));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [0x64, 0xff9b, 1, ..]
        | [_, _, _, _, 0 | 0x0200, 0x5efe, ..] => Some(v4(0)),
        [0x2002, ..] => Some(v4(80)),
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!v4(0).to_bits())),
        _ => None,
    }
}

/// Whether `address` is private as seen from `local`: not public, and not of the same scope as
/// the local interface, so that a party with it is behind NAT.
pub fn is_private_from(address: IpAddr, local: IpAddr) -> bool {
    let scope_of_address = scope(address);
    scope_of_address != Scope::Public && scope_of_address != scope(local)
}

/// Reasons why media does not go to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// The operator forbids it (`[media] forbid`).
    Forbidden,
    /// A port of this host that is no media port.
    Host,
    /// This process listens there for something else.
    Listener,
    /// No party is there: port 0, nowhere, a group, or a range for special purposes.
    Special,
}

impl Barred {
    /// The reason as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden by [media] forbid",
            Self::Host => "an address of this host, and no media port",
            Self::Listener => "this relay listens there",
            Self::Special => "of a special range that its interface is not in",
        }
    }
}

/// Ports that media of this relay comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaPorts {
    /// The local address.
    pub address: IpAddr,
    /// The address in SDP.
    pub advertised: IpAddr,
    /// The lowest port.
    pub min: u16,
    /// The highest.
    pub max: u16,
}

impl MediaPorts {
    /// Whether an address is the local or the advertised one.
    pub fn is_at(&self, address: IpAddr) -> bool {
        self.address == address || self.advertised == address
    }
}

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// An address of the network.
    pub address: IpAddr,
    /// Bits that count.
    pub bits: u8,
}

impl Prefix {
    fn contains(self, address: IpAddr) -> bool {
        let (network, address, width) = match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => (
                u128::from(network.to_bits()),
                u128::from(address.to_bits()),
                32,
            ),
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits(), address.to_bits(), 128)
            }
            _ => return false,
        };
        let free = width - u32::from(self.bits).min(width);
        let shifted = |bits: u128| bits.checked_shr(free).unwrap_or(0);
        shifted(network) == shifted(address)
    }
}

/// Destinations that the relay forbids.
#[derive(Debug, Default)]
pub struct Rules {
    /// The relay's own media ports.
    pub media: Vec<MediaPorts>,
    /// Addresses of this host; they come and go ([`Self::set_host`]).
    pub host: RwLock<Vec<IpAddr>>,
    /// Ports of this host, first and last, that belong to media of others.
    pub beside: Vec<(u16, u16)>,
    /// Networks that the operator closed.
    pub forbidden: Vec<Prefix>,
    /// Addresses that this process listens on, as configured.
    pub listeners: Vec<SocketAddr>,
    /// The same once everything listens, with the ports that the system chose.
    pub bound: OnceLock<Vec<SocketAddr>>,
}

impl Rules {
    /// Everything listens now, at these addresses.
    pub fn listen(&self, bound: Vec<SocketAddr>) {
        // Once told, it stays: listeners do not move.
        let _ = self.bound.set(bound);
    }

    /// The addresses of this host as of now.
    pub fn set_host(&self, addresses: Vec<IpAddr>) {
        *self.host.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Whether an endpoint is on this host and belongs to media of others ([`Self::beside`]).
    pub fn is_beside(&self, endpoint: SocketAddr) -> bool {
        let (address, port) = (endpoint.ip().to_canonical(), endpoint.port());
        let is_beside = |&(first, last): &(u16, u16)| (first..=last).contains(&port);
        self.beside.iter().any(is_beside) && (address.is_loopback() || self.is_host(address))
    }

    fn is_host(&self, address: IpAddr) -> bool {
        let host = self.host.read().unwrap_or_else(PoisonError::into_inner);
        host.contains(&address)
    }

    /// The reason why media from `local` may not go to `destination`; `None` if it may.
    pub fn barred(&self, destination: SocketAddr, local: IpAddr) -> Option<Barred> {
        if destination.port() == 0 {
            return Some(Barred::Special);
        }
        let whole = destination.ip().to_canonical();
        let within = match whole {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => embedded(v6).map(IpAddr::V4),
        };
        let mut faces = [Some(whole), within].into_iter().flatten();
        faces.find_map(|address| self.barred_address(address, destination.port(), local))
    }

    fn barred_address(&self, address: IpAddr, port: u16, local: IpAddr) -> Option<Barred> {
        match scope(address) {
            Scope::Unspecified | Scope::Multicast | Scope::Metadata => {
                return Some(Barred::Special);
            }
            reach @ (Scope::Loopback | Scope::LinkLocal | Scope::Benchmark | Scope::Reserved)
                if scope(local) != reach =>
            {
                return Some(Barred::Special);
            }
            _ => {}
        }
        if self
            .forbidden
            .iter()
            .any(|network| network.contains(address))
        {
            return Some(Barred::Forbidden);
        }
        let is_ours = self.media.iter().any(|ports| ports.is_at(address));
        if !address.is_loopback() && !is_ours && !self.is_host(address) {
            return None;
        }
        let listeners = self
            .listeners
            .iter()
            .chain(self.bound.get().into_iter().flatten());
        let hears = |listener: &SocketAddr| {
            let ip = listener.ip().to_canonical();
            listener.port() == port && (ip == address || ip.is_unspecified())
        };
        if { listeners }.any(hears) {
            return Some(Barred::Listener);
        }
        let is_media =
            |ports: &MediaPorts| ports.is_at(address) && (ports.min..=ports.max).contains(&port);
        let is_beside = |&(first, last): &(u16, u16)| (first..=last).contains(&port);
        // Between loopback addresses there is nothing but this host.
        let may = address.is_loopback()
            || self.media.iter().any(is_media)
            || self.beside.iter().any(is_beside);
        (!may).then_some(Barred::Host)
    }
}

/// Allowed destinations of media from one local address. Equal if address and relay are the same.
#[derive(Clone, Debug)]
pub struct Reach {
    local: IpAddr,
    rules: Arc<Rules>,
}

impl Reach {
    /// The reach of a local address of a relay.
    pub fn new(local: IpAddr, rules: Arc<Rules>) -> Self {
        Self { local, rules }
    }

    /// The reason why media may not go to `destination`; `None` if it may.
    pub fn barred(&self, destination: SocketAddr) -> Option<Barred> {
        self.rules.barred(destination, self.local)
    }

    /// The relay's own media port that an address means, by its local address.
    pub fn own_port(&self, address: SocketAddr) -> Option<SocketAddr> {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let mut media = self.rules.media.iter();
        let own = media.find(|ports| ports.is_at(ip) && (ports.min..=ports.max).contains(&port))?;
        Some(SocketAddr::new(own.address, port))
    }

    /// Whether an address is one that the relay's media comes from. Between the local and the
    /// advertised one, a port may be another on the way.
    pub fn is_own(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.rules.media.iter().any(|ports| ports.is_at(address))
    }
}

impl PartialEq for Reach {
    fn eq(&self, other: &Self) -> bool {
        self.local == other.local && Arc::ptr_eq(&self.rules, &other.rules)
    }
}

impl Eq for Reach {}

impl Hash for Reach {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.local.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A relay with media ports 30000-39999 at 203.0.113.1, advertised as 198.51.100.1, a second
    /// address, and ng on 127.0.0.1, the wildcard and a media port.
    fn rules() -> Rules {
        let rules = Rules {
            media: vec![MediaPorts {
                address: ip("203.0.113.1"),
                advertised: ip("198.51.100.1"),
                min: 30_000,
                max: 39_999,
            }],
            host: vec![ip("203.0.113.1"), ip("203.0.113.2"), ip("2001:db8::2")].into(),
            beside: vec![(20_000, 20_999)],
            forbidden: vec![Prefix {
                address: ip("10.0.0.0"),
                bits: 8,
            }],
            listeners: vec!["127.0.0.1:2223".parse().unwrap()],
            ..Rules::default()
        };
        rules.listen(vec![
            "0.0.0.0:2224".parse().unwrap(),
            "203.0.113.1:30100".parse().unwrap(),
        ]);
        rules
    }

    #[track_caller]
    fn assert_barred(to: &str, local: &str, expected: Option<Barred>) {
        let to: SocketAddr = to.parse().unwrap();
        assert_eq!(rules().barred(to, ip(local)), expected, "{to} from {local}");
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
        // A phone behind 464XLAT shows an address of its own host.
        assert!(is_private_from(ip("192.0.0.4"), ip("203.0.113.1")));
    }

    /// Special ranges, each as it is and within the forms of IPv6.
    #[test]
    fn special_ranges_are_barred_in_every_form() {
        const SPECIAL: [&str; 15] = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.170",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.254",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ];
        for text in SPECIAL {
            let v4: Ipv4Addr = text.parse().unwrap();
            let low = u128::from(v4.to_bits());
            let within = |high: u128| Ipv6Addr::from_bits(high | low);
            let forms: [IpAddr; 8] = [
                v4.into(),
                v4.to_ipv6_mapped().into(),
                within(0).into(),
                within(0xffff_0000 << 32).into(),
                within(0x64_ff9b << 96).into(),
                within(0x64_ff9b_0001 << 80).into(),
                Ipv6Addr::from_bits(0x2002 << 112 | low << 80).into(),
                Ipv6Addr::from_bits(0x2001_0000 << 96 | u128::from(!v4.to_bits())).into(),
            ];
            for form in forms {
                for local in ["203.0.113.1", "2001:db8::1"] {
                    let to = SocketAddr::new(form, 4000);
                    let barred = rules().barred(to, ip(local));
                    assert_eq!(barred, Some(Barred::Special), "{to} from {local}");
                }
            }
        }
        for text in [
            "[::]:1",
            "[::1]:1",
            "[fe80::1]:1",
            "[ff02::1]:1",
            "[100::1]:1",
            "[5f00::1]:1",
            "[2001:2::1]:1",
            "[fd00:ec2::254]:1",
            "198.51.100.7:0",
        ] {
            assert_barred(text, "203.0.113.1", Some(Barred::Special));
        }
    }

    #[test]
    fn ordinary_addresses_are_open_in_every_form() {
        for text in [
            "198.51.100.7:4000",
            "192.168.1.5:4000",
            "100.64.0.9:4000",
            "[2001:db8::7]:4000",
            "[fd00::7]:4000",
            "[64:ff9b::198.51.100.7]:4000",
            "[2002:c633:6407::1]:4000",
        ] {
            assert_barred(text, "203.0.113.1", None);
            assert_barred(text, "2001:db8::1", None);
        }
        // Interfaces of such a kind reach their like.
        assert_barred("127.0.0.1:4000", "127.0.0.9", None);
        assert_barred("198.18.0.7:4000", "198.18.0.1", None);
        assert_barred("169.254.1.7:4000", "169.254.1.1", None);
    }

    #[test]
    fn media_never_goes_to_a_listener() {
        let listener = Some(Barred::Listener);
        assert_barred("127.0.0.1:2223", "127.0.0.1", listener);
        assert_barred("127.0.0.2:2223", "127.0.0.1", None);
        assert_barred("[::ffff:127.0.0.1]:2223", "127.0.0.1", listener);
        // A wildcard is every address of the host.
        assert_barred("127.9.9.9:2224", "127.0.0.1", listener);
        assert_barred("203.0.113.2:2224", "203.0.113.1", listener);
        assert_barred("[2001:db8::2]:2224", "2001:db8::1", listener);
        assert_barred("198.51.100.9:2224", "203.0.113.1", None);
        // Within the range of media, too.
        assert_barred("203.0.113.1:30100", "203.0.113.1", listener);
        assert_barred("[64:ff9b::203.0.113.1]:30100", "2001:db8::1", listener);
    }

    #[test]
    fn addresses_of_this_host_come_and_go() {
        let rules = rules();
        let [near, local] = [
            "203.0.113.9:2223".parse().unwrap(),
            "203.0.113.1:9".parse().unwrap(),
        ];
        let barred = || rules.barred(near, SocketAddr::ip(&local));
        assert_eq!(barred(), None);
        rules.set_host(vec![near.ip()]);
        assert_eq!(barred(), Some(Barred::Host));
        rules.set_host(Vec::new());
        assert_eq!(barred(), None);
    }

    #[test]
    fn media_of_others_on_this_host_is_known() {
        let rules = Rules {
            beside: vec![(10_000, 10_999)],
            ..rules()
        };
        let is_beside = |endpoint: &str| rules.is_beside(endpoint.parse().unwrap());
        for inside in [
            "203.0.113.2:10000",
            "[::ffff:203.0.113.2]:10999",
            "127.0.0.1:10500",
        ] {
            assert!(is_beside(inside), "{inside}");
        }
        for outside in ["203.0.113.2:9999", "203.0.113.3:10000", "127.0.0.1:11000"] {
            assert!(!is_beside(outside), "{outside}");
        }
    }

    #[test]
    fn of_this_host_media_ports_alone_are_open() {
        let host = Some(Barred::Host);
        for address in ["203.0.113.1", "198.51.100.1"] {
            assert_barred(&format!("{address}:2225"), "203.0.113.1", host);
            assert_barred(&format!("{address}:30000"), "203.0.113.1", None);
            assert_barred(&format!("{address}:40000"), "203.0.113.1", host);
        }
        assert_barred("203.0.113.2:30000", "203.0.113.1", host);
        assert_barred("[::ffff:203.0.113.2]:5060", "203.0.113.1", host);
        assert_barred("[64:ff9b::203.0.113.2]:5060", "2001:db8::1", host);
        // Another relay's media beside this one, where the operator named it.
        assert_barred("203.0.113.2:20500", "203.0.113.1", None);
    }

    #[test]
    fn what_the_operator_closed_is_closed_in_every_form() {
        let forbidden = Some(Barred::Forbidden);
        for text in [
            "10.0.0.1:4000",
            "10.255.255.255:4000",
            "[::ffff:10.1.2.3]:4000",
            "[64:ff9b::10.1.2.3]:4000",
            "[2002:a01:203::]:4000",
        ] {
            assert_barred(text, "203.0.113.1", forbidden);
        }
        assert_barred("11.0.0.1:4000", "203.0.113.1", None);
        let everything = Prefix {
            address: ip("::"),
            bits: 0,
        };
        assert!(everything.contains(ip("2001:db8::1")) && !everything.contains(ip("10.0.0.1")));
    }
}
