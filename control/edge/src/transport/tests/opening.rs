use super::super::config::TlsConfig;
use super::*;

#[tokio::test]
async fn all_listeners_that_fail_are_named_at_once() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let authority = Authority::new();
    let mut missing = authority.issue("a", &["a.example"], &["*"]);
    missing.chain = authority.folder.join("missing.pem");
    let tls = |certificates| {
        ListenerKind::Tls(TlsConfig {
            certificates,
            ..TlsConfig::default()
        })
    };
    let listener = |bind: &str, kind| ListenerConfig {
        bind: bind.parse().unwrap(),
        kind,
    };
    let config = Config {
        listeners: vec![
            listener("127.0.0.1:0", ListenerKind::Udp),
            listener(&taken, ListenerKind::Tcp),
            listener("192.0.2.1:5060", ListenerKind::Udp),
            listener("127.0.0.1:0", tls(vec![missing])),
            listener("127.0.0.1:0", tls(Vec::new())),
        ],
        ..Config::default()
    };
    let (shards, _inboxes) = Shards::new(1, |_| 0);
    let error = Transports::open(&config, shards).unwrap_err();
    assert_eq!(error.failures.len(), 4);
    let text = error.to_string();
    for part in [
        &format!("tcp {taken}: Address already in use"),
        "udp 192.0.2.1:5060: ",
        "missing.pem",
        "at least one certificate",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused() {
    let authority = Authority::new();
    let mut certificate = authority.issue("a", &["a.example"], &["*"]);
    certificate.key = authority.issue("b", &["b.example"], &["*"]).key;
    let config = Config {
        listeners: vec![ListenerConfig {
            bind: "127.0.0.1:0".parse().unwrap(),
            kind: ListenerKind::Tls(TlsConfig {
                certificates: vec![certificate],
                ..TlsConfig::default()
            }),
        }],
        ..Config::default()
    };
    let (shards, _inboxes) = Shards::new(1, |_| 0);
    let error = Transports::open(&config, shards).unwrap_err();
    assert!(error.to_string().contains("b.key"), "{error}");
}
