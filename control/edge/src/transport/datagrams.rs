//! SIP over UDP (RFC 3261 §18): batches in and out, from the address that a request came to.
//!
//! Keep-alives and STUN are taken out here (RFC 5626 §4.4). ICMP errors come back on the socket's
//! error queue; one is believed when it quotes what was sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use nix::cmsg_space;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg,
    recvmsg, sendmmsg, sendmsg, setsockopt, sockopt,
};
use parking_lot::{Mutex, RwLock};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::limits::{
    BATCH, DATAGRAM_BYTES, ERRORS_PER_TURN, LOCAL_ADDRESSES, PENDING_ERRORS, QUOTED_BYTES,
    REMEMBERED_DATAGRAMS,
};
use super::shard::Shards;
use super::stats::TransportStats;
use super::{Arrived, Flow, stun, udp};
use crate::transaction::Packet;

/// One socket.
#[derive(Debug)]
pub(super) struct Datagrams {
    listener: u16,
    socket: UdpSocket,
    /// Of a socket that is bound to no address: the local addresses that peers sent to. A flow has
    /// the place of its address in this list, counted from 1.
    locals: Option<RwLock<Vec<IpAddr>>>,
    /// What was sent last, for ICMP errors.
    sent: Mutex<VecDeque<Outgoing>>,
}

/// A datagram on its way out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) to: Flow,
    pub(super) bytes: Packet,
    pub(super) shard: u16,
    /// 0: nobody asks whether it arrived.
    pub(super) token: u64,
}

