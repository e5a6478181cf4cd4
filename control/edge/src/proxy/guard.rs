//! The core asks the screen (spec §12): who may speak at all, what may be relayed, and what the
//! answers of the upstream say about who asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::route::BAD_TOKEN;
use super::teardown::uri_of;
use super::transit::Cancelled;
use super::{Action, Proxy, request_uri};
use crate::config::{Config, OnBadToken};
use crate::dialog::{Dialog, State};
use crate::guard::{Alerted, Finished};
use crate::limit::Slots;
use crate::limits;
use crate::message::digest::Digest;
use crate::message::uri::unescaped;
use crate::message::{HeaderId, Message, Method, NameAddr, Parsed, Span, Uri};
use crate::record::cdr::{Cdr, EndedBy};
use crate::record::event::Event;
use crate::screen::fingerprint::header_order;
use crate::screen::standing::{Bond, Level};
use crate::screen::verdict::Banned;
use crate::screen::{self, Alert, Answered, Arrival, Credentials, Screen, Seen};
use crate::side::Side;
use crate::stats::DropReason;
use crate::transport::Flow;

/// The screen, and what one shard has to remember for it.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) screen: Arc<Screen>,
    /// Bonds that its table had no place for, which must not be taken back.
    unprotected: HashMap<(SocketAddr, bool), u32, foldhash::quality::RandomState>,
}

/// What an admitted request has beside its message.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// Places in the limits, for the call that it opens.
    slots: Option<Slots>,
    user: Vec<u8>,
    peer: Option<String>,
}

impl Admitted {
    /// The name of the peer that it comes from.
    pub(super) fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }
}

impl Proxy {
    /// Messages are screened from now on.
    pub(crate) fn screened(mut self, screen: Option<Arc<Screen>>) -> Self {
        self.guard = screen.map(|screen| Guard {
            screen,
            unprotected: HashMap::default(),
        });
        self
    }

    pub(super) fn screen(&self) -> Option<Arc<Screen>> {
        self.guard.as_ref().map(|guard| guard.screen.clone())
    }

    fn arrival(&self, source: Flow) -> Arrival {
        let protocol = self.protocol_of(source.listener);
        Arrival {
            source: source.peer,
            zone: u16::try_from(self.zone_of(source)).unwrap_or(u16::MAX),
            protocol: protocol.via(),
            is_stream: protocol.is_stream(),
        }
    }

    /// How much a sender is believed, for the order in which a busy shard reads. Without a screen all
    /// are equal.
    pub(crate) fn level_of(&self, source: Flow, now: Instant) -> Level {
        match &self.guard {
            Some(guard) if !self.is_known(self.zone_of(source)) => {
                guard.screen.level(source.peer, now)
            }
            _ => Level::Trusted,
        }
    }

    /// Whether a message is worth parsing.
    pub(super) fn may_speak(&mut self, now: Instant, source: Flow, bytes: &[u8]) -> bool {
        let Some(screen) = self.screen() else {
            return true;
        };
        let early = screen.judge_before_parsing(&self.arrival(source), bytes, now);
        self.stats.judged(early.stage, &early.action);
        self.tell_ban(early.banned);
        if let Some(alert) = early.alert {
            self.alert(source, alert, None);
        }
        match early.action {
            screen::Action::Pass => return true,
            screen::Action::Close => self.actions.push_back(Action::Close { flow: source }),
            screen::Action::Fake200 => {
                let mut parsed = Parsed::default();
                if parsed.parse(bytes, &self.config.limits).is_ok() {
                    let message = Message {
                        bytes: bytes.into(),
                        parsed,
                    };
                    self.fake(source, &message);
                }
            }
            _ => {}
        }
        self.stats.drop_for(DropReason::Screened);
        false
    }

    /// A message that the parser refused. Whether it may be answered.
    pub(super) fn may_answer_malformed(&mut self, now: Instant, source: Flow) -> bool {
        let Some(screen) = self.screen() else {
            return true;
        };
        let verdict = screen.judge_malformed(&self.arrival(source), now);
        self.stats.judged(verdict.stage, &verdict.action);
        self.tell_ban(verdict.banned);
        for alert in verdict.alerts {
            self.alert(source, alert, None);
        }
        match verdict.action {
            screen::Action::Reject(_) | screen::Action::Pass => return true,
            screen::Action::Close => self.actions.push_back(Action::Close { flow: source }),
            _ => {}
        }
        false
    }

