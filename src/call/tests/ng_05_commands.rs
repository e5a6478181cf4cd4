//! ng-protocol §5: commands on parties.

use super::*;
use crate::flow::Carries;

/// A call of two parties, `F` at .10 and `T` at .20, with events.
pub(super) fn connected() -> Bench {
    let mut bench = Bench::new();
    connect(&mut bench, "call", "F", "T", 10);
    bench
}

fn connect(bench: &mut Bench, id: &'static str, from: &'static str, to: &'static str, host: u8) {
    let events = "a=rtpmap:101 telephone-event/8000\n";
    let party = |host: u8, port: u16| {
        audio(&format!("198.51.100.{host}"), port, events).replace("AVP 8", "AVP 8 101")
    };
    let message = |command: &'static str, sdp: String| {
        Dict::new()
            .with("command", command)
            .with("call-id", id)
            .with("from-tag", from)
            .with("sdp", sdp.replace('\n', "\r\n"))
    };
    bench.sdp(message("offer", party(host, 2000)).with("label", "caller"));
    bench.sdp(message("answer", party(host + 10, 3000)).with("to-tag", to));
}

pub(super) fn reason(reply: &Dict) -> &str {
    match reply.get_str("result") {
        Some("ok") => "ok",
        _ => reply.get_str("error-reason").unwrap(),
    }
}

/// The flow that hears a party, by the port that the party signalled.
pub(super) fn flow_of(bench: &Bench, signalled: &str) -> FlowSpec {
    let signalled: SocketAddr = signalled.parse().unwrap();
    let flows = bench.books.flows.lock().unwrap();
    let mut flows = flows.values().map(|(flow, _)| flow);
    flows
        .find(|flow| flow.peer.signalled == Some(signalled))
        .unwrap()
        .clone()
}

/// Whether media and events from a party pass.
pub(super) fn passes(bench: &Bench, signalled: &str) -> (bool, bool) {
    let flow = flow_of(bench, signalled);
    let sink = flow
        .sinks
        .iter()
        .find(|sink| sink.carries == Carries::Rtp)
        .unwrap();
    let rules = sink.rules.as_deref();
    let passes = |payload_type| rules.is_none_or(|rules| rules.passes(payload_type));
    (passes(8), passes(101))
}

pub(super) const FROM: &str = "198.51.100.10:2000";
pub(super) const TO: &str = "198.51.100.20:3000";

#[test]
fn blocking_is_for_the_call_unless_a_direction_is_meant() {
    let mut bench = connected();
    let block = command("block media").with("from-tag", "F");
    assert_eq!(reason(&bench.ask(block.clone())), "ok");
    assert_eq!(
        (passes(&bench, FROM), passes(&bench, TO)),
        ((false, true), (false, true))
    );
    bench.ask(command("unblock media"));
    assert_eq!(
        (passes(&bench, FROM), passes(&bench, TO)),
        ((true, true), (true, true))
    );

    bench.ask(block.with("flags", strings(&["directional"])));
    assert_eq!(
        (passes(&bench, FROM), passes(&bench, TO)),
        ((false, true), (true, true))
    );
    // The call's state alone is cleared without `all`.
    bench.ask(command("unblock media"));
    assert_eq!(passes(&bench, FROM), (false, true));
    bench.ask(command("unblock media").with("all", "all"));
    assert_eq!(passes(&bench, FROM), (true, true));
}

#[test]
fn dtmf_is_blocked_apart_and_an_offer_can_ask_for_it() {
    let mut bench = connected();
    bench.ask(command("block DTMF"));
    assert_eq!(passes(&bench, FROM), (true, false));
    bench.ask(command("unblock DTMF"));
    assert_eq!(passes(&bench, FROM), (true, true));
    let again = offer(
        &audio("198.51.100.10", 2000, "a=rtpmap:101 telephone-event/8000\n")
            .replace("AVP 8", "AVP 8 101"),
    )
    .with("to-tag", "T")
    .with("flags", strings(&["block-DTMF"]));
    bench.sdp(again);
    assert_eq!(
        (passes(&bench, FROM), passes(&bench, TO)),
        ((true, false), (true, true))
    );
}

