//! Pools behind the edge: slots, hashes, names, probes and redirections (E11, E12).

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::config::{
    Algorithm, Failover, HashKey, PoolConfig, Probe, Redirects, RouteConfig, RouteMatch, RouteTo,
    TargetConfig,
};
use crate::resolve::{Answer, RecordKind, Records};

const CAROL: &str = "203.0.113.10:5070";

/// A pool of Bob and Carol.
fn pool(change: impl FnOnce(&mut PoolConfig, &mut RouteConfig)) -> World {
    World::with(
        |c| {
            let pool = &mut c.upstreams[0];
            pool.targets
                .push(TargetConfig::new(&format!("sip:{CAROL}")));
            c.routes[0].failover = Failover::default();
            change(pool, &mut c.routes[0]);
        },
        &[EDGE],
    )
}

/// One of several calls, without media.
fn nth(n: usize) -> String {
    let text = invite("").replace("Call-ID: c1", &format!("Call-ID: c{n}"));
    text.replace("z9hG4bKinv", &format!("z9hG4bKinv{n}"))
}

fn found(world: &World, of: &str) -> u32 {
    let pools = &world.proxy.routing.pools;
    let uri = format!("sip:{of}");
    let target = pools.targets().find(|target| *target.uri == *uri);
    target.unwrap().live().calls()
}

#[test]
fn calls_take_the_slots_that_there_are() {
    let mut world = pool(|pool, _| {
        pool.algorithm = Algorithm::Resource(Default::default());
        for target in &mut pool.targets {
            target.resources = vec![("channels".to_owned(), 10)];
        }
    });
    let mut running = Vec::new();
    let mut refused = 0;
    for n in 0..30 {
        let sent = world.recv(ALICE, &nth(n));
        match sent.iter().find(|s| s.line().starts_with("INVITE")) {
            Some(invite) => running.push(invite.clone()),
            None => {
                let last = sent.last().unwrap();
                assert!(last.line().starts_with("SIP/2.0 503"), "{}", last.line());
                assert!(last.text().contains("Retry-After: "));
                refused += 1;
            }
        }
    }
    let to = |peer: &str| running.iter().filter(|s| s.to == addr(peer)).count();
    assert_eq!((to(BOB), to(CAROL), refused), (10, 10, 10));
    for invite in &running[1..] {
        let peer = invite.to.to_string();
        let contact = format!("Contact: <sip:b@{peer}>\r\n");
        world.recv(&peer, &response(invite, "200 OK", "b", &contact, ""));
    }
    // One is cancelled while it rings, and one ends.
    let early = &running[0];
    let peer = early.to.to_string();
    world.recv(&peer, &response(early, "180 Ringing", "b", "", ""));
    let cancel = world.recv(ALICE, &nth(0).replace("INVITE", "CANCEL"));
    let cancel = cancel.iter().find(|s| s.line().starts_with("CANCEL"));
    let cancel = cancel.unwrap().clone();
    world.recv(&peer, &response(&cancel, "200 OK", "b", "", ""));
    world.recv(&peer, &response(early, "487 Cancelled", "b", "", ""));
    assert_eq!(found(&world, BOB) + found(&world, CAROL), 19);
    let second = &running[1];
    let route = second.all(HeaderId::RecordRoute).join(", ");
    let bye = request(
        &format!("BYE sip:b@{}", second.to),
        "198.51.100.7:5060;branch=z9hG4bKbye",
        ("a", "b"),
        "2 BYE",
        &format!("Route: {route}\r\n"),
        "",
    );
    let bye = world.recv(ALICE, &bye);
    let peer = second.to.to_string();
    world.recv(&peer, &response(&bye[0], "200 OK", "b", "", ""));
    assert_eq!(found(&world, BOB) + found(&world, CAROL), 18);
    for n in [40, 41] {
        forwarded(&world.recv(ALICE, &nth(n)));
    }
    let sent = world.recv(ALICE, &nth(42));
    assert!(sent.last().unwrap().line().starts_with("SIP/2.0 503"));
}

