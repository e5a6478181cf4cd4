//! What the process that forwards tells the one that compares: bencode dictionaries, one behind the
//! other.

use std::time::Duration;

use windlass_ng::bencode::{self, Framer};
use windlass_ng::{Dict, Value};

use super::observer::Observed;
use super::tally::Skipped;
use crate::limits::{SHADOW_MESSAGE_BYTES, SHADOW_NOTE_BYTES};

/// One thing that the forwarding process tells.
#[derive(Clone, Debug)]
pub enum Note {
    /// A request with its reply.
    Reply(Observed),
    /// Requests that have no comparison.
    Skipped(Skipped, u64),
}

/// Why requests are not handed on.
const SKIPPED: [Skipped; 3] = [Skipped::Behind, Skipped::Unanswered, Skipped::Unreadable];

impl Note {
    /// As bytes for the pipe.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Reply(observed) => Dict::new()
                .with("request", &observed.request[..])
                .with("reply", &observed.reply[..])
                .with(
                    "us",
                    i64::try_from(observed.took.as_micros()).unwrap_or(i64::MAX),
                ),
            Self::Skipped(why, count) => Dict::new()
                .with("skipped", why.word())
                .with("count", i64::try_from(*count).unwrap_or(i64::MAX)),
        }
        .to_bencode()
    }

    fn of(dict: &Dict) -> Option<Self> {
        let number = |key: &str| {
            let number = dict.get(key).and_then(Value::as_int)?;
            u64::try_from(number).ok()
        };
        let bytes = |key: &str| match dict.get(key) {
            Some(Value::Bytes(bytes)) => Some(bytes.to_vec()),
            _ => None,
        };
        if let Some(word) = dict.get_str("skipped") {
            let why = SKIPPED.into_iter().find(|why| why.word() == word)?;
            return Some(Self::Skipped(why, number("count")?));
        }
        Some(Self::Reply(Observed {
            request: bytes("request")?,
            reply: bytes("reply")?,
            took: Duration::from_micros(number("us")?),
        }))
    }
}

/// Reads notes from what came through the pipe so far.
#[derive(Debug, Default)]
pub struct Notes {
    buffer: Vec<u8>,
    framer: Framer,
}

/// The pipe holds what is no note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is to be compared cannot be read")]
pub struct NotANote;

impl Notes {
    /// Takes bytes of the pipe.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole note.
    ///
    /// # Errors
    /// None can come any more.
    pub fn next_note(&mut self) -> Result<Option<Note>, NotANote> {
        let end = self.framer.advance(&self.buffer).map_err(|_| NotANote)?;
        let Some(end) = end else {
            return match self.buffer.len() > SHADOW_NOTE_BYTES {
                true => Err(NotANote),
                false => Ok(None),
            };
        };
        self.framer = Framer::default();
        let message: Vec<u8> = self.buffer.drain(..end).collect();
        let tape = bencode::decode(&message, 16).map_err(|_| NotANote)?;
        Note::of(&tape.root().to_dict()).ok_or(NotANote).map(Some)
    }
}

/// Splits a stream of `COOKIE SP BENCODE` into messages, as they pass by in another hand.
#[derive(Debug, Default)]
pub(super) struct Passing {
    buffer: Vec<u8>,
    framer: Framer,
    has_lost_track: bool,
}

impl Passing {
    /// Takes bytes of the stream, and gives the messages that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut messages = Vec::new();
        if self.has_lost_track {
            return messages;
        }
        self.buffer.extend_from_slice(bytes);
        while let Some(blank) = self.buffer.iter().position(|&byte| byte == b' ') {
            let payload = self.buffer.get(blank + 1..).unwrap_or_default();
            match self.framer.advance(payload) {
                Ok(Some(end)) => {
                    let message: Vec<u8> = self.buffer.drain(..blank + 1 + end).collect();
                    self.framer = Framer::default();
                    let (cookie, payload) = message.split_at(blank);
                    let payload = payload.get(1..).unwrap_or_default();
                    messages.push((cookie.trim_ascii_start().to_vec(), payload.to_vec()));
                }
                Ok(None) => break,
                Err(_) => {
                    self.lose_track();
                    return messages;
                }
            }
        }
        if self.buffer.len() > SHADOW_MESSAGE_BYTES {
            self.lose_track();
        }
        messages
    }

    fn lose_track(&mut self) {
        self.has_lost_track = true;
        self.buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_pass_through_the_pipe_in_any_pieces() {
        let observed = Observed {
            request: b"d7:command4:pinge".to_vec(),
            reply: b"d6:result4:ponge".to_vec(),
            took: Duration::from_micros(12),
        };
        let sent = [Note::Reply(observed), Note::Skipped(Skipped::Behind, 7)];
        let bytes: Vec<u8> = sent.iter().flat_map(Note::to_bytes).collect();
        for size in [1, 7, bytes.len()] {
            let mut notes = Notes::default();
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                notes.push(piece);
                while let Some(note) = notes.next_note().unwrap() {
                    got.push(format!("{note:?}"));
                }
            }
            let wanted: Vec<String> = sent.iter().map(|note| format!("{note:?}")).collect();
            assert_eq!(got, wanted);
        }
        let mut notes = Notes::default();
        notes.push(b"no dictionary");
        assert!(notes.next_note().is_err());
    }

    #[test]
    fn messages_of_a_stream_are_seen_in_any_pieces() {
        let stream = b"1_1 d7:command4:pinge2 d7:command4:pinge";
        for size in [1, 5, stream.len()] {
            let mut passing = Passing::default();
            let messages: Vec<_> = stream
                .chunks(size)
                .flat_map(|piece| passing.push(piece))
                .collect();
            let ping = b"d7:command4:pinge".to_vec();
            assert_eq!(
                messages,
                [(b"1_1".to_vec(), ping.clone()), (b"2".to_vec(), ping)]
            );
        }
        let mut passing = Passing::default();
        assert_eq!(passing.push(b"a x"), []);
        assert_eq!(passing.push(stream), [], "nothing is guessed after that");
        let mut passing = Passing::default();
        let _ = passing.push(&vec![b'x'; 2 * SHADOW_MESSAGE_BYTES]);
        assert!(passing.buffer.is_empty());
    }
}
