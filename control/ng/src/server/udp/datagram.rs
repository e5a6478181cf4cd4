//! Datagrams with the local address that they came to, and replies that leave from there.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd as _,
};

use nix::{
    libc::{in_addr, in_pktinfo, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike,
        SockaddrStorage, recvmsg, sendmsg,
    },
};

use crate::{
    server::canonical,
    source::{Source, Transport},
};

/// Source and local address of a datagram.
#[derive(Clone, Copy)]
pub(super) struct Envelope {
    peer: SocketAddr,
    local: SocketAddr,
    arrived: Option<PacketInfo>,
}

impl Envelope {
    pub(super) fn source(&self) -> Source {
        Source {
            addr: canonical(self.peer),
            local: Some(canonical(self.local)),
            transport: Transport::Udp,
        }
    }

    /// Sends a reply back; one that is lost is asked for again.
    pub(super) fn send(&self, socket: &UdpSocket, reply: &[u8]) {
        if let Err(error) = send(socket, reply, self.peer, self.arrived) {
            tracing::debug!(%error, peer = %self.peer, len = reply.len(), "ng reply not sent");
        }
    }
}

/// The local address of one received datagram.
#[derive(Clone, Copy)]
enum PacketInfo {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl PacketInfo {
    fn addr(self) -> IpAddr {
        match self {
            Self::V4(info) => IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()),
            Self::V6(info) => IpAddr::from(info.ipi6_addr.s6_addr),
        }
    }
}

/// A datagram of a socket bound to `bound`: its length and envelope. `None` if its source is no IP
/// address.
pub(super) fn receive(
    socket: &UdpSocket,
    bound: SocketAddr,
    buf: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<Option<(usize, Envelope)>> {
    let mut control = nix::cmsg_space!(in6_pktinfo, in_pktinfo);
    let mut iov = [IoSliceMut::new(buf)];
    let fd = socket.as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut iov, Some(&mut control), flags)?;
    let mut arrived = None;
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => arrived = Some(PacketInfo::V4(info)),
            ControlMessageOwned::Ipv6PacketInfo(info) => arrived = Some(PacketInfo::V6(info)),
            _ => {}
        }
    }
    let peer = message.address.as_ref().and_then(socket_addr);
    let address = arrived.map_or_else(|| bound.ip(), PacketInfo::addr);
    Ok(peer.map(|peer| {
        let envelope = Envelope {
            peer,
            local: SocketAddr::new(address, bound.port()),
            arrived,
        };
        (message.bytes, envelope)
    }))
}

fn socket_addr(storage: &SockaddrStorage) -> Option<SocketAddr> {
    storage
        .as_sockaddr_in()
        .map(|v4| SocketAddrV4::from(*v4).into())
        .or_else(|| {
            storage
                .as_sockaddr_in6()
                .map(|v6| SocketAddrV6::from(*v6).into())
        })
}

fn send(
    socket: &UdpSocket,
    reply: &[u8],
    peer: SocketAddr,
    arrived: Option<PacketInfo>,
) -> nix::Result<()> {
    match peer {
        SocketAddr::V4(peer) => send_to(socket, reply, &SockaddrIn::from(peer), arrived),
        SocketAddr::V6(peer) => send_to(socket, reply, &SockaddrIn6::from(peer), arrived),
    }
}

fn send_to<A: SockaddrLike>(
    socket: &UdpSocket,
    reply: &[u8],
    peer: &A,
    arrived: Option<PacketInfo>,
) -> nix::Result<()> {
    let iov = [IoSlice::new(reply)];
    let fd = socket.as_raw_fd();
    let (v4, v6);
    let control = match arrived {
        Some(PacketInfo::V4(info)) => {
            // The interface is left to routing: the way back may differ from the way in.
            v4 = in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: info.ipi_addr,
                ipi_addr: in_addr { s_addr: 0 },
            };
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some(PacketInfo::V6(info)) => {
            // A link-local address means nothing without its interface; others must not pin one.
            let IpAddr::V6(addr) = PacketInfo::V6(info).addr() else {
                return Ok(());
            };
            let scoped = addr.is_unicast_link_local();
            v6 = in6_pktinfo {
                ipi6_addr: info.ipi6_addr,
                ipi6_ifindex: if scoped { info.ipi6_ifindex } else { 0 },
            };
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
        None => None,
    };
    sendmsg(fd, &iov, control.as_slice(), MsgFlags::empty(), Some(peer)).map(drop)
}
