//! Which STUN and DTLS an agent can have to do with. Workers ask before they hand a datagram over, so
//! that what strangers send costs no agent anything (spec: security promise 10).
//!
//! A gate opens before the word that leads the party through it leaves: whoever has our answer to its
//! check may send its ClientHello at once.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use windlass_dtls::is_dtls;
use windlass_ice::stun::Glance;

use crate::flow::agent::AgentNumber;

/// A local address, and one of somebody else.
pub(super) type Way = (SocketAddr, SocketAddr);

/// What an agent lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gate {
    /// Our ufrags; none without ICE.
    pub(super) ufrags: Vec<Box<[u8]>>,
    /// The party's ways as far as ICE has shown them to be its own, in order.
    pub(super) valid: Vec<Way>,
    /// Without ICE: addresses that SDP names, or that a handshake has shown.
    pub(super) named: Vec<SocketAddr>,
    /// Ways that are being checked, in order.
    pub(super) checked: Vec<Way>,
    /// DTLS may come from anywhere: where a party behind NAT is, SDP does not say.
    pub(super) is_open: bool,
}

/// Who sent a datagram, as far as that can be told by a look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The party, unless somebody writes its address on the datagram.
    Party,
    /// Somebody who may be the party.
    Stranger,
}

impl Gate {
    /// Who sent a datagram of STUN or DTLS; `None`: nobody who can be the party.
    pub(super) fn sender(&self, way: Way, datagram: &[u8]) -> Option<Sender> {
        let is_valid = || self.valid.binary_search(&way).is_ok();
        let is_checked = || self.checked.binary_search(&way).is_ok();
        let stranger = Some(Sender::Stranger);
        if is_dtls(datagram) {
            return match is_valid() || self.named.contains(&way.1) {
                true => Some(Sender::Party),
                false => stranger.filter(|_| self.is_open || is_checked()),
            };
        }
        if self.ufrags.is_empty() {
            return None;
        }
        match Glance::at(datagram) {
            Glance::Request(Some(username)) if self.is_for_us(username) => match is_valid() {
                true => Some(Sender::Party),
                false => stranger,
            },
            Glance::Response if is_checked() => match is_valid() {
                true => Some(Sender::Party),
                false => stranger,
            },
            // Some keep the way open with indications (RFC 8445 §11).
            Glance::Other if is_valid() => Some(Sender::Party),
            _ => None,
        }
    }

    fn is_for_us(&self, username: &[u8]) -> bool {
        self.ufrags.iter().any(|ufrag| {
            let rest = username.strip_prefix(&**ufrag);
            rest.is_some_and(|rest| rest.first() == Some(&b':'))
        })
    }
}

/// The gates of the agents of one thread.
#[derive(Default)]
pub(super) struct Gates(RwLock<HashMap<AgentNumber, Gate, RandomState>>);

impl Gates {
    /// An agent lets this in from now on.
    pub(super) fn set(&self, agent: AgentNumber, gate: Gate) {
        self.0.write().insert(agent, gate);
    }

    /// There is no such agent.
    pub(super) fn remove(&self, agent: AgentNumber) {
        self.0.write().remove(&agent);
    }

    /// Who sent a datagram to an agent, by [`Gate::sender`].
    pub(super) fn sender(&self, agent: AgentNumber, way: Way, datagram: &[u8]) -> Option<Sender> {
        self.0.read().get(&agent)?.sender(way, datagram)
    }

    /// Whether there is such an agent.
    pub(super) fn has(&self, agent: AgentNumber) -> bool {
        self.0.read().contains_key(&agent)
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn stun(kind: u16, username: &[u8]) -> Vec<u8> {
        let mut message = [&kind.to_be_bytes()[..], &[0, 0, 0x21, 0x12, 0xa4, 0x42]].concat();
        message.extend([7; 12]);
        let length = u16::try_from(username.len()).unwrap();
        // SOFTWARE goes before it with some.
        message.extend([0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]);
        message.extend([&[0, 6], &length.to_be_bytes()[..], username].concat());
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    #[test]
    fn only_what_the_party_can_have_sent_is_let_in() {
        let gate = Gate {
            ufrags: vec![b"ours".as_slice().into(), b"before".as_slice().into()],
            valid: vec![(at(1), at(2))],
            checked: vec![(at(1), at(2)), (at(1), at(3))],
            ..Gate::default()
        };
        let (party, checked, other) = ((at(1), at(2)), (at(1), at(3)), (at(1), at(4)));
        let (request, response, error, indication) = (0x0001, 0x0101, 0x0111, 0x0011);
        let hello = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        let (known, stranger) = (Some(Sender::Party), Some(Sender::Stranger));
        let cases = [
            (party, stun(request, b"ours:them"), known),
            (other, stun(request, b"ours:them"), stranger),
            (other, stun(request, b"before:them"), stranger),
            (other, stun(request, b"ours"), None),
            (other, stun(request, b"oursx:them"), None),
            (other, stun(request, b"theirs:ours"), None),
            (party, stun(request, b"theirs:ours"), None),
            (checked, stun(response, b""), stranger),
            (party, stun(error, b""), known),
            (other, stun(response, b""), None),
            (party, stun(indication, b""), known),
            (other, stun(indication, b"ours:them"), None),
            (party, hello.to_vec(), known),
            (checked, hello.to_vec(), stranger),
            (other, hello.to_vec(), None),
        ];
        for (way, datagram, expected) in cases {
            assert_eq!(
                gate.sender(way, &datagram),
                expected,
                "{way:?} {datagram:?}"
            );
        }
        // What is cut off anywhere says nothing.
        let whole = stun(request, b"ours:them");
        for length in 0..whole.len() - 3 {
            assert_eq!(gate.sender(other, &whole[..length]), None);
        }
        let behind_nat = Gate {
            is_open: true,
            named: vec![at(2)],
            ..Gate::default()
        };
        assert_eq!(behind_nat.sender(other, &hello), stranger);
        assert_eq!(behind_nat.sender(party, &hello), known);
        assert_eq!(behind_nat.sender(other, &whole), None);
    }
}
