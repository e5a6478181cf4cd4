//! The names of codecs in options: `NAME/clock/channels/bit rate/ptime/fmtp/options`.

use crate::catalogue;
use crate::format::Format;

/// One member of a list of codecs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecSpec {
    /// Encoding name, or `all` or `full`; compared without case.
    pub name: String,
    /// RTP clock in Hz.
    pub clock: Option<u32>,
    /// Channels.
    pub channels: Option<u8>,
    /// Bit rate in bit/s.
    pub bit_rate: Option<u32>,
    /// Packet time in ms.
    pub ptime: Option<u32>,
    /// Format parameters; empty if none are named.
    pub fmtp: String,
    /// Options for the encoder; empty if none are named.
    pub options: String,
}

impl CodecSpec {
    /// Reads a member of a list. A number that is none counts as left out.
    pub fn parse(text: &str) -> Self {
        let mut fields = text.splitn(7, '/').map(str::trim);
        let mut next = || fields.next().unwrap_or_default();
        Self {
            name: next().to_owned(),
            clock: next().parse().ok(),
            channels: next().parse().ok(),
            bit_rate: next().parse().ok(),
            ptime: next().parse().ok(),
            fmtp: next().to_owned(),
            options: next().to_owned(),
        }
    }

    /// `all`: every codec.
    pub(super) fn is_all(&self) -> bool {
        self.name.eq_ignore_ascii_case("all")
    }

    /// `full`: every codec, and for good.
    pub(super) fn is_full(&self) -> bool {
        self.name.eq_ignore_ascii_case("full")
    }

    /// Whether the name, and clock and channels where they are given, are those of a codec.
    pub fn matches(&self, format: &Format) -> bool {
        self.name.eq_ignore_ascii_case(&format.name)
            && self.clock.is_none_or(|clock| clock == format.clock)
            && self
                .channels
                .is_none_or(|channels| channels == format.channels)
    }

    /// The codec that is meant, still without a number; parameters only if they are named. `None`:
    /// no such codec is known, or not with this clock or these channels.
    pub(super) fn wanted(&self) -> Option<Format> {
        let def = catalogue::by_name(&self.name)?;
        let clock = match def.id {
            // Opus has one clock, whatever is asked for.
            catalogue::CodecId::Opus => def.default_clock,
            _ => self.clock.unwrap_or(def.default_clock),
        };
        // A clock of one's own without channels means one.
        let default_channels = if self.clock.is_some() {
            1
        } else {
            def.default_channels
        };
        let channels = self.channels.unwrap_or(default_channels);
        let is_possible = def.has_clock(clock) && def.has_channels(channels);
        is_possible.then(|| Format {
            payload_type: 0,
            name: self.name.clone(),
            clock,
            channels,
            fmtp: self.fmtp.clone(),
        })
    }
}

/// A line of `transcode-config`: how much a conversion is liked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// The offerer's codec.
    pub source: CodecSpec,
    /// The answered codec.
    pub destination: CodecSpec,
    /// Higher is better; 0 is what a pair has that no line names.
    pub preference: i32,
}
