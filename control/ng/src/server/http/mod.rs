//! The HTTP and WebSocket listener, in the clear or with TLS (RFC 9112, RFC 6455).
//!
//! `POST /ng` takes `COOKIE SP PAYLOAD`, `POST /ng-plain` a bare payload; WebSockets do the same
//! under the subprotocols `ng.rtpengine.com` and `ng-plain.rtpengine.com`. What else the daemon
//! has to show comes through [`Resources`].
//!
//! One thread drives all connections; requests are executed on threads of their own, because the
//! handler may block. Every wait has an end: see [`HttpOptions`].

mod accept;
mod client;
mod refusal;
mod resource;
mod secret;
mod slots;
mod timed;
mod tls;
mod websocket;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{runtime, sync::watch};

use super::listen;
use crate::{
    access::Access,
    limits::{HTTP_BODY_BYTES, HTTP_CONNECTIONS, HTTP_CONNECTIONS_PER_SOURCE, HTTP_WAITING_BYTES},
    serve::Shared,
};

pub use resource::{Page, Resources};
pub use secret::Secret;
pub use tls::{Tls, TlsError};

use slots::Slots;

/// Bounds and guards of a listener.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Open connections; more are closed at once.
    pub connections: usize,
    /// Open connections of one source address.
    pub connections_per_source: usize,
    /// Bytes of one body or WebSocket message; 413 beyond it.
    pub body_bytes: usize,
    /// Bytes of unfinished bodies and messages of all connections, beyond what each may have in any
    /// case ([`crate::limits::HTTP_FREE_BYTES`]); half of it for one source. A connection that
    /// brings more is closed.
    pub waiting_bytes: usize,
    /// Longest TLS handshake, and longest time from a connection or the last response to the end of
    /// the next request's headers.
    pub header_timeout: Duration,
    /// Longest time from the headers to the end of the body; 408 beyond it.
    pub body_timeout: Duration,
    /// Longest silence of a connection. WebSockets are pinged twice as often.
    pub idle_timeout: Duration,
    /// A peer that takes none of its response for this long is disconnected.
    pub write_timeout: Duration,
    /// Asked instead of the policy of [`Shared`]: an open one is in order where a secret or
    /// client certificates guard the listener.
    pub access: Option<Arc<Access>>,
    /// Secret that every request must carry as `Authorization: Bearer`; 401 without it.
    pub secret: Option<Secret>,
    /// Web pages that may talk to us, as in their `Origin` header; empty: all. 403 for others.
    pub origins: Vec<String>,
    /// Speaks TLS.
    pub tls: Option<Tls>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connections: HTTP_CONNECTIONS,
            connections_per_source: HTTP_CONNECTIONS_PER_SOURCE,
            body_bytes: HTTP_BODY_BYTES,
            waiting_bytes: HTTP_WAITING_BYTES,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(5),
            access: None,
            secret: None,
            origins: Vec::new(),
            tls: None,
        }
    }
}

/// A running listener. Dropped, it stops.
#[derive(Debug)]
pub struct HttpServer {
    local: SocketAddr,
    stop: watch::Sender<bool>,
    service: Arc<Service>,
    driver: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Binds `addr` and serves it. `resources` may be `Arc::new(())`.
    ///
    /// # Errors
    /// If the socket cannot be bound or the thread not be started.
    pub fn start(
        addr: SocketAddr,
        options: HttpOptions,
        shared: Arc<Shared>,
        resources: Arc<dyn Resources>,
    ) -> io::Result<Self> {
        let socket = listen(addr)?;
        socket.set_nonblocking(true)?;
        let listener = std::net::TcpListener::from(socket);
        let local = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let service = Arc::new(Service::new(options, shared, resources, stopped));
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // One for each request that can be in progress, so that none waits for another.
            .max_blocking_threads(service.options.connections.max(1))
            .thread_name("ng-http-work")
            .build()?;
        let accept = Arc::clone(&service);
        let driver = thread::Builder::new()
            .name("ng-http".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(accept::run(listener, accept)) {
                    tracing::error!(%error, "the HTTP listener does not work");
                }
            })?;
        Ok(Self {
            local,
            stop,
            service,
            driver: Some(driver),
        })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Uses another certificate, for connections from now on. Without effect on a listener that
    /// was started in the clear.
    pub fn set_tls(&self, tls: Tls) {
        let mut current = self
            .service
            .tls
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if current.is_some() {
            *current = Some(tls);
        }
    }

    /// Stops, and waits for requests in progress; their connections have a second to take the
    /// responses.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        let _ = self.stop.send(true);
        if let Some(driver) = self.driver.take() {
            // A panic was logged by the thread itself.
            let _ = driver.join();
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// State shared by all connections of one listener.
#[derive(Debug)]
struct Service {
    shared: Arc<Shared>,
    access: Arc<Access>,
    resources: Arc<dyn Resources>,
    tls: RwLock<Option<Tls>>,
    slots: Arc<Slots>,
    stopped: watch::Receiver<bool>,
    options: HttpOptions,
}

impl Service {
    fn new(
        options: HttpOptions,
        shared: Arc<Shared>,
        resources: Arc<dyn Resources>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let access = options.access.as_ref().unwrap_or_else(|| shared.access());
        Self {
            access: Arc::clone(access),
            resources,
            tls: RwLock::new(options.tls.clone()),
            slots: Slots::new(
                options.connections,
                options.connections_per_source,
                options.waiting_bytes,
            ),
            stopped,
            options,
            shared,
        }
    }

    fn tls(&self) -> Option<Tls> {
        self.tls
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends when the listener stops.
    async fn stopped(&self) {
        // An error means that the listener is gone.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }
}
