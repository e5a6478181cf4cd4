//! Later offers and answers of a call: in either direction, with medias turned down and back
//! (ng-protocol §8, §10; sdp-rewriting §6–§10; RFC 3264 §8).

use super::*;

/// The m= line of this number.
fn m_line(sdp: &str, line: usize) -> &str {
    let mut medias = sdp.lines().filter(|line| line.starts_with("m="));
    medias.nth(line).unwrap()
}

/// The value of the first attribute of this name.
fn value<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.strip_prefix(name))
}

const ICE: &str = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";
const PLAIN: &str = "m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\na=rtpmap:96 H264/90000\n";

#[test]
fn a_media_that_one_party_turns_down_keeps_the_transport_of_the_other() {
    let mut bench = Bench::new();
    let to_srtp = |request: Dict| {
        request
            .with("transport-protocol", "RTP/SAVPF")
            .with("DTLS", "off")
    };
    let sdp = bench.sdp(to_srtp(from_a(PLAIN)));
    assert!(m_line(&sdp, 1).contains("RTP/SAVPF"), "{sdp}");
    let turned_down = "m=audio 3000 RTP/SAVPF 8\nm=video 0 RTP/SAVPF 96\n";
    let sdp = bench.sdp(from_b(turned_down));
    assert_eq!(m_line(&sdp, 1), "m=video 0 RTP/AVP 96");
    // And it comes back as it was offered before.
    let sdp = bench.sdp(from_a(PLAIN).with("to-tag", "T"));
    assert!(m_line(&sdp, 1).contains("RTP/SAVPF 96"), "{sdp}");
    assert_ne!(port(&sdp, 1), 0);
    // The same with the offerer's own port 0.
    let off = PLAIN.replace("video 2002", "video 0");
    let sdp = bench.sdp(from_a(&off).with("to-tag", "T"));
    assert_eq!(m_line(&sdp, 1), "m=video 0 RTP/SAVPF 96");
}

#[test]
fn a_media_that_was_never_open_starts_as_in_a_first_offer() {
    let mut bench = Bench::new();
    let lines = |video: u16| {
        format!(
            "m=audio 2000 RTP/AVP 8\n{ICE}m=video {video} RTP/AVP 96\na=rtpmap:96 H264/90000\n{ICE}"
        )
    };
    bench.sdp(from_a(&lines(0)));
    bench.sdp(from_b(&lines(0)));
    let sdp = bench.sdp(from_a(&lines(2002)).with("to-tag", "T"));
    assert_eq!(sdp.matches("a=ice-ufrag").count(), 2, "{sdp}");
}

#[test]
fn rtcp_gets_a_port_again_when_mux_ends() {
    let mut bench = Bench::new();
    let mux = "m=audio 2000 RTP/AVP 8\na=rtcp-mux\n";
    let plain = "m=audio 2000 RTP/AVP 8\n";
    bench.sdp(from_a(mux));
    bench.sdp(from_b(mux));
    bench.sdp(from_a(mux).with("to-tag", "T"));
    bench.sdp(from_b(mux));
    bench.sdp(from_a(plain).with("to-tag", "T"));
    let sdp = bench.sdp(from_b(plain));
    let rtp = port(&sdp, 0);
    assert!(!sdp.contains("a=rtcp-mux"), "{sdp}");
    assert!(sdp.contains(&format!("a=rtcp:{}\n", rtp + 1)), "{sdp}");
    assert_eq!(bench.leased(), bench.flows());
}

#[test]
fn mux_that_is_in_use_is_offered_on_one_port_in_either_direction() {
    let mut bench = Bench::new();
    let mux = "m=audio 2000 RTP/AVP 8\na=rtcp-mux\n";
    bench.sdp(from_a(mux));
    bench.sdp(from_b(mux));
    let sdp = bench.sdp(offer_of_b("m=audio 2000 RTP/AVP 8\n"));
    assert!(sdp.contains("a=rtcp-mux"), "{sdp}");
    assert!(
        sdp.contains(&format!("a=rtcp:{}\n", port(&sdp, 0))),
        "{sdp}"
    );
    let sdp = bench.sdp(answer_of_a(mux));
    assert!(!sdp.contains("a=rtcp-mux"), "{sdp}");
}

