//! Destination of a request (RFC 3261 §16.4–16.6, spec §6), and the edge's own addresses.

use std::net::SocketAddr;

use super::Proxy;
use crate::cookie::{CookieCheck, DialogCookie};
use crate::dialog::{self, Dialog};
use crate::message::uri::host_to_ip;
use crate::message::{HeaderId, Message, NameAddr, Span, Start, Uri};
use crate::route::Route;
use crate::side::Side;

/// A socket as the core knows it.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Local address that the listener is bound to.
    pub(crate) local: SocketAddr,
    /// `host:port` for Via and Record-Route.
    pub(crate) advertised: String,
    host: String,
    port: u16,
}

impl Listener {
    /// `advertise` is `host`, `host:port`, `[v6]` or `[v6]:port`; by default the bound address.
    pub(crate) fn new(local: SocketAddr, advertise: Option<&str>) -> Self {
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
            local,
            advertised: format!("{host}:{port}"),
            host,
            port,
        }
    }

    fn is(&self, host: &[u8], port: u16) -> bool {
        let same_name = || host.eq_ignore_ascii_case(self.host.as_bytes()) && port == self.port;
        let same_address =
            || host_to_ip(host).is_some_and(|ip| SocketAddr::new(ip, port) == self.local);
        same_name() || same_address()
    }
}

/// The Route header of a request with our own values counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RouteSet {
    /// Number of leading Route values that name the edge: none, one, or two where the call crosses
    /// sockets.
    pub(super) own: usize,
    /// The URI of the first value that is not ours.
    pub(super) next: Option<Uri>,
    pub(super) cookie: Option<CookieCheck>,
}

