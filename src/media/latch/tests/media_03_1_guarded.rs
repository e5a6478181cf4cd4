//! The tables of media-behaviour §3.1, a test per row.

use std::net::IpAddr;

use super::*;

fn knows(address: &str) -> impl FnOnce(&mut PeerSpec) {
    let address: IpAddr = address.parse().unwrap();
    move |peer| peer.received_from = Some(address)
}

#[test]
fn rank_0_is_accepted_followed_and_settled_at_once() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    assert!(scene.rtp(PUBLIC, 1, 1));
    assert!(scene.latch.is_settled() && scene.goes_to(PUBLIC));
    assert!(!scene.rtp(THIEF, 1, 2));
}

#[test]
fn rank_1_is_followed_at_once_and_settles_by_a_run() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    let other_port = "198.51.100.10:9999";
    assert!(scene.rtp(other_port, 1, 1));
    assert!(scene.goes_to(other_port) && !scene.latch.is_settled());
    assert_eq!(scene.stream(other_port, 1, 2, 3), 3);
    assert!(scene.latch.is_settled());
}

#[test]
fn rank_1_settles_three_seconds_after_signalling() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    let other_port = "198.51.100.10:9999";
    assert!(scene.rtp(other_port, 1, 1));
    scene.wait(3000).tick();
    assert!(scene.latch.is_settled());
}

#[test]
fn rank_1_gives_way_to_rank_0() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    assert!(scene.rtp("198.51.100.10:9999", 1, 1));
    assert!(scene.rtp(PUBLIC, 2, 1));
    assert!(scene.latch.is_settled() && scene.goes_to(PUBLIC));
    assert!(!scene.rtp("198.51.100.10:9999", 1, 2));
}

#[test]
fn rank_2_is_as_rank_1_and_loses_to_it() {
    let mut scene = Scene::new(Some(PRIVATE), knows("198.51.100.7"));
    assert!(scene.rtp(NAT, 1, 1));
    assert!(scene.goes_to(NAT) && !scene.latch.is_settled());
    assert!(scene.rtp("192.168.1.10:7000", 2, 1));
    assert!(scene.goes_to("192.168.1.10:7000"));
    assert!(!scene.rtp(NAT, 1, 2));
}

#[test]
fn rank_3_with_unknown_sip_source_settles_by_a_run() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    assert!(scene.goes_to(PRIVATE));
    assert_eq!(scene.stream(NAT, 1, 1, 4), 1);
    assert!(scene.latch.is_settled() && scene.goes_to(NAT));
    assert_eq!(scene.events, [Event::Settled(at(NAT))]);
}

#[test]
fn rank_3_needs_one_ssrc_small_steps_a_known_payload_type_and_a_second() {
    let packet = |scene: &mut Scene, ssrc, sequence, negotiated| {
        scene.wait(20);
        scene.packet(
            NAT,
            Kind::Rtp {
                ssrc,
                sequence,
                negotiated,
            },
        ) == Verdict::Accept
    };
    let broken: [[(u32, u16, bool); 4]; 3] = [
        [(1, 1, true), (1, 2, true), (2, 3, true), (2, 4, true)],
        [(1, 1, true), (1, 2, true), (1, 9, true), (1, 10, true)],
        [(1, 1, true), (1, 2, false), (1, 3, true), (1, 4, true)],
    ];
    for packets in broken {
        let mut scene = Scene::new(Some(PRIVATE), |_| {});
        for (ssrc, sequence, negotiated) in packets {
            assert!(
                !packet(&mut scene, ssrc, sequence, negotiated),
                "{packets:?}"
            );
        }
    }
    let mut slow = Scene::new(Some(PRIVATE), |_| {});
    for sequence in 1..5 {
        slow.wait(400);
        assert!(!slow.rtp(NAT, 1, sequence));
    }
}

