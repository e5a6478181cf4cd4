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
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl HeldFlight {
    /// Keeps a copy of `datagram`. Returns whether it was: other protocols and overlong datagrams
    /// are not.
    pub fn hold(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        if !is_dtls(datagram) || datagram.len() > limits::HELD_DATAGRAM_BYTES {
            return false;
        }
        if self.datagrams.len() == limits::HELD_DATAGRAMS {
            self.datagrams.pop_front();
        }
        self.datagrams.push_back((from, datagram.to_vec()));
        true
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Gives everything out, oldest first, for [`Session::handle_datagram`](crate::Session::handle_datagram).
    pub fn release(&mut self) -> impl Iterator<Item = (SocketAddr, Vec<u8>)> + '_ {
        self.datagrams.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_datagrams_are_kept_in_order() {
        let from: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let mut held = HeldFlight::default();
        assert!(!held.hold(from, &[0x80, 0]));
        assert!(!held.hold(from, &[22; 1501]));
        assert!(held.is_empty());
        for number in 0..6 {
            assert!(held.hold(from, &[22, number]));
        }
        let released: Vec<_> = held.release().map(|(_, bytes)| bytes[1]).collect();
        assert_eq!(released, [2, 3, 4, 5]);
        assert!(held.is_empty());
    }
}
