use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::super::config::{ServerVerification, TlsConfig, WsConfig};
use super::super::tls::Tls;
use super::*;

/// Asks for the upgrade; gives back the status line of the answer, which is read to its end.
async fn upgrade(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
    headers: &str,
) -> String {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: edge.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(soon(stream.read_u8()).await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    let is_sip = answer
        .to_ascii_lowercase()
        .contains("sec-websocket-protocol: sip\r\n");
    assert_eq!(answer.starts_with("HTTP/1.1 101"), is_sip, "{answer}");
    answer.lines().next().unwrap().to_owned()
}

const SIP: &str = "Sec-WebSocket-Protocol: chat, sip\r\n";

/// A short frame as a client sends it, with a mask of zeros.
fn frame(first: u8, payload: &str) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload.as_bytes()].concat()
}

async fn speaks(edge: &mut Edge, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    for opcode in [0x81, 0x82] {
        stream.write_all(&frame(opcode, REQUEST)).await.unwrap();
        let (flow, text) = edge.message().await;
        assert_eq!(text, REQUEST);
        edge.reply(flow, RESPONSE);
        let length = char::from(u8::try_from(RESPONSE.len()).unwrap());
        let mut head = [0; 2];
        soon(stream.read_exact(&mut head)).await.unwrap();
        assert_eq!(head, [0x81, length as u8]);
        expect_bytes(stream, RESPONSE).await;
    }
    stream.write_all(&frame(0x89, "ping")).await.unwrap();
    expect_frame(stream, b"\x8a\x04ping").await;
    stream.write_all(&frame(0x81, "\r\n\r\n")).await.unwrap();
    expect_frame(stream, b"\x81\x02\r\n").await;
}

async fn expect_frame(stream: &mut (impl AsyncRead + Unpin), frame: &[u8]) {
    let mut bytes = vec![0; frame.len()];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(bytes, frame);
}

#[tokio::test]
async fn messages_come_and_go_in_both_families() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut edge = Edge::one(bind, ListenerKind::Ws(WsConfig::default()));
        let mut stream = TcpStream::connect(edge.address()).await.unwrap();
        upgrade(&mut stream, "/", SIP).await;
        speaks(&mut edge, &mut stream).await;
        stream.write_all(&frame(0x88, "\x03\x68")).await.unwrap();
        expect_frame(&mut stream, b"\x88\x02\x03\x68").await;
        expect_end(&mut stream).await;
        edge.closed().await;
        assert_eq!(edge.closed_for(CloseReason::Peer), 1);
    }
}

#[tokio::test]
async fn it_works_over_tls_as_well() {
    let authority = Authority::new();
    let tls = TlsConfig {
        certificates: vec![authority.issue("a", &["edge.example"], &["*"])],
        servers: ServerVerification::Authorities(authority.file()),
        ..TlsConfig::default()
    };
    let kind = ListenerKind::Wss(tls.clone(), WsConfig::default());
    let mut edge = Edge::one("127.0.0.1:0", kind);
    let stream = TcpStream::connect(edge.address()).await.unwrap();
    let name = ServerName::try_from("edge.example").unwrap();
    let connector = Tls::load(&tls).unwrap().connector;
    let mut stream = soon(connector.connect(name, stream)).await.unwrap();
    upgrade(&mut stream, "/", SIP).await;
    speaks(&mut edge, &mut stream).await;
}

#[tokio::test]
async fn who_is_not_to_connect_is_refused() {
    let config = WsConfig {
        origins: vec!["https://phone.example".to_owned()],
        path: Some("/sip".to_owned()),
    };
    let edge = Edge::one("127.0.0.1:0", ListenerKind::Ws(config));
    let good = "Origin: https://Phone.example\r\n";
    for (path, headers, status) in [
        ("/sip", format!("{good}{SIP}"), "101"),
        ("/sip", good.to_owned(), "400"),
        (
            "/sip",
            format!("{good}Sec-WebSocket-Protocol: sips\r\n"),
            "400",
        ),
        ("/sip", SIP.to_owned(), "403"),
        (
            "/sip",
            format!("Origin: https://evil.example\r\n{SIP}"),
            "403",
        ),
        ("/", format!("{good}{SIP}"), "404"),
    ] {
        let mut stream = TcpStream::connect(edge.address()).await.unwrap();
        let answer = upgrade(&mut stream, path, &headers).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{path} {headers}");
        if status != "101" {
            expect_end(&mut stream).await;
        }
    }
    edge.counts(CloseReason::Handshake, 5).await;
}

#[tokio::test]
async fn an_upgrade_that_never_comes_is_given_up() {
    let streams = StreamLimits {
        handshake: ms(100),
        ..StreamLimits::default()
    };
    let kind = ListenerKind::Ws(WsConfig::default());
    let edge = Edge::start(vec![("127.0.0.1:0", kind)], streams);
    let mut stream = TcpStream::connect(edge.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    expect_end(&mut stream).await;
    edge.counts(CloseReason::HandshakeTime, 1).await;
}

#[tokio::test]
async fn a_client_that_is_gone_cannot_be_connected_to() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Ws(WsConfig::default()));
    let gone = "127.0.0.1:9".parse().unwrap();
    assert_eq!(edge.open(gone, None, 1), Err(io::ErrorKind::Unsupported));
}
