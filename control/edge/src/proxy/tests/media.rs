use super::*;
use crate::config::{CORE, Profile};

fn relayed(sdp: &[u8]) -> MediaReply {
    MediaReply {
        sdp: sdp.to_vec(),
        ..MediaReply::default()
    }
}

fn in_dialog(method: &str, number: u32, from_bob: bool, route: &str, body: &str) -> String {
    let (uri, via, tags) = if from_bob {
        (
            "sip:alice@198.51.100.7:5060",
            "203.0.113.9:5070",
            ("b", "a"),
        )
    } else {
        ("sip:bob@203.0.113.9:5070", "198.51.100.7:5060", ("a", "b"))
    };
    request(
        &format!("{method} {uri}"),
        &format!("{via};branch=z9hG4bK{method}{number}"),
        tags,
        &format!("{number} {method}"),
        route,
        body,
    )
}

#[test]
fn late_offer_is_made_by_the_callee_and_answered_in_the_ack() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite(""));
    let ok = world.recv(BOB, &response(&sent[1], "200 OK", "b", BOB_CONTACT, "bob"));
    assert_eq!(ok[0].body(), "relayed bob");
    let route = format!(
        "Route: {}\r\n",
        sent[1].all(HeaderId::RecordRoute).join(",")
    );
    let ack = in_dialog("ACK", 1, false, &route, "alice");
    let sent = world.recv(ALICE, &ack);
    assert_eq!(sent[0].body(), "relayed alice");
    assert_eq!(sent[0].all(HeaderId::ContentLength), ["13"]);
    let again = world.recv(ALICE, &ack);
    assert_eq!(again[0].body(), "relayed alice");
    assert_eq!(world.relay, ["offer b>a", "answer b>a"]);
}

#[test]
fn reliable_late_offer_is_answered_in_the_prack() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite(""));
    let reliable = format!("{BOB_CONTACT}Require: 100rel\r\nRSeq: 1\r\n");
    let progress = world.recv(
        BOB,
        &response(&sent[1], "183 Progress", "b", &reliable, "bob"),
    );
    assert_eq!(progress[0].body(), "relayed bob");
    let route = format!(
        "Route: {}\r\n",
        sent[1].all(HeaderId::RecordRoute).join(",")
    );
    let prack = world.recv(ALICE, &in_dialog("PRACK", 2, false, &route, "alice"));
    assert_eq!(prack[0].body(), "relayed alice");
    world.recv(BOB, &response(&prack[0], "200 OK", "b", "", ""));
    world.recv(BOB, &response(&sent[1], "200 OK", "b", BOB_CONTACT, "bob"));
    assert_eq!(world.relay, ["offer b>a", "answer b>a"]);
}

#[test]
fn callee_reinvites_and_a_refusal_keeps_the_call() {
    let mut world = World::new();
    let route = call(&mut world);
    let sent = world.recv(BOB, &in_dialog("INVITE", 7, true, &route, "hold"));
    let reinvite = sent
        .iter()
        .find(|s| s.line().starts_with("INVITE"))
        .unwrap();
    assert_eq!(
        (reinvite.to, reinvite.body().as_str()),
        (addr(ALICE), "relayed hold")
    );
    assert!(reinvite.all(HeaderId::RecordRoute).is_empty());
    let ok = world.recv(
        ALICE,
        &response(
            reinvite,
            "200 OK",
            "a",
            "Contact: <sip:alice@198.51.100.7:5060>\r\n",
            "held",
        ),
    );
    assert_eq!(
        (ok[0].to, ok[0].body().as_str()),
        (addr(BOB), "relayed held")
    );
    let ack = world.recv(BOB, &in_dialog("ACK", 7, true, &route, ""));
    assert_eq!(ack[0].to, addr(ALICE));
    assert_eq!(world.relay[2..], ["offer b>a", "answer b>a"]);

    let sent = world.recv(ALICE, &in_dialog("INVITE", 3, false, &route, "video"));
    let refused = world.recv(
        BOB,
        &response(&sent[1], "488 Not Acceptable Here", "b", "", ""),
    );
    assert_eq!(refused[1].line(), "SIP/2.0 488 Not Acceptable Here");
    assert_eq!(
        world.relay[4..],
        ["offer a>b", "offer b>a", "answer b>a"],
        "nothing is deleted, and the agreed session is in force again"
    );
    assert_eq!(world.requests[5], world.requests[2]);
    assert_eq!(world.requests[6], world.requests[3]);
    assert_eq!(world.proxy.dialogs.len(), 1);
}

