//! Pools and routes as the core asks them (spec §14), and which addresses are those of targets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::route::Refusal;
use super::{Proxy, request_uri};
use crate::config::{Config, RouteTo};
use crate::limits;
use crate::message::{Message, Method, Span, Uri};
use crate::resolve::{Address, Destination, Host};
use crate::route::Hop;
use crate::target::{ConfigError, Decision, Kind, Pick, Pools, Routes, Seen};
use crate::transport::Flow;

/// Pools and routes of a configuration, which all shards share.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    pub(super) pools: Arc<Pools>,
    routes: Routes,
}

/// Faults in what a configuration says of pools and routes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoutingError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("pool {pool} is in the zone {zone}, which does not exist")]
    UnknownZone { pool: String, zone: String },
}

impl Routing {
    /// # Errors
    /// The first fault.
    pub(crate) fn new(config: &Config) -> Result<Self, RoutingError> {
        Self::over(config, None)
    }

    fn over(config: &Config, before: Option<&Pools>) -> Result<Self, RoutingError> {
        for pool in &config.upstreams {
            if !config.zones.iter().any(|zone| zone.name == pool.zone) {
                return Err(RoutingError::UnknownZone {
                    pool: pool.name.clone(),
                    zone: pool.zone.clone(),
                });
            }
        }
        // The routes are tried on pools of their own: those of before must not have changed if they
        // are refused.
        Routes::new(&config.routes, &Pools::new(&config.upstreams, None)?)?;
        let pools = Arc::new(Pools::new(&config.upstreams, before)?);
        let routes = Routes::new(&config.routes, &pools)?;
        Ok(Self { pools, routes })
    }

    /// The rules.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The pools.
    pub(crate) fn pools(&self) -> &Arc<Pools> {
        &self.pools
    }

    /// The same of another configuration: targets that stay keep their state and their calls.
    ///
    /// # Errors
    /// The first fault. Nothing has changed then.
    pub(crate) fn reload(&self, config: &Config) -> Result<Self, RoutingError> {
        Self::over(config, Some(&self.pools))
    }

    /// Whether names may have to be looked up.
    pub(crate) fn needs_dns(&self, config: &Config) -> bool {
        let is_name = |host: &Host| matches!(host, Host::Name(_));
        let of_request = |route: &crate::config::RouteConfig| route.to == RouteTo::RequestUri;
        self.pools.targets().any(|t| is_name(&t.destination.host))
            || config.routes.iter().any(of_request)
    }
}

/// Zones of the targets of upstreams, by their address, and by their host if over a stream.
#[derive(Debug, Default)]
pub(super) struct KnownTargets {
    datagram: HashMap<SocketAddr, usize, foldhash::quality::RandomState>,
    stream: HashMap<IpAddr, usize, foldhash::quality::RandomState>,
}

impl KnownTargets {
    pub(super) fn zone_of(&self, hop: Hop) -> Option<usize> {
        match hop.protocol.is_stream() {
            true => self.stream.get(&hop.address.ip()).copied(),
            false => self.datagram.get(&hop.address).copied(),
        }
    }

    /// No target has this address any more.
    pub(super) fn forget(&mut self, hop: Hop) {
        match hop.protocol.is_stream() {
            true => self.stream.remove(&hop.address.ip()),
            false => self.datagram.remove(&hop.address),
        };
    }

    /// No target of these zones has any address.
    pub(super) fn forget_zones(&mut self, zones: &[usize]) {
        self.datagram.retain(|_, zone| !zones.contains(zone));
        self.stream.retain(|_, zone| !zones.contains(zone));
    }

    /// A target has this address. Names have many in the course of time.
    pub(super) fn learn(&mut self, hop: Hop, zone: usize) {
        let known = self.datagram.len() + self.stream.len();
        if known >= limits::KNOWN_TARGETS && self.zone_of(hop).is_none() {
            return;
        }
        match hop.protocol.is_stream() {
            true => self.stream.insert(hop.address.ip(), zone),
            false => self.datagram.insert(hop.address, zone),
        };
    }
}

/// How an address of DNS is reached.
pub(super) fn hop_of(address: &Address) -> Hop {
    Hop {
        address: address.peer,
        protocol: address.protocol,
    }
}

impl Proxy {
    /// Addresses of targets that are configured as such.
    pub(super) fn learn_configured(&mut self) {
        let routing = self.routing.clone();
        for target in routing.pools.targets() {
            let zone = self.zone_named(&target.zone);
            if let Some((address, zone)) = target.destination.direct().zip(zone) {
                self.targets.learn(hop_of(&address), zone);
            }
        }
    }

    pub(super) fn zone_named(&self, name: &str) -> Option<usize> {
        self.config.zones.iter().position(|zone| zone.name == name)
    }

    /// The targets that a request falls to, and the zone of the first pool; `None` without a route.
    pub(super) fn decide(
        &self,
        now: Instant,
        request: &Message,
        zone: usize,
        peer: Option<&str>,
    ) -> Result<Option<(Box<Pick>, usize)>, Refusal> {
        self.with_routed(request, zone, peer, |seen| {
            self.decide_seen(now, request, zone, seen)
        })
    }

