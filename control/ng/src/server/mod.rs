//! The sockets requests come in by. Requests are executed on blocking threads: a command is short,
//! and the handler may block on a call's lock.

mod broadcast;
mod fair;
pub mod http;
mod lanes;
mod places;
mod splitter;
pub mod tcp;
pub mod udp;

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};

pub use broadcast::Broadcaster;
pub use http::{HttpOptions, HttpServer, Page, Resources, Secret, Tls, TlsError};
pub use places::{Bounds, Place, Places};
pub use tcp::{TcpOptions, TcpServer};
pub use udp::{ReplyTos, UdpServer};

/// Interval at which a thread without traffic checks whether to stop.
const STOP_CHECK: Duration = Duration::from_millis(250);

/// The clock of the drivers; below them time is passed in.
#[expect(
    clippy::disallowed_methods,
    reason = "a socket driver is where time comes in"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// The IPv4 address of an IPv4-mapped one, so that access rules see one form.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// A listening TCP socket. An IPv6 wildcard does not take IPv4.
fn listen(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(128)?;
    Ok(socket)
}
