use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use zeroize::Zeroizing;

use super::disk::{Copies, Directory, Disk, Health, Policy, Storage};
use super::sealed::{KeyError, StateKey};
use super::*;
use crate::journal::Writer;
use crate::journal::scan::{Calls, Newest};
use crate::journal::tests::{Dir, chance, open};
use crate::record::{Call, Ended, Kind};

const SECOND: u64 = 1_000_000_000;

fn put(journal: &Journal, number: u64, state: &[u8]) {
    let call = Call {
        call_id: b"secret-call-id",
        state,
        ..Call::default()
    };
    journal.call(number, &call).unwrap();
}

fn states(calls: &Calls<'_>) -> BTreeMap<u64, Vec<u8>> {
    let live = calls
        .calls
        .iter()
        .filter_map(|(call, newest)| match newest {
            Newest::Live(live) => Some((*call, live.call.state.to_vec())),
            Newest::Ended(..) => None,
        });
    live.collect()
}

fn key(byte: u8) -> StateKey {
    StateKey::new(Zeroizing::new(vec![byte; 32])).unwrap()
}

fn disk<S: Storage>(storage: S, key: Option<StateKey>) -> Disk<S> {
    let writer = Writer {
        version: "test".to_owned(),
        boot_id: [7; 16],
        epoch: 1,
    };
    let policy = Policy::Every(Duration::from_secs(1));
    Disk::new(storage, policy, key, writer, chance(5), 3)
}

/// A directory whose next operations fail as told.
struct Faulty {
    inner: Directory,
    refusal: Arc<Mutex<Option<io::ErrorKind>>>,
    /// Bytes that still fit.
    room: Arc<AtomicU64>,
}