#[test]
fn rank_3_with_known_sip_source_is_accepted_and_followed_only_if_alone_for_three_seconds() {
    let mut scene = Scene::new(Some(PRIVATE), knows("203.0.113.9"));
    assert_eq!(scene.stream(NAT, 1, 1, 10), 7);
    assert!(scene.goes_to(PRIVATE) && !scene.latch.is_settled());
    assert_eq!(scene.stream(NAT, 1, 11, 150), 150);
    assert!(scene.latch.is_settled() && scene.goes_to(NAT));
    assert_eq!(scene.events, [Event::AgainstSignalling(at(NAT))]);
}

#[test]
fn rank_4_is_accepted_after_a_run_and_never_followed() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    assert_eq!(scene.stream(THIEF, 1, 1, 400), 397);
    scene.tick();
    assert!(scene.goes_to(PUBLIC) && !scene.latch.is_settled());
    assert!(scene.rtp(PUBLIC, 2, 1));
    assert_eq!(scene.stream(THIEF, 1, 401, 20), 0);
}

#[test]
fn rank_4_is_never_accepted_with_strict_source() {
    let mut scene = Scene::new(Some(PUBLIC), |peer| peer.strict_source = true);
    assert_eq!(scene.stream(THIEF, 1, 1, 50), 0);
}

#[test]
fn without_sdp_a_run_is_accepted_and_never_followed() {
    let mut scene = Scene::new(None, |_| {});
    assert_eq!(scene.stream(NAT, 1, 1, 10), 7);
    assert_eq!(scene.latch.destination(), None);
    // Once the SDP is there, the source is judged by it.
    scene.signal(|peer| peer.signalled = Some(at(NAT)));
    assert!(scene.rtp(NAT, 1, 11));
    assert!(scene.latch.is_settled() && scene.goes_to(NAT));
}

#[test]
fn ranks_3_and_4_are_dropped_where_the_party_does_not_send() {
    for signalled in [PRIVATE, PUBLIC] {
        let mut scene = Scene::new(Some(signalled), |peer| peer.sends = false);
        assert_eq!(scene.stream(THIEF, 1, 1, 10), 0);
    }
}

#[test]
fn a_better_rank_takes_over_within_three_seconds_of_signalling() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    scene.stream(NAT, 1, 1, 4);
    assert!(scene.rtp(PRIVATE, 2, 1));
    assert!(scene.goes_to(PRIVATE) && scene.latch.is_settled());
}

#[test]
fn a_better_rank_does_not_take_over_later() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    scene.stream(NAT, 1, 1, 200);
    assert!(!scene.rtp(PRIVATE, 2, 1));
    assert!(scene.goes_to(NAT));
}

#[test]
fn a_rebinding_of_the_nat_is_followed_after_two_packets() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    scene.stream(NAT, 1, 1, 4);
    let rebound = "198.51.100.7:42000";
    // Too early: the old port has just spoken.
    assert!(!scene.rtp(rebound, 1, 5));
    scene.wait(80);
    assert!(!scene.rtp(rebound, 1, 6));
    scene.wait(20);
    assert!(scene.rtp(rebound, 1, 7));
    assert!(scene.goes_to(rebound) && scene.latch.is_settled());
    assert!(scene.events.contains(&Event::Moved {
        from: at(NAT),
        to: at(rebound)
    }));
}

#[test]
fn a_rebinding_needs_the_same_ssrc_and_a_near_sequence() {
    for (ssrc, first) in [(2, 5), (1, 500)] {
        let mut scene = Scene::new(Some(PRIVATE), |_| {});
        scene.stream(NAT, 1, 1, 4);
        scene.wait(80);
        assert_eq!(
            scene.stream("198.51.100.7:42000", ssrc, first, 10),
            0,
            "{ssrc} {first}"
        );
    }
}

