//! A port as an owned value: open, leased, and given back on drop.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::stats::FlowStats;

/// Opens local UDP ports. The data plane's backend implements it; tests have their own.
pub trait OpenPort: Send + Sync {
    /// Opens a port: datagrams for `local` arrive here.
    ///
    /// # Errors
    /// The address is not local, or the port is in use.
    fn open(&self, local: SocketAddr) -> io::Result<PortHandle>;

    /// Opens two ports of one address, or none. `soon` are ports of the address that will be asked
    /// for next, as far as that is known.
    ///
    /// # Errors
    /// As [`Self::open`], of either.
    fn open_pair(&self, locals: [SocketAddr; 2], soon: &[u16]) -> io::Result<[PortHandle; 2]> {
        let _ = soon;
        let [first, second] = locals;
        Ok([self.open(first)?, self.open(second)?])
    }
}

/// An open port as its backend knows it: a socket, or an entry in a steering table. Closed on drop.
///
/// While a flow is in force its worker holds the backend's own value, and the handle is empty.
pub struct PortHandle(Option<Box<dyn Any + Send + Sync>>);

impl PortHandle {
    /// Wraps what the backend needs to find the port again.
    pub fn new(inner: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(inner)))
    }

    /// Takes the backend's own value out, if it is of type `T`.
    pub fn take<T: Any>(&mut self) -> Option<T> {
        let inner = self.0.take_if(|inner| inner.is::<T>())?;
        let inner: Box<dyn Any> = inner;
        inner.downcast().ok().map(|inner| *inner)
    }
}

impl fmt::Debug for PortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortHandle")
    }
}

/// Takes a port number back when its lease ends.
pub trait ReturnPort: Send + Sync + fmt::Debug {
    /// `port` is closed and may be leased again.
    fn give_back(&self, port: u16);
}

/// One local port, leased from a pool and open. Dropping it closes the port, then gives the
/// number back.
#[derive(Debug)]
pub struct PortLease {
    // Dropped first: the number must not be leased again while the port is still open.
    handle: PortHandle,
    local: SocketAddr,
    stats: Arc<FlowStats>,
    _number: LeasedNumber,
}

impl PortLease {
    /// A lease of `local`, opened as `handle`, to be returned to `pool`.
    pub fn new(local: SocketAddr, handle: PortHandle, pool: Arc<dyn ReturnPort>) -> Self {
        Self {
            handle,
            local,
            stats: Arc::new(FlowStats::default()),
            _number: LeasedNumber {
                port: local.port(),
                pool,
            },
        }
    }

    /// The leased local address and port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The counters of the flow on this port.
    pub fn stats(&self) -> &Arc<FlowStats> {
        &self.stats
    }

    /// The open port, for its backend, which puts back what it took out.
    pub fn handle_mut(&mut self) -> &mut PortHandle {
        &mut self.handle
    }
}

#[derive(Debug)]
struct LeasedNumber {
    port: u16,
    pool: Arc<dyn ReturnPort>,
}

impl Drop for LeasedNumber {
    fn drop(&mut self) {
        self.pool.give_back(self.port);
    }
}
