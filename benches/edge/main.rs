//! The edge beside Debian's Kamailio: CPU of a complete call, set-up delay, and the highest rate
//! that none of 10,000 calls fails at.
//!
//! How to run and read it: benches/README.md.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "numbers of a benchmark are small, and its indexes its own"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

mod phones;
#[expect(dead_code, reason = "shared with the other benchmarks")]
#[path = "../relay/process.rs"]
mod process;
mod proxies;

use std::fs::File;
use std::net::UdpSocket;
use std::time::Duration;

use phones::{Outcome, Phones, Plan};
use proxies::{Kind, Proxy};

/// A run finds the highest rate if at most one of this many calls fails.
const ONE_OF: usize = 10_000;

/// Rates beyond the last one are not tried.
const RATES: [usize; 9] = [500, 1000, 1500, 2000, 2500, 3000, 4000, 5000, 6000];

/// The generator itself has not kept up if a call began later than planned by this.
const LAG: Duration = Duration::from_millis(100);

/// What one proxy did in one round.
#[derive(Clone, Debug)]
struct Round {
    call_us: f64,
    outcome: Outcome,
    memory: f64,
}

struct Options {
    calls: usize,
    rate: usize,
    rounds: usize,
    hold: Duration,
    finds_highest: bool,
    only: Option<String>,
}

fn main() {
    // `cargo test` and `cargo bench` pass flags of their own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let value = |name: &str| {
        let position = arguments.iter().position(|argument| argument == name);
        position.map(|at| arguments[at + 1].clone())
    };
    let number = |name, default| value(name).map_or(default, |value| value.parse().unwrap());
    let options = Options {
        calls: number("--calls", 5000),
        rate: number("--rate", 500),
        rounds: number("--rounds", 3),
        hold: Duration::from_millis(number("--hold-ms", 200) as u64),
        finds_highest: arguments.iter().any(|argument| argument == "--highest"),
        only: value("--only"),
    };
    let lock = File::create(std::env::temp_dir().join("windlass-machine.lock")).unwrap();
    lock.lock().unwrap();
    process::raise_descriptor_limit();
    let generator_core = process::cores() - 1;
    process::pin(std::process::id(), generator_core);
    println!(
        "{} calls at {} a second, {} rounds; proxy on core 0, both parties on core {generator_core}",
        options.calls, options.rate, options.rounds
    );
    let kinds = [
        Kind::Windlass,
        Kind::WindlassHiding,
        Kind::WindlassMedia,
        Kind::Kamailio,
        Kind::KamailioDialogs,
    ];
    let kinds: Vec<Kind> = kinds
        .into_iter()
        .filter(|kind| kind.is_installed())
        .filter(|kind| {
            let name = kind.name().to_lowercase();
            options.only.as_ref().is_none_or(|only| name.contains(only))
        })
        .collect();
    let mut results: Vec<Vec<Round>> = vec![Vec::new(); kinds.len()];
    for _ in 0..options.rounds {
        for (kind, results) in kinds.iter().zip(&mut results) {
            results.push(measure(*kind, &options));
        }
    }
    report(&kinds, &results);
    if options.finds_highest {
        for kind in kinds {
            println!("{}: {}", kind.name(), highest(kind, options.hold));
        }
    }
}

fn start(kind: Kind) -> (Proxy, Phones) {
    let callee = UdpSocket::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(kind, callee.local_addr().unwrap(), 0);
    let phones = Phones::new(proxy.address(), callee);
    (proxy, phones)
}

fn measure(kind: Kind, options: &Options) -> Round {
    let (proxy, mut phones) = start(kind);
    let plan = |calls| Plan {
        calls,
        rate: options.rate,
        hold: options.hold,
    };
    // The first calls warm up what is allocated once.
    phones.run(plan(200));
    let before = proxy.cpu_ns();
    let outcome = phones.run(plan(options.calls));
    let spent = proxy.cpu_ns() - before;
    Round {
        call_us: spent as f64 / 1e3 / options.calls as f64,
        outcome,
        memory: proxy.memory_bytes() as f64 / 1e6,
    }
}

/// The highest rate at which at most one of [`ONE_OF`] calls fails, on a proxy started anew for each.
fn highest(kind: Kind, hold: Duration) -> String {
    let mut best = String::from("fails at the lowest rate");
    for rate in RATES {
        let (_proxy, mut phones) = start(kind);
        let plan = |calls| Plan { calls, rate, hold };
        phones.run(plan(200));
        let outcome = phones.run(plan(rate * 5));
        if outcome.lag > LAG {
            return format!(
                "{best}; at {rate} the generator does not keep up ({:?})",
                outcome.lag
            );
        }
        if outcome.failed * ONE_OF > rate * 5 {
            return format!("{best}; at {rate} {} of {} fail", outcome.failed, rate * 5);
        }
        best = format!(
            "{rate} calls/s ({} sent again, set-up p99 {} us)",
            outcome.retransmissions,
            outcome.setup_us.value_at_quantile(0.99)
        );
    }
    best
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn report(kinds: &[Kind], results: &[Vec<Round>]) {
    println!(
        "\n| median of {} rounds | CPU per call, us | set-up p50, us | p99, us | failed | sent again | memory, MB |",
        results[0].len()
    );
    println!("|---|---|---|---|---|---|---|");
    for (kind, rounds) in kinds.iter().zip(results) {
        let quantile = |at| {
            median(rounds, |round| {
                round.outcome.setup_us.value_at_quantile(at) as f64
            })
        };
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            kind.name(),
            median(rounds, |round| round.call_us),
            quantile(0.5),
            quantile(0.99),
            median(rounds, |round| round.outcome.failed as f64),
            median(rounds, |round| round.outcome.retransmissions as f64),
            median(rounds, |round| round.memory)
        );
    }
    let of = |wanted| {
        let at = kinds.iter().position(|kind| *kind == wanted)?;
        Some(median(&results[at], |round: &Round| round.call_us))
    };
    if let (Some(ours), Some(theirs)) = (of(Kind::Windlass), of(Kind::KamailioDialogs)) {
        println!(
            "CPU per call of the first to that of the last: {:.2}",
            ours / theirs
        );
    }
}