    /// A request that belongs to no transaction. `None`: it was refused, answered or dropped here.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        source: Flow,
        message: &Message,
        known_dialog: bool,
    ) -> Option<Admitted> {
        let Some(screen) = self.screen() else {
            return Some(Admitted::default());
        };
        let (verdict, user) = self.with_seen(source, message, known_dialog, |seen| {
            let verdict = screen.judge(seen, now);
            let user = screen.user(seen, verdict.identity).unwrap_or_default();
            (verdict, user.to_vec())
        });
        self.stats.judged(verdict.stage, &verdict.action);
        self.tell_ban(verdict.banned);
        let admitted = Admitted {
            user,
            peer: screen.peer_name(verdict.identity).map(str::to_owned),
            slots: verdict.slots,
        };
        if let Some(class) = verdict.class {
            self.tell(Event::Limit {
                class,
                user: admitted.user.clone(),
                source: source.peer,
            });
        }
        for alert in verdict.alerts {
            self.alert(source, alert, Some(message));
        }
        match verdict.action {
            screen::Action::Pass => return Some(admitted),
            screen::Action::Answer => {
                self.say_alive(source, message);
                return None;
            }
            screen::Action::Reject(refusal) => {
                let mut extra = String::new();
                if let Some(seconds) = refusal.retry_after {
                    extra = format!("Retry-After: {seconds}\r\n");
                }
                if refusal.allow {
                    let methods = screen.allowed_methods(self.arrival(source).zone);
                    extra.push_str(&format!("Allow: {}\r\n", methods.join(", ")));
                }
                let answer = (refusal.code, refusal.reason);
                self.refuse_screened(now, source, message, answer, extra.as_bytes());
                return None;
            }
            screen::Action::Fake200 => self.fake(source, message),
            screen::Action::Close => self.actions.push_back(Action::Close { flow: source }),
            screen::Action::Drop | screen::Action::Tarpit => {}
        }
        self.stats.drop_for(DropReason::Screened);
        None
    }

    /// A request as the screen sees it.
    pub(super) fn with_seen<R>(
        &self,
        source: Flow,
        message: &Message,
        known_dialog: bool,
        ask: impl FnOnce(&Seen<'_>) -> R,
    ) -> R {
        let bytes = &message.bytes;
        let parts = |uri: Span| {
            let uri = Uri::parse(bytes, uri).unwrap_or_default();
            (unescaped(uri.user.of(bytes)), bare(uri.host.of(bytes)))
        };
        let named = |id: HeaderId| {
            let value = message.values(id).next();
            value
                .and_then(|value| NameAddr::parse(bytes, value))
                .unwrap_or_default()
        };
        let (from, to, contact) = (
            named(HeaderId::From),
            named(HeaderId::To),
            named(HeaderId::Contact),
        );
        let asserted = match message.rows(HeaderId::PAssertedIdentity).next() {
            Some(_) => named(HeaderId::PAssertedIdentity),
            None => named(HeaderId::PPreferredIdentity),
        };
        let uri = request_uri(message);
        let (from_user, from_host) = parts(from.uri);
        let (to_user, to_host) = parts(to.uri);
        let (contact_user, contact_host) = parts(contact.uri);
        let (asserted_user, _) = parts(asserted.uri);
        let ruri_user = unescaped(uri.user.of(bytes));
        let credentials = credentials(message);
        let rows = borrowed(&credentials);
        let (first, others) = split(&rows);
        let aors = self.bindings.lock().aors(source);
        let aors: Vec<&[u8]> = aors.iter().map(|aor| &**aor).collect();
        let names = message.parsed.headers.iter().map(|h| h.name.of(bytes));
        let seen = Seen {
            arrival: self.arrival(source),
            certificate: &[],
            method: message.text(message.parsed.method_name),
            ruri_user: &ruri_user,
            ruri_host: bare(uri.host.of(bytes)),
            from_display: from.display.of(bytes),
            from_user: &from_user,
            from_host,
            to_user: &to_user,
            to_host,
            contact_user: &contact_user,
            contact_host,
            asserted_user: &asserted_user,
            call_id: message.call_id(),
            user_agent: message.value(HeaderId::UserAgent).unwrap_or_default(),
            header_order: header_order(names),
            to_us: self.is_own(bytes, uri.host, uri.port),
            known_dialog,
            answers_us: known_dialog,
            credentials: first.map(|(user, _)| user),
            nonce: first.map_or(b"", |(_, nonce)| nonce),
            others,
            aors: &aors,
            accepted_user: None,
            digest_user: None,
        };
        ask(&seen)
    }

    /// The lie that a request succeeded, unless it were longer than the request.
    fn fake(&mut self, source: Flow, message: &Message) {
        let before = self.actions.len();
        self.reply_stateless(source, message, (200, "OK"), b"");
        let too_long = self.actions.back().is_some_and(|action| match action {
            Action::Send { packet, .. } => !screen::may_fake(packet.len(), message.bytes.len()),
            _ => false,
        });
        if too_long && self.actions.len() > before {
            self.actions.pop_back();
        }
    }

    /// A request came with a token that the edge did not write (spec §10).
    pub(super) fn refuse_token(&mut self, source: Flow, message: &Message) {
        let zone = self.config.zones.get(self.zone_of(source));
        let is_silent = zone.is_some_and(|zone| zone.on_bad_token == OnBadToken::Drop);
        let alert = Alert {
            event: crate::record::security::Event::BadToken,
            action: match is_silent {
                true => "drop",
                false => "reject",
            },
        };
        self.alert(source, alert, Some(message));
        match is_silent || message.method() == Method::Ack {
            true => self.stats.drop_for(DropReason::BadToken),
            false => self.reply_stateless(source, message, BAD_TOKEN, b""),
        }
    }

    /// The upstream's final answer to the request of this transit.
    pub(super) fn note_answer(&mut self, now: Instant, transit: u64, response: &Message) {
        let (Some(screen), Some(transit)) = (self.screen(), self.transits.get(&transit)) else {
            return;
        };
        let code = response.parsed.status();
        if code < 200 || transit.request.parsed.headers.is_empty() {
            return;
        }
        let (source, request) = (transit.source, &transit.request);
        let method = request.text(request.parsed.method_name);
        if code < 300 {
            if method == b"REGISTER" || transit.initial {
                screen.accepted(source.peer, now);
            }
            return;
        }
        let owner = match method {
            b"REGISTER" => request.parsed.to.uri,
            _ => request.parsed.from.uri,
        };
        let mut aor = Vec::new();
        if let Ok(uri) = Uri::parse(&request.bytes, owner) {
            uri.address_of_record(&request.bytes, &mut aor);
        }
        let rows = [HeaderId::WwwAuthenticate, HeaderId::ProxyAuthenticate];
        let rows = rows.into_iter().flat_map(|id| response.rows(id));
        let challenges: Vec<Digest> = rows
            .filter_map(|row| Digest::parse(&response.bytes, row.value))
            .collect();
        let nonces: Vec<_> = challenges
            .iter()
            .filter_map(|challenge| challenge.text(&response.bytes, "nonce"))
            .collect();
        let nonces: Vec<&[u8]> = nonces.iter().map(|nonce| &**nonce).collect();
        let credentials = credentials(request);
        let rows = borrowed(&credentials);
        let (first, others) = split(&rows);
        let answered = Answered {
            arrival: self.arrival(source),
            method,
            code,
            credentials: first.map(|(user, _)| user),
            nonce: first.map_or(b"", |(_, nonce)| nonce),
            others,
            aor: &aor,
            stale: challenges.iter().any(|c| c.is_stale(&response.bytes)),
            challenges: &nonces,
        };
        let verdict = screen.judge_response(&answered, now);
        let banned = verdict.banned;
        if !verdict.alerts.is_empty() {
            let request = Message {
                bytes: request.bytes.clone(),
                parsed: request.parsed.clone(),
            };
            for alert in verdict.alerts {
                self.alert(source, alert, Some(&request));
            }
        }
        self.tell_ban(banned);
    }

    /// A binding or a call is alive at this flow, or is over.
    pub(super) fn protect(&mut self, flow: Flow, bond: Bond, is_alive: bool) {
        let Some(guard) = &mut self.guard else {
            return;
        };
        let key = (flow.peer, bond == Bond::Binding);
        if is_alive {
            if guard.screen.bind(flow.peer, bond).is_err() {
                *guard.unprotected.entry(key).or_default() += 1;
            }
            return;
        }
        match guard.unprotected.get_mut(&key) {
            Some(1) => drop(guard.unprotected.remove(&key)),
            Some(count) => *count -= 1,
            None => guard.screen.unbind(flow.peer, bond),
        }
    }

    fn tell_ban(&mut self, banned: Option<Banned>) {
        if let Some(banned) = banned {
            self.tell(Event::of_ban(&banned));
        }
    }

    fn alert(&mut self, source: Flow, alert: Alert, message: Option<&Message>) {
        if alert.event == crate::record::security::Event::Flood {
            let zone = self.config.zones.get(self.zone_of(source));
            let zone = zone.map_or_else(String::new, |zone| zone.name.clone());
            self.tell(Event::Flood {
                source: source.peer,
                zone,
            });
        }
        let field = |id| {
            let value = message.and_then(|message| message.value(id));
            value.unwrap_or_default().to_vec()
        };
        let part = |span: fn(&Message) -> Span| {
            message.map_or_else(Vec::new, |message| message.text(span(message)).to_vec())
        };
        let alerted = Alerted {
            source: source.peer,
            event: alert.event,
            zone: self.zone_of(source),
            protocol: self.protocol_of(source.listener).via(),
            action: alert.action,
            method: part(|message| message.parsed.method_name),
            ruri: part(Message::request_uri),
            from: field(HeaderId::From),
            to: field(HeaderId::To),
            user_agent: field(HeaderId::UserAgent),
            call_id: field(HeaderId::CallId),
        };
        self.actions.push_back(Action::Alert(Box::new(alerted)));
    }

    /// The call that an admitted INVITE opened keeps its places until it is over.
    pub(super) fn keep_admitted(&mut self, dialog: u64, admitted: Admitted) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        let longest = admitted.slots.as_ref().and_then(Slots::longest);
        call.slots = admitted.slots;
        call.user = admitted.user;
        call.peer = admitted.peer;
        if let Some(longest) = longest {
            call.shorten(longest);
            self.schedule_dialog(dialog);
        }
        self.tell(Event::CallState {
            id: dialog,
            state: "early",
            code: 0,
        });
    }

    /// The final response that the caller of this INVITE gets, and who it is by.
    pub(super) fn note_outcome(&mut self, id: u64, code: u16, reason: &[u8], by: EndedBy) {
        let Some(transit) = self.transits.get(&id).filter(|t| t.initial) else {
            return;
        };
        let by = match transit.cancelled {
            Some(Cancelled::ByCaller(_)) => EndedBy::Caller,
            Some(Cancelled::ByUs(_)) | None => by,
        };
        let initial = transit.dialog;
        let dialog = initial.and_then(|d| self.dialogs.get_mut(&d));
        // What an earlier INVITE of the call still hears, or one that is over, is in no record.
        let dialog = dialog.filter(|d| d.invite == id && d.state != State::Ended);
        if let Some(dialog) = dialog {
            dialog.outcome = (code, reason.into());
            if code >= 300 {
                dialog.ended_by.get_or_insert(by);
            }
        }
    }

    /// The call is over: its places are free, and it has a record, once. A challenge ends no
    /// attempt: the same call comes again with credentials.
    pub(super) fn close_call(&mut self, now: Instant, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        dialog.slots = None;
        let is_first = dialog.state != State::Ended;
        if is_first {
            let code = dialog.outcome.0;
            if let Some((answered, target)) = dialog.answered_at.zip(dialog.target.as_ref()) {
                let talk = now.saturating_duration_since(answered);
                target.live().count_talk(talk);
            }
            self.actions
                .push_back(Action::Tell(Box::new(Event::CallState {
                    id,
                    state: "ended",
                    code,
                })));
        }
        if is_first && !matches!(dialog.outcome.0, 401 | 407) {
            let finished = finished(now, id, dialog, &self.config);
            self.actions.push_back(Action::Record(Box::new(finished)));
        }
    }

    /// The shard stops: no call that is alive will be seen to end, so that its record is written now.
    /// Its parties hear nothing: they may go on by another edge, or by this one when it is back.
    pub(crate) fn close_all(&mut self, now: Instant) {
        let ids: Vec<u64> = self.numbers.iter().copied().collect();
        for id in ids {
            self.close_call_by(now, id, EndedBy::Restart);
            if let Some(dialog) = self.dialogs.get_mut(&id) {
                dialog.state = State::Ended;
            }
        }
    }

    fn close_call_by(&mut self, now: Instant, id: u64, by: EndedBy) {
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.ended_by.get_or_insert(by);
        }
        self.close_call(now, id);
    }
}

