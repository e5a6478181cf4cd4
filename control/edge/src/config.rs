//! Configuration of an edge: plain data. The caller reads files and flags.

use std::net::SocketAddr;
use std::time::Duration;

use windlass_ng::Family;

use crate::guard::{CdrConfig, ScreenConfig, SecurityLogConfig};
pub use crate::message::limits::Limits;
pub(crate) use crate::resolve::DnsConfig;
pub(crate) use crate::target::{
    Algorithm, CodeRange, Failover, HashKey, PoolConfig, Probe, ProbeConfig, Redirects,
    RouteConfig, RouteMatch, RouteTo, Slots, TargetConfig,
};
pub use crate::transaction::timer::Timers;
pub use crate::transport::Protocol;
pub use crate::transport::config::{
    CertificateConfig, ClientCertificates, ListenerKind, ServerVerification, StreamLimits,
    TlsConfig, WsConfig,
};

/// One SIP edge front: its zones, where calls go, and the relay that anchors the media.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The networks that the edge stands between. A listener belongs to one of them.
    pub zones: Vec<Zone>,
    /// Groups of next hops. If the zone of one has no listeners, requests from the address of a
    /// target come from it, whatever the listener; of a target with a name, from the addresses that
    /// the name had when it was last sent to.
    pub upstreams: Vec<PoolConfig>,
    /// Where initial requests go (spec §14).
    pub routes: Vec<RouteConfig>,
    /// How names of targets are looked up.
    pub dns: DnsConfig,
    /// The ng control address of the media relay.
    pub ng: SocketAddr,
    /// Items of the `flags` list of every offer and answer.
    pub media_flags: Vec<String>,
    /// Limits and times of connections.
    pub streams: StreamLimits,
    /// Transaction timers.
    pub timers: Timers,
    /// Bounds of messages.
    pub limits: Limits,
    /// Bounds of tables.
    pub tables: Tables,
    /// Longest call; both sides are told BYE then.
    pub max_call: Duration,
    /// Max-Forwards added to requests without one, and the highest value let through.
    pub max_forwards: u8,
    /// Longest wait for one answer of the media relay.
    pub media_timeout: Duration,
    /// Longest wait of [`crate::Edge::stop`] for transactions in progress.
    pub drain: Duration,
    /// Number of tasks that share the calls by the hash of their Call-ID.
    pub shards: u8,
    /// Registrations that pass through.
    pub register: Register,
    /// Session timers (RFC 4028).
    pub session_timer: SessionTimer,
    /// Screening of what comes from zones that are not trusted (spec §12), and limits on calls (§13).
    /// [`Config::of_zones`] begins with its defaults. [`Config::new`] and [`OneUpstream`] have none:
    /// an edge that stands before an existing server relays what that got before, at any rate.
    pub screen: Option<ScreenConfig>,
    /// The security log (spec §16).
    pub security_log: Option<SecurityLogConfig>,
    /// Call records (spec §15).
    pub cdr: Option<CdrConfig>,
}

/// A network on one side of the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Name in rules, logs and records.
    pub name: String,
    /// How much its senders are believed.
    pub trust: Trust,
    /// Its sockets. A zone without any is reached from those of the other zones; then only the
    /// targets of its upstreams belong to it.
    pub listeners: Vec<Listen>,
    /// Interface label of the relay, sent as `direction`.
    pub media_interface: Option<String>,
    /// Kind of media that its phones speak.
    pub media: Profile,
    /// Address family of the SDP sent to it. By default it is set only for a call whose sides are
    /// reached over different families.
    pub address_family: Option<Family>,
    /// Further keys of ng requests whose SDP goes to this zone. They overrule those of `media`.
    pub media_options: Vec<(String, String)>,
    /// Initial requests from this zone that match no rule go to the address in their Request-URI, in
    /// another zone. Refused with 403 otherwise.
    pub calls_out: bool,
}

/// Trust in the senders of a zone, from the least to the most (spec §19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Anybody: bounds per source hold, identities are removed, nobody names a way behind the edge.
    Untrusted,
    /// Known operators: as `Inside`, but their asserted identities are not believed further.
    Peer,
    /// Own machines.
    Inside,
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// What it speaks.
    pub kind: ListenerKind,
    /// Address to bind. An unspecified one is advertised as the local address that routes to the
    /// first upstream, unless `advertise` names another.
    pub bind: SocketAddr,
    /// `host[:port]` written in Via, Record-Route, Path and Contact, for 1:1 NAT.
    pub advertise: Option<String>,
}

