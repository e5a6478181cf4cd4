//! Calls with one Call-ID and caller's tag (E05, E08, E31).

use super::*;

/// A call of the upstream to one of the phones of a user.
fn fork(phone: &str, branch: &str) -> String {
    invite("bob")
        .replace("sip:bob@edge.example", &format!("sip:alice@{phone}"))
        .replace("198.51.100.7:5060;branch=z9hG4bKinv", branch)
}

#[test]
fn forks_of_the_upstream_are_calls_of_their_own() {
    let mut world = World::new();
    let [one, two] = ["198.51.100.7:5060", "198.51.100.8:5060"];
    let first = forwarded(&world.recv(BOB, &fork(one, "203.0.113.9:5070;branch=z9hG4bKone")));
    let second = forwarded(&world.recv(BOB, &fork(two, "203.0.113.9:5070;branch=z9hG4bKtwo")));
    assert_eq!((first.to, second.to), (addr(one), addr(two)));
    let same = world.recv(BOB, &fork(two, "203.0.113.9:5070;branch=z9hG4bKthree"));
    assert!(same[0].line().starts_with("SIP/2.0 482 Merged"));

    // One is busy, the other answers, and its BYE finds it.
    world.recv(one, &response(&first, "486 Busy Here", "x", "", ""));
    let contact = format!("Contact: <sip:alice@{two}>\r\n");
    let ok = world.recv(two, &response(&second, "200 OK", "y", &contact, "alice"));
    assert_eq!(
        (ok[0].to, ok[0].body().as_str()),
        (addr(BOB), "relayed alice")
    );
    let route = second.all(HeaderId::RecordRoute).join(", ");
    let bye = request(
        "BYE sip:bob@203.0.113.9:5070",
        "198.51.100.8:5060;branch=z9hG4bKbye",
        ("y", "a"),
        "2 BYE",
        &format!("Route: {route}\r\n"),
        "",
    );
    let bye = world.recv(two, &bye);
    assert_eq!(bye[0].to, addr(BOB));
    world.recv(BOB, &response(&bye[0], "200 OK", "a", "", ""));
    world.assert_forgotten();
}

#[test]
fn each_dialog_of_a_fork_counts_by_itself() {
    let mut world = World::new();
    let out = forwarded(&world.recv(ALICE, &invite("alice")));
    let route = format!("Route: {}\r\n", out.all(HeaderId::RecordRoute).join(", "));
    let reliable = format!("{BOB_CONTACT}Require: 100rel\r\nRSeq: 1\r\n");
    for tag in ["b1", "b2"] {
        world.recv(BOB, &response(&out, "183 Progress", tag, &reliable, ""));
    }
    let line = |world: &mut World, from: &str, method: &str, cseq: u32, tags: (&str, &str)| {
        let (uri, host) = match from == ALICE {
            true => ("sip:bob@203.0.113.9:5070", ALICE),
            false => ("sip:alice@198.51.100.7:5060", BOB),
        };
        let via = format!("{host};branch=z9hG4bK{}{}{method}{cseq}", tags.0, tags.1);
        let cseq = format!("{cseq} {method}");
        let text = request(&format!("{method} {uri}"), &via, tags, &cseq, &route, "");
        world.recv(from, &text)[0].line()
    };
    for (cseq, tag) in [(2, "b1"), (3, "b1"), (2, "b2"), (3, "b2")] {
        let line = line(&mut world, ALICE, "PRACK", cseq, ("a", tag));
        assert!(line.starts_with("PRACK"), "{cseq} {tag}: {line}");
    }
    let old = line(&mut world, ALICE, "INFO", 2, ("a", "b2"));
    assert!(old.starts_with("SIP/2.0 500"), "{old}");
    for (cseq, tag) in [(1000, "b1"), (1, "b2")] {
        let line = line(&mut world, BOB, "UPDATE", cseq, (tag, "a"));
        assert!(line.starts_with("UPDATE"), "{cseq} {tag}: {line}");
    }
}

#[test]
fn call_to_a_phone_of_the_same_side_passes_twice() {
    let mut world = World::new();
    let sent = world.recv(ALICE, &invite("alice"));
    let out = forwarded(&sent);
    // The upstream is a registrar, and sends it back to another phone.
    let back = out
        .text()
        .replacen(
            "Via: ",
            "Via: SIP/2.0/UDP 203.0.113.9:5070;branch=z9hG4bKupstream\r\nVia: ",
            1,
        )
        .replace(
            "INVITE sip:bob@edge.example",
            "INVITE sip:carol@198.51.100.8:5060",
        );
    let carols = forwarded(&world.recv(BOB, &back));
    assert_eq!(carols.to, addr("198.51.100.8:5060"));
    let contact = "Contact: <sip:carol@198.51.100.8:5060>\r\n";
    let ok = response(&carols, "200 OK", "c", contact, "carol");
    let ok = world.recv("198.51.100.8:5060", &ok);
    assert_eq!(ok[0].to, addr(BOB));
    let ok = response(&out, "200 OK", "c", contact, "carol");
    let ok = world.recv(BOB, &ok);
    assert_eq!(ok[0].to, addr(ALICE));

    // A request of the caller is one of the first passage, the same from the upstream of the second.
    let routes = carols.all(HeaderId::RecordRoute);
    assert_eq!(routes.len(), 2, "{routes:?}");
    let bye = |route: &str, via: &str| {
        request(
            "BYE sip:carol@198.51.100.8:5060",
            via,
            ("a", "c"),
            "2 BYE",
            &format!("Route: {route}\r\n"),
            "",
        )
    };
    let first = bye(&routes[1], "198.51.100.7:5060;branch=z9hG4bKbye");
    let first = world.recv(ALICE, &first);
    let second = bye(&routes[0], "203.0.113.9:5070;branch=z9hG4bKbye");
    let second = world.recv(BOB, &second);
    assert_eq!(second[0].to, addr("198.51.100.8:5060"));
    let ok = response(&second[0], "200 OK", "c", "", "");
    world.recv("198.51.100.8:5060", &ok);
    world.recv(BOB, &response(&first[0], "200 OK", "c", "", ""));
    world.assert_forgotten();
}

#[test]
fn forks_of_a_call_are_bounded() {
    let mut world = World::new();
    let line = |world: &mut World, n: usize| {
        let phone = format!("198.51.100.7:{}", 6000 + n);
        let via = format!("203.0.113.9:5070;branch=z9hG4bKfork{n}");
        world.recv(BOB, &fork(&phone, &via))[0].line()
    };
    for n in 0..crate::limits::FORKS {
        assert_eq!(line(&mut world, n), "SIP/2.0 100 Trying");
    }
    assert!(line(&mut world, 999).starts_with("SIP/2.0 503 Too Many Forks"));
}
