//! ng-protocol §12: what a query shows, field by field.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::flow::Carries;
use crate::flow::quality::Quality;
use crate::flow::stats::SentPacket;
use crate::media::report::Sample;

const FROM: &str = "198.51.100.10";
const TO: &str = "198.51.100.20";

fn query() -> Dict {
    command("query")
}

fn connected() -> Bench {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(FROM, 2000, "")));
    bench.sdp(answer(&audio(TO, 3000, "")));
    bench
}

/// The counters of the port that is shown to the other party of `signalled`.
pub(super) fn hear(bench: &Bench, signalled: &str, packets: u64, ssrc: u32) {
    let signalled: SocketAddr = signalled.parse().unwrap();
    let clock = bench.books.packet_clock_ms();
    let flows = bench.books.flows.lock().unwrap();
    let mut all = flows.values();
    let (spec, lease) = all
        .find(|(spec, _)| spec.peer.signalled == Some(signalled))
        .unwrap();
    let stats = lease.stats();
    stats.packets_in.store(packets, Relaxed);
    stats.bytes_in.store(packets * 172, Relaxed);
    stats.errors_in.store(1, Relaxed);
    stats.last_packet_ms.store(clock + 1, Relaxed);
    let source = stats.ssrcs.slot(0).unwrap();
    source.ssrc.store(ssrc, Relaxed);
    source.packets.store(packets, Relaxed);
    source.bytes.store(packets * 160, Relaxed);
    source.last_timestamp.store(4321, Relaxed);
    source.last_sequence.store(99, Relaxed);
    source.payload_type.store(8, Relaxed);
    for sink in &spec.sinks {
        let (_, lease) = flows.get(&sink.via).unwrap();
        lease.stats().packets_out.store(packets, Relaxed);
        lease.stats().bytes_out.store(packets * 172, Relaxed);
        if sink.carries != Carries::Rtcp {
            for sequence in (0..packets - 1).zip(1..) {
                lease.stats().count_sent(SentPacket {
                    ssrc,
                    sequence: sequence.1,
                    timestamp: 1234,
                    bytes: 172,
                });
            }
        }
    }
}

pub(super) fn int(dict: &Dict, path: &str) -> i64 {
    at(dict, path).as_int().unwrap()
}

pub(super) fn text<'a>(dict: &'a Dict, path: &str) -> &'a str {
    std::str::from_utf8(at(dict, path).as_bytes().unwrap()).unwrap()
}

pub(super) fn words(dict: &Dict, path: &str) -> Vec<String> {
    let list = at(dict, path).as_list().unwrap().iter();
    list.map(|word| word.as_bytes().unwrap().escape_ascii().to_string())
        .collect()
}

#[test]
fn the_call() {
    let mut bench = connected();
    bench.wait(7);
    let reply = bench.ask(query());
    assert_eq!(
        keys(&reply, ""),
        [
            "created",
            "created_us",
            "created_ts",
            "last signal",
            "last redis update",
            "SSRC",
            "tags",
            "totals",
            "result"
        ]
    );
    assert_eq!(int(&reply, "created"), 1_700_000_000);
    assert_eq!(int(&reply, "created_ts"), 1_700_000_000_000_000);
    assert_eq!(int(&reply, "created_us"), 0);
    assert_eq!(int(&reply, "last signal"), 1_700_000_000);
    for kind in ["RTP", "RTCP"] {
        let totals = keys(&reply, &format!("totals/{kind}"));
        assert_eq!(totals, ["packets", "bytes", "errors"]);
    }
    assert_eq!(
        said(&bench.ask(query().with("call-id", "none"))),
        "Unknown call-id"
    );
    let nameless = Dict::new().with("command", "query");
    assert_eq!(said(&bench.ask(nameless)), "No call-id in message");
}

