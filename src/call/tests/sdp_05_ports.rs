//! sdp-rewriting §5: ports, c= and a=rtcp. The examples word for word but for port numbers, and what
//! options do to them.

use super::masks::masked;
use super::*;

pub(super) const OFFER: &str = "v=0
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

pub(super) const ANSWER: &str = "v=0
o=bob 77 3 IN IP4 198.51.100.20
s=-
c=IN IP4 198.51.100.20
t=0 0
m=audio 3000 RTP/AVP 8 101
a=rtpmap:101 telephone-event/8000
a=ptime:20
";

#[test]
fn plain_call() {
    let mut bench = Bench::new();
    assert_eq!(
        numbered(&bench.sdp(offer(OFFER))),
        "v=0
o=alice 1545997027 1 IN IP4 198.51.100.10
s=call
t=0 0
m=audio PORT0 RTP/AVP 8 0 101
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=foo:bar
a=sendrecv
a=rtcp:PORT1
"
    );
    assert_eq!(
        numbered(&bench.sdp(answer(ANSWER))),
        "v=0
o=bob 77 3 IN IP4 198.51.100.20
s=-
t=0 0
m=audio PORT0 RTP/AVP 8 101
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=sendrecv
a=rtcp:PORT1
a=ptime:20
"
    );
}

/// are kept (ng-protocol §15).
#[test]
fn everything_at_once() {
    let input = "v=0
o=- 1 1 IN IP4 198.51.100.10
s=-
i=info
u=http://x
e=a@b
p=+1
c=IN IP4 198.51.100.10
b=AS:64
b=CT:100
b=TIAS:64000
b=X-foo:1
t=0 0
r=7d 1h 0
z=0 0
k=clear:x
a=sendonly
a=tool:foo
a=foo
a=group:LS 1 2
a=rtcp-fb:* nack
m=audio 2000 RTP/AVP 8 97
i=media
c=IN IP4 198.51.100.11
b=AS:32
b=RR:0
a=rtpmap:97 iLBC/8000
a=fmtp:97 mode=20
a=rtcp-fb:97 nack
a=rtcp-fb:* ccm fir
a=ptime:30
a=maxptime:60
a=label:main
a=mid:1
a=candidate:bogus
a=ssrc:1 cname:foo
a=foo:bar baz
a=silenceSupp:off - - - -
";
    assert_eq!(
        numbered(&Bench::new().sdp(offer(input))),
        "v=0
o=- 1 1 IN IP4 198.51.100.10
s=-
i=info
u=http://x
e=a@b
p=+1
b=AS:64
b=CT:100
b=TIAS:64000
b=X-foo:1
t=0 0
r=7d 1h 0
z=0 0
k=clear:x
a=tool:foo
a=foo
a=group:LS 1 2
a=rtcp-fb:* nack
m=audio PORT0 RTP/AVP 8 97
i=media
c=IN IP4 203.0.113.1
b=AS:32
b=RR:0
a=mid:1
a=label:main
a=rtpmap:8 PCMA/8000
a=rtpmap:97 iLBC/8000
a=fmtp:97 mode=20
a=rtcp-fb:97 nack
a=rtcp-fb:* ccm fir
a=ssrc:1 cname:foo
a=foo:bar baz
a=silenceSupp:off - - - -
a=sendonly
a=rtcp:PORT1
a=ptime:30
a=maxptime:60
"
    );
}

#[test]
fn ipv4_to_ipv6() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(offer(OFFER).with("address-family", "IP6"));
    assert!(sdp.contains("\nc=IN IP6 2001:db8::1\n"), "{sdp}");
    assert!(
        sdp.contains("\no=alice 1545997027 1 IN IP4 198.51.100.10\n"),
        "{sdp}"
    );
    let sdp = bench.sdp(answer(&audio("2001:db8::20", 3000, "")));
    assert!(sdp.contains("\nc=IN IP4 203.0.113.1\n"), "{sdp}");

    let mut bench = Bench::new();
    let replaced = offer(OFFER)
        .with("address-family", "IP6")
        .with("replace", strings(&["origin"]));
    let sdp = bench.sdp(replaced);
    assert!(
        sdp.contains("\no=alice 1545997027 1 IN IP6 2001:db8::1\n"),
        "{sdp}"
    );
}

