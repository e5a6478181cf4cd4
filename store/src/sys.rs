//! Memory that outlives the process: files mapped as words that are read and written atomically,
//! and the clocks and the boot id of the system.
//!
//! A word of a mapped file may be written by one thread or process while another one reads it, so
//! that all of them are atomics. Nothing outside of this module sees an address.
#![expect(unsafe_code, reason = "mmap(2) has no safe wrapper")]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::record::Stamp;

#[cfg(test)]
pub(crate) mod fuse;

/// What a mapping may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A file in memory, shared with whoever maps it, as 8-byte words.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<AtomicU64>,
    words: usize,
    access: Access,
}

// SAFETY: the memory stays mapped as long as the value lives, belongs to no thread, and is only
// reached as atomics.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `bytes` of a file, a multiple of 8. The file has memory for all of them
    /// (`reserve`), else an access could be answered by SIGBUS. A core dump leaves them out.
    ///
    /// # Errors
    /// The system's; `InvalidInput` if the file is shorter.
    pub(crate) fn new(file: &File, bytes: usize, access: Access) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if bytes == 0 || !bytes.is_multiple_of(8) || len < bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the file has {len} bytes, {bytes} are to be mapped"),
            ));
        }
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: a new mapping at an address that the kernel chooses; it overlaps nothing.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping of the line above, of that length. What is dumped is all it changes.
        unsafe { libc::madvise(address, bytes, libc::MADV_DONTDUMP) };
        let start = NonNull::new(address.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            start,
            words: bytes / 8,
            access,
        })
    }

    /// Has the pages in memory before somebody needs them. Without it the first writer of a page
    /// waits for a fault; so what an older kernel refuses (MADV_POPULATE_WRITE came with Linux
    /// 5.14) is no error.
    pub(crate) fn fault_in(&self) {
        let advice = match self.access {
            Access::Read => libc::MADV_POPULATE_READ,
            Access::Write => libc::MADV_POPULATE_WRITE,
        };
        // SAFETY: the mapping of `self`; the advice changes no byte of it.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.words * 8, advice) };
    }

    /// The word at a place, 0 beyond the end.
    pub(crate) fn load(&self, word: usize, order: Ordering) -> u64 {
        self.words().get(word).map_or(0, |word| word.load(order))
    }

    /// Writes a word. Nothing is written beyond the end, nor to what was mapped for reading.
    pub(crate) fn store(&self, word: usize, value: u64, order: Ordering) {
        #[cfg(test)]
        fuse::burn();
        debug_assert!(self.access == Access::Write && word < self.words);
        if self.access == Access::Write
            && let Some(word) = self.words().get(word)
        {
            word.store(value, order);
        }
    }

    /// Puts `new` in place of `old`; gives back what stood there instead.
    pub(crate) fn exchange(&self, word: usize, old: u64, new: u64) -> Result<(), u64> {
        #[cfg(test)]
        fuse::burn();
        match self.words().get(word) {
            Some(word) if self.access == Access::Write => word
                .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
                .map(drop),
            _ => Err(0),
        }
    }

    /// Copies bytes in from a word on; the last word is filled up with zeros. Nothing is written
    /// beyond the end, nor to what was mapped for reading.
    pub(crate) fn copy_in(&self, word: usize, bytes: &[u8]) {
        debug_assert!(self.access == Access::Write);
        let (whole, rest) = bytes.as_chunks::<8>();
        // One look at the bounds for all of them: this is most of what an append does.
        let words = self.words().get(word..).unwrap_or_default();
        let words = if self.access == Access::Write {
            words
        } else {
            &[]
        };
        for (word, chunk) in words.iter().zip(whole) {
            #[cfg(test)]
            fuse::burn();
            word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            let at = word + whole.len();
            self.store(at, u64::from_le_bytes(last), Ordering::Relaxed);
        }
    }

    /// Appends so many bytes from a word on to `into`; zeros beyond the end.
    pub(crate) fn copy_out(&self, word: usize, bytes: usize, into: &mut Vec<u8>) {
        let end = into.len() + bytes;
        into.reserve(bytes + 8);
        let words = self.words().get(word..).unwrap_or_default();
        for word in words.iter().take(bytes.div_ceil(8)) {
            into.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        into.resize(end, 0);
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is the mapping of `words` words, aligned to a page, that is undone when
        // `self` is dropped; every bit pattern is a word, and others change it as atomics alone.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no reference into it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.words * 8) };
    }
}

/// Gives a file that length, and memory (or blocks) for all of it, now.
///
/// # Errors
/// The system's: no space, a file system that cannot.
pub(crate) fn reserve(file: &File, bytes: usize) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    nix::fcntl::posix_fallocate(file, 0, bytes).map_err(io::Error::from)
}

/// Gives the memory of a file back, which keeps its length. What was mapped reads as zeros; it may
/// be written again after `reserve`.
///
/// # Errors
/// The system's: a file system that cannot.
pub(crate) fn release(file: &File, bytes: usize) -> io::Result<()> {
    use nix::fcntl::FallocateFlags as Flags;
    let bytes = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = Flags::FALLOC_FL_PUNCH_HOLE | Flags::FALLOC_FL_KEEP_SIZE;
    nix::fcntl::fallocate(file, flags, 0, bytes).map_err(io::Error::from)
}

/// The id of this boot of the machine (random(4)).
///
/// # Errors
/// The system's; `InvalidData` for a text that is no UUID.
pub fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    match u128::from_str_radix(&digits, 16) {
        Ok(id) if digits.len() == 32 => Ok(id.to_be_bytes()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, text)),
    }
}

/// Now, in this boot of the machine ([`boot_id`]; its first four bytes are kept). For the driver:
/// everything else has the time passed in.
#[must_use]
pub fn now(boot_id: &[u8; 16]) -> Stamp {
    let [a, b, c, d, ..] = *boot_id;
    let read = |clock| {
        let time: Duration = clock_gettime(clock).map_or(Duration::ZERO, Into::into);
        (time.as_secs(), time.subsec_nanos())
    };
    // Counts on while the machine is suspended.
    let (boot, nanos) = read(ClockId::CLOCK_BOOTTIME);
    let (wall, wall_nanos) = read(ClockId::CLOCK_REALTIME);
    Stamp {
        boot: u32::from_be_bytes([a, b, c, d]),
        boot_ns: boot.saturating_mul(1_000_000_000) + u64::from(nanos),
        wall_ms: wall * 1000 + u64::from(wall_nanos / 1_000_000),
    }
}
