//! The tables of media-behaviour §3.1, a test per row, then the other modes.
#![expect(clippy::disallowed_methods, reason = "tests need a start of time")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::*;

const NAT: &str = "198.51.100.7:41000";
const THIEF: &str = "203.0.113.66:5000";
const PUBLIC: &str = "198.51.100.10:4000";
const PRIVATE: &str = "192.168.1.10:4000";

/// A latch in virtual time, with a source of packets for each address.
struct Scene {
    latch: Latch,
    peer: PeerSpec,
    now: Instant,
    events: Vec<Event>,
    sibling: Option<SocketAddr>,
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Scene {
    fn new(signalled: Option<&str>, change: impl FnOnce(&mut PeerSpec)) -> Self {
        let now = Instant::now();
        let mut peer = PeerSpec {
            signalled: signalled.map(at),
            signalled_private: signalled == Some(PRIVATE),
            received_from: None,
            sends: true,
            wants: true,
            learning: Learning::Guarded,
            asymmetric: false,
            strict_source: false,
            media_handover: false,
            nat_wait: false,
            pierce_nat: false,
            signalled_at: now,
        };
        change(&mut peer);
        Self {
            latch: Latch::new(peer.clone()),
            peer,
            now,
            events: Vec::new(),
            sibling: None,
        }
    }

    fn wait(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    fn packet(&mut self, from: &str, kind: Kind) -> Verdict {
        let arrival = Arrival {
            from: at(from),
            kind,
            sibling: self.sibling,
        };
        let mut event = None;
        let verdict = self.latch.on_packet(self.now, &arrival, &mut event);
        self.events.extend(event);
        verdict
    }

    fn rtp(&mut self, from: &str, ssrc: u32, sequence: u16) -> bool {
        let kind = Kind::Rtp {
            ssrc,
            sequence,
            negotiated: true,
        };
        self.packet(from, kind) == Verdict::Accept
    }

    /// Packets 20 ms apart; how many of them were accepted.
    fn stream(&mut self, from: &str, ssrc: u32, first: u16, count: u16) -> usize {
        let accepted = (0..count).filter(|i| {
            self.wait(20);
            self.rtp(from, ssrc, first.wrapping_add(*i))
        });
        accepted.count()
    }

    fn goes_to(&self, address: &str) -> bool {
        self.latch.destination() == Some(at(address))
    }

    fn signal(&mut self, change: impl FnOnce(&mut PeerSpec)) {
        self.peer.signalled_at = self.now;
        change(&mut self.peer);
        self.latch.update(self.peer.clone(), self.now);
    }

    fn tick(&mut self) {
        let mut event = None;
        self.latch.handle_timeout(self.now, &mut event);
        self.events.extend(event);
    }
}

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
fn a_moved_party_keeps_its_old_source_until_the_new_one_settles() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    scene.stream(PUBLIC, 1, 1, 4);
    let moved = "198.51.100.44:6000";
    scene.signal(|peer| peer.signalled = Some(at(moved)));
    assert!(scene.rtp(PUBLIC, 1, 5));
    assert!(scene.goes_to(PUBLIC));
    assert!(scene.rtp(moved, 2, 1));
    assert!(scene.goes_to(moved) && scene.latch.is_settled());
    assert!(!scene.rtp(PUBLIC, 1, 6));
}

#[test]
fn a_moved_party_that_only_listens_gets_media_once_the_old_source_is_silent() {
    let mut scene = Scene::new(Some(PUBLIC), |_| {});
    scene.stream(PUBLIC, 1, 1, 4);
    scene.signal(|peer| peer.signalled = Some(at("198.51.100.44:6000")));
    scene.wait(3000).tick();
    assert!(scene.goes_to("198.51.100.44:6000"));
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

#[test]
fn rtcp_is_taken_from_the_address_that_rtp_is_settled_on() {
    let mut scene = Scene::new(Some("192.168.1.10:4001"), |peer| {
        peer.signalled_private = true
    });
    assert_eq!(
        scene.packet(NAT, Kind::Rtcp),
        Verdict::Drop(DropReason::Unproven)
    );
    scene.sibling = Some(at(NAT));
    let from = "198.51.100.7:41777";
    assert_eq!(scene.packet(from, Kind::Rtcp), Verdict::Accept);
    assert!(scene.goes_to(from));
    assert!(matches!(scene.packet(THIEF, Kind::Rtcp), Verdict::Drop(_)));
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

fn reference(learning: Learning, change: impl FnOnce(&mut PeerSpec)) -> Scene {
    Scene::new(Some(PUBLIC), |peer| {
        peer.learning = learning;
        change(peer);
    })
}

#[test]
fn heuristic_takes_the_best_source_of_three_seconds() {
    let mut scene = reference(Learning::Heuristic, |_| {});
    assert!(scene.rtp(THIEF, 1, 1));
    assert!(scene.goes_to(THIEF));
    assert!(scene.rtp("203.0.113.5:4000", 1, 1));
    assert!(scene.goes_to("203.0.113.5:4000"));
    assert!(scene.rtp(THIEF, 1, 2));
    assert!(
        scene.goes_to("203.0.113.5:4000"),
        "a worse rank is heard and not followed"
    );
    assert!(scene.rtp(PUBLIC, 2, 1));
    assert!(scene.goes_to(PUBLIC) && scene.latch.is_settled());
    assert!(scene.rtp(THIEF, 1, 3));
    assert!(scene.goes_to(PUBLIC));
}

#[test]
fn heuristic_confirms_after_three_seconds_and_strict_source_drops_the_rest() {
    let mut scene = reference(Learning::Heuristic, |peer| peer.strict_source = true);
    assert!(scene.rtp(NAT, 1, 1));
    scene.wait(3001);
    assert!(scene.rtp(NAT, 1, 2));
    assert!(scene.latch.is_settled());
    assert!(!scene.rtp(THIEF, 1, 3));
}

#[test]
fn delayed_follows_every_source_for_three_seconds() {
    let mut scene = reference(Learning::Delayed, |_| {});
    for from in [THIEF, NAT, PUBLIC, NAT] {
        assert!(scene.rtp(from, 1, 1));
        assert!(scene.goes_to(from));
    }
    scene.wait(3001);
    scene.rtp(NAT, 1, 2);
    scene.rtp(THIEF, 1, 2);
    assert!(scene.goes_to(NAT) && scene.latch.is_settled());
}

#[test]
fn immediate_takes_the_first_source() {
    let mut scene = reference(Learning::Immediate, |_| {});
    scene.rtp(NAT, 1, 1);
    scene.rtp(PUBLIC, 2, 1);
    assert!(scene.goes_to(NAT));
}

#[test]
fn off_stays_with_signalling() {
    let mut scene = reference(Learning::Off, |_| {});
    assert!(scene.rtp(NAT, 1, 1));
    assert!(scene.goes_to(PUBLIC));
}

#[test]
fn media_handover_follows_a_changed_source_in_the_reference_modes() {
    let mut scene = reference(Learning::Immediate, |peer| peer.media_handover = true);
    scene.rtp(NAT, 1, 1);
    scene.rtp(THIEF, 1, 2);
    assert!(scene.goes_to(THIEF));
}

#[test]
fn new_signalling_opens_the_reference_modes_again() {
    let mut scene = reference(Learning::Immediate, |_| {});
    scene.rtp(NAT, 1, 1);
    scene.signal(|_| {});
    assert!(
        scene.goes_to(NAT),
        "the same address leaves what was learned"
    );
    scene.signal(|peer| peer.signalled = Some(at("198.51.100.44:6000")));
    assert!(scene.goes_to("198.51.100.44:6000"));
}
