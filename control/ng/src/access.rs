//! Access to the control protocol. It has no authentication of its own, so the source address
//! decides; see [`crate::server::http`] for the transports with a secret.

mod network;

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    limits::REFUSED_SOURCES,
    source::{Source, Transport},
};

pub use network::{Network, NetworkError};

/// Time for which the addresses of the interfaces are cached.
const ON_LINK_AGE: Duration = Duration::from_secs(10);

/// Sources that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Only these networks. An empty list serves no source, not even loopback.
    Allow(Vec<Network>),
    /// Loopback, private (RFC 1918, RFC 6598, RFC 4193), link-local and on-link sources: what an
    /// installation without an allow-list has for proxies.
    Compat,
    /// All sources.
    Open,
}

/// Rights of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Anything.
    Full,
    /// Anything, but UDP replies are limited to this or a ratio, so that a forged source gains
    /// little.
    Capped(usize),
    /// Nothing: its datagrams are dropped, its connections closed, its HTTP requests answered 403.
    Refused,
}

/// The policy that all transports of a daemon ask. Refused sources are counted, and each is
/// logged once with what to add to the configuration.
pub struct Access {
    rule: RwLock<Rule>,
    udp_reply_cap: Option<usize>,
    hint: Box<Hint>,
    on_link: Mutex<OnLink>,
    is_media: Box<IsMedia>,
    refused: AtomicU64,
    logged: Mutex<HashSet<IpAddr, foldhash::fast::RandomState>>,
}

type IsMedia = dyn Fn(SocketAddr) -> bool + Send + Sync;
type Hint = dyn Fn(IpAddr) -> String + Send + Sync;

#[derive(Default)]
struct OnLink {
    read: Option<Instant>,
    networks: Vec<Network>,
}

impl Access {
    /// Serves the sources of `rule`.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule: RwLock::new(rule),
            udp_reply_cap: None,
            hint: Box::new(|source| format!("allow = [\"{source}\"]")),
            on_link: Mutex::default(),
            is_media: Box::new(|_| false),
            refused: AtomicU64::new(0),
            logged: Mutex::default(),
        }
    }

    /// Writes the configuration line that admits a source, for the log.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Fn(IpAddr) -> String + Send + Sync + 'static) -> Self {
        self.hint = Box::new(hint);
        self
    }

    /// Names the ports that media of the relay leaves from. Datagrams from there are never
    /// requests: they are what a stranger has the relay send.
    #[must_use]
    pub fn with_media_ports(
        mut self,
        is_media: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_media = Box::new(is_media);
        self
    }

    /// Limits UDP replies to sources that no list names ([`Rule::Compat`] and [`Rule::Open`] serve
    /// them). Their addresses may be forged, and the reply would hit a third party. Long requests
    /// may have longer replies, see [`crate::limits::UDP_STRANGER_RATIO`].
    #[must_use]
    pub const fn with_udp_reply_cap(mut self, bytes: usize) -> Self {
        self.udp_reply_cap = Some(bytes);
        self
    }

    /// Replaces the rule, for messages from now on. Sources are logged anew.
    pub fn set_rule(&self, rule: Rule) {
        *self.rule.write().unwrap_or_else(PoisonError::into_inner) = rule;
        lock(&self.logged).clear();
    }

    /// Messages and connections refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Rights of `source`; a refusal is counted and logged.
    pub fn check(&self, source: &Source, now: Instant) -> Grant {
        let grant = self.grant(source, now);
        if grant == Grant::Refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.log(source);
        }
        grant
    }

    fn grant(&self, source: &Source, now: Instant) -> Grant {
        let ip = source.addr.ip().to_canonical();
        if source.transport == Transport::Udp && (self.is_media)(source.addr) {
            return Grant::Refused;
        }
        let rule = self.rule.read().unwrap_or_else(PoisonError::into_inner);
        match &*rule {
            Rule::Allow(networks) if networks.iter().any(|network| network.contains(ip)) => {
                Grant::Full
            }
            Rule::Compat if self.is_near(ip, now) => self.unnamed(source),
            Rule::Open => self.unnamed(source),
            Rule::Allow(_) | Rule::Compat => Grant::Refused,
        }
    }

    /// Rights of a source that is served although no list names it.
    fn unnamed(&self, source: &Source) -> Grant {
        let ip = source.addr.ip().to_canonical();
        let local = source.local.map(|local| local.ip().to_canonical());
        // The system drops what comes from outside under an address of its own.
        let is_this_host = ip.is_loopback() || local == Some(ip);
        match self.udp_reply_cap {
            Some(cap) if source.transport == Transport::Udp && !is_this_host => Grant::Capped(cap),
            _ => Grant::Full,
        }
    }

    fn is_near(&self, ip: IpAddr, now: Instant) -> bool {
        network::is_private(ip) || self.is_on_link(ip, now)
    }

    /// Interfaces come and go; they are read again when one might have been missed.
    fn is_on_link(&self, ip: IpAddr, now: Instant) -> bool {
        let mut on_link = lock(&self.on_link);
        if on_link.networks.iter().any(|network| network.contains(ip)) {
            return true;
        }
        let age = on_link.read.map(|read| now.saturating_duration_since(read));
        if age.is_some_and(|age| age < ON_LINK_AGE) {
            return false;
        }
        on_link.read = Some(now);
        on_link.networks = network::on_link();
        on_link.networks.iter().any(|network| network.contains(ip))
    }

    fn log(&self, source: &Source) {
        let ip = source.addr.ip().to_canonical();
        let mut logged = lock(&self.logged);
        if logged.len() >= REFUSED_SOURCES || !logged.insert(ip) {
            return;
        }
        let full = logged.len() >= REFUSED_SOURCES;
        drop(logged);
        let (transport, hint) = (source.transport, (self.hint)(ip));
        tracing::warn!(source = %ip, ?transport, "control message refused: the source is not \
             allowed; to admit it, add {hint} to the configuration");
        if full {
            tracing::warn!("{REFUSED_SOURCES} refused sources logged, further ones are not");
        }
    }
}

