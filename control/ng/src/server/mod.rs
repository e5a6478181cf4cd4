//! The transports that requests come in by. Each is a few threads around
//! [`crate::Responder::respond`].

mod tcp;
mod udp;

pub use tcp::TcpServer;
pub use udp::UdpServer;

use std::time::{Duration, Instant};

/// How often a blocked thread looks whether it should stop.
const STOP_INTERVAL: Duration = Duration::from_millis(200);

/// The clock of the transports: the one place of this crate that reads it.
#[expect(
    clippy::disallowed_methods,
    reason = "drivers read the clock; the codec does not"
)]
fn now() -> Instant {
    Instant::now()
}