/// A status code and its reason.
pub(super) type Refusal = (u16, &'static str);

impl Proxy {
    pub(super) fn is_own(&self, bytes: &[u8], host: Span, port: Option<u16>) -> bool {
        let port = port.unwrap_or(5060);
        self.listeners.iter().any(|l| l.is(host.of(bytes), port))
    }

    pub(super) fn route_set(&self, request: &Message) -> RouteSet {
        let mut set = RouteSet::default();
        let bytes = &request.bytes;
        for value in request.values(HeaderId::Route) {
            let addr = NameAddr::parse(bytes, value).unwrap_or_default();
            let uri = Uri::parse(bytes, addr.uri).unwrap_or_default();
            if set.own < 2 && self.is_own(bytes, uri.host, uri.port) {
                set.own += 1;
                if let Some(did) = uri.param(bytes, "did") {
                    let check = DialogCookie::check(did, self.key, request.call_id());
                    set.cookie = set.cookie.or(Some(check));
                }
                continue;
            }
            set.next = Some(uri);
            break;
        }
        set
    }

    /// The address in the Record-Route next to ours on the side of the sender: the first one of a
    /// request, the last one before ours in a response.
    pub(super) fn adjacent_hop(&self, message: &Message) -> Option<SocketAddr> {
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
        uri?.address(bytes)
    }

    /// The call of a request with a To tag, and its sender. Both tags belong to the call, and the
    /// request comes from the party's address or carries the cookie that only its parties have
    /// seen.
    pub(super) fn find_dialog(
        &mut self,
        request: &Message,
        set: &RouteSet,
        source: SocketAddr,
    ) -> Option<(u64, Side)> {
        let (from_tag, to_tag) = (request.sender_tag(), request.to_tag()?);
        let ways = [
            (from_tag, to_tag, Side::Caller),
            (to_tag, from_tag, Side::Callee),
        ];
        for (caller_tag, callee_tag, side) in ways {
            dialog::key(request.call_id(), caller_tag, &mut self.scratch.key);
            let Some(&id) = self.by_call.get(&self.scratch.key[..]) else {
                continue;
            };
            let dialog = self.dialogs.get(&id)?;
            let is_shown = matches!(set.cookie, Some(CookieCheck::Ours(cookie)) if cookie.id == id);
            let is_from_there = dialog.party(side).source == source;
            if dialog.knows_tag(callee_tag) && (is_shown || is_from_there) {
                return Some((id, side));
            }
        }
        None
    }

    /// The way of a request outside a dialog: everything goes to the upstream, and what comes from
    /// the upstream to the address in its Request-URI.
    pub(super) fn route_initial(
        &self,
        request: &Message,
        listener: usize,
        source: SocketAddr,
    ) -> Result<Route, Refusal> {
        let set = self.route_set(request);
        let target = if source == self.config.upstream {
            if !self.config.calls_from_upstream {
                return Err((403, "Forbidden"));
            }
            let uri = set.next.unwrap_or_else(|| request_uri(request));
            let target = uri.address(&request.bytes).ok_or((404, "Not Found"))?;
            if self.is_own(&request.bytes, uri.host, uri.port) || is_unroutable(target) {
                return Err((404, "Not Found"));
            }
            target
        } else if set.next.is_some() {
            // A stranger names no way but ours: the upstream would take it for our own.
            return Err((403, "Forbidden"));
        } else {
            self.config.upstream
        };
        let listener = self
            .listener_toward(target, listener)
            .ok_or((503, "Service Unavailable"))?;
        Ok(Route {
            target,
            listener,
            strip: set.own,
        })
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
            return Err((403, "Forbidden"));
        }
        let party = dialog.party(from.other());
        let bytes = &request.bytes;
        let uri = set.next.unwrap_or_else(|| request_uri(request));
        let behind_nat = set.next.is_none() && party.nat;
        let trusted = dialog.party(from).upstream;
        let target = uri
            .address(bytes)
            .filter(|target| !behind_nat && !is_unroutable(*target))
            .filter(|target| trusted || party.is_at(*target))
            .filter(|_| !self.is_own(bytes, uri.host, uri.port))
            .unwrap_or(party.source);
        let listener = if target.is_ipv4() == party.source.is_ipv4() {
            Some(party.listener)
        } else {
            self.listener_toward(target, party.listener)
        };
        let listener = listener.ok_or((503, "Service Unavailable"))?;
        Ok(Route {
            target,
            listener,
            strip: set.own,
        })
    }

    /// The way of a request with a To tag that belongs to no known call: trusted from the upstream,
    /// and from holders of a cookie we gave out for its Call-ID (subscriptions).
    pub(super) fn route_unknown_dialog(
        &self,
        request: &Message,
        set: &RouteSet,
        listener: usize,
        source: SocketAddr,
    ) -> Result<Route, Refusal> {
        let unknown = (481, "Call/Transaction Does Not Exist");
        match set.cookie {
            Some(CookieCheck::Forged) => return Err((403, "Forbidden")),
            Some(CookieCheck::Ours(_)) => {}
            None if source == self.config.upstream => {}
            None => return Err(unknown),
        }
        // Who is not trusted reaches the upstream only, which routes on.
        let target = if source == self.config.upstream {
            let uri = set.next.unwrap_or_else(|| request_uri(request));
            uri.address(&request.bytes)
                .filter(|target| !is_unroutable(*target))
                .filter(|_| !self.is_own(&request.bytes, uri.host, uri.port))
                .ok_or(unknown)?
        } else {
            self.config.upstream
        };
        let listener = self
            .listener_toward(target, listener)
            .ok_or((503, "Service Unavailable"))?;
        Ok(Route {
            target,
            listener,
            strip: set.own,
        })
    }

    /// The socket from which `target` is reached, given the one the request came by.
    pub(super) fn listener_toward(&self, target: SocketAddr, incoming: usize) -> Option<usize> {
        let reaches = |index: &usize| {
            self.listeners
                .get(*index)
                .is_some_and(|l| l.local.is_ipv4() == target.is_ipv4())
        };
        let upstream = self.config.upstream_listener;
        if target == self.config.upstream {
            if let Some(index) = upstream.filter(reaches) {
                return Some(index);
            }
        } else if upstream == Some(incoming) {
            let other = (0..self.listeners.len()).find(|i| *i != incoming && reaches(i));
            return other.or_else(|| Some(incoming).filter(reaches));
        }
        Some(incoming)
            .filter(reaches)
            .or_else(|| (0..self.listeners.len()).find(reaches))
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
