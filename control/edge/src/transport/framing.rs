//! Messages in the bytes of a connection: by Content-Length (RFC 3261 §18.3), or one a WebSocket
//! message (RFC 7118 §5). Bytes in, whole messages and what has to be answered out; no I/O.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::limits::{CONTROL_FRAME_BYTES, HEADER_BYTES};
use crate::transaction::Packet;

/// What the bytes of a connection hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// One whole message.
    Message(Packet),
    /// The peer keeps its flow alive and wants an answer: these bytes, as they are.
    Ping(Packet),
    /// The peer keeps its flow alive.
    Pong,
    /// The peer ends the connection: these bytes first, as they are.
    Close(Packet),
}

/// Why a connection cannot go on: where its next message starts is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    #[error("the headers are longer than {HEADER_BYTES} bytes")]
    Headers,
    /// Missing, malformed, or two different ones. The headers are there, so that the request can be
    /// refused.
    #[error("the Content-Length is missing or no number")]
    Length(Packet),
    #[error("it is no SIP")]
    NotSip,
    #[error("the message would have {0} bytes")]
    TooLong(u64),
    #[error("a WebSocket frame breaks RFC 6455")]
    WebSocket,
}

/// The framing of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    kind: Kind,
    buffer: Vec<u8>,
    /// Bytes at the start of the buffer of which messages were made: taken out once per push, so that
    /// many small messages are not moved once for each.
    taken: usize,
    /// Longest message.
    longest: usize,
}

#[derive(Debug)]
enum Kind {
    Sip {
        /// No end of headers is among so many bytes of the message.
        searched: usize,
        /// The first line is one of SIP.
        is_sip: bool,
        /// Bytes of the message, once its headers are there.
        length: Option<usize>,
        /// A CRLF came before what is in the buffer: another one makes a ping.
        half_ping: bool,
    },
    /// `fragments` of a message whose last frame did not come yet.
    WebSocket { fragments: Option<Vec<u8>> },
}

impl Framing {
    /// A stream of messages of at most `longest` bytes.
    pub(super) fn sip(longest: usize) -> Self {
        let kind = Kind::Sip {
            searched: 0,
            is_sip: false,
            length: None,
            half_ping: false,
        };
        Self {
            kind,
            buffer: Vec::new(),
            taken: 0,
            longest,
        }
    }

    /// Frames of a WebSocket client.
    pub(super) fn web_socket(longest: usize) -> Self {
        Self {
            kind: Kind::WebSocket { fragments: None },
            buffer: Vec::new(),
            taken: 0,
            longest,
        }
    }

    /// Takes what was received. [`Self::next`] must be asked until it has nothing, before more is
    /// pushed: so the buffer holds one message and one read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// A message has started and is not complete.
    pub(super) fn is_incomplete(&self) -> bool {
        let fragmented = matches!(&self.kind, Kind::WebSocket { fragments: Some(_) });
        fragmented || self.buffer.len() > self.taken
    }

    /// What comes next in the bytes; `None` when it is not there yet.
    ///
    /// # Errors
    ///
    /// When the connection is broken. Nothing can be read from it any more.
    pub(super) fn next(&mut self) -> Result<Option<Framed>, FramingError> {
        let framed = match self.kind {
            Kind::Sip { .. } => self.next_sip(),
            Kind::WebSocket { .. } => self.next_frame(),
        };
        if self.buffer.len() == self.taken {
            // Thousands of idle connections have no buffer.
            self.buffer = Vec::new();
            self.taken = 0;
        }
        framed
    }

    /// A message as it is sent; `None`: the bytes themselves. Text as long as it is UTF-8, since
    /// some scripts in browsers read nothing else.
    pub(super) fn wrap(is_web_socket: bool, message: &[u8]) -> Option<Packet> {
        is_web_socket.then(|| {
            let is_text = std::str::from_utf8(message).is_ok();
            let data = if is_text { Data::Text } else { Data::Binary };
            frame(OpCode::Data(data), message)
        })
    }

    fn next_sip(&mut self) -> Result<Option<Framed>, FramingError> {
        let Kind::Sip {
            searched,
            is_sip,
            length,
            half_ping,
        } = &mut self.kind
        else {
            return Ok(None);
        };
        let mut rest = self.buffer.get(self.taken..).unwrap_or_default();
        if length.is_none() {
            while let Some(after) = rest.strip_prefix(b"\r\n") {
                rest = after;
                self.taken += 2;
                *half_ping = !*half_ping;
                if !*half_ping {
                    return Ok(Some(Framed::Ping(Packet::from(&b"\r\n"[..]))));
                }
            }
            if matches!(rest, [] | [b'\r']) {
                return Ok(None);
            }
            *half_ping = false;
            if !*is_sip {
                *is_sip = starts_as_sip(rest, *searched)?;
            }
            let from = searched.saturating_sub(3);
            let unseen = rest.get(from..).unwrap_or_default();
            let end = memchr::memmem::find(unseen, b"\r\n\r\n").map(|at| from + at + 4);
            if end.unwrap_or(rest.len()) > HEADER_BYTES {
                return Err(FramingError::Headers);
            }
            let Some(head) = end.and_then(|end| rest.get(..end)) else {
                *searched = rest.len();
                return Ok(None);
            };
            let body = content_length(head).ok_or_else(|| FramingError::Length(head.into()))?;
            let total = body.saturating_add(head.len() as u64);
            let fits = usize::try_from(total).ok().filter(|n| *n <= self.longest);
            *length = Some(fits.ok_or(FramingError::TooLong(total))?);
        }
        let Some(message) = length.and_then(|length| rest.get(..length)) else {
            return Ok(None);
        };
        let message = Packet::from(message);
        self.taken += message.len();
        *length = None;
        *searched = 0;
        *is_sip = false;
        Ok(Some(Framed::Message(message)))
    }

