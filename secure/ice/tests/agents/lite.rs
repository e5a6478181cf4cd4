//! Lite agents (RFC 8445 §2.5, §6.1.1, §8.2).

use std::time::Duration;

use windlass_ice::agent::{Event, Mode, Role, State};
use windlass_ice::stun::Class;

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const TWO: &str = "198.51.100.2:20000";

fn connect(a_mode: Mode, b_mode: Mode) -> Net {
    let (a, b) = (both(&[ONE]), both(&[TWO]));
    let mut net = Net::pair_of(1, (a_mode, a.clone()), (b_mode, b.clone()));
    net.introduce(A, B, b_mode);
    net.introduce(B, A, a_mode);
    net.name(A, &b);
    net.name(B, &a);
    net.complete();
    net.assert_connected(ONE, TWO);
    assert!(net.rtcp(A).is_some_and(|pair| pair.is_selected));
    net
}

#[test]
fn a_full_agent_controls_a_lite_one() {
    let net = connect(Mode::Full, Mode::Lite);
    assert_eq!(net.hosts[B].sent_of(Class::Request).len(), 0);
    assert_eq!(net.hosts[B].agent.role(), Role::Controlled);
}

#[test]
fn a_lite_agent_that_offers_is_controlled() {
    let net = connect(Mode::Lite, Mode::Full);
    assert_eq!(net.hosts[A].sent_of(Class::Request).len(), 0);
    assert_eq!(net.hosts[A].agent.role(), Role::Controlled);
    assert_eq!(net.hosts[B].agent.role(), Role::Controlling);
    let changed = Event::RoleChanged(Role::Controlling);
    assert_eq!(net.hosts[B].count(|event| *event == changed), 1);
}

/// The full side knows that it controls when it has our offer; its checks come before its answer.
#[test]
fn a_lite_agent_that_offers_does_not_dispute_who_controls() {
    let (a, b) = (both(&[ONE]), both(&[TWO]));
    let (lite, full) = ((Mode::Lite, a.clone()), (Mode::Full, b.clone()));
    let mut net = Net::pair_of(1, lite, full);
    net.introduce(B, A, Mode::Lite);
    net.name(B, &a);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.hosts[A].sent_of(Class::Error).len(), 0);
    assert_eq!(net.hosts[A].agent.role(), Role::Controlled);
    net.introduce(A, B, Mode::Full);
    net.name(A, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    assert_eq!(net.hosts[B].agent.role(), Role::Controlling);
}

#[test]
fn two_lite_agents_go_by_priority_and_send_nothing() {
    let net = connect(Mode::Lite, Mode::Lite);
    for host in &net.hosts {
        assert_eq!(host.sent.len(), 0);
    }
}

#[test]
fn two_lite_agents_take_the_best_also_when_it_comes_last() {
    let a = hosts(&[ONE]);
    let b = hosts(&[TWO, "198.51.100.3:20000", "198.51.100.4:20000"]);
    let mut net = Net::pair_of(2, (Mode::Lite, a), (Mode::Lite, b.clone()));
    net.introduce(A, B, Mode::Lite);
    for candidate in b.iter().rev() {
        net.name(A, &[*candidate]);
        net.pass(Duration::from_millis(100));
        assert_eq!(net.rtp(A).unwrap().remote, candidate.address);
    }
    assert_eq!(net.hosts[A].count(is_completed), 1);
}

#[test]
fn a_lite_agent_is_usable_before_the_nomination() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair_of(3, (Mode::Full, a), (Mode::Lite, b.clone()));
    net.introduce(A, B, Mode::Lite);
    net.introduce(B, A, Mode::Full);
    net.name(A, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    let usable = net.hosts[B].when(is_usable).unwrap();
    let selected = net.hosts[B].when(is_selected).unwrap();
    assert_eq!(usable, Duration::from_millis(10));
    assert!(selected >= usable + Duration::from_millis(100));
}

#[test]
fn a_lite_agent_that_was_nominated_before_the_answer_uses_that() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair_of(4, (Mode::Full, a), (Mode::Lite, b.clone()));
    net.introduce(A, B, Mode::Lite);
    net.name(A, &b);
    net.pass(Duration::from_millis(500));
    assert_eq!(net.hosts[A].agent.state(), State::Completed);
    assert_eq!(net.rtp(B), None);
    net.introduce(B, A, Mode::Full);
    net.complete();
    net.assert_connected(ONE, TWO);
}

#[test]
fn a_lite_agent_keeps_nats_open_by_indications() {
    let mut net = connect(Mode::Full, Mode::Lite);
    net.pass(Duration::from_secs(46));
    let kept = net.hosts[B].sent_of(Class::Indication);
    // Both components, each 15 s.
    assert_eq!(kept.len(), 6);
    assert_eq!(kept[0].bytes.len(), 28, "a fingerprint and nothing else");
    assert_eq!(net.hosts[A].count(is_lost), 0);
}
