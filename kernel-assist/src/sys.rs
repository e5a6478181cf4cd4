//! Operations without a safe wrapper: memory shared with an eBPF map, running a program by hand,
//! and cookies.
#![expect(
    unsafe_code,
    reason = "mmap(2) of a map, BPF_PROG_TEST_RUN and socket cookies have no safe wrapper"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::slice;

use crate::layout::{Port, Question};

/// The ports of a memory-mappable array of [`Port`]s.
#[derive(Debug)]
pub(crate) struct PortTable {
    start: NonNull<Port>,
    length: usize,
}

// SAFETY: the memory belongs to this value alone within the process, is never unmapped before it
// is dropped, and is only ever touched through atomics.
unsafe impl Send for PortTable {}
// SAFETY: as above.
unsafe impl Sync for PortTable {}

impl PortTable {
    /// Maps the values of a map that was made with `length` entries of the size of a [`Port`].
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn map(map: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        let bytes = length * size_of::<Port>();
        // SAFETY: a new mapping, at an address of the system's choice; the kernel refuses lengths
        // beyond the map's.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast::<Port>())
            .ok_or_else(|| io::Error::other("a map at address 0"))?;
        Ok(Self { start, length })
    }

    /// All ports.
    pub(crate) fn ports(&self) -> &[Port] {
        // SAFETY: the mapping is page-aligned, `length` ports long and lives as long as `self`.
        // Every bit pattern is a `Port`, and others (the kernel) write to its atomics only.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for PortTable {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`, with its length; no reference outlives `self`.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.length * size_of::<Port>());
        }
    }
}

/// The command of bpf(2) that runs a program once.
const BPF_PROG_TEST_RUN: libc::c_int = 10;

/// The part of `union bpf_attr` that `BPF_PROG_TEST_RUN` reads.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    answer: u32,
    input_bytes: u32,
    output_bytes: u32,
    input: u64,
    output: u64,
    repeat: u32,
    duration: u32,
    context_in_bytes: u32,
    context_out_bytes: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    padding: u32,
}

/// Runs an XDP program on questions as its packet, and gives back what it answers.
///
/// # Errors
/// The system's.
pub(crate) fn ask(program: BorrowedFd<'_>, questions: &[Question]) -> io::Result<u32> {
    let bytes = size_of_val(questions);
    let mut run = TestRun {
        program: u32::try_from(program.as_raw_fd()).unwrap_or(u32::MAX),
        input_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        input: questions.as_ptr() as u64,
        ..TestRun::default()
    };
    // SAFETY: the attributes are as long as said, and live until the call returns; the kernel
    // reads `bytes` bytes of the questions and writes into `run` alone.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_TEST_RUN,
            ptr::from_mut(&mut run),
            size_of::<TestRun>(),
        )
    };
    match result {
        0 => Ok(run.answer),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The number by which eBPF programs know a socket (SO_COOKIE, socket(7)).
///
/// # Errors
/// The system's: before Linux 4.12.
pub(crate) fn socket_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    u64_option(socket, libc::SO_COOKIE)
}

/// The number by which eBPF programs know the network namespace of a socket (SO_NETNS_COOKIE).
///
/// # Errors
/// The system's: before Linux 5.14.
pub(crate) fn netns_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    u64_option(socket, SO_NETNS_COOKIE)
}

fn u64_option(socket: BorrowedFd<'_>, option: libc::c_int) -> io::Result<u64> {
    let mut value = 0u64;
    let mut bytes = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(0);
    // SAFETY: the kernel writes at most `bytes` bytes into `value`, which has that many and takes
    // every bit pattern, and the length back into `bytes`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            ptr::from_mut(&mut value).cast(),
            &mut bytes,
        )
    };
    match result {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}
