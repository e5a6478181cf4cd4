//! Messages that few phones write (E18), broken ones without end (E19), and connections that say nothing
//! (E27).

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::{Certificate, Plan, listen, secure};
use crate::common::process::free_udp;
use crate::common::sip::{Party, any_sdp};
use crate::common::{TempDir, is_long, wait_for};

/// What the edge must do with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The upstream gets it.
    Forward,
    Status(&'static str),
    /// Nobody hears of it.
    Drop,
    /// The same, and a stream is closed after it.
    Close(&'static str),
}

const PLAIN: &str = "INVITE sip:user@example.com SIP/2.0\n\
    Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKtorture\nMax-Forwards: 70\n\
    From: <sip:caller@example.com>;tag=938\nTo: <sip:user@example.com>\n\
    Call-ID: torture@example.com\nCSeq: 8 INVITE\nContact: <sip:caller@192.0.2.7>\n\
    Content-Length: 0\n\n";

/// Names in RFC 4475 and RFC 5118, what is changed of a plain INVITE, and the fate by spec §21.
const TORTURE: [(&str, &str, &str, Fate); 22] = [
    ("plain", "", "", Fate::Forward),
    (
        "escnull",
        "sip:user@example.com SIP",
        "sip:null-%00-null@example.com SIP",
        Fate::Forward,
    ),
    (
        "esc01",
        "sip:user@example.com SIP",
        "sip:sips%3Auser%40example.com@example.net SIP",
        Fate::Forward,
    ),
    ("lwsdisp", "From: <sip", "From: caller<sip", Fate::Forward),
    (
        "semiuri",
        "sip:user@example.com SIP",
        "sip:user;par=u%40example.net@example.com SIP",
        Fate::Forward,
    ),
    (
        "transports",
        "Max-F",
        "Via: SIP/2.0/UNKNOWN t7.example.com;branch=z9hG4bK9\nMax-F",
        Fate::Forward,
    ),
    ("badbranch", "z9hG4bKtorture", "z9hG4bK", Fate::Forward),
    ("inv2543", ";branch=z9hG4bKtorture", "", Fate::Forward),
    (
        "ipv6-good",
        "sip:caller@192.0.2.7",
        "sip:caller@[2001:db8::9:1]",
        Fate::Forward,
    ),
    (
        "via-received-param-no-delim",
        "example.com;branch",
        "example.com;received=2001:db8::9:255;branch",
        Fate::Forward,
    ),
    (
        "badinv01",
        "example.com;branch",
        "192.0.2.15;;,;,,;branch",
        Fate::Status("400"),
    ),
    (
        "ncl",
        "Content-Length: 0",
        "Content-Length: -999",
        Fate::Close("400"),
    ),
    (
        "mcl01",
        "Content-Length: 0",
        "Content-Length: 0\nContent-Length: 5",
        Fate::Close("400"),
    ),
    (
        "scalar02",
        "CSeq: 8",
        "CSeq: 36893488147419103232",
        Fate::Status("400"),
    ),
    (
        "quotbal",
        "To: <sip",
        "To: \"Mr. J. User <sip",
        Fate::Status("400"),
    ),
    (
        "ltgtruri",
        "INVITE sip:user@example.com",
        "INVITE <sip:user@example.com>",
        Fate::Status("400"),
    ),
    (
        "lwsruri",
        "sip:user@example.com SIP",
        "sip:user@example.com; lr SIP",
        Fate::Status("400"),
    ),
    (
        "badvers",
        "com SIP/2.0\nVia",
        "com SIP/7.0\nVia",
        Fate::Status("505"),
    ),
    ("mismatch01", "8 INVITE", "8 OPTIONS", Fate::Status("400")),
    (
        "unkscm",
        "INVITE sip:user@example.com",
        "INVITE nobodyKnowsThisScheme:totallyopaquecontent",
        Fate::Status("416"),
    ),
    (
        "zeromf",
        "Max-Forwards: 70",
        "Max-Forwards: 0",
        Fate::Status("483"),
    ),
    (
        "bigcode",
        "INVITE sip:user@example.com SIP/2.0",
        "SIP/2.0 4294967301 better not break the receiver",
        Fate::Drop,
    ),
];

#[test]
fn e18_messages_of_the_torture_tests() {
    let callee = free_udp("127.0.0.1");
    let [udp, core] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let mut plan = Plan::new(
        "e18",
        vec![listen("udp", udp), listen("tcp", udp)],
        vec![listen("udp", core)],
        &format!("sip:{callee}"),
    );
    // A stranger's broken message gets no answer.
    plan.trust = "inside";
    let _relay = plan.start();
    let mut bob = Party::udp_at("bob", callee, core);
    for is_stream in [false, true] {
        for (name, from, to, fate) in TORTURE {
            let name = format!("{name} stream={is_stream}");
            assert!(from.is_empty() || PLAIN.contains(from), "{name}");
            // Each is a call of its own.
            let unique = name.replace([' ', '='], "-");
            let text = PLAIN
                .replacen(from, to, usize::from(!from.is_empty()))
                .replace("torture", &unique)
                .replace('\n', "\r\n");
            let text = match is_stream {
                true => text.replacen("SIP/2.0/UDP", "SIP/2.0/TCP", 1),
                false => text,
            };
            let mut alice = match is_stream {
                true => Party::tcp("alice", udp),
                false => Party::udp("alice", "127.0.0.1", udp),
            };
            alice.send(&text);
            let expected = match fate {
                Fate::Close(code) | Fate::Status(code) => Some(code),
                Fate::Forward | Fate::Drop => None,
            };
            if fate == Fate::Forward {
                let invite = bob.expect("INVITE");
                assert!(invite.text.contains(&unique), "{name}: {}", invite.text);
                bob.reply(&invite, "486 Busy Here", "b", "", "");
                bob.expect("ACK");
            } else if let Some(code) = expected {
                let answer = alice.next(Duration::from_secs(3));
                let answer = answer.unwrap_or_else(|| panic!("{name}: no answer"));
                assert_eq!(answer.kind(), code, "{name}: {}", answer.text);
            } else {
                alice.hears_nothing(Duration::from_millis(50));
            }
            if is_stream && matches!(fate, Fate::Close(_)) {
                assert!(alice.is_closed(Duration::from_secs(3)), "{name}");
            }
            // It still serves.
            let mut carol = Party::udp("carol", "127.0.0.1", udp);
            carol.request("OPTIONS", &format!("sip:{udp}"), "", "");
            let begin = Instant::now();
            carol.expect("200");
            println!("{name}: then served in {:?}", begin.elapsed());
        }
    }
    bob.hears_nothing(Duration::from_millis(100));
}

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    /// One below this bound.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (bound.max(1) as u64)).unwrap()
    }

    /// The message with some bytes changed, lost, repeated or taken from another one.
    fn mutate(&mut self, message: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = message.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + self.below(40)).min(bytes.len());
            match self.below(5) {
                0 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.extend_from_within(at..end),
                3 => {
                    let part = other.get(at..).unwrap_or_default();
                    bytes.splice(at..end, part.iter().copied().take(40));
                }
                _ => drop(bytes.splice(at..at, std::iter::repeat_n(b'9', 30))),
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        bytes
    }
}

