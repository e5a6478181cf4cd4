//! A relay as a process of its own, and what the system says of it.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use windlass_ng::Dict;
use windlass_ng::client::{Client, ClientOptions};

const RTPENGINE: &str = "/usr/bin/rtpengine";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Windlass,
    Rtpengine,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Windlass => "Windlass",
            Self::Rtpengine => "rtpengine",
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        self == Self::Windlass || fs::exists(RTPENGINE).unwrap_or(false)
    }
}

/// Where a relay and its parties are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Address of the relay.
    pub(crate) relay: [u8; 4],
    /// Addresses of callers and of callees.
    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) parties: [[u8; 4]; 2],
    /// Network namespace of the relay; `None`: that of the generator.
    pub(crate) namespace: Option<String>,
    /// More of Windlass's configuration.
    pub(crate) more: String,
}

impl Place {
    /// Everybody on loopback.
    pub(crate) fn loopback() -> Self {
        Self {
            relay: [127, 0, 0, 1],
            parties: [[127, 0, 0, 2], [127, 0, 0, 3]],
            namespace: None,
            more: String::new(),
        }
    }

    /// A program at the relay's place.
    fn command(&self, program: &str) -> Command {
        let Some(namespace) = &self.namespace else {
            return Command::new(program);
        };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }
}

pub(crate) struct Relay {
    child: Child,
    ng: SocketAddr,
    config: Option<std::path::PathBuf>,
}

impl Relay {
    /// With media ports for 5,000 calls.
    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) fn start(kind: Kind, place: &Place) -> Self {
        Self::at(place, kind, 10_000, 29_999)
    }

    pub(crate) fn with_ports(kind: Kind, min: u16, max: u16) -> Self {
        Self::at(&Place::loopback(), kind, min, max)
    }

    fn at(place: &Place, kind: Kind, min: u16, max: u16) -> Self {
        // In another namespace, what is free here is free there: nothing else runs in it.
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = Ipv4Addr::from(place.relay);
        let ng = SocketAddr::from((address, free.local_addr().unwrap().port()));
        drop(free);
        let more = &place.more;
        let mut config = None;
        let mut command = match kind {
            Kind::Windlass => {
                let path = std::env::temp_dir().join(format!("windlass-bench-{}.toml", ng.port()));
                let mut file = fs::File::create(&path).unwrap();
                write!(
                    file,
                    "[[interface]]\naddress = \"{address}\"\n[ports]\nmin = {min}\nmax = {max}\n\
                     [ng]\nudp = [\"{ng}\"]\n[workers]\ncount = 1\n{more}"
                )
                .unwrap();
                let mut command = place.command(env!("CARGO_BIN_EXE_windlass"));
                command.arg("run").arg("--config").arg(&path);
                config = Some(path);
                command
            }
            Kind::Rtpengine => {
                let mut command = place.command(RTPENGINE);
                command.args([
                    "--config-file=none",
                    "--table=-1",
                    "--foreground",
                    "--log-stderr",
                ]);
                command.arg(format!("--interface={address}"));
                command.arg("--num-threads=1");
                command.arg("--delete-delay=0");
                command.args([format!("--port-min={min}"), format!("--port-max={max}")]);
                command.arg(format!("--listen-ng={ng}"));
                command
            }
        };
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        pin(child.id(), 0);
        let relay = Self { child, ng, config };
        let client = {
            let options = ClientOptions {
                tries: 1,
                interval: Duration::from_millis(200),
            };
            Client::connect(ng, options).unwrap()
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while client
            .request(&Dict::new().with("command", "ping"))
            .is_err()
        {
            assert!(Instant::now() < deadline, "{} does not answer", kind.name());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        // Threads that started before the process was pinned.
        pin(relay.child.id(), 0);
        relay
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.ng, ClientOptions::default()).unwrap()
    }

    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) fn address(&self) -> SocketAddr {
        self.ng
    }

    /// Time on a core of all threads so far.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let times = tasks.map(|task| {
            let text = fs::read_to_string(task.unwrap().path().join("schedstat"));
            let text = text.unwrap_or_default();
            text.split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .unwrap_or(0)
        });
        times.sum()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kilobytes: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
        kilobytes * 1024
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
        if let Some(path) = &self.config {
            let _ = fs::remove_file(path);
        }
    }
}

/// Memory of the kernel that is no cache: what sockets take, and everything else of the machine.
pub(crate) fn kernel_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.map_or(0, |number| number.parse::<u64>().unwrap())
    };
    (kilobytes("SUnreclaim:") + kilobytes("Percpu:")) * 1024
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Keeps every thread of a process on one core.
pub(crate) fn pin(pid: u32, core: usize) {
    let mut set = nix::sched::CpuSet::new();
    set.set(core).unwrap();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return;
    };
    for task in tasks.flatten() {
        let Ok(id) = task.file_name().to_string_lossy().parse() else {
            continue;
        };
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(id), &set);
    }
}

pub(crate) fn raise_descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 1024;
    };
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    hard
}

/// Time that all cores were busy so far (proc_stat(5)), to a tick of 10 ms.
#[allow(dead_code, reason = "not every benchmark needs it")]
pub(crate) fn busy_ns() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let ticks = stat.lines().next().unwrap().split_ascii_whitespace();
    let ticks: Vec<u64> = ticks.skip(1).map(|it| it.parse().unwrap()).collect();
    // user, nice, system, irq, softirq.
    let busy: u64 = [0, 1, 2, 5, 6].iter().map(|at| ticks[*at]).sum();
    busy * 10_000_000
}
