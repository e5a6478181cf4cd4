//! A table with a bound, which forgets its oldest entry for a new one (spec §18, "tables full").
//!
//! Entries have a rank. What a stranger can make us remember is `Unverified` and goes first; what
//! was proven goes next, and only for a newcomer that is proven as well; `Pinned` entries stay.
//! Every operation takes constant time, so a lock around a table is held for a bounded time.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

const NONE: u32 = u32::MAX;
const RANKS: usize = 3;

/// How easily an entry is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Anybody could have caused it.
    Unverified,
    /// Its cause was proven, or the source is known.
    Verified,
    /// Never forgotten for another.
    Pinned,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Aging<K, V> {
    slots: Vec<Slot<K, V>>,
    index: HashTable<u32>,
    free: u32,
    /// Per rank, the oldest and the newest.
    ends: [(u32, u32); RANKS],
    capacity: usize,
    hand: usize,
    hasher: RandomState,
}

#[derive(Debug)]
struct Slot<K, V> {
    /// `None`: free; `next` leads to the next free one.
    entry: Option<(K, V)>,
    rank: Rank,
    older: u32,
    next: u32,
}

/// See [`Aging::place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// A value, and what was forgotten for it.
type Touched<'a, K, V> = (&'a mut V, Option<(K, V)>);

