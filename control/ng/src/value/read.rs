//! From a decoded message to values of their own.

use std::borrow::Cow;

use super::{Bencoded, Dict, Value};
use crate::bencode;
use crate::tape::Node;

impl Node<'_> {
    /// An owned copy. Depth is bounded by the decoder, so this may recurse.
    pub fn to_value(self) -> Value {
        if let Some(int) = self.as_int() {
            return Value::Int(int);
        }
        if let Some(bytes) = self.as_bytes() {
            return Value::from(bytes);
        }
        match self.is_dict() {
            true => Value::Dict(self.to_dict()),
            false => Value::List(self.members().map(Self::to_value).collect()),
        }
    }

    /// An owned copy of the entries; empty if this is no dictionary.
    pub fn to_dict(self) -> Dict {
        let own = |(key, value): (&[u8], Self)| (Cow::Owned(key.to_vec()), value.to_value());
        self.entries().map(own).collect()
    }
}

impl Bencoded {
    /// Decodes the value into a tree.
    pub fn decode(&self) -> Value {
        // The relay wrote it; a value that is nested too deep to be read again is not read.
        let tape = bencode::decode(self.as_bytes(), usize::MAX);
        tape.map_or_else(|_| Value::List(Vec::new()), |tape| tape.root().to_value())
    }
}
