//! Start-up checks of a config against the host: are the addresses ours, do the ports collide with
//! the system's own, are there enough file descriptors.
//!
//! [`check`] is pure and gets what the host says as [`Host`]; [`run`] reads the host, checks, and
//! raises the descriptor limit.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use windlass_kernel_assist::reserve::ranges;

use super::topic::{OffloadMode, Steering};
use super::{Config, PortRange};

/// Facts about the host; see [`Host::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Addresses that are not local may be bound, IPv4 (net.ipv4.ip_nonlocal_bind).
    pub nonlocal_v4: bool,
    /// As `nonlocal_v4`, for IPv6 (net.ipv6.ip_nonlocal_bind).
    pub nonlocal_v6: bool,
    /// Ports that the system gives to sockets that ask for any (net.ipv4.ip_local_port_range).
    pub ephemeral: RangeInclusive<u16>,
    /// Ports that it leaves out of those (net.ipv4.ip_local_reserved_ports).
    pub reserved: Vec<RangeInclusive<u16>>,
    /// File descriptors this process may have at most (RLIMIT_NOFILE, hard).
    pub files: u64,
    /// Capabilities that steering ports needs and this process does not have.
    pub missing_rights: Vec<&'static str>,
}

impl Host {
    /// Reads the running system; what cannot be read counts as the kernel's default.
    pub fn read() -> Self {
        let sysctl = |name: &str| fs::read_to_string(format!("/proc/sys/net/{name}")).ok();
        let is_set = |name| sysctl(name).is_some_and(|text| text.trim() == "1");
        Self {
            nonlocal_v4: is_set("ipv4/ip_nonlocal_bind"),
            nonlocal_v6: is_set("ipv6/ip_nonlocal_bind"),
            ephemeral: sysctl("ipv4/ip_local_port_range")
                .and_then(|text| parse_port_range(&text))
                .unwrap_or(32_768..=60_999),
            reserved: sysctl("ipv4/ip_local_reserved_ports")
                .map(|text| ranges(&text).collect())
                .unwrap_or_default(),
            files: getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard),
            missing_rights: windlass_kernel_assist::rights::missing(),
        }
    }
}

/// Result of [`check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Reasons why the relay must not start.
    pub errors: Vec<String>,
    /// Conditions that will trouble it later.
    pub warnings: Vec<String>,
}

/// Checks `config` against `host`; `bind` tries whether a local socket can have an address.
pub fn check(
    config: &Config,
    host: &Host,
    mut bind: impl FnMut(IpAddr) -> io::Result<()>,
) -> Findings {
    let mut findings = Findings::default();
    let addresses: BTreeSet<IpAddr> = config.interfaces.iter().map(|i| i.address).collect();
    for address in addresses {
        let floating = match address {
            IpAddr::V4(_) => host.nonlocal_v4,
            IpAddr::V6(_) => host.nonlocal_v6,
        };
        if floating {
            continue;
        }
        if let Err(error) = bind(address) {
            findings.errors.push(refusal(address, &error));
        }
    }
    let ranges = || config.interfaces.iter().map(|interface| interface.ports);
    let may_reserve = !host.missing_rights.contains(&"CAP_NET_ADMIN");
    let reserves = config.dataplane.reserve_ports && may_reserve;
    if !reserves && let Some(clash) = first_clash(ranges(), host) {
        let PortRange { min, max } = clash;
        let (low, high) = (host.ephemeral.start(), host.ephemeral.end());
        findings.warnings.push(format!(
            "media ports {min}-{max} overlap {low}-{high}, from which the system serves sockets \
             that ask for any port: now and then a port will be taken, and what such a socket has of a port that is \
             steered hears nothing; keep them apart with: {}",
            reserve_line(host, clash)
        ));
    }
    let missing = host.missing_rights.join(", ");
    let may_steer = missing.is_empty() && config.dataplane.steering != Steering::Off;
    if !missing.is_empty() && config.dataplane.steering == Steering::Required {
        findings.errors.push(format!(
            "steering = \"required\" in [dataplane] needs {missing}: run as root, or give it to \
             the program (AmbientCapabilities= of the service)"
        ));
    }
    let is_asked_for = matches!(config.offload.mode, OffloadMode::Tc | OffloadMode::Xdp);
    let rights = host.missing_rights.iter();
    let rights: Vec<_> = rights
        .filter(|right| **right != "CAP_NET_RAW")
        .copied()
        .collect();
    if is_asked_for && !rights.is_empty() {
        findings.warnings.push(format!(
            "[offload] needs {}: without it the relay forwards all media itself; run as root, or \
             give it to the program (AmbientCapabilities= of the service)",
            rights.join(", ")
        ));
    }
    let needed = descriptors(config);
    if host.files < needed && !may_steer {
        findings.warnings.push(format!(
            "the limit of {} open files is below the {needed} that all media ports together need: \
             calls will be refused before the ports run out; raise it (ulimit -Hn, or LimitNOFILE= \
             of the service)",
            host.files
        ));
    }
    findings
}

