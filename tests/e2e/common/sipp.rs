//! sipp as caller and callee, with media.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::Process;

pub(crate) const SIPP: &str = "/usr/bin/sipp";

/// A finished run.
pub(crate) struct Outcome {
    pub(crate) successful: u64,
    pub(crate) failed: u64,
    pub(crate) retransmissions: u64,
    pub(crate) screen: String,
}

/// A sipp that answers calls; sends every RTP packet back to where it came from.
pub(crate) fn callee(directory: &Path, address: &str, port: u16, media_port: u16) -> Process {
    let mut command = Command::new(SIPP);
    command.current_dir(directory);
    command.args([
        "-sf",
        &scenario("uas.xml"),
        "-i",
        address,
        "-p",
        &port.to_string(),
    ]);
    command.args([
        "-mi",
        address,
        "-mp",
        &media_port.to_string(),
        "-rtp_echo",
        "-nostdin",
    ]);
    Process::start(command, &directory.join("uas.log"))
}

/// What carries the messages of a sipp: its `-t`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier {
    Udp,
    /// One connection for all calls.
    Tcp,
}

/// A sipp that places calls to `target` and waits until they ended.
pub(crate) fn caller(
    directory: &Path,
    address: &str,
    target: &str,
    calls: u32,
    carrier: Carrier,
) -> Outcome {
    let mut command = Command::new(SIPP);
    command.current_dir(directory);
    command.args([
        target,
        "-sf",
        &scenario("uac.xml"),
        "-i",
        address,
        "-nostdin",
    ]);
    command.args([
        "-m",
        &calls.to_string(),
        "-t",
        match carrier {
            Carrier::Udp => "u1",
            Carrier::Tcp => "t1",
        },
        "-r",
        "10",
        "-l",
        &calls.to_string(),
    ]);
    command.args([
        "-s",
        "service",
        "-trace_stat",
        "-fd",
        "1",
        "-stf",
        "uac.csv",
    ]);
    command.args([
        "-trace_screen",
        "-screen_file",
        "uac.screen",
        "-timeout",
        "60",
    ]);
    let mut process = Process::start(command, &directory.join("uac.log"));
    let status = process.wait(Duration::from_secs(90));
    let statistics = std::fs::read_to_string(directory.join("uac.csv")).unwrap_or_default();
    let mut lines = statistics.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
    let last: Vec<&str> = lines.last().unwrap_or_default().split(';').collect();
    let figure = |name: &str| {
        let index = names.iter().position(|n| *n == name);
        index
            .and_then(|index| last.get(index)?.parse().ok())
            .unwrap_or(0)
    };
    let screen = std::fs::read_to_string(directory.join("uac.screen")).unwrap_or_default();
    let outcome = Outcome {
        successful: figure("SuccessfulCall(C)"),
        failed: figure("FailedCall(C)"),
        retransmissions: figure("Retransmissions(C)"),
        screen,
    };
    assert!(
        status.success(),
        "sipp: {status}\n{}\n{}",
        outcome.screen,
        process.log()
    );
    outcome
}

/// One call of a scenario, as caller or callee; its messages are kept. `target` makes it a caller.
pub(crate) struct Phone {
    process: Process,
    messages: PathBuf,
}

/// Where a phone of sipp is.
pub(crate) struct Place<'a> {
    pub(crate) address: &'a str,
    pub(crate) port: u16,
    /// Media ports from here on are its own.
    pub(crate) media_port: u16,
}

impl Phone {
    /// Waits for a call.
    pub(crate) fn callee(directory: &Path, name: &str, at: &Place<'_>) -> Self {
        Self::start(directory, name, at, &["-rtp_echo"])
    }

    /// Calls `user` at `target`.
    pub(crate) fn caller(
        directory: &Path,
        name: &str,
        at: &Place<'_>,
        target: &str,
        user: &str,
    ) -> Self {
        Self::start(directory, name, at, &[target, "-s", user])
    }

    fn start(directory: &Path, name: &str, at: &Place<'_>, more: &[&str]) -> Self {
        let messages = directory.join(format!("{name}.messages"));
        let mut command = Command::new(SIPP);
        command.current_dir(directory).args(more);
        command.args(["-sf", &scenario(&format!("{name}.xml")), "-i", at.address]);
        command.args(["-p", &at.port.to_string(), "-mi", at.address]);
        command.args(["-mp", &at.media_port.to_string(), "-nostdin", "-m", "1"]);
        command.args(["-timeout", "9", "-timeout_error", "-trace_msg"]);
        command.arg("-message_file").arg(&messages);
        let log = directory.join(format!("{name}.log"));
        Self {
            process: Process::start(command, &log),
            messages,
        }
    }

    /// Waits until the call is over, as the scenario has it; the SDPs that were received.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let status = self.process.wait(Duration::from_secs(10));
        let messages = std::fs::read_to_string(&self.messages).unwrap_or_default();
        let log = self.process.log();
        assert!(status.success(), "sipp: {status}\n{log}\n{messages}");
        let received = messages.split("UDP message received").skip(1);
        let received = received.map(|message| message.split("-----------").next().unwrap());
        let bodies = received.filter_map(|message| Some(message.split_once("\nv=0")?.1));
        bodies
            .map(|body| format!("v=0{}", body.trim_end()).replace('\r', ""))
            .collect()
    }
}

fn scenario(name: &str) -> String {
    format!("{}/tests/e2e/sipp/{name}", env!("CARGO_MANIFEST_DIR"))
}
