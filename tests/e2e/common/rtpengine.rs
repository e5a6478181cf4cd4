//! Debian's rtpengine, in user space.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::process::{Process, is_bound};
use super::{TempDir, wait_for};

pub(crate) const RTPENGINE: &str = "/usr/bin/rtpengine";

/// Starts it with ng over UDP and TCP at an address. `more` has its interfaces and ports, at least.
pub(crate) fn start(directory: &TempDir, ng: SocketAddr, more: &[String]) -> Process {
    let mut command = Command::new(RTPENGINE);
    command.args([
        "--config-file=none",
        "--table=-1",
        "--foreground",
        "--log-stderr",
    ]);
    command.args([format!("--listen-ng={ng}"), format!("--listen-tcp-ng={ng}")]);
    command.args(more);
    let process = Process::start(command, &directory.path().join("rtpengine.log"));
    wait_for("rtpengine", Duration::from_secs(10), || {
        is_bound("udp", ng).then_some(())
    });
    process
}

/// On loopback, with ports that no relay of a test has.
pub(crate) fn on_loopback() -> [String; 3] {
    [
        "--interface=127.0.0.1",
        "--port-min=42000",
        "--port-max=43000",
    ]
    .map(str::to_owned)
}
