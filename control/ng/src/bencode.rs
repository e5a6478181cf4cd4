//! The bencode decoder, and the framer that finds message ends in a TCP stream.
//!
//! Keys may come in any order and more than once; bytes after the dictionary are ignored; strings
//! are binary. Open containers sit on a small array instead of the call stack, so a message
//! nested 100,000 deep costs as much as one nested 16 deep: it is refused at the 17th level.

use std::borrow::Cow;

use crate::{
    limits::{BENCODE_DIGITS, DEPTH},
    tape::{Tape, Token},
};

/// Reasons why a message is no bencode dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BencodeError {
    /// A dictionary key is no string, or has no value.
    #[error("byte {at}: a dictionary needs string keys, each with a value")]
    Entry {
        /// Offset in the message.
        at: usize,
    },
    /// No digits, too many digits, or a number beyond 64 bits.
    #[error("byte {at}: expected a decimal number")]
    Number {
        /// Offset in the message.
        at: usize,
    },
    /// The message does not start with `d`.
    #[error("expected a dictionary")]
    NoDictionary,
    /// More values than the limit.
    #[error("more than {limit} values")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// More nested containers than [`DEPTH`].
    #[error("byte {at}: nested deeper than {DEPTH}")]
    TooDeep {
        /// Offset in the message.
        at: usize,
    },
    /// The message ends inside a value.
    #[error("the message ends inside a value")]
    Truncated,
    /// A byte that starts no value.
    #[error("byte {at}: expected a value, got {byte:#04x}")]
    Unexpected {
        /// Offset in the message.
        at: usize,
        /// The byte.
        byte: u8,
    },
}

/// An open container: where it starts on the tape, and what may come next in it.
#[derive(Clone, Copy)]
struct Open {
    start: usize,
    next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Member,
    Key,
    Value,
}

impl Next {
    /// State after a key or value.
    fn after_value(self) -> Self {
        match self {
            Self::Member => Self::Member,
            Self::Key => Self::Value,
            Self::Value => Self::Key,
        }
    }
}

/// Decodes the dictionary at the start of `message`, of at most `max_elements` values and keys.
///
/// # Errors
/// If there is no complete dictionary within the limits.
pub fn decode(message: &[u8], max_elements: usize) -> Result<Tape<'_>, BencodeError> {
    let [b'd', rest @ ..] = message else {
        return Err(BencodeError::NoDictionary);
    };
    let mut rest = rest;
    let mut tape = Tape::with_capacity((message.len() / 12).clamp(16, 128));
    tape.push(Token::Dict { end: 0 });
    let mut current = Open {
        start: 0,
        next: Next::Key,
    };
    let mut outer = [current; DEPTH];
    let mut depth = 0;
    loop {
        let at = message.len() - rest.len();
        let (&byte, after) = rest.split_first().ok_or(BencodeError::Truncated)?;
        if tape.len() >= max_elements {
            return Err(BencodeError::TooMany {
                limit: max_elements,
            });
        }
        match byte {
            b'0'..=b'9' => {
                let (bytes, after) = string(rest, at)?;
                tape.push(Token::Bytes(Cow::Borrowed(bytes)));
                current.next = current.next.after_value();
                rest = after;
            }
            b'e' => {
                if current.next == Next::Value {
                    return Err(BencodeError::Entry { at });
                }
                tape.close(current.start);
                if depth == 0 {
                    return Ok(tape);
                }
                depth -= 1;
                current = *outer.get(depth).ok_or(BencodeError::TooDeep { at })?;
                rest = after;
            }
            _ if current.next == Next::Key => return Err(BencodeError::Entry { at }),
            b'i' => {
                let (int, after) = integer(after, at)?;
                tape.push(Token::Int(int));
                current.next = current.next.after_value();
                rest = after;
            }
            b'l' | b'd' => {
                current.next = current.next.after_value();
                rest = after;
                if depth + 1 >= DEPTH {
                    return Err(BencodeError::TooDeep { at });
                }
                let slot = outer.get_mut(depth).ok_or(BencodeError::TooDeep { at })?;
                *slot = current;
                depth += 1;
                let (token, next) = match byte {
                    b'l' => (Token::List { end: 0 }, Next::Member),
                    _ => (Token::Dict { end: 0 }, Next::Key),
                };
                current = Open {
                    start: tape.len(),
                    next,
                };
                tape.push(token);
            }
            _ => return Err(BencodeError::Unexpected { at, byte }),
        }
    }
}