#[test]
fn a_party() {
    let mut bench = Bench::new();
    let first = offer(&audio(FROM, 2000, "")).with("via-branch", "b1");
    bench.sdp(first.with("label", "caller").with("metadata", "k:v"));
    let reply = bench.ask(query());
    assert_eq!(keys(&reply, "tags"), ["F", "<untagged 1>"]);
    assert_eq!(
        keys(&reply, "tags/F"),
        [
            "tag",
            "label",
            "created",
            "metadata",
            "subscriptions",
            "subscribers",
            "medias",
            "VSC"
        ]
    );
    assert_eq!(
        keys(&reply, "tags/<untagged 1>"),
        [
            "tag",
            "via-branch",
            "created",
            "subscriptions",
            "subscribers",
            "medias",
            "VSC"
        ]
    );
    assert_eq!(text(&reply, "tags/<untagged 1>/tag"), "");
    assert_eq!(text(&reply, "tags/F/subscriptions/0/tag"), "");
    assert_eq!(text(&reply, "tags/F/subscriptions/0/type"), "offer/answer");
    bench.sdp(answer(&audio(TO, 3000, "")).with("via-branch", "b1"));
    let reply = bench.ask(query());
    for (tag, peer) in [("F", "T"), ("T", "F")] {
        for list in ["subscriptions", "subscribers"] {
            let at = format!("tags/{tag}/{list}");
            assert_eq!(text(&reply, &format!("{at}/0/tag")), peer);
            assert_eq!(text(&reply, &format!("{at}/0/type")), "offer/answer");
            assert!(find(&reply, &format!("{at}/1")).is_none());
        }
    }
}

#[test]
fn which_parties_are_shown() {
    let mut bench = connected();
    let third = offer(&audio(FROM, 2000, "")).with("via-branch", "b3");
    bench.sdp(third);
    let none: [&str; 0] = [];
    for (request, expected) in [
        (query(), &["F", "T", "<untagged 2>"][..]),
        (query().with("from-tag", "T"), &["F", "T"]),
        (query().with("from-tag", "X"), &none),
        // to-tag goes first, unless it is empty.
        (
            query().with("from-tag", "X").with("to-tag", "T"),
            &["F", "T"],
        ),
        (
            query().with("from-tag", "T").with("to-tag", ""),
            &["F", "T"],
        ),
    ] {
        let reply = bench.ask(request.clone());
        assert_eq!(keys(&reply, "tags"), expected, "{request:?}");
        assert_eq!(said(&reply), "ok");
    }
}

#[test]
fn a_media_and_its_streams() {
    let mut bench = connected();
    hear(&bench, "198.51.100.10:2000", 50, 0xaaaa);
    let reply = bench.ask(query());
    let media = "tags/F/medias/0";
    assert_eq!(
        keys(&reply, media),
        [
            "index",
            "type",
            "protocol",
            "codec",
            "streams",
            "flags",
            "ingress SSRCs",
            "egress SSRCs"
        ]
    );
    assert_eq!(int(&reply, &format!("{media}/index")), 1);
    assert_eq!(text(&reply, &format!("{media}/type")), "audio");
    assert_eq!(text(&reply, &format!("{media}/protocol")), "RTP/AVP");
    assert_eq!(text(&reply, &format!("{media}/codec")), "PCMA/8000");
    assert_eq!(
        words(&reply, &format!("{media}/flags")),
        ["initialized", "send", "recv"]
    );
    // Without packets there is no codec in use.
    assert!(find(&reply, "tags/T/medias/0/codec").is_none());

    let stream = |n: u8, key: &str| format!("{media}/streams/{n}/{key}");
    assert_eq!(
        keys(&reply, &format!("{media}/streams/0")),
        [
            "local port",
            "local address",
            "family",
            "endpoint",
            "advertised endpoint",
            "last packet",
            "last kernel packet",
            "last user packet",
            "SSRC",
            "flags",
            "stats",
            "stats_out",
            "path",
            "path reason"
        ]
    );
    assert_eq!(text(&reply, &stream(0, "local address")), "203.0.113.1");
    assert_eq!(text(&reply, &stream(0, "family")), "IPv4");
    assert_eq!(
        text(&reply, &stream(0, "advertised endpoint/family")),
        "IPv4"
    );
    assert_eq!(
        text(&reply, &stream(0, "advertised endpoint/address")),
        FROM
    );
    assert_eq!(int(&reply, &stream(0, "advertised endpoint/port")), 2000);
    assert_eq!(int(&reply, &stream(1, "advertised endpoint/port")), 2001);
    let port = int(&reply, &stream(0, "local port"));
    assert_eq!(int(&reply, &stream(1, "local port")), port + 1);
    assert_eq!(words(&reply, &stream(0, "flags")), ["RTP", "filled"]);
    assert_eq!(words(&reply, &stream(1, "flags")), ["RTCP", "filled"]);
    assert_eq!(int(&reply, &stream(0, "last packet")), 1_700_000_000);
    assert_eq!(int(&reply, &stream(0, "SSRC")), 0xaaaa);
    assert_eq!(int(&reply, &stream(0, "stats/packets")), 50);
    assert_eq!(int(&reply, &stream(0, "stats/bytes")), 8600);
    assert_eq!(int(&reply, &stream(0, "stats/errors")), 1);
    assert_eq!(int(&reply, &stream(0, "stats_out/packets")), 0);
    assert_eq!(
        int(&reply, "tags/T/medias/0/streams/0/stats_out/packets"),
        50
    );
    assert_eq!(int(&reply, "totals/RTP/packets"), 50);
    assert_eq!(int(&reply, "totals/RTP/errors"), 1);
    assert_eq!(int(&reply, "totals/RTCP/packets"), 0);
}

