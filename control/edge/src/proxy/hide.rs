//! Edits of messages that cross between zones which hide from each other (spec §10), and of headers
//! that do not cross at all (spec §5).
//!
//! Toward the receiver the edge looks like the party itself: one Via, no Record-Route, a Contact of
//! ours. What was replaced is kept where the answer to it finds it: of the sender's request with its
//! transaction ([`Back`]), of the parties with their call, and of dialogs without a call in the
//! Contact itself ([`Way`]).

mod headers;
mod transfer;

use std::borrow::Cow;
use std::sync::Arc;

use super::Proxy;
use super::forward::Outgoing;
use super::route::{BAD_TOKEN, Refusal, RouteSet, UNKNOWN, callee_tag, is_unroutable};
use super::teardown::{hop_of, uri_of};
use super::transit::Transit;
use crate::config::{Config, Hiding};
use crate::cookie::DialogCookie;
use crate::dialog::{Dialog, Party};
use crate::hide::{Hidden, Role, Way, call_id};
use crate::hygiene::{End, Removals};
use crate::limits::HIDDEN_CALL_ID_BYTES;
use crate::message::build::received_via;
use crate::message::{HeaderId, Message, Method, Span, Splices, Uri};
use crate::route::Route;
use crate::side::Side;
use crate::transport::Flow;

/// What the sender of a request hears again in the responses, and nobody else: its Via stack, the
/// Record-Route values that it had, its Call-ID.
#[derive(Debug)]
pub(crate) struct Back {
    text: Box<[u8]>,
    /// The end of the Via rows in `text`, and that of the Record-Route rows; the Call-ID follows.
    vias: usize,
    routes: usize,
    settings: Arc<Hiding>,
    /// Who sent it.
    role: Role,
}

/// What takes the place of a Contact.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Our address with the number of the call.
    Call(DialogCookie),
    /// Our address with the way to the sender, who is at this flow.
    Way(Role, Flow),
    /// Our address.
    Address,
    /// Our address and the user, so that who follows a redirection calls the same by us.
    User,
    /// Those of a registration come back to the phone they are of.
    Restored,
    /// It is left as it is.
    Untouched,
}

/// How a message is changed that crosses.
struct Veil<'a> {
    settings: &'a Hiding,
    /// The Call-ID that the receiver knows.
    call_id: Cow<'a, [u8]>,
    /// The Request-URI and Route values of a request in a dialog.
    uri: Option<&'a [u8]>,
    routes: Option<&'a [Box<[u8]>]>,
    contact: Place,
    /// The socket toward the receiver, and its zone.
    listener: u16,
    zone: usize,
    back: Option<&'a Back>,
}

/// The edits of one message.
pub(super) struct Edits<'a> {
    veil: Option<Veil<'a>>,
    removals: Removals<'a>,
    /// The request that a response answers.
    request: Option<&'a Message>,
}

impl<'a> Edits<'a> {
    pub(super) fn are_hiding(&self) -> bool {
        self.veil.is_some()
    }

    /// What the Request-URI becomes.
    pub(super) fn uri(&self) -> Option<&'a [u8]> {
        self.veil.as_ref()?.uri
    }

    /// Appends the Route rows that take the place of those of the message. False if those stay.
    pub(super) fn write_routes(&self, out: &mut Vec<u8>) -> bool {
        let Some(routes) = self.veil.as_ref().and_then(|veil| veil.routes) else {
            return false;
        };
        for route in routes {
            out.extend_from_slice(b"Route: ");
            out.extend_from_slice(route);
            out.extend_from_slice(b"\r\n");
        }
        true
    }
}

impl Proxy {
    /// How two zones hide from each other.
    fn hiding(&self, one: usize, other: usize) -> Option<&Arc<Hiding>> {
        let joins = |zones: [usize; 2]| zones == [one, other] || zones == [other, one];
        let mut hidings = self.hidings.iter();
        let found = hidings.find(|(zones, _)| joins(*zones));
        found.map(|(_, settings)| settings)
    }

