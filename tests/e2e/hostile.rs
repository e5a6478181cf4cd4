//! Requests meant to exhaust or confuse the relay: each is refused or served within bounds, memory
//! stays flat, and the next request is answered.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use windlass_ng::client::ClientError;
use windlass_ng::{Client, Dict, Value};

use crate::common::process::{Relay, free_udp};

/// What a hostile request may leave behind.
const RSS_GROWTH_KIB: u64 = 48 * 1024;
const DEEP: usize = 100_000;
const LONG: usize = 10 * 1024 * 1024;

/// A relay with HTTP beside ng, and the memory that it had at its start.
struct Target {
    relay: Relay,
    http: SocketAddr,
    rss_kib: u64,
}

impl Target {
    fn start() -> Self {
        let http = free_udp("127.0.0.1");
        let interface = "[[interface]]\naddress = \"127.0.0.1\"\n";
        let more = format!("[control]\nhttp = [\"{http}\"]\n[ports]\nmin = 10000\nmax = 59999\n");
        let relay = Relay::start_with(interface, &more);
        // What every process touches once.
        relay.ask(ping()).unwrap();
        let rss_kib = relay.process.rss_kib();
        Self {
            relay,
            http,
            rss_kib,
        }
    }

    /// Asks over TCP; `None`: the connection was closed without a reply.
    fn tcp(&self, message: &[u8]) -> Option<String> {
        let stream = TcpStream::connect(self.relay.ng).unwrap();
        talk(stream, message, |reply| reply.ends_with('e'))
    }

    fn http(&self, content_type: &str, body: &[u8]) -> Option<String> {
        let stream = TcpStream::connect(self.http).unwrap();
        let mut message = format!(
            "POST /ng-plain HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        message.extend_from_slice(body);
        talk(stream, &message, |_| false)
    }

    /// By every way in, and refused by each.
    fn is_refused(&self, request: &Dict) -> bool {
        let body = request.to_bencode();
        let over_tcp = self.tcp(&[b"hostile ", &body[..]].concat());
        let over_http = self.http("application/x-rtpengine-ng", &body);
        let refuses = |reply: Option<String>| {
            reply.is_none_or(|reply| {
                reply.contains("6:result5:error") || reply.starts_with("HTTP/1.1 4")
            })
        };
        refuses(over_tcp) && refuses(over_http)
    }

    /// It answers, and has not grown.
    fn is_well(&self) {
        self.relay.ask(ping()).unwrap();
        let now = self.relay.process.rss_kib();
        assert!(
            now < self.rss_kib + RSS_GROWTH_KIB,
            "{} KiB before, {now} KiB after",
            self.rss_kib
        );
    }
}

/// Sends all of a message and reads until the reply is `whole`, or the peer closes.
fn talk(mut stream: TcpStream, message: &[u8], whole: impl Fn(&str) -> bool) -> Option<String> {
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    // It may close before it has read all.
    let _ = stream.write_all(message);
    let mut reply = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => reply.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("neither a reply nor an end: {error}"),
        }
        if whole(&String::from_utf8_lossy(&reply)) {
            break;
        }
    }
    (!reply.is_empty()).then(|| String::from_utf8_lossy(&reply).into_owned())
}

fn ping() -> Dict {
    Dict::new().with("command", "ping")
}

fn offer(call: &str, sdp: impl Into<Vec<u8>>) -> Dict {
    Dict::new()
        .with("command", "offer")
        .with("call-id", call)
        .with("from-tag", "F")
        .with("sdp", Into::<Vec<u8>>::into(sdp))
}

fn session(lines: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{lines}")
}

fn audio(port: u16) -> String {
    session(&format!("m=audio {port} RTP/AVP 8\r\n"))
}

