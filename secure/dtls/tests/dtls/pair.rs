//! Handshakes that go through, and those that must not.

use std::time::Duration;

use windlass_dtls::{
    CloseReason, Event, FailReason, Fingerprint, HashFunction, KeyKind, Profile, Session,
};

use crate::link::{
    Faults, Link, Side, address, alter_records, certificate, configs, connected, ecdsa,
    has_message, start,
};

const LIMIT: Duration = Duration::from_secs(31);
const RSA: KeyKind = KeyKind::Rsa(2048);
const ECDSA: KeyKind = KeyKind::EcdsaP256;

#[test]
fn every_kind_of_certificate_works_in_every_role() {
    for (active, passive) in [(ECDSA, ECDSA), (ECDSA, RSA), (RSA, ECDSA), (RSA, RSA)] {
        let (active, passive) = configs(active, passive);
        let mut link = Link::new(active, passive);
        link.run(LIMIT);
        let (active, passive) = link.keys();
        assert_eq!(active.profile, Profile::AeadAes256Gcm);
        assert_eq!(
            passive.peer_fingerprint,
            certificate_of(&link, Side::Active)
        );
        assert_eq!(
            (link.active_events.len(), link.passive_events.len()),
            (1, 1)
        );
    }
}

fn certificate_of(link: &Link, side: Side) -> String {
    // What a session prints of itself.
    let session = match side {
        Side::Active => &link.active,
        Side::Passive => &link.passive,
    };
    let text = format!("{session:?}");
    let at = text.find("sha-256").unwrap();
    text[at..].split('"').next().unwrap().to_owned()
}

#[test]
fn every_profile_is_agreed_on() {
    for profile in Profile::ALL {
        let (mut active, passive) = ecdsa();
        active.profiles = vec![profile];
        let mut link = Link::new(active, passive);
        link.run(LIMIT);
        assert_eq!(link.keys().0.profile, profile);
    }
}

#[test]
fn passive_side_chooses_the_profile_by_its_own_order() {
    let (active, mut passive) = ecdsa();
    passive.profiles = vec![Profile::Aes128CmSha1_80, Profile::AeadAes256Gcm];
    let mut link = Link::new(active, passive);
    link.run(LIMIT);
    assert_eq!(link.keys().0.profile, Profile::Aes128CmSha1_80);
}

#[test]
fn without_a_common_profile_there_are_no_keys() {
    let (mut active, mut passive) = ecdsa();
    active.profiles = vec![Profile::Aes128CmSha1_32];
    passive.profiles = vec![Profile::AeadAes128Gcm];
    let mut link = Link::new(active, passive);
    link.run(LIMIT);
    let reason = FailReason::NoCommonProfile;
    assert_eq!(link.passive_events, came_to_nothing(reason));
    // The alert was told when it came, and once.
    let alert = FailReason::PeerAlert(40);
    assert_eq!(link.active_events[0], Event::Setback(alert));
    assert!(matches!(link.active_events[1..], [Event::Failed(_)]));
}

#[test]
fn handshake_fits_small_paths() {
    for mtu in [300, 576, 1200] {
        for key in [ECDSA, RSA] {
            let (mut active, mut passive) = configs(key, key);
            (active.mtu, passive.mtu) = (mtu, mtu);
            let mut link = Link::new(active, passive);
            link.run(LIMIT);
            link.keys();
            assert!(link.longest <= mtu, "{} of {mtu}", link.longest);
        }
    }
}

#[test]
fn handshake_survives_a_bad_link() {
    let faults = Faults {
        loss: 20,
        repeat: 15,
        late: 30,
    };
    for seed in 1..=24 {
        let (mut active, mut passive) = ecdsa();
        let mtu = [300, 576, 1200][seed % 3];
        (active.mtu, passive.mtu) = (mtu, mtu);
        let mut link = Link::new(active, passive).with_faults(faults, seed as u64 * 0x9e37_79b9);
        link.run(LIMIT);
        link.keys();
    }
}

#[test]
fn lossless_handshake_repeats_nothing() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive);
    link.run(LIMIT);
    link.keys();
    // Hello, cookie request, hello, and a flight each of server, client, server.
    assert_eq!(link.sent, 6);
}

#[test]
fn silent_peer_is_given_up_after_half_a_minute() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive).with_tamper(|_, _| vec![]);
    link.run(Duration::from_secs(29));
    assert_eq!(link.active_events, []);
    link.run(Duration::from_secs(2));
    let failed = Event::Failed(FailReason::TimedOut { last: None });
    assert_eq!(link.active_events, [failed]);
    assert_eq!(link.passive_events, []);
    // 0, 0.4, 1.2, 2.8, 6, 12.4, 18.8, 25.2 s
    assert_eq!(link.sent, 8);
    assert_eq!(link.active.poll_timeout(), None);
}

