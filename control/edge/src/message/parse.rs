//! One pass over a datagram: start line, header table, and the fields that routing needs.

use memchr::memchr3;

use super::header::{Header, HeaderId, Method};
use super::limits::{EXPECTED_HEADERS, Limits};
use super::name_addr::NameAddr;
use super::span::{Cursor, Span, is_lws, is_token, number, values};
use super::uri::{Uri, UriError};
use super::via::Via;

/// Reasons why a datagram is no message that the edge relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("a line feed, carriage return or NUL inside of a header")]
    ControlByte,
    #[error("Content-Length is not a number, contradicts itself or exceeds the datagram")]
    ContentLength,
    #[error("CSeq is malformed")]
    CSeq,
    #[error("CSeq names another method")]
    CSeqMethod,
    #[error("header {0:?} occurs twice")]
    Duplicate(HeaderId),
    #[error("From or To is malformed")]
    FromTo,
    #[error("a header line is malformed")]
    HeaderLine,
    #[error("Max-Forwards is not a number up to 255")]
    MaxForwards,
    #[error("header {0:?} is missing")]
    Missing(HeaderId),
    #[error("Request-URI is malformed")]
    RequestUri,
    #[error("start line is malformed")]
    StartLine,
    #[error("message exceeds a limit")]
    TooLarge,
    #[error("headers do not end")]
    Truncated,
    #[error("not SIP/2.0")]
    Version,
    #[error("top Via is malformed")]
    Via,
}

impl ParseError {
    /// Status code and reason of the response.
    pub(crate) fn response(self) -> (u16, &'static str) {
        match self {
            Self::Version => (505, "Version Not Supported"),
            Self::TooLarge => (513, "Message Too Large"),
            Self::CSeq | Self::CSeqMethod => (400, "Bad CSeq"),
            Self::ContentLength => (400, "Bad Content-Length"),
            Self::RequestUri => (400, "Bad Request-URI"),
            Self::Via => (400, "Bad Via"),
            Self::FromTo => (400, "Bad From or To"),
            Self::Duplicate(_) => (400, "Duplicate Header"),
            Self::Missing(_) => (400, "Missing Header"),
            _ => (400, "Bad Request"),
        }
    }
}

/// The start line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// Unknown method.
    #[default]
    Unknown,
    Request {
        uri: Span,
    },
    Response {
        status: u16,
    },
}

/// Positions of all parts of a message. After an error it holds what was parsed so far, enough for
/// a 400 if [`Self::can_answer`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) start: Start,
    /// Start line without its line end.
    pub(crate) start_line: Span,
    /// Spaces behind the Request-Line ([`Limits::lenient_start_line`]), removed in forwarding.
    pub(crate) padding: Span,
    pub(crate) headers: Vec<Header>,
    /// Method of the request line, or of the CSeq of a response.
    pub(crate) method: Method,
    /// The bytes of the method.
    pub(crate) method_name: Span,
    pub(crate) via: Via,
    pub(crate) from: NameAddr,
    pub(crate) to: NameAddr,
    pub(crate) call_id: Span,
    pub(crate) cseq: u32,
    pub(crate) max_forwards: Option<(Span, u8)>,
    pub(crate) content_length: Option<Span>,
    pub(crate) content_type: Option<Span>,
    /// The empty line, where further headers are inserted.
    pub(crate) headers_end: usize,
    pub(crate) body: Span,
    pub(crate) vias: usize,
    /// The scheme of the Request-URI is unknown: 416.
    pub(crate) unknown_scheme: bool,
    seen: u64,
}

