//! `windlass edge`: what operators ask a running edge, over its Unix socket.

mod table;

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Map, Value, json};
use windlass_edge::admin::client::{self, Ask};

use super::{Outcome, print, run};
use table::{fields, rows};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The edge listens at the socket that `unix` in [admin] of its configuration names. Exits with 1 if it
refuses or does not answer.

Examples:
  windlass edge calls list --user alice
  windlass edge calls end 3f2a91c04d5e6b78 --cause 480 --text 'Moved house'
  windlass edge calls end --peer carrier --max 10
  windlass edge bans add 192.0.2.66 --for 1h
  windlass edge targets set pbx-1 --state drain
  windlass edge explain invite.sip --from 192.0.2.9:5060
  windlass edge check /etc/windlass.toml")]
pub(crate) struct EdgeArgs {
    /// Socket of the running edge
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/run/windlass/edge.sock",
        env = "WINDLASS_EDGE_SOCKET",
        hide_env = true
    )]
    socket: PathBuf,

    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Calls in progress: list, show, end
    #[command(subcommand)]
    Calls(Calls),
    /// Limits on calls and who holds their places
    Limits {
        /// One limit
        class: Option<String>,
        /// One key of it
        key: Option<String>,
    },
    /// Banned addresses: list, add, rm
    #[command(subcommand)]
    Bans(Bans),
    /// Lists of numbers: list, add, rm, test
    #[command(subcommand)]
    Lists(Lists),
    /// Targets of upstreams: list, set
    #[command(subcommand)]
    Targets(Targets),
    /// Say where a call would go, without placing it
    Route {
        /// Called number or SIP URI
        number: String,
        /// Who calls, user@domain
        #[arg(long)]
        user: Option<String>,
        /// Zone that it comes from [default: the first]
        #[arg(long)]
        zone: Option<String>,
        /// Peer that it comes from
        #[arg(long)]
        peer: Option<String>,
        /// Method [default: INVITE]
        #[arg(long)]
        method: Option<String>,
        /// Domain of the called URI
        #[arg(long)]
        domain: Option<String>,
    },
    /// Registered phones: list, rm
    #[command(subcommand)]
    Regs(Regs),
    /// Read the configuration again: all of it, or what depends on one file
    Reload {
        /// A list, a certificate, the tokens, or the configuration itself
        file: Option<String>,
    },
    /// Say what would become of a message, stage by stage
    Explain {
        /// The SIP message; '-' reads standard input
        file: String,
        /// Address that it would come from
        #[arg(long, value_name = "IP:PORT")]
        from: SocketAddr,
        /// Zone that it would come by [default: the first]
        #[arg(long)]
        zone: Option<String>,
    },
    /// Print events as they happen, until interrupted
    Watch,
    /// Refuse new calls from now on
    Drain {
        /// End calls that are left after this, such as 10m
        #[arg(long, value_name = "TIME")]
        deadline: Option<String>,
        /// Take calls again
        #[arg(long, conflicts_with = "deadline")]
        stop: bool,
    },
    /// Check a configuration file: every mistake with its line and column
    Check(run::CheckArgs),
}

