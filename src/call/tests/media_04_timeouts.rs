//! Why calls end by themselves, and who is told (media-behaviour §4).

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use windlass_ng::Dict;

use super::{Bench, answer, audio, offer};
use crate::call::{EndReason, EndedCall, Forwarding, Observer, Timeouts, Whose};
use crate::observe::cdr::{TagType, Termination};

#[derive(Default)]
struct Told(Mutex<Vec<EndedCall>>);

impl Observer for Told {
    fn call_ended(&self, ended: &EndedCall) {
        self.0.lock().unwrap().push(ended.clone());
    }
}

fn observed(timeouts: Timeouts) -> (Bench, Arc<Told>) {
    let told = Arc::new(Told::default());
    let bench = Bench::new().observed(told.clone());
    bench.calls.set_timeouts(timeouts);
    (bench, told)
}

/// Distinct times, so that each can only be itself.
const TIMEOUTS: Timeouts = Timeouts {
    media: Duration::from_secs(10),
    silent: Duration::from_secs(20),
    offer: Duration::from_secs(30),
    total: Some(Duration::from_secs(40)),
    delete_delay: Duration::from_secs(5),
};

const CALLER: &str = "198.51.100.2";
const CALLEE: &str = "198.51.100.7";

/// A packet comes on every stream.
fn hear(bench: &Bench) {
    let clock = bench.books.packet_clock_ms();
    for (_, lease) in bench.books.flows.lock().unwrap().values() {
        lease.stats().last_packet_ms.store(clock + 1, Relaxed);
    }
}

/// Seconds until the call is over, and why it was; `each_second` happens meanwhile.
fn end(bench: &mut Bench, told: &Told, each_second: impl Fn(&Bench)) -> (u64, EndReason) {
    for second in 1..=100 {
        bench.wait(1);
        if let Some(ended) = told.0.lock().unwrap().last() {
            return (second, ended.reason);
        }
        each_second(bench);
    }
    panic!("the call lasts for ever");
}

#[test]
fn every_reason_has_its_time() {
    let quiet = |_: &Bench| {};
    for (hold, answered, each_second, expected) in [
        ("", true, quiet as fn(&Bench), (10, EndReason::Timeout)),
        ("a=inactive\n", true, quiet, (20, EndReason::SilentTimeout)),
        ("", false, quiet, (30, EndReason::OfferTimeout)),
        ("", true, hear, (40, EndReason::FinalTimeout)),
    ] {
        let (mut bench, told) = observed(TIMEOUTS);
        bench.ask(offer(&audio(CALLER, 4000, hold)));
        if answered {
            bench.ask(answer(&audio(CALLEE, 5000, hold)));
        }
        assert_eq!(end(&mut bench, &told, each_second), expected);
        let told = told.0.lock().unwrap();
        let terminations = told[0].record.parties.iter().map(|party| party.termination);
        let expected = match expected.1 {
            EndReason::Timeout => Termination::Timeout,
            EndReason::SilentTimeout => Termination::SilentTimeout,
            EndReason::OfferTimeout => Termination::OfferTimeout,
            _ => Termination::FinalTimeout,
        };
        assert!(terminations.eq(told[0].record.parties.iter().map(|_| expected)));
    }
}

#[test]
fn signalling_counts_as_activity() {
    let (mut bench, told) = observed(TIMEOUTS);
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.ask(answer(&audio(CALLEE, 5000, "")));
    bench.wait(8);
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.ask(answer(&audio(CALLEE, 5000, "")));
    assert_eq!(end(&mut bench, &told, |_| {}), (10, EndReason::Timeout));
}

#[test]
fn one_party_on_hold_does_not_keep_the_call_of_a_silent_one() {
    let (mut bench, told) = observed(TIMEOUTS);
    bench.ask(offer(&audio(CALLER, 4000, "a=sendonly\n")));
    bench.ask(answer(&audio(CALLEE, 5000, "a=recvonly\n")));
    assert_eq!(end(&mut bench, &told, |_| {}), (10, EndReason::Timeout));
}

