//! Screening and limits in the running core (spec §12, §13), its alerts and call records.

use super::*;
use crate::config::{CORE, RegisterMode};
use crate::guard::{CallLimit, ScreenConfig};
use crate::record::cdr::EndedBy;
use crate::record::security::Event;
use crate::stats::DropReason;

const INNER: &str = "10.0.0.1:5060";
const SCANNER: &str = "198.51.100.66:5060";

/// A public socket and one of the core, with these settings of the screen.
fn world(change: impl FnOnce(&mut ScreenConfig)) -> World {
    let mut config = Config::new(addr(EDGE), addr(BOB), addr("127.0.0.1:2223"));
    config.register.mode = RegisterMode::Path;
    let mut screen = ScreenConfig::default();
    change(&mut screen);
    config.screen = Some(screen);
    World::of(
        config,
        vec![
            Listener::new(PUBLIC, Protocol::Udp, addr(EDGE), None),
            Listener::new(CORE, Protocol::Udp, addr(INNER), None),
        ],
    )
}

/// Calls of one address at once: at most `calls`.
fn limited(calls: u32) -> World {
    world(|screen| {
        screen.flood.enabled = false;
        screen.limits.push(CallLimit {
            name: "per-source".to_owned(),
            key: "{src_ip}".to_owned(),
            category: None,
            calls: Some(calls),
            cps: None,
            max_call: None,
        });
    })
}

fn scan(n: u32) -> String {
    let text = request(
        "OPTIONS sip:100@192.0.2.1",
        &format!("198.51.100.66:5060;branch=z9hG4bKs{n};rport"),
        ("s", ""),
        &format!("{n} OPTIONS"),
        "User-Agent: friendly-scanner\r\n",
        "",
    );
    text.replace("Call-ID: c1", &format!("Call-ID: scan{n}"))
}

/// The INVITE of the call with this number.
fn numbered(n: usize) -> String {
    invite("alice")
        .replace("z9hG4bKinv", &format!("z9hG4bKinv{n}"))
        .replace("Call-ID: c1", &format!("Call-ID: call{n}"))
}

fn answer(world: &mut World, sent: &Sent, status: &str) -> Vec<Sent> {
    let text = response(sent, status, "b", BOB_CONTACT, "");
    world.recv_on(1, BOB, text.as_bytes())
}

fn dropped(world: &World) -> u64 {
    world.proxy.stats.snapshot().dropped(DropReason::Screened)
}

#[test]
fn scanner_gets_no_byte_and_is_not_parsed_again() {
    let mut world = world(|_| {});
    for (n, from, to) in [
        (2, "Max-Forwards: 70", "Max-Forwards: 0"),
        (3, "CSeq", "Proxy-Require: x\r\nCSeq"),
        (4, "OPTIONS", "CANCEL"),
    ] {
        let scanner = format!("198.51.100.{}:5060", 70 + n);
        let text = scan(n).replace(from, to);
        assert!(world.recv(&scanner, &text).is_empty(), "{text}");
    }
    world.alerts.clear();
    let before = dropped(&world);
    assert!(world.recv(SCANNER, &scan(1)).is_empty());
    let requests = world.proxy.stats.snapshot().requests;
    let alert = &world.alerts[0];
    assert_eq!((alert.event, alert.action), (Event::Scanner, "ban"));
    assert_eq!(alert.user_agent, b"friendly-scanner");
    assert_eq!(alert.source, addr(SCANNER));
    // Whatever it sends now, also what an honest phone would.
    assert!(world.recv(SCANNER, &invite("alice")).is_empty());
    assert_eq!(world.proxy.stats.snapshot().requests, requests);
    assert_eq!(dropped(&world) - before, 2);
    assert!(world.relay.is_empty());
    // Others are heard.
    assert_eq!(
        forwarded(&world.recv(ALICE, &invite("alice"))).to,
        addr(BOB)
    );
}