#[test]
fn silence_fills_known_codecs() {
    let mut bench = connected();
    bench.ask(command("silence media").with("from-tag", "T"));
    let flow = flow_of(&bench, TO);
    let rules = flow
        .sinks
        .iter()
        .find_map(|sink| sink.rules.as_deref())
        .unwrap();
    assert_eq!(rules.silence, [(8, 0xd5)]);
    assert!(
        flow_of(&bench, FROM)
            .sinks
            .iter()
            .all(|sink| sink.rules.is_none())
    );
    bench.ask(command("unsilence media").with("from-tag", "T"));
    assert!(
        flow_of(&bench, TO)
            .sinks
            .iter()
            .all(|sink| sink.rules.is_none())
    );
}

#[test]
fn single_flows_are_blocked() {
    let mut bench = connected();
    let directional = || strings(&["directional"]);
    let block = command("block media")
        .with("from-tag", "F")
        .with("to-tag", "T")
        .with("flags", directional());
    assert_eq!(reason(&bench.ask(block)), "ok");
    assert_eq!(
        (passes(&bench, FROM), passes(&bench, TO)),
        ((false, true), (true, true))
    );
    bench.ask(command("unblock media").with("all", "flows"));
    assert_eq!(passes(&bench, FROM), (true, true));
    bench.ask(command("block media").with("all", "offer-answer"));
    assert_eq!(
        (passes(&bench, FROM), passes(&bench, TO)),
        ((false, true), (false, true))
    );
}

#[test]
fn parties_are_selected_by_label_address_and_tag() {
    let mut bench = connected();
    let select = |more: Dict| {
        let mut request = command("silence media");
        request.extend(more.into_entries());
        request
    };
    for (more, expected) in [
        (
            Dict::new().with("label", "nobody"),
            "No monologue matching the given label",
        ),
        (
            Dict::new().with("address", "192.0.2.1"),
            "Failed to match address to any tag",
        ),
        (
            Dict::new().with("from-tag", "X"),
            "From-tag given, but no such tag exists",
        ),
        (
            Dict::new().with("from-tag", "F").with("to-tag", "X"),
            "Media flow not found (to-tag not found)",
        ),
        (
            Dict::new().with("from-tag", "F").with("to-label", "X"),
            "Media flow not found (to-label not found)",
        ),
        (
            Dict::new().with("from-tag", "F").with("to-tag", "F"),
            "Media flow not found (to-tag not subscribed)",
        ),
        (
            Dict::new().with("all", "except-offer-answer"),
            "No eligible media subscriptions found",
        ),
        (Dict::new().with("label", "caller"), "ok"),
        (
            Dict::new()
                .with("address", "198.51.100.20")
                .with("set-label", "callee"),
            "ok",
        ),
        (Dict::new().with("label", "callee"), "ok"),
    ] {
        let reply = bench.ask(select(more.clone()));
        assert_eq!(reason(&reply), expected, "{more:?}");
    }
    let unknown = Dict::new()
        .with("command", "block media")
        .with("call-id", "none");
    assert_eq!(reason(&bench.ask(unknown)), "Unknown call-ID");
    let nameless = Dict::new().with("command", "block media");
    assert_eq!(reason(&bench.ask(nameless)), "No call-id in message");
    let player = command("play media").with("file", "x.wav");
    assert_eq!(reason(&bench.ask(player)), "No participant party specified");
    let player = command("stop media").with("from-tag", "F");
    assert_eq!(reason(&bench.ask(player)), "Not currently playing media");
    let digit = command("play DTMF").with("from-tag", "F").with("code", "X");
    assert_eq!(reason(&bench.ask(digit)), "Out of range 'code' specified");
    let digit = command("play DTMF").with("code", "5");
    assert_eq!(reason(&bench.ask(digit)), "No participant party specified");
}

const PUBLISHED: &str = "v=0\no=- 1 1 IN IP4 198.51.100.30\ns=-\nc=IN IP4 198.51.100.30\nt=0 0\n\
    m=audio 5000 RTP/AVP 8 0\na=sendonly\n";

