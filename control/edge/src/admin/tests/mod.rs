//! The admin interface: orders as data, and a running edge that is asked over its sockets.

mod calls;
mod changes;
mod orders;
mod reload;
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::client::{self, Ask};
use super::{AdminConfig, ConfigSource, HttpAdmin, UnixSocket};
use crate::config::{Config, ListenerKind, PoolConfig, Trust, Zone};
use crate::edge::Edge;
use crate::edge::tests::{Marker, Phone, from_public, reply, rows};

/// A directory of a test, removed with the value.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass-admin-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TOKENS: &str = "\
[[token]]\nname = \"monitor\"\nrole = \"read\"\ntoken = \"read-0123456789abcdef\"\n\
[[token]]\nname = \"noc\"\nrole = \"operate\"\ntoken = \"oper-0123456789abcdef\"\n";

/// A public zone, and a core zone whose upstream `pbx` has these targets, or one that is never asked.
fn config(dir: &Dir, targets: &[SocketAddr]) -> Config {
    let any = "127.0.0.1:0".parse().unwrap();
    let public = Zone::new("public", Trust::Untrusted).listening(ListenerKind::Udp, any);
    let core = Zone::new("core", Trust::Inside)
        .listening(ListenerKind::Udp, "127.0.0.2:0".parse().unwrap());
    let mut config = Config::of_zones(vec![public, core], "127.0.0.1:9".parse().unwrap());
    let nobody = ["127.0.0.3:9".parse().unwrap()];
    let targets = if targets.is_empty() { &nobody } else { targets };
    let uris: Vec<String> = targets
        .iter()
        .map(|target| format!("sip:{target}"))
        .collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    config.upstreams.push(PoolConfig::new("pbx", "core", &uris));
    config.routes.push(from_public("pbx"));
    config.admin = AdminConfig {
        unix: Some(UnixSocket::new(dir.0.join("edge.sock"))),
        http: Some(HttpAdmin {
            bind: any,
            tokens: dir.write("tokens.toml", TOKENS),
            tls: None,
        }),
    };
    config
}

/// A running edge with its directory.
struct Running {
    edge: Edge,
    dir: Dir,
}

impl Running {
    async fn start(targets: &[SocketAddr], change: impl FnOnce(&mut Config, &Dir)) -> Self {
        let dir = Dir::new();
        let mut config = config(&dir, targets);
        change(&mut config, &dir);
        Self::of(dir, config, None).await
    }

    async fn of(dir: Dir, config: Config, source: Option<Arc<dyn ConfigSource>>) -> Self {
        let relay = Arc::new(Marker::default());
        let edge = Edge::start_whole(config, relay, source).await.unwrap();
        Self { edge, dir }
    }

    fn socket(&self) -> PathBuf {
        self.dir.0.join("edge.sock")
    }

    /// Asks over the Unix socket.
    async fn ask(&self, method: &'static str, path: &str, body: &str) -> (u16, Value) {
        let ask = Ask {
            method,
            path: path.to_owned(),
            body: body.to_owned(),
        };
        let answered = client::ask(&self.socket(), &ask).await.unwrap();
        let json = serde_json::from_slice(&answered.body);
        (answered.status, json.unwrap_or(Value::Null))
    }

    /// What a GET finds.
    async fn get(&self, path: &str) -> Value {
        let (status, json) = self.ask("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }
}

/// An INVITE of a phone at `us` through the edge.
fn invite(us: SocketAddr, edge: SocketAddr, number: &str, call: &str) -> String {
    format!(
        "INVITE sip:{number}@{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKi{call}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=a{call}\r\nTo: <sip:b@x>\r\nCall-ID: {call}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:a@{us}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The ACK of the caller to a 2xx.
fn ack(us: SocketAddr, call: &str, ok: &str) -> String {
    let route = rows(ok, &["Record-Route"]).replace("Record-Route", "Route");
    let to = rows(ok, &["To"]);
    format!(
        "ACK sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKa{call}\r\n{route}\
         From: <sip:a@x>;tag=a{call}\r\n{to}Call-ID: {call}\r\nCSeq: 1 ACK\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Sets a call up between two phones; what the callee got.
async fn set_up(edge: SocketAddr, caller: &mut Phone, callee: &mut Phone, call: &str) -> String {
    let us = caller.address();
    caller.send(&invite(us, edge, "100", call), edge).await;
    let (received, from) = callee.recv("INVITE").await;
    let ok = reply(&received, "200 OK", &callee.address().to_string(), "");
    callee.send(&ok, from).await;
    let (ok, _) = caller.recv("SIP/2.0 200").await;
    caller.send(&ack(us, call, &ok), edge).await;
    received
}

/// Waits until the edge has caught up with what was sent to it.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("it never came to be");
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
