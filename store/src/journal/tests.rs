use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::scan::{Calls, SegmentBytes};
use super::*;
use crate::record::{HEADER_BYTES, Stamp};
use crate::sys::fuse;

/// A directory that goes with the test.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        use std::sync::atomic::AtomicUsize;
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let base = Path::new("/dev/shm");
        let base = if base.is_dir() {
            base.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        let path = base.join(format!("windlass-store-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn options(dir: &Path, segments: u64) -> Options {
    Options {
        dir: dir.to_path_buf(),
        max_bytes: segments * limits::SEGMENT_BYTES as u64,
        writer: Writer {
            version: "test".to_owned(),
            boot_id: [7; 16],
            epoch: 1,
        },
        first_number: 0,
        now_ms: 0,
    }
}

pub(crate) fn chance(seed: u64) -> Chance {
    let mut rng = StdRng::seed_from_u64(seed);
    Box::new(move || rng.random())
}

pub(crate) fn open(dir: &Path, segments: u64) -> (Journal, Log) {
    // Each life has other nonces.
    let seed = fs::read_dir(dir).unwrap().count() as u64;
    Journal::open(options(dir, segments), chance(seed)).unwrap()
}

fn put(journal: &Journal, number: u64, state: &[u8]) -> Result<u64, AppendError> {
    let call = Call {
        call_id: b"call",
        state,
        cookie: b"c",
        written: Stamp::default(),
        legs: Vec::new(),
    };
    journal.call(number, &call)
}

fn end(journal: &Journal, number: u64, now_ms: u64) {
    let ended = Ended {
        call_id: b"call",
        ..Ended::default()
    };
    journal.ended(number, &ended, now_ms).unwrap();
}

/// The states of the calls that go on.
fn states<'a>(calls: &Calls<'a>) -> BTreeMap<u64, &'a [u8]> {
    let live = calls
        .calls
        .iter()
        .filter_map(|(call, newest)| match newest {
            Newest::Live(live) => Some((*call, live.call.state)),
            Newest::Ended(..) => None,
        });
    live.collect()
}

#[test]
fn newest_state_is_read_back() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 5);
    put(&journal, 1, b"offer").unwrap();
    put(&journal, 2, b"offer").unwrap();
    put(&journal, 1, b"answer").unwrap();
    put(&journal, 3, b"offer").unwrap();
    end(&journal, 3, 0);
    journal.settings(b"old").unwrap();
    journal.settings(b"new").unwrap();
    drop(journal);
    let log = Log::read(&dir.0).unwrap();
    let calls = log.newest();
    assert_eq!(
        states(&calls),
        BTreeMap::from([(1, &b"answer"[..]), (2, b"offer")])
    );
    assert!(matches!(calls.calls[&3], Newest::Ended(..)));
    assert_eq!(calls.settings.unwrap().1, b"new");
    assert_eq!((calls.holes, calls.corrupt, calls.unread), (0, 0, 0));
    let first = log.segments[0].scanned.first.clone().unwrap();
    assert_eq!((first.version.as_str(), first.epoch), ("test", 1));
}

#[test]
fn next_life_goes_on_above() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 5);
    let before = put(&journal, 1, b"a").unwrap();
    drop(journal);
    let (journal, log) = open(&dir.0, 5);
    assert_eq!(states(&log.newest()).len(), 1);
    assert!(put(&journal, 2, b"b").unwrap() > before);
    drop(journal);
    let above = Options {
        first_number: 10 * limits::SEGMENT_UNITS + 1,
        ..options(&dir.0, 5)
    };
    let (journal, _) = Journal::open(above, chance(9)).unwrap();
    assert!(put(&journal, 3, b"c").unwrap() > 11 * limits::SEGMENT_UNITS);
    drop(journal);
    let log = Log::read(&dir.0).unwrap();
    assert_eq!(states(&log.newest()).len(), 3);
}

#[test]
fn segments_are_used_again_and_nothing_is_lost() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 6);
    let state = [5; 100_000];
    for number in 1..=20 {
        put(&journal, number, &state).unwrap();
    }
    // 20 calls that stay, and 160 MB of others.
    for round in 0..1600u64 {
        put(&journal, 100 + round, &state).unwrap();
        end(&journal, 100 + round, round * 1000);
        if round % 10 == 0 {
            journal.turn(round * 1000).unwrap();
        }
    }
    assert!(journal.segments() <= 6, "{}", journal.segments());
    let turned = journal.turn(1_000_000_000).unwrap();
    assert!(turned.forgotten > 0);
    let bytes = journal.live_bytes();
    assert!((2_000_000..2_100_000).contains(&bytes), "{bytes}");
    drop(journal);
    let log = Log::read(&dir.0).unwrap();
    let calls = log.newest();
    let states = states(&calls);
    assert_eq!(
        states.keys().copied().collect::<Vec<_>>(),
        Vec::from_iter(1..=20)
    );
    assert!(states.values().all(|read| *read == state));
    assert_eq!((calls.holes, calls.corrupt), (0, 0));
}