#[test]
fn one_upstream_without_settings_relays_everything() {
    let mut world = World::new();
    let sent = world.recv(
        ALICE,
        &invite_with("alice", "User-Agent: friendly-scanner\r\n"),
    );
    assert_eq!(forwarded(&sent).to, addr(BOB));
    assert!(world.alerts.is_empty());
}

#[test]
fn spoofed_scans_do_not_end_a_call_nor_ban_its_phone() {
    let mut world = world(|_| {});
    let contact = "Contact: <sip:f@198.51.100.7:5060>;expires=600\r\n";
    let text = request(
        "REGISTER sip:x.example",
        "198.51.100.7:5060;branch=z9hG4bKreg;rport",
        ("a", ""),
        "1 REGISTER",
        contact,
        "",
    );
    let text = text.replace("<sip:t@x.example>", "<sip:f@x.example>");
    let sent = world.recv(ALICE, &text);
    let granted = response(&sent[0], "200 OK", "r", contact, "");
    world.recv_on(1, BOB, granted.as_bytes());
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    answer(&mut world, &invite, "200 OK");
    for n in 0..20 {
        world.recv(ALICE, &scan(n));
        world.recv("198.51.100.7:9999", &scan(100 + n));
    }
    assert!(world.alerts.iter().all(|alert| alert.action != "ban"));
    let route = invite.all(HeaderId::RecordRoute).join(", ");
    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKbye",
        ("a", "b"),
        "2 BYE",
        &format!("Route: {route}\r\n"),
        "",
    );
    let sent = world.recv(ALICE, &bye);
    assert!(sent.iter().any(|s| s.line().starts_with("BYE")), "{sent:?}");
}

#[test]
fn burst_admits_as_many_calls_as_the_limit() {
    let mut world = limited(5);
    let mut admitted = Vec::new();
    let mut refused = 0;
    for n in 0..50 {
        let sent = world.recv(ALICE, &numbered(n));
        match sent.iter().find(|s| s.line().starts_with("INVITE")) {
            Some(invite) => admitted.push(invite.clone()),
            None => {
                assert!(sent[0].line().starts_with("SIP/2.0 403"), "{sent:?}");
                refused += 1;
            }
        }
    }
    assert_eq!((admitted.len(), refused), (5, 45));
    assert_eq!(world.alerts[0].event, Event::LimitExceeded);
    let free = |world: &mut World, n| {
        let sent = world.recv(ALICE, &numbered(n));
        let count = sent
            .iter()
            .filter(|s| s.line().starts_with("INVITE"))
            .count();
        assert_eq!(
            world.recv(ALICE, &numbered(n + 1))[0].line(),
            "SIP/2.0 403 Forbidden"
        );
        count
    };
    // A refusal of the callee.
    answer(&mut world, &admitted[0], "486 Busy Here");
    assert_eq!(free(&mut world, 100), 1);
    // CANCEL.
    answer(&mut world, &admitted[1], "180 Ringing");
    let cancel = numbered(1).replace("INVITE", "CANCEL");
    world.recv(ALICE, &cancel);
    answer(&mut world, &admitted[1], "487 Request Terminated");
    assert_eq!(free(&mut world, 200), 1);
    // BYE.
    answer(&mut world, &admitted[2], "200 OK");
    let route = admitted[2].all(HeaderId::RecordRoute).join(", ");
    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKbye",
        ("a", "b"),
        "2 BYE",
        &format!("Route: {route}\r\n"),
        "",
    );
    let bye = bye.replace("Call-ID: c1", "Call-ID: call2");
    let sent = world.recv(ALICE, &bye);
    let bye = sent
        .iter()
        .find(|s| s.line().starts_with("BYE"))
        .unwrap()
        .clone();
    answer(&mut world, &bye, "200 OK");
    assert_eq!(free(&mut world, 300), 1);
    let ends: Vec<_> = world
        .records
        .iter()
        .map(|r| (r.cdr.code, r.cdr.ended_by))
        .collect();
    assert_eq!(
        ends,
        [
            (486, EndedBy::Callee),
            (487, EndedBy::Caller),
            (200, EndedBy::Caller)
        ]
    );
}

