//! What signalling tells of the sources of a party (media-behaviour §3).

use super::ng_05_commands::flow_of;
use super::{Bench, answer, audio, offer, strings};

const CALLER: &str = "198.51.100.2";
const CALLEE: &str = "198.51.100.7";

#[test]
fn a_caller_knows_our_port_with_the_answer() {
    let mut bench = Bench::new();
    let caller = |bench: &Bench| flow_of(bench, "198.51.100.2:4000").peer;
    let offered = || offer(&audio(CALLER, 4000, "")).with("endpoint-learning", "heuristic");
    bench.ask(offered());
    assert!(!caller(&bench).is_shown);
    let flows = bench.books.flows.lock().unwrap();
    let callees = flows
        .values()
        .filter(|(spec, _)| spec.peer.signalled.is_none());
    assert!(callees.into_iter().all(|(spec, _)| spec.peer.is_shown));
    drop(flows);
    bench.ask(answer(&audio(CALLEE, 5000, "")));
    assert!(caller(&bench).is_shown);
    assert!(flow_of(&bench, "198.51.100.7:5000").peer.is_shown);
    // It knows it still while it offers again.
    bench.ask(offered());
    assert!(caller(&bench).is_shown);
}

#[test]
fn every_offer_and_answer_begins_the_window_anew() {
    let mut bench = Bench::new();
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.wait(2);
    bench.ask(answer(&audio(CALLEE, 5000, "")));
    for signalled in ["198.51.100.2:4000", "198.51.100.7:5000"] {
        assert_eq!(
            flow_of(&bench, signalled).peer.signalled_at,
            bench.now.instant
        );
    }
}

#[test]
fn flags_on_sources_reach_the_latch() {
    let mut bench = Bench::new();
    let flags = ["strict-source", "media-handover", "asymmetric"];
    bench.ask(offer(&audio(CALLER, 4000, "")).with("flags", strings(&flags)));
    let peer = flow_of(&bench, "198.51.100.2:4000").peer;
    assert!(peer.strict_source && peer.media_handover && peer.asymmetric);
}

#[test]
fn flags_on_sources_are_about_their_author_alone() {
    let flags = ["strict-source", "media-handover", "asymmetric"];
    let set = |bench: &Bench, signalled| {
        let peer = flow_of(bench, signalled).peer;
        [peer.strict_source, peer.media_handover, peer.asymmetric]
    };
    let (caller, callee) = ("198.51.100.2:4000", "198.51.100.7:5000");
    let mut bench = Bench::new();
    bench.ask(offer(&audio(CALLER, 4000, "")));
    bench.ask(answer(&audio(CALLEE, 5000, "")).with("flags", strings(&flags)));
    assert_eq!(set(&bench, caller), [false; 3]);
    assert_eq!(set(&bench, callee), [true; 3]);
    bench.ask(offer(&audio(CALLER, 4000, "")).with("flags", strings(&flags)));
    assert_eq!(set(&bench, caller), [true; 3]);
    // The callee's next SDP speaks for the callee again, and for nobody else.
    bench.ask(answer(&audio(CALLEE, 5000, "")));
    assert_eq!(set(&bench, caller), [true; 3]);
    assert_eq!(set(&bench, callee), [false; 3]);
}

#[test]
fn an_address_that_is_a_proxys_is_no_phones() {
    const PROXY: &str = "192.0.2.50";
    for (named, known) in [(PROXY, None), ("192.0.2.60", Some("192.0.2.60"))] {
        let mut bench = Bench::new();
        bench.ask(offer(&audio("192.168.1.10", 4000, "")));
        let address = windlass_ng::Value::List(vec!["IP4".into(), named.into()]);
        let answered = answer(&audio("192.168.1.20", 5000, "")).with("received-from", address);
        bench.ask_from("192.0.2.50:2222", answered);
        let from = flow_of(&bench, "192.168.1.20:5000").peer.received_from;
        assert_eq!(from, known.map(|known| known.parse().unwrap()), "{named}");
    }
}

#[test]
fn an_address_is_trusted_for_moves_as_the_partys_last_sdp_says() {
    for (flags, trusted) in [
        (&["trust-address"][..], true),
        (&["trust-address", "SIP-source-address"], false),
        (&[], false),
    ] {
        let mut bench = Bench::new();
        bench.ask(offer(&audio(CALLER, 4000, "")).with("flags", strings(flags)));
        bench.ask(answer(&audio(CALLEE, 5000, "")));
        assert_eq!(
            flow_of(&bench, "198.51.100.2:4000").peer.trusts_signalled,
            trusted
        );
        assert!(!flow_of(&bench, "198.51.100.7:5000").peer.trusts_signalled);
    }
}
