//! What comes again, or too late: it revives no call, and each attempt has one true record (RFC 6026,
//! spec §15).

use super::*;
use crate::record::cdr::EndedBy;

const INVITE_VIA: &str = "198.51.100.7:5060;branch=z9hG4bK";

fn bye(route: &str) -> String {
    let via = format!("{INVITE_VIA}bye");
    let line = "BYE sip:bob@203.0.113.9:5070";
    request(line, &via, ("a", "b"), "2 BYE", route, "")
}

/// Alice hangs up.
fn hang_up(world: &mut World, route: &str) {
    let sent = world.recv(ALICE, &bye(route));
    world.recv(BOB, &response(&sent[0], "200 OK", "b", "", ""));
}

/// The INVITE of another attempt under the same Call-ID and tag.
fn again(cseq: u32, uri: &str) -> String {
    invite("alice")
        .replace("z9hG4bKinv", &format!("z9hG4bKinv{cseq}"))
        .replace("1 INVITE", &format!("{cseq} INVITE"))
        .replace("INVITE sip:bob@edge.example", &format!("INVITE {uri}"))
}

#[test]
fn answer_that_comes_again_after_the_bye_revives_nothing() {
    let mut world = World::new();
    let route = call(&mut world);
    let invite = forwarded(&world.sent);
    hang_up(&mut world, &route);
    assert_eq!(world.records.len(), 1);
    world.pass(Duration::from_secs(1));
    let ok = response(&invite, "200 OK", "b", BOB_CONTACT, "bob");
    let sent = world.recv(BOB, &ok);
    assert_eq!((sent.len(), sent[0].to), (1, addr(ALICE)));
    assert!(!world.proxy.has_calls());
    // Somebody else takes the call that is over: he is sent away, once.
    let late = response(&invite, "200 OK", "c", BOB_CONTACT, "bob");
    let sent = world.recv(BOB, &late);
    let lines: Vec<_> = sent.iter().map(|s| (s.line(), s.to)).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].0.starts_with("ACK") && lines[1].0.starts_with("BYE"));
    let gone = response(&sent[1], "200 OK", "c", "", "");
    let repeated = world.recv(BOB, &late);
    assert_eq!(repeated.len(), 1, "{repeated:?}");
    world.recv(BOB, &gone);
    world.pass(Duration::from_secs(13 * 3600));
    assert_eq!(world.records.len(), 1, "{:?}", world.records);
    world.assert_forgotten();
}

#[test]
fn answer_that_comes_again_after_our_end_revives_nothing() {
    let mut world = World::new();
    let invite = forwarded(&world.recv(ALICE, &invite("alice")));
    let ok = response(&invite, "200 OK", "b", BOB_CONTACT, "bob");
    world.recv(BOB, &ok);
    let all = CallFilter::default();
    let by = (503, "Out of credit");
    world.proxy.end_calls(world.now, &all, (None, 10), by);
    world.pull();
    world.pass(Duration::from_millis(500));
    world.recv(BOB, &ok);
    world.pass(Duration::from_secs(13 * 3600));
    assert!(!world.proxy.has_calls());
    assert_eq!(world.records.len(), 1, "{:?}", world.records);
    world.assert_forgotten();
}

#[test]
fn record_is_of_the_attempt_that_was_answered() {
    let mut world = World::new();
    let cheap = again(1, "sip:+18005550100@edge.example");
    let sent = world.recv(ALICE, &cheap);
    let refusal = response(&forwarded(&sent), "401 Unauthorized", "x", "", "");
    world.recv(BOB, &refusal);
    let dear = again(2, "sip:+88213@edge.example").replace("sip:f@", "sip:g@");
    let second = forwarded(&world.recv(ALICE, &dear));
    let ok = response(&second, "200 OK", "b", BOB_CONTACT, "bob");
    world.recv(BOB, &ok);
    let filter = CallFilter {
        prefix: Some("+882".to_owned()),
        ..CallFilter::default()
    };
    let found = world.proxy.calls(world.now, &filter, None, 9).found;
    assert_eq!(found.len(), 1);
    let by = (200, "enough");
    world.proxy.end_calls(world.now, &filter, (None, 9), by);
    world.pull();
    let record = &world.records[0].cdr;
    assert_eq!(record.ruri, b"sip:+88213@edge.example");
    assert_eq!(record.caller, b"sip:g@x.example");
}

