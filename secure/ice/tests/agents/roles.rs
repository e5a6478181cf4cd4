//! Role conflicts (RFC 8445 §7.2.5.1, §7.3.1.1).

use windlass_ice::agent::{Event, Role};

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const TWO: &str = "198.51.100.2:20000";

fn conflict(seed: u64, role: Role) {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::new(seed);
    for candidates in [&a, &b] {
        net.add(
            config(windlass_ice::agent::Mode::Full),
            role,
            candidates.clone(),
        );
    }
    net.signal(&a, &b);
    net.complete();
    net.assert_connected(ONE, TWO);
    let roles = [A, B].map(|host| net.hosts[host].agent.role());
    assert_ne!(roles[0], roles[1]);
    let changes = |host: &Host| host.count(|event| matches!(event, Event::RoleChanged(_)));
    let changes: usize = net.hosts.iter().map(changes).sum();
    assert!(
        changes % 2 == 1,
        "one in the end has changed, the other not"
    );
}

#[test]
fn two_controlling_agents_agree() {
    (0..20).for_each(|seed| conflict(seed, Role::Controlling));
}

#[test]
fn two_controlled_agents_agree() {
    (0..20).for_each(|seed| conflict(seed, Role::Controlled));
}
