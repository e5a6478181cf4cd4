//! Configuration of an edge: plain data. The caller reads files and flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use windlass_ng::Family;

use crate::admin::AdminConfig;
use crate::guard::{CdrConfig, ScreenConfig, SecurityLogConfig};
pub use crate::hide::{Hiding, History};
pub use crate::hygiene::StripConfig;
pub use crate::keys::TokenSecret;
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
    /// What holds between two of them.
    pub links: Vec<Link>,
    /// What hidden Call-IDs begin with. Two boxes in a chain have different ones, so that neither
    /// takes those of the other for its own.
    pub call_id_prefix: String,
    /// Secrets of the tokens in URIs and of hidden Call-IDs: all is written with the first and read
    /// with the first two. None: of a secret that ends with the process.
    pub token_secrets: Vec<TokenSecret>,
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
    /// Those of further relays. Calls are spread over all; one that is silent is passed by.
    pub more_ng: Vec<SocketAddr>,
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
    /// Header of an INVITE from a zone that is trusted, with the seconds that its call may take at
    /// most. It never makes a call longer.
    pub max_call_header: Option<String>,
    /// Max-Forwards added to requests without one, and the highest value let through.
    pub max_forwards: u8,
    /// Longest wait for one answer of the media relay.
    pub media_timeout: Duration,
    /// Longest wait of [`crate::Edge::stop`] for calls and transactions in progress.
    pub drain: Duration,
    /// Number of tasks that share the calls by the hash of their Call-ID.
    pub shards: u8,
    /// Registrations that pass through.
    pub register: Register,
    /// Session timers (RFC 4028) of calls between zones that have no [`Link`].
    pub session_timer: SessionTimer,
    /// What becomes of calls whose media cannot be anchored, or falls silent.
    pub media: MediaPolicy,
    /// Screening of what comes from zones that are not trusted (spec §12), and limits on calls (§13).
    /// [`Config::of_zones`] begins with its defaults. [`Config::new`] and [`OneUpstream`] have none:
    /// an edge that stands before an existing server relays what that got before, at any rate.
    pub screen: Option<ScreenConfig>,
    /// Server header of responses that the edge makes itself. Empty: they have none.
    pub server_header: String,
    /// Directory for what is to outlive the process: bans, trust, failures of authentication. `None`:
    /// nothing does.
    pub state_dir: Option<PathBuf>,
    /// When a shard that does not keep up refuses what is new.
    pub overload: Overload,
    /// The security log (spec §16).
    pub security_log: Option<SecurityLogConfig>,
    /// Call records (spec §15).
    pub cdr: Option<CdrConfig>,
    /// Where operators ask (spec §17).
    pub admin: AdminConfig,
    /// What becomes of calls when the edge stops: ended at once, or waited for up to `drain`.
    pub end_calls: bool,
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
    /// What a sender gets whose token is none of ours.
    pub on_bad_token: OnBadToken,
    /// Headers that are removed from what comes from the zone, and from what goes to it.
    pub strip: StripConfig,
}

/// What a request gets that comes with a token which the edge did not write (spec §10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadToken {
    /// 403.
    #[default]
    Reject,
    /// Silence.
    Drop,
}

/// Trust in the senders of a zone, from the least to the most (spec §19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Anybody: bounds per source hold, identities are removed, nobody names a way behind the edge.
    Untrusted,
    /// Known operators: as `Inside`, but they name no way of their requests.
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
    /// Requests of user agents that know the extension get a Session-Expires if they have none, and
    /// so does a 2xx that ignored it.
    pub insert: bool,
    /// The Session-Expires that is added.
    pub interval: Duration,
}

/// What holds between two zones, both ways (spec §19, `[[link]]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Indices of its zones.
    pub zones: [usize; 2],
    /// How they hide from each other. `None`: they do not.
    pub hide: Option<Hiding>,
    /// The relay stands between their media; else SDP passes untouched.
    pub anchor_media: bool,
    /// Session timers of their calls.
    pub session_timer: SessionTimer,
}

