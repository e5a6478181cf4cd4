//! sdp-rewriting §1: what is read, what is refused and what is overlooked, as a proxy sees it.

use super::*;
use crate::flow::Component;

const HEAD: &str = "v=0\no=- 1 1 IN IP4 198.51.100.10\ns=-\nc=IN IP4 198.51.100.10\nt=0 0\n";
const MEDIA: &str = "m=audio 2000 RTP/AVP 8\n";

/// `ok`, or why an offer is refused.
fn outcome(sdp: &str) -> String {
    let reply = Bench::new().ask(offer(sdp));
    let reason = reply
        .get_str("error-reason")
        .or_else(|| reply.get_str("result"));
    reason.unwrap().to_owned()
}

fn shown(sdp: &str) -> String {
    Bench::new().sdp(offer(sdp))
}

/// The m= section that is shown for these lines of one.
fn shown_media(lines: &str) -> String {
    let sdp = shown(&format!("{HEAD}{lines}"));
    sdp[sdp.find("m=").unwrap()..].to_owned()
}

const REFUSED: &str = "Failed to parse SDP";
const INCOMPLETE: &str = "Incomplete SDP specification";

#[test]
fn the_first_line_is_v_0() {
    for first in [
        "v=1",
        "v=00",
        "v=",
        "v=0 ",
        "V=0",
        "o=- 1 1 IN IP4 192.0.2.1",
    ] {
        let sdp = format!("{HEAD}{MEDIA}").replacen("v=0", first, 1);
        assert_eq!(outcome(&sdp), REFUSED, "{first}");
    }
}

#[test]
fn lines_have_a_known_letter_and_an_equals_sign() {
    for line in ["x=1", "A=foo", "n=1", "foo", "a", "a:foo", " a=foo"] {
        let sdp = format!("{HEAD}{line}\n{MEDIA}");
        assert_eq!(outcome(&sdp), REFUSED, "{line}");
    }
    for line in ["k=clear:x", "r=7d 1h 0", "z=0 0", "i=", "a="] {
        let sdp = format!("{HEAD}{line}\n{MEDIA}");
        assert_eq!(outcome(&sdp), "ok", "{line}");
    }
}

#[test]
fn session_lines_do_not_follow_an_m_line() {
    for line in [
        "o=- 1 1 IN IP4 192.0.2.1",
        "s=x",
        "t=0 0",
        "u=x",
        "e=x",
        "p=x",
    ] {
        assert_eq!(
            outcome(&format!("{HEAD}{MEDIA}{line}\n")),
            REFUSED,
            "{line}"
        );
    }
    for line in ["i=x", "b=AS:1", "k=clear:x", "a=x", "c=IN IP4 192.0.2.1"] {
        assert_eq!(outcome(&format!("{HEAD}{MEDIA}{line}\n")), "ok", "{line}");
    }
}

#[test]
fn origin_and_connection_stand_once_on_a_level() {
    let again = |line: &str| HEAD.replace(line, &format!("{line}{line}"));
    let doubled = again("o=- 1 1 IN IP4 198.51.100.10\n");
    assert_eq!(outcome(&format!("{doubled}{MEDIA}")), REFUSED);
    let doubled = again("c=IN IP4 198.51.100.10\n");
    assert_eq!(outcome(&format!("{doubled}{MEDIA}")), REFUSED);
    let own = "c=IN IP4 192.0.2.7\n";
    assert_eq!(outcome(&format!("{HEAD}{MEDIA}{own}{own}")), REFUSED);
    assert_eq!(outcome(&format!("{HEAD}{MEDIA}{own}")), "ok");
}

#[test]
fn an_origin_has_six_tokens_and_any_address() {
    let with =
        |origin: &str| format!("{HEAD}{MEDIA}").replace("o=- 1 1 IN IP4 198.51.100.10", origin);
    assert_eq!(outcome(&with("o=- 1 1 IN IP4")), REFUSED);
    for origin in ["o=- 1 1 IN IP4 host.invalid", "o=x 1 1 XX YY ?"] {
        let sdp = shown(&with(origin));
        assert!(sdp.contains(&format!("\n{origin}\n")), "{sdp}");
    }
}

