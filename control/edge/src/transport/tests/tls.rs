use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::super::config::{ClientCertificates, ServerVerification, TlsConfig};
use super::super::tls::{Tls, identities, system_authorities};
use super::*;

/// A listener that shows `certificates`, and verifies by the authority.
fn config(authority: &Authority, certificates: Vec<CertificateConfig>) -> TlsConfig {
    TlsConfig {
        certificates,
        clients: ClientCertificates::Ignore,
        servers: ServerVerification::Authorities(authority.file()),
    }
}

async fn connect(
    address: SocketAddr,
    client: &TlsConfig,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = Tls::load(client).unwrap().connector;
    soon(connector.connect(name, stream)).await
}

/// The first identity of the certificate that the server showed.
fn shown(stream: &TlsStream<TcpStream>) -> String {
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    identities(&certificates[0])[0].to_string()
}

async fn speaks(edge: &mut Edge, stream: &mut TlsStream<TcpStream>) -> Flow {
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let (flow, text) = edge.message().await;
    assert_eq!(text, REQUEST);
    edge.reply(flow, RESPONSE);
    expect_bytes(stream, RESPONSE).await;
    flow
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_asked_for() {
    let authority = Authority::new();
    let certificates = vec![
        authority.issue("a", &["a.example"], &["a.example"]),
        authority.issue("w", &["phone.w.example"], &["*.w.example"]),
        authority.issue("d", &["127.0.0.1", "default.example"], &["*"]),
    ];
    let without_default = certificates[..2].to_vec();
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let tls = config(&authority, certificates.clone());
        let mut edge = Edge::one(bind, ListenerKind::Tls(tls.clone()));
        let mut stream = connect(edge.address(), &tls, "a.example").await.unwrap();
        assert_eq!(shown(&stream), "a.example");
        let flow = speaks(&mut edge, &mut stream).await;
        let info = edge.sender.connection(0, flow.connection).unwrap();
        assert_eq!((info.protocol, info.names.len()), (Protocol::Tls, 0));
        let stream = connect(edge.address(), &tls, "phone.w.example")
            .await
            .unwrap();
        assert_eq!(shown(&stream), "phone.w.example");
        let anybody = TlsConfig {
            servers: ServerVerification::Off,
            ..tls
        };
        for name in ["127.0.0.1", "a.b.w.example", "other.example"] {
            let stream = connect(edge.address(), &anybody, name).await.unwrap();
            assert_eq!(shown(&stream), "default.example", "{name}");
        }
        let tls = config(&authority, without_default.clone());
        let edge = Edge::one(bind, ListenerKind::Tls(tls));
        connect(edge.address(), &anybody, "other.example")
            .await
            .unwrap_err();
        let stream = connect(edge.address(), &anybody, "127.0.0.1")
            .await
            .unwrap();
        assert_eq!(shown(&stream), "a.example");
    }
}

#[tokio::test]
async fn a_reload_changes_new_handshakes_alone() {
    let authority = Authority::new();
    let tls = config(
        &authority,
        vec![authority.issue("a", &["old.example"], &["*"])],
    );
    let anybody = TlsConfig {
        servers: ServerVerification::Off,
        ..config(
            &authority,
            vec![authority.issue("c", &["c.example"], &["*"])],
        )
    };
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tls(tls.clone()));
    let mut before = connect(edge.address(), &anybody, "x.example")
        .await
        .unwrap();
    assert_eq!(shown(&before), "old.example");
    speaks(&mut edge, &mut before).await;

    authority.issue("a", &["new.example"], &["*"]);
    let listeners = [ListenerConfig {
        bind: edge.address(),
        kind: ListenerKind::Tls(tls.clone()),
    }];
    edge.transports.reload(&listeners).unwrap();
    let mut after = connect(edge.address(), &anybody, "x.example")
        .await
        .unwrap();
    assert_eq!(shown(&after), "new.example");
    speaks(&mut edge, &mut after).await;
    speaks(&mut edge, &mut before).await;

    // A broken file leaves everything as it is.
    std::fs::write(authority.folder.join("a.pem"), "no certificate").unwrap();
    edge.transports.reload(&listeners).unwrap_err();
    let again = connect(edge.address(), &anybody, "x.example")
        .await
        .unwrap();
    assert_eq!(shown(&again), "new.example");
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.issue("a", &["a.example"], &["*"]);
    let listener = TlsConfig {
        clients: ClientCertificates::Optional(authority.file()),
        ..config(&authority, vec![server])
    };
    let carrier = authority.issue("c", &["sip:carrier.example", "host.example"], &["*"]);
    let carrier = config(&authority, vec![carrier]);
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tls(listener));
    let mut stream = connect(edge.address(), &carrier, "a.example")
        .await
        .unwrap();
    let flow = speaks(&mut edge, &mut stream).await;
    let info = edge.sender.connection(0, flow.connection).unwrap();
    assert_eq!(info.names[..], [Box::from("carrier.example")]);
    // Its connection serves for requests to the domain that it proved, and for no other.
    let known = edge.sender.open_flow(0, flow.peer, Some("Carrier.example"));
    assert_eq!(known, Some(flow));
    assert_eq!(edge.sender.open_flow(0, flow.peer, Some("b.example")), None);

    let forged = stranger.issue("f", &["sip:carrier.example"], &["*"]);
    let forged = config(&authority, vec![forged]);
    // TLS 1.3 tells the client only after its side of the handshake.
    if let Ok(mut stream) = connect(edge.address(), &forged, "a.example").await {
        expect_end(&mut stream).await;
    }
    edge.counts(CloseReason::Handshake, 1).await;
}

