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

/// Batches of datagrams that may wait for a shard: a burst of some thousand messages.
pub(crate) const QUEUED_BATCHES: usize = 256;

/// Answers of the relay that may wait for a shard. Each belongs to a task that waits with it, one for
/// a call at a time.
pub(crate) const QUEUED_ANSWERS: usize = 256;

/// Messages of a call whose SDP is known when they are repeated: those of an INVITE with its
/// provisional responses.
pub(crate) const REMEMBERED_SDP: usize = 8;

/// Addresses of one destination that are tried, one after the other. Each may cost a caller an
/// answer timeout.
pub(crate) const ADDRESSES: usize = 16;

/// Records kept of one DNS answer. A longer answer over UDP would not fit a datagram.
pub(crate) const DNS_RECORDS: usize = 32;

/// SRV hosts of one destination whose addresses are looked up: two queries each.
pub(crate) const SRV_HOSTS: usize = 8;

/// Answers that the DNS cache of a shard keeps: some hundred destinations with all their records.
pub(crate) const DNS_CACHE: usize = 4096;

/// DNS queries of a shard under way. Names that strangers write cannot fill sockets and tasks.
pub(crate) const DNS_QUERIES: usize = 256;

/// Requests of a shard that wait for names, each for two seconds at most.
pub(crate) const DNS_PARKED: usize = 2048;

/// Bytes of a domain name in text (RFC 1035 §2.3.4: 255 on the wire).
pub(crate) const DNS_NAME_BYTES: usize = 253;
