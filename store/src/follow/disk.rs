//! The follower that writes to disk (spec/survive.md §2.2, "Disk").
//!
//! A file begins with 64 bytes: "WLDISK" and the layout, nonce u64, flags u64 (1: sealed), 8 zero,
//! 32 random bytes that the key is made of. Then come records as in a segment: first all that
//! count, then a `Segment` record that says so, then what follows. A file with that record makes
//! the ones before it superfluous; until it has it they stay.
//!
//! The disk may be full, read-only or hang: that is counted and told, and nobody else waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::sealed::{Random, Sealer, StateKey};
use super::{Follower, Sink};
use crate::journal::scan::{Calls, newest, scan};
use crate::journal::{Chance, Journal, Writer};
use crate::record::{HEADER_BYTES, Header, Kind, Segment};
use crate::{limits, sys};

const MAGIC: [u8; 8] = *b"WLDISK\0\x01";
const PREFIX_BYTES: usize = 64;
/// The number of the record that ends a snapshot: above all numbers of the journal, so that no
/// nonce is used twice.
const SNAPSHOT: u64 = 1 << 63;

/// When what was written has to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `fdatasync` this often.
    Every(Duration),
    /// At once; replies wait for it ([`Status::wait`]).
    Always,
}

/// Where files are. A directory; in tests one that fails.
pub trait Storage: Send {
    /// Makes a file that what follows goes into.
    ///
    /// # Errors
    /// The system's.
    fn create(&mut self, name: &str) -> io::Result<()>;
    /// Appends to it.
    ///
    /// # Errors
    /// The system's.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Has all of it on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync(&mut self) -> io::Result<()>;
    /// Removes all files of ours but this one.
    ///
    /// # Errors
    /// The system's.
    fn keep_only(&mut self, name: &str) -> io::Result<()>;
    /// Removes one.
    ///
    /// # Errors
    /// The system's.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A directory of a file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    file: Option<File>,
}

impl Directory {
    /// `state_dir`, which is there.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }
}

impl Storage for Directory {
    fn create(&mut self, name: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        self.file = Some(options.open(self.path.join(name))?);
        // Without it a power loss may leave the bytes without their name.
        File::open(&self.path)?.sync_all()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        file.sync_data()
    }

    fn keep_only(&mut self, name: &str) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let other = entry.file_name();
            let is_ours = other.to_str().and_then(number_of).is_some();
            if is_ours && other != name {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.file = None;
        fs::remove_file(self.path.join(name))
    }
}

/// How it goes, for whoever asks. Reading it never waits for the disk.
#[derive(Debug, Default)]
pub struct Status {
    /// The position up to which all is on the disk.
    synced: AtomicU64,
    /// Attempts that failed.
    errors: AtomicU64,
    /// Since when an operation takes, in nanoseconds since the boot; 0 for none.
    busy_since_ns: AtomicU64,
    failing: Mutex<Option<String>>,
    changed: Condvar,
    changed_lock: Mutex<()>,
    /// The highest position that somebody waits for.
    wanted: AtomicU64,
    stop: AtomicBool,
}

/// What is wrong with the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing.
    Fine,
    /// The last attempt failed so; it is made again.
    Failing(String),
    /// An operation has not come back for so long.
    Hanging(Duration),
}

impl Status {
    /// The position up to which all is on the disk.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Attempts that failed.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// How the disk is, at `now_ns` since the boot.
    #[must_use]
    pub fn health(&self, now_ns: u64) -> Health {
        let since = self.busy_since_ns.load(Ordering::Relaxed);
        let busy = Duration::from_nanos(now_ns.saturating_sub(since));
        if since != 0 && busy >= limits::DISK_HANGS {
            return Health::Hanging(busy);
        }
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.clone().map_or(Health::Fine, Health::Failing)
    }

    /// Waits until what was appended before is on the disk: for [`Policy::Always`]. `false` after
    /// the time: the reply goes all the same, and it is counted by who asks.
    #[must_use]
    pub fn wait(&self, position: u64, most: Duration) -> bool {
        let lock = self
            .changed_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.wanted.fetch_max(position, Ordering::AcqRel);
        self.changed.notify_all();
        let waits = |(): &mut ()| self.synced() < position;
        let outcome = self.changed.wait_timeout_while(lock, most, waits);
        outcome.is_ok_and(|(_, waited)| !waited.timed_out())
    }

    fn fail(&self, error: &io::Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = Some(error.to_string());
    }

    fn succeed(&self, position: u64) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _lock = self
            .changed_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.synced.store(position, Ordering::Release);
        self.changed.notify_all();
    }
}