#[test]
fn full_journal_says_so_and_keeps_what_it_has() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 5);
    let state = vec![1; 1_000_000];
    let mut kept = 0;
    let refused = loop {
        match put(&journal, kept + 1, &state) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 200);
    };
    assert!(
        matches!(refused, AppendError::Full { segments: 5 }),
        "{refused}"
    );
    assert!(kept >= 60, "{kept}");
    // A small one may have found room, had it come earlier; it does not now.
    assert!(put(&journal, 1000, b"x").is_err());
    // Room comes back with the calls' ends.
    drop(journal);
    let log = Log::read(&dir.0).unwrap();
    assert_eq!(states(&log.newest()).len() as u64, kept);
    let too_long = vec![0; limits::BODY_BYTES + 1];
    let other = Dir::new();
    let (journal, _) = open(&other.0, 5);
    assert!(matches!(
        put(&journal, 1, &too_long),
        Err(AppendError::TooLong(_))
    ));
}

#[test]
fn legs_count_with_their_call() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 5);
    let call = Call {
        call_id: b"conference",
        state: b"call",
        ..Call::default()
    };
    let leg = |leg, state| Leg { leg, state };
    journal
        .legs(1, &call, &[leg(1, b"a"), leg(2, b"b")], |_| false)
        .unwrap();
    journal
        .legs(1, &call, &[leg(2, b"B"), leg(3, b"c")], |_| false)
        .unwrap();
    journal.legs(1, &call, &[], |gone| gone == 1).unwrap();
    let check = |log: &Log| {
        let calls = log.newest();
        let Newest::Live(live) = &calls.calls[&1] else {
            panic!("{calls:?}")
        };
        let mut legs: Vec<_> = live
            .legs
            .iter()
            .map(|(leg, _)| (leg.leg, leg.state))
            .collect();
        legs.sort();
        assert_eq!(legs, [(2, &b"B"[..]), (3, b"c")]);
    };
    check(&Log::read(&dir.0).unwrap());
    // It is the same after a move: fill segments until the first is used again.
    for round in 0..1200u64 {
        put(&journal, 2, &[0; 100_000]).unwrap();
        journal.turn(round).unwrap();
    }
    let log = Log::read(&dir.0).unwrap();
    assert!(log.segments[0].base > 0);
    check(&log);
    let bytes = journal.live_bytes();
    assert!(bytes < 102_000, "{bytes}");
}

#[test]
fn what_is_out_of_bounds_leaves_what_was() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 5);
    put(&journal, 1, b"before").unwrap();
    let before = journal.live_bytes();
    let call = Call {
        state: b"call",
        ..Call::default()
    };
    let many = (0..=4096).map(|leg| Leg { leg, state: b"l" });
    let many: Vec<_> = many.collect();
    let refused = journal.legs(1, &call, &many, |_| false);
    assert!(matches!(refused, Err(AppendError::Legs(4097))));
    // The second leg is too long: the first one, which is written, does not count.
    let long = vec![0; limits::BODY_BYTES];
    let legs = [
        Leg {
            leg: 1,
            state: b"l",
        },
        Leg {
            leg: 2,
            state: &long,
        },
    ];
    let refused = journal.legs(1, &call, &legs, |_| false);
    assert!(matches!(refused, Err(AppendError::TooLong(_))));
    assert_eq!(journal.live_bytes(), before);
    let ended = Ended {
        reply: &[1; limits::REPLY_BYTES + 1],
        reason: "x",
        ..Ended::default()
    };
    journal.ended(2, &ended, 0).unwrap();
    let log = Log::read(&dir.0).unwrap();
    let calls = log.newest();
    assert_eq!(states(&calls)[&1], b"before");
    let Newest::Ended(read, _) = &calls.calls[&2] else {
        panic!()
    };
    assert_eq!((read.reply, read.reason), (&b""[..], "x"));
}

