//! `transform` (ng-protocol §5, §6 `medias`): media of another engine.

use super::ng_05_commands::{flow_of, reason};
use super::*;

fn codec(name: &str, payload_type: i64) -> Dict {
    Dict::new()
        .with("codec", name)
        .with("payload type", payload_type)
        .with("clock rate", 8000)
}

fn media(id: &str, port: i64) -> Dict {
    let destination = Dict::new()
        .with("family", "IP4")
        .with("address", "198.51.100.10")
        .with("port", port);
    Dict::new()
        .with("id", id)
        .with("type", "audio")
        .with("destination", destination)
}

fn transform(medias: Vec<Dict>) -> Dict {
    let medias = medias.into_iter().map(Value::from).collect();
    let request = Dict::new().with("command", "transform");
    request.with("media", Value::List(medias))
}

#[test]
fn what_stays_as_it_is_goes_where_it_is_wanted() {
    let mut bench = Bench::new();
    let same = |mapping: Dict| Dict::new().with("input", mapping);
    let both = same(codec("PCMA", 8)).with("output", codec("PCMA", 8));
    let codecs = Value::List(vec![
        both.into(),
        same(codec("telephone-event", 101)).into(),
    ]);
    let reply = bench.ask(transform(vec![
        media("one", 2000).with("codec", codecs),
        media("two", 3000),
    ]));
    assert_eq!(reason(&reply), "ok");
    assert!(reply.get_str("call-id").is_some() && reply.get_str("from-tag").is_some());
    let places = reply.get("media").unwrap().as_list().unwrap();
    for (place, (id, to)) in places.iter().zip([("one", 2000), ("two", 3000)]) {
        let place = place.as_dict().unwrap();
        assert_eq!(place.get_str("id"), Some(id));
        assert_eq!(place.get_str("family"), Some("IP4"));
        let flow = flow_of(&bench, &format!("198.51.100.10:{to}"));
        let port = place.get("port").and_then(Value::as_int);
        assert_eq!(port, Some(i64::from(flow.local.port())));
        assert_eq!(place.get_str("address"), Some("203.0.113.1"));
        assert_eq!(
            flow.sinks[0].via, flow.local,
            "it leaves from where it came in"
        );
        assert!(flow.peer.asymmetric && flow.peer.wants);
    }
    assert_eq!(places.len(), 2);
    let types = match flow_of(&bench, "198.51.100.10:2000").payload {
        crate::flow::Payload::Rtp { types, .. } => types,
        crate::flow::Payload::Opaque => panic!("no RTP"),
    };
    assert!(types.contains(8) && types.contains(101));
}

#[test]
fn what_cannot_be_done_is_refused_and_leaves_no_call() {
    let mut bench = Bench::new();
    let other = Dict::new()
        .with("input", codec("PCMA", 8))
        .with("output", codec("PCMU", 0));
    let converted = media("one", 2000).with("codec", Value::List(vec![other.into()]));
    let nowhere = Dict::new().with("type", "audio");
    for request in [
        transform(vec![converted]),
        transform(vec![nowhere]),
        transform(Vec::new()),
    ] {
        assert_eq!(reason(&bench.ask(request)), "Failed to set up transform");
    }
    let own = bench.calls.identity.instance();
    let looped = transform(vec![media("one", 2000)]).with("instance", own);
    assert_eq!(reason(&bench.ask(looped)), "Transform loop detected");
    assert_eq!(bench.leased(), 0);
    let list = bench.ask(Dict::new().with("command", "list"));
    assert_eq!(list.get("calls").unwrap().as_list().unwrap().len(), 0);
}
