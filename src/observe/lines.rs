//! Lines on their way out of the process: to stderr, or to the syslog daemon.
//!
//! Threads that call or relay hand a line over and go on ([`LineQueue::push`] takes a lock for the
//! time of a copy). A thread of the queue's own writes, many lines with one system call, and may wait
//! for a reader that stalls. What finds no room meanwhile is lost and counted.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::{Condvar, Mutex};

use super::syslog::{Facility, SOCKET, Severity, Syslog};
use crate::limits::{LINE_QUEUE_BYTES, LINES_FLUSH_PATIENCE};

/// Entries of all queues of the process that were lost.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Entries that found no room or could not be written, of all queues of the process.
pub fn lost() -> u64 {
    LOST.load(Relaxed)
}

/// Lines of one destination, in the order of their coming.
#[derive(Clone, Debug)]
pub struct LineQueue(Arc<Owner>);

/// Ends the thread with the last handle.
#[derive(Debug)]
struct Owner(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// For the writer: there is something to do.
    wanted: Condvar,
    /// For [`LineQueue::flush`]: a batch was written.
    written: Condvar,
    lost: AtomicU64,
    ends: AtomicBool,
}

impl Shared {
    fn lose(&self, entries: u64) {
        self.lost.fetch_add(entries, Relaxed);
        LOST.fetch_add(entries, Relaxed);
    }
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    /// The writer waits for a line, and has to be woken up.
    is_idle: bool,
    /// The writer has a batch in hand.
    is_writing: bool,
    /// Somebody waits for what is written: no gathering.
    is_urgent: bool,
}

/// Entries in a row. Each ends with a line end and may be several lines.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Where each entry ends.
    ends: Vec<(usize, Severity)>,
}

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        // The rest of a burst.
        self.bytes.shrink_to(KEPT_BYTES);
        self.ends.shrink_to(KEPT_BYTES / 128);
    }

    fn entries(&self) -> impl Iterator<Item = (&[u8], Severity)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(end, _)| end));
        let ends = self.ends.iter().zip(starts);
        ends.filter_map(|(&(end, severity), start)| Some((self.bytes.get(start..end)?, severity)))
    }
}

/// Memory that an empty queue keeps, in bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// After a batch, lines gather for this long before they are written: under load one system call and
/// one wake-up for all of them, and no line is later than this.
const GATHER: Duration = Duration::from_millis(10);

/// Where a queue's lines go.
pub(crate) enum Outlet {
    /// Standard error.
    Stderr,
    /// The syslog; standard error where there is none.
    Syslog(Syslog),
    /// A file or pipe.
    #[cfg(test)]
    File(std::fs::File),
}

impl Outlet {
    /// The local syslog daemon.
    pub(crate) fn syslog(facility: Facility, ident: &str) -> Self {
        Self::Syslog(Syslog::new(Path::new(SOCKET), facility, ident))
    }
}

