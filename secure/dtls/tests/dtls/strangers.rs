//! Strangers who can write any source on a datagram, or receive what is sent to an address of theirs.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use windlass_dtls::{Event, KeyKind, Peer, Session, SessionConfig};

use crate::link::{Link, Side, address, alter_records, certificate, ecdsa, has_message, start};

const LIMIT: Duration = Duration::from_secs(31);
const STEP: Duration = Duration::from_millis(100);

fn thief() -> SocketAddr {
    "203.0.113.66:6666".parse().unwrap()
}

/// A ClientHello of `from` with the cookie that `passive` has asked for.
fn proven_hello(passive: &mut Session, from: SocketAddr, now: Instant) -> Vec<u8> {
    let mut stranger = Session::new(ecdsa().0, now).unwrap();
    let mut buf = Vec::new();
    stranger.poll_transmit(&mut buf).unwrap();
    passive.handle_datagram(from, &buf, now);
    passive.poll_transmit(&mut buf).unwrap();
    stranger.handle_datagram(address(Side::Passive), &buf, now);
    stranger.poll_transmit(&mut buf).unwrap();
    buf
}

/// Takes what waits, and adds the random of each ServerHello.
fn server_randoms(session: &mut Session, randoms: &mut HashSet<Vec<u8>>) {
    let mut buf = Vec::new();
    while session.poll_transmit(&mut buf).is_some() {
        alter_records(&buf, |record, epoch, body| {
            if (record, epoch, body[0]) == (22, 0, 2) {
                randoms.insert(body[14..46].to_vec());
            }
        });
    }
}

fn connected() -> Link {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive);
    link.run(LIMIT);
    link.keys();
    link
}

/// Each beginning costs a key and a signature.
fn alternate_hellos(passive: &mut Session, mut now: Instant) {
    let hellos = [0, 1].map(|_| proven_hello(passive, thief(), now));
    let mut randoms = HashSet::new();
    for turn in 0..100 {
        passive.handle_datagram(thief(), &hellos[turn % 2], now);
        server_randoms(passive, &mut randoms);
        now += STEP;
    }
    assert!((2..=8).contains(&randoms.len()), "{}", randoms.len());
    assert!(passive.counters().hellos_refused > 80);
}

#[test]
fn alternating_hellos_begin_few_associations() {
    let now = start();
    alternate_hellos(&mut Session::new(ecdsa().1, now).unwrap(), now);
}

#[test]
fn alternating_hellos_begin_few_associations_beside_an_established_one() {
    let mut link = connected();
    alternate_hellos(&mut link.passive, link.now);
    assert!(link.passive.is_connected());
}

#[test]
fn hello_with_an_old_cookie_begins_nothing() {
    let now = start();
    let mut passive = Session::new(ecdsa().1, now).unwrap();
    let hello = proven_hello(&mut passive, thief(), now);
    let later = now + Duration::from_secs(120);
    passive.handle_datagram(thief(), &hello, later);
    assert_eq!(passive.poll_timeout(), None);
    let hello = proven_hello(&mut passive, thief(), later);
    passive.handle_datagram(thief(), &hello, later);
    assert!(passive.poll_timeout().is_some());
}

fn fragment(kind: u8, length: u8, number: u8, body: &[u8], sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let len = body.len() as u8;
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 1, high, low, 0, 12 + len];
    record.extend([kind, 0, 0, length, 0, number, 0, 0, 0, 0, 0, len]);
    record.extend(body);
    record
}

/// What ended a handshake, or led it away, when anybody was listened to.
fn spoil(link: &mut Link, from: SocketAddr) {
    for session in [&mut link.active, &mut link.passive] {
        for number in 0..6 {
            // Of no type, of a type with another length, and 600 of use.
            session.handle_datagram(from, &fragment(99, 1, number, b"x", 1), link.now);
            session.handle_datagram(from, &fragment(11, 9, number, b"x", 2), link.now);
        }
        for sequence in 3..603 {
            session.handle_datagram(from, &fragment(16, 200, 3, b"x", sequence), link.now);
            session.handle_datagram(from, &fragment(12, 200, 3, b"x", sequence), link.now);
        }
    }
    link.fetch();
}

