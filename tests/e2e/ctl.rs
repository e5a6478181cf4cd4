//! The operator's command line on the running binary: over TCP, HTTP and ng.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use windlass_ng::Dict;
use windlass_ng::client::ClientError;

use crate::common::phone::{Call, Phone, offer};
use crate::common::process::{Relay, free_udp};
use crate::common::{sdp, wait_for};

/// A relay with listeners for operators.
struct Operated {
    relay: Relay,
    cli: SocketAddr,
    http: SocketAddr,
}

impl Operated {
    fn start() -> Self {
        let (cli, http) = (free_udp("127.0.0.1"), free_udp("127.0.0.1"));
        let more = format!("[control]\ncli = [\"{cli}\"]\nhttp = [\"{http}\"]\n");
        Self {
            relay: Relay::start(&more),
            cli,
            http,
        }
    }

    fn run(&self, line: &str) -> String {
        talk(self.cli, format!("{line}\n").as_bytes())
    }

    /// Status line and body.
    fn http(&self, request: &str) -> (String, String) {
        let response = talk(self.http, request.as_bytes());
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.lines().next().unwrap();
        (status.to_owned(), body.to_owned())
    }
}

impl Operated {
    /// One message to and fro on the subprotocol of the command line (RFC 6455).
    fn websocket(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let upgrade = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: cli.rtpengine.com\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // A final text frame, masked with zeros; short ones have one byte of length.
        let mut frame = vec![0x81, 0x80 | line.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(line.as_bytes());
        stream.write_all(&frame).unwrap();
        let mut start = [0; 2];
        stream.read_exact(&mut start).unwrap();
        let mut text = vec![0; usize::from(start[1])];
        stream.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }
}

/// Sends, and reads until the server closes.
fn talk(to: SocketAddr, message: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(message).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn an_operator_sees_and_ends_a_call() {
    let operated = Operated::start();
    let relay = &operated.relay;
    let (mut caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up(relay, "watched", &caller, &callee);
    caller.speak(call.shown_to_caller, 20);
    assert_eq!(callee.hear(20), 20);

    let sessions = operated.run("list sessions all");
    assert_eq!(sessions.lines().count(), 1);
    assert!(sessions.contains("watched | del:n | creat:"), "{sessions}");
    let info = operated.run("list sessions watched");
    assert!(info.contains("\ncallid: watched\n"), "{info}");
    assert!(info.contains("--- Tag 'caller', type: FROM_TAG,"), "{info}");
    assert!(
        info.contains("(audio over RTP/AVP) using PCMA/8000\n"),
        "{info}"
    );
    assert!(info.contains(", 20 p, 3440 b, 0 e, "), "{info}");

    // The timers gather traffic once a second.
    wait_for("traffic of the interface", Duration::from_secs(5), || {
        let interfaces = operated.run("list interfaces");
        let carried = "  Ingress: 20 / 3440 / 0\n  Egress: 20 / 3440 / 0\n";
        interfaces.contains(carried).then_some(())
    });
    let json = operated.run("list jsonstats");
    assert!(json.contains("\"sessionsown\":1,"), "{json}");
    let threads = "\"poller_threads\":[{\"index\":0,\"pid\":";
    assert!(json.contains(threads), "{json}");
    assert!(
        json.contains("\"ingress\":{\"packets\":20,\"bytes\":3440,"),
        "{json}"
    );

    assert_eq!(
        operated.run("terminate watched"),
        "\nCall Id (watched) successfully terminated by operator.\n\n"
    );
    assert_eq!(relay.leased_ports(), 0);
    assert!(
        operated
            .run("list totals")
            .contains(" Total forced terminated sessions                :1\n")
    );
    // What the call carried stays counted.
    wait_for("another turn", Duration::from_secs(5), || {
        let interfaces = operated.run("list interfaces");
        interfaces.contains("Ingress: 20 / 3440 / 0").then_some(())
    });
}

#[test]
fn http_and_ng_take_the_same_lines() {
    let operated = Operated::start();
    let expected = "TIMEOUT=60\n";
    let get = "GET /cli/list+timeout HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let (status, body) = operated.http(get);
    assert_eq!(
        (status.as_str(), body.as_str()),
        ("HTTP/1.1 200 OK", expected)
    );
    let line = "set timeout 61";
    let post = format!(
        "POST /cli HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n{line}",
        line.len()
    );
    let (status, body) = operated.http(&post);
    let done = "Success setting timeout to 61\n";
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", done));

    assert_eq!(operated.websocket("list timeout"), "TIMEOUT=61\n");

    let cli = Dict::new().with("command", "cli");
    let reply = operated.relay.ask(cli.clone().with("body", "list timeout"));
    let reply = reply.unwrap();
    assert_eq!(reply.get_str("response"), Some("TIMEOUT=61\n"));
    match operated.relay.ask(cli) {
        Err(ClientError::Refused { reason }) => assert_eq!(reason, "No 'body' in message"),
        other => panic!("not refused: {other:?}"),
    }
    assert!(operated.run("list totals").contains("127.0.0.1 |"));
}

#[test]
fn pages_of_origins_that_are_not_named_are_refused() {
    let http = free_udp("127.0.0.1");
    let named = "origins = [\"https://ops.example.com\"]";
    let _relay = Relay::start(&format!("[control]\nhttp = [\"{http}\"]\n{named}\n"));
    for (origin, status) in [
        ("", "200"),
        ("Origin: https://ops.example.com\r\n", "200"),
        ("Origin: https://evil.example.net\r\n", "403"),
        ("Origin: null\r\n", "403"),
    ] {
        let get = "GET /cli/list+timeout HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        let response = talk(http, format!("{get}{origin}\r\n").as_bytes());
        let expected = format!("HTTP/1.1 {status} ");
        assert!(response.starts_with(&expected), "{origin}{response}");
    }
}

#[test]
fn settings_take_effect_on_the_running_relay() {
    let operated = Operated::start();
    let relay = &operated.relay;
    assert_eq!(
        operated.run("set maxsessions 0"),
        "Success setting maxsessions to 0\n"
    );
    let phone = Phone::new("127.0.0.1");
    let request = || offer("refused", &sdp::audio(phone.address(), ""));
    match relay.ask(request()) {
        Err(ClientError::Refused { reason }) => {
            assert_eq!(reason, "Parallel session limit reached");
        }
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(operated.run("params diff"), "max-sessions: -1 => 0\n");
    assert_eq!(operated.run("params revert"), "");
    relay.ask(request()).unwrap();

    // This test keeps a machine busier than that. Only new calls are refused.
    let mut ids = 0..;
    let mut fresh = || {
        offer(
            &format!("new-{}", ids.next().unwrap()),
            &sdp::audio(phone.address(), ""),
        )
    };
    operated.run("set maxcpu 0.0001");
    wait_for("the limit", Duration::from_secs(10), || {
        relay.ask(fresh()).is_err().then_some(())
    });
    operated.run("set maxcpu 0");
    wait_for("no limit", Duration::from_secs(5), || {
        relay.ask(fresh()).ok()
    });

    // Commands of one call are logged in full, without keys.
    assert_eq!(
        operated.run("debug refused on"),
        "Enabled debugging for call 'refused'\n"
    );
    let query = Dict::new()
        .with("command", "query")
        .with("call-id", "refused");
    relay.ask(query.clone()).unwrap();
    wait_for("the reply in the log", Duration::from_secs(5), || {
        relay.process.log().contains("debug: reply").then_some(())
    });
    // No level above errors: nothing more is logged, once what waited is written.
    operated.run("set loglevel 3");
    std::thread::sleep(Duration::from_millis(300));
    let quiet = relay.process.log().len();
    relay.ask(query).unwrap();
    operated.run("list numsessions");
    assert_eq!(relay.process.log().len(), quiet);
    assert_eq!(operated.run("list loglevel core"), "3\n");
}

#[test]
fn long_lines_and_silence_end_the_connection() {
    let operated = Operated::start();
    let mut stream = TcpStream::connect(operated.cli).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let sent = stream.write_all(&[b'x'; 80_000]);
    let mut reply = Vec::new();
    // Closed at once, with a reset if bytes were left.
    let read = stream.read_to_end(&mut reply);
    assert!(sent.is_err() || read.is_err() || reply.is_empty());
    assert_eq!(reply, b"");
    let mut silent = TcpStream::connect(operated.cli).unwrap();
    silent
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(silent.read_to_end(&mut reply).unwrap_or(0), 0);
    assert_eq!(operated.run("nonsense"), "Unknown command: nonsense\n");
    // Empty lines are none.
    assert_eq!(
        operated.run("\r\n \nlist timeout\nnonsense"),
        "TIMEOUT=60\n"
    );
    // A line without an end is one when nothing more can come.
    let mut stream = TcpStream::connect(operated.cli).unwrap();
    stream.write_all(b"list timeout").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "TIMEOUT=60\n");
}
