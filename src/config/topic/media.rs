//! Reading of SDP; security, quality and buffering of media.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use windlass_ng::Network;

use super::YEAR_MS;
use crate::config::codec::{Flag, Identifier, List, Maybe, Millis, Whole, Word, identifier, text};
use crate::config::setting::settings;

settings! {
    /// Reading of requests and SDP, and notifications to the proxy.
    pub struct Signalling ["signalling"] {
        /// Media goes to the source address of the SIP message unless a request says
        /// `trust-address`; otherwise to the address of the SDP unless it says
        /// `SIP-source-address`.
        sip_source: bool = false, Flag, "sip_source", "sip-source";
        /// SDP with a broken line is refused; otherwise the line is skipped.
        reject_invalid_sdp: bool = false, Flag, "reject_invalid_sdp", "reject-invalid-sdp";
        /// ICE media has sockets only on the first address of the wanted family.
        save_interface_ports: bool = false, Flag, "save_interface_ports", "save-interface-ports";
        /// Software name in STUN and in certificates: letters, digits, `-`.
        software_id: String = identifier(concat!("windlass-", env!("CARGO_PKG_VERSION"))),
            Identifier, "software_id", "software-id";
        /// URL that is told by XML-RPC of calls that timed out; `%%` stands for the address of the
        /// request (spec: media-behaviour §4).
        b2b_url: Option<String> = None, Maybe(text("a URL")), "b2b_url", "b2b-url";
        /// Call format for it: 0 SEMS, 1 call-id, 2 Kamailio dialogs.
        xmlrpc_format: u8 = 0, Whole(0..=2), "xmlrpc_format", "xmlrpc-format";
    }
}

settings! {
    /// Allowed destinations of media (spec: security promise 11).
    pub struct Destinations ["media"] {
        /// Networks that media is never sent to, whatever SDP names or packets come from there.
        forbid: Vec<Network> = Vec::new(), List(text("a network such as \"10.0.0.0/8\"")), "forbid",
            "media-forbid";
        /// Ports of this host, besides our own, that media may be sent to: of a media server
        /// beside the relay. What comes from them is no ng request.
        host_ports: Vec<Ports> = Vec::new(), List(text("a port or ports such as \"10000-20000\"")),
            "host_ports", "media-host-ports";
    }
}

/// A port, or all from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// A text that names no ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a port or ports such as 10000-20000")]
pub struct PortsError;

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.parse::<u16>().map_err(|_| PortsError);
        let (first, last) = (port(first)?, port(last)?);
        match 0 < first && first <= last {
            true => Ok(Self { first, last }),
            false => Err(PortsError),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

settings! {
    /// DTLS-SRTP (spec: media-behaviour §6).
    pub struct Dtls ["dtls"] {
        /// The passive role is preferred when `actpass` is answered.
        passive: bool = false, Flag, "passive", "dtls-passive";
        /// The key of our certificate.
        cert_cipher: CertificateCipher = CertificateCipher::Prime256v1, Word(&CERTIFICATE_CIPHER),
            "cert_cipher", "dtls-cert-cipher";
        /// The size of an RSA key, bits.
        rsa_key_size: u16 = 2048, Whole(1024..=16_384), "rsa_key_size", "dtls-rsa-key-size";
        /// The hash that our certificate is signed with.
        signature: Signature = Signature::Sha256, Word(&SIGNATURE), "signature", "dtls-signature";
        /// The path MTU, bytes; 48 of them are left to headers.
        mtu: u16 = 1200, Whole(576..=65_535), "mtu", "dtls-mtu";
        /// Cipher suites, as OpenSSL lists them; `None`: ours.
        ciphers: Option<String> = None, Maybe(text("a string")), "ciphers", "dtls-ciphers";
    }
}

settings! {
    /// ICE (spec: media-behaviour §5).
    pub struct Ice ["ice"] {
        /// Media to a party ends when that no longer agrees to it (RFC 7675). Without it a pair is
        /// used until the call ends, as rtpengine does.
        consent: bool = true, Flag, "consent";
    }
}

/// The key of a DTLS certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateCipher {
    /// ECDSA on the P-256 curve.
    Prime256v1,
    /// RSA.
    Rsa,
}

