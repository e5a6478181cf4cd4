use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<SessionDescription, ParseError> {
    SessionDescription::parse(
        text.replace('\n', "\r\n").as_bytes(),
        ParseOptions::default(),
    )
}

const PLAIN: &str = "v=0
o=alice 1545997027 1 IN IP4 198.51.100.10
s=call
c=IN IP4 198.51.100.10
t=0 0
m=audio 2000 RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
a=foo:bar
";

/// Prints what was parsed, as a relay that changes nothing would.
fn reprint(sdp: &SessionDescription) -> Vec<u8> {
    let mut session = write::Session::carried_from(sdp);
    for media in &sdp.media {
        let body = if media.transport.is_rtp() {
            write::Body::Rtp(Box::new(write::RtpBody {
                codecs: media.codecs.clone(),
                extmap_allow_mixed: media.extmap_allow_mixed,
                extmaps: media.extmaps.clone(),
                attributes: media.attributes.clone(),
                direction: Some(sdp.direction_of(media)),
                rtcp: media.rtcp.map(|rtcp| (rtcp.port, rtcp.address)),
                rtcp_mux: media.rtcp_mux,
                keying: media.keying.clone(),
                ptime: media.ptime.clone(),
                maxptime: media.maxptime.clone(),
            }))
        } else {
            write::Body::Verbatim(media.verbatim.clone())
        };
        session.media.push(write::Media {
            kind: media.kind.clone(),
            port: media.port,
            transport: media.transport.clone(),
            formats: match media.transport.is_rtp() {
                true => write::format_list(&media.codecs),
                false => media.formats.clone(),
            },
            info: media.info.clone(),
            connection: sdp.address_of(media),
            bandwidth: media.bandwidth.clone(),
            mid: media.mid.clone(),
            label: media.label.clone(),
            body,
        });
    }
    session.to_bytes()
}

#[test]
fn a_plain_offer_is_understood() {
    let sdp = parse(PLAIN).unwrap();
    let media = &sdp.media[0];
    assert_eq!(sdp.address_of(media).unwrap().to_string(), "198.51.100.10");
    assert_eq!(
        (media.port, media.transport.clone()),
        (2000, Transport::RtpAvp)
    );
    let names: Vec<String> = media.codecs.iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names, ["PCMA", "PCMU", "telephone-event"]);
    assert_eq!(media.codecs[2].fmtp.as_ref().unwrap().to_string(), "0-15");
    assert_eq!(media.attributes, [Text::from("foo:bar")]);
}

#[test]
fn syntax_errors_name_the_line() {
    let cases = [
        ("", 1, Reason::NoEquals),
        ("v=1\n", 1, Reason::Version),
        ("v=0\no=a b c IN IP4\n", 2, Reason::Origin),
        ("v=0\nx=1\n", 2, Reason::LineType),
        ("v=0\nhello\n", 2, Reason::NoEquals),
        ("v=0\nc=IN IP4 nowhere\n", 2, Reason::Connection),
        ("v=0\nc=IN IP6 192.0.2.1\n", 2, Reason::Connection),
        ("v=0\nm=audio 70000 RTP/AVP 0\n", 2, Reason::Media),
        ("v=0\nm=audio 7000/11 RTP/AVP 0\n", 2, Reason::Media),
        (
            "v=0\nm=audio 7000 RTP/AVP 0\ns=late\n",
            3,
            Reason::Misplaced,
        ),
        ("v=0\nm=audio 7000 RTP/AVP 128\n", 2, Reason::PayloadType),
        ("v=0\nm=audio 7000 RTP/AVP pcmu\n", 2, Reason::PayloadType),
        (
            "v=0\nc=IN IP4 192.0.2.1\nc=IN IP4 192.0.2.2\n",
            3,
            Reason::Duplicate,
        ),
    ];
    for (text, line, reason) in cases {
        let error = parse(text).unwrap_err();
        if !text.is_empty() {
            assert_eq!(error, ParseError { line, reason }, "{text:?}");
        }
    }
    assert!(
        parse("v=0\nm=audio 7000 RTP/AVP 128\n")
            .unwrap_err()
            .is_incomplete()
    );
    assert!(parse("v=0\nm=audio 0 RTP/AVP none\n").is_ok());
}

#[test]
fn reading_stops_at_the_first_empty_line() {
    let sdp = parse("v=0\ns=x\n\nnot sdp at all\n").unwrap();
    assert_eq!(sdp.name, Text::from("x"));
    let strict = ParseOptions {
        reject_invalid: true,
        ..ParseOptions::default()
    };
    assert!(SessionDescription::parse(b"v=0\r\n\r\nx\r\n", strict).is_err());
    assert!(SessionDescription::parse(b"v=0\r\ns=-\r\n", strict).is_ok());
}

#[test]
fn bad_attributes_are_left_out_silently() {
    let sdp = parse(
        "v=0\nm=audio 9000 RTP/AVP 96\na=rtpmap:96 opus\na=rtcp:x\na=extmap:0 urn:a\n\
         a=extmap:15 urn:b\na=extmap:256 urn:c\na=extmap:3/recvonly urn:d\na=candidate:bogus\n",
    )
    .unwrap();
    let media = &sdp.media[0];
    assert!(media.codecs[0].name.is_empty());
    assert_eq!(media.rtcp, None);
    assert_eq!(media.extmaps, [Text::from("3/recvonly urn:d")]);
    assert!(media.attributes.is_empty());
}

#[test]
fn the_stronger_direction_of_a_level_counts() {
    let of = |attributes: &str| {
        let sdp = parse(&format!(
            "v=0\na=sendonly\nm=audio 9 RTP/AVP 0\n{attributes}"
        ))
        .unwrap();
        sdp.direction_of(&sdp.media[0])
    };
    assert_eq!(of(""), Direction::SendOnly);
    assert_eq!(
        of("a=inactive\na=recvonly\na=sendonly\n"),
        Direction::RecvOnly
    );
    assert_eq!(of("a=inactive\n"), Direction::Inactive);
}

