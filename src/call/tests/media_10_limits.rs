//! Limits for new calls (media-behaviour §10).

use windlass_ng::{Dict, Value};

use super::{Bench, answer, audio, offer};
use crate::call::Limits;
use crate::observe::load::LoadExceeded;

fn second_offer() -> Dict {
    let mut request = offer(&audio("198.51.100.2", 4000, ""));
    request.push("call-id", "second");
    request
}

fn rejected(bench: &Bench) -> Option<i64> {
    let statistics = bench.calls.statistics_dict(bench.now);
    let totals = statistics.get("totalstatistics")?.as_dict()?;
    totals.get("rejectedsessions").and_then(Value::as_int)
}

#[test]
fn at_the_limit_only_new_calls_are_refused() {
    let mut bench = Bench::new();
    bench.calls.set_limits(Limits {
        max_sessions: Some(1),
        ..Limits::default()
    });
    let accepted = bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    assert_eq!(accepted.get_str("result"), Some("ok"));
    let refused = bench.ask(second_offer());
    assert_eq!(refused.get_str("result"), Some("error"));
    assert_eq!(
        refused.get_str("error-reason"),
        Some("Parallel session limit reached")
    );
    // The call that is there goes on.
    let answered = bench.ask(answer(&audio("198.51.100.7", 5000, "")));
    assert_eq!(answered.get_str("result"), Some("ok"));
    let again = bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    assert_eq!(again.get_str("result"), Some("ok"));
    assert_eq!((bench.calls.count(), rejected(&bench)), (1, Some(1)));
}

#[test]
fn foreign_calls_are_not_counted() {
    let mut bench = Bench::new();
    bench.calls.set_limits(Limits {
        max_sessions: Some(1),
        ..Limits::default()
    });
    bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    bench.calls.hand_over_all();
    let accepted = bench.ask(second_offer());
    assert_eq!(accepted.get_str("result"), Some("ok"));
    bench.calls.take_over_all(bench.now);
    assert_eq!((bench.calls.own_count(), rejected(&bench)), (2, Some(0)));
}

#[test]
fn each_limit_is_told_to_proxies_that_know_of_limits() {
    for (exceeded, message) in [
        (LoadExceeded::Cpu, "CPU usage limit exceeded"),
        (LoadExceeded::LoadAverage, "Load limit exceeded"),
        (LoadExceeded::Bandwidth, "Bandwidth limit exceeded"),
    ] {
        let mut bench = Bench::new();
        bench.calls.set_overload(Some(exceeded));
        let limited = bench.ask(second_offer().with("supports", "load limit"));
        assert_eq!(limited.get_str("result"), Some("load limit"));
        assert_eq!(limited.get_str("message"), Some(message));
        let refused = bench.ask(second_offer());
        assert_eq!(
            refused.get_str("error-reason"),
            Some("Parallel session limit reached"),
            "others only know this one"
        );
        // Only the limit of sessions counts as a rejection.
        assert_eq!((bench.calls.count(), rejected(&bench)), (0, Some(0)));
        bench.calls.set_overload(None);
        assert_eq!(bench.ask(second_offer()).get_str("result"), Some("ok"));
    }
}

#[test]
fn no_session_at_all_is_a_limit_too() {
    let mut bench = Bench::new();
    bench.calls.set_limits(Limits {
        max_sessions: Some(0),
        ..Limits::default()
    });
    let limited = bench.ask(second_offer().with("supports", "load limit"));
    assert_eq!(
        limited.get_str("message"),
        Some("Parallel session limit reached")
    );
}

#[test]
fn limits_are_for_offers_alone() {
    let mut bench = Bench::new();
    bench.calls.set_limits(Limits {
        max_sessions: Some(0),
        ..Limits::default()
    });
    let mut publish = second_offer();
    publish.push("command", "publish");
    assert_eq!(bench.ask(publish).get_str("result"), Some("ok"));
    assert_eq!((bench.calls.count(), rejected(&bench)), (1, Some(0)));
}
