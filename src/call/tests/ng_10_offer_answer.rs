//! Parties, forks, ports across re-offers, multiplexing (ng-protocol §8.3, §10, §11, §12).

use super::*;

const HOST: &str = "198.51.100.10";
const OTHER: &str = "198.51.100.20";

fn branch(request: Dict, branch: &str) -> Dict {
    request.with("via-branch", branch)
}

fn answer_of(tag: &'static str, sdp: &str) -> Dict {
    message("answer", sdp)
        .with("from-tag", "F")
        .with("to-tag", tag)
}

fn tags(bench: &mut Bench) -> Vec<String> {
    let query = Dict::new().with("command", "query").with("call-id", "call");
    let reply = bench.ask(query);
    let tags = reply.get("tags").unwrap().as_dict().unwrap();
    tags.iter()
        .map(|(tag, _)| String::from_utf8_lossy(tag).into_owned())
        .collect()
}

#[test]
fn a_second_tag_in_an_answer_is_the_same_party() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    assert_eq!(tags(&mut bench), ["F", "<untagged 1>"]);
    bench.sdp(answer_of("t1", &audio(OTHER, 3000, "")));
    bench.sdp(answer_of("t2", &audio(OTHER, 3000, "")));
    assert_eq!(tags(&mut bench), ["F", "t2"]);
    let query = Dict::new()
        .with("command", "query")
        .with("call-id", "call")
        .with("from-tag", "t1");
    let reply = bench.ask(query);
    let leg = reply
        .get("tags")
        .unwrap()
        .as_dict()
        .unwrap()
        .get("t2")
        .unwrap();
    assert_eq!(
        leg.as_dict().unwrap().get("tag-aliases"),
        Some(&strings(&["t1"]))
    );
    assert_eq!(bench.leased(), 4);
}

#[test]
fn forks_with_branches_have_ports_of_their_own_and_share_the_offerers() {
    let mut bench = Bench::new();
    let sdp = audio(HOST, 2000, "");
    let one = port(&bench.sdp(branch(offer(&sdp), "b1")), 0);
    let two = port(&bench.sdp(branch(offer(&sdp), "b2")), 0);
    assert_ne!(one, two);
    assert_eq!(bench.leased(), 6);
    assert_eq!(port(&bench.sdp(branch(offer(&sdp), "b1")), 0), one);
    bench.sdp(branch(answer_of("T1", &audio(OTHER, 3000, "")), "b1"));
    bench.sdp(branch(
        answer_of("T2", &audio("198.51.100.30", 3000, "")),
        "b2",
    ));
    assert_eq!(tags(&mut bench), ["F", "T1", "T2"]);
    // The offerer hears the one that answered last.
    let query = Dict::new()
        .with("command", "query")
        .with("call-id", "call")
        .with("from-tag", "F");
    let reply = bench.ask(query);
    let heard: Vec<_> = reply
        .get("tags")
        .unwrap()
        .as_dict()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[1].0, b"T2");
}

#[test]
fn one_branch_is_deleted_and_the_rest_stays() {
    let mut bench = Bench::new();
    let sdp = audio(HOST, 2000, "");
    for name in ["b1", "b2"] {
        bench.sdp(branch(offer(&sdp), name));
    }
    bench.sdp(branch(answer_of("T2", &audio(OTHER, 3000, "")), "b2"));
    let delete = Dict::new()
        .with("command", "delete")
        .with("call-id", "call")
        .with("from-tag", "F")
        .with("via-branch", "b1")
        .with("delete-delay", Value::Int(0));
    let reply = bench.ask(delete);
    let described = reply.get("tags").unwrap().as_dict().unwrap();
    let described: Vec<_> = described
        .iter()
        .map(|(tag, _)| tag.escape_ascii().to_string())
        .collect();
    assert_eq!(described, ["F", "T2"]);
    assert_eq!(bench.leased(), 4);
    assert_eq!(bench.calls.count(), 1);
}

#[test]
fn either_tag_of_a_call_of_two_deletes_it() {
    for tag in ["F", "T"] {
        let mut bench = Bench::new();
        bench.sdp(offer(&audio(HOST, 2000, "")));
        bench.sdp(answer(&audio(OTHER, 3000, "")));
        let delete = Dict::new()
            .with("command", "delete")
            .with("call-id", "call")
            .with("from-tag", tag)
            .with("delete-delay", "0");
        let reply = bench.ask(delete);
        assert_eq!(reply.get("tags").unwrap().as_dict().unwrap().len(), 2);
        assert_eq!((bench.leased(), bench.calls.count()), (0, 0));
    }
}

