//! All listeners together: opened at once, reloaded, asked for their connections, and stopped.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use nix::sys::resource::{Resource, getrlimit};
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::config::{Config, ListenerConfig, StreamLimits};
use super::connection::{ConnectionInfo, Hold, Table};
use super::datagrams::Datagrams;
use super::sender::Sender;
use super::shard::Shards;
use super::shared::{Listener, Shared, StreamListener};
use super::stats::{CloseReason, TransportStats};
use super::tls::{Tls, TlsError};
use super::{Flow, Protocol, stream};

/// The open listeners and their connections. Dropping it closes all of them.
#[derive(Debug)]
pub(crate) struct Transports {
    shared: Arc<Shared>,
    locals: Vec<(Protocol, SocketAddr)>,
    tasks: Vec<JoinHandle<()>>,
}

/// The listeners that cannot be opened, or reloaded, all of them.
#[derive(Debug)]
pub(crate) struct OpenError {
    pub(crate) failures: Vec<Failure>,
}

/// Why one listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{protocol} {address}: {reason}")]
pub(crate) struct Failure {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    pub(crate) reason: FailureReason,
}

/// What is wrong with a listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FailureReason {
    #[error("{0}")]
    Bind(#[from] io::Error),
    #[error("{0}")]
    Certificates(#[from] TlsError),
    #[error("it is not among those that were opened")]
    Unknown,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot listen on ")?;
        for (index, failure) in self.failures.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{failure}")?;
        }
        Ok(())
    }
}

impl std::error::Error for OpenError {}

/// A socket that is bound, and not read from yet.
enum Bound {
    Datagrams(Datagrams),
    Stream(TcpListener, Option<Tls>),
}

impl Transports {
    /// Binds all listeners and starts to read. Call it inside a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// Names every listener whose address cannot be bound or whose certificates cannot be used; then
    /// none is open.
    pub(crate) fn open(config: &Config, shards: Shards) -> Result<Self, OpenError> {
        let mut failures = Vec::new();
        let mut bound = Vec::new();
        let mut locals = Vec::new();
        for (index, listener) in (0..=u16::MAX).zip(&config.listeners) {
            match bind(index, listener) {
                Ok((socket, local)) => {
                    bound.push(socket);
                    locals.push((listener.kind.protocol(), local));
                }
                Err(reason) => failures.push(failure(listener, reason)),
            }
        }
        if !failures.is_empty() {
            return Err(OpenError { failures });
        }
        let mut accepting = Vec::new();
        let mut listeners = Vec::new();
        for ((socket, listener), (protocol, local)) in
            bound.into_iter().zip(&config.listeners).zip(&locals)
        {
            listeners.push(match socket {
                Bound::Datagrams(datagrams) => Listener::Datagrams(Arc::new(datagrams)),
                Bound::Stream(socket, tls) => {
                    let index = u16::try_from(listeners.len()).unwrap_or(u16::MAX);
                    accepting.push((index, socket));
                    Listener::Stream(StreamListener {
                        protocol: *protocol,
                        local: *local,
                        tls: tls.map(RwLock::new),
                        ws: listener.kind.ws().cloned(),
                    })
                }
            });
        }
        let shared = Arc::new(Shared {
            limits: StreamLimits {
                total: config.streams.total.min(half_of_the_descriptors()),
                ..config.streams
            },
            messages: config.messages,
            listeners,
            shards: shards.clone(),
            stats: Arc::default(),
            table: RwLock::new(Table::default()),
            addresses: Default::default(),
            connecting: AtomicUsize::new(0),
            // A token of before a restart names no connection of after it: the first half is random.
            next_number: AtomicU64::new((u64::from(rand::random::<u32>()) << 32) | 1),
            stopped: AtomicBool::new(false),
            runtime: Handle::current(),
        });
        let mut tasks = Vec::new();
        for listener in &shared.listeners {
            if let Listener::Datagrams(datagrams) = listener {
                let reading = datagrams
                    .clone()
                    .receive(shards.clone(), shared.stats.clone());
                tasks.push(tokio::spawn(reading));
            }
        }
        for (index, socket) in accepting {
            let accepting = stream::accept(shared.clone(), index, socket);
            tasks.push(tokio::spawn(accepting));
        }
        Ok(Self {
            shared,
            locals,
            tasks,
        })
    }

