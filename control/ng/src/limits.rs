//! Bounds of everything that comes from the network.

/// Levels of nesting in one message. Real requests have four.
pub const MAX_DEPTH: usize = 16;

/// Values in one message. A query reply of a large call has some thousands; requests some dozens.
pub const MAX_VALUES: usize = 65_536;

/// Bytes of one message over TCP.
pub const MAX_MESSAGE: usize = 256 * 1024;

/// Bytes of one UDP datagram's payload (IPv4), and so of a UDP reply.
pub const MAX_DATAGRAM: usize = 65_507;

/// Bytes of a cookie. Proxies send some thirty.
pub const MAX_COOKIE: usize = 255;

/// Replies kept for duplicate requests, per generation.
pub const MAX_CACHED_REPLIES: usize = 65_536;

/// Bytes of replies kept for duplicate requests, per generation.
pub const MAX_CACHED_BYTES: usize = 64 * 1024 * 1024;

/// Ignored keys and flags remembered of one request.
pub const MAX_IGNORED: usize = 16;

/// TCP connections at a time.
pub const MAX_CONNECTIONS: usize = 64;

/// Unparsed bytes after the complete messages of a TCP stream (ng-protocol §1).
pub const MAX_TCP_REST: usize = 1024;
