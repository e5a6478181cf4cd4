//! Finds the messages in a TCP stream.

use crate::{
    bencode::{Framer, NotADictionary},
    limits::{COOKIE_BYTES, STREAM_GARBAGE_BYTES, STREAM_REQUEST_BYTES},
};

/// Cuts a stream into messages. Every byte is looked at a bounded number of times.
#[derive(Debug)]
pub(super) struct Splitter {
    buf: Vec<u8>,
    /// Start of the current message; the bytes before it are consumed.
    start: usize,
    /// Offset of its payload from there, once the space was seen.
    payload: Option<usize>,
    framer: Framer,
    broken: bool,
    message_bytes: usize,
}

impl Splitter {
    pub(super) fn new(message_bytes: usize) -> Self {
        Self {
            buf: Vec::new(),
            start: 0,
            payload: None,
            framer: Framer::default(),
            broken: false,
            message_bytes,
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.start);
        self.start = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// The next complete message, cookie included.
    pub(super) fn next_message(&mut self) -> Option<&[u8]> {
        if self.broken {
            return None;
        }
        let message = self.buf.get(self.start..)?;
        let payload = match self.payload {
            Some(payload) => payload,
            None => {
                let window = message.get(..=COOKIE_BYTES).unwrap_or(message);
                let payload = window.iter().position(|&b| b == b' ')? + 1;
                self.payload = Some(payload);
                payload
            }
        };
        match self.framer.advance(message.get(payload..)?) {
            Ok(None) => None,
            Err(NotADictionary) => {
                self.broken = true;
                None
            }
            Ok(Some(len)) => {
                let (from, to) = (self.start, self.start + payload + len);
                self.start = to;
                self.payload = None;
                self.framer = Framer::default();
                self.buf.get(from..to)
            }
        }
    }

    /// Whether there is the beginning of a message.
    pub(super) fn is_waiting(&self) -> bool {
        self.buf.len() > self.start
    }

    /// Whether the waiting bytes may stay, after all complete messages were taken.
    pub(super) fn check(&self) -> Result<(), usize> {
        let waiting = self.buf.len() - self.start;
        let promising = !self.broken && self.payload.is_some();
        let limit = if promising {
            self.message_bytes
        } else {
            STREAM_GARBAGE_BYTES
        };
        // A string may announce more than we would ever take.
        let needed = self
            .payload
            .map_or(0, |payload| payload.saturating_add(self.framer.needed()));
        let hopeless = promising && needed > self.message_bytes.max(STREAM_REQUEST_BYTES);
        if waiting > limit || hopeless {
            Err(waiting)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_splitter_limits_what_it_keeps() {
        let mut splitter = Splitter::new(2_000);
        splitter.extend(b"c d3:sdp999999999:");
        assert!(splitter.next_message().is_none());
        assert!(splitter.check().is_err(), "announced too much");
        let mut splitter = Splitter::new(2_000);
        splitter.extend(&[&b"c d3:sdp5000:"[..], &[b'x'; 1_500]].concat());
        assert!(splitter.next_message().is_none());
        assert!(splitter.check().is_ok());
        splitter.extend(&[b'x'; 1_000]);
        assert!(splitter.check().is_err());
    }
}