#[test]
fn sources_come_in_by_one_party_and_leave_to_the_other() {
    let mut bench = connected();
    hear(&bench, "198.51.100.10:2000", 50, 0xaaaa);
    hear(&bench, "198.51.100.20:3000", 40, 0xbbbb);
    let reply = bench.ask(query());
    for (tag, comes, leaves) in [("F", 0xaaaa, 0xbbbb), ("T", 0xbbbb, 0xaaaa)] {
        let media = format!("tags/{tag}/medias/0");
        assert_eq!(int(&reply, &format!("{media}/ingress SSRCs/0/SSRC")), comes);
        assert_eq!(int(&reply, &format!("{media}/egress SSRCs/0/SSRC")), leaves);
        assert!(find(&reply, &format!("{media}/egress SSRCs/1")).is_none());
    }
    // What was sent is counted where it was sent: one packet less than was heard.
    let sent = |name| int(&reply, &format!("tags/T/medias/0/egress SSRCs/0/{name}"));
    assert_eq!((sent("packets"), sent("bytes")), (49, 49 * 172));
    assert_eq!(
        (sent("last RTP timestamp"), sent("last RTP seq")),
        (1234, 49)
    );
    let entry = "tags/F/medias/0/ingress SSRCs/0";
    assert_eq!(
        keys(&reply, entry),
        [
            "SSRC",
            "bytes",
            "packets",
            "last RTP timestamp",
            "last RTP seq"
        ]
    );
    assert_eq!(keys(&reply, "SSRC"), ["43690", "48059"]);
    assert_eq!(
        keys(&reply, "SSRC/43690"),
        ["bytes", "packets", "last RTP timestamp", "last RTP seq"]
    );
    assert_eq!(int(&reply, "SSRC/43690/packets"), 50);
    assert_eq!(int(&reply, "SSRC/43690/bytes"), 8000);
    assert_eq!(int(&reply, "SSRC/43690/last RTP timestamp"), 4321);
    assert_eq!(int(&reply, "SSRC/43690/last RTP seq"), 99);
}

/// Acts on the reports of every source that is heard.
fn report(bench: &Bench, act: impl Fn(&mut Quality)) {
    let flows = bench.books.flows.lock().unwrap();
    for (_, lease) in flows.values() {
        let source = lease.stats().ssrcs.slot(0).unwrap();
        if source.is_known() {
            source.lost.store(7, Relaxed);
            let quality = source.quality.get_or_init(Box::default);
            act(&mut quality.lock().unwrap());
        }
    }
}

