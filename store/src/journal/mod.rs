//! The journal: after each command the whole state of its call, in memory that outlives the process
//! (spec/survive.md §2.2).
//!
//! Records are appended by any thread: one atomic addition reserves a place, the nonce is written
//! last. Whoever dies in between leaves a hole that readers step over. The record of a call with the
//! highest number counts. Segments are used again, the oldest first, so that what ended a call is
//! never gone before what began it.
//!
//! The owner of a run-time directory is the only one who appends (`owner` lock of the directory,
//! taken by who calls this); other processes read its files ([`scan`](mod@scan)).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits;
use crate::record::{Call, Ended, Handover, Header, Kind, Leg, Segment, units};

mod index;
mod room;
pub mod scan;
mod segment;
#[cfg(test)]
pub(crate) mod tests;

use index::{Entry, Place, Shard};
use room::Room;
use scan::{Log, Newest};
use segment::{NONE, Slot};

/// Bits of the tail that count places; above them stands the segment.
const OFFSET_BITS: u32 = 40;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

/// Locks of calls. Two commands meet at one by chance in 1 of 64 cases.
const SHARDS: usize = 64;

/// Why a record was not appended. The call goes on; after a crash its record before counts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Every segment that the journal may have is full of records that count.
    #[error("all {segments} segments are full of records that count")]
    Full {
        /// How many there are.
        segments: usize,
    },
    /// A call has more legs than its record can name.
    #[error("a call of {0} legs, at most {max} are written", max = limits::LEGS)]
    Legs(usize),
    /// A segment could not be made.
    #[error("no segment can be made: {0}")]
    Segment(#[from] io::Error),
    /// A body is longer than a record may be.
    #[error("a body of {0} bytes, at most {max} are written", max = limits::BODY_BYTES)]
    TooLong(usize),
}

/// What the first record of each segment says of its writer.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The program, as it prints its version.
    pub version: String,
    /// The boot of the machine.
    pub boot_id: [u8; 16],
    /// The count of the owner's epoch.
    pub epoch: u64,
}

/// Where random numbers come from.
pub type Chance = Box<dyn FnMut() -> u64 + Send>;

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of its segments, on a file system in memory.
    pub dir: PathBuf,
    /// Bytes of all segments (`journal_max`); at least five segments are used.
    pub max_bytes: u64,
    /// What segments say of their writer.
    pub writer: Writer,
    /// No number below this one is used: a journal that was lost with its directory goes on above
    /// what its followers have.
    pub first_number: u64,
    /// Now, in milliseconds of a clock that only goes forward.
    pub now_ms: u64,
}

/// What a turn of the timer did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// Calls whose newest record is damaged: their state has to be written again.
    pub damaged: Vec<u64>,
    /// Records that were appended again.
    pub moved: usize,
    /// Segments that became free.
    pub freed: usize,
    /// Calls that were over for long enough.
    pub forgotten: usize,
}

/// What stands at a position.
#[derive(Debug)]
pub enum Step {
    /// A record; its body is in the buffer. `next` is the position behind it.
    Record {
        /// Its header.
        header: Header,
        /// The position of the next one.
        next: u64,
    },
    /// Nothing, yet.
    Idle,
    /// What stood there is gone: all live records are needed ([`Journal::live`]).
    Behind,
}

/// The journal of the process that owns it.
pub struct Journal {
    /// Segment and place of the next record, in one word.
    tail: Line,
    slots: Box<[Slot]>,
    shards: Box<[Mutex<Shard>]>,
    room: Mutex<Room>,
    /// Set while the last segment that there may be is in use: appenders help to make room.
    is_tight: AtomicBool,
    /// The first number of the segment that will be made next.
    next_base: AtomicU64,
    corrupt: AtomicU64,
    dir: PathBuf,
}

/// A word that shares its cache line with nothing.
#[derive(Debug)]
#[repr(align(64))]
struct Line(AtomicU64);

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.dir)
            .field("tail", &self.position())
            .finish_non_exhaustive()
    }
}

