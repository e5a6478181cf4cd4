//! The way to a party, as a parameter of a Contact of ours: sealed, so that nobody reads it.

use std::net::{IpAddr, SocketAddr};

use crate::base64url;
use crate::keys::{Sealed, TokenKeys};
use crate::limits::WAY_BYTES;
use crate::transport::Flow;

/// The party that a way leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    /// Who sent the request that opened the dialog.
    Caller = 1,
    Callee = 2,
    /// A machine that registered elsewhere through us.
    Binding = 3,
}

impl Role {
    /// The other party of the dialog.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
            Self::Binding => Self::Binding,
        }
    }
}

/// The way to a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) role: Role,
    /// The Contact does not lead to it; requests go by `flow`.
    pub(crate) nat: bool,
    /// Index of the zone that it was told to.
    pub(crate) zone: u16,
    pub(crate) flow: Flow,
    /// The Call-ID as it knows it: a text that is sealed again is another one once the key has changed.
    /// Empty: as those do who have the way.
    pub(crate) call_id: Box<[u8]>,
    /// The URI of its Contact.
    pub(crate) target: Box<[u8]>,
    /// Route values toward it beyond us.
    pub(crate) routes: Vec<Box<[u8]>>,
}

impl Way {
    /// Writes the way for those who know `call_id`; of a binding, for all of its zone. False if it is
    /// too long.
    pub(crate) fn write(&self, call_id: &[u8], keys: &TokenKeys, out: &mut Vec<u8>) -> bool {
        let mut bytes = vec![self.role as u8, u8::from(self.nat)];
        bytes.extend_from_slice(&self.zone.to_be_bytes());
        bytes.extend_from_slice(&self.flow.listener.to_be_bytes());
        bytes.extend_from_slice(&self.flow.connection.to_be_bytes());
        bytes.extend_from_slice(&self.flow.peer.port().to_be_bytes());
        match self.flow.peer.ip() {
            IpAddr::V4(ip) => bytes.extend_from_slice(&[&[4][..], &ip.octets()].concat()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&[&[16][..], &ip.octets()].concat()),
        }
        for text in [&self.call_id, &self.target]
            .into_iter()
            .chain(&self.routes)
        {
            let Ok(length) = u16::try_from(text.len()) else {
                return false;
            };
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(text);
        }
        if bytes.len() > WAY_BYTES {
            return false;
        }
        keys.seal(Sealed::Way, self.role.known(call_id), &mut bytes);
        base64url::encode(&bytes, |letter| out.push(letter));
        true
    }

    /// The way in a text of ours; `None` if it is none, or not for this Call-ID.
    pub(crate) fn read(text: &[u8], call_id: &[u8], keys: &TokenKeys) -> Option<Self> {
        if text.len() > (WAY_BYTES + crate::keys::SEAL_BYTES) * 4 / 3 + 4 {
            return None;
        }
        let sealed = base64url::decode(text)?;
        let open = |known: &[u8]| keys.open(Sealed::Way, known, &sealed);
        let bytes = open(call_id).or_else(|| open(b""))?;
        let way = Self::decode(&bytes)?;
        // What was not bound to a call is none of one.
        (way.role == Role::Binding || !call_id.is_empty()).then_some(way)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let ([role, nat], rest) = bytes.split_first_chunk::<2>()?;
        let role = [Role::Caller, Role::Callee, Role::Binding]
            .into_iter()
            .find(|known| *known as u8 == *role)?;
        let (zone, rest) = rest.split_first_chunk::<2>()?;
        let (listener, rest) = rest.split_first_chunk::<2>()?;
        let (connection, rest) = rest.split_first_chunk::<8>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let (ip, mut rest): (IpAddr, _) = match rest.split_first()? {
            (4, rest) => {
                let (ip, rest) = rest.split_first_chunk::<4>()?;
                ((*ip).into(), rest)
            }
            (_, rest) => {
                let (ip, rest) = rest.split_first_chunk::<16>()?;
                ((*ip).into(), rest)
            }
        };
        let mut texts = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk::<2>() {
            let (text, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
            texts.push(Box::from(text));
            rest = behind;
        }
        let mut texts = texts.into_iter();
        Some(Self {
            role,
            nat: *nat != 0,
            zone: u16::from_be_bytes(*zone),
            flow: Flow {
                listener: u16::from_be_bytes(*listener),
                peer: SocketAddr::new(ip, u16::from_be_bytes(*port)),
                connection: u64::from_be_bytes(*connection),
            },
            call_id: texts.next()?,
            target: texts.next()?,
            routes: texts.collect(),
        })
    }
}

impl Role {
    /// What else has to be known to read a way to this party.
    fn known(self, call_id: &[u8]) -> &[u8] {
        match self {
            Self::Caller | Self::Callee => call_id,
            Self::Binding => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::Key;

    fn way(role: Role, peer: &str) -> Way {
        Way {
            role,
            nat: true,
            zone: 2,
            flow: Flow {
                listener: 3,
                peer: peer.parse().unwrap(),
                connection: 9,
            },
            call_id: Box::from(&b"wl-1"[..]),
            target: Box::from(&b"sip:bob@192.0.2.7;x=y"[..]),
            routes: vec![Box::from(&b"<sip:192.0.2.8;lr>"[..]), Box::default()],
        }
    }

    #[test]
    fn way_comes_back_as_written_and_hides_what_it_holds() {
        let keys = TokenKeys::new(&[], Key(1, 2));
        for (role, peer) in [
            (Role::Caller, "192.0.2.7:5060"),
            (Role::Callee, "[2001:db8::1]:1"),
        ] {
            let mut text = Vec::new();
            assert!(way(role, peer).write(b"c1", &keys, &mut text));
            assert_eq!(Way::read(&text, b"c1", &keys), Some(way(role, peer)));
            assert_eq!(Way::read(&text, b"c2", &keys), None);
            assert_eq!(Way::read(&text, b"", &keys), None);
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] = if other[at] == b'A' { b'B' } else { b'A' };
                assert_eq!(Way::read(&other, b"c1", &keys), None, "{at}");
                assert_eq!(Way::read(&text[..at], b"c1", &keys), None, "{at}");
            }
        }
    }

    #[test]
    fn binding_is_of_no_call_and_a_way_has_bounds() {
        let keys = TokenKeys::new(&[], Key(1, 2));
        let binding = way(Role::Binding, "192.0.2.7:5060");
        let mut text = Vec::new();
        assert!(binding.write(b"c1", &keys, &mut text));
        for call_id in [&b"c1"[..], b"c2"] {
            assert_eq!(Way::read(&text, call_id, &keys), Some(binding.clone()));
        }
        let mut long = binding;
        long.target = vec![b'x'; WAY_BYTES].into();
        assert!(!long.write(b"", &keys, &mut Vec::new()));
        assert_eq!(Way::read(&vec![b'A'; 1 << 20], b"c1", &keys), None);
    }
}