#[test]
fn long_refusal_is_not_kept() {
    let mut world = limited(0);
    let refused = |world: &mut World, text: &str| {
        let sent = world.recv(ALICE, text);
        assert!(sent[0].line().starts_with("SIP/2.0 "), "{sent:?}");
        world.proxy.refused.len()
    };
    let via = format!("Via: SIP/2.0/UDP 192.0.2.9;branch={}\r\n", "x".repeat(400));
    let long = numbered(1).replacen("Max-Forwards", &format!("{}Max-Forwards", via.repeat(8)), 1);
    assert_eq!(refused(&mut world, &long), 0);
    assert_eq!(refused(&mut world, &numbered(2)), 1);
    world.assert_forgotten();
}

#[test]
fn call_has_one_record() {
    let mut world = world(|_| {});
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    world.pass(Duration::from_secs(3));
    answer(&mut world, &invite, "200 OK");
    world.pass(Duration::from_secs(20));
    assert!(world.records.is_empty());
    world.proxy.end_calls(
        world.now,
        &CallFilter::default(),
        (None, 9),
        (200, "enough"),
    );
    world.pull();
    world.pass(Duration::from_secs(120));
    assert_eq!(world.records.len(), 1, "{:?}", world.records);
    let record = &world.records[0];
    assert_eq!(
        record.answered.unwrap() - record.began,
        Duration::from_secs(3)
    );
    assert_eq!(record.cdr.ended_by, EndedBy::Admin);
    assert_eq!((record.cdr.code, &record.cdr.reason[..]), (200, &b"OK"[..]));
    assert_eq!(record.cdr.to_tag, b"b");
    assert_eq!(record.cdr.caller, b"sip:f@x.example");
    assert_eq!(
        (&*record.cdr.zone_in, &*record.cdr.zone_out),
        ("public", "core")
    );
}

#[test]
fn record_has_each_target_that_was_tried() {
    let carol = "203.0.113.10:5070";
    let mut world = World::with(
        |config| {
            let second = crate::config::TargetConfig::new(&format!("sip:{carol}"));
            config.upstreams[0].targets.push(second);
            config.routes[0].failover = crate::config::Failover::default();
        },
        &[EDGE],
    );
    let first = forwarded(&world.recv(ALICE, &invite("alice")));
    let sent = world.recv(BOB, &response(&first, "503 Overloaded", "b", "", ""));
    let second = forwarded(&sent);
    let busy = response(&second, "486 Busy Here", "c", "", "");
    world.recv(carol, &busy);
    let tried = &world.records[0].tried;
    let tried: Vec<_> = tried
        .iter()
        .map(|t| (&*t.target, t.code, &*t.reason))
        .collect();
    let expected: [(&str, u16, &[u8]); 2] = [
        (&format!("sip:{BOB}"), 503, b"Overloaded"),
        (&format!("sip:{carol}"), 486, b"Busy Here"),
    ];
    assert_eq!(tried, expected);
}

#[test]
fn silent_target_is_recorded_as_408() {
    let mut world = World::with(
        |config| config.routes[0].failover = crate::config::Failover::default(),
        &[EDGE],
    );
    world.recv(ALICE, &invite("alice"));
    world.pass(Duration::from_secs(40));
    let tried = &world.records[0].tried;
    assert_eq!((tried.len(), tried[0].code), (1, 408));
    assert_eq!(world.records[0].cdr.ended_by, EndedBy::Timeout);
}

#[test]
fn challenge_is_no_record() {
    let mut world = world(|_| {});
    let sent = world.recv(ALICE, &invite("alice"));
    answer(
        &mut world,
        &forwarded(&sent),
        "407 Proxy Authentication Required",
    );
    assert!(world.records.is_empty());
}

