//! One thread that moves the packets of its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::backend::{Backend, Ready, Wait};
use super::flows::{BOUND_SILENCE, DATAGRAM_BYTES, Flows, Queue};
use super::sys::recv::RecvBatch;
use crate::flow::stats::{FlowStats, WorkerStats};

/// Datagrams taken at a time.
const BATCH: usize = 64;

/// How often time acts on the latches.
const TICK: Duration = Duration::from_secs(1);

/// Under load the worker lets packets gather for this long between two turns. At 100,000 packets a
/// second every packet would wake it otherwise, and a third of its time goes into waking up.
const GATHER: Duration = Duration::from_micros(100);

/// Packets per millisecond from which on gathering pays: below, a turn would find one or two.
const GATHER_RATE: u64 = 16;

/// What a worker and the control threads share: the flows, behind a lock that the worker holds
/// for a turn and never while it waits.
///
/// Control changes the flows itself instead of asking the worker to: handing a plan over and
/// waiting for its execution costs two switches of threads per command.
#[derive(Debug)]
pub(super) struct Shared<B> {
    pub(super) flows: Mutex<Flows<B>>,
    pub(super) stop: AtomicBool,
    pub(super) stats: Arc<WorkerStats>,
}

/// Turns until it is told to stop: wait, one clock reading, every ready port, time.
#[expect(clippy::disallowed_methods, reason = "the one clock reading of a turn")]
pub(super) fn run<B: Backend>(shared: &Shared<B>, mut wait: impl Wait, started: Instant) {
    let mut ready: Vec<Ready> = Vec::new();
    let mut unfinished: Vec<Ready> = Vec::new();
    let mut batch = RecvBatch::new(BATCH, DATAGRAM_BYTES);
    let mut at_most = TICK;
    let mut next_tick = started + TICK;
    let mut load = LoadGauge::default();
    let mut lost = 0;
    let thread = u64::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0);
    shared.stats.thread_id.store(thread, Relaxed);
    while !shared.stop.load(Relaxed) {
        if !unfinished.is_empty() {
            at_most = Duration::ZERO;
        }
        ready.append(&mut unfinished);
        if let Err(error) = wait.wait(at_most, &mut ready) {
            tracing::error!(%error, "cannot wait for packets");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        FlowStats::add(&shared.stats.wakeups, 1);
        FlowStats::add(&shared.stats.items, ready.len() as u64);
        let now = Instant::now();
        let mut flows = shared.flows.lock();
        let before = flows.received;
        for ready in ready.drain(..) {
            let queue = match ready {
                Ready::Port(index) => flows.serve_guarded(index, &mut batch, now),
                Ready::Queue(queue) => flows.serve_queue(queue, &mut batch, now),
            };
            if queue == Queue::MayHoldMore {
                unfinished.push(ready);
            }
        }
        flows.release_silent(now);
        if now >= next_tick {
            next_tick = now + TICK;
            flows.handle_timeout(now);
            tell_lost(&shared.stats, &mut lost);
        }
        at_most = match flows.bound {
            0 => next_tick.saturating_duration_since(now),
            _ => BOUND_SILENCE,
        };
        if let Some(due) = flows.play(now) {
            at_most = at_most.min(due.saturating_duration_since(now));
        }
        flows.flush();
        let received = flows.received - before;
        // Under load the worker is back in no time: a waiting command goes first.
        MutexGuard::unlock_fair(flows);
        if load.is_high(received, now, started) {
            std::thread::park_timeout(GATHER);
        }
    }
}

/// Says, at most once a tick, that queues of the worker had no room; `before`: as last said.
fn tell_lost(stats: &WorkerStats, before: &mut u64) {
    let lost = stats.overflowed.load(Relaxed);
    if lost != *before {
        let packets = lost - *before;
        tracing::warn!(
            packets,
            "packets lost: the worker cannot keep up with its queue"
        );
        *before = lost;
    }
}

/// How many packets come in, per millisecond.
#[derive(Debug, Default)]
struct LoadGauge {
    millisecond: u128,
    packets: u64,
    is_high: bool,
}

impl LoadGauge {
    /// Counts the packets of a turn, and says whether the last full millisecond had many.
    fn is_high(&mut self, packets: u64, now: Instant, started: Instant) -> bool {
        let millisecond = now.saturating_duration_since(started).as_millis();
        if millisecond != self.millisecond {
            let passed = u64::try_from(millisecond - self.millisecond).unwrap_or(u64::MAX);
            self.is_high = self.packets / passed.max(1) >= GATHER_RATE;
            self.millisecond = millisecond;
            self.packets = 0;
        }
        self.packets += packets;
        self.is_high
    }
}
