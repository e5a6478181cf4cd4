//! One member of `flags`: a literal of §7, or a value of an option group after its prefix.

use super::{
    AllSelection, AudioPlayer, Command, EndpointLearning, Flag, IceMode, RecordCall, Tag,
    TransportProtocol, What, codec::CodecList, escape::unescape, parser::Parser, read::push,
};
use crate::names::same;

/// Applies one flag.
pub(super) fn apply(parser: &mut Parser<'_>, flag: &[u8]) {
    match Flag::lookup(flag) {
        Some(known) => literal(parser, known),
        None if prefixed(parser, flag) => {}
        None => parser.ignored.push(What::Flag, flag, Flag::SPELLINGS),
    }
}

fn literal(parser: &mut Parser<'_>, flag: Flag) {
    let request = &mut parser.request;
    request.flags.insert(flag);
    match flag {
        Flag::GenerateRtcp => request.generate_rtcp = Some(true),
        Flag::TrickleIce => request.ice.trickle = true,
        Flag::IceReject => request.ice.reject = true,
        Flag::AlwaysTranscode => parser.codec_value(CodecList::Accept, b"all"),
        Flag::RecordCall => request.recording.record_call = Some(RecordCall::Start),
        Flag::Passthrough => request.passthrough = Some(true),
        Flag::NoPassthrough => request.passthrough = Some(false),
        Flag::Player => request.audio_player = Some(AudioPlayer::On),
        Flag::NoPlayer => request.audio_player = Some(AudioPlayer::Off),
        Flag::PadCrypto => request.sdes.pad = true,
        Flag::StripExtmap => push(&mut request.extmap.strip, "all".to_owned()),
        Flag::All => request.all = Some(AllSelection::All),
        Flag::Pause => request.recording.pause = true,
        Flag::WebRtc => {
            request.transport_protocol = Some(TransportProtocol::UdpTlsRtpSavpf);
            request.ice.mode = Some(IceMode::Force);
            request.ice.trickle = true;
            request.rtcp_mux.offer = true;
            request.rtcp_mux.require = true;
            request.flags.insert(Flag::NoRtcpAttribute);
            request.flags.insert(Flag::GenerateMid);
            request.sdes.off = true;
            request.bundle.offer = true;
            request.bundle.require = true;
        }
        _ => {}
    }
}

/// The groups a prefix can name.
#[derive(Clone, Copy)]
enum Group {
    Replace,
    RtcpMux,
    Bundle,
    Sdes,
    Osrtp,
    T38,
    EndpointLearning,
    FromTags,
    Codec(CodecList),
    SdpAttr,
}

const PREFIXES: [(&[u8], Group); 20] = [
    (b"replace-", Group::Replace),
    (b"rtcp-mux-", Group::RtcpMux),
    (b"bundle-", Group::Bundle),
    (b"sdes-", Group::Sdes),
    (b"osrtp-", Group::Osrtp),
    (b"t38-", Group::T38),
    (b"t.38-", Group::T38),
    (b"endpoint-learning-", Group::EndpointLearning),
    (b"from-tags-", Group::FromTags),
    (b"codec-except-", Group::Codec(CodecList::Except)),
    (b"codec-offer-", Group::Codec(CodecList::Offer)),
    (b"codec-strip-", Group::Codec(CodecList::Strip)),
    (b"codec-ignore-", Group::Codec(CodecList::Ignore)),
    (b"codec-accept-", Group::Codec(CodecList::Accept)),
    (b"codec-consume-", Group::Codec(CodecList::Consume)),
    (b"codec-set-", Group::Codec(CodecList::Set)),
    (b"codec-mask-", Group::Codec(CodecList::Mask)),
    (b"codec-transcode-", Group::Codec(CodecList::Transcode)),
    (b"transcode-", Group::Codec(CodecList::Transcode)),
    (b"sdp-attr-", Group::SdpAttr),
];

/// Applies a flag of the form `PREFIX-VALUE`; `false` if it is none, or the value is unknown.
fn prefixed(parser: &mut Parser<'_>, flag: &[u8]) -> bool {
    let found = PREFIXES.iter().find_map(|&(prefix, group)| {
        let (head, value) = flag.split_at_checked(prefix.len())?;
        (same(head, prefix) && !value.is_empty()).then_some((group, value))
    });
    let Some((group, value)) = found else {
        return false;
    };
    let request = &mut parser.request;
    match group {
        Group::Replace => request.replace.apply(value),
        Group::RtcpMux => request.rtcp_mux.apply(value),
        Group::Bundle => request.bundle.apply(value),
        Group::Sdes => request.sdes.apply(value),
        Group::Osrtp => request.osrtp.apply(value),
        // Only these commands gateway fax; elsewhere the flag has no effect.
        Group::T38 => match request.command {
            Command::Offer | Command::SubscribeRequest | Command::Publish => {
                request.t38.apply(value)
            }
            _ => true,
        },
        Group::EndpointLearning => match EndpointLearning::lookup(value) {
            Some(learning) => {
                request.endpoint_learning = Some(learning);
                true
            }
            None => false,
        },
        Group::FromTags => {
            push(&mut request.from_tags, Tag::from(&*unescape(value)));
            true
        }
        Group::Codec(list) => {
            parser.codec_value(list, value);
            true
        }
        Group::SdpAttr => request.sdp_attr.apply_flag(value),
    }
}
