//! What subscribers are offered, and what they get (spec: ng-protocol §5, `subscribe request`;
//! sdp-rewriting §13).

use super::ng_05_commands::{flow_of, reason};
use super::*;
use crate::flow::{Carries, Sink};

const A: &str = "198.51.100.10:2000";
const B: &str = "198.51.100.20:3000";
const S: &str = "198.51.100.40:6000";
const AUDIO: &str = "m=audio 2000 RTP/AVP 8\n";
const VIDEO: &str = "m=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";

fn other_ports(lines: &str) -> String {
    lines
        .replace(" 2000 ", " 3000 ")
        .replace(" 2002 ", " 3002 ")
}

/// Both parties with these lines.
fn talking(lines: &str) -> Bench {
    let mut bench = Bench::new();
    bench.sdp(from_a(lines));
    bench.sdp(from_b(&other_ports(lines)));
    bench
}

/// A subscription of `S` to these sources.
fn subscribe(sources: &[&str], flags: &[&str]) -> Dict {
    command("subscribe request")
        .with("from-tags", strings(sources))
        .with("to-tag", "S")
        .with("flags", strings(flags))
}

fn accept(lines: &str) -> Dict {
    command("subscribe answer")
        .with("to-tag", "S")
        .with("sdp", party("198.51.100.40", lines).replace('\n', "\r\n"))
}

/// The m= lines: type, port.
fn lines(sdp: &str) -> Vec<(String, u16)> {
    let media = sdp.lines().filter_map(|line| line.strip_prefix("m="));
    media
        .map(|line| {
            let mut words = line.split(' ');
            let kind = words.next().unwrap().to_owned();
            (kind, words.next().unwrap().parse().unwrap())
        })
        .collect()
}

fn values<'a>(sdp: &'a str, name: &str) -> Vec<&'a str> {
    let name = format!("a={name}:");
    let lines = sdp.lines();
    lines.filter_map(|line| line.strip_prefix(&name)).collect()
}

fn direction(sdp: &str) -> &str {
    let names = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let mut lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
    lines.find(|name| names.contains(name)).unwrap()
}

fn sinks_to(bench: &Bench, source: &str, sink: &str) -> Vec<Sink> {
    let local = flow_of(bench, sink).local;
    let port = |local: SocketAddr| (local.ip(), local.port() & !1);
    let sinks = flow_of(bench, source).sinks.into_iter();
    sinks.filter(|sink| port(sink.via) == port(local)).collect()
}

/// What of a source's packets reaches a party: RTP, RTCP that came on the RTP port.
fn hears(bench: &Bench, source: &str, sink: &str) -> (bool, bool) {
    let sinks = sinks_to(bench, source, sink);
    let carries = |wanted| sinks.iter().filter(|sink| sink.carries == wanted).count();
    assert!(
        carries(Carries::Rtp) < 2 && carries(Carries::Rtcp) < 2,
        "{sinks:?}"
    );
    (carries(Carries::Rtp) == 1, carries(Carries::Rtcp) == 1)
}

/// §5.1
#[test]
fn the_first_source_lends_its_session_lines() {
    let with = |sdp: &str, name: &str, address: &str| {
        sdp.replace("o=- 1 1", &format!("o={name} 5 1"))
            .replace("s=-\n", &format!("s={name}'s\ni=of {name}\n"))
            .replace("t=0 0\n", "t=1 2\na=tool:x\n")
            .replace("198.51.100.1", address)
    };
    let mut bench = Bench::new();
    let sdp = party("198.51.100.10", AUDIO);
    bench.sdp(offer(&with(&sdp, "ann", "198.51.100.1")));
    let sdp = party("198.51.100.20", &other_ports(AUDIO));
    bench.sdp(answer(&with(&sdp, "bob", "198.51.100.1")));
    for (sources, name, address, has_attributes) in [
        (&["F", "T"][..], "ann", "198.51.100.10", false),
        (&["T", "F"], "bob", "198.51.100.20", false),
        (&["T"], "bob", "198.51.100.20", true),
    ] {
        let sdp = bench.sdp(command("subscribe request").with("from-tags", strings(sources)));
        let attributes = if has_attributes { "a=tool:x\n" } else { "" };
        assert!(
            sdp.starts_with(&format!(
                "v=0\no={name} 5 1 IN IP4 {address}\ns={name}'s\ni=of {name}\nt=1 2\n{attributes}m="
            )),
            "{sdp}"
        );
    }
    let replaced = command("subscribe request")
        .with("from-tags", strings(&["F", "T"]))
        .with("replace", strings(&["origin"]));
    let sdp = bench.sdp(replaced);
    assert!(
        sdp.contains("\no=ann 5 1 IN IP4 203.0.113.1\ns=ann's\n"),
        "{sdp}"
    );
}

