//! Shares the requests of a listener among its threads, and keeps one of them for `ping`.
//!
//! A proxy that gets no reply to a ping moves all its calls away, so pings must not stand behind
//! requests that wait for a call's lock. All threads but one execute, each what it takes from the
//! socket itself. The last one, the guard, sleeps while one of them is free. When all are busy it
//! looks at the socket every half millisecond: it answers pings and puts everything else into a bounded
//! queue. A guard that waited on the socket would be woken for every request under load, which
//! costs as much as executing it.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::STOP_CHECK;
use crate::limits::QUEUED_REQUESTS;

/// Requests after which an executing thread makes way for others: a thread that ran through its
/// slice of some milliseconds would keep short requests waiting for as long.
const TURN: usize = 16;

/// How often the guard looks while all other threads are busy.
const LOOK: Duration = Duration::from_micros(500);

/// Looks without need after which the guard goes back to sleep.
const PATIENCE: usize = 40;

/// Shared by the threads of one listener. `J` is a request to execute later.
#[derive(Debug)]
pub(super) struct Lanes<J> {
    /// Threads executing something else than a ping.
    busy: AtomicUsize,
    /// Threads that execute.
    limit: usize,
    /// Requests so far.
    executed: AtomicUsize,
    queue: Mutex<VecDeque<J>>,
    /// The guard is looking.
    is_roused: AtomicBool,
    sleep: Mutex<()>,
    rouse: Condvar,
}

impl<J> Lanes<J> {
    /// For so many executing threads.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            busy: AtomicUsize::new(0),
            limit,
            executed: AtomicUsize::new(0),
            queue: Mutex::default(),
            is_roused: AtomicBool::new(false),
            sleep: Mutex::default(),
            rouse: Condvar::new(),
        }
    }

    /// Executes something on an executing thread.
    pub(super) fn work(&self, execute: impl FnOnce()) {
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        if busy >= self.limit {
            self.wake_guard();
        }
        execute();
        self.busy.fetch_sub(1, Ordering::SeqCst);
        let executed = self.executed.fetch_add(1, Ordering::Relaxed);
        if executed.is_multiple_of(TURN) && busy > 1 {
            std::thread::yield_now();
        }
    }

    /// Something that was put off.
    pub(super) fn pop(&self) -> Option<J> {
        lock(&self.queue).pop_front()
    }

    /// Puts something off; `false` if too much is put off already: it is dropped, and its sender
    /// will send it again.
    pub(super) fn put_off(&self, job: J) -> bool {
        let mut queue = lock(&self.queue);
        let has_room = queue.len() < QUEUED_REQUESTS;
        if has_room {
            queue.push_back(job);
        }
        has_room
    }

    /// One turn of the guard: sleeps until all other threads are busy, and calls `look` as long as
    /// they are. What is left in the queue when they are not is executed by `execute`.
    pub(super) fn guard(&self, mut look: impl FnMut(), mut execute: impl FnMut(J)) {
        if !self.is_roused.load(Ordering::SeqCst) {
            let sleep = lock(&self.sleep);
            // Woken for nothing or too late, it looks once more than needed.
            drop(self.rouse.wait_timeout(sleep, STOP_CHECK));
        }
        let mut idle = 0;
        while idle < PATIENCE {
            if self.busy.load(Ordering::SeqCst) >= self.limit {
                idle = 0;
                look();
            } else {
                idle += 1;
                // They may all be waiting on the socket by now, where nothing tells them of it.
                while let Some(job) = self.pop() {
                    execute(job);
                }
                if !self.is_roused.load(Ordering::SeqCst) {
                    return;
                }
            }
            std::thread::park_timeout(LOOK);
        }
        self.is_roused.store(false, Ordering::SeqCst);
    }

    fn wake_guard(&self) {
        if !self.is_roused.swap(true, Ordering::SeqCst) {
            drop(lock(&self.sleep));
            self.rouse.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a message is most likely a ping. Being wrong costs only its priority.
pub(super) fn looks_like_ping(message: &[u8]) -> bool {
    // Real ones have some 60 bytes; longer messages are not worth the search.
    message.len() <= 256
        && (contains(message, b"7:command4:ping") || contains(message, b"\"ping\""))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_looks_while_all_are_busy_and_executes_what_is_left() {
        let lanes = Lanes::new(1);
        let mut looks = 0;
        lanes.busy.store(1, Ordering::SeqCst);
        lanes.wake_guard();
        let mut executed = Vec::new();
        lanes.guard(
            || {
                looks += 1;
                assert!(lanes.put_off(looks));
                if looks == 3 {
                    lanes.busy.store(0, Ordering::SeqCst);
                }
            },
            |job| executed.push(job),
        );
        assert_eq!((looks, executed.as_slice()), (3, [1, 2, 3].as_slice()));
        assert!(!lanes.is_roused.load(Ordering::SeqCst));
    }

    #[test]
    fn the_queue_is_bounded() {
        let lanes = Lanes::new(1);
        let queued = (0..QUEUED_REQUESTS + 5)
            .filter(|_| lanes.put_off(()))
            .count();
        assert_eq!(queued, QUEUED_REQUESTS);
    }

    #[test]
    fn pings_are_recognised() {
        assert!(looks_like_ping(b"1_2 d7:command4:pinge"));
        assert!(looks_like_ping(b"c {\"command\": \"ping\"}"));
        assert!(!looks_like_ping(b"1_2 d7:command5:offere"));
    }
}
