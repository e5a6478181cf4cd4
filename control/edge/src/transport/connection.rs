//! Connections as the shards see them: found by number or by peer, written to without waiting.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::limits::QUEUED_MESSAGE_BYTES;
use super::stats::CloseReason;
use super::{Flow, Protocol, clock};
use crate::transaction::Packet;

/// One connection. Its task owns the socket; everybody else has this.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) flow: Flow,
    pub(super) protocol: Protocol,
    pub(super) origin: Origin,
    created: Instant,
    /// Milliseconds from `created` to the last byte received, and to the last byte in any direction.
    received_ms: AtomicU64,
    active_ms: AtomicU64,
    /// Registrations and dialogs that need it.
    uses: AtomicUsize,
    /// Domains of the certificate that the peer has proved to own.
    names: OnceLock<Box<[Box<str>]>>,
    queue: mpsc::UnboundedSender<Queued>,
    queued_bytes: AtomicUsize,
    queue_limit: usize,
    closing: Notify,
    close_reason: OnceLock<CloseReason>,
}

/// Who opened a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Peer,
    /// We did, to a server of this name.
    Us {
        server_name: Option<Box<str>>,
    },
}

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) bytes: Packet,
    /// A message, or bytes that leave as they are.
    pub(super) form: Form,
    pub(super) shard: u16,
    /// 0: nobody asks whether it left.
    pub(super) token: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Message,
    Raw,
}

impl Connection {
    pub(super) fn new(
        flow: Flow,
        protocol: Protocol,
        origin: Origin,
        queue_limit: usize,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Queued>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        let connection = Self {
            flow,
            protocol,
            origin,
            created: clock(),
            received_ms: AtomicU64::new(0),
            active_ms: AtomicU64::new(0),
            uses: AtomicUsize::new(0),
            names: OnceLock::new(),
            queue,
            queued_bytes: AtomicUsize::new(0),
            queue_limit,
            closing: Notify::new(),
            close_reason: OnceLock::new(),
        };
        (Arc::new(connection), receiver)
    }

    /// Queues bytes for the peer. A queue that is full means a peer that does not read: the
    /// connection is closed. One message always has room.
    ///
    /// # Errors
    ///
    /// `StorageFull` when the queue is, `NotConnected` when the connection is gone.
    pub(super) fn enqueue(&self, queued: Queued) -> Result<(), io::ErrorKind> {
        let size = queued.bytes.len() + QUEUED_MESSAGE_BYTES;
        let before = self.queued_bytes.fetch_add(size, Ordering::Relaxed);
        if before > 0 && before + size > self.queue_limit {
            self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
            self.close(CloseReason::QueueFull);
            return Err(io::ErrorKind::StorageFull);
        }
        self.queue
            .send(queued)
            .map_err(|_| io::ErrorKind::NotConnected)
    }

    /// A queued message has left, or never will.
    pub(super) fn dequeued(&self, queued: &Queued) {
        let size = queued.bytes.len() + QUEUED_MESSAGE_BYTES;
        let before = self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
        if before == size && self.close_reason.get().is_some() {
            self.closing.notify_one();
        }
    }

    /// Has the task close it.
    pub(super) fn close(&self, reason: CloseReason) {
        // The first reason counts.
        let _ = self.close_reason.set(reason);
        self.closing.notify_one();
    }

    /// Waits until somebody asks for it to be closed.
    pub(super) async fn closing(&self) -> CloseReason {
        loop {
            self.closing.notified().await;
            if let Some(reason) = self.close_reason.get() {
                return *reason;
            }
        }
    }

    /// Waits until nothing is queued any more, of a connection that is being closed.
    pub(super) async fn drained(&self) {
        while self.queued_bytes.load(Ordering::Relaxed) > 0 {
            self.closing.notified().await;
        }
    }

    pub(super) fn prove(&self, names: Vec<Box<str>>) {
        let _ = self.names.set(names.into());
    }

    pub(super) fn names(&self) -> &[Box<str>] {
        self.names.get().map_or(&[], |names| names)
    }

