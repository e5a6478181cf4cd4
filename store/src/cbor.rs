//! CBOR (RFC 8949) as bodies of records and messages use it: maps with unsigned integers as keys.
//!
//! A key's number is never used again, new ones are optional, unknown ones are skipped. What is
//! written are definite lengths in arrays and strings and maps of indefinite length (§3.2.2), so
//! that an absent field needs no counting.

use crate::limits;

/// Why bytes are no CBOR that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// Containers are nested too deeply.
    #[error("more than {} containers within each other", limits::CBOR_DEPTH)]
    Deep,
    /// The value of a field is of another type than its reader takes.
    #[error("field {0} has a value of another type")]
    Field(u64),
    /// A field that cannot be absent is.
    #[error("field {0} is missing")]
    Missing(u64),
    /// An initial byte that RFC 8949 reserves, or that stands where it must not.
    #[error("byte {0:#04x} cannot stand there")]
    Reserved(u8),
    /// The bytes end within an item.
    #[error("the bytes end within an item")]
    Truncated,
}

/// Writes one map.
#[derive(Debug)]
pub struct MapWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> MapWriter<'a> {
    /// Begins a map at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(0xbf);
        Self { out }
    }

    /// A field with an unsigned integer.
    pub fn uint(&mut self, key: u64, value: u64) -> &mut Self {
        head(self.out, 0, key);
        head(self.out, 0, value);
        self
    }

    /// A field with a byte string.
    pub fn bytes(&mut self, key: u64, value: &[u8]) -> &mut Self {
        head(self.out, 0, key);
        self.byte_string(value);
        self
    }

    /// A field with a text.
    pub fn text(&mut self, key: u64, value: &str) -> &mut Self {
        head(self.out, 0, key);
        head(self.out, 3, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    /// A field with a list of unsigned integers; pairs and triples are written one after the other.
    pub fn uints(&mut self, key: u64, values: impl ExactSizeIterator<Item = u64>) -> &mut Self {
        head(self.out, 0, key);
        head(self.out, 4, values.len() as u64);
        values.for_each(|value| head(self.out, 0, value));
        self
    }

    /// A field with a list of byte strings.
    pub fn list<'b>(
        &mut self,
        key: u64,
        values: impl ExactSizeIterator<Item = &'b [u8]>,
    ) -> &mut Self {
        head(self.out, 0, key);
        head(self.out, 4, values.len() as u64);
        values.for_each(|value| self.byte_string(value));
        self
    }

    /// Ends the map.
    pub fn end(self) {
        self.out.push(0xff);
    }

    fn byte_string(&mut self, value: &[u8]) {
        head(self.out, 2, value.len() as u64);
        self.out.extend_from_slice(value);
    }
}

/// A value of a field or an entry of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An unsigned integer.
    Uint(u64),
    /// A byte string of definite length.
    Bytes(&'a [u8]),
    /// A text of definite length.
    Text(&'a str),
    /// A list.
    List(List<'a>),
    /// Anything else: it was skipped.
    Other,
}

/// The entries of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List<'a> {
    /// Entries that are left; `None` if a break ends them.
    left: Option<u64>,
    rest: &'a [u8],
}

impl<'a> Iterator for List<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        match &mut self.left {
            None if self.rest.first() == Some(&0xff) => return None,
            None => {}
            Some(0) => return None,
            Some(left) => *left -= 1,
        }
        // The list was read once when its value was made, so this does not fail.
        item(&mut self.rest, 0).ok()
    }
}

/// The fields of a map, in the order of the bytes.
///
/// # Errors
/// Bytes that are no such map, or that go on after it.
pub fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, CborError> {
    let mut fields = Vec::new();
    let mut left = match take(&mut bytes)? {
        0xbf => None,
        first if first >> 5 == 5 => Some(argument(first, &mut bytes)?),
        first => return Err(CborError::Reserved(first)),
    };
    loop {
        match &mut left {
            None if bytes.first() == Some(&0xff) => {
                take(&mut bytes)?;
                break;
            }
            None => {}
            Some(0) => break,
            Some(left) => *left -= 1,
        }
        let key = item(&mut bytes, 1)?;
        let value = item(&mut bytes, 1)?;
        if let Value::Uint(key) = key {
            fields.push((key, value));
        }
    }
    match bytes.first() {
        None => Ok(fields),
        Some(more) => Err(CborError::Reserved(*more)),
    }
}

