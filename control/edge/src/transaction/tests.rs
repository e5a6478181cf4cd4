use std::time::{Duration, Instant};

use super::client::CancelStep;
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

/// Ends a machine by its next timer; how long that took.
fn lingers(machine: &mut Client, t0: Instant, timers: &Timers) -> Duration {
    let at = machine.next_timeout().unwrap();
    assert_eq!(machine.on_timeout(timers, at), ClientAction::Nothing);
    assert!(machine.is_terminated() && machine.next_timeout().is_none());
    at - t0
}

const CARRIERS: [Carrier; 2] = [Carrier::Datagram, Carrier::Stream];

/// Timers D, I, J and K are zero on streams (RFC 3261 table 4).
fn on(carrier: Carrier, seconds: u64) -> Duration {
    match carrier {
        Carrier::Datagram => Duration::from_secs(seconds),
        Carrier::Stream => Duration::ZERO,
    }
}

/// RFC 3261 figure 5 with RFC 6026 figure 5: every arrow of an INVITE client transaction.
#[test]
fn invite_client_arrows() {
    use ClientAction::{Deliver, DeliverAndAck, Nothing, TimedOut};
    let (t0, timers) = (origin(), Timers::default());
    let start = |carrier| Client::start_over(carrier, Kind::Invite, packet("x"), &timers, t0);
    for carrier in CARRIERS {
        // Calling, timer B: terminated, and the user is told.
        let mut client = start(carrier);
        let (sent, end) = resends(&mut client, t0, &timers);
        let repeats = if carrier == Carrier::Datagram { 6 } else { 0 };
        assert_eq!((sent.len(), end), (repeats, Some(32_000)));
        // Calling, transport error.
        let mut client = start(carrier);
        assert!(client.on_transport_error() && client.is_terminated());
        // Calling, 2xx: accepted, and timer M.
        let mut client = start(carrier);
        assert_eq!(client.on_response(200, &timers, t0), Deliver);
        assert_eq!(lingers(&mut client, t0, &timers), Duration::from_secs(32));
        // Calling, 300-699: completed, an ACK, and timer D.
        let mut client = start(carrier);
        assert_eq!(client.on_response(302, &timers, t0), DeliverAndAck);
        assert_eq!(client.request(), &packet("x"), "the ACK is made from it");
        client.acknowledge(packet("ack"));
        assert_eq!(lingers(&mut client, t0, &timers), on(carrier, 32));
        // Calling, 1xx: proceeding, no timer; 1xx again.
        let mut client = start(carrier);
        for status in [100, 180, 199] {
            assert_eq!(client.on_response(status, &timers, t0), Deliver);
            assert_eq!(client.next_timeout(), None);
        }
        // Proceeding, 2xx and 300-699.
        let mut other = start(carrier);
        other.on_response(180, &timers, t0);
        assert_eq!(other.on_response(299, &timers, t0), Deliver);
        assert_eq!(client.on_response(699, &timers, t0), DeliverAndAck);
        client.acknowledge(packet("ack"));
        // Completed, 300-699: the ACK again, not delivered. Others: nothing.
        assert_eq!(
            client.on_response(486, &timers, t0),
            ClientAction::Resend(packet("ack"))
        );
        for status in [180, 200] {
            assert_eq!(client.on_response(status, &timers, t0), Nothing);
        }
        // Completed, transport error of the ACK: over, and nobody is told (RFC 6026 §7.2).
        assert!(!client.on_transport_error() && client.is_terminated());
        // Accepted, 2xx: delivered; transport errors and others do nothing.
        assert_eq!(other.on_response(200, &timers, t0), Deliver);
        for status in [180, 404] {
            assert_eq!(other.on_response(status, &timers, t0), Nothing);
        }
        assert!(!other.on_transport_error() && !other.is_terminated());
        // Terminated: nothing.
        client.terminate();
        assert_eq!(client.on_response(200, &timers, t0), Nothing);
        assert_ne!(
            client.on_timeout(&timers, t0 + Duration::from_secs(99)),
            TimedOut
        );
    }
}