impl Datagrams {
    pub(super) fn bind(listener: u16, address: SocketAddr) -> io::Result<Self> {
        let socket = udp::bind(address)?;
        let is_any = address.ip().is_unspecified();
        if address.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            // Long messages are cut on the way, where that is needed, instead of getting lost where
            // ICMP is filtered.
            set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &is_any)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DONT)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &is_any)?;
        }
        let buffer = socket2::SockRef::from(&socket).recv_buffer_size();
        tracing::info!(%address, receive_buffer = buffer.unwrap_or(0), "SIP over UDP");
        Ok(Self {
            listener,
            socket,
            locals: is_any.then(RwLock::default),
            sent: Mutex::default(),
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Reads until the transports stop.
    pub(super) async fn receive(self: Arc<Self>, shards: Shards, stats: Arc<TransportStats>) {
        // As many headers as the last turn had datagrams, and some: a quiet socket is cheap.
        let mut expected = BATCH / 8;
        loop {
            let ready = self.socket.ready(Interest::READABLE | Interest::ERROR);
            let Ok(ready) = ready.await else {
                return;
            };
            if ready.is_error() {
                self.take_errors(&shards, &stats);
            }
            if !ready.is_readable() {
                continue;
            }
            let taken = self.socket.try_io(Interest::READABLE, || {
                self.take_batch(expected, &shards, &stats)
            });
            match taken {
                Ok(n) if n == expected => expected = (expected * 2).min(BATCH),
                Ok(_) => expected = (expected / 2).max(BATCH / 8),
                // Nothing there, or an ICMP error of an earlier datagram, which the error queue has
                // too; the next read goes on.
                Err(_) => {}
            }
        }
    }

    fn take_batch(
        &self,
        most: usize,
        shards: &Shards,
        stats: &TransportStats,
    ) -> io::Result<usize> {
        let with_local = self.locals.is_some();
        let control = with_local.then(|| cmsg_space!(libc::in6_pktinfo));
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(most, control);
        let mut lists = shards.lists();
        let mut answers = Vec::new();
        let count = BUFFERS.with_borrow_mut(|buffers| {
            let chunks = buffers.chunks_exact_mut(DATAGRAM_BYTES).take(most);
            let mut slices: Vec<_> = chunks.map(|c| [IoSliceMut::new(c)]).collect();
            let fd = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None)?;
            let mut count = 0;
            for message in received {
                count += 1;
                let Some(peer) = message.address.and_then(std_address) else {
                    continue;
                };
                if !shards.admits(peer.ip(), stats) {
                    continue;
                }
                let local = if with_local {
                    let mut infos = message.cmsgs().into_iter().flatten();
                    infos.find_map(local_address)
                } else {
                    None
                };
                let flow = Flow {
                    listener: self.listener,
                    peer,
                    connection: local.map_or(0, |ip| self.number(ip)),
                };
                let bytes = message.iovs().next().unwrap_or_default();
                if let Some(answer) = self.sort(flow, bytes, shards, &mut lists, stats) {
                    answers.push(answer);
                }
            }
            Ok::<_, io::Error>(count)
        })?;
        for answer in answers {
            // An answer that does not leave is asked for again.
            let _ = self.send_one(&answer);
        }
        shards.offer(lists, stats);
        Ok(count)
    }

    /// Sorts one datagram into the list of its shard; gives back what it is answered with here.
    fn sort(
        &self,
        flow: Flow,
        bytes: &[u8],
        shards: &Shards,
        lists: &mut [Vec<Arrived>],
        stats: &TransportStats,
    ) -> Option<Outgoing> {
        let is_stun = stun::is_stun(bytes);
        if !is_stun && !bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            TransportStats::add(&stats.messages);
            shards.sort(lists, flow, bytes);
            return None;
        }
        let answer = if is_stun {
            // What is no request keeps no flow alive.
            let answer = stun::respond(bytes, flow.peer)?;
            TransportStats::add(&stats.stun);
            Some(Outgoing {
                to: flow,
                bytes: answer.into(),
                shard: 0,
                token: 0,
            })
        } else {
            None
        };
        TransportStats::add(&stats.keepalives);
        if let Some(list) = lists.first_mut() {
            list.push(Arrived::Keepalive { flow });
        }
        answer
    }

    /// Sends without waiting. What a full buffer of the socket has no room for is lost as on the
    /// way, counted; other failures are appended to `failed`.
    pub(super) fn send(
        &self,
        batch: &[Outgoing],
        failed: &mut Vec<Arrived>,
        stats: &TransportStats,
    ) {
        self.remember(batch);
        let mut rest = batch;
        while let Some((first, after)) = rest.split_first() {
            // One call sends from one address of ours.
            let local = first.to.connection;
            let run = rest.iter().take_while(|o| o.to.connection == local);
            let run = rest.get(..run.count().min(BATCH)).unwrap_or_default();
            let sent = if after.is_empty() {
                self.send_one(first).map(|()| 1)
            } else {
                self.send_many(run, local)
            };
            let done = match sent {
                Ok(n) => n.max(1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    TransportStats::add_many(&stats.send_full, rest.len());
                    return;
                }
                Err(error) => {
                    if first.token != 0 {
                        self.forget(first);
                        TransportStats::add(&stats.unsendable);
                        failed.push(unsendable(first, error.kind()));
                    }
                    1
                }
            };
            rest = rest.get(done..).unwrap_or_default();
        }
    }

    fn send_many(&self, batch: &[Outgoing], local: u64) -> io::Result<usize> {
        let slices: Vec<_> = batch.iter().map(|o| [IoSlice::new(&o.bytes)]).collect();
        let addresses: Vec<_> = batch
            .iter()
            .map(|o| Some(SockaddrStorage::from(o.to.peer)))
            .collect();
        let source = self.local(local).map(Source::new);
        let control = source.as_ref().map(Source::control);
        past_errors(|| {
            let space = source.as_ref().map(Source::space);
            let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(batch.len(), space);
            let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            let control = control.as_slice();
            let sent = sendmmsg(fd, &mut headers, &slices, &addresses, control, flags)?;
            Ok(sent.count())
        })
    }

    fn send_one(&self, outgoing: &Outgoing) -> io::Result<()> {
        let address = SockaddrStorage::from(outgoing.to.peer);
        let slices = [IoSlice::new(&outgoing.bytes)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let source = self.local(outgoing.to.connection).map(Source::new);
        let control = source.as_ref().map(Source::control);
        past_errors(|| {
            let control = control.as_slice();
            sendmsg(fd, &slices, control, flags, Some(&address))?;
            Ok(())
        })
    }

    /// Tells shards of datagrams that ICMP says did not arrive.
    fn take_errors(&self, shards: &Shards, stats: &TransportStats) {
        for _ in 0..ERRORS_PER_TURN {
            let taken = self.socket.try_io(Interest::ERROR, || self.take_error());
            let Ok(failed) = taken else {
                return;
            };
            if let Some((outgoing, kind)) = failed {
                TransportStats::add(&stats.unsendable);
                let shard = usize::from(outgoing.shard);
                shards.try_tell(shard, unsendable(&outgoing, kind), stats);
            }
        }
    }

    /// The next error of the socket's queue; `None` if it is about nothing that we remember.
    fn take_error(&self) -> io::Result<Option<(Outgoing, io::ErrorKind)>> {
        let mut quoted = [0; 1500];
        let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let mut slices = [IoSliceMut::new(&mut quoted)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags)?;
        let length = message.bytes;
        let peer = message.address.and_then(std_address);
        let errors = message.cmsgs().into_iter().flatten();
        let error = errors.into_iter().find_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error),
            _ => None,
        });
        let (Some(error), Some(peer)) = (error, peer) else {
            return Ok(None);
        };
        // Errors of our own kernel came back from the send.
        if !matches!(error.ee_origin, ORIGIN_ICMP | ORIGIN_ICMP6) {
            return Ok(None);
        }
        let kind = i32::try_from(error.ee_errno).map(io::Error::from_raw_os_error);
        let kind = kind.map_or(io::ErrorKind::Other, |error| error.kind());
        let quoted = quoted.get(..length).unwrap_or_default();
        let mut sent = self.sent.lock();
        let found = sent
            .iter()
            .rposition(|o| o.to.peer == peer && is_quote(&o.bytes, quoted));
        Ok(found.and_then(|at| sent.remove(at)).map(|o| (o, kind)))
    }

    fn remember(&self, batch: &[Outgoing]) {
        let asked = batch.iter().filter(|o| o.token != 0);
        let mut sent = None;
        for outgoing in asked {
            let sent = sent.get_or_insert_with(|| self.sent.lock());
            if sent.len() == REMEMBERED_DATAGRAMS {
                sent.pop_front();
            }
            sent.push_back(outgoing.clone());
        }
    }

    fn forget(&self, outgoing: &Outgoing) {
        let mut sent = self.sent.lock();
        if let Some(at) = sent.iter().rposition(|o| is_same(o, outgoing)) {
            sent.remove(at);
        }
    }

    /// The number of a local address. It stays the same as long as the socket lives.
    fn number(&self, ip: IpAddr) -> u64 {
        let Some(locals) = &self.locals else {
            return 0;
        };
        let place = |list: &[IpAddr]| list.iter().position(|known| *known == ip);
        let known = place(&locals.read());
        let place = known.or_else(|| {
            let mut list = locals.write();
            place(&list).or_else(|| {
                (list.len() < LOCAL_ADDRESSES).then(|| {
                    list.push(ip);
                    list.len() - 1
                })
            })
        });
        place.map_or(0, |place| place as u64 + 1)
    }

    fn local(&self, number: u64) -> Option<IpAddr> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.locals.as_ref()?.read().get(place).copied()
    }
}

