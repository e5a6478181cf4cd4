//! Values that are written as bencode at once.
//!
//! A `query` reply is a tree of a hundred dictionaries that only its reader looks at. Built from
//! [`Value`]s, it costs mostly allocations.

use std::fmt;
use std::net::IpAddr;

use super::{Value, write_address, write_bencode_bytes, write_decimal};

/// One value in bencode form. Only the writers of this module make it, so it is well-formed.
#[derive(Clone, PartialEq, Eq)]
pub struct Bencoded(Vec<u8>);

impl Bencoded {
    /// A dictionary of the entries that `write` puts in.
    pub fn dict(write: impl FnOnce(&mut DictWriter<'_>)) -> Self {
        let mut out = Vec::new();
        write_dict(&mut out, write);
        Self(out)
    }

    /// The bencode form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bencoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bencoded({})", self.0.escape_ascii())
    }
}

/// Puts entries into a dictionary, in order.
#[derive(Debug)]
pub struct DictWriter<'o>(&'o mut Vec<u8>);

impl DictWriter<'_> {
    /// An integer or a text.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl Put) {
        write_bencode_bytes(key.as_ref(), self.0);
        value.put(self.0);
    }

    /// A dictionary.
    pub fn dict(&mut self, key: impl AsRef<[u8]>, write: impl FnOnce(&mut DictWriter<'_>)) {
        write_bencode_bytes(key.as_ref(), self.0);
        write_dict(self.0, write);
    }

    /// A list.
    pub fn list(&mut self, key: impl AsRef<[u8]>, write: impl FnOnce(&mut ListWriter<'_>)) {
        write_bencode_bytes(key.as_ref(), self.0);
        self.0.push(b'l');
        write(&mut ListWriter(self.0));
        self.0.push(b'e');
    }
}

/// Puts members into a list, in order.
#[derive(Debug)]
pub struct ListWriter<'o>(&'o mut Vec<u8>);

impl ListWriter<'_> {
    /// An integer or a text.
    pub fn put(&mut self, value: impl Put) {
        value.put(self.0);
    }

    /// A dictionary.
    pub fn dict(&mut self, write: impl FnOnce(&mut DictWriter<'_>)) {
        write_dict(self.0, write);
    }
}

fn write_dict(out: &mut Vec<u8>, write: impl FnOnce(&mut DictWriter<'_>)) {
    out.push(b'd');
    write(&mut DictWriter(out));
    out.push(b'e');
}

/// Values that a writer can put without a tree.
pub trait Put {
    /// Appends the bencode form.
    fn put(&self, out: &mut Vec<u8>);
}

impl Put for [u8] {
    fn put(&self, out: &mut Vec<u8>) {
        write_bencode_bytes(self, out);
    }
}

impl Put for str {
    fn put(&self, out: &mut Vec<u8>) {
        write_bencode_bytes(self.as_bytes(), out);
    }
}

impl Put for Value {
    fn put(&self, out: &mut Vec<u8>) {
        self.write_bencode(out);
    }
}

impl<T: Put + ?Sized> Put for &T {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
}

impl Put for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        // The longest takes 39 characters.
        let mut text = [0; 48];
        let length = write_address(*self, &mut text);
        write_bencode_bytes(text.get(..length).unwrap_or_default(), out);
    }
}

macro_rules! put_integers {
    ($($int:ty),+) => { $(
        impl Put for $int {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(b'i');
                write_decimal(*self, out);
                out.push(b'e');
            }
        }
    )+ };
}
put_integers!(u16, u32, i64);

/// Counters: those beyond `i64::MAX`, which no peer could read, saturate.
impl Put for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        i64::try_from(*self).unwrap_or(i64::MAX).put(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Dict;

    #[test]
    fn what_is_written_reads_as_what_was_meant() {
        let bencoded = Bencoded::dict(|dict| {
            dict.put("a", 5_u16);
            dict.put(b"\xff", b"x\0y".as_slice());
            dict.put("far", u64::MAX);
            dict.put("v4", IpAddr::from([192, 0, 2, 1]));
            dict.put("v6", "2001:db8::1".parse::<IpAddr>().unwrap());
            dict.list("l", |list| {
                list.put("text");
                list.dict(|_| {});
            });
            dict.dict("d", |dict| dict.put("n", -1_i64));
        });
        let expected = Dict::new()
            .with("a", 5)
            .with(b"\xff".to_vec(), &b"x\0y"[..])
            .with("far", i64::MAX)
            .with("v4", "192.0.2.1")
            .with("v6", "2001:db8::1")
            .with("l", Value::List(vec!["text".into(), Dict::new().into()]))
            .with("d", Dict::new().with("n", -1));
        assert_eq!(bencoded.as_bytes(), expected.to_bencode());
        assert_eq!(bencoded.decode(), Value::Dict(expected));
    }

    #[test]
    fn as_a_part_of_a_tree_it_is_no_different() {
        let bencoded = || Bencoded::dict(|dict| dict.put("k", "v"));
        let tree = Dict::new().with("k", "v");
        let (ours, theirs) = (
            Dict::new().with("x", bencoded()),
            Dict::new().with("x", tree),
        );
        assert_eq!(ours.to_bencode(), theirs.to_bencode());
        assert_eq!(ours.to_json(), theirs.to_json());
        assert_eq!(ours.bencode_len(), theirs.bencode_len());
        let mut unpacked = ours;
        unpacked.unpack();
        assert_eq!(unpacked, theirs);
    }
}