#[test]
fn a_publisher_is_answered_and_a_subscriber_hears_it() {
    let mut bench = Bench::new();
    let publish = Dict::new()
        .with("command", "publish")
        .with("sdp", PUBLISHED.replace('\n', "\r\n"));
    let reply = bench.ask(publish);
    let id = reply.get_str("call-id").unwrap().to_owned();
    let tag = reply.get_str("from-tag").unwrap().to_owned();
    assert_eq!((id.len(), tag.len()), (64, 64));
    let sdp = reply.get_str("sdp").unwrap().replace("\r\n", "\n");
    assert!(
        sdp.contains("\ns=windlass-1\n") && sdp.contains("IN IP4 203.0.113.1\n"),
        "{sdp}"
    );
    assert!(
        sdp.contains(" RTP/AVP 8\n") && sdp.contains("a=recvonly\n"),
        "{sdp}"
    );

    let subscribe = Dict::new()
        .with("command", "subscribe request")
        .with("call-id", id.as_str())
        .with("from-tag", tag.as_str())
        .with("set-label", "listener");
    let reply = bench.ask(subscribe);
    let sdp = reply.get_str("sdp").unwrap().replace("\r\n", "\n");
    assert!(
        sdp.contains("a=sendonly\n") && sdp.contains(" RTP/AVP 8 0\n"),
        "{sdp}"
    );
    assert_eq!(reply.get_str("from-tag"), Some(tag.as_str()));
    assert_eq!(reply.get("from-tags").unwrap().as_list().unwrap().len(), 1);
    let to_tag = reply.get_str("to-tag").unwrap().to_owned();
    assert_eq!(to_tag.len(), 64);

    let answer = Dict::new()
        .with("command", "subscribe answer")
        .with("call-id", id.as_str())
        .with("to-tag", to_tag.as_str())
        .with(
            "sdp",
            audio("198.51.100.40", 6000, "a=recvonly\n").replace('\n', "\r\n"),
        );
    assert_eq!(reason(&bench.ask(answer.clone())), "ok");
    let flow = flow_of(&bench, "198.51.100.30:5000");
    let listener = flow_of(&bench, "198.51.100.40:6000");
    assert!(
        flow.sinks.iter().any(|sink| sink.via == listener.local),
        "{flow:?}"
    );
    assert!(listener.sinks.is_empty());

    let query = Dict::new()
        .with("command", "query")
        .with("call-id", id.as_str());
    let tags = bench.ask(query);
    let party = tags
        .get("tags")
        .unwrap()
        .as_dict()
        .unwrap()
        .get(&to_tag)
        .unwrap()
        .as_dict()
        .unwrap();
    let heard = party.get("subscriptions").unwrap().as_list().unwrap()[0]
        .as_dict()
        .unwrap();
    assert_eq!(
        (heard.get_str("tag"), heard.get_str("type")),
        (Some(tag.as_str()), Some("pub/sub"))
    );

    let leave = Dict::new()
        .with("command", "unsubscribe")
        .with("call-id", id.as_str())
        .with("to-tag", to_tag.as_str());
    assert_eq!(reason(&bench.ask(leave.clone())), "ok");
    assert!(flow_of(&bench, "198.51.100.30:5000").sinks.is_empty());
    assert_eq!(reason(&bench.ask(leave)), "To-tag not found");
    assert_eq!(reason(&bench.ask(answer)), "To-tag not found");
}