    fn next_frame(&mut self) -> Result<Option<Framed>, FramingError> {
        let Kind::WebSocket { fragments } = &mut self.kind else {
            return Ok(None);
        };
        loop {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            let mut cursor = Cursor::new(rest);
            let parsed = FrameHeader::parse(&mut cursor);
            let Some((header, length)) = parsed.map_err(|_| FramingError::WebSocket)? else {
                return Ok(None);
            };
            let room = match header.opcode {
                OpCode::Control(_) => CONTROL_FRAME_BYTES,
                OpCode::Data(_) => {
                    let held = fragments.as_ref().map_or(0, Vec::len);
                    self.longest.saturating_sub(held)
                }
            };
            let fits = usize::try_from(length).ok();
            let Some(length) = fits.filter(|n| *n <= room) else {
                return Err(FramingError::TooLong(length));
            };
            let extended = header.rsv1 || header.rsv2 || header.rsv3;
            let Some(mask) = header.mask.filter(|_| !extended) else {
                return Err(FramingError::WebSocket);
            };
            let start = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            let end = start.saturating_add(length);
            let Some(payload) = rest.get(start..end) else {
                return Ok(None);
            };
            let unmasked = payload.iter().zip(mask.iter().cycle());
            let payload: Vec<u8> = unmasked.map(|(byte, mask)| byte ^ mask).collect();
            self.taken += end;
            let whole = match header.opcode {
                OpCode::Control(control) => {
                    if !header.is_final {
                        return Err(FramingError::WebSocket);
                    }
                    return Ok(Some(match control {
                        Control::Ping => {
                            Framed::Ping(frame(OpCode::Control(Control::Pong), &payload))
                        }
                        Control::Close => {
                            let code = payload.get(..2).unwrap_or_default();
                            Framed::Close(frame(OpCode::Control(Control::Close), code))
                        }
                        Control::Pong | Control::Reserved(_) => Framed::Pong,
                    }));
                }
                OpCode::Data(Data::Continue) => {
                    let mut whole = fragments.take().ok_or(FramingError::WebSocket)?;
                    whole.extend(payload);
                    whole
                }
                OpCode::Data(_) if fragments.is_some() => return Err(FramingError::WebSocket),
                OpCode::Data(_) => payload,
            };
            if !header.is_final {
                *fragments = Some(whole);
                continue;
            }
            return Ok(Some(match whole.as_slice() {
                // Some scripts keep their flow alive as on a stream.
                b"\r\n\r\n" => Framed::Ping(frame(OpCode::Data(Data::Text), b"\r\n")),
                blank if blank.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) => Framed::Pong,
                message => Framed::Message(message.into()),
            }));
        }
    }
}

/// Whether the first line is there, and is one of SIP; refuses what can be none as early as that shows.
/// No line ends within the first `searched` bytes.
fn starts_as_sip(rest: &[u8], searched: usize) -> Result<bool, FramingError> {
    // A method, or the start of a status line: letters of the alphabet of tokens.
    if !rest.iter().take(4).all(u8::is_ascii_graphic) {
        return Err(FramingError::NotSip);
    }
    let unseen = rest.get(searched..).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', unseen).map(|at| searched + at) else {
        return Ok(false);
    };
    let line = rest.get(..end).unwrap_or_default();
    let is_sip = line.windows(4).any(|w| w.eq_ignore_ascii_case(b"SIP/"));
    is_sip.then_some(true).ok_or(FramingError::NotSip)
}

/// The one value of Content-Length among the headers.
fn content_length(head: &[u8]) -> Option<u64> {
    let mut found = None;
    for line in head.split(|b| *b == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = line.split_at_checked(colon)?;
        let name = name.trim_ascii_end();
        if !(name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l")) {
            continue;
        }
        let digits = value.get(1..)?.trim_ascii();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
        let value: u64 = text.parse().ok()?;
        if found.replace(value).is_some_and(|before| before != value) {
            return None;
        }
    }
    found
}

/// A frame as a server sends it: final, not masked.
fn frame(opcode: OpCode, payload: &[u8]) -> Packet {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    // Writing to memory does not fail.
    let _ = header.format(payload.len() as u64, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes.into()
}

#[cfg(test)]
mod tests;