#[test]
fn another_address_is_followed_after_a_run_with_media_handover() {
    for handover in [true, false] {
        let mut scene = Scene::new(Some(PRIVATE), |peer| peer.media_handover = handover);
        scene.stream(NAT, 1, 1, 4);
        scene.wait(1000);
        let accepted = scene.stream("198.51.100.99:5000", 1, 5, 6);
        assert_eq!(accepted, if handover { 3 } else { 0 });
        assert_eq!(scene.goes_to("198.51.100.99:5000"), handover);
    }
}

#[test]
fn after_three_seconds_of_silence_others_are_judged_and_the_old_source_wins_back() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    scene.stream(NAT, 1, 1, 4);
    scene.wait(3000);
    assert_eq!(scene.stream(THIEF, 9, 1, 6), 3);
    assert!(scene.goes_to(THIEF));
    assert!(scene.rtp(NAT, 1, 200));
    assert!(scene.goes_to(NAT) && scene.latch.is_settled());
    assert!(!scene.rtp(THIEF, 9, 7));
}

#[test]
fn anything_else_is_dropped_and_told_once() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    scene.rtp(PUBLIC, 1, 1);
    scene.events.clear();
    for i in 0..20 {
        scene.wait(20);
        scene.rtp(PUBLIC, 1, 2 + i);
        assert!(!scene.rtp(THIEF, 1, 2 + i));
    }
    let thief = at(THIEF);
    assert_eq!(
        scene.events,
        [Event::Unexpected(thief), Event::Contested(thief)]
    );
}

#[test]
fn media_goes_to_no_forbidden_address_signalled_or_learned() {
    let closed = "192.0.2.7:4000";
    let mut signalled = Scene::new(Some(closed), |_| {});
    assert_eq!(signalled.latch.destination(), None);
    assert!(signalled.rtp(closed, 1, 1) && signalled.latch.is_settled());
    assert_eq!(signalled.latch.destination(), None);
    // A source that is learned, while what was signalled is open.
    let mut learned = Scene::new(Some(PRIVATE), |_| {});
    assert!(learned.goes_to(PRIVATE));
    assert_eq!(learned.stream(closed, 1, 1, 10), 7);
    assert!(learned.latch.is_settled());
    assert_eq!(learned.latch.destination(), None);
    // A party that shows the loopback address of its own host is found behind its NAT.
    let mut own = Scene::new(Some("127.0.0.1:4000"), |peer| peer.signalled_private = true);
    assert_eq!(own.latch.destination(), None);
    own.stream(NAT, 1, 1, 4);
    assert!(own.goes_to(NAT));
}

#[test]
fn signalling_that_repeats_the_address_changes_nothing() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    scene.stream(NAT, 1, 1, 4);
    scene.wait(5000);
    scene.signal(|_| {});
    assert!(scene.latch.is_settled() && scene.goes_to(NAT));
}

#[test]
fn of_rivals_of_one_rank_the_first_stays_until_it_is_silent() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    let (first, second) = ("198.51.100.10:9001", "198.51.100.10:9002");
    assert!(scene.rtp(first, 1, 1));
    assert!(!scene.rtp(second, 2, 1));
    scene.wait(3000);
    assert!(scene.rtp(second, 2, 2));
    assert!(scene.goes_to(second));
}

#[test]
fn asymmetric_has_the_same_gate_and_sends_to_the_signalled_address() {
    let mut scene = Scene::new(Some(PRIVATE), |peer| peer.asymmetric = true);
    assert_eq!(scene.stream(NAT, 1, 1, 6), 3);
    assert!(scene.goes_to(PRIVATE));
    assert!(!scene.rtp(THIEF, 1, 7));
}

/// As it comes to the port of RTCP.
const RTCP: Kind = Kind::Rtcp { stray: false };

