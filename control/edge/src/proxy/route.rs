//! Destination of a request (RFC 3261 §16.4–16.6, spec §6), and the edge's own addresses.

use std::net::SocketAddr;
use std::time::Instant;

use super::Proxy;
use super::routing::hop_of;
use super::session::changes_session;
use crate::config::Trust;
use crate::cookie::CookieCheck;
use crate::dialog::{self, Dialog, Party};
use crate::hide::{Way, call_id};
use crate::message::uri::host_to_ip;
use crate::message::{HeaderId, Message, NameAddr, Span, Start, Uri};
use crate::register::TokenCheck;
use crate::route::{Hop, Route};
use crate::side::Side;
use crate::target::Pick;
use crate::transaction::Carrier;
use crate::transport::{Destination, Flow, Protocol};

/// A socket as the core knows it.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Index of its zone.
    pub(crate) zone: usize,
    pub(crate) protocol: Protocol,
    /// Local address that the listener is bound to.
    pub(crate) local: SocketAddr,
    /// `host:port` for Via and Record-Route.
    pub(crate) advertised: String,
    host: String,
    port: u16,
}

impl Listener {
    /// `advertise` is `host`, `host:port`, `[v6]` or `[v6]:port`; by default the bound address.
    pub(crate) fn new(
        zone: usize,
        protocol: Protocol,
        local: SocketAddr,
        advertise: Option<&str>,
    ) -> Self {
        let text = advertise.map_or_else(|| local.to_string(), str::to_owned);
        let bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
        let text = if bare_v6 { format!("[{text}]") } else { text };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => match port.parse() {
                Ok(port) => (host.to_owned(), port),
                Err(_) => (text.clone(), local.port()),
            },
            _ => (text.clone(), local.port()),
        };
        Self {
            zone,
            protocol,
            local,
            advertised: format!("{host}:{port}"),
            host,
            port,
        }
    }

    fn is(&self, host: &[u8], port: Option<u16>) -> bool {
        let port = port.unwrap_or_else(|| match self.protocol.is_secure() {
            true => 5061,
            false => 5060,
        });
        let same_name = || host.eq_ignore_ascii_case(self.host.as_bytes()) && port == self.port;
        let same_address =
            || host_to_ip(host).is_some_and(|ip| SocketAddr::new(ip, port) == self.local);
        same_name() || same_address()
    }

    fn reaches(&self, peer: SocketAddr, protocol: Protocol) -> bool {
        self.protocol == protocol && self.local.is_ipv4() == peer.is_ipv4()
    }

    /// Scheme, user, host and port of a URI of ours, and its transport if that is not UDP.
    pub(super) fn write_uri(&self, user: &str, out: &mut String) {
        out.push_str("sip:");
        if !user.is_empty() {
            out.push_str(user);
            out.push('@');
        }
        out.push_str(&self.advertised);
        if self.protocol != Protocol::Udp {
            out.push_str(";transport=");
            out.push_str(self.protocol.parameter());
        }
    }
}

/// The Route header of a request with our own values counted.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteSet {
    /// Number of leading Route values that name the edge: none, one, or two where the call crosses
    /// sockets.
    pub(super) own: usize,
    /// The socket that the last of them names.
    pub(super) listener: Option<u16>,
    /// The URI of the first value that is not ours.
    pub(super) next: Option<Uri>,
    pub(super) cookie: Option<CookieCheck>,
    /// The flow in the first of ours that has one; `Err` if we did not write it.
    pub(super) flow: Option<Result<Flow, ()>>,
    /// The cookie is that of a Contact of ours, in the Request-URI.
    pub(super) is_contact: bool,
    /// The way in such a Contact; `Some(None)` if we did not write it.
    pub(super) way: Option<Option<Way>>,
}

