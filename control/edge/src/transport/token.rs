//! Flow tokens (RFC 5626 §5.2): a flow as the user part of a URI, which only we can write.
//!
//! ```text
//! base64url( version | key id | kind | listener:16 | what | MAC:64 )
//! kind 0: what = connection:64
//! kind 4: what = number of the local address:16 | port:16 | IPv4 address:32
//! kind 6: what = number of the local address:16 | port:16 | IPv6 address:128
//! kind 7: as 6, and the scope:32
//! ```
//!
//! The MAC is SipHash-2-4 over all that stands before it. Two keys are good at a time, so that tokens
//! outlive the change of a key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::Flow;
use crate::cookie::Key;

/// What a token that we wrote names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The connection with this number; whether it is still open, transports know.
    Connection { listener: u16, connection: u64 },
    /// A way of datagrams.
    Datagrams(Flow),
}

/// Why a text is no token of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the key {0} is not known")]
    Key(u8),
    #[error("the MAC does not match")]
    Mac,
    #[error("it does not have the form of a flow token")]
    Shape,
}

/// The keys of tokens: one to write with, and the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenKeys {
    current: (u8, Key),
    previous: Option<(u8, Key)>,
}

impl TokenKeys {
    /// `id` tells the keys apart; it is no secret.
    pub(crate) fn new(id: u8, key: Key) -> Self {
        Self {
            current: (id, key),
            previous: None,
        }
    }

    /// Writes with `key` from now on. Tokens of the key before it stay good, those of older ones do
    /// not.
    pub(crate) fn rotate(&mut self, key: Key) {
        self.previous = Some(self.current);
        self.current = (self.current.0.wrapping_add(1), key);
    }

    fn find(&self, id: u8) -> Option<Key> {
        let keys = [Some(self.current), self.previous];
        keys.into_iter()
            .flatten()
            .find(|(known, _)| *known == id)
            .map(|(_, key)| key)
    }
}

impl Token {
    /// The token of a flow.
    pub(crate) fn of(flow: Flow, is_stream: bool) -> Self {
        if is_stream {
            Self::Connection {
                listener: flow.listener,
                connection: flow.connection,
            }
        } else {
            Self::Datagrams(flow)
        }
    }

    /// Appends the token: 28 to 50 characters that are good in the user part of a URI.
    pub(crate) fn write(self, keys: &TokenKeys, out: &mut String) {
        let mut bytes = Vec::with_capacity(LONGEST);
        let (id, key) = keys.current;
        bytes.extend([VERSION, id]);
        match self {
            Self::Connection {
                listener,
                connection,
            } => {
                bytes.push(CONNECTION);
                bytes.extend(listener.to_be_bytes());
                bytes.extend(connection.to_be_bytes());
            }
            Self::Datagrams(flow) => {
                let scope = match flow.peer {
                    SocketAddr::V6(peer) if peer.scope_id() != 0 => Some(peer.scope_id()),
                    _ => None,
                };
                bytes.push(match (flow.peer.ip(), scope) {
                    (IpAddr::V4(_), _) => V4,
                    (IpAddr::V6(_), None) => V6,
                    (IpAddr::V6(_), Some(_)) => V6_SCOPED,
                });
                bytes.extend(flow.listener.to_be_bytes());
                // A number that does not fit is none: the system chooses the address then.
                let local = u16::try_from(flow.connection).unwrap_or(0);
                bytes.extend(local.to_be_bytes());
                bytes.extend(flow.peer.port().to_be_bytes());
                match flow.peer.ip() {
                    IpAddr::V4(ip) => bytes.extend(ip.octets()),
                    IpAddr::V6(ip) => bytes.extend(ip.octets()),
                }
                bytes.extend(scope.into_iter().flat_map(u32::to_be_bytes));
            }
        }
        let mac = mac(key, &bytes);
        bytes.extend(mac.to_be_bytes());
        encode(&bytes, out);
    }

    /// Reads a user part.
    ///
    /// # Errors
    ///
    /// When it is not a token that was written with one of the `keys`.
    pub(crate) fn read(text: &[u8], keys: &TokenKeys) -> Result<Self, TokenError> {
        let mut buffer = [0; LONGEST];
        let bytes = decode(text, &mut buffer).ok_or(TokenError::Shape)?;
        let (signed, mac_bytes) = bytes.split_last_chunk::<8>().ok_or(TokenError::Shape)?;
        let ([version, id, kind], rest) = signed.split_first_chunk().ok_or(TokenError::Shape)?;
        if *version != VERSION {
            return Err(TokenError::Shape);
        }
        let key = keys.find(*id).ok_or(TokenError::Key(*id))?;
        if mac(key, signed) != u64::from_be_bytes(*mac_bytes) {
            return Err(TokenError::Mac);
        }
        what(*kind, rest).ok_or(TokenError::Shape)
    }
}

fn what(kind: u8, bytes: &[u8]) -> Option<Token> {
    let (listener, bytes) = bytes.split_first_chunk()?;
    let listener = u16::from_be_bytes(*listener);
    if kind == CONNECTION {
        return Some(Token::Connection {
            listener,
            connection: u64::from_be_bytes(bytes.try_into().ok()?),
        });
    }
    let (local, bytes) = bytes.split_first_chunk()?;
    let (port, bytes) = bytes.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    let peer = match kind {
        V4 => {
            let octets: [u8; 4] = bytes.try_into().ok()?;
            SocketAddr::from((Ipv4Addr::from(octets), port))
        }
        V6 | V6_SCOPED => {
            let (octets, scope) = bytes.split_first_chunk::<16>()?;
            let scope = match kind {
                V6 if scope.is_empty() => 0,
                V6_SCOPED => u32::from_be_bytes(scope.try_into().ok()?),
                _ => return None,
            };
            SocketAddrV6::new(Ipv6Addr::from(*octets), port, 0, scope).into()
        }
        _ => return None,
    };
    Some(Token::Datagrams(Flow {
        listener,
        peer,
        connection: u16::from_be_bytes(*local).into(),
    }))
}

