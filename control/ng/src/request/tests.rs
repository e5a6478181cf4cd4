//! Requests as the two proxies send them, and every leniency of the protocol.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    bencode, json,
    value::{Dict, Value},
};

fn parse(dict: &Dict) -> Request {
    try_parse(dict, &Templates::new()).unwrap()
}

fn try_parse(dict: &Dict, templates: &Templates) -> Result<Request, ParseError> {
    let bytes = dict.to_bencode();
    Request::parse(bencode::decode(&bytes, 8_192).unwrap().root(), templates)
}

fn offer() -> Dict {
    Dict::new().with("command", "offer")
}

fn list(items: &[&str]) -> Value {
    items.iter().copied().collect()
}

/// An offer with this `rtpp-flags` string.
fn string(flags: &str) -> Request {
    parse(&offer().with("rtpp-flags", flags))
}

fn names(specs: &[CodecSpec]) -> Vec<&str> {
    specs.iter().map(|spec| &*spec.name).collect()
}

fn ignored(request: &Request) -> Vec<&str> {
    request
        .ignored
        .iter()
        .map(|ignored| &*ignored.text)
        .collect()
}

#[test]
fn opensips_offer() {
    let request = parse(
        &Dict::new()
            .with("sdp", "v=0\r\n")
            .with("ICE", "remove")
            .with("direction", list(&["ext", "int"]))
            .with(
                "flags",
                list(&[
                    "codec-strip-G722",
                    "trust-address",
                    "SDES-no-AES_CM_128_HMAC_SHA1_32",
                ]),
            )
            .with(
                "replace",
                list(&["origin", "SDP version", "session-connection"]),
            )
            .with("transport-protocol", "RTP/AVP")
            .with("address family", "IP6")
            .with("TOS", "184")
            .with("call-id", "c1")
            .with("received-from", list(&["IP4", "198.51.100.7"]))
            .with("from-tag", "f1")
            .with("repacketize", 20)
            .with("command", "offer"),
    );
    assert_eq!(request.command, Command::Offer);
    assert_eq!(request.sdp.as_deref(), Some(&b"v=0\r\n"[..]));
    assert_eq!(request.ice.mode, Some(IceMode::Remove));
    assert_eq!(request.direction, [Some("ext".into()), Some("int".into())]);
    assert_eq!(names(&request.codec.strip), ["G722"]);
    assert!(request.flags.trust_address());
    assert_eq!(request.sdes.no, ["AES_CM_128_HMAC_SHA1_32"]);
    assert!(request.replace.origin && request.replace.sdp_version && !request.replace.username);
    assert_eq!(request.transport_protocol, Some(TransportProtocol::RtpAvp));
    assert_eq!(request.address_family, Some(Family::Ip6));
    assert_eq!(request.tos, Tos::Set(184));
    assert_eq!(request.call_id, Some(CallId::from("c1")));
    assert_eq!(request.received_from, Some([198, 51, 100, 7].into()));
    assert!(!request.supports_load_limit);
    assert_eq!(ignored(&request), ["session-connection", "repacketize"]);
    let required = request.require_offer().unwrap();
    assert_eq!(required.from_tag.as_bytes(), b"f1");
    assert_eq!(request.require_answer().unwrap_err(), errors::NO_TO_TAG);
}

#[test]
fn kamailio_duplicates_accumulate_and_the_last_scalar_wins() {
    let request = parse(
        &Dict::new()
            .with("supports", list(&["load limit"]))
            .with("flags", list(&["all"]))
            .with("to-tag", "old")
            .with("call-id", "c1")
            .with("flags", list(&["siprec"]))
            .with("to-tag", "new")
            .with("delete delay", 5)
            .with("delete-delay", "0")
            .with("codec", Dict::new().with("strip", list(&["G722"])))
            .with("codec", Dict::new().with("strip", "PCMU,PCMA"))
            .with("sip-message-type", "sip_request")
            .with("command", "subscribe request"),
    );
    assert!(request.supports_load_limit && request.flags.all() && request.flags.siprec());
    assert_eq!(request.all, Some(AllSelection::All));
    assert_eq!(request.to_tag, Some(Tag::from("new")));
    assert_eq!(request.delete_delay, Some(Duration::ZERO));
    assert_eq!(names(&request.codec.strip), ["G722", "PCMU", "PCMA"]);
    assert_eq!(request.sip_message_type, Some(SipMessageType::Request));
    assert!(request.ignored.is_empty(), "{:?}", request.ignored);
}