impl LineQueue {
    /// Starts the thread of a queue; `what` names the lines in the log, when some were lost.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(what: &'static str, outlet: Outlet) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            what,
            outlet,
            shared: Arc::clone(&shared),
            told: 0,
        };
        let thread = std::thread::Builder::new().name("lines".to_owned());
        // Not joined: it may wait for a reader that never comes.
        drop(thread.spawn(move || writer.run())?);
        Ok(Self(Arc::new(Owner(shared))))
    }

    /// Hands an entry over: one or more whole lines. Never waits; without room it is lost and counted.
    pub fn push(&self, severity: Severity, entry: &[u8]) {
        let shared = self.shared();
        let mut waiting = shared.waiting.lock();
        if waiting.batch.bytes.len() + entry.len() > LINE_QUEUE_BYTES {
            drop(waiting);
            shared.lose(1);
            return;
        }
        let batch = &mut waiting.batch;
        batch.bytes.extend_from_slice(entry);
        if !entry.ends_with(b"\n") {
            batch.bytes.push(b'\n');
        }
        batch.ends.push((batch.bytes.len(), severity));
        let wakes = std::mem::take(&mut waiting.is_idle);
        drop(waiting);
        if wakes {
            shared.wanted.notify_one();
        }
    }

    /// Waits until everything that was pushed is written, at most for [`LINES_FLUSH_PATIENCE`].
    pub fn flush(&self) {
        let shared = self.shared();
        let mut waiting = shared.waiting.lock();
        waiting.is_urgent = true;
        shared.wanted.notify_one();
        let is_pending = |waiting: &mut Waiting| {
            let pending = waiting.is_writing || !waiting.batch.ends.is_empty();
            waiting.is_urgent = pending;
            pending
        };
        shared
            .written
            .wait_while_for(&mut waiting, is_pending, LINES_FLUSH_PATIENCE);
    }

    /// Entries of this queue that found no room, or could not be written.
    #[cfg(test)]
    fn lost(&self) -> u64 {
        self.shared().lost.load(Relaxed)
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.ends.store(true, Relaxed);
        // The writer looks at `ends` with the lock held.
        drop(self.0.waiting.lock());
        self.0.wanted.notify_one();
    }
}

/// The thread's half.
struct Writer {
    what: &'static str,
    outlet: Outlet,
    shared: Arc<Shared>,
    /// Losses that the log has.
    told: u64,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Batch::default();
        while self.next(&mut batch) {
            let failed = self.write(&batch);
            batch.clear();
            self.shared.lose(failed);
            let lost = self.shared.lost.load(Relaxed);
            // Not while it fails: the line about it would be the next one to get lost.
            if failed == 0 && lost != self.told {
                let lines = lost - self.told;
                self.told = lost;
                let what = self.what;
                tracing::warn!(what, lines, "lines lost: nobody read them fast enough");
            }
        }
    }

    /// Waits for the next entries; `false`: there will be no more.
    fn next(&self, batch: &mut Batch) -> bool {
        let mut waiting = self.shared.waiting.lock();
        if waiting.is_writing {
            waiting.is_writing = false;
            self.shared.written.notify_all();
            let gathers = |waiting: &mut Waiting| !waiting.is_urgent && !self.ends();
            self.shared
                .wanted
                .wait_while_for(&mut waiting, gathers, GATHER);
        }
        while waiting.batch.ends.is_empty() {
            if self.ends() {
                return false;
            }
            waiting.is_idle = true;
            self.shared.wanted.wait(&mut waiting);
        }
        waiting.is_idle = false;
        waiting.is_writing = true;
        std::mem::swap(&mut waiting.batch, batch);
        true
    }

    fn ends(&self) -> bool {
        self.shared.ends.load(Relaxed)
    }

    /// Writes a batch, however long that takes; returns how many entries cannot be written.
    fn write(&mut self, batch: &Batch) -> u64 {
        let entries = batch.ends.len() as u64;
        match &mut self.outlet {
            Outlet::Stderr => write_all(io::stderr(), &batch.bytes).map_or(entries, |()| 0),
            #[cfg(test)]
            Outlet::File(file) => write_all(file, &batch.bytes).map_or(entries, |()| 0),
            Outlet::Syslog(syslog) => batch
                .entries()
                .map(|(entry, severity)| u64::from(send(syslog, entry, severity).is_err()))
                .sum(),
        }
    }
}

