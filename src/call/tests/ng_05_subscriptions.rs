//! ng-protocol §5: publish, subscribe, connect, mesh, inject, create.

use super::ng_05_commands::{FROM, TO, connect, connected, flow_of, reason};
use super::*;

pub(super) const PUBLISHED: &str = "v=0\no=- 1 1 IN IP4 198.51.100.30\ns=-\nc=IN IP4 198.51.100.30\nt=0 0\n\
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
        sdp.contains("a=sendonly\n") && sdp.contains(" RTP/AVP 8\n"),
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
fn a_publisher_that_is_refused_leaves_no_call() {
    let mut bench = Bench::new();
    let publish = |sdp: &str| {
        let request = command("publish").with("from-tag", "P");
        request.with("sdp", sdp.replace('\n', "\r\n"))
    };
    assert_eq!(
        reason(&bench.ask(publish("garbage"))),
        "Failed to parse SDP"
    );
    let nowhere = PUBLISHED.replace("c=IN IP4 198.51.100.30\n", "");
    assert_eq!(
        reason(&bench.ask(publish(&nowhere))),
        "Incomplete SDP specification"
    );
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
    // One that goes on is not ended by a bad piece.
    bench.ask(publish(PUBLISHED));
    assert_eq!(
        reason(&bench.ask(publish("garbage"))),
        "Failed to parse SDP"
    );
    assert_eq!(bench.calls.count(), 1);
    // A piece of an offer is answered without an SDP.
    let piece = "a=ice-ufrag:uuuu\nm=audio 9 RTP/AVP 8\na=mid:1\n";
    let reply = bench.ask(publish(piece).with("flags", strings(&["fragment"])));
    assert_eq!(reason(&reply), "ok");
    assert!(reply.get("sdp").is_none());
}

#[test]
fn a_publisher_may_give_names_or_gets_them() {
    let mut bench = Bench::new();
    let publish = || {
        let sdp = PUBLISHED.replace('\n', "\r\n");
        Dict::new().with("command", "publish").with("sdp", sdp)
    };
    let given = bench.ask(publish().with("call-id", "c").with("from-tag", "P"));
    assert_eq!(keys(&given, ""), ["call-id", "from-tag", "sdp", "result"]);
    assert_eq!(given.get_str("call-id"), Some("c"));
    assert_eq!(given.get_str("from-tag"), Some("P"));
    let made = bench.ask(publish());
    for name in ["call-id", "from-tag"] {
        let name = made.get_str(name).unwrap();
        assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
