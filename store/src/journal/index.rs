//! Where the newest record of each call stands.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// A record that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) units: u32,
    /// The segment, by its place in the journal's table.
    pub(super) slot: u16,
}

/// The records of a call that count.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) legs: Vec<(u32, Place)>,
}

impl Entry {
    pub(super) fn names(&self, number: u64) -> bool {
        self.place.number == number || self.legs.iter().any(|(_, place)| place.number == number)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        [self.place]
            .into_iter()
            .chain(self.legs.iter().map(|leg| leg.1))
    }
}

/// The calls of some numbers. Its lock is held while one of them is written, so that of one call
/// the record with the higher number is the later one.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) calls: HashMap<u64, Entry, BuildHasherDefault<NumberHasher>>,
    /// Calls that are over, with the time at which they are forgotten.
    ending: VecDeque<(u64, u64)>,
}

impl Shard {
    /// Puts records in the place of those that counted, which it gives back.
    pub(super) fn replace(&mut self, call: u64, entry: Entry) -> Option<Entry> {
        match self.calls.entry(call) {
            MapEntry::Occupied(mut old) => Some(old.insert(entry)),
            MapEntry::Vacant(new) => {
                new.insert(entry);
                None
            }
        }
    }

    pub(super) fn forget_at(&mut self, due_ms: u64, call: u64) {
        self.ending.push_back((due_ms, call));
    }

    /// The calls that are due, with the records that no longer count.
    pub(super) fn forget(&mut self, now_ms: u64) -> Vec<Entry> {
        let mut gone = Vec::new();
        while let Some((_, call)) = self.ending.pop_front_if(|(due_ms, _)| *due_ms <= now_ms) {
            gone.extend(self.calls.remove(&call));
        }
        gone
    }
}

/// Numbers of calls are our own, so nobody can choose them to collide.
#[derive(Debug, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: the high bits, which the table looks at first, depend on all of them.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
