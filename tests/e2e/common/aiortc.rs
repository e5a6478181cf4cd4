//! WebRTC parties (aiortc), driven over pipes. The program is `webrtc_party.py`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// What is installed, and nothing newer: tests give the same answer every time.
const PACKAGE: &str = "aiortc==1.16.0";

/// The Python that has aiortc: installed once, beside the build. `None`: it cannot be had, which is
/// said, and with CI=true a failure.
pub(crate) fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let venv = target.join("aiortc");
    let python = venv.join("bin/python");
    let lock = File::create(target.join("aiortc.lock")).unwrap();
    lock.lock().unwrap();
    let runs = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let has = || runs(Command::new(&python).args(["-c", "import aiortc"]));
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

/// A party; it ends with the test.
pub(crate) struct WebRtc {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a party has heard so far.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) frames: u64,
    /// All samples that there were.
    pub(crate) values: Vec<i64>,
    /// Of the connection, as browsers call it.
    pub(crate) state: String,
    /// Frames and samples of each line, by its mid.
    pub(crate) lines: BTreeMap<String, (u64, Vec<i64>)>,
    /// Where its media goes, for each transport.
    pub(crate) remote: Vec<SocketAddr>,
}

impl WebRtc {
    pub(crate) fn start(python: &Path) -> Self {
        let program = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/e2e/common/webrtc_party.py"
        );
        let mut child = Command::new(python)
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            orders: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn order(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{order}: {line:?} {error}"))
    }

    fn sdp(&mut self, order: &Value) -> String {
        self.order(order)["sdp"].as_str().unwrap().to_owned()
    }

    /// Host candidates are on these.
    pub(crate) fn is_on(&mut self, addresses: &[&str]) {
        self.order(&json!({"do": "configure", "addresses": addresses}));
    }

    /// From now on it answers checks, and sends none (RFC 8445 §2.5). To be said before it offers or
    /// answers.
    pub(crate) fn is_lite(&mut self) {
        self.order(&json!({"do": "configure", "lite": true}));
    }

    pub(crate) fn offer(&mut self) -> String {
        self.sdp(&json!({"do": "offer"}))
    }

    /// An offer of lines of these kinds.
    pub(crate) fn offer_of(&mut self, kinds: &[&str]) -> String {
        self.sdp(&json!({"do": "offer", "lines": kinds}))
    }

    pub(crate) fn offer_again(&mut self) -> String {
        self.sdp(&json!({"do": "offer again"}))
    }

    /// The same with more lines.
    pub(crate) fn offer_more(&mut self, kinds: &[&str]) -> String {
        self.sdp(&json!({"do": "offer again", "lines": kinds}))
    }

    /// An answer of one who only listens.
    pub(crate) fn answer_in_silence(&mut self, sdp: &str) -> String {
        self.sdp(&json!({"do": "answer", "sdp": sdp, "speaks": false}))
    }

    /// Takes a candidate of the first line that came by itself (RFC 8838), without its `a=`.
    pub(crate) fn take_candidate(&mut self, candidate: &str) {
        let candidate = candidate.strip_prefix("candidate:").unwrap();
        self.order(&json!({"do": "candidate", "candidate": candidate}));
    }

    pub(crate) fn answer(&mut self, sdp: &str) -> String {
        self.sdp(&json!({"do": "answer", "sdp": sdp}))
    }

    pub(crate) fn accept(&mut self, sdp: &str) {
        self.order(&json!({"do": "accept", "sdp": sdp}));
    }

    pub(crate) fn heard(&mut self) -> Heard {
        let heard = self.order(&json!({"do": "heard"}));
        let (frames, values) = media(&heard);
        let lines = heard["lines"].as_object().unwrap().iter();
        let remote = heard["remote"].as_array().unwrap().iter().map(|remote| {
            let host = remote[0].as_str().unwrap().parse().unwrap();
            SocketAddr::new(host, remote[1].as_u64().unwrap() as u16)
        });
        Heard {
            frames,
            values,
            state: heard["state"].as_str().unwrap().to_owned(),
            lines: lines
                .map(|(mid, line)| (mid.clone(), media(line)))
                .collect(),
            remote: remote.collect(),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn close(&mut self) {
        self.order(&json!({"do": "close"}));
    }
}

/// Frames and samples.
fn media(heard: &Value) -> (u64, Vec<i64>) {
    let values = heard["values"].as_array().unwrap().iter();
    let frames = heard["frames"].as_u64().unwrap();
    (
        frames,
        values.map(|value| value.as_i64().unwrap()).collect(),
    )
}

impl Drop for WebRtc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
