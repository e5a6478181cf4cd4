//! proxy-modules §6: what the two proxies send in the course of calls.

use super::*;

const CALLER: &str = "198.51.100.10";
const CALLEE: &str = "198.51.100.20";

fn by_caller(name: &'static str) -> Dict {
    message(name, &audio(CALLER, 2000, ""))
}

fn by_callee(name: &'static str) -> Dict {
    message(name, &audio(CALLEE, 3000, ""))
}

fn tags(request: Dict, from: &'static str, to: &'static str) -> Dict {
    request.with("from-tag", from).with("to-tag", to)
}

fn delete() -> Dict {
    command("delete").with("from-tag", "F")
}

#[test]
fn a_basic_call() {
    let mut bench = Bench::new();
    bench.sdp(by_caller("offer").with("from-tag", "F"));
    // In the provisional response, and again in the final one.
    let early = bench.sdp(tags(by_callee("answer"), "F", "T"));
    assert_eq!(bench.sdp(tags(by_callee("answer"), "F", "T")), early);
    let now = |request: Dict| request.with("delete-delay", 0);
    assert_eq!(said(&bench.ask(now(delete()))), "ok");
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
    for _ in 0..3 {
        // Proxies delete again with every retransmission.
        let reply = bench.ask(now(delete()));
        assert_eq!(keys(&reply, ""), ["warning", "result"]);
        assert_eq!(reply.get_str("result"), Some("ok"));
    }
}

#[test]
fn another_try_after_a_failure_goes_on_with_the_call() {
    // Kamailio names a tag, OpenSIPS does not; with and without an early answer.
    for failed in [delete(), command("delete")] {
        for is_answered in [false, true] {
            let mut bench = Bench::new();
            let first = bench.sdp(by_caller("offer").with("from-tag", "F"));
            if is_answered {
                bench.sdp(tags(by_callee("answer"), "F", "T1"));
            }
            assert_eq!(said(&bench.ask(failed.clone())), "ok");
            bench.wait(10);
            let again = bench.sdp(by_caller("offer").with("from-tag", "F"));
            assert_eq!(port(&again, 0), port(&first, 0));
            bench.sdp(tags(by_callee("answer"), "F", "T2"));
            bench.wait(35);
            assert_eq!((bench.calls.count(), bench.leased()), (1, 4));
            let reply = bench.ask(command("query").with("from-tag", "T2"));
            assert_eq!(keys(&reply, "tags"), ["F", "T2"]);
        }
    }
}

#[test]
fn a_late_offer() {
    let mut bench = Bench::new();
    // The 200 has the offer, the ACK the answer: tags are those of the SDP's author first.
    let shown = bench.sdp(tags(by_callee("offer"), "T", "F"));
    bench.sdp(tags(by_caller("answer"), "T", "F"));
    let reply = bench.ask(command("query"));
    assert_eq!(keys(&reply, "tags"), ["T", "F"]);
    // A re-INVITE of the caller finds both.
    bench.sdp(tags(by_caller("offer"), "F", "T"));
    let again = bench.sdp(tags(by_callee("answer"), "F", "T"));
    assert_eq!(port(&again, 0), port(&shown, 0));
    assert_eq!(bench.leased(), 4);
}

#[test]
fn forks_fail_one_by_one() {
    let mut bench = Bench::new();
    for branch in ["b1", "b2", "b3"] {
        let fork = by_caller("offer").with("from-tag", "F");
        bench.sdp(fork.with("via-branch", branch));
    }
    assert_eq!(bench.leased(), 8);
    let mut left = 8;
    for branch in ["b1", "b3"] {
        let failed = delete().with("via-branch", branch).with("delete-delay", 0);
        assert_eq!(said(&bench.ask(failed)), "ok");
        left -= 2;
        assert_eq!(bench.leased(), left);
    }
    let taken = tags(by_callee("answer"), "F", "T2").with("via-branch", "b2");
    bench.sdp(taken);
    assert_eq!((bench.calls.count(), bench.leased()), (1, 4));
    // The last one ends the call.
    let failed = delete().with("via-branch", "b2").with("delete-delay", 0);
    bench.ask(failed);
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
}

#[test]
fn two_proxies_with_one_relay_do_not_loop() {
    let mut bench = Bench::new();
    let protected = |request: Dict| request.with("flags", strings(&["loop-protect"]));
    let once = bench.sdp(protected(by_caller("offer").with("from-tag", "F")));
    let leased = bench.leased();
    let again = message("offer", &once).with("from-tag", "F");
    assert_eq!(bench.sdp(protected(again)), once);
    let answered = bench.sdp(protected(tags(by_callee("answer"), "F", "T")));
    let again = tags(message("answer", &answered), "F", "T");
    assert_eq!(bench.sdp(protected(again)), answered);
    assert_eq!(bench.leased(), leased);
}

#[test]
fn a_relay_that_forgot_the_call_takes_the_next_offer_for_the_first() {
    let mut bench = Bench::new();
    bench.sdp(tags(by_callee("offer"), "T", "F"));
    bench.sdp(tags(by_caller("answer"), "T", "F"));
    let answer = tags(by_caller("answer"), "X", "Y").with("call-id", "gone");
    assert_eq!(said(&bench.ask(answer)), "Unknown call-id");
    assert_eq!(bench.leased(), 4);
}
