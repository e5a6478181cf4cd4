//! Asking a relay: for tools and tests, blocking; for the edge, many requests in flight.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{Dict, Value, bencode};

/// Why a relay gave no useful answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket failed.
    #[error("cannot reach the relay: {0}")]
    Io(#[from] io::Error),
    /// The relay answered something that is no bencode dictionary.
    #[error("the relay's reply cannot be read")]
    Malformed,
    /// No reply to any of the tries.
    #[error("no reply from the relay after {tries} tries")]
    NoReply {
        /// How often the request was sent.
        tries: u32,
    },
    /// The relay refused.
    #[error("refused: {0}")]
    Refused(String),
}

/// How a request is repeated: the reference of proxies is five times, a second apart.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Sends in all.
    pub tries: u32,
    /// Wait after each.
    pub wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: 5,
            wait: Duration::from_secs(1),
        }
    }
}

/// Cookies that differ between clients and between requests.
#[derive(Debug)]
struct Cookies {
    prefix: String,
    next: AtomicU64,
}

impl Cookies {
    fn new() -> Self {
        use std::hash::{BuildHasher, Hasher};
        // A random state is seeded by the system.
        let random = std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish();
        Self {
            prefix: format!("{}_{random:016x}", std::process::id()),
            next: AtomicU64::new(0),
        }
    }

    fn next(&self) -> Vec<u8> {
        format!("{}_{}", self.prefix, self.next.fetch_add(1, Relaxed)).into_bytes()
    }
}

fn message(cookie: &[u8], request: &Dict) -> Vec<u8> {
    let mut out = cookie.to_vec();
    out.push(b' ');
    bencode::encode_dict(request, &mut out);
    out
}

/// The dictionary of a reply with this cookie; `None` if it is another's.
fn reply_to(cookie: &[u8], datagram: &[u8]) -> Option<Result<Dict, ClientError>> {
    let payload = datagram.strip_prefix(cookie)?.strip_prefix(b" ")?;
    Some(read_reply(payload))
}

fn read_reply(payload: &[u8]) -> Result<Dict, ClientError> {
    let Ok((Value::Dict(dict), _)) = bencode::decode(payload) else {
        return Err(ClientError::Malformed);
    };
    let word = |key| dict.get_str(key).unwrap_or("no reason given").to_owned();
    match dict.get_str("result") {
        Some("error") => Err(ClientError::Refused(word("error-reason"))),
        Some("load limit") => Err(ClientError::Refused(word("message"))),
        _ => Ok(dict),
    }
}

/// A blocking client over UDP.
#[derive(Debug)]
pub struct Client {
    socket: UdpSocket,
    cookies: Cookies,
    retry: Retry,
}

impl Client {
    /// A client of the relay at `relay`.
    ///
    /// # Errors
    /// No socket could be opened.
    pub fn connect(relay: SocketAddr) -> io::Result<Self> {
        let local = match relay {
            SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
        };
        let socket = UdpSocket::bind(local)?;
        socket.connect(relay)?;
        Ok(Self {
            socket,
            cookies: Cookies::new(),
            retry: Retry::default(),
        })
    }

    /// Repeats requests in another way.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// [`ClientError`]; a refusal is one.
    pub fn request(&self, request: &Dict) -> Result<Dict, ClientError> {
        let cookie = self.cookies.next();
        let message = message(&cookie, request);
        let mut buffer = vec![0u8; 65_536];
        self.socket.set_read_timeout(Some(self.retry.wait))?;
        for _ in 0..self.retry.tries {
            self.socket.send(&message)?;
            loop {
                match self.socket.recv(&mut buffer) {
                    Ok(length) => {
                        let datagram = buffer.get(..length).unwrap_or_default();
                        if let Some(reply) = reply_to(&cookie, datagram) {
                            return reply;
                        }
                    }
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                        ) =>
                    {
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Err(ClientError::NoReply {
            tries: self.retry.tries,
        })
    }
}

type Waiting = Mutex<HashMap<Vec<u8>, oneshot::Sender<Result<Dict, ClientError>>>>;

/// A client for many requests at a time, on a tokio runtime. Clones share one socket.
#[derive(Clone, Debug)]
pub struct AsyncClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: Arc<tokio::net::UdpSocket>,
    cookies: Cookies,
    retry: Retry,
    waiting: Arc<Waiting>,
    reader: tokio::task::AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl AsyncClient {
    /// A client of the relay at `relay`.
    ///
    /// # Errors
    /// No socket could be opened.
    pub async fn connect(relay: SocketAddr) -> io::Result<Self> {
        Self::connect_with(relay, Retry::default()).await
    }

    /// A client that repeats requests in another way.
    ///
    /// # Errors
    /// No socket could be opened.
    pub async fn connect_with(relay: SocketAddr, retry: Retry) -> io::Result<Self> {
        let local = match relay {
            SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
        };
        let socket = Arc::new(tokio::net::UdpSocket::bind(local).await?);
        socket.connect(relay).await?;
        let waiting: Arc<Waiting> = Arc::default();
        let reader = tokio::spawn(read_replies(socket.clone(), waiting.clone())).abort_handle();
        let cookies = Cookies::new();
        let shared = Shared {
            socket,
            cookies,
            retry,
            waiting,
            reader,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// [`ClientError`]; a refusal is one.
    pub async fn request(&self, request: &Dict) -> Result<Dict, ClientError> {
        let shared = &self.shared;
        let cookie = shared.cookies.next();
        let message = message(&cookie, request);
        let (sender, mut receiver) = oneshot::channel();
        let waiting = || {
            shared
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        waiting().insert(cookie.clone(), sender);
        for _ in 0..shared.retry.tries {
            if let Err(error) = shared.socket.send(&message).await
                && error.kind() != io::ErrorKind::ConnectionRefused
            {
                waiting().remove(&cookie);
                return Err(error.into());
            }
            if let Ok(reply) = tokio::time::timeout(shared.retry.wait, &mut receiver).await {
                return reply.unwrap_or(Err(ClientError::Malformed));
            }
        }
        waiting().remove(&cookie);
        Err(ClientError::NoReply {
            tries: shared.retry.tries,
        })
    }
}

async fn read_replies(socket: Arc<tokio::net::UdpSocket>, waiting: Arc<Waiting>) {
    let mut buffer = vec![0u8; 65_536];
    loop {
        // A refused port shows as an error of the next call; the sender's tries see to it.
        let Ok(length) = socket.recv(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        let Some(space) = datagram.iter().position(|&byte| byte == b' ') else {
            continue;
        };
        let (cookie, payload) = datagram.split_at(space);
        let sender = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(cookie);
        if let Some(sender) = sender {
            let _ = sender.send(read_reply(payload.get(1..).unwrap_or_default()));
        }
    }
}
