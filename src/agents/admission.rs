//! How many handshakes there are at a time, in all and per source (spec: security promise 10).
//!
//! A source counts once it was reached: it brought back its cookie, answered our hello, or ICE has
//! shown it. Hellos of ours that nobody has answered yet are counted apart, by the address that they go
//! to: who names the address of others in SDP takes no room of theirs.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;

use crate::flow::Component;
use crate::flow::agent::AgentNumber;
use crate::limits::{HANDSHAKES, HANDSHAKES_PER_SOURCE};

/// Whose handshake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum With {
    /// One who was reached there.
    Reached(IpAddr),
    /// Nobody has answered from there.
    Unanswered(IpAddr),
}

/// Handshakes under way in one shard.
#[derive(Debug, Default)]
pub(super) struct Admission {
    under_way: HashMap<(AgentNumber, Component), With, RandomState>,
    per_source: HashMap<With, usize, RandomState>,
    unanswered: usize,
}

impl Admission {
    /// Whether a session may go on with a datagram of a source, or with a hello to it: its handshake is
    /// under way, or there is room for another.
    pub(super) fn admits(&self, agent: AgentNumber, component: Component, with: With) -> bool {
        let with = with.host();
        let of_kind = match with {
            With::Reached(_) => self.under_way.len() - self.unanswered,
            With::Unanswered(_) => self.unanswered,
        };
        let of_source = self.per_source.get(&with).copied().unwrap_or(0);
        self.under_way.contains_key(&(agent, component))
            || of_kind < HANDSHAKES && of_source < HANDSHAKES_PER_SOURCE
    }

    /// Notes whom a handshake is under way with, or that there is none any more.
    pub(super) fn note(&mut self, agent: AgentNumber, component: Component, with: Option<With>) {
        let (key, with) = ((agent, component), with.map(With::host));
        if self.under_way.get(&key).copied() == with {
            return;
        }
        if let Some(before) = self.under_way.remove(&key) {
            self.unanswered -= usize::from(before.is_unanswered());
            if let Some(count) = self.per_source.get_mut(&before) {
                *count -= 1;
                if *count == 0 {
                    self.per_source.remove(&before);
                }
            }
        }
        if let Some(with) = with {
            self.under_way.insert(key, with);
            self.unanswered += usize::from(with.is_unanswered());
            *self.per_source.entry(with).or_default() += 1;
        }
    }
}

impl With {
    fn is_unanswered(self) -> bool {
        matches!(self, Self::Unanswered(_))
    }

    fn host(self) -> Self {
        match self {
            Self::Reached(address) => Self::Reached(host(address)),
            Self::Unanswered(address) => Self::Unanswered(host(address)),
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
        let of = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        let stranger = |last| With::Reached(of(last));
        let agents: Vec<AgentNumber> = (0..HANDSHAKES).map(|_| AgentNumber::default()).collect();
        let mut admitted = Vec::new();
        for (last, agent) in (0..).zip(&agents) {
            if admission.admits(*agent, Component::Rtp, stranger(last)) {
                admission.note(*agent, Component::Rtp, Some(stranger(last)));
                admitted.push(*agent);
            }
        }
        assert_eq!(admitted.len(), HANDSHAKES_PER_SOURCE);
        let phone = With::Reached(IpAddr::from([192, 0, 2, 1]));
        assert!(admission.admits(AgentNumber::default(), Component::Rtp, phone));
        assert!(admission.admits(admitted[0], Component::Rtp, stranger(0)));
        admission.note(admitted[0], Component::Rtp, None);
        assert!(admission.admits(AgentNumber::default(), Component::Rtp, stranger(9)));
        for agent in &admitted[1..] {
            admission.note(*agent, Component::Rtp, None);
        }
        assert!(admission.under_way.is_empty() && admission.per_source.is_empty());
    }

    #[test]
    fn who_never_answered_takes_nobodys_room() {
        let mut admission = Admission::default();
        let victim = IpAddr::from([192, 0, 2, 1]);
        let agents = || (0..HANDSHAKES).map(|_| AgentNumber::default());
        for agent in agents() {
            let hello = With::Unanswered(victim);
            if admission.admits(agent, Component::Rtp, hello) {
                admission.note(agent, Component::Rtp, Some(hello));
            }
        }
        assert_eq!(admission.unanswered, HANDSHAKES_PER_SOURCE);
        // Nor do many of them.
        for (agent, host) in agents().zip(1_u32..) {
            let hello = With::Unanswered(std::net::Ipv4Addr::from_bits(host).into());
            if admission.admits(agent, Component::Rtp, hello) {
                admission.note(agent, Component::Rtp, Some(hello));
            }
        }
        assert_eq!(admission.unanswered, HANDSHAKES);
        let agent = AgentNumber::default();
        assert!(admission.admits(agent, Component::Rtp, With::Reached(victim)));
        admission.note(agent, Component::Rtp, Some(With::Unanswered(victim)));
        admission.note(agent, Component::Rtp, Some(With::Reached(victim)));
        assert_eq!(admission.unanswered, HANDSHAKES);
        assert_eq!(admission.per_source[&With::Reached(victim)], 1);
    }
}
