//! The thread that owns the files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::beneath::{Made, Root};
use super::name::Paths;
use super::{Ending, PcapFormat, RecorderLimits, SdpEntry, Shared, frame};

/// Jobs of the writer.
#[derive(Debug)]
pub(super) enum Job {
    Open {
        id: u64,
        paths: Paths,
    },
    Sdp {
        id: u64,
        entry: SdpEntry,
    },
    Packet {
        id: u64,
        time: SystemTime,
        /// Source and destination.
        ends: (SocketAddr, SocketAddr),
        payload: Box<[u8]>,
    },
    Finish {
        id: u64,
        ending: Ending,
    },
    Discard {
        id: u64,
    },
    Abandon {
        id: u64,
    },
    Stop,
}

pub(super) struct Writer {
    format: PcapFormat,
    root: Root,
    limits: RecorderLimits,
    disk: Disk,
    shared: Arc<Shared>,
    open: HashMap<u64, Files>,
    /// Recordings with packets in memory that are not in the file yet.
    unflushed: Vec<u64>,
    flush_at: Option<Instant>,
    /// A disk error was logged, and no recording went well since.
    reported: bool,
    /// Reused for every packet.
    record: Vec<u8>,
}

/// The files of a recording; one that failed is gone.
struct Files {
    paths: Paths,
    pcap: Option<BufWriter<File>>,
    metadata: Option<File>,
    /// The file at the path is this recording's, not one that was there before: which one it is.
    made_pcap: Option<(u64, u64)>,
    made_metadata: Option<(u64, u64)>,
    packets: u64,
    /// Bytes of the packets.
    bytes: u64,
    unflushed: bool,
}

/// A crash or a reader of a running recording misses no more than this.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// Per recording. About two seconds of a call in G.711.
const BUFFER: usize = 32 * 1024;

