//! ffmpeg, as a source of RTP and as its sink.

use std::process::Command;

use super::TempDir;
use super::process::Process;

pub(crate) const FFMPEG: &str = "/usr/bin/ffmpeg";

/// Options of an input that is an SDP: it is read at once, from the first packet.
pub(crate) const OF_SDP: [&str; 6] = [
    "-protocol_whitelist",
    "file,srtp,rtp,udp,crypto",
    "-analyzeduration",
    "0",
    "-probesize",
    "32",
];

/// Runs it; what it says is in a file of this name.
pub(crate) fn run(directory: &TempDir, name: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(FFMPEG);
    command.current_dir(directory.path());
    command.args(["-hide_banner", "-nostdin", "-loglevel", "warning"]);
    command.args(arguments);
    Process::start(command, &directory.path().join(format!("{name}.log")))
}