/// One field of those that `fields` gave.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a>(pub u64, pub Value<'a>);

impl<'a> Field<'a> {
    /// The value as an integer.
    ///
    /// # Errors
    /// Another type, or a number that does not fit.
    pub fn uint<T: TryFrom<u64>>(self) -> Result<T, CborError> {
        match self.1 {
            Value::Uint(value) => value.try_into().map_err(|_| CborError::Field(self.0)),
            _ => Err(CborError::Field(self.0)),
        }
    }

    /// The value as bytes.
    ///
    /// # Errors
    /// Another type.
    pub fn bytes(self) -> Result<&'a [u8], CborError> {
        match self.1 {
            Value::Bytes(value) => Ok(value),
            _ => Err(CborError::Field(self.0)),
        }
    }

    /// The value as bytes of a length.
    ///
    /// # Errors
    /// Another type or length.
    pub fn array<const N: usize>(self) -> Result<[u8; N], CborError> {
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| CborError::Field(self.0))
    }

    /// The value as a text.
    ///
    /// # Errors
    /// Another type.
    pub fn text(self) -> Result<&'a str, CborError> {
        match self.1 {
            Value::Text(value) => Ok(value),
            _ => Err(CborError::Field(self.0)),
        }
    }

    /// The value as a list of integers.
    ///
    /// # Errors
    /// Another type, in the list too.
    pub fn uints(self) -> Result<Vec<u64>, CborError> {
        let Value::List(list) = self.1 else {
            return Err(CborError::Field(self.0));
        };
        list.map(|value| Self(self.0, value).uint()).collect()
    }

    /// The value as a list of byte strings.
    ///
    /// # Errors
    /// Another type, in the list too.
    pub fn list(self) -> Result<Vec<&'a [u8]>, CborError> {
        let Value::List(list) = self.1 else {
            return Err(CborError::Field(self.0));
        };
        list.map(|value| Field(self.0, value).bytes()).collect()
    }
}

/// Reads one item and moves behind it.
fn item<'a>(bytes: &mut &'a [u8], depth: usize) -> Result<Value<'a>, CborError> {
    if depth > limits::CBOR_DEPTH {
        return Err(CborError::Deep);
    }
    let first = take(bytes)?;
    let major = first >> 5;
    if first & 0x1f == 31 {
        // Indefinite: strings of pieces, lists, maps. The break has no place of its own.
        let start = *bytes;
        if !(2..=5).contains(&major) {
            return Err(CborError::Reserved(first));
        }
        while bytes.first() != Some(&0xff) {
            item(bytes, depth + 1)?;
            if major == 5 {
                item(bytes, depth + 1)?;
            }
        }
        take(bytes)?;
        return Ok(match major {
            4 => Value::List(List {
                left: None,
                rest: start,
            }),
            _ => Value::Other,
        });
    }
    let argument = argument(first, bytes)?;
    match major {
        0 => Ok(Value::Uint(argument)),
        2 => Ok(Value::Bytes(chunk(bytes, argument)?)),
        3 => {
            let text = str::from_utf8(chunk(bytes, argument)?);
            Ok(text.map_or(Value::Other, Value::Text))
        }
        4 | 5 => {
            let start = *bytes;
            let items = argument.saturating_mul(u64::from(major - 3));
            for _ in 0..items {
                item(bytes, depth + 1)?;
            }
            Ok(match major {
                4 => Value::List(List {
                    left: Some(argument),
                    rest: start,
                }),
                _ => Value::Other,
            })
        }
        6 => {
            item(bytes, depth + 1)?;
            Ok(Value::Other)
        }
        _ => Ok(Value::Other),
    }
}

