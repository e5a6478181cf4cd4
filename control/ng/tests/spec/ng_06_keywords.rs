//! ng-protocol §6: keys whose value is one of several words.

use super::ng_06_keys::check;
use super::*;
use windlass_ng::request::{
    AliasKey, AllSelection, AudioPlayer, DropTraffic, DtmfSecurity, EndpointLearning, Family,
    FingerprintHash, IceLite, MediaEcho, SipMessageType, TransportProtocol,
};

#[test]
fn keywords() {
    check(&[
        ("address-family", "IP4", |r| {
            r.address_family == Some(Family::Ip4)
        }),
        ("address-family", "IP6", |r| {
            r.address_family == Some(Family::Ip6)
        }),
        ("address-family", "ip6", |r| {
            r.address_family == Some(Family::Ip6)
        }),
        ("ICE-lite", "off", |r| r.ice_lite == Some(IceLite::Off)),
        ("ICE-lite", "none", |r| r.ice_lite == Some(IceLite::Off)),
        ("ICE-lite", "no", |r| r.ice_lite == Some(IceLite::Off)),
        ("ICE-lite", "forward", |r| {
            r.ice_lite == Some(IceLite::Forward)
        }),
        ("ICE-lite", "offer", |r| {
            r.ice_lite == Some(IceLite::Forward)
        }),
        ("ICE-lite", "fwd", |r| r.ice_lite == Some(IceLite::Forward)),
        ("ICE-lite", "backward", |r| {
            r.ice_lite == Some(IceLite::Backward)
        }),
        ("ICE-lite", "reverse", |r| {
            r.ice_lite == Some(IceLite::Backward)
        }),
        ("ICE-lite", "answer", |r| {
            r.ice_lite == Some(IceLite::Backward)
        }),
        ("ICE-lite", "back", |r| {
            r.ice_lite == Some(IceLite::Backward)
        }),
        ("ICE-lite", "both", |r| r.ice_lite == Some(IceLite::Both)),
        ("DTLS-fingerprint", "sha-256", |r| {
            r.dtls.fingerprint == Some(FingerprintHash::Sha256)
        }),
        ("DTLS-fingerprint", "SHA-1", |r| {
            r.dtls.fingerprint == Some(FingerprintHash::Sha1)
        }),
        ("DTLS-fingerprint", "sha-224", |r| {
            r.dtls.fingerprint == Some(FingerprintHash::Sha224)
        }),
        ("DTLS-fingerprint", "sha-384", |r| {
            r.dtls.fingerprint == Some(FingerprintHash::Sha384)
        }),
        ("DTLS-fingerprint", "sha-512", |r| {
            r.dtls.fingerprint == Some(FingerprintHash::Sha512)
        }),
        ("all", "all", |r| r.all == Some(AllSelection::All)),
        ("all", "none", |r| r.all == Some(AllSelection::None)),
        ("all", "offer-answer", |r| {
            r.all == Some(AllSelection::OfferAnswer)
        }),
        ("all", "except-offer-answer", |r| {
            r.all == Some(AllSelection::ExceptOfferAnswer)
        }),
        ("all", "not-offer-answer", |r| {
            r.all == Some(AllSelection::ExceptOfferAnswer)
        }),
        ("all", "non-offer-answer", |r| {
            r.all == Some(AllSelection::ExceptOfferAnswer)
        }),
        ("all", "flows", |r| r.all == Some(AllSelection::Flows)),
        ("alias-key", "SDP", |r| r.alias_key == Some(AliasKey::Sdp)),
        ("alias-key", "address", |r| {
            r.alias_key == Some(AliasKey::Address)
        }),
        ("alias-key", "endpoint", |r| {
            r.alias_key == Some(AliasKey::Address)
        }),
        ("alias-key", "none", |r| r.alias_key == Some(AliasKey::Off)),
        ("alias-key", "off", |r| r.alias_key == Some(AliasKey::Off)),
        ("alias-key", "no", |r| r.alias_key == Some(AliasKey::Off)),
        ("supports", "load limit", |r| r.supports_load_limit),
        ("generate-RTCP", "on", |r| r.generate_rtcp == Some(true)),
        ("generate-RTCP", "off", |r| r.generate_rtcp == Some(false)),
        ("passthrough", "on", |r| r.passthrough == Some(true)),
        ("passthrough", "off", |r| r.passthrough == Some(false)),
        ("media-echo", "blackhole", |r| {
            r.media_echo == Some(MediaEcho::Blackhole)
        }),
        ("media-echo", "sinkhole", |r| {
            r.media_echo == Some(MediaEcho::Blackhole)
        }),
        ("media-echo", "forward", |r| {
            r.media_echo == Some(MediaEcho::Forward)
        }),
        ("media-echo", "fwd", |r| {
            r.media_echo == Some(MediaEcho::Forward)
        }),
        ("media-echo", "backward", |r| {
            r.media_echo == Some(MediaEcho::Backward)
        }),
        ("media-echo", "reverse", |r| {
            r.media_echo == Some(MediaEcho::Backward)
        }),
        ("media-echo", "back", |r| {
            r.media_echo == Some(MediaEcho::Backward)
        }),
        ("media-echo", "both", |r| {
            r.media_echo == Some(MediaEcho::Both)
        }),
        ("drop-traffic", "start", |r| {
            r.drop_traffic == Some(DropTraffic::Start)
        }),
        ("drop-traffic", "stop", |r| {
            r.drop_traffic == Some(DropTraffic::Stop)
        }),
        ("endpoint-learning", "off", |r| {
            r.endpoint_learning == Some(EndpointLearning::Off)
        }),
        ("endpoint-learning", "immediate", |r| {
            r.endpoint_learning == Some(EndpointLearning::Immediate)
        }),
        ("endpoint-learning", "delayed", |r| {
            r.endpoint_learning == Some(EndpointLearning::Delayed)
        }),
        ("endpoint-learning", "heuristic", |r| {
            r.endpoint_learning == Some(EndpointLearning::Heuristic)
        }),
        ("audio-player", "default", |r| {
            r.audio_player == Some(AudioPlayer::Default)
        }),
        ("audio-player", "on", |r| {
            r.audio_player == Some(AudioPlayer::On)
        }),
        ("audio-player", "transcoding", |r| {
            r.audio_player == Some(AudioPlayer::On)
        }),
        ("audio-player", "off", |r| {
            r.audio_player == Some(AudioPlayer::Off)
        }),
        ("audio-player", "force", |r| {
            r.audio_player == Some(AudioPlayer::Force)
        }),
        ("audio-player", "always", |r| {
            r.audio_player == Some(AudioPlayer::Force)
        }),
        ("SIP-message-type", "request", |r| {
            r.sip_message_type == Some(SipMessageType::Request)
        }),
        ("SIP-message-type", "sip_request", |r| {
            r.sip_message_type == Some(SipMessageType::Request)
        }),
        ("SIP-message-type", "reply", |r| {
            r.sip_message_type == Some(SipMessageType::Reply)
        }),
        ("SIP-message-type", "sip_reply", |r| {
            r.sip_message_type == Some(SipMessageType::Reply)
        }),
        ("DTMF-security", "off", |r| {
            r.dtmf.security == Some(DtmfSecurity::Off)
        }),
        ("DTMF-security", "drop", |r| {
            r.dtmf.security == Some(DtmfSecurity::Drop)
        }),
        ("DTMF-security", "silence", |r| {
            r.dtmf.security == Some(DtmfSecurity::Silence)
        }),
        ("DTMF-security", "tone", |r| {
            r.dtmf.security == Some(DtmfSecurity::Tone)
        }),
        ("DTMF-security", "random", |r| {
            r.dtmf.security == Some(DtmfSecurity::Random)
        }),
        ("DTMF-security", "zero", |r| {
            r.dtmf.security == Some(DtmfSecurity::Zero)
        }),
        ("DTMF-security", "DTMF", |r| {
            r.dtmf.security == Some(DtmfSecurity::Dtmf)
        }),
        ("DTMF-security-trigger", "drop", |r| {
            r.dtmf.security_trigger.is_some()
        }),
        ("DTMF-security-trigger-end", "drop", |r| {
            r.dtmf.security_trigger_end.is_some()
        }),
    ]);
}

