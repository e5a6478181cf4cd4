//! The rungs of the ladder, and the highest one that this host allows (spec: dataplane §2):
//! steered ports, or a socket per port. What a port got is told by its handle.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::Waker;
use windlass_kernel_assist::steer::{Steering, cgroup_root};

use super::epoll::{self, Epoll, EpollWait, SocketPort};
use super::steered::{self, MediaQueue, Queues, Steered, SteeredPort};
use super::{Backend, Unsent};
use crate::dataplane::sys::recv::RecvBatch;
use crate::dataplane::{SteeredPorts, in_words};
use crate::flow::port::{OpenPort, PortHandle};
use crate::flow::stats::WorkerStats;

/// The ports of one worker.
#[derive(Debug)]
pub(in crate::dataplane) struct Ladder {
    sockets: Epoll,
    steered: Option<Steered>,
}

/// Parts shared by all workers: made once, then handed out.
pub(in crate::dataplane) struct Rungs {
    steering: Option<Arc<Steering>>,
    queues: Vec<Queues>,
}

impl fmt::Debug for Rungs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rungs")
            .field("is_steered", &self.steering.is_some())
            .finish_non_exhaustive()
    }
}

impl Rungs {
    /// A socket per port.
    pub(in crate::dataplane) fn sockets() -> Self {
        Self {
            steering: None,
            queues: Vec::new(),
        }
    }

    /// Steers these ports; also returns why other processes can still bind them, if they should
    /// not.
    ///
    /// # Errors
    /// The reason, as text, why this host does not allow it.
    pub(in crate::dataplane) fn steered(
        ports: &SteeredPorts,
        workers: usize,
    ) -> Result<(Self, Option<String>), String> {
        // A link-local address is one of an interface, which neither the table nor a raw packet
        // names: its ports have sockets.
        let is_steered = |(address, ..): &&(IpAddr, u16, u16)| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        };
        let ranges: Vec<_> = ports.ranges.iter().filter(is_steered).copied().collect();
        let ranges = ranges.as_slice();
        let mut steering = Steering::attach(ranges, workers).map_err(|error| in_words(&error))?;
        let queues = (0..workers).map(|worker| {
            let worker = u32::try_from(worker).unwrap_or(u32::MAX);
            Queues::open(worker, ranges, &mut steering)
                .map_err(|error| format!("no shared socket: {error}"))
        });
        let queues = queues.collect::<Result<Vec<_>, _>>()?;
        // Sending needs another right than receiving.
        for &(address, ..) in ranges {
            steered::may_send_from(address)
                .map_err(|error| format!("no raw socket on {address}: {error}"))?;
        }
        let exposed = ports
            .refuse_binds
            .then(|| refuse_binds(&mut steering).err());
        let rungs = Self {
            steering: Some(Arc::new(steering)),
            queues,
        };
        Ok((rungs, exposed.flatten()))
    }

    /// Opens ports for all workers.
    pub(in crate::dataplane) fn opener(&self) -> Arc<dyn OpenPort> {
        match &self.steering {
            Some(steering) => Arc::new(steered::Opener::new(Arc::clone(steering))),
            None => Arc::new(epoll::Opener),
        }
    }

    /// The next worker's backend, its waiting half, and what wakes that from another thread.
    pub(in crate::dataplane) fn worker(
        &mut self,
        worker: usize,
        stats: Arc<WorkerStats>,
    ) -> io::Result<(Ladder, EpollWait, Waker)> {
        let (sockets, wait, waker) = epoll::new()?;
        let steered = match self.queues.is_empty() {
            true => None,
            false => {
                let queues = self.queues.remove(0);
                let worker = u32::try_from(worker).unwrap_or(u32::MAX);
                Some(Steered::new(worker, queues, &sockets, stats)?)
            }
        };
        Ok((Ladder { sockets, steered }, wait, waker))
    }
}

