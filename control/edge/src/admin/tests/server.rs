//! The sockets: who is let in, and clients that are slow, large or many.

use std::os::unix::fs::PermissionsExt as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::rustls::pki_types::ServerName;

use super::super::{HttpTls, Servers};
use super::*;
use crate::limits::{ADMIN_BODY_BYTES, ADMIN_CONNECTIONS};
use crate::transport::Tls;
use crate::transport::config::{ClientCertificates, ServerVerification, TlsConfig};
use crate::transport::tests::Authority;

const READ: &str = "read-0123456789abcdef";
const OPERATE: &str = "oper-0123456789abcdef";

/// Sends a request over HTTP; the answer as text.
async fn http(running: &Running, line: &str, token: Option<&str>, body: &str) -> String {
    let mut stream = TcpStream::connect(running.edge.admin_addr().unwrap())
        .await
        .unwrap();
    let token = token.map_or_else(String::new, |t| format!("Authorization: Bearer {t}\r\n"));
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}Content-Length: {length}\r\n\r\n\
         {body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn http_asks_for_a_token_and_its_role() {
    let running = Running::start(&[], |_, _| {}).await;
    let status = async |line: &str, token| {
        let answer = http(&running, line, token, "").await;
        answer[9..12].to_owned()
    };
    assert_eq!(status("GET /v1/calls", None).await, "401");
    assert_eq!(
        status("GET /v1/calls", Some("read-0123456789abcdeF")).await,
        "401"
    );
    assert_eq!(status("GET /v1/calls", Some(READ)).await, "200");
    assert_eq!(status("GET /metrics", None).await, "401");
    assert_eq!(status("DELETE /v1/calls/1", Some(READ)).await, "403");
    assert_eq!(status("DELETE /v1/calls/1", Some(OPERATE)).await, "404");
    assert_eq!(status("POST /v1/reload", Some(OPERATE)).await, "403");
    assert_eq!(status("PUT /v1/calls", Some(OPERATE)).await, "405");
    let refused = http(&running, "POST /v1/drain", Some(READ), "").await;
    assert!(
        refused.ends_with("{\"error\":\"this needs the role operate, not read\"}\n"),
        "{refused}"
    );
    let unknown = http(&running, "GET /v1/calls", None, "").await;
    assert!(
        unknown
            .to_lowercase()
            .contains("\r\nwww-authenticate: bearer\r\n")
    );
    // A balancer has none, and learns no reasons.
    assert_eq!(status("GET /healthz", None).await, "200");
    assert_eq!(status("GET /readyz", None).await, "200");
    let down = r#"{"state":"down"}"#;
    running.ask("PATCH", "/v1/targets/pbx-1", down).await;
    let ready = http(&running, "GET /readyz", None, "").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.ends_with("\r\n\r\nnot ready\n"));
    let ready = http(&running, "GET /readyz", Some(READ), "").await;
    assert!(
        ready.ends_with("upstream pbx has no target that works\n"),
        "{ready}"
    );
}

#[tokio::test]
async fn pages_of_others_give_no_orders() {
    let running = Running::start(&[], |_, _| {}).await;
    let ask = async |rows: &str| {
        // The rows stand behind the token.
        let token = format!("{READ}\r\n{rows}");
        let answer = http(&running, "GET /v1/calls", Some(token.trim_end()), "").await;
        answer[9..12].to_owned()
    };
    assert_eq!(ask("Origin: https://elsewhere.example\r\n").await, "403");
    assert_eq!(ask("Origin: null\r\n").await, "403");
    assert_eq!(ask("Sec-Fetch-Site: cross-site\r\n").await, "403");
    // The dashboard of the edge itself, and an address that was typed in.
    assert_eq!(
        ask("Origin: http://x\r\nSec-Fetch-Site: same-origin\r\n").await,
        "200"
    );
    assert_eq!(ask("Sec-Fetch-Site: none\r\n").await, "200");
}

