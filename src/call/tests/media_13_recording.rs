//! What stands beside a recording (media-behaviour §13).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use windlass_ng::CallId;

use crate::observe::pcap::NotRecorded;

use super::{Bench, answer, audio, command, offer};
use crate::call::{RecordedSdp, Recorder};

/// An SDP as it was told: its label, whether it was an offer, when its author began, its text.
type Told = (Option<String>, bool, Duration, String);

#[derive(Default)]
struct Notes(Mutex<Vec<Told>>);

impl Recorder for Notes {
    fn open(&self, _: u64, _: &CallId, _: u64, _: Option<&str>) -> Result<String, NotRecorded> {
        Ok("/recordings/x.pcap".to_owned())
    }

    fn sdp(&self, _: u64, sdp: RecordedSdp<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let told = (sdp.label.map(text), sdp.is_offer, sdp.at, text(sdp.body));
        self.0.lock().unwrap().push(told);
    }

    fn finish(&self, _: u64, _: Duration, _: Duration, _: Option<&str>) {}

    fn discard(&self, _: u64) {}
}

#[test]
fn each_sdp_stands_there_as_it_went_out_with_who_sent_it_and_when_that_began() {
    let notes = Arc::new(Notes::default());
    let bench = Bench::new();
    let calls = bench.calls.with_recorder(notes.clone());
    let mut bench = Bench { calls, ..bench };
    let began = bench.now.unix;
    let offered = offer(&audio("198.51.100.2", 4000, ""))
        .with("record-call", "yes")
        .with("label", "caller");
    let offered = bench.ask(offered);
    bench.wait(7);
    let answered = bench.ask(answer(&audio("198.51.100.7", 5000, "")));
    let sent = |reply: &windlass_ng::Dict| reply.get_str("sdp").unwrap().to_owned();
    let told = notes.0.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            (Some("caller".to_owned()), true, began, sent(&offered)),
            // The callee began with the offer.
            (None, false, began, sent(&answered)),
        ]
    );
}

#[test]
fn what_was_said_before_a_recording_is_not_in_it() {
    let notes = Arc::new(Notes::default());
    let bench = Bench::new();
    let calls = bench.calls.with_recorder(notes.clone());
    let mut bench = Bench { calls, ..bench };
    bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    bench.ask(answer(&audio("198.51.100.7", 5000, "")));
    bench.ask(command("start recording"));
    assert!(notes.0.lock().unwrap().is_empty());
    bench.ask(offer(&audio("198.51.100.2", 4000, "")).with("to-tag", "T"));
    assert_eq!(notes.0.lock().unwrap().len(), 1);
}