#[test]
fn limits_are_named() {
    let many_medias = format!("v=0\n{}", "m=audio 9 RTP/AVP 0\n".repeat(10_000));
    let error = parse(&many_medias).unwrap_err();
    assert!(error.to_string().contains("m= lines"), "{error}");
    let candidates = "a=candidate:1 1 UDP 1 192.0.2.1 9 typ host\n".repeat(100_000);
    let error = parse(&format!("v=0\nm=audio 9 RTP/AVP 0\n{candidates}")).unwrap_err();
    assert!(matches!(error.reason, Reason::TooMuch { .. }));
}

#[test]
fn bytes_that_are_no_utf8_are_carried() {
    let text = b"v=0\r\no=\xff 1 1 IN IP4 192.0.2.1\r\ns=\xe9\x01\r\nt=0 0\r\na=x:\x80\r\n";
    let sdp = SessionDescription::parse(text, ParseOptions::default()).unwrap();
    assert_eq!(reprint(&sdp), text);
}

#[test]
fn bytes_that_another_parser_may_stop_at_are_refused() {
    for inside in ["a=x\ra=y", "a=x\0y", "s\r=", "\r"] {
        let text = format!("v=0\r\ns=-\r\n{inside}\r\na=z\r\n");
        let refused = SessionDescription::parse(text.as_bytes(), ParseOptions::default());
        let refused = refused.unwrap_err();
        assert_eq!((refused.line, refused.reason), (3, Reason::ControlByte));
    }
}

#[test]
fn a_line_that_makes_no_sense_does_not_undo_one_that_did() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\na=rtpmap:8 X/1\na=mid:s\n\
                a=ptime:10\nm=audio 4000 RTP/AVP 97\nc=IN IP4 192.0.2.1\n\
                a=rtpmap:97 iLBC/8000\na=fmtp:97 mode=20\na=fmtp:97 mode=30\n\
                a=ptime:20\na=ptime:x\n";
    let sdp = parse(text).unwrap();
    assert!(
        sdp.attributes.is_empty(),
        "media lines on the session level"
    );
    let media = &sdp.media[0];
    assert_eq!(media.ptime, Some("20".into()));
    assert_eq!(media.codecs[0].fmtp, Some("mode=20".into()));
}

#[test]
fn each_part_holds_for_its_own_medias() {
    let part = |address: &str, direction: &str| {
        format!(
            "v=0\no=- 1 1 IN IP4 {address}\ns=-\nc=IN IP4 {address}\nt=0 0\n{direction}\
             m=audio 4000 RTP/AVP 8\n"
        )
    };
    let text = part("192.0.2.1", "a=sendonly\n") + &part("192.0.2.2", "");
    let sdp = parse(&text).unwrap();
    let of = |index: usize| {
        let media = &sdp.media[index];
        (
            sdp.address_of(media).unwrap().to_string(),
            sdp.direction_of(media),
        )
    };
    assert_eq!(of(0), ("192.0.2.1".to_owned(), Direction::SendOnly));
    assert_eq!(of(1), ("192.0.2.2".to_owned(), Direction::SendRecv));
}

#[test]
fn other_transports_are_copied_whole() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\nm=image 4000 udptl t38\n\
                c=IN IP4 192.0.2.1\na=T38FaxVersion:0\na=mid:1\na=T38MaxBitRate:14400\n";
    let sdp = parse(text).unwrap();
    assert_eq!(reprint(&sdp), text.replace('\n', "\r\n").as_bytes());
}

proptest! {
    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = SessionDescription::parse(&bytes, ParseOptions::default());
        let mut with_start = b"v=0\r\n".to_vec();
        with_start.extend_from_slice(&bytes);
        let _ = SessionDescription::parse(&with_start, ParseOptions::default());
    }

    #[test]
    fn mutated_lines_never_panic(
        line in 0usize..11, cut in 0usize..40, junk in "[ -~]{0,12}"
    ) {
        let lines: Vec<String> = PLAIN.lines().enumerate().map(|(i, text)| {
            if i == line {
                let keep: String = text.chars().take(cut).collect();
                format!("{keep}{junk}")
            } else {
                text.to_owned()
            }
        }).collect();
        if let Ok(sdp) = parse(&lines.join("\n")) {
            let once = reprint(&sdp);
            let again = SessionDescription::parse(&once, ParseOptions::default());
            if let Ok(again) = again {
                prop_assert_eq!(reprint(&again), once);
            }
        }
    }

    #[test]
    fn parse_write_parse_is_stable(
        name in "[a-zA-Z0-9 ]{0,10}",
        port in 1u16..,
        payload_types in prop::collection::btree_set(0u8..128, 1..8),
        attributes in prop::collection::vec("[a-z]{1,8}(:[ -~]{0,12})?", 0..6),
        muxed in any::<bool>(),
    ) {
        let formats: Vec<String> = payload_types.iter().map(u8::to_string).collect();
        let mut text = format!(
            "v=0\no=- 1 1 IN IP6 2001:db8::1\ns={name}\nt=0 0\nm=audio {port} RTP/AVP {}\n\
             c=IN IP6 2001:db8::1\n", formats.join(" "));
        for attribute in attributes {
            text.push_str(&format!("a={attribute}\n"));
        }
        if muxed {
            text.push_str("a=rtcp-mux\n");
        }
        let first = reprint(&parse(&text).unwrap());
        let second = SessionDescription::parse(&first, ParseOptions::default()).unwrap();
        prop_assert_eq!(reprint(&second), first);
    }
}
