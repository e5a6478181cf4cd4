//! Forwarding: the received bytes plus a list of splices. All other bytes leave unchanged.

use super::span::Span;

/// Replacements of byte ranges of one message, in any order. Reused from message to message.
#[derive(Debug, Default)]
pub(crate) struct Splices {
    list: Vec<Splice>,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Splice {
    old: Span,
    new: Span,
}

impl Splices {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.text.clear();
    }

    /// Puts the concatenation of `parts` in the place of `old`. Insertions at one position come out
    /// in the order they were made.
    pub(crate) fn replace(&mut self, old: Span, parts: &[&[u8]]) {
        let start = self.text.len();
        for part in parts {
            self.text.extend_from_slice(part);
        }
        let new = Span::new(start, self.text.len());
        self.list.push(Splice { old, new });
    }

    pub(crate) fn insert(&mut self, at: usize, parts: &[&[u8]]) {
        self.replace(Span::new(at, at), parts);
    }

    pub(crate) fn remove(&mut self, old: Span) {
        self.replace(old, &[]);
    }

    /// The bytes up to `end` with every splice applied. A splice that overlaps an earlier one keeps
    /// only its new text.
    pub(crate) fn render(&mut self, bytes: &[u8], end: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.render_into(bytes, end, &mut out);
        out
    }

    /// As [`Self::render`], into a buffer that is used again; it is cleared first.
    pub(crate) fn render_into(&mut self, bytes: &[u8], end: usize, out: &mut Vec<u8>) {
        // Stable: insertions at the same place keep their order.
        self.list.sort_by_key(|splice| splice.old.start);
        out.clear();
        out.reserve(bytes.len() + self.text.len());
        let mut at = 0;
        for splice in &self.list {
            debug_assert!(splice.old.from() >= at, "splices overlap");
            if let Some(kept) = bytes.get(at..splice.old.from()) {
                out.extend_from_slice(kept);
            }
            out.extend_from_slice(splice.new.of(&self.text));
            at = at.max(splice.old.to());
        }
        out.extend_from_slice(bytes.get(at..end).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untouched_bytes_stay() {
        let mut splices = Splices::default();
        let bytes = b"one two\xff three";
        splices.replace(Span::new(4, 7), &[b"2", b"!"]);
        splices.insert(0, &[b">"]);
        splices.insert(0, &[b">"]);
        splices.remove(Span::new(0, 4));
        assert_eq!(splices.render(bytes, bytes.len()), b">>2!\xff three");
        splices.clear();
        assert_eq!(splices.render(bytes, 3), b"one");
    }
}
