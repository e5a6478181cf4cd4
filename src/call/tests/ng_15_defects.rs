//! ng-protocol §15: what the reference does wrong, done right.

use super::*;

const HOST: &str = "198.51.100.10";
const OTHER: &str = "198.51.100.20";

#[test]
fn malformed_json_is_an_error() {
    for text in ["{\"a", "{", "{\"a\":}", "{\"command\":\"ping\"", "{]"] {
        let (request, encoding) = read_request(text.as_bytes(), &Templates::new());
        assert_eq!(
            request.unwrap_err(),
            "Failed to parse JSON document",
            "{text}"
        );
        assert_eq!(encoding, Encoding::Json);
    }
}

#[test]
fn bare_transport_tokens_are_honoured() {
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
        inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\n";
    let secure = audio(HOST, 2000, crypto).replace("RTP/AVP", "RTP/SAVP");
    for (sdp, tokens, expected) in [
        (audio(HOST, 2000, ""), "SRTP", " RTP/SAVP "),
        (audio(HOST, 2000, ""), "AVPF", " RTP/AVPF "),
        (audio(HOST, 2000, ""), "SRTP AVPF", " RTP/SAVPF "),
        (audio(HOST, 2000, ""), "RTP/SAVPF", " RTP/SAVPF "),
        (audio(HOST, 2000, ""), "DTLS AVPF", " UDP/TLS/RTP/SAVPF "),
        (
            audio(HOST, 2000, ""),
            "UDP/TLS/RTP/SAVP",
            " UDP/TLS/RTP/SAVP ",
        ),
        (secure.clone(), "RTP/AVP", " RTP/AVP "),
        (secure, "RTP AVP", " RTP/AVP "),
    ] {
        let mut bench = Bench::new();
        let shown = bench.sdp(offer(&sdp).with("rtpp-flags", tokens));
        assert!(shown.contains(expected), "{tokens}: {shown}");
    }
}

#[test]
fn an_offer_that_cannot_be_read_leaves_no_call() {
    let mut bench = Bench::new();
    let reply = bench.ask(offer("garbage"));
    assert_eq!(said(&reply), "Failed to parse SDP");
    assert!(reply.get("sdp").is_none());
    assert_eq!(bench.calls.count(), 0);
    assert_eq!(said(&bench.ask(command("query"))), "Unknown call-id");
    // One that was there before goes on.
    bench.sdp(offer(&audio(HOST, 2000, "")));
    assert_eq!(said(&bench.ask(offer("garbage"))), "Failed to parse SDP");
    assert_eq!((bench.calls.count(), bench.leased()), (1, 4));
}

#[test]
fn medias_that_are_all_turned_down_are_no_error() {
    let mut bench = Bench::new();
    let text = bench.sdp(offer(&audio(HOST, 0, "")));
    assert!(text.contains("\nm=audio 0 RTP/AVP 8\n"), "{text}");
    assert_eq!(bench.leased(), 0);
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    let text = bench.sdp(answer(&audio(OTHER, 0, "")));
    assert!(text.contains("\nm=audio 0 RTP/AVP 8\n"), "{text}");
    assert_eq!((bench.calls.count(), bench.leased()), (1, 0));
    // And back again.
    let text = bench.sdp(offer(&audio(HOST, 2000, "")).with("to-tag", "T"));
    assert_ne!(port(&text, 0), 0);
}

#[test]
fn play_dtmf_has_a_level_of_8_without_volume() {
    let mut bench = Bench::new();
    let events = "a=rtpmap:101 telephone-event/8000\n";
    let sdp = |host, port| audio(host, port, events).replace("AVP 8", "AVP 8 101");
    bench.sdp(offer(&sdp(HOST, 2000)));
    bench.sdp(answer(&sdp(OTHER, 3000)));
    let play = command("play DTMF").with("from-tag", "F").with("code", "1");
    assert_eq!(said(&bench.ask(play)), "ok");
    assert_eq!(bench.books.played.lock().unwrap()[0].volume, 8);
}

#[test]
fn session_lines_are_kept() {
    let mut bench = Bench::new();
    let lines = "a=rtcp-fb:* nack\na=group:LS 1\nb=X-YZ:128\nr=7d 1h 0 25h\nk=prompt\n";
    let text = audio(HOST, 2000, "a=mid:1\n");
    // In the order of RFC 8866: b=, t=, r=, k=, a=.
    let text = text.replace(
        "t=0 0\n",
        "b=X-YZ:128\nt=0 0\nr=7d 1h 0 25h\nk=prompt\na=group:LS 1\n",
    );
    let text = text.replace("a=group:LS 1\n", "a=group:LS 1\na=rtcp-fb:* nack\n");
    let shown = bench.sdp(offer(&text));
    for line in lines.lines() {
        assert!(shown.contains(&format!("\n{line}\n")), "{line}: {shown}");
    }
}

#[test]
fn optional_candidates_never_wrap() {
    // Two addresses, and candidates of the lowest priorities.
    let ice = "a=ice-ufrag:uuuu\na=ice-pwd:pppppppppppppppppppppp\n\
        a=candidate:1 1 udp 1 198.51.100.10 2000 typ host\n\
        a=candidate:1 2 udp 1 198.51.100.10 2001 typ host\n";
    let mut bench = Bench::on(
        &[
            ("default", "203.0.113.1", None),
            ("default", "203.0.113.2", None),
        ],
        30_000,
        39_999,
    );
    let shown = bench.sdp(offer(&audio(HOST, 2000, ice)).with("ICE", "optional"));
    let ours: Vec<u32> = shown
        .lines()
        .filter(|line| line.starts_with("a=candidate:") && line.contains(" 203.0.113."))
        .map(|line| line.split(' ').nth(3).unwrap().parse().unwrap())
        .collect();
    assert!(!ours.is_empty(), "{shown}");
    assert!(ours.iter().all(|&priority| priority < 1 << 24), "{shown}");
    assert_eq!(ours.iter().min(), Some(&1));
}
