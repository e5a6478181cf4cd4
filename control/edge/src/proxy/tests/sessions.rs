//! Session timers (RFC 4028) that the edge adds.

use super::*;
use crate::config::{CORE, Link, SessionTimer};

fn world(insert: bool) -> World {
    World::with(
        |c| {
            c.links.push(Link {
                session_timer: SessionTimer {
                    min_se: Duration::from_secs(120),
                    insert,
                    ..SessionTimer::default()
                },
                ..Link::new([CORE, PUBLIC])
            });
        },
        &[EDGE],
    )
}

const KNOWS: &str = "Supported: 100rel, timer\r\n";

/// The 200 that the caller gets when the callee answers with these rows.
fn answer(world: &mut World, rows: &str) -> Sent {
    let sent = world.sent.clone();
    let ok = format!("{BOB_CONTACT}{rows}");
    let out = world.recv(BOB, &response(&forwarded(&sent), "200 OK", "b", &ok, "bob"));
    out[0].clone()
}

fn ends_after(world: &mut World) -> u64 {
    let began = world.now;
    let byes = |sent: &[Sent]| sent.iter().any(|s| s.line().starts_with("BYE"));
    for _ in 0..50_000 {
        if byes(&world.pass(Duration::from_secs(1))) {
            break;
        }
    }
    (world.now - began).as_secs()
}

#[test]
fn caller_that_knows_timers_gets_one() {
    let mut world = world(true);
    let sent = world.recv(ALICE, &invite_with("alice", KNOWS));
    let invite = forwarded(&sent);
    assert_eq!(invite.all(HeaderId::SessionExpires), ["1800"]);
    assert_eq!(invite.all(HeaderId::MinSe), ["120"]);
    let ok = answer(&mut world, "");
    assert_eq!(ok.all(HeaderId::SessionExpires), ["1800;refresher=uac"]);
    assert!(
        ok.text().contains("\r\nRequire: timer\r\n"),
        "{}",
        ok.text()
    );
    assert_eq!(ok.body(), "relayed bob");
    assert_eq!(ends_after(&mut world), 1832);
}

#[test]
fn answer_of_a_callee_that_knows_timers_stays() {
    let mut world = world(true);
    world.recv(ALICE, &invite_with("alice", KNOWS));
    let ok = answer(
        &mut world,
        "Session-Expires: 300;refresher=uas\r\nRequire: timer\r\n",
    );
    assert_eq!(ok.all(HeaderId::SessionExpires), ["300;refresher=uas"]);
    assert_eq!(ok.text().matches("Require").count(), 1);
    assert_eq!(ends_after(&mut world), 332);
}

#[test]
fn own_interval_of_the_caller_is_kept_and_filled_in() {
    let mut world = world(true);
    let rows = format!("{KNOWS}Session-Expires: 600\r\nMin-SE: 200\r\n");
    let sent = world.recv(ALICE, &invite_with("alice", &rows));
    let invite = forwarded(&sent);
    assert_eq!(invite.all(HeaderId::SessionExpires), ["600"]);
    assert_eq!(invite.all(HeaderId::MinSe), ["200"]);
    let ok = answer(&mut world, "");
    assert_eq!(ok.all(HeaderId::SessionExpires), ["600;refresher=uac"]);
}

#[test]
fn interval_is_no_shorter_than_the_caller_allows() {
    let mut world = world(true);
    let rows = format!("{KNOWS}Min-SE: 4000\r\n");
    let sent = world.recv(ALICE, &invite_with("alice", &rows));
    let invite = forwarded(&sent);
    assert_eq!(invite.all(HeaderId::SessionExpires), ["4000"]);
    assert_eq!(invite.all(HeaderId::MinSe), ["4000"]);
}

#[test]
fn nothing_is_added_where_nobody_would_refresh_or_want_it() {
    for (insert, rows) in [(true, ""), (false, KNOWS)] {
        let mut world = world(insert);
        let sent = world.recv(ALICE, &invite_with("alice", rows));
        assert!(forwarded(&sent).all(HeaderId::SessionExpires).is_empty());
        let ok = answer(&mut world, "");
        assert!(ok.all(HeaderId::SessionExpires).is_empty());
        assert_eq!(ends_after(&mut world), 43_200);
    }
}

