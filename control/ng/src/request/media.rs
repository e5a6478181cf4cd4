//! Option values about media handling: echo, learning, recording, DTMF, playback.

use std::net::IpAddr;
use std::time::Duration;

use super::{CodecSpec, Label, Tag};
use crate::names::names;

/// IP version of an address, as SDP and ng name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `IP4`
    Ip4,
    /// `IP6`
    Ip6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ip4,
            IpAddr::V6(_) => Self::Ip6,
        }
    }

    /// `IP4` or `IP6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip4 => "IP4",
            Self::Ip6 => "IP6",
        }
    }
}

names! {
    pub(crate) enum FamilyValue {
        Ip4 = b"ip4" | b"ipv4" | b"inet",
        Ip6 = b"ip6" | b"ipv6" | b"inet6",
    }
}

impl From<FamilyValue> for Family {
    fn from(value: FamilyValue) -> Self {
        match value {
            FamilyValue::Ip4 => Self::Ip4,
            FamilyValue::Ip6 => Self::Ip6,
        }
    }
}

/// Type of service of all sockets of a call (`TOS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tos {
    /// Back to the configured behaviour.
    #[default]
    Default,
    /// Leave it as it is.
    Unchanged,
    /// This value.
    Set(u8),
}

impl Tos {
    pub(crate) fn from_int(int: i64) -> Self {
        match u8::try_from(int) {
            Ok(tos) => Self::Set(tos),
            Err(_) if int < 0 => Self::Unchanged,
            Err(_) => Self::Default,
        }
    }
}

names! {
    /// Treatment of media that is not forwarded (`media-echo`).
    pub enum MediaEcho {
        /// Discard both directions.
        Blackhole = b"blackhole" | b"sinkhole",
        /// The receiver hears itself; the sender's media is discarded.
        Forward = b"forward" | b"fwd" | b"fw",
        /// The sender hears itself; the receiver's media is discarded.
        Backward = b"backward" | b"backwards" | b"reverse" | b"back" | b"bkw" | b"bk",
        /// Each hears itself.
        Both = b"both",
    }
}

names! {
    /// Silently dropping all media of the call (`drop-traffic`).
    pub enum DropTraffic {
        /// Starts to drop.
        Start = b"start",
        /// No longer.
        Stop = b"stop",
    }
}

names! {
    /// Time at which the source of a peer is learned.
    pub enum EndpointLearning {
        /// Never.
        Off = b"off" | b"no-learning",
        /// The first packet decides.
        Immediate = b"immediate",
        /// Packets decide after a while.
        Delayed = b"delayed",
        /// The best of several sources is taken.
        Heuristic = b"heuristic",
    }
}

names! {
    /// Flows that an operation acts on (`all`).
    pub enum AllSelection {
        /// Only the flows selected by other keys.
        None = b"none" | b"no",
        /// Everything of the call.
        All = b"all" | b"yes",
        /// Flows made by offer and answer.
        OfferAnswer = b"offer-answer",
        /// All other flows.
        ExceptOfferAnswer = b"except-offer-answer" | b"not-offer-answer" | b"non-offer-answer",
        /// Flows rather than parties.
        Flows = b"flows",
    }
}

names! {
    /// Part of an offer that serves as a key to its from-tag (`alias-key`).
    pub enum AliasKey {
        /// Nothing.
        Off = b"none" | b"off" | b"no",
        /// The whole SDP text.
        Sdp = b"sdp",
        /// The endpoint of the first media.
        Address = b"address" | b"endpoint",
    }
}

names! {
    /// Use of the audio player.
    pub enum AudioPlayer {
        /// The configured behaviour.
        Default = b"default",
        /// Only for media that is transcoded.
        On = b"on" | b"transcoding" | b"yes" | b"true",
        /// Never.
        Off = b"off" | b"no" | b"false",
        /// Always.
        Force = b"force" | b"always",
    }
}

names! {
    /// Kind of SIP message the request was made for.
    pub enum SipMessageType {
        /// A request.
        Request = b"request" | b"sip-request" | b"req",
        /// A response.
        Reply = b"reply" | b"sip-reply" | b"response" | b"sip-response" | b"rpl",
    }
}

names! {
    /// Treatment of detected DTMF.
    pub enum DtmfSecurity {
        /// Nothing.
        Off = b"off" | b"no" | b"none" | b"disable" | b"disabled",
        /// Dropped.
        Drop = b"drop",
        /// Replaced by silence.
        Silence = b"silence",
        /// Replaced by a tone.
        Tone = b"tone",
        /// Replaced by random digits.
        Random = b"random",
        /// Replaced by the digit 0.
        Zero = b"zero",
        /// Converted to a DTMF event.
        Dtmf = b"dtmf",
    }
}

/// Values of `record-call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordCall {
    /// Record, unless paused.
    Start,
    /// Stop recording.
    Stop,
    /// Stop and throw away.
    Discard,
}

/// Recording of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordingOptions {
    /// Start or stop.
    pub record_call: Option<RecordCall>,
    /// `stop recording` with `pause`: yes.
    pub pause: bool,
    /// Output file, for the recorder.
    pub file: Option<String>,
    /// Output directory, for the recorder.
    pub dir: Option<String>,
    /// Pattern of the output name, for the recorder.
    pub pattern: Option<String>,
    /// Channel of the offerer in a mixed recording.
    pub slot_offer: i64,
    /// Channel of the answerer in a mixed recording.
    pub slot_answer: i64,
    /// Channels of a mixed recording.
    pub slots: i64,
    /// DTMF codes that control the recording.
    pub vsc: VscCodes,
}

