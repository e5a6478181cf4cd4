//! Strangers cannot act on the calls of others, nor exhaust the edge.

use super::*;
use crate::limits;

const EVE: &str = "198.51.100.66:5060";

fn start(sent: &[Sent]) -> Option<String> {
    sent.first().map(Sent::line)
}

fn from_eve(method: &str, tags: (&str, &str), cseq: u32, extra: &str, body: &str) -> String {
    request(
        &format!("{method} sip:bob@203.0.113.9:5070"),
        &format!("198.51.100.66:5060;branch=z9hG4bKeve{cseq}{method};rport"),
        tags,
        &format!("{cseq} {method}"),
        &format!("Contact: <sip:eve@198.51.100.66:5060>\r\n{extra}"),
        body,
    )
}

#[test]
fn who_knows_a_call_id_and_a_tag_is_no_party_of_the_call() {
    let mut world = World::new();
    let route = call(&mut world);
    let told = world.requests.len();
    for tags in [("a", "invented"), ("a", "b"), ("b", "a")] {
        for method in ["INVITE", "UPDATE", "BYE", "INFO"] {
            let sent = world.recv(EVE, &from_eve(method, tags, 99, "", "eve"));
            let answers = sent.iter().filter(|s| s.to == addr(EVE));
            let last = answers.map(Sent::line).next_back().unwrap();
            assert!(last.starts_with("SIP/2.0 481"), "{method} {tags:?}: {last}");
            assert!(sent.iter().all(|s| s.to == addr(EVE)), "{method} {tags:?}");
        }
    }
    assert_eq!(world.requests.len(), told, "nothing is asked of the relay");
    // The cookie of the call, with a tag that is none of its: at most the upstream hears of it.
    let sent = world.recv(EVE, &from_eve("BYE", ("a", "invented"), 99, &route, ""));
    assert!(sent.iter().all(|s| s.to == addr(EVE) || s.to == addr(BOB)));
    assert_eq!(world.relay.len(), told);
    let bye = request(
        "BYE sip:alice@198.51.100.7:5060",
        "203.0.113.9:5070;branch=z9hG4bKend",
        ("b", "a"),
        "1 BYE",
        &route,
        "",
    );
    let sent = world.recv(BOB, &bye);
    assert_eq!(sent[0].to, addr(ALICE), "the caller is where it was");
}

#[test]
fn a_refused_change_teaches_nothing_of_its_author() {
    let mut world = World::new();
    let route = call(&mut world);
    let moved = request(
        "INVITE sip:bob@203.0.113.9:5070",
        "198.51.100.8:5060;branch=z9hG4bKmv;rport",
        ("a", "b"),
        "2 INVITE",
        &format!("Contact: <sip:alice@198.51.100.8:5060>\r\n{route}"),
        "moved",
    );
    let sent = world.recv("198.51.100.8:5060", &moved);
    let reinvite = forwarded(&sent);
    world.recv(BOB, &response(&reinvite, "401 Unauthorized", "b", "", ""));
    let party = world
        .proxy
        .dialogs
        .values()
        .next()
        .unwrap()
        .party(Side::Caller);
    assert_eq!(party.flow.peer, addr(ALICE));
    let again = moved
        .replace("z9hG4bKmv", "z9hG4bKmw")
        .replace("2 INVITE", "3 INVITE");
    let sent = world.recv("198.51.100.8:5060", &again);
    let reinvite = forwarded(&sent);
    world.recv(BOB, &response(&reinvite, "200 OK", "b", BOB_CONTACT, "bob"));
    let party = world
        .proxy
        .dialogs
        .values()
        .next()
        .unwrap()
        .party(Side::Caller);
    assert_eq!(party.flow.peer, addr("198.51.100.8:5060"));
}

