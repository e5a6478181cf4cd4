//! Owned protocol values, for replies and for requests a client sends.

mod bencoded;
mod dict;
mod read;
mod write;

use std::{borrow::Cow, net::IpAddr};

pub use bencoded::{Bencoded, DictWriter, ListWriter, Put};
pub use dict::{Dict, IntoKey};
use write::{bencode_bytes_len, digits, write_json_bytes};
pub(crate) use write::{write_address, write_bencode_bytes, write_decimal};

/// A dictionary key: a protocol word, or text from a peer (a tag, an SSRC).
pub type Key = Cow<'static, [u8]>;

/// One value of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A signed integer.
    Int(i64),
    /// A byte string, not necessarily UTF-8: a protocol word, or owned text.
    Bytes(Cow<'static, [u8]>),
    /// A list in order.
    List(Vec<Self>),
    /// A dictionary in insertion order.
    Dict(Dict),
    /// Any of them, written as bencode already: what is too large to be built as a tree.
    Bencode(Bencoded),
}

impl Value {
    /// A word of the protocol, which is not copied.
    pub const fn word(text: &'static str) -> Self {
        Self::Bytes(Cow::Borrowed(text.as_bytes()))
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The byte string, if it is one.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The byte string as text, if it is one and UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The members, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The dictionary, if it is one.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// Appends the bencode form.
    pub fn write_bencode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(int) => {
                out.push(b'i');
                write_decimal(*int, out);
                out.push(b'e');
            }
            Self::Bytes(bytes) => write_bencode_bytes(bytes, out),
            Self::List(list) => {
                out.push(b'l');
                for value in list {
                    value.write_bencode(out);
                }
                out.push(b'e');
            }
            Self::Dict(dict) => dict.write_bencode(out),
            Self::Bencode(written) => out.extend_from_slice(written.as_bytes()),
        }
    }

    /// Appends the JSON form; bytes that are not UTF-8 become replacement characters.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(int) => {
                write_decimal(*int, out);
            }
            Self::Bytes(bytes) => write_json_bytes(bytes, out),
            Self::List(list) => {
                out.push(b'[');
                for (i, value) in list.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    value.write_json(out);
                }
                out.push(b']');
            }
            Self::Dict(dict) => dict.write_json(out),
            Self::Bencode(written) => written.decode().write_json(out),
        }
    }

    /// Length of the bencode form, without writing it.
    pub fn bencode_len(&self) -> usize {
        match self {
            Self::Int(int) => 2 + usize::from(*int < 0) + digits(int.unsigned_abs()),
            Self::Bytes(bytes) => bencode_bytes_len(bytes),
            Self::List(list) => 2 + list.iter().map(Self::bencode_len).sum::<usize>(),
            Self::Dict(dict) => dict.bencode_len(),
            Self::Bencode(written) => written.as_bytes().len(),
        }
    }
}

impl From<Bencoded> for Value {
    fn from(written: Bencoded) -> Self {
        Self::Bencode(written)
    }
}

impl From<Dict> for Value {
    fn from(dict: Dict) -> Self {
        Self::Dict(dict)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<IpAddr> for Value {
    fn from(address: IpAddr) -> Self {
        let mut text = [0; 48];
        let length = write_address(address, &mut text);
        Self::from(text.get(..length).unwrap_or_default())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Bytes(Cow::Owned(text.into_bytes()))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Cow::Owned(bytes.to_vec()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}

macro_rules! from_integers {
    ($($int:ty),+) => { $(
        impl From<$int> for Value {
            fn from(int: $int) -> Self {
                Self::Int(i64::from(int))
            }
        }
    )+ };
}
from_integers!(u8, u16, u32, i32, i64);

/// Counters: those beyond `i64::MAX`, which no peer could read, saturate.
impl From<u64> for Value {
    fn from(int: u64) -> Self {
        Self::Int(i64::try_from(int).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(int: usize) -> Self {
        Self::Int(i64::try_from(int).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Self>> FromIterator<T> for Value {
    /// A list of the items.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bencode_keeps_insertion_order_and_counts_its_length() {
        let dict = Dict::new()
            .with("z", -5)
            .with("a", "x\0y")
            .with("l", Value::List(vec![0.into(), Dict::new().into()]));
        assert_eq!(dict.to_bencode(), b"d1:zi-5e1:a3:x\0y1:lli0edeee");
        assert_eq!(dict.bencode_len(), dict.to_bencode().len());
        assert_eq!(Value::Int(i64::MIN).bencode_len(), 22);
    }

    #[test]
    fn json_escapes_and_replaces() {
        let dict = Dict::new().with("a\"", &b"x\\\r\n\0\xff\xc3\xa4"[..]);
        let expected = "{\"a\\\"\":\"x\\\\\\r\\n\\u0000\u{fffd}ä\"}";
        assert_eq!(String::from_utf8(dict.to_json()).unwrap(), expected);
    }

    #[test]
    fn addresses_are_written_as_everywhere() {
        for text in [
            "0.0.0.0",
            "192.0.2.10",
            "255.255.255.255",
            "::",
            "2001:db8::1",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Value::from(address).as_str(), Some(text));
        }
    }

    #[test]
    fn last_duplicate_counts() {
        let mut dict = Dict::new().with("a", 1).with("b", 2).with("a", 3);
        assert_eq!(dict.get("a"), Some(&Value::Int(3)));
        dict.set("a", 4);
        assert_eq!(dict.remove("a"), Some(Value::Int(4)));
        assert_eq!(dict.len(), 1);
    }
}