#[test]
fn spellings_are_folded_in_keys_flags_and_keywords_but_not_in_names() {
    let request = parse(
        &offer()
            .with("Call_ID", "CaSe")
            .with("MEDIA ADDRESS", "[2001:db8::1]")
            .with("ice_lite", "FORWARD")
            .with("Flags", list(&["Trust_Address", "no rtcp attribute"]))
            .with("rtcp_mux", list(&["Offer", "REQUIRE"])),
    );
    assert_eq!(request.call_id, Some(CallId::from("CaSe")));
    assert_eq!(request.media_address, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(request.ice_lite, Some(IceLite::Forward));
    assert!(request.flags.trust_address() && request.flags.no_rtcp_attribute());
    assert!(request.rtcp_mux.offer && request.rtcp_mux.require);
}

#[test]
fn wrong_types_are_ignored() {
    let request = parse(
        &offer()
            .with("codec", "strip")
            .with("extmap", 5)
            .with("moh", list(&["x"]))
            .with("from-tag", 7)
            .with(
                "flags",
                Value::List(vec![1.into(), "fatal".into(), Dict::new().into()]),
            )
            .with("delete-delay", 9)
            .with("delete-delay", "soon")
            .with("ptime", "-5")
            .with("received-from", Value::List(Vec::new())),
    );
    assert!(request.codec.is_empty() && request.moh.is_none() && request.from_tag.is_none());
    assert!(request.flags.fatal());
    assert_eq!(
        request.delete_delay,
        Some(Duration::from_secs(9)),
        "unparsable keeps the old"
    );
    assert_eq!((request.ptime, request.received_from), (None, None));
    assert!(request.ignored.is_empty());
}

#[test]
fn unknown_things_are_collected_with_the_nearest_name() {
    let request = parse(
        &offer()
            .with("media-adress", "x")
            .with("flags", list(&["trust-addres", "qqqqqqqq"]))
            .with("ICE", "forse"),
    );
    let seen: Vec<_> = request
        .ignored
        .iter()
        .map(|i| (i.what, i.nearest()))
        .collect();
    assert_eq!(
        seen,
        [
            (What::Key, Some("media-address")),
            (What::Flag, Some("trust-address")),
            (What::Flag, None),
            (What::Value { group: "ICE" }, Some("force")),
        ]
    );
    let many = (0..1_000)
        .map(|i: i64| Value::from(format!("unknown{i}")))
        .collect::<Value>();
    assert_eq!(
        parse(&offer().with("flags", many)).ignored.len(),
        crate::limits::IGNORED_ENTRIES
    );
}

#[test]
fn prefix_flags_and_escapes() {
    let request = parse(&offer().with(
        "flags",
        list(&[
            "rtcp-mux-demux",
            "BUNDLE-strict",
            "OSRTP-accept",
            "T.38-no-ECM",
            "replace-zero-address",
            "endpoint-learning-delayed",
            "from-tags-a..b--c",
            "transcode-opus/48000/2///useinbandfec--1",
            "codec-mask-PCMU",
            "SDES-order:A;B",
            "always-transcode",
            "sdp-attr-add-audio-ptime:20",
            "sdp-attr-substitute-global-x--1>b..2",
            "SDES-bogus",
        ]),
    ));
    assert!(request.rtcp_mux.demux && request.bundle.strict && request.bundle.require);
    assert!(request.osrtp.accept && request.osrtp.accept_legacy && request.t38.no_ecm);
    assert!(request.replace.zero_address);
    assert_eq!(request.endpoint_learning, Some(EndpointLearning::Delayed));
    assert_eq!(request.from_tags, [Tag::from("a b=c")]);
    assert_eq!(request.codec.transcode[0].format, "useinbandfec=1");
    assert_eq!(names(&request.codec.mask), ["PCMU"]);
    assert_eq!(names(&request.codec.accept), ["all"]);
    assert_eq!(request.sdes.order, ["A", "B"]);
    assert_eq!(
        request.sdp_attr.section(SdpSection::Audio).unwrap().add,
        ["ptime:20"]
    );
    let global = request.sdp_attr.section(SdpSection::Global).unwrap();
    assert_eq!(global.substitute, [("x=1".to_owned(), "b 2".to_owned())]);
    assert_eq!(ignored(&request), ["SDES-bogus"]);
}

#[test]
fn transcoding_options_only_where_they_mean_something() {
    let codec = Dict::new().with("transcode", "opus").with("strip", "PCMU");
    let answer = parse(&Dict::new().with("command", "answer").with("codec", codec));
    assert_eq!(names(&answer.codec.strip), ["PCMU"]);
    assert!(answer.codec.transcode.is_empty() && answer.ignored.is_empty());
}

#[test]
fn webrtc_is_a_bundle_of_options() {
    let request = parse(&offer().with("flags", "WebRTC"));
    assert_eq!(
        request.transport_protocol,
        Some(TransportProtocol::UdpTlsRtpSavpf)
    );
    assert_eq!(request.ice.mode, Some(IceMode::Force));
    assert!(request.ice.trickle && request.rtcp_mux.offer && request.rtcp_mux.require);
    assert!(request.sdes.off && request.bundle.offer && request.bundle.require);
    assert!(request.flags.generate_mid() && request.flags.no_rtcp_attribute());
}

#[test]
fn rare_options_take_room_where_they_are_given() {
    let named = |command: &'static str| Dict::new().with("command", command).with("call-id", "c");
    for plain in [
        Dict::new().with("command", "ping"),
        named("offer"),
        named("query"),
    ] {
        let request = parse(&plain);
        assert!(!request.rare.is_given());
        assert_eq!(*request.rare, RareOptions::default());
    }
    let request = parse(&named("connect").with("to-call-id", "d"));
    assert!(request.rare.is_given());
    assert_eq!(request.rare.to_call_id, Some(CallId::from("d")));
}

#[test]
fn rtpp_flags_say_everything() {
    let request = string(
        "trust-address ICE=force SRTP AVPF direction=ext direction=int to-tag=T from-tag=F \
         codec=[strip=[PCMU PCMA] transcode=[opus/48000/2]] codec-strip-G722 mask=GSM \
         SDES=[off no-X] replace-origin rtcp-mux=[ offer accept ] label=Az via-branch=z9 \
         sdp-attr=[audio=[add=[foo..bar] substitute=[[a b]]]] delete-delay=7 bogus=1",
    );
    assert!(request.flags.trust_address() && request.flags.to_tag() && request.flags.directional());
    assert_eq!(request.ice.mode, Some(IceMode::Force));
    assert_eq!(
        request.transport_protocol,
        Some(TransportProtocol::RtpSavpf)
    );
    assert_eq!(request.direction, [Some("ext".into()), Some("int".into())]);
    assert_eq!(request.to_tag, Some(Tag::from("T")));
    assert_eq!(names(&request.codec.strip), ["PCMU", "PCMA", "G722"]);
    assert_eq!(request.codec.transcode[0].clock_rate, Some(48_000));
    assert_eq!(names(&request.codec.mask), ["GSM"]);
    assert!(request.sdes.off && request.replace.origin);
    assert!(request.rtcp_mux.offer && request.rtcp_mux.accept);
    assert_eq!(request.label, Some(Label::from("Az")));
    let audio = request.sdp_attr.section(SdpSection::Audio).unwrap();
    assert_eq!(audio.add, ["foo bar"]);
    assert_eq!(audio.substitute, [("a".to_owned(), "b".to_owned())]);
    assert_eq!(request.delete_delay, Some(Duration::from_secs(7)));
    assert_eq!(ignored(&request), ["bogus"]);
}

#[test]
fn rtpp_flags_with_an_empty_value() {
    // The example of ng-protocol §9.
    let request = string("replace=[ origin ] sdp-attr= [audio=[add=[x]]] rtcp-mux=[offer]");
    assert!(request.replace.origin && request.rtcp_mux.offer);
    assert!(request.sdp_attr.section(SdpSection::Audio).is_none());
    assert_eq!(ignored(&request), ["sdp-attr=", "[audio=[add=[x]]]"]);
    // Nothing inside of the brackets counts, whatever blanks there are.
    let request = string("codec= [ ICE=force trust-address ] to-tag=");
    assert_eq!((request.ice.mode, request.to_tag.as_ref()), (None, None));
    assert!(!request.flags.trust_address());
    assert_eq!(
        ignored(&request),
        ["codec=", "[ ICE=force trust-address ]", "to-tag="]
    );
}

#[test]
fn words_of_media_echo_and_ice_lite() {
    let echo = |word: &'static str| parse(&offer().with("media-echo", word)).media_echo;
    for (echoes, words) in [
        (MediaEcho::Blackhole, &["blackhole", "sinkhole"][..]),
        (MediaEcho::Forward, &["forward", "fwd", "fw"]),
        (
            MediaEcho::Backward,
            &["backward", "backwards", "reverse", "back", "bkw", "bk"],
        ),
        (MediaEcho::Both, &["both"]),
    ] {
        for word in words {
            assert_eq!(echo(word), Some(echoes), "{word}");
        }
    }
    assert_eq!(echo("offer"), None);
    let lite = |word: &'static str| parse(&offer().with("ICE-lite", word)).ice_lite;
    for (is_lite, words) in [
        (IceLite::Off, &["off", "none", "no"][..]),
        (IceLite::Forward, &["forward", "offer", "fwd", "fw"]),
        (
            IceLite::Backward,
            &[
                "backward",
                "backwards",
                "reverse",
                "answer",
                "back",
                "bkw",
                "bk",
            ],
        ),
        (IceLite::Both, &["both"]),
    ] {
        for word in words {
            assert_eq!(lite(word), Some(is_lite), "{word}");
        }
    }
}

#[test]
fn rtpp_flags_directions_and_transports() {
    let request = string("internal external third direction=x transport-protocol=RTP/SAVP");
    assert_eq!(
        request.direction,
        [Some("internal".into()), Some("external".into())]
    );
    assert_eq!(request.transport_protocol, Some(TransportProtocol::RtpSavp));
    assert_eq!(ignored(&request), ["third", "x"]);
    assert_eq!(string("transport-protocol=accept").transport_protocol, None);
    assert_eq!(
        string("UDP/TLS/RTP/SAVPF").transport_protocol,
        Some(TransportProtocol::UdpTlsRtpSavpf)
    );
}

#[test]
fn templates_then_keys() {
    let templates: Templates = [
        (
            "default",
            "ICE=remove label=default direction=a direction=b",
        ),
        ("offer", "label=offer template=deep"),
        ("deep", "replace-origin template=deep"),
        ("own", "media-address=192.0.2.1"),
    ]
    .into_iter()
    .collect();
    let dict = offer()
        .with("template", "own")
        .with("ICE", "force")
        .with("template", "none");
    let request = try_parse(&dict, &templates).unwrap();
    assert_eq!(request.ice.mode, Some(IceMode::Force));
    assert_eq!(request.label, Some(Label::from("offer")));
    assert_eq!(request.direction[1].as_deref(), Some("b"));
    assert_eq!(request.media_address, Some([192, 0, 2, 1].into()));
    assert!(request.replace.origin);
    assert_eq!(
        request.ignored.last().map(|i| (i.what, &*i.text)),
        Some((What::Template, "none"))
    );
    let ping = try_parse(&Dict::new().with("command", "ping"), &templates).unwrap();
    assert!(ping.label.is_none() && ping.ignored.is_empty());
    assert_eq!(
        templates.check("lable=x").unwrap()[0].nearest(),
        Some("label")
    );
}

#[test]
fn sdp_manipulations_are_the_only_errors() {
    let attr = |section: &'static str, rules: Value| {
        let dict = offer().with("sdp-attr", Dict::new().with(section, rules));
        try_parse(&dict, &Templates::new())
            .map_err(ParseError::reason)
            .map(|r| r.sdp_attr)
    };
    let add = |items| Value::from(Dict::new().with("add", items));
    assert!(attr("none", add(list(&["x"]))).is_ok());
    assert_eq!(
        attr("radio", add(list(&["x"]))),
        Err(errors::UNSUPPORTED_SECTION)
    );
    assert_eq!(attr("audio", 5.into()), Err(errors::WRONG_CONTENT));
    assert_eq!(
        attr("audio", Dict::new().with("swap", "x").into()),
        Err(errors::UNKNOWN_MANIPULATION)
    );
    let pair = Dict::new().with("substitute", list(&["nothing"]));
    assert_eq!(attr("audio", pair.into()), Err(errors::INVALID_TOKEN));
    for key in ["sdp-attr", "sdp-media-remove"] {
        let wrong = try_parse(&offer().with(key, 5), &Templates::new()).unwrap_err();
        assert_eq!(wrong.reason(), errors::WRONG_TYPE);
    }
    // A value cannot smuggle a line into the SDP.
    let sneaky = attr("audio", add(list(&["a=x\r\nc=IN IP4 192.0.2.1"]))).unwrap();
    assert_eq!(sneaky.section(SdpSection::Audio).unwrap().add, ["x"]);
}