#[test]
fn quality_shows_once_there_is_a_sample() {
    let mut bench = connected();
    hear(&bench, "198.51.100.10:2000", 50, 0xaaaa);
    assert!(find(&bench.ask(query()), "SSRC/43690/cumulative loss").is_none());
    let sample = Sample {
        mos: Some(43),
        round_trip_us: 25_000,
        round_trip_leg_us: 12_000,
        jitter_ms: 3,
        loss_percent: 1,
    };
    report(&bench, |quality| {
        quality.observe(
            Sample {
                mos: None,
                ..sample
            },
            0,
        );
    });
    assert!(find(&bench.ask(query()), "SSRC/43690/cumulative loss").is_none());
    report(&bench, |quality| quality.observe(sample, 2000));
    let reply = bench.ask(query());
    assert_eq!(
        keys(&reply, "SSRC/43690"),
        [
            "bytes",
            "packets",
            "last RTP timestamp",
            "last RTP seq",
            "cumulative loss",
            "average MOS",
            "lowest MOS",
            "highest MOS",
            "MOS progression"
        ]
    );
    assert_eq!(
        keys(&reply, "SSRC/43690/average MOS"),
        [
            "MOS",
            "round-trip time",
            "round-trip time leg",
            "jitter",
            "packet loss",
            "samples"
        ]
    );
    let look = [
        "MOS",
        "round-trip time",
        "round-trip time leg",
        "jitter",
        "packet loss",
        "reported at",
    ];
    for name in ["lowest MOS", "highest MOS", "MOS progression/entries/0"] {
        assert_eq!(keys(&reply, &format!("SSRC/43690/{name}")), look);
    }
    for (path, value) in [
        ("cumulative loss", 7),
        ("average MOS/MOS", 43),
        ("average MOS/round-trip time", 25_000),
        ("average MOS/round-trip time leg", 12_000),
        ("average MOS/jitter", 3),
        ("average MOS/packet loss", 1),
        ("average MOS/samples", 1),
        ("lowest MOS/reported at", 1_700_000_000),
    ] {
        assert_eq!(int(&reply, &format!("SSRC/43690/{path}")), value, "{path}");
    }
    assert_eq!(
        keys(&reply, "SSRC/43690/MOS progression"),
        ["interval", "entries"]
    );
}

#[test]
fn a_source_that_several_medias_hear_has_one_entry() {
    // One source at both parties, as after a merge (ng-protocol §12).
    let mut bench = connected();
    hear(&bench, "198.51.100.10:2000", 50, 0xaaaa);
    hear(&bench, "198.51.100.20:3000", 60, 0xaaaa);
    let reply = bench.ask(query());
    assert_eq!(keys(&reply, "SSRC"), ["43690"]);
    // That of the first media in the order of `tags`; the lists of the medias keep theirs.
    assert_eq!(keys(&reply, "tags"), ["F", "T"]);
    assert_eq!(int(&reply, "SSRC/43690/packets"), 50);
    for (tag, packets) in [("F", 50), ("T", 60)] {
        let path = format!("tags/{tag}/medias/0/ingress SSRCs/0");
        assert_eq!(int(&reply, &format!("{path}/SSRC")), 0xaaaa);
        assert_eq!(int(&reply, &format!("{path}/packets")), packets);
    }
}