#[test]
fn siprec_describes_all_medias() {
    let mut bench = connected();
    let request = command("subscribe request")
        .with("all", "all")
        .with("flags", strings(&["SIPREC"]));
    let reply = bench.ask(request);
    let sdp = reply.get_str("sdp").unwrap();
    assert_eq!(sdp.matches("m=audio").count(), 2);
    assert!(
        sdp.contains("a=label:0") && sdp.contains("a=label:1"),
        "{sdp}"
    );
    assert!(reply.get("from-tag").is_none());
    assert_eq!(reply.get("from-tags").unwrap().as_list().unwrap().len(), 2);
    let medias = reply.get("tag-medias").unwrap().as_list().unwrap();
    let first = medias[0].as_dict().unwrap();
    assert_eq!(
        (first.get_str("tag"), first.get_str("label")),
        (Some("F"), Some("caller"))
    );
    let labels = reply.get("media-labels").unwrap().as_dict().unwrap();
    assert_eq!(
        labels.get("1").unwrap().as_dict().unwrap().get_str("tag"),
        Some("T")
    );
    assert_eq!(
        reason(&bench.ask(command("subscribe request").with("from-tags", strings(&[])))),
        "No medias found (no monologues matched)"
    );
}

#[test]
fn parties_of_two_calls_are_connected() {
    let mut bench = connected();
    connect(&mut bench, "other", "G", "U", 50);
    let leased = bench.leased();
    let request = command("connect")
        .with("from-tag", "F")
        .with("to-tag", "U")
        .with("to-call-id", "other");
    assert_eq!(reason(&bench.ask(request.clone())), "ok");
    assert_eq!((bench.calls.count(), bench.leased()), (1, leased));
    let (ours, theirs) = (flow_of(&bench, FROM), flow_of(&bench, "198.51.100.60:3000"));
    assert!(ours.sinks.iter().any(|sink| sink.via == theirs.local));
    assert!(theirs.sinks.iter().any(|sink| sink.via == ours.local));
    assert!(flow_of(&bench, TO).sinks.is_empty());
    // Both names lead to the call.
    let query = Dict::new()
        .with("command", "query")
        .with("call-id", "other");
    assert_eq!(
        bench
            .ask(query)
            .get("tags")
            .unwrap()
            .as_dict()
            .unwrap()
            .len(),
        4
    );
    let unknown = request.with("to-call-id", "none");
    assert_eq!(reason(&bench.ask(unknown)), "Unknown call-ID(s)");
    let delete = Dict::new()
        .with("command", "delete")
        .with("call-id", "other")
        .with("delete-delay", 0);
    bench.ask(delete);
    // The parties of the other call-id are left.
    assert_eq!((bench.calls.count(), bench.leased()), (1, leased / 2));
    bench.ask(command("delete").with("delete-delay", 0));
    assert_eq!(
        (bench.calls.count(), bench.leased(), bench.flows()),
        (0, 0, 0)
    );
}

#[test]
fn tags_of_two_calls_must_not_collide() {
    let mut bench = connected();
    connect(&mut bench, "other", "F", "U", 50);
    let request = command("connect")
        .with("from-tag", "F")
        .with("to-tag", "U")
        .with("to-call-id", "other");
    assert_eq!(
        reason(&bench.ask(request)),
        "Failed to merge two calls into one (tag collision)"
    );
    let mesh = Dict::new()
        .with("command", "mesh")
        .with("calls", strings(&["call", "other"]));
    assert_eq!(
        reason(&bench.ask(mesh)),
        "Failed to merge calls (tag collision)"
    );
}

#[test]
fn a_mesh_joins_who_is_named() {
    let mut bench = connected();
    connect(&mut bench, "other", "G", "U", 50);
    let entry = Dict::new()
        .with("from", "G")
        .with("to", strings(&["F", "T"]));
    let tags: Value = [Value::from(entry)].into_iter().collect();
    let mesh = Dict::new()
        .with("command", "mesh")
        .with("calls", strings(&["call", "other"]))
        .with("tags", tags);
    assert_eq!(reason(&bench.ask(mesh.clone())), "ok");
    let flow = flow_of(&bench, "198.51.100.50:2000");
    for listener in [FROM, TO, "198.51.100.60:3000"] {
        let local = flow_of(&bench, listener).local;
        assert!(
            flow.sinks.iter().any(|sink| sink.via == local),
            "{listener}"
        );
    }
    let entry = Dict::new().with("from", "X").with("to", strings(&["F"]));
    let tags: Value = [Value::from(entry)].into_iter().collect();
    let mut bad = mesh;
    bad.set("tags", tags);
    assert_eq!(reason(&bench.ask(bad)), "Given from-tag not found");
    let unknown = Dict::new()
        .with("command", "mesh")
        .with("calls", strings(&["none"]));
    assert_eq!(reason(&bench.ask(unknown)), "Unknown call ID(s)");
}

