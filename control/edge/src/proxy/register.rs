//! Registrations on their way (spec §8): Path and alias on the way out, the grants on the way back,
//! and the flows of phones that are called by a token.

use std::time::{Duration, Instant};

use super::route::{BAD_TOKEN, Refusal};
use super::{Proxy, request_uri};
use crate::config::{PingMethod, RegisterMode};
use crate::dialog::is_behind_nat;
use crate::limits;
use crate::message::span::{Cursor, number, params};
use crate::message::{HeaderId, Message, NameAddr, Span, Splices, Uri};
use crate::record::event::Event;
use crate::register::{Due, FlowToken, Pings, TokenCheck};
use crate::transport::Flow;

/// What a REGISTER asks for.
#[derive(Debug)]
pub(crate) struct Registering {
    aor: Box<[u8]>,
    /// URIs of its Contacts as they came, and as they leave.
    contacts: Vec<Asked>,
    /// All bindings are to go.
    star: bool,
    /// The phone is behind NAT, and not on a stream.
    nat: bool,
}

/// The URI of a Contact as it came and as it leaves.
type Asked = (Box<[u8]>, Box<[u8]>);

impl Proxy {
    fn pings(&self) -> Pings {
        let register = &self.config.register;
        Pings {
            pause: register.nat_ping,
            answered: register.nat_ping_method == PingMethod::Options,
        }
    }

    /// Looks at a REGISTER that is to go by `outgoing`; `None` if it passes as any other request.
    pub(super) fn registering(
        &self,
        message: &Message,
        source: Flow,
        outgoing: u16,
    ) -> Result<Option<Registering>, Refusal> {
        let settings = &self.config.register;
        if settings.mode == RegisterMode::Off || self.is_inside(self.zone_of(source)) {
            return Ok(None);
        }
        let bytes = &message.bytes;
        let of = |addr: NameAddr| address_of_record(bytes, addr.uri);
        let (Some(to), from) = (of(message.parsed.to), of(message.parsed.from)) else {
            return Err((400, "Bad To"));
        };
        let domain = to.rsplit(|b| *b == b'@').next().unwrap_or_default();
        let is_served = |served: &String| served.as_bytes() == domain;
        if !settings.domains.is_empty() && !settings.domains.iter().any(is_served) {
            return Err((403, "Domain Not Served Here"));
        }
        let is_third_party = from.as_ref() != Some(&to);
        if is_third_party && !settings.third_party && !self.is_known(self.zone_of(source)) {
            return Err((403, "Third-Party Registration"));
        }
        let mut contacts: Vec<Asked> = Vec::new();
        let mut star = false;
        for value in message.values(HeaderId::Contact) {
            if message.text(value) == b"*" {
                star = true;
                continue;
            }
            let addr = NameAddr::parse(bytes, value).ok_or((400, "Bad Contact"))?;
            let uri = addr.uri.of(bytes);
            let sent = match settings.mode {
                RegisterMode::Alias => self.alias(bytes, addr.uri, source, outgoing)?,
                _ => uri.to_vec(),
            };
            contacts.push((uri.into(), sent.into()));
        }
        if contacts.len() > limits::REGISTERED_CONTACTS {
            return Err((400, "Too Many Contacts"));
        }
        let own = contacts.iter().map(|(uri, _)| &**uri);
        let all = self.bindings.lock().others(&to, own) + contacts.len();
        if all > settings.max_contacts_per_aor {
            return Err((403, "Too Many Contacts"));
        }
        if self.bindings.lock().len() + contacts.len() > settings.max_bindings {
            return Err((503, "Service Unavailable"));
        }
        let is_stream = self.protocol_of(source.listener).is_stream();
        Ok(Some(Registering {
            aor: to.into(),
            contacts,
            star,
            nat: !is_stream && is_behind_nat(message, source.peer),
        }))
    }