    /// The Call-ID in the place of `text`, for those behind us.
    fn seal_call_id(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        // Of a call that is only named the shard is another one.
        let shard = (self.choice.of_call_id(text), self.choice.mask());
        call_id::write(
            text,
            &self.config.call_id_prefix,
            shard,
            &self.tokens,
            &mut out,
        );
        out
    }

    /// The Call-ID that one of ours stands for.
    pub(super) fn open_call_id(&self, text: &[u8]) -> Option<Vec<u8>> {
        call_id::read(text, &self.config.call_id_prefix, &self.tokens)
    }

    /// A Call-ID inside of a header, as the other side knows it.
    fn crossed_call_id(&self, text: &[u8]) -> Vec<u8> {
        let opened = self.open_call_id(text);
        opened.unwrap_or_else(|| match text.len() > HIDDEN_CALL_ID_BYTES {
            true => b"hidden".to_vec(),
            false => self.seal_call_id(text),
        })
    }

    /// Prepares a request for its way: what the sender gets back, and what its call keeps.
    pub(super) fn begin_hiding(&mut self, transit: &mut Transit) -> Result<(), Refusal> {
        let call = transit.dialog.filter(|_| !transit.initial);
        let hiding = match call.and_then(|id| self.dialogs.get(&id)) {
            // As when it began.
            Some(dialog) => dialog.hidden.as_ref().map(|hidden| &hidden.settings),
            None => self.hiding(self.zone_of(transit.source), transit.route.zone),
        };
        let hiding = hiding.cloned();
        let request = &transit.request;
        let hides_call_id = hiding.as_ref().is_some_and(|settings| settings.call_id);
        if hides_call_id && request.call_id().len() > HIDDEN_CALL_ID_BYTES {
            return Err((400, "Call-ID Too Long"));
        }
        if let Some(settings) = hiding.clone() {
            let way = transit.route.way.as_deref();
            let role = sender_role(way);
            transit.back = Some(Box::new(Back::new(request, transit.source, settings, role)));
        }
        if !transit.initial {
            return Ok(());
        }
        let hidden = hiding.map(|settings| {
            let call_id = match hides_call_id {
                true => self.seal_call_id(request.call_id()).into(),
                false => request.call_id().into(),
            };
            Box::new(Hidden::new(settings, call_id))
        });
        let dialog = transit.dialog.and_then(|id| self.dialogs.get_mut(&id));
        if let Some(dialog) = dialog {
            dialog.hidden = hidden;
        }
        Ok(())
    }

    /// What is changed in a request beside what every proxy does.
    pub(super) fn edits_of_request<'a>(&'a self, out: &Outgoing<'a>) -> Edits<'a> {
        let ends = (
            (self.zone_of(out.source), out.source.peer.ip()),
            (out.route.zone, out.route.flow().peer.ip()),
        );
        Edits {
            veil: self.veil_of_request(out),
            removals: self.hygiene.removals(out.message, ends.0, ends.1),
            request: None,
        }
    }

