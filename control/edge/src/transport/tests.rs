//! Real sockets on loopback. Times are configured short; nothing asserts on how long it took.

mod opening;
mod patience;
mod slow;
mod tcp;
mod tls;
mod udp;
mod ws;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::config::{CertificateConfig, Config, ListenerConfig, ListenerKind, StreamLimits};
use super::*;

const REQUEST: &str = "OPTIONS sip:a SIP/2.0\r\nCall-ID: x\r\nContent-Length: 0\r\n\r\n";
const RESPONSE: &str = "SIP/2.0 200 OK\r\nCall-ID: x\r\nContent-Length: 0\r\n\r\n";

struct Edge {
    transports: Transports,
    sender: Sender,
    inbox: Inbox,
    arrived: VecDeque<Arrived>,
}

impl Edge {
    fn start(kinds: Vec<(&str, ListenerKind)>, streams: StreamLimits) -> Self {
        let listeners = kinds
            .into_iter()
            .map(|(bind, kind)| ListenerConfig {
                bind: bind.parse().unwrap(),
                kind,
            })
            .collect();
        let (shards, mut inboxes) = Shards::new(1, |_| 0);
        let transports = Transports::open(
            &Config {
                listeners,
                streams,
                ..Config::default()
            },
            shards,
        )
        .unwrap();
        Self {
            sender: transports.sender(0),
            transports,
            inbox: inboxes.remove(0),
            arrived: VecDeque::new(),
        }
    }

    fn one(bind: &str, kind: ListenerKind) -> Self {
        Self::start(vec![(bind, kind)], StreamLimits::default())
    }

    fn address(&self) -> SocketAddr {
        self.transports.locals()[0].1
    }

    async fn arrived(&mut self) -> Arrived {
        while self.arrived.is_empty() {
            let (_, list) = soon(self.inbox.recv()).await.unwrap();
            self.arrived.extend(list);
        }
        self.arrived.pop_front().unwrap()
    }

    async fn message(&mut self) -> (Flow, String) {
        match self.arrived().await {
            Arrived::Message { flow, bytes } => (flow, String::from_utf8(bytes.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    async fn closed(&mut self) -> Flow {
        match self.arrived().await {
            Arrived::Closed { flow } => flow,
            other => panic!("{other:?}"),
        }
    }

    async fn unsendable(&mut self) -> (io::ErrorKind, u64) {
        match self.arrived().await {
            Arrived::Unsendable { error, token, .. } => (error, token),
            other => panic!("{other:?}"),
        }
    }

    fn reply(&mut self, flow: Flow, text: &str) {
        let to = Destination::Flow(flow);
        self.sender.send(&to, text.as_bytes().into(), 0).unwrap();
        let mut failed = Vec::new();
        self.sender.flush(&mut failed);
        assert_eq!(failed, []);
    }

    fn open(
        &mut self,
        peer: SocketAddr,
        server_name: Option<&str>,
        token: u64,
    ) -> Result<(), io::ErrorKind> {
        let to = Destination::Open {
            listener: 0,
            peer,
            server_name: server_name.map(Box::from),
        };
        self.sender.send(&to, REQUEST.as_bytes().into(), token)?;
        self.sender.flush(&mut Vec::new());
        Ok(())
    }

    /// Waits until so many were closed for `reason`: peers see the end of a handshake before it is
    /// counted.
    async fn counts(&self, reason: CloseReason, n: u64) {
        soon(async {
            while self.closed_for(reason) < n {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(self.closed_for(reason), n);
    }

    fn closed_for(&self, reason: CloseReason) -> u64 {
        self.transports.stats().closed(reason)
    }
}

/// What must happen, and does within a time that only a fault exceeds.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future).await.expect("too late")
}

async fn expect_bytes(stream: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut bytes = vec![0; text.len()];
    soon(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

/// Reads until the other side closes.
async fn expect_end(stream: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = soon(stream.read_to_end(&mut bytes)).await;
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An authority and the files of its certificates, removed on drop.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass-edge-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for DNS names and addresses, or URIs, that is shown for `shown`.
    pub(crate) fn issue(&self, file: &str, names: &[&str], shown: &[&str]) -> CertificateConfig {
        let (uris, names): (Vec<&str>, Vec<&str>) = names.iter().partition(|n| n.contains(':'));
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let uris = uris
            .into_iter()
            .map(|u| SanType::URI(u.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (chain, key_file) = (
            self.folder.join(format!("{file}.pem")),
            self.folder.join(format!("{file}.key")),
        );
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        CertificateConfig {
            names: shown.iter().map(|s| (*s).to_owned()).collect(),
            chain,
            key: key_file,
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn protocols_are_read_as_they_are_written() {
    for protocol in [
        Protocol::Udp,
        Protocol::Tcp,
        Protocol::Tls,
        Protocol::Ws,
        Protocol::Wss,
    ] {
        assert_eq!(Protocol::read(protocol.via().as_bytes()), Some(protocol));
        assert_eq!(Protocol::read(protocol.name().as_bytes()), Some(protocol));
    }
    assert_eq!(Protocol::read(b"sctp"), None);
}