/// The record of a call that ends now.
fn finished(now: Instant, id: u64, dialog: &Dialog, config: &Config) -> Finished {
    let zone = |side: Side| {
        let zone = config.zones.get(dialog.party(side).zone);
        zone.map_or_else(String::new, |zone| zone.name.clone())
    };
    let [from, to] = &dialog.ends;
    let (code, reason) = &dialog.outcome;
    let cdr = Cdr {
        id: format!("{id:016x}"),
        call_id: dialog.call_id.to_vec(),
        from_tag: dialog.caller_tag.clone(),
        to_tag: tag_of(to),
        caller: uri_of(from).to_vec(),
        callee: match to.is_empty() {
            true => dialog.request_uri.to_vec(),
            false => uri_of(to).to_vec(),
        },
        ruri: dialog.request_uri.to_vec(),
        src: Some(dialog.party(Side::Caller).flow.peer),
        zone_in: zone(Side::Caller),
        zone_out: zone(Side::Callee),
        user: dialog.user.clone(),
        peer: dialog.peer.clone(),
        target: Some(dialog.party(Side::Callee).flow.peer.to_string()),
        code: *code,
        reason: reason.to_vec(),
        ended_by: dialog.ended_by.unwrap_or_default(),
        q850: dialog.ended.as_ref().map(|ended| ended.q850),
        cause: dialog.ended.as_ref().map(|ended| ended.cause.clone()),
        ..Cdr::default()
    };
    Finished {
        cdr,
        tried: dialog.tried.clone(),
        began: dialog.attempted,
        answered: dialog.answered_at,
        ended: now,
    }
}

