//! Flow tokens (RFC 5626 §5.2): a flow inside of a URI, and proof that the edge wrote it there.

use std::net::{IpAddr, SocketAddr};

use crate::base64url;
use crate::cookie::Key;
use crate::transport::Flow;

/// A flow, and bytes that are kept with it: the URI that an alias stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlowToken {
    pub(crate) flow: Flow,
    pub(crate) kept: Vec<u8>,
}

/// Result of reading a text that may be a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenCheck {
    /// Not in the form of a token.
    Other,
    /// In the form of a token, but not written with this key.
    Forged,
    Ours(FlowToken),
}

/// What a token begins with: its version, and a letter that makes it a name in any place.
const MARK: &[u8] = b"f1-";
const MAC_BYTES: usize = 8;

impl FlowToken {
    pub(crate) fn write(flow: Flow, kept: &[u8], key: Key, out: &mut String) {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&flow.listener.to_be_bytes());
        bytes.extend_from_slice(&flow.connection.to_be_bytes());
        bytes.extend_from_slice(&flow.peer.port().to_be_bytes());
        match flow.peer.ip() {
            IpAddr::V4(ip) => {
                bytes.push(4);
                bytes.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes.push(16);
                bytes.extend_from_slice(&ip.octets());
            }
        }
        bytes.extend_from_slice(kept);
        let mac = key.hash([&b"flow"[..], &bytes]);
        bytes.extend_from_slice(&mac.to_be_bytes());
        out.push_str("f1-");
        base64url::encode(&bytes, |letter| out.push(char::from(letter)));
    }

    pub(crate) fn read(text: &[u8], key: Key) -> TokenCheck {
        let Some(text) = text.strip_prefix(MARK) else {
            return TokenCheck::Other;
        };
        let read = || {
            let bytes = base64url::decode(text)?;
            let (content, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
            if u64::from_be_bytes(*mac) != key.hash([&b"flow"[..], content]) {
                return None;
            }
            let (listener, rest) = content.split_first_chunk::<2>()?;
            let (connection, rest) = rest.split_first_chunk::<8>()?;
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let (ip, kept) = match rest.split_first()? {
                (4, rest) => {
                    let (ip, kept) = rest.split_first_chunk::<4>()?;
                    (IpAddr::from(*ip), kept)
                }
                (_, rest) => {
                    let (ip, kept) = rest.split_first_chunk::<16>()?;
                    (IpAddr::from(*ip), kept)
                }
            };
            Some(Self {
                flow: Flow {
                    listener: u16::from_be_bytes(*listener),
                    peer: SocketAddr::new(ip, u16::from_be_bytes(*port)),
                    connection: u64::from_be_bytes(*connection),
                },
                kept: kept.to_vec(),
            })
        };
        read().map_or(TokenCheck::Forged, TokenCheck::Ours)
    }
}

/// No text panics, and a token has one form: what is read is written so.
#[cfg(any(test, fuzzing))]
pub(crate) fn any_text(text: &[u8]) {
    let key = Key(1, 2);
    if let TokenCheck::Ours(token) = FlowToken::read(text, key) {
        let mut again = String::new();
        FlowToken::write(token.flow, &token.kept, key, &mut again);
        assert_eq!(again.as_bytes(), text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(peer: &str) -> Flow {
        Flow {
            listener: 3,
            peer: peer.parse().unwrap(),
            connection: u64::MAX,
        }
    }

    #[test]
    fn token_comes_back_as_written() {
        for (peer, kept) in [
            ("192.0.2.7:5060", &b""[..]),
            ("[2001:db8::1]:65535", b"sip:a@[::1];x"),
        ] {
            let mut text = String::new();
            FlowToken::write(flow(peer), kept, Key(1, 2), &mut text);
            let token = FlowToken {
                flow: flow(peer),
                kept: kept.to_vec(),
            };
            let read = FlowToken::read(text.as_bytes(), Key(1, 2));
            assert_eq!(read, TokenCheck::Ours(token));
            let other = FlowToken::read(text.as_bytes(), Key(1, 3));
            assert_eq!(other, TokenCheck::Forged);
        }
    }

    #[test]
    fn changed_token_is_forged_and_a_name_is_none() {
        let mut text = String::new();
        FlowToken::write(flow("192.0.2.7:5060"), b"x", Key(1, 2), &mut text);
        for position in 3..text.len() {
            let mut other = text.clone().into_bytes();
            other[position] = if other[position] == b'A' { b'B' } else { b'A' };
            let read = FlowToken::read(&other, Key(1, 2));
            assert_eq!(read, TokenCheck::Forged, "{position}");
            let short = FlowToken::read(&text.as_bytes()[..position], Key(1, 2));
            assert_eq!(short, TokenCheck::Forged, "{position}");
        }
        assert_eq!(FlowToken::read(b"alice", Key(1, 2)), TokenCheck::Other);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(f1-)?[A-Za-z0-9_=.-]{0,60}") {
            any_text(text.as_bytes());
        }
    }
}