#[test]
fn refusal_names_the_interval_of_the_link() {
    let mut world = world(false);
    let rows = format!("{KNOWS}Session-Expires: 119\r\n");
    let refused = world.recv(ALICE, &invite_with("alice", &rows));
    assert!(refused[0].line().starts_with("SIP/2.0 422"));
    assert_eq!(refused[0].all(HeaderId::MinSe), ["120"]);
}

/// An answered call from a core that is trusted, with these rows.
fn call_out(rows: &str, change: impl FnOnce(&mut Config)) -> u64 {
    let mut world = World::with(
        |c| {
            c.max_call_header = Some("x-max-call".to_owned());
            change(c);
        },
        &[EDGE],
    );
    let text = invite_with("bob", rows)
        .replace("sip:bob@edge.example", "sip:alice@198.51.100.7")
        .replace("198.51.100.7:5060;branch", "203.0.113.9:5070;branch");
    let sent = world.recv(BOB, &text);
    let contact = "Contact: <sip:alice@198.51.100.7:5060>\r\n";
    world.recv(
        ALICE,
        &response(&forwarded(&sent), "200 OK", "b", contact, "x"),
    );
    ends_after(&mut world)
}

#[test]
fn header_of_a_trusted_sender_shortens_its_call() {
    assert_eq!(call_out("X-Max-Call: 300\r\n", |_| {}), 300);
    assert_eq!(
        call_out("X-Max-Call: 300\r\n", |c| c.max_call_header = None),
        43_200
    );
    assert_eq!(
        call_out("X-Max-Call: 99999\r\n", |_| {}),
        43_200,
        "never longer"
    );
    assert_eq!(call_out("X-Max-Call: soon\r\n", |_| {}), 43_200);
    let mut stranger = World::with(
        |c| c.max_call_header = Some("X-Max-Call".to_owned()),
        &[EDGE],
    );
    let sent = stranger.recv(ALICE, &invite_with("alice", "X-Max-Call: 300\r\n"));
    stranger.recv(
        BOB,
        &response(&forwarded(&sent), "200 OK", "b", BOB_CONTACT, "x"),
    );
    assert_eq!(ends_after(&mut stranger), 43_200);
}

#[test]
fn class_of_a_call_shortens_it() {
    let limit = |max_call| crate::guard::CallLimit {
        name: format!("{max_call}"),
        key: "{src_ip}".to_owned(),
        category: None,
        calls: None,
        cps: None,
        max_call: Some(Duration::from_secs(max_call)),
    };
    let mut world = World::with(
        |c| {
            c.screen = Some(crate::guard::ScreenConfig {
                limits: vec![limit(700), limit(500)],
                ..crate::guard::ScreenConfig::default()
            });
        },
        &[EDGE],
    );
    world.recv(ALICE, &invite("alice"));
    answer(&mut world, "Session-Expires: 1800;refresher=uac\r\n");
    assert_eq!(ends_after(&mut world), 500);
}

#[test]
fn last_refresh_counts() {
    let mut world = world(true);
    world.recv(ALICE, &invite_with("alice", KNOWS));
    answer(&mut world, "Session-Expires: 300;refresher=uac\r\n");
    world.pass(Duration::from_secs(150));
    let route = forwarded(&world.sent.clone());
    let route = format!("Route: {}\r\n", route.all(HeaderId::RecordRoute).join(", "));
    let update = request(
        "UPDATE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKup",
        ("a", "b"),
        "2 UPDATE",
        &format!("{route}{KNOWS}"),
        "",
    );
    let sent = world.recv(ALICE, &update);
    assert_eq!(sent[0].all(HeaderId::SessionExpires), ["1800"]);
    let row = "Session-Expires: 900;refresher=uac\r\n";
    world.recv(BOB, &response(&sent[0], "200 OK", "b", row, ""));
    assert_eq!(ends_after(&mut world), 932);
}
