//! Flags that override the file. Every one can be given as an environment variable too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use clap::ValueEnum;

use windlass_toml::{Place, Placed};

use super::LogFormat;
use super::draft::{Draft, DraftInterface};
use super::names::LocalName;
use crate::media::latch::Learning;

/// Settings from the command line; what is given here overrides the file.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings (override the file)")]
pub struct Flags {
    /// Local address for media, with its name and the address peers are told:
    /// 203.0.113.1, int/10.0.0.5, ext/10.0.0.1!198.51.100.99.
    /// Can be given several times; the interfaces of the file do not count then.
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "[NAME/]ADDR[!ADVERTISED]",
        env = "WINDLASS_INTERFACE",
        hide_env = true,
        value_delimiter = ';'
    )]
    pub interface: Vec<InterfaceFlag>,

    /// Lowest media port (even) [default: 30000]
    #[arg(long, value_name = "PORT", env = "WINDLASS_PORT_MIN", hide_env = true)]
    pub port_min: Option<u16>,

    /// Highest media port (odd) [default: 39999]
    #[arg(long, value_name = "PORT", env = "WINDLASS_PORT_MAX", hide_env = true)]
    pub port_max: Option<u16>,

    /// Take ng requests on this UDP address; loopback, or `allow` in the file names the peers
    /// [default: 127.0.0.1:2223]
    #[arg(
        long,
        value_name = "[IP:]PORT",
        env = "WINDLASS_LISTEN_NG", hide_env = true,
        value_parser = parse_listen,
        value_delimiter = ';'
    )]
    pub listen_ng: Vec<SocketAddr>,

    /// Take ng requests on this TCP address; as for UDP [default: none]
    #[arg(
        long,
        value_name = "[IP:]PORT",
        env = "WINDLASS_LISTEN_TCP_NG", hide_env = true,
        value_parser = parse_listen,
        value_delimiter = ';'
    )]
    pub listen_tcp_ng: Vec<SocketAddr>,

    /// How the source address of a party behind NAT is learned [default: guarded]
    #[arg(long, value_name = "MODE", env = "WINDLASS_LEARNING", hide_env = true)]
    pub learning: Option<LearningFlag>,

    /// TOS or traffic class of sent media, 0-255 [default: 0]
    #[arg(long, value_name = "BYTE", env = "WINDLASS_TOS", hide_env = true)]
    pub tos: Option<u8>,

    /// Refuse new calls while there are this many [default: no limit]
    #[arg(long, value_name = "N", env = "WINDLASS_MAX_SESSIONS", hide_env = true)]
    pub max_sessions: Option<u32>,

    /// Threads that move packets [default: one per core]
    #[arg(
        long,
        value_name = "N",
        env = "WINDLASS_WORKERS", hide_env = true,
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    pub workers: Option<u16>,

    /// error, warn, info, debug, trace, or per target: info,windlass::call=debug [default: info]
    #[arg(
        long,
        value_name = "LEVEL",
        env = "WINDLASS_LOG_LEVEL",
        hide_env = true
    )]
    pub log_level: Option<String>,

    /// Log lines for people or as JSON [default: human]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "WINDLASS_LOG_FORMAT",
        hide_env = true
    )]
    pub log_format: Option<LogFormat>,
}

impl Flags {
    /// Puts what was given over what the file says.
    pub(super) fn lay_over(&self, draft: &mut Draft) {
        if !self.interface.is_empty() {
            draft.interfaces = self.interface.iter().map(InterfaceFlag::draft).collect();
        }
        lay(&mut draft.port_min, "--port-min", self.port_min);
        lay(&mut draft.port_max, "--port-max", self.port_max);
        if self.port_min.is_some() || self.port_max.is_some() {
            // The flags mean all interfaces.
            for interface in &mut draft.interfaces {
                interface.port_min = None;
                interface.port_max = None;
            }
        }
        lay_list(&mut draft.ng_udp, "--listen-ng", &self.listen_ng);
        lay_list(&mut draft.ng_tcp, "--listen-tcp-ng", &self.listen_tcp_ng);
        let learning = self.learning.map(Learning::from);
        lay(&mut draft.learning, "--learning", learning);
        lay(&mut draft.tos, "--tos", self.tos);
        lay(&mut draft.max_sessions, "--max-sessions", self.max_sessions);
        lay(&mut draft.workers, "--workers", self.workers);
        lay(&mut draft.log_level, "--log-level", self.log_level.clone());
        lay(&mut draft.log_format, "--log-format", self.log_format);
    }
}