/// A `Leg` without the `Call` that names it is half a command.
#[test]
fn half_a_command_of_a_conference_does_not_count() {
    let bytes = recorded(|journal| {
        let call = Call {
            call_id: b"x",
            state: b"call",
            ..Call::default()
        };
        let old = Leg {
            leg: 1,
            state: b"old",
        };
        journal.legs(1, &call, &[old], |_| false).unwrap();
        let new = Leg {
            leg: 1,
            state: b"new",
        };
        journal.legs(1, &call, &[new], |_| false).unwrap();
    });
    let whole = SegmentBytes::new(0, bytes.clone());
    let last = whole.scanned.records.last().unwrap().at;
    let cut = Log {
        segments: vec![SegmentBytes::new(0, bytes[..last].to_vec())],
    };
    let calls = cut.newest();
    let Newest::Live(live) = &calls.calls[&1] else {
        panic!()
    };
    assert_eq!(live.legs[0].0.state, b"old");
}

/// The bytes of the first segment after some commands.
fn recorded(commands: impl FnOnce(&Journal)) -> Vec<u8> {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 5);
    commands(&journal);
    drop(journal);
    let mut log = Log::read(&dir.0).unwrap();
    log.segments.remove(0).bytes
}

/// Ten calls, each with two states whose text says which; and what may be read of each.
fn ten_calls() -> Vec<u8> {
    recorded(|journal| {
        for round in 0..2 {
            for call in 1..=10 {
                put(
                    journal,
                    call,
                    format!("{call} {round}").repeat(20).as_bytes(),
                )
                .unwrap();
            }
        }
    })
}

/// Calls whose state is not the last one; panics if it is neither.
fn behind(log: &Log) -> Vec<u64> {
    let calls = log.newest();
    let states = states(&calls);
    assert!(states.keys().all(|call| (1..=10).contains(call)));
    let mut behind = Vec::new();
    for call in 1..=10 {
        let text = |round| format!("{call} {round}").repeat(20).into_bytes();
        match states.get(&call) {
            Some(state) if *state == text(1) => {}
            Some(state) => {
                assert_eq!(*state, text(0), "call {call}");
                behind.push(call);
            }
            None => behind.push(call),
        }
    }
    behind
}

fn log_of(bytes: Vec<u8>) -> Log {
    Log {
        segments: vec![SegmentBytes::new(0, bytes)],
    }
}

#[test]
fn cut_at_every_byte_loses_what_is_behind_it() {
    let bytes = ten_calls();
    let records = SegmentBytes::new(0, bytes.clone()).scanned.records;
    for cut in 0..bytes.len() {
        let log = log_of(bytes[..cut].to_vec());
        let whole = records
            .iter()
            .filter(|found| found.at + HEADER_BYTES + found.header.len <= cut)
            .count();
        assert_eq!(log.records().count(), whole, "cut at {cut}");
        // The first is the segment's own, ten are the first states.
        let behind = behind(&log);
        assert_eq!(behind.len(), 10 - whole.saturating_sub(11), "cut at {cut}");
    }
}

#[test]
fn flipped_byte_touches_one_record() {
    let bytes = ten_calls();
    let clean = SegmentBytes::new(0, bytes.clone());
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let log = log_of(bytes);
            let touched = clean
                .scanned
                .records
                .iter()
                .rev()
                .find(|found| found.at <= at)
                .unwrap();
            let is_padding = at >= touched.at + HEADER_BYTES + touched.header.len;
            let lost = clean.scanned.records.len() - log.records().count();
            assert!(lost <= 1, "byte {at}: {lost} records");
            assert!(!is_padding || lost == 0, "byte {at}");
            let behind = behind(&log);
            let is_newest = touched.at >= clean.scanned.records[11].at;
            if lost == 1 && is_newest {
                assert_eq!(behind, [touched.header.call], "byte {at}");
            } else {
                assert_eq!(behind, [0; 0], "byte {at}");
            }
            let calls = log.newest();
            if lost == 1 && at >= touched.at + 8 {
                assert_eq!(calls.corrupt, 1, "byte {at}");
            }
        }
    }
}

