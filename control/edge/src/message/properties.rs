//! What must hold for every input: for the property tests and the fuzz targets.
#![allow(
    clippy::indexing_slicing,
    reason = "a panic here is what the tests are for"
)]

use std::net::SocketAddr;
use std::sync::Arc;

use super::body::{self, Body};
use super::digest::Digest;
use super::fields::{self, DialogRef, RAck, Reason, SessionExpires};
use super::frame::{Frame, Framer};
use super::limits::Limits;
use super::name_addr::NameAddr;
use super::uri::{self, Scheme, Uri, host_to_ip};
use super::{HeaderId, Message, Parsed, Span, Splices, Via, build, values};

/// A datagram is refused, or leaves byte for byte; all views of it end, and a response to it is a
/// message again.
pub(crate) fn datagram(data: &[u8]) {
    let lenient = Limits {
        lenient_eol: true,
        lenient_start_line: true,
        ..Limits::default()
    };
    for limits in [Limits::default(), lenient] {
        let bytes: Arc<[u8]> = data.into();
        let mut parsed = Parsed::default();
        let result = parsed.parse(&bytes, &limits);
        let message = Message { bytes, parsed };
        if message.parsed.can_answer() {
            let answer = build::response(&message, peer(), (400, "Bad Request"), Some("t"), b"");
            if result.is_ok() {
                answers(&message, &answer, &limits);
            }
        }
        if result.is_ok() {
            relayed(&message);
        }
    }
}

fn relayed(message: &Message) {
    let parsed = &message.parsed;
    let end = parsed.body.to();
    assert_eq!(
        Splices::default().render(&message.bytes, end),
        message.bytes[..end]
    );
    // The rows are all of the head, in order.
    let mut at = parsed.headers[0].row.from();
    assert!(parsed.start_line.to() < at);
    for row in &parsed.headers {
        assert_eq!(row.row.from(), at);
        at = row.row.to();
        views(&message.bytes, row.value);
    }
    assert_eq!(at, parsed.headers_end);
    assert!(message.text(parsed.via.value).len() > "SIP/2.0/".len());
    if let Body::Sdp(sdp) = body::find(message) {
        assert!(parsed.body.from() <= sdp.from() && sdp.to() <= end && !sdp.is_empty());
    }
    let mut splices = Splices::default();
    message.remove_first_values(HeaderId::Via, 1, &mut splices);
    let rest = splices.render(&message.bytes, end);
    let mut again = Parsed::default();
    let limits = Limits {
        lenient_eol: true,
        lenient_start_line: true,
        ..Limits::default()
    };
    if again.parse(&rest, &limits).is_ok() {
        assert_eq!(again.vias, parsed.vias - 1);
        assert_eq!(again.call_id.of(&rest), message.call_id());
    }
}

fn answers(request: &Message, answer: &[u8], limits: &Limits) {
    let mut parsed = Parsed::default();
    assert_eq!(parsed.parse(answer, limits), Ok(()));
    assert_eq!(parsed.status(), 400);
    assert_eq!(parsed.call_id.of(answer), request.call_id());
    assert_eq!(parsed.cseq, request.parsed.cseq);
    assert_eq!(parsed.vias, request.parsed.vias);
    assert_eq!(
        parsed.method_name.of(answer),
        request.text(request.parsed.method_name)
    );
    assert!(parsed.to.tag.is_some());
}

/// Typed views of one value.
fn views(bytes: &[u8], value: Span) {
    let mut end = value.from();
    for one in values(bytes, value) {
        assert!(one.from() >= end && one.to() <= value.to());
        end = one.to();
        let _ = Via::parse(bytes, one).map(|via| via.response_target(bytes));
        let _ = Reason::parse(bytes, one);
        let _ = DialogRef::parse(bytes, one);
        name_addr_at(bytes, one);
    }
    let _ = SessionExpires::parse(bytes, value);
    let _ = RAck::parse(bytes, value);
    let _ = (fields::rseq(bytes, value), fields::seconds(bytes, value));
    digest_at(bytes, value);
}