impl Link {
    /// Between two zones, as if it were not told.
    pub fn new(zones: [usize; 2]) -> Self {
        Self {
            zones,
            hide: None,
            anchor_media: true,
            session_timer: SessionTimer::default(),
        }
    }
}

/// What becomes of calls whose media cannot be anchored, or falls silent (spec §9, §11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaPolicy {
    /// Offers that no relay takes.
    pub on_error: OnMediaError,
    /// A call whose parties send no media for this long is ended. `None`: it goes on.
    pub silence: Option<Duration>,
    /// Whose silence counts.
    pub silent_sides: SilentSides,
}

/// What becomes of an offer when the media relay fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMediaError {
    /// 503 to an INVITE; 500 within a call, which goes on as it was.
    #[default]
    Reject,
    /// Its SDP passes untouched, and so does its answer: the parties send to each other.
    Bypass,
}

/// Whose silence ends a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SilentSides {
    /// That of both parties. One that is muted sends nothing, and hears.
    #[default]
    Both,
    /// That of either.
    One,
}

/// When a shard that does not keep up refuses what is new (spec §5, §12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overload {
    /// Messages wait longer than this before they are read, for a second: then registrations are
    /// refused with 503, and a second later new calls, messages and subscriptions. Zero: never.
    pub shed_after: Duration,
    /// Users of Request-URIs that are served always, such as emergency numbers.
    pub priority: Vec<String>,
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
            links: Vec::new(),
            call_id_prefix: "wl-".to_owned(),
            token_secrets: Vec::new(),
            upstreams: Vec::new(),
            routes: Vec::new(),
            dns: DnsConfig::default(),
            ng,
            more_ng: Vec::new(),
            media_flags: Vec::new(),
            streams: StreamLimits::default(),
            timers: Timers::default(),
            limits: Limits::default(),
            tables: Tables::default(),
            max_call: Duration::from_secs(43_200),
            max_call_header: None,
            max_forwards: 70,
            media_timeout: Duration::from_secs(3),
            drain: Duration::from_millis(500),
            shards: 1,
            register: Register::default(),
            session_timer: SessionTimer::default(),
            media: MediaPolicy {
                // When a relay gives up by itself (rtpengine `timeout`).
                silence: Some(Duration::from_secs(60)),
                ..MediaPolicy::default()
            },
            screen: Some(ScreenConfig::default()),
            server_header: String::new(),
            state_dir: None,
            overload: Overload::default(),
            security_log: None,
            cdr: None,
            admin: AdminConfig::default(),
            end_calls: false,
        }
    }
}

impl Config {
    /// The bounds of one shard: its part of those of all.
    pub(crate) fn tables_of_a_shard(&self) -> Tables {
        let part = |of_all: usize| of_all.div_ceil(self.shards.max(1).into());
        let all = self.tables;
        Tables {
            dialogs: part(all.dialogs),
            transactions: part(all.transactions),
            parked_per_call: all.parked_per_call,
            bytes: part(all.bytes),
            bytes_per_source: part(all.bytes_per_source),
            setups_per_source: part(all.setups_per_source),
            unacknowledged_per_source: part(all.unacknowledged_per_source),
        }
    }

    /// The session timers of calls between two zones.
    pub(crate) fn session_timer(&self, from: usize, to: usize) -> SessionTimer {
        let own = self.link(from, to).map(|link| link.session_timer);
        own.unwrap_or(self.session_timer)
    }

    /// Whether the relay stands between the media of two zones.
    pub(crate) fn anchors(&self, from: usize, to: usize) -> bool {
        self.link(from, to).is_none_or(|link| link.anchor_media)
    }

    fn link(&self, from: usize, to: usize) -> Option<&Link> {
        let is_of = |link: &&Link| link.zones == [from, to] || link.zones == [to, from];
        self.links.iter().find(is_of)
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
            on_bad_token: OnBadToken::default(),
            strip: StripConfig::default(),
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
        config.media.silence = None;
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
            insert: false,
            // RFC 4028 §4 recommends it.
            interval: Duration::from_secs(1800),
        }
    }
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            shed_after: Duration::from_millis(20),
            priority: Vec::new(),
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
