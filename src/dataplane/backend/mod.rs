//! How datagrams come in and go out. The packet logic above is one code for all backends.

pub(super) mod epoll;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::sys::mmsg::RecvBatch;
use crate::flow::port::PortHandle;

/// Moves datagrams for one worker. Ports are opened by any thread and handed over.
pub(super) trait Backend: Send {
    /// From now on the worker's [`Wait`] reports datagrams of this port under `token`, also those
    /// that are there already.
    fn adopt(&mut self, port: &mut PortHandle, token: usize) -> io::Result<()>;

    /// The port is to be closed by somebody else; nothing is reported of it any more.
    fn release(&mut self, port: &mut PortHandle);

    /// Takes datagrams of a port.
    fn receive(&mut self, port: &mut PortHandle, batch: &mut RecvBatch) -> io::Result<usize>;

    /// Sends one datagram from a port.
    fn send(&mut self, port: &mut PortHandle, data: &[u8], to: SocketAddr) -> io::Result<()>;

    /// TOS or traffic class of datagrams sent from a port.
    fn set_tos(&mut self, port: &mut PortHandle, tos: u8) -> io::Result<()>;

    /// A hint that everything comes from this source and goes there, for as long as it is in
    /// force; `None` takes it back. Datagrams from elsewhere may be lost meanwhile.
    fn bind_peer(&mut self, port: &mut PortHandle, peer: Option<SocketAddr>) -> io::Result<()>;
}

/// The waiting half of a backend: used by the worker's thread alone, while other threads may
/// change the ports.
pub(super) trait Wait: Send {
    /// Waits for datagrams or for a wake-up, at most this long; appends the tokens of ports that
    /// have something. A port is reported once until it was drained.
    fn wait(&mut self, at_most: Duration, ready: &mut Vec<usize>) -> io::Result<()>;
}
