//! Ports without sockets (spec: dataplane §5).
//!
//! An eBPF program steers the datagrams of all ports of a worker to a few sockets. Those of ports
//! that still learn their source, and so hear everybody, have queues of their own, so that
//! strangers never stand before settled calls. What is sent leaves through one raw socket per
//! local address, many packets at a time.

mod alone;
mod media;
mod opener;
mod share;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use windlass_kernel_assist::steer::{SOCKETS_PER_WORKER, Slot, Steering};

use super::epoll::Epoll;
use super::{Unsent, udp_socket};
use crate::dataplane::sys::meminfo;
use crate::dataplane::sys::recv::RecvBatch;
use crate::dataplane::sys::send::SendBatch;
use crate::flow::stats::{FlowStats, WorkerStats};
use crate::limits::{
    GATED_QUEUE_BYTES, LEARNING_QUEUE_BYTES, QUEUED_DATAGRAM_BYTES, SEND_QUEUE_BYTES,
    SENDERS_PER_WORKER,
};
use crate::media::udp::{self, Way};

use alone::Alone;
use share::Shares;

pub(in crate::dataplane) use media::{Closer, MediaQueue};
pub(super) use opener::Opener;

/// Packets sent at a time from one address.
const SEND_BATCH: usize = 64;

/// Bytes of what a raw socket hears: packets of the protocol number 255, which nobody reads. The
/// system rounds it up to its least.
const UNREAD_BYTES: usize = 1;

/// Sockets of the system's choice that may turn out to lie in a range of loopback, before giving up.
const ATTEMPTS: usize = 64;

/// A port without a socket.
#[derive(Debug)]
pub(in crate::dataplane) struct SteeredPort {
    steering: Arc<Steering>,
    slot: Slot,
    local: SocketAddr,
    tos: u8,
    /// Number of datagrams that the gate had dropped at the last look.
    kept_out: u32,
}

impl SteeredPort {
    /// The gate: from now on only `peer` is heard, or everybody again.
    pub(super) fn bind_peer(&self, peer: Option<SocketAddr>) {
        self.steering.gate(self.slot, peer);
    }

    pub(super) fn set_tos(&mut self, tos: u8) {
        self.tos = tos;
    }

    pub(super) fn kept_out(&mut self) -> u32 {
        let refused = self.steering.refused(self.slot);
        refused.wrapping_sub(std::mem::replace(&mut self.kept_out, refused))
    }

    /// Opens the gate of a port without a flow. The port is closed with its lease: until then it
    /// may go to another worker, and a closed port would answer its party with ICMP port
    /// unreachable.
    pub(super) fn release(&self) {
        self.steering.gate(self.slot, None);
    }
}

impl Drop for SteeredPort {
    fn drop(&mut self) {
        self.steering.close(self.slot);
    }
}

/// The shared sockets of one worker, before they are in force.
#[derive(Debug)]
pub(super) struct Queues {
    /// Of ports that hear everybody: IPv4, IPv6.
    learning: [Option<UdpSocket>; 2],
    gated: UdpSocket,
}

impl Queues {
    /// Opens the queues of a worker outside of the ranges of media ports, and makes them known. The
    /// gated ports of both families share one, so that one thread can wait for all of them.
    pub(super) fn open(
        worker: u32,
        ranges: &[(IpAddr, u16, u16)],
        steering: &mut Steering,
    ) -> io::Result<Self> {
        let has_v6 = ranges.iter().any(|(address, ..)| address.is_ipv6());
        let first = worker.saturating_mul(SOCKETS_PER_WORKER);
        let mut set = |number, socket: &UdpSocket| {
            let set = steering.set_socket(first + number, socket);
            set.map_err(io::Error::other)
        };
        let learning_v4 = open_queue(Hears::V4, LEARNING_QUEUE_BYTES, ranges)?;
        set(0, &learning_v4)?;
        let learning_v6 = match has_v6 {
            true => {
                let socket = open_queue(Hears::V6, LEARNING_QUEUE_BYTES, ranges)?;
                set(1, &socket)?;
                Some(socket)
            }
            false => None,
        };
        let hears = if has_v6 { Hears::Both } else { Hears::V4 };
        let gated = open_queue(hears, GATED_QUEUE_BYTES, ranges)?;
        set(2, &gated)?;
        if has_v6 {
            set(3, &gated)?;
        }
        Ok(Self {
            learning: [Some(learning_v4), learning_v6],
            gated,
        })
    }

    fn all(&self) -> impl Iterator<Item = &UdpSocket> {
        self.learning.iter().flatten().chain([&self.gated])
    }
}

/// The families that a queue hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hears {
    V4,
    V6,
    Both,
}

