use std::time::{Duration, Instant};

use super::timer::Timers;
use super::*;

fn packet(text: &str) -> Packet {
    Packet::from(text.as_bytes())
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

/// Runs a client until it ends; the offsets in ms at which it resent.
fn resends(client: &mut Client, t0: Instant, timers: &Timers) -> (Vec<u128>, Option<u128>) {
    let (mut sent, mut timed_out) = (Vec::new(), None);
    while let Some(at) = client.next_timeout() {
        match client.on_timeout(timers, at) {
            ClientAction::Resend(_) => sent.push((at - t0).as_millis()),
            ClientAction::TimedOut => timed_out = Some((at - t0).as_millis()),
            _ => {}
        }
    }
    (sent, timed_out)
}

#[test]
fn unanswered_invite_doubles_and_gives_up_after_64_t1() {
    let (t0, timers) = (origin(), Timers::default());
    let mut client = Client::start(Kind::Invite, packet("x"), &timers, t0);
    let (sent, end) = resends(&mut client, t0, &timers);
    assert_eq!(sent, [500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(end, Some(32_000));
    assert!(client.is_terminated());
}

#[test]
fn unanswered_bye_is_capped_at_t2() {
    let (t0, timers) = (origin(), Timers::default());
    let mut client = Client::start(Kind::NonInvite, packet("x"), &timers, t0);
    let (sent, end) = resends(&mut client, t0, &timers);
    assert_eq!(
        sent,
        [
            500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    assert_eq!(end, Some(32_000));
}

#[test]
fn repeated_failure_is_acknowledged_again_not_delivered() {
    let (t0, timers) = (origin(), Timers::default());
    let mut client = Client::start(Kind::Invite, packet("x"), &timers, t0);
    assert_eq!(client.on_response(180, &timers, t0), ClientAction::Deliver);
    assert_eq!(client.next_timeout(), None);
    assert_eq!(
        client.on_response(486, &timers, t0),
        ClientAction::DeliverAndAck
    );
    client.acknowledge(packet("ack"));
    assert_eq!(
        client.on_response(486, &timers, t0),
        ClientAction::Resend(packet("ack"))
    );
    assert_eq!(client.on_response(200, &timers, t0), ClientAction::Nothing);
}

#[test]
fn every_2xx_is_delivered_while_accepted() {
    let (t0, timers) = (origin(), Timers::default());
    let mut client = Client::start(Kind::Invite, packet("x"), &timers, t0);
    for _ in 0..3 {
        assert_eq!(client.on_response(200, &timers, t0), ClientAction::Deliver);
    }
    assert_eq!(client.on_response(486, &timers, t0), ClientAction::Nothing);
    assert_eq!(client.next_timeout(), Some(t0 + Duration::from_secs(32)));
}

#[test]
fn unacknowledged_failure_is_repeated_until_timer_h() {
    let (t0, timers) = (origin(), Timers::default());
    let mut server = Server::start(Kind::Invite);
    assert!(server.on_response(100, packet("100"), &timers, t0));
    assert_eq!(server.on_repeat(), ServerAction::Resend(packet("100")));
    assert!(server.on_response(486, packet("486"), &timers, t0));
    assert!(!server.on_response(200, packet("200"), &timers, t0));
    let mut count = 0;
    let mut timed_out = false;
    while let Some(at) = server.next_timeout() {
        match server.on_timeout(&timers, at) {
            ServerAction::Resend(p) => {
                assert_eq!(p, packet("486"));
                count += 1;
            }
            ServerAction::TimedOut => timed_out = true,
            ServerAction::Nothing => {}
        }
    }
    assert_eq!((count, timed_out), (10, true));
}

#[test]
fn ack_stops_the_failure_and_2xx_leaves_repeats_unanswered() {
    let (t0, timers) = (origin(), Timers::default());
    let mut server = Server::start(Kind::Invite);
    assert!(server.on_response(486, packet("486"), &timers, t0));
    assert!(server.on_ack(&timers, t0));
    assert_eq!(server.next_timeout(), Some(t0 + timers.t4));
    assert_eq!(server.on_repeat(), ServerAction::Nothing);

    let mut server = Server::start(Kind::Invite);
    assert!(server.on_response(200, packet("200"), &timers, t0));
    assert!(server.on_response(200, packet("200"), &timers, t0));
    assert_eq!(server.on_repeat(), ServerAction::Nothing);
    assert!(!server.on_ack(&timers, t0));
}