/// Media of a zone (spec §11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// No change of transport.
    #[default]
    Keep,
    /// As offered by the other side, with opportunistic SRTP (RFC 8643).
    Opportunistic,
    /// RTP without encryption.
    Plain,
    /// SRTP with keys in SDP (RFC 4568).
    Sdes,
    /// DTLS-SRTP and ICE (RFC 8827).
    Webrtc,
}

/// Registrations (spec §8).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Register {
    /// How the registrar learns the way back to a phone.
    pub mode: RegisterMode,
    /// Domains whose registrations are taken, in lower case; any if empty. Others get 403.
    pub domains: Vec<String>,
    /// Whether From and To of a REGISTER from an untrusted zone may differ (third-party
    /// registration).
    pub third_party: bool,
    /// Most Contact bindings in all.
    pub max_bindings: usize,
    /// Most Contacts of one address of record.
    pub max_contacts_per_aor: usize,
    /// Pause after which a silent flow of a phone behind NAT is kept open; zero: never.
    pub nat_ping: Duration,
    /// What is sent to keep it open.
    pub nat_ping_method: PingMethod,
}

/// How the registrar learns the way back to a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterMode {
    /// As any other request: Contact untouched, no way back.
    Off,
    /// Path (RFC 3327) with a flow token (RFC 5626 §5.2); the Contact stays.
    Path,
    /// The Contact names the edge, with a flow token; restored in the answer.
    Alias,
}

/// What keeps the flow of a phone open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingMethod {
    /// Two line ends; phones do not answer.
    Crlf,
    /// OPTIONS; three without an answer end the binding.
    Options,
}

/// Session timers (RFC 4028, spec §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// A Session-Expires below this is refused with 422.
    pub min_se: Duration,
}

/// Bounds of the tables of one edge (spec: new INVITEs get 503 when full; calls are never evicted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tables {
    /// Dialogs, early and confirmed.
    pub dialogs: usize,
    /// Requests being relayed, including those that linger for retransmissions.
    pub transactions: usize,
    /// Messages of one call that wait for the media relay.
    pub parked_per_call: usize,
    /// Bytes of all requests being relayed; more are answered 503.
    pub bytes: usize,
    /// The same of one source that is not trusted.
    pub bytes_per_source: usize,
    /// Calls of one such source that are not answered yet.
    pub setups_per_source: usize,
    /// Refusals of INVITEs of one such source that wait for an ACK and are sent again until it
    /// comes; more are sent once, and again when their INVITE is. A source that is forged never
    /// sends one.
    pub unacknowledged_per_source: usize,
}

/// An edge with one upstream: the zone `public` with all listeners, and the zone `core` with the
/// upstream alone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OneUpstream {
    /// UDP addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// `host[:port]` written in Via and Record-Route for the first listener, for 1:1 NAT.
    pub advertise: Option<String>,
    /// Index in `listen` of the socket that faces the upstream, and belongs to its zone. By default
    /// the socket a call came by, or the first one of the upstream's address family; one is opened
    /// if there is none.
    pub upstream_listener: Option<usize>,
    /// Destination of every initial request from elsewhere.
    pub upstream: SocketAddr,
    /// The ng control address of the media relay.
    pub ng: SocketAddr,
    /// Interface labels of the relay for (client side, upstream side).
    pub direction: Option<(String, String)>,
    /// Address family of the SDP sent to (client side, upstream side).
    pub address_family: (Option<Family>, Option<Family>),
}

/// Longer than any transaction waits.
const NEVER: Duration = Duration::from_secs(86_400);

/// Index of the zone `public` of [`Config::new`].
pub const PUBLIC: usize = 0;
/// Index of the zone `core` of [`Config::new`].
pub const CORE: usize = 1;

impl Config {
    /// The defaults for one UDP listener, one upstream and one relay.
    pub fn new(listen: SocketAddr, upstream: SocketAddr, ng: SocketAddr) -> Self {
        OneUpstream::new(vec![listen], upstream, ng).into()
    }

    /// The defaults with these zones and nowhere to send to.
    pub fn of_zones(zones: Vec<Zone>, ng: SocketAddr) -> Self {
        Self {
            zones,
            upstreams: Vec::new(),
            routes: Vec::new(),
            dns: DnsConfig::default(),
            ng,
            media_flags: Vec::new(),
            streams: StreamLimits::default(),
            timers: Timers::default(),
            limits: Limits::default(),
            tables: Tables::default(),
            max_call: Duration::from_secs(43_200),
            max_forwards: 70,
            media_timeout: Duration::from_secs(3),
            drain: Duration::from_millis(500),
            shards: 1,
            register: Register::default(),
            session_timer: SessionTimer::default(),
            screen: Some(ScreenConfig::default()),
            security_log: None,
            cdr: None,
        }
    }
}