#[test]
fn guesses_at_passwords_end_in_a_ban() {
    // Who checks the credentials takes the row that it can read.
    for first in [
        "",
        "Authorization: Basic eA==\r\n",
        "Proxy-Authorization: x\r\n",
    ] {
        guess_until_banned(first);
    }
}

fn guess_until_banned(first: &str) {
    let mut world = world(|screen| screen.flood.enabled = false);
    let mut heard = 0;
    for n in 1..=10 {
        let credentials = "Authorization: Digest username=\"100\", realm=\"x\", nonce=\"n\", \
                           uri=\"sip:x.example\", response=\"00\"\r\n";
        let text = request(
            "REGISTER sip:x.example",
            &format!("198.51.100.66:5060;branch=z9hG4bKr{n};rport"),
            ("a", ""),
            &format!("{n} REGISTER"),
            &format!("Contact: <sip:f@198.51.100.66:5060>\r\n{first}{credentials}"),
            "",
        );
        let text = text.replace("<sip:t@x.example>", "<sip:f@x.example>");
        let sent = world.recv(SCANNER, &text);
        let Some(register) = sent
            .iter()
            .find(|s| s.line().starts_with("REGISTER"))
            .cloned()
        else {
            break;
        };
        heard += 1;
        let challenge = "WWW-Authenticate: Digest realm=\"x\", nonce=\"n\"\r\n";
        let refusal = response(&register, "401 Unauthorized", "r", challenge, "");
        world.recv_on(1, BOB, refusal.as_bytes());
    }
    assert_eq!(heard, 6, "{first}");
    let events: Vec<_> = world.alerts.iter().map(|alert| alert.event).collect();
    assert!(events.contains(&Event::RegisterBadPassword), "{events:?}");
    assert!(events.contains(&Event::AuthFailures), "{events:?}");
}

#[test]
fn method_that_is_not_allowed_is_told_which_are() {
    let mut world = world(|_| {});
    let text = request(
        "PUBLISH sip:bob@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKp;rport",
        ("a", ""),
        "1 PUBLISH",
        "",
        "",
    );
    let sent = world.recv(ALICE, &text);
    assert_eq!(sent[0].line(), "SIP/2.0 405 Method Not Allowed");
    let text = sent[0].text();
    assert!(
        text.contains("\r\nAllow: INVITE, ACK, CANCEL, BYE, "),
        "{text}"
    );
    assert_eq!(world.alerts[0].event, Event::MethodDenied);
}

#[test]
fn flood_is_told_once_and_dropped() {
    let mut world = world(|_| {});
    let heard = (0..100)
        .filter(|n| {
            let text = numbered(*n).replace("INVITE", "OPTIONS");
            !world.recv(ALICE, &text).is_empty()
        })
        .count();
    assert_eq!(heard, 30);
    let events: Vec<_> = world.alerts.iter().map(|alert| alert.event).collect();
    assert_eq!(events, [Event::Flood]);
}

#[test]
fn garbage_of_strangers_gets_no_answer() {
    let mut world = world(|_| {});
    let text = invite("alice").replace("CSeq: 1 INVITE", "CSeq: x");
    assert!(world.recv(ALICE, &text).is_empty());
}

