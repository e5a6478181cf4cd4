//! Recordings on a real disk, in a directory that goes away again.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

/// A directory of one test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let name = format!("windlass-pcap-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn recorder(&self) -> Recorder {
        self.limited(RecorderOptions::default().limits)
    }

    fn limited(&self, limits: RecorderLimits) -> Recorder {
        let options = RecorderOptions {
            limits,
            ..RecorderOptions::default()
        };
        Recorder::start(&self.0, options).unwrap()
    }

    fn files(&self, sub: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(sub)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn send(recording: &Recording, payload: &[u8]) {
    let source = "198.51.100.2:4000".parse().unwrap();
    let destination = "203.0.113.1:30000".parse().unwrap();
    recording.packet(at(1), source, destination, payload);
}

fn sdp(mode: SdpMode) -> SdpEntry {
    SdpEntry {
        label: None,
        started: at(1),
        mode,
        body: b"v=0\r\n".to_vec(),
    }
}

fn ending() -> Ending {
    Ending {
        terminated: at(60),
        call_start: at(0),
        call_end: at(60),
        metadata: b"m=1".to_vec(),
    }
}

#[test]
fn a_recording_is_a_pcap_and_its_metadata() {
    let directory = Directory::new("whole");
    let recorder = directory.recorder();
    let recording = recorder.open(b"a@b", 0xabc, None).unwrap();
    let expected = directory.0.join("pcaps/a%40b-0000000000000abc.pcap");
    assert_eq!(recording.file(), expected);
    recording.sdp(sdp(SdpMode::Offer));
    let from_data_plane = recording.clone();
    let thread = std::thread::spawn(move || {
        send(&from_data_plane, b"first");
        send(&from_data_plane, b"second");
    });
    thread.join().unwrap();
    recording.sdp(sdp(SdpMode::Answer));
    recording.finish(ending());
    send(&recording, b"late");
    recording.finish(ending());
    let shared = Arc::clone(&recorder.queue.shared);
    drop(recorder);

    let pcap = fs::read(&expected).unwrap();
    assert_eq!(pcap.len(), 24 + 2 * (16 + 28) + 5 + 6);
    assert!(pcap.ends_with(b"second"));
    assert_eq!(shared.written.load(Ordering::Relaxed), 2);
    assert_eq!(shared.waiting.load(Ordering::Relaxed), 0);
    assert!(directory.files("tmp").is_empty());
    let name = "rtpengine-meta-a%40b-0000000000000abc.txt";
    assert_eq!(directory.files("metadata"), [name]);
    let text = fs::read_to_string(directory.0.join("metadata").join(name)).unwrap();
    let expected = format!(
        "{}\n\n\
         \nTimestamp started ms: 1000.000\nSDP mode: offer\nSDP before RTP packet: 1\n\nv=0\r\n\
         \nTimestamp started ms: 1000.000\nSDP mode: answer\nSDP before RTP packet: 3\n\nv=0\r\n\
         \nTimestamp terminated ms(first monologue): 60000.000\n\n\
         call start time: 1970-01-01T00:00:00\ncall end time: 1970-01-01T00:01:00\n\n\nm=1\n",
        expected.display()
    );
    assert_eq!(text, expected);
}

#[test]
fn a_discarded_recording_leaves_nothing() {
    let directory = Directory::new("discard");
    let recorder = directory.recorder();
    let recording = recorder.open(b"a", 1, None).unwrap();
    send(&recording, b"x");
    recording.discard();
    recording.finish(ending());
    drop(recorder);
    for sub in ["pcaps", "tmp", "metadata"] {
        assert!(directory.files(sub).is_empty(), "{sub}");
    }
}

#[test]
fn a_recording_that_is_forgotten_stays_in_tmp() {
    let directory = Directory::new("forgotten");
    let recorder = directory.recorder();
    let recording = recorder.open(b"a", 1, None).unwrap();
    send(&recording, b"x");
    drop(recording);
    let running = recorder.open(b"b", 2, None).unwrap();
    drop(recorder);
    // The writer is gone; nothing waits for it and nothing fails.
    send(&running, b"x");
    running.finish(ending());
    assert_eq!(directory.files("tmp").len(), 2);
    assert!(directory.files("metadata").is_empty());
    let pcap = directory.0.join("pcaps/a-0000000000000001.pcap");
    assert_eq!(fs::read(pcap).unwrap().len(), 24 + 16 + 28 + 1);
}

#[test]
fn packets_beyond_the_queue_are_dropped_and_counted() {
    let directory = Directory::new("full");
    let recorder = directory.limited(RecorderLimits {
        queue_bytes: 0,
        ..RecorderOptions::default().limits
    });
    let recording = recorder.open(b"a", 1, None).unwrap();
    for _ in 0..3 {
        send(&recording, b"x");
    }
    recording.finish(ending());
    let expected = RecorderCounters {
        dropped: 3,
        ..RecorderCounters::default()
    };
    assert_eq!(recorder.counters(), expected);
    drop(recorder);
    assert_eq!(directory.files("metadata").len(), 1);
}

#[test]
fn a_chosen_file_takes_the_packets() {
    let directory = Directory::new("chosen");
    let recorder = directory.recorder();
    let file = directory.0.join("chosen.pcap");
    for chosen in [file.as_path(), Path::new("pcaps/relative.pcap")] {
        let recording = recorder.open(b"a", 1, Some(chosen)).unwrap();
        assert_eq!(recording.file(), directory.0.join(chosen));
        send(&recording, b"x");
        recording.discard();
    }
    let recording = recorder.open(b"a", 2, Some(&file)).unwrap();
    send(&recording, b"x");
    recording.finish(ending());
    drop(recorder);
    assert_eq!(fs::read(&file).unwrap().len(), 24 + 16 + 28 + 1);
    assert!(directory.files("pcaps").is_empty());
}

#[test]
fn nothing_outside_of_the_directory_is_written_or_removed() {
    let directory = Directory::new("outside");
    let other = Directory::new("outside-other");
    fs::create_dir_all(&other.0).unwrap();
    let precious = other.0.join("precious");
    fs::write(&precious, b"precious").unwrap();
    let recorder = directory.recorder();
    let back = directory.0.join("..").join(other.0.file_name().unwrap());
    for outside in [
        precious.clone(),
        other.0.join("new.pcap"),
        back.join("precious"),
        directory.0.join("pcaps/../../x"),
        directory.0.clone(),
        PathBuf::from("../x.pcap"),
        PathBuf::from("/dev/full"),
    ] {
        let refused = recorder.open(b"a", 1, Some(&outside)).unwrap_err();
        assert_eq!(refused, NotRecorded::Outside, "{}", outside.display());
    }
    // Links inside of the directory lead nowhere either.
    std::os::unix::fs::symlink(&other.0, directory.0.join("dir")).unwrap();
    std::os::unix::fs::symlink(&precious, directory.0.join("link.pcap")).unwrap();
    let shared = Arc::clone(&recorder.queue.shared);
    for (random, linked) in [(1, "dir/precious"), (2, "dir/new.pcap"), (3, "link.pcap")] {
        let recording = recorder
            .open(b"a", random, Some(Path::new(linked)))
            .unwrap();
        send(&recording, b"x");
        recording.discard();
    }
    drop(recorder);
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&other.0).unwrap().count(), 1);
    assert_eq!(shared.errors.load(Ordering::Relaxed), 3);
    assert_eq!(shared.lost.load(Ordering::Relaxed), 3);
}

