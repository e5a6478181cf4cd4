//! Positions in a message, and the few ways to move over its bytes.

use std::borrow::Cow;

use memchr::memchr;

/// A range of bytes of one message. Taking it from other bytes gives nonsense, never a panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Messages are bounded far below 4 GiB by `Limits::message_bytes`.
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            start: clamp(start),
            end: clamp(end.max(start)),
        }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.from()..self.to()).unwrap_or_default()
    }

    pub(crate) fn from(self) -> usize {
        self.start as usize
    }

    pub(crate) fn to(self) -> usize {
        self.end as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// The span without white space and folding at both ends.
    pub(crate) fn trim(self, bytes: &[u8]) -> Self {
        let text = self.of(bytes);
        let Some(first) = text.iter().position(|b| !is_lws(*b)) else {
            return Self {
                start: self.start,
                end: self.start,
            };
        };
        let last = text.iter().rposition(|b| !is_lws(*b)).unwrap_or(first);
        Self::new(self.from() + first, self.from() + last + 1)
    }
}

/// Linear white space; CR and LF occur inside a value only where it is folded.
pub(crate) fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `token` of RFC 3261 §25.1.
#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256 entries")]
    TOKEN[usize::from(byte)]
}

/// Every header name is read by it, byte for byte.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// The text of a token or quoted string: without its quotes, quoted pairs resolved.
pub(crate) fn unquoted(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = text.strip_prefix(b"\"") else {
        return Cow::Borrowed(text);
    };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    if memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            byte => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// Walks over a span of a message, in message positions.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    pub(crate) end: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], span: Span) -> Self {
        Self {
            bytes,
            at: span.from(),
            end: span.to().min(bytes.len()),
        }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        if self.at < self.end {
            self.bytes.get(self.at).copied()
        } else {
            None
        }
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    pub(crate) fn skip_lws(&mut self) {
        self.take_while(is_lws);
    }

    #[inline]
    pub(crate) fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> Span {
        let start = self.at;
        let rest = self.bytes.get(start..self.end).unwrap_or_default();
        self.at += rest.iter().position(|b| !keep(*b)).unwrap_or(rest.len());
        Span::new(start, self.at)
    }

    /// A quoted string with its quotes; `None` if it does not begin here or never ends.
    pub(crate) fn quoted(&mut self) -> Option<Span> {
        let start = self.at;
        if !self.eat(b'"') {
            return None;
        }
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Some(Span::new(start, self.at)),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
        None
    }

    pub(crate) fn rest(&self) -> Span {
        Span::new(self.at, self.end)
    }
}

/// The values of a comma-joined row, trimmed, in order. Commas in quotes and angle brackets do not
/// separate. Empty values are skipped.
pub(crate) fn values(bytes: &[u8], row: Span) -> impl Iterator<Item = Span> {
    let mut cursor = Cursor::new(bytes, row);
    std::iter::from_fn(move || {
        loop {
            let start = cursor.at;
            cursor.peek()?;
            let mut angle = false;
            loop {
                cursor.take_while(|b| !matches!(b, b'"' | b'<' | b'>' | b','));
                match cursor.peek() {
                    Some(b'"') if !angle => {
                        if cursor.quoted().is_none() {
                            cursor.at = cursor.end;
                        }
                        continue;
                    }
                    Some(b'<') => angle = true,
                    Some(b'>') => angle = false,
                    Some(b',') if !angle => break,
                    Some(_) => {}
                    None => break,
                }
                cursor.at += 1;
            }
            let value = Span::new(start, cursor.at.min(cursor.end)).trim(bytes);
            cursor.eat(b',');
            if !value.is_empty() {
                return Some(value);
            }
        }
    })
}

/// One `;name=value` parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    /// The parameter from its semicolon to the end of its value.
    pub(crate) whole: Span,
    pub(crate) name: Span,
    pub(crate) value: Option<Span>,
}

/// Parses `*( SEMI name [ EQUAL value ] )` up to the end of the cursor. Each parameter is handed to
/// `each`; the result tells whether all of it was well formed.
pub(crate) fn params(mut cursor: Cursor<'_>, mut each: impl FnMut(Param)) -> bool {
    loop {
        cursor.skip_lws();
        if cursor.peek().is_none() {
            return true;
        }
        let start = cursor.at;
        if !cursor.eat(b';') {
            return false;
        }
        cursor.skip_lws();
        let name = cursor.take_while(|b| is_token(b) || b == b'[' || b == b']' || b == b':');
        if name.is_empty() {
            return false;
        }
        let mut end = cursor.at;
        let mut value = None;
        let mut ahead = cursor;
        ahead.skip_lws();
        if ahead.eat(b'=') {
            ahead.skip_lws();
            let text = if ahead.peek() == Some(b'"') {
                match ahead.quoted() {
                    Some(text) => text,
                    None => return false,
                }
            } else {
                ahead.take_while(|b| !is_lws(b) && !matches!(b, b';' | b',' | b'"' | b'<' | b'>'))
            };
            end = ahead.at;
            value = Some(text);
            cursor = ahead;
        }
        each(Param {
            whole: Span::new(start, end),
            name,
            value,
        });
    }
}

/// An unsigned decimal number of at most `max`, digits only.
pub(crate) fn number(text: &[u8], max: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut n = 0u64;
    for byte in text {
        let digit = byte.checked_sub(b'0').filter(|d| *d <= 9)?;
        n = n.checked_mul(10)?.checked_add(u64::from(digit))?;
        if n > max {
            return None;
        }
    }
    Some(n)
}
