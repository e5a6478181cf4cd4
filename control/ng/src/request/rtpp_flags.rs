//! The one-string form of a request (§9): Kamailio's `rtpp-flags`, and templates.
//!
//! Tokens stand between spaces: `flag`, `key=value`, `key=[a b]`, `key=[k=v k2=[…]]`. Brackets
//! become the same tape the decoders fill, so values take the same way as those of a dictionary.
//! Spaces are tolerated inside of brackets alone: one behind `=` leaves the key without a value, which
//! is ignored, and so are brackets without a key (ng-protocol §9).

use std::borrow::Cow;

use super::{
    flag_value,
    ignored::What,
    parser::{ParseError, Parser},
};
use crate::{
    limits::{DEPTH, REQUEST_ELEMENTS},
    names::same,
    tape::{Tape, Token},
};

/// Applies every token of `string` in order.
pub(super) fn apply(parser: &mut Parser<'_>, string: &[u8]) -> Result<(), ParseError> {
    let outer = parser.string_directions.replace(0);
    let outer_transport = std::mem::take(&mut parser.transport);
    let mut rest = skip_spaces(string);
    let mut applied = Ok(());
    while !rest.is_empty() && applied.is_ok() {
        if let [b'[', inside @ ..] = rest {
            // A value that no key stands before: nothing in it means anything.
            let (_, after) = bracketed(inside);
            let text = rest.get(..rest.len() - after.len()).unwrap_or(rest);
            parser.ignored.push(What::Flag, text, &[]);
            rest = skip_spaces(after);
            continue;
        }
        let (name, after) = split_where(rest, |b| is_space(b) || b == b'=');
        rest = match after {
            [b'=', after @ ..] if after.first().is_none_or(|&b| is_space(b)) => {
                let text = rest.get(..=name.len()).unwrap_or(name);
                parser.ignored.push(What::Key, text, &[]);
                after
            }
            [b'=', after @ ..] => {
                let (tape, after) = value(after);
                applied = parser.key(name, tape.root());
                after
            }
            _ => {
                token(parser, name);
                after
            }
        };
        rest = skip_spaces(rest);
    }
    parser.string_directions = outer;
    parser.transport = outer_transport;
    applied
}

/// A token without a value.
fn token(parser: &mut Parser<'_>, token: &[u8]) {
    if same(token, b"internal") || same(token, b"external") {
        parser.next_direction(token);
    } else if parser.transport.apply(token) {
        parser.request.transport_protocol = parser.transport.protocol();
    } else {
        flag_value::apply(parser, token);
    }
}

/// The value after `=`, and what follows it.
fn value(input: &[u8]) -> (Tape<'_>, &[u8]) {
    match input {
        [b'[', inside @ ..] => bracketed(inside),
        _ => {
            let (word, after) = split_where(input, is_space);
            let mut tape = Tape::with_capacity(1);
            tape.push(Token::Bytes(Cow::Borrowed(word)));
            (tape, after)
        }
    }
}

#[derive(Clone, Copy)]
struct Open {
    start: usize,
    is_dict: bool,
}

impl Open {
    /// Begins the container whose text is `inside`: a dictionary if its first word has a `=`.
    fn begin<'t>(tape: &mut Tape<'t>, inside: &'t [u8]) -> Self {
        let stop = |b| is_space(b) || matches!(b, b'[' | b']' | b'=');
        let (_, after) = split_where(skip_spaces(inside), stop);
        let is_dict = after.first() == Some(&b'=');
        let start = tape.len();
        tape.push(if is_dict {
            Token::Dict { end: 0 }
        } else {
            Token::List { end: 0 }
        });
        Self { start, is_dict }
    }
}

/// The container whose text starts after the bracket. Missing closing brackets are forgiven;
/// brackets beyond the depth limit are text.
fn bracketed(inside: &[u8]) -> (Tape<'_>, &[u8]) {
    let mut tape = Tape::with_capacity(8);
    let mut current = Open::begin(&mut tape, inside);
    let mut outer = [current; DEPTH];
    let mut depth = 0;
    let mut rest = inside;
    loop {
        rest = skip_spaces(rest);
        let nested = match rest {
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                tape.close(current.start);
                if depth == 0 {
                    return (tape, rest);
                }
                depth -= 1;
                current = outer.get(depth).copied().unwrap_or(current);
                continue;
            }
            _ if tape.len() >= REQUEST_ELEMENTS => break,
            _ if current.is_dict => {
                let stop = |b| is_space(b) || matches!(b, b']' | b'=');
                let (key, after) = split_where(rest, stop);
                let [b'=', after @ ..] = after else {
                    // A word without a value means nothing in a dictionary.
                    rest = after;
                    continue;
                };
                tape.push(Token::Bytes(Cow::Borrowed(key)));
                rest = after;
                after.first() == Some(&b'[')
            }
            [first, ..] => *first == b'[',
        };
        if nested
            && let [_, after @ ..] = rest
            && depth + 1 < DEPTH
            && let Some(slot) = outer.get_mut(depth)
        {
            *slot = current;
            depth += 1;
            current = Open::begin(&mut tape, after);
            rest = after;
        } else {
            let (word, after) = split_where(rest, |b| is_space(b) || b == b']');
            tape.push(Token::Bytes(Cow::Borrowed(word)));
            rest = after;
        }
    }
    // The string ended inside brackets: close them all.
    tape.close(current.start);
    for open in outer.iter().take(depth) {
        tape.close(open.start);
    }
    (tape, &[])
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    split_where(text, |b| !is_space(b)).1
}

/// Splits before the first byte that `stop` is true for.
fn split_where(text: &[u8], stop: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = text.iter().position(|&b| stop(b)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::{Dict, Value};

    fn parse(text: &str) -> (Value, String) {
        let (tape, rest) = value(text.as_bytes());
        (
            tape.root().to_value(),
            String::from_utf8(rest.to_vec()).unwrap(),
        )
    }

    fn list(items: &[&str]) -> Value {
        items.iter().copied().collect()
    }

    #[test]
    fn values() {
        assert_eq!(parse("a=b c"), ("a=b".into(), " c".into()));
        assert_eq!(parse("[ a b  c ] d"), (list(&["a", "b", "c"]), " d".into()));
        assert_eq!(parse("[]x"), (list(&[]), "x".into()));
        let nested = Dict::new()
            .with("strip", list(&["PCMU", "PCMA"]))
            .with("x", "y");
        assert_eq!(
            parse("[strip=[PCMU PCMA] x=y]"),
            (nested.into(), String::new())
        );
        let pairs = Value::List(vec![list(&["a", "b"]), list(&["c", "d"])]);
        assert_eq!(parse("[[a b] [c d]]"), (pairs, String::new()));
    }

    #[test]
    fn sloppy_brackets_are_forgiven() {
        let open = Dict::new().with("a", list(&["b", "c"]));
        assert_eq!(parse("[a=[b c"), (open.into(), String::new()));
        assert_eq!(
            parse("[a=1 b c=2]").0,
            Dict::new().with("a", "1").with("c", "2").into()
        );
        let (deep, _) = parse(&"[".repeat(100_000));
        assert!(matches!(deep, Value::List(_)));
    }

    proptest! {
        #[test]
        fn any_text_returns(text in "[\\[\\]= ab]{0,80}") {
            let (tape, _) = value(text.as_bytes());
            let _ = tape.root().to_value();
        }
    }
}