/// The local address that a datagram leaves from (`IP_PKTINFO`, `IPV6_PKTINFO`).
enum Source {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Source {
    fn new(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            IpAddr::V6(ip) => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: ip.octets(),
                },
                ipi6_ifindex: 0,
            }),
        }
    }

    fn control(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }

    /// Room for it in the headers of a batch.
    fn space(&self) -> Vec<u8> {
        match self {
            Self::V4(_) => cmsg_space!(libc::in_pktinfo),
            Self::V6(_) => cmsg_space!(libc::in6_pktinfo),
        }
    }
}

thread_local! {
    /// Room for one batch, shared by all sockets whose tasks run on the thread. Pages that nothing
    /// was received into are not there.
    static BUFFERS: RefCell<Vec<u8>> = RefCell::new(vec![0; BATCH * DATAGRAM_BYTES]);
}

/// Tries again after errors that were waiting on the socket: they are of earlier datagrams, and each
/// is taken by being reported. An error that stays is of this one.
fn past_errors<T>(mut send: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..PENDING_ERRORS {
        match send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
    send()
}

/// `quoted` is the start of a datagram, and long enough that only those on its way know it.
fn is_quote(datagram: &[u8], quoted: &[u8]) -> bool {
    quoted.len() >= datagram.len().min(QUOTED_BYTES) && datagram.starts_with(quoted)
}

fn is_same(a: &Outgoing, b: &Outgoing) -> bool {
    a.token == b.token && a.shard == b.shard
}

fn unsendable(outgoing: &Outgoing, error: io::ErrorKind) -> Arrived {
    Arrived::Unsendable {
        to: outgoing.to,
        error,
        token: outgoing.token,
    }
}

fn std_address(address: SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    let v6 = SocketAddrV6::from(*address.as_sockaddr_in6()?);
    // Flow labels are no part of an address.
    Some(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into())
}

fn local_address(control: ControlMessageOwned) -> Option<IpAddr> {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let octets = info.ipi_spec_dst.s_addr.to_ne_bytes();
            Some(Ipv4Addr::from(octets).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` of `linux/errqueue.h`.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{ip_mtu_discover, ipv6_mtu_discover};

    use super::*;

    #[tokio::test]
    async fn packets_may_be_cut_on_the_way() {
        let v4 = Datagrams::bind(0, "127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(
            ip_mtu_discover(&v4.socket).unwrap(),
            Ipv4PathMtuDiscovery::DONT
        );
        let v6 = Datagrams::bind(0, "[::1]:0".parse().unwrap()).unwrap();
        assert_eq!(
            ipv6_mtu_discover(&v6.socket).unwrap(),
            Ipv6PathMtuDiscovery::DONT
        );
    }

    #[test]
    fn errors_of_earlier_datagrams_do_not_stop_this_one() {
        let mut pending = 3;
        let sent = past_errors(|| {
            if pending == 0 {
                return Ok(());
            }
            pending -= 1;
            Err(io::ErrorKind::ConnectionRefused.into())
        });
        sent.unwrap();
        let mut tries = 0;
        let full: io::Result<()> = past_errors(|| {
            tries += 1;
            Err(io::ErrorKind::WouldBlock.into())
        });
        assert_eq!(
            (full.unwrap_err().kind(), tries),
            (io::ErrorKind::WouldBlock, 1)
        );
    }

    #[test]
    fn an_error_is_believed_when_it_quotes_what_only_the_path_knows() {
        let long: Vec<u8> = (0..=255).cycle().take(1000).collect();
        assert!(is_quote(&long, &long[..548]));
        assert!(is_quote(&long, &long[..QUOTED_BYTES]));
        assert!(!is_quote(&long, &long[..QUOTED_BYTES - 1]));
        assert!(!is_quote(&long, &[&long[..300], b"x"].concat()));
        assert!(is_quote(b"short", b"short"));
        assert!(!is_quote(b"short", b"shor"));
        assert!(!is_quote(b"short", b"shorter"));
    }
}
