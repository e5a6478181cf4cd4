//! Access rules over every transport.

use std::net::UdpSocket;

use super::*;
use crate::{
    access::{Access, Rule},
    server::{TcpOptions, TcpServer, UdpServer},
};

const PING: &str = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";

fn nobody() -> Arc<Access> {
    Arc::new(Access::new(Rule::Allow(Vec::new())))
}

#[test]
fn a_refused_source_gets_403() {
    let access = nobody();
    let fixture = start_shared(HttpOptions::default(), |shared| {
        shared.with_access(Arc::clone(&access))
    });
    let mut stream = fixture.connect();
    ask(&mut stream, PING).expect(403, "text/plain", "forbidden\n");
    assert!(is_closed(&mut stream));
    assert_eq!(access.refused(), 1);
    access.set_rule(Rule::Compat);
    fixture.ask(PING).expect(200, "text/plain", "pong\n");
}

#[test]
fn a_rule_applies_to_open_connections() {
    let access = Arc::new(Access::default());
    let fixture = start_shared(HttpOptions::default(), |shared| {
        shared.with_access(Arc::clone(&access))
    });
    let mut stream = fixture.connect();
    ask(&mut stream, PING).expect(200, "text/plain", "pong\n");
    access.set_rule(Rule::Allow(vec!["192.0.2.0/24".parse().unwrap()]));
    ask(&mut stream, PING).expect(403, "text/plain", "forbidden\n");
    assert!(is_closed(&mut stream));
}

#[test]
fn one_policy_for_every_transport() {
    let access = Arc::new(Access::new(Rule::Allow(vec![
        "127.0.0.7/32".parse().unwrap(),
    ])));
    let fixture = start_shared(HttpOptions::default(), |shared| {
        shared.with_access(Arc::clone(&access))
    });
    let addr = "127.0.0.1:0".parse().unwrap();
    let udp = UdpServer::start(addr, 3, Arc::clone(&fixture.shared)).unwrap();
    let tcp = TcpServer::start(addr, TcpOptions::default(), Arc::clone(&fixture.shared)).unwrap();
    let from = |ip: &str| {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(udp.local_addr()).unwrap();
        socket
    };
    let (stranger, proxy) = (from("127.0.0.8"), from("127.0.0.7"));
    stranger.send(b"a d7:command4:pinge").unwrap();
    while access.refused() == 0 {
        thread::yield_now();
    }
    proxy.send(b"b d7:command4:pinge").unwrap();
    let mut buf = [0; 100];
    let len = proxy.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len], b"b d6:result4:ponge");
    stranger
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    assert!(stranger.recv(&mut buf).is_err());

    assert!(is_closed(&mut connect(tcp.local_addr())));
    fixture.ask(PING).expect(403, "text/plain", "forbidden\n");
    assert_eq!(access.refused(), 3);
    assert_eq!(fixture.handled(), 1);
}

#[test]
fn a_listener_may_have_its_own_policy_and_a_secret() {
    let fixture = start_shared(
        HttpOptions {
            access: Some(Arc::new(Access::new(Rule::Open))),
            secret: Secret::new("s3cret"),
            ..HttpOptions::default()
        },
        |shared| shared.with_access(nobody()),
    );
    let with = |header: &str| {
        let body = "a d7:command4:pinge";
        let request = post("/ng", "application/x-rtpengine-ng", body);
        fixture.ask(&request.replacen("Host: x", &format!("Host: x{header}"), 1))
    };
    with("\r\nAuthorization: Bearer s3cret").expect(
        200,
        "application/x-rtpengine-ng",
        "a d6:result4:ponge",
    );
    for header in [
        "",
        "\r\nAuthorization: Bearer secret",
        "\r\nAuthorization: Basic s3cret",
    ] {
        let response = with(header);
        response.expect(401, "text/plain", "unauthorized\n");
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
    }
    for path in ["/ping", "/metrics", "/cli/list"] {
        assert_eq!(fixture.get(path).status, 401, "{path}");
    }
    let preflight = fixture.ask("OPTIONS /ng-plain HTTP/1.1\r\nHost: x\r\n\r\n");
    preflight.expect(204, "text/plain", "");
    let headers = preflight.header("access-control-allow-headers");
    assert_eq!(headers, Some("Content-Type, Authorization"));
    assert_eq!(fixture.handled(), 1);
}

#[test]
fn pages_of_other_origins_are_refused_if_some_are_named() {
    let fixture = start(HttpOptions {
        origins: vec!["https://ops.example.com".to_owned()],
        ..HttpOptions::default()
    });
    let from = |origin: &str| {
        fixture.ask(&format!(
            "GET /ping HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\n\r\n"
        ))
    };
    assert_eq!(from("https://ops.example.com").status, 200);
    let allowed = from("https://ops.example.com");
    let readers = allowed.header("access-control-allow-origin");
    assert_eq!(readers, Some("https://ops.example.com"));
    let refused = from("https://example.net");
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("access-control-allow-origin"), None);
    // An image of a page has no origin, but the browser says where the page is from.
    let marked = |site: &str| {
        fixture.ask(&format!(
            "GET /cli/list HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: {site}\r\n\r\n"
        ))
    };
    assert_eq!(marked("cross-site").status, 403);
    assert_eq!(marked("same-site").status, 403);
    assert_ne!(marked("same-origin").status, 403);
    assert_ne!(marked("none").status, 403);
    assert_eq!(fixture.ask(PING).status, 200);
}

#[test]
fn what_a_browser_gets_changes_nothing() {
    let fixture = start(HttpOptions::default());
    for line in [
        "terminate+all",
        "set+maxsessions+0",
        "call%20x+terminate",
        "+standby",
        "debug+x",
    ] {
        let response = fixture.get(&format!("/cli/{line}"));
        assert_eq!(response.status, 405, "{line}");
    }
    for line in ["list+sessions", "get+timeout", "help", ""] {
        assert_ne!(fixture.get(&format!("/cli/{line}")).status, 405, "{line}");
    }
}

#[test]
fn a_page_whose_name_came_to_mean_this_host_is_refused() {
    let fixture = start(HttpOptions::default());
    let asks = |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        fixture.ask(&request).status
    };
    for host in [
        "evil.example",
        "evil.example:2225",
        "127.0.0.1.evil.example",
        "a.b",
    ] {
        assert_eq!(asks(host, "/cli/list"), 403, "{host}");
        assert_eq!(asks(host, "/ping"), 200, "{host}");
    }
    for host in [
        "127.0.0.1:2225",
        "[::1]:2225",
        "[::1]",
        "localhost:1",
        "relay",
        "relay.local",
    ] {
        assert_ne!(asks(host, "/cli/list"), 403, "{host}");
    }
}
