//! What each port may have of a queue that is about to be full.

use std::net::SocketAddr;

use crate::dataplane::backend::PORT_BATCH;
use crate::dataplane::sys::recv::RecvBatch;

/// Counts the datagrams of each port in a batch.
#[derive(Debug, Default)]
pub(super) struct Shares(Vec<(SocketAddr, usize)>);

impl Shares {
    /// Drops of a batch what is more than [`PORT_BATCH`] datagrams of one port, and says how many:
    /// the queue comes to the datagrams behind them, of others, before it is full.
    pub(super) fn enforce(&mut self, batch: &mut RecvBatch, received: usize) -> usize {
        self.0.clear();
        let mut dropped = 0;
        for index in 0..received {
            let Some(local) = batch.aside(index).local else {
                continue;
            };
            let known = self.0.iter_mut().find(|(known, _)| *known == local);
            let count = match known {
                Some((_, count)) => count,
                None => {
                    self.0.push((local, 0));
                    let Some((_, count)) = self.0.last_mut() else {
                        continue;
                    };
                    count
                }
            };
            *count += 1;
            if *count > PORT_BATCH {
                batch.discard(index);
                dropped += 1;
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;

    #[test]
    fn a_port_has_its_share_of_a_batch_and_others_lose_nothing() {
        let queue = UdpSocket::bind("0.0.0.0:0").unwrap();
        setsockopt(&queue, sockopt::Ipv4OrigDstAddr, &true).unwrap();
        let port = queue.local_addr().unwrap().port();
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..20u8 {
            far.send_to(&[number; 200], ("127.0.0.2", port)).unwrap();
        }
        for number in 20..23u8 {
            far.send_to(&[number; 200], ("127.0.0.3", port)).unwrap();
        }
        let mut batch = RecvBatch::new(64, 256);
        assert_eq!(batch.receive(queue.as_fd(), 64).unwrap(), 23);
        let dropped = Shares::default().enforce(&mut batch, 23);
        assert_eq!(dropped, 20 - PORT_BATCH);
        let kept: Vec<usize> = (0..23).filter(|&i| batch.datagram(i).is_some()).collect();
        let expected: Vec<usize> = (0..PORT_BATCH).chain(20..23).collect();
        assert_eq!(kept, expected);
        let known: Vec<usize> = (0..23)
            .filter(|&i| batch.aside(i).local.is_some())
            .collect();
        assert_eq!(known, expected);
        // The next batch begins anew.
        far.send_to(b"x", ("127.0.0.2", port)).unwrap();
        assert_eq!(batch.receive(queue.as_fd(), 64).unwrap(), 1);
        assert!(batch.datagram(0).is_some());
    }
}
