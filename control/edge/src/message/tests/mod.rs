//! The parser and its views; what must hold for every input is in [`super::properties`].

pub(crate) mod corpus;

mod bodies;
mod keys;
mod lists;
mod oracle;

mod streams;
mod syntax;
mod uris;
mod views;

use super::limits::Limits;
use super::parse::{ParseError, Parsed};
use super::*;

/// A request with these lines in place of, or behind, the usual ones.
fn request(more: &str) -> String {
    format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n\
         From: <sip:a@example.net>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\n\
         CSeq: 1 INVITE\r\n{more}\r\n"
    )
}

fn try_parse(bytes: &[u8], limits: &Limits) -> (Message, Result<(), ParseError>) {
    let mut parsed = Parsed::default();
    let result = parsed.parse(bytes, limits);
    let bytes = bytes.into();
    (Message { bytes, parsed }, result)
}

fn parse(bytes: impl AsRef<[u8]>) -> Message {
    let (message, result) = try_parse(bytes.as_ref(), &Limits::default());
    assert_eq!(result, Ok(()));
    message
}

fn error(bytes: impl AsRef<[u8]>) -> ParseError {
    let (_, result) = try_parse(bytes.as_ref(), &Limits::default());
    result.unwrap_err()
}

fn whole(text: &[u8]) -> Span {
    Span::new(0, text.len())
}

fn texts(message: &Message, spans: impl IntoIterator<Item = Span>) -> Vec<&str> {
    let text = |span: Span| std::str::from_utf8(message.text(span)).unwrap();
    spans.into_iter().map(text).collect()
}
