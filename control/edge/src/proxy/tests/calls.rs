use super::*;

#[test]
fn call_is_set_up_and_ended_by_the_caller() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    assert_eq!(sent[0].line(), "SIP/2.0 100 Trying");
    assert_eq!(sent[0].to, addr(ALICE));
    let invite = sent[1].clone();
    assert_eq!(
        (invite.to, invite.line().as_str()),
        (addr(BOB), "INVITE sip:bob@edge.example SIP/2.0")
    );
    let vias = invite.all(HeaderId::Via);
    assert!(
        vias[0].starts_with("SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK00"),
        "{vias:?}"
    );
    assert_eq!(
        vias[1],
        "SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKinv;rport=5060;received=198.51.100.7"
    );
    assert!(invite.all(HeaderId::RecordRoute)[0].starts_with("<sip:192.0.2.1:5060;lr;did=00."));
    assert_eq!(invite.all(HeaderId::MaxForwards), ["69"]);
    assert_eq!(invite.body(), "relayed alice");

    let ringing = world.recv(BOB, &response(&invite, "180 Ringing", "b", BOB_CONTACT, ""));
    assert_eq!((ringing.len(), ringing[0].to), (1, addr(ALICE)));
    assert_eq!(ringing[0].all(HeaderId::Via).len(), 1);
    let ok = world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, "bob"));
    assert_eq!(ok[0].body(), "relayed bob");
    let again = world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, "bob"));
    assert_eq!(again[0].body(), "relayed bob", "each 2xx is forwarded");
    assert_eq!(world.relay, ["offer a>", "answer a>b"], "and answered once");

    let route = format!("Route: {}\r\n", ok[0].all(HeaderId::RecordRoute).join(","));
    let ack = request(
        "ACK sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKack",
        ("a", "b"),
        "1 ACK",
        &route,
        "",
    );
    let first = world.recv(ALICE, &ack);
    let second = world.recv(ALICE, &ack);
    assert_eq!(first[0].to, addr(BOB));
    assert!(first[0].all(HeaderId::Route).is_empty());
    assert_eq!(
        first[0].text(),
        second[0].text(),
        "a repeated ACK has the same branch"
    );

    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKbye",
        ("a", "b"),
        "2 BYE",
        &route,
        "",
    );
    let bye = world.recv(ALICE, &bye);
    assert_eq!(bye[0].to, addr(BOB));
    let done = world.recv(BOB, &response(&bye[0], "200 OK", "b", "", ""));
    assert_eq!(done[0].to, addr(ALICE));
    assert_eq!(world.relay.last().unwrap(), "delete a>");
    world.assert_forgotten();
}

#[test]
fn callee_hangs_up_to_a_caller_behind_nat() {
    let mut world = World::new();
    let nat = "198.51.100.7:41000";
    let invite = invite("alice").replace("198.51.100.7:5060", "10.0.0.4:5060");
    let sent = world.recv(nat, &invite);
    assert_eq!(sent[0].to, addr(nat));
    let invite = sent[1].clone();
    let ok = world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, "bob"));
    assert_eq!(ok[0].to, addr(nat));
    let route = format!("Route: {}\r\n", invite.all(HeaderId::RecordRoute).join(","));
    let bye = request(
        "BYE sip:alice@10.0.0.4:5060",
        "203.0.113.9:5070;branch=z9hG4bKbye",
        ("b", "a"),
        "1 BYE",
        &route,
        "",
    );
    let bye = world.recv(BOB, &bye);
    assert_eq!(bye[0].to, addr(nat), "the Contact leads nowhere");
    let done = world.recv(nat, &response(&bye[0], "200 OK", "a", "", ""));
    assert_eq!(done[0].to, addr(BOB));
    world.assert_forgotten();
}

#[test]
fn busy_is_acknowledged_on_both_sides_and_frees_the_media() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let busy = world.recv(BOB, &response(&sent[1], "486 Busy Here", "b", "", ""));
    assert!(busy[0].line().starts_with("ACK sip:bob@edge.example"));
    assert_eq!(
        busy[0].all(HeaderId::Via),
        [sent[1].all(HeaderId::Via)[0].clone()]
    );
    assert_eq!(
        (busy[1].line().as_str(), busy[1].to),
        ("SIP/2.0 486 Busy Here", addr(ALICE))
    );
    assert_eq!(world.relay, ["offer a>", "delete a>"]);
    let ack = request(
        "ACK sip:bob@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKinv;rport",
        ("a", "b"),
        "1 ACK",
        "",
        "",
    );
    assert!(world.recv(ALICE, &ack).is_empty(), "absorbed");
    assert!(
        world.pass(Duration::from_secs(4)).is_empty(),
        "no more repeats"
    );
    world.assert_forgotten();
}

