//! ng over UDP: a datagram is a message.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{STOP_INTERVAL, now};
use crate::Responder;

/// Threads that serve one UDP address.
#[derive(Debug)]
pub struct UdpServer {
    local: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl UdpServer {
    /// Listens on `address` with this many threads: at least two, so that a `ping` is answered
    /// while a command waits.
    ///
    /// # Errors
    /// The address cannot be bound, or a thread not be started.
    pub fn start(
        address: SocketAddr,
        threads: usize,
        responder: &Arc<Responder>,
    ) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_read_timeout(Some(STOP_INTERVAL))?;
        // A burst of set-ups must not be lost while the threads are busy; the proxy would send
        // each of them again only after a second. The system may grant less.
        let _ = socket.set_recv_buffer_size(4 * 1024 * 1024);
        socket.bind(&address.into())?;
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        let socket: Arc<UdpSocket> = Arc::new(socket.into());
        let local = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut server = Self {
            local,
            stop,
            threads: Vec::new(),
        };
        for index in 0..threads.max(2) {
            let (socket, stop) = (socket.clone(), server.stop.clone());
            let responder = responder.clone();
            let thread = std::thread::Builder::new().name(format!("ng-udp-{index}"));
            server
                .threads
                .push(thread.spawn(move || serve(&socket, &stop, &responder))?);
        }
        Ok(server)
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for UdpServer {
    /// Commands in progress are finished.
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, stop: &AtomicBool, responder: &Responder) {
    let mut buffer = vec![0u8; 65_536];
    while !stop.load(Relaxed) {
        let (length, source, control) = match receive(socket, &mut buffer) {
            Ok(Some(received)) => received,
            Ok(None) => continue,
            Err(error) => {
                tracing::error!(%error, "cannot receive ng requests");
                std::thread::park_timeout(STOP_INTERVAL);
                continue;
            }
        };
        let message = buffer.get(..length).unwrap_or_default();
        let Some(reply) = responder.respond(message, source, true, now) else {
            continue;
        };
        if let Err(error) = send(socket, &reply, source, control.as_ref()) {
            tracing::warn!(%source, %error, bytes = reply.len(), "cannot send an ng reply");
        }
    }
}

/// The local address that a datagram came to; the reply must leave from it.
enum PacketInfo {
    V4(libc_in_pktinfo::In4),
    V6(libc_in_pktinfo::In6),
}

/// The packet information types, under names that do not depend on the platform crate.
mod libc_in_pktinfo {
    pub(super) type In4 = nix::libc::in_pktinfo;
    pub(super) type In6 = nix::libc::in6_pktinfo;
}

fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, SocketAddr, Option<PacketInfo>)>> {
    let mut slices = [IoSliceMut::new(buffer)];
    let mut space = nix::cmsg_space!(nix::libc::in_pktinfo, nix::libc::in6_pktinfo);
    let received = match recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::empty(),
    ) {
        Ok(received) => received,
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut info = None;
    for message in received.cmsgs()? {
        match message {
            ControlMessageOwned::Ipv4PacketInfo(v4) => info = Some(PacketInfo::V4(v4)),
            ControlMessageOwned::Ipv6PacketInfo(v6) => info = Some(PacketInfo::V6(v6)),
            _ => {}
        }
    }
    let source = received.address.as_ref().and_then(socket_address);
    Ok(source.map(|source| (received.bytes, source, info)))
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    storage
        .as_sockaddr_in6()
        .map(|v6| SocketAddr::V6((*v6).into()))
}

fn send(
    socket: &UdpSocket,
    reply: &[u8],
    to: SocketAddr,
    from: Option<&PacketInfo>,
) -> io::Result<()> {
    let slices = [IoSlice::new(reply)];
    let to = SockaddrStorage::from(to);
    // The interface is left to routing: only the address matters to the proxy.
    let v4;
    let control: &[ControlMessage<'_>] = match from {
        Some(PacketInfo::V4(info)) => {
            let mut info = *info;
            info.ipi_spec_dst = info.ipi_addr;
            info.ipi_ifindex = 0;
            v4 = info;
            &[ControlMessage::Ipv4PacketInfo(&v4)]
        }
        Some(PacketInfo::V6(info)) => &[ControlMessage::Ipv6PacketInfo(info)],
        None => &[],
    };
    sendmsg(
        socket.as_raw_fd(),
        &slices,
        control,
        MsgFlags::empty(),
        Some(&to),
    )?;
    Ok(())
}
