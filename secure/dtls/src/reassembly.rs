//! Handshake messages from fragments that come in any order, twice, or overlapping (RFC 6347
//! §4.2.2, §4.2.3), within bounds. The library's own reassembly recurses per fragment and keeps up to
//! 2 MB for each of its sessions; it is given whole messages only.

use std::collections::BTreeMap;

use crate::limits;
use crate::wire::Fragment;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) number: u16,
    pub(crate) body: Vec<u8>,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is kept, or was known.
    Kept,
    /// Its message was already complete: the peer repeats itself.
    Repeated,
    /// A bound is reached.
    Refused,
}

/// Messages of one peer and one handshake, given out in their order.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    next: u16,
    partial: BTreeMap<u16, Partial>,
    bytes: usize,
}

impl Reassembly {
    /// Waits for message `next` first.
    pub(crate) fn from(next: u16) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, fragment: &Fragment<'_>) -> Taken {
        let Some(ahead) = fragment.message.checked_sub(self.next) else {
            return Taken::Repeated;
        };
        if ahead >= limits::MESSAGES_AHEAD || fragment.length > limits::MESSAGE_BYTES {
            return Taken::Refused;
        }
        if let Some(partial) = self.partial.get_mut(&fragment.message) {
            if partial.kind == fragment.kind && partial.body.len() == fragment.length {
                return partial.push(fragment);
            }
            // One of them is forged. What comes last is believed, so that the peer's repetition
            // mends what a stranger has spoilt.
            self.bytes -= partial.body.len();
            self.partial.remove(&fragment.message);
        }
        if self.bytes + fragment.length > limits::UNFINISHED_BYTES {
            return Taken::Refused;
        }
        self.bytes += fragment.length;
        let partial = self.partial.entry(fragment.message);
        partial
            .or_insert_with(|| Partial::new(fragment))
            .push(fragment)
    }

    /// The next message, once it is complete.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        if !self.partial.get(&self.next)?.is_complete() {
            return None;
        }
        let partial = self.partial.remove(&self.next)?;
        let number = self.next;
        self.next = self.next.checked_add(1)?;
        self.bytes -= partial.body.len();
        Some(Message {
            kind: partial.kind,
            number,
            body: partial.body,
        })
    }
}

/// A message of which pieces are missing.
#[derive(Debug)]
struct Partial {
    kind: u8,
    body: Vec<u8>,
    /// What has come, as disjoint ranges that do not touch, sorted.
    pieces: Vec<(usize, usize)>,
}

impl Partial {
    fn new(fragment: &Fragment<'_>) -> Self {
        Self {
            kind: fragment.kind,
            body: vec![0; fragment.length],
            pieces: Vec::new(),
        }
    }

    fn push(&mut self, fragment: &Fragment<'_>) -> Taken {
        let (mut start, mut end) = (fragment.offset, fragment.offset + fragment.body.len());
        let joined = |piece: &(usize, usize)| piece.0 <= end && start <= piece.1;
        let (join, mut kept): (Vec<_>, Vec<_>) = self.pieces.iter().copied().partition(joined);
        if join.is_empty() && kept.len() >= limits::PIECES {
            return Taken::Refused;
        }
        let Some(target) = self.body.get_mut(start..end) else {
            return Taken::Refused;
        };
        target.copy_from_slice(fragment.body);
        for piece in join {
            start = start.min(piece.0);
            end = end.max(piece.1);
        }
        kept.push((start, end));
        kept.sort_unstable();
        self.pieces = kept;
        Taken::Kept
    }

    fn is_complete(&self) -> bool {
        self.pieces.as_slice() == [(0, self.body.len())]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(message: u16, length: usize, offset: usize, body: &[u8]) -> Fragment<'_> {
        Fragment {
            kind: 11,
            length,
            message,
            offset,
            body,
        }
    }

    #[test]
    fn messages_come_out_in_order() {
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.push(&piece(1, 3, 0, b"two")), Taken::Kept);
        assert_eq!(reassembly.pop(), None);
        assert_eq!(reassembly.push(&piece(0, 6, 3, b"one")), Taken::Kept);
        assert_eq!(reassembly.pop(), None);
        assert_eq!(reassembly.push(&piece(0, 6, 0, b"the")), Taken::Kept);
        assert_eq!(reassembly.pop().unwrap().body, b"theone");
        assert_eq!(reassembly.pop().unwrap().body, b"two");
        assert_eq!(reassembly.push(&piece(0, 6, 0, b"the")), Taken::Repeated);
    }

    #[test]
    fn message_without_a_body_is_complete_at_once() {
        let mut reassembly = Reassembly::default();
        assert_eq!(reassembly.push(&piece(0, 0, 0, b"")), Taken::Kept);
        assert_eq!(reassembly.pop().unwrap().body, b"");
    }

    #[test]
    fn last_of_contradicting_fragments_is_believed() {
        let mut reassembly = Reassembly::default();
        let forged = Fragment {
            kind: 12,
            ..piece(1, 7, 0, b"forged!")
        };
        assert_eq!(reassembly.push(&forged), Taken::Kept);
        assert_eq!(reassembly.push(&piece(1, 3, 0, b"tw0")), Taken::Kept);
        assert_eq!(reassembly.push(&piece(1, 3, 2, b"o")), Taken::Kept);
        assert_eq!(reassembly.push(&piece(0, 0, 0, b"")), Taken::Kept);
        reassembly.pop().unwrap();
        assert_eq!(reassembly.pop().unwrap().body, b"two");
        assert_eq!(reassembly.bytes, 0);
    }

    #[test]
    fn bounds_hold() {
        let mut reassembly = Reassembly::default();
        let long = limits::MESSAGE_BYTES;
        assert_eq!(reassembly.push(&piece(0, long + 1, 0, b"")), Taken::Refused);
        assert_eq!(reassembly.push(&piece(8, 1, 0, b"")), Taken::Refused);
        for number in 0..2 {
            assert_eq!(reassembly.push(&piece(number, long, 0, b"x")), Taken::Kept);
        }
        assert_eq!(reassembly.push(&piece(2, 1, 0, b"x")), Taken::Refused);
        for index in 1..limits::PIECES {
            assert_eq!(
                reassembly.push(&piece(0, long, index * 2, b"x")),
                Taken::Kept
            );
        }
        assert_eq!(reassembly.push(&piece(0, long, 4000, b"x")), Taken::Refused);
        assert_eq!(reassembly.push(&piece(0, long, 1, b"x")), Taken::Kept);
    }

    proptest! {
        #[test]
        fn any_cut_and_order_gives_the_message(
            body in proptest::collection::vec(any::<u8>(), 1..300),
            cuts in proptest::collection::vec((0usize..300, 1usize..80), 0..40),
        ) {
            let mut reassembly = Reassembly::default();
            let whole = (0, body.len());
            for (start, len) in cuts.into_iter().chain([whole]) {
                let start = start.min(body.len());
                let end = (start + len).min(body.len());
                reassembly.push(&piece(0, body.len(), start, &body[start..end]));
            }
            prop_assert_eq!(reassembly.pop().unwrap().body, body);
        }
    }
}