/// However a stream is split, the same frames come out, no byte is searched twice, and no more is
/// kept than allowed.
pub(crate) fn stream(data: &[u8]) {
    let limits = Limits {
        stream_message_bytes: 2048,
        stream_head_bytes: 1024,
        header_bytes: 256,
        ..Limits::default()
    };
    let whole = frames(data, limits, usize::MAX);
    for size in [1, 3] {
        assert_eq!(whole, frames(data, limits, size));
    }
}

fn frames(data: &[u8], limits: Limits, size: usize) -> Vec<Frame> {
    let mut framer = Framer::new(limits, peer());
    let mut frames = Vec::new();
    for chunk in data.chunks(size.min(data.len().max(1))) {
        framer.push(chunk);
        while let Some(frame) = framer.poll() {
            frames.push(frame);
        }
        #[cfg(test)]
        assert!(framer.buffered() <= limits.stream_message_bytes + chunk.len());
    }
    #[cfg(test)]
    assert!(framer.examined <= data.len());
    if let Some(Frame::Refused { .. }) = frames.last() {
        framer.push(b"\r\n\r\n");
        assert_eq!(framer.poll(), None, "nothing comes out of a broken stream");
        assert!(!framer.is_partial());
    }
    frames
}

/// A URI is like itself, escaped or not, and its parts are in it.
pub(crate) fn uri(data: &[u8]) {
    let Ok(uri) = Uri::parse(data, Span::new(0, data.len())) else {
        return;
    };
    host_to_ip(uri.host.of(data));
    let mut key = Vec::new();
    uri.address_of_record(data, &mut key);
    let same = uri.equals(data, &uri, data);
    let is_small = data.iter().filter(|b| matches!(b, b';' | b'&')).count() < 16;
    // A parameter that is there twice with two values contradicts itself.
    assert!(same || !is_small || has_repeated_name(data));
    let resolved = uri::unescaped(data);
    assert_eq!(
        uri::unescaped(&resolved),
        resolved,
        "nothing is resolved twice"
    );
    // RFC 3966 has no escapes in a number.
    if uri.scheme == Scheme::Tel {
        return;
    }
    if let Ok(plain) = Uri::parse(&resolved, Span::new(0, resolved.len())) {
        assert!(
            !same || !is_small || plain.equals(&resolved, &uri, data) || has_repeated_name(data)
        );
    }
}

fn has_repeated_name(data: &[u8]) -> bool {
    data.iter().filter(|b| **b == b';').count() > 1
}

/// The parts of a name-addr are in it.
pub(crate) fn name_addr(data: &[u8]) {
    for value in values(data, Span::new(0, data.len())) {
        name_addr_at(data, value);
    }
}

fn name_addr_at(bytes: &[u8], value: Span) {
    let Some(addr) = NameAddr::parse(bytes, value) else {
        return;
    };
    for part in [
        Some(addr.display),
        Some(addr.uri),
        Some(addr.params),
        addr.tag,
    ]
    .into_iter()
    .flatten()
    .filter(|part| !part.is_empty())
    {
        assert!(value.from() <= part.from() && part.to() <= value.to());
    }
    assert_eq!(addr.param(bytes, "tag").and_then(|p| p.value), addr.tag);
    let _ = addr.to_uri(bytes);
}

/// Credentials and challenges.
pub(crate) fn digest(data: &[u8]) {
    digest_at(data, Span::new(0, data.len()));
}

fn digest_at(bytes: &[u8], value: Span) {
    let Some(digest) = Digest::parse(bytes, value) else {
        return;
    };
    for name in ["realm", "nonce", "uri", "response", "opaque"] {
        let text = digest.text(bytes, name);
        assert!(text.is_none_or(|text| text.len() <= value.to() - value.from()));
    }
    let _ = (digest.username(bytes), digest.is_stale(bytes));
    let _ = digest.nonce_count(bytes);
}

/// The SDP of a body of any type: the first line of the data is the Content-Type.
pub(crate) fn body(data: &[u8]) {
    let at = memchr::memchr(b'\n', data).unwrap_or(data.len());
    let (content_type, content) = data.split_at(at);
    let head =
        b"BYE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=a\r\n\
        To: <sip:b>\r\nCall-ID: c\r\nCSeq: 1 BYE\r\nContent-Type: ";
    datagram(&[&head[..], content_type, b"\r\n\r\n", content].concat());
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 5060))
}