impl Zone {
    /// A zone without sockets and preferences.
    pub fn new(name: &str, trust: Trust) -> Self {
        Self {
            name: name.to_owned(),
            trust,
            listeners: Vec::new(),
            media_interface: None,
            media: Profile::default(),
            address_family: None,
            media_options: Vec::new(),
            calls_out: trust == Trust::Inside,
        }
    }

    /// The same with one more socket, which advertises the address it is bound to.
    #[must_use]
    pub fn listening(mut self, kind: ListenerKind, bind: SocketAddr) -> Self {
        self.listeners.push(Listen {
            kind,
            bind,
            advertise: None,
        });
        self
    }
}

impl Profile {
    /// Its keys of the ng requests whose SDP goes to the zone (spec §11).
    pub(crate) fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Keep => &[],
            Self::Opportunistic => &[("OSRTP", "accept,offer")],
            Self::Plain => &[
                ("transport-protocol", "RTP/AVP"),
                ("ICE", "remove"),
                // A browser insists on it, the phone in the zone may not know it.
                ("rtcp-mux", "demux"),
                ("SDES", "off"),
                ("DTLS", "off"),
            ],
            Self::Sdes => &[
                ("transport-protocol", "RTP/SAVP"),
                ("ICE", "remove"),
                ("rtcp-mux", "demux"),
                ("DTLS", "off"),
            ],
            Self::Webrtc => &[
                ("transport-protocol", "UDP/TLS/RTP/SAVPF"),
                ("ICE", "force"),
                ("rtcp-mux", "offer,require"),
                ("SDES", "off"),
            ],
        }
    }

    /// Its items of the `flags` list of the same requests.
    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Webrtc => &["generate-mid"],
            Self::Keep | Self::Opportunistic | Self::Plain | Self::Sdes => &[],
        }
    }
}

impl OneUpstream {
    /// The defaults.
    pub fn new(listen: Vec<SocketAddr>, upstream: SocketAddr, ng: SocketAddr) -> Self {
        Self {
            listen,
            advertise: None,
            upstream_listener: None,
            upstream,
            ng,
            direction: None,
            address_family: (None, None),
        }
    }
}

impl From<OneUpstream> for Config {
    fn from(short: OneUpstream) -> Self {
        let mut public = Zone::new("public", Trust::Untrusted);
        let mut core = Zone::new("core", Trust::Inside);
        for (index, bind) in short.listen.into_iter().enumerate() {
            let zone = match short.upstream_listener == Some(index) {
                true => &mut core,
                false => &mut public,
            };
            zone.listeners.push(Listen {
                kind: ListenerKind::Udp,
                bind,
                advertise: short.advertise.clone().filter(|_| index == 0),
            });
        }
        (public.media_interface, core.media_interface) = short.direction.unzip();
        (public.address_family, core.address_family) = short.address_family;
        let mut config = Self::of_zones(vec![public, core], short.ng);
        let uri = format!("sip:{}", short.upstream);
        let mut pool = PoolConfig::new("upstream", "core", &[&uri]);
        pool.probe = Probe::Never;
        config.upstreams.push(pool);
        let matching = RouteMatch {
            from_zone: Some("public".to_owned()),
            ..RouteMatch::default()
        };
        let mut route = RouteConfig::new(matching, &["upstream"]);
        // There is nobody else to try: the timers of transactions are the only ones.
        route.failover.answer_timeout = NEVER;
        route.failover.ring_timeout = NEVER;
        route.failover.request_timeout = NEVER;
        config.routes.push(route);
        config.register.mode = RegisterMode::Off;
        config.screen = None;
        config
    }
}

impl Default for Register {
    fn default() -> Self {
        Self {
            mode: RegisterMode::Path,
            domains: Vec::new(),
            third_party: false,
            max_bindings: 100_000,
            max_contacts_per_aor: 10,
            nat_ping: Duration::from_secs(25),
            nat_ping_method: PingMethod::Crlf,
        }
    }
}

impl Default for SessionTimer {
    fn default() -> Self {
        Self {
            min_se: Duration::from_secs(90),
        }
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            dialogs: 100_000,
            transactions: 500_000,
            parked_per_call: 64,
            bytes: 256 << 20,
            bytes_per_source: 32 << 20,
            setups_per_source: 500,
            unacknowledged_per_source: 100,
        }
    }
}