#[test]
fn denied_numbers_and_limits_of_categories_come_from_files() {
    let dir = std::env::temp_dir().join(format!("windlass-lists-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (deny, risky) = (dir.join("deny.csv"), dir.join("risky.csv"));
    std::fs::write(&deny, "prefix,action\n900,deny\n").unwrap();
    std::fs::write(&risky, "prefix\n00\n").unwrap();
    let mut world = world(|screen| {
        screen.lists.push(crate::NumberList {
            name: "deny".to_owned(),
            file: deny.clone(),
            caller: false,
        });
        screen.categories.push(crate::NumberCategory {
            name: "RISKY".to_owned(),
            file: risky.clone(),
        });
        screen.limits.push(CallLimit {
            name: "risky".to_owned(),
            key: "{src_ip}".to_owned(),
            category: Some("RISKY".to_owned()),
            calls: Some(1),
            cps: None,
            max_call: None,
        });
    });
    let mut dial = |n, number: &str| {
        let text = numbered(n).replace("sip:bob@", &format!("sip:{number}@"));
        let sent = world.recv(ALICE, &text);
        sent.iter().any(|s| s.line().starts_with("INVITE"))
    };
    assert!(!dial(1, "900123"));
    assert!(dial(2, "0044123"));
    assert!(!dial(3, "0044123"), "one at once");
    assert!(dial(4, "123") && dial(5, "123"), "not in the category");
    std::fs::write(&deny, "prefix,action\n900,deny\n901,perhaps\n").unwrap();
    let mut config = Config::new(addr(EDGE), addr(BOB), addr("127.0.0.1:2223"));
    let mut screen = ScreenConfig::default();
    screen.lists.push(crate::NumberList {
        name: "deny".to_owned(),
        file: deny,
        caller: false,
    });
    config.screen = Some(screen);
    let error = crate::guard::settings::screen(&config, origin()).unwrap_err();
    let expected = "deny.csv:3: \"perhaps\" is no action";
    assert!(error.to_string().contains(expected), "{error}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn repeated_invite_that_was_refused_counts_once_and_its_ack_is_known() {
    let mut world = limited(1);
    world.recv(ALICE, &numbered(0));
    let refused = world.recv(ALICE, &numbered(1));
    assert_eq!(refused[0].line(), "SIP/2.0 403 Forbidden");
    let alerts = world.alerts.len();
    let again = world.recv(ALICE, &numbered(1));
    assert_eq!(again[0].text(), refused[0].text(), "the same tag");
    assert_eq!(world.alerts.len(), alerts);
    let told = world.pass(Duration::from_secs(3));
    assert!(
        told.iter().all(|s| s.to != addr(ALICE)),
        "a stranger asks again itself"
    );
    let tag = String::from_utf8(refused[0].message.to_tag().unwrap().to_vec()).unwrap();
    let ack = numbered(1).replace("INVITE", "ACK");
    let ack = ack.replace(
        "To: <sip:t@x.example>",
        &format!("To: <sip:t@x.example>;tag={tag}"),
    );
    let strays = |world: &World| world.proxy.stats.snapshot().dropped(DropReason::StrayAck);
    let before = strays(&world);
    assert!(world.recv(ALICE, &ack).is_empty());
    assert_eq!(strays(&world), before);
    world.pass(Duration::from_secs(6));
    assert!(world.proxy.refused.is_empty());
    assert!(world.proxy.unacknowledged.is_empty());
}

#[test]
fn refused_invite_without_an_ack_is_forgotten() {
    let mut world = limited(1);
    world.recv(ALICE, &numbered(0));
    world.recv(ALICE, &numbered(1));
    let cancel = numbered(1).replace("INVITE", "CANCEL");
    assert_eq!(world.recv(ALICE, &cancel)[0].line(), "SIP/2.0 200 OK");
    world.pass(Duration::from_secs(33));
    assert!(world.proxy.refused.is_empty());
    world.assert_forgotten();
}

#[test]
fn party_of_a_call_floods_as_anybody_does() {
    let mut world = world(|_| {});
    let sent = world.recv(ALICE, &invite("alice"));
    answer(&mut world, &forwarded(&sent), "200 OK");
    let count = (0..60).filter(|n| {
        let text = scan(*n).replace("friendly-scanner", "phone");
        world.recv("198.51.100.7:6000", &text);
        world
            .alerts
            .iter()
            .any(|alert| alert.event == Event::Flood && alert.action == "drop")
    });
    assert!(count.count() > 0);
    // What comes after it is not read for the hold time, though few messages do.
    world.now += Duration::from_secs(10);
    let dropped_before = dropped(&world);
    world.recv(
        "198.51.100.7:6000",
        &invite("alice").replace("bKinv", "bKlate"),
    );
    assert_eq!(dropped(&world), dropped_before + 1);
}