impl Parsed {
    /// Parses one datagram, keeping the allocation of the header table.
    pub(crate) fn parse(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), ParseError> {
        let headers = std::mem::take(&mut self.headers);
        *self = Self {
            headers,
            ..Self::default()
        };
        self.headers.clear();
        self.headers.reserve(EXPECTED_HEADERS);
        if bytes.len() > limits.message_bytes {
            return Err(ParseError::TooLarge);
        }
        let mut lines = Lines::new(bytes, limits);
        lines.skip_empty();
        self.start_line = lines.next().ok_or(ParseError::Truncated)?;
        let start = self.start_line(bytes, limits);
        let scanned = self.scan_headers(&mut lines, limits);
        // The version or a malformed start line comes first, but a response needs the headers.
        start.and(scanned)?;
        if lines.has_control {
            return Err(ParseError::ControlByte);
        }
        self.finish(bytes, limits)
    }

    /// Whether a first line may begin a SIP message of some version, so that it is worth waiting for
    /// its headers.
    pub(crate) fn is_start_line(line: &[u8]) -> bool {
        let is_sip = |text: &[u8]| text.eq_ignore_ascii_case(b"SIP/");
        is_sip(line.get(..4).unwrap_or_default())
            || memchr::memchr_iter(b' ', line)
                .any(|at| is_sip(line.get(at + 1..at + 5).unwrap_or_default()))
    }

    /// Whether all headers a response copies are there.
    pub(crate) fn can_answer(&self) -> bool {
        !matches!(self.start, Start::Response { .. })
            && [
                HeaderId::Via,
                HeaderId::From,
                HeaderId::To,
                HeaderId::CallId,
                HeaderId::CSeq,
            ]
            .into_iter()
            .all(|id| self.has(id))
            && !self.via.host.is_empty()
            && self.method != Method::Ack
    }

    /// A request reduced to its method, as `length` bytes.
    pub(crate) fn of_method(method: Method, length: usize) -> Self {
        Self {
            method,
            method_name: Span::new(0, length),
            ..Self::default()
        }
    }

    pub(crate) fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    pub(crate) fn status(&self) -> u16 {
        match self.start {
            Start::Response { status } => status,
            _ => 0,
        }
    }

    fn has(&self, id: HeaderId) -> bool {
        self.seen & (1 << id as u32) != 0
    }