#[test]
fn an_unknown_tag_or_call_is_a_warning_or_with_fatal_an_error() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    let warning = Some("Call-ID not found or tags didn't match");
    for (call, tag) in [("nobody", "F"), ("call", "X")] {
        let delete = || {
            Dict::new()
                .with("command", "delete")
                .with("call-id", call)
                .with("from-tag", tag)
        };
        let reply = bench.ask(delete());
        assert_eq!(
            (reply.get_str("result"), reply.get_str("warning")),
            (Some("ok"), warning)
        );
        let reply = bench.ask(delete().with("flags", strings(&["fatal"])));
        assert_eq!(reply.get_str("error-reason"), warning);
    }
    assert_eq!(bench.calls.count(), 1);
}

#[test]
fn the_same_endpoint_keeps_its_ports_a_changed_one_gets_new_ones_and_back() {
    let mut bench = Bench::new();
    let first = port(&bench.sdp(offer(&audio(HOST, 2000, ""))), 0);
    assert_eq!(port(&bench.sdp(offer(&audio(HOST, 2000, ""))), 0), first);
    let moved = port(&bench.sdp(offer(&audio(HOST, 2100, ""))), 0);
    assert_ne!(moved, first);
    assert_eq!(port(&bench.sdp(offer(&audio(HOST, 2000, ""))), 0), first);
    let latched = offer(&audio(HOST, 2200, "")).with("flags", strings(&["port-latching"]));
    assert_eq!(port(&bench.sdp(latched), 0), first);
}

#[test]
fn the_callee_may_offer_and_both_keep_their_ports() {
    let mut bench = Bench::new();
    let to_callee = port(&bench.sdp(offer(&audio(HOST, 2000, ""))), 0);
    let to_caller = port(&bench.sdp(answer(&audio(OTHER, 3000, ""))), 0);
    let back = |command, from: &'static str, to: &'static str, sdp: &str| {
        message(command, sdp)
            .with("from-tag", from)
            .with("to-tag", to)
    };
    let sdp = bench.sdp(back("offer", "T", "F", &audio(OTHER, 3000, "")));
    assert_eq!(port(&sdp, 0), to_caller);
    let sdp = bench.sdp(back("answer", "T", "F", &audio(HOST, 2000, "")));
    assert_eq!(port(&sdp, 0), to_callee);
    assert_eq!(bench.leased(), 4);
}

#[test]
fn one_party_alone_is_no_dialogue() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    let reply = bench.ask(
        message("answer", &audio(HOST, 2000, ""))
            .with("from-tag", "F")
            .with("to-tag", "F"),
    );
    assert_eq!(
        reply.get_str("error-reason"),
        Some("Invalid dialogue association")
    );
}

#[test]
fn mux_matrix() {
    // offered to us, options, offered by us, one port, answered by the receiver, answered by us
    type Row = (bool, &'static [&'static str], bool, bool, bool, bool);
    let rows: [Row; 11] = [
        (true, &[], true, false, true, true),
        (true, &[], true, false, false, false),
        (false, &["offer"], true, false, true, false),
        (false, &["require"], true, true, true, false),
        (true, &["demux"], false, false, false, true),
        (true, &["accept"], true, false, false, true),
        (true, &["reject"], true, false, true, false),
        (true, &["demux", "accept"], false, false, false, true),
        (true, &["offer", "reject"], true, false, true, false),
        (true, &["offer", "reject"], true, false, false, false),
        (false, &[], false, false, false, false),
    ];
    let mux = |is: bool| if is { "a=rtcp-mux\n" } else { "" };
    for (offered, options, ours, single, answered, result) in rows {
        let mut bench = Bench::new();
        let request = offer(&audio(HOST, 2000, mux(offered))).with("rtcp-mux", strings(options));
        let sdp = bench.sdp(request);
        assert_eq!(sdp.contains("a=rtcp-mux"), ours, "{options:?}: {sdp}");
        let expected = port(&sdp, 0) + u16::from(!single);
        assert!(
            sdp.contains(&format!("a=rtcp:{expected}\n")),
            "{options:?}: {sdp}"
        );
        let sdp = bench.sdp(answer(&audio(OTHER, 3000, mux(answered))));
        assert_eq!(
            sdp.contains("a=rtcp-mux"),
            result,
            "{options:?} {answered}: {sdp}"
        );
        let shared = sdp.contains(&format!("a=rtcp:{}\n", port(&sdp, 0)));
        assert_eq!(shared, result, "{options:?}: {sdp}");
    }
}

