//! The operator's settings: a TOML file, overridden by flags, checked as a whole.
//!
//! A [`Config`] is validated plain data: its port ranges are sane, and its directions name
//! interfaces. Reading it touches only the file. [`preflight`] checks whether an address is really
//! local and whether the system has enough ports.
//!
//! [`mod@file`] and [`flags`] put values and their places into a draft. `check` turns the draft
//! into a `Config` or into every [`Problem`] at once. [`compat`] fills the draft from rtpengine's
//! command line and file instead.

pub mod access;
mod check;
mod check_access;
mod check_interfaces;
mod codec;
pub mod codecs;
pub mod compat;
mod draft;
pub mod file;
pub mod flags;
pub mod host_port;
pub mod names;
pub mod preflight;
mod setting;
#[cfg(test)]
mod tests;
pub mod topic;
pub mod unbuilt;
mod values;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use windlass_edge::{
    CertificateConfig, Listen, ListenerKind, PUBLIC, ScreenConfig, Tables, TlsConfig,
};
pub use windlass_ng::Family;
use windlass_ng::Rule;

use crate::media::latch::Learning;
use names::Names;
use topic::{
    Audio, Control, Dataplane, Dtls, Dtmf, Graphite, Homer, Ice, JitterBuffer, Mqtt, Offload,
    Process, Quality, Recording, Redis, Signalling, Syslog,
};

pub use flags::Flags;
pub use windlass_toml::{Place, Problem, Problems};

/// Everything that is set, valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Local addresses for media, in order of the file; never empty in a config that is to run.
    pub interfaces: Vec<Interface>,
    /// Other names of interfaces: alias to name.
    pub aliases: BTreeMap<String, String>,
    /// The ng listeners.
    pub ng: Ng,
    /// The control listeners beside ng.
    pub control: Control,
    /// Who may speak to all control listeners; follows from the listeners and `control.allow`.
    pub access: Rule,
    /// How requests and SDP are understood.
    pub signalling: Signalling,
    /// Strings of flags that stand for requests' own, by name: `default` counts for every request,
    /// a command's name for that command (spec: ng-protocol §9).
    pub templates: BTreeMap<String, String>,
    /// DTLS-SRTP.
    pub dtls: Dtls,
    /// ICE.
    pub ice: Ice,
    /// RTCP of our own, and MOS.
    pub quality: Quality,
    /// The jitter buffer.
    pub jitter_buffer: JitterBuffer,
    /// Transport of packets.
    pub dataplane: Dataplane,
    /// Streams that the kernel forwards.
    pub offload: Offload,
    /// Conversion of audio.
    pub audio: Audio,
    /// Recording of calls.
    pub recording: Recording,
    /// DTMF events.
    pub dtmf: Dtmf,
    /// State kept in Redis.
    pub redis: Redis,
    /// HEP capture.
    pub homer: Homer,
    /// Carbon lines.
    pub graphite: Graphite,
    /// JSON statistics to a broker.
    pub mqtt: Mqtt,
    /// Log lines for a syslog, and the special logs.
    pub syslog: Syslog,
    /// Background and pidfile.
    pub process: Process,
    /// Treatment of media.
    pub media: Media,
    /// Time-outs of calls.
    pub timeouts: Timeouts,
    /// Load limits.
    pub limits: Limits,
    /// Level and form of the log.
    pub log: Log,
    /// Threads that move packets; `None`: one per core.
    pub workers: Option<usize>,
    /// The bundled SIP edge, if it is to run.
    pub edge: Option<Edge>,
}

impl Config {
    /// Reads and checks a file, then lays the flags over it.
    ///
    /// # Errors
    /// Every problem of file and flags, with its place.
    pub fn load(path: Option<&std::path::Path>, flags: &Flags) -> Result<Self, Problems> {
        file::load(path, flags, &Names::of_this_host())
    }

