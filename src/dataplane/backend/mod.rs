//! Input and output of datagrams. The packet logic above is the same for all backends.

pub(super) mod epoll;
pub(super) mod ladder;
mod steered;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

pub(super) use steered::{Closer, MediaQueue};

use super::sys::recv::RecvBatch;
use crate::flow::port::PortHandle;

/// Datagrams taken from one port at a time.
pub(super) const PORT_BATCH: usize = 8;

/// Ports or queues that have datagrams waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// A port, by the token that it was adopted under.
    Port(usize),
    /// A queue that many ports share.
    Queue(usize),
}

/// A datagram that was queued for sending, and then refused by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsent {
    /// The port it was sent from.
    pub(super) local: SocketAddr,
    /// Its length.
    pub(super) bytes: usize,
}

/// A UDP socket that is bound to an address and hears its family alone.
fn udp_socket(local: SocketAddr) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(local), kind, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&local.into())?;
    Ok(socket)
}

/// TOS or traffic class of what a socket of this address sends.
fn mark(socket: SockRef<'_>, local: SocketAddr, tos: u8) -> io::Result<()> {
    match local.is_ipv4() {
        true => socket.set_tos_v4(u32::from(tos)),
        false => socket.set_tclass_v6(u32::from(tos)),
    }
}

/// Moves datagrams for one worker. Ports are opened by any thread and handed over.
pub(super) trait Backend: Send {
    /// A port in force.
    type Port: fmt::Debug + Send;

    /// Takes a port out of its handle. From now on the worker's [`Wait`] reports its datagrams
    /// under `token`, also those that are there already; or a queue that it shares with others.
    ///
    /// # Errors
    /// The system refuses, or the port was opened by another backend; it is in its handle then.
    fn adopt(&mut self, handle: &mut PortHandle, token: usize) -> io::Result<Self::Port>;

    /// Gives a port back into its handle, to be closed by somebody else; nothing is reported of it
    /// any more.
    fn release(&mut self, port: Self::Port) -> PortHandle;

    /// Takes datagrams of a port.
    fn receive(&mut self, port: &mut Self::Port, batch: &mut RecvBatch) -> io::Result<usize>;

    /// Takes datagrams of a queue; the batch says which port each is for.
    fn receive_queue(&mut self, queue: usize, batch: &mut RecvBatch) -> io::Result<usize>;

    /// Sends one datagram from a port, at the latest with the next [`Self::flush`].
    fn send(&mut self, port: &mut Self::Port, data: &[u8], to: SocketAddr) -> io::Result<()>;

    /// Sends what is queued, and appends what the system refuses.
    fn flush(&mut self, unsent: &mut Vec<Unsent>);

    /// TOS or traffic class of datagrams sent from a port.
    fn set_tos(&mut self, port: &mut Self::Port, tos: u8) -> io::Result<()>;

    /// A hint that everything comes from this source and goes there, for as long as it is in
    /// force; `None` takes it back. Datagrams from elsewhere may be lost meanwhile.
    fn bind_peer(&mut self, port: &mut Self::Port, peer: Option<SocketAddr>) -> io::Result<()>;

    /// Datagrams from elsewhere that were kept out of a port since the last call, where that can
    /// be told.
    fn kept_out(&mut self, port: &mut Self::Port) -> u32;

    /// Whether [`Self::kept_out`] can be told of a port.
    fn tells_kept_out(&self, port: &Self::Port) -> bool;

    /// Counts what its queues had no room for, about once a second.
    fn count_overflowed(&mut self);
}

/// The waiting half of a backend: used by the worker's thread alone, while other threads may
/// change the ports.
pub(super) trait Wait: Send {
    /// Waits for datagrams or for a wake-up, at most this long after `now`, or until an earlier
    /// time that it was called with before; appends what has something. A port or queue is reported
    /// once until it was drained.
    fn wait(&mut self, now: Instant, at_most: Duration, ready: &mut Vec<Ready>) -> io::Result<()>;
}
