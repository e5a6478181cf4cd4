//! The syntax of `rtpp-flags`: tokens, `key=value`, `[lists]` and `[k=v]` (spec: ng-protocol §9).

use std::borrow::Cow;

use crate::limits::MAX_DEPTH;
use crate::{Dict, Value};

/// One token of the string.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A word by itself.
    Flag(&'a [u8]),
    /// `key=value`.
    Pair(&'a [u8], Value),
}

/// The tokens of a string. Whatever cannot be read ends it.
pub(crate) fn tokens(text: &[u8]) -> impl Iterator<Item = Token<'_>> {
    let mut reader = Reader { text, at: 0 };
    std::iter::from_fn(move || reader.token())
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn word(&mut self, stop: &[u8]) -> &'a [u8] {
        let start = self.at;
        while let Some(byte) = self.peek() {
            if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') || stop.contains(&byte) {
                break;
            }
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn token(&mut self) -> Option<Token<'a>> {
        loop {
            self.skip_spaces();
            self.peek()?;
            let word = self.word(b"=");
            if self.peek() == Some(b'=') {
                self.at += 1;
                let value = self.value(0)?;
                if !word.is_empty() {
                    return Some(Token::Pair(word, value));
                }
            } else if !word.is_empty() {
                return Some(Token::Flag(word));
            }
        }
    }

    /// Recursion is bounded by [`MAX_DEPTH`].
    fn value(&mut self, depth: usize) -> Option<Value> {
        if self.peek() != Some(b'[') {
            let stop: &[u8] = if depth == 0 { b"" } else { b"]" };
            return Some(Value::from(self.word(stop)));
        }
        if depth >= MAX_DEPTH {
            return None;
        }
        self.at += 1;
        let mut list = Vec::new();
        let mut dict = Dict::new();
        loop {
            self.skip_spaces();
            match self.peek() {
                // A bracket that is never closed ends with the string.
                None => break,
                Some(b']') => {
                    self.at += 1;
                    break;
                }
                Some(b'[') => list.push(self.value(depth + 1)?),
                Some(_) => {
                    let word = self.word(b"=]");
                    if self.peek() == Some(b'=') {
                        self.at += 1;
                        let value = self.value(depth + 1)?;
                        dict.push_bytes(Cow::Owned(word.to_vec()), value);
                    } else {
                        list.push(Value::from(word));
                    }
                }
            }
        }
        Some(if dict.is_empty() {
            Value::List(list)
        } else {
            Value::Dict(dict)
        })
    }
}

/// The bare transport words, put together bit by bit.
#[derive(Debug, Default)]
pub(crate) struct TransportBits {
    srtp: bool,
    feedback: bool,
    dtls: bool,
    seen: bool,
}

impl TransportBits {
    /// Takes a word in; `false` if it is none of these.
    pub(crate) fn read(&mut self, word: &[u8]) -> bool {
        let upper = word.to_ascii_uppercase();
        let whole = |bits: &mut Self, srtp, feedback, dtls| {
            *bits = Self {
                srtp,
                feedback,
                dtls,
                seen: true,
            };
        };
        match upper.as_slice() {
            b"RTP" => self.srtp = false,
            b"AVP" => self.feedback = false,
            b"SRTP" => self.srtp = true,
            b"AVPF" => self.feedback = true,
            b"DTLS" => (self.srtp, self.dtls) = (true, true),
            b"RTP/AVP" => whole(self, false, false, false),
            b"RTP/AVPF" => whole(self, false, true, false),
            b"RTP/SAVP" => whole(self, true, false, false),
            b"RTP/SAVPF" => whole(self, true, true, false),
            b"UDP/TLS/RTP/SAVP" => whole(self, true, false, true),
            b"UDP/TLS/RTP/SAVPF" => whole(self, true, true, true),
            _ => return false,
        }
        self.seen = true;
        true
    }

    /// The transport that the words name together, if there were any.
    pub(crate) fn name(&self) -> Option<&'static str> {
        self.seen
            .then_some(match (self.dtls, self.srtp, self.feedback) {
                (true, _, false) => "UDP/TLS/RTP/SAVP",
                (true, _, true) => "UDP/TLS/RTP/SAVPF",
                (false, true, false) => "RTP/SAVP",
                (false, true, true) => "RTP/SAVPF",
                (false, false, false) => "RTP/AVP",
                (false, false, true) => "RTP/AVPF",
            })
    }
}
