use proptest::prelude::*;

use super::super::frame::{Frame, FrameError, Framer};
use super::super::properties;
use super::corpus;
use super::*;

fn framer() -> Framer {
    Framer::new(Limits::default(), "192.0.2.7:5060".parse().unwrap())
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut framer = framer();
    framer.push(bytes);
    std::iter::from_fn(|| framer.poll()).collect()
}

fn message(length: &str, body: &str) -> String {
    request(&format!("Content-Length: {length}\r\n")) + body
}

fn refusal(bytes: &[u8]) -> (FrameError, String) {
    let Some(Frame::Refused { error, response }) = frames(bytes).pop() else {
        panic!("not refused");
    };
    let line = response.unwrap_or_default();
    let line = String::from_utf8_lossy(&line)
        .lines()
        .next()
        .unwrap_or("")
        .to_owned();
    (error, line)
}

#[test]
fn messages_and_pings_in_their_order() {
    let (first, second) = (message("3", "abc"), message("0", ""));
    let text = format!("\r\n{first}\r\n\r\n{second}{first}\r\n\r\n\r\n\r\n\r\n");
    let whole = |text: &str| Frame::Message(text.as_bytes().into());
    let expected = [
        whole(&first),
        Frame::Ping,
        whole(&second),
        whole(&first),
        Frame::Ping,
        Frame::Ping,
    ];
    assert_eq!(frames(text.as_bytes()), expected);
    // However it is split.
    for at in 0..text.len() {
        let mut framer = framer();
        let mut seen = Vec::new();
        for half in [&text[..at], &text[at..]] {
            framer.push(half.as_bytes());
            seen.extend(std::iter::from_fn(|| framer.poll()));
        }
        assert_eq!(seen, expected, "split at {at}");
    }
}

#[test]
fn a_message_is_partial_from_its_first_byte_to_its_last() {
    let text = message("2", "ab");
    let mut framer = framer();
    framer.push(b"\r\n");
    assert_eq!((framer.poll(), framer.is_partial()), (None, false));
    let (last, rest) = text.as_bytes().split_last().unwrap();
    for byte in rest {
        framer.push(&[*byte]);
        assert_eq!((framer.poll(), framer.is_partial()), (None, true));
    }
    framer.push(&[*last]);
    assert!(matches!(framer.poll(), Some(Frame::Message(_))));
    assert!(!framer.is_partial());
}

#[test]
fn content_length_decides() {
    assert_eq!(
        refusal(request("").as_bytes()),
        (
            FrameError::NoContentLength,
            "SIP/2.0 400 Bad Content-Length".into()
        )
    );
    for length in ["-999", "x", "", "1 2", "1\r\n 2"] {
        let (error, line) = refusal(message(length, "").as_bytes());
        assert_eq!(error, FrameError::ContentLength, "{length}");
        assert_eq!(line, "SIP/2.0 400 Bad Content-Length", "{length}");
    }
    let twice = |a, b| message(a, "").replace("\r\n\r\n", &format!("\r\nl:\r\n {b}\r\n\r\nab"));
    assert_eq!(
        refusal(twice("5", "13").as_bytes()).0,
        FrameError::ContentLength
    );
    assert!(matches!(
        frames(twice("2", "02").as_bytes())[..],
        [Frame::Message(_)]
    ));
    for length in ["262144", "18446744073709551615"] {
        let (error, line) = refusal(message(length, "").as_bytes());
        assert_eq!(error, FrameError::TooLarge(262_144));
        assert_eq!(line, "SIP/2.0 513 Message Too Large");
    }
    let no_way_back = message("x", "").replace("Call-ID: c1\r\n", "");
    assert_eq!(
        refusal(no_way_back.as_bytes()),
        (FrameError::ContentLength, String::new())
    );
    let response =
        message("x", "").replacen("INVITE sip:bob@example.com SIP/2.0", "SIP/2.0 200 OK", 1);
    assert_eq!(
        refusal(response.as_bytes()),
        (FrameError::ContentLength, String::new())
    );
}

#[test]
fn what_is_no_sip_is_refused_at_its_first_line() {
    for text in ["GET / HTTP/1.1\r\n", "\n\n\r\n", "\u{16}\u{3}\u{1}\r\n"] {
        assert_eq!(refusal(text.as_bytes()).0, FrameError::NotSip, "{text:?}");
    }
    assert_eq!(refusal(&[b'a'; 8_193]).0, FrameError::NotSip);
    let endless = request("").trim_end().to_owned() + "\r\n" + &"X: 1\r\n".repeat(11_000);
    assert_eq!(
        refusal(endless.as_bytes()).0,
        FrameError::HeadTooLarge(65_536)
    );
}

#[test]
fn a_broken_stream_stays_broken() {
    let mut framer = framer();
    framer.push(message("x", "").as_bytes());
    assert!(matches!(framer.poll(), Some(Frame::Refused { .. })));
    framer.push(message("0", "").as_bytes());
    assert_eq!(
        (framer.poll(), framer.is_partial(), framer.buffered()),
        (None, false, 0)
    );
}

#[test]
fn a_byte_at_a_time_is_searched_once() {
    let long = request(&format!(
        "X: {}\r\nContent-Length: 20000\r\n",
        "a".repeat(8_000)
    ));
    let text = format!("{long}{}", "b".repeat(20_000)).repeat(2);
    let mut framer = framer();
    let mut messages = 0;
    for byte in text.as_bytes() {
        framer.push(&[*byte]);
        while framer.poll().is_some() {
            messages += 1;
        }
        assert!(framer.buffered() <= text.len() / 2);
    }
    assert_eq!((messages, framer.examined), (2, 2 * long.len()));
}

#[test]
fn torture_messages_on_a_stream() {
    let fate = |name: &str| {
        let bytes = corpus::RFC4475
            .iter()
            .find(|c| c.name == name)
            .unwrap()
            .bytes;
        let mut framer = framer();
        framer.push(bytes);
        let frames: Vec<_> = std::iter::from_fn(|| framer.poll()).collect();
        (frames, framer.is_partial())
    };
    let (frames, partial) = fate("clerr");
    assert!(frames.is_empty() && partial, "waits, then its owner closes");
    for name in ["ncl", "mcl01"] {
        let (frames, _) = fate(name);
        let [
            Frame::Refused {
                response: Some(response),
                ..
            },
        ] = &frames[..]
        else {
            panic!("{name}: {frames:?}");
        };
        assert!(response.starts_with(b"SIP/2.0 400 "), "{name}");
    }
    let (frames, _) = fate("dblreq");
    assert!(matches!(&frames[0], Frame::Message(m) if m.starts_with(b"REGISTER ")));
}

proptest! {
    #[test]
    fn streams_hold_their_properties(parts in prop::collection::vec(prop_oneof![
        Just("\r\n\r\n".to_owned()),
        Just("\r\n".to_owned()),
        "[a-z\r\n]{0,5}",
        (0..9usize, "[a-z\r\n]{0,9}").prop_map(|(length, body)| message(&length.to_string(), &body)),
    ], 0..6)) {
        properties::stream(parts.concat().as_bytes());
    }
}
