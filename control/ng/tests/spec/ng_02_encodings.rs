//! ng-protocol §2: encodings, and how lenient their values are.

use super::*;
use windlass_ng::Encoding;
use windlass_ng::request::Tos;

fn outcome(payload: &[u8]) -> (Result<Request, &'static str>, Encoding) {
    read_request(payload, &Templates::new())
}

#[test]
fn the_first_byte_selects() {
    let rows: [(&[u8], Result<(), &str>, Encoding); 11] = [
        (b"d7:command4:pinge", Ok(()), Encoding::Bencode),
        (b"{\"command\":\"ping\"}", Ok(()), Encoding::Json),
        (b"", Err("Invalid data (no payload)"), Encoding::Bencode),
        (b"x", Err("Invalid NG data format"), Encoding::Bencode),
        (
            b" d7:command4:pinge",
            Err("Invalid NG data format"),
            Encoding::Bencode,
        ),
        (
            b"l4:pinge",
            Err("Invalid NG data format"),
            Encoding::Bencode,
        ),
        (
            b"d7:command4:ping",
            Err("Could not decode bencode dictionary"),
            Encoding::Bencode,
        ),
        (
            b"{\"a",
            Err("Failed to parse JSON document"),
            Encoding::Json,
        ),
        (
            b"de",
            Err("Dictionary contains no key \"command\""),
            Encoding::Bencode,
        ),
        (
            b"{}",
            Err("Dictionary contains no key \"command\""),
            Encoding::Json,
        ),
        (
            b"d7:command3:xxxe",
            Err("Unrecognized command"),
            Encoding::Bencode,
        ),
    ];
    for (payload, expected, encoding) in rows {
        let (request, found) = outcome(payload);
        assert_eq!(request.map(drop), expected, "{}", payload.escape_ascii());
        assert_eq!(found, encoding, "{}", payload.escape_ascii());
    }
}

#[test]
fn bencode_is_read_leniently() {
    // Unsorted and duplicate keys, what follows the end, binary strings, negative numbers.
    let text = b"d7:command6:delete7:call-id1:a7:call-id1:b5:flagsl5:fatale5:flagsl4:faste\
        12:delete-delayi-5e8:from-tag3:\x00\xff ejunk";
    let request = outcome(text).0.unwrap();
    assert_eq!(request.call_id.unwrap().as_bytes(), b"b");
    assert_eq!(request.from_tag.unwrap().as_bytes(), b"\x00\xff ");
    assert!(request.flags.fatal() && request.flags.fast());
    assert_eq!(request.delete_delay, None);
}

#[test]
fn json_means_the_same() {
    let text = br#" {"command":"offer","sdp":"v=0\r\n","TOS":12,"flags":["fatal",1,null,{"a":[]}],
        "ICE":"force,trickle","delete-delay":"0","generate-RTCP":true,"call-id":"\u00e4"}"#;
    assert!(outcome(text).0.is_err(), "a space first is no JSON");
    let request = outcome(text.trim_ascii_start()).0.unwrap();
    assert_eq!(request.sdp.as_deref(), Some(&b"v=0\r\n"[..]));
    assert_eq!(request.tos, Tos::Set(12));
    assert!(request.flags.fatal() && request.ice.trickle && request.ice.mode.is_some());
    assert_eq!(request.delete_delay, Some(std::time::Duration::ZERO));
    assert_eq!(request.generate_rtcp, Some(true));
    assert_eq!(request.call_id.unwrap().as_bytes(), "ä".as_bytes());
}

