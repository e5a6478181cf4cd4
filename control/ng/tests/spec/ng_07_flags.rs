//! ng-protocol §7: the flags of a request.

use super::*;
use windlass_ng::request::{
    AllSelection, AudioPlayer, CodecSpec, EndpointLearning, IceMode, RecordCall, SdpSection,
    TransportProtocol,
};

/// Flags that mean one thing, in the spelling of the specification, and what they do.
type Row = (&'static [&'static str], fn(&Request) -> bool);

fn check(rows: &[Row]) {
    for (flags, holds) in rows {
        assert!(!holds(&read(&offer())), "{flags:?} without being given");
        for flag in *flags {
            for spelling in spellings(flag) {
                let request = read(&offer().with("flags", list(&[&spelling])));
                assert!(holds(&request), "{spelling}");
                assert!(request.ignored.is_empty(), "{:?}", request.ignored);
            }
            assert!(holds(&string(flag)), "rtpp-flags {flag}");
        }
    }
}

#[test]
fn literals() {
    check(&[
        (&["trust-address"], |r| r.flags.trust_address()),
        (&["SIP-source-address"], |r| r.flags.sip_source_address()),
        (&["asymmetric"], |r| r.flags.asymmetric()),
        (&["unidirectional"], |r| r.flags.unidirectional()),
        (&["strict-source"], |r| r.flags.strict_source()),
        (&["media-handover"], |r| r.flags.media_handover()),
        (&["port-latching"], |r| r.flags.port_latching()),
        (&["no-port-latching"], |r| r.flags.no_port_latching()),
        (&["reset"], |r| r.flags.reset()),
        (&["pierce-NAT"], |r| r.flags.pierce_nat()),
        (&["NAT-wait"], |r| r.flags.nat_wait()),
        (&["no-rtcp-attribute"], |r| r.flags.no_rtcp_attribute()),
        (&["full-rtcp-attribute"], |r| r.flags.full_rtcp_attribute()),
        (&["original-sendrecv"], |r| r.flags.original_sendrecv()),
        (&["loop-protect"], |r| r.flags.loop_protect()),
        (&["generate-mid"], |r| r.flags.generate_mid()),
        (&["generate-RTCP"], |r| r.generate_rtcp == Some(true)),
        (&["trickle-ICE"], |r| r.ice.trickle),
        (&["ICE-reject", "reject-ICE"], |r| r.ice.reject),
        (&["fragment"], |r| r.flags.fragment()),
        (&["single-codec"], |r| r.flags.single_codec()),
        (&["reuse-codecs", "no-codec-renegotiation"], |r| {
            r.flags.reuse_codecs()
        }),
        (&["static-codecs"], |r| r.flags.static_codecs()),
        (&["allow-asymmetric-codecs"], |r| {
            r.flags.allow_asymmetric_codecs()
        }),
        (&["allow-no-codec-media"], |r| {
            r.flags.allow_no_codec_media()
        }),
        (&["allow-transcoding"], |r| r.flags.allow_transcoding()),
        (&["force-transcoding"], |r| r.flags.force_transcoding()),
        (&["always-transcode"], |r| {
            r.codec.accept.iter().any(|codec| codec.is_all())
        }),
        (&["inject-DTMF"], |r| r.flags.inject_dtmf()),
        (&["detect-DTMF"], |r| r.flags.detect_dtmf()),
        (&["block-DTMF"], |r| r.flags.block_dtmf()),
        (&["block-short"], |r| r.flags.block_short()),
        (&["record-call"], |r| {
            r.recording.record_call == Some(RecordCall::Start)
        }),
        (&["exclude-recording"], |r| r.flags.exclude_recording()),
        (&["discard-recording"], |r| r.flags.discard_recording()),
        (&["skip-recording-db"], |r| r.flags.skip_recording_db()),
        (&["recording-vsc"], |r| r.flags.recording_vsc()),
        (&["recording-announcement"], |r| {
            r.flags.recording_announcement()
        }),
        (&["no-redis-update"], |r| r.flags.no_redis_update()),
        (&["passthrough"], |r| r.passthrough == Some(true)),
        (&["no-passthrough"], |r| r.passthrough == Some(false)),
        (&["player", "audio-player"], |r| {
            r.audio_player == Some(AudioPlayer::On)
        }),
        (&["no-player"], |r| r.audio_player == Some(AudioPlayer::Off)),
        (&["early-media"], |r| r.flags.early_media()),
        (&["recrypt"], |r| r.flags.recrypt()),
        (&["no-tls-id"], |r| r.flags.no_tls_id()),
        (&["no-jitter-buffer"], |r| r.flags.no_jitter_buffer()),
        (&["pad-crypto"], |r| r.sdes.pad),
        (&["strip-extmap"], |r| r.extmap.strip == ["all"]),
        (&["new-branch"], |r| r.flags.new_branch()),
        (&["provisional"], |r| r.flags.provisional()),
        (&["directional"], |r| r.flags.directional()),
        (&["bidirectional"], |r| r.flags.bidirectional()),
        (&["all"], |r| r.all == Some(AllSelection::All)),
        (&["egress"], |r| r.flags.egress()),
        (&["mix"], |r| r.flags.mix()),
        (&["inactive"], |r| r.flags.inactive()),
        (&["RTCP-mirror", "mirror-RTCP"], |r| r.flags.rtcp_mirror()),
        (&["SIPREC"], |r| r.flags.siprec()),
        (&["unsubscribe"], |r| r.flags.unsubscribe()),
        (&["block-egress"], |r| r.flags.block_egress()),
        (&["to-tag"], |r| r.flags.to_tag()),
        (&["fatal"], |r| r.flags.fatal()),
        (&["fast"], |r| r.flags.fast()),
        (&["debug"], |r| r.flags.debug()),
        (&["symmetric-codecs"], |r| r.flags.symmetric_codecs()),
        (&["asymmetric-codecs"], |r| r.flags.asymmetric_codecs()),
        (&["reorder-codecs"], |r| r.flags.reorder_codecs()),
    ]);
}