#[test]
fn transform_destinations() {
    let with = |destination: Dict| {
        let media = Dict::new()
            .with("id", "1")
            .with("codec", list(&["PCMA"]))
            .with("destination", destination);
        let dict = Dict::new()
            .with("command", "transform")
            .with("media", Value::List(vec![media.into()]));
        try_parse(&dict, &Templates::new()).map(|r| r.rare.medias[0].destination)
    };
    let good = Dict::new()
        .with("family", "IP4")
        .with("address", "192.0.2.1")
        .with("port", "9");
    assert_eq!(with(good), Ok(Some("192.0.2.1:9".parse().unwrap())));
    let bare = Dict::new().with("address", "192.0.2.1").with("port", 9);
    assert_eq!(
        with(bare),
        Err(ParseError::Destination(errors::DESTINATION_WITHOUT_FAMILY))
    );
    let mixed = Dict::new()
        .with("family", "IP6")
        .with("address", "192.0.2.1")
        .with("port", 9);
    assert_eq!(
        with(mixed),
        Err(ParseError::Destination(errors::DESTINATION_UNPARSABLE))
    );
}

#[test]
fn commands_with_keys_of_their_own() {
    let limit = parse(&Dict::new().with("command", "list").with("limit", "-1"));
    assert_eq!(limit.limit, Some(-1));
    let query = parse(
        &Dict::new()
            .with("unknown", 1)
            .with("command", "query")
            .with("call-id", "c"),
    );
    assert!(query.call_id.is_some() && query.ignored.is_empty());
    let cli = parse(
        &Dict::new()
            .with("command", "CLI")
            .with("body", "list totals"),
    );
    assert_eq!(cli.rare.body.as_deref(), Some("list totals"));
    let stop = parse(
        &Dict::new()
            .with("command", "stop recording")
            .with("pause", "yes"),
    );
    assert!(stop.recording.pause);
    let dtmf = parse(
        &Dict::new()
            .with("command", "play DTMF")
            .with("code", 11)
            .with("pause", 120),
    );
    assert_eq!(
        (dtmf.dtmf.digit.as_deref(), dtmf.dtmf.pause),
        (Some("11"), Some(120))
    );
    assert!(!dtmf.recording.pause);
    for (dict, error) in [
        (Dict::new(), ParseError::NoCommand),
        (Dict::new().with("command", 1), ParseError::NoCommand),
        (
            Dict::new().with("command", "Offer"),
            ParseError::UnknownCommand,
        ),
    ] {
        assert_eq!(try_parse(&dict, &Templates::new()).unwrap_err(), error);
    }
}