/// No place: the table holds nothing of the newcomer's rank or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<K: Hash + Eq + Clone, V> Aging<K, V> {
    /// Grows up to `capacity` entries, at most 2^32 - 2.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            slots: Vec::new(),
            index: HashTable::new(),
            free: NONE,
            ends: [(NONE, NONE); RANKS],
            capacity: capacity.min(NONE as usize - 1),
            hand: 0,
            hasher: RandomState::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let at = self.find(key)?;
        let entry = self.slots.get(at as usize)?.entry.as_ref()?;
        Some(&entry.1)
    }

    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let at = self.find(key)?;
        let entry = self.slots.get_mut(at as usize)?.entry.as_mut()?;
        Some(&mut entry.1)
    }

    /// Where the entry of `key` is, until the table changes: for callers that look before they
    /// touch, and look up once.
    #[inline]
    pub(crate) fn place<Q>(&self, key: &Q) -> Option<Place>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(key).map(Place)
    }

    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut V> {
        let entry = self.slots.get_mut(place.0 as usize)?.entry.as_mut()?;
        Some(&mut entry.1)
    }

    /// The entry of `key`, which becomes the newest of `rank`; `make` gives a new one its value.
    /// What had to go for it comes back as well.
    pub(crate) fn touch<Q>(
        &mut self,
        key: &Q,
        rank: Rank,
        make: impl FnOnce() -> V,
    ) -> Result<Touched<'_, K, V>, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let (at, gone) = match self.find(key) {
            Some(at) => {
                self.unlink(at);
                (at, None)
            }
            None => {
                let gone = self.make_room(rank)?;
                (self.occupy(key.to_owned(), make()), gone)
            }
        };
        self.link(at, rank);
        let slot = self.slots.get_mut(at as usize).ok_or(Full)?;
        let entry = slot.entry.as_mut().ok_or(Full)?;
        Ok((&mut entry.1, gone))
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let at = self.find(key)?;
        self.vacate(at).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V, Rank)> {
        self.slots.iter().filter_map(|slot| {
            let (key, value) = slot.entry.as_ref()?;
            Some((key, value, slot.rank))
        })
    }

    /// Looks at the next `budget` places, turn by turn through the whole table, and removes the
    /// entries that `is_over` says are.
    pub(crate) fn sweep(
        &mut self,
        budget: usize,
        mut is_over: impl FnMut(&K, &mut V) -> bool,
        mut removed: impl FnMut(K, V),
    ) {
        for _ in 0..budget.min(self.slots.len()) {
            self.hand = if self.hand + 1 < self.slots.len() {
                self.hand + 1
            } else {
                0
            };
            let at = self.hand;
            let slot = self.slots.get_mut(at);
            let Some((key, value)) = slot.and_then(|s| s.entry.as_mut()) else {
                continue;
            };
            if is_over(key, value)
                && let Some((key, value)) = u32::try_from(at).ok().and_then(|at| self.vacate(at))
            {
                removed(key, value);
            }
        }
    }

    fn find<Q>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if self.index.is_empty() {
            return None;
        }
        let slots = &self.slots;
        let hash = self.hasher.hash_one(key);
        let found = self.index.find(hash, |at| holds(slots, *at, key));
        found.copied()
    }

    fn make_room(&mut self, rank: Rank) -> Result<Option<(K, V)>, Full> {
        if self.len() < self.capacity {
            return Ok(None);
        }
        let victims = match rank {
            Rank::Unverified => &[Rank::Unverified][..],
            Rank::Verified | Rank::Pinned => &[Rank::Unverified, Rank::Verified],
        };
        let oldest = |rank: &Rank| self.ends.get(*rank as usize).map(|(oldest, _)| *oldest);
        let mut victims = victims.iter().filter_map(oldest);
        let victim = victims.find(|at| *at != NONE).ok_or(Full)?;
        Ok(self.vacate(victim))
    }

    fn occupy(&mut self, key: K, value: V) -> u32 {
        let hash = self.hasher.hash_one(&key);
        let slot = Slot {
            entry: Some((key, value)),
            rank: Rank::Unverified,
            older: NONE,
            next: NONE,
        };
        let at = match self.slots.get_mut(self.free as usize) {
            Some(place) => {
                let at = self.free;
                self.free = place.next;
                *place = slot;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        let Self {
            slots,
            index,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, at, |at| hash_at(slots, hasher, *at));
        at
    }

    fn vacate(&mut self, at: u32) -> Option<(K, V)> {
        let slots = &self.slots;
        let hash = hash_at(slots, &self.hasher, at);
        let found = self.index.find_entry(hash, |other| *other == at).ok()?;
        found.remove();
        self.unlink(at);
        let slot = self.slots.get_mut(at as usize)?;
        slot.next = self.free;
        self.free = at;
        slot.entry.take()
    }

    fn link(&mut self, at: u32, rank: Rank) {
        let Some((oldest, newest)) = self.ends.get_mut(rank as usize) else {
            return;
        };
        let before = *newest;
        *newest = at;
        if *oldest == NONE {
            *oldest = at;
        }
        if let Some(slot) = self.slots.get_mut(before as usize) {
            slot.next = at;
        }
        if let Some(slot) = self.slots.get_mut(at as usize) {
            (slot.rank, slot.older, slot.next) = (rank, before, NONE);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize) else {
            return;
        };
        let (rank, older, newer) = (slot.rank, slot.older, slot.next);
        if let Some(slot) = self.slots.get_mut(older as usize) {
            slot.next = newer;
        }
        if let Some(slot) = self.slots.get_mut(newer as usize) {
            slot.older = older;
        }
        let Some((oldest, newest)) = self.ends.get_mut(rank as usize) else {
            return;
        };
        if *oldest == at {
            *oldest = newer;
        }
        if *newest == at {
            *newest = older;
        }
    }
}

fn holds<K, V, Q>(slots: &[Slot<K, V>], at: u32, key: &Q) -> bool
where
    K: Borrow<Q>,
    Q: Eq + ?Sized,
{
    let slot = slots.get(at as usize);
    let entry = slot.and_then(|slot| slot.entry.as_ref());
    entry.is_some_and(|(other, _)| other.borrow() == key)
}

fn hash_at<K: Hash, V>(slots: &[Slot<K, V>], hasher: &RandomState, at: u32) -> u64 {
    let slot = slots.get(at as usize);
    let entry = slot.and_then(|slot| slot.entry.as_ref());
    entry.map_or(0, |(key, _)| hasher.hash_one(key))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn keys(table: &Aging<u32, ()>) -> Vec<u32> {
        let mut keys: Vec<_> = table.iter().map(|(key, _, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn the_oldest_unverified_entry_goes_first() {
        let mut table = Aging::new(3);
        table.touch(&1, Rank::Verified, || ()).unwrap();
        table.touch(&2, Rank::Unverified, || ()).unwrap();
        table.touch(&3, Rank::Unverified, || ()).unwrap();
        // 2 is heard of again, so 3 is the oldest.
        table.touch(&2, Rank::Unverified, || ()).unwrap();
        let (_, gone) = table.touch(&4, Rank::Unverified, || ()).unwrap();
        assert_eq!(gone, Some((3, ())));
        assert_eq!(keys(&table), [1, 2, 4]);
    }

    #[test]
    fn unverified_newcomers_never_take_the_place_of_verified_entries() {
        let mut table = Aging::new(2);
        table.touch(&1, Rank::Verified, || ()).unwrap();
        table.touch(&2, Rank::Pinned, || ()).unwrap();
        assert_eq!(table.touch(&3, Rank::Unverified, || ()).unwrap_err(), Full);
        table.touch(&4, Rank::Verified, || ()).unwrap();
        assert_eq!(keys(&table), [2, 4]);
        table.touch(&4, Rank::Pinned, || ()).unwrap();
        assert_eq!(table.touch(&5, Rank::Pinned, || ()).unwrap_err(), Full);
        assert_eq!(keys(&table), [2, 4]);
    }

    #[test]
    fn places_of_removed_entries_are_used_again() {
        let mut table = Aging::new(100);
        for round in 0..10_u32 {
            for key in 0..50 {
                table
                    .touch(&(round * 100 + key), Rank::Unverified, || ())
                    .unwrap();
            }
            table.sweep(1000, |key, ()| key % 100 >= 1, |_, ()| ());
            assert_eq!(table.remove(&(round * 100)), Some(()));
            assert!(table.is_empty());
        }
        assert_eq!(table.slots.len(), 50);
    }

    #[test]
    fn a_sweep_comes_round_within_its_budget() {
        let mut table = Aging::new(100);
        for key in 0..100_u32 {
            table.touch(&key, Rank::Unverified, || ()).unwrap();
        }
        let mut removed = Vec::new();
        for turn in 1..=10 {
            table.sweep(10, |_, ()| true, |key, ()| removed.push(key));
            assert_eq!(removed.len(), turn * 10);
        }
        assert!(table.is_empty());
    }

    /// The same table, slow and plain: entries from the oldest to the newest.
    #[derive(Default)]
    struct Model(Vec<(u8, u32, Rank)>);

    impl Model {
        fn touch(&mut self, key: u8, rank: Rank, value: u32) -> Result<(u32, Option<u8>), Full> {
            let mut value = value;
            let mut gone = None;
            if let Some(at) = self.0.iter().position(|(k, _, _)| *k == key) {
                value = self.0.remove(at).1;
            } else if self.0.len() == 8 {
                let most = rank.min(Rank::Verified);
                let victims = self.0.iter().enumerate().filter(|(_, e)| e.2 <= most);
                let victim = victims.min_by_key(|(at, e)| (e.2, *at)).ok_or(Full)?.0;
                gone = Some(self.0.remove(victim).0);
            }
            self.0.push((key, value, rank));
            Ok((value, gone))
        }
    }

    proptest! {
        #[test]
        fn it_is_what_a_plain_list_is(
            steps in vec((0_u8..20, 0_u8..5), 0..300)
        ) {
            let mut table: Aging<u8, u32> = Aging::new(8);
            let mut model = Model::default();
            for ((key, what), value) in steps.into_iter().zip(0_u32..) {
                let rank = match what {
                    0 => Rank::Unverified,
                    1 => Rank::Verified,
                    2 => Rank::Pinned,
                    3 => {
                        let at = model.0.iter().position(|(k, _, _)| *k == key);
                        let removed = at.map(|at| model.0.remove(at).1);
                        prop_assert_eq!(table.remove(&key), removed);
                        continue;
                    }
                    _ => {
                        let mut removed = 0;
                        table.sweep(8, |k, _| *k == key, |_, _| removed += 1);
                        let before = model.0.len();
                        model.0.retain(|(k, _, _)| *k != key);
                        prop_assert_eq!(removed, before - model.0.len());
                        continue;
                    }
                };
                let ours = table.touch(&key, rank, || value);
                let ours = ours.map(|(value, gone)| (*value, gone.map(|(key, _)| key)));
                prop_assert_eq!(ours, model.touch(key, rank, value));
                prop_assert_eq!(table.len(), model.0.len());
            }
            let mut left: Vec<_> = table.iter().map(|(k, v, r)| (*k, *v, r)).collect();
            left.sort_unstable();
            model.0.sort_unstable();
            prop_assert_eq!(left, model.0);
        }
    }
}
