//! Payload types: `rtpmap`, `fmtp` and `rtcp-fb` (RFC 8866 §6.6, §6.15, RFC 4585 §4.2) and the
//! static assignments of RFC 3551 §6.

use std::sync::LazyLock;

use crate::attribute::format;
use crate::line::{first_token, number, split_at_byte};
use crate::text::{Source, Text};

/// One payload type of a media, in the order of its `m=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// The number in the `m=` line, 0 to 127.
    pub payload_type: u8,
    /// Encoding name as received (`opus`, `telephone-event`); empty if nothing names it.
    pub name: Text,
    /// RTP clock rate in Hz; 0 if nothing names the codec.
    pub clock_rate: u32,
    /// Third field of the rtpmap, if it was there. See [`Codec::channels_or_one`].
    pub channels: Option<u8>,
    /// Format parameters, one element per `a=fmtp` line, without the payload type.
    pub fmtp: Vec<Text>,
    /// RTCP feedback, one element per `a=rtcp-fb` line, without the payload type.
    pub rtcp_fb: Vec<Text>,
}

impl Codec {
    /// The codec as RFC 3551 assigns it, or a nameless one.
    pub fn from_payload_type(payload_type: u8) -> Self {
        STATIC
            .get(usize::from(payload_type))
            .cloned()
            .flatten()
            .unwrap_or_else(|| Self::new(payload_type, Text::new(), 0, None))
    }

    /// A codec without parameters and feedback.
    pub fn new(payload_type: u8, name: Text, clock_rate: u32, channels: Option<u8>) -> Self {
        Self {
            payload_type,
            name,
            clock_rate,
            channels,
            fmtp: Vec::new(),
            rtcp_fb: Vec::new(),
        }
    }

    /// Whether an rtpmap or the static table gave it a name.
    pub fn is_known(&self) -> bool {
        !self.name.is_empty()
    }

    /// Number of channels; 1 where the rtpmap is silent.
    pub fn channels_or_one(&self) -> u8 {
        self.channels.unwrap_or(1)
    }

    /// Whether both mean the same encoding: name without case, clock rate and channels.
    pub fn is_same_encoding(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
            && self.clock_rate == other.clock_rate
            && self.channels_or_one() == other.channels_or_one()
    }

    /// Whether this codec of an answer is `offered`: the same encoding with parameters that go
    /// together, as far as they decide on the bit stream.
    pub fn answers(&self, offered: &Self) -> bool {
        let is_g729 = |codec: &Self| {
            codec.name.eq_ignore_ascii_case("G729") || codec.name.eq_ignore_ascii_case("G729a")
        };
        let is_name =
            self.name.eq_ignore_ascii_case(&offered.name) || is_g729(self) && is_g729(offered);
        is_name
            && self.clock_rate == offered.clock_rate
            && self.channels_or_one() == offered.channels_or_one()
            && format::answers(self, offered)
    }

    /// The parameters as they are printed: of opus the known ones, in a fixed order.
    pub fn printed_fmtp(&self) -> Vec<Text> {
        format::printed(self)
    }

    /// Whether this is RFC 4733 `telephone-event`.
    pub fn is_telephone_event(&self) -> bool {
        self.name.eq_ignore_ascii_case("telephone-event")
    }
}

/// Splits the payload type off an `a=rtpmap`, `a=fmtp` or `a=rtcp-fb` value.
pub(crate) fn payload_type_of(value: &[u8]) -> Option<(u8, &[u8])> {
    let (payload_type, rest) = first_token(value);
    Some((number(payload_type).filter(|&pt| pt < 128)?, rest))
}

/// The same for an `a=fmtp`: one blank ends the payload type, all behind it is the text.
pub(crate) fn format_of(value: &[u8]) -> Option<(u8, &[u8])> {
    let (payload_type, text) = split_at_byte(value.trim_ascii_start(), b' ')?;
    Some((number(payload_type).filter(|&pt| pt < 128)?, text))
}

/// `name/clock[/channels]`, the second half of an rtpmap.
pub(crate) fn encoding(value: &[u8], source: &Source) -> Option<(Text, u32, Option<u8>)> {
    let mut fields = first_token(value).0.split(|&byte| byte == b'/');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let clock_rate = number(fields.next()?).filter(|&rate| rate > 0)?;
    let channels = match fields.next() {
        Some(field) => Some(number(field).filter(|&channels| channels > 0)?),
        None => None,
    };
    Some((source.text(name), clock_rate, channels))
}

/// RFC 3551 §6, tables 4 and 5, indexed by payload type.
static STATIC: LazyLock<Vec<Option<Codec>>> = LazyLock::new(|| {
    let mut table = vec![None; 35];
    for &(payload_type, name, clock_rate, channels) in ASSIGNMENTS {
        if let Some(slot) = table.get_mut(usize::from(payload_type)) {
            *slot = Some(Codec::new(payload_type, name.into(), clock_rate, channels));
        }
    }
    table
});

const ASSIGNMENTS: &[(u8, &str, u32, Option<u8>)] = &[
    (0, "PCMU", 8000, None),
    (3, "GSM", 8000, None),
    (4, "G723", 8000, None),
    (5, "DVI4", 8000, None),
    (6, "DVI4", 16_000, None),
    (7, "LPC", 8000, None),
    (8, "PCMA", 8000, None),
    (9, "G722", 8000, None),
    (10, "L16", 44_100, Some(2)),
    (11, "L16", 44_100, None),
    (12, "QCELP", 8000, None),
    (13, "CN", 8000, None),
    (14, "MPA", 90_000, None),
    (15, "G728", 8000, None),
    (16, "DVI4", 11_025, None),
    (17, "DVI4", 22_050, None),
    (18, "G729", 8000, None),
    (25, "CelB", 90_000, None),
    (26, "JPEG", 90_000, None),
    (28, "nv", 90_000, None),
    (31, "H261", 90_000, None),
    (32, "MPV", 90_000, None),
    (33, "MP2T", 90_000, None),
    (34, "H263", 90_000, None),
];