fn mac(key: Key, signed: &[u8]) -> u64 {
    key.hash([&b"flow"[..], signed])
}

/// base64url without padding (RFC 4648 §5).
fn encode(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, b| group << 8 | u32::from(*b));
        let bits = chunk.len() * 8;
        let digits = bits.div_ceil(6);
        let group = group << (digits * 6 - bits);
        for digit in (0..digits).rev() {
            let index = (group >> (digit * 6)) & 0x3f;
            let letter = usize::try_from(index).ok().and_then(|i| ALPHABET.get(i));
            out.extend(letter.map(|b| char::from(*b)));
        }
    }
}

/// The bytes of a base64url text in its one canonical form: two texts never are the same token.
fn decode<'a>(text: &[u8], buffer: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
    let mut filled = 0;
    let (mut group, mut bits) = (0u32, 0u32);
    for letter in text {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            let [.., byte] = (group >> bits).to_be_bytes();
            *buffer.get_mut(filled)? = byte;
            filled += 1;
            group &= (1 << bits) - 1;
        }
    }
    // Six bits over are a letter too many; other bits must be zero.
    if bits >= 6 || group != 0 {
        return None;
    }
    buffer.get(..filled)
}

/// What must hold for every input: nothing panics, and what is read is written again to the same
/// text. The door of the fuzz target.
#[cfg(any(test, fuzzing))]
pub(super) fn any_text(text: &[u8], keys: &TokenKeys) {
    if let Ok(token) = Token::read(text, keys) {
        let mut again = String::new();
        token.write(keys, &mut again);
        assert_eq!(Token::read(again.as_bytes(), keys), Ok(token));
    }
    let mut buffer = [0; LONGEST];
    if let Some(bytes) = decode(text, &mut buffer) {
        let mut again = String::new();
        encode(bytes, &mut again);
        assert_eq!(again.as_bytes(), text);
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VERSION: u8 = 1;
const CONNECTION: u8 = 0;
const V4: u8 = 4;
const V6: u8 = 6;
const V6_SCOPED: u8 = 7;
/// Bytes of a token with a scoped IPv6 address.
const LONGEST: usize = 3 + 2 + 2 + 2 + 16 + 4 + 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> TokenKeys {
        TokenKeys::new(7, Key(1, 2))
    }

    fn text(token: Token, keys: &TokenKeys) -> String {
        let mut text = String::new();
        token.write(keys, &mut text);
        text
    }

    fn phone() -> Token {
        Token::Datagrams(Flow {
            listener: 2,
            peer: "192.0.2.7:40000".parse().unwrap(),
            connection: 0,
        })
    }

    #[test]
    fn a_changed_letter_is_refused() {
        let written = text(phone(), &keys());
        for position in 0..written.len() {
            let mut other = written.clone().into_bytes();
            other[position] = if other[position] == b'A' { b'B' } else { b'A' };
            assert!(Token::read(&other, &keys()).is_err(), "{position}");
        }
        assert_eq!(
            Token::read(&written.as_bytes()[1..], &keys()),
            Err(TokenError::Shape)
        );
    }

    #[test]
    fn a_key_is_good_until_the_second_change() {
        let mut keys = keys();
        let written = text(phone(), &keys);
        keys.rotate(Key(3, 4));
        assert_eq!(Token::read(written.as_bytes(), &keys), Ok(phone()));
        assert_ne!(text(phone(), &keys), written);
        keys.rotate(Key(5, 6));
        assert_eq!(
            Token::read(written.as_bytes(), &keys),
            Err(TokenError::Key(7))
        );
    }

    #[test]
    fn the_same_key_id_with_another_key_does_not_read_it() {
        let written = text(phone(), &keys());
        let other = TokenKeys::new(7, Key(1, 3));
        assert_eq!(
            Token::read(written.as_bytes(), &other),
            Err(TokenError::Mac)
        );
    }

    fn flows() -> impl Strategy<Value = Flow> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ];
        let scope = prop_oneof![Just(0u32), any::<u32>()];
        (any::<u16>(), ip, any::<u16>(), any::<u16>(), scope).prop_map(
            |(listener, ip, port, local, scope)| Flow {
                listener,
                peer: match ip {
                    IpAddr::V4(_) => SocketAddr::new(ip, port),
                    IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
                },
                connection: local.into(),
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn what_is_written_is_read(flow in flows(), stream: bool, number: u64) {
            let connection = if stream { number } else { flow.connection };
            let token = Token::of(Flow { connection, ..flow }, stream);
            let written = text(token, &keys());
            prop_assert!((28..=50).contains(&written.len()));
            prop_assert_eq!(Token::read(written.as_bytes(), &keys()), Ok(token));
        }

        #[test]
        fn no_text_panics(text in prop_oneof!["[A-Za-z0-9_-]{0,60}", ".{0,60}"]) {
            any_text(text.as_bytes(), &keys());
        }
    }
}
