//! A successor goes on where its predecessor was saved.

use std::time::Duration;

use windlass_ice::agent::{Agent, AgentState, Mode, RestoreError, Role, State};
use windlass_ice::stun::Class;

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const TWO: &str = "198.51.100.2:20000";

/// Saves A, lets `gap` pass, and puts a successor in its place.
fn replace(net: &mut Net, gap: Duration) {
    let state = net.hosts[A].agent.save(net.now);
    let text = serde_json::to_string(&state).unwrap();
    net.now += gap;
    let state: AgentState = serde_json::from_str(&text).unwrap();
    let now = net.now;
    let agent = Agent::restore(state.clone(), config(Mode::Full), now, &mut net.rng).unwrap();
    let saved = agent.save(now);
    net.hosts[A].agent = agent;
    assert_eq!(timeless(&saved), timeless(&state));
}

/// A state without its times: consent counts anew.
fn timeless(state: &AgentState) -> String {
    let text = serde_json::to_string(state).unwrap();
    let mut parts = text.split("_ms\":");
    let first = parts.next().unwrap().to_owned();
    let is_time = |c: char| c.is_ascii_digit() || "Some()".contains(c);
    parts.fold(first, |text, part| text + part.trim_start_matches(is_time))
}

#[test]
fn a_call_goes_on_without_negotiation() {
    let (a, b) = (both(&[ONE]), both(&[TWO]));
    let mut net = Net::pair(1, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    let (rtp, rtcp) = (net.rtp(A), net.rtcp(A));
    let events = net.hosts[A].events.len();
    for gap in [Duration::ZERO, Duration::from_secs(2)] {
        replace(&mut net, gap);
        assert_eq!(net.hosts[A].agent.state(), State::Completed);
        assert_eq!((net.rtp(A), net.rtcp(A)), (rtp, rtcp));
        assert!(net.hosts[A].agent.is_valid_source(addr(ONE), addr(TWO)));
        net.pass(Duration::from_secs(60));
    }
    assert_eq!(net.hosts[A].events.len(), events, "nothing happened");
    assert!(net.hosts[A].agent.counters().responses_in > 10);
    net.assert_connected(ONE, TWO);
    // And the peer is given up as ever.
    net.block(|_, _| true);
    net.pass(Duration::from_secs(40));
    assert_eq!(net.hosts[A].count(is_lost), 2);
}

#[test]
fn checks_that_were_open_start_again() {
    let (a, b) = (both(&[ONE]), both(&[TWO]));
    for after in (0..200).step_by(5) {
        let mut net = Net::pair(after, a.clone(), b.clone());
        net.signal(&a, &b);
        net.pass(Duration::from_millis(after));
        replace(&mut net, Duration::ZERO);
        net.complete();
        net.assert_connected(ONE, TWO);
    }
}

#[test]
fn a_restart_that_was_under_way_goes_on() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(2, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    let start = net.start_with(Role::Controlling, a.clone());
    net.hosts[A].agent.restart(start).unwrap();
    replace(&mut net, Duration::from_secs(1));
    assert_eq!(net.rtp(A).unwrap().remote, addr(TWO));
    net.pass(Duration::from_secs(60));
    net.assert_connected(ONE, TWO);
    let start = net.start_with(Role::Controlled, b.clone());
    net.hosts[B].agent.restart(start).unwrap();
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
}

#[test]
fn the_first_format_is_read() {
    let mut net = Net::new(3);
    let state: AgentState = serde_json::from_str(FORMAT_1).unwrap();
    let now = net.now;
    let agent = Agent::restore(state, config(Mode::Full), now, &mut net.rng).unwrap();
    assert_eq!(agent.state(), State::Completed);
    assert_eq!(agent.role(), Role::Controlling);
    let pair = agent.pair(windlass_ice::agent::Component::Rtp).unwrap();
    assert_eq!((pair.local, pair.remote), (addr(ONE), addr(TWO)));
    assert!(pair.is_selected);
    assert!(agent.is_valid_source(addr(ONE), addr(TWO)));
    let sockets = vec![addr(ONE)];
    net.hosts.push(Host {
        agent,
        sockets,
        events: Vec::new(),
        sent: Vec::new(),
    });
    net.pass(Duration::from_secs(7));
    assert_eq!(net.hosts[0].sent_of(Class::Request).len(), 1);
}

#[test]
fn what_is_no_state_is_refused() {
    let mut net = Net::new(4);
    let mut restore = |from: &str, to: &str| {
        let state = serde_json::from_str(&FORMAT_1.replace(from, to)).unwrap();
        let now = net.now;
        Agent::restore(state, config(Mode::Full), now, &mut net.rng).err()
    };
    assert_eq!(restore("", ""), None);
    let version = restore("\"version\":1", "\"version\":2");
    assert_eq!(version, Some(RestoreError::Version(2)));
    let pair = restore("\"local\":0", "\"local\":7");
    assert_eq!(pair, Some(RestoreError::Pair(7)));
    let locals = restore(
        "{\"component\":\"Rtp\",\"address\":\"192",
        "{\"component\":\"Rtcp\",\"address\":\"192",
    );
    assert!(matches!(locals, Some(RestoreError::Candidates(_))));
}

#[test]
fn a_state_does_not_show_passwords() {
    let net = Net::pair(5, hosts(&[ONE]), hosts(&[TWO]));
    let agent = &net.hosts[A].agent;
    let shown = format!("{:?} {agent:?}", agent.save(net.now));
    assert!(!shown.contains(agent.credentials().pwd().expose()));
}

const FORMAT_1: &str = r#"{"version":1,"mode":"Full","role":"Controlling","tie_breaker":77,
"current":{"local":{"ufrag":"aaaaaaaa","pwd":"abcdefghijklmnopqrstuvwxyz"},
"remote":{"credentials":{"ufrag":"bbbb","pwd":"zyxwvutsrqponmlkjihgfe"},"mode":"Full","has_ice2":true},
"locals":[{"component":"Rtp","address":"192.0.2.1:10000","priority":2130706431}],
"remotes":[{"component":"Rtp","address":"198.51.100.2:20000","priority":2130706431,"foundation":5,
"origin":"Signalled"},{"component":"Rtp","address":"198.51.100.3:20000","priority":1862270975,
"foundation":6,"origin":{"Learned":{"ufrag":9}}}],
"pairs":[{"component":"Rtp","local":0,"remote":"198.51.100.2:20000","remote_priority":2130706431,
"foundation":11,"stage":"Succeeded","proven_ms":1500,"is_authenticated":true,"is_nominated":false}],
"used":[{"component":"Rtp","local":"192.0.2.1:10000","remote":"198.51.100.2:20000","is_selected":true}],
"phase":"Completed","has_rtcp":false},"previous":null}"#;
