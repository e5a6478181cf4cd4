//! A party that signalling moves, and sources that fall silent (media-behaviour §3.1).

use super::*;

const MOVED: &str = "198.51.100.44:6000";

/// A caller that is settled where its SDP says, at a public address.
fn settled() -> Scene {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    assert_eq!(scene.stream(PUBLIC, 1, 1, 4), 4);
    assert!(scene.latch.is_settled());
    scene
}

/// A caller behind NAT, found by its packets.
fn behind_nat(change: impl FnOnce(&mut PeerSpec)) -> Scene {
    let mut scene = Scene::new(Some(PRIVATE), change);
    scene.stream(NAT, 1, 1, 4);
    assert!(scene.latch.is_settled() && scene.goes_to(NAT));
    scene
}

#[test]
fn media_goes_to_the_new_address_at_once() {
    let mut scene = settled();
    scene.signal(|peer| peer.signalled = Some(at(MOVED)));
    assert!(scene.goes_to(MOVED) && !scene.latch.is_settled());
    assert!(scene.rtp(MOVED, 2, 1) && scene.latch.is_settled());
    assert!(!scene.rtp(PUBLIC, 1, 5));
}

#[test]
fn the_last_words_of_the_old_source_pass_for_half_a_second() {
    let mut scene = settled();
    scene.signal(|peer| peer.signalled = Some(at(MOVED)));
    assert_eq!(scene.stream(PUBLIC, 1, 5, 24), 24);
    assert!(scene.goes_to(MOVED));
    // Afterwards it is no stranger that a run makes heard.
    scene.wait(20);
    assert_eq!(scene.stream(PUBLIC, 1, 29, 100), 0);
}

#[test]
fn nothing_of_the_old_source_passes_once_the_new_one_speaks() {
    let mut scene = settled();
    scene.signal(|peer| peer.signalled = Some(at(MOVED)));
    assert!(scene.rtp(PUBLIC, 1, 5) && scene.rtp(MOVED, 2, 1));
    assert_eq!(scene.stream(PUBLIC, 1, 6, 10), 0);
}

/// Another port of the host of `PUBLIC`.
const NEXT_PORT: &str = "198.51.100.10:4100";

#[test]
fn late_packets_do_not_draw_media_back_to_the_old_port_of_a_host() {
    let mut scene = settled();
    scene.signal(|peer| peer.signalled = Some(at(NEXT_PORT)));
    assert_eq!(scene.stream(PUBLIC, 1, 5, 24), 24, "its last words");
    assert!(scene.goes_to(NEXT_PORT));
    scene.wait(20);
    assert_eq!(scene.stream(PUBLIC, 1, 29, 100), 0);
    assert!(scene.goes_to(NEXT_PORT));
    assert!(scene.rtp(NEXT_PORT, 2, 1) && scene.latch.is_settled());
    assert_eq!(scene.stream(PUBLIC, 1, 129, 10), 0);
    // T.38 and reports alike.
    for kind in [Kind::Opaque, Kind::Rtcp { stray: false }] {
        let mut scene = settled();
        scene.signal(|peer| peer.signalled = Some(at(NEXT_PORT)));
        assert_eq!(scene.packet(PUBLIC, kind), Verdict::Accept);
        scene.wait(600);
        assert!(matches!(scene.packet(PUBLIC, kind), Verdict::Drop(_)));
        assert!(scene.goes_to(NEXT_PORT), "{kind:?}");
    }
}

#[test]
fn a_party_that_is_moved_before_it_settled_is_not_held_at_its_old_port() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    let other = "198.51.100.10:9001";
    assert!(scene.rtp(other, 1, 1) && scene.goes_to(other));
    scene.signal(|peer| peer.signalled = Some(at(NEXT_PORT)));
    assert!(scene.goes_to(NEXT_PORT));
    assert!(scene.rtp(other, 1, 2) && scene.goes_to(NEXT_PORT));
}

