//! ng-protocol §5: commands on parties.

use super::*;
use crate::flow::Carries;

/// A call of two parties, `F` at .10 and `T` at .20, with events.
pub(super) fn connected() -> Bench {
    let mut bench = Bench::new();
    connect(&mut bench, "call", "F", "T", 10);
    bench
}

pub(super) fn connect(
    bench: &mut Bench,
    id: &'static str,
    from: &'static str,
    to: &'static str,
    host: u8,
) {
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
    let passes = |payload_type| rules.is_none_or(|rules| rules.withhold.passes(payload_type));
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
    assert_eq!(rules.change.silence, [(8, 0xd5)]);
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

#[test]
fn list_has_a_limit() {
    let mut bench = Bench::new();
    for index in 0..40 {
        let mut request = offer(&audio("198.51.100.10", 2000, ""));
        request.push("call-id", format!("call-{index}"));
        bench.sdp(request);
    }
    let mut count = |limit: Option<i64>| {
        let mut request = Dict::new().with("command", "list");
        if let Some(limit) = limit {
            request.push("limit", limit);
        }
        bench
            .ask(request)
            .get("calls")
            .unwrap()
            .as_list()
            .unwrap()
            .len()
    };
    assert_eq!(
        (
            count(None),
            count(Some(7)),
            count(Some(0)),
            count(Some(100))
        ),
        (32, 7, 0, 40)
    );
}
