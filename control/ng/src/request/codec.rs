//! The `codec` and `extmap` dictionaries (§8.7).

use super::escape::unescape;
use crate::names::names;

/// Operations on the codec lists. Lists keep the given order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecOptions {
    /// Removed from the offer.
    pub strip: Vec<CodecSpec>,
    /// Added back in this order after a strip.
    pub offer: Vec<CodecSpec>,
    /// Exempt from strip and mask of all.
    pub except: Vec<CodecSpec>,
    /// Treated as not offered by the sender.
    pub ignore: Vec<CodecSpec>,
    /// Added and transcoded.
    pub transcode: Vec<CodecSpec>,
    /// Removed from the offer, still accepted from the sender.
    pub mask: Vec<CodecSpec>,
    /// Accepted from the sender although the receiver may refuse; for `publish` a preference list.
    pub accept: Vec<CodecSpec>,
    /// As `mask`; in addition enables transcoding.
    pub consume: Vec<CodecSpec>,
    /// Parameters for codecs that are used anyway.
    pub set: Vec<CodecSpec>,
}

/// `NAME/CLOCK/CHANNELS/BITRATE/PTIME/FMTP/OPTIONS`; what was left out is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecSpec {
    /// Encoding name as in rtpmap, or a word such as `all`; compare without case.
    pub name: String,
    /// Clock rate in Hz.
    pub clock_rate: Option<u32>,
    /// Channels.
    pub channels: Option<u32>,
    /// Bit rate in bit/s.
    pub bitrate: Option<u32>,
    /// Packet time in ms.
    pub ptime: Option<u32>,
    /// Format parameters.
    pub format: String,
    /// Options for the codec library.
    pub options: String,
}

impl CodecSpec {
    /// Reads one member of a codec list. Numbers that are none count as left out.
    pub fn parse(text: &[u8]) -> Self {
        let text = unescape(text);
        let text = String::from_utf8_lossy(&text);
        let mut fields = text.splitn(7, '/');
        let name = fields.next().unwrap_or_default().to_owned();
        let mut number = || fields.next().and_then(|field| field.trim().parse().ok());
        let (clock_rate, channels) = (number(), number());
        let (bitrate, ptime) = (number(), number());
        let mut string = || fields.next().unwrap_or_default().to_owned();
        let (format, options) = (string(), string());
        Self {
            name,
            clock_rate,
            channels,
            bitrate,
            ptime,
            format,
            options,
        }
    }

    /// Whether this stands for every codec: `all` or `full`.
    pub fn is_all(&self) -> bool {
        self.name.eq_ignore_ascii_case("all") || self.name.eq_ignore_ascii_case("full")
    }

    /// Whether this stands for any codec: `any`, of `publish`.
    pub fn is_any(&self) -> bool {
        self.name.eq_ignore_ascii_case("any")
    }

    /// Whether an rtpmap entry is meant: the name without case, clock rate and channels if
    /// given. Payload type numbers never match (§8.7).
    pub fn matches(&self, name: &str, clock_rate: u32, channels: u32) -> bool {
        self.name.eq_ignore_ascii_case(name)
            && self.clock_rate.is_none_or(|clock| clock == clock_rate)
            && self.channels.is_none_or(|given| given == channels)
    }
}

impl CodecOptions {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

names! {
    pub(crate) enum CodecList {
        Strip = b"strip",
        Offer = b"offer",
        Except = b"except",
        Ignore = b"ignore",
        Transcode = b"transcode",
        Mask = b"mask",
        Accept = b"accept",
        Consume = b"consume",
        Set = b"set",
    }
}

impl CodecList {
    /// Whether this list only means something to commands that transcode.
    pub(crate) fn is_transcoding(self) -> bool {
        !matches!(
            self,
            Self::Strip | Self::Offer | Self::Except | Self::Ignore
        )
    }

    pub(crate) fn of(self, options: &mut CodecOptions) -> &mut Vec<CodecSpec> {
        match self {
            Self::Strip => &mut options.strip,
            Self::Offer => &mut options.offer,
            Self::Except => &mut options.except,
            Self::Ignore => &mut options.ignore,
            Self::Transcode => &mut options.transcode,
            Self::Mask => &mut options.mask,
            Self::Accept => &mut options.accept,
            Self::Consume => &mut options.consume,
            Self::Set => &mut options.set,
        }
    }
}

/// RTP header extensions to filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtmapOptions {
    /// Removed from outgoing SDP; full URIs or `all`.
    pub strip: Vec<String>,
    /// Removed from the outgoing offer and from RTP, still accepted from the sender.
    pub mask: Vec<String>,
}

names! {
    pub(crate) enum ExtmapList {
        Strip = b"strip",
        Mask = b"mask",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_fields_may_be_empty() {
        let spec = CodecSpec::parse(b"opus/48000/2//40/useinbandfec--1..x/cpu-used--3");
        assert_eq!(
            spec,
            CodecSpec {
                name: "opus".into(),
                clock_rate: Some(48_000),
                channels: Some(2),
                bitrate: None,
                ptime: Some(40),
                format: "useinbandfec=1 x".into(),
                options: "cpu-used=3".into(),
            }
        );
    }

    #[test]
    fn matching_is_by_name_then_by_what_is_given() {
        assert!(CodecSpec::parse(b"pcma").matches("PCMA", 8_000, 1));
        assert!(!CodecSpec::parse(b"PCMA/16000").matches("PCMA", 8_000, 1));
        assert!(!CodecSpec::parse(b"8").matches("PCMA", 8_000, 1));
        assert!(CodecSpec::parse(b"ALL").is_all());
    }
}
