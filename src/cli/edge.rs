//! `windlass edge`: what operators ask a running edge, over its Unix socket.

mod request;
mod table;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;
use windlass_edge::admin::client;

use super::{Outcome, print, run};
use request::request;

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
    use crate::cli::Cli;

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