#[test]
fn webrtc_is_short_for_what_a_browser_needs() {
    check(&[(&["WebRTC"], |r| {
        r.transport_protocol == Some(TransportProtocol::UdpTlsRtpSavpf)
            && r.ice.mode == Some(IceMode::Force)
            && r.ice.trickle
            && r.rtcp_mux.offer
            && r.rtcp_mux.require
            && r.flags.no_rtcp_attribute()
            && r.sdes.off
            && r.flags.generate_mid()
            && r.bundle.offer
            && r.bundle.require
    })]);
}

#[test]
fn prefixes() {
    let named = |codecs: &[CodecSpec]| codecs.first().is_some_and(|codec| codec.name == "PCMA");
    let rows: [Row; 12] = [
        (&["endpoint-learning-delayed"], |r| {
            r.endpoint_learning == Some(EndpointLearning::Delayed)
        }),
        (&["from-tags-x"], |r| r.from_tags.len() == 1),
        (&["OSRTP-offer"], |r| r.osrtp.offer),
        (&["replace-origin"], |r| r.replace.origin),
        (&["rtcp-mux-demux"], |r| r.rtcp_mux.demux),
        (&["BUNDLE-accept"], |r| r.bundle.accept),
        (&["SDES-off"], |r| r.sdes.off),
        (&["SDES-only-AES_CM_128_HMAC_SHA1_80"], |r| {
            r.sdes.only.len() == 1
        }),
        (&["SDES-no-AES_CM_128_HMAC_SHA1_80"], |r| {
            r.sdes.no.len() == 1
        }),
        (&["SDES-order:A;B"], |r| r.sdes.order.len() == 2),
        (&["SDES-offerer_pref:A;B"], |r| {
            r.sdes.offerer_pref.len() == 2
        }),
        (&["T38-decode", "T.38-decode"], |r| r.t38.decode),
    ];
    check(&rows);
    type List = fn(&Request) -> &[CodecSpec];
    let lists: [(&str, List); 10] = [
        ("codec-except-PCMA", |r| &r.codec.except),
        ("codec-offer-PCMA", |r| &r.codec.offer),
        ("codec-strip-PCMA", |r| &r.codec.strip),
        ("codec-ignore-PCMA", |r| &r.codec.ignore),
        ("codec-accept-PCMA", |r| &r.codec.accept),
        ("codec-consume-PCMA", |r| &r.codec.consume),
        ("codec-set-PCMA", |r| &r.codec.set),
        ("codec-mask-PCMA", |r| &r.codec.mask),
        ("codec-transcode-PCMA", |r| &r.codec.transcode),
        ("transcode-PCMA", |r| &r.codec.transcode),
    ];
    for (flag, codecs) in lists {
        assert!(
            named(codecs(&read(&offer().with("flags", list(&[flag]))))),
            "{flag}"
        );
    }
}

