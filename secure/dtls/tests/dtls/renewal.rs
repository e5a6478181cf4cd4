//! A second association beside an established one (RFC 6347 §4.2.8).

use std::time::Duration;

use windlass_dtls::{
    CloseReason, Event, FailReason, HashFunction, HeldFlight, KeyKind, Role, Session,
};

use crate::link::{Link, Side, address, certificate, connected, ecdsa};

const LIMIT: Duration = Duration::from_secs(31);

fn established() -> Link {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive);
    link.run(LIMIT);
    link.keys();
    link
}

#[test]
fn client_that_starts_over_gets_new_keys() {
    let mut link = established();
    let (_, first) = link.keys();
    let (config, _) = ecdsa();
    // Its old association is forgotten, as after a restart.
    link.active = Session::new(config, link.now).unwrap();
    link.active_events.clear();
    link.run(LIMIT);
    let (_, second) = link.keys();
    assert_ne!(first.local, second.local);
    assert_eq!(link.passive_events.len(), 2);
}

#[test]
fn established_association_stays_until_the_new_one_is_verified() {
    let mut link = established();
    let old = std::mem::replace(&mut link.active, Session::new(ecdsa().0, link.now).unwrap());
    // Somebody else's certificate: the handshake goes through, the peer is not who it should be.
    let mut config = ecdsa().0;
    config.certificate = certificate(KeyKind::EcdsaP256, 2);
    link.active = Session::new(config, link.now).unwrap();
    link.run(LIMIT);
    assert!(link.passive.is_connected());
    assert_eq!(
        link.passive_events[1..],
        [Event::Refused(FailReason::FingerprintMismatch)]
    );
    // The old one still works.
    link.active = old;
    link.active.close();
    link.run(LIMIT);
    assert_eq!(
        link.passive_events.last(),
        Some(&Event::Closed(CloseReason::CloseNotify))
    );
}

#[test]
fn stray_hello_ends_nothing() {
    let mut link = established();
    let mut stranger = Session::new(ecdsa().0, link.now).unwrap();
    let mut hello = Vec::new();
    stranger.poll_transmit(&mut hello).unwrap();
    for _ in 0..100 {
        link.deliver(Side::Active, &hello);
    }
    link.run(LIMIT);
    assert!(link.passive.is_connected());
    assert_eq!(link.passive_events.len(), 1);
    assert_eq!(link.passive.counters().cookies_sent, 101);
}

#[test]
fn proven_hello_that_leads_nowhere_ends_nothing() {
    let mut link = established();
    let mut stranger = Session::new(ecdsa().0, link.now).unwrap();
    let mut datagram = Vec::new();
    stranger.poll_transmit(&mut datagram).unwrap();
    let from = address(Side::Active);
    link.passive.handle_datagram(from, &datagram, link.now);
    link.passive.poll_transmit(&mut datagram).unwrap();
    stranger.handle_datagram(address(Side::Passive), &datagram, link.now);
    stranger.poll_transmit(&mut datagram).unwrap();
    link.passive.handle_datagram(from, &datagram, link.now);
    assert!(
        link.passive.poll_timeout().is_some(),
        "a handshake is under way"
    );
    link.run(LIMIT);
    assert!(link.passive.is_connected());
    let refused = Event::Refused(FailReason::TimedOut { last: None });
    assert_eq!(link.passive_events[1..], [refused]);
}

#[test]
fn sessions_are_renewed_with_roles_changed() {
    let mut link = established();
    let first = link.keys().0;
    let print = |session: &Session| {
        let state = session.save().unwrap();
        Some(vec![state.peer_fingerprint.parse().unwrap()])
    };
    let (of_passive, of_active) = (print(&link.active), print(&link.passive));
    let now = link.now;
    link.active.renew(
        certificate(KeyKind::EcdsaP256, 0),
        Role::Passive,
        of_passive,
        Some("b".into()),
        now,
    );
    link.passive.renew(
        certificate(KeyKind::EcdsaP256, 1),
        Role::Active,
        of_active,
        Some("a".into()),
        now,
    );
    assert!(link.active.is_connected() && link.passive.is_connected());
    link.run(LIMIT);
    let second = link.keys().0;
    assert_ne!(first.local, second.local);
    assert_eq!(link.active.save().unwrap().tls_id.as_deref(), Some("b"));
}

#[test]
fn renewal_with_another_certificate_needs_its_fingerprint() {
    let mut link = established();
    let other = certificate(KeyKind::EcdsaP256, 2);
    let print = other.fingerprint(HashFunction::Sha256);
    link.passive.renew(
        certificate(KeyKind::EcdsaP256, 1),
        Role::Passive,
        Some(vec![print]),
        None,
        link.now,
    );
    let mut config = ecdsa().0;
    config.certificate = other;
    link.active = Session::new(config, link.now).unwrap();
    link.run(LIMIT);
    link.keys();
    assert_eq!(link.passive_events.len(), 2);
}

#[test]
fn renewal_shows_the_certificate_that_it_is_given() {
    let mut link = established();
    let other = certificate(KeyKind::EcdsaP256, 2);
    let print = other.fingerprint(HashFunction::Sha256);
    let of_active = ecdsa().1.fingerprints;
    let (role, now) = (Role::Passive, link.now);
    link.passive.renew(other, role, of_active, None, now);
    let mut config = ecdsa().0;
    config.fingerprints = Some(vec![print]);
    link.active = Session::new(config, now).unwrap();
    link.active_events.clear();
    link.run(LIMIT);
    link.keys();
}

#[test]
fn association_after_a_close_is_a_new_one() {
    let mut link = established();
    link.active.close();
    link.run(LIMIT);
    assert!(!link.passive.is_connected());
    link.active = Session::new(ecdsa().0, link.now).unwrap();
    link.active_events.clear();
    link.run(LIMIT);
    link.keys();
    assert!(link.passive.is_connected());
}

#[test]
fn hello_that_came_before_the_role_is_handed_on() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive.clone());
    let mut hello = Vec::new();
    let mut held = HeldFlight::default();
    link.active.poll_transmit(&mut hello).unwrap();
    assert!(windlass_dtls::is_client_hello(&hello));
    let (from, local) = (address(Side::Active), address(Side::Passive));
    assert!(held.hold(local, from, &hello));
    link.passive = Session::new(passive, link.now).unwrap();
    for held in held.release() {
        assert_eq!(held.local, local);
        link.passive
            .handle_datagram(held.from, &held.datagram, link.now);
    }
    // Sooner than the client's first repetition.
    link.run(Duration::from_millis(200));
    link.keys();
    assert_eq!(
        connected(&link.active_events).map(|it| it.profile),
        link.passive.save().map(|it| it.profile)
    );
}
