//! Processes that are killed while they append: nothing that was acknowledged is missing.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::{env, thread};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use windlass_store::journal::scan::{Log, Newest};
use windlass_store::journal::{Chance, Journal, Options, Writer};
use windlass_store::record::{Call, Ended};

/// Lives of the process; KILLS has more.
const KILLS: usize = 12;
const WRITERS: u64 = 4;
/// Calls that a writer has at a time.
const CALLS: u64 = 50;

fn open(dir: &Path, seed: u64) -> (Journal, Log) {
    let mut rng = StdRng::seed_from_u64(seed);
    let chance: Chance = Box::new(move || rng.random());
    let options = Options {
        dir: dir.to_path_buf(),
        max_bytes: 8 << 24,
        writer: Writer {
            version: "kill".to_owned(),
            boot_id: [0; 16],
            epoch: seed,
        },
        first_number: 0,
        now_ms: 0,
    };
    Journal::open(options, chance).unwrap()
}

/// The state of a call after so many commands: every byte says so.
fn state(call: u64, round: u64) -> Vec<u8> {
    let mut state = round.to_le_bytes().to_vec();
    let len = 200 + (call * 7919 + round * 31) % 1800;
    state.extend((0..len).map(|at| (call ^ round ^ at).to_le_bytes()[0]));
    state
}

fn call<'a>(state: &'a [u8]) -> Call<'a> {
    Call {
        call_id: b"call",
        state,
        ..Call::default()
    }
}

/// The process that is killed. Its writers say on standard output what they have appended: call and
/// round, 16 bytes at once, which a pipe does not tear.
#[test]
fn child() {
    let (Ok(dir), Ok(seed)) = (
        env::var("WINDLASS_KILL_DIR"),
        env::var("WINDLASS_KILL_SEED"),
    ) else {
        return;
    };
    let (journal, log) = open(Path::new(&dir), seed.parse().unwrap());
    let journal = Arc::new(journal);
    // Where the life before stopped.
    let newest = log.newest();
    let mut begin = [0; WRITERS as usize];
    for newest in newest.calls.values() {
        if let Newest::Live(live) = newest {
            let round = u64::from_le_bytes(*live.call.state.first_chunk().unwrap());
            begin
                .iter_mut()
                .for_each(|begin| *begin = round.max(*begin));
        }
    }
    let out = std::os::fd::AsFd::as_fd(&std::io::stdout())
        .try_clone_to_owned()
        .unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let (journal, out) = (journal.clone(), out.try_clone().unwrap());
        let begin = begin[writer as usize];
        thread::spawn(move || append(&journal, writer, begin, out))
    });
    let writers: Vec<_> = writers.collect();
    for turn in 0.. {
        journal.turn(turn).unwrap();
        thread::yield_now();
        if writers.iter().all(thread::JoinHandle::is_finished) {
            break;
        }
    }
}

fn append(journal: &Journal, writer: u64, begin: u64, out: OwnedFd) {
    let mut out = File::from(out);
    for round in begin + 1.. {
        for at in 0..CALLS {
            let number = 1 + writer * CALLS + at;
            journal.call(number, &call(&state(number, round))).unwrap();
            let mut said = [0; 16];
            said[..8].copy_from_slice(&number.to_le_bytes());
            said[8..].copy_from_slice(&round.to_le_bytes());
            if out.write_all(&said).is_err() {
                return;
            }
        }
        // One that begins and ends at once, so that segments come free.
        let passing = 1_000_000 * (1 + writer) + round;
        journal.call(passing, &call(&state(passing, 0))).unwrap();
        journal.ended(passing, &Ended::default(), 0).unwrap();
    }
}

fn start(dir: &Path, seed: usize) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--quiet"])
        .env("WINDLASS_KILL_DIR", dir)
        .env("WINDLASS_KILL_SEED", seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn nothing_acknowledged_is_missing_after_kill_9() {
    let kills = env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(1);
    let base = Path::new("/dev/shm");
    let base = if base.is_dir() {
        base.to_path_buf()
    } else {
        env::temp_dir()
    };
    let dir = Dir(base.join(format!("windlass-kill-{}", std::process::id())));
    fs::create_dir_all(&dir.0).unwrap();
    let mut acknowledged = vec![0u64; 1 + (WRITERS * CALLS) as usize];
    let mut read_back = 0;
    for kill in 1..=kills {
        let mut child = start(&dir.0, kill);
        let mut said = Vec::new();
        let mut out = child.stdout.take().unwrap();
        // After the test harness' own first line, as many as chance says.
        let wanted = rng.random_range(1_000..60_000);
        let mut chunk = [0; 4096];
        while said.len() < wanted {
            let len = out.read(&mut chunk).unwrap();
            assert!(len > 0, "the child has ended by itself");
            said.extend_from_slice(&chunk[..len]);
        }
        child.kill().unwrap();
        out.read_to_end(&mut said).unwrap();
        child.wait().unwrap();
        // The harness prints "\nrunning 1 test\n" before the first.
        let first = said
            .windows(5)
            .position(|bytes| bytes == b"test\n")
            .unwrap()
            + 5;
        for said in said[first..].as_chunks::<16>().0 {
            let number = u64::from_le_bytes(*said.first_chunk().unwrap());
            let round = u64::from_le_bytes(*said.last_chunk().unwrap());
            let last = &mut acknowledged[usize::try_from(number).unwrap()];
            *last = round.max(*last);
        }
        let log = Log::read(&dir.0).unwrap();
        let calls = log.newest();
        assert!(
            calls.holes <= WRITERS * kill as u64,
            "{} holes",
            calls.holes
        );
        assert_eq!(calls.corrupt, 0);
        for number in 1..=WRITERS * CALLS {
            let least = acknowledged[usize::try_from(number).unwrap()];
            if least == 0 {
                continue;
            }
            let Some(Newest::Live(live)) = calls.calls.get(&number) else {
                panic!("kill {kill}: call {number} is missing");
            };
            let round = u64::from_le_bytes(*live.call.state.first_chunk().unwrap());
            assert!(
                round >= least,
                "kill {kill}: call {number} is at {round}, not {least}"
            );
            assert!(
                live.call.state == state(number, round),
                "kill {kill}: call {number}"
            );
            read_back += 1;
        }
    }
    assert!(read_back > kills * 20, "{read_back}");
}
