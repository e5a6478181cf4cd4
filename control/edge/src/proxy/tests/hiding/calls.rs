//! Calls from both sides, with everything that may happen in one.

use super::*;

/// A request of one side in a call arrives at the other as that side knows the call, and its answer
/// comes back.
struct Both {
    caller: (Agent, Leg),
    callee: (Agent, Leg),
    cseq: u32,
}

impl Both {
    /// Sends a request and answers it 200; what arrived.
    fn exchange(&mut self, world: &mut World, by_caller: bool, method: &str, body: &str) -> Sent {
        self.cseq += 1;
        let (from, to) = match by_caller {
            true => (&self.caller, &self.callee),
            false => (&self.callee, &self.caller),
        };
        let sent = from.0.says(world, &from.1, method, self.cseq, body);
        let arrived = first(&sent);
        assert!(arrived.line().starts_with(method), "{}", arrived.text());
        assert_eq!(arrived.listener, to.0.flow.listener);
        assert_eq!(
            arrived.all(HeaderId::CallId),
            std::slice::from_ref(&to.1.call_id),
            "{method}"
        );
        assert_eq!(arrived.all(HeaderId::Via).len(), 1, "{}", arrived.text());
        if method == "ACK" {
            return arrived;
        }
        let answer = if body.is_empty() { "" } else { "answer" };
        let back = first(&to.0.answers(world, &arrived, "200 OK", "", answer));
        assert_eq!(back.line(), "SIP/2.0 200 OK");
        assert_eq!(back.way, from.0.flow.into());
        assert_eq!(
            back.all(HeaderId::CallId),
            std::slice::from_ref(&from.1.call_id)
        );
        let vias = if from.0.proxy.is_empty() { 1 } else { 2 };
        assert_eq!(back.all(HeaderId::Via).len(), vias, "{}", back.text());
        arrived
    }
}

fn whole_call(world: &mut World, caller: Agent, callee: Agent, uri: &str, hides_call_id: bool) {
    let invite = caller.invites(world, uri);
    assert_eq!(invite.listener, callee.flow.listener);
    assert_eq!(invite.body(), "relayed offer");
    assert!(
        invite.all(HeaderId::RecordRoute).is_empty(),
        "{}",
        invite.text()
    );
    assert_eq!(invite.all(HeaderId::Via).len(), 1);
    let ringing = first(&callee.answers(world, &invite, "183 Progress", "b", "early"));
    assert_eq!(ringing.body(), "relayed early");
    let leg = Leg::of_caller(&ringing);
    let of_callee = Leg::of_callee(&invite, "b");
    let mut both = Both {
        caller: (caller, leg),
        callee: (callee, of_callee),
        cseq: 1,
    };
    let prack = both.exchange(world, true, "PRACK", "");
    let to_pbx = format!("PRACK {} SIP/2.0", callee.contact);
    assert_eq!(prack.line(), to_pbx, "the target is that of the callee");
    both.exchange(world, true, "UPDATE", "more");
    let ok = first(&callee.answers(world, &invite, "200 OK", "b", "answer"));
    let recorded = if caller.proxy.is_empty() { 0 } else { 1 };
    assert_eq!(
        ok.all(HeaderId::RecordRoute).len(),
        recorded,
        "its own, as it was"
    );
    both.caller.1 = Leg::of_caller(&ok);
    let ack = both.exchange(world, true, "ACK", "");
    let routes: Vec<String> = match callee.proxy {
        "" => Vec::new(),
        proxy => vec![format!("<{proxy}>")],
    };
    assert_eq!(ack.all(HeaderId::Route), routes);
    for by_caller in [true, false] {
        for (method, body) in [
            ("INVITE", "hold"),
            ("ACK", ""),
            ("UPDATE", "resume"),
            ("INFO", ""),
            ("REFER", ""),
            ("NOTIFY", ""),
            ("MESSAGE", ""),
            ("OPTIONS", ""),
        ] {
            if method == "ACK" {
                both.cseq -= 1;
            }
            let arrived = both.exchange(world, by_caller, method, body);
            let to = if by_caller { callee } else { caller };
            let uri = format!("{method} {} ", to.contact);
            assert!(arrived.line().starts_with(&uri), "{}", arrived.line());
        }
    }
    both.exchange(world, hides_call_id, "BYE", "");
    assert_hidden(world, hides_call_id);
    world.assert_forgotten();
}

