//! Recording of calls to pcap files, with the SDP beside them (spec: media-behaviour §13).
//!
//! A [`Recorder`] owns one writer thread and a queue with a bound. A [`Recording`] is a cheap handle
//! of one call that may be cloned into the data plane: [`Recording::packet`] never waits, and what
//! does not fit the queue is dropped and counted. A disk that fails is reported once and counted;
//! calls do not notice. Whether a call is recorded at all, paused, or in which direction, is decided
//! by the caller.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use self::name::{DIRECTORIES, Paths};
use self::writer::{Job, Writer};

mod frame;
#[cfg(test)]
mod media_13_recording;
mod metadata;
mod name;
mod writer;

pub use metadata::{Ending, SdpEntry, SdpMode};

/// How packets stand in the files (`recording-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PcapFormat {
    /// IP packets.
    #[default]
    Raw,
    /// Ethernet frames; the hardware addresses are 0.
    Ethernet,
}

/// How to record.
#[derive(Clone, Copy, Debug)]
pub struct RecorderOptions {
    /// Form of the files.
    pub format: PcapFormat,
    /// Packets that may wait for the disk, of all calls together. About 350 bytes each.
    pub queue_packets: usize,
}

impl Default for RecorderOptions {
    /// Raw; half a second of 500 recorded calls.
    fn default() -> Self {
        Self {
            format: PcapFormat::default(),
            queue_packets: 50_000,
        }
    }
}

/// What became of the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderCounters {
    /// Packets written.
    pub written: u64,
    /// Packets dropped because too many were waiting for the disk.
    pub dropped: u64,
    /// Packets lost to a file that could not be written.
    pub lost: u64,
    /// Files that could not be made, written or renamed.
    pub errors: u64,
    /// Packets that wait for the disk now.
    pub waiting: u64,
}

/// Writes recordings.
#[derive(Debug)]
pub struct Recorder {
    dir: PathBuf,
    queue: Queue,
    next: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

/// The way to the writer.
#[derive(Clone, Debug)]
struct Queue {
    /// Without a bound of its own: what a call cannot do without is never refused, and there is
    /// little of it. Packets are held back by `shared.waiting`.
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

/// What writer and handles both see.
#[derive(Debug, Default)]
struct Shared {
    capacity: usize,
    waiting: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
    errors: AtomicU64,
}

impl Recorder {
    /// Makes the directories `pcaps`, `tmp` and `metadata` under `dir` and starts the writer.
    ///
    /// # Errors
    /// A directory cannot be made, or no thread started.
    pub fn start(dir: &Path, options: RecorderOptions) -> io::Result<Self> {
        for sub in DIRECTORIES {
            std::fs::create_dir_all(dir.join(sub))?;
        }
        let (sender, jobs) = channel();
        let shared = Arc::new(Shared {
            capacity: options.queue_packets,
            ..Shared::default()
        });
        let writer = Writer::new(options.format, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run(&jobs))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            queue: Queue {
                jobs: sender,
                shared,
            },
            next: AtomicU64::new(0),
            thread: Some(thread),
        })
    }

    /// Begins a recording. `random` tells the recordings of one call-id apart; `file` is where the
    /// packets go instead of `pcaps` (`recording-file`; an existing file is overwritten).
    pub fn open(&self, call_id: &[u8], random: u64, file: Option<&Path>) -> Recording {
        let paths = Paths::of(&self.dir, call_id, random, file);
        let handle = Handle {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            file: paths.pcap.clone(),
            queue: self.queue.clone(),
            closed: AtomicBool::new(false),
        };
        handle.send(Job::Open {
            id: handle.id,
            paths,
            overwrite: file.is_some(),
        });
        Recording(Arc::new(handle))
    }

    /// What became of the packets so far.
    pub fn counters(&self) -> RecorderCounters {
        let shared = &self.queue.shared;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let waiting = shared.waiting.load(Ordering::Relaxed);
        RecorderCounters {
            written: read(&shared.written),
            dropped: read(&shared.dropped),
            lost: read(&shared.lost),
            errors: read(&shared.errors),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }
}

impl Drop for Recorder {
    /// Waits until everything that was recorded is written. Recordings that run keep their
    /// metadata in `tmp`.
    fn drop(&mut self) {
        // The writer can only be gone already if it panicked.
        let _ = self.queue.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One call's recording. Clones are the same recording.
///
/// Dropping the last clone without [`Self::finish`] closes the files and leaves the metadata in
/// `tmp`, as a crash would.
#[derive(Clone, Debug)]
pub struct Recording(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    id: u64,
    file: PathBuf,
    queue: Queue,
    /// Finished or discarded.
    closed: AtomicBool,
}

impl Recording {
    /// Where the packets go: what the `recordings` key of a reply lists.
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// Notes an SDP body.
    pub fn sdp(&self, entry: SdpEntry) {
        self.0.send(Job::Sdp {
            id: self.0.id,
            entry,
        });
    }

    /// Records the payload of a datagram, decrypted if it was SRTP. Copies it and returns at once;
    /// dropped and counted if too many packets wait for the disk already.
    pub fn packet(
        &self,
        time: SystemTime,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) {
        if self.0.closed.load(Ordering::Relaxed) {
            return;
        }
        let shared = &self.0.queue.shared;
        if shared.waiting.fetch_add(1, Ordering::Relaxed) >= shared.capacity {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let job = Job::Packet {
            id: self.0.id,
            time,
            ends: (source, destination),
            payload: payload.into(),
        };
        if !self.0.send(job) {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends the recording and puts the metadata in its place. Later packets are ignored.
    pub fn finish(&self, ending: Ending) {
        if !self.0.closed.swap(true, Ordering::Relaxed) {
            self.0.send(Job::Finish {
                id: self.0.id,
                ending,
            });
        }
    }

    /// Ends the recording and removes its files (`discard-recording`). Later packets are ignored.
    pub fn discard(&self) {
        if !self.0.closed.swap(true, Ordering::Relaxed) {
            self.0.send(Job::Discard { id: self.0.id });
        }
    }
}

impl Handle {
    /// Whether there is a writer still.
    fn send(&self, job: Job) -> bool {
        self.queue.jobs.send(job).is_ok()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            self.send(Job::Abandon { id: self.id });
        }
    }
}
