//! Finds the SDP of a message: the whole body, or one part of a multipart body (RFC 5621).

use super::Message;
use super::span::{Cursor, Span, params};

/// The part of a body that concerns the media relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// No session description.
    None,
    /// Signed or encrypted: cannot be changed without breaking it.
    Sealed,
    /// The bytes of the session description.
    Sdp(Span),
}

/// Looks at Content-Type and, for multipart bodies, at the parts.
pub(crate) fn find(message: &Message) -> Body {
    let body = message.parsed.body;
    let Some(content_type) = message.parsed.content_type.filter(|_| !body.is_empty()) else {
        return Body::None;
    };
    let bytes = &message.bytes;
    if is_type(bytes, content_type, b"application/sdp") {
        return Body::Sdp(body);
    }
    if is_type(bytes, content_type, b"multipart/signed")
        || is_type(bytes, content_type, b"application/pkcs7-mime")
    {
        return Body::Sealed;
    }
    let text = content_type.of(bytes);
    if !text
        .get(..10)
        .is_some_and(|t| t.eq_ignore_ascii_case(b"multipart/"))
    {
        return Body::None;
    }
    let mut cursor = Cursor::new(bytes, content_type);
    cursor.take_while(|b| b != b';');
    let mut boundary = None;
    params(cursor, |param| {
        if param.name.of(bytes).eq_ignore_ascii_case(b"boundary") {
            boundary = boundary.or(param.value);
        }
    });
    let Some(boundary) = boundary else {
        return Body::None;
    };
    let mut boundary = boundary.of(bytes);
    if let Some(inner) = boundary.strip_prefix(b"\"") {
        boundary = inner.strip_suffix(b"\"").unwrap_or(inner);
    }
    if boundary.is_empty() || boundary.len() > 70 {
        return Body::None;
    }
    parts(bytes, body, boundary)
        .find(|part| is_type(bytes, part.content_type, b"application/sdp"))
        .map_or(Body::None, |part| Body::Sdp(part.content))
}

struct Part {
    content_type: Span,
    content: Span,
}

fn parts(bytes: &[u8], body: Span, boundary: &[u8]) -> impl Iterator<Item = Part> {
    let mut at = delimiter(bytes, body.from(), body, boundary);
    std::iter::from_fn(move || {
        let (_, begin) = at?;
        // `--boundary--` closes.
        if bytes.get(begin..begin + 2) == Some(b"--") {
            return None;
        }
        let next = delimiter(bytes, begin, body, boundary)?;
        at = Some(next);
        let mut content_type = Span::default();
        let mut line = skip_line(bytes, begin, next.0)?;
        loop {
            let end = skip_line(bytes, line, next.0)?;
            let text = Span::new(line, end).trim(bytes);
            line = end;
            if text.is_empty() {
                break;
            }
            let row = text.of(bytes);
            let colon = row.iter().position(|b| *b == b':').unwrap_or(0);
            let name = row.get(..colon).unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"Content-Type") || name.eq_ignore_ascii_case(b"c") {
                content_type = Span::new(text.from() + colon + 1, text.to()).trim(bytes);
            }
        }
        Some(Part {
            content_type,
            content: Span::new(line, next.0),
        })
    })
}

/// The next `--boundary` at a line start at or after `from`: where the content before it ends (its
/// CRLF belongs to the delimiter), and the position behind the boundary.
fn delimiter(bytes: &[u8], from: usize, body: Span, boundary: &[u8]) -> Option<(usize, usize)> {
    let mut at = from;
    while at < body.to() {
        let line_start = at == body.from() || bytes.get(at.wrapping_sub(1)) == Some(&b'\n');
        let tail = bytes.get(at..body.to()).unwrap_or_default();
        if line_start
            && tail
                .strip_prefix(b"--")
                .is_some_and(|t| t.starts_with(boundary))
        {
            let behind = at + 2 + boundary.len();
            if !bytes.get(behind).is_some_and(|b| b.is_ascii_alphanumeric()) {
                let mut end = at;
                for eol in [b'\n', b'\r'] {
                    if end > body.from() && bytes.get(end - 1) == Some(&eol) {
                        end -= 1;
                    }
                }
                return Some((end.max(from), behind));
            }
        }
        at += tail.iter().position(|b| *b == b'\n')? + 1;
    }
    None
}

fn skip_line(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let found = bytes.get(at..end)?.iter().position(|b| *b == b'\n')?;
    Some(at + found + 1)
}

fn is_type(bytes: &[u8], value: Span, wanted: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes, value);
    let text = cursor.take_while(|b| b != b';').trim(bytes);
    text.of(bytes).eq_ignore_ascii_case(wanted)
}
