//! ng-protocol §14: which words a refused command gets.

use super::*;

const HOST: &str = "198.51.100.10";

pub(super) fn flags(flags: &[&str]) -> (&'static str, Value) {
    ("flags", strings(flags))
}

pub(super) fn text(key: &'static str, value: &'static str) -> (&'static str, Value) {
    (key, value.into())
}

/// A call `call` of `F` (labelled `caller`) and `T`, a publisher `P` beside them, and a call
/// `other` of two with the same tags.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")).with("label", "caller"));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let published = audio("198.51.100.30", 5000, "a=sendonly\n");
    bench.sdp(message("publish", &published).with("from-tag", "P"));
    for mut request in [
        offer(&audio(HOST, 2000, "")),
        answer(&audio("198.51.100.20", 3000, "")),
    ] {
        request.set("call-id", "other");
        bench.sdp(request);
    }
    bench
}

/// A command, its keys, and what is said to it.
pub(super) type Row<'a> = (&'static str, Vec<(&'static str, Value)>, &'a str);

pub(super) fn check(rows: &[Row<'_>]) {
    let mut bench = bench();
    for (name, keys, expected) in rows {
        let mut request = Dict::new().with("command", *name);
        for (key, value) in keys {
            request.push(*key, value.clone());
        }
        let (parsed, _) = read_request(&request.to_bencode(), &Templates::new());
        let reply = match parsed {
            Err(reason) => reason.to_owned(),
            Ok(_) => said(&bench.ask(request)).to_owned(),
        };
        assert_eq!(reply, *expected, "{name} {keys:?}");
    }
}

pub(super) fn sdp() -> (&'static str, Value) {
    ("sdp", audio(HOST, 2000, "").replace('\n', "\r\n").into())
}

pub(super) fn id() -> (&'static str, Value) {
    text("call-id", "call")
}

pub(super) fn nobody() -> (&'static str, Value) {
    text("call-id", "nobody")
}

#[test]
fn offer_and_answer() {
    let (from, to) = (text("from-tag", "F"), text("to-tag", "T"));
    let garbage = text("sdp", "garbage");
    let nowhere = text("sdp", "v=0\r\ns=-\r\nt=0 0\r\nm=audio 2000 RTP/AVP 8\r\n");
    let odd = "v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 2000 RTP/AVP 200\r\n";
    check(&[
        ("offer", vec![], "No SDP body in message"),
        ("offer", vec![id(), from.clone()], "No SDP body in message"),
        ("offer", vec![sdp()], "No call-id in message"),
        ("offer", vec![sdp(), from.clone()], "No call-id in message"),
        ("offer", vec![sdp(), id()], "No from-tag in message"),
        (
            "offer",
            vec![garbage.clone(), id(), from.clone()],
            "Failed to parse SDP",
        ),
        (
            "offer",
            vec![nowhere, id(), from.clone()],
            "Incomplete SDP specification",
        ),
        (
            "offer",
            vec![text("sdp", odd), id(), from.clone()],
            "Incomplete SDP specification",
        ),
        (
            "offer",
            vec![garbage.clone(), id(), from.clone(), flags(&["fragment"])],
            "Failed to parse SDP",
        ),
        (
            "offer",
            vec![sdp(), id(), from.clone(), text("to-tag", "F")],
            "Invalid dialogue association",
        ),
        ("answer", vec![], "No SDP body in message"),
        ("answer", vec![sdp()], "No call-id in message"),
        ("answer", vec![sdp(), id()], "No from-tag in message"),
        (
            "answer",
            vec![sdp(), id(), from.clone()],
            "No to-tag in message",
        ),
        (
            "answer",
            vec![sdp(), nobody(), from.clone(), to.clone()],
            "Unknown call-id",
        ),
        (
            "answer",
            vec![garbage, nobody(), from.clone(), to.clone()],
            "Unknown call-id",
        ),
        (
            "answer",
            vec![sdp(), id(), from.clone(), text("to-tag", "F")],
            "Invalid dialogue association",
        ),
    ]);
}

#[test]
fn delete_query_list() {
    let unknown = "Call-ID not found or tags didn't match";
    let wrong = text("from-tag", "X");
    check(&[
        ("delete", vec![], "No call-id in message"),
        ("delete", vec![nobody()], unknown),
        ("delete", vec![nobody(), flags(&["fatal"])], unknown),
        ("delete", vec![id(), wrong.clone()], unknown),
        (
            "delete",
            vec![id(), wrong.clone(), flags(&["fatal"])],
            unknown,
        ),
        ("query", vec![], "No call-id in message"),
        ("query", vec![nobody()], "Unknown call-id"),
        ("query", vec![id(), wrong], "ok"),
        (
            "list",
            vec![("limit", Value::Int(-1))],
            "invalid limit, must be >= 0",
        ),
        (
            "list",
            vec![text("limit", "-1")],
            "invalid limit, must be >= 0",
        ),
        ("list", vec![("limit", Value::Int(0))], "ok"),
        ("statistics", vec![], "ok"),
    ]);
}

#[test]
fn recording() {
    for name in ["start recording", "pause recording", "stop recording"] {
        check(&[
            (name, vec![], "No call-id in message"),
            (name, vec![nobody()], "Unknown call-id"),
            // It is the whole call's; a tag only says whose the metadata are.
            (name, vec![id(), text("from-tag", "X")], "ok"),
        ]);
    }
}

#[test]
fn operations_on_a_party() {
    let directional = || flags(&["directional"]);
    for name in [
        "block DTMF",
        "unblock DTMF",
        "block media",
        "unblock media",
        "silence media",
        "unsilence media",
        "start forwarding",
        "stop forwarding",
        "play media",
        "stop media",
        "play DTMF",
    ] {
        check(&[
            (name, vec![], "No call-id in message"),
            (name, vec![nobody()], "Unknown call-ID"),
            (
                name,
                vec![id(), text("label", "nobody")],
                "No monologue matching the given label",
            ),
            (
                name,
                vec![id(), text("from-label", "nobody"), text("from-tag", "F")],
                "No monologue matching the given label",
            ),
            (
                name,
                vec![id(), text("address", "here")],
                "Failed to parse network address",
            ),
            (
                name,
                vec![id(), text("address", "192.0.2.77")],
                "Failed to match address to any tag",
            ),
            (
                name,
                vec![id(), text("from-tag", "X"), directional()],
                "From-tag given, but no such tag exists",
            ),
        ]);
    }
    for name in [
        "silence media",
        "unsilence media",
        "play media",
        "stop media",
        "play DTMF",
    ] {
        // These take the tag for a party in any case.
        let tag = vec![id(), text("from-tag", "X")];
        check(&[(name, tag, "From-tag given, but no such tag exists")]);
    }
    for name in [
        "block DTMF",
        "unblock DTMF",
        "block media",
        "unblock media",
        "start forwarding",
        "stop forwarding",
    ] {
        check(&[(name, vec![id(), text("from-tag", "X")], "ok")]);
    }
    for name in [
        "block media",
        "unblock media",
        "silence media",
        "unsilence media",
    ] {
        let from = || text("from-tag", "F");
        check(&[
            (
                name,
                vec![id(), from(), directional(), text("to-tag", "X")],
                "Media flow not found (to-tag not found)",
            ),
            (
                name,
                vec![id(), from(), directional(), text("to-label", "X")],
                "Media flow not found (to-label not found)",
            ),
            (
                name,
                vec![id(), from(), directional(), text("to-tag", "P")],
                "Media flow not found (to-tag not subscribed)",
            ),
            (
                name,
                vec![id(), text("all", "except-offer-answer")],
                "No eligible media subscriptions found",
            ),
            (
                name,
                vec![id(), text("all", "not offer answer")],
                "No eligible media subscriptions found",
            ),
            (name, vec![id(), text("all", "offer-answer")], "ok"),
            (name, vec![id(), text("all", "flows")], "ok"),
        ]);
    }
}

#[test]
fn playing() {
    let file = || text("file", "/nowhere.wav");
    for name in ["play media", "stop media", "play DTMF"] {
        check(&[(name, vec![id()], "No participant party specified")]);
    }
    check(&[
        (
            "play media",
            vec![id(), text("from-tag", "F"), file()],
            "unsupported",
        ),
        (
            "stop media",
            vec![id(), text("from-tag", "F")],
            "Not currently playing media",
        ),
        (
            "stop media",
            vec![id(), text("all", "all")],
            "Not currently playing media",
        ),
        (
            "play DTMF",
            vec![id(), text("from-tag", "F")],
            "Out of range 'code' specified",
        ),
        (
            "block DTMF",
            vec![id(), text("DTMF-security", "random")],
            "ok",
        ),
        ("block DTMF", vec![id(), text("trigger", "*1")], "ok"),
    ]);
}

#[test]
fn limits() {
    use crate::observe::load::LoadExceeded;
    let mut bench = Bench::new();
    bench.calls.set_limits(Limits {
        max_sessions: Some(1),
        ..Limits::default()
    });
    let first = offer(&audio(HOST, 2000, ""));
    bench.sdp(first.clone());
    let mut second = first.clone();
    second.set("call-id", "second");
    let supports = || second.clone().with("supports", strings(&["load limit"]));
    assert_eq!(
        said(&bench.ask(second.clone())),
        "Parallel session limit reached"
    );
    let limited = |bench: &mut Bench| {
        let reply = bench.ask(supports());
        assert_eq!(keys(&reply, ""), ["message", "result"]);
        assert_eq!(reply.get_str("result"), Some("load limit"));
        reply.get_str("message").unwrap().to_owned()
    };
    assert_eq!(limited(&mut bench), "Parallel session limit reached");
    // A call that exists is served.
    bench.sdp(first);
    let mut bench = Bench::new();
    for (load, message) in [
        (LoadExceeded::LoadAverage, "Load limit exceeded"),
        (LoadExceeded::Cpu, "CPU usage limit exceeded"),
        (LoadExceeded::Bandwidth, "Bandwidth limit exceeded"),
    ] {
        bench.calls.set_overload(Some(load));
        assert_eq!(limited(&mut bench), message);
        // Who does not know that result gets the one error that every proxy fails over on.
        assert_eq!(
            said(&bench.ask(second.clone())),
            "Parallel session limit reached"
        );
    }
    assert_eq!(said(&bench.ask(command("query"))), "Unknown call-id");
    bench.calls.set_overload(None);
    bench.sdp(second);
}
