//! One `m=` section (RFC 8866 §5.14) and what its transport means.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::attribute::{
    Attribute, AttributeClass, Bandwidth, Codec, CryptoLine, Direction, Extmap, Fingerprint, Ice,
    RtcpAttribute, Setup,
};
use crate::text::Text;

/// One media as received. Session attributes fill in for missing media attributes where RFC or
/// reference say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Index of its session part in [`crate::SessionDescription::parts`].
    pub part: usize,
    /// Line number of the `m=`.
    pub line: usize,
    /// Media type.
    pub kind: MediaKind,
    /// Media type token as received.
    pub kind_text: Text,
    /// 0: rejected or switched off.
    pub port: u16,
    /// Number after the slash, 1 to 10; 1 without it.
    pub port_count: u8,
    /// Transport protocol.
    pub transport: Transport,
    /// The rest of the line as received.
    pub formats: Text,
    /// The payload types in order, each once; empty if the transport is not RTP.
    pub codecs: Vec<Codec>,
    /// `i=`.
    pub info: Option<Text>,
    /// The media's own `c=`; see [`crate::SessionDescription::address_of`].
    pub connection: Option<IpAddr>,
    /// `b=`.
    pub bandwidth: Bandwidth,
    /// Whole `k=`, `r=` and `z=` lines; the reference drops them.
    pub retained: Vec<Text>,
    /// Direction of the media, else of the session; `None` (neither has one) means `sendrecv`.
    pub direction: Option<Direction>,
    /// `a=rtcp`.
    pub rtcp: Option<RtcpAttribute>,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// `a=mid`.
    pub mid: Option<Text>,
    /// `a=label`.
    pub label: Option<Text>,
    /// `a=ptime` in milliseconds.
    pub ptime: Option<u32>,
    /// `a=maxptime` in milliseconds.
    pub maxptime: Option<u32>,
    /// Extensions of the media, or those of the session if it has none.
    pub extmaps: Vec<Extmap>,
    /// `a=extmap-allow-mixed` in the media or the session.
    pub extmap_allow_mixed: bool,
    /// `a=crypto` lines that can be read, in order.
    pub crypto: Vec<CryptoLine>,
    /// Fingerprint with the strongest hash, of the media, else of the session.
    pub fingerprint: Option<Fingerprint>,
    /// Further ones with that hash: any of the certificates may be shown (RFC 8122 §5).
    pub more_fingerprints: Vec<Fingerprint>,
    /// `a=setup` of the media, else of the session.
    pub setup: Option<Setup>,
    /// `a=tls-id` of the media, else of the session.
    pub tls_id: Option<Text>,
    /// Candidates from the media; the rest from the media, else the session.
    pub ice: Ice,
    /// Every attribute of the media in order.
    pub attributes: Vec<Attribute>,
}

impl Media {
    pub(crate) fn empty(kind: MediaKind, transport: Transport) -> Self {
        Self {
            part: 0,
            line: 0,
            kind,
            kind_text: Text::new(),
            port: 0,
            port_count: 1,
            transport,
            formats: Text::new(),
            codecs: Vec::new(),
            info: None,
            connection: None,
            bandwidth: Bandwidth::default(),
            retained: Vec::new(),
            direction: None,
            rtcp: None,
            rtcp_mux: false,
            mid: None,
            label: None,
            ptime: None,
            maxptime: None,
            extmaps: Vec::new(),
            extmap_allow_mixed: false,
            crypto: Vec::new(),
            fingerprint: None,
            more_fingerprints: Vec::new(),
            setup: None,
            tls_id: None,
            ice: Ice::default(),
            attributes: Vec::new(),
        }
    }

    /// The direction, `sendrecv` if none was given.
    pub fn direction_or_default(&self) -> Direction {
        self.direction.unwrap_or_default()
    }

    /// Whether the media is switched off.
    pub fn is_rejected(&self) -> bool {
        self.port == 0
    }

    /// Whether the line is only there as part of a bundle (RFC 9143 §6).
    pub fn is_bundle_only(&self) -> bool {
        let mut attributes = self.attributes.iter();
        attributes.any(|attribute| attribute.name() == b"bundle-only")
    }

    /// Whether keys we can use come with a transport that does not ask for them (RFC 8643).
    pub fn is_osrtp(&self) -> bool {
        self.transport.is_rtp()
            && !self.transport.is_srtp()
            && (self.fingerprint.is_some() || self.crypto.iter().any(|line| line.suite.is_known()))
    }

    /// Whether packets are SRTP, by transport or by OSRTP.
    pub fn is_encrypted(&self) -> bool {
        self.transport.is_srtp() || self.is_osrtp()
    }

