//! The sockets requests come in by. Blocking threads: a command is short, and the handler may
//! block on a call's lock.

mod lanes;
pub mod tcp;
pub mod udp;

use std::time::Duration;

pub use tcp::{TcpOptions, TcpServer};
pub use udp::UdpServer;

/// How often a thread without traffic looks whether it shall stop.
const STOP_CHECK: Duration = Duration::from_millis(250);

/// The clock of the drivers; below them time is passed in.
#[expect(
    clippy::disallowed_methods,
    reason = "a socket driver is where time comes in"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// An IPv4 address in IPv6 clothes as what it is, so that access rules see one form.
fn canonical(addr: std::net::SocketAddr) -> std::net::SocketAddr {
    std::net::SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