impl Ladder {
    /// The queue of settled media, if there is one: its datagrams are not reported by the waiting
    /// half.
    pub(in crate::dataplane) fn media_queue(
        &self,
        stats: Arc<WorkerStats>,
    ) -> io::Result<Option<MediaQueue>> {
        let steered = self.steered.as_ref();
        steered
            .map(|steered| steered.media_queue(stats))
            .transpose()
    }
}

fn refuse_binds(steering: &mut Steering) -> Result<(), String> {
    let root = cgroup_root().ok_or("no control groups of version 2 are mounted")?;
    let kept = steering.keep_from_others(&root);
    kept.map_err(|error| in_words(&error))
}

/// A port on the rung that it got.
#[derive(Debug)]
pub(in crate::dataplane) enum AnyPort {
    Steered(SteeredPort),
    Socket(SocketPort),
}

impl Backend for Ladder {
    type Port = AnyPort;

    fn adopt(&mut self, handle: &mut PortHandle, token: usize) -> io::Result<AnyPort> {
        if let Some(steered) = &self.steered
            && let Some(port) = handle.take::<SteeredPort>()
        {
            steered.adopt(&port);
            return Ok(AnyPort::Steered(port));
        }
        self.sockets.adopt(handle, token).map(AnyPort::Socket)
    }

    fn release(&mut self, port: AnyPort) -> PortHandle {
        match port {
            AnyPort::Steered(port) => {
                match &mut self.steered {
                    Some(steered) => steered.release(&port),
                    None => port.release(),
                }
                PortHandle::new(port)
            }
            AnyPort::Socket(port) => self.sockets.release(port),
        }
    }

    fn receive(&mut self, port: &mut AnyPort, batch: &mut RecvBatch) -> io::Result<usize> {
        match port {
            // Its datagrams come by a queue.
            AnyPort::Steered(_) => Err(io::ErrorKind::WouldBlock.into()),
            AnyPort::Socket(port) => self.sockets.receive(port, batch),
        }
    }

    fn receive_queue(&mut self, queue: usize, batch: &mut RecvBatch) -> io::Result<usize> {
        match &mut self.steered {
            Some(steered) => steered.receive_queue(queue, batch),
            None => self.sockets.receive_queue(queue, batch),
        }
    }

    fn send(&mut self, port: &mut AnyPort, data: &[u8], to: SocketAddr) -> io::Result<()> {
        match (port, &mut self.steered) {
            (AnyPort::Steered(port), Some(steered)) => steered.send(port, data, to),
            (AnyPort::Steered(_), None) => Err(io::ErrorKind::NotConnected.into()),
            (AnyPort::Socket(port), _) => self.sockets.send(port, data, to),
        }
    }

    fn flush(&mut self, unsent: &mut Vec<Unsent>) {
        if let Some(steered) = &mut self.steered {
            steered.flush(unsent);
        }
    }

    fn set_tos(&mut self, port: &mut AnyPort, tos: u8) -> io::Result<()> {
        match port {
            AnyPort::Steered(port) => {
                port.set_tos(tos);
                Ok(())
            }
            AnyPort::Socket(port) => self.sockets.set_tos(port, tos),
        }
    }

    fn bind_peer(&mut self, port: &mut AnyPort, peer: Option<SocketAddr>) -> io::Result<()> {
        match port {
            AnyPort::Steered(port) => {
                port.bind_peer(peer);
                Ok(())
            }
            AnyPort::Socket(port) => self.sockets.bind_peer(port, peer),
        }
    }

    fn tells_kept_out(&self, port: &AnyPort) -> bool {
        matches!(port, AnyPort::Steered(_))
    }

    fn kept_out(&mut self, port: &mut AnyPort) -> u32 {
        match port {
            AnyPort::Steered(port) => port.kept_out(),
            AnyPort::Socket(port) => self.sockets.kept_out(port),
        }
    }

    fn count_overflowed(&mut self) {
        if let Some(steered) = &mut self.steered {
            steered.count_overflowed();
        }
    }
}
