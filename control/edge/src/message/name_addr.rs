//! Name-addr values: From, To, Contact, Route, Path and their like (RFC 3261 §20.10).

use super::span::{Cursor, Param, Span, is_lws, is_token, params};
use super::uri::Uri;

/// `[ display-name ] <URI> *( ;param )` or the bare form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameAddr {
    /// Trimmed, with its quotes; empty if there is none. [`unquoted`] gives its text.
    ///
    /// [`unquoted`]: super::span::unquoted
    pub(crate) display: Span,
    /// Without angle brackets.
    pub(crate) uri: Span,
    /// Parameters of the value, not of the URI, from the first semicolon.
    pub(crate) params: Span,
    pub(crate) tag: Option<Span>,
}

impl NameAddr {
    /// `None` if the value does not follow the grammar.
    pub(crate) fn parse(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value);
        cursor.skip_lws();
        let mut display = Span::default();
        if cursor.peek() == Some(b'"') {
            display = cursor.quoted()?;
            cursor.skip_lws();
            if cursor.peek() != Some(b'<') {
                return None;
            }
        } else {
            let mut ahead = cursor;
            let words = ahead.take_while(|b| is_token(b) || is_lws(b) || b >= 0x80);
            if ahead.peek() == Some(b'<') {
                display = words.trim(bytes);
                cursor = ahead;
            }
        }
        let is_bracketed = cursor.eat(b'<');
        let uri = if is_bracketed {
            let uri = cursor.take_while(|b| b != b'>');
            if !cursor.eat(b'>') {
                return None;
            }
            uri
        } else {
            cursor.take_while(|b| !is_lws(b) && !matches!(b, b';' | b'<' | b'>' | b'"' | b','))
        };
        let text = uri.of(bytes);
        // Without brackets it is unclear to whom headers of the URI belong (§20).
        if !text.contains(&b':')
            || text.iter().any(|b| is_lws(*b))
            || (!is_bracketed && text.contains(&b'?'))
        {
            return None;
        }
        cursor.skip_lws();
        let rest = cursor.rest();
        let (mut tag, mut is_tagged) = (None, false);
        let well_formed = params(cursor, |param| {
            // The first one counts, as for every parameter.
            if !is_tagged && param.name.of(bytes).eq_ignore_ascii_case(b"tag") {
                (tag, is_tagged) = (param.value, true);
            }
        });
        well_formed.then_some(Self {
            display,
            uri,
            params: rest,
            tag,
        })
    }

    /// The `*` of a Contact that removes all bindings (RFC 3261 §10.2.2).
    pub(crate) fn is_star(bytes: &[u8], value: Span) -> bool {
        value.of(bytes) == b"*"
    }

    /// A parameter of the value, such as `expires`, `q` or `+sip.instance`.
    pub(crate) fn param(&self, bytes: &[u8], name: &str) -> Option<Param> {
        let mut found = None;
        params(Cursor::new(bytes, self.params), |param| {
            if param.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()) {
                found = found.or(Some(param));
            }
        });
        found
    }

    /// The URI, if it is one that the edge can read.
    pub(crate) fn to_uri(self, bytes: &[u8]) -> Option<Uri> {
        Uri::parse(bytes, self.uri).ok()
    }
}