#[test]
fn deletion_and_the_operator_have_reasons_of_their_own() {
    let (mut bench, told) = observed(TIMEOUTS);
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.ask(
        Dict::new()
            .with("command", "delete")
            .with("call-id", "call"),
    );
    assert_eq!(bench.flows(), 4, "media flows until the delay is over");
    assert_eq!(end(&mut bench, &told, |_| {}), (5, EndReason::Regular));
    let (mut bench, told) = observed(TIMEOUTS);
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.calls.end_those(Whose::All, bench.now);
    assert_eq!(told.0.lock().unwrap()[0].reason, EndReason::Forced);
}

#[test]
fn of_foreign_calls_only_the_final_time_counts_and_nobody_is_told() {
    let (mut bench, told) = observed(TIMEOUTS);
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.ask(answer(&audio(CALLEE, 5000, "")));
    bench.calls.hand_over_all();
    bench.wait(39);
    assert_eq!(bench.calls.foreign_count(), 1);
    bench.wait(1);
    assert_eq!((bench.calls.count(), bench.calls.foreign_count()), (0, 0));
    assert_eq!(told.0.lock().unwrap().len(), 0);
}

#[test]
fn after_a_take_over_the_times_begin_anew() {
    let (mut bench, told) = observed(TIMEOUTS);
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.ask(answer(&audio(CALLEE, 5000, "")));
    bench.calls.hand_over_all();
    bench.wait(15);
    bench.calls.take_over_all(bench.now);
    assert_eq!(end(&mut bench, &told, |_| {}), (10, EndReason::Timeout));
}

#[test]
fn the_next_offer_or_answer_makes_a_foreign_call_ours() {
    for signal in [
        offer(&audio(CALLER, 4000, "")),
        answer(&audio(CALLEE, 5000, "")),
    ] {
        let (mut bench, told) = observed(TIMEOUTS);
        bench.ask(offer(&audio(CALLER, 4000, "")));
        bench.ask(answer(&audio(CALLEE, 5000, "")));
        bench.calls.hand_over_all();
        bench.ask(signal);
        assert_eq!(
            (bench.calls.own_count(), bench.calls.foreign_count()),
            (1, 0)
        );
        bench.calls.end_those(Whose::Foreign, bench.now);
        assert_eq!(bench.calls.count(), 1);
        bench.calls.end_those(Whose::Own, bench.now);
        assert_eq!(told.0.lock().unwrap().len(), 1);
    }
}

#[test]
fn the_call_back_goes_to_whom_the_proxy_names_or_to_the_proxy() {
    for (named, expected) in [(None, "127.0.0.1"), (Some("192.0.2.9"), "192.0.2.9")] {
        let (mut bench, told) = observed(TIMEOUTS);
        let request = offer(&audio(CALLER, 4000, ""));
        bench.ask(request.with_some("xmlrpc-callback", named));
        bench.ask(answer(&audio(CALLEE, 5000, "")));
        end(&mut bench, &told, |_| {});
        let told = told.0.lock().unwrap();
        assert_eq!(told[0].callback.to_string(), expected);
    }
}

#[test]
fn every_fork_is_a_pair() {
    let (mut bench, told) = observed(TIMEOUTS);
    bench.ask(offer(&audio(CALLER, 4000, "")).with("via-branch", "b1"));
    bench.ask(answer(&audio(CALLEE, 5000, "")).with("via-branch", "b1"));
    bench.ask(offer(&audio(CALLER, 4000, "")).with("via-branch", "b2"));
    let second = Dict::new()
        .with("command", "answer")
        .with("call-id", "call")
        .with("from-tag", "F")
        .with("to-tag", "U")
        .with("via-branch", "b2")
        .with("sdp", audio("198.51.100.8", 6000, "").replace('\n', "\r\n"));
    bench.ask(second);
    end(&mut bench, &told, |_| {});
    let told = told.0.lock().unwrap();
    let record = &told[0].record;
    assert_eq!(record.dialogues(), [("F", "T"), ("F", "U")]);
    let callers = record.parties.iter();
    let callers = callers.filter(|party| party.local_tag_type == TagType::From);
    assert_eq!(callers.count(), 1);
}

