//! Option groups that are sets of keywords: `replace`, `ICE`, `rtcp-mux`, `DTLS`, `OSRTP`,
//! `BUNDLE`, `T38` (§8).
//!
//! Each group has an `apply` for one value; `false` says the value is unknown.

use crate::names::names;

/// Parts of the SDP that are replaced (§8.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the protocol")]
pub struct ReplaceSet {
    pub origin: bool,
    /// Username, session id and version too, kept constant per receiver.
    pub origin_full: bool,
    pub username: bool,
    pub session_name: bool,
    pub sdp_version: bool,
    pub force_increment_sdp_version: bool,
    pub zero_address: bool,
}

names! {
    enum ReplaceValue {
        Origin = b"origin",
        OriginFull = b"origin-full",
        Username = b"username",
        SessionName = b"session-name",
        SdpVersion = b"sdp-version",
        ForceIncrement = b"force-increment-sdp-ver" | b"force-increment-sdp-version",
        ZeroAddress = b"zero-address",
        // Always done; OpenSIPS scripts still send it.
        SessionConnection = b"session-connection",
    }
}

impl ReplaceSet {
    pub(crate) fn apply(&mut self, value: &[u8]) -> bool {
        match ReplaceValue::lookup(value) {
            Some(ReplaceValue::Origin) => self.origin = true,
            Some(ReplaceValue::OriginFull) => self.origin_full = true,
            Some(ReplaceValue::Username) => self.username = true,
            Some(ReplaceValue::SessionName) => self.session_name = true,
            Some(ReplaceValue::SdpVersion) => self.sdp_version = true,
            Some(ReplaceValue::ForceIncrement) => self.force_increment_sdp_version = true,
            Some(ReplaceValue::ZeroAddress) => self.zero_address = true,
            Some(ReplaceValue::SessionConnection) | None => return false,
        }
        true
    }
}

/// ICE towards the receiver (§8.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IceOptions {
    /// The last mode given.
    pub mode: Option<IceMode>,
    /// Offer trickle ICE.
    pub trickle: bool,
    /// Announce `ice2`.
    pub ice2: bool,
    /// Do not answer the sender's ICE when removing ours.
    pub reject: bool,
}

/// Treatment of ICE in an offer; absent is [`IceMode::Default`] without emphasis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceMode {
    /// Our own ICE on both legs if the input has ICE.
    Default,
    /// No ICE towards the receiver.
    Remove,
    /// Our own ICE in any case.
    Force,
    /// Pass the input's ICE through and append our candidate at low priority.
    Optional,
    /// Pass everything through and append our candidate as a relay.
    ForceRelay,
}

/// Sides on which we are ICE lite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceLite {
    /// Neither side.
    Off,
    /// Towards the receiver.
    Forward,
    /// Towards the sender.
    Backward,
    /// Towards both.
    Both,
}

names! {
    pub(crate) enum IceValue {
        Remove = b"remove",
        Force = b"force",
        Default = b"default",
        Optional = b"optional",
        ForceRelay = b"force-relay",
        Trickle = b"trickle",
        Ice2 = b"ice2",
        NoLite = b"no-lite" | b"lite-off" | b"lite-no" | b"lite-none",
        Lite = b"lite" | b"lite-fwd" | b"lite-forward" | b"lite-offer",
        LiteBack = b"lite-back" | b"lite-backward" | b"lite-backwards" | b"lite-bwd" | b"lite-answer" | b"lite-reverse",
        LiteBoth = b"lite-both",
    }
}

impl IceOptions {
    pub(crate) fn apply(&mut self, lite: &mut Option<IceLite>, value: &[u8]) -> bool {
        let Some(value) = IceValue::lookup(value) else {
            return false;
        };
        match value {
            IceValue::Remove => self.mode = Some(IceMode::Remove),
            IceValue::Force => self.mode = Some(IceMode::Force),
            IceValue::Default => self.mode = Some(IceMode::Default),
            IceValue::Optional => self.mode = Some(IceMode::Optional),
            IceValue::ForceRelay => self.mode = Some(IceMode::ForceRelay),
            IceValue::Trickle => self.trickle = true,
            IceValue::Ice2 => self.ice2 = true,
            IceValue::NoLite => *lite = Some(IceLite::Off),
            IceValue::Lite => *lite = Some(IceLite::Forward),
            IceValue::LiteBack => *lite = Some(IceLite::Backward),
            IceValue::LiteBoth => *lite = Some(IceLite::Both),
        }
        true
    }
}

