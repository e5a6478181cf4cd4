//! Replies: the engine's answers, and their form on the wire.

mod shorten;

use std::borrow::Cow;

use crate::{
    errors,
    value::{Dict, Value},
};

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The keys of the command, in order; `result` and its companions are added on encoding.
    pub body: Dict,
    /// Result of the request.
    pub outcome: Outcome,
}

/// The `result` of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `ok`
    Ok,
    /// `ok` with a `warning`.
    OkWithWarning(&'static str),
    /// `pong`, the answer to `ping`.
    Pong,
    /// `error` with this `error-reason`.
    Error(Cow<'static, str>),
    /// `load limit` with this `message`; only for requests that support it.
    LoadLimit(&'static str),
}

/// Encodings of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Bencode, as both proxies send.
    Bencode,
    /// JSON.
    Json,
}

impl Reply {
    /// Success with these keys.
    pub const fn ok(body: Dict) -> Self {
        Self {
            body,
            outcome: Outcome::Ok,
        }
    }

    /// The answer to `ping`.
    pub const fn pong() -> Self {
        Self {
            body: Dict::new(),
            outcome: Outcome::Pong,
        }
    }

    /// Failure for this reason; see [`errors`] for those peers compare.
    pub fn error(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            body: Dict::new(),
            outcome: Outcome::Error(reason.into()),
        }
    }

    /// Success that deserves a word.
    pub const fn warning(body: Dict, warning: &'static str) -> Self {
        Self {
            body,
            outcome: Outcome::OkWithWarning(warning),
        }
    }

    /// A limit is reached. Proxies that do not know `load limit` get an error they fail over on.
    pub fn load_limit(supported: bool, message: &'static str) -> Self {
        let outcome = if supported {
            Outcome::LoadLimit(message)
        } else {
            Outcome::Error(Cow::Borrowed(errors::SESSION_LIMIT))
        };
        Self {
            body: Dict::new(),
            outcome,
        }
    }

    /// Whether `result` will be `error`.
    pub const fn is_error(&self) -> bool {
        matches!(self.outcome, Outcome::Error(_))
    }

    /// Writes the reply after the content of `out` (the cookie and a space). A reply that would
    /// exceed `limit` bytes in all is shortened, or becomes an error if that is impossible.
    pub fn write(self, encoding: Encoding, limit: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let room = limit.saturating_sub(start);
        let mut dict = self.into_dict();
        let write = |dict: &Dict, out: &mut Vec<u8>| match encoding {
            Encoding::Bencode => dict.write_bencode(out),
            Encoding::Json => dict.write_json(out),
        };
        // Measuring costs as much as writing, and most replies fit.
        write(&dict, out);
        // Bencode is measured. JSON needs quotes and escapes on top of that, so it may take
        // another, tighter round.
        let mut target = room;
        while out.len() > limit {
            out.truncate(start);
            dict.unpack();
            target = target.min(dict.bencode_len());
            if !shorten::shorten(&mut dict, target) {
                return write(&Self::error(errors::REPLY_TOO_LARGE).into_dict(), out);
            }
            write(&dict, out);
            target = target.min(dict.bencode_len()) / 4 * 3;
        }
    }

    /// As [`Self::into_dict`], as a tree: nothing is encoded.
    pub fn into_tree(self) -> Dict {
        let mut dict = self.into_dict();
        dict.unpack();
        dict
    }

    /// The whole dictionary: keys of the command, then the result.
    pub fn into_dict(self) -> Dict {
        let Self { mut body, outcome } = self;
        match outcome {
            Outcome::Ok => body.push("result", Value::word("ok")),
            Outcome::OkWithWarning(warning) => {
                body.push("warning", Value::word(warning));
                body.push("result", Value::word("ok"));
            }
            Outcome::Pong => body.push("result", Value::word("pong")),
            Outcome::Error(reason) => {
                body.push("result", Value::word("error"));
                body.push("error-reason", reason.into_owned());
            }
            Outcome::LoadLimit(message) => {
                body.push("message", Value::word(message));
                body.push("result", Value::word("load limit"));
            }
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bencode(reply: Reply) -> String {
        let mut out = b"c ".to_vec();
        reply.write(Encoding::Bencode, 65_507, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn result_stands_where_the_reference_puts_it() {
        assert_eq!(bencode(Reply::pong()), "c d6:result4:ponge");
        let ok = Reply::ok(Dict::new().with("sdp", "v=0"));
        assert_eq!(bencode(ok), "c d3:sdp3:v=06:result2:oke");
        assert_eq!(
            bencode(Reply::error(errors::UNRECOGNIZED_COMMAND)),
            "c d6:result5:error12:error-reason20:Unrecognized commande"
        );
        assert_eq!(
            bencode(Reply::warning(Dict::new(), errors::DELETE_NOT_FOUND)),
            "c d7:warning38:Call-ID not found or tags didn't match6:result2:oke"
        );
        let limited = Reply::load_limit(true, errors::CPU_LIMIT).into_dict();
        assert_eq!(limited.get_str("result"), Some("load limit"));
        assert!(
            bencode(Reply::load_limit(false, errors::CPU_LIMIT)).contains(errors::SESSION_LIMIT)
        );
    }

    #[test]
    fn no_reply_exceeds_the_limit() {
        let long = || {
            Reply::ok(Dict::new().with("l", vec!["\u{1}\u{1}"; 500].into_iter().collect::<Value>()))
        };
        for encoding in [Encoding::Bencode, Encoding::Json] {
            let mut out = Vec::new();
            long().write(encoding, 1_000, &mut out);
            assert!(out.len() <= 1_000 && out.len() > 200, "{}", out.len());
            let mut out = Vec::new();
            Reply::ok(Dict::new().with("sdp", "x".repeat(2_000))).write(encoding, 1_000, &mut out);
            assert!(
                String::from_utf8(out)
                    .unwrap()
                    .contains(errors::REPLY_TOO_LARGE)
            );
        }
    }
}
