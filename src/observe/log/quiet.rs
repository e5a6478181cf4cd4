//! Work whose lines are left out of the log.

use std::cell::Cell;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does something on this thread. If `is_quiet`, only errors of it are logged.
pub fn quietly<T>(is_quiet: bool, work: impl FnOnce() -> T) -> T {
    let before = QUIET.get();
    QUIET.set(before || is_quiet);
    let _restored = Restored(before);
    work()
}

/// Whether lines of this thread are left out just now.
pub fn is_quiet() -> bool {
    QUIET.get()
}

/// Restores what was, also after a panic.
struct Restored(bool);

impl Drop for Restored {
    fn drop(&mut self) {
        QUIET.set(self.0);
    }
}
