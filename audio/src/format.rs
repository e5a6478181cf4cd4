//! A codec with the number, clock and parameters that a party gave it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalogue::{self, CodecDef, CodecId, Kind};

/// One payload type of a media, as `a=rtpmap` and `a=fmtp` describe it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Format {
    /// The number in the `m=` line, 0 to 127.
    pub payload_type: u8,
    /// Encoding name as written; names are compared without case.
    pub name: String,
    /// RTP clock in Hz.
    pub clock: u32,
    /// Channels: 1 if the rtpmap has no third field.
    pub channels: u8,
    /// Text of `a=fmtp` behind the number; empty without one.
    pub fmtp: String,
}

impl Format {
    /// The codec's row, if the room knows it.
    pub fn def(&self) -> Option<&'static CodecDef> {
        catalogue::by_name(&self.name)
    }

    /// The codec, if the room knows it.
    pub fn id(&self) -> Option<CodecId> {
        self.def().map(|def| def.id)
    }

    /// Whether the codec goes beside others: comfort noise or events.
    pub fn is_supplemental(&self) -> bool {
        self.def().is_some_and(|def| def.kind == Kind::Supplemental)
    }

    /// Whether it is events (RFC 4733).
    pub fn is_event(&self) -> bool {
        self.id() == Some(CodecId::TelephoneEvent)
    }

    /// Whether it is comfort noise (RFC 3389).
    pub fn is_noise(&self) -> bool {
        self.id() == Some(CodecId::ComfortNoise)
    }

    /// Name, clock and channels are the same. `G729` and `G729a` are one name, and so are `L16` and
    /// `X-L16`.
    pub fn is_named_like(&self, other: &Self) -> bool {
        let canonical = |format: &Self| match format.id() {
            Some(CodecId::G729a) => Some(CodecId::G729),
            Some(CodecId::XL16) => Some(CodecId::L16),
            id => id,
        };
        let is_name = match (canonical(self), canonical(other)) {
            (Some(one), Some(two)) => one == two,
            (None, None) => self.name.eq_ignore_ascii_case(&other.name),
            _ => false,
        };
        is_name && self.clock == other.clock && self.channels == other.channels
    }

    /// Number, name, clock and channels are the same: it is one entry of a list, however its
    /// parameters are written.
    pub fn is_entry_like(&self, other: &Self) -> bool {
        self.payload_type == other.payload_type && self.is_named_like(other)
    }

    /// The second half of `a=rtpmap`: `PCMA/8000`, `opus/48000/2`.
    pub fn encoding(&self) -> String {
        let (name, clock) = (&self.name, self.clock);
        match self.channels {
            0 | 1 => format!("{name}/{clock}"),
            channels => format!("{name}/{clock}/{channels}"),
        }
    }
}

/// As `a=rtpmap` writes it: `96 opus/48000/2`, with the parameters in braces.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.payload_type, self.encoding())?;
        if !self.fmtp.is_empty() {
            write!(f, " {{{}}}", self.fmtp)?;
        }
        Ok(())
    }
}
