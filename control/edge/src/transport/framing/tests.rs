use proptest::prelude::*;

use super::*;

const REQUEST: &str = "OPTIONS sip:a SIP/2.0\r\nVia: x\r\nContent-Length : 4\r\n\r\nbody";
const RESPONSE: &str = "SIP/2.0 200 OK\r\nl:0\r\n\r\n";

fn drain(framing: &mut Framing) -> Result<Vec<Framed>, FramingError> {
    let mut all = Vec::new();
    while let Some(framed) = framing.next()? {
        all.push(framed);
    }
    Ok(all)
}

fn message(text: &str) -> Framed {
    Framed::Message(text.as_bytes().into())
}

fn limits() -> Limits {
    Limits {
        stream_message_bytes: 1000,
        ..Limits::default()
    }
}

fn sip() -> Framing {
    Framing::sip(limits(), "192.0.2.1:5060".parse().unwrap())
}

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..126) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    bytes
}

#[test]
fn messages_come_out_wherever_the_stream_is_cut() {
    let stream = format!("\r\n\r\n{REQUEST}{RESPONSE}\r\n{REQUEST}");
    for cut in 0..=stream.len() {
        let mut framing = sip();
        let mut all = Vec::new();
        for part in [&stream[..cut], &stream[cut..]] {
            framing.push(part.as_bytes());
            all.extend(drain(&mut framing).unwrap());
        }
        let ping = Framed::Ping(b"\r\n"[..].into());
        let expected = [ping, message(REQUEST), message(RESPONSE), message(REQUEST)];
        assert_eq!(all, expected, "{cut}");
        assert!(!framing.is_incomplete());
    }
}

#[test]
fn a_message_is_incomplete_from_its_first_byte() {
    let mut framing = sip();
    framing.push(b"\r\n");
    assert_eq!(drain(&mut framing), Ok(Vec::new()));
    assert!(!framing.is_incomplete(), "half a ping is no message");
    framing.push(b"O");
    assert_eq!(drain(&mut framing), Ok(Vec::new()));
    assert!(framing.is_incomplete());
}

#[test]
fn a_request_that_breaks_the_stream_comes_with_its_refusal() {
    let mut framing = sip();
    framing.push(
        b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\n\
          To: <sip:b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n",
    );
    let Err(FramingError::Sip { error, response }) = drain(&mut framing) else {
        panic!("it goes on");
    };
    assert_eq!(error, FrameError::NoContentLength);
    assert!(response.unwrap().starts_with(b"SIP/2.0 400 "));
    assert_eq!(drain(&mut framing), Ok(Vec::new()));
}

#[test]
fn frames_are_messages_in_text_binary_or_parts() {
    let mut framing = Framing::web_socket(limits());
    framing.push(&masked(0x81, REQUEST.as_bytes()));
    framing.push(&masked(0x82, RESPONSE.as_bytes()));
    framing.push(&masked(0x01, b"OPT"));
    framing.push(&masked(0x89, b"hello"));
    assert_eq!(
        drain(&mut framing).unwrap(),
        [
            message(REQUEST),
            message(RESPONSE),
            Framed::Ping(b"\x8a\x05hello"[..].into())
        ]
    );
    assert!(framing.is_incomplete());
    framing.push(&masked(0x80, b"IONS"));
    assert_eq!(drain(&mut framing).unwrap(), [message("OPTIONS")]);
    framing.push(&masked(0x88, b"\x03\xe8bye"));
    assert_eq!(
        drain(&mut framing).unwrap(),
        [Framed::Close(b"\x88\x02\x03\xe8"[..].into())]
    );
}

#[test]
fn frames_that_break_the_protocol_end_it() {
    let too_long = masked(0x81, &[b'x'; 1001]);
    let parts = [masked(0x01, &[b'x'; 600]), masked(0x80, &[b'x'; 600])].concat();
    for (frame, error) in [
        (b"\x81\x01x".to_vec(), FramingError::WebSocket),
        (masked(0xc1, b"x"), FramingError::WebSocket),
        (masked(0x80, b"x"), FramingError::WebSocket),
        (masked(0x09, b"x"), FramingError::WebSocket),
        (masked(0x83, b"x"), FramingError::WebSocket),
        (masked(0x89, &[0; 126]), FramingError::TooLong(126)),
        (too_long, FramingError::TooLong(1001)),
        (parts, FramingError::TooLong(600)),
    ] {
        let mut framing = Framing::web_socket(limits());
        framing.push(&frame);
        assert_eq!(drain(&mut framing), Err(error), "{:x?}", &frame[..2]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic_or_pile_up(
        parts in prop::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                Just(masked(0x81, REQUEST.as_bytes())),
                (any::<u8>(), any::<Vec<u8>>()).prop_map(|(first, payload)| masked(first, &payload)),
            ],
            0..6,
        ),
    ) {
        any_frames(&parts.concat());
    }
}