#[test]
fn nesting_and_length_are_bounded_on_every_transport() {
    let target = Target::start();
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(DEEP), close.repeat(DEEP));
    let bencode = format!("d7:command4:ping1:a{}e", deep("l", "e"));
    let dicts = format!(
        "d7:command4:ping1:a{}i0e{}e",
        "d1:a".repeat(DEEP),
        "e".repeat(DEEP)
    );
    for body in [&bencode, &dicts] {
        let reply = target.tcp(format!("deep {body}").as_bytes());
        assert!(reply.is_none_or(|reply| reply.contains("5:error")));
        let reply = target.http("application/x-rtpengine-ng", body.as_bytes());
        assert!(reply.unwrap().contains("5:error"));
    }
    let json = format!("{{\"command\":\"ping\",\"a\":{}}}", deep("[", "]"));
    let reply = target.http("application/json", json.as_bytes()).unwrap();
    assert!(reply.contains("\"error\""), "{reply}");

    let long = format!("d7:command4:ping1:a{LONG}:{}e", "x".repeat(LONG));
    assert_eq!(target.tcp(format!("long {long}").as_bytes()), None);
    let reply = target.http("application/x-rtpengine-ng", long.as_bytes());
    assert!(reply.is_none_or(|reply| reply.starts_with("HTTP/1.1 4")));
    // A length that is promised and never comes holds no memory.
    let mut waiting = TcpStream::connect(target.relay.ng).unwrap();
    waiting.write_all(b"w d1:a999999999:").unwrap();
    // As many as a request may have, and one more list of them.
    let many = "i0e".repeat(80_000);
    let reply = target.http(
        "application/x-rtpengine-ng",
        format!("d7:command4:ping1:al{many}ee").as_bytes(),
    );
    assert!(reply.unwrap().contains("5:error"));
    target.is_well();
}

#[test]
fn repeated_keys_and_odd_bytes_do_no_harm() {
    let target = Target::start();
    let mut repeated = Dict::new();
    for _ in 0..800 {
        repeated.push("call-id", "not-this-one");
        repeated.push("flags", "trust-address");
    }
    repeated.push("command", "offer");
    repeated.push("call-id", "repeated");
    repeated.push("from-tag", "F");
    repeated.push("sdp", audio(4000));
    let reply = target.relay.ask(repeated).unwrap();
    assert!(reply.get_str("sdp").unwrap().contains("m=audio"));
    let query = |id: &str| Dict::new().with("command", "query").with("call-id", id);
    assert!(target.relay.ask(query("repeated")).is_ok());
    assert!(target.relay.ask(query("not-this-one")).is_err());

    // Names are bytes, and stay what they are.
    let odd = b"a\0b/../\r\n\xff%00".as_slice();
    let mut request = offer("", audio(4000));
    request.push("call-id", odd);
    request.push("from-tag", odd);
    assert!(target.relay.ask(request).is_ok());
    let mut query = Dict::new().with("command", "query");
    query.push("call-id", odd);
    assert!(target.relay.ask(query).is_ok());
    for text in [
        "m=audio 4000 RTP/AVP 8\r\na=x:\0\r\n",
        "m=audio 4000 RTP/AVP 8\ra=x\r\n",
    ] {
        assert!(
            target.is_refused(&offer("bytes", session(text))),
            "{text:?}"
        );
    }
    target.is_well();
}

#[test]
fn bombs_in_sdp_are_refused() {
    let target = Target::start();
    let with = |line: &str, times: usize| {
        session(&format!("m=audio 4000 RTP/AVP 8\r\n{}", line.repeat(times)))
    };
    let candidate = "a=candidate:1 1 UDP 2130706431 127.0.0.1 4000 typ host\r\n";
    let mut formats = String::from("m=audio 4000 RTP/AVP");
    (0..100_000).for_each(|format| write!(formats, " {}", format % 128).unwrap());
    let many_maps: String = (0..10_000)
        .map(|format| format!("a=rtpmap:{} opus/48000/2\r\n", format % 128))
        .collect();
    let crypto =
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
    for (name, sdp) in [
        (
            "m-lines",
            session(&"m=audio 4000 RTP/AVP 8\r\n".repeat(10_000)),
        ),
        ("candidates", with(candidate, 100_000)),
        ("fewer candidates", with(candidate, 2_000)),
        ("formats", session(&format!("{formats}\r\n"))),
        ("rtpmaps", with(&many_maps, 1)),
        ("keys", with(crypto, 5_000)),
        ("sessions", audio(4000).repeat(1_000)),
        (
            "long line",
            with(&format!("a=x:{}\r\n", "y".repeat(LONG)), 1),
        ),
    ] {
        assert!(target.is_refused(&offer(name, sdp)), "{name}");
    }
    assert_eq!(target.relay.leased_ports(), 0);
    target.is_well();
}