#[test]
fn update_is_offered_and_answered() {
    let mut world = World::new();
    let route = call(&mut world);
    let sent = world.recv(ALICE, &in_dialog("UPDATE", 5, false, &route, "new"));
    let ok = world.recv(BOB, &response(&sent[0], "200 OK", "b", BOB_CONTACT, "ok"));
    assert_eq!(ok[0].body(), "relayed ok");
    assert_eq!(world.relay[2..], ["offer a>b", "answer a>b"]);
}

#[test]
fn early_media_is_answered_per_fork() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    for tag in ["b1", "b2", "b1"] {
        let out = world.recv(
            BOB,
            &response(&sent[1], "183 Progress", tag, BOB_CONTACT, "early"),
        );
        assert_eq!(out[0].body(), "relayed early");
    }
    world.recv(
        BOB,
        &response(&sent[1], "200 OK", "b2", BOB_CONTACT, "early"),
    );
    assert_eq!(world.relay, ["offer a>", "answer a>b1", "answer a>b2"]);
}

#[test]
fn messages_wait_for_the_relay_in_their_order() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.hold = Some(Vec::new());
    assert!(
        world
            .recv(
                BOB,
                &response(&sent[1], "183 Progress", "b", BOB_CONTACT, "bob")
            )
            .is_empty()
    );
    assert!(
        world
            .recv(BOB, &response(&sent[1], "200 OK", "b", BOB_CONTACT, ""))
            .is_empty()
    );
    let token = world.hold.take().unwrap()[0];
    let out = world.answer(token, Ok(relayed(b"x")));
    assert_eq!(
        out.iter().map(Sent::line).collect::<Vec<_>>(),
        ["SIP/2.0 183 Progress", "SIP/2.0 200 OK"]
    );
}

#[test]
fn message_without_a_place_behind_the_relay_is_answered() {
    let mut world = World::new();
    let route = call(&mut world);
    world.hold = Some(Vec::new());
    let mut lines = Vec::new();
    for n in 2..72 {
        let update = in_dialog("UPDATE", n, false, &route, &format!("sdp {n}"));
        let sent = world.recv(ALICE, &update);
        lines.extend(sent.iter().map(Sent::line));
    }
    // One is at the relay, 64 wait behind it.
    assert_eq!(lines, ["SIP/2.0 500 Server Internal Error"; 5]);
    while let Some(token) = world.hold.as_mut().and_then(Vec::pop) {
        world.answer(token, Ok(relayed(b"x")));
    }
    assert_eq!(
        world
            .sent
            .iter()
            .filter(|s| s.line().starts_with("UPDATE"))
            .count(),
        65
    );
    world.pass(Duration::from_secs(240));
    assert!(
        world.proxy.transits.is_empty(),
        "{:?}",
        world.proxy.transits
    );
    assert!(world.proxy.is_idle() && world.proxy.memory.is_empty());
}

#[test]
fn cancel_while_the_offer_is_at_the_relay() {
    let mut world = World::new();
    world.hold = Some(Vec::new());
    assert_eq!(world.recv(ALICE, &invite("alice")).len(), 1, "only the 100");
    let cancel = request(
        "CANCEL sip:bob@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKinv;rport",
        ("a", ""),
        "1 CANCEL",
        "",
        "",
    );
    let out = world.recv(ALICE, &cancel);
    assert_eq!(
        out.iter().map(Sent::line).collect::<Vec<_>>(),
        ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
    );
    let token = world.hold.take().unwrap()[0];
    assert!(world.answer(token, Ok(relayed(b"x"))).is_empty());
    assert_eq!(world.relay, ["offer a>", "delete a>"]);
    world.assert_forgotten();
}

#[test]
fn dead_relay_refuses_the_call_and_keeps_calls_in_progress() {
    let mut world = World::new();
    world.refuse = true;
    let out = world.recv(ALICE, &invite("alice"));
    assert_eq!(out[1].line(), "SIP/2.0 503 Media Unavailable");
    world.assert_forgotten();

    let mut world = World::new();
    let route = call(&mut world);
    world.refuse = true;
    let out = world.recv(ALICE, &in_dialog("INVITE", 3, false, &route, "more"));
    assert_eq!(out[1].line(), "SIP/2.0 500 Media Unavailable");
    assert_eq!(world.proxy.dialogs.len(), 1);
}