const CERTIFICATE_CIPHER: [(&str, CertificateCipher); 2] = [
    ("prime256v1", CertificateCipher::Prime256v1),
    ("RSA", CertificateCipher::Rsa),
];

/// The hash of a certificate's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// SHA-256.
    Sha256,
    /// SHA-1, for peers of long ago.
    Sha1,
}

const SIGNATURE: [(&str, Signature); 2] =
    [("SHA-256", Signature::Sha256), ("SHA-1", Signature::Sha1)];

settings! {
    /// RTCP of our own, and what is made of RTCP (spec: media-behaviour §9).
    pub struct Quality ["quality"] {
        /// Kind of MOS.
        mos: MosBasis = MosBasis::Conversational, Word(&MOS_BASIS), "mos";
        /// By which model.
        mos_model: MosModel = MosModel::G107, Word(&MOS_MODEL), "mos_model";
        /// Streams are measured here too, not only by the reports of the peers.
        measure_rtp: bool = false, Flag, "measure_rtp", "measure-rtp";
        /// Place of statistics per SSRC in replies.
        ssrc_reporting: SsrcReporting = SsrcReporting::Full, Word(&SSRC_REPORTING),
            "ssrc_reporting", "ssrc-reporting";
        /// Interval of generated RTCP.
        rtcp_interval: Duration = Duration::from_millis(5000), Millis(1..=YEAR_MS),
            "rtcp_interval_ms", "rtcp-interval";
    }
}

/// Kinds of mean opinion score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MosBasis {
    /// Conversational quality: the round trip counts, and without one there is no MOS.
    Conversational,
    /// Listening quality: the round trip counts as zero.
    Listening,
}

const MOS_BASIS: [(&str, MosBasis); 2] = [
    ("CQ", MosBasis::Conversational),
    ("LQ", MosBasis::Listening),
];

/// Models of the mean opinion score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MosModel {
    /// The formula of old releases.
    Legacy,
    /// G.107 for all codecs.
    G107,
    /// G.107.2 for codecs of a 48 kHz clock, G.107 for others.
    G107Fullband,
}

const MOS_MODEL: [(&str, MosModel); 3] = [
    ("legacy", MosModel::Legacy),
    ("g107", MosModel::G107),
    ("g107.2", MosModel::G107Fullband),
];

/// Places of statistics per SSRC in replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SsrcReporting {
    /// Both in the medias and in one table.
    Full,
    /// In the medias.
    Inline,
    /// In one table.
    Global,
    /// Nowhere.
    None,
}

const SSRC_REPORTING: [(&str, SsrcReporting); 4] = [
    ("full", SsrcReporting::Full),
    ("inline", SsrcReporting::Inline),
    ("global", SsrcReporting::Global),
    ("none", SsrcReporting::None),
];

settings! {
    /// The jitter buffer (spec: media-behaviour §14).
    pub struct JitterBuffer ["jitter_buffer"] {
        /// Packets it holds; 0: there is none.
        packets: u16 = 0, Whole(0..=1000), "packets", "jitter-buffer";
        /// A drift between the clocks is compensated.
        clock_drift: bool = false, Flag, "clock_drift", "jb-clock-drift";
        /// Its length follows the jitter.
        adaptive: bool = false, Flag, "adaptive", "jb-adaptive";
        /// The shortest it becomes then.
        adaptive_min: Duration = Duration::ZERO, Millis(0..=1000), "adaptive_min_ms",
            "jb-adaptive-min";
        /// The longest it becomes then.
        adaptive_max: Duration = Duration::from_millis(300), Millis(0..=1000), "adaptive_max_ms",
            "jb-adaptive-max";
    }
}