#[test]
fn an_existing_file_is_neither_overwritten_nor_removed() {
    let directory = Directory::new("taken");
    let recorder = directory.recorder();
    let file = directory.0.join("taken.pcap");
    fs::write(&file, b"before").unwrap();
    let recording = recorder.open(b"a", 1, Some(&file)).unwrap();
    send(&recording, b"x");
    recording.discard();
    drop(recorder);
    assert_eq!(fs::read(&file).unwrap(), b"before");
}

#[test]
fn a_recording_ends_at_its_bytes_and_where_the_disk_is_full() {
    let limits = RecorderOptions::default().limits;
    let record = 16 + 28 + 100;
    let rows = [
        (
            RecorderLimits {
                file_bytes: 3 * record,
                ..limits
            },
            3,
        ),
        (
            RecorderLimits {
                free_bytes: u64::MAX,
                ..limits
            },
            0,
        ),
    ];
    for (number, (limits, kept)) in rows.into_iter().enumerate() {
        let directory = Directory::new(&format!("quota-{number}"));
        let recorder = directory.limited(limits);
        let shared = Arc::clone(&recorder.queue.shared);
        let recording = recorder.open(b"a", 1, None).unwrap();
        for _ in 0..5 {
            send(&recording, &[0; 100]);
        }
        let file = recording.file().to_path_buf();
        recording.finish(ending());
        drop(recorder);
        assert_eq!(fs::read(file).unwrap().len() as u64, 24 + kept * record);
        assert_eq!(shared.lost.load(Ordering::Relaxed), 5 - kept);
        assert_eq!(shared.waiting.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_file_that_cannot_be_made_is_counted_and_stops_nothing() {
    let directory = Directory::new("disk");
    let recorder = directory.recorder();
    let shared = Arc::clone(&recorder.queue.shared);
    let nowhere = recorder
        .open(b"b", 2, Some(&directory.0.join("none/b.pcap")))
        .unwrap();
    send(&nowhere, b"x");
    nowhere.finish(ending());
    let good = recorder.open(b"c", 3, None).unwrap();
    send(&good, b"x");
    good.finish(ending());
    drop(recorder);
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((read(&shared.errors), read(&shared.lost)), (1, 1));
    assert_eq!(read(&shared.written), 1);
    // The metadata of a recording without packets is put in place all the same.
    assert_eq!(directory.files("metadata").len(), 2);
}

#[test]
fn a_name_that_exists_is_not_overwritten() {
    let directory = Directory::new("exists");
    let recorder = directory.recorder();
    let shared = Arc::clone(&recorder.queue.shared);
    let pcap = directory.0.join("pcaps/a-0000000000000001.pcap");
    fs::write(&pcap, b"before").unwrap();
    recorder.open(b"a", 1, None).unwrap().finish(ending());
    recorder.open(b"a", 1, None).unwrap().discard();
    drop(recorder);
    assert_eq!(fs::read(&pcap).unwrap(), b"before");
    assert_eq!(shared.errors.load(Ordering::Relaxed), 2);
}
