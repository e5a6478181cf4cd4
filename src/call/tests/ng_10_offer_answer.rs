//! ng-protocol §10: parties, forks, ports across re-offers.

use super::*;

pub(super) const HOST: &str = "198.51.100.10";
pub(super) const OTHER: &str = "198.51.100.20";

pub(super) fn branch(request: Dict, branch: &str) -> Dict {
    request.with("via-branch", branch)
}

pub(super) fn answer_of(tag: &'static str, sdp: &str) -> Dict {
    message("answer", sdp)
        .with("from-tag", "F")
        .with("to-tag", tag)
}

pub(super) fn tags(bench: &mut Bench) -> Vec<String> {
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
fn ports_follow_the_endpoint_of_the_other_party() {
    // The second offer of a caller that was at port 2000; whether the callee keeps its ports.
    let rows: [(u16, &str, Dict, bool); 8] = [
        (2000, "", Dict::new(), true),
        (2100, "", Dict::new(), false),
        (
            2100,
            "",
            Dict::new().with("flags", strings(&["port-latching"])),
            true,
        ),
        (2100, "a=inactive\n", Dict::new(), true),
        (2100, "a=recvonly\n", Dict::new(), false),
        (2100, "a=sendonly\n", Dict::new(), true),
        (
            2100,
            "a=inactive\n",
            Dict::new().with("flags", strings(&["no-port-latching"])),
            false,
        ),
        (
            2000,
            "",
            Dict::new().with("flags", strings(&["no-port-latching"])),
            true,
        ),
    ];
    for (at_port, lines, more, keeps) in rows {
        let mut bench = Bench::new();
        let first = port(&bench.sdp(offer(&audio(HOST, 2000, ""))), 0);
        bench.sdp(answer(&audio(OTHER, 3000, "")));
        let mut again = offer(&audio(HOST, at_port, lines)).with("to-tag", "T");
        again.extend(more.clone().into_entries());
        let second = port(&bench.sdp(again), 0);
        assert_eq!(second == first, keeps, "{at_port} {lines} {more:?}");
        // Back at the earlier endpoint the earlier ports are back.
        let back = offer(&audio(HOST, 2000, "")).with("to-tag", "T");
        assert_eq!(port(&bench.sdp(back), 0), first);
    }
    // A zero address compares by its port alone.
    let mut bench = Bench::new();
    let first = port(&bench.sdp(offer(&audio(HOST, 2000, ""))), 0);
    let held = audio("0.0.0.0", 2000, "");
    let flags = strings(&["no-port-latching"]);
    assert_eq!(
        port(&bench.sdp(offer(&held).with("flags", flags)), 0),
        first
    );
}

#[test]
fn the_offerers_ports_are_bound_to_the_first_answer() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    let first = port(&bench.sdp(answer(&audio(OTHER, 3000, ""))), 0);
    assert_eq!(bench.leased(), 4, "both sides are opened with the offer");
    assert_eq!(port(&bench.sdp(answer(&audio(OTHER, 3000, ""))), 0), first);
}

#[test]
fn a_repeated_offer_or_answer_is_answered_alike() {
    let mut bench = Bench::new();
    for to in [None, Some("T")] {
        let request = || offer(&audio(HOST, 2000, "")).with_some("to-tag", to);
        let first = bench.sdp(request());
        assert_eq!(bench.sdp(request()), first);
        let request = || answer(&audio(OTHER, 3000, ""));
        let first = bench.sdp(request());
        assert_eq!(bench.sdp(request()), first);
    }
    // One that comes when the relay has forgotten the call.
    let mut bench = Bench::new();
    let request = || offer(&audio(HOST, 2000, "")).with("to-tag", "T");
    let first = bench.sdp(request());
    assert_eq!(bench.sdp(request()), first);
    assert_eq!(bench.leased(), 4);
}

#[test]
fn pieces_of_an_offer_are_answered_without_an_sdp() {
    let mut bench = Bench::new();
    let ice = "a=ice-ufrag:uuuu\na=ice-pwd:pppppppppppppppppppppp\n";
    let piece = "a=ice-ufrag:uuuu\na=ice-pwd:pppppppppppppppppppppp\nm=audio 9 RTP/AVP 8\n\
        a=mid:1\na=candidate:1 1 udp 1 198.51.100.10 2000 typ host\n";
    let piece = || offer(piece).with("flags", strings(&["fragment"]));
    // Before its offer, which then has it; and after it.
    let reply = bench.ask(piece());
    assert_eq!((said(&reply), keys(&reply, "").len()), ("ok", 1));
    bench.sdp(offer(&audio(HOST, 2000, ice)).with("ICE", "force"));
    assert_eq!(said(&bench.ask(piece())), "ok");
    assert_eq!(bench.calls.count(), 1);
    // A call of a piece alone is not kept.
    let mut alone = piece();
    alone.set("call-id", "alone");
    bench.ask(alone);
    assert_eq!(bench.calls.count(), 2);
    bench.wait(4);
    assert_eq!(bench.calls.count(), 1);
}

#[test]
fn what_we_wrote_ourselves_comes_back_as_it_is() {
    let mut bench = Bench::new();
    let marked = offer(&audio(HOST, 2000, "")).with("flags", strings(&["loop-protect"]));
    let ours = bench.sdp(marked);
    assert!(ours.contains("\na=rtpengine:"), "{ours}");
    let leased = bench.leased();
    let again = message("offer", &ours).with("from-tag", "F");
    assert_eq!(
        bench.sdp(again.with("flags", strings(&["loop-protect"]))),
        ours
    );
    assert_eq!(bench.leased(), leased);
}
