//! Zones with sockets of their own, and transports between them (spec §4, §6).

use super::*;
use crate::config::{CORE, OneUpstream};

const INNER: &str = "10.0.0.1:5060";

/// A public zone with a UDP and a TCP socket behind 1:1 NAT, and a core zone with a UDP socket.
fn zoned(bob: Protocol) -> World {
    let short = OneUpstream::new(vec![addr(EDGE)], addr(BOB), addr("127.0.0.1:2223"));
    let mut config = Config::from(short);
    config.upstreams[0].targets[0].uri = format!("sip:{BOB};transport={bob}");
    let shown = Some("edge.example:5070");
    World::of(
        config,
        vec![
            Listener::new(PUBLIC, Protocol::Udp, addr(EDGE), shown),
            Listener::new(PUBLIC, Protocol::Tcp, addr(EDGE), shown),
            Listener::new(CORE, bob, addr(INNER), None),
        ],
    )
}

const UDP: u16 = 0;
const TCP: u16 = 1;
const CORE_SIDE: u16 = 2;

fn connection(listener: u16, peer: &str) -> Flow {
    Flow {
        connection: 7,
        ..datagram(listener, peer)
    }
}

#[test]
fn call_between_zones_has_a_pair_of_record_routes() {
    let mut world = zoned(Protocol::Udp);
    let sent = world.recv_on(UDP, ALICE, invite("alice").as_bytes());
    let invite = forwarded(&sent);
    assert_eq!((invite.to, invite.listener), (addr(BOB), CORE_SIDE));
    assert!(invite.all(HeaderId::Via)[0].starts_with("SIP/2.0/UDP 10.0.0.1:5060;"));
    let routes = invite.all(HeaderId::RecordRoute);
    assert!(
        routes[0].starts_with("<sip:10.0.0.1:5060;lr;r2=on;did="),
        "{routes:?}"
    );
    assert!(routes[1].starts_with("<sip:edge.example:5070;lr;r2=on;did="));
    let ok = response(&invite, "200 OK", "b", BOB_CONTACT, "bob");
    let ok = world.recv_on(CORE_SIDE, BOB, ok.as_bytes());
    assert_eq!((ok[0].to, ok[0].listener), (addr(ALICE), UDP));
    let of_callee = format!("Route: {}\r\n", routes.join(", "));
    let of_caller = format!("Route: {}, {}\r\n", routes[1], routes[0]);
    let info = request(
        "INFO sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKi",
        ("a", "b"),
        "2 INFO",
        &of_caller,
        "",
    );
    let info = world.recv_on(UDP, ALICE, info.as_bytes());
    assert_eq!((info[0].to, info[0].listener), (addr(BOB), CORE_SIDE));
    assert!(info[0].all(HeaderId::Route).is_empty());
    let bye = request(
        "BYE sip:alice@198.51.100.7:5060",
        "203.0.113.9:5070;branch=z9hG4bKbye",
        ("b", "a"),
        "1 BYE",
        &of_callee,
        "",
    );
    let bye = world.recv_on(CORE_SIDE, BOB, bye.as_bytes());
    assert_eq!((bye[0].to, bye[0].listener), (addr(ALICE), UDP));
    assert!(bye[0].all(HeaderId::Route).is_empty());
    world.recv_on(
        UDP,
        ALICE,
        response(&bye[0], "200 OK", "a", "", "").as_bytes(),
    );
    world.assert_forgotten();
}