/// Writes past the lock of `io::stderr`: whoever else writes there must not wait for us.
fn write_all(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::sys::uio::writev(to.as_fd(), &[IoSlice::new(bytes)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            // Another process that shares the pipe made it so.
            Err(Errno::EAGAIN) => {
                let mut writable = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                poll(&mut writable, PollTimeout::NONE)?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn send(syslog: &mut Syslog, entry: &[u8], severity: Severity) -> io::Result<()> {
    for line in String::from_utf8_lossy(entry).lines() {
        match syslog.send(now(), severity, line) {
            Ok(()) => {}
            // Containers have none: better said there than nowhere.
            Err(_) => write_all(io::stderr(), format!("{line}\n").as_bytes())?,
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log line has the clock of the wall"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// A pipe and how many bytes fit into it.
    fn pipe() -> (File, File) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (File::from(reader), File::from(writer))
    }

    fn line(number: usize) -> Vec<u8> {
        format!("{number:0>1023}\n").into_bytes()
    }

    #[test]
    fn a_reader_that_stalls_holds_nobody_up_and_costs_lines_that_are_counted() {
        let (mut reader, writer) = pipe();
        let queue = LineQueue::start("log", Outlet::File(writer)).unwrap();
        // A batch that is in hand, the queue, and the pipe.
        let pushed = 2 * LINE_QUEUE_BYTES / 1024 + 1000;
        for number in 0..pushed {
            queue.push(Severity::Info, &line(number));
        }
        let lost = usize::try_from(queue.lost()).unwrap();
        assert!(lost > 0, "the queue has a bound");
        let mut read = vec![0; (pushed - lost) * 1024];
        reader.read_exact(&mut read).unwrap();
        queue.flush();
        let numbers = read.chunks(1024).map(|line| {
            let text = std::str::from_utf8(line).unwrap().trim();
            text.trim_start_matches('0').parse().unwrap_or(0_usize)
        });
        let numbers: Vec<usize> = numbers.collect();
        assert!(numbers.is_sorted(), "order is kept");
        assert_eq!(queue.lost(), u64::try_from(lost).unwrap());
        queue.push(Severity::Info, b"again");
        let mut again = [0; 6];
        reader.read_exact(&mut again).unwrap();
        assert_eq!(&again, b"again\n");
    }

    #[test]
    fn flush_writes_all_at_once_and_gives_up_on_a_stalled_reader() {
        let (mut reader, writer) = pipe();
        let queue = LineQueue::start("log", Outlet::File(writer)).unwrap();
        queue.push(Severity::Info, b"one");
        queue.push(Severity::Info, b"two\nthree\n");
        queue.flush();
        let mut read = [0; 14];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one\ntwo\nthree\n");
        for number in 0..200 {
            queue.push(Severity::Info, &line(number));
        }
        queue.flush();
        assert_eq!(queue.lost(), 0, "they still wait");
    }

    #[test]
    fn nobody_at_the_other_end_is_a_loss_that_is_counted() {
        let (reader, writer) = pipe();
        drop(reader);
        let queue = LineQueue::start("log", Outlet::File(writer)).unwrap();
        queue.push(Severity::Info, b"one");
        queue.push(Severity::Info, b"two");
        queue.flush();
        assert_eq!(queue.lost(), 2);
    }

    #[test]
    fn pipe_that_somebody_made_nonblocking_loses_nothing() {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let (mut reader, writer) = pipe();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let queue = LineQueue::start("log", Outlet::File(writer)).unwrap();
        for number in 0..500 {
            queue.push(Severity::Info, &line(number));
        }
        let mut read = vec![0; 500 * 1024];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(queue.lost(), 0);
    }

    #[test]
    fn syslog_that_is_slow_gets_every_line() {
        let name = format!("windlass-lines-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let daemon = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::new(&path, "local0".parse().unwrap(), "windlass");
        let queue = LineQueue::start("records", Outlet::Syslog(syslog)).unwrap();
        // More than the queue of a datagram socket has room for.
        for number in 0..300 {
            let entry = format!("call {number}\n");
            queue.push(Severity::Info, entry.as_bytes());
        }
        let mut buffer = [0; 200];
        for number in 0..300 {
            let length = daemon.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            assert!(text.ends_with(&format!(": call {number}")), "{text}");
        }
        assert_eq!(queue.lost(), 0);
        std::fs::remove_file(path).unwrap();
    }
}