#[test]
fn an_older_request_is_refused() {
    let mut world = World::new();
    let route = call(&mut world);
    let info = |cseq: u32| {
        request(
            "INFO sip:bob@203.0.113.9:5070",
            &format!("198.51.100.7:5060;branch=z9hG4bKi{cseq}"),
            ("a", "b"),
            &format!("{cseq} INFO"),
            &route,
            "",
        )
    };
    assert_eq!(world.recv(ALICE, &info(5))[0].to, addr(BOB));
    let refused = world.recv(ALICE, &info(4));
    assert!(start(&refused).unwrap().starts_with("SIP/2.0 500"));
    assert_eq!(world.recv(ALICE, &info(6))[0].to, addr(BOB));
}

#[test]
fn each_call_has_a_name_of_its_own_at_the_relay() {
    let mut world = World::new();
    call(&mut world);
    let other = invite("eve")
        .replace("tag=a", "tag=e")
        .replace("z9hG4bKinv", "z9hG4bKevil");
    let sent = world.recv(EVE, &other);
    let invite = forwarded(&sent);
    world.recv(BOB, &response(&invite, "403 Forbidden", "x", "", ""));
    let (first, last) = (&world.requests[0], world.requests.last().unwrap());
    assert_eq!(last.command, MediaCommand::Delete);
    assert_ne!(first.call_id, last.call_id);
    assert!(first.call_id.starts_with("c1;edge="), "{}", first.call_id);
    assert!(last.call_id.starts_with("c1;edge="), "{}", last.call_id);
    // Bytes that are no text do not make two Call-IDs one.
    let names: Vec<String> = [&b"\xff"[..], b"\xfe"]
        .iter()
        .map(|odd| {
            let mut world = World::new();
            let text = super::invite("x");
            let (head, tail) = text.split_once("c1\r\n").unwrap();
            world.recv_on(
                0,
                ALICE,
                &[head.as_bytes(), odd, b"\r\n", tail.as_bytes()].concat(),
            );
            world.requests[0].call_id.clone()
        })
        .collect();
    assert!(
        names[0].starts_with("%ff;edge=") && names[1].starts_with("%fe;edge="),
        "{names:?}"
    );
}

#[test]
fn refused_calls_give_their_ports_back_at_once() {
    for status in [
        "403 Forbidden",
        "401 Unauthorized",
        "407 Proxy Authentication Required",
    ] {
        let mut world = World::new();
        let sent = world.recv(ALICE, &invite("alice"));
        let invite = forwarded(&sent);
        world.recv(BOB, &response(&invite, status, "x", "", ""));
        let delete = world.requests.last().unwrap();
        assert_eq!(delete.command, MediaCommand::Delete);
        assert_eq!(delete.from_tag, "a");
        assert_eq!(delete.extra, [("delete-delay".to_owned(), "0".to_owned())]);
    }
    let mut world = World::new();
    let route = call(&mut world);
    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKb",
        ("a", "b"),
        "2 BYE",
        &route,
        "",
    );
    let sent = world.recv(ALICE, &bye);
    world.recv(BOB, &response(&sent[0], "200 OK", "b", "", ""));
    let delete = world.requests.last().unwrap();
    assert_eq!(
        (delete.command, delete.extra.len()),
        (MediaCommand::Delete, 0)
    );
}

#[test]
fn calls_in_set_up_are_limited_for_each_source() {
    let mut world = World::with(|config| config.tables.setups_per_source = 3, &[EDGE]);
    let numbered = |n: usize| {
        let text = invite("x").replace("tag=a", &format!("tag=a{n}"));
        text.replace("z9hG4bKinv", &format!("z9hG4bKinv{n}"))
    };
    let mut invites = Vec::new();
    for n in 0..3 {
        let sent = world.recv(ALICE, &numbered(n));
        invites.push(forwarded(&sent));
    }
    assert!(
        start(&world.recv(ALICE, &numbered(3)))
            .unwrap()
            .starts_with("SIP/2.0 503")
    );
    let other = world.recv(EVE, &numbered(4));
    assert!(
        other.iter().any(|s| s.to == addr(BOB)),
        "another source is served"
    );
    world.recv(BOB, &response(&invites[0], "486 Busy Here", "x", "", ""));
    world.recv(BOB, &response(&invites[1], "200 OK", "x", BOB_CONTACT, "b"));
    for n in 5..7 {
        assert!(
            world
                .recv(ALICE, &numbered(n))
                .iter()
                .any(|s| s.to == addr(BOB)),
            "{n}"
        );
    }
    assert!(
        start(&world.recv(ALICE, &numbered(7)))
            .unwrap()
            .starts_with("SIP/2.0 503")
    );
}

