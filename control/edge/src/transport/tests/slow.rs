//! Peers that are slow, silent, or many (spec E27): closed by timers and limits, and nobody else
//! notices.

use std::net::IpAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::super::config::{ServerVerification, TlsConfig};
use super::*;

/// A phone that calls all the time, beside what the others do.
async fn works(edge: &mut Edge, stream: &mut TcpStream) {
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    loop {
        let Arrived::Message { flow, .. } = edge.arrived().await else {
            continue;
        };
        edge.reply(flow, RESPONSE);
        break;
    }
    expect_bytes(stream, RESPONSE).await;
}

async fn from(host: &str, edge: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(host.parse().unwrap(), 0))
        .unwrap();
    soon(socket.connect(edge)).await.unwrap()
}

#[tokio::test]
async fn a_thousand_half_open_handshakes_are_closed() {
    let authority = Authority::new();
    let tls = TlsConfig {
        certificates: vec![authority.issue("a", &["a.example"], &["*"])],
        servers: ServerVerification::Off,
        ..TlsConfig::default()
    };
    let streams = StreamLimits {
        per_address: 10_000,
        handshake: ms(300),
        ..StreamLimits::default()
    };
    let kinds = vec![
        ("127.0.0.1:0", ListenerKind::Tcp),
        ("127.0.0.1:0", ListenerKind::Tls(tls)),
    ];
    let mut edge = Edge::start(kinds, streams);
    let (tcp, tls) = (edge.address(), edge.transports.locals()[1].1);
    let mut phone = from("127.0.0.1", tcp).await;
    // The limit of descriptors of a test machine is often 1,024: two for each of them.
    let most = if descriptors() > 3_000 { 1_000 } else { 300 };
    let mut attackers = Vec::new();
    for n in 0..most {
        let mut attacker = from("127.0.0.66", tls).await;
        // The start of a TLS record that never goes on.
        attacker.write_all(&[0x16, 3, 1, 2]).await.unwrap();
        attackers.push(attacker);
        if n % 100 == 0 {
            works(&mut edge, &mut phone).await;
        }
    }
    for mut attacker in attackers {
        expect_end(&mut attacker).await;
    }
    works(&mut edge, &mut phone).await;
    edge.counts(CloseReason::HandshakeTime, most).await;
}

fn descriptors() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|l| l.starts_with("Max open files"));
    let soft = line.and_then(|l| l.split_whitespace().nth(3));
    soft.and_then(|n| n.parse().ok()).unwrap_or(u64::MAX)
}

