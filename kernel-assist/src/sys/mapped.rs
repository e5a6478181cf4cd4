//! Memory shared with an eBPF map.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::slice;

use super::bpf::{self, MapInfo, TYPE_ARRAY};
use crate::flows::layout::{Control, Crypt, Stats};
use crate::layout::Port;

/// Types that consist of atomics, and of padding that nobody reads.
///
/// # Safety
/// Every bit pattern is a value, others may write to any part of it at any time, and its size is a
/// multiple of 8: so far apart are the entries of an array.
pub(crate) unsafe trait Shared {}

// SAFETY: atomics and padding, 32 bytes.
unsafe impl Shared for Port {}
// SAFETY: atomics and padding, 320 bytes.
unsafe impl Shared for Stats {}
// SAFETY: as above.
unsafe impl Shared for Control {}
// SAFETY: as above, 576 bytes.
unsafe impl Shared for Crypt {}

/// The entries of an array map that was made with `BPF_F_MMAPABLE`.
#[derive(Debug)]
pub(crate) struct Mapped<T> {
    start: NonNull<T>,
    length: usize,
}

// SAFETY: the memory belongs to this value alone within the process, is never unmapped before it
// is dropped, and is only ever touched through atomics.
unsafe impl<T: Shared> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Shared> Sync for Mapped<T> {}

impl<T: Shared> Mapped<T> {
    /// Maps all entries.
    ///
    /// # Errors
    /// The system's; the map is no array of entries of this size.
    pub(crate) fn new(map: BorrowedFd<'_>) -> io::Result<Self> {
        let found: MapInfo = bpf::info(map)?;
        if found.kind != TYPE_ARRAY || usize::try_from(found.value_bytes) != Ok(size_of::<T>()) {
            return Err(io::Error::other(format!(
                "a map of type {} with values of {} bytes",
                found.kind, found.value_bytes
            )));
        }
        let length = usize::try_from(found.entries).map_err(io::Error::other)?;
        // SAFETY: a new mapping, at an address of the system's choice; the kernel refuses lengths
        // beyond the map's, and maps that were not made for it.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length * size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast::<T>());
        let start = start.ok_or_else(|| io::Error::other("a map at address 0"))?;
        Ok(Self { start, length })
    }

    /// All entries.
    pub(crate) fn entries(&self) -> &[T] {
        // SAFETY: the mapping is page-aligned, `length` entries long and lives as long as `self`.
        // Every bit pattern is a `T`, and others (the kernel) write to its atomics only.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, with its length; no reference outlives `self`.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.length * size_of::<T>());
        }
    }
}