/// `LEN:bytes` at the start of `input`.
fn string(input: &[u8], at: usize) -> Result<(&[u8], &[u8]), BencodeError> {
    let mut len: usize = 0;
    let mut rest = input;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'0'..=b'9' => {
                len = len
                    .checked_mul(10)
                    .and_then(|len| len.checked_add(usize::from(byte - b'0')))
                    .ok_or(BencodeError::Number { at })?;
                // A length longer than what is left can only be truncated; stops long digit runs.
                if len > input.len() {
                    return Err(BencodeError::Truncated);
                }
            }
            b':' => return rest.split_at_checked(len).ok_or(BencodeError::Truncated),
            _ => return Err(BencodeError::Number { at }),
        }
    }
    Err(BencodeError::Truncated)
}

/// `NNe` at the start of `input`.
fn integer(input: &[u8], at: usize) -> Result<(i64, &[u8]), BencodeError> {
    let (negative, mut rest) = match input {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, input),
    };
    let mut int: i64 = 0;
    let mut digits = 0;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'0'..=b'9' if digits < BENCODE_DIGITS => {
                digits += 1;
                let digit = i64::from(byte - b'0');
                let next = int.checked_mul(10).and_then(|int| {
                    if negative {
                        int.checked_sub(digit)
                    } else {
                        int.checked_add(digit)
                    }
                });
                int = next.ok_or(BencodeError::Number { at })?;
            }
            b'e' if digits > 0 => return Ok((int, rest)),
            _ => return Err(BencodeError::Number { at }),
        }
    }
    Err(BencodeError::Truncated)
}

/// Finds the end of a dictionary that arrives in pieces.
///
/// Remembers where it stopped, so a message in n pieces is looked at once, not n times. It only
/// knows nesting; [`decode`] judges the content.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    /// Offset of the next token; past the end of the buffer while inside a string.
    at: usize,
    depth: usize,
}

/// No dictionary can begin or continue with these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the beginning of a bencode dictionary")]
pub struct NotADictionary;

impl Framer {
    /// Length of the dictionary that `buf` starts with, `None` if it is not complete yet. `buf`
    /// must be what it was at the last call, with bytes appended.
    ///
    /// # Errors
    /// If more bytes cannot help.
    pub fn advance(&mut self, buf: &[u8]) -> Result<Option<usize>, NotADictionary> {
        while let Some((&byte, after)) = buf.get(self.at..).and_then(<[u8]>::split_first) {
            if self.at == 0 && byte != b'd' {
                return Err(NotADictionary);
            }
            match byte {
                b'd' | b'l' => {
                    self.depth += 1;
                    if self.depth > DEPTH {
                        return Err(NotADictionary);
                    }
                    self.at += 1;
                }
                b'e' => {
                    self.depth = self.depth.checked_sub(1).ok_or(NotADictionary)?;
                    self.at += 1;
                    if self.depth == 0 {
                        return Ok(Some(self.at));
                    }
                }
                b'i' => {
                    let window = after.get(..BENCODE_DIGITS + 1).unwrap_or(after);
                    match window.iter().position(|&b| b == b'e') {
                        Some(end) => self.at += end + 2,
                        None if window.len() > BENCODE_DIGITS => return Err(NotADictionary),
                        None => return Ok(None),
                    }
                }
                b'0'..=b'9' => {
                    let digits = after.iter().take(BENCODE_DIGITS);
                    let mut len = usize::from(byte - b'0');
                    let mut colon = None;
                    for (i, &digit) in digits.enumerate() {
                        match digit {
                            b'0'..=b'9' => {
                                len = len
                                    .checked_mul(10)
                                    .and_then(|len| len.checked_add(usize::from(digit - b'0')))
                                    .ok_or(NotADictionary)?;
                            }
                            b':' => {
                                colon = Some(i);
                                break;
                            }
                            _ => return Err(NotADictionary),
                        }
                    }
                    match colon {
                        Some(i) => {
                            let end = self
                                .at
                                .checked_add(i + 2)
                                .and_then(|at| at.checked_add(len));
                            self.at = end.ok_or(NotADictionary)?;
                        }
                        None if after.len() >= BENCODE_DIGITS => return Err(NotADictionary),
                        None => return Ok(None),
                    }
                }
                _ => return Err(NotADictionary),
            }
        }
        Ok(None)
    }