    fn decide_seen(
        &self,
        now: Instant,
        request: &Message,
        zone: usize,
        seen: &Seen<'_>,
    ) -> Result<Option<(Box<Pick>, usize)>, Refusal> {
        let bytes = &request.bytes;
        let (uri, whole) = (request_uri(request), request.request_uri());
        let kind = match request.method() {
            Method::Invite => Kind::Invite,
            Method::Register => Kind::Register,
            _ => Kind::Other,
        };
        let Decision::Rule(rule) = self.routing.routes.decide(seen) else {
            return Ok(None);
        };
        let config = self.config.routes.get(rule.number - 1);
        let mut destination = None;
        let mut toward = zone;
        match config.map(|config| &config.to) {
            Some(RouteTo::RequestUri) => {
                if !self.is_inside(zone) {
                    return Err((403, "Forbidden"));
                }
                if self.is_own(bytes, uri.host, uri.port) {
                    return Err((404, "Not Found"));
                }
                let parsed = Destination::parse(request.text(whole));
                destination = Some(parsed.map_err(|_| (404, "Not Found"))?);
            }
            Some(RouteTo::Pools(names)) => {
                let first = |pool: &&crate::config::PoolConfig| names.first() == Some(&pool.name);
                let pool = self.config.upstreams.iter().find(first);
                toward = pool
                    .and_then(|pool| self.zone_named(&pool.zone))
                    .unwrap_or(zone);
            }
            None => {}
        }
        let pools = self.routing.pools.clone();
        let pick = Pick::new(now, pools, rule, kind, seen, destination);
        Ok(Some((Box::new(pick), toward)))
    }

    /// A request as rules see it.
    pub(super) fn with_routed<R>(
        &self,
        request: &Message,
        zone: usize,
        peer: Option<&str>,
        ask: impl FnOnce(&Seen<'_>) -> R,
    ) -> R {
        let bytes = &request.bytes;
        let uri = request_uri(request);
        let mut user = Vec::new();
        let mut aor = Vec::new();
        let address_of = |span: Span, out: &mut Vec<u8>| {
            if let Ok(uri) = Uri::parse(bytes, span) {
                uri.address_of_record(bytes, out);
            }
        };
        address_of(request.parsed.from.uri, &mut user);
        if request.method() == Method::Register {
            address_of(request.parsed.to.uri, &mut aor);
        }
        let whole = request.request_uri();
        let end = match (uri.params.is_empty(), uri.headers.is_empty()) {
            (false, _) => uri.params.from(),
            (true, false) => uri.headers.from().saturating_sub(1),
            (true, true) => whole.to(),
        };
        let from_zone = self.config.zones.get(zone).map_or("", |zone| &zone.name);
        let seen = Seen {
            from_zone,
            peer,
            method: request.text(request.parsed.method_name),
            call_id: request.call_id(),
            ruri: Span::new(whole.from(), end.max(whole.from())).of(bytes),
            ruri_user: uri.user.of(bytes),
            ruri_host: uri.host.of(bytes),
            user: &user,
            aor: &aor,
        };
        ask(&seen)
    }

    /// Whether a call from `zone` would find a target now: not while this edge drains, and not while
    /// all targets that it could go to are down.
    pub(super) fn takes_calls_from(&self, zone: usize) -> bool {
        let name = self.config.zones.get(zone).map_or("", |zone| &zone.name);
        let serves = |route: &&crate::config::RouteConfig| {
            let from = route.matching.from_zone.as_deref();
            from.is_none_or(|from| from == name)
        };
        let pools = &self.routing.pools;
        let mut routes = self.config.routes.iter().filter(serves).peekable();
        let reaches = |route: &crate::config::RouteConfig| match &route.to {
            RouteTo::Pools(names) => names.iter().any(|pool| pools.is_available(pool)),
            RouteTo::RequestUri => true,
        };
        !self.draining && (routes.peek().is_none() || routes.any(reaches))
    }

    /// Targets with an address that requests from `zone` may go to, with their zones.
    pub(super) fn served(&self, zone: usize) -> impl Iterator<Item = (usize, Address)> + '_ {
        let name = self.config.zones.get(zone).map_or("", |zone| &zone.name);
        let serves = move |route: &&crate::config::RouteConfig| {
            let from = route.matching.from_zone.as_deref();
            from.is_none_or(|from| from == name)
        };
        let pools = self.config.routes.iter().filter(serves);
        let pools = pools.flat_map(|route| match &route.to {
            RouteTo::Pools(names) => &names[..],
            RouteTo::RequestUri => &[],
        });
        pools.flat_map(move |pool| {
            let targets = self.routing.pools.targets();
            let of_pool = targets.filter(move |target| *target.pool == **pool);
            of_pool.filter_map(|target| {
                self.zone_named(&target.zone)
                    .zip(target.destination.direct())
            })
        })
    }

    /// The way that a request would go by, before a target is chosen: the sockets of a zone.
    pub(super) fn provisional(&self, zone: usize, source: Flow) -> Flow {
        let of_zone = self.listeners.iter().position(|l| l.zone == zone);
        let listener = of_zone.and_then(|at| u16::try_from(at).ok());
        Flow {
            listener: listener.unwrap_or(source.listener),
            peer: SocketAddr::from(([0, 0, 0, 0], 0)),
            connection: 0,
        }
    }
}
