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

use self::beneath::Root;
use self::name::{DIRECTORIES, Paths};
use self::writer::{Job, Writer, packet_weight};
use crate::limits;

mod beneath;
mod frame;
mod metadata;
mod name;
#[cfg(test)]
mod tests;
mod writer;

pub use metadata::{Ending, SdpEntry, SdpMode};

/// Form of packets in the files (`recording-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PcapFormat {
    /// IP packets.
    #[default]
    Raw,
    /// Ethernet frames; the hardware addresses are 0.
    Ethernet,
}

/// Settings of recordings.
#[derive(Clone, Copy, Debug)]
pub struct RecorderOptions {
    /// Form of the files.
    pub format: PcapFormat,
    /// Bounds.
    pub limits: RecorderLimits,
}

/// Bounds of recordings in memory and on disk.
#[derive(Clone, Copy, Debug)]
pub struct RecorderLimits {
    /// Bytes that may wait for the disk, of all calls together; further packets are dropped.
    pub queue_bytes: usize,
    /// Bytes of the packets of one recording; further packets are lost.
    pub file_bytes: u64,
    /// Bytes that stay free on the disk: recordings end where they would take them.
    pub free_bytes: u64,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            format: PcapFormat::default(),
            limits: RecorderLimits {
                queue_bytes: usize::try_from(limits::RECORDER_QUEUE_BYTES).unwrap_or(usize::MAX),
                file_bytes: limits::RECORDING_BYTES,
                free_bytes: limits::RECORDING_FREE_BYTES,
            },
        }
    }
}

/// Reasons why a call is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRecorded {
    /// No recording directory is configured.
    #[error("there is no recording directory")]
    NoDirectory,
    /// The wanted file is not in the recording directory, or in none that exists there.
    #[error("recording-file is not in the recording directory")]
    Outside,
}

/// Results for the packets so far.
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
    /// Bytes that wait for the disk now.
    pub waiting_bytes: u64,
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
    /// The channel has no bound of its own. `shared.waiting` bounds packets and SDP by bytes, and
    /// each call sends only two other jobs.
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

/// State shared by writer and handles.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes.
    capacity: usize,
    /// Bytes in the queue.
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
            capacity: options.limits.queue_bytes,
            ..Shared::default()
        });
        let root = Root::open(dir)?;
        let writer = Writer::new(options.format, options.limits, root, Arc::clone(&shared));
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
    /// packets go instead of `pcaps` (`recording-file`): a path in the recording directory, or
    /// relative to it. An existing file is never touched.
    ///
    /// # Errors
    /// [`NotRecorded::Outside`].
    pub fn open(
        &self,
        call_id: &[u8],
        random: u64,
        file: Option<&Path>,
    ) -> Result<Recording, NotRecorded> {
        let file = file.map(|file| self.dir.join(file));
        if let Some(file) = &file
            && beneath::beneath(&self.dir, file).is_none()
        {
            return Err(NotRecorded::Outside);
        }
        let paths = Paths::of(&self.dir, call_id, random, file.as_deref());
        let handle = Handle {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            file: paths.pcap.clone(),
            queue: self.queue.clone(),
            closed: AtomicBool::new(false),
        };
        handle.send(Job::Open {
            id: handle.id,
            paths,
        });
        Ok(Recording(Arc::new(handle)))
    }

    /// Results for the packets so far.
    pub fn counters(&self) -> RecorderCounters {
        let shared = &self.queue.shared;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let waiting = shared.waiting.load(Ordering::Relaxed);
        RecorderCounters {
            written: read(&shared.written),
            dropped: read(&shared.dropped),
            lost: read(&shared.lost),
            errors: read(&shared.errors),
            waiting_bytes: u64::try_from(waiting).unwrap_or(u64::MAX),
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
    /// The capture file, which the `recordings` key of a reply lists.
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// Notes an SDP body; dropped and counted like a packet.
    pub fn sdp(&self, entry: SdpEntry) {
        let id = self.0.id;
        self.0.queue(entry.weight(), Job::Sdp { id, entry });
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
        let weight = packet_weight(payload);
        if !self.0.reserve(weight) {
            return;
        }
        let job = Job::Packet {
            id: self.0.id,
            time,
            ends: (source, destination),
            payload: payload.into(),
        };
        self.0.send_reserved(weight, job);
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
    /// Queues a job of this many bytes, if there is space.
    fn queue(&self, weight: usize, job: Job) {
        if self.reserve(weight) {
            self.send_reserved(weight, job);
        }
    }

    /// Reserves space in the queue; without space the job is counted as dropped.
    fn reserve(&self, weight: usize) -> bool {
        let shared = &self.queue.shared;
        let before = shared.waiting.fetch_add(weight, Ordering::Relaxed);
        let has_room = before.saturating_add(weight) <= shared.capacity;
        if !has_room {
            shared.waiting.fetch_sub(weight, Ordering::Relaxed);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    fn send_reserved(&self, weight: usize, job: Job) {
        if !self.send(job) {
            self.queue
                .shared
                .waiting
                .fetch_sub(weight, Ordering::Relaxed);
        }
    }

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
