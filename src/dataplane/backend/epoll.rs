//! A socket per port, over epoll. Works everywhere, needs no rights.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use socket2::SockRef;

use super::{Backend, PORT_BATCH, Ready, Unsent, Wait, mark, udp_socket};
use crate::dataplane::sys::connect;
use crate::dataplane::sys::recv::RecvBatch;
use crate::flow::port::{OpenPort, PortHandle};

/// The token of the waker; flows count from 0.
const WAKE: Token = Token(usize::MAX);

/// The token of the timer.
const TIMER: Token = Token(usize::MAX - 1);

/// The token of the first shared queue; further ones count down.
const FIRST_QUEUE: usize = usize::MAX - 2;

/// The last queue that could be.
const LAST_QUEUE: usize = FIRST_QUEUE - 15;

/// Events taken from the system at a time.
const EVENTS: usize = 256;

/// The ports of one worker.
#[derive(Debug)]
pub(in crate::dataplane) struct Epoll {
    registry: Arc<Registry>,
}

/// The waiting half.
#[derive(Debug)]
pub(in crate::dataplane) struct EpollWait {
    poll: Poll,
    events: Events,
    /// Ends the waiting. A time-out of every wait would be set and taken back for every packet.
    timer: TimerFd,
    /// When it does that.
    set_for: Option<Instant>,
}

/// A backend, its waiting half, and what wakes that from another thread.
pub(in crate::dataplane) fn new() -> io::Result<(Epoll, EpollWait, Waker)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    let registry = Arc::new(poll.registry().try_clone()?);
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
    let fd = timer.as_fd().as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), TIMER, Interest::READABLE)?;
    let wait = EpollWait {
        poll,
        events: Events::with_capacity(EVENTS),
        timer,
        set_for: None,
    };
    Ok((Epoll { registry }, wait, waker))
}

impl Epoll {
    /// Reports a port under this token.
    fn register(&self, port: &mut SocketPort, token: usize) -> io::Result<()> {
        let fd = port.socket.as_raw_fd();
        let (mut source, token) = (SourceFd(&fd), Token(token));
        match port.registry.replace(Arc::clone(&self.registry)) {
            // The port came from another flow of this worker, by the merging of calls.
            Some(before) if Arc::ptr_eq(&before, &self.registry) => {
                self.registry
                    .reregister(&mut source, token, Interest::READABLE)
            }
            before => {
                if let Some(other) = before {
                    other.deregister(&mut source)?;
                }
                self.registry
                    .register(&mut source, token, Interest::READABLE)
            }
        }
    }

    /// Reports a socket that many ports share under the number of its queue.
    pub(super) fn watch_queue(&self, queue: usize, socket: &UdpSocket) -> io::Result<()> {
        let fd = socket.as_raw_fd();
        let token = FIRST_QUEUE.saturating_sub(queue).max(LAST_QUEUE);
        let mut source = SourceFd(&fd);
        self.registry
            .register(&mut source, Token(token), Interest::READABLE)
    }
}

/// A port with a socket of its own.
#[derive(Debug)]
pub(in crate::dataplane) struct SocketPort {
    socket: UdpSocket,
    /// The socket is connected to this address.
    peer: Option<SocketAddr>,
    /// Who is told of its packets.
    registry: Option<Arc<Registry>>,
}

/// Opens a socket per port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opener;

impl OpenPort for Opener {
    fn open(&self, local: SocketAddr) -> io::Result<PortHandle> {
        Ok(PortHandle::new(SocketPort {
            socket: udp_socket(local)?.into(),
            peer: None,
            registry: None,
        }))
    }
}

impl Backend for Epoll {
    type Port = SocketPort;

    fn adopt(&mut self, handle: &mut PortHandle, token: usize) -> io::Result<SocketPort> {
        let Some(mut port) = handle.take::<SocketPort>() else {
            return Err(io::Error::other("the port was opened by another backend"));
        };
        match self.register(&mut port, token) {
            Ok(()) => Ok(port),
            Err(error) => {
                *handle = PortHandle::new(port);
                Err(error)
            }
        }
    }

    fn release(&mut self, port: SocketPort) -> PortHandle {
        // Closing the socket takes it out; doing so here would cost a system call per port. An
        // event that was harvested before finds an empty queue.
        PortHandle::new(port)
    }

    fn receive(&mut self, port: &mut SocketPort, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.receive(port.socket.as_fd(), PORT_BATCH)
    }

    fn receive_queue(&mut self, queue: usize, _batch: &mut RecvBatch) -> io::Result<usize> {
        Err(io::Error::other(format!("there is no queue {queue}")))
    }

    fn send(&mut self, port: &mut SocketPort, data: &[u8], to: SocketAddr) -> io::Result<()> {
        match port.peer == Some(to) {
            // The route is looked up once per connection instead of once per packet.
            true => port.socket.send(data).map(drop),
            false => port.socket.send_to(data, to).map(drop),
        }
    }

    fn flush(&mut self, _unsent: &mut Vec<Unsent>) {
        // Nothing is queued.
    }

    fn set_tos(&mut self, port: &mut SocketPort, tos: u8) -> io::Result<()> {
        let socket = &port.socket;
        mark(SockRef::from(socket), socket.local_addr()?, tos)
    }

    fn bind_peer(&mut self, port: &mut SocketPort, peer: Option<SocketAddr>) -> io::Result<()> {
        match peer {
            Some(peer) => port.socket.connect(peer)?,
            None if port.peer.is_some() => connect::dissolve(port.socket.as_fd())?,
            None => {}
        }
        port.peer = peer;
        Ok(())
    }

    fn tells_kept_out(&self, _port: &SocketPort) -> bool {
        false
    }

    fn kept_out(&mut self, _port: &mut SocketPort) -> u32 {
        // The system does not say what a connected socket did not take.
        0
    }

    fn count_overflowed(&mut self) {}
}

impl EpollWait {
    /// Sets the timer, unless it ends the waiting soon enough.
    fn set_timer(&mut self, now: Instant, at_most: Duration) -> io::Result<()> {
        let until = now + at_most;
        if self.set_for.is_some_and(|at| now < at && at <= until) {
            return Ok(());
        }
        let once = Expiration::OneShot(TimeSpec::from_duration(at_most));
        self.timer.set(once, TimerSetTimeFlags::empty())?;
        self.set_for = Some(until);
        Ok(())
    }
}

impl Wait for EpollWait {
    fn wait(&mut self, now: Instant, at_most: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        let at_most = match at_most.is_zero() {
            true => Some(Duration::ZERO),
            false => {
                self.set_timer(now, at_most)?;
                None
            }
        };
        match self.poll.poll(&mut self.events, at_most) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let tokens = self.events.iter().map(mio::event::Event::token);
        ready.extend(tokens.filter(|&token| token != WAKE && token != TIMER).map(
            |Token(token)| match token {
                LAST_QUEUE..=FIRST_QUEUE => Ready::Queue(FIRST_QUEUE - token),
                index => Ready::Port(index),
            },
        ));
        Ok(())
    }
}