    /// Bytes the message needs at least, as far as it is known.
    pub fn needed(&self) -> usize {
        self.at.saturating_add(self.depth.max(1))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::{Dict, Value};

    fn dict(message: &[u8]) -> Result<Dict, BencodeError> {
        Ok(decode(message, 100)?.root().to_dict())
    }

    #[test]
    fn order_duplicates_and_trailing_bytes() {
        let message = b"d1:zi1e1:ali-2e1:xdee1:zi3eetrailing";
        let decoded = dict(message).unwrap();
        let inner = Value::List(vec![(-2).into(), "x".into(), Dict::new().into()]);
        assert_eq!(
            decoded,
            Dict::new().with("z", 1).with("a", inner).with("z", 3)
        );
        assert_eq!(
            Framer::default().advance(message),
            Ok(Some(message.len() - 8))
        );
    }

    #[test]
    fn strings_are_binary() {
        assert_eq!(
            dict(b"d3:a\0b2:\xff\0e").unwrap().get("a\0b"),
            Some(&Value::from(&b"\xff\0"[..]))
        );
    }

    #[test]
    fn refusals() {
        for (message, error) in [
            (&b"le"[..], BencodeError::NoDictionary),
            (b"", BencodeError::NoDictionary),
            (b"d", BencodeError::Truncated),
            (b"di1e1:ae", BencodeError::Entry { at: 1 }),
            (b"d1:ae", BencodeError::Entry { at: 4 }),
            (b"d1:aie", BencodeError::Number { at: 4 }),
            (b"d1:ai-ee", BencodeError::Number { at: 4 }),
            (
                b"d1:ai9223372036854775808ee",
                BencodeError::Number { at: 4 },
            ),
            (b"d1:a5:abce", BencodeError::Truncated),
            (b"d10000000:abce", BencodeError::Truncated),
            (
                b"d99999999999999999999999999999:abce",
                BencodeError::Truncated,
            ),
            (b"d1x", BencodeError::Number { at: 1 }),
            (b"d1:ax", BencodeError::Unexpected { at: 4, byte: b'x' }),
        ] {
            assert_eq!(dict(message), Err(error), "{}", message.escape_ascii());
        }
        assert_eq!(dict(b"d1:ai-9223372036854775808ee").unwrap().len(), 1);
    }

    #[test]
    fn depth_and_count_are_bounded() {
        let nested = |n: usize| [b"d1:a".to_vec(), b"l".repeat(n), b"e".repeat(n + 1)].concat();
        assert!(dict(&nested(DEPTH - 1)).is_ok());
        assert_eq!(
            dict(&nested(DEPTH)),
            Err(BencodeError::TooDeep { at: 4 + DEPTH - 1 })
        );
        assert!(matches!(
            dict(&nested(100_000)),
            Err(BencodeError::TooDeep { .. })
        ));
        assert_eq!(
            Framer::default().advance(&nested(100_000)),
            Err(NotADictionary)
        );
        let many = [&b"d1:al"[..], &b"i1e".repeat(100), b"ee"].concat();
        assert_eq!(dict(&many), Err(BencodeError::TooMany { limit: 100 }));
    }

    #[test]
    fn framer_refuses_what_cannot_become_a_dictionary() {
        for bad in [
            &b"{"[..],
            b"dx",
            b"d1x",
            b"d1:ai123456789012345678901",
            b"d0000000000000000000000",
        ] {
            assert_eq!(
                Framer::default().advance(bad),
                Err(NotADictionary),
                "{}",
                bad.escape_ascii()
            );
        }
        assert_eq!(Framer::default().advance(b"d10000000:ab"), Ok(None));
    }

    pub(crate) fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 6, |inner| {
            let key = prop::collection::vec(any::<u8>(), 0..6);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec((key, inner), 0..6).prop_map(|entries| {
                    let entries = entries.into_iter().map(|(k, v)| (Cow::Owned(k), v));
                    Value::Dict(entries.collect())
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn decoding_undoes_encoding(value in values(), tail in prop::collection::vec(any::<u8>(), 0..9)) {
            let dict = Dict::new().with("v", value);
            let mut bytes = dict.to_bencode();
            prop_assert_eq!(bytes.len(), dict.bencode_len());
            let len = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(decode(&bytes, 10_000).unwrap().root().to_dict(), dict);
            // In pieces: the framer says the same as in one go.
            let mut framer = Framer::default();
            let end = (1..=bytes.len()).find_map(|n| framer.advance(&bytes[..n]).unwrap());
            prop_assert_eq!(end, Some(len));
        }

        #[test]
        fn any_bytes_return(bytes in prop::collection::vec(any::<u8>(), 0..200), likely in "d[0-9:dliea-]{0,60}") {
            let _ = decode(&bytes, 100);
            let _ = Framer::default().advance(&bytes);
            let decoded = decode(likely.as_bytes(), 100);
            if let Ok(Some(len)) = Framer::default().advance(likely.as_bytes()) {
                prop_assert!(len <= likely.len());
            } else {
                prop_assert!(decoded.is_err());
            }
        }
    }
}