#[test]
fn medias_without_a_port_last_as_long_as_silent_ones() {
    let (mut bench, told) = observed(TIMEOUTS);
    bench.ask(offer(&audio(CALLER, 0, "")));
    bench.ask(answer(&audio(CALLEE, 0, "")));
    let expected = (20, EndReason::SilentTimeout);
    assert_eq!(end(&mut bench, &told, |_| {}), expected);
}

#[test]
fn a_call_without_a_media_ends_by_age_alone_and_never_lives_for_ever() {
    for (total, expected) in [
        (TIMEOUTS.total, (40, EndReason::FinalTimeout)),
        (None, (30, EndReason::OfferTimeout)),
    ] {
        let (mut bench, told) = observed(Timeouts { total, ..TIMEOUTS });
        let sdp = audio(CALLER, 4000, "");
        let (session, _) = sdp.split_once("m=").unwrap();
        let reply = bench.ask(offer(session));
        assert_eq!(reply.get_str("result"), Some("ok"));
        assert_eq!(end(&mut bench, &told, |_| {}), expected);
    }
}

#[test]
fn reports_keep_a_call_that_is_on_hold() {
    let (mut bench, told) = observed(Timeouts {
        total: None,
        ..TIMEOUTS
    });
    bench.ask(offer(&audio(CALLER, 4000, "a=inactive\n")));
    bench.ask(answer(&audio(CALLEE, 5000, "a=inactive\n")));
    for _ in 0..50 {
        bench.wait(1);
        hear(&bench);
    }
    assert!(told.0.lock().unwrap().is_empty());
    assert_eq!(
        end(&mut bench, &told, |_| {}),
        (20, EndReason::SilentTimeout)
    );
}

#[test]
fn one_stream_that_is_heard_keeps_the_call() {
    let (mut bench, told) = observed(Timeouts {
        total: None,
        ..TIMEOUTS
    });
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.ask(answer(&audio(CALLEE, 5000, "")));
    for _ in 0..50 {
        bench.wait(1);
        let clock = bench.books.packet_clock_ms();
        let flows = bench.books.flows.lock().unwrap();
        let (_, lease) = flows.values().next().unwrap();
        lease.stats().last_packet_ms.store(clock + 1, Relaxed);
    }
    assert!(told.0.lock().unwrap().is_empty());
}

#[test]
fn a_call_in_which_nothing_happens_is_left_alone_by_the_timers() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(CALLER, 2000, "")));
    bench.sdp(answer(&audio(CALLEE, 3000, "")));
    let awake = |bench: &Bench| {
        let clock = bench.books.packet_clock_ms();
        bench.calls.table.awake(clock).len()
    };
    assert_eq!(awake(&bench), 1);
    bench.wait(1);
    assert_eq!(awake(&bench), 0);
    // A packet.
    for (_, lease) in bench.books.flows.lock().unwrap().values() {
        lease.stats().packets_in.store(3, Relaxed);
    }
    assert_eq!(awake(&bench), 1);
    bench.wait(1);
    assert_eq!(awake(&bench), 0);
    assert_eq!(bench.calls.last_turn().whole_traffic().ingress[0], 12);
    // A command.
    bench.ask(Dict::new().with("command", "query").with("call-id", "call"));
    assert_eq!(awake(&bench), 1);
    bench.wait(1);
    assert_eq!(awake(&bench), 0);
    // What was only sent is counted within ten seconds.
    for (_, lease) in bench.books.flows.lock().unwrap().values() {
        lease.stats().packets_out.store(1, Relaxed);
    }
    for _ in 0..11 {
        bench.wait(1);
    }
    assert_eq!(bench.calls.last_turn().whole_traffic().egress[0], 4);
    // What ended is in the sums once.
    bench.ask(
        Dict::new()
            .with("command", "delete")
            .with("call-id", "call")
            .with("delete-delay", 0),
    );
    bench.wait(1);
    assert_eq!(bench.calls.last_turn().whole_traffic().ingress[0], 12);
    assert_eq!(bench.calls.last_turn().medias, 0);
    assert_eq!(bench.calls.live.sums().traffic[0].ingress[0], 0);
}