/// §5.2
#[test]
fn a_source_keeps_its_line_in_whatever_order_it_is_named() {
    let mut bench = talking(AUDIO);
    let first = lines(&bench.sdp(subscribe(&["F", "T"], &[])));
    assert_eq!(first.len(), 2);
    let both = AUDIO.to_owned() + VIDEO;
    bench.sdp(from_a(&both).with("to-tag", "T"));
    bench.sdp(from_b(&other_ports(&both)));
    let reply = bench.ask(subscribe(&["T", "F"], &[]));
    let second = lines(&reply.get_str("sdp").unwrap().replace("\r\n", "\n"));
    assert_eq!(first, second[..2]);
    let kinds: Vec<&str> = second.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["audio", "audio", "video", "video"]);
    assert_eq!(at(&reply, "from-tags"), &strings(&["F", "T", "T", "F"]));
    // One who comes then gets them party by party.
    let reply = bench.ask(command("subscribe request").with("from-tags", strings(&["F", "T"])));
    assert_eq!(at(&reply, "from-tags"), &strings(&["F", "F", "T", "T"]));
}

/// A line whose source is not named any more is turned down in its place (RFC 3264 §8.2), and
/// serves the next source of its type.
#[test]
fn a_line_without_a_source_is_turned_down_in_its_place() {
    let mut bench = talking(AUDIO);
    let before = bench.leased();
    let first = lines(&bench.sdp(subscribe(&["F", "T"], &[])));
    assert_eq!(
        reason(&bench.ask(accept("m=audio 6000 RTP/AVP 8\nm=audio 6002 RTP/AVP 8\n"))),
        "ok"
    );
    let second = lines(&bench.sdp(subscribe(&["T"], &[])));
    assert_eq!(second, [("audio".to_owned(), 0), first[1].clone()]);
    assert_eq!(bench.leased(), before + 2);
    assert_eq!(hears(&bench, B, "198.51.100.40:6002"), (true, true));
    let third = lines(&bench.sdp(subscribe(&["T", "F"], &[])));
    assert_eq!((third.len(), &third[1]), (2, &first[1]));
    assert_ne!(third[0].1, 0);
    assert_eq!(bench.leased(), before + 4);
}

/// §5.3
#[test]
fn siprec_labels_count_all_medias_of_the_call() {
    let mut bench = talking(&format!("{AUDIO}a=label:own\n"));
    let labels = |sdp: &str| values(sdp, "label").join(" ");
    let sdp = bench.sdp(subscribe(&["F", "T"], &["SIPREC"]));
    assert_eq!(labels(&sdp), "0 1");
    let both = AUDIO.to_owned() + VIDEO;
    bench.sdp(from_a(&both).with("to-tag", "T"));
    bench.sdp(from_b(&other_ports(&both)));
    let reply = bench.ask(subscribe(&["T", "F"], &["SIPREC"]));
    let sdp = reply.get_str("sdp").unwrap().replace("\r\n", "\n");
    assert_eq!(labels(&sdp), "0 1 5 4");
    assert_eq!(keys(&reply, "media-labels"), ["0", "1", "5", "4"]);
    for (line, tag, label) in [(0, "F", "0"), (1, "T", "1"), (2, "T", "5"), (3, "F", "4")] {
        let line = format!("tag-medias/{line}");
        let text = |path: &str| at(&reply, &format!("{line}/{path}")).as_bytes().unwrap();
        assert_eq!(text("tag"), tag.as_bytes());
        assert_eq!(text("medias/0/label"), label.as_bytes());
        assert!(find(&reply, &format!("{line}/medias/1")).is_none());
    }
    assert!(find(&reply, "tag-medias/4").is_none());
}

