use super::*;
use crate::stats::DropReason;

fn line_for(text: &str) -> String {
    let mut world = World::new();
    world
        .recv(ALICE, text)
        .first()
        .map_or_else(|| "nothing".into(), Sent::line)
}

#[test]
fn requests_are_checked_in_order() {
    let ok = invite("");
    assert!(line_for(&ok.replace("sip:bob@edge.example", "gopher:x")).starts_with("SIP/2.0 416"));
    assert!(line_for(&ok.replace("Forwards: 70", "Forwards: 0")).starts_with("SIP/2.0 483"));
    let both = ok
        .replace("Forwards: 70", "Forwards: 0")
        .replace("sip:bob@edge.example", "gopher:x");
    assert!(line_for(&both).starts_with("SIP/2.0 416"));
    assert!(line_for(&ok.replace("CSeq: 1 INVITE", "CSeq: 1 BYE")).starts_with("SIP/2.0 400"));
    assert!(line_for(&ok.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia")).starts_with("SIP/2.0 505"));
    let mut world = World::new();
    let out = world.recv(
        ALICE,
        &ok.replace("Call-ID", "Proxy-Require: x1 , x2\r\nCall-ID"),
    );
    assert!(out[0].line().starts_with("SIP/2.0 420"));
    assert!(out[0].text().contains("\r\nUnsupported: x1, x2\r\n"));
}

#[test]
fn absent_max_forwards_is_added_and_high_ones_are_lowered() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("").replace("Max-Forwards: 70\r\n", ""));
    assert_eq!(sent[1].all(HeaderId::MaxForwards), ["70"]);
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("").replace("Forwards: 70", "Forwards: 255"));
    assert_eq!(sent[1].all(HeaderId::MaxForwards), ["70"]);
}

#[test]
fn loop_is_refused_and_spiral_allowed() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite(""));
    let looped = sent[1].text().replacen(
        "Via: ",
        "Via: SIP/2.0/UDP 203.0.113.9:5070;branch=z9hG4bKupstream\r\nVia: ",
        1,
    );
    let out = world.recv(BOB, &looped);
    assert!(
        out[0].line().starts_with("SIP/2.0 482 Loop"),
        "{}",
        out[0].line()
    );
    let spiral = looped
        .replace(
            "INVITE sip:bob@edge.example",
            "INVITE sip:carol@198.51.100.8",
        )
        .replace("tag=a", "tag=z");
    let out = world.recv(BOB, &spiral);
    assert_eq!(out[0].line(), "SIP/2.0 100 Trying");
}

#[test]
fn merged_request_is_refused() {
    let mut world = World::new();
    world.recv(ALICE, &invite(""));
    let out = world.recv(ALICE, &invite("").replace("z9hG4bKinv", "z9hG4bKother"));
    assert!(out[0].line().starts_with("SIP/2.0 482 Merged"));
}

#[test]
fn strangers_in_dialog_get_481_and_their_acks_silence() {
    let mut world = World::new();
    let bye = request(
        "BYE sip:bob@203.0.113.9",
        "198.51.100.7:5060;branch=z9hG4bKb",
        ("q", "r"),
        "2 BYE",
        "",
        "",
    );
    assert!(world.recv(ALICE, &bye)[0].line().starts_with("SIP/2.0 481"));
    assert!(world.recv(ALICE, &bye.replace("BYE", "ACK")).is_empty());
    assert_eq!(
        world.proxy.stats.snapshot().dropped(DropReason::StrayAck),
        1
    );
}

#[test]
fn forged_cookie_is_refused() {
    let mut world = World::new();
    let route = call(&mut world);
    let forged = route.replace(";did=00.", ";did=01.");
    let bye = request(
        "BYE sip:bob@203.0.113.9",
        "198.51.100.7:5060;branch=z9hG4bKb",
        ("a", "b"),
        "2 BYE",
        &forged,
        "",
    );
    assert!(world.recv(ALICE, &bye)[0].line().starts_with("SIP/2.0 403"));
}

#[test]
fn stray_responses_are_dropped_and_counted() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite(""));
    let stray = response(&sent[1], "200 OK", "b", "", "")
        .replace("z9hG4bK00", "z9hG4bK01")
        .replacen("192.0.2.1", "192.0.2.2", 1);
    assert!(world.recv(BOB, &stray).is_empty());
    assert_eq!(
        world
            .proxy
            .stats
            .snapshot()
            .dropped(DropReason::StrayResponse),
        1
    );
}

#[test]
fn full_tables_refuse_new_calls_only() {
    let mut world = World::with(|c| c.tables.dialogs = 1, &[EDGE]);
    let route = call(&mut world);
    let second = invite("")
        .replace("tag=a", "tag=c")
        .replace("z9hG4bKinv", "z9hG4bKtwo");
    assert!(
        world.recv(ALICE, &second)[0]
            .line()
            .starts_with("SIP/2.0 503")
    );
    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKb",
        ("a", "b"),
        "2 BYE",
        &route,
        "",
    );
    assert!(world.recv(ALICE, &bye)[0].line().starts_with("BYE"));
}

#[test]
fn old_calls_are_forgotten() {
    let mut world = World::new();
    call(&mut world);
    world.pass(Duration::from_secs(43_300));
    assert_eq!(world.relay.last().unwrap(), "delete a>");
    world.assert_forgotten();
}

