//! The driver: sockets, clock and media relay around the sans-IO core.
//!
//! One task reads each socket, one task per shard owns a [`Proxy`]. Today there is one shard;
//! several will take their datagrams by the hash of the Call-ID.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::{Config, Listen, Protocol};
use crate::limits::{QUEUED_ANSWERS, QUEUED_BATCHES};
use crate::proxy::{Action, Listener, Proxy};
use crate::relay::{MediaError, MediaRelay, MediaReply, NgRelay};
use crate::stats::{DropReason, Stats, StatsSnapshot};
use crate::transport::udp::{self, Batch};
use crate::transport::{Destination, Flow};

/// A running edge. Dropping it ends its tasks at once; [`Edge::stop`] ends them in order.
#[derive(Debug)]
pub struct Edge {
    addresses: Vec<SocketAddr>,
    asks_from: Option<SocketAddr>,
    stats: Arc<Stats>,
    readers: Vec<JoinHandle<()>>,
    shard: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Edge {
    /// Binds the sockets, connects the ng client and starts relaying. Call it inside a tokio runtime
    /// with time and I/O.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound or the configuration names no listener.
    pub async fn start(config: Config) -> io::Result<Self> {
        let relay = NgRelay::connect(config.ng).await?;
        let asks_from = relay.local_addr()?;
        let mut edge = Self::start_with_relay(config, Arc::new(relay)).await?;
        edge.asks_from = Some(asks_from);
        Ok(edge)
    }

    /// As [`Self::start`], with a media relay other than an ng daemon.
    ///
    /// # Errors
    /// As [`Self::start`].
    #[expect(
        clippy::unused_async,
        reason = "binding streams and resolving names will wait"
    )]
    pub async fn start_with_relay(config: Config, relay: Arc<dyn MediaRelay>) -> io::Result<Self> {
        let (sockets, listeners) = open(&config)?;
        let addresses = listeners.iter().map(|l| l.local).collect();
        let stats = Arc::new(Stats::default());
        let (batches, received) = mpsc::channel(QUEUED_BATCHES);
        let readers = sockets
            .iter()
            .enumerate()
            .map(|(index, socket)| {
                let index = u16::try_from(index).unwrap_or(u16::MAX);
                let task = udp::receive(index, socket.clone(), batches.clone(), stats.clone());
                tokio::spawn(task)
            })
            .collect();
        let (stop, stopped) = oneshot::channel();
        let config = Arc::new(config);
        let proxy = Proxy::new(config.clone(), listeners, 0, rand::random(), stats.clone());
        let (answers, answered) = mpsc::channel(QUEUED_ANSWERS);
        let shard = Shard {
            proxy,
            config,
            sockets,
            relay,
            stats: stats.clone(),
            answers,
        };
        let shard = tokio::spawn(shard.run(received, answered, stopped));
        Ok(Self {
            addresses,
            asks_from: None,
            stats,
            readers,
            shard: Some(shard),
            stop: Some(stop),
        })
    }

    /// The address of the first listener, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses
            .first()
            .copied()
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// The addresses of all sockets, in the order of `Config::listen`; then the one opened toward an
    /// upstream of another family, if any.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address that requests to the ng daemon come from; `None` with another relay.
    pub fn asks_from(&self) -> Option<SocketAddr> {
        self.asks_from
    }

    /// The counters now.
    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    /// Refuses new calls, waits for requests in progress up to `Config::drain`, then closes.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // The shard may have ended already.
            let _ = stop.send(());
        }
        if let Some(shard) = self.shard.take() {
            let _ = shard.await;
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        for task in self.readers.iter().chain(&self.shard) {
            task.abort();
        }
    }
}

type Answer = (u64, Result<MediaReply, MediaError>);

struct Shard {
    proxy: Proxy,
    config: Arc<Config>,
    sockets: Vec<Arc<UdpSocket>>,
    relay: Arc<dyn MediaRelay>,
    stats: Arc<Stats>,
    answers: mpsc::Sender<Answer>,
}

