//! Networks that are not kind: NATs, loss, disorder, one-way paths.

use std::time::Duration;

use windlass_ice::agent::{Mode, Role, State};
use windlass_ice::limits;

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const INNER: &str = "10.0.0.2:5000";
const OUTER: &str = "198.51.100.2:25000";

#[test]
fn a_peer_behind_a_nat_is_learned() {
    for role in [Role::Controlling, Role::Controlled] {
        let (a, b) = (hosts(&[ONE]), hosts(&[INNER]));
        let mut net = Net::new(1);
        let other = match role {
            Role::Controlling => Role::Controlled,
            Role::Controlled => Role::Controlling,
        };
        net.add(config(Mode::Full), role, a.clone());
        net.add(config(Mode::Full), other, b.clone());
        net.nats.push(Nat::new("10.0.0.2", "198.51.100.2"));
        net.signal(&a, &b);
        net.complete();
        assert_eq!(net.rtp(A).unwrap().remote, addr(OUTER));
        assert_eq!(net.rtp(B).unwrap().remote, addr(ONE));
        assert!(net.hosts[A].agent.is_valid_source(addr(ONE), addr(OUTER)));
        assert!(!net.hosts[A].agent.is_valid_source(addr(ONE), addr(INNER)));
    }
}

/// Media of a peer behind a NAT may follow its first check at once.
#[test]
fn a_peer_behind_a_nat_may_speak_one_round_trip_after_its_first_check() {
    let (a, b) = (hosts(&[ONE]), hosts(&[INNER]));
    let mut net = Net::pair(1, a.clone(), b.clone());
    net.nats.push(Nat::new("10.0.0.2", "198.51.100.2"));
    net.signal(&a, &b);
    let is_valid = |net: &Net| net.hosts[A].agent.is_valid_source(addr(ONE), addr(OUTER));
    assert!(net.run(Duration::from_secs(1), is_valid));
    // One way and a round trip of 10 ms each, and no more than one pace.
    assert!(net.elapsed() <= Duration::from_millis(10 + 20) + limits::PACE);
}

#[test]
fn loss_and_disorder_only_take_longer() {
    for seed in 0..30 {
        let a = both(&[ONE, "[2001:db8::1]:10000"]);
        let b = both(&["198.51.100.2:20000", "[2001:db8::2]:20000"]);
        let mut net = Net::pair(seed, a.clone(), b.clone());
        net.link = Link {
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(120),
            loss: 0.3,
        };
        net.signal(&a, &b);
        net.complete_within(Duration::from_secs(60));
        net.pass(Duration::from_secs(15));
        for (at, peer) in [(A, B), (B, A)] {
            let rtp = net.rtp(at).unwrap();
            let theirs = net.rtp(peer).unwrap();
            assert_eq!(
                (rtp.local, rtp.remote),
                (theirs.remote, theirs.local),
                "{seed}"
            );
            assert_eq!(net.hosts[at].agent.state(), State::Completed);
        }
    }
}

#[test]
fn a_one_way_path_is_not_used() {
    let a = hosts(&[ONE, "192.0.2.7:10000"]);
    let b = hosts(&["198.51.100.2:20000"]);
    let mut net = Net::pair(2, a.clone(), b.clone());
    // The better path carries requests of A, but nothing comes back.
    net.block(|_, to| to == addr(ONE));
    net.signal(&a, &b);
    net.complete();
    net.assert_connected("192.0.2.7:10000", "198.51.100.2:20000");
}

#[test]
fn one_family_that_does_not_work_is_left_aside() {
    let a = both(&[ONE, "[2001:db8::1]:10000"]);
    let b = both(&["198.51.100.2:20000", "[2001:db8::2]:20000"]);
    let mut net = Net::pair(3, a.clone(), b.clone());
    net.block(|from, _| from.is_ipv4());
    net.signal(&a, &b);
    net.complete();
    net.assert_connected("[2001:db8::1]:10000", "[2001:db8::2]:20000");
    assert!(net.rtcp(B).unwrap().local.is_ipv6());
}

#[test]
fn rtcp_that_works_only_elsewhere_gets_its_own_way() {
    let a = both(&[ONE, "[2001:db8::1]:10000"]);
    let b = both(&["198.51.100.2:20000", "[2001:db8::2]:20000"]);
    let mut net = Net::pair(4, a.clone(), b.clone());
    net.block(|from, to| from.is_ipv4() && to.port() % 2 == 1);
    net.block(|from, to| from.is_ipv6() && to.port() % 2 == 0);
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, "198.51.100.2:20000");
    assert!(net.rtcp(A).unwrap().local.is_ipv6());
}

#[test]
fn the_nomination_may_get_lost_on_the_way() {
    let (a, b) = (hosts(&[ONE]), hosts(&["198.51.100.2:20000"]));
    let mut net = Net::pair(5, a.clone(), b.clone());
    net.signal(&a, &b);
    let until = Duration::from_secs(1);
    assert!(net.run(until, |net| net.rtp(A).is_some() && net.rtp(B).is_some()));
    net.link.loss = 1.0;
    net.pass(Duration::from_secs(3));
    assert_eq!(net.hosts[B].count(is_selected), 0);
    net.link.loss = 0.0;
    net.complete();
    net.assert_connected(ONE, "198.51.100.2:20000");
}

#[test]
fn a_nomination_that_fails_is_made_of_the_next_best_pair() {
    let a = hosts(&[ONE, "192.0.2.7:10000"]);
    let b = hosts(&["198.51.100.2:20000"]);
    let mut net = Net::pair(6, a.clone(), b.clone());
    net.signal(&a, &b);
    let until = Duration::from_secs(1);
    assert!(net.run(until, |net| net.rtp(A).is_some() && net.rtp(B).is_some()));
    net.block(|from, to| [from, to].contains(&addr(ONE)));
    net.complete_within(Duration::from_secs(40));
    net.assert_connected("192.0.2.7:10000", "198.51.100.2:20000");
}

#[test]
fn hosts_that_have_both_components_go_before_better_ones_that_have_not() {
    let a = both(&[ONE, "192.0.2.7:10000"]);
    let b = both(&["198.51.100.2:20000"]);
    let mut net = Net::pair(7, a.clone(), b.clone());
    net.block(|from, to| [from, to].contains(&addr("192.0.2.1:10001")));
    net.signal(&a, &b);
    net.complete();
    net.assert_connected("192.0.2.7:10000", "198.51.100.2:20000");
    assert_eq!(net.rtcp(A).unwrap().local, addr("192.0.2.7:10001"));
}