    pub(super) fn on_received(&self) {
        let ms = self.age_ms();
        self.received_ms.store(ms, Ordering::Relaxed);
        self.active_ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn on_sent(&self) {
        self.active_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// When the last byte came or left.
    pub(super) fn last_active(&self) -> Instant {
        self.created + Duration::from_millis(self.active_ms.load(Ordering::Relaxed))
    }

    pub(super) fn is_used(&self) -> bool {
        self.uses.load(Ordering::Relaxed) > 0
    }

    /// Messages for `server_name` may go over it. Over TLS only if the peer has proved the name: a
    /// client that connected to us from the address of a server is not that server.
    pub(super) fn serves(&self, server_name: Option<&str>, verifies: bool) -> bool {
        if !self.protocol.is_secure() || !verifies {
            return true;
        }
        if let Origin::Us { server_name: asked } = &self.origin
            && asked.as_deref() == server_name
        {
            return true;
        }
        let named = |wanted: &str| self.names().iter().any(|n| n.eq_ignore_ascii_case(wanted));
        server_name.is_some_and(named)
    }

    fn age_ms(&self) -> u64 {
        let age = clock().saturating_duration_since(self.created);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A registration or dialog that needs a connection: while it lives, the connection is not closed for
/// being idle.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Connection>);

impl Hold {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        connection.uses.fetch_add(1, Ordering::Relaxed);
        Self(connection)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.uses.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionInfo {
    pub(crate) flow: Flow,
    pub(crate) protocol: Protocol,
    /// SIP domains of the peer's certificate, verified (RFC 5922 §7.1). Empty without one.
    pub(crate) names: Box<[Box<str>]>,
    pub(crate) created: Instant,
    /// When the last bytes came, or `created`.
    pub(crate) last_received: Instant,
    /// Registrations and dialogs that hold it.
    pub(crate) uses: usize,
}

impl ConnectionInfo {
    pub(super) fn of(connection: &Connection) -> Self {
        let received = connection.received_ms.load(Ordering::Relaxed);
        Self {
            flow: connection.flow,
            protocol: connection.protocol,
            names: connection.names().into(),
            created: connection.created,
            last_received: connection.created + Duration::from_millis(received),
            uses: connection.uses.load(Ordering::Relaxed),
        }
    }
}

/// All connections, by number and by peer.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_number: HashMap<u64, Arc<Connection>, foldhash::fast::RandomState>,
    /// Numbers of the connections of a listener to a peer: more than one where certificates name
    /// several servers behind an address.
    by_peer: HashMap<(u16, SocketAddr), Vec<u64>, foldhash::quality::RandomState>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn insert(&mut self, connection: Arc<Connection>) {
        let flow = connection.flow;
        let numbers = self.by_peer.entry((flow.listener, flow.peer)).or_default();
        numbers.push(flow.connection);
        self.by_number.insert(flow.connection, connection);
    }

    pub(super) fn remove(&mut self, flow: Flow) {
        self.by_number.remove(&flow.connection);
        let key = (flow.listener, flow.peer);
        if let Some(numbers) = self.by_peer.get_mut(&key) {
            numbers.retain(|n| *n != flow.connection);
            if numbers.is_empty() {
                self.by_peer.remove(&key);
            }
        }
    }

    pub(super) fn get(&self, listener: u16, number: u64) -> Option<&Arc<Connection>> {
        let found = self.by_number.get(&number);
        found.filter(|c| c.flow.listener == listener)
    }

    /// The newest connection of a listener to a peer that messages for `server_name` may go over.
    pub(super) fn toward(
        &self,
        listener: u16,
        peer: SocketAddr,
        server_name: Option<&str>,
        verifies: bool,
    ) -> Option<&Arc<Connection>> {
        let numbers = self.by_peer.get(&(listener, peer))?;
        let connections = numbers.iter().rev().filter_map(|n| self.by_number.get(n));
        connections
            .into_iter()
            .find(|c| c.serves(server_name, verifies))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.by_number.values()
    }
}

/// Connections of each address that are open or shake hands.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<IpAddr, usize, foldhash::quality::RandomState>);

impl Addresses {
    /// Counts one more, unless the address has `limit` already.
    pub(super) fn enter(&mut self, peer: IpAddr, limit: usize) -> bool {
        let count = self.0.entry(counted(peer)).or_default();
        if *count >= limit {
            return false;
        }
        *count += 1;
        true
    }

    pub(super) fn leave(&mut self, peer: IpAddr) {
        let peer = counted(peer);
        if let Some(count) = self.0.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&peer);
            }
        }
    }
}

/// Whoever has one IPv6 address has the 2^64 of its network.
pub(super) fn counted(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(ip) => {
            let network = u128::from(ip) & (u128::MAX << 64);
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let mut addresses = Addresses::default();
        let (a, b, c) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::ffff:1".parse().unwrap(),
            "2001:db8:0:1::1".parse().unwrap(),
        );
        assert!(addresses.enter(a, 1));
        assert!(!addresses.enter(b, 1));
        assert!(addresses.enter(c, 1));
        addresses.leave(a);
        addresses.leave(c);
        assert!(addresses.enter(b, 1));
        addresses.leave(b);
        assert!(addresses.0.is_empty());
    }

    #[test]
    fn an_address_with_no_room_leaves_no_entry() {
        let mut addresses = Addresses::default();
        assert!(!addresses.enter("192.0.2.1".parse().unwrap(), 0));
        addresses.leave("192.0.2.1".parse().unwrap());
        assert!(addresses.0.is_empty());
    }

    #[test]
    fn tls_is_reused_only_for_a_name_that_the_peer_has_proved() {
        let peer = "192.0.2.1:5061".parse().unwrap();
        let connection = |origin, number| {
            let flow = Flow {
                listener: 0,
                peer,
                connection: number,
            };
            Connection::new(flow, Protocol::Tls, origin, 1000).0
        };
        let mut table = Table::default();
        let name = |text: &str| Some(Box::from(text));
        table.insert(connection(Origin::Peer, 1));
        table.insert(connection(
            Origin::Us {
                server_name: name("a.example"),
            },
            2,
        ));
        let found = |table: &Table, name: &str, verifies| {
            let found = table.toward(0, peer, Some(name), verifies);
            found.map(|c| c.flow.connection)
        };
        assert_eq!(found(&table, "a.example", true), Some(2));
        assert_eq!(found(&table, "b.example", true), None);
        assert_eq!(found(&table, "b.example", false), Some(2));
        let proved = connection(Origin::Peer, 3);
        proved.prove(vec!["B.example".into()]);
        table.insert(proved.clone());
        assert_eq!(found(&table, "b.example", true), Some(3));
        table.remove(proved.flow);
        assert_eq!(found(&table, "b.example", true), None);
        assert_eq!(table.len(), 2);
    }
}