/// A socket that hears nothing but what is steered to it, and what this host sends to itself.
fn open_queue(hears: Hears, bytes: usize, ranges: &[(IpAddr, u16, u16)]) -> io::Result<UdpSocket> {
    let address: SocketAddr = match hears {
        Hears::V4 => (Ipv4Addr::LOCALHOST, 0).into(),
        Hears::V6 => (Ipv6Addr::LOCALHOST, 0).into(),
        // Bound to an address of IPv6 alone, the system would let it hear nothing of IPv4.
        Hears::Both => (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0).into(),
    };
    let mut unfit = Vec::new();
    for _ in 0..ATTEMPTS {
        let socket = match hears {
            Hears::Both => dual_socket(address)?,
            Hears::V4 | Hears::V6 => UdpSocket::from(udp_socket(address)?),
        };
        let port = socket.local_addr()?.port();
        // The same port of another address is another port.
        let is_media = |&(own, min, max): &(IpAddr, u16, u16)| {
            own == address.ip().to_canonical() && (min..=max).contains(&port)
        };
        if ranges.iter().any(is_media) {
            unfit.push(socket);
            continue;
        }
        if setsockopt(&socket, sockopt::RcvBufForce, &bytes).is_err() {
            // As much as the system allows without the right to force it.
            SockRef::from(&socket).set_recv_buffer_size(bytes)?;
        }
        if hears != Hears::V6 {
            setsockopt(&socket, sockopt::Ipv4OrigDstAddr, &true)?;
        }
        if hears != Hears::V4 {
            setsockopt(&socket, sockopt::Ipv6OrigDstAddr, &true)?;
        }
        return Ok(socket);
    }
    let message = "the system chose only ports within the ranges of media";
    Err(io::Error::other(message))
}

/// A socket of IPv6 that takes what is steered to it of either family.
fn dual_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::IPV6, kind, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The steered ports of one worker.
#[derive(Debug)]
pub(super) struct Steered {
    worker: u32,
    queues: Queues,
    /// Datagrams that each queue had no space for, as last reported.
    overflowed: [u32; 3],
    senders: Vec<Sender>,
    alone: Alone,
    shares: Shares,
    unsent: Vec<Unsent>,
    stats: Arc<WorkerStats>,
}

impl Steered {
    /// Puts the queues of a worker in force.
    pub(super) fn new(
        worker: u32,
        queues: Queues,
        epoll: &Epoll,
        stats: Arc<WorkerStats>,
    ) -> io::Result<Self> {
        for (number, queue) in queues.learning.iter().enumerate() {
            if let Some(socket) = queue {
                epoll.watch_queue(number, socket)?;
            }
        }
        Ok(Self {
            worker,
            queues,
            overflowed: Default::default(),
            senders: Vec::new(),
            alone: Alone::default(),
            shares: Shares::default(),
            unsent: Vec::new(),
            stats,
        })
    }

    /// The queue of gated ports, for the thread that waits at it.
    pub(super) fn media_queue(&self, stats: Arc<WorkerStats>) -> io::Result<MediaQueue> {
        MediaQueue::new(&self.queues.gated, stats)
    }

    pub(super) fn adopt(&self, port: &SteeredPort) {
        port.steering.open(port.slot, self.worker);
    }

    /// Lets go of a port that no flow has any more.
    pub(super) fn release(&mut self, port: &SteeredPort) {
        self.alone.forget(port.local);
        port.release();
    }

    pub(super) fn receive_queue(
        &mut self,
        queue: usize,
        batch: &mut RecvBatch,
    ) -> io::Result<usize> {
        let socket = self.queues.learning.get(queue).and_then(Option::as_ref);
        let Some(socket) = socket else {
            return Err(io::Error::other(format!("there is no queue {queue}")));
        };
        let received = batch.receive(socket.as_fd(), batch.capacity())?;
        // A queue that is half full will be full, and then it is full for all.
        if received == batch.capacity() && meminfo::is_half_full(socket.as_fd()) {
            let dropped = self.shares.enforce(batch, received);
            FlowStats::add(&self.stats.overflowed, dropped as u64);
        }
        Ok(received)
    }

    /// Counts the datagrams that the queues had no room for since the last time.
    pub(super) fn count_overflowed(&mut self) {
        for (queue, before) in self.queues.all().zip(&mut self.overflowed) {
            let Ok(dropped) = meminfo::drops(queue.as_fd()) else {
                continue;
            };
            let lost = dropped.wrapping_sub(std::mem::replace(before, dropped));
            if lost > 0 {
                FlowStats::add(&self.stats.overflowed, u64::from(lost));
            }
        }
    }