#[test]
fn call_from_outside_works_and_tells_neither_side_of_the_other() {
    for hides_call_id in [true, false] {
        let mut world = hidden(|hide| hide.call_id = hides_call_id);
        whole_call(
            &mut world,
            phone(),
            pbx(),
            "sip:bob@edge.example",
            hides_call_id,
        );
    }
}

#[test]
fn screening_lets_a_hidden_call_pass() {
    let mut world = hidden_of(
        |_| {},
        |config| {
            let mut screen = crate::guard::ScreenConfig::default();
            // No time passes in this test.
            screen.flood.enabled = false;
            screen.methods.allow = Some(Vec::new());
            config.screen = Some(screen);
        },
    );
    whole_call(&mut world, phone(), pbx(), "sip:bob@edge.example", true);
    assert!(world.alerts.is_empty(), "{:?}", world.alerts);
}

#[test]
fn call_over_a_stream_works_as_well() {
    let mut world = hidden(|_| {});
    whole_call(
        &mut world,
        phone_on_tcp(),
        pbx(),
        "sip:bob@edge.example",
        true,
    );
}

#[test]
fn call_from_inside_works_as_well() {
    for hides_call_id in [true, false] {
        let mut world = hidden_of(
            |hide| hide.call_id = hides_call_id,
            |config| config.zones[CORE].calls_out = true,
        );
        let uri = "sip:alice@198.51.100.7:5060";
        whole_call(&mut world, pbx(), phone(), uri, hides_call_id);
    }
}

#[test]
fn target_that_moves_is_followed() {
    let mut world = hidden(|_| {});
    let invite = phone().invites(&mut world, "sip:bob@edge.example");
    let ok = first(&pbx().answers(&mut world, &invite, "200 OK", "b", "answer"));
    let (caller, callee) = (Leg::of_caller(&ok), Leg::of_callee(&invite, "b"));
    phone().says(&mut world, &caller, "ACK", 1, "");
    let moved = Agent {
        contact: "sip:100@10.0.0.33:5062",
        ..pbx()
    };
    let update = first(&moved.says(&mut world, &callee, "UPDATE", 5, "more"));
    phone().answers(&mut world, &update, "200 OK", "", "answer");
    let info = first(&phone().says(&mut world, &caller, "INFO", 2, ""));
    assert_eq!(info.line(), "INFO sip:100@10.0.0.33:5062 SIP/2.0");
    assert_eq!(
        info.all(HeaderId::Route),
        ["<sip:10.0.0.20:5070;lr>"],
        "the set stays"
    );
    // What was refused changes nothing.
    let refused = Agent {
        contact: "sip:100@10.0.0.34:5062",
        ..pbx()
    };
    let update = first(&refused.says(&mut world, &callee, "UPDATE", 6, "more"));
    phone().answers(&mut world, &update, "488 No", "", "");
    let info = first(&phone().says(&mut world, &caller, "INFO", 3, ""));
    assert_eq!(info.line(), "INFO sip:100@10.0.0.33:5062 SIP/2.0");
    // The answer to a change moves its author.
    let moved = Agent {
        contact: "sip:100@10.0.0.35:5062",
        ..pbx()
    };
    let update = first(&phone().says(&mut world, &caller, "UPDATE", 4, "more"));
    moved.answers(&mut world, &update, "200 OK", "", "answer");
    let bye = first(&phone().says(&mut world, &caller, "BYE", 5, ""));
    assert_eq!(bye.line(), "BYE sip:100@10.0.0.35:5062 SIP/2.0");
    assert_hidden(&world, true);
}

