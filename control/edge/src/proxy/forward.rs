//! Outgoing messages: the received bytes with splices (RFC 3261 §16.6, §16.7).

use super::hide::Edits;
use super::transit::Transit;
use super::{Listener, Proxy, Registering};
use crate::cookie::{Branch, DialogCookie};
use crate::dialog::is_behind_nat;
use crate::hygiene::End;
use crate::message::build::{self, received_via};
use crate::message::{Header, HeaderId, Message, Method, Span, Splices, Start, values};
use crate::register::FlowToken;
use crate::route::Route;
use crate::side::Side;
use crate::transport::Flow;

/// A request about to leave.
pub(super) struct Outgoing<'a> {
    pub(super) message: &'a Message,
    pub(super) source: Flow,
    pub(super) route: &'a Route,
    pub(super) branch: Branch,
    /// Record-Route it: the socket it came by and the dialog number in the cookie.
    pub(super) record: Option<(u16, u64)>,
    pub(super) registering: Option<&'a Registering>,
    /// Rows that are added at the end.
    pub(super) rows: &'a str,
    /// The call that it belongs to, and its sender.
    pub(super) call: Option<(u64, Side)>,
    pub(super) sdp: Option<(Span, &'a [u8])>,
}

impl Proxy {
    /// Appends our Via of a request that leaves by `listener` (RFC 3261 §16.6 step 8, RFC 3581).
    fn write_via(&self, listener: u16, branch: Branch, out: &mut String) {
        let listener = self.listener(listener);
        let protocol = listener.map_or("UDP", |l| l.protocol.via());
        let sent_by = listener.map_or("", |l| &l.advertised);
        out.extend(["Via: SIP/2.0/", protocol, " ", sent_by, ";rport;branch="]);
        branch.write(self.key, out);
        out.push_str("\r\n");
    }

    /// The Via of a request of our own.
    pub(super) fn own_via(&self, listener: u16, transaction: u64) -> String {
        let branch = Branch {
            shard: self.shard,
            transaction,
            loop_hash: 0,
        };
        let mut via = String::new();
        self.write_via(listener, branch, &mut via);
        via
    }

    /// A response of our own; `extra` is whole rows.
    pub(super) fn own_response(
        &self,
        request: &Message,
        source: Flow,
        answer: (u16, &str),
        tag: Option<&str>,
        extra: &[u8],
    ) -> Vec<u8> {
        let server = match &*self.config.server_header {
            "" => return build::response(request, source.peer, answer, tag, extra),
            server => format!("Server: {server}\r\n"),
        };
        let rows = [extra, server.as_bytes()].concat();
        build::response(request, source.peer, answer, tag, &rows)
    }