/// Conditions on this host that will trouble the relay, as far as they can be seen without binding
/// anything. `windlass check` shows them beside the mistakes of the file.
pub fn warnings(config: &Config) -> Vec<String> {
    check(config, &Host::read(), |_| Ok(())).warnings
}

/// Reads the host, checks, raises the limit of open files to what the hard limit allows.
///
/// # Errors
/// Why the relay must not start, a line per reason. Otherwise the warnings.
pub fn run(config: &Config) -> Result<Vec<String>, String> {
    let host = Host::read();
    let mut findings = check(config, &host, |address| {
        UdpSocket::bind(SocketAddr::new(address, 0)).map(drop)
    });
    if !findings.errors.is_empty() {
        return Err(findings.errors.join("\n"));
    }
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, host.files, host.files) {
        findings
            .warnings
            .push(format!("the limit of open files cannot be raised: {error}"));
    }
    Ok(findings.warnings)
}

/// The command that reserves a range beside those that are reserved.
fn reserve_line(host: &Host, PortRange { min, max }: PortRange) -> String {
    let kept = host.reserved.iter().map(|range| {
        let (low, high) = (range.start(), range.end());
        format!("{low}-{high},")
    });
    let kept: String = kept.collect();
    format!("sysctl -w net.ipv4.ip_local_reserved_ports={kept}{min}-{max}")
}

fn refusal(address: IpAddr, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        format!(
            "interface address {address} is not an address of this host (see `ip address`); if it \
             moves between hosts, allow it with: sysctl -w net.{family}.ip_nonlocal_bind=1"
        )
    } else {
        format!("interface address {address} cannot be used: {error}")
    }
}

/// The first range with a port that the system may give away.
fn first_clash(mut ranges: impl Iterator<Item = PortRange>, host: &Host) -> Option<PortRange> {
    ranges.find(|range| {
        let low = range.min.max(*host.ephemeral.start());
        let high = range.max.min(*host.ephemeral.end());
        (low..=high).any(|port| !host.reserved.iter().any(|kept| kept.contains(&port)))
    })
}

/// Descriptors that all ports in use need, and some for everything else.
fn descriptors(config: &Config) -> u64 {
    const EVERYTHING_ELSE: usize = 128;
    let ports: usize = config
        .interfaces
        .iter()
        .map(|interface| interface.ports.count())
        .sum();
    u64::try_from(ports + EVERYTHING_ELSE).unwrap_or(u64::MAX)
}

