//! What changes with packets, in memory that outlives the process (spec/survive.md §2.3): a header
//! page, then 320 bytes a flow.
//!
//! Of each slot there is one writer; readers are anywhere, in this process and in others. A death
//! falls between two stores, so the order of the program is all that counts:
//!
//! - *Identity* is written before the flow is in force, its call last.
//! - *Words* of 8 bytes are stored one by one, and each is valid alone.
//! - What is longer has *two copies and a generation*: the idle copy is written, then the
//!   generation says that it counts.

use std::fs::OpenOptions;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::limits;
use crate::sys::{self, Access, Map};

mod header;
pub mod srtp;
#[cfg(test)]
mod tests;

pub use header::{Owner, TakeError};

/// Words of the header page.
const HEADER_WORDS: usize = 512;
/// Words of a slot: 320 bytes, five cache lines.
const SLOT_WORDS: usize = 40;

/// Words of a slot, from its first.
mod at {
    pub(super) const CALL: usize = 0;
    pub(super) const GENERATION: usize = 1;
    /// The local address: 16 bytes, then the port.
    pub(super) const LOCAL: usize = 2;
    pub(super) const PACKETS: usize = 5;
    pub(super) const BYTES: usize = 6;
    pub(super) const ERRORS: usize = 7;
    pub(super) const LAST_NS: usize = 8;
    /// Sources: SSRC, highest index in, highest index out, SRTCP in and out, sequence and
    /// timestamp.
    pub(super) const SOURCES: usize = 9;
    pub(super) const SOURCE_WORDS: usize = 5;
    /// Which copy counts, in its lowest bit.
    pub(super) const TURN: usize = 29;
    /// Two copies: destination, source (16 bytes each), then ports, flags and pair.
    pub(super) const COPIES: usize = 30;
    pub(super) const COPY_WORDS: usize = 5;
}

const _: () = assert!(at::COPIES + 2 * at::COPY_WORDS == SLOT_WORDS);
const _: () = assert!(at::SOURCES + limits::SOURCES * at::SOURCE_WORDS == at::TURN);

/// Set in the word of an SSRC that is used: 0 is an SSRC, too.
const USED: u64 = 1 << 32;

/// Why the live area cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The file is of another layout, or no live area.
    #[error("the live area has layout {found:#x}, this program has {expected:#x}")]
    Layout {
        /// What the file says.
        found: u64,
        /// What is read and written.
        expected: u64,
    },
    /// The system's.
    #[error("live area: {0}")]
    System(#[from] io::Error),
}

/// The live area. Reading takes no lock.
#[derive(Debug)]
pub struct Live {
    map: Map,
    slots: usize,
    /// Slots that have a writer in this process, a bit each.
    claimed: Box<[AtomicU64]>,
}

/// Whose slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number of the call, never 0.
    pub call: u64,
    /// Distinguishes flows that had the slot one after the other.
    pub generation: u64,
    /// The local address and port.
    pub local: SocketAddr,
}

/// What is counted of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets.
    pub packets: u64,
    /// Bytes of their payloads of UDP.
    pub bytes: u64,
    /// Packets that could not be used.
    pub errors: u64,
    /// The last packet, in nanoseconds since the boot; 0 for none.
    pub last_ns: u64,
}

/// What is known of one SSRC. Indexes are those of RFC 3711 §3.3.1 (48 bits) and §3.4 (31 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The SSRC.
    pub ssrc: u32,
    /// Highest SRTP index received and authenticated, plus 1; 0 for none.
    pub index_in: u64,
    /// Highest SRTP index sealed, plus 1; 0 for none.
    pub index_out: u64,
    /// Highest SRTCP index received, plus 1.
    pub rtcp_in: u32,
    /// Highest SRTCP index sealed, plus 1.
    pub rtcp_out: u32,
    /// Sequence number of the last packet.
    pub sequence: u16,
    /// Timestamp of the last packet.
    pub timestamp: u32,
}

/// Where a flow's packets go and come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Where they are sent.
    pub destination: Option<SocketAddr>,
    /// The source that was learned.
    pub source: Option<SocketAddr>,
    /// Whether the source is settled.
    pub is_settled: bool,
    /// The number of the nominated pair (ICE).
    pub pair: Option<u16>,
}

