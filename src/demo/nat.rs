//! Network access of a phone: direct, or through a simulated NAT.
//!
//! The NAT has the mapping of most home routers, endpoint-independent, and their filter, address-
//! and port-dependent (RFC 4787 §4.1, §5). The outside sees another address and port than the phone
//! knows, and only addresses that the phone has sent to can answer.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::Duration;

/// A UDP port of a phone.
#[derive(Debug)]
pub(super) struct Line {
    socket: UdpSocket,
    /// Address that the phone takes for its own.
    believed: SocketAddr,
    /// Addresses that the phone has sent to, if there is a NAT.
    permitted: Option<Mutex<HashSet<SocketAddr>>>,
}

impl Line {
    /// A port without NAT.
    pub(super) fn direct(ip: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        let believed = socket.local_addr()?;
        Ok(Self {
            socket,
            believed,
            permitted: None,
        })
    }

    /// Two ports without NAT, an even one and the next, for RTP and RTCP.
    pub(super) fn direct_pair(ip: IpAddr) -> io::Result<[Self; 2]> {
        for _ in 0..200 {
            let first = Self::direct(ip)?;
            let port = first.believed.port();
            if port % 2 == 0
                && let Ok(socket) = UdpSocket::bind((ip, port + 1))
            {
                let believed = socket.local_addr()?;
                let second = Self {
                    socket,
                    believed,
                    permitted: None,
                };
                return Ok([first, second]);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("no pair of free ports on {ip}"),
        ))
    }

    /// A port behind a NAT whose outside is `outside`; the phone believes to be `inside`.
    pub(super) fn behind_nat(inside: SocketAddr, outside: IpAddr) -> io::Result<Self> {
        Ok(Self {
            socket: UdpSocket::bind((outside, 0))?,
            believed: inside,
            permitted: Some(Mutex::default()),
        })
    }

    /// The address that the phone writes into its SIP and SDP.
    pub(super) fn believed(&self) -> SocketAddr {
        self.believed
    }

    /// The address that the others see.
    pub(super) fn outside(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(super) fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        if let Some(permitted) = &self.permitted {
            permitted
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .insert(to);
        }
        self.socket.send_to(bytes, to).map(drop)
    }

    /// The next datagram that gets through, or `None` after `timeout` (at least a millisecond)
    /// or when the NAT filtered what came.
    pub(super) fn receive<'b>(
        &self,
        buffer: &'b mut [u8],
        timeout: Duration,
    ) -> io::Result<Option<(&'b [u8], SocketAddr)>> {
        // The kernel takes 0 for "no timeout".
        let timeout = timeout.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(timeout))?;
        let (length, from) = match self.socket.recv_from(buffer) {
            Ok(received) => received,
            Err(error) if is_nothing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let passes = self.permitted.as_ref().is_none_or(|permitted| {
            permitted
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .contains(&from)
        });
        let received = buffer.get(..length).map(|bytes| (bytes, from));
        Ok(received.filter(|_| passes))
    }
}

/// No datagram came; an ICMP error of an earlier one is no datagram either.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const WAIT: Duration = Duration::from_secs(5);

    fn behind_nat() -> Line {
        Line::behind_nat("192.168.77.10:4000".parse().unwrap(), LOOPBACK).unwrap()
    }

    #[test]
    fn outside_sees_another_address_than_the_phone_believes() {
        let phone = behind_nat();
        let peers = [
            Line::direct(LOOPBACK).unwrap(),
            Line::direct(LOOPBACK).unwrap(),
        ];
        let mut buffer = [0; 64];
        for peer in &peers {
            phone.send_to(b"hello", peer.believed()).unwrap();
            let (bytes, from) = peer.receive(&mut buffer, WAIT).unwrap().unwrap();
            assert_eq!((bytes, from), (&b"hello"[..], phone.outside().unwrap()));
            assert_ne!(from, phone.believed());
        }
    }

    #[test]
    fn only_whom_the_phone_addressed_can_answer() {
        let phone = behind_nat();
        let peer = Line::direct(LOOPBACK).unwrap();
        let stranger = Line::direct(LOOPBACK).unwrap();
        let mut buffer = [0; 64];
        phone.send_to(b"hello", peer.believed()).unwrap();
        let hole = phone.outside().unwrap();
        stranger.send_to(b"noise", hole).unwrap();
        peer.send_to(b"answer", hole).unwrap();
        assert_eq!(phone.receive(&mut buffer, WAIT).unwrap(), None);
        let (bytes, from) = phone.receive(&mut buffer, WAIT).unwrap().unwrap();
        assert_eq!((bytes, from), (&b"answer"[..], peer.believed()));
    }

    #[test]
    fn a_pair_is_even_and_next() {
        let [rtp, rtcp] = Line::direct_pair(LOOPBACK).unwrap();
        assert_eq!(rtp.believed().port() % 2, 0);
        assert_eq!(rtcp.believed().port(), rtp.believed().port() + 1);
    }
}