pub(super) fn tag_of(value: &[u8]) -> Vec<u8> {
    let addr = NameAddr::parse(value, Span::new(0, value.len())).unwrap_or_default();
    addr.tag.map_or_else(Vec::new, |tag| tag.of(value).to_vec())
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &[u8]) -> &[u8] {
    let inner = host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]"));
    inner.unwrap_or(host)
}

/// Credentials as the screen takes them.
fn borrowed(credentials: &[(Vec<u8>, Vec<u8>)]) -> SmallVec<[Credentials<'_>; 2]> {
    let rows = credentials.iter();
    rows.map(|(user, nonce)| (&**user, &**nonce)).collect()
}

/// The first credentials, and the rest.
fn split<'a>(rows: &'a [Credentials<'a>]) -> (Option<Credentials<'a>>, &'a [Credentials<'a>]) {
    match rows {
        [first, others @ ..] => (Some(*first), others),
        [] => (None, &[]),
    }
}

/// user@realm and nonce of the credentials of a request; empty ones if none is a digest. Who checks
/// them picks a row by its realm (RFC 3261 §22.3): which, is not known.
fn credentials(message: &Message) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = &message.bytes;
    let mut rows = message.rows(HeaderId::Authorization).peekable();
    let has_any = rows.peek().is_some();
    let readable = rows.filter_map(|row| read_credentials(bytes, row.value));
    let mut all: Vec<_> = readable.take(limits::CREDENTIALS).collect();
    if all.is_empty() && has_any {
        all.push(Default::default());
    }
    all
}

fn read_credentials(bytes: &[u8], row: Span) -> Option<(Vec<u8>, Vec<u8>)> {
    let digest = Digest::parse(bytes, row)?;
    let mut user = digest.username(bytes)?.into_owned();
    user.push(b'@');
    user.extend_from_slice(&digest.text(bytes, "realm").unwrap_or_default());
    let nonce = digest.text(bytes, "nonce").unwrap_or_default().into_owned();
    Some((user, nonce))
}
