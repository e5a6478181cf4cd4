//! SIP over UDP: binding, receiving in batches, sending from the socket a request came to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::stats::{DropReason, Stats};
use crate::transaction::Packet;

/// Datagrams one socket received without waiting.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) listener: u16,
    pub(crate) datagrams: Vec<(SocketAddr, Packet)>,
}

const BATCH: usize = 64;
const RECEIVE_BUFFER: usize = 4 << 20;

/// Opens a socket; IPv6 sockets take IPv6 only, so that addresses have one form.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Best effort: the system caps it.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot bind SIP address {address}: {error}"),
        )
    })?;
    UdpSocket::from_std(socket.into())
}

/// The local address from which the system reaches `target`. Nothing is sent.
pub(crate) fn address_toward(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if target.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

/// Reads one socket until the shard is gone. A shard that does not keep up loses datagrams here,
/// counted, rather than growing a queue.
pub(crate) async fn receive(
    listener: u16,
    socket: Arc<UdpSocket>,
    shard: mpsc::Sender<Batch>,
    stats: Arc<Stats>,
) {
    let mut buffer = vec![0; 65_536];
    while socket.readable().await.is_ok() {
        let mut datagrams = Vec::new();
        while datagrams.len() < BATCH {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    datagrams.push((from, Packet::from(bytes)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier datagram; the next read goes on.
                Err(_) => {}
            }
        }
        if datagrams.is_empty() {
            continue;
        }
        match shard.try_send(Batch {
            listener,
            datagrams,
        }) {
            Ok(()) => {}
            Err(TrySendError::Full(batch)) => {
                batch
                    .datagrams
                    .iter()
                    .for_each(|_| stats.drop_for(DropReason::Overload));
            }
            Err(TrySendError::Closed(_)) => return,
        }
    }
}

/// Sends one datagram; waits only if the socket's buffer is full.
pub(crate) async fn send(socket: &UdpSocket, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
    match socket.try_send_to(packet, to) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            socket.send_to(packet, to).await?
        }
        result => result?,
    };
    Ok(())
}
