//! The outgoing description: slots in exactly the order in which they are printed. Every `a=`
//! passes the [`AttributeRules`] of its section on the way out.

mod carry;
pub(crate) mod print;
mod rules;

use std::net::IpAddr;

pub use carry::Carry;
pub use rules::{AttributeRules, Section, SectionRules};

use crate::attribute::{
    Bandwidth, Candidate, Codec, CryptoLine, Direction, Extmap, Fingerprint, Setup,
};
use crate::media::MediaKind;
use crate::session::Origin;
use crate::text::Text;

/// A description to be printed with [`Session::to_bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `o=`.
    pub origin: Origin,
    /// `s=`.
    pub name: Text,
    /// `i=`.
    pub info: Option<Text>,
    /// `u=`.
    pub uri: Option<Text>,
    /// `e=`, each.
    pub emails: Vec<Text>,
    /// `p=`, each.
    pub phones: Vec<Text>,
    /// `b=`, typed ones first.
    pub bandwidth: Bandwidth,
    /// `t=`.
    pub timing: Text,
    /// Whole lines after `t=` (`r=`, `z=`, `k=`).
    pub retained: Vec<Text>,
    /// `a=rtpengine:`, the value.
    pub loop_protect: Option<Text>,
    /// The name of the music-on-hold attribute.
    pub moh: Option<Text>,
    /// `a=ice-lite`.
    pub ice_lite: bool,
    /// `a=group:BUNDLE`, the mids of each.
    pub bundle_groups: Vec<Vec<Text>>,
    /// Other attributes, without `a=`.
    pub attributes: Vec<Text>,
    /// Rules of the request's `sdp-attr`.
    pub rules: AttributeRules,
    /// The media in order.
    pub media: Vec<Media>,
}

/// One media to be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Selects the rules.
    pub kind: MediaKind,
    /// First word of `m=`.
    pub kind_text: Text,
    /// Printed as 0 if `rejected`.
    pub port: u16,
    /// Printed as `/count` if above 1.
    pub port_count: u8,
    /// Third word of `m=`; see [`crate::Transport::name`].
    pub transport: Text,
    /// The rest of `m=`.
    pub formats: Formats,
    /// `i=`.
    pub info: Option<Text>,
    /// `c=`; the unspecified address for a rejected media.
    pub connection: Option<IpAddr>,
    /// `b=`, typed ones first.
    pub bandwidth: Bandwidth,
    /// Whole lines after `b=` (`k=`).
    pub retained: Vec<Text>,
    /// `a=mid`.
    pub mid: Option<Text>,
    /// `a=label`.
    pub label: Option<Text>,
    /// `a=bundle-only`.
    pub bundle_only: bool,
    /// Port 0; no later field is printed.
    pub rejected: bool,
    /// All attributes as received. They replace all fields below except the candidates: for media
    /// without RTP, and for `ICE=force-relay`.
    pub verbatim: Option<Vec<Text>>,
    /// `rtpmap`, `fmtp` and `rtcp-fb` of each payload type.
    pub codecs: Vec<Codec>,
    /// `a=extmap-allow-mixed`.
    pub extmap_allow_mixed: bool,
    /// `a=extmap`, each.
    pub extmaps: Vec<Extmap>,
    /// Carried attributes, without `a=`.
    pub generics: Vec<Text>,
    /// The direction.
    pub direction: DirectionLine,
    /// `a=rtcp`.
    pub rtcp: Option<RtcpLine>,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// `a=crypto`, each.
    pub crypto: Vec<CryptoLine>,
    /// `a=setup`.
    pub setup: Option<Setup>,
    /// `a=fingerprint`.
    pub fingerprint: Option<Fingerprint>,
    /// `a=tls-id`.
    pub tls_id: Option<Text>,
    /// `a=ptime` in milliseconds.
    pub ptime: Option<u32>,
    /// `a=maxptime` in milliseconds.
    pub maxptime: Option<u32>,
    /// `a=ice-ufrag`.
    pub ice_ufrag: Option<Text>,
    /// `a=ice-pwd`.
    pub ice_pwd: Option<Text>,
    /// `a=ice-options`.
    pub ice_options: Option<Text>,
    /// `a=remote-candidates`, the value.
    pub remote_candidates: Option<Text>,
    /// `a=candidate`, each.
    pub candidates: Vec<Candidate>,
    /// `a=end-of-candidates`.
    pub end_of_candidates: bool,
}

/// Format list of the `m=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formats {
    /// The payload types of [`Media::codecs`]; `0` if there are none.
    Codecs,
    /// This, as it is.
    Text(Text),
}

/// Source of the direction attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectionLine {
    /// Printed after the generic attributes.
    Print(Direction),
    /// Not printed here: [`Media::generics`] holds it if the source had one.
    CopiedAmongGenerics,
}

/// One `a=rtcp` line to be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpLine {
    /// Our RTCP port.
    pub port: u16,
    /// Printed too where the full form is wanted.
    pub full: Option<IpAddr>,
}