    /// Reads and checks a file that may be meant for another host: names of interfaces stand for
    /// no address.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn inspect(path: &std::path::Path) -> Result<Self, Problems> {
        file::load(Some(path), &Flags::default(), &Names::unseen())
    }

    /// The interfaces of one name or alias: one logical interface with several addresses.
    pub fn logical<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Interface> + 'a {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.interfaces
            .iter()
            .filter(move |interface| interface.name == name)
    }

    /// The names `BASE:SUFFIX` of one base, in order of the file: its calls go to each in turn.
    pub fn round_robin<'a>(&'a self, base: &str) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for interface in &self.interfaces {
            let is_of_base = interface.base().is_some_and(|found| found == base);
            if is_of_base && !names.contains(&interface.name.as_str()) {
                names.push(&interface.name);
            }
        }
        names
    }

    /// Every address that this process is to listen on for something else than media.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        let control = &self.control;
        let listeners = [
            &self.ng.udp,
            &self.ng.tcp,
            &control.cli,
            &control.http,
            &control.https,
        ];
        let edge = self.edge.iter().flat_map(Edge::listeners);
        listeners
            .into_iter()
            .flatten()
            .copied()
            .chain(edge)
            .collect()
    }

    /// The ports of an interface that no media may have: those excluded by the operator, and those
    /// of control listeners on the same address.
    pub fn kept_ports(&self, interface: &Interface) -> BTreeSet<u16> {
        let own = self.listeners().into_iter().filter(|listener| {
            let ip = listener.ip();
            ip == interface.address
                || ip.is_unspecified() && ip.is_ipv4() == interface.address.is_ipv4()
        });
        let own = own.map(|listener| listener.port());
        let kept = interface.exclude_ports.iter().copied().chain(own);
        kept.filter(|port| interface.ports.contains(*port))
            .collect()
    }
}

impl Default for Config {
    /// The documented defaults. No interface: there is none that would be right everywhere.
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            aliases: BTreeMap::new(),
            ng: Ng::default(),
            control: Control::default(),
            access: access::allow(&[]),
            signalling: Signalling::default(),
            templates: BTreeMap::new(),
            dtls: Dtls::default(),
            ice: Ice::default(),
            quality: Quality::default(),
            jitter_buffer: JitterBuffer::default(),
            dataplane: Dataplane::default(),
            offload: Offload::default(),
            audio: Audio::default(),
            recording: Recording::default(),
            dtmf: Dtmf::default(),
            redis: Redis::default(),
            homer: Homer::default(),
            graphite: Graphite::default(),
            mqtt: Mqtt::default(),
            syslog: Syslog::default(),
            process: Process::default(),
            media: Media::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            log: Log::default(),
            workers: None,
            edge: None,
        }
    }
}

/// One local address for media. Interfaces of the same name form one logical interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name in `direction`.
    pub name: String,
    /// The local address that ports are opened on.
    pub address: IpAddr,
    /// The address written into SDP instead of `address`, when the host is behind a 1:1 NAT.
    pub advertise: Option<IpAddr>,
    /// Ports for media on this address.
    pub ports: PortRange,
    /// Ports in the range that no media gets.
    pub exclude_ports: Vec<u16>,
}

impl Interface {
    /// The default name.
    pub const DEFAULT_NAME: &'static str = "default";

    /// `BASE` of a name `BASE:SUFFIX`; see [`Config::round_robin`].
    pub fn base(&self) -> Option<&str> {
        self.name.split_once(':').map(|(base, _)| base)
    }

    /// The address that peers are told.
    pub fn advertised(&self) -> IpAddr {
        self.advertise.unwrap_or(self.address)
    }
}

/// UDP ports `min..=max`: `min` is even, `max` odd and larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest port; even, an RTP port.
    pub min: u16,
    /// The highest port; odd, an RTCP port.
    pub max: u16,
}

impl PortRange {
    /// Number of ports.
    pub fn count(self) -> usize {
        usize::from(self.max.saturating_sub(self.min)) + 1
    }

    /// Whether a port is in the range.
    pub fn contains(self, port: u16) -> bool {
        (self.min..=self.max).contains(&port)
    }
}

impl Default for PortRange {
    fn default() -> Self {
        Self {
            min: 30_000,
            max: 39_999,
        }
    }
}

/// The ng listeners (spec: ng-protocol §1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ng {
    /// UDP listeners; [`Config::access`] names the sources that are answered. Port 0 takes any free
    /// port.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners; as `udp`.
    pub tcp: Vec<SocketAddr>,
}

impl Default for Ng {
    fn default() -> Self {
        Self {
            udp: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 2223))],
            tcp: Vec::new(),
        }
    }
}

/// Treatment of media.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// Learning mode of a stream's source if the request names none.
    pub learning: Learning,
    /// Proxies in front of the one that speaks ng: their addresses as `received-from` say nothing
    /// about the phone (spec: media-behaviour §3.1).
    pub signalling_hops: Vec<IpAddr>,
    /// TOS or traffic class of sent media; 0 leaves the system's default.
    pub tos: u8,
    /// Allowed destinations of media.
    pub destinations: topic::Destinations,
}