names! {
    pub(crate) enum IceLiteValue {
        Off = b"off" | b"none" | b"no",
        Forward = b"forward" | b"offer" | b"fwd" | b"fw",
        Backward = b"backward" | b"backwards" | b"reverse" | b"answer" | b"back" | b"bkw" | b"bk",
        Both = b"both",
    }
}

impl From<IceLiteValue> for IceLite {
    fn from(value: IceLiteValue) -> Self {
        match value {
            IceLiteValue::Off => Self::Off,
            IceLiteValue::Forward => Self::Forward,
            IceLiteValue::Backward => Self::Backward,
            IceLiteValue::Both => Self::Both,
        }
    }
}

/// Multiplexing of RTP and RTCP (§8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpMuxOptions {
    /// Offer it to the receiver.
    pub offer: bool,
    /// Offer it without a fallback port.
    pub require: bool,
    /// Do not offer it; still accept the sender's.
    pub demux: bool,
    /// Accept the sender's whatever the receiver answers.
    pub accept: bool,
    /// Do not accept the sender's.
    pub reject: bool,
}

names! {
    pub(crate) enum RtcpMuxValue {
        Offer = b"offer",
        Require = b"require",
        Demux = b"demux",
        Accept = b"accept",
        Reject = b"reject",
    }
}

impl RtcpMuxOptions {
    pub(crate) fn apply(&mut self, value: &[u8]) -> bool {
        match RtcpMuxValue::lookup(value) {
            Some(RtcpMuxValue::Offer) => self.offer = true,
            Some(RtcpMuxValue::Require) => self.require = true,
            Some(RtcpMuxValue::Demux) => self.demux = true,
            Some(RtcpMuxValue::Accept) => self.accept = true,
            Some(RtcpMuxValue::Reject) => self.reject = true,
            None => return false,
        }
        true
    }
}

/// DTLS-SRTP (§8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DtlsOptions {
    /// Do not offer DTLS; in an answer: prefer SDES.
    pub off: bool,
    /// The last role given for an `actpass` sender.
    pub role: Option<DtlsRole>,
    /// Hash of our fingerprint in an outgoing offer.
    pub fingerprint: Option<FingerprintHash>,
}

/// Role in the DTLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// We do.
    Active,
    /// The peer does.
    Passive,
}

names! {
    pub(crate) enum DtlsValue {
        Off = b"off" | b"no" | b"disable" | b"disabled",
        Passive = b"passive",
        Active = b"active",
    }
}

names! {
    /// Hash functions of certificate fingerprints (RFC 8122).
    #[expect(missing_docs, reason = "the names of the hashes")]
    pub enum FingerprintHash {
        Sha256 = b"sha-256" | b"sha256",
        Sha1 = b"sha-1" | b"sha1",
        Sha224 = b"sha-224" | b"sha224",
        Sha384 = b"sha-384" | b"sha384",
        Sha512 = b"sha-512" | b"sha512",
    }
}

impl DtlsOptions {
    pub(crate) fn apply(&mut self, value: &[u8]) -> bool {
        match DtlsValue::lookup(value) {
            Some(DtlsValue::Off) => self.off = true,
            Some(DtlsValue::Passive) => self.role = Some(DtlsRole::Passive),
            Some(DtlsValue::Active) => self.role = Some(DtlsRole::Active),
            None => return false,
        }
        true
    }
}

/// Opportunistic SRTP (§8.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OsrtpOptions {
    /// Offer crypto on plain transport (RFC 8643).
    pub offer: bool,
    /// Offer RTP and SRTP as two m-lines.
    pub offer_legacy: bool,
    /// Take RFC 8643 offers for SRTP in the answer.
    pub accept: bool,
    /// Collapse double m-lines.
    pub accept_legacy: bool,
}

