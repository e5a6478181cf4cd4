//! What the tasks of sockets and the shards' senders share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;

use super::Protocol;
use super::config::{StreamLimits, WsConfig};
use super::connection::{Addresses, Connection, Table};
use super::datagrams::Datagrams;
use super::shard::Shards;
use super::stats::{CloseReason, TransportStats};
use super::tls::Tls;
use crate::message::limits::Limits;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: StreamLimits,
    pub(super) messages: Limits,
    pub(super) listeners: Vec<Listener>,
    pub(super) shards: Shards,
    pub(super) stats: Arc<TransportStats>,
    pub(super) table: RwLock<Table>,
    pub(super) addresses: Mutex<Addresses>,
    /// Connections that we open and that are not there yet.
    pub(super) connecting: AtomicUsize,
    pub(super) next_number: AtomicU64,
    /// The transports are gone: what comes to be afterwards ends at once.
    pub(super) stopped: AtomicBool,
    pub(super) runtime: Handle,
}

#[derive(Debug)]
pub(super) enum Listener {
    Datagrams(Arc<Datagrams>),
    Stream(StreamListener),
}

#[derive(Debug)]
pub(super) struct StreamListener {
    pub(super) protocol: Protocol,
    pub(super) local: SocketAddr,
    pub(super) tls: Option<RwLock<Tls>>,
    pub(super) ws: Option<WsConfig>,
}

impl StreamListener {
    /// TLS as it is now: a reload changes it for the handshakes after it.
    pub(super) fn tls(&self) -> Option<Tls> {
        self.tls.as_ref().map(|tls| tls.read().clone())
    }

    /// Servers that we connect to prove their name.
    pub(super) fn verifies(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.read().verifies)
    }
}

impl Shared {
    pub(super) fn stream_listener(&self, index: u16) -> Option<&StreamListener> {
        match self.listeners.get(usize::from(index))? {
            Listener::Stream(listener) => Some(listener),
            Listener::Datagrams(_) => None,
        }
    }

    /// Makes a connection known. Whoever stops the transports sees it in the table, or it sees that
    /// they stopped.
    pub(super) fn insert(&self, connection: Arc<Connection>) {
        self.table.write().insert(connection.clone());
        if self.stopped.load(Ordering::SeqCst) {
            connection.close(CloseReason::Asked);
        }
    }

    /// A number for a connection.
    pub(super) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }
}
