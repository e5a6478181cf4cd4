//! sipp as caller and callee, with media.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{Process, is_bound};
use super::wait_for;

pub(crate) const SIPP: &str = "/usr/bin/sipp";

/// A finished run.
pub(crate) struct Outcome {
    pub(crate) successful: u64,
    pub(crate) failed: u64,
    pub(crate) retransmissions: u64,
    pub(crate) screen: String,
    /// Upper bounds in milliseconds, and how many calls were answered within each and not within the
    /// one before; of a scenario that counts them.
    answers: Vec<(Option<u64>, u64)>,
}

impl Outcome {
    /// How many of a hundred calls were answered within so many milliseconds, a bound of the scenario.
    pub(crate) fn answered_within(&self, ms: u64) -> f64 {
        let count = |is_counted: &dyn Fn(Option<u64>) -> bool| -> u64 {
            let counted = self.answers.iter().filter(|(bound, _)| is_counted(*bound));
            counted.map(|(_, count)| count).sum()
        };
        let within = count(&|bound| bound.is_some_and(|bound| bound <= ms));
        let all = u32::try_from(count(&|_| true)).unwrap();
        f64::from(u32::try_from(within).unwrap()) * 100.0 / f64::from(all)
    }
}

/// Many calls of a scenario, going on.
pub(crate) struct Load {
    process: Process,
    directory: PathBuf,
    scenario: String,
}

impl Load {
    /// Calls `target`; `more` has at least the address, the number of calls and the rate.
    pub(crate) fn start(directory: &Path, name: &str, target: &str, more: &[&str]) -> Self {
        let mut command = Command::new(SIPP);
        command.current_dir(directory);
        command.args([target, "-sf", &scenario(&format!("{name}.xml")), "-nostdin"]);
        command.args(["-s", "service", "-trace_stat", "-fd", "1", "-stf"]);
        command.arg(format!("{name}.csv"));
        command.args(["-trace_screen", "-screen_file"]);
        command.arg(format!("{name}.screen"));
        command.args(["-trace_err", "-error_file"]);
        command.arg(format!("{name}.errors"));
        command.args(["-timeout", "60"]).args(more);
        Self {
            process: Process::start(command, &directory.join(format!("{name}.log"))),
            directory: directory.to_owned(),
            scenario: name.to_owned(),
        }
    }

    /// Waits until all calls ended.
    pub(crate) fn finish(mut self) -> Outcome {
        let status = self.process.wait(Duration::from_secs(90));
        let read = |kind: &str| {
            let path = self.directory.join(format!("{}.{kind}", self.scenario));
            std::fs::read_to_string(path).unwrap_or_default()
        };
        let (statistics, screen) = (read("csv"), read("screen"));
        let mut lines = statistics.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
        let last: Vec<&str> = lines.last().unwrap_or_default().split(';').collect();
        let figure = |name: &str| {
            let index = names.iter().position(|n| *n == name);
            index
                .and_then(|index| last.get(index)?.parse().ok())
                .unwrap_or(0)
        };
        let bounds = names.iter().filter_map(|name| {
            let bound = name.strip_prefix("ResponseTimeRepartition1_")?;
            let bound = bound.strip_prefix('<').and_then(|ms| ms.parse().ok());
            Some((bound, figure(name)))
        });
        let answers = bounds.collect();
        let log = self.process.log();
        // 1: some calls failed.
        assert!(
            matches!(status.code(), Some(0 | 1)),
            "sipp: {status}\n{screen}\n{log}"
        );
        Outcome {
            successful: figure("SuccessfulCall(C)"),
            failed: figure("FailedCall(C)"),
            retransmissions: figure("Retransmissions(C)"),
            screen: screen + &log + &read("errors"),
            answers,
        }
    }
}

/// A sipp that takes calls by a scenario until it is dropped; its messages are kept.
pub(crate) fn server(directory: &Path, name: &str, at: &str, more: &[&str]) -> Process {
    let (address, port) = at.rsplit_once(':').unwrap();
    let mut command = Command::new(SIPP);
    command.current_dir(directory);
    command.args([
        "-sf",
        &scenario(&format!("{name}.xml")),
        "-i",
        address,
        "-p",
        port,
    ]);
    command.args(["-nostdin", "-trace_msg", "-message_file"]);
    command.arg(format!("{name}.messages")).args(more);
    let process = Process::start(command, &directory.join(format!("{name}.log")));
    wait_for("sipp", Duration::from_secs(10), || {
        is_bound("udp", at.parse().unwrap()).then_some(())
    });
    process
}

/// Messages that a sipp received, as its file has them.
pub(crate) fn received(directory: &Path, name: &str) -> Vec<String> {
    let path = directory.join(format!("{name}.messages"));
    let text = std::fs::read_to_string(path).unwrap();
    let parts = text.split("UDP message received").skip(1);
    let parts = parts.filter_map(|part| part.split("\n\n").nth(1).map(|_| part));
    parts
        .map(|part| part.split("-----------").next().unwrap().to_owned())
        .collect()
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
    let transport = match carrier {
        Carrier::Udp => "u1",
        Carrier::Tcp => "t1",
    };
    let calls = calls.to_string();
    let more = [
        "-i", address, "-m", &calls, "-l", &calls, "-r", "10", "-t", transport,
    ];
    let outcome = Load::start(directory, "uac", target, &more).finish();
    assert_eq!(outcome.failed, 0, "{}", outcome.screen);
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
