//! Taps: observers of accepted packets, e.g. recordings.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

/// The recordings that flows may go into; `()` has none.
pub trait Recordings: Send + Sync {
    /// The way into a recording, for one flow.
    fn tap(&self, recording: u64) -> Option<Box<dyn PacketTap>>;
}

/// The way of one flow's packets into a recording.
pub trait PacketTap: Send {
    /// A packet was accepted, or sent, at `now`. Must not block.
    fn packet(&self, now: Instant, source: SocketAddr, destination: SocketAddr, datagram: &[u8]);
}

/// Packets at a port that go into its recording (spec: media-behaviour §13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recorded {
    /// Accepted packets, as they came.
    #[default]
    Ingress,
    /// Sent packets, as they left.
    Egress,
    /// Accepted and sent packets.
    Both,
}

impl Recorded {
    pub(super) fn takes_ingress(self) -> bool {
        self != Self::Egress
    }

    pub(super) fn takes_egress(self) -> bool {
        self != Self::Ingress
    }
}

impl fmt::Debug for dyn PacketTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PacketTap")
    }
}

impl fmt::Debug for dyn Recordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recordings")
    }
}

impl Recordings for () {
    fn tap(&self, _recording: u64) -> Option<Box<dyn PacketTap>> {
        None
    }
}