#[test]
fn caller_on_a_connection_is_reached_by_it() {
    let mut world = zoned(Protocol::Udp);
    let flow = connection(TCP, "198.51.100.7:41000");
    let text = invite("alice").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let sent = world.recv_by(flow, text.as_bytes());
    assert_eq!(sent[0].way, flow.into(), "100 Trying");
    let invite = forwarded(&sent);
    let routes = invite.all(HeaderId::RecordRoute);
    assert!(
        routes[0].starts_with("<sip:10.0.0.1:5060;lr;r2=on"),
        "{routes:?}"
    );
    assert!(routes[1].starts_with("<sip:edge.example:5070;transport=tcp;lr;r2=on"));
    let ok = response(&invite, "200 OK", "b", BOB_CONTACT, "bob");
    let ok = world.recv_on(CORE_SIDE, BOB, ok.as_bytes());
    assert_eq!(ok[0].way, flow.into());
    assert_eq!(world.uses, [(flow, true)], "kept open while the call lasts");
    let bye = request(
        "BYE sip:alice@198.51.100.7:5060",
        "203.0.113.9:5070;branch=z9hG4bKbye",
        ("b", "a"),
        "1 BYE",
        &format!("Route: {}\r\n", routes.join(", ")),
        "",
    );
    let bye = world.recv_on(CORE_SIDE, BOB, bye.as_bytes());
    assert_eq!(bye[0].way, flow.into());
    assert!(bye[0].all(HeaderId::Via)[0].starts_with("SIP/2.0/TCP edge.example:5070;"));
    // The connection is gone.
    world.proxy.handle_unsendable(world.now, bye[0].token);
    let sent = world.pull();
    assert!(
        sent[0].line().starts_with("SIP/2.0 430"),
        "{}",
        sent[0].line()
    );
    assert_eq!(sent[0].to, addr(BOB));
    world.assert_forgotten();
    assert_eq!(world.uses.last(), Some(&(flow, false)));
}

#[test]
fn upstream_over_tcp_is_opened() {
    let mut world = zoned(Protocol::Tcp);
    let sent = world.recv_on(UDP, ALICE, invite("alice").as_bytes());
    let invite = forwarded(&sent);
    let open = Destination::Open {
        listener: CORE_SIDE,
        peer: addr(BOB),
        server_name: None,
    };
    assert_eq!(invite.way, open);
    assert!(invite.all(HeaderId::Via)[0].starts_with("SIP/2.0/TCP 10.0.0.1:5060;"));
    world.proxy.handle_unsendable(world.now, invite.token);
    let sent = world.pull();
    assert!(
        sent[0].line().starts_with("SIP/2.0 503"),
        "{}",
        sent[0].line()
    );
    world.assert_forgotten();
}

#[test]
fn response_to_a_closed_connection_goes_to_its_sent_by() {
    let mut world = zoned(Protocol::Udp);
    let flow = connection(TCP, "198.51.100.7:41000");
    let text = invite("alice").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let sent = world.recv_by(flow, text.as_bytes());
    let busy = response(&forwarded(&sent), "486 Busy Here", "b", "", "");
    let busy = world.recv_on(CORE_SIDE, BOB, busy.as_bytes());
    assert_eq!(busy[1].way, flow.into());
    world.proxy.handle_unsendable(world.now, busy[1].token);
    let again = world.pull();
    assert_eq!(
        (again[0].line(), again[0].to),
        (busy[1].line(), addr(ALICE))
    );
    world.proxy.handle_unsendable(world.now, again[0].token);
    assert!(world.pull().is_empty(), "once");
}

#[test]
fn strict_routers_request_uri_is_repaired() {
    let mut world = zoned(Protocol::Udp);
    let sent = world.recv_on(UDP, ALICE, invite("alice").as_bytes());
    let invite = forwarded(&sent);
    let ok = response(&invite, "200 OK", "b", BOB_CONTACT, "bob");
    world.recv_on(CORE_SIDE, BOB, ok.as_bytes());
    let routes = invite.all(HeaderId::RecordRoute);
    let uri = routes[0].trim_matches(['<', '>']);
    let bye = request(
        &format!("BYE {uri}"),
        "203.0.113.9:5070;branch=z9hG4bKbye",
        ("b", "a"),
        "1 BYE",
        &format!("Route: {}, <sip:alice@198.51.100.7:5060>\r\n", routes[1]),
        "",
    );
    let bye = world.recv_on(CORE_SIDE, BOB, bye.as_bytes());
    assert_eq!(bye[0].to, addr(ALICE));
    assert_eq!(bye[0].line(), "BYE sip:alice@198.51.100.7:5060 SIP/2.0");
    assert!(bye[0].all(HeaderId::Route).is_empty());
}