#[test]
fn both_streams_are_there_without_ports_of_their_own() {
    let mut bench = Bench::new();
    let mux = "a=rtcp-mux\n";
    let request = offer(&(audio(FROM, 2000, mux) + "m=video 0 RTP/AVP 96\n"));
    bench.sdp(request.with("rtcp-mux", strings(&["require"])));
    let reply = bench.ask(query());
    // RTCP on the port of RTP, and a party that has not said where it is.
    let stream = "tags/<untagged 1>/medias/0/streams";
    assert_eq!(int(&reply, &format!("{stream}/1/local port")), 0);
    assert_eq!(
        text(&reply, &format!("{stream}/1/local address")),
        "203.0.113.1"
    );
    for key in ["endpoint", "advertised endpoint"] {
        assert!(keys(&reply, &format!("{stream}/0/{key}")).is_empty());
    }
    // A line that is turned down.
    let media = "tags/F/medias/1";
    assert_eq!(int(&reply, &format!("{media}/index")), 2);
    for (n, kind) in [(0, "RTP"), (1, "RTCP")] {
        assert!(find(&reply, &format!("{media}/streams/{n}/local port")).is_none());
        assert_eq!(words(&reply, &format!("{media}/streams/{n}/flags")), [kind]);
    }
}

const CRYPTO: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\n";

fn secure(host: &str, port: u16, lines: &str) -> String {
    audio(host, port, lines).replace("RTP/AVP", "RTP/SAVP")
}

#[test]
fn the_suite_is_that_of_the_keys_in_use() {
    let suite = |bench: &mut Bench, tag: &str| {
        let reply = bench.ask(query());
        let path = format!("tags/{tag}/medias/0/streams/0/crypto suite");
        find(&reply, &path).map(|suite| suite.as_str().unwrap().to_owned())
    };
    let mut bench = Bench::new();
    bench.sdp(offer(&secure(FROM, 2000, CRYPTO)).with("SDES", strings(&["nonew"])));
    assert_eq!(suite(&mut bench, "F"), None, "offered");
    // A suite that was not offered agrees on nothing.
    let other = CRYPTO.replace("SHA1_80", "SHA1_32");
    bench.sdp(answer(&secure(TO, 3000, &other)));
    assert_eq!(suite(&mut bench, "T"), None, "unfit");
    bench.sdp(answer(&secure(TO, 3000, CRYPTO)));
    for tag in ["F", "T"] {
        let suite = suite(&mut bench, tag);
        assert_eq!(suite.as_deref(), Some("AES_CM_128_HMAC_SHA1_80"), "{tag}");
    }
}

#[test]
fn what_is_left_out_of_srtp_is_shown_and_logged_once() {
    let weak = CRYPTO.replace('\n', " UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP\n");
    let mut bench = Bench::new();
    let ((), log) = logged(|| {
        for _ in 0..2 {
            let offered = offer(&secure(FROM, 2000, &weak)).with("transport-protocol", "RTP/AVP");
            bench.sdp(offered);
            bench.sdp(answer(&audio(TO, 3000, "")));
        }
    });
    let left_out = "UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP";
    let reply = bench.ask(query());
    let stream = "tags/F/medias/0/streams/0";
    assert_eq!(
        text(&reply, &format!("{stream}/crypto parameters")),
        left_out
    );
    assert!(find(&reply, "tags/T/medias/0/streams/0/crypto parameters").is_none());
    assert_eq!(log.matches(left_out).count(), 1, "{log}");
    assert!(!log.contains("d0RmdmcmVCsp"), "{log}");
}

