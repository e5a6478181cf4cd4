//! ng-protocol §5: recording, and `recordings` in replies.

use super::ng_12_query::int;
use super::*;
use crate::call::{RecordedSdp, Recorder};
use windlass_ng::CallId;

use crate::observe::pcap::NotRecorded;

const HOST: &str = "198.51.100.10";
const OTHER: &str = "198.51.100.20";

/// What became of recordings, in order.
#[derive(Default)]
struct Tape(Mutex<Vec<&'static str>>);

impl Tape {
    fn told(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Recorder for Tape {
    fn open(&self, _: u64, _: &CallId, _: u64, file: Option<&str>) -> Result<String, NotRecorded> {
        if file.is_some_and(|file| !file.starts_with("/recordings/")) {
            return Err(NotRecorded::Outside);
        }
        self.0.lock().unwrap().push("open");
        Ok(file.unwrap_or("/recordings/x.pcap").to_owned())
    }

    fn sdp(&self, _: u64, _: RecordedSdp<'_>) {}

    fn finish(&self, _: u64, _: Duration, _: Duration, _: Option<&str>) {
        self.0.lock().unwrap().push("finish");
    }

    fn discard(&self, _: u64) {
        self.0.lock().unwrap().push("discard");
    }
}

fn bench() -> (Bench, Arc<Tape>) {
    let tape = Arc::new(Tape::default());
    let bench = Bench::new();
    let calls = bench.calls.with_recorder(tape.clone());
    (Bench { calls, ..bench }, tape)
}

fn offered() -> Dict {
    offer(&audio(HOST, 2000, ""))
}

fn flags(flag: &str) -> Dict {
    Dict::new().with("flags", strings(&[flag]))
}

fn with(mut request: Dict, more: Dict) -> Dict {
    request.extend(more.into_entries());
    request
}

#[test]
fn replies_name_the_files() {
    let (mut bench, _) = bench();
    let file = strings(&["/recordings/x.pcap"]);
    assert!(bench.ask(offered()).get("recordings").is_none());
    let reply = bench.ask(offered().with("record-call", "yes"));
    assert_eq!(keys(&reply, ""), ["sdp", "recordings", "result"]);
    assert_eq!(reply.get("recordings"), Some(&file));
    let reply = bench.ask(answer(&audio(OTHER, 3000, "")));
    assert_eq!(reply.get("recordings"), Some(&file));
    for name in ["start recording", "pause recording", "stop recording"] {
        assert_eq!(keys(&bench.ask(command(name)), ""), ["result"]);
    }
    let publish = message("publish", &audio(OTHER, 5000, "")).with("record-call", "on");
    let reply = bench.ask(publish.with("recording-file", "/recordings/own.pcap"));
    assert_eq!(
        reply.get("recordings"),
        Some(&strings(&["/recordings/own.pcap"]))
    );
}

#[test]
fn a_file_outside_of_the_directory_is_refused_and_the_call_goes_on() {
    let (mut bench, tape) = bench();
    let outside = |dict: Dict| dict.with("recording-file", "/etc/passwd");
    let reply = bench.ask(outside(offered().with("record-call", "yes")));
    assert_eq!(keys(&reply, ""), ["sdp", "result"]);
    let reply = bench.ask(outside(command("start recording")));
    let reason = "recording-file is not in the recording directory";
    assert_eq!(reply.get("error-reason"), Some(&reason.into()));
    assert_eq!(tape.told(), [""; 0]);
}

#[test]
fn who_starts_and_who_ends_it() {
    let yes = || offered().with("record-call", "yes");
    type Step = (Dict, &'static [&'static str]);
    let rows: [Vec<Step>; 10] = [
        vec![(yes(), &["open"]), (yes(), &[])],
        vec![(with(offered(), flags("record-call")), &["open"])],
        vec![(offered().with("record-call", "YES"), &[])],
        vec![
            (yes(), &["open"]),
            (offered().with("record-call", "no"), &["finish"]),
        ],
        vec![
            (yes(), &["open"]),
            (offered().with("record-call", "discard"), &["discard"]),
        ],
        vec![
            (offered(), &[]),
            (command("start recording"), &["open"]),
            (command("start recording"), &[]),
            (command("stop recording"), &["finish"]),
            (command("stop recording"), &[]),
        ],
        vec![
            (yes(), &["open"]),
            (
                with(command("stop recording"), flags("discard-recording")),
                &["discard"],
            ),
        ],
        // Pausing keeps it open.
        vec![
            (yes(), &["open"]),
            (command("pause recording"), &[]),
            (command("start recording"), &[]),
            (command("stop recording").with("pause", "yes"), &[]),
            (with(command("stop recording"), flags("pause")), &[]),
            (command("delete").with("delete-delay", 0), &["finish"]),
        ],
        vec![
            (yes(), &["open"]),
            (
                with(
                    command("delete").with("delete-delay", 0),
                    flags("discard-recording"),
                ),
                &["discard"],
            ),
        ],
        vec![
            (yes(), &["open"]),
            (
                with(command("delete"), flags("discard-recording")),
                &["discard"],
            ),
        ],
    ];
    for row in rows {
        let (mut bench, tape) = bench();
        for (request, told) in row {
            let text = format!("{request:?}");
            assert_eq!(said(&bench.ask(request)), "ok");
            assert_eq!(tape.told(), told, "{text}");
        }
    }
}

#[test]
fn a_query_shows_it() {
    let (mut bench, _) = bench();
    let recording = |bench: &mut Bench| {
        let reply = bench.ask(command("query"));
        find(&reply, "recording")?;
        Some([
            int(&reply, "recording/call recording"),
            int(&reply, "recording/forwarding"),
            int(&reply, "tags/F/recording/excluded"),
        ])
    };
    bench.sdp(with(offered(), flags("exclude-recording")));
    assert_eq!(recording(&mut bench), None);
    bench.ask(command("start recording"));
    assert_eq!(recording(&mut bench), Some([1, 0, 1]));
    bench.ask(command("pause recording"));
    assert_eq!(recording(&mut bench), Some([0, 0, 1]));
    // An offer that asks for a recording does not go on with one that is paused.
    bench.sdp(offered().with("record-call", "yes"));
    assert_eq!(recording(&mut bench), Some([0, 0, 1]));
    bench.ask(command("start recording"));
    assert_eq!(recording(&mut bench), Some([1, 0, 1]));
    bench.ask(command("stop recording"));
    assert_eq!(recording(&mut bench), None);
}
