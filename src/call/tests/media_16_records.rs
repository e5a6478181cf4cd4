//! Call detail records (media-behaviour §16).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::{Bench, answer, audio, offer};
use crate::call::{EndedCall, Observer, Whose};
use crate::media::latch::Event;

#[derive(Default)]
struct Told(Mutex<Vec<EndedCall>>);

impl Observer for Told {
    fn call_ended(&self, ended: &EndedCall) {
        self.0.lock().unwrap().push(ended.clone());
    }
}

/// The record of a call.
fn record(is_answered: bool) -> String {
    let told = Arc::new(Told::default());
    let mut bench = Bench::new().observed(told.clone());
    bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    if is_answered {
        bench.ask(answer(&audio("198.51.100.7", 5000, "")));
    }
    bench.calls.end_those(Whose::All, bench.now);
    let told = told.0.lock().unwrap();
    told[0].record.line()
}

#[test]
fn both_parties_stand_in_the_record() {
    let line = record(true);
    for part in [
        "ci=call, created_from=127.0.0.1:",
        "ml0_termination=FORCED, ml0_local_tag=F, ml0_local_tag_type=FROM_TAG, ml0_remote_tag=T, \
         payload_type=unknown, ml0_midx1_rtp_endpoint_ip=198.51.100.2, \
         ml0_midx1_rtp_endpoint_port=4000, ml0_midx1_rtp_local_relay_ip=203.0.113.1, ",
        "ml0_midx1_rtcp_endpoint_port=4001, ",
        "ml1_local_tag=T, ml1_local_tag_type=TO_TAG, ml1_remote_tag=F, ",
        "ml1_midx1_rtcp_in_tos_tclass=0, ",
    ] {
        assert!(line.contains(part), "{part}\n{line}");
    }
    assert!(line.ends_with(", "));
}

#[test]
fn a_party_that_never_answered_stands_there_without_a_tag_and_without_an_address() {
    let line = record(false);
    for part in [
        "ml0_local_tag=F, ml0_local_tag_type=FROM_TAG, ml0_remote_tag=(null), ",
        "ml1_local_tag=(null), ml1_local_tag_type=UNKNOWN, ml1_remote_tag=F, \
         payload_type=unknown, ml1_midx1_rtp_endpoint_ip=, ml1_midx1_rtp_endpoint_port=0, ",
    ] {
        assert!(line.contains(part), "{part}\n{line}");
    }
}

#[test]
fn the_rtcp_port_beside_a_mux_is_left_out() {
    let told = Arc::new(Told::default());
    let mut bench = Bench::new().observed(told.clone());
    let mux = "a=rtcp-mux\n";
    bench.ask(offer(&audio("198.51.100.2", 4000, mux)));
    bench.ask(answer(&audio("198.51.100.7", 5000, mux)));
    bench.calls.end_those(Whose::All, bench.now);
    let line = told.0.lock().unwrap()[0].record.line();
    assert!(line.contains("ml0_midx1_rtp_") && line.contains("ml1_midx1_rtp_"));
    assert!(!line.contains("_rtcp_"), "{line}");
}

#[test]
fn strangers_are_told_once_per_call_and_by_its_id() {
    let mut bench = Bench::new();
    bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    let stranger: SocketAddr = "203.0.113.66:5000".parse().unwrap();
    let (first, second) = (Event::Unexpected(stranger), Event::Contested(stranger));
    let id = windlass_ng::CallId::from("call");
    let number = bench.calls.with_call(&id, |call| call.number).unwrap();
    let told = |event| bench.calls.source_event(number, event).is_some();
    assert_eq!(
        [&first, &first, &second, &second].map(told),
        [true, false, true, false]
    );
    let settled = Event::Settled(stranger);
    let id = bench.calls.source_event(number, &settled).unwrap();
    assert_eq!(id.as_bytes(), b"call");
    assert!(bench.calls.source_event(7, &settled).is_none());
    bench.calls.end_those(Whose::All, bench.now);
    assert!(bench.calls.source_event(number, &settled).is_none());
}