thread_local! {
    static BODY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Journal {
    /// Opens the journal of a directory and gives back what it says. Records that count stay where
    /// they are; what is appended goes into new segments, with higher numbers.
    ///
    /// # Errors
    /// The system's, and [`AppendError::Full`] if `max_bytes` has no room beside what is there.
    pub fn open(options: Options, chance: Chance) -> Result<(Self, Log), AppendError> {
        let log = Log::read(&options.dir)?;
        let wanted = options.max_bytes / limits::SEGMENT_BYTES as u64;
        let wanted = usize::try_from(wanted).unwrap_or(limits::SEGMENTS);
        let count = wanted
            .max(log.segments.len() + 2)
            .max(limits::SEGMENTS_KEPT + 1);
        let count = count.min(limits::SEGMENTS);
        let next_base = log.next_base().max(options.first_number);
        let next_base = next_base.next_multiple_of(limits::SEGMENT_UNITS);
        let journal = Self {
            tail: Line(AtomicU64::new(0)),
            slots: (0..count).map(|_| Slot::new()).collect(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            room: Mutex::new(Room::new(options.writer, chance)),
            is_tight: AtomicBool::new(false),
            next_base: AtomicU64::new(next_base),
            corrupt: AtomicU64::new(0),
            dir: options.dir,
        };
        journal.adopt(&log, options.now_ms)?;
        journal.begin()?;
        Ok((journal, log))
    }

    /// Writes the state of a call. On return it outlives the process.
    ///
    /// # Errors
    /// What is too long, or has no room.
    pub fn call(&self, number: u64, call: &Call<'_>) -> Result<u64, AppendError> {
        self.legs(number, call, &[], |_| false)
    }

    /// Writes the state of a call of many legs: those that changed, and the call without legs.
    /// `is_gone` says which of those that were written before are no longer part of it.
    ///
    /// # Errors
    /// What is too long, or has no room; then nothing of it counts.
    pub fn legs(
        &self,
        number: u64,
        call: &Call<'_>,
        changed: &[Leg<'_>],
        is_gone: impl Fn(u32) -> bool,
    ) -> Result<u64, AppendError> {
        self.help();
        BODY.with_borrow_mut(|body| {
            let mut shard = self.shard(number);
            let before = shard.calls.get(&number).map(|entry| entry.legs.clone());
            let mut legs = before.unwrap_or_default();
            legs.retain(|(leg, _)| !is_gone(*leg) && changed.iter().all(|new| new.leg != *leg));
            let kept = legs.len();
            let written = self.write_legs(number, call, changed, &mut legs, body);
            let place =
                written.inspect_err(|_| self.count_out(legs.iter().skip(kept).map(|leg| leg.1)))?;
            let entry = Entry { place, legs };
            self.put(&mut shard, number, entry);
            Ok(place.number)
        })
    }

    /// Writes that a call is over. It is forgotten 60 s after `now_ms`.
    ///
    /// # Errors
    /// What is too long, or has no room.
    pub fn ended(&self, number: u64, ended: &Ended<'_>, now_ms: u64) -> Result<u64, AppendError> {
        self.help();
        BODY.with_borrow_mut(|body| {
            body.clear();
            // A longer reply is not worth its room: a repeated request then gets a short one.
            let is_kept = ended.reply.len() <= limits::REPLY_BYTES;
            let reply = if is_kept { ended.reply } else { &[] };
            Ended { reply, ..*ended }.encode(body);
            let mut shard = self.shard(number);
            let place = self.write(Kind::Ended, Kind::Ended.format(), number, body)?;
            self.put(&mut shard, number, Entry::of(place));
            shard.forget_at(now_ms.saturating_add(limits::ENDED_MS), number);
            Ok(place.number)
        })
    }

    /// Writes run-time settings and totals, in the place of those before.
    ///
    /// # Errors
    /// What is too long, or has no room.
    pub fn settings(&self, body: &[u8]) -> Result<u64, AppendError> {
        self.help();
        let mut shard = self.shard(0);
        let place = self.write(Kind::Settings, Kind::Settings.format(), 0, body)?;
        self.put(&mut shard, 0, Entry::of(place));
        Ok(place.number)
    }

    /// Writes the last record of this owner. Whoever calls it has stopped all commands.
    ///
    /// # Errors
    /// There is no room.
    pub fn handover(&self, handover: &Handover) -> Result<u64, AppendError> {
        let mut body = Vec::new();
        handover.encode(&mut body);
        let place = self.write(Kind::Handover, Kind::Handover.format(), 0, &body)?;
        self.count_out([place].into_iter());
        Ok(place.number)
    }

    /// The position of what is appended next: where a follower begins that takes [`Self::live`].
    #[must_use]
    pub fn position(&self) -> u64 {
        loop {
            let (slot, offset) = split(self.tail.0.load(Ordering::Acquire));
            let base = self
                .slots
                .get(slot)
                .map_or(0, |slot| slot.base.load(Ordering::Acquire));
            // Still the one that is written to, so the number is that of its present life.
            if slot == split(self.tail.0.load(Ordering::Acquire)).0 {
                return base.saturating_add(offset.min(limits::SEGMENT_UNITS));
            }
        }
    }

    /// What stands at a position that [`Self::position`] or a step before gave.
    pub fn read(&self, position: u64, body: &mut Vec<u8>) -> Step {
        let mut at = position;
        loop {
            let offset = at % limits::SEGMENT_UNITS;
            let base = at - offset;
            let Some(slot) = self.slot_of(base) else {
                return if base < self.next_base.load(Ordering::Acquire) {
                    Step::Behind
                } else {
                    Step::Idle
                };
            };
            if offset >= slot.end.load(Ordering::Acquire) {
                at = base + limits::SEGMENT_UNITS;
                continue;
            }
            let found = slot.read(offset, body);
            if slot.base.load(Ordering::Acquire) != base {
                return Step::Behind;
            }
            match found {
                Some(Ok(header)) => {
                    let next = at + header.units();
                    return Step::Record { header, next };
                }
                Some(Err(_)) => {
                    self.corrupt.fetch_add(1, Ordering::Relaxed);
                    at += 1;
                }
                None => return Step::Idle,
            }
        }
    }

    /// Calls `each` with all records that count: first legs, then their call.
    pub fn live(&self, mut each: impl FnMut(&Header, &[u8])) {
        let mut body = Vec::new();
        for shard in &self.shards {
            // The lock of few calls at a time, so that commands do not wait for a follower.
            let calls: Vec<u64> = lock(shard).calls.keys().copied().collect();
            for call in calls {
                let shard = lock(shard);
                let Some(entry) = shard.calls.get(&call) else {
                    continue;
                };
                let places = entry.legs.iter().map(|leg| leg.1).chain([entry.place]);
                for place in places {
                    if let Some(header) = self.at(place, &mut body) {
                        each(&header, &body);
                    }
                }
            }
        }
    }

    /// Records that were found damaged since the journal was opened.
    #[must_use]
    pub fn corrupt(&self) -> u64 {
        self.corrupt.load(Ordering::Relaxed)
    }

    /// Bytes of the records that count.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        let live = self
            .slots
            .iter()
            .map(|slot| slot.live.load(Ordering::Relaxed));
        live.sum::<u64>() * limits::UNIT_BYTES as u64
    }

    /// The directory of the segments.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn write_legs(
        &self,
        number: u64,
        call: &Call<'_>,
        changed: &[Leg<'_>],
        legs: &mut Vec<(u32, Place)>,
        body: &mut Vec<u8>,
    ) -> Result<Place, AppendError> {
        let count = legs.len() + changed.len();
        if count > limits::LEGS {
            return Err(AppendError::Legs(count));
        }
        for leg in changed {
            body.clear();
            leg.encode(body);
            let place = self.write(Kind::Leg, Kind::Leg.format(), number, body)?;
            legs.push((leg.leg, place));
        }
        body.clear();
        if legs.is_empty() && call.legs.is_empty() {
            call.encode(body);
        } else {
            let named = legs.iter().map(|(leg, place)| (*leg, place.number));
            let legs = named.collect();
            Call {
                legs,
                ..call.clone()
            }
            .encode(body);
        }
        self.write(Kind::Call, Kind::Call.format(), number, body)
    }

    /// Reserves a place and writes a record there.
    fn write(&self, kind: Kind, format: u8, call: u64, body: &[u8]) -> Result<Place, AppendError> {
        if body.len() > limits::BODY_BYTES {
            return Err(AppendError::TooLong(body.len()));
        }
        let units = units(body.len());
        loop {
            let (_, offset) = split(self.tail.0.load(Ordering::Relaxed));
            if offset > limits::SEGMENT_UNITS {
                // Nothing is reserved while there is no room, so the places never overflow.
                self.rotate()?;
            }
            let (index, offset) = split(self.tail.0.fetch_add(units, Ordering::AcqRel));
            let Some(slot) = self.slots.get(index) else {
                return Err(AppendError::Full {
                    segments: self.slots.len(),
                });
            };
            if offset + units <= limits::SEGMENT_UNITS {
                let header = Header {
                    len: body.len(),
                    number: slot.base.load(Ordering::Relaxed) + offset,
                    call,
                    kind,
                    format,
                };
                // Before it is committed: a segment without live records could be used again.
                slot.live.fetch_add(units, Ordering::Relaxed);
                slot.write(offset, &header, body);
                slot.committed.fetch_add(units, Ordering::Release);
                return Ok(Place {
                    number: header.number,
                    units: u32::try_from(units).unwrap_or(u32::MAX),
                    slot: u16::try_from(index).unwrap_or(u16::MAX),
                });
            }
            if offset <= limits::SEGMENT_UNITS {
                // The first that does not fit says where the segment ends.
                slot.end.store(offset, Ordering::Release);
            }
            self.rotate()?;
        }
    }

    /// Puts the records of a call in the place of those before.
    fn put(&self, shard: &mut Shard, call: u64, entry: Entry) {
        let kept: Vec<(u32, Place)> = entry.legs.clone();
        if let Some(old) = shard.replace(call, entry) {
            let gone = old
                .places()
                .filter(|place| kept.iter().all(|(_, kept)| kept != place));
            self.count_out(gone);
        }
    }

    /// Records that count no longer.
    fn count_out(&self, places: impl Iterator<Item = Place>) {
        for place in places {
            if let Some(slot) = self.slots.get(usize::from(place.slot)) {
                slot.live.fetch_sub(place.units.into(), Ordering::Relaxed);
            }
        }
    }

    /// The record at a place that counts.
    fn at(&self, place: Place, body: &mut Vec<u8>) -> Option<Header> {
        let slot = self.slots.get(usize::from(place.slot))?;
        let base = slot.base.load(Ordering::Acquire);
        let found = slot.read(place.number.checked_sub(base)?, body)?;
        found
            .inspect_err(|_| _ = self.corrupt.fetch_add(1, Ordering::Relaxed))
            .ok()
    }

    fn slot_of(&self, base: u64) -> Option<&Slot> {
        self.slots
            .iter()
            .find(|slot| slot.base.load(Ordering::Acquire) == base)
    }

    fn shard(&self, call: u64) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(call % SHARDS as u64).unwrap_or(0);
        match self.shards.get(at) {
            Some(shard) => lock(shard),
            None => unreachable!("a remainder of the number of shards"),
        }
    }
}

impl Entry {
    fn of(place: Place) -> Self {
        Self {
            place,
            legs: Vec::new(),
        }
    }
}

fn split(tail: u64) -> (usize, u64) {
    let slot = usize::try_from(tail >> OFFSET_BITS).unwrap_or(usize::MAX);
    (slot, tail & OFFSET_MASK)
}

/// A thread that died while it held a lock has left nothing half done that readers would see.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
