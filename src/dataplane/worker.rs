//! A worker: it moves the packets of its calls. One thread waits for everything; where ports are
//! steered, a second one has the settled media.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mio::Waker;
use parking_lot::{Mutex, MutexGuard};

use super::backend::{Backend, MediaQueue, Ready, Wait};
use super::flows::{Flows, Queue};
use super::sys::recv::RecvBatch;
use crate::flow::stats::{FlowStats, WorkerStats};
use crate::limits::DATAGRAM_BYTES;

/// Datagrams taken at a time.
const BATCH: usize = 64;

/// How often lost packets are told.
const TICK: Duration = Duration::from_secs(1);

/// While it is busy the worker lets packets gather for this long between two turns. At 100,000
/// packets a second every packet would wake it otherwise, and a third of its time goes into waking
/// up.
const GATHER: Duration = Duration::from_micros(100);

/// Time over which the worker's load is looked at.
const LOAD_TIME: Duration = Duration::from_millis(10);

/// State shared by the threads of a worker and control: the flows, behind a lock that a thread holds
/// for a turn and never while it waits.
///
/// Control changes the flows itself instead of asking the worker. Handing a plan over and waiting
/// for it costs two thread switches per command.
#[derive(Debug)]
pub(super) struct Shared<B: Backend> {
    pub(super) flows: Mutex<Flows<B>>,
    pub(super) stop: AtomicBool,
    /// Ends the waiting of [`run`].
    pub(super) waker: Waker,
}

/// Turns until it is told to stop: wait, one clock reading, every ready port, time.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of packets, and the end of a turn"
)]
pub(super) fn run<B: Backend>(
    shared: &Shared<B>,
    stats: &WorkerStats,
    mut wait: impl Wait,
    started: Instant,
) {
    let mut ready: Vec<Ready> = Vec::new();
    let mut unfinished: Vec<Ready> = Vec::new();
    let mut batch = RecvBatch::new(BATCH, DATAGRAM_BYTES);
    let mut at_most = TICK;
    let mut now = started;
    let mut next_tick = started + TICK;
    let mut load = LoadGauge::new(started);
    introduce(stats);
    while !shared.stop.load(Relaxed) {
        if !unfinished.is_empty() {
            at_most = Duration::ZERO;
        }
        ready.append(&mut unfinished);
        if wait.wait(now, at_most, &mut ready).is_err() {
            FlowStats::add(&stats.failed_waits, 1);
            std::thread::park_timeout(Duration::from_millis(10));
        }
        FlowStats::add(&stats.wakeups, 1);
        FlowStats::add(&stats.items, ready.len() as u64);
        now = Instant::now();
        let mut flows = shared.flows.lock();
        for ready in ready.drain(..) {
            let queue = match ready {
                Ready::Port(index) => flows.serve_guarded(index, &mut batch, now),
                Ready::Queue(queue) => flows.serve_queue(queue, &mut batch, now),
            };
            if queue == Queue::MayHoldMore {
                unfinished.push(ready);
            }
        }
        flows.handle_timers(now);
        flows.take_converted(now);
        flows.flush();
        at_most = flows.timers.wait(now);
        if now >= next_tick {
            next_tick = now + TICK;
            flows.backend.count_overflowed();
        }
        // Under load the worker is back in no time: a waiting command goes first.
        MutexGuard::unlock_fair(flows);
        if load.is_high(now, Instant::now()) {
            std::thread::park_timeout(GATHER);
        }
    }
}

/// Turns of the thread that has nothing but settled media, which is nearly all there is: wait, one
/// clock reading, a batch. Whatever else there is, [`run`] does.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of packets, and the end of a turn"
)]
pub(super) fn run_media<B: Backend>(
    shared: &Shared<B>,
    stats: &WorkerStats,
    mut queue: MediaQueue,
    started: Instant,
) {
    let mut batch = RecvBatch::new(BATCH, DATAGRAM_BYTES);
    let mut load = LoadGauge::new(started);
    introduce(stats);
    while !shared.stop.load(Relaxed) {
        let received = queue.receive(&mut batch).unwrap_or_else(|_| {
            FlowStats::add(&stats.failed_waits, 1);
            std::thread::park_timeout(Duration::from_millis(10));
            0
        });
        if received == 0 {
            continue;
        }
        FlowStats::add(&stats.wakeups, 1);
        FlowStats::add(&stats.items, 1);
        let now = Instant::now();
        let mut flows = shared.flows.lock();
        flows.serve_batch(&batch, received, now);
        flows.flush();
        let is_early = flows.timers.take_early();
        MutexGuard::unlock_fair(flows);
        if is_early {
            // It waits for longer than the new timer may.
            let _ = shared.waker.wake();
        }
        if load.is_high(now, Instant::now()) {
            std::thread::park_timeout(GATHER);
        }
    }
}

/// Makes the thread known, and its timers exact.
fn introduce(stats: &WorkerStats) {
    // The system lets a thread sleep up to 50 us longer than it asked for.
    if let Err(error) = nix::sys::prctl::set_timerslack(1) {
        tracing::debug!(%error, "the worker's timers stay slack");
    }
    let thread = u64::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0);
    stats.thread_id.store(thread, Relaxed);
}

/// Which share of its time the worker is busy.
#[derive(Debug)]
struct LoadGauge {
    since: Instant,
    busy: Duration,
    is_high: bool,
}

impl LoadGauge {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            busy: Duration::ZERO,
            is_high: false,
        }
    }

    /// Counts a turn, and says whether more than half of the time before it went into turns. Once
    /// packets gather, turns take less of it.
    fn is_high(&mut self, began: Instant, ended: Instant) -> bool {
        self.busy += ended.saturating_duration_since(began);
        let time = ended.saturating_duration_since(self.since);
        if time >= LOAD_TIME {
            let least = if self.is_high { time / 4 } else { time / 2 };
            self.is_high = self.busy > least;
            self.busy = Duration::ZERO;
            self.since = ended;
        }
        self.is_high
    }
}