/// The messages of RFC 4475 and RFC 5118.
fn corpus() -> Vec<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/control/edge/tests/corpus");
    let mut all = Vec::new();
    for rfc in ["rfc4475", "rfc5118"] {
        for entry in std::fs::read_dir(format!("{root}/{rfc}")).unwrap() {
            all.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
    all.sort();
    assert!(all.len() > 50, "{}", all.len());
    all
}

#[test]
fn e19_mutated_messages_do_not_stop_it() {
    let callee = free_udp("127.0.0.1");
    let (mut plan, [public, core]) = Plan::udp("e19", callee);
    // Those of strangers would go no further than the screen.
    plan.trust = "inside";
    let relay = plan.start();
    let mut bob = Party::udp_at("bob", callee, core);
    let corpus = corpus();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (rate, time) = match is_long() {
        true => (5_000, Duration::from_secs(600)),
        false => (1_000, Duration::from_secs(3)),
    };
    let mut numbers = Numbers(0x0e19_2026);
    let began = Instant::now();
    let (mut sent, mut early) = (0u32, None);
    while began.elapsed() < time {
        for _ in 0..rate / 100 {
            let [one, other] = [0; 2].map(|_| numbers.below(corpus.len()));
            let bytes = numbers.mutate(&corpus[one], &corpus[other]);
            let _ = socket.send_to(&bytes, public);
            sent += 1;
        }
        // All transactions of before are over by then.
        if early.is_none() && began.elapsed() > time / 4 {
            early = Some(relay.process.rss_kib());
        }
        let due = began + Duration::from_secs(1) * sent / rate;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let (early, late) = (early.unwrap(), relay.process.rss_kib());
    println!("{sent} messages; {early} KiB, and {late} KiB at the end");
    assert!(late < early + early / 4 || !is_long(), "memory grows");
    // It serves as before.
    let mut alice = Party::udp("alice", "127.0.0.1", public);
    let sdp = any_sdp(callee.ip());
    let call = alice.request("INVITE", "sip:alone@example.com", "", &sdp);
    let invite = wait_for("the INVITE", Duration::from_secs(10), || {
        let message = bob.next(Duration::from_secs(1))?;
        message.text.contains(&call.call_id).then_some(message)
    });
    bob.reply(&invite, "486 Busy Here", "b", "", "");
    alice.expect("486");
}

/// Connections from an address of their own.
pub(super) fn connect(from: &str, to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let from: SocketAddr = format!("{from}:0").parse().unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&to.into()).ok()?;
        Some(TcpStream::from(socket))
    };
    (0..count).filter_map(connect).collect()
}

