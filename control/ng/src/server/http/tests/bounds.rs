//! Bounds of the listener against its peers.

use super::*;

const NG: &str = "application/x-rtpengine-ng";
const PING: &str = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_body_needs_a_length() {
    let fixture = start(HttpOptions::default());
    fixture
        .ask("POST /ng HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-rtpengine-ng\r\n\r\n")
        .expect(411, "text/plain", "length required\n");
    let chunked = "POST /ng HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-rtpengine-ng\r\n\
                   Transfer-Encoding: chunked\r\n\r\n13\r\na d7:command4:pinge\r\n0\r\n\r\n";
    fixture
        .ask(chunked)
        .expect(411, "text/plain", "length required\n");
    assert_eq!(fixture.handled(), 0);
}

#[test]
fn a_body_beyond_the_bound_is_not_read() {
    let fixture = start(HttpOptions {
        body_bytes: 100,
        ..HttpOptions::default()
    });
    let head = |length: &str| {
        format!(
            "POST /ng HTTP/1.1\r\nHost: x\r\nContent-Type: {NG}\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    for length in ["101", "1000000000000"] {
        let mut stream = fixture.connect();
        ask(&mut stream, &head(length)).expect(413, "text/plain", "too large\n");
        assert!(is_closed(&mut stream));
    }
    let sdp = "x".repeat(64);
    let body = format!("a d7:command4:list3:sdp64:{sdp}e");
    assert!(body.len() <= 100);
    assert_eq!(fixture.post("/ng", NG, &body).status, 200);
}

#[test]
fn the_default_bound_is_a_mebibyte() {
    let fixture = start(HttpOptions::default());
    let sdp = "x".repeat(1_000_000);
    let body = format!("a d7:command5:offer3:sdp1000000:{sdp}e");
    let response = fixture.post("/ng", NG, &body);
    assert_eq!(response.status, 200);
    assert!(response.body.contains(&sdp));
    let mut stream = fixture.connect();
    let head = format!(
        "POST /ng HTTP/1.1\r\nHost: x\r\nContent-Type: {NG}\r\nContent-Length: 1048577\r\n\r\n"
    );
    assert_eq!(ask(&mut stream, &head).status, 413);
}

#[test]
fn headers_are_bounded() {
    let fixture = start(HttpOptions::default());
    let mut stream = fixture.connect();
    let long = "x".repeat(64 * 1024);
    // The response may come, and the connection be reset, before all is sent.
    let _ = stream.write_all(format!("GET /ping HTTP/1.1\r\nX: {long}").as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    fixture.get("/ping").expect(200, "text/plain", "pong\n");
}

#[test]
fn a_client_slow_with_its_headers_is_disconnected() {
    let fixture = start(HttpOptions {
        header_timeout: SHORT,
        ..HttpOptions::default()
    });
    for head in ["", "GET /ping HTTP/1.1\r\nHost:"] {
        let mut stream = fixture.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).contains("pong"));
    }
    // Neither may a kept-alive connection lie idle.
    let mut stream = fixture.connect();
    ask(&mut stream, PING).expect(200, "text/plain", "pong\n");
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_client_slow_with_its_body_gets_408() {
    let fixture = start(HttpOptions {
        body_timeout: SHORT,
        ..HttpOptions::default()
    });
    let mut stream = fixture.connect();
    let request = post("/ng", NG, "a d7:command4:pinge");
    ask(&mut stream, &request[..request.len() - 3]).expect(408, "text/plain", "too slow\n");
    assert!(is_closed(&mut stream));
    assert_eq!(fixture.handled(), 0);
}

#[test]
fn a_silent_connection_is_closed() {
    let fixture = start(HttpOptions {
        idle_timeout: SHORT,
        ..HttpOptions::default()
    });
    assert!(is_closed(&mut fixture.connect()));
}

#[test]
fn a_client_that_takes_no_response_is_disconnected() {
    let fixture = start(HttpOptions {
        connections: 1,
        write_timeout: SHORT,
        ..HttpOptions::default()
    });
    let mut greedy = fixture.connect();
    greedy
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // Its place comes free although it stays.
    wait_until_served(&fixture);
}

/// Connects again and again until there is a place.
fn wait_until_served(fixture: &Fixture) {
    loop {
        let mut stream = fixture.connect();
        let sent = stream.write_all(PING.as_bytes());
        if sent.is_ok() && stream.read(&mut [0; 4096]).is_ok_and(|len| len > 0) {
            return;
        }
    }
}

#[test]
fn connections_are_bounded() {
    for options in [
        HttpOptions {
            connections: 2,
            ..HttpOptions::default()
        },
        HttpOptions {
            connections_per_source: 2,
            ..HttpOptions::default()
        },
    ] {
        let fixture = start(options);
        let mut open = [fixture.connect(), fixture.connect()];
        for stream in &mut open {
            ask(stream, PING).expect(200, "text/plain", "pong\n");
        }
        assert!(is_closed(&mut fixture.connect()));
        let [first, mut second] = open;
        drop(first);
        ask(&mut second, PING).expect(200, "text/plain", "pong\n");
        // Its place comes free once the listener has seen it go.
        wait_until_served(&fixture);
    }
}

#[test]
fn what_is_no_http_is_refused() {
    let fixture = start(HttpOptions::default());
    for garbage in ["abc d7:command4:pinge\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n"] {
        let response = fixture.ask(garbage);
        assert_eq!(response.status, 400);
    }
    assert_eq!(fixture.handled(), 0);
}

#[test]
fn unfinished_messages_have_a_budget() {
    let fixture = start(HttpOptions {
        waiting_bytes: 2_000_000,
        ..HttpOptions::default()
    });
    // A masked binary frame of 900,000 bytes, of which a part comes.
    let begin = |bytes: usize| {
        let mut stream = websocket::open(fixture.connect(), "echo.rtpengine.com");
        let mut frame = vec![0x82, 0xff];
        frame.extend(900_000u64.to_be_bytes());
        frame.extend([0; 4]);
        frame.resize(frame.len() + bytes, b'x');
        let stream = stream.get_mut();
        // The connection may be reset before all is sent.
        let _ = stream.write_all(&frame);
        stream.try_clone().unwrap()
    };
    let mut first = begin(500_000);
    let mut second = begin(700_000);
    assert!(is_closed(&mut second), "half of the budget is for others");
    // Who asks for little is served all the same.
    fixture.get("/ping").expect(200, "text/plain", "pong\n");
    let mut socket = websocket::open(fixture.connect(), "echo.rtpengine.com");
    websocket::ask(&mut socket, &"y".repeat(60_000));
    // A message that is complete gives its bytes back.
    first.write_all(&vec![b'x'; 400_000]).unwrap();
    let mut reply = vec![0; 10 + 900_000];
    first.read_exact(&mut reply).unwrap();
    let mut third = begin(700_000);
    third.set_read_timeout(Some(SHORT)).unwrap();
    assert!(!is_closed(&mut third));
}
