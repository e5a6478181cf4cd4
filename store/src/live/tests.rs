use std::collections::BTreeSet;
use std::thread;

use super::srtp::{Origin, Receive, Seal, is_due, nearest, next_roc, resume};
use super::*;
use crate::journal::tests::Dir;
use crate::quarantine::{Crash, History};
use crate::sys::fuse;

fn area(dir: &Dir, slots: usize) -> Arc<Live> {
    Arc::new(Live::create(&dir.0.join("live"), slots).unwrap())
}

/// What the next process finds.
fn found(dir: &Dir) -> Arc<Live> {
    Arc::new(Live::view(&dir.0.join("live")).unwrap())
}

fn identity(call: u64) -> Identity {
    Identity {
        call,
        generation: 3,
        local: "[2001:db8::1]:30000".parse().unwrap(),
    }
}

fn ways(number: u8) -> Ways {
    Ways {
        destination: Some(SocketAddr::from((
            [192, 0, 2, number],
            4000 + u16::from(number),
        ))),
        source: number.is_multiple_of(2).then(|| {
            SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()], number.into()))
        }),
        is_settled: number.is_multiple_of(3),
        pair: (number > 3).then_some(number.into()),
    }
}

#[test]
fn what_is_written_is_read_by_the_next_process() {
    let dir = Dir::new();
    let live = area(&dir, 100);
    let mut slot = live.claim(7).unwrap();
    assert!(live.claim(7).is_none() && live.claim(100).is_none());
    slot.begin(&identity(9));
    for _ in 0..2 {
        slot.count(&Counts {
            packets: 2,
            bytes: 344,
            errors: 1,
            last_ns: 55,
        });
    }
    slot.name_source(1, 0);
    slot.received(1, 70_000);
    slot.sealing(1, 70_001);
    slot.rtcp(1, Some(4), None);
    slot.rtcp(1, None, Some(9));
    slot.last(1, 65_535, u32::MAX);
    for number in 0..8 {
        slot.set_ways(&ways(number));
        assert_eq!(found(&dir).ways(7), Some(ways(number)));
    }
    drop((slot, live));
    let live = found(&dir);
    assert_eq!(live.identity(7), Some(identity(9)));
    assert_eq!(live.identity(6), None);
    let counts = live.counts(7);
    assert_eq!(
        (counts.packets, counts.bytes, counts.errors, counts.last_ns),
        (4, 688, 2, 55)
    );
    let sources: Vec<_> = live.sources(7).collect();
    let expected = Source {
        ssrc: 0,
        index_in: 70_001,
        index_out: 70_002,
        rtcp_in: 5,
        rtcp_out: 10,
        sequence: 65_535,
        timestamp: u32::MAX,
    };
    assert_eq!(sources, [expected]);
    // Looking changes nothing, and a slot can be taken over and ended.
    let live = Arc::new(Live::open(&dir.0.join("live")).unwrap());
    live.claim(7).unwrap().end();
    assert_eq!(found(&dir).identity(7), None);
}

/// Cuts between all stores of a change; gives back what the next process found each time.
fn cut<T>(
    prepare: impl Fn(&mut SlotWriter),
    change: impl Fn(&mut SlotWriter),
    look: impl Fn(&Live) -> T,
) -> Vec<T> {
    let mut seen = Vec::new();
    for stores in 0.. {
        let dir = Dir::new();
        let live = area(&dir, 4);
        let mut slot = live.claim(1).unwrap();
        prepare(&mut slot);
        let is_whole = fuse::with(stores, || change(&mut slot)).is_some();
        seen.push(look(&found(&dir)));
        if is_whole {
            break;
        }
    }
    seen
}