#[test]
fn refusals_that_nobody_acknowledges_are_repeated_for_a_few_only() {
    let mut world = World::with(
        |config| config.tables.unacknowledged_per_source = 2,
        &[EDGE],
    );
    let numbered = |n: usize| {
        let text = invite("").replace("tag=a", &format!("tag=a{n}"));
        let text = text.replace("z9hG4bKinv", &format!("z9hG4bKinv{n}"));
        text.replace("Call-ID: ", &format!("Call-ID: n{n}"))
    };
    let refuse = |world: &mut World, from: &str, n: usize| {
        let sent = world.recv(from, &numbered(n));
        let forwarded = sent.iter().find(|s| s.to == addr(BOB)).unwrap().clone();
        let answered = world.recv(BOB, &response(&forwarded, "486 Busy Here", "x", "", ""));
        assert!(answered.iter().any(|s| s.line().starts_with("SIP/2.0 486")));
    };
    for n in 0..4 {
        refuse(&mut world, ALICE, n);
    }
    refuse(&mut world, EVE, 4);
    let repeats = |sent: &[Sent], n: usize| {
        let branch = format!("z9hG4bKinv{n}");
        let is_its = |s: &&Sent| s.line().contains("486") && s.text().contains(&branch);
        sent.iter().filter(is_its).count()
    };
    let sent = world.pass(Duration::from_secs(10));
    assert_eq!([0, 1, 2, 3, 4].map(|n| repeats(&sent, n)), [4, 4, 0, 0, 4]);
    // Who asks again is answered.
    assert_eq!(repeats(&world.recv(ALICE, &numbered(3)), 3), 1);
    // An ACK makes room.
    let ack = numbered(0)
        .replace("INVITE sip", "ACK sip")
        .replace("1 INVITE", "1 ACK");
    world.recv(ALICE, &ack);
    world.recv(ALICE, &ack.replace("inv0", "inv1"));
    world.recv(ALICE, &ack.replace("inv0", "inv2"));
    refuse(&mut world, ALICE, 5);
    let sent = world.pass(Duration::from_secs(1));
    assert_eq!(repeats(&sent, 5), 1);
    world.assert_forgotten();
}