impl Faulty {
    fn new(dir: &Path) -> Self {
        Self {
            inner: Directory::new(dir.to_path_buf()),
            refusal: Arc::default(),
            room: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    fn check(&self) -> io::Result<()> {
        self.refusal
            .lock()
            .unwrap()
            .map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl Storage for Faulty {
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.check()?;
        self.inner.create(name)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        let room = self.room.load(Ordering::Relaxed);
        if (bytes.len() as u64) > room {
            // As write(2): what fits is there.
            self.room.store(0, Ordering::Relaxed);
            self.inner
                .append(&bytes[..usize::try_from(room).unwrap()])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.check()?;
        self.inner.sync()
    }

    fn keep_only(&mut self, name: &str) -> io::Result<()> {
        self.inner.keep_only(name)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let entries = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    });
    let mut files: Vec<_> = entries.collect();
    files.sort();
    files
}

#[test]
fn copy_on_disk_says_what_the_journal_says() {
    for key in [None, Some(7)] {
        let (run, state) = (Dir::new(), Dir::new());
        let (journal, _) = open(&run.0, 5);
        let mut disk = disk(Directory::new(state.0.clone()), key.map(self::key));
        put(&journal, 1, b"secret one");
        disk.turn(&journal, SECOND);
        put(&journal, 1, b"secret two");
        put(&journal, 2, b"secret x");
        put(&journal, 3, b"secret y");
        journal.ended(3, &Ended::default(), 0).unwrap();
        journal.settings(b"set").unwrap();
        disk.turn(&journal, SECOND + 1);
        assert!(
            disk.status().synced() < journal.position(),
            "synced only when due"
        );
        disk.turn(&journal, 2 * SECOND);
        assert_eq!(disk.status().synced(), journal.position());
        let read = Copies::read(&state.0, key.map(self::key).as_ref()).unwrap();
        let calls = read.newest();
        let expected = [(1, b"secret two".to_vec()), (2, b"secret x".to_vec())];
        assert_eq!(states(&calls), BTreeMap::from(expected));
        assert_eq!((calls.corrupt, read.unopened, read.next), (0, 0, 4));
        assert_eq!(calls.settings.unwrap().1, b"set");
        assert_eq!(read.writer.unwrap().boot_id, [7; 16]);
        let files = files(&state.0);
        let is_plain = files[0].1.windows(6).any(|bytes| bytes == b"secret");
        assert_eq!(is_plain, key.is_none());
        if key.is_some() {
            let other = Copies::read(&state.0, Some(&self::key(8))).unwrap();
            assert!(states(&other.newest()).is_empty() && other.corrupt > 0);
            let none = Copies::read(&state.0, None).unwrap();
            assert_eq!((none.unopened, states(&none.newest()).len()), (1, 0));
        }
    }
}

#[test]
fn sealed_record_cannot_be_changed_or_moved() {
    let (run, state) = (Dir::new(), Dir::new());
    let (journal, _) = open(&run.0, 5);
    put(&journal, 1, b"one");
    let mut disk = disk(Directory::new(state.0.clone()), Some(key(1)));
    disk.turn(&journal, SECOND);
    let (name, bytes) = files(&state.0).remove(0);
    // The call's number, and the sum made right again, as who can write the file would.
    let (prefix, records) = bytes.split_at(64);
    let scanned = crate::journal::scan::scan(records, None);
    let found = scanned.records[0];
    let start = found.at + crate::record::HEADER_BYTES;
    let header = Header {
        call: 2,
        ..found.header
    };
    let nonce = u64::from_le_bytes(*prefix[8..].first_chunk().unwrap());
    let forged = header.write(nonce, &records[start..start + header.len]);
    let mut bytes = bytes.clone();
    bytes[64..64 + forged.len()].copy_from_slice(&forged);
    fs::write(state.0.join(name), bytes).unwrap();
    let read = Copies::read(&state.0, Some(&key(1))).unwrap();
    assert!(states(&read.newest()).is_empty());
    assert_eq!(read.corrupt, 1);
}

/// GCM under one key and nonce with two contents gives the tag's key away.
#[test]
fn number_is_sealed_once_or_with_the_same_contents() {
    let (run, state) = (Dir::new(), Dir::new());
    let (journal, _) = open(&run.0, 6);
    let journal = Arc::new(journal);
    let mut disk = disk(Directory::new(state.0.clone()), Some(key(1)));
    let writer = {
        let journal = journal.clone();
        std::thread::spawn(move || {
            for round in 0..3000u64 {
                put(&journal, round % 50, &round.to_le_bytes());
            }
        })
    };
    let mut now = SECOND;
    while !writer.is_finished() {
        now += SECOND / 10;
        disk.turn(&journal, now);
    }
    disk.turn(&journal, now + SECOND);
    for (_, bytes) in files(&state.0) {
        let records = &bytes[64..];
        let mut contents: HashMap<u64, &[u8]> = HashMap::new();
        for found in crate::journal::scan::scan(records, None).records {
            let start = found.at + crate::record::HEADER_BYTES;
            let body = &records[start..start + found.header.len];
            let before = contents.insert(found.header.number, body);
            assert!(before.is_none_or(|before| before == body));
        }
        assert!(contents.len() > 50);
    }
    let read = Copies::read(&state.0, Some(&key(1))).unwrap();
    assert_eq!(states(&read.newest()).len(), 50);
}

#[test]
fn file_cut_anywhere_gives_a_state_of_before() {
    let (run, state) = (Dir::new(), Dir::new());
    let (journal, _) = open(&run.0, 5);
    let mut disk = disk(Directory::new(state.0.clone()), None);
    disk.turn(&journal, SECOND);
    for round in 0..10u8 {
        put(&journal, 1, &[round; 30]);
        disk.turn(&journal, SECOND + u64::from(round));
    }
    let (name, bytes) = files(&state.0).remove(0);
    let mut last = None;
    for cut in 0..=bytes.len() {
        fs::write(state.0.join(&name), &bytes[..cut]).unwrap();
        let read = Copies::read(&state.0, None).unwrap();
        let calls = read.newest();
        let now = states(&calls).get(&1).map(|state| state[0]);
        // What was cut in the middle is one record.
        assert!(now >= last && calls.corrupt <= 1);
        last = now;
    }
    assert_eq!(last, Some(9));
}

#[test]
fn full_and_read_only_disks_are_told_and_overcome() {
    let (run, state) = (Dir::new(), Dir::new());
    let (journal, _) = open(&run.0, 5);
    let storage = Faulty::new(&state.0);
    let (refusal, room) = (storage.refusal.clone(), storage.room.clone());
    let mut disk = disk(storage, None);
    let status = disk.status();
    put(&journal, 1, b"a");
    disk.turn(&journal, SECOND);
    assert_eq!(status.health(SECOND), Health::Fine);
    // Full in the middle of a record: what was there stays, and is whole.
    room.store(70, Ordering::Relaxed);
    put(&journal, 1, &[b'b'; 300]);
    let wait = disk.turn(&journal, 3 * SECOND);
    assert_eq!((wait, status.errors()), (Duration::from_secs(1), 1));
    assert!(matches!(status.health(3 * SECOND), Health::Failing(_)));
    let read = Copies::read(&state.0, None).unwrap();
    assert_eq!(states(&read.newest())[&1], b"a");
    // Still full: the new file goes, and the pauses get longer.
    assert_eq!(
        disk.turn(&journal, 3 * SECOND + 1),
        Duration::from_nanos(SECOND - 1)
    );
    assert_eq!(disk.turn(&journal, 4 * SECOND), Duration::from_secs(2));
    assert_eq!(files(&state.0).len(), 1);
    room.store(u64::MAX, Ordering::Relaxed);
    *refusal.lock().unwrap() = Some(io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(disk.turn(&journal, 6 * SECOND), Duration::from_secs(4));
    assert_eq!(status.errors(), 3);
    *refusal.lock().unwrap() = None;
    disk.turn(&journal, 10 * SECOND);
    assert_eq!(status.health(10 * SECOND), Health::Fine);
    let read = Copies::read(&state.0, None).unwrap();
    assert_eq!(states(&read.newest())[&1], [b'b'; 300]);
    assert_eq!(files(&state.0).len(), 1);
}

/// Files of two snapshots are there if the process dies before it removes the older one: a call
/// that ended in between does not come back.
#[test]
fn older_file_is_superfluous_once_the_newer_is_whole() {
    let (run, state) = (Dir::new(), Dir::new());
    let (journal, _) = open(&run.0, 5);
    let mut first = disk(Directory::new(state.0.clone()), None);
    put(&journal, 1, b"ended later");
    put(&journal, 2, b"stays");
    first.turn(&journal, SECOND);
    let old = files(&state.0).remove(0);
    journal.ended(1, &Ended::default(), 0).unwrap();
    assert_eq!(journal.turn(100_000).unwrap().forgotten, 1);
    let mut second = Disk::new(
        Directory::new(state.0.clone()),
        Policy::Every(Duration::from_secs(1)),
        None,
        Writer {
            version: String::new(),
            boot_id: [0; 16],
            epoch: 2,
        },
        chance(6),
        4,
    );
    second.turn(&journal, 2 * SECOND);
    let new = files(&state.0).remove(0);
    assert!(new.0 > old.0);
    fs::write(state.0.join(&old.0), &old.1).unwrap();
    let whole = Copies::read(&state.0, None).unwrap();
    assert_eq!(states(&whole.newest()).keys().collect::<Vec<_>>(), [&2]);
    // Without the end of its snapshot the newer one does not stand alone.
    fs::write(state.0.join(&new.0), &new.1[..new.1.len() - 128]).unwrap();
    let half = Copies::read(&state.0, None).unwrap();
    assert!(states(&half.newest()).contains_key(&1));
}

/// A storage whose syncs wait.
struct Hanging {
    inner: Directory,
    hangs: Arc<AtomicBool>,
    entered: mpsc::Sender<()>,
    release: mpsc::Receiver<()>,
}

impl Storage for Hanging {
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.inner.create(name)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.hangs.load(Ordering::Acquire) {
            self.entered.send(()).unwrap();
            let _ = self.release.recv();
        }
        self.inner.sync()
    }

    fn keep_only(&mut self, name: &str) -> io::Result<()> {
        self.inner.keep_only(name)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}

#[test]
fn hanging_disk_keeps_nobody_waiting() {
    let (run, state) = (Dir::new(), Dir::new());
    let (journal, _) = open(&run.0, 5);
    let journal = Arc::new(journal);
    let hangs = Arc::new(AtomicBool::new(true));
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let storage = Hanging {
        inner: Directory::new(state.0.clone()),
        hangs: hangs.clone(),
        entered,
        release: released,
    };
    put(&journal, 1, b"before");
    let running = disk(storage, None).run(journal.clone()).unwrap();
    has_entered.recv().unwrap();
    // Appends go on while the disk hangs, far past what it has taken.
    for round in 0..10_000u64 {
        put(&journal, 1, &round.to_le_bytes());
    }
    let now = crate::now(&[0; 16]).boot_ns + 10 * SECOND;
    assert!(matches!(running.status().health(now), Health::Hanging(_)));
    assert!(
        !running
            .status()
            .wait(journal.position(), Duration::from_millis(1))
    );
    hangs.store(false, Ordering::Release);
    drop(release);
    let is_synced = running
        .status()
        .wait(journal.position(), Duration::from_secs(60));
    assert!(is_synced || running.status().synced() > 0);
    assert!(running.stop(Duration::from_secs(60)));
    let read = Copies::read(&state.0, None).unwrap();
    assert_eq!(states(&read.newest())[&1], 9999u64.to_le_bytes());
}

#[test]
fn always_has_it_on_disk_before_the_reply() {
    let (run, state) = (Dir::new(), Dir::new());
    let (journal, _) = open(&run.0, 5);
    let journal = Arc::new(journal);
    let mut always = disk(Directory::new(state.0.clone()), None);
    always.set_policy(Policy::Always);
    let running = always.run(journal.clone()).unwrap();
    for round in 0..50u64 {
        put(&journal, 1, &round.to_le_bytes());
        assert!(
            running
                .status()
                .wait(journal.position(), Duration::from_secs(60))
        );
        let read = Copies::read(&state.0, None).unwrap();
        assert_eq!(states(&read.newest())[&1], round.to_le_bytes());
    }
    assert!(running.stop(Duration::from_secs(60)));
}

/// What a follower has taken, the newest of each call.
#[derive(Default)]
struct Taken {
    calls: BTreeMap<u64, (u64, Kind)>,
    snapshots: usize,
}

impl Sink for Taken {
    fn begin(&mut self) {
        self.calls.clear();
        self.snapshots += 1;
    }

    fn record(&mut self, header: &Header, _body: &[u8]) {
        let newest = self.calls.entry(header.call).or_insert((0, header.kind));
        if header.number >= newest.0 {
            *newest = (header.number, header.kind);
        }
    }

    fn end(&mut self, _position: u64) {}
}

#[test]
fn follower_that_sleeps_begins_again() {
    let run = Dir::new();
    let (journal, _) = open(&run.0, 5);
    let (mut follower, mut taken) = (Follower::default(), Taken::default());
    put(&journal, 1, b"x");
    follower.pull(&journal, 100, &mut taken);
    put(&journal, 2, b"y");
    assert!(follower.lag(&journal) > 0);
    assert_eq!(follower.pull(&journal, 100, &mut taken), 1);
    assert_eq!((taken.snapshots, follower.lag(&journal)), (1, 0));
    for round in 0..100 {
        put(&journal, 3, &[0; 1_000_000]);
        journal.turn(round).unwrap();
    }
    while follower.pull(&journal, 100, &mut taken) > 0 {}
    assert_eq!(taken.snapshots, 2);
    assert!(
        [1, 2, 3]
            .iter()
            .all(|call| taken.calls[call].1 == Kind::Call)
    );
    assert_eq!(follower.lag(&journal), 0);
}

#[test]
fn key_file_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let path = dir.0.join("key");
    fs::write(&path, [1; 32]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(StateKey::read(&path), Err(KeyError::Mode(0o640))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(StateKey::read(&path).is_ok());
    fs::write(&path, [1; 31]).unwrap();
    assert!(matches!(StateKey::read(&path), Err(KeyError::Size(31))));
    fs::write(&path, [1; 5000]).unwrap();
    assert!(matches!(StateKey::read(&path), Err(KeyError::Size(_))));
    assert_eq!(format!("{:?}", key(1)), "StateKey(…)");
}
