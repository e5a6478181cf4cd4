//! The thread of one log.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::clock::Wall;
use super::file::{LogFile, Rotation};
use super::spool::{Append, Spool};
use super::syslog::{Facility, Syslog};
use crate::limits;

/// Takes lines from any thread without waiting. Dropping it writes what is queued and ends the
/// thread.
#[derive(Debug)]
pub(crate) struct Writer {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
    health: Arc<Health>,
}

/// How a file is doing.
#[derive(Debug, Default)]
struct Health {
    waiting: AtomicU64,
    lost: AtomicU64,
}

enum Order {
    Lines(Vec<u8>, Wall),
    Reopen,
    /// Answered once everything before is written, or waits for the disk.
    Flush(SyncSender<()>),
}

impl Writer {
    /// Opens the file at once, so that a wrong path is an error at the start.
    pub(crate) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        Self::start(LogFile::open(path, rotation)?)
    }

    /// The system's log, at `/dev/log` or elsewhere.
    pub(crate) fn syslog(path: &Path, facility: Facility) -> io::Result<Self> {
        Self::start(Syslog::open(path, facility)?)
    }

    fn start(place: impl Append + Send + 'static) -> io::Result<Self> {
        let (orders, queue) = sync_channel(limits::QUEUED_LINES);
        let health = Arc::new(Health::default());
        let seen = health.clone();
        let spool = Spool::new(place, limits::SPOOL_BYTES);
        let thread = thread::Builder::new()
            .name("edge-log".to_owned())
            .spawn(move || write(&queue, spool, &seen))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
            health,
        })
    }

    /// Hands one or more whole lines over. Lost, and counted, if too many wait already.
    pub(crate) fn write(&self, lines: impl Into<Vec<u8>>, at: Wall) {
        let order = Order::Lines(lines.into(), at);
        let sent = self.orders.as_ref().map(|orders| orders.try_send(order));
        if !matches!(sent, Some(Ok(()))) {
            self.health.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, after something else moved it away (SIGHUP).
    pub(crate) fn reopen(&self) {
        // A full queue reopens with the next signal; lines are not lost meanwhile.
        let _ = self
            .orders
            .as_ref()
            .map(|orders| orders.try_send(Order::Reopen));
    }

    /// Waits until everything handed over is written, or waits for the disk; at most `longest`.
    pub(crate) fn flush(&self, longest: Duration) {
        let (done, wait) = sync_channel(1);
        let sent = self.orders.as_ref().map(|o| o.send(Order::Flush(done)));
        if matches!(sent, Some(Ok(()))) {
            let _ = wait.recv_timeout(longest);
        }
    }

    /// Lines that wait for the disk. More than none: not ready (spec §18).
    pub(crate) fn waiting(&self) -> u64 {
        self.health.waiting.load(Ordering::Relaxed)
    }

    /// Lines that were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.health.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends when nobody can send.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It did not panic: it has nothing to panic on.
            let _ = thread.join();
        }
    }
}

fn write(queue: &Receiver<Order>, mut spool: Spool<impl Append>, health: &Health) {
    let mut lost = 0;
    loop {
        match queue.recv_timeout(RETRY) {
            Ok(Order::Lines(lines, at)) => {
                for line in lines.split_inclusive(|b| *b == b'\n') {
                    spool.append(line.to_vec(), at);
                }
            }
            Ok(Order::Reopen) => {
                if let Err(error) = spool.reopen() {
                    tracing::error!(%error, "a log file cannot be opened again; the old one is written on");
                }
            }
            Ok(Order::Flush(done)) => {
                spool.retry();
                // Whoever asked may have gone.
                let _ = done.try_send(());
            }
            Err(RecvTimeoutError::Timeout) => spool.retry(),
            Err(RecvTimeoutError::Disconnected) => {
                spool.retry();
                return;
            }
        }
        health
            .waiting
            .store(spool.waiting() as u64, Ordering::Relaxed);
        health
            .lost
            .fetch_add(spool.lost() - lost, Ordering::Relaxed);
        lost = spool.lost();
    }
}

/// How often a full disk is tried again while nothing is written.
const RETRY: Duration = Duration::from_secs(1);
