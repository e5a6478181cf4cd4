//! Records of the journal: header and bodies.
//!
//! ```text
//!  0 nonce u64   8 body length u32   12 CRC-32 of rest of header and body   16 record number u64
//! 24 call number u64   32 kind u8, format u8, 6 zero   40 body
//! ```
//!
//! Integers are little-endian. A record begins at a multiple of 64 bytes. The nonce belongs to one
//! life of a segment: what an earlier life left there has another one, and a body, which may hold
//! what the far side wrote, cannot know it. The sum covers bytes 8 to 12 and 16 to the end.
//!
//! The state of a call and of a leg is opaque bytes: this crate knows their number and call-id.

use crate::cbor::{CborError, Field, MapWriter, fields};
use crate::limits;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 40;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The first of each segment ([`Segment`]).
    Segment = 1,
    /// The state of a call ([`Call`]).
    Call = 2,
    /// One leg of a call of many ([`Leg`]).
    Leg = 3,
    /// A call is over ([`Ended`]).
    Ended = 4,
    /// What was changed at run time, and totals: opaque.
    Settings = 5,
    /// The last record of an owner ([`Handover`]).
    Handover = 6,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Segment,
        Self::Call,
        Self::Leg,
        Self::Ended,
        Self::Settings,
        Self::Handover,
    ];

    /// The format that is written. What an older reader would misread raises it (spec/survive.md
    /// §3.3).
    #[must_use]
    pub fn format(self) -> u8 {
        1
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The header of a record, its nonce aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub len: usize,
    /// The place in the log, in units of 64 bytes since it was begun. It rises.
    pub number: u64,
    /// The call that it is about; 0 for none.
    pub call: u64,
    /// What the body is.
    pub kind: Kind,
    /// The format of the body.
    pub format: u8,
}

impl Header {
    /// Places of 64 bytes that the record takes.
    #[must_use]
    pub fn units(&self) -> u64 {
        units(self.len)
    }

    /// The four words after the nonce, the sum included.
    #[must_use]
    pub(crate) fn words(&self, body: &[u8]) -> [u64; 4] {
        let len = u64::try_from(self.len).unwrap_or(u64::MAX) & 0xffff_ffff;
        let kind = u64::from(self.kind as u8) | u64::from(self.format) << 8;
        let mut words = [len, self.number, self.call, kind];
        words[0] |= u64::from(sum(&words, body)) << 32;
        words
    }

    /// Header and body as bytes.
    #[must_use]
    pub fn write(&self, nonce: u64, body: &[u8]) -> Vec<u8> {
        let [sized, number, call, kind] = self.words(body);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        for word in [nonce, sized, number, call, kind] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(body);
        bytes
    }
}

/// A header of bytes: nonce, and what has to be checked against the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawHeader {
    pub(crate) nonce: u64,
    words: [u64; 4],
}

impl RawHeader {
    /// Reads 40 bytes; `None` if there are fewer.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (chunks, _) = bytes.get(..HEADER_BYTES)?.as_chunks::<8>();
        let [nonce, words @ ..]: [u64; 5] =
            std::array::from_fn(|at| chunks.get(at).copied().map_or(0, u64::from_le_bytes));
        Some(Self { nonce, words })
    }

    pub(crate) fn from_words(nonce: u64, words: [u64; 4]) -> Self {
        Self { nonce, words }
    }

    /// Bytes of the body, as far as they can be.
    pub(crate) fn len(&self) -> Option<usize> {
        let len = usize::try_from(self.words[0] & 0xffff_ffff).ok()?;
        (len <= limits::BODY_BYTES).then_some(len)
    }

    /// The header, if sum and kind are right.
    pub(crate) fn check(&self, body: &[u8]) -> Option<Header> {
        let [sized, number, call, kind] = self.words;
        let summed = u64::from(sum(&self.words, body));
        let [code, format, rest @ ..] = kind.to_le_bytes();
        let is_right = self.len() == Some(body.len()) && sized >> 32 == summed && rest == [0; 6];
        Some(Header {
            len: body.len(),
            number,
            call,
            kind: Kind::from_byte(code).filter(|_| is_right)?,
            format,
        })
    }
}

/// Places of 64 bytes of a record whose body has that length.
#[must_use]
pub fn units(len: usize) -> u64 {
    ((HEADER_BYTES + len).div_ceil(limits::UNIT_BYTES)) as u64
}

