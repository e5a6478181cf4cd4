//! ng-protocol §1: what each transport takes and gives, on sockets. Bounds and TLS are tested beside
//! the code.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use windlass_ng::serve::Shared;
use windlass_ng::{
    Command, Handler, HttpOptions, HttpServer, Page, Reply, Resources, Source, TcpOptions,
    TcpServer, UdpServer,
};

const PATIENCE: Duration = Duration::from_secs(10);
const NG: &str = "application/x-rtpengine-ng";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

struct Engine;

impl Handler for Engine {
    fn handle(&self, request: &Request, _: &Source) -> Reply {
        match request.command {
            Command::Ping => Reply::pong(),
            _ => Reply::ok(Dict::new().with_some("sdp", request.sdp.as_deref())),
        }
    }
}

struct Pages;

impl Resources for Pages {
    fn get(&self, path: &str, _: &Source) -> Option<Page> {
        (path == "/metrics").then(|| Page::text("# HELP\n"))
    }

    fn cli(&self, line: &str, _: &Source) -> Option<String> {
        Some(format!("<{line}>\n"))
    }
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Arc::new(Engine)))
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn http_server() -> HttpServer {
    let options = HttpOptions::default();
    HttpServer::start(anywhere(), options, shared(), Arc::new(Pages)).unwrap()
}

#[test]
fn a_datagram_is_cookie_space_payload() {
    let server = UdpServer::start(anywhere(), 1, shared()).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.local_addr()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for (message, reply) in [
        (&b"a d7:command4:pinge"[..], &b"a d6:result4:ponge"[..]),
        (b"b {\"command\":\"ping\"}", b"b {\"result\":\"pong\"}"),
        // Any bytes but a space.
        (
            b"\xff\0\r\n d7:command4:pinge",
            b"\xff\0\r\n d6:result4:ponge",
        ),
        (
            b"c ",
            b"c d6:result5:error12:error-reason25:Invalid data (no payload)e",
        ),
        (
            b"d  d7:command4:pinge",
            b"d d6:result5:error12:error-reason22:Invalid NG data formate",
        ),
    ] {
        // No reply to these: the next one is that to the message.
        for dropped in [&b" d7:command4:pinge"[..], b"d7:command4:pinge", b""] {
            client.send(dropped).unwrap();
        }
        client.send(message).unwrap();
        let mut buffer = [0; 200];
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], reply);
    }
}

/// A TCP client of its own listener.
fn stream(options: TcpOptions) -> (TcpServer, TcpStream) {
    let server = TcpServer::start(anywhere(), options, shared()).unwrap();
    let stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (server, stream)
}

#[track_caller]
fn assert_reads(stream: &mut TcpStream, expected: &str) {
    let mut buffer = vec![0; expected.len()];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer), expected);
}

/// With bytes unread, closing is a reset.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 100]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_stream_has_messages_without_separators() {
    let (_server, mut stream) = stream(TcpOptions::default());
    let message = b"a d7:command4:pingeb d7:command4:pinge d7:command4:pingee d7:comma";
    stream.write_all(message).unwrap();
    // The third one has an empty cookie and is dropped.
    let cut = "a d6:result4:pongeb d6:result4:ponge";
    assert_reads(&mut stream, cut);
    stream.write_all(b"nd4:pinge").unwrap();
    assert_reads(&mut stream, "e d6:result4:ponge");
}

#[test]
fn more_than_1024_bytes_that_are_no_message_close_the_stream() {
    for start in [&b"nospace"[..], b"c {\"command\":\"ping\"}", b"c x"] {
        let (_server, mut stream) = stream(TcpOptions::default());
        let filler = vec![b'x'; 1024 - start.len()];
        // A message before is answered; 1024 bytes may wait.
        stream.write_all(b"a d7:command4:pinge").unwrap();
        assert_reads(&mut stream, "a d6:result4:ponge");
        stream.write_all(&[start, &filler].concat()).unwrap();
        stream.write_all(b"x").unwrap();
        assert!(is_closed(&mut stream), "{start:?}");
    }
}

