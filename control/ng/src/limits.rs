//! Every bound of this crate, each with the reason for its number.

use std::time::Duration;

/// Nesting of lists and dictionaries. The deepest real message (a `query` reply) has 9 levels.
pub const DEPTH: usize = 16;
/// Values and keys in one request; real offers have below 100, a `mesh` of many tags a few
/// hundred. Keeps the tape of a hostile datagram below 300 kB.
pub const REQUEST_ELEMENTS: usize = 8_192;
/// Values and keys in one reply read by a client; a `query` of a conference has some 10,000.
pub const REPLY_ELEMENTS: usize = 262_144;
/// One request over UDP: the largest datagram IPv4 and IPv6 can carry.
pub const UDP_REQUEST_BYTES: usize = 65_535;
/// One reply over UDP: 65,535 less the IPv4 and UDP headers. A longer one cannot be sent.
pub const UDP_REPLY_BYTES: usize = 65_507;
/// One reply over UDP to a peer that nobody has named, whose address may be forged: a datagram that
/// no link splits, or [`UDP_STRANGER_RATIO`] times its request if that is more.
pub const UDP_STRANGER_REPLY_BYTES: usize = 1_200;
/// An SDP for WebRTC has up to three times the bytes of the plain offer that it is made from, and
/// whoever forges an address gains little. Statistics may need more: they are shortened.
pub const UDP_STRANGER_RATIO: usize = 4;
/// One request over TCP; Kamailio reads at most 262,143 bytes itself.
pub const STREAM_REQUEST_BYTES: usize = 262_144;
/// Bytes of a TCP stream that do not look like a message; the reference closes beyond this.
pub const STREAM_GARBAGE_BYTES: usize = 1_024;
/// Open TCP connections per listener.
pub const STREAM_CONNECTIONS: usize = 256;
/// Open TCP connections of one source address; a busy proxy keeps one per worker process.
pub const STREAM_CONNECTIONS_PER_SOURCE: usize = 128;
/// A TCP connection whose last request is younger is not closed to make room for another of its
/// source: it is in use.
pub const STREAM_SILENCE: Duration = Duration::from_secs(1);
/// A cookie; both proxy modules send fewer than 40 bytes.
pub const COOKIE_BYTES: usize = 1_024;
/// Replies kept for duplicates, both generations: 60 s at about 2,000 requests/s.
pub const COOKIE_ENTRIES: usize = 131_072;
/// Bytes of those replies and cookies, both generations.
pub const COOKIE_CACHE_BYTES: usize = 128 * 1024 * 1024;
/// Digits of a bencode integer or string length, with sign: `i64::MIN` has 20.
pub const BENCODE_DIGITS: usize = 20;
/// Ignored keys, flags and values remembered per request.
pub const IGNORED_ENTRIES: usize = 32;
/// Bytes kept of each ignored text.
pub const IGNORED_TEXT_BYTES: usize = 64;
/// Members kept of any list in a request (flags, codecs, tags, ...).
pub const LIST_MEMBERS: usize = 1_024;
/// Templates that may include one another.
pub const TEMPLATE_DEPTH: usize = 4;
/// Distinct ignored texts remembered to log each once per minute.
pub const WARNED_TEXTS: usize = 1_024;
/// Bytes in the kernel that wait for a UDP listener, as the system counts them (under 1 kB for a
/// short request).
pub const SOCKET_QUEUE_BYTES: usize = 4 << 20;
/// Requests of one UDP listener that wait for a thread. Of more, those of the busiest sender are
/// dropped, which sends them again.
pub const QUEUED_REQUESTS: usize = 1_024;
/// Unasked messages that wait for one TCP client, some seconds of DTMF on a busy relay.
pub const QUEUED_BROADCASTS: usize = 256;
/// One HTTP body or WebSocket message: four times the longest request, for those that carry files.
pub const HTTP_BODY_BYTES: usize = 1024 * 1024;
/// Bytes of an unfinished HTTP request or WebSocket message that every connection may have: as much
/// as a request over UDP, so that no budget keeps a usual request out.
pub const HTTP_FREE_BYTES: usize = 64 * 1024;
/// Bytes of unfinished requests and messages beyond these, of all connections of a listener: 32 of
/// the longest. One source may have half of it.
pub const HTTP_WAITING_BYTES: usize = 32 * HTTP_BODY_BYTES;
/// What the library reads of a WebSocket at a time; it keeps that much for each connection.
pub const WEBSOCKET_READ_BYTES: usize = 16 * 1024;
/// Request line and headers of HTTP; browsers send below 4 kB, hyper needs 8 kB.
pub const HTTP_HEADER_BYTES: usize = 16 * 1024;
/// Open HTTP connections per listener.
pub const HTTP_CONNECTIONS: usize = 256;
/// Open HTTP connections of one source address; a busy proxy keeps one per worker process.
pub const HTTP_CONNECTIONS_PER_SOURCE: usize = 128;
/// Refused HTTP connections that are being told so at a time; more are just closed.
pub const HTTP_REFUSALS: usize = 16;
/// Refused sources remembered to log each once.
pub const REFUSED_SOURCES: usize = 1_024;
/// Networks of interfaces that count as near.
pub const ON_LINK_NETWORKS: usize = 1_024;
/// Requests in flight per client. At 1 s patience that is far more than one relay serves.
pub const CLIENT_REQUESTS: usize = 4_096;
