//! Descriptors that a child is started with, and those that came in a message.
#![expect(
    unsafe_code,
    reason = "code between fork and exec, and numbers that become descriptors"
)]

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr;

/// What a child is started as.
pub(super) struct Start {
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    /// All of its environment but LISTEN_PID, which is only known in it.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// Its descriptors from `first` on.
    pub(super) descriptors: Vec<RawFd>,
    pub(super) first: RawFd,
}

const PID: &[u8] = b"LISTEN_PID=";

/// Starts it, in a process group of its own and without the blocked signals of its parent.
///
/// # Errors
/// The system's: no such program; a text with a zero in it.
pub(super) fn start(start: Start) -> io::Result<Child> {
    let Start {
        program,
        arguments,
        environment,
        descriptors: from,
        first,
    } = start;
    let count = RawFd::try_from(from.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let after = first + count;
    // Everything is allocated here: between fork and exec nothing may be.
    let mut above: Vec<RawFd> = vec![-1; from.len()];
    let text = |text: OsString| CString::new(text.into_vec());
    let mut all = vec![text(program.clone())?];
    for argument in arguments {
        all.push(text(argument)?);
    }
    let mut variables = Vec::new();
    for (mut name, value) in environment {
        name.push("=");
        name.push(value);
        variables.push(text(name)?);
    }
    let mut pid_variable = [0u8; PID.len() + DIGITS];
    let act = move || {
        let mut argv: [*const libc::c_char; ARGUMENTS] = [ptr::null(); ARGUMENTS];
        let mut envp: [*const libc::c_char; VARIABLES] = [ptr::null(); VARIABLES];
        if all.len() >= argv.len() || variables.len() + 1 >= envp.len() {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        // SAFETY: these calls are async-signal-safe (signal-safety(7)), and act on numbers of
        // this child alone. First all go above the places, so that none is overwritten unread.
        unsafe {
            for (above, from) in above.iter_mut().zip(&from) {
                *above = libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, after);
                if *above < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            for (at, above) in above.iter().enumerate() {
                let place = first + RawFd::try_from(at).unwrap_or(0);
                // The copy is not closed on exec.
                if libc::dup2(*above, place) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
        }
        // SAFETY: as above.
        let own = unsafe { libc::getpid() };
        let mut digits = [0; DIGITS];
        let digits = written(own, &mut digits);
        for (to, byte) in pid_variable.iter_mut().zip(PID.iter().chain(digits)) {
            *to = *byte;
        }
        for (to, argument) in argv.iter_mut().zip(&all) {
            *to = argument.as_ptr();
        }
        let named = [pid_variable.as_ptr().cast()].into_iter();
        let named = named.chain(variables.iter().map(|variable| variable.as_ptr()));
        for (to, variable) in envp.iter_mut().zip(named) {
            *to = variable;
        }
        // SAFETY: both lists end with a null, since there is room for more than they have, and
        // hold texts that end with a zero and outlive the call. It comes back only if it fails.
        unsafe { libc::execvpe(argv[0], argv.as_ptr(), envp.as_ptr()) };
        Err(io::Error::last_os_error())
    };
    let mut command = Command::new(program);
    command.process_group(0);
    // SAFETY: `act` allocates nothing and takes no lock that another thread could hold.
    unsafe { command.pre_exec(act) };
    command.spawn()
}

/// Bytes of the number of a process, and a zero.
const DIGITS: usize = 12;
/// Arguments that a child may have: those of a command line that somebody types.
const ARGUMENTS: usize = 512;
/// Variables of its environment.
const VARIABLES: usize = 4096;

/// A number as a text with a zero at its end, without allocating.
fn written(number: libc::pid_t, digits: &mut [u8; DIGITS]) -> &[u8] {
    let mut left = number.unsigned_abs();
    let mut start = digits.len() - 1;
    for (at, digit) in digits.iter_mut().enumerate().rev().skip(1) {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        start = at;
        if left == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// Descriptors that a message brought.
pub(super) fn own(raw: Vec<RawFd>) -> impl Iterator<Item = OwnedFd> {
    raw.into_iter().map(|raw| {
        // SAFETY: the kernel has just put them into this process' table, for this message.
        unsafe { OwnedFd::from_raw_fd(raw) }
    })
}
