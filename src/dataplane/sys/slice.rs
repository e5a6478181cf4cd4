//! The slice of the scheduler (`sched_setattr`, sched(7)): how long a thread may keep others from
//! a core once it has it.

use std::io;

/// `struct sched_attr` of the kernel (`include/uapi/linux/sched/types.h`), version 1.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// Of normal threads: the slice in nanoseconds, since Linux 6.12; 0: the system's.
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Threads that the calling thread starts from now on get slices of this length, and so does it.
/// Threads with short slices are let onto a busy core sooner, and leave it sooner. Older systems
/// ignore it.
///
/// # Errors
/// The system refuses.
pub(crate) fn set(nanoseconds: u64) -> io::Result<()> {
    // SAFETY: takes two numbers; -1 may be a value, so that errors show in errno alone, which a
    // thread asking about itself does not get.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let attributes = SchedAttr {
        size: u32::try_from(size_of::<SchedAttr>()).unwrap_or(0),
        policy: 0,
        flags: 0,
        nice,
        priority: 0,
        runtime: nanoseconds,
        deadline: 0,
        period: 0,
        util_min: 0,
        util_max: 0,
    };
    // SAFETY: the structure is laid out as the kernel has it, says its own size, and outlives the
    // call, which only reads it.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            0,
            std::ptr::from_ref(&attributes),
            0,
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn slices_are_set_and_reset() {
        for nanoseconds in [200_000, 0] {
            super::set(nanoseconds).unwrap();
        }
    }
}
