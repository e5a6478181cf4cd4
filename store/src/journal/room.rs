//! Segments: made, begun, emptied and used again.

use super::*;

/// Who has which segment. Its lock is taken after that of a shard.
pub(super) struct Room {
    writer: Writer,
    chance: Chance,
    /// Segments in the order of their numbers; the last one is written to.
    order: VecDeque<usize>,
    /// The one that comes next, faulted in.
    prepared: Option<usize>,
    /// Free ones, the longest first.
    spare: VecDeque<usize>,
    /// Segment and place that is looked at next to empty the oldest one.
    moving: (u64, u64),
}

impl Room {
    pub(super) fn new(writer: Writer, chance: Chance) -> Self {
        Self {
            writer,
            chance,
            order: VecDeque::new(),
            prepared: None,
            spare: VecDeque::new(),
            moving: (NONE, 0),
        }
    }
}

impl Journal {
    /// One turn of the timer: forgets what is over, has the next segment ready, and empties the
    /// oldest one if there are too many.
    ///
    /// # Errors
    /// There is no room, or no segment can be made; the next turn tries again.
    pub fn turn(&self, now_ms: u64) -> Result<Turned, AppendError> {
        let mut turned = Turned::default();
        for shard in &self.shards {
            for entry in lock(shard).forget(now_ms) {
                self.count_out(entry.places());
                turned.forgotten += 1;
            }
        }
        turned.freed += self.free(&mut lock(&self.room))?;
        if self.is_crowded() {
            turned.moved = self.empty_oldest(limits::MOVED_A_TURN)?;
            turned.damaged = self.damaged();
            turned.freed += self.free(&mut lock(&self.room))?;
        }
        let mut room = lock(&self.room);
        if room.prepared.is_none() && self.has_slot(&room) {
            room.prepared = Some(self.prepare(&mut room)?);
        }
        Ok(turned)
    }

    /// Segments that hold records, the one that is written to included.
    #[must_use]
    pub fn segments(&self) -> usize {
        lock(&self.room).order.len()
    }

