//! Typed requests: every key, flag and option group of the protocol, with its leniencies.
//!
//! [`Request::parse`] never fails over what it does not know; that is collected in
//! [`Request::ignored`]. Keys, flags and keywords are compared without regard to case and
//! separator, names of things are not.

mod codec;
mod command;
mod escape;
mod flag;
mod flag_value;
mod ident;
mod ignored;
mod key;
mod media;
mod medias;
mod options;
mod parser;
mod read;
mod rtpp_flags;
mod scalar;
mod sdes;
mod sdp_attr;
mod templates;
mod transport_protocol;

use std::{net::IpAddr, time::Duration};

pub use codec::{CodecOptions, CodecSpec, ExtmapOptions};
pub use command::Command;
pub use flag::{Flag, FlagSet};
pub use ident::{Branch, CallId, Label, SdpBody, Tag};
pub use ignored::{Ignored, What};
pub use media::{
    AliasKey, AllSelection, AudioPlayer, CodecFormat, CodecMapping, DropTraffic, DtmfOptions,
    DtmfSecurity, EndpointLearning, Family, MediaEcho, MediaSpec, MeshEntry, MohMode, MohOptions,
    PartyAddress, PlayOptions, Rare, RareOptions, RecordCall, RecordingOptions, SipMessageType,
    Tos, VscCodes,
};
pub use options::{
    BundleOptions, DtlsOptions, DtlsRole, FingerprintHash, IceLite, IceMode, IceOptions,
    OsrtpOptions, ReplaceSet, RtcpMuxOptions, T38Options,
};
pub use parser::ParseError;
pub use sdes::SdesOptions;
pub use sdp_attr::{Manipulations, SdpAttr, SdpSection};
pub use templates::Templates;
pub use transport_protocol::TransportProtocol;

use crate::errors;

/// One decoded request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Command.
    pub command: Command,
    /// The call.
    pub call_id: Option<CallId>,
    /// Tag of the SIP From header, for `answer` too.
    pub from_tag: Option<Tag>,
    /// Tag of the SIP To header.
    pub to_tag: Option<Tag>,
    /// The forked branch.
    pub via_branch: Option<Branch>,
    /// The session description.
    pub sdp: Option<SdpBody>,
    /// Literal flags.
    pub flags: FlagSet,
    /// Parts of the SDP that are replaced.
    pub replace: ReplaceSet,
    /// ICE towards the receiver.
    pub ice: IceOptions,
    /// Sides on which we are ICE lite; `None`: unchanged.
    pub ice_lite: Option<IceLite>,
    /// Multiplexing of RTP and RTCP.
    pub rtcp_mux: RtcpMuxOptions,
    /// Bundling of medias.
    pub bundle: BundleOptions,
    /// SDES.
    pub sdes: SdesOptions,
    /// DTLS-SRTP.
    pub dtls: DtlsOptions,
    /// Opportunistic SRTP.
    pub osrtp: OsrtpOptions,
    /// Target transport; `None`: that of the SDP.
    pub transport_protocol: Option<TransportProtocol>,
    /// `transport-protocol=accept`: pass the answerer's changed protocol through.
    pub transport_protocol_accept: bool,
    /// Family of our address towards the receiver.
    pub address_family: Option<Family>,
    /// Interface names for the sender of this SDP and for its receiver.
    pub direction: [Option<String>; 2],
    /// Interface of publish, subscribe, create and transform.
    pub interface: Option<String>,
    /// Addresses that choose `direction` by a routing look-up.
    pub direction_peer: [Option<IpAddr>; 2],
    /// Address that chooses `interface` by a routing look-up.
    pub interface_peer: Option<IpAddr>,
    /// Address to print instead of ours.
    pub media_address: Option<IpAddr>,
    /// Source of the SIP message.
    pub received_from: Option<IpAddr>,
    /// Label of the sender, or of the party to select.
    pub label: Option<Label>,
    /// Label for the selected or created party.
    pub set_label: Option<Label>,
    /// Several sources.
    pub from_tags: Vec<Tag>,
    /// Flows that an operation acts on.
    pub all: Option<AllSelection>,
    /// Part of the offer that is a key to the from-tag.
    pub alias_key: Option<AliasKey>,
    /// `supports` has `load limit`.
    pub supports_load_limit: bool,
    /// Type of service of the call's sockets.
    pub tos: Tos,
    /// Time for which a deleted call is kept; `None`: as configured.
    pub delete_delay: Option<Duration>,
    /// Generate RTCP.
    pub generate_rtcp: Option<bool>,
    /// Pass media through without looking at crypto and ICE.
    pub passthrough: Option<bool>,
    /// Echo or discard media.
    pub media_echo: Option<MediaEcho>,
    /// Drop all media of the call.
    pub drop_traffic: Option<DropTraffic>,
    /// Learning mode of the peer's source.
    pub endpoint_learning: Option<EndpointLearning>,
    /// Use of the audio player.
    pub audio_player: Option<AudioPlayer>,
    /// Packet time towards the receiver, ms.
    pub ptime: Option<u32>,
    /// Packet time towards the sender, ms.
    pub ptime_reverse: Option<u32>,
    /// Codec lists.
    pub codec: CodecOptions,
    /// Header extensions.
    pub extmap: ExtmapOptions,
    /// Fax.
    pub t38: T38Options,
    /// Attributes to add, remove and substitute.
    pub sdp_attr: SdpAttr,
    /// Media types left out of the offer.
    pub sdp_media_remove: Vec<String>,
    /// Recording.
    pub recording: RecordingOptions,
    /// Opaque text for queries and recordings.
    pub metadata: Option<String>,
    /// DTMF.
    pub dtmf: DtmfOptions,
    /// Playback.
    pub play: PlayOptions,
    /// Music on hold.
    pub moh: Option<Box<MohOptions>>,
    /// Kind of the SIP message.
    pub sip_message_type: Option<SipMessageType>,
    /// Status code of the SIP message; 0 if none.
    pub sip_code: i64,
    /// `limit` of `list`.
    pub limit: Option<i64>,
    /// Options that only a few commands read.
    pub rare: Rare,
    /// Parts without effect.
    pub ignored: Vec<Ignored>,
}

