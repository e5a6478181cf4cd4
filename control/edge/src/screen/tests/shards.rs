//! Counts over all shards.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

#[test]
fn shards_count_a_flood_together() {
    let bench = Bench::new(config());
    let (passed, told) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for shard in 0..4 {
            let (bench, passed, told) = (&bench, &passed, &told);
            scope.spawn(move || {
                for n in 0..1000 {
                    let early = bench.early(&format!("198.51.100.9:{}", 5000 + shard * 1000 + n));
                    let is_passed = u32::from(early.action == Action::Pass);
                    passed.fetch_add(is_passed, Ordering::Relaxed);
                    told.fetch_add(u32::from(early.alert.is_some()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 30);
    assert_eq!(told.into_inner(), 1);
}

#[test]
fn a_ban_of_one_shard_holds_in_all_and_is_told_once() {
    let bench = Bench::new(config());
    let told = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (bench, told) = (&bench, &told);
            scope.spawn(move || {
                for n in 0..200_u8 {
                    let from = format!("198.51.{n}.66:5060");
                    let seen = Seen {
                        user_agent: b"sipvicious",
                        ..request(udp(&from), "OPTIONS")
                    };
                    let verdict = bench.judge(&seen);
                    told.fetch_add(u32::from(verdict.banned.is_some()), Ordering::Relaxed);
                    assert!(bench.is_denied(&from));
                }
            });
        }
    });
    assert_eq!(told.into_inner(), 200);
    assert_eq!(bench.bans().len(), 200);
}
