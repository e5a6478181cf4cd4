//! Who hears whom after `connect` and `mesh` (spec: ng-protocol §5).

use super::ng_05_commands::{FROM, TO, connect, connected, flow_of, reason};
use super::*;

const C: &str = "198.51.100.50:2000";
const D: &str = "198.51.100.60:3000";

/// The parties of two calls: A and B are `F` and `T`, C and D are `G` and `U`.
fn two_calls() -> Bench {
    let mut bench = connected();
    connect(&mut bench, "other", "G", "U", 50);
    bench
}

/// Who gets the packets of a party.
fn heard_by(bench: &Bench, party: &str) -> Vec<&'static str> {
    let flow = flow_of(bench, party);
    let mut hearers: Vec<&str> = Vec::new();
    for (name, signalled) in [("A", FROM), ("B", TO), ("C", C), ("D", D)] {
        let local = flow_of(bench, signalled).local;
        let copies = flow
            .sinks
            .iter()
            .filter(|sink| sink.via == local && sink.carries == crate::flow::Carries::Rtp);
        hearers.extend(copies.map(|_| name));
    }
    hearers
}

fn hearing(bench: &Bench) -> [String; 4] {
    [FROM, TO, C, D].map(|party| heard_by(bench, party).concat())
}

fn joining(flags: &[&str]) -> Dict {
    Dict::new()
        .with("command", "connect")
        .with("call-id", "other")
        .with("from-tag", "G")
        .with("to-tag", "T")
        .with("to-call-id", "call")
        .with("flags", strings(flags))
}

#[test]
fn a_directional_connect_only_adds() {
    let mut bench = two_calls();
    assert_eq!(reason(&bench.ask(joining(&["directional"]))), "ok");
    assert_eq!(hearing(&bench), ["B", "A", "BD", "C"]);
    // Once more changes nothing, and no source is heard twice.
    assert_eq!(reason(&bench.ask(joining(&["directional"]))), "ok");
    assert_eq!(hearing(&bench), ["B", "A", "BD", "C"]);
    let both = joining(&["directional", "bidirectional"]);
    assert_eq!(reason(&bench.ask(both)), "ok");
    assert_eq!(hearing(&bench), ["B", "AC", "BD", "C"]);
}

#[test]
fn a_plain_connect_is_a_transfer() {
    for flags in [&[][..], &["bidirectional"]] {
        let mut bench = two_calls();
        assert_eq!(reason(&bench.ask(joining(flags))), "ok");
        assert_eq!(hearing(&bench), ["", "C", "B", ""]);
    }
}

#[test]
fn tags_that_nobody_has_are_skipped() {
    let mut bench = two_calls();
    let mut request = joining(&["directional"]);
    request.set("from-tag", "");
    let tags = |tags: &[&str]| {
        let mut request = Dict::new()
            .with("command", "connect")
            .with("call-id", "other")
            .with("to-call-id", "call")
            .with("to-tag", "T")
            .with("flags", strings(&["directional"]));
        request.push("from-tags", strings(tags));
        request
    };
    assert_eq!(
        reason(&bench.ask(tags(&["nobody"]))),
        "No medias found (no monologues matched)"
    );
    assert_eq!(bench.calls.count(), 2, "a refused request merges nothing");
    assert_eq!(reason(&bench.ask(tags(&["G", "nobody", "U"]))), "ok");
    assert_eq!(hearing(&bench), ["B", "A", "BD", "BC"]);
}

#[test]
fn a_connect_may_make_its_party() {
    let mut bench = two_calls();
    let request = command("connect")
        .with("from-tag", "F")
        .with("to-tag", "new");
    assert_eq!(reason(&bench.ask(request)), "ok");
    assert_eq!(hearing(&bench), ["B", "A", "D", "C"]);
    let query = bench.ask(command("query"));
    assert!(
        query
            .get("tags")
            .unwrap()
            .as_dict()
            .unwrap()
            .get("new")
            .is_some()
    );
}

fn mesh(entries: &[(&'static str, &[&str])], flags: &[&str]) -> Dict {
    let entries = entries
        .iter()
        .map(|(from, to)| Value::from(Dict::new().with("from", *from).with("to", strings(to))));
    let tags: Value = entries.collect();
    Dict::new()
        .with("command", "mesh")
        .with("calls", strings(&["call", "other"]))
        .with("tags", tags)
        .with("flags", strings(flags))
}

#[test]
fn a_mesh_unsubscribes_those_who_speak() {
    let entries: [(&str, &[&str]); 4] = [("F", &["G"]), ("T", &["U"]), ("G", &[]), ("U", &[])];
    let mut bench = two_calls();
    assert_eq!(reason(&bench.ask(mesh(&entries, &["unsubscribe"]))), "ok");
    assert_eq!(hearing(&bench), ["C", "D", "", ""]);
    // Without the flag nothing ends, and a second time changes nothing.
    let mut bench = two_calls();
    for _ in 0..2 {
        assert_eq!(reason(&bench.ask(mesh(&entries, &[]))), "ok");
        assert_eq!(hearing(&bench), ["BC", "AD", "D", "C"]);
    }
}

#[test]
fn a_mesh_without_tags_merges_alone() {
    let mut bench = two_calls();
    assert_eq!(reason(&bench.ask(mesh(&[], &[]))), "ok");
    assert_eq!(bench.calls.count(), 1);
    assert_eq!(hearing(&bench), ["B", "A", "D", "C"]);
}

#[test]
fn lines_are_joined_by_their_kind_and_re_offers_follow() {
    let audio = |port: u16| format!("m=audio {port} RTP/AVP 8\n");
    let video = |port: u16| format!("m=video {port} RTP/AVP 96\na=rtpmap:96 VP8/90000\n");
    let says = |name: &'static str, id: &'static str, host: &str, lines: String| {
        Dict::new()
            .with("command", name)
            .with("call-id", id)
            .with("sdp", party(host, &lines).replace('\n', "\r\n"))
    };
    let mut bench = Bench::new();
    bench.sdp(says("offer", "call", "198.51.100.10", audio(2000)).with("from-tag", "A"));
    let both = video(3000) + &audio(3002);
    bench.sdp(says("offer", "other", "198.51.100.30", both).with("from-tag", "C"));
    let join = command("connect")
        .with("from-tag", "A")
        .with("to-tag", "C")
        .with("to-call-id", "other");
    assert_eq!(reason(&bench.ask(join)), "ok");
    let (a, c) = (
        flow_of(&bench, "198.51.100.10:2000"),
        flow_of(&bench, "198.51.100.30:3002"),
    );
    assert!(a.sinks.iter().any(|sink| sink.via == c.local));
    assert!(c.sinks.iter().any(|sink| sink.via == a.local));
    let again = says("offer", "call", "198.51.100.10", audio(2000));
    let shown = bench.sdp(again.with("from-tag", "A").with("to-tag", "C"));
    let kinds: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("m=")?.split(' ').next())
        .collect();
    assert_eq!(kinds, ["video", "audio"], "{shown}");
    // A line that A adds is the one that C has of that kind.
    let more = says("offer", "call", "198.51.100.10", audio(2000) + &video(2002));
    let shown = bench.sdp(more.with("from-tag", "A").with("to-tag", "C"));
    let ports: Vec<(&str, bool)> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("m="))
        .map(|line| (line.split(' ').next().unwrap(), line.contains(" 0 RTP")))
        .collect();
    assert_eq!(ports, [("video", false), ("audio", false)], "{shown}");
}