#[test]
fn a_party_that_sends_from_one_port_whatever_it_names_is_found_again() {
    let mut scene = settled();
    scene.signal(|peer| peer.signalled = Some(at(NEXT_PORT)));
    scene.wait(3000);
    assert_eq!(scene.stream(PUBLIC, 1, 200, 10), 7, "after a run");
    assert!(scene.goes_to(PUBLIC));
    // Who may not send is not: it could never win its media back.
    let mut scene = settled();
    scene.signal(|peer| {
        peer.signalled = Some(at(NEXT_PORT));
        peer.sends = false;
    });
    scene.wait(3000);
    assert_eq!(scene.stream(PUBLIC, 1, 200, 10), 0);
    assert!(scene.goes_to(NEXT_PORT));
}

#[test]
fn late_packets_of_a_party_with_keys_are_heard_and_not_followed() {
    let mut scene = Scene::new(Some(PUBLIC), |peer| peer.is_authenticated = true);
    assert!(scene.rtp(PUBLIC, 1, 1) && scene.goes_to(PUBLIC));
    for next in [NEXT_PORT, MOVED] {
        scene.signal(|peer| peer.signalled = Some(at(next)));
        assert!(scene.rtp(PUBLIC, 1, 2) && scene.goes_to(next));
        scene.wait(3000);
        assert!(scene.rtp(PUBLIC, 1, 3) && scene.goes_to(PUBLIC));
    }
}

#[test]
fn a_phone_behind_nat_keeps_its_nat_when_it_repeats_its_host() {
    let mut scene = behind_nat(|_| {});
    scene.wait(5000);
    scene.signal(|peer| peer.signalled = Some(at("192.168.1.10:4002")));
    assert!(scene.goes_to(NAT));
    // Also while it is mute.
    scene.wait(5000).tick();
    assert!(scene.goes_to(NAT));
    // Its next stream comes through another port of the NAT.
    let next = "198.51.100.7:41555";
    scene.stream(next, 2, 1, 4);
    assert!(scene.goes_to(next) && scene.latch.is_settled());
}

#[test]
fn a_nat_that_goes_on_is_the_peer_again_after_three_seconds() {
    let mut scene = behind_nat(|_| {});
    scene.signal(|peer| peer.signalled = Some(at("192.168.1.10:4002")));
    assert_eq!(scene.stream(NAT, 1, 5, 150), 150);
    scene.tick();
    assert!(scene.latch.is_settled() && scene.goes_to(NAT));
    assert_eq!(scene.stream(THIEF, 9, 1, 10), 0);
}

#[test]
fn a_nat_is_kept_while_its_address_is_that_of_the_sip_source() {
    let mut scene = behind_nat(|_| {});
    scene.signal(|peer| {
        peer.signalled = Some(at("192.168.7.7:5000"));
        peer.received_from = Some(at(NAT).ip());
    });
    assert!(scene.goes_to(NAT));
}

#[test]
fn behind_another_nat_nothing_is_sent_until_the_party_is_found() {
    let mut scene = behind_nat(|_| {});
    scene.signal(|peer| peer.signalled = Some(at("192.168.7.7:5000")));
    assert_eq!(scene.latch.destination(), None);
    let found = "203.0.113.99:7000";
    scene.stream(found, 2, 1, 4);
    assert!(scene.goes_to(found) && scene.latch.is_settled());
}

#[test]
fn a_trusted_address_and_a_listener_are_moved_to_private_addresses() {
    let changes: [fn(&mut PeerSpec); 2] = [
        |peer| peer.trusts_signalled = true,
        |peer| peer.sends = false,
    ];
    for change in changes {
        let mut scene = behind_nat(|_| {});
        scene.signal(|peer| {
            peer.signalled = Some(at("192.168.1.10:4002"));
            change(peer);
        });
        assert!(scene.goes_to("192.168.1.10:4002"));
    }
}

#[test]
fn private_parties_that_are_reached_directly_are_moved_at_once() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    assert!(scene.rtp(PRIVATE, 1, 1) && scene.latch.is_settled());
    scene.signal(|peer| peer.signalled = Some(at("192.168.7.7:5000")));
    assert!(scene.goes_to("192.168.7.7:5000"));
}

