//! Hosts of a test: network namespaces joined by veth pairs.

use std::fs::File;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Namespaces of one test, removed at its end.
pub(crate) struct Network {
    prefix: String,
    hosts: Vec<&'static str>,
}

impl Network {
    /// Hosts of these names, each with a loopback.
    pub(crate) fn new(hosts: &[&'static str]) -> Self {
        let network = Self {
            prefix: format!("wl{}", std::process::id()),
            hosts: hosts.to_vec(),
        };
        for host in hosts {
            let name = network.name(host);
            run(&format!("ip netns add {name}"));
            run(&format!("ip -n {name} link set lo up"));
        }
        network
    }

    pub(crate) fn name(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// A cable between two hosts, with an address (and prefix length) at each end.
    pub(crate) fn join(&self, one: (&str, &str), other: (&str, &str)) {
        let (a, b) = (self.name(one.0), self.name(other.0));
        let (to_other, to_one) = (format!("to-{}", other.0), format!("to-{}", one.0));
        run(&format!(
            "ip -n {a} link add {to_other} type veth peer name {to_one} netns {b}"
        ));
        for (namespace, device, address) in [(&a, &to_other, one.1), (&b, &to_one, other.1)] {
            run(&format!(
                "ip -n {namespace} address add {address} dev {device}"
            ));
            run(&format!("ip -n {namespace} link set {device} up"));
        }
    }

    pub(crate) fn default_route(&self, host: &str, via: &str) {
        run(&format!(
            "ip -n {} route add default via {via}",
            self.name(host)
        ));
    }

    /// Runs a shell line on a host.
    pub(crate) fn on(&self, host: &str, line: &str) {
        run(&format!("ip netns exec {} {line}", self.name(host)));
    }

    /// A program to be run on a host.
    pub(crate) fn command(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        command
    }

    /// Does something on a host: sockets opened there stay there.
    pub(crate) fn inside<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name(host))).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.name(host)])
                .status();
        }
    }
}

fn run(line: &str) {
    let status = Command::new("sh").args(["-c", line]).status().unwrap();
    assert!(status.success(), "{line}: {status}");
}