#[test]
fn user_keeps_the_target() {
    let mut world = pool(|pool, _| pool.algorithm = Algorithm::Hash(HashKey::User));
    let mut by_user: BTreeMap<usize, BTreeSet<SocketAddr>> = BTreeMap::new();
    for n in 0..60 {
        let user = n % 20;
        let text = nth(n).replace("sip:f@x.example", &format!("sip:user{user}@x.example"));
        let to = forwarded(&world.recv(ALICE, &text)).to;
        by_user.entry(user).or_default().insert(to);
    }
    assert!(by_user.values().all(|targets| targets.len() == 1));
    let all: BTreeSet<_> = by_user.into_values().flatten().collect();
    assert_eq!(all, BTreeSet::from([addr(BOB), addr(CAROL)]));
}

#[test]
fn rule_of_a_peer_is_for_that_peer() {
    let of_peer = |source: &str| {
        let mut world = World::with(
            |c| {
                c.upstreams
                    .push(PoolConfig::new("trunk", "core", &[&format!("sip:{CAROL}")]));
                let matching = RouteMatch {
                    peer: Some("carrier".to_owned()),
                    ..RouteMatch::default()
                };
                c.routes.push(RouteConfig::new(matching, &["trunk"]));
                let peer = crate::PeerConfig {
                    name: "carrier".to_owned(),
                    source: vec![source.to_owned()],
                    ..Default::default()
                };
                c.screen = Some(crate::ScreenConfig {
                    peers: vec![peer],
                    ..Default::default()
                });
            },
            &[EDGE],
        );
        let sent = world.recv(ALICE, &nth(0));
        sent.iter()
            .find(|s| s.line().starts_with("INVITE"))
            .unwrap()
            .to
    };
    assert_eq!(of_peer(&addr(ALICE).ip().to_string()), addr(CAROL));
    assert_eq!(of_peer("192.0.2.250"), addr(BOB));
}

#[test]
fn registrations_of_one_address_meet_at_one_registrar() {
    let mut world = pool(|pool, _| pool.algorithm = Algorithm::Hash(HashKey::Aor));
    let mut all = BTreeSet::new();
    for user in 0..20 {
        let mut register = |n: usize, from: &str| {
            let text = request(
                "REGISTER sip:x.example",
                &format!("{from};branch=z9hG4bKr{user}-{n};rport"),
                ("a", ""),
                "1 REGISTER",
                "Contact: <sip:p@198.51.100.7:5060>\r\n",
                "",
            );
            let text = text
                .replace("sip:t@x.example", &format!("sip:u{user}@x.example"))
                .replace("Call-ID: c1", &format!("Call-ID: r{user}-{n}"));
            world.recv(from, &text)[0].to
        };
        let (first, second) = (register(1, ALICE), register(2, "198.51.100.8:5060"));
        assert_eq!(first, second);
        all.insert(first);
    }
    assert_eq!(all, BTreeSet::from([addr(BOB), addr(CAROL)]));
}

#[test]
fn probes_take_a_target_down_and_bring_it_back() {
    let mut world = pool(|pool, _| pool.probe = Probe::Always);
    world.proxy.start_probing(world.now);
    let run = |world: &mut World, seconds: u64, alive: &[&str]| {
        for _ in 0..seconds {
            for sent in world.pass(Duration::from_secs(1)) {
                let peer = sent.to.to_string();
                let is_probe = sent.line() == format!("OPTIONS sip:{peer} SIP/2.0");
                if is_probe && alive.contains(&&*peer) {
                    world.recv(&peer, &response(&sent, "200 OK", "o", "", ""));
                }
            }
        }
    };
    run(&mut world, 130, &[CAROL]);
    let sent = world.recv(ALICE, &nth(1));
    assert_eq!(forwarded(&sent).to, addr(CAROL), "Bob is down");
    run(&mut world, 40, &[CAROL, BOB]);
    let sent = world.recv(ALICE, &nth(2));
    assert_eq!(forwarded(&sent).to, addr(BOB), "Bob is back");
}

fn named() -> World {
    World::with(
        |c| {
            c.upstreams[0].targets[0].uri = "sip:pbx.example.com:5070;transport=udp".to_owned();
        },
        &[EDGE],
    )
}

