//! The schedule of checks and nominations (spec: media-behaviour §5).

use std::time::Duration;

use windlass_ice::Credentials;
use windlass_ice::agent::{Agent, Event, Mode, Role, Start, State};
use windlass_ice::stun::{Class, Message};

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const TWO: &str = "198.51.100.2:20000";

#[test]
fn two_full_agents_agree_on_a_pair() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(1, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    for host in &net.hosts {
        assert_eq!(host.count(is_completed), 1);
        assert_eq!(host.count(is_selected), 1);
        assert_eq!(host.count(|event| *event == Event::Failed), 0);
    }
}

#[test]
fn rtcp_gets_a_pair_of_its_own_between_the_same_hosts() {
    let a = both(&[ONE, "[2001:db8::1]:10000"]);
    let b = both(&[TWO, "[2001:db8::2]:20000"]);
    let mut net = Net::pair(2, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    assert_eq!(net.rtcp(A).unwrap().local, addr("192.0.2.1:10001"));
    assert_eq!(net.rtcp(A).unwrap().remote, addr("198.51.100.2:20001"));
    assert_eq!(net.rtcp(B).unwrap().remote, addr("192.0.2.1:10001"));
}

#[test]
fn a_pair_is_usable_100_ms_before_its_nomination() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(3, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    let usable = net.hosts[A].when(is_usable).unwrap();
    let selected = net.hosts[A].when(is_selected).unwrap();
    assert_eq!(usable, Duration::from_millis(20));
    // And the way of the nomination there and back.
    assert_eq!(selected, usable + Duration::from_millis(100 + 20));
    let nominations = net.hosts[A].sent_of(Class::Request).into_iter();
    let nominations = nominations
        .filter(|datagram| Message::parse(&datagram.bytes).is_ok_and(|m| m.uses_candidate()));
    assert_eq!(nominations.count(), 1);
}

#[test]
fn checks_are_20_ms_apart() {
    let a = hosts(&[ONE, "192.0.2.7:10000", "192.0.2.8:10000"]);
    let b = hosts(&[TWO, "198.51.100.3:20000", "198.51.100.4:20000"]);
    let mut net = Net::pair(4, a.clone(), b.clone());
    net.block(|_, _| true);
    net.signal(&a, &b);
    net.pass(Duration::from_millis(95));
    let requests = net.hosts[A].sent_of(Class::Request);
    let times: Vec<_> = requests
        .iter()
        .map(|sent| (sent.at - net.start).as_millis())
        .collect();
    assert_eq!(times, [0, 20, 40, 60, 80]);
}

#[test]
fn a_check_is_repeated_seven_times_and_fails() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(5, a, b.clone());
    net.block(|_, _| true);
    net.introduce(A, B, Mode::Full);
    net.name(A, &b);
    net.pass(Duration::from_secs(60));
    let requests = net.hosts[A].sent_of(Class::Request);
    let times: Vec<_> = requests
        .iter()
        .map(|sent| (sent.at - net.start).as_millis())
        .collect();
    assert_eq!(times, [0, 100, 300, 700, 1500, 3100, 6300, 12_700]);
    assert!(requests.iter().all(|sent| sent.bytes == requests[0].bytes));
    // RFC 8863: not before 39.5 s, although nothing was left to be tried after 25.5 s.
    let failed = net.hosts[A].when(|event| *event == Event::Failed);
    assert_eq!(failed, Some(Duration::from_millis(39_500)));
    assert_eq!(net.hosts[A].agent.state(), State::Failed);
    assert_eq!(net.hosts[A].agent.poll_timeout(), None);
}

#[test]
fn a_failed_agent_is_still_there_for_a_late_peer() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(6, a.clone(), b.clone());
    net.introduce(A, B, Mode::Full);
    net.pass(Duration::from_secs(45));
    assert_eq!(net.hosts[A].agent.state(), State::Failed);
    net.introduce(B, A, Mode::Full);
    net.name(B, &a);
    net.complete();
    net.assert_connected(ONE, TWO);
}