#[test]
fn a_connection_is_an_internet_address() {
    for (connection, expected) in [
        ("c=IN IP4 192.0.2.1", "ok"),
        ("c=in IP4 192.0.2.1", "ok"),
        ("c=IN IP6 2001:db8::7", "ok"),
        ("c=ATM NSAP 47", REFUSED),
        ("c=IN IP4 host.invalid", REFUSED),
        ("c=IN IP4", REFUSED),
    ] {
        let sdp = format!("{HEAD}{MEDIA}").replace("c=IN IP4 198.51.100.10", connection);
        assert_eq!(outcome(&sdp), expected, "{connection}");
    }
}

#[test]
fn reading_stops_at_an_empty_line() {
    let sdp = shown(&format!("{HEAD}{MEDIA}\nthis is no SDP\n"));
    assert_eq!(sdp.matches("m=").count(), 1, "{sdp}");
    // A media behind it would be lost without a word.
    let cut = format!("{HEAD}{MEDIA}\nthis is no SDP\nm=video 2002 RTP/AVP 96\n");
    let reply = Bench::new().ask(offer(&cut));
    assert!(said(&reply).starts_with("Failed to parse SDP"), "{reply:?}");
}

#[test]
fn lines_may_end_in_lf_alone() {
    let mut request = offer(MEDIA);
    request.set("sdp", format!("{HEAD}{MEDIA}a=foo\n"));
    let sdp = Bench::new().sdp(request);
    assert!(sdp.contains("\na=foo\na=sendrecv\n"), "{sdp}");
}

#[test]
fn a_second_version_line_starts_a_part_whose_name_counts() {
    let second = HEAD
        .replace("o=- 1 1", "o=- 2 2")
        .replace("s=-", "s=second")
        .replace("c=IN IP4 198.51.100.10", "c=IN IP4 198.51.100.11")
        .replace("t=0 0", "t=1 2");
    let mut bench = Bench::new();
    let sdp = bench.sdp(offer(&format!(
        "{HEAD}{MEDIA}{second}m=audio 2002 RTP/AVP 0\n"
    )));
    assert!(
        sdp.starts_with("v=0\no=- 1 1 IN IP4 198.51.100.10\ns=second\nt=1 2\nm=audio "),
        "{sdp}"
    );
    assert_eq!(
        (sdp.matches("m=").count(), sdp.matches("v=").count()),
        (2, 1)
    );
    let flows = bench.books.flows.lock().unwrap();
    let signalled = |address: &str| {
        let address = address.parse().unwrap();
        let mut flows = flows.values();
        flows.any(|(flow, _)| flow.peer.signalled == Some(address))
    };
    assert!(signalled("198.51.100.10:2000") && signalled("198.51.100.11:2002"));
}

#[test]
fn ports_and_their_count_have_bounds() {
    for (port, expected) in [
        ("65535", "ok"),
        ("65536", REFUSED),
        ("-1", REFUSED),
        ("x", REFUSED),
        ("2000/1", "ok"),
        ("2000/10", "ok"),
        ("2000/0", REFUSED),
        ("2000/11", REFUSED),
    ] {
        let sdp = format!("{HEAD}{MEDIA}").replace("2000", port);
        assert_eq!(outcome(&sdp), expected, "{port}");
    }
}

#[test]
fn rtp_has_payload_types_of_seven_bits() {
    for (media, expected) in [
        ("m=audio 2000 RTP/AVP 127", "ok"),
        ("m=audio 2000 RTP/AVP 128", INCOMPLETE),
        ("m=audio 2000 RTP/AVP 8 x", INCOMPLETE),
        ("m=audio 2000 RTP/AVP", INCOMPLETE),
        ("m=audio 0 RTP/AVP 128", "ok"),
        ("m=image 2000 udptl t38", "ok"),
        ("m=audio 2000 FOO/BAR 128 x", "ok"),
    ] {
        assert_eq!(outcome(&format!("{HEAD}{media}\n")), expected, "{media}");
    }
}

