//! Calls that the edge ends itself (spec §9), and session timers (RFC 4028).

use super::*;
use crate::side::Side;

fn end_all(world: &mut World) -> Vec<Sent> {
    let all = CallFilter::default();
    let ended = world
        .proxy
        .end_calls(world.now, &all, (None, 10), (503, "Out of credit"));
    assert_eq!(ended.found, 1);
    world.pull()
}

/// An answered call that was not acknowledged; the rows of the caller's route set.
fn answered(world: &mut World) -> String {
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, "bob"));
    format!(
        "Route: {}\r\n",
        invite.all(HeaderId::RecordRoute).join(", ")
    )
}

#[test]
fn confirmed_call_is_ended_by_bye_to_both_sides() {
    let mut world = World::new();
    let route = call(&mut world);
    let info = request(
        "INFO sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKi",
        ("a", "b"),
        "7 INFO",
        &route,
        "",
    );
    let sent = world.recv(ALICE, &info);
    world.recv(BOB, &response(&sent[0], "200 OK", "b", "", ""));
    let byes = end_all(&mut world);
    let [callee, caller] = &byes[..] else {
        panic!("{byes:?}");
    };
    assert_eq!(callee.line(), "BYE sip:bob@203.0.113.9:5070 SIP/2.0");
    assert_eq!((callee.to, caller.to), (addr(BOB), addr(ALICE)));
    assert_eq!(callee.all(HeaderId::From), ["<sip:f@x.example>;tag=a"]);
    assert_eq!(callee.all(HeaderId::To), ["<sip:t@x.example>;tag=b"]);
    assert_eq!(
        callee.all(HeaderId::CSeq),
        ["8 BYE"],
        "after what the caller used"
    );
    assert_eq!(
        callee.all(HeaderId::Reason),
        ["SIP;cause=503;text=\"Out of credit\"", "Q.850;cause=41"]
    );
    assert_eq!(caller.line(), "BYE sip:alice@198.51.100.7:5060 SIP/2.0");
    assert_eq!(caller.all(HeaderId::From), ["<sip:t@x.example>;tag=b"]);
    assert_eq!(caller.all(HeaderId::CSeq), ["1 BYE"]);
    assert_eq!(world.relay.last().unwrap(), "delete a>");
    // What crosses is answered here.
    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKbye",
        ("a", "b"),
        "8 BYE",
        &route,
        "",
    );
    assert_eq!(world.recv(ALICE, &bye)[0].line(), "SIP/2.0 200 OK");
    let update = bye.replace("BYE", "UPDATE");
    assert!(
        world.recv(ALICE, &update)[0]
            .line()
            .starts_with("SIP/2.0 481")
    );
    // The callee answers; the caller never does.
    assert!(
        world
            .recv(BOB, &response(callee, "200 OK", "b", "", ""))
            .is_empty()
    );
    let repeats = world.pass(Duration::from_secs(60));
    assert!(
        repeats
            .iter()
            .all(|s| s.to == addr(ALICE) && s.line() == caller.line())
    );
    assert_eq!(repeats.len(), 10);
    assert!(world.proxy.own.is_empty());
    world.assert_forgotten();
}

#[test]
fn caller_hears_of_the_end_after_its_ack() {
    for acknowledges in [true, false] {
        let mut world = World::new();
        let route = answered(&mut world);
        let byes = end_all(&mut world);
        assert_eq!((byes.len(), byes[0].to), (1, addr(BOB)));
        world.recv(BOB, &response(&byes[0], "200 OK", "b", "", ""));
        let sent = if acknowledges {
            let ack = request(
                "ACK sip:bob@203.0.113.9:5070",
                "198.51.100.7:5060;branch=z9hG4bKack",
                ("a", "b"),
                "1 ACK",
                &route,
                "",
            );
            world.recv(ALICE, &ack)
        } else {
            assert!(world.pass(Duration::from_secs(31)).is_empty());
            world.pass(Duration::from_secs(1))
        };
        let bye = sent.iter().find(|s| s.line().starts_with("BYE")).unwrap();
        assert_eq!(bye.to, addr(ALICE));
        world.recv(ALICE, &response(bye, "200 OK", "a", "", ""));
        world.assert_forgotten();
    }
}

