//! The log, and whoever does not read it.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use windlass_ng::{Dict, Value};

use crate::common::phone::{Call, Phone};
use crate::common::process::{Relay, free_udp};
use crate::common::{TempDir, wait_for};

/// Commands for a call that does not exist, each worth some 3,000 bytes of log.
fn chatter(relay: &Relay, commands: std::ops::Range<usize>) {
    let client = relay.client();
    for number in commands {
        let id = format!("q{number:05}-{:x<900}", "");
        let query = Dict::new().with("command", "query").with("call-id", id);
        assert!(client.request(&query).is_err());
    }
}

fn lost_lines(relay: &Relay) -> i64 {
    let reply = relay
        .ask(Dict::new().with("command", "statistics"))
        .unwrap();
    let statistics = reply.get("statistics").and_then(Value::as_dict).unwrap();
    let lost = statistics.get("lost").and_then(Value::as_dict).unwrap();
    lost.get("log_lines").and_then(Value::as_int).unwrap()
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_and_says_so_later() {
    let (mut relay, mut unread) = Relay::start_unread("");
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up(&relay, "unread", &caller, &callee);
    assert_eq!(lost_lines(&relay), 0);
    chatter(&relay, 0..3000);
    assert!(lost_lines(&relay) > 0);
    caller.speak(call.shown_to_caller, 20);
    assert_eq!(callee.hear(20), 20);
    callee.speak(call.shown_to_callee, 20);
    assert_eq!(caller.hear(20), 20);
    call.delete(&relay);
    let log = Arc::new(Mutex::new(Vec::new()));
    let read = log.clone();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(length @ 1..) = unread.read(&mut buffer) {
            read.lock().unwrap().extend_from_slice(&buffer[..length]);
        }
    });
    let text = || String::from_utf8(log.lock().unwrap().clone()).unwrap_or_default();
    wait_for("word of the gap", Duration::from_secs(10), || {
        text().contains("lines lost").then_some(())
    });
    chatter(&relay, 3000..3010);
    relay.process.terminate();
    assert!(relay.process.wait(Duration::from_secs(10)).success());
    reader.join().unwrap();
    let log = text();
    assert!(log.trim_end().ends_with("stopped"));
    let numbers = log.lines().filter_map(|line| {
        let (_, id) = line.split_once("call_id=q")?;
        id.get(..5)?.parse::<u32>().ok()
    });
    let numbers: Vec<u32> = numbers.collect();
    assert!(numbers.is_sorted(), "order is kept");
    assert_eq!(numbers.last(), Some(&3009));
}

#[test]
fn the_end_does_not_wait_for_whoever_does_not_read() {
    let (mut relay, unread) = Relay::start_unread("");
    chatter(&relay, 0..200);
    relay.process.terminate();
    assert!(relay.process.wait(Duration::from_secs(8)).success());
    drop(unread);
}

#[test]
fn what_was_logged_stands_before_the_error_that_ended_the_start() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let ng = taken.local_addr().unwrap();
    let directory = TempDir::new(&format!("fatal-{}", free_udp("127.0.0.1").port()));
    let config = format!("[[interface]]\naddress = \"127.0.0.1\"\n[ng]\nudp = [\"{ng}\"]\n");
    let path = directory.file("windlass.toml", &config);
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.arg("run").arg("--config").arg(path);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.len() > 1, "{log}");
    assert!(log.contains("ports are"), "{log}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("windlass: cannot listen on udp"), "{log}");
}
