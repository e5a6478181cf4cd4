//! `windlass demo`, the first command of README.md, run to its end.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::common::process::Process;
use crate::common::{TempDir, lock_machine};

/// Seconds that the phones talk: 50 packets each way per second. Longer than a source may be replaced
/// by a better one (3 s): then ports are bound to their peers.
const SECONDS: u64 = 5;

/// Runs the demo with these arguments; what it printed.
fn demo(more: &[&str]) -> String {
    let _lock = lock_machine();
    let directory = TempDir::new("demo");
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command
        .arg("demo")
        .args(["--seconds", &SECONDS.to_string()])
        .args(more);
    let mut process = Process::start(command, &directory.path().join("log"));
    let status = process.wait(Duration::from_secs(30));
    let printed = process.log();
    assert!(status.success(), "{status}\n{printed}");
    assert!(!printed.contains("panicked"), "{printed}");
    printed
}

#[test]
fn the_demo_ends_with_a_verdict_that_names_what_it_did() {
    let printed = demo(&[]);
    let verdict = printed.trim_end().lines().last().unwrap();
    assert!(verdict.starts_with("PASS: "), "{printed}");
    assert!(
        verdict.contains(", the caller found behind its NAT"),
        "{printed}"
    );
    let secure = ", 25 of 25 packets came back to a phone with TLS";
    assert!(verdict.contains(secure), "{printed}");
    assert!(verdict.contains(", a scanner got no answer"), "{printed}");
    // A host without IPv6 has nothing to bridge.
    if std::net::UdpSocket::bind("[::1]:0").is_ok() {
        assert!(verdict.ends_with(", IPv4 and IPv6 bridged"), "{printed}");
    }
    for row in [
        "SDP as the phone wrote it ",
        "latched source ",
        "heard by it ",
    ] {
        assert!(
            printed.lines().any(|line| line.starts_with(row)),
            "{printed}"
        );
    }
}

#[test]
fn the_demo_as_json_counts_every_packet_of_both_legs() {
    let printed = demo(&["--json"]);
    let report: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["seconds"], SECONDS);
    for (leg, name) in ["caller", "callee"].into_iter().enumerate() {
        let leg = &report["legs"][leg];
        assert_eq!(leg["name"], name);
        let count = |of: &Value| of.as_u64().unwrap();
        let (sent, arrived) = (
            count(&leg["heard"]["sent"]),
            count(&leg["heard"]["arrived"]),
        );
        // All of them where the machine keeps up.
        assert!(sent >= SECONDS * 25, "{printed}");
        assert!(arrived <= sent && arrived * 1000 >= sent * 999, "{printed}");
        assert!(count(&leg["packets_out"]) >= arrived, "{printed}");
    }
    assert_eq!(report["scan"]["requests"], 3);
    assert_eq!(report["scan"]["answers"], 0);
    assert_eq!(report["secure"]["returned"], report["secure"]["sent"]);
    let caller = &report["legs"][0];
    assert_eq!(caller["latched"], caller["source"]);
    assert_ne!(caller["latched"], caller["sdp_before"]);
}