impl Shard {
    async fn run(
        mut self,
        mut received: mpsc::Receiver<Batch>,
        mut answered: mpsc::Receiver<Answer>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut stop_by: Option<Instant> = None;
        loop {
            let wake = [self.proxy.next_timeout(), stop_by]
                .into_iter()
                .flatten()
                .min();
            let timer = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((token, result)) = answered.recv() => {
                    self.proxy.handle_media(clock(), token, result);
                }
                Some(batch) = received.recv() => {
                    let now = clock();
                    for (peer, packet) in batch.datagrams {
                        let flow = Flow { listener: batch.listener, peer, connection: 0 };
                        self.proxy.handle_message(now, flow, packet);
                    }
                }
                _ = &mut stop, if stop_by.is_none() => {
                    self.proxy.drain();
                    stop_by = Some(clock() + self.config.drain);
                }
                () = timer => {}
            }
            let now = clock();
            self.proxy.handle_timeout(now);
            self.act().await;
            if stop_by.is_some_and(|at| at <= now || self.proxy.is_idle()) {
                return;
            }
        }
    }

    async fn act(&mut self) {
        while let Some(action) = self.proxy.poll() {
            match action {
                Action::Send { to, packet, token } => {
                    let (listener, peer) = match &to {
                        Destination::Flow(flow) => (flow.listener, flow.peer),
                        Destination::Open { listener, peer, .. } => (*listener, *peer),
                    };
                    let sent = match self.sockets.get(usize::from(listener)) {
                        Some(socket) => udp::send(socket, peer, &packet).await,
                        None => Err(io::ErrorKind::NotConnected.into()),
                    };
                    if let Err(error) = sent {
                        tracing::debug!(%peer, %error, "cannot send");
                        self.stats.drop_for(DropReason::Unsendable);
                        self.proxy.handle_unsendable(clock(), token);
                    }
                }
                Action::Media { token, request } => {
                    let asked = self.relay.request(*request);
                    let (answers, limit) = (self.answers.clone(), self.config.media_timeout);
                    tokio::spawn(async move {
                        let result = tokio::time::timeout(limit, asked).await;
                        let result = result.unwrap_or(Err(MediaError::Timeout));
                        // The shard may have stopped meanwhile.
                        let _ = answers.send((token, result)).await;
                    });
                }
            }
        }
    }
}

/// Binds what the configuration names, and one socket more if none reaches the first target.
fn open(config: &Config) -> io::Result<(Vec<Arc<UdpSocket>>, Vec<Listener>)> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
    let mut wanted: Vec<(usize, Listen)> = Vec::new();
    for (zone, settings) in config.zones.iter().enumerate() {
        wanted.extend(
            settings
                .listeners
                .iter()
                .map(|listen| (zone, listen.clone())),
        );
    }
    let Some((first_zone, _)) = wanted.first() else {
        let message = "the SIP edge needs at least one address to listen on";
        return Err(invalid(message.to_owned()));
    };
    let first_zone = *first_zone;
    let target = config.upstreams.first().and_then(|u| u.targets.first());
    let target = target.map(|target| target.address);
    if let Some(target) = target
        && !wanted
            .iter()
            .any(|(_, l)| l.bind.is_ipv4() == target.is_ipv4())
    {
        wanted.push((
            first_zone,
            Listen {
                protocol: Protocol::Udp,
                bind: SocketAddr::new(udp::address_toward(target)?, 0),
                advertise: None,
            },
        ));
    }
    let mut sockets = Vec::new();
    let mut listeners = Vec::new();
    for (zone, listen) in wanted {
        if listen.protocol != Protocol::Udp {
            return Err(invalid(format!("{} is not served yet", listen.protocol)));
        }
        let socket = udp::bind(listen.bind)?;
        let local = socket.local_addr()?;
        let advertise = listen.advertise.as_deref();
        let shown = if advertise.is_none() && local.ip().is_unspecified() {
            let target = target.filter(|target| target.is_ipv4() == local.is_ipv4());
            udp::address_toward(target.unwrap_or_else(|| somewhere(local)))
                .ok()
                .map(|ip| SocketAddr::new(ip, local.port()).to_string())
        } else {
            advertise.map(str::to_owned)
        };
        sockets.push(Arc::new(socket));
        listeners.push(Listener::new(
            zone,
            listen.protocol,
            local,
            shown.as_deref(),
        ));
    }
    Ok((sockets, listeners))
}