#[test]
fn rtcp_is_taken_from_the_address_that_rtp_is_settled_on() {
    let mut scene = Scene::new(Some("192.168.1.10:4001"), |peer| {
        peer.signalled_private = true
    });
    assert_eq!(scene.packet(NAT, RTCP), Verdict::Drop(Refusal::Unproven));
    scene.sibling = Some(at(NAT));
    let from = "198.51.100.7:41777";
    assert_eq!(scene.packet(from, RTCP), Verdict::Accept);
    assert!(scene.goes_to(from));
    assert!(matches!(scene.packet(THIEF, RTCP), Verdict::Drop(_)));
}

#[test]
fn four_opaque_datagrams_are_a_run() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    for expected in [false, false, false, true, true] {
        scene.wait(20);
        assert_eq!(scene.packet(NAT, Kind::Opaque) == Verdict::Accept, expected);
    }
    assert!(scene.goes_to(NAT));
}

#[test]
fn a_spray_of_sources_does_not_keep_a_phone_out() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    for round in 0..6u16 {
        scene.wait(20);
        scene.rtp(NAT, 1, round);
        for thief in 0..50 {
            scene.rtp(
                &format!("203.0.113.66:{}", 5000 + 50 * round + thief),
                9,
                round,
            );
        }
    }
    assert!(scene.goes_to(NAT));
}

#[test]
fn a_host_whose_packets_are_no_run_does_not_settle_rank_1() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    for ssrc in 1..10 {
        assert!(scene.rtp("198.51.100.10:9999", ssrc, 1));
        scene.wait(20);
    }
    assert!(!scene.latch.is_settled());
}

#[test]
fn any_four_packets_within_a_second_are_a_run() {
    let mut scene = Scene::new(Some(PRIVATE), |_| {});
    for (sequence, (wait, accepted)) in (1..).zip([
        (0, false),
        (900, false),
        (300, false),
        (300, false),
        (300, true),
    ]) {
        scene.wait(wait);
        assert_eq!(scene.rtp(NAT, 1, sequence), accepted, "{sequence}");
    }
}

#[test]
fn a_stream_that_went_on_elsewhere_at_once_is_handed_over_after_a_second() {
    let mut scene = Scene::new(Some(PRIVATE), |peer| peer.media_handover = true);
    scene.stream(NAT, 1, 1, 4);
    let to = "198.51.100.99:5000";
    // Heard from its 50th packet on, which completes a second; three are its proof.
    assert_eq!(scene.stream(to, 1, 5, 60), 60 - 49 - 3);
    assert!(scene.goes_to(to));
}

#[test]
fn reports_at_a_port_for_rtp_pass_from_the_partys_address_and_teach_nothing() {
    let stray = Kind::Rtcp { stray: true };
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    assert_eq!(scene.packet("198.51.100.10:4001", stray), Verdict::Accept);
    assert!(scene.goes_to(PUBLIC) && scene.latch.learned().is_none());
    assert!(matches!(scene.packet(THIEF, stray), Verdict::Drop(_)));
    // Another port of it does not have to wait for them to end.
    assert_eq!(scene.stream("198.51.100.10:9999", 1, 1, 4), 4);
    assert!(scene.latch.is_settled());
    assert_eq!(scene.packet("198.51.100.10:4001", stray), Verdict::Accept);
    assert!(scene.goes_to("198.51.100.10:9999"));
    assert!(matches!(scene.packet(THIEF, stray), Verdict::Drop(_)));
}

#[test]
fn a_stranger_that_is_only_heard_is_not_the_party() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    assert_eq!(scene.stream(THIEF, 9, 1, 6), 3);
    assert!(!scene.latch.has_heard_party());
}

#[test]
fn a_known_party_is_not_moved_by_who_repeats_its_numbers() {
    // Another host with the party's SSRC and sequence, while the party talks: nothing passes.
    for (ssrc, first) in [(9, 500), (1, 500), (1, 6)] {
        let mut scene = Scene::new(Some(PUBLIC), |peer| peer.media_handover = true);
        scene.stream(PUBLIC, 1, 1, 5);
        for i in 0..20 {
            scene.wait(10);
            assert!(!scene.rtp(THIEF, ssrc, first + i));
            scene.wait(10);
            assert!(scene.rtp(PUBLIC, 1, 6 + i));
        }
        assert!(scene.goes_to(PUBLIC));
    }
}

