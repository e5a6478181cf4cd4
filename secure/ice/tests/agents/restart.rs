//! ICE restarts (RFC 8445 §9).

use std::time::Duration;

use windlass_ice::Credentials;
use windlass_ice::agent::{
    CredentialsChanged, LocalCandidate, Mode, RemoteParameters, Role, State,
};
use windlass_ice::stun::{Class, Message};

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const TWO: &str = "198.51.100.2:20000";
const ONE_V6: &str = "[2001:db8::1]:11000";
const TWO_V6: &str = "[2001:db8::2]:21000";

fn connected(seed: u64) -> Net {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(seed, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    net
}

fn restart(net: &mut Net, host: usize, role: Role, candidates: &[LocalCandidate]) {
    let start = net.start_with(role, candidates.to_vec());
    net.hosts[host].agent.restart(start).unwrap();
    let sockets = candidates.iter().map(|local| local.address);
    net.hosts[host].sockets.extend(sockets);
}

#[test]
fn the_old_pair_is_used_until_the_new_one_works() {
    let mut net = connected(1);
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    restart(&mut net, A, Role::Controlling, &a);
    let before = net.rtp(A).unwrap();
    assert_eq!(before.remote, addr(TWO));
    assert_eq!(net.hosts[A].agent.state(), State::AwaitingRemote);
    // The answer takes long: consent for the old pair goes on, in both directions.
    net.pass(Duration::from_secs(70));
    assert_eq!(net.rtp(A), Some(before));
    net.assert_connected(ONE, TWO);
    assert!(net.hosts[A].agent.is_valid_source(addr(ONE), addr(TWO)));
    restart(&mut net, B, Role::Controlled, &b);
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    assert_eq!(net.hosts[A].count(is_completed), 2);
    assert_eq!(net.hosts[A].count(is_lost) + net.hosts[B].count(is_lost), 0);
}

#[test]
fn a_restart_may_move_to_the_other_ip_version() {
    for (from, to) in [
        ((ONE, TWO), (ONE_V6, TWO_V6)),
        ((ONE_V6, TWO_V6), (ONE, TWO)),
    ] {
        let (a, b) = (both(&[from.0]), both(&[from.1]));
        let mut net = Net::pair(2, a.clone(), b.clone());
        net.signal(&a, &b);
        net.complete();
        net.assert_connected(from.0, from.1);
        let (a, b) = (both(&[to.0]), both(&[to.1]));
        restart(&mut net, A, Role::Controlling, &a);
        restart(&mut net, B, Role::Controlled, &b);
        net.assert_connected(from.0, from.1);
        net.signal(&a, &b);
        net.complete();
        net.assert_connected(to.0, to.1);
        assert!(net.rtcp(A).unwrap().is_selected);
        assert!(
            !net.hosts[A]
                .agent
                .is_valid_source(addr(from.0), addr(from.1))
        );
    }
}

#[test]
fn late_requests_of_the_old_generation_are_answered() {
    let mut net = connected(3);
    let requests = net.hosts[B].sent_of(Class::Request);
    let old = (*requests.last().unwrap()).clone();
    let old_key = net.hosts[A].key();
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    restart(&mut net, A, Role::Controlling, &a);
    restart(&mut net, B, Role::Controlled, &b);
    net.signal(&a, &b);
    net.complete();
    let answered = net.hosts[A].sent.len();
    net.carry(old.clone());
    net.pass(Duration::from_millis(20));
    let reply = &net.hosts[A].sent[answered];
    let reply = Message::parse(&reply.bytes).unwrap();
    assert_eq!(reply.class(), Class::Success);
    assert_eq!(reply.transaction().0, old.bytes[8..20]);
    assert!(reply.is_authentic(&old_key));
}

#[test]
fn two_restarts_in_a_row_keep_the_pair_that_works() {
    let mut net = connected(4);
    let a = hosts(&[ONE]);
    restart(&mut net, A, Role::Controlling, &a);
    restart(&mut net, A, Role::Controlling, &a);
    assert_eq!(net.rtp(A).unwrap().remote, addr(TWO));
    net.pass(Duration::from_secs(60));
    net.assert_connected(ONE, TWO);
}

#[test]
fn a_restart_that_comes_to_nothing_leaves_the_old_pair() {
    let mut net = connected(5);
    let (a, b) = (hosts(&[ONE_V6]), hosts(&[TWO_V6]));
    net.block(|from, _| from.is_ipv6());
    restart(&mut net, A, Role::Controlling, &a);
    restart(&mut net, B, Role::Controlled, &b);
    net.signal(&a, &b);
    net.pass(Duration::from_secs(90));
    assert_eq!(net.hosts[A].agent.state(), State::Failed);
    net.assert_connected(ONE, TWO);
}

#[test]
fn a_restart_in_the_other_role_does_not_disturb_the_old_pair() {
    let mut net = connected(7);
    // B, who was controlled, offers; the answer takes long.
    restart(&mut net, B, Role::Controlling, &hosts(&[TWO]));
    net.pass(Duration::from_secs(90));
    net.assert_connected(ONE, TWO);
    assert_eq!(net.hosts[A].agent.role(), Role::Controlling);
    assert_eq!(net.hosts[A].agent.counters().dropped_in, 0);
}

#[test]
fn other_credentials_without_a_restart_are_refused() {
    let mut net = connected(6);
    let mut parameters = RemoteParameters {
        credentials: net.hosts[B].agent.credentials().clone(),
        mode: Mode::Full,
        has_ice2: false,
    };
    let now = net.now;
    let agent = &mut net.hosts[A].agent;
    assert_eq!(agent.set_remote(parameters.clone(), now), Ok(()));
    parameters.credentials = Credentials::new("abcd", "abcdefghijklmnopqrstuvwx").unwrap();
    assert_eq!(agent.set_remote(parameters, now), Err(CredentialsChanged));
    net.pass(Duration::from_secs(60));
    net.assert_connected(ONE, TWO);
}
