//! Output of the command line, on calls without a network.

mod media_19_cli;
mod settings;
mod statistics;

use std::sync::{Arc, Mutex};

use windlass_ng::{CallId, Dict};

use super::{Console, NO_READER, Process, Role};
use crate::call::tests::{Bench, answer, audio, numbered, offer};
use crate::config::Config;

/// A process that only records what it is asked.
#[derive(Default)]
struct Books {
    filter: Mutex<String>,
    files: Mutex<u64>,
    tos: Mutex<u8>,
}

impl Process for Books {
    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        filter.clone_into(&mut self.filter.lock().unwrap());
        Ok(())
    }

    fn max_open_files(&self) -> Option<u64> {
        Some(*self.files.lock().unwrap())
    }

    fn set_max_open_files(&self, files: u64) -> Result<(), i32> {
        *self.files.lock().unwrap() = files;
        Ok(())
    }

    fn set_control_tos(&self, tos: u8) -> Result<(), String> {
        *self.tos.lock().unwrap() = tos;
        Ok(())
    }

    fn id(&self) -> u32 {
        4711
    }
}

/// A relay with a command line.
struct Operated {
    bench: Bench,
    console: Console,
    books: Arc<Books>,
}

impl Operated {
    fn new() -> Self {
        let bench = Bench::new();
        let books = Arc::new(Books::default());
        let mut config = Config::default();
        config.timeouts.final_limit = bench.calls.timeouts().total;
        let console = Console::new(&config, books.clone(), &bench.calls);
        Self {
            bench,
            console,
            books,
        }
    }

    /// With a call of one audio stream.
    fn with_call() -> Self {
        let mut operated = Self::new();
        let bench = &mut operated.bench;
        bench.ask(offer(&audio("198.51.100.2", 4000, "")));
        bench.wait(2);
        bench.ask(answer(&audio("198.51.100.7", 5000, "")));
        operated
    }

    fn run(&self, line: &str) -> String {
        self.run_as(Role::Reader, line)
    }

    fn run_as(&self, role: Role, line: &str) -> String {
        let bench = &self.bench;
        self.console.run(&bench.calls, line, role, bench.now)
    }
}

#[test]
fn a_call_is_described_with_its_parties() {
    let operated = Operated::with_call();
    let info = operated.run("call call info");
    assert_eq!(operated.run("list sessions call\r\n"), info);
    assert_eq!(
        numbered(&info),
        "
callid: call
deletionmark: no
created: 1700000000
proxy: 127.0.0.1:2222
tos: 0
last_signal: 1700000002
redis_keyspace: -1
last redis update: 0
foreign: no
recording: no

--- Tag 'F', type: FROM_TAG, label '', branch '', callduration 2.000000
---     subscribed to media with monologue tag 'T' (index: 1)
---     subscription of media with monologue tag 'T' (index: 1)
------ Media #1 (audio over RTP/AVP) using unknown codec
-------- Port     203.0.113.1:PORT0 <>    198.51.100.2:4000 , SSRC 0, 0 p, 0 b, 0 e, 1700000000 uts 0 kts
-------- Port     203.0.113.1:PORT1 <>    198.51.100.2:4001  (RTCP), SSRC 0, 0 p, 0 b, 0 e, 1700000000 uts 0 kts
--- Tag 'T', type: TO_TAG, label '', branch '', callduration 2.000000
---     subscribed to media with monologue tag 'F' (index: 1)
---     subscription of media with monologue tag 'F' (index: 1)
------ Media #1 (audio over RTP/AVP) using unknown codec
-------- Port     203.0.113.1:PORT2 <>    198.51.100.7:5000 , SSRC 0, 0 p, 0 b, 0 e, 1700000000 uts 0 kts
-------- Port     203.0.113.1:PORT3 <>    198.51.100.7:5001  (RTCP), SSRC 0, 0 p, 0 b, 0 e, 1700000000 uts 0 kts

"
    );
    let party = operated.run("call call tag T info");
    assert!(party.starts_with("--- Tag 'T', type: TO_TAG"), "{party}");
    assert!(info.contains(&party));
    assert_eq!(operated.run("call call tag Q info"), "No such tag 'Q'\n");
}

#[test]
fn calls_are_listed_by_kind() {
    let mut operated = Operated::with_call();
    let line = format!(
        "ID: {:>60} | del:n | creat:  1700000000 | prx:127.0.0.1:2222 | redis:-1 | frgn:n | rec:n\n",
        "call"
    );
    assert_eq!(operated.run("list sessions all"), line);
    assert_eq!(operated.run("get sessions own"), line);
    let none = "No foreign sessions on this media relay.\n";
    assert_eq!(operated.run("list sessions foreign"), none);
    assert_eq!(
        operated.run("list numsessions"),
        "Current sessions own: 1\nCurrent sessions foreign: 0\nCurrent sessions total: 1\n\
         Current transcoded media: 0\nCurrent sessions ipv4 only media: 1\n\
         Current sessions ipv6 only media: 0\nCurrent sessions ip mixed  media: 0\n"
    );
    let delete = Dict::new()
        .with("command", "delete")
        .with("call-id", "call");
    operated.bench.ask(delete.with("from-tag", "F"));
    assert!(operated.run("list sessions all").contains("| del:y |"));
    assert!(operated.run("call call info").contains("deletionmark: yes"));
}