#[test]
fn early_call_is_cancelled_and_the_caller_told() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    world.recv(BOB, &response(&invite, "180 Ringing", "b", BOB_CONTACT, ""));
    let sent = end_all(&mut world);
    assert!(sent[0].line().starts_with("CANCEL"), "{sent:?}");
    assert_eq!(sent[0].all(HeaderId::Reason).len(), 2);
    assert!(
        world
            .pass(Duration::from_millis(1900))
            .iter()
            .all(|s| s.to == addr(BOB))
    );
    let told = world.pass(Duration::from_millis(200));
    assert!(
        told.iter()
            .any(|s| s.to == addr(ALICE) && s.line().starts_with("SIP/2.0 480"))
    );
    // The answer of the callee crossed the CANCEL, long after.
    world.pass(Duration::from_secs(10));
    assert!(world.proxy.dialogs.is_empty());
    let ok = response(&invite, "200 OK", "b", BOB_CONTACT, "bob");
    let sent = world.recv(BOB, &ok);
    let lines: Vec<_> = sent.iter().map(Sent::line).collect();
    assert!(
        lines[0].starts_with("ACK") && lines[1].starts_with("BYE"),
        "{lines:?}"
    );
    assert!(sent.iter().all(|s| s.to == addr(BOB)));
    assert!(
        world.recv(BOB, &ok)[0].line().starts_with("ACK"),
        "repeated"
    );
    world.recv(BOB, &response(&sent[1], "200 OK", "b", "", ""));
    world.assert_forgotten();
}

#[test]
fn bye_follows_the_route_sets_of_both_sides() {
    let mut world = World::new();
    let hop = "Record-Route: <sip:198.51.100.20:5080;lr>\r\n";
    let sent = world.recv(ALICE, &invite_with("alice", hop));
    let invite = forwarded(&sent);
    let ok = response(
        &invite,
        "200 OK",
        "b",
        "Contact: <sip:bob@203.0.113.77:5090>\r\n",
        "bob",
    );
    let ok = ok.replacen(
        "Record-Route: ",
        "Record-Route: <sip:far.example;lr>, <sip:203.0.113.9:5070;lr>\r\nRecord-Route: ",
        1,
    );
    world.recv(BOB, &ok);
    let (id, dialog) = world.proxy.dialogs.iter_mut().next().unwrap();
    dialog.acknowledged = true;
    assert_eq!(dialog.party(Side::Callee).routes.len(), 2, "{id}");
    let byes = end_all(&mut world);
    let routes = ["<sip:203.0.113.9:5070;lr>", "<sip:far.example;lr>"];
    assert_eq!(byes[0].all(HeaderId::Route), routes);
    assert_eq!(
        (byes[0].to, byes[0].line().as_str()),
        (addr(BOB), "BYE sip:bob@203.0.113.77:5090 SIP/2.0")
    );
    assert_eq!(
        byes[1].all(HeaderId::Route),
        ["<sip:198.51.100.20:5080;lr>"]
    );
    assert_eq!(byes[1].to, addr("198.51.100.20:5080"));
}

#[test]
fn longest_call_is_ended() {
    let mut world = World::with(|c| c.max_call = Duration::from_secs(100), &[EDGE]);
    call(&mut world);
    let sent = world.pass(Duration::from_secs(101));
    let byes = sent.iter().filter(|s| s.line().starts_with("BYE"));
    assert!(byes.count() >= 2);
    assert!(sent[0].text().contains("text=\"Maximum Duration\""));
}

#[test]
fn session_that_is_not_refreshed_is_ended() {
    let mut world = World::new();
    let short = invite_with(
        "alice",
        "Session-Expires: 89;refresher=uac\r\nSupported: timer\r\n",
    );
    let refused = world.recv(ALICE, &short);
    assert!(refused[0].line().starts_with("SIP/2.0 422"));
    assert_eq!(refused[0].all(HeaderId::MinSe), ["90"]);
    let timed = |branch: &str| {
        invite_with("alice", "Session-Expires: 90\r\n").replace("z9hG4bKinv", branch)
    };
    let sent = world.recv(ALICE, &timed("z9hG4bKlong"));
    let row = format!("{BOB_CONTACT}Session-Expires: 90;refresher=uac\r\n");
    world.recv(
        BOB,
        &response(&forwarded(&sent), "200 OK", "b", &row, "bob"),
    );
    assert!(
        !world
            .pass(Duration::from_secs(121))
            .iter()
            .any(|s| s.line().starts_with("BYE"))
    );
    let sent = world.pass(Duration::from_secs(2));
    let bye = sent.iter().find(|s| s.line().starts_with("BYE")).unwrap();
    assert!(bye.text().contains("text=\"Session Expired\""));
}