fn sum(words: &[u64; 4], body: &[u8]) -> u32 {
    let [len, rest @ ..] = words;
    let mut header = [0; 28];
    let (sized, others) = header.split_at_mut(4);
    sized.copy_from_slice(&len.to_le_bytes()[..4]);
    for (bytes, word) in others.as_chunks_mut::<8>().0.iter_mut().zip(rest) {
        *bytes = word.to_le_bytes();
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(&header);
    sum.update(body);
    sum.finalize()
}

/// When something was written: ages are counted from here (spec/survive.md §2.2, "Time").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The boot of the machine that `boot_ns` belongs to, by the first four bytes of its id.
    pub boot: u32,
    /// Nanoseconds since the boot, CLOCK_BOOTTIME.
    pub boot_ns: u64,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// The first record of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The program that writes, as it prints its version.
    pub version: String,
    /// The boot of the machine that the stamps' `boot_ns` belong to.
    pub boot_id: [u8; 16],
    /// The highest format of each kind in it.
    pub formats: Vec<(u8, u8)>,
    /// The count of the owner's epoch (§3.3).
    pub epoch: u64,
    /// The nonce of this life, once more: a header that is damaged loses one record, not a segment.
    pub nonce: u64,
}

impl Segment {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut map = MapWriter::new(out);
        map.text(0, &self.version).bytes(1, &self.boot_id);
        let formats = self.formats.iter();
        let formats: Vec<u64> = formats
            .flat_map(|(kind, format)| [u64::from(*kind), u64::from(*format)])
            .collect();
        map.uints(2, formats.into_iter()).uint(3, self.epoch);
        // Inverted, so that no place of the body can pose as a record.
        map.uint(4, !self.nonce);
        map.end();
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn decode(body: &[u8]) -> Result<Self, CborError> {
        let mut segment = Self {
            version: String::new(),
            boot_id: [0; 16],
            formats: Vec::new(),
            epoch: 0,
            nonce: 0,
        };
        for (key, value) in fields(body)? {
            let field = Field(key, value);
            match key {
                0 => field.text()?.clone_into(&mut segment.version),
                1 => segment.boot_id = field.array()?,
                2 => {
                    let numbers = field.uints()?;
                    let byte = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
                    let pairs = numbers.as_chunks::<2>().0.iter();
                    segment.formats = pairs.map(|[k, f]| (byte(*k), byte(*f))).collect();
                }
                3 => segment.epoch = field.uint()?,
                4 => segment.nonce = !field.uint::<u64>()?,
                _ => {}
            }
        }
        Ok(segment)
    }
}

/// The state of a call after a command, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call<'a> {
    /// The proxy's name of the call.
    pub call_id: &'a [u8],
    /// What the engine restores it from. In a call of many legs, all but the legs.
    pub state: &'a [u8],
    /// The cookie of the command, by which a repeated request is known.
    pub cookie: &'a [u8],
    /// When the command ran.
    pub written: Stamp,
    /// Legs that have records of their own, each with the number of the one that counts. The
    /// journal fills it in.
    pub legs: Vec<(u32, u64)>,
}

impl<'a> Call<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut map = MapWriter::new(out);
        map.bytes(0, self.call_id)
            .bytes(1, self.state)
            .bytes(2, self.cookie);
        map.uint(3, self.written.boot_ns)
            .uint(4, self.written.wall_ms)
            .uint(6, self.written.boot.into());
        if !self.legs.is_empty() {
            let legs = self.legs.iter();
            let legs: Vec<u64> = legs.flat_map(|(leg, at)| [u64::from(*leg), *at]).collect();
            map.uints(5, legs.into_iter());
        }
        map.end();
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn decode(body: &'a [u8]) -> Result<Self, CborError> {
        let mut call = Self::default();
        let mut has_state = false;
        for (key, value) in fields(body)? {
            let field = Field(key, value);
            match key {
                0 => call.call_id = field.bytes()?,
                1 => {
                    call.state = field.bytes()?;
                    has_state = true;
                }
                2 => call.cookie = field.bytes()?,
                3 => call.written.boot_ns = field.uint()?,
                4 => call.written.wall_ms = field.uint()?,
                6 => call.written.boot = field.uint()?,
                5 => {
                    for [leg, at] in field.uints()?.as_chunks::<2>().0 {
                        let leg = u32::try_from(*leg).map_err(|_| CborError::Field(5))?;
                        call.legs.push((leg, *at));
                    }
                }
                _ => {}
            }
        }
        if call.legs.len() > limits::LEGS {
            return Err(CborError::Field(5));
        }
        if has_state {
            Ok(call)
        } else {
            Err(CborError::Missing(1))
        }
    }
}

/// One leg of a call of more than [`limits::LEGS_WITHIN`]. It counts once a [`Call`] names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leg<'a> {
    /// Its number in the call.
    pub leg: u32,
    /// What the engine restores it from.
    pub state: &'a [u8],
}

impl<'a> Leg<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut map = MapWriter::new(out);
        map.uint(0, self.leg.into()).bytes(1, self.state);
        map.end();
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn decode(body: &'a [u8]) -> Result<Self, CborError> {
        let mut leg = None;
        let mut state = None;
        for (key, value) in fields(body)? {
            match key {
                0 => leg = Some(Field(key, value).uint()?),
                1 => state = Some(Field(key, value).bytes()?),
                _ => {}
            }
        }
        Ok(Self {
            leg: leg.ok_or(CborError::Missing(0))?,
            state: state.ok_or(CborError::Missing(1))?,
        })
    }
}