#[test]
fn strangers_learn_of_no_call_that_they_do_not_know() {
    let operated = Operated::with_call();
    let run = |line: &str| operated.run_as(Role::Stranger, line);
    for line in [
        "list sessions all",
        "get sessions own",
        "list sessions foreign",
    ] {
        assert_eq!(run(line), format!("{NO_READER}\n"), "{line}");
    }
    assert_eq!(
        run("list sessions call"),
        operated.run("list sessions call")
    );
    assert_eq!(run("list numsessions"), operated.run("list numsessions"));
}

#[test]
fn calls_end_at_the_operators_word() {
    let operated = Operated::with_call();
    assert_eq!(
        operated.run("terminate nope"),
        "\nCall Id not found (nope).\n\n"
    );
    assert_eq!(
        operated.run("terminate foreign"),
        "All foreign calls terminated by operator.\n"
    );
    assert_eq!(operated.bench.calls.count(), 1);
    assert_eq!(
        operated.run("terminate call"),
        "\nCall Id (call) successfully terminated by operator.\n\n"
    );
    let totals = operated.run("list totals");
    assert!(
        totals.contains("\n Total forced terminated sessions                :1\n"),
        "{totals}"
    );
    assert_eq!(operated.run("call call terminate"), "No such call 'call'\n");
    assert_eq!(
        operated.run("list sessions call"),
        "\nCall ID not found (call).\n\n"
    );
    assert_eq!((operated.bench.leased(), operated.bench.flows()), (0, 0));
    for (line, expected) in [
        ("call call terminate", "\nCall 'call' terminated.\n\n"),
        ("terminate own", "All own calls terminated by operator.\n"),
        ("terminate all", "All calls terminated by operator.\n"),
    ] {
        let operated = Operated::with_call();
        assert_eq!(operated.run(line), expected);
        assert_eq!(operated.bench.calls.count(), 0, "{line}");
        assert_eq!(
            operated.run("list sessions all"),
            "No sessions on this media relay.\n"
        );
    }
}

#[test]
fn debugging_lasts_as_long_as_its_call() {
    let operated = Operated::with_call();
    let id = CallId::from("call");
    let is_debugged = || operated.bench.calls.is_debugged(&id);
    assert_eq!(operated.run("debug nope on"), "Call ID 'nope' not found\n");
    assert_eq!(
        operated.run("call call debug on"),
        "Enabled debugging for call 'call'\n"
    );
    assert!(is_debugged());
    assert_eq!(
        operated.run("debug call off"),
        "Disabled debugging for call 'call'\n"
    );
    assert!(!is_debugged());
    assert_eq!(
        operated.run("debug call"),
        "Enabled debugging for call 'call'\n"
    );
    operated.run("terminate call");
    assert!(!is_debugged());
}

#[test]
fn what_is_no_command_is_said() {
    let operated = Operated::with_call();
    for line in [
        "",
        "list",
        "get",
        "set",
        "set timeout",
        "set loglevel",
        "set loglevel ice",
        "call",
        "call call",
        "call call tag",
        "call call tag F",
        "call call tag F delay",
        "params",
        "ksadd",
        "ksrm",
        "media",
        "media list",
        "media add file",
        "terminate",
        "list sessions",
    ] {
        assert_eq!(operated.run(line), "More parameters required.\n", "{line}");
    }
    for (line, what) in [
        ("nope", "nope"),
        ("LIST sessions", "LIST sessions"),
        ("list nope", "nope"),
        ("set nope 5", "nope 5"),
        ("call call nope", "nope"),
        ("set nope", "nope"),
        ("call call tag F nope", "nope"),
        ("params nope", "nope"),
        ("media list nope", "nope"),
        ("media add nope x", "nope x"),
        ("media nope", "nope"),
    ] {
        assert_eq!(operated.run(line), format!("Unknown command: {what}\n"));
    }
    let keyspaces = "Keyspace notification feature has not been configured.\n";
    for line in ["ksadd 5", "ksrm 5", "kslist"] {
        assert_eq!(operated.run(line), keyspaces);
    }
    assert_eq!(operated.run("call nope info"), "No such call 'nope'\n");
    assert_eq!(
        operated.run("active"),
        "Ok, all calls set to 'owned (active)'\n"
    );
    assert_eq!(operated.run("list transcoders"), "No stats entries\n");
    assert_eq!(operated.run("media list files"), "No media files.\n");
    assert_eq!(operated.run("usage"), operated.run("help"));
}
