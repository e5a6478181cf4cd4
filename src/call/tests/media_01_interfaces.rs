//! media-behaviour §1: logical interfaces, and the ports of a media.

use super::sdp_05_ports::{ANSWER, OFFER};
use super::*;

#[test]
fn interfaces_of_one_base_take_turns() {
    let mut bench = Bench::on(
        &[
            ("out:1", "203.0.113.1", None),
            ("out:2", "203.0.113.2", None),
            ("in", "192.0.2.1", None),
        ],
        30_000,
        39_999,
    );
    let mut shown = Vec::new();
    for call in ["one", "two", "three"] {
        let mut request = offer(OFFER).with("direction", strings(&["in", "out"]));
        request.set("call-id", call);
        let sdp = bench.sdp(request.clone());
        assert_eq!(bench.sdp(request), sdp, "a party stays where it is");
        let line = sdp.lines().find(|line| line.starts_with("c=")).unwrap();
        shown.push(line.to_owned());
    }
    assert_eq!(shown[0], shown[2]);
    assert_ne!(shown[0], shown[1]);
}

/// The address in the first c= line.
fn shown(bench: &mut Bench, request: Dict) -> String {
    let sdp = bench.sdp(request);
    let line = sdp.lines().find_map(|line| line.strip_prefix("c=IN "));
    line.unwrap().to_owned()
}

fn of_call(id: &'static str) -> Dict {
    let mut request = offer(OFFER);
    request.set("call-id", id);
    request
}

const PAIR: [(&str, &str, Option<&str>); 3] = [
    ("out:1", "203.0.113.1", None),
    ("out:2", "203.0.113.2", None),
    ("in", "192.0.2.1", None),
];

#[test]
fn a_first_interface_with_a_suffix_takes_turns_without_a_direction() {
    let mut bench = Bench::on(&PAIR, 30_000, 39_999);
    // One for each party of a call.
    let mut addresses = vec![
        shown(&mut bench, offer(OFFER)),
        shown(&mut bench, answer(ANSWER)),
    ];
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses, ["IP4 203.0.113.1", "IP4 203.0.113.2"]);
}

#[test]
fn all_interfaces_take_turns_by_a_name_of_its_own() {
    let mut bench = Bench::on(&PAIR, 30_000, 39_999);
    let name = "round-robin-calls";
    let mut addresses = Vec::new();
    for id in ["one", "two", "three", "four", "five", "six"] {
        let request = of_call(id).with("direction", strings(&["in", name]));
        addresses.push(shown(&mut bench, request));
    }
    addresses.sort();
    addresses.dedup();
    let all = ["IP4 192.0.2.1", "IP4 203.0.113.1", "IP4 203.0.113.2"];
    assert_eq!(addresses, all);
}

#[test]
fn an_interface_without_free_ports_is_passed_over() {
    // Two pairs each, of which the first call takes one for the receiver.
    let mut bench = Bench::on(&PAIR, 30_000, 30_003);
    let request = |id| of_call(id).with("direction", strings(&["out:1", "out"]));
    let mut direct = of_call("filler").with("direction", strings(&["out:1", "out:1"]));
    assert_eq!(shown(&mut bench, direct.clone()), "IP4 203.0.113.1");
    direct.set("call-id", "other");
    for id in ["one", "two"] {
        let sdp = bench.ask(request(id));
        // The caller's side has no port left on `out:1`, whatever the other has.
        assert_eq!(
            sdp.get_str("error-reason"),
            Some("Ran out of ports"),
            "{id}"
        );
    }
    for id in ["three", "four"] {
        let request = of_call(id).with("direction", strings(&["in", "out"]));
        assert_eq!(shown(&mut bench, request), "IP4 203.0.113.2");
    }
}