    fn veil_of_request<'a>(&'a self, out: &Outgoing<'a>) -> Option<Veil<'a>> {
        let message = out.message;
        let in_dialog = message.to_tag().is_some();
        let way = out.route.way.as_deref();
        let of_way = way.map(|way| (&*way.target, &way.routes[..]));
        let (listener, zone) = (out.route.listener(), out.route.zone);
        if let Some((id, side)) = out.call {
            let dialog = self.dialogs.get(&id)?;
            let hidden = dialog.hidden.as_deref()?;
            let call_id = match side {
                Side::Caller => &hidden.call_id,
                Side::Callee => &dialog.call_id,
            };
            let remote = in_dialog.then(|| remote(dialog, side, message.to_tag()));
            let (uri, routes) = remote.or(of_way).unzip();
            return Some(Veil {
                settings: &hidden.settings,
                call_id: Cow::Borrowed(call_id),
                uri,
                routes,
                contact: Place::Call(DialogCookie {
                    shard: self.shard,
                    id,
                }),
                listener,
                zone,
                back: None,
            });
        }
        let settings = self.hiding(self.zone_of(out.source), zone)?;
        let raw = message.call_id();
        let sealed = || Cow::Owned(self.seal_call_id(raw));
        let opened = || self.open_call_id(raw).map(Cow::Owned);
        let known = way
            .map(|way| &*way.call_id)
            .filter(|known| !known.is_empty());
        let call_id = match known {
            _ if !settings.call_id => Cow::Borrowed(raw),
            Some(known) => Cow::Borrowed(known),
            None if !in_dialog => sealed(),
            None => opened().unwrap_or_else(sealed),
        };
        let contact = match message.method() {
            Method::Register if out.registering.is_none() => Place::Way(Role::Binding, out.source),
            Method::Register => Place::Untouched,
            method if in_dialog || method.forms_dialog() => {
                Place::Way(sender_role(way), out.source)
            }
            _ => Place::Address,
        };
        let (uri, routes) = of_way.unzip();
        Some(Veil {
            settings,
            call_id,
            uri,
            routes,
            contact,
            listener,
            zone,
            back: None,
        })
    }

