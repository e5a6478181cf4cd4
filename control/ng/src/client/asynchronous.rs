//! The client for async code: many requests in flight over one socket.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::UdpSocket, sync::oneshot, task::AbortHandle, time::timeout};

use super::{ClientError, ClientOptions, Cookies, any_like, frame, read_reply};
use crate::{
    limits::{CLIENT_REQUESTS, UDP_REQUEST_BYTES},
    serve::split_cookie,
    value::Dict,
};

/// A handle to a client of one relay; clones share its socket. The last one dropped closes it.
#[derive(Clone, Debug)]
pub struct AsyncClient {
    shared: Arc<SharedClient>,
}

#[derive(Debug)]
struct SharedClient {
    link: Arc<Link>,
    cookies: Cookies,
    options: ClientOptions,
    reader: AbortHandle,
}

#[derive(Debug)]
struct Link {
    socket: UdpSocket,
    waiting: Mutex<Waiting>,
}

type Waiting = HashMap<Vec<u8>, oneshot::Sender<Vec<u8>>>;

impl AsyncClient {
    /// A client of the relay at `relay`. Must be called within a tokio runtime, which its reader
    /// task then runs on.
    ///
    /// # Errors
    /// If no socket can be had, or no random number.
    pub async fn connect(relay: SocketAddr, options: ClientOptions) -> io::Result<Self> {
        let socket = UdpSocket::bind(any_like(relay)).await?;
        socket.connect(relay).await?;
        let link = Arc::new(Link {
            socket,
            waiting: Mutex::default(),
        });
        let cookies = Cookies::new()?;
        let reader = tokio::spawn(read_replies(Arc::clone(&link))).abort_handle();
        Ok(Self {
            shared: Arc::new(SharedClient {
                link,
                cookies,
                options,
                reader,
            }),
        })
    }

    /// Our address as the relay sees it.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.link.socket.local_addr()
    }

    /// Sends one request and waits for its reply. Dropping the future gives the request up.
    ///
    /// # Errors
    /// If there is no reply in time, or it is no success; see [`ClientError`].
    pub async fn request(&self, request: &Dict) -> Result<Dict, ClientError> {
        let SharedClient {
            link,
            cookies,
            options,
            ..
        } = &*self.shared;
        let cookie = cookies.next();
        let message = frame(&cookie, request);
        let (entry, mut reply) = link.wait_for(cookie.into_bytes())?;
        for _ in 0..options.tries {
            link.send(&message).await?;
            if let Ok(Ok(payload)) = timeout(options.interval, &mut reply).await {
                drop(entry);
                return read_reply(&payload);
            }
        }
        Err(ClientError::Timeout {
            tries: options.tries,
        })
    }
}

impl Drop for SharedClient {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Link {
    /// A refusal reported here belongs to an earlier datagram, maybe of another request.
    async fn send(&self, message: &[u8]) -> io::Result<()> {
        match self.socket.send(message).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(message).await.map(drop)
            }
            sent => sent.map(drop),
        }
    }

    fn wait_for(
        &self,
        cookie: Vec<u8>,
    ) -> Result<(Entry<'_>, oneshot::Receiver<Vec<u8>>), ClientError> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= CLIENT_REQUESTS {
            return Err(ClientError::Busy {
                limit: CLIENT_REQUESTS,
            });
        }
        waiting.insert(cookie.clone(), sender);
        Ok((Entry { link: self, cookie }, receiver))
    }

    fn take(&self, cookie: &[u8]) -> Option<oneshot::Sender<Vec<u8>>> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(cookie)
    }
}

/// The place of one request among those waiting, given back on drop.
struct Entry<'a> {
    link: &'a Link,
    cookie: Vec<u8>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.link.take(&self.cookie);
    }
}

/// Hands each reply to its request; replies without a waiting request are ignored.
async fn read_replies(link: Arc<Link>) {
    let mut buf = vec![0; UDP_REQUEST_BYTES];
    loop {
        match link.socket.recv(&mut buf).await {
            Ok(len) => {
                let message = buf.get(..len).unwrap_or_default();
                if let Some((cookie, payload)) = split_cookie(message)
                    && let Some(sender) = link.take(cookie)
                {
                    // The request may have been given up meanwhile.
                    let _ = sender.send(payload.to_vec());
                }
            }
            // The relay is away for a moment (port unreachable); requests time out by themselves.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::{command, relay};

    #[test]
    fn many_requests_share_a_socket() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let relay = relay();
        runtime.block_on(async {
            let client = AsyncClient::connect(relay.local_addr(), ClientOptions::default())
                .await
                .unwrap();
            let tasks: Vec<_> = (0..50_i64)
                .map(|i| {
                    let client = client.clone();
                    tokio::spawn(async move {
                        let id = i.to_string();
                        let request = command("answer").with("call-id", id.clone());
                        let reply = client.request(&request).await.unwrap();
                        assert_eq!(reply.get_str("call-id"), Some(&*id));
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert!(client.shared.link.waiting.lock().unwrap().is_empty());
            assert!(matches!(
                client.request(&command("delete")).await,
                Err(ClientError::Refused { reason }) if reason == "no"
            ));
        });
    }

    #[test]
    fn silence_is_a_timeout_and_leaves_nothing_behind() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        runtime.block_on(async {
            let options = ClientOptions {
                tries: 2,
                interval: Duration::from_millis(20),
            };
            let client = AsyncClient::connect(silent.local_addr().unwrap(), options)
                .await
                .unwrap();
            let result = client.request(&command("ping")).await;
            assert!(matches!(result, Err(ClientError::Timeout { tries: 2 })));
            assert!(client.shared.link.waiting.lock().unwrap().is_empty());
        });
        let mut buf = [0; 100];
        let first = silent.recv(&mut buf).unwrap();
        let first = buf[..first].to_vec();
        let second = silent.recv(&mut buf).unwrap();
        assert_eq!(first, &buf[..second]);
    }
}
