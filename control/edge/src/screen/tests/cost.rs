//! What the screen costs. Figures, not bounds: run them with `cargo test --release -p
//! windlass-edge cost -- --ignored --nocapture --test-threads 1`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use super::super::config::Rate;
use super::*;
use crate::limit::{Limit, Pace, Template};

const ROUNDS: u32 = 1_000_000;

/// Nanoseconds of CPU of one round: other work on the machine does not count.
fn measure(what: &str, mut round: impl FnMut(u32)) {
    let start = cpu_ns();
    for n in 0..ROUNDS {
        round(n);
    }
    let each = (cpu_ns() - start) / u64::from(ROUNDS);
    println!("{what}: {each} ns");
}

/// Time of this thread on a CPU so far.
fn cpu_ns() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse().unwrap()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Addresses far from each other, so that no cache holds their entries.
fn scattered(n: u32) -> SocketAddr {
    SocketAddr::new(
        IpAddr::V4(Ipv4Addr::from(n.wrapping_mul(2_654_435_761))),
        5060,
    )
}

#[test]
#[ignore = "measures, in release"]
fn cost_of_a_banned_source() {
    let bench = Bench::new(config());
    let before = resident_kib();
    let hour = Duration::from_secs(3600);
    for n in 0..ROUNDS {
        // Some are the peer's.
        let _ = bench.screen.ban(scattered(n).ip(), None, hour, bench.now);
    }
    let bans = bench.screen.bans().len();
    assert!(bans >= 999_000, "{bans}");
    println!("{bans} bans take {} MB", (resident_kib() - before) / 1024);
    let mut refused = 0;
    measure("drop of a banned source", |n| {
        let arrival = Arrival {
            source: scattered(n),
            ..udp("192.0.2.1:5060")
        };
        let early = bench
            .screen
            .judge_before_parsing(&arrival, b"INVITE", bench.now);
        refused += u32::from(early.stage == Some(Stage::Bans));
    });
    assert!(refused >= 999_000);
    let arrival = Arrival {
        source: scattered(7),
        ..udp("192.0.2.1:5060")
    };
    measure("drop of one banned source", |_| {
        black_box(
            bench
                .screen
                .judge_before_parsing(&arrival, b"INVITE", bench.now),
        );
    });
    measure("pass of a source that is not banned, one of many", |n| {
        let arrival = Arrival {
            source: scattered(n + ROUNDS),
            ..udp("192.0.2.1:5060")
        };
        black_box(
            bench
                .screen
                .judge_before_parsing(&arrival, b"INVITE", bench.now),
        );
    });
}

#[test]
#[ignore = "measures, in release"]
fn cost_of_a_call() {
    let mut config = config();
    config.rates = vec![Rate {
        name: "gw".to_owned(),
        key: Template::parse("{ruri_user}").unwrap(),
        methods: vec!["INVITE".to_owned()],
        rate: 1_000_000_000,
        burst: 1_000_000_000,
    }];
    config.lists = vec![config::ListFile {
        name: "deny".to_owned(),
        side: config::Side::Called,
    }];
    config.limits = vec![Limit {
        calls: Some(1000),
        cps: Some(Pace {
            rate: 1_000_000_000,
            burst: 1_000_000_000,
        }),
        ..Limit::new("user", Template::parse("{user}").unwrap())
    }];
    let bench = Bench::new(config);
    for n in 0..10_000 {
        let list = bench.screen.list("deny").unwrap();
        list.write()
            .insert(&format!("900{n}"), list::Rule::Deny, "")
            .unwrap();
    }
    let seen = request(udp("192.0.2.50:5060"), "INVITE");
    let peer = request(udp("203.0.113.1:5060"), "INVITE");
    let options = Seen {
        method: b"OPTIONS",
        ..seen
    };
    measure("judge an INVITE: rate, list, limit", |_| {
        assert_eq!(bench.judge(black_box(&seen)).action, Action::Pass);
    });
    measure("judge an INVITE of a peer", |_| {
        assert_eq!(bench.judge(black_box(&peer)).action, Action::Pass);
    });
    measure("judge an OPTIONS through us", |_| {
        assert_eq!(bench.judge(black_box(&options)).action, Action::Pass);
    });
}
