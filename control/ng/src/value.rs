//! Owned protocol values, for replies and for requests a client sends.

use std::{borrow::Cow, io::Write as _, net::IpAddr};

use crate::encoded::Encoded;

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
    /// Any of them, written already.
    Encoded(Encoded),
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
            Self::Encoded(encoded) => out.extend_from_slice(encoded.as_bytes()),
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
            Self::Encoded(encoded) => encoded.decode().write_json(out),
        }
    }

    /// Length of the bencode form, without writing it.
    pub fn bencode_len(&self) -> usize {
        match self {
            Self::Int(int) => 2 + usize::from(*int < 0) + digits(int.unsigned_abs()),
            Self::Bytes(bytes) => bencode_bytes_len(bytes),
            Self::List(list) => 2 + list.iter().map(Self::bencode_len).sum::<usize>(),
            Self::Dict(dict) => dict.bencode_len(),
            Self::Encoded(encoded) => encoded.as_bytes().len(),
        }
    }
}

impl From<Encoded> for Value {
    fn from(encoded: Encoded) -> Self {
        Self::Encoded(encoded)
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

/// A dictionary that keeps insertion order, as the reference writes its replies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dict {
    entries: Vec<(Key, Value)>,
}

impl Dict {
    /// An empty dictionary.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// An empty dictionary with room for so many entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
        }
    }

    /// The dictionary with one more entry.
    #[must_use]
    pub fn with(mut self, key: impl IntoKey, value: impl Into<Value>) -> Self {
        self.push(key, value);
        self
    }

    /// The dictionary with one more entry if there is a value.
    #[must_use]
    pub fn with_some(self, key: impl IntoKey, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Appends an entry; an earlier one of the same key stays (see [`Self::set`]).
    pub fn push(&mut self, key: impl IntoKey, value: impl Into<Value>) {
        self.entries.push((key.into_key(), value.into()));
    }

    /// Replaces the last entry of that key in place, or appends.
    pub fn set(&mut self, key: impl IntoKey, value: impl Into<Value>) {
        let key = key.into_key();
        match self.entries.iter_mut().rev().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value.into(),
            None => self.entries.push((key, value.into())),
        }
    }

    /// The last entry of that key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Value> {
        let key = key.as_ref();
        self.entries
            .iter()
            .rev()
            .find(|(k, _)| k.as_ref() == key)
            .map(|(_, v)| v)
    }

    /// The last entry of that key, to change.
    pub fn get_mut(&mut self, key: impl AsRef<[u8]>) -> Option<&mut Value> {
        let key = key.as_ref();
        self.entries
            .iter_mut()
            .rev()
            .find(|(k, _)| k.as_ref() == key)
            .map(|(_, v)| v)
    }

    /// The text of the last entry of that key.
    pub fn get_str(&self, key: impl AsRef<[u8]>) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Removes every entry of that key; the last one is returned.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> Option<Value> {
        let key = key.as_ref();
        let mut last = None;
        self.entries.retain_mut(|(k, v)| {
            let hit = k.as_ref() == key;
            if hit {
                last = Some(std::mem::replace(v, Value::Int(0)));
            }
            !hit
        });
        last
    }

    /// The entries in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &Value)> + ExactSizeIterator {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_ref(), value))
    }

    /// The entries in order, values to change.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&[u8], &mut Value)> {
        self.entries.iter_mut().map(|(key, value)| (&**key, value))
    }

    /// The entries in order, owned.
    pub fn into_entries(self) -> impl Iterator<Item = (Key, Value)> {
        self.entries.into_iter()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes trees of the entries that are written already.
    pub fn unpack(&mut self) {
        for (_, value) in &mut self.entries {
            if let Value::Encoded(encoded) = value {
                *value = encoded.decode();
            }
        }
    }

    /// Keeps the first `len` entries.
    pub fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
    }

    /// Keeps the entries for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &mut Value) -> bool) {
        self.entries.retain_mut(|(key, value)| keep(key, value));
    }

    /// Appends the bencode form.
    pub fn write_bencode(&self, out: &mut Vec<u8>) {
        out.push(b'd');
        for (key, value) in &self.entries {
            write_bencode_bytes(key, out);
            value.write_bencode(out);
        }
        out.push(b'e');
    }

    /// Appends the JSON form.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (i, (key, value)) in self.entries.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_json_bytes(key, out);
            out.push(b':');
            value.write_json(out);
        }
        out.push(b'}');
    }

    /// The bencode form.
    pub fn to_bencode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write_bencode(&mut out);
        out
    }

    /// The JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write_json(&mut out);
        out
    }

    /// Length of the bencode form, without writing it.
    pub fn bencode_len(&self) -> usize {
        let entries = self.entries.iter();
        2 + entries
            .map(|(k, v)| bencode_bytes_len(k) + v.bencode_len())
            .sum::<usize>()
    }
}

impl FromIterator<(Key, Value)> for Dict {
    fn from_iter<I: IntoIterator<Item = (Key, Value)>>(entries: I) -> Self {
        Self {
            entries: entries.into_iter().collect(),
        }
    }
}

impl Extend<(Key, Value)> for Dict {
    fn extend<I: IntoIterator<Item = (Key, Value)>>(&mut self, entries: I) {
        self.entries.extend(entries);
    }
}

/// What can be a dictionary key: protocol words are borrowed, text from peers is owned.
pub trait IntoKey {
    /// The key.
    fn into_key(self) -> Key;
}

impl IntoKey for &'static str {
    fn into_key(self) -> Key {
        Cow::Borrowed(self.as_bytes())
    }
}

impl IntoKey for String {
    fn into_key(self) -> Key {
        Cow::Owned(self.into_bytes())
    }
}

impl IntoKey for Vec<u8> {
    fn into_key(self) -> Key {
        Cow::Owned(self)
    }
}

impl IntoKey for Key {
    fn into_key(self) -> Key {
        self
    }
}

/// Numbers are half of a `query` reply; formatting traits cost more than the rest of it.
pub(crate) fn write_decimal(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes an address as text and gives its length. A `query` reply has a dozen addresses; the
/// formatting traits take a tenth of its time for them.
pub(crate) fn write_address(address: IpAddr, text: &mut [u8; 48]) -> usize {
    let mut rest = &mut text[..];
    let mut put = |bytes: &[u8]| {
        // The longest address has 39 characters.
        let _ = rest.write_all(bytes);
    };
    match address {
        IpAddr::V4(v4) => {
            for (i, octet) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    put(b".");
                }
                put(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => put(v6.to_string().as_bytes()),
    }
    let left = rest.len();
    text.len() - left
}

pub(crate) fn write_bencode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // The length has at most 20 digits.
    out.reserve(bytes.len() + 21);
    match u8::try_from(bytes.len()) {
        // Most texts are words.
        Ok(length @ ..10) => out.push(b'0' + length),
        _ => write_decimal(bytes.len(), out),
    }
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn bencode_bytes_len(bytes: &[u8]) -> usize {
    digits(bytes.len() as u64) + 1 + bytes.len()
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn write_json_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        write_json_escaped(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn write_json_escaped(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|&b| b < 0x20 || b == b'"' || b == b'\\')
    {
        let Some((plain, [special, after @ ..])) = rest.split_at_checked(at) else {
            break;
        };
        out.extend_from_slice(plain);
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
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
