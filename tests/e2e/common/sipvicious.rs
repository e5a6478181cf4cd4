//! SIPVicious: the scanner that most attackers run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::TempDir;
use super::process::Process;

/// What is installed, and nothing newer: tests give the same answer every time.
const PACKAGE: &str = "sipvicious==0.3.8";

/// Runs a tool by name from an address, under another User-Agent if there is one. Some tools forget
/// their option `-b`.
const RUN: &str = "
import socket
import sys
tool, agent, address, *arguments = sys.argv[1:]
class Socket(socket.socket):
    def bind(self, at):
        super().bind((address, 0))
socket.socket = Socket
import sipvicious.libs.svhelper as helper
if agent:
    make = helper.makeRequest
    assert 'friendly-scanner' in make.__defaults__
    make.__defaults__ = tuple(agent if it == 'friendly-scanner' else it for it in make.__defaults__)
sys.argv = [tool, *arguments]
__import__('sipvicious.' + tool, fromlist=['main']).main()
";

/// The Python that has it: installed once, beside the build. `None`: it cannot be had, which is
/// said, and with CI=true a failure.
pub(crate) fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let venv = target.join("sipvicious");
    let python = venv.join("bin/python");
    let lock = File::create(target.join("sipvicious.lock")).unwrap();
    lock.lock().unwrap();
    let runs = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let has = || runs(Command::new(&python).args(["-c", "import sipvicious"]));
    let is_there = has()
        || runs(Command::new("python3").arg("-m").arg("venv").arg(&venv))
            && runs(Command::new(&python).args(["-m", "pip", "install", "-q", PACKAGE]))
            && has();
    if !is_there {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!required, "{PACKAGE} cannot be installed");
        println!("skipped: {PACKAGE} cannot be installed with python3 -m venv and pip");
    }
    is_there.then_some(python)
}

/// A tool to its end, from an address of its own; what it printed.
pub(crate) fn run(
    python: &Path,
    tool: &str,
    from: &str,
    agent: &str,
    arguments: &[&str],
) -> String {
    let directory = TempDir::new(&format!("{tool}-{from}"));
    let mut command = Command::new(python);
    // It keeps sessions in its home.
    command
        .current_dir(directory.path())
        .env("HOME", directory.path());
    command.args(["-c", RUN, tool, agent, from]).args(arguments);
    let mut process = Process::start(command, &directory.path().join("log"));
    process.wait(Duration::from_secs(30));
    process.log()
}
