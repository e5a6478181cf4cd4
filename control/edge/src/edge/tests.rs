//! Calls over real sockets on loopback (E02, E03).

mod shards;

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::config::{PoolConfig, Protocol, RouteConfig, RouteMatch, TargetConfig, Trust, Zone};
use crate::relay::{MediaCommand, MediaFuture, MediaReply, MediaRequest};

#[derive(Default)]
pub(crate) struct Marker(Mutex<Vec<MediaCommand>>);

impl MediaRelay for Marker {
    fn request(&self, request: MediaRequest) -> MediaFuture {
        self.0.lock().unwrap().push(request.command);
        let sdp = request
            .sdp
            .map_or_else(Vec::new, |sdp| [b"relayed ", &sdp[..]].concat());
        let reply = MediaReply {
            sdp,
            ..MediaReply::default()
        };
        Box::pin(async { Ok(reply) })
    }
}

/// One end of a call.
pub(crate) enum Phone {
    Udp(UdpSocket),
    /// A stream, or one that will be accepted.
    Tcp(Option<TcpListener>, Option<TcpStream>, Vec<u8>),
}

impl Phone {
    pub(crate) fn new(address: &str) -> Self {
        Self::Udp(udp::bind(address.parse().unwrap()).unwrap())
    }

    async fn listening() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::Tcp(Some(socket), None, Vec::new())
    }

    async fn connected(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        Self::Tcp(None, Some(stream), Vec::new())
    }

    fn protocol(&self) -> Protocol {
        match self {
            Self::Udp(_) => Protocol::Udp,
            Self::Tcp(..) => Protocol::Tcp,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().unwrap(),
            Self::Tcp(Some(socket), ..) => socket.local_addr().unwrap(),
            Self::Tcp(_, stream, _) => stream.as_ref().unwrap().local_addr().unwrap(),
        }
    }

    pub(crate) async fn send(&mut self, text: &str, to: SocketAddr) {
        match self {
            Self::Udp(socket) => drop(socket.send_to(text.as_bytes(), to).await.unwrap()),
            Self::Tcp(_, stream, _) => {
                let stream = stream.as_mut().unwrap();
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        }
    }

    /// The next message that begins so.
    pub(crate) async fn recv(&mut self, start: &str) -> (String, SocketAddr) {
        loop {
            let received = tokio::time::timeout(Duration::from_secs(20), self.next());
            let (text, from) = received.await.expect(start);
            if text.starts_with(start) {
                return (text, from);
            }
        }
    }

    async fn next(&mut self) -> (String, SocketAddr) {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 4096];
                let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
                (String::from_utf8_lossy(&buffer[..n]).into_owned(), from)
            }
            Self::Tcp(listener, stream, read) => {
                if stream.is_none() {
                    *stream = Some(listener.as_ref().unwrap().accept().await.unwrap().0);
                }
                let stream = stream.as_mut().unwrap();
                loop {
                    let text = String::from_utf8_lossy(read).into_owned();
                    if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                        let length = rows(head, &["Content-Length: "]);
                        let length: usize = length[16..].trim().parse().unwrap();
                        if rest.len() >= length {
                            let all = head.len() + 4 + length;
                            read.drain(..all);
                            return (text[..all].to_owned(), stream.peer_addr().unwrap());
                        }
                    }
                    assert!(stream.read_buf(read).await.unwrap() > 0, "closed");
                }
            }
        }
    }
}

pub(crate) fn rows(text: &str, names: &[&str]) -> String {
    let named = |line: &&str| names.iter().any(|n| line.starts_with(n));
    text.lines()
        .filter(named)
        .map(|l| format!("{l}\r\n"))
        .collect()
}