#[test]
fn wrong_fingerprint_fails_on_either_side() {
    for side in [Side::Active, Side::Passive] {
        let (mut active, mut passive) = ecdsa();
        let wrong = Some(vec![
            certificate(ECDSA, 2).fingerprint(HashFunction::Sha256),
        ]);
        match side {
            Side::Active => active.fingerprints = wrong,
            Side::Passive => passive.fingerprints = wrong,
        }
        let mut link = Link::new(active, passive);
        link.run(LIMIT);
        let (deceived, other) = match side {
            Side::Active => (&link.active_events, &link.passive_events),
            Side::Passive => (&link.passive_events, &link.active_events),
        };
        assert_eq!(
            deceived[..],
            [Event::Failed(FailReason::FingerprintMismatch)]
        );
        let Event::Failed(reason) = &deceived[0] else {
            unreachable!()
        };
        assert_eq!(
            reason.to_string(),
            "peer certificate rejected: fingerprint mismatch"
        );
        match side {
            // What a server sent is proven by its Finished alone, so the client hears it out.
            Side::Active => assert_eq!(other.last(), Some(&Event::Closed(CloseReason::Alert(42)))),
            Side::Passive => assert_eq!(connected(other), None),
        }
    }
}

#[test]
fn every_hash_function_verifies_the_peer() {
    for hash in HashFunction::ALL {
        let (mut active, mut passive) = ecdsa();
        let read = |fingerprint: Fingerprint| fingerprint.to_string().parse().unwrap();
        active.fingerprints = Some(vec![read(passive.certificate.fingerprint(hash))]);
        passive.fingerprints = Some(vec![read(active.certificate.fingerprint(hash))]);
        let mut link = Link::new(active, passive);
        link.run(LIMIT);
        link.keys();
    }
}

#[test]
fn keys_wait_for_the_fingerprint() {
    for side in [Side::Active, Side::Passive] {
        let (mut active, mut passive) = ecdsa();
        let known = match side {
            Side::Active => active.fingerprints.take(),
            Side::Passive => passive.fingerprints.take(),
        };
        let mut link = Link::new(active, passive);
        link.run(Duration::from_secs(60));
        let waiting = match side {
            Side::Active => &link.active_events,
            Side::Passive => &link.passive_events,
        };
        assert_eq!(waiting[..], []);
        match side {
            Side::Active => link.active.set_fingerprints(known.unwrap(), link.now),
            Side::Passive => link.passive.set_fingerprints(known.unwrap(), link.now),
        }
        link.run(LIMIT);
        link.keys();
    }
}

#[test]
fn late_fingerprint_that_is_wrong_fails() {
    let (active, mut passive) = ecdsa();
    passive.fingerprints = None;
    let mut link = Link::new(active, passive);
    link.run(LIMIT);
    assert!(!link.passive.is_connected() && link.passive.save().is_none());
    let wrong = certificate(ECDSA, 2).fingerprint(HashFunction::Sha256);
    link.passive.set_fingerprints(vec![wrong], link.now);
    link.run(LIMIT);
    assert_eq!(
        link.passive_events,
        [Event::Failed(FailReason::FingerprintMismatch)]
    );
    // bad_certificate, under the keys of the association
    assert_eq!(
        link.active_events.last(),
        Some(&Event::Closed(CloseReason::Alert(42)))
    );
}

#[test]
fn client_without_a_certificate_gets_no_keys() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive).with_tamper(|side, datagram| {
        vec![alter_records(&datagram, |record, epoch, body| {
            if side == Side::Active && (record, epoch) == (22, 0) && body[0] == 11 {
                // An empty list, as message 2 of a client.
                *body = vec![11, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0];
            }
        })]
    });
    link.run(LIMIT);
    assert_eq!(connected(&link.passive_events), None);
    let reason = FailReason::NoCertificate;
    assert_eq!(link.passive_events, came_to_nothing(reason));
}

/// Told at once, and again when the time is up.
fn came_to_nothing(reason: FailReason) -> [Event; 2] {
    let last = Some(Box::new(reason.clone()));
    [
        Event::Setback(reason),
        Event::Failed(FailReason::TimedOut { last }),
    ]
}

#[test]
fn finished_over_another_handshake_is_refused() {
    let (active, passive) = ecdsa();
    // A byte behind the signature of CertificateVerify: no signature covers it, Finished does.
    let mut link = Link::new(active, passive).with_tamper(|_, datagram| {
        vec![alter_records(&datagram, |record, epoch, body| {
            if (record, epoch) == (22, 0) && body[0] == 15 {
                body[3] += 1;
                body[11] += 1;
                body.push(0);
            }
        })]
    });
    link.run(LIMIT);
    assert_eq!(connected(&link.passive_events), None);
    let reason = FailReason::Finished;
    assert_eq!(link.passive_events, came_to_nothing(reason));
}

#[test]
fn lost_last_flight_is_sent_again() {
    let (active, passive) = ecdsa();
    let mut left = 2;
    let mut link = Link::new(active, passive).with_tamper(move |side, datagram| {
        let is_last = side == Side::Passive && datagram[0] == 20;
        if is_last && left > 0 {
            left -= 1;
            return vec![];
        }
        vec![datagram]
    });
    // The client's repetitions after 0.4 and 0.8 s ask for it.
    link.run(Duration::from_millis(1_400));
    link.keys();
    assert_eq!(link.passive_events.len(), 1);
}

