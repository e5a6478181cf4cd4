//! Edits of messages that cross between zones which hide from each other (spec §10), and of headers
//! that do not cross at all (spec §5).
//!
//! Toward the receiver the edge looks like the party itself: one Via, no Record-Route, a Contact of
//! ours. What was replaced is kept where the answer to it finds it: of the sender's request with its
//! transaction ([`Back`]), of the parties with their call, and of dialogs without a call in the
//! Contact itself ([`Way`]).

use std::borrow::Cow;
use std::sync::Arc;

use super::Proxy;
use super::forward::Outgoing;
use super::register::replace_uri;
use super::route::{BAD_TOKEN, Refusal, RouteSet, UNKNOWN, is_unroutable};
use super::teardown::{hop_of, uri_of};
use super::transit::Transit;
use crate::config::{Config, Hiding, History};
use crate::cookie::DialogCookie;
use crate::dialog::{Dialog, Party, is_behind_nat};
use crate::hide::{Hidden, Role, Way, call_id};
use crate::hygiene::{End, Removals};
use crate::limits::HIDDEN_CALL_ID_BYTES;
use crate::message::build::received_via;
use crate::message::fields::DialogRef;
use crate::message::span::{Cursor, params};
use crate::message::{Header, HeaderId, Message, Method, NameAddr, Span, Splices, Uri, values};
use crate::register::TokenCheck;
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
        let shard = (self.shard, self.mask);
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
            let remote = in_dialog.then(|| remote(dialog, side, message));
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

    fn cover(
        &self,
        message: &Message,
        header: &Header,
        veil: &Veil<'_>,
        request: Option<&Message>,
        splices: &mut Splices,
    ) {
        let bytes = &message.bytes;
        let rows = || values(bytes, header.value);
        match header.id {
            HeaderId::Via | HeaderId::RecordRoute => splices.remove(header.row),
            HeaderId::Route if veil.routes.is_some() => splices.remove(header.row),
            // Only of requests from outside does it lead where the receiver may know of.
            HeaderId::Path | HeaderId::ServiceRoute
                if veil.back.is_some() || matches!(veil.contact, Place::Way(..)) =>
            {
                splices.remove(header.row);
            }
            HeaderId::CallId if *veil.call_id != *message.text(header.value) => {
                splices.replace(header.value, &[&veil.call_id]);
            }
            HeaderId::UserAgent | HeaderId::Server => match &veil.settings.agent {
                Some(agent) => splices.replace(header.value, &[agent.as_bytes()]),
                None => splices.remove(header.row),
            },
            HeaderId::Warning => {
                for value in rows() {
                    self.cover_warning(bytes, value, veil, splices);
                }
            }
            HeaderId::HistoryInfo | HeaderId::Diversion => match veil.settings.history {
                History::Keep => {}
                History::Remove => splices.remove(header.row),
                History::Hosts => self.cover_hosts(bytes, header, veil, splices),
            },
            HeaderId::Contact => self.cover_contacts(message, header, veil, request, splices),
            HeaderId::Replaces | HeaderId::Join | HeaderId::TargetDialog
                if veil.settings.call_id =>
            {
                if let Some(named) = DialogRef::parse(bytes, header.value) {
                    let other = self.crossed_call_id(message.text(named.call_id));
                    splices.replace(named.call_id, &[&other]);
                }
            }
            HeaderId::InReplyTo if veil.settings.call_id => {
                for value in rows() {
                    let other = self.crossed_call_id(message.text(value));
                    splices.replace(value, &[&other]);
                }
            }
            HeaderId::ReferTo if veil.settings.call_id => {
                self.cover_refer_to(bytes, header.value, splices);
            }
            _ => {}
        }
    }

    /// A Warning is ours from here on (RFC 3261 §20.43: code, agent, text).
    fn cover_warning(&self, bytes: &[u8], value: Span, veil: &Veil<'_>, splices: &mut Splices) {
        let mut cursor = Cursor::new(bytes, value);
        cursor.take_while(|b| b.is_ascii_digit());
        cursor.skip_lws();
        let agent = cursor.take_while(|b| !b.is_ascii_whitespace() && b != b'"');
        if let Some(us) = self.listener(veil.listener).filter(|_| !agent.is_empty()) {
            splices.replace(agent, &[us.advertised.as_bytes()]);
        }
    }

    /// Hosts of a list of URIs become ours. A row that cannot be read goes.
    fn cover_hosts(&self, bytes: &[u8], row: &Header, veil: &Veil<'_>, splices: &mut Splices) {
        let us = self.listener(veil.listener).map_or("", |us| &us.advertised);
        let uri = |value| {
            let addr = NameAddr::parse(bytes, value)?;
            Some((addr.uri, Uri::parse(bytes, addr.uri).ok()?))
        };
        if values(bytes, row.value).any(|value| uri(value).is_none()) {
            splices.remove(row.row);
            return;
        }
        for (span, uri) in values(bytes, row.value).filter_map(uri) {
            if uri.host.is_empty() {
                // A `tel:` names nobody's network.
                continue;
            }
            let end = match (uri.params.is_empty(), uri.headers.is_empty()) {
                (false, _) => uri.params.from(),
                (true, false) => uri.headers.from().saturating_sub(1),
                (true, true) => span.to(),
            };
            splices.replace(Span::new(uri.host.from(), end), &[us.as_bytes()]);
        }
    }

    /// The call that a REFER is to replace (RFC 3891), in the headers of its URI.
    fn cover_refer_to(&self, bytes: &[u8], value: Span, splices: &mut Splices) {
        let uri = NameAddr::parse(bytes, value).and_then(|addr| addr.to_uri(bytes));
        let Some(uri) = uri else {
            return;
        };
        let text = uri.headers.of(bytes);
        let mut at = uri.headers.from();
        for pair in text.split(|b| *b == b'&') {
            const NAME: &[u8] = b"Replaces=";
            let name = pair.get(..NAME.len()).unwrap_or_default();
            if name.eq_ignore_ascii_case(NAME) {
                let named = pair.get(NAME.len()..).unwrap_or_default();
                let end = call_id_end(named);
                let start = at + NAME.len();
                let plain = unescape(named.get(..end).unwrap_or_default());
                let other = escape(&self.crossed_call_id(&plain));
                splices.replace(Span::new(start, start + end), &[&other]);
            }
            at += pair.len() + 1;
        }
    }

    fn cover_contacts(
        &self,
        message: &Message,
        row: &Header,
        veil: &Veil<'_>,
        request: Option<&Message>,
        splices: &mut Splices,
    ) {
        let bytes = &message.bytes;
        match veil.contact {
            Place::Untouched => return,
            Place::Restored => {
                self.restore_bindings(message, row, request, splices);
                return;
            }
            Place::Call(_) | Place::Way(..) | Place::Address | Place::User => {}
        }
        let mut out = Vec::with_capacity(128);
        for value in values(bytes, row.value) {
            let addr = NameAddr::parse(bytes, value);
            let named = addr.and_then(|addr| Some((addr, addr.to_uri(bytes)?)));
            out.clear();
            match named {
                Some((addr, uri)) => {
                    self.write_contact(message, (&addr, &uri), veil, &mut out);
                    splices.replace(value, &[&out]);
                }
                // `*`, or of a scheme that leads to no host we know.
                None if value.of(bytes) == b"*" => {}
                None => {
                    self.write_address(veil, b"", &mut out);
                    splices.replace(value, &[b"<", &out, b">"]);
                }
            }
        }
    }

    /// Appends a URI of ours with this user.
    fn write_address(&self, veil: &Veil<'_>, user: &[u8], out: &mut Vec<u8>) {
        let mut ours = String::with_capacity(64);
        if let Some(us) = self.listener(veil.listener) {
            us.write_uri("", &mut ours);
        }
        let (scheme, rest) = ours.split_at(ours.find(':').map_or(0, |colon| colon + 1));
        out.extend_from_slice(scheme.as_bytes());
        if !user.is_empty() {
            out.extend_from_slice(user);
            out.push(b'@');
        }
        out.extend_from_slice(rest.as_bytes());
    }

    /// Appends the Contact that takes the place of one.
    fn write_contact(
        &self,
        message: &Message,
        (addr, uri): (&NameAddr, &Uri),
        veil: &Veil<'_>,
        out: &mut Vec<u8>,
    ) {
        let bytes = &message.bytes;
        let keeps_user = !veil.settings.user || matches!(veil.contact, Place::User);
        let user = match keeps_user {
            true => uri.user.of(bytes),
            false => b"",
        };
        out.push(b'<');
        self.write_address(veil, user, out);
        for param in uri.params.of(bytes).split(|b| *b == b';') {
            let name = param.split(|b| *b == b'=').next().unwrap_or_default();
            if !name.is_empty() && veil.settings.passes_uri_param(name) {
                out.push(b';');
                out.extend_from_slice(param);
            }
        }
        match veil.contact {
            Place::Call(cookie) => {
                let mut text = String::with_capacity(40);
                cookie.write(self.tokens.mac(), &veil.call_id, &mut text);
                out.extend_from_slice(b";did=");
                out.extend_from_slice(text.as_bytes());
            }
            Place::Way(role, flow) => {
                let trusted = self.is_known(self.zone_of(flow));
                let way = Way {
                    role,
                    nat: !trusted && is_behind_nat(message, flow.peer),
                    zone: u16::try_from(veil.zone).unwrap_or(u16::MAX),
                    flow,
                    call_id: match role {
                        Role::Caller | Role::Callee if veil.settings.call_id => {
                            message.call_id().into()
                        }
                        _ => Box::default(),
                    },
                    target: addr.uri.of(bytes).into(),
                    routes: match role {
                        Role::Binding => Vec::new(),
                        Role::Caller | Role::Callee => self.routes_beyond(message),
                    },
                };
                let before = out.len();
                out.extend_from_slice(b";way=");
                if !way.write(&veil.call_id, &self.tokens, out) {
                    out.truncate(before);
                }
            }
            Place::Address | Place::User | Place::Restored | Place::Untouched => {}
        }
        out.push(b'>');
        params(Cursor::new(bytes, addr.params), |param| {
            if veil.settings.passes_param(param.name.of(bytes)) {
                out.extend_from_slice(param.whole.of(bytes));
            }
        });
    }

    /// The answer to a registration: a machine inside gets its own Contact again, and a phone hears
    /// of no host but those it named, or that are bound to its address through us.
    fn restore_bindings(
        &self,
        message: &Message,
        row: &Header,
        request: Option<&Message>,
        splices: &mut Splices,
    ) {
        let bytes = &message.bytes;
        let host = |message: &Message, value: Span| {
            let addr = NameAddr::parse(&message.bytes, value)?;
            let uri = addr.to_uri(&message.bytes)?;
            Some(uri.host.of(&message.bytes).to_ascii_lowercase())
        };
        let asked: Vec<_> = request.map_or_else(Vec::new, |request| {
            let contacts = request.values(HeaderId::Contact);
            contacts.filter_map(|value| host(request, value)).collect()
        });
        let mut aor = Vec::new();
        if let Ok(to) = Uri::parse(bytes, message.parsed.to.uri) {
            to.address_of_record(bytes, &mut aor);
        }
        let is_told = |value: Span| {
            let Some(addr) = NameAddr::parse(bytes, value) else {
                return false;
            };
            let uri = Uri::parse(bytes, addr.uri).unwrap_or_default();
            self.is_own(bytes, uri.host, uri.port)
                || self.bindings.has(&aor, addr.uri.of(bytes))
                || host(message, value).is_some_and(|host| asked.contains(&host))
        };
        if !values(bytes, row.value).any(is_told) {
            splices.remove(row.row);
            return;
        }
        let mut end: Option<usize> = None;
        for value in values(bytes, row.value) {
            let told = is_told(value);
            match (told, end) {
                // With the comma before it, or behind it if it is the first.
                (false, Some(end)) => splices.remove(Span::new(end, value.to())),
                (false, None) => {}
                (true, None) => splices.remove(Span::new(row.value.from(), value.from())),
                (true, Some(_)) => {}
            }
            if told || end.is_some() {
                end = Some(value.to());
            }
            let named = NameAddr::parse(bytes, value).filter(|_| told);
            let Some((addr, uri)) = named.and_then(|addr| Some((addr, addr.to_uri(bytes)?))) else {
                continue;
            };
            if let Some(Some(way)) = self.way_in(bytes, &uri, b"") {
                replace_uri(bytes, addr.uri, &way.target, splices);
            } else if let Some(TokenCheck::Ours(token)) = self.aliased(bytes, &uri) {
                replace_uri(bytes, addr.uri, &token.kept, splices);
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
        let party = dialog.party(from.other());
        let (target, routes) = remote(dialog, from, request);
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
fn remote<'a>(dialog: &'a Dialog, from: Side, request: &Message) -> (&'a [u8], &'a [Box<[u8]>]) {
    let party = dialog.party(from.other());
    let hidden = dialog.hidden.as_deref().filter(|_| from == Side::Caller);
    let fork = hidden.and_then(|hidden| hidden.fork(request.to_tag()?));
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

/// Where the Call-ID in an escaped Replaces ends: at its first parameter.
fn call_id_end(text: &[u8]) -> usize {
    let is_end = |at: &usize| {
        let rest = text.get(*at..).unwrap_or_default();
        let escaped = rest.get(..3).unwrap_or_default();
        rest.first() == Some(&b';') || escaped.eq_ignore_ascii_case(b"%3B")
    };
    (0..text.len()).find(is_end).unwrap_or(text.len())
}

/// The text with every `%HH` resolved.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let digits = tail.first_chunk::<2>().filter(|_| *first == b'%');
        let value = digits.and_then(|digits| {
            let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
            u8::try_from(high? << 4 | low?).ok()
        });
        match value {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => out.push(*first),
        }
    }
    out
}

/// A text for a header of a URI (RFC 3261 §25.1, `hvalue`).
fn escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'(' | b')' => out.push(*byte),
            byte if byte.is_ascii_alphanumeric() => out.push(*byte),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}
