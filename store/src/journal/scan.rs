//! Reads a journal that nobody writes: all records of its segments, and of each call the newest
//! that stands.
//!
//! Anything may be in the files. A record counts if its nonce is that of its segment's life, its
//! sum is right and its number says the place where it stands; everything else is stepped over,
//! 64 bytes at a time.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use crate::limits;
use crate::record::{Call, Ended, HEADER_BYTES, Header, Kind, Leg, RawHeader, Segment};

/// A record in the bytes of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its header.
    pub header: Header,
    /// The first byte of it.
    pub at: usize,
}

/// What a segment holds.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// The records, in the order of their numbers.
    pub records: Vec<Found>,
    /// The nonce of its life; 0 if it has none.
    pub nonce: u64,
    /// Its first record, if that is right.
    pub first: Option<Segment>,
    /// Bytes up to the end of the last record.
    pub end: usize,
    /// Gaps between records: writers that died between reserving and committing.
    pub holes: u64,
    /// Records that were committed and have a wrong sum, number or length.
    pub corrupt: u64,
}

/// Reads the bytes of a segment. `base` is the number of its first record, `None` if numbers do not
/// say where records stand (copies on disk).
#[must_use]
pub fn scan(bytes: &[u8], base: Option<u64>) -> Scanned {
    let mut scanned = Scanned::default();
    let Some(first) = RawHeader::read(bytes) else {
        return scanned;
    };
    scanned.nonce = first.nonce;
    let opening = record(bytes, 0, &first, base).filter(|header| header.kind == Kind::Segment);
    let opening = opening.and_then(|header| {
        let body = bytes.get(HEADER_BYTES..HEADER_BYTES + header.len)?;
        Segment::decode(body).ok()
    });
    if let Some(segment) = opening {
        // The sum covers this copy of the nonce, not the one in the header.
        if segment.nonce != 0 {
            scanned.nonce = segment.nonce;
        }
        scanned.first = Some(segment);
    }
    if scanned.nonce == 0 {
        return scanned;
    }
    let mut at = 0;
    let mut is_gap = false;
    let mut damaged_to = 0;
    let mut damaged = 0;
    while let Some(raw) = bytes.get(at..).and_then(RawHeader::read) {
        // The first record may have lost its nonce alone.
        let is_ours = raw.nonce == scanned.nonce || (at == 0 && scanned.first.is_some());
        let header = is_ours.then(|| record(bytes, at, &raw, base)).flatten();
        if let Some(header) = header {
            scanned.holes += u64::from(is_gap);
            scanned.corrupt += damaged;
            (is_gap, damaged) = (false, 0);
            scanned.records.push(Found { header, at });
            at += (header.len + HEADER_BYTES).next_multiple_of(limits::UNIT_BYTES);
            scanned.end = at.min(bytes.len());
            continue;
        }
        if is_ours {
            damaged += 1;
            damaged_to = at + HEADER_BYTES + raw.len().unwrap_or(0);
        } else if at >= damaged_to {
            is_gap = true;
        }
        at += limits::UNIT_BYTES;
    }
    // A first header alone, whose nonce nothing else has, is what an earlier life left.
    if !scanned.records.is_empty() {
        scanned.corrupt += damaged;
    }
    scanned
}

fn record(bytes: &[u8], at: usize, raw: &RawHeader, base: Option<u64>) -> Option<Header> {
    let start = at + HEADER_BYTES;
    let body = bytes.get(start..start + raw.len()?)?;
    let header = raw.check(body)?;
    let place = (at / limits::UNIT_BYTES) as u64;
    let stands = base.is_none_or(|base| header.number == base + place);
    stands.then_some(header)
}

/// A segment that was read.
#[derive(Clone, Debug)]
pub struct SegmentBytes {
    /// The number of its first record, as its name says.
    pub base: u64,
    /// Its bytes, up to the last record.
    pub bytes: Vec<u8>,
    /// What they hold.
    pub scanned: Scanned,
}

impl SegmentBytes {
    /// Reads the bytes of a segment of that name.
    #[must_use]
    pub fn new(base: u64, mut bytes: Vec<u8>) -> Self {
        let scanned = scan(&bytes, Some(base));
        bytes.truncate(scanned.end);
        bytes.shrink_to_fit();
        Self {
            base,
            bytes,
            scanned,
        }
    }

    /// The body of a record of this segment.
    #[must_use]
    pub fn body(&self, found: &Found) -> &[u8] {
        let start = found.at + HEADER_BYTES;
        let body = self.bytes.get(start..start + found.header.len);
        body.unwrap_or_default()
    }
}

/// Segments that were read, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The segments.
    pub segments: Vec<SegmentBytes>,
}

