//! Requests to rtpengine and replies from it, passed on as they are.
//!
//! Over UDP every client has a socket of its own towards rtpengine, as behind a NAT, so that replies
//! find their way without being read. Over TCP a connection is a connection. What passes is copied
//! into a bounded queue; where that is full, the copy is dropped and counted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, tcp};
use tokio::time::timeout;
use windlass_ng::serve::split_cookie;

use super::observer::Observed;
use super::tally::Skipped;
use super::wire::{Note, Passing};
use crate::limits::{
    SHADOW_CLIENT_SILENCE, SHADOW_CLIENTS, SHADOW_DATAGRAM_BYTES, SHADOW_PENDING, SHADOW_REPLY,
};

/// Copies of what passes, on their way to be compared.
#[derive(Debug)]
pub struct Copies {
    queue: SyncSender<Note>,
    behind: AtomicU64,
    pending: Mutex<Pending>,
}

/// Requests without a reply.
#[derive(Debug, Default)]
struct Pending {
    requests: HashMap<Key, (Instant, Vec<u8>)>,
    /// Cookies in the order of their requests. One that came already is a repetition.
    order: VecDeque<(Instant, Key)>,
    known: HashSet<Key>,
}

/// A client, and the cookie of its request.
type Key = (SocketAddr, Vec<u8>);

impl Copies {
    /// Copies go into this queue.
    pub fn new(queue: SyncSender<Note>) -> Self {
        Self {
            queue,
            behind: AtomicU64::new(0),
            pending: Mutex::default(),
        }
    }

    fn request(&self, client: SocketAddr, cookie: &[u8], payload: &[u8]) {
        let now = now();
        let key = (client, cookie.to_vec());
        let mut unanswered = 0;
        let mut pending = self.pending.lock();
        while let Some((since, oldest)) = pending.order.front() {
            let is_old = now.saturating_duration_since(*since) > SHADOW_REPLY;
            if !is_old && pending.order.len() < SHADOW_PENDING {
                break;
            }
            let oldest = oldest.clone();
            pending.order.pop_front();
            pending.known.remove(&oldest);
            unanswered += u64::from(pending.requests.remove(&oldest).is_some());
        }
        if pending.known.insert(key.clone()) {
            pending.order.push_back((now, key.clone()));
            pending.requests.insert(key, (now, payload.to_vec()));
        }
        drop(pending);
        if unanswered > 0 {
            self.note(Note::Skipped(Skipped::Unanswered, unanswered));
        }
    }

    fn reply(&self, client: SocketAddr, cookie: &[u8], payload: &[u8]) {
        let mut pending = self.pending.lock();
        let request = pending.requests.remove(&(client, cookie.to_vec()));
        drop(pending);
        if let Some((since, request)) = request {
            self.note(Note::Reply(Observed {
                request,
                reply: payload.to_vec(),
                took: now().saturating_duration_since(since),
            }));
        }
    }

    fn note(&self, note: Note) {
        let behind = self.behind.swap(0, Relaxed);
        if behind > 0
            && self
                .queue
                .try_send(Note::Skipped(Skipped::Behind, behind))
                .is_err()
        {
            self.behind.fetch_add(behind, Relaxed);
        }
        match self.queue.try_send(note) {
            Ok(()) => {}
            Err(TrySendError::Full(note) | TrySendError::Disconnected(note)) => {
                let count = match note {
                    Note::Reply(_) => 1,
                    Note::Skipped(_, count) => count,
                };
                self.behind.fetch_add(count, Relaxed);
            }
        }
    }
}

/// Where requests come from, and where they go.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// What the proxy sends to.
    pub listen: SocketAddr,
    /// rtpengine's ng port.
    pub upstream: SocketAddr,
}