#[test]
fn an_offer_that_any_relay_would_refuse_is_not_acceptable() {
    let refused = || Err(MediaError::Refused("Failed to parse SDP".to_owned()));
    let mut world = World::new();
    world.hold = Some(Vec::new());
    world.recv(ALICE, &invite("alice"));
    let token = world.hold.take().unwrap()[0];
    let out = world.answer(token, refused());
    assert_eq!(out[0].line(), "SIP/2.0 488 Not Acceptable Here");
    world.assert_forgotten();

    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.hold = Some(Vec::new());
    let ok = response(&forwarded(&sent), "200 OK", "b", BOB_CONTACT, "bob");
    world.recv(BOB, &ok);
    let token = world.hold.take().unwrap()[0];
    let out = world.answer(token, refused());
    let last = out.last().map(Sent::line);
    assert_eq!(last.as_deref(), Some("SIP/2.0 503 Media Unavailable"));
}

#[test]
fn answer_that_cannot_be_anchored_ends_the_callees_side() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    world.refuse = true;
    let ok = response(&sent[1], "200 OK", "b", BOB_CONTACT, "bob");
    let out = world.recv(BOB, &ok);
    let lines: Vec<_> = out.iter().map(Sent::line).collect();
    assert_eq!(
        lines,
        [
            "ACK sip:bob@203.0.113.9:5070 SIP/2.0",
            "BYE sip:bob@203.0.113.9:5070 SIP/2.0",
            "SIP/2.0 503 Media Unavailable"
        ]
    );
    assert!(world.recv(BOB, &ok)[0].line().starts_with("ACK"));
    assert!(
        world
            .recv(BOB, &response(&out[1], "200 OK", "b", "", ""))
            .is_empty()
    );
    world.assert_forgotten();
}

#[test]
fn directions_and_options_follow_the_side() {
    let mut world = World::with(
        |c| {
            c.zones[PUBLIC].media_interface = Some("ext".into());
            c.zones[CORE].media_interface = Some("int".into());
            c.zones[PUBLIC].media_options = vec![("ICE".into(), "remove".into())];
            c.media_flags = vec!["strict-source".into()];
        },
        &[EDGE],
    );
    let route = call(&mut world);
    world.recv(BOB, &in_dialog("INVITE", 7, true, &route, "hold"));
    let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    assert_eq!(world.requests[0].direction, pair("ext", "int"));
    let extra = &world.requests[0].extra;
    assert!(
        extra.iter().all(|(key, _)| key == "via-branch"),
        "{extra:?}"
    );
    assert_eq!(world.requests[0].received_from, Some(addr(ALICE).ip()));
    assert_eq!(world.requests[2].direction, pair("int", "ext"));
    assert_eq!(
        world.requests[2].extra,
        [("ICE".to_owned(), "remove".to_owned())]
    );
    assert_eq!(world.requests[2].flags, ["strict-source"]);
}

#[test]
fn only_the_sdp_part_of_a_multipart_body_changes() {
    let mut world = World::new();
    let body = "--b\r\nContent-Type: application/isup\r\n\r\n\u{1}\u{2}\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n";
    let invite = invite(body).replace(
        "application/sdp\r\nContent-Length",
        "multipart/mixed;boundary=\"b\"\r\nContent-Length",
    );
    let sent = world.recv(ALICE, &invite);
    assert_eq!(sent[1].body(), body.replace("v=0", "relayed v=0"));
    assert_eq!(world.requests[0].sdp.as_deref(), Some(&b"v=0"[..]));
}

#[test]
fn sealed_bodies_are_refused() {
    let mut world = World::new();
    let invite = invite("x").replace("application/sdp", "multipart/signed;boundary=b");
    let out = world.recv(ALICE, &invite);
    assert_eq!(out[1].line(), "SIP/2.0 493 Undecipherable");
}

#[test]
fn profile_of_a_zone_sets_the_transport_toward_it() {
    let mut world = World::with(
        |c| {
            c.zones[PUBLIC].media = Profile::Webrtc;
            c.zones[CORE].media = Profile::Plain;
            c.zones[CORE].media_options = vec![("ICE".into(), "optional".into())];
        },
        &[EDGE],
    );
    call(&mut world);
    let keys = |n: usize, key: &str| {
        let extra = world.requests[n].extra.iter().filter(|(k, _)| k == key);
        extra.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys(0, "transport-protocol"), ["RTP/AVP"]);
    assert_eq!(keys(0, "DTLS"), ["off"]);
    assert_eq!(keys(0, "rtcp-mux"), ["demux"]);
    assert_eq!(keys(1, "rtcp-mux"), ["offer,require"]);
    assert_eq!(
        keys(0, "ICE"),
        ["optional"],
        "what is said for the zone counts"
    );
    // The answer goes to the other zone, by the transport of the offer.
    assert!(keys(1, "transport-protocol").is_empty());
    assert_eq!(keys(1, "ICE"), ["force"]);
    assert_eq!(keys(1, "SDES"), ["off"]);
    assert_eq!(world.requests[1].flags, ["generate-mid"]);
}