impl Request {
    /// A request without any option.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            call_id: None,
            from_tag: None,
            to_tag: None,
            via_branch: None,
            sdp: None,
            flags: FlagSet::default(),
            replace: ReplaceSet::default(),
            ice: IceOptions::default(),
            ice_lite: None,
            rtcp_mux: RtcpMuxOptions::default(),
            bundle: BundleOptions::default(),
            sdes: SdesOptions::default(),
            dtls: DtlsOptions::default(),
            osrtp: OsrtpOptions::default(),
            transport_protocol: None,
            transport_protocol_accept: false,
            address_family: None,
            direction: [None, None],
            interface: None,
            direction_peer: [None, None],
            interface_peer: None,
            media_address: None,
            received_from: None,
            label: None,
            set_label: None,
            from_tags: Vec::new(),
            all: None,
            alias_key: None,
            supports_load_limit: false,
            tos: Tos::default(),
            delete_delay: None,
            generate_rtcp: None,
            passthrough: None,
            media_echo: None,
            drop_traffic: None,
            endpoint_learning: None,
            audio_player: None,
            ptime: None,
            ptime_reverse: None,
            codec: CodecOptions::default(),
            extmap: ExtmapOptions::default(),
            t38: T38Options::default(),
            sdp_attr: SdpAttr::default(),
            sdp_media_remove: Vec::new(),
            recording: RecordingOptions::default(),
            metadata: None,
            dtmf: DtmfOptions::default(),
            play: PlayOptions::default(),
            moh: None,
            sip_message_type: None,
            sip_code: 0,
            limit: None,
            rare: Rare::default(),
            ignored: Vec::new(),
        }
    }

    /// The keys an `offer` needs, or the error of the first one missing.
    pub fn require_offer(&self) -> Result<Offering<'_>, &'static str> {
        let sdp = self.sdp.as_ref().ok_or(errors::NO_SDP)?;
        let call_id = self.require_call_id()?;
        let from_tag = self.from_tag.as_ref().ok_or(errors::NO_FROM_TAG)?;
        Ok(Offering {
            sdp,
            call_id,
            from_tag,
        })
    }

    /// The keys an `answer` needs, or the error of the first one missing.
    pub fn require_answer(&self) -> Result<Answering<'_>, &'static str> {
        let Offering {
            sdp,
            call_id,
            from_tag,
        } = self.require_offer()?;
        let to_tag = self.to_tag.as_ref().ok_or(errors::NO_TO_TAG)?;
        Ok(Answering {
            sdp,
            call_id,
            from_tag,
            to_tag,
        })
    }

    /// The call-id, or the error that it is missing.
    pub fn require_call_id(&self) -> Result<&CallId, &'static str> {
        self.call_id.as_ref().ok_or(errors::NO_CALL_ID)
    }
}

/// See [`Request::require_offer`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in Request")]
pub struct Offering<'a> {
    pub sdp: &'a SdpBody,
    pub call_id: &'a CallId,
    pub from_tag: &'a Tag,
}

/// See [`Request::require_answer`]; tags as in the message, not swapped.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in Request")]
pub struct Answering<'a> {
    pub sdp: &'a SdpBody,
    pub call_id: &'a CallId,
    pub from_tag: &'a Tag,
    pub to_tag: &'a Tag,
}

#[cfg(test)]
mod tests;
