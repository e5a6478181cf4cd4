//! A request that fails changes nothing (spec: ng-protocol §10.7; RFC 3261 §14.1).

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use rand::Rng;
use rand::seq::IndexedRandom;
use windlass_ng::CallId;

use super::*;
use crate::call::{RecordedSdp, Recorder};
use crate::observe::pcap::NotRecorded;

/// Everything that can be seen of a relay with a few calls: their state, their flows, their ports.
fn picture(bench: &Bench, ids: &[&str]) -> Vec<String> {
    let calls = ids.iter().map(|id| {
        let call = bench
            .calls
            .with_call(&CallId::from(id), |call| format!("{call:?}"));
        format!("{id}: {call:?}")
    });
    let mut seen: Vec<String> = calls.collect();
    let flows = bench.books.flows.lock().unwrap();
    let mut flows: Vec<String> = flows
        .values()
        .map(|(spec, _)| format!("{spec:?}"))
        .collect();
    flows.sort();
    seen.append(&mut flows);
    seen.push(format!(
        "{} ports, {} calls, {} foreign",
        bench.leased(),
        bench.calls.count(),
        bench.calls.foreign_count()
    ));
    seen
}

fn established(bench: &mut Bench) {
    bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n"));
    bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n"));
}

/// A call of two, and what it is after a request that fails.
fn unchanged_by(mut bench: Bench, prepare: impl FnOnce(&mut Bench), request: Dict, reason: &str) {
    established(&mut bench);
    let before = picture(&bench, &["call"]);
    prepare(&mut bench);
    let reply = bench.ask(request);
    assert_eq!(said(&reply), reason);
    *bench.books.room.lock().unwrap() = None;
    assert_eq!(picture(&bench, &["call"]), before);
    // It goes on.
    bench.sdp(from_a("m=audio 2000 RTP/AVP 8\n").with("to-tag", "T"));
}

const TWO_LINES: &str = "m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\n";

#[test]
fn an_established_call_outlives_every_refusal() {
    let re_offer = |lines: &str| from_a(lines).with("to-tag", "T");
    let no_room = |left| move |bench: &mut Bench| *bench.books.room.lock().unwrap() = Some(left);
    let small = || Bench::on(&[("default", "203.0.113.1", None)], 30_000, 30_005);
    unchanged_by(small(), |_| {}, re_offer(TWO_LINES), "Ran out of ports");
    for left in 0..4 {
        let (bench, refuses) = (Bench::new(), no_room(left));
        unchanged_by(bench, refuses, re_offer(TWO_LINES), "Ran out of ports");
    }
    let broken = offer("nonsense").with("to-tag", "T");
    unchanged_by(Bench::new(), |_| {}, broken, "Failed to parse SDP");
    let nowhere = offer("v=0\nm=audio 2000 RTP/AVP 8\n").with("to-tag", "T");
    unchanged_by(
        Bench::new(),
        |_| {},
        nowhere,
        "Incomplete SDP specification",
    );
    let many = "m=audio 2000 RTP/AVP 8\n".repeat(300);
    unchanged_by(Bench::new(), |_| {}, re_offer(&many), "Failed to parse SDP");
    let alone = from_a("m=audio 2004 RTP/AVP 8\n").with("to-tag", "F");
    unchanged_by(Bench::new(), |_| {}, alone, "Invalid dialogue association");
    // The same for a party that the relay deals with alone.
    let published =
        |call: &str| message("publish", &party("198.51.100.30", TWO_LINES)).with("call-id", call);
    for left in 0..3 {
        let refuses = no_room(left);
        unchanged_by(
            Bench::new(),
            refuses,
            published("call")
                .with("from-tag", "P")
                .with("accept", Value::List(vec![Value::from("any")])),
            "Ran out of ports",
        );
    }
    let listens = command("subscribe request")
        .with("from-tag", "F")
        .with("to-tag", "S");
    let full = Bench::on(&[("default", "203.0.113.1", None)], 30_000, 30_003);
    unchanged_by(full, |_| {}, listens, "Ran out of ports");
}