#[test]
fn reset_restarts_ice_on_both_legs() {
    let mut bench = Bench::new();
    let lines = format!("m=audio 2000 RTP/AVP 8\n{ICE}");
    let offered = bench.sdp(from_a(&lines));
    let answered = bench.sdp(from_b(&lines));
    let again = bench.sdp(from_a(&lines).with("to-tag", "T"));
    assert_eq!(
        value(&offered, "a=ice-ufrag:"),
        value(&again, "a=ice-ufrag:")
    );
    let reset = from_a(&lines)
        .with("to-tag", "T")
        .with("flags", strings(&["reset"]));
    let again = bench.sdp(reset);
    assert!(again.contains("a=ice-ufrag:"), "{again}");
    assert_ne!(
        value(&offered, "a=ice-ufrag:"),
        value(&again, "a=ice-ufrag:")
    );
    let again = bench.sdp(from_b(&lines));
    assert_ne!(
        value(&answered, "a=ice-ufrag:"),
        value(&again, "a=ice-ufrag:")
    );
}

#[test]
fn another_interface_restarts_ice() {
    let mut bench = Bench::dual_homed();
    let lines = format!("m=audio 2000 RTP/AVP 8\n{ICE}");
    let to = |bench: &mut Bench, interface: &'static str, tag: bool| {
        let mut request = from_a(&lines).with("direction", strings(&["ext", interface]));
        if tag {
            request.push("to-tag", "T");
        }
        bench.sdp(request)
    };
    let first = to(&mut bench, "ext", false);
    bench.sdp(from_b(&lines));
    let same = to(&mut bench, "ext", true);
    assert_eq!(value(&first, "a=ice-ufrag:"), value(&same, "a=ice-ufrag:"));
    let moved = to(&mut bench, "int", true);
    assert!(moved.contains("198.51.100.99"), "{moved}");
    assert_ne!(value(&first, "a=ice-ufrag:"), value(&moved, "a=ice-ufrag:"));
}

#[test]
fn rejected_ice_stays_rejected_whatever_the_answer_is_sent_with() {
    let mut bench = Bench::new();
    let lines = format!("m=audio 2000 RTP/AVP 8\n{ICE}");
    bench.sdp(from_a(&lines).with("flags", strings(&["ICE-reject"])));
    let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n").with("ICE", "force"));
    assert!(!sdp.contains("a=ice"), "{sdp}");
}

#[test]
fn a_generated_mid_stays() {
    let mut bench = Bench::new();
    let generated = from_a("m=audio 2000 RTP/AVP 8\n").with("flags", strings(&["generate-mid"]));
    let sdp = bench.sdp(generated);
    assert_eq!(value(&sdp, "a=mid:"), Some("1"));
    bench.sdp(from_b("m=audio 3000 RTP/AVP 8\na=mid:1\n"));
    let sdp = bench.sdp(from_a("m=audio 2000 RTP/AVP 8\na=mid:a0\n").with("to-tag", "T"));
    assert_eq!(value(&sdp, "a=mid:"), Some("1"));
    // What is generated is not in use yet.
    let mut bench = Bench::new();
    let two = "m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\na=mid:1\n";
    let sdp = bench.sdp(from_a(two).with("flags", strings(&["generate-mid"])));
    let mids: Vec<&str> = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .collect();
    assert_eq!(mids.len(), 2, "{sdp}");
    assert_ne!(mids[0], mids[1], "{sdp}");
}

#[test]
fn an_answer_names_no_header_extension_that_was_not_offered() {
    let mut bench = Bench::new();
    let a = "m=audio 2000 RTP/AVP 8\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\n";
    let sdp = bench.sdp(from_a(a).with("BUNDLE", strings(&["offer"])));
    assert!(
        sdp.contains("a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid"),
        "{sdp}"
    );
    let b = "a=group:BUNDLE 1\nm=audio 3000 RTP/AVP 8\na=mid:1\n\
        a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\n\
        a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid\n";
    let sdp = bench.sdp(from_b(b));
    assert!(sdp.contains("a=extmap:1 "), "{sdp}");
    assert!(!sdp.contains("sdes:mid"), "{sdp}");
}

const BUNDLE_OF_A: &str = "a=group:BUNDLE a0 v0\nm=audio 2000 RTP/AVP 8\na=mid:a0\na=rtcp-mux\n\
    m=video 2000 RTP/AVP 96\na=mid:v0\na=rtpmap:96 H264/90000\na=rtcp-mux\n";

#[test]
fn a_bundle_goes_on_without_its_first_media() {
    let mut bench = Bench::new();
    bench.sdp(from_a(BUNDLE_OF_A).with("BUNDLE", strings(&["accept"])));
    let video_alone = "m=audio 0 RTP/AVP 8\nm=video 3002 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let sdp = bench.sdp(from_b(video_alone));
    assert_eq!(port(&sdp, 0), 0);
    assert_ne!(port(&sdp, 1), 0, "{sdp}");
    assert!(sdp.contains("a=group:BUNDLE v0\n"), "{sdp}");
    assert_eq!(bench.leased(), bench.flows());
}

