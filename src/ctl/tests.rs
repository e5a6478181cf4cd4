//! What the command line prints, on calls without a network.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use windlass_ng::{CallId, Dict};

use super::{Console, Process};
use crate::call::tests::{Bench, answer, audio, numbered, offer};
use crate::config::Config;

/// A process that only keeps books.
#[derive(Default)]
struct Books {
    filter: Mutex<String>,
    files: Mutex<u64>,
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
        let bench = &self.bench;
        self.console.run(&bench.calls, line, bench.now)
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
fn values_are_set_and_take_effect() {
    let mut operated = Operated::new();
    for (line, expected, shown, value) in [
        (
            "set maxsessions 0",
            "maxsessions to 0",
            "maxsessions",
            "Maximum sessions configured on rtpengine: 0",
        ),
        (
            "set maxcpu 50",
            "maxcpu to 50.0",
            "maxcpu",
            "Maximum CPU usage configured on rtpengine: 50.0",
        ),
        (
            "set maxload 3.5",
            "maxload to 3.50",
            "maxload",
            "Maximum load average configured on rtpengine: 3.50",
        ),
        (
            "set maxbw 100000",
            "maxbw to 100000",
            "maxbw",
            "Maximum bandwidth configured on rtpengine: 100000",
        ),
        (
            "set maxopenfiles 70000",
            "open_files to 70000",
            "maxopenfiles",
            "Maximum open-files configured on rtpengine: 70000; cat /proc/4711/limits",
        ),
        ("set timeout 5", "timeout to 5", "timeout", "TIMEOUT=5"),
        (
            "set silenttimeout 6",
            "timeout to 6",
            "silenttimeout",
            "SILENT_TIMEOUT=6",
        ),
        (
            "set offertimeout 7",
            "timeout to 7",
            "offertimeout",
            "OFFER_TIMEOUT=7",
        ),
        (
            "set finaltimeout 0",
            "timeout to 0",
            "finaltimeout",
            "FINAL_TIMEOUT=0",
        ),
        ("set deletedelay 0", "delete-delay to 0", "deletedelay", "0"),
        ("set controltos 16", "control-tos to 16", "controltos", "16"),
        (
            "set redisallowederrors 1",
            "redis-allowed-errors to 1",
            "redisallowederrors",
            "1",
        ),
        (
            "set redisdisabletime 11",
            "redis-disable-time to 11",
            "redisdisabletime",
            "11",
        ),
        (
            "set redisconnecttimeout 9",
            "redis-connect-timeout to 9",
            "redisconnecttimeout",
            "9",
        ),
        (
            "set rediscmdtimeout 8",
            "redis-cmd-timeout to 8",
            "rediscmdtimeout",
            "8",
        ),
    ] {
        assert_eq!(operated.run(line), format!("Success setting {expected}\n"));
        assert_eq!(
            operated.run(&format!("list {shown}")),
            format!("{value}\n"),
            "{line}"
        );
    }
    let reply = operated.bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    assert_eq!(
        reply.get_str("error-reason"),
        Some("Parallel session limit reached")
    );
    let unlimited = "Success setting maxsessions to -1; disable feature\n";
    assert_eq!(operated.run("set maxsessions -1"), unlimited);
    let bench = &mut operated.bench;
    bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    assert_eq!(bench.calls.count(), 1);
    // A minute would be the default.
    bench.ask(answer(&audio("198.51.100.7", 5000, "")));
    bench.wait(4);
    assert_eq!(bench.calls.count(), 1);
    bench.wait(1);
    assert_eq!(bench.calls.count(), 0);
    assert_eq!(operated.bench.calls.timeouts().delete_delay, Duration::ZERO);
}

#[test]
fn bad_values_change_nothing() {
    let operated = Operated::new();
    for (line, expected) in [
        (
            "set timeout abc",
            "Fail setting timeout to abc; no digits found",
        ),
        (
            "set timeout 60x",
            "Fail setting timeout to 60x; not a number, or too large",
        ),
        (
            "set timeout 0",
            "Fail setting timeout to 0; only positive values allowed",
        ),
        (
            "set timeout -1",
            "Fail setting timeout to -1; only values from 0 to 31536000 allowed",
        ),
        (
            "set maxsessions abc",
            "Fail setting maxsessions to abc; no digits found",
        ),
        (
            "set maxsessions -5",
            "Fail setting maxsessions to -5; either positive or -1 values allowed",
        ),
        (
            "set maxcpu inf",
            "Fail setting maxcpu to inf; no digits found",
        ),
        (
            "set maxbw -1",
            "Fail setting maxbw to -1; only positive values allowed",
        ),
        (
            "set maxopenfiles 2000",
            "Fail setting open_files to 2000; can't set it under 65536",
        ),
        ("set deletedelay -1", "Invalid delete-delay value"),
        ("set controltos 300", "Invalid control-tos value 300"),
        (
            "set loglevel abc",
            "Fail setting loglevel to abc; no digits found",
        ),
        ("set loglevel nope 5", "Unknown command: nope 5"),
        ("set redisdisable 1", "No redis write to disable"),
    ] {
        assert_eq!(operated.run(line), format!("{expected}\n"));
    }
    assert_eq!(operated.run("params diff"), "");
}

#[test]
fn log_levels_reach_the_filter() {
    let operated = Operated::new();
    let descriptions = operated.run("list loglevels");
    let core = "core - Everything that isn't part of another subsystem\n";
    assert!(descriptions.starts_with(core), "{descriptions}");
    let levels = operated.run("list loglevel");
    assert!(levels.starts_with("core = 6\nspandsp = 6\n"), "{levels}");
    assert!(levels.contains("\ninternals = -1\n"), "{levels}");
    assert_eq!(
        operated.run("set loglevel ice 7"),
        "Success setting loglevel to 7\n"
    );
    assert_eq!(operated.run("list loglevel ice"), "7\n");
    let filter = || operated.books.filter.lock().unwrap().clone();
    assert!(
        filter().contains("windlass::media::ice=debug"),
        "{}",
        filter()
    );
    assert_eq!(operated.run("params diff"), "log-level-ice: 6 => 7\n");
    assert_eq!(operated.run("params revert"), "");
    assert_eq!(filter(), "info");
    assert_eq!(operated.run("list loglevel ice"), "6\n");
}

#[test]
fn settings_are_compared_with_the_start() {
    let operated = Operated::new();
    let start = operated.run("params start");
    assert!(
        start.contains("\nmax-sessions = -1\ntimeout = 60\n"),
        "{start}"
    );
    assert_eq!(operated.run("params current"), start);
    operated.run("set maxsessions 5");
    operated.run("set maxcpu 50");
    operated.run("set redisallowederrors 3");
    assert_eq!(
        operated.run("params diff"),
        "max-sessions: -1 => 5\nmax-cpu: 0.0 => 50.0\nredis-allowed-errors: -1 => 3\n"
    );
    assert_eq!(operated.run("params start"), start);
    assert_eq!(operated.run("params revert"), "");
    assert_eq!(operated.run("params current"), start);
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
        ("call call debug maybe", "maybe"),
        ("call call tag F nope", "nope"),
        ("params nope", "nope"),
        ("media list nope", "list nope"),
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

#[test]
fn interfaces_are_described() {
    let operated = Operated::with_call();
    let interfaces = operated.run("list interfaces");
    assert_eq!(
        interfaces.lines().take(10).collect::<Vec<_>>().join("\n"),
        "Interface 'default' address '203.0.113.1' (IPv4)
 Port range: 30000 - 39999
 Ports used:     4 / 10000 (  0.0%)
 Packets/bytes/errors:
  Ingress: 0 / 0 / 0
  Egress: 0 / 0 / 0
 Packets lost/duplicates: 0 / 0
 MOS: avg 0.00, stddev 0.00
 Jitter: avg 0.00, stddev 0.00
 RTT: avg 0.00, stddev 0.00"
    );
    assert!(interfaces.contains("\nInterface 'default' address '2001:db8::1' (IPv6)\n"));
}

#[test]
fn totals_have_their_sections_and_columns() {
    let operated = Operated::with_call();
    let proxy = std::net::IpAddr::from([198, 51, 100, 1]);
    let offered = Some(windlass_ng::Command::Offer);
    let calls = &operated.bench.calls;
    calls.count_command((proxy, 1).into(), offered, Duration::from_millis(1), false);
    let totals = operated.run("list totals");
    let mut rest = totals.as_str();
    for section in [
        "\nStatistics over currently running sessions:\n\n Owned sessions                                  :1\n",
        "\nTotal statistics (does not include current running sessions):\n\n Uptime of rtpengine                             :2 seconds\n",
        "\nMOS statistics:\n\n Sum of all MOS values sampled                   :0.000000\n",
        "\nVoIP metrics:\n\n Sum of all jitter values sampled                :0.000000\n",
        "\nControl statistics:\n\n                Proxy |       Ping |      Offer |",
        "|       Mesh \n         198.51.100.1 |          0 |          1 |",
        "\nVoIP metrics for interface default/203.0.113.1:\n",
        "\nVoIP metrics for interface default/2001:db8::1:\n",
    ] {
        let at = rest
            .find(section)
            .unwrap_or_else(|| panic!("{section}\n{totals}"));
        rest = &rest[at + section.len()..];
    }
    assert!(
        totals
            .lines()
            .all(|line| !line.ends_with(':') || !line.starts_with("  "))
    );
    let counters = operated.run("list counters");
    let start =
        "\nCurrent per-second counters:\n\n Packets per second (userspace)                  :0\n";
    assert!(counters.starts_with(start), "{counters}");
    assert_eq!(counters.lines().count(), 12);
}

#[test]
fn statistics_are_json_with_plain_numbers() {
    let operated = Operated::with_call();
    let text = operated.run("list jsonstats");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (path, expected) in [
        ("/currentstatistics/sessionsown", 1.0),
        ("/totalstatistics/uptime", 2.0),
        ("/totalstatistics/avgcallduration", 0.0),
        ("/mos/mos_average", 0.0),
        ("/voip_metrics/rtt_dsct_stddev", 0.0),
        ("/voip_metrics/rtp_seq_resets", 0.0),
        ("/interfaces/0/ports/used_pct", 0.04),
        (
            "/interfaces/0/voip_metrics/jitter_measured_samples_total",
            0.0,
        ),
        ("/interfaces/1/egress/errors", 0.0),
    ] {
        let found = json.pointer(path).and_then(serde_json::Value::as_f64);
        assert_eq!(found, Some(expected), "{path}");
    }
    for path in [
        "/transcoders",
        "/poller_threads",
        "/bufferpools",
        "/interfaces/0/address",
    ] {
        let is_number = json.pointer(path).unwrap().is_number();
        assert!(!is_number, "{path}");
    }
}