#[test]
fn lost_ack_repeats_the_failure() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.recv(BOB, &response(&sent[1], "486 Busy Here", "b", "", ""));
    let repeats = world.pass(Duration::from_secs(2));
    assert_eq!(repeats.len(), 2);
    assert!(repeats.iter().all(|s| s.line() == "SIP/2.0 486 Busy Here"));
    world.assert_forgotten();
}

#[test]
fn credentials_revive_the_call() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.recv(
        BOB,
        &response(&sent[1], "407 Proxy Authentication Required", "x", "", ""),
    );
    let again = invite("alice")
        .replace("z9hG4bKinv", "z9hG4bKinv2")
        .replace("1 INVITE", "2 INVITE");
    let sent = world.recv(ALICE, &again);
    assert!(sent[1].line().starts_with("INVITE"));
    assert_eq!(world.relay, ["offer a>", "delete a>", "offer a>"]);
    world.recv(BOB, &response(&sent[1], "200 OK", "b", BOB_CONTACT, "bob"));
    world.pass(Duration::from_secs(60));
    assert_eq!(world.proxy.dialogs.len(), 1);
}

fn cancel() -> String {
    request(
        "CANCEL sip:bob@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKinv;rport",
        ("a", ""),
        "1 CANCEL",
        "Reason: SIP;cause=200\r\n",
        "",
    )
}

#[test]
fn cancel_after_ringing_goes_on_at_once() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.recv(
        BOB,
        &response(&sent[1], "180 Ringing", "b", BOB_CONTACT, ""),
    );
    let out = world.recv(ALICE, &cancel());
    assert_eq!(
        (out[0].line().as_str(), out[0].to),
        ("SIP/2.0 200 OK", addr(ALICE))
    );
    assert!(out[1].line().starts_with("CANCEL sip:bob@edge.example"));
    assert_eq!(
        out[1].all(HeaderId::Via),
        [sent[1].all(HeaderId::Via)[0].clone()]
    );
    assert_eq!(out[1].all(HeaderId::Reason), ["SIP;cause=200"]);
    assert!(
        world
            .recv(BOB, &response(&out[1], "200 OK", "b", "", ""))
            .is_empty()
    );
    let ended = world.recv(
        BOB,
        &response(&sent[1], "487 Request Terminated", "b", "", ""),
    );
    assert!(ended[0].line().starts_with("ACK"));
    assert_eq!(ended[1].line(), "SIP/2.0 487 Request Terminated");
    assert_eq!(world.relay.last().unwrap(), "delete a>");
    world.assert_forgotten();
}

#[test]
fn cancel_before_any_response_waits_for_one() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let out = world.recv(ALICE, &cancel());
    assert_eq!((out.len(), out[0].line().as_str()), (1, "SIP/2.0 200 OK"));
    let out = world.recv(BOB, &response(&sent[1], "100 Trying", "b", "", ""));
    assert!(out[0].line().starts_with("CANCEL"));
    // The callee never answers again.
    let out = world.pass(Duration::from_secs(40));
    assert!(
        out.iter()
            .any(|s| s.line() == "SIP/2.0 487 Request Terminated")
    );
    world.assert_forgotten();
}

#[test]
fn cancel_crossing_200_lets_the_call_be() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.recv(
        BOB,
        &response(&sent[1], "180 Ringing", "b", BOB_CONTACT, ""),
    );
    world.recv(ALICE, &cancel());
    let out = world.recv(BOB, &response(&sent[1], "200 OK", "b", BOB_CONTACT, "bob"));
    assert_eq!(
        (out[0].line().as_str(), out[0].to),
        ("SIP/2.0 200 OK", addr(ALICE))
    );
    assert!(!world.relay.iter().any(|r| r.starts_with("delete")));
}

#[test]
fn cancel_of_nothing_is_481() {
    let mut world = World::new();
    let out = world.recv(ALICE, &cancel());
    assert!(out[0].line().starts_with("SIP/2.0 481"));
}

#[test]
fn dead_upstream_gives_408_after_repeats() {
    let mut world = World::new();
    world.recv(ALICE, &invite("alice"));
    let out = world.pass(Duration::from_secs(33));
    let invites = out
        .iter()
        .filter(|s| s.line().starts_with("INVITE"))
        .count();
    assert_eq!(invites, 6);
    assert!(
        out.iter()
            .any(|s| s.line() == "SIP/2.0 408 Request Timeout")
    );
    assert_eq!(world.relay.last().unwrap(), "delete a>");
    world.assert_forgotten();
}