#[tokio::test]
async fn a_message_that_comes_byte_by_byte_is_given_up() {
    let streams = StreamLimits {
        message: ms(300),
        ..StreamLimits::default()
    };
    let mut edge = Edge::start(vec![("127.0.0.1:0", ListenerKind::Tcp)], streams);
    let mut phone = from("127.0.0.1", edge.address()).await;
    let (mut reader, mut writer) = from("127.0.0.66", edge.address()).await.into_split();
    let dripping = tokio::spawn(async move {
        for byte in REQUEST.bytes().cycle().filter(|b| *b != b'\n') {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(ms(20)).await;
        }
    });
    works(&mut edge, &mut phone).await;
    expect_end(&mut reader).await;
    dripping.abort();
    works(&mut edge, &mut phone).await;
    assert_eq!(edge.closed_for(CloseReason::Incomplete), 1);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed() {
    let streams = StreamLimits {
        first_message: ms(100),
        ..StreamLimits::default()
    };
    let mut edge = Edge::start(vec![("127.0.0.1:0", ListenerKind::Tcp)], streams);
    let mut silent = from("127.0.0.66", edge.address()).await;
    expect_end(&mut silent).await;
    edge.closed().await;
    assert_eq!(edge.closed_for(CloseReason::FirstMessage), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_once_nothing_holds_it() {
    let streams = StreamLimits {
        idle: ms(100),
        ..StreamLimits::default()
    };
    let mut edge = Edge::start(vec![("127.0.0.1:0", ListenerKind::Tcp)], streams);
    let mut held = from("127.0.0.1", edge.address()).await;
    held.write_all(REQUEST.as_bytes()).await.unwrap();
    let (flow, _) = edge.message().await;
    let hold = edge.sender.hold(flow).unwrap();
    let mut idle = from("127.0.0.1", edge.address()).await;
    idle.write_all(REQUEST.as_bytes()).await.unwrap();
    let (other, _) = edge.message().await;
    assert_eq!(edge.closed().await, other);
    expect_end(&mut idle).await;
    works(&mut edge, &mut held).await;
    assert_eq!(edge.sender.connection(0, flow.connection).unwrap().uses, 1);
    drop(hold);
    assert_eq!(edge.closed().await, flow);
    assert_eq!(edge.closed_for(CloseReason::Idle), 2);
}

#[tokio::test]
async fn many_connections_of_one_address_leave_the_others_alone() {
    let streams = StreamLimits {
        per_address: 5,
        ..StreamLimits::default()
    };
    let mut edge = Edge::start(vec![("127.0.0.1:0", ListenerKind::Tcp)], streams);
    let mut flood = Vec::new();
    for _ in 0..50 {
        flood.push(from("127.0.0.66", edge.address()).await);
    }
    let mut phone = from("127.0.0.1", edge.address()).await;
    works(&mut edge, &mut phone).await;
    for refused in &mut flood[5..] {
        expect_end(refused).await;
    }
    assert_eq!(edge.transports.stats().refused(RefuseReason::Address), 45);
    // One that goes makes room for another.
    drop(flood);
    for _ in 0..5 {
        edge.closed().await;
    }
    let mut again = from("127.0.0.66", edge.address()).await;
    works(&mut edge, &mut again).await;
}

#[tokio::test]
async fn an_address_that_is_not_admitted_gets_nothing() {
    let bind = || -> SocketAddr { "127.0.0.1:0".parse().unwrap() };
    let kinds = [ListenerKind::Udp, ListenerKind::Tcp];
    let listeners = kinds.map(|kind| ListenerConfig { bind: bind(), kind });
    let config = Config {
        listeners: listeners.into(),
        ..Config::default()
    };
    let (shards, mut inboxes) = Shards::new(1, |_| 0);
    let banned: IpAddr = "127.0.0.66".parse().unwrap();
    let shards = shards.admitting(move |peer| peer != banned);
    let transports = Transports::open(&config, shards).unwrap();
    let stats = transports.stats();
    let [(_, udp), (_, tcp)] = transports.locals() else {
        panic!("two listeners");
    };
    let mut refused = from("127.0.0.66", *tcp).await;
    expect_end(&mut refused).await;
    for host in ["127.0.0.66:0", "127.0.0.1:0"] {
        let phone = UdpSocket::bind(host).await.unwrap();
        phone.send_to(REQUEST.as_bytes(), udp).await.unwrap();
    }
    let (_, list) = soon(inboxes[0].recv()).await.unwrap();
    assert!(
        matches!(list[..], [Arrived::Message { flow, .. }] if flow.peer.ip() == bind().ip()),
        "{list:?}"
    );
    assert_eq!(stats.refused(RefuseReason::Screened), 2);
}

#[tokio::test]
async fn all_connections_together_have_a_bound() {
    let streams = StreamLimits {
        total: 2,
        ..StreamLimits::default()
    };
    let mut edge = Edge::start(vec![("127.0.0.1:0", ListenerKind::Tcp)], streams);
    let mut phones = Vec::new();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let mut phone = from(host, edge.address()).await;
        works(&mut edge, &mut phone).await;
        phones.push(phone);
    }
    let mut late = from("127.0.0.3", edge.address()).await;
    expect_end(&mut late).await;
    assert_eq!(edge.transports.stats().refused(RefuseReason::Total), 1);
    let gone = "127.0.0.1:9".parse().unwrap();
    assert_eq!(edge.open(gone, None, 1), Err(io::ErrorKind::QuotaExceeded));
}
