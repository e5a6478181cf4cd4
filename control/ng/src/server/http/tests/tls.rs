//! HTTPS and secure WebSockets, with certificates made on the spot.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicU32,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::access::Rule;

const PING: &str = "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n";

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// An authority with its files, removed at the end.
struct Authority {
    dir: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "windlass-ng-tls-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Certificate and key files for `localhost`.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (
            self.file(&format!("{name}.pem")),
            self.file(&format!("{name}.key")),
        );
        fs::write(&files.0, certificate.pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    fn tls(&self, client_ca: Option<&Path>) -> Tls {
        let (certificate, key) = self.sign("server");
        Tls::load(&certificate, &key, client_ca).unwrap()
    }

    /// A client that trusts this authority.
    fn connect(&self, addr: SocketAddr, identity: Option<(PathBuf, PathBuf)>) -> Stream {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(certificate).unwrap()],
                    PrivateKeyDer::from_pem_file(key).unwrap(),
                )
                .unwrap(),
        };
        let name = "localhost".try_into().unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(client, connect(addr))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn start_tls(tls: Tls) -> Fixture {
    start(HttpOptions {
        tls: Some(tls),
        ..HttpOptions::default()
    })
}

/// Whether a handshake, or the request after it, fails.
fn fails(mut stream: Stream) -> bool {
    stream.write_all(PING.as_bytes()).is_err() || stream.read(&mut [0; 9]).is_err()
}

#[test]
fn https_and_wss() {
    let authority = Authority::new();
    let fixture = start_tls(authority.tls(None));
    let connect = || authority.connect(fixture.server.local_addr(), None);
    ask(&mut connect(), PING).expect(200, "text/plain", "pong\n");
    let request = post("/ng-plain", "application/json", "{\"command\":\"list\"}");
    ask(&mut connect(), &request).expect(
        200,
        "application/json",
        "{\"by\":\"Https\",\"result\":\"ok\"}",
    );
    let mut socket = websocket::open(connect(), "ng.rtpengine.com");
    assert_eq!(
        websocket::ask(&mut socket, "a {\"command\":\"list\"}"),
        Message::binary("a {\"by\":\"SecureWebSocket\",\"result\":\"ok\"}")
    );
}

#[test]
fn http_on_the_https_port_is_not_answered() {
    let authority = Authority::new();
    let fixture = start_tls(authority.tls(None));
    let mut stream = fixture.connect();
    stream.write_all(PING.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("pong"));
}

#[test]
fn a_slow_handshake_is_ended() {
    let authority = Authority::new();
    let fixture = start(HttpOptions {
        header_timeout: Duration::from_millis(200),
        tls: Some(authority.tls(None)),
        ..HttpOptions::default()
    });
    assert!(is_closed(&mut fixture.connect()));
}

#[test]
fn a_refused_source_gets_no_handshake() {
    let authority = Authority::new();
    let access = Access::new(Rule::Allow(Vec::new()));
    let fixture = start(HttpOptions {
        access: Some(Arc::new(access)),
        tls: Some(authority.tls(None)),
        ..HttpOptions::default()
    });
    assert!(is_closed(&mut fixture.connect()));
}

#[test]
fn clients_need_a_certificate_of_the_authority() {
    let authority = Authority::new();
    let other = Authority::new();
    let fixture = start_tls(authority.tls(Some(&authority.file("ca.pem"))));
    let connect = |identity| authority.connect(fixture.server.local_addr(), identity);
    let identity = authority.sign("client");
    ask(&mut connect(Some(identity)), PING).expect(200, "text/plain", "pong\n");
    assert!(fails(connect(None)));
    assert!(fails(connect(Some(other.sign("stranger")))));
}

#[test]
fn a_renewed_certificate_is_used_at_once() {
    let (old, new) = (Authority::new(), Authority::new());
    let fixture = start_tls(old.tls(None));
    let addr = fixture.server.local_addr();
    let mut kept = old.connect(addr, None);
    ask(&mut kept, PING).expect(200, "text/plain", "pong\n");
    fixture.server.set_tls(new.tls(None));
    assert!(fails(old.connect(addr, None)));
    ask(&mut new.connect(addr, None), PING).expect(200, "text/plain", "pong\n");
    ask(&mut kept, PING).expect(200, "text/plain", "pong\n");
}

#[test]
fn files_are_checked() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("a");
    let (_, other) = authority.sign("b");
    let missing = authority.file("missing.pem");
    let load = |certificate: &Path, key: &Path, ca| Tls::load(certificate, key, ca).unwrap_err();
    assert!(matches!(
        load(&missing, &key, None),
        TlsError::Pem { path, .. } if path == missing
    ));
    assert!(matches!(load(&key, &key, None), TlsError::Empty { .. }));
    assert!(matches!(
        load(&certificate, &certificate, None),
        TlsError::Empty { .. }
    ));
    assert!(matches!(
        load(&certificate, &other, None),
        TlsError::Certificate { .. }
    ));
    assert!(matches!(
        load(&certificate, &key, Some(&key)),
        TlsError::Empty { .. }
    ));
}