#[test]
fn silence_lets_nobody_in_who_fits_worse() {
    let mut scene = settled();
    scene.wait(3300);
    assert_eq!(scene.stream(THIEF, 9, 1, 20), 0);
    assert!(scene.goes_to(PUBLIC) && scene.rtp(PUBLIC, 1, 200));
    // Nor to whom the signalled address is private and the SIP source known.
    let known = |peer: &mut PeerSpec| peer.received_from = Some(at(NAT).ip());
    let mut scene = behind_nat(known);
    scene.wait(3300);
    assert_eq!(scene.stream(THIEF, 9, 1, 300), 0);
    assert!(scene.goes_to(NAT));
}

#[test]
fn silence_lets_a_source_of_the_same_rank_in() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    scene.stream("198.51.100.10:9001", 1, 1, 4);
    assert!(scene.latch.is_settled());
    scene.wait(3000);
    assert_eq!(scene.stream("198.51.100.10:9002", 2, 1, 4), 4);
    assert!(scene.goes_to("198.51.100.10:9002"));
}

#[test]
fn the_source_of_an_earlier_call_is_not_heard_for_a_minute() {
    for signalled in [None, Some(PUBLIC), Some("192.168.7.7:5000")] {
        let before = behind_nat(|_| {});
        let left = before.latch.leave(before.now).unwrap();
        let mut scene = Scene::new(signalled, |peer| {
            peer.signalled_private = signalled == Some("192.168.7.7:5000");
            peer.signalled_at = before.now;
        });
        scene.now = before.now;
        scene.latch.follow(&left);
        assert_eq!(scene.stream(NAT, 1, 5, 100), 0, "{signalled:?}");
        assert!(!scene.goes_to(NAT));
        scene.wait(60_000);
        assert!(scene.stream(NAT, 1, 500, 10) > 0, "{signalled:?}");
    }
    // Another stream of the same host is another party's.
    let before = behind_nat(|_| {});
    let left = before.latch.leave(before.now).unwrap();
    let mut other = Scene::new(Some("192.168.7.7:5000"), |peer| {
        peer.signalled_private = true
    });
    other.now = before.now;
    other.latch.follow(&left);
    assert_eq!(other.stream(NAT, 2, 1, 10), 7);
    // And the same party is at home, whatever the call is called.
    let mut again = Scene::new(Some(PRIVATE), |_| {});
    again.now = before.now;
    again.latch.follow(&left);
    assert_eq!(again.stream(NAT, 1, 5, 10), 7);
}

#[test]
fn against_the_sip_source_only_its_family_is_followed() {
    let known =
        |peer: &mut PeerSpec| peer.received_from = Some([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9].into());
    let mut scene = Scene::new(Some(PRIVATE), known);
    assert_eq!(scene.stream(NAT, 1, 1, 200), 197);
    scene.tick();
    assert!(!scene.latch.is_settled() && scene.goes_to(PRIVATE));
}

#[test]
fn against_the_sip_source_nobody_is_followed_while_the_party_does_not_send() {
    let known = |peer: &mut PeerSpec| peer.received_from = Some([203, 0, 113, 9].into());
    let mut scene = Scene::new(Some(PRIVATE), known);
    scene.stream(NAT, 1, 1, 10);
    scene.signal(|peer| peer.sends = false);
    scene.wait(3000).tick();
    assert!(!scene.latch.is_settled() && scene.goes_to(PRIVATE));
}

#[test]
fn reports_from_another_port_of_the_party_keep_its_gate_open() {
    let mut scene = settled();
    scene.wait(3000);
    assert_eq!(scene.latch.sole_source(scene.now), Some(at(PUBLIC)));
    let stray = Kind::Rtcp { stray: true };
    assert_eq!(scene.packet("198.51.100.10:4001", stray), Verdict::Accept);
    assert_eq!(scene.latch.sole_source(scene.now), None);
}

#[test]
fn a_gate_waits_for_three_gaps_of_its_source() {
    let mut scene = settled();
    assert_eq!(scene.latch.gate_silence(), Duration::from_millis(60));
    for sequence in 5..10 {
        scene.wait(100);
        assert!(scene.rtp(PUBLIC, 1, sequence));
    }
    assert_eq!(scene.latch.gate_silence(), Duration::from_millis(300));
    scene.wait(9000);
    scene.rtp(PUBLIC, 1, 10);
    assert_eq!(scene.latch.gate_silence(), Duration::from_secs(1));
}