#[test]
fn untouched_bytes_leave_as_they_came() {
    let mut world = World::new();
    let odd = "X-Odd :\t\u{e9}\u{1}  a\r\n b ;;,\r\ns: x\r\n";
    let sent = world.recv(ALICE, &invite_with("", odd));
    assert!(sent[1].text().contains(odd));
}

#[test]
fn strangers_addresses_in_a_request_uri_are_not_served() {
    let mut world = World::new();
    let route = call(&mut world);
    let info = request(
        "INFO sip:victim@203.0.113.66:53",
        "198.51.100.7:5060;branch=z9hG4bKi",
        ("a", "b"),
        "2 INFO",
        &route,
        "",
    );
    assert_eq!(
        world.recv(ALICE, &info)[0].to,
        addr(BOB),
        "only what the other side named"
    );
}

#[test]
fn upstream_may_route_through_further_proxies() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let ok = response(
        &sent[1],
        "200 OK",
        "b",
        "Contact: <sip:bob@203.0.113.77:5090>\r\n",
        "bob",
    );
    let ok = ok.replacen(
        "Record-Route: ",
        "Record-Route: <sip:203.0.113.9:5070;lr>\r\nRecord-Route: ",
        1,
    );
    let ok = world.recv(BOB, &ok);
    let mut routes = ok[0].all(HeaderId::RecordRoute);
    routes.reverse();
    let route = format!("Route: {}\r\n", routes.join(", "));
    let ack = request(
        "ACK sip:bob@203.0.113.77:5090",
        "198.51.100.7:5060;branch=z9hG4bKa",
        ("a", "b"),
        "1 ACK",
        &route,
        "",
    );
    let ack = world.recv(ALICE, &ack);
    assert_eq!(
        (ack[0].to, ack[0].all(HeaderId::Route)),
        (addr(BOB), vec!["<sip:203.0.113.9:5070;lr>".into()])
    );
}

#[test]
fn callee_contact_beyond_the_upstream_is_reached() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.recv(
        BOB,
        &response(
            &sent[1],
            "200 OK",
            "b",
            "Contact: <sip:bob@203.0.113.77:5090>\r\n",
            "bob",
        ),
    );
    let route = format!(
        "Route: {}\r\n",
        sent[1].all(HeaderId::RecordRoute).join(", ")
    );
    let ack = request(
        "ACK sip:bob@203.0.113.77:5090",
        "198.51.100.7:5060;branch=z9hG4bKa",
        ("a", "b"),
        "1 ACK",
        &route,
        "",
    );
    assert_eq!(world.recv(ALICE, &ack)[0].to, addr("203.0.113.77:5090"));
}

#[test]
fn upstream_probes_are_answered() {
    let mut world = World::new();
    let probe = request(
        "OPTIONS sip:192.0.2.1:5060",
        "203.0.113.9:5070;branch=z9hG4bKp",
        ("p", ""),
        "1 OPTIONS",
        "",
        "",
    );
    let out = world.recv(BOB, &probe);
    assert_eq!(
        (out[0].line().as_str(), out[0].to),
        ("SIP/2.0 200 OK", addr(BOB))
    );
    // It goes no further, so that it needs no hops.
    let last = probe.replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(world.recv(BOB, &last)[0].line(), "SIP/2.0 200 OK");
    world.proxy.drain(true);
    let out = world.recv(BOB, &probe);
    assert_eq!(out[0].line(), "SIP/2.0 503 Service Unavailable");
    assert!(out[0].text().contains("Retry-After: 5\r\n"));
}

#[test]
fn subscription_goes_on_by_its_cookie() {
    let mut world = World::new();
    let subscribe = request(
        "SUBSCRIBE sip:bob@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKs",
        ("a", ""),
        "1 SUBSCRIBE",
        "",
        "",
    );
    let sent = world.recv(ALICE, &subscribe);
    let route = format!("Route: {}\r\n", sent[0].all(HeaderId::RecordRoute)[0]);
    let refresh = request(
        "SUBSCRIBE sip:n@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKs2",
        ("a", "n"),
        "2 SUBSCRIBE",
        &route,
        "",
    );
    assert_eq!(world.recv(ALICE, &refresh)[0].to, addr(BOB));
    let notify = request(
        "NOTIFY sip:alice@198.51.100.7:5060",
        "203.0.113.9:5070;branch=z9hG4bKn",
        ("n", "a"),
        "1 NOTIFY",
        &route,
        "",
    );
    assert_eq!(world.recv(BOB, &notify)[0].to, addr(ALICE));
}

#[test]
fn own_responses_name_a_server_only_if_told() {
    let busy = |server: &str| {
        let server = server.to_owned();
        let mut world = World::with(|c| c.server_header = server, &[EDGE]);
        let sent = world.recv(ALICE, &invite("").replace("Forwards: 70", "Forwards: 0"));
        sent[0].text()
    };
    assert!(busy("Edge 1").contains("\r\nServer: Edge 1\r\n"));
    assert!(!busy("").contains("Server"));
    let mut world = World::with(|c| c.server_header = "Edge 1".to_owned(), &[EDGE]);
    let sent = world.recv(ALICE, &invite("alice"));
    assert!(sent[0].text().contains("\r\nServer: Edge 1\r\n"), "the 100");
    let ok = response(&forwarded(&sent), "200 OK", "b", BOB_CONTACT, "bob");
    assert!(
        !world.recv(BOB, &ok)[0].text().contains("Server"),
        "not ours"
    );
}