#[test]
fn strangers_in_the_core_zone_are_trusted_and_call_out() {
    let mut world = zoned(Protocol::Udp);
    let pbx = "203.0.113.20:5060";
    let text = invite("pbx").replace("sip:bob@edge.example", "sip:alice@198.51.100.7:5060");
    let sent = world.recv_on(CORE_SIDE, pbx, text.as_bytes());
    let invite = forwarded(&sent);
    assert_eq!((invite.to, invite.listener), (addr(ALICE), UDP));
    // Where the public zone has TCP, a Request-URI may ask for it.
    let text = text
        .replace("7:5060 SIP", "7:5060;transport=tcp SIP")
        .replace("z9hG4bKinv", "z9hG4bKtcp")
        .replace("Call-ID: c1", "Call-ID: c2");
    let sent = world.recv_on(CORE_SIDE, pbx, text.as_bytes());
    assert_eq!(forwarded(&sent).listener, TCP);
}

#[test]
fn subscriber_on_a_connection_is_notified_by_it() {
    let mut world = zoned(Protocol::Udp);
    let flow = connection(TCP, "198.51.100.7:41000");
    let subscribe = request(
        "SUBSCRIBE sip:bob@edge.example",
        "198.51.100.7:41000;branch=z9hG4bKs",
        ("a", ""),
        "1 SUBSCRIBE",
        "Contact: <sip:alice@10.1.1.4:5060;transport=tcp>\r\n",
        "",
    );
    let sent = world.recv_by(flow, subscribe.as_bytes());
    let routes = sent[0].all(HeaderId::RecordRoute);
    assert!(routes[0].starts_with("<sip:10.0.0.1:5060;lr;r2=on"));
    assert!(routes[1].starts_with("<sip:f1-"), "{routes:?}");
    let notify = |route: &str| {
        request(
            "NOTIFY sip:alice@10.1.1.4:5060;transport=tcp",
            "203.0.113.9:5070;branch=z9hG4bKn",
            ("n", "a"),
            "1 NOTIFY",
            &format!("Route: {}, {route}\r\n", routes[0]),
            "",
        )
    };
    let sent = world.recv_on(CORE_SIDE, BOB, notify(&routes[1]).as_bytes());
    assert_eq!(sent[0].way, flow.into());
    assert!(sent[0].all(HeaderId::Route).is_empty());
    let forged = notify(&routes[1].replace("f1-A", "f1-B")).replace("z9hG4bKn", "z9hG4bKf");
    let sent = world.recv_on(CORE_SIDE, BOB, forged.as_bytes());
    assert!(sent[0].line().starts_with("SIP/2.0 403"));
}

#[test]
fn secure_web_socket_is_named_as_web_socket() {
    let config = Config::new(addr(EDGE), addr(BOB), addr("127.0.0.1:2223"));
    let secure = "192.0.2.1:8443";
    let mut world = World::of(
        config,
        vec![
            Listener::new(PUBLIC, Protocol::Udp, addr(secure), None),
            Listener::new(PUBLIC, Protocol::Wss, addr(secure), None),
            Listener::new(CORE, Protocol::Udp, addr(INNER), None),
        ],
    );
    let page = connection(1, ALICE);
    let text = invite("alice")
        .replace("SIP/2.0/UDP", "SIP/2.0/WSS")
        .replace(
            "<sip:alice@198.51.100.7:5060>",
            "<sip:alice@df7jal23ls0d.invalid;transport=ws>",
        );
    let invite = forwarded(&world.recv_by(page, text.as_bytes()));
    let routes = invite.all(HeaderId::RecordRoute);
    // RFC 7118 §5.2.2 has one value; its Via tells more.
    let outer = "<sip:192.0.2.1:8443;transport=ws;lr;r2=on;did=";
    assert!(routes[1].starts_with(outer), "{routes:?}");
    let ok = response(&invite, "200 OK", "b", BOB_CONTACT, "bob");
    world.recv_on(CORE_SIDE, BOB, ok.as_bytes());
    let info = request(
        "INFO sip:alice@df7jal23ls0d.invalid;transport=ws",
        "203.0.113.9:5070;branch=z9hG4bKi",
        ("b", "a"),
        "2 INFO",
        &format!("Route: {}\r\n", routes.join(", ")),
        "",
    );
    let sent = world.recv_on(CORE_SIDE, BOB, info.as_bytes());
    assert_eq!(sent[0].way, page.into(), "not the datagrams of this port");
    let via = &sent[0].all(HeaderId::Via)[0];
    assert!(via.starts_with("SIP/2.0/WSS 192.0.2.1:8443;"), "{via}");
}
