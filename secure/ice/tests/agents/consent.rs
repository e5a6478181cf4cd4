//! Consent freshness (RFC 7675) and keep-alives (RFC 8445 §11).

use std::time::Duration;

use windlass_ice::agent::{Component, Event, Freshness, Mode, Role, State};
use windlass_ice::stun::Class;

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const TWO: &str = "198.51.100.2:20000";

fn connected(seed: u64) -> Net {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(seed, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    net
}

#[test]
fn consent_is_asked_for_every_4_to_6_seconds() {
    let mut net = connected(1);
    let before = net.hosts[A].sent_of(Class::Request).len();
    net.pass(Duration::from_secs(120));
    let requests = net.hosts[A].sent_of(Class::Request).split_off(before);
    assert!((20..=30).contains(&requests.len()), "{}", requests.len());
    let gaps: Vec<_> = requests
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    assert!(
        gaps.iter()
            .all(|gap| (3999..=6001).contains(&gap.as_millis()))
    );
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "randomised");
    assert_eq!(net.hosts[A].count(is_lost), 0);
    assert!(
        requests
            .windows(2)
            .all(|pair| pair[0].bytes[8..20] != pair[1].bytes[8..20])
    );
}

#[test]
fn consent_ends_30_seconds_after_the_last_response() {
    let mut net = connected(2);
    net.pass(Duration::from_secs(60));
    let heard = net.elapsed();
    net.block(|_, _| true);
    net.pass(Duration::from_secs(40));
    for host in [A, B] {
        let lost = net.hosts[host].when(is_lost).unwrap();
        let silence = lost - heard;
        assert!(
            (23_900..=30_000).contains(&silence.as_millis()),
            "{silence:?}"
        );
        assert_eq!(net.rtp(host), None, "nothing may be sent");
        assert_eq!(net.hosts[host].agent.state(), State::Failed);
    }
    // Nor is anything sent any more.
    let sent = net.hosts[A].sent.len();
    net.pass(Duration::from_secs(60));
    assert_eq!(net.hosts[A].sent.len(), sent);
}

#[test]
fn a_gap_of_20_seconds_is_survived() {
    let mut net = connected(3);
    net.link.loss = 1.0;
    net.pass(Duration::from_secs(20));
    net.link.loss = 0.0;
    net.pass(Duration::from_secs(60));
    net.assert_connected(ONE, TWO);
    assert_eq!(net.hosts[A].count(is_lost) + net.hosts[B].count(is_lost), 0);
}

#[test]
fn what_was_lost_comes_back_by_a_restart_only() {
    let mut net = connected(4);
    net.link.loss = 1.0;
    net.pass(Duration::from_secs(40));
    net.link.loss = 0.0;
    net.pass(Duration::from_secs(40));
    assert_eq!(net.rtp(A), None);
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let start = net.start_with(Role::Controlling, a.clone());
    net.hosts[A].agent.restart(start).unwrap();
    let start = net.start_with(Role::Controlled, b.clone());
    net.hosts[B].agent.restart(start).unwrap();
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
}

#[test]
fn consent_belongs_to_each_pair_also_to_a_usable_one() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(5, a.clone(), b.clone());
    // A peer that controls and never nominates.
    net.block(|from, _| from == addr(ONE));
    net.introduce(B, A, Mode::Full);
    net.introduce(A, B, Mode::Full);
    net.walls.clear();
    net.name(B, &a);
    let until = Duration::from_secs(1);
    assert!(net.run(until, |net| net.rtp(B).is_some()));
    assert!(!net.rtp(B).unwrap().is_selected);
    net.hosts.remove(A);
    net.pass(Duration::from_secs(40));
    let lost = net.hosts[0].when(is_lost).unwrap();
    assert!(lost <= Duration::from_secs(31), "{lost:?}");
    assert_eq!(net.hosts[0].agent.pair(Component::Rtp), None);
}

#[test]
fn without_consent_a_silent_peer_is_kept_by_indications() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::new(6);
    let mut assumed = config(Mode::Full);
    assumed.freshness = Freshness::Assumed;
    net.add(assumed.clone(), Role::Controlling, a.clone());
    net.add(assumed, Role::Controlled, b.clone());
    net.signal(&a, &b);
    net.complete();
    let requests = net.hosts[A].sent_of(Class::Request).len();
    net.block(|_, _| true);
    net.pass(Duration::from_secs(100));
    assert_eq!(net.rtp(A).unwrap().remote, addr(TWO));
    assert_eq!(net.hosts[A].count(is_lost), 0);
    assert_eq!(net.hosts[A].sent_of(Class::Request).len(), requests);
    assert_eq!(net.hosts[A].sent_of(Class::Indication).len(), 6);
}

#[test]
fn media_of_another_proven_source_moves_the_pair_in_use() {
    let a = hosts(&[ONE]);
    let b = hosts(&[TWO, "198.51.100.3:20000"]);
    let mut net = Net::pair(7, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    let other = addr("198.51.100.3:20000");
    let (now, host) = (net.now, &mut net.hosts[A]);
    let rng = &mut net.rng;
    let stranger = addr("203.0.113.9:9");
    assert!(!host.agent.follow(addr(ONE), stranger, now, rng));
    assert!(
        !host.agent.follow(addr(ONE), addr(TWO), now, rng),
        "is there already"
    );
    assert!(host.agent.follow(addr(ONE), other, now, rng));
    assert_eq!(host.agent.pair(Component::Rtp).unwrap().remote, other);
    let soon = now + Duration::from_millis(2900);
    assert!(!host.agent.follow(addr(ONE), addr(TWO), soon, rng));
    let later = now + Duration::from_secs(3);
    assert!(host.agent.follow(addr(ONE), addr(TWO), later, rng));
    let selected =
        |event: &Event| matches!(event, Event::Selected { remote, .. } if *remote == other);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.hosts[A].count(selected), 1);
}

#[test]
fn a_source_that_was_silent_for_long_is_asked_before_it_is_followed() {
    let a = hosts(&[ONE]);
    let b = hosts(&[TWO, "198.51.100.3:20000"]);
    let mut net = Net::pair(8, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    net.pass(Duration::from_secs(60));
    let other = addr("198.51.100.3:20000");
    let now = net.now;
    assert!(
        !net.hosts[A]
            .agent
            .follow(addr(ONE), other, now, &mut net.rng)
    );
    net.pass(Duration::from_millis(100));
    let now = net.now;
    assert!(
        net.hosts[A]
            .agent
            .follow(addr(ONE), other, now, &mut net.rng)
    );
}