#[test]
fn a_third_party_is_injected_and_taken_out() {
    let mut bench = connected();
    let publish = command("publish")
        .with("from-tag", "P")
        .with("sdp", PUBLISHED.replace('\n', "\r\n"));
    assert_eq!(reason(&bench.ask(publish)), "ok");
    let inject = command("inject start")
        .with("to-tag", "T")
        .with("source-tag", "P");
    assert_eq!(reason(&bench.ask(inject.clone())), "ok");
    let local = flow_of(&bench, TO).local;
    assert!(
        flow_of(&bench, "198.51.100.30:5000")
            .sinks
            .iter()
            .any(|sink| sink.via == local)
    );
    assert!(
        flow_of(&bench, FROM)
            .sinks
            .iter()
            .any(|sink| sink.via == local)
    );
    let stop = command("inject stop")
        .with("to-tag", "T")
        .with("source-tag", "P");
    assert_eq!(reason(&bench.ask(stop.clone())), "ok");
    assert!(flow_of(&bench, "198.51.100.30:5000").sinks.is_empty());
    assert_eq!(reason(&bench.ask(stop)), "Failed to stop inject");
    for (request, expected) in [
        (
            command("inject start").with("to-tag", "T"),
            "No source-tag in message",
        ),
        (
            command("inject start")
                .with("to-tag", "T")
                .with("source-tag", "X"),
            "Source-tag not found",
        ),
        (
            command("inject start")
                .with("to-tag", "X")
                .with("source-tag", "P"),
            "To-tag not found",
        ),
        (
            command("inject start")
                .with("to-tag", "T")
                .with("source-tag", "T"),
            "Trying to inject to self",
        ),
    ] {
        assert_eq!(reason(&bench.ask(request)), expected);
    }
}

#[test]
fn a_party_is_created_and_answers() {
    let mut bench = Bench::new();
    let reply = bench.ask(Dict::new().with("command", "create"));
    let sdp = reply.get_str("sdp").unwrap().replace("\r\n", "\n");
    assert!(
        sdp.contains(" RTP/AVP 0 8\n") && sdp.contains("a=sendrecv"),
        "{sdp}"
    );
    let id = reply.get_str("call-id").unwrap().to_owned();
    let tag = reply.get_str("from-tag").unwrap().to_owned();
    let answer = |tag: &str| {
        Dict::new()
            .with("command", "create answer")
            .with("call-id", id.as_str())
            .with("from-tag", tag)
            .with(
                "sdp",
                audio("198.51.100.40", 6000, "").replace('\n', "\r\n"),
            )
    };
    assert_eq!(reason(&bench.ask(answer(&tag))), "ok");
    assert_eq!(reason(&bench.ask(answer("X"))), "from-tag not found");
    flow_of(&bench, "198.51.100.40:6000");
    let codecs = Dict::new().with("offer", strings(&["opus", "PCMA"]));
    let reply = bench.ask(Dict::new().with("command", "create").with("codec", codecs));
    let sdp = reply.get_str("sdp").unwrap();
    assert!(
        sdp.contains(" RTP/AVP 96 8\r\n") && sdp.contains("a=rtpmap:96 opus/48000/2"),
        "{sdp}"
    );
    assert_eq!(
        reason(&bench.ask(Dict::new().with("command", "transform"))),
        "Failed to set up transform"
    );
}

#[test]
fn recording_without_a_directory_is_no_error() {
    let mut bench = connected();
    for name in ["start recording", "pause recording", "stop recording"] {
        assert_eq!(reason(&bench.ask(command(name))), "ok");
    }
    let unknown = Dict::new()
        .with("command", "start recording")
        .with("call-id", "none");
    assert_eq!(reason(&bench.ask(unknown)), "Unknown call-id");
}
