//! Each To-tag is a dialogue of its own (spec: ng-protocol §10.3; RFC 3261 §12).

use super::*;

const HOST: &str = "198.51.100.20";

fn answer_as(tag: &'static str, port: u16) -> Dict {
    message("answer", &audio(HOST, port, ""))
        .with("from-tag", "F")
        .with("to-tag", tag)
}

/// A caller, and three phones that answered one after the other: the last one talks.
fn forked() -> Bench {
    let mut bench = Bench::new();
    bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n"));
    for (tag, port) in [("T1", 3000), ("T2", 4000), ("T3", 5000)] {
        bench.sdp(answer_as(tag, port));
    }
    bench
}

/// Where the caller's media goes.
fn destination(bench: &Bench) -> Vec<u16> {
    let flows = bench.books.flows.lock().unwrap();
    let phones = flows.values().filter_map(|(flow, _)| flow.peer.signalled);
    let mut ports: Vec<u16> = phones
        .map(|at| at.port())
        .filter(|port| *port > 2001)
        .collect();
    ports.sort_unstable();
    ports
}

fn delete(from: &'static str) -> Dict {
    command("delete")
        .with("from-tag", from)
        .with("delete-delay", 0_i64)
}

#[test]
fn the_end_of_a_replaced_branch_ends_nothing_else() {
    let by_to_tag = |tag: &'static str| {
        let flags = strings(&["to-tag"]);
        delete("F").with("to-tag", tag).with("flags", flags)
    };
    for request in [delete, by_to_tag] {
        let mut bench = forked();
        for ended in ["T1", "T2"] {
            assert_eq!(said(&bench.ask(request(ended))), "ok");
            assert_eq!(destination(&bench), [5000, 5001]);
            // Once.
            assert_ne!(said(&bench.ask(request(ended))), "ok");
        }
        assert_eq!((bench.calls.count(), bench.leased()), (1, bench.flows()));
        assert_eq!(said(&bench.ask(request("T3"))), "ok");
        assert_eq!(
            (bench.calls.count(), bench.leased(), bench.flows()),
            (0, 0, 0)
        );
    }
}

#[test]
fn a_branch_that_ends_takes_no_recording_and_no_via_branch_with_it() {
    let mut bench = Bench::new();
    bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n").with("via-branch", "b"));
    for (tag, port) in [("T1", 3000), ("T2", 4000)] {
        bench.sdp(answer_as(tag, port).with("via-branch", "b"));
    }
    let request = delete("T1").with("via-branch", "b");
    assert_eq!(said(&bench.ask(request)), "ok");
    assert_eq!(destination(&bench), [4000, 4001]);
}

#[test]
fn whoever_names_the_live_tag_or_the_offerer_ends_the_call() {
    let all = command("delete").with("delete-delay", 0_i64);
    for request in [
        delete("T3"),
        delete("F"),
        delete("F").with("to-tag", "T1"),
        all,
    ] {
        let mut bench = forked();
        assert_eq!(said(&bench.ask(request)), "ok");
        assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
    }
}

#[test]
fn query_says_which_branches_have_ended() {
    let mut bench = forked();
    let query = |tag: &'static str| command("query").with("from-tag", tag);
    let reply = bench.ask(query("T1"));
    assert_eq!(at(&reply, "ended branch/tag"), &Value::from("T1"));
    assert_eq!(at(&reply, "ended branch/followed by"), &Value::from("T3"));
    assert_eq!(
        at(&reply, "tags/T3/ended branches"),
        &strings(&["T1", "T2"])
    );
    assert!(find(&bench.ask(query("T3")), "ended branch").is_none());
    assert!(find(&bench.ask(command("query")), "ended branch").is_none());
}

#[test]
fn an_ended_branch_that_speaks_again_is_the_live_one() {
    let mut bench = forked();
    // The caller chose the 200 of the first phone.
    bench.sdp(answer_as("T1", 3000));
    assert_eq!(destination(&bench), [3000, 3001]);
    let reply = bench.ask(command("query"));
    assert_eq!(
        at(&reply, "tags/T1/ended branches"),
        &strings(&["T2", "T3"])
    );
    assert_eq!(said(&bench.ask(delete("T3"))), "ok");
    assert_eq!(bench.calls.count(), 1);
    // So does an offer to it, or from it.
    bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n").with("to-tag", "T2"));
    bench.sdp(answer_as("T2", 4000));
    assert_eq!(destination(&bench), [4000, 4001]);
    let offer = message("offer", &audio(HOST, 3000, ""))
        .with("from-tag", "T1")
        .with("to-tag", "F");
    bench.sdp(offer);
    assert!(find(&bench.ask(command("query")), "tags/T1").is_some());
    assert_eq!(said(&bench.ask(delete("T1"))), "ok");
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
}

#[test]
fn an_alias_of_the_offerer_is_no_branch() {
    let mut bench = Bench::new();
    let lines = "m=audio 2000 RTP/AVP 8\n";
    bench.sdp(from_a(lines).with("alias-key", "sdp"));
    bench.sdp(answer_as("T1", 3000));
    let again = message("offer", &party("198.51.100.10", lines))
        .with("from-tag", "G")
        .with("to-tag", "T1");
    bench.sdp(again);
    let reply = bench.ask(command("query"));
    assert!(find(&reply, "tags/F/ended branches").is_none(), "{reply:?}");
    assert_eq!(said(&bench.ask(delete("G"))), "ok");
    assert_eq!(bench.calls.count(), 0);
}