#[test]
fn segments_missing_swapped_or_stale_make_no_wrong_call() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 8);
    // Calls of four segments: state = number of the segment's round.
    let filler = vec![0; 900_000];
    let mut rounds = Vec::new();
    for round in 0..4u8 {
        for call in 1..=10 {
            put(&journal, call, &[round; 50]).unwrap();
        }
        put(&journal, 100 + u64::from(round), &[round; 50]).unwrap();
        let now = journal.segments();
        while journal.segments() == now {
            put(&journal, 99, &filler).unwrap();
        }
        rounds
            .push(fs::read(dir.0.join(scan::name_of(
                u64::from(round) * limits::SEGMENT_UNITS,
            ))));
    }
    drop(journal);
    let rounds: Vec<Vec<u8>> = rounds.into_iter().map(Result::unwrap).collect();
    let read = |order: &[(usize, usize)]| {
        let segments = order.iter().map(|(place, of)| {
            let base = *place as u64 * limits::SEGMENT_UNITS;
            SegmentBytes::new(base, rounds[*of].clone())
        });
        let log = Log {
            segments: segments.collect(),
        };
        let calls = log.newest();
        let states = states(&calls);
        states
            .iter()
            .map(|(call, state)| (*call, state[0]))
            .collect::<BTreeMap<_, _>>()
    };
    let all = read(&[(0, 0), (1, 1), (2, 2), (3, 3)]);
    assert!((1..=10).all(|call| all[&call] == 3) && all[&102] == 2);
    let missing = read(&[(0, 0), (1, 1), (3, 3)]);
    assert!((1..=10).all(|call| missing[&call] == 3) && !missing.contains_key(&102));
    assert_eq!(missing[&101], 1);
    let last = read(&[(0, 0), (1, 1), (2, 2)]);
    assert!((1..=10).all(|call| last[&call] == 2));
    // Under another's name a segment says nothing.
    let swapped = read(&[(0, 0), (1, 2), (2, 1), (3, 3)]);
    assert!((1..=10).all(|call| swapped[&call] == 3));
    assert!(!swapped.contains_key(&101) && swapped[&100] == 0);
    let stale = read(&[(0, 0), (1, 1), (2, 2), (3, 0)]);
    assert!((1..=10).all(|call| stale[&call] == 2));
    // A life that overwrote an earlier one by half: the rest of the earlier is not read.
    let mut half = rounds[0].clone();
    let other = Dir::new();
    let (journal, _) = Journal::open(options(&other.0, 5), chance(77)).unwrap();
    put(&journal, 7, &[9; 6000]).unwrap();
    drop(journal);
    half[..4096].copy_from_slice(&Log::read(&other.0).unwrap().segments[0].bytes[..4096]);
    let scanned = SegmentBytes::new(0, half).scanned;
    assert_eq!(scanned.records.len(), 1);
}

/// What a body says cannot pose as a record: it does not know the nonce.
#[test]
fn body_cannot_pose_as_a_record() {
    let header = Header {
        len: 5,
        number: 0,
        call: 66,
        kind: Kind::Ended,
        format: 1,
    };
    let mut hostile = vec![0; 24 + 7];
    for nonce in 0..200u64 {
        let mut record = header.write(nonce, b"\xa1\x00\x41x\x01");
        record.resize(64, 0);
        hostile.extend_from_slice(&record);
    }
    let bytes = recorded(|journal| _ = put(journal, 1, &hostile).unwrap());
    let mut damaged = bytes.clone();
    // The record that holds them is broken, so that its body is searched.
    let at = SegmentBytes::new(0, bytes.clone()).scanned.records[1].at;
    damaged[at + 12] ^= 1;
    assert_eq!(
        log_of(bytes).newest().calls.keys().collect::<Vec<_>>(),
        [&1]
    );
    assert!(log_of(damaged).newest().calls.is_empty());
}

#[test]
fn death_between_any_two_stores_leaves_before_or_after() {
    // Stores of one command, by running it whole.
    let commands = |journal: &Journal| {
        put(journal, 1, b"after, and longer than it was before").unwrap();
        end(journal, 2, 0);
    };
    let mut outcomes = BTreeMap::new();
    for stores in 0.. {
        let dir = Dir::new();
        let (journal, _) = open(&dir.0, 5);
        put(&journal, 1, b"before").unwrap();
        put(&journal, 2, b"before").unwrap();
        let whole = fuse::with(stores, || commands(&journal)).is_some();
        drop(journal);
        let log = Log::read(&dir.0).unwrap();
        let calls = log.newest();
        let states = states(&calls);
        let first = states[&1] == b"before";
        assert!(first || states[&1].starts_with(b"after"));
        let second = states.contains_key(&2);
        // In the order of the commands.
        assert!(second || !first);
        assert_eq!(calls.corrupt, 0);
        *outcomes.entry((first, second)).or_insert(0) += 1;
        // The next life goes on from there.
        let (journal, _) = open(&dir.0, 5);
        put(&journal, 1, b"next").unwrap();
        drop(journal);
        let log = Log::read(&dir.0).unwrap();
        assert_eq!(self::states(&log.newest())[&1], b"next");
        if whole {
            break;
        }
    }
    assert!(outcomes[&(true, true)] > 5 && outcomes[&(false, true)] > 5);
    assert_eq!(outcomes[&(false, false)], 1);
}