fn argument(first: u8, bytes: &mut &[u8]) -> Result<u64, CborError> {
    match first & 0x1f {
        small @ 0..24 => Ok(small.into()),
        size @ 24..28 => {
            let chunk = chunk(bytes, 1 << (size - 24))?;
            let value = chunk
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
            Ok(value)
        }
        _ => Err(CborError::Reserved(first)),
    }
}

fn take(bytes: &mut &[u8]) -> Result<u8, CborError> {
    let (first, rest) = bytes.split_first().ok_or(CborError::Truncated)?;
    *bytes = rest;
    Ok(*first)
}

fn chunk<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], CborError> {
    let len = usize::try_from(len).map_err(|_| CborError::Truncated)?;
    let (chunk, rest) = bytes.split_at_checked(len).ok_or(CborError::Truncated)?;
    *bytes = rest;
    Ok(chunk)
}

/// Major type and argument of an item, in the shortest form.
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..24 => out.push(major | bytes[7]),
        24..0x100 => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..0x1_0000 => out.extend_from_slice(&[major | 25, bytes[6], bytes[7]]),
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&argument.to_be_bytes()[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc8949_appendix_a() {
        let mut out = Vec::new();
        for (value, bytes) in [
            (0, &[0x00][..]),
            (23, &[0x17]),
            (24, &[0x18, 0x18]),
            (1000, &[0x19, 0x03, 0xe8]),
            (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (u64::MAX, &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            out.clear();
            head(&mut out, 0, value);
            assert_eq!(out, bytes);
        }
        // {1: 2, 3: 4}, and [1, [2, 3]] with a break.
        assert_eq!(
            fields(&[0xa2, 1, 2, 3, 4]),
            Ok(vec![(1, Value::Uint(2)), (3, Value::Uint(4))])
        );
        let read = fields(&[0xa1, 0x05, 0x9f, 0x01, 0x02, 0xff]).unwrap();
        assert_eq!(Field(5, read[0].1).uints(), Ok(vec![1, 2]));
    }

    #[test]
    fn what_is_unknown_is_skipped() {
        // {"a": 1, 7: {1: -1}, 8: 1.5, 9: tag(h'01'), 2: "x"}
        let bytes = [
            0xa5, 0x61, b'a', 1, 7, 0xa1, 1, 0x20, 8, 0xf9, 0x3e, 0, 9, 0xc2, 0x41, 1, 2, 0x61,
            b'x',
        ];
        let read = fields(&bytes).unwrap();
        assert_eq!(
            read,
            [
                (7, Value::Other),
                (8, Value::Other),
                (9, Value::Other),
                (2, Value::Text("x"))
            ]
        );
    }

    #[test]
    fn depth_is_bounded() {
        let mut bytes = vec![0xbf, 1];
        bytes.extend([0x81; 100_000]);
        assert_eq!(fields(&bytes), Err(CborError::Deep));
    }

    proptest! {
        #[test]
        fn written_is_read(
            number: u64, bytes: Vec<u8>, text: String, list: Vec<u64>, more: Vec<Vec<u8>>,
        ) {
            let mut out = Vec::new();
            let mut map = MapWriter::new(&mut out);
            map.uint(0, number).bytes(24, &bytes).text(300, &text);
            map.uints(4, list.iter().copied()).list(5, more.iter().map(Vec::as_slice));
            map.end();
            let read = fields(&out).unwrap();
            let field = |at: usize| Field(read[at].0, read[at].1);
            prop_assert_eq!(field(0).uint::<u64>(), Ok(number));
            prop_assert_eq!(field(1).bytes(), Ok(&*bytes));
            prop_assert_eq!(field(2).text(), Ok(&*text));
            prop_assert_eq!(field(3).uints(), Ok(list));
            prop_assert_eq!(field(4).list().unwrap(), more);
            for cut in 0..out.len() {
                prop_assert!(fields(&out[..cut]).is_err());
            }
        }

        #[test]
        fn no_input_panics(bytes: Vec<u8>) {
            for (key, value) in fields(&bytes).unwrap_or_default() {
                let field = Field(key, value);
                let _ = (field.uints(), field.list(), field.array::<16>());
            }
        }
    }
}
