//! Calls that become one (ng-protocol §5, `connect` with `to-call-id`).

use super::*;
use crate::call::{RecordedSdp, Recorder, Whose};
use windlass_ng::CallId;

use crate::observe::pcap::NotRecorded;

/// Numbers of the calls whose recordings are finished.
#[derive(Default)]
struct Finished(Mutex<Vec<u64>>);

impl Recorder for Finished {
    fn open(&self, call: u64, _: &CallId, _: u64, _: Option<&str>) -> Result<String, NotRecorded> {
        Ok(format!("/recordings/{call}"))
    }

    fn sdp(&self, _: u64, _: RecordedSdp<'_>) {}

    fn finish(&self, call: u64, _: Duration, _: Duration, _: Option<&str>) {
        self.0.lock().unwrap().push(call);
    }

    fn discard(&self, _: u64) {}
}

#[test]
fn the_recording_of_a_call_ends_where_it_is_merged_into_another() {
    let finished = Arc::new(Finished::default());
    let bench = Bench::new();
    let mut bench = Bench {
        calls: bench.calls.with_recorder(finished.clone()),
        ..bench
    };
    for (id, from, to) in [("one", "A", "B"), ("two", "C", "D")] {
        let request = |command: &'static str, port| {
            Dict::new()
                .with("command", command)
                .with("call-id", id)
                .with("from-tag", from)
                .with(
                    "sdp",
                    audio("198.51.100.10", port, "").replace('\n', "\r\n"),
                )
        };
        bench.sdp(request("offer", 2000).with("record-call", "on"));
        bench.sdp(request("answer", 3000).with("to-tag", to));
    }
    let connect = Dict::new()
        .with("command", "connect")
        .with("call-id", "one")
        .with("from-tag", "A")
        .with("to-call-id", "two")
        .with("to-tag", "D");
    let reply = bench.ask(connect);
    assert_eq!(reply.get_str("result"), Some("ok"), "{reply:?}");
    assert_eq!(*finished.0.lock().unwrap(), [2]);
    bench.calls.end_those(Whose::All, bench.now);
    assert_eq!(*finished.0.lock().unwrap(), [2, 1]);
    assert_eq!((bench.leased(), bench.flows()), (0, 0));
}