/// RFC 3261 figure 6: every arrow of a non-INVITE client transaction.
#[test]
fn other_client_arrows() {
    use ClientAction::{Deliver, Nothing};
    let (t0, timers) = (origin(), Timers::default());
    let start = |carrier| Client::start_over(carrier, Kind::NonInvite, packet("x"), &timers, t0);
    for carrier in CARRIERS {
        // Trying: timers E and F.
        let (sent, end) = resends(&mut start(carrier), t0, &timers);
        let repeats = if carrier == Carrier::Datagram { 10 } else { 0 };
        assert_eq!((sent.len(), end), (repeats, Some(32_000)));
        // Trying, transport error.
        assert!(start(carrier).on_transport_error());
        // Trying, 200-699: completed, timer K.
        for status in [200, 300, 699] {
            let mut client = start(carrier);
            assert_eq!(client.on_response(status, &timers, t0), Deliver);
            assert_eq!(client.on_response(status, &timers, t0), Nothing, "absorbed");
            assert!(!client.on_transport_error());
            client = start(carrier);
            client.on_response(status, &timers, t0);
            assert_eq!(lingers(&mut client, t0, &timers), on(carrier, 5));
        }
        // Proceeding: 1xx again; timer E fires every T2, timer F goes on.
        let mut client = start(carrier);
        for _ in 0..2 {
            assert_eq!(client.on_response(100, &timers, t0), Deliver);
        }
        let (sent, end) = resends(&mut client, t0, &timers);
        let every_t2: Vec<u128> = (0..8).map(|n| 500 + n * 4000).collect();
        let expected = if carrier == Carrier::Datagram {
            every_t2
        } else {
            Vec::new()
        };
        assert_eq!((sent, end), (expected, Some(32_000)));
        // Proceeding, final; transport error.
        let mut client = start(carrier);
        client.on_response(100, &timers, t0);
        assert_eq!(client.on_response(404, &timers, t0), Deliver);
        let mut client = start(carrier);
        client.on_response(100, &timers, t0);
        assert!(client.on_transport_error() && client.is_terminated());
    }
}

/// RFC 3261 figure 7 with RFC 6026 figure 3: every arrow of an INVITE server transaction.
#[test]
fn invite_server_arrows() {
    use ServerAction::{Nothing, Resend, TimedOut};
    let (t0, timers) = (origin(), Timers::default());
    for carrier in CARRIERS {
        let start = || Server::start_over(carrier, Kind::Invite);
        // Proceeding: 1xx, and the last of them for a repeated INVITE. An ACK is none of its business.
        let mut server = start();
        assert_eq!(server.on_repeat(), Nothing);
        for text in ["100", "183"] {
            assert!(server.on_response(text.parse().unwrap(), packet(text), &timers, t0));
            assert_eq!(server.on_repeat(), Resend(packet(text)));
        }
        assert!(server.on_ack(&timers, t0) && server.is_open());
        assert!(
            server.on_transport_error() && server.is_open(),
            "told, and stays"
        );
        // Proceeding, 300-699: completed; timers G (not on streams) and H.
        assert!(server.on_response(500, packet("500"), &timers, t0));
        assert_eq!(server.on_repeat(), Resend(packet("500")));
        assert!(!server.on_response(200, packet("200"), &timers, t0));
        let (mut repeats, mut end) = (0, None);
        while let Some(at) = server.next_timeout() {
            match server.on_timeout(&timers, at) {
                Resend(_) => repeats += 1,
                TimedOut => end = Some(at - t0),
                Nothing => {}
            }
        }
        assert_eq!(repeats, if carrier == Carrier::Datagram { 10 } else { 0 });
        assert_eq!(end, Some(Duration::from_secs(32)));
        assert!(server.is_terminated());
        // Completed, ACK: confirmed; timer I; more ACKs and INVITEs are absorbed.
        let mut server = start();
        server.on_response(486, packet("486"), &timers, t0);
        assert!(server.awaits_ack());
        for _ in 0..2 {
            assert!(server.on_ack(&timers, t0));
            assert_eq!(server.on_repeat(), Nothing);
        }
        let at = server.next_timeout().unwrap();
        assert_eq!(at - t0, on(carrier, 5));
        assert_eq!(server.on_timeout(&timers, at), Nothing);
        assert!(server.is_terminated());
        // Proceeding, 2xx: accepted; more 2xx pass, nothing else; ACKs go on; timer L.
        let mut server = start();
        for _ in 0..2 {
            assert!(server.on_response(200, packet("200"), &timers, t0));
        }
        assert!(!server.on_response(180, packet("180"), &timers, t0));
        assert!(!server.on_response(486, packet("486"), &timers, t0));
        assert!(!server.on_ack(&timers, t0));
        assert_eq!(server.on_repeat(), Nothing);
        assert!(server.on_transport_error() && !server.is_terminated());
        let at = server.next_timeout().unwrap();
        assert_eq!(at - t0, Duration::from_secs(32));
        assert_eq!(server.on_timeout(&timers, at), Nothing);
        assert!(server.is_terminated() && !server.on_transport_error());
    }
}