#[test]
fn an_incomplete_message_closes_the_stream_beyond_its_bound() {
    let rest = vec![b'x'; 1_020];
    let start = b"a d3:sdp3000:";
    // As the reference has it.
    let strict = TcpOptions {
        message_bytes: 1_024,
        ..TcpOptions::default()
    };
    let (_server, mut closed) = stream(strict);
    closed.write_all(&[&start[..], &rest].concat()).unwrap();
    assert!(is_closed(&mut closed));
    // As it is by default: the message may come in pieces, as long as a request may be.
    let (server, mut split) = stream(TcpOptions::default());
    split.write_all(&[&start[..], &rest].concat()).unwrap();
    split.write_all(&vec![b'x'; 3_000 - rest.len()]).unwrap();
    split.write_all(b"7:command4:pinge").unwrap();
    assert_reads(&mut split, "a d6:result4:ponge");
    // Nobody waits for what is announced to be longer, or is.
    for start in ["b d3:sdp300000:", "c d1:al"] {
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(start.as_bytes());
        let _ = stream.write_all(&b"1:x".repeat(100_000));
        assert!(is_closed(&mut stream), "{start}");
    }
    split.write_all(b"d d7:command4:pinge").unwrap();
    assert_reads(&mut split, "d d6:result4:ponge");
}

#[test]
fn a_message_that_never_ends_closes_the_stream() {
    let options = TcpOptions {
        message_timeout: Duration::ZERO,
        ..TcpOptions::default()
    };
    for start in ["a", "a d7:command"] {
        let (_server, mut stream) = stream(options);
        stream.write_all(b"a d7:command4:pinge").unwrap();
        assert_reads(&mut stream, "a d6:result4:ponge");
        stream.write_all(start.as_bytes()).unwrap();
        assert!(is_closed(&mut stream), "{start}");
    }
}

#[test]
fn what_nobody_asked_for_has_a_cookie_of_sixteen_hex_digits() {
    let (server, mut stream) = stream(TcpOptions::default());
    stream.write_all(b"a d7:command4:pinge").unwrap();
    assert_reads(&mut stream, "a d6:result4:ponge");
    let mut cookies = Vec::new();
    for _ in 0..2 {
        server
            .broadcaster()
            .send(&Dict::new().with("notify", "onDTMF"));
        let mut cookie = [0; 16];
        stream.read_exact(&mut cookie).unwrap();
        assert!(cookie.iter().all(u8::is_ascii_hexdigit), "{cookie:?}");
        assert_reads(&mut stream, " d6:notify6:onDTMFe");
        cookies.push(cookie);
    }
    assert_ne!(cookies[0], cookies[1]);
}

#[test]
fn no_source_takes_every_stream() {
    let options = TcpOptions {
        connections: 8,
        connections_per_source: 1,
        ..TcpOptions::default()
    };
    let (server, mut first) = stream(options);
    first.write_all(b"a d7:command4:pinge").unwrap();
    assert_reads(&mut first, "a d6:result4:ponge");
    let mut second = TcpStream::connect(server.local_addr()).unwrap();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(is_closed(&mut second));
}

/// Status line, headers and body of the response to one request.
fn http(server: &HttpServer, request: &str) -> (String, String, String) {
    let mut stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    let status = status.strip_prefix("HTTP/1.1 ").unwrap();
    let code = status.split(' ').next().unwrap();
    (
        code.to_owned(),
        headers.to_ascii_lowercase(),
        body.to_owned(),
    )
}