names! {
    pub(crate) enum OsrtpValue {
        Offer = b"offer" | b"offer-rfc",
        OfferLegacy = b"offer-legacy",
        AcceptRfc = b"accept-rfc",
        AcceptLegacy = b"accept-legacy",
        Accept = b"accept",
    }
}

impl OsrtpOptions {
    pub(crate) fn apply(&mut self, value: &[u8]) -> bool {
        match OsrtpValue::lookup(value) {
            Some(OsrtpValue::Offer) => self.offer = true,
            Some(OsrtpValue::OfferLegacy) => self.offer_legacy = true,
            Some(OsrtpValue::AcceptRfc) => self.accept = true,
            Some(OsrtpValue::AcceptLegacy) => self.accept_legacy = true,
            Some(OsrtpValue::Accept) => (self.accept, self.accept_legacy) = (true, true),
            None => return false,
        }
        true
    }
}

/// Bundling of medias (§8.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BundleOptions {
    /// Understand and answer bundled offers.
    pub accept: bool,
    /// Bundle outgoing offers.
    pub offer: bool,
    /// Offer bundle-only with the same port everywhere.
    pub require: bool,
    /// Offer bundle-only with port 0.
    pub strict: bool,
    /// Take no part in bundling.
    pub reject: bool,
}

names! {
    pub(crate) enum BundleValue {
        Accept = b"accept",
        Offer = b"offer",
        Require = b"require",
        Strict = b"strict",
        Reject = b"reject",
    }
}

impl BundleOptions {
    pub(crate) fn apply(&mut self, value: &[u8]) -> bool {
        match BundleValue::lookup(value) {
            Some(BundleValue::Accept) => self.accept = true,
            Some(BundleValue::Offer) => self.offer = true,
            Some(BundleValue::Require) => (self.offer, self.require) = (true, true),
            Some(BundleValue::Strict) => {
                (self.offer, self.require, self.strict) = (true, true, true);
            }
            Some(BundleValue::Reject) => self.reject = true,
            None => return false,
        }
        true
    }
}

/// Fax gatewaying (§8.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the protocol")]
pub struct T38Options {
    pub decode: bool,
    pub force: bool,
    pub stop: bool,
    pub no_ecm: bool,
    pub no_v17: bool,
    pub no_v27ter: bool,
    pub no_v29: bool,
    pub no_v34: bool,
    pub no_iaf: bool,
    pub fec: bool,
    pub version: Option<i64>,
}

names! {
    pub(crate) enum T38Value {
        Decode = b"decode",
        Force = b"force",
        Stop = b"stop",
        NoEcm = b"no-ecm",
        NoV17 = b"no-v17" | b"no-v.17",
        NoV27ter = b"no-v27ter" | b"no-v.27ter",
        NoV29 = b"no-v29" | b"no-v.29",
        NoV34 = b"no-v34" | b"no-v.34",
        NoIaf = b"no-iaf",
        Fec = b"fec",
    }
}

impl T38Options {
    pub(crate) fn apply(&mut self, value: &[u8]) -> bool {
        match T38Value::lookup(value) {
            Some(T38Value::Decode) => self.decode = true,
            Some(T38Value::Force) => self.force = true,
            Some(T38Value::Stop) => self.stop = true,
            Some(T38Value::NoEcm) => self.no_ecm = true,
            Some(T38Value::NoV17) => self.no_v17 = true,
            Some(T38Value::NoV27ter) => self.no_v27ter = true,
            Some(T38Value::NoV29) => self.no_v29 = true,
            Some(T38Value::NoV34) => self.no_v34 = true,
            Some(T38Value::NoIaf) => self.no_iaf = true,
            Some(T38Value::Fec) => self.fec = true,
            None => return false,
        }
        true
    }
}

impl ReplaceSet {
    pub(crate) const SPELLINGS: &'static [&'static str] = ReplaceValue::SPELLINGS;
}
