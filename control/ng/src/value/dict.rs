//! Dictionaries.

use std::borrow::Cow;

use super::write::{bencode_bytes_len, write_bencode_bytes, write_json_bytes};
use super::{Key, Value};

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

    /// An empty dictionary with space for `entries` entries.
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
            if let Value::Bencode(written) = value {
                *value = written.decode();
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

/// Types that can be a dictionary key: protocol words are borrowed, text from peers is owned.
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