#[test]
fn missing_keys_are_reported_in_order() {
    let mut dict = offer();
    let offer_error = |dict: &Dict| parse(dict).require_offer().err();
    assert_eq!(offer_error(&dict), Some(errors::NO_SDP));
    dict.push("sdp", "v=0");
    assert_eq!(offer_error(&dict), Some(errors::NO_CALL_ID));
    dict.push("call-id", "c");
    assert_eq!(offer_error(&dict), Some(errors::NO_FROM_TAG));
    dict.push("from-tag", "f");
    assert_eq!(offer_error(&dict), None);
}

#[test]
fn json_requests_are_the_same_requests() {
    let dict = offer()
        .with("flags", list(&["trust-address", "rtcp-mux-accept"]))
        .with("TOS", 5)
        .with("codec", Dict::new().with("transcode", "opus"));
    let bytes = dict.to_json();
    let tape = json::decode(&bytes, 100).unwrap();
    let from_json = Request::parse(tape.root(), &Templates::new()).unwrap();
    assert_eq!(format!("{from_json:?}"), format!("{:?}", parse(&dict)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_string_of_flags_returns(text in "[a-zA-Z0-9=\\[\\] .:;,/_-]{0,120}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for flags in [text.as_bytes(), &bytes] {
            let templates: Templates = [("default", flags)].into_iter().collect();
            let dict = offer().with("flags", flags).with("rtpp-flags", flags).with("template", "default");
            let _ = try_parse(&dict, &templates);
        }
    }

    #[test]
    fn any_value_of_any_key_returns(at in 0..key::RequestKey::SPELLINGS.len(), value in bencode::tests::values()) {
        let dict = offer().with(key::RequestKey::SPELLINGS[at], value);
        let _ = try_parse(&dict, &Templates::new());
    }
}