/// The follower. One turn after the other is taken by its thread ([`Disk::run`]).
pub struct Disk<S> {
    storage: S,
    policy: Policy,
    key: Option<StateKey>,
    writer: Writer,
    chance: Chance,
    follower: Follower,
    state: State,
    /// How long it waits after the next failure.
    pause: Duration,
    status: Arc<Status>,
    /// The number of the next file.
    next: u64,
}

impl<S> std::fmt::Debug for Disk<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (policy, state) = (self.policy, &self.state);
        f.debug_struct("Disk")
            .field("policy", &policy)
            .field("state", state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum State {
    /// Nothing is written before this time.
    Waiting {
        until_ns: u64,
    },
    Writing(Writing),
}

#[derive(Debug)]
struct Writing {
    name: String,
    bytes: u64,
    /// Bytes up to the end of the snapshot.
    snapshot_bytes: u64,
    nonce: u64,
    sealer: Option<Sealer>,
    is_synced: bool,
    synced_ns: u64,
    /// It is on the disk with all that counted, and those before it are gone.
    is_settled: bool,
}

impl<S: Storage> Disk<S> {
    /// A follower that begins with a new file, whose number is above all that are there.
    #[must_use]
    pub fn new(
        storage: S,
        policy: Policy,
        key: Option<StateKey>,
        writer: Writer,
        chance: Chance,
        first: u64,
    ) -> Self {
        Self {
            storage,
            policy,
            key,
            writer,
            chance,
            follower: Follower::default(),
            state: State::Waiting { until_ns: 0 },
            pause: limits::DISK_PAUSE,
            status: Arc::default(),
            next: first,
        }
    }

    /// Changes when it syncs, from the next turn on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Copies what is new; gives back after which time to come again.
    pub fn turn(&mut self, journal: &Journal, now_ns: u64) -> Duration {
        self.status
            .busy_since_ns
            .store(now_ns.max(1), Ordering::Relaxed);
        let outcome = self.copy(journal, now_ns);
        self.status.busy_since_ns.store(0, Ordering::Relaxed);
        match outcome {
            Ok(wait) => wait,
            Err(error) => {
                self.status.fail(&error);
                let pause = self.give_up(now_ns);
                // What was written of it may be torn.
                self.follower.restart();
                pause
            }
        }
    }

    fn copy(&mut self, journal: &Journal, now_ns: u64) -> io::Result<Duration> {
        if let State::Waiting { until_ns } = &self.state
            && now_ns < *until_ns
        {
            return Ok(Duration::from_nanos(until_ns - now_ns));
        }
        let mut batch = Batch {
            plain: Vec::new(),
            begins: None,
            ends: None,
        };
        let is_new = !matches!(self.state, State::Writing(_)) || self.is_long();
        if is_new {
            self.follower.restart();
        }
        let taken = self.follower.pull(journal, limits::DISK_BATCH, &mut batch);
        if let Some(at) = batch.begins {
            batch.plain.drain(..at);
            self.begin_file(now_ns)?;
        }
        let State::Writing(file) = &mut self.state else {
            return Ok(self.rest());
        };
        let mut bytes = Vec::new();
        let snapshot = batch.ends.map(|end| end - batch.begins.unwrap_or(0));
        for (at, (header, body)) in batch.plain.into_iter().enumerate() {
            if snapshot == Some(at) {
                file.mark(&self.writer, &mut bytes)?;
            }
            file.write(&header, body, &mut bytes)?;
        }
        if snapshot.is_some() && file.snapshot_bytes == 0 {
            file.mark(&self.writer, &mut bytes)?;
        }
        if !bytes.is_empty() {
            self.storage.append(&bytes)?;
            file.bytes += bytes.len() as u64;
            file.is_synced = false;
        }
        let is_due = match self.policy {
            Policy::Always => true,
            Policy::Every(time) => {
                let age = Duration::from_nanos(now_ns.saturating_sub(file.synced_ns));
                !file.is_settled || age >= time
            }
        };
        if is_due && !file.is_synced {
            self.storage.sync()?;
            file.is_synced = true;
            file.synced_ns = now_ns;
            if !file.is_settled {
                // Only now the ones before it are superfluous.
                file.is_settled = true;
                self.storage.keep_only(&file.name)?;
            }
        }
        if file.is_synced {
            self.pause = limits::DISK_PAUSE;
            self.status.succeed(self.follower.position().unwrap_or(0));
        }
        Ok(if taken >= limits::DISK_BATCH {
            Duration::ZERO
        } else {
            self.rest()
        })
    }

    /// Whether a new file with what counts would be much shorter.
    fn is_long(&self) -> bool {
        match &self.state {
            State::Writing(file) => {
                file.bytes > limits::DISK_FILE_BYTES && file.bytes > 3 * file.snapshot_bytes
            }
            State::Waiting { .. } => false,
        }
    }

    fn begin_file(&mut self, now_ns: u64) -> io::Result<()> {
        let name = name_of(self.next);
        let mut random: Random = [0; 32];
        for chunk in random.as_chunks_mut::<8>().0 {
            *chunk = (self.chance)().to_le_bytes();
        }
        let nonce = (self.chance)() | 1;
        let sealer = match &self.key {
            Some(key) => Some(key.sealer(&random).ok_or(io::ErrorKind::Unsupported)?),
            None => None,
        };
        let mut prefix = Vec::with_capacity(PREFIX_BYTES);
        prefix.extend_from_slice(&MAGIC);
        prefix.extend_from_slice(&nonce.to_le_bytes());
        prefix.extend_from_slice(&u64::from(sealer.is_some()).to_le_bytes());
        prefix.extend_from_slice(&[0; 8]);
        prefix.extend_from_slice(&random);
        self.storage.create(&name)?;
        self.next += 1;
        let bytes = prefix.len() as u64;
        self.state = State::Writing(Writing {
            name,
            bytes,
            snapshot_bytes: 0,
            nonce,
            sealer,
            is_synced: false,
            synced_ns: now_ns,
            is_settled: false,
        });
        self.storage.append(&prefix)
    }

    /// Leaves the file; gives back how long to wait.
    fn give_up(&mut self, now_ns: u64) -> Duration {
        if let State::Writing(file) = &self.state
            && !file.is_settled
        {
            // The ones before it are there and say more; a full disk needs the room.
            let _ = self.storage.remove(&file.name);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(limits::DISK_PAUSE_MAX);
        let until_ns = now_ns.saturating_add(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX));
        self.state = State::Waiting { until_ns };
        pause
    }

    /// How long nothing new is looked for.
    fn rest(&self) -> Duration {
        match self.policy {
            Policy::Every(time) => (time / 4).max(Duration::from_millis(10)),
            Policy::Always => Duration::from_secs(1),
        }
    }
}

impl<S: Storage + 'static> Disk<S> {
    /// Runs it on a thread of its own.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn run(mut self, journal: Arc<Journal>) -> io::Result<Running> {
        let status = self.status();
        let seen = status.clone();
        let work = move || {
            while !seen.stop.load(Ordering::Acquire) {
                let wanted = seen.wanted.load(Ordering::Acquire);
                let wait = self.turn(&journal, sys::now(&[0; 16]).boot_ns);
                let lock = seen
                    .changed_lock
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let is_idle = seen.wanted.load(Ordering::Acquire) == wanted
                    && !seen.stop.load(Ordering::Acquire);
                if is_idle && !wait.is_zero() {
                    // Somebody who waits, or the end, wakes it up.
                    drop(seen.changed.wait_timeout(lock, wait));
                }
            }
            // What came last is written, too.
            if let State::Writing(file) = &mut self.state {
                file.synced_ns = 0;
            }
            self.turn(&journal, sys::now(&[0; 16]).boot_ns);
        };
        let thread = std::thread::Builder::new()
            .name("disk".to_owned())
            .spawn(work)?;
        Ok(Running {
            status,
            thread: Some(thread),
        })
    }
}

