//! Conversion of audio between ffmpeg on both sides: what one speaks in G.711, the other hears in
//! another codec, and back.

use std::net::SocketAddr;
use std::time::Duration;

use windlass_ng::{Dict, Value};

use crate::common::phone::{Phone, answer, offer};
use crate::common::process::{Process, Relay};
use crate::common::{TempDir, ffmpeg, has_program, sdp, tone};

/// A codec as `transcode` names it, what ffmpeg calls its encoder if it sends it, and the tone that is
/// spoken.
struct Codec {
    name: &'static str,
    encoder: Option<&'static str>,
    hertz: usize,
    /// So much of the power that is heard is the tone's: codecs for speech add noise to it.
    least: f64,
}

const CODECS: [Codec; 4] = [
    Codec {
        name: "G722",
        encoder: Some("g722"),
        hertz: 400,
        least: 0.99,
    },
    Codec {
        name: "opus",
        encoder: Some("libopus"),
        hertz: 600,
        least: 0.9,
    },
    Codec {
        name: "GSM",
        encoder: None,
        hertz: 800,
        least: 0.6,
    },
    Codec {
        name: "PCMU",
        encoder: Some("pcm_mulaw"),
        hertz: 1000,
        least: 0.99,
    },
];

/// Speaks from one port to another, under a payload type.
fn speak(
    directory: &TempDir,
    name: &str,
    (encoder, hertz, payload_type): (&str, usize, &str),
    [from, to]: [SocketAddr; 2],
) -> Process {
    let (rate, size) = match encoder {
        "g722" => ("16000", 172),
        "libopus" => ("48000", 1200),
        _ => ("8000", 172),
    };
    let tone = format!("sine=frequency={hertz}:sample_rate={rate}:duration=4,volume=4");
    let url = format!(
        "rtp://127.0.0.1:{}?localport={}&pkt_size={size}",
        to.port(),
        from.port()
    );
    let arguments = [
        "-re",
        "-f",
        "lavfi",
        "-i",
        &tone,
        "-c:a",
        encoder,
        "-ar",
        rate,
        "-ac",
        "1",
        "-payload_type",
        payload_type,
        "-f",
        "rtp",
        &url,
    ];
    ffmpeg::run(directory, &format!("speaks-{name}"), &arguments)
}

/// Writes what comes to the port of an SDP with one codec.
fn listen(directory: &TempDir, name: &str, sdp: &str) -> Process {
    let file = directory.file(&format!("{name}.sdp"), sdp);
    let (file, heard) = (file.to_string_lossy(), format!("{name}.raw"));
    let mut arguments = ffmpeg::OF_SDP.to_vec();
    arguments.extend([
        "-i", &file, "-t", "1.5", "-f", "s16le", "-ar", "8000", "-ac", "1", &heard,
    ]);
    ffmpeg::run(directory, &format!("hears-{name}"), &arguments)
}

fn heard_it(directory: &TempDir, name: &str, (hertz, least): (usize, f64), mut listener: Process) {
    let status = listener.wait(Duration::from_secs(20));
    assert!(status.success(), "{name}: {}", listener.log());
    let heard = std::fs::read(directory.path().join(format!("{name}.raw"))).unwrap();
    println!("{name}");
    tone::is_heard_by(&heard, hertz, least);
}

/// An audio line with one codec, as ffmpeg wants it.
fn one_codec(at: SocketAddr, number: &str, encoding: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {} RTP/AVP {number}\r\na=rtpmap:{number} {encoding}\r\n",
        at.port()
    )
}

#[test]
fn each_side_hears_the_other_in_its_own_codec() {
    if !has_program(ffmpeg::FFMPEG) {
        return;
    }
    let relay = Relay::start("");
    let directory = TempDir::new("transcoding");
    let reply = |request| {
        let reply = relay.ask(request).unwrap();
        reply.get_str("sdp").unwrap().to_owned()
    };
    let mut running = Vec::new();
    let mut listeners = Vec::new();
    for codec in &CODECS {
        let [caller, callee] = std::array::from_fn(|_| Phone::new("127.0.0.1").address());
        let options = Dict::new()
            .with("transcode", Value::List(vec![codec.name.into()]))
            .with("mask", Value::List(vec!["all".into()]));
        let request = offer(codec.name, &one_codec(caller, "8", "PCMA/8000"));
        let asymmetric = || Value::List(vec!["asymmetric".into()]);
        let request = request.with("codec", options);
        let offered = reply(request.with("flags", asymmetric()));
        let encoding = offered.lines().find_map(|line| {
            let (number, encoding) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            let (name, _) = encoding.split_once('/')?;
            name.eq_ignore_ascii_case(codec.name)
                .then_some((number, encoding))
        });
        let (number, encoding) = encoding.unwrap_or_else(|| panic!("{}: {offered}", codec.name));
        assert!(!offered.contains("PCMA"), "{offered}");
        let request = answer(codec.name, &one_codec(callee, number, encoding));
        let answered = reply(request.with("flags", asymmetric()));
        assert!(answered.contains(" RTP/AVP 8\r\n"), "{answered}");

        let [there, back] = [
            format!("{}-there", codec.name),
            format!("{}-back", codec.name),
        ];
        let heard = listen(&directory, &there, &one_codec(callee, number, encoding));
        listeners.push((there.clone(), (codec.hertz, codec.least), heard));
        if codec.encoder.is_some() {
            let heard = listen(&directory, &back, &one_codec(caller, "8", "PCMA/8000"));
            listeners.push((back.clone(), (codec.hertz + 200, codec.least), heard));
        }
        // ffmpeg listens and speaks in two processes, which cannot share a port: it speaks from
        // another one of the same host, and media goes where the SDP says all the same.
        let from: [SocketAddr; 2] = std::array::from_fn(|_| Phone::new("127.0.0.1").address());
        running.push(speak(
            &directory,
            &there,
            ("pcm_alaw", codec.hertz, "8"),
            [from[0], sdp::address(&answered, 0)],
        ));
        if let Some(encoder) = codec.encoder {
            running.push(speak(
                &directory,
                &back,
                (encoder, codec.hertz + 200, number),
                [from[1], sdp::address(&offered, 0)],
            ));
        }
    }
    for (name, tone, listener) in listeners {
        heard_it(&directory, &name, tone, listener);
    }
    for codec in &CODECS {
        let query = Dict::new()
            .with("command", "query")
            .with("call-id", codec.name);
        let text = String::from_utf8(relay.ask(query).unwrap().to_json()).unwrap();
        assert!(text.contains("\"transcoding\""), "{text}");
    }
}
