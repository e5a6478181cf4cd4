//! ng-protocol §11: which party a `delete` takes out, when, and what it says.

use super::ng_10_offer_answer::{HOST, OTHER, answer_of, branch};
use super::*;

#[test]
fn one_branch_is_deleted_and_the_rest_stays() {
    let mut bench = Bench::new();
    let sdp = audio(HOST, 2000, "");
    for name in ["b1", "b2"] {
        bench.sdp(branch(offer(&sdp), name));
    }
    bench.sdp(branch(answer_of("T2", &audio(OTHER, 3000, "")), "b2"));
    let delete = Dict::new()
        .with("command", "delete")
        .with("call-id", "call")
        .with("from-tag", "F")
        .with("via-branch", "b1")
        .with("delete-delay", Value::Int(0));
    let reply = bench.ask(delete);
    let described = reply.get("tags").unwrap().as_dict().unwrap();
    let described: Vec<_> = described
        .iter()
        .map(|(tag, _)| tag.escape_ascii().to_string())
        .collect();
    assert_eq!(described, ["F", "T2"]);
    assert_eq!(bench.leased(), 4);
    assert_eq!(bench.calls.count(), 1);
}

#[test]
fn either_tag_of_a_call_of_two_deletes_it() {
    for tag in ["F", "T"] {
        let mut bench = Bench::new();
        bench.sdp(offer(&audio(HOST, 2000, "")));
        bench.sdp(answer(&audio(OTHER, 3000, "")));
        let delete = Dict::new()
            .with("command", "delete")
            .with("call-id", "call")
            .with("from-tag", tag)
            .with("delete-delay", "0");
        let reply = bench.ask(delete);
        assert_eq!(reply.get("tags").unwrap().as_dict().unwrap().len(), 2);
        assert_eq!((bench.leased(), bench.calls.count()), (0, 0));
    }
}

#[test]
fn an_unknown_tag_or_call_is_a_warning_or_with_fatal_an_error() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    let warning = Some("Call-ID not found or tags didn't match");
    for (call, tag) in [("nobody", "F"), ("call", "X")] {
        let delete = || {
            Dict::new()
                .with("command", "delete")
                .with("call-id", call)
                .with("from-tag", tag)
        };
        let reply = bench.ask(delete());
        assert_eq!(
            (reply.get_str("result"), reply.get_str("warning")),
            (Some("ok"), warning)
        );
        let reply = bench.ask(delete().with("flags", strings(&["fatal"])));
        assert_eq!(reply.get_str("error-reason"), warning);
    }
    assert_eq!(bench.calls.count(), 1);
}

/// Two forks of one offer, both answered.
fn forked() -> Bench {
    let mut bench = Bench::new();
    for name in ["b1", "b2"] {
        bench.sdp(branch(offer(&audio(HOST, 2000, "")), name));
    }
    for (tag, name) in [("T1", "b1"), ("T2", "b2")] {
        bench.sdp(branch(answer_of(tag, &audio(OTHER, 3000, "")), name));
    }
    bench
}

