//! Requests in a file, one after the other: as captured, as logged, or written by hand.

use windlass_ng::bencode::Framer;

/// One request of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The line of the input that it begins on, from 1.
    pub line: usize,
    /// The cookie before the payload, if any.
    pub cookie: Option<&'a [u8]>,
    /// The bencode dictionary or the JSON object.
    pub payload: &'a [u8],
}

/// A part of the input is no request, and the rest cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ReadError {
    /// The line of the input, from 1.
    pub line: usize,
    /// The fault.
    pub reason: String,
}

/// Splits an input into its requests. White space between them and lines that begin with `#` do
/// not count.
///
/// # Errors
/// At the first byte that begins no request.
pub fn messages(input: &[u8]) -> Result<Vec<Message<'_>>, ReadError> {
    let mut messages = Vec::new();
    let mut rest = input;
    loop {
        rest = skip(rest);
        if rest.is_empty() {
            return Ok(messages);
        }
        let at = input.len() - rest.len();
        let line = 1 + input.iter().take(at).filter(|byte| **byte == b'\n').count();
        let (cookie, payload) = cookie_of(rest);
        let end = payload_end(payload).map_err(|reason| ReadError { line, reason })?;
        let (payload, after) = payload.split_at_checked(end).unwrap_or((payload, &[]));
        messages.push(Message {
            line,
            cookie,
            payload,
        });
        rest = after;
    }
}

/// The input after white space and comments.
fn skip(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = rest.trim_ascii_start();
        if !rest.starts_with(b"#") {
            return rest;
        }
        let end = rest.iter().position(|byte| *byte == b'\n');
        rest = end.and_then(|end| rest.get(end..)).unwrap_or_default();
    }
}

/// A cookie ends at a blank, and a payload follows it; a dictionary may look like a cookie.
fn cookie_of(rest: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let is_payload = match rest.first() {
        Some(b'{') => true,
        Some(b'd') => Framer::default().advance(rest) != Err(windlass_ng::bencode::NotADictionary),
        _ => false,
    };
    if is_payload {
        return (None, rest);
    }
    let blank = rest.iter().position(u8::is_ascii_whitespace);
    let split = blank.and_then(|at| rest.split_at_checked(at));
    match split {
        Some((cookie, payload)) => (Some(cookie), payload.trim_ascii_start()),
        None => (None, rest),
    }
}

/// The length of the dictionary or object that `payload` begins with.
fn payload_end(payload: &[u8]) -> Result<usize, String> {
    match payload.first() {
        Some(b'{') => {
            let mut values =
                serde_json::Deserializer::from_slice(payload).into_iter::<serde::de::IgnoredAny>();
            match values.next() {
                Some(Ok(_)) => Ok(values.byte_offset()),
                Some(Err(error)) => Err(format!("no JSON object: {error}")),
                None => Err("no JSON object".to_owned()),
            }
        }
        Some(b'd') => match Framer::default().advance(payload) {
            Ok(Some(end)) => Ok(end),
            Ok(None) => Err(LENGTHS.to_owned()),
            Err(error) => Err(format!("{error}; {LENGTHS}")),
        },
        _ => Err(
            "expected a request: a bencode dictionary (d...e) or a JSON object ({...}), with or \
             without a cookie before it"
                .to_owned(),
        ),
    }
}

const LENGTHS: &str = "\
the bencode dictionary does not end where its lengths say. Bencode counts bytes: an editor that \
turned CR LF into LF breaks it; write the request as JSON instead";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, Option<&str>, &str)> {
        let text_of = |bytes| std::str::from_utf8(bytes).unwrap();
        let messages = messages(text.as_bytes()).unwrap();
        let read = messages.into_iter();
        read.map(|m| (m.line, m.cookie.map(text_of), text_of(m.payload)))
            .collect()
    }

    #[test]
    fn requests_with_and_without_cookie_and_comment() {
        let text = "# a ping\n12_3 d7:command4:pinge\n\n{\"command\":\n \"ping\"}\nd3f_1 {}\n\
                    d7:command4:pinged7:command4:pinge";
        assert_eq!(
            read(text),
            [
                (2, Some("12_3"), "d7:command4:pinge"),
                (4, None, "{\"command\":\n \"ping\"}"),
                (6, Some("d3f_1"), "{}"),
                (7, None, "d7:command4:pinge"),
                (7, None, "d7:command4:pinge"),
            ]
        );
        assert_eq!(read(" \n# nothing"), []);
    }

    #[test]
    fn a_broken_request_is_named_by_its_line() {
        for (text, line) in [
            ("\nhello", 2),
            ("a b", 1),
            ("d3:abc", 1),
            ("{\"a\":1", 1),
            ("{} x", 1),
        ] {
            assert_eq!(messages(text.as_bytes()).unwrap_err().line, line, "{text}");
        }
    }
}
