//! What no proxy may make grow without end.

use super::*;

fn caller() -> String {
    audio("198.51.100.10", 2000, "")
}

fn party_count(bench: &mut Bench) -> usize {
    let query = Dict::new().with("command", "query").with("call-id", "call");
    let reply = bench.ask(query);
    let Some(Value::Dict(tags)) = reply.get("tags") else {
        panic!("{reply:?}")
    };
    tags.iter().count()
}

#[test]
fn a_call_has_a_largest_number_of_parties() {
    let mut bench = Bench::on(&[("default", "203.0.113.1", None)], 10_000, 59_999);
    let mut refused = 0;
    for branch in 0..700 {
        let request = offer(&caller()).with("via-branch", format!("b{branch}"));
        let reply = bench.ask(request);
        if let Some(reason) = reply.get_str("error-reason") {
            assert_eq!(reason, "Invalid dialogue association");
            refused += 1;
        }
    }
    assert!(refused > 0);
    assert!(party_count(&mut bench) <= 512);
    // The call as it was goes on.
    let again = offer(&caller()).with("via-branch", "b0");
    assert!(bench.sdp(again).contains("m=audio"));
    assert_eq!(bench.leased(), bench.flows());
    // A party that left makes room.
    let gone = Dict::new()
        .with("command", "delete")
        .with("call-id", "call")
        .with("from-tag", "F")
        .with("via-branch", "b7")
        .with("delete-delay", 0_i64);
    bench.ask(gone);
    let fresh = offer(&caller()).with("via-branch", "fresh");
    assert!(bench.sdp(fresh).contains("m=audio"));
    assert_eq!(bench.leased(), bench.flows());
}

#[test]
fn a_party_keeps_its_latest_tags() {
    let mut bench = Bench::new();
    bench.sdp(offer(&caller()));
    for tag in 0..500 {
        let request = message("answer", &audio("198.51.100.20", 3000, ""))
            .with("from-tag", "F")
            .with("to-tag", format!("T{tag}"));
        bench.sdp(request);
    }
    let query = Dict::new().with("command", "query").with("call-id", "call");
    let reply = bench.ask(query);
    let Some(Value::Dict(tags)) = reply.get("tags") else {
        panic!("{reply:?}")
    };
    let Some(Value::Dict(party)) = tags.get("T499") else {
        panic!("{tags:?}")
    };
    let Some(Value::List(aliases)) = party.get("tag-aliases") else {
        panic!("{party:?}")
    };
    assert_eq!(aliases.len(), 64);
    assert_eq!(aliases.last(), Some(&Value::from("T498")));
}

#[test]
fn nobody_subscribes_to_itself_or_twice_to_one_media() {
    let mut bench = Bench::new();
    bench.sdp(offer(&caller()));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let subscribe = |to: &'static str, from: &[&str]| {
        Dict::new()
            .with("command", "subscribe request")
            .with("call-id", "call")
            .with("to-tag", to)
            .with("from-tags", strings(from))
    };
    let reply = bench.ask(subscribe("F", &["F"]));
    assert_eq!(
        reply.get_str("error-reason"),
        Some("Failed to request subscription")
    );
    let sdp = bench.sdp(subscribe("S", &["F", "F", "T", "F"]));
    assert_eq!(sdp.matches("m=audio").count(), 2, "{sdp}");
    assert_eq!(bench.leased(), bench.flows());
}

#[test]
fn a_party_is_created_with_so_many_medias_at_most() {
    let mut bench = Bench::new();
    let medias = Value::List(vec![Value::from(Dict::new().with("type", "audio")); 1000]);
    let create = Dict::new().with("command", "create").with("medias", medias);
    let reply = bench.ask(create);
    assert_eq!(reply.get_str("error-reason"), Some("failed to create SDP"));
    assert_eq!(bench.leased(), bench.flows());
    bench.wait(10);
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
}

#[test]
fn medias_do_not_pile_up_by_offers_from_all_sides() {
    let mut bench = Bench::on(&[("default", "203.0.113.1", None)], 10_000, 59_999);
    let many = "m=audio 0 RTP/AVP 8\n".repeat(127);
    bench.sdp(offer(&caller()));
    for party in 0..8 {
        let tag = format!("T{party}");
        let own = message("offer", &audio("198.51.100.20", 3000, &many))
            .with("from-tag", tag)
            .with("to-tag", "F");
        let reply = bench.ask(own);
        let lines = reply
            .get_str("sdp")
            .map_or(0, |sdp| sdp.matches("m=").count());
        assert!(lines <= 256, "{lines}");
    }
    assert_eq!(bench.leased(), bench.flows());
}
