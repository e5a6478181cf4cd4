//! Targets tried one after the other (E11).

use super::*;
use crate::config::{Failover, TargetConfig};

const CAROL: &str = "203.0.113.10:5070";

fn two_targets() -> World {
    World::with(
        |c| {
            let second = TargetConfig::new(&format!("sip:{CAROL}"));
            c.upstreams[0].targets.push(second);
            c.routes[0].failover = Failover::default();
        },
        &[EDGE],
    )
}

fn carols_call(world: &mut World, invite: &Sent) {
    assert_eq!(invite.to, addr(CAROL));
    assert_eq!(invite.body(), "relayed alice");
    let contact = "Contact: <sip:bob@203.0.113.10:5070>\r\n";
    let ok = world.recv(CAROL, &response(invite, "200 OK", "c", contact, "carol"));
    assert_eq!(
        (ok[0].to, ok[0].body().as_str()),
        (addr(ALICE), "relayed carol")
    );
    assert_eq!(
        world.relay,
        ["offer a>", "offer a>", "delete a>", "answer a>c"]
    );
    let branches = world.requests.iter().map(|request| {
        let branch = request.extra.iter().find(|(key, _)| key == "via-branch");
        branch.map(|(_, value)| value.as_str())
    });
    let branches: Vec<_> = branches.collect();
    assert_eq!(branches, [Some("b1"), Some("b2"), Some("b1"), Some("b2")]);
    let at_once = ("delete-delay".to_owned(), "0".to_owned());
    assert!(world.requests[2].extra.contains(&at_once));
    let route = invite.all(HeaderId::RecordRoute).join(", ");
    let bye = request(
        "BYE sip:bob@203.0.113.10:5070",
        "198.51.100.7:5060;branch=z9hG4bKbye",
        ("a", "c"),
        "2 BYE",
        &format!("Route: {route}\r\n"),
        "",
    );
    let bye = world.recv(ALICE, &bye);
    assert_eq!(bye[0].to, addr(CAROL));
    world.recv(CAROL, &response(&bye[0], "200 OK", "c", "", ""));
    world.assert_forgotten();
}

#[test]
fn target_that_refuses_with_503_is_followed_by_the_next() {
    let mut world = two_targets();
    let sent = world.recv(ALICE, &invite("alice"));
    let first = forwarded(&sent);
    let sent = world.recv(BOB, &response(&first, "503 Overloaded", "b", "", ""));
    assert!(sent[0].line().starts_with("ACK") && sent[0].to == addr(BOB));
    let second = forwarded(&sent);
    assert!(sent.iter().all(|s| s.to != addr(ALICE)));
    assert_ne!(first.all(HeaderId::Via)[0], second.all(HeaderId::Via)[0]);
    let again = world.recv(BOB, &response(&first, "503 Overloaded", "b", "", ""));
    assert_eq!(
        (again.len(), again[0].line()),
        (1, sent[0].line()),
        "acknowledged again"
    );
    carols_call(&mut world, &second);
}

#[test]
fn silent_target_is_followed_and_cancelled_when_it_rings() {
    let mut world = two_targets();
    let sent = world.recv(ALICE, &invite("alice"));
    let first = forwarded(&sent);
    let sent = world.pass(Duration::from_millis(4100));
    let second = sent.iter().find(|s| s.to == addr(CAROL)).unwrap().clone();
    let sent = world.recv(BOB, &response(&first, "180 Ringing", "b", BOB_CONTACT, ""));
    assert!(sent[0].line().starts_with("CANCEL") && sent[0].to == addr(BOB));
    assert_eq!(sent.len(), 1);
    world.recv(BOB, &response(&sent[0], "200 OK", "b", "", ""));
    // It was answered before it heard of that.
    let sent = world.recv(BOB, &response(&first, "200 OK", "b", BOB_CONTACT, "bob"));
    assert!(sent[0].line().starts_with("ACK") && sent[1].line().starts_with("BYE"));
    assert!(sent.iter().all(|s| s.to == addr(BOB)));
    world.recv(BOB, &response(&sent[1], "200 OK", "b", "", ""));
    carols_call(&mut world, &second);
}

#[test]
fn cancel_to_a_target_that_was_given_up_is_answered_once() {
    let mut world = two_targets();
    let first = forwarded(&world.recv(ALICE, &invite("alice")));
    world.pass(Duration::from_millis(4100));
    let sent = world.recv(BOB, &response(&first, "180 Ringing", "b", BOB_CONTACT, ""));
    world.recv(BOB, &response(&sent[0], "200 OK", "b", "", ""));
    let sent = world.pass(Duration::from_secs(20));
    let repeats = sent.iter().filter(|s| s.line().starts_with("CANCEL"));
    assert_eq!(repeats.filter(|s| s.to == addr(BOB)).count(), 0);
}

#[test]
fn target_that_cannot_be_reached_is_followed() {
    let mut world = two_targets();
    let sent = world.recv(ALICE, &invite("alice"));
    world
        .proxy
        .handle_unsendable(world.now, forwarded(&sent).token);
    let sent = world.pull();
    carols_call(&mut world, &forwarded(&sent));
}

#[test]
fn answers_and_the_best_failure_go_back() {
    for (status, passes) in [
        ("486 Busy Here", true),
        ("603 Decline", true),
        ("500 No", false),
    ] {
        let mut world = two_targets();
        let sent = world.recv(ALICE, &invite("alice"));
        let first = forwarded(&sent);
        let sent = world.recv(BOB, &response(&first, status, "b", "", ""));
        let goes_back = sent.iter().any(|s| s.to == addr(ALICE));
        assert_eq!(goes_back, passes, "{status}");
        if !passes {
            let second = forwarded(&sent);
            let sent = world.recv(CAROL, &response(&second, "504 Slow", "c", "", ""));
            // The best one goes back: of one class, the first.
            assert!(sent[1].line().starts_with("SIP/2.0 500") && sent[1].to == addr(ALICE));
        }
        world.assert_forgotten();
    }
}

#[test]
fn nothing_is_tried_after_early_media_or_cancel() {
    let mut world = two_targets();
    let sent = world.recv(ALICE, &invite("alice"));
    let first = forwarded(&sent);
    world.recv(
        BOB,
        &response(&first, "183 Progress", "b", BOB_CONTACT, "bob"),
    );
    let sent = world.recv(BOB, &response(&first, "500 No", "b", "", ""));
    assert!(
        sent.iter()
            .any(|s| s.to == addr(ALICE) && s.line().contains("500"))
    );
    let mut world = two_targets();
    let sent = world.recv(ALICE, &invite("alice"));
    let first = forwarded(&sent);
    let cancel = invite("").replace("INVITE", "CANCEL");
    world.recv(ALICE, &cancel);
    let sent = world.recv(BOB, &response(&first, "503 No", "b", "", ""));
    assert!(sent.iter().all(|s| s.to != addr(CAROL)));
}