#[test]
fn a_party_stays_on_its_interface_until_another_is_named() {
    let mut bench = Bench::dual_homed();
    let directed = |names: &[&str]| offer(OFFER).with("direction", strings(names));
    let first = bench.sdp(directed(&["int", "ext"]));
    assert!(first.contains("c=IN IP4 203.0.113.1\n"), "{first}");
    assert_eq!(bench.sdp(directed(&["int", "ext"])), first);
    assert_eq!(bench.sdp(offer(OFFER)), first);
    let sdp = bench.sdp(answer(ANSWER));
    assert!(sdp.contains("c=IN IP4 198.51.100.99\n"), "{sdp}");
    let moved = directed(&["int", "int"]).with("to-tag", "T");
    assert_eq!(shown(&mut bench, moved), "IP4 198.51.100.99");
}

#[test]
fn a_family_chooses_among_the_addresses_of_an_interface() {
    let mut bench = Bench::dual_homed();
    for (family, expected) in [("IP4", "IP4 203.0.113.1"), ("IP6", "IP6 2001:db8::1")] {
        let request = of_call(family)
            .with("direction", strings(&["ext", "ext"]))
            .with("address-family", family);
        assert_eq!(shown(&mut bench, request), expected);
    }
    // First use wins until another is asked for.
    let six = || offer(OFFER).with("address-family", "IP6");
    assert_eq!(shown(&mut bench, six()), "IP6 2001:db8::1");
    assert_eq!(shown(&mut bench, offer(OFFER)), "IP6 2001:db8::1");
    let four = offer(OFFER).with("address-family", "IP4");
    assert_eq!(shown(&mut bench, four), "IP4 203.0.113.1");
}

#[test]
fn a_running_ice_keeps_its_family() {
    let mut bench = Bench::new();
    let ice = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";
    let request = || offer(&audio("198.51.100.10", 2000, ice));
    assert_eq!(shown(&mut bench, request()), "IP4 203.0.113.1");
    let six = request().with("address-family", "IP6");
    assert_eq!(shown(&mut bench, six), "IP4 203.0.113.1");
}

#[test]
fn old_names_stand_for_families() {
    let mut bench = Bench::new();
    for (name, expected) in [
        ("internal", "IP4 203.0.113.1"),
        ("external", "IP6 2001:db8::1"),
    ] {
        let request = of_call(name).with("direction", strings(&["internal", name]));
        assert_eq!(shown(&mut bench, request), expected, "{name}");
    }
}

#[test]
fn rtp_is_even_and_rtcp_next_to_it() {
    let mut bench = Bench::new();
    for id in ["one", "two", "three", "four", "five"] {
        let sdp = bench.sdp(of_call(id));
        let rtp = port(&sdp, 0);
        assert_eq!(rtp % 2, 0);
        assert!(sdp.contains(&format!("\na=rtcp:{}\n", rtp + 1)), "{sdp}");
    }
    // Both legs get their ports with the offer.
    assert_eq!(bench.leased(), 20);
}

#[test]
fn one_port_is_enough_where_mux_is_sure() {
    let mut bench = Bench::new();
    let mut parities = [false; 2];
    for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let mut request = offer(&audio("198.51.100.10", 2000, ""));
        request.set("call-id", id);
        let sdp = bench.sdp(request.with("rtcp-mux", strings(&["require"])));
        parities[usize::from(port(&sdp, 0) % 2)] = true;
    }
    assert_eq!(parities, [true, true]);
    assert_eq!(bench.leased(), 8 * 3);
}

#[test]
fn ice_has_ports_on_every_address_and_others_on_the_first() {
    let mut bench = Bench::new();
    bench.sdp(of_call("plain"));
    assert_eq!(bench.leased(), 4);
    bench.sdp(of_call("forced").with("ICE", "force"));
    assert_eq!(bench.leased(), 4 + 6);
}

#[test]
fn without_ports_the_call_ends() {
    let mut bench = Bench::on(&[("default", "203.0.113.1", None)], 30_000, 30_005);
    bench.sdp(of_call("one"));
    let reply = bench.ask(of_call("two"));
    assert_eq!(reply.get_str("error-reason"), Some("Ran out of ports"));
    assert_eq!((bench.calls.count(), bench.leased()), (1, 4));
}