#[test]
fn siprec_labels_stay_apart_when_calls_are_merged() {
    let mut bench = talking(AUDIO);
    for (name, tag) in [("offer", None), ("answer", Some("U"))] {
        let request = Dict::new()
            .with("command", name)
            .with("call-id", "other")
            .with("from-tag", "G")
            .with_some("to-tag", tag)
            .with("sdp", party("198.51.100.50", AUDIO).replace('\n', "\r\n"));
        bench.sdp(request);
    }
    let merge = command("mesh").with("calls", strings(&["call", "other"]));
    assert_eq!(reason(&bench.ask(merge)), "ok");
    let sdp = bench.sdp(subscribe(&["F", "T", "G", "U"], &["SIPREC"]));
    assert_eq!(values(&sdp, "label"), ["0", "1", "2", "3"]);
}

/// §5.4, §5.5
#[test]
fn mode_is_ours_and_the_offer_follows_the_source() {
    for (said, mode, plain, bidirectional) in [
        ("sendrecv", "sendrecv", "sendonly", "sendrecv"),
        ("sendonly", "recvonly", "sendonly", "sendonly"),
        ("recvonly", "sendonly", "inactive", "recvonly"),
        ("inactive", "inactive", "inactive", "inactive"),
    ] {
        let mut bench = Bench::new();
        bench.sdp(from_a(&format!("{AUDIO}a={said}\n")));
        // Whatever its peer makes of it.
        bench.sdp(from_b(&other_ports(AUDIO)));
        let reply = bench.ask(subscribe(&["F"], &["SIPREC"]));
        for path in ["tag-medias/0/medias/0/mode", "media-labels/0/mode"] {
            assert_eq!(at(&reply, path).as_bytes(), Some(mode.as_bytes()), "{said}");
        }
        assert_eq!(
            direction(&reply.get_str("sdp").unwrap().replace("\r\n", "\n")),
            plain
        );
        let sdp = bench.sdp(subscribe(&["F"], &["bidirectional"]));
        assert_eq!(direction(&sdp), bidirectional, "{said}");
        let sdp = bench.sdp(subscribe(&["F"], &["bidirectional", "inactive"]));
        assert_eq!(direction(&sdp), "inactive");
    }
}

#[test]
fn a_subscriber_is_offered_media_again_after_the_hold() {
    let mut bench = Bench::new();
    bench.sdp(from_a(&format!("{AUDIO}a=recvonly\n")));
    bench.sdp(from_b(&other_ports(AUDIO)));
    assert_eq!(direction(&bench.sdp(subscribe(&["F"], &[]))), "inactive");
    bench.sdp(from_a(AUDIO).with("to-tag", "T"));
    bench.sdp(from_b(&other_ports(AUDIO)));
    assert_eq!(direction(&bench.sdp(subscribe(&["F"], &[]))), "sendonly");
}

/// §5.6
#[test]
fn a_subscriber_pauses_by_its_answer() {
    let mut bench = talking(AUDIO);
    bench.sdp(subscribe(&["F"], &[]));
    for (said, has_media) in [
        ("recvonly", true),
        ("inactive", false),
        ("sendrecv", true),
        ("sendonly", false),
        ("recvonly", true),
    ] {
        let answer = accept(&format!("m=audio 6000 RTP/AVP 8\na={said}\n"));
        assert_eq!(reason(&bench.ask(answer)), "ok");
        assert_eq!(hears(&bench, A, S), (has_media, true), "{said}");
        // Nobody else pauses with it.
        assert_eq!(hears(&bench, A, B), (true, true));
    }
}

