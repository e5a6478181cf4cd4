//! Registrations by Path and by alias, and calls to the phones behind them (spec §8).

use super::*;
use crate::config::{CORE, PingMethod, RegisterMode};

const INNER: &str = "10.0.0.1:5060";
const PHONE: &str = "198.51.100.7:41000";

/// Public sockets for UDP and TCP, and one toward the registrar.
fn world(mode: RegisterMode, change: impl FnOnce(&mut Config)) -> World {
    let mut config = Config::new(addr(EDGE), addr(BOB), addr("127.0.0.1:2223"));
    config.register.mode = mode;
    change(&mut config);
    World::of(
        config,
        vec![
            Listener::new(PUBLIC, Protocol::Udp, addr(EDGE), None),
            Listener::new(PUBLIC, Protocol::Tcp, addr(EDGE), None),
            Listener::new(CORE, Protocol::Udp, addr(INNER), None),
        ],
    )
}

const CORE_SIDE: u16 = 2;

fn udp() -> Flow {
    datagram(0, PHONE)
}

fn tcp() -> Flow {
    Flow {
        listener: 1,
        connection: 9,
        ..udp()
    }
}

fn register(cseq: u32, contacts: &str) -> String {
    let line = "REGISTER sip:x.example";
    let via = format!("10.1.1.4:5062;branch=z9hG4bKr{cseq};rport");
    let text = request(
        line,
        &via,
        ("a", ""),
        &format!("{cseq} REGISTER"),
        contacts,
        "",
    );
    text.replace("<sip:t@x.example>", "<sip:f@X.example>")
}

const CONTACT: &str = "<sip:alice@10.1.1.4:5062;ob>";

