//! The edits of single headers of a message that crosses: what names hosts, software and other calls.

use super::{Place, Veil};
use crate::config::History;
use crate::dialog::is_behind_nat;
use crate::hide::{Role, Way};
use crate::hygiene::is_charging;
use crate::message::fields::DialogRef;
use crate::message::span::{Cursor, params};
use crate::message::uri::host_to_ip;
use crate::message::{Header, HeaderId, Message, NameAddr, Span, Splices, Uri, values};
use crate::proxy::Proxy;
use crate::proxy::register::replace_uri;
use crate::register::TokenCheck;

impl Proxy {
    pub(super) fn cover(
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
            HeaderId::PAssertedIdentity
            | HeaderId::PPreferredIdentity
            | HeaderId::RemotePartyId
            | HeaderId::ReferredBy
            | HeaderId::ReplyTo
                if rows().any(|value| names_address(bytes, value)) =>
            {
                self.cover_hosts(bytes, header, veil, splices);
            }
            // They are of one network (RFC 7315 §5.6).
            HeaderId::Other if is_charging(message.text(header.name)) => {
                splices.remove(header.row);
            }
            HeaderId::Other if rows().any(|value| names_address(bytes, value)) => {
                let name = message.text(header.name);
                if name.eq_ignore_ascii_case(b"P-Associated-URI") {
                    self.cover_hosts(bytes, header, veil, splices);
                } else if SHOWN.iter().any(|shown| name.eq_ignore_ascii_case(shown)) {
                    splices.remove(header.row);
                }
            }
            HeaderId::ReferTo => self.cover_refer_to(bytes, header.value, veil, splices),
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
    pub(super) fn write_address(&self, veil: &Veil<'_>, user: &[u8], out: &mut Vec<u8>) {
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
                || self.bindings.lock().has(&aor, addr.uri.of(bytes))
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
}

/// Rows whose URIs a phone opens by itself (RFC 3261 §20.4, §20.9, §20.18): one that leads to an address
/// of the other side is of no use on this one.
const SHOWN: [&[u8]; 3] = [b"Alert-Info", b"Call-Info", b"Error-Info"];

/// Whether a URI of any scheme has an address as its host: names may be meant for everybody.
fn names_address(bytes: &[u8], value: Span) -> bool {
    let uri = NameAddr::parse(bytes, value).unwrap_or_default().uri;
    let text = uri.of(bytes);
    let behind = |text: &'_ [u8], mark: &[u8]| {
        let at = text.windows(mark.len()).position(|part| part == mark);
        at.map_or(0, |at| at + mark.len())
    };
    let authority = match memchr::memmem::find(text, b"://") {
        Some(at) => text.get(at + 3..),
        None => text.get(behind(text, b":")..),
    };
    let authority = authority.unwrap_or_default();
    let end = authority
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b';'));
    let authority = authority
        .get(..end.unwrap_or(authority.len()))
        .unwrap_or_default();
    let host = authority.get(behind(authority, b"@")..).unwrap_or_default();
    let end = match host.first() {
        Some(b'[') => host.iter().position(|b| *b == b']').map(|at| at + 1),
        _ => host.iter().position(|b| *b == b':'),
    };
    host_to_ip(host.get(..end.unwrap_or(host.len())).unwrap_or_default()).is_some()
}
