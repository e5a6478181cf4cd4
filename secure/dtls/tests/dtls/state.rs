//! What outlives the process.

use std::time::Duration;

use windlass_dtls::{CloseReason, ConnectedState, Event, Session, SessionError};

use crate::link::{Link, ecdsa};

const LIMIT: Duration = Duration::from_secs(31);

fn established() -> Link {
    let (active, mut passive) = ecdsa();
    passive.tls_id = Some("0123456789abcdef".into());
    let mut link = Link::new(active, passive);
    link.run(LIMIT);
    link.keys();
    link
}

/// Through its serialized form, as a journal keeps it.
fn carried(state: &ConnectedState) -> ConnectedState {
    let bytes = serde_json::to_vec(state).unwrap();
    let carried = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(*state, carried);
    carried
}

#[test]
fn state_has_what_was_agreed_on() {
    let link = established();
    let (active, passive) = link.keys();
    let state = link.passive.save().unwrap();
    assert_eq!((state.local, state.remote), (active.remote, active.local));
    assert_eq!(state.peer_fingerprint, passive.peer_fingerprint);
    assert_eq!(state.tls_id.as_deref(), Some("0123456789abcdef"));
    assert_eq!(state.version, ConnectedState::VERSION);
}

#[test]
fn successor_sends_nothing_and_answers_a_close() {
    let mut link = established();
    let state = carried(&link.passive.save().unwrap());
    link.passive = Session::restore(ecdsa().1, state).unwrap();
    assert!(link.passive.poll_transmit(&mut Vec::new()).is_none());
    assert_eq!(link.passive.poll_timeout(), None);
    link.active.close();
    let before = link.sent;
    link.run(LIMIT);
    assert_eq!(
        link.passive_events.last(),
        Some(&Event::Closed(CloseReason::CloseNotify))
    );
    assert_eq!(link.sent - before, 2);
}

#[test]
fn successor_closes_so_that_the_peer_believes_it() {
    let mut link = established();
    let state = carried(&link.active.save().unwrap());
    let mut successor = Session::restore(ecdsa().0, state.clone()).unwrap();
    successor.close();
    let mut datagram = Vec::new();
    successor.poll_transmit(&mut datagram).unwrap();
    // No number that its predecessor may have used since.
    let number = u64::from_be_bytes(datagram[3..11].try_into().unwrap());
    assert!(number > (1 << 48) + 1000, "{number:#x}");
    link.active = Session::restore(ecdsa().0, state).unwrap();
    link.active.close();
    link.run(LIMIT);
    assert_eq!(
        link.passive_events.last(),
        Some(&Event::Closed(CloseReason::CloseNotify))
    );
}

#[test]
fn successor_takes_a_new_association() {
    let mut link = established();
    let state = carried(&link.passive.save().unwrap());
    link.passive = Session::restore(ecdsa().1, state).unwrap();
    link.active = Session::new(ecdsa().0, link.now).unwrap();
    link.active_events.clear();
    link.passive_events.clear();
    link.run(LIMIT);
    link.keys();
}

#[test]
fn state_of_another_version_is_refused() {
    let mut state = established().passive.save().unwrap();
    state.version = 2;
    let error = Session::restore(ecdsa().1, state).unwrap_err();
    assert_eq!(error, SessionError::Version(2));
}

#[test]
fn nothing_prints_keys() {
    let link = established();
    let state = link.passive.save().unwrap();
    let key = format!("{:?}", state.local.key.as_bytes());
    for text in [
        format!("{:?}", link.passive),
        format!("{state:?}"),
        format!("{:?}", link.passive_events),
    ] {
        assert!(text.contains('…') && !text.contains(&key[1..20]), "{text}");
    }
}
