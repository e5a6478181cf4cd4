//! The plain examples of sdp-rewriting, word for word but for port numbers.

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
fn section_5_plain_call() {
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

/// The reference loses `r=`, `z=`, `k=`, unknown `b=`, groups and session-level `rtcp-fb`; here they
/// are kept (ng-protocol §15).
#[test]
fn section_5_everything_at_once() {
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
fn section_5_ipv4_to_ipv6() {
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
fn section_5_direction_and_advertised_address() {
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

#[test]
fn section_4_versions() {
    let version = |bench: &mut Bench, input: &str, replace: &[&str]| {
        let sdp = bench.sdp(offer(input).with("replace", strings(replace)));
        let origin = sdp.lines().nth(1).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().to_owned()
    };
    let mut bench = Bench::new();
    assert_eq!(version(&mut bench, OFFER, &["SDP-version"]), "1");
    assert_eq!(version(&mut bench, OFFER, &["SDP-version"]), "1");
    let changed = OFFER
        .replace("7027 1 IN", "7027 9 IN")
        .replace("foo:bar", "foo:baz");
    assert_eq!(version(&mut bench, &changed, &["SDP-version"]), "2");
    let again = changed.replace("foo:baz", "foo:qux");
    let forced = ["SDP-version", "force-increment-sdp-ver"];
    assert_eq!(version(&mut bench, &again, &forced), "4");
    assert_eq!(version(&mut Bench::new(), &changed, &[]), "9");
}

#[test]
fn section_4_origin_full_stays_constant() {
    let mut bench = Bench::new();
    let full = || strings(&["origin-full", "session-name"]);
    bench.sdp(offer(OFFER).with("replace", full()));
    let changed = OFFER
        .replace("o=alice 1545997027 1", "o=carol 2 8")
        .replace("s=call", "s=other");
    let sdp = bench.sdp(offer(&changed).with("replace", full()));
    assert!(
        sdp.contains("\no=alice 1545997027 1 IN IP4 203.0.113.1\ns=call\n"),
        "{sdp}"
    );
}

#[test]
fn section_6_directions_pass_through() {
    for direction in ["sendrecv", "sendonly", "recvonly", "inactive"] {
        let sdp = Bench::new().sdp(offer(&audio(
            "198.51.100.10",
            2000,
            &format!("a={direction}\n"),
        )));
        assert!(sdp.contains(&format!("\na={direction}\n")), "{sdp}");
    }
    let sdp = Bench::new().sdp(offer(&audio("198.51.100.10", 2000, "")));
    assert!(sdp.contains("\na=sendrecv\n"));
}

#[test]
fn section_6_hold_by_a_zero_address() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(offer(&audio("0.0.0.0", 2000, "")));
    assert!(
        sdp.contains("\nc=IN IP4 0.0.0.0\n") && sdp.contains("\na=sendonly\n"),
        "{sdp}"
    );
    assert_ne!(port(&sdp, 0), 0);
    let kept = offer(&audio("0.0.0.0", 2000, "")).with("replace", strings(&["zero-address"]));
    let sdp = bench.sdp(kept);
    assert!(
        sdp.contains("\nc=IN IP4 203.0.113.1\n") && sdp.contains("\na=sendonly\n"),
        "{sdp}"
    );
    let sdp = bench.sdp(offer(&audio("0.0.0.0", 2000, "a=recvonly\n")));
    assert!(sdp.contains("\na=inactive\n"), "{sdp}");
}

#[test]
fn section_6_original_sendrecv() {
    let request = |more| {
        offer(&audio("198.51.100.10", 2000, more)).with("flags", strings(&["original-sendrecv"]))
    };
    let sdp = Bench::new().sdp(request("a=x\na=sendonly\n"));
    assert!(sdp.contains("\na=x\na=sendonly\na=rtcp:"), "{sdp}");
    let sdp = Bench::new().sdp(request(""));
    assert!(!sdp.contains("send"), "{sdp}");
    // A hold of the whole session is not lost; the direction of a media goes before it.
    let session =
        |more| audio("198.51.100.10", 2000, more).replace("t=0 0\n", "t=0 0\na=sendonly\n");
    let request = |more| offer(&session(more)).with("flags", strings(&["original-sendrecv"]));
    let sdp = Bench::new().sdp(request("a=x\n"));
    assert!(sdp.contains("\na=x\na=sendonly\na=rtcp:"), "{sdp}");
    let sdp = Bench::new().sdp(request("a=inactive\na=x\n"));
    assert!(sdp.contains("\na=inactive\na=x\na=rtcp:"), "{sdp}");
    assert!(!sdp.contains("sendonly"), "{sdp}");
}

#[test]
fn section_6_a_rejected_media_and_its_return() {
    let mut bench = Bench::new();
    let video = |port: u16| {
        audio(
            "198.51.100.10",
            2000,
            &format!("m=video {port} RTP/AVP 96\na=rtpmap:96 VP8/90000\na=mid:v\n"),
        )
    };
    let sdp = bench.sdp(offer(&video(2002)));
    assert_ne!(port(&sdp, 1), 0);
    assert_eq!(bench.leased(), 8);
    let sdp = bench.sdp(offer(&video(0)));
    assert!(
        sdp.ends_with("m=video 0 RTP/AVP 96\nc=IN IP4 0.0.0.0\na=mid:v\n"),
        "{sdp}"
    );
    assert_eq!(bench.leased(), 4);
    let sdp = bench.sdp(offer(&video(2002)));
    assert_ne!(port(&sdp, 1), 0);
}

#[test]
fn medias_missing_from_a_re_offer_are_printed_from_old_state() {
    let mut bench = Bench::new();
    let both = audio(
        "198.51.100.10",
        2000,
        "m=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n",
    );
    bench.sdp(offer(&both));
    let sdp = bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    assert_eq!(sdp.matches("m=").count(), 2, "{sdp}");
    let more = format!("{both}m=audio 2004 RTP/AVP 0\n");
    let sdp = bench.sdp(offer(&more));
    assert_eq!(sdp.matches("m=").count(), 3, "{sdp}");
}

#[test]
fn rtcp_attributes_by_flag() {
    let with = |flag: &str| {
        let request = offer(&audio("198.51.100.10", 2000, "")).with("flags", strings(&[flag]));
        Bench::new().sdp(request)
    };
    assert!(!with("no-rtcp-attribute").contains("a=rtcp"));
    assert!(with("full-rtcp-attribute").contains(" IN IP4 203.0.113.1\n"));
}

#[test]
fn section_11_t38_is_copied() {
    let input = "v=0
o=- 1 1 IN IP4 198.51.100.10
s=-
c=IN IP4 198.51.100.10
t=0 0
m=image 4000 udptl t38
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxUdpEC:t38UDPRedundancy
";
    let mut bench = Bench::new();
    assert_eq!(
        numbered(&bench.sdp(offer(input))),
        "v=0
o=- 1 1 IN IP4 198.51.100.10
s=-
t=0 0
m=image PORT0 udptl t38
c=IN IP4 203.0.113.1
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxUdpEC:t38UDPRedundancy
"
    );
    assert_eq!(bench.leased(), 4);
}

#[test]
fn section_11_unknown_transports_are_relayed_and_msrp_left_alone() {
    let unknown = audio("198.51.100.10", 2000, "a=x\n").replace("RTP/AVP 8", "FOO/BAR 8 0");
    let sdp = Bench::new().sdp(offer(&unknown));
    assert!(
        sdp.contains(" FOO/BAR 8 0\nc=IN IP4 203.0.113.1\na=x\n"),
        "{sdp}"
    );
    let msrp = audio(
        "198.51.100.10",
        2000,
        "m=message 2855 TCP/MSRP *\na=path:msrp://a\n",
    );
    let mut bench = Bench::new();
    let sdp = bench.sdp(offer(&msrp));
    let expected = "m=message 2855 TCP/MSRP *\nc=IN IP4 198.51.100.10\na=path:msrp://a\n";
    assert!(sdp.ends_with(expected), "{sdp}");
    assert_eq!(bench.leased(), 4);
}

#[test]
fn section_12_answered_codecs() {
    let formats = |answered: &str| {
        let mut bench = Bench::new();
        bench.sdp(offer(OFFER));
        let sdp = bench.sdp(answer(&ANSWER.replace("8 101", answered)));
        let line = sdp
            .lines()
            .find(|line| line.starts_with("m="))
            .unwrap()
            .to_owned();
        line.split_once("RTP/AVP ").unwrap().1.to_owned()
    };
    assert_eq!(formats("0 8 101"), "0 8 101");
    assert_eq!(formats("3"), "8");
}

/// media-behaviour §1.1: interfaces named `BASE:SUFFIX` take turns, and a party stays on its own.
#[test]
fn interfaces_of_one_base_take_turns() {
    let mut bench = Bench::on(
        &[
            ("out:1", "203.0.113.1", None),
            ("out:2", "203.0.113.2", None),
            ("in", "192.0.2.1", None),
        ],
        30_000,
        39_999,
    );
    let mut shown = Vec::new();
    for call in ["one", "two", "three"] {
        let mut request = offer(OFFER).with("direction", strings(&["in", "out"]));
        request.set("call-id", call);
        let sdp = bench.sdp(request.clone());
        assert_eq!(bench.sdp(request), sdp, "a party stays where it is");
        let line = sdp.lines().find(|line| line.starts_with("c=")).unwrap();
        shown.push(line.to_owned());
    }
    assert_eq!(shown[0], shown[2]);
    assert_ne!(shown[0], shown[1]);
}
