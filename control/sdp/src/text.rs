//! The text type of this crate. SDP is bytes: RFC 8866 §5 requires UTF-8, but `a=charset` and old
//! devices use other encodings. Carried text has to leave unchanged.

use std::borrow::Cow;
use std::fmt;
use std::hash;
use std::ops::Range;
use std::sync::Arc;

/// A piece of SDP: bytes, usually UTF-8, cheap to clone (a slice of the shared input).
///
/// A clone keeps the whole received text alive; at a few kilobytes per SDP that costs less than
/// one allocation per token. What outlives the text takes [`Text::detached`].
#[derive(Clone, Default)]
pub struct Text {
    buffer: Arc<[u8]>,
    start: usize,
    end: usize,
}

impl Text {
    /// The empty text.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes as received.
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The text, if it is valid UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        str::from_utf8(self.as_bytes()).ok()
    }

    /// The text for logs and keys; what is not UTF-8 becomes U+FFFD. Never for sending on.
    pub fn as_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// The same in a buffer of its own, which keeps no longer text alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        match self.buffer.len() == self.len() {
            true => self.clone(),
            false => self.as_bytes().into(),
        }
    }

    /// A part of it, by bytes; empty if it ends before.
    pub(crate) fn part(&self, bytes: Range<usize>) -> Self {
        let bound = |at: usize| self.start.saturating_add(at).min(self.end);
        Self {
            buffer: Arc::clone(&self.buffer),
            start: bound(bytes.start),
            end: bound(bytes.end),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Compares without regard to ASCII case.
    pub fn eq_ignore_ascii_case(&self, other: impl AsRef<[u8]>) -> bool {
        self.as_bytes().eq_ignore_ascii_case(other.as_ref())
    }

    /// The tokens between spaces.
    pub fn tokens(&self) -> impl Iterator<Item = Self> + '_ {
        let source = Source(Arc::clone(&self.buffer));
        self.as_bytes()
            .split(|&byte| byte == b' ')
            .filter(|token| !token.is_empty())
            .map(move |token| source.text(token))
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self {
            buffer: bytes.into(),
            start: 0,
            end: bytes.len(),
        }
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        text.as_bytes().into()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl hash::Hash for Text {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.as_str_lossy(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.as_str_lossy(), f)
    }
}

/// The received bytes, of which every [`Text`] of a description is a slice.
#[derive(Clone)]
pub(crate) struct Source(Arc<[u8]>);

impl Source {
    pub(crate) fn new(bytes: Arc<[u8]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text of `part`, shared if it is a slice of this source and copied if it is not.
    pub(crate) fn text(&self, part: &[u8]) -> Text {
        let offset = part.as_ptr().addr().checked_sub(self.0.as_ptr().addr());
        match offset {
            Some(start)
                if self
                    .0
                    .get(start..start.saturating_add(part.len()))
                    .is_some() =>
            {
                Text {
                    buffer: Arc::clone(&self.0),
                    start,
                    end: start + part.len(),
                }
            }
            _ => part.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_the_source_are_shared_and_others_copied() {
        let source = Source::new(Arc::from(&b"m=audio 1"[..]));
        let shared = source.text(&source.as_bytes()[2..7]);
        let copied = source.text(b"audio");
        assert!(Arc::ptr_eq(&shared.buffer, &source.0));
        assert_eq!(shared, copied);
        assert_eq!(shared, "audio");
    }

    #[test]
    fn what_is_detached_keeps_nothing_else() {
        let source = Source::new(Arc::from(&b"m=audio 1"[..]));
        let shared = source.text(&source.as_bytes()[2..7]);
        let detached = shared.detached();
        assert_eq!(detached, shared);
        assert_eq!(detached.buffer.len(), 5);
        assert!(Arc::ptr_eq(&detached.detached().buffer, &detached.buffer));
        drop(shared);
        assert_eq!(Arc::strong_count(&source.0), 1);
    }

    #[test]
    fn bytes_that_are_not_utf8_survive() {
        let text = Text::from(&b"caf\xe9"[..]);
        assert_eq!(text.as_str(), None);
        assert_eq!(text.as_bytes(), b"caf\xe9");
        assert_eq!(text.as_str_lossy(), "caf\u{fffd}");
    }
}