/// The same while segments are begun, emptied and used again.
#[test]
fn death_while_segments_change_loses_nothing() {
    let filler = vec![3; 1_000_000];
    let prepare = |dir: &Path| {
        let (journal, _) = open(dir, 5);
        put(&journal, 1, b"kept").unwrap();
        for _ in 0..16 {
            put(&journal, 2, &filler).unwrap();
        }
        journal
    };
    let change = |journal: &Journal| {
        for round in 0..4 {
            // Small ones move a segment to its end by steps that the fuse can fall between.
            for _ in 0..16 {
                put(journal, 2, &filler).unwrap();
            }
            journal.turn(round).unwrap();
        }
        put(journal, 3, b"done").unwrap();
    };
    // Stores of the fillers are skipped: their number says nothing. What is looked at are deaths at
    // a spread of points.
    let mut stores = 0;
    let mut whole = false;
    let mut deaths = 0;
    while !whole {
        let dir = Dir::new();
        let journal = prepare(&dir.0);
        whole = fuse::with(stores, || change(&journal)).is_some();
        drop(journal);
        let log = Log::read(&dir.0).unwrap();
        let calls = log.newest();
        let states = states(&calls);
        assert_eq!(states[&1], b"kept", "{stores} stores");
        assert_eq!(states[&2], filler, "{stores} stores");
        assert_eq!(states.contains_key(&3), whole);
        deaths += 1;
        stores += 997_331;
    }
    assert!(deaths > 5, "{deaths}");
}

#[test]
fn follower_sees_every_record_once_and_in_order() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 6);
    let journal = Arc::new(journal);
    let mut position = journal.position();
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                for round in 0..2000u64 {
                    let mut state = round.to_le_bytes().to_vec();
                    state.resize(3000, 1);
                    put(&journal, 1 + writer, &state).unwrap();
                }
            })
        })
        .collect();
    let mut body = Vec::new();
    let mut next = [0u64; 4];
    while next != [2000; 4] {
        match journal.read(position, &mut body) {
            Step::Record {
                header,
                next: after,
            } => {
                position = after;
                if header.kind == Kind::Call {
                    let call = Call::decode(&body).unwrap();
                    let round = u64::from_le_bytes(*call.state.first_chunk().unwrap());
                    let writer = usize::try_from(header.call - 1).unwrap();
                    assert_eq!(round, next[writer]);
                    next[writer] += 1;
                }
            }
            Step::Idle => std::thread::yield_now(),
            Step::Behind => panic!("behind at {position}"),
        }
    }
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    assert!(matches!(journal.read(position, &mut body), Step::Idle));
}

#[test]
fn follower_that_is_behind_is_told() {
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 5);
    let begun = journal.position();
    put(&journal, 1, b"kept").unwrap();
    for round in 0..200 {
        put(&journal, 2, &[0; 1_000_000]).unwrap();
        journal.turn(round).unwrap();
    }
    let mut body = Vec::new();
    assert!(matches!(journal.read(begun, &mut body), Step::Behind));
    let position = journal.position();
    let mut live = Vec::new();
    journal.live(|header, _| live.push(header.call));
    live.sort_unstable();
    assert_eq!(live, [1, 2]);
    put(&journal, 3, b"x").unwrap();
    let Step::Record { header, .. } = journal.read(position, &mut body) else {
        panic!()
    };
    assert_eq!(header.call, 3);
}

/// Memory that changed under us: the call is named, so that it is written again, and its segment
/// comes free all the same.
#[test]
fn damaged_record_is_reported_and_its_segment_comes_free() {
    use std::os::unix::fs::FileExt;
    let dir = Dir::new();
    let (journal, _) = open(&dir.0, 6);
    let number = put(&journal, 1, &[9; 500]).unwrap();
    put(&journal, 2, b"kept").unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(dir.0.join(scan::name_of(0)))
        .unwrap();
    file.write_all_at(b"!", number * 64 + 300).unwrap();
    let mut damaged = Vec::new();
    for round in 0..200 {
        put(&journal, 3, &[0; 900_000]).unwrap();
        damaged.extend(journal.turn(round).unwrap().damaged);
    }
    assert_eq!(damaged, [1]);
    assert!(journal.segments() <= 6);
    let log = Log::read(&dir.0).unwrap();
    let calls = log.newest();
    assert_eq!(states(&calls).keys().collect::<Vec<_>>(), [&2, &3]);
}
