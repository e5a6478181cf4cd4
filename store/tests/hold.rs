//! The holder with real processes: a socket outlives the process that reads it.
//!
//! The holder runs in a process of its own that has one thread, as in earnest: this program again,
//! with WINDLASS_ROLE. So there is no test harness, whose threads would get the signals.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, process};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use windlass_store::hold::parent::Parent;
use windlass_store::hold::{Holder, Notified, passed};

fn main() {
    match env::var("WINDLASS_ROLE").as_deref() {
        Ok("holder") => holder(),
        Ok("child") => child(),
        _ => {
            datagrams_wait_over_kill_9();
            holder_ends_as_its_child_ends();
            holder_gives_up_on_what_never_starts();
        }
    }
}

fn holder() {
    // The shell stands for whatever changes the role on the way.
    let program = env::current_exe()
        .unwrap()
        .into_os_string()
        .into_string()
        .unwrap();
    let shell = format!("WINDLASS_ROLE=child exec {program}");
    let arguments = vec!["-c".into(), shell.into()];
    let nonce = u64::from(process::id());
    let mut parent = Parent::start("/bin/sh".into(), arguments, nonce).unwrap();
    let code = loop {
        if let Some(code) = parent.turn(None).unwrap() {
            break code;
        }
    };
    process::exit(code.into());
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{line}").unwrap();
    out.flush().unwrap();
}

/// Reads one UDP socket and says what comes; the word says what it does.
fn child() {
    let variables: Vec<_> = env::vars_os().collect();
    let variable = |name: &str| {
        let found = variables.iter().find(|(of, _)| of.to_str() == Some(name));
        found.map(|(_, value)| value.as_os_str())
    };
    let mut held = passed(process::id(), variable).unwrap();
    let holder = Notified::new(variable("NOTIFY_SOCKET").unwrap()).unwrap();
    let socket = match held.remove("queue.0.0") {
        Some(mut sockets) => {
            assert_eq!(sockets.len(), 1);
            UdpSocket::from(sockets.remove(0))
        }
        None => {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            holder.hold("queue.0.0", socket.as_fd()).unwrap();
            // Another one, which is given up again.
            holder.hold("ng.udp", socket.as_fd()).unwrap();
            holder.remove("ng.udp").unwrap();
            socket
        }
    };
    assert!(held.is_empty(), "{held:?}");
    say(&format!(
        "ready {} {}",
        process::id(),
        socket.local_addr().unwrap().port()
    ));
    let mut text = [0; 100];
    loop {
        let len = socket.recv(&mut text).unwrap();
        let word = str::from_utf8(&text[..len]).unwrap();
        match word.split_once(' ') {
            Some(("exit", code)) => process::exit(code.parse().unwrap()),
            _ => say(word),
        }
    }
}

struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start() -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .env("WINDLASS_ROLE", "holder")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn hears(&mut self) -> Vec<String> {
        loop {
            let line = self.lines.next().unwrap().unwrap();
            if let Some(line) = line.strip_prefix('@') {
                return line.split(' ').map(str::to_owned).collect();
            }
        }
    }

    /// The child says that it is there: its process and its port.
    fn ready(&mut self) -> (i32, u16) {
        loop {
            let line = self.hears();
            if line[0] == "ready" {
                return (line[1].parse().unwrap(), line[2].parse().unwrap());
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill(pid(&self.child), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// The state of a process, behind its name in parentheses (proc_pid_stat(5)).
fn is_stopped(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(')')
        .unwrap()
        .1
        .trim_start()
        .starts_with('T')
}

fn datagrams_wait_over_kill_9() {
    let mut running = Running::start();
    let (mut child, port) = running.ready();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..5 {
        sender.send_to(b"before", ("127.0.0.1", port)).unwrap();
        assert_eq!(running.hears(), ["before"]);
        // Stopped first, so that what is sent meanwhile is read by nobody: a datagram that it had
        // read would be lost with it.
        kill(Pid::from_raw(child), Signal::SIGSTOP).unwrap();
        while !is_stopped(child) {
            std::thread::yield_now();
        }
        for number in 0..20 {
            let word = format!("word{round}.{number}");
            sender
                .send_to(word.as_bytes(), ("127.0.0.1", port))
                .unwrap();
        }
        kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
        let (next, same) = running.ready();
        assert!(next != child && same == port);
        child = next;
        for number in 0..20 {
            assert_eq!(running.hears(), [format!("word{round}.{number}")]);
        }
    }
    // Small: what it has of its own. The test program is larger than the real one.
    let status = fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon"))
        .unwrap();
    let kb: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kb < 2048, "{kb} KB");
}

fn holder_ends_as_its_child_ends() {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut running = Running::start();
    let (_, port) = running.ready();
    // An error is a crash: it is started again.
    sender.send_to(b"exit 3", ("127.0.0.1", port)).unwrap();
    let (_, same) = running.ready();
    assert_eq!(port, same);
    sender.send_to(b"exit 0", ("127.0.0.1", port)).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(0));

    let mut running = Running::start();
    running.ready();
    kill(pid(&running.child), Signal::SIGTERM).unwrap();
    // 128 and the signal, as a shell says it.
    assert_eq!(running.child.wait().unwrap().code(), Some(128 + 15));
}

/// A program that never becomes ready is not started for ever.
fn holder_gives_up_on_what_never_starts() {
    let arguments = vec!["-c".into(), "exit 7".into()];
    let mut parent = Parent::start("/bin/sh".into(), arguments, 99).unwrap();
    let mut turns = 0;
    let code = loop {
        if let Some(code) = parent.turn(Some(Duration::from_millis(20))).unwrap() {
            break code;
        }
        turns += 1;
        assert!(turns < 10_000);
    };
    assert_eq!(code, 7);
    assert!(Parent::start("/nonexistent/program".into(), Vec::new(), 98).is_err());
}
