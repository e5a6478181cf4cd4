//! The byte stream of a connection, cut into messages (RFC 3261 §18.3, RFC 5626 §4.4.1, spec §3.7).
//! Sans-IO: bytes in, whole messages out.
//!
//! A stream that is broken stays broken: after [`Frame::Refused`] nothing more comes out, and the
//! owner sends the response, if there is one, and closes.

use std::net::SocketAddr;
use std::sync::Arc;

use memchr::memchr;

use super::Message;
use super::build;
use super::header::HeaderId;
use super::limits::Limits;
use super::parse::{Lines, ParseError, Parsed};
use super::span::{Cursor, is_token, number};

/// One piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The bytes of one message, without line ends before it. What is in it was not checked.
    Message(Arc<[u8]>),
    /// CRLF CRLF between messages: the peer waits for a CRLF (RFC 5626 §4.4.1).
    Ping,
    /// The end of the next message cannot be known.
    Refused {
        error: FrameError,
        /// A 400 or 513, if the headers are complete enough.
        response: Option<Box<[u8]>>,
    },
}

/// Reasons why a stream cannot be cut any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("Content-Length is not a number or contradicts itself")]
    ContentLength,
    #[error("headers are longer than {0} bytes")]
    HeadTooLarge(usize),
    #[error("Content-Length is missing")]
    NoContentLength,
    #[error("the first line is no start line of SIP")]
    NotSip,
    #[error("message is longer than {0} bytes")]
    TooLarge(usize),
}

/// Cuts the stream of one connection.
///
/// Push what was read, then poll until `None`. The buffer holds one message of at most
/// `stream_message_bytes` and what was pushed behind it. Each byte is looked at a fixed number of
/// times, however the stream is split.
#[derive(Debug)]
pub(crate) struct Framer {
    limits: Limits,
    peer: SocketAddr,
    buffer: Vec<u8>,
    /// Where the next message begins.
    start: usize,
    state: State,
    /// Bytes that were looked at for the end of headers, for tests.
    #[cfg(test)]
    pub(crate) examined: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between messages.
    Between,
    /// In the start line or headers. Positions are relative to the message.
    Head {
        /// No line ends before.
        scanned: usize,
        /// Begin of the line that `scanned` is in.
        line: usize,
    },
    /// The headers are complete; the message has this many bytes.
    Body {
        length: usize,
    },
    Broken,
}

impl Framer {
    /// A stream from `peer`, whose address goes into responses to it.
    pub(crate) fn new(limits: Limits, peer: SocketAddr) -> Self {
        Self {
            limits: limits.of_stream(),
            peer,
            buffer: Vec::new(),
            start: 0,
            state: State::Between,
            #[cfg(test)]
            examined: 0,
        }
    }

    /// Takes bytes that were read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next piece; `None` if it needs more bytes, or the stream is broken.
    pub(crate) fn poll(&mut self) -> Option<Frame> {
        let frame = self.step();
        if frame.is_none() {
            // At most once per push: what was handed out makes room.
            self.buffer.drain(..self.start);
            self.start = 0;
            if self.buffer.is_empty() && self.buffer.capacity() > SPARE_BYTES {
                self.buffer.shrink_to(SPARE_BYTES);
            }
        }
        frame
    }