/// A call is over. Kept for 60 s, so that a repeated `delete` gets the same reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended<'a> {
    /// The proxy's name of the call.
    pub call_id: &'a [u8],
    /// Why, as call records say it.
    pub reason: &'a str,
    /// The cookie of the `delete`, empty if time or an operator ended it.
    pub cookie: &'a [u8],
    /// The reply to it; one of more than [`limits::REPLY_BYTES`] is not kept.
    pub reply: &'a [u8],
    /// When it ended.
    pub written: Stamp,
}

impl<'a> Ended<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut map = MapWriter::new(out);
        map.bytes(0, self.call_id)
            .text(1, self.reason)
            .bytes(2, self.cookie);
        map.bytes(3, self.reply);
        map.uint(4, self.written.boot_ns)
            .uint(5, self.written.wall_ms)
            .uint(6, self.written.boot.into());
        map.end();
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn decode(body: &'a [u8]) -> Result<Self, CborError> {
        let mut ended = Self::default();
        for (key, value) in fields(body)? {
            let field = Field(key, value);
            match key {
                0 => ended.call_id = field.bytes()?,
                1 => ended.reason = field.text()?,
                2 => ended.cookie = field.bytes()?,
                3 => ended.reply = field.bytes()?,
                4 => ended.written.boot_ns = field.uint()?,
                5 => ended.written.wall_ms = field.uint()?,
                6 => ended.written.boot = field.uint()?,
                _ => {}
            }
        }
        Ok(ended)
    }
}

/// The last record of an owner: what comes after it is the successor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// The count of the epoch that ends.
    pub epoch: u64,
    /// When.
    pub written: Stamp,
}

impl Handover {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut map = MapWriter::new(out);
        map.uint(0, self.epoch);
        map.uint(1, self.written.boot_ns)
            .uint(2, self.written.wall_ms)
            .uint(3, self.written.boot.into());
        map.end();
    }

    /// Reads a body.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn decode(body: &[u8]) -> Result<Self, CborError> {
        let mut handover = Self::default();
        for (key, value) in fields(body)? {
            let field = Field(key, value);
            match key {
                0 => handover.epoch = field.uint()?,
                1 => handover.written.boot_ns = field.uint()?,
                2 => handover.written.wall_ms = field.uint()?,
                3 => handover.written.boot = field.uint()?,
                _ => {}
            }
        }
        Ok(handover)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_laid_out_as_the_page_says() {
        let header = Header {
            len: 3,
            number: 0x0102,
            call: 7,
            kind: Kind::Call,
            format: 9,
        };
        let bytes = header.write(0x1122_3344_5566_7788, b"abc");
        assert_eq!(bytes[..8], 0x1122_3344_5566_7788u64.to_le_bytes());
        assert_eq!(bytes[8..12], 3u32.to_le_bytes());
        let mut summed = bytes[8..12].to_vec();
        summed.extend_from_slice(&bytes[16..]);
        assert_eq!(bytes[12..16], crc32fast::hash(&summed).to_le_bytes());
        assert_eq!(bytes[16..24], 0x0102u64.to_le_bytes());
        assert_eq!(bytes[24..32], 7u64.to_le_bytes());
        assert_eq!(bytes[32..40], [2, 9, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[40..], b"abc");
        let raw = RawHeader::read(&bytes).unwrap();
        assert_eq!(raw.check(b"abc"), Some(header));
        assert_eq!(raw.check(b"abd"), None);
    }

    #[test]
    fn bodies_are_read_as_written() {
        let mut body = Vec::new();
        let call = Call {
            call_id: b"a@b",
            state: &[1; 300],
            cookie: b"5323_1",
            written: Stamp {
                boot: 9,
                boot_ns: 5,
                wall_ms: u64::MAX,
            },
            legs: vec![(1, 2), (3, u64::MAX)],
        };
        call.encode(&mut body);
        assert_eq!(Call::decode(&body), Ok(call));
        body.clear();
        let ended = Ended {
            call_id: b"a@b",
            reason: "TIMEOUT",
            cookie: b"",
            reply: &[2; 4096],
            written: Stamp::default(),
        };
        ended.encode(&mut body);
        assert_eq!(Ended::decode(&body), Ok(ended));
        body.clear();
        let segment = Segment {
            version: "0.1".to_owned(),
            boot_id: [3; 16],
            formats: vec![(1, 1), (2, 7)],
            epoch: 4,
            nonce: 99,
        };
        segment.encode(&mut body);
        assert_eq!(Segment::decode(&body), Ok(segment));
        assert_eq!(Leg::decode(&body), Err(CborError::Field(0)));
    }
}