/// DTMF codes that control recording, where the request names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the protocol")]
pub struct VscCodes {
    pub start: Option<String>,
    pub stop: Option<String>,
    pub start_stop: Option<String>,
    pub pause: Option<String>,
    pub pause_resume: Option<String>,
    pub start_pause_resume: Option<String>,
}

/// DTMF blocking and playing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DtmfOptions {
    /// Treatment of digits.
    pub security: Option<DtmfSecurity>,
    /// Treatment of the digits of the trigger.
    pub security_trigger: Option<DtmfSecurity>,
    /// Treatment of the digits of the end trigger.
    pub security_trigger_end: Option<DtmfSecurity>,
    /// Digits that start blocking.
    pub trigger: Option<String>,
    /// Digits that end blocking.
    pub trigger_end: Option<String>,
    /// Blocking ends after this many ms.
    pub trigger_end_time: Option<i64>,
    /// Blocking ends after this many digits.
    pub trigger_end_digits: Option<i64>,
    /// Delay of the media buffer in ms.
    pub delay_buffer: Option<i64>,
    /// Delay of DTMF in ms.
    pub delay: Option<i64>,
    /// The digit or event code, as sent: `5`, `#`, `11`.
    pub digit: Option<String>,
    /// Volume in dB, as sent.
    pub volume: Option<i64>,
    /// Tone frequencies in Hz.
    pub frequencies: Vec<i64>,
    /// Length of a digit in ms.
    pub duration: Option<i64>,
    /// Pause after a digit in ms.
    pub pause: Option<i64>,
    /// Destination of the DTMF events of this call.
    pub log_destination: Option<String>,
}

/// A media source to play, or music on hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlayOptions {
    /// A file name.
    pub file: Option<String>,
    /// The content itself.
    pub blob: Option<Vec<u8>>,
    /// The content in base64, not decoded.
    pub blob64: Option<Vec<u8>>,
    /// An entry of the database.
    pub db_id: Option<i64>,
    /// Number of repeats.
    pub repeat_times: Option<i64>,
    /// Duration of all repeats, in ms.
    pub repeat_duration: Option<i64>,
    /// Start position, in ms.
    pub start_pos: Option<i64>,
}

/// Music on hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MohOptions {
    /// Media to play.
    pub source: PlayOptions,
    /// Direction of the held media.
    pub mode: Option<MohMode>,
    /// Show a zero address to the held party.
    pub zero_connection: bool,
}

names! {
    /// Direction shown to the held party.
    #[expect(missing_docs, reason = "the names of the protocol")]
    pub enum MohMode {
        Sendonly = b"sendonly",
        Sendrecv = b"sendrecv",
        Reflect = b"reflect",
    }
}

/// One entry of `medias`, of `create` and `transform`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaSpec {
    /// Media type, e.g. `audio`.
    pub kind: Option<String>,
    /// Id to repeat in the reply.
    pub id: Option<String>,
    /// Codecs, with conversion if any.
    pub codecs: Vec<CodecMapping>,
    /// Destination of the media.
    pub destination: Option<std::net::SocketAddr>,
}

/// One entry of a media's `codec` list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecMapping {
    /// Format that arrives.
    pub input: CodecFormat,
    /// Format that leaves, if different.
    pub output: Option<CodecFormat>,
}

/// A codec with everything spelled out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodecFormat {
    /// Name and parameters.
    pub spec: CodecSpec,
    /// Payload type, if fixed.
    pub payload_type: Option<u8>,
}

/// One entry of `tags`, of `mesh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshEntry {
    /// Party whose media is sent.
    pub from: Tag,
    /// Parties that receive it.
    pub to: Vec<Tag>,
}

/// The address that selects a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartyAddress {
    /// The party that is there by its SDP.
    At(IpAddr),
    /// The request names no address: a command must not hit the whole call instead.
    Unreadable,
}

/// Options that only a few commands read (§5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RareOptions {
    /// `address`: selects a party by SDP address.
    pub address: Option<PartyAddress>,
    /// `source-tag` of `inject`.
    pub source_tag: Option<Tag>,
    /// `source-call-id` of `inject`.
    pub source_call_id: Option<super::CallId>,
    /// `to-call-id` of `connect`.
    pub to_call_id: Option<super::CallId>,
    /// `to-label`: selects the sink.
    pub to_label: Option<Label>,
    /// `calls` of `mesh`.
    pub calls: Vec<super::CallId>,
    /// `tags` of `mesh`.
    pub tags: Vec<MeshEntry>,
    /// `medias` of `create` and `transform`.
    pub medias: Vec<MediaSpec>,
    /// `instance` of `transform`.
    pub instance: Option<String>,
    /// `body` of `cli`.
    pub body: Option<String>,
    /// Host for call-backs of `--b2b-url`.
    pub xmlrpc_callback: Option<IpAddr>,
}

/// [`RareOptions`] of a request. Most requests have none, and take no room for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rare(Option<Box<RareOptions>>);

static NONE: RareOptions = RareOptions {
    address: None,
    source_tag: None,
    source_call_id: None,
    to_call_id: None,
    to_label: None,
    calls: Vec::new(),
    tags: Vec::new(),
    medias: Vec::new(),
    instance: None,
    body: None,
    xmlrpc_callback: None,
};

impl Rare {
    /// Whether the request names one of them.
    pub fn is_given(&self) -> bool {
        self.0.is_some()
    }
}

impl std::ops::Deref for Rare {
    type Target = RareOptions;

    fn deref(&self) -> &RareOptions {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl std::ops::DerefMut for Rare {
    fn deref_mut(&mut self) -> &mut RareOptions {
        self.0.get_or_insert_default()
    }
}

/// Seconds of `delete-delay`; negative means as configured.
pub(crate) fn delay(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs)
}