/// RFC 3261 figure 8: every arrow of a non-INVITE server transaction.
#[test]
fn other_server_arrows() {
    use ServerAction::{Nothing, Resend};
    let (t0, timers) = (origin(), Timers::default());
    for carrier in CARRIERS {
        let mut server = Server::start_over(carrier, Kind::NonInvite);
        // Trying: repeats are absorbed.
        assert_eq!(server.on_repeat(), Nothing);
        // Proceeding: the last 1xx for a repeat.
        for text in ["100", "182"] {
            assert!(server.on_response(text.parse().unwrap(), packet(text), &timers, t0));
            assert_eq!(server.on_repeat(), Resend(packet(text)));
        }
        assert!(server.on_transport_error());
        // Completed: the final response for a repeat, others are discarded; timer J.
        assert!(server.on_response(404, packet("404"), &timers, t0));
        assert_eq!(server.on_repeat(), Resend(packet("404")));
        for status in [100, 200, 404] {
            assert!(!server.on_response(status, packet("late"), &timers, t0));
        }
        assert!(!server.awaits_ack());
        let at = server.next_timeout().unwrap();
        assert_eq!(at - t0, on(carrier, 32));
        assert_eq!(server.on_timeout(&timers, at), Nothing);
        assert!(server.is_terminated());
        // Trying, a final response at once.
        let mut server = Server::start_over(carrier, Kind::NonInvite);
        assert!(server.on_response(200, packet("200"), &timers, t0));
        assert_eq!(server.on_repeat(), Resend(packet("200")));
    }
}

#[test]
fn timers_follow_their_base_values() {
    let t0 = origin();
    let timers = Timers {
        t1: Duration::from_millis(100),
        t2: Duration::from_millis(300),
        t4: Duration::from_secs(1),
        ..Timers::default()
    };
    let mut client = Client::start(Kind::NonInvite, packet("x"), &timers, t0);
    let (sent, end) = resends(&mut client, t0, &timers);
    assert_eq!((&sent[..4], end), (&[100, 300, 600, 900][..], Some(6_400)));
    let mut client = Client::start(Kind::NonInvite, packet("x"), &timers, t0);
    client.on_response(200, &timers, t0);
    assert_eq!(client.next_timeout(), Some(t0 + timers.t4));
    let mut client = Client::start(Kind::Invite, packet("x"), &timers, t0);
    client.on_response(404, &timers, t0);
    assert_eq!(
        client.next_timeout(),
        Some(t0 + Duration::from_secs(32)),
        "D has a floor"
    );
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let (t0, timers) = (origin(), Timers::default());
    let start = || Client::start(Kind::Invite, packet("x"), &timers, t0);
    let mut client = start();
    assert!(!client.take_cancel(&timers, t0));
    assert_eq!(client.cancel(&timers, t0), CancelStep::Wait);
    assert_eq!(client.cancel(&timers, t0), CancelStep::Wait);
    assert!(!client.take_cancel(&timers, t0));
    client.on_response(100, &timers, t0);
    assert!(client.take_cancel(&timers, t0));
    assert!(!client.take_cancel(&timers, t0), "once");
    assert_eq!(client.cancel(&timers, t0), CancelStep::Over);
    // Provisional responses after it do not keep the branch: silence of 64·T1 ends it (§9.1).
    client.on_response(180, &timers, t0);
    let at = t0 + Duration::from_secs(32);
    assert_eq!(client.next_timeout(), Some(at));
    assert_eq!(client.on_timeout(&timers, at), ClientAction::TimedOut);

    let mut client = start();
    client.on_response(180, &timers, t0);
    assert_eq!(client.cancel(&timers, t0), CancelStep::Send);
    assert_eq!(
        client.on_response(200, &timers, t0),
        ClientAction::Deliver,
        "a 2xx crosses"
    );

    let mut client = start();
    client.cancel(&timers, t0);
    client.on_response(200, &timers, t0);
    assert!(
        !client.take_cancel(&timers, t0),
        "answered before it could go"
    );
    let mut bye = Client::start(Kind::NonInvite, packet("x"), &timers, t0);
    assert_eq!(bye.cancel(&timers, t0), CancelStep::Over);
}