    /// What is changed in a response to the request of a transit.
    pub(super) fn edits_of_response<'a>(
        &'a self,
        transit: &'a Transit,
        message: &Message,
    ) -> Edits<'a> {
        let (route, source) = (&transit.route, transit.source);
        let from = (route.zone, route.flow().peer.ip());
        let to = (self.zone_of(source), source.peer.ip());
        Edits {
            veil: self.veil_of_response(transit, message),
            removals: self.hygiene.removals(message, from, to),
            request: Some(&transit.request).filter(|request| !request.parsed.headers.is_empty()),
        }
    }

    /// What is removed from a response without a transit.
    pub(super) fn edits_between(&self, message: &Message, from: End, to: End) -> Edits<'_> {
        Edits {
            veil: None,
            removals: self.hygiene.removals(message, from, to),
            request: None,
        }
    }

    fn veil_of_response<'a>(&'a self, transit: &'a Transit, message: &Message) -> Option<Veil<'a>> {
        let back = transit.back.as_deref()?;
        let zone = self.zone_of(transit.source);
        // One of a target that was tried before may have come by a zone that hides nothing.
        if message.parsed.vias > 1 && self.hiding(zone, transit.route.zone).is_none() {
            return None;
        }
        let status = message.parsed.status();
        let dialog = transit
            .dialog
            .and_then(|id| Some((id, self.dialogs.get(&id)?)));
        let method = message.method();
        let opens = method.forms_dialog() || transit.request.to_tag().is_some();
        let contact = match dialog.filter(|(_, dialog)| dialog.hidden.is_some()) {
            _ if method == Method::Register => Place::Restored,
            _ if status >= 300 => Place::User,
            Some((id, _)) => Place::Call(DialogCookie {
                shard: self.shard,
                id,
            }),
            None if opens => Place::Way(back.role.other(), transit.route.flow()),
            None => Place::Address,
        };
        Some(Veil {
            settings: &back.settings,
            call_id: Cow::Borrowed(back.call_id()),
            uri: None,
            routes: None,
            contact,
            listener: transit.source.listener,
            zone,
            back: Some(back),
        })
    }

    /// Makes the edits. They come last: no row that goes whole is to be changed before.
    pub(super) fn make_edits(&self, message: &Message, edits: &Edits<'_>, splices: &mut Splices) {
        let Edits {
            veil,
            removals,
            request,
        } = edits;
        if veil.is_none() && removals.is_empty() {
            return;
        }
        for header in &message.parsed.headers {
            if removals.take(header.id, message.text(header.name)) {
                splices.remove(header.row);
            } else if let Some(veil) = veil {
                self.cover(message, header, veil, *request, splices);
            }
        }
    }

    /// The way in a URI of ours: `Some(None)` if there is one that we did not write.
    fn way_in(&self, bytes: &[u8], uri: &Uri, call_id: &[u8]) -> Option<Option<Way>> {
        let text = uri.param(bytes, "way")?;
        let is_ours = self.is_own(bytes, uri.host, uri.port);
        is_ours.then(|| Way::read(text, call_id, &self.tokens))
    }

    /// What a Request-URI of ours says of its way.
    pub(super) fn read_contact(&self, request: &Message, uri: &Uri, set: &mut RouteSet) {
        let bytes = &request.bytes;
        if uri.params.is_empty() || !self.is_own(bytes, uri.host, uri.port) {
            return;
        }
        if let Some(did) = uri.param(bytes, "did") {
            set.cookie = Some(self.tokens.cookie(did, request.call_id()));
            set.is_contact = true;
        }
        set.way = self.way_in(bytes, uri, request.call_id());
    }

    /// The way of a request inside a call whose sides are hidden from each other.
    pub(super) fn route_hidden(
        &self,
        request: &Message,
        dialog: &Dialog,
        from: Side,
    ) -> Result<Route, Refusal> {
        let party = dialog.party_in(from.other(), callee_tag(request, from));
        let (target, routes) = remote(dialog, from, request.to_tag());
        self.toward_hidden(party, target, routes)
    }

    fn toward_hidden(
        &self,
        party: &Party,
        target: &[u8],
        routes: &[Box<[u8]>],
    ) -> Result<Route, Refusal> {
        let hop = match routes.first() {
            Some(route) => hop_of(uri_of(route)),
            None => hop_of(target).filter(|_| !party.nat),
        };
        let is_own = |address| self.listeners.iter().any(|l| l.local == address);
        let hop = hop.filter(|hop| !is_unroutable(hop.address) && !is_own(hop.address));
        self.toward_party(party, hop, 0)
    }

    /// The way of a request that has it in its Request-URI; `None` if it has none.
    pub(super) fn route_by_way(
        &self,
        set: &RouteSet,
        source: Flow,
        is_initial: bool,
    ) -> Option<Result<Route, Refusal>> {
        let way = match &set.way {
            None if set.is_contact && is_initial => return Some(Err(BAD_TOKEN)),
            None => return None,
            Some(None) => return Some(Err(BAD_TOKEN)),
            Some(Some(way)) => way,
        };
        if usize::from(way.zone) != self.zone_of(source) {
            return Some(Err(BAD_TOKEN));
        }
        if is_initial != (way.role == Role::Binding) {
            return Some(Err(UNKNOWN));
        }
        let zone = self.zone_of(way.flow);
        let party = Party {
            flow: way.flow,
            zone,
            trusted: self.is_known(zone),
            nat: way.nat,
            contact: None,
            hop: None,
            target: way.target.clone(),
            routes: way.routes.clone(),
        };
        let route = self.toward_hidden(&party, &way.target, &way.routes);
        Some(route.map(|mut route| {
            route.strip = set.own;
            route.way = Some(Box::new(way.clone()));
            route
        }))
    }

    /// Learns where the callees of a hidden call are; `response` opens a dialog with one of them, or
    /// accepts a change by the side that `request` is of.
    pub(super) fn learn_callee(&mut self, transit: u64, response: &Message) {
        let status = response.parsed.status();
        let changes = matches!(response.method(), Method::Invite | Method::Update);
        let Some(transit) = self.transits.get(&transit).filter(|_| changes) else {
            return;
        };
        let (request, side, initial) = (&transit.request, transit.side, transit.initial);
        let dialog = transit.dialog.and_then(|id| self.dialogs.get(&id));
        if dialog.is_none_or(|dialog| dialog.hidden.is_none()) {
            return;
        }
        let routes = self.routes_beyond(response);
        let Some(dialog) = transit.dialog.and_then(|id| self.dialogs.get_mut(&id)) else {
            return;
        };
        if !(101..300).contains(&status) || !initial && status < 200 {
            return;
        }
        let tag = response.to_tag().unwrap_or_default();
        match side {
            Side::Caller => {
                let (Some(hidden), Some(target)) = (&mut dialog.hidden, response.contact_uri())
                else {
                    return;
                };
                hidden.learn(tag, target, initial.then_some(routes));
            }
            Side::Callee => {
                if let (Some(hidden), Some(target)) = (&mut dialog.hidden, request.contact_uri()) {
                    hidden.learn(request.sender_tag(), target, None);
                }
                if dialog.hidden.is_some()
                    && let Some(target) = response.contact_uri()
                {
                    dialog.move_caller(target);
                }
            }
        }
    }
}