    fn start_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), ParseError> {
        let line = self.start_line;
        let text = line.of(bytes);
        let first = text.get(..4).unwrap_or_default();
        if first.eq_ignore_ascii_case(b"SIP/") {
            self.start = Start::Response { status: 0 };
            let version = text.get(..8).unwrap_or_default();
            if !version.eq_ignore_ascii_case(b"SIP/2.0 ") {
                return Err(ParseError::Version);
            }
            let code = text.get(8..11).unwrap_or_default();
            let status = number(code, 699)
                .filter(|n| *n >= 100)
                .ok_or(ParseError::StartLine)?;
            if text.get(11).is_some_and(|b| *b != b' ') {
                return Err(ParseError::StartLine);
            }
            let status = u16::try_from(status).map_err(|_| ParseError::StartLine)?;
            self.start = Start::Response { status };
            return Ok(());
        }
        let mut cursor = Cursor::new(bytes, line);
        let method = cursor.take_while(is_token);
        self.method_name = method;
        self.method = Method::of(method.of(bytes));
        if method.is_empty() || !cursor.eat(b' ') {
            return Err(ParseError::StartLine);
        }
        let uri = cursor.take_while(|b| b != b' ');
        if !cursor.eat(b' ') {
            return Err(ParseError::StartLine);
        }
        let mut version = cursor.rest().of(bytes);
        if limits.lenient_start_line {
            let kept = version.trim_ascii_end();
            let end = line.to() - (version.len() - kept.len());
            self.padding = Span::new(end, line.to());
            self.start_line = Span::new(line.from(), end);
            version = kept;
        }
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            let other = version.len() == 7
                && version
                    .get(..4)
                    .is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"))
                && !version.contains(&b' ');
            return Err(if other {
                ParseError::Version
            } else {
                ParseError::StartLine
            });
        }
        self.start = Start::Request { uri };
        match Uri::parse(bytes, uri) {
            // Headers have no place in a Request-URI (RFC 3261 §19.1.1 table 1).
            Ok(parsed) if !parsed.headers.is_empty() => Err(ParseError::RequestUri),
            Ok(_) => Ok(()),
            Err(UriError::UnknownScheme) => {
                self.unknown_scheme = true;
                Ok(())
            }
            Err(UriError::Syntax) => Err(ParseError::RequestUri),
        }
    }

    fn scan_headers(&mut self, lines: &mut Lines<'_>, limits: &Limits) -> Result<(), ParseError> {
        let bytes = lines.bytes;
        let mut first_error = Ok(());
        loop {
            let at = lines.at;
            let Some(row) = lines.next_row() else {
                return first_error.and(Err(ParseError::Truncated));
            };
            if row.is_empty() {
                self.headers_end = at;
                self.body = Span::new(lines.at, bytes.len());
                return first_error;
            }
            if row.to() - row.from() > limits.header_bytes || self.headers.len() >= limits.headers {
                return Err(ParseError::TooLarge);
            }
            let mut cursor = Cursor::new(bytes, row);
            let name = cursor.take_while(is_token);
            cursor.take_while(|b| matches!(b, b' ' | b'\t'));
            if name.is_empty() || !cursor.eat(b':') {
                first_error = first_error.and(Err(ParseError::HeaderLine));
            } else {
                let header = Header {
                    id: HeaderId::of(name.of(bytes)),
                    name,
                    value: cursor.rest().trim(bytes),
                    row: Span::new(row.from(), lines.at),
                };
                // Noted even after an error: a response needs it.
                let noted = self.note(bytes, header, limits);
                first_error = first_error.and(noted);
                self.headers.push(header);
            }
        }
    }

    /// Caches the fields of one row that routing needs.
    fn note(&mut self, bytes: &[u8], header: Header, limits: &Limits) -> Result<(), ParseError> {
        let Header { id, value, .. } = header;
        let again = self.has(id);
        self.seen |= 1 << id as u32;
        let once = matches!(
            id,
            HeaderId::From
                | HeaderId::To
                | HeaderId::CallId
                | HeaderId::CSeq
                | HeaderId::MaxForwards
                | HeaderId::ContentType
        );
        if once && again {
            return Err(ParseError::Duplicate(id));
        }
        let text = value.of(bytes);
        match id {
            HeaderId::Via => {
                let mut vias = values(bytes, value);
                let first = vias.next();
                self.vias += usize::from(first.is_some()) + vias.count();
                if self.vias > limits.vias {
                    return Err(ParseError::TooLarge);
                }
                if !again {
                    let top = Via::read(bytes, first.ok_or(ParseError::Via)?);
                    let is_well_formed = top.is_ok();
                    self.via = top.unwrap_or_else(|partial| partial);
                    if !is_well_formed {
                        return Err(ParseError::Via);
                    }
                }
            }
            HeaderId::From => {
                self.from = NameAddr::parse(bytes, value).ok_or(ParseError::FromTo)?
            }
            HeaderId::To => self.to = NameAddr::parse(bytes, value).ok_or(ParseError::FromTo)?,
            HeaderId::CallId => {
                if text.is_empty() || text.iter().any(|b| is_lws(*b)) {
                    return Err(ParseError::Missing(id));
                }
                self.call_id = value;
            }
            HeaderId::CSeq => {
                let mut cursor = Cursor::new(bytes, value);
                let digits = cursor.take_while(|b| b.is_ascii_digit());
                let number = number(digits.of(bytes), 0x7fff_ffff).ok_or(ParseError::CSeq)?;
                self.cseq = u32::try_from(number).map_err(|_| ParseError::CSeq)?;
                if !cursor.peek().is_some_and(is_lws) {
                    return Err(ParseError::CSeq);
                }
                cursor.skip_lws();
                let name = cursor.take_while(is_token);
                if name.is_empty() || cursor.peek().is_some() {
                    return Err(ParseError::CSeq);
                }
                if self.method_name.is_empty() {
                    self.method_name = name;
                    self.method = Method::of(name.of(bytes));
                } else if name.of(bytes) != self.method_name.of(bytes) {
                    return Err(ParseError::CSeqMethod);
                }
            }
            HeaderId::MaxForwards => {
                let n = number(text, 255).ok_or(ParseError::MaxForwards)?;
                let n = u8::try_from(n).map_err(|_| ParseError::MaxForwards)?;
                self.max_forwards = Some((value, n));
            }
            HeaderId::ContentLength => {
                let n = number(text, u64::from(u32::MAX)).ok_or(ParseError::ContentLength)?;
                let before = self
                    .content_length
                    .map(|v| number(v.of(bytes), u64::from(u32::MAX)));
                if before.is_some_and(|b| b != Some(n)) {
                    return Err(ParseError::ContentLength);
                }
                self.content_length = Some(value);
            }
            HeaderId::ContentType => self.content_type = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), ParseError> {
        for id in [
            HeaderId::Via,
            HeaderId::From,
            HeaderId::To,
            HeaderId::CallId,
            HeaderId::CSeq,
        ] {
            if !self.has(id) {
                return Err(ParseError::Missing(id));
            }
        }
        for id in [HeaderId::Route, HeaderId::RecordRoute] {
            if self.has(id) {
                let rows = self.headers.iter().filter(|h| h.id == id);
                if rows.flat_map(|h| values(bytes, h.value)).count() > limits.routes {
                    return Err(ParseError::TooLarge);
                }
            }
        }
        if let Some(value) = self.content_length {
            let have = self.body.to() - self.body.from();
            let max = u64::try_from(have).unwrap_or(u64::MAX);
            let length = number(value.of(bytes), max).ok_or(ParseError::ContentLength)?;
            let length = usize::try_from(length).map_err(|_| ParseError::ContentLength)?;
            // Bytes behind the body are another message or noise (RFC 3261 §18.3).
            self.body = Span::new(self.body.from(), self.body.from() + length);
        }
        Ok(())
    }
}

