//! Counters of the transports, read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($(#[$all:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident => $text:literal,)* }) => {
        $(#[$all])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $kind { $($(#[$doc])* $name,)* }

        impl $kind {
            /// Every reason, in the order of the counters.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in logs and metrics.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// Why a connection, or a datagram, was not taken.
    RefuseReason {
        /// The peer's address has as many as it may have.
        Address => "address",
        /// The core wants nothing of its address.
        Screened => "screened",
        /// The system has no descriptor left, or the connection was gone already.
        System => "system",
        /// All connections together are as many as there may be.
        Total => "total",
    }
}

reasons! {
    /// Why a connection was closed.
    CloseReason {
        /// The core asked for it.
        Asked => "asked",
        /// The peer could not be reached.
        Connect => "connect",
        /// No whole message within the time for the first.
        FirstMessage => "first_message",
        /// What the peer sends is no SIP, or no WebSocket frame.
        Framing => "framing",
        /// TLS or the WebSocket upgrade failed.
        Handshake => "handshake",
        /// TLS or the WebSocket upgrade took too long.
        HandshakeTime => "handshake_time",
        /// Nothing was sent or received for long, and nothing uses the connection.
        Idle => "idle",
        /// A message was not complete in time.
        Incomplete => "incomplete",
        /// The connection broke.
        Io => "io",
        /// The peer closed it.
        Peer => "peer",
        /// The peer does not read as fast as we write.
        QueueFull => "queue_full",
        /// The peer did not read at all for long.
        Stalled => "stalled",
    }
}

/// Counters of all listeners together.
#[derive(Debug, Default)]
pub(crate) struct TransportStats {
    /// Connections taken.
    pub(crate) accepted: AtomicU64,
    /// Connections that we opened.
    pub(crate) opened: AtomicU64,
    /// Connections open now, those being opened included.
    pub(crate) connections: AtomicU64,
    /// Messages received.
    pub(crate) messages: AtomicU64,
    /// Keep-alives received, of all kinds.
    pub(crate) keepalives: AtomicU64,
    /// STUN requests answered.
    pub(crate) stun: AtomicU64,
    /// Datagrams dropped because a shard does not keep up.
    pub(crate) overload: AtomicU64,
    /// Datagrams not sent because the socket's buffer was full.
    pub(crate) send_full: AtomicU64,
    /// Messages whose failure was told to a shard.
    pub(crate) unsendable: AtomicU64,
    refused: [AtomicU64; RefuseReason::ALL.len()],
    closed: [AtomicU64; CloseReason::ALL.len()],
}

impl TransportStats {
    pub(super) fn add(counter: &AtomicU64) {
        Self::add_many(counter, 1);
    }

    pub(super) fn add_many(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, reason: RefuseReason) {
        if let Some(counter) = self.refused.get(reason as usize) {
            Self::add(counter);
        }
    }

    pub(super) fn close(&self, reason: CloseReason) {
        if let Some(counter) = self.closed.get(reason as usize) {
            Self::add(counter);
        }
    }

    /// Connections and datagrams not taken for `reason`.
    pub(crate) fn refused(&self, reason: RefuseReason) -> u64 {
        let counter = self.refused.get(reason as usize);
        counter.map_or(0, |c| c.load(Ordering::Relaxed))
    }

    /// Connections closed for `reason`.
    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        let counter = self.closed.get(reason as usize);
        counter.map_or(0, |c| c.load(Ordering::Relaxed))
    }
}
