//! Doors for the fuzz targets.

use super::framing::any_frames;
use super::{Choice, stun};
use crate::cookie::Key;

/// Frames of a WebSocket client.
pub(crate) fn web_socket(data: &[u8]) {
    any_frames(data);
}

/// A datagram before it is SIP: its shard, or the answer of STUN.
pub(crate) fn datagram(data: &[u8]) {
    let choice = Choice::new(Key(1, 2), "wl-", 3);
    assert!(choice.of(data) < 3);
    if let Some(response) = stun::respond(data, ([192, 0, 2, 1], 5060).into()) {
        assert_eq!(
            stun::respond(&response, ([192, 0, 2, 1], 5060).into()),
            None
        );
    }
}
