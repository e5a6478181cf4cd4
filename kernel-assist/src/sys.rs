//! Operations without a safe wrapper: memory shared with an eBPF map, running a program by hand,
//! links, and what sockets and interfaces are.
#![expect(
    unsafe_code,
    reason = "mmap(2) of a map, bpf(2), socket cookies and interfaces have no safe wrapper"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{ptr, slice};

use crate::layout::Question;

pub(crate) mod bpf;
pub(crate) mod interface;
mod mapped;

pub(crate) use mapped::{Mapped, Shared};

/// Runs an XDP program on questions as its packet, and gives back what it answers.
///
/// # Errors
/// The system's.
pub(crate) fn ask(program: BorrowedFd<'_>, questions: &[Question]) -> io::Result<u32> {
    let bytes = size_of_val(questions);
    // SAFETY: as many bytes as the questions have, of integers without padding between them.
    let input = unsafe { slice::from_raw_parts(questions.as_ptr().cast::<u8>(), bytes) };
    bpf::run(program, input, &mut [], 1, 0).map(|ran| ran.answer)
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