    /// The URI by which a phone is called through the edge: user and parameters stay, host and port
    /// are ours, and the `alias` holds the flow and the URI itself.
    fn alias(
        &self,
        bytes: &[u8],
        span: Span,
        source: Flow,
        outgoing: u16,
    ) -> Result<Vec<u8>, Refusal> {
        let bad = (400, "Bad Contact");
        let uri = Uri::parse(bytes, span).map_err(|_| bad)?;
        let text = span.of(bytes);
        if uri.host.is_empty() || !uri.headers.is_empty() {
            return Err(bad);
        }
        if text.len() > limits::ALIASED_URI_BYTES {
            return Err((400, "Contact Too Long"));
        }
        let mut out = String::new();
        let mut token = String::new();
        FlowToken::write(source, text, self.tokens.mac(), &mut token);
        if let Some(listener) = self.listener(outgoing) {
            listener.write_uri("", &mut out);
        }
        let (scheme, rest) = out.split_at(out.find(':').map_or(0, |colon| colon + 1));
        let mut alias = scheme.as_bytes().to_vec();
        alias.extend_from_slice(uri.userinfo.of(bytes));
        alias.extend_from_slice(rest.as_bytes());
        let kept = uri.params.of(bytes).split(|b| *b == b';');
        for param in kept.filter(|param| !param.is_empty()) {
            let name = param.split(|b| *b == b'=').next().unwrap_or_default();
            let is_of_way = [&b"transport"[..], b"maddr", b"alias"]
                .iter()
                .any(|way| name.eq_ignore_ascii_case(way));
            if !is_of_way {
                alias.push(b';');
                alias.extend_from_slice(param);
            }
        }
        alias.extend_from_slice(b";alias=");
        alias.extend_from_slice(token.as_bytes());
        Ok(alias)
    }

    /// Adds what leads calls back to the phone.
    pub(super) fn write_way_back(
        &self,
        message: &Message,
        registering: &Registering,
        (source, outgoing): (Flow, u16),
        top: usize,
        splices: &mut Splices,
    ) {
        match self.config.register.mode {
            RegisterMode::Off => {}
            RegisterMode::Path => {
                let mut token = String::new();
                FlowToken::write(source, b"", self.tokens.mac(), &mut token);
                let twice = source.listener != outgoing;
                let mut text = String::from("Path: ");
                let pair = [outgoing, source.listener];
                for (n, index) in pair.iter().take(if twice { 2 } else { 1 }).enumerate() {
                    text.push_str(if n > 0 { ", <" } else { "<" });
                    if let Some(listener) = self.listener(*index) {
                        listener.write_uri(&token, &mut text);
                    }
                    text.push_str(if twice { ";lr;ob;r2=on>" } else { ";lr;ob>" });
                }
                text.push_str("\r\n");
                splices.insert(top, &[text.as_bytes()]);
            }
            RegisterMode::Alias => {
                let values = message.values(HeaderId::Contact);
                let addrs = values.filter_map(|value| NameAddr::parse(&message.bytes, value));
                for (addr, (_, alias)) in addrs.zip(&registering.contacts) {
                    replace_uri(&message.bytes, addr.uri, alias, splices);
                }
            }
        }
    }

    /// Puts the phones' own URIs in the place of our aliases in the answer of a registrar.
    pub(super) fn restore_contacts(&self, message: &Message, splices: &mut Splices) {
        let bytes = &message.bytes;
        for value in message.values(HeaderId::Contact) {
            let addr = NameAddr::parse(bytes, value).unwrap_or_default();
            let uri = Uri::parse(bytes, addr.uri).unwrap_or_default();
            if let Some(TokenCheck::Ours(token)) = self.aliased(bytes, &uri) {
                replace_uri(bytes, addr.uri, &token.kept, splices);
            }
        }
    }

    /// The alias in a URI of ours.
    pub(super) fn aliased(&self, bytes: &[u8], uri: &Uri) -> Option<TokenCheck> {
        let text = uri.param(bytes, "alias")?;
        let own = self.is_own(bytes, uri.host, uri.port);
        own.then(|| self.tokens.flow(text))
    }

    /// The flow that a Request-URI of ours names, and the URI that the phone knows.
    pub(super) fn called_alias(&self, request: &Message) -> Result<Option<Alias>, Refusal> {
        let uri = request_uri(request);
        match self.aliased(&request.bytes, &uri) {
            None | Some(TokenCheck::Other) => Ok(None),
            Some(TokenCheck::Forged) => Err(BAD_TOKEN),
            Some(TokenCheck::Ours(token)) => Ok(Some((token.flow, token.kept.into()))),
        }
    }