    /// Whether a message has begun and is not complete: the owner's patience runs.
    pub(crate) fn is_partial(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    /// Bytes in the buffer.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn step(&mut self) -> Option<Frame> {
        loop {
            match self.state {
                State::Between => {
                    if let Some(ping) = self.between()? {
                        return Some(ping);
                    }
                }
                State::Head { scanned, line } => {
                    if let Some(refused) = self.head(scanned, line)? {
                        return Some(refused);
                    }
                }
                State::Body { length } => {
                    let message = self.rest().get(..length)?;
                    let message = Arc::from(message);
                    self.start += length;
                    self.state = State::Between;
                    return Some(Frame::Message(message));
                }
                State::Broken => return None,
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Line ends between messages. `None`: more bytes are needed.
    fn between(&mut self) -> Option<Option<Frame>> {
        let step = match self.rest() {
            [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return None,
            [b'\r', b'\n', b'\r', b'\n', ..] => 4,
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] if self.limits.lenient_eol => 1,
            _ => {
                self.state = State::Head {
                    scanned: 0,
                    line: 0,
                };
                return Some(None);
            }
        };
        self.start += step;
        Some((step == 4).then_some(Frame::Ping))
    }

    /// Looks for the empty line. `None`: more bytes are needed.
    fn head(&mut self, mut scanned: usize, mut line: usize) -> Option<Option<Frame>> {
        loop {
            let seen = self.rest().len();
            let unseen = self.rest().get(scanned..).unwrap_or_default();
            let found = memchr(b'\n', unseen);
            #[cfg(test)]
            {
                self.examined += found.map_or(unseen.len(), |at| at + 1);
            }
            let Some(lf) = found.map(|at| scanned + at) else {
                self.state = State::Head {
                    scanned: seen,
                    line,
                };
                // The line ends behind these bytes.
                return self.too_long(line, seen).map(Some);
            };
            scanned = lf + 1;
            // However the stream was split, the same bytes are refused for the same reason.
            if let Some(refused) = self.too_long(line, lf) {
                return Some(Some(refused));
            }
            let rest = self.rest();
            let has_cr = lf > line && rest.get(lf - 1) == Some(&b'\r');
            if !has_cr && !self.limits.lenient_eol {
                continue;
            }
            let text = rest.get(line..lf - usize::from(has_cr)).unwrap_or_default();
            if line == 0 && !Parsed::is_start_line(text) {
                return Some(Some(self.refuse(FrameError::NotSip, None)));
            }
            line = scanned;
            if text.is_empty() {
                return Some(self.measure(scanned));
            }
        }
    }

    /// Refuses a head of which `line` is the begin of the last line, which ends at `end` or behind.
    fn too_long(&mut self, line: usize, end: usize) -> Option<Frame> {
        let (most, first) = (self.limits.stream_head_bytes, self.limits.header_bytes);
        // A first line as long as no header may be is no start line, either.
        if line == 0 && end > first && first <= most {
            return Some(self.refuse(FrameError::NotSip, None));
        }
        (end >= most).then(|| self.refuse(FrameError::HeadTooLarge(most), None))
    }

    /// The headers are complete: how long is the message?
    fn measure(&mut self, head: usize) -> Option<Frame> {
        let most = self.limits.stream_message_bytes;
        let length = content_length(self.rest().get(..head).unwrap_or_default(), &self.limits);
        let error = match length {
            Ok(Some(length)) => match usize::try_from(length)
                .ok()
                .and_then(|n| head.checked_add(n))
            {
                Some(length) if length <= most => {
                    self.state = State::Body { length };
                    return None;
                }
                _ => FrameError::TooLarge(most),
            },
            Ok(None) => FrameError::NoContentLength,
            Err(()) => FrameError::ContentLength,
        };
        Some(self.refuse(error, Some(head)))
    }

    fn refuse(&mut self, error: FrameError, head: Option<usize>) -> Frame {
        let response = head.and_then(|head| {
            let bytes: Arc<[u8]> = self.rest().get(..head)?.into();
            let mut parsed = Parsed::default();
            let parse_error = parsed.parse(&bytes, &self.limits).err();
            let answer = match (error, parse_error) {
                (FrameError::TooLarge(_), _) => ParseError::TooLarge,
                (_, Some(error)) => error,
                (_, None) => ParseError::ContentLength,
            };
            let message = Message { bytes, parsed };
            let can_answer = message.parsed.can_answer();
            let build = || build::response(&message, self.peer, answer.response(), None, b"");
            can_answer.then(|| build().into())
        });
        self.buffer = Vec::new();
        self.start = 0;
        self.state = State::Broken;
        Frame::Refused { error, response }
    }
}

/// The Content-Length of complete headers; an error if it is no number, or there are several. Its
/// lines are those of [`Parsed::parse`]: no one else's view of them counts.
fn content_length(head: &[u8], limits: &Limits) -> Result<Option<u64>, ()> {
    let mut found = None;
    let mut lines = Lines::new(head, limits);
    lines.next();
    while let Some(row) = lines.next_row() {
        let mut cursor = Cursor::new(head, row);
        let name = cursor.take_while(is_token);
        cursor.take_while(|b| matches!(b, b' ' | b'\t'));
        if HeaderId::of(name.of(head)) != HeaderId::ContentLength || !cursor.eat(b':') {
            continue;
        }
        let length = number(cursor.rest().trim(head).of(head), u64::MAX).ok_or(())?;
        if found.is_some_and(|before| before != length) {
            return Err(());
        }
        found = Some(length);
    }
    Ok(found)
}

/// Memory that an idle connection keeps.
const SPARE_BYTES: usize = 4096;
