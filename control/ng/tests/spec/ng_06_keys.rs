//! ng-protocol §6: the keys of a request, their spellings and values.

use super::*;
use std::net::IpAddr;
use std::time::Duration;

use windlass_ng::request::{MohMode, PartyAddress, RecordCall};

/// A key, a value, and what it has to do.
pub(super) type Row = (&'static str, &'static str, fn(&Request) -> bool);

/// Checks every row in every spelling of its key, that it does nothing by itself, and that nothing
/// of it is ignored.
pub(super) fn check(rows: &[Row]) {
    for (key, value, holds) in rows {
        assert!(!holds(&read(&offer())), "{key} holds without being given");
        for spelling in spellings(key) {
            let request = read(&offer().with(spelling.clone(), *value));
            assert!(holds(&request), "{spelling}: {value}");
            assert!(request.ignored.is_empty(), "{:?}", request.ignored);
        }
        // As part of a string of flags, where spaces and brackets mean something else.
        if !value.contains([' ', '[']) {
            let request = string(&format!("{key}={value}"));
            assert!(holds(&request), "rtpp-flags {key}={value}");
        }
    }
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

#[test]
fn names() {
    check(&[
        ("call-id", "a b", |r| {
            r.call_id.as_ref().is_some_and(|id| id.as_bytes() == b"a b")
        }),
        ("from-tag", "x", |r| {
            r.from_tag
                .as_ref()
                .is_some_and(|tag| tag.as_bytes() == b"x")
        }),
        ("to-tag", "x", |r| {
            r.to_tag.as_ref().is_some_and(|tag| tag.as_bytes() == b"x")
        }),
        ("via-branch", "x", |r| r.via_branch.is_some()),
        ("sdp", "v=0", |r| r.sdp.is_some()),
        ("label", "x", |r| r.label.is_some()),
        ("from-label", "x", |r| r.label.is_some()),
        ("set-label", "x", |r| r.set_label.is_some()),
        ("to-label", "x", |r| r.rare.to_label.is_some()),
        ("from-tags", "x", |r| r.from_tags.len() == 1),
        ("source-tag", "x", |r| r.rare.source_tag.is_some()),
        ("source-call-id", "x", |r| r.rare.source_call_id.is_some()),
        ("to-call-id", "x", |r| r.rare.to_call_id.is_some()),
        ("calls", "x", |r| r.rare.calls.len() == 1),
        ("instance", "x", |r| r.rare.instance.is_some()),
        ("metadata", "k:v|l:w", |r| {
            r.metadata.as_deref() == Some("k:v|l:w")
        }),
        ("interface", "x", |r| r.interface.as_deref() == Some("x")),
        ("from-interface", "x", |r| {
            r.direction[0].as_deref() == Some("x")
        }),
        ("to-interface", "x", |r| {
            r.direction[1].as_deref() == Some("x")
        }),
    ]);
}

#[test]
fn addresses() {
    check(&[
        ("media-address", "192.0.2.1", |r| {
            r.media_address == ip("192.0.2.1")
        }),
        ("media-address", "2001:db8::1", |r| {
            r.media_address == ip("2001:db8::1")
        }),
        ("media-address", "[2001:db8::1]", |r| {
            r.media_address == ip("2001:db8::1")
        }),
        ("received-from", "192.0.2.1", |r| {
            r.received_from == ip("192.0.2.1")
        }),
        ("inbound-peer", "192.0.2.1", |r| {
            r.direction_peer[0] == ip("192.0.2.1")
        }),
        ("outbound-peer", "192.0.2.1", |r| {
            r.direction_peer[1] == ip("192.0.2.1")
        }),
        ("peer", "192.0.2.1", |r| r.interface_peer == ip("192.0.2.1")),
        ("xmlrpc-callback", "192.0.2.1", |r| {
            r.rare.xmlrpc_callback == ip("192.0.2.1")
        }),
        ("address", "192.0.2.1", |r| {
            r.rare.address == ip("192.0.2.1").map(PartyAddress::At)
        }),
        ("address", "here", |r| {
            r.rare.address == Some(PartyAddress::Unreadable)
        }),
        ("DTMF-log-dest", "192.0.2.1:99", |r| {
            r.dtmf.log_destination.is_some()
        }),
    ]);
    for (value, expected) in [
        (list(&["IP4", "192.0.2.1"]), ip("192.0.2.1")),
        (list(&["IP6", "2001:db8::1"]), ip("2001:db8::1")),
        (list(&[]), None),
        (list(&["IP4", "nowhere"]), None),
    ] {
        assert_eq!(
            read(&offer().with("received-from", value)).received_from,
            expected
        );
    }
}

#[test]
fn recording() {
    check(&[
        ("record-call", "yes", |r| {
            r.recording.record_call == Some(RecordCall::Start)
        }),
        ("record-call", "on", |r| {
            r.recording.record_call == Some(RecordCall::Start)
        }),
        ("record-call", "no", |r| {
            r.recording.record_call == Some(RecordCall::Stop)
        }),
        ("record-call", "off", |r| {
            r.recording.record_call == Some(RecordCall::Stop)
        }),
        ("record-call", "discard", |r| {
            r.recording.record_call == Some(RecordCall::Discard)
        }),
        ("recording-file", "f", |r| {
            r.recording.file.as_deref() == Some("f")
        }),
        ("output-destination", "f", |r| {
            r.recording.file.as_deref() == Some("f")
        }),
        ("output-file", "f", |r| {
            r.recording.file.as_deref() == Some("f")
        }),
        ("recording-dest", "f", |r| {
            r.recording.file.as_deref() == Some("f")
        }),
        ("recording-destination", "f", |r| {
            r.recording.file.as_deref() == Some("f")
        }),
        ("recording-dir", "d", |r| {
            r.recording.dir.as_deref() == Some("d")
        }),
        ("recording-path", "d", |r| {
            r.recording.dir.as_deref() == Some("d")
        }),
        ("output-dir", "d", |r| {
            r.recording.dir.as_deref() == Some("d")
        }),
        ("recording-pattern", "p", |r| {
            r.recording.pattern.as_deref() == Some("p")
        }),
        ("output-pattern", "p", |r| {
            r.recording.pattern.as_deref() == Some("p")
        }),
        ("vsc-start-rec", "*1", |r| r.recording.vsc.start.is_some()),
        ("vsc-stop-rec", "*1", |r| r.recording.vsc.stop.is_some()),
        ("vsc-start-stop-rec", "*1", |r| {
            r.recording.vsc.start_stop.is_some()
        }),
        ("vsc-pause-rec", "*1", |r| r.recording.vsc.pause.is_some()),
        ("vsc-pause-resume-rec", "*1", |r| {
            r.recording.vsc.pause_resume.is_some()
        }),
        ("vsc-start-pause-resume-rec", "*1", |r| {
            r.recording.vsc.start_pause_resume.is_some()
        }),
    ]);
    // These words are compared to the letter.
    for word in ["YES", "1", "true", "start"] {
        let request = read(&offer().with("record-call", word));
        assert_eq!(request.recording.record_call, None, "{word}");
        assert_eq!(ignored(&request), [word]);
    }
    for (word, pauses) in [("yes", true), ("on", true), ("true", true), ("no", false)] {
        let request = read(&command("stop recording").with("pause", word));
        assert_eq!(request.recording.pause, pauses, "{word}");
    }
    let by_flag = read(&command("stop recording").with("flags", list(&["pause"])));
    assert!(by_flag.recording.pause);
}

#[test]
fn digits_and_players() {
    check(&[
        ("trigger", "11", |r| r.dtmf.trigger.is_some()),
        ("trigger-end", "11", |r| r.dtmf.trigger_end.is_some()),
        ("end-trigger", "11", |r| r.dtmf.trigger_end.is_some()),
        ("trigger-end-time", "11", |r| {
            r.dtmf.trigger_end_time == Some(11)
        }),
        ("trigger-end-digits", "11", |r| {
            r.dtmf.trigger_end_digits == Some(11)
        }),
        ("delay-buffer", "11", |r| r.dtmf.delay_buffer == Some(11)),
        ("DTMF-delay", "11", |r| r.dtmf.delay == Some(11)),
        ("digit", "#", |r| r.dtmf.digit.as_deref() == Some("#")),
        ("code", "#", |r| r.dtmf.digit.as_deref() == Some("#")),
        ("volume", "-11", |r| r.dtmf.volume == Some(-11)),
        ("frequency", "400", |r| r.dtmf.frequencies == [400]),
        ("frequencies", "400,800", |r| {
            r.dtmf.frequencies == [400, 800]
        }),
        ("duration", "300", |r| r.dtmf.duration == Some(300)),
        ("pause", "300", |r| r.dtmf.pause == Some(300)),
        ("file", "f", |r| r.play.file.is_some()),
        ("blob", "f", |r| r.play.blob.is_some()),
        ("blob64", "f", |r| r.play.blob64.is_some()),
        ("db-id", "5", |r| r.play.db_id == Some(5)),
        ("repeat-times", "5", |r| r.play.repeat_times == Some(5)),
        ("repeat-duration", "5", |r| {
            r.play.repeat_duration == Some(5)
        }),
        ("start-pos", "5", |r| r.play.start_pos == Some(5)),
    ]);
    let tones = Value::List(vec![400.into(), "800".into()]);
    assert_eq!(
        read(&offer().with("frequencies", tones)).dtmf.frequencies,
        [400, 800]
    );
    assert_eq!(
        read(&offer().with("code", 11)).dtmf.digit.as_deref(),
        Some("11")
    );
    for (mode, expected) in [
        ("sendonly", MohMode::Sendonly),
        ("sendrecv", MohMode::Sendrecv),
        ("reflect", MohMode::Reflect),
    ] {
        let moh = Dict::new()
            .with("file", "f")
            .with("mode", mode)
            .with("connection", "zero");
        let moh = read(&offer().with("moh", moh)).moh.unwrap();
        assert_eq!((moh.mode, moh.zero_connection), (Some(expected), true));
        assert_eq!(moh.source.file.as_deref(), Some("f"));
    }
}

#[test]
fn the_two_interfaces() {
    for (value, expected) in [
        (list(&["a", "b"]), [Some("a"), Some("b")]),
        (list(&["a"]), [Some("a"), None]),
        (list(&["a", "b", "c"]), [Some("a"), Some("b")]),
    ] {
        let direction = read(&offer().with("direction", value)).direction;
        assert_eq!([direction[0].as_deref(), direction[1].as_deref()], expected);
    }
}

#[test]
fn delays() {
    for (value, expected) in [
        (Value::Int(0), Some(Duration::ZERO)),
        (Value::Int(7), Some(Duration::from_secs(7))),
        (Value::from("7"), Some(Duration::from_secs(7))),
        (Value::Int(-1), None),
    ] {
        for key in ["delete-delay", "delete delay"] {
            let request = read(&command("delete").with(key, value.clone()));
            assert_eq!(request.delete_delay, expected);
        }
    }
}

#[test]
fn header_extensions() {
    let extmap = Dict::new()
        .with("strip", list(&["urn:a", "all"]))
        .with("mask", "urn:b");
    let request = read(&offer().with("extmap", extmap));
    assert_eq!(request.extmap.strip, ["urn:a", "all"]);
    assert_eq!(request.extmap.mask, ["urn:b"]);
}

#[test]
fn medias() {
    let input = Dict::new()
        .with("codec", "opus")
        .with("payload type", 97)
        .with("clock rate", "48000")
        .with("channels", 2)
        .with("format", "f=1")
        .with("options", "o=1");
    let output = Dict::new().with("codec", "PCMA");
    let codec = Dict::new().with("input", input).with("output", output);
    for (list_key, codec_key) in [("medias", "codec"), ("media", "codecs")] {
        let media = Dict::new()
            .with("type", "audio")
            .with("id", "1")
            .with(
                codec_key,
                Value::List(vec!["PCMU/8000".into(), codec.clone().into()]),
            )
            .with(
                "destination",
                Dict::new()
                    .with("family", "IP6")
                    .with("address", "::1")
                    .with("port", 9),
            );
        let dict = command("transform").with(list_key, Value::List(vec![media.into()]));
        let media = read(&dict).rare.medias.remove(0);
        assert_eq!(
            (media.kind.as_deref(), media.id.as_deref()),
            (Some("audio"), Some("1"))
        );
        assert_eq!(media.destination, Some("[::1]:9".parse().unwrap()));
        assert_eq!(media.codecs[0].input.spec.clock_rate, Some(8000));
        let input = &media.codecs[1].input;
        assert_eq!((&*input.spec.name, input.payload_type), ("opus", Some(97)));
        assert_eq!(
            (input.spec.clock_rate, input.spec.channels),
            (Some(48_000), Some(2))
        );
        assert_eq!((&*input.spec.format, &*input.spec.options), ("f=1", "o=1"));
        assert_eq!(media.codecs[1].output.as_ref().unwrap().spec.name, "PCMA");
    }
}

#[test]
fn meshes() {
    let entry = Dict::new().with("from", "a").with("to", list(&["b", "c"]));
    let request = read(&command("mesh").with("tags", Value::List(vec![entry.into()])));
    assert_eq!(request.rare.tags[0].from.as_bytes(), b"a");
    assert_eq!(request.rare.tags[0].to.len(), 2);
    let entry = Dict::new().with("to", list(&["b"]));
    let nameless = command("mesh").with("tags", Value::List(vec![entry.into()]));
    assert_eq!(refused(&nameless), "Empty/missing from-tag");
}

#[test]
fn what_is_unknown_is_ignored_and_told() {
    let dict = offer()
        .with("repacketize", 20)
        .with("flags", list(&["nothing-like-it"]))
        .with("ICE", list(&["lukewarm"]))
        .with("media-echo", "loudly")
        .with("template", "none");
    let expected = [
        "repacketize",
        "nothing-like-it",
        "lukewarm",
        "loudly",
        "none",
    ];
    assert_eq!(ignored(&read(&dict)), expected);
}
