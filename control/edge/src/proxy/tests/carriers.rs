//! The messages that carry offers and answers (spec §11), one by one, and calls without the relay.

use super::*;
use crate::config::{CORE, Link, OnMediaError};

fn in_dialog(method: &str, number: u32, tags: (&str, &str), route: &str, body: &str) -> String {
    let (uri, via) = match tags.0 {
        "a" => ("sip:bob@203.0.113.9:5070", "198.51.100.7:5060"),
        _ => ("sip:alice@198.51.100.7:5060", "203.0.113.9:5070"),
    };
    request(
        &format!("{method} {uri}"),
        &format!("{via};branch=z9hG4bK{method}{number}{}", tags.1),
        tags,
        &format!("{number} {method}"),
        route,
        body,
    )
}

fn route_of(invite: &Sent) -> String {
    let routes = invite.all(HeaderId::RecordRoute).join(",");
    format!("Route: {routes}\r\n")
}

fn unanchored() -> World {
    World::with(
        |c| {
            c.links.push(Link {
                anchor_media: false,
                ..Link::new([PUBLIC, CORE])
            });
        },
        &[EDGE],
    )
}

fn bypassing() -> World {
    World::with(|c| c.media.on_error = OnMediaError::Bypass, &[EDGE])
}

const SIGNED: (&str, &str) = ("application/sdp", "multipart/signed;boundary=b");

#[test]
fn prack_may_carry_a_second_offer() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    let reliable = format!("{BOB_CONTACT}Require: 100rel\r\nRSeq: 1\r\n");
    let progress = response(&invite, "183 Progress", "b", &reliable, "bob");
    assert_eq!(world.recv(BOB, &progress)[0].body(), "relayed bob");
    let prack = in_dialog("PRACK", 2, ("a", "b"), &route_of(&invite), "more");
    let prack = world.recv(ALICE, &prack);
    assert_eq!(prack[0].body(), "relayed more");
    let ok = world.recv(BOB, &response(&prack[0], "200 OK", "b", "", "yes"));
    assert_eq!(ok[0].body(), "relayed yes");
    let expected = ["offer a>", "answer a>b", "offer a>b", "answer a>b"];
    assert_eq!(world.relay, expected);
}

#[test]
fn update_may_change_an_early_session_from_either_side() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    let reliable = format!("{BOB_CONTACT}Require: 100rel\r\nRSeq: 1\r\n");
    world.recv(
        BOB,
        &response(&invite, "183 Progress", "b", &reliable, "bob"),
    );
    let update = in_dialog("UPDATE", 5, ("b", "a"), &route_of(&invite), "moved");
    let update = world.recv(BOB, &update);
    assert_eq!(
        (update[0].to, update[0].body().as_str()),
        (addr(ALICE), "relayed moved")
    );
    let contact = "Contact: <sip:alice@198.51.100.7:5060>\r\n";
    let ok = world.recv(ALICE, &response(&update[0], "200 OK", "a", contact, "fine"));
    assert_eq!(ok[0].body(), "relayed fine");
    assert_eq!(world.relay[2..], ["offer b>a", "answer b>a"]);
    // The 2xx repeats nothing of it.
    let ok = world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, ""));
    assert_eq!(ok[0].body(), "");
    assert_eq!(world.relay.len(), 4);
}

#[test]
fn refused_update_restores_the_session() {
    let mut world = World::new();
    let route = call(&mut world);
    let update = in_dialog("UPDATE", 5, ("a", "b"), &route, "video");
    let sent = world.recv(ALICE, &update);
    world.recv(
        BOB,
        &response(&sent[0], "488 Not Acceptable Here", "b", "", ""),
    );
    assert_eq!(world.relay[2..], ["offer a>b", "offer a>", "answer a>b"]);
    assert_eq!(world.requests[3..], world.requests[..2]);
}

#[test]
fn answer_of_a_2xx_that_differs_from_the_early_one_is_told_the_relay() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    world.recv(
        BOB,
        &response(&invite, "183 Progress", "b", BOB_CONTACT, "early"),
    );
    let ok = world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, "late"));
    assert_eq!(ok[0].body(), "relayed late");
    assert_eq!(world.relay, ["offer a>", "answer a>b", "answer a>b"]);
}