    /// The registrar's 2xx: what it granted.
    pub(super) fn learn_bindings(
        &mut self,
        now: Instant,
        source: Flow,
        asked: &Registering,
        response: &Message,
    ) {
        if asked.star {
            self.bindings.lock().remove_all(&asked.aor);
            self.tell_registration(&asked.aor, source, "removed");
        }
        let bytes = &response.bytes;
        let general = response.rows(HeaderId::Expires).next();
        let general = general.map(|row| seconds(response.text(row.value)));
        for (contact, sent) in &asked.contacts {
            let granted = response.values(HeaderId::Contact).find_map(|value| {
                let addr = NameAddr::parse(bytes, value)?;
                let is_it = addr.uri.of(bytes) == &**sent || same_uri(bytes, addr.uri, sent);
                is_it.then(|| expires(bytes, value, addr.uri).or(general))
            });
            match granted {
                Some(term) if term != Some(0) => {
                    let term = Duration::from_secs(term.unwrap_or(3600).into());
                    let bound = (&*asked.aor, &**contact, source);
                    self.bindings.lock().renew(self.shard, bound, now + term);
                    self.tell_registration(&asked.aor, source, "registered");
                }
                _ => {
                    self.bindings.lock().remove(&asked.aor, contact);
                    self.tell_registration(&asked.aor, source, "removed");
                }
            }
        }
        if asked.nat {
            let spread = self.unique() >> 8;
            let pings = self.pings();
            self.bindings.lock().keep(source, now, spread, pings);
        }
    }

    fn tell_registration(&mut self, aor: &[u8], source: Flow, state: &'static str) {
        self.tell(Event::Registration {
            aor: aor.to_vec(),
            source: source.peer,
            state,
        });
    }

    pub(super) fn on_bindings_timeout(&mut self, now: Instant) {
        let pings = self.pings();
        let due = |proxy: &Self| proxy.bindings.lock().handle_timeout(now, pings);
        while let Some(due) = due(self) {
            match due {
                Due::Ping(flow) => {
                    let packet = match self.config.register.nat_ping_method {
                        PingMethod::Crlf => b"\r\n\r\n".to_vec(),
                        PingMethod::Options => {
                            // The phone is the next hop.
                            let uri = format!("sip:{}", flow.peer);
                            self.options(&uri, 1, flow.listener, PING)
                        }
                    };
                    self.send(flow.into(), packet.into());
                }
                Due::Dead(flow) => {
                    tracing::info!(peer = %flow.peer, "phone does not answer; its binding is gone");
                    self.tell_registration(b"", flow, "dead");
                }
            }
        }
    }
}

/// A flow, and the URI that the phone behind it knows.
type Alias = (Flow, Box<[u8]>);

/// The transaction that answers to pings name.
pub(super) const PING: u64 = 0;

/// What a registration is for: user and host of a URI as the registrar compares them.
fn address_of_record(bytes: &[u8], span: Span) -> Option<Vec<u8>> {
    let mut aor = Vec::new();
    Uri::parse(bytes, span)
        .ok()?
        .address_of_record(bytes, &mut aor);
    Some(aor)
}

/// Whether a URI is the one that was sent, however a registrar writes it (RFC 3261 §10.2.4).
fn same_uri(bytes: &[u8], uri: Span, sent: &[u8]) -> bool {
    let sent_uri = Uri::parse(sent, Span::new(0, sent.len()));
    let pair = Uri::parse(bytes, uri).ok().zip(sent_uri.ok());
    pair.is_some_and(|(uri, sent_uri)| uri.equals(bytes, &sent_uri, sent))
}

/// Puts another URI in the place of one, in brackets: parameters behind it are the header's.
pub(super) fn replace_uri(bytes: &[u8], old: Span, new: &[u8], splices: &mut Splices) {
    let is_bare = old.from().checked_sub(1).and_then(|at| bytes.get(at)) != Some(&b'<');
    match is_bare {
        true => splices.replace(old, &[b"<", new, b">"]),
        false => splices.replace(old, &[new]),
    }
}

/// The `expires` parameter of a Contact, in seconds.
fn expires(bytes: &[u8], value: Span, uri: Span) -> Option<u32> {
    let mut cursor = Cursor::new(bytes, Span::new(uri.to(), value.to()));
    cursor.eat(b'>');
    let mut found = None;
    params(cursor, |param| {
        if param.name.of(bytes).eq_ignore_ascii_case(b"expires") {
            found = found.or(param.value);
        }
    });
    found.map(|value| seconds(value.of(bytes)))
}

/// A number of seconds; what is no number counts as an hour (RFC 3261 §10.3 step 7), what is too
/// large as the most.
fn seconds(text: &[u8]) -> u32 {
    if text.is_empty() || text.iter().any(|b| !b.is_ascii_digit()) {
        return 3600;
    }
    number(text, u32::MAX.into()).map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX))
}
