//! ng-protocol §6, §7: what keys and flags do to a call, beyond the texts of its SDP.

use super::ng_12_query::{int, text};
use super::*;

const HOST: &str = "198.51.100.10";
const OTHER: &str = "198.51.100.20";

/// The address in the first c= line.
fn shown(sdp: &str) -> &str {
    let line = sdp.lines().find(|line| line.starts_with("c=")).unwrap();
    line.rsplit(' ').next().unwrap()
}

fn direction(sender: &'static str, receiver: &'static str) -> Value {
    strings(&[sender, receiver])
}

#[test]
fn interfaces_stick_until_others_are_named() {
    let mut bench = Bench::dual_homed();
    let offered = || offer(&audio(HOST, 2000, ""));
    let sdp = bench.sdp(offered().with("direction", direction("int", "ext")));
    assert_eq!(shown(&sdp), "203.0.113.1");
    // Later messages may leave them out, in both directions.
    let sdp = bench.sdp(answer(&audio(OTHER, 3000, "")));
    assert_eq!(shown(&sdp), "198.51.100.99", "the advertised address");
    let sdp = bench.sdp(offered().with("to-tag", "T"));
    assert_eq!(shown(&sdp), "203.0.113.1");
    let back = message("offer", &audio(OTHER, 3000, "")).with("from-tag", "T");
    assert_eq!(shown(&bench.sdp(back.with("to-tag", "F"))), "198.51.100.99");
    // Others re-select.
    let sdp = bench.sdp(
        offered()
            .with("to-tag", "T")
            .with("direction", direction("ext", "int")),
    );
    assert_eq!(shown(&sdp), "198.51.100.99");
    // Singly.
    let again = offered().with("to-tag", "T").with("to-interface", "ext");
    assert_eq!(shown(&bench.sdp(again)), "203.0.113.1");
}

#[test]
fn unknown_and_old_names_of_interfaces() {
    let mut bench = Bench::dual_homed();
    let sdp = bench.sdp(offer(&audio(HOST, 2000, "")).with("direction", direction("x", "y")));
    assert_eq!(shown(&sdp), "203.0.113.1", "the first");
    // Where no interface bears them, these mean the families.
    let mut bench = Bench::new();
    let old = direction("internal", "external");
    let sdp = bench.sdp(offer(&audio(HOST, 2000, "")).with("direction", old));
    assert_eq!(shown(&sdp), "2001:db8::1");
    let sdp = bench.sdp(answer(&audio("2001:db8::20", 3000, "")));
    assert_eq!(shown(&sdp), "203.0.113.1");
    let other_way = offer(&audio(HOST, 2000, "")).with("rtpp-flags", "external internal");
    let mut bench = Bench::new();
    assert_eq!(shown(&bench.sdp(other_way)), "203.0.113.1");
    let sdp = bench.sdp(answer(&audio(OTHER, 3000, "")));
    assert_eq!(shown(&sdp), "2001:db8::1");
    // What is asked for outright goes first.
    let asked = offer(&audio(HOST, 2000, "")).with("rtpp-flags", "internal external");
    let mut bench = Bench::new();
    assert_eq!(
        shown(&bench.sdp(asked.with("address-family", "IP4"))),
        "203.0.113.1"
    );
}

#[test]
fn the_family_sticks() {
    let mut bench = Bench::new();
    let offered = || offer(&audio(HOST, 2000, ""));
    let sdp = bench.sdp(offered().with("address-family", "IP6"));
    assert_eq!(shown(&sdp), "2001:db8::1");
    let sdp = bench.sdp(answer(&audio("2001:db8::20", 3000, "")));
    assert_eq!(shown(&sdp), "203.0.113.1", "the offerer's own");
    assert_eq!(
        shown(&bench.sdp(offered().with("to-tag", "T"))),
        "2001:db8::1"
    );
    // It can change without ICE.
    let change = offered().with("to-tag", "T").with("address family", "IP4");
    assert_eq!(shown(&bench.sdp(change)), "203.0.113.1");
    // With ICE it cannot.
    let mut bench = Bench::new();
    let with_ice = || offered().with("ICE", "force");
    bench.sdp(with_ice().with("address-family", "IP6"));
    let change = with_ice().with("address-family", "IP4");
    assert_eq!(shown(&bench.sdp(change)), "2001:db8::1");
}

#[test]
fn a_literal_address_is_shown_for_one_message() {
    let mut bench = Bench::new();
    let literal = offer(&audio(HOST, 2000, "")).with("media-address", "192.0.2.200");
    assert_eq!(shown(&bench.sdp(literal)), "192.0.2.200");
    assert_eq!(
        shown(&bench.sdp(answer(&audio(OTHER, 3000, "")))),
        "203.0.113.1"
    );
}

#[test]
fn the_sip_source_stands_in() {
    let flags = |flags: &[&str]| Dict::new().with("flags", strings(flags));
    let from = strings(&["IP4", "203.0.113.77"]);
    let ice = "a=ice-ufrag:uuuu\na=ice-pwd:pppppppppppppppppppppp\n";
    for (more, lines, expected) in [
        (Dict::new(), "", HOST),
        (flags(&["trust-address"]), "", HOST),
        (flags(&["SIP-source-address"]), "", "203.0.113.77"),
        (flags(&["SIP-source-address"]), ice, HOST),
    ] {
        let mut bench = Bench::new();
        let mut request = offer(&audio(HOST, 2000, lines)).with("received-from", from.clone());
        request.extend(more.into_entries());
        bench.sdp(request);
        let reply = bench.ask(command("query"));
        let at = "tags/F/medias/0/streams/0/advertised endpoint/address";
        assert_eq!(text(&reply, at), expected);
    }
}