/// Walks over the lines of the head of a message.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    lenient_eol: bool,
    /// A line holds what another parser may take for the end of a line, or of the text (RFC 3261
    /// §25.1 has none of them there).
    has_control: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: &Limits) -> Self {
        Self {
            bytes,
            at: 0,
            lenient_eol: limits.lenient_eol,
            has_control: false,
        }
    }

    /// Line ends before the start line (RFC 3261 §7.5).
    fn skip_empty(&mut self) {
        loop {
            match self.bytes.get(self.at..) {
                Some([b'\r', b'\n', ..]) => self.at += 2,
                Some([b'\n', ..]) if self.lenient_eol => self.at += 1,
                _ => return,
            }
        }
    }

    /// The next line with its continuation lines, which begin with white space. The empty line that
    /// ends the headers has none.
    pub(super) fn next_row(&mut self) -> Option<Span> {
        let mut row = self.next()?;
        while !row.is_empty() && matches!(self.bytes.get(self.at), Some(b' ' | b'\t')) {
            row.end = self.next()?.end;
        }
        Some(row)
    }

    /// The next line without its end; `None` if it has none.
    pub(super) fn next(&mut self) -> Option<Span> {
        let begin = self.at;
        let mut at = begin;
        loop {
            let found = at + memchr3(b'\r', b'\n', 0, self.bytes.get(at..)?)?;
            at = found + 1;
            match (self.bytes.get(found), self.bytes.get(at)) {
                (Some(b'\r'), Some(b'\n')) => {
                    self.at = at + 1;
                    return Some(Span::new(begin, found));
                }
                (Some(b'\n'), _) if self.lenient_eol => {
                    self.at = at;
                    return Some(Span::new(begin, found));
                }
                // A quoted pair may hold a NUL.
                (Some(0), _) if found > begin && self.bytes.get(found - 1) == Some(&b'\\') => {}
                _ => self.has_control = true,
            }
        }
    }
}