#[test]
fn a_media_needs_an_address() {
    let bare = HEAD.replace("c=IN IP4 198.51.100.10\n", "");
    assert_eq!(outcome(&format!("{bare}{MEDIA}")), INCOMPLETE);
    let own = "c=IN IP4 192.0.2.7\n";
    assert_eq!(outcome(&format!("{bare}{MEDIA}{own}")), "ok");
    // One with an address does not lend it to the next.
    assert_eq!(outcome(&format!("{bare}{MEDIA}{own}{MEDIA}")), INCOMPLETE);
}

#[test]
fn attributes_that_cannot_be_read_are_left_out() {
    let sdp = shown_media(
        "m=audio 2000 RTP/AVP 8 97\na=rtpmap:97 iLBC\na=rtpmap:98 x/1\na=crypto:1 FOO\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short\na=candidate:1 2 3\n\
         a=fingerprint:md2 AA\na=fingerprint:sha-256 AA\na=rtcp:x\na=rtcp:70000\n\
         a=extmap:0 urn:a\na=extmap:15 urn:b\na=extmap:256 urn:c\na=ptime:x\na=x\n",
    );
    assert_eq!(
        numbered(&sdp),
        "m=audio PORT0 RTP/AVP 8 97\nc=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\na=x\n\
         a=sendrecv\na=rtcp:PORT1\n"
    );
}

#[test]
fn payload_types_without_rtpmap_are_those_of_rfc_3551_or_nameless() {
    let sdp = shown_media("m=audio 2000 RTP/AVP 0 3 4 9 10 18 34 35 96\n");
    let maps: Vec<&str> = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:"))
        .collect();
    assert_eq!(
        maps,
        [
            "0 PCMU/8000",
            "3 GSM/8000",
            "4 G723/8000",
            "9 G722/8000",
            "10 L16/44100/2",
            "18 G729/8000",
            "34 H263/90000"
        ]
    );
}

#[test]
fn transports_have_no_case_and_unknown_ones_keep_their_text() {
    for (said, printed) in [
        ("rtp/avp", "RTP/AVP"),
        ("Rtp/Savp", "RTP/SAVP"),
        ("RTP/avpf", "RTP/AVPF"),
        ("RTP/SAVPF", "RTP/SAVPF"),
        ("udp/tls/rtp/savp", "UDP/TLS/RTP/SAVP"),
        ("udp/TLS/rtp/savpf", "UDP/TLS/RTP/SAVPF"),
        ("UDPTL", "udptl"),
        ("Foo/bar", "Foo/bar"),
        ("RTP/AVPx", "RTP/AVPx"),
    ] {
        let sdp = shown_media(&format!("m=audio 2000 {said} 8\n"));
        assert_eq!(sdp.split(' ').nth(2), Some(printed), "{sdp}");
    }
}

#[test]
fn keys_make_opportunistic_srtp_of_rtp() {
    let key = "zTphlYVUDtsZ/sLlfijcuu0O+W+RGoT79yLJDaPY";
    let hash = "AA:".repeat(31) + "AA";
    for (transport, keys) in [
        (
            "RTP/AVP",
            format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\n"),
        ),
        (
            "RTP/AVPF",
            format!("a=setup:actpass\na=fingerprint:sha-256 {hash}\n"),
        ),
    ] {
        let sdp = shown_media(&format!("m=audio 2000 {transport} 8\n{keys}"));
        assert_eq!(sdp.split(' ').nth(2), Some(transport), "{sdp}");
        assert!(sdp.contains("\na=crypto:1 "), "{sdp}");
        assert!(sdp.contains("\na=fingerprint:"), "{sdp}");
    }
}

