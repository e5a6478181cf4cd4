//! Limits on calls (spec §13): how many at once, and how many a second, per class and key.
//!
//! A call reserves its place in all of its classes at once when it is admitted, or in none. What it
//! holds is [`Slots`], kept with the dialog: dropping it gives the places back, so they are given
//! back once, however the call ends.
//!
//! All shards share one table behind one lock. A call takes it twice, for less than a microsecond;
//! a place in several classes cannot be reserved at once under several locks without an order of
//! them, and 10 000 calls a second hold this one for a hundredth of the time.

mod bucket;
mod category;
pub(crate) mod key;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::limits as bounds;
use crate::screen::aging::{Aging, Rank};
pub(crate) use bucket::{Buckets, Pace};
pub(crate) use category::Categories;
pub(crate) use key::{Fields, Template, User};

/// One class (spec §19, `[[limit]]`).
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) name: String,
    /// Calls with the same key count together. A call that lacks a field of it is not in the class.
    pub(crate) key: Template,
    /// Only calls to numbers of this category.
    pub(crate) category: Option<String>,
    /// Only calls of this peer.
    pub(crate) peer: Option<String>,
    /// Calls at once. `None`: any number.
    pub(crate) calls: Option<u32>,
    /// Calls a second. `None`: any number.
    pub(crate) cps: Option<Pace>,
    /// Longest call. `None`: any.
    pub(crate) max_call: Option<Duration>,
    /// 403, 486 or 503. Default 403 for calls at once; calls a second are refused with 503.
    pub(crate) code: u16,
}

impl Limit {
    /// A class without a bound yet.
    pub(crate) fn new(name: &str, key: Template) -> Self {
        Self {
            name: name.to_owned(),
            key,
            category: None,
            peer: None,
            calls: None,
            cps: None,
            max_call: None,
            code: 403,
        }
    }
}

/// Why a call is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Calls { class: String, code: u16 },
    Pace { class: String, wait: Duration },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Limits {
    classes: Vec<Limit>,
    categories: Arc<Categories>,
    counts: Arc<Mutex<Counts>>,
    epoch: Instant,
}

/// Places taken, and the pace of calls.
#[derive(Debug)]
struct Counts {
    /// As many as calls hold: the dialog table is their bound.
    calls: HashMap<Arc<[u8]>, u32, RandomState>,
    /// When the bucket of a key is full again, in nanoseconds since the epoch (see [`Pace`]).
    paces: Aging<Vec<u8>, u64>,
}

/// The places that one call holds. Dropping it gives them back.
pub(crate) struct Slots {
    counts: Arc<Mutex<Counts>>,
    keys: SmallVec<[Arc<[u8]>; 2]>,
    longest: Option<Duration>,
}

impl Limits {
    /// `now` is the origin of its time.
    pub(crate) fn new(classes: Vec<Limit>, categories: Arc<Categories>, now: Instant) -> Self {
        Self {
            classes,
            categories,
            counts: Arc::new(Mutex::new(Counts {
                calls: HashMap::default(),
                paces: Aging::new(bounds::PACES),
            })),
            epoch: now,
        }
    }

    /// Other classes over the same counts: calls keep their places in classes whose name stays.
    pub(crate) fn reload(&self, classes: Vec<Limit>, categories: Arc<Categories>) -> Self {
        Self {
            classes,
            categories,
            counts: self.counts.clone(),
            epoch: self.epoch,
        }
    }

    /// Reserves a place for a new call in each class that it is in, or in none.
    pub(crate) fn admit(&self, fields: &Fields<'_>, now: Instant) -> Result<Slots, Refused> {
        let of = self.classes_of(fields);
        let now = self.nanos(now);
        let mut counts = self.counts.lock();
        let paces = Self::check(&counts, &of, now)?;
        let longest = of.iter().filter_map(|(limit, _)| limit.max_call).min();
        let mut keys = SmallVec::new();
        for ((limit, key), next) in of.into_iter().zip(paces) {
            // The oldest is forgotten for it, so there is a place.
            if let Some(next) = next
                && let Ok((pace, _)) = counts.paces.touch(&key[..], Rank::Unverified, || 0)
            {
                *pace = next;
            }
            if limit.calls.is_some() {
                let key: Arc<[u8]> = key.into();
                *counts.calls.entry(key.clone()).or_default() += 1;
                keys.push(key);
            }
        }
        Ok(self.slots(keys, longest))
    }

    /// Whether [`Self::admit`] would admit the call now.
    pub(crate) fn peek(&self, fields: &Fields<'_>, now: Instant) -> Result<(), Refused> {
        let of = self.classes_of(fields);
        Self::check(&self.counts.lock(), &of, self.nanos(now)).map(|_| ())
    }

