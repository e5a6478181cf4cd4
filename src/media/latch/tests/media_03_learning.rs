//! The modes known from rtpengine (media-behaviour §3).

use super::*;

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

#[test]
fn stray_reports_pass_and_teach_nothing_and_those_at_their_own_port_do() {
    for (stray, learned) in [(true, PUBLIC), (false, NAT)] {
        let mut scene = reference(Learning::Immediate, |_| {});
        assert_eq!(scene.packet(NAT, Kind::Rtcp { stray }), Verdict::Accept);
        assert!(scene.goes_to(learned), "{stray}");
    }
}

#[test]
fn nothing_is_learned_from_a_party_whose_sdp_is_not_known() {
    for learning in [Learning::Heuristic, Learning::Immediate, Learning::Delayed] {
        let mut scene = Scene::new(None, |peer| peer.learning = learning);
        assert!(scene.rtp(NAT, 1, 1));
        assert!(scene.latch.learned().is_none() && !scene.latch.is_settled());
    }
}

#[test]
fn nothing_is_learned_of_a_party_that_does_not_know_our_port() {
    let mut scene = reference(Learning::Immediate, |peer| peer.is_shown = false);
    assert!(scene.rtp(THIEF, 1, 1));
    assert!(scene.goes_to(PUBLIC) && !scene.latch.is_settled());
    scene.signal(|peer| peer.is_shown = true);
    assert!(scene.rtp(NAT, 1, 1));
    assert!(scene.goes_to(NAT));
}

#[test]
fn heuristic_with_strict_source_drops_worse_ranks_while_it_learns() {
    let mut scene = reference(Learning::Heuristic, |peer| peer.strict_source = true);
    assert!(scene.rtp(THIEF, 1, 1));
    assert!(scene.rtp("203.0.113.5:4000", 1, 1));
    assert!(!scene.rtp(THIEF, 1, 2));
}

#[test]
fn asymmetric_records_the_source_and_sends_as_signalled() {
    let mut scene = reference(Learning::Immediate, |peer| {
        peer.asymmetric = true;
        peer.strict_source = true;
    });
    assert!(scene.rtp(NAT, 1, 1));
    assert!(scene.goes_to(PUBLIC) && scene.latch.learned() == Some(at(NAT)));
    assert!(scene.rtp(NAT, 1, 2) && !scene.rtp(PUBLIC, 1, 3));
    assert!(!scene.rtp(THIEF, 1, 4));
}

#[test]
fn a_party_is_heard_in_every_mode_with_its_first_packet() {
    for learning in [
        Learning::Guarded,
        Learning::Heuristic,
        Learning::Delayed,
        Learning::Immediate,
        Learning::Off,
    ] {
        let mut scene = reference(learning, |_| {});
        assert!(!scene.latch.has_heard_party());
        assert!(scene.rtp(PUBLIC, 1, 1));
        assert!(scene.latch.has_heard_party(), "{learning:?}");
    }
}

#[test]
fn without_learning_strict_source_holds_from_the_first_packet() {
    let mut scene = reference(Learning::Off, |peer| peer.strict_source = true);
    assert!(!scene.rtp("198.51.100.10:4010", 1, 1));
    assert!(scene.rtp(PUBLIC, 1, 2) && !scene.rtp("198.51.100.10:4010", 1, 3));
}

#[test]
fn before_anything_is_learned_an_asymmetric_source_is_the_signalled_one() {
    let mut scene = reference(Learning::Off, |peer| {
        peer.asymmetric = true;
        peer.strict_source = true;
    });
    assert!(scene.rtp(PUBLIC, 1, 1) && scene.rtp(PUBLIC, 1, 2));
    assert!(!scene.rtp(NAT, 1, 3));
}
