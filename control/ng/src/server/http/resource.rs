//! Resources of the daemon in addition to the control protocol.

use std::{borrow::Cow, fmt};

use crate::source::Source;

/// Further resources of the HTTP listener. Called from several threads at once, and may block.
/// `None` is answered with 404.
pub trait Resources: Send + Sync {
    /// `GET` of a path that the listener itself does not know, without its query: `/metrics`.
    fn get(&self, _path: &str, _source: &Source) -> Option<Page> {
        None
    }

    /// The output of one CLI line: of `GET /cli/WORD+WORD`, `POST /cli`, or a message on the
    /// WebSocket subprotocol `cli.rtpengine.com`.
    fn cli(&self, _line: &str, _source: &Source) -> Option<String> {
        None
    }
}

/// No further resources.
impl Resources for () {}

impl fmt::Debug for dyn Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resources")
    }
}

/// The body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its `Content-Type`.
    pub content_type: Cow<'static, str>,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Page {
    /// A page of `text/plain`.
    pub fn text(body: impl Into<String>) -> Self {
        Self {
            content_type: Cow::Borrowed("text/plain"),
            body: body.into().into_bytes(),
        }
    }
}

/// A CLI line as it stands in a path: `+` for a space, `%` and two hex digits for any byte.
pub(super) fn cli_line(path: &str) -> String {
    let mut line = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        line.push(match byte {
            b'+' => b' ',
            b'%' => match escaped(tail) {
                Some((byte, tail)) => {
                    rest = tail;
                    byte
                }
                None => b'%',
            },
            byte => byte,
        });
    }
    String::from_utf8_lossy(&line).into_owned()
}

fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, tail) = text.split_at_checked(2)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    Some((u8::from_str_radix(digits, 16).ok()?, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(cli_line("list+sessions+all"), "list sessions all");
        assert_eq!(cli_line("a%2Bb%20%252"), "a+b %2");
        assert_eq!(cli_line("100%"), "100%");
        assert_eq!(cli_line("%+1%zz"), "% 1%zz");
        assert_eq!(cli_line("%ff"), "\u{fffd}");
    }
}