#[test]
fn forks_are_told_apart() {
    let mut world = hidden(|_| {});
    let invite = phone().invites(&mut world, "sip:bob@edge.example");
    let other = Agent {
        contact: "sip:100@10.0.0.22:5062",
        proxy: "sip:10.0.0.23:5070;lr",
        ..pbx()
    };
    let mut legs = Vec::new();
    for (agent, tag) in [(pbx(), "b"), (other, "c")] {
        let ringing = first(&agent.answers(&mut world, &invite, "180 Ringing", tag, ""));
        legs.push((agent, tag, Leg::of_caller(&ringing)));
    }
    for (number, (agent, _, leg)) in (2..).zip(&legs) {
        let prack = first(&phone().says(&mut world, leg, "PRACK", number, ""));
        assert_eq!(prack.line(), format!("PRACK {} SIP/2.0", agent.contact));
        assert_eq!(prack.all(HeaderId::Route), [format!("<{}>", agent.proxy)]);
        agent.answers(&mut world, &prack, "200 OK", "", "");
    }
    for (agent, tag, leg) in &legs {
        // The second one comes when the transaction has its final answer.
        let ok = first(&agent.answers(&mut world, &invite, "200 OK", tag, "answer"));
        assert_eq!(
            (ok.line(), ok.to),
            ("SIP/2.0 200 OK".to_owned(), addr(ALICE))
        );
        assert_eq!(ok.all(HeaderId::CallId), ["outer-id"]);
        assert!(ok.all(HeaderId::Via)[0].contains("branch=z9hG4bKINVITE1"));
        let ack = first(&phone().says(&mut world, leg, "ACK", 1, ""));
        assert_eq!(ack.line(), format!("ACK {} SIP/2.0", agent.contact));
    }
    let callee = Leg::of_callee(&invite, "c");
    let bye = first(&other.says(&mut world, &callee, "BYE", 9, ""));
    assert_eq!((bye.to, bye.listener), (addr(ALICE), UDP));
    phone().answers(&mut world, &bye, "200 OK", "", "");
    let bye = first(&phone().says(&mut world, &legs[0].2, "BYE", 7, ""));
    assert_eq!(bye.line(), format!("BYE {TARGET} SIP/2.0"));
    assert_hidden(&world, true);
}

#[test]
fn next_target_sees_the_call_anew_and_failures_stay_inside() {
    use crate::config::{Failover, TargetConfig};
    let second = "10.0.0.24:5070";
    let mut world = hidden_of(
        |_| {},
        |config| {
            let target = TargetConfig::new(&format!("sip:{second}"));
            config.upstreams[0].targets.push(target);
            config.routes[0].failover = Failover::default();
        },
    );
    let invite = phone().invites(&mut world, "sip:bob@edge.example");
    let sent = pbx().answers(&mut world, &invite, "503 Full", "b", "");
    let again = forwarded(&sent);
    assert_eq!(again.to, addr(second));
    assert_eq!(again.all(HeaderId::CallId), invite.all(HeaderId::CallId));
    let other = Agent {
        flow: datagram(CORE_SIDE, second),
        contact: "sip:100@10.0.0.25",
        ..pbx()
    };
    let ok = first(&other.answers(&mut world, &again, "200 OK", "c", "answer"));
    let leg = Leg::of_caller(&ok);
    phone().says(&mut world, &leg, "ACK", 1, "");
    let bye = first(&phone().says(&mut world, &leg, "BYE", 2, ""));
    assert_eq!(bye.line(), "BYE sip:100@10.0.0.25 SIP/2.0");
    other.answers(&mut world, &bye, "200 OK", "", "");
    assert_hidden(&world, true);
    world.assert_forgotten();
    // Of two failures one goes back.
    let invite = phone().invites(&mut world, "sip:bob@edge.example");
    let sent = pbx().answers(&mut world, &invite, "503 Full", "b", "");
    let again = forwarded(&sent);
    let sent = other.answers(&mut world, &again, "500 Broken", "c", "");
    let refused = sent.iter().find(|s| s.listener == UDP).unwrap();
    assert!(
        refused.line().starts_with("SIP/2.0 500"),
        "{}",
        refused.line()
    );
    assert_hidden(&world, true);
}

