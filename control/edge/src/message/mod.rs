//! SIP messages as spans over the received bytes (spec §3): one pass, nothing copied, nothing
//! re-printed.
//!
//! [`Parsed`] is the table of positions; [`Message`] adds the bytes, for as long as a transaction
//! needs them. Typed views ([`via`], [`uri`]) are made from spans on demand.

pub(crate) mod body;
pub(crate) mod build;
#[allow(dead_code, reason = "screening and registration will read it")]
pub(crate) mod digest;
#[allow(dead_code, reason = "timers and reliable responses will read it")]
pub(crate) mod fields;
#[allow(dead_code, reason = "the stream transports will use it")]
pub(crate) mod frame;
#[allow(dead_code, reason = "fields for registration, hiding and screening")]
pub(crate) mod header;
pub(crate) mod limits;
#[allow(dead_code, reason = "hiding and header hygiene will use it")]
pub(crate) mod list;
#[allow(dead_code, reason = "registration and screening will read it")]
pub(crate) mod name_addr;
#[allow(dead_code, reason = "padding of lenient start lines")]
pub(crate) mod parse;
pub(crate) mod span;
pub(crate) mod splice;
#[allow(dead_code, reason = "registration and screening will use it")]
pub(crate) mod uri;
#[allow(dead_code, reason = "the transport and maddr of a Via")]
pub(crate) mod via;

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

pub(crate) use header::{Header, HeaderId, Method};
pub(crate) use name_addr::NameAddr;
pub(crate) use parse::{Parsed, Start};
pub(crate) use span::{Span, values};
pub(crate) use splice::Splices;
pub(crate) use uri::Uri;
pub(crate) use via::Via;

/// A parsed message together with its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) parsed: Parsed,
}

impl Message {
    pub(crate) fn text(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// The reason phrase of a response.
    pub(crate) fn reason(&self) -> &[u8] {
        let line = self.text(self.parsed.start_line);
        line.get(12..).unwrap_or_default().trim_ascii()
    }

    pub(crate) fn call_id(&self) -> &[u8] {
        self.text(self.parsed.call_id)
    }

    /// The From tag; empty if there is none (RFC 2543 peers).
    pub(crate) fn sender_tag(&self) -> &[u8] {
        self.text(self.parsed.from.tag.unwrap_or_default())
    }

    pub(crate) fn to_tag(&self) -> Option<&[u8]> {
        self.parsed.to.tag.map(|tag| self.text(tag))
    }

    pub(crate) fn method(&self) -> Method {
        self.parsed.method
    }

    pub(crate) fn rows(&self, id: HeaderId) -> impl Iterator<Item = &Header> {
        self.parsed.headers.iter().filter(move |h| h.id == id)
    }

    /// All values of a header that may be repeated or comma-joined.
    pub(crate) fn values(&self, id: HeaderId) -> impl Iterator<Item = Span> {
        self.rows(id).flat_map(|row| values(&self.bytes, row.value))
    }

    /// The URI of the first Contact.
    pub(crate) fn contact_uri(&self) -> Option<&[u8]> {
        let value = self.values(HeaderId::Contact).next()?;
        Some(self.text(NameAddr::parse(&self.bytes, value)?.uri))
    }

    /// The Request-URI; empty in a response.
    pub(crate) fn request_uri(&self) -> Span {
        match self.parsed.start {
            Start::Request { uri } => uri,
            _ => Span::default(),
        }
    }

    /// The value of the first row of a header.
    pub(crate) fn value(&self, id: HeaderId) -> Option<&[u8]> {
        let row = self.rows(id).next()?;
        Some(self.text(row.value))
    }

    /// A token in a list header such as Require.
    pub(crate) fn lists(&self, id: HeaderId, token: &str) -> bool {
        self.values(id)
            .any(|value| self.text(value).eq_ignore_ascii_case(token.as_bytes()))
    }
}