#[test]
fn list_has_a_limit() {
    let mut bench = Bench::new();
    for index in 0..40 {
        let mut request = offer(&audio(HOST, 2000, ""));
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

#[test]
fn a_branch_of_the_receiver_is_not_taken_for_the_sender() {
    let mut bench = Bench::new();
    bench.sdp(branch(offer(&audio("198.51.100.10", 2000, "")), "b1"));
    bench.sdp(branch(answer(&audio("198.51.100.20", 3000, "")), "b1"));
    // An offer by a third party to the callee, under the callee's own branch.
    let transfer = message("offer", &audio("198.51.100.30", 4000, ""))
        .with("from-tag", "X")
        .with("to-tag", "T");
    bench.sdp(branch(transfer, "b1"));
    let tags = tags(&mut bench);
    assert!(
        ["F", "T", "X"]
            .iter()
            .all(|tag| tags.iter().any(|known| known == tag)),
        "{tags:?}"
    );
}

#[test]
fn a_declined_bypass_shows_no_address() {
    let mut bench = Bench::new();
    let message = "m=message 5000 TCP/MSRP *\na=path:msrp://x\n";
    let text = bench.sdp(offer(&audio("198.51.100.10", 2000, message)));
    assert!(text.contains("\nm=message 5000 TCP/MSRP *\nc=IN IP4 198.51.100.10\n"));
    let declined = "m=message 0 TCP/MSRP *\n";
    let text = bench.sdp(answer(&audio("198.51.100.20", 3000, declined)));
    let expected = "\nm=message 0 TCP/MSRP *\nc=IN IP4 0.0.0.0\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn audio_becomes_fax_and_audio_again() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    let ports = bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let by_callee = |command, sdp: &str| {
        let message = message(command, sdp);
        message.with("from-tag", "T").with("to-tag", "F")
    };
    let fax = |host, port| {
        audio(host, port, "a=T38FaxVersion:0\n")
            .replace("audio", "image")
            .replace("RTP/AVP 8", "udptl t38")
    };
    let text = bench.sdp(by_callee("offer", &fax("198.51.100.20", 3000)));
    let line = format!("\nm=image {} udptl t38\n", port(&ports, 0));
    assert!(text.contains(&line), "{text}");
    let text = bench.sdp(by_callee("answer", &fax("198.51.100.10", 2000)));
    assert!(text.contains("\nm=image "), "{text}");
    let text = bench.sdp(by_callee("offer", &audio("198.51.100.20", 3000, "")));
    let line = format!("\nm=audio {} RTP/AVP 8\n", port(&ports, 0));
    assert!(text.contains(&line), "{text}");
    assert_eq!(bench.leased(), 4);
}

#[test]
fn ports_stay_where_an_offer_ends_an_agreed_mux() {
    let mut bench = Bench::new();
    let sdp = |host, port| audio(host, port, "a=rtcp-mux\n");
    let rejects = |request: Dict| request.with("rtcp-mux", strings(&["reject"]));
    let to_callee = bench.sdp(rejects(offer(&sdp(HOST, 2000))));
    bench.sdp(answer(&sdp("198.51.100.20", 3000)));
    let mut reoffer = rejects(offer(&sdp("198.51.100.20", 3000)));
    reoffer.set("from-tag", "T");
    reoffer.set("to-tag", "F");
    bench.sdp(reoffer);
    let mut reply = answer(&sdp(HOST, 2000));
    reply.set("from-tag", "T");
    reply.set("to-tag", "F");
    let again = bench.sdp(reply);
    assert_eq!(port(&again, 0), port(&to_callee, 0), "{again}");
    assert!(!again.contains("a=rtcp-mux"), "{again}");
}