/// The registrar grants what it was asked for, with this Contact row.
fn granted(world: &mut World, sent: &Sent, row: &str) -> Sent {
    let ok = response(sent, "200 OK", "r", row, "");
    let mut sent = world.recv_on(CORE_SIDE, BOB, ok.as_bytes());
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

fn call_to(uri: &str, route: &str) -> String {
    let text = request(
        &format!("INVITE {uri}"),
        "203.0.113.9:5070;branch=z9hG4bKcall",
        ("z", ""),
        "1 INVITE",
        "Contact: <sip:bob@203.0.113.9:5070>\r\n",
        "bob",
    );
    match route {
        "" => text,
        route => text.replace("Call-ID", &format!("Route: {route}\r\nCall-ID")),
    }
}

#[test]
fn path_leads_calls_to_the_connection() {
    let mut world = world(RegisterMode::Path, |_| {});
    let text = register(1, &format!("Contact: {CONTACT}\r\n"));
    let sent = world.recv_by(tcp(), text.as_bytes());
    assert_eq!((sent[0].to, sent[0].listener), (addr(BOB), CORE_SIDE));
    let text = sent[0].text();
    assert!(
        text.contains(&format!("Contact: {CONTACT}\r\n")),
        "untouched"
    );
    assert!(!text.contains("Record-Route"));
    let path = text.lines().find_map(|line| line.strip_prefix("Path: "));
    let path = path.unwrap().to_owned();
    let (first, second) = path.split_once(", ").unwrap();
    assert!(first.starts_with("<sip:f1-") && first.ends_with("@10.0.0.1:5060;lr;ob;r2=on>"));
    assert!(
        second.ends_with("@192.0.2.1:5060;transport=tcp;lr;ob;r2=on>"),
        "{second}"
    );
    let ok = granted(
        &mut world,
        &sent[0],
        &format!("Contact: {CONTACT};expires=60\r\n"),
    );
    assert_eq!(ok.way, tcp().into());
    assert_eq!(
        world.proxy.bindings.lock().aors(tcp()),
        [(*b"f@x.example").into()]
    );

    let call = call_to("sip:alice@10.1.1.4:5062;ob", &path);
    let sent = world.recv_on(CORE_SIDE, BOB, call.as_bytes());
    let invite = forwarded(&sent);
    assert_eq!(invite.way, tcp().into());
    assert!(invite.all(HeaderId::Route).is_empty());
    // The same in the hands of a stranger, and with another letter.
    let eve = call
        .replace("z9hG4bKcall", "z9hG4bKeve")
        .replace("Call-ID: c1", "Call-ID: c2");
    let sent = world.recv_on(0, "198.51.100.66:5060", eve.as_bytes());
    assert!(sent[0].line().starts_with("SIP/2.0 403"));
    let forged = eve
        .replace("f1-A", "f1-B")
        .replace("z9hG4bKeve", "z9hG4bKfor");
    assert!(
        world.recv_on(CORE_SIDE, BOB, forged.as_bytes())[0]
            .line()
            .starts_with("SIP/2.0 403")
    );
    // The phone answers, the call ends over the same connection.
    let ok = response(
        &invite,
        "200 OK",
        "p",
        &format!("Contact: {CONTACT}\r\n"),
        "alice",
    );
    let ok = world.recv_by(tcp(), ok.as_bytes());
    assert_eq!(
        (ok[0].to, ok[0].body().as_str()),
        (addr(BOB), "relayed alice")
    );
    let route = invite.all(HeaderId::RecordRoute);
    let bye = request(
        "BYE sip:alice@10.1.1.4:5062",
        "203.0.113.9:5070;branch=z9hG4bKbye",
        ("z", "p"),
        "2 BYE",
        &format!("Route: {}, {}\r\n", route[1], route[0]).replace("<<", "<"),
        "",
    );
    let sent = world.recv_on(CORE_SIDE, BOB, bye.as_bytes());
    assert_eq!(sent[0].way, tcp().into());
    world.recv_by(tcp(), response(&sent[0], "200 OK", "p", "", "").as_bytes());

    assert_eq!(world.uses, [(tcp(), true)]);
    world.proxy.handle_closed(tcp());
    assert!(world.proxy.bindings.lock().aors(tcp()).is_empty());
    let late = call
        .replace("z9hG4bKcall", "z9hG4bKlate")
        .replace("Call-ID: c1", "Call-ID: c3");
    let sent = world.recv_on(CORE_SIDE, BOB, late.as_bytes());
    let token = forwarded(&sent).token;
    world.proxy.handle_unsendable(world.now, token);
    assert!(world.pull()[0].line().starts_with("SIP/2.0 430"));
    world.assert_forgotten();
}

#[test]
fn alias_stands_for_the_contact_on_the_inner_side() {
    let mut world = world(RegisterMode::Alias, |_| {});
    let two = "Contact: \"A\" <sip:alice@10.1.1.4:5062;ob;transport=tcp>;q=0.5, sip:old@10.1.1.9;expires=0\r\n";
    let sent = world.recv_by(udp(), register(1, two).as_bytes());
    assert!(!sent[0].text().contains("Path"));
    let contacts = sent[0].all(HeaderId::Contact);
    assert!(
        contacts[0].starts_with("\"A\" <sip:alice@10.0.0.1:5060;ob;alias=f1-"),
        "{contacts:?}"
    );
    assert!(contacts[0].ends_with(">;q=0.5"), "{contacts:?}");
    assert!(contacts[1].starts_with("<sip:old@10.0.0.1:5060;alias=f1-"));
    assert!(contacts[1].ends_with(">;expires=0"));
    let row = format!("Contact: {};expires=3600\r\n", contacts[0]);
    let ok = granted(&mut world, &sent[0], &row);
    let restored = ["\"A\" <sip:alice@10.1.1.4:5062;ob;transport=tcp>;q=0.5;expires=3600"];
    assert_eq!(ok.all(HeaderId::Contact), restored);
    assert_eq!(world.proxy.bindings.lock().len(), 1);

    let alias = contacts[0].split(['<', '>']).nth(1).unwrap();
    let sent = world.recv_on(CORE_SIDE, BOB, call_to(alias, "").as_bytes());
    let invite = forwarded(&sent);
    assert_eq!(invite.way, udp().into());
    assert_eq!(
        invite.line(),
        "INVITE sip:alice@10.1.1.4:5062;ob;transport=tcp SIP/2.0"
    );

    let star = register(2, "Contact: *\r\nExpires: 0\r\n");
    let sent = world.recv_by(udp(), star.as_bytes());
    assert_eq!(sent[0].all(HeaderId::Contact), ["*"]);
    granted(&mut world, &sent[0], "");
    assert_eq!(world.proxy.bindings.lock().len(), 0);
    let headers = register(3, "Contact: <sip:a@example.com?Route=%3Csip:x%3E>\r\n");
    let sent = world.recv_by(udp(), headers.as_bytes());
    assert!(sent[0].line().starts_with("SIP/2.0 400"), "regbadct");
}

#[test]
fn bindings_live_as_long_as_granted() {
    let mut world = world(RegisterMode::Path, |_| {});
    let row = format!("Contact: {CONTACT}\r\nExpires: 3600\r\n");
    let sent = world.recv_by(udp(), register(1, &row).as_bytes());
    let refused = response(&sent[0], "401 Unauthorized", "r", "", "");
    world.recv_on(CORE_SIDE, BOB, refused.as_bytes());
    assert_eq!(world.proxy.bindings.lock().len(), 0, "only a 2xx counts");
    let sent = world.recv_by(udp(), register(2, &row).as_bytes());
    let other = "Contact: <sip:other@192.0.2.50>;expires=9000\r\n";
    granted(
        &mut world,
        &sent[0],
        &format!("{other}Contact: {CONTACT};expires=60\r\n"),
    );
    assert_eq!(
        world.proxy.bindings.lock().len(),
        1,
        "the other is not here"
    );
    world.pass(Duration::from_secs(59));
    assert_eq!(world.proxy.bindings.lock().len(), 1);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.proxy.bindings.lock().len(), 0);
}

