use std::time::Instant;

use super::super::clock;
use super::super::connection::Origin;
use super::super::stream::Patience;
use super::*;

const LIMITS: StreamLimits = StreamLimits {
    per_address: 1,
    total: 1,
    handshake: Duration::ZERO,
    first_message: Duration::from_secs(10),
    message: Duration::from_secs(5),
    idle: Duration::from_secs(300),
    connect: Duration::ZERO,
    write: Duration::ZERO,
    queue: 0,
};

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn a_silent_peer_is_closed_after_the_first_message_is_due() {
    let t0 = clock();
    let mut patience = Patience::new(&LIMITS, t0, &Origin::Peer);
    assert_eq!(patience.until(t0, t0, false), Ok(after(t0, 10)));
    // Keep-alives are no message.
    patience.on_read(after(t0, 9), false, false);
    assert_eq!(
        patience.until(after(t0, 10), after(t0, 9), false),
        Err(CloseReason::FirstMessage)
    );
    patience.on_read(after(t0, 9), true, false);
    assert_eq!(
        patience.until(after(t0, 10), after(t0, 9), false),
        Ok(after(t0, 309))
    );
}

#[test]
fn more_bytes_do_not_give_a_message_more_time() {
    let t0 = clock();
    let mut patience = Patience::new(&LIMITS, t0, &Origin::Peer);
    patience.on_read(t0, true, false);
    for second in 1..6 {
        patience.on_read(after(t0, second), false, true);
        let until = patience.until(after(t0, second), after(t0, second), true);
        assert_eq!(until, Ok(after(t0, 6)));
    }
    let late = after(t0, 6);
    assert_eq!(
        patience.until(late, late, true),
        Err(CloseReason::Incomplete)
    );
    // Whole messages one after the other have each their time, though the bytes never end with one.
    patience.on_read(after(t0, 5), true, true);
    assert_eq!(patience.until(late, late, true), Ok(after(t0, 10)));
}

#[test]
fn an_idle_connection_is_closed_unless_something_uses_it() {
    let t0 = clock();
    let patience = Patience::new(&LIMITS, t0, &Origin::Us { server_name: None });
    let later = after(t0, 300);
    assert_eq!(patience.until(later, t0, true), Ok(after(t0, 600)));
    assert_eq!(patience.until(later, t0, false), Err(CloseReason::Idle));
    assert_eq!(
        patience.until(later, after(t0, 1), false),
        Ok(after(t0, 301))
    );
}