impl Writer {
    pub(super) fn new(
        format: PcapFormat,
        limits: RecorderLimits,
        root: Root,
        shared: Arc<Shared>,
    ) -> Self {
        let disk = Disk {
            keep_free: limits.free_bytes,
            credit: 0,
        };
        Self {
            format,
            root,
            limits,
            disk,
            shared,
            open: HashMap::new(),
            unflushed: Vec::new(),
            flush_at: None,
            reported: false,
            record: Vec::new(),
        }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = match self.flush_at {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => jobs.recv_timeout(at.saturating_duration_since(now())),
            };
            match job {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
            }
            match self.flush_at {
                None if !self.unflushed.is_empty() => self.flush_at = Some(now() + FLUSH_INTERVAL),
                Some(at) if now() >= at => self.flush(),
                _ => {}
            }
        }
        self.flush();
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Open { id, paths } => self.begin(id, paths),
            Job::Sdp { id, entry } => {
                self.shared
                    .waiting
                    .fetch_sub(entry.weight(), Ordering::Relaxed);
                if let Some(files) = self.open.get(&id) {
                    let text = entry.text(files.packets + 1);
                    self.note(id, &text);
                }
            }
            Job::Packet {
                id,
                time,
                ends,
                payload,
            } => {
                let weight = packet_weight(&payload);
                self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
                self.packet(id, time, ends, &payload);
            }
            Job::Finish { id, ending } => self.finish(id, &ending),
            Job::Discard { id } => self.discard(id),
            Job::Abandon { id } => {
                self.flush_one(id);
                self.open.remove(&id);
            }
            Job::Stop => {}
        }
    }

    fn begin(&mut self, id: u64, paths: Paths) {
        let pcap = self.root.create(&paths.pcap);
        let made_pcap = pcap.as_ref().ok().map(Made::identity);
        let pcap = pcap.and_then(|made| {
            let mut file = BufWriter::with_capacity(BUFFER, made.file);
            file.write_all(&frame::file_header(self.format))?;
            file.flush()?;
            Ok(file)
        });
        let metadata = self.root.create(&paths.running);
        let made_metadata = metadata.as_ref().ok().map(Made::identity);
        let metadata = metadata.and_then(|made| {
            let mut file = made.file;
            let mut text = paths.pcap.as_os_str().as_encoded_bytes().to_vec();
            text.extend_from_slice(b"\n\n");
            file.write_all(&text)?;
            Ok(file)
        });
        let files = Files {
            pcap: self.kept(pcap, &paths.pcap),
            metadata: self.kept(metadata, &paths.running),
            paths,
            made_pcap,
            made_metadata,
            packets: 0,
            bytes: 0,
            unflushed: false,
        };
        self.open.insert(id, files);
    }

    fn packet(
        &mut self,
        id: u64,
        time: SystemTime,
        ends: (SocketAddr, SocketAddr),
        payload: &[u8],
    ) {
        let Some(files) = self.open.get_mut(&id) else {
            return;
        };
        self.record.clear();
        let record = frame::append_record(self.format, time, ends, payload, &mut self.record);
        let (Some(()), Some(pcap)) = (record, files.pcap.as_mut()) else {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let length = self.record.len() as u64;
        if files.bytes + length > self.limits.file_bytes || !self.disk.has_room(&self.root, length)
        {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            let full = match files.bytes + length > self.limits.file_bytes {
                true => format!("longer than {} bytes", self.limits.file_bytes),
                false => format!(
                    "less than {} bytes free on the disk",
                    self.limits.free_bytes
                ),
            };
            let path = files.paths.pcap.clone();
            self.flush_one(id);
            if let Some(files) = self.open.get_mut(&id) {
                files.pcap = None;
            }
            self.failed(&path, &io::Error::new(io::ErrorKind::StorageFull, full));
            return;
        }
        files.bytes += length;
        if let Err(error) = pcap.write_all(&self.record) {
            let path = files.paths.pcap.clone();
            discard_buffer(&mut files.pcap);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            self.failed(&path, &error);
            return;
        }
        files.packets += 1;
        if !files.unflushed {
            files.unflushed = true;
            self.unflushed.push(id);
        }
        self.shared.written.fetch_add(1, Ordering::Relaxed);
    }

    fn note(&mut self, id: u64, text: &[u8]) {
        let Some(files) = self.open.get_mut(&id) else {
            return;
        };
        let Some(metadata) = files.metadata.as_mut() else {
            return;
        };
        if let Err(error) = metadata.write_all(text) {
            files.metadata = None;
            let path = files.paths.running.clone();
            self.failed(&path, &error);
        }
    }

    fn finish(&mut self, id: u64, ending: &Ending) {
        self.flush_one(id);
        self.note(id, &ending.text());
        let Some(files) = self.open.remove(&id) else {
            return;
        };
        if files.made_metadata.is_none() {
            return;
        }
        let whole = files.pcap.is_some() && files.metadata.is_some();
        let Paths {
            running, metadata, ..
        } = &files.paths;
        // Whatever could be written is put where it is looked for.
        match self.root.rename(running, metadata) {
            Ok(()) => self.reported &= !whole,
            Err(error) => self.failed(metadata, &error),
        }
    }

    fn discard(&mut self, id: u64) {
        let Some(mut files) = self.open.remove(&id) else {
            return;
        };
        discard_buffer(&mut files.pcap);
        let mine = [
            (files.made_pcap, &files.paths.pcap),
            (files.made_metadata, &files.paths.running),
        ];
        for (made, path) in mine {
            if let Some(identity) = made
                && let Err(error) = self.root.remove(path, identity)
            {
                self.failed(path, &error);
            }
        }
    }

    fn flush(&mut self) {
        self.flush_at = None;
        for id in std::mem::take(&mut self.unflushed) {
            self.flush_one(id);
        }
    }

    fn flush_one(&mut self, id: u64) {
        let Some(files) = self.open.get_mut(&id) else {
            return;
        };
        files.unflushed = false;
        let Some(Err(error)) = files.pcap.as_mut().map(Write::flush) else {
            return;
        };
        discard_buffer(&mut files.pcap);
        let path = files.paths.pcap.clone();
        self.failed(&path, &error);
    }

    /// The file, or a report of why there is none.
    fn kept<T>(&mut self, made: io::Result<T>, path: &Path) -> Option<T> {
        made.inspect_err(|error| self.failed(path, error)).ok()
    }

    /// Logs one line for a failing disk, not one per call.
    fn failed(&mut self, path: &Path, error: &io::Error) {
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.reported, true) {
            let path = path.display();
            tracing::error!(
                %path, %error,
                "a recording cannot be written; more failures are only counted until one succeeds"
            );
        }
    }
}

/// Drops a file without trying to write its buffer again.
fn discard_buffer(pcap: &mut Option<BufWriter<File>>) {
    if let Some(pcap) = pcap.take() {
        let _ = pcap.into_parts();
    }
}

/// Free space of the disk, read at intervals.
struct Disk {
    keep_free: u64,
    /// Bytes that may be written before it is asked again.
    credit: u64,
}

/// Bytes between two questions to the disk.
const DISK_STEP: u64 = 4 << 20;

impl Disk {
    fn has_room(&mut self, root: &Root, length: u64) -> bool {
        if self.credit >= length {
            self.credit -= length;
            return true;
        }
        // A disk that does not say how full it is refuses by itself.
        let free = root.free_bytes().unwrap_or(u64::MAX);
        self.credit = DISK_STEP.min(free.saturating_sub(self.keep_free));
        let has_room = self.credit >= length;
        self.credit = self.credit.saturating_sub(length);
        has_room
    }
}

/// Bytes that a packet takes in the queue.
pub(super) fn packet_weight(payload: &[u8]) -> usize {
    size_of::<Job>() + payload.len()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the writer's own clock, for flushing"
)]
fn now() -> Instant {
    Instant::now()
}
