//! Sockets for datagrams that a raw one does not carry: longer than the link, so that the system has
//! to cut them.

use std::io;
use std::net::SocketAddr;

use socket2::{SockRef, Socket};

use super::{UNREAD_BYTES, grant_room};
use crate::dataplane::backend::{mark, udp_socket};
use crate::limits::LONG_DATAGRAM_SOCKETS;
use crate::media::udp::Way;

/// A socket for each of the ports that sent something long of late.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// The one that was used last comes last.
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    local: SocketAddr,
    tos: u8,
    socket: Socket,
}

impl Alone {
    /// Sends a datagram at once. What arrives for its port is steered as ever: a socket that hears
    /// everybody comes after the program.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn send(&mut self, way: Way, data: &[u8]) -> io::Result<()> {
        let known = self.kept.iter().position(|kept| kept.local == way.from);
        let mut kept = match known {
            Some(index) => self.kept.remove(index),
            None => Kept::open(way)?,
        };
        let marked = match kept.tos == way.tos {
            true => Ok(()),
            false => mark(SockRef::from(&kept.socket), way.from, way.tos),
        };
        kept.tos = way.tos;
        let sent = marked.and_then(|()| kept.socket.send_to(data, &way.to.into()));
        if self.kept.len() >= LONG_DATAGRAM_SOCKETS {
            self.kept.remove(0);
        }
        self.kept.push(kept);
        sent.map(drop)
    }

    /// Closes the socket of a port. It would keep the port from whoever has it next.
    pub(super) fn forget(&mut self, local: SocketAddr) {
        self.kept.retain(|kept| kept.local != local);
    }
}

impl Kept {
    fn open(way: Way) -> io::Result<Self> {
        let socket = udp_socket(way.from)?;
        grant_room(&socket)?;
        socket.set_recv_buffer_size(UNREAD_BYTES)?;
        mark(SockRef::from(&socket), way.from, way.tos)?;
        Ok(Self {
            local: way.from,
            tos: way.tos,
            socket,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn free() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    }

    #[test]
    fn a_port_keeps_its_socket_and_sockets_are_bounded() {
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = far.local_addr().unwrap();
        let way = |from, tos| Way { from, to, tos };
        let mut alone = Alone::default();
        let first = free();
        let long = [7; 9_000];
        let mut buffer = [0; 10_000];
        let mut heard = || far.recv_from(&mut buffer).unwrap();
        let mut sockets = Vec::new();
        for tos in [0, 0, 0xb8] {
            alone.send(way(first, tos), &long).unwrap();
            assert_eq!(heard(), (9_000, first));
            let kept = &alone.kept[0];
            sockets.push(std::os::fd::AsRawFd::as_raw_fd(&kept.socket));
            assert_eq!(kept.socket.tos_v4().unwrap(), u32::from(tos));
        }
        assert_eq!(alone.kept.len(), 1);
        assert!(sockets.iter().all(|socket| *socket == sockets[0]));
        for _ in 1..LONG_DATAGRAM_SOCKETS {
            let from = free();
            alone.send(way(from, 0), &long).unwrap();
            assert_eq!(heard(), (9_000, from));
        }
        // The one that is in use stays, the oldest of the others goes.
        alone.send(way(first, 0), &long).unwrap();
        heard();
        let oldest = alone.kept[0].local;
        alone.send(way(free(), 0), &long).unwrap();
        assert_eq!(alone.kept.len(), LONG_DATAGRAM_SOCKETS);
        let has = |alone: &Alone, local| alone.kept.iter().any(|kept| kept.local == local);
        assert!(has(&alone, first) && !has(&alone, oldest));
        alone.forget(first);
        assert!(UdpSocket::bind(first).is_ok());
    }
}
