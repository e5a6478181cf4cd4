//! Programs under test and their peers, ended with the test, by pid.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use windlass_ng::Dict;
use windlass_ng::client::{Client, ClientError, ClientOptions};

use super::{TempDir, wait_for};

/// What the relay logs once it serves. "Address already in use" has a word of it.
const READY: &str = "daemon: ready";

/// How long a relay may take to start, on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A program that was started, with its output in a file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let output = File::create(log).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// The same with its standard error in a pipe that nobody reads yet.
    fn start_unread(mut command: Command) -> (Self, ChildStderr) {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let unread = child.stderr.take().unwrap();
        let log = PathBuf::new();
        (Self { child, log }, unread)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory in use, in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|number| number.parse().ok()).unwrap()
    }

    /// CPU that it has used, in user space and in the kernel: in ticks of 10 ms.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, behind_name) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .map(|it| it.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(10 * ticks)
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    pub(crate) fn wait(&mut self, at_most: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the end of a process", at_most, || {
            child.try_wait().unwrap()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.terminate();
            // One that is killed leaves its ports reserved on this host.
            for _ in 0..1000 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A running Windlass.
pub(crate) struct Relay {
    pub(crate) process: Process,
    pub(crate) ng: SocketAddr,
    directory: TempDir,
}

impl Relay {
    /// The file of its configuration.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("windlass.toml")
    }

    /// With one interface on loopback, and more configuration as given.
    pub(crate) fn start(more: &str) -> Self {
        Self::start_with("[[interface]]\naddress = \"127.0.0.1\"\n", more)
    }

    pub(crate) fn start_with(interfaces: &str, more: &str) -> Self {
        Self::launch(
            Command::new(env!("CARGO_BIN_EXE_windlass")),
            interfaces,
            more,
        )
    }

    /// Whether it starts with this configuration, or ends with an error.
    pub(crate) fn starts(interfaces: &str, more: &str) -> bool {
        let command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        let mut relay = Self::spawn(command, interfaces, more);
        wait_for("the relay, or its end", START, || {
            let has_ended = relay.process.child.try_wait().unwrap().is_some();
            match relay.process.log().contains(READY) {
                true => Some(true),
                false => has_ended.then_some(false),
            }
        })
    }

    /// `command` runs the binary, perhaps in a namespace.
    pub(crate) fn launch(command: Command, interfaces: &str, more: &str) -> Self {
        let mut relay = Self::spawn(command, interfaces, more);
        wait_for("the relay", START, || {
            let has_ended = relay.process.child.try_wait().unwrap().is_some();
            let log = relay.process.log();
            assert!(!has_ended, "{log}");
            let has_failed = |line: &str| line.contains("Error") || line.starts_with("error:");
            assert!(!log.lines().any(has_failed), "{log}");
            log.contains(READY).then_some(())
        });
        relay
    }

    fn spawn(mut command: Command, interfaces: &str, more: &str) -> Self {
        let ng = free_udp("127.0.0.1");
        let directory = Self::configure(&mut command, ng, interfaces, more);
        let process = Process::start(command, &directory.path().join("log"));
        Self {
            process,
            ng,
            directory,
        }
    }

    /// With its log in a pipe that nobody reads yet.
    pub(crate) fn start_unread(more: &str) -> (Self, ChildStderr) {
        let ng = free_udp("127.0.0.1");
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        let interface = "[[interface]]\naddress = \"127.0.0.1\"\n";
        let directory = Self::configure(&mut command, ng, interface, more);
        let (process, unread) = Process::start_unread(command);
        let relay = Self {
            process,
            ng,
            directory,
        };
        wait_for("the relay", Duration::from_secs(10), || {
            relay.ask(Dict::new().with("command", "ping")).ok()
        });
        (relay, unread)
    }

    fn configure(command: &mut Command, ng: SocketAddr, interfaces: &str, more: &str) -> TempDir {
        let directory = TempDir::new(&format!("relay-{}", ng.port()));
        // Who writes a log of the edge has a section of it.
        let log = match more.contains("[log]") {
            true => "",
            false => "[log]\nlevel = \"debug\"\n",
        };
        let config =
            format!("{interfaces}\n[ng]\nudp = [\"{ng}\"]\ntcp = [\"{ng}\"]\n{more}\n{log}");
        let path = directory.file("windlass.toml", &config);
        command.arg("run").arg("--config").arg(path);
        directory
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.ng, ClientOptions::default()).unwrap()
    }

    pub(crate) fn ask(&self, request: Dict) -> Result<Dict, ClientError> {
        let options = ClientOptions {
            tries: 3,
            interval: Duration::from_secs(1),
        };
        Client::connect(self.ng, options)?.request(&request)
    }

    /// Ports of the media range that are leased now, by the relay's own statistics.
    pub(crate) fn leased_ports(&self) -> i64 {
        let reply = self.ask(Dict::new().with("command", "statistics")).unwrap();
        let interfaces = reply
            .get("statistics")
            .unwrap()
            .as_dict()
            .unwrap()
            .get("interfaces");
        let list = interfaces.unwrap().as_list().unwrap();
        let used = |value: &windlass_ng::Value| {
            let ports = value
                .as_dict()
                .unwrap()
                .get("ports")
                .unwrap()
                .as_dict()
                .unwrap();
            ports.get("used").unwrap().as_int().unwrap()
        };
        list.iter().map(used).sum()
    }
}

/// Whether a process has this IPv4 address and port open, as `udp` or as a `tcp` listener.
///
/// Asks the kernel's table: who tried to bind the port instead could take it from the one that is waited for.
pub(crate) fn is_bound(protocol: &str, at: SocketAddr) -> bool {
    let SocketAddr::V4(at) = at else {
        panic!("{at} is no IPv4 address");
    };
    let address = u32::from_ne_bytes(at.ip().octets());
    let wanted = [address, 0].map(|ip| format!("{ip:08X}:{:04X}", at.port()));
    // A listener of TCP; a UDP socket that is bound and not connected.
    let state = if protocol == "tcp" { "0A" } else { "07" };
    let table = std::fs::read_to_string(format!("/proc/net/{protocol}")).unwrap();
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_local = words
            .next()
            .is_some_and(|local| wanted.iter().any(|wanted| wanted == local));
        is_local && words.nth(1) == Some(state)
    })
}

/// A port that is free now, for both UDP and TCP.
pub(crate) fn free_udp(host: &str) -> SocketAddr {
    for _ in 0..100 {
        // A relay that reserves its ports at this moment may be in the way.
        let Ok(socket) = UdpSocket::bind((host, 0)) else {
            continue;
        };
        let address = socket.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port on {host}");
}
