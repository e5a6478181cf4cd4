//! Descriptors that a process was started with (sd_listen_fds(3)).
#![expect(
    unsafe_code,
    reason = "a number becomes a descriptor that somebody owns"
)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::Held;
use crate::limits;

/// The first of them.
pub(super) const FIRST: RawFd = 3;

/// Takes what the holder has passed, once in the life of a process: LISTEN_PID, LISTEN_FDS and
/// LISTEN_FDNAMES as `variable` has them. What is meant for another process is left alone. The
/// children of this process do not inherit them.
///
/// # Errors
/// More than may be held, or a descriptor that is not open.
pub fn passed<'a>(own_pid: u32, variable: impl Fn(&str) -> Option<&'a OsStr>) -> io::Result<Held> {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    let number = |name| variable(name)?.to_str()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(own_pid) {
        return Ok(Held::new());
    }
    let count = number("LISTEN_FDS").unwrap_or(0);
    let count = RawFd::try_from(count).unwrap_or(RawFd::MAX);
    if usize::try_from(count).unwrap_or(usize::MAX) > limits::DESCRIPTORS {
        let text = format!(
            "{count} descriptors, at most {} are taken",
            limits::DESCRIPTORS
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    if IS_TAKEN.swap(true, Ordering::AcqRel) {
        return Ok(Held::new());
    }
    let names = variable("LISTEN_FDNAMES")
        .and_then(OsStr::to_str)
        .unwrap_or("");
    let mut names = names.split(':');
    let mut held = Held::new();
    for raw in FIRST..FIRST + count {
        let name = names
            .next()
            .filter(|name| !name.is_empty())
            .unwrap_or("unknown");
        // SAFETY: who started this process says that these numbers are open and meant for it, and
        // nobody else in it has taken them: it happens once. `fcntl` fails if one is not open.
        let descriptor = unsafe {
            let borrowed = std::os::fd::BorrowedFd::borrow_raw(raw);
            fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            OwnedFd::from_raw_fd(raw)
        };
        held.entry(name.to_owned()).or_default().push(descriptor);
    }
    Ok(held)
}
