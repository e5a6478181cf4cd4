//! Attended transfer (RFC 5589 §7) of calls whose sides are hidden from each other.
//!
//! A party says in a REFER whom to call and which of its calls that call replaces: the Contact that it
//! knows, which is ours, and the Call-ID that it knows. Its receiver gets what it can use in their
//! place. Where it is in the network of the party to be called, and that is trusted, this is the party
//! itself; elsewhere it is a Contact of ours again, and the INVITE that comes to it, with Replaces (RFC
//! 3891), goes to the party. Tags are the same on both sides.

use super::{Veil, remote};
use crate::cookie::{CookieCheck, DialogCookie};
use crate::dialog::{Dialog, State};
use crate::message::fields::DialogRef;
use crate::message::{HeaderId, Message, NameAddr, Span, Splices};
use crate::proxy::Proxy;
use crate::proxy::route::{BAD_TOKEN, Refusal, RouteSet, UNKNOWN, request_uri};
use crate::route::Route;
use crate::side::Side;

impl Proxy {
    /// Edits the URI of a Refer-To.
    pub(super) fn cover_refer_to(
        &self,
        bytes: &[u8],
        value: Span,
        veil: &Veil<'_>,
        splices: &mut Splices,
    ) {
        let addr = NameAddr::parse(bytes, value);
        let Some((addr, uri)) = addr.and_then(|addr| Some((addr, addr.to_uri(bytes)?))) else {
            return;
        };
        let mut told = None;
        let mut at = uri.headers.from();
        for pair in uri.headers.of(bytes).split(|b| *b == b'&') {
            const NAME: &[u8] = b"Replaces=";
            let name = pair.get(..NAME.len()).unwrap_or_default();
            if name.eq_ignore_ascii_case(NAME) {
                let escaped = pair.get(NAME.len()..).unwrap_or_default();
                let end = call_id_end(escaped);
                let known = unescape(escaped.get(..end).unwrap_or_default());
                let other = match veil.settings.call_id {
                    true => self.crossed_call_id(&known),
                    false => known.clone(),
                };
                let start = at + NAME.len();
                splices.replace(Span::new(start, start + end), &[&escape(&other)]);
                told.get_or_insert_with(|| (known, other, unescape(escaped)));
            }
            at += pair.len() + 1;
        }
        let Some((known, other, replaces)) = told else {
            return;
        };
        let did = uri.param(bytes, "did");
        let did = did.filter(|_| self.is_own(bytes, uri.host, uri.port));
        let Some(CookieCheck::Ours(cookie)) = did.map(|did| self.tokens.cookie(did, &known)) else {
            return;
        };
        let end = match uri.headers.is_empty() {
            true => addr.uri.to(),
            // The question mark is not in it.
            false => uri.headers.from() - 1,
        };
        let named = self.meant(cookie, &replaces);
        let party =
            named.map(|(dialog, side, tag)| (dialog.party_in(side, tag), dialog, side, tag));
        let near = party.filter(|(party, ..)| party.zone == veil.zone && party.trusted);
        let mut out = Vec::with_capacity(128);
        match near {
            Some((_, dialog, side, tag)) => {
                out.extend_from_slice(remote(dialog, side.other(), Some(tag)).0);
            }
            None => {
                self.write_address(veil, b"", &mut out);
                let mut text = String::with_capacity(40);
                cookie.write(self.tokens.mac(), &other, &mut text);
                out.extend_from_slice(b";did=");
                out.extend_from_slice(text.as_bytes());
            }
        }
        splices.replace(Span::new(addr.uri.from(), end), &[&out]);
    }

    /// The way of an INVITE to a Contact that a REFER had: to the party whose call it replaces. `None`
    /// if it is none.
    pub(in crate::proxy) fn route_replacing(
        &self,
        request: &Message,
        set: &RouteSet,
    ) -> Option<Result<Route, Refusal>> {
        let row = request.rows(HeaderId::Replaces).next()?;
        let bytes = &request.bytes;
        let uri = request_uri(request);
        let did = uri.param(bytes, "did").filter(|_| set.is_contact)?;
        let call_id = DialogRef::parse(bytes, row.value)?.call_id;
        let CookieCheck::Ours(cookie) = self.tokens.cookie(did, request.text(call_id)) else {
            return Some(Err(BAD_TOKEN));
        };
        let Some((dialog, side, tag)) = self.meant(cookie, request.text(row.value)) else {
            return Some(Err(UNKNOWN));
        };
        let (target, routes) = remote(dialog, side.other(), Some(tag));
        let route = self.toward_hidden(dialog.party_in(side, tag), target, routes);
        Some(route.map(|mut route| {
            route.strip = set.own;
            route.uri = Some(target.into());
            route
        }))
    }

    /// The call of a cookie and the party in it that a Replaces is for: the one whose tag is its
    /// `to-tag`.
    fn meant<'a>(
        &'a self,
        cookie: DialogCookie,
        replaces: &'a [u8],
    ) -> Option<(&'a Dialog, Side, &'a [u8])> {
        let named = DialogRef::parse(replaces, Span::new(0, replaces.len()))?;
        let (to, from) = (named.to_tag.of(replaces), named.from_tag.of(replaces));
        let dialog = self.dialogs.get(&cookie.id);
        let dialog = dialog.filter(|d| d.hidden.is_some() && d.state != State::Ended)?;
        if dialog.knows_tag(to) && *dialog.caller_tag == *from {
            return Some((dialog, Side::Callee, to));
        }
        let is_caller = *dialog.caller_tag == *to && dialog.knows_tag(from);
        is_caller.then_some((dialog, Side::Caller, to))
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