#[test]
fn direction_and_advertised_address() {
    let mut bench = Bench::dual_homed();
    let request = offer(OFFER)
        .with("direction", strings(&["ext", "int"]))
        .with("replace", strings(&["origin"]));
    let sdp = bench.sdp(request);
    assert!(
        sdp.contains("\no=alice 1545997027 1 IN IP4 198.51.100.99\n"),
        "{sdp}"
    );
    assert!(sdp.contains("\nc=IN IP4 198.51.100.99\n"), "{sdp}");
    let sdp = bench.sdp(answer(ANSWER));
    assert!(sdp.contains("\nc=IN IP4 203.0.113.1\n"), "{sdp}");
    let on_int = |spec: &FlowSpec| spec.local.ip().to_string() == "192.0.2.10";
    let flows = bench.books.flows.lock().unwrap();
    assert_eq!(flows.values().filter(|(spec, _)| on_int(spec)).count(), 2);
}

fn plain() -> String {
    numbered(&Bench::new().sdp(offer(OFFER)))
}

#[test]
fn a_media_address_stands_in_c_and_not_in_o() {
    let request = || {
        offer(OFFER)
            .with("media-address", "192.0.2.77")
            .with("replace", strings(&["origin"]))
    };
    let expected = plain()
        .replace("IN IP4 198.51.100.10", "IN IP4 203.0.113.1")
        .replace("c=IN IP4 203.0.113.1", "c=IN IP4 192.0.2.77");
    assert_eq!(numbered(&Bench::new().sdp(request())), expected);
    let more = request()
        .with("ICE", "force")
        .with("flags", strings(&["full-rtcp-attribute"]));
    let sdp = masked(&Bench::new().sdp(more));
    assert!(sdp.contains("\na=rtcp:PORT1 IN IP4 192.0.2.77\n"), "{sdp}");
    assert!(
        sdp.contains("\na=candidate:F 1 UDP 2130706431 192.0.2.77 PORT0 typ host\n"),
        "{sdp}"
    );
}

#[test]
fn the_sip_source_is_where_rtp_goes_and_not_in_the_sdp() {
    for received_from in [strings(&["IP4", "192.0.2.99"]), Value::from("192.0.2.99")] {
        let mut bench = Bench::new();
        let request = offer(OFFER)
            .with("received-from", received_from)
            .with("flags", strings(&["SIP-source-address"]));
        assert_eq!(numbered(&bench.sdp(request)), plain());
        let flows = bench.books.flows.lock().unwrap();
        let peer = Some("192.0.2.99:2000".parse().unwrap());
        assert!(flows.values().any(|(flow, _)| flow.peer.signalled == peer));
    }
}

#[test]
fn rules_for_sources_do_not_show() {
    for flag in [
        "asymmetric",
        "strict-source",
        "media-handover",
        "port-latching",
        "symmetric",
        "trust-address",
        "pierce-NAT",
        "NAT-wait",
        "endpoint-learning-off",
        "endpoint-learning-immediate",
        "endpoint-learning-delayed",
        "endpoint-learning-heuristic",
        "no-port-latching",
        "unidirectional",
    ] {
        let sdp = Bench::new().sdp(offer(OFFER).with("flags", strings(&[flag])));
        assert_eq!(numbered(&sdp), plain(), "{flag}");
    }
}

#[test]
fn a_loop_is_marked_and_known_again() {
    let mut bench = Bench::new();
    let request = |sdp: &str| offer(sdp).with("flags", strings(&["loop-protect"]));
    let sdp = bench.sdp(request(OFFER));
    let marked = masked(&sdp);
    assert_eq!(
        marked,
        plain().replace("t=0 0\n", "t=0 0\na=rtpengine:<12>\n")
    );
    let mark = sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=rtpengine:"));
    assert!(mark.unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()));
    let leased = bench.leased();
    // Byte for byte, of this call or of any other.
    let again = sdp.replace("a=foo:bar", "a=foo:bar \na=sendonly\na=zz");
    assert_eq!(bench.sdp(request(&again)), again);
    let mut other = request(&sdp);
    other.set("call-id", "other");
    assert_eq!(bench.sdp(other), sdp);
    assert_eq!((bench.leased(), bench.calls.count()), (leased, 1));
    // Someone else's mark is nothing to us; and without the flag nobody looks.
    let foreign = OFFER.replace("t=0 0\n", "t=0 0\na=rtpengine:0123456789ab\n");
    assert_eq!(masked(&bench.sdp(request(&foreign))), marked);
}

