//! The threads of heavy codecs (spec: media-services §1). A chain goes there with its packets and comes
//! back to its worker; of one chain there is one job at a time, so packets keep their order. Nobody
//! waits for a place in the queue.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::job::{Job, Outcome};
use crate::limits::{CODEC_JOBS_PER_THREAD, CODEC_THREADS};

/// A job, and whom it goes back to.
type Waiting = (Box<Job>, Arc<Returns>);

/// Jobs that wait for a thread.
#[derive(Debug)]
pub(in crate::dataplane) struct Queue {
    jobs: Mutex<VecDeque<Waiting>>,
    capacity: usize,
    arrived: Condvar,
    is_over: AtomicBool,
}

impl Queue {
    /// A queue for so many threads.
    pub(in crate::dataplane) fn new(threads: usize) -> Self {
        Self {
            jobs: Mutex::default(),
            capacity: threads * CODEC_JOBS_PER_THREAD,
            arrived: Condvar::new(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Hands a job over; it comes back at once if there is no room.
    pub(super) fn push(&self, job: Box<Job>, returns: &Arc<Returns>) -> Result<(), Box<Job>> {
        let mut jobs = self.jobs.lock();
        if jobs.len() >= self.capacity {
            return Err(job);
        }
        jobs.push_back((job, Arc::clone(returns)));
        drop(jobs);
        self.arrived.notify_one();
        Ok(())
    }

    /// Does one job that waits. Whether there was one.
    #[cfg(test)]
    pub(in crate::dataplane) fn run_one(&self) -> bool {
        let next = self.jobs.lock().pop_front();
        let is_there = next.is_some();
        next.into_iter().for_each(run);
        is_there
    }

    /// Does jobs until it is told to stop.
    fn work(&self) {
        let mut jobs = self.jobs.lock();
        // Looked at under the lock, so that nobody waits who was to be told.
        while !self.is_over.load(Ordering::Relaxed) {
            match jobs.pop_front() {
                Some(next) => MutexGuard::unlocked(&mut jobs, || run(next)),
                None => self.arrived.wait(&mut jobs),
            }
        }
    }
}

fn run((mut job, returns): Waiting) {
    // A defect in a codec must not end the thread, nor other calls.
    let done = catch_unwind(AssertUnwindSafe(|| job.run()));
    if done.is_err() {
        job.is_broken = true;
        job.out.clear();
        job.outcome = Outcome {
            errors: u32::try_from(job.inputs.len()).unwrap_or(u32::MAX),
            ..Outcome::default()
        };
        job.inputs.clear();
    }
    returns.give(job);
}

/// Jobs that are done, on their way back to one worker. There are no more than it has chains.
#[derive(Default)]
pub(in crate::dataplane) struct Returns {
    done: Mutex<VecDeque<Box<Job>>>,
    /// There are some: looked at in every turn.
    is_waiting: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Returns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Returns").finish_non_exhaustive()
    }
}

impl Returns {
    /// Says how the worker is woken up.
    pub(in crate::dataplane) fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    fn give(&self, job: Box<Job>) {
        self.done.lock().push_back(job);
        if !self.is_waiting.swap(true, Ordering::AcqRel)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Takes what is done.
    pub(in crate::dataplane) fn take(&self) -> VecDeque<Box<Job>> {
        if !self.is_waiting.load(Ordering::Relaxed) {
            return VecDeque::new();
        }
        self.is_waiting.store(false, Ordering::Release);
        std::mem::take(&mut self.done.lock())
    }
}

/// The threads.
#[derive(Debug)]
pub(in crate::dataplane) struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts so many threads; 0: one for each core.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(in crate::dataplane) fn start(threads: usize) -> io::Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = match threads {
            0 => cores(),
            threads => threads,
        };
        let count = count.min(CODEC_THREADS);
        let mut pool = Self {
            queue: Arc::new(Queue::new(count)),
            threads: Vec::new(),
        };
        for index in 0..count {
            let queue = pool.queue.clone();
            let named = std::thread::Builder::new().name(format!("codec-{index}"));
            pool.threads.push(named.spawn(move || queue.work())?);
        }
        Ok(pool)
    }

    pub(in crate::dataplane) fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.is_over.store(true, Ordering::Relaxed);
        // Whoever looked before that waits by now.
        drop(self.queue.jobs.lock());
        self.queue.arrived.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
