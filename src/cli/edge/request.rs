//! What `windlass edge` asks: the request that each command is.

use std::fmt::Write as _;
use std::io;

use serde_json::{Map, Value, json};
use windlass_edge::admin::client::Ask;

use super::table::{fields, rows};
use super::{Bans, Calls, Command, Filter, Lists, Regs, Targets};

/// How an answer is shown to people.
pub(super) enum Form {
    /// A table of the entries under a name.
    Rows(&'static str, &'static [&'static str]),
    Fields,
}

impl Form {
    pub(super) fn show(&self, json: &Value) -> String {
        match self {
            Self::Fields => fields(json),
            Self::Rows(name, columns) => {
                let entries = json.get(name).and_then(Value::as_array);
                let mut text = rows(entries.map_or(&[], Vec::as_slice), columns);
                if let Some(cursor) = json.get("cursor").and_then(Value::as_str) {
                    // Writing to a String does not fail.
                    let _ = writeln!(text, "there are more: --cursor {cursor}");
                }
                text
            }
        }
    }
}

/// The request of a command, and how its answer is shown.
pub(super) fn request(command: &Command) -> Result<(Ask, Form), Box<dyn std::error::Error>> {
    let get = |path: String| ask("GET", path, &Value::Null);
    Ok(match command {
        Command::Calls(Calls::List {
            filter,
            limit,
            cursor,
        }) => {
            let limit = limit.to_string();
            let mut query = filter.query();
            query.extend([
                ("limit", Some(limit.as_str())),
                ("cursor", cursor.as_deref()),
            ]);
            let columns = &[
                "id", "state", "caller", "callee", "user", "src", "target", "age_s",
            ];
            (get(with("/v1/calls", &query)), Form::Rows("calls", columns))
        }
        Command::Calls(Calls::Show { id }) => {
            (get(format!("/v1/calls/{}", escaped(id))), Form::Fields)
        }
        Command::Calls(Calls::End {
            id: Some(id),
            cause,
            text,
            ..
        }) => {
            let cause = cause.map(|cause| cause.to_string());
            let query = [("cause", cause.as_deref()), ("text", text.as_deref())];
            let path = with(&format!("/v1/calls/{}", escaped(id)), &query);
            (ask("DELETE", path, &Value::Null), Form::Fields)
        }
        Command::Calls(Calls::End {
            id: None,
            filter,
            all,
            max,
            cause,
            text,
        }) => {
            let mut named = object(&filter.query());
            named.insert("all".to_owned(), (*all).into());
            let body = json!({ "filter": named, "max": max, "cause": cause, "text": text });
            (ask("POST", "/v1/calls/end".to_owned(), &body), Form::Fields)
        }
        Command::Limits { class: None, .. } => {
            let columns = &["class", "calls", "cps", "category", "keys", "in_use"];
            (get("/v1/limits".to_owned()), Form::Rows("limits", columns))
        }
        Command::Limits {
            class: Some(class),
            key,
        } => {
            let mut path = format!("/v1/limits/{}", escaped(class));
            if let Some(key) = key {
                path = format!("{path}/{}", escaped(key));
            }
            (get(path), Form::Rows("keys", &["key", "in_use"]))
        }
        Command::Bans(Bans::List { limit }) => {
            let path = with("/v1/bans", &[("limit", Some(&limit.to_string()))]);
            let columns = &[
                "address",
                "reason",
                "verified",
                "times",
                "refused",
                "remaining_s",
            ];
            (get(path), Form::Rows("bans", columns))
        }
        Command::Bans(Bans::Add { address, lasts }) => {
            let body = json!({ "address": address, "duration": lasts });
            (ask("POST", "/v1/bans".to_owned(), &body), Form::Fields)
        }
        Command::Bans(Bans::Rm { address }) => {
            let path = format!("/v1/bans/{}", escaped(address));
            (ask("DELETE", path, &Value::Null), Form::Fields)
        }
        Command::Lists(lists) => lists.request(),
        Command::Targets(Targets::List) => {
            let columns = &[
                "id", "uri", "state", "group", "weight", "calls", "asr", "acd_s", "pdd_s",
            ];
            (
                get("/v1/targets".to_owned()),
                Form::Rows("targets", columns),
            )
        }
        Command::Targets(Targets::Set {
            id,
            state,
            weight,
            resource,
        }) => {
            let slots = resource
                .iter()
                .map(|(name, count)| (name.clone(), (*count).into()));
            let resources: Map<String, Value> = slots.collect();
            let body = json!({ "state": state, "weight": weight, "resources": resources });
            let path = format!("/v1/targets/{}", escaped(id));
            (ask("PATCH", path, &body), Form::Fields)
        }
        Command::Route {
            number,
            user,
            zone,
            peer,
            method,
            domain,
        } => {
            let query = [
                ("number", Some(number.as_str())),
                ("user", user.as_deref()),
                ("zone", zone.as_deref()),
                ("peer", peer.as_deref()),
                ("method", method.as_deref()),
                ("domain", domain.as_deref()),
            ];
            (get(with("/v1/route", &query)), Form::Fields)
        }
        Command::Regs(Regs::List { aor, limit, cursor }) => {
            let limit = limit.to_string();
            let query = [
                ("aor", aor.as_deref()),
                ("limit", Some(limit.as_str())),
                ("cursor", cursor.as_deref()),
            ];
            let columns = &["aor", "contact", "src", "zone", "proto", "expires_s"];
            let form = Form::Rows("registrations", columns);
            (get(with("/v1/registrations", &query)), form)
        }
        Command::Regs(Regs::Rm { aor }) => {
            let path = with("/v1/registrations", &[("aor", Some(aor))]);
            (ask("DELETE", path, &Value::Null), Form::Fields)
        }
        Command::Reload { file } => {
            let body = json!({ "file": file });
            (ask("POST", "/v1/reload".to_owned(), &body), Form::Fields)
        }
        Command::Explain { file, from, zone } => {
            let body = json!({ "message": message(file)?, "source": from, "zone": zone });
            (ask("POST", "/v1/explain".to_owned(), &body), Form::Fields)
        }
        Command::Watch => (get("/v1/events".to_owned()), Form::Fields),
        Command::Drain { stop: true, .. } => (
            ask("DELETE", "/v1/drain".to_owned(), &Value::Null),
            Form::Fields,
        ),
        Command::Drain { deadline, .. } => {
            let body = json!({ "deadline": deadline });
            (ask("POST", "/v1/drain".to_owned(), &body), Form::Fields)
        }
        Command::Check(_) => return Err("a file is checked here, not there".into()),
    })
}

impl Lists {
    fn request(&self) -> (Ask, Form) {
        let path = |list: &str, entry: &str, user: &Option<String>| {
            let path = format!("/v1/lists/{}/{}", escaped(list), escaped(entry));
            with(&path, &[("user", user.as_deref())])
        };
        match self {
            Self::List => {
                let columns = &["list", "side", "entries", "file"];
                let ask = ask("GET", "/v1/lists".to_owned(), &Value::Null);
                (ask, Form::Rows("lists", columns))
            }
            Self::Add {
                list,
                prefix,
                action,
                user,
            } => {
                let body = json!({ "action": action });
                (ask("PUT", path(list, prefix, user), &body), Form::Fields)
            }
            Self::Rm { list, prefix, user } => {
                let ask = ask("DELETE", path(list, prefix, user), &Value::Null);
                (ask, Form::Fields)
            }
            Self::Test { list, number, user } => {
                let ask = ask("GET", path(list, number, user), &Value::Null);
                (ask, Form::Fields)
            }
        }
    }
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, Option<&str>)> {
        vec![
            ("user", self.user.as_deref()),
            ("src", self.src.as_deref()),
            ("target", self.target.as_deref()),
            ("state", self.state.as_deref()),
            ("peer", self.peer.as_deref()),
            ("prefix", self.prefix.as_deref()),
            ("class", self.class.as_deref()),
        ]
    }
}

/// Members that are null are left out: the edge knows its defaults.
fn ask(method: &'static str, path: String, body: &Value) -> Ask {
    let body = match body {
        Value::Object(members) => {
            let said = members.iter().filter(|(_, value)| !value.is_null());
            let said: Map<String, Value> = said.map(|(k, v)| (k.clone(), v.clone())).collect();
            Value::Object(said).to_string()
        }
        _ => String::new(),
    };
    Ask { method, path, body }
}

fn object(query: &[(&'static str, Option<&str>)]) -> Map<String, Value> {
    let said = query
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    said.map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect()
}

/// A path with a query.
fn with(path: &str, query: &[(&str, Option<&str>)]) -> String {
    let mut out = path.to_owned();
    let said = query
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    for (at, (name, value)) in said.enumerate() {
        let mark = if at == 0 { '?' } else { '&' };
        // Writing to a String does not fail.
        let _ = write!(out, "{mark}{name}={}", escaped(value));
    }
    out
}

/// Everything but unreserved characters as `%xx` (RFC 3986 §2.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// A SIP message from a file. Lines end with CR LF (RFC 3261 §7); editors leave LF.
fn message(file: &str) -> io::Result<String> {
    let text = match file {
        "-" => io::read_to_string(io::stdin())?,
        file => std::fs::read_to_string(file)
            .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?,
    };
    if text.contains("\r\n") {
        return Ok(text);
    }
    let mut message = text.replace('\n', "\r\n");
    if !message.contains("\r\n\r\n") {
        message.push_str("\r\n");
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command as Top};

    fn asked(line: &str) -> Ask {
        let words = line.split(' ').map(|word| word.replace('_', " "));
        let Top::Edge(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("{line}");
        };
        request(&args.command).unwrap().0
    }

    #[test]
    fn commands_are_requests() {
        for (line, method, path, body) in [
            (
                "windlass edge calls list --user +49 --state early",
                "GET",
                "/v1/calls?user=%2B49&state=early&limit=100",
                "",
            ),
            (
                "windlass edge calls end ff --cause 480 --text no_credit",
                "DELETE",
                "/v1/calls/ff?cause=480&text=no%20credit",
                "",
            ),
            (
                "windlass edge calls end --peer c --max 3",
                "POST",
                "/v1/calls/end",
                r#"{"filter":{"peer":"c","all":false},"max":3}"#,
            ),
            (
                "windlass edge bans add 192.0.2.1 --for 1h",
                "POST",
                "/v1/bans",
                r#"{"address":"192.0.2.1","duration":"1h"}"#,
            ),
            (
                "windlass edge bans rm [2001:db8::1]:5060",
                "DELETE",
                "/v1/bans/%5B2001%3Adb8%3A%3A1%5D%3A5060",
                "",
            ),
            (
                "windlass edge lists add deny 88 --user a@x",
                "PUT",
                "/v1/lists/deny/88?user=a%40x",
                r#"{"action":"deny"}"#,
            ),
            (
                "windlass edge targets set pbx-1 --state drain --resource channels=3",
                "PATCH",
                "/v1/targets/pbx-1",
                r#"{"state":"drain","resources":{"channels":3}}"#,
            ),
            ("windlass edge reload", "POST", "/v1/reload", "{}"),
            ("windlass edge drain --stop", "DELETE", "/v1/drain", ""),
            (
                "windlass edge limits a b/c",
                "GET",
                "/v1/limits/a/b%2Fc",
                "",
            ),
        ] {
            let ask = asked(line);
            assert_eq!(
                (ask.method, &*ask.path, &*ask.body),
                (method, path, body),
                "{line}"
            );
        }
    }
}