#[test]
fn strangers_register_themselves_in_served_domains_within_bounds() {
    let mut world = world(RegisterMode::Path, |c| {
        c.register.domains = vec!["x.example".into()];
        c.register.max_contacts_per_aor = 1;
    });
    let row = format!("Contact: {CONTACT}\r\n");
    let line = |world: &mut World, text: String| world.recv_by(udp(), text.as_bytes())[0].line();
    let elsewhere = register(1, &row).replace("f@X.example", "f@y.example");
    assert!(line(&mut world, elsewhere).starts_with("SIP/2.0 403 Domain"));
    let other = register(2, &row).replace("f@X.example", "boss@x.example");
    assert!(line(&mut world, other).starts_with("SIP/2.0 403 Third"));
    let two = register(3, &format!("{row}Contact: <sip:b@192.0.2.3>\r\n"));
    assert!(line(&mut world, two).starts_with("SIP/2.0 403 Too Many"));
    assert!(line(&mut world, register(4, &row)).starts_with("REGISTER"));
}

#[test]
fn phone_behind_nat_is_pinged_until_it_is_dead() {
    let mut world = world(RegisterMode::Path, |c| {
        c.register.nat_ping_method = PingMethod::Options;
    });
    let row = format!("Contact: {CONTACT}\r\n");
    let sent = world.recv_by(udp(), register(1, &row).as_bytes());
    granted(
        &mut world,
        &sent[0],
        &format!("Contact: {CONTACT};expires=3600\r\n"),
    );
    let pings = world.pass(Duration::from_secs(60));
    let pings: Vec<_> = pings
        .iter()
        .filter(|s| s.line().starts_with("OPTIONS"))
        .collect();
    assert_eq!(pings.len(), 2);
    assert_eq!(pings[0].way, udp().into());
    let answer = response(pings[1], "200 OK", "p", "", "");
    assert!(world.recv_by(udp(), answer.as_bytes()).is_empty());
    assert_eq!(
        world
            .proxy
            .stats
            .snapshot()
            .dropped(DropReason::StrayResponse),
        0
    );
    let pings = world.pass(Duration::from_secs(200));
    assert_eq!(pings.len(), 3, "{pings:?}");
    assert_eq!(world.proxy.bindings.lock().len(), 0);
}

#[test]
fn refreshes_add_no_pings() {
    let mut world = world(RegisterMode::Path, |c| {
        c.register.nat_ping_method = PingMethod::Options;
    });
    let row = format!("Contact: {CONTACT}\r\n");
    for n in 1..=5 {
        let sent = world.recv_by(udp(), register(n, &row).as_bytes());
        let grant = format!("Contact: {CONTACT};expires=3600\r\n");
        granted(&mut world, &sent[0], &grant);
    }
    let pings = world.pass(Duration::from_secs(60));
    let is_ping = |sent: &&Sent| sent.line().starts_with("OPTIONS");
    assert_eq!(pings.iter().filter(is_ping).count(), 2);
    assert_eq!(world.proxy.bindings.lock().len(), 1);
}

#[test]
fn connection_stays_held_over_refreshes_and_moves() {
    let mut world = world(RegisterMode::Path, |_| {});
    let register_by = |world: &mut World, flow: Flow, n: u32, contact: &str| {
        let text = register(n, &format!("Contact: {contact}\r\n"));
        let sent = world.recv_by(flow, text.as_bytes());
        let ok = granted(
            world,
            &sent[0],
            &format!("Contact: {contact};expires=60\r\n"),
        );
        assert_eq!(ok.way, flow.into());
    };
    let held = |world: &World, flow: Flow| {
        let last = world.uses.iter().rfind(|(of, _)| *of == flow);
        last.is_some_and(|(_, is_needed)| *is_needed)
    };
    register_by(&mut world, tcp(), 1, CONTACT);
    register_by(&mut world, tcp(), 2, CONTACT);
    assert!(held(&world, tcp()), "{:?}", world.uses);
    // The Contact leaves for another connection and comes back, before anybody asks.
    let other = Flow {
        connection: 10,
        ..tcp()
    };
    let aor: &[u8] = b"f@x.example";
    let contact: &[u8] = b"sip:alice@10.1.1.4:5062;ob";
    let until = world.now + Duration::from_secs(60);
    for flow in [other, tcp()] {
        let bound = (aor, contact, flow);
        world.proxy.bindings.lock().renew(0, bound, until);
    }
    world.pull();
    assert!(held(&world, tcp()), "{:?}", world.uses);
    assert!(!held(&world, other), "{:?}", world.uses);
}

#[test]
fn registrar_may_write_the_contact_in_another_way() {
    let mut world = world(RegisterMode::Path, |_| {});
    let row = "Contact: <sip:alice@Phone.example:5062;ob;x=%61>\r\n";
    let sent = world.recv_by(udp(), register(1, row).as_bytes());
    let granted_as = "Contact: <sip:alice@phone.example:5062;x=a;ob>;expires=60\r\n";
    granted(&mut world, &sent[0], granted_as);
    assert_eq!(world.proxy.bindings.lock().len(), 1);
}
