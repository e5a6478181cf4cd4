//! Typed values of lines and attributes.

use std::fmt;
use std::net::IpAddr;

use crate::Text;

/// The fields of an `o=` line (RFC 8866 §5.2), as text: they are carried, not understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Login name, or `-`.
    pub username: Text,
    /// Session id.
    pub session_id: Text,
    /// Session version.
    pub session_version: Text,
    /// Address type, `IP4` or `IP6`.
    pub address_type: Text,
    /// The address.
    pub address: Text,
}

impl Origin {
    /// Puts an address in place of the one there.
    pub fn set_address(&mut self, address: IpAddr) {
        self.address_type = Text::from(address_type(address));
        self.address = Text::from(address.to_string());
    }
}

/// `IP4` or `IP6`.
pub(crate) fn address_type(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

/// Which way media flows, as a party says of itself (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The party only sends.
    SendOnly,
    /// The party only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction of a party that sends and receives so.
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the party sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the party receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        [
            Self::SendRecv,
            Self::SendOnly,
            Self::RecvOnly,
            Self::Inactive,
        ]
        .into_iter()
        .find(|direction| direction.name().as_bytes() == name)
    }

    /// Of two attributes on one level the stronger: recvonly before sendonly before inactive.
    pub(crate) fn or_stronger(self, other: Option<Self>) -> Self {
        let rank = |direction| match direction {
            Self::RecvOnly => 3,
            Self::SendOnly => 2,
            Self::Inactive => 1,
            Self::SendRecv => 0,
        };
        match other {
            Some(other) if rank(other) > rank(self) => other,
            _ => self,
        }
    }
}

/// The transport of an m= line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `RTP/AVP`.
    RtpAvp,
    /// `RTP/SAVP`.
    RtpSavp,
    /// `RTP/AVPF`.
    RtpAvpf,
    /// `RTP/SAVPF`.
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP`.
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF`.
    UdpTlsRtpSavpf,
    /// `udptl` (T.38).
    Udptl,
    /// Anything else, as it was written.
    Other(Text),
}

impl Transport {
    const KNOWN: [Self; 7] = [
        Self::RtpAvp,
        Self::RtpSavp,
        Self::RtpAvpf,
        Self::RtpSavpf,
        Self::UdpTlsRtpSavp,
        Self::UdpTlsRtpSavpf,
        Self::Udptl,
    ];

    /// The transport of this name, in any case.
    pub fn from_name(name: &[u8]) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|known| known.name().as_bytes().eq_ignore_ascii_case(name))
            .unwrap_or_else(|| Self::Other(Text::from(name)))
    }

    /// The canonical name; of an unknown transport what was written.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        let name = match self {
            Self::RtpAvp => "RTP/AVP",
            Self::RtpSavp => "RTP/SAVP",
            Self::RtpAvpf => "RTP/AVPF",
            Self::RtpSavpf => "RTP/SAVPF",
            Self::UdpTlsRtpSavp => "UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
            Self::Udptl => "udptl",
            Self::Other(text) => return text.to_str_lossy(),
        };
        name.into()
    }

    /// The bytes of the name.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Other(text) => out.extend_from_slice(text.as_bytes()),
            known => out.extend_from_slice(known.name().as_bytes()),
        }
    }

    /// Whether it carries RTP.
    pub fn is_rtp(&self) -> bool {
        !matches!(self, Self::Udptl | Self::Other(_))
    }

    /// Whether its RTP is encrypted.
    pub fn is_srtp(&self) -> bool {
        self.is_rtp() && !matches!(self, Self::RtpAvp | Self::RtpAvpf)
    }

    /// Whether its keys come from DTLS.
    pub fn is_dtls(&self) -> bool {
        matches!(self, Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf)
    }

    /// Whether it has the feedback profile (RFC 4585).
    pub fn has_feedback(&self) -> bool {
        matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::UdpTlsRtpSavpf)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// One payload type of an RTP media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// RTP payload type, 0–127.
    pub payload_type: u8,
    /// Encoding name as written; empty if neither rtpmap nor RFC 3551 tells it.
    pub name: Text,
    /// Clock rate in Hz; 0 if unknown.
    pub clock_rate: u32,
    /// Channels; 1 unless the rtpmap says more.
    pub channels: u32,
    /// Everything behind `a=fmtp:PT `.
    pub fmtp: Option<Text>,
    /// Everything behind `a=rtcp-fb:PT `, one each.
    pub feedback: Vec<Text>,
}

impl Codec {
    /// A payload type by RFC 3551's table, or an unknown one.
    pub fn from_payload_type(payload_type: u8) -> Self {
        let (name, clock_rate, channels) = match payload_type {
            0 => ("PCMU", 8000, 1),
            3 => ("GSM", 8000, 1),
            4 => ("G723", 8000, 1),
            5 => ("DVI4", 8000, 1),
            6 => ("DVI4", 16000, 1),
            7 => ("LPC", 8000, 1),
            8 => ("PCMA", 8000, 1),
            9 => ("G722", 8000, 1),
            10 => ("L16", 44100, 2),
            11 => ("L16", 44100, 1),
            12 => ("QCELP", 8000, 1),
            13 => ("CN", 8000, 1),
            14 => ("MPA", 90000, 1),
            15 => ("G728", 8000, 1),
            16 => ("DVI4", 11025, 1),
            17 => ("DVI4", 22050, 1),
            18 => ("G729", 8000, 1),
            25 => ("CelB", 90000, 1),
            26 => ("JPEG", 90000, 1),
            28 => ("nv", 90000, 1),
            31 => ("H261", 90000, 1),
            32 => ("MPV", 90000, 1),
            33 => ("MP2T", 90000, 1),
            34 => ("H263", 90000, 1),
            _ => ("", 0, 1),
        };
        Self {
            payload_type,
            name: Text::from(name),
            clock_rate,
            channels,
            fmtp: None,
            feedback: Vec::new(),
        }
    }

    /// Whether both are the same encoding: name in any case, clock rate and channels. Two unknown
    /// ones are the same if their payload types are.
    pub fn is_same_encoding(&self, other: &Self) -> bool {
        if self.name.is_empty() || other.name.is_empty() {
            return self.payload_type == other.payload_type;
        }
        self.name
            .as_bytes()
            .eq_ignore_ascii_case(other.name.as_bytes())
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
    }
}

/// `a=rtcp` (RFC 3605).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// The port.
    pub port: u16,
    /// The address, if it is not that of the media.
    pub address: Option<IpAddr>,
}

/// Bandwidths of one level in the order that they are printed in: AS, RR, RS, CT, TIAS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    pub(crate) values: [Option<Text>; 5],
}

impl Bandwidth {
    pub(crate) const TYPES: [&'static str; 5] = ["AS", "RR", "RS", "CT", "TIAS"];
}
