//! Another configuration while calls go on.

use super::*;
use crate::config::{CORE, Hiding, Link};

const OTHER: &str = "203.0.113.10:5070";

/// The same edge with another upstream.
fn snapshot(world: &World, upstream: &str) -> Snapshot {
    let config = Config::new(addr(EDGE), addr(upstream), addr("127.0.0.1:2223"));
    Snapshot {
        routing: Arc::new(world.proxy.routing.reload(&config).unwrap()),
        config: Arc::new(config),
        screen: None,
    }
}

/// A call goes on with the target that it began with; new ones go to the new one. What is no target
/// any more is a stranger.
#[test]
fn calls_keep_their_target_and_the_old_one_its_place_no_more() {
    let mut world = World::new();
    let route = call(&mut world);
    let zone = |world: &World, peer: &str| world.proxy.zone_of(datagram(0, peer));
    assert_eq!((zone(&world, BOB), zone(&world, OTHER)), (CORE, PUBLIC));
    let next = snapshot(&world, OTHER);
    world.proxy.reload(world.now, next);
    assert_eq!((zone(&world, BOB), zone(&world, OTHER)), (PUBLIC, CORE));
    let second = invite("carol")
        .replace("z9hG4bKinv", "z9hG4bKnew")
        .replace("Call-ID: c1", "Call-ID: c2");
    let sent = world.recv(ALICE, &second);
    assert_eq!(forwarded(&sent).to, addr(OTHER));
    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKbye",
        ("a", "b"),
        "2 BYE",
        &route,
        "",
    );
    let sent = world.recv(ALICE, &bye);
    assert_eq!((sent[0].to, &sent[0].line()[..3]), (addr(BOB), "BYE"));
    world.recv(BOB, &response(&sent[0], "200 OK", "b", "", ""));
    assert_eq!(world.sent.last().unwrap().line(), "SIP/2.0 200 OK");
}

/// A request that was sent before is answered by who it was sent to.
#[test]
fn request_under_way_ends_as_it_began() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    let next = snapshot(&world, OTHER);
    world.proxy.reload(world.now, next);
    let sent = world.recv(BOB, &response(&invite, "486 Busy Here", "b", "", ""));
    assert!(
        sent.iter()
            .any(|sent| sent.line() == "SIP/2.0 486 Busy Here")
    );
    world.recv(
        ALICE,
        &request(
            "ACK sip:bob@edge.example",
            "198.51.100.7:5060;branch=z9hG4bKinv;rport",
            ("a", "b"),
            "1 ACK",
            "",
            "",
        ),
    );
    world.assert_forgotten();
}

/// Zones that hide from now on hide the calls that begin from now on.
#[test]
fn links_of_the_next_call_are_those_of_the_reload() {
    let mut world = World::new();
    let shown = forwarded(&world.recv(ALICE, &invite("alice")));
    assert!(!shown.all(HeaderId::RecordRoute).is_empty());
    let mut next = snapshot(&world, BOB);
    let mut config = (*next.config).clone();
    config.links.push(Link {
        hide: Some(Hiding::default()),
        ..Link::new([PUBLIC, CORE])
    });
    next.config = Arc::new(config);
    world.proxy.reload(world.now, next);
    let second = invite("carol")
        .replace("z9hG4bKinv", "z9hG4bKnew")
        .replace("Call-ID: c1", "Call-ID: c2");
    let hidden = forwarded(&world.recv(ALICE, &second));
    assert!(hidden.all(HeaderId::RecordRoute).is_empty());
    assert_eq!(hidden.all(HeaderId::Via).len(), 1);
}