#[test]
fn attempt_under_the_tag_of_a_call_that_was_is_another_one() {
    let mut world = World::new();
    let route = call(&mut world);
    hang_up(&mut world, &route);
    world.pass(Duration::from_secs(3));
    let next = forwarded(&world.recv(ALICE, &again(3, "sip:bob@edge.example")));
    world.recv(BOB, &response(&next, "486 Busy Here", "d", "", ""));
    let ends: Vec<_> = world
        .records
        .iter()
        .map(|r| (r.cdr.code, r.answered.is_some()))
        .collect();
    assert_eq!(ends, [(200, true), (486, false)]);
    world.assert_forgotten();
}

#[test]
fn attempts_leave_one_term_each_call() {
    let mut world = World::new();
    for n in 1..=40 {
        let sent = world.recv(ALICE, &again(n, "sip:bob@edge.example"));
        let refusal = response(&forwarded(&sent), "401 Unauthorized", "x", "", "");
        world.recv(BOB, &refusal);
    }
    assert_eq!(world.proxy.terms.len(), 1);
    world.assert_forgotten();
    assert!(world.proxy.terms.is_empty());
    // Nothing is remembered for longer than a call may ring.
    world.pass(Duration::from_secs(100));
    assert!(world.proxy.timers.is_empty(), "{:?}", world.proxy.timers);
}

#[test]
fn call_alive_at_the_stop_has_its_record() {
    let mut world = World::new();
    call(&mut world);
    world.pass(Duration::from_secs(60));
    let now = world.now;
    world.proxy.close_all(now);
    world.proxy.close_all(now);
    assert!(world.pull().is_empty());
    let [record] = &world.records[..] else {
        panic!("{:?}", world.records);
    };
    assert_eq!(record.cdr.ended_by, EndedBy::Restart);
    let talk = record.ended - record.answered.unwrap();
    assert_eq!(talk, Duration::from_secs(60));
}

/// A response whose only Via is the edge's.
fn lonely(to: &Sent, status: &str, extra: &str) -> String {
    let text = response(to, status, "b", extra, "");
    let mut vias = 0;
    text.split_inclusive("\r\n")
        .filter(|line| {
            vias += usize::from(line.starts_with("Via:"));
            !line.starts_with("Via:") || vias == 1
        })
        .collect()
}

#[test]
fn answer_that_cannot_go_back_ends_the_attempt() {
    let mut world = World::new();
    let invite = forwarded(&world.recv(ALICE, &invite("alice")));
    let sent = world.recv(BOB, &lonely(&invite, "486 Busy Here", ""));
    let last = sent.last().map(Sent::line);
    assert!(
        last.is_some_and(|line| line.starts_with("SIP/2.0 50")),
        "{sent:?}"
    );
    world.assert_forgotten();

    let mut world = World::new();
    let invite = forwarded(&world.recv(ALICE, &super::invite("alice")));
    let sent = world.recv(BOB, &lonely(&invite, "200 OK", BOB_CONTACT));
    let lines: Vec<_> = sent.iter().map(Sent::line).collect();
    assert!(
        lines.iter().any(|line| line.starts_with("BYE")),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.starts_with("SIP/2.0 50")),
        "{lines:?}"
    );
    world.assert_forgotten();
}

