//! WebSockets, with the client of the library.

use tokio_tungstenite::tungstenite::{
    Message, WebSocket, client::IntoClientRequest as _, handshake::client::generate_key,
};

use super::*;

pub(super) fn open<S: Read + Write>(stream: S, protocol: &str) -> WebSocket<S> {
    let mut request = "ws://localhost/".into_client_request().unwrap();
    let value = protocol.parse().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", value);
    let (socket, response) =
        tokio_tungstenite::tungstenite::client(request, stream).unwrap_or_else(|_| panic!());
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], protocol);
    assert_eq!(response.headers()["Access-Control-Allow-Origin"], "*");
    socket
}

pub(super) fn ask<S: Read + Write>(socket: &mut WebSocket<S>, text: &str) -> Message {
    socket.send(Message::text(text)).unwrap();
    next(socket)
}

/// The next message that is no ping.
fn next<S: Read + Write>(socket: &mut WebSocket<S>) -> Message {
    loop {
        match socket.read().unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

#[test]
fn ng_with_a_cookie() {
    let fixture = start(HttpOptions::default());
    let mut socket = open(fixture.connect(), "ng.rtpengine.com");
    assert_eq!(
        ask(&mut socket, "abc d7:command4:pinge"),
        Message::binary("abc d6:result4:ponge")
    );
    // What has no cookie is not answered.
    socket.send(Message::binary(&b"nocookie"[..])).unwrap();
    let list = &b"b {\"command\":\"list\"}"[..];
    socket.send(Message::binary(list)).unwrap();
    let reply = &b"b {\"by\":\"WebSocket\",\"result\":\"ok\"}"[..];
    assert_eq!(next(&mut socket), Message::binary(reply));
    // The cookies are those of all transports.
    let response = fixture.post(
        "/ng",
        "application/x-rtpengine-ng",
        "b {\"command\":\"list\"}",
    );
    assert_eq!(response.body.as_bytes(), reply);
    assert_eq!(fixture.handled(), 2);
}

#[test]
fn ng_plain_without() {
    let fixture = start(HttpOptions::default());
    let mut socket = open(fixture.connect(), "ng-plain.rtpengine.com");
    for _ in 0..2 {
        assert_eq!(
            ask(&mut socket, "{\"command\":\"ping\"}"),
            Message::binary("{\"result\":\"pong\"}")
        );
    }
    assert_eq!(fixture.handled(), 2);
    // Not every bencode string is text.
    let request = &b"d7:command5:offer3:sdp1:\xffe"[..];
    socket.send(Message::binary(request)).unwrap();
    assert!(matches!(next(&mut socket), Message::Binary(reply) if reply.contains(&0xff)));
}

#[test]
fn echo_and_cli() {
    let fixture = start(HttpOptions::default());
    let mut socket = open(fixture.connect(), "echo.rtpengine.com");
    assert_eq!(ask(&mut socket, "hello"), Message::binary("hello"));
    socket.send(Message::binary(&b"\0\xff"[..])).unwrap();
    assert_eq!(next(&mut socket), Message::binary(&b"\0\xff"[..]));
    let mut socket = open(fixture.connect(), "cli.rtpengine.com");
    assert_eq!(
        ask(&mut socket, "list totals\n"),
        Message::binary("list totals by WebSocket\n")
    );
}

#[test]
fn other_subprotocols_are_not_found() {
    let fixture = start(HttpOptions::default());
    for protocol in ["Sec-WebSocket-Protocol: sip\r\n", ""] {
        let key = generate_key();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{protocol}\r\n"
        );
        fixture
            .ask(&request)
            .expect(404, "text/plain", "not found\n");
    }
    let response = fixture
        .ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(response.status, 400);
}

#[test]
fn messages_are_bounded() {
    let fixture = start(HttpOptions {
        body_bytes: 1_000,
        ..HttpOptions::default()
    });
    let mut socket = open(fixture.connect(), "echo.rtpengine.com");
    let fits = "x".repeat(1_000);
    assert_eq!(ask(&mut socket, &fits), Message::binary(fits));
    socket.send(Message::text("x".repeat(1_001))).unwrap();
    assert!(!matches!(
        socket.read(),
        Ok(Message::Text(_) | Message::Binary(_))
    ));
}

#[test]
fn a_socket_counts_as_a_connection_and_ends_with_the_listener() {
    let fixture = start(HttpOptions {
        connections: 1,
        ..HttpOptions::default()
    });
    let mut socket = open(fixture.connect(), "echo.rtpengine.com");
    assert_eq!(ask(&mut socket, "a"), Message::binary("a"));
    assert!(is_closed(&mut fixture.connect()));
    fixture.server.stop();
    assert!(matches!(socket.read(), Ok(Message::Close(Some(_)))));
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let fixture = start(HttpOptions {
        idle_timeout: Duration::from_millis(600),
        ..HttpOptions::default()
    });
    let mut socket = open(fixture.connect(), "echo.rtpengine.com");
    // Reading answers the pings: the socket outlives the idle time-out.
    for _ in 0..3 {
        assert!(matches!(socket.read().unwrap(), Message::Ping(_)));
    }
    assert_eq!(ask(&mut socket, "a"), Message::binary("a"));
    // Raw, nobody answers them.
    let mut stream = socket.into_inner();
    let _ = stream.read_to_end(&mut Vec::new());
}