fn addresses(of: &[&str]) -> Answer {
    Answer::Records {
        records: Records::Addresses(of.iter().map(|ip| ip.parse().unwrap()).collect()),
        ttl: Duration::from_secs(60),
    }
}

#[test]
fn each_address_of_a_name_is_tried() {
    let mut world = named();
    let sent = world.recv(ALICE, &invite("alice"));
    assert!(sent.iter().all(|s| s.to == addr(ALICE)), "it waits");
    let query = world.lookups.pop().unwrap();
    assert_eq!(
        (&*query.name, query.kind),
        ("pbx.example.com", RecordKind::A)
    );
    let answer = addresses(&["203.0.113.9", "203.0.113.10"]);
    world.proxy.handle_lookup(world.now, query, answer);
    let first = forwarded(&world.pull());
    world.proxy.handle_unsendable(world.now, first.token);
    let second = forwarded(&world.pull());
    assert_eq!(
        BTreeSet::from([first.to, second.to]),
        BTreeSet::from([addr(BOB), addr(CAROL)])
    );
    let peer = second.to.to_string();
    let contact = format!("Contact: <sip:b@{peer}>\r\n");
    let ok = world.recv(&peer, &response(&second, "200 OK", "b", &contact, "bob"));
    assert_eq!((ok[0].to, &*ok[0].body()), (addr(ALICE), "relayed bob"));
    // The name is known now.
    forwarded(&world.recv(ALICE, &nth(2)));
    assert!(world.lookups.is_empty());
}

#[test]
fn name_that_does_not_exist_is_told() {
    let mut world = named();
    world.recv(ALICE, &invite("alice"));
    let query = world.lookups.pop().unwrap();
    let answer = Answer::Nothing { ttl: None };
    world.proxy.handle_lookup(world.now, query, answer);
    let sent = world.pull();
    assert!(
        sent[0].line().starts_with("SIP/2.0 478"),
        "{}",
        sent[0].line()
    );
    world.assert_forgotten();
}

#[test]
fn call_is_cancelled_while_its_target_is_looked_up() {
    let mut world = named();
    world.recv(ALICE, &invite("alice"));
    let sent = world.recv(ALICE, &invite("").replace("INVITE", "CANCEL"));
    assert!(sent.iter().any(|s| s.line().starts_with("SIP/2.0 487")));
    let query = world.lookups.pop().unwrap();
    let answer = addresses(&["203.0.113.9"]);
    world.proxy.handle_lookup(world.now, query, answer);
    assert!(world.pull().is_empty());
    world.assert_forgotten();
}

#[test]
fn call_is_cancelled_at_its_second_target() {
    let mut world = pool(|_, _| {});
    let first = forwarded(&world.recv(ALICE, &nth(1)));
    let sent = world.recv(BOB, &response(&first, "503 No", "b", "", ""));
    let second = forwarded(&sent);
    world.recv(CAROL, &response(&second, "100 Trying", "", "", ""));
    let sent = world.recv(ALICE, &nth(1).replace("INVITE", "CANCEL"));
    let cancel = sent.iter().find(|s| s.line().starts_with("CANCEL"));
    let cancel = cancel.unwrap().clone();
    assert_eq!(cancel.to, addr(CAROL));
    world.recv(CAROL, &response(&cancel, "200 OK", "c", "", ""));
    let sent = world.recv(CAROL, &response(&second, "487 Gone", "c", "", ""));
    let back = sent.iter().find(|s| s.to == addr(ALICE)).unwrap();
    assert!(back.line().starts_with("SIP/2.0 487"));
    world.assert_forgotten();
}

#[test]
fn silence_of_all_targets_ends_the_call() {
    let mut world = pool(|_, _| {});
    world.recv(ALICE, &nth(1));
    let sent = world.pass(Duration::from_secs(9));
    let back = sent.iter().find(|s| s.to == addr(ALICE)).unwrap();
    assert!(back.line().starts_with("SIP/2.0 408"), "{}", back.line());
    world.assert_forgotten();
}

