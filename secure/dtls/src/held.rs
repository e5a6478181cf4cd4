//! What a peer sent before it was known who opens the association.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::limits;
use crate::wire::is_dtls;

/// Keeps the first flight of a peer until its session exists: an early client sends its ClientHello
/// while the answer is still on its way, and would repeat it only after its timer, a second later.
///
/// Holds four datagrams of 1500 bytes; what comes later takes the place of the oldest.
#[derive(Debug, Default)]
pub struct HeldFlight {
    datagrams: VecDeque<Held>,
}

/// A datagram that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where it arrived.
    pub local: SocketAddr,
    /// Its source.
    pub from: SocketAddr,
    /// The datagram.
    pub datagram: Vec<u8>,
}

impl HeldFlight {
    /// Keeps a copy of `datagram`. Returns whether it was: other protocols and overlong datagrams
    /// are not.
    pub fn hold(&mut self, local: SocketAddr, from: SocketAddr, datagram: &[u8]) -> bool {
        if !is_dtls(datagram) || datagram.len() > limits::HELD_DATAGRAM_BYTES {
            return false;
        }
        if self.datagrams.len() == limits::HELD_DATAGRAMS {
            self.datagrams.pop_front();
        }
        self.datagrams.push_back(Held {
            local,
            from,
            datagram: datagram.to_vec(),
        });
        true
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Gives everything out, oldest first, for [`Session::handle_datagram`](crate::Session::handle_datagram).
    pub fn release(&mut self) -> impl Iterator<Item = Held> + use<> {
        std::mem::take(&mut self.datagrams).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_datagrams_are_kept_in_order() {
        let from: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let mut held = HeldFlight::default();
        assert!(!held.hold(from, from, &[0x80, 0]));
        assert!(!held.hold(from, from, &[22; 1501]));
        assert!(held.is_empty());
        for number in 0..6 {
            assert!(held.hold(from, from, &[22, number]));
        }
        let released: Vec<_> = held.release().map(|held| held.datagram[1]).collect();
        assert_eq!(released, [2, 3, 4, 5]);
        assert!(held.is_empty());
    }
}