#[test]
fn calls_are_merged_and_connected_or_neither() {
    let mut bench = Bench::new();
    for (id, from, to) in [("one", "A", "B"), ("two", "C", "D"), ("three", "A", "E")] {
        let request = |command: &'static str, port| {
            message(command, &audio("198.51.100.10", port, ""))
                .with("call-id", id)
                .with("from-tag", from)
        };
        bench.sdp(request("offer", 2000));
        bench.sdp(request("answer", 3000).with("to-tag", to));
    }
    let ids = ["one", "two", "three"];
    let before = picture(&bench, &ids);
    let refused = |bench: &mut Bench, request: Dict, reason: &str| {
        assert_eq!(said(&bench.ask(request)), reason);
        assert_eq!(picture(bench, &ids), before);
    };
    let inject = |source: &str| {
        Dict::new()
            .with("command", "inject start")
            .with("call-id", "one")
            .with("to-tag", "A")
            .with("source-call-id", "two")
            .with("source-tag", source.to_owned())
    };
    refused(&mut bench, inject("nobody"), "Source-tag not found");
    let mesh = |calls: &[&str]| {
        Dict::new()
            .with("command", "mesh")
            .with("calls", strings(calls))
    };
    // The second of them goes in, the third has a party of the same tag.
    let reason = said(&bench.ask(mesh(&["one", "two", "three"]))).to_owned();
    assert_ne!(reason, "ok");
    assert_eq!(picture(&bench, &ids), before);
    let reason = said(&bench.ask(mesh(&["one", "two", "nowhere"]))).to_owned();
    assert_ne!(reason, "ok");
    assert_eq!(picture(&bench, &ids), before);
    // A call that has taken others in keeps their names, wherever it goes itself.
    assert_eq!(said(&bench.ask(mesh(&["two", "one"]))), "ok");
    bench.sdp(
        message("offer", &audio("198.51.100.10", 2000, ""))
            .with("call-id", "four")
            .with("from-tag", "G"),
    );
    assert_eq!(said(&bench.ask(mesh(&["four", "one"]))), "ok");
    for id in ["one", "two", "four"] {
        let reply = bench.ask(Dict::new().with("command", "query").with("call-id", id));
        assert_eq!(keys(&reply, "tags").len(), 6, "{id}: {reply:?}");
    }
    assert_eq!(bench.leased(), bench.flows());
}

/// Recordings that are open now.
#[derive(Default)]
struct Open(AtomicI64);

impl Recorder for Open {
    fn open(&self, _: u64, _: &CallId, _: u64, _: Option<&str>) -> Result<String, NotRecorded> {
        self.0.fetch_add(1, Relaxed);
        Ok("/recordings/x.pcap".to_owned())
    }