/// Two callees accept; the caller keeps one of them (RFC 3261 §13.2.2.4).
#[test]
fn second_answer_of_a_fork_ends_alone() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    for tag in ["b1", "b2"] {
        world.recv(
            BOB,
            &response(&invite, "183 Progress", tag, BOB_CONTACT, tag),
        );
    }
    let route = route_of(&invite);
    for tag in ["b1", "b2"] {
        let ok = world.recv(BOB, &response(&invite, "200 OK", tag, BOB_CONTACT, tag));
        assert_eq!(ok[0].body(), format!("relayed {tag}"));
        world.recv(ALICE, &in_dialog("ACK", 1, ("a", tag), &route, ""));
    }
    let bye = world.recv(ALICE, &in_dialog("BYE", 2, ("a", "b1"), &route, ""));
    world.recv(BOB, &response(&bye[0], "200 OK", "b1", "", ""));
    assert_eq!(world.relay[3..], ["delete b1>"], "its branch alone");
    assert!(world.records.is_empty(), "the call goes on");
    let hold = world.recv(ALICE, &in_dialog("INVITE", 4, ("a", "b2"), &route, "hold"));
    world.recv(
        BOB,
        &response(&forwarded(&hold), "200 OK", "b2", BOB_CONTACT, "held"),
    );
    world.recv(ALICE, &in_dialog("ACK", 4, ("a", "b2"), &route, ""));
    let bye = world.recv(BOB, &in_dialog("BYE", 7, ("b2", "a"), &route, ""));
    world.recv(ALICE, &response(&bye[0], "200 OK", "a", "", ""));
    assert_eq!(world.relay.last().unwrap(), "delete a>");
    assert_eq!(world.records.len(), 1);
    world.assert_forgotten();
}

#[test]
fn zones_without_the_relay_between_them_see_untouched_sdp() {
    let mut world = unanchored();
    let route = call(&mut world);
    let bodies: Vec<_> = world
        .sent
        .iter()
        .map(Sent::body)
        .filter(|b| !b.is_empty())
        .collect();
    assert_eq!(bodies, ["alice", "bob"]);
    let bye = world.recv(ALICE, &in_dialog("BYE", 2, ("a", "b"), &route, ""));
    world.recv(BOB, &response(&bye[0], "200 OK", "b", "", ""));
    assert!(world.relay.is_empty());
    world.assert_forgotten();
    // A signed body needs no relay either.
    let mut world = unanchored();
    let sent = world.recv(ALICE, &invite("x").replace(SIGNED.0, SIGNED.1));
    assert_eq!(forwarded(&sent).body(), "x");
}

#[test]
fn offer_passes_a_dead_relay_by_if_it_may_and_so_does_its_answer() {
    let mut world = bypassing();
    world.refuse = true;
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    assert_eq!(invite.body(), "alice");
    let ok = world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, "bob"));
    assert_eq!(ok[0].body(), "bob");
    assert_eq!(world.relay, ["offer a>"]);
    let route = route_of(&invite);
    world.recv(ALICE, &in_dialog("ACK", 1, ("a", "b"), &route, ""));
    // It is back: the next offer is anchored again.
    world.refuse = false;
    let hold = world.recv(ALICE, &in_dialog("INVITE", 2, ("a", "b"), &route, "hold"));
    assert_eq!(forwarded(&hold).body(), "relayed hold");
    let ok = response(&forwarded(&hold), "200 OK", "b", BOB_CONTACT, "held");
    assert_eq!(world.recv(BOB, &ok)[0].body(), "relayed held");
}

#[test]
fn late_offer_passes_a_dead_relay_by_as_well() {
    let mut world = bypassing();
    world.refuse = true;
    let sent = world.recv(ALICE, &invite(""));
    let invite = forwarded(&sent);
    let ok = world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, "bob"));
    assert_eq!(ok[0].body(), "bob");
    let ack = in_dialog("ACK", 1, ("a", "b"), &route_of(&invite), "alice");
    assert_eq!(world.recv(ALICE, &ack)[0].body(), "alice");
}

#[test]
fn change_that_was_bypassed_and_refused_leaves_the_session_at_the_relay() {
    let mut world = bypassing();
    let route = call(&mut world);
    world.refuse = true;
    let sent = world.recv(ALICE, &in_dialog("INVITE", 2, ("a", "b"), &route, "video"));
    assert_eq!(forwarded(&sent).body(), "video");
    world.refuse = false;
    let no = response(&forwarded(&sent), "488 Not Acceptable Here", "b", "", "");
    world.recv(BOB, &no);
    assert_eq!(world.relay[2..], ["offer a>b", "offer a>", "answer a>b"]);
}

#[test]
fn answer_that_the_relay_lost_is_refused_even_so() {
    // The callee sends to the relay: with the caller's own address it would hear nothing.
    let mut world = bypassing();
    let sent = world.recv(ALICE, &invite("alice"));
    world.refuse = true;
    let ok = response(&forwarded(&sent), "200 OK", "b", BOB_CONTACT, "bob");
    let out = world.recv(BOB, &ok);
    assert_eq!(out.last().unwrap().line(), "SIP/2.0 503 Media Unavailable");
}

#[test]
fn signed_offer_passes_where_the_relay_may_be_left_out() {
    let mut world = bypassing();
    let sent = world.recv(ALICE, &invite("x").replace(SIGNED.0, SIGNED.1));
    assert_eq!(forwarded(&sent).body(), "x");
}
