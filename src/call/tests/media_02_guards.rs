//! Packets that are refused for what they are (media-behaviour §2, step 3; ng-protocol §7).

use super::ng_05_commands::{FROM, TO, flow_of};
use super::*;
use crate::flow::Guards;

#[test]
fn short_packets_of_the_sender_are_blocked_on_demand() {
    let mut bench = Bench::new();
    let flags = strings(&["block-short"]);
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")).with("flags", flags));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let short = Guards {
        short: true,
        loops: false,
    };
    assert_eq!(flow_of(&bench, FROM).guards, short);
    assert_eq!(flow_of(&bench, TO).guards, Guards::default());
}

#[test]
fn a_party_at_an_address_of_our_own_is_checked_for_loops() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("203.0.113.1", 30_500, "")));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let loops = Guards {
        short: false,
        loops: true,
    };
    assert_eq!(flow_of(&bench, "203.0.113.1:30500").guards, loops);
    assert_eq!(flow_of(&bench, TO).guards, Guards::default());
    let query = Dict::new().with("command", "query").with("call-id", "call");
    let reply = bench.ask(query).to_bencode();
    assert!(String::from_utf8_lossy(&reply).contains("loop check"));
    // Elsewhere on this machine is not here.
    bench.sdp(offer(&audio("203.0.113.1", 2000, "")).with("to-tag", "T"));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    assert_eq!(
        flow_of(&bench, "203.0.113.1:2000").guards,
        Guards::default()
    );
}