#[test]
fn http_has_these_resources() {
    let server = http_server();
    let json = r#"{"command":"ping"}"#;
    let pong = r#"{"result":"pong"}"#;
    let ping = "d7:command4:pinge";
    let not_found = ("404", TEXT, "not found\n");
    for (method, path, content_type, body, (status, reply_type, reply)) in [
        (
            "POST",
            "/ng",
            NG,
            "a d7:command4:pinge",
            ("200", NG, "a d6:result4:ponge"),
        ),
        (
            "POST",
            "/ng",
            NG,
            r#"b {"command":"ping"}"#,
            ("200", NG, r#"b {"result":"pong"}"#),
        ),
        ("POST", "/ng", NG, ping, ("600", TEXT, "error\n")),
        ("POST", "/ng", NG, "", ("600", TEXT, "error\n")),
        (
            "POST",
            "/ng",
            NG,
            " d7:command4:pinge",
            ("600", TEXT, "error\n"),
        ),
        ("POST", "/ng", JSON, r#"c {"command":"ping"}"#, not_found),
        ("POST", "/ng", TEXT, "d d7:command4:pinge", not_found),
        (
            "POST",
            "/ng-plain",
            NG,
            ping,
            ("200", NG, "d6:result4:ponge"),
        ),
        ("POST", "/ng-plain", NG, json, ("200", NG, pong)),
        ("POST", "/ng-plain", JSON, json, ("200", JSON, pong)),
        ("POST", "/ng-plain", TEXT, json, not_found),
        (
            "POST",
            "/cli",
            TEXT,
            "list numsessions",
            ("200", TEXT, "<list numsessions>\n"),
        ),
        ("POST", "/cli", NG, "list numsessions", not_found),
        ("POST", "/elsewhere", NG, "e d7:command4:pinge", not_found),
        ("GET", "/ping", "", "", ("200", TEXT, "pong\n")),
        ("GET", "/metrics", "", "", ("200", TEXT, "# HELP\n")),
        (
            "GET",
            "/cli/list+sessions+all",
            "",
            "",
            ("200", TEXT, "<list sessions all>\n"),
        ),
        (
            "GET",
            "/cli/call+a%2Bb+info",
            "",
            "",
            ("200", TEXT, "<call a+b info>\n"),
        ),
        ("GET", "/ng", "", "", not_found),
        ("GET", "/elsewhere", "", "", not_found),
    ] {
        let typed = match content_type {
            "" => String::new(),
            is => format!("Content-Type: {is}\r\nContent-Length: {}\r\n", body.len()),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{typed}\r\n{body}"
        );
        let (found, headers, text) = http(&server, &request);
        assert_eq!(
            (found.as_str(), text.as_str()),
            (status, reply),
            "{request}"
        );
        for header in [
            &format!("content-type: {reply_type}"),
            "access-control-allow-origin: *",
            "access-control-max-age: 86400",
            "access-control-allow-methods: get, post",
            "access-control-allow-headers: content-type",
        ] {
            assert!(
                headers.lines().any(|line| line == header),
                "{request}: {headers}"
            );
        }
    }
}

#[test]
fn a_post_says_what_and_how_long_it_is() {
    let server = http_server();
    for (headers, body, status) in [
        ("Content-Length: 19\r\n", "a d7:command4:pinge", "404"),
        ("Content-Type: application/x-rtpengine-ng\r\n", "", "411"),
        (
            "Content-Type: application/x-rtpengine-ng\r\nTransfer-Encoding: chunked\r\n",
            "13\r\na d7:command4:pinge\r\n0\r\n\r\n",
            "411",
        ),
    ] {
        let request =
            format!("POST /ng HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{body}");
        assert_eq!(http(&server, &request).0, status, "{headers}");
    }
}

#[test]
fn websockets_have_subprotocols() {
    let server = http_server();
    for (protocol, message, expected) in [
        (
            "ng.rtpengine.com",
            "a d7:command4:pinge",
            Some("a d6:result4:ponge"),
        ),
        (
            "ng-plain.rtpengine.com",
            "d7:command4:pinge",
            Some("d6:result4:ponge"),
        ),
        (
            "ng-plain.rtpengine.com",
            r#"{"command":"ping"}"#,
            Some(r#"{"result":"pong"}"#),
        ),
        ("cli.rtpengine.com", "list totals", Some("<list totals>\n")),
        ("echo.rtpengine.com", "anything", Some("anything")),
        // Of a gateway that is not built.
        ("janus-protocol", "{}", None),
        ("unknown", "x", None),
    ] {
        use tokio_tungstenite::tungstenite::{Message, client, client::IntoClientRequest as _};
        let mut request = "ws://localhost/".into_client_request().unwrap();
        let name = protocol.parse().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", name);
        let stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let Ok((mut socket, _)) = client(request, stream) else {
            assert_eq!(expected, None, "{protocol}");
            continue;
        };
        socket.send(Message::text(message)).unwrap();
        let reply = socket.read().unwrap();
        assert_eq!(Some(reply.into_text().unwrap().as_str()), expected);
    }
}