pub(crate) fn reply(request: &str, status: &str, contact: &str, body: &str) -> String {
    let copied = rows(request, &["Via", "Record-Route", "From", "Call-ID", "CSeq"]);
    let tag = if rows(request, &["To"]).contains(";tag") {
        ""
    } else {
        ";tag=b"
    };
    let to = rows(request, &["To"]).trim_end().to_owned();
    format!(
        "SIP/2.0 {status}\r\n{copied}{to}{tag}\r\nContact: <sip:b@{contact}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn from_public(pool: &str) -> RouteConfig {
    let matching = RouteMatch {
        from_zone: Some("public".to_owned()),
        ..RouteMatch::default()
    };
    RouteConfig::new(matching, &[pool])
}

/// A phone registers over a connection, is called over it, and cannot be once it is closed (E04).
#[tokio::test]
async fn registered_phone_is_called_over_its_connection() {
    let mut registrar = Phone::new("127.0.0.2:0");
    let pbx = registrar.address();
    let public = Zone::new("public", Trust::Untrusted)
        .listening(ListenerKind::Tcp, "127.0.0.1:0".parse().unwrap());
    let core = Zone::new("core", Trust::Inside)
        .listening(ListenerKind::Udp, "127.0.0.2:0".parse().unwrap());
    let mut config = Config::of_zones(vec![public, core], "127.0.0.1:9".parse().unwrap());
    let uri = format!("sip:{pbx}");
    config
        .upstreams
        .push(PoolConfig::new("registrar", "core", &[&uri]));
    config.routes.push(from_public("registrar"));
    let relay = Arc::new(Marker::default());
    let edge = Edge::start_with_relay(config, relay).await.unwrap();
    let (to_edge, inner) = (edge.local_addr(), edge.local_addrs()[1]);
    let mut phone = Phone::connected(to_edge).await;
    let us = phone.address();
    let register = format!(
        "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/TCP {us};branch=z9hG4bKr\r\n\
         From: <sip:b@x>;tag=p\r\nTo: <sip:b@x>\r\nCall-ID: r{us}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:b@192.0.2.3;transport=tcp>\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n"
    );
    phone.send(&register, to_edge).await;
    let (received, from) = registrar.recv("REGISTER").await;
    assert_eq!(from, inner);
    assert!(received.contains("\r\nContact: <sip:b@192.0.2.3;transport=tcp>\r\n"));
    let route = rows(&received, &["Path"]).replace("Path", "Route");
    assert_eq!(route.matches(";lr;ob;r2=on").count(), 2, "{route}");
    let granted = reply(&received, "200 OK", "x", "").replace(
        &format!("<sip:b@{}>", "x"),
        "<sip:b@192.0.2.3;transport=tcp>;expires=60",
    );
    registrar.send(&granted, from).await;
    phone.recv("SIP/2.0 200").await;
    let invite = |n: u32| {
        format!(
            "INVITE sip:b@192.0.2.3;transport=tcp SIP/2.0\r\n\
             Via: SIP/2.0/UDP {pbx};branch=z9hG4bKi{n}\r\n{route}\
             From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\nCall-ID: c{n}{us}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@{pbx}>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    registrar.send(&invite(1), inner).await;
    let (received, _) = phone.recv("INVITE sip:b@192.0.2.3").await;
    assert!(!received.contains("\r\nRoute:"), "{received}");
    phone
        .send(&reply(&received, "486 Busy Here", "x", ""), to_edge)
        .await;
    registrar.recv("SIP/2.0 486").await;
    drop(phone);
    while edge.stats().connections > 0 {
        tokio::task::yield_now().await;
    }
    registrar.send(&invite(2), inner).await;
    registrar.recv("SIP/2.0 430").await;
    edge.stop().await;
}

/// The edge ends a call by itself (E22).
#[tokio::test]
async fn live_call_is_listed_and_ended() {
    let (mut caller, mut callee) = (Phone::new("127.0.0.1:0"), Phone::new("127.0.0.1:0"));
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let config = Config::new("127.0.0.1:0".parse().unwrap(), callee.address(), nowhere);
    let relay = Arc::new(Marker::default());
    let edge = Edge::start_with_relay(config, relay).await.unwrap();
    let (us, to_edge) = (caller.address(), edge.local_addr());
    let invite = format!(
        "INVITE sip:b@{to_edge} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKi\r\n\
         From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\nCall-ID: {us}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:a@{us}>\r\nContent-Length: 0\r\n\r\n"
    );
    caller.send(&invite, to_edge).await;
    let (received, from) = callee.recv("INVITE").await;
    let ok = reply(&received, "200 OK", &callee.address().to_string(), "");
    callee.send(&ok, from).await;
    let (ok, _) = caller.recv("SIP/2.0 200").await;
    let all = CallFilter::default();
    let calls = edge.calls(&all, 10).await;
    let seen = calls.iter().map(|call| (call.source, call.target));
    assert_eq!(seen.collect::<Vec<_>>(), [(us, callee.address())]);
    assert_eq!(edge.end_calls(&all, 10, 480, "Enough").await, 1);
    let (bye, from) = callee.recv("BYE").await;
    assert!(bye.contains("\r\nReason: SIP;cause=480;text=\"Enough\"\r\n"));
    callee.send(&reply(&bye, "200 OK", "x", ""), from).await;
    let route = rows(&ok, &["Record-Route"]).replace("Record-Route", "Route");
    let ack = format!(
        "ACK sip:b@{} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKa\r\n{route}\
         From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>;tag=b\r\nCall-ID: {us}\r\nCSeq: 1 ACK\r\n\
         Content-Length: 0\r\n\r\n",
        callee.address()
    );
    caller.send(&ack, to_edge).await;
    let (bye, from) = caller.recv("BYE").await;
    caller.send(&reply(&bye, "200 OK", "x", ""), from).await;
    edge.drain().await;
    let next = invite
        .replace("z9hG4bKi", "z9hG4bKn")
        .replace("tag=a", "tag=n");
    caller.send(&next, to_edge).await;
    caller.recv("SIP/2.0 503").await;
    edge.stop().await;
}

/// A call between a caller in the public zone and a callee in the core zone, each ended by one.
async fn place_call(caller: Protocol, mut callee: Phone) {
    let listen: SocketAddr = match callee.address() {
        SocketAddr::V4(_) => "127.0.0.2:0".parse().unwrap(),
        SocketAddr::V6(_) => "[::1]:0".parse().unwrap(),
    };
    let kind = |protocol| match protocol {
        Protocol::Tcp => ListenerKind::Tcp,
        _ => ListenerKind::Udp,
    };
    let public = Zone::new("public", Trust::Untrusted)
        .listening(kind(caller), "127.0.0.1:0".parse().unwrap());
    let core = Zone::new("core", Trust::Inside).listening(kind(callee.protocol()), listen);
    let mut config = Config::of_zones(vec![public, core], "127.0.0.1:9".parse().unwrap());
    config.shards = 3;
    let uri = format!("sip:{};transport={}", callee.address(), callee.protocol());
    config
        .upstreams
        .push(PoolConfig::new("pbx", "core", &[&uri]));
    config.routes.push(from_public("pbx"));
    let relay = Arc::new(Marker::default());
    let edge = Edge::start_with_relay(config, relay.clone()).await.unwrap();
    let to_edge = edge.local_addr();
    let mut caller = match caller {
        Protocol::Tcp => Phone::connected(to_edge).await,
        _ => Phone::new("127.0.0.1:0"),
    };
    let us = caller.address();
    let transport = caller.protocol();
    let them = format!("{};transport={}", callee.address(), callee.protocol());
    let request = |method: &str, n: u32, tag: &str, extra: &str, body: &str| {
        format!(
            "{method} sip:b@{to_edge} SIP/2.0\r\nVia: SIP/2.0/{} {us};branch=z9hG4bK{method}{n}\r\n\
             From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>{tag}\r\nCall-ID: {us}\r\nCSeq: {n} {method}\r\n\
             Contact: <sip:a@{us};transport={transport}>\r\n{extra}Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            transport.via(),
            body.len()
        )
    };
    let invite = request("INVITE", 1, "", "", "alice");
    caller.send(&invite, to_edge).await;
    caller.recv("SIP/2.0 100").await;
    let (invite, from) = callee.recv("INVITE").await;
    assert!(invite.ends_with("relayed alice"));
    let vias = rows(&invite, &["Via"]);
    let ours = format!(
        "Via: SIP/2.0/{} {}",
        callee.protocol().via(),
        edge.local_addrs()[1]
    );
    assert!(vias.starts_with(&ours), "{vias} is not {ours}");
    assert_eq!(
        rows(&invite, &["Record-Route"]).matches(";r2=on").count(),
        2
    );
    let ok = reply(&invite, "200 OK", &them, "bob");
    callee.send(&ok, from).await;
    let (ok, _) = caller.recv("SIP/2.0 200").await;
    assert!(ok.ends_with("relayed bob"));
    // The caller's route set is the Record-Route reversed.
    let mut routes: Vec<_> = ok
        .lines()
        .filter_map(|l| l.strip_prefix("Record-Route: "))
        .collect();
    routes.reverse();
    let route = format!("Route: {}\r\n", routes.join(", "));
    for (method, n) in [("ACK", 1), ("INFO", 2)] {
        let text = request(method, n, ";tag=b", &route, "")
            .replace(&format!("sip:b@{to_edge}"), &format!("sip:b@{them}"));
        caller.send(&text, to_edge).await;
        let (received, from) = callee.recv(method).await;
        assert!(!received.contains("\r\nRoute:"), "{received}");
        if method == "INFO" {
            callee
                .send(&reply(&received, "200 OK", &them, ""), from)
                .await;
            caller.recv("SIP/2.0 200").await;
        }
    }
    // The callee ends it, by its own route set.
    routes.reverse();
    let bye = format!(
        "BYE sip:a@{us};transport={transport} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bKbye\r\n\
         From: <sip:b@x>;tag=b\r\nTo: <sip:a@x>;tag=a\r\nCall-ID: {us}\r\nCSeq: 1 BYE\r\n\
         Route: {}\r\nContent-Length: 0\r\n\r\n",
        callee.protocol().via(),
        callee.address(),
        routes.join(", ")
    );
    callee.send(&bye, from).await;
    let (bye, from) = caller.recv("BYE").await;
    assert!(!bye.contains("\r\nRoute:"), "{bye}");
    caller.send(&reply(&bye, "200 OK", "x", ""), from).await;
    callee.recv("SIP/2.0 200").await;
    let stats = edge.stats();
    assert_eq!((stats.requests, stats.responses), (4, 3));
    edge.stop().await;
    let seen = relay.0.lock().unwrap().clone();
    assert_eq!(
        seen,
        [
            MediaCommand::Offer,
            MediaCommand::Answer,
            MediaCommand::Delete
        ]
    );
}

#[tokio::test]
async fn call_over_datagrams() {
    place_call(Protocol::Udp, Phone::new("127.0.0.1:0")).await;
}

#[tokio::test]
async fn call_from_datagrams_to_a_stream() {
    place_call(Protocol::Udp, Phone::listening().await).await;
}

#[tokio::test]
async fn call_from_a_stream_to_datagrams() {
    place_call(Protocol::Tcp, Phone::new("127.0.0.1:0")).await;
}

#[tokio::test]
async fn call_over_streams() {
    place_call(Protocol::Tcp, Phone::listening().await).await;
}

#[tokio::test]
async fn call_from_ipv4_to_ipv6() {
    place_call(Protocol::Udp, Phone::new("[::1]:0")).await;
}

#[tokio::test]
async fn taken_address_is_named() {
    let phone = Phone::new("127.0.0.1:0");
    let config = Config::new(phone.address(), phone.address(), phone.address());
    let error = Edge::start_with_relay(config, Arc::new(Marker::default()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&phone.address().to_string()));
}

#[tokio::test]
async fn scanner_is_written_to_the_security_log() {
    let dir = std::env::temp_dir().join(format!("windlass-guard-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("security.log");
    let upstream = Phone::new("127.0.0.2:0");
    let any = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::new(any, upstream.address(), any);
    config.screen = Some(crate::ScreenConfig::default());
    config.security_log = Some(crate::SecurityLogConfig {
        file: file.clone(),
        format: crate::LogFormat::Fields,
        daily: false,
    });
    let relay = Arc::new(Marker::default());
    let edge = Edge::start_with_relay(config, relay).await.unwrap();
    let mut scanner = Phone::new("127.0.0.1:0");
    let source = scanner.address();
    let text = format!(
        "OPTIONS sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bKs\r\n\
         Max-Forwards: 70\r\nFrom: <sip:nm@x>;tag=s\r\nTo: <sip:nm@x>\r\nCall-ID: scan\r\n\
         CSeq: 1 OPTIONS\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
    );
    scanner.send(&text, edge.local_addr()).await;
    let deadline = clock() + Duration::from_secs(10);
    let mut log = String::new();
    while log.is_empty() && clock() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
        log = std::fs::read_to_string(&file).unwrap();
    }
    let event = format!(
        " {source} Scanner zone=public proto=UDP method=OPTIONS action=ban \
         RURI=sip:100@127.0.0.1 "
    );
    assert!(log.contains(&event), "{log}");
    assert!(
        log.ends_with(" UA=friendly-scanner Call-ID=scan\n"),
        "{log}"
    );
    edge.stop().await;
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The first target is silent: the call goes to the second one, by its name, over real sockets
/// (E11).
#[tokio::test]
async fn silent_target_is_followed_by_one_with_a_name() {
    let silent = Phone::new("127.0.0.2:0");
    let mut pbx = Phone::new("127.0.0.1:0");
    let mut config = Config::new(
        "127.0.0.1:0".parse().unwrap(),
        silent.address(),
        "127.0.0.1:9".parse().unwrap(),
    );
    let port = pbx.address().port();
    let named = format!("sip:localhost:{port};transport=udp");
    config.upstreams[0].targets.push(TargetConfig::new(&named));
    let failover = &mut config.routes[0].failover;
    failover.answer_timeout = Duration::from_millis(300);
    // Nobody is asked: the name is one of the hosts of this machine.
    config.dns.servers.addresses = vec!["127.0.0.1:9".parse().unwrap()];
    let relay = Arc::new(Marker::default());
    let edge = Edge::start_with_relay(config, relay).await.unwrap();
    let to_edge = edge.local_addr();
    let mut caller = Phone::new("127.0.0.1:0");
    let us = caller.address();
    let invite = format!(
        "INVITE sip:b@{to_edge} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKn1\r\n\
         From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\nCall-ID: {us}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:a@{us}>\r\nContent-Length: 0\r\n\r\n"
    );
    caller.send(&invite, to_edge).await;
    let (got, from) = pbx.recv("INVITE").await;
    let contact = pbx.address().to_string();
    pbx.send(&reply(&got, "200 OK", &contact, "v=0\r\n"), from)
        .await;
    caller.recv("SIP/2.0 200").await;
    edge.stop().await;
}

/// Nobody else tells that a shard is gone: the others go on with their calls.
#[tokio::test]
async fn shard_that_failed_is_no_health() {
    fn fails(_: &mut Proxy, _: Instant) {
        panic!("this test has it fail");
    }
    let any = "127.0.0.1:0".parse().unwrap();
    let config = Config::new(any, "127.0.0.2:9".parse().unwrap(), any);
    let relay = Arc::new(Marker::default());
    let edge = Edge::start_with_relay(config, relay).await.unwrap();
    assert!(edge.desk.faults().is_empty());
    assert!(edge.desk.ask(0, fails).await.is_none());
    for _ in 0..1000 {
        if !edge.desk.faults().is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(edge.desk.faults(), ["1 of 1 shards have failed"]);
}