/// The thread of a follower.
#[derive(Debug)]
pub struct Running {
    status: Arc<Status>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// How it goes.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Ends it after it has written what there is; at most so long. `false`: it hangs, and is left
    /// alone.
    #[must_use]
    pub fn stop(mut self, most: Duration) -> bool {
        self.status.stop.store(true, Ordering::Release);
        let thread = self.thread.take();
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        loop {
            let lock = self
                .status
                .changed_lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.status.changed.notify_all();
            if thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return true;
            }
            if waited >= most {
                return false;
            }
            drop(self.status.changed.wait_timeout(lock, step));
            waited += step;
        }
    }
}

impl Writing {
    /// Appends a record to `bytes`, sealed if there is a key.
    fn write(&self, header: &Header, mut body: Vec<u8>, bytes: &mut Vec<u8>) -> io::Result<()> {
        if let Some(sealer) = &self.sealer {
            sealer.seal(header, &mut body).map_err(io::Error::other)?;
        }
        let header = Header {
            len: body.len(),
            ..*header
        };
        bytes.extend_from_slice(&header.write(self.nonce, &body));
        bytes.resize(bytes.len().next_multiple_of(limits::UNIT_BYTES), 0);
        Ok(())
    }

    /// Says that all which counts stands before.
    fn mark(&mut self, writer: &Writer, bytes: &mut Vec<u8>) -> io::Result<()> {
        let formats = Kind::ALL.iter().map(|kind| (*kind as u8, kind.format()));
        let segment = Segment {
            version: writer.version.clone(),
            boot_id: writer.boot_id,
            formats: formats.collect(),
            epoch: writer.epoch,
            nonce: self.nonce,
        };
        let mut body = Vec::new();
        segment.encode(&mut body);
        let header = Header {
            len: body.len(),
            number: SNAPSHOT,
            call: 0,
            kind: Kind::Segment,
            format: Kind::Segment.format(),
        };
        self.write(&header, body, bytes)?;
        self.snapshot_bytes = self.bytes + bytes.len() as u64;
        Ok(())
    }
}

