//! CPU of one append: `cargo bench -p windlass-store`.
//!
//! Records of 803 and 1,120 bytes of state, 5,000 calls alive; offer, answer and delete of a call.
//! The time of the thread, since other work shares the machine; the target is 0.25 us a record
//! (spec/survive.md §2.2). p99 and p99.9 are of the wall clock.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use nix::time::{ClockId, clock_gettime};
use windlass_store::journal::{Journal, Options, Writer};
use windlass_store::record::{Call, Ended, Stamp};

const ALIVE: u64 = 5_000;
const CALLS: u64 = 200_000;
const CHUNK: u64 = 200;

fn clock(id: ClockId) -> Duration {
    clock_gettime(id).expect("a clock").into()
}

fn main() {
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let dir = PathBuf::from(format!("/dev/shm/windlass-bench-{}", std::process::id()));
    println!("| state, bytes | CPU per record, ns | p99, ns | p99.9, ns | moved |");
    println!("|---|---|---|---|---|");
    for len in [803, 1120] {
        fs::create_dir_all(&dir).expect("a directory");
        measure(&dir, len);
        fs::remove_dir_all(&dir).expect("our own");
    }
}

fn measure(dir: &std::path::Path, len: usize) {
    let mut nonce = 0;
    let options = Options {
        dir: dir.to_path_buf(),
        max_bytes: 1 << 30,
        writer: Writer {
            version: "bench".to_owned(),
            boot_id: [0; 16],
            epoch: 1,
        },
        first_number: 0,
        now_ms: 0,
    };
    let chance = Box::new(move || {
        nonce += 0x1234_5678_9abc;
        nonce
    });
    let (journal, _) = Journal::open(options, chance).expect("a journal");
    let state = vec![0x5a; len];
    let call = Call {
        call_id: b"0123456789abcdef@192.0.2.1",
        state: &state,
        cookie: b"5323_1",
        written: Stamp::default(),
        legs: Vec::new(),
    };
    let ended = Ended {
        call_id: call.call_id,
        reason: "TERMINATED",
        cookie: b"5323_2",
        reply: b"d6:result2:oke",
        written: Stamp::default(),
    };
    // First the CPU of many at once, then each alone: to read the clock costs as much as an append.
    let mut cpu = Duration::ZERO;
    let mut moved = 0;
    let mut taken = Vec::new();
    for chunk in 0..CALLS / CHUNK {
        let is_timed = chunk >= CALLS / CHUNK / 2;
        let begun = clock(ClockId::CLOCK_THREAD_CPUTIME_ID);
        for number in chunk * CHUNK + 1..=(chunk + 1) * CHUNK {
            for step in 0..3 {
                let before = is_timed.then(|| clock(ClockId::CLOCK_MONOTONIC));
                match step {
                    0 | 1 => journal.call(number, &call).expect("room"),
                    _ if number <= ALIVE => 0,
                    _ => journal.ended(number - ALIVE, &ended, number).expect("room"),
                };
                if let Some(before) = before {
                    taken.push(clock(ClockId::CLOCK_MONOTONIC) - before);
                }
            }
        }
        if !is_timed {
            cpu += clock(ClockId::CLOCK_THREAD_CPUTIME_ID) - begun;
        }
        moved += journal.turn((chunk + 1) * CHUNK / 2).expect("room").moved;
    }
    taken.sort_unstable();
    let at = |per_mille: usize| {
        let taken = taken.get(taken.len() * per_mille / 1000);
        taken.map_or(0, Duration::as_nanos)
    };
    println!(
        "| {len} | {} | {} | {} | {moved} |",
        cpu.as_nanos() / u128::from(3 * CALLS / 2 - ALIVE),
        at(990),
        at(999),
    );
}
