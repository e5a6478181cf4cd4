//! The way out: what a shard sends leaves at once, or lies in a bounded queue.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connection::{Connection, Form, Origin, Queued};
use super::datagrams::Outgoing;
use super::limits::CONNECTING;
use super::shared::{Listener, Shared, StreamListener};
use super::stats::TransportStats;
use super::{Arrived, Destination, Flow, Protocol, stream};
use crate::transaction::Packet;

/// Sends for one shard. Datagrams gather until [`Self::flush`].
#[derive(Debug)]
pub(crate) struct Sender {
    pub(super) shared: Arc<Shared>,
    shard: u16,
    /// Of each listener.
    datagrams: Vec<Vec<Outgoing>>,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, shard: u16) -> Self {
        let datagrams = vec![Vec::new(); shared.listeners.len()];
        Self {
            shared,
            shard,
            datagrams,
        }
    }

    /// Sends a message. With a `token` that is not 0 the shard hears of a failure that shows later
    /// as [`Arrived::Unsendable`].
    ///
    /// # Errors
    ///
    /// When it is known at once that the message cannot leave: `NotFound` for a listener that there
    /// is not, `NotConnected` for a connection that is gone, `StorageFull` for a peer that does not
    /// read, `QuotaExceeded` when there are too many connections, `Unsupported` for WebSocket
    /// clients, which cannot be connected to.
    pub(crate) fn send(
        &mut self,
        to: &Destination,
        bytes: Packet,
        token: u64,
    ) -> Result<(), io::ErrorKind> {
        let shard = self.shard;
        let index = match to {
            Destination::Flow(flow) => flow.listener,
            Destination::Open { listener, .. } => *listener,
        };
        let listener = self.shared.listeners.get(usize::from(index));
        let listener = match listener.ok_or(io::ErrorKind::NotFound)? {
            Listener::Stream(listener) => listener,
            Listener::Datagrams(_) => {
                let to = match to {
                    Destination::Flow(flow) => *flow,
                    Destination::Open { listener, peer, .. } => Flow {
                        listener: *listener,
                        peer: *peer,
                        connection: 0,
                    },
                };
                if let Some(waiting) = self.datagrams.get_mut(usize::from(index)) {
                    waiting.push(Outgoing {
                        to,
                        bytes,
                        shard,
                        token,
                    });
                }
                return Ok(());
            }
        };
        let queued = Queued {
            bytes,
            form: Form::Message,
            shard,
            token,
        };
        match to {
            Destination::Flow(flow) => {
                let table = self.shared.table.read();
                let found = table.get(index, flow.connection).cloned();
                drop(table);
                found.ok_or(io::ErrorKind::NotConnected)?.enqueue(queued)
            }
            Destination::Open {
                peer, server_name, ..
            } => {
                let connection = self.toward(index, listener, *peer, server_name.as_deref())?;
                connection.enqueue(queued)
            }
        }
    }

    /// Lets the datagrams leave. Appends those that could not to `failed`.
    pub(crate) fn flush(&mut self, failed: &mut Vec<Arrived>) {
        for (listener, batch) in self.shared.listeners.iter().zip(&mut self.datagrams) {
            if let Listener::Datagrams(socket) = listener
                && !batch.is_empty()
            {
                socket.send(batch, failed, &self.shared.stats);
                batch.clear();
            }
        }
    }

    /// The connection to a peer: one that is there, or a new one that takes messages already.
    fn toward(
        &self,
        index: u16,
        listener: &StreamListener,
        peer: SocketAddr,
        server_name: Option<&str>,
    ) -> Result<Arc<Connection>, io::ErrorKind> {
        let shared = &self.shared;
        let verifies = listener.verifies();
        let known = |table: &super::connection::Table| {
            table.toward(index, peer, server_name, verifies).cloned()
        };
        if let Some(connection) = known(&shared.table.read()) {
            return Ok(connection);
        }
        if matches!(listener.protocol, Protocol::Ws | Protocol::Wss) {
            return Err(io::ErrorKind::Unsupported);
        }
        // Two shards may come here at once.
        let mut table = shared.table.write();
        // Asked under the lock that whoever stops takes afterwards.
        if shared.stopped.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotConnected);
        }
        if let Some(connection) = known(&table) {
            return Ok(connection);
        }
        let is_full = table.len() >= shared.limits.total
            || shared.connecting.load(Ordering::Relaxed) >= CONNECTING;
        if is_full {
            return Err(io::ErrorKind::QuotaExceeded);
        }
        let flow = Flow {
            listener: index,
            peer,
            connection: shared.number(),
        };
        let origin = Origin::Us {
            server_name: server_name.map(Box::from),
        };
        let limit = shared.limits.queue;
        let (connection, queue) = Connection::new(flow, listener.protocol, origin, limit);
        table.insert(connection.clone());
        drop(table);
        shared.connecting.fetch_add(1, Ordering::Relaxed);
        TransportStats::add(&shared.stats.connections);
        let (tasks, opened) = (shared.clone(), connection.clone());
        shared.runtime.spawn(async move {
            let stats = tasks.stats.clone();
            stream::open(tasks, opened, queue).await;
            stats.connections.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(connection)
    }
}
