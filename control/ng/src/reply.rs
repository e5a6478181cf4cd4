//! Replies (spec: ng-protocol §3).

use std::borrow::Cow;

use crate::limits::MAX_DATAGRAM;
use crate::{Dict, Encoding, Value, bencode, json};

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    body: Dict,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Ok { warning: Option<&'static str> },
    Pong,
    Error(Cow<'static, str>),
    LoadLimit(&'static str),
}

impl Reply {
    /// Success, with the command's own keys.
    pub fn ok(body: Dict) -> Self {
        Self {
            body,
            outcome: Outcome::Ok { warning: None },
        }
    }

    /// Success, with a warning.
    #[must_use]
    pub fn with_warning(mut self, warning: &'static str) -> Self {
        self.outcome = Outcome::Ok {
            warning: Some(warning),
        };
        self
    }

    /// The answer to `ping`.
    pub fn pong() -> Self {
        Self {
            body: Dict::new(),
            outcome: Outcome::Pong,
        }
    }

    /// Refusal, with its reason.
    pub fn error(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            body: Dict::new(),
            outcome: Outcome::Error(reason.into()),
        }
    }

    /// Refusal for load, for proxies that know this result.
    pub fn load_limit(message: &'static str) -> Self {
        Self {
            body: Dict::new(),
            outcome: Outcome::LoadLimit(message),
        }
    }

    /// Why the request was refused, if it was.
    pub fn refusal(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Error(reason) => Some(reason),
            Outcome::LoadLimit(message) => Some(message),
            Outcome::Ok { .. } | Outcome::Pong => None,
        }
    }

    fn into_dict(self) -> Dict {
        let mut dict = self.body;
        match self.outcome {
            Outcome::Ok { warning } => {
                if let Some(warning) = warning {
                    dict.push("warning", warning);
                }
                dict.push("result", "ok");
            }
            Outcome::Pong => dict.push("result", "pong"),
            Outcome::Error(reason) => {
                dict.push("result", "error");
                dict.push("error-reason", Value::from(&*reason));
            }
            Outcome::LoadLimit(message) => {
                dict.push("result", "load limit");
                dict.push("message", message);
            }
        }
        dict
    }

    /// `COOKIE SP PAYLOAD`, or the payload alone for an empty cookie. For a datagram the reply is
    /// cut until it fits one: statistics first, then list members from the end; a cut reply says
    /// `truncated`.
    pub fn encode(self, cookie: &[u8], encoding: Encoding, must_fit_datagram: bool) -> Vec<u8> {
        let mut dict = self.into_dict();
        let mut text = message(cookie, encoding, &dict);
        if !must_fit_datagram || text.len() <= MAX_DATAGRAM {
            return text;
        }
        dict.push("truncated", Value::Int(1));
        for unneeded in ["MOS progression", "SSRC", "ingress SSRCs", "egress SSRCs"] {
            remove_everywhere(&mut dict, unneeded);
            text = message(cookie, encoding, &dict);
            if text.len() <= MAX_DATAGRAM {
                return text;
            }
        }
        // Halve what is left of the longest collection until it fits.
        while text.len() > MAX_DATAGRAM && halve_longest(&mut dict) {
            text = message(cookie, encoding, &dict);
        }
        text
    }
}

fn message(cookie: &[u8], encoding: Encoding, dict: &Dict) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    if !cookie.is_empty() {
        out.extend_from_slice(cookie);
        out.push(b' ');
    }
    match encoding {
        Encoding::Bencode => bencode::encode_dict(dict, &mut out),
        Encoding::Json => json::encode_dict(dict, &mut out),
    }
    out
}

fn remove_everywhere(dict: &mut Dict, key: &str) {
    dict.remove(key);
    for value in dict.values_mut() {
        match value {
            Value::Dict(inner) => remove_everywhere(inner, key),
            Value::List(list) => {
                for value in list {
                    if let Value::Dict(inner) = value {
                        remove_everywhere(inner, key);
                    }
                }
            }
            Value::Int(_) | Value::Bytes(_) => {}
        }
    }
}

/// Cuts the longest list of the reply to half its members; `false` if there is none to cut.
fn halve_longest(dict: &mut Dict) -> bool {
    fn longest(dict: &mut Dict) -> Option<&mut Vec<Value>> {
        let lists = dict.values_mut().filter_map(|value| match value {
            Value::List(list) => Some(list),
            Value::Dict(inner) => longest(inner),
            Value::Int(_) | Value::Bytes(_) => None,
        });
        lists
            .filter(|list| !list.is_empty())
            .max_by_key(|list| list.len())
    }
    let Some(list) = longest(dict) else {
        return false;
    };
    list.truncate(list.len() / 2);
    true
}
