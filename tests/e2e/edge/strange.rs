//! Messages that few phones write (E18), and connections that say nothing (E27).

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::{Certificate, Plan, listen, secure};
use crate::common::process::free_udp;
use crate::common::sip::{Party, any_sdp};
use crate::common::{TempDir, wait_for};

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

/// Connections from an address of their own.
fn connect(from: &str, to: SocketAddr, count: usize) -> Vec<TcpStream> {
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
    let _relay = plan.start();
    // Handshakes that never begin, as many as 1024 files of a process let be on both sides, and
    // messages of one byte a second.
    let mut idle = Vec::new();
    for from in ["127.0.0.70", "127.0.0.71", "127.0.0.72"] {
        idle.extend(connect(from, tls, 200));
    }
    let mut slow = connect("127.0.0.73", udp, 50);
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