impl Live {
    /// Makes a live area for so many flows, in the place of one that is there.
    ///
    /// # Errors
    /// The system's: no memory for all of it.
    pub fn create(path: &Path, slots: usize) -> Result<Self, LiveError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600);
        let file = options.open(path)?;
        let slots = slots.min(limits::FLOWS);
        let bytes = bytes_of(slots);
        sys::reserve(&file, bytes)?;
        let map = Map::new(&file, bytes, Access::Write)?;
        map.fault_in();
        map.store(header::SLOTS, slots as u64, Ordering::Relaxed);
        map.store(header::LAYOUT, header::LAYOUT_VALUE, Ordering::Release);
        Ok(Self::of(map, slots))
    }

    /// Opens the live area of an earlier process, or of one that still runs; in that case nothing
    /// is written before [`Live::take`] succeeds.
    ///
    /// # Errors
    /// The system's, and another layout.
    pub fn open(path: &Path) -> Result<Self, LiveError> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::map(&file, Access::Write)
    }

    /// Opens it for looking only.
    ///
    /// # Errors
    /// The system's, and another layout.
    pub fn view(path: &Path) -> Result<Self, LiveError> {
        let file = OpenOptions::new().read(true).open(path)?;
        Self::map(&file, Access::Read)
    }

    fn map(file: &std::fs::File, access: Access) -> Result<Self, LiveError> {
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let layout = |found| LiveError::Layout {
            found,
            expected: header::LAYOUT_VALUE,
        };
        if len < HEADER_WORDS * 8 || len > bytes_of(limits::FLOWS) {
            return Err(layout(0));
        }
        let map = Map::new(file, len & !7, access)?;
        let found = map.load(header::LAYOUT, Ordering::Acquire);
        let slots = usize::try_from(map.load(header::SLOTS, Ordering::Relaxed));
        let slots = slots.unwrap_or(usize::MAX);
        if found != header::LAYOUT_VALUE || slots > limits::FLOWS || bytes_of(slots) > len {
            return Err(layout(found));
        }
        Ok(Self::of(map, slots))
    }

    fn of(map: Map, slots: usize) -> Self {
        let claimed = (0..slots.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self {
            map,
            slots,
            claimed,
        }
    }

    /// Flows that there is room for.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Whose slot it is; `None` for a free one.
    #[must_use]
    pub fn identity(&self, slot: usize) -> Option<Identity> {
        match self.load(slot, at::CALL, Ordering::Acquire) {
            0 => None,
            call => Some(Identity {
                call,
                generation: self.word(slot, at::GENERATION),
                local: SocketAddr::new(
                    address(self.word(slot, at::LOCAL), self.word(slot, at::LOCAL + 1)),
                    low16(self.word(slot, at::LOCAL + 2)),
                ),
            }),
        }
    }

    /// What is counted.
    #[must_use]
    pub fn counts(&self, slot: usize) -> Counts {
        Counts {
            packets: self.word(slot, at::PACKETS),
            bytes: self.word(slot, at::BYTES),
            errors: self.word(slot, at::ERRORS),
            last_ns: self.word(slot, at::LAST_NS),
        }
    }

    /// What is known of its SSRCs.
    pub fn sources(&self, slot: usize) -> impl Iterator<Item = Source> {
        (0..limits::SOURCES).filter_map(move |number| {
            let first = at::SOURCES + number * at::SOURCE_WORDS;
            let name = self.load(slot, first, Ordering::Acquire);
            let rtcp = self.word(slot, first + 3);
            let last = self.word(slot, first + 4);
            (name & USED != 0).then(|| Source {
                ssrc: low32(name),
                index_in: self.word(slot, first + 1),
                index_out: self.word(slot, first + 2),
                rtcp_in: low32(rtcp >> 32),
                rtcp_out: low32(rtcp),
                sequence: low16(last >> 32),
                timestamp: low32(last),
            })
        })
    }

    /// Where packets go and come from. `None` if its writer changes it so quickly that no look
    /// falls between two changes.
    #[must_use]
    pub fn ways(&self, slot: usize) -> Option<Ways> {
        (0..64).find_map(|_| {
            let turn = self.load(slot, at::TURN, Ordering::Acquire);
            let ways = self.copy(slot, turn);
            // The copy is written again two turns later at the earliest.
            fence(Ordering::Acquire);
            (self.word(slot, at::TURN) == turn).then_some(ways)
        })
    }

    /// Becomes the writer of a slot. `None` if it has one, or there is no such slot.
    #[must_use]
    pub fn claim(self: &Arc<Self>, slot: usize) -> Option<SlotWriter> {
        let bit = 1 << (slot % 64);
        let claimed = self.claimed.get(slot / 64).filter(|_| slot < self.slots)?;
        let is_free = claimed.fetch_or(bit, Ordering::AcqRel) & bit == 0;
        is_free.then(|| SlotWriter {
            live: self.clone(),
            slot,
        })
    }

    fn copy(&self, slot: usize, turn: u64) -> Ways {
        let first = copy_at(turn);
        let word = |at| self.word(slot, first + at);
        let flags = word(4);
        let [.., b2, b3, b4, b5, b6, b7] = flags.to_le_bytes();
        let port = |low, high| u16::from_le_bytes([low, high]);
        let destination = SocketAddr::new(address(word(0), word(1)), low16(flags));
        let source = SocketAddr::new(address(word(2), word(3)), port(b2, b3));
        Ways {
            destination: (b4 & 1 != 0).then_some(destination),
            source: (b4 & 2 != 0).then_some(source),
            is_settled: b4 & 4 != 0,
            pair: (b5 != 0).then_some(port(b6, b7)),
        }
    }

    fn word(&self, slot: usize, word: usize) -> u64 {
        self.load(slot, word, Ordering::Relaxed)
    }

    fn load(&self, slot: usize, word: usize, order: Ordering) -> u64 {
        if slot >= self.slots {
            return 0;
        }
        self.map
            .load(HEADER_WORDS + slot * SLOT_WORDS + word, order)
    }

    fn store(&self, slot: usize, word: usize, value: u64, order: Ordering) {
        let word = HEADER_WORDS + slot * SLOT_WORDS + word;
        self.map.store(word, value, order);
    }
}