    /// Takes over the segments of an earlier process.
    pub(super) fn adopt(&self, log: &Log, now_ms: u64) -> Result<(), AppendError> {
        let mut room = lock(&self.room);
        for (index, (segment, slot)) in log.segments.iter().zip(&self.slots).enumerate() {
            slot.adopt(&self.dir.join(scan::name_of(segment.base)))?;
            slot.base.store(segment.base, Ordering::Release);
            slot.nonce.store(segment.scanned.nonce, Ordering::Release);
            // Nothing more comes, and its holes are not waited for.
            slot.end.store(limits::SEGMENT_UNITS, Ordering::Release);
            slot.committed
                .store(limits::SEGMENT_UNITS, Ordering::Release);
            room.order.push_back(index);
        }
        drop(room);
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "spare")
            {
                fs::remove_file(path)?;
            }
        }
        let place_of = |number: u64, bodies: usize| {
            let slots = self.slots.iter().enumerate();
            let base = number - number % limits::SEGMENT_UNITS;
            let slot = slots
                .into_iter()
                .find(|(_, slot)| slot.base.load(Ordering::Relaxed) == base);
            let (index, slot) = slot?;
            let units = units(bodies);
            slot.live.fetch_add(units, Ordering::Relaxed);
            Some(Place {
                number,
                units: u32::try_from(units).ok()?,
                slot: u16::try_from(index).ok()?,
            })
        };
        let lens = log.records().map(|(header, _)| (header.number, header.len));
        let lens: std::collections::HashMap<u64, usize> = lens.collect();
        let place = |number| place_of(number, lens.get(&number).copied().unwrap_or_default());
        let newest = log.newest();
        for (call, newest) in &newest.calls {
            let mut shard = self.shard(*call);
            let (number, legs): (u64, &[_]) = match newest {
                Newest::Live(live) => (live.number, &live.legs),
                Newest::Ended(_, number) => {
                    shard.forget_at(now_ms.saturating_add(limits::ENDED_MS), *call);
                    (*number, &[])
                }
            };
            let legs = legs.iter();
            let legs = legs
                .filter_map(|(leg, at)| Some((leg.leg, place(*at)?)))
                .collect();
            if let Some(place) = place(number) {
                shard.replace(*call, Entry { place, legs });
            }
        }
        if let Some((number, _)) = newest.settings
            && let Some(place) = place(number)
        {
            self.shard(0).replace(0, Entry::of(place));
        }
        Ok(())
    }

    /// Begins the first segment.
    pub(super) fn begin(&self) -> Result<(), AppendError> {
        let mut room = lock(&self.room);
        self.free(&mut room)?;
        let first = self.prepare(&mut room)?;
        self.enter(&mut room, first);
        Ok(())
    }

    /// Goes on in the next segment, if nobody else did meanwhile.
    pub(super) fn rotate(&self) -> Result<(), AppendError> {
        let mut room = lock(&self.room);
        let (_, offset) = split(self.tail.0.load(Ordering::Acquire));
        if offset <= limits::SEGMENT_UNITS {
            return Ok(());
        }
        let next = match room.prepared.take() {
            Some(next) => next,
            None => {
                self.free(&mut room)?;
                self.prepare(&mut room)?
            }
        };
        self.enter(&mut room, next);
        Ok(())
    }

    /// An appender helps to empty the oldest segment while the last one is in use.
    pub(super) fn help(&self) {
        if self.is_tight.load(Ordering::Relaxed) {
            // What cannot be moved now is seen when the segment is full.
            let _ = self.empty_oldest(limits::MOVED_AN_APPEND);
            let _ = self.free(&mut lock(&self.room));
        }
    }

    fn enter(&self, room: &mut Room, next: usize) {
        room.order.push_back(next);
        let used = self
            .slots
            .get(next)
            .map_or(0, |slot| slot.committed.load(Ordering::Relaxed));
        let tail = (next as u64) << OFFSET_BITS | used;
        self.tail.0.store(tail, Ordering::Release);
        self.is_tight.store(!self.has_slot(room), Ordering::Relaxed);
    }

    fn has_slot(&self, room: &Room) -> bool {
        let is_unused = |slot: &Slot| !slot.is_mapped();
        room.prepared.is_some() || !room.spare.is_empty() || self.slots.iter().any(is_unused)
    }

    /// Gives a free segment a new life.
    fn prepare(&self, room: &mut Room) -> Result<usize, AppendError> {
        let unused = || self.slots.iter().position(|slot| !slot.is_mapped());
        let index = room.spare.front().copied().or_else(unused);
        let full = || AppendError::Full {
            segments: self.slots.len(),
        };
        let index = index.ok_or_else(full)?;
        let slot = self.slots.get(index).ok_or_else(full)?;
        let path = segment::spare_path(&self.dir, index);
        if !slot.is_mapped() {
            slot.create(&path)?;
            room.spare.push_front(index);
        }
        slot.fault_in()?;
        let base = self.next_base.load(Ordering::Relaxed);
        let nonce = loop {
            match (room.chance)() {
                0 => {}
                nonce => break nonce,
            }
        };
        slot.nonce.store(nonce, Ordering::Release);
        let mut body = Vec::new();
        let formats = Kind::ALL.iter().map(|kind| (*kind as u8, kind.format()));
        let segment = Segment {
            version: room.writer.version.clone(),
            boot_id: room.writer.boot_id,
            formats: formats.collect(),
            epoch: room.writer.epoch,
            nonce,
        };
        segment.encode(&mut body);
        let header = Header {
            len: body.len(),
            number: base,
            call: 0,
            kind: Kind::Segment,
            format: Kind::Segment.format(),
        };
        slot.write(0, &header, &body);
        // It has its name only once it says whose it is: under this name nothing of an earlier
        // life is read.
        fs::rename(&path, self.dir.join(scan::name_of(base)))?;
        room.spare.pop_front();
        slot.end.store(NONE, Ordering::Release);
        slot.live.store(0, Ordering::Release);
        slot.committed.store(header.units(), Ordering::Release);
        slot.base.store(base, Ordering::Release);
        let after = base.saturating_add(limits::SEGMENT_UNITS);
        self.next_base.store(after, Ordering::Release);
        Ok(index)
    }

    /// Takes the oldest segments out of use that hold nothing which counts.
    fn free(&self, room: &mut Room) -> Result<usize, AppendError> {
        let mut freed = 0;
        while room.order.len() > 1 {
            let Some(index) = room.order.front().copied() else {
                break;
            };
            let Some(slot) = self.slots.get(index) else {
                break;
            };
            if slot.live.load(Ordering::Acquire) > 0 || !slot.is_complete() {
                break;
            }
            let base = slot.base.load(Ordering::Acquire);
            let spare = segment::spare_path(&self.dir, index);
            fs::rename(self.dir.join(scan::name_of(base)), spare)?;
            slot.base.store(NONE, Ordering::Release);
            room.order.pop_front();
            if room.spare.len() >= limits::SPARE_SEGMENTS {
                slot.release();
            }
            room.spare.push_back(index);
            freed += 1;
        }
        if freed > 0 {
            self.is_tight.store(false, Ordering::Relaxed);
        }
        Ok(freed)
    }

    /// More segments than 4 and twice what is alive.
    fn is_crowded(&self) -> bool {
        let live = self.live_bytes() / limits::SEGMENT_BYTES as u64;
        let allowed = limits::SEGMENTS_KEPT as u64 + 2 * live;
        self.segments() as u64 > allowed
    }

    /// Appends what counts in the oldest segment again, at most so many records.
    fn empty_oldest(&self, most: usize) -> Result<usize, AppendError> {
        let (index, mut offset) = {
            let room = lock(&self.room);
            let Some(index) = room.order.front().filter(|_| room.order.len() > 1) else {
                return Ok(0);
            };
            let Some(slot) = self.slots.get(*index) else {
                return Ok(0);
            };
            if !slot.is_complete() {
                return Ok(0);
            }
            let base = slot.base.load(Ordering::Acquire);
            let (of, offset) = room.moving;
            (*index, if of == base { offset } else { 0 })
        };
        let Some(slot) = self.slots.get(index) else {
            return Ok(0);
        };
        let base = slot.base.load(Ordering::Acquire);
        let mut body = Vec::new();
        let mut moved = 0;
        while moved < most && offset < slot.end.load(Ordering::Acquire) {
            match slot.read(offset, &mut body) {
                Some(Ok(header)) => {
                    let mut shard = self.shard(header.call);
                    moved += self.renew(&mut shard, &header)?;
                    offset += header.units();
                }
                _ => offset += 1,
            }
        }
        lock(&self.room).moving = (base, offset);
        Ok(moved)
    }

    /// Calls that still count on the oldest segment although all of it was looked at: their record
    /// is damaged. They are forgotten here, so that the segment comes free.
    fn damaged(&self) -> Vec<u64> {
        let (of, offset) = lock(&self.room).moving;
        let mut slots = self.slots.iter().enumerate();
        let slot = slots.find(|(_, slot)| slot.base.load(Ordering::Acquire) == of);
        let Some((index, slot)) = slot.filter(|_| of != NONE) else {
            return Vec::new();
        };
        let is_seen = offset >= slot.end.load(Ordering::Acquire);
        if !is_seen || slot.live.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut damaged = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let is_there = |place: Place| usize::from(place.slot) == index;
            let gone = shard
                .calls
                .extract_if(|_, entry| entry.places().any(is_there));
            for (call, entry) in gone {
                self.count_out(entry.places());
                damaged.push(call);
            }
        }
        damaged
    }

    /// Appends the records of a call again, if one of them is the one that was read.
    fn renew(&self, shard: &mut Shard, header: &Header) -> Result<usize, AppendError> {
        let entry = shard.calls.get(&header.call);
        let Some(entry) = entry.filter(|entry| entry.names(header.number)).cloned() else {
            return Ok(0);
        };
        let mut body = Vec::new();
        let mut legs: Vec<(u32, Place)> = Vec::new();
        for (leg, place) in &entry.legs {
            let written = match self.at(*place, &mut body) {
                Some(header) => self.write(header.kind, header.format, header.call, &body),
                // Damaged: the call keeps what it has, and its segment stays.
                None => return Ok(0),
            };
            let place = written.inspect_err(|_| self.count_out(legs.iter().map(|leg| leg.1)))?;
            legs.push((*leg, place));
        }
        let Some(of) = self.at(entry.place, &mut body) else {
            self.count_out(legs.iter().map(|leg| leg.1));
            return Ok(0);
        };
        if !legs.is_empty() {
            let Ok(call) = Call::decode(&body) else {
                self.count_out(legs.iter().map(|leg| leg.1));
                return Ok(0);
            };
            let named = legs
                .iter()
                .map(|(leg, place)| (*leg, place.number))
                .collect();
            let mut renamed = Vec::new();
            Call {
                legs: named,
                ..call
            }
            .encode(&mut renamed);
            body = renamed;
        }
        let written = self.write(of.kind, of.format, of.call, &body);
        let place = written.inspect_err(|_| self.count_out(legs.iter().map(|leg| leg.1)))?;
        let moved = 1 + legs.len();
        self.put(shard, of.call, Entry { place, legs });
        Ok(moved)
    }
}