#[test]
fn some_prefixes_are_for_offers_alone() {
    for name in ["offer", "subscribe request", "publish"] {
        let flags = list(&[
            "transcode-PCMA",
            "codec-mask-PCMA",
            "T38-decode",
            "T.38-force",
        ]);
        let request = read(&command(name).with("flags", flags));
        assert!(
            !request.codec.transcode.is_empty() && !request.codec.mask.is_empty(),
            "{name}"
        );
        assert!(request.t38.decode && request.t38.force, "{name}");
    }
    for name in ["answer", "delete", "subscribe answer"] {
        let flags = list(&[
            "transcode-PCMA",
            "codec-mask-PCMA",
            "T38-decode",
            "codec-strip-PCMA",
        ]);
        let request = read(&command(name).with("flags", flags));
        assert!(
            request.codec.transcode.is_empty() && request.codec.mask.is_empty(),
            "{name}"
        );
        assert!(
            !request.t38.decode && !request.codec.strip.is_empty(),
            "{name}"
        );
        assert!(request.ignored.is_empty(), "silently");
    }
}

#[test]
fn keys_are_no_prefixes() {
    let request = read(&offer().with("flags", list(&["ICE-force", "DTLS-off", "ICE=force"])));
    assert_eq!((request.ice.mode, request.dtls.off), (None, false));
    assert_eq!(ignored(&request), ["ICE-force", "DTLS-off", "ICE=force"]);
}

#[test]
fn attributes_by_flag() {
    let request = read(&offer().with(
        "flags",
        list(&[
            "sdp-attr-add-audio-ptime:30",
            "sdp-attr-remove-none-group",
            "sdp-attr-substitute-video-fmtp:98..x--1>fmtp:98..y--2",
        ]),
    ));
    let section = |section| request.sdp_attr.section(section).unwrap();
    assert_eq!(section(SdpSection::Audio).add, ["ptime:30"]);
    assert_eq!(section(SdpSection::None).remove, ["group"]);
    let expected = ("fmtp:98 x=1".to_owned(), "fmtp:98 y=2".to_owned());
    assert_eq!(section(SdpSection::Video).substitute, [expected]);
    let bad = [
        "sdp-attr-add-radio-x",
        "sdp-attr-swap-audio-x",
        "sdp-attr-substitute-audio-x",
    ];
    let request = read(&offer().with("flags", list(&bad)));
    assert!(request.sdp_attr.is_empty());
    assert_eq!(ignored(&request), bad);
}

#[test]
fn escapes() {
    let request = read(&offer().with(
        "flags",
        list(&[
            "codec-set-opus/48000/2///useinbandfec--1..x--y",
            "from-tags-a..b--c",
        ]),
    ));
    assert_eq!(request.codec.set[0].format, "useinbandfec=1 x=y");
    assert_eq!(request.from_tags[0].as_bytes(), b"a b=c");
}

#[test]
fn what_is_no_flag_is_ignored() {
    let flags = [
        "RTP/AVP",
        "nonsense",
        "codec-strip-",
        "rtcp-mux-maybe",
        "SDES-perhaps",
    ];
    assert_eq!(ignored(&read(&offer().with("flags", list(&flags)))), flags);
}