#[test]
fn calls_are_listed_by_who_is_in_them() {
    let mut world = World::new();
    call(&mut world);
    let now = world.now + Duration::from_secs(5);
    let of = |filter: CallFilter| world.proxy.calls(now, &filter, None, 10).found;
    let all = of(CallFilter::default());
    let [seen] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(
        (seen.call_id.as_str(), seen.state),
        ("c1", CallState::Confirmed)
    );
    assert_eq!(seen.caller, "sip:f@x.example");
    assert_eq!(seen.callee, "sip:bob@edge.example");
    assert_eq!((seen.source, seen.target), (addr(ALICE), addr(BOB)));
    assert_eq!(seen.zones, ("public".to_owned(), "core".to_owned()));
    assert_eq!(
        (seen.age, seen.answered),
        (Duration::from_secs(5), Some(Duration::from_secs(5)))
    );
    let user = |name: &str| CallFilter {
        user: Some(name.to_owned()),
        ..CallFilter::default()
    };
    assert_eq!(of(user("bob")), all);
    assert_eq!(of(user("f")), all);
    assert!(of(user("alice")).is_empty());
    let other = CallFilter {
        source: Some(addr(BOB).ip()),
        ..CallFilter::default()
    };
    assert!(of(other).is_empty());
    let early = CallFilter {
        state: Some(CallState::Early),
        ..CallFilter::default()
    };
    assert!(of(early).is_empty());
    let one = CallFilter {
        id: Some(seen.id),
        ..CallFilter::default()
    };
    assert_eq!(of(one), all);
}

#[test]
fn all_callees_that_answered_are_told() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let out = forwarded(&sent);
    let route = format!("Route: {}\r\n", out.all(HeaderId::RecordRoute).join(", "));
    for tag in ["b", "c", "d"] {
        let contact = format!("Contact: <sip:{tag}@203.0.113.9:5070>\r\n");
        let answer = world.recv(BOB, &response(&out, "200 OK", tag, &contact, "bob"));
        assert_eq!(answer[0].to, addr(ALICE));
        let ack = request(
            &format!("ACK sip:{tag}@203.0.113.9:5070"),
            &format!("198.51.100.7:5060;branch=z9hG4bKack{tag}"),
            ("a", tag),
            "1 ACK",
            &route,
            "",
        );
        world.recv(ALICE, &ack);
    }
    // The first says it again, and the second hangs up.
    let contact = "Contact: <sip:b@203.0.113.9:5070>\r\n";
    world.recv(BOB, &response(&out, "200 OK", "b", contact, "bob"));
    let bye = request(
        "BYE sip:alice@198.51.100.7:5060",
        "203.0.113.9:5070;branch=z9hG4bKbyec",
        ("c", "a"),
        "5 BYE",
        &route,
        "",
    );
    let bye = world.recv(BOB, &bye);
    world.recv(ALICE, &response(&bye[0], "200 OK", "", "", ""));

    let byes = end_all(&mut world);
    let told = |to: &str, other: HeaderId| {
        let of: Vec<_> = byes.iter().filter(|bye| bye.to == addr(to)).collect();
        let mut ends: Vec<_> = of
            .iter()
            .map(|bye| (bye.line(), bye.all(other).concat()))
            .collect();
        ends.sort();
        ends
    };
    let to = |tag: &str| format!("<sip:t@x.example>;tag={tag}");
    let line = |uri: &str| format!("BYE sip:{uri} SIP/2.0");
    assert_eq!(
        told(BOB, HeaderId::To),
        [
            (line("b@203.0.113.9:5070"), to("b")),
            (line("d@203.0.113.9:5070"), to("d")),
        ]
    );
    let alice = line("alice@198.51.100.7:5060");
    assert_eq!(
        told(ALICE, HeaderId::From),
        [(alice.clone(), to("b")), (alice, to("d"))]
    );
    assert_eq!(byes.len(), 4);
    for bye in &byes {
        world.recv(&bye.to.to_string(), &response(bye, "200 OK", "", "", ""));
    }
    world.assert_forgotten();
}

#[test]
fn caller_of_an_ended_early_call_hears_what_the_callee_says() {
    for waits in [false, true] {
        let mut world = World::new();
        let sent = world.recv(ALICE, &invite("alice"));
        let invite = forwarded(&sent);
        world.recv(BOB, &response(&invite, "180 Ringing", "b", BOB_CONTACT, ""));
        // The relay takes its time to delete the call.
        world.hold = waits.then(Vec::new);
        let sent = end_all(&mut world);
        world.recv(BOB, &response(&sent[0], "200 OK", "b", "", ""));
        let answer = response(&invite, "487 Request Terminated", "b", "", "");
        let mut told = world.recv(BOB, &answer);
        for token in world.hold.take().unwrap_or_default() {
            told.extend(world.answer(token, Ok(MediaReply::default())));
        }
        let is_told = |s: &Sent| s.to == addr(ALICE) && s.line().starts_with("SIP/2.0 487");
        assert!(told.iter().any(is_told), "{waits}: {told:?}");
        world.assert_forgotten();
    }
}
