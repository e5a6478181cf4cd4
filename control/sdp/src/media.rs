//! One m= line of a received SDP, with its lines.

use std::net::IpAddr;

use crate::Text;
use crate::attribute::{Bandwidth, Codec, Direction, Rtcp, Transport};

/// An m= line and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaDescription {
    /// `audio`, `video`, … as written.
    pub kind: Text,
    /// Port; 0: rejected.
    pub port: u16,
    /// Number of ports, 1 unless `port/count` was written.
    pub port_count: u16,
    /// Transport.
    pub transport: Transport,
    /// Format list as written.
    pub formats: Text,
    /// Payload types in order, for RTP transports.
    pub codecs: Vec<Codec>,
    /// `i=`.
    pub info: Option<Text>,
    /// Address of the media's own `c=`.
    pub connection: Option<IpAddr>,
    /// `b=` of the known types.
    pub bandwidth: Bandwidth,
    /// Its own direction attribute; of several the strongest.
    pub direction: Option<Direction>,
    /// `a=rtcp`.
    pub rtcp: Option<Rtcp>,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// `a=mid`.
    pub mid: Option<Text>,
    /// `a=label`.
    pub label: Option<Text>,
    /// `a=ptime`.
    pub ptime: Option<Text>,
    /// `a=maxptime`.
    pub maxptime: Option<Text>,
    /// Valid `a=extmap` values in order: everything behind `a=extmap:`.
    pub extmaps: Vec<Text>,
    /// `a=extmap-allow-mixed`, here or at session level.
    pub extmap_allow_mixed: bool,
    /// Keying attributes (crypto, setup, fingerprint, tls-id) in the order that they are printed
    /// in, everything behind `a=`; inherited from the session where the media has none.
    pub keying: Vec<Text>,
    /// ICE attributes were there, here or at session level.
    pub has_ice: bool,
    /// `a=ice-options` has `trickle`.
    pub trickle: bool,
    /// Attributes that are carried as they are, in order: everything behind `a=`.
    pub attributes: Vec<Text>,
    /// All attributes as received, in order, of a media that is not RTP: it is copied whole.
    pub verbatim: Vec<Text>,
}

impl MediaDescription {
    pub(crate) fn new(kind: Text, port: u16, port_count: u16, transport: Transport) -> Self {
        Self {
            kind,
            port,
            port_count,
            transport,
            formats: Text::default(),
            codecs: Vec::new(),
            info: None,
            connection: None,
            bandwidth: Bandwidth::default(),
            direction: None,
            rtcp: None,
            rtcp_mux: false,
            mid: None,
            label: None,
            ptime: None,
            maxptime: None,
            extmaps: Vec::new(),
            extmap_allow_mixed: false,
            keying: Vec::new(),
            has_ice: false,
            trickle: false,
            attributes: Vec::new(),
            verbatim: Vec::new(),
        }
    }

    /// Whether the unspecified address means "not known yet" instead of hold: trickle ICE.
    pub fn is_trickle(&self) -> bool {
        self.trickle || self.port == 9
    }
}