#[test]
fn fragments_of_strangers_neither_end_nor_move_a_handshake() {
    // Up to the hello, the cookie, the hello, the flight of the server.
    for steps in 0..5 {
        let (active, passive) = ecdsa();
        let mut link = Link::new(active, passive);
        link.active.set_peer(Peer::At(address(Side::Passive)));
        link.run(Duration::from_millis(20) * steps);
        spoil(&mut link, thief());
        link.run(Duration::from_secs(3));
        link.keys();
        assert!(link.strays.is_empty(), "{:?}", link.strays);
        for session in [&link.active, &link.passive] {
            assert_eq!(session.counters().handshakes_failed, 0);
        }
    }
}

#[test]
fn message_of_no_type_ends_nothing_whoever_sends_it() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive).with_tamper(|_, datagram| {
        let forged = (0..6).map(|number| fragment(99, 1, number, b"x", number.into()));
        forged.chain([datagram]).collect()
    });
    link.run(Duration::from_secs(1));
    link.keys();
    assert_eq!(link.passive.counters().handshakes_failed, 0);
}

#[test]
fn strangers_with_cookies_do_not_keep_the_peer_out() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active.clone(), passive);
    // As many ports and handshakes as they like, before and while the peer comes.
    for turn in 0..40 {
        let from = SocketAddr::new(thief().ip(), 1000 + turn);
        let hello = proven_hello(&mut link.passive, from, link.now);
        link.passive.handle_datagram(from, &hello, link.now);
        while link.passive.poll_transmit(&mut Vec::new()).is_some() {}
        link.now += STEP;
        if turn == 30 {
            link.active = Session::new(active.clone(), link.now).unwrap();
        }
        if turn >= 30 {
            link.run(Duration::from_millis(10));
        }
    }
    link.run(Duration::from_millis(100));
    link.keys();
    assert_eq!(link.passive_events.len(), 1);
}

#[test]
fn stranger_with_a_certificate_does_not_keep_the_peer_out_before_the_answer() {
    let (active, mut passive) = ecdsa();
    let known = passive.fingerprints.take().unwrap();
    let mut link = Link::new(active, passive.clone());
    // His handshake is complete first.
    let mut config = SessionConfig::new(
        certificate(KeyKind::EcdsaP256, 2),
        windlass_dtls::Role::Active,
    );
    config.fingerprints = link_print(&passive);
    let mut stranger = Session::new(config, link.now).unwrap();
    let mut buf = Vec::new();
    for _ in 0..4 {
        while stranger.poll_transmit(&mut buf).is_some() {
            link.passive.handle_datagram(thief(), &buf, link.now);
        }
        while link.passive.poll_transmit(&mut buf).is_some() {
            stranger.handle_datagram(address(Side::Passive), &buf, link.now);
        }
    }
    assert!(stranger.is_connected());
    link.run(Duration::from_secs(1));
    link.passive.set_fingerprints(known, link.now);
    link.run(Duration::from_millis(100));
    link.keys();
    assert_eq!(link.passive_events.len(), 1);
}

fn link_print(config: &SessionConfig) -> Option<Vec<windlass_dtls::Fingerprint>> {
    let hash = windlass_dtls::HashFunction::Sha256;
    Some(vec![config.certificate.fingerprint(hash)])
}

#[test]
fn request_for_a_cookie_from_elsewhere_pulls_no_hello() {
    let now = start();
    let (active, passive) = ecdsa();
    let mut active = Session::new(active, now).unwrap();
    active.set_peer(Peer::At(address(Side::Passive)));
    let mut stranger = Session::new(passive, now).unwrap();
    let mut buf = Vec::new();
    active.poll_transmit(&mut buf).unwrap();
    stranger.handle_datagram(address(Side::Active), &buf, now);
    stranger.poll_transmit(&mut buf).unwrap();
    active.handle_datagram(thief(), &buf, now);
    assert_eq!(active.poll_transmit(&mut Vec::new()), None);
    active.handle_datagram(address(Side::Passive), &buf, now);
    let answer = active.poll_transmit(&mut Vec::new()).unwrap();
    assert_eq!(answer.to, Some(address(Side::Passive)));
}