#[test]
fn numbers_may_be_strings() {
    type Row = (&'static str, fn(&Request) -> i64);
    let rows: [Row; 14] = [
        ("delete-delay", |r| {
            r.delete_delay.map_or(-1, |delay| delay.as_secs() as i64)
        }),
        ("ptime", |r| r.ptime.map_or(-1, i64::from)),
        ("ptime-reverse", |r| r.ptime_reverse.map_or(-1, i64::from)),
        ("SIP-code", |r| r.sip_code),
        ("recording-media-slot-offer", |r| r.recording.slot_offer),
        ("recording-media-slot-answer", |r| r.recording.slot_answer),
        ("recording-media-slots", |r| r.recording.slots),
        ("T38-version", |r| r.t38.version.unwrap_or(-1)),
        ("trigger-end-time", |r| {
            r.dtmf.trigger_end_time.unwrap_or(-1)
        }),
        ("trigger-end-digits", |r| {
            r.dtmf.trigger_end_digits.unwrap_or(-1)
        }),
        ("delay-buffer", |r| r.dtmf.delay_buffer.unwrap_or(-1)),
        ("DTMF-delay", |r| r.dtmf.delay.unwrap_or(-1)),
        ("volume", |r| r.dtmf.volume.unwrap_or(-1)),
        ("repeat-times", |r| r.play.repeat_times.unwrap_or(-1)),
    ];
    for (key, field) in rows {
        assert_eq!(field(&read(&offer().with(key, 7))), 7, "{key}");
        assert_eq!(field(&read(&offer().with(key, "7"))), 7, "{key}");
        // What cannot be read leaves what was there.
        let before = offer().with(key, 7);
        assert_eq!(field(&read(&before.clone().with(key, "x"))), 7, "{key}");
        assert_eq!(field(&read(&before.with(key, list(&["9"])))), 7, "{key}");
    }
    for (value, tos) in [(-1, Tos::Unchanged), (0, Tos::Set(0)), (255, Tos::Set(255))] {
        assert_eq!(read(&offer().with("TOS", value)).tos, tos);
        assert_eq!(read(&offer().with("TOS", value.to_string())).tos, tos);
    }
    assert_eq!(read(&offer().with("TOS", 256)).tos, Tos::Default);
    assert_eq!(read(&offer()).tos, Tos::Default);
}

#[test]
fn lists_may_be_strings_with_commas() {
    type Row = (&'static str, [&'static str; 2], fn(&Request) -> bool);
    let rows: [Row; 14] = [
        ("flags", ["fatal", "fast"], |r| {
            r.flags.fatal() && r.flags.fast()
        }),
        ("replace", ["origin", "username"], |r| {
            r.replace.origin && r.replace.username
        }),
        ("ICE", ["force", "trickle"], |r| {
            r.ice.mode.is_some() && r.ice.trickle
        }),
        ("rtcp-mux", ["offer", "accept"], |r| {
            r.rtcp_mux.offer && r.rtcp_mux.accept
        }),
        ("SDES", ["pad", "lifetime"], |r| {
            r.sdes.pad && r.sdes.lifetime
        }),
        ("DTLS", ["off", "passive"], |r| {
            r.dtls.off && r.dtls.role.is_some()
        }),
        ("DTLS-reverse", ["off", "passive"], |r| {
            r.dtls.off && r.dtls.role.is_some()
        }),
        ("OSRTP", ["offer", "accept"], |r| {
            r.osrtp.offer && r.osrtp.accept
        }),
        ("T38", ["decode", "FEC"], |r| r.t38.decode && r.t38.fec),
        ("T.38", ["decode", "FEC"], |r| r.t38.decode && r.t38.fec),
        ("BUNDLE", ["accept", "offer"], |r| {
            r.bundle.accept && r.bundle.offer
        }),
        ("supports", ["x", "load limit"], |r| r.supports_load_limit),
        ("from-tags", ["a", "b"], |r| r.from_tags.len() == 2),
        ("calls", ["a", "b"], |r| r.rare.calls.len() == 2),
    ];
    for (key, words, holds) in rows {
        let values = [
            list(&words),
            Value::from(words.join(",")),
            Value::List(vec![
                1.into(),
                words[0].into(),
                Dict::new().into(),
                words[1].into(),
            ]),
        ];
        for value in values {
            assert!(
                holds(&read(&offer().with(key, value.clone()))),
                "{key}: {value:?}"
            );
        }
        // Lists accumulate over duplicate keys.
        let twice = offer().with(key, words[0]).with(key, words[1]);
        assert!(holds(&read(&twice)), "{key}");
    }
    for name in [
        "strip",
        "offer",
        "except",
        "ignore",
        "transcode",
        "mask",
        "accept",
        "consume",
    ] {
        for value in [list(&["PCMU", "PCMA"]), "PCMU,PCMA".into()] {
            let request = read(&offer().with("codec", Dict::new().with(name, value)));
            let codec = format!("{:?}", request.codec);
            assert!(
                codec.contains("PCMU") && codec.contains("PCMA"),
                "{name}: {codec}"
            );
        }
    }
}

#[test]
fn what_is_of_the_wrong_type_is_ignored() {
    for key in ["codec", "moh", "extmap"] {
        for value in [Value::Int(5), "x".into(), list(&["x"])] {
            let request = read(&offer().with(key, value));
            assert!(request.codec.is_empty() && request.moh.is_none());
            assert!(request.extmap.strip.is_empty());
        }
    }
    for value in [Value::Int(5), "x".into(), list(&["x"])] {
        assert_eq!(refused(&offer().with("sdp-attr", value)), "wrong type used");
    }
}

#[test]
fn names_of_things_keep_their_case() {
    let dict = offer()
        .with("from-tag", "TaG")
        .with("label", "LaBeL")
        .with("interface", "ExT")
        .with("call-id", "CaLl");
    let request = read(&dict);
    assert_eq!(request.from_tag.unwrap().as_bytes(), b"TaG");
    assert_eq!(request.label.unwrap().as_bytes(), b"LaBeL");
    assert_eq!(request.interface.as_deref(), Some("ExT"));
    assert_eq!(request.call_id.unwrap().as_bytes(), b"CaLl");
}

#[test]
fn commands_are_exact() {
    for name in [
        "ping",
        "offer",
        "answer",
        "delete",
        "query",
        "list",
        "start recording",
        "stop recording",
        "pause recording",
        "start forwarding",
        "stop forwarding",
        "block DTMF",
        "unblock DTMF",
        "block media",
        "unblock media",
        "play media",
        "stop media",
        "play DTMF",
        "statistics",
        "silence media",
        "unsilence media",
        "publish",
        "subscribe request",
        "subscribe answer",
        "unsubscribe",
        "inject start",
        "inject stop",
        "connect",
        "cli",
        "CLI",
        "transform",
        "create",
        "create answer",
        "mesh",
    ] {
        let request = read(&command(name));
        assert!(request.command.name().eq_ignore_ascii_case(name), "{name}");
    }
    for name in [
        "Ping",
        "OFFER",
        "start-recording",
        "block dtmf",
        "offer ",
        "Cli",
        "",
    ] {
        let dict = Dict::new().with("command", name);
        assert_eq!(refused(&dict), "Unrecognized command", "{name}");
    }
}
