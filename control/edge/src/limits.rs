//! Bounds of the edge beside those of [`crate::Config`], each with its reason.

/// Callees whose tags a call remembers: forks of an INVITE. A phone rings on few places.
pub(crate) const CALLEE_TAGS: usize = 32;

/// Bytes of a Call-ID that are repeated in the name of its media; the number behind them tells the
/// calls apart.
pub(crate) const MEDIA_ID_BYTES: usize = 128;

/// Bytes of a request over UDP from any address but the upstream. SIP over UDP is not meant to be
/// longer than a link carries (RFC 3261 §18.1.1); some browsers' SDP is.
pub(crate) const STRANGER_UDP_BYTES: usize = 16_384;

/// Bytes that a transaction takes in addition to its messages.
pub(crate) const TRANSACTION_BYTES: usize = 1024;

/// Answers of the relay that may wait for a shard. Each belongs to a task that waits with it, one for
/// a call at a time.
pub(crate) const QUEUED_ANSWERS: usize = 256;

/// Messages of a call whose SDP is known when they are repeated: those of an INVITE with its
/// provisional responses.
pub(crate) const REMEMBERED_SDP: usize = 8;

/// Pings without an answer after which a phone is gone (OpenSIPS `max_pings_lost`).
pub(crate) const LOST_PINGS: u8 = 3;

/// Bytes of a Contact URI that an alias stands for: with its token it still fits a header.
pub(crate) const ALIASED_URI_BYTES: usize = 512;

/// Contacts of one REGISTER. A phone has one, and names an old one when it moves.
pub(crate) const REGISTERED_CONTACTS: usize = 16;

/// How long a callee has to answer the CANCEL of a call that the edge ends before the caller is told
/// (spec §9).
pub(crate) const CANCEL_ANSWER: std::time::Duration = std::time::Duration::from_secs(2);

/// What a session may be over its Session-Expires (spec §9).
pub(crate) const SESSION_GRACE: std::time::Duration = std::time::Duration::from_secs(32);

/// Commands that may wait for a shard; who gives more waits.
pub(crate) const QUEUED_COMMANDS: usize = 16;