#[test]
fn repetitions_by_the_network_are_not_answered() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive).with_tamper(|_, datagram| vec![datagram; 8]);
    link.run(LIMIT);
    link.keys();
    // One more cookie request for each repetition of the first hello.
    assert_eq!(link.sent, 6 + 7);
}

#[test]
fn close_is_told_and_answered() {
    for side in [Side::Active, Side::Passive] {
        let (active, passive) = ecdsa();
        let mut link = Link::new(active, passive);
        link.run(LIMIT);
        link.keys();
        let before = link.sent;
        match side {
            Side::Active => link.active.close(),
            Side::Passive => link.passive.close(),
        }
        link.run(LIMIT);
        let told = match side {
            Side::Active => &link.passive_events,
            Side::Passive => &link.active_events,
        };
        assert_eq!(told.last(), Some(&Event::Closed(CloseReason::CloseNotify)));
        assert_eq!(link.sent - before, 2);
        assert!(!link.active.is_connected() && !link.passive.is_connected());
    }
}

#[test]
fn no_hello_is_remembered_before_its_cookie() {
    let (active, passive) = ecdsa();
    let mut link = Link::new(active, passive).with_tamper(|side, datagram| match side {
        Side::Active => vec![datagram],
        Side::Passive => vec![],
    });
    link.run(Duration::from_secs(10));
    assert_eq!(
        link.passive.poll_timeout(),
        None,
        "no handshake is under way"
    );
    assert_eq!(link.passive.counters().cookies_sent, 5);
}

#[test]
fn server_is_asked_again_if_its_flight_is_lost() {
    let (active, passive) = ecdsa();
    let mut left = 2;
    let mut link = Link::new(active, passive).with_tamper(move |_, datagram| {
        if has_message(&datagram, 2) && left > 0 {
            left -= 1;
            return vec![];
        }
        vec![datagram]
    });
    link.run(LIMIT);
    link.keys();
}

#[test]
fn hello_in_pieces_is_put_together() {
    let (active, passive) = ecdsa();
    let mut pieces = 0;
    let mut link = Link::new(active, passive).with_tamper(move |_, datagram| {
        if !windlass_dtls::is_client_hello(&datagram) {
            return vec![datagram];
        }
        pieces += 1;
        let half = (datagram.len() - 25) / 2;
        let piece = |range: std::ops::Range<usize>, number: u8| {
            let len = range.len() as u8;
            let mut piece = datagram[..25].to_vec();
            piece[10] = pieces * 2 + number;
            piece[11..13].copy_from_slice(&[0, 12 + len]);
            piece[21] = range.start as u8;
            piece[24] = len;
            piece.extend(&datagram[25..][range]);
            piece
        };
        vec![piece(0..half, 0), piece(half..datagram.len() - 25, 1)]
    });
    link.run(LIMIT);
    link.keys();
}

#[test]
fn last_attempt_of_a_client_has_its_time() {
    let (active, passive) = ecdsa();
    let mut first = Link::new(active.clone(), passive);
    // A client that vanishes after its proven hello.
    first.run(Duration::from_millis(50));
    let mut link = first.with_tamper(|side, datagram| match side {
        Side::Active => vec![],
        Side::Passive => vec![datagram],
    });
    link.run(Duration::from_secs(29));
    link.active = Session::new(active, link.now).unwrap();
    let mut lost = 2;
    let mut link = link.with_tamper(move |_, datagram| {
        if has_message(&datagram, 2) && lost > 0 {
            lost -= 1;
            return vec![];
        }
        vec![datagram]
    });
    link.active_events.clear();
    link.run(LIMIT);
    link.keys();
    assert_eq!(link.passive_events.len(), 1);
}

#[test]
fn peer_that_repeats_itself_is_answered_before_the_timer() {
    let (active, passive) = ecdsa();
    let now = start();
    let (from, to) = (address(Side::Active), address(Side::Passive));
    let mut active = Session::new(active, now).unwrap();
    let mut passive = Session::new(passive, now).unwrap();
    let mut hello = Vec::new();
    for _ in 0..2 {
        active.poll_transmit(&mut hello).unwrap();
        passive.handle_datagram(from, &hello, now);
        let mut answer = Vec::new();
        passive.poll_transmit(&mut answer).unwrap();
        if answer.len() < 100 {
            active.handle_datagram(to, &answer, now);
        }
    }
    let later = now + Duration::from_millis(100);
    let mut answers = |datagram: &[u8], at| {
        passive.handle_datagram(from, datagram, at);
        std::iter::from_fn(|| passive.poll_transmit(&mut Vec::new())).count()
    };
    assert_eq!(answers(&hello, later), 0, "the same record again");
    hello[10] = 9;
    assert_eq!(answers(&hello, later), 1, "under a new number");
    hello[10] = 10;
    assert_eq!(answers(&hello, later), 0, "too soon");
    let mut total = 0;
    for number in 11..=255 {
        hello[10] = number;
        total += answers(&hello, later + Duration::from_millis(60) * number.into());
    }
    assert_eq!(total, 15, "16 in all");
}