#[test]
fn tos_is_the_calls_and_offers_set_it() {
    let mut bench = Bench::new();
    let tos = |bench: &Bench| {
        let flows = bench.books.flows.lock().unwrap();
        let mut all: Vec<_> = flows.values().map(|(flow, _)| flow.tos).collect();
        all.dedup();
        assert_eq!(all.len(), 1, "one for both directions");
        all[0]
    };
    let offered = || offer(&audio(HOST, 2000, ""));
    for (given, expected) in [
        (Some(184), Some(184)),
        (Some(-1), Some(184)),
        (Some(-7), Some(184)),
        (Some(0), Some(0)),
        (Some(46), Some(46)),
        (Some(256), None),
        (Some(46), Some(46)),
        (None, None),
    ] {
        bench.sdp(offered().with_some("TOS", given));
        assert_eq!(tos(&bench), expected, "{given:?}");
    }
    bench.sdp(answer(&audio(OTHER, 3000, "")).with("TOS", 184));
    assert_eq!(tos(&bench), None, "an answer changes nothing");
}

#[test]
fn traffic_is_dropped_and_let_through() {
    let mut bench = Bench::new();
    let all = |bench: &Bench| {
        let flows = bench.books.flows.lock().unwrap();
        let dropped = flows.values().filter(|(flow, _)| flow.discard).count();
        dropped == flows.len()
    };
    for (value, expected) in [(Some("start"), true), (None, true), (Some("stop"), false)] {
        bench.sdp(offer(&audio(HOST, 2000, "")).with_some("drop-traffic", value));
        assert_eq!(all(&bench), expected, "{value:?}");
    }
}

#[test]
fn labels_and_metadata_are_the_senders() {
    let mut bench = Bench::new();
    let first = offer(&audio(HOST, 2000, "")).with("label", "a");
    bench.sdp(first.with("metadata", "k:v"));
    bench.sdp(answer(&audio(OTHER, 3000, "")).with("from-label", "b"));
    let reply = bench.ask(command("query"));
    assert_eq!(text(&reply, "tags/F/label"), "a");
    assert_eq!(text(&reply, "tags/T/label"), "b");
    assert_eq!(text(&reply, "tags/F/metadata"), "k:v");
    assert!(find(&reply, "tags/T/metadata").is_none() && find(&reply, "metadata").is_none());
    // For a recording, the tag selects whose they are, or it is the call's.
    let record = |more: Dict| {
        let mut request = command("start recording").with("metadata", "r:s");
        request.extend(more.into_entries());
        request
    };
    bench.ask(record(Dict::new().with("from-tag", "T")));
    assert_eq!(text(&bench.ask(command("query")), "tags/T/metadata"), "r:s");
    bench.ask(record(Dict::new()));
    assert_eq!(text(&bench.ask(command("query")), "metadata"), "r:s");
    // Other commands can name a party anew.
    bench.ask(
        command("silence media")
            .with("from-tag", "T")
            .with("set-label", "c"),
    );
    assert_eq!(text(&bench.ask(command("query")), "tags/T/label"), "c");
}

#[test]
fn an_offer_shows_when_it_came() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    bench.wait(5);
    bench.sdp(answer(&audio(OTHER, 3000, "")));
    let reply = bench.ask(command("query"));
    assert_eq!(int(&reply, "last signal") - int(&reply, "created"), 5);
    bench.wait(5);
    bench.ask(command("block media"));
    let reply = bench.ask(command("query"));
    assert_eq!(int(&reply, "last signal") - int(&reply, "created"), 5);
}

#[test]
fn a_repeated_message_gets_the_same_text_whatever_it_asks_for() {
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
        inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\n";
    let secure = audio(HOST, 2000, crypto).replace("RTP/AVP", "RTP/SAVP");
    let plain = audio(HOST, 2000, "");
    let ice = "a=ice-ufrag:uuuu\na=ice-pwd:pppppppppppppppppppppp\na=rtcp-mux\n\
        a=candidate:1 1 udp 2130706431 198.51.100.10 2000 typ host\n";
    let browser = audio(HOST, 2000, ice);
    for (sdp, flags) in [
        (&plain, "SRTP"),
        (&plain, "SRTP SDES-only-AES_CM_128_HMAC_SHA1_80"),
        (&plain, "WebRTC"),
        (&plain, "DTLS AVPF ICE=force"),
        (&plain, "ICE=force rtcp-mux-offer"),
        (&plain, "replace=[origin username session-name SDP-version]"),
        (&plain, "replace=origin-full"),
        (&plain, "OSRTP-offer"),
        (&plain, "generate-mid full-rtcp-attribute loop-protect"),
        (&secure, "RTP"),
        (&secure, "SDES-pad"),
        (&browser, "ICE=remove rtcp-mux-demux"),
        (&browser, "ICE=optional"),
        (&browser, ""),
    ] {
        let mut bench = Bench::new();
        let request = || offer(sdp).with("rtpp-flags", flags);
        let first = bench.sdp(request());
        let second = bench.sdp(request());
        assert_eq!(second, first, "{flags}");
        // The other party takes what it is offered.
        let taken = first
            .replace("a=setup:actpass", "a=setup:active")
            .replace("203.0.113.1", OTHER);
        let request = || answer(&taken);
        let first = bench.sdp(request());
        assert_eq!(bench.sdp(request()), first, "the answer to {flags}");
    }
}