impl Back {
    fn new(request: &Message, source: Flow, settings: Arc<Hiding>, role: Role) -> Self {
        let bytes = &request.bytes;
        let mut text = Vec::with_capacity(256);
        let top = request.parsed.via;
        for row in request.rows(HeaderId::Via) {
            if row.value.from() <= top.value.from() && top.value.to() <= row.value.to() {
                text.extend_from_slice(Span::new(row.row.from(), top.value.from()).of(bytes));
                text.extend_from_slice(&received_via(bytes, &top, source.peer));
                text.extend_from_slice(Span::new(top.value.to(), row.row.to()).of(bytes));
            } else {
                text.extend_from_slice(row.row.of(bytes));
            }
        }
        let vias = text.len();
        for row in request.rows(HeaderId::RecordRoute) {
            text.extend_from_slice(row.row.of(bytes));
        }
        let routes = text.len();
        text.extend_from_slice(request.call_id());
        Self {
            text: text.into(),
            vias,
            routes,
            settings,
            role,
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Its Via rows.
    pub(super) fn vias(&self) -> &[u8] {
        Span::new(0, self.vias).of(&self.text)
    }

    /// Its Record-Route rows.
    pub(super) fn routes(&self) -> &[u8] {
        Span::new(self.vias, self.routes).of(&self.text)
    }

    fn call_id(&self) -> &[u8] {
        Span::new(self.routes, self.text.len()).of(&self.text)
    }
}

/// Pairs of zones that hide from each other.
pub(super) type Hidings = Vec<([usize; 2], Arc<Hiding>)>;

pub(super) fn hidings(config: &Config) -> Hidings {
    let links = config.links.iter();
    let hiding = links.filter_map(|link| Some((link.zones, link.hide.clone()?.into())));
    hiding.collect()
}

/// The party that sends a request by a way.
fn sender_role(way: Option<&Way>) -> Role {
    match way.map(|way| way.role) {
        Some(Role::Caller) => Role::Callee,
        Some(Role::Callee | Role::Binding) | None => Role::Caller,
    }
}

/// Where a request of `from` inside a call goes: the URI that its receiver named, and the way there.
/// `to_tag` is the receiver's.
fn remote<'a>(
    dialog: &'a Dialog,
    from: Side,
    to_tag: Option<&[u8]>,
) -> (&'a [u8], &'a [Box<[u8]>]) {
    let party = dialog.party(from.other());
    let hidden = dialog.hidden.as_deref().filter(|_| from == Side::Caller);
    let fork = hidden.and_then(|hidden| hidden.fork(to_tag?));
    let (target, routes) = match fork {
        Some(fork) => (&*fork.target, &fork.routes[..]),
        None => (&*party.target, &party.routes[..]),
    };
    match target.is_empty() {
        // It named none yet; what was called is as near.
        true => (&dialog.request_uri, routes),
        false => (target, routes),
    }
}