fn lay<T>(draft: &mut Option<Placed<T>>, flag: &'static str, value: Option<T>) {
    if let Some(value) = value {
        *draft = Some(Placed::flag(flag, value));
    }
}

fn lay_list<T: Copy>(draft: &mut Option<Vec<Placed<T>>>, flag: &'static str, values: &[T]) {
    if !values.is_empty() {
        *draft = Some(values.iter().map(|v| Placed::flag(flag, *v)).collect());
    }
}

/// One `--interface`: `[NAME/]ADDR[!ADVERTISED]` (spec: media-behaviour §1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceFlag {
    name: Option<String>,
    address: IpAddr,
    advertise: Option<IpAddr>,
}

impl InterfaceFlag {
    fn draft(&self) -> DraftInterface {
        const FLAG: &str = "--interface";
        DraftInterface {
            at: Place::Flag(FLAG),
            name: self.name.clone().map(|name| Placed::flag(FLAG, name)),
            address: Some(Placed::flag(FLAG, LocalName::Address(self.address))),
            address_is_bad: false,
            advertise: self
                .advertise
                .map(|advertise| Placed::flag(FLAG, LocalName::Address(advertise))),
            port_min: None,
            port_max: None,
            exclude_ports: Vec::new(),
        }
    }
}

impl FromStr for InterfaceFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, rest) = match text.split_once('/') {
            Some((name, rest)) => (Some(name.to_owned()), rest),
            None => (None, text),
        };
        let (address, advertise) = match rest.split_once('!') {
            Some((address, advertise)) => (address, Some(parse_ip(advertise)?)),
            None => (rest, None),
        };
        Ok(Self {
            name,
            address: parse_ip(address)?,
            advertise,
        })
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, String> {
    text.strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("`{text}` is not an IPv4 or IPv6 address"))
}

/// `[IP:]PORT`; a port alone means loopback.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse()
        .map_err(|_| "expected a port, or an address and port such as 127.0.0.1:2223".to_owned())
}

/// [`Learning`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LearningFlag {
    /// Ranks of sources, a run of packets as proof, then one settled peer.
    Guarded,
    /// The best source within 3 s of the last signalling.
    Heuristic,
    /// Every new source within 3 s of the last signalling.
    Delayed,
    /// The first source.
    Immediate,
    /// None: media goes where SDP says.
    Off,
}

impl From<LearningFlag> for Learning {
    fn from(flag: LearningFlag) -> Self {
        match flag {
            LearningFlag::Guarded => Self::Guarded,
            LearningFlag::Heuristic => Self::Heuristic,
            LearningFlag::Delayed => Self::Delayed,
            LearningFlag::Immediate => Self::Immediate,
            LearningFlag::Off => Self::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_flag_takes_name_address_and_advertised() {
        let parsed: InterfaceFlag = "ext/10.0.0.1!198.51.100.99".parse().unwrap();
        assert_eq!(parsed.name.as_deref(), Some("ext"));
        assert_eq!(parsed.address, "10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(parsed.advertise, "198.51.100.99".parse().ok());
        let plain: InterfaceFlag = "[2001:db8::1]".parse().unwrap();
        assert_eq!(plain.name, None);
        assert_eq!(plain.address, "2001:db8::1".parse::<IpAddr>().unwrap());
        assert!("ext/eth0".parse::<InterfaceFlag>().is_err());
    }

    #[test]
    fn a_port_alone_listens_on_loopback() {
        assert_eq!(parse_listen("22222"), Ok(([127, 0, 0, 1], 22222).into()));
        assert!(parse_listen("localhost:2223").is_err());
    }
}