#[test]
fn a_bundle_in_use_stays_one_in_a_re_offer_to_its_party() {
    let mut bench = Bench::new();
    bench.sdp(from_a(BUNDLE_OF_A).with("BUNDLE", strings(&["accept"])));
    let b = "m=audio 3000 RTP/AVP 8\nm=video 3002 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let before = bench.sdp(from_b(b));
    let sdp = bench.sdp(offer_of_b(b));
    assert!(sdp.contains("a=group:BUNDLE a0 v0\n"), "{sdp}");
    assert_eq!(
        (port(&sdp, 0), port(&sdp, 1)),
        (port(&before, 0), port(&before, 0))
    );
    bench.sdp(answer_of_a(BUNDLE_OF_A));
    let sdp = bench.sdp(offer_of_b(b).with("BUNDLE", strings(&["reject"])));
    assert!(!sdp.contains("a=group"), "{sdp}");
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
}

#[test]
fn a_bundle_that_was_taken_up_is_not_torn_by_the_next_offer() {
    let mut bench = Bench::new();
    let a = "m=audio 2000 RTP/AVP 8\na=mid:a0\nm=video 2002 RTP/AVP 96\na=mid:v0\na=rtpmap:96 H264/90000\n";
    let bundled = |request: Dict| request.with("BUNDLE", strings(&["offer"]));
    let sdp = bench.sdp(bundled(from_a(a)));
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
    bench.sdp(from_b(&BUNDLE_OF_A.replace("a=rtcp-mux\n", "")));
    let sdp = bench.sdp(bundled(from_a(a)).with("to-tag", "T"));
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
}

#[test]
fn a_bundle_passes_while_its_first_media_is_held() {
    let mut bench = Bench::new();
    bench.sdp(from_a(BUNDLE_OF_A).with("BUNDLE", strings(&["accept"])));
    let held = "m=audio 3000 RTP/AVP 8\na=inactive\n\
        m=video 3002 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let sdp = bench.sdp(from_b(held));
    let shared = port(&sdp, 0);
    let flows = bench.books.flows.lock().unwrap();
    let (flow, _) = flows
        .values()
        .find(|(flow, _)| flow.local.port() == shared)
        .unwrap();
    assert!(flow.receive && flow.peer.wants && flow.peer.sends);
    let passes = |payload_type| {
        let line = flow.bundle.as_deref().unwrap().of_type(payload_type);
        let mut rules = flow.sinks.iter().filter_map(|sink| sink.rules.as_ref());
        rules.any(|rules| rules.withhold.line == line)
    };
    assert!(passes(96) && !passes(8));
}

#[test]
fn session_parameters_are_for_offers() {
    let mut bench = Bench::new();
    let crypto =
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n";
    let lines = format!("m=audio 2000 RTP/SAVP 8\n{crypto}");
    bench.sdp(from_a(&lines));
    let sdp = bench.sdp(from_b(&lines).with("SDES", strings(&["unencrypted_srtp"])));
    assert!(!sdp.contains("UNENCRYPTED_SRTP"), "{sdp}");
}

#[test]
fn keys_are_offered_and_answered_in_the_other_direction_too() {
    let mut bench = Bench::new();
    let key = |key: &str| {
        format!("m=audio 2000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\n")
    };
    let (a, b) = (
        key("WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"),
        key("d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"),
    );
    bench.sdp(from_a(&a));
    bench.sdp(from_b(&b));
    let sdp = bench.sdp(offer_of_b(&b).with("SDES", strings(&["nonew"])));
    assert_eq!(sdp.matches("a=crypto:").count(), 1, "{sdp}");
    assert!(
        sdp.contains("d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"),
        "{sdp}"
    );
    let sdp = bench.sdp(answer_of_a(&a));
    assert!(
        sdp.contains("WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"),
        "{sdp}"
    );
    let flows = bench.books.flows.lock().unwrap();
    assert!(flows.values().all(|(flow, _)| !flow.sinks.is_empty()));
}

#[test]
fn a_dtls_role_stays_through_offers_of_either_side() {
    let mut bench = Bench::new();
    let print = "a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\n";
    let lines =
        |setup: &str| format!("m=audio 2000 UDP/TLS/RTP/SAVPF 8\na=setup:{setup}\n{print}{ICE}");
    bench.sdp(from_a(&lines("actpass")));
    let sdp = bench.sdp(from_b(&lines("active")));
    assert_eq!(value(&sdp, "a=setup:"), Some("active"));
    let sdp = bench.sdp(offer_of_b(&lines("actpass")));
    assert_eq!(value(&sdp, "a=setup:"), Some("actpass"));
    let sdp = bench.sdp(answer_of_a(&lines("passive")));
    // The callee was the client before, so it still is.
    assert_eq!(value(&sdp, "a=setup:"), Some("passive"));
}

