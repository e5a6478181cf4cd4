//! One segment: a mapped file, and what is known of its present life.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits;
use crate::record::{HEADER_BYTES, Header, RawHeader};
use crate::sys::{self, Access, Map};

/// Stands for a segment that has no life now, and for an end that is not known yet.
pub(super) const NONE: u64 = u64::MAX;

const WORDS_A_UNIT: u64 = (limits::UNIT_BYTES / 8) as u64;

/// A place in the journal's table of segments.
#[derive(Debug)]
pub(super) struct Slot {
    file: OnceLock<(File, Map)>,
    /// The number of its first record.
    pub(super) base: AtomicU64,
    pub(super) nonce: AtomicU64,
    /// The place behind its last record, once one did not fit.
    pub(super) end: AtomicU64,
    /// Places of records that are written completely.
    pub(super) committed: AtomicU64,
    /// Places of records that count.
    pub(super) live: AtomicU64,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            file: OnceLock::new(),
            base: AtomicU64::new(NONE),
            nonce: AtomicU64::new(0),
            end: AtomicU64::new(NONE),
            committed: AtomicU64::new(0),
            live: AtomicU64::new(0),
        }
    }

    pub(super) fn is_mapped(&self) -> bool {
        self.file.get().is_some()
    }

    /// Makes the file, with memory for all of it.
    pub(super) fn create(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600);
        let file = options.open(path)?;
        sys::reserve(&file, limits::SEGMENT_BYTES).inspect_err(|_| _ = fs::remove_file(path))?;
        self.map(file)
    }

    /// Takes over the file of an earlier process. What is shorter than a segment is made longer,
    /// so that it can be used again.
    pub(super) fn adopt(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        sys::reserve(&file, limits::SEGMENT_BYTES)?;
        self.map(file)
    }

    fn map(&self, file: File) -> io::Result<()> {
        let map = Map::new(&file, limits::SEGMENT_BYTES, Access::Write)?;
        // Set once, by who holds the lock of the room.
        let _ = self.file.set((file, map));
        Ok(())
    }

    /// Gives its memory back until it is needed again.
    pub(super) fn release(&self) {
        if let Some((file, _)) = self.file.get() {
            // A file system that cannot keeps it: that costs memory, not a call.
            let _ = sys::release(file, limits::SEGMENT_BYTES);
        }
    }

    /// Has its memory there before the first record comes.
    pub(super) fn fault_in(&self) -> io::Result<()> {
        if let Some((file, map)) = self.file.get() {
            sys::reserve(file, limits::SEGMENT_BYTES)?;
            map.fault_in();
        }
        Ok(())
    }

    /// Writes a record at a place of this life that is reserved for it: the nonce comes last.
    pub(super) fn write(&self, offset: u64, header: &Header, body: &[u8]) {
        let Some((_, map)) = self.file.get() else {
            return;
        };
        let word = word_of(offset);
        map.copy_in(word + HEADER_BYTES / 8, body);
        for (at, value) in header.words(body).into_iter().enumerate() {
            map.store(word + 1 + at, value, Ordering::Relaxed);
        }
        map.store(word, self.nonce.load(Ordering::Relaxed), Ordering::Release);
    }

    /// Reads the record at a place. `None`: there is none (yet). The body goes into `body`.
    pub(super) fn read(&self, offset: u64, body: &mut Vec<u8>) -> Option<Result<Header, Damaged>> {
        let (_, map) = self.file.get()?;
        let word = word_of(offset);
        let nonce = map.load(word, Ordering::Acquire);
        if nonce == 0 || nonce != self.nonce.load(Ordering::Acquire) {
            return None;
        }
        let words = [1, 2, 3, 4].map(|at| map.load(word + at, Ordering::Relaxed));
        let raw = RawHeader::from_words(nonce, words);
        body.clear();
        let Some(len) = raw.len() else {
            return Some(Err(Damaged));
        };
        map.copy_out(word + HEADER_BYTES / 8, len, body);
        let header = raw.check(body);
        let base = self.base.load(Ordering::Acquire);
        let header = header.filter(|header| header.number == base.wrapping_add(offset));
        Some(header.ok_or(Damaged))
    }

    /// Whether all that was reserved is written, and nothing more will be.
    pub(super) fn is_complete(&self) -> bool {
        let end = self.end.load(Ordering::Acquire);
        end != NONE && self.committed.load(Ordering::Acquire) >= end
    }
}

/// A committed record whose sum or number is wrong.
#[derive(Debug)]
pub(super) struct Damaged;

fn word_of(offset: u64) -> usize {
    usize::try_from(offset * WORDS_A_UNIT).unwrap_or(usize::MAX / 2)
}

/// The name of a segment that has no life now.
pub(super) fn spare_path(dir: &Path, slot: usize) -> PathBuf {
    dir.join(format!("{slot}.spare"))
}