#[test]
fn the_strongest_direction_of_the_nearest_level_counts() {
    for (session, media, printed) in [
        ("", "", "sendrecv"),
        ("", "a=inactive\na=sendonly\na=recvonly\n", "recvonly"),
        ("", "a=inactive\na=sendrecv\na=sendonly\n", "sendonly"),
        ("", "a=sendrecv\na=inactive\n", "inactive"),
        ("a=sendonly\n", "", "sendonly"),
        ("a=sendonly\na=recvonly\n", "", "recvonly"),
        ("a=recvonly\n", "a=inactive\n", "inactive"),
        ("a=inactive\n", "a=sendrecv\n", "sendrecv"),
    ] {
        let sdp = shown(&format!("{HEAD}{session}{MEDIA}{media}"));
        assert!(
            sdp.ends_with(&format!("\na={printed}\na=rtcp:{}\n", port(&sdp, 0) + 1)),
            "{session}{media}: {sdp}"
        );
    }
}

#[test]
fn a_zero_address_with_port_9_is_not_a_hold() {
    let ice = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";
    for (host, family) in [("0.0.0.0", "IP4 203.0.113.1"), ("::", "IP6 2001:db8::1")] {
        let held = shown(&audio(host, 9, "a=rtcp:9\n"));
        assert!(held.contains("\na=sendonly\n"), "{held}");
        assert!(!held.contains("rtcp-mux"), "{held}");
        let sdp = shown(&audio(host, 9, ice));
        assert!(sdp.contains("\na=sendrecv\n"), "{sdp}");
        assert!(sdp.contains(&format!("\nc=IN {family}\n")), "{sdp}");
        let sdp = shown(&audio(host, 10, ""));
        assert!(sdp.contains("\na=sendonly\n"), "{sdp}");
        assert!(sdp.contains(&format!(" {host}\na=rtpmap")), "{sdp}");
    }
}

/// Where RTCP goes to a party whose m= section is this.
fn rtcp_of(lines: &str) -> Option<SocketAddr> {
    let mut bench = Bench::new();
    bench.sdp(offer(&format!("{HEAD}{lines}")));
    let flows = bench.books.flows.lock().unwrap();
    let own = |flow: &&FlowSpec| {
        flow.component == Component::Rtcp
            && flow
                .peer
                .signalled
                .is_some_and(|peer| peer.ip().to_string().starts_with("198.51.100."))
    };
    let found = flows.values().map(|(flow, _)| flow).find(own);
    found.and_then(|flow| flow.peer.signalled)
}

#[test]
fn rtcp_goes_to_the_next_port_unless_told() {
    let to = |address: &str| Some(address.parse().unwrap());
    assert_eq!(rtcp_of(MEDIA), to("198.51.100.10:2001"));
    assert_eq!(
        rtcp_of(&format!("{MEDIA}a=rtcp:2005\n")),
        to("198.51.100.10:2005")
    );
    let elsewhere = format!("{MEDIA}a=rtcp:2005 IN IP4 198.51.100.77\n");
    assert_eq!(rtcp_of(&elsewhere), to("198.51.100.77:2005"));
    let counted = format!("{MEDIA}a=rtcp:2005\n").replace("2000", "2000/2");
    assert_eq!(rtcp_of(&counted), to("198.51.100.10:2001"));
}

#[test]
fn rtcp_on_the_port_of_rtp_is_rtcp_mux() {
    let sdp = shown_media(&format!("{MEDIA}a=rtcp:2000\n"));
    assert!(sdp.contains("\na=rtcp-mux\n"), "{sdp}");
    let sdp = shown_media(&format!("{MEDIA}a=rtcp:2000 IN IP4 198.51.100.77\n"));
    assert!(!sdp.contains("rtcp-mux"), "{sdp}");
}