/// The one writer of a slot. Dropping it leaves what it wrote, for the next one.
#[derive(Debug)]
pub struct SlotWriter {
    live: Arc<Live>,
    slot: usize,
}

impl SlotWriter {
    /// The number of the slot.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Begins with nothing counted, before the flow is in force.
    pub fn begin(&mut self, identity: &Identity) {
        // Free until all of it is there.
        self.store(at::CALL, 0, Ordering::Release);
        for word in at::GENERATION..SLOT_WORDS {
            self.store(word, 0, Ordering::Relaxed);
        }
        let (high, low) = words(identity.local.ip());
        self.store(at::GENERATION, identity.generation, Ordering::Relaxed);
        self.store(at::LOCAL, high, Ordering::Relaxed);
        self.store(at::LOCAL + 1, low, Ordering::Relaxed);
        let port = u64::from(identity.local.port());
        self.store(at::LOCAL + 2, port, Ordering::Relaxed);
        self.store(at::CALL, identity.call, Ordering::Release);
    }

    /// Frees the slot.
    pub fn end(self) {
        self.store(at::CALL, 0, Ordering::Release);
    }

    /// Adds what arrived.
    pub fn count(&mut self, more: &Counts) {
        let words = [
            (at::PACKETS, more.packets),
            (at::BYTES, more.bytes),
            (at::ERRORS, more.errors),
        ];
        for (word, more) in words {
            if more > 0 {
                let sum = self.live.word(self.slot, word).wrapping_add(more);
                self.store(word, sum, Ordering::Relaxed);
            }
        }
        if more.last_ns > 0 {
            self.store(at::LAST_NS, more.last_ns, Ordering::Relaxed);
        }
    }

    /// Gives an SSRC one of the four places. What was known of the one before is gone: those that
    /// have no place are journaled at each wrap.
    pub fn name_source(&mut self, place: usize, ssrc: u32) {
        let Some(first) = source_at(place) else {
            return;
        };
        self.store(first, 0, Ordering::Release);
        for word in 1..at::SOURCE_WORDS {
            self.store(first + word, 0, Ordering::Relaxed);
        }
        self.store(first, USED | u64::from(ssrc), Ordering::Release);
    }

