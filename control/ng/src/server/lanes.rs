//! Keeps one thread of a listener free for `ping`.
//!
//! A proxy that gets no reply to a ping moves all its calls away, so pings must not stand behind
//! requests that wait for a call's lock. All threads but one execute; the last one only receives:
//! it answers pings and puts everything else into a bounded queue.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::limits::QUEUED_REQUESTS;

/// Shared by the threads of one listener. `J` is a request to execute later.
#[derive(Debug)]
pub(super) struct Lanes<J> {
    /// Threads executing something else than a ping.
    busy: AtomicUsize,
    limit: usize,
    queue: Mutex<VecDeque<J>>,
}

impl<J> Lanes<J> {
    /// For so many threads; at least one of them executes.
    pub(super) fn new(threads: usize) -> Self {
        let limit = threads.saturating_sub(1).max(1);
        Self {
            busy: AtomicUsize::new(0),
            limit,
            queue: Mutex::default(),
        }
    }

    /// Executes `job` here if that leaves a thread free, or else queues it. `false` if the queue
    /// is full: the job is dropped, and its sender will send it again.
    pub(super) fn run(&self, job: impl FnOnce() -> J, execute: impl Fn(J)) -> bool {
        if self.enter() {
            execute(job());
            self.leave();
        } else {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.len() >= QUEUED_REQUESTS {
                return false;
            }
            queue.push_back(job());
        }
        // Whoever leaves looks here afterwards, and whoever queues looks here afterwards too: of
        // two threads doing both at once, at least one sees the job.
        while !self.is_empty() && self.enter() {
            if let Some(job) = self.pop() {
                execute(job);
            }
            self.leave();
        }
        true
    }

    fn enter(&self) -> bool {
        let one_more = |busy| (busy < self.limit).then_some(busy + 1);
        self.busy
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .is_ok()
    }

    fn leave(&self) {
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }

    fn is_empty(&self) -> bool {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    fn pop(&self) -> Option<J> {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
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
    fn the_last_thread_queues_and_the_first_to_leave_executes() {
        let lanes = Lanes::new(2);
        let done = Mutex::new(Vec::new());
        lanes.run(
            || 1,
            |job| {
                // While the only executing thread is here, the receiving one queues.
                if job == 1 {
                    assert!(lanes.run(|| 2, |_| panic!("no thread is left for it")));
                }
                done.lock().unwrap().push(job);
            },
        );
        assert_eq!(*done.lock().unwrap(), [1, 2]);
        assert_eq!(lanes.busy.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn the_queue_is_bounded() {
        let lanes = Lanes::new(1);
        assert!(lanes.enter());
        let queued = (0..QUEUED_REQUESTS + 5)
            .filter(|_| lanes.run(|| (), |()| ()))
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
