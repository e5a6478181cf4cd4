//! What the relay may do once it serves.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;
use std::time::Duration;

use windlass_ng::Dict;

use crate::common::netns::Network;
use crate::common::phone::{Call, Phone};
use crate::common::process::Relay;
use crate::common::{TempDir, is_root, lock_machine};
use crate::rungs::{rungs, steering};

const NOBODY: u32 = 65534;

/// CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF by their bits.
const STEERED: u64 = 1 << 12 | 1 << 13 | 1 << 38 | 1 << 39;
const SOCKETS: u64 = 1 << 12;

/// Ports as said, and nothing in the kernel that needs more rights than they do.
fn ports(rung: &str) -> String {
    steering(rung) + "[offload]\nmode = \"off\"\n"
}

/// The value of a line of /proc/PID/status, of every thread.
fn of_every_thread(relay: &Relay, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", relay.process.id())).unwrap();
    let values = tasks.filter_map(|task| {
        // A thread may end meanwhile.
        let status = fs::read_to_string(task.unwrap().path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        Some(
            line.unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        )
    });
    let values: Vec<String> = values.collect();
    assert!(values.len() > 3, "{values:?}");
    values
}

#[track_caller]
fn assert_reduced(relay: &Relay, capabilities: u64, user: u32) {
    let capabilities = format!("{capabilities:016x}");
    let none = format!("{:016x}", 0);
    for (name, expected) in [
        ("CapEff:", &capabilities),
        ("CapPrm:", &capabilities),
        ("CapBnd:", &capabilities),
        ("CapInh:", &none),
        ("CapAmb:", &none),
        ("NoNewPrivs:", &"1".to_owned()),
        ("Uid:", &vec![user.to_string(); 4].join(" ")),
        ("Gid:", &vec![user.to_string(); 4].join(" ")),
    ] {
        let found = of_every_thread(relay, name);
        assert!(
            found.iter().all(|value| value == expected),
            "{name} {found:?}"
        );
    }
}

/// A recorded call; the recording belongs to `user`.
fn record(relay: &Relay, dir: &std::path::Path, user: u32) {
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up(relay, "recorded", &caller, &callee);
    let start = Dict::new()
        .with("command", "start recording")
        .with("call-id", "recorded");
    relay.ask(start).unwrap();
    caller.speak(call.shown_to_caller, 5);
    callee.speak(call.shown_to_callee, 5);
    assert_eq!((callee.hear(5), caller.hear(5)), (5, 5));
    call.delete(relay);
    let pcaps = || {
        let pcaps = fs::read_dir(dir.join("pcaps")).unwrap();
        let pcaps = pcaps.map(|pcap| pcap.unwrap().metadata().unwrap());
        pcaps.collect::<Vec<_>>()
    };
    let written = crate::common::wait_for("a recording", Duration::from_secs(5), || {
        pcaps().into_iter().find(|pcap| pcap.len() > 24)
    });
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&written), user);
}

#[test]
fn a_relay_keeps_what_it_needs_and_nothing_else() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    for rung in rungs() {
        let directory = TempDir::new("privileges");
        let (pidfile, recordings) = (
            directory.path().join("pid"),
            directory.path().join("recordings"),
        );
        fs::create_dir(&recordings).unwrap();
        let more = format!(
            "{}[recording]\ndir = \"{}\"\n[process]\npidfile = \"{}\"\n",
            ports(rung),
            recordings.display(),
            pidfile.display()
        );
        let mut relay = Relay::start(&more);
        let kept = if rung == "off" { SOCKETS } else { STEERED };
        assert_reduced(&relay, kept, 0);
        record(&relay, &recordings, 0);
        assert!(pidfile.exists());
        relay.process.terminate();
        assert!(relay.process.wait(Duration::from_secs(10)).success());
        assert!(!pidfile.exists());
    }
}

#[test]
fn a_relay_keeps_access_to_a_directory_of_another_user() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let directory = TempDir::new("privileges-dir");
    let recordings = directory.path().join("recordings");
    fs::create_dir(&recordings).unwrap();
    chown(&recordings, Some(NOBODY), Some(NOBODY)).unwrap();
    let more = format!(
        "{}[recording]\ndir = \"{}\"\n",
        ports("off"),
        recordings.display()
    );
    let relay = Relay::start(&more);
    assert!(relay.process.log().contains("keeps CAP_DAC_OVERRIDE"));
    assert_reduced(&relay, SOCKETS | 1 << 1, 0);
    record(&relay, &recordings, 0);
}

#[test]
fn a_relay_runs_as_another_user_and_gives_everything_back() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let _lock = lock_machine();
    let machines = Network::new(&["relay"]);
    let list = || {
        let read = "cat /proc/sys/net/ipv4/ip_local_reserved_ports";
        let output = machines.command("relay", "sh").args(["-c", read]).output();
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    for rung in rungs() {
        let directory = TempDir::new("privileges-user");
        chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let pidfile = directory.path().join("pid");
        let more = format!(
            "{}[recording]\ndir = \"{}\"\n[process]\npidfile = \"{}\"\nuser = \"nobody\"\n\
             group = \"{NOBODY}\"\n[ports]\nmin = 30000\nmax = 30999\n",
            ports(rung),
            directory.path().display(),
            pidfile.display()
        );
        let command: Command = machines.command("relay", env!("CARGO_BIN_EXE_windlass"));
        let interface = "[[interface]]\naddress = \"127.0.0.1\"\n";
        let mut relay = machines.inside("relay", || Relay::launch(command, interface, &more));
        let kept = if rung == "off" { SOCKETS } else { STEERED };
        assert_reduced(&relay, kept, NOBODY);
        machines.inside("relay", || record(&relay, directory.path(), NOBODY));
        assert_eq!(list(), "30000-30999");
        assert!(pidfile.exists());
        relay.process.terminate();
        assert!(relay.process.wait(Duration::from_secs(10)).success());
        assert!(!pidfile.exists());
        assert_eq!(list(), "");
    }
}

#[test]
fn privileges_can_be_kept() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let before = fs::read_to_string("/proc/self/status").unwrap();
    let before = before.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let relay = Relay::start("[process]\ndrop_privileges = false\n");
    let found = of_every_thread(&relay, "CapEff:");
    assert!(
        found
            .iter()
            .all(|value| Some(value.as_str()) == before.map(str::trim))
    );
    // Giving them up costs nothing.
    let is_steered = |relay: &Relay| relay.process.log().contains("ports are steered");
    assert_eq!(is_steered(&Relay::start("")), is_steered(&relay));
}