#[test]
fn e27_slow_clients_are_closed_and_calls_go_on() {
    let files = TempDir::new("e27-files");
    let Some(certificate) = Certificate::make(&files) else {
        return;
    };
    let [udp, tls, core, callee] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let plan = Plan::new(
        "e27",
        vec![
            listen("udp", udp),
            listen("tcp", udp),
            secure("tls", tls, &certificate),
        ],
        vec![listen("udp", core)],
        &format!("sip:{callee}"),
    );
    allow_files(4096);
    let _relay = plan.start();
    // Handshakes that never begin, and messages of one byte a second. An address may have 256.
    let mut idle = Vec::new();
    for last in 70..75 {
        idle.extend(connect(&format!("127.0.0.{last}"), tls, 200));
    }
    assert_eq!(idle.len(), 1000);
    let mut slow = connect("127.0.0.75", udp, 50);
    let mut alice = Party::udp("alice", "127.0.0.1", udp);
    let mut bob = Party::udp_at("bob", callee, core);
    let sdp = any_sdp(callee.ip());
    let began = Instant::now();
    let mut calls = 0;
    let mut closed = [false, false];
    while closed != [true, true] {
        assert!(
            began.elapsed() < Duration::from_secs(25),
            "not closed: {closed:?}"
        );
        let mut call = alice.request("INVITE", "sip:bob@example.com", "", &sdp);
        let invite = bob.expect("INVITE");
        bob.reply(&invite, "200 OK", "b", "", &sdp);
        call.answered(&alice.expect("200"));
        alice.ack(&call, "");
        bob.expect("ACK");
        alice.again(&mut call, "BYE", "", "");
        let bye = bob.expect("BYE");
        bob.reply(&bye, "200 OK", "", "", "");
        alice.expect("200");
        calls += 1;
        slow.retain_mut(|stream| stream.write_all(b"I").is_ok());
        idle.retain(|stream| !has_ended(stream));
        slow.retain(|stream| !has_ended(stream));
        closed = [idle.is_empty(), slow.is_empty()];
        std::thread::sleep(Duration::from_millis(500));
    }
    println!(
        "{calls} calls beside, all closed after {:?}",
        began.elapsed()
    );
    wait_for("a served stranger", Duration::from_secs(2), || {
        (!connect("127.0.0.70", tls, 1).is_empty()).then_some(())
    });
}

/// Lets this process, and those that it starts, have so many files open; fewer where only root may say so.
pub(super) fn allow_files(count: u64) {
    let files = Resource::RLIMIT_NOFILE;
    let (soft, hard) = getrlimit(files).unwrap();
    if soft < count && setrlimit(files, count, hard.max(count)).is_err() {
        setrlimit(files, count.min(hard), hard).unwrap();
    }
}

/// The other end has closed it.
fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let ended = match stream.peek(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).unwrap();
    ended
}
