//! Bounds of the transports beside those of [`super::config::Config`], each with its reason.

use std::time::Duration;

/// Datagrams that one call of the system takes or gives: what several dozen phones send within the
/// time of a turn. More would make a turn of a shard long.
pub(super) const BATCH: usize = 64;

/// The longest datagram: the length field of UDP.
pub(super) const DATAGRAM_BYTES: usize = 65_535;

/// Datagrams with a token that a socket remembers, to know which of them an ICMP error is about: the
/// requests of about a hundred milliseconds at full load, longer than a round trip.
pub(super) const REMEMBERED_DATAGRAMS: usize = 1024;

/// Bytes of a datagram that an ICMP error must quote before it is believed: they hold the branch of
/// our Via, which nobody beside the path can guess. A shorter datagram must be quoted whole.
pub(super) const QUOTED_BYTES: usize = 256;

/// Errors of earlier datagrams that a send looks past. Whoever forges ICMP faster than a few for each
/// datagram can make one of ours fail.
pub(super) const PENDING_ERRORS: usize = 8;

/// Errors taken from a socket's error queue in one turn.
pub(super) const ERRORS_PER_TURN: usize = 32;

/// Local addresses that a socket bound to no address tells apart. A host has a few; whoever uses more
/// has the system choose for the rest.
pub(super) const LOCAL_ADDRESSES: usize = 4096;

/// Lists of arrivals that may wait for a shard: a burst of some thousand messages.
pub(super) const QUEUED_BATCHES: usize = 256;

/// Bytes read from a connection at a time; they lie on the stack, so that idle connections hold no
/// buffer.
pub(super) const READ_BYTES: usize = 8192;

/// What a queued message costs beside its bytes, for the bound of a write queue.
pub(super) const QUEUED_MESSAGE_BYTES: usize = 64;

/// Connections that are being opened by us at a time. The targets of a flood of requests with
/// addresses that never answer must not take all descriptors.
pub(super) const CONNECTING: usize = 1024;

/// How long a connection stays after a message whose end cannot be found, so that its refusal can
/// leave.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// How long a listener rests when the system has no descriptor left: the connections that wait are
/// not lost, and trying again at once would take a whole processor.
pub(super) const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Backlog of a listening socket; the system caps it (`net.core.somaxconn`).
pub(super) const BACKLOG: u32 = 4096;

/// Sends that a peer does not acknowledge for so long end the connection, and so does a silence of
/// [`KEEPALIVE_IDLE`] after which the system's questions are not answered: a connection that
/// registrations or dialogs use is not closed for being idle, so a dead peer must show itself.
pub(super) const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Silence after which the system asks whether the peer of a connection still lives.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);

/// Time between two such questions.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// Names taken from a peer's certificate; one of a large host has some dozen.
pub(super) const CERTIFICATE_NAMES: usize = 64;

/// Bytes of the payload of a WebSocket control frame (RFC 6455 §5.5).
pub(super) const CONTROL_FRAME_BYTES: usize = 125;
