//! The ng protocol beside Debian's rtpengine: how many transactions a second of CPU carries, with
//! many in flight, and how fast a `ping` is answered meanwhile.
//!
//! How to run and read it: benches/README.md.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "numbers of a benchmark are small, and its indexes its own"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

mod lanes;
#[expect(dead_code, reason = "shared with the other benchmark")]
#[path = "../relay/process.rs"]
mod process;

use std::fs::File;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use lanes::{Lanes, Mode, Work};
use process::{Kind, Relay};

/// Calls that are set up, and listed, while pings are asked for. The media ports are enough for
/// them, and are no others' but for a few that the system gave out.
const KEPT: usize = 10_000;

/// Descriptors that a relay with a socket per port needs for a call.
const DESCRIPTORS: u64 = 4;

/// What one relay did in one round.
#[derive(Clone, Debug)]
struct Round {
    /// CPU of one offer, answer and delete.
    call_ns: f64,
    replies_us: Histogram<u64>,
    pings_us: Histogram<u64>,
}

struct Options {
    calls: usize,
    in_flight: usize,
    rounds: usize,
    mode: Mode,
}

fn main() {
    // `cargo test` and `cargo bench` pass flags of their own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let number = |name: &str, default: usize| {
        let position = arguments.iter().position(|argument| argument == name);
        position.map_or(default, |at| arguments[at + 1].parse().unwrap())
    };
    let position = arguments.iter().position(|argument| argument == "--mode");
    let mode = position.map_or("plain", |at| arguments[at + 1].as_str());
    let options = Options {
        mode: Mode::named(mode).expect("plain, sdes or dtls"),
        calls: number("--calls", 4000),
        in_flight: number("--in-flight", 32),
        rounds: number("--rounds", 3),
    };
    let lock = File::create(std::env::temp_dir().join("windlass-machine.lock")).unwrap();
    lock.lock().unwrap();
    let descriptors = process::raise_descriptor_limit();
    let room = (descriptors.saturating_sub(200) / DESCRIPTORS) as usize;
    if room < KEPT {
        println!(
            "rtpengine is given {room} calls beside the pings: it may open {descriptors} files"
        );
    }
    let generator_core = process::cores() - 1;
    process::pin(std::process::id(), generator_core);
    println!(
        "{} calls ({mode}), {} requests in flight, {} rounds; relay on core 0, generator on core {}",
        options.calls, options.in_flight, options.rounds, generator_core
    );
    let kinds = [Kind::Windlass, Kind::Rtpengine];
    let mut results: [Vec<Round>; 2] = Default::default();
    for _ in 0..options.rounds {
        for (kind, results) in kinds.iter().zip(&mut results) {
            let kept = match kind {
                Kind::Windlass => KEPT,
                Kind::Rtpengine => KEPT.min(room),
            };
            results.push(measure(*kind, &options, kept));
        }
    }
    report(&results);
}

fn measure(kind: Kind, options: &Options, kept: usize) -> Round {
    let relay = Relay::with_ports(kind, 5_000, 49_999);
    let mut lanes = Lanes::new(relay.address(), options.in_flight, options.mode);
    // The first calls warm up what is allocated once.
    lanes.run(Work::Whole, "warm", 200);
    lanes.forget();
    let cpu = relay.cpu_ns();
    lanes.run(Work::Whole, "whole", options.calls);
    let call_ns = (relay.cpu_ns() - cpu) as f64 / options.calls as f64;
    let replies_us = lanes.forget();
    // Pings while calls are set up and all of them are listed.
    let stop = Arc::new(AtomicBool::new(false));
    let pings = spawn_pings(relay.address(), &stop);
    lanes.run(Work::SetUpAndList, "kept", kept);
    stop.store(true, Relaxed);
    let pings_us = pings.join().unwrap();
    lanes.run(Work::Delete, "kept", kept);
    Round {
        call_ns,
        replies_us,
        pings_us,
    }
}

/// A ping every 2 ms.
fn spawn_pings(
    relay: std::net::SocketAddr,
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<Histogram<u64>> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(relay).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        let mut times = lanes::histogram();
        let mut buffer = [0; 256];
        for number in 0_u64.. {
            if stop.load(Relaxed) {
                break;
            }
            let started = Instant::now();
            let ping = format!("ping{number} d7:command4:pinge");
            socket.send(ping.as_bytes()).unwrap();
            let is_pong = socket
                .recv(&mut buffer)
                .is_ok_and(|length| buffer[..length].ends_with(b"d6:result4:ponge"));
            if !is_pong {
                println!("no pong within a second");
            }
            times.saturating_record(started.elapsed().as_micros() as u64);
            std::thread::sleep(Duration::from_millis(2));
        }
        times
    })
}

fn median(rounds: &[Round], of: fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn report(results: &[Vec<Round>; 2]) {
    type Figure = (&'static str, fn(&Round) -> f64);
    let figures: [Figure; 6] = [
        ("CPU per offer+answer+delete, ns", |round| round.call_ns),
        ("transactions per CPU-second", |round| 3e9 / round.call_ns),
        ("reply p50, us", |round| {
            round.replies_us.value_at_quantile(0.5) as f64
        }),
        ("reply p99, us", |round| {
            round.replies_us.value_at_quantile(0.99) as f64
        }),
        ("ping p50 beside set-up and list, us", |round| {
            round.pings_us.value_at_quantile(0.5) as f64
        }),
        ("ping p99 beside set-up and list, us", |round| {
            round.pings_us.value_at_quantile(0.99) as f64
        }),
    ];
    println!(
        "\n| median of {} rounds | Windlass | rtpengine | ratio |",
        results[0].len()
    );
    println!("|---|---|---|---|");
    for (name, of) in figures {
        let [ours, theirs] = [0, 1].map(|kind| median(&results[kind], of));
        println!(
            "| {name} | {ours:.0} | {theirs:.0} | {:.2} |",
            ours / theirs
        );
    }
}