    /// The highest SRTP index that was received, after its tag was good.
    pub fn received(&mut self, place: usize, index: u64) {
        self.source_word(place, 1, index.saturating_add(1));
    }

    /// The highest SRTP index of a batch, *before* any of it is sent.
    pub fn sealing(&mut self, place: usize, index: u64) {
        self.source_word(place, 2, index.saturating_add(1));
    }

    /// The highest SRTCP indexes: what was received, and, before it is sent, what is sealed.
    pub fn rtcp(&mut self, place: usize, received: Option<u32>, sealing: Option<u32>) {
        let Some(first) = source_at(place) else {
            return;
        };
        let old = self.live.word(self.slot, first + 3);
        let after = |new: Option<u32>, old: u64| {
            new.map_or(old & 0xffff_ffff, |index| {
                u64::from(index.saturating_add(1))
            })
        };
        let word = after(received, old >> 32) << 32 | after(sealing, old);
        self.store(first + 3, word, Ordering::Relaxed);
    }

    /// Sequence number and timestamp of the last packet of a stream, before it is sent.
    pub fn last(&mut self, place: usize, sequence: u16, timestamp: u32) {
        let word = u64::from(sequence) << 32 | u64::from(timestamp);
        self.source_word(place, 4, word);
    }

    /// Where packets go and come from.
    pub fn set_ways(&mut self, ways: &Ways) {
        let turn = self.live.word(self.slot, at::TURN).wrapping_add(1);
        let first = copy_at(turn);
        let parts = |address: Option<SocketAddr>| {
            let address = address.unwrap_or_else(|| (Ipv6Addr::UNSPECIFIED, 0).into());
            (words(address.ip()), u64::from(address.port()))
        };
        let ((high, low), port) = parts(ways.destination);
        let ((from_high, from_low), from_port) = parts(ways.source);
        let flags = u64::from(ways.destination.is_some())
            | u64::from(ways.source.is_some()) << 1
            | u64::from(ways.is_settled) << 2
            | u64::from(ways.pair.is_some()) << 8
            | u64::from(ways.pair.unwrap_or(0)) << 16;
        let last = port | from_port << 16 | flags << 32;
        for (word, value) in [high, low, from_high, from_low, last]
            .into_iter()
            .enumerate()
        {
            self.store(first + word, value, Ordering::Relaxed);
        }
        self.store(at::TURN, turn, Ordering::Release);
    }

    fn source_word(&self, place: usize, word: usize, value: u64) {
        if let Some(first) = source_at(place) {
            self.store(first + word, value, Ordering::Relaxed);
        }
    }

    fn store(&self, word: usize, value: u64, order: Ordering) {
        self.live.store(self.slot, word, value, order);
    }
}

impl Drop for SlotWriter {
    fn drop(&mut self) {
        if let Some(claimed) = self.live.claimed.get(self.slot / 64) {
            claimed.fetch_and(!(1 << (self.slot % 64)), Ordering::AcqRel);
        }
    }
}

fn bytes_of(slots: usize) -> usize {
    (HEADER_WORDS + slots.saturating_mul(SLOT_WORDS)).saturating_mul(8)
}

fn source_at(place: usize) -> Option<usize> {
    (place < limits::SOURCES).then_some(at::SOURCES + place * at::SOURCE_WORDS)
}

fn copy_at(turn: u64) -> usize {
    let copy = usize::from(turn & 1 == 1);
    at::COPIES + copy * at::COPY_WORDS
}

/// An address in two words; IPv4 as a mapped one (RFC 4291 §2.5.5.2).
fn words(address: IpAddr) -> (u64, u64) {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    let low = bits & u128::from(u64::MAX);
    let half = |bits: u128| u64::try_from(bits).unwrap_or(0);
    (half(bits >> 64), half(low))
}

fn address(high: u64, low: u64) -> IpAddr {
    let address = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    address.to_canonical()
}

fn low16(word: u64) -> u16 {
    let [first, second, ..] = word.to_le_bytes();
    u16::from_le_bytes([first, second])
}

fn low32(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