    fn sdp(&self, _: u64, _: RecordedSdp<'_>) {}

    fn finish(&self, _: u64, _: Duration, _: Duration, _: Option<&str>) {
        self.0.fetch_sub(1, Relaxed);
    }

    fn discard(&self, _: u64) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[test]
fn a_refused_request_neither_begins_nor_ends_a_recording() {
    let open = Arc::new(Open::default());
    let bench = Bench::new();
    let calls = bench.calls.with_recorder(open.clone());
    let mut bench = Bench { calls, ..bench };
    established(&mut bench);
    let refused = |bench: &mut Bench, record: &'static str| {
        *bench.books.room.lock().unwrap() = Some(1);
        let request = from_a(TWO_LINES)
            .with("to-tag", "T")
            .with("record-call", record);
        assert_eq!(said(&bench.ask(request)), "Ran out of ports");
        open.0.load(Relaxed)
    };
    assert_eq!(refused(&mut bench, "on"), 0);
    bench.ask(command("start recording"));
    assert_eq!(refused(&mut bench, "off"), 1);
    assert_eq!(refused(&mut bench, "discard"), 1);
    bench.ask(command("stop recording"));
    assert_eq!(open.0.load(Relaxed), 0);
}

const IDS: [&str; 4] = ["call-0", "call-1", "call-2", "call-3"];
const TAGS: [&str; 5] = ["F", "T", "U", "V", "W"];

fn random_sdp(rng: &mut StdRng) -> String {
    let host = ["198.51.100.10", "2001:db8::99", "0.0.0.0", "192.168.0.9"];
    let ports = [0, 2000, 2002, 4000];
    let mut sdp = audio(host.choose(rng).unwrap(), *ports.choose(rng).unwrap(), "");
    for line in [
        "a=rtcp-mux\n",
        "a=sendonly\n",
        "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n",
    ] {
        if rng.random_range(0..4) == 0 {
            sdp.push_str(line);
        }
    }
    match rng.random_range(0..12) {
        0..=2 => sdp.push_str("m=video 2006 RTP/AVP 96\n"),
        3 => sdp.push_str("m=image 2008 udptl t38\n"),
        4 => sdp = sdp.replace("c=IN", "c=XX"),
        5 => sdp = "nonsense".to_owned(),
        6 => sdp.push_str(&"m=audio 2010 RTP/AVP 8\n".repeat(300)),
        7 => sdp = sdp.replace("RTP/AVP 8", "RTP/SAVP 8"),
        _ => {}
    }
    sdp.replace('\n', "\r\n")
}

fn random_request(rng: &mut StdRng) -> Dict {
    const COMMANDS: [&str; 26] = [
        "offer",
        "offer",
        "offer",
        "offer",
        "answer",
        "answer",
        "answer",
        "delete",
        "publish",
        "subscribe request",
        "subscribe answer",
        "unsubscribe",
        "connect",
        "mesh",
        "inject start",
        "inject stop",
        "create",
        "create answer",
        "transform",
        "start recording",
        "stop recording",
        "block media",
        "silence media",
        "block DTMF",
        "play DTMF",
        "play media",
    ];
    const FLAGS: [&str; 8] = [
        "directional",
        "bidirectional",
        "unsubscribe",
        "fatal",
        "to-tag",
        "discard-recording",
        "fragment",
        "block-DTMF",
    ];
    let command = *COMMANDS.choose(rng).unwrap();
    let tag = |rng: &mut StdRng| *TAGS.choose(rng).unwrap();
    let id = |rng: &mut StdRng| *IDS.choose(rng).unwrap();
    let mut request = Dict::new()
        .with("command", command)
        .with("call-id", id(rng))
        .with("from-tag", tag(rng));
    let optional: [(&'static str, Value); 12] = [
        ("to-tag", tag(rng).into()),
        (
            "via-branch",
            ["b1", "b2"].choose(rng).copied().unwrap().into(),
        ),
        ("to-call-id", id(rng).into()),
        ("source-call-id", id(rng).into()),
        ("source-tag", tag(rng).into()),
        ("calls", strings(&[id(rng), id(rng)])),
        (
            "record-call",
            ["on", "off", "discard"]
                .choose(rng)
                .copied()
                .unwrap()
                .into(),
        ),
        ("set-label", "name".into()),
        ("label", "name".into()),
        (
            "rtcp-mux",
            strings(&[["offer", "require", "accept"].choose(rng).unwrap()]),
        ),
        (
            "direction",
            strings(&["ext", ["int", "none"].choose(rng).unwrap()]),
        ),
        ("flags", strings(&[FLAGS.choose(rng).unwrap()])),
    ];
    for (key, value) in optional {
        if rng.random_range(0..3) == 0 {
            request.push(key, value);
        }
    }
    if [
        "offer",
        "answer",
        "publish",
        "subscribe answer",
        "create answer",
    ]
    .contains(&command)
    {
        request.push("sdp", random_sdp(rng));
    }
    if command == "delete" {
        request.push("delete-delay", 0_i64);
    }
    if command == "play DTMF" {
        request.push("code", ["1", "x"].choose(rng).copied().unwrap());
    }
    request
}

#[test]
fn no_refused_request_among_1500_changes_anything() {
    let ext = [("ext", "203.0.113.1", None), ("ext", "2001:db8::1", None)];
    let mut bench = Bench::on(
        &[ext[0], ext[1], ("int", "192.0.2.10", None)],
        30_000,
        30_039,
    );
    let open = Arc::new(Open::default());
    bench.calls = bench.calls.with_recorder(open.clone());
    let mut rng = StdRng::seed_from_u64(7);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for step in 0..1500 {
        if rng.random_range(0..500) == 0 {
            bench.calls.hand_over_all();
        }
        let request = random_request(&mut rng);
        let is_hampered = rng.random_range(0..4) == 0;
        *bench.books.room.lock().unwrap() = is_hampered.then(|| rng.random_range(0..6));
        let before = (picture(&bench, &IDS), open.0.load(Relaxed));
        let reply = bench.ask(request.clone());
        if let Some(reason) = reply.get_str("error-reason") {
            *reasons.entry(reason.to_owned()).or_default() += 1;
            let after = (picture(&bench, &IDS), open.0.load(Relaxed));
            for (before, after) in before.0.iter().zip(&after.0) {
                assert_eq!(before, after, "step {step}: {request:?}: {reason}");
            }
            assert_eq!(before, after, "step {step}: {request:?}: {reason}");
        }
        assert_eq!(bench.leased(), bench.flows(), "step {step}: {request:?}");
        if step % 20 == 0 {
            bench.wait(rng.random_range(0..15));
        }
    }
    for reason in [
        "Ran out of ports",
        "Failed to parse SDP",
        "Invalid dialogue association",
    ] {
        assert!(
            reasons.get(reason).is_some_and(|count| *count > 5),
            "{reasons:?}"
        );
    }
    assert!(reasons.len() > 15, "{reasons:?}");
}
