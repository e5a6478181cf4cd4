//! sdp-rewriting §2 and ng-protocol §6: whose header extensions a party is shown.

use super::*;
use crate::flow::extensions::ExtensionRules;

const THREE: &str =
    "m=audio 2000 RTP/AVP 8\na=extmap:3 urn:x\na=extmap:5 urn:y\na=extmap:6 urn:z\n";

fn extensions(sdp: &str) -> Vec<&str> {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a=extmap:"))
        .collect()
}

fn masking(names: &[&str]) -> Dict {
    Dict::new().with("mask", strings(names))
}

#[test]
fn a_masked_extension_is_accepted_in_the_answer() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(from_a(THREE).with("extmap", masking(&["urn:y"])));
    assert_eq!(extensions(&sdp), ["3 urn:x", "6 urn:z"]);
    let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\na=extmap:3 urn:x\n"));
    assert_eq!(extensions(&sdp), ["5 urn:y", "3 urn:x"]);

    let mut bench = Bench::new();
    let sdp = bench.sdp(from_a(THREE).with("extmap", masking(&["all"])));
    assert!(extensions(&sdp).is_empty(), "{sdp}");
    let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n").with("extmap", masking(&["all"])));
    assert_eq!(extensions(&sdp), ["3 urn:x", "5 urn:y", "6 urn:z"]);
}

#[test]
fn strip_works_in_answers_and_mask_does_not() {
    for (key, left) in [
        ("strip", vec!["6 urn:z"]),
        ("mask", vec!["3 urn:x", "6 urn:z"]),
    ] {
        let mut bench = Bench::new();
        bench.sdp(from_a(THREE));
        let answered = "m=audio 3000 RTP/AVP 8\na=extmap:3 urn:x\na=extmap:6 urn:z\n";
        let named = Dict::new().with(key, strings(&["urn:x"]));
        assert_eq!(
            extensions(&bench.sdp(from_b(answered).with("extmap", named))),
            left
        );
    }
}

#[test]
fn the_mid_that_we_added_is_not_passed_on() {
    let mut bench = Bench::new();
    bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n").with("BUNDLE", strings(&["offer"])));
    let taken = "m=audio 3000 RTP/AVP 8\na=mid:1\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n";
    assert!(!bench.sdp(from_b(taken)).contains("extmap"));
    let again = offer(&party("198.51.100.20", taken))
        .with("from-tag", "T")
        .with("to-tag", "F");
    let sdp = bench.sdp(again);
    assert!(!sdp.contains("extmap"), "{sdp}");
}

#[test]
fn packets_to_a_bundle_carry_the_mid_of_the_receivers_line() {
    let mut bench = Bench::new();
    bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n").with("BUNDLE", strings(&["offer"])));
    bench.sdp(from_b(
        "m=audio 3000 RTP/AVP 8\na=mid:1\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n",
    ));
    let flows = bench.books.flows.lock().unwrap();
    let sinks = flows.values().flat_map(|(flow, _)| &flow.sinks);
    let rules: Vec<ExtensionRules> = sinks
        .filter_map(|sink| sink.rules.as_ref()?.change.extensions.clone())
        .collect();
    let mids = rules.iter().filter_map(|rules| rules.mid.as_ref());
    let mids: Vec<_> = mids.map(|mid| (mid.id, mid.value.to_vec())).collect();
    assert!(!mids.is_empty());
    assert!(
        mids.iter().all(|mid| *mid == (1, b"1".to_vec())),
        "{mids:?}"
    );
    // That of the sender goes nowhere.
    assert!(rules.iter().all(|rules| !rules.sender.contains(1)));
}

#[test]
fn packets_are_told_the_lists_of_both_lines() {
    let mut bench = Bench::new();
    bench.sdp(from_a(THREE));
    bench.sdp(from_b(
        "m=audio 3000 RTP/AVP 8\na=extmap-allow-mixed\na=extmap:3 urn:x\n",
    ));
    let flows = bench.books.flows.lock().unwrap();
    let sinks = flows.values().flat_map(|(flow, _)| &flow.sinks);
    let mut rules: Vec<ExtensionRules> = sinks
        .filter_map(|sink| sink.rules.as_ref()?.change.extensions.clone())
        .collect();
    rules.sort_by_key(|rules| rules.allows_mixed);
    let [to_a, to_b] = rules.try_into().unwrap();
    assert!(!to_a.allows_mixed && to_b.allows_mixed);
    // After the answer both lists are what was agreed on.
    assert!(to_b.receiver.contains(3) && !to_b.receiver.contains(5));
    assert!(to_a.sender.contains(3) && !to_a.sender.contains(5));
    assert_eq!(to_a.mid, None);
}
