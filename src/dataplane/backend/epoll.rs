//! A socket per port, over epoll. Works everywhere, needs no rights.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Backend;
use crate::dataplane::sys::mmsg::RecvBatch;
use crate::flow::port::{OpenPort, PortHandle};

/// The token of the waker; flows count from 0.
const WAKE: Token = Token(usize::MAX);

/// Events taken from the system at a time.
const EVENTS: usize = 256;

/// The backend of one worker.
#[derive(Debug)]
pub(in crate::dataplane) struct Epoll {
    poll: Poll,
    events: Events,
}

impl Epoll {
    /// A backend, and what wakes it from another thread.
    pub(in crate::dataplane) fn new() -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok((
            Self {
                poll,
                events: Events::with_capacity(EVENTS),
            },
            waker,
        ))
    }
}

/// What a port is here.
struct Port(UdpSocket);

fn socket(port: &mut PortHandle) -> io::Result<&UdpSocket> {
    match port.downcast_mut::<Port>() {
        Some(Port(socket)) => Ok(socket),
        None => Err(io::Error::other("the port was opened by another backend")),
    }
}

/// Opens a socket per port.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataplane) struct Opener;

impl OpenPort for Opener {
    fn open(&self, local: SocketAddr) -> io::Result<PortHandle> {
        let kind = Type::DGRAM.nonblocking();
        let socket = Socket::new(Domain::for_address(local), kind, Some(Protocol::UDP))?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&local.into())?;
        Ok(PortHandle::new(Port(socket.into())))
    }
}

impl Backend for Epoll {
    fn adopt(&mut self, port: &mut PortHandle, token: usize) -> io::Result<()> {
        let fd = socket(port)?.as_raw_fd();
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), Token(token), Interest::READABLE)
    }

    fn release(&mut self, port: &mut PortHandle) {
        if let Ok(socket) = socket(port) {
            // Closing it would do the same; an error means that it was not registered.
            let _ = self
                .poll
                .registry()
                .deregister(&mut SourceFd(&socket.as_raw_fd()));
        }
    }

    fn wait(&mut self, at_most: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let tokens = self.events.iter().map(mio::event::Event::token);
        ready.extend(
            tokens
                .filter(|&token| token != WAKE)
                .map(|Token(index)| index),
        );
        Ok(())
    }

    fn receive(&mut self, port: &mut PortHandle, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.receive(socket(port)?.as_fd())
    }

    fn send(&mut self, port: &mut PortHandle, data: &[u8], to: SocketAddr) -> io::Result<()> {
        socket(port)?.send_to(data, to).map(drop)
    }

    fn set_tos(&mut self, port: &mut PortHandle, tos: u8) -> io::Result<()> {
        let socket = socket(port)?;
        let is_v4 = socket.local_addr()?.is_ipv4();
        let socket = SockRef::from(socket);
        match is_v4 {
            true => socket.set_tos_v4(u32::from(tos)),
            false => socket.set_tclass_v6(u32::from(tos)),
        }
    }
}