/// §5.7
#[test]
fn a_subscriber_is_offered_the_codecs_of_the_answer() {
    let offered = "m=audio 2000 RTP/AVP 0 96 8\na=rtpmap:96 opus/48000/2\n\
        a=fmtp:96 minptime=10;useinbandfec=1\na=rtcp-fb:96 nack\na=label:x\n";
    let answered = "m=audio 3000 RTP/AVP 96 0\na=rtpmap:96 opus/48000/2\na=fmtp:96 usedtx=1\n";
    let mut bench = Bench::new();
    bench.sdp(from_a(offered));
    bench.sdp(from_b(answered));
    for source in ["F", "T"] {
        let sdp = bench.sdp(command("subscribe request").with("from-tag", source));
        assert!(sdp.contains(" RTP/AVP 96 0\n"), "{sdp}");
        assert_eq!(values(&sdp, "fmtp"), ["96 usedtx=1"]);
        assert!(values(&sdp, "rtcp-fb").is_empty(), "{sdp}");
    }
    // The answerer offers in its turn: then its lines are the offer, and the other one's count.
    let swapped = |from: &str, lines: &str| {
        let sdp = party(from, lines);
        let role = if from.ends_with("20") {
            offer(&sdp)
        } else {
            answer(&sdp)
        };
        let mut request = role;
        request.set("from-tag", "T");
        request.set("to-tag", "F");
        request
    };
    bench.sdp(swapped("198.51.100.20", &other_ports(offered)));
    bench.sdp(swapped("198.51.100.10", "m=audio 2000 RTP/AVP 8 0\n"));
    for source in ["F", "T"] {
        let sdp = bench.sdp(command("subscribe request").with("from-tag", source));
        assert!(sdp.contains(" RTP/AVP 8 0\n"), "{source}: {sdp}");
    }
}

/// §5.8
#[test]
fn a_subscriber_does_not_see_the_mid_of_its_source() {
    let mut bench = talking(&format!("{AUDIO}a=mid:0\n{VIDEO}a=mid:1\n"));
    let sdp = bench.sdp(command("subscribe request").with("from-tags", strings(&["F", "T"])));
    assert!(!sdp.contains("a=mid"), "{sdp}");
    for flag in ["generate-mid", "WebRTC"] {
        let request = command("subscribe request")
            .with("from-tags", strings(&["F", "T"]))
            .with("flags", strings(&[flag]));
        let sdp = bench.sdp(request);
        assert_eq!(values(&sdp, "mid"), ["1", "2", "3", "4"], "{flag}");
        assert!(!sdp.contains("a=group"), "{flag}: {sdp}");
    }
}

/// §5.9
#[test]
fn sources_of_a_type_share_a_line_where_they_are_mixed() {
    let mut bench = talking(&(AUDIO.to_owned() + VIDEO));
    let reply = bench.ask(subscribe(&["F", "T"], &["mix"]));
    let sdp = reply.get_str("sdp").unwrap().replace("\r\n", "\n");
    let kinds: Vec<String> = lines(&sdp).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["audio", "video"]);
    assert_eq!(at(&reply, "from-tags"), &strings(&["F", "T", "F", "T"]));
    bench.ask(accept("m=audio 6000 RTP/AVP 8\nm=video 6002 RTP/AVP 96\n"));
    for source in [A, B] {
        assert_eq!(hears(&bench, source, S), (true, true));
        assert_eq!(hears(&bench, source, "198.51.100.40:6002"), (false, false));
    }
    // Once more, in another order, changes nothing.
    assert_eq!(
        lines(&bench.sdp(subscribe(&["T", "F"], &["mix"]))),
        lines(&sdp)
    );
    assert_eq!(hears(&bench, B, S), (true, true));
}

/// §5.10
#[test]
fn an_egress_subscriber_hears_the_source_without_its_reports() {
    let mut bench = talking(AUDIO);
    bench.sdp(subscribe(&["F"], &["egress"]));
    bench.ask(accept("m=audio 6000 RTP/AVP 8\n"));
    assert_eq!(hears(&bench, A, S), (true, false));
    assert_eq!(hears(&bench, B, S), (false, false));
    // What is withheld from the peer is withheld from it.
    let block = command("block media")
        .with("from-tag", "F")
        .with("to-tag", "T")
        .with("flags", strings(&["directional"]));
    assert_eq!(reason(&bench.ask(block)), "ok");
    let sinks = sinks_to(&bench, A, S);
    assert!(sinks[0].rules.as_deref().unwrap().withhold.drop_media);
}

