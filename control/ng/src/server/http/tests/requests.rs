//! The response to each kind of request.

use std::net::UdpSocket;

use super::*;
use crate::server::UdpServer;

const NG: &str = "application/x-rtpengine-ng";

#[test]
fn ng_takes_and_gives_a_cookie() {
    let fixture = start(HttpOptions::default());
    fixture
        .post("/ng", NG, "abc d7:command4:pinge")
        .expect(200, NG, "abc d6:result4:ponge");
    fixture.post("/ng", NG, "j {\"command\":\"list\"}").expect(
        200,
        NG,
        "j {\"by\":\"Http\",\"result\":\"ok\"}",
    );
    fixture.post("/ng", NG, "e d7:command3:xxxe").expect(
        200,
        NG,
        "e d6:result5:error12:error-reason20:Unrecognized commande",
    );
    fixture
        .post(
            "/ng",
            &format!("{NG}; charset=utf-8"),
            "p d7:command4:pinge",
        )
        .expect(200, NG, "p d6:result4:ponge");
}

#[test]
fn ng_without_a_cookie_is_600() {
    let fixture = start(HttpOptions::default());
    for body in ["d7:command4:pinge", "", " d7:command4:pinge"] {
        fixture
            .post("/ng", NG, body)
            .expect(600, "text/plain", "error\n");
    }
    assert_eq!(fixture.handled(), 0);
}

#[test]
fn ng_plain_takes_a_bare_payload_and_mirrors_the_content_type() {
    let fixture = start(HttpOptions::default());
    let json = "{\"command\":\"ping\"}";
    let pong = "{\"result\":\"pong\"}";
    fixture
        .post("/ng-plain", "application/json", json)
        .expect(200, "application/json", pong);
    fixture.post("/ng-plain", NG, json).expect(200, NG, pong);
    fixture
        .post("/ng-plain", NG, "d7:command4:pinge")
        .expect(200, NG, "d6:result4:ponge");
    fixture.post("/ng-plain", "Application/JSON", "{").expect(
        200,
        "application/json",
        "{\"result\":\"error\",\"error-reason\":\"Failed to parse JSON document\"}",
    );
    // No cookie, no duplicates: each is executed.
    assert_eq!(fixture.handled(), 3);
}

#[test]
fn a_duplicate_is_executed_once_whatever_it_comes_by() {
    let fixture = start(HttpOptions::default());
    let first = fixture.post("/ng", NG, "dup d7:command4:liste");
    let second = fixture.post("/ng", NG, "dup d7:command4:liste");
    assert_eq!(first.body, second.body);

    let addr = "127.0.0.1:0".parse().unwrap();
    let server = UdpServer::start(addr, 3, Arc::clone(&fixture.shared)).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    udp.send_to(b"dup d7:command4:liste", server.local_addr())
        .unwrap();
    let mut buf = [0; 200];
    let len = udp.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len], first.body.as_bytes());
    assert!(first.body.contains("Http"));
    assert_eq!(fixture.handled(), 1);
}

#[test]
fn a_duplicate_in_progress_waits_or_is_told_to_come_again() {
    let fixture = start(HttpOptions::default());
    let request = post("/ng", NG, "slow d7:command6:deletee");
    let mut connections = [(); 4].map(|()| fixture.connect());
    for stream in &mut connections {
        stream.write_all(request.as_bytes()).unwrap();
    }
    let answers = connections.each_mut().map(read_response);
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    // One waits for the other's reply, which is as many as the cache lets wait.
    assert_eq!((count(200), count(503)), (2, 2), "{answers:?}");
    assert_eq!(fixture.handled(), 1);
}

#[test]
fn other_paths_types_and_methods_are_not_found() {
    let fixture = start(HttpOptions::default());
    for (path, content_type) in [
        ("/ng", "application/json"),
        ("/ng", "text/plain"),
        ("/ng-plain", "text/plain"),
        ("/cli", NG),
        ("/ping", NG),
        ("/", NG),
        ("/ng/", NG),
    ] {
        fixture
            .post(path, content_type, "a d7:command4:pinge")
            .expect(404, "text/plain", "not found\n");
    }
    fixture
        .ask("POST /ng HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .expect(404, "text/plain", "not found\n");
    for path in ["/ng", "/nowhere", "/"] {
        fixture.get(path).expect(404, "text/plain", "not found\n");
    }
    fixture
        .ask("DELETE /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect(404, "text/plain", "not found\n");
    assert_eq!(fixture.handled(), 0);
}

#[test]
fn ping_metrics_and_cli() {
    let fixture = start(HttpOptions::default());
    fixture.get("/ping").expect(200, "text/plain", "pong\n");
    fixture.get("/ping?x=y").expect(200, "text/plain", "pong\n");
    fixture
        .get("/metrics")
        .expect(200, "text/plain", "calls 7\n");
    fixture
        .get("/cli/list+sessions")
        .expect(200, "text/plain", "list sessions by Http\n");
    fixture.post("/cli", "text/plain", "list totals\n").expect(
        200,
        "text/plain",
        "list totals by Http\n",
    );
    fixture
        .ask("GET /ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        .expect(200, "text/plain", "pong\n");
    // A fault ends the request, not the listener.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let fault = fixture.get("/panic");
    std::panic::set_hook(hook);
    fault.expect(500, "text/plain", "error\n");
    fixture.get("/ping").expect(200, "text/plain", "pong\n");
}

#[test]
fn without_resources_there_are_none() {
    let fixture = start(HttpOptions::default());
    let addr = "127.0.0.1:0".parse().unwrap();
    let shared = Arc::clone(&fixture.shared);
    let server = HttpServer::start(addr, HttpOptions::default(), shared, Arc::new(())).unwrap();
    for path in ["/metrics", "/cli/list"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        ask(&mut connect(server.local_addr()), &request).expect(404, "text/plain", "not found\n");
    }
}

#[test]
fn a_connection_serves_many_requests() {
    let fixture = start(HttpOptions::default());
    let mut stream = fixture.connect();
    for i in 0..5 {
        let request = post("/ng", NG, &format!("{i} d7:command4:pinge"));
        ask(&mut stream, &request).expect(200, NG, &format!("{i} d6:result4:ponge"));
    }
    // Pipelined.
    let request = post("/ng", NG, "p d7:command4:pinge").repeat(2);
    ask(&mut stream, &request).expect(200, NG, "p d6:result4:ponge");
    read_response(&mut stream).expect(200, NG, "p d6:result4:ponge");
}

#[test]
fn a_browser_may_ask_what_is_allowed() {
    let fixture = start(HttpOptions::default());
    let preflight = "OPTIONS /ng-plain HTTP/1.1\r\nHost: x\r\nOrigin: https://example.com\r\n\
                     Access-Control-Request-Method: POST\r\n\r\n";
    fixture.ask(preflight).expect(204, "text/plain", "");
}

#[test]
fn a_request_in_progress_is_answered_when_the_listener_stops() {
    let fixture = start(HttpOptions::default());
    let mut stream = fixture.connect();
    stream
        .write_all(post("/ng", NG, "slow d7:command6:deletee").as_bytes())
        .unwrap();
    while fixture.handled() == 0 {
        thread::yield_now();
    }
    fixture.server.stop();
    read_response(&mut stream).expect(200, NG, "slow d6:result2:oke");
    assert!(is_closed(&mut stream));
}