    pub(super) fn send(
        &mut self,
        port: &SteeredPort,
        data: &[u8],
        to: SocketAddr,
    ) -> io::Result<()> {
        let way = Way {
            from: port.local,
            to,
            tos: port.tos,
        };
        let address = port.local.ip();
        let is_its = |sender: &Sender| sender.address == address && sender.tos == way.tos;
        let known = self.senders.iter().position(is_its);
        if data.len() > QUEUED_DATAGRAM_BYTES {
            // What is queued was there before.
            if let Some(sender) = known.and_then(|index| self.senders.get_mut(index)) {
                sender.flush(&mut self.alone, &mut self.unsent);
            }
            return self.alone.send(way, data);
        }
        let index = match known {
            Some(index) => index,
            None => {
                if self.senders.len() >= SENDERS_PER_WORKER {
                    for mut sender in self.senders.drain(..) {
                        sender.flush(&mut self.alone, &mut self.unsent);
                    }
                }
                self.senders.push(Sender::open(address, way.tos)?);
                self.senders.len() - 1
            }
        };
        let Some(sender) = self.senders.get_mut(index) else {
            return Ok(());
        };
        if sender.batch.is_full() {
            sender.flush(&mut self.alone, &mut self.unsent);
        }
        match sender.push(way, data) {
            true => Ok(()),
            false => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(super) fn flush(&mut self, unsent: &mut Vec<Unsent>) {
        for sender in &mut self.senders {
            sender.flush(&mut self.alone, &mut self.unsent);
        }
        unsent.append(&mut self.unsent);
    }
}

/// Whether the system lets us send from an address that need not be there yet.
pub(super) fn may_send_from(address: IpAddr) -> io::Result<()> {
    match Sender::open(address, 0) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
        opened => opened.map(drop),
    }
}

/// Sender for one local address and one TOS.
#[derive(Debug)]
struct Sender {
    address: IpAddr,
    tos: u8,
    socket: Socket,
    batch: SendBatch,
    /// Addresses of each packet of the batch.
    ways: Vec<Way>,
}

impl Sender {
    /// A raw socket bound to the address, so that rules of routing by source hold. The header has
    /// the TOS; the socket has it too, for the priority in the queues of the device and of VLANs.
    fn open(address: IpAddr, tos: u8) -> io::Result<Self> {
        let local = SocketAddr::new(address, 0);
        // IPPROTO_RAW: packets come with their headers.
        let protocol = Protocol::from(libc::IPPROTO_RAW);
        let kind = Type::RAW.nonblocking();
        let socket = Socket::new(Domain::for_address(local), kind, Some(protocol))?;
        grant_room(&socket)?;
        socket.set_recv_buffer_size(UNREAD_BYTES)?;
        if address.is_ipv4() {
            socket.set_tos_v4(u32::from(tos))?;
        }
        socket.bind(&local.into())?;
        Ok(Self {
            address,
            tos,
            socket,
            batch: SendBatch::new(SEND_BATCH, QUEUED_DATAGRAM_BYTES + udp::HEADER_BYTES),
            ways: Vec::with_capacity(SEND_BATCH),
        })
    }

    fn push(&mut self, way: Way, data: &[u8]) -> bool {
        let is_pushed = self.batch.push(way.to, |out| udp::write(out, way, data));
        if is_pushed {
            self.ways.push(way);
        }
        is_pushed
    }

    fn flush(&mut self, alone: &mut Alone, unsent: &mut Vec<Unsent>) {
        let ways = &self.ways;
        self.batch.send(self.socket.as_fd(), |batch, index, error| {
            let (Some(way), Some(packet)) = (ways.get(index), batch.packet(index)) else {
                return;
            };
            let data = udp::payload(packet);
            let is_too_long = error.raw_os_error() == Some(libc::EMSGSIZE);
            // Longer than the way's link carries: the system cuts it for a socket of UDP only.
            if !is_too_long || alone.send(*way, data).is_err() {
                unsent.push(Unsent {
                    local: way.from,
                    bytes: data.len(),
                });
            }
        });
        self.ways.clear();
    }
}

/// Lets a socket queue [`SEND_QUEUE_BYTES`], or as much as the system allows without the right to force it.
fn grant_room(socket: &Socket) -> io::Result<()> {
    match setsockopt(socket, sockopt::SndBufForce, &SEND_QUEUE_BYTES) {
        Ok(()) => Ok(()),
        Err(_) => socket.set_send_buffer_size(SEND_QUEUE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_socket_keeps_next_to_nothing_that_it_hears() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        match Sender::open(address, 0xb8) {
            Ok(sender) => assert!(sender.socket.recv_buffer_size().unwrap() < 8192),
            Err(error) => {
                assert!(crate::dataplane::tests::may_skip_steering(), "{error}");
                println!("skipped: no raw socket: {error}");
            }
        }
    }
}