#[test]
fn the_party_that_is_taken_out() {
    const NONE: &str = "Call-ID not found or tags didn't match";
    let text = |key: &'static str, value: &'static str| (key, Value::from(value));
    let from = || text("from-tag", "F");
    let honoured = || ("flags", strings(&["to-tag"]));
    // What is said, the tags in the reply, and ports of the call that are left: two a party.
    type Row = (
        Vec<(&'static str, Value)>,
        &'static str,
        &'static [&'static str],
        usize,
    );
    let rows: [Row; 15] = [
        // Without a from-tag it is the call, whatever else is said.
        (vec![], "ok", &["F", "T1", "T2"], 0),
        (
            vec![text("to-tag", "T1"), text("via-branch", "b1")],
            "ok",
            &["F", "T1", "T2"],
            0,
        ),
        (
            vec![text("to-tag", "T1"), text("via-branch", "b1"), honoured()],
            "ok",
            &["F", "T1", "T2"],
            0,
        ),
        // The branch goes before the from-tag; one that is not known does not count.
        (
            vec![from(), text("via-branch", "b1")],
            "ok",
            &["F", "T2"],
            4,
        ),
        (vec![from(), text("via-branch", "b2")], "ok", &["F"], 4),
        (
            vec![from(), text("via-branch", "b9")],
            "ok",
            &["F", "T1", "T2"],
            0,
        ),
        // The to-tag counts with its flag alone, and then before the branch.
        (
            vec![from(), text("to-tag", "T1")],
            "ok",
            &["F", "T1", "T2"],
            0,
        ),
        (vec![from(), text("to-tag", "T1"), honoured()], "ok", &[], 4),
        (vec![from(), text("rtpp-flags", "to-tag=T1")], "ok", &[], 4),
        (
            vec![
                from(),
                text("to-tag", "T1"),
                text("via-branch", "b2"),
                honoured(),
            ],
            "ok",
            &[],
            4,
        ),
        (
            vec![
                from(),
                text("to-tag", "X"),
                text("via-branch", "b1"),
                honoured(),
            ],
            "ok",
            &[],
            4,
        ),
        (vec![from(), text("to-tag", "X"), honoured()], NONE, &[], 6),
        (vec![text("from-tag", "T1")], "ok", &[], 4),
        (vec![text("from-tag", "X")], NONE, &[], 6),
        (
            vec![text("from-tag", "X"), text("via-branch", "b1")],
            "ok",
            &[],
            4,
        ),
    ];
    for (keys_given, expected, described, leased) in rows {
        let mut bench = forked();
        let mut request = command("delete").with("delete-delay", 0);
        for (key, value) in &keys_given {
            request.push(*key, value.clone());
        }
        let reply = bench.ask(request);
        assert_eq!(said(&reply), expected, "{keys_given:?}");
        let tags = reply
            .get("tags")
            .map_or(Vec::new(), |_| keys(&reply, "tags"));
        assert_eq!(tags, described, "{keys_given:?}");
        assert_eq!(bench.leased(), leased, "{keys_given:?}");
        assert_eq!(bench.calls.count(), u64::from(leased > 0), "{keys_given:?}");
    }
}

#[test]
fn a_party_that_never_got_its_tag_goes_by_the_only_way_to_it() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    let delete = command("delete")
        .with("from-tag", "F")
        .with("to-tag", "T")
        .with("flags", strings(&["to-tag"]))
        .with("delete-delay", 0);
    let reply = bench.ask(delete.clone());
    assert_eq!(keys(&reply, "tags"), ["F", "<untagged 1>"]);
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
    // With two peers, or a peer that has a tag, it is not told.
    for second in ["b2", "b1"] {
        let mut bench = Bench::new();
        bench.sdp(branch(offer(&audio(HOST, 2000, "")), "b1"));
        bench.sdp(branch(offer(&audio(HOST, 2000, "")), second));
        if second == "b1" {
            bench.sdp(branch(answer_of("T1", &audio(OTHER, 3000, "")), "b1"));
        }
        let reply = bench.ask(delete.clone());
        assert_eq!(said(&reply), "Call-ID not found or tags didn't match");
    }
}

#[test]
fn an_earlier_tag_ends_its_own_branch() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    bench.sdp(answer_of("t1", &audio(OTHER, 3000, "")));
    bench.sdp(answer_of("t2", &audio(OTHER, 3000, "")));
    let delete = command("delete")
        .with("from-tag", "t1")
        .with("delete-delay", 0);
    let reply = bench.ask(delete);
    assert_eq!(keys(&reply, ""), ["result"]);
    assert_eq!(bench.calls.count(), 1);
    let reply = bench.ask(
        command("delete")
            .with("from-tag", "t2")
            .with("delete-delay", 0),
    );
    assert_eq!(keys(&reply, "tags"), ["F", "t2"]);
    assert_eq!(bench.calls.count(), 0);
}