#[test]
fn death_between_any_two_stores_tears_nothing() {
    let changes = |slot: &mut SlotWriter| {
        slot.set_ways(&ways(5));
        slot.set_ways(&ways(6));
    };
    let prepare = |slot: &mut SlotWriter| {
        slot.begin(&identity(1));
        slot.set_ways(&ways(4));
    };
    let seen = cut(prepare, changes, |live| live.ways(1).unwrap());
    assert_eq!(seen.len(), 13);
    assert!(
        seen.iter()
            .all(|seen| [ways(4), ways(5), ways(6)].contains(seen))
    );
    assert!(seen.first() == Some(&ways(4)) && seen.last() == Some(&ways(6)));

    let whole = |live: &Live| (live.identity(1), live.counts(1), live.ways(1).unwrap());
    let seen = cut(prepare, |slot| slot.begin(&identity(2)), whole);
    for (identity, counts, ways) in &seen[1..] {
        assert!(identity.is_none() || *identity == Some(self::identity(2)));
        assert!(identity.is_none() || (counts.packets, *ways) == (0, Ways::default()));
    }
    assert_eq!(seen.last().unwrap().0, Some(identity(2)));

    let sources = |slot: &mut SlotWriter| {
        slot.begin(&identity(1));
        slot.name_source(0, 11);
        slot.sealing(0, 500);
    };
    let seen = cut(
        sources,
        |slot| slot.name_source(0, 22),
        |live| live.sources(1).next(),
    );
    for source in seen.into_iter().flatten() {
        let numbers = (source.ssrc, source.index_out);
        assert!(numbers == (11, 501) || numbers == (22, 0), "{source:?}");
    }
}

/// The cuts find what is wrong: three words written one after the other are torn.
#[test]
fn naive_value_of_three_words_is_torn() {
    let naive = |slot: &mut SlotWriter, value: u64| {
        for word in [at::PACKETS, at::BYTES, at::ERRORS] {
            slot.store(word, value, Ordering::Relaxed);
        }
    };
    let seen = cut(
        |slot| naive(slot, 1),
        |slot| naive(slot, 2),
        |live| {
            let counts = live.counts(1);
            BTreeSet::from([counts.packets, counts.bytes, counts.errors]).len()
        },
    );
    assert!(seen.contains(&2));
}

/// Seals batches of ten; `store_first` is the rule. Gives back whether an index was sealed twice.
fn seals_twice(store_first: bool) -> bool {
    let mut twice = false;
    for stores in 0..8 {
        let dir = Dir::new();
        let live = area(&dir, 4);
        let mut slot = live.claim(0).unwrap();
        slot.begin(&identity(1));
        slot.name_source(0, 1);
        let sent = std::cell::RefCell::new(BTreeSet::new());
        fuse::with(stores, || {
            for batch in 0..4u64 {
                let indexes = batch * 10..batch * 10 + 10;
                if store_first {
                    slot.sealing(0, indexes.end - 1);
                    sent.borrow_mut().extend(indexes);
                } else {
                    sent.borrow_mut().extend(indexes.clone());
                    slot.sealing(0, indexes.end - 1);
                }
            }
        });
        let source = found(&dir).sources(0).next().unwrap();
        let Seal::From(next) = resume(&source, Origin::LiveArea).seal else {
            panic!()
        };
        twice |= sent.borrow().contains(&next);
    }
    twice
}

#[test]
fn no_index_is_sealed_twice_after_a_crash() {
    assert!(!seals_twice(true));
    assert!(seals_twice(false), "the test sees nothing");
}

#[test]
fn numbers_go_on_as_their_origin_allows() {
    let source = Source {
        ssrc: 1,
        index_in: 70_001,
        index_out: 80_001,
        rtcp_in: 0,
        rtcp_out: 10,
        sequence: 65_500,
        timestamp: 0,
    };
    let crash = resume(&source, Origin::LiveArea);
    let receive = Receive {
        full_up_to: 70_000,
        try_next_roc: false,
    };
    assert_eq!(
        (crash.receive, crash.seal),
        (Some(receive), Seal::From(80_001))
    );
    assert_eq!((crash.rtcp_receive, crash.rtcp_seal), (None, Some(10)));
    assert_eq!((crash.own_sequence, crash.own_index), (65_501, 80_001));
    let copy = resume(&source, Origin::Copy);
    assert!(copy.receive.unwrap().try_next_roc);
    assert_eq!(
        (copy.seal, copy.rtcp_seal),
        (Seal::FollowsReceived, Some(1034))
    );
    assert_eq!((copy.own_sequence, copy.own_index), (465, 80_501));
    let used_up = Source {
        rtcp_out: 0x7fff_fff0,
        ..source
    };
    assert_eq!(resume(&used_up, Origin::Copy).rtcp_seal, None);
    assert_eq!(
        resume(&used_up, Origin::LiveArea).rtcp_seal,
        Some(0x7fff_fff0)
    );
    assert_eq!(resume(&Source::default(), Origin::Copy).receive, None);
}