#[test]
fn keys_and_ice_of_the_session_are_those_of_its_medias() {
    let hash = "AA:".repeat(31) + "AA";
    let session = format!(
        "a=setup:active\na=fingerprint:sha-256 {hash}\na=tls-id:{}\na=ice-lite\n\
         a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\na=ice-options:trickle\n",
        "f".repeat(32)
    );
    let mut bench = Bench::new();
    let request = offer(&format!(
        "{HEAD}{session}m=audio 2000 UDP/TLS/RTP/SAVPF 8\n"
    ))
    .with("transport-protocol", "RTP/AVP")
    .with("ICE", "remove");
    let sdp = bench.sdp(request);
    for name in ["setup", "fingerprint", "tls-id", "ice-"] {
        assert!(!sdp.contains(name), "{name}: {sdp}");
    }
    let sdp = bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    for line in [
        "a=setup:passive",
        "a=fingerprint:",
        "a=ice-ufrag:",
        "a=ice-options:trickle",
    ] {
        assert!(sdp.contains(line), "{line}: {sdp}");
    }
}

#[test]
fn header_extensions_of_the_session_stand_in_where_a_media_has_none() {
    let session = "a=extmap-allow-mixed\na=extmap:3 urn:session\n";
    let sdp = shown(&format!(
        "{HEAD}{session}{MEDIA}m=audio 2002 RTP/AVP 8\na=extmap:4 urn:media\n"
    ));
    let medias: Vec<&str> = sdp.split("\nm=").skip(1).collect();
    assert!(medias[0].contains("\na=extmap:3 urn:session\n"), "{sdp}");
    assert!(medias[1].contains("\na=extmap:4 urn:media\n"), "{sdp}");
    assert_eq!(sdp.matches("urn:session").count(), 1, "{sdp}");
}

#[test]
fn what_belongs_to_a_media_is_not_taken_from_the_session() {
    let session = "a=mid:x\na=label:x\na=ptime:20\na=rtcp-mux\na=rtcp:9\na=candidate:1 1 UDP 1 \
        198.51.100.10 2000 typ host\n";
    let sdp = shown(&format!("{HEAD}{session}{MEDIA}"));
    assert_eq!(
        numbered(&sdp),
        "v=0\no=- 1 1 IN IP4 198.51.100.10\ns=-\nt=0 0\nm=audio PORT0 RTP/AVP 8\n\
         c=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\na=sendrecv\na=rtcp:PORT1\n"
    );
}

#[test]
fn one_byte_behind_the_last_line_is_ignored_and_counted_in_both_encodings() {
    let mut bench = Bench::new();
    let counted = |bench: &mut Bench| {
        let reply = bench.ask(Dict::new().with("command", "statistics"));
        at(&reply, "statistics/controlstatistics/straysdpbytes").clone()
    };
    let text = audio("198.51.100.10", 2000, "");
    for (count, stray) in ["\0", " ", "\t", "x"].into_iter().enumerate() {
        let sdp = bench.sdp(offer(&format!("{text}{stray}")));
        assert!(sdp.contains("m=audio 3"), "{stray:?}: {sdp}");
        assert!(!sdp.ends_with(stray), "{stray:?}: {sdp}");
        let before = counted(&mut bench);
        assert_eq!(
            before,
            Value::from(if count == 0 { 1 } else { count as u64 * 2 })
        );
        let body = format!("{text}{stray}")
            .replace('\n', "\\r\\n")
            .replace('\t', "\\t");
        let body = body.replace('\0', "\\u0000");
        let json =
            format!(r#"{{"command":"offer","call-id":"json","from-tag":"F","sdp":"{body}"}}"#);
        let (request, _) = read_request(json.as_bytes(), &Templates::new());
        let source = "127.0.0.1:2222".parse().unwrap();
        let reply = bench
            .calls
            .serve(&request.unwrap(), source, bench.now, &mut bench.rng);
        assert!(!reply.is_error(), "{stray:?}: {reply:?}");
    }
}
