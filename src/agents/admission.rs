//! How many handshakes there are at a time, in all and per source (spec: security promise 10).

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use crate::flow::Component;
use crate::flow::agent::AgentNumber;
use crate::limits::{HANDSHAKES, HANDSHAKES_PER_SOURCE};

/// Handshakes under way in one shard.
#[derive(Debug, Default)]
pub(super) struct Admission {
    under_way: HashMap<(AgentNumber, Component), IpAddr, RandomState>,
    per_source: HashMap<IpAddr, usize, RandomState>,
}

impl Admission {
    /// Whether a session may go on with a datagram of a source, or with a ClientHello to it: its
    /// handshake is under way, or there is room for another.
    pub(super) fn admits(&self, agent: AgentNumber, component: Component, peer: IpAddr) -> bool {
        let of_source = self.per_source.get(&host(peer)).copied().unwrap_or(0);
        self.under_way.contains_key(&(agent, component))
            || self.under_way.len() < HANDSHAKES && of_source < HANDSHAKES_PER_SOURCE
    }

    /// Notes a handshake that is under way with a peer, or is not any more.
    pub(super) fn note(&mut self, agent: AgentNumber, component: Component, peer: Option<IpAddr>) {
        let key = (agent, component);
        if peer.is_some() && self.under_way.contains_key(&key) {
            return;
        }
        if let Some(before) = self.under_way.remove(&key)
            && let Some(count) = self.per_source.get_mut(&before)
        {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&before);
            }
        }
        if let Some(peer) = peer.map(host) {
            self.under_way.insert(key, peer);
            *self.per_source.entry(peer).or_default() += 1;
        }
    }
}

/// Who counts as one source: an IPv4 address, or the /64 of an IPv6 address, which is one customer's.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_does_not_take_the_room_of_others() {
        let mut admission = Admission::default();
        let stranger = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        let agents: Vec<AgentNumber> = (0..HANDSHAKES).map(|_| AgentNumber::default()).collect();
        let mut admitted = Vec::new();
        for (last, agent) in (0..).zip(&agents) {
            if admission.admits(*agent, Component::Rtp, stranger(last)) {
                admission.note(*agent, Component::Rtp, Some(stranger(last)));
                admitted.push(*agent);
            }
        }
        assert_eq!(admitted.len(), HANDSHAKES_PER_SOURCE);
        let phone = IpAddr::from([192, 0, 2, 1]);
        assert!(admission.admits(AgentNumber::default(), Component::Rtp, phone));
        assert!(admission.admits(admitted[0], Component::Rtp, stranger(0)));
        admission.note(admitted[0], Component::Rtp, None);
        assert!(admission.admits(AgentNumber::default(), Component::Rtp, stranger(9)));
        for agent in &admitted[1..] {
            admission.note(*agent, Component::Rtp, None);
        }
        assert!(admission.under_way.is_empty() && admission.per_source.is_empty());
    }
}
