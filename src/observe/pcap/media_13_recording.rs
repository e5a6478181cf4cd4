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

    fn recorder(&self, queue_packets: usize) -> Recorder {
        let options = RecorderOptions {
            queue_packets,
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
    let recorder = directory.recorder(100);
    let recording = recorder.open(b"a@b", 0xabc, None);
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
    let recorder = directory.recorder(100);
    let recording = recorder.open(b"a", 1, None);
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
    let recorder = directory.recorder(100);
    let recording = recorder.open(b"a", 1, None);
    send(&recording, b"x");
    drop(recording);
    let running = recorder.open(b"b", 2, None);
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
    let recorder = directory.recorder(0);
    let recording = recorder.open(b"a", 1, None);
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
    let recorder = directory.recorder(100);
    let file = directory.0.join("chosen.pcap");
    fs::write(&file, vec![0; 5000]).unwrap();
    let recording = recorder.open(b"a", 1, Some(&file));
    assert_eq!(recording.file(), file);
    send(&recording, b"x");
    recording.finish(ending());
    drop(recorder);
    assert_eq!(fs::read(&file).unwrap().len(), 24 + 16 + 28 + 1);
    assert!(directory.files("pcaps").is_empty());
}

#[test]
fn a_full_disk_is_counted_and_stops_nothing() {
    let directory = Directory::new("disk");
    let recorder = directory.recorder(100);
    let shared = Arc::clone(&recorder.queue.shared);
    let failing = recorder.open(b"a", 1, Some(Path::new("/dev/full")));
    send(&failing, b"x");
    failing.finish(ending());
    let nowhere = recorder.open(b"b", 2, Some(&directory.0.join("none/b.pcap")));
    send(&nowhere, b"x");
    nowhere.discard();
    let good = recorder.open(b"c", 3, None);
    send(&good, b"x");
    good.finish(ending());
    drop(recorder);
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((read(&shared.errors), read(&shared.lost)), (2, 2));
    assert_eq!(read(&shared.written), 1);
    // The metadata of a recording without packets is put in place all the same.
    assert_eq!(directory.files("metadata").len(), 2);
}

#[test]
fn a_name_that_exists_is_not_overwritten() {
    let directory = Directory::new("exists");
    let recorder = directory.recorder(100);
    let shared = Arc::clone(&recorder.queue.shared);
    let pcap = directory.0.join("pcaps/a-0000000000000001.pcap");
    fs::write(&pcap, b"before").unwrap();
    recorder.open(b"a", 1, None).finish(ending());
    recorder.open(b"a", 1, None).discard();
    drop(recorder);
    assert_eq!(fs::read(&pcap).unwrap(), b"before");
    assert_eq!(shared.errors.load(Ordering::Relaxed), 2);
}
