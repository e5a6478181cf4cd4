//! ng-protocol §9: the one-string form, and templates.

use super::*;
use windlass_ng::request::{IceMode, SdpSection, TransportProtocol};

#[test]
fn tokens_and_values() {
    type Row = (&'static str, fn(&Request) -> bool);
    let rows: [Row; 22] = [
        ("trust-address", |r| r.flags.trust_address()),
        ("  trust-address   fatal ", |r| {
            r.flags.trust_address() && r.flags.fatal()
        }),
        ("ICE=force", |r| r.ice.mode == Some(IceMode::Force)),
        ("ICE=force,trickle", |r| {
            r.ice.mode == Some(IceMode::Force) && r.ice.trickle
        }),
        ("ICE=[force trickle]", |r| {
            r.ice.mode == Some(IceMode::Force) && r.ice.trickle
        }),
        ("replace=[ origin   username ]", |r| {
            r.replace.origin && r.replace.username
        }),
        ("codec=[strip=[PCMU PCMA] offer=opus]", |r| {
            r.codec.strip.len() == 2 && r.codec.offer.len() == 1
        }),
        (
            "sdp-attr=[video=[add=[x:1 y] remove=z] none=[add=q]]",
            |r| {
                let video = r.sdp_attr.section(SdpSection::Video).unwrap();
                video.add == ["x:1", "y"]
                    && video.remove == ["z"]
                    && r.sdp_attr.section(SdpSection::None).unwrap().add == ["q"]
            },
        ),
        ("sdp-attr=[audio=[substitute=[[a b] [c d]]]]", |r| {
            r.sdp_attr
                .section(SdpSection::Audio)
                .unwrap()
                .substitute
                .len()
                == 2
        }),
        ("extmap=[strip=[all]]", |r| r.extmap.strip == ["all"]),
        ("moh=[file=f mode=sendrecv]", |r| {
            r.moh.as_ref().is_some_and(|moh| moh.mode.is_some())
        }),
        ("label=a=b", |r| {
            r.label
                .as_ref()
                .is_some_and(|label| label.as_bytes() == b"a=b")
        }),
        ("call-id=x", |r| r.call_id.is_some()),
        ("via-branch=x", |r| r.via_branch.is_some()),
        ("delete-delay=0", |r| {
            r.delete_delay.is_some_and(|delay| delay.is_zero())
        }),
        ("to-tag=x", |r| r.to_tag.is_some() && r.flags.to_tag()),
        ("to-tag", |r| r.to_tag.is_none() && r.flags.to_tag()),
        ("from-tag=x", |r| {
            r.from_tag.is_some() && r.flags.directional()
        }),
        ("from-tags=[a b]", |r| r.from_tags.len() == 2),
        ("SDES-off rtcp-mux-offer", |r| {
            r.sdes.off && r.rtcp_mux.offer
        }),
        ("all=flows", |r| r.all.is_some()),
        ("media-address=2001:db8::1", |r| r.media_address.is_some()),
    ];
    for (text, holds) in rows {
        for key in ["rtpp-flags", "rtpp_flags"] {
            let request = read(&offer().with(key, text));
            assert!(holds(&request), "{text}");
            assert!(request.ignored.is_empty(), "{text}: {:?}", request.ignored);
        }
    }
    // As a key of the dictionary, from-tag and to-tag set no flags.
    let request = read(&offer().with("from-tag", "x").with("to-tag", "y"));
    assert!(!request.flags.directional() && !request.flags.to_tag());
}

#[test]
fn codec_shorthands() {
    type List = fn(&Request) -> &[windlass_ng::request::CodecSpec];
    let rows: [(&str, List); 9] = [
        ("transcode", |r| &r.codec.transcode),
        ("codec-transcode", |r| &r.codec.transcode),
        ("codec-strip", |r| &r.codec.strip),
        ("codec-offer", |r| &r.codec.offer),
        ("codec-mask", |r| &r.codec.mask),
        ("codec-set", |r| &r.codec.set),
        ("codec-accept", |r| &r.codec.accept),
        ("codec-except", |r| &r.codec.except),
        ("codec-consume", |r| &r.codec.consume),
    ];
    for (name, codecs) in rows {
        for text in [
            format!("{name}-opus/48000"),
            format!("{name}=opus/48000"),
            format!("{name}=[opus/48000]"),
            format!("{}-opus/48000", name.to_ascii_uppercase()),
        ] {
            let request = string(&text);
            let codecs = codecs(&request);
            assert_eq!(codecs.len(), 1, "{text}");
            assert_eq!(
                (&*codecs[0].name, codecs[0].clock_rate),
                ("opus", Some(48_000)),
                "{text}"
            );
        }
    }
    assert_eq!(string("strip=PCMU").codec.strip.len(), 1);
}

#[test]
fn interfaces_in_order() {
    for (text, expected, more) in [
        ("direction=a", [Some("a"), None], &[][..]),
        ("direction=a direction=b", [Some("a"), Some("b")], &[]),
        (
            "direction=a direction=b direction=c",
            [Some("a"), Some("b")],
            &["c"],
        ),
        ("direction=[a b]", [Some("a"), Some("b")], &[]),
        (
            "internal external",
            [Some("internal"), Some("external")],
            &[],
        ),
        (
            "external internal",
            [Some("external"), Some("internal")],
            &[],
        ),
        (
            "internal internal",
            [Some("internal"), Some("internal")],
            &[],
        ),
        ("direction=a internal", [Some("a"), Some("internal")], &[]),
        ("to-interface=b", [None, Some("b")], &[]),
    ] {
        let request = string(text);
        let found = [
            request.direction[0].as_deref(),
            request.direction[1].as_deref(),
        ];
        assert_eq!(found, expected, "{text}");
        assert_eq!(ignored(&request), more, "{text}");
    }
}

#[test]
fn transports_add_up() {
    use TransportProtocol as T;
    for (text, expected) in [
        ("RTP", T::RtpAvp),
        ("AVP", T::RtpAvp),
        ("SRTP", T::RtpSavp),
        ("AVPF", T::RtpAvpf),
        ("SRTP AVPF", T::RtpSavpf),
        ("AVPF SRTP", T::RtpSavpf),
        ("SRTP RTP", T::RtpAvp),
        ("AVPF AVP", T::RtpAvp),
        ("SRTP AVP", T::RtpSavp),
        ("RTP AVPF", T::RtpAvpf),
        ("DTLS", T::UdpTlsRtpSavp),
        ("DTLS AVPF", T::UdpTlsRtpSavpf),
        ("DTLS SRTP", T::UdpTlsRtpSavp),
        ("RTP/AVP", T::RtpAvp),
        ("RTP/AVPF", T::RtpAvpf),
        ("RTP/SAVP", T::RtpSavp),
        ("RTP/SAVPF", T::RtpSavpf),
        ("UDP/TLS/RTP/SAVP", T::UdpTlsRtpSavp),
        ("UDP/TLS/RTP/SAVPF", T::UdpTlsRtpSavpf),
        ("RTP/SAVP AVPF", T::RtpSavpf),
        ("rtp/savpf", T::RtpSavpf),
        ("transport-protocol=RTP/SAVP", T::RtpSavp),
        (
            "transport-protocol=UDP/TLS/RTP/SAVPF trust-address",
            T::UdpTlsRtpSavpf,
        ),
    ] {
        let request = string(text);
        assert_eq!(request.transport_protocol, Some(expected), "{text}");
        assert!(request.ignored.is_empty(), "{text}");
    }
}

#[test]
fn what_is_not_understood_is_ignored() {
    let request = string("bogus key=value trust-address ]x codec=[wild=PCMU] label=");
    assert!(request.flags.trust_address());
    assert_eq!(request.label, None);
    assert_eq!(ignored(&request), ["bogus", "key", "]x", "wild", "label="]);
}

#[test]
fn templates_come_first_and_later_wins() {
    let templates: Templates = [
        (
            "default",
            "label=default set-label=default trust-address ICE=remove",
        ),
        ("offer", "label=offer metadata=m"),
        ("answer", "label=answer"),
        ("mine", "label=mine ICE=force"),
    ]
    .into_iter()
    .collect();
    let read = |dict: &Dict| read_request(&dict.to_bencode(), &templates).0.unwrap();
    let label = |request: &Request| {
        let label = request.label.as_ref()?;
        Some(String::from_utf8_lossy(label.as_bytes()).into_owned())
    };
    let request = read(&offer());
    assert_eq!(label(&request).as_deref(), Some("offer"));
    assert!(request.set_label.is_some() && request.flags.trust_address());
    assert_eq!(request.ice.mode, Some(IceMode::Remove));
    assert_eq!(label(&read(&command("answer"))).as_deref(), Some("answer"));
    assert_eq!(label(&read(&command("delete"))).as_deref(), Some("default"));
    // Keys override, in their order; a named template counts where it stands.
    assert_eq!(
        label(&read(&offer().with("label", "key"))).as_deref(),
        Some("key")
    );
    let before = offer().with("template", "mine").with("label", "key");
    assert_eq!(label(&read(&before)).as_deref(), Some("key"));
    let after = offer().with("label", "key").with("template", "mine");
    assert_eq!(label(&read(&after)).as_deref(), Some("mine"));
    assert_eq!(read(&after).ice.mode, Some(IceMode::Force));
    // Transport tokens add up within one string; another string says it anew.
    let templates: Templates = [("default", "SRTP AVPF"), ("mine", "RTP/SAVP")]
        .into_iter()
        .collect();
    let transport = |flags: &'static str| {
        let dict = offer().with("rtpp-flags", flags);
        let request = read_request(&dict.to_bencode(), &templates).0.unwrap();
        request.transport_protocol
    };
    for (flags, expected) in [
        ("trust-address", TransportProtocol::RtpSavpf),
        ("RTP/AVP", TransportProtocol::RtpAvp),
        ("AVPF", TransportProtocol::RtpAvpf),
        ("DTLS", TransportProtocol::UdpTlsRtpSavp),
        ("template=mine", TransportProtocol::RtpSavp),
        ("AVPF template=mine", TransportProtocol::RtpSavp),
        ("AVPF template=mine SRTP", TransportProtocol::RtpSavpf),
    ] {
        assert_eq!(transport(flags), Some(expected), "{flags}");
    }
    let unknown = read(&offer().with("template", "other"));
    assert_eq!(ignored(&unknown), ["other"]);
    // Commands without options have none.
    for name in ["ping", "query", "list", "statistics", "cli"] {
        assert_eq!(label(&read(&command(name))), None, "{name}");
    }
}