    /// Whether ICE candidates will follow, by option or by the address `address`: unspecified
    /// with port 9 is "not yet known". Without ICE there is nothing to follow.
    pub fn is_trickle(&self, address: Option<IpAddr>) -> bool {
        let is_unknown = address.is_some_and(|address| self.port == 9 && address.is_unspecified());
        self.ice.ufrag.is_some() && (self.ice.has_option("trickle") || is_unknown)
    }

    /// RTCP endpoint of a media whose RTP endpoint is `rtp`: `a=rtcp` if it applies, else the next
    /// port. `None` if there is no next port.
    pub fn rtcp_endpoint(&self, rtp: SocketAddr) -> Option<SocketAddr> {
        match self.rtcp.filter(|_| self.port_count == 1) {
            Some(rtcp) => Some(SocketAddr::new(
                rtcp.address.unwrap_or_else(|| rtp.ip()),
                rtcp.port,
            )),
            None => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }

    /// Whether RTCP shares the port of RTP, by `a=rtcp-mux` or because `a=rtcp` names `rtp`. An
    /// endpoint that is not yet known (RFC 8840 §4.1.3) says nothing of that.
    pub fn is_rtcp_muxed(&self, rtp: SocketAddr) -> bool {
        let is_known = rtp.port() != 9 || !rtp.ip().is_unspecified();
        self.rtcp_mux || is_known && self.rtcp_endpoint(rtp) == Some(rtp)
    }

    /// The codec of `payload_type`.
    pub fn codec(&self, payload_type: u8) -> Option<&Codec> {
        self.codecs
            .iter()
            .find(|codec| codec.payload_type == payload_type)
    }

    /// The attributes that are carried as they are, in order.
    pub fn generics(&self) -> impl Iterator<Item = &Attribute> {
        let is_generic = |attribute: &&Attribute| attribute.class == AttributeClass::Generic;
        self.attributes.iter().filter(is_generic)
    }

    /// The same with the direction attributes in their places, for `original-sendrecv`.
    pub fn generics_with_direction(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| {
            matches!(
                attribute.class,
                AttributeClass::Generic | AttributeClass::Direction
            )
        })
    }

    /// Everything but `end-of-candidates`, for media that are copied.
    pub fn verbatim(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.name() != b"end-of-candidates")
    }
}

/// Media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `audio`.
    Audio,
    /// `video`.
    Video,
    /// `image`, that is fax.
    Image,
    /// `message`, that is MSRP.
    Message,
    /// `text`, that is RFC 4103.
    Text,
    /// `application`.
    Application,
    /// Any other word.
    Other,
}

impl MediaKind {
    /// The kind named `name`, whatever the case; [`MediaKind::Other`] for any other word.
    pub fn from_name(name: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref();
        [
            Self::Audio,
            Self::Video,
            Self::Image,
            Self::Message,
            Self::Text,
            Self::Application,
        ]
        .into_iter()
        .find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
        .unwrap_or(Self::Other)
    }

    /// Token of the media type; `other` for unknown ones.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Image => "image",
            Self::Message => "message",
            Self::Text => "text",
            Self::Application => "application",
            Self::Other => "other",
        }
    }
}

/// Transport protocols of a media.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// `udptl`, that is T.38.
    Udptl,
    /// Unknown protocol: relayed as opaque UDP, printed as received.
    Other(Text),
}

impl Transport {
    /// The known transport of that name, whatever the case.
    pub fn known(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        [
            Self::RtpAvp,
            Self::RtpSavp,
            Self::RtpAvpf,
            Self::RtpSavpf,
            Self::UdpTlsRtpSavp,
            Self::UdpTlsRtpSavpf,
            Self::Udptl,
        ]
        .into_iter()
        .find(|transport| transport.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether it carries RTP that we understand.
    pub fn is_rtp(&self) -> bool {
        !matches!(self, Self::Udptl | Self::Other(_))
    }

    /// Whether the profile is a secure one.
    pub fn is_srtp(&self) -> bool {
        matches!(
            self,
            Self::RtpSavp | Self::RtpSavpf | Self::UdpTlsRtpSavp | Self::UdpTlsRtpSavpf
        )
    }

    /// Whether the profile allows early feedback (RFC 4585).
    pub fn has_feedback(&self) -> bool {
        matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::UdpTlsRtpSavpf)
    }

    /// Canonical name of a known transport, original text of another.
    pub fn name(&self) -> Text {
        match self {
            Self::Other(name) => name.clone(),
            known => known.as_bytes().into(),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::RtpAvp => b"RTP/AVP",
            Self::RtpSavp => b"RTP/SAVP",
            Self::RtpAvpf => b"RTP/AVPF",
            Self::RtpSavpf => b"RTP/SAVPF",
            Self::UdpTlsRtpSavp => b"UDP/TLS/RTP/SAVP",
            Self::UdpTlsRtpSavpf => b"UDP/TLS/RTP/SAVPF",
            Self::Udptl => b"udptl",
            Self::Other(name) => name.as_bytes(),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}
