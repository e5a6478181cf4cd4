//! A shard that does not keep up.

use super::*;

const LATE: Duration = Duration::from_millis(21);
const IN_TIME: Duration = Duration::from_millis(20);

/// Messages wait so long for these tenths of a second.
fn wait(world: &mut World, waited: Duration, tenths: u32) {
    for _ in 0..tenths {
        world.now += Duration::from_millis(100);
        world.proxy.handle_delay(world.now, waited);
    }
}

fn numbered(world: &mut World, method: &str, user: &str) -> String {
    let n = world.proxy.sequence;
    let text = request(
        &format!("{method} sip:{user}@edge.example"),
        &format!("198.51.100.7:5060;branch=z9hG4bK{method}{n};rport"),
        ("a", ""),
        &format!("1 {method}"),
        "Contact: <sip:alice@198.51.100.7:5060>\r\n",
        "",
    );
    text.replace("Call-ID: c1", &format!("Call-ID: {method}{user}{n}"))
}

fn is_shed(world: &mut World, method: &str, user: &str) -> bool {
    let text = numbered(world, method, user);
    let sent = world.recv(ALICE, &text);
    let is_shed = sent[0].line().starts_with("SIP/2.0 503");
    if is_shed {
        let after = sent[0].text();
        let after = after.split("Retry-After: ").nth(1).unwrap();
        let after: u32 = after.lines().next().unwrap().parse().unwrap();
        assert!((5..=30).contains(&after), "{after}");
    }
    is_shed
}

#[test]
fn registrations_are_shed_first_then_calls_and_both_come_back() {
    let mut world = World::with(|c| c.overload.priority = vec!["112".to_owned()], &[EDGE]);
    let route = call(&mut world);
    wait(&mut world, LATE, 10);
    assert!(
        !is_shed(&mut world, "REGISTER", "x"),
        "not for a whole second yet"
    );
    wait(&mut world, LATE, 1);
    assert!(is_shed(&mut world, "REGISTER", "x"));
    assert!(!is_shed(&mut world, "INVITE", "x"));
    wait(&mut world, LATE, 10);
    for method in ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE"] {
        assert!(is_shed(&mut world, method, "x"), "{method}");
    }
    assert!(!is_shed(&mut world, "OPTIONS", "x"));
    assert!(!is_shed(&mut world, "INVITE", "112"));
    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKbye",
        ("a", "b"),
        "2 BYE",
        &route,
        "",
    );
    assert_eq!(world.recv(ALICE, &bye)[0].to, addr(BOB));
    wait(&mut world, IN_TIME, 11);
    assert!(!is_shed(&mut world, "INVITE", "x") && is_shed(&mut world, "REGISTER", "x"));
    wait(&mut world, IN_TIME, 10);
    assert!(!is_shed(&mut world, "REGISTER", "x"));
}

#[test]
fn short_peaks_are_served() {
    let mut world = World::new();
    for _ in 0..20 {
        wait(&mut world, LATE, 9);
        wait(&mut world, IN_TIME, 1);
    }
    assert!(!is_shed(&mut world, "REGISTER", "x"));
}

#[test]
fn nothing_is_shed_where_nobody_wants_it() {
    let mut world = World::with(|c| c.overload.shed_after = Duration::ZERO, &[EDGE]);
    wait(&mut world, LATE * 100, 100);
    assert!(!is_shed(&mut world, "REGISTER", "x"));
}