/// Passes datagrams on until its socket fails.
///
/// # Errors
/// The socket cannot be read.
pub async fn datagrams(socket: UdpSocket, path: Path, copies: Arc<Copies>) -> io::Result<()> {
    let socket = Arc::new(socket);
    let clients: Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>> = Arc::default();
    let mut buffer = vec![0; SHADOW_DATAGRAM_BYTES];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // What an earlier reply met at a client that is gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        let known = clients.lock().get(&client).cloned();
        let towards = match known {
            Some(towards) => towards,
            None => {
                if clients.lock().len() >= SHADOW_CLIENTS {
                    tracing::warn!(
                        "shadow: more than {SHADOW_CLIENTS} clients; {client} is not served"
                    );
                    continue;
                }
                let towards = match connect(path.upstream).await {
                    Ok(towards) => Arc::new(towards),
                    Err(error) => {
                        tracing::error!("shadow: no socket towards {}: {error}", path.upstream);
                        continue;
                    }
                };
                clients.lock().insert(client, Arc::clone(&towards));
                let back = Back {
                    client,
                    towards: Arc::clone(&towards),
                    socket: Arc::clone(&socket),
                    copies: Arc::clone(&copies),
                };
                let clients = Arc::clone(&clients);
                tokio::spawn(async move {
                    back.run().await;
                    clients.lock().remove(&client);
                });
                towards
            }
        };
        // A refusal is of an earlier datagram: rtpengine may be there again.
        if towards.send(datagram).await.is_err() {
            let _ = towards.send(datagram).await;
        }
        if let Some((cookie, payload)) = split_cookie(datagram) {
            copies.request(client, cookie, payload);
        }
    }
}

async fn connect(upstream: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match upstream {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(upstream).await?;
    Ok(socket)
}

/// Replies to one client.
struct Back {
    client: SocketAddr,
    towards: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    copies: Arc<Copies>,
}

impl Back {
    /// Until nothing has come for long.
    async fn run(self) {
        let mut buffer = vec![0; SHADOW_DATAGRAM_BYTES];
        while let Ok(received) =
            timeout(SHADOW_CLIENT_SILENCE, self.towards.recv(&mut buffer)).await
        {
            let Ok(length) = received else {
                // rtpengine is not there; it may come back.
                continue;
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            let _ = self.socket.send_to(datagram, self.client).await;
            if let Some((cookie, payload)) = split_cookie(datagram) {
                self.copies.reply(self.client, cookie, payload);
            }
        }
    }
}

/// Passes connections on until the listener fails.
///
/// # Errors
/// The listener cannot be read.
pub async fn connections(listener: TcpListener, path: Path, copies: Arc<Copies>) -> io::Result<()> {
    loop {
        let (client, from) = listener.accept().await?;
        let copies = Arc::clone(&copies);
        tokio::spawn(async move {
            let upstream = match TcpStream::connect(path.upstream).await {
                Ok(upstream) => upstream,
                Err(error) => {
                    tracing::warn!("shadow: no connection to {}: {error}", path.upstream);
                    return;
                }
            };
            let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_upstream, to_upstream) = upstream.into_split();
            let asked = Arc::clone(&copies);
            let there = tokio::spawn(pass(from_client, to_upstream, move |cookie, payload| {
                asked.request(from, cookie, payload);
            }));
            pass(from_upstream, to_client, |cookie, payload| {
                copies.reply(from, cookie, payload);
            })
            .await;
            there.abort();
        });
    }
}

/// Passes bytes on until one side closes, and shows the messages among them.
async fn pass(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut show: impl FnMut(&[u8], &[u8]),
) {
    let mut passing = Passing::default();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(length) if length > 0 => length,
            _ => break,
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        if to.write_all(bytes).await.is_err() {
            break;
        }
        for (cookie, payload) in passing.push(bytes) {
            show(&cookie, &payload);
        }
    }
    let _ = to.shutdown().await;
}

#[expect(clippy::disallowed_methods, reason = "the time of a datagram is now")]
fn now() -> Instant {
    Instant::now()
}