#[test]
fn a_branch_that_is_gone_is_listed_but_not_found() {
    let mut bench = forked();
    let mut delete = command("delete")
        .with("from-tag", "F")
        .with("via-branch", "b1")
        .with("delete-delay", 0);
    bench.ask(delete.clone());
    let reply = bench.ask(command("query"));
    assert_eq!(keys(&reply, "tags"), ["F", "T1", "T2"]);
    assert!(find(&reply, "tags/T1/medias/0/streams/0/local port").is_none());
    let reply = bench.ask(command("query").with("from-tag", "T1"));
    assert!(keys(&reply, "tags").is_empty());
    // Its branch means nothing any more, so the tag decides.
    delete.set("from-tag", "T2");
    bench.ask(delete);
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
}

#[test]
fn a_fast_delete_says_nothing() {
    for more in [
        Dict::new(),
        Dict::new().with("via-branch", "b1").with("from-tag", "F"),
    ] {
        let mut bench = forked();
        let mut request = command("delete").with("flags", strings(&["fast"]));
        request.extend(more.into_entries());
        assert_eq!(keys(&bench.ask(request), ""), ["result"]);
    }
}

#[test]
fn the_delay() {
    // Seconds as given; how long the ports stay.
    let rows: [(Option<Value>, u64); 6] = [
        (None, 30),
        (Some(Value::Int(-1)), 30),
        (Some(Value::from("-1")), 30),
        (Some(Value::Int(5)), 5),
        (Some(Value::from("5")), 5),
        (Some(Value::from("soon")), 30),
    ];
    for (delay, seconds) in rows {
        for by_tag in [false, true] {
            let mut bench = forked();
            let mut delete = command("delete").with_some("delete-delay", delay.clone());
            if by_tag {
                delete.push("from-tag", "F");
            }
            assert_eq!(keys(&bench.ask(delete), "tags"), ["F", "T1", "T2"]);
            bench.wait(seconds - 1);
            assert_eq!((bench.calls.count(), bench.leased()), (1, 6), "{delay:?}");
            bench.wait(1);
            assert_eq!((bench.calls.count(), bench.leased()), (0, 0), "{delay:?}");
        }
    }
}

#[test]
fn another_delete_sets_another_time() {
    for (first, second) in [(5, 20), (20, 5)] {
        for tag in [None, Some("F")] {
            let mut bench = forked();
            let delete = |delay: i64| {
                let request = command("delete").with("delete-delay", delay);
                request.with_some("from-tag", tag)
            };
            bench.ask(delete(first));
            bench.ask(delete(second));
            bench.wait(u64::try_from(second).unwrap() - 1);
            assert_eq!(
                (bench.calls.count(), bench.leased()),
                (1, 6),
                "{tag:?} {second}"
            );
            bench.wait(1);
            assert_eq!(
                (bench.calls.count(), bench.leased()),
                (0, 0),
                "{tag:?} {second}"
            );
        }
    }
}

#[test]
fn an_offer_or_answer_takes_the_deletion_back() {
    for tag in [None, Some("F")] {
        for is_offer in [true, false] {
            let mut bench = Bench::new();
            let first = bench.sdp(offer(&audio(HOST, 2000, "")));
            bench.sdp(answer(&audio(OTHER, 3000, "")));
            bench.ask(command("delete").with_some("from-tag", tag));
            match is_offer {
                true => {
                    let again = bench.sdp(offer(&audio(HOST, 2000, "")));
                    assert_eq!(port(&again, 0), port(&first, 0));
                }
                false => {
                    bench.sdp(answer(&audio(OTHER, 3000, "")));
                }
            }
            bench.wait(40);
            assert_eq!((bench.calls.count(), bench.leased()), (1, 4));
            // And it ends as calls do.
            bench.ask(
                command("delete")
                    .with("from-tag", "T")
                    .with("delete-delay", 0),
            );
            assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
        }
    }
}

#[test]
fn a_branch_can_leave_later_too() {
    let mut bench = forked();
    let delete = command("delete")
        .with("from-tag", "F")
        .with("via-branch", "b1");
    let reply = bench.ask(delete.with("delete-delay", 5));
    assert_eq!(keys(&reply, "tags"), ["F", "T2"]);
    bench.wait(4);
    assert_eq!((bench.calls.count(), bench.leased()), (1, 6));
    bench.wait(1);
    assert_eq!((bench.calls.count(), bench.leased()), (1, 4));
}