#[test]
fn bye_that_is_refused_ends_the_call_a_little_later() {
    for status in ["420 Bad Extension", "503 Overloaded", "401 Unauthorized"] {
        let mut world = World::new();
        let route = call(&mut world);
        let sent = world.recv(ALICE, &bye(&route));
        world.recv(BOB, &response(&sent[0], status, "b", "", ""));
        assert!(
            world.records.is_empty() && world.proxy.has_calls(),
            "{status}"
        );
        let sent = world.pass(Duration::from_secs(33));
        let byes: Vec<_> = sent
            .iter()
            .filter(|s| s.line().starts_with("BYE"))
            .collect();
        assert!(byes.iter().any(|s| s.to == addr(BOB)), "{status}: {sent:?}");
        let [record] = &world.records[..] else {
            panic!("{status}: {:?}", world.records);
        };
        assert_eq!(record.cdr.ended_by, EndedBy::Caller);
    }
}

#[test]
fn cookie_of_a_call_that_was_opens_no_other() {
    let mut world = World::new();
    let route = call(&mut world);
    hang_up(&mut world, &route);
    world.pass(Duration::from_secs(90));
    let in_call = |method: &str| {
        request(
            &format!("{method} sip:+88213@203.0.113.9:5070"),
            &format!("{INVITE_VIA}late{method}"),
            ("a", "x"),
            &format!("9 {method}"),
            &format!("Contact: <sip:alice@198.51.100.7:5060>\r\n{route}"),
            "",
        )
    };
    for method in ["INVITE", "UPDATE"] {
        let sent = world.recv(ALICE, &in_call(method));
        assert!(sent[0].line().starts_with("SIP/2.0 481"), "{sent:?}");
    }
    // A subscription that was made in the call lives on.
    let sent = world.recv(ALICE, &in_call("SUBSCRIBE"));
    assert!(sent[0].line().starts_with("SUBSCRIBE"), "{sent:?}");
}

#[test]
fn call_with_no_numbers_left_is_not_opened() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &again(2_147_483_647, "sip:bob@edge.example"));
    assert!(sent[0].line().starts_with("SIP/2.0 400"), "{sent:?}");
    let sent = world.recv(ALICE, &again(2_147_418_112, "sip:bob@edge.example"));
    assert_eq!(forwarded(&sent).to, addr(BOB));
}

#[test]
fn who_answers_an_update_may_have_moved() {
    let mut world = World::new();
    let route = call(&mut world);
    let via = format!("{INVITE_VIA}up");
    let line = "UPDATE sip:bob@203.0.113.9:5070";
    let update = request(line, &via, ("a", "b"), "2 UPDATE", &route, "");
    let sent = world.recv(ALICE, &update);
    let contact = "Contact: <sip:bob@203.0.113.9:5090>\r\n";
    world.recv(BOB, &response(&sent[0], "200 OK", "b", contact, ""));
    let all = CallFilter::default();
    world
        .proxy
        .end_calls(world.now, &all, (None, 9), (200, "enough"));
    let lines: Vec<_> = world.pull().iter().map(Sent::line).collect();
    let bye = "BYE sip:bob@203.0.113.9:5090 SIP/2.0";
    assert!(lines.iter().any(|line| line == bye), "{lines:?}");
}

#[test]
fn head_that_is_explained_opens_nothing() {
    let mut world = World::new();
    let asked = invite("alice");
    let now = world.now;
    let explained = world
        .proxy
        .explain(now, addr(ALICE), None, asked.as_bytes().into());
    let head = String::from_utf8(explained.unwrap().leaves.unwrap()).unwrap();
    let recorded = head
        .lines()
        .find_map(|line| line.strip_prefix("Record-Route: "));
    let route = format!("Route: {}\r\n", recorded.expect(&head));
    let line = "BYE sip:alice@198.51.100.7:5060";
    let text = request(
        line,
        &format!("{BOB};branch=z9hG4bKx"),
        ("b", "a"),
        "2 BYE",
        &route,
        "",
    );
    let sent = world.recv(BOB, &text);
    assert!(sent[0].line().starts_with("SIP/2.0 403"), "{sent:?}");
}