#[test]
fn a_stray_2xx_reaches_nobody() {
    let mut world = World::new();
    call(&mut world);
    let stray = |branch: &str| {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\n\
             Via: SIP/2.0/UDP 198.51.100.99:9;branch=z9hG4bKv\r\nFrom: <sip:f@x>;tag=a\r\n\
             To: <sip:t@x>;tag=b\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let made_up = format!("z9hG4bK00{:032x}", 7);
    for branch in [made_up.clone(), format!("{made_up}{:016x}", 7)] {
        assert!(world.recv(EVE, &stray(&branch)).is_empty(), "{branch}");
        assert!(world.recv(BOB, &stray(&branch)).is_empty(), "{branch}");
    }
    // A branch of ours, of a transaction that is gone, in the hands of a stranger.
    let mut ours = String::new();
    crate::cookie::Branch {
        shard: 0,
        transaction: 12_345,
        loop_hash: 0,
    }
    .write(world.proxy.key, &mut ours);
    assert!(world.recv(EVE, &stray(&ours)).is_empty());
    assert_eq!(world.recv(BOB, &stray(&ours)).len(), 1);
    let other_call = stray(&ours).replace("Call-ID: c1", "Call-ID: c2");
    assert!(world.recv(BOB, &other_call).is_empty());
}

#[test]
fn memory_is_bounded_by_bytes() {
    let mut world = World::with(|config| config.tables.bytes_per_source = 100_000, &[EDGE]);
    let message = |n: usize, length: usize| {
        let body = "x".repeat(length);
        request(
            "MESSAGE sip:bob@edge.example",
            &format!("198.51.100.7:5060;branch=z9hG4bKm{n};rport"),
            ("a", ""),
            "1 MESSAGE",
            "",
            &body,
        )
    };
    let long = world.recv(ALICE, &message(0, limits::STRANGER_UDP_BYTES));
    assert!(start(&long).unwrap().starts_with("SIP/2.0 513"));
    let taken = (1..20).take_while(|n| {
        let sent = world.recv(ALICE, &message(*n, 10_000));
        sent.iter().any(|s| s.to == addr(BOB))
    });
    assert_eq!(taken.count(), 4, "each counts twice, for its branch too");
    assert!(
        world
            .recv(EVE, &message(50, 10_000))
            .iter()
            .any(|s| s.to == addr(BOB))
    );
    world.assert_forgotten();
}

#[test]
fn strangers_leave_room_for_calls_that_are_up() {
    let mut world = World::with(|config| config.tables.bytes = 100_000, &[EDGE]);
    let route = call(&mut world);
    let message = |n: usize| {
        let body = "x".repeat(10_000);
        let via = format!("198.51.100.7:5060;branch=z9hG4bKm{n};rport");
        request(
            "MESSAGE sip:bob@edge.example",
            &via,
            ("a", ""),
            "1 MESSAGE",
            "",
            &body,
        )
    };
    let goes_on = |sent: &[Sent]| sent.iter().any(|s| s.to == addr(BOB));
    let taken = (1..20).take_while(|n| goes_on(&world.recv(EVE, &message(*n))));
    assert_eq!(taken.count(), 3, "each counts twice, of three quarters");
    let via = "198.51.100.7:5060;branch=z9hG4bKbye";
    let line = "BYE sip:bob@203.0.113.9:5070";
    let bye = request(line, via, ("a", "b"), "2 BYE", &route, "");
    assert!(goes_on(&world.recv(ALICE, &bye)));
}

#[test]
fn line_ends_inside_of_headers_are_refused() {
    for odd in [
        "Subject: a\nP-Asserted-Identity: <sip:boss@x>\r\n",
        "Subject: a\rP-Asserted-Identity: <sip:boss@x>\r\n",
        "Subject: a\0b\r\n",
        "Subject: a\n b\r\n",
    ] {
        let mut world = World::new();
        let sent = world.recv(ALICE, &invite_with("", odd));
        assert!(
            sent[0].line().starts_with("SIP/2.0 400"),
            "{odd:?}: {}",
            sent[0].line()
        );
        assert_eq!(sent.len(), 1);
    }
    let mut world = World::new();
    let folded = "Subject: a\r\n b\r\n\tc\r\n";
    let sent = world.recv(ALICE, &invite_with("", folded));
    assert!(sent[1].text().contains(folded));
}

#[test]
fn a_stranger_names_no_way_behind_the_edge() {
    let mut world = World::new();
    let route = "Route: <sip:192.0.2.1:5060;lr>, <sip:192.0.2.66;lr>\r\n";
    let sent = world.recv(ALICE, &invite_with("x", route));
    assert!(start(&sent).unwrap().starts_with("SIP/2.0 403"));
    let route = "Route: <sip:192.0.2.1:5060;lr>\r\n";
    let sent = world.recv(ALICE, &invite_with("x", route));
    assert!(sent.iter().any(|s| s.to == addr(BOB)));
}