#[test]
fn endless_ringing_is_cancelled_by_timer_c() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.recv(
        BOB,
        &response(&sent[1], "180 Ringing", "b", BOB_CONTACT, ""),
    );
    let out = world.pass(Duration::from_secs(181));
    assert!(out[0].line().starts_with("CANCEL"), "{out:?}");
}

#[test]
fn repeated_invite_gets_the_last_response() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    assert_eq!(
        world.recv(ALICE, &invite("alice"))[0].line(),
        "SIP/2.0 100 Trying"
    );
    world.recv(
        BOB,
        &response(&sent[1], "180 Ringing", "b", BOB_CONTACT, ""),
    );
    let again = world.recv(ALICE, &invite("alice"));
    assert_eq!(
        (again.len(), again[0].line().as_str()),
        (1, "SIP/2.0 180 Ringing")
    );
}

#[test]
fn the_upstreams_503_is_not_ours() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let out = world.recv(BOB, &response(&sent[1], "503 Overloaded", "b", "", ""));
    assert_eq!(out[1].line(), "SIP/2.0 500 Server Internal Error");
}

#[test]
fn unanswered_options_ends_in_silence() {
    let mut world = World::new();
    let options = request(
        "OPTIONS sip:x@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKo",
        ("a", ""),
        "1 OPTIONS",
        "",
        "",
    );
    let sent = world.recv(ALICE, &options);
    assert_eq!((sent.len(), sent[0].to), (1, addr(BOB)));
    assert!(sent[0].all(HeaderId::RecordRoute).is_empty());
    let out = world.pass(Duration::from_secs(40));
    assert!(out.iter().all(|s| s.line().starts_with("OPTIONS")));
    world.assert_forgotten();
}

#[test]
fn call_from_the_upstream_goes_to_its_request_uri() {
    let mut world = World::new();
    let invite = invite("bob")
        .replace("sip:bob@edge.example", "sip:alice@198.51.100.7:5060")
        .replace("198.51.100.7:5060;branch", "203.0.113.9:5070;branch");
    let sent = world.recv(BOB, &invite);
    assert_eq!(sent[1].to, addr(ALICE));
    let refused = invite
        .replace("alice@198.51.100.7:5060", "alice@255.255.255.255")
        .replace("z9hG4bKinv", "z9hG4bKx")
        .replace("tag=a", "tag=c");
    assert!(
        world.recv(BOB, &refused)[0]
            .line()
            .starts_with("SIP/2.0 404")
    );
}

#[test]
fn two_families_get_two_record_routes() {
    let (edge6, bob6) = ("[2001:db8::1]:5060", "[2001:db8::9]:5070");
    let mut world = World::with(
        |c| c.upstreams[0].targets[0].uri = format!("sip:{bob6}"),
        &[EDGE, edge6],
    );
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = sent[1].clone();
    assert_eq!((invite.to, invite.listener), (addr(bob6), 1));
    let routes = invite.all(HeaderId::RecordRoute);
    assert!(
        routes[0].starts_with("<sip:[2001:db8::1]:5060;lr;r2=on;did="),
        "{routes:?}"
    );
    assert!(routes[1].starts_with("<sip:192.0.2.1:5060;lr;r2=on;did="));
    assert_eq!(world.requests[0].address_family, Some(crate::Family::Ip6));
    let contact = "Contact: <sip:bob@[2001:db8::9]:5070>\r\n";
    let ok = response(&invite, "200 OK", "b", contact, "bob");
    let ok = world.recv_on(1, bob6, ok.as_bytes());
    assert_eq!((ok[0].to, ok[0].listener), (addr(ALICE), 0));
    // The callee's route set is in the order of the rows, the caller's reversed.
    let route = format!("Route: {}\r\n", routes.join(", "));
    let bye = request(
        "BYE sip:alice@198.51.100.7:5060",
        "[2001:db8::9]:5070;branch=z9hG4bKbye",
        ("b", "a"),
        "1 BYE",
        &route,
        "",
    );
    let bye = world.recv_on(1, bob6, bye.as_bytes());
    assert_eq!((bye[0].to, bye[0].listener), (addr(ALICE), 0));
    assert!(bye[0].all(HeaderId::Route).is_empty());
}

#[test]
fn late_2xx_is_forwarded_by_its_via() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let ok = response(&sent[1], "200 OK", "b", BOB_CONTACT, "bob");
    world.recv(BOB, &ok);
    world.pass(Duration::from_secs(40));
    assert!(world.proxy.transits.is_empty());
    let late = world.recv(BOB, &ok);
    assert_eq!(
        (late[0].to, late[0].body().as_str()),
        (addr(ALICE), "relayed bob")
    );
}