#[test]
fn target_that_is_received_but_does_not_ring_is_cancelled() {
    let mut world = pool(|_, route| {
        route.failover.ringing_timeout = Some(Duration::from_secs(6));
    });
    let first = forwarded(&world.recv(ALICE, &nth(1)));
    world.recv(BOB, &response(&first, "100 Trying", "", "", ""));
    let sent = world.pass(Duration::from_secs(7));
    let of = |method: &str, to: &str| {
        sent.iter()
            .any(|s| s.line().starts_with(method) && s.to == addr(to))
    };
    assert!(of("CANCEL", BOB) && of("INVITE", CAROL));
}

#[test]
fn redirection_to_a_target_is_followed() {
    let mut world = pool(|_, route| route.failover.redirects = Redirects::Follow);
    let first = forwarded(&world.recv(ALICE, &nth(1)));
    let contacts = format!(
        "Contact: <sip:x@192.0.2.99>;q=0.9, <sip:low@{BOB}>;q=0.1, <sip:desk@{CAROL}>;q=0.5\r\n"
    );
    let moved = response(&first, "302 Moved", "b", &contacts, "");
    let second = forwarded(&world.recv(BOB, &moved));
    assert_eq!(
        (second.line(), second.to),
        (format!("INVITE sip:desk@{CAROL} SIP/2.0"), addr(CAROL))
    );
}

#[test]
fn target_of_another_family_gets_an_offer_of_its_own() {
    let mut world = World::with(
        |c| {
            let other = TargetConfig::new("sip:[2001:db8::9]:5070");
            c.upstreams[0].targets.push(other);
            c.routes[0].failover = Failover::default();
        },
        &[EDGE, "[2001:db8::1]:5060"],
    );
    let first = forwarded(&world.recv(ALICE, &invite("alice")));
    let sent = world.recv(BOB, &response(&first, "503 No", "b", "", ""));
    assert_eq!(forwarded(&sent).listener, 1);
    assert_eq!(world.relay, ["offer a>", "offer a>", "delete a>"]);
    let offers = world.requests.iter().take(2);
    let families: Vec<_> = offers.map(|r| r.address_family).collect();
    assert_eq!(families, [None, Some(windlass_ng::Family::Ip6)]);
}

#[test]
fn own_machines_call_by_name_and_strangers_do_not() {
    let mut world = World::with(
        |c| {
            let route = RouteConfig {
                to: RouteTo::RequestUri,
                ..RouteConfig::new(RouteMatch::default(), &[])
            };
            c.routes = vec![route];
        },
        &[EDGE],
    );
    let to = |uri: &str, n: usize| nth(n).replace("sip:bob@edge.example", uri);
    let named = "sip:dave@sip.example.net:5070;transport=udp";
    let sent = world.recv(ALICE, &to(named, 1));
    assert!(sent[0].line().starts_with("SIP/2.0 403"));
    let sent = world.recv(BOB, &to("sip:x@192.0.2.1:5060", 2));
    assert!(sent[0].line().starts_with("SIP/2.0 404"));
    world.recv(BOB, &to(named, 3));
    let query = world.lookups.pop().unwrap();
    // The answer of a name server may lead nowhere.
    let answer = addresses(&["224.0.0.1", "203.0.113.77"]);
    world.proxy.handle_lookup(world.now, query, answer);
    let sent = world.pull();
    let invites = || sent.iter().filter(|s| s.line().starts_with("INVITE"));
    assert_eq!(invites().count(), 1);
    let invite = forwarded(&sent);
    assert_eq!(
        (invite.to, invite.line()),
        (addr("203.0.113.77:5070"), format!("INVITE {named} SIP/2.0"))
    );
}

#[test]
fn target_with_a_name_is_no_stranger_before_it_was_used() {
    let mut world = named();
    let now = world.now;
    world.proxy.learn_names(now);
    world.pull();
    let query = world.lookups.pop().unwrap();
    world
        .proxy
        .handle_lookup(now, query, addresses(&["203.0.113.9"]));
    let probe = request(
        "OPTIONS sip:192.0.2.1:5060",
        "203.0.113.9:5070;branch=z9hG4bKp",
        ("p", ""),
        "1 OPTIONS",
        "",
        "",
    );
    assert_eq!(world.recv(BOB, &probe)[0].line(), "SIP/2.0 200 OK");
    // The name is asked for again.
    world.pass(Duration::from_secs(301));
    assert_eq!(world.lookups.len(), 1);
}
