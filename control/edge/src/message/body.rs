//! Finds the SDP of a message: the whole body, or one part of a multipart body (RFC 5621, RFC 2046
//! §5.1). All other parts leave byte for byte.

use memchr::memchr;

use super::Message;
use super::header::HeaderId;
use super::limits::{MULTIPART_DEPTH, MULTIPART_PARTS};
use super::span::{Cursor, Span, params, unquoted};

/// The part of a body that concerns the media relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// No session description.
    None,
    /// Signed, encrypted or encoded: it cannot be changed without breaking it, and may hold a session.
    Sealed,
    /// The bytes of the session description.
    Sdp(Span),
}

/// Looks at Content-Type and, for multipart bodies, at the parts. The first SDP counts.
pub(crate) fn find(message: &Message) -> Body {
    let body = message.parsed.body;
    let Some(content_type) = message.parsed.content_type else {
        return Body::None;
    };
    let entity = Entity {
        content_type,
        is_encoded: message
            .values(HeaderId::ContentEncoding)
            .any(|value| !is_identity(message.text(value))),
        content: body,
    };
    let mut parts_left = MULTIPART_PARTS;
    entity.find(&message.bytes, MULTIPART_DEPTH, &mut parts_left)
}

/// A body, or one part of it.
#[derive(Clone, Copy)]
struct Entity {
    content_type: Span,
    /// Compressed, or by a transfer encoding not what it says.
    is_encoded: bool,
    content: Span,
}

impl Entity {
    fn find(self, bytes: &[u8], depth: usize, parts_left: &mut usize) -> Body {
        if self.content.is_empty() {
            return Body::None;
        }
        let is = |wanted: &[u8]| is_type(bytes, self.content_type, wanted);
        if is(b"application/sdp") {
            return match self.is_encoded {
                true => Body::Sealed,
                false => Body::Sdp(self.content),
            };
        }
        let is_sealed = is(b"multipart/signed")
            || is(b"multipart/encrypted")
            || is(b"application/pkcs7-mime")
            || is(b"application/x-pkcs7-mime");
        if is_sealed {
            return Body::Sealed;
        }
        let text = self.content_type.of(bytes);
        let is_multipart = text
            .get(..10)
            .is_some_and(|t| t.eq_ignore_ascii_case(b"multipart/"));
        if !is_multipart {
            return Body::None;
        }
        let Some(boundary) = boundary(bytes, self.content_type) else {
            return Body::None;
        };
        if depth == 0 || self.is_encoded {
            return Body::Sealed;
        }
        let boundary = boundary.of(bytes);
        let mut found = Body::None;
        for part in parts(bytes, self.content, boundary) {
            if *parts_left == 0 {
                return Body::Sealed;
            }
            *parts_left -= 1;
            match part.find(bytes, depth - 1, parts_left) {
                Body::None => {}
                Body::Sealed => found = Body::Sealed,
                sdp @ Body::Sdp(_) => return sdp,
            }
        }
        found
    }
}

/// The `boundary` parameter without its quotes; it has 1 to 70 characters (RFC 2046 §5.1.1).
fn boundary(bytes: &[u8], content_type: Span) -> Option<Span> {
    let mut cursor = Cursor::new(bytes, content_type);
    cursor.take_while(|b| b != b';');
    let mut boundary = None;
    params(cursor, |param| {
        if param.name.of(bytes).eq_ignore_ascii_case(b"boundary") {
            boundary = boundary.or(param.value);
        }
    });
    let quoted: Span = boundary?;
    let boundary = match quoted.of(bytes).first() {
        Some(b'"') => Span::new(quoted.from() + 1, quoted.to().saturating_sub(1)),
        _ => quoted,
    };
    // No boundary needs a quoted pair, and none is searched for one.
    let is_plain = unquoted(quoted.of(bytes)).len() == boundary.of(bytes).len();
    (is_plain && (1..=70).contains(&boundary.of(bytes).len())).then_some(boundary)
}