/// A status code and its reason.
pub(super) type Refusal = (u16, &'static str);

/// It comes with a token in the form of ours that we did not write.
pub(super) const BAD_TOKEN: Refusal = (403, "Bad Token");

pub(super) const UNKNOWN: Refusal = (481, "Call/Transaction Does Not Exist");

const NO_SOCKET: Refusal = (503, "Service Unavailable");

impl Proxy {
    pub(super) fn is_own(&self, bytes: &[u8], host: Span, port: Option<u16>) -> bool {
        let host = host.of(bytes);
        self.listeners.iter().any(|l| l.is(host, port))
    }

    /// The socket that a URI of ours names.
    fn own_listener(&self, bytes: &[u8], uri: &Uri) -> Option<u16> {
        let host = uri.host.of(bytes);
        let named = |l: &Listener| l.is(host, uri.port);
        let protocol = uri.protocol(bytes);
        let exact = |l: &Listener| named(l) && Some(l.protocol) == protocol;
        let meant = |l: &Listener| named(l) && protocol.is_some_and(|p| l.protocol.is_meant_by(p));
        let at = self.listeners.iter().position(exact);
        let at = at.or_else(|| self.listeners.iter().position(meant));
        let at = at.or_else(|| self.listeners.iter().position(named))?;
        u16::try_from(at).ok()
    }

    pub(super) fn listener(&self, index: u16) -> Option<&Listener> {
        self.listeners.get(usize::from(index))
    }

    pub(super) fn protocol_of(&self, index: u16) -> Protocol {
        self.listener(index).map_or(Protocol::Udp, |l| l.protocol)
    }

    /// Whether messages over this socket are repeated.
    pub(super) fn carrier(&self, index: u16) -> Carrier {
        match self.protocol_of(index).is_stream() {
            true => Carrier::Stream,
            false => Carrier::Datagram,
        }
    }

    /// The zone of a sender: that of its listener, or of the upstream whose target it is if that zone
    /// has no sockets of its own. Elsewhere an address proves nothing.
    pub(super) fn zone_of(&self, flow: Flow) -> usize {
        let protocol = self.protocol_of(flow.listener);
        // Over a stream it connects from any port.
        let known = self.targets.zone_of(Hop {
            address: flow.peer,
            protocol,
        });
        let has_none = |zone: &usize| self.listeners.iter().all(|l| l.zone != *zone);
        known.filter(has_none).unwrap_or_else(|| {
            self.listener(flow.listener)
                .map_or(usize::MAX, |listener| listener.zone)
        })
    }

    fn trust_of(&self, zone: usize) -> Trust {
        let zone = self.config.zones.get(zone);
        zone.map_or(Trust::Untrusted, |zone| zone.trust)
    }

    /// Bounds per source do not hold for the senders of this zone.
    pub(super) fn is_known(&self, zone: usize) -> bool {
        self.trust_of(zone) != Trust::Untrusted
    }

    /// Senders of this zone name the way of their requests.
    pub(super) fn is_inside(&self, zone: usize) -> bool {
        self.trust_of(zone) == Trust::Inside
    }

    pub(super) fn route_set(&self, request: &Message) -> RouteSet {
        let mut set = RouteSet::default();
        let bytes = &request.bytes;
        for value in request.values(HeaderId::Route) {
            let addr = NameAddr::parse(bytes, value).unwrap_or_default();
            let uri = Uri::parse(bytes, addr.uri).unwrap_or_default();
            let own = self.own_listener(bytes, &uri).filter(|_| set.own < 2);
            if own.is_some() {
                let check = uri.param(bytes, "did");
                let check = check.map(|did| self.tokens.cookie(did, request.call_id()));
                if let (Some(CookieCheck::Ours(first)), Some(CookieCheck::Ours(other))) =
                    (set.cookie, check)
                    && first.id != other.id
                {
                    // The call comes through here again: this one is for then.
                    set.next = Some(uri);
                    break;
                }
                set.own += 1;
                set.listener = own;
                let flow = match self.tokens.flow(uri.user.of(bytes)) {
                    TokenCheck::Other => None,
                    TokenCheck::Forged => Some(Err(())),
                    TokenCheck::Ours(token) => Some(Ok(token.flow)),
                };
                set.flow = set.flow.or(flow);
                set.cookie = set.cookie.or(check);
                continue;
            }
            set.next = Some(uri);
            break;
        }
        if set.next.is_none() && set.cookie.is_none() {
            self.read_contact(request, &request_uri(request), &mut set);
        }
        set
    }

    /// The address in the Record-Route next to ours on the side of the sender: the first one of a
    /// request, the last one before ours in a response.
    pub(super) fn adjacent_hop(&self, message: &Message) -> Option<Hop> {
        let bytes = &message.bytes;
        let mut uris = message.values(HeaderId::RecordRoute).map(|value| {
            let addr = NameAddr::parse(bytes, value).unwrap_or_default();
            Uri::parse(bytes, addr.uri).unwrap_or_default()
        });
        let uri = if message.parsed.is_request() {
            uris.next()
        } else {
            uris.take_while(|uri| !self.is_own(bytes, uri.host, uri.port))
                .last()
        };
        uri?.hop(bytes)
    }

    /// The call of a request with a To tag, and its sender. Both tags belong to the call, and the
    /// request comes from the party's address or carries the cookie that only its parties have
    /// seen.
    pub(super) fn find_dialog(
        &mut self,
        request: &Message,
        set: &RouteSet,
        source: Flow,
    ) -> Option<(u64, Side)> {
        let (from_tag, to_tag) = (request.sender_tag(), request.to_tag()?);
        let ways = [
            (from_tag, to_tag, Side::Caller),
            (to_tag, from_tag, Side::Callee),
        ];
        if let Some(CookieCheck::Ours(cookie)) = set.cookie
            && let Some(dialog) = self.dialogs.get(&cookie.id).filter(|d| d.hidden.is_some())
        {
            // The cookie belongs to the Call-ID as its bearer knows it.
            let mut ways = ways.into_iter();
            let way = ways.find(|(caller_tag, callee_tag, _)| {
                dialog.caller_tag == *caller_tag && dialog.knows_tag(callee_tag)
            });
            return way.map(|(_, _, side)| (cookie.id, side));
        }
        let call_id = request.call_id();
        let hidden = call_id::is_one(call_id, &self.config.call_id_prefix);
        let hidden = hidden.then(|| self.open_call_id(call_id)).flatten();
        let call_id = hidden.as_deref().unwrap_or(call_id);
        let shown = match set.cookie {
            Some(CookieCheck::Ours(cookie)) => Some(cookie.id),
            _ => None,
        };
        for (caller_tag, callee_tag, side) in ways {
            dialog::key(call_id, caller_tag, &mut self.scratch.key);
            let ids = self.by_call.of(&self.scratch.key);
            let knows = |id: &&u64| {
                let dialog = self.dialogs.get(id);
                dialog.is_some_and(|dialog| dialog.knows_tag(callee_tag))
            };
            let is_from_there = |id: &&u64| {
                let dialog = self.dialogs.get(id);
                dialog.is_some_and(|d| d.party_in(side, callee_tag).flow.peer == source.peer)
            };
            let of_tags = || ids.iter().filter(knows);
            let found = of_tags().find(|id| Some(**id) == shown);
            if let Some(id) = found.or_else(|| of_tags().find(is_from_there)) {
                return Some((*id, side));
            }
        }
        None
    }

    /// The way of a request outside a dialog: by the first rule that matches, which leads to targets,
    /// and from a zone inside to the address in its Route or Request-URI.
    pub(super) fn route_initial(
        &self,
        now: Instant,
        request: &Message,
        source: Flow,
        set: &RouteSet,
        peer: Option<&str>,
    ) -> Result<(Route, Option<Box<Pick>>), Refusal> {
        let zone = self.zone_of(source);
        if set.next.is_some() && !self.is_inside(zone) {
            // A stranger names no way but ours: the upstream would take it for our own.
            return Err((403, "Forbidden"));
        }
        if let Some(route) = self.route_replacing(request, set) {
            return route.map(|route| (route, None));
        }
        if let Some(route) = self.route_by_way(set, source, true) {
            return route.map(|route| (route, None));
        }
        if let Some(route) = self.route_to_phone(request, set, zone)? {
            return Ok((route, None));
        }
        if set.next.is_none()
            && let Some((pick, toward)) = self.decide(now, request, zone, peer)?
        {
            let route = Route {
                to: Destination::Flow(self.provisional(toward, source)),
                zone: toward,
                uri: None,
                way: None,
                strip: set.own,
            };
            return Ok((route, Some(pick)));
        }
        let calls_out = self.config.zones.get(zone).is_some_and(|z| z.calls_out);
        if !calls_out {
            return Err((403, "Forbidden"));
        }
        let uri = set.next.unwrap_or_else(|| request_uri(request));
        let hop = uri.hop(&request.bytes).ok_or((404, "Not Found"))?;
        if self.is_own(&request.bytes, uri.host, uri.port) || is_unroutable(hop.address) {
            return Err((404, "Not Found"));
        }
        let route = self.toward_named(hop, zone, set, source)?;
        Ok((route, None))
    }

    /// The way to an address that a sender inside `zone` names. A pair of our Route values tells the
    /// socket, too (RFC 5658).
    fn toward_named(
        &self,
        hop: Hop,
        zone: usize,
        set: &RouteSet,
        source: Flow,
    ) -> Result<Route, Refusal> {
        let named = set.listener.filter(|_| set.own > 1);
        let listener = named.and_then(|index| Some((index, self.listener(index)?)));
        if let Some((index, listener)) =
            listener.filter(|(_, l)| l.reaches(hop.address, hop.protocol))
        {
            return Ok(Route {
                to: self.destination(index, hop.address),
                zone: listener.zone,
                uri: None,
                way: None,
                strip: set.own,
            });
        }
        self.toward(self.zone_toward(hop, zone), hop, source, set.own)
    }

    /// The way to a registered phone, by the token that the registrar was given in a Path or in a
    /// Contact. Nobody else has one.
    fn route_to_phone(
        &self,
        request: &Message,
        set: &RouteSet,
        zone: usize,
    ) -> Result<Option<Route>, Refusal> {
        let (flow, uri) = match set.flow {
            Some(Ok(flow)) => (flow, None),
            Some(Err(())) => return Err(BAD_TOKEN),
            None => match self.called_alias(request)? {
                Some((flow, uri)) => (flow, Some(uri)),
                None => return Ok(None),
            },
        };
        if !self.is_known(zone) {
            return Err((403, "Forbidden"));
        }
        Ok(Some(Route {
            zone: self.zone_of(flow),
            to: Destination::Flow(flow),
            uri,
            way: None,
            strip: set.own,
        }))
    }

    /// The way to an address in a zone.
    pub(super) fn toward(
        &self,
        zone: usize,
        hop: Hop,
        source: Flow,
        strip: usize,
    ) -> Result<Route, Refusal> {
        let listener = self
            .listener_toward(zone, hop, source.listener)
            .ok_or(NO_SOCKET)?;
        Ok(Route {
            to: self.destination(listener, hop.address),
            zone,
            uri: None,
            way: None,
            strip,
        })
    }

    /// A datagram just leaves; a stream is opened unless there is one.
    pub(super) fn destination(&self, listener: u16, peer: SocketAddr) -> Destination {
        if self.protocol_of(listener).is_stream() {
            return Destination::Open {
                listener,
                peer,
                server_name: None,
            };
        }
        Destination::Flow(Flow {
            listener,
            peer,
            connection: 0,
        })
    }

    /// The zone that an address named by the zone `from` belongs to: that of the upstream it is a
    /// target of, else the first other one with strangers, else any other one.
    pub(super) fn zone_toward(&self, hop: Hop, from: usize) -> usize {
        let known = self.targets.zone_of(hop);
        let others = || (0..self.config.zones.len()).filter(|zone| *zone != from);
        known
            .or_else(|| others().find(|zone| !self.is_known(*zone)))
            .or_else(|| others().next())
            .unwrap_or(from)
    }

    /// The way of a request inside a known call, toward the other side.
    pub(super) fn route_in_dialog(
        &self,
        request: &Message,
        set: &RouteSet,
        dialog: &Dialog,
        from: Side,
    ) -> Result<Route, Refusal> {
        if set.cookie == Some(CookieCheck::Forged) {
            return Err(BAD_TOKEN);
        }
        if dialog.hidden.is_some() {
            return self.route_hidden(request, dialog, from);
        }
        let tag = callee_tag(request, from);
        let party = dialog.party_in(from.other(), tag);
        let bytes = &request.bytes;
        let uri = set.next.unwrap_or_else(|| request_uri(request));
        let behind_nat = set.next.is_none() && party.nat;
        let trusted = dialog.party_in(from, tag).trusted;
        let target = uri
            .hop(bytes)
            .filter(|hop| !behind_nat && !is_unroutable(hop.address))
            .filter(|hop| trusted || party.is_at(*hop))
            .filter(|_| !self.is_own(bytes, uri.host, uri.port));
        self.toward_party(party, target, set.own)
    }

    /// The way to a party, at `target` if that is another address than the one it sends from.
    pub(super) fn toward_party(
        &self,
        party: &Party,
        target: Option<Hop>,
        strip: usize,
    ) -> Result<Route, Refusal> {
        let protocol = self.protocol_of(party.flow.listener);
        // A stream that a stranger opened is the only way to it.
        let is_bound = protocol.is_stream() && !party.trusted;
        let other = target.filter(|hop| {
            !is_bound && (hop.address != party.flow.peer || !protocol.is_meant_by(hop.protocol))
        });
        if let Some(hop) = other {
            return self.toward(party.zone, hop, party.flow, strip);
        }
        let to = match protocol.is_stream() && !is_bound {
            true => self.destination(party.flow.listener, party.flow.peer),
            false => Destination::Flow(party.flow),
        };
        Ok(Route {
            to,
            zone: party.zone,
            uri: None,
            way: None,
            strip,
        })
    }

    /// The way of a request with a To tag that belongs to no known call: trusted from inside, and
    /// from holders of a cookie we gave out for its Call-ID (subscriptions).
    pub(super) fn route_unknown_dialog(
        &self,
        request: &Message,
        set: &RouteSet,
        source: Flow,
    ) -> Result<Route, Refusal> {
        if let Some(route) = self.route_by_way(set, source, false) {
            return route;
        }
        let zone = self.zone_of(source);
        let inside = self.is_inside(zone);
        match set.cookie {
            Some(CookieCheck::Forged) => return Err(BAD_TOKEN),
            Some(CookieCheck::Ours(_)) if set.is_contact => return Err(UNKNOWN),
            // It would begin a session that no limit and no record knows: the cookie of a call that is
            // over is good for ever.
            Some(CookieCheck::Ours(_)) if !self.is_known(zone) && changes_session(request) => {
                return Err(UNKNOWN);
            }
            Some(CookieCheck::Ours(_)) => {}
            None if inside => {}
            None => return Err(UNKNOWN),
        }
        match set.flow {
            Some(Ok(flow)) if inside => {
                return Ok(Route {
                    zone: self.zone_of(flow),
                    to: Destination::Flow(flow),
                    uri: None,
                    way: None,
                    strip: set.own,
                });
            }
            Some(Err(())) => return Err(BAD_TOKEN),
            Some(Ok(_)) | None => {}
        }
        // Who is not inside reaches the upstreams only, which route on.
        let uri = set.next.unwrap_or_else(|| request_uri(request));
        let hop = uri
            .hop(&request.bytes)
            .filter(|hop| !is_unroutable(hop.address))
            .filter(|_| !self.is_own(&request.bytes, uri.host, uri.port));
        if !inside {
            return self.toward_upstream(zone, hop, source, set.own);
        }
        self.toward_named(hop.ok_or(UNKNOWN)?, zone, set, source)
    }

    /// The way to the target of an upstream that has this address, else to the first one that
    /// requests from `zone` go to.
    fn toward_upstream(
        &self,
        zone: usize,
        hop: Option<Hop>,
        source: Flow,
        strip: usize,
    ) -> Result<Route, Refusal> {
        let named = hop.and_then(|hop| {
            let mut served = self.served(zone);
            let (zone, address) = served.find(|(_, address)| address.peer == hop.address)?;
            Some((zone, address))
        });
        let first = || self.served(zone).next();
        let (zone, address) = named.or_else(first).ok_or(NO_SOCKET)?;
        let mut route = self.toward(zone, hop_of(&address), source, strip)?;
        if let Destination::Open { server_name, .. } = &mut route.to {
            *server_name = address.server_name;
        }
        Ok(route)
    }

    /// The socket of a zone from which `hop` is reached, given the one the request came by. A zone
    /// without sockets of its own borrows one.
    pub(super) fn listener_toward(&self, zone: usize, hop: Hop, incoming: u16) -> Option<u16> {
        let count = u16::try_from(self.listeners.len()).unwrap_or(u16::MAX);
        let reaches = |index: &u16| {
            self.listener(*index)
                .is_some_and(|l| l.reaches(hop.address, hop.protocol))
        };
        let belongs = |index: &u16| self.listener(*index).is_some_and(|l| l.zone == zone);
        let all = || std::iter::once(incoming).chain(0..count);
        all()
            .find(|index| belongs(index) && reaches(index))
            .or_else(|| all().find(reaches))
    }
}

/// The tag of the callee in a request of `from` inside a dialog.
pub(super) fn callee_tag(request: &Message, from: Side) -> &[u8] {
    match from {
        Side::Caller => request.to_tag().unwrap_or_default(),
        Side::Callee => request.sender_tag(),
    }
}

pub(super) fn request_uri(request: &Message) -> Uri {
    match request.parsed.start {
        Start::Request { uri } => Uri::parse(&request.bytes, uri).unwrap_or_default(),
        _ => Uri::default(),
    }
}

/// Nothing is ever sent there, whatever a message says.
pub(super) fn is_unroutable(target: SocketAddr) -> bool {
    let broadcast = matches!(target.ip(), std::net::IpAddr::V4(ip) if ip.is_broadcast());
    broadcast || target.ip().is_unspecified() || target.ip().is_multicast() || target.port() == 0
}
