//! The relay beside Debian's rtpengine: the same calls, the same packets, alternating rounds.
//!
//! How to run and read it: benches/README.md.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "numbers of a benchmark are small, and its indexes its own"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

mod generator;
mod mode;
mod process;
mod veth;

use std::fs::File;
use std::time::{Duration, Instant};

use generator::{Heard, Load};
use mode::Mode;
use process::{Kind, Place, Relay};
use veth::Veth;

/// What one relay did in one round.
#[derive(Clone, Debug)]
struct Round {
    set_up_ns: f64,
    delete_ns: f64,
    transactions_per_s: f64,
    memory_bytes: f64,
    kernel_bytes: f64,
    packet_ns: f64,
    /// CPU of the whole machine, generator included.
    machine_ns: f64,
    sent: u64,
    heard: Heard,
}

struct Options {
    /// Calls at a time, one measurement for each.
    loads: Vec<usize>,
    seconds: u64,
    rounds: usize,
    relays: Vec<Kind>,
    mode: Mode,
    /// Calls without media whose cost at rest is measured instead.
    idle: Option<usize>,
    /// Relay and parties are at two ends of a cable, and Windlass has this `[offload] mode`.
    offload: Option<String>,
    place: Place,
}

fn main() {
    // `cargo test` and `cargo bench` pass flags of their own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let mut options = read_options(&arguments);
    let lock = File::create(std::env::temp_dir().join("windlass-machine.lock")).unwrap();
    lock.lock().unwrap();
    process::raise_descriptor_limit();
    let veth = options.offload.as_deref().map(Veth::enter);
    if let (Some(veth), Some(offload)) = (&veth, &options.offload) {
        options.place = veth.place(offload);
        println!("over veth, kernel flows: {offload}");
    }
    let options = options;
    let generator_core = process::cores() - 1;
    process::pin(std::process::id(), generator_core);
    println!("relay on core 0, generator on core {generator_core}");
    if let Some(calls) = options.idle {
        return measure_idle(calls, &options);
    }
    let mut summary = Vec::new();
    for &calls in &options.loads {
        println!(
            "\n{calls} calls, {}, {} s of 20 ms G.711 both ways, {} rounds",
            options.mode.describe(),
            options.seconds,
            options.rounds
        );
        let mut results: Vec<Vec<Round>> = vec![Vec::new(); options.relays.len()];
        for round in 0..options.rounds {
            for (kind, results) in options.relays.iter().zip(&mut results) {
                let measured = measure(*kind, calls, &options);
                println!(
                    "round {}: {:<9} {:>6.0} ns/packet, {} of {} packets",
                    round + 1,
                    kind.name(),
                    measured.packet_ns,
                    measured.heard.packets,
                    measured.sent
                );
                results.push(measured);
            }
        }
        report(&options, &results);
        summary.push((calls, results));
    }
    if let (2, true) = (options.relays.len(), summary.len() > 1) {
        summarise(&summary);
    }
}

