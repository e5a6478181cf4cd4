//! Clients, with the semantics of the proxy modules: one cookie per request, sent again until a
//! reply with that cookie arrives, so the relay executes it once.

mod asynchronous;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use asynchronous::AsyncClient;

use crate::{
    bencode::{self, BencodeError},
    errors,
    limits::{REPLY_ELEMENTS, UDP_REQUEST_BYTES},
    serve::split_cookie,
    value::Dict,
};

/// Number and interval of a client's tries.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// Sends per request, the first included.
    pub tries: u32,
    /// Wait for a reply after each.
    pub interval: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            tries: 5,
            interval: Duration::from_secs(1),
        }
    }
}

/// Reasons why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The client has as many requests in flight as it may.
    #[error("{limit} requests are in flight already")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// The reply is no bencode dictionary.
    #[error("cannot decode the reply: {0}")]
    Decode(#[from] BencodeError),
    /// The socket failed; a relay that is not there shows as refused connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The reply has no `result`.
    #[error("the reply has no result")]
    NoResult,
    /// The relay answered `error` or `load limit`, for this reason.
    #[error("refused: {reason}")]
    Refused {
        /// Its `error-reason` or `message`.
        reason: String,
    },
    /// No reply to any send.
    #[error("no reply to {tries} sends")]
    Timeout {
        /// Number of tries.
        tries: u32,
    },
}

impl ClientError {
    /// Whether another relay should be asked, as both proxy modules would.
    pub fn is_failover(&self) -> bool {
        match self {
            Self::Io(_) | Self::Timeout { .. } => true,
            Self::Refused { reason } => [
                errors::SESSION_LIMIT,
                errors::OUT_OF_PORTS,
                errors::CPU_LIMIT,
                errors::LOAD_LIMIT,
                errors::BANDWIDTH_LIMIT,
            ]
            .iter()
            .any(|known| reason.eq_ignore_ascii_case(known)),
            Self::Busy { .. } | Self::Decode(_) | Self::NoResult => false,
        }
    }
}

/// A blocking client of one relay, one request at a time.
#[derive(Debug)]
pub struct Client {
    socket: UdpSocket,
    cookies: Cookies,
    options: ClientOptions,
    /// Held for a whole request.
    buf: Mutex<Box<[u8]>>,
}

impl Client {
    /// A client of the relay at `relay`.
    ///
    /// # Errors
    /// If no socket can be had, or no random number.
    pub fn connect(relay: SocketAddr, options: ClientOptions) -> io::Result<Self> {
        let socket = UdpSocket::bind(any_like(relay))?;
        socket.connect(relay)?;
        let buf = Mutex::new(vec![0; UDP_REQUEST_BYTES].into());
        Ok(Self {
            socket,
            cookies: Cookies::new()?,
            options,
            buf,
        })
    }

