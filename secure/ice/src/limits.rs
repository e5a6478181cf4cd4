//! Every bound of the crate, with the reason for its number.

use std::time::Duration;

/// Bytes that `Agent::poll_transmit` may need: header 20,
/// USERNAME 520, SOFTWARE 132, four short attributes 44, integrity 24, fingerprint 8. It fits every
/// path (RFC 8489 §6.1 allows 1280 on IPv6).
pub const MESSAGE: usize = 768;
/// Characters of a ufrag or a password (RFC 8839 §5.4).
pub const CREDENTIAL: usize = 256;
/// Characters of SOFTWARE that are sent. RFC 8489 §14.14 allows 128.
pub const SOFTWARE: usize = 128;
/// Unknown attributes that a 420 names. Four make the reply no longer than any request with them,
/// and tell enough.
pub const UNKNOWN_ATTRIBUTES: usize = 4;

/// Local candidates of one agent: both components on eight addresses. Pairs count them in a byte.
pub const LOCAL_CANDIDATES: usize = 16;
/// Candidates of the peer that were signalled: hosts with many interfaces and servers reach some 60
/// (spec: media-behaviour §5).
pub const REMOTE_CANDIDATES: usize = 100;
/// Of these, with one IP address and component: a host has one per transport or NAT binding. Each is a
/// port that gets checks, whosever the address is.
pub const CANDIDATES_OF_A_HOST: usize = 8;
/// Candidates of the peer that were learned from its requests. A NAT shows one per component and
/// local address; the oldest that led to nothing makes room.
pub const LEARNED_CANDIDATES: usize = 16;
/// Candidate pairs (RFC 8445 §6.1.2.5). A better one takes the place of the worst that is neither
/// in use nor proven.
pub const PAIRS: usize = 100;

/// 487 responses that an agent yields to in one generation. A real conflict takes one, two where both
/// sides change at once; a peer that says it for ever is not followed.
pub const ROLE_CONFLICTS: u8 = 8;

/// Replies and requests that wait to be pulled. A datagram makes one, a timeout at most
/// [`REQUESTS_PER_RUN`] and two of consent per generation: more wait only if nobody pulls.
pub const OUTGOING: usize = 16;
/// Events that wait to be pulled; the oldest are dropped. A turn makes one per pair at the most.
pub const EVENTS: usize = 128;
/// Requests that one run sends: retransmissions that fell due meanwhile, and one new check.
pub const REQUESTS_PER_RUN: usize = 4;

/// Least time between two runs of an agent (spec: media-behaviour §5; RFC 8445 §14.2 asks for 5 ms).
pub const PACE: Duration = Duration::from_millis(20);
/// First retransmission of a check; each later one waits twice as long (spec: media-behaviour §5).
pub const RETRANSMIT: Duration = Duration::from_millis(100);
/// Retransmissions of a check. After the last one a pair waits 12.8 s more and fails.
pub const RETRANSMISSIONS: u8 = 7;
/// Pairs of a generation that get all of them though the peer was not heard on them: those of four of
/// our addresses with four of the peer's.
pub const PATIENT_PAIRS: u8 = 16;
/// Retransmissions for the other pairs of which nothing was heard, which fail after 3.1 s. With all
/// bounds a list of candidates makes at most 16 × 8 + 84 × 5 = 548 checks of some 120 bytes, and for one
/// victim's IP address and one of ours, 8 × 8 per component.
pub const RETRANSMISSIONS_OF_MANY: u8 = 4;
/// Requests without the right credentials that are answered at once, and how long it takes until one
/// more is: an honest peer that errs repeats itself.
pub const ERRORS: u32 = 8;
/// See [`ERRORS`].
pub const ERROR_INTERVAL: Duration = Duration::from_millis(250);
/// Authenticated requests whose sources are remembered: those of a busy first second, or of five
/// minutes of consent checks.
pub const REQUESTS_KEPT: usize = 64;
/// From the first complete set of working pairs to the nomination (spec: media-behaviour §5), so that
/// better pairs have a chance.
pub const NOMINATION_DELAY: Duration = Duration::from_millis(100);
/// Before this, an agent without a working pair has not failed (RFC 8863 §4): what the peer sends may
/// still come.
pub const PATIENCE: Duration = Duration::from_millis(39_500);
/// Between two consent checks, ±20 % (RFC 7675 §5.1).
pub const CONSENT_INTERVAL: Duration = Duration::from_secs(5);
/// Consent ends this long after the last response (RFC 7675 §5.1).
pub const CONSENT_EXPIRY: Duration = Duration::from_secs(30);
/// Between two keep-alives of an agent that makes no consent checks (RFC 8445 §11).
pub const KEEPALIVE: Duration = Duration::from_secs(15);
/// Between two moves of the pair in use after the peer's media (spec: media-behaviour §5).
pub const FOLLOW_INTERVAL: Duration = Duration::from_secs(3);