#[derive(Debug, Subcommand)]
enum Calls {
    /// List calls
    List {
        #[command(flatten)]
        filter: Filter,
        /// Calls on this page
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one call
    Show {
        /// Number of the call
        id: String,
    },
    /// End one call, or those that a filter names
    End {
        /// Number of the call
        id: Option<String>,
        #[command(flatten)]
        filter: Filter,
        /// End all calls
        #[arg(long)]
        all: bool,
        /// End no more than this
        #[arg(long)]
        max: Option<usize>,
        /// SIP cause for both sides [default: 200]
        #[arg(long)]
        cause: Option<u16>,
        /// Text for both sides
        #[arg(long)]
        text: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// User who calls, is called, or owns the call
    #[arg(long)]
    user: Option<String>,
    /// Address of the caller
    #[arg(long)]
    src: Option<String>,
    /// Address of the callee, or a target such as pbx-1
    #[arg(long)]
    target: Option<String>,
    /// early, confirmed or ended
    #[arg(long)]
    state: Option<String>,
    /// Peer that the call came from
    #[arg(long)]
    peer: Option<String>,
    /// Begin of the called number
    #[arg(long)]
    prefix: Option<String>,
    /// Limit that the call holds a place in
    #[arg(long)]
    class: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Bans {
    /// List the bans in force
    List {
        /// No more than this
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Ban an address, or one port of it
    Add {
        /// IP or IP:PORT
        address: String,
        /// How long, such as 1h [default: `ban` in [screen]]
        #[arg(long = "for", value_name = "TIME")]
        lasts: Option<String>,
    },
    /// Lift a ban
    Rm {
        /// IP or IP:PORT
        address: String,
    },
}

#[derive(Debug, Subcommand)]
enum Lists {
    /// List the lists
    List,
    /// Put a prefix into a list and its file
    Add {
        /// Name of the list
        list: String,
        /// Begin of the numbers
        prefix: String,
        /// deny or allow
        #[arg(long, default_value = "deny")]
        action: String,
        /// Only for this user, user@domain
        #[arg(long)]
        user: Option<String>,
    },
    /// Take a prefix out of a list and its file
    Rm {
        /// Name of the list
        list: String,
        /// Begin of the numbers
        prefix: String,
        /// The entry of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Say what a list makes of a number
    Test {
        /// Name of the list
        list: String,
        /// The number
        number: String,
        /// Who calls, user@domain
        #[arg(long)]
        user: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum Targets {
    /// List targets with their states
    List,
    /// Change a target until the next reload; its state stays beyond that
    Set {
        /// Such as pbx-1
        id: String,
        /// up, drain or down
        #[arg(long)]
        state: Option<String>,
        /// Share of the calls
        #[arg(long)]
        weight: Option<u32>,
        /// Slots, such as channels=300
        #[arg(long, value_name = "NAME=COUNT", value_parser = parse_slots)]
        resource: Vec<(String, u32)>,
    },
}

#[derive(Debug, Subcommand)]
enum Regs {
    /// List registered phones
    List {
        /// Only of this address of record, user@domain
        aor: Option<String>,
        /// Phones on this page
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Forget the phones of an address of record; the registrar keeps its own
    Rm {
        /// user@domain
        aor: String,
    },
}

fn parse_slots(text: &str) -> Result<(String, u32), String> {
    let (name, count) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is no NAME=COUNT"))?;
    let count = count.parse();
    let count = count.map_err(|_| format!("`{text}` has no number after '='"))?;
    Ok((name.to_owned(), count))
}

pub(crate) fn edge(args: &EdgeArgs) -> Outcome {
    if let Command::Check(check) = &args.command {
        return run::check(check);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (ask, form) = request(&args.command)?;
    let lost = |error: io::Error| {
        let socket = args.socket.display();
        format!("{socket}: {error}; is the edge running, and is this `unix` in its [admin]?")
    };
    if matches!(args.command, Command::Watch) {
        let mut events = Events::default();
        let taken = |part: &[u8]| events.take(part, args.json);
        runtime
            .block_on(client::watch(&args.socket, &ask, taken))
            .map_err(lost)?;
        return Ok(ExitCode::SUCCESS);
    }
    let answered = runtime.block_on(client::ask(&args.socket, &ask));
    let answered = answered.map_err(lost)?;
    let json: Value = serde_json::from_slice(&answered.body)
        .map_err(|error| format!("the answer is no JSON: {error}"))?;
    if answered.status >= 400 {
        if args.json {
            print(&super::escaped_json(&format!("{json:#}\n")))?;
        } else {
            eprint!("{}", table::refusal(&json));
        }
        return Ok(ExitCode::FAILURE);
    }
    let text = match args.json {
        true => super::escaped_json(&format!("{json:#}\n")),
        false => form.show(&json),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// How an answer is shown to people.
enum Form {
    /// A table of the entries under a name.
    Rows(&'static str, &'static [&'static str]),
    Fields,
}

impl Form {
    fn show(&self, json: &Value) -> String {
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

fn request(command: &Command) -> Result<(Ask, Form), Box<dyn std::error::Error>> {
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

/// Events of a stream, which come in parts.
#[derive(Default)]
struct Events(Vec<u8>);

impl Events {
    fn take(&mut self, part: &[u8], json: bool) -> io::Result<()> {
        self.0.extend_from_slice(part);
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            if let Some(data) = line.strip_prefix(b"data: ") {
                print(&event(data, json))?;
            }
        }
        Ok(())
    }
}

fn event(data: &[u8], json: bool) -> String {
    let text = String::from_utf8_lossy(data);
    match serde_json::from_str(&text) {
        Ok(Value::Object(members)) if !json => table::line(&members),
        _ => super::escaped_json(&text),
    }
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

    /// The commands of the operator's page can be given.
    #[test]
    fn commands_of_the_page_are_understood() {
        let page = include_str!("../../docs/edge.md");
        let lines = page.lines().filter_map(|line| line.strip_prefix("$ "));
        let mut count = 0;
        for line in lines.filter(|line| line.starts_with("windlass edge ")) {
            // A quoted word has blanks.
            let quoted = line.split('\'').enumerate();
            let words = quoted.flat_map(|(at, part)| match at % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            });
            let parsed = Cli::try_parse_from(words.collect::<Vec<_>>());
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
            count += 1;
        }
        assert!(count >= 14, "{count}");
    }

    #[test]
    fn events_come_in_parts_and_steer_no_terminal() {
        let data = b"{\"time\":\"t\",\"event\":\"ban\",\"ip\":\"\\u001b[2J\"}\n";
        assert_eq!(event(data, false), "t ban ip=\\u{1b}[2J\n");
        assert_eq!(
            event(data, true),
            "{\"time\":\"t\",\"event\":\"ban\",\"ip\":\"\\u001b[2J\"}\n"
        );
        let mut events = Events::default();
        events.take(b": events\n\nevent: ban\nda", true).unwrap();
        assert_eq!(events.0, b"da");
    }
}