#[test]
fn index_of_a_stale_copy_is_right_or_one_roll_over_ahead() {
    for (copied, packets) in [(0u64, 1), (65_000, 600), (65_535, 1), (100_000, 32_000)] {
        let real = copied + packets;
        assert_eq!(nearest(copied, low16(real)), real);
    }
    // More than 2^15 later the guess is one roll-over short.
    let real = 100_000 + 40_000;
    assert_eq!(nearest(100_000, low16(real)), real - 65_536);
    assert_eq!(next_roc(100_000, low16(real)), real);
    assert_eq!(nearest(65_536, 65_530), 65_530);
    assert!(!is_due(100, 8_291) && is_due(100, 8_292));
    assert!(is_due(65_535, 65_536) && !is_due(65_536, 65_537));
}

#[test]
fn header_says_who_owns_and_what_was_in_hand() {
    let dir = Dir::new();
    let live = area(&dir, 4);
    let owner = |epoch| Owner {
        epoch,
        pid: 77,
        started: 5,
        boot: 8,
    };
    live.take(0, &owner(1)).unwrap();
    let late = live.take(0, &owner(2));
    assert_eq!(
        late,
        Err(TakeError {
            expected: 0,
            found: 1
        })
    );
    assert!(live.is_owned_by(1) && !live.is_owned_by(2));
    live.beat(99);
    live.in_hand(0, 4);
    live.in_hand(5, 4);
    live.in_hand(127, 6);
    live.in_hand(128, 7);
    let mut history = History::default();
    let crash = Crash {
        at_ns: 1000,
        calls: live.all_in_hand(),
        is_explained: false,
    };
    history.crash(crash.clone(), false);
    live.save_history(&history);
    let next = found(&dir);
    assert_eq!((next.owner(), next.heartbeat_ns()), (owner(1), 99));
    assert_eq!(next.all_in_hand(), [0; 0]);
    let mut history = next.history();
    assert_eq!(crash.calls, [4, 6]);
    assert_eq!(history.crashes, [crash]);
    let again = Crash {
        at_ns: 2000,
        calls: vec![6],
        is_explained: false,
    };
    assert_eq!(history.crash(again, false).quarantine, [6]);
    live.save_history(&history);
    assert_eq!(found(&dir).history(), history);
}

#[test]
fn other_layout_is_refused() {
    let dir = Dir::new();
    let path = dir.0.join("live");
    std::fs::write(&path, vec![0; 8192]).unwrap();
    assert!(matches!(
        Live::open(&path),
        Err(LiveError::Layout { found: 0, .. })
    ));
    drop(area(&dir, 4));
    let whole = std::fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(64) {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert!(Live::open(&path).is_err(), "{len} bytes");
    }
    let mut more = whole.clone();
    more[8] = 200;
    std::fs::write(&path, more).unwrap();
    assert!(Live::open(&path).is_err());
}

#[test]
fn readers_beside_the_writer_see_whole_values() {
    let dir = Dir::new();
    let live = area(&dir, 1);
    let mut slot = live.claim(0).unwrap();
    slot.set_ways(&ways(0));
    let reader = {
        let live = live.clone();
        thread::spawn(move || {
            let all: Vec<Ways> = (0..8).map(ways).collect();
            let mut seen = 0;
            for _ in 0..200_000 {
                if let Some(found) = live.ways(0) {
                    assert!(all.contains(&found), "{found:?}");
                    seen += 1;
                }
            }
            seen
        })
    };
    let mut number = 0;
    while !reader.is_finished() {
        slot.set_ways(&ways(number % 8));
        number = (number + 1) % 8;
    }
    assert!(reader.join().unwrap() > 0);
}