    /// Reads the certificates again. Connections stay as they are; handshakes after this use the
    /// new ones. Addresses and protocols must be those that were opened.
    ///
    /// # Errors
    ///
    /// Names every listener that cannot be reloaded; then none is.
    pub(crate) fn reload(&self, listeners: &[ListenerConfig]) -> Result<(), OpenError> {
        let mut failures = Vec::new();
        let mut loaded = Vec::new();
        for (index, listener) in (0..=u16::MAX).zip(listeners) {
            let Some(config) = listener.kind.tls() else {
                continue;
            };
            let open = self.shared.stream_listener(index);
            let Some(place) = open.and_then(|open| open.tls.as_ref()) else {
                failures.push(failure(listener, FailureReason::Unknown));
                continue;
            };
            match Tls::load(config) {
                Ok(tls) => loaded.push((place, tls)),
                Err(error) => failures.push(failure(listener, error.into())),
            }
        }
        if !failures.is_empty() {
            return Err(OpenError { failures });
        }
        for (place, tls) in loaded {
            *place.write() = tls;
        }
        Ok(())
    }

    /// The protocol and address of each listener, with the port that the system chose.
    pub(crate) fn locals(&self) -> &[(Protocol, SocketAddr)] {
        &self.locals
    }

    /// The way out for one shard.
    pub(crate) fn sender(&self, shard: u16) -> Sender {
        Sender::new(self.shared.clone(), shard)
    }

    /// The counters, written on.
    pub(crate) fn stats(&self) -> Arc<TransportStats> {
        self.shared.stats.clone()
    }
}

impl Sender {
    /// What is known of the connection with this number, e.g. of a flow token; `None` when it is
    /// closed.
    #[cfg_attr(not(test), expect(dead_code, reason = "screening asks for it"))]
    pub(crate) fn connection(&self, listener: u16, number: u64) -> Option<ConnectionInfo> {
        let table = self.shared.table.read();
        table.get(listener, number).map(|c| ConnectionInfo::of(c))
    }

    /// The flow over which messages for `server_name` at a peer leave already.
    #[cfg_attr(not(test), expect(dead_code, reason = "screening asks for it"))]
    pub(crate) fn open_flow(
        &self,
        listener: u16,
        peer: SocketAddr,
        server_name: Option<&str>,
    ) -> Option<Flow> {
        let verifies = self.shared.stream_listener(listener)?.verifies();
        let table = self.shared.table.read();
        let found = table.toward(listener, peer, server_name, verifies);
        found.map(|c| c.flow)
    }

    /// Keeps a connection from being closed for being idle, until the result is dropped.
    pub(crate) fn hold(&self, flow: Flow) -> Option<Hold> {
        let table = self.shared.table.read();
        let found = table.get(flow.listener, flow.connection);
        found.cloned().map(Hold::new)
    }

    /// Closes a connection. What is queued on it leaves first, if the peer reads it soon; the rest is
    /// told as unsendable.
    pub(crate) fn close(&self, flow: Flow) {
        let table = self.shared.table.read();
        if let Some(connection) = table.get(flow.listener, flow.connection) {
            connection.close(CloseReason::Asked);
        }
    }
}

impl Drop for Transports {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.stopped.store(true, Ordering::SeqCst);
        for connection in self.shared.table.read().all() {
            connection.close(CloseReason::Asked);
        }
    }
}

fn bind(index: u16, config: &ListenerConfig) -> Result<(Bound, SocketAddr), FailureReason> {
    if config.kind.protocol() == Protocol::Udp {
        let socket = Datagrams::bind(index, config.bind)?;
        let local = socket.local_addr()?;
        return Ok((Bound::Datagrams(socket), local));
    }
    let tls = config.kind.tls().map(Tls::load).transpose()?;
    let socket = stream::listen(config.bind)?;
    let local = socket.local_addr()?;
    Ok((Bound::Stream(socket, tls), local))
}

/// Connections take no more: the other half is for media, control and files.
fn half_of_the_descriptors() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(limit / 2).unwrap_or(usize::MAX)
}

fn failure(config: &ListenerConfig, reason: FailureReason) -> Failure {
    Failure {
        protocol: config.kind.protocol(),
        address: config.bind,
        reason,
    }
}