/// §5.11
#[test]
fn rtcp_of_a_subscriber_goes_to_the_source_where_it_is_mirrored() {
    for flag in ["rtcp-mirror", "mirror-RTCP"] {
        for flags in [&[flag][..], &[flag, "bidirectional"]] {
            let mut bench = talking(AUDIO);
            bench.sdp(subscribe(&["F"], flags));
            bench.ask(accept("m=audio 6000 RTP/AVP 8\n"));
            let is_both = flags.len() == 2;
            assert_eq!(hears(&bench, S, A), (is_both, true));
            assert_eq!(hears(&bench, S, B), (false, false));
            // From the RTCP port of each to that of the other.
            let reports = flow_of(&bench, "198.51.100.40:6001").sinks;
            let to = flow_of(&bench, "198.51.100.10:2001").local;
            assert_eq!(
                reports.iter().map(|sink| sink.via).collect::<Vec<_>>(),
                [to]
            );
            // Beside those of its peer.
            assert_eq!(hears(&bench, B, A), (true, true));
        }
    }
}

/// §5.12
#[test]
fn surplus_lines_of_an_answer_are_ignored_and_missing_ones_stay() {
    let mut bench = talking(&(AUDIO.to_owned() + VIDEO));
    bench.sdp(subscribe(&["F"], &[]));
    let video = "m=video 6002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";
    let surplus = format!("m=audio 6000 RTP/AVP 8\n{video}m=audio 6004 RTP/AVP 8\n");
    assert_eq!(reason(&bench.ask(accept(&surplus))), "ok");
    let source = "198.51.100.10:2002";
    let sink = "198.51.100.40:6002";
    assert_eq!(hears(&bench, source, sink), (true, true));
    assert_eq!(reason(&bench.ask(accept("m=audio 6010 RTP/AVP 8\n"))), "ok");
    assert_eq!(hears(&bench, source, sink), (true, true));
    assert_eq!(hears(&bench, A, "198.51.100.40:6010"), (true, true));
}

/// §1.3
#[test]
fn a_subscriber_among_the_sources_is_skipped() {
    let mut bench = talking(AUDIO);
    let request = |selection: Dict| {
        let mut request = command("subscribe request").with("to-tag", "T");
        request.extend(selection.into_entries());
        request
    };
    for selection in [
        Dict::new().with("all", "all"),
        Dict::new().with("from-tags", strings(&["T", "nobody", "F"])),
    ] {
        let reply = bench.ask(request(selection));
        assert_eq!(at(&reply, "from-tags"), &strings(&["F"]));
        // What it is offered beside its line of the call.
        let sdp = reply.get_str("sdp").unwrap().replace("\r\n", "\n");
        assert_eq!(lines(&sdp).len(), 2, "{sdp}");
        assert_eq!(hears(&bench, A, B), (true, true));
    }
    let alone = Dict::new().with("from-tag", "T");
    assert_eq!(
        reason(&bench.ask(request(alone))),
        "Failed to request subscription"
    );
}

/// The other family, and a party that re-offers from there.
#[test]
fn a_subscriber_of_another_family_keeps_its_line() {
    let mut bench = talking(AUDIO);
    let request = || subscribe(&["F"], &[]).with("address-family", "IP6");
    let first = bench.sdp(request());
    assert!(first.contains("c=IN IP6 2001:db8::1\n"), "{first}");
    let sdp = audio("2001:db8::40", 6000, "");
    let accept = || {
        command("subscribe answer")
            .with("to-tag", "S")
            .with("sdp", sdp.replace('\n', "\r\n"))
    };
    assert_eq!(reason(&bench.ask(accept())), "ok");
    assert_eq!(hears(&bench, A, "[2001:db8::40]:6000"), (true, true));
    // The source moves, by an offer of the other party.
    let mut request_b = offer(&party("198.51.100.20", &other_ports(AUDIO)));
    request_b.set("from-tag", "T");
    bench.sdp(request_b.with("to-tag", "F"));
    let mut answer_a = answer(&audio("2001:db8::10", 2000, ""));
    answer_a.set("from-tag", "T");
    answer_a.set("to-tag", "F");
    bench.sdp(answer_a);
    let again = bench.sdp(subscribe(&["F"], &[]));
    assert_eq!(lines(&again), lines(&first));
    assert!(again.contains("c=IN IP6 2001:db8::1\n"), "{again}");
    assert_eq!(
        hears(&bench, "[2001:db8::10]:2000", "[2001:db8::40]:6000"),
        (true, true)
    );
}
