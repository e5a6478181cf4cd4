//! A death between two stores: the n-th store of a thread into mapped memory, and everything after
//! it, does not happen.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What the thread unwinds with.
struct Blown;

/// Called before each store.
pub(crate) fn burn() {
    match LEFT.get() {
        None => {}
        // A guard that stored while the thread unwinds would abort it, and the test with it.
        Some(0) if std::thread::panicking() => {}
        Some(0) => resume_unwind(Box::new(Blown)),
        Some(left) => LEFT.set(Some(left - 1)),
    }
}

/// Runs until so many stores are made. `None` if the fuse blew.
pub(crate) fn with<T>(stores: u64, run: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(Some(stores));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    LEFT.set(None);
    match outcome {
        Ok(value) => Some(value),
        Err(cause) if cause.is::<Blown>() => None,
        Err(cause) => resume_unwind(cause),
    }
}