#[test]
fn a_better_rank_may_be_the_last_to_come_and_still_is_followed_first() {
    let ranks = [
        "203.0.113.50:6000",
        "198.51.100.7:41000",
        "192.168.1.10:7000",
        PRIVATE,
    ];
    let mut scene = Scene::new(Some(PRIVATE), knows("198.51.100.7"));
    for (ssrc, source) in (1..).zip(ranks) {
        scene.stream(source, ssrc, 1, 4);
        // The one against the SIP source is heard, and media goes as signalled.
        let expected = if ssrc == 1 { PRIVATE } else { source };
        assert!(scene.goes_to(expected), "{source}");
    }
    assert!(scene.latch.is_settled());
}

#[test]
fn while_an_offer_waits_the_party_is_heard_from_both_of_its_places() {
    let (old, new) = ("198.51.100.7:4000", "198.51.100.77:6000");
    let proposing = |peer: &mut PeerSpec| peer.proposed = Some(at(new));
    let mut scene = Scene::new(Some(old), |_| {});
    assert_eq!(scene.stream(old, 1, 1, 4), 4);
    assert_eq!(scene.stream(new, 2, 1, 8), 0);
    scene.wait(3000);
    assert_eq!(scene.stream(old, 1, 200, 1), 1);
    assert!(scene.latch.sole_source(scene.now).is_some());
    scene.signal(proposing);
    assert_eq!(scene.stream(new, 2, 20, 8), 8);
    assert_eq!(scene.stream(old, 1, 201, 8), 8);
    assert!(scene.goes_to(old));
    // Nobody may shut the port for others meanwhile.
    scene.wait(4000);
    assert_eq!(scene.stream(old, 1, 410, 1), 1);
    assert!(scene.latch.sole_source(scene.now).is_none());
    // Refused.
    scene.signal(|peer| peer.proposed = None);
    assert_eq!(scene.stream(new, 2, 40, 8), 0);
    // Offered again, and answered.
    scene.signal(proposing);
    scene.signal(|peer| (peer.signalled, peer.proposed) = (Some(at(new)), None));
    assert!(scene.goes_to(new));
    assert_eq!(scene.stream(new, 2, 60, 8), 8);
}

/// Lines of a bundle (RFC 9143): until the party knows that it was taken up, each sends from a port
/// of its own, and may go on doing so.
#[test]
fn every_signalled_line_of_a_port_is_heard_beside_the_settled_one() {
    let other = "198.51.100.7:4002";
    let stranger = "192.0.2.200:9";
    for first in ["198.51.100.7:4000", other] {
        let mut scene = Scene::new(Some("198.51.100.7:4000"), |peer| {
            peer.others_signalled = [at(other)].into();
        });
        assert!(scene.rtp(first, 1, 1));
        for sequence in 2..300 {
            scene.wait(20);
            assert!(scene.rtp("198.51.100.7:4000", 1, sequence));
            assert!(scene.rtp(other, 2, sequence));
            assert!(!scene.rtp(stranger, 3, sequence));
            assert!(scene.goes_to("198.51.100.7:4000"));
        }
        assert!(scene.latch.is_settled());
        assert_eq!(scene.latch.learned(), Some(at("198.51.100.7:4000")));
        // A gate knows one source: there is none.
        assert_eq!(scene.latch.sole_source(scene.now), None);
        // Without the bundle it is a stranger of the same host again.
        scene.signal(|peer| peer.others_signalled = Box::default());
        scene.wait(4000);
        assert!(scene.rtp("198.51.100.7:4000", 1, 300));
        assert!(!scene.rtp(other, 2, 300));
    }
}
