//! Bencode, as ng speaks it: keys in any order, twice if need be; strings of any bytes.

use std::borrow::Cow;

use crate::limits::{MAX_DEPTH, MAX_VALUES};
use crate::{Dict, Value};

/// A message that is no bencode, or over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// Lists and dictionaries in one another beyond [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A byte that does not fit.
    #[error("unexpected byte at offset {0}")]
    Syntax(usize),
    /// More values than [`MAX_VALUES`].
    #[error("more than {MAX_VALUES} values")]
    TooMany,
    /// The end came too early.
    #[error("cut off")]
    Truncated,
}

/// Reads one value; bytes behind it are ignored. Gives back the bytes that it took, too.
///
/// # Errors
/// [`BencodeError`].
pub fn decode(bytes: &[u8]) -> Result<(Value, usize), BencodeError> {
    let mut reader = Reader {
        bytes,
        at: 0,
        values: 0,
    };
    let value = reader.value(0)?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Result<u8, BencodeError> {
        self.bytes
            .get(self.at)
            .copied()
            .ok_or(BencodeError::Truncated)
    }

    /// Recursion is bounded by [`MAX_DEPTH`].
    fn value(&mut self, depth: usize) -> Result<Value, BencodeError> {
        if depth > MAX_DEPTH {
            return Err(BencodeError::Depth);
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(BencodeError::TooMany);
        }
        match self.peek()? {
            b'i' => {
                self.at += 1;
                self.integer().map(Value::Int)
            }
            b'0'..=b'9' => Ok(Value::Bytes(self.string()?.to_vec())),
            b'l' => {
                self.at += 1;
                let mut list = Vec::new();
                while self.peek()? != b'e' {
                    list.push(self.value(depth + 1)?);
                }
                self.at += 1;
                Ok(Value::List(list))
            }
            b'd' => {
                self.at += 1;
                let mut dict = Dict::new();
                while self.peek()? != b'e' {
                    let key = self.string()?.to_vec();
                    dict.push_bytes(Cow::Owned(key), self.value(depth + 1)?);
                }
                self.at += 1;
                Ok(Value::Dict(dict))
            }
            _ => Err(BencodeError::Syntax(self.at)),
        }
    }

    fn integer(&mut self) -> Result<i64, BencodeError> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        // 20 digits and a sign hold any i64; a longer run is no number.
        let end = rest.iter().take(22).position(|&byte| byte == b'e').ok_or({
            match rest.len() < 22 {
                true => BencodeError::Truncated,
                false => BencodeError::Syntax(start),
            }
        })?;
        let digits = rest
            .get(..end)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| digits.parse().ok());
        self.at += end + 1;
        value.ok_or(BencodeError::Syntax(start))
    }

    fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        let start = self.at;
        let mut length = 0usize;
        loop {
            match self.peek()? {
                digit @ b'0'..=b'9' if self.at - start < 10 => {
                    length = length * 10 + usize::from(digit - b'0');
                    self.at += 1;
                }
                b':' if self.at > start => break,
                _ => return Err(BencodeError::Syntax(self.at)),
            }
        }
        self.at += 1;
        let end = self.at.checked_add(length).ok_or(BencodeError::Truncated)?;
        let string = self
            .bytes
            .get(self.at..end)
            .ok_or(BencodeError::Truncated)?;
        self.at = end;
        Ok(string)
    }
}

/// Appends the encoding of a value.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Int(value) => out.extend_from_slice(format!("i{value}e").as_bytes()),
        Value::Bytes(bytes) => encode_string(bytes, out),
        Value::List(list) => {
            out.push(b'l');
            for value in list {
                encode(value, out);
            }
            out.push(b'e');
        }
        Value::Dict(dict) => encode_dict(dict, out),
    }
}

/// Appends the encoding of a dictionary, in its own order.
pub fn encode_dict(dict: &Dict, out: &mut Vec<u8>) {
    out.push(b'd');
    for (key, value) in dict.iter() {
        encode_string(key, out);
        encode(value, out);
    }
    out.push(b'e');
}

fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut length = bytes.len();
    loop {
        at -= 1;
        if let (Some(slot), Ok(digit)) = (digits.get_mut(at), u8::try_from(length % 10)) {
            *slot = b'0' + digit;
        }
        length /= 10;
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.push(b':');
    out.extend_from_slice(bytes);
}

/// Finds the end of a bencode value in a stream, without going over bytes twice.
#[derive(Debug, Default)]
pub struct Framer {
    at: usize,
    depth: usize,
    state: FrameState,
}

#[derive(Debug, Default)]
enum FrameState {
    #[default]
    Start,
    Integer,
    Length(usize),
    Skip(usize),
}

impl Framer {
    /// Looks at the bytes that came since the last call. `buffer` starts where the value starts.
    /// Gives the length of the value once its end is there.
    ///
    /// # Errors
    /// The stream is no bencode.
    pub fn advance(&mut self, buffer: &[u8]) -> Result<Option<usize>, BencodeError> {
        while let Some(&byte) = buffer.get(self.at) {
            let mut ended = false;
            match &mut self.state {
                FrameState::Start => match byte {
                    b'i' => self.state = FrameState::Integer,
                    b'0'..=b'9' => {
                        self.state = FrameState::Length(usize::from(byte - b'0'));
                    }
                    b'l' | b'd' => {
                        self.depth += 1;
                        if self.depth > MAX_DEPTH + 1 {
                            return Err(BencodeError::Depth);
                        }
                    }
                    b'e' if self.depth > 0 => {
                        self.depth -= 1;
                        ended = true;
                    }
                    _ => return Err(BencodeError::Syntax(self.at)),
                },
                FrameState::Integer => match byte {
                    b'e' => {
                        self.state = FrameState::Start;
                        ended = true;
                    }
                    b'-' | b'0'..=b'9' => {}
                    _ => return Err(BencodeError::Syntax(self.at)),
                },
                FrameState::Length(length) => match byte {
                    b'0'..=b'9' if *length < 100_000_000 => {
                        *length = *length * 10 + usize::from(byte - b'0');
                    }
                    b':' if *length == 0 => {
                        self.state = FrameState::Start;
                        ended = true;
                    }
                    b':' => self.state = FrameState::Skip(*length),
                    _ => return Err(BencodeError::Syntax(self.at)),
                },
                FrameState::Skip(left) => {
                    let here = (*left).min(buffer.len() - self.at);
                    *left -= here;
                    self.at += here;
                    if *left == 0 {
                        self.state = FrameState::Start;
                        if self.depth == 0 {
                            return Ok(Some(self.at));
                        }
                    }
                    continue;
                }
            }
            self.at += 1;
            if ended && self.depth == 0 {
                return Ok(Some(self.at));
            }
        }
        Ok(None)
    }
}