#[test]
fn rtcp_is_printed_by_flag() {
    let with = |flag: &str| {
        let request = offer(OFFER).with("flags", strings(&[flag]));
        numbered(&Bench::new().sdp(request))
    };
    assert_eq!(
        with("no-rtcp-attribute"),
        plain().replace("a=rtcp:PORT1\n", "")
    );
    assert_eq!(
        with("full-rtcp-attribute"),
        plain().replace("a=rtcp:PORT1\n", "a=rtcp:PORT1 IN IP4 203.0.113.1\n")
    );
    let six = offer(OFFER)
        .with("address-family", "IP6")
        .with("flags", strings(&["full-rtcp-attribute"]));
    let sdp = Bench::new().sdp(six);
    assert!(sdp.contains(" IN IP6 2001:db8::1\n"), "{sdp}");
}

#[test]
fn rtcp_of_a_client_is_where_we_send_and_no_more() {
    let said = OFFER.replace("a=foo:bar", "a=rtcp:2099 IN IP4 198.51.100.77\na=foo:bar");
    assert_eq!(numbered(&Bench::new().sdp(offer(&said))), plain());
}

#[test]
fn families_are_remembered_per_leg() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(offer(OFFER).with("address-family", "IP6"));
    assert_eq!(
        numbered(&sdp),
        plain().replace("c=IN IP4 203.0.113.1", "c=IN IP6 2001:db8::1")
    );
    let reply = ANSWER.replace("c=IN IP4 198.51.100.20", "c=IN IP6 2001:db8::20");
    let sdp = bench.sdp(answer(&reply));
    assert!(sdp.contains("\nc=IN IP4 203.0.113.1\n"), "{sdp}");
    // A re-offer from either side needs no options.
    let sdp = bench.sdp(offer(OFFER).with("to-tag", "T"));
    assert!(sdp.contains("\nc=IN IP6 2001:db8::1\n"), "{sdp}");
    let back = message("offer", &reply)
        .with("from-tag", "T")
        .with("to-tag", "F");
    assert!(bench.sdp(back).contains("\nc=IN IP4 203.0.113.1\n"));
}

#[test]
fn interfaces_are_remembered_per_leg() {
    let mut bench = Bench::dual_homed();
    let shown = |bench: &mut Bench, request: Dict| {
        let sdp = bench.sdp(request);
        let line = sdp.lines().find(|line| line.starts_with("c=")).unwrap();
        line.to_owned()
    };
    let (int, ext) = ("c=IN IP4 198.51.100.99", "c=IN IP4 203.0.113.1");
    let directed = offer(OFFER).with("direction", strings(&["ext", "int"]));
    assert_eq!(shown(&mut bench, directed), int);
    assert_eq!(shown(&mut bench, answer(ANSWER)), ext);
    assert_eq!(shown(&mut bench, offer(OFFER).with("to-tag", "T")), int);
    // Another name chooses anew; one that nobody bears is the default.
    let moved = offer(OFFER)
        .with("to-tag", "T")
        .with("direction", strings(&["ext", "ext"]));
    assert_eq!(shown(&mut bench, moved), ext);
    let mut bench = Bench::dual_homed();
    let unknown = offer(OFFER).with("direction", strings(&["x", "y"]));
    assert_eq!(shown(&mut bench, unknown), ext);
    let singly = offer(OFFER)
        .with("from-interface", "ext")
        .with("to-interface", "int");
    assert_eq!(shown(&mut Bench::dual_homed(), singly), int);
}

#[test]
fn an_interface_without_the_family_serves_with_its_own() {
    let mut bench = Bench::dual_homed();
    let request = offer(OFFER)
        .with("direction", strings(&["ext", "int"]))
        .with("address-family", "IP6");
    let sdp = bench.sdp(request);
    assert!(sdp.contains("\nc=IN IP4 198.51.100.99\n"), "{sdp}");
}

/// The answer of the example as the specification words it: the event's payload type has no
/// rtpmap of its own there.
#[test]
fn a_payload_type_that_an_answer_does_not_explain_is_the_offered_one() {
    let mut bench = Bench::new();
    bench.sdp(offer(OFFER));
    let bare = ANSWER.replace("a=rtpmap:101 telephone-event/8000\n", "");
    let sdp = numbered(&bench.sdp(answer(&bare)));
    assert!(
        sdp.ends_with(
            "m=audio PORT0 RTP/AVP 8 101\nc=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\n\
             a=rtpmap:101 telephone-event/8000\na=sendrecv\na=rtcp:PORT1\na=ptime:20\n"
        ),
        "{sdp}"
    );
}