/// The parts of a multipart body. A part that no delimiter ends is none.
fn parts(bytes: &[u8], body: Span, boundary: &[u8]) -> impl Iterator<Item = Entity> {
    let mut at = delimiter(bytes, body.from(), body, boundary);
    std::iter::from_fn(move || {
        let (_, begin) = at?;
        // `--boundary--` closes.
        if bytes.get(begin..begin + 2) == Some(b"--") {
            return None;
        }
        let next = delimiter(bytes, begin, body, boundary)?;
        at = Some(next);
        Some(part(bytes, begin, next.0))
    })
}

/// One part, whose delimiter line ends somewhere behind `begin`. One without the empty line behind
/// its headers has no content.
fn part(bytes: &[u8], begin: usize, end: usize) -> Entity {
    let mut entity = Entity {
        // RFC 2046 §5.1: text/plain.
        content_type: Span::default(),
        is_encoded: false,
        content: Span::new(end, end),
    };
    let Some(mut line) = skip_line(bytes, begin, end) else {
        return entity;
    };
    loop {
        let Some(mut next) = skip_line(bytes, line, end) else {
            return entity;
        };
        let mut row = Span::new(line, next);
        if row.trim(bytes).is_empty() {
            entity.content = Span::new(next, end);
            return entity;
        }
        while matches!(bytes.get(next), Some(b' ' | b'\t')) {
            let Some(after) = skip_line(bytes, next, end) else {
                break;
            };
            row = Span::new(line, after);
            next = after;
        }
        line = next;
        let text = row.of(bytes);
        let Some(colon) = memchr(b':', text) else {
            continue;
        };
        let name = text.get(..colon).unwrap_or_default().trim_ascii();
        let value = Span::new(row.from() + colon + 1, row.to()).trim(bytes);
        match HeaderId::of(name) {
            HeaderId::ContentType => entity.content_type = value,
            HeaderId::ContentEncoding => entity.is_encoded |= !is_identity(value.of(bytes)),
            _ if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") => {
                entity.is_encoded |= !is_identity(value.of(bytes));
            }
            _ => {}
        }
    }
}

/// The next `--boundary` at a line start at or after `from`: where the content before it ends (its
/// CRLF belongs to the delimiter), and the position behind the boundary.
fn delimiter(bytes: &[u8], from: usize, body: Span, boundary: &[u8]) -> Option<(usize, usize)> {
    let mut at = from;
    while at < body.to() {
        let line_start = at == body.from() || bytes.get(at.wrapping_sub(1)) == Some(&b'\n');
        let tail = bytes.get(at..body.to()).unwrap_or_default();
        let behind = tail
            .strip_prefix(b"--")
            .and_then(|tail| tail.strip_prefix(boundary));
        if let Some(behind) = behind.filter(|_| line_start) {
            // The boundary of an inner multipart may begin with that of the outer one.
            let line = behind.split(|b| *b == b'\n').next().unwrap_or_default();
            let line = line.strip_prefix(b"--").unwrap_or(line);
            if line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r')) {
                let mut end = at;
                for eol in [b'\n', b'\r'] {
                    if end > body.from() && bytes.get(end - 1) == Some(&eol) {
                        end -= 1;
                    }
                }
                return Some((end.max(from), at + 2 + boundary.len()));
            }
        }
        at += memchr(b'\n', tail)? + 1;
    }
    None
}

fn skip_line(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let found = memchr(b'\n', bytes.get(at..end)?)?;
    Some(at + found + 1)
}

fn is_identity(encoding: &[u8]) -> bool {
    [&b""[..], b"7bit", b"8bit", b"binary", b"identity"]
        .iter()
        .any(|plain| encoding.eq_ignore_ascii_case(plain))
}

fn is_type(bytes: &[u8], value: Span, wanted: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes, value);
    let text = cursor.take_while(|b| b != b';').trim(bytes);
    text.of(bytes).eq_ignore_ascii_case(wanted)
}

/// Whether an SDP says that media does not go both ways, as that of a party that holds (RFC 3264
/// §8.4).
pub(crate) fn holds(sdp: &[u8]) -> bool {
    let lines = sdp.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.into_iter().any(|line| {
        matches!(
            line,
            b"a=inactive" | b"a=sendonly" | b"a=recvonly" | b"c=IN IP4 0.0.0.0" | b"c=IN IP6 ::"
        )
    })
}