#[tokio::test]
async fn client_certificates_have_names_and_roles() {
    let authority = Authority::new();
    let server = authority.issue("edge", &["edge.example"], &["*"]);
    let running = Running::start(&[], |config, dir| {
        let more = "[[certificate]]\nname = \"noc.example\"\nrole = \"operate\"\n";
        config.admin.http = Some(HttpAdmin {
            bind: "127.0.0.1:0".parse().unwrap(),
            tokens: dir.write("tokens.toml", &format!("{TOKENS}{more}")),
            tls: Some(HttpTls {
                chain: server.chain.clone(),
                key: server.key.clone(),
                client_ca: Some(authority.file()),
            }),
        });
    })
    .await;
    let status = async |name: &str, line: &str| {
        let settings = TlsConfig {
            certificates: vec![authority.issue("client", &[name], &["*"])],
            clients: ClientCertificates::Ignore,
            servers: ServerVerification::Authorities(authority.file()),
        };
        let connector = Tls::load(&settings).unwrap().connector;
        let stream = TcpStream::connect(running.edge.admin_addr().unwrap())
            .await
            .unwrap();
        let edge = ServerName::try_from("edge.example").unwrap();
        let mut stream = connector.connect(edge, stream).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    assert_eq!(status("noc.example", "GET /v1/calls").await, "200");
    assert_eq!(status("noc.example", "DELETE /v1/calls/1").await, "404");
    assert_eq!(status("noc.example", "POST /v1/reload").await, "403");
    assert_eq!(status("other.example", "GET /v1/calls").await, "401");
}

#[tokio::test]
async fn nobody_listens_without_protection() {
    let dir = Dir::new();
    let tokens = dir.write("tokens.toml", TOKENS);
    let refused = async |bind: &str| {
        let admin = AdminConfig {
            unix: None,
            http: Some(HttpAdmin {
                bind: bind.parse().unwrap(),
                tokens: tokens.clone(),
                tls: None,
            }),
        };
        Servers::open(&admin).await.unwrap_err().to_string()
    };
    let error = refused("192.0.2.1:8090").await;
    assert!(error.contains("on loopback alone"), "{error}");
    std::fs::write(&tokens, "").unwrap();
    let error = refused("127.0.0.1:0").await;
    assert!(error.contains("let nobody in"), "{error}");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = refused("127.0.0.1:0").await;
    assert!(error.contains("everybody can read these tokens"), "{error}");
}

#[tokio::test]
async fn unix_socket_is_its_owners_and_ends_with_the_edge() {
    let running = Running::start(&[], |_, _| {}).await;
    let path = running.socket();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        running.get("/v1/calls").await["calls"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    // Another edge does not take it away.
    let second = config(&running.dir, &[]);
    let relay = Arc::new(Marker::default());
    let error = Edge::start_with_relay(second, relay).await.unwrap_err();
    assert!(
        error.to_string().contains("another process answers there"),
        "{error}"
    );
    let Running { edge, dir } = running;
    edge.stop().await;
    assert!(!exists(&path));
    // What was left behind by a crash is replaced, a file is not.
    std::fs::write(&path, "precious").unwrap();
    let relay = Arc::new(Marker::default());
    let error = Edge::start_with_relay(config(&dir, &[]), relay)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no socket"), "{error}");
    std::fs::remove_file(&path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let config = config(&dir, &[]);
    let running = Running::of(dir, config, None).await;
    running.get("/v1/targets").await;
}

#[tokio::test]
async fn large_requests_are_refused() {
    let running = Running::start(&[], |_, _| {}).await;
    let body = "x".repeat(ADMIN_BODY_BYTES + 1);
    let answer = http(&running, "POST /v1/explain", Some(READ), &body).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let mut stream = UnixStream::connect(running.socket()).await.unwrap();
    let head = format!("GET /{} HTTP/1.1\r\n", "x".repeat(64 << 10));
    // It may be closed before all is written.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
}

#[tokio::test]
async fn slow_clients_are_closed() {
    let running = Running::start(&[], |_, _| {}).await;
    let mut half_a_head = UnixStream::connect(running.socket()).await.unwrap();
    half_a_head.write_all(b"GET /v1/calls HT").await.unwrap();
    let mut answer = Vec::new();
    half_a_head.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    let mut half_a_body = UnixStream::connect(running.socket()).await.unwrap();
    let head = b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
    half_a_body.write_all(head).await.unwrap();
    let mut answer = [0; 12];
    half_a_body.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

/// Connections that say nothing end, so that others get their places.
#[tokio::test]
async fn many_silent_clients_lock_nobody_out() {
    let running = Running::start(&[], |_, _| {}).await;
    let mut silent = Vec::new();
    for _ in 0..ADMIN_CONNECTIONS {
        silent.push(UnixStream::connect(running.socket()).await.unwrap());
    }
    running.get("/v1/calls").await;
}

#[tokio::test]
async fn events_are_told_as_they_happen() {
    let running = Running::start(&[], |_, _| {}).await;
    let socket = running.socket();
    let (hear, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn(async move {
        let ask = Ask {
            method: "GET",
            path: "/v1/events".to_owned(),
            body: String::new(),
        };
        let take = |part: &[u8]| {
            let text = String::from_utf8_lossy(part).into_owned();
            hear.send(text).map_err(std::io::Error::other)
        };
        client::watch(&socket, &ask, take).await
    });
    assert_eq!(heard.recv().await.unwrap(), ": events\n\n");
    let body = r#"{"address":"192.0.2.66","duration":"60s"}"#;
    let (status, ban) = running.ask("POST", "/v1/bans", body).await;
    assert_eq!((status, &ban["reason"]), (200, &"operator".into()), "{ban}");
    let told = heard.recv().await.unwrap();
    assert!(told.starts_with("event: ban\ndata: {\"time\":\""), "{told}");
    assert!(
        told.contains("\"ip\":\"192.0.2.66\",\"reason\":\"operator\""),
        "{told}"
    );
    running.ask("DELETE", "/v1/bans/192.0.2.66", "").await;
    assert!(heard.recv().await.unwrap().starts_with("event: unban\n"));
    watching.abort();
}

#[tokio::test]
async fn metrics_name_every_family_once() {
    let running = Running::start(&["127.0.0.1:9".parse().unwrap()], |_, _| {}).await;
    let text = http(&running, "GET /metrics", Some(READ), "").await;
    let types: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE ")).collect();
    let mut once = types.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), types.len(), "{text}");
    for line in [
        "windlass_edge_dialogs{state=\"early\"} 0",
        "windlass_edge_target_up{upstream=\"pbx\",target=\"pbx-1\"} 1",
        "windlass_edge_screen_entries{table=\"bans\"} 0",
        "windlass_edge_queue_delay_seconds_count 0",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
}
