//! Calls whose media falls silent.

use super::*;
use crate::config::SilentSides;
use crate::record::cdr::EndedBy;

fn world(sides: SilentSides) -> World {
    World::with(
        |c| {
            c.media.silence = Some(Duration::from_secs(60));
            c.media.silent_sides = sides;
        },
        &[EDGE],
    )
}

/// Lets the time pass while the parties `a` and `b` are heard, or not. Whether the call is ended.
fn talk(world: &mut World, seconds: u64, a: bool, b: bool) -> bool {
    for _ in 0..seconds {
        let mut heard = world.heard.take().unwrap_or_default();
        if heard.is_empty() {
            heard = vec![("a".to_owned(), 100), ("b".to_owned(), 100)];
        }
        heard[0].1 += u64::from(a);
        heard[1].1 += u64::from(b);
        world.heard = Some(heard);
        let sent = world.pass(Duration::from_secs(1));
        if sent.iter().any(|s| s.line().starts_with("BYE")) {
            return true;
        }
    }
    false
}

#[test]
fn call_without_media_is_ended_and_says_so() {
    let mut world = world(SilentSides::Both);
    call(&mut world);
    assert!(!talk(&mut world, 600, true, true));
    assert!(!talk(&mut world, 45, false, false));
    assert!(talk(&mut world, 31, false, false));
    let record = &world.records[0].cdr;
    assert_eq!((record.ended_by, record.q850), (EndedBy::Media, Some(102)));
    let byes = world.sent.iter().filter(|s| s.line().starts_with("BYE"));
    let to: Vec<_> = byes.map(|s| s.to).collect();
    assert_eq!(to[..2], [addr(BOB), addr(ALICE)]);
    world.assert_forgotten();
}

#[test]
fn one_silent_party_counts_only_if_it_is_told_so() {
    let mut both = world(SilentSides::Both);
    call(&mut both);
    assert!(!talk(&mut both, 600, false, true));
    let mut one = world(SilentSides::One);
    call(&mut one);
    assert!(!talk(&mut one, 600, true, true));
    assert!(talk(&mut one, 80, false, true));
}

#[test]
fn party_that_holds_may_be_silent() {
    let mut world = world(SilentSides::Both);
    let route = call(&mut world);
    let hold = request(
        "INVITE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKhold",
        ("a", "b"),
        "2 INVITE",
        &format!("{route}Contact: <sip:alice@198.51.100.7:5060>\r\n"),
        "v=0\r\na=sendonly\r\n",
    );
    let sent = world.recv(ALICE, &hold);
    let held = "v=0\r\na=recvonly\r\n";
    world.recv(
        BOB,
        &response(&forwarded(&sent), "200 OK", "b", BOB_CONTACT, held),
    );
    let ack = hold.replace("INVITE", "ACK").replace("bKhold", "bKack2");
    world.recv(ALICE, &ack);
    assert!(!talk(&mut world, 600, false, false));
}

#[test]
fn call_that_the_relay_forgot_is_ended_and_one_that_is_away_says_nothing() {
    let mut world = world(SilentSides::Both);
    call(&mut world);
    world.hold = Some(Vec::new());
    assert!(world.pass(Duration::from_secs(15)).is_empty());
    let token = world.hold.take().unwrap()[0];
    assert!(world.answer(token, Err(MediaError::Timeout)).is_empty());
    world.heard = None;
    let sent = world.pass(Duration::from_secs(15));
    assert!(sent.iter().any(|s| s.line().starts_with("BYE")), "{sent:?}");
    assert_eq!(world.records[0].cdr.ended_by, EndedBy::Media);
    world.assert_forgotten();
}

#[test]
fn relay_that_does_not_tell_ends_no_call() {
    let mut world = world(SilentSides::One);
    call(&mut world);
    assert!(world.pass(Duration::from_secs(600)).is_empty());
    assert!(world.relay.iter().any(|asked| asked.starts_with("query")));
}

#[test]
fn nobody_is_asked_without_the_setting() {
    let mut world = World::new();
    call(&mut world);
    world.pass(Duration::from_secs(600));
    assert!(!world.relay.iter().any(|asked| asked.starts_with("query")));
}
