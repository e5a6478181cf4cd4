//! ng-protocol §8: the values of the option groups.

use super::*;
use windlass_ng::request::{DtlsRole, IceLite, IceMode, SdpSection};

/// A value of a group, and what it does.
type Row = (&'static str, fn(&Request) -> bool);

/// Checks every value as member of a list, as a string, in `rtpp-flags`, and behind its prefix.
fn check(group: &str, has_prefix: bool, rows: &[Row]) {
    for (value, holds) in rows {
        assert!(
            !holds(&read(&offer())),
            "{group} {value} without being given"
        );
        for spelling in [(*value).to_owned(), value.to_ascii_uppercase()] {
            let mut requests = vec![
                read(&offer().with(group.to_owned(), list(&[&spelling]))),
                read(&offer().with(group.to_owned(), spelling.clone())),
                string(&format!("{group}={spelling}")),
                string(&format!("{group}=[ {spelling} ]")),
            ];
            if has_prefix {
                let flag = format!("{group}-{spelling}");
                requests.push(read(&offer().with("flags", list(&[&flag]))));
                requests.push(string(&flag));
            }
            for (way, request) in requests.iter().enumerate() {
                assert!(holds(request), "{group} {spelling} way {way}");
                assert!(request.ignored.is_empty(), "{:?}", request.ignored);
            }
        }
    }
    let unknown = read(&offer().with(group.to_owned(), "no-such-value-of-it"));
    assert_eq!(
        ignored(&unknown).len(),
        usize::from(group != "SDES"),
        "{group}"
    );
}

#[test]
fn replace() {
    check(
        "replace",
        true,
        &[
            ("origin", |r| r.replace.origin),
            ("origin-full", |r| r.replace.origin_full),
            ("username", |r| r.replace.username),
            ("session-name", |r| r.replace.session_name),
            ("SDP-version", |r| r.replace.sdp_version),
            ("force-increment-sdp-ver", |r| {
                r.replace.force_increment_sdp_version
            }),
            ("zero-address", |r| r.replace.zero_address),
        ],
    );
    // OpenSIPS sends these with spaces, and one that current releases ignore.
    let values = list(&["session name", "SDP version", "session-connection"]);
    let request = read(&offer().with("replace", values));
    assert!(request.replace.session_name && request.replace.sdp_version);
    assert_eq!(ignored(&request), ["session-connection"]);
}

#[test]
fn ice() {
    check(
        "ICE",
        false,
        &[
            ("remove", |r| r.ice.mode == Some(IceMode::Remove)),
            ("force", |r| r.ice.mode == Some(IceMode::Force)),
            ("default", |r| r.ice.mode == Some(IceMode::Default)),
            ("optional", |r| r.ice.mode == Some(IceMode::Optional)),
            ("force-relay", |r| r.ice.mode == Some(IceMode::ForceRelay)),
            ("force_relay", |r| r.ice.mode == Some(IceMode::ForceRelay)),
            ("trickle", |r| r.ice.trickle),
            ("ice2", |r| r.ice.ice2),
            ("no-lite", |r| r.ice_lite == Some(IceLite::Off)),
            ("lite-off", |r| r.ice_lite == Some(IceLite::Off)),
            ("lite-no", |r| r.ice_lite == Some(IceLite::Off)),
            ("lite-none", |r| r.ice_lite == Some(IceLite::Off)),
            ("lite", |r| r.ice_lite == Some(IceLite::Forward)),
            ("lite-fwd", |r| r.ice_lite == Some(IceLite::Forward)),
            ("lite-forward", |r| r.ice_lite == Some(IceLite::Forward)),
            ("lite-offer", |r| r.ice_lite == Some(IceLite::Forward)),
            ("lite-back", |r| r.ice_lite == Some(IceLite::Backward)),
            ("lite-backward", |r| r.ice_lite == Some(IceLite::Backward)),
            ("lite-answer", |r| r.ice_lite == Some(IceLite::Backward)),
            ("lite-reverse", |r| r.ice_lite == Some(IceLite::Backward)),
            ("lite-both", |r| r.ice_lite == Some(IceLite::Both)),
        ],
    );
    // The last one wins.
    for (values, mode) in [
        (["remove", "force"], IceMode::Force),
        (["force", "remove"], IceMode::Remove),
        (["force", "optional"], IceMode::Optional),
        (["force-relay", "default"], IceMode::Default),
    ] {
        assert_eq!(
            read(&offer().with("ICE", list(&values))).ice.mode,
            Some(mode)
        );
    }
}

#[test]
fn rtcp_mux() {
    check(
        "rtcp-mux",
        true,
        &[
            ("offer", |r| r.rtcp_mux.offer),
            ("require", |r| r.rtcp_mux.require),
            ("demux", |r| r.rtcp_mux.demux),
            ("accept", |r| r.rtcp_mux.accept),
            ("reject", |r| r.rtcp_mux.reject),
        ],
    );
}

#[test]
fn sdes() {
    check(
        "SDES",
        true,
        &[
            ("off", |r| r.sdes.off),
            ("no", |r| r.sdes.off),
            ("disable", |r| r.sdes.off),
            ("disabled", |r| r.sdes.off),
            ("unencrypted_srtp", |r| {
                r.sdes.unencrypted_srtp == Some(true)
            }),
            ("unencrypted_srtcp", |r| {
                r.sdes.unencrypted_srtcp == Some(true)
            }),
            ("unauthenticated_srtp", |r| {
                r.sdes.unauthenticated_srtp == Some(true)
            }),
            ("encrypted_srtp", |r| r.sdes.unencrypted_srtp == Some(false)),
            ("encrypted_srtcp", |r| {
                r.sdes.unencrypted_srtcp == Some(false)
            }),
            ("authenticated_srtp", |r| {
                r.sdes.unauthenticated_srtp == Some(false)
            }),
            ("lifetime", |r| r.sdes.lifetime),
            ("pad", |r| r.sdes.pad),
            ("static", |r| r.sdes.keep_selected),
            ("nonew", |r| r.sdes.no_new),
            ("prefer", |r| r.sdes.prefer),
            ("priority", |r| r.sdes.prefer),
            ("only-AES_CM_128_HMAC_SHA1_80", |r| r.sdes.only.len() == 1),
            ("no-AES_CM_128_HMAC_SHA1_80", |r| r.sdes.no.len() == 1),
            ("order:A;B", |r| r.sdes.order.len() == 2),
            ("offerer_pref:A;B", |r| r.sdes.offerer_pref.len() == 2),
        ],
    );
}

#[test]
fn dtls() {
    for key in ["DTLS", "DTLS-reverse"] {
        check(
            key,
            false,
            &[
                ("off", |r| r.dtls.off),
                ("no", |r| r.dtls.off),
                ("disable", |r| r.dtls.off),
                ("disabled", |r| r.dtls.off),
                ("passive", |r| r.dtls.role == Some(DtlsRole::Passive)),
                ("active", |r| r.dtls.role == Some(DtlsRole::Active)),
            ],
        );
    }
}

#[test]
fn osrtp() {
    check(
        "OSRTP",
        true,
        &[
            ("offer", |r| r.osrtp.offer && !r.osrtp.offer_legacy),
            ("offer-RFC", |r| r.osrtp.offer && !r.osrtp.offer_legacy),
            ("offer-legacy", |r| r.osrtp.offer_legacy && !r.osrtp.offer),
            ("accept-RFC", |r| r.osrtp.accept && !r.osrtp.accept_legacy),
            ("accept-legacy", |r| {
                r.osrtp.accept_legacy && !r.osrtp.accept
            }),
            ("accept", |r| r.osrtp.accept && r.osrtp.accept_legacy),
        ],
    );
}

#[test]
fn t38() {
    for key in ["T38", "T.38"] {
        check(
            key,
            true,
            &[
                ("decode", |r| r.t38.decode),
                ("force", |r| r.t38.force),
                ("stop", |r| r.t38.stop),
                ("no-ECM", |r| r.t38.no_ecm),
                ("no-V17", |r| r.t38.no_v17),
                ("no-V27ter", |r| r.t38.no_v27ter),
                ("no-V29", |r| r.t38.no_v29),
                ("no-V34", |r| r.t38.no_v34),
                ("no-IAF", |r| r.t38.no_iaf),
                ("FEC", |r| r.t38.fec),
            ],
        );
    }
}

#[test]
fn bundle() {
    check(
        "BUNDLE",
        true,
        &[
            ("accept", |r| r.bundle.accept),
            ("offer", |r| r.bundle.offer && !r.bundle.require),
            ("require", |r| {
                r.bundle.offer && r.bundle.require && !r.bundle.strict
            }),
            ("strict", |r| {
                r.bundle.offer && r.bundle.require && r.bundle.strict
            }),
            ("reject", |r| r.bundle.reject),
        ],
    );
}

#[test]
fn codecs() {
    for key in ["codec", "codecs"] {
        let codec = Dict::new()
            .with("strip", "all")
            .with("offer", list(&["PCMA", "opus/48000/2"]));
        let request = read(&offer().with(key, codec));
        assert!(request.codec.strip[0].is_all());
        assert_eq!(request.codec.offer[1].clock_rate, Some(48_000));
        assert_eq!(request.codec.offer[1].channels, Some(2));
    }
    // Which lists mean something to which command; the others are left out silently.
    let lists = [
        "strip",
        "offer",
        "except",
        "ignore",
        "transcode",
        "mask",
        "accept",
        "consume",
        "set",
    ];
    let mut codec = Dict::new();
    for name in lists {
        codec.push(name, "PCMA");
    }
    for (name, transcodes) in [
        ("offer", true),
        ("subscribe request", true),
        ("publish", true),
        ("play media", true),
        ("answer", false),
        ("subscribe answer", false),
        ("create", false),
    ] {
        let codec = read(&command(name).with("codec", codec.clone())).codec;
        for list in [&codec.strip, &codec.offer, &codec.except, &codec.ignore] {
            assert_eq!(list.len(), 1, "{name}");
        }
        let transcoding = [
            &codec.transcode,
            &codec.mask,
            &codec.accept,
            &codec.consume,
            &codec.set,
        ];
        for list in transcoding {
            assert_eq!(!list.is_empty(), transcodes, "{name}");
        }
    }
    let spec = &string("transcode=opus/48000/2/32000/40/useinbandfec--1/x--y")
        .codec
        .transcode[0];
    assert_eq!(
        (&*spec.name, spec.clock_rate, spec.channels),
        ("opus", Some(48_000), Some(2))
    );
    assert_eq!((spec.bitrate, spec.ptime), (Some(32_000), Some(40)));
    assert_eq!((&*spec.format, &*spec.options), ("useinbandfec=1", "x=y"));
    assert!(spec.matches("OPUS", 48_000, 2) && !spec.matches("opus", 48_000, 1));
}

#[test]
fn attributes() {
    let sections = [
        ("global", SdpSection::Global),
        ("none", SdpSection::None),
        ("audio", SdpSection::Audio),
        ("video", SdpSection::Video),
        ("image", SdpSection::Image),
        ("message", SdpSection::Message),
        ("text", SdpSection::Text),
        ("application", SdpSection::Application),
    ];
    let pair = |items: &[&str]| -> Value { [list(items)].into_iter().collect() };
    for (name, section) in sections {
        let rules = Dict::new()
            .with("add", list(&["a=x", "y:1"]))
            .with("remove", list(&["rtcp"]))
            .with("substitute", pair(&["from", "to"]));
        let request = read(&offer().with("sdp-attr", Dict::new().with(name, rules)));
        let rules = request.sdp_attr.section(section).unwrap();
        assert_eq!(
            (&*rules.add, &*rules.remove),
            (&["x".into(), "y:1".into()][..], &["rtcp".to_owned()][..])
        );
        assert_eq!(rules.substitute, [("from".to_owned(), "to".to_owned())]);
    }
    for (substitute, expected) in [
        (Value::from("from>to"), Ok(())),
        (list(&["from>to"]), Ok(())),
        (pair(&["from", "to"]), Ok(())),
        (pair(&["from"]), Err("invalid token given")),
        (list(&["from"]), Err("invalid token given")),
        (Value::Int(1), Err("wrong content given")),
    ] {
        let rules = Dict::new().with("substitute", substitute.clone());
        let dict = offer().with("sdp-attr", Dict::new().with("audio", rules));
        let (request, _) = read_request(&dict.to_bencode(), &Templates::new());
        assert_eq!(request.map(drop), expected, "{substitute:?}");
    }
    for (section, rules, expected) in [
        ("radio", Value::from(Dict::new()), "unsupported sdp section"),
        (
            "audio",
            Value::from(Dict::new().with("swap", "x")),
            "unknown manipulation command",
        ),
        ("audio", Value::from("x"), "wrong content given"),
    ] {
        let dict = offer().with("sdp-attr", Dict::new().with(section, rules));
        assert_eq!(refused(&dict), expected);
    }
    for key in ["sdp-attr", "sdp-media-remove"] {
        assert_eq!(refused(&offer().with(key, 5)), "wrong type used");
    }
    for value in [list(&["video", "message"]), "video,message".into()] {
        assert_eq!(
            read(&offer().with("sdp-media-remove", value))
                .sdp_media_remove
                .len(),
            2
        );
    }
}

#[test]
fn destinations() {
    let refusal = |destination: Dict| {
        let media = Dict::new().with("id", "1").with("destination", destination);
        refused(&command("transform").with("media", Value::List(vec![media.into()])))
    };
    let bare = Dict::new().with("address", "192.0.2.1").with("port", 9);
    assert_eq!(
        refusal(bare),
        "Destination address without family specified"
    );
    let wrong = Dict::new()
        .with("family", "IP4")
        .with("address", "x")
        .with("port", 9);
    assert_eq!(refusal(wrong), "Failed to parse destination address");
}
