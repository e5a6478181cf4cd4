//! What comes late, or early (RFC 8838).

use std::time::Duration;

use windlass_ice::agent::{CandidateRefused, Component, Event, Mode, RemoteCandidate};

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const TWO: &str = "198.51.100.2:20000";

#[test]
fn requests_before_the_answer_are_answered_and_checked_later() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(1, a.clone(), b);
    // B has A's offer; its answer takes 300 ms and has no candidates.
    net.introduce(B, A, Mode::Full);
    net.name(B, &a);
    net.pass(Duration::from_millis(300));
    let is_known = |event: &Event| matches!(event, Event::Authenticated { .. });
    assert_eq!(net.hosts[A].count(is_known), 1);
    assert!(net.hosts[A].agent.is_valid_source(addr(ONE), addr(TWO)));
    assert!(net.rtp(B).is_some(), "A answered");
    assert_eq!(net.rtp(A), None);
    net.introduce(A, B, Mode::Full);
    net.complete();
    net.assert_connected(ONE, TWO);
}

#[test]
fn an_early_request_of_another_branch_does_not_count() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(2, a.clone(), b.clone());
    let other = net.add(
        config(Mode::Full),
        windlass_ice::agent::Role::Controlled,
        hosts(&["203.0.113.3:30000"]),
    );
    net.introduce(other, A, Mode::Full);
    net.name(other, &a);
    net.pass(Duration::from_millis(300));
    let stranger = addr("203.0.113.3:30000");
    assert!(net.hosts[A].agent.is_valid_source(addr(ONE), stranger));
    net.signal(&a, &b);
    net.pass(Duration::from_secs(3));
    net.assert_connected(ONE, TWO);
    assert!(!net.hosts[A].agent.is_valid_source(addr(ONE), stranger));
    assert_eq!(
        net.hosts[A]
            .sent
            .iter()
            .filter(|sent| {
                sent.to == stranger
                    && windlass_ice::stun::Message::parse(&sent.bytes)
                        .is_ok_and(|message| message.class() == windlass_ice::stun::Class::Request)
            })
            .count(),
        0
    );
}

#[test]
fn candidates_may_come_one_by_one() {
    let a = hosts(&[ONE]);
    let b = hosts(&["198.51.100.9:20000", TWO]);
    let mut net = Net::pair(3, a.clone(), b.clone());
    net.block(|from, to| [from, to].contains(&addr("198.51.100.9:20000")));
    net.introduce(A, B, Mode::Full);
    net.introduce(B, A, Mode::Full);
    net.name(A, &b[..1]);
    net.pass(Duration::from_secs(2));
    assert_eq!(net.rtp(A), None);
    net.name(A, &b[1..]);
    net.hosts[A].agent.end_of_candidates();
    net.complete();
    assert_eq!(net.rtp(A).unwrap().remote, addr(TWO));
}

#[test]
fn a_learned_candidate_that_is_signalled_later_is_one_candidate() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(4, a.clone(), b.clone());
    net.introduce(B, A, Mode::Full);
    net.name(B, &a);
    net.pass(Duration::from_millis(100));
    net.introduce(A, B, Mode::Full);
    net.name(A, &b);
    assert_eq!(net.hosts[A].agent.valid_sources().count(), 1);
    net.complete();
    net.assert_connected(ONE, TWO);
}

#[test]
fn unusable_candidates_are_refused() {
    let mut net = Net::pair(5, hosts(&[ONE]), hosts(&[TWO]));
    let agent = &mut net.hosts[A].agent;
    let mut add = |component, address: &str| {
        agent.add_remote(RemoteCandidate {
            component,
            address: addr(address),
            priority: 1,
            foundation: b"1",
        })
    };
    use Component::{Rtcp, Rtp};
    assert_eq!(add(Rtp, TWO), Ok(()));
    assert_eq!(add(Rtp, TWO), Err(CandidateRefused::Duplicate(addr(TWO))));
    for unusable in [
        "0.0.0.0:9",
        "198.51.100.2:0",
        "224.0.0.1:9000",
        "[ff02::1]:9000",
        "255.255.255.255:9",
    ] {
        let refused = Err(CandidateRefused::Unusable(addr(unusable)));
        assert_eq!(add(Rtp, unusable), refused);
    }
    let ipv6 = "[2001:db8::2]:20000";
    assert_eq!(add(Rtp, ipv6), Err(CandidateRefused::NoLocal(addr(ipv6))));
    assert_eq!(add(Rtcp, TWO), Err(CandidateRefused::NoLocal(addr(TWO))));
}