/// The figures that differ with the load, side by side: ours, theirs, ratio.
fn summarise(summary: &[(usize, Vec<Vec<Round>>)]) {
    type Figure = (&'static str, fn(&Round) -> f64);
    let figures: [Figure; 3] = [
        ("CPU per packet, ns", |round| round.packet_ns),
        ("p50, us", |round| round.heard.latency_us(0.5)),
        ("p99, us", |round| round.heard.latency_us(0.99)),
    ];
    print!("\n| calls |");
    for (name, _) in figures {
        print!(" {name} | ratio |");
    }
    println!("\n|---|{}", "---|".repeat(2 * figures.len()));
    for (calls, results) in summary {
        print!("| {calls} |");
        for (_, of) in figures {
            let [ours, theirs] = [0, 1].map(|relay| median(&results[relay], of));
            print!(" {ours:.0} against {theirs:.0} | {:.2} |", ours / theirs);
        }
        println!();
    }
}

/// CPU of relays with calls that say nothing: set up, and then left alone.
fn measure_idle(calls: usize, options: &Options) {
    for kind in &options.relays {
        // A relay with sockets has as many calls as it may open files for.
        let calls = match kind {
            Kind::Windlass => calls,
            Kind::Rtpengine => calls.min(4_900),
        };
        let relay = Relay::with_ports(*kind, 5_000, 49_999);
        let client = relay.client();
        let mut load = Load::new(options.mode, &options.place);
        for index in 0..calls {
            load.set_up(&client, &format!("idle-{index}"));
        }
        std::thread::sleep(Duration::from_secs(4));
        let cpu = relay.cpu_ns();
        std::thread::sleep(Duration::from_secs(options.seconds));
        let share = (relay.cpu_ns() - cpu) as f64 / 1e7 / options.seconds as f64;
        println!(
            "{}: {calls} silent calls take {share:.2} % of a core",
            kind.name()
        );
    }
}

fn read_options(arguments: &[String]) -> Options {
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, default: usize| {
        value(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let relays = match value("--relay").as_deref() {
        Some("windlass") => vec![Kind::Windlass],
        Some("rtpengine") => vec![Kind::Rtpengine],
        _ if Kind::Rtpengine.is_installed() => vec![Kind::Windlass, Kind::Rtpengine],
        _ => {
            println!("rtpengine is not installed: no ratios");
            vec![Kind::Windlass]
        }
    };
    let loads = match (value("--loads"), value("--calls")) {
        (Some(list), _) | (None, Some(list)) => list
            .split(',')
            .map(|text| text.parse().expect("a number"))
            .collect(),
        (None, None) => vec![10, 100, 500, 1000, 2000],
    };
    Options {
        loads,
        seconds: number("--seconds", 10) as u64,
        rounds: number("--rounds", 3),
        relays,
        mode: value("--mode").map_or(Mode::Rtp, |name| Mode::from_name(&name)),
        idle: value("--idle").map(|text| text.parse().expect("a number")),
        offload: value("--offload"),
        place: Place::loopback(),
    }
}

fn measure(kind: Kind, calls: usize, options: &Options) -> Round {
    let relay = Relay::start(kind, &options.place);
    let client = relay.client();
    let mut load = Load::new(options.mode, &options.place);
    // The first calls warm up what is allocated once.
    for index in 0..20 {
        load.set_up(&client, &format!("warm-{index}"));
        load.delete(&client, &format!("warm-{index}"));
    }
    load.forget_calls();
    let (rss, kernel) = (relay.memory_bytes(), process::kernel_bytes());
    let cpu = relay.cpu_ns();
    let started = Instant::now();
    for index in 0..calls {
        load.set_up(&client, &format!("call-{index}"));
    }
    let took = started.elapsed().as_secs_f64();
    let count = calls as f64;
    let set_up_ns = (relay.cpu_ns() - cpu) as f64 / count;
    let transactions_per_s = 2.0 * count / took;
    // A second of media settles every flow before anything is counted; into the kernel they go when
    // signalling is three seconds over, and a trial.
    let settling = if options.offload.is_some() { 7 } else { 1 };
    load.run(Duration::from_secs(settling));
    let memory_bytes = relay.memory_bytes().saturating_sub(rss) as f64 / count;
    let kernel_bytes = process::kernel_bytes().saturating_sub(kernel) as f64 / count;
    let (cpu, busy) = (relay.cpu_ns(), process::busy_ns());
    let (sent, heard) = load.run(Duration::from_secs(options.seconds));
    let packets = heard.packets.max(1) as f64;
    let packet_ns = (relay.cpu_ns() - cpu) as f64 / packets;
    let machine_ns = (process::busy_ns() - busy) as f64 / packets;
    let cpu = relay.cpu_ns();
    for index in 0..calls {
        load.delete(&client, &format!("call-{index}"));
    }
    let delete_ns = (relay.cpu_ns() - cpu) as f64 / count;
    Round {
        set_up_ns,
        delete_ns,
        transactions_per_s,
        memory_bytes,
        kernel_bytes,
        packet_ns,
        machine_ns,
        sent,
        heard,
    }
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn report(options: &Options, results: &[Vec<Round>]) {
    type Figure = (&'static str, fn(&Round) -> f64);
    let figures: [Figure; 10] = [
        ("relay CPU per packet, ns", |round| round.packet_ns),
        ("whole machine's CPU per packet, ns", |round| {
            round.machine_ns
        }),
        ("loss, packets", |round| {
            round.sent as f64 - round.heard.packets as f64
        }),
        ("latency p50, us", |round| round.heard.latency_us(0.5)),
        ("latency p99, us", |round| round.heard.latency_us(0.99)),
        ("memory per call, bytes", |round| round.memory_bytes),
        ("kernel memory per call, bytes", |round| round.kernel_bytes),
        ("CPU per offer+answer, ns", |round| round.set_up_ns),
        ("CPU per delete, ns", |round| round.delete_ns),
        ("offers and answers per s", |round| round.transactions_per_s),
    ];
    print!("\n| median of {} rounds |", options.rounds);
    for kind in &options.relays {
        print!(" {} |", kind.name());
    }
    println!("{}", if results.len() == 2 { " ratio |" } else { "" });
    println!(
        "|---|{}",
        "---|".repeat(results.len() + usize::from(results.len() == 2))
    );
    for (name, of) in figures {
        print!("| {name} |");
        let values: Vec<f64> = results.iter().map(|rounds| median(rounds, of)).collect();
        for value in &values {
            print!(" {value:.0} |");
        }
        match values.as_slice() {
            [ours, theirs] if *theirs > 0.0 => println!(" {:.2} |", ours / theirs),
            [_, _] => println!(" – |"),
            _ => println!(),
        }
    }
}