/// `32768\t60999`.
fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ports = text.split_whitespace().map(str::parse);
    Some(ports.next()?.ok()?..=ports.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Interface;

    fn host() -> Host {
        Host {
            nonlocal_v4: false,
            nonlocal_v6: false,
            ephemeral: 32_768..=60_999,
            reserved: Vec::new(),
            files: 1_000_000,
            missing_rights: vec!["CAP_NET_ADMIN", "CAP_BPF"],
        }
    }

    fn config(address: &str, min: u16, max: u16) -> Config {
        Config {
            interfaces: vec![Interface {
                name: "default".to_owned(),
                address: address.parse().unwrap(),
                advertise: None,
                ports: PortRange { min, max },
                exclude_ports: Vec::new(),
            }],
            ..Config::default()
        }
    }

    fn not_local(_: IpAddr) -> io::Result<()> {
        Err(io::ErrorKind::AddrNotAvailable.into())
    }

    #[test]
    fn address_of_another_host_is_refused() {
        let config = config("203.0.113.1", 20_000, 20_999);
        let found = check(&config, &host(), not_local);
        assert_eq!(found.errors.len(), 1);
        assert!(
            found.errors[0].contains("203.0.113.1"),
            "{}",
            found.errors[0]
        );
        assert!(found.errors[0].contains("net.ipv4.ip_nonlocal_bind"));
    }

    #[test]
    fn floating_address_is_taken_when_its_family_allows_it() {
        let floating = Host {
            nonlocal_v4: true,
            ..host()
        };
        let v4 = config("203.0.113.1", 20_000, 20_999);
        assert_eq!(check(&v4, &floating, not_local), Findings::default());
        let v6 = config("2001:db8::1", 20_000, 20_999);
        assert_eq!(check(&v6, &floating, not_local).errors.len(), 1);
    }

    #[test]
    fn overlap_with_ephemeral_ports_warns_unless_reserved() {
        let config = config("127.0.0.1", 30_000, 39_999);
        assert_eq!(check(&config, &host(), |_| Ok(())).warnings.len(), 1);
        let partly = Host {
            reserved: ranges("5000,32768-39998").collect(),
            ..host()
        };
        assert_eq!(check(&config, &partly, |_| Ok(())).warnings.len(), 1);
        let wholly = Host {
            reserved: ranges("30000-39999\n").collect(),
            ..host()
        };
        assert_eq!(check(&config, &wholly, |_| Ok(())), Findings::default());
    }

    #[test]
    fn ports_that_the_relay_reserves_itself_do_not_warn() {
        let mut config = config("127.0.0.1", 30_000, 39_999);
        let able = Host {
            missing_rights: Vec::new(),
            reserved: ranges("5060").collect(),
            ..host()
        };
        assert_eq!(check(&config, &able, |_| Ok(())), Findings::default());
        config.dataplane.reserve_ports = false;
        let found = check(&config, &able, |_| Ok(()));
        let line = "sysctl -w net.ipv4.ip_local_reserved_ports=5060-5060,30000-39999";
        assert!(found.warnings[0].contains(line), "{}", found.warnings[0]);
        config.dataplane.reserve_ports = true;
        let unable = Host {
            missing_rights: vec!["CAP_NET_ADMIN"],
            ..able
        };
        assert_eq!(check(&config, &unable, |_| Ok(())).warnings.len(), 1);
    }

    #[test]
    fn too_few_descriptors_for_the_range_warn() {
        let config = config("127.0.0.1", 20_000, 20_999);
        let poor = Host {
            files: 1024,
            ..host()
        };
        let found = check(&config, &poor, |_| Ok(()));
        assert_eq!(found.warnings.len(), 1);
        assert!(found.warnings[0].contains("1128"), "{}", found.warnings[0]);
        let steering = Host {
            missing_rights: Vec::new(),
            ..poor
        };
        let found = check(&config, &steering, |_| Ok(()));
        assert_eq!(found.warnings, [""; 0], "steered ports need no descriptors");
    }

    #[test]
    fn steering_that_is_required_needs_its_rights() {
        let mut config = config("127.0.0.1", 20_000, 20_999);
        config.dataplane.steering = Steering::Required;
        let found = check(&config, &host(), |_| Ok(()));
        assert!(found.errors[0].contains("CAP_BPF"), "{:?}", found.errors);
    }

    #[test]
    fn kernel_flows_that_are_asked_for_need_their_rights() {
        let mut config = config("127.0.0.1", 20_000, 20_999);
        let able = Host {
            missing_rights: vec!["CAP_NET_RAW"],
            ..host()
        };
        let unable = Host {
            missing_rights: vec!["CAP_NET_RAW", "CAP_BPF"],
            ..host()
        };
        for (mode, warns) in [
            (OffloadMode::Auto, false),
            (OffloadMode::Off, false),
            (OffloadMode::Tc, true),
            (OffloadMode::Xdp, true),
        ] {
            config.offload.mode = mode;
            let warnings = |host: &Host| check(&config, host, |_| Ok(())).warnings;
            let more = warnings(&unable).len() - warnings(&able).len();
            assert_eq!(more, usize::from(warns), "{mode:?}");
        }
    }

    #[test]
    fn kernel_texts_are_read() {
        assert_eq!(parse_port_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(ranges("\n").count(), 0);
        assert!(ranges("80,90-99").eq([80..=80, 90..=99]));
    }
}
