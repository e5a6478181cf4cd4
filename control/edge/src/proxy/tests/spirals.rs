//! Calls that a proxy sends through the edge again: from phone to phone, and to several phones.

use super::*;
use crate::limits;

const CAROL: &str = "198.51.100.8:5060";
const DAVE: &str = "198.51.100.9:5060";

/// The proxy sends what it received to a phone, by way of the edge.
fn sent_on(received: &Sent, branch: &str, phone: &str) -> String {
    let via = format!("Via: SIP/2.0/UDP 203.0.113.9:5070;branch=z9hG4bK{branch}\r\nVia: ");
    let text = received.text().replacen("Via: ", &via, 1);
    let line = format!("INVITE sip:phone@{phone} SIP/2.0");
    text.replacen(&received.line(), &line, 1)
}

/// The proxy gives a response back: without its Via.
fn given_back(received: &Sent) -> String {
    let text = received.text();
    let own = text.find("Via: SIP/2.0/UDP 203.0.113.9").unwrap();
    let end = own + text[own..].find("\r\n").unwrap() + 2;
    [&text[..own], &text[end..]].concat()
}

fn contact(phone: &str) -> String {
    format!("Contact: <sip:phone@{phone}>\r\n")
}

/// Rows of the route set that the caller has from a 200.
fn routes(ok: &Sent) -> String {
    let mut routes = ok.all(HeaderId::RecordRoute);
    routes.reverse();
    format!("Route: {}\r\n", routes.join(", "))
}

fn of_caller(method: &str, number: u32, route: &str) -> String {
    request(
        &format!("{method} sip:phone@{CAROL}"),
        &format!("198.51.100.7:5060;branch=z9hG4bK{method}{number}"),
        ("a", "c"),
        &format!("{number} {method}"),
        route,
        "",
    )
}

/// The proxy sends a request on by its next Route, which is the edge.
fn back(world: &mut World, received: &Sent, branch: &str) -> Vec<Sent> {
    let via = format!("Via: SIP/2.0/UDP 203.0.113.9:5070;branch=z9hG4bK{branch}\r\nVia: ");
    let text = received.text().replacen("Via: ", &via, 1);
    world.recv(BOB, &text)
}

#[test]
fn call_from_phone_to_phone_passes_twice_and_ends_twice() {
    let mut world = World::new();
    let first = forwarded(&world.recv(ALICE, &invite("alice")));
    assert_eq!(
        (first.to, first.body().as_str()),
        (addr(BOB), "relayed alice")
    );
    let second = world.recv(BOB, &sent_on(&first, "p1", CAROL));
    let second = forwarded(&second);
    assert_eq!(second.to, addr(CAROL));
    assert_eq!(second.body(), "relayed relayed alice");
    let ok = response(&second, "200 OK", "c", &contact(CAROL), "carol");
    let ok = world.recv(CAROL, &ok);
    assert_eq!(ok[0].to, addr(BOB));
    let ok = world.recv(BOB, &given_back(&ok[0]));
    assert_eq!(
        (ok[0].to, ok[0].body().as_str()),
        (addr(ALICE), "relayed relayed carol")
    );
    let route = routes(&ok[0]);
    for (method, number) in [("ACK", 1), ("BYE", 2)] {
        let sent = world.recv(ALICE, &of_caller(method, number, &route));
        assert_eq!(
            sent[0].to,
            addr(BOB),
            "{method} does not leave the proxy out"
        );
        assert_eq!(sent[0].all(HeaderId::Route).len(), 1);
        let sent = back(&mut world, &sent[0], method);
        assert_eq!(
            (sent[0].to, sent[0].all(HeaderId::Route).len()),
            (addr(CAROL), 0)
        );
        if method == "BYE" {
            let done = world.recv(CAROL, &response(&sent[0], "200 OK", "c", "", ""));
            world.recv(BOB, &given_back(&done[0]));
        }
    }
    assert_eq!(world.records.len(), 2);
    let deletes = world
        .relay
        .iter()
        .filter(|asked| asked.starts_with("delete"));
    assert_eq!(deletes.count(), 2);
    world.assert_forgotten();
}

#[test]
fn callee_reaches_the_caller_by_the_same_two_passes() {
    let mut world = World::new();
    let first = forwarded(&world.recv(ALICE, &invite("alice")));
    let second = forwarded(&world.recv(BOB, &sent_on(&first, "p1", CAROL)));
    let routes = second.all(HeaderId::RecordRoute).join(", ");
    let ok = world.recv(
        CAROL,
        &response(&second, "200 OK", "c", &contact(CAROL), "carol"),
    );
    world.recv(BOB, &given_back(&ok[0]));
    let bye = request(
        "BYE sip:alice@198.51.100.7:5060",
        "198.51.100.8:5060;branch=z9hG4bKbye",
        ("c", "a"),
        "1 BYE",
        &format!("Route: {routes}\r\n"),
        "",
    );
    let sent = world.recv(CAROL, &bye);
    assert_eq!(sent[0].to, addr(BOB));
    let sent = back(&mut world, &sent[0], "bye");
    assert_eq!(sent[0].to, addr(ALICE));
    let done = world.recv(ALICE, &response(&sent[0], "200 OK", "a", "", ""));
    world.recv(BOB, &given_back(&done[0]));
    assert_eq!(world.records.len(), 2);
    world.assert_forgotten();
}

#[test]
fn proxy_may_ring_several_phones_through_the_edge() {
    let mut world = World::new();
    let first = forwarded(&world.recv(ALICE, &invite("alice")));
    let carol = forwarded(&world.recv(BOB, &sent_on(&first, "p1", CAROL)));
    let dave = forwarded(&world.recv(BOB, &sent_on(&first, "p2", DAVE)));
    assert_eq!((carol.to, dave.to), (addr(CAROL), addr(DAVE)));
    let merged = world.recv(BOB, &sent_on(&first, "p3", DAVE));
    assert!(
        merged[0].line().starts_with("SIP/2.0 482 Merged"),
        "the same once more"
    );
    let ok = world.recv(
        DAVE,
        &response(&dave, "200 OK", "d", &contact(DAVE), "dave"),
    );
    let ok = world.recv(BOB, &given_back(&ok[0]));
    assert_eq!(ok[0].to, addr(ALICE));
    let busy = world.recv(CAROL, &response(&carol, "486 Busy Here", "c", "", ""));
    assert!(busy.iter().any(|s| s.to == addr(BOB)));
    let live = world
        .proxy
        .calls(world.now, &CallFilter::default(), None, 10)
        .found;
    let ended = live.iter().filter(|call| call.state == CallState::Ended);
    assert_eq!((live.len(), ended.count()), (3, 1));
}

#[test]
fn call_passes_so_often_only() {
    let mut world = World::new();
    let first = forwarded(&world.recv(ALICE, &invite("alice")));
    let phone = |n: usize| format!("198.51.100.{n}:5060");
    let mut last = String::new();
    for n in 0..limits::FORKS {
        let text = sent_on(&first, &format!("x{n}"), &phone(n + 20));
        last = world.recv(BOB, &text)[0].line();
    }
    assert!(last.starts_with("SIP/2.0 503"), "{last}");
}
