//! Credentials and challenges: (Proxy-)Authorization, WWW- and Proxy-Authenticate (RFC 3261 §20.7,
//! §20.27; RFC 7616, RFC 8760). They are read for counting and look-ups and pass untouched.

use std::borrow::Cow;

use super::span::{Cursor, Span, is_lws, is_token, unquoted};

/// One row of credentials or of a challenge. Each has a row of its own (RFC 3261 §7.3.1): commas
/// separate parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    /// `Digest`, or a scheme that the edge only carries.
    pub(crate) scheme: Span,
    params: Span,
}

impl Digest {
    /// `None` if there is no scheme, or it is `Digest` and its parameters do not follow the grammar.
    pub(crate) fn parse(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value.trim(bytes));
        let scheme = cursor.take_while(is_token);
        if scheme.is_empty() || !cursor.peek().is_some_and(is_lws) {
            return None;
        }
        cursor.skip_lws();
        let digest = Self {
            scheme,
            params: cursor.rest(),
        };
        let well_formed = digest.each(bytes, |_, _| ());
        (well_formed || !digest.is_digest(bytes)).then_some(digest)
    }

    pub(crate) fn is_digest(&self, bytes: &[u8]) -> bool {
        self.scheme.of(bytes).eq_ignore_ascii_case(b"Digest")
    }

    /// The value of a parameter with its quotes, for an edit.
    pub(crate) fn span(&self, bytes: &[u8], name: &str) -> Option<Span> {
        let mut found = None;
        self.each(bytes, |key, value| {
            if key.of(bytes).eq_ignore_ascii_case(name.as_bytes()) {
                found = found.or(Some(value));
            }
        });
        found
    }

    /// The text of a parameter: `realm`, `nonce`, `uri`, `response`, `opaque`, `qop`, `cnonce`…
    pub(crate) fn text<'a>(&self, bytes: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
        Some(unquoted(self.span(bytes, name)?.of(bytes)))
    }

    /// The user of credentials. One that needs more than ASCII comes as `username*` (RFC 7616 §3.4),
    /// and is given as it is written there.
    pub(crate) fn username<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let plain = self.text(bytes, "username");
        plain.or_else(|| self.text(bytes, "username*"))
    }

    /// The challenge refuses a nonce alone; the credentials were good (RFC 7616 §3.3).
    pub(crate) fn is_stale(&self, bytes: &[u8]) -> bool {
        let stale = self.text(bytes, "stale");
        stale.is_some_and(|text| text.eq_ignore_ascii_case(b"true"))
    }

    /// How often the nonce was used, in eight hexadecimal digits on the wire.
    pub(crate) fn nonce_count(&self, bytes: &[u8]) -> Option<u32> {
        let text = self.text(bytes, "nc")?;
        let text = std::str::from_utf8(&text).ok().filter(|t| t.len() == 8)?;
        let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        u32::from_str_radix(text, 16).ok().filter(|_| is_hex)
    }

    /// Hands out names and values; false if the list is malformed. Empty elements are allowed
    /// (RFC 9110 §5.6.1).
    fn each(&self, bytes: &[u8], mut each: impl FnMut(Span, Span)) -> bool {
        let mut cursor = Cursor::new(bytes, self.params);
        loop {
            cursor.take_while(|b| is_lws(b) || b == b',');
            if cursor.peek().is_none() {
                return true;
            }
            let name = cursor.take_while(is_token);
            cursor.skip_lws();
            if name.is_empty() || !cursor.eat(b'=') {
                return false;
            }
            cursor.skip_lws();
            let value = if cursor.peek() == Some(b'"') {
                let Some(value) = cursor.quoted() else {
                    return false;
                };
                value
            } else {
                cursor.take_while(|b| !is_lws(b) && !matches!(b, b',' | b'"'))
            };
            each(name, value);
            cursor.skip_lws();
            if cursor.peek().is_some_and(|b| b != b',') {
                return false;
            }
        }
    }
}