/// The record of a call that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest<'a> {
    /// The call goes on.
    Live(Live<'a>),
    /// It is over.
    Ended(Ended<'a>, u64),
}

/// A call that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live<'a> {
    /// The number of the record.
    pub number: u64,
    /// The format of its state.
    pub format: u8,
    /// Its state.
    pub call: Call<'a>,
    /// Its legs that have records of their own, each with the number of its record.
    pub legs: Vec<(Leg<'a>, u64)>,
}

/// Of each call what counts, by number.
#[derive(Clone, Debug, Default)]
pub struct Calls<'a> {
    /// The calls.
    pub calls: BTreeMap<u64, Newest<'a>>,
    /// The newest settings.
    pub settings: Option<(u64, &'a [u8])>,
    /// Gaps between records.
    pub holes: u64,
    /// Records with a wrong sum, and bodies that cannot be read (`journal_corrupt`).
    pub corrupt: u64,
    /// Records of a format that this program does not read.
    pub unread: u64,
}

impl Log {
    /// Reads all segments of a directory. Files of other names are left alone; one that cannot be
    /// read is an error, since what it says of calls would be missing.
    ///
    /// # Errors
    /// The system's.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(base) = name.to_str().and_then(base_of) {
                segments.push(SegmentBytes::new(base, fs::read(entry.path())?));
            }
        }
        segments.sort_by_key(|segment| segment.base);
        Ok(Self { segments })
    }

    /// The number that comes after all of them.
    #[must_use]
    pub fn next_base(&self) -> u64 {
        let last = self.segments.last();
        last.map_or(0, |last| last.base.saturating_add(limits::SEGMENT_UNITS))
    }

    /// All records, the oldest first.
    pub fn records(&self) -> impl Iterator<Item = (&Header, &[u8])> {
        self.segments.iter().flat_map(|segment| {
            let records = segment.scanned.records.iter();
            records.map(|found| (&found.header, segment.body(found)))
        })
    }

    /// The newest record of each call that stands: a body that cannot be read, or that names a leg
    /// which is not there, leaves the one before.
    #[must_use]
    pub fn newest(&self) -> Calls<'_> {
        let mut calls = newest(self.records());
        for segment in &self.segments {
            calls.holes += segment.scanned.holes;
            calls.corrupt += segment.scanned.corrupt;
        }
        calls
    }
}

/// Of each call the newest record that stands.
pub(crate) fn newest<'a>(records: impl Iterator<Item = (&'a Header, &'a [u8])>) -> Calls<'a> {
    let mut calls = Calls::default();
    let mut legs: HashMap<u64, (&Header, &[u8])> = HashMap::new();
    let mut states: Vec<(&Header, &[u8])> = Vec::new();
    for (header, body) in records {
        if header.format > header.kind.format() {
            calls.unread += 1;
            continue;
        }
        match header.kind {
            Kind::Leg => _ = legs.insert(header.number, (header, body)),
            Kind::Call | Kind::Ended => states.push((header, body)),
            Kind::Settings => match calls.settings {
                Some((number, _)) if number > header.number => {}
                _ => calls.settings = Some((header.number, body)),
            },
            Kind::Segment | Kind::Handover => {}
        }
    }
    states.sort_by_key(|(header, _)| (header.call, u64::MAX - header.number));
    for (header, body) in states {
        if calls.calls.contains_key(&header.call) {
            continue;
        }
        match stands(header, body, &legs) {
            Some(newest) => _ = calls.calls.insert(header.call, newest),
            None => calls.corrupt += 1,
        }
    }
    calls
}

fn stands<'a>(
    header: &Header,
    body: &'a [u8],
    legs: &HashMap<u64, (&Header, &'a [u8])>,
) -> Option<Newest<'a>> {
    if header.kind == Kind::Ended {
        return Some(Newest::Ended(Ended::decode(body).ok()?, header.number));
    }
    let call = Call::decode(body).ok()?;
    let legs = call.legs.iter().map(|(leg, at)| {
        let (of, body) = legs.get(at).filter(|(of, _)| of.call == header.call)?;
        let found = Leg::decode(body).ok().filter(|found| found.leg == *leg)?;
        Some((found, of.number))
    });
    Some(Newest::Live(Live {
        number: header.number,
        format: header.format,
        legs: legs.collect::<Option<_>>()?,
        call,
    }))
}

/// The name of a segment.
pub(crate) fn name_of(base: u64) -> String {
    format!("{base:016x}.journal")
}

/// The number of the first record, of a name.
pub(crate) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal").filter(|d| d.len() == 16)?;
    let base = u64::from_str_radix(digits, 16).ok()?;
    (base % limits::SEGMENT_UNITS == 0 && name_of(base) == name).then_some(base)
}
