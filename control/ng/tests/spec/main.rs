//! What the specification of the ng protocol says of requests, as tables: a module per section.
//!
//! Its other sections are tested elsewhere: what commands do to calls (§4, §5, §10 to §15) in the engine's
//! `call/tests/ng_*`.

mod ng_01_transports;
mod ng_02_encodings;
mod ng_03_replies;
mod ng_06_keys;
mod ng_06_keywords;
mod ng_07_flags;
mod ng_08_options;
mod ng_09_rtpp_flags;
mod ng_14_strings;

use windlass_ng::{Dict, Request, Templates, Value, read_request};

/// A request as it is understood.
fn read(dict: &Dict) -> Request {
    let (request, _) = read_request(&dict.to_bencode(), &Templates::new());
    request.unwrap_or_else(|reason| panic!("{reason}: {dict:?}"))
}

/// Why a request is refused.
fn refused(dict: &Dict) -> &'static str {
    let (request, _) = read_request(&dict.to_bencode(), &Templates::new());
    request.expect_err("a refusal")
}

fn command(name: &'static str) -> Dict {
    Dict::new().with("command", name)
}

fn offer() -> Dict {
    command("offer")
}

/// An offer with one string of flags.
fn string(flags: &str) -> Request {
    read(&offer().with("rtpp-flags", flags))
}

fn list(items: &[&str]) -> Value {
    items.iter().copied().collect()
}

/// What of a request had no effect.
fn ignored(request: &Request) -> Vec<&str> {
    let ignored = request.ignored.iter();
    ignored.map(|ignored| &*ignored.text).collect()
}

/// A name with other separators and in other case.
fn spellings(name: &str) -> [String; 5] {
    [
        name.to_owned(),
        name.replace('-', " "),
        name.replace('-', "_"),
        name.to_ascii_uppercase(),
        name.to_ascii_lowercase(),
    ]
}