#[test]
fn one_call_has_a_bounded_number_of_parties_and_ports() {
    let target = Target::start();
    let client = target.relay.client();
    let started = Instant::now();
    let mut refused = 0;
    for branch in 0..1_000 {
        let request = offer("forks", audio(4000)).with("via-branch", format!("b{branch}"));
        match client.request(&request) {
            Ok(_) => {}
            Err(ClientError::Refused { reason }) => {
                assert_eq!(reason, "Invalid dialogue association");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0 && target.relay.leased_ports() <= 2 * 1024);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(120), "{took:?}");

    // Re-offers that name a new address each time.
    for port in 0..2_000 {
        client
            .request(&offer("moves", audio(2_000 + 2 * port)))
            .unwrap();
    }
    let leased = target.relay.leased_ports();
    assert!(leased <= 2 * 1024 + 2 * 16, "{leased}");
    // Answers under a new tag each time.
    for tag in 0..2_000 {
        let answer = Dict::new()
            .with("command", "answer")
            .with("call-id", "moves")
            .with("from-tag", "F")
            .with("to-tag", format!("T{tag}"))
            .with("sdp", audio(4000));
        client.request(&answer).unwrap();
    }
    for call in ["forks", "moves"] {
        let delete = Dict::new().with("command", "delete").with("call-id", call);
        client
            .request(&delete.with("delete-delay", 0_i64).with("flags", "fast"))
            .unwrap();
    }
    assert_eq!(target.relay.leased_ports(), 0);
    target.is_well();
}

#[test]
fn ping_is_answered_while_thousands_of_calls_are_listed_and_made() {
    const CALLS: usize = 5_000;
    const SLOWEST: Duration = Duration::from_secs(2);
    let target = Target::start();
    let call = |client: &Client, id: usize| {
        let request = offer(&format!("call-{id}"), audio(4000) + "a=rtcp-mux\r\n").with(
            "rtcp-mux",
            Value::List(vec!["require".into(), "accept".into()]),
        );
        client.request(&request).unwrap_or_else(|error| {
            let log = target.relay.process.log();
            let warned = log
                .lines()
                .filter(|line| !line.contains("INFO") && !line.contains("DEBUG"));
            panic!("{error}: {:?}", warned.collect::<Vec<_>>())
        });
    };
    let client = target.relay.client();
    (0..CALLS).for_each(|id| call(&client, id));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let list = Dict::new()
                    .with("command", "list")
                    .with("limit", i64::try_from(CALLS).unwrap())
                    .to_bencode();
                while !is_over.load(Ordering::Relaxed) {
                    let reply = target.tcp(&[b"list ", &list[..]].concat()).unwrap();
                    assert_eq!(reply.matches("call-").count(), CALLS);
                }
            });
        }
        scope.spawn(|| {
            let client = target.relay.client();
            let mut id = 0;
            while !is_over.load(Ordering::Relaxed) {
                call(&client, id % CALLS);
                id += 1;
            }
        });
        let client = target.relay.client();
        let mut slowest = Duration::ZERO;
        for _ in 0..300 {
            let asked = Instant::now();
            client.request(&ping()).unwrap();
            slowest = slowest.max(asked.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(slowest < SLOWEST, "{slowest:?}");
    });
}
