//! The control protocol, over UDP and TCP, on the running binary.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use windlass_ng::client::ClientError;
use windlass_ng::{Dict, Value};

use crate::common::phone::{Phone, offer};
use crate::common::process::Relay;
use crate::common::sdp;

/// Sends one datagram, gives back one.
fn datagram(relay: &Relay, message: &[u8]) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // A connected socket hears only the address that it asked.
    socket.connect(relay.ng).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    socket.send(message).unwrap();
    let mut buffer = vec![0u8; 65_536];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn both_encodings_and_every_refusal_are_answered() {
    let relay = Relay::start("");
    let ask = |message: &str| datagram(&relay, message.as_bytes());
    assert_eq!(ask("a1 d7:command4:pinge"), "a1 d6:result4:ponge");
    assert_eq!(ask("a2 {\"command\":\"ping\"}"), "a2 {\"result\":\"pong\"}");
    assert_eq!(
        ask("a3 d7:command4:nopee"),
        "a3 d6:result5:error12:error-reason20:Unrecognized commande"
    );
    assert_eq!(
        ask("a4 {\"a"),
        "a4 {\"result\":\"error\",\"error-reason\":\"Failed to parse JSON document\"}"
    );
    assert!(ask("a5 d").contains("Could not decode bencode dictionary"));
    assert!(ask("a6 hello").contains("Invalid NG data format"));
    assert!(ask("a7 ").contains("Invalid data (no payload)"));
    assert!(ask(&format!("a8 {}", "l".repeat(60_000))).contains("Invalid NG data format"));
    assert!(ask(&format!("a9 d1:a{}", "l".repeat(60_000))).contains("bencode"));
    assert!(ask("b1 d7:command4:list5:limiti-1ee").contains("invalid limit, must be >= 0"));
    assert_eq!(ask("b2 d7:command4:pinge"), "b2 d6:result4:ponge");
}

#[test]
fn a_retransmitted_offer_gets_the_same_ports() {
    let relay = Relay::start("");
    let phone = Phone::new("127.0.0.1");
    let mut message = b"same-cookie ".to_vec();
    let request = offer("dup", &sdp::audio(phone.address(), ""));
    request.write_bencode(&mut message);
    let first = datagram(&relay, &message);
    assert_eq!(datagram(&relay, &message), first);
    assert_eq!(relay.leased_ports(), 4);
    // The same offer under a new cookie is a retransmission of the proxy's peer.
    let again = [b"other", &message[b"same-cookie".len()..]].concat();
    let second = datagram(&relay, &again);
    assert_eq!(
        second.split_once(' ').unwrap().1,
        first.split_once(' ').unwrap().1
    );
}

#[test]
fn tcp_carries_bencode_messages_one_behind_the_other() {
    let relay = Relay::start("");
    let mut stream = TcpStream::connect(relay.ng).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    stream
        .write_all(b"t1 d7:command4:pinget2 d7:command4:li")
        .unwrap();
    stream.write_all(b"ste").unwrap();
    let expected = b"t1 d6:result4:ponget2 d5:callsle6:result2:oke";
    let mut replies = vec![0u8; expected.len()];
    stream.read_exact(&mut replies).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&replies),
        String::from_utf8_lossy(expected)
    );
    // Garbage ends the connection, and only that.
    stream.write_all(&[b'x'; 3000]).unwrap();
    assert_eq!(stream.read(&mut replies).unwrap_or(0), 0);
    assert!(TcpStream::connect(relay.ng).is_ok());
}

#[test]
fn refusals_have_the_words_that_proxies_know() {
    let relay = Relay::start("[limits]\nmax_sessions = 1\n");
    let phone = Phone::new("127.0.0.1");
    let sdp = sdp::audio(phone.address(), "");
    let refused = |request: Dict| match relay.ask(request) {
        Err(ClientError::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    };
    let command = |name: &'static str| Dict::new().with("command", name);
    assert_eq!(refused(command("offer")), "No SDP body in message");
    assert_eq!(
        refused(command("offer").with("sdp", "v=0")),
        "No call-id in message"
    );
    assert_eq!(
        refused(command("offer").with("sdp", "v=0").with("call-id", "x")),
        "No from-tag in message"
    );
    assert_eq!(
        refused(
            command("answer")
                .with("sdp", "v=0")
                .with("call-id", "x")
                .with("from-tag", "a")
        ),
        "No to-tag in message"
    );
    assert_eq!(
        refused(crate::common::phone::answer("none", &sdp)),
        "Unknown call-id"
    );
    assert_eq!(refused(offer("bad", "nonsense")), "Failed to parse SDP");
    let no_address = sdp.replace("c=IN IP4 127.0.0.1\r\n", "");
    assert_eq!(
        refused(offer("bad", &no_address)),
        "Incomplete SDP specification"
    );
    assert_eq!(relay.leased_ports(), 0);
    relay.ask(offer("one", &sdp)).unwrap();
    assert_eq!(
        refused(offer("two", &sdp)),
        "Parallel session limit reached"
    );
    let supports = Value::List(vec![Value::from("load limit")]);
    let mut request = offer("two", &sdp);
    request.push("supports", supports);
    let mut message = b"cookie ".to_vec();
    request.write_bencode(&mut message);
    let reply = datagram(&relay, &message);
    assert_eq!(
        reply,
        "cookie d7:message30:Parallel session limit reached6:result10:load limite"
    );
    let unknown = command("delete")
        .with("call-id", "none")
        .with("from-tag", "x");
    let reply = relay.ask(unknown.clone()).unwrap();
    assert_eq!(
        reply.get_str("warning"),
        Some("Call-ID not found or tags didn't match")
    );
    let fatal = unknown.with("flags", Value::List(vec![Value::from("fatal")]));
    assert_eq!(refused(fatal), "Call-ID not found or tags didn't match");
}