#[test]
fn cancelled_and_refused_calls_tell_nothing() {
    let mut world = hidden(|_| {});
    let invite = phone().invites(&mut world, "sip:bob@edge.example");
    pbx().answers(&mut world, &invite, "180 Ringing", "b", "");
    let leg = Leg {
        uri: "sip:bob@edge.example".to_owned(),
        from: "<sip:f@x.example>;tag=a".to_owned(),
        to: "<sip:t@x.example>".to_owned(),
        call_id: "outer-id".to_owned(),
        routes: Vec::new(),
    };
    let cancel = format!(
        "CANCEL {} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKINVITE1\r\n\
         Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 CANCEL\r\n\
         Content-Length: 0\r\n\r\n",
        leg.uri, leg.from, leg.to, leg.call_id
    );
    let sent = world.recv(ALICE, &cancel);
    let cancel = sent
        .iter()
        .find(|s| s.line().starts_with("CANCEL"))
        .unwrap();
    assert_eq!(cancel.all(HeaderId::CallId), invite.all(HeaderId::CallId));
    let cancel = cancel.clone();
    pbx().answers(&mut world, &cancel, "200 OK", "b", "");
    let sent = pbx().answers(&mut world, &invite, "487 Terminated", "b", "");
    assert!(
        sent.iter()
            .any(|s| s.line().contains("487") && s.listener == UDP)
    );
    let ack = sent.iter().find(|s| s.line().starts_with("ACK")).unwrap();
    assert_eq!(ack.all(HeaderId::CallId), invite.all(HeaderId::CallId));
    let ack = format!(
        "ACK {} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKINVITE1\r\n\
         Max-Forwards: 70\r\nFrom: {}\r\nTo: {};tag=b\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\n\
         Content-Length: 0\r\n\r\n",
        leg.uri, leg.from, leg.to, leg.call_id
    );
    let ack = world.recv(ALICE, &ack);
    assert!(ack.is_empty());
    assert_hidden(&world, true);
    world.assert_forgotten();
    for status in [
        "302 Moved",
        "404 Not Found",
        "486 Busy",
        "603 Decline",
        "407 Proxy",
    ] {
        let invite = phone().invites(&mut world, "sip:bob@edge.example");
        let sent = pbx().answers(&mut world, &invite, status, "b", "");
        let refused = sent.iter().find(|s| s.listener == UDP).unwrap();
        let (code, _) = status.split_once(' ').unwrap();
        assert!(refused.line().contains(code));
        assert_eq!(
            refused.all(HeaderId::Contact),
            ["<sip:100@192.0.2.1:5060>;audio;+sip.instance=\"i\""],
            "who follows it comes to us"
        );
        world.pass(Duration::from_secs(90));
    }
    assert_hidden(&world, true);
}

#[test]
fn both_sides_are_told_when_the_edge_ends_a_call() {
    let mut world = hidden(|_| {});
    let invite = phone().invites(&mut world, "sip:bob@edge.example");
    let ok = first(&pbx().answers(&mut world, &invite, "200 OK", "b", "answer"));
    phone().says(&mut world, &Leg::of_caller(&ok), "ACK", 1, "");
    let ended = world
        .proxy
        .end_calls(world.now, &CallFilter::default(), (None, 9), (200, "over"));
    assert_eq!(ended.found, 1);
    let sent = world.pull();
    let to = |listener| sent.iter().find(|s| s.listener == listener).unwrap();
    let (caller, callee) = (to(UDP), to(CORE_SIDE));
    assert_eq!(callee.line(), format!("BYE {TARGET} SIP/2.0"));
    assert_eq!(callee.all(HeaderId::Route), ["<sip:10.0.0.20:5070;lr>"]);
    assert_eq!(callee.all(HeaderId::CallId), invite.all(HeaderId::CallId));
    assert_eq!(caller.line(), "BYE sip:alice@198.51.100.7:5060 SIP/2.0");
    assert_eq!(caller.all(HeaderId::CallId), ["outer-id"]);
    let (caller, callee) = (caller.clone(), callee.clone());
    phone().answers(&mut world, &caller, "200 OK", "", "");
    pbx().answers(&mut world, &callee, "200 OK", "", "");
    assert_hidden(&world, true);
    world.assert_forgotten();
}