    /// An OPTIONS of our own, whose answer is only that somebody is there; empty if there is no such
    /// listener.
    pub(super) fn options(
        &mut self,
        uri: &str,
        max_forwards: u8,
        listener: u16,
        transaction: u64,
    ) -> Vec<u8> {
        let (call, tag) = (self.own_call_id(), self.tag());
        let via = self.own_via(listener, transaction);
        let Some(Listener { advertised: us, .. }) = self.listener(listener) else {
            return Vec::new();
        };
        format!(
            "OPTIONS {uri} SIP/2.0\r\n{via}Max-Forwards: {max_forwards}\r\n\
             From: <sip:{us}>;tag={tag}\r\nTo: <{uri}>\r\nCall-ID: {call}\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    pub(super) fn compose_request(&mut self, out: &Outgoing<'_>) -> Vec<u8> {
        let mut splices = std::mem::take(&mut self.scratch.splices);
        let mut text = std::mem::take(&mut self.scratch.text);
        splices.clear();
        text.clear();
        let message = out.message;
        let bytes = &message.bytes;
        let parsed = &message.parsed;
        let edits = self.edits_of_request(out);

        let rows = |id: HeaderId| parsed.headers.iter().find(move |h| h.id == id);
        let top = rows(HeaderId::Via).map_or(parsed.headers_end, |h| h.row.from());
        if let Some((incoming, id)) = out.record.filter(|_| !edits.are_hiding()) {
            let at = rows(HeaderId::RecordRoute).map_or(top, |h| h.row.from());
            let token = self.token_for(message, out.source);
            self.record_route(
                message.call_id(),
                (incoming, out.route.listener()),
                (id, &token),
                &mut text,
            );
            splices.insert(at, &[text.as_bytes()]);
            text.clear();
        }
        self.write_via(out.route.listener(), out.branch, &mut text);
        splices.insert(top, &[text.as_bytes()]);
        let hops = match parsed.max_forwards {
            Some((_, n)) => n.saturating_sub(1).min(self.config.max_forwards),
            None => self.config.max_forwards,
        };
        let hops = hops.to_string();
        match parsed.max_forwards {
            Some((span, _)) => splices.replace(span, &[hops.as_bytes()]),
            None => splices.insert(top, &[b"Max-Forwards: ", hops.as_bytes(), b"\r\n"]),
        }
        let via = parsed.via;
        let is_changed = via.rport.is_some()
            || via.received.is_some()
            || via.host_ip(bytes) != Some(out.source.peer.ip());
        if is_changed && !edits.are_hiding() {
            splices.replace(via.value, &[&received_via(bytes, &via, out.source.peer)]);
        }
        let new = edits.uri().or(out.route.uri.as_deref());
        if let (Some(new), Start::Request { uri }) = (new, parsed.start) {
            splices.replace(uri, &[new]);
        }
        if let Some(registering) = out.registering {
            let ways = (out.source, out.route.listener());
            self.write_way_back(message, registering, ways, top, &mut splices);
        }
        let mut routes = Vec::new();
        if edits.write_routes(&mut routes) {
            splices.insert(top, &[&routes]);
        } else {
            strip_values(
                bytes,
                &parsed.headers,
                HeaderId::Route,
                out.route.strip,
                &mut splices,
            );
        }
        splices.insert(parsed.headers_end, &[out.rows.as_bytes()]);
        replace_sdp(message, out.sdp, &mut splices);
        self.make_edits(message, &edits, &mut splices);
        let packet = splices.render(bytes, parsed.body.to());
        drop(edits);
        self.scratch.splices = splices;
        self.scratch.text = text;
        packet
    }

    /// The flow of a request in its Record-Route (RFC 5626 §5.2), where the Contact does not lead to
    /// the sender. A call knows the flows of its parties; what other requests open is not kept.
    fn token_for(&self, message: &Message, source: Flow) -> String {
        let mut token = String::new();
        let is_stream = self.protocol_of(source.listener).is_stream();
        let is_bound = is_stream || is_behind_nat(message, source.peer);
        if message.method() != Method::Invite && is_bound && !self.is_known(self.zone_of(source)) {
            FlowToken::write(source, b"", self.tokens.mac(), &mut token);
        }
        token
    }

    /// Record-Route rows: one if the request leaves by the socket it arrived on, else two (RFC
    /// 5658), the outgoing one first.
    fn record_route(
        &self,
        call_id: &[u8],
        (incoming, outgoing): (u16, u16),
        (id, token): (u64, &str),
        text: &mut String,
    ) {
        let twice = incoming != outgoing;
        let pair = [outgoing, incoming];
        for index in pair.into_iter().take(if twice { 2 } else { 1 }) {
            text.push_str("Record-Route: <");
            if let Some(listener) = self.listener(index) {
                let user = if index == incoming { token } else { "" };
                listener.write_uri(user, text);
            }
            text.push_str(";lr");
            if twice {
                text.push_str(";r2=on");
            }
            text.push_str(";did=");
            DialogCookie {
                shard: self.shard,
                id,
            }
            .write(self.tokens.mac(), call_id, text);
            text.push_str(">\r\n");
        }
    }

    /// A response to the request of a transit, without our Via, with more rows.
    pub(super) fn compose_response(
        &self,
        transit: &Transit,
        message: &Message,
        rows: &str,
        sdp: Option<(Span, &[u8])>,
        splices: &mut Splices,
    ) -> Vec<u8> {
        let edits = self.edits_of_response(transit, message);
        self.splice_response(message, &edits, splices);
        let back = transit.back.as_deref().filter(|_| edits.are_hiding());
        if let Some(back) = back {
            let parsed = &message.parsed;
            let top = parsed.headers.iter().find(|h| h.id == HeaderId::Via);
            let top = top.map_or(parsed.headers_end, |h| h.row.from());
            let opens = message.method().forms_dialog() && (101..300).contains(&parsed.status());
            let routes = if opens { back.routes() } else { b"" };
            splices.insert(top, &[back.vias(), routes]);
        } else {
            let headers = &message.parsed.headers;
            strip_values(&message.bytes, headers, HeaderId::Via, 1, splices);
        }
        splices.insert(message.parsed.headers_end, &[rows.as_bytes()]);
        replace_sdp(message, sdp, splices);
        self.make_edits(message, &edits, splices);
        splices.render(&message.bytes, message.parsed.body.to())
    }

    /// A response whose transaction is gone, without our Via.
    pub(super) fn compose_late_response(
        &mut self,
        (from, to): (End, End),
        message: &Message,
        sdp: Option<(Span, &[u8])>,
    ) -> Vec<u8> {
        let mut splices = std::mem::take(&mut self.scratch.splices);
        let edits = self.edits_between(message, from, to);
        self.splice_response(message, &edits, &mut splices);
        let headers = &message.parsed.headers;
        strip_values(&message.bytes, headers, HeaderId::Via, 1, &mut splices);
        replace_sdp(message, sdp, &mut splices);
        self.make_edits(message, &edits, &mut splices);
        let packet = splices.render(&message.bytes, message.parsed.body.to());
        drop(edits);
        self.scratch.splices = splices;
        packet
    }

    /// What is the same for all responses. A 503 of the upstream speaks of the upstream, not of us,
    /// and becomes 500 (RFC 3261 §16.7 step 6).
    fn splice_response(&self, message: &Message, edits: &Edits<'_>, splices: &mut Splices) {
        splices.clear();
        let parsed = &message.parsed;
        if parsed.status() == 503 {
            let line = parsed.start_line;
            splices.replace(
                Span::new(line.from() + 8, line.to()),
                &[b"500 Server Internal Error"],
            );
        }
        if message.method() == Method::Register && !edits.are_hiding() {
            self.restore_contacts(message, splices);
        }
    }
}

/// Removes the first `count` values of a header; a row that loses all its values goes whole.
fn strip_values(
    bytes: &[u8],
    headers: &[Header],
    id: HeaderId,
    mut count: usize,
    splices: &mut Splices,
) {
    for header in headers.iter().filter(|h| h.id == id) {
        if count == 0 {
            return;
        }
        let mut kept = None;
        let mut removed = 0;
        for value in values(bytes, header.value) {
            if removed < count {
                removed += 1;
            } else {
                kept = Some(value);
                break;
            }
        }
        count -= removed;
        match kept {
            Some(kept) => splices.remove(Span::new(header.value.from(), kept.from())),
            None => splices.remove(header.row),
        }
    }
}

/// Puts the relay's SDP in the place of the sender's; the rest of the body stays.
fn replace_sdp(message: &Message, sdp: Option<(Span, &[u8])>, splices: &mut Splices) {
    let Some((old, new)) = sdp else {
        return;
    };
    let parsed = &message.parsed;
    let body = parsed.body.to() - parsed.body.from();
    let length = (body + new.len())
        .saturating_sub(old.to() - old.from())
        .to_string();
    let mut found = false;
    for row in message.rows(HeaderId::ContentLength) {
        splices.replace(row.value, &[length.as_bytes()]);
        found = true;
    }
    if !found {
        splices.insert(
            parsed.headers_end,
            &[b"Content-Length: ", length.as_bytes(), b"\r\n"],
        );
    }
    splices.replace(old, &[new]);
}