/// Records of one turn.
struct Batch {
    plain: Vec<(Header, Vec<u8>)>,
    /// Where those of a snapshot begin and end.
    begins: Option<usize>,
    ends: Option<usize>,
}

impl Sink for Batch {
    fn begin(&mut self) {
        self.begins = Some(self.plain.len());
        self.ends = None;
    }

    fn record(&mut self, header: &Header, body: &[u8]) {
        // Segments of the journal are none of the file.
        if header.kind != Kind::Segment {
            self.plain.push((*header, body.to_vec()));
        }
    }

    fn end(&mut self, _position: u64) {
        self.ends = Some(self.plain.len());
    }
}

/// What a state directory says.
#[derive(Debug, Default)]
pub struct Copies {
    records: Vec<(Header, Vec<u8>)>,
    /// Who wrote the newest file, if its snapshot is whole.
    pub writer: Option<Segment>,
    /// The number of the next file.
    pub next: u64,
    /// Records with a wrong sum, or that cannot be opened.
    pub corrupt: u64,
    /// Files that are sealed under another key, or without one given.
    pub unopened: u64,
}

impl Copies {
    /// Reads the files of a directory: the newest one whose snapshot is whole, and those after it.
    ///
    /// # Errors
    /// The system's.
    pub fn read(dir: &Path, key: Option<&StateKey>) -> io::Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if let Some(number) = entry.file_name().to_str().and_then(number_of) {
                files.push((number, entry.path()));
            }
        }
        files.sort();
        let next = files.last().map_or(0, |(number, _)| number + 1);
        let mut copies = Self {
            next,
            ..Self::default()
        };
        for (_, path) in files.into_iter().rev() {
            if copies.take(&fs::read(path)?, key) {
                break;
            }
        }
        Ok(copies)
    }

    /// Takes the records of a file; says whether those before it are superfluous.
    fn take(&mut self, bytes: &[u8], key: Option<&StateKey>) -> bool {
        let Some((prefix, bytes)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return false;
        };
        let word = |at: usize| {
            prefix
                .as_chunks::<8>()
                .0
                .get(at)
                .copied()
                .unwrap_or_default()
        };
        let Some(random) = prefix.last_chunk::<32>().filter(|_| word(0) == MAGIC) else {
            return false;
        };
        let sealer = match (u64::from_le_bytes(word(2)), key) {
            (0, _) => None,
            (1, Some(key)) => key.sealer(random),
            _ => {
                self.unopened += 1;
                return false;
            }
        };
        let scanned = scan(bytes, None);
        self.corrupt += scanned.corrupt;
        let mut is_whole = false;
        for found in &scanned.records {
            let start = found.at + HEADER_BYTES;
            let body = bytes.get(start..start + found.header.len);
            let mut body = body.unwrap_or_default().to_vec();
            let mut header = found.header;
            if let Some(sealer) = &sealer
                && sealer.open(&header, &mut body).is_err()
            {
                self.corrupt += 1;
                continue;
            }
            header.len = body.len();
            if header.kind == Kind::Segment {
                is_whole = true;
                if self.writer.is_none() {
                    self.writer = Segment::decode(&body).ok();
                }
            } else {
                self.records.push((header, body));
            }
        }
        is_whole
    }

    /// Of each call what counts.
    #[must_use]
    pub fn newest(&self) -> Calls<'_> {
        let records = self.records.iter().map(|(header, body)| (header, &**body));
        let mut calls = newest(records);
        calls.corrupt += self.corrupt;
        calls
    }

    /// The highest number of a record: a new journal goes on above it.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.records
            .iter()
            .map(|(header, _)| header.number)
            .max()
            .unwrap_or(0)
    }
}

fn name_of(number: u64) -> String {
    format!("{number:016x}.calls")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name
        .strip_suffix(".calls")
        .filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}