/// Time-outs of calls (spec: media-behaviour §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A call without media for this long ends.
    pub media: Duration,
    /// A call on which all media is on hold or silent ends after this time.
    pub silent: Duration,
    /// A call that was offered and never answered ends after this time.
    pub offer: Duration,
    /// Every call ends after this time, whatever happens on it; `None`: no such limit.
    pub final_limit: Option<Duration>,
    /// Time for which a deleted call is kept, for packets in flight and late requests.
    pub delete_delay: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            media: Duration::from_secs(60),
            silent: Duration::from_secs(3600),
            offer: Duration::from_secs(3600),
            final_limit: None,
            delete_delay: Duration::from_secs(30),
        }
    }
}

/// Load limits (spec: media-behaviour §10).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// New calls are refused while there are this many; `None`: no limit.
    pub max_sessions: Option<usize>,
    /// New calls are refused while the load average of one minute is this high; `None`: no limit.
    pub max_load: Option<f64>,
    /// New calls are refused while the CPUs are this busy, per cent; `None`: no limit.
    pub max_cpu: Option<f64>,
    /// New calls are refused while this many bytes are relayed per second; `None`: no limit.
    pub max_bandwidth: Option<u64>,
}

/// Level and form of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter per target such as
    /// `info,windlass::call=debug`.
    pub level: String,
    /// Form of a line.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Human,
        }
    }
}

/// Forms of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
    /// rtpengine's form: `[time] LEVEL: [call-id]: [subsystem] text`.
    Rtpengine,
}

/// The bundled SIP edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// One upstream and everybody else: the short form.
    OneUpstream(Box<OneUpstream>),
    /// Zones and routes between them.
    Zones(Box<Zones>),
}

/// An edge with one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneUpstream {
    /// UDP listeners. Port 0 takes any free port. The edge opens one more by itself when none is
    /// of the upstream's address family.
    pub listen: Vec<SocketAddr>,
    /// `host` or `host:port` written into Via, Record-Route and Contact instead of the listening
    /// address.
    pub advertise: Option<String>,
    /// Destination of requests from all other addresses.
    pub upstream: SocketAddr,
    /// The relay to use; `None`: the one of this process.
    pub ng: Option<SocketAddr>,
    /// Interface names towards callers and towards `upstream`.
    pub direction: Option<[String; 2]>,
    /// Address family of the SDP sent to `upstream`; `None`: the one by which it is reached.
    pub address_family: Option<Family>,
    /// Bounds of its calls and of what one source may take.
    pub tables: Tables,
}

/// An edge of zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zones {
    /// Its settings, but for the relay.
    pub settings: windlass_edge::Config,
    /// The relay to use; `None`: the one of this process.
    pub ng: Option<SocketAddr>,
}

impl Edge {
    /// Settings of the edge; `own_ng` is the ng address of this process.
    pub fn settings(&self, own_ng: SocketAddr) -> windlass_edge::Config {
        match self {
            Self::OneUpstream(short) => short.settings(own_ng),
            Self::Zones(zones) => {
                let mut settings = zones.settings.clone();
                settings.ng = zones.ng.unwrap_or(own_ng);
                settings
            }
        }
    }

    /// The relay to use; `None`: the one of this process.
    pub fn ng(&self) -> Option<SocketAddr> {
        match self {
            Self::OneUpstream(short) => short.ng,
            Self::Zones(zones) => zones.ng,
        }
    }

    /// The addresses that it is to listen on.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        match self {
            Self::OneUpstream(short) => short.listen.clone(),
            Self::Zones(zones) => {
                let listeners = zones.settings.zones.iter().flat_map(|zone| &zone.listeners);
                let admin = zones.settings.admin.http.iter().map(|http| http.bind);
                listeners
                    .map(|listener| listener.bind)
                    .chain(admin)
                    .collect()
            }
        }
    }
}

impl OneUpstream {
    fn settings(&self, own_ng: SocketAddr) -> windlass_edge::Config {
        let ng = self.ng.unwrap_or(own_ng);
        let mut short = windlass_edge::OneUpstream::new(self.listen.clone(), self.upstream, ng);
        short.advertise.clone_from(&self.advertise);
        short.direction = self
            .direction
            .clone()
            .map(|[towards_callers, towards_upstream]| (towards_callers, towards_upstream));
        short.address_family = (None, self.address_family);
        let mut settings = windlass_edge::Config::from(short);
        settings.tables = self.tables;
        settings
    }
}