#[test]
fn transports() {
    check(&[
        ("transport-protocol", "RTP/AVP", |r| {
            r.transport_protocol == Some(TransportProtocol::RtpAvp)
        }),
        ("transport-protocol", "rtp/savp", |r| {
            r.transport_protocol == Some(TransportProtocol::RtpSavp)
        }),
        ("transport-protocol", "RTP/AVPF", |r| {
            r.transport_protocol == Some(TransportProtocol::RtpAvpf)
        }),
        ("transport-protocol", "RTP/SAVPF", |r| {
            r.transport_protocol == Some(TransportProtocol::RtpSavpf)
        }),
        ("transport-protocol", "UDP/TLS/RTP/SAVP", |r| {
            r.transport_protocol == Some(TransportProtocol::UdpTlsRtpSavp)
        }),
        ("transport-protocol", "udp/tls/rtp/savpf", |r| {
            r.transport_protocol == Some(TransportProtocol::UdpTlsRtpSavpf)
        }),
        ("transport-protocol", "UDPTL", |r| {
            r.transport_protocol == Some(TransportProtocol::Udptl)
        }),
        ("transport-protocol", "accept", |r| {
            r.transport_protocol_accept && r.transport_protocol.is_none()
        }),
    ]);
    let unknown = read(&offer().with("transport-protocol", "RTP/XYZ"));
    assert_eq!(unknown.transport_protocol, None);
    assert_eq!(ignored(&unknown), ["RTP/XYZ"]);
}
