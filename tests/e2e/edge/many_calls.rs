//! Many calls of sipp through the edge (E01, E02), and what the phones see of its routing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Plan, await_free, listen};
use crate::common::process::{Relay, free_udp};
use crate::common::sip::{Dialog, Party, any_sdp};
use crate::common::sipp::{Load, SIPP, received, server};
use crate::common::{TempDir, has_program, is_long, lock_machine};

/// Places calls, all of which must succeed; how many messages were repeated.
fn place(directory: &Path, scenario: &str, to: SocketAddr, calls: u32, rate: u32) -> u64 {
    let (calls, rate) = (calls.to_string(), rate.to_string());
    let more = ["-i", "127.0.0.1", "-m", &calls, "-r", &rate, "-l", "5000"];
    let outcome = Load::start(directory, scenario, &to.to_string(), &more).finish();
    assert_eq!(outcome.failed, 0, "{}", outcome.screen);
    assert_eq!(outcome.successful.to_string(), calls, "{}", outcome.screen);
    println!("{calls} calls, {} retransmissions", outcome.retransmissions);
    outcome.retransmissions
}

fn call_id(message: &str) -> Option<&str> {
    message.split("\nCall-ID:").nth(1)?.lines().next()
}

#[test]
fn e01_calls_of_sipp_are_routed() {
    if !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    let directory = TempDir::new("e01");
    let (edge, callee) = (free_udp("127.0.0.1"), free_udp("127.0.0.1"));
    let relay = Relay::start(&format!(
        "[timeouts]\ndelete_delay = 0\n\
         [edge]\nlisten = [\"{edge}\"]\nupstream = \"{callee}\"\n"
    ));
    let callee_runs = server(directory.path(), "uas_quick", &callee.to_string(), &[]);
    let repeated = place(directory.path(), "uac_quick", edge, 500, 50);
    assert!(repeated == 0 || !is_long(), "{repeated} repetitions");
    drop(callee_runs);
    await_free(&relay);
    let messages = received(directory.path(), "uas_quick");
    let of = |method: &str| {
        let of = messages
            .iter()
            .filter(|text| text.contains(&format!("\n{method} sip:")));
        of.collect::<Vec<_>>()
    };
    for (method, count) in [("INVITE", 500), ("ACK", 500), ("BYE", 500)] {
        let requests = of(method);
        let calls: BTreeSet<&str> = requests.iter().filter_map(|text| call_id(text)).collect();
        assert_eq!(calls.len(), count, "{method} of each call");
        for text in requests {
            assert_eq!(text.matches("\nVia:").count(), 2, "{text}");
            assert!(!text.contains("\nRoute:"), "{text}");
        }
    }
    let ways: BTreeSet<&str> = of("INVITE")
        .iter()
        .filter_map(|text| text.split("\nRecord-Route: <").nth(1))
        .filter_map(|rest| rest.split(';').next())
        .collect();
    assert_eq!(ways, BTreeSet::from([&*format!("sip:{edge}")]));
}

#[test]
fn e01_flood_of_calls() {
    if !has_program(SIPP) || !is_long() {
        return;
    }
    let _lock = lock_machine();
    let directory = TempDir::new("e01-long");
    let (edge, callee) = (free_udp("127.0.0.1"), free_udp("127.0.0.1"));
    let _relay = Relay::start(&format!(
        "[timeouts]\ndelete_delay = 0\n\
         [edge]\nlisten = [\"{edge}\"]\nupstream = \"{callee}\"\n\
         setups_per_source = 100000\nbytes_per_source = 1000000000\n"
    ));
    let _callee = server(directory.path(), "uas_quick", &callee.to_string(), &[]);
    let repeated = place(directory.path(), "uac_quick", edge, 15_000, 1500);
    assert_eq!(repeated, 0, "repetitions");
}

/// Two zones with addresses of their own, that tell the world others.
fn advertised(name: &str, callee: SocketAddr) -> (Plan, SocketAddr) {
    let (public, core) = (free_udp("127.0.0.1"), free_udp("127.0.0.2"));
    let plan = Plan::new(
        name,
        vec![listen("udp", public) + "\nadvertise = \"edge.example.com:5060\""],
        vec![listen("udp", core) + "\nadvertise = \"192.0.2.10\""],
        &format!("sip:{callee}"),
    );
    (plan, public)
}

#[test]
fn e02_calls_between_zones_end_from_both_sides() {
    if !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    for (caller, callee_does, shards) in [
        ("uac_quick", "uas_quick", 1),
        ("uac_quick", "uas_quick", 2),
        ("uac_ended", "uas_ends", 2),
    ] {
        let callee = free_udp("127.0.0.2");
        let (mut plan, edge) = advertised("e02", callee);
        plan.edge = format!("shards = {shards}\n");
        let relay = plan.start();
        let directory = plan.directory.path();
        let _callee = server(directory, callee_does, &callee.to_string(), &[]);
        place(directory, caller, edge, 100, 50);
        await_free(&relay);
    }
}

#[test]
fn e02_record_routes_name_what_is_advertised() {
    let callee = free_udp("127.0.0.2");
    let (plan, edge) = advertised("e02-routes", callee);
    let _relay = plan.start();
    let mut bob = Party::udp_at("bob", callee, edge);
    let mut alice = Party::udp("alice", "127.0.0.1", edge);
    let sdp = any_sdp(alice.at.ip());
    let mut call = alice.request("INVITE", "sip:bob@example.com", "", &sdp);
    let invite = bob.expect("INVITE");
    let ways = invite.all("Record-Route");
    let [inner, outer] = ways[..] else {
        panic!("{ways:?}");
    };
    let core_port = invite.from.port();
    assert!(
        inner.starts_with(&format!("<sip:192.0.2.10:{core_port};")),
        "{inner}"
    );
    assert!(outer.starts_with("<sip:edge.example.com:5060;"), "{outer}");
    for way in [inner, outer] {
        assert!(way.contains(";lr") && way.contains(";r2=on"), "{way}");
    }
    assert!(
        invite.header("Via").contains("192.0.2.10"),
        "{}",
        invite.text
    );

    bob.reply(&invite, "200 OK", "b", "", &any_sdp(callee.ip()));
    let answer = alice.expect("200");
    call.answered(&answer);
    assert_eq!(call.routes.len(), 2);
    alice.ack(&call, "");
    let ack = bob.expect("ACK");
    assert_eq!(ack.all("Route"), Vec::<&str>::new(), "both were the edge's");
    let mut back = Dialog::of_callee(&invite, "b");
    bob.again(&mut back, "BYE", "", "");
    let bye = alice.expect("BYE");
    assert!(
        bye.header("Via").contains("edge.example.com"),
        "{}",
        bye.text
    );
    alice.reply(&bye, "200 OK", "", "", "");
    bob.expect("200");
    bob.hears_nothing(Duration::from_millis(50));
}