impl Default for Access {
    /// [`Rule::Compat`].
    fn default() -> Self {
        Self::new(Rule::Compat)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("rule", &self.rule)
            .field("udp_reply_cap", &self.udp_reply_cap)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// The guarded data is consistent between any two statements, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any time does")]
mod tests {
    use super::*;

    fn source(ip: &str) -> Source {
        Source {
            addr: (ip.parse::<IpAddr>().unwrap(), 5060).into(),
            local: None,
            transport: Transport::Udp,
        }
    }

    fn admits(access: &Access, ip: &str) -> bool {
        access.check(&source(ip), Instant::now()) == Grant::Full
    }

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn media_of_the_relay_is_never_a_request() {
        let media = SocketAddr::from(([10, 0, 0, 1], 30_000));
        let access = Access::new(Rule::Open).with_media_ports(move |source| source == media);
        let mut from = source("10.0.0.1");
        assert_eq!(access.check(&from, Instant::now()), Grant::Full);
        from.addr = media;
        assert_eq!(access.check(&from, Instant::now()), Grant::Refused);
        // What arrives over a connection was not sent by a media port.
        from.transport = Transport::Tcp;
        assert_eq!(access.check(&from, Instant::now()), Grant::Full);
        assert_eq!(access.refused(), 1);
    }

    #[test]
    fn compat_serves_what_is_near() {
        let access = Access::default();
        for near in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.3.4",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(admits(&access, near), "{near}");
        }
        for far in [
            "203.0.113.5",
            "172.32.0.1",
            "100.128.0.1",
            "2001:db8::1",
            "::ffff:203.0.113.5",
        ] {
            assert!(!admits(&access, far), "{far}");
        }
        assert_eq!(access.refused(), 5);
    }

    #[test]
    fn compat_serves_the_networks_of_the_interfaces() {
        let access = Access::default();
        let now = Instant::now();
        *lock(&access.on_link) = OnLink {
            read: Some(now),
            networks: networks(&["203.0.113.0/29", "2001:db8:1::/64"]),
        };
        assert_eq!(access.check(&source("203.0.113.6"), now), Grant::Full);
        assert_eq!(access.check(&source("2001:db8:1::9"), now), Grant::Full);
        assert_eq!(access.check(&source("203.0.113.8"), now), Grant::Refused);
        // The real interfaces, read after a while, have none of these.
        let later = now + ON_LINK_AGE;
        assert_eq!(access.check(&source("198.51.100.1"), later), Grant::Refused);
        assert_eq!(access.check(&source("203.0.113.6"), later), Grant::Refused);
    }

    #[test]
    fn an_allow_list_is_all_there_is() {
        let access = Access::default();
        access.set_rule(Rule::Allow(networks(&[
            "203.0.113.0/24",
            "2001:db8::/32",
            "192.0.2.7",
        ])));
        for allowed in [
            "203.0.113.5",
            "2001:db8:9::1",
            "192.0.2.7",
            "::ffff:203.0.113.9",
        ] {
            assert!(admits(&access, allowed), "{allowed}");
        }
        for other in ["203.0.114.5", "2001:db9::1", "192.0.2.8", "127.0.0.1"] {
            assert!(!admits(&access, other), "{other}");
        }
        access.set_rule(Rule::Allow(Vec::new()));
        assert!(!admits(&access, "::1"));
    }

    #[test]
    fn open_serves_all_and_caps_replies_to_strangers() {
        let access = Access::new(Rule::Open).with_udp_reply_cap(1_400);
        let now = Instant::now();
        let mut stranger = source("203.0.113.5");
        assert_eq!(access.check(&stranger, now), Grant::Capped(1_400));
        assert_eq!(access.check(&source("127.0.0.1"), now), Grant::Full);
        stranger.transport = Transport::Tcp;
        assert_eq!(access.check(&stranger, now), Grant::Full);
    }

    #[test]
    fn compat_caps_replies_to_neighbours_that_nobody_named() {
        let access = Access::new(Rule::Compat).with_udp_reply_cap(1_200);
        let now = Instant::now();
        let mut neighbour = source("10.0.0.1");
        assert_eq!(access.check(&neighbour, now), Grant::Capped(1_200));
        neighbour.local = Some(([10, 0, 0, 1], 2223).into());
        assert_eq!(access.check(&neighbour, now), Grant::Full);
        access.set_rule(Rule::Allow(networks(&["10.0.0.0/8"])));
        assert_eq!(access.check(&source("10.0.0.2"), now), Grant::Full);
    }

    #[test]
    fn each_source_is_logged_once_and_the_table_is_bounded() {
        use std::sync::{Arc, atomic::AtomicUsize};
        let lines = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&lines);
        let access = Access::new(Rule::Allow(Vec::new())).with_hint(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            String::new()
        });
        for i in 0..2 * REFUSED_SOURCES {
            let ip = format!("10.0.{}.{}", i / 256, i % 256);
            assert!(!admits(&access, &ip) && !admits(&access, &ip));
        }
        assert_eq!(lines.load(Ordering::Relaxed), REFUSED_SOURCES);
        assert_eq!(lock(&access.logged).len(), REFUSED_SOURCES);
    }
}