#[test]
fn a_system_without_authorities_trusts_no_server() {
    let authority = Authority::new();
    let missing = authority.folder.join("missing.pem");
    let places = [missing.clone(), authority.file()];
    assert_eq!(system_authorities(places.into_iter()).len(), 1);
    assert!(system_authorities([missing].into_iter()).is_empty());
}

/// A TLS server that shows one certificate; gives back what came over its first connection.
async fn server(
    certificate: CertificateConfig,
    authority: &Authority,
) -> (SocketAddr, TlsAcceptor, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = Tls::load(&config(authority, vec![certificate]))
        .unwrap()
        .acceptor;
    (listener.local_addr().unwrap(), acceptor, listener)
}

#[tokio::test]
async fn a_server_must_prove_the_sip_domain() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ours = || {
        config(
            &authority,
            vec![authority.issue("e", &["edge.example"], &["*"])],
        )
    };
    for (names, asked, good) in [
        (&["a.example"][..], Some("a.example"), true),
        (&["sip:a.example", "host.example"], Some("a.example"), true),
        // With SIP URIs, DNS names say nothing (RFC 5922 §7.1).
        (
            &["sip:a.example", "host.example"],
            Some("host.example"),
            false,
        ),
        // An asterisk is for no domain (RFC 5922 §7.2).
        (&["*.example"], Some("a.example"), false),
        (&["127.0.0.1"], None, true),
        (&["a.example"], None, false),
    ] {
        let certificate = authority.issue("s", names, &["*"]);
        let (peer, acceptor, listener) = server(certificate, &authority).await;
        let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tls(ours()));
        edge.open(peer, asked, 9).unwrap();
        let (stream, _) = soon(listener.accept()).await.unwrap();
        let accepted = soon(acceptor.accept(stream)).await;
        if good {
            let mut stream = accepted.unwrap();
            expect_bytes(&mut stream, REQUEST).await;
            stream.write_all(RESPONSE.as_bytes()).await.unwrap();
            assert_eq!(edge.message().await.1, RESPONSE);
        } else {
            assert_eq!(edge.unsendable().await.1, 9, "{names:?} {asked:?}");
            edge.counts(CloseReason::Handshake, 1).await;
        }
    }
    let certificate = stranger.issue("s", &["a.example"], &["*"]);
    let (peer, acceptor, listener) = server(certificate.clone(), &stranger).await;
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tls(ours()));
    edge.open(peer, Some("a.example"), 9).unwrap();
    let (stream, _) = soon(listener.accept()).await.unwrap();
    let _ = soon(acceptor.accept(stream)).await;
    assert_eq!(edge.unsendable().await.1, 9);
    // Unless nobody asks.
    let trusting = TlsConfig {
        servers: ServerVerification::Off,
        ..ours()
    };
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tls(trusting));
    edge.open(peer, Some("a.example"), 9).unwrap();
    let (stream, _) = soon(listener.accept()).await.unwrap();
    let mut stream = soon(acceptor.accept(stream)).await.unwrap();
    expect_bytes(&mut stream, REQUEST).await;
}

#[tokio::test]
async fn another_name_at_the_same_address_gets_a_connection_of_its_own() {
    let authority = Authority::new();
    let certificate = authority.issue("s", &["a.example", "b.example"], &["*"]);
    let (peer, acceptor, listener) = server(certificate, &authority).await;
    let tls = config(
        &authority,
        vec![authority.issue("e", &["edge.example"], &["*"])],
    );
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tls(tls));
    let acceptor = Arc::new(acceptor);
    edge.open(peer, Some("a.example"), 1).unwrap();
    edge.open(peer, Some("c.example"), 2).unwrap();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let (stream, _) = soon(listener.accept()).await.unwrap();
        if let Ok(stream) = soon(acceptor.accept(stream)).await {
            streams.push(stream);
        }
    }
    assert_eq!(edge.unsendable().await.1, 2);
    // What the certificate has proved besides is good for the connection that is open.
    edge.open(peer, Some("b.example"), 3).unwrap();
    expect_bytes(&mut streams[0], &[REQUEST, REQUEST].concat()).await;
}