#[test]
fn stranger_who_answers_first_does_not_end_a_client() {
    let (active, passive) = ecdsa();
    let mut deceitful = passive.clone();
    deceitful.certificate = certificate(KeyKind::EcdsaP256, 2);
    let mut link = Link::new(active, deceitful);
    link.run(Duration::from_millis(500));
    assert_eq!(link.active.counters().handshakes_failed, 1);
    assert_eq!(link.active_events, []);
    link.passive = Session::new(passive, link.now).unwrap();
    link.passive_events.clear();
    link.run(Duration::from_secs(2));
    link.keys();
}

/// ICE vouches for every source: a client that changes its path during the handshake is followed.
#[test]
fn handshake_follows_a_peer_whose_sources_are_proven() {
    let (active, passive) = ecdsa();
    let now = start();
    let mut active = Session::new(active, now).unwrap();
    let mut passive = Session::new(passive, now).unwrap();
    active.set_peer(Peer::Proven);
    passive.set_peer(Peer::Proven);
    let elsewhere: SocketAddr = "192.0.2.9:4009".parse().unwrap();
    let mut buf = Vec::new();
    let mut from = address(Side::Active);
    for _ in 0..4 {
        while active.poll_transmit(&mut buf).is_some() {
            if has_message(&buf, 16) {
                from = elsewhere;
            }
            passive.handle_datagram(from, &buf, now);
        }
        while let Some(transmit) = passive.poll_transmit(&mut buf) {
            assert_eq!(transmit.to, Some(from));
            active.handle_datagram(address(Side::Passive), &buf, now);
        }
    }
    assert_eq!(from, elsewhere);
    assert!(active.is_connected() && passive.is_connected());
}

#[test]
fn nothing_but_fresh_records_of_the_peer_moves_an_association() {
    let (active, passive) = ecdsa();
    let flights = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let kept = std::rc::Rc::clone(&flights);
    let mut link = Link::new(active, passive).with_tamper(move |side, datagram| {
        if side == Side::Active {
            kept.borrow_mut().push(datagram.clone());
        }
        vec![datagram]
    });
    link.run(LIMIT);
    link.keys();
    let change = [20, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 1];
    link.passive.handle_datagram(thief(), &change, link.now);
    assert_eq!(link.passive.counters().ignored, 1);
    for flight in flights.borrow().iter() {
        link.passive.handle_datagram(thief(), flight, link.now);
    }
    // A repetition that nobody asked for from there.
    let asking = fragment(16, 1, 3, b"x", 9);
    link.passive.handle_datagram(thief(), &asking, link.now);
    while let Some(transmit) = link.passive.poll_transmit(&mut Vec::new()) {
        // Requests for cookies
        assert!(transmit.len < 100);
    }
    link.passive.close();
    let close = link.passive.poll_transmit(&mut Vec::new()).unwrap();
    assert_eq!(close.to, Some(address(Side::Active)));
}

#[test]
fn pieces_of_strangers_do_not_push_out_a_hello() {
    let now = start();
    let (active, passive) = ecdsa();
    let mut passive = Session::new(passive, now).unwrap();
    let mut hello = Vec::new();
    let mut active = Session::new(active, now).unwrap();
    active.poll_transmit(&mut hello).unwrap();
    let body = &hello[25..];
    let piece = |offset: usize, body: &[u8], length: usize| {
        let mut piece = hello[..25].to_vec();
        piece[11..13].copy_from_slice(&(12 + body.len() as u16).to_be_bytes());
        piece[14..17].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
        piece[19..22].copy_from_slice(&(offset as u32).to_be_bytes()[1..]);
        piece[22..25].copy_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        piece.extend(body);
        piece
    };
    let from = address(Side::Active);
    let half = body.len() / 2;
    passive.handle_datagram(from, &piece(0, &body[..half], body.len()), now);
    for port in 1..100 {
        let other = SocketAddr::new(thief().ip(), port);
        passive.handle_datagram(other, &piece(1, b"x", 2048), now);
        passive.handle_datagram(other, &piece(0, b"x", 2049), now);
        passive.handle_datagram(other, &piece(0, b"x", 1), now);
    }
    passive.handle_datagram(thief(), &piece(0, b"x", 2048), now);
    passive.handle_datagram(from, &piece(half, &body[half..], body.len()), now);
    let request = passive.poll_transmit(&mut hello).unwrap();
    assert_eq!(request.to, Some(from));
    assert!(!matches!(passive.poll_event(), Some(Event::Failed(_))));
}