/// A documentation address (RFC 5737, RFC 3849) of the family of `local`: its route is the default
/// route.
fn somewhere(local: SocketAddr) -> SocketAddr {
    if local.is_ipv4() {
        SocketAddr::from(([192, 0, 2, 1], 9))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clock for the core"
)]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::relay::{MediaCommand, MediaFuture, MediaRequest};

    #[derive(Default)]
    struct Marker(Mutex<Vec<MediaCommand>>);

    impl MediaRelay for Marker {
        fn request(&self, request: MediaRequest) -> MediaFuture {
            self.0.lock().unwrap().push(request.command);
            let sdp = request
                .sdp
                .map_or_else(Vec::new, |sdp| [b"relayed ", &sdp[..]].concat());
            Box::pin(async { Ok(MediaReply { sdp }) })
        }
    }

    struct Phone(UdpSocket);

    impl Phone {
        fn new(address: &str) -> Self {
            Self(udp::bind(address.parse().unwrap()).unwrap())
        }

        fn address(&self) -> SocketAddr {
            self.0.local_addr().unwrap()
        }

        async fn recv(&self, start: &str) -> (String, SocketAddr) {
            let mut buffer = vec![0; 4096];
            loop {
                let received = self.0.recv_from(&mut buffer);
                let (n, from) = tokio::time::timeout(Duration::from_secs(5), received)
                    .await
                    .expect(start)
                    .unwrap();
                let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                if text.starts_with(start) {
                    return (text, from);
                }
            }
        }
    }

    fn rows(text: &str, names: &[&str]) -> String {
        let named = |line: &&str| names.iter().any(|n| line.starts_with(n));
        text.lines()
            .filter(named)
            .map(|l| format!("{l}\r\n"))
            .collect()
    }

    fn reply(request: &str, status: &str, contact: SocketAddr, body: &str) -> String {
        let copied = rows(request, &["Via", "Record-Route", "From", "Call-ID", "CSeq"]);
        let tag = if request.contains("To: <sip:b@x>;tag") {
            ""
        } else {
            ";tag=b"
        };
        let to = rows(request, &["To"]).trim_end().to_owned();
        format!(
            "SIP/2.0 {status}\r\n{copied}{to}{tag}\r\nContact: <sip:b@{contact}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    async fn place_call(callee_address: &str) {
        let (caller, callee) = (Phone::new("127.0.0.1:0"), Phone::new(callee_address));
        let nowhere = "127.0.0.1:9".parse().unwrap();
        let config = Config::new("127.0.0.1:0".parse().unwrap(), callee.address(), nowhere);
        let relay = Arc::new(Marker::default());
        let edge = Edge::start_with_relay(config, relay.clone()).await.unwrap();
        let to_edge = edge.local_addr();
        let us = caller.address();
        let request = |method: &str, n: u32, tag: &str, extra: &str, body: &str| {
            format!(
                "{method} sip:b@{to_edge} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{method}\r\n\
                 From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>{tag}\r\nCall-ID: {us}\r\nCSeq: {n} {method}\r\n\
                 Contact: <sip:a@{us}>\r\n{extra}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let invite = request("INVITE", 1, "", "", "alice");
        caller.0.send_to(invite.as_bytes(), to_edge).await.unwrap();
        caller.recv("SIP/2.0 100").await;
        let (invite, from) = callee.recv("INVITE").await;
        assert!(invite.ends_with("relayed alice"));
        let ok = reply(&invite, "200 OK", callee.address(), "bob");
        callee.0.send_to(ok.as_bytes(), from).await.unwrap();
        let (ok, _) = caller.recv("SIP/2.0 200").await;
        assert!(ok.ends_with("relayed bob"));
        // The caller's route set is the Record-Route reversed.
        let mut routes: Vec<_> = ok
            .lines()
            .filter_map(|l| l.strip_prefix("Record-Route: "))
            .collect();
        routes.reverse();
        let route = format!("Route: {}\r\n", routes.join(", "));
        for (method, n) in [("ACK", 1), ("BYE", 2)] {
            let text = request(method, n, ";tag=b", &route, "").replace(
                &format!("sip:b@{to_edge}"),
                &format!("sip:b@{}", callee.address()),
            );
            caller.0.send_to(text.as_bytes(), to_edge).await.unwrap();
            let (received, from) = callee.recv(method).await;
            assert!(!received.contains("\r\nRoute:"), "{received}");
            if method == "BYE" {
                let ok = reply(&received, "200 OK", callee.address(), "");
                callee.0.send_to(ok.as_bytes(), from).await.unwrap();
                caller.recv("SIP/2.0 200").await;
            }
        }
        let stats = edge.stats();
        assert_eq!((stats.requests, stats.responses), (3, 2));
        edge.stop().await;
        let seen = relay.0.lock().unwrap().clone();
        assert_eq!(
            seen,
            [
                MediaCommand::Offer,
                MediaCommand::Answer,
                MediaCommand::Delete
            ]
        );
    }

    #[tokio::test]
    async fn call_over_loopback() {
        place_call("127.0.0.1:0").await;
    }

    #[tokio::test]
    async fn call_from_ipv4_to_ipv6() {
        place_call("[::1]:0").await;
    }

    #[tokio::test]
    async fn taken_address_is_named() {
        let phone = Phone::new("127.0.0.1:0");
        let config = Config::new(phone.address(), phone.address(), phone.address());
        let error = Edge::start_with_relay(config, Arc::new(Marker::default()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&phone.address().to_string()));
    }
}