    /// Takes up the places of a call that was running before a restart, whatever the limits.
    pub(crate) fn restore(&self, keys: impl IntoIterator<Item = Vec<u8>>) -> Slots {
        let keys: SmallVec<[Arc<[u8]>; 2]> = keys.into_iter().map(Into::into).collect();
        let mut counts = self.counts.lock();
        for key in &keys {
            *counts.calls.entry(key.clone()).or_default() += 1;
        }
        self.slots(keys, None)
    }

    /// All classes.
    pub(crate) fn classes(&self) -> &[Limit] {
        &self.classes
    }

    /// Keys with calls, and their calls, of each class, in the order of the classes.
    pub(crate) fn totals(&self) -> Vec<(usize, u64)> {
        let mut totals = vec![(0, 0); self.classes.len()];
        let counts = self.counts.lock();
        for (key, count) in &counts.calls {
            let name = key.split(|b| *b == 0).next().unwrap_or_default();
            let is_it = |class: &Limit| class.name.as_bytes() == name;
            let at = self.classes.iter().position(is_it);
            if let Some((keys, calls)) = at.and_then(|at| totals.get_mut(at)) {
                *keys += 1;
                *calls += u64::from(*count);
            }
        }
        totals
    }

    /// Calls at once of one key of a class.
    pub(crate) fn size(&self, class: &str, key: &[u8]) -> u32 {
        let key = compound(class, key);
        self.counts.lock().calls.get(&key[..]).copied().unwrap_or(0)
    }

    /// The keys of a class that hold places, in order.
    pub(crate) fn usage(&self, class: &str) -> Vec<(Vec<u8>, u32)> {
        let prefix = compound(class, b"");
        let counts = self.counts.lock();
        let of = counts.calls.iter().filter_map(|(key, count)| {
            let key = key.strip_prefix(&prefix[..])?;
            Some((key.to_vec(), *count))
        });
        let mut usage: Vec<_> = of.collect();
        drop(counts);
        usage.sort();
        usage
    }

    fn slots(&self, keys: SmallVec<[Arc<[u8]>; 2]>, longest: Option<Duration>) -> Slots {
        Slots {
            counts: self.counts.clone(),
            keys,
            longest,
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        bucket::nanos(self.epoch, now)
    }

    /// The classes of a call, each with its key.
    fn classes_of(&self, fields: &Fields<'_>) -> SmallVec<[(&Limit, Vec<u8>); 4]> {
        let of = self.classes.iter().filter_map(|limit| {
            if limit.peer.is_some() && limit.peer.as_deref() != fields.peer {
                return None;
            }
            let mut fields = *fields;
            match &limit.category {
                Some(name) if !self.categories.holds(name, fields.ruri_user) => return None,
                Some(name) => fields.category = Some(name),
                None if limit.key.names_category() => {
                    fields.category = self.categories.of(fields.ruri_user);
                }
                None => {}
            }
            let mut key = compound(&limit.name, b"");
            limit.key.render(&fields, &mut key).then_some((limit, key))
        });
        of.collect()
    }

    /// The next pace of each class, if there is room in all.
    fn check(
        counts: &Counts,
        of: &[(&Limit, Vec<u8>)],
        now: u64,
    ) -> Result<SmallVec<[Option<u64>; 4]>, Refused> {
        let check = |(limit, key): &(&Limit, Vec<u8>)| {
            let class = || limit.name.clone();
            let held = counts.calls.get(&key[..]).copied().unwrap_or(0);
            if limit.calls.is_some_and(|most| held >= most) {
                let code = limit.code;
                return Err(Refused::Calls {
                    class: class(),
                    code,
                });
            }
            let Some(pace) = limit.cps else {
                return Ok(None);
            };
            let next = counts.paces.get(&key[..]).copied().unwrap_or(0);
            let next = pace.take(next, now);
            next.map(Some).map_err(|wait| Refused::Pace {
                class: class(),
                wait,
            })
        };
        of.iter().map(check).collect()
    }
}

impl Slots {
    /// For the state that outlives the process, and for [`Limits::restore`].
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| &key[..])
    }

    /// What the call may take at most, by its classes.
    pub(crate) fn longest(&self) -> Option<Duration> {
        self.longest
    }

    /// The classes that the call is in, by name.
    pub(crate) fn classes(&self) -> impl Iterator<Item = &[u8]> {
        let name = |key: &Arc<[u8]>| key.iter().position(|b| *b == 0);
        self.keys
            .iter()
            .filter_map(move |key| key.get(..name(key)?))
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut counts = self.counts.lock();
        for key in self.keys.drain(..) {
            if let Entry::Occupied(mut count) = counts.calls.entry(key) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.iter().map(|key| String::from_utf8_lossy(key));
        f.debug_list().entries(keys).finish()
    }
}

/// The name of a class and a key in it; names hold no NUL.
fn compound(class: &str, key: &[u8]) -> Vec<u8> {
    [class.as_bytes(), &[0], key].concat()
}