    /// Our address as the relay sees it.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends one request and waits for its reply.
    ///
    /// # Errors
    /// If there is none in time, or it is no success; see [`ClientError`].
    pub fn request(&self, request: &Dict) -> Result<Dict, ClientError> {
        let cookie = self.cookies.next();
        let message = frame(&cookie, request);
        let mut buf = self.buf.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..self.options.tries {
            self.socket.send(&message)?;
            let sent = now();
            loop {
                let left = self
                    .options
                    .interval
                    .saturating_sub(now().duration_since(sent));
                if left.is_zero() {
                    break;
                }
                self.socket.set_read_timeout(Some(left))?;
                let received = match self.socket.recv(&mut buf) {
                    Ok(len) => buf.get(..len).unwrap_or_default(),
                    Err(error) if is_timeout(&error) => continue,
                    Err(error) => return Err(error.into()),
                };
                // Replies to earlier requests are still on their way: ignored.
                if let Some((theirs, payload)) = split_cookie(received)
                    && theirs == cookie.as_bytes()
                {
                    return read_reply(payload);
                }
            }
        }
        Err(ClientError::Timeout {
            tries: self.options.tries,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a blocking client is a driver of its own"
)]
fn now() -> Instant {
    Instant::now()
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn any_like(relay: SocketAddr) -> SocketAddr {
    match relay {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    }
}

/// Unique cookies. All clients of a relay share one name space, so cookies start with 96 random
/// bits.
#[derive(Debug)]
struct Cookies {
    prefix: String,
    next: AtomicU64,
}

impl Cookies {
    fn new() -> io::Result<Self> {
        let mut random = [0; 12];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let prefix = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            prefix,
            next: AtomicU64::new(0),
        })
    }

    fn next(&self) -> String {
        format!(
            "{}_{}",
            self.prefix,
            self.next.fetch_add(1, Ordering::Relaxed)
        )
    }
}

fn frame(cookie: &str, request: &Dict) -> Vec<u8> {
    let mut message = Vec::with_capacity(cookie.len() + 1 + request.bencode_len());
    message.extend_from_slice(cookie.as_bytes());
    message.push(b' ');
    request.write_bencode(&mut message);
    message
}

/// The dictionary of a successful reply.
fn read_reply(payload: &[u8]) -> Result<Dict, ClientError> {
    let reply = bencode::decode(payload, REPLY_ELEMENTS)?.root().to_dict();
    let reason = match reply.get_str("result") {
        None => return Err(ClientError::NoResult),
        Some("error") => "error-reason",
        Some("load limit") => "message",
        Some(_) => return Ok(reply),
    };
    let reason = reply
        .get(reason)
        .and_then(|reason| reason.as_bytes())
        .unwrap_or_default();
    Err(ClientError::Refused {
        reason: String::from_utf8_lossy(reason).into_owned(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{sync::Arc, thread};

    use super::*;
    use crate::{
        reply::Reply,
        request::{Command, Request},
        serve::{Handler, Shared},
        server::UdpServer,
        source::Source,
    };

    pub(crate) struct Answers;

    impl Handler for Answers {
        fn handle(&self, request: &Request, _: &Source) -> Reply {
            match request.command {
                Command::Ping => Reply::pong(),
                Command::Offer => Reply::load_limit(request.supports_load_limit, errors::CPU_LIMIT),
                Command::Delete => Reply::error("no"),
                _ => Reply::ok(Dict::new().with_some("call-id", request.call_id.as_ref())),
            }
        }
    }

    pub(crate) fn relay() -> UdpServer {
        let shared = Arc::new(Shared::new(Arc::new(Answers)));
        UdpServer::start(([127, 0, 0, 1], 0).into(), 1, shared).unwrap()
    }

    pub(crate) fn command(name: &'static str) -> Dict {
        Dict::new().with("command", name)
    }

    #[test]
    fn results() {
        let relay = relay();
        let client = Client::connect(relay.local_addr(), ClientOptions::default()).unwrap();
        assert_eq!(
            client.request(&command("ping")).unwrap().get_str("result"),
            Some("pong")
        );
        let refused = client.request(&command("delete")).unwrap_err();
        assert!(matches!(&refused, ClientError::Refused { reason } if reason == "no"));
        assert!(!refused.is_failover());
        let limited = client
            .request(&command("offer").with("supports", "load limit"))
            .unwrap_err();
        assert!(matches!(&limited, ClientError::Refused { reason } if reason == errors::CPU_LIMIT));
        assert!(limited.is_failover());
        let answer = client
            .request(&command("answer").with("call-id", "x\0y"))
            .unwrap();
        assert_eq!(answer.get_str("call-id"), Some("x\0y"));
    }

    #[test]
    fn sends_again_with_the_same_cookie_and_ignores_others() {
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = relay.local_addr().unwrap();
        let options = ClientOptions {
            tries: 3,
            interval: Duration::from_millis(50),
        };
        let answering = thread::spawn(move || {
            let mut buf = [0; 200];
            let (len, _) = relay.recv_from(&mut buf).unwrap();
            let first = buf[..len].to_vec();
            let (len, peer) = relay.recv_from(&mut buf).unwrap();
            assert_eq!(first, &buf[..len]);
            relay.send_to(b"other d6:result4:ponge", peer).unwrap();
            let cookie = first.split(|&b| b == b' ').next().unwrap();
            relay
                .send_to(&[cookie, b" d6:result2:oke"].concat(), peer)
                .unwrap();
            // Nothing to the second request.
            (relay.recv_from(&mut buf).unwrap(), relay).1
        });
        let client = Client::connect(addr, options).unwrap();
        assert_eq!(
            client.request(&command("x")).unwrap().get_str("result"),
            Some("ok")
        );
        let timeout = client.request(&command("x")).unwrap_err();
        assert!(matches!(timeout, ClientError::Timeout { tries: 3 }));
        drop(answering.join());
    }
}
