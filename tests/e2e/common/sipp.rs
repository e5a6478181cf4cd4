//! sipp as caller and callee, with media.

use std::path::Path;
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

/// A sipp that places calls to `target` and waits until they ended.
pub(crate) fn caller(directory: &Path, address: &str, target: &str, calls: u32) -> Outcome {
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

fn scenario(name: &str) -> String {
    format!("{}/tests/e2e/sipp/{name}", env!("CARGO_MANIFEST_DIR"))
}