#[test]
fn flags_of_medias_and_streams() {
    let mux = "a=rtcp-mux\n";
    let two = format!(
        "{}{CRYPTO}",
        CRYPTO.replace("1 AES_CM_128_HMAC_SHA1_80", "2 AES_CM_128_HMAC_SHA1_32")
    );
    type Row = (String, Dict, String, &'static [&'static str]);
    let rows: [Row; 8] = [
        (
            audio(FROM, 2000, mux),
            Dict::new(),
            audio(TO, 3000, mux),
            &["initialized", "send", "recv", "rtcp-mux"],
        ),
        (
            audio(FROM, 2000, ""),
            Dict::new().with("flags", strings(&["asymmetric", "unidirectional"])),
            audio(TO, 3000, ""),
            &[
                "initialized",
                "asymmetric",
                "send",
                "recv",
                "unidirectional",
            ],
        ),
        (
            audio(FROM, 2000, "a=sendonly\n"),
            Dict::new(),
            audio(TO, 3000, "a=recvonly\n"),
            &["initialized", "recv"],
        ),
        (
            secure(FROM, 2000, CRYPTO),
            Dict::new(),
            secure(TO, 3000, CRYPTO),
            &["initialized", "send", "recv", "SDES"],
        ),
        (
            secure(FROM, 2000, &two),
            Dict::new().with("SDES", strings(&["offerer_pref:AES_CM_128_HMAC_SHA1_80"])),
            secure(TO, 3000, CRYPTO),
            &["initialized", "send", "recv", "SDES", "SDES reordered"],
        ),
        (
            secure(FROM, 2000, &two),
            Dict::new().with("SDES", strings(&["offerer_pref:AES_CM_128_HMAC_SHA1_32"])),
            secure(TO, 3000, CRYPTO),
            &["initialized", "send", "recv", "SDES"],
        ),
        (
            audio(FROM, 2000, "").replace("AVP", "AVPF"),
            Dict::new(),
            audio(TO, 3000, "").replace("AVP", "AVPF"),
            &["initialized", "send", "recv", "RTCP feedback"],
        ),
        (
            audio(FROM, 2000, ""),
            Dict::new().with("media-echo", "both"),
            audio(TO, 3000, ""),
            &["initialized", "send", "recv", "echo"],
        ),
    ];
    for (offered, more, answered, expected) in rows {
        let mut bench = Bench::new();
        let mut request = offer(&offered);
        request.extend(more.into_entries());
        bench.sdp(request);
        bench.sdp(answer(&answered));
        let reply = bench.ask(query());
        assert_eq!(
            words(&reply, "tags/F/medias/0/flags"),
            expected,
            "{offered}"
        );
        if expected.contains(&"rtcp-mux") {
            let flags = words(&reply, "tags/F/medias/0/streams/0/flags");
            assert_eq!(flags, ["RTP", "RTCP", "filled"]);
            let flags = words(&reply, "tags/F/medias/0/streams/1/flags");
            assert_eq!(flags, ["RTCP", "fallback RTCP", "filled"]);
        }
        if expected.contains(&"SDES") {
            let suite = text(&reply, "tags/F/medias/0/streams/0/crypto suite");
            assert_eq!(suite, "AES_CM_128_HMAC_SHA1_80");
        }
    }
    let mut bench = Bench::new();
    let strict = offer(&audio(FROM, 2000, "")).with("flags", strings(&["strict-source"]));
    bench.sdp(strict);
    let reply = bench.ask(query());
    let flags = words(&reply, "tags/F/medias/0/streams/0/flags");
    assert_eq!(flags, ["RTP", "filled", "strict source address"]);
}

#[test]
fn recording_and_forwarding() {
    let mut bench = connected();
    assert!(find(&bench.ask(query()), "recording").is_none());
    let directional = |name| {
        let request = command(name).with("from-tag", "F");
        request.with("flags", strings(&["directional"]))
    };
    bench.ask(directional("start forwarding"));
    let forwarding = |bench: &mut Bench| {
        let reply = bench.ask(query());
        find(&reply, "recording")?;
        assert_eq!(keys(&reply, "recording"), ["call recording", "forwarding"]);
        assert_eq!(keys(&reply, "tags/F/recording"), ["excluded", "forwarding"]);
        let of = |path: &str| int(&reply, &format!("{path}recording/forwarding"));
        Some([of(""), of("tags/F/"), of("tags/T/")])
    };
    assert_eq!(forwarding(&mut bench), Some([0, 1, 0]));
    bench.ask(command("start forwarding").with("from-tag", "F"));
    assert_eq!(forwarding(&mut bench), Some([1, 1, 0]));
    // The state of the parties stays without `all`.
    bench.ask(command("stop forwarding"));
    assert_eq!(forwarding(&mut bench), Some([0, 1, 0]));
    bench.ask(command("stop forwarding").with("all", "all"));
    assert_eq!(forwarding(&mut bench), None);
}