#[test]
fn a_forced_version_counts_as_a_change() {
    let mut bench = Bench::new();
    let version = |bench: &mut Bench, replace: &[&str]| {
        let sdp = bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n").with("replace", strings(replace)));
        let origin = sdp.lines().nth(1).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().to_owned()
    };
    let both = ["SDP-version", "force-increment-sdp-ver"];
    assert_eq!(version(&mut bench, &both[..1]), "1");
    assert_eq!(version(&mut bench, &both), "3");
    assert_eq!(version(&mut bench, &both[..1]), "3");
    assert_eq!(version(&mut bench, &both[1..]), "4");
}

#[test]
fn removed_medias_stay_in_place_through_re_offers() {
    let mut bench = Bench::new();
    let remove = |request: Dict| request.with("sdp-media-remove", strings(&["audio"]));
    let sdp = bench.sdp(remove(from_a(PLAIN)));
    assert!(!sdp.contains("m=audio"), "{sdp}");
    let video = "m=video 3002 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let sdp = bench.sdp(from_b(video));
    assert_eq!((port(&sdp, 0), port(&sdp, 1) > 0), (0, true), "{sdp}");
    // The callee's own offer has no place for what it never saw; the caller's SDP has.
    let sdp = bench.sdp(offer_of_b(video));
    assert_eq!((port(&sdp, 0), port(&sdp, 1) > 0), (0, true), "{sdp}");
    let sdp = bench.sdp(answer_of_a(
        "m=audio 0 RTP/AVP 8\nm=video 2002 RTP/AVP 96\n",
    ));
    assert!(m_line(&sdp, 0).starts_with("m=video 3"), "{sdp}");
    assert!(!sdp.contains("m=audio"), "{sdp}");
    // Offered after all, it comes last.
    let sdp = bench.sdp(from_a(PLAIN).with("to-tag", "T"));
    assert!(m_line(&sdp, 0).starts_with("m=video 3"), "{sdp}");
    assert!(m_line(&sdp, 1).starts_with("m=audio 3"), "{sdp}");
    let sdp = bench.sdp(from_b(&format!("{video}m=audio 3000 RTP/AVP 8\n")));
    assert!(m_line(&sdp, 0).starts_with("m=audio 3"), "{sdp}");
    assert_eq!(bench.leased(), bench.flows());
}

#[test]
fn the_sip_source_stands_in_for_the_address_of_every_media_or_of_none() {
    let run = |lines: &str| {
        let mut bench = Bench::new();
        let request = from_a(lines)
            .with("received-from", strings(&["IP4", "192.0.2.99"]))
            .with("flags", strings(&["SIP-source-address"]));
        bench.sdp(request);
        let flows = bench.books.flows.lock().unwrap();
        let mut signalled: Vec<String> = flows
            .values()
            .filter_map(|(flow, _)| Some(flow.peer.signalled?.to_string()))
            .collect();
        signalled.sort();
        signalled
    };
    let rtcp = "m=audio 2000 RTP/AVP 8\na=rtcp:2009 IN IP4 10.0.0.1\n";
    assert_eq!(run(rtcp), ["192.0.2.99:2000", "192.0.2.99:2009"]);
    let ice = format!("m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\n{ICE}");
    let signalled = run(&ice);
    assert!(
        signalled.iter().all(|at| at.starts_with("198.51.100.10:")),
        "{signalled:?}"
    );
}

#[test]
fn the_sip_source_stands_in_for_a_publishers_address() {
    let mut bench = Bench::new();
    let request = message("publish", &party("10.0.0.1", "m=audio 2000 RTP/AVP 8\n"))
        .with("from-tag", "P")
        .with("received-from", strings(&["IP4", "192.0.2.99"]))
        .with("flags", strings(&["SIP-source-address"]));
    bench.sdp(request);
    let flows = bench.books.flows.lock().unwrap();
    let signalled = |flow: &FlowSpec| flow.peer.signalled.unwrap().to_string();
    assert!(
        flows
            .values()
            .all(|(flow, _)| signalled(flow).starts_with("192.0.2.99:"))
    );
}

#[test]
fn rtp_is_not_answered_by_something_else() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    let sdp = bench.sdp(from_b(
        "m=audio 3000 RTP/AVP 8\nm=application 3002 UDP/DTLS/SCTP webrtc-datachannel\n",
    ));
    assert!(m_line(&sdp, 1).starts_with("m=video 0 RTP/AVP"), "{sdp}");
    assert_ne!(port(&sdp, 0), 0);
    assert_eq!(bench.leased(), bench.flows());
}
