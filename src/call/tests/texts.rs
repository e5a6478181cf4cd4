//! What a call keeps of the SDPs of its parties, and for how long.

use std::sync::Weak;

use super::*;

/// Serves a request; gives back its SDP, as long as somebody else keeps it.
fn serve(bench: &mut Bench, request: Dict) -> Weak<[u8]> {
    let (request, _) = read_request(&request.to_bencode(), &Templates::new());
    let request = request.unwrap();
    let text = Arc::downgrade(request.sdp.as_ref().unwrap().shared());
    let source = "127.0.0.1:2222".parse().unwrap();
    let reply = bench
        .calls
        .serve(&request, source, bench.now, &mut bench.rng);
    assert!(!reply.is_error());
    text
}

fn is_kept(text: &Weak<[u8]>) -> bool {
    text.strong_count() > 0
}

const ICE: &str = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n\
    a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host\n";
const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const KEY: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n";

/// SDPs with all that a call takes over from them.
fn kinds() -> Vec<String> {
    let hash = "AA:".repeat(31) + "AA";
    let dtls = format!(
        "a=setup:actpass\na=fingerprint:sha-256 {hash}\na=tls-id:{}\n",
        "e".repeat(32)
    );
    vec![
        "m=audio 2000 RTP/AVP 8 0 101\na=rtpmap:101 telephone-event/8000\na=mid:x\na=ptime:20\n"
            .to_owned(),
        format!("m=audio 2000 RTP/SAVP 8\n{KEY}"),
        format!(
            "a=group:BUNDLE a v\nm=audio 2000 UDP/TLS/RTP/SAVPF 111\na=rtpmap:111 opus/48000/2\n\
             a=mid:a\na=extmap:1 urn:x\na=extmap:2 {MID}\na=rtcp-mux\n{dtls}{ICE}\
             m=video 2000 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=mid:v\na=extmap:1 urn:x\na=extmap:2 {MID}\n\
             a=rtcp-mux\n{dtls}{ICE}"
        ),
        "m=image 2000 udptl t38\nm=audio 2002 x/y 1 2\nm=foo 2004 RTP/AVP 8\n".to_owned(),
    ]
}

/// Every SDP is another one.
fn numbered_party(number: u32, host: &str, lines: &str) -> String {
    party(host, lines)
        .replace("o=- 1 1", &format!("o=me {number} {number}"))
        .replace("s=-", &format!("s=session {number}"))
}

#[test]
fn a_call_keeps_the_text_of_the_request_until_the_next_one() {
    let mut number = 0;
    let mut next = |host: &str, lines: &str| {
        number += 1;
        numbered_party(number, host, lines)
    };
    for lines in kinds() {
        let mut bench = Bench::new();
        let replace = || strings(&["origin", "session-name", "sdp-version", "username"]);
        let mut last: Option<[Weak<[u8]>; 2]> = None;
        for round in 0..4 {
            let mut offered = offer(&next("198.51.100.10", &lines));
            let mut answered = answer(&next("198.51.100.20", &lines));
            // The other side offers every second time.
            if round % 2 == 1 {
                offered = offer(&next("198.51.100.20", &lines));
                offered.set("from-tag", "T");
                offered.set("to-tag", "F");
                answered = answer(&next("198.51.100.10", &lines));
                answered.set("from-tag", "T");
                answered.set("to-tag", "F");
            }
            let offered = offered
                .with("BUNDLE", strings(&["accept"]))
                .with("replace", replace());
            let texts = [
                serve(&mut bench, offered),
                serve(&mut bench, answered.with("replace", replace())),
            ];
            assert!(texts.iter().all(is_kept), "{round} {lines}");
            if let Some(before) = last {
                assert_eq!(
                    before.map(|text| text.strong_count()),
                    [0, 0],
                    "{round} {lines}"
                );
            }
            last = Some(texts);
        }
        bench.ask(command("delete").with("delete-delay", 0));
        let left = last.map(|texts| texts.map(|text| text.strong_count()));
        assert_eq!(left, Some([0, 0]), "{lines}");
    }
}

#[test]
fn so_do_publishers_and_subscribers() {
    for lines in kinds() {
        let mut bench = Bench::new();
        let mut last: Option<[Weak<[u8]>; 2]> = None;
        for number in 0..3 {
            let publish = command("publish")
                .with("from-tag", "P")
                .with("codec", Dict::new().with("accept", strings(&["any"])))
                .with(
                    "sdp",
                    numbered_party(number, "198.51.100.30", &lines).replace('\n', "\r\n"),
                );
            let published = serve(&mut bench, publish);
            bench.sdp(
                command("subscribe request")
                    .with("from-tag", "P")
                    .with("to-tag", "S"),
            );
            let accept = command("subscribe answer").with("to-tag", "S").with(
                "sdp",
                numbered_party(number, "198.51.100.40", &lines).replace('\n', "\r\n"),
            );
            let texts = [published, serve(&mut bench, accept)];
            assert!(texts.iter().all(is_kept), "{lines}");
            if let Some(before) = last {
                assert_eq!(
                    before.map(|text| text.strong_count()),
                    [0, 0],
                    "{number} {lines}"
                );
            }
            last = Some(texts);
        }
    }
}