#[test]
fn the_best_pair_is_nominated() {
    let a = hosts(&[ONE, "192.0.2.7:10000"]);
    let b = hosts(&[TWO, "198.51.100.3:20000"]);
    let mut net = Net::pair(7, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
}

#[test]
fn mux_ends_the_component_of_rtcp() {
    let (a, b) = (both(&[ONE]), both(&[TWO]));
    let mut net = Net::pair(8, a.clone(), b.clone());
    for host in [A, B] {
        net.hosts[host].agent.use_mux();
    }
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    assert_eq!(net.rtcp(A), None);
    let rtcp_port = |sent: &&Datagram| sent.from.port() == 10_001;
    assert_eq!(net.hosts[A].sent.iter().filter(rtcp_port).count(), 0);
}

#[test]
fn mux_agreed_on_late_completes_what_waited_for_rtcp() {
    let (a, b) = (both(&[ONE]), both(&[TWO]));
    let mut net = Net::pair(9, a.clone(), b.clone());
    net.block(|from, to| from.port() % 2 == 1 || to.port() % 2 == 1);
    net.signal(&a, &b);
    net.pass(Duration::from_secs(2));
    assert_eq!(net.rtp(A), None, "no complete set");
    for host in [A, B] {
        net.hosts[host].agent.use_mux();
    }
    net.complete();
    net.assert_connected(ONE, TWO);
}

#[test]
fn a_hundred_candidates_are_tried_and_no_more_are_taken() {
    let a = hosts(&[ONE, "192.0.2.7:10000"]);
    let b = hosts(&[TWO]);
    let mut net = Net::pair(10, a.clone(), b.clone());
    let mut many: Vec<_> = (0..150_u32)
        .map(|at| {
            let mut candidate = b[0];
            candidate
                .address
                .set_port(30_000 + u16::try_from(at).unwrap());
            let host = format!("203.0.113.{}", at / 8);
            candidate.address.set_ip(host.parse().unwrap());
            candidate.priority = b[0].priority + 1 + at;
            candidate
        })
        .collect();
    many[99] = b[0];
    net.introduce(A, B, Mode::Full);
    net.introduce(B, A, Mode::Full);
    net.name(A, &many);
    // B knows nothing of A, so that A's own check has to find the way.
    net.block(|_, to| to.port() >= 30_000);
    net.complete();
    let pair = net.rtp(A).unwrap();
    assert_eq!(pair.remote, addr(TWO));
    let tried: std::collections::HashSet<_> = net.hosts[A]
        .sent
        .iter()
        .map(|sent| (sent.from, sent.to))
        .collect();
    assert!(tried.len() <= 101, "{}", tried.len());
    let least = net.hosts[A]
        .sent
        .windows(2)
        .filter(|pair| pair[1].at - net.start < Duration::from_millis(90));
    assert!(least.count() <= 5);
}

#[test]
fn the_longest_messages_fit() {
    let long = "u".repeat(256);
    let mut net = Net::new(11);
    let mut config = config(Mode::Full);
    config.software = "é".repeat(100).into();
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    for (role, candidates) in [(Role::Controlling, &a), (Role::Controlled, &b)] {
        let at = net.add(config.clone(), role, candidates.clone());
        let credentials = Credentials::new(&long, &long).unwrap();
        let start = Start {
            credentials,
            role,
            candidates: candidates.clone(),
        };
        net.hosts[at].agent = Agent::new(config.clone(), start, net.now).unwrap();
    }
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    let longest = net.hosts[A].sent.iter().map(|sent| sent.bytes.len());
    assert_eq!(longest.max(), Some(728));
}

#[test]
fn an_agent_is_small() {
    // Thousands of calls have two to four each.
    assert!(size_of::<Agent>() <= 1536, "{}", size_of::<Agent>());
}

#[test]
fn what_works_for_rtp_is_tried_for_rtcp_before_the_rest() {
    let a = both(&[ONE]);
    let b = both(&[TWO, "198.51.100.3:20000", "198.51.100.4:20000"]);
    let mut net = Net::pair(12, a, b.clone());
    // B only answers, and only at its first address.
    net.block(|_, to| to.ip().to_string().starts_with("198.51.100.") && to.ip() != addr(TWO).ip());
    net.introduce(A, B, Mode::Full);
    net.name(A, &b);
    net.pass(Duration::from_millis(70));
    let sent = net.hosts[A].sent.iter().map(|sent| sent.to.to_string());
    let sent: Vec<_> = sent.collect();
    let expected = [
        TWO,
        "198.51.100.2:20001",
        "198.51.100.3:20000",
        "198.51.100.4:20000",
    ];
    assert_eq!(sent, expected);
}

#[test]
fn a_request_of_the_peer_repeats_an_open_check_at_once() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(13, a.clone(), b.clone());
    net.block(|_, _| true);
    net.introduce(A, B, Mode::Full);
    net.name(A, &b);
    // The next repetition would be at 6.3 s.
    net.pass(Duration::from_secs(4));
    net.walls.clear();
    net.introduce(B, A, Mode::Full);
    net.name(B, &a);
    net.complete_within(Duration::from_millis(300));
    net.assert_connected(ONE, TWO);
}
