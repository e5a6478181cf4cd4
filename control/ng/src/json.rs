//! The JSON decoder. Fills the same tape as bencode, so nothing above can tell them apart.
//!
//! Booleans count as 0 and 1, fractions lose their fraction, `null` is an empty list (that is, a
//! value of the wrong type everywhere). Strings end at a NUL, as in the reference. Nesting is
//! refused beyond our own depth, long before serde_json's recursion matters.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::{
    limits::DEPTH,
    tape::{Tape, Token},
};

/// Reasons why a message is no JSON object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// JSON, but something else than an object.
    #[error("expected an object")]
    NoObject,
    /// No JSON, or beyond the limits.
    #[error("not a JSON document: {0}")]
    Syntax(#[from] serde_json::Error),
}

/// Decodes `message`, an object of at most `max_elements` values and keys.
///
/// # Errors
/// If it is not exactly one JSON object within the limits.
pub fn decode(message: &[u8], max_elements: usize) -> Result<Tape<'_>, JsonError> {
    let mut tape = Tape::with_capacity(64);
    let mut json = serde_json::Deserializer::from_slice(message);
    Filler {
        tape: &mut tape,
        depth: 0,
        max_elements,
    }
    .deserialize(&mut json)?;
    json.end()?;
    if tape.root().is_dict() {
        Ok(tape)
    } else {
        Err(JsonError::NoObject)
    }
}

/// Puts one value on the tape.
struct Filler<'f, 'a> {
    tape: &'f mut Tape<'a>,
    /// Containers around this value.
    depth: usize,
    max_elements: usize,
}

impl<'a> Filler<'_, 'a> {
    fn push<E: Error>(&mut self, token: Token<'a>) -> Result<(), E> {
        if self.tape.len() >= self.max_elements {
            return Err(E::custom("too many values"));
        }
        self.tape.push(token);
        Ok(())
    }

    fn open<E: Error>(&mut self, token: Token<'a>) -> Result<usize, E> {
        if self.depth >= DEPTH {
            return Err(E::custom("nested too deep"));
        }
        let at = self.tape.len();
        self.push(token)?;
        Ok(at)
    }

    fn inner(&mut self) -> Filler<'_, 'a> {
        Filler {
            tape: self.tape,
            depth: self.depth + 1,
            max_elements: self.max_elements,
        }
    }
}

/// The text up to the first NUL.
fn until_nul(text: &str) -> &[u8] {
    text.as_bytes()
        .split(|&b| b == 0)
        .next()
        .unwrap_or_default()
}

impl<'a> DeserializeSeed<'a> for Filler<'_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Filler<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(mut self, flag: bool) -> Result<(), E> {
        self.push(Token::Int(i64::from(flag)))
    }

    fn visit_i64<E: Error>(mut self, int: i64) -> Result<(), E> {
        self.push(Token::Int(int))
    }

    fn visit_u64<E: Error>(mut self, int: u64) -> Result<(), E> {
        self.push(Token::Int(i64::try_from(int).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(mut self, float: f64) -> Result<(), E> {
        // `as` saturates, which is what we want of an absurd number.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "integers are all the protocol has"
        )]
        let int = float as i64;
        self.push(Token::Int(int))
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        let at = self.open(Token::List { end: 0 })?;
        self.tape.close(at);
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(mut self, text: &'a str) -> Result<(), E> {
        self.push(Token::Bytes(Cow::Borrowed(until_nul(text))))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.push(Token::Bytes(Cow::Owned(until_nul(text).to_vec())))
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut members: A) -> Result<(), A::Error> {
        let at = self.open(Token::List { end: 0 })?;
        while members.next_element_seed(self.inner())?.is_some() {}
        self.tape.close(at);
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let at = self.open(Token::Dict { end: 0 })?;
        while entries.next_key_seed(self.inner())?.is_some() {
            entries.next_value_seed(self.inner())?;
        }
        self.tape.close(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::{Dict, Value};

    fn dict(message: &[u8]) -> Option<Dict> {
        Some(decode(message, 100).ok()?.root().to_dict())
    }

    #[test]
    fn types_order_and_duplicates() {
        let decoded = dict(br#" {"z":true,"a":[1.9,"x\u0041","cut\u0000off",null],"z":"18446744073709551615","n":18446744073709551615} "#).unwrap();
        let list = vec![1.into(), "xA".into(), "cut".into(), Value::List(Vec::new())];
        let expected = Dict::new()
            .with("z", 1)
            .with("a", Value::List(list))
            .with("z", "18446744073709551615")
            .with("n", i64::MAX);
        assert_eq!(decoded, expected);
    }

    #[test]
    fn refusals() {
        for bad in [
            &b"{\"a"[..],
            b"",
            b"{",
            b"{\"a\":1} x",
            b"{\"a\":\"\xff\"}",
            b"{'a':1}",
        ] {
            assert!(
                matches!(decode(bad, 100), Err(JsonError::Syntax(_))),
                "{}",
                bad.escape_ascii()
            );
        }
        assert!(matches!(decode(b"[1]", 100), Err(JsonError::NoObject)));
        assert!(matches!(decode(b"5", 100), Err(JsonError::NoObject)));
    }

    #[test]
    fn depth_and_count_are_bounded() {
        let nested = |n| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n)).into_bytes();
        assert!(dict(&nested(DEPTH - 1)).is_some());
        assert!(dict(&nested(DEPTH)).is_none());
        assert!(dict(&nested(100_000)).is_none());
        assert!(dict(format!("{{\"a\":[{}1]}}", "1,".repeat(100)).as_bytes()).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn decoding_undoes_encoding(text in "\\PC{0,20}", int in any::<i64>()) {
            let text = format!("{text}\n\"\\\u{1}");
            let dict = Dict::new().with("t", text).with("i", int).with("t", Value::List(vec![int.into()]));
            let json = dict.to_json();
            prop_assert_eq!(decode(&json, 100).unwrap().root().to_dict(), dict);
        }

        #[test]
        fn any_bytes_return(bytes in prop::collection::vec(any::<u8>(), 0..200), likely in "\\{[\\[\\]{}:,\"a0tnul\\\\-]{0,60}") {
            let _ = decode(&bytes, 100);
            let _ = decode(likely.as_bytes(), 100);
        }
    }
}
